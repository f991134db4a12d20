//! Reads jobs and incidents for people, page by page, and lets go of old jobs.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::{Error, Ledger};

/// Which rows are wanted. A field that is `None` takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these words at the kind's state (`$.state` of a job, `$.phase.phase` or `$.result` of an incident).
    pub state: Vec<String>,
    /// The log source.
    pub source: Option<String>,
    /// An incident's class.
    pub class: Option<String>,
    /// An incident's subject, whole.
    pub subject: Option<String>,
    /// An incident's job.
    pub job: Option<String>,
    /// Made at or after this moment, as the first identifier of that moment.
    pub since: Option<String>,
    /// Older than this identifier.
    pub before: Option<String>,
}

/// Up to `limit` jobs, newest first.
///
/// # Errors
/// When the database cannot be read.
pub fn jobs(db: &Connection, filter: &Filter, limit: u32) -> rusqlite::Result<Vec<String>> {
    let mut query = Query::new("job", filter);
    query.words("json ->> '$.state'", &filter.state);
    query.is("json ->> '$.source'", filter.source.as_ref());
    query.run(db, limit)
}

/// Up to `limit` incidents, newest first.
///
/// # Errors
/// When the database cannot be read.
pub fn incidents(db: &Connection, filter: &Filter, limit: u32) -> rusqlite::Result<Vec<String>> {
    let mut query = Query::new("incident", filter);
    query.words(
        "coalesce(json ->> '$.result', CASE json ->> '$.phase.phase' WHEN 'held' THEN 'held' ELSE 'working' END)",
        &filter.state,
    );
    query.is("json ->> '$.incident.source'", filter.source.as_ref());
    query.is("json ->> '$.incident.class'", filter.class.as_ref());
    query.is("json ->> '$.incident.subject.value'", filter.subject.as_ref());
    query.is("json ->> '$.incident.job'", filter.job.as_ref());
    query.run(db, limit)
}

/// The records of an incident, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub fn story(db: &Connection, incident: &str, limit: u32) -> rusqlite::Result<Vec<String>> {
    let mut query = db.prepare_cached("SELECT json FROM record WHERE incident = ?1 ORDER BY seq LIMIT ?2")?;
    query.query_map((incident, limit), |row| row.get(0))?.collect()
}

/// How many jobs stand in each state, and how many bytes the completed ones have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// State and number.
    pub by_state: Vec<(String, u64)>,
    /// Under way, and no byte came for too long.
    pub stalled: u64,
    /// Bytes of completed jobs, as far as they are known.
    pub bytes: u64,
}

/// Counts the jobs.
///
/// # Errors
/// When the database cannot be read.
pub fn counts(db: &Connection) -> rusqlite::Result<Counts> {
    let mut query = db.prepare_cached(
        "SELECT json ->> '$.state', count(*), sum(json ->> '$.stalled_since' IS NOT NULL), \
         total(CASE WHEN json ->> '$.state' = 'completed' THEN coalesce(json ->> '$.progress.bytes', 0) ELSE 0 END) \
         FROM row WHERE kind = 'job' GROUP BY 1 ORDER BY 1",
    )?;
    let mut counts = Counts::default();
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        counts.by_state.push((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()));
        counts.stalled += row.get::<_, i64>(2)?.unsigned_abs();
        // `total` is a floating number: sizes that strangers claim cannot overflow it.
        counts.bytes = counts.bytes.saturating_add(row.get::<_, f64>(3)?.clamp(0.0, 9e18) as u64);
    }
    Ok(counts)
}

impl Ledger {
    /// Lets go of ended jobs older than `before` (an identifier), and of the oldest ones beyond `keep`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn prune_jobs(&self, before: String, keep: u32) -> Result<usize, Error> {
        self.write(move |tx| {
            let ended = tx.execute(
                "DELETE FROM row WHERE kind = 'job' AND id < ?1 AND json ->> '$.state' IN ('completed', 'failed')",
                [before],
            )?;
            // What is still open that long ago will never end: it counts as well.
            let over = tx.execute(
                "DELETE FROM row WHERE kind = 'job' AND id <= \
                 (SELECT id FROM row WHERE kind = 'job' ORDER BY id DESC LIMIT 1 OFFSET ?1)",
                [keep],
            )?;
            Ok(ended + over)
        })
        .await
    }
}

struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    fn new(kind: &str, filter: &Filter) -> Self {
        let mut query =
            Self { sql: "SELECT json FROM row WHERE kind = ?".to_owned(), values: vec![kind.to_owned().into()] };
        for (op, bound) in [(">=", &filter.since), ("<", &filter.before)] {
            if let Some(bound) = bound {
                query.sql.push_str(" AND id ");
                query.sql.push_str(op);
                query.sql.push_str(" ?");
                query.values.push(bound.clone().into());
            }
        }
        query
    }

    fn is(&mut self, what: &'static str, value: Option<&String>) {
        if let Some(value) = value {
            self.words(what, std::slice::from_ref(value));
        }
    }

    /// `what` is ours, the words are anybody's: they are bound.
    fn words(&mut self, what: &'static str, words: &[String]) {
        if words.is_empty() {
            return;
        }
        let places = vec!["?"; words.len()].join(", ");
        self.sql.push_str(" AND ");
        self.sql.push_str(what);
        self.sql.push_str(" IN (");
        self.sql.push_str(&places);
        self.sql.push(')');
        self.values.extend(words.iter().map(|word| Value::from(word.clone())));
    }

    fn run(mut self, db: &Connection, limit: u32) -> rusqlite::Result<Vec<String>> {
        self.sql.push_str(" ORDER BY id DESC LIMIT ?");
        self.values.push(i64::from(limit).into());
        let mut query = db.prepare_cached(&self.sql)?;
        query.query_map(params_from_iter(self.values), |row| row.get(0))?.collect()
    }
}
