//! Makes an operation of verifying the library: it goes on after a restart where it was, and tells of damage. I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, to_value};
use tokio::runtime::Handle;

use super::hash::PIECE;
use super::pace::{self, Pace};
use super::populate::Stopped;
use super::verify::Verify;
use super::verify_file::{Looked, Turn, look};
use super::{Library, now_ms};
use crate::ledger::integrity::{self as findings, FINDINGS_MAX, Finding};
use crate::ledger::library::{self as rows, Checked, Integrity, Media, Stamp};
use crate::ledger::rusqlite::Connection;
use crate::ledger::{self, Force, rusqlite};
use crate::operate::{Control, Kind, Outcome, Planned, Priority, Report, Task, Worker};
use crate::vocab::{Bad, Damage, Id, shorten};

/// Name of the operation.
pub const VERIFY: &str = "verify";

/// Damaged files that one check tells of as incidents. The rest stands in its report; the next check tells of the next ones.
pub const INCIDENTS_MAX: u64 = 20;

/// Files that are read from the table at once.
const BATCH: u32 = 32;

/// What was found is written down so soon after it was found.
const WRITE_AFTER: Duration = Duration::from_millis(500);

/// So long it is waited until the engine took an incident in; it may still be starting.
const TELL: Duration = Duration::from_secs(20);

/// Lines of an operation's report.
const LINES: usize = 20;

/// Longest path in a message.
const PATH_MAX: usize = 120;

/// Tells the engine of a damaged file; answers with the incident.
pub type Reporter = Arc<dyn Fn(Damage) -> BoxFuture<'static, Result<Id, String>> + Send + Sync>;

/// The task that verifies this library.
#[must_use]
pub fn verification(library: &Library, reporter: Reporter) -> Box<dyn Task> {
    Box::new(VerifyTask { library: library.clone(), reporter })
}

struct VerifyTask {
    library: Library,
    reporter: Reporter,
}

impl Task for VerifyTask {
    fn kind(&self) -> Kind {
        Kind::Integrity
    }

    fn worker(&self, input: &Value) -> Option<Box<dyn Worker>> {
        let order: Verify = serde_json::from_value(input.clone()).ok()?;
        let (library, reporter) = (self.library.clone(), Arc::clone(&self.reporter));
        order.is_fine().then(|| Box::new(Verifying { library, reporter, order }) as Box<dyn Worker>)
    }

    fn planned(&self) -> Vec<Planned> {
        let settings = &self.library.inner.settings;
        let order = Verify { level: settings.verify_level, gently: true, ..Verify::default() };
        let plan = settings.verify.map(|schedule| Planned {
            name: VERIFY.into(),
            schedule,
            input: to_value(&order).unwrap_or_default(),
            priority: Priority::Low,
        });
        plan.into_iter().collect()
    }
}

/// What was counted. Stored with how far the check is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Counts {
    done: u64,
    total: u64,
    sound: u64,
    short: u64,
    broken: u64,
    changed: u64,
    unknown: u64,
    /// They were not there any more.
    gone: u64,
    found: u64,
    incidents: u64,
    read: u64,
    /// The first of what was found.
    lines: Vec<String>,
}

impl Counts {
    fn count(&mut self, verdict: Integrity) {
        let place = match verdict {
            Integrity::Sound => &mut self.sound,
            Integrity::Short => &mut self.short,
            Integrity::Broken => &mut self.broken,
            Integrity::Changed => &mut self.changed,
            Integrity::Unknown => &mut self.unknown,
        };
        *place += 1;
    }

    fn detail(&self) -> String {
        let Self { done, sound, short, broken, changed, unknown, incidents, .. } = self;
        let mut text = format!("{done} files: {sound} sound");
        for (count, word) in [(short, "short"), (broken, "broken"), (changed, "changed"), (unknown, "unknown")] {
            if *count > 0 {
                text.push_str(&format!(", {count} {word}"));
            }
        }
        if *incidents > 0 {
            text.push_str(&format!("; {incidents} became incidents"));
        }
        text
    }
}

struct Verifying {
    library: Library,
    reporter: Reporter,
    order: Verify,
}

