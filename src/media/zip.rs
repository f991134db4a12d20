//! Walks ZIP archives (PKWARE APPNOTE 6.3): the directory at the end, the bounds of every entry, deep their CRCs.

use std::io::{self, Read};

use flate2::bufread::DeflateDecoder;

use super::source::{BLOCK, Source, le16, le32, le64};
use super::{Found, State};

/// Entries looked at; beyond it the archive is only known to end well.
const MAX_ENTRIES: u64 = 1 << 20;
/// The end record with the longest comment.
const END_SEARCH: u64 = 22 + 65_535;
const END: [u8; 4] = *b"PK\x05\x06";
const END64_LOCATOR: [u8; 4] = *b"PK\x06\x07";
const END64: [u8; 4] = *b"PK\x06\x06";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";
/// 32 bits full of ones: the real number stands in the ZIP64 extra field.
const IN_EXTRA: u64 = 0xffff_ffff;

struct Directory {
    entries: u64,
    size: u64,
    offset: u64,
    /// Where the end record begins.
    end: u64,
    /// It says that it is one of several files.
    parts: bool,
}

struct Entry {
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    local: u64,
    /// Bytes of this central record.
    record: u64,
}

pub(super) fn walk(source: &mut Source<'_>) -> io::Result<Found> {
    let Some(directory) = directory(source)? else {
        return Ok(Found::new(State::Short, "the directory at the end is missing"));
    };
    if directory.parts {
        return Ok(Found::new(State::Unknown, "it is one part of several; the others are needed to tell"));
    }
    let start = directory.end.checked_sub(directory.size);
    // Bytes before the archive (a self-extracting program) shift every offset.
    let Some((start, shift)) = start.and_then(|start| start.checked_sub(directory.offset).map(|shift| (start, shift)))
    else {
        return Ok(Found::new(State::Broken, "the directory does not fit into the file"));
    };
    let (mut at, mut seen, mut proven) = (start, 0u64, 0u64);
    while seen < directory.entries.min(MAX_ENTRIES) {
        let Some(entry) = entry(source, at)? else {
            return Ok(Found::new(State::Broken, format!("the directory is damaged at byte {at}")).with("offset", at));
        };
        at += entry.record;
        seen += 1;
        let local = entry.local.saturating_add(shift);
        let Some(head) = source.bytes::<30>(local)?.filter(|head| head[..4] == LOCAL) else {
            return Ok(Found::new(State::Broken, format!("entry {seen} is not where the directory says"))
                .with("offset", local));
        };
        let data = local + 30 + u64::from(le16(&head, 26)) + u64::from(le16(&head, 28));
        let end = data.saturating_add(entry.packed);
        if end > start {
            return Ok(Found::new(State::Broken, format!("entry {seen} reaches beyond the data")).with("offset", local));
        }
        if source.deep() {
            match proof(source, &entry, data, end)? {
                Some(true) => proven += 1,
                Some(false) => {
                    return Ok(Found::new(State::Broken, format!("the checksum of entry {seen} is wrong"))
                        .with("offset", local));
                }
                None => {}
            }
        }
    }
    if at > directory.end {
        return Ok(Found::new(State::Broken, "the directory is longer than it says"));
    }
    let detail = if source.deep() {
        "the directory is complete and the checksums are right"
    } else {
        "the directory is complete and every entry lies in the file"
    };
    Ok(Found::new(State::Sound, detail).with("entries", seen).with("checksums_proven", proven))
}

/// Whether an end record stands where it should: a program may stand before an archive.
pub(super) fn ends(source: &mut Source<'_>) -> io::Result<bool> {
    Ok(directory(source)?.is_some())
}

