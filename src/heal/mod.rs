//! Confirms, repairs and proves: carries out what `decide` asks for. I/O.
//!
//! One file per strategy. Everything may be run again after a crash: each repair first looks at what is there.
//! Paths, addresses and identifiers in a task are hints from log lines; `roots` confines the paths, `address`
//! the addresses.

mod access;
mod address;
mod bot_api;
mod command;
mod directory;
mod examine;
mod http;
mod look;
mod output;
mod part;
pub mod quarantine;
mod redownload;
mod server;
mod settings;
mod url_source;

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use settings::{BotApi, BotUser, CommandSpec, Settings, Timeouts};

use crate::decide::{Repair, Task, TaskOutput, Work};
use crate::launch::{self, Launcher, Runs};
use crate::ledger::Ledger;
use crate::roots::Roots;
use crate::vocab::Meter;
use output::{Step, failed, permanent, transient};

/// Carries out tasks. Clone it freely; clones share everything.
#[derive(Clone)]
pub struct Healer {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    roots: Arc<Roots>,
    ledger: Ledger,
    /// For the Bot API server and probes of it; never follows redirects, has no total time-out.
    client: Option<reqwest::Client>,
    /// Runs commands.
    launcher: Launcher,
    /// Files a repair is at work on.
    busy: Arc<Mutex<HashSet<String>>>,
}

/// How often work on another thread that holds still looks whether it may go on.
const HELD_LOOK: Duration = Duration::from_millis(50);

/// Says to work on other threads that nobody waits for it any more, and when to hold still.
#[derive(Clone, Default)]
struct Stop {
    over: Arc<AtomicBool>,
    meter: Arc<Meter>,
}

impl Stop {
    /// Whether to stop. Blocks while the work is to hold still: only for threads that may block.
    fn is_set(&self) -> bool {
        while self.meter.is_held() && !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(HELD_LOOK);
        }
        self.over.load(Ordering::Relaxed)
    }
}

