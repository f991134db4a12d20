//! Commits what one turn of the engine changed, all together, and reads it back at the next start.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use chrono::{DateTime, Utc};
use std::path::Path;

use super::ahead::Ahead;
use super::notifications::{self, Silence};
use super::{Error, Force, Ledger, outbox, story};
use crate::acquire::Checkpoint;
use crate::vocab::{Around, Notice};

/// How many records stay in the database after they are in the records file.
const RECORDS_KEPT: u64 = 50_000;

/// How many kinds of unknown errors are kept, those seen last.
const UNCLASSIFIED_KEPT: u32 = 500;

/// How many jobs the engine gets back at its start: as many as it keeps in memory.
const JOBS_READ: u32 = 2_000;

/// The fact that says which announcement the database has.
const ANNOUNCED: &str = "announced";

/// How many ended incidents stay in the database.
const INCIDENTS_KEPT: u32 = 10_000;

/// One change. All changes of a turn commit in one transaction, or none does. What is JSON already is left out
/// where a change is written as JSON: `ahead` writes it behind, as it is, instead of escaping it while a repair waits.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum Change {
    /// Remember a row.
    Row {
        /// What kind.
        kind: Cow<'static, str>,
        /// Which.
        id: String,
        /// The thing itself.
        #[serde(skip)]
        json: String,
    },
    /// Forget a row.
    DropRow {
        /// What kind.
        kind: Cow<'static, str>,
        /// Which.
        id: String,
    },
    /// Append a record.
    Record {
        /// Its number.
        seq: u64,
        /// Its incident.
        incident: String,
        /// The line for the records file.
        #[serde(skip)]
        json: String,
    },
    /// Owe people a notice.
    Notice(Box<Notice>),
    /// Tell nobody of something for a while.
    Silence(Silence),
    /// Somebody has seen this incident: what was told of it is read.
    Acknowledged {
        /// Which incident.
        incident: String,
        /// By whom.
        by: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// Events that read like errors came, and no rule knows them.
    Unclassified(Unclassified),
    /// What was said around an event of an incident.
    Context {
        /// Which incident.
        incident: String,
        /// What was said.
        around: Box<Around>,
    },
    /// More is known of what was said around an event.
    Around(Box<Around>),
    /// A stream was worked off so far.
    Checkpoint {
        /// The stream's key within its source.
        stream: String,
        /// How far.
        checkpoint: Checkpoint,
    },
    /// A stream is over.
    DropCheckpoint {
        /// The source.
        source: String,
        /// The stream's key within it.
        stream: String,
    },
    /// With these changes the database has what [`Ledger::announce`] wrote down under this number.
    Announced(u64),
}

/// Events that read like errors and are alike, though no rule knows them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unclassified {
    /// The source that said so.
    pub source: String,
    /// What they share.
    pub shape: String,
    /// One of them, secrets redacted.
    pub text: String,
    /// How many.
    pub count: u64,
    /// When the last of them was written, RFC 3339.
    pub last_at: String,
}

/// A stored row: kind, identifier, JSON.
pub type StoredRow = (String, String, String);

impl Ledger {
    /// Commits the changes in one transaction, on the caller's thread.
    ///
    /// # Errors
    /// When the database refuses; then none of them was made.
    pub fn commit(&self, force: Force, changes: &[Change]) -> Result<(), Error> {
        self.commit_untold(force, changes).inspect(|()| self.tell())
    }

    /// The same for who first begins what may begin now, and calls [`Ledger::tell`] then: to wake others takes as long as
    /// some repairs.
    ///
    /// # Errors
    /// When the database refuses; then none of them was made.
    pub fn commit_untold(&self, force: Force, changes: &[Change]) -> Result<(), Error> {
        self.write_untold(force, |tx| changes.iter().try_for_each(|change| apply(tx, change)))
    }

    /// Writes down changes that announce something, so that it may begin before they are committed. They must be committed next, with
    /// what this returns; when that does not happen any more, [`Ledger::open`] does it at the next start. `None`: they cannot be
    /// announced, commit them first.
    #[must_use]
    pub fn announce(&self, changes: &[Change]) -> Option<Change> {
        self.ahead.lock().ok()?.put(changes).map(Change::Announced)
    }

