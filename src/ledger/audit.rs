//! Keeps who did what, when, from where. I/O.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, Transaction, params};

use crate::vocab::rfc3339;

/// What was done and what failed, kept at most: years of a busy house, some tens of megabytes.
pub const KEEP: u32 = 100_000;

/// What was refused, kept at most. Counted apart: who is refused a thousand times must not push out what was done.
pub const KEEP_REFUSED: u32 = 10_000;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Not allowed, or not possible.
    Refused,
    /// logmedic could not.
    Failed,
}

impl Outcome {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place; grows.
    pub ord: i64,
    /// When, RFC 3339.
    pub at: String,
    /// Who.
    pub account: String,
    /// From where.
    pub address: String,
    /// What.
    pub action: String,
    /// To what; may be empty.
    pub target: String,
    /// `done`, `refused` or `failed`.
    pub outcome: String,
}

/// Writes one deed down.
///
/// # Errors
/// SQLite's own.
pub fn add(
    tx: &Transaction<'_>,
    at: DateTime<Utc>,
    account: &str,
    address: &str,
    (action, target, outcome): (&str, &str, Outcome),
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO audit (at, account, address, action, target, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![rfc3339(at), account, address, action, target, outcome.as_str()])?;
    Ok(())
}

/// At most `limit` deeds, newest first; only those before the place `before`, and of this account, where it is said.
///
/// # Errors
/// SQLite's own.
pub fn page(db: &Connection, limit: u32, before: Option<i64>, account: Option<&str>) -> rusqlite::Result<Vec<Entry>> {
    let read = |row: &Row<'_>| {
        Ok(Entry {
            ord: row.get(0)?,
            at: row.get(1)?,
            account: row.get(2)?,
            address: row.get(3)?,
            action: row.get(4)?,
            target: row.get(5)?,
            outcome: row.get(6)?,
        })
    };
    db.prepare_cached(
        "SELECT ord, at, account, address, action, target, outcome FROM audit
         WHERE ord < ?1 AND (?2 IS NULL OR account = ?2) ORDER BY ord DESC LIMIT ?3",
    )?
    .query_map(params![before.unwrap_or(i64::MAX), account, limit], read)?
    .collect()
}

/// Lets the oldest go, down to [`KEEP`] and [`KEEP_REFUSED`].
///
/// # Errors
/// SQLite's own.
pub fn prune(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    for (rule, keep) in [("= 'refused'", KEEP_REFUSED), ("<> 'refused'", KEEP)] {
        tx.execute(
            &format!(
                "DELETE FROM audit WHERE outcome {rule} AND ord <=
                 (SELECT ord FROM audit WHERE outcome {rule} ORDER BY ord DESC LIMIT 1 OFFSET ?1)"
            ),
            [keep],
        )?;
    }
    Ok(())
}
