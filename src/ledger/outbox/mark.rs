//! Marks what was sent where, what failed and what is over. Only the sender writes these.

use rusqlite::{Transaction, params};

use super::{FOLDED, channel, loud};
use crate::vocab::{Severity, rfc3339};

/// How many told notices are kept at most beside the undelivered ones.
const KEPT: i64 = 2_000;

/// How long told and ended notices are kept: a chat that is dead for a day still gets the last day's.
const KEEP_MS: i64 = 26 * 3_600_000;

/// Puts notices into a digest message, which is made when it is new.
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

/// Marks what a message that arrived tells now.
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

/// Marks revisions as told without a call: the message shows them already, or they cannot be shown.
///
/// # Errors
/// What SQLite failed with.
pub fn skipped(tx: &Transaction<'_>, chat: i64, key: &str, what: &[(String, i64)]) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE delivery SET state = CASE WHEN message_id IS NULL THEN 'dead' ELSE 'sent' END
         WHERE key = ?1 AND channel = ?2",
        params![key, channel(chat)],
    )?;
    told(tx, chat, key, what)
}

/// Marks revisions as told by the message `by`.
fn told(tx: &Transaction<'_>, chat: i64, by: &str, told: &[(String, i64)]) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached(
        "UPDATE delivery SET revision = ?3, state = CASE WHEN key = ?4 THEN state ELSE 'sent' END
         WHERE key = ?1 AND channel = ?2 AND (key = ?4 OR digest = ?4)",
    )?;
    for (key, revision) in told {
        statement.execute(params![key, channel(chat), revision, by])?;
    }
    Ok(())
}

/// Marks an attempt in vain. `unsure`: it may have arrived all the same; `counts`: the text itself may be the cause.
///
/// # Errors
/// What SQLite failed with.
pub fn failed(
    tx: &Transaction<'_>,
    chat: i64,
    key: &str,
    unsure: bool,
    counts: bool,
    error: &str,
) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE delivery SET state = 'owed', attempts = attempts + ?4, unsure = unsure OR ?3, error = ?5
         WHERE key = ?1 AND channel = ?2",
        params![key, channel(chat), unsure, counts, error],
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
         WHERE c.active AND c.dead IS NULL AND (notice.silent = 0 OR d.revision >= 0) AND notice.ord > c.since AND (d.key IS NOT NULL OR notice.loud >= ?1)
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

#[cfg(test)]
mod tests {
    use super::super::{adopt, digests, members, owed, put};
    use super::*;
    use crate::ledger::Ledger;
    use crate::vocab::{Class, Id, Notice, OutcomeResult, Rng, Stage, Story, Subject, SubjectKind};
    use chrono::{DateTime, TimeDelta, Utc};

    const CHAT: i64 = 7;

    fn notice(number: u64, ended: bool, at: DateTime<Utc>) -> Notice {
        let incident = Id::new(at, &mut Rng::new(number));
        let ending =
            || Stage::Ended { result: OutcomeResult::Healed, detail: String::new(), remedy: None, duration_ms: 1 };
        let story = Story::Incident {
            incident,
            class: Class::Timeout,
            subject: Subject { kind: SubjectKind::File, value: "a".into() },
            source: "bot".into(),
            text: String::new(),
            count: 1,
            steps: vec![],
            stage: if ended { ending() } else { Stage::Working },
        };
        Notice { key: format!("k{number}"), revision: 1, severity: Severity::Error, story, at }
    }

    fn tell(tx: &Transaction<'_>, key: &str, told: &[&str]) -> rusqlite::Result<()> {
        let told: Vec<(String, i64)> = told.iter().map(|key| ((*key).to_owned(), 1)).collect();
        sending(tx, CHAT, key)?;
        let marks = Sent { message_id: 1, shown: 1, at: 1, posted: true, told: &told, least: Severity::Info };
        sent(tx, CHAT, key, &marks)
    }

    #[tokio::test]
    async fn what_was_told_long_ago_is_forgotten_but_not_what_an_open_digest_tells() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let now = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        let old = now - TimeDelta::hours(27);
        ledger
            .write(move |tx| {
                adopt(tx, &[CHAT])?;
                for (number, ended, at) in
                    [(1, true, old), (2, true, now), (3, false, old), (4, true, old), (5, true, old)]
                {
                    put(tx, &notice(number, ended, at))?;
                }
                tell(tx, "k1", &["k1"])?;
                tell(tx, "k2", &["k2"])?;
                group(tx, CHAT, "digest:3", &["k3".into(), "k4".into()])?;
                tell(tx, "digest:3", &["k3", "k4"])?;
                prune(tx, now)
            })
            .await
            .unwrap();
        let keys = |query: &'static str| {
            let list = |connection: &rusqlite::Connection| {
                connection.prepare(query)?.query_map([], |row| row.get::<_, String>(0))?.collect()
            };
            ledger.read(list).map(|keys: Vec<String>| keys.join(" ")).unwrap()
        };
        assert_eq!(keys("SELECT key FROM notice ORDER BY ord"), "k2 k3 k4 k5", "k5 was never told");
        assert_eq!(keys("SELECT key FROM delivery ORDER BY key"), "digest:3 k2 k3 k4");
        let waiting = ledger.read(|connection| owed(connection, CHAT, Severity::Info)).unwrap();
        assert_eq!(waiting.iter().map(|owed| owed.key.as_str()).collect::<Vec<_>>(), ["k5"]);
        ledger
            .write(move |tx| {
                put(tx, &Notice { revision: 2, ..notice(3, true, old) })?;
                tx.execute("UPDATE delivery SET revision = 2 WHERE key = 'k3'", [])?;
                finish(tx, Severity::Info)?;
                prune(tx, now)
            })
            .await
            .unwrap();
        assert_eq!(ledger.read(|connection| digests(connection, CHAT)).unwrap(), [], "all of it is over");
        assert!(ledger.read(|connection| members(connection, CHAT, "digest:3")).unwrap().is_empty());
    }
}
