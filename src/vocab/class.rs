//! Names the classes of failure, the ways to heal them and how an incident may end. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A word that is not on a fixed list, with the list.
#[derive(Debug, Clone, thiserror::Error)]
#[error("unknown {what} '{word}'; expected one of {expected}")]
pub struct UnknownWord {
    /// Which list.
    pub what: &'static str,
    /// The word found.
    pub word: String,
    /// The list, comma-separated.
    pub expected: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Every value, in the order in which people list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word used in files, records and answers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.as_str()) }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { what: $what, word: word.into(), expected: [$($text,)+].join(", ") }),
                }
            }
        }
    };
}

words! {
    /// What went wrong.
    Class, "class" {
        /// An answer did not come in time.
        Timeout = "timeout",
        /// A local file or directory may not be used by the bot.
        Permission = "permission",
        /// A local path is not there.
        MissingPath = "missing_path",
        /// Data is cut or damaged.
        Corrupt = "corrupt",
        /// No room on the file system, or no quota.
        DiskFull = "disk_full",
        /// The server refuses, resets, is unreachable or answers 5xx.
        ServerDown = "server_down",
        /// Asked to slow down (429, flood wait).
        RateLimited = "rate_limited",
        /// Not allowed by the remote side (401, 403, blocked).
        Auth = "auth",
        /// Over a size limit of the remote side.
        TooLarge = "too_large",
        /// The remote side does not have it (404, wrong `file_id`).
        NotFound = "not_found",
        /// Somebody else holds it (two pollers, a lock, an address in use).
        Conflict = "conflict",
        /// The program died or an exception was not handled.
        Crash = "crash",
    }
}

words! {
    /// How bad one event is.
    Severity, "severity" {
        /// Good to know.
        Info = "info",
        /// May become a failure.
        Warning = "warning",
        /// A failure.
        Error = "error",
        /// A failure that stops everything.
        Critical = "critical",
    }
}

words! {
    /// What is done about an incident.
    Strategy, "strategy" {
        /// Fetch the file again.
        Redownload = "redownload",
        /// Give owner, group and mode back.
        RestoreAccess = "restore_access",
        /// Make the directory.
        CreateDirectory = "create_directory",
        /// Move a file that is proven bad aside.
        Quarantine = "quarantine",
        /// Probe until the server answers.
        WaitForServer = "wait_for_server",
        /// Wait for a time that was named, or for room on the disk.
        Wait = "wait",
        /// Tell the admin.
        Alert = "alert",
        /// Signal or restart the bot.
        RestartBot = "restart_bot",
        /// Run the command the user configured.
        Command = "command",
    }
}

words! {
    /// How an incident ended.
    OutcomeResult, "result" {
        /// Repaired and proven.
        Healed = "healed",
        /// The bot or the world mended it before logmedic did.
        Recovered = "recovered",
        /// The system shows no such fault; nothing was touched.
        NotConfirmed = "not_confirmed",
        /// Nothing can be repaired here; the admin was told.
        AlertOnly = "alert_only",
        /// Every allowed attempt was made.
        Exhausted = "exhausted",
        /// Policy, confinement or privileges forbid the repair.
        Refused = "refused",
        /// A person ended it.
        Cancelled = "cancelled",
        /// logmedic stopped in the middle of it.
        Interrupted = "interrupted",
    }
}

words! {
    /// How far logmedic may go.
    Mode, "mode" {
        /// Record the lines, do nothing else.
        Off = "off",
        /// Confirm and tell, repair nothing.
        Observe = "observe",
        /// Confirm, then wait for a person's word.
        Approve = "approve",
        /// Confirm, repair, prove.
        Auto = "auto",
    }
}

words! {
    /// What kind of thing an incident is about.
    SubjectKind, "subject kind" {
        /// A download job.
        Job = "job",
        /// A local file.
        File = "file",
        /// A local directory.
        Directory = "directory",
        /// A remote server, by its origin (`scheme://host:port`).
        Server = "server",
        /// A log source, when nothing nearer is known.
        Source = "source",
    }
}

/// What an incident is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The kind of thing.
    pub kind: SubjectKind,
    /// Its path, origin, job identifier or source name.
    pub value: String,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.value)
    }
}
