//! Keeps accounts and their sessions. I/O.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::vocab::{Role, rfc3339};

/// Accounts at most: a house, not a city.
pub const ACCOUNTS_MAX: u32 = 1_000;

/// Sessions of one account at most; a new one then ends the one that was used longest ago.
pub const SESSIONS_MAX: u32 = 50;

/// Sessions in one answer at most.
const LIST_MAX: u32 = 1_000;

/// Why an account cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name is taken.
    #[error("failed to add the account: there is one of this name already")]
    Taken,
    /// Too many.
    #[error("failed to add the account: there are {ACCOUNTS_MAX} already; remove some first")]
    Full,
    /// No such account.
    #[error("failed to find an account of this name; `logmedic user list` shows them")]
    Missing,
    /// Nobody would be left who may make accounts.
    #[error("failed to change the account: it is the only admin; make another admin first")]
    LastAdmin,
}

/// An account, with its secrets.
#[derive(Clone)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Hash of its password, PHC string format.
    pub password: String,
    /// Key of the second factor, base32.
    pub totp: Option<String>,
    /// A key that is not confirmed yet.
    pub totp_new: Option<String>,
    /// The time step of the last code that was taken.
    pub totp_step: i64,
    /// Grows with every change that makes tokens void.
    pub generation: i64,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

/// A session, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its identifier; no secret.
    pub id: String,
    /// Whose.
    pub account: String,
    /// What it may do now.
    pub role: Role,
    /// The account's generation; 0 for a script's token.
    pub generation: i64,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was used last, to a minute.
    pub seen_at: DateTime<Utc>,
    /// When it ends unless it is used.
    pub expires_at: DateTime<Utc>,
    /// From where it began.
    pub address: String,
    /// What the client called itself.
    pub agent: String,
}

/// A session to be begun.
pub struct NewSession<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// SHA-256 of its secret, hex.
    pub secret: &'a str,
    /// Whose.
    pub account: &'a str,
    /// Only for a script's token.
    pub role: Option<Role>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// From where.
    pub address: &'a str,
    /// What the client calls itself.
    pub agent: &'a str,
}

const ACCOUNT: &str = "SELECT name, role, password, totp, totp_new, totp_step, generation, created_at FROM account";

const SESSION: &str =
    "SELECT s.id, s.account, coalesce(s.role, a.role), coalesce(a.generation, 0), s.created_at, s.seen_at,
    s.expires_at, s.address, s.agent FROM session s LEFT JOIN account a ON a.name = s.account";

fn word<T: std::str::FromStr>(row: &Row<'_>, at: usize) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(at)?;
    let wrong = |error| rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error));
    text.parse().map_err(wrong)
}

fn account_of(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        name: row.get(0)?,
        role: word(row, 1)?,
        password: row.get(2)?,
        totp: row.get(3)?,
        totp_new: row.get(4)?,
        totp_step: row.get(5)?,
        generation: row.get(6)?,
        created_at: row.get(7)?,
    })
}

fn session_of(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        account: row.get(1)?,
        role: word(row, 2)?,
        generation: row.get(3)?,
        created_at: word(row, 4)?,
        seen_at: word(row, 5)?,
        expires_at: word(row, 6)?,
        address: row.get(7)?,
        agent: row.get(8)?,
    })
}

/// The account of this name.
///
/// # Errors
/// SQLite's own.
pub fn account(db: &Connection, name: &str) -> rusqlite::Result<Option<Account>> {
    db.prepare_cached(&format!("{ACCOUNT} WHERE name = ?1"))?.query_row([name], account_of).optional()
}

/// Every account, by name.
///
/// # Errors
/// SQLite's own.
pub fn accounts(db: &Connection) -> rusqlite::Result<Vec<Account>> {
    db.prepare_cached(&format!("{ACCOUNT} ORDER BY name LIMIT {ACCOUNTS_MAX}"))?.query_map([], account_of)?.collect()
}

/// How many accounts there are.
///
/// # Errors
/// SQLite's own.
pub fn count(db: &Connection) -> rusqlite::Result<u32> {
    db.prepare_cached("SELECT count(*) FROM account")?.query_row([], |row| row.get(0))
}

