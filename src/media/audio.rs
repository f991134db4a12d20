//! Walks Ogg pages (RFC 3533) and reads the length that encoders write into the first frame of an MP3.

use std::io;

use super::source::{Source, be32, le32};
use super::{Found, State};

/// Pages looked at; a page holds about 4 KB, so this is far above any recording.
const MAX_PAGES: u32 = 1 << 22;
/// Streams side by side in one file.
const MAX_STREAMS: usize = 64;
/// The largest frame of an MP3: cutters that do not mind the last one are forgiven.
const MP3_FRAME: u64 = 1441;

/// Ogg: every page is complete and every stream that began has its last page.
pub(super) fn ogg(source: &mut Source<'_>) -> io::Result<Found> {
    let len = source.len();
    let (mut at, mut open, mut begun) = (0u64, Vec::<u32>::new(), 0u32);
    for _ in 0..MAX_PAGES {
        if at == len {
            break;
        }
        let Some(head) = source.bytes::<27>(at)? else {
            return Ok(Found::new(State::Short, format!("a page is cut at byte {at}")).with("offset", at));
        };
        if head[..5] != *b"OggS\0" {
            let found = match (begun, open.is_empty()) {
                // Tags and padding may follow the last page.
                (1.., true) => Found::new(State::Sound, "every stream is complete").with("trailing_bytes", len - at),
                _ => Found::new(State::Broken, format!("no page begins at byte {at}")).with("offset", at),
            };
            return Ok(found);
        }
        let mut table = [0u8; 255];
        let segments = usize::from(head[26]);
        let got = source.read_at(at + 27, &mut table[..segments])?;
        let end = at + 27 + segments as u64 + table[..got].iter().map(|size| u64::from(*size)).sum::<u64>();
        if got < segments || end > len {
            return Ok(Found::new(State::Short, format!("the page at byte {at} is cut")).with("offset", at));
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

/// MP3: the number of bytes in the Xing or Info tag of the first frame, where the encoder wrote one.
pub(super) fn mp3(source: &mut Source<'_>) -> io::Result<Found> {
    let mut at = 0u64;
    if let Some(tag) = source.bytes::<10>(0)?.filter(|tag| tag[..3] == *b"ID3") {
        let size = tag[6..].iter().fold(0u64, |sum, byte| (sum << 7) | u64::from(byte & 0x7f));
        at = 10 + size + if tag[5] & 0x10 != 0 { 10 } else { 0 };
        if at >= source.len() {
            return Ok(Found::new(State::Short, "it is cut inside its tag"));
        }
    }
    let untold = Found::new(State::Unknown, "it does not say how long it is");
    let mut frame = [0u8; 48];
    let got = source.read_at(at, &mut frame)?;
    if got < frame.len() || frame[0] != 0xff || frame[1] & 0xe0 != 0xe0 {
        return Ok(untold);
    }
    let (mpeg1, mono) = (frame[1] & 0x18 == 0x18, frame[3] >> 6 == 3);
    let side = match (mpeg1, mono) {
        (true, false) => 32,
        (true, true) | (false, false) => 17,
        (false, true) => 9,
    };
    let mark = 4 + side;
    let (name, flags) = (&frame[mark..mark + 4], be32(&frame, mark + 4));
    if (name != b"Xing" && name != b"Info") || flags & 2 == 0 {
        return Ok(untold);
    }
    // The count of frames stands before the count of bytes, where it is there at all.
    let place = at + mark as u64 + 8 + u64::from(flags & 1) * 4;
    let Some(bytes) = source.bytes::<4>(place)? else { return Ok(untold) };
    let bytes = u64::from(u32::from_be_bytes(bytes));
    let end = at + bytes;
    Ok(if bytes == 0 {
        untold
    } else if end > source.len() + MP3_FRAME {
        let missing = end - source.len();
        Found::new(State::Short, format!("it should be {missing} bytes longer")).with("missing_bytes", missing)
    } else if end > source.len() {
        untold
    } else {
        Found::new(State::Sound, "it is as long as its first frame says")
    })
}
