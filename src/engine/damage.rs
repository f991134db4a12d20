//! Turns a file that an integrity check proved bad into an incident, as a line of the log would. Pure.
//!
//! The file is looked at again before anything is done. It is moved aside only when it can be fetched again, or when the
//! configuration says so: a damaged film may be all that its owner has.

use std::collections::BTreeMap;

use super::order::OrderError;
use super::state::State;
use super::{Case, Effect};
use crate::correlate::{Facts, Fold, Incident, Job};
use crate::decide::{Answer, Step, plan};
use crate::vocab::{
    Captures, Class, Damage, INTEGRITY_RULE, Id, OutcomeResult, Severity, Subject, SubjectKind, redact,
};

/// Name of the source of such incidents.
const SOURCE: &str = "integrity";

/// What would let a file be moved aside that cannot be fetched again.
const REMEDY: &str = "fetch it again by hand, or set `without_source = \"quarantine\"` in [corrupt]";

impl State {
    /// Opens the incident, or finds the one that is open already. Returns it.
    pub(super) fn damaged(&mut self, news: Damage, out: &mut Vec<Effect>) -> Result<Id, OrderError> {
        let subject = Subject { kind: SubjectKind::File, value: news.path.clone() };
        let known = self.by_key.get(&(Class::Corrupt, subject.clone())).and_then(|id| self.cases.get(id));
        // One that ended without a repair tells of the same file still: nobody wrote to it since.
        let same = known.filter(|case| {
            let left = !matches!(case.result, Some(OutcomeResult::Healed | OutcomeResult::NotConfirmed));
            !case.ended() || (left && case.incident.facts.bad.as_deref() == Some(&news.bad))
        });
        let known = same.map(|case| case.incident.id);
        if known.is_none() && self.is_full() {
            return Err(OrderError::Conflict("too many incidents are open".into()));
        }
        let busy = |job: &&Job| job.facts.wanted() == Some(news.path.as_str()) && job.state.is_active();
        if self.jobs.iter().filter(busy).any(|job| job.stalled_since.is_none()) {
            return Err(OrderError::Conflict("its download is under way".into()));
        }
        let rule = format!("{INTEGRITY_RULE}{}", news.level);
        let text = redact(&news.bad.why).into_owned();
        let id = known.unwrap_or_else(|| self.open_damage(&news, subject, &rule, &text));
        let captures: Captures = [("path".to_owned(), news.path.clone())].into();
        let event = Fold {
            pending: 0,
            written: self.now.wall,
            severity: Severity::Error,
            offset: 0,
            text,
            truncated: false,
            at: self.now.wall,
            captures,
            file: None,
        };
        let Some(case) = self.cases.get_mut(&id) else { return Err(OrderError::Missing(format!("incident {id}"))) };
        let write = case.incident.count_event(&rule, event, self.now.wall);
        if !case.ended() {
            // What was found last is what is looked for: the file may have been written to since the first time.
            case.incident.facts.bad = Some(Box::new(news.bad));
        }
        self.dirty.cases.insert(id);
        if let Some(fold) = write {
            self.record_event(id, SOURCE, &rule, fold, out);
        }
        if known.is_none() {
            self.begin(id, out);
        }
        Ok(id)
    }

    fn open_damage(&mut self, news: &Damage, subject: Subject, rule: &str, text: &str) -> Id {
        let id = self.new_id();
        let of_path = |job: &&Job| job.facts.wanted() == Some(news.path.as_str());
        let job = news.job.and_then(|id| self.jobs.get(id)).or_else(|| self.jobs.iter().filter(of_path).last());
        let mut facts =
            Facts { path: Some(news.path.clone()), bad: Some(Box::new(news.bad.clone())), ..Facts::default() };
        if let Some(job) = job {
            facts.fill(&job.facts);
            // Where the bot wrote it first does not matter any more: it is wanted where it stands.
            facts.target = None;
        }
        let incident = Incident {
            id,
            class: Class::Corrupt,
            subject: subject.clone(),
            source: SOURCE.to_owned(),
            rule: rule.to_owned(),
            severity: Severity::Error,
            job: job.map(|job| job.id),
            facts,
            text: text.to_owned(),
            opened_at: self.now.wall,
            last_at: self.now.wall,
            count: 0,
            alive_since: false,
            flaps: 0,
            folds: BTreeMap::new(),
        };
        let steps = plan(incident.class, &incident.subject, &incident.facts, &self.policy);
        let mode = self.policy.modes.of(Class::Corrupt, rule);
        let mut case = Case::new(incident, mode, steps);
        case.before.insert(SOURCE.into(), news.evidence.clone().into());
        self.cases.insert(id, case);
        self.by_key.insert((Class::Corrupt, subject), id);
        self.forget_oldest_ended();
        id
    }

