//! Leads a case through its steps: look, wait, act, prove. Pure.

use std::time::Duration;

use chrono::TimeDelta;

use super::state::{Owner, State, leaves_at};
use super::{Case, Effect, Phase};
use crate::decide::{Answer, BreakerState, Fallback, Finding, Question, Repair, Step, Task, TaskOutput, Work, delay};
use crate::vocab::{Evidence, Id, Mode, OutcomeResult};

/// A look is quick or it is stopped.
pub(super) const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// A shorter wait before a first attempt is none: timers tick every millisecond, and round up.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);

/// So long for a repair that fetches nothing.
const ACT_LIMIT: Duration = Duration::from_secs(60);

/// How often a wait for a server or for room may be put in before a repair; then it is given up.
const INSERT_MAX: u32 = 5;

/// A held case that leaves the asking to another looks after so long all the same.
const HELD_CHECK: TimeDelta = TimeDelta::minutes(1);

/// So long a case waits for a person's word.
const APPROVAL_MAX: TimeDelta = TimeDelta::hours(24);

impl State {
    /// Asks the question of the step that is on; past the last step the case ends.
    pub(super) fn look(&mut self, id: Id, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get(&id) else { return };
        let Some(step) = case.step() else { return self.finish(id, out) };
        let work = Work::Look(step.ask().clone());
        self.start(id, work, LOOK_LIMIT, Phase::Looking, out);
    }

    /// Asks the same question after a repair.
    pub(super) fn prove(&mut self, id: Id, out: &mut Vec<Effect>) {
        let Some(step) = self.cases.get(&id).and_then(Case::step) else { return };
        let work = Work::Look(step.ask().clone());
        self.start(id, work, LOOK_LIMIT, Phase::Proving, out);
    }

    fn start(&mut self, id: Id, work: Work, limit: Duration, phase: Phase, out: &mut Vec<Effect>) {
        let task = self.new_id();
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.phase = phase;
        case.task = Some(task);
        case.due = None;
        self.tasks.insert(task, Owner::Case(id));
        self.dirty.cases.insert(id);
        out.push(Effect::Start(Box::new(Task { id: task, incident: id, work, limit, resumed: false })));
    }

    /// Takes in what came of a task. A task nobody waits for any more is passed over.
    pub(super) fn finished(&mut self, task: Id, output: TaskOutput, out: &mut Vec<Effect>) {
        match self.tasks.remove(&task) {
            Some(Owner::Upstream) => self.upstream_answered(&output, out),
            Some(Owner::Job(id)) => self.job_looked(id, output),
            Some(Owner::Case(id)) => {
                let Some(case) = self.cases.get_mut(&id).filter(|case| case.task == Some(task)) else { return };
                case.task = None;
                self.dirty.cases.insert(id);
                match (case.phase.clone(), output) {
                    (Phase::Looking, TaskOutput::Seen(answer)) => self.looked(id, answer, out),
                    (Phase::Proving, TaskOutput::Seen(answer)) => self.proved(id, answer, out),
                    (Phase::Acting, output) if case.is_probe() => self.probe_acted(id, output, out),
                    (Phase::Acting, output) => self.acted(id, output, out),
                    // A look that was cut off (shutdown, time limit): look again in a while.
                    (Phase::Looking | Phase::Proving, _) => self.wait(id, self.policy.retry.base),
                    (Phase::Waiting | Phase::Held { .. } | Phase::Ended, _) => {}
                }
            }
            None => {}
        }
    }

    fn looked(&mut self, id: Id, answer: Answer, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let Some(step) = case.step().cloned() else { return };
        let word = step.strategy().as_str();
        match answer.finding {
            Finding::Sound => {
                if case.confirmed {
                    case.after.insert(word.into(), answer.evidence.into());
                } else {
                    case.before.insert(word.into(), answer.evidence.into());
                }
                case.detail = answer.detail.clone();
                if case.probes > 0 {
                    self.wait_is_over(id, &answer.detail, out);
                }
                self.next_step(id, out);
            }
            Finding::Unknown => {
                case.unknown = true;
                case.before.insert(word.into(), answer.evidence.into());
                case.detail = answer.detail;
                self.next_step(id, out);
            }
            Finding::Refused { remedy } => {
                case.before.insert(word.into(), answer.evidence.into());
                case.remedy = remedy.clone().or(case.remedy.take());
                // A server that may not be asked is passed over where a later step can still show something.
                if matches!(step, Step::Await { .. }) && case.at + 1 < case.steps.len() {
                    return self.next_step(id, out);
                }
                self.end(id, OutcomeResult::Refused, answer.detail, remedy, out);
            }
            Finding::Fault => self.fault(id, &step, answer, out),
        }
    }

