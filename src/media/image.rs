//! Walks the small formats: JPEG, PNG, GIF and the end of PDF.

use std::io::{self, Read};

use super::source::{Source, be32};
use super::{Found, State};

/// Bytes of a JPEG looked through for its end; no camera writes more.
const JPEG_LIMIT: u64 = 512 << 20;
/// So far it is looked for the next marker where none stands.
const JPEG_ODD: u64 = 64 << 10;
/// Chunks of a PNG looked at.
const MAX_CHUNKS: u32 = 1 << 20;
/// Segments of a JPEG looked at.
const MAX_SEGMENTS: u32 = 1 << 16;
/// The end mark of a PDF stands within its last bytes.
const PDF_TAIL: u64 = 1024;

/// ITU-T T.81: segments up to the scan, then data up to the end mark.
pub(super) fn jpeg(source: &mut Source<'_>) -> io::Result<Found> {
    let len = source.len().min(JPEG_LIMIT);
    let (mut at, mut frame, mut scan) = (2u64, false, false);
    // Where bytes stand between two segments that belong to neither: readers skip them, so they prove no damage.
    let mut odd = None;
    for _ in 0..MAX_SEGMENTS {
        let Some([mark, code]) = source.bytes::<2>(at)? else { break };
        if mark != 0xff {
            let near = len.min(at + JPEG_ODD);
            match next_marker(source, at, near)? {
                Some(next) if odd.is_none() => (odd, at) = (Some(at), next),
                _ => {
                    return Ok(Found::new(State::Broken, format!("no marker stands at byte {at}")).with("offset", at));
                }
            }
            continue;
        }
        match code {
            0xff => at += 1, // Fill bytes may stand before a marker.
            0xd9 if frame && scan => {
                let found = match odd {
                    None => Found::new(State::Sound, "frame, scan and end mark are there"),
                    Some(place) => {
                        let why = format!("frame, scan and end mark are there, but odd bytes stand at {place}");
                        Found::new(State::Unknown, why).with("offset", place)
                    }
                };
                return Ok(if at + 2 < len { found.with("trailing_bytes", len - at - 2) } else { found });
            }
            0xd9 => return Ok(Found::new(State::Broken, "it ends before any picture").with("offset", at)),
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => {
                let Some(size) = source.bytes::<2>(at + 2)? else { break };
                let size = u64::from(u16::from_be_bytes(size));
                if size < 2 {
                    return Ok(
                        Found::new(State::Broken, format!("a segment at byte {at} has no size")).with("offset", at)
                    );
                }
                frame |= (0xc0..=0xcf).contains(&code) && ![0xc4, 0xc8, 0xcc].contains(&code);
                at += 2 + size;
                if code == 0xda {
                    scan = true;
                    match next_marker(source, at, len)? {
                        Some(marker) => at = marker,
                        None => break,
                    }
                }
            }
        }
    }
    Ok(Found::new(State::Short, "the end mark (EOI) is missing").with("scan", scan))
}

/// Where the next marker begins behind entropy-coded data, in which 0xff is followed by 0 or a restart mark.
fn next_marker(source: &mut Source<'_>, start: u64, end: u64) -> io::Result<Option<u64>> {
    let (mut at, mut previous, mut found) = (start, 0u8, None);
    source.stream(start, end, |block| {
        for byte in block {
            if previous == 0xff && *byte != 0 && *byte != 0xff && !(0xd0..=0xd7).contains(byte) {
                found = Some(at - 1);
                return false;
            }
            previous = *byte;
            at += 1;
        }
        true
    })?;
    Ok(found)
}

