//! Keeps how probes stood, settings that people changed, and what the interface counts: `probe`, `setting`, `tally`.

use std::path::PathBuf;

use rusqlite::{Connection, Transaction, params};

use super::outbox;
use crate::acquire::{Checkpoint, Identity};
use crate::vocab::{Notice, Severity};

/// A probe as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredProbe {
    /// Its name.
    pub name: String,
    /// `unknown`, `up`, `down`.
    pub state: String,
    /// What else is known of it.
    pub json: String,
}

/// A setting that was changed while logmedic runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSetting {
    /// As in the configuration: `retry.attempts`.
    pub key: String,
    /// Its value.
    pub json: String,
    /// When it was changed, RFC 3339.
    pub at: String,
    /// Who changed it.
    pub account: String,
}

/// How many of something there are, by up to two words.
pub type Counted = (String, String, u64);

/// Every probe, in the order in which they were added.
///
/// # Errors
/// What SQLite failed with.
pub fn probes(db: &Connection) -> rusqlite::Result<Vec<StoredProbe>> {
    let mut query = db.prepare_cached("SELECT name, state, json FROM probe ORDER BY ord")?;
    let row = |row: &rusqlite::Row<'_>| Ok(StoredProbe { name: row.get(0)?, state: row.get(1)?, json: row.get(2)? });
    query.query_map([], row)?.collect()
}

/// Keeps a probe as it stands now, with what people are told of it.
///
/// # Errors
/// What SQLite failed with.
pub fn keep_probe(tx: &Transaction<'_>, probe: &StoredProbe, notice: Option<&Notice>) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO probe (name, state, json) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET state = excluded.state, json = excluded.json",
    )?
    .execute(params![probe.name, probe.state, probe.json])?;
    notice.map_or(Ok(()), |notice| outbox::put(tx, notice))
}

/// Forgets a probe.
///
/// # Errors
/// What SQLite failed with.
pub fn drop_probe(tx: &Transaction<'_>, name: &str, notice: &Notice) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM probe WHERE name = ?1", [name])?;
    outbox::put(tx, notice)
}

/// Every setting that was changed; none where the state is older than this table.
///
/// # Errors
/// What SQLite failed with.
pub fn settings(db: &Connection) -> rusqlite::Result<Vec<StoredSetting>> {
    let there: bool =
        db.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'setting')", [], |row| row.get(0))?;
    if !there {
        return Ok(Vec::new());
    }
    let mut query = db.prepare_cached("SELECT key, json, at, account FROM setting ORDER BY key")?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok(StoredSetting { key: row.get(0)?, json: row.get(1)?, at: row.get(2)?, account: row.get(3)? })
    };
    query.query_map([], row)?.collect()
}

/// Puts exactly these settings in place of those that are kept.
///
/// # Errors
/// What SQLite failed with.
pub fn replace_settings(tx: &Transaction<'_>, settings: &[StoredSetting]) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM setting", [])?;
    let mut insert = tx.prepare_cached("INSERT INTO setting (key, json, at, account) VALUES (?1, ?2, ?3, ?4)")?;
    for setting in settings {
        insert.execute(params![setting.key, setting.json, setting.at, setting.account])?;
    }
    Ok(())
}

fn counted(db: &Connection, sql: &str) -> rusqlite::Result<Vec<Counted>> {
    let mut query = db.prepare_cached(sql)?;
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs()));
    query.query_map([], row)?.collect()
}

/// Deliveries so far, by kind of channel and how they ended.
///
/// # Errors
/// What SQLite failed with.
pub fn deliveries(db: &Connection) -> rusqlite::Result<Vec<Counted>> {
    counted(db, "SELECT channel, result, count FROM tally")
}

/// Operations, by state.
///
/// # Errors
/// What SQLite failed with.
pub fn operations(db: &Connection) -> rusqlite::Result<Vec<Counted>> {
    counted(db, "SELECT state, '', count(*) FROM operation GROUP BY state")
}

