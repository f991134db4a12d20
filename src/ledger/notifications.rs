//! Keeps the notification centre: lists, counts, marks as read, clears, silences. I/O through SQLite.
//!
//! Entries come by triggers from `notice` (schema step 7), so nothing that anybody is told of can be missing here.

use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params, params_from_iter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::vocab::{Class, Level, Notice, rfc3339};

/// How many entries are kept; the trigger of schema step 7 says the same. Some ten megabytes.
pub const KEPT: i64 = 10_000;

/// The longest text that is searched for: longer ones are no words of people.
pub const SEARCH_MAX: usize = 200;

/// Stands before a sign of a pattern that is meant as itself.
const PATTERN_ESCAPE: char = '\\';

/// How long the counts of deliveries are kept, in hours: over a year.
const DELIVERED_HOURS: i64 = 400 * 24;

/// An entry of the notification centre.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its place; later ones are higher.
    pub ord: i64,
    /// Its identifier: the incident's, or that of the message.
    pub id: String,
    /// When it was said, or changed last.
    pub at: String,
    /// How it is shown.
    pub level: String,
    /// What it is about: `incident`, `bot`, `agent`, `probe`, `operation`, `custom`.
    pub kind: String,
    /// What went wrong, for an incident.
    pub class: Option<String>,
    /// What it says; `None` when a newer logmedic wrote it.
    pub notice: Option<Notice>,
    /// When somebody read it.
    pub read_at: Option<String>,
    /// When somebody took it over.
    pub acknowledged_at: Option<String>,
    /// Who did.
    pub acknowledged_by: Option<String>,
    /// Nobody was told of it, because its subject is silenced.
    pub silent: bool,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of this level.
    pub level: Option<Level>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of this class.
    pub class: Option<Class>,
    /// Only unread ones (`true`), only read ones (`false`).
    pub unread: Option<bool>,
    /// Only those that hold this text.
    pub search: Option<String>,
    /// Only those said at or after this moment.
    pub since: Option<DateTime<Utc>>,
    /// Only those before this place.
    pub before: Option<i64>,
}

const COLUMNS: &str =
    "ord, id, at, level, kind, class, json, read_at, acknowledged_at, acknowledged_by, silent FROM notification";

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        ord: row.get(0)?,
        id: row.get(1)?,
        at: row.get(2)?,
        level: row.get(3)?,
        kind: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
        class: row.get(5)?,
        notice: serde_json::from_str(&row.get::<_, String>(6)?).ok(),
        read_at: row.get(7)?,
        acknowledged_at: row.get(8)?,
        acknowledged_by: row.get(9)?,
        silent: row.get(10)?,
    })
}

/// The newest `limit` entries that fit.
///
/// # Errors
/// What SQLite failed with.
pub fn list(db: &Connection, filter: &Filter, limit: u32) -> rusqlite::Result<Vec<Entry>> {
    let mut sql = format!("SELECT {COLUMNS} WHERE 1");
    let mut values: Vec<Value> = Vec::new();
    let mut and = |clause: &str, value: Value| {
        values.push(value);
        sql.push_str(" AND ");
        sql.push_str(clause);
    };
    if let Some(level) = filter.level {
        and("level = ?", level.as_str().to_owned().into());
    }
    if let Some(kind) = &filter.kind {
        and("kind = ?", kind.clone().into());
    }
    if let Some(class) = filter.class {
        and("class = ?", class.as_str().to_owned().into());
    }
    if let Some(since) = filter.since {
        and("at >= ?", rfc3339(since).into());
    }
    if let Some(before) = filter.before {
        and("ord < ?", before.into());
    }
    if let Some(search) = filter.search.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        and("words LIKE ? ESCAPE '\\'", like(search).into());
    }
    match filter.unread {
        Some(true) => sql.push_str(" AND read_at IS NULL"),
        Some(false) => sql.push_str(" AND read_at IS NOT NULL"),
        None => {}
    }
    sql.push_str(" ORDER BY ord DESC LIMIT ?");
    values.push(i64::from(limit).into());
    db.prepare_cached(&sql)?.query_map(params_from_iter(values), entry)?.collect()
}

