//! Takes in what logs say: counts it into incidents, follows jobs, opens cases. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::state::{ENDED_MAX, OPEN_MAX, State};
use super::{Case, Effect, Phase};
use crate::classify::{Hit, Signal, SignalKind};
use crate::correlate::{FLAPPING, Fold, Incident, Item, JobState, Located, Meaning};
use crate::decide::plan;
use crate::vocab::{Class, Evidence, Id, Mode, OutcomeResult, Subject, SubjectKind};

/// Further lines of a job that failed this short ago belong to the same failure, whatever their class.
const SAME_JOB: TimeDelta = TimeDelta::seconds(2);

/// After an incident that the system did not show, a line that comes later than this is looked at again.
const NOT_SEEN: TimeDelta = TimeDelta::seconds(5);

impl State {
    pub(super) fn observed(&mut self, source: &str, file: Option<&str>, items: Vec<Item>, out: &mut Vec<Effect>) {
        for item in items {
            match &item.meaning {
                Meaning::Failure(hit) => self.failure(source, file, &item, hit, out),
                Meaning::Job(signal) => self.signal(source, signal, &item, out),
            }
        }
    }

    fn failure(&mut self, source: &str, file: Option<&str>, item: &Item, hit: &Hit, out: &mut Vec<Effect>) {
        let located = self.locator.locate(source, hit, item, &self.jobs, &self.policy.bot_api);
        let id = match self.same_fault(source, hit.class, &located, item.at, out) {
            Some(id) => id,
            None => self.open(source, item, hit, located.clone()),
        };
        self.locator.remember(source, hit.class, item.at, id, &located);
        if let Some(job) = located.job {
            self.jobs.fail(job, item.at);
            self.dirty.jobs.insert(job);
        }
        let Some(case) = self.cases.get_mut(&id) else { return };
        // One that a person asked for has no line yet, and is being worked on (or over) all the same.
        let first = case.incident.count == 0 && case.is_untouched();
        let event = Fold {
            pending: 0,
            written: self.now.wall,
            severity: hit.severity,
            offset: item.offset,
            text: item.text.clone(),
            truncated: item.truncated,
            at: item.at,
            captures: hit.captures.clone(),
            file: file.map(str::to_owned),
        };
        let write = case.incident.count_event(&hit.rule, event, self.now.wall);
        case.incident.alive_since = false;
        if !first {
            let mut facts = located.facts;
            // How long a server asked one call to wait holds nothing else back: a repair that asks too soon is told by the
            // server itself.
            if located.echo_of.is_some() && case.incident.class != hit.class {
                facts.retry_after = None;
            }
            case.incident.facts.fill(&facts);
        }
        self.dirty.cases.insert(id);
        if let Some(fold) = write {
            self.record_event(id, source, &hit.rule, fold, out);
        }
        if first {
            self.begin(id, out);
        }
    }

    /// The case that this line belongs to, if its fault is known already.
    fn same_fault(
        &mut self,
        source: &str,
        class: Class,
        located: &Located,
        at: DateTime<Utc>,
        out: &mut Vec<Effect>,
    ) -> Option<Id> {
        if let Some(id) = located.echo_of.filter(|id| self.cases.contains_key(id)) {
            return Some(id);
        }
        let key = (class, located.subject.clone());
        if let Some(case) = self.by_key.get(&key).and_then(|id| self.cases.get(id)) {
            let id = case.incident.id;
            let gap = at - case.incident.last_at;
            if !case.ended() {
                if case.incident.alive_since && gap > case.incident.reach() {
                    let detail = "the bot worked again by itself".to_owned();
                    self.end(id, OutcomeResult::Recovered, detail, None, out);
                    return None;
                }
                return Some(id);
            }
            let late = match (case.result, case.ended_at) {
                // After a proven repair only what was written before it is the old fault.
                (Some(OutcomeResult::Healed), Some(ended)) => at <= ended,
                (Some(OutcomeResult::NotConfirmed | OutcomeResult::Recovered), _) => {
                    gap <= NOT_SEEN.min(case.incident.reach())
                }
                _ => gap <= case.incident.reach(),
            };
            return late.then_some(id);
        }
        let job = located.job?;
        self.cases
            .values()
            .rev()
            .find(|case| {
                case.incident.job == Some(job)
                    && case.incident.source == source
                    && (at - case.incident.last_at).abs() <= SAME_JOB
                    && (is_healable(case.incident.class) || !is_healable(class))
            })
            .map(|case| case.incident.id)
    }

