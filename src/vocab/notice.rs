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
        /// A word where there is one for it: `started`, `stopped`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        what: Option<String>,
        /// What happened.
        detail: String,
        /// What would help.
        remedy: Option<String>,
    },
    /// A longer piece of work came to its end.
    Operation {
        /// Which one.
        operation: String,
        /// What kind of work, a word: `backup`.
        what: String,
        /// How it ended, a word: `completed`, `failed`, `cancelled`.
        state: String,
        /// One sentence.
        detail: String,
    },
    /// What a person or program said through the interface.
    Custom {
        /// How it is shown.
        level: Level,
        /// One line.
        title: String,
        /// More, where there is more.
        text: String,
        /// Who said it.
        by: String,
    },
}

impl Story {
    /// The word for its kind: `incident`, `bot`, `agent`, `probe`, `operation`, `custom`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Incident { .. } => "incident",
            Self::Bot { .. } => "bot",
            Self::Agent { .. } => "agent",
            Self::Probe { .. } => "probe",
            Self::Operation { .. } => "operation",
            Self::Custom { .. } => "custom",
        }
    }

    /// The kinds there are.
    pub const KINDS: &'static [&'static str] = &["incident", "bot", "agent", "probe", "operation", "custom"];
}

/// How an entry of the notification centre is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something ended well.
    Success,
    /// May become a failure.
    Warning,
    /// A failure.
    Error,
}

impl Level {
    /// All of them, quiet ones first.
    pub const ALL: &'static [Self] = &[Self::Info, Self::Success, Self::Warning, Self::Error];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|level| level.as_str() == word)
    }

    /// How loud a notice of this level is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::Info | Self::Success => Severity::Info,
            Self::Warning => Severity::Warning,
            Self::Error => Severity::Error,
        }
    }
}

impl Notice {
    /// How it is shown; the schema of the ledger says the same.
    #[must_use]
    pub fn level(&self) -> Level {
        match &self.story {
            Story::Custom { level, .. } => *level,
            Story::Incident {
                stage: Stage::Ended { result: OutcomeResult::Healed | OutcomeResult::Recovered, .. },
                ..
            } => Level::Success,
            Story::Probe { what, .. } if what == "up" => Level::Success,
            Story::Operation { state, .. } if state == "completed" => Level::Success,
            _ => match self.severity {
                Severity::Info => Level::Info,
                Severity::Warning => Level::Warning,
                Severity::Error | Severity::Critical => Level::Error,
            },
        }
    }
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
