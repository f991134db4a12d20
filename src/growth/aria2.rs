//! Reads aria2's control file: how much of a file is there though all of its room was set aside. Pure.
//!
//! <https://aria2.github.io/manual/en/html/technical-notes.html>: version, extension, info hash, piece length, total
//! length, upload length, then one bit for each piece, all big-endian since version 1.

/// Bytes that are there, and bytes in all.
#[must_use]
pub fn read(control: &[u8]) -> Option<(u64, u64)> {
    let mut rest = control;
    // Version 0 stood in the byte order of the machine; nobody writes it any more.
    (number(&mut rest, 2)? == 1).then_some(())?;
    number(&mut rest, 4)?;
    let hash = usize::try_from(number(&mut rest, 4)?).ok()?;
    rest = rest.get(hash..)?;
    let piece = number(&mut rest, 4)?;
    let total = number(&mut rest, 8)?;
    number(&mut rest, 8)?;
    let length = usize::try_from(number(&mut rest, 4)?).ok()?;
    let bits = rest.get(..length)?;
    if piece == 0 || total == 0 || total.div_ceil(piece).div_ceil(8) != length as u64 {
        return None;
    }
    let pieces: u64 = bits.iter().map(|byte| u64::from(byte.count_ones())).sum();
    Some((pieces.saturating_mul(piece).min(total), total))
}

fn number(rest: &mut &[u8], bytes: usize) -> Option<u64> {
    let (head, tail) = rest.split_at_checked(bytes)?;
    *rest = tail;
    Some(head.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// A control file with these pieces done, for tests.
#[cfg(test)]
pub(super) fn write(piece: u32, total: u64, done: u64) -> Vec<u8> {
    let pieces = total.div_ceil(u64::from(piece));
    let mut bits = vec![0u8; usize::try_from(pieces.div_ceil(8)).unwrap()];
    for at in 0..done {
        bits[usize::try_from(at / 8).unwrap()] |= 0x80 >> (at % 8);
    }
    let mut out = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend(piece.to_be_bytes());
    out.extend(total.to_be_bytes());
    out.extend(0u64.to_be_bytes());
    out.extend(u32::try_from(bits.len()).unwrap().to_be_bytes());
    out.extend(bits);
    out.extend(0u32.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b2_a_control_file_tells_what_is_really_there() {
        assert_eq!(read(&write(1 << 20, 10 << 20, 4)), Some((4 << 20, 10 << 20)));
        assert_eq!(read(&write(1 << 20, (9 << 20) + 5, 10)), Some(((9 << 20) + 5, (9 << 20) + 5)));
        let whole = write(1 << 20, 10 << 20, 4);
        for cut in 0..whole.len() - 4 {
            assert_eq!(read(&whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(read(b"not a control file at all, but long enough to be one in every respect"), None);
    }
}
