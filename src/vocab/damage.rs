//! Says that a file was found damaged by a look at all of them: what integrity checks tell the engine. Pure.

use serde::{Deserialize, Serialize};

use super::{Evidence, Id};

/// Rules of integrity checks are called so, with the level of the check behind it.
pub const INTEGRITY_RULE: &str = "integrity.";

/// A file that was proven bad.
#[derive(Clone, Debug, PartialEq)]
pub struct Damage {
    /// Its absolute path.
    pub path: String,
    /// Which file that was, and what is wrong with it.
    pub bad: Bad,
    /// The download that brought it.
    pub job: Option<Id>,
    /// How thoroughly it was looked at: `structure`, `checksum`, `decode`.
    pub level: String,
    /// What was seen.
    pub evidence: Evidence,
}

/// One file as it was when it was proven bad. Whatever stands at its path later is judged anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, in seconds since 1970.
    pub modified: u64,
    /// One sentence: what shows it.
    pub why: String,
}

impl Bad {
    /// Whether it is this file, and nobody wrote to it since.
    #[must_use]
    pub const fn is(&self, (dev, ino): (u64, u64), size: u64, modified: u64) -> bool {
        self.dev == dev && self.ino == ino && self.size == size && self.modified == modified
    }
}
