//! Walks Matroska and WebM elements (RFC 8794, RFC 9559): sizes add up, tracks and media data are there.

use std::io;

use super::source::Source;
use super::{Found, State};

/// Elements looked at; a day of video has about a million blocks, and blocks are only walked where sizes are unknown.
const MAX_ELEMENTS: u32 = 4_000_000;
/// A cheap look proves the checksums of elements up to this many bytes; clusters hold the film, and are left to a deep one.
const CHEAP_CRC: u64 = 4 << 20;
/// Every so many clusters one is walked through by a cheap look. Clusters hold some seconds of film.
const CLUSTER_STEP: u32 = 32;
/// How far behind something odd it is searched for more of the film.
const MAX_SEARCH: u64 = 4 << 20;
const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const TRACKS: u32 = 0x1654_ae6b;
const VOID: u32 = 0xec;
const CRC32: u32 = 0xbf;
/// What may stand directly in a segment: SeekHead, Info, Tracks, Cluster, Cues, Attachments, Chapters, Tags.
const TOP: [u32; 8] = [0x114d_9b74, 0x1549_a966, TRACKS, CLUSTER, 0x1c53_bb6b, 0x1941_a469, 0x1043_a770, 0x1254_c367];

struct Element {
    id: u32,
    body: u64,
    /// `None`: not said, it ends where its kind cannot go on.
    size: Option<u64>,
}

impl Element {
    /// Whether it may stand in a cluster: Timestamp, Position, PrevSize; SilentTracks, SimpleBlock, BlockGroup, EncryptedBlock.
    fn is_of_cluster(&self) -> bool {
        match self.id {
            0xe7 | 0xa7 | 0xab => self.size.is_some_and(|size| size <= 8),
            0x5854 | 0xa3 | 0xa0 | 0xaf => self.size.is_some(),
            _ => false,
        }
    }
}

/// Whether the mark of a cluster stands somewhere behind `at`, as far as is looked.
fn holds_cluster(source: &mut Source<'_>, at: u64) -> io::Result<bool> {
    let (mut last, mut found) = (0u32, false);
    let end = source.len().min(at.saturating_add(MAX_SEARCH));
    source.stream(at, end, |block| {
        for byte in block {
            last = (last << 8) | u32::from(*byte);
            found |= last == CLUSTER;
        }
        !found
    })?;
    Ok(found)
}

/// The element at `at`. `Err(None)`: cut; `Err(Some)`: damaged.
fn element(source: &mut Source<'_>, at: u64) -> io::Result<Result<Element, Option<String>>> {
    let mut head = [0u8; 12];
    let got = source.read_at(at, &mut head)?;
    let head = &head[..got];
    let Some(first) = head.first() else { return Ok(Err(None)) };
    let id_len = first.leading_zeros() as usize + 1;
    if id_len > 4 {
        return Ok(Err(Some(format!("what stands at byte {at} is no element"))));
    }
    let Some(size_first) = head.get(id_len) else { return Ok(Err(None)) };
    let size_len = size_first.leading_zeros() as usize + 1;
    if size_len > 8 {
        return Ok(Err(Some(format!("the size of the element at byte {at} is damaged"))));
    }
    let Some(raw) = head.get(id_len..id_len + size_len) else { return Ok(Err(None)) };
    let id = head[..id_len].iter().fold(0, |sum, b| (sum << 8) | u32::from(*b));
    let all = raw.iter().fold(0u64, |sum, b| (sum << 8) | u64::from(*b));
    let mask = (1u64 << (7 * size_len)) - 1;
    let size = Some(all & mask).filter(|size| *size != mask);
    Ok(Ok(Element { id, body: at + (id_len + size_len) as u64, size }))
}

#[derive(Default)]
struct Seen {
    elements: u32,
    tracks: bool,
    clusters: u32,
    /// What stands here is nothing that may stand here.
    odd: Option<u64>,
}

pub(super) fn walk(source: &mut Source<'_>) -> io::Result<Found> {
    let len = source.len();
    let head = match element(source, 0)? {
        Ok(Element { id: EBML, body, size: Some(size) }) => body.saturating_add(size),
        Ok(_) | Err(Some(_)) => return Ok(Found::new(State::Broken, "the EBML header is damaged")),
        Err(None) => return Ok(Found::new(State::Short, "the EBML header is cut")),
    };
    if head >= len {
        return Ok(Found::new(State::Short, "nothing stands behind the EBML header"));
    }
    let mut at = head;
    let segment = loop {
        match element(source, at)? {
            Ok(segment) if segment.id == SEGMENT => break segment,
            Ok(Element { id: VOID | CRC32, body, size: Some(size) }) if body.saturating_add(size) < len => {
                at = body + size;
            }
            Err(None) => return Ok(Found::new(State::Short, "it is cut before its segment")),
            _ => return Ok(Found::new(State::Broken, "no segment stands behind the EBML header").with("offset", at)),
        }
    };
    let end = match segment.size.map(|size| segment.body.saturating_add(size)) {
        Some(end) if end > len => {
            let missing = end - len;
            return Ok(Found::new(State::Short, format!("the segment needs {missing} bytes more than the file has"))
                .with("missing_bytes", missing));
        }
        Some(end) => end,
        None => len,
    };
    let mut seen = Seen::default();
    if let Some(bad) = children(source, &mut seen, segment.body, end)? {
        // Without a size of the segment something may stand behind its end: then no more of it follows.
        let odd = seen.odd.filter(|_| segment.size.is_none() && seen.clusters > 0);
        let found = match odd {
            Some(at) if !holds_cluster(source, at)? => {
                Found::new(State::Unknown, "behind the last whole element stands something else").with("offset", at)
            }
            _ => bad,
        };
        return Ok(found.with("clusters", seen.clusters));
    }
    let found = match (&seen, segment.size) {
        (Seen { tracks: false, .. }, _) => Found::new(State::Broken, "it describes no tracks"),
        (Seen { clusters: 0, .. }, None) => Found::new(State::Short, "it holds no media data (cluster)"),
        (Seen { clusters: 0, .. }, _) => Found::new(State::Broken, "it holds no media data (cluster)"),
        // A live recording is legal without sizes; whether more should follow, nobody wrote down.
        (_, None) => Found::new(State::Sound, "every element is complete; a live recording without a total size"),
        _ => Found::new(State::Sound, "the segment and every element in it are complete"),
    };
    let found = found.with("clusters", seen.clusters);
    Ok(if end < len { found.with("trailing_bytes", len - end) } else { found })
}

