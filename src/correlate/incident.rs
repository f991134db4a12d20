//! Holds what is known of one incident: one fault, seen in however many lines. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::vocab::{Bad, Captures, Class, Id, Severity, Subject};

/// Lines of one class and subject this close together (on the bot's clock) are one fault, also after it ended.
pub const SAME_FAULT: TimeDelta = TimeDelta::seconds(30);

/// When the bot was seen well in between, only lines this close together are one fault; doubled with each repeat, so
/// that something that comes and goes becomes one incident again.
pub const SAME_FAULT_ALIVE: TimeDelta = TimeDelta::seconds(3);

/// Repeats further apart than this do not count as coming and going.
pub const FLAPPING: TimeDelta = TimeDelta::minutes(2);

/// Further lines of one rule are written as one record at most this often.
pub const FOLD_EVERY: Duration = Duration::from_secs(1);

/// How many rules are folded apart in one incident; the rest share the last place.
const FOLDS_MAX: usize = 16;

/// What the lines and the job say about the thing that failed: hints for a repair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The file or directory in the line; for a job, the wanted file.
    pub path: Option<String>,
    /// The file that should be there in the end, where it is another than `path` (a `.part` or a directory failed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The remote address.
    pub url: Option<String>,
    /// Telegram's handle on the file, valid for the bot that saw it.
    pub file_id: Option<String>,
    /// A path on the Bot API server, from an HTTP line.
    pub file_path: Option<String>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// How long the server asked to wait, in seconds.
    pub retry_after: Option<u64>,
    /// The file as it was when a check proved it bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<Box<Bad>>,
}

impl Facts {
    /// Reads the facts out of a rule's captures; what does not parse is left out.
    #[must_use]
    pub fn from_captures(captures: &Captures) -> Self {
        let text = |name: &str| captures.get(name).filter(|value| !value.is_empty()).cloned();
        let number = |name: &str| captures.get(name).and_then(|value| value.parse().ok());
        Self {
            path: text("path"),
            target: None,
            url: text("url"),
            file_id: text("file_id"),
            file_path: text("file_path"),
            size: number("size"),
            retry_after: number("retry_after"),
            bad: None,
        }
    }

    /// The file that should be there in the end.
    #[must_use]
    pub fn wanted(&self) -> Option<&str> {
        self.target.as_deref().or(self.path.as_deref())
    }

    /// Takes over what `other` knows and this one does not.
    pub fn fill(&mut self, other: &Self) {
        fn take<T: Clone>(mine: &mut Option<T>, other: &Option<T>) {
            if mine.is_none() {
                mine.clone_from(other);
            }
        }
        take(&mut self.path, &other.path);
        take(&mut self.target, &other.target);
        take(&mut self.url, &other.url);
        take(&mut self.file_id, &other.file_id);
        take(&mut self.file_path, &other.file_path);
        take(&mut self.size, &other.size);
        take(&mut self.retry_after, &other.retry_after);
    }
}

/// Events of one rule that are counted but not yet written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fold {
    /// How many wait.
    pub pending: u64,
    /// When the last record of this rule was written (our clock).
    pub written: DateTime<Utc>,
    /// How bad the rule calls it.
    pub severity: Severity,
    /// Where the last waiting event starts.
    pub offset: u64,
    /// Its text.
    pub text: String,
    /// Whether that was cut.
    pub truncated: bool,
    /// Its date on the bot's clock.
    pub at: DateTime<Utc>,
    /// What was read out of it.
    pub captures: Captures,
    /// The file it stood in.
    pub file: Option<String>,
}

/// One fault: a class and a subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its identifier.
    pub id: Id,
    /// What went wrong.
    pub class: Class,
    /// About what.
    pub subject: Subject,
    /// The log source of its first line.
    pub source: String,
    /// The rule that opened it.
    pub rule: String,
    /// The worst severity seen.
    pub severity: Severity,
    /// The download job.
    pub job: Option<Id>,
    /// What is known for a repair.
    pub facts: Facts,
    /// The first line's text.
    pub text: String,
    /// When it was opened (our clock).
    pub opened_at: DateTime<Utc>,
    /// Date of the latest line (the bot's clock).
    pub last_at: DateTime<Utc>,
    /// How many events.
    pub count: u64,
    /// Whether the bot was seen well since the latest line.
    pub alive_since: bool,
    /// How often the same fault came and went just before.
    #[serde(default)]
    pub flaps: u32,
    /// Folded events, by rule.
    pub folds: BTreeMap<String, Fold>,
}

impl Incident {
    /// How far apart, on the bot's clock, two lines may stand and still tell of this one fault.
    #[must_use]
    pub fn reach(&self) -> TimeDelta {
        if self.alive_since { (SAME_FAULT_ALIVE * (1 << self.flaps.min(8))).min(SAME_FAULT) } else { SAME_FAULT }
    }

    /// Counts one more event. `true`: it must be written as a record now; `false`: it is folded.
    pub fn count_event(&mut self, rule: &str, event: Fold, now: DateTime<Utc>) -> Option<Fold> {
        self.count += 1;
        self.last_at = self.last_at.max(event.at);
        self.severity = self.severity.max(event.severity);
        let rule = self.fold_key(rule);
        match self.folds.get_mut(&rule) {
            Some(fold) if !Self::ripe(fold, now) => {
                let pending = fold.pending + 1;
                *fold = Fold { pending, written: fold.written, ..event };
                None
            }
            waiting => {
                let count = waiting.map_or(0, |fold| fold.pending) + 1;
                self.folds.insert(rule, Fold { pending: 0, written: now, ..event.clone() });
                Some(Fold { pending: count, ..event })
            }
        }
    }

    /// The folds whose time has come (all of them when `all`), as records to write.
    pub fn take_ripe(&mut self, now: DateTime<Utc>, all: bool) -> Vec<(String, Fold)> {
        let mut out = Vec::new();
        for (rule, fold) in &mut self.folds {
            if fold.pending > 0 && (all || Self::ripe(fold, now)) {
                out.push((rule.clone(), fold.clone()));
                fold.pending = 0;
                fold.written = now;
            }
        }
        out
    }

    /// When the next fold must be written.
    #[must_use]
    pub fn fold_due(&self) -> Option<DateTime<Utc>> {
        let every = TimeDelta::from_std(FOLD_EVERY).unwrap_or_default();
        self.folds.values().filter(|fold| fold.pending > 0).map(|fold| fold.written + every).min()
    }

    fn ripe(fold: &Fold, now: DateTime<Utc>) -> bool {
        // A clock that went back must not hold records for ever: a negative age is ripe too.
        (now - fold.written).to_std().map_or(true, |age| age >= FOLD_EVERY)
    }

    fn fold_key(&self, rule: &str) -> String {
        if self.folds.contains_key(rule) || self.folds.len() < FOLDS_MAX {
            return rule.to_owned();
        }
        self.folds.keys().next_back().cloned().unwrap_or_else(|| rule.to_owned())
    }
}
