//! Runs the bot: its process tree, signals, output and restart policy.
//!
//! ```text
//! agent (tokio) ── socket ── shepherd ── bot ── whatever the bot starts
//!        └──────── stdout and stderr pipes ──┘
//! ```
//!
//! [`run`] is the agent's side, [`trampoline`] the hidden command the other two begin as; [`shepherd`] says why
//! there are three.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};

pub mod control;
pub mod files;
pub mod log;
pub mod output;
pub mod policy;
mod run;
pub mod shepherd;
pub mod spawn;
pub mod systemd;
pub mod terminal;
pub mod tree;

pub use policy::{RestartPolicy, RestartWhen};
pub use run::run;
pub use shepherd::trampoline;
pub use tree::marker_for;

/// The code of a command that was not found, as shells give it.
pub const NOT_FOUND: u8 = 127;

/// The code of a command that was found but cannot be run, as shells give it.
pub const NOT_EXECUTABLE: u8 = 126;

/// How to run the bot.
#[derive(Clone, Debug)]
pub struct BotSpec {
    /// Program and arguments; never a shell line.
    pub command: Vec<OsString>,
    /// Where it runs; ours when `None`.
    pub cwd: Option<PathBuf>,
    /// Added to our environment, from which `LOGMEDIC_*` and what systemd meant for us is taken out.
    pub env: Vec<(String, String)>,
    /// Whom it runs as, when we are root. When we are not, it must be our own user.
    pub user: Option<String>,
    /// The file its output is appended to, as the bot's user. `.1` is put behind it on rotation.
    pub log: PathBuf,
    /// Rotate at so many bytes; one old generation is kept.
    pub log_max: u64,
    /// Whether its output is also copied to our standard output and error.
    pub terminal: bool,
    /// Copy it as it is, control sequences too: only for a bot whose output no stranger can influence.
    pub raw_terminal: bool,
    /// What to do when it ends.
    pub restart: RestartPolicy,
    /// From the first signal to SIGKILL.
    pub stop_grace: Duration,
    /// Marks the tree's processes, so that the next agent finds what a killed one left: see [`marker_for`].
    pub marker: String,
    /// The program that has [`trampoline`] behind its `__exec`; this very program when `None`.
    pub trampoline: Option<PathBuf>,
}

impl BotSpec {
    /// A specification with the defaults: our own user and directory, 50 MB of log, shown on the terminal, restarted
    /// when it fails, ten seconds to end.
    #[must_use]
    pub fn new(command: Vec<OsString>, log: PathBuf, state_dir: &Path) -> Self {
        Self {
            command,
            cwd: None,
            env: Vec::new(),
            user: None,
            log,
            log_max: 50_000_000,
            terminal: true,
            raw_terminal: false,
            restart: RestartPolicy::default(),
            stop_grace: Duration::from_secs(10),
            marker: marker_for(state_dir),
            trampoline: None,
        }
    }
}

/// What others ask of a running bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BotCommand {
    /// End it and start it again; not counted as a failure.
    Restart {
        /// Why, for the log.
        reason: String,
    },
    /// Send this signal to the bot itself, not to its children.
    Signal(i32),
    /// End it with this signal instead of SIGTERM; then [`run`] returns. Asked a second time, it is killed at once.
    /// For Ctrl+C: send this with SIGINT, cancel the token when `run` has returned.
    Stop {
        /// SIGINT, SIGTERM, SIGHUP or SIGQUIT.
        signal: i32,
    },
}

/// How the whole run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The bot's own code, 128+N for signal N, 127 not found, 126 not executable, 77 not permitted, 78 wrong user.
    pub code: i32,
    /// `exit code 1`, `killed by SIGSEGV (core dumped)`, or why it could not be started.
    pub how: String,
}

/// What happened to the bot's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BotEvent {
    /// It runs.
    Started {
        /// Its process number.
        pid: u32,
        /// 0 for the first start.
        restarts: u32,
    },
    /// It ended.
    Exited {
        /// Its own code, or 128+N for signal N.
        code: i32,
        /// `exit code 1`, `killed by SIGSEGV (core dumped)`.
        how: String,
        /// Whether it was asked to end.
        wanted: bool,
        /// When.
        at: DateTime<Utc>,
    },
    /// It will be started again.
    RestartIn {
        /// After so long.
        delay: std::time::Duration,
        /// How many restarts so far.
        restarts: u32,
    },
    /// It stays down: it failed too often, or is not to be restarted at all.
    GaveUp {
        /// How many restarts within the window; 0 when none was allowed.
        restarts: u32,
    },
}
