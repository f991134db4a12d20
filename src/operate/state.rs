//! Says how an operation may go from state to state: the one function, used while it runs and after a crash. Pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for a slot.
    Pending,
    /// Is at work.
    Running,
    /// Holds still at a safe point; its slot is free for others.
    Paused,
    /// Did what it should.
    Completed,
    /// Did not; `interrupted` says whether only because logmedic stopped.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Paused, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether something may still happen to it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Paused)
    }
}

/// What a running operation was asked for and has not come to yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// To hold still at the next safe point.
    Pause,
    /// To end at the next safe point.
    Cancel,
}

/// The state with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where it is.
    pub state: State,
    /// What it was asked for.
    #[serde(default)]
    pub wish: Option<Wish>,
    /// Whether somebody is at work on it: a pause or a wait for a slot after that is one in the middle of the work.
    #[serde(default)]
    pub begun: bool,
}

impl Status {
    /// Of an operation that is new.
    pub const NEW: Self = Self { state: State::Pending, wish: None, begun: false };
}

/// What happens to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It gets a slot.
    Start,
    /// Somebody asks for a pause.
    Pause,
    /// Somebody asks to go on.
    Resume,
    /// Somebody asks for the end.
    Cancel,
    /// The work holds still.
    Held,
    /// The work ended.
    Ended(End),
    /// logmedic stopped, or had stopped, in the middle of it.
    Interrupted {
        /// Whether it may be begun again.
        again: bool,
    },
}

/// How work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is done.
    Completed,
    /// It did not work.
    Failed,
    /// It stopped because somebody asked.
    Cancelled,
}

/// Why something cannot happen to an operation now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is over.
    #[error("the operation is {} already", .0.as_str())]
    Over(State),
    /// It ends just now.
    #[error("the operation is being cancelled")]
    Cancelling,
    /// It is not in a state for that.
    #[error("the operation is {}", .0.as_str())]
    Not(State),
}

/// What becomes of an operation.
///
/// # Errors
/// When that cannot happen to it now; then nothing changes.
pub fn step(now: Status, event: Event) -> Result<Status, Refusal> {
    use State::{Cancelled, Completed, Failed, Paused, Pending, Running};
    let Status { state, wish, begun } = now;
    if !state.is_open() {
        return Err(Refusal::Over(state));
    }
    let over = |state| Status { state, wish: None, begun };
    let cancelling = wish == Some(Wish::Cancel);
    Ok(match event {
        Event::Start | Event::Pause | Event::Resume if cancelling => return Err(Refusal::Cancelling),
        Event::Start if state == Pending => Status { state: Running, wish: None, begun: true },
        Event::Start => return Err(Refusal::Not(state)),
        Event::Pause => match state {
            Running => Status { wish: Some(Wish::Pause), ..now },
            _ => Status { state: Paused, ..now },
        },
        Event::Resume => match (state, wish) {
            (Paused, _) => Status { state: Pending, ..now },
            (Running, Some(Wish::Pause)) => Status { wish: None, ..now },
            _ => return Err(Refusal::Not(state)),
        },
        Event::Cancel if begun => Status { wish: Some(Wish::Cancel), ..now },
        Event::Cancel => over(Cancelled),
        // A pause that was taken back, or that the end overtakes, is not held.
        Event::Held if state == Running && wish == Some(Wish::Pause) => Status { state: Paused, wish: None, ..now },
        Event::Held => now,
        Event::Ended(End::Completed) if begun => over(Completed),
        Event::Ended(End::Completed) => return Err(Refusal::Not(state)),
        Event::Ended(End::Failed) if !cancelling => over(Failed),
        Event::Ended(_) => over(Cancelled),
        Event::Interrupted { .. } if !begun => now,
        Event::Interrupted { .. } if cancelling => over(Cancelled),
        Event::Interrupted { again: false } => over(Failed),
        Event::Interrupted { again: true } => {
            Status { state: if state == Paused { Paused } else { Pending }, wish: None, begun: false }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Start),
            Just(Event::Pause),
            Just(Event::Resume),
            Just(Event::Cancel),
            Just(Event::Held),
            Just(Event::Ended(End::Completed)),
            Just(Event::Ended(End::Failed)),
            Just(Event::Ended(End::Cancelled)),
            any::<bool>().prop_map(|again| Event::Interrupted { again }),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: what is over stays over, only what began completes, and nobody who asked
        /// for the end is disobeyed but by the end of the work itself.
        #[test]
        fn c1_no_order_of_events_leads_out_of_the_rules(all in prop::collection::vec(events(), 0..40)) {
            let mut now = Status::NEW;
            for event in all {
                let next = step(now, event);
                if !now.state.is_open() {
                    prop_assert_eq!(next, Err(Refusal::Over(now.state)));
                }
                let Ok(next) = next else { continue };
                prop_assert!(next.state != State::Completed || now.begun);
                prop_assert!(next.state != State::Running || next.begun);
                prop_assert!(next.wish != Some(Wish::Pause) || next.state == State::Running);
                prop_assert!(next.wish.is_none() || next.state.is_open());
                if now.wish == Some(Wish::Cancel) && next.state != State::Completed {
                    prop_assert!(next.wish == Some(Wish::Cancel) || next.state == State::Cancelled);
                }
                now = next;
            }
        }

        /// A crash never loses one: it waits, is paused, or is closed with a reason.
        #[test]
        fn c4_a_crash_leaves_nobody_at_work(all in prop::collection::vec(events(), 0..40), again: bool) {
            let now = all.into_iter().fold(Status::NEW, |now, event| step(now, event).unwrap_or(now));
            if now.state.is_open() {
                let next = step(now, Event::Interrupted { again }).unwrap();
                prop_assert!(next.state != State::Running && next.wish.is_none());
                prop_assert!(!next.state.is_open() || !next.begun);
                prop_assert_eq!(next.state == State::Failed, now.begun && !again && now.wish != Some(Wish::Cancel));
            }
        }
    }

    #[test]
    fn c2_a_pause_is_a_wish_until_the_work_holds_still() {
        let running = step(Status::NEW, Event::Start).unwrap();
        let asked = step(running, Event::Pause).unwrap();
        assert_eq!((asked.state, asked.wish), (State::Running, Some(Wish::Pause)));
        let paused = step(asked, Event::Held).unwrap();
        assert_eq!(paused.state, State::Paused);
        let waits = step(paused, Event::Resume).unwrap();
        assert_eq!((waits.state, waits.begun), (State::Pending, true), "it needs a slot again");
        assert_eq!(step(waits, Event::Start).unwrap(), running);
        assert_eq!(step(step(asked, Event::Resume).unwrap(), Event::Held).unwrap().state, State::Running);
    }
}
