//! Reads the description of a Matroska or WebM file (RFC 9559): duration, tracks, codecs.

use std::io;

use super::super::source::Source;
use super::{CODEC_MAX, Headers, Sort, codec};

/// Elements looked at: the description stands before the first cluster.
const ELEMENTS_MAX: u32 = 4_096;
const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
const CLUSTER: u32 = 0x1f43_b675;
const TRACK: u32 = 0xae;
const VIDEO: u32 = 0xe0;

struct Element {
    id: u32,
    body: u64,
    end: u64,
}

fn element(source: &mut Source<'_>, at: u64, limit: u64) -> io::Result<Option<Element>> {
    let mut raw = [0u8; 12];
    let got = source.read_at(at, &mut raw)?;
    let raw = &raw[..got];
    let Some(first) = raw.first() else { return Ok(None) };
    let id_len = first.leading_zeros() as usize + 1;
    let Some(size_first) = raw.get(id_len).filter(|_| id_len <= 4) else { return Ok(None) };
    let size_len = size_first.leading_zeros() as usize + 1;
    let Some(size) = raw.get(id_len..id_len + size_len).filter(|_| size_len <= 8) else { return Ok(None) };
    let id = raw[..id_len].iter().fold(0, |sum, b| (sum << 8) | u32::from(*b));
    let all = size.iter().fold(0u64, |sum, b| (sum << 8) | u64::from(*b));
    let mask = (1u64 << (7 * size_len)) - 1;
    let body = at + (id_len + size_len) as u64;
    let end = if all & mask == mask { limit } else { body.saturating_add(all & mask).min(limit) };
    Ok((end >= body).then_some(Element { id, body, end }))
}

#[derive(Default)]
struct Track {
    sort: u64,
    codec: Option<String>,
    pixels: (u32, u32),
}

pub(super) fn read(source: &mut Source<'_>, headers: &mut Headers) -> io::Result<()> {
    let len = source.len();
    let mut tracks: Vec<Track> = Vec::new();
    let (mut scale, mut units) = (1_000_000u64, 0f64);
    let mut todo = vec![(0, len)];
    let mut count = 0;
    'all: while let Some((mut at, end)) = todo.pop() {
        while at < end {
            count += 1;
            if count > ELEMENTS_MAX {
                break 'all;
            }
            let Some(found) = element(source, at, end)? else { break };
            at = found.end;
            match found.id {
                EBML | SEGMENT | INFO | TRACKS | TRACK | VIDEO => {
                    if found.id == TRACK {
                        tracks.push(Track::default());
                    }
                    todo.push((at, end));
                    todo.push((found.body, found.end));
                    break;
                }
                CLUSTER => break 'all,
                0x2a_d7b1 => scale = number(source, &found)?,
                0x4489 => units = float(source, &found)?,
                0x83 | 0xb0 | 0xba => {
                    let value = number(source, &found)?;
                    let Some(track) = tracks.last_mut() else { continue };
                    let pixels = u32::try_from(value).unwrap_or(0);
                    match found.id {
                        0x83 => track.sort = value,
                        0xb0 => track.pixels.0 = pixels,
                        _ => track.pixels.1 = pixels,
                    }
                }
                0x86 => {
                    let mut name = [0u8; CODEC_MAX];
                    let want = usize::try_from(found.end - found.body).unwrap_or(CODEC_MAX).min(CODEC_MAX);
                    let got = source.read_at(found.body, &mut name[..want])?;
                    if let Some(track) = tracks.last_mut() {
                        track.codec = codec(&name[..got]);
                    }
                }
                0x4282 if source.bytes::<4>(found.body)?.as_ref() == Some(b"webm") => headers.format = "webm",
                _ => {}
            }
        }
    }
    if units.is_finite() && units > 0.0 {
        let ns = units * scale as f64;
        headers.duration((ns / 1_000_000.0).min(1e15) as u64, 1_000);
    }
    if let Some(video) = tracks.iter().find(|track| track.sort == 1) {
        headers.video_codec.clone_from(&video.codec);
        headers.pixels(video.pixels.0, video.pixels.1);
    } else if tracks.iter().any(|track| track.sort == 2) {
        headers.sort = Sort::Audio;
    }
    headers.audio_codec = tracks.iter().find(|track| track.sort == 2).and_then(|track| track.codec.clone());
    Ok(())
}

/// An unsigned number of up to eight bytes; longer ones are none.
fn number(source: &mut Source<'_>, found: &Element) -> io::Result<u64> {
    let mut raw = [0u8; 8];
    let want = usize::try_from(found.end - found.body).unwrap_or(9);
    if want > 8 {
        return Ok(0);
    }
    let got = source.read_at(found.body, &mut raw[..want])?;
    Ok(raw[..got].iter().fold(0, |sum, b| (sum << 8) | u64::from(*b)))
}

fn float(source: &mut Source<'_>, found: &Element) -> io::Result<f64> {
    Ok(match found.end - found.body {
        4 => source.bytes::<4>(found.body)?.map_or(0.0, |raw| f64::from(f32::from_be_bytes(raw))),
        8 => source.bytes::<8>(found.body)?.map_or(0.0, f64::from_be_bytes),
        _ => 0.0,
    })
}
