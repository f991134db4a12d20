//! Says what agent and launcher tell each other and what is written down of a run: plain data as JSON. Pure.

use serde::{Deserialize, Serialize};

use crate::vocab::Id;

/// The longest message. A socket of this kind takes 200 kB by default, and the kernel no argument beyond 128 KiB.
pub const MAX_MESSAGE: usize = 128 * 1024;

/// A command that is to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The task: its run has this name, and is begun once.
    pub task: Id,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Added to the launcher's own environment, which holds what every command may know.
    pub env: Vec<(String, String)>,
    /// Where it runs; where the agent was started when `None`.
    pub cwd: Option<String>,
    /// User and group to become, when we are root.
    pub user: Option<(u32, u32)>,
    /// It is ended after so many milliseconds.
    pub limit_ms: u64,
    /// Kept with the run for whoever asked, and given back as it is.
    pub note: String,
}

/// What the agent asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Run this.
    Run(Request),
    /// End what runs for this task.
    End(Id),
}

/// What the launcher answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// A run ended.
    Ended {
        /// Whose.
        task: Id,
        /// How.
        ended: Ended,
        /// Why nothing of it could be written down, if so: it would not be known again after a restart.
        unrecorded: Option<String>,
    },
    /// Nothing was done: this task has a run already.
    Known(Id),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub how: How,
    /// The end of what it said.
    pub output: String,
}

/// The way in which a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It ran longer than it may.
    Overtime,
    /// It was asked to end.
    CalledOff,
    /// There was no such program, or it may not be run.
    NotStarted(String),
}
