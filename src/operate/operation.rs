//! Models an operation as it is stored and shown. Pure: plain data.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::progress::Progress;
use super::state::{State, Status, Wish};
use crate::vocab::Id;

/// What sort of work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The repair of an incident.
    Repair,
    /// A command of the configuration.
    Custom,
    /// Finds out what files there are.
    Library,
    /// Makes small pictures of files.
    Thumbnails,
    /// Proves whether files are whole.
    Integrity,
    /// Makes a backup, looks whether one is whole, or brings one back.
    Backup,
    /// Counts, for trying things out.
    Test,
}

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Self] =
        &[Self::Repair, Self::Custom, Self::Library, Self::Thumbnails, Self::Integrity, Self::Backup, Self::Test];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repair => "repair",
            Self::Custom => "custom",
            Self::Library => "library",
            Self::Thumbnails => "thumbnails",
            Self::Integrity => "integrity",
            Self::Backup => "backup",
            Self::Test => "test",
        }
    }
}

/// How urgent it is.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
#[repr(u8)]
pub enum Priority {
    /// When there is nothing else.
    Low,
    /// In its turn.
    #[default]
    Normal,
    /// Before others.
    High,
    /// First.
    Critical,
}

impl Priority {
    /// Every priority, the lowest first.
    pub const ALL: &'static [Self] = &[Self::Low, Self::Normal, Self::High, Self::Critical];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

macro_rules! from_words {
    ($($name:ident),+) => {$(
        impl FromStr for $name {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                let known = || Self::ALL.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", ");
                Self::ALL.iter().copied().find(|one| one.as_str() == word).ok_or_else(|| format!("expected one of {}", known()))
            }
        }
    )+};
}
from_words!(Kind, Priority, State);

/// What it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    /// The incident that it repairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub incident: Option<Id>,
    /// The incident's class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// What the incident is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How it is repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
}

/// What remains of an operation when it is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// One sentence for people.
    pub detail: String,
    /// The command's exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The last lines that it wrote.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub output: Vec<String>,
}

/// Something that takes time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its identifier.
    #[schema(value_type = String, example = "01JDTZ3N5V8Q0XK4M2W7Y9B6CE")]
    pub id: Id,
    /// What sort of work it is.
    pub kind: Kind,
    /// Its name for people: that of the command, or of the repair.
    pub name: String,
    /// Where it is.
    pub state: State,
    /// What it was asked for and has not come to yet.
    pub wish: Option<Wish>,
    /// Whether somebody was at work on it.
    #[serde(default)]
    pub begun: bool,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether it can hold still in the middle of its work.
    pub pausable: bool,
    /// Whether it is begun again when logmedic stopped in the middle of it.
    pub resume: bool,
    /// What it is about.
    #[serde(default)]
    pub about: About,
    /// Who asked for it: an account, `schedule`, `engine`.
    pub by: String,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it began, the last time.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub ended_at: Option<DateTime<Utc>>,
    /// How often it was begun.
    pub runs: u32,
    /// Whether logmedic stopped in the middle of it, at least once. Failed and interrupted: that is why.
    pub interrupted: bool,
    /// How far it is, or was.
    #[serde(default)]
    pub progress: Progress,
    /// What remains of it.
    pub report: Option<Report>,
    /// What it was given.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub input: serde_json::Value,
}

impl Operation {
    /// Its state with what belongs to it.
    #[must_use]
    pub const fn status(&self) -> Status {
        Status { state: self.state, wish: self.wish, begun: self.begun }
    }

    /// Takes a new state over.
    pub fn put(&mut self, status: Status) {
        self.state = status.state;
        self.wish = status.wish;
        self.begun = status.begun;
    }
}

/// An operation that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    /// What sort of work it is.
    pub kind: Kind,
    /// Its name for people.
    pub name: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether it can hold still in the middle of its work.
    pub pausable: bool,
    /// Whether it is begun again when logmedic stopped in the middle of it.
    pub resume: bool,
    /// What it is about.
    pub about: About,
    /// Who asks.
    pub by: String,
}