/// Walks what stands in a segment; clusters without a size are walked through as well.
fn children(source: &mut Source<'_>, seen: &mut Seen, start: u64, end: u64) -> io::Result<Option<Found>> {
    let (mut at, mut in_cluster) = (start, false);
    while at < end {
        seen.elements += 1;
        if seen.elements > MAX_ELEMENTS {
            return Ok(Some(Found::new(State::Unknown, format!("it has more than {MAX_ELEMENTS} elements"))));
        }
        let child = match element(source, at)? {
            Ok(child) => child,
            Err(None) => {
                return Ok(Some(
                    Found::new(State::Short, format!("an element is cut at byte {at}")).with("offset", at),
                ));
            }
            Err(Some(why)) => {
                seen.odd = Some(at);
                return Ok(Some(Found::new(State::Broken, why).with("offset", at)));
            }
        };
        let top = TOP.contains(&child.id);
        // Inside a cluster of unknown size its blocks follow; outside only what a segment may hold, or something newer.
        let fits = top || child.id == VOID || child.id == CRC32 || (in_cluster && child.is_of_cluster());
        if !fits && !followed(source, &child, end)? {
            seen.odd = Some(at);
            return Ok(Some(
                Found::new(State::Broken, format!("what stands at byte {at} belongs to no Matroska segment"))
                    .with("offset", at),
            ));
        }
        if top {
            seen.tracks |= child.id == TRACKS;
            seen.clusters += u32::from(child.id == CLUSTER);
            in_cluster = child.id == CLUSTER && child.size.is_none();
        }
        at = match child.size {
            None if child.id == CLUSTER => child.body,
            None => {
                return Ok(Some(
                    Found::new(State::Broken, format!("an element at byte {at} has no size")).with("offset", at),
                ));
            }
            Some(size) if child.body.saturating_add(size) > end => {
                let missing = child.body.saturating_add(size) - end;
                let state = if end == source.len() { State::Short } else { State::Broken };
                return Ok(Some(
                    Found::new(state, format!("an element needs {missing} bytes more than there are"))
                        .with("offset", at)
                        .with("missing_bytes", missing),
                ));
            }
            Some(size) => {
                let stop = child.body + size;
                if top && let Some(bad) = inside(source, seen, &child, stop)? {
                    return Ok(Some(bad.with("offset", at)));
                }
                stop
            }
        };
    }
    Ok(None)
}

/// Whether an element that we do not know ends where a known one begins, or everything ends: then it is skipped, as the
/// format wants it.
fn followed(source: &mut Source<'_>, child: &Element, end: u64) -> io::Result<bool> {
    let Some(next) = child.size.and_then(|size| child.body.checked_add(size)).filter(|next| *next <= end) else {
        return Ok(false);
    };
    Ok(next == end || matches!(element(source, next)?, Ok(next) if TOP.contains(&next.id) || next.id == VOID))
}

/// Looks into an element: its checksum, where it begins with one; for a few clusters whether their blocks add up.
fn inside(source: &mut Source<'_>, seen: &mut Seen, child: &Element, stop: u64) -> io::Result<Option<Found>> {
    let cluster = child.id == CLUSTER;
    let size = stop - child.body;
    let proven = source.deep() || (!cluster && size <= CHEAP_CRC);
    if proven
        && let Ok(Element { id: CRC32, body, size: Some(4) }) = element(source, child.body)?
        && body + 4 <= stop
        && let Some(wanted) = source.bytes::<4>(body)?
    {
        let mut crc = crc32fast::Hasher::new();
        source.stream(body + 4, stop, |block| {
            crc.update(block);
            true
        })?;
        let right = crc.finalize() == u32::from_le_bytes(wanted);
        let bad = || Found::new(State::Broken, format!("the checksum of an element of {size} bytes is wrong"));
        return Ok((!right).then(bad));
    }
    // Spread over the file without knowing how many there are: all at first, then ever fewer.
    let looked =
        cluster && (source.deep() || seen.clusters.is_power_of_two() || seen.clusters.is_multiple_of(CLUSTER_STEP));
    if !looked {
        return Ok(None);
    }
    let mut at = child.body;
    while at < stop {
        seen.elements += 1;
        if seen.elements > MAX_ELEMENTS {
            return Ok(None);
        }
        match element(source, at)? {
            Ok(Element { body, size: Some(size), .. }) if body.saturating_add(size) <= stop => at = body + size,
            // Nothing in a cluster has an unknown size.
            _ => {
                return Ok(Some(
                    Found::new(State::Broken, format!("the blocks of a cluster do not add up at byte {at}"))
                        .with("byte", at),
                ));
            }
        }
    }
    Ok(None)
}
