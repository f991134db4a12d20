//! Brings the memory back from stored rows after a stop, wanted or not. Pure.

use super::state::{Owner, START, State, WHOLE_BUDGET, leaves_at};
use super::{Case, Effect, Phase, Row, RowKind};
use crate::correlate::Job;
use crate::decide::{BreakerState, Policy, Step, Task, Work};
use crate::vocab::{Id, Now};

/// A stored row that cannot be read; it is left out, everything else is used.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the stored {kind} '{id}': {why}; it is left out")]
pub struct BadRow {
    /// What kind.
    pub kind: &'static str,
    /// Which.
    pub id: String,
    /// Why.
    pub why: serde_json::Error,
}

impl State {
    /// The memory as it was at the last commit, and what must be done about work that was cut off.
    ///
    /// A command that was under way goes on without logmedic: its task is started again under the same identifier, and whoever
    /// carries it out asks what came of it. Another repair that was under way is written down as interrupted, does not count as
    /// an attempt, and is looked at again before anything is repeated.
    pub fn restore(policy: Policy, seed: u64, now: Now, rows: Vec<Row>) -> (Self, Vec<Effect>, Vec<BadRow>) {
        let mut state = Self::new(policy, seed, now);
        let mut bad = Vec::new();
        for row in rows {
            if let Err(why) = state.put_back(&row, now) {
                bad.push(BadRow { kind: row.kind.as_str(), id: row.id, why });
            }
        }
        state.resume_jobs();
        let mut out = Vec::new();
        let ids: Vec<_> = state.cases.keys().copied().collect();
        for id in ids {
            state.resume(id, &mut out);
        }
        if state.breaker.state != BreakerState::Closed {
            state.breaker.state = BreakerState::Open;
            state.probe_upstream(&mut out);
        }
        out.extend(state.step(super::Input::Deadline, now));
        (state, out, bad)
    }

    fn put_back(&mut self, row: &Row, now: Now) -> serde_json::Result<()> {
        match row.kind {
            RowKind::Incident => {
                let case: Case = serde_json::from_str(&row.json)?;
                let id = case.incident.id;
                let old = leaves_at(&case, now.wall).is_some_and(|at| at <= now.wall);
                if !old || case.incident.fold_due().is_some() {
                    let key = (case.incident.class, case.incident.subject.clone());
                    self.by_key.insert(key, id);
                    self.cases.insert(id, case);
                }
            }
            RowKind::Job => {
                let job: Job = serde_json::from_str(&row.json)?;
                self.jobs.restore(job);
            }
            RowKind::Engine => match row.id.as_str() {
                "seq" => self.seq = serde_json::from_str(&row.json)?,
                WHOLE_BUDGET => {
                    self.budget.put_back_whole(&row.json)?;
                    (self.whole_budget, self.dirty.budget) = (true, true);
                }
                "down" => self.down = serde_json::from_str(&row.json)?,
                "breaker" => self.breaker = serde_json::from_str(&row.json)?,
                id => {
                    if let Some(Ok(number)) = id.strip_prefix(START).map(str::parse) {
                        self.budget.put_back(number, serde_json::from_str(&row.json)?);
                    }
                }
            },
        }
        Ok(())
    }

    /// Goes on with a case where it was.
    fn resume(&mut self, id: Id, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let task = case.task.take();
        self.dirty.cases.insert(id);
        if case.phase == Phase::Acting && self.goes_on(id, task, out) {
            return;
        }
        let Some(case) = self.cases.get(&id) else { return };
        if case.is_probe() {
            return self.probe_resumed(id, out);
        }
        match case.phase {
            Phase::Looking => self.look(id, out),
            Phase::Proving => self.prove(id, out),
            Phase::Acting => self.interrupted(id, "logmedic was stopped in the middle of it", out),
            Phase::Held { ref on } if on == "bot" => {
                // The bot ends with its parent, so this start is its restart.
                let detail = "the bot was started again together with logmedic".to_owned();
                self.end(id, crate::vocab::OutcomeResult::Recovered, detail, None, out);
            }
            Phase::Waiting | Phase::Held { .. } | Phase::Ended => {}
        }
    }

    /// Waits for the command that was under way, if one was.
    fn goes_on(&mut self, id: Id, task: Option<Id>, out: &mut Vec<Effect>) -> bool {
        let Some(Step::Act { repair, .. }) = self.cases.get(&id).and_then(Case::step) else { return false };
        let (Some(task), true) = (task, repair.outlives()) else { return false };
        let repair = repair.clone();
        let limit = self.limit_of(&repair);
        if let Some(case) = self.cases.get_mut(&id) {
            case.task = Some(task);
        }
        self.tasks.insert(task, Owner::Case(id));
        let task = Task { id: task, incident: id, work: Work::Act(repair), limit, resumed: true };
        out.push(Effect::Start(Box::new(task)));
        true
    }
}
