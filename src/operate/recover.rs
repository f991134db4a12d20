//! Takes over at the start what an earlier run left, and stops in good order. I/O.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::command::Command;
use super::manager::{CANCEL_DEADLINE, Entry, Operations, Settings, wall};
use super::operation::{About, Kind, New, Operation, Priority, Report};
use super::refused::Refused;
use super::state::{self, End, Event, State};
use super::test::Count;
use super::work::{Order, Worker};
use crate::ledger::operations as rows;
use crate::ledger::{self, Force, Ledger};
use crate::vocab::rfc3339;

/// How long a stop waits for work, longer than work is waited for before it is broken off.
const STOP: Duration = Duration::from_millis(200);

impl Operations {
    /// A manager over this ledger. What an earlier run left is put in order before anything begins: who waited waits, who was
    /// at work waits again or is closed as interrupted. Blocking: one transaction.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub fn open(ledger: Ledger, settings: Settings, runtime: Handle) -> Result<Self, ledger::Error> {
        let this = Self::new(ledger, settings, runtime);
        let left = this.inner.ledger.read(rows::open)?;
        let (mut changed, mut unread, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        for (id, json) in left {
            let Ok(mut operation) = serde_json::from_str::<Operation>(&json) else {
                tracing::error!("operation {id} cannot be read and is closed");
                unread.push(id);
                continue;
            };
            this.restore(&mut operation);
            changed.push(super::journal::row(&operation));
            if operation.state.is_open() {
                waiting.push(operation);
            }
        }
        if !changed.is_empty() || !unread.is_empty() {
            let at = rfc3339(wall());
            this.inner.ledger.write_here(Force::Now, |tx| {
                unread.iter().try_for_each(|id| rows::close_unread(tx, id, &at))?;
                changed.iter().try_for_each(|row| rows::put(tx, row))
            })?;
        }
        this.core().stopping = true;
        for operation in waiting {
            let Some(worker) = this.worker(&operation) else { continue };
            let mut core = this.core();
            let control = this.enter(&mut core, operation, CancellationToken::new());
            this.launch(&mut core, control, worker);
        }
        Ok(this)
    }

    /// What becomes of an operation that was open when the earlier run ended.
    fn restore(&self, operation: &mut Operation) {
        let begun = operation.begun;
        let again = operation.kind != Kind::Repair && operation.resume;
        let stopped = state::step(operation.status(), Event::Interrupted { again });
        operation.interrupted |= begun;
        let mut detail = "logmedic stopped in the middle of it";
        let mut status = stopped.unwrap_or(operation.status());
        if status.state.is_open() && self.worker(operation).is_none() {
            detail = match operation.kind {
                // Its incident is asked about anew, and makes a new one where that is needed.
                Kind::Repair => "logmedic stopped before it began",
                _ => "it is not in the configuration any more",
            };
            operation.interrupted = true;
            status = state::step(status, Event::Ended(End::Failed)).unwrap_or(status);
        }
        operation.put(status);
        if !status.state.is_open() {
            operation.ended_at = Some(wall());
            operation.report = Some(Report { detail: detail.into(), ..Report::default() });
        }
    }

    /// Whoever does this operation's work; `None`: nobody here.
    fn worker(&self, operation: &Operation) -> Option<Box<dyn Worker>> {
        match operation.kind {
            Kind::Repair => None,
            Kind::Custom => {
                let command = Command::new(&self.inner.settings, &operation.name)?;
                Some(Box::new(command))
            }
            Kind::Library | Kind::Thumbnails | Kind::Integrity | Kind::Backup => {
                self.inner.settings.tasks.worker(operation.kind, &operation.input)
            }
            Kind::Test => serde_json::from_value::<Count>(operation.input.clone())
                .ok()
                .filter(|_| !self.inner.settings.production)
                .map(|count| Box::new(count) as Box<dyn Worker>),
        }
    }

    /// Begins: gives slots, writes, measures, follows the schedules, until `stop`. What is at work then is brought to a safe
    /// point; the task ends when all of it is written.
    #[must_use]
    pub fn begin(&self, stop: CancellationToken) -> JoinHandle<()> {
        let this = self.clone();
        {
            let mut core = this.core();
            core.stopping = false;
            this.dispatch(&mut core);
        }
        let helpers = CancellationToken::new();
        let keeper = self.inner.runtime.spawn(this.clone().keep(helpers.clone()));
        let ticker = self.inner.runtime.spawn(this.clone().tick(helpers.clone()));
        let schedules = self.inner.runtime.spawn(this.clone().follow_schedules(stop.clone()));
        self.inner.runtime.spawn(async move {
            stop.cancelled().await;
            this.wind_down().await;
            helpers.cancel();
            for helper in [keeper, ticker, schedules] {
                // One that panicked has said so; the others still have their last words.
                let _ = helper.await;
            }
        })
    }

