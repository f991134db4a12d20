//! Walks Ogg pages (RFC 3533): each has a checksum, each stream a last page.

use std::io;

use super::source::{Source, le32};
use super::{Found, State};

/// Pages looked at; a page holds about 4 KB, so this is far above any recording.
const MAX_PAGES: u32 = 1 << 22;
/// Streams side by side in one file.
const MAX_STREAMS: usize = 64;
/// Files up to this many bytes have every checksum proven by a cheap look: all voice messages and songs.
const CHEAP: u64 = 32 << 20;

/// Ogg: every page is complete and every stream that began has its last page.
pub(super) fn ogg(source: &mut Source<'_>) -> io::Result<Found> {
    let len = source.len();
    let (mut at, mut open, mut begun) = (0u64, Vec::<u32>::new(), 0u32);
    for _ in 0..MAX_PAGES {
        if at == len {
            break;
        }
        let head = source.bytes::<27>(at)?;
        let Some(head) = head.filter(|head| head[..5] == *b"OggS\0") else {
            return Ok(match (begun, open.is_empty(), head) {
                // Tags and padding may follow the last page.
                (1.., true, _) => Found::new(State::Sound, "every stream is complete").with("trailing_bytes", len - at),
                (_, _, None) => Found::new(State::Short, format!("a page is cut at byte {at}")).with("offset", at),
                _ => Found::new(State::Broken, format!("no page begins at byte {at}")).with("offset", at),
            });
        };
        let mut table = [0u8; 255];
        let segments = usize::from(head[26]);
        let got = source.read_at(at + 27, &mut table[..segments])?;
        let end = at + 27 + segments as u64 + table[..got].iter().map(|size| u64::from(*size)).sum::<u64>();
        if got < segments || end > len {
            return Ok(Found::new(State::Short, format!("the page at byte {at} is cut")).with("offset", at));
        }
        if (source.deep() || len <= CHEAP) && !checksum_is_right(source, at, end)? {
            return Ok(
                Found::new(State::Broken, format!("the checksum of the page at byte {at} is wrong")).with("offset", at)
            );
        }
        let serial = le32(&head, 14);
        if head[5] & 2 != 0 && open.len() < MAX_STREAMS {
            begun = begun.saturating_add(1);
            open.push(serial);
        }
        if head[5] & 4 != 0 {
            open.retain(|stream| *stream != serial);
        }
        at = end;
    }
    Ok(if begun == 0 {
        Found::new(State::Broken, "no stream begins in it")
    } else if at == len && open.is_empty() {
        Found::new(State::Sound, "every page is complete and every stream has its last one")
    } else {
        // Live recordings end like this, and so do files cut between two pages.
        Found::new(State::Unknown, "every page is complete, but a stream has no last page")
    })
}

/// The CRC-32 of a page, its own field taken as zero: polynomial 0x04c11db7, not reflected, beginning with 0.
fn checksum_is_right(source: &mut Source<'_>, start: u64, end: u64) -> io::Result<bool> {
    let (mut crc, mut wanted, mut place) = (0u32, 0u32, 0u32);
    source.stream(start, end, |block| {
        for byte in block {
            let own = (22..26).contains(&place);
            if own {
                wanted |= u32::from(*byte) << ((place - 22) * 8);
            }
            let byte = if own { 0 } else { *byte };
            crc = (crc << 8) ^ CRC[usize::from((crc >> 24) as u8 ^ byte)];
            place = place.saturating_add(1);
        }
        true
    })?;
    Ok(crc == wanted)
}

static CRC: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut at = 0;
    while at < 256 {
        let (mut value, mut bit) = ((at as u32) << 24, 0);
        while bit < 8 {
            value = if value & 0x8000_0000 != 0 { (value << 1) ^ 0x04c1_1db7 } else { value << 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
}
