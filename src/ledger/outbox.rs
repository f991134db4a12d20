//! Keeps what is owed to people and what they were told: the tables `notice`, `delivery` and `telegram_chat`.
//!
//! The engine writes notices with [`put`]; everything else is written by the sender (`outbox`). Times are Unix
//! milliseconds. A message is `sending` before the call that sends it, so a cut in between is seen at the next start.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::vocab::{Notice, OutcomeResult, Severity, Stage, Story, rfc3339};

/// How many notices may wait for delivery: some days of a bad time, a few megabytes at most.
pub const UNDELIVERED: i64 = 2_000;

/// How many are folded when that is reached; several at once, because finding them reads all of them.
const FOLD_AT_ONCE: i64 = 50;

/// How many told notices are kept at most beside the undelivered ones.
const KEPT: i64 = 2_000;

/// How long told and ended notices are kept: a chat that is dead for a day still gets the last day's.
const KEEP_MS: i64 = 26 * 3_600_000;

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

const fn ended(story: &Story) -> bool {
    match story {
        Story::Incident { stage, .. } => matches!(stage, Stage::Ended { .. }),
        Story::Bot { .. } | Story::Agent { .. } => true,
    }
}

fn rings(story: &Story) -> bool {
    match story {
        Story::Incident { stage: Stage::Ended { result, .. }, .. } => {
            matches!(result, OutcomeResult::Exhausted | OutcomeResult::Refused | OutcomeResult::AlertOnly)
        }
        Story::Incident { stage: Stage::Held { on, .. }, .. } => on == "approval",
        Story::Incident { .. } => false,
        Story::Bot { .. } | Story::Agent { .. } => true,
    }
}

/// The name of a chat's channel.
#[must_use]
pub fn channel(chat: i64) -> String {
    format!("telegram:{chat}")
}

/// Takes over the configured chats at start, and what a cut left in the middle.
///
/// A chat that is new beside known ones is not told what happened before it came.
///
/// # Errors
/// What SQLite failed with.
pub fn adopt(tx: &Transaction<'_>, chats: &[i64]) -> rusqlite::Result<()> {
    let others: bool = tx.query_row("SELECT EXISTS (SELECT 1 FROM telegram_chat)", [], |row| row.get(0))?;
    tx.execute("UPDATE telegram_chat SET active = 0", [])?;
    for chat in chats {
        tx.execute(
            "INSERT INTO telegram_chat (id, target, since, active, folded) VALUES (?1, ?1,
             CASE WHEN ?2 THEN (SELECT coalesce(max(ord), 0) FROM notice) ELSE 0 END, 1,
             CASE WHEN ?2 THEN (SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE name = ?3) ELSE 0 END)
             ON CONFLICT (id) DO UPDATE SET active = 1",
            params![chat, others, FOLDED],
        )?;
    }
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
            "SELECT n.key, n.ord, n.ended, n.rings, d.key, d.digest, d.message_id, d.reply_to, d.attempts, d.unsure,
             d.plain, d.folded, d.shown, d.first_sent, d.last_sent
             FROM notice n LEFT JOIN delivery d ON d.key = n.key AND d.channel = ?1
             WHERE n.ord > (SELECT since FROM telegram_chat WHERE id = ?2)
             AND (d.key IS NOT NULL OR n.loud >= ?3) AND coalesce(d.revision, -1) < n.revision ORDER BY n.ord",
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

