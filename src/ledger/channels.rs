//! Keeps what the channels besides Telegram are owed and were told: the tables `channel`, `post`, `push_subscription`.
//!
//! A post is `sending` before the call that sends it, so a cut in between is seen at the next start. Times are Unix
//! milliseconds.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::vocab::Notice;

/// How many browsers may be subscribed: people have a few each.
pub const SUBSCRIPTIONS: i64 = 50;

/// How many entries are looked at in one transaction.
const TRIAGED_AT_ONCE: i64 = 500;

/// News is owed again; a reminder stays one, and is due at once.
const AGAIN: &str = "state = CASE WHEN repeat_at IS NULL THEN 'owed' ELSE 'sent' END, attempts = attempts + 1";

/// What of an entry `n` may be told by the post `p`. In a silence nothing, but the end of what was told before it: nobody
/// shall wait for it.
pub(super) const AUDIBLE: &str = "(n.silent = 0 OR (n.ended AND p.loud >= 0 AND NOT p.ended))";

/// How a channel is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Entries up to this change were looked at.
    pub planned: i64,
    /// Nothing may be sent before.
    pub not_before: i64,
    /// Nothing arrived since.
    pub failing_since: Option<i64>,
}

/// An entry that changed, and what the channel was told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The entry.
    pub id: String,
    /// What kind.
    pub kind: String,
    /// An incident's class.
    pub class: Option<String>,
    /// Its loudest severity, 0 to 3.
    pub loud: i64,
    /// It is over.
    pub ended: bool,
    /// A person must see it.
    pub rings: bool,
    /// Its subject is silenced.
    pub silent: bool,
    /// What was told; `None`: nothing yet.
    pub told: Option<Told>,
}

/// How an entry was when the channel was told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// As in [`Changed`]; below 0 when nothing was told.
    pub loud: i64,
    /// As in [`Changed`].
    pub ended: bool,
    /// As in [`Changed`].
    pub rings: bool,
    /// Another channel handed it over.
    pub forced: bool,
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The entry.
    pub id: String,
    /// Its place.
    pub ord: i64,
    /// Owed since.
    pub since: i64,
    /// Its loudest severity, 0 to 3; 0 when its subject is silenced.
    pub loud: i64,
    /// `None`: news. Else it is a reminder, due then.
    pub repeat_at: Option<i64>,
    /// Attempts in vain.
    pub attempts: u32,
    /// Another channel handed it over.
    pub forced: bool,
}

/// What is told of one entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The entry.
    pub id: String,
    /// The revision.
    pub revision: i64,
    /// How often it was told again.
    pub repeats: u32,
    /// Something was told of it before.
    pub again: bool,
    /// An earlier attempt may have arrived.
    pub unsure: bool,
    /// Its loudest severity, 0 to 3.
    pub loud: i64,
    /// It is over.
    pub ended: bool,
    /// A person must see it.
    pub rings: bool,
    /// Somebody took it over.
    pub acknowledged: bool,
    /// Its subject is silenced.
    pub silent: bool,
    /// What it says; `None` when a newer logmedic wrote it.
    pub notice: Option<Notice>,
}

/// How far entries have changed in all.
///
/// # Errors
/// What SQLite failed with.
pub fn changed(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'notification.changed'")?
        .query_row([], |row| row.get(0))
}

/// Takes over the channels that there are now, and what a cut left in the middle. A new one is told what comes from now on.
///
/// # Errors
/// What SQLite failed with.
pub fn adopt(tx: &Transaction<'_>, names: &[String]) -> rusqlite::Result<()> {
    tx.execute("UPDATE channel SET active = 0", [])?;
    for name in names {
        tx.execute(
            "INSERT INTO channel (name, active, planned) VALUES (?1, 1, (SELECT CAST(value AS INTEGER) FROM meta
             WHERE name = 'notification.changed')) ON CONFLICT (name) DO UPDATE SET active = 1, not_before = 0",
            [name],
        )?;
        resume(tx, name)?;
    }
    // What a channel was owed that is not there any more is owed to nobody.
    tx.execute("DELETE FROM post WHERE channel IN (SELECT name FROM channel WHERE NOT active)", [])?;
    tx.execute("DELETE FROM channel WHERE NOT active", [])?;
    Ok(())
}

