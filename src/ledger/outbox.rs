//! Keeps what is owed to people and what they were told: the tables `notice`, `delivery` and `telegram_chat`.
//!
//! The engine writes notices with [`put`]; everything else is written by the sender (`outbox`). Times are Unix
//! milliseconds. A message is `sending` before the call that sends it, so a cut in between is seen at the next start.

mod mark;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

pub use mark::{Sent, failed, finish, gone, group, hold, migrate, prune, refused, ring, sending, sent, skipped};

use crate::vocab::{Notice, OutcomeResult, Severity, Stage, Story, rfc3339};

/// How many notices may wait for delivery: some days of a bad time, a few megabytes at most.
pub const UNDELIVERED: i64 = 2_000;

/// How many are folded when that is reached; several at once, because finding them reads all of them.
const FOLD_AT_ONCE: i64 = 50;

/// `meta` row: how many notices were ever folded.
const FOLDED: &str = "outbox.folded";

/// Keys of digest messages start with this; keys of incidents and of the agent never do.
pub const DIGEST: &str = "digest:";

/// A notice that a chat has not been told, or not in its newest revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Its key.
    pub key: String,
    /// Its place in the order of delivery.
    pub ord: i64,
    /// No further revision is expected.
    pub ended: bool,
    /// A person must see it.
    pub rings: bool,
    /// What the chat was told so far.
    pub delivery: Option<Delivery>,
}

/// What one chat was told about one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The notice, or `digest:N`.
    pub key: String,
    /// The digest that tells it.
    pub digest: Option<String>,
    /// The live message.
    pub message_id: Option<i32>,
    /// The message to answer.
    pub reply_to: Option<i32>,
    /// Attempts in vain.
    pub attempts: u32,
    /// An earlier attempt may have arrived.
    pub unsure: bool,
    /// The formatted text was refused.
    pub plain: bool,
    /// How many dropped notices the digest tells about.
    pub folded: u64,
    /// Fingerprint of the text shown.
    pub shown: i64,
    /// When the live message was sent.
    pub first_sent: Option<i64>,
    /// When it was sent or edited last.
    pub last_sent: Option<i64>,
}

/// One Telegram chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// Where it is now.
    pub target: i64,
    /// Nothing may be sent before.
    pub not_before: i64,
    /// Why nothing can be sent.
    pub dead: Option<String>,
}

/// Inserts or replaces a notice, in the caller's transaction. A revision that is not newer is left out.
///
/// At most [`UNDELIVERED`] wait; beyond that the oldest of the least severe are folded into a count.
///
/// # Errors
/// What SQLite failed with.
pub fn put(tx: &Transaction<'_>, notice: &Notice) -> rusqlite::Result<()> {
    let revision = i64::try_from(notice.revision).unwrap_or(i64::MAX);
    let known: Option<i64> = tx
        .prepare_cached("SELECT revision FROM notice WHERE key = ?1")?
        .query_row([&notice.key], |row| row.get(0))
        .optional()?;
    if known.is_some_and(|known| known >= revision) {
        return Ok(());
    }
    let json =
        serde_json::to_string(notice).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    if known.is_none() {
        fold(tx)?;
    }
    tx.prepare_cached(
        "INSERT INTO notice (key, revision, json, at, loud, ended, rings) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (key) DO UPDATE SET revision = ?2, json = ?3, at = ?4, loud = max(loud, ?5), ended = ?6,
         rings = ?7, done = 0",
    )?
    .execute(params![
        notice.key,
        revision,
        json,
        rfc3339(notice.at),
        loud(notice.severity),
        ended(&notice.story),
        rings(&notice.story)
    ])?;
    Ok(())
}

fn fold(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let waiting: i64 =
        tx.prepare_cached("SELECT count(*) FROM notice WHERE done = 0")?.query_row([], |row| row.get(0))?;
    if waiting < UNDELIVERED {
        return Ok(());
    }
    // Those that have a message already go last: their ending would be missed.
    let gone = tx.execute(
        "DELETE FROM notice WHERE ord IN (SELECT ord FROM notice n WHERE done = 0 ORDER BY loud,
         EXISTS (SELECT 1 FROM delivery d WHERE d.key = n.key AND d.message_id IS NOT NULL), ord LIMIT ?1)",
        [FOLD_AT_ONCE],
    )?;
    tx.execute(
        "INSERT INTO meta (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + ?2 AS TEXT)",
        params![FOLDED, gone.to_string()],
    )?;
    Ok(())
}

/// The severity as a number, 0 to 3.
#[must_use]
pub const fn loud(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Error => 2,
        Severity::Critical => 3,
    }
}

fn ended(story: &Story) -> bool {
    match story {
        Story::Incident { stage, .. } => matches!(stage, Stage::Ended { .. }),
        Story::Probe { what, .. } => what != "down",
        Story::Bot { .. } | Story::Agent { .. } | Story::Operation { .. } | Story::Custom { .. } => true,
    }
}