/// ISO/IEC 15948: chunks with their CRC, from IHDR to IEND.
pub(super) fn png(source: &mut Source<'_>) -> io::Result<Found> {
    let cut = |at: u64| Found::new(State::Short, format!("it is cut at byte {at}")).with("offset", at);
    let (mut at, mut data) = (8u64, false);
    for count in 0..MAX_CHUNKS {
        let Some(head) = source.bytes::<8>(at)? else { return Ok(cut(at)) };
        let (size, name) = (be32(&head, 0), &head[4..8]);
        if size > 0x7fff_ffff || !name.iter().all(u8::is_ascii_alphabetic) || (count == 0 && name != b"IHDR") {
            return Ok(Found::new(State::Broken, format!("what stands at byte {at} is no chunk")).with("offset", at));
        }
        let end = at + 8 + u64::from(size);
        if end + 4 > source.len() {
            return Ok(cut(at).with("missing_bytes", end + 4 - source.len()));
        }
        let mut crc = crc32fast::Hasher::new();
        source.stream(at + 4, end, |block| {
            crc.update(block);
            true
        })?;
        let Some(wanted) = source.bytes::<4>(end)? else { return Ok(cut(at)) };
        if crc.finalize() != u32::from_be_bytes(wanted) {
            return Ok(Found::new(State::Broken, format!("the checksum of the chunk at byte {at} is wrong"))
                .with("offset", at));
        }
        data |= name == b"IDAT";
        if name == b"IEND" {
            let state = if data { State::Sound } else { State::Broken };
            let detail = if data { "every chunk is complete and its checksum right" } else { "it holds no picture" };
            let found = Found::new(state, detail).with("chunks", count + 1);
            let extra = source.len().saturating_sub(end + 4);
            return Ok(if extra > 0 { found.with("trailing_bytes", extra) } else { found });
        }
        at = end + 4;
    }
    Ok(Found::new(State::Unknown, format!("it has more than {MAX_CHUNKS} chunks")))
}

/// The end mark of a PDF.
pub(super) fn pdf(source: &mut Source<'_>) -> io::Result<Found> {
    let from = source.len().saturating_sub(PDF_TAIL);
    let mut tail = vec![0; usize::try_from(source.len() - from).unwrap_or(0)];
    let got = source.read_at(from, &mut tail)?;
    Ok(if tail[..got].windows(5).any(|word| word == b"%%EOF") {
        Found::new(State::Sound, "the end mark is there")
    } else {
        Found::new(State::Short, "the end mark (%%EOF) is missing")
    })
}

/// GIF89a: blocks up to the trailer.
pub(super) fn gif(source: &mut Source<'_>) -> io::Result<Found> {
    let len = source.len();
    match gif_blocks(&mut source.section(0, len)?) {
        Ok(found) => Ok(found),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Ok(Found::new(State::Short, "the trailer is missing"))
        }
        Err(error) => Err(error),
    }
}

fn gif_blocks(input: &mut impl Read) -> io::Result<Found> {
    let mut head = [0; 13];
    input.read_exact(&mut head)?;
    skip_table(input, head[10])?;
    let mut pictures = 0u64;
    // Every turn reads at least one byte: the file bounds the loop.
    loop {
        match byte(input)? {
            // Some writers leave a zero between blocks; readers pass over it.
            0 => continue,
            0x21 => {
                byte(input)?;
            }
            0x2c => {
                let mut place = [0; 9];
                input.read_exact(&mut place)?;
                skip_table(input, place[8])?;
                byte(input)?;
                pictures += 1;
            }
            0x3b if pictures > 0 => {
                let found =
                    Found::new(State::Sound, "every block and the trailer are there").with("pictures", pictures);
                return Ok(if byte(input).is_ok() { found.with("trailing_bytes", true) } else { found });
            }
            _ => return Ok(Found::new(State::Broken, "what stands between its blocks is no block")),
        }
        skip_blocks(input)?;
    }
}

fn byte(input: &mut impl Read) -> io::Result<u8> {
    let mut one = [0; 1];
    input.read_exact(&mut one)?;
    Ok(one[0])
}

/// Skips a colour table, where the flags say that there is one.
fn skip_table(input: &mut impl Read, flags: u8) -> io::Result<()> {
    let size = if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 };
    let mut table = [0; 3 << 8];
    input.read_exact(&mut table[..size])
}

fn skip_blocks(input: &mut impl Read) -> io::Result<()> {
    let mut block = [0; 255];
    loop {
        let size = usize::from(byte(input)?);
        if size == 0 {
            return Ok(());
        }
        input.read_exact(&mut block[..size])?;
    }
}