/// A pattern that finds the text itself, whatever signs are in it.
fn like(text: &str) -> String {
    let mut out = String::from("%");
    for c in text.chars().take(SEARCH_MAX) {
        if matches!(c, '%' | '_' | PATTERN_ESCAPE) {
            out.push(PATTERN_ESCAPE);
        }
        out.push(c);
    }
    out.push('%');
    out
}

/// One entry.
///
/// # Errors
/// What SQLite failed with.
pub fn get(db: &Connection, id: &str) -> rusqlite::Result<Option<Entry>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} WHERE id = ?1"))?.query_row([id], entry).optional()
}

/// How many entries nobody has read.
///
/// # Errors
/// What SQLite failed with.
pub fn unread(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT count(*) FROM notification WHERE read_at IS NULL")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

fn event(tx: &Transaction<'_>, kind: &str, key: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO event (topic, type, key) VALUES ('notification', ?1, ?2)")?.execute([kind, key])?;
    Ok(())
}

/// Marks one as read; `None` when there is none, `false` when it was read already.
///
/// # Errors
/// What SQLite failed with.
pub fn read(tx: &Transaction<'_>, id: &str, now: DateTime<Utc>) -> rusqlite::Result<Option<bool>> {
    let at: Option<Option<String>> =
        tx.query_row("SELECT read_at FROM notification WHERE id = ?1", [id], |row| row.get(0)).optional()?;
    match at {
        None => Ok(None),
        Some(Some(_)) => Ok(Some(false)),
        Some(None) => {
            tx.execute("UPDATE notification SET read_at = ?2 WHERE id = ?1", params![id, rfc3339(now)])?;
            event(tx, "notification_read", id)?;
            Ok(Some(true))
        }
    }
}

/// Marks all as read, and says how many. One event with the key `*` tells it.
///
/// # Errors
/// What SQLite failed with.
pub fn read_all(tx: &Transaction<'_>, now: DateTime<Utc>) -> rusqlite::Result<usize> {
    let count = tx.execute("UPDATE notification SET read_at = ?1 WHERE read_at IS NULL", [rfc3339(now)])?;
    if count > 0 {
        event(tx, "notification_read", "*")?;
    }
    Ok(count)
}

/// Takes all entries out, and says how many; what was not delivered of them is not delivered any more. One event with
/// the key `*` tells it.
///
/// # Errors
/// What SQLite failed with.
pub fn clear(tx: &Transaction<'_>) -> rusqlite::Result<usize> {
    let count = tx.execute("DELETE FROM notification", [])?;
    if count > 0 {
        event(tx, "notifications_cleared", "*")?;
    }
    Ok(count)
}

/// Notes that somebody takes care of it: it is read, and nobody is reminded of it. `false` when there is no such entry.
///
/// # Errors
/// What SQLite failed with.
pub fn acknowledge(tx: &Transaction<'_>, id: &str, by: &str, now: DateTime<Utc>) -> rusqlite::Result<bool> {
    let at = rfc3339(now);
    let known = tx.execute(
        "UPDATE notification SET acknowledged_at = coalesce(acknowledged_at, ?2),
         acknowledged_by = coalesce(acknowledged_by, ?3), read_at = coalesce(read_at, ?2) WHERE id = ?1",
        params![id, at, by],
    )?;
    Ok(known > 0)
}

/// A class and subject of which nobody is told for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Silence {
    /// What goes wrong.
    pub class: String,
    /// Of what: a path, a server.
    pub subject: String,
    /// The incident of which it was said.
    pub incident: Option<String>,
    /// Who said it.
    pub account: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: String,
    /// It holds before this moment.
    pub until: String,
}

/// Silences a class and subject: what is said of it from now on until then is in the centre, but told to nobody. What waits
/// to be told of it is not told either (a trigger of schema step 7 sees to that). A later word about the same replaces the one before, also to shorten it.
///
/// # Errors
/// What SQLite failed with.
pub fn silence(tx: &Transaction<'_>, silence: &Silence) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM silence WHERE class = ?1 AND subject = ?2", [&silence.class, &silence.subject])?;
    tx.execute(
        "INSERT INTO silence (class, subject, incident, account, reason, at, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            silence.class,
            silence.subject,
            silence.incident,
            silence.account,
            silence.reason,
            silence.at,
            silence.until
        ],
    )?;
    Ok(())
}

