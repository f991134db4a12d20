//! Says why an operation is not begun, paused or ended. Pure: plain data.

use super::state::{Refusal, State};
use crate::ledger;
use crate::vocab::Id;

/// Operations that wait, beside repairs (whose number the engine's budget limits).
pub(super) const WAITING: usize = 1_000;

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no such operation.
    #[error("there is no operation {0}")]
    Missing(String),
    /// There is no such command.
    #[error("no [[operation]] is called '{0}'")]
    Unknown(String),
    /// One of this name is not over yet.
    #[error("'{name}' is {} already", state.as_str())]
    Busy {
        /// Its name.
        name: String,
        /// Its identifier.
        id: Id,
        /// Where it is.
        state: State,
    },
    /// It cannot happen to it now.
    #[error("{0}")]
    State(#[from] Refusal),
    /// It cannot hold still.
    #[error("this operation cannot be paused: it is over in a moment, or its program cannot be stopped halfway")]
    NotPausable,
    /// Too many wait.
    #[error("{WAITING} operations wait already; cancel some, or try again later")]
    Full,
    /// What it is given is wrong.
    #[error("{0}")]
    Bad(String),
    /// Not in production.
    #[error("test operations are refused in production")]
    Production,
    /// logmedic is stopping.
    #[error("logmedic is stopping")]
    Stopping,
    /// It cannot be written down.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}
