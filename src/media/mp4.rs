//! Walks ISO base media boxes (ISO/IEC 14496-12): sizes add up, the index is there, its offsets lie in the file.

use std::io;

use super::samples::{self, Track};
use super::source::{Source, Table, be32, be64};
use super::{Found, State};

/// Top-level boxes looked at. A fragmented recording has two per second or so; a day has 200,000.
const MAX_BOXES: u32 = 1 << 20;
/// Boxes looked at inside the index.
const MAX_INNER: u32 = 1 << 14;
/// Boxes that hold others on the way from the index to the sample tables.
const CONTAINERS: [&[u8; 4]; 4] = [b"mdia", b"minf", b"dinf", b"stbl"];
/// Tracks whose samples are looked at; films have a handful.
const MAX_TRACKS: usize = 64;
/// Places of media data that are kept; only recordings in fragments have more, and those have no sample tables.
const MAX_RANGES: usize = 4096;
/// How far behind the last box it is searched for more of the film.
const MAX_SEARCH: u64 = 4 << 20;
/// Boxes a file may begin with.
const FIRST: [&[u8; 4]; 17] = [
    b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx", b"moof", b"uuid", b"udta",
    b"meta", b"emsg", b"prft", b"pdin", b"PICT",
];

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
    /// Description of items: still pictures have it in place of an index.
    meta: bool,
    /// The index says that fragments follow.
    fragmented: bool,
    /// The table of fragments at the end.
    mfra: bool,
    data: u64,
    /// Where media data lies.
    ranges: Vec<(u64, u64)>,
    tracks: Vec<Track>,
    /// A fragment's header whose data did not follow yet.
    owed: bool,
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
                let cut = Found::new(State::Short, format!("a box header is cut at byte {at}")).with("offset", at);
                return stray(source, &seen, at, cut);
            }
            Err(Some(why)) => {
                let broken = Found::new(State::Broken, why).with("offset", at);
                return stray(source, &seen, at, broken);
            }
        };
        seen.boxes += 1;
        if head.end > len {
            let (missing, name) = (head.end - len, String::from_utf8_lossy(&head.name).into_owned());
            let why = format!("the box '{}' needs {missing} bytes more than the file has", name.escape_default());
            let short =
                Found::new(State::Short, why).with("box", name).with("offset", at).with("missing_bytes", missing);
            // A tag at the end may be cut, or text may look like a box: the film is complete without it.
            let media = matches!(&head.name, b"moov" | b"mdat" | b"moof");
            return if media { Ok(short) } else { stray(source, &seen, at, short) };
        }
        match &head.name {
            b"moov" => {
                seen.moov = true;
                if let Some(bad) = index(source, &mut seen, head.body, head.end)? {
                    return Ok(bad);
                }
            }
            b"moof" => (seen.moof, seen.owed) = (true, true),
            b"meta" => seen.meta = true,
            b"mfra" => seen.mfra = true,
            b"sidx" => {
                if let Some(bad) = segments(source, &head)? {
                    return Ok(bad);
                }
            }
            b"mdat" => {
                seen.data = seen.data.saturating_add(head.end - head.body);
                if seen.ranges.len() < MAX_RANGES {
                    seen.ranges.push((head.body, head.end));
                }
                seen.owed = false;
            }
            _ => {}
        }
        at = head.end;
    }
    conclude(source, &seen)
}

/// Something that is no box, or no whole one, stands at `at`. Behind a film of which every sample is there it does no harm.
fn stray(source: &mut Source<'_>, seen: &Seen, at: u64, bad: Found) -> io::Result<Found> {
    let extra = source.len() - at;
    if seen.data == 0 || !(seen.moov || seen.meta) {
        return Ok(bad);
    }
    if !seen.moov && !seen.moof {
        return Ok(conclude(source, seen)?.with("trailing_bytes", extra));
    }
    if seen.moof && !seen.mfra {
        // Damage between fragments, or something behind the last one? More fragments behind it show the damage.
        let more = bad.state == State::Broken && holds(source, at, b"moof")?;
        let unclear = "behind the last whole fragment stands something else; nothing tells how many there should be";
        return Ok(if more { bad } else { Found::new(State::Unknown, unclear).with("offset", at) });
    }
    let (bad_samples, proven) = samples(source, seen)?;
    if let Some(bad) = bad_samples {
        return Ok(bad);
    }
    let zero = is_zero(source, at)?;
    let name = if zero { "trailing_zero_bytes" } else { "trailing_bytes" };
    let found = if proven || zero || seen.moof {
        // Cameras and taggers append their own bytes; the film before them is complete.
        conclude(source, seen)?
    } else {
        Found::new(
            State::Unknown,
            "behind the last box stands something else, and the index does not tell what is missing",
        )
    };
    Ok(found.with(name, extra))
}

/// Whether nothing but zeros follows.
fn is_zero(source: &mut Source<'_>, at: u64) -> io::Result<bool> {
    let mut zero = true;
    let end = source.len().min(at.saturating_add(MAX_SEARCH));
    source.stream(at, end, |block| {
        zero &= block.iter().all(|b| *b == 0);
        zero
    })?;
    Ok(zero)
}

