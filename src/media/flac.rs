//! Walks FLAC (RFC 9639): the metadata adds up, and a last frame whose checksum is right ends the file.

use std::io;

use super::source::{Source, be32};
use super::{Found, State};

/// Metadata blocks looked at; covers and cue sheets make a dozen.
const MAX_BLOCKS: u32 = 4096;
/// How far before the end the last frame may begin: eight channels of 24 bits, 16,384 samples, and then some.
const LAST_FRAME: u64 = 512 << 10;
/// The smallest frame: head, one constant channel, checksum.
const MIN_FRAME: usize = 10;
/// Frame beginnings tried; a file made to look like thousands of them must not cost minutes.
const MAX_CANDIDATES: u32 = 64;

pub(super) fn walk(source: &mut Source<'_>) -> io::Result<Found> {
    let (mut at, description) = (4u64, source.bytes::<34>(8)?.unwrap_or([0; 34]));
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
            return frames(source, at, description);
        }
    }
    Ok(Found::new(State::Short, "it is cut inside its metadata"))
}

fn frames(source: &mut Source<'_>, start: u64, description: [u8; 34]) -> io::Result<Found> {
    // Samples in a block, and in all (36 bits; 0: not known).
    let block = u64::from(u16::from_be_bytes([description[0], description[1]]));
    let total = Some(u64::from(description[13] & 0xf) << 32 | u64::from(be32(&description, 14))).filter(|all| *all > 0);
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
    let extra = super::frames::tags(&tail).min(tail.len());
    tail.truncate(tail.len() - extra);
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
        let (whole, early) = crc16(&tail[at..]);
        // Where all blocks are of one size, the last frame tells that it is the last one.
        let fixed = tail[at + 1] & 1 == 0 && description[..2] == description[2..4];
        if whole && fixed && total.is_some_and(|total| last_sample(&tail[at..], block) < total) {
            return Ok(Found::new(State::Short, "it ends with a whole frame, which is not the last one"));
        }
        if whole {
            let found = Found::new(State::Sound, "the metadata is complete and the last frame's checksum is right");
            return Ok(if extra > 0 { found.with("trailing_bytes", extra) } else { found });
        }
        // The frame that holds the last sample begins here, or a frame ends somewhere behind here and none follows: its end
        // is missing, or something stands behind it.
        let last = total.is_some_and(|total| last_sample(&tail[at..], block) >= total);
        if last || (total.is_none() && candidates == 1 && early) {
            return Ok(Found::new(State::Unknown, "the last frame is there, but the file does not end with it"));
        }
    }
    Ok(Found::new(State::Short, "no complete frame stands at its end"))
}

/// The number of the sample behind this frame's last one, where its header counts it.
fn last_sample(frame: &[u8], block: u64) -> u64 {
    let first = frame[4];
    let extra = if first < 0x80 { 0 } else { first.leading_ones().saturating_sub(1) as usize };
    let mask = if first < 0x80 { 0x7f } else { 0x7f_u8.checked_shr(first.leading_ones()).unwrap_or(0) };
    let more = frame.get(5..5 + extra).unwrap_or_default();
    let number = more.iter().fold(u64::from(first & mask), |sum, byte| (sum << 6) | u64::from(byte & 0x3f));
    // The lowest bit of the sync code says whether samples or frames are counted.
    let before = if frame[1] & 1 == 1 { number } else { number.saturating_mul(block) };
    before.saturating_add(block)
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

/// Whether the CRC-16 of all of it is 0; and whether that of a part is, which is long enough for a frame.
fn crc16(bytes: &[u8]) -> (bool, bool) {
    let (mut crc, mut early) = (0u16, false);
    for (place, byte) in bytes.iter().enumerate() {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x8005 } else { crc << 1 };
        }
        early |= crc == 0 && place > MIN_FRAME;
    }
    (crc == 0, early)
}
