//! File events as a hint: they say where to look, never what is there.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::statfs::{self, FsType};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// How many changed directories are remembered one by one; beyond it everything is looked at.
const DIRECTORIES: usize = 256;

/// File systems whose every writer is on this machine, so that an event tells of each change.
const TELLING: [FsType; 6] = [
    statfs::EXT4_SUPER_MAGIC,
    statfs::XFS_SUPER_MAGIC,
    statfs::BTRFS_SUPER_MAGIC,
    statfs::F2FS_SUPER_MAGIC,
    statfs::TMPFS_MAGIC,
    ZFS,
];

/// Not in the kernel's own headers.
const ZFS: FsType = FsType(0x2fc1_2fc1);

/// Where something changed since the last look.
#[derive(Default)]
pub(super) struct Dirty {
    /// Events were lost or cannot be told apart: look everywhere.
    pub(super) all: bool,
    /// Directories in which something changed.
    pub(super) directories: HashSet<PathBuf>,
}

/// Watches directories. Without events (none granted, or not wanted) it says so and stays silent.
pub(super) struct Hint {
    watcher: Option<RecommendedWatcher>,
    dirty: Arc<Mutex<Dirty>>,
    /// What is watched: device and inode, since a directory that was made again needs a new watch.
    watched: HashMap<PathBuf, (u64, u64)>,
    refused: bool,
    /// Every directory that is wanted is watched, and lies where no change goes untold.
    sure: bool,
}

impl Hint {
    /// `told` is called after each change, on the watcher's own thread; the text is what people should know.
    pub(super) fn new(polling: bool, mut told: impl FnMut() + Send + 'static) -> (Self, Option<String>) {
        let dirty = Arc::new(Mutex::new(Dirty::default()));
        let mut hint =
            Self { watcher: None, dirty: Arc::clone(&dirty), watched: HashMap::new(), refused: false, sure: false };
        if polling {
            return (hint, None);
        }
        let noted = move |event| {
            if note(event, &dirty) {
                told();
            }
        };
        match notify::recommended_watcher(noted) {
            Ok(watcher) => {
                hint.watcher = Some(watcher);
                (hint, None)
            }
            Err(error) => (hint, Some(remedy(&error, None))),
        }
    }

    /// Whether events can come at all.
    pub(super) fn works(&self) -> bool {
        self.watcher.is_some() && !self.refused
    }

    /// Whether an event tells of everything but a directory that takes the place of another.
    pub(super) const fn is_sure(&self) -> bool {
        self.sure
    }

    /// Takes what changed since the last call.
    pub(super) fn take(&self) -> Dirty {
        std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Watches these directories and no others; ones that do not exist (yet) are tried again at the next call.
    ///
    /// Returns whether a watch was set (then look everywhere: something may have happened before) and, the first time,
    /// why one was refused.
    pub(super) fn watch(&mut self, wanted: &HashSet<PathBuf>) -> (bool, Option<String>) {
        let Some(watcher) = &mut self.watcher else { return (false, None) };
        let (mut set, mut trouble) = (false, None);
        let now: HashMap<&PathBuf, (u64, u64)> = wanted
            .iter()
            .filter_map(|directory| {
                let meta = std::fs::metadata(directory).ok().filter(std::fs::Metadata::is_dir)?;
                Some((directory, (meta.dev(), meta.ino())))
            })
            .collect();
        self.watched.retain(|directory, inode| {
            let keep = now.get(directory) == Some(inode);
            if !keep {
                // It may be gone with the directory already.
                let _ = watcher.unwatch(directory);
            }
            keep
        });
        for (directory, inode) in now {
            if self.watched.contains_key(directory) {
                continue;
            }
            match watcher.watch(directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(directory.clone(), inode);
                    set = true;
                }
                Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => {}
                Err(error) if !self.refused => {
                    self.refused = true;
                    trouble = Some(remedy(&error, Some(directory)));
                }
                Err(_) => {}
            }
        }
        if set || self.watched.len() < wanted.len() {
            let tells = |directory: &PathBuf| {
                statfs::statfs(directory).is_ok_and(|found| TELLING.contains(&found.filesystem_type()))
            };
            self.sure = self.watched.len() == wanted.len() && wanted.iter().all(tells);
        }
        (set, trouble)
    }
}

/// Keeps where something changed; `false`: nowhere. It does not care for the `Access` events that reading itself makes.
fn note(event: notify::Result<notify::Event>, dirty: &Mutex<Dirty>) -> bool {
    let mut dirty = dirty.lock().unwrap_or_else(PoisonError::into_inner);
    match event {
        Ok(event) if event.need_rescan() => dirty.all = true,
        Ok(event) => match event.kind {
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Any => {
                for path in event.paths {
                    if let Some(parent) = path.parent()
                        && !dirty.directories.contains(parent)
                    {
                        dirty.directories.insert(parent.into());
                    }
                }
            }
            EventKind::Access(_) | EventKind::Other => return false,
        },
        Err(_) => dirty.all = true,
    }
    if dirty.directories.len() > DIRECTORIES {
        dirty.directories.clear();
        dirty.all = true;
    }
    true
}

fn remedy(error: &notify::Error, directory: Option<&Path>) -> String {
    let place = directory.map_or_else(String::new, |d| format!(" in {}", d.display()));
    let limit = match &error.kind {
        notify::ErrorKind::MaxFilesWatch => "raise fs.inotify.max_user_watches with sysctl",
        notify::ErrorKind::Io(io) if io.raw_os_error() == Some(libc::EMFILE) => {
            "raise fs.inotify.max_user_instances with sysctl, or the limit of open files (LimitNOFILE)"
        }
        _ => "nothing is lost by it",
    };
    format!("failed to watch for file events{place}: {error}; files are looked at 4 times a second instead; {limit}")
}
