//! Copies the state database while it is in use, proves copies, and makes one ready to be used again. I/O.
//!
//! A copy is made by `VACUUM INTO` on a connection that only reads: with a write-ahead log that holds up no writer, and what was
//! deleted is not in the copy. (SQLite's backup interface begins anew whenever somebody writes, so in a storm it never ends.)

use std::ffi::c_int;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::audit::{self, Outcome};
use super::{Error, Ledger, outbox, schema};
use crate::vocab::{Notice, rfc3339};

/// The name of the state database.
pub const FILE: &str = "state.db";

/// SQLite asks whether to go on after so many of its steps: a fraction of a millisecond.
const STEPS: c_int = 1_000;

/// Complaints about a damaged database that are told at most.
const COMPLAINTS: u32 = 5;

/// The state directory, held against an agent and other commands.
#[derive(Debug)]
pub struct Hold(#[allow(dead_code, reason = "the lock lives as long as its file is open")] std::fs::File);

impl Hold {
    /// Takes the directory, without opening or changing what is in it.
    ///
    /// # Errors
    /// [`Error::Locked`] when an agent runs with it.
    pub fn take(dir: &Path) -> Result<Self, Error> {
        super::lock(&dir.join("logmedic.lock")).map(Self)
    }
}

/// The newest format that this program knows.
#[must_use]
pub fn known() -> u32 {
    schema::known()
}

fn fail(path: &Path) -> impl Fn(rusqlite::Error) -> Error + '_ {
    |source| Error::Sqlite { path: path.into(), source }
}

/// How many bytes a copy will have, about.
///
/// # Errors
/// When the database cannot be read.
pub fn size(dir: &Path) -> Result<u64, Error> {
    let path = dir.join(FILE);
    let db = Ledger::look(dir)?;
    let number = |what: &str| db.query_row(&format!("PRAGMA {what}"), [], |row| row.get::<_, i64>(0));
    let read = || Ok((number("page_count")? - number("freelist_count")?).max(1) * number("page_size")?);
    read().map(i64::unsigned_abs).map_err(fail(&path))
}

/// Copies the database of this state directory to `to`, which must not exist; what is committed before it begins is in it,
/// what comes later is not. `go_on` is asked again and again; `false`: it ends, and `to` is gone.
///
/// # Errors
/// When the database cannot be read or the copy not written; then `to` is gone as well.
pub fn copy(dir: &Path, to: &Path, mut go_on: impl FnMut() -> bool + Send + 'static) -> Result<bool, Error> {
    let path = dir.join(FILE);
    let mut db = Ledger::look(dir)?;
    db.progress_handler(STEPS, Some(move || !go_on())).map_err(fail(&path))?;
    let name = to.to_str().ok_or_else(|| Error::Io {
        path: to.into(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidInput, "SQLite needs a path that is text"),
    })?;
    let done = db.execute("VACUUM INTO ?1", [name]);
    if done.is_err() {
        // It is half a copy.
        let _ = std::fs::remove_file(to);
    }
    match done {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => return Ok(false),
        other => other.map_err(fail(to))?,
    };
    let io = |source| Error::Io { path: to.into(), source };
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
    std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(io)?;
    Ok(true)
}

/// What was found out about a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Its format.
    pub format: u32,
    /// What is wrong with it; empty: nothing.
    pub damage: Vec<String>,
}

/// Looks whether a copy is a whole database of logmedic. Nothing is written, not even beside it. `None`: `go_on` said no.
///
/// # Errors
/// When the file cannot be opened.
pub fn prove(copy: &Path, mut go_on: impl FnMut() -> bool + Send + 'static) -> Result<Option<Proof>, Error> {
    // Immutable: a copy that says of itself that it has a log is not given one.
    let name = format!("file:{}?immutable=1", percent(copy));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let mut db = Connection::open_with_flags(name, flags).map_err(fail(copy))?;
    db.progress_handler(STEPS, Some(move || !go_on())).map_err(fail(copy))?;
    let look = || -> rusqlite::Result<Proof> {
        let format = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let mut check = db.prepare(&format!("PRAGMA integrity_check({COMPLAINTS})"))?;
        let said = check.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut damage: Vec<String> = said.into_iter().filter(|line| line != "ok").collect();
        let ours = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('meta', 'row', 'record')";
        if db.query_row(ours, [], |row| row.get::<_, i64>(0))? != 3 {
            damage.push("it is no state of logmedic: tables are missing".into());
        }
        Ok(Proof { format, damage })
    };
    match look() {
        Ok(proof) => Ok(Some(proof)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(None),
        // No database at all, or one whose first page is gone.
        Err(error) => Ok(Some(Proof { format: 0, damage: vec![error.to_string()] })),
    }
}

/// Makes a copy ready to be the state: brings an older format up to date, and lets go of what was true only then. Sessions and
/// scripts' tokens end (one that was revoked since would be good again), operations that were under way are closed, and
/// whoever is connected loads everything anew. Returns the format that it had.
///
/// # Errors
/// When it is newer than this program, or cannot be changed.
pub fn adopt(copy: &Path, from: &str, at: DateTime<Utc>) -> Result<u32, Error> {
    let mut db = Connection::open(copy).map_err(fail(copy))?;
    let had: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fail(copy))?;
    schema::prepare(&mut db, copy)?;
    let mut change = || -> rusqlite::Result<()> {
        let tx = db.transaction()?;
        tx.execute("UPDATE meta SET value = lower(hex(randomblob(8))) WHERE name = 'epoch'", [])?;
        tx.execute("DELETE FROM session", [])?;
        // The run that made the backup did not crash.
        let stopped =
            "UPDATE meta SET value = json_set(value, '$.stopped', json_array(?1, ?2)) WHERE name = 'agent.run'";
        tx.execute(stopped, (rfc3339(at), "a backup was brought back"))?;
        let report = serde_json::json!({ "detail": "it was under way when the backup was made" }).to_string();
        tx.execute(
            "UPDATE operation SET state = 'failed', ended_at = ?1, json = json_set(json, '$.state', 'failed', '$.wish', NULL, \
             '$.interrupted', json('true'), '$.ended_at', ?1, '$.report', json(?2)) WHERE ended_at IS NULL",
            (rfc3339(at), report),
        )?;
        audit::add(&tx, at, "local", "command", ("backup restore", from, Outcome::Done))?;
        tx.commit()?;
        // So that the file alone is all of it.
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    };
    change().map_err(fail(copy))?;
    db.close().map_err(|(_, error)| fail(copy)(error))?;
    Ok(had)
}

