//! Follows download jobs by what logs, files and programs say of them. Pure. Every word of it is a hint.

mod files;
mod names;
mod progress;
mod stall;

pub use files::Told;
pub use progress::{Progress, Seen};
pub use stall::StallLimits;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use self::names::Names;
use super::Facts;
use crate::classify::{Signal, SignalKind};
use crate::vocab::Id;

/// How many jobs are kept in memory; the oldest finished ones leave first. A busy bot has some dozens at once.
const JOBS_MAX: usize = 2_000;

/// A job of which nothing was heard for so long is not under way any more.
const ACTIVE_FOR: TimeDelta = TimeDelta::minutes(60);

/// A failed job still takes further lines about the same failure for so long.
const ECHO: TimeDelta = TimeDelta::seconds(2);

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Announced; nothing is being loaded yet.
    Queued,
    /// Under way.
    Processing,
    /// The bot says it is saved.
    Completed,
    /// A failure was logged.
    Failed,
}

impl JobState {
    /// Whether more is expected of it.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Queued | Self::Processing)
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// Who told of a job first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The bot's log.
    #[default]
    Log,
    /// A file that appeared under a root.
    File,
    /// A program, through the API.
    Api,
}

/// One download.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its identifier.
    pub id: Id,
    /// The log source that spoke of it.
    pub source: String,
    /// The name under which the bot logs it (its own job number, or the file's name).
    pub name: Option<String>,
    /// What is known for a repair.
    pub facts: Facts,
    /// How far it is.
    pub state: JobState,
    /// First heard of (the bot's clock).
    pub created_at: DateTime<Utc>,
    /// Last heard of (the bot's clock).
    pub updated_at: DateTime<Utc>,
    /// Who told of it first.
    #[serde(default)]
    pub origin: Origin,
    /// 1 for the first; counts up when it begins again after its end.
    #[serde(default = "one")]
    pub attempt: u32,
    /// How far it is.
    #[serde(default)]
    pub progress: Progress,
    /// The latest sentence about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// No byte came since then, for longer than a download of its size may stand still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled_since: Option<DateTime<Utc>>,
    /// How often people were told that it stands still.
    #[serde(default)]
    pub stalls: u32,
    /// When it was completed or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// The bot says that it failed, and nobody was told yet: an incident may still speak for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unexplained: bool,
    /// Its file was looked at, and of this kind nobody can tell whether it is whole.
    #[serde(skip)]
    pub unsure: bool,
}

const fn one() -> u32 {
    1
}

/// The jobs of all sources.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    jobs: BTreeMap<Id, Job>,
    /// Told of every job that is new or whose facts changed.
    names: Names,
    /// Jobs that turned out to be others, and which.
    joined: Vec<(Id, Id)>,
}

impl Jobs {
    /// The job with this identifier.
    #[must_use]
    pub fn get(&self, id: Id) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// Puts a stored job back.
    pub fn restore(&mut self, job: Job) {
        self.put(job);
    }

