//! Follows the frames of MPEG audio (ISO/IEC 11172-3, 13818-3) and ADTS (13818-7), and the packets of an MPEG transport stream.
//!
//! Such streams are made to be cut anywhere, and players look for the next frame behind anything they do not know. So little
//! of what looks odd proves damage.

use std::io;

use super::source::{BLOCK, Source, be32, le32};
use super::{Found, State};

/// Streams up to this many bytes are followed frame by frame by a cheap look; longer ones are looked at in places.
const CHEAP: u64 = 64 << 20;
/// Places at which a transport stream is looked at by a cheap look.
const LOOKS: u64 = 256;
/// The largest frame of an MP3: cutters that do not mind the last one are forgiven.
const MP3_FRAME: u64 = 1441;
/// So many zeros in a row stand in no stream whose frames follow each other.
const HOLE: u64 = 4096;
/// Bit rates of MPEG-1 layers I, II and III, and of MPEG-2 layers I and II/III, in kbit/s.
const RATES: [[u32; 15]; 5] = [
    [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// How many bytes at the end of `tail` are tags: ID3v1 and APE, in any order, and zeros behind them.
pub(super) fn tags(tail: &[u8]) -> usize {
    let mut len = tail.len();
    loop {
        let rest = &tail[..len];
        let zeros = rest.iter().rev().take_while(|byte| **byte == 0).count();
        let rest = &rest[..len - zeros];
        let tag = if rest.len() >= 128 && rest[rest.len() - 128..].starts_with(b"TAG") {
            128
        } else if len >= 128 && tail[len - 128..len].starts_with(b"TAG") {
            len -= 128;
            continue;
        } else if let Some(foot) = ape(&tail[..len]).or_else(|| ape(rest)) {
            foot
        } else {
            return tail.len() - if zeros > 15 { rest.len() } else { len };
        };
        len = rest.len().saturating_sub(tag);
    }
}

/// The bytes of an APE tag whose foot ends here.
fn ape(tail: &[u8]) -> Option<usize> {
    let foot = tail.len().checked_sub(32).and_then(|at| tail.get(at..))?;
    let head = if le32(foot, 20) & 0x8000_0000 != 0 { 32 } else { 0 };
    foot.starts_with(b"APETAGEX").then(|| (le32(foot, 12) as usize).saturating_add(head).min(tail.len()))
}

/// Where the stream begins behind an ID3v2 tag; `None`: the file ends in the tag.
pub(super) fn behind_tag(source: &mut Source<'_>) -> io::Result<Option<u64>> {
    let mut at = 0u64;
    // Two tags one behind the other are seen in the wild.
    for _ in 0..4 {
        let Some(tag) = source.bytes::<10>(at)?.filter(|tag| tag[..3] == *b"ID3") else { break };
        let size = tag[6..].iter().fold(0u64, |sum, byte| (sum << 7) | u64::from(byte & 0x7f));
        at += 10 + size + if tag[5] & 0x10 != 0 { 10 } else { 0 };
        if at >= source.len() {
            return Ok(None);
        }
    }
    Ok(Some(at))
}

/// Bytes of the MPEG audio frame with this header; 0: free format.
fn mpeg(head: [u8; 4]) -> Option<u64> {
    if head[0] != 0xff || head[1] & 0xe0 != 0xe0 {
        return None;
    }
    let (version, layer) = (head[1] >> 3 & 3, head[1] >> 1 & 3);
    let (rate, sampling) = (usize::from(head[2] >> 4), head[2] >> 2 & 3);
    if version == 1 || layer == 0 || rate == 15 || sampling == 3 {
        return None;
    }
    let mpeg1 = version == 3;
    let table = match (mpeg1, layer) {
        (true, 3) => 0,
        (true, 2) => 1,
        (true, _) => 2,
        (false, 3) => 3,
        (false, _) => 4,
    };
    let bits = u64::from(RATES[table][rate]) * 1000;
    let halved = match version {
        3 => 0,
        2 => 1,
        _ => 2,
    };
    let hertz = [44_100, 48_000, 32_000][usize::from(sampling)] >> halved;
    let pad = u64::from(head[2] >> 1 & 1);
    Some(match layer {
        _ if bits == 0 => 0,
        3 => (12 * bits / hertz + pad) * 4,
        2 => 144 * bits / hertz + pad,
        _ if mpeg1 => 144 * bits / hertz + pad,
        _ => 72 * bits / hertz + pad,
    })
}

/// Bytes of the ADTS frame with this header.
fn adts(head: &[u8]) -> Option<u64> {
    let fits = head.len() >= 6 && head[0] == 0xff && head[1] & 0xf6 == 0xf0 && head[2] >> 2 & 0xf != 0xf;
    let size = u64::from(head[3] & 3) << 11 | u64::from(head[4]) << 3 | u64::from(head[5]) >> 5;
    (fits && size >= 7).then_some(size)
}

/// MP3: the number of bytes in the Xing or Info tag of the first frame, where the encoder wrote one; else its frames.
pub(super) fn mp3(source: &mut Source<'_>) -> io::Result<Found> {
    let Some(at) = behind_tag(source)? else { return Ok(Found::new(State::Short, "it is cut inside its tag")) };
    if source.bytes::<4>(at)? == Some(*b"fLaC") {
        return Ok(Found::new(State::Unknown, "it is FLAC behind a tag of MP3, which is not walked"));
    }
    let Some(bytes) = announced(source, at)? else {
        return follow(source, at, |head| mpeg([head[0], head[1], head[2], head[3]]));
    };
    let end = at + bytes;
    Ok(if end > source.len() + MP3_FRAME {
        let missing = end - source.len();
        Found::new(State::Short, format!("it should be {missing} bytes longer")).with("missing_bytes", missing)
    } else if end > source.len() {
        Found::new(State::Unknown, "it ends within its last frame")
    } else {
        return hole(source, at, end);
    })
}

/// How many bytes the first frame says there are.
fn announced(source: &mut Source<'_>, at: u64) -> io::Result<Option<u64>> {
    let mut frame = [0u8; 48];
    let got = source.read_at(at, &mut frame)?;
    if got < frame.len() || frame[0] != 0xff || frame[1] & 0xe0 != 0xe0 {
        return Ok(None);
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
        return Ok(None);
    }
    // The count of frames stands before the count of bytes, where it is there at all.
    let place = at + mark as u64 + 8 + u64::from(flags & 1) * 4;
    let bytes = source.bytes::<4>(place)?.map_or(0, |bytes| u64::from(u32::from_be_bytes(bytes)));
    Ok(Some(bytes).filter(|bytes| *bytes > 0))
}

/// A stream that says how long it is: it has no hole.
fn hole(source: &mut Source<'_>, start: u64, end: u64) -> io::Result<Found> {
    let sound = Found::new(State::Sound, "it is as long as its first frame says");
    if end - start > CHEAP && !source.deep() {
        return Ok(sound);
    }
    let (mut zeros, mut at, mut place) = (0u64, start, None);
    source.stream(start, end, |block| {
        for byte in block {
            at += 1;
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            if zeros == HOLE {
                place = Some(at - HOLE);
            }
        }
        place.is_none()
    })?;
    Ok(match place {
        // No frame is so long: the zeros hold at least one whole frame, which none of them begins.
        Some(place) => {
            Found::new(State::Broken, format!("nothing but zeros stands at byte {place}")).with("offset", place)
        }
        None => sound,
    })
}

/// ADTS: each frame says how long it is.
pub(super) fn aac(source: &mut Source<'_>) -> io::Result<Found> {
    match behind_tag(source)? {
        Some(at) => follow(source, at, adts),
        None => Ok(Found::new(State::Short, "it is cut inside its tag")),
    }
}

/// Follows frames of which each says how long it is.
fn follow(source: &mut Source<'_>, start: u64, size: impl Fn(&[u8]) -> Option<u64>) -> io::Result<Found> {
    let untold = |why: &str| Found::new(State::Unknown, why.to_owned());
    let len = source.len();
    if len - start > CHEAP && !source.deep() {
        return Ok(untold("it does not say how long it is; long ones are followed by a deep check only"));
    }
    let mut tail = vec![0; BLOCK.min(usize::try_from(len - start).unwrap_or(BLOCK))];
    let got = source.read_at(len - tail.len() as u64, &mut tail)?;
    let end = len - tags(&tail[..got]) as u64;
    let (mut at, mut frames, mut block, mut base) = (start, 0u64, Vec::new(), 0u64);
    while at < end {
        // Heads are read by blocks: a frame has some hundred bytes.
        if at < base || at + 8 > base + block.len() as u64 {
            block.resize(BLOCK, 0);
            let got = source.read_at(at, &mut block)?;
            block.truncate(got);
            base = at;
        }
        let head = usize::try_from(at - base).ok().and_then(|place| block.get(place..)).unwrap_or_default();
        let Some(bytes) = (head.len() >= 6).then(|| size(head)).flatten() else {
            let place = format!("no frame begins at byte {at}");
            let rest = end - at;
            let zeros = head.iter().take_while(|byte| **byte == 0).count() as u64;
            return Ok(match frames {
                0 => untold("it does not say how long it is"),
                _ if rest < 8 => untold("it ends within a frame"),
                // Zeros behind the last frame are padding, or what a download has not fetched: nothing tells.
                _ if zeros >= HOLE && !is_padding(source, at, end)? => {
                    Found::new(State::Broken, format!("nothing but zeros stands at byte {at}")).with("offset", at)
                }
                _ => untold(&place),
            }
            .with("frames", frames));
        };
        if bytes == 0 {
            return Ok(untold("its frames do not say how long they are"));
        }
        if at + bytes > end {
            return Ok(untold("it ends within a frame").with("frames", frames));
        }
        (at, frames) = (at + bytes, frames + 1);
    }
    Ok(match frames {
        0 => untold("it does not say how long it is"),
        _ => Found::new(State::Sound, "every frame is complete; how many there should be, it does not say")
            .with("frames", frames),
    })
}

fn is_padding(source: &mut Source<'_>, at: u64, end: u64) -> io::Result<bool> {
    let mut zero = true;
    source.stream(at, end, |block| {
        zero &= block.iter().all(|byte| *byte == 0);
        zero
    })?;
    Ok(zero)
}

/// Bytes of a packet, and where its mark stands in it: 188, or 192 with a time before each (M2TS).
pub(super) fn packets(head: &[u8]) -> Option<(u64, u64)> {
    let is = |step: usize, mark: usize| {
        head.len() > 2 * step + mark && (0..3).all(|count| head[count * step + mark] == 0x47)
    };
    match (is(188, 0), is(192, 4)) {
        (true, _) => Some((188, 0)),
        (_, true) => Some((192, 4)),
        _ => None,
    }
}

/// MPEG-TS (ISO/IEC 13818-1, 2.4.3): a mark stands at the beginning of every packet.
pub(super) fn ts(source: &mut Source<'_>) -> io::Result<Found> {
    let mut head = [0; 512];
    let got = source.read_at(0, &mut head)?;
    let Some((size, mark)) = packets(&head[..got]) else {
        return Ok(Found::new(State::Unknown, "its packets are not found"));
    };
    let all = source.len() / size;
    let last = (all - 1) * size + mark;
    // Streams that were put together are out of step behind a seam: where the end is, the middle should be.
    if source.bytes::<1>(last)? != Some([0x47]) {
        return Ok(Found::new(State::Unknown, "its packets are out of step at its end"));
    }
    let step = if source.deep() { 1 } else { (all / LOOKS).max(1) };
    for packet in (0..all).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        let at = packet * size;
        let mut bytes = [0; 192];
        let bytes = &mut bytes[..if size == 192 { 192 } else { 188 }];
        source.read_at(at, bytes)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Found::new(State::Broken, format!("a packet of zeros stands at byte {at}")).with("offset", at));
        }
        if bytes.get(if mark == 4 { 4 } else { 0 }) != Some(&0x47) {
            return Ok(Found::new(State::Unknown, format!("no packet begins at byte {at}")).with("offset", at));
        }
    }
    Ok(if source.len().is_multiple_of(size) {
        Found::new(State::Sound, "every packet that was looked at is there; how many there should be, it does not say")
            .with("packets", all)
    } else {
        Found::new(State::Unknown, "it ends within a packet").with("packets", all)
    })
}
