//! Turns a failing probe into an incident; the same probe says when it is over. Pure.
//!
//! A probe has looked often enough before it says that its target is down, so such a case is confirmed from the start and
//! waits. What it has said is remembered with the case: after a restart it says so again, and nothing happens twice.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::state::State;
use super::{Case, Effect, Phase};
use crate::correlate::{Facts, Fold, Incident};
use crate::decide::{Question, Repair, Step, TaskOutput};
use crate::vocab::{
    Captures, Class, Evidence, Id, Mode, OutcomeResult, PROBE_RULE, ProbeNews, ProbeTurn, Strategy, SubjectKind, redact,
};

/// Name of the source of such incidents.
const SOURCE: &str = "probe";

impl State {
    pub(super) fn probed(&mut self, news: &ProbeNews, out: &mut Vec<Effect>) {
        match news.turn {
            ProbeTurn::Down => {
                if self.down.insert(news.name.clone()) {
                    self.dirty.down = true;
                    self.probe_down(news, out);
                }
            }
            ProbeTurn::Up | ProbeTurn::Removed => {
                if self.down.remove(&news.name) {
                    self.dirty.down = true;
                    self.probe_over(news, out);
                }
            }
        }
    }

    fn probe_down(&mut self, news: &ProbeNews, out: &mut Vec<Effect>) {
        let rule = format!("{PROBE_RULE}{}", news.name);
        let key = (news.class, news.subject.clone());
        // A fault that the log shows already is not another one: the probe is one more witness of it.
        let known = self.by_key.get(&key).copied().filter(|id| self.cases.get(id).is_some_and(|case| !case.ended()));
        let id = known.unwrap_or_else(|| self.open_probe(news, &rule));
        let event = Fold {
            pending: 0,
            written: self.now.wall,
            severity: news.severity,
            offset: 0,
            text: redact(&news.detail).into_owned(),
            truncated: false,
            at: self.now.wall,
            captures: Captures::new(),
            file: None,
        };
        let Some(case) = self.cases.get_mut(&id) else { return };
        let write = case.incident.count_event(&rule, event, self.now.wall);
        let mode = case.mode;
        self.dirty.cases.insert(id);
        if let Some(fold) = write {
            self.record_event(id, SOURCE, &rule, fold, out);
        }
        if known.is_some() {
            return;
        }
        if mode == Mode::Off {
            let detail = format!("the mode of {} is off", news.class);
            return self.end(id, OutcomeResult::Refused, detail, None, out);
        }
        self.probe_waits(id, out);
        self.plan_server_restart(id);
        self.tell(id, out);
    }

    fn open_probe(&mut self, news: &ProbeNews, rule: &str) -> Id {
        let id = self.new_id();
        let incident = Incident {
            id,
            class: news.class,
            subject: news.subject.clone(),
            source: SOURCE.to_owned(),
            rule: rule.to_owned(),
            severity: news.severity,
            job: None,
            facts: Facts::default(),
            text: redact(&news.detail).into_owned(),
            opened_at: self.now.wall,
            last_at: self.now.wall,
            count: 0,
            alive_since: false,
            flaps: 0,
            folds: BTreeMap::new(),
        };
        let mode = self.policy.modes.of(news.class, rule);
        let mut case = Case::new(incident, mode, Vec::new());
        case.confirmed = true;
        case.detail = redact(&news.detail).into_owned();
        case.before.insert("probe".into(), case.detail.clone().into());
        self.cases.insert(id, case);
        self.by_key.insert((news.class, news.subject.clone()), id);
        id
    }

    /// Waits for the probe, and writes that down.
    fn probe_waits(&mut self, id: Id, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let name = case.incident.rule.strip_prefix(PROBE_RULE).unwrap_or_default();
        (case.phase, case.due, case.task) = (Phase::Held { on: format!("probe {name}") }, None, None);
        let strategy = if case.incident.class == Class::ServerDown { Strategy::WaitForServer } else { Strategy::Wait };
        self.dirty.cases.insert(id);
        self.record_action(id, strategy, 1, 1, out);
    }

    /// A server that stays down is restarted by the configured command, once.
    fn plan_server_restart(&mut self, id: Id) {
        let Some(after) = self.policy.server_restart.as_ref().map(|restart| restart.after) else { return };
        let Some(case) = self.cases.get_mut(&id) else { return };
        if case.incident.class == Class::ServerDown && case.mode == Mode::Auto && !case.restarted {
            case.due = TimeDelta::from_std(after).ok().map(|after| case.incident.opened_at + after);
            self.dirty.cases.insert(id);
        }
    }