fn rings(story: &Story) -> bool {
    match story {
        Story::Incident { stage: Stage::Ended { result, .. }, .. } => {
            matches!(result, OutcomeResult::Exhausted | OutcomeResult::Refused | OutcomeResult::AlertOnly)
        }
        Story::Incident { stage: Stage::Held { on, .. }, .. } => on == "approval",
        Story::Incident { .. } | Story::Probe { .. } => false,
        Story::Bot { .. } | Story::Agent { .. } | Story::Operation { .. } | Story::Custom { .. } => true,
    }
}

/// The name of a chat's channel.
#[must_use]
pub fn channel(chat: i64) -> String {
    format!("telegram:{chat}")
}

/// Takes over the configured chats at start, and what a cut left in the middle.
///
/// A chat that is new beside known ones is not told what all others know already.
///
/// # Errors
/// What SQLite failed with.
pub fn adopt(tx: &Transaction<'_>, chats: &[i64]) -> rusqlite::Result<()> {
    let others: bool = tx.query_row("SELECT EXISTS (SELECT 1 FROM telegram_chat)", [], |row| row.get(0))?;
    tx.execute("UPDATE telegram_chat SET active = 0", [])?;
    for chat in chats {
        tx.execute(
            "INSERT INTO telegram_chat (id, target, since, active, folded) VALUES (?1, ?1,
             CASE WHEN ?2 THEN (SELECT coalesce(max(ord), 0) FROM notice WHERE done = 1) ELSE 0 END, 1,
             CASE WHEN ?2 THEN (SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE name = ?3) ELSE 0 END)
             ON CONFLICT (id) DO UPDATE SET active = 1",
            params![chat, others, FOLDED],
        )?;
    }
    // A restart often follows a repair: an unblocked bot, a group joined again.
    tx.execute("UPDATE telegram_chat SET not_before = 0 WHERE dead IS NOT NULL", [])?;
    // A message whose answer we never read may have arrived; an edit can simply be made again.
    tx.execute(
        "UPDATE delivery SET state = 'owed', unsure = unsure OR message_id IS NULL WHERE state = 'sending'",
        [],
    )?;
    Ok(())
}

/// The chat's state.
///
/// # Errors
/// What SQLite failed with; also when [`adopt`] does not know the chat.
pub fn chat(connection: &Connection, id: i64) -> rusqlite::Result<Chat> {
    connection
        .prepare_cached("SELECT target, not_before, dead FROM telegram_chat WHERE id = ?1")?
        .query_row([id], |row| Ok(Chat { target: row.get(0)?, not_before: row.get(1)?, dead: row.get(2)? }))
}

/// Everything the chat has not been told in its newest revision, in order.
///
/// # Errors
/// What SQLite failed with.
pub fn owed(connection: &Connection, chat: i64, least: Severity) -> rusqlite::Result<Vec<Owed>> {
    connection
        .prepare_cached(
            "SELECT n.key, n.ord, n.ended, n.rings AND NOT n.silent, d.key, d.digest, d.message_id, d.reply_to, d.attempts, d.unsure,
             d.plain, d.folded, d.shown, d.first_sent, d.last_sent
             FROM notice n LEFT JOIN delivery d ON d.key = n.key AND d.channel = ?1
             WHERE n.ord > (SELECT since FROM telegram_chat WHERE id = ?2)
             AND (d.key IS NOT NULL OR n.loud >= ?3) AND coalesce(d.revision, -1) < n.revision
             AND (n.silent = 0 OR d.revision >= 0) ORDER BY n.ord",
        )?
        .query_map(params![channel(chat), chat, loud(least)], |row| {
            let told = row.get::<_, Option<String>>(4)?;
            Ok(Owed {
                key: row.get(0)?,
                ord: row.get(1)?,
                ended: row.get(2)?,
                rings: row.get(3)?,
                delivery: told.map(|key| delivery_at(row, key, 5)).transpose()?,
            })
        })?
        .collect()
}

fn delivery_at(row: &Row<'_>, key: String, from: usize) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        key,
        digest: row.get(from)?,
        message_id: row.get(from + 1)?,
        reply_to: row.get(from + 2)?,
        attempts: row.get(from + 3)?,
        unsure: row.get(from + 4)?,
        plain: row.get(from + 5)?,
        folded: row.get::<_, i64>(from + 6)?.unsigned_abs(),
        shown: row.get(from + 7)?,
        first_sent: row.get(from + 8)?,
        last_sent: row.get(from + 9)?,
    })
}

/// One chat's row about a key.
///
/// # Errors
/// What SQLite failed with.
pub fn delivery(connection: &Connection, chat: i64, key: &str) -> rusqlite::Result<Option<Delivery>> {
    connection
        .prepare_cached(
            "SELECT key, digest, message_id, reply_to, attempts, unsure, plain, folded, shown, first_sent, last_sent
             FROM delivery WHERE channel = ?1 AND key = ?2",
        )?
        .query_row(params![channel(chat), key], |row| delivery_at(row, row.get(0)?, 1))
        .optional()
}

