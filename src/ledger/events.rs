//! Reads what changed, in order: the table `event`, which triggers write. I/O.
//!
//! Numbers grow by the order of commits, because there is one writer; nothing with a smaller number appears later.

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::{Error, Ledger};

/// Events that are kept for those who were away: hours of a bad night, about two megabytes.
pub const KEPT: u64 = 20_000;

/// One change of one thing. What the thing is like now is read where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// `incident`, `job`, `operation`, `notification`, `system`.
    pub topic: String,
    /// What happened, as in `docs/asyncapi.yaml`.
    pub kind: String,
    /// To which thing.
    pub key: String,
}

/// Up to `limit` events behind number `seq`, in order.
///
/// # Errors
/// When the database cannot be read.
pub fn after(db: &Connection, seq: u64, limit: u32) -> rusqlite::Result<Vec<Event>> {
    let mut query =
        db.prepare_cached("SELECT seq, at, topic, type, key FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let rows = query.query_map((i64::try_from(seq).unwrap_or(i64::MAX), limit), |row| {
        let seq = row.get::<_, i64>(0)?.unsigned_abs();
        Ok(Event { seq, at: row.get(1)?, topic: row.get(2)?, kind: row.get(3)?, key: row.get(4)? })
    })?;
    rows.collect()
}

/// The last number that was given, 0 before the first.
///
/// # Errors
/// When the database cannot be read.
pub fn newest(db: &Connection) -> rusqlite::Result<u64> {
    let seq: Option<i64> = db
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'event'")?
        .query_row([], |r| r.get(0))
        .optional()?;
    Ok(seq.unwrap_or(0).unsigned_abs())
}

/// The last number that was let go: what comes behind it is all there.
///
/// # Errors
/// When the database cannot be read.
pub fn let_go(db: &Connection) -> rusqlite::Result<u64> {
    let oldest: Option<i64> = db.prepare_cached("SELECT min(seq) FROM event")?.query_row([], |row| row.get(0))?;
    oldest.map_or_else(|| newest(db), |seq| Ok(seq.unsigned_abs().saturating_sub(1)))
}

/// Lets go of all but the newest `keep` events.
///
/// # Errors
/// When the database refuses.
pub fn prune(tx: &Transaction<'_>, keep: u64) -> rusqlite::Result<()> {
    let upto = newest(tx)?.saturating_sub(keep);
    tx.execute("DELETE FROM event WHERE seq <= ?1", [i64::try_from(upto).unwrap_or(i64::MAX)]).map(drop)
}

impl Ledger {
    /// Names the life of the event numbers. A number that was given means the same as long as this stays.
    ///
    /// A power cut may take back the last commits, and with them numbers that clients were told; so the machine's boot
    /// is part of it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn epoch(&self) -> Result<String, Error> {
        let stored: Option<String> = self.fact("epoch")?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot: String = boot.chars().filter(char::is_ascii_hexdigit).take(8).collect();
        Ok(format!("{}{boot}", stored.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d7_events_keep_their_numbers_when_old_ones_are_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let put = |id: &str| {
            let sql = "INSERT INTO row (kind, id, json) VALUES ('job', ?1, '{\"state\":\"queued\"}')";
            ledger.write_here(super::super::Force::Later, |tx| tx.execute(sql, [id]).map(drop)).unwrap();
        };
        assert_eq!(ledger.read(newest).unwrap(), 0);
        ["a", "b", "c"].iter().for_each(|id| put(id));
        let events = ledger.read(|db| after(db, 1, 10)).unwrap();
        assert_eq!(events.iter().map(|e| (e.seq, e.key.as_str())).collect::<Vec<_>>(), [(2, "b"), (3, "c")]);
        ledger.write_here(super::super::Force::Later, |tx| prune(tx, 1)).unwrap();
        assert_eq!((ledger.read(let_go).unwrap(), ledger.read(newest).unwrap()), (2, 3));
        ledger.write_here(super::super::Force::Later, |tx| prune(tx, 0)).unwrap();
        assert_eq!((ledger.read(let_go).unwrap(), ledger.read(newest).unwrap()), (3, 3));
        put("d");
        assert_eq!(ledger.read(|db| after(db, 0, 10)).unwrap()[0].seq, 4);
    }
}
