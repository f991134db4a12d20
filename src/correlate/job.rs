//! Follows download jobs by what the bot's log says of them. Pure. Every word of it is a hint.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

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
}

/// The jobs of all sources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Jobs {
    jobs: BTreeMap<Id, Job>,
}

impl Jobs {
    /// The job with this identifier.
    #[must_use]
    pub fn get(&self, id: Id) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// Puts a stored job back.
    pub fn restore(&mut self, job: Job) {
        self.jobs.insert(job.id, job);
    }

    /// Every job, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// Takes in what a line says. Returns the job it is about and whether that is new; `make_id` is called for a new one.
    pub fn hear(
        &mut self,
        source: &str,
        signal: &Signal,
        at: DateTime<Utc>,
        make_id: impl FnOnce() -> Id,
    ) -> Option<Id> {
        let facts = Facts::from_captures(&signal.captures);
        let name = signal.captures.get("job").or_else(|| signal.captures.get("name")).cloned();
        let found = self.find(source, &facts, name.as_deref(), at);
        let id = match (found, signal.means) {
            (_, SignalKind::Alive) => return None,
            (Some(id), _) => id,
            // An HTTP line that names a file on the server belongs to the download that began last and has none yet.
            (None, SignalKind::Known) if facts.file_path.is_some() && name.is_none() && facts.path.is_none() => {
                self.newest(source, at, |job| job.facts.file_path.is_none())?
            }
            (None, SignalKind::Known | SignalKind::Started) => {
                let id = make_id();
                self.jobs.insert(
                    id,
                    Job {
                        id,
                        source: source.to_owned(),
                        name: None,
                        facts: Facts::default(),
                        state: JobState::Queued,
                        created_at: at,
                        updated_at: at,
                    },
                );
                id
            }
            (None, SignalKind::Progress | SignalKind::Completed) => return None,
        };
        let job = self.jobs.get_mut(&id)?;
        job.updated_at = job.updated_at.max(at);
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
        job.state = match signal.means {
            SignalKind::Started | SignalKind::Progress => JobState::Processing,
            SignalKind::Completed => JobState::Completed,
            SignalKind::Known | SignalKind::Alive => job.state,
        };
        Some(id)
    }

    /// Marks a job as failed.
    pub fn fail(&mut self, id: Id, at: DateTime<Utc>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.state = JobState::Failed;
            job.updated_at = job.updated_at.max(at);
        }
    }

    /// Marks a job as completed.
    pub fn complete(&mut self, id: Id, at: DateTime<Utc>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.state = JobState::Completed;
            job.updated_at = job.updated_at.max(at);
        }
    }

    /// The job that these hints name, by path, identifier, address or name; the newest when several do.
    #[must_use]
    pub fn find(&self, source: &str, facts: &Facts, name: Option<&str>, at: DateTime<Utc>) -> Option<Id> {
        fn same(a: Option<&String>, b: Option<&String>) -> bool {
            a.is_some() && a == b
        }
        let matches = |job: &&Job| {
            job.source == source
                && at - job.updated_at <= ACTIVE_FOR
                && (same(job.facts.path.as_ref(), facts.path.as_ref())
                    || same(job.facts.file_id.as_ref(), facts.file_id.as_ref())
                    || same(job.facts.file_path.as_ref(), facts.file_path.as_ref())
                    || same(job.facts.url.as_ref(), facts.url.as_ref())
                    || name.is_some_and(|name| job.is_called(name))
                    || facts.path.as_deref().and_then(base_name).is_some_and(|base| job.is_called(base)))
        };
        // What is under way wins over what is over: the same name may come again.
        self.jobs
            .values()
            .filter(matches)
            .max_by_key(|job| (job.state != JobState::Completed, job.updated_at, job.id))
            .map(|job| job.id)
    }

    /// The one download of this source that a line without a name can only mean: the sole one under way, or the one
    /// that failed just now. `None` when it cannot be told.
    #[must_use]
    pub fn only_active(&self, source: &str, at: DateTime<Utc>) -> Option<Id> {
        let mut active = self.jobs.values().filter(|job| {
            job.source == source
                && matches!(job.state, JobState::Queued | JobState::Processing)
                && at - job.updated_at <= ACTIVE_FOR
        });
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

    /// Drops what is over the limit and returns the identifiers that left.
    pub fn prune(&mut self) -> Vec<Id> {
        if self.jobs.len() <= JOBS_MAX {
            return Vec::new();
        }
        let mut order: Vec<_> = self
            .jobs
            .values()
            .map(|job| (matches!(job.state, JobState::Queued | JobState::Processing), job.updated_at, job.id))
            .collect();
        order.sort_unstable();
        let over = self.jobs.len() - JOBS_MAX;
        let gone: Vec<Id> = order.into_iter().take(over).map(|(_, _, id)| id).collect();
        for id in &gone {
            self.jobs.remove(id);
        }
        gone
    }
}

impl Job {
    fn is_called(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
            || self.facts.path.as_deref().and_then(base_name).is_some_and(|base| base == name)
    }
}

fn base_name(path: &str) -> Option<&str> {
    path.rsplit(['/', '\\']).next().filter(|base| !base.is_empty())
}
