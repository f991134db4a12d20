//! Holds the seam: `step`, one deterministic function from state, input and moment to effects; `run`, the only loop.
//!
//! `State::step` is pure: no clock, no randomness but its own seeded generator, no I/O. What it wants done it says as
//! [`Effect`]s; the loop commits those that must be durable in one transaction and starts the rest once they are written down.

mod around;
mod backlog;
mod bot;
mod case;
mod damage;
mod effects;
mod failed;
mod flow;
pub mod intake;
mod jobs;
mod obey;
mod observe;
pub mod order;
mod probed;
mod repairs;
mod restore;
pub mod run;
mod said;
mod state;
mod tell;
mod upstream;

pub use case::{Action, By, Case, Ordered, Phase};
pub use state::State;

use chrono::{DateTime, Utc};

use crate::correlate::{Growth, Item, Job};
use crate::decide::{Policy, Task, TaskOutput};
use crate::supervise::BotEvent;
use crate::vocab::{Class, Id, Notice, ProbeNews, Record, Subject};
use order::{Order, OrderError};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A source said these things, in this order.
    Observed {
        /// The source's name.
        source: String,
        /// The file as configured.
        file: Option<String>,
        /// What was said.
        items: Vec<Item>,
    },
    /// A task ended.
    Finished {
        /// Which.
        task: Id,
        /// How.
        output: TaskOutput,
    },
    /// The bot's process changed.
    Bot(BotEvent),
    /// What is looked at regularly changed.
    Probe(Box<ProbeNews>),
    /// The moment of [`State::deadline`] has come.
    Deadline,
    /// The configuration was reloaded.
    Policy(Box<Policy>),
    /// Files under the roots were written to, or are gone.
    Grew(Vec<Growth>),
    /// A person (or program) wants something.
    Order {
        /// Under which number the answer is awaited.
        ticket: u64,
        /// What.
        order: Order,
        /// What it is about, where the state said that it [lacks](State::lacks) it.
        row: Option<Row>,
    },
}

/// What kind of thing a stored row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowKind {
    /// A [`Case`].
    Incident,
    /// A [`crate::correlate::Job`].
    Job,
    /// The engine's own: `seq`, `start:N` (of the budget), `breaker`, `down`.
    Engine,
}

impl RowKind {
    /// The word in the table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Job => "job",
            Self::Engine => "engine",
        }
    }
}

/// A stored row of the engine's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What kind.
    pub kind: RowKind,
    /// Which.
    pub id: String,
    /// The thing itself.
    pub json: String,
}

/// Nobody is told of this for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Silence {
    /// The incident by which it was asked for.
    pub incident: Id,
    /// Its class.
    pub class: Class,
    /// Its subject.
    pub subject: Subject,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When it was asked for.
    pub at: DateTime<Utc>,
    /// How long.
    pub until: DateTime<Utc>,
}

/// What the engine wants done. The first six are durable: they commit together before anything is started.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Effect {
    /// Append to the records.
    Record(Box<Record>),
    /// Remember.
    Save(Row),
    /// Forget.
    Forget {
        /// What kind.
        kind: RowKind,
        /// Which.
        id: String,
    },
    /// Owe this to people.
    Notify(Box<Notice>),
    /// Tell nobody of this for a while.
    Silence(Box<Silence>),
    /// Somebody has seen this incident.
    Acknowledged {
        /// Which.
        incident: Id,
        /// Who, and when.
        by: By,
    },
    /// A download went on; not stored, the next save has it.
    Progress(Box<Job>),
    /// Answer an order, after the commit.
    Answer {
        /// Which.
        ticket: u64,
        /// The incident or job that was worked on or made, or why not.
        result: Result<Id, OrderError>,
    },
    /// Start, after the commit.
    Start(Box<Task>),
    /// Stop at a safe point.
    Cancel(Id),
    /// Signal the bot, or restart it (`None`); answered like a task.
    Bot {
        /// The task to answer.
        task: Id,
        /// The signal.
        signal: Option<i32>,
    },
}
