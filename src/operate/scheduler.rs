//! Begins scheduled operations when they are due. I/O.

use std::time::Duration;

use chrono::{DateTime, Local, Utc};
use tokio_util::sync::CancellationToken;

use super::manager::{Operations, wall};
use super::refused::Refused;
use super::schedule::Schedule;
use crate::ledger::rusqlite::OptionalExtension as _;
use crate::vocab::rfc3339;

/// The clock on the wall may be set, or the machine may sleep: it is looked at this often at least.
const LOOK: Duration = Duration::from_secs(30);

/// How soon an operation that could not be begun is tried again.
const AGAIN: Duration = Duration::from_secs(30);

struct Due {
    name: String,
    schedule: Schedule,
    last: DateTime<Utc>,
}

/// Where it is remembered when the operation was due last.
fn fact(name: &str) -> String {
    format!("schedule:{name}")
}

impl Operations {
    /// Runs until `stop`.
    pub(super) async fn follow_schedules(self, stop: CancellationToken) {
        let mut all = Vec::new();
        for command in &self.inner.settings.commands {
            let Some(schedule) = command.schedule else { continue };
            let last = match self.last(&command.name) {
                Some(last) => last,
                // New: it counts from now.
                None => self.remember(&command.name).await,
            };
            all.push(Due { name: command.name.clone(), schedule, last });
        }
        loop {
            let now = wall();
            for due in all.iter_mut().filter(|due| due.schedule.next(due.last, now, &Local) <= now) {
                self.begin_due(due).await;
            }
            let now = wall();
            let next = all.iter().map(|due| due.schedule.next(due.last, now, &Local)).min();
            let wait = next.map_or(LOOK, |next| (next - now).to_std().unwrap_or_default().min(LOOK));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn begin_due(&self, due: &mut Due) {
        let now = wall();
        let done = self.run_custom_with(&due.name, "schedule", Some((fact(&due.name), rfc3339(now)))).await;
        match done {
            Ok(_) => due.last = now,
            Err(Refused::Busy { .. }) => {
                tracing::warn!("operation '{}' is due again but not over yet: this time is left out", due.name);
                due.last = self.remember(&due.name).await;
            }
            Err(Refused::Stopping) => {}
            Err(error) => {
                tracing::error!("failed to begin operation '{}': {error}", due.name);
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    fn last(&self, name: &str) -> Option<DateTime<Utc>> {
        let query = "SELECT value FROM meta WHERE name = ?1";
        let stored =
            self.inner.ledger.read(|db| db.query_row(query, [fact(name)], |row| row.get::<_, String>(0)).optional());
        stored.ok().flatten()?.parse().ok()
    }

    /// Remembers that it was due now.
    async fn remember(&self, name: &str) -> DateTime<Utc> {
        let (now, fact) = (wall(), fact(name));
        let value = rfc3339(now);
        let written = self.inner.ledger.write(move |tx| {
            tx.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", (fact, value)).map(drop)
        });
        if let Err(error) = written.await {
            tracing::warn!("{error}");
        }
        now
    }
}
