//! Stores checks of integrity: how far each is, and what it found. I/O.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

/// What one check may find that is written down; beyond it files are only counted. Their verdicts stand in the library.
pub const FINDINGS_MAX: u64 = 10_000;

/// A file that is not sound, as one check found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Its place in the order in which files were first seen.
    pub ord: i64,
    /// Its identifier in the library.
    pub media: String,
    /// Where it was, escaped for people.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// `short`, `broken`, `changed`, `unknown`.
    pub verdict: String,
    /// How thoroughly it was looked at.
    pub level: String,
    /// What shows it.
    pub reason: String,
    /// When, in Unix milliseconds.
    pub checked_at: i64,
    /// The incident that it led to.
    pub incident: Option<String>,
}

/// How far a check is: the last file's place, and what was counted, as JSON.
///
/// # Errors
/// When the database cannot be read.
pub fn progress(db: &Connection, operation: &str) -> rusqlite::Result<Option<(i64, String)>> {
    let mut query = db.prepare_cached("SELECT after, json FROM integrity_run WHERE operation = ?1")?;
    query.query_row([operation], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Writes down how far a check is.
///
/// # Errors
/// When the database refuses.
pub fn keep(tx: &Transaction<'_>, operation: &str, after: i64, json: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO integrity_run (operation, after, json) VALUES (?1, ?2, ?3)
         ON CONFLICT (operation) DO UPDATE SET after = excluded.after, json = excluded.json",
    )?
    .execute((operation, after, json))
    .map(drop)
}

/// Writes down what was found; found again after a restart, it is the same.
///
/// # Errors
/// When the database refuses.
pub fn add(tx: &Transaction<'_>, operation: &str, found: &Finding) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO integrity_finding
            (operation, ord, media, path, size, verdict, level, reason, checked_at, incident)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        operation,
        found.ord,
        found.media,
        found.path,
        i64::try_from(found.size).unwrap_or(i64::MAX),
        found.verdict,
        found.level,
        found.reason,
        found.checked_at,
        found.incident,
    ])
    .map(drop)
}

/// Up to `limit` files that a check found, behind `after` in the order of the library.
///
/// # Errors
/// When the database cannot be read.
pub fn findings(db: &Connection, operation: &str, after: i64, limit: u32) -> rusqlite::Result<Vec<Finding>> {
    let mut query = db.prepare_cached(
        "SELECT ord, media, path, size, verdict, level, reason, checked_at, incident FROM integrity_finding
         WHERE operation = ?1 AND ord > ?2 ORDER BY ord LIMIT ?3",
    )?;
    let rows = query.query_map((operation, after, limit), |row| {
        Ok(Finding {
            ord: row.get(0)?,
            media: row.get(1)?,
            path: row.get(2)?,
            size: row.get::<_, i64>(3)?.unsigned_abs(),
            verdict: row.get(4)?,
            level: row.get(5)?,
            reason: row.get(6)?,
            checked_at: row.get(7)?,
            incident: row.get(8)?,
        })
    })?;
    rows.collect()
}

/// The incident that a check made of this file.
///
/// # Errors
/// When the database cannot be read.
pub fn told(db: &Connection, media: &str) -> rusqlite::Result<Option<String>> {
    let mut query = db.prepare_cached(
        "SELECT incident FROM integrity_finding WHERE media = ?1 AND incident IS NOT NULL ORDER BY checked_at DESC LIMIT 1",
    )?;
    query.query_row([media], |row| row.get(0)).optional()
}

/// Lets go of checks whose operation is forgotten.
///
/// # Errors
/// When the database refuses.
pub fn sweep(tx: &Transaction<'_>) -> rusqlite::Result<usize> {
    tx.execute("DELETE FROM integrity_run WHERE operation NOT IN (SELECT id FROM operation)", [])
}

/// How many files there are of this root, or of all; only those that were found bad or changed, where that is wanted.
///
/// # Errors
/// When the database cannot be read.
pub fn count(db: &Connection, root: Option<&str>, reported: bool) -> rusqlite::Result<u64> {
    let mut query = db.prepare_cached(
        "SELECT count(*) FROM media WHERE gone_at IS NULL AND (?1 IS NULL OR root = ?1)
         AND (NOT ?2 OR integrity IN ('short', 'broken', 'changed'))",
    )?;
    query.query_row((root, reported), |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}
