//! Decodes gzip members (RFC 1952) to the end: their own checksum and length prove them.

use std::io::{self, BufRead as _, Read as _};

use flate2::bufread::GzDecoder;

use super::source::{BLOCK, Source};
use super::{Found, State};

/// A cheap look decodes files up to this many bytes, compressed; beyond it only the header is looked at.
const CHEAP_INPUT: u64 = 64 << 20;
/// A cheap look gives up after this many bytes, decompressed: a bomb costs seconds, not hours.
const CHEAP_OUTPUT: u64 = 512 << 20;
/// Members in one file; log rotation appends one a day.
const MAX_MEMBERS: u32 = 1 << 20;

pub(super) fn walk(source: &mut Source<'_>) -> io::Result<Found> {
    let len = source.len();
    // Ten bytes of header, eight of trailer.
    if len < 18 {
        return Ok(Found::new(State::Short, "it is shorter than the smallest gzip file"));
    }
    if !source.deep() && len > CHEAP_INPUT {
        return Ok(Found::new(State::Unknown, "it begins as gzip; large ones are decoded by a deep check only"));
    }
    let limit = if source.deep() { u64::MAX } else { CHEAP_OUTPUT };
    let mut input = source.section(0, len)?;
    let (mut out, mut members) = (0u64, 0);
    let mut block = vec![0; BLOCK];
    loop {
        let mut decoder = GzDecoder::new(input);
        loop {
            match decoder.read(&mut block) {
                Ok(0) => break,
                Ok(n) => out = out.saturating_add(n as u64),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(
                        Found::new(State::Short, "the compressed data ends too early").with("decoded_bytes", out)
                    );
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                    return Ok(Found::new(State::Broken, format!("the compressed data is damaged: {error}"))
                        .with("decoded_bytes", out));
                }
                Err(error) => return Err(error),
            }
            if out > limit {
                return Ok(Found::new(State::Unknown, "it decompresses to more than a cheap check decodes"));
            }
        }
        members += 1;
        input = decoder.into_inner();
        let next = input.fill_buf()?;
        // One more byte alone may be the first half of a mark at the border of two blocks.
        let more = matches!(next, [0x1f] | [0x1f, 0x8b, ..]);
        if !more || members >= MAX_MEMBERS {
            let trailing = !next.is_empty();
            return Ok(Found::new(State::Sound, "it decodes to the end and its checksum is right")
                .with("decoded_bytes", out)
                .with("members", members)
                .with("trailing_bytes", trailing));
        }
    }
}
