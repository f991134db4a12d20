//! What every route may use.

use std::ops::Deref;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::engine::intake::RuleBook;
use crate::ledger::Ledger;

/// What every route may use; clones share it.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What the interface drives and shows.
pub struct Parts {
    /// What is kept.
    pub ledger: Ledger,
    /// The rules in effect, by source.
    pub rules: watch::Receiver<Arc<RuleBook>>,
    /// What does not change while it runs.
    pub info: Info,
}

/// What does not change while logmedic runs.
#[derive(Clone, Debug)]
pub struct Info {
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Test messages and test operations are refused.
    pub production: bool,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
