//! Keeps all open cases and turns one input into effects. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Case, Effect, Input, Row, RowKind};
use crate::correlate::{Jobs, Locator};
use crate::decide::{Breaker, Budget, Policy};
use crate::vocab::{Class, Id, Now, OutcomeResult, Rng, Subject};

/// An ended case stays in memory so long, for late lines of the same fault.
const KEEP_ENDED: TimeDelta = TimeDelta::seconds(60);

/// A storm that goes on after logmedic could do nothing is counted in the same case so long; then it is looked at
/// again. The ledger gives back what ended so lately ([`crate::ledger::Ledger::rows`]).
const KEEP_STORM: TimeDelta = TimeDelta::minutes(10);

/// Open cases at most; beyond it faults of a class are counted in one case of their source. Bounds memory in a storm
/// of different names.
pub(super) const OPEN_MAX: usize = 1_000;

/// How many ended cases are kept in memory for late lines; the oldest leave first.
pub(super) const ENDED_MAX: usize = 2_000;

/// Rows of the budget: this and a number.
pub(super) const START: &str = "start:";

/// The row in which older versions kept all of it.
pub(super) const WHOLE_BUDGET: &str = "budget";

/// Whom a task belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Case(Id),
    Job(Id),
    Upstream,
}

/// The engine's whole memory.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) policy: Policy,
    pub(super) rng: Rng,
    pub(super) seq: u64,
    pub(super) cases: BTreeMap<Id, Case>,
    pub(super) by_key: HashMap<(Class, Subject), Id>,
    pub(super) jobs: Jobs,
    pub(super) clocks: super::jobs::Clocks,
    pub(super) locator: Locator,
    pub(super) budget: Budget,
    /// The budget is still stored as one row, as older versions did.
    pub(super) whole_budget: bool,
    pub(super) breaker: Breaker,
    pub(super) upstream: super::upstream::Upstream,
    /// Probes that said they are down.
    pub(super) down: BTreeSet<String>,
    pub(super) tasks: HashMap<Id, Owner>,
    pub(super) wake: BTreeSet<(Duration, Id)>,
    wake_of: HashMap<Id, Duration>,
    /// Each case's date with the monotonic moment it stood for when it was set: a stepped clock moves no wait.
    due_of: HashMap<Id, (DateTime<Utc>, Duration)>,
    pub(super) dirty: Dirty,
    pub(super) now: Now,
}

/// What changed in this step and must be saved at its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Dirty {
    pub(super) cases: BTreeSet<Id>,
    pub(super) jobs: BTreeSet<Id>,
    pub(super) seq: bool,
    pub(super) budget: bool,
    pub(super) breaker: bool,
    pub(super) down: bool,
}

impl State {
    /// An empty memory. `seed` makes identifiers and jitter.
    #[must_use]
    pub fn new(policy: Policy, seed: u64, now: Now) -> Self {
        Self {
            policy,
            rng: Rng::new(seed),
            seq: 0,
            cases: BTreeMap::new(),
            by_key: HashMap::new(),
            jobs: Jobs::default(),
            clocks: super::jobs::Clocks::default(),
            locator: Locator::default(),
            budget: Budget::default(),
            whole_budget: false,
            breaker: Breaker::default(),
            upstream: super::upstream::Upstream::default(),
            down: BTreeSet::new(),
            tasks: HashMap::new(),
            wake: BTreeSet::new(),
            wake_of: HashMap::new(),
            due_of: HashMap::new(),
            dirty: Dirty::default(),
            now,
        }
    }

    /// Takes in one input. The effects must be carried out in order: the durable ones in one transaction first.
    pub fn step(&mut self, input: Input, now: Now) -> Vec<Effect> {
        let mut out = self.take_in(input, now);
        self.save(&mut out);
        out
    }

    /// The same without the rows of what changed: those of several inputs are the matter of one [`State::save`], which must follow.
    pub fn take_in(&mut self, input: Input, now: Now) -> Vec<Effect> {
        self.now = now;
        let mut out = Vec::new();
        match input {
            Input::Observed { source, file, items } => self.observed(&source, file.as_deref(), items, &mut out),
            Input::Finished { task, output } => self.finished(task, output, &mut out),
            Input::Bot(event) => self.bot(&event, &mut out),
            Input::Probe(news) => self.probed(&news, &mut out),
            Input::Deadline => {}
            Input::Policy(policy) => self.policy = *policy,
            Input::Grew(seen) => self.grew(seen, &mut out),
            Input::Order { ticket, order, row } => self.ordered(ticket, order, row.as_ref(), &mut out),
        }
        self.run_due(&mut out);
        out
    }

