//! Makes and proves backups as operations. I/O.

use chrono::Utc;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::create::{Made, Order, create};
use super::place::Place;
use super::verify::{Verdict, verify};
use super::watch::{Stopped, Watch};
use super::{Error, Settings};
use crate::ledger::backup::owe;
use crate::operate::progress::Unit;
use crate::operate::work::Order as Wish;
use crate::operate::{Control, Kind, Outcome, Planned, Priority, Report, Task, Worker};
use crate::vocab::{Notice, Severity, Story};

/// The name of the operation that makes a backup.
pub const CREATE: &str = "create";

/// The name of the operation that proves one.
pub const VERIFY: &str = "verify";

/// What an operation is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Make one.
    Create(Order),
    /// Make one as the configuration says; people are told when that fails, since nobody waits for it.
    Scheduled,
    /// Prove this one.
    Verify(String),
}

impl Input {
    /// As it is stored.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Makes and proves backups.
#[derive(Clone)]
pub struct BackupTask {
    settings: Settings,
}

impl BackupTask {
    /// With these settings. What a run that was cut off left half done is removed.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let place = Place::new(settings.directory.clone(), settings.state.clone());
        // Apart: it may be much, and nobody waits for it but the next backup.
        if let Err(error) = std::thread::Builder::new().name("backups".into()).spawn(move || place.tidy()) {
            tracing::warn!("failed to look for backups that were cut off: {error}");
        }
        Self { settings }
    }
}

impl Task for BackupTask {
    fn kind(&self) -> Kind {
        Kind::Backup
    }

    fn worker(&self, input: &serde_json::Value) -> Option<Box<dyn Worker>> {
        let input = serde_json::from_value(input.clone()).ok()?;
        Some(Box::new(Work { settings: self.settings.clone(), input }))
    }

    fn planned(&self) -> Vec<Planned> {
        let plan = |schedule| Planned {
            name: CREATE.into(),
            schedule,
            input: Input::Scheduled.json(),
            priority: Priority::Low,
        };
        self.settings.schedule.map(plan).into_iter().collect()
    }
}

struct Work {
    settings: Settings,
    input: Input,
}

impl Worker for Work {
    fn run(self: Box<Self>, control: Control) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let watch = Paced { control, runtime: Handle::current(), most: 0 };
            let work = tokio::task::spawn_blocking(move || self.work(watch));
            work.await.unwrap_or_else(|_| Outcome::failed("failed to finish: a mistake in logmedic; please report it"))
        })
    }
}

impl Work {
    fn work(&self, mut watch: Paced) -> Outcome {
        let id = watch.control.id().to_string();
        match &self.input {
            Input::Create(order) => self.create(order, id, &mut watch),
            Input::Scheduled => {
                let outcome = self.create(&Order::default(), id.clone(), &mut watch);
                if let Outcome::Failed(report) = &outcome {
                    self.owe(id, &report.detail);
                }
                outcome
            }
            Input::Verify(name) => {
                let place = Place::new(self.settings.directory.clone(), self.settings.state.clone());
                match place.folder(name).and_then(|folder| verify(&folder, &mut watch)) {
                    Ok(verdict) => {
                        watch.end(verdict.files, verdict.damage.len() as u64);
                        judged(verdict)
                    }
                    Err(Error::Stopped) => Outcome::cancelled("ended before all of it was proven"),
                    Err(error) => Outcome::failed(error.to_string()),
                }
            }
        }
    }
}

impl Work {
    fn create(&self, order: &Order, id: String, watch: &mut Paced) -> Outcome {
        match create(&self.settings, order, Some(id), Utc::now(), watch) {
            Ok(made) => {
                watch.end(made.manifest.files.len() as u64, 0);
                Outcome::Done(told(&made))
            }
            Err(Error::Stopped) => Outcome::cancelled("ended; nothing of it is left"),
            Err(error) => Outcome::failed(error.to_string()),
        }
    }

    /// Has people told that there is no backup: once a day, however often it is tried.
    fn owe(&self, operation: String, detail: &str) {
        let at = Utc::now();
        let story =
            Story::Operation { operation, what: "backup".into(), state: "failed".into(), detail: detail.to_owned() };
        let key = format!("backup:failed:{}", at.format("%Y-%m-%d"));
        let notice = Notice { key, revision: 1, severity: Severity::Error, story, at };
        if let Err(error) = owe(&self.settings.state, &notice) {
            tracing::error!("a scheduled backup failed ({detail}), and people could not be told: {error}");
        }
    }
}

fn told(made: &Made) -> Report {
    let manifest = &made.manifest;
    let mut detail = format!("made {}: {} files, {} bytes", manifest.name, manifest.files.len(), manifest.bytes);
    if manifest.skipped_count > 0 {
        detail.push_str(&format!("; {} left out", manifest.skipped_count));
    }
    if !made.let_go.is_empty() {
        detail.push_str(&format!("; let go: {}", made.let_go.join(", ")));
    }
    if let Some(why) = &made.kept {
        detail.push_str(&format!("; older ones are kept: {why}"));
    }
    let output = manifest.skipped.iter().take(super::COMPLAINTS).map(|line| format!("left out: {line}")).collect();
    Report { detail, output, ..Report::default() }
}

fn judged(verdict: Verdict) -> Outcome {
    let Verdict { name, sound, files, bytes, damage, notes } = verdict;
    if sound {
        let detail = format!("{name} is whole: {files} files, {bytes} bytes");
        return Outcome::Done(Report { detail, output: notes, ..Report::default() });
    }
    let detail = format!("{name} is damaged: {}", damage.first().map_or("", String::as_str));
    Outcome::Failed(Report { detail, output: damage, ..Report::default() })
}

/// Watches over work on a thread of its own for its operation.
struct Paced {
    control: Control,
    runtime: Handle,
    /// The farthest that was told: what is begun anew after a pause does not go back.
    most: u64,
}

impl Paced {
    fn end(&self, succeeded: u64, failed: u64) {
        self.control.tell(|tally| {
            tally.done = tally.total.or(tally.done);
            (tally.succeeded, tally.failed, tally.message) = (Some(succeeded), Some(failed), None);
        });
    }
}

impl Watch for Paced {
    fn point(&mut self, done: u64) -> Result<(), Stopped> {
        self.most = self.most.max(done);
        let most = self.most;
        self.control.tell(|tally| {
            tally.unit = Unit::Bytes;
            tally.done = Some(tally.total.map_or(most, |total| most.min(total)));
        });
        if self.control.order() == Wish::Run {
            return Ok(());
        }
        self.runtime.block_on(self.control.checkpoint()).map_err(|_| Stopped)
    }

    fn tell(&mut self, what: &str, total: Option<u64>) {
        let what = crate::vocab::shorten(&crate::vocab::clean_line(what), 200).into_owned();
        self.control.tell(|tally| {
            tally.unit = Unit::Bytes;
            tally.total = total.or(tally.total);
            tally.message = Some(what);
        });
    }

    fn go_on(&self) -> Box<dyn FnMut() -> bool + Send> {
        let mut control = self.control.clone();
        Box::new(move || control.order() == Wish::Run)
    }
}
