//! Makes an operation of each repair: in its turn, to be paused and ended by people, with its progress. What takes a moment
//! only is looked at and done on the engine's own thread: to wake another one takes longer than that. I/O.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Case, Effect, Input, State};
use crate::decide::{Repair, Task, TaskOutput, Work};
use crate::heal::{self, Healer};
use crate::operate::{About, Kind, New, Operations, Outcome, Priority, Report, Ticket};
use crate::vocab::{Id, Now, Severity, clean_line, redact, shorten};

/// Characters of a subject that an operation shows.
const SUBJECT: usize = 300;

/// Looks, and repairs, of one turn that are made on the engine's own thread: a storm of them is shared with others.
pub(super) const AT_ONCE: usize = 8;

/// Looks at once where that takes no wait: what it shows is decided about, and written down, with what asked for it.
pub(super) fn glance(state: &mut State, healer: &Healer, effects: &mut Vec<Effect>, now: Now) {
    let (mut at, mut tries) = (0, 0);
    while at < effects.len() && tries < AT_ONCE {
        let asked = match &effects[at] {
            Effect::Start(task) => match &task.work {
                Work::Look(question) => Some((task.id, question)),
                Work::Act(_) => None,
            },
            _ => None,
        };
        let Some((task, question)) = asked else {
            at += 1;
            continue;
        };
        tries += 1;
        let Some(output) = healer.glance(question) else {
            at += 1;
            continue;
        };
        drop(effects.remove(at));
        effects.extend(state.take_in(Input::Finished { task, output }, now));
    }
}

/// What a repair is done with.
pub(super) struct Hands {
    pub(super) operations: Operations,
    pub(super) healer: Arc<Healer>,
    pub(super) answers: mpsc::Sender<(Id, TaskOutput)>,
    pub(super) elsewhere: Handle,
    /// Cancelled when the engine stops.
    pub(super) stop: CancellationToken,
}

/// How far a repair is.
pub(super) enum Started {
    /// It is done.
    Done(TaskOutput),
    /// It is under way.
    Runs,
    /// It changes nothing yet.
    Waits(heal::Begun),
}

/// Begins a repair, at once where a slot is free, else in its turn. `token` ends it. `here`: it may be done on this thread, where
/// it takes a moment only. One that [outlives](Repair::outlives) us waits. [`Operations::tell`] must follow.
pub(super) fn begin(
    hands: Hands,
    task: Task,
    repair: &Repair,
    case: Option<&Case>,
    token: CancellationToken,
    here: bool,
) -> Started {
    let pausable = repair.is_pausable();
    let Hands { operations, healer, answers, elsewhere, stop } = hands;
    // To announce it would take longer than it takes itself.
    let done = if here && operations.is_free(Kind::Repair) { healer.act_at_once(repair) } else { None };
    let mut ticket = operations.admit(described(repair, case, pausable), token.clone());
    if let Some(output) = done {
        token.cancel();
        return Started::Done(closed(ticket, output, &stop));
    }
    let id = task.id;
    if task.work.is_brief() && ticket.granted() {
        // Begins before this turn is committed; what it finds is not looked at before.
        let done = healer.run_brief(task, token.clone(), &elsewhere);
        tokio::spawn(async move {
            let output = closed(ticket, done.await, &stop);
            // It is over: the loop forgets its token.
            token.cancel();
            // The loop may be gone; then nobody needs the answer.
            let _ = answers.send((id, output)).await;
        });
        return Started::Runs;
    }
    let at_once = here && ticket.granted() && healer.starts_at_once(repair);
    let work = async move {
        let output = tokio::select! {
            biased;
            () = token.cancelled() => TaskOutput::Cancelled,
            output = in_turn(&mut ticket, &healer, task, token.clone(), pausable) => output,
        };
        let output = closed(ticket, output, &stop);
        token.cancel();
        let _ = answers.send((id, output)).await;
    };
    Started::Waits(if at_once { heal::Begun::here(work, &elsewhere) } else { heal::Begun::elsewhere(work, &elsewhere) })
}

async fn in_turn(
    ticket: &mut Ticket,
    healer: &Healer,
    task: Task,
    token: CancellationToken,
    pausable: bool,
) -> TaskOutput {
    if ticket.wait().await.is_err() {
        return TaskOutput::Cancelled;
    }
    let control = ticket.control();
    let work = healer.run_metered(task, token, control.meter());
    if pausable { control.paced(work).await } else { work.await }
}

/// Closes the operation as the repair ended, and says so to the engine.
fn closed(ticket: Ticket, output: TaskOutput, stop: &CancellationToken) -> TaskOutput {
    let output = match output {
        TaskOutput::Cancelled if ticket.called_off() => TaskOutput::CalledOff,
        other => other,
    };
    let report = |detail: &str| Report { detail: detail.to_owned(), ..Report::default() };
    let outcome = match &output {
        TaskOutput::Done { detail, .. } => Outcome::Done(report(detail)),
        TaskOutput::Transient { detail, .. }
        | TaskOutput::Permanent { detail, .. }
        | TaskOutput::Refused { detail, .. }
        | TaskOutput::NoSpace { detail, .. } => Outcome::Failed(report(detail)),
        TaskOutput::Seen(answer) => Outcome::Done(report(&answer.detail)),
        TaskOutput::Lost { detail } => Outcome::Interrupted(report(detail)),
        TaskOutput::CalledOff => Outcome::Cancelled(report("a person ended the repair")),
        TaskOutput::Cancelled if stop.is_cancelled() => {
            Outcome::Interrupted(report("logmedic stopped in the middle of it; the incident is looked at again"))
        }
        TaskOutput::Cancelled => Outcome::Cancelled(report("the repair is not needed any more")),
    };
    ticket.close(outcome);
    output
}

fn described(repair: &Repair, case: Option<&Case>, pausable: bool) -> New {
    let incident = case.map(|case| &case.incident);
    let priority = match incident.map(|incident| incident.severity) {
        Some(Severity::Critical) => Priority::Critical,
        Some(Severity::Error) => Priority::High,
        Some(Severity::Warning) | None => Priority::Normal,
        Some(Severity::Info) => Priority::Low,
    };
    let strategy = repair.strategy();
    let about = About {
        incident: incident.map(|incident| incident.id),
        class: incident.map(|incident| incident.class.to_string()),
        subject: incident.map(|incident| shorten(&clean_line(&redact(&incident.subject.value)), SUBJECT).into_owned()),
        strategy: Some(strategy.to_string()),
    };
    New {
        kind: Kind::Repair,
        name: strategy.to_string(),
        priority,
        pausable,
        resume: false,
        about,
        by: "engine".into(),
    }
}

/// The repair that a task asks for; `None`: it only looks.
pub(super) const fn repair_of(work: &Work) -> Option<&Repair> {
    match work {
        Work::Act(repair) => Some(repair),
        Work::Look(_) => None,
    }
}