impl Worker for Verifying {
    fn run(self: Box<Self>, mut control: Control) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            if control.checkpoint().await.is_err() {
                return Outcome::cancelled("it was not begun");
            }
            let rate = self.library.inner.settings.verify_rate;
            let (teller, runtime) = (control.clone(), Handle::current());
            let gently = self.order.gently;
            let done = pace::drive(control, (rate, gently), move |pace: &Pace| {
                let operation = teller.id().to_string();
                Run {
                    this: &self,
                    pace,
                    teller: &teller,
                    runtime,
                    operation,
                    counts: Counts::default(),
                    waits: Vec::new(),
                }
                .go()
            });
            match done.await {
                Some(Ok(counts)) => {
                    Outcome::Done(Report { detail: counts.detail(), output: counts.lines, ..Report::default() })
                }
                Some(Err(Stopped::Ended)) => Outcome::cancelled("stopped; what was found so far is kept"),
                Some(Err(Stopped::Ledger(error))) => Outcome::failed(error.to_string()),
                None => {
                    Outcome::failed("failed to go on: an error inside logmedic; please report what stands in its log")
                }
            }
        })
    }
}

/// What waits to be written down.
struct Wait {
    media: String,
    stamp: Stamp,
    checked: Checked,
    blake3: Option<String>,
    finding: Option<Finding>,
}

struct Run<'a> {
    this: &'a Verifying,
    pace: &'a Pace,
    teller: &'a Control,
    runtime: Handle,
    operation: String,
    counts: Counts,
    waits: Vec<Wait>,
}

/// What comes next.
struct Next {
    /// Files, each with its place in the order of the check.
    batch: Vec<(i64, Media)>,
    /// How far that goes.
    to: i64,
    /// Whether it is the end.
    over: bool,
}

impl Run<'_> {
    fn sql<T>(&self, done: rusqlite::Result<T>) -> Result<T, Stopped> {
        let path = || self.this.library.inner.ledger.path().into();
        done.map_err(|source| Stopped::Ledger(ledger::Error::Sqlite { path: path(), source }))
    }

    fn go(mut self) -> Result<Counts, Stopped> {
        let order = &self.this.order;
        let db = self.this.library.connection()?;
        let (mut after, begun) = match self.sql(findings::progress(&db, &self.operation))? {
            Some((after, json)) => (after, serde_json::from_str(&json).ok()),
            None => {
                self.this.library.inner.ledger.write_here(Force::Later, findings::sweep)?;
                (0, None)
            }
        };
        self.counts = match begun {
            Some(counts) => counts,
            None if order.ids.is_empty() => {
                let total = self.sql(findings::count(&db, order.root.as_deref(), order.only_reported))?;
                Counts { total, ..Counts::default() }
            }
            None => Counts { total: order.ids.len() as u64, ..Counts::default() },
        };
        self.tell("");
        let (mut buffer, mut written) = (vec![0; PIECE], Instant::now());
        loop {
            let Next { batch, to, over } = self.next(&db, after)?;
            for (place, media) in batch {
                let looked = self.pace.point();
                let looked =
                    looked.and_then(|()| look(&self.this.library, &media, order.level, &mut buffer, self.pace));
                let Ok(turn) = looked else {
                    self.write(after)?;
                    return Err(Stopped::Ended);
                };
                self.take(&db, &media, turn)?;
                after = place;
                self.tell(&media.path);
                if written.elapsed() >= WRITE_AFTER {
                    self.write(after)?;
                    written = Instant::now();
                }
            }
            after = after.max(to);
            if over {
                self.write(after)?;
                return Ok(self.counts);
            }
        }
    }

    /// The next files that are wanted.
    fn next(&self, db: &Connection, after: i64) -> Result<Next, Stopped> {
        let order = &self.this.order;
        if !order.ids.is_empty() {
            let from = usize::try_from(after).unwrap_or(usize::MAX).min(order.ids.len());
            let mut batch = Vec::new();
            for (place, id) in (1..).zip(&order.ids).skip(from) {
                if let Some(media) = self.sql(rows::get(db, id))? {
                    batch.push((place, media));
                }
            }
            return Ok(Next { batch, to: after, over: true });
        }
        let all = self.sql(rows::next(db, after, BATCH))?;
        let (to, over) = (all.last().map_or(after, |last| last.ord), all.len() < BATCH as usize);
        let wanted = |media: &Media| {
            let reported = matches!(media.checked.verdict, Integrity::Short | Integrity::Broken | Integrity::Changed);
            order.root.as_ref().is_none_or(|root| *root == media.place.root) && (reported || !order.only_reported)
        };
        let batch = all.into_iter().filter(wanted).map(|media| (media.ord, media)).collect();
        Ok(Next { batch, to, over })
    }
}

