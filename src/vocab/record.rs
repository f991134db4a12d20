//! Shapes one line of the error records, `logmedic.record/v1`. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Class, Id, OutcomeResult, Severity, Strategy, Subject};

/// Name and version of the format; changes within v1 only add fields.
pub const SCHEMA: &str = "logmedic.record/v1";

/// What was observed, as plain names and values (sizes in bytes, times in `_ms`).
pub type Evidence = serde_json::Map<String, serde_json::Value>;

/// What a rule read out of an event: `path`, `url`, `file_id`, `job`, `retry_after`, `size`. Hints, never evidence.
pub type Captures = BTreeMap<String, String>;

/// One line of the records file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// This record's own identifier.
    pub id: Id,
    /// 1, 2, 3 …: no gap and no repeat, whatever happens to the process.
    pub seq: u64,
    /// When it happened: the bot's clock where the line had one, else ours.
    pub at: DateTime<Utc>,
    /// When logmedic saw it.
    pub observed_at: DateTime<Utc>,
    /// The incident it belongs to.
    pub incident: Id,
    /// The class of the incident.
    pub class: Class,
    /// What the incident is about.
    pub subject: Subject,
    /// The download job, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Id>,
    /// What kind of record, with its fields.
    #[serde(flatten)]
    pub body: Body,
}

/// The three kinds of record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// A recognised event, or `count` folded ones.
    Error {
        /// How bad.
        severity: Severity,
        /// The rule that claimed it.
        rule: String,
        /// The log source by name.
        source: String,
        /// The file as configured.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// Byte at which the event's first line starts in that file.
        offset: u64,
        /// The event, redacted, bounded.
        text: String,
        /// How many recognised events this record stands for.
        count: u64,
        /// What the rule read out.
        captures: Captures,
        /// Whether `text` was cut.
        truncated: bool,
    },
    /// A repair, written before it starts and after it ends.
    Action {
        /// Before or after.
        phase: Phase,
        /// The action's identifier, the same in both records.
        action: Id,
        /// What is done.
        strategy: Strategy,
        /// 1 for the first.
        attempt: u32,
        /// How many are allowed.
        attempts: u32,
        /// How long it was waited before this attempt.
        delay_ms: u64,
        /// Whether it worked (`finished` only).
        #[serde(skip_serializing_if = "Option::is_none")]
        ok: Option<bool>,
        /// One sentence for people.
        detail: String,
        /// What was seen.
        evidence: Evidence,
    },
    /// How the incident ended.
    Outcome {
        /// The ending.
        result: OutcomeResult,
        /// One sentence for people.
        detail: String,
        /// What would help, where something would.
        #[serde(skip_serializing_if = "Option::is_none")]
        remedy: Option<String>,
        /// `before` and `after`.
        evidence: Evidence,
        /// From the first line to the end.
        duration_ms: u64,
    },
}

/// Before or after an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Written down, about to start.
    Started,
    /// Ended, well or not.
    Finished,
}