/// The chat's digest messages, oldest first.
///
/// # Errors
/// What SQLite failed with.
pub fn digests(connection: &Connection, chat: i64) -> rusqlite::Result<Vec<Delivery>> {
    connection
        .prepare_cached(
            "SELECT key, digest, message_id, reply_to, attempts, unsure, plain, folded, shown, first_sent, last_sent
             FROM delivery WHERE channel = ?1 AND key GLOB 'digest:*' ORDER BY CAST(substr(key, 8) AS INTEGER)",
        )?
        .query_map([channel(chat)], |row| delivery_at(row, row.get(0)?, 1))?
        .collect()
}

/// How many messages about single notices the chat got since a moment.
///
/// # Errors
/// What SQLite failed with.
pub fn recent(connection: &Connection, chat: i64, since: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM delivery
             WHERE channel = ?1 AND first_sent > ?2 AND key NOT GLOB 'digest:*' AND digest IS NULL",
        )?
        .query_row(params![channel(chat), since], |row| row.get::<_, i64>(0))
        .map(|count| usize::try_from(count).unwrap_or(0))
}

/// Newest revision and content of a notice. A content this program cannot read (a newer one wrote it) is `None`.
///
/// # Errors
/// What SQLite failed with.
pub fn notice(connection: &Connection, key: &str) -> rusqlite::Result<Option<(i64, Option<Notice>)>> {
    connection
        .prepare_cached("SELECT revision, json FROM notice WHERE key = ?1")?
        .query_row([key], |row| Ok((row.get(0)?, serde_json::from_str(&row.get::<_, String>(1)?).ok())))
        .optional()
}

/// What a person ordered about an incident.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Ordered {
    /// `retry`, `acknowledge`, `silence`, `approve`, `reject`.
    pub order: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: chrono::DateTime<chrono::Utc>,
}

/// What people ordered about the incident of a notice, oldest first; nothing for other notices.
///
/// # Errors
/// What SQLite failed with.
pub fn orders(connection: &Connection, key: &str) -> rusqlite::Result<Vec<Ordered>> {
    let json: Option<Option<String>> = connection
        .prepare_cached("SELECT json ->> '$.orders' FROM row WHERE kind = 'incident' AND id = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    // What a newer logmedic wrote is not shown.
    Ok(json.flatten().and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

/// What is not over, of a kind of rows: how many, how many of them wait for approval, and the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// How many.
    pub count: u64,
    /// How many wait for a person's word.
    pub waiting: u64,
    /// Their rows: those that wait for a word first, then the newest.
    pub rows: Vec<String>,
}

/// Which rows of a kind are not over, as SQL says it.
const INCIDENTS: &str = "kind = 'incident' AND json ->> '$.ended_at' IS NULL";
const JOBS: &str = "kind = 'job' AND json ->> '$.state' IN ('queued', 'processing')";

/// Incidents that are not over, at most `limit` of them in full.
///
/// # Errors
/// What SQLite failed with.
pub fn open_incidents(connection: &Connection, limit: u32) -> rusqlite::Result<Unfinished> {
    unfinished(connection, INCIDENTS, limit)
}

/// Downloads that are under way, at most `limit` of them in full.
///
/// # Errors
/// What SQLite failed with.
pub fn active_jobs(connection: &Connection, limit: u32) -> rusqlite::Result<Unfinished> {
    unfinished(connection, JOBS, limit)
}

fn unfinished(connection: &Connection, which: &str, limit: u32) -> rusqlite::Result<Unfinished> {
    let waits = "coalesce(json ->> '$.phase.on' = 'approval', 0)";
    let (count, waiting) = connection.query_row(
        &format!("SELECT count(*), coalesce(sum({waits}), 0) FROM row WHERE {which}"),
        [],
        |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs())),
    )?;
    let rows = connection
        .prepare(&format!("SELECT json FROM row WHERE {which} ORDER BY {waits} DESC, id DESC LIMIT ?1"))?
        .query_map([limit], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Unfinished { count, waiting, rows })
}

/// The notices that a digest tells, in order.
///
/// # Errors
/// What SQLite failed with.
pub fn members(
    connection: &Connection,
    chat: i64,
    digest: &str,
) -> rusqlite::Result<Vec<(String, i64, Option<Notice>)>> {
    connection
        .prepare_cached(
            "SELECT n.key, n.revision, n.json FROM delivery d JOIN notice n ON n.key = d.key
             WHERE d.channel = ?1 AND d.digest = ?2 ORDER BY n.ord",
        )?
        .query_map(params![channel(chat), digest], |row| {
            Ok((row.get(0)?, row.get(1)?, serde_json::from_str(&row.get::<_, String>(2)?).ok()))
        })?
        .collect()
}
