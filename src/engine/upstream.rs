//! Handles the case that many things fail at once: probe the server they share, repair one, then all. Pure.

use std::time::Duration;

use super::Effect;
use super::flow::LOOK_LIMIT;
use super::state::{Owner, State};
use crate::decide::{BreakerState, Finding, Question, Task, TaskOutput, Work, delay};
use crate::vocab::{Id, Notice, Severity, Story, Subject, redact};

/// The probing of the shared server while the breaker is open.
#[derive(Clone, Debug, Default)]
pub(super) struct Upstream {
    /// When the next probe is due (monotonic).
    pub(super) due: Option<Duration>,
    /// The case that tries first.
    pub(super) trial: Option<Id>,
    /// Probes since it opened.
    probes: u32,
}

impl State {
    /// Counts a confirmed failure that may come from upstream.
    pub(super) fn count_for_upstream(&mut self, subject: &Subject, out: &mut Vec<Effect>) {
        self.dirty.breaker = true;
        if self.breaker.fail(&self.policy.breaker, subject, self.now.wall) {
            self.upstream = Upstream::default();
            self.tell_upstream("many downloads fail at once: repairs are held while the server is probed", out);
            self.probe_upstream(out);
        }
    }

    /// Asks the server that the downloads come from.
    pub(super) fn probe_upstream(&mut self, out: &mut Vec<Effect>) {
        let id = self.new_id();
        self.tasks.insert(id, Owner::Upstream);
        let work = Work::Look(Question::Server { url: self.policy.bot_api.clone() });
        out.push(Effect::Start(Box::new(Task { id, incident: id, work, limit: LOOK_LIMIT, resumed: false })));
    }

    pub(super) fn upstream_answered(&mut self, output: &TaskOutput, out: &mut Vec<Effect>) {
        if self.breaker.state != BreakerState::Open {
            return;
        }
        self.dirty.breaker = true;
        let answers = match output {
            // A server that may not be probed cannot hold repairs up.
            TaskOutput::Seen(answer) => matches!(answer.finding, Finding::Sound | Finding::Refused { .. }),
            _ => false,
        };
        if !answers {
            return self.probe_later();
        }
        self.breaker.try_one();
        let first = self.cases.values().find(|case| case.held_on() == Some("upstream")).map(|case| case.incident.id);
        self.upstream.trial = first;
        match first.and_then(|id| self.cases.get_mut(&id)) {
            Some(case) => {
                case.due = Some(self.now.wall);
                self.dirty.cases.insert(case.incident.id);
            }
            None => self.close_upstream(out),
        }
    }

    /// The case that tried first failed or was proven.
    pub(super) fn upstream_trial(&mut self, id: Id, worked: bool, out: &mut Vec<Effect>) {
        if self.breaker.state != BreakerState::Trial || self.upstream.trial != Some(id) {
            return;
        }
        self.upstream.trial = None;
        self.dirty.breaker = true;
        if worked {
            self.close_upstream(out);
        } else {
            self.breaker.trial(false);
            self.probe_later();
        }
    }

    fn close_upstream(&mut self, out: &mut Vec<Effect>) {
        self.breaker.trial(true);
        self.upstream = Upstream::default();
        self.wake_held("upstream");
        self.tell_upstream("the server works again: held repairs go on", out);
    }

    fn probe_later(&mut self) {
        self.upstream.probes = self.upstream.probes.saturating_add(1);
        let wait = delay(&self.policy.probe, self.upstream.probes, None, self.rng.unit());
        self.upstream.due = Some(self.now.mono + wait);
    }

    fn tell_upstream(&self, detail: &str, out: &mut Vec<Effect>) {
        let millis = self.now.wall.timestamp_millis();
        out.push(Effect::Notify(Box::new(Notice {
            key: "agent:upstream".into(),
            revision: u64::try_from(millis).unwrap_or(0),
            severity: Severity::Warning,
            story: Story::Agent {
                what: None,
                detail: format!("{detail} ({})", redact(&self.policy.bot_api)),
                remedy: None,
            },
            at: self.now.wall,
        })));
    }
}