    /// The server was down for so long that its restart is due.
    pub(super) fn probe_due(&mut self, id: Id, out: &mut Vec<Effect>) {
        let Some(restart) = self.policy.server_restart.clone() else { return };
        let Some(case) = self.cases.get_mut(&id).filter(|case| !case.restarted) else { return };
        case.restarted = true;
        let url = case.incident.subject.value.clone();
        let variables = vec![("url".to_owned(), url.clone())];
        let repair = Repair::Command { name: restart.command, path: None, variables };
        (case.steps, case.at) = (vec![Step::Act { ask: Question::Server { url }, repair }], 0);
        self.record_finished(id, false, "still down: the configured restart is tried", &Evidence::new(), out);
        self.act(id, out);
    }

    /// The restart command ended; whether it helped is for the probe to say.
    pub(super) fn probe_acted(&mut self, id: Id, output: TaskOutput, out: &mut Vec<Effect>) {
        let (ok, detail, evidence) = match output {
            TaskOutput::Done { detail, evidence } => (true, detail, evidence),
            TaskOutput::Transient { detail, evidence, .. }
            | TaskOutput::NoSpace { detail, evidence }
            | TaskOutput::Permanent { detail, evidence }
            | TaskOutput::Refused { detail, evidence, .. } => (false, detail, evidence),
            TaskOutput::Lost { detail } => (false, detail, Evidence::new()),
            TaskOutput::CalledOff => (false, "a person ended the repair".to_owned(), Evidence::new()),
            TaskOutput::Cancelled | TaskOutput::Seen(_) => {
                (false, "stopped at a safe point".to_owned(), Evidence::new())
            }
        };
        self.record_finished(id, ok, &detail, &evidence, out);
        if let Some(case) = self.cases.get_mut(&id) {
            case.acted = ok;
        }
        self.probe_waits(id, out);
        self.tell(id, out);
    }

    /// Goes on after a restart of logmedic where the case was: it waits for its probe.
    pub(super) fn probe_resumed(&mut self, id: Id, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get(&id) else { return };
        match case.phase {
            Phase::Ended => {}
            Phase::Held { .. } => self.plan_server_restart(id),
            Phase::Looking | Phase::Waiting | Phase::Acting | Phase::Proving => {
                self.record_finished(id, false, "logmedic was stopped in the middle of it", &Evidence::new(), out);
                self.probe_waits(id, out);
            }
        }
    }

    /// The probe is well again, or gone: its case ends, and whoever waits for the same thing looks now.
    fn probe_over(&mut self, news: &ProbeNews, out: &mut Vec<Effect>) {
        let rule = format!("{PROBE_RULE}{}", news.name);
        let open = |case: &&Case| !case.ended() && case.incident.rule == rule;
        let ids: Vec<Id> = self.cases.values().filter(open).map(|case| case.incident.id).collect();
        for id in ids {
            let Some(case) = self.cases.get_mut(&id) else { continue };
            let result = match (news.turn, case.acted) {
                (ProbeTurn::Removed, _) => OutcomeResult::Cancelled,
                (_, true) => OutcomeResult::Healed,
                (_, false) => OutcomeResult::Recovered,
            };
            case.after.insert("probe".into(), redact(&news.detail).into_owned().into());
            self.end(id, result, news.detail.clone(), None, out);
        }
        if news.turn == ProbeTurn::Removed {
            return;
        }
        match news.subject.kind {
            SubjectKind::Server => self.wake_held(&format!("server {}", news.subject.value)),
            SubjectKind::Directory => self.wake_space(),
            SubjectKind::Job | SubjectKind::File | SubjectKind::Source => {}
        }
    }

