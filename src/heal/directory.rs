//! Makes a directory that is missing, with its missing parents inside the root.

use std::panic::AssertUnwindSafe;

use super::examine::facts_evidence;
use super::output::{Step, done, permanent, sealed, transient};
use super::{Healer, blocking};
use crate::decide::{Repair, TaskOutput};
use crate::roots::{Error, FileKind, RootPath};

impl Healer {
    pub(super) async fn create_directory(&self, path: &str) -> Step<TaskOutput> {
        let path = self.resolve(path)?;
        blocking(move || make(&path)).await?
    }

    /// Makes a missing directory on the caller's thread, where that is a moment's work: on a file system of this machine.
    /// `None`: nothing was done.
    #[must_use]
    pub fn act_at_once(&self, repair: &Repair) -> Option<TaskOutput> {
        let Repair::CreateDirectory { path } = repair else { return None };
        let path = self.resolve(path).ok().filter(RootPath::is_local)?;
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| make(&path)));
        let made = made.unwrap_or_else(|_| Err(permanent("failed to finish: a mistake in logmedic; please report it")));
        Some(sealed(made.unwrap_or_else(|output| *output)))
    }
}

fn make(path: &RootPath) -> Step<TaskOutput> {
    let directory = directory_of(path)?;
    let made = directory.make_directories()?;
    let Some(facts) = directory.stat()? else { return Err(transient(format!("{directory} is gone again"))) };
    let mut seen = facts_evidence(&directory, &facts);
    seen.insert("made".into(), made.into());
    Ok(match made {
        0 => done(format!("{directory} is there already"), seen),
        _ => done(format!("{directory} was made"), seen),
    })
}

/// The directory that is meant: the path itself, or where a file is named, the directory it lies in.
///
/// What exists says what it is. What does not is a file when its name has an extension with a letter in it
/// (`a.mp4`, but not `2026.11.22`).
pub(super) fn directory_of(path: &RootPath) -> Result<RootPath, Error> {
    let is_file = match path.stat()? {
        Some(facts) => facts.kind != FileKind::Directory,
        None => {
            let name = path.name();
            let extension = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, last)| last);
            extension.is_some_and(|ext| {
                (1..=5).contains(&ext.len())
                    && ext.bytes().all(|b| b.is_ascii_alphanumeric())
                    && ext.bytes().any(|b| b.is_ascii_alphabetic())
            })
        }
    };
    match path.parent() {
        Some(parent) if is_file => Ok(parent),
        _ => Ok(path.clone()),
    }
}
