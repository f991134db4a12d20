//! Reads how long sound plays: FLAC, Ogg, WAV, MP3.

use std::io;

use super::super::source::{BLOCK, Source, be32, le16, le32, le64};
use super::{Headers, Sort};

/// Chunks of a WAV looked at before its data.
const CHUNKS_MAX: u32 = 256;

/// FLAC: the stream's description (RFC 9639).
pub(super) fn flac(source: &mut Source<'_>, headers: &mut Headers) -> io::Result<()> {
    headers.audio_codec = Some("flac".into());
    let Some(head) = source.bytes::<26>(0)? else { return Ok(()) };
    let rate = u64::from(be32(&head, 18)) >> 12;
    let samples = u64::from(head[21] & 0x0f) << 32 | u64::from(be32(&head, 22));
    headers.duration(samples, rate);
    Ok(())
}

/// Ogg: the codec of the first page, the position on the last one (RFC 3533).
pub(super) fn ogg(source: &mut Source<'_>, headers: &mut Headers) -> io::Result<()> {
    let Some(head) = source.bytes::<64>(0)? else { return Ok(()) };
    let body = &head[28..];
    let (rate, skip) = if body.starts_with(b"OpusHead") {
        headers.audio_codec = Some("opus".into());
        (48_000, u64::from(le16(body, 10)))
    } else if body.starts_with(b"\x01vorbis") {
        headers.audio_codec = Some("vorbis".into());
        (u64::from(le32(body, 12)), 0)
    } else if body.starts_with(b"\x80theora") {
        headers.video_codec = Some("theora".into());
        headers.sort = Sort::Video;
        return Ok(());
    } else {
        return Ok(());
    };
    let len = source.len();
    let mut tail = vec![0u8; BLOCK.min(usize::try_from(len).unwrap_or(BLOCK))];
    let got = source.read_at(len - tail.len() as u64, &mut tail)?;
    if let Some(at) = memchr::memmem::rfind(&tail[..got], b"OggS") {
        let position = le64(&tail, at + 6);
        if position != u64::MAX {
            headers.duration(position.saturating_sub(skip), rate);
        }
    }
    Ok(())
}

/// WAV: bytes by bytes a second.
pub(super) fn wav(source: &mut Source<'_>, headers: &mut Headers) -> io::Result<()> {
    (headers.sort, headers.format) = (Sort::Audio, "wav");
    let (mut at, mut rate) = (12, 0);
    for _ in 0..CHUNKS_MAX {
        let Some(head) = source.bytes::<8>(at)? else { break };
        let size = u64::from(le32(&head, 4));
        match &head[..4] {
            b"fmt " => {
                let Some(body) = source.bytes::<12>(at + 8)? else { break };
                rate = u64::from(le32(&body, 8));
                headers.audio_codec =
                    Some(if le16(&body, 0) == 1 { "pcm".into() } else { format!("wav-{:04x}", le16(&body, 0)) });
            }
            b"data" => {
                headers.duration(size, rate);
                break;
            }
            _ => {}
        }
        at += 8 + size + size % 2;
    }
    Ok(())
}

/// Bit rates of MPEG 1 layer 3, and of MPEG 2, in kbit/s.
const RATES_1: [u64; 16] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0];
const RATES_2: [u64; 16] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0];

/// MP3: the count of frames where an encoder wrote one down (Xing), else by the rate of the first frame.
pub(super) fn mp3(source: &mut Source<'_>, headers: &mut Headers) -> io::Result<()> {
    headers.audio_codec = Some("mp3".into());
    let Some(tag) = source.bytes::<10>(0)? else { return Ok(()) };
    let mut at = 0;
    if tag.starts_with(b"ID3") {
        let size = tag[6..].iter().fold(0u64, |sum, b| sum << 7 | u64::from(b & 0x7f));
        at = 10 + size;
        if source.bytes::<4>(at)?.as_ref() == Some(b"fLaC") {
            headers.audio_codec = Some("flac".into());
            return Ok(());
        }
    }
    let Some(frame) = source.bytes::<48>(at)? else { return Ok(()) };
    if frame[0] != 0xff || frame[1] & 0xe0 != 0xe0 || frame[1] & 0x06 != 0x02 {
        return Ok(());
    }
    let first = frame[1] & 0x18 == 0x18;
    let base: u64 = [44_100, 48_000, 32_000, 0][usize::from(frame[2] >> 2 & 3)];
    let rate = match frame[1] & 0x18 {
        0x18 => base,
        0x10 => base / 2,
        _ => base / 4,
    };
    let mono = frame[3] >> 6 == 3;
    let offset = 4 + match (first, mono) {
        (true, false) => 32,
        (true, true) | (false, false) => 17,
        (false, true) => 9,
    };
    let per_frame = if first { 1_152 } else { 576 };
    let mark = frame.get(offset..offset + 4).unwrap_or_default();
    if (mark == b"Xing" || mark == b"Info") && be32(&frame, offset + 4) & 1 == 1 {
        headers.duration(u64::from(be32(&frame, offset + 8)) * per_frame, rate);
        return Ok(());
    }
    let kbits = if first { RATES_1 } else { RATES_2 }[usize::from(frame[2] >> 4)];
    headers.duration(source.len().saturating_sub(at).saturating_mul(8), kbits * 1_000);
    Ok(())
}