/// A message whose answer nobody read may have arrived.
fn resume(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    tx.execute(&format!("UPDATE post SET {AGAIN}, unsure = 1 WHERE channel = ?1 AND state = 'sending'"), [name])?;
    Ok(())
}

/// Adds a channel while logmedic runs.
///
/// # Errors
/// What SQLite failed with.
pub fn add(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO channel (name, active, planned) VALUES (?1, 1, (SELECT CAST(value AS INTEGER) FROM meta
         WHERE name = 'notification.changed')) ON CONFLICT (name) DO NOTHING",
        [name],
    )?;
    resume(tx, name)
}

/// How a channel is; `None` when there is no such one.
///
/// # Errors
/// What SQLite failed with.
pub fn state(db: &Connection, name: &str) -> rusqlite::Result<Option<State>> {
    db.prepare_cached("SELECT planned, not_before, failing_since FROM channel WHERE name = ?1")?
        .query_row([name], |row| {
            Ok(State { planned: row.get(0)?, not_before: row.get(1)?, failing_since: row.get(2)? })
        })
        .optional()
}

/// The entries that changed since the channel looked, in order, and how far that is.
///
/// # Errors
/// What SQLite failed with.
pub fn news(db: &Connection, name: &str, planned: i64) -> rusqlite::Result<(Vec<Changed>, i64)> {
    let mut last = planned;
    let rows = db
        .prepare_cached(
            "SELECT n.changed, n.id, n.kind, n.class, n.loud, n.ended, n.rings, n.silent, p.loud, p.ended, p.rings, p.forced
             FROM notification n LEFT JOIN post p ON p.id = n.id AND p.channel = ?1
             WHERE n.changed > ?2 ORDER BY n.changed LIMIT ?3",
        )?
        .query_map(params![name, planned, TRIAGED_AT_ONCE], |row| {
            last = row.get(0)?;
            let told = match row.get::<_, Option<i64>>(8)? {
                None => None,
                Some(loud) => {
                    Some(Told { loud, ended: row.get(9)?, rings: row.get(10)?, forced: row.get(11)? })
                }
            };
            Ok(Changed {
                id: row.get(1)?,
                kind: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
                class: row.get(3)?,
                loud: row.get(4)?,
                ended: row.get(5)?,
                rings: row.get(6)?,
                silent: row.get(7)?,
                told,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    // Silences that end give several entries one number: a full page must not end in the middle of them.
    if rows.len() == usize::try_from(TRIAGED_AT_ONCE).unwrap_or(usize::MAX) {
        last = (last - 1).max(planned + 1);
    }
    Ok((rows, last))
}

/// Owes entries to a channel (a reminder becomes news then), and notes how far it has looked.
///
/// # Errors
/// What SQLite failed with.
pub fn owe(tx: &Transaction<'_>, name: &str, ids: &[String], looked: i64, now: i64) -> rusqlite::Result<()> {
    for id in ids {
        tx.prepare_cached(
            "INSERT INTO post (channel, id, state, since) VALUES (?1, ?2, 'owed', ?3)
             ON CONFLICT (channel, id) DO UPDATE SET state = 'owed', repeat_at = NULL, attempts = 0,
             since = CASE WHEN state = 'owed' THEN since ELSE ?3 END",
        )?
        .execute(params![name, id, now])?;
    }
    tx.prepare_cached("UPDATE channel SET planned = ?2 WHERE name = ?1")?.execute(params![name, looked])?;
    Ok(())
}

/// Owes one entry to a channel whatever its rules say.
///
/// # Errors
/// What SQLite failed with.
pub fn force(tx: &Transaction<'_>, name: &str, id: &str, now: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO post (channel, id, state, since, forced) VALUES (?1, ?2, 'owed', ?3, 1)
         ON CONFLICT (channel, id) DO UPDATE SET forced = 1, since = ?3,
         state = CASE WHEN state = 'sending' THEN state ELSE 'owed' END",
    )?
    .execute(params![name, id, now])?;
    Ok(())
}

/// Gives what one channel cannot deliver to another.
///
/// # Errors
/// What SQLite failed with.
pub fn hand_over(tx: &Transaction<'_>, from: &str, to: &str, ids: &[String], now: i64) -> rusqlite::Result<()> {
    for id in ids {
        tx.prepare_cached(
            "UPDATE post SET state = 'handed', repeat_at = NULL WHERE channel = ?1 AND id = ?2 AND state IN ('owed', 'dead')",
        )?
        .execute([from, id])?;
        // The other one was perhaps told by its own rules: then it knows.
        let known: bool = tx
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM post p JOIN notification n ON n.id = p.id
                 WHERE p.channel = ?1 AND p.id = ?2 AND (p.state IN ('owed', 'sending') OR p.revision >= n.revision))",
            )?
            .query_row([to, id], |row| row.get(0))?;
        if !known {
            force(tx, to, id, now)?;
        }
    }
    Ok(())
}

/// Everything that waits for a channel, reminders included, in order.
///
/// # Errors
/// What SQLite failed with.
pub fn waiting(db: &Connection, name: &str) -> rusqlite::Result<Vec<Waiting>> {
    db.prepare_cached(&format!(
        "SELECT p.id, n.ord, p.since, iif(n.silent, 0, n.loud), CASE WHEN p.state = 'sent' THEN p.repeat_at END,
         p.attempts, p.forced FROM post p JOIN notification n ON n.id = p.id
         WHERE p.channel = ?1 AND (p.state IN ('owed', 'sending') OR p.repeat_at IS NOT NULL) AND {AUDIBLE}
         ORDER BY n.ord"
    ))?
    .query_map([name], |row| {
        Ok(Waiting {
            id: row.get(0)?,
            ord: row.get(1)?,
            since: row.get(2)?,
            loud: row.get(3)?,
            repeat_at: row.get(4)?,
            attempts: row.get(5)?,
            forced: row.get(6)?,
        })
    })?
    .collect()
}

/// How many messages a channel got since a moment, and when the first of these was.
///
/// # Errors
/// What SQLite failed with.
pub fn recent(db: &Connection, name: &str, since: i64) -> rusqlite::Result<(usize, i64)> {
    // The messages of a digest went out in one moment and count as one.
    db.prepare_cached(
        "SELECT count(DISTINCT last_sent), coalesce(min(last_sent), 0) FROM post WHERE channel = ?1 AND last_sent > ?2",
    )?
    .query_row(params![name, since], |row| Ok((usize::try_from(row.get::<_, i64>(0)?).unwrap_or(0), row.get(1)?)))
}

/// What is to be told of these entries.
///
/// # Errors
/// What SQLite failed with.
pub fn items(db: &Connection, name: &str, ids: &[String]) -> rusqlite::Result<Vec<Item>> {
    let mut out = Vec::with_capacity(ids.len());
    for id in ids {
        let item = db
            .prepare_cached(
                "SELECT n.revision, p.repeats, p.revision, p.unsure, n.loud, n.ended, n.rings, n.acknowledged_at, n.json,
                 n.silent FROM notification n JOIN post p ON p.id = n.id AND p.channel = ?1 WHERE n.id = ?2",
            )?
            .query_row([name, id], |row| {
                Ok(Item {
                    id: id.clone(),
                    revision: row.get(0)?,
                    repeats: row.get(1)?,
                    again: row.get::<_, i64>(2)? >= 0,
                    unsure: row.get(3)?,
                    loud: row.get(4)?,
                    ended: row.get(5)?,
                    rings: row.get(6)?,
                    acknowledged: row.get::<_, Option<String>>(7)?.is_some(),
                    notice: serde_json::from_str(&row.get::<_, String>(8)?).ok(),
                    silent: row.get(9)?,
                })
            })
            .optional()?;
        out.extend(item);
    }
    Ok(out)
}

/// Marks posts as about to be sent. Must be on disk before the call.
///
/// # Errors
/// What SQLite failed with.
pub fn sending(tx: &Transaction<'_>, name: &str, items: &[Item]) -> rusqlite::Result<()> {
    for item in items {
        tx.prepare_cached("UPDATE post SET state = 'sending' WHERE channel = ?1 AND id = ?2")?
            .execute([name, item.id.as_str()])?;
    }
    Ok(())
}

/// Marks what arrived. `repeat_at` is when a reminder of each is due, by the same place.
///
/// # Errors
/// What SQLite failed with.
pub fn sent(tx: &Transaction<'_>, name: &str, items: &[(Item, bool, Option<i64>)], now: i64) -> rusqlite::Result<()> {
    for (item, reminder, repeat_at) in items {
        // What is worked on again since it was sent has not ended for this channel either.
        tx.prepare_cached(
            "UPDATE post SET state = 'sent', revision = ?3, loud = ?4,
             ended = ?5 AND coalesce((SELECT n.ended FROM notification n WHERE n.id = ?2), 1), rings = ?6, last_sent = ?7, attempts = 0,
             unsure = 0, error = NULL, repeats = CASE WHEN ?8 THEN repeats + 1 ELSE repeats END,
             repeat_at = CASE WHEN EXISTS (SELECT 1 FROM notification n WHERE n.id = ?2 AND n.acknowledged_at IS NULL)
             THEN ?9 END WHERE channel = ?1 AND id = ?2",
        )?
        .execute(params![
            name,
            item.id,
            item.revision,
            item.loud,
            item.ended,
            item.rings,
            now,
            reminder,
            repeat_at
        ])?;
    }
    tx.execute("UPDATE channel SET failing_since = NULL, error = NULL, not_before = 0 WHERE name = ?1", [name])?;
    Ok(())
}

/// Marks an attempt in vain. `unsure`: it may have arrived all the same.
///
/// # Errors
/// What SQLite failed with.
pub fn failed(
    tx: &Transaction<'_>,
    name: &str,
    items: &[Item],
    unsure: bool,
    error: &str,
    now: i64,
) -> rusqlite::Result<()> {
    for item in items {
        tx.prepare_cached(&format!(
            "UPDATE post SET {AGAIN}, unsure = unsure OR ?3, error = ?4 WHERE channel = ?1 AND id = ?2"
        ))?
        .execute(params![name, item.id, unsure, error])?;
    }
    tx.execute(
        "UPDATE channel SET failing_since = coalesce(failing_since, ?2), error = ?3 WHERE name = ?1",
        params![name, now, error],
    )?;
    Ok(())
}

/// Marks what a channel will never take.
///
/// # Errors
/// What SQLite failed with.
pub fn dead(tx: &Transaction<'_>, name: &str, items: &[Item], error: &str, now: i64) -> rusqlite::Result<()> {
    for item in items {
        tx.prepare_cached(
            "UPDATE post SET state = 'dead', error = ?3, repeat_at = NULL, revision = ?4, loud = ?5, ended = ?6, rings = ?7
             WHERE channel = ?1 AND id = ?2",
        )?
        .execute(params![name, item.id, error, item.revision, item.loud, item.ended, item.rings])?;
    }
    tx.execute(
        "UPDATE channel SET failing_since = coalesce(failing_since, ?2), error = ?3 WHERE name = ?1",
        params![name, now, error],
    )?;
    Ok(())
}

/// Sends nothing to a channel before a moment.
///
/// # Errors
/// What SQLite failed with.
pub fn hold(tx: &Transaction<'_>, name: &str, until: i64) -> rusqlite::Result<()> {
    tx.execute("UPDATE channel SET not_before = ?2 WHERE name = ?1", params![name, until])?;
    Ok(())
}

/// How one entry was delivered.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Delivered {
    /// `telegram:CHAT`, `webhook:NAME`, `email:NAME`, `push:HASH`.
    pub channel: String,
    /// `owed`, `sending`, `sent`, `dead`, `handed`.
    pub state: String,
    /// How often it was told again.
    pub repeats: i64,
    /// What it failed with last.
    pub error: Option<String>,
}

