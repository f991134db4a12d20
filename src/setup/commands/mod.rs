//! Carries out each command of the command line. One file a command.

use std::io::{self, Write};

use super::problem::Problems;

mod bulk;
pub mod check;
pub mod classify;
pub mod completions;
pub mod config;
pub mod demo;
pub mod explain;
pub mod init;
pub mod library;
pub mod man;
pub mod notifications;
pub mod operations;
pub mod quarantine;
pub mod reload;
pub mod rules;
pub mod run;
mod state;
pub mod status;
pub mod token;
pub mod user;
pub mod verify;
pub mod version;
pub mod ws;

/// Why a command failed, with its exit code.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is wrong (78), or may not be read (77).
    Config(Problems),
    /// Something else: the code, and a text that begins with "failed to".
    Other {
        /// 1 failed, 75 try again, 77 not permitted, 78 configuration wrong.
        code: u8,
        /// What failed, and what would help.
        message: String,
    },
    /// Nobody reads the output any more (`| head`): not worth a word.
    Pipe,
}

/// An exit code, or why there is none.
pub type Done = Result<u8, Failure>;

impl Failure {
    /// A failure with exit code 1.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Other { code: 1, message: message.into() }
    }

    /// A failed file operation: 77 when a permission is missing, else 1.
    #[must_use]
    pub fn io(what: &str, path: &std::path::Path, error: &io::Error) -> Self {
        let code = if error.kind() == io::ErrorKind::PermissionDenied { 77 } else { 1 };
        Self::Other { code, message: format!("failed to {what} {}: {error}", path.display()) }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(problems) => f.write_str(&problems.lines().join("; ")),
            Self::Other { message, .. } => f.write_str(message),
            Self::Pipe => f.write_str("failed to write the output: nobody reads it"),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Config(problems)
    }
}

/// For commands that only read and print: a closed pipe is no failure, everything else has exit code 1.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        if error.downcast_ref::<io::Error>().is_some_and(pipe) {
            return Self::Pipe;
        }
        Self::failed(format!("{error:#}"))
    }
}

/// For output only: a closed pipe is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Pipe,
            _ => Self::failed(format!("failed to write the output: {error}")),
        }
    }
}

/// Standard output, buffered; write errors come back as [`Failure`] with `?`.
#[must_use]
pub fn stdout() -> io::BufWriter<io::StdoutLock<'static>> {
    io::BufWriter::new(io::stdout().lock())
}

/// Writes one JSON object as a line.
///
/// # Errors
/// When the output cannot be written.
pub fn json_line(out: &mut impl Write, value: &impl serde::Serialize) -> Result<(), Failure> {
    let json = crate::vocab::json_text(serde_json::to_string(value).map_err(io::Error::from)?);
    Ok(writeln!(out, "{json}")?)
}

/// How often a list that is followed is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(500);

/// Shows what `look` finds, the newest first, or `nothing`. When following, the newest last, and from then on whatever changes.
///
/// # Errors
/// When a look fails or the output is closed.
pub fn list<T: PartialEq, W: io::Write>(
    follow: bool,
    look: impl Fn() -> Result<Vec<T>, Failure>,
    nothing: Option<&str>,
    out: &mut W,
    show: impl Fn(&mut W, &T) -> Result<(), Failure>,
) -> Done {
    let mut found = look()?;
    if let (true, Some(nothing)) = (found.is_empty(), nothing) {
        writeln!(out, "{nothing}")?;
    }
    let mut shown = Vec::new();
    loop {
        if follow {
            found.reverse();
        }
        found.iter().filter(|one| !shown.contains(*one)).try_for_each(|one| show(out, one))?;
        out.flush()?;
        if !follow {
            return Ok(0);
        }
        shown = found;
        std::thread::sleep(LOOK);
        found = look()?;
    }
}