    /// The next moment at which [`Input::Deadline`] is wanted, on the monotonic clock.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.wake.first().map(|(at, _)| *at).into_iter().chain(self.upstream.due).chain(self.clocks.due).min()
    }

    /// The open and lately ended cases, oldest first.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.values()
    }

    /// One incident.
    #[must_use]
    pub fn case(&self, id: Id) -> Option<&Case> {
        self.cases.get(&id)
    }

    /// The download jobs.
    #[must_use]
    pub const fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Number of the last record.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) fn new_id(&mut self) -> Id {
        Id::new(self.now.wall, &mut self.rng)
    }

    fn run_due(&mut self, out: &mut Vec<Effect>) {
        if self.upstream.due.is_some_and(|due| due <= self.now.mono) {
            self.upstream.due = None;
            self.probe_upstream(out);
        }
        if self.clocks.due.is_some_and(|due| due <= self.now.mono) {
            self.find_stalls(out);
        }
        // Waking a case may make another one due at once; each is run once a step, the rest follow with the next.
        let due: Vec<Id> = self.wake.range(..=(self.now.mono, Id::MAX)).map(|(_, id)| *id).collect();
        for id in due {
            self.set_wake(id, None);
            self.case_due(id, out);
            self.plan_wake(id);
        }
    }

    /// Works out anew when a case must be woken: its own date, a fold to write, or its time to leave memory.
    pub(super) fn plan_wake(&mut self, id: Id) {
        let Some(case) = self.cases.get(&id) else { return self.set_wake(id, None) };
        let due = case.due.map(|due| match self.due_of.get(&id) {
            Some((known, mono)) if *known == due => (due, *mono),
            _ => (due, self.now.mono_at(due)),
        });
        let others = [case.incident.fold_due(), leaves_at(case, self.now.wall)];
        let others = others.into_iter().flatten().map(|wall| self.now.mono_at(wall));
        let next = due.map(|(_, mono)| mono).into_iter().chain(others).min();
        match due {
            Some(due) => self.due_of.insert(id, due),
            None => self.due_of.remove(&id),
        };
        self.set_wake(id, next);
    }

    /// Whether the case's date has come, on either clock.
    pub(super) fn is_due(&self, case: &Case) -> bool {
        let Some(due) = case.due else { return false };
        let waited = |(known, mono): &(DateTime<Utc>, Duration)| *known == due && *mono <= self.now.mono;
        due <= self.now.wall || self.due_of.get(&case.incident.id).is_some_and(waited)
    }

    fn set_wake(&mut self, id: Id, at: Option<Duration>) {
        if let Some(old) = self.wake_of.remove(&id) {
            self.wake.remove(&(old, id));
        }
        if let Some(at) = at {
            self.wake.insert((at, id));
            self.wake_of.insert(id, at);
        }
    }

    /// Writes what is counted and not yet written: nobody knows when the next start will be.
    pub fn last_words(&mut self, now: Now) -> Vec<Effect> {
        self.now = now;
        let mut out = Vec::new();
        let ids: Vec<Id> = self.cases.keys().copied().collect();
        for id in ids {
            self.write_folds(id, true, &mut out);
        }
        self.save_jobs();
        self.save(&mut out);
        out
    }

    /// Lets go of a case that has been over for a while.
    pub(super) fn drop_case(&mut self, id: Id) {
        if let Some(case) = self.cases.remove(&id) {
            let key = (case.incident.class, case.incident.subject);
            if self.by_key.get(&key) == Some(&id) {
                self.by_key.remove(&key);
            }
        }
        self.due_of.remove(&id);
        self.set_wake(id, None);
    }

    /// Adds the rows of what changed since the last time.
    pub fn save(&mut self, out: &mut Vec<Effect>) {
        for (id, other) in self.jobs.take_joined() {
            self.clocks.forget(id);
            out.push(Effect::Forget { kind: RowKind::Job, id: id.to_string() });
            for case in self.cases.values_mut().filter(|case| case.incident.job == Some(id)) {
                case.incident.job = Some(other);
                self.dirty.cases.insert(case.incident.id);
            }
        }
        let dirty = std::mem::take(&mut self.dirty);
        if dirty.budget {
            for (number, start) in self.budget.changes() {
                let id = format!("{START}{number}");
                match start.map(serde_json::to_string) {
                    Some(Ok(json)) => out.push(Effect::Save(Row { kind: RowKind::Engine, id, json })),
                    Some(Err(_)) => {}
                    None => out.push(Effect::Forget { kind: RowKind::Engine, id }),
                }
            }
            if std::mem::take(&mut self.whole_budget) {
                out.push(Effect::Forget { kind: RowKind::Engine, id: WHOLE_BUDGET.into() });
            }
        }
        let mut save = |kind, id: String, json: serde_json::Result<String>| {
            // These types are plain names and values: they always serialize.
            if let Ok(json) = json {
                out.push(Effect::Save(Row { kind, id, json }));
            }
        };
        for id in &dirty.cases {
            if let Some(case) = self.cases.get(id) {
                save(RowKind::Incident, id.to_string(), serde_json::to_string(case));
            }
        }
        for id in &dirty.jobs {
            if let Some(job) = self.jobs.get(*id) {
                self.clocks.saved(job, self.now.mono);
                save(RowKind::Job, id.to_string(), serde_json::to_string(job));
            }
        }
        if dirty.seq {
            save(RowKind::Engine, "seq".into(), serde_json::to_string(&self.seq));
        }
        if dirty.breaker {
            save(RowKind::Engine, "breaker".into(), serde_json::to_string(&self.breaker));
        }
        if dirty.down {
            save(RowKind::Engine, "down".into(), serde_json::to_string(&self.down));
        }
        for id in dirty.cases {
            self.plan_wake(id);
        }
        // They stay in the ledger, which has its own limits.
        for id in self.jobs.prune() {
            self.clocks.forget(id);
        }
    }
}

