//! Walks FLAC (RFC 9639): the metadata adds up, and a last frame whose checksum is right ends the file.

use std::io;

use super::source::Source;
use super::{Found, State};

/// Metadata blocks looked at; covers and cue sheets make a dozen.
const MAX_BLOCKS: u32 = 4096;
/// How far before the end the last frame may begin: eight channels of 24 bits, 16,384 samples, and then some.
const LAST_FRAME: u64 = 512 << 10;
/// Frame beginnings tried; a file made to look like thousands of them must not cost minutes.
const MAX_CANDIDATES: u32 = 64;

pub(super) fn walk(source: &mut Source<'_>) -> io::Result<Found> {
    let mut at = 4u64;
    for count in 0..MAX_BLOCKS {
        let Some(head) = source.bytes::<4>(at)? else { break };
        let size = u64::from(u32::from_be_bytes([0, head[1], head[2], head[3]]));
        if count == 0 && (head[0] & 0x7f != 0 || size != 34) {
            return Ok(Found::new(State::Broken, "it does not begin with its stream description"));
        }
        if head[0] & 0x7f == 127 {
            return Ok(Found::new(State::Broken, format!("the metadata is damaged at byte {at}")).with("offset", at));
        }
        at += 4 + size;
        if at >= source.len() {
            break;
        }
        if head[0] & 0x80 != 0 {
            return frames(source, at);
        }
    }
    Ok(Found::new(State::Short, "it is cut inside its metadata"))
}

fn frames(source: &mut Source<'_>, start: u64) -> io::Result<Found> {
    match source.bytes::<2>(start)? {
        Some([0xff, second]) if second & 0xfe == 0xf8 => {}
        Some(_) => {
            return Ok(Found::new(State::Broken, format!("no frame begins at byte {start}")).with("offset", start));
        }
        None => return Ok(Found::new(State::Short, "no frame follows the metadata")),
    }
    let from = start.max(source.len().saturating_sub(LAST_FRAME));
    let mut tail = vec![0; usize::try_from(source.len() - from).unwrap_or(0)];
    let got = source.read_at(from, &mut tail)?;
    tail.truncate(got);
    // An ID3v1 tag may stand behind the last frame.
    if tail.len() > 128 && tail[tail.len() - 128..].starts_with(b"TAG") {
        tail.truncate(tail.len() - 128);
    }
    // The CRC-16 of a whole frame, its own CRC included, is 0. One pass from the end: a frame that begins at any
    // sync mark and runs to the end of the file proves that the file ends where a frame does.
    let mut candidates = 0;
    for at in (0..tail.len().saturating_sub(10)).rev() {
        let sync = tail[at] == 0xff && tail[at + 1] & 0xfe == 0xf8;
        if !sync || !header_is_right(&tail[at..]) {
            continue;
        }
        candidates += 1;
        if candidates > MAX_CANDIDATES {
            return Ok(Found::new(State::Unknown, "its end looks like very many frames"));
        }
        source.pulse()?;
        if crc16(&tail[at..]) == 0 {
            return Ok(Found::new(State::Sound, "the metadata is complete and the last frame's checksum is right"));
        }
    }
    Ok(Found::new(State::Short, "no complete frame stands at its end"))
}

/// Whether the frame header that begins here has the right CRC-8; its length follows from its own fields.
fn header_is_right(frame: &[u8]) -> bool {
    let number = match frame[4] {
        0..=0x7f => 1,
        first => first.leading_ones() as usize,
    };
    let block = match frame[2] >> 4 {
        6 => 1,
        7 => 2,
        _ => 0,
    };
    let rate = match frame[2] & 0xf {
        12 => 1,
        13 | 14 => 2,
        _ => 0,
    };
    let size = 4 + number + block + rate;
    frame.get(..=size).is_some_and(|header| crc8(header) == 0)
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| if crc & 0x80 != 0 { (crc << 1) ^ 0x07 } else { crc << 1 })
    })
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc: u16, _| {
                if crc & 0x8000 != 0 { (crc << 1) ^ 0x8005 } else { crc << 1 }
            },
        )
    })
}
