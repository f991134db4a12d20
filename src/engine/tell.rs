//! Writes records and notices: nothing is done that is not written down. Pure.

use chrono::TimeDelta;

use super::case::Action;
use super::state::State;
use super::{Case, Effect, Phase};
use crate::correlate::{Fold, JobState};
use crate::decide::Step;
use crate::vocab::{
    Body, Class, Evidence, Id, Notice, OutcomeResult, PROBE_RULE, Phase as ActionPhase, Record, SCHEMA, Severity,
    Stage, StepTold, Story, Strategy, redact,
};

/// How many steps a notice tells of; older ones are dropped from it, not from the records.
const TOLD_MAX: usize = 12;

impl State {
    pub(super) fn record(
        &mut self,
        id: Id,
        at: Option<chrono::DateTime<chrono::Utc>>,
        body: Body,
        out: &mut Vec<Effect>,
    ) {
        let record = self.new_id();
        let Some(case) = self.cases.get(&id) else { return };
        self.seq += 1;
        self.dirty.seq = true;
        out.push(Effect::Record(Box::new(Record {
            schema: SCHEMA.into(),
            id: record,
            seq: self.seq,
            at: at.unwrap_or(self.now.wall),
            observed_at: self.now.wall,
            incident: id,
            class: case.incident.class,
            subject: case.incident.subject.clone(),
            job: case.incident.job,
            body,
        })));
    }

    pub(super) fn record_event(&mut self, id: Id, source: &str, rule: &str, fold: Fold, out: &mut Vec<Effect>) {
        let body = Body::Error {
            severity: fold.severity,
            rule: rule.to_owned(),
            source: source.to_owned(),
            file: fold.file,
            offset: fold.offset,
            text: fold.text,
            count: fold.pending,
            captures: fold.captures,
            truncated: fold.truncated,
        };
        self.record(id, Some(fold.at), body, out);
    }

    pub(super) fn write_ripe_folds(&mut self, id: Id, out: &mut Vec<Effect>) {
        self.write_folds(id, false, out);
    }

    pub(super) fn write_folds(&mut self, id: Id, all: bool, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let source = case.incident.source.clone();
        for (rule, fold) in case.incident.take_ripe(self.now.wall, all) {
            self.dirty.cases.insert(id);
            self.record_event(id, &source, &rule, fold, out);
        }
    }

    /// Writes down that the step's next attempt is about to start.
    pub(super) fn record_started(&mut self, id: Id, out: &mut Vec<Effect>) {
        let attempts = self.policy.retry.attempts.max(1);
        let Some(case) = self.cases.get_mut(&id) else { return };
        let Some(step) = case.step() else { return };
        let (strategy, waits) = (step.strategy(), matches!(step, Step::Await { .. }));
        case.attempt += u32::from(!waits);
        let (attempt, attempts) = if waits { (1, 1) } else { (case.attempt, attempts.max(case.attempt)) };
        self.record_action(id, strategy, attempt, attempts, out);
    }

    /// Writes down that an action is about to start.
    pub(super) fn record_action(
        &mut self,
        id: Id,
        strategy: Strategy,
        attempt: u32,
        attempts: u32,
        out: &mut Vec<Effect>,
    ) {
        let action = self.new_id();
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.action = Some(Action { id: action, strategy, attempt, attempts });
        if case.told.len() == TOLD_MAX {
            case.told.remove(0);
        }
        case.told.push(StepTold { strategy, attempt, attempts, ok: None, detail: String::new() });
        self.dirty.cases.insert(id);
        let body = Body::Action {
            phase: ActionPhase::Started,
            action,
            strategy,
            attempt,
            attempts,
            delay_ms: case.waited_ms,
            ok: None,
            detail: redact(&case.detail).into_owned(),
            evidence: case.before.clone(),
        };
        self.record(id, None, body, out);
    }