/// Sets the stop when the task's future ends or is dropped.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// Holds a file for one repair; given up when dropped.
struct Hold {
    busy: Arc<Mutex<HashSet<String>>>,
    name: String,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Healer {
    /// A healer with these settings, confined to these roots.
    #[must_use]
    pub fn new(settings: Settings, roots: Arc<Roots>, ledger: Ledger) -> Self {
        let client = http::client(&settings.timeouts).ok();
        let program = settings.launcher.clone().unwrap_or_else(|| "/proc/self/exe".into());
        let launcher = Launcher::new(program, runs(&ledger));
        Self { inner: Arc::new(Inner { settings, roots, ledger, client, launcher, busy: Arc::default() }) }
    }

    /// Starts what commands need, where any is configured, so that the first one does not wait for it. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// When no process can be started. The next command tries it again.
    pub fn prepare(&self) -> Result<(), launch::Error> {
        if self.settings().commands.is_empty() { Ok(()) } else { self.inner.launcher.prepare() }
    }

    /// Does the task. Ends within a second of `cancel` and at `task.limit`, at a safe point; never panics.
    pub async fn run(&self, task: Task, cancel: CancellationToken) -> TaskOutput {
        self.run_metered(task, cancel, Arc::default()).await
    }

    /// The same; `meter` tells how many bytes are fetched. The work holds still while it is not polled and the meter is held;
    /// pauses do not count for the limit.
    pub async fn run_metered(&self, task: Task, cancel: CancellationToken, meter: Arc<Meter>) -> TaskOutput {
        let stop = Stop { over: Arc::default(), meter };
        let _ended = StopOnDrop(stop.clone());
        let work = AssertUnwindSafe(self.work_on(&task, &stop)).catch_unwind();
        let output = tokio::select! {
            biased;
            () = cancel.cancelled() => TaskOutput::Cancelled,
            done = work => done
                .unwrap_or_else(|_| *permanent("failed to finish: a mistake in logmedic; please report it")),
            () = used_up(task.limit, &stop.meter) => overtime(&task),
        };
        output::sealed(output)
    }

    /// Works; once more, when only a pause was too long for the other side: what came is kept, and gone on with.
    async fn work_on(&self, task: &Task, stop: &Stop) -> TaskOutput {
        loop {
            let before = stop.meter.pauses();
            let output = self.work(task, stop).await;
            if !matches!(output, TaskOutput::Transient { .. }) || stop.meter.pauses() == before {
                return output;
            }
        }
    }

    /// The same for brief work ([`Work::is_brief`]), on a thread of `runtime` where it may block; begins at once. When the
    /// file system hangs, the answer is that it took too long, and the thread is left behind.
    pub fn run_brief(
        self: &Arc<Self>,
        task: Task,
        cancel: CancellationToken,
        runtime: &Handle,
    ) -> impl Future<Output = TaskOutput> + use<> {
        let (this, late) = (Arc::clone(self), output::sealed(overtime(&task)));
        let limit = task.limit + OVERTIME;
        let (here, cancelled) = (runtime.clone(), cancel.clone());
        let done = runtime.spawn_blocking(move || here.block_on(BRIEF.scope((), this.run(task, cancel))));
        async move {
            tokio::select! {
                biased;
                done = done => done.unwrap_or(TaskOutput::Cancelled),
                () = cancelled.cancelled() => TaskOutput::Cancelled,
                () = tokio::time::sleep(limit) => late,
            }
        }
    }

    /// Whether nothing of this repair keeps the caller's thread waiting until its program is handed over: the file that it fetches is
    /// missing, on a file system of this machine.
    #[must_use]
    pub fn starts_at_once(&self, repair: &Repair) -> bool {
        let missing = |path: &str| {
            let path = self.resolve(path).ok().filter(crate::roots::RootPath::is_local);
            path.is_some_and(|path| matches!(path.stat(), Ok(None)))
        };
        match repair {
            Repair::Redownload { path, .. } => repair.outlives() && missing(path),
            Repair::Command { path: None, .. } => true,
            _ => false,
        }
    }

    async fn work(&self, task: &Task, stop: &Stop) -> TaskOutput {
        match &task.work {
            Work::Look(question) => TaskOutput::Seen(self.look(question, stop).await),
            Work::Act(repair) => self.act(task, repair, stop).await.unwrap_or_else(|output| *output),
        }
    }

    async fn act(&self, task: &Task, repair: &Repair, stop: &Stop) -> Step<TaskOutput> {
        match repair {
            Repair::Redownload { from, path, expect } => self.redownload(task, from, path, expect, stop).await,
            Repair::RestoreAccess { path } => self.restore_access(path).await,
            Repair::CreateDirectory { path } => self.create_directory(path).await,
            Repair::Quarantine { path, expect } => self.quarantine(task, path, expect, stop).await,
            Repair::Command { name, path, variables } => self.command(task, name, path.as_deref(), variables).await,
            // The supervisor's to do: the engine never sends it here.
            Repair::RestartBot { .. } => Err(permanent("failed to restart the bot: the healer does not hold it")),
        }
    }

    fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Turns a hint into a confined path.
    fn resolve(&self, hint: &str) -> Step<crate::roots::RootPath> {
        Ok(self.inner.roots.resolve(hint, self.settings().working_dir.as_deref())?)
    }

    /// Takes a file for this repair alone.
    fn hold(&self, name: String) -> Step<Hold> {
        let mut busy = self.inner.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if !busy.insert(name.clone()) {
            return Err(transient(format!("another repair of {name} is still under way")));
        }
        Ok(Hold { busy: self.inner.busy.clone(), name })
    }
}

/// What is known of the commands that ran for this state directory.
#[must_use]
pub fn runs(ledger: &Ledger) -> Runs {
    Runs::new(ledger.path().with_file_name(RUNS))
}

/// Their directory, beside the database.
const RUNS: &str = "runs";

tokio::task_local! {
    /// Set where the thread itself may block.
    static BRIEF: ();
}

/// How much longer than its limit brief work is waited for: it gives its own answer when it can.
const OVERTIME: Duration = Duration::from_millis(500);

/// Work that was begun, but changed nothing yet: it goes on when it is written down what for.
#[must_use = "work that is dropped ends"]
pub struct Begun {
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    runtime: Handle,
    here: bool,
}

impl Begun {
    /// Begins `work` on this thread, where it may block for a moment, up to the first change that it makes or its first wait. To wake a
    /// thread of `runtime` takes longer than to hand a command over.
    pub fn here(work: impl Future<Output = ()> + Send + 'static, runtime: &Handle) -> Self {
        let mut begun = Self { work: Some(Box::pin(work)), runtime: runtime.clone(), here: true };
        launch::unannounced(|| begun.poll());
        begun
    }

    /// Leaves `work` to `runtime`, all of it.
    pub fn elsewhere(work: impl Future<Output = ()> + Send + 'static, runtime: &Handle) -> Self {
        Self { work: Some(Box::pin(work)), runtime: runtime.clone(), here: false }
    }

    /// Goes on, up to its next wait where it began on this thread; `runtime` does the rest.
    pub fn go_on(mut self) {
        if self.here {
            self.poll();
        }
        if let Some(work) = self.work {
            drop(self.runtime.spawn(work));
        }
    }

    fn poll(&mut self) {
        let Some(work) = &mut self.work else { return };
        let _there = self.runtime.enter();
        // Whoever goes on with it asks once more, and is woken from then on.
        let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
        if BRIEF.sync_scope((), || work.as_mut().poll(&mut nobody)).is_ready() {
            self.work = None;
        }
    }
}

/// Runs `work` where it may block. It should look at its stop often.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Step<T> {
    if BRIEF.try_with(|()| ()).is_ok() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| failed(format!("failed to finish: {error}")))
}

/// Ends when so much time was worked.
async fn used_up(limit: Duration, meter: &Meter) {
    let begun = Instant::now();
    loop {
        let until = begun + limit + meter.pauses().1;
        if Instant::now() >= until {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

fn overtime(task: &Task) -> TaskOutput {
    let detail = format!("it took longer than the {} s it may take", task.limit.as_secs());
    match &task.work {
        Work::Look(_) => TaskOutput::Seen(output::unknown(detail)),
        Work::Act(_) => *transient(detail),
    }
}