/// How an entry was delivered, by channel.
///
/// # Errors
/// What SQLite failed with.
pub fn delivered(db: &Connection, id: &str) -> rusqlite::Result<Vec<Delivered>> {
    db.prepare_cached(
        "SELECT channel, state, repeats, error FROM post WHERE id = ?1
         UNION ALL SELECT channel, state, 0, error FROM delivery WHERE key = ?1 ORDER BY 1",
    )?
    .query_map([id], |row| {
        Ok(Delivered { channel: row.get(0)?, state: row.get(1)?, repeats: row.get(2)?, error: row.get(3)? })
    })?
    .collect()
}

/// A browser that wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Names its channel: `push:HASH`.
    pub hash: String,
    /// Where messages for it go.
    pub endpoint: String,
    /// Its public key, base64url.
    pub p256dh: String,
    /// Its shared secret, base64url.
    pub auth: String,
    /// Whose it is.
    pub account: String,
    /// Its language: `en`, `es`.
    pub language: Option<String>,
    /// Since when.
    pub at: String,
}

/// All browsers.
///
/// # Errors
/// What SQLite failed with.
pub fn subscriptions(db: &Connection) -> rusqlite::Result<Vec<Subscription>> {
    db.prepare_cached("SELECT hash, endpoint, p256dh, auth, account, language, at FROM push_subscription ORDER BY at")?
        .query_map([], |row| {
            Ok(Subscription {
                hash: row.get(0)?,
                endpoint: row.get(1)?,
                p256dh: row.get(2)?,
                auth: row.get(3)?,
                account: row.get(4)?,
                language: row.get(5)?,
                at: row.get(6)?,
            })
        })?
        .collect()
}