    /// Writes down how the attempt ended.
    pub(super) fn record_finished(
        &mut self,
        id: Id,
        ok: bool,
        detail: &str,
        evidence: &Evidence,
        out: &mut Vec<Effect>,
    ) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let Some(action) = case.action.take() else { return };
        if let Some(told) = case.told.iter_mut().rev().find(|told| told.ok.is_none()) {
            told.ok = Some(ok);
            told.detail = redact(detail).into_owned();
        }
        self.dirty.cases.insert(id);
        let body = Body::Action {
            phase: ActionPhase::Finished,
            action: action.id,
            strategy: action.strategy,
            attempt: action.attempt,
            attempts: action.attempts,
            delay_ms: case.waited_ms,
            ok: Some(ok),
            detail: redact(detail).into_owned(),
            evidence: evidence.clone(),
        };
        self.record(id, None, body, out);
    }

    /// Ends a case: writes what is folded, the outcome, and tells whoever should know.
    pub(super) fn end(
        &mut self,
        id: Id,
        result: OutcomeResult,
        detail: String,
        remedy: Option<String>,
        out: &mut Vec<Effect>,
    ) {
        if self.cases.get(&id).is_none_or(Case::ended) {
            return;
        }
        self.write_folds(id, true, out);
        if self.cases.get(&id).is_some_and(|case| case.action.is_some()) {
            let over = matches!(result, OutcomeResult::Healed | OutcomeResult::Recovered);
            self.record_finished(id, over, &detail, &Evidence::new(), out);
        }
        let held = self.cases.get(&id).and_then(Case::held_on).map(str::to_owned);
        let Some(case) = self.cases.get_mut(&id) else { return };
        if let Some(task) = case.task.take() {
            self.tasks.remove(&task);
            out.push(Effect::Cancel(task));
        }
        (case.phase, case.due) = (Phase::Ended, None);
        case.result = Some(result);
        case.ended_at = Some(self.now.wall);
        case.detail = redact(&detail).into_owned();
        case.remedy = remedy;
        let mut evidence = Evidence::new();
        evidence.insert("before".into(), case.before.clone().into());
        evidence.insert("after".into(), case.after.clone().into());
        let body = Body::Outcome {
            result,
            detail: case.detail.clone(),
            remedy: case.remedy.clone(),
            evidence,
            duration_ms: millis(self.now.wall - case.incident.opened_at),
        };
        let told = case.revision > 0;
        let (unknown, off, job) = (case.unknown, case.mode == crate::vocab::Mode::Off, case.incident.job);
        self.dirty.cases.insert(id);
        self.record(id, None, body, out);
        let quiet = match result {
            OutcomeResult::NotConfirmed => !unknown,
            OutcomeResult::Recovered | OutcomeResult::Interrupted | OutcomeResult::Cancelled => true,
            _ => false,
        };
        if !off && (told || !quiet) {
            self.tell(id, out);
        }
        if let Some(job) = job.filter(|_| matches!(result, OutcomeResult::Healed | OutcomeResult::Recovered)) {
            self.jobs.complete(job, self.now.wall);
            self.dirty.jobs.insert(job);
        }
        if let Some(job) = job
            && matches!(result, OutcomeResult::Exhausted | OutcomeResult::Refused | OutcomeResult::Cancelled)
            && self.jobs.get(job).is_some_and(|job| job.state == JobState::Processing)
        {
            self.jobs.fail(job, self.now.wall);
            self.dirty.jobs.insert(job);
        }
        // A person's word is about one repair, and each bot that ends is an event of its own.
        if let Some(on) = held.filter(|on| on != "approval" && on != "bot") {
            self.wake_held(&on);
        }
        self.upstream_trial(id, result == OutcomeResult::Healed, out);
    }

    /// Owes people the case as it stands now.
    pub(super) fn tell(&mut self, id: Id, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.revision += 1;
        self.dirty.cases.insert(id);
        let incident = &case.incident;
        let stage = match (&case.phase, case.result) {
            (_, Some(result)) => Stage::Ended {
                result,
                detail: case.detail.clone(),
                remedy: case.remedy.clone(),
                duration_ms: millis(case.ended_at.unwrap_or(self.now.wall) - incident.opened_at),
            },
            (Phase::Held { on }, None) => {
                let on = on.split(' ').next().unwrap_or_default().to_owned();
                Stage::Held { on, detail: redact(&case.detail).into_owned() }
            }
            _ => Stage::Working,
        };
        if case.is_probe() {
            out.push(Effect::Notify(Box::new(probe_notice(case, self.now.wall))));
            return;
        }
        out.push(Effect::Notify(Box::new(Notice {
            key: id.to_string(),
            revision: case.revision,
            severity: loudness(&stage, incident.severity),
            story: Story::Incident {
                incident: id,
                class: incident.class,
                subject: incident.subject.clone(),
                source: incident.source.clone(),
                text: incident.text.clone(),
                count: incident.count,
                steps: case.told.clone(),
                stage,
            },
            at: self.now.wall,
        })));
    }

    /// Why nothing can be repaired, in words that say what to do.
    pub(super) fn nothing_to_do(&self, id: Id) -> String {
        let Some(incident) = self.cases.get(&id).map(|case| &case.incident) else { return String::new() };
        let wait = incident.facts.retry_after.map(|seconds| format!(" ({seconds} s)")).unwrap_or_default();
        match incident.class {
            Class::RateLimited => {
                format!("the server asked to slow down{wait}; the bot must wait, there is no download to repeat")
            }
            Class::Auth => {
                "the remote side does not allow it: check the token, or that the bot was not blocked or removed".into()
            }
            Class::TooLarge => {
                "over a size limit: the cloud Bot API gives 20 MB, a local server with --local has no limit".into()
            }
            Class::NotFound => "the remote side does not have it any more: let it be sent again".into(),
            Class::Conflict => "somebody else holds it: make sure that only one instance of the bot runs".into(),
            Class::Crash => "the program failed with an error it did not handle".into(),
            Class::Timeout
            | Class::Permission
            | Class::MissingPath
            | Class::Corrupt
            | Class::DiskFull
            | Class::ServerDown => "the line does not say which file or download it is about".into(),
        }
    }
}

/// A failing probe is told as such: one message from down to up.
fn probe_notice(case: &Case, at: chrono::DateTime<chrono::Utc>) -> Notice {
    let incident = &case.incident;
    let (what, severity) = match case.result {
        None => ("down", incident.severity),
        Some(OutcomeResult::Recovered | OutcomeResult::Healed) => ("up", Severity::Info),
        Some(OutcomeResult::Cancelled) => ("removed", Severity::Info),
        Some(_) => ("down", incident.severity),
    };
    let story = Story::Probe {
        name: incident.rule.strip_prefix(PROBE_RULE).unwrap_or_default().to_owned(),
        what: what.to_owned(),
        detail: case.detail.clone(),
    };
    Notice { key: incident.id.to_string(), revision: case.revision, severity, story, at }
}

fn loudness(stage: &Stage, severity: Severity) -> Severity {
    match stage {
        Stage::Ended {
            result: OutcomeResult::Healed | OutcomeResult::Recovered | OutcomeResult::NotConfirmed, ..
        } => Severity::Info,
        _ => severity,
    }
}

fn millis(span: TimeDelta) -> u64 {
    u64::try_from(span.num_milliseconds()).unwrap_or(0)
}
