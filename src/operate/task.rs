//! Says who does logmedic's own tasks: the library, thumbnails, integrity, backups. Pure: a table.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::operation::Kind;
use super::work::Worker;

/// Makes workers for one kind of task, at the first start of an operation and again after a restart.
pub trait Task: Send + Sync {
    /// The kind of operation that it does.
    fn kind(&self) -> Kind;

    /// A worker for this input; `None` when it cannot be understood.
    fn worker(&self, input: &Value) -> Option<Box<dyn Worker>>;
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
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|task| task.kind())).finish()
    }
}