/// Puts notices into a digest (an existing one, or `digest:N` for the first one's place `N`), and says its key.
///
/// # Errors
/// What SQLite failed with.
pub fn group(tx: &Transaction<'_>, chat: i64, digest: &str, keys: &[String]) -> rusqlite::Result<()> {
    let channel = channel(chat);
    tx.execute(
        "INSERT INTO delivery (key, channel, state, revision) VALUES (?1, ?2, 'owed', 0)
         ON CONFLICT (key, channel) DO NOTHING",
        params![digest, channel],
    )?;
    for key in keys {
        tx.prepare_cached(
            "UPDATE delivery SET unsure = 1 WHERE key = ?1 AND channel = ?2 AND message_id IS NULL
             AND EXISTS (SELECT 1 FROM delivery d WHERE d.key = ?3 AND d.channel = ?2 AND d.unsure)",
        )?
        .execute(params![digest, channel, key])?;
        tx.prepare_cached(
            "INSERT INTO delivery (key, channel, state, digest) VALUES (?1, ?2, 'owed', ?3)
             ON CONFLICT (key, channel) DO UPDATE SET digest = ?3, state = 'owed', attempts = 0, unsure = 0",
        )?
        .execute(params![key, channel, digest])?;
    }
    // The count of dropped notices is told once, by the digest that comes next.
    tx.execute(
        "UPDATE delivery SET folded = folded + coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = ?4), 0)
         - (SELECT folded FROM telegram_chat WHERE id = ?3) WHERE key = ?1 AND channel = ?2",
        params![digest, channel, chat, FOLDED],
    )?;
    tx.execute(
        "UPDATE telegram_chat SET folded = coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = ?2), 0)
         WHERE id = ?1",
        params![chat, FOLDED],
    )?;
    Ok(())
}

/// Gives a notice a message of its own again, as an answer to the one that told it so far.
///
/// # Errors
/// What SQLite failed with.
pub fn ring(tx: &Transaction<'_>, chat: i64, key: &str) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE delivery SET reply_to = coalesce(message_id, (SELECT g.message_id FROM delivery g
         WHERE g.key = delivery.digest AND g.channel = delivery.channel)), message_id = NULL, digest = NULL,
         state = 'owed', attempts = 0 WHERE key = ?1 AND channel = ?2",
        params![key, channel(chat)],
    )?;
    Ok(())
}

/// Marks a message as about to be sent. Must be on disk before the call.
///
/// # Errors
/// What SQLite failed with.
pub fn sending(tx: &Transaction<'_>, chat: i64, key: &str) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO delivery (key, channel, state) VALUES (?1, ?2, 'sending')
         ON CONFLICT (key, channel) DO UPDATE SET state = 'sending'",
        params![key, channel(chat)],
    )?;
    Ok(())
}

/// Marks what a message tells now. `posted`: it is a new message, not an edit.
///
/// # Errors
/// What SQLite failed with.
pub fn sent(tx: &Transaction<'_>, chat: i64, key: &str, sent: &Sent<'_>) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE delivery SET state = 'sent', message_id = ?3, shown = ?4, last_sent = ?5,
         first_sent = CASE WHEN ?6 THEN ?5 ELSE first_sent END, attempts = 0, unsure = 0, error = NULL
         WHERE key = ?1 AND channel = ?2",
        params![key, channel(chat), sent.message_id, sent.shown, sent.at, sent.posted],
    )?;
    told(tx, chat, key, sent.told)?;
    finish(tx, sent.least)
}

/// What a message that arrived tells.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The message.
    pub message_id: i32,
    /// Fingerprint of its text.
    pub shown: i64,
    /// When.
    pub at: i64,
    /// It is a new message.
    pub posted: bool,
    /// Keys and revisions in it.
    pub told: &'a [(String, i64)],
    /// The least severity that is sent at all.
    pub least: Severity,
}

/// Marks revisions as told by the message `by`, without a call.
///
/// # Errors
/// What SQLite failed with.
pub fn told(tx: &Transaction<'_>, chat: i64, by: &str, told: &[(String, i64)]) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached(
        "UPDATE delivery SET revision = ?3, state = CASE WHEN key = ?4 THEN state ELSE 'sent' END
         WHERE key = ?1 AND channel = ?2 AND (key = ?4 OR digest = ?4)",
    )?;
    for (key, revision) in told {
        statement.execute(params![key, channel(chat), revision, by])?;
    }
    Ok(())
}

/// Marks an attempt in vain; `unsure` when it may have arrived all the same.
///
/// # Errors
/// What SQLite failed with.
pub fn failed(tx: &Transaction<'_>, chat: i64, key: &str, unsure: bool, error: &str) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE delivery SET state = 'owed', attempts = attempts + 1, unsure = unsure OR ?3, error = ?4
         WHERE key = ?1 AND channel = ?2",
        params![key, channel(chat), unsure, error],
    )?;
    Ok(())
}

