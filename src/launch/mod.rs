//! Runs commands in a process that outlives the agent: each is run once, whatever happens to the agent. I/O.
//!
//! ```text
//! agent (tokio) ── control ── launcher
//!    │   └─── files of runs ─────┤
//!    └─────────── work ─────── spare ─> command ── whatever it starts
//! ```
//!
//! [`Launcher`] is the agent's side, [`launcher`] the hidden command that the other side begins as, `spare` the process that waits
//! for a command and becomes it, [`Runs`] what all of them and the next agent know of a run. What comes of it, in order:
//!
//! - The agent dies before it has said that the command may begin: nothing was begun, and nothing is known of it.
//! - The agent dies: what runs goes on, its end stands in its file, and the next agent asks there under the same task.
//! - The launcher dies as well: the file tells no end and is held by nobody. What is left of the command is ended, and the
//!   system is asked what came of it.
//! - The agent is ended properly: it asks the launcher to end what runs.

mod client;
pub mod launcher;
mod run;
mod runs;
mod spare;
pub mod wire;

pub use client::{Error, INHERITED, Launcher, Ran, announced, unannounced};
pub use runs::{Known, Runs, Standing, is_lost};

/// The environment variable that marks the commands of one state directory.
pub const MARKER: &str = "LOGMEDIC_LAUNCH";

/// The environment variable that tells a command, and whoever looks at it, which task it is for.
pub const TASK: &str = "LOGMEDIC_TASK";