    /// Every job, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// Takes in what a line says. Returns the job it is about; `make_id` is called for a new one.
    pub fn hear(
        &mut self,
        source: &str,
        signal: &Signal,
        at: DateTime<Utc>,
        make_id: impl FnOnce() -> Id,
    ) -> Option<Id> {
        let facts = Facts::from_captures(&signal.captures);
        let name = signal.captures.get("job").or_else(|| signal.captures.get("name")).cloned();
        let named = name.is_some() || facts.path.is_some() || facts.file_id.is_some() || facts.url.is_some();
        let found = self.find(source, &facts, name.as_deref(), at);
        let id = match (found, signal.means) {
            (_, SignalKind::Alive) => return None,
            (Some(id), _) => id,
            // An HTTP line that names a file on the server belongs to the download that began last and has none yet.
            (None, SignalKind::Known) if facts.file_path.is_some() && name.is_none() && facts.path.is_none() => {
                self.newest(source, at, |job| job.facts.file_path.is_none())?
            }
            (None, SignalKind::Known | SignalKind::Started) => self.put(Job::new(make_id(), source, Origin::Log, at)),
            // A line that names its own job tells of it, however late.
            (None, _) if signal.captures.contains_key("job") => self.put(Job::new(make_id(), source, Origin::Log, at)),
            (None, SignalKind::Progress) if facts.path.is_some() => {
                self.put(Job::new(make_id(), source, Origin::Log, at))
            }
            (None, SignalKind::Progress) if named => return None,
            (None, SignalKind::Progress) => self.only_active(source, at).filter(|id| self.is_active(*id))?,
            // `100% of 12 MiB in 00:03` names nothing; whoever says a percentage means the one under way.
            (None, SignalKind::Completed) if !named && signal.captures.contains_key("percent") => {
                self.only_active(source, at).filter(|id| self.is_active(*id))?
            }
            (None, SignalKind::Completed | SignalKind::Failed) => return None,
        };
        let id = self.join(source, &facts, name.as_deref(), at).unwrap_or(id);
        let job = self.jobs.get_mut(&id)?;
        job.updated_at = job.updated_at.max(at);
        if job.origin == Origin::File {
            // Now it is known whose it is.
            source.clone_into(&mut job.source);
        }
        if job.name.is_none() {
            job.name = name;
        }
        if let SignalKind::Started = signal.means {
            // A new start of the same thing brings newer facts.
            let old = std::mem::replace(&mut job.facts, facts);
            job.facts.fill(&old);
        } else {
            job.facts.fill(&facts);
        }
        self.names.note(job);
        let seen = seen(signal, job.facts.size);
        match signal.means {
            SignalKind::Started => job.under_way(),
            // The last progress line may come after the word that it is saved.
            SignalKind::Progress if job.state == JobState::Completed && seen.percent.is_some_and(|at| at >= 100.0) => {}
            SignalKind::Progress => job.under_way(),
            SignalKind::Known | SignalKind::Alive | SignalKind::Completed | SignalKind::Failed => {}
        }
        job.take(&seen, at);
        match signal.means {
            SignalKind::Completed => job.complete(at, None),
            SignalKind::Failed => job.fail(at, Some("the bot says that it failed".to_owned())),
            _ => {}
        }
        Some(id)
    }

    /// Takes in a job that a program registers. Returns the one that is known already where there is one.
    pub fn register(
        &mut self,
        source: &str,
        (name, facts): (Option<String>, Facts),
        at: DateTime<Utc>,
        make_id: impl FnOnce() -> Id,
    ) -> Id {
        let known = self.find(source, &facts, name.as_deref(), at).filter(|id| self.is_active(*id));
        let id = known.unwrap_or_else(|| self.put(Job::new(make_id(), source, Origin::Api, at)));
        if let Some(job) = self.jobs.get_mut(&id) {
            job.updated_at = job.updated_at.max(at);
            job.name = job.name.take().or(name);
            job.facts.fill(&facts);
            self.names.note(job);
            let total = job.facts.size;
            job.take(&Seen { total, ..Seen::default() }, at);
        }
        id
    }

    fn put(&mut self, job: Job) -> Id {
        let id = job.id;
        self.names.note(&job);
        self.jobs.insert(id, job);
        id
    }