    fn wake_space(&mut self) {
        for case in self.cases.values_mut() {
            if case.held_on().is_some_and(|on| on.starts_with("space ")) {
                case.due = Some(self.now.wall);
                self.dirty.cases.insert(case.incident.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Policy;
    use crate::engine::{Input, Row};
    use crate::vocab::{Body, Now, Phase as ActionPhase, Severity, Story, Subject};
    use chrono::DateTime;
    use std::time::Duration;

    fn now(second: u64) -> Now {
        let wall = DateTime::from_timestamp(1_795_000_000, 0).unwrap() + TimeDelta::seconds(second.cast_signed());
        Now { mono: Duration::from_secs(second), wall }
    }

    fn news(turn: ProbeTurn) -> ProbeNews {
        ProbeNews {
            name: "api".into(),
            turn,
            class: Class::ServerDown,
            subject: Subject { kind: SubjectKind::Server, value: "http://127.0.0.1:8081".into() },
            severity: Severity::Error,
            detail: "refuses connections".into(),
        }
    }

    fn told(effects: &[Effect]) -> Vec<String> {
        let word = |effect: &Effect| match effect {
            Effect::Record(record) => match &record.body {
                Body::Error { rule, .. } => Some(format!("error {rule}")),
                Body::Action { phase, strategy, ok, .. } => {
                    let phase = if *phase == ActionPhase::Started { "start" } else { "end" };
                    Some(format!("{phase} {strategy} {ok:?}"))
                }
                Body::Outcome { result, .. } => Some(format!("outcome {result}")),
            },
            Effect::Notify(notice) => match &notice.story {
                Story::Probe { name, what, .. } => Some(format!("{what} {name}")),
                _ => Some("another notice".into()),
            },
            Effect::Start(_) => Some("task".into()),
            _ => None,
        };
        effects.iter().filter_map(word).collect()
    }

    fn rows(effects: &[Effect]) -> Vec<Row> {
        let row = |effect: &Effect| if let Effect::Save(row) = effect { Some(row.clone()) } else { None };
        effects.iter().filter_map(row).collect()
    }

    #[test]
    fn e4_a_failing_probe_is_an_incident_that_the_same_probe_ends() {
        let mut state = State::new(Policy::default(), 1, now(0));
        let down = state.step(Input::Probe(Box::new(news(ProbeTurn::Down))), now(1));
        assert_eq!(told(&down), ["error probe.api", "start wait_for_server None", "down api"]);
        assert!(told(&state.step(Input::Probe(Box::new(news(ProbeTurn::Down))), now(2))).is_empty(), "said twice");
        let up = state.step(Input::Probe(Box::new(news(ProbeTurn::Up))), now(9));
        assert_eq!(told(&up), ["end wait_for_server Some(true)", "outcome recovered", "up api"]);
        assert!(told(&state.step(Input::Probe(Box::new(news(ProbeTurn::Up))), now(10))).is_empty());
    }

    #[test]
    fn e4_a_restart_keeps_what_was_said_and_says_nothing_twice() {
        let mut state = State::new(Policy::default(), 1, now(0));
        let stored = rows(&state.step(Input::Probe(Box::new(news(ProbeTurn::Down))), now(1)));
        let (mut again, effects, bad) = State::restore(Policy::default(), 2, now(60), stored);
        assert!(bad.is_empty() && told(&effects).is_empty(), "{:?}", told(&effects));
        assert!(told(&again.step(Input::Probe(Box::new(news(ProbeTurn::Down))), now(61))).is_empty());
        let up = told(&again.step(Input::Probe(Box::new(news(ProbeTurn::Up))), now(70)));
        assert_eq!(up, ["end wait_for_server Some(true)", "outcome recovered", "up api"]);
    }

    #[test]
    fn e4_a_removed_probe_leaves_no_open_incident() {
        let mut state = State::new(Policy::default(), 1, now(0));
        let _ = state.step(Input::Probe(Box::new(news(ProbeTurn::Down))), now(1));
        let gone = told(&state.step(Input::Probe(Box::new(news(ProbeTurn::Removed))), now(2)));
        assert!(gone.contains(&"outcome cancelled".into()), "{gone:?}");
        assert!(state.cases().all(Case::ended));
    }

    #[test]
    fn e4_a14_a_server_that_stays_down_is_restarted_once_by_the_configured_command() {
        let server_restart =
            Some(crate::decide::ServerRestart { command: "fix".into(), after: Duration::from_secs(5) });
        let mut state = State::new(Policy { server_restart, ..Policy::default() }, 1, now(0));
        let _ = state.step(Input::Probe(Box::new(news(ProbeTurn::Down))), now(1));
        let due = state.step(Input::Deadline, now(7));
        assert_eq!(told(&due), ["end wait_for_server Some(false)", "start command None", "task"]);
        let task = due.iter().find_map(|effect| if let Effect::Start(task) = effect { Some(task.id) } else { None });
        let output = TaskOutput::Done { detail: "ended with 0".into(), evidence: Evidence::new() };
        let done = state.step(Input::Finished { task: task.unwrap(), output }, now(8));
        assert_eq!(told(&done), ["end command Some(true)", "start wait_for_server None", "down api"]);
        let up = told(&state.step(Input::Probe(Box::new(news(ProbeTurn::Up))), now(9)));
        assert!(up.contains(&"outcome healed".into()), "{up:?}");
    }
}