/// Adds an account.
///
/// # Errors
/// SQLite's own; inside, why it is refused.
pub fn add(
    tx: &Transaction<'_>,
    name: &str,
    role: Role,
    password: &str,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<(), Refusal>> {
    if count(tx)? >= ACCOUNTS_MAX {
        return Ok(Err(Refusal::Full));
    }
    // A removed account of this name may have left tokens: its successor starts at another generation.
    let generation = now.timestamp_millis();
    let added = tx.execute(
        "INSERT INTO account (name, role, password, generation, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
        params![name, role.as_str(), password, generation, rfc3339(now)],
    )?;
    Ok(if added == 1 { Ok(()) } else { Err(Refusal::Taken) })
}

fn is_last_admin(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<bool> {
    tx.query_row(
        "SELECT role = 'admin' AND NOT EXISTS (SELECT 1 FROM account WHERE role = 'admin' AND name <> ?1)
         FROM account WHERE name = ?1",
        [name],
        |row| row.get(0),
    )
    .optional()
    .map(|last| last.unwrap_or(false))
}

/// Removes an account and ends its sessions.
///
/// # Errors
/// SQLite's own; inside, why it is refused.
pub fn remove(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<Result<(), Refusal>> {
    if is_last_admin(tx, name)? {
        return Ok(Err(Refusal::LastAdmin));
    }
    let gone = tx.execute("DELETE FROM account WHERE name = ?1", [name])?;
    Ok(if gone == 1 { Ok(()) } else { Err(Refusal::Missing) })
}

/// Changes what an account may do; its tokens become void, its sessions go on with the new role.
///
/// # Errors
/// SQLite's own; inside, why it is refused.
pub fn set_role(tx: &Transaction<'_>, name: &str, role: Role) -> rusqlite::Result<Result<(), Refusal>> {
    if role != Role::Admin && is_last_admin(tx, name)? {
        return Ok(Err(Refusal::LastAdmin));
    }
    let changed = tx.execute(
        "UPDATE account SET generation = generation + (role <> ?2), role = ?2 WHERE name = ?1",
        params![name, role.as_str()],
    )?;
    Ok(if changed == 1 { Ok(()) } else { Err(Refusal::Missing) })
}

/// Changes the password; every session of the account but `keep` ends, tokens become void.
///
/// # Errors
/// SQLite's own; inside, why it is refused.
pub fn set_password(
    tx: &Transaction<'_>,
    name: &str,
    password: &str,
    keep: Option<&str>,
) -> rusqlite::Result<Result<(), Refusal>> {
    let changed = tx.execute(
        "UPDATE account SET password = ?2, generation = generation + 1 WHERE name = ?1",
        params![name, password],
    )?;
    end_others(tx, name, keep)?;
    Ok(if changed == 1 { Ok(()) } else { Err(Refusal::Missing) })
}

/// Remembers a second factor that is not confirmed yet.
///
/// # Errors
/// SQLite's own.
pub fn offer_totp(tx: &Transaction<'_>, name: &str, key: &str) -> rusqlite::Result<bool> {
    Ok(tx.execute("UPDATE account SET totp_new = ?2 WHERE name = ?1", params![name, key])? == 1)
}

/// Turns the second factor on (the offered key, with the step of its first code) or off; every session but `keep` ends.
///
/// # Errors
/// SQLite's own; inside, why it is refused.
pub fn set_totp(
    tx: &Transaction<'_>,
    name: &str,
    on: Option<(&str, i64)>,
    keep: Option<&str>,
) -> rusqlite::Result<Result<(), Refusal>> {
    let (key, step) = on.map_or((None, 0), |(key, step)| (Some(key), step));
    let changed = tx.execute(
        "UPDATE account SET totp = ?2, totp_new = NULL, totp_step = max(totp_step, ?3), generation = generation + 1
         WHERE name = ?1",
        params![name, key, step],
    )?;
    end_others(tx, name, keep)?;
    Ok(if changed == 1 { Ok(()) } else { Err(Refusal::Missing) })
}

/// Takes a code's time step; `false` when it, or a later one, was taken already.
///
/// # Errors
/// SQLite's own.
pub fn take_step(tx: &Transaction<'_>, name: &str, step: i64) -> rusqlite::Result<bool> {
    Ok(tx.execute("UPDATE account SET totp_step = ?2 WHERE name = ?1 AND totp_step < ?2", params![name, step])? == 1)
}

/// Begins a session; ends the least used ones beyond [`SESSIONS_MAX`].
///
/// # Errors
/// SQLite's own.
pub fn begin(tx: &Transaction<'_>, new: &NewSession<'_>, now: DateTime<Utc>) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM session WHERE expires_at <= ?1", [rfc3339(now)])?;
    tx.execute(
        "DELETE FROM session WHERE account = ?1 AND id IN
         (SELECT id FROM session WHERE account = ?1 ORDER BY seen_at DESC LIMIT -1 OFFSET ?2)",
        params![new.account, SESSIONS_MAX - 1],
    )?;
    let (role, at) = (new.role.map(Role::as_str), rfc3339(now));
    tx.execute(
        "INSERT INTO session (id, secret, account, role, created_at, seen_at, expires_at, address, agent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8)",
        params![new.id, new.secret, new.account, role, at, rfc3339(new.expires_at), new.address, new.agent],
    )?;
    Ok(())
}

/// The session whose secret has this hash.
///
/// # Errors
/// SQLite's own.
pub fn session_by_secret(db: &Connection, hash: &str) -> rusqlite::Result<Option<Session>> {
    let found = db.prepare_cached(&format!("{SESSION} WHERE s.secret = ?1"))?.query_row([hash], session_of);
    known(found)
}

/// The session of this identifier.
///
/// # Errors
/// SQLite's own.
pub fn session(db: &Connection, id: &str) -> rusqlite::Result<Option<Session>> {
    known(db.prepare_cached(&format!("{SESSION} WHERE s.id = ?1"))?.query_row([id], session_of))
}

/// A session whose account is gone (it has no role then) is none.
fn known(found: rusqlite::Result<Session>) -> rusqlite::Result<Option<Session>> {
    match found {
        Err(rusqlite::Error::InvalidColumnType(..)) => Ok(None),
        other => other.optional(),
    }
}

/// Sessions that have not ended, the last used first; of one account, where it is said.
///
/// # Errors
/// SQLite's own.
pub fn sessions(db: &Connection, account: Option<&str>, now: DateTime<Utc>) -> rusqlite::Result<Vec<Session>> {
    db.prepare_cached(&format!(
        "{SESSION} WHERE s.expires_at > ?1 AND (?2 IS NULL OR s.account = ?2) AND coalesce(s.role, a.role) IS NOT NULL
         ORDER BY s.seen_at DESC, s.id DESC LIMIT {LIST_MAX}"
    ))?
    .query_map(params![rfc3339(now), account], session_of)?
    .collect()
}

/// Ends a session.
///
/// # Errors
/// SQLite's own.
pub fn end(tx: &Transaction<'_>, id: &str) -> rusqlite::Result<bool> {
    Ok(tx.execute("DELETE FROM session WHERE id = ?1", [id])? == 1)
}

fn end_others(tx: &Transaction<'_>, account: &str, keep: Option<&str>) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM session WHERE account = ?1 AND id IS NOT ?2", params![account, keep])?;
    Ok(())
}

/// Notes that a session is used, and until when it lasts now.
///
/// # Errors
/// SQLite's own.
pub fn touch(tx: &Transaction<'_>, id: &str, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE session SET seen_at = ?2, expires_at = ?3 WHERE id = ?1")?.execute(params![
        id,
        rfc3339(now),
        rfc3339(expires_at)
    ])?;
    Ok(())
}

/// Lets sessions go that have ended by themselves.
///
/// # Errors
/// SQLite's own.
pub fn prune(tx: &Transaction<'_>, now: DateTime<Utc>) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM session WHERE expires_at <= ?1", [rfc3339(now)])?;
    Ok(())
}

/// Changes whenever a live session may have ended or changed, also by another process.
///
/// # Errors
/// SQLite's own.
pub fn version(db: &Connection) -> rusqlite::Result<u64> {
    let version: i64 = db
        .prepare_cached("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'identity'")?
        .query_row([], |row| row.get(0))?;
    // It only grows, from 0.
    Ok(version.unsigned_abs())
}
