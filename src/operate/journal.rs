//! Writes down what became of operations, in the order in which it happened. I/O.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::manager::{Operations, wall};
use super::operation::{Kind, Operation};
use crate::ledger::Force;
use crate::ledger::operations::{self as rows, Row};
use crate::vocab::{json_text, rfc3339};

/// Changes kept while the state directory cannot be written; of more the oldest are lost, and that is said.
const BACKLOG: usize = 5_000;

/// Changes wait so long for others: a repair of milliseconds is one write, and does not wait for the one before it.
const DELAY: Duration = Duration::from_millis(20);

/// How often writing is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How often old ones are let go.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// The operation as it is stored.
pub(super) fn row(operation: &Operation) -> Row {
    Row {
        id: operation.id.to_string(),
        kind: operation.kind.as_str(),
        state: operation.state.as_str(),
        priority: operation.priority.as_str(),
        created_at: rfc3339(operation.created_at),
        ended_at: operation.ended_at.map(rfc3339),
        json: json_text(serde_json::to_string(operation).unwrap_or_default()),
    }
}

/// Adds a change; one in the same state as before takes its place.
pub(super) fn push(journal: &mut VecDeque<Operation>, operation: Operation) {
    if let Some(last) = journal.back_mut()
        && last.id == operation.id
        && last.state == operation.state
    {
        *last = operation;
        return;
    }
    if journal.len() >= BACKLOG {
        tracing::error!("a change of operation {} is lost: too many wait for the state directory", journal[0].id);
        journal.pop_front();
    }
    journal.push_back(operation);
}

impl Operations {
    /// Writes what there is to write. `false`: the state directory refused; it is kept.
    pub(super) async fn flush(&self) -> bool {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.flush_here()).await.unwrap_or(false)
    }

    /// The same, blocking.
    pub(super) fn flush_here(&self) -> bool {
        let _one = self.inner.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.core().journal.clone();
        if changes.is_empty() {
            return true;
        }
        // The engine's own rows say what became of repairs.
        let later = changes.iter().all(|operation| operation.kind == Kind::Repair);
        let force = if later { Force::Later } else { Force::Now };
        let written =
            self.inner.ledger.write_here(force, |tx| changes.iter().try_for_each(|one| rows::put(tx, &row(one))));
        match written {
            Ok(()) => {
                let mut core = self.core();
                // What came meanwhile stands behind; what replaced the last one is written once more.
                for change in &changes {
                    if core.journal.front() == Some(change) {
                        core.journal.pop_front();
                    } else {
                        break;
                    }
                }
                true
            }
            Err(error) => {
                tracing::warn!(
                    "{error}; operations go on, what becomes of them is kept in memory until it can be written"
                );
                false
            }
        }
    }

    /// Writes changes as they come until `stop`, then once more; lets go of old ones.
    pub(super) async fn keep(self, stop: CancellationToken) {
        let mut prune = tokio::time::interval(PRUNE_EVERY);
        loop {
            let last = tokio::select! {
                () = self.inner.changed.notified() => tokio::select! {
                    () = tokio::time::sleep(DELAY) => false,
                    () = stop.cancelled() => true,
                },
                _ = prune.tick() => {
                    self.prune().await;
                    continue;
                }
                () = stop.cancelled() => true,
            };
            let written = self.flush().await;
            if last {
                return;
            }
            if !written {
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => self.inner.changed.notify_one(),
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    async fn prune(&self) {
        let keep = self.inner.settings.keep;
        let age = chrono::TimeDelta::from_std(self.inner.settings.keep_for).unwrap_or(chrono::TimeDelta::MAX);
        let before = wall().checked_sub_signed(age).map(rfc3339).unwrap_or_default();
        let gone = self.inner.ledger.write(move |tx| {
            Kind::ALL.iter().try_for_each(|kind| rows::prune(tx, kind.as_str(), keep, &before).map(drop))
        });
        if let Err(error) = gone.await {
            tracing::warn!("{error}");
        }
    }
}
