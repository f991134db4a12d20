//! Tells of downloads that failed and of which no line said why: no incident speaks for them. Pure.
//!
//! The line with the cause may come before or after the one that says "failed", so a while is waited for it.

use std::time::Duration;

use chrono::TimeDelta;

use super::Effect;
use super::jobs::describe;
use super::state::State;
use crate::correlate::{Job, JobState};
use crate::vocab::{Id, Notice, Severity, Story, redact, shorten};

/// So long a cause is waited for, and so far apart the two lines may be. Bots write both at once; what lies between is a
/// retry or a buffer.
const CAUSE: Duration = Duration::from_secs(5);

/// How much of the line is kept with the job, in characters.
const LINE: usize = 240;

impl State {
    /// The bot says that a download failed, by this line.
    pub(super) fn said_failed(&mut self, id: Id, line: &str) {
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.state == JobState::Failed) else { return };
        let line = redact(line);
        job.message = Some(format!("the bot says that it failed: {}", shorten(line.trim(), LINE)));
        job.unexplained = true;
        self.clocks.failed(id, self.now.mono);
        self.clocks.wake_at(self.now.mono + CAUSE);
    }

    /// Tells of those whose time is over, and wakes for the others.
    pub(super) fn tell_unexplained(&mut self, out: &mut Vec<Effect>) {
        let waiting: Vec<Id> = self.jobs.iter().filter(|job| job.unexplained).map(|job| job.id).collect();
        for id in waiting {
            let due = self.clocks.failed_at(id, self.now.mono) + CAUSE;
            let Some(job) = self.jobs.get(id) else { continue };
            // It began again, or an incident tells of it.
            let over = job.state != JobState::Failed || self.explains(job);
            if !over && due > self.now.mono {
                self.clocks.wake_at(due);
                continue;
            }
            if !over {
                out.push(self.unexplained(job));
            }
            if let Some(job) = self.jobs.get_mut(id) {
                job.unexplained = false;
                self.dirty.jobs.insert(id);
            }
        }
    }

    /// Whether an incident speaks for a failed job: its own, or one of its source that names no download and came with it.
    fn explains(&self, job: &Job) -> bool {
        let window = TimeDelta::from_std(CAUSE).unwrap_or_default();
        let ended = job.ended_at.unwrap_or(job.updated_at);
        self.cases.values().any(|case| {
            let incident = &case.incident;
            let near = (incident.last_at - ended).abs() <= window;
            incident.job == Some(job.id) || (incident.job.is_none() && incident.source == job.source && near)
        })
    }

    fn unexplained(&self, job: &Job) -> Effect {
        let said = job.message.as_deref().unwrap_or("the bot says that it failed");
        Effect::Notify(Box::new(Notice {
            key: format!("job:{}:failed", job.id),
            revision: u64::from(job.attempt),
            severity: Severity::Warning,
            story: Story::Agent {
                what: None,
                detail: format!("a download failed and no line says why: {}; {said}", describe(job)),
                remedy: Some(format!(
                    "`logmedic jobs {}` shows it; if its log does name the cause, a rule can be added: logmedic explain 'LINE'",
                    job.id
                )),
            },
            at: self.now.wall,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::classify::{Hit, Signal, SignalKind};
    use crate::correlate::{Item, Meaning};
    use crate::decide::Policy;
    use crate::engine::{Input, Row, RowKind};
    use crate::vocab::{Class, Now};

    struct Rig {
        state: State,
        now: Now,
    }

    impl Rig {
        fn new() -> Self {
            let now = Now { mono: Duration::ZERO, wall: DateTime::from_timestamp(1_795_000_000, 0).unwrap() };
            let mut rig = Self { state: State::new(Policy::default(), 1, now), now };
            rig.says(0, "saving 7", signal(SignalKind::Started));
            rig
        }

        fn after(&mut self, ms: u64, input: Input) -> Vec<Effect> {
            self.now.mono += Duration::from_millis(ms);
            self.now.wall += TimeDelta::milliseconds(ms.cast_signed());
            self.state.step(input, self.now)
        }

        fn says(&mut self, ms: u64, text: &str, meaning: Meaning) -> Vec<Effect> {
            let at = self.now.wall + TimeDelta::milliseconds(ms.cast_signed());
            let item = Item { offset: 0, text: text.into(), truncated: false, at, dated: true, meaning };
            self.after(ms, Input::Observed { source: "bot".into(), file: None, items: vec![item] })
        }

        fn job(&self) -> &Job {
            self.state.jobs().iter().next().unwrap()
        }
    }

    fn signal(means: SignalKind) -> Meaning {
        let captures = BTreeMap::from([("job".to_owned(), "7".to_owned())]);
        Meaning::Job(Signal { rule: "t.job".into(), means, captures })
    }

    fn cause(job: bool) -> Meaning {
        let captures = if job { BTreeMap::from([("job".to_owned(), "7".to_owned())]) } else { BTreeMap::new() };
        Meaning::Failure(Hit { rule: "t.x".into(), class: Class::TooLarge, severity: Severity::Error, captures })
    }

    fn told(effects: &[Effect]) -> Vec<&Notice> {
        effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Notify(notice) if notice.key.ends_with(":failed") => Some(&**notice),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn b3_a_failed_download_without_a_cause_is_told_once_with_its_line() {
        let mut rig = Rig::new();
        assert!(
            told(&rig.says(100, "7: gave up\u{1b}[31m", signal(SignalKind::Failed))).is_empty(),
            "a cause may come"
        );
        assert_eq!(rig.job().state, JobState::Failed);
        assert!(rig.job().message.as_deref().unwrap().contains("7: gave up"));
        assert_eq!(rig.state.deadline(), Some(Duration::from_millis(5_100)));
        let effects = rig.after(5_000, Input::Deadline);
        let told_ = told(&effects);
        assert_eq!((told_.len(), told_[0].severity), (1, Severity::Warning));
        let Story::Agent { detail, .. } = &told_[0].story else { panic!() };
        assert!(detail.contains("7: gave up"), "{detail}");
        assert!(told(&rig.after(60_000, Input::Deadline)).is_empty(), "once");
        rig.says(0, "saving 7", signal(SignalKind::Started));
        rig.says(0, "7: gave up", signal(SignalKind::Failed));
        assert_eq!(told(&rig.after(5_000, Input::Deadline))[0].revision, 2, "and again when it fails again");
    }

    #[test]
    fn b6_the_line_with_the_cause_before_or_after_makes_one_incident_and_no_notice_beside_it() {
        for named in [true, false] {
            for order in [[true, false], [false, true]] {
                let mut rig = Rig::new();
                let mut effects = Vec::new();
                for failed in order {
                    let meaning = if failed { signal(SignalKind::Failed) } else { cause(named) };
                    effects.extend(rig.says(3_000, "x", meaning));
                }
                effects.extend(rig.after(30_000, Input::Deadline));
                assert!(told(&effects).is_empty(), "cause named {named}, failed first {}", order[0]);
                assert_eq!(rig.state.cases().count(), 1);
            }
        }
    }

    #[test]
    fn b3_who_tries_again_in_time_has_not_failed_and_a_restart_forgets_nothing() {
        let mut rig = Rig::new();
        rig.says(0, "7: gave up", signal(SignalKind::Failed));
        rig.says(1_000, "saving 7", signal(SignalKind::Started));
        assert!(told(&rig.after(10_000, Input::Deadline)).is_empty());
        rig.says(0, "7: gave up", signal(SignalKind::Failed));
        let row =
            Row { kind: RowKind::Job, id: rig.job().id.to_string(), json: serde_json::to_string(rig.job()).unwrap() };
        let (mut state, effects, _) = State::restore(Policy::default(), 2, rig.now, vec![row]);
        assert!(told(&effects).is_empty());
        rig.now.mono += CAUSE;
        assert_eq!(told(&state.step(Input::Deadline, rig.now)).len(), 1);
    }
}
