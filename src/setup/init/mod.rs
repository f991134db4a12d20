//! Looks at a bot's folder and writes a configuration for it. I/O is in `look`; `write` is pure.

mod look;
mod write;

pub use look::{Found, LogPlace, MediaDir, Unit, look};
pub use write::{next_steps, summary, text};