/// Owes people a notice, from beside the agent: whoever delivers looks every few seconds for what others wrote.
///
/// # Errors
/// When the database cannot be written.
pub fn owe(dir: &Path, notice: &Notice) -> Result<(), Error> {
    let path = dir.join(FILE);
    let write = || -> rusqlite::Result<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(&path, flags)?;
        schema::set_up(&db)?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        outbox::put(&tx, notice)?;
        tx.commit()
    };
    write().map_err(fail(&path))
}

/// The files that together are the state: the database, and beside it what it has not taken in yet.
#[must_use]
pub fn files(dir: &Path) -> [PathBuf; 3] {
    ["state.db", "state.db-wal", "state.db-shm"].map(|name| dir.join(name))
}

/// A path as it stands in a URI.
fn percent(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c8_a_copy_is_whole_while_somebody_writes_and_gone_when_it_is_broken_off() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let put = |from: i64| {
            ledger.write_here(super::super::Force::Later, |tx| {
                (from..from + 2_000).try_for_each(|n| {
                    tx.execute(
                        "INSERT INTO record (seq, incident, json) VALUES (?1, 'x', ?2)",
                        (n, format!("{{\"text\":\"{}\"}}", "r".repeat(2_000))),
                    )
                    .map(drop)
                })
            })
        };
        put(1).unwrap();
        let (one, two) = (dir.path().join("one b%.db"), dir.path().join("two.db"));
        assert!(!copy(dir.path(), &two, || false).unwrap());
        assert!(!two.exists());
        // A writer that needs the lock in the middle of the copy gets it.
        let (writer, mut turn) = (ledger.clone(), 0);
        let during = move || {
            turn += 1;
            let from = 10_000 + turn;
            writer
                .write_here(super::super::Force::Later, |tx| {
                    tx.execute("INSERT INTO record (seq, incident, json) VALUES (?1, 'x', '{}')", [from]).map(drop)
                })
                .is_ok()
        };
        assert!(copy(dir.path(), &one, during).unwrap());
        let proof = prove(&one, || true).unwrap().unwrap();
        assert_eq!(proof, Proof { format: known(), damage: Vec::new() });
        let count = |path: &Path| -> i64 {
            Connection::open(path).unwrap().query_row("SELECT count(*) FROM record", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(count(&one), 2_000, "what came later is not in it");
        assert!(count(&dir.path().join(FILE)) > 2_000, "and the writer was not held up");
        assert!(size(dir.path()).unwrap() > 1_000_000);
    }

    #[test]
    fn c8_an_older_format_is_brought_up_to_date_and_a_newer_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join("old.db");
        let db = Connection::open(&old).unwrap();
        db.execute_batch(include_str!("schema/1.sql")).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        db.execute("INSERT INTO row (kind, id, json) VALUES ('incident', 'a', '{}')", []).unwrap();
        drop(db);
        assert_eq!(prove(&old, || true).unwrap().unwrap().format, 1);
        assert_eq!(adopt(&old, "then", Utc::now()).unwrap(), 1);
        assert_eq!(prove(&old, || true).unwrap().unwrap(), Proof { format: known(), damage: Vec::new() });
        assert!(!dir.path().join("old.db-wal").exists());
        Connection::open(&old).unwrap().pragma_update(None, "user_version", known() + 1).unwrap();
        assert!(matches!(adopt(&old, "then", Utc::now()), Err(Error::Newer { .. })));
    }
}