/// The silences that hold now.
///
/// # Errors
/// What SQLite failed with.
pub fn silences(db: &Connection, now: DateTime<Utc>) -> rusqlite::Result<Vec<Silence>> {
    db.prepare_cached(
        "SELECT class, subject, incident, account, reason, at, until FROM silence WHERE until > ?1 ORDER BY until",
    )?
    .query_map([rfc3339(now)], |row| {
        Ok(Silence {
            class: row.get(0)?,
            subject: row.get(1)?,
            incident: row.get(2)?,
            account: row.get(3)?,
            reason: row.get(4)?,
            at: row.get(5)?,
            until: row.get(6)?,
        })
    })?
    .collect()
}

/// Lets silences end whose time is over: what still goes on then is owed again. And forgets old counts.
///
/// # Errors
/// What SQLite failed with.
pub fn tidy(tx: &Transaction<'_>, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let over = tx.execute("DELETE FROM silence WHERE until <= ?1", [rfc3339(now)])?;
    if over > 0 {
        let open = "silent = 1 AND ended = 0 AND NOT EXISTS (SELECT 1 FROM silence s
            WHERE s.class = json ->> '$.story.class' AND s.subject = json ->> '$.story.subject.value')";
        tx.execute(&format!("UPDATE notice SET silent = 0, done = 0 WHERE {open}"), [])?;
        // Who was told of it before the silence is told that it still goes on, by the channel's own rules.
        tx.execute(
            &format!(
                "UPDATE post SET loud = -1 WHERE state = 'sent' AND id IN (SELECT id FROM notification WHERE {open})"
            ),
            [],
        )?;
        tx.execute(
            "UPDATE meta SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE name = 'notification.changed'",
            [],
        )?;
        tx.execute(
            &format!(
                "UPDATE notification SET silent = 0, changed =
                 (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'notification.changed') WHERE {open}"
            ),
            [],
        )?;
    }
    let oldest = (now - chrono::TimeDelta::hours(DELIVERED_HOURS)).format("%Y-%m-%dT%H").to_string();
    tx.execute("DELETE FROM delivered WHERE hour < ?1", [oldest])?;
    Ok(())
}

/// A number of entries or deliveries of one sort in one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NotificationCount)]
pub struct Count {
    /// The beginning of the hour or day: `2026-11-22T01`, `2026-11-22`.
    pub at: String,
    /// A level, class, kind or channel.
    pub name: String,
    /// How a delivery went: `sent`, `failed` (tried again), `dead`. Nothing for entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// How many.
    pub count: i64,
}

/// What the notification centre holds and how deliveries went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NotificationStats)]
pub struct Stats {
    /// Entries.
    pub total: i64,
    /// Of these, unread.
    pub unread: i64,
    /// Entries by level and time.
    pub levels: Vec<Count>,
    /// Incidents by class and time.
    pub classes: Vec<Count>,
    /// Entries by kind and time.
    pub kinds: Vec<Count>,
    /// Deliveries by channel, result and time.
    pub deliveries: Vec<Count>,
    /// Messages that wait, by channel.
    pub owed: Vec<Count>,
}

