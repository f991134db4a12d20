//! Keeps what was said around incidents, and how often each rule recognised something: `context`, `rule_hit`.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::vocab::{Around, rfc3339};

/// Incidents, the newest, whose surroundings are kept: some ten kilobytes each at most.
pub(super) const CONTEXTS_KEPT: u32 = 2_000;

fn json(around: &Around) -> rusqlite::Result<String> {
    serde_json::to_string(around).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn place(around: &Around) -> (i64, &str) {
    (i64::try_from(around.offset).unwrap_or(i64::MAX), around.file.as_deref().unwrap_or_default())
}

/// Keeps what was said around an event of this incident: of its first, and of the latest.
pub(super) fn keep(tx: &Transaction<'_>, incident: &str, around: &Around) -> rusqlite::Result<()> {
    let ((offset, file), at, json) = (place(around), rfc3339(around.at), json(around)?);
    let first: Option<(i64, String)> = tx
        .prepare_cached("SELECT place, at FROM context WHERE incident = ?1 AND which = 'first'")?
        .query_row([incident], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let which = match first {
        Some((known, then)) if (known, then.as_str()) != (offset, at.as_str()) => "latest",
        _ => "first",
    };
    tx.prepare_cached(
        "INSERT OR REPLACE INTO context (incident, which, source, file, place, at, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![incident, which, around.source, file, offset, at, json])
    .map(drop)
}

/// More is known of what was said around this event, where any incident keeps it.
pub(super) fn renew(tx: &Transaction<'_>, around: &Around) -> rusqlite::Result<()> {
    let ((offset, file), at) = (place(around), rfc3339(around.at));
    tx.prepare_cached("UPDATE context SET json = ?5 WHERE source = ?1 AND file = ?2 AND place = ?3 AND at = ?4")?
        .execute(params![around.source, file, offset, at, json(around)?])
        .map(drop)
}

/// Lets go of what was said around all but the newest incidents.
pub(super) fn prune(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute(
        "DELETE FROM context WHERE incident <= (SELECT DISTINCT incident FROM context ORDER BY incident DESC LIMIT 1 OFFSET ?1)",
        [CONTEXTS_KEPT],
    )
    .map(drop)
}

/// What was said around an incident: `first` or `latest`, and the lines.
///
/// # Errors
/// When the database cannot be read.
pub fn around(db: &Connection, incident: &str) -> rusqlite::Result<Vec<(String, Around)>> {
    let mut query = db.prepare_cached("SELECT which, json FROM context WHERE incident = ?1 ORDER BY which")?;
    let rows = query.query_map([incident], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let parsed =
        rows.filter_map(Result::ok).filter_map(|(which, json)| Some((which, serde_json::from_str(&json).ok()?)));
    Ok(parsed.collect())
}

/// How often each rule recognised an event, and when last.
///
/// # Errors
/// When the database cannot be read.
pub fn hits(db: &Connection) -> rusqlite::Result<BTreeMap<String, (u64, String)>> {
    let mut query = db.prepare_cached("SELECT rule, count, last_at FROM rule_hit")?;
    query.query_map([], |row| Ok((row.get(0)?, (row.get::<_, i64>(1)?.unsigned_abs(), row.get(2)?))))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::store::Change;
    use crate::ledger::{Force, Ledger};

    fn at(offset: u64, after: &[&str]) -> Around {
        Around {
            source: "bot".into(),
            file: Some("bot.log".into()),
            offset,
            at: chrono::DateTime::from_timestamp(1_795_000_000, 0).unwrap(),
            before: vec!["before".into()],
            text: "denied".into(),
            matched: Some((0, 6)),
            after: after.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn f5_the_first_and_the_latest_are_kept_and_go_with_the_incident() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let keep = |around: Around| Change::Context { incident: "1".into(), around: Box::new(around) };
        let renew = |around: Around| Change::Around(Box::new(around));
        let row = Change::Row { kind: "incident".into(), id: "1".into(), json: "{}".into() };
        ledger
            .commit(Force::Later, &[row, keep(at(5, &[])), renew(at(5, &["after"])), renew(at(6, &["stray"]))])
            .unwrap();
        ledger.commit(Force::Later, &[keep(at(100, &[])), keep(at(200, &["x"]))]).unwrap();
        let seen = ledger.read(|db| around(db, "1")).unwrap();
        assert_eq!(seen, [("first".into(), at(5, &["after"])), ("latest".into(), at(200, &["x"]))]);
        let gone = Change::DropRow { kind: "incident".into(), id: "1".into() };
        ledger.commit(Force::Later, &[gone]).unwrap();
        assert_eq!(ledger.read(|db| around(db, "1")).unwrap(), []);
    }

    #[test]
    fn f1_hits_of_a_rule_are_counted_in_the_transaction_that_records_them() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let record = |seq: u64, kind: &str, count: u64| Change::Record {
            seq,
            incident: "1".into(),
            json: format!(r#"{{"kind":"{kind}","rule":"a.b","count":{count},"at":"2026-11-22T01:02:0{seq}.000Z"}}"#),
        };
        ledger.commit(Force::Later, &[record(1, "error", 1), record(2, "action", 9), record(3, "error", 41)]).unwrap();
        let hits = ledger.read(hits).unwrap();
        assert_eq!(hits, BTreeMap::from([("a.b".into(), (42, "2026-11-22T01:02:03.000Z".into()))]));
    }
}
