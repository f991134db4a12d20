//! What every route may use, and how the parts come together. I/O.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::auth::Identity;
use super::ws::Door;
use crate::engine::intake::RuleBook;
use crate::engine::run::Orders;
use crate::ledger::Ledger;
use crate::operate::Operations;

/// What every route may use; clones share it.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What the interface drives and shows.
pub struct Parts {
    /// What is kept.
    pub ledger: Ledger,
    /// The rules in effect, by source.
    pub rules: watch::Receiver<Arc<RuleBook>>,
    /// Gives people's orders to the engine.
    pub orders: Orders,
    /// What takes time.
    pub operations: Operations,
    /// Who may do what.
    pub identity: Identity,
    /// The way to the hub.
    pub door: Door,
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

impl FromRef<App> for Identity {
    fn from_ref(app: &App) -> Self {
        app.identity.clone()
    }
}

impl FromRef<App> for Door {
    fn from_ref(app: &App) -> Self {
        app.door.clone()
    }
}