    /// Whether the file of this case is left where it is, though it is bad: it cannot be fetched again. Ends the case then.
    pub(super) fn leaves_alone(&mut self, id: Id, step: &Step, answer: &Answer, out: &mut Vec<Effect>) -> bool {
        let Some(case) = self.cases.get_mut(&id) else { return false };
        let fetched = case.steps.iter().any(Step::fetches);
        if self.policy.quarantine_unknown || fetched || case.incident.facts.bad.is_none() {
            return false;
        }
        case.confirmed = true;
        case.before.entry(step.strategy().as_str()).or_insert_with(|| answer.evidence.clone().into());
        let detail = format!("{}; where it came from is not known, so it is left where it is", answer.detail);
        self.end(id, OutcomeResult::AlertOnly, detail, Some(REMEDY.to_owned()), out);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::classify::{Signal, SignalKind};
    use crate::decide::{Finding, Policy, Question, Repair, TaskOutput, Work};
    use crate::engine::Input;
    use crate::engine::order::{NewJob, Order};
    use crate::vocab::{Bad, Body, Evidence, Mode, Now};

    fn now(second: u64) -> Now {
        let wall = DateTime::from_timestamp(1_795_000_000, 0).unwrap() + TimeDelta::seconds(second.cast_signed());
        Now { mono: Duration::from_secs(second), wall }
    }

    fn damage() -> Damage {
        Damage {
            path: "/m/a.mp4".into(),
            bad: Bad { dev: 1, ino: 2, size: 3, modified: 4, why: "ffmpeg cannot decode it".into() },
            job: None,
            level: "decode".into(),
            evidence: Evidence::new(),
        }
    }

    fn tell(state: &mut State, second: u64) -> Vec<Effect> {
        state.step(Input::Order { ticket: 1, order: Order::Damaged(Box::new(damage())), row: None }, now(second))
    }

    fn works(effects: &[Effect]) -> Vec<(Id, Work)> {
        let work = |effect: &Effect| match effect {
            Effect::Start(task) => Some((task.id, task.work.clone())),
            _ => None,
        };
        effects.iter().filter_map(work).collect()
    }

    fn fault() -> TaskOutput {
        TaskOutput::Seen(Answer {
            finding: Finding::Fault,
            detail: "a.mp4 is broken".into(),
            evidence: Evidence::new(),
        })
    }

    fn outcome(effects: &[Effect]) -> Option<(OutcomeResult, String)> {
        effects.iter().find_map(|effect| match effect {
            Effect::Record(record) => match &record.body {
                Body::Outcome { result, detail, .. } => Some((*result, detail.clone())),
                _ => None,
            },
            _ => None,
        })
    }

    fn policy(mode: Mode) -> Policy {
        let mut policy = Policy::default();
        policy.modes.default = mode;
        policy
    }

    #[test]
    fn c7_a_damaged_file_of_a_known_download_is_moved_aside_and_fetched_again() {
        let mut state = State::new(policy(Mode::Auto), 1, now(0));
        let job = NewJob { path: Some("/m/a.mp4".into()), file_id: Some("BAAC".into()), ..NewJob::default() };
        let _ = state.step(Input::Order { ticket: 1, order: Order::RegisterJob(Box::new(job)), row: None }, now(1));
        assert!(works(&tell(&mut state, 1)).is_empty(), "its download is under way");
        let captures = [("path".to_owned(), "/m/a.mp4".to_owned())].into();
        let saved = Signal { rule: "a.b".into(), means: SignalKind::Completed, captures };
        state.jobs.hear("api", &saved, now(1).wall, || Id::MAX);
        let looks = works(&tell(&mut state, 2));
        let [(task, Work::Look(Question::Integrity { path, expect }))] = &looks[..] else { panic!("{looks:?}") };
        assert_eq!((path.as_str(), expect.bad.as_ref().map(|bad| bad.ino)), ("/m/a.mp4", Some(2)));
        let acts = works(&state.step(Input::Finished { task: *task, output: fault() }, now(3)));
        assert!(matches!(&acts[..], [(_, Work::Act(Repair::Quarantine { .. }))]), "{acts:?}");
        let case = state.cases().next().unwrap();
        assert!(case.steps.iter().any(Step::fetches) && case.incident.job.is_some());
        // Found again meanwhile: the same incident.
        let again = tell(&mut state, 4);
        assert!(works(&again).is_empty() && state.cases().count() == 1);
    }

    #[test]
    fn c7_a_file_of_which_no_source_is_known_is_left_where_it_is() {
        for mode in [Mode::Auto, Mode::Approve, Mode::Observe] {
            let mut state = State::new(policy(mode), 1, now(0));
            let task = works(&tell(&mut state, 1))[0].0;
            let seen = state.step(Input::Finished { task, output: fault() }, now(2));
            let (result, detail) = outcome(&seen).unwrap();
            assert_eq!(result, OutcomeResult::AlertOnly, "{mode:?}");
            assert!(detail.contains("where it came from is not known"), "{detail}");
            assert!(works(&seen).is_empty(), "nothing is moved");
            // The next round finds it again, and nobody is told twice.
            assert!(outcome(&tell(&mut state, 3)).is_none() && state.cases().count() == 1);
        }
        let mut state = State::new(Policy { quarantine_unknown: true, ..policy(Mode::Auto) }, 1, now(0));
        let task = works(&tell(&mut state, 1))[0].0;
        let acts = works(&state.step(Input::Finished { task, output: fault() }, now(2)));
        assert!(matches!(&acts[..], [(_, Work::Act(Repair::Quarantine { .. }))]), "{acts:?}");
    }

    #[test]
    fn c7_the_mode_says_how_far_a_check_may_go() {
        let mut state = State::new(policy(Mode::Off), 1, now(0));
        let off = tell(&mut state, 1);
        assert!(works(&off).is_empty());
        assert_eq!(outcome(&off).unwrap().0, OutcomeResult::Refused);
        let by = BTreeMap::from([("integrity.decode".to_owned(), Mode::Off)]);
        let mut state = State::new(policy(Mode::Auto), 1, now(0));
        state.policy.modes.by = by;
        assert_eq!(outcome(&tell(&mut state, 1)).unwrap().0, OutcomeResult::Refused, "by the rule of its level");
    }
}
