//! Runs the bot: its process tree, signals, output and restart policy.

use chrono::{DateTime, Utc};

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
    /// It failed too often; it stays down.
    GaveUp {
        /// How many restarts within the window.
        restarts: u32,
    },
}