    fn is_active(&self, id: Id) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.state.is_active())
    }

    /// Marks a job as failed.
    pub fn fail(&mut self, id: Id, at: DateTime<Utc>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.fail(at, None);
        }
    }

    /// Marks a job as completed.
    pub fn complete(&mut self, id: Id, at: DateTime<Utc>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.complete(at, None);
        }
    }

    /// The job itself, to be changed, but for its name and facts.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut Job> {
        self.jobs.get_mut(&id)
    }

    /// The job that these hints name, by path, identifier, address or name; the newest when several do.
    #[must_use]
    pub fn find(&self, source: &str, facts: &Facts, name: Option<&str>, at: DateTime<Utc>) -> Option<Id> {
        // What is under way wins over what is over: the same name may come again.
        self.matching(source, facts, name, at)
            .max_by_key(|job| (job.state != JobState::Completed, job.updated_at, job.id))
            .map(|job| job.id)
    }

    fn matching(
        &self,
        source: &str,
        facts: &Facts,
        name: Option<&str>,
        at: DateTime<Utc>,
    ) -> impl Iterator<Item = &Job> {
        let meant = self.names.meant(facts, name).into_iter().filter_map(|id| self.jobs.get(&id));
        meant.filter(move |job| job.is_meant(source, facts, name, at))
    }

    /// A file that was seen before the log named it, and the download that the log spoke of before it named a file, are one:
    /// the log's, with how far the file is.
    fn join(&mut self, source: &str, facts: &Facts, name: Option<&str>, at: DateTime<Utc>) -> Option<Id> {
        let all: Vec<&Job> = self.matching(source, facts, name, at).collect();
        let file = all.iter().find(|job| job.is_only_a_file())?.id;
        let told = all.iter().filter(|job| job.id != file && job.state.is_active() && job.facts.path.is_none());
        let told = told.max_by_key(|job| (job.updated_at, job.id))?.id;
        let file = self.jobs.remove(&file)?;
        self.names.forget(file.id);
        let job = self.jobs.get_mut(&told)?;
        job.facts.path = file.facts.path;
        self.names.note(job);
        (job.state, job.progress, job.ended_at) = (file.state, file.progress, file.ended_at);
        job.updated_at = job.updated_at.max(file.updated_at);
        self.joined.push((file.id, told));
        Some(told)
    }

    /// The jobs that turned out to be others since the last call, each with that other.
    pub fn take_joined(&mut self) -> Vec<(Id, Id)> {
        std::mem::take(&mut self.joined)
    }

    /// The one download of this source that a line without a name can only mean: the sole one under way, or the one
    /// that failed just now. `None` when it cannot be told.
    #[must_use]
    pub fn only_active(&self, source: &str, at: DateTime<Utc>) -> Option<Id> {
        let mut active = self
            .jobs
            .values()
            .filter(|job| job.source == source && job.state.is_active() && at - job.updated_at <= ACTIVE_FOR);
        match (active.next(), active.next()) {
            (Some(job), None) => Some(job.id),
            (None, _) => self.newest(source, at, |job| job.state == JobState::Failed && at - job.updated_at <= ECHO),
            (Some(_), Some(_)) => None,
        }
    }

    fn newest(&self, source: &str, at: DateTime<Utc>, fits: impl Fn(&Job) -> bool) -> Option<Id> {
        self.jobs
            .values()
            .filter(|job| {
                job.source == source
                    && job.state != JobState::Completed
                    && at - job.updated_at <= ACTIVE_FOR
                    && fits(job)
            })
            .max_by_key(|job| (job.updated_at, job.id))
            .map(|job| job.id)
    }

    /// Lets go of what is over the limit; the ledger still has it. Returns the identifiers that left.
    pub fn prune(&mut self) -> Vec<Id> {
        if self.jobs.len() <= JOBS_MAX {
            return Vec::new();
        }
        let mut order: Vec<_> = self.jobs.values().map(|job| (job.state.is_active(), job.updated_at, job.id)).collect();
        order.sort_unstable();
        let over = self.jobs.len() - JOBS_MAX;
        let gone: Vec<Id> = order.into_iter().take(over).map(|(_, _, id)| id).collect();
        for id in &gone {
            self.jobs.remove(id);
            self.names.forget(*id);
        }
        gone
    }
}

impl Job {
    /// Whether nobody has named it: a file that grows under a root.
    fn is_only_a_file(&self) -> bool {
        let facts = &self.facts;
        self.origin == Origin::File && self.name.is_none() && facts.file_id.is_none() && facts.url.is_none()
    }