    /// The system shows the fault.
    fn fault(&mut self, id: Id, step: &Step, answer: Answer, out: &mut Vec<Effect>) {
        if self.leaves_alone(id, step, &answer, out) {
            return;
        }
        let Some(case) = self.cases.get_mut(&id) else { return };
        let first = !std::mem::replace(&mut case.confirmed, true);
        case.before.entry(step.strategy().as_str()).or_insert_with(|| answer.evidence.into());
        case.detail.clone_from(&answer.detail);
        let (mode, ready, subject) = (case.mode, case.ready, case.incident.subject.clone());
        if first && mode == Mode::Observe {
            let detail = format!("{}; mode observe: {} was not started", answer.detail, step.strategy());
            return self.end(id, OutcomeResult::AlertOnly, detail, None, out);
        }
        if first && mode == Mode::Approve {
            case.detail = format!("{}; {} waits for approval", answer.detail, step.strategy());
            case.due = Some(self.now.wall + APPROVAL_MAX);
            return self.hold(id, "approval", out);
        }
        if first {
            self.tell(id, out);
            if step.fetches() || matches!(step, Step::Await { ask: Question::Server { .. } }) {
                self.count_for_upstream(&subject, out);
            }
        }
        match step {
            Step::Act { .. } if step.fetches() && !ready => self.first_attempt(id, out),
            Step::Act { .. } => self.act(id, out),
            Step::Await { ask } => self.hold_on(id, ask, &answer.detail, out),
            Step::Fallback { .. } => self.fallback(id, &answer.detail, out),
        }
    }

    /// Waits before the first attempt, unless (next to) no wait is wanted: what was seen just now need not be looked at again.
    fn first_attempt(&mut self, id: Id, out: &mut Vec<Effect>) {
        let wait = self.wait_before_attempt(id, None);
        if wait >= SHORTEST_WAIT {
            return self.wait(id, wait);
        }
        let Some(case) = self.cases.get_mut(&id) else { return };
        (case.ready, case.waited_ms) = (true, 0);
        self.act(id, out);
    }

    /// How long to wait before the next attempt: the backoff, or what the server asked for.
    fn wait_before_attempt(&mut self, id: Id, named: Option<Duration>) -> Duration {
        let random = self.rng.unit();
        let Some(case) = self.cases.get_mut(&id) else { return Duration::ZERO };
        // What the server asked for in the log counts from the moment the line was written, and once.
        let asked = case.incident.facts.retry_after.take().map(|seconds| {
            let until = case.incident.last_at + TimeDelta::seconds(i64::try_from(seconds.min(7 * 86_400)).unwrap_or(0));
            (until - self.now.wall).to_std().unwrap_or_default()
        });
        delay(&self.policy.retry, case.attempt + case.carry.min(8) + 1, named.or(asked), random)
    }

