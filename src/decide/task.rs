//! Says what logmedic asks the world to look at or to do, and what comes back. Pure: plain data.
//!
//! Paths, URLs and identifiers in here come from log lines: they are *hints*. Whoever carries a task out
//! (`heal`) turns them into confined paths and allowed addresses, or refuses.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::vocab::{Bad, Evidence, Id, Strategy};

/// One piece of work for `heal`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Idempotency key: the same task after a restart has the same identifier.
    pub id: Id,
    /// For which incident.
    pub incident: Id,
    /// What to do.
    pub work: Work,
    /// The longest it may take; then it is stopped at a safe point.
    pub limit: Duration,
    /// It may have been begun before a restart: whoever carries it out asks for that first.
    #[serde(default)]
    pub resumed: bool,
}

/// A look or a repair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Look whether the system shows the fault. Used before a repair and again after it. Changes nothing.
    Look(Question),
    /// Change something.
    Act(Repair),
}

impl Work {
    /// Whether it only waits a moment for the file system. The rest transfers data, talks to a server or runs a program.
    #[must_use]
    pub const fn is_brief(&self) -> bool {
        match self {
            Self::Look(question) => !matches!(question, Question::Server { .. }),
            Self::Act(repair) => {
                matches!(
                    repair,
                    Repair::CreateDirectory { .. } | Repair::RestoreAccess { .. } | Repair::Quarantine { .. }
                )
            }
        }
    }
}

/// A question to the system. Each names the fault it looks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Is the wanted file missing, short or broken? (A file at `NAME` that is whole means no fault.)
    Download {
        /// Where the file should be.
        path: String,
        /// What is known of it.
        expect: Expect,
    },
    /// May the bot's user *not* use this path (read and write a file; list, enter and write a directory)?
    Access {
        /// The path in the line; a file that does not exist stands for its directory.
        path: String,
    },
    /// Is the directory missing?
    Directory {
        /// The directory, or a file whose directory is meant.
        path: String,
    },
    /// Is this existing file broken or short? A missing file is no fault of this kind.
    Integrity {
        /// The file.
        path: String,
        /// What is known of it.
        expect: Expect,
    },
    /// Is there too little room where this path is?
    Space {
        /// The path; `None` asks every root.
        path: Option<String>,
        /// Bytes that must be free; `None` takes the configured minimum.
        need: Option<u64>,
    },
    /// Does the server not answer?
    Server {
        /// Its origin, `scheme://host:port`.
        url: String,
    },
}

/// What is known of a wanted file before it is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// Its size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its SHA-256 in lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The file that was proven bad: if that one stands there, it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<Box<Bad>>,
}

/// What the system showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The verdict.
    pub finding: Finding,
    /// One sentence for people.
    pub detail: String,
    /// What was observed.
    pub evidence: Evidence,
}

/// Whether the fault is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The system shows the fault.
    Fault,
    /// The system shows that all is well.
    Sound,
    /// It cannot be told (no path known, the file's kind is unknown …).
    Unknown,
    /// It may not be looked at: outside every root, address not on the list.
    Refused {
        /// The line or command that would allow it.
        remedy: Option<String>,
    },
}

/// A repair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// Fetch to `NAME.part`, verify, rename into place.
    Redownload {
        /// Where from.
        from: Fetch,
        /// Where to.
        path: String,
        /// What it must be.
        expect: Expect,
    },
    /// Restore owner, group and mode as the root's policy says.
    RestoreAccess {
        /// The path in the line.
        path: String,
    },
    /// Make the directory (and its missing parents inside the root).
    CreateDirectory {
        /// The directory, or a file whose directory is meant.
        path: String,
    },
    /// Move a broken file aside.
    Quarantine {
        /// The file.
        path: String,
        /// What it should have been: a file that proves sound is refused.
        expect: Expect,
    },
    /// Run the command configured under `name` (`[command.NAME]`), as an argument vector.
    Command {
        /// Its name in the configuration.
        name: String,
        /// The file it is about, given as `LOGMEDIC_PATH`.
        path: Option<String>,
        /// The `url`, `file_id`, `job` of the incident, given as `LOGMEDIC_…`.
        variables: Vec<(String, String)>,
    },
    /// Signal the bot, or restart it (`None`). Carried out by the supervisor, not by `heal`.
    RestartBot {
        /// The signal's number.
        signal: Option<i32>,
    },
}

impl Repair {
    /// Whether a power cut that takes its announcement back does no harm: the system is asked again before it is repeated.
    /// A file that was moved aside is the exception: nothing else would know where it is.
    #[must_use]
    pub const fn shows_itself(&self) -> bool {
        !matches!(self, Self::Quarantine { .. })
    }

    /// Whether a program of the configuration does it, which goes on when logmedic dies, and is asked for afterwards.
    #[must_use]
    pub const fn outlives(&self) -> bool {
        matches!(self, Self::Command { .. } | Self::Redownload { from: Fetch::Command { .. }, .. })
    }

    /// Whether it can hold still halfway. The rest is over in a moment, or is a program of its own.
    #[must_use]
    pub const fn is_pausable(&self) -> bool {
        matches!(self, Self::Redownload { from: Fetch::FileId(_) | Fetch::FilePath(_) | Fetch::Url(_), .. })
    }

    /// The word for it in records.
    #[must_use]
    pub const fn strategy(&self) -> Strategy {
        match self {
            Self::Redownload { .. } => Strategy::Redownload,
            Self::RestoreAccess { .. } => Strategy::RestoreAccess,
            Self::CreateDirectory { .. } => Strategy::CreateDirectory,
            Self::Quarantine { .. } => Strategy::Quarantine,
            Self::Command { .. } => Strategy::Command,
            Self::RestartBot { .. } => Strategy::RestartBot,
        }
    }
}

/// Where a download is repeated from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fetch {
    /// `getFile` with the bot's token, then the file.
    FileId(String),
    /// A server path as `/file/bot…/PATH` had it; the same token can fetch it for an hour.
    FilePath(String),
    /// An HTTP(S) address on the configured list.
    Url(String),
    /// The configured `[command.redownload]`.
    Command {
        /// The `url`, `file_id` and `job` of the incident, as far as they are known.
        variables: Vec<(String, String)>,
    },
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOutput {
    /// A look's answer.
    Seen(Answer),
    /// The repair was made (not yet proven).
    Done {
        /// One sentence for people.
        detail: String,
        /// What was observed and changed.
        evidence: Evidence,
    },
    /// It did not work this time; another attempt may.
    Transient {
        /// Why.
        detail: String,
        /// What was observed.
        evidence: Evidence,
        /// How long the server asked to wait.
        retry_after: Option<Duration>,
        /// The server that did not answer, where that was the cause.
        server: Option<String>,
    },
    /// It cannot work, however often it is tried.
    Permanent {
        /// Why.
        detail: String,
        /// What was observed.
        evidence: Evidence,
    },
    /// It may not be done.
    Refused {
        /// Why.
        detail: String,
        /// The exact command or configuration line that would allow it.
        remedy: Option<String>,
        /// What was observed.
        evidence: Evidence,
    },
    /// No room; the download is held until there is.
    NoSpace {
        /// Which file system, how much is free.
        detail: String,
        /// What was observed.
        evidence: Evidence,
    },
    /// Nobody knows how far it came: who did it died in the middle. It is ended as such, and the system is asked again.
    Lost {
        /// What happened.
        detail: String,
    },
    /// Stopped at a safe point, because logmedic stops or does not want it any more.
    Cancelled,
    /// Stopped at a safe point, because a person wanted that.
    CalledOff,
}