/// Statistics since a moment, by the hour or by the day.
///
/// # Errors
/// What SQLite failed with.
pub fn stats(db: &Connection, since: DateTime<Utc>, daily: bool) -> rusqlite::Result<Stats> {
    let width = if daily { 10 } else { 13 };
    let at = rfc3339(since);
    let by = |column: &str| {
        let sql = format!(
            "SELECT substr(at, 1, {width}) t, {column}, count(*) FROM notification
             WHERE at >= ?1 AND {column} IS NOT NULL GROUP BY t, {column} ORDER BY t, {column}"
        );
        let row = |row: &Row<'_>| Ok(Count { at: row.get(0)?, name: row.get(1)?, result: None, count: row.get(2)? });
        db.prepare_cached(&sql)?.query_map([&at], row)?.collect::<rusqlite::Result<Vec<Count>>>()
    };
    let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
    let deliveries = db
        .prepare_cached(&format!(
            "SELECT substr(hour, 1, {width}) t, channel, result, sum(count) FROM delivered
             WHERE hour >= ?1 GROUP BY t, channel, result ORDER BY t, channel, result"
        ))?
        .query_map([&at[..13.min(at.len())]], |row| {
            Ok(Count { at: row.get(0)?, name: row.get(1)?, result: Some(row.get(2)?), count: row.get(3)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let owed = db
        .prepare_cached("SELECT channel, count(*), min(since) FROM post WHERE state IN ('owed', 'sending') GROUP BY 1")?
        .query_map([], |row| {
            let since = DateTime::from_timestamp_millis(row.get(2)?).map(rfc3339).unwrap_or_default();
            Ok(Count { at: since, name: row.get(0)?, result: None, count: row.get(1)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Stats {
        total: one("SELECT count(*) FROM notification")?,
        unread: one("SELECT count(*) FROM notification WHERE read_at IS NULL")?,
        levels: by("level")?,
        classes: by("class")?,
        kinds: by("kind")?,
        deliveries,
        owed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Force, Ledger, outbox};
    use crate::vocab::{Id, OutcomeResult, Rng, Severity, Stage, Story, Subject, SubjectKind};
    use chrono::TimeDelta;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000, 0).unwrap()
    }

    fn custom(id: &str, level: Level, title: &str) -> Notice {
        let story = Story::Custom { level, title: title.into(), text: String::new(), by: "ana".into() };
        Notice { key: id.into(), revision: 1, severity: level.severity(), story, at: now() }
    }

    fn incident(id: &str, revision: u64, stage: Stage, at: DateTime<Utc>) -> Notice {
        let story = Story::Incident {
            incident: Id::new(at, &mut Rng::new(1)),
            class: Class::Timeout,
            subject: Subject { kind: SubjectKind::File, value: "models/ana/50%_off.mp4".into() },
            source: "bot".into(),
            text: "timed out".into(),
            count: 1,
            steps: vec![],
            stage,
        };
        Notice { key: id.into(), revision, severity: Severity::Error, story, at }
    }

    fn healed() -> Stage {
        Stage::Ended { result: OutcomeResult::Healed, detail: "whole".into(), remedy: None, duration_ms: 1 }
    }

    fn open() -> (tempfile::TempDir, Ledger) {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        (dir, ledger)
    }

    fn put(ledger: &Ledger, notice: &Notice) {
        ledger.write_here(Force::Later, |tx| outbox::put(tx, notice)).unwrap();
    }

    fn ids(ledger: &Ledger, filter: &Filter) -> String {
        let found = ledger.read(|db| list(db, filter, 50)).unwrap();
        found.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn e1_filters_search_and_counts() {
        let (_dir, ledger) = open();
        put(&ledger, &custom("a", Level::Info, "hello 50% of it"));
        put(&ledger, &custom("b", Level::Success, "hello"));
        put(&ledger, &incident("c", 1, Stage::Working, now()));
        put(&ledger, &custom("d", Level::Error, "boo"));
        let of = |filter: Filter| ids(&ledger, &filter);
        assert_eq!(of(Filter::default()), "d c b a", "newest first");
        assert_eq!(of(Filter { level: Some(Level::Success), ..Filter::default() }), "b");
        assert_eq!(of(Filter { level: Some(Level::Error), ..Filter::default() }), "d c");
        assert_eq!(of(Filter { kind: Some("incident".into()), ..Filter::default() }), "c");
        assert_eq!(of(Filter { class: Some(Class::Timeout), ..Filter::default() }), "c");
        assert_eq!(of(Filter { search: Some("50%".into()), ..Filter::default() }), "c a");
        assert_eq!(of(Filter { search: Some("0%_OFF".into()), ..Filter::default() }), "c", "no wildcard is meant");
        assert_eq!(of(Filter { since: Some(now() + TimeDelta::seconds(1)), ..Filter::default() }), "");
        assert_eq!(of(Filter { before: Some(2), ..Filter::default() }), "a");
        assert_eq!(ledger.read(unread).unwrap(), 4);
        let read_b = ledger.write_here(Force::Later, |tx| read(tx, "b", now())).unwrap();
        assert_eq!(read_b, Some(true));
        assert_eq!(ledger.write_here(Force::Later, |tx| read(tx, "b", now())).unwrap(), Some(false));
        assert_eq!(ledger.write_here(Force::Later, |tx| read(tx, "nobody", now())).unwrap(), None);
        assert_eq!(of(Filter { unread: Some(false), ..Filter::default() }), "b");
        let stats = ledger.read(|db| stats(db, now() - TimeDelta::days(1), true)).unwrap();
        assert_eq!((stats.total, stats.unread), (4, 3));
        assert_eq!(stats.classes[0].name, "timeout");
        assert_eq!(stats.levels.iter().map(|count| count.count).sum::<i64>(), 4);
        assert_eq!(ledger.write_here(Force::Later, |tx| read_all(tx, now())).unwrap(), 3);
        // An ending is news again; what is only further on is not.
        put(&ledger, &incident("c", 2, Stage::Working, now()));
        assert_eq!(ledger.read(unread).unwrap(), 0);
        put(&ledger, &incident("c", 3, healed(), now()));
        assert_eq!(of(Filter { unread: Some(true), ..Filter::default() }), "c");
        assert_eq!(of(Filter { level: Some(Level::Success), ..Filter::default() }), "c b");
        assert_eq!(ledger.write_here(Force::Later, clear).unwrap(), 4);
        assert_eq!(of(Filter::default()), "");
        let told = ledger
            .read(|db| {
                let mut all = db.prepare("SELECT type || ' ' || key FROM event WHERE type <> 'notification'")?;
                all.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
            })
            .unwrap();
        assert_eq!(told, ["notification_read b", "notification_read *", "notifications_cleared *"]);
    }

    #[test]
    fn e1_the_history_has_a_limit() {
        let (_dir, ledger) = open();
        ledger
            .write_here(Force::Later, |tx| {
                tx.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('notification', ?1)", [KEPT - 2])
            })
            .unwrap();
        for id in ["a", "b", "c"] {
            put(&ledger, &custom(id, Level::Info, id));
        }
        ledger
            .write_here(Force::Later, |tx| {
                tx.execute("UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'notification'", [KEPT - 2])
            })
            .unwrap();
        put(&ledger, &custom("d", Level::Info, "d"));
        assert_eq!(ids(&ledger, &Filter::default()), "d c", "the newest {KEPT} numbers stay");
    }

    #[test]
    fn a_silenced_subject_is_written_down_but_owed_to_nobody_until_it_is_over() {
        let (_dir, ledger) = open();
        ledger.write_here(Force::Later, |tx| outbox::adopt(tx, &[7])).unwrap();
        put(&ledger, &incident("c", 1, Stage::Working, now()));
        let owed = || ledger.read(|db| outbox::owed(db, 7, Severity::Info)).unwrap().len();
        assert_eq!(owed(), 1);
        let quiet = Silence {
            class: "timeout".into(),
            subject: "models/ana/50%_off.mp4".into(),
            incident: Some("c".into()),
            account: "ana".into(),
            reason: "known".into(),
            at: rfc3339(now()),
            until: rfc3339(now() + TimeDelta::hours(1)),
        };
        ledger.write_here(Force::Later, |tx| silence(tx, &quiet)).unwrap();
        assert_eq!(owed(), 0);
        put(&ledger, &incident("c", 2, Stage::Working, now() + TimeDelta::minutes(1)));
        put(&ledger, &incident("d", 1, healed(), now() + TimeDelta::minutes(2)));
        assert_eq!(owed(), 0);
        assert_eq!(ids(&ledger, &Filter::default()), "d c");
        assert_eq!(ledger.read(|db| silences(db, now())).unwrap(), [quiet]);
        ledger.write_here(Force::Later, |tx| tidy(tx, now() + TimeDelta::hours(2))).unwrap();
        assert_eq!(owed(), 1, "what still goes on is told, what ended in silence is not");
    }
}