    fn wait(&mut self, id: Id, wait: Duration) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.phase = Phase::Waiting;
        case.waited_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        case.due = Some(self.now.wall + TimeDelta::from_std(wait).unwrap_or(HELD_CHECK));
        self.dirty.cases.insert(id);
    }

    /// Makes the attempt, if budget and circuit breaker allow it.
    pub(super) fn act(&mut self, id: Id, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get(&id) else { return };
        let Some(Step::Act { repair, .. }) = case.step().cloned() else { return };
        if case.step().is_some_and(Step::fetches) && !self.upstream_lets(id) {
            return self.hold(id, "upstream", out);
        }
        let (class, subject) = (case.incident.class, case.incident.subject.clone());
        self.dirty.budget = true;
        if let Err(limit) = self.budget.take(&self.policy.budget, class, &subject, self.now.wall) {
            return self.end(id, OutcomeResult::Exhausted, format!("no repair left: {limit}"), None, out);
        }
        let limit = self.limit_of(&repair);
        self.record_started(id, out);
        if let Repair::RestartBot { signal } = repair {
            return self.start_bot_order(id, signal, out);
        }
        self.start(id, Work::Act(repair), limit, Phase::Acting, out);
    }

    /// How long a repair may take.
    pub(super) fn limit_of(&self, repair: &Repair) -> Duration {
        if matches!(repair, Repair::Redownload { .. }) { self.policy.download_limit } else { ACT_LIMIT }
    }

    /// Ends an attempt of which nobody knows how far it came: it does not count, and the system is asked again.
    pub(super) fn interrupted(&mut self, id: Id, detail: &str, out: &mut Vec<Effect>) {
        self.record_finished(id, false, detail, &Evidence::new(), out);
        if let Some(case) = self.cases.get_mut(&id) {
            case.attempt = case.attempt.saturating_sub(1);
            case.ready = true;
        }
        self.look(id, out);
    }

    fn start_bot_order(&mut self, id: Id, signal: Option<i32>, out: &mut Vec<Effect>) {
        let task = self.new_id();
        let Some(case) = self.cases.get_mut(&id) else { return };
        (case.phase, case.task, case.due) = (Phase::Acting, Some(task), None);
        self.tasks.insert(task, Owner::Case(id));
        self.dirty.cases.insert(id);
        out.push(Effect::Bot { task, signal });
    }

    /// Takes in how an attempt went.
    fn acted(&mut self, id: Id, output: TaskOutput, out: &mut Vec<Effect>) {
        match output {
            TaskOutput::Done { detail, evidence } => {
                self.record_finished(id, true, &detail, &evidence, out);
                self.learn_size(id, &evidence);
                self.prove(id, out);
            }
            TaskOutput::Transient { detail, evidence, retry_after, server } => {
                self.record_finished(id, false, &detail, &evidence, out);
                let ask = server.map(|url| Question::Server { url });
                if !self.put_in_wait(id, ask, out) {
                    self.try_again(id, &detail, retry_after, out);
                }
            }
            TaskOutput::NoSpace { detail, evidence } => {
                self.record_finished(id, false, &detail, &evidence, out);
                let facts = self.cases.get(&id).map(|case| case.incident.facts.clone()).unwrap_or_default();
                let ask = Question::Space { path: facts.wanted().map(str::to_owned), need: facts.size };
                if !self.put_in_wait(id, Some(ask), out) {
                    self.end(id, OutcomeResult::Exhausted, detail, None, out);
                }
            }
            TaskOutput::Permanent { detail, evidence } => {
                self.record_finished(id, false, &detail, &evidence, out);
                self.end(id, OutcomeResult::Exhausted, detail, None, out);
            }
            TaskOutput::Refused { detail, remedy, evidence } => {
                self.record_finished(id, false, &detail, &evidence, out);
                self.end(id, OutcomeResult::Refused, detail, remedy, out);
            }
            TaskOutput::Lost { detail } => self.interrupted(id, &detail, out),
            TaskOutput::CalledOff => {
                let detail = "a person ended the repair".to_owned();
                self.record_finished(id, false, &detail, &Evidence::new(), out);
                self.end(id, OutcomeResult::Cancelled, detail, None, out);
            }
            // Cut off by a shutdown, not failed: the attempt does not count. A look does not answer a repair.
            TaskOutput::Cancelled | TaskOutput::Seen(_) => {
                self.record_finished(id, false, "stopped at a safe point", &Evidence::new(), out);
                if let Some(case) = self.cases.get_mut(&id) {
                    case.attempt = case.attempt.saturating_sub(1);
                }
                self.wait(id, self.policy.retry.base);
            }
        }
    }

    /// Another attempt after its wait, or the end.
    fn try_again(&mut self, id: Id, detail: &str, named: Option<Duration>, out: &mut Vec<Effect>) {
        self.upstream_trial(id, false, out);
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.ready = false;
        case.detail = detail.to_owned();
        let attempts = self.policy.retry.attempts.max(1);
        if case.attempt >= attempts {
            let detail = format!("{detail} (attempt {attempts} of {attempts})");
            return self.end(id, OutcomeResult::Exhausted, detail, None, out);
        }
        let wait = self.wait_before_attempt(id, named);
        self.wait(id, wait);
        self.tell(id, out);
    }

    /// Puts a wait in front of the step that just failed for want of a server or of room; that attempt does not count.
    fn put_in_wait(&mut self, id: Id, ask: Option<Question>, out: &mut Vec<Effect>) -> bool {
        let (Some(ask), Some(case)) = (ask, self.cases.get_mut(&id)) else { return false };
        if case.inserted >= INSERT_MAX {
            return false;
        }
        case.inserted += 1;
        case.steps.insert(case.at, Step::Await { ask });
        (case.attempt, case.probes, case.ready) = (0, 0, false);
        self.upstream_trial(id, false, out);
        self.look(id, out);
        true
    }

    /// Takes in whether the system shows the repair.
    fn proved(&mut self, id: Id, answer: Answer, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let Some(step) = case.step().cloned() else { return };
        case.after.insert(step.strategy().as_str().into(), answer.evidence.into());
        case.detail.clone_from(&answer.detail);
        if answer.finding == Finding::Sound {
            case.acted = true;
            self.upstream_trial(id, true, out);
            return self.next_step(id, out);
        }
        match step {
            // What a restarted server needs is time: the step behind waits for that.
            Step::Act { repair: Repair::Command { .. }, .. } => return self.next_step(id, out),
            Step::Act { repair: Repair::RestartBot { .. }, .. } => {
                let detail = format!("{}; whether the bot fetches it again now is up to the bot", answer.detail);
                return self.end(id, OutcomeResult::AlertOnly, detail, None, out);
            }
            Step::Act { .. } | Step::Await { .. } | Step::Fallback { .. } => {}
        }
        self.try_again(id, &format!("the repair could not be proven: {}", answer.detail), None, out);
    }

    fn next_step(&mut self, id: Id, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.at += 1;
        (case.attempt, case.probes, case.ready) = (0, 0, false);
        self.dirty.cases.insert(id);
        self.look(id, out);
    }

    /// All steps are through.
    fn finish(&mut self, id: Id, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get(&id) else { return };
        let detail = case.detail.clone();
        let result = match (case.acted, case.confirmed) {
            (true, _) => OutcomeResult::Healed,
            (false, true) => OutcomeResult::Recovered,
            (false, false) => OutcomeResult::NotConfirmed,
        };
        let remedy = (result == OutcomeResult::NotConfirmed && case.unknown).then(|| case.remedy.clone()).flatten();
        self.end(id, result, detail, remedy, out);
    }

    /// Holds until the question is answered well; one case of those that wait for the same thing does the asking.
    fn hold_on(&mut self, id: Id, ask: &Question, detail: &str, out: &mut Vec<Effect>) {
        let on = match ask {
            Question::Server { url } => format!("server {url}"),
            Question::Space { path, .. } => format!("space {}", path.as_deref().unwrap_or("")),
            Question::Download { .. }
            | Question::Access { .. }
            | Question::Directory { .. }
            | Question::Integrity { .. } => "fault".to_owned(),
        };
        let waits = |case: &Case| case.incident.id != id && case.held_on() == Some(&on) && case.asks;
        let other_asks = self.cases.values().any(waits);
        let random = self.rng.unit();
        let Some(case) = self.cases.get_mut(&id) else { return };
        let first = case.probes == 0;
        case.probes = case.probes.saturating_add(1);
        let wait = match ask {
            Question::Server { .. } => delay(&self.policy.probe, case.probes, None, random),
            _ => self.policy.space_check,
        };
        let wait = TimeDelta::from_std(wait).unwrap_or(HELD_CHECK);
        case.asks = !other_asks;
        case.due = Some(self.now.wall + if other_asks { HELD_CHECK } else { wait });
        case.waited_ms = 0;
        case.detail = detail.to_owned();
        let down_for = (self.now.wall - case.incident.opened_at).to_std().unwrap_or_default();
        if first {
            self.record_started(id, out);
        }
        self.hold(id, &on, out);
        self.restart_server(id, ask, down_for, out);
    }

    pub(super) fn hold(&mut self, id: Id, on: &str, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let again = case.held_on() == Some(on);
        let was_told = case.told.last().is_some_and(|step| step.ok.is_none()) && case.probes > 1;
        case.phase = Phase::Held { on: on.to_owned() };
        self.dirty.cases.insert(id);
        if !again && !was_told {
            self.tell(id, out);
        }
    }

    /// What was waited for is there: write that down and wake the others who wait for it.
    fn wait_is_over(&mut self, id: Id, detail: &str, out: &mut Vec<Effect>) {
        let Some(step) = self.cases.get(&id).and_then(Case::step) else { return };
        let on = match step.ask() {
            Question::Server { url } => format!("server {url}"),
            Question::Space { path, .. } => format!("space {}", path.as_deref().unwrap_or("")),
            _ => return,
        };
        self.record_finished(id, true, detail, &Evidence::new(), out);
        self.wake_held(&on);
    }

    /// Lets every case that is held on this look again now.
    pub(super) fn wake_held(&mut self, on: &str) {
        for case in self.cases.values_mut().filter(|case| case.held_on() == Some(on)) {
            case.due = Some(self.now.wall);
            self.dirty.cases.insert(case.incident.id);
        }
    }

    /// Puts the configured restart in front of the wait when the server stays down.
    fn restart_server(&mut self, id: Id, ask: &Question, down_for: Duration, out: &mut Vec<Effect>) {
        let Some(restart) = self.policy.server_restart.clone().filter(|restart| down_for >= restart.after) else {
            return;
        };
        let Question::Server { url } = ask else { return };
        if self.cases.get(&id).is_none_or(|case| case.restarted) {
            return;
        }
        self.record_finished(id, false, "still down: the configured restart is tried", &Evidence::new(), out);
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.restarted = true;
        let variables = vec![("url".to_owned(), url.clone())];
        let repair = Repair::Command { name: restart.command, path: None, variables };
        case.steps.insert(case.at, Step::Act { ask: ask.clone(), repair });
        case.ready = true;
        self.act(id, out);
    }

    fn fallback(&mut self, id: Id, detail: &str, out: &mut Vec<Effect>) {
        let signal = match self.policy.fallback {
            Fallback::Alert => {
                let detail = format!("{detail}; where it came from is not in the log, so it cannot be fetched again");
                let remedy = "let the bot log `logmedic job=… file_id=… path=…`, or set [fallback]".to_owned();
                return self.end(id, OutcomeResult::AlertOnly, detail, Some(remedy), out);
            }
            Fallback::Signal(signal) => Some(signal),
            Fallback::Restart => None,
        };
        let Some(case) = self.cases.get_mut(&id) else { return };
        let at = case.at;
        if let Some(step) = case.steps.get_mut(at) {
            *step = Step::Act { ask: step.ask().clone(), repair: Repair::RestartBot { signal } };
        }
        self.act(id, out);
    }

    /// A downloaded file whose size nobody knew before: now it is known, and the proof must show it.
    fn learn_size(&mut self, id: Id, evidence: &Evidence) {
        let size = evidence.get("size").and_then(serde_json::Value::as_u64);
        let Some(case) = self.cases.get_mut(&id) else { return };
        let at = case.at;
        if let Some(Step::Act { ask: Question::Download { expect, .. }, .. }) = case.steps.get_mut(at) {
            expect.size = expect.size.or(size);
        }
    }

    /// The date of a case has come.
    pub(super) fn case_due(&mut self, id: Id, out: &mut Vec<Effect>) {
        self.write_ripe_folds(id, out);
        let is_due = self.cases.get(&id).is_some_and(|case| self.is_due(case));
        let Some(case) = self.cases.get_mut(&id) else { return };
        if is_due {
            case.due = None;
            match case.phase.clone() {
                Phase::Waiting => {
                    case.ready = true;
                    self.look(id, out);
                }
                Phase::Held { on } if on == "approval" => {
                    let detail = "nobody approved it within 24 hours".to_owned();
                    self.end(id, OutcomeResult::Cancelled, detail, None, out);
                }
                Phase::Held { .. } if case.is_probe() => self.probe_due(id, out),
                Phase::Held { .. } => self.look(id, out),
                Phase::Looking | Phase::Acting | Phase::Proving | Phase::Ended => {}
            }
        }
        let Some(case) = self.cases.get(&id) else { return };
        let over = leaves_at(case, self.now.wall).is_some_and(|at| at <= self.now.wall);
        if over && case.incident.fold_due().is_none() {
            self.drop_case(id);
        }
    }

    /// Whether the circuit breaker lets this case fetch.
    fn upstream_lets(&self, id: Id) -> bool {
        match self.breaker.state {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::Trial => self.upstream.trial == Some(id),
        }
    }
}
