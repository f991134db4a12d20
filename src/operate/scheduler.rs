//! Begins scheduled operations when they are due. I/O.

use std::time::Duration;

use chrono::{DateTime, Local, Utc};
use tokio_util::sync::CancellationToken;

use super::manager::{Operations, wall};
use super::operation::{Kind, Operation};
use super::refused::Refused;
use super::schedule::Schedule;
use super::task::Planned;
use crate::ledger::rusqlite::OptionalExtension as _;
use crate::vocab::rfc3339;

/// The clock on the wall may be set, or the machine may sleep: it is looked at this often at least.
const LOOK: Duration = Duration::from_secs(30);

/// How soon an operation that could not be begun is tried again.
const AGAIN: Duration = Duration::from_secs(30);

struct Due {
    what: What,
    schedule: Schedule,
    last: DateTime<Utc>,
}

/// What is begun by itself.
enum What {
    /// The command of this name.
    Command(String),
    /// A task of logmedic's own.
    Task(Kind, Planned),
}

impl What {
    /// Where it is remembered when it was due last. No command has a name with a slash.
    fn fact(&self) -> String {
        match self {
            Self::Command(name) => format!("schedule:{name}"),
            Self::Task(kind, planned) => format!("schedule:{}/{}", kind.as_str(), planned.name),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Command(name) => name,
            Self::Task(_, planned) => &planned.name,
        }
    }
}

impl Operations {
    /// Runs until `stop`.
    pub(super) async fn follow_schedules(self, stop: CancellationToken) {
        let settings = &self.inner.settings;
        let commands = settings
            .commands
            .iter()
            .filter_map(|command| Some((What::Command(command.name.clone()), command.schedule?)));
        let tasks = settings.tasks.planned().map(|(kind, planned)| {
            let schedule = planned.schedule;
            (What::Task(kind, planned), schedule)
        });
        let mut all = Vec::new();
        for (what, schedule) in commands.chain(tasks) {
            let last = match self.last(&what) {
                Some(last) => last,
                // New: it counts from now.
                None => self.remember(&what).await,
            };
            all.push(Due { what, schedule, last });
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
        match self.begin_what(&due.what, (due.what.fact(), rfc3339(now))).await {
            Ok(_) => due.last = now,
            Err(Refused::Busy { .. }) => {
                tracing::warn!("operation '{}' is due again but not over yet: this time is left out", due.what.name());
                due.last = self.remember(&due.what).await;
            }
            Err(Refused::Stopping) => {}
            Err(error) => {
                tracing::error!("failed to begin operation '{}': {error}", due.what.name());
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    async fn begin_what(&self, what: &What, fact: (String, String)) -> Result<Operation, Refused> {
        const BY: &str = "schedule";
        match what {
            What::Command(name) => self.run_custom_with(name, BY, Some(fact)).await,
            What::Task(kind, planned) => {
                let Planned { name, input, priority, .. } = planned.clone();
                self.run_task_with((*kind, &name), input, priority, BY, Some(fact)).await
            }
        }
    }

    fn last(&self, what: &What) -> Option<DateTime<Utc>> {
        let query = "SELECT value FROM meta WHERE name = ?1";
        let stored =
            self.inner.ledger.read(|db| db.query_row(query, [what.fact()], |row| row.get::<_, String>(0)).optional());
        stored.ok().flatten()?.parse().ok()
    }

    /// Remembers that it was due now.
    async fn remember(&self, what: &What) -> DateTime<Utc> {
        let (now, fact) = (wall(), what.fact());
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
