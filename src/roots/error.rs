//! Says why a file could not be used: missing, refused, no room, no privilege, or the system's own words.

use std::path::Path;

use nix::errno::Errno;

/// Why a path may not be used, and what would allow it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// One sentence.
    pub reason: String,
    /// The exact configuration lines or command that would allow it, where something would.
    pub remedy: Option<String>,
}

impl Refusal {
    /// A refusal that nothing would lift.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: None }
    }

    /// The same with what would allow it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Why an operation on a file failed. Paths in here are escaped for people.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It is not there.
    #[error("{0} does not exist")]
    Missing(String),
    /// Something stands there already.
    #[error("{0} exists already")]
    Exists(String),
    /// It may not be used.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No room, or over the quota.
    #[error("no room left for {0}")]
    NoSpace(String),
    /// logmedic itself lacks the privilege.
    #[error("failed to {what} {path}: logmedic's user is not permitted to")]
    Denied {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: String,
    },
    /// Anything else.
    #[error("failed to {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: String,
        /// The system's own words.
        source: Errno,
    },
}

impl Error {
    /// The error for `errno`, after trying to `what` the thing shown as `path`.
    pub(super) fn of(what: &'static str, path: &str, errno: Errno) -> Self {
        let path = crate::vocab::clean_line(path).into_owned();
        match errno {
            Errno::ENOENT => Self::Missing(path),
            Errno::EEXIST | Errno::ENOTEMPTY => Self::Exists(path),
            Errno::ENOSPC | Errno::EDQUOT => Self::NoSpace(path),
            Errno::EACCES | Errno::EPERM => Self::Denied { what, path },
            Errno::ELOOP => Self::Refused(Refusal::new(format!(
                "{path} is a symbolic link or lies behind one; logmedic never follows links inside a root"
            ))),
            Errno::EXDEV => Self::Refused(Refusal::new(format!(
                "{path} leaves its root or lies on another file system mounted inside it; make that a root of its own"
            ))),
            Errno::ENOTDIR => {
                Self::Refused(Refusal::new(format!("a part of {path} is a file or a link where a directory should be")))
            }
            Errno::ENAMETOOLONG => Self::Refused(Refusal::new(format!("{path} has too long a name"))),
            source => Self::Io { what, path, source },
        }
    }

    /// The same for an error of the standard library.
    pub(super) fn of_io(what: &'static str, path: &Path, error: std::io::Error) -> Self {
        let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
        Self::of(what, &path.display().to_string(), errno)
    }
}
