//! Walks RIFF (AVI, WAV, WebP), its twin for large files RF64, and chains of RIFF as OpenDML writes them.

use std::io;

use super::source::{Source, le32, le64};
use super::{Found, State};

/// Chunks looked at; an AVI has one list with the film in it.
const MAX_CHUNKS: u32 = 1 << 16;
/// Stretches of RIFF in one file: an AVI begins a new one every gigabyte.
const MAX_PARTS: u32 = 1 << 12;
/// Writers who forget their own header claim so much too much.
const SLACK: u64 = 8;
/// 32 bits full of ones: not said, or said elsewhere.
const ONES: u64 = 0xffff_ffff;

pub(super) fn walk(source: &mut Source<'_>) -> io::Result<Found> {
    let Some(head) = source.bytes::<12>(0)? else { return Ok(Found::new(State::Short, "the RIFF header is cut")) };
    let wide = &head[..4] != b"RIFF";
    let (mut at, mut parts) = (0, 0);
    // The sizes of RF64 stand in its first chunk: RIFF, data, samples.
    let (whole, data) = match source.bytes::<24>(12)?.filter(|first| wide && &first[..4] == b"ds64") {
        Some(first) => (Some(le64(&first, 8)), Some(le64(&first, 16))),
        None => (None, None),
    };
    loop {
        let claimed =
            whole.filter(|_| at == 0).unwrap_or(u64::from(le32(&source.bytes::<8>(at)?.unwrap_or_default(), 4)));
        // Recorders that never came back to write the size leave 0 or ones.
        if claimed == 0 || claimed == ONES {
            return Ok(Found::new(State::Unknown, "its header does not say how long it is"));
        }
        let end = at.saturating_add(8).saturating_add(claimed);
        let (found, inner) = chunks(source, at, end, data)?;
        if let Some(found) = found {
            return Ok(found);
        }
        let missing = end.saturating_sub(source.len());
        if missing > SLACK || (missing > 0 && inner != Some(true)) {
            return Ok(
                Found::new(State::Short, format!("it should be {missing} bytes longer")).with("missing_bytes", missing)
            );
        }
        (at, parts) = (end.saturating_add(end % 2), parts + 1);
        let next = source.bytes::<12>(at)?;
        match next {
            Some(next) if &next[..4] == b"RIFF" && &next[8..12] == b"AVIX" && parts < MAX_PARTS => {}
            _ => {
                let found = Found::new(State::Sound, "it is as long as its header says").with("parts", parts);
                let extra = source.len().saturating_sub(end);
                return Ok(if extra > 1 { found.with("trailing_bytes", extra) } else { found });
            }
        }
    }
}

/// Walks the chunks of one stretch. Says what is wrong; and whether the one with the data is complete.
fn chunks(
    source: &mut Source<'_>,
    start: u64,
    end: u64,
    data: Option<u64>,
) -> io::Result<(Option<Found>, Option<bool>)> {
    let (mut at, mut inner) = (start + 12, None);
    let stop = end.min(source.len());
    for _ in 0..MAX_CHUNKS {
        if at.saturating_add(8) > stop {
            break;
        }
        let Some(head) = source.bytes::<8>(at)? else { break };
        let (name, mut size) = (&head[..4], u64::from(le32(&head, 4)));
        if !name.iter().all(|byte| (0x20..0x7f).contains(byte)) {
            let why = format!("what stands at byte {at} is no chunk");
            // Behind the sound or picture it does no harm. An AVI has its table there.
            let film = source.bytes::<4>(start + 8)? == Some(*b"AVI ");
            return Ok(match (inner, film) {
                (Some(true), false) => (None, inner),
                (Some(true), true) => (Some(Found::new(State::Unknown, why).with("offset", at)), inner),
                _ => (Some(Found::new(State::Broken, why).with("offset", at)), inner),
            });
        }
        if name == b"data" && size == ONES {
            let Some(data) = data else { return Ok((None, None)) };
            size = data;
        }
        let next = (at + 8).saturating_add(size);
        if matches!(name, b"data" | b"VP8 " | b"VP8L" | b"ANMF") || (name == b"LIST" && inner.is_none()) {
            inner = Some(next <= source.len());
        }
        // A chunk that leaves its own stretch: damage, where the stretch itself is complete.
        if next > end.saturating_add(SLACK) && end <= source.len() && name != b"data" {
            let why = format!("a chunk at byte {at} is larger than what it stands in");
            return Ok((Some(Found::new(State::Broken, why).with("offset", at)), inner));
        }
        at = next.saturating_add(next % 2);
    }
    Ok((None, inner))
}
