//! One open log file: what it is, how far it was read, whether it still is what it was.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Instant, SystemTime};

use super::{Identity, StreamId};

/// How many first bytes tell one log file from another: the first lines carry times, and a page is one read.
pub(super) const HEAD: usize = 1024;
/// The fewest first bytes by which a longer file is known under another inode (a copy); fewer could agree by chance.
pub(super) const COPY_HEAD: u64 = 64;

/// Why a path cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// A directory, FIFO, socket or device.
    #[error("not a regular file; name a log file, or pipe into standard input with stdin = true")]
    NotRegular,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What tells a file from every other, also when its inode is used again or its content was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Print {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) hashed: u64,
    pub(super) hash: u64,
}

impl Print {
    pub(super) fn of(file: &File, meta: &Metadata) -> io::Result<Self> {
        let mut head = [0; HEAD];
        let length = read_head(file, &mut head)?;
        Ok(Self { dev: meta.dev(), ino: meta.ino(), hashed: length as u64, hash: fnv1a(&head[..length]) })
    }

    pub(super) fn same_inode(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    /// Whether `file` begins with the bytes this print was taken from.
    pub(super) fn begins(&self, file: &File) -> io::Result<bool> {
        let mut head = [0; HEAD];
        let length = read_head(file, &mut head)? as u64;
        Ok(length >= self.hashed && fnv1a(&head[..to_usize(self.hashed)]) == self.hash)
    }

    /// What a stored identity says; `None` for an anchor and for what is no file.
    pub(super) fn told(identity: &Identity) -> Option<Self> {
        let Identity::File { dev, ino, hashed, hash, .. } = identity else { return None };
        let hash = u64::from_str_radix(hash, 16).ok()?;
        Some(Self { dev: *dev, ino: *ino, hashed: *hashed, hash })
    }
}

fn to_usize(hashed: u64) -> usize {
    usize::try_from(hashed).unwrap_or(HEAD).min(HEAD)
}

/// FNV-1a, 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn read_head(file: &File, head: &mut [u8; HEAD]) -> io::Result<usize> {
    let mut length = 0;
    while length < HEAD {
        match file.read_at(&mut head[length..], length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Opens a regular file for reading, and nothing else: neither waits on a FIFO nor wakes a device.
pub(super) fn open(path: &Path) -> Result<(File, Metadata), OpenError> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(OpenError::NotRegular);
    }
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    // It may have been swapped between the two looks.
    if !meta.is_file() { Err(OpenError::NotRegular) } else { Ok((file, meta)) }
}

/// When a file was made, or last written where the file system does not say.
pub(super) fn birth(meta: &Metadata) -> SystemTime {
    meta.created().or_else(|_| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Where the first line starts that is not complete yet: a first start at the end must not begin inside a line.
pub(super) fn last_line(file: &File, size: u64) -> io::Result<u64> {
    const STEP: u64 = 4096;
    /// A line longer than this begins in the middle; it will be cut anyway.
    const FARTHEST: u64 = 1024 * 1024;
    let mut end = size;
    while end > 0 && size - end < FARTHEST {
        let start = end.saturating_sub(STEP);
        let mut block = vec![0; usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(&mut block, start)?;
        if let Some(at) = memchr::memrchr(b'\n', &block) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(if end == 0 { 0 } else { size })
}

/// Where data begins: a writer that goes on at its old place after a truncation leaves a hole of NULs.
pub(super) fn first_data(file: &File) -> u64 {
    nix::unistd::lseek(file, 0, nix::unistd::Whence::SeekData).ok().and_then(|at| u64::try_from(at).ok()).unwrap_or(0)
}

/// What the next look into the file gave.
pub(super) enum Step {
    /// So many bytes are in the buffer, from this offset on; and the print became more exact.
    Bytes { from: u64, count: usize, sharper: bool },
    /// Nothing more for now.
    End,
    /// The file was truncated, perhaps written again since: what was read is gone.
    Truncated,
}

/// A file under way.
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) file: File,
    pub(super) print: Print,
    pub(super) offset: u64,
    /// Bytes were sent, and nothing says yet that they are the last for now.
    pub(super) fresh: bool,
    /// The last read found the end.
    pub(super) drained: bool,
    /// Nothing more will be read, whatever the file does.
    pub(super) over: bool,
    /// When it was last seen growing, or left its path.
    pub(super) since: Instant,
    /// No file of a later generation is older than this.
    pub(super) birth: SystemTime,
    /// When the youngest file was made that was seen when this one was opened for the first time.
    pub(super) seen_until: SystemTime,
}

impl Stream {
    pub(super) fn new(id: StreamId, file: File, meta: &Metadata, offset: u64) -> io::Result<Self> {
        let print = Print::of(&file, meta)?;
        Ok(Self {
            id,
            file,
            print,
            offset,
            fresh: false,
            drained: false,
            over: false,
            since: Instant::now(),
            birth: birth(meta),
            seen_until: SystemTime::UNIX_EPOCH,
        })
    }

    pub(super) fn identity(&self, path: &Path) -> Identity {
        let Print { dev, ino, hashed, hash } = self.print;
        let (hash, seen_until) = (format!("{hash:016x}"), Some(self.seen_until));
        Identity::File { dev, ino, hashed, hash, path: path.into(), seen_until }
    }

    /// Reads on. What was read only counts when the file afterwards still is the one it was before.
    pub(super) fn step(&mut self, buffer: &mut [u8]) -> io::Result<Step> {
        let count = loop {
            match self.file.read_at(buffer, self.offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let next = self.offset + count as u64;
        let mut head = [0; HEAD];
        let length = read_head(&self.file, &mut head)?;
        let known = to_usize(self.print.hashed);
        if self.file.metadata()?.len() < next || length < known || fnv1a(&head[..known]) != self.print.hash {
            return Ok(Step::Truncated);
        }
        self.drained = count == 0;
        if count == 0 {
            return Ok(Step::End);
        }
        let sharper = known < HEAD && length > known;
        if sharper {
            (self.print.hashed, self.print.hash) = (length as u64, fnv1a(&head[..length]));
        }
        let from = std::mem::replace(&mut self.offset, next);
        (self.fresh, self.since) = (true, Instant::now());
        Ok(Step::Bytes { from, count, sharper })
    }
}
