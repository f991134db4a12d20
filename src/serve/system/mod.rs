//! `system/health`, `stats/…`, `settings`, `probes`, `/livez`, `/readyz`, `/metrics`: how all of it is.
//!
//! Nothing here wakes up by itself: what is shown is looked at when somebody asks, and kept for a moment.

mod disks;
mod health;
mod look;
mod series;
mod stats;
mod trend;

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::router::OpenApiRouter;

use super::auth::Identity;
use super::settings::Settings;
use super::{live, probes, settings};
use crate::ledger::Ledger;
use crate::probe::Probes;
use crate::publish::metrics::Metrics;
use crate::publish::vitals::Vitals;
use crate::vocab::Severity;

pub use disks::{Disk, Place};
pub(super) use health::LOOP_DEAD_MS;
pub use health::{Health, Part, Status};

/// What the system's routes know. Clones share it.
#[derive(Clone)]
pub struct System(Arc<Inner>);

struct Inner {
    parts: Parts,
    disks: disks::Disks,
    look: look::Look,
}

/// A log source as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// `file`, `journal`, `stdin`.
    pub kind: &'static str,
    /// The path or unit as configured.
    pub place: String,
}

/// What they are made of.
pub struct Parts {
    /// Who asks.
    pub identity: Identity,
    /// What is kept.
    pub ledger: Ledger,
    /// What is counted.
    pub metrics: Metrics,
    /// How logmedic and the bot are.
    pub vitals: Vitals,
    /// What is looked at regularly.
    pub probes: Probes,
    /// The configuration.
    pub settings: Arc<dyn Settings>,
    /// The file of error records.
    pub records: PathBuf,
    /// Where there must be room: the roots and the state directory.
    pub places: Vec<Place>,
    /// The log sources.
    pub sources: Vec<Source>,
    /// Whether logmedic runs the bot.
    pub runs_bot: bool,
    /// From which severity on people are told outside of the interface; `None`: nobody is.
    pub told_from: Option<Severity>,
}

impl System {
    /// Put together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let disks = disks::Disks::new(parts.places.clone());
        let look = look::Look::new(parts.ledger.path());
        Self(Arc::new(Inner { parts, disks, look }))
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.0.parts.identity
    }

    pub(super) fn settings(&self) -> &dyn Settings {
        &*self.0.parts.settings
    }

    /// Whether the state can be read.
    pub(super) async fn is_readable(&self) -> bool {
        self.0.look.read(|db| db.query_row("SELECT 1 FROM meta LIMIT 1", [], |_| Ok(()))).await.is_ok()
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.0.parts
    }
}

impl FromRef<System> for Identity {
    fn from_ref(system: &System) -> Self {
        system.identity().clone()
    }
}

/// `system/health`, `stats/overview`, `settings`, `probes`: under `/api/v1`.
pub fn router<S>(system: System) -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .merge(health::router())
        .merge(stats::router())
        .merge(series::router())
        .merge(settings::router())
        .merge(probes::router())
        .with_state(system)
}

/// `/livez`, `/readyz`, `/metrics`: at the root.
pub fn live<S>(system: System) -> OpenApiRouter<S> {
    live::router().with_state(system)
}