    /// A job of which nothing is known yet.
    #[must_use]
    pub fn new(id: Id, source: &str, origin: Origin, at: DateTime<Utc>) -> Self {
        Self {
            id,
            source: source.to_owned(),
            name: None,
            facts: Facts::default(),
            state: JobState::Queued,
            created_at: at,
            updated_at: at,
            origin,
            attempt: 1,
            progress: Progress::default(),
            message: None,
            stalled_since: None,
            stalls: 0,
            ended_at: None,
            unexplained: false,
            unsure: false,
        }
    }

    /// It is being loaded (again).
    pub fn under_way(&mut self) {
        if !self.state.is_active() {
            self.attempt = self.attempt.saturating_add(1);
            self.progress.restart();
            self.message = None;
        }
        (self.state, self.ended_at, self.unsure) = (JobState::Processing, None, false);
    }

    /// Takes in how far it is. Returns whether it went on.
    pub fn take(&mut self, seen: &Seen, at: DateTime<Utc>) -> bool {
        let moved = self.progress.take(seen, at);
        if moved {
            self.stalled_since = None;
        }
        moved
    }

    /// It is saved.
    pub fn complete(&mut self, at: DateTime<Utc>, message: Option<String>) {
        (self.state, self.ended_at, self.stalled_since, self.message) = (JobState::Completed, Some(at), None, message);
        self.updated_at = self.updated_at.max(at);
        let size = self.facts.size;
        self.progress.finish(size);
    }

    /// It failed.
    pub fn fail(&mut self, at: DateTime<Utc>, message: Option<String>) {
        (self.state, self.ended_at, self.stalled_since) = (JobState::Failed, Some(at), None);
        self.message = message.or(self.message.take());
        self.updated_at = self.updated_at.max(at);
        self.progress.rest();
    }

    /// Whether these hints, of a line of this source, name it.
    fn is_meant(&self, source: &str, facts: &Facts, name: Option<&str>, at: DateTime<Utc>) -> bool {
        fn same(a: Option<&String>, b: Option<&String>) -> bool {
            a.is_some() && a == b
        }
        // A file that appeared under a root is anybody's until a log names it.
        (self.source == source || self.origin == Origin::File)
            && at - self.updated_at <= ACTIVE_FOR
            && (same_path(self.facts.path.as_deref(), facts.path.as_deref())
                || same(self.facts.file_id.as_ref(), facts.file_id.as_ref())
                || same(self.facts.file_path.as_ref(), facts.file_path.as_ref())
                || same(self.facts.url.as_ref(), facts.url.as_ref())
                || name.is_some_and(|name| self.is_called(name))
                || facts.path.as_deref().and_then(base_name).is_some_and(|base| self.is_called(base)))
    }

    fn is_called(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
            || self.facts.path.as_deref().and_then(base_name).is_some_and(|base| base == name)
    }
}

/// What a line says of how far it is. `size` is exact, `total` as the tool rounded it.
fn seen(signal: &Signal, size: Option<u64>) -> Seen {
    fn number<T: std::str::FromStr>(signal: &Signal, name: &str) -> Option<T> {
        signal.captures.get(name).and_then(|value| value.parse().ok())
    }
    Seen {
        percent: number(signal, "percent"),
        bytes: number(signal, "bytes"),
        total: size.or_else(|| number(signal, "total")),
        rate: number(signal, "rate"),
        eta_s: number(signal, "eta"),
        measured: false,
    }
}

/// Whether two path hints name one file: logs also write it relative to the bot's directory.
fn same_path(a: Option<&str>, b: Option<&str>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    let (a, b) = (a.strip_prefix("./").unwrap_or(a), b.strip_prefix("./").unwrap_or(b));
    let tail = |long: &str, short: &str| {
        long.starts_with('/')
            && !short.starts_with('/')
            && short.contains('/')
            && long.strip_suffix(short).is_some_and(|rest| rest.ends_with('/'))
    };
    a == b || tail(a, b) || tail(b, a)
}

fn base_name(path: &str) -> Option<&str> {
    path.rsplit(['/', '\\']).next().filter(|base| !base.is_empty())
}