    async fn wind_down(&self) {
        {
            let mut core = self.core();
            core.stopping = true;
            // Those that wait keep waiting: their rows say so.
            for entry in core.open.values().filter(|entry| entry.operation.begun) {
                entry.shared.orders.send_replace(Order::End);
                entry.shared.end.cancel();
            }
        }
        let work = |this: &Self| this.core().open.values().any(|entry| entry.operation.begun);
        let until = tokio::time::Instant::now() + CANCEL_DEADLINE + STOP;
        while work(self) {
            let ended = self.inner.ended.notified();
            if !work(self) || tokio::time::timeout_at(until, ended).await.is_err() {
                break;
            }
        }
        let late: Vec<_> =
            self.core().open.values().filter(|entry| entry.operation.begun).map(|entry| entry.operation.id).collect();
        late.into_iter().for_each(|id| self.break_off(id, "logmedic stopped in the middle of it"));
        // Those that wait are taken up by the next run.
        self.core().open.values().for_each(Entry::let_go);
    }

    /// Runs a command of the configuration.
    ///
    /// # Errors
    /// When there is none of this name, it is not over yet, or it cannot be written down.
    pub async fn run_custom(&self, name: &str, by: &str) -> Result<Operation, Refused> {
        self.run_custom_with(name, by, None).await
    }

    pub(super) async fn run_custom_with(
        &self,
        name: &str,
        by: &str,
        fact: Option<(String, String)>,
    ) -> Result<Operation, Refused> {
        let command = Command::new(&self.inner.settings, name).ok_or_else(|| Refused::Unknown(name.into()))?;
        let new = New {
            kind: Kind::Custom,
            name: name.into(),
            priority: command.spec.priority,
            pausable: true,
            resume: command.spec.resume,
            about: About::default(),
            by: by.into(),
        };
        self.submit_with(new, serde_json::Value::Null, Box::new(command), fact).await
    }

    /// Begins a task of logmedic's own. `name` is for people, `input` what the task is given; it is asked for again by this
    /// input when logmedic stopped in the middle of it.
    ///
    /// # Errors
    /// When there is no such task, one of this name is not over yet, or it cannot be written down.
    pub async fn run_task(
        &self,
        (kind, name): (Kind, &str),
        input: serde_json::Value,
        priority: Priority,
        by: &str,
    ) -> Result<Operation, Refused> {
        self.run_task_with((kind, name), input, priority, by, None).await
    }

    pub(super) async fn run_task_with(
        &self,
        (kind, name): (Kind, &str),
        input: serde_json::Value,
        priority: Priority,
        by: &str,
        fact: Option<(String, String)>,
    ) -> Result<Operation, Refused> {
        let worker = self.inner.settings.tasks.worker(kind, &input).ok_or_else(|| Refused::Unknown(name.into()))?;
        let new = New {
            kind,
            name: name.into(),
            priority,
            pausable: true,
            resume: true,
            about: About::default(),
            by: by.into(),
        };
        self.submit_with(new, input, worker, fact).await
    }

    /// Counts, for trying things out.
    ///
    /// # Errors
    /// In production, or when it is too much.
    pub async fn run_test(&self, count: Count, priority: Priority, by: &str) -> Result<Operation, Refused> {
        if self.inner.settings.production {
            return Err(Refused::Production);
        }
        if !count.is_fine() {
            return Err(Refused::Bad("count 1 to 100000 items, in ten minutes at most".into()));
        }
        let input = serde_json::to_value(&count).unwrap_or_default();
        let new = New {
            kind: Kind::Test,
            name: "test".into(),
            priority,
            pausable: true,
            resume: count.resume,
            about: About::default(),
            by: by.into(),
        };
        self.submit(new, input, Box::new(count)).await
    }

    /// The commands of the configuration.
    #[must_use]
    pub fn commands(&self) -> &[super::CommandSpec] {
        &self.inner.settings.commands
    }

    /// How many that are not over are in this state.
    #[must_use]
    pub fn open_in(&self, state: State) -> usize {
        self.core().open.values().filter(|entry| entry.operation.state == state).count()
    }
}
