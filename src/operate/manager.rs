//! Manages operations: takes them in, gives slots, passes orders on, writes down what becomes of them. I/O.
//!
//! All of it is behind one lock that is held for microseconds and never while waiting: a repair that finds a free slot begins on
//! the thread that asks for it, without a hand-over.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Timelike as _, Utc};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::command::CommandSpec;
use super::operation::{Kind, New, Operation, Report};
use super::progress::Tracker;
use super::queue::{Busy, Limits, Queue};
use super::refused::{Refused, WAITING};
use super::state::{self, End, Event, Refusal, State, Wish};
use super::task::Tasks;
use super::work::{Control, Ended, Order, Outcome, Shared, Worker};
use crate::ledger::Ledger;
use crate::ledger::operations as rows;
use crate::vocab::{Id, Rng};

/// Work that did not come to a safe point so long after it was to end is broken off.
pub const CANCEL_DEADLINE: Duration = Duration::from_millis(900);

/// Progress that a slow listener may leave waiting; it then misses the oldest.
const TOLD: usize = 256;

/// How the manager is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many run at once.
    pub limits: Limits,
    /// Of each kind, so many that are over are remembered.
    pub keep: u32,
    /// They are remembered for so long.
    pub keep_for: Duration,
    /// The commands of the configuration.
    pub commands: Vec<CommandSpec>,
    /// Who does logmedic's own tasks.
    pub tasks: Tasks,
    /// What marks processes of ours: name and value of an environment variable.
    pub marker: Option<(String, String)>,
    /// Where commands run.
    pub directory: PathBuf,
    /// Whether test operations are refused.
    pub production: bool,
    /// Randomness for identifiers.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            keep: 1_000,
            keep_for: Duration::from_secs(30 * 86_400),
            commands: Vec::new(),
            tasks: Tasks::default(),
            marker: None,
            directory: PathBuf::from("/"),
            production: true,
            seed: 0,
        }
    }
}

/// A handle on the manager; clones share it.
#[derive(Clone)]
pub struct Operations {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) ledger: Ledger,
    pub(super) settings: Settings,
    pub(super) runtime: Handle,
    pub(super) core: Mutex<Core>,
    /// Held by the one who writes rows: their order is that of the changes.
    pub(super) writing: Mutex<()>,
    /// Something is to be written.
    pub(super) changed: Notify,
    /// Something is at work.
    pub(super) moves: Notify,
    /// Something ended.
    pub(super) ended: Notify,
    pub(super) progress: broadcast::Sender<Arc<Operation>>,
    start: Instant,
}

pub(super) struct Core {
    pub(super) open: HashMap<Id, Entry>,
    pub(super) queue: Queue,
    pub(super) busy: Busy,
    /// Changes that are not written yet.
    pub(super) journal: VecDeque<Operation>,
    /// Those that are being taken in.
    reserved: HashSet<(Kind, String)>,
    rng: Rng,
    pub(super) stopping: bool,
    /// Whoever must hear of a change is told by [`Operations::tell`].
    hushed: bool,
}

/// An operation that is not over.
pub(super) struct Entry {
    pub(super) operation: Operation,
    pub(super) shared: Arc<Shared>,
    pub(super) tracker: Tracker,
    /// When its usage was measured last, and the processor time then, in milliseconds.
    pub(super) measured: Option<(Duration, u64)>,
    /// Breaks the work off; repairs end by their token.
    abort: Option<AbortHandle>,
}