/// The end record, by its mark and its comment's length.
fn directory(source: &mut Source<'_>) -> io::Result<Option<Directory>> {
    let len = source.len();
    let from = len.saturating_sub(END_SEARCH);
    let mut tail = vec![0; usize::try_from(len - from).unwrap_or(0)];
    let got = source.read_at(from, &mut tail)?;
    tail.truncate(got);
    let found = (0..tail.len().saturating_sub(21))
        .rev()
        .find(|&at| tail[at..].starts_with(&END) && at + 22 + usize::from(le16(&tail, at + 20)) <= tail.len());
    let Some(at) = found else { return Ok(None) };
    let end = from + at as u64;
    let mut directory = Directory {
        entries: u64::from(le16(&tail, at + 10)),
        size: u64::from(le32(&tail, at + 12)),
        offset: u64::from(le32(&tail, at + 16)),
        end,
        // All ones: the number stands in the wide record.
        parts: ![0, 0xffff].contains(&le16(&tail, at + 4)),
    };
    // The wide record may be there though nothing needs it: archives that were written to a pipe have it.
    let locator = match end.checked_sub(20) {
        Some(at) => source.bytes::<20>(at)?.filter(|bytes| bytes[..4] == END64_LOCATOR),
        None => None,
    };
    if let Some(locator) = locator {
        // Where bytes stand before the archive, the record is behind where it says: right before its locator.
        let mut at = le64(&locator, 8);
        let mut wide = source.bytes::<56>(at)?.filter(|bytes| bytes[..4] == END64);
        if wide.is_none() {
            at = end.saturating_sub(20 + 56);
            wide = source.bytes::<56>(at)?.filter(|bytes| bytes[..4] == END64);
        }
        let Some(wide) = wide else { return Ok(None) };
        directory = Directory {
            entries: le64(&wide, 32),
            size: le64(&wide, 40),
            offset: le64(&wide, 48),
            end: at,
            parts: le32(&wide, 16) > 0,
        };
    }
    Ok(Some(directory))
}

fn entry(source: &mut Source<'_>, at: u64) -> io::Result<Option<Entry>> {
    let Some(head) = source.bytes::<46>(at)?.filter(|head| head[..4] == CENTRAL) else { return Ok(None) };
    let (name, extra, comment) = (le16(&head, 28), le16(&head, 30), le16(&head, 32));
    let mut entry = Entry {
        flags: le16(&head, 8),
        method: le16(&head, 10),
        crc: le32(&head, 16),
        packed: u64::from(le32(&head, 20)),
        size: u64::from(le32(&head, 24)),
        local: u64::from(le32(&head, 42)),
        record: 46 + u64::from(name) + u64::from(extra) + u64::from(comment),
    };
    if [entry.packed, entry.size, entry.local].contains(&IN_EXTRA) {
        let mut field = vec![0; usize::from(extra)];
        let got = source.read_at(at + 46 + u64::from(name), &mut field)?;
        widen(&mut entry, &field[..got]);
    }
    Ok(Some(entry))
}

/// Takes the numbers that did not fit from the ZIP64 extra field, in their fixed order.
fn widen(entry: &mut Entry, mut field: &[u8]) {
    while field.len() >= 4 {
        let size = usize::from(le16(field, 2));
        let body = field.get(4..4 + size).unwrap_or_default();
        if le16(field, 0) == 1 {
            let mut at = 0;
            for number in [&mut entry.size, &mut entry.packed, &mut entry.local] {
                if *number == IN_EXTRA && body.len() >= at + 8 {
                    *number = le64(body, at);
                    at += 8;
                }
            }
            return;
        }
        field = field.get(4 + size..).unwrap_or_default();
    }
}

/// Whether the entry's data has the CRC it should; `None` when it is encrypted or packed in a way we do not know.
fn proof(source: &mut Source<'_>, entry: &Entry, data: u64, end: u64) -> io::Result<Option<bool>> {
    if entry.flags & 1 != 0 {
        return Ok(None);
    }
    let mut crc = crc32fast::Hasher::new();
    let mut size = 0u64;
    match entry.method {
        0 => {
            size = source.stream(data, end, |block| {
                crc.update(block);
                true
            })?;
        }
        8 => {
            let mut decoder = DeflateDecoder::new(source.section(data, end)?);
            let mut block = vec![0; BLOCK];
            loop {
                match decoder.read(&mut block) {
                    Ok(0) => break,
                    Ok(n) => {
                        crc.update(&block[..n]);
                        size = size.saturating_add(n as u64);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Other => return Err(error),
                    Err(_) => return Ok(Some(false)),
                }
                // More than was announced: a bomb, or damage; either way it is wrong.
                if size > entry.size {
                    return Ok(Some(false));
                }
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(size == entry.size && crc.finalize() == entry.crc))
}