impl Run<'_> {
    fn tell(&self, at: &str) {
        let counts = &self.counts;
        self.teller.tell(|tally| {
            (tally.done, tally.total) = (Some(counts.done), Some(counts.total.max(counts.done)));
            tally.succeeded = Some(counts.sound + counts.unknown + counts.changed);
            tally.failed = Some(counts.short + counts.broken);
            tally.message = Some(shorten(at, PATH_MAX).into_owned());
        });
    }

    /// Takes in what a look showed.
    fn take(&mut self, db: &Connection, media: &Media, turn: Turn) -> Result<(), Stopped> {
        self.counts.done += 1;
        let (verdict, reason, looked) = match turn {
            Turn::Gone => {
                self.counts.gone += 1;
                return Ok(());
            }
            Turn::Unreadable(why) => (Integrity::Unknown, why, None),
            Turn::Looked(looked) => (looked.verdict, looked.reason.clone(), Some(looked)),
        };
        self.counts.count(verdict);
        let asked = self.this.order.level.as_str();
        let level = looked.as_ref().map_or(asked, |looked| looked.level.as_str()).to_owned();
        let at = now_ms();
        let mut finding = None;
        if verdict != Integrity::Sound {
            self.counts.found += 1;
            if self.counts.lines.len() < LINES && verdict != Integrity::Unknown {
                self.counts.lines.push(format!("{}: {} ({reason})", verdict.as_str(), media.path));
            }
            let incident = match &looked {
                Some(looked) if matches!(verdict, Integrity::Short | Integrity::Broken) => {
                    self.report(db, media, looked)?
                }
                _ => None,
            };
            finding = (self.counts.found <= FINDINGS_MAX).then(|| Finding {
                ord: media.ord,
                media: media.id.clone(),
                path: media.path.clone(),
                size: looked.as_ref().map_or(media.stamp.size, |looked| looked.stamp.size),
                verdict: verdict.as_str().to_owned(),
                level: level.clone(),
                reason: reason.clone(),
                checked_at: at,
                incident,
            });
        }
        let checked = Checked { verdict, reason: Some(reason), level: Some(level), at: Some(at) };
        let (stamp, blake3) = match looked {
            Some(looked) => {
                self.counts.read += looked.read;
                // Only what nobody doubts is recorded as the file's content.
                (looked.stamp, looked.blake3.filter(|_| verdict == Integrity::Sound))
            }
            None => (media.stamp, None),
        };
        self.waits.push(Wait { media: media.id.clone(), stamp, checked, blake3, finding });
        Ok(())
    }

    /// Makes an incident of a damaged file, if this check may tell of one more, and nobody was told of it before.
    fn report(&mut self, db: &Connection, media: &Media, looked: &Looked) -> Result<Option<String>, Stopped> {
        let known = media.stamp == looked.stamp
            && matches!(media.checked.verdict, Integrity::Short | Integrity::Broken)
            && !self.this.order.only_reported
            && self.this.order.ids.is_empty();
        if known && let Some(before) = self.sql(findings::told(db, &media.id))? {
            return Ok(Some(before));
        }
        if self.counts.incidents >= INCIDENTS_MAX {
            return Ok(None);
        }
        let Some(path) = looked.absolute.to_str() else { return Ok(None) };
        let Stamp { dev, ino, size, mtime_ns, .. } = looked.stamp;
        let modified = u64::try_from(mtime_ns / 1_000_000_000).unwrap_or(0);
        let damage = Damage {
            path: path.to_owned(),
            bad: Bad { dev, ino, size, modified, why: looked.reason.clone() },
            job: media.job.as_deref().and_then(Id::parse),
            level: looked.level.clone(),
            evidence: looked.evidence.clone(),
        };
        let told = (self.this.reporter)(damage);
        match self.runtime.block_on(async { tokio::time::timeout(TELL, told).await }) {
            Ok(Ok(id)) => {
                self.counts.incidents += 1;
                Ok(Some(id.to_string()))
            }
            Ok(Err(why)) => {
                tracing::warn!("{} is damaged, but is no incident: {why}", media.path);
                Ok(None)
            }
            Err(_) => {
                tracing::warn!("{} is damaged, but the engine did not take that in", media.path);
                Ok(None)
            }
        }
    }

    /// Writes down what waits, together with how far that is.
    fn write(&mut self, after: i64) -> Result<(), Stopped> {
        let json = serde_json::to_string(&self.counts).unwrap_or_default();
        let (operation, waits) = (&self.operation, std::mem::take(&mut self.waits));
        self.this.library.inner.ledger.write_here(Force::Later, |tx| {
            findings::keep(tx, operation, after, &json)?;
            for wait in &waits {
                rows::set_checked(tx, &wait.media, &wait.stamp, &wait.checked, wait.blake3.as_deref())?;
                if let Some(finding) = &wait.finding {
                    findings::add(tx, operation, finding)?;
                }
            }
            Ok(())
        })?;
        if !waits.is_empty() {
            self.this.library.tell();
        }
        Ok(())
    }
}
