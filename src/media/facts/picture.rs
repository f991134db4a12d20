//! Reads the size of pictures, and the header of AVI.

use std::io;

use super::super::source::{Source, le16, le32};
use super::{Headers, Sort, codec};

/// Segments of a JPEG looked at before its frame; a photograph has a dozen.
const SEGMENTS_MAX: u32 = 512;

/// ITU T.81: the first start-of-frame tells the size.
pub(super) fn jpeg(source: &mut Source<'_>, headers: &mut Headers) -> io::Result<()> {
    let mut at = 2;
    for _ in 0..SEGMENTS_MAX {
        let Some(head) = source.bytes::<9>(at)? else { break };
        if head[0] != 0xff {
            break;
        }
        match head[1] {
            0xff => at += 1,
            0x01 | 0xd0..=0xd7 => at += 2,
            // A start of frame, but not a table of Huffman codes, an extension or arithmetic conditioning.
            0xc0..=0xcf if !matches!(head[1], 0xc4 | 0xc8 | 0xcc) => {
                let half = |at: usize| u32::from(u16::from_be_bytes([head[at], head[at + 1]]));
                headers.pixels(half(7), half(5));
                break;
            }
            0xd8..=0xda => break,
            _ => at += 2 + u64::from(u16::from_be_bytes([head[2], head[3]])).max(2),
        }
    }
    Ok(())
}

/// PNG: the first chunk.
pub(super) fn png(source: &mut Source<'_>, headers: &mut Headers) -> io::Result<()> {
    if let Some(head) = source.bytes::<12>(12)?
        && head.starts_with(b"IHDR")
    {
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        headers.pixels(word(4), word(8));
    }
    Ok(())
}

/// GIF: the logical screen.
pub(super) fn gif(source: &mut Source<'_>, headers: &mut Headers) -> io::Result<()> {
    if let Some(head) = source.bytes::<4>(6)? {
        headers.pixels(u32::from(le16(&head, 0)), u32::from(le16(&head, 2)));
    }
    Ok(())
}

/// WebP: simple, lossless or extended.
pub(super) fn webp(source: &mut Source<'_>, headers: &mut Headers) -> io::Result<()> {
    (headers.sort, headers.format) = (Sort::Image, "webp");
    let Some(head) = source.bytes::<18>(12)? else { return Ok(()) };
    let three = |at: usize| u32::from(head[at]) | u32::from(head[at + 1]) << 8 | u32::from(head[at + 2]) << 16;
    match &head[..4] {
        b"VP8X" => headers.pixels(three(12) + 1, three(15) + 1),
        b"VP8L" => {
            let bits = le32(&head, 9);
            headers.pixels((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1);
        }
        b"VP8 " => headers.pixels(u32::from(le16(&head, 14)) & 0x3fff, u32::from(le16(&head, 16)) & 0x3fff),
        _ => {}
    }
    Ok(())
}

/// AVI: the main header, and the first stream's codec.
pub(super) fn avi(source: &mut Source<'_>, headers: &mut Headers) -> io::Result<()> {
    (headers.sort, headers.format) = (Sort::Video, "avi");
    // RIFF size AVI  LIST size hdrl avih size …
    let Some(head) = source.bytes::<56>(32)? else { return Ok(()) };
    let Some(first) = source.bytes::<4>(24)? else { return Ok(()) };
    if &first != b"avih" && &first != b"hdrl" {
        return Ok(());
    }
    let (micros, frames) = (le32(&head, 0), le32(&head, 16));
    headers.duration(u64::from(micros).saturating_mul(u64::from(frames)), 1_000_000);
    headers.pixels(le32(&head, 32), le32(&head, 36));
    let Some(stream) = source.bytes::<8>(108)? else { return Ok(()) };
    if &stream[..4] == b"vids" {
        headers.video_codec = codec(&stream[4..]);
    }
    Ok(())
}