    /// Commits what was announced and did not reach the database.
    pub(super) fn open_ahead(connection: &mut Connection, path: &Path) -> Result<Ahead, Error> {
        let sqlite = |source| Error::Sqlite { path: path.into(), source };
        let known = connection
            .query_row("SELECT value FROM meta WHERE name = ?1", [ANNOUNCED], |row| row.get::<_, String>(0))
            .optional()
            .map_err(sqlite)?;
        let known = known.and_then(|number| number.parse().ok()).unwrap_or(0);
        let file = path.with_file_name("ahead");
        let io = |source| Error::Io { path: file.clone(), source };
        let (ahead, lacking) = Ahead::open(&file, known).map_err(io)?;
        let Some(changes) = lacking else { return Ok(ahead) };
        let number = known.saturating_add(1);
        let commit = |connection: &mut Connection| {
            let tx = connection.transaction()?;
            changes.iter().chain([&Change::Announced(number)]).try_for_each(|change| apply(&tx, change))?;
            tx.commit()
        };
        commit(connection).map_err(sqlite)?;
        Ok(Ahead::open(&file, number).map_err(io)?.0)
    }

    /// A row of the engine's state.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn row(&self, kind: &str, id: &str) -> Result<Option<String>, Error> {
        self.read(|db| row(db, kind, id))
    }

    /// Every row of the engine's state; of jobs the latest. Of ended incidents only those matter to it that ended lately, or that counted
    /// events which are not in the records yet (killed in a storm, started again much later).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn rows(&self) -> Result<Vec<StoredRow>, Error> {
        self.read(|db| {
            let mut query = db.prepare(
                "SELECT kind, id, json FROM row WHERE kind = 'engine' OR kind = 'job' AND id IN \
                 (SELECT id FROM row WHERE kind = 'job' ORDER BY id DESC LIMIT ?1) \
                 OR kind = 'incident' AND (json_extract(json, '$.ended_at') IS NULL \
                 OR json_extract(json, '$.ended_at') > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-10 minutes') \
                 OR EXISTS (SELECT 1 FROM json_each(row.json, '$.incident.folds') AS f \
                            WHERE json_extract(f.value, '$.pending') > 0))",
            )?;
            query.query_map([JOBS_READ], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
        })
    }

    /// Where reading stopped. A checkpoint that cannot be read is left out: its lines are read again.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, Error> {
        self.read(|db| {
            let mut query = db.prepare("SELECT json FROM checkpoint")?;
            let rows = query.query_map([], |row| row.get::<_, String>(0))?;
            Ok(rows.filter_map(Result::ok).filter_map(|json| serde_json::from_str(&json).ok()).collect())
        })
    }

    /// Up to `limit` records after number `after`, as lines.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn records_after(&self, after: u64, limit: u32) -> Result<Vec<(u64, String)>, Error> {
        self.read(|db| {
            let mut query = db.prepare_cached("SELECT seq, json FROM record WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
            let rows = query
                .query_map(params![sql(after), limit], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?)))?;
            rows.collect()
        })
    }

    /// Lets go of records that stand in the records file up to `exported`, and of the oldest ended incidents.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn prune(&self, exported: u64) -> Result<(), Error> {
        self.write(move |tx| {
            tx.execute("DELETE FROM record WHERE seq <= ?1", [sql(exported.saturating_sub(RECORDS_KEPT))])?;
            // ULIDs sort by time: the newest stay.
            tx.execute(
                "DELETE FROM row WHERE kind = 'incident' AND json_extract(json, '$.ended_at') IS NOT NULL AND id <= \
                 (SELECT id FROM row WHERE kind = 'incident' ORDER BY id DESC LIMIT 1 OFFSET ?1)",
                [INCIDENTS_KEPT],
            )?;
            story::prune(tx)
        })
        .await
    }

    /// Numbers the next record after `seq`, if it is not so far yet: the records file is older than the state when
    /// the state directory was lost or moved. Returns whether it was behind.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn number_after(&self, seq: u64) -> Result<bool, Error> {
        self.write(move |tx| {
            let known: i64 = tx.query_row(
                "SELECT max(coalesce((SELECT max(seq) FROM record), 0), \
                 coalesce((SELECT CAST(json AS INTEGER) FROM row WHERE kind = 'engine' AND id = 'seq'), 0))",
                [],
                |row| row.get(0),
            )?;
            if known >= sql(seq) {
                return Ok(false);
            }
            let number = Change::Row { kind: "engine".into(), id: "seq".into(), json: seq.to_string() };
            apply(tx, &number).map(|()| true)
        })
        .await
    }

    /// A small fact by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn fact(&self, name: &str) -> Result<Option<String>, Error> {
        self.read(|db| db.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional())
    }

    /// Remembers a small fact.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_fact(&self, name: &'static str, value: String) -> Result<(), Error> {
        self.write(move |tx| {
            tx.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", (name, value)).map(drop)
        })
        .await
    }
}