/// When an ended case leaves memory. While its storm goes on it stays, else each minute of it would be a new incident
/// with a new alert; only what was well, or could not be seen, is soon looked at again.
pub(super) fn leaves_at(case: &Case, wall: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let ended = case.ended_at?;
    let looked_well =
        matches!(case.result, Some(OutcomeResult::Healed | OutcomeResult::Recovered | OutcomeResult::NotConfirmed));
    if looked_well {
        return Some(ended + KEEP_ENDED);
    }
    let last = ended.max(case.incident.last_at.min(wall));
    Some((last + KEEP_ENDED).min(ended + KEEP_STORM))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Hit;
    use crate::correlate::{Item, Meaning};
    use crate::decide::{Answer, Finding, TaskOutput, Work};
    use crate::vocab::{Body, Severity};

    /// A download of which the bot says that it timed out.
    fn timed_out(at: DateTime<Utc>) -> Input {
        let captures = BTreeMap::from([("path".into(), "/m/a.mp4".into()), ("file_id".into(), "BAAC".into())]);
        let hit = Hit { rule: "a.b".into(), class: Class::Timeout, severity: Severity::Error, captures };
        let text = "timed out".to_owned();
        let item = Item { offset: 0, text, truncated: false, at, dated: true, meaning: Meaning::Failure(hit) };
        Input::Observed { source: "bot".into(), file: None, items: vec![item] }
    }

    fn missing() -> TaskOutput {
        let (detail, evidence) = ("missing".to_owned(), serde_json::Map::new());
        TaskOutput::Seen(Answer { finding: Finding::Fault, detail, evidence })
    }

    #[test]
    fn a8_a_clock_that_is_set_back_prolongs_no_wait() {
        let mut now = Now { mono: Duration::ZERO, wall: DateTime::from_timestamp(1_795_000_000, 0).unwrap() };
        let mut state = State::new(Policy::default(), 1, now);
        let asked = |effects: Vec<Effect>| {
            let task = |effect| if let Effect::Start(task) = effect { Some(task.id) } else { None };
            effects.into_iter().find_map(task)
        };
        let task = asked(state.step(timed_out(now.wall), now)).unwrap();
        assert_eq!(
            asked(state.step(Input::Finished { task, output: missing() }, now)),
            None,
            "it waits before the attempt"
        );
        let due = state.deadline().unwrap();
        assert!(due <= Duration::from_millis(1_100), "{due:?}");
        now = Now { mono: due, wall: now.wall - TimeDelta::hours(5) };
        assert!(asked(state.step(Input::Deadline, now)).is_some(), "and goes on after a second, whatever the date");
    }

    #[test]
    fn a8_without_a_wait_a_download_is_repeated_at_once_and_later_attempts_look_first() {
        let now = Now { mono: Duration::ZERO, wall: DateTime::from_timestamp(1_795_000_000, 0).unwrap() };
        let state = |base| {
            let mut policy = Policy::default();
            (policy.retry.base, policy.retry.attempts) = (base, 2);
            State::new(policy, 1, now)
        };
        let asked = |effects: Vec<Effect>| {
            let task = |effect| if let Effect::Start(task) = effect { Some((task.id, task.work)) } else { None };
            effects.into_iter().find_map(task)
        };
        // A wait of a millisecond cannot be kept.
        for (base, at_once) in [(Duration::from_millis(1), true), (Duration::from_millis(5), false)] {
            let mut state = state(base);
            let (task, _) = asked(state.step(timed_out(now.wall), now)).unwrap();
            let acts = asked(state.step(Input::Finished { task, output: missing() }, now)).is_some();
            assert_eq!(acts, at_once, "{base:?}");
        }
        let mut state = state(Duration::ZERO);
        let (task, look) = asked(state.step(timed_out(now.wall), now)).unwrap();
        assert!(matches!(look, Work::Look(_)), "{look:?}");
        let (task, act) = asked(state.step(Input::Finished { task, output: missing() }, now)).unwrap();
        assert!(matches!(act, Work::Act(_)), "{act:?}");
        let (detail, evidence) = ("reset".to_owned(), serde_json::Map::new());
        let failed = TaskOutput::Transient { detail, evidence, retry_after: None, server: None };
        assert_eq!(asked(state.step(Input::Finished { task, output: failed }, now)), None);
        let (task, look) = asked(state.step(Input::Deadline, now)).unwrap();
        assert!(matches!(look, Work::Look(_)), "the bot may have saved it meanwhile: {look:?}");
        let (_, act) = asked(state.step(Input::Finished { task, output: missing() }, now)).unwrap();
        assert!(matches!(act, Work::Act(_)), "{act:?}");
    }

    #[test]
    fn a5_what_a_server_asked_of_one_chat_holds_no_other_repair_back() {
        let now = Now { mono: Duration::ZERO, wall: DateTime::from_timestamp(1_795_000_000, 0).unwrap() };
        let mut state = State::new(Policy::default(), 1, now);
        let item = |class, captures: &[(&str, &str)]| {
            let captures = captures.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            let hit = Hit { rule: "a.b".into(), class, severity: Severity::Error, captures };
            let (text, at) = ("x".to_owned(), now.wall);
            Item { offset: 0, text, truncated: false, at, dated: true, meaning: Meaning::Failure(hit) }
        };
        let items = vec![
            item(Class::Timeout, &[("path", "/m/a.mp4"), ("file_id", "BAAC")]),
            item(Class::RateLimited, &[("retry_after", "19")]),
        ];
        let heard = Input::Observed { source: "bot".into(), file: None, items };
        let asked = |effect| if let Effect::Start(task) = effect { Some(task.id) } else { None };
        let task = state.step(heard, now).into_iter().find_map(asked).unwrap();
        assert_eq!(state.cases().count(), 1, "the second line is an echo of the first");
        let _ = state.step(Input::Finished { task, output: missing() }, now);
        let waits = |case: &Case| case.due.map(|due| due - now.wall);
        assert!(state.cases().all(|case| waits(case).is_some_and(|wait| wait < TimeDelta::seconds(2))));
    }

    #[test]
    fn a7_a_storm_of_minutes_is_one_incident_and_is_looked_at_again_after_ten() {
        let mut now = Now { mono: Duration::ZERO, wall: DateTime::from_timestamp(1_795_000_000, 0).unwrap() };
        let mut state = State::new(Policy::default(), 1, now);
        let (mut opened, mut told, mut counted) = (BTreeSet::new(), 0, 0);
        for second in 0..19 * 60 {
            let hit =
                Hit { rule: "a.b".into(), class: Class::Auth, severity: Severity::Error, captures: BTreeMap::new() };
            let (text, at) = ("denied".to_owned(), now.wall);
            let item = Item { offset: second, text, truncated: false, at, dated: true, meaning: Meaning::Failure(hit) };
            let heard = Input::Observed { source: "bot".into(), file: None, items: vec![item] };
            for effect in state.step(heard, now).into_iter().chain(state.last_words(now)) {
                match effect {
                    Effect::Record(record) => {
                        opened.insert(record.incident);
                        counted += if let Body::Error { count, .. } = record.body { count } else { 0 };
                    }
                    Effect::Notify(_) => told += 1,
                    _ => {}
                }
            }
            now = Now { mono: now.mono + Duration::from_secs(1), wall: now.wall + TimeDelta::seconds(1) };
        }
        assert_eq!((opened.len(), told, counted), (2, 2, 19 * 60));
    }
}