    fn open(&mut self, source: &str, item: &Item, hit: &Hit, located: Located) -> Id {
        let mut subject = located.subject;
        if self.is_full() {
            subject = Subject { kind: SubjectKind::Source, value: source.to_owned() };
            if let Some(id) = self.by_key.get(&(hit.class, subject.clone())) {
                return *id;
            }
        }
        let id = self.new_id();
        let incident = Incident {
            id,
            class: hit.class,
            subject: subject.clone(),
            source: source.to_owned(),
            rule: hit.rule.clone(),
            severity: hit.severity,
            job: located.job,
            facts: located.facts,
            text: item.text.clone(),
            opened_at: self.now.wall,
            last_at: item.at,
            count: 0,
            alive_since: false,
            flaps: self.flaps(&(hit.class, subject.clone()), item.at),
            folds: std::collections::BTreeMap::new(),
        };
        let steps = plan(incident.class, &incident.subject, &incident.facts, &self.policy);
        let mode = self.policy.modes.of(hit.class, &hit.rule);
        let mut case = Case::new(incident, mode, steps);
        case.carry = self.carry(&(hit.class, subject.clone()));
        self.cases.insert(id, case);
        self.by_key.insert((hit.class, subject), id);
        self.forget_oldest_ended();
        id
    }

    /// Whether no further case may be opened.
    pub(super) fn is_full(&self) -> bool {
        // Counted only where there may be so many: it is asked for every new fault.
        self.cases.len() >= OPEN_MAX && self.cases.values().filter(|case| !case.ended()).count() >= OPEN_MAX
    }

    /// How often the same fault came and went just before.
    fn flaps(&self, key: &(Class, Subject), at: DateTime<Utc>) -> u32 {
        let last = self.by_key.get(key).and_then(|id| self.cases.get(id));
        last.filter(|case| at - case.incident.last_at <= FLAPPING).map_or(0, |case| case.incident.flaps + 1)
    }

    /// How many attempts the subject's last incident used up, when it ended only just now.
    fn carry(&self, key: &(Class, Subject)) -> u32 {
        let last = self.by_key.get(key).and_then(|id| self.cases.get(id));
        let Some((case, ended)) = last.and_then(|case| Some((case, case.ended_at?))) else { return 0 };
        let well_for = (self.now.wall - ended).to_std().unwrap_or_default();
        if well_for >= self.policy.retry.reset_after { 0 } else { case.carry + case.attempt.max(1) }
    }

    pub(super) fn forget_oldest_ended(&mut self) {
        if self.cases.len() < OPEN_MAX + ENDED_MAX {
            return;
        }
        let oldest = self.cases.values().find(|case| case.ended() && case.incident.fold_due().is_none());
        if let Some(id) = oldest.map(|case| case.incident.id) {
            self.drop_case(id);
        }
    }

    /// Starts to work on a new case.
    pub(super) fn begin(&mut self, id: Id, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get(&id) else { return };
        if case.mode == Mode::Off {
            let detail = format!("the mode of {} is off", case.incident.class);
            return self.end(id, OutcomeResult::Refused, detail, None, out);
        }
        if case.steps.is_empty() {
            let detail = self.nothing_to_do(id);
            return self.end(id, OutcomeResult::AlertOnly, detail, None, out);
        }
        self.look(id, out);
    }

    fn signal(&mut self, source: &str, signal: &Signal, item: &Item, out: &mut Vec<Effect>) {
        if signal.means == SignalKind::Alive {
            return self.alive(source);
        }
        let (wall, rng) = (self.now.wall, &mut self.rng);
        let Some(id) = self.jobs.hear(source, signal, item.at, || Id::new(wall, rng)) else { return };
        if signal.means == SignalKind::Failed {
            self.said_failed(id, &item.text);
        }
        self.note_job(id, out);
        if signal.means != SignalKind::Progress {
            self.dirty.jobs.insert(id);
        }
        if self.jobs.get(id).is_some_and(|job| job.state == JobState::Completed) {
            self.bot_says_saved(id, out);
        }
    }

    /// The bot talks to its server again: ask the server now, not when the next probe is due.
    fn alive(&mut self, source: &str) {
        for case in self.cases.values_mut() {
            let incident = &mut case.incident;
            if incident.source != source || incident.subject.kind != SubjectKind::Server || incident.alive_since {
                continue;
            }
            incident.alive_since = true;
            if matches!(&case.phase, Phase::Held { on } if on.starts_with("server ")) {
                case.due = Some(self.now.wall);
            }
            self.dirty.cases.insert(case.incident.id);
        }
    }

    /// The bot says the file is saved: look at the file itself, now.
    fn bot_says_saved(&mut self, job: Id, out: &mut Vec<Effect>) {
        let waiting =
            |case: &&Case| case.incident.job == Some(job) && matches!(case.phase, Phase::Waiting | Phase::Held { .. });
        let ids: Vec<Id> = self.cases.values().filter(waiting).map(|case| case.incident.id).collect();
        for id in ids {
            self.record_finished(id, true, "the bot says that the file is saved", &Evidence::new(), out);
            let Some(case) = self.cases.get_mut(&id) else { continue };
            let last = case.steps.len().saturating_sub(1);
            if case.at != last {
                (case.at, case.attempt, case.probes) = (last, 0, 0);
            }
            (case.phase, case.due) = (Phase::Waiting, Some(self.now.wall));
            self.dirty.cases.insert(id);
        }
    }
}

/// Whether logmedic can do something about this class.
const fn is_healable(class: Class) -> bool {
    !matches!(class, Class::Auth | Class::TooLarge | Class::NotFound | Class::Conflict | Class::Crash)
}
