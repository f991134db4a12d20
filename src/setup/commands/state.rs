//! Changes the state directory from a command, also while the agent runs. I/O.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use chrono::Utc;

use super::Failure;
use crate::ledger::audit::{self, Outcome};
use crate::ledger::rusqlite::{self, Connection, OpenFlags, Transaction, TransactionBehavior};
use crate::ledger::{self, Force, Ledger};
use crate::setup::agent::state_failure;

/// How long the agent may keep the database busy before we give up.
const BUSY: Duration = Duration::from_secs(10);

/// The state directory, open for a change.
pub(super) enum State {
    /// No agent runs: the directory is ours while we are at it.
    Own(Ledger),
    /// An agent holds the directory; the database takes one writer after the other.
    Beside(Connection),
}

impl State {
    /// Opens it; makes it where there is none yet.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        own(dir)?;
        match Ledger::open(dir) {
            Ok(ledger) => Ok(Self::Own(ledger)),
            Err(ledger::Error::Locked { .. }) => {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let db = Connection::open_with_flags(dir.join("state.db"), flags)
                    .and_then(|db| db.busy_timeout(BUSY).map(|()| db));
                db.map(Self::Beside).map_err(|error| sqlite(&error))
            }
            Err(error) => Err(state_failure(&error)),
        }
    }

    /// Does `work` in one transaction, on the disk when this returns.
    ///
    /// # Errors
    /// What `work` or the commit failed with.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Failure> {
        match self {
            Self::Own(ledger) => ledger.write_here(Force::Now, work).map_err(|error| state_failure(&error)),
            Self::Beside(db) => {
                let done = || {
                    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    let value = work(&tx)?;
                    tx.commit()?;
                    Ok(value)
                };
                done().map_err(|error| sqlite(&error))
            }
        }
    }
}

/// What somebody else makes in the agent's directory the agent could not use: also root is sent to its user.
pub(super) fn own(dir: &Path) -> Result<(), Failure> {
    let Ok(meta) = std::fs::metadata(dir) else { return Ok(()) };
    let owner = nix::unistd::Uid::from_raw(meta.uid());
    if owner == nix::unistd::geteuid() {
        return Ok(());
    }
    let name = nix::unistd::User::from_uid(owner).ok().flatten().map_or_else(|| owner.to_string(), |user| user.name);
    let message = format!(
        "failed to use the state directory {}: it belongs to {name}; run this as that user: sudo -u {name} logmedic …",
        dir.display()
    );
    Err(Failure::Other { code: 77, message })
}

/// Writes down what a command did: whoever may write here holds the machine.
pub(super) fn note(tx: &Transaction<'_>, action: &str, target: &str) -> rusqlite::Result<()> {
    audit::add(tx, Utc::now(), "local", "command", (action, target, Outcome::Done))
}

fn sqlite(error: &rusqlite::Error) -> Failure {
    Failure::failed(format!(
        "failed to change the state database: {error}; an older logmedic may be running with it: restart that first"
    ))
}
