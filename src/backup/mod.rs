//! Makes backups of what logmedic knows, proves them, and brings them back. I/O.
//!
//! ```text
//! backups/2026-11-25T193900Z-name/
//!     manifest.json          what is in it: path, size and SHA-256 of every file
//!     manifest.json.sha256   of the manifest, as `sha256sum -c` reads it
//!     state.db               the state database, consistent and compact
//!     config/…               the configuration; secrets only when they were asked for
//!     media/ROOT/…           the files of the roots, when they were asked for
//! ```
//!
//! A backup is written aside (`.partial-…`), forced to the disk, and renamed last: what has a name is whole. Every path of a
//! manifest is a [`manifest::Relative`] and opened below the backup's own descriptor, whoever wrote it.

pub mod copy;
pub mod create;
pub mod manifest;
pub mod media;
pub mod place;
pub mod restore;
pub mod retention;
pub mod task;
pub mod verify;
pub mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::ledger;
use crate::operate::schedule::Schedule;
use crate::roots::{self, RootSpec};
use crate::vocab::clean_line;

pub use create::{Order, create};
pub use manifest::Manifest;
pub use place::{Listed, Place};
pub use restore::{Restored, Wanted, restore};
pub use task::BackupTask;
pub use verify::{Verdict, verify};
pub use watch::{Stopped, Watch};

/// Complaints about a damaged backup that are told at most; of more, how many there are.
pub const COMPLAINTS: usize = 20;

/// One file of the configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it belongs, below the configuration's directory.
    pub path: String,
    /// Where it was, when that is elsewhere.
    pub from: Option<PathBuf>,
    /// What is in it.
    pub content: Vec<u8>,
    /// Whether it holds a secret.
    pub secret: bool,
}

/// Reads the configuration as it is now, with secrets or with them left out. What cannot be read comes back as sentences.
pub type Pieces = Arc<dyn Fn(bool) -> (Vec<Piece>, Vec<String>) + Send + Sync>;

/// How backups are made.
#[derive(Clone)]
pub struct Settings {
    /// The state directory.
    pub state: PathBuf,
    /// Where backups are kept.
    pub directory: PathBuf,
    /// The roots, for their media.
    pub roots: Vec<RootSpec>,
    /// The configuration.
    pub pieces: Pieces,
    /// So many are kept.
    pub keep: u32,
    /// Older ones are let go.
    pub keep_for: Option<Duration>,
    /// Whether media is in it when nobody says.
    pub media: bool,
    /// Whether secrets are in it when nobody says.
    pub secrets: bool,
    /// When one is made by itself.
    pub schedule: Option<Schedule>,
}

/// Why a backup could not be made, proven or brought back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody asked for the end.
    #[error("it was ended before it was done; nothing of it is left")]
    Stopped,
    /// Something is in the way that a person can put right.
    #[error("failed to {what}: {why}")]
    Refused {
        /// What was to be done.
        what: &'static str,
        /// Why it is not done, and what would help.
        why: String,
    },
    /// There is no such backup.
    #[error("failed to find the backup '{0}': `logmedic backup list` shows those that there are")]
    Missing(String),
    /// It is damaged, or somebody made it up.
    #[error("failed to use the backup {name}: it is damaged: {}", damage.join("; "))]
    Damaged {
        /// Which.
        name: String,
        /// What is wrong with it.
        damage: Vec<String>,
    },
    /// No room.
    #[error(
        "failed to make room for the backup: it needs {needed} bytes and {directory} has {free}; free some, or set [backup] directory"
    )]
    Full {
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// Where.
        directory: String,
    },
    /// A file operation failed.
    #[error("failed to {what} {}: {source}", clean_line(&path.display().to_string()))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// The state could not be used.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// A file of a root or of a backup could not be used.
    #[error("failed to use a file: {0}")]
    Roots(#[from] roots::Error),
}

impl Error {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source }
    }

    fn refused(what: &'static str, why: impl Into<String>) -> Self {
        Self::Refused { what, why: why.into() }
    }
}

impl From<Stopped> for Error {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<roots::Refusal> for Error {
    fn from(refusal: roots::Refusal) -> Self {
        Self::Roots(refusal.into())
    }
}
