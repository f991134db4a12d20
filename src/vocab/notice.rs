//! Says what people should be told about an incident: facts, not text. Pure; `outbox` puts it into words.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Class, Id, OutcomeResult, Severity, Strategy, Subject};

/// A snapshot of an incident for people. Each revision replaces the one before in the same message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// One live message per key and chat: the incident's identifier, or `agent:…` for the agent itself.
    pub key: String,
    /// Counts up; a higher one replaces a lower one.
    pub revision: u64,
    /// How loud.
    pub severity: Severity,
    /// What it says.
    pub story: Story,
    /// When this revision was made.
    pub at: DateTime<Utc>,
}

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "story", rename_all = "snake_case")]
pub enum Story {
    /// An incident and how far it is.
    Incident {
        /// The incident.
        incident: Id,
        /// What went wrong.
        class: Class,
        /// About what.
        subject: Subject,
        /// The log source.
        source: String,
        /// The bot's own words, redacted and bounded.
        text: String,
        /// How many events.
        count: u64,
        /// The steps taken so far, oldest first.
        steps: Vec<StepTold>,
        /// How far it is.
        stage: Stage,
    },
    /// The bot's process changed: started, stopped, restarted, gave up.
    Bot {
        /// What happened, a word: `exited`, `restarted`, `gave_up`.
        what: String,
        /// The exit code or signal, and details.
        detail: String,
    },
    /// What is looked at regularly changed.
    Probe {
        /// The probe's name.
        name: String,
        /// What happened, a word: `down`, `up`, `added`, `removed`, `changed`.
        what: String,
        /// One sentence.
        detail: String,
    },
    /// Something about logmedic itself.
    Agent {
        /// What happened.
        detail: String,
        /// What would help.
        remedy: Option<String>,
    },
}

/// One step of a repair as told to people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepTold {
    /// What was done.
    pub strategy: Strategy,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// How many are allowed.
    pub attempts: u32,
    /// `None` while it runs.
    pub ok: Option<bool>,
    /// One sentence.
    pub detail: String,
}

/// How far an incident is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Seen and confirmed; something is being done.
    Working,
    /// Waiting, and for what.
    Held {
        /// For what: `space`, `server`, `approval`, `upstream`, `wait`.
        on: String,
        /// One sentence.
        detail: String,
    },
    /// Over.
    Ended {
        /// How.
        result: OutcomeResult,
        /// One sentence.
        detail: String,
        /// What would help, where something would.
        remedy: Option<String>,
        /// From the first line to the end.
        duration_ms: u64,
    },
}