/// The stored rows of one kind, newest first, for commands that only look.
///
/// # Errors
/// When the database cannot be read.
pub fn list(db: &Connection, kind: &str, limit: u32) -> rusqlite::Result<Vec<String>> {
    let mut query = db.prepare("SELECT json FROM row WHERE kind = ?1 ORDER BY id DESC LIMIT ?2")?;
    query.query_map(params![kind, limit], |row| row.get(0))?.collect()
}

/// One stored row.
///
/// # Errors
/// When the database cannot be read.
pub fn row(db: &Connection, kind: &str, id: &str) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT json FROM row WHERE kind = ?1 AND id = ?2")?
        .query_row((kind, id), |row| row.get(0))
        .optional()
}

fn apply(tx: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Row { kind, id, json } => tx
            .prepare_cached(
                "INSERT INTO row (kind, id, json) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET json = excluded.json",
            )?
            .execute((kind, id, json)),
        Change::DropRow { kind, id } => {
            tx.prepare_cached("DELETE FROM row WHERE kind = ?1 AND id = ?2")?.execute((kind, id))
        }
        Change::Record { seq, incident, json } => tx
            .prepare_cached("INSERT INTO record (seq, incident, json) VALUES (?1, ?2, ?3)")?
            .execute((sql(*seq), incident, json)),
        Change::Notice(notice) => return outbox::put(tx, notice),
        Change::Silence(silence) => return notifications::silence(tx, silence),
        Change::Acknowledged { incident, by, at } => {
            return notifications::acknowledge(tx, incident, by, *at).map(drop);
        }
        Change::Unclassified(event) => return note_unclassified(tx, event),
        Change::Context { incident, around } => return story::keep(tx, incident, around),
        Change::Around(around) => return story::renew(tx, around),
        Change::Checkpoint { stream, checkpoint } => {
            let json =
                serde_json::to_string(checkpoint).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
            tx.prepare_cached("INSERT OR REPLACE INTO checkpoint (source, stream, json) VALUES (?1, ?2, ?3)")?
                .execute((&checkpoint.source, stream, json))
        }
        Change::DropCheckpoint { source, stream } => {
            tx.prepare_cached("DELETE FROM checkpoint WHERE source = ?1 AND stream = ?2")?.execute((source, stream))
        }
        Change::Announced(number) => tx
            .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?
            .execute((ANNOUNCED, number.to_string())),
    }
    .map(drop)
}

fn note_unclassified(tx: &Transaction<'_>, event: &Unclassified) -> rusqlite::Result<()> {
    let known = tx
        .prepare_cached(
            "UPDATE unclassified SET count = count + ?3, text = ?4, last_at = ?5 WHERE source = ?1 AND shape = ?2",
        )?
        .execute(params![event.source, event.shape, sql(event.count), event.text, event.last_at])?;
    if known > 0 {
        return Ok(());
    }
    tx.prepare_cached(
        "INSERT INTO unclassified (source, shape, count, text, first_at, last_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
    )?
    .execute(params![event.source, event.shape, sql(event.count), event.text, event.last_at])?;
    tx.prepare_cached(
        "DELETE FROM unclassified WHERE (source, shape) IN \
         (SELECT source, shape FROM unclassified ORDER BY last_at DESC LIMIT -1 OFFSET ?1)",
    )?
    .execute([UNCLASSIFIED_KEPT])
    .map(drop)
}

/// Unknown errors, the latest first; none where the state is older than this table.
#[must_use]
pub fn unclassified(db: &Connection, limit: u32) -> Vec<Unclassified> {
    let read = || -> rusqlite::Result<Vec<Unclassified>> {
        let mut query =
            db.prepare("SELECT source, shape, text, count, last_at FROM unclassified ORDER BY last_at DESC LIMIT ?1")?;
        let rows = query.query_map([limit], |row| {
            Ok(Unclassified {
                source: row.get(0)?,
                shape: row.get(1)?,
                text: row.get(2)?,
                count: row.get::<_, i64>(3)?.unsigned_abs(),
                last_at: row.get(4)?,
            })
        })?;
        rows.collect()
    };
    read().unwrap_or_default()
}

/// SQLite's integers are signed; record numbers never come near the limit.
fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
