//! Tells what fills a root: a walk bounded in entries and time, without following a link.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};

use super::{Error, Facts, FileKind, RootPath};

/// How far a walk may go.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Entries looked at.
    pub entries: u64,
    /// Time.
    pub time: Duration,
    /// How many of the largest files are told.
    pub top: usize,
}

impl Default for Budget {
    /// Two seconds or 200,000 entries, whichever comes first: enough for most libraries, never long in the way.
    fn default() -> Self {
        Self { entries: 200_000, time: Duration::from_secs(2), top: 10 }
    }
}

/// One file and the bytes it takes on the disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Bytes on the disk.
    pub bytes: u64,
    /// `root/relative`, escaped for people.
    pub path: String,
}

/// What fills a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The largest files, largest first.
    pub largest: Vec<Entry>,
    /// Bytes of everything seen.
    pub bytes: u64,
    /// Files seen.
    pub files: u64,
    /// Whether the walk ended before everything was seen.
    pub partial: bool,
}

impl RootPath {
    /// What fills this directory.
    ///
    /// # Errors
    /// When the directory itself cannot be read; what cannot be read below it is left out.
    pub fn usage(&self, budget: Budget) -> Result<Usage, Error> {
        let until = Instant::now() + budget.time;
        let mut heap: BinaryHeap<Reverse<Entry>> = BinaryHeap::new();
        let (mut usage, mut seen, mut todo) = (Usage::default(), 0u64, vec![self.clone()]);
        while let Some(directory) = todo.pop() {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            let opened = directory
                .open("list", flags, 0)
                .and_then(|fd| Dir::from_fd(fd).map_err(|errno| Error::of("list", &directory.to_string(), errno)));
            let mut listing = match opened {
                Ok(listing) => listing,
                Err(error) if directory == *self => return Err(error),
                Err(_) => continue,
            };
            let Ok(base) = nix::unistd::dup(&listing) else { continue };
            for entry in listing.iter().flatten() {
                let name = entry.file_name();
                if name.to_bytes() == b"." || name.to_bytes() == b".." {
                    continue;
                }
                seen += 1;
                if seen > budget.entries || (seen % 256 == 0 && Instant::now() > until) {
                    usage.partial = true;
                    break;
                }
                let Ok(stat) = nix::sys::stat::fstatat(&base, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
                let facts = Facts::of(&stat);
                let Ok(child) = directory.child(&name.to_string_lossy()) else { continue };
                match facts.kind {
                    FileKind::Directory => todo.push(child),
                    FileKind::File => {
                        usage.files += 1;
                        usage.bytes = usage.bytes.saturating_add(facts.allocated);
                        heap.push(Reverse(Entry { bytes: facts.allocated, path: child.to_string() }));
                        if heap.len() > budget.top {
                            heap.pop();
                        }
                    }
                    FileKind::Other => {}
                }
            }
            if usage.partial {
                break;
            }
        }
        usage.largest = heap.into_sorted_vec().into_iter().map(|Reverse(entry)| entry).collect();
        Ok(usage)
    }
}