/// Whether `name` stands somewhere behind `at`, as far as is looked.
fn holds(source: &mut Source<'_>, at: u64, name: &[u8; 4]) -> io::Result<bool> {
    let (mut last, mut found) = ([0u8; 4], false);
    let end = source.len().min(at.saturating_add(MAX_SEARCH));
    source.stream(at, end, |block| {
        for byte in block {
            last = [last[1], last[2], last[3], *byte];
            found |= last == *name;
        }
        !found
    })?;
    Ok(found)
}

/// The pieces that a segment index counts lie in the file (ISO/IEC 14496-12, 8.16.3).
fn segments(source: &mut Source<'_>, head: &Header) -> io::Result<Option<Found>> {
    let Some(version) = source.bytes::<12>(head.body)? else { return Ok(None) };
    let wide = version[0] != 0;
    let times = head.body + 12;
    let (first, list) = if wide {
        let Some(two) = source.bytes::<20>(times)? else { return Ok(None) };
        (be64(&two, 8), times + 20)
    } else {
        let Some(two) = source.bytes::<12>(times)? else { return Ok(None) };
        (u64::from(be32(&two, 4)), times + 12)
    };
    let Some(count) = source.bytes::<2>(list - 2)? else { return Ok(None) };
    let stop = head.end.min(list + u64::from(u16::from_be_bytes(count)) * 12);
    let mut table = Table::new(list, stop, 12);
    let mut end = head.end.saturating_add(first);
    while let Some(entry) = table.next(source)? {
        // The highest bit says what is referred to.
        end = end.saturating_add((entry >> 64) as u64 & 0x7fff_ffff);
    }
    if end <= source.len() {
        return Ok(None);
    }
    let missing = end - source.len();
    Ok(Some(
        Found::new(State::Short, format!("its segment index counts {missing} bytes more than the file has"))
            .with("missing_bytes", missing),
    ))
}

fn conclude(source: &mut Source<'_>, seen: &Seen) -> io::Result<Found> {
    let external = seen.tracks.iter().any(|track| track.external);
    let found = match seen {
        Seen { moov: false, moof: true, .. } => Found::new(State::Unknown, "a fragment without the index of its film"),
        Seen { moov: false, meta: true, data: 1.., .. } => {
            Found::new(State::Sound, "every box is complete, description and data of the picture are there")
        }
        Seen { moov: false, meta: true, .. } => {
            Found::new(State::Unknown, "it describes items, but holds no data for them")
        }
        Seen { moov: false, .. } => Found::new(State::Broken, "the index (moov) is missing"),
        Seen { owed: true, .. } => Found::new(State::Short, "the last fragment has no data"),
        Seen { data: 0, .. } if external => Found::new(State::Unknown, "its media data lies in other files"),
        Seen { data: 0, fragmented: true, .. } => {
            Found::new(State::Unknown, "the head of a film whose fragments are elsewhere, or missing")
        }
        Seen { data: 0, .. } => Found::new(State::Broken, "there is an index but no media data (mdat)"),
        _ => match samples(source, seen)? {
            (Some(bad), _) => bad,
            (None, true) if !seen.moof => {
                Found::new(State::Sound, "every box is complete and every sample of the index is there")
            }
            (None, _) => Found::new(State::Sound, "every box is complete, index and media data are there"),
        },
    };
    let found = found.with("boxes", seen.boxes).with("media_bytes", seen.data);
    let encrypted = seen.tracks.iter().any(|track| track.encrypted);
    Ok(if encrypted { found.with("encrypted", true) } else { found })
}

/// Looks at the samples of every track. Says what is wrong, and else whether all of them were seen to lie in media data.
fn samples(source: &mut Source<'_>, seen: &Seen) -> io::Result<(Option<Found>, bool)> {
    let mut proven = !seen.tracks.is_empty();
    for track in &seen.tracks {
        let (bad, all) = samples::check(source, track, &seen.ranges)?;
        if bad.is_some() {
            return Ok((bad, false));
        }
        proven &= all;
    }
    Ok((None, proven))
}

/// Looks through the index: its boxes add up. What it says of tracks is kept.
fn index(source: &mut Source<'_>, seen: &mut Seen, start: u64, end: u64) -> io::Result<Option<Found>> {
    let mut todo = vec![(start, end, None::<usize>)];
    let mut count = 0;
    while let Some((mut at, end, track)) = todo.pop() {
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
                // Some writers fill a list up with zeros.
                Err(Some(_)) if source.bytes::<8>(at)? == Some([0; 8]) => break,
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
            if &head.name == b"trak" {
                let new = (seen.tracks.len() < MAX_TRACKS).then(|| {
                    seen.tracks.push(Track::default());
                    seen.tracks.len() - 1
                });
                todo.push((head.body, head.end, new));
            } else if CONTAINERS.contains(&&head.name) {
                todo.push((head.body, head.end, track));
            } else if &head.name == b"mvex" {
                seen.fragmented = true;
            } else if let Some(track) = track.and_then(|track| seen.tracks.get_mut(track)) {
                track.note(source, &head.name, head.body, head.end)?;
            }
            at = head.end;
        }
    }
    Ok(None)
}
