//! Walks ISO base media boxes (ISO/IEC 14496-12): sizes add up, the index is there, its offsets lie in the file.

use std::io;

use super::source::{Source, be32};
use super::{Found, State};

/// Top-level boxes looked at. A fragmented recording has two per second or so; a day has 200,000.
const MAX_BOXES: u32 = 1 << 20;
/// Boxes looked at inside the index.
const MAX_INNER: u32 = 1 << 14;
/// Boxes that hold others on the way from the index to the sample tables.
const CONTAINERS: [&[u8; 4]; 4] = [b"trak", b"mdia", b"minf", b"stbl"];
/// Boxes a file may begin with.
const FIRST: [&[u8; 4]; 11] =
    [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx", b"moof", b"uuid"];

/// Whether the bytes behind the first size name a box that a file may begin with.
pub(super) fn begins(name: &[u8]) -> bool {
    name.get(..4).is_some_and(|four| FIRST.iter().any(|first| first.as_slice() == four))
}

struct Header {
    name: [u8; 4],
    body: u64,
    /// Where it says it ends; may lie beyond the file.
    end: u64,
}

/// The header at `at` of a stretch that ends at `limit`. `Err(None)`: cut; `Err(Some)`: damaged.
fn header(source: &mut Source<'_>, at: u64, limit: u64) -> io::Result<Result<Header, Option<String>>> {
    let Some(head) = source.bytes::<8>(at)? else { return Ok(Err(None)) };
    let name = [head[4], head[5], head[6], head[7]];
    let (mut size, mut body) = (u64::from(be32(&head, 0)), at + 8);
    if size == 1 {
        let Some(wide) = source.bytes::<8>(at + 8)? else { return Ok(Err(None)) };
        size = u64::from_be_bytes(wide);
        body = at + 16;
    } else if size == 0 {
        size = limit.saturating_sub(at);
    }
    // Names are printable, but the first byte of a QuickTime one may be the copyright sign.
    let named = name.iter().enumerate().all(|(i, b)| (0x20..0x7f).contains(b) || (i == 0 && *b == 0xa9));
    if !named || size < body - at {
        return Ok(Err(Some(format!("what stands at byte {at} is no box"))));
    }
    Ok(Ok(Header { name, body, end: at.saturating_add(size) }))
}

#[derive(Default)]
struct Seen {
    boxes: u32,
    moov: bool,
    moof: bool,
    data: u64,
    /// A fragment's header whose data did not follow yet.
    owed: bool,
    last: String,
}

pub(super) fn walk(source: &mut Source<'_>) -> io::Result<Found> {
    let len = source.len();
    let (mut seen, mut at) = (Seen::default(), 0);
    while at < len {
        if seen.boxes >= MAX_BOXES {
            return Ok(Found::new(State::Unknown, format!("it has more than {MAX_BOXES} boxes")));
        }
        let head = match header(source, at, len)? {
            Ok(head) => head,
            Err(None) => {
                return Ok(Found::new(State::Short, format!("a box header is cut at byte {at}")).with("offset", at));
            }
            Err(Some(why)) if seen.moov && seen.data > 0 && !seen.moof => {
                // Cameras and taggers append their own bytes; the film before them is complete.
                return tail(source, &seen, at, &why);
            }
            Err(Some(why)) => return Ok(Found::new(State::Broken, why).with("offset", at)),
        };
        seen.boxes += 1;
        seen.last = String::from_utf8_lossy(&head.name).into_owned();
        if head.end > len {
            let missing = head.end - len;
            return Ok(Found::new(
                State::Short,
                format!("the box '{}' needs {missing} bytes more than the file has", seen.last.escape_default()),
            )
            .with("box", seen.last.clone())
            .with("offset", at)
            .with("missing_bytes", missing));
        }
        match &head.name {
            b"moov" => {
                seen.moov = true;
                if let Some(bad) = index(source, head.body, head.end)? {
                    return Ok(bad);
                }
            }
            b"moof" => (seen.moof, seen.owed) = (true, true),
            b"mdat" => {
                seen.data = seen.data.saturating_add(head.end - head.body);
                seen.owed = false;
            }
            _ => {}
        }
        at = head.end;
    }
    Ok(conclude(&seen))
}

fn tail(source: &mut Source<'_>, seen: &Seen, at: u64, why: &str) -> io::Result<Found> {
    let mut zero = true;
    source.stream(at, source.len(), |block| {
        zero &= block.iter().all(|b| *b == 0);
        zero
    })?;
    let extra = source.len() - at;
    Ok(if zero {
        conclude(seen).with("trailing_zero_bytes", extra)
    } else {
        Found::new(State::Broken, format!("{why}, behind a complete film")).with("offset", at)
    })
}

fn conclude(seen: &Seen) -> Found {
    let found = match seen {
        Seen { moov: false, moof: true, .. } => Found::new(State::Unknown, "a fragment without the index of its film"),
        Seen { moov: false, .. } => Found::new(State::Broken, "the index (moov) is missing"),
        Seen { owed: true, .. } => Found::new(State::Short, "the last fragment has no data"),
        Seen { data: 0, .. } => Found::new(State::Broken, "there is an index but no media data (mdat)"),
        _ => Found::new(State::Sound, "every box is complete, index and media data are there"),
    };
    found.with("boxes", seen.boxes).with("media_bytes", seen.data)
}

/// Looks through the index: its boxes add up, and the chunks it points to lie in the file.
fn index(source: &mut Source<'_>, start: u64, end: u64) -> io::Result<Option<Found>> {
    let mut todo = vec![(start, end)];
    let mut count = 0;
    while let Some((mut at, end)) = todo.pop() {
        while at < end {
            // QuickTime ends a list with four zero bytes.
            if end - at < 8 {
                break;
            }
            count += 1;
            if count > MAX_INNER {
                return Ok(None);
            }
            let head = match header(source, at, end)? {
                Ok(head) => head,
                Err(None) => return Ok(Some(Found::new(State::Short, "the index is cut").with("offset", at))),
                Err(Some(why)) => {
                    return Ok(Some(Found::new(State::Broken, format!("in the index, {why}")).with("offset", at)));
                }
            };
            if head.end > end {
                return Ok(Some(
                    Found::new(State::Broken, format!("a box of the index at byte {at} is larger than the index"))
                        .with("offset", at),
                ));
            }
            if CONTAINERS.contains(&&head.name) {
                todo.push((head.body, head.end));
            }
            let furthest = match &head.name {
                b"stco" => furthest(source, head.body, head.end, 4)?,
                b"co64" => furthest(source, head.body, head.end, 8)?,
                _ => 0,
            };
            if furthest >= source.len() {
                return Ok(Some(
                    Found::new(
                        State::Short,
                        format!("the index points to byte {furthest}, the file has {}", source.len()),
                    )
                    .with("offset", furthest),
                ));
            }
            at = head.end;
        }
    }
    Ok(None)
}

/// The largest chunk offset in a table of `width`-byte numbers.
fn furthest(source: &mut Source<'_>, body: u64, end: u64, width: usize) -> io::Result<u64> {
    let Some(head) = source.bytes::<8>(body)? else { return Ok(0) };
    let claimed = u64::from(be32(&head, 4)).saturating_mul(width as u64);
    let stop = end.min((body + 8).saturating_add(claimed));
    let (mut largest, mut carry) = (0u64, Vec::with_capacity(8));
    source.stream(body + 8, stop, |block| {
        for byte in block {
            carry.push(*byte);
            if carry.len() == width {
                largest = largest.max(carry.iter().fold(0, |sum, b| (sum << 8) | u64::from(*b)));
                carry.clear();
            }
        }
        true
    })?;
    Ok(largest)
}
