//! Stores operations: one row each, written again at each change of state. I/O.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

/// An operation as it is stored.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its identifier.
    pub id: String,
    /// What sort of work it is.
    pub kind: &'static str,
    /// Where it is.
    pub state: &'static str,
    /// How urgent it is.
    pub priority: &'static str,
    /// When it was asked for, RFC 3339.
    pub created_at: String,
    /// When it was over.
    pub ended_at: Option<String>,
    /// All of it.
    pub json: String,
}

/// Which operations are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<&'static str>,
    /// Of this sort.
    pub kind: Option<&'static str>,
}

/// Adds an operation, or takes over what became of it.
///
/// # Errors
/// When the database refuses.
pub fn put(tx: &Transaction<'_>, row: &Row) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO operation (id, kind, state, priority, created_at, ended_at, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, ended_at = excluded.ended_at, json = excluded.json",
    )?
    .execute(params![row.id, row.kind, row.state, row.priority, row.created_at, row.ended_at, row.json])
    .map(drop)
}

/// Those that are not over, in the order in which they came: identifier and JSON.
///
/// # Errors
/// When the database cannot be read.
pub fn open(db: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut query = db.prepare("SELECT id, json FROM operation WHERE ended_at IS NULL ORDER BY ord")?;
    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Closes one that cannot be read (of another version).
///
/// # Errors
/// When the database refuses.
pub fn close_unread(tx: &Transaction<'_>, id: &str, at: &str) -> rusqlite::Result<()> {
    tx.execute("UPDATE operation SET state = 'failed', ended_at = ?2 WHERE id = ?1", (id, at)).map(drop)
}

/// One of them, as JSON.
///
/// # Errors
/// When the database cannot be read.
pub fn get(db: &Connection, id: &str) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT json FROM operation WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
}

/// The newest first: their place and JSON. Those before `before` only, so that pages never repeat one.
///
/// # Errors
/// When the database cannot be read.
pub fn list(db: &Connection, filter: Filter, before: Option<i64>, limit: u32) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut query = db.prepare_cached(
        "SELECT ord, json FROM operation WHERE ord < ?1 AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR kind = ?3) \
         ORDER BY ord DESC LIMIT ?4",
    )?;
    let wanted = params![before.unwrap_or(i64::MAX), filter.state, filter.kind, limit];
    query.query_map(wanted, |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// How many there are in each state.
///
/// # Errors
/// When the database cannot be read.
pub fn count(db: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut query = db.prepare_cached("SELECT state, count(*) FROM operation GROUP BY state")?;
    query.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?.collect()
}

/// Lets go of those of this kind that were over before `before`, and of all but the newest `keep` that are over. Returns
/// how many went.
///
/// # Errors
/// When the database refuses.
pub fn prune(tx: &Transaction<'_>, kind: &str, keep: u32, before: &str) -> rusqlite::Result<usize> {
    tx.execute(
        "DELETE FROM operation WHERE kind = ?1 AND ended_at IS NOT NULL AND (ended_at < ?3 OR ord <= \
         (SELECT ord FROM operation WHERE kind = ?1 AND ended_at IS NOT NULL ORDER BY ord DESC LIMIT 1 OFFSET ?2))",
        params![kind, keep, before],
    )
}
