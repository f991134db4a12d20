//! Turns what happens to the bot's process into an incident with records and notices. Pure.

use std::collections::BTreeMap;

use super::state::State;
use super::{Case, Effect, Phase};
use crate::correlate::{Facts, Incident};
use crate::supervise::BotEvent;
use crate::vocab::{Class, Evidence, Id, Mode, OutcomeResult, Severity, Strategy, Subject, SubjectKind};

/// The rule name of incidents that the process itself shows, not a line.
const RULE: &str = "supervise.exit";

/// What such a case waits for.
const HELD: &str = "bot";

impl State {
    pub(super) fn bot(&mut self, event: &BotEvent, out: &mut Vec<Effect>) {
        match event {
            // Asked to end, or done with what it had to do.
            BotEvent::Exited { wanted: true, .. } | BotEvent::Exited { code: 0, .. } => {}
            BotEvent::Exited { how, .. } => self.bot_exited(how, out),
            BotEvent::RestartIn { delay, restarts } => {
                if let Some(id) = self.bot_case() {
                    self.bot_restarts(id, *delay, restarts + 1, out);
                }
            }
            BotEvent::Started { pid, restarts } if *restarts > 0 => {
                if let Some(id) = self.bot_case() {
                    self.bot_is_back(id, *pid, out);
                }
            }
            BotEvent::Started { .. } => {}
            BotEvent::GaveUp { restarts } => {
                if let Some(id) = self.bot_case() {
                    let detail =
                        format!("the bot was restarted {restarts} times and failed again each time; it stays down");
                    let remedy = "mend the bot, then start it again".to_owned();
                    self.end(id, OutcomeResult::Exhausted, detail, Some(remedy), out);
                }
            }
        }
    }

    fn bot_case(&self) -> Option<Id> {
        self.cases.values().rev().find(|case| case.held_on() == Some(HELD)).map(|case| case.incident.id)
    }

    fn bot_exited(&mut self, how: &str, out: &mut Vec<Effect>) {
        if self.bot_case().is_some() {
            return;
        }
        let id = self.new_id();
        let subject = Subject { kind: SubjectKind::Source, value: HELD.to_owned() };
        let mut case = Case::new(
            Incident {
                id,
                class: Class::Crash,
                subject,
                source: HELD.to_owned(),
                rule: RULE.to_owned(),
                severity: Severity::Critical,
                job: None,
                facts: Facts::default(),
                text: format!("the bot ended: {how}"),
                opened_at: self.now.wall,
                last_at: self.now.wall,
                count: 0,
                alive_since: false,
                flaps: 0,
                folds: BTreeMap::new(),
            },
            Mode::Auto,
            Vec::new(),
        );
        case.confirmed = true;
        case.detail = how.to_owned();
        case.before.insert("exit".into(), how.into());
        case.phase = Phase::Held { on: HELD.to_owned() };
        self.cases.insert(id, case);
        self.dirty.cases.insert(id);
        self.tell(id, out);
    }

    fn bot_restarts(&mut self, id: Id, delay: std::time::Duration, attempt: u32, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.waited_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.record_action(id, Strategy::RestartBot, attempt, attempt, out);
    }

    fn bot_is_back(&mut self, id: Id, pid: u32, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let mut evidence = Evidence::new();
        evidence.insert("pid".into(), pid.into());
        case.after.clone_from(&evidence);
        let detail = format!("the bot runs again as process {pid}");
        self.record_finished(id, true, &detail, &evidence, out);
        self.end(id, OutcomeResult::Healed, detail, None, out);
    }
}
