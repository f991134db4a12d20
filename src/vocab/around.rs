//! Shapes what is kept of a recognised event and the lines around it, for people. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A recognised event, where it stands, and what its source said before and after. Texts are redacted, cleaned, bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Around {
    /// The log source.
    pub source: String,
    /// The file as configured.
    pub file: Option<String>,
    /// Byte at which the event's first line starts.
    pub offset: u64,
    /// The bot's clock where the line had one, else ours.
    pub at: DateTime<Utc>,
    /// What was said before, oldest first.
    pub before: Vec<String>,
    /// The event.
    pub text: String,
    /// Which bytes of `text` the rule's pattern matched: start and end.
    pub matched: Option<(usize, usize)>,
    /// What was said after, oldest first.
    pub after: Vec<String>,
}

impl Around {
    /// Whether both are about the same event.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        self.offset == other.offset && self.at == other.at && self.source == other.source && self.file == other.file
    }
}
