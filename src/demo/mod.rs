//! Shows the whole thing without a token or a network: a misbehaving server, a real bot, six faults.
//!
//! The agent on stage is a child process, `logmedic run`, with a configuration as a user writes it; nothing in
//! here knows its inside. What it did is read from its records, the disk and the messages that arrived.

mod api;
mod bot;
mod control;
pub mod fault;
pub mod records;
pub mod scenario;
mod server;
mod show;
pub mod stage;
pub mod table;
#[cfg(test)]
mod tests;
mod transfer;
pub mod video;
pub mod workspace;
pub mod world;

use std::io;
use std::path::{Path, PathBuf};

pub use bot::{BotArgs, bot_main};
pub use control::{ServerArgs, server_main};
pub use server::serve;
pub use show::{DemoArgs, run};

/// Why there is no show.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Something with a file or directory.
    #[error("failed to {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory has something in it.
    #[error("{} is not empty; name an empty or a new directory with --dir", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The bot's user is unknown here.
    #[error("there is no user '{user}' for the bot; name one with --user")]
    NoUser {
        /// The user.
        user: String,
    },
    /// The bot's user cannot get to the folder.
    #[error("the bot's user '{user}' may not enter {}; name another place with --dir", path.display())]
    Unreachable {
        /// The user.
        user: String,
        /// The closed directory.
        path: PathBuf,
    },
    /// The bot did not even start.
    #[error("the show could not begin: {0}")]
    NoStart(String),
    /// The server has no port.
    #[error("failed to open a port for the local Bot API server: {0}")]
    Server(io::Error),
    /// Signals cannot be received.
    #[error("failed to listen for SIGTERM: {0}")]
    Signals(io::Error),
}

impl DemoError {
    fn file(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { what, path: path.into(), source }
    }
}
