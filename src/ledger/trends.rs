//! Counts over time: incidents, downloads, free bytes. Reads by index; `disk_sample` is bounded here.

use rusqlite::{Connection, Transaction, params};

/// An incident as far as a chart needs it: class, result, when it was opened and ended (RFC 3339).
pub type IncidentMark = (String, Option<String>, String, Option<String>);

/// The incidents whose identifier is at least `since` (identifiers sort by time).
///
/// # Errors
/// What SQLite failed with.
pub fn incidents(db: &Connection, since: &str) -> rusqlite::Result<Vec<IncidentMark>> {
    let mut query = db.prepare_cached(
        "SELECT coalesce(json ->> '$.incident.class', ''), json ->> '$.result', coalesce(json ->> '$.incident.opened_at', ''),
         json ->> '$.ended_at' FROM row WHERE kind = 'incident' AND id >= ?1",
    )?;
    query.query_map([since], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?.collect()
}

/// A download that ended: its state, when (RFC 3339), its bytes.
pub type JobMark = (String, String, u64);

/// The downloads that ended, of those whose identifier is at least `since`.
///
/// # Errors
/// What SQLite failed with.
pub fn jobs(db: &Connection, since: &str) -> rusqlite::Result<Vec<JobMark>> {
    let mut query = db.prepare_cached(
        "SELECT json ->> '$.state', json ->> '$.ended_at',
         coalesce(json ->> '$.facts.size', json ->> '$.progress.bytes', 0) FROM row
         WHERE kind = 'job' AND id >= ?1 AND json ->> '$.ended_at' IS NOT NULL",
    )?;
    let row = |row: &rusqlite::Row<'_>| {
        // A size may stand there as a number or as the text that the bot wrote.
        let bytes = match row.get_ref(2)? {
            rusqlite::types::ValueRef::Integer(bytes) => bytes.unsigned_abs(),
            other => other.as_str().ok().and_then(|text| text.parse().ok()).unwrap_or(0),
        };
        Ok((row.get(0)?, row.get(1)?, bytes))
    };
    query.query_map([since], row)?.collect()
}

/// Room at a place at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Unix seconds.
    pub at: i64,
    /// Free bytes.
    pub free: u64,
    /// All bytes.
    pub total: u64,
}

/// Samples older than this are kept one an hour.
const FINE_FOR: i64 = 48 * 3_600;

/// Samples older than this go.
pub const SAMPLES_FOR: i64 = 30 * 86_400;

/// Keeps a sample of each place, thins what is older than two days, lets go of what is older than 30.
///
/// # Errors
/// What SQLite failed with.
pub fn sample(tx: &Transaction<'_>, samples: &[(String, Sample)]) -> rusqlite::Result<()> {
    let sql = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut insert =
        tx.prepare_cached("INSERT OR REPLACE INTO disk_sample (name, at, free, total) VALUES (?1, ?2, ?3, ?4)")?;
    for (name, sample) in samples {
        insert.execute(params![name, sample.at, sql(sample.free), sql(sample.total)])?;
    }
    let Some(now) = samples.iter().map(|(_, sample)| sample.at).max() else { return Ok(()) };
    // A date from the future would stand in the way of every later one.
    tx.execute("DELETE FROM disk_sample WHERE at < ?1 OR at > ?2", [now - SAMPLES_FOR, now + 3_600])?;
    tx.execute(
        "DELETE FROM disk_sample WHERE at < ?1 AND EXISTS (SELECT 1 FROM disk_sample AS kept
         WHERE kept.name = disk_sample.name AND kept.at >= disk_sample.at / 3600 * 3600 AND kept.at < disk_sample.at)",
        [now - FINE_FOR],
    )
    .map(drop)
}

/// Samples of every place since a moment (Unix seconds), by name and time.
///
/// # Errors
/// What SQLite failed with.
pub fn samples(db: &Connection, since: i64) -> rusqlite::Result<Vec<(String, Sample)>> {
    let mut query =
        db.prepare_cached("SELECT name, at, free, total FROM disk_sample WHERE at >= ?1 ORDER BY name, at")?;
    let row = |row: &rusqlite::Row<'_>| {
        let (free, total): (i64, i64) = (row.get(2)?, row.get(3)?);
        Ok((row.get(0)?, Sample { at: row.get(1)?, free: free.unsigned_abs(), total: total.unsigned_abs() }))
    };
    query.query_map([since], row)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    #[tokio::test]
    async fn f6_free_bytes_are_kept_for_30_days_and_stay_few() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let begin = 1_795_000_000 / 3_600 * 3_600;
        let end = begin + 40 * 86_400;
        ledger
            .write(move |tx| {
                for at in (begin..=end).step_by(600) {
                    sample(tx, &[("models".to_owned(), Sample { at, free: 5, total: 9 })])?;
                }
                Ok(())
            })
            .await
            .unwrap();
        let kept = ledger.read(|db| samples(db, 0)).unwrap();
        assert!((900..1_000).contains(&kept.len()), "{}", kept.len());
        assert!(kept[0].1.at >= end - SAMPLES_FOR && kept.last().unwrap().1.at == end);
        assert!(kept.windows(2).all(|two| two[1].1.at - two[0].1.at <= 3_600));
    }
}
