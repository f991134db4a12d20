//! Reads text from where it comes: files, globs, journal, standard input. I/O.
//!
//! Speaks only of bytes: which stream, which offset. What they mean is for the rooms downstream.

mod follow;
mod hint;
mod journal;
mod outlet;
mod places;
mod siblings;
mod stdin;
mod stream;
mod tail;

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use journal::Milestones;
pub use tail::MAX_FILES;

use outlet::Outlet;
use tail::PathSource;

/// One configured source of log text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    /// Its unique name.
    pub name: String,
    /// Where it comes from.
    pub kind: SourceKind,
}

/// Where log text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A file, which need not exist yet, or a glob. Absolute; `shown` is the path as the user wrote it.
    Path {
        /// Absolute path or glob.
        path: PathBuf,
        /// As configured.
        shown: String,
    },
    /// A systemd unit's journal.
    Journal {
        /// The unit.
        unit: String,
    },
    /// Standard input, to its end.
    Stdin,
}

/// Names one stream of bytes inside a source, for the life of the process: one open file, one journal, stdin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// How to find a stream again after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Identity {
    /// A file: device, inode and a hash of its first bytes, since inodes are reused at once.
    File {
        /// Device number.
        dev: u64,
        /// Inode number.
        ino: u64,
        /// How many first bytes `hash` covers.
        hashed: u64,
        /// FNV-1a of them, hexadecimal.
        hash: String,
        /// The path it was last known under.
        path: PathBuf,
        /// When the youngest file was made that had been seen at or beside the path when this one was opened, by the
        /// file system's clock. Should the file be gone at the next start, generations made later are unread, others
        /// are not. In an anchor: the same for every path of the source of which nothing else is stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen_until: Option<SystemTime>,
    },
    /// The journal, by its cursor.
    Journal {
        /// `__CURSOR` of the last entry read.
        cursor: String,
    },
    /// Standard input cannot be read twice.
    Stdin,
}

/// How far a stream has been worked off; stored in the same transaction as what was found there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The source's name.
    pub source: String,
    /// Which stream.
    pub identity: Identity,
    /// Everything before this byte has been worked off.
    pub offset: u64,
}

/// What a reader says. Per stream in order: `Opened`, then `Bytes`, `Idle` and `Identity` as they come, then `Closed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// A stream begins (or goes on, from a checkpoint) at `offset`.
    Opened {
        /// Which.
        stream: StreamId,
        /// Of which source.
        source: String,
        /// The path as configured (for a glob: the file's own path), for records.
        file: Option<String>,
        /// How to find it again.
        identity: Identity,
        /// First byte that will come.
        offset: u64,
    },
    /// Bytes that follow the last ones.
    Bytes {
        /// Which stream.
        stream: StreamId,
        /// Where they start.
        offset: u64,
        /// At most [`CHUNK`].
        bytes: Vec<u8>,
        /// The end is reached for now, as [`Read::Idle`] says: whoever acts on it need not be woken twice.
        last: bool,
    },
    /// The end is reached for now: nothing more is waiting to be read.
    Idle {
        /// Which stream.
        stream: StreamId,
    },
    /// The identity became more exact (a file grew past the hashed length, a journal moved on).
    Identity {
        /// Which stream.
        stream: StreamId,
        /// The new one.
        identity: Identity,
    },
    /// The stream is over: rotated away and drained, truncated, deleted, or at its end. Its checkpoint can go.
    Closed {
        /// Which stream.
        stream: StreamId,
    },
    /// Something people should know: unreadable file, no file events, journal gone. The reader goes on trying.
    Trouble {
        /// The source.
        source: String,
        /// What, with path and remedy.
        detail: String,
    },
}

/// The most bytes in one [`Read::Bytes`]: large enough for the matcher, small enough that a slow engine holds little.
pub const CHUNK: usize = 256 * 1024;

/// How to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// At the very first start of a source: read what is in its files already, instead of beginning at their ends.
    pub from_start: bool,
    /// Do not ask for file events; look at the files 4 times a second.
    pub polling: bool,
    /// The program that reads the journal.
    pub journalctl: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self { from_start: false, polling: false, journalctl: "journalctl".into() }
    }
}

/// Reads all sources, going on from `checkpoints`, until `stop` is cancelled, `out` is closed, or everything is at its
/// end (standard input alone).
///
/// Whoever stores checkpoints must do so as soon as `Opened` comes, also for streams that never give a byte: each path
/// source has such an anchor (a file identity with inode 0), which tells the next start that it is not the first and
/// from when on files are new. It comes after the files that are there at the start, and once more when it moves.
/// A stream's `Closed` comes after the `Opened` of the one that follows it.
///
/// What happens while nothing reads is told by what is left. A file that was rotated away is found by its inode or its
/// first bytes, and all younger generations are read. When nothing is left of it, or there was none yet, generations count
/// as unread by when they were made ([`Identity::File`], `seen_until`). The limits of that: where a file system does not
/// record when a file was made, its last change is taken, so an old generation that was written to late is read again;
/// two files made within one tick of the kernel's clock (some milliseconds) are not told apart, and the younger is not
/// read; a clock that was set back hides what was made before it caught up; compressed generations are not read.
pub async fn run(
    specs: Vec<SourceSpec>,
    checkpoints: Vec<Checkpoint>,
    settings: Settings,
    out: Sender<Read>,
    stop: CancellationToken,
) {
    let stop = stop.child_token();
    // Also when this future is dropped, the threads end.
    let _guard = stop.clone().drop_guard();
    let outlet = Outlet::new(out, stop.clone());
    let mut readers = JoinSet::new();
    let mut paths = Vec::new();
    for SourceSpec { name, kind } in specs {
        let outlet = outlet.clone();
        match kind {
            SourceKind::Path { path, shown } => paths.push(PathSource::new(name, path, shown)),
            SourceKind::Journal { unit } => {
                let cursor = checkpoints.iter().filter(|checkpoint| checkpoint.source == name).find_map(|checkpoint| {
                    match &checkpoint.identity {
                        Identity::Journal { cursor } => Some(cursor.clone()),
                        _ => None,
                    }
                });
                let settings = settings.clone();
                readers.spawn(async move {
                    // Stopped is how it ends.
                    let _ = journal::run(&name, &unit, cursor, &settings, &outlet).await;
                });
            }
            SourceKind::Stdin => {
                let (done, ended) = tokio::sync::oneshot::channel::<()>();
                // A thread of its own that nobody waits for: a read from a terminal cannot be interrupted.
                let reader = std::thread::Builder::new().name("stdin".into()).spawn(move || {
                    let _ = stdin::run(&name, &outlet);
                    drop(done);
                });
                let stop = stop.clone();
                readers.spawn(async move {
                    if reader.is_ok() {
                        tokio::select! { _ = ended => {}, () = stop.cancelled() => {} }
                    }
                });
            }
        }
    }
    if !paths.is_empty() {
        let (wake, woken) = std::sync::mpsc::sync_channel(1);
        let at_stop = wake.clone();
        let reader = outlet.clone();
        let ended = stop.clone();
        readers.spawn_blocking(move || {
            tail::run(paths, checkpoints, settings, reader, (wake, woken));
            // It ends when told to, or when nobody listens: then the others have no more to do either.
            ended.cancel();
        });
        readers.spawn(async move {
            stop.cancelled().await;
            // Full means that it wakes anyway.
            let _ = at_stop.try_send(());
        });
    }
    drop(outlet);
    while readers.join_next().await.is_some() {}
}