/// Adds a browser, or renews it. `false` when there are too many.
///
/// # Errors
/// What SQLite failed with.
pub fn subscribe(tx: &Transaction<'_>, new: &Subscription) -> rusqlite::Result<bool> {
    let others: i64 =
        tx.query_row("SELECT count(*) FROM push_subscription WHERE hash <> ?1", [&new.hash], |row| row.get(0))?;
    if others >= SUBSCRIPTIONS {
        return Ok(false);
    }
    tx.execute(
        "INSERT OR REPLACE INTO push_subscription (hash, endpoint, p256dh, auth, account, language, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![new.hash, new.endpoint, new.p256dh, new.auth, new.account, new.language, new.at],
    )?;
    add(tx, &format!("push:{}", new.hash))?;
    Ok(true)
}

/// Takes a browser out; `account`: only if it is theirs. `false` when there is no such one.
///
/// # Errors
/// What SQLite failed with.
pub fn unsubscribe(tx: &Transaction<'_>, hash: &str, account: Option<&str>) -> rusqlite::Result<bool> {
    let gone = tx.execute(
        "DELETE FROM push_subscription WHERE hash = ?1 AND (?2 IS NULL OR account = ?2)",
        params![hash, account],
    )?;
    if gone > 0 {
        let name = format!("push:{hash}");
        tx.execute("DELETE FROM post WHERE channel = ?1", [&name])?;
        tx.execute("DELETE FROM channel WHERE name = ?1", [&name])?;
    }
    Ok(gone > 0)
}
