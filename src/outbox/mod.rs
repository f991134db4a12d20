//! Delivers notifications, however long it takes: texts and grouping are pure, the sender is I/O.
//!
//! The engine puts a [`Notice`](crate::vocab::Notice) into the ledger in its own transaction
//! ([`ledger::outbox::put`](crate::ledger::outbox::put)) and wakes the sender; [`run`] does the rest.

mod check;
mod compose;
mod judge;
mod plan;
mod render;
mod sender;
mod settings;
mod take;
mod telegram;
mod texts;

pub use check::{Check, CheckReport, check};
pub use compose::Rendered;
pub use render::{digest, render};
pub use sender::{run, tell_now};
pub use settings::{Lang, Pace, TelegramSettings};
pub use texts::{Texts, TextsError};