/// Open incidents, by class.
///
/// # Errors
/// What SQLite failed with.
pub fn open_incidents(db: &Connection) -> rusqlite::Result<Vec<Counted>> {
    counted(
        db,
        "SELECT json ->> '$.incident.class', '', count(*) FROM row
         WHERE kind = 'incident' AND json ->> '$.ended_at' IS NULL GROUP BY 1",
    )
}

/// Jobs, by state.
///
/// # Errors
/// What SQLite failed with.
pub fn jobs(db: &Connection) -> rusqlite::Result<Vec<Counted>> {
    counted(db, "SELECT json ->> '$.state', '', count(*) FROM row WHERE kind = 'job' GROUP BY 1")
}

/// Notifications, by level and whether they are read.
///
/// # Errors
/// What SQLite failed with.
pub fn notifications(db: &Connection) -> rusqlite::Result<Vec<Counted>> {
    counted(db, "SELECT level, iif(read_at IS NULL, 'unread', 'read'), count(*) FROM notification GROUP BY 1, 2")
}

/// How many notices of at least this severity wait for delivery, and since when the oldest does (RFC 3339).
///
/// # Errors
/// What SQLite failed with.
pub fn backlog(db: &Connection, least: Severity) -> rusqlite::Result<(u64, Option<String>)> {
    let sql = "SELECT count(*), min(at) FROM notice WHERE done = 0 AND loud >= ?1";
    db.query_row(sql, [outbox::loud(least)], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?)))
}

/// Incidents that were opened since a moment, counted by day or hour, class and result (`open` while they run).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// Start of the hour or day, RFC 3339.
    pub at: String,
    /// What went wrong.
    pub class: String,
    /// How it ended.
    pub result: String,
    /// How many incidents.
    pub count: u64,
}

/// Incidents whose identifier is at least `since` (identifiers sort by time), by hour or by day.
///
/// # Errors
/// What SQLite failed with.
pub fn failures(db: &Connection, since: &str, hourly: bool) -> rusqlite::Result<Vec<Failures>> {
    let form = if hourly { "%Y-%m-%dT%H:00:00Z" } else { "%Y-%m-%dT00:00:00Z" };
    let mut query = db.prepare_cached(
        "SELECT strftime(?2, json ->> '$.incident.opened_at') AS at, json ->> '$.incident.class' AS class,
         coalesce(json ->> '$.result', 'open') AS result, count(*) FROM row
         WHERE kind = 'incident' AND id >= ?1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    )?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Failures {
            at: row.get::<_, Option<String>>(0)?.unwrap_or_default(),
            class: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
            result: row.get(2)?,
            count: row.get::<_, i64>(3)?.unsigned_abs(),
        })
    };
    query.query_map((since, form), row)?.collect()
}

/// How far a file has been worked off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The source's name.
    pub source: String,
    /// The file.
    pub path: PathBuf,
    /// Which file that is: device and number.
    pub file: (u64, u64),
    /// Everything before this byte has been worked off.
    pub offset: u64,
}

/// Every file that is followed.
///
/// # Errors
/// What SQLite failed with.
pub fn tails(db: &Connection) -> rusqlite::Result<Vec<Tail>> {
    let mut query = db.prepare_cached("SELECT json FROM checkpoint")?;
    let rows = query.query_map([], |row| row.get::<_, String>(0))?;
    let tail = |json: String| {
        let Checkpoint { source, identity, offset } = serde_json::from_str(&json).ok()?;
        match identity {
            // Number 0: a place where no file was seen yet.
            Identity::File { path, dev, ino, .. } if ino != 0 => Some(Tail { source, path, file: (dev, ino), offset }),
            Identity::File { .. } | Identity::Journal { .. } | Identity::Stdin => None,
        }
    };
    Ok(rows.filter_map(Result::ok).filter_map(tail).collect())
}
