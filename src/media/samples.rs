//! Follows the sample tables of an MP4 track (ISO/IEC 14496-12, 8.7): every sample lies in media data of the file.

use std::io;

use super::source::{Source, Table, be32};
use super::{Found, State};

/// Samples followed in one track; 16 million pictures are three days of film.
const MAX_SAMPLES: u64 = 1 << 24;
/// Places of a track at which it is looked whether a picture begins; evenly spread, so that a hole of more than a hundredth
/// of the film is hit.
const LOOKS: u64 = 128;
/// Bytes looked at there.
const LOOK: usize = 16;
/// Kinds of video whose samples begin with the length of a NAL unit (ISO/IEC 14496-15): 16 zeros can never stand there.
const NAL: [&[u8; 4]; 6] = [b"avc1", b"avc3", b"hvc1", b"hev1", b"dvh1", b"dvhe"];

/// Kinds of samples that nobody can read without a key (ISO/IEC 23001-7, and what Apple had before it).
const ENCRYPTED: [&[u8; 4]; 6] = [b"encv", b"enca", b"enct", b"encs", b"drms", b"drmi"];

/// A stretch of the file.
type Span = (u64, u64);

/// What the index says of one track.
#[derive(Default)]
pub(super) struct Track {
    /// Its data lies in another file.
    pub(super) external: bool,
    /// Its samples are encrypted.
    pub(super) encrypted: bool,
    /// Its samples begin with the length of a NAL unit.
    nal: bool,
    /// Offsets of chunks, and bytes of an offset.
    chunks: Option<(Span, usize)>,
    /// Samples of each chunk, by runs.
    runs: Option<Span>,
    /// Size of each sample.
    sizes: Option<Span>,
    samples: u64,
}

impl Track {
    /// Takes in a box of the track that holds no others.
    pub(super) fn note(&mut self, source: &mut Source<'_>, name: &[u8; 4], body: u64, end: u64) -> io::Result<()> {
        let span = |width: u64, count: u32, from: u64| (from, end.min(from.saturating_add(u64::from(count) * width)));
        match name {
            b"stco" | b"co64" => {
                let width = if name == b"stco" { 4 } else { 8 };
                let Some(head) = source.bytes::<8>(body)? else { return Ok(()) };
                self.chunks = Some((span(width, be32(&head, 4), body + 8), width as usize));
            }
            b"stsc" => {
                let Some(head) = source.bytes::<8>(body)? else { return Ok(()) };
                self.runs = Some(span(12, be32(&head, 4), body + 8));
            }
            b"stsz" => {
                let Some(head) = source.bytes::<12>(body)? else { return Ok(()) };
                // Where all have one size, old writers of QuickTime do not mean bytes by it.
                if be32(&head, 4) == 0 {
                    self.samples = u64::from(be32(&head, 8));
                    self.sizes = Some(span(4, be32(&head, 8), body + 12));
                }
            }
            b"stsd" => {
                let Some(head) = source.bytes::<16>(body)? else { return Ok(()) };
                self.encrypted = ENCRYPTED.iter().any(|kind| head[12..16] == kind[..]);
                self.nal = be32(&head, 4) == 1 && NAL.iter().any(|kind| head[12..16] == kind[..]);
            }
            b"dref" => {
                // Entries: size, name, version and flags; the lowest flag says "in this file".
                let Some(head) = source.bytes::<20>(body)? else { return Ok(()) };
                self.external = be32(&head, 4) > 0 && body + 20 <= end && head[19] & 1 == 0;
            }
            _ => {}
        }
        Ok(())
    }
}

/// How many samples the chunks have, run by run.
struct Runs {
    table: Option<Table>,
    samples: u64,
    next: Option<(u64, u64)>,
}

impl Runs {
    fn new(span: Option<Span>) -> Self {
        Self { table: span.map(|(start, end)| Table::new(start, end, 12)), samples: 0, next: None }
    }

    fn of(&mut self, source: &mut Source<'_>, chunk: u64) -> io::Result<u64> {
        loop {
            if self.next.is_none()
                && let Some(table) = &mut self.table
                && let Some(entry) = table.next(source)?
            {
                self.next = Some(((entry >> 64) as u64, (entry >> 32) as u64 & 0xffff_ffff));
            }
            match self.next {
                Some((first, samples)) if first <= chunk => (self.samples, self.next) = (samples, None),
                _ => return Ok(self.samples),
            }
        }
    }
}

/// Says what is wrong with the samples; and else whether every one was seen to lie in media data.
pub(super) fn check(source: &mut Source<'_>, track: &Track, data: &[Span]) -> io::Result<(Option<Found>, bool)> {
    let Some(((start, stop), width)) = track.chunks.filter(|_| !track.external) else { return Ok((None, false)) };
    let count = stop.saturating_sub(start) / width as u64;
    let (mut chunks, mut runs) = (Table::new(start, stop, width), Runs::new(track.runs));
    let sizes = track.sizes.filter(|_| track.samples <= MAX_SAMPLES);
    let mut sizes = sizes.map(|(start, end)| Table::new(start, end, 4));
    let (mut chunk, mut seen, mut inside) = (0, 0, true);
    while let Some(offset) = chunks.next(source)? {
        // At most eight bytes were read.
        let offset = offset as u64;
        chunk += 1;
        let (mut bytes, mut first) = (0u64, 0u64);
        if let Some(table) = &mut sizes {
            for _ in 0..runs.of(source, chunk)? {
                let Some(size) = table.next(source)? else { break };
                let size = size as u64;
                (bytes, seen) = (bytes.saturating_add(size), seen + 1);
                first = if first == 0 { size } else { first };
            }
            if bytes == 0 {
                continue;
            }
        }
        let end = offset.saturating_add(bytes.max(1));
        if end > source.len() {
            let why = format!("the index points to byte {end}, the file has {}", source.len());
            return Ok((Some(Found::new(State::Short, why).with("offset", offset)), false));
        }
        let range = data.partition_point(|(start, _)| *start <= offset).checked_sub(1).and_then(|at| data.get(at));
        inside &= range.is_some_and(|(_, stop)| end <= *stop);
        let looked = track.nal && first >= LOOK as u64 && (chunk - 1) % (count / LOOKS).max(1) == 0;
        if looked && source.bytes::<LOOK>(offset)? == Some([0; LOOK]) {
            let why = format!("where a picture should begin, at byte {offset}, are zeros");
            return Ok((Some(Found::new(State::Broken, why).with("offset", offset)), false));
        }
    }
    let whole = sizes.is_some() && seen == track.samples;
    Ok((None, inside && whole))
}
