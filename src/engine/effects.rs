//! Tells effects apart: which change something in the system, and what must be on the disk before. Pure.

use super::Effect;
use crate::decide::{Task, Work};
use crate::ledger::Force;
use crate::ledger::notifications::Silence;
use crate::vocab::rfc3339;

/// As the ledger keeps it.
pub(super) fn silence_of(silence: super::Silence) -> Silence {
    Silence {
        class: silence.class.to_string(),
        subject: silence.subject.value,
        incident: Some(silence.incident.to_string()),
        account: silence.by,
        reason: silence.reason,
        at: rfc3339(silence.at),
        until: rfc3339(silence.until),
    }
}

/// A repair that moves a file aside, and an order to the bot, must not begin before its announcement is on the disk. Others
/// are asked about again: they begin as soon as a crash of this program cannot take the announcement back.
pub(super) fn force(effects: &[Effect]) -> Force {
    let unseen = |effect: &Effect| match effect {
        Effect::Start(task) => matches!(&task.work, Work::Act(repair) if !repair.shows_itself()),
        _ => begins(effect),
    };
    if effects.iter().any(unseen) { Force::Now } else { Force::Later }
}

/// Whether something is changed in the system by this.
pub(super) fn begins(effect: &Effect) -> bool {
    match effect {
        Effect::Start(task) => matches!(task.work, Work::Act(_)),
        Effect::Bot { .. } => true,
        _ => false,
    }
}

/// Takes out the task that begins first, if it is done by a program, which begins when it is told so, and nothing ends before.
pub(super) fn handed_over(effects: &mut Vec<Effect>) -> Option<Task> {
    let first = effects.iter().position(|effect| begins(effect) || matches!(effect, Effect::Cancel(_)))?;
    let is_program = |task: &Task| matches!(&task.work, Work::Act(repair) if repair.outlives());
    if !matches!(&effects[first], Effect::Start(task) if is_program(task)) {
        return None;
    }
    match effects.remove(first) {
        Effect::Start(task) => Some(*task),
        _ => None,
    }
}

/// What must still be written when nothing new is started any more: it is looked at again at the next start.
pub(super) fn durable(effects: Vec<Effect>) -> Vec<Effect> {
    effects.into_iter().filter(|effect| !matches!(effect, Effect::Start(_) | Effect::Bot { .. })).collect()
}
