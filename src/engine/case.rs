//! Holds an incident together with what is being done about it. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::correlate::Incident;
use crate::decide::Step;
use crate::vocab::{Evidence, Id, Mode, OutcomeResult, PROBE_RULE, StepTold, Strategy};

/// An incident and how far its repair is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The fault.
    pub incident: Incident,
    /// How far logmedic may go.
    pub mode: Mode,
    /// What heals it.
    pub steps: Vec<Step>,
    /// Which step is on.
    pub at: usize,
    /// Attempts made at this step.
    pub attempt: u32,
    /// How many probes of this waiting step were answered *fault*.
    pub probes: u32,
    /// Of several cases held on the same thing, this one asks for all.
    #[serde(default)]
    pub asks: bool,
    /// Where in the step it is.
    pub phase: Phase,
    /// The task that is under way.
    pub task: Option<Id>,
    /// The action that was written down as started and not yet as finished.
    pub action: Option<Action>,
    /// When to go on.
    pub due: Option<DateTime<Utc>>,
    /// How long it was waited before the attempt that is next, in milliseconds.
    pub waited_ms: u64,
    /// The wait before this step's next attempt is over.
    pub ready: bool,
    /// The system showed the fault.
    pub confirmed: bool,
    /// A repair was made and proven.
    pub acted: bool,
    /// Some question could not be answered.
    pub unknown: bool,
    /// Steps put in on the way (a server that went down, a disk that filled up).
    pub inserted: u32,
    /// A configured server restart was tried.
    pub restarted: bool,
    /// Retries of an earlier incident of the same subject that count for the backoff.
    pub carry: u32,
    /// What was seen before a repair.
    pub before: Evidence,
    /// What was seen after it.
    pub after: Evidence,
    /// What people are told of the steps.
    pub told: Vec<StepTold>,
    /// Revision of the notice; 0: nobody was told.
    pub revision: u64,
    /// The latest sentence about it.
    pub detail: String,
    /// What would help.
    pub remedy: Option<String>,
    /// How it ended.
    pub result: Option<OutcomeResult>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who has seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<By>,
    /// What people ordered about it, oldest first; the latest twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<Ordered>,
}

/// How many orders a case remembers; the audit log has all of them.
const ORDERS_MAX: usize = 20;

/// What a person ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// `retry`, `acknowledge`, `silence`, `approve`, `reject`.
    pub order: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, where somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An action between its two records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Its identifier, the same in both records.
    pub id: Id,
    /// What is done.
    pub strategy: Strategy,
    /// 1 for the first.
    pub attempt: u32,
    /// How many are allowed.
    pub attempts: u32,
}

/// Where in a step a case is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Asking the system whether the fault is there.
    Looking,
    /// Waiting before an attempt.
    Waiting,
    /// A repair is under way.
    Acting,
    /// Asking the system whether the repair worked.
    Proving,
    /// Waiting for something outside.
    Held {
        /// For what: `server URL`, `space PATH`, `upstream`, `approval`, `bot`, `probe NAME`.
        on: String,
    },
    /// Over; further lines of the same fault are still counted for a while.
    Ended,
}

impl Case {
    /// A new case, nothing done yet.
    #[must_use]
    pub fn new(incident: Incident, mode: Mode, steps: Vec<Step>) -> Self {
        Self {
            incident,
            mode,
            steps,
            at: 0,
            attempt: 0,
            probes: 0,
            asks: false,
            phase: Phase::Looking,
            task: None,
            action: None,
            due: None,
            waited_ms: 0,
            ready: false,
            confirmed: false,
            acted: false,
            unknown: false,
            inserted: 0,
            restarted: false,
            carry: 0,
            before: Evidence::new(),
            after: Evidence::new(),
            told: Vec::new(),
            revision: 0,
            detail: String::new(),
            remedy: None,
            result: None,
            ended_at: None,
            acknowledged: None,
            orders: Vec::new(),
        }
    }

    /// Remembers who ordered what.
    pub fn ordered(&mut self, order: Ordered) {
        if self.orders.len() == ORDERS_MAX {
            self.orders.remove(0);
        }
        self.orders.push(order);
    }

    /// The step that is on.
    #[must_use]
    pub fn step(&self) -> Option<&Step> {
        self.steps.get(self.at)
    }

    /// Whether it is over.
    #[must_use]
    pub const fn ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Whether nothing was asked or done about it yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.phase == Phase::Looking && self.task.is_none()
    }

    /// Whether a probe opened it: the same probe says when it is over.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.incident.rule.starts_with(PROBE_RULE)
    }

    /// What it waits for outside.
    #[must_use]
    pub fn held_on(&self) -> Option<&str> {
        match &self.phase {
            Phase::Held { on } => Some(on),
            _ => None,
        }
    }
}

/// A person's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Who.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}
