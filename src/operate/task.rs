//! Says who does logmedic's own tasks: the library, thumbnails, integrity, backups. Pure: a table.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::operation::{Kind, Priority};
use super::schedule::Schedule;
use super::work::Worker;

/// Makes workers for one kind of task, at the first start of an operation and again after a restart.
pub trait Task: Send + Sync {
    /// The kind of operation that it does.
    fn kind(&self) -> Kind;

    /// A worker for this input; `None` when it cannot be understood.
    fn worker(&self, input: &Value) -> Option<Box<dyn Worker>>;

    /// What of it is begun by itself, and when.
    fn planned(&self) -> Vec<Planned> {
        Vec::new()
    }
}

/// A task that is begun by itself.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its name for people; with the kind, by this it is remembered when it was due last.
    pub name: String,
    /// When.
    pub schedule: Schedule,
    /// What it is given.
    pub input: Value,
    /// How urgent it is.
    pub priority: Priority,
}

/// Who does what.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Vec<Box<dyn Task>>>);

impl Tasks {
    /// These and no others.
    #[must_use]
    pub fn new(tasks: Vec<Box<dyn Task>>) -> Self {
        Self(Arc::new(tasks))
    }

    /// A worker for a task of this kind.
    pub(super) fn worker(&self, kind: Kind, input: &Value) -> Option<Box<dyn Worker>> {
        self.0.iter().filter(|task| task.kind() == kind).find_map(|task| task.worker(input))
    }

    /// All that is begun by itself.
    pub(super) fn planned(&self) -> impl Iterator<Item = (Kind, Planned)> + '_ {
        self.0.iter().flat_map(|task| task.planned().into_iter().map(|planned| (task.kind(), planned)))
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|task| task.kind())).finish()
    }
}
