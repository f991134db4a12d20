//! Runs what takes time: one queue, one set of states, progress. The rules are pure, the workers are I/O.
//!
//! ```text
//! submit ─→ queue.rs (who is next) ─→ state.rs (what may happen) ─→ a worker with its Control (work.rs)
//!                        manager.rs holds them together, writes each change down and tells progress
//! ```
//!
//! Repairs are the engine's: it takes a [`Ticket`] for each, does the work where it always did, and closes the ticket.

pub mod command;
mod journal;
mod manager;
pub mod operation;
pub mod output;
pub mod progress;
pub mod queue;
mod recover;
mod refused;
pub mod schedule;
mod scheduler;
mod show;
pub mod state;
mod task;
pub mod test;
mod ticker;
mod tree;
pub mod work;

pub use command::CommandSpec;
pub use manager::{CANCEL_DEADLINE, Operations, Settings, Ticket};
pub use operation::{About, Kind, New, Operation, Priority, Report};
pub use refused::Refused;
pub use state::State;
pub use task::{Planned, Task, Tasks};
pub use work::{Control, Order, Outcome, Worker};