/// Marks a message that somebody deleted: what it told is owed again.
///
/// # Errors
/// What SQLite failed with.
pub fn gone(tx: &Transaction<'_>, chat: i64, key: &str) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE delivery SET state = 'owed', message_id = NULL, reply_to = NULL, shown = 0
         WHERE key = ?1 AND channel = ?2",
        params![key, channel(chat)],
    )?;
    Ok(())
}

/// Marks a text that Telegram will not take: first it is tried plain, then given up until the next revision.
///
/// # Errors
/// What SQLite failed with.
pub fn refused(
    tx: &Transaction<'_>,
    chat: i64,
    key: &str,
    given_up: Option<&[(String, i64)]>,
    error: &str,
) -> rusqlite::Result<()> {
    let state = if given_up.is_some() { "dead" } else { "owed" };
    tx.execute(
        "UPDATE delivery SET state = ?3, plain = 1, error = ?4 WHERE key = ?1 AND channel = ?2",
        params![key, channel(chat), state, error],
    )?;
    told(tx, chat, key, given_up.unwrap_or_default())
}

/// Sends nothing to a chat before a moment; `dead` says why it cannot be reached, `None` that it can.
///
/// # Errors
/// What SQLite failed with.
pub fn hold(tx: &Transaction<'_>, chat: i64, until: i64, dead: Option<&str>) -> rusqlite::Result<()> {
    tx.execute("UPDATE telegram_chat SET not_before = ?2, dead = ?3 WHERE id = ?1", params![chat, until, dead])?;
    Ok(())
}

/// Stores the number a group has now.
///
/// # Errors
/// What SQLite failed with.
pub fn migrate(tx: &Transaction<'_>, chat: i64, target: i64) -> rusqlite::Result<()> {
    tx.execute("UPDATE telegram_chat SET target = ?2 WHERE id = ?1", params![chat, target])?;
    Ok(())
}

/// Marks the notices that everyone who can be reached was told.
///
/// # Errors
/// What SQLite failed with.
pub fn finish(tx: &Transaction<'_>, least: Severity) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE notice SET done = 1 WHERE done = 0 AND NOT EXISTS (
         SELECT 1 FROM telegram_chat c LEFT JOIN delivery d ON d.key = notice.key AND d.channel = 'telegram:' || c.id
         WHERE c.active AND c.dead IS NULL AND notice.ord > c.since AND (d.key IS NOT NULL OR notice.loud >= ?1)
         AND coalesce(d.revision, -1) < notice.revision)",
    )?
    .execute([loud(least)])?;
    Ok(())
}

/// Forgets what was told long ago; a digest is kept whole while an incident in it is open.
///
/// # Errors
/// What SQLite failed with.
pub fn prune(tx: &Transaction<'_>, now: chrono::DateTime<chrono::Utc>) -> rusqlite::Result<()> {
    let before = rfc3339(now - chrono::TimeDelta::milliseconds(KEEP_MS));
    tx.execute(
        "DELETE FROM notice WHERE done = 1 AND ended = 1 AND at < ?1 AND NOT EXISTS (
         SELECT 1 FROM delivery d JOIN delivery m ON m.digest = d.digest AND m.channel = d.channel
         JOIN notice o ON o.key = m.key WHERE d.key = notice.key AND o.ended = 0)",
        [&before],
    )?;
    tx.execute(
        "DELETE FROM notice WHERE done = 1
         AND ord <= (SELECT ord FROM notice WHERE done = 1 ORDER BY ord DESC LIMIT 1 OFFSET ?1)",
        [KEPT],
    )?;
    tx.execute("DELETE FROM delivery WHERE key NOT GLOB 'digest:*' AND key NOT IN (SELECT key FROM notice)", [])?;
    tx.execute(
        "DELETE FROM delivery WHERE key GLOB 'digest:*' AND NOT EXISTS (
         SELECT 1 FROM delivery m WHERE m.channel = delivery.channel AND m.digest = delivery.key)",
        [],
    )?;
    Ok(())
}
