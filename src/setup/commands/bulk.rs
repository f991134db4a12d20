//! Reads a finished file with all cores for `logmedic classify`; what comes out is in the file's order. I/O.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::assemble::{first_cut, next_line};
use crate::classify::{Bulk, Found, Hit, Rules, Want};
use crate::vocab::Class;

/// What one core reads at once of a file: enough that the search for its bounds does not matter, and little enough that
/// what was found in it waits in memory.
const SHARE: u64 = 8 * 1024 * 1024;

/// Read at once: what fits into a core's own cache.
const BLOCK: usize = 256 * 1024;

/// How far behind a share's nominal start its real one is looked for: several times the longest event.
const SEARCH: usize = 1024 * 1024;

/// How many finished shares of a core wait to be written.
const WAITING: usize = 2;

/// The most cores that one file is shared among.
const MAX_THREADS: usize = 64;

/// An event with what was found out.
pub(super) struct Event {
    pub(super) offset: u64,
    /// 1 for the share's first line; 0 when only classes were wanted.
    pub(super) line: u64,
    pub(super) lines: u32,
    pub(super) text: Vec<u8>,
    pub(super) hit: Hit,
}

/// What a share of the file holds.
#[derive(Default)]
pub(super) struct Share {
    /// Events that a rule claims, when they are wanted.
    pub(super) events: Vec<Event>,
    /// Class → how many, when only that is wanted; `None`: reads like an error.
    pub(super) counts: Vec<(Option<Class>, u64)>,
    /// How many lines ended in it.
    pub(super) line_ends: u64,
}

impl Share {
    fn note(&mut self, found: Found<'_>) {
        match found.hit {
            Some(hit) => self.events.push(Event {
                offset: found.offset,
                line: found.line,
                lines: found.lines,
                text: found.text.to_vec(),
                hit,
            }),
            None => match self.counts.iter_mut().find(|(class, _)| *class == found.class) {
                Some((_, count)) => *count += 1,
                None => self.counts.push((found.class, 1)),
            },
        }
    }
}

/// How many threads to use when nothing was said: one for each core that this process may use.
pub(super) fn threads(asked: Option<usize>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    asked.unwrap_or_else(cores).clamp(1, MAX_THREADS)
}

/// Reads the file's first `size` bytes and hands its shares over in order. An error of `take` ends it.
pub(super) fn read(
    file: &File,
    size: u64,
    rules: &Rules,
    want: Want,
    threads: usize,
    take: &mut dyn FnMut(Share) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let shares = size.div_ceil(SHARE);
    let threads = threads.min(usize::try_from(shares).unwrap_or(usize::MAX)).max(1);
    let mut reader = Reader { file, size, bulk: Bulk::new(rules, want, 0), buffer: vec![0; BLOCK] };
    if threads == 1 {
        return (0..shares).try_for_each(|number| take(reader.share(number)?));
    }
    drop(reader);
    std::thread::scope(|scope| {
        // Core k reads the shares k, k + n, …; so they come back in order by asking one after the other.
        let queues: Vec<Receiver<std::io::Result<Share>>> = (0..threads as u64)
            .map(|first| {
                let (send, receive) = sync_channel(WAITING);
                let job = move || {
                    let mut reader = Reader { file, size, bulk: Bulk::new(rules, want, 0), buffer: vec![0; BLOCK] };
                    work(&mut reader, (first..shares).step_by(threads), &send);
                };
                scope.spawn(job);
                receive
            })
            .collect();
        // A core whose queue is dropped stops at its next share.
        for number in 0..shares {
            let queue = &queues[(number % threads as u64) as usize];
            let share = queue.recv().map_err(|_| anyhow::anyhow!("failed to read: a thread ended early"))?;
            take(share?)?;
        }
        Ok(())
    })
}

fn work(reader: &mut Reader<'_>, shares: impl Iterator<Item = u64>, out: &SyncSender<std::io::Result<Share>>) {
    for number in shares {
        if out.send(reader.share(number)).is_err() {
            return;
        }
    }
}

struct Reader<'a> {
    file: &'a File,
    size: u64,
    bulk: Bulk<'a>,
    buffer: Vec<u8>,
}

impl Reader<'_> {
    /// Where a share begins, if the log may be cut near there.
    fn start(&mut self, number: u64) -> std::io::Result<Option<u64>> {
        let nominal = number.saturating_mul(SHARE);
        if number == 0 || nominal >= self.size {
            return Ok(Some(nominal.min(self.size)));
        }
        let mut window = 4096;
        loop {
            self.buffer.resize(window.max(BLOCK), 0);
            let length = self.fill(0, nominal - 1, window)?;
            let text = &self.buffer[..length];
            let complete = memchr::memrchr(b'\n', text).map_or(0, |end| end + 1);
            // The byte before tells whether the nominal start is a line's.
            let line = next_line(text, 0).min(complete);
            if let Some(cut) = first_cut(text, line, complete) {
                return Ok(Some(nominal - 1 + cut as u64));
            }
            if length < window || window >= SEARCH {
                return Ok(None);
            }
            window *= 4;
        }
    }

    /// Reads the share from where it begins to where the next one does. One that cannot be cut off belongs to the one before.
    fn share(&mut self, number: u64) -> std::io::Result<Share> {
        let mut share = Share::default();
        let Some(start) = self.start(number)? else { return Ok(share) };
        let mut next = number + 1;
        let end = loop {
            match self.start(next)? {
                Some(end) => break end,
                None => next += 1,
            }
        };
        self.buffer.resize(BLOCK, 0);
        self.bulk.restart(start);
        let (mut at, mut kept) = (start, 0);
        while at < end || kept > 0 {
            let wanted = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK - kept);
            let got = self.fill(kept, at, wanted)?;
            at += got as u64;
            let length = kept + got;
            // A file that became shorter ends where it ends.
            let last = at >= end || got < wanted;
            let mut note = |found: Found<'_>| {
                share.note(found);
                Ok::<(), std::convert::Infallible>(())
            };
            let done = match self.bulk.push(&self.buffer[..length], last, &mut note) {
                Ok(done) => done,
                Err(never) => match never {},
            };
            if last {
                break;
            }
            self.buffer.copy_within(done..length, 0);
            kept = length - done;
        }
        share.line_ends = self.bulk.line_ends();
        Ok(share)
    }

    /// Fills the buffer from `into` with up to `count` bytes of the file at `at`; fewer only at its end.
    fn fill(&mut self, into: usize, at: u64, count: usize) -> std::io::Result<usize> {
        let mut got = 0;
        while got < count {
            match self.file.read_at(&mut self.buffer[into + got..into + count], at + got as u64) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(got)
    }
}
