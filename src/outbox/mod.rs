//! Delivers notifications, however long it takes: texts and grouping are pure, the sender is I/O.
//!
//! The engine puts a [`Notice`](crate::vocab::Notice) into the ledger in its own transaction
//! ([`ledger::outbox::put`](crate::ledger::outbox::put)) and wakes the sender; [`run`] does the rest for Telegram.
//! Triggers put every notice into the notification centre, from where [`Channels`] deliver to webhooks, mail and browsers:
//! `schedule` decides (pure), `note` words it (pure), `deliver` sends.

mod answer;
mod channel;
mod check;
mod compose;
mod control;
mod deliver;
mod email;
mod judge;
mod listen;
mod note;
mod plan;
mod presets;
mod push;
mod quiet;
mod render;
mod schedule;
mod sender;
mod settings;
mod take;
mod telegram;
mod texts;
mod trial;
mod webhook;

pub use channel::{ChannelSettings, EmailSettings, Preset, PushSettings, Way, WebhookSettings, full};
pub use check::{Check, CheckReport, check};
pub use compose::Rendered;
pub use control::{Deed, Press, buttons};
pub use deliver::{ChannelPace, Channels};
pub use listen::{Obey, Refusal, listen};
pub use note::{Note, Why, trial};
pub use push::hash as push_hash;
pub use quiet::{Quiet, Zone};
pub use render::{digest, render};
pub use schedule::Rules;
pub use sender::{run, tell_now};
pub use settings::{Lang, Pace, TelegramSettings};
pub use texts::{Texts, TextsError};
pub use trial::{Tried, preview, subscription, try_channel};
pub use webhook::check_ca;
