//! Tells what an event means by an ordered rule table. Pure.
//!
//! ```text
//! text ── event ──→ parts ── rules ──→ the first match ── captures ──→ Hit
//! ```
//!
//! A rule pack is a TOML file ([`RuleSource`]); [`Rules::compile`] reads many of them, leaves out what is
//! wrong and says so. The packs that are shipped are in the binary ([`builtin`]). `patterns/README.md` tells
//! how to write one.

mod bulk;
mod captures;
mod event;
mod explain;
mod facts;
mod file;
mod fragments;
mod groups;
mod healthy;
mod literal;
mod named;
mod packs;
mod pairs;
mod pattern;
mod plain;
mod prefix;
mod rules;
mod said;
mod samples;
mod scan;
mod search;
mod shape;
mod simd;
mod table;

pub use bulk::{Bulk, Found, Take, Want};
pub use event::{Level, level};
pub use explain::{Claim, Explanation, Verdict};
pub use file::{MAX_FILE, Problem, RuleSource};
pub use fragments::MAX_PATTERN;
pub use packs::{builtin, builtin_samples};
pub use rules::{MAX_RULES, RuleInfo, Rules, UnknownPack};
pub use samples::{Failure, Report, SampleSource, check, lint};

use crate::vocab::{Captures, Class, Severity};

/// What a rule says of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The rule's `id`.
    pub rule: String,
    /// What went wrong.
    pub class: Class,
    /// How bad.
    pub severity: Severity,
    /// What the rule read out of the text: hints.
    pub captures: Captures,
}

/// What a line says about a download job; hints as well. From `[[signal]]` tables in the packs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The signal rule's `id`.
    pub rule: String,
    /// What happened.
    pub means: SignalKind,
    /// `path`, `url`, `file_id`, `job`, `size`, `name`, `file_path` (a Bot API path such as `videos/file_7.mp4`), and how
    /// far it is: `percent`, `bytes`, `total` (as the tool rounded it), `rate` (bytes a second), `eta` (seconds).
    pub captures: Captures,
}

impl SignalKind {
    /// What a `state=` in a line means; `None` for a word that nobody agreed on.
    pub(super) fn of_state(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "queued" | "known" => Self::Known,
            "started" | "processing" => Self::Started,
            "progress" => Self::Progress,
            "completed" | "saved" => Self::Completed,
            "failed" => Self::Failed,
            _ => return None,
        })
    }
}

/// What happened to a job, by the bot's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// Something more is known of a job that is about to start or under way (a `file_id`, a URL, a name, a size).
    Known,
    /// A download began.
    Started,
    /// It is under way.
    Progress,
    /// The bot says that the file is saved.
    Completed,
    /// The bot says that it failed.
    Failed,
    /// The bot's connection to its server works (a poll was answered 200).
    Alive,
}
