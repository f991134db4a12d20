//! Makes incidents and download jobs out of events. Pure.

mod growth;
mod incident;
mod job;
mod locate;

pub use growth::{Grew, Growth};
pub use incident::{FLAPPING, FOLD_EVERY, Facts, Fold, Incident, SAME_FAULT};
pub use job::{Job, JobState, Jobs, Origin, Progress, Seen, StallLimits, Told};
pub use locate::{Located, Locator, is_plain_download, origin};

use chrono::{DateTime, Utc};

use crate::classify::{Hit, Signal};

/// One thing that a log said, ready for the engine. Its text is redacted and bounded already.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Byte at which the event's first line starts.
    pub offset: u64,
    /// The event's text.
    pub text: String,
    /// Whether `text` was cut.
    pub truncated: bool,
    /// The bot's clock where the line had one, else the moment of reading.
    pub at: DateTime<Utc>,
    /// Whether the line had a date of its own: only then `at` says how close two lines really are.
    pub dated: bool,
    /// What it means.
    pub meaning: Meaning,
}

/// What an event means.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// A rule claims it as a failure.
    Failure(Hit),
    /// It says something about a download.
    Job(Signal),
}
