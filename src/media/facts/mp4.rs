//! Reads the index of an ISO base media file (ISO/IEC 14496-12): duration, tracks, codecs.

use std::io;

use super::super::source::{Source, be32};
use super::{Headers, Sort, codec};

/// Boxes looked at on the top level: a fragmented recording has its index first.
const TOP_MAX: u32 = 4_096;
/// Boxes looked at inside the index.
const INNER_MAX: u32 = 4_096;

struct Head {
    name: [u8; 4],
    body: u64,
    end: u64,
}

fn head(source: &mut Source<'_>, at: u64, limit: u64) -> io::Result<Option<Head>> {
    let Some(head) = source.bytes::<8>(at)? else { return Ok(None) };
    let name = [head[4], head[5], head[6], head[7]];
    let (mut size, mut body) = (u64::from(be32(&head, 0)), at + 8);
    if size == 1 {
        let Some(wide) = source.bytes::<8>(at + 8)? else { return Ok(None) };
        (size, body) = (u64::from_be_bytes(wide), at + 16);
    } else if size == 0 {
        size = limit.saturating_sub(at);
    }
    let end = at.saturating_add(size).min(limit);
    Ok((end >= body && size >= 8).then_some(Head { name, body, end }))
}

/// One track as far as it was read.
#[derive(Default)]
struct Track {
    handler: [u8; 4],
    entry: Option<String>,
    pixels: (u32, u32),
}

pub(super) fn read(source: &mut Source<'_>, headers: &mut Headers) -> io::Result<()> {
    let (len, mut at) = (source.len(), 0);
    for _ in 0..TOP_MAX {
        let Some(found) = head(source, at, len)? else { break };
        match &found.name {
            b"ftyp" => {
                let brand = source.bytes::<4>(found.body)?.unwrap_or_default();
                match &brand {
                    b"heic" | b"heix" | b"mif1" | b"msf1" | b"avif" | b"avis" => {
                        headers.sort = Sort::Image;
                        headers.format = if brand.starts_with(b"av") { "avif" } else { "heic" };
                    }
                    b"M4A " | b"M4B " => headers.sort = Sort::Audio,
                    _ => {}
                }
            }
            b"moov" => return index(source, headers, found.body, found.end),
            b"meta" if headers.sort == Sort::Image => return image(source, headers, found.body + 4, found.end),
            _ => {}
        }
        at = found.end;
        if at >= len {
            break;
        }
    }
    Ok(())
}

fn index(source: &mut Source<'_>, headers: &mut Headers, start: u64, end: u64) -> io::Result<()> {
    let mut tracks: Vec<Track> = Vec::new();
    let mut todo = vec![(start, end)];
    let mut count = 0;
    while let Some((mut at, end)) = todo.pop() {
        while at < end && count < INNER_MAX {
            count += 1;
            let Some(found) = head(source, at, end)? else { break };
            at = found.end;
            match &found.name {
                b"mvhd" => duration(source, headers, found.body)?,
                b"mvex" => todo.push((found.body, found.end)),
                b"mehd" if headers.duration_ms.is_none() => {}
                b"trak" => {
                    tracks.push(Track::default());
                    // What is left of this list comes after the track.
                    todo.push((at, end));
                    todo.push((found.body, found.end));
                    break;
                }
                b"mdia" | b"minf" | b"stbl" => {
                    todo.push((at, end));
                    todo.push((found.body, found.end));
                    break;
                }
                b"hdlr" => {
                    if let (Some(track), Some(name)) = (tracks.last_mut(), source.bytes::<4>(found.body + 8)?) {
                        track.handler = name;
                    }
                }
                b"stsd" => {
                    // Version, count, then the first entry: size, name, …
                    let Some(entry) = source.bytes::<44>(found.body)? else { continue };
                    if let Some(track) = tracks.last_mut() {
                        track.entry = codec(&entry[12..16]);
                        let half = |at: usize| u32::from(u16::from_be_bytes([entry[at], entry[at + 1]]));
                        track.pixels = (half(40), half(42));
                    }
                }
                _ => {}
            }
        }
    }
    // A picture of the cover is a track too; the film comes first.
    if let Some(video) = tracks.iter().find(|track| &track.handler == b"vide") {
        headers.video_codec.clone_from(&video.entry);
        headers.pixels(video.pixels.0, video.pixels.1);
    }
    let audio = tracks.iter().find(|track| &track.handler == b"soun");
    headers.audio_codec = audio.and_then(|track| track.entry.clone());
    if headers.video_codec.is_none() && audio.is_some() {
        headers.sort = Sort::Audio;
    }
    Ok(())
}

fn duration(source: &mut Source<'_>, headers: &mut Headers, body: u64) -> io::Result<()> {
    let Some(raw) = source.bytes::<32>(body)? else { return Ok(()) };
    let (scale, units) = if raw[0] == 1 {
        let wide = u64::from_be_bytes([raw[24], raw[25], raw[26], raw[27], raw[28], raw[29], raw[30], raw[31]]);
        (be32(&raw, 20), wide)
    } else {
        (be32(&raw, 12), u64::from(be32(&raw, 16)))
    };
    if units != u64::from(u32::MAX) {
        headers.duration(units, u64::from(scale));
    }
    Ok(())
}

/// The size of a still picture: `meta/iprp/ipco/ispe`, the largest of them (others are tiles and previews).
fn image(source: &mut Source<'_>, headers: &mut Headers, start: u64, end: u64) -> io::Result<()> {
    let mut todo = vec![(start, end)];
    let (mut count, mut best) = (0, (0, 0));
    while let Some((mut at, end)) = todo.pop() {
        while at < end && count < INNER_MAX {
            count += 1;
            let Some(found) = head(source, at, end)? else { break };
            at = found.end;
            match &found.name {
                b"iprp" | b"ipco" => todo.push((found.body, found.end)),
                b"ispe" => {
                    let Some(raw) = source.bytes::<12>(found.body)? else { continue };
                    best = best.max((be32(&raw, 4), be32(&raw, 8)));
                }
                _ => {}
            }
        }
    }
    headers.pixels(best.0, best.1);
    Ok(())
}
