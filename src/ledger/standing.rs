//! Tells how each channel stands: what waits for it, whether it works, when something arrived last. I/O through SQLite.

use rusqlite::{Connection, Row};

use super::{channels, outbox};
use crate::vocab::Severity;

/// How one channel stands. Times are Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// `telegram:CHAT`, `webhook:NAME`, `email:NAME`, `push:HASH`.
    pub channel: String,
    /// Entries that it is owed and has not been told.
    pub waiting: u64,
    /// Nothing arrived since.
    pub failing_since: Option<i64>,
    /// What it failed with last; nothing once something arrived.
    pub error: Option<String>,
    /// Something arrived last at this moment.
    pub last_sent: Option<i64>,
}

fn standing(row: &Row<'_>) -> rusqlite::Result<Standing> {
    Ok(Standing {
        channel: row.get(0)?,
        waiting: row.get::<_, i64>(1)?.unsigned_abs(),
        failing_since: row.get(2)?,
        error: row.get(3)?,
        last_sent: row.get(4)?,
    })
}

/// How every channel stands that an agent ever served and that is still configured: chats first, then by name. `least`: the
/// severity from which Telegram is told.
///
/// # Errors
/// What SQLite failed with.
pub fn standings(db: &Connection, least: Severity) -> rusqlite::Result<Vec<Standing>> {
    let chats = db
        .prepare(
            "SELECT 'telegram:' || id, 0, failing_since, coalesce(dead, error), last_sent, id FROM telegram_chat
             WHERE active ORDER BY id",
        )?
        .query_map([], |row| Ok((standing(row)?, row.get::<_, i64>(5)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut all = Vec::with_capacity(chats.len());
    for (standing, chat) in chats {
        let waiting = outbox::owed(db, chat, least)?.len() as u64;
        all.push(Standing { waiting, ..standing });
    }
    let others = db
        .prepare(&format!(
            "SELECT c.name, (SELECT count(*) FROM post p JOIN notification n ON n.id = p.id
             WHERE p.channel = c.name AND p.state IN ('owed', 'sending') AND {}),
             c.failing_since, c.error, c.last_sent FROM channel c WHERE c.active ORDER BY c.name",
            channels::AUDIBLE
        ))?
        .query_map([], standing)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    all.extend(others);
    Ok(all)
}
