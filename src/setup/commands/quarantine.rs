//! `logmedic quarantine`: lists, puts back or purges what was moved aside. Also while the agent runs.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use chrono::{TimeDelta, Utc};

use crate::heal::quarantine::{self, Entry, QuarantineError};
use crate::ledger::rusqlite::{self, Connection, OpenFlags, TransactionBehavior};
use crate::roots::{RootSpec, Roots};
use crate::vocab::clean_line;

/// How long the agent may keep the database busy before we give up.
const BUSY: Duration = Duration::from_secs(10);

/// Lists, restores or purges files in quarantine.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Action {
    /// Show what is in quarantine.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Put a file back where it was, if nothing stands there now.
    Restore {
        /// Its identifier, from `list`.
        id: String,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Delete for good: one by its identifier, or everything older than a time.
    Purge {
        /// Its identifier, from `list`.
        #[arg(required_unless_present = "older_than", conflicts_with = "older_than")]
        id: Option<String>,
        /// Everything that is there longer: `30d`, `12h`, `0s` for everything.
        #[arg(long, value_parser = age)]
        older_than: Option<Duration>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The output cannot be written.
    #[error("failed to write the output: {0}")]
    Output(#[from] io::Error),
    /// The state database cannot be used.
    #[error("failed to open {path}: {source}; is this the agent's state directory, and may you write to it?")]
    Open {
        /// The database.
        path: String,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// A file could not be put back or purged.
    #[error("failed to change the quarantine: {0}")]
    Quarantine(#[from] QuarantineError),
    /// The database said no.
    #[error("failed to use the state database: {0}")]
    Ledger(#[from] rusqlite::Error),
}

/// A time such as `30d`.
fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no time; write for example 30d, 12h, 15m or 90s");
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// Does it. `state` is the agent's state directory. Returns the exit code.
///
/// # Errors
/// When there is no such entry, a place is taken, or the database or a file cannot be used.
pub fn run(args: &Args, state: &Path, roots: &[RootSpec], out: &mut impl Write) -> Result<u8, Error> {
    let path = state.join("state.db");
    let open = |flags| {
        let db = Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        db.and_then(|db| db.busy_timeout(BUSY).map(|()| db))
            .map_err(|source| Error::Open { path: path.display().to_string(), source })
    };
    let (roots, _) = Roots::open(roots);
    let (entries, json, said) = match &args.action {
        Action::List { json } => {
            // Nothing was ever moved aside where no agent ran yet.
            let entries =
                if path.exists() { quarantine::list(&open(OpenFlags::SQLITE_OPEN_READ_ONLY)?)? } else { Vec::new() };
            (entries, *json, "")
        }
        Action::Restore { id, json } => {
            let mut db = open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            let entry = change(&mut db, |db| quarantine::restore(db, &roots, id, Utc::now()))?;
            (vec![entry], *json, "restored  ")
        }
        Action::Purge { id, older_than, json } => {
            let mut db = open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            let entries = match id {
                Some(id) => vec![change(&mut db, |db| quarantine::purge_one(db, &roots, id))?],
                None => {
                    let age = TimeDelta::from_std(older_than.unwrap_or(Duration::MAX)).unwrap_or(TimeDelta::MAX);
                    change(&mut db, |db| quarantine::purge(db, &roots, age, Utc::now()))?
                }
            };
            (entries, *json, "purged  ")
        }
    };
    for entry in &entries {
        write_entry(entry, json, said, out)?;
    }
    if entries.is_empty() && !json {
        writeln!(out, "nothing is in quarantine")?;
    }
    out.flush()?;
    Ok(0)
}

fn change<T>(db: &mut Connection, work: impl FnOnce(&Connection) -> Result<T, QuarantineError>) -> Result<T, Error> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

fn write_entry(entry: &Entry, json: bool, said: &str, out: &mut impl Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, entry)?;
        return out.write_all(b"\n");
    }
    writeln!(
        out,
        "{said}{}  {}  {:>12}  {}/{}  {}",
        entry.id,
        entry.at,
        entry.size,
        clean_line(&entry.root),
        clean_line(&entry.original),
        clean_line(&entry.why),
    )
}
