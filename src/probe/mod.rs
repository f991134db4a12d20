//! Looks regularly whether endpoints, disks and processes are up. The rules are pure, the looks are I/O.

pub mod judge;
mod look;
mod process;
mod run;

use std::path::PathBuf;
use std::time::Duration;

use crate::vocab::{Class, Secret, Severity, Subject, SubjectKind, redact};

pub use look::{Lens, Look};
pub use run::{Probes, Shown, run};

/// One thing to look at, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name; unique.
    pub name: String,
    /// What is looked at.
    pub target: Target,
    /// From one look to the next.
    pub every: Duration,
    /// A look that takes longer has failed.
    pub timeout: Duration,
    /// So many looks in a row must fail before it is down.
    pub fail_after: u32,
    /// So many in a row must be well before it is up again.
    pub pass_after: u32,
    /// How loud it is when it is down.
    pub severity: Severity,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An address that must answer.
    Http {
        /// The address; it is called as it stands, redirects are not followed.
        url: String,
        /// The status it must have; without it, any below 400.
        status: Option<u16>,
        /// Text that must stand in the first 256 KiB of the answer.
        contains: Option<String>,
    },
    /// A port that must accept connections.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// A file system that must have room.
    Disk {
        /// A place on it.
        path: PathBuf,
        /// Bytes that must be free.
        min_free: u64,
    },
    /// A process that must run.
    Process(Process),
    /// The Bot API server, asked with the bot's own token.
    BotApi {
        /// Its address.
        url: String,
        /// The token; without one it is only asked whether it answers.
        token: Option<Secret>,
    },
}

/// Which process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Process {
    /// The bot that logmedic runs.
    Bot,
    /// The one whose number stands in this file.
    PidFile(PathBuf),
    /// Any of this name: the program, or the script of an interpreter.
    Named(String),
}

impl Target {
    /// What kind of target, a word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Tcp { .. } => "tcp",
            Self::Disk { .. } => "disk",
            Self::Process(_) => "process",
            Self::BotApi { .. } => "bot_api",
        }
    }

    /// The target in words, without secrets: what stands behind `?` in an address may be one.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Http { url, .. } => redact(url.split(['?', '#']).next().unwrap_or_default()).into_owned(),
            Self::Tcp { address } => address.clone(),
            Self::Disk { path, .. } => path.display().to_string(),
            Self::Process(Process::Bot) => "the bot".to_owned(),
            Self::Process(Process::PidFile(path)) => path.display().to_string(),
            Self::Process(Process::Named(name)) => name.clone(),
            Self::BotApi { url, .. } => redact(url).into_owned(),
        }
    }

    /// What is wrong when it is down.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Http { .. } | Self::Tcp { .. } | Self::BotApi { .. } => Class::ServerDown,
            Self::Disk { .. } => Class::DiskFull,
            Self::Process(_) => Class::Crash,
        }
    }

    /// What an incident of it is about.
    #[must_use]
    pub fn subject(&self) -> Subject {
        let (kind, value) = match self {
            Self::Http { url, .. } | Self::BotApi { url, .. } => {
                let origin = url::Url::parse(url).map(|url| url.origin().ascii_serialization());
                (SubjectKind::Server, origin.unwrap_or_else(|_| self.shown()))
            }
            Self::Tcp { address } => (SubjectKind::Server, format!("tcp://{address}")),
            Self::Disk { .. } => (SubjectKind::Directory, self.shown()),
            Self::Process(Process::Bot) => (SubjectKind::Source, "bot".to_owned()),
            Self::Process(_) => (SubjectKind::Source, self.shown()),
        };
        Subject { kind, value }
    }
}
