//! Names the words that three rooms or more speak. Pure; imports no other room.

mod around;
mod class;
mod damage;
mod ids;
mod meter;
mod notice;
mod now;
mod probe;
mod record;
mod redact;
mod role;
mod secret;
mod text;

pub use around::Around;
pub use class::{Class, Mode, OutcomeResult, Severity, Strategy, Subject, SubjectKind, UnknownWord};
pub use damage::{Bad, Damage, INTEGRITY_RULE};
pub use ids::{Id, Rng};
pub use meter::Meter;
pub use notice::{Level, Notice, Stage, StepTold, Story};
pub use now::{Now, rfc3339};
pub use probe::{PROBE_RULE, ProbeNews, ProbeTurn};
pub use record::{Body, Captures, Evidence, Phase, Record, SCHEMA};
pub use redact::redact;
pub use role::Role;
pub use secret::Secret;
pub use text::{clean_line, json_text, printable, shorten, utf16_len};
