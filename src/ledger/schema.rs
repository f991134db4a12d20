//! Lays out the database and brings older ones up to date.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::Error;

/// How long a reader or writer waits for the other; far above any transaction here.
const BUSY: Duration = Duration::from_secs(10);

/// One step a format. The first makes a new database; each later one changes the one before.
const STEPS: &[&str] = &[
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
    include_str!("schema/7.sql"),
    include_str!("schema/8.sql"),
    include_str!("schema/9.sql"),
    include_str!("schema/10.sql"),
    include_str!("schema/11.sql"),
    include_str!("schema/12.sql"),
    include_str!("schema/13.sql"),
];

/// Compiled statements that a connection keeps: more than there are different ones.
const STATEMENTS: usize = 64;

/// The format that this program writes.
pub(super) fn known() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}

/// Sets up what every connection needs, whether it writes or only looks.
pub(super) fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Else a statement with `seq > ?1` is compiled again for each new value, in case statistics (`ANALYZE`) should make another plan
    // better for it; there are none. See "Query Planner Stability Guarantee", https://www.sqlite.org/queryplanner-ng.html#qpstab.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Sets the database up and migrates it.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let fail = |source| Error::Sqlite { path: path.into(), source };
    set_up(connection).map_err(fail)?;
    // FULL until a transaction says otherwise ([`super::Force`]). WAL keeps readers apart.
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        .map_err(fail)?;
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fail)?;
    let known = known();
    if found > known {
        return Err(Error::Newer { path: path.into(), found, known });
    }
    for (version, step) in (found + 1..).zip(&STEPS[found as usize..]) {
        let transaction = connection.transaction().map_err(fail)?;
        transaction.execute_batch(step).map_err(fail)?;
        transaction.pragma_update(None, "user_version", version).map_err(fail)?;
        transaction.commit().map_err(fail)?;
    }
    Ok(())
}