impl Entry {
    /// Nobody waits for its slot any more.
    pub(super) fn let_go(&self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}

impl Operations {
    pub(super) fn new(ledger: Ledger, settings: Settings, runtime: Handle) -> Self {
        let core = Core {
            open: HashMap::new(),
            queue: Queue::default(),
            busy: Busy::default(),
            journal: VecDeque::new(),
            reserved: HashSet::new(),
            rng: Rng::new(settings.seed),
            stopping: false,
            hushed: false,
        };
        let inner = Inner {
            ledger,
            settings,
            runtime,
            core: Mutex::new(core),
            writing: Mutex::new(()),
            changed: Notify::new(),
            moves: Notify::new(),
            ended: Notify::new(),
            progress: broadcast::Sender::new(TOLD),
            start: Instant::now(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The manager's state. Held for a moment, never across a wait.
    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.inner.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the manager began.
    pub(super) fn mono(&self) -> Duration {
        self.inner.start.elapsed()
    }

    /// Whether work of this kind would begin at once.
    #[must_use]
    pub fn is_free(&self, kind: Kind) -> bool {
        let core = self.core();
        !core.stopping && core.queue.is_empty() && self.inner.settings.limits.admit(&core.busy, kind)
    }

    /// Takes in work that its caller does, and gives it a slot at once where one is free. `end` is cancelled when somebody
    /// ends the operation. Nothing waits here; it is written down shortly after [`Operations::tell`].
    #[must_use]
    pub fn admit(&self, new: New, end: CancellationToken) -> Ticket {
        let mut core = self.core();
        let operation = made(new, serde_json::Value::Null, &mut core.rng);
        core.hushed = true;
        let control = self.enter(&mut core, operation, end);
        core.hushed = false;
        drop(core);
        Ticket { control, closed: false }
    }

    /// Wakes who must hear of what was admitted. Another thread that wakes up may take the processor from the caller: first the
    /// work is begun.
    pub fn tell(&self) {
        self.inner.moves.notify_one();
        self.inner.changed.notify_one();
    }

    /// Takes in work that a worker does here. It is on the disk when this returns.
    ///
    /// # Errors
    /// When too many wait, one of this name is not over, or it cannot be written down.
    pub async fn submit(
        &self,
        new: New,
        input: serde_json::Value,
        worker: Box<dyn Worker>,
    ) -> Result<Operation, Refused> {
        self.submit_with(new, input, worker, None).await
    }

    /// The same, remembering a fact in the same transaction.
    pub(super) async fn submit_with(
        &self,
        new: New,
        input: serde_json::Value,
        worker: Box<dyn Worker>,
        fact: Option<(String, String)>,
    ) -> Result<Operation, Refused> {
        let unique = !matches!(new.kind, Kind::Repair | Kind::Test);
        let operation = {
            let mut core = self.core();
            if core.stopping {
                return Err(Refused::Stopping);
            }
            if core.queue.len() + core.reserved.len() >= WAITING {
                return Err(Refused::Full);
            }
            let same = core
                .open
                .values()
                .find(|entry| unique && entry.operation.kind == new.kind && entry.operation.name == new.name);
            if let Some(Entry { operation, .. }) = same {
                let (id, state) = (operation.id, operation.state);
                return Err(Refused::Busy { name: new.name, id, state });
            }
            let operation = made(new, input, &mut core.rng);
            if unique && !core.reserved.insert((operation.kind, operation.name.clone())) {
                return Err(Refused::Busy { name: operation.name, id: operation.id, state: State::Pending });
            }
            operation
        };
        let row = super::journal::row(&operation);
        let written = self
            .inner
            .ledger
            .write(move |tx| {
                if let Some((name, value)) = &fact {
                    tx.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", (name, value))?;
                }
                rows::put(tx, &row)
            })
            .await;
        let mut core = self.core();
        core.reserved.remove(&(operation.kind, operation.name.clone()));
        written?;
        let id = operation.id;
        let control = self.enter(&mut core, operation, CancellationToken::new());
        self.launch(&mut core, control, worker);
        let shown = core.open.get(&id).map(|entry| entry.operation.clone());
        drop(core);
        shown.ok_or(Refused::Stopping)
    }

    /// Puts an operation among those that are not over, and gives slots.
    pub(super) fn enter(&self, core: &mut Core, operation: Operation, end: CancellationToken) -> Control {
        let shared = Arc::new(Shared::new(end));
        let orders = shared.orders.subscribe();
        let (id, kind, priority, state) = (operation.id, operation.kind, operation.priority, operation.state);
        let entry = Entry {
            operation: operation.clone(),
            shared: Arc::clone(&shared),
            tracker: Tracker::default(),
            measured: None,
            abort: None,
        };
        core.open.insert(id, entry);
        if state == State::Pending {
            core.queue.push(id, kind, priority, self.mono());
        }
        self.dispatch(core);
        if core.open.get(&id).is_some_and(|entry| entry.operation.state == state) {
            self.note(core, operation);
        }
        Control { id, operations: self.clone(), shared, orders }
    }

    /// Lets a worker wait for its slot and work.
    pub(super) fn launch(&self, core: &mut Core, mut control: Control, worker: Box<dyn Worker>) {
        use futures_util::FutureExt as _;
        let (this, id) = (self.clone(), control.id);
        let task = self.inner.runtime.spawn(async move {
            let outcome = match control.checkpoint().await {
                Err(Ended) => Outcome::cancelled("it had not begun"),
                Ok(()) => {
                    // It must not be taken for one that waits, should logmedic die now.
                    this.flush().await;
                    let work = std::panic::AssertUnwindSafe(worker.run(control)).catch_unwind();
                    work.await.unwrap_or_else(|_| {
                        Outcome::failed("failed to finish: a mistake in logmedic; please report it")
                    })
                }
            };
            this.finish(id, outcome);
        });
        if let Some(entry) = core.open.get_mut(&id) {
            entry.abort = Some(task.abort_handle());
        }
    }

    /// Gives every free slot to the next.
    pub(super) fn dispatch(&self, core: &mut Core) {
        while !core.stopping
            && let Some(id) = core.queue.next(&core.busy, &self.inner.settings.limits)
        {
            // Refused, it was to end already: it leaves by itself.
            let _ = self.apply(core, id, Event::Start, None);
        }
    }

    /// Lets something happen to an operation, with all that follows of it but new slots.
    fn apply(&self, core: &mut Core, id: Id, event: Event, report: Option<Report>) -> Result<Operation, Refused> {
        let (now, mono) = (wall(), self.mono());
        let entry = core.open.get_mut(&id).ok_or_else(|| Refused::Missing(id.to_string()))?;
        let before = entry.operation.status();
        let after = state::step(before, event)?;
        let operation = &mut entry.operation;
        if after == before {
            return Ok(operation.clone());
        }
        operation.put(after);
        if matches!(event, Event::Interrupted { .. }) {
            operation.interrupted = true;
        }
        if after.state == State::Running && !before.begun {
            operation.started_at = Some(now);
            operation.runs += 1;
        }
        if before.state == State::Running {
            operation.progress = entry.tracker.shown(&entry.shared.tally(), operation.progress.usage);
        }
        if !after.state.is_open() {
            operation.ended_at = Some(now);
            operation.progress.eta_s = None;
        }
        if report.is_some() {
            operation.report = report;
        }
        let order = match (after.state, after.wish) {
            (_, Some(Wish::Cancel)) | (State::Cancelled | State::Completed | State::Failed, _) => Order::End,
            (State::Running, None) => Order::Run,
            (State::Running, Some(Wish::Pause)) => Order::Hold,
            (State::Pending | State::Paused, _) if after.begun => Order::Hold,
            (State::Pending | State::Paused, _) => Order::Wait,
        };
        if order == Order::Run {
            entry.tracker.restart();
        }
        entry.shared.orders.send_replace(order);
        if after.wish == Some(Wish::Cancel) || after.state == State::Cancelled {
            entry.shared.end.cancel();
        }
        let shown = operation.clone();
        match (before.state == State::Running, after.state == State::Running) {
            (false, true) => {
                core.busy.enter(shown.kind);
                if !core.hushed {
                    self.inner.moves.notify_one();
                }
            }
            (true, false) => core.busy.leave(shown.kind),
            _ => {}
        }
        if after.state == State::Pending && after.wish.is_none() {
            core.queue.push(id, shown.kind, shown.priority, mono);
        } else {
            core.queue.remove(id);
        }
        if !after.state.is_open() {
            core.open.remove(&id);
            self.inner.ended.notify_waiters();
        }
        self.note(core, shown.clone());
        Ok(shown)
    }

    /// What one asks for by hand: on the disk when this returns.
    async fn ask(&self, id: Id, event: Event) -> Result<Operation, Refused> {
        let asked = {
            let mut core = self.core();
            let entry = core.open.get(&id);
            if event == Event::Pause && entry.is_some_and(|e| e.operation.begun && !e.operation.pausable) {
                return Err(Refused::NotPausable);
            }
            if event == Event::Cancel
                && let Some(entry) = entry
            {
                entry.shared.called_off.store(true, Ordering::Relaxed);
            }
            let asked = self.apply(&mut core, id, event, None);
            self.dispatch(&mut core);
            asked.map(|asked| core.open.get(&id).map_or(asked, |entry| entry.operation.clone()))
        };
        let operation = match asked {
            Ok(operation) => operation,
            // It may be over: then that is the answer, not that it is unknown.
            Err(Refused::Missing(_)) => {
                let stored = self.get(id)?.ok_or_else(|| Refused::Missing(id.to_string()))?;
                return Err(Refusal::Over(stored.state).into());
            }
            Err(other) => return Err(other),
        };
        if operation.wish == Some(Wish::Cancel) {
            self.break_off_later(id);
        }
        self.flush().await;
        Ok(operation)
    }

    /// Lets an operation hold still: one that waits at once, one at work at its next safe point.
    ///
    /// # Errors
    /// When there is none, it is over, or it cannot hold still.
    pub async fn pause(&self, id: Id) -> Result<Operation, Refused> {
        self.ask(id, Event::Pause).await
    }

    /// Lets it go on, as soon as there is a slot.
    ///
    /// # Errors
    /// When there is none or it is not paused.
    pub async fn resume(&self, id: Id) -> Result<Operation, Refused> {
        self.ask(id, Event::Resume).await
    }

    /// Ends it, at a safe point within a second.
    ///
    /// # Errors
    /// When there is none or it is over.
    pub async fn cancel(&self, id: Id) -> Result<Operation, Refused> {
        self.ask(id, Event::Cancel).await
    }

    fn break_off_later(&self, id: Id) {
        let this = self.clone();
        self.inner.runtime.spawn(async move {
            tokio::time::sleep(CANCEL_DEADLINE).await;
            this.break_off(id, "it came to no safe point in time and was broken off");
        });
    }

    /// Ends the work where it stands.
    pub(super) fn break_off(&self, id: Id, why: &str) {
        let mut core = self.core();
        if let Some(entry) = core.open.get(&id) {
            entry.let_go();
            let outcome = Outcome::cancelled(why);
            self.close(&mut core, id, outcome);
        }
    }

    /// The work holds still.
    pub(super) fn held(&self, id: Id) {
        let mut core = self.core();
        // It may be over meanwhile.
        let _ = self.apply(&mut core, id, Event::Held, None);
        self.dispatch(&mut core);
    }

    /// The work ended.
    pub(super) fn finish(&self, id: Id, outcome: Outcome) {
        let mut core = self.core();
        self.close(&mut core, id, outcome);
    }

    fn close(&self, core: &mut Core, id: Id, outcome: Outcome) {
        let Some(entry) = core.open.get(&id) else { return };
        let wanted = entry.operation.wish == Some(Wish::Cancel);
        let again = Event::Interrupted { again: entry.operation.resume };
        let begun = entry.operation.begun;
        let (event, report) = match outcome {
            Outcome::Done(report) => (Event::Ended(End::Completed), report),
            Outcome::Failed(report) => (Event::Ended(End::Failed), report),
            Outcome::Cancelled(report) if core.stopping && !wanted => (again, report),
            Outcome::Cancelled(report) => (Event::Ended(End::Cancelled), report),
            Outcome::Interrupted(report) if begun => (again, report),
            Outcome::Interrupted(report) => (Event::Ended(End::Failed), report),
        };
        if let Err(error) = self.apply(core, id, event, Some(report)) {
            tracing::debug!("operation {id}: {error}");
        }
        self.dispatch(core);
    }

    /// Writes down later what became of an operation.
    fn note(&self, core: &mut Core, operation: Operation) {
        super::journal::push(&mut core.journal, operation);
        if !core.hushed {
            self.inner.changed.notify_one();
        }
    }
}

/// A new operation.
fn made(new: New, input: serde_json::Value, rng: &mut Rng) -> Operation {
    let now = wall();
    let status = state::Status::NEW;
    Operation {
        id: Id::new(now, rng),
        kind: new.kind,
        name: new.name,
        state: status.state,
        wish: status.wish,
        begun: status.begun,
        priority: new.priority,
        pausable: new.pausable,
        resume: new.resume,
        about: new.about,
        by: new.by,
        created_at: now,
        started_at: None,
        ended_at: None,
        runs: 0,
        interrupted: false,
        progress: super::progress::Progress::default(),
        report: None,
        input,
    }
}

/// The date to the millisecond, as it is shown.
pub(super) fn wall() -> DateTime<Utc> {
    let now = Utc::now();
    now.with_nanosecond(now.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(now)
}

/// A place among the operations for work that its holder does. Dropped, the work counts as cut off.
pub struct Ticket {
    control: Control,
    closed: bool,
}

impl Ticket {
    /// Whether the work may begin this moment.
    pub fn granted(&mut self) -> bool {
        self.control.order() == Order::Run
    }

    /// Waits until it may begin.
    ///
    /// # Errors
    /// When somebody ended it before.
    pub async fn wait(&mut self) -> Result<(), Ended> {
        self.control.checkpoint().await
    }

    /// The work's side.
    pub const fn control(&mut self) -> &mut Control {
        &mut self.control
    }

    /// Whether a person ended it.
    #[must_use]
    pub fn called_off(&self) -> bool {
        self.control.shared.called_off.load(Ordering::Relaxed)
    }

    /// The work ended.
    pub fn close(mut self, outcome: Outcome) {
        self.closed = true;
        self.control.operations.finish(self.control.id, outcome);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.closed {
            let report = Report { detail: "logmedic stopped in the middle of it".into(), ..Report::default() };
            self.control.operations.finish(self.control.id, Outcome::Interrupted(report));
        }
    }
}
