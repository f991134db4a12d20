//! Moves files that are proven bad aside, and lists, restores or purges them.
//!
//! A file goes to `<root>/.logmedic/quarantine/<id>/<name>` on its own file system by one rename. The row in the
//! ledger is written before: after a crash the same repair finds its row and sees whether the move happened.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;

use super::output::{Step, done, evidence, permanent, transient, transient_of};
use super::{Healer, Stop, blocking};
use crate::decide::{Expect, Task, TaskOutput};
use crate::ledger::rusqlite::{self, Connection, OptionalExtension as _, Row, params};
use crate::media::State;
use crate::roots::{Error, Facts, OWN_DIRECTORY, Refusal, RootPath, Roots};
use crate::vocab::{Id, clean_line, rfc3339};

/// Entries shown by one listing.
const MAX_LISTED: u32 = 10_000;

/// One file in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The repair that moved it.
    pub id: String,
    /// The root it lies in.
    pub root: String,
    /// Where it was, relative to the root.
    pub original: String,
    /// Where it is, relative to the root.
    pub stored: String,
    /// Bytes.
    pub size: u64,
    /// What was wrong with it.
    pub why: String,
    /// When it was moved, RFC 3339.
    pub at: String,
    /// When it was put back, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<String>,
}

/// Why a file could not be put back or purged.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The state database said no.
    #[error("failed to use the state database: {0}")]
    Ledger(#[from] rusqlite::Error),
    /// There is no such entry.
    #[error("there is no '{0}' in quarantine; `logmedic quarantine list` shows what there is")]
    NoSuch(String),
    /// A path may not be used.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] Error),
}

const COLUMNS: &str = "id, root, original, stored, size, why, at, restored";

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: row.get(0)?,
        root: row.get(1)?,
        original: row.get(2)?,
        stored: row.get(3)?,
        size: row.get::<_, i64>(4)?.unsigned_abs(),
        why: row.get(5)?,
        at: row.get(6)?,
        restored: row.get(7)?,
    })
}

/// What is in quarantine, oldest first; put-back ones are left out.
///
/// # Errors
/// What the database failed with.
pub fn list(db: &Connection) -> rusqlite::Result<Vec<Entry>> {
    let sql = format!("SELECT {COLUMNS} FROM quarantine WHERE restored IS NULL ORDER BY at, id LIMIT {MAX_LISTED}");
    db.prepare(&sql)?.query_map([], entry)?.collect()
}

fn find(db: &Connection, id: &str) -> rusqlite::Result<Option<Entry>> {
    let sql = format!("SELECT {COLUMNS} FROM quarantine WHERE id = ?1");
    db.query_row(&sql, [id], entry).optional()
}

/// Puts a file back where it was, below its root, if nothing stands there now.
///
/// # Errors
/// When there is no such entry, its place is taken, or it may not be moved.
pub fn restore(db: &Connection, roots: &Roots, id: &str, now: DateTime<Utc>) -> Result<Entry, QuarantineError> {
    let found = find(db, id)?.ok_or_else(|| QuarantineError::NoSuch(clean_line(id).into_owned()))?;
    let (original, stored) = places(roots, &found)?;
    match stored.rename_to(&original) {
        Err(Error::Missing(_)) if stored.stat()?.is_some() => {
            if let Some(parent) = original.parent() {
                parent.make_directories()?;
            }
            stored.rename_to(&original)?;
        }
        // Moved by an earlier run that could not write it down.
        Err(Error::Missing(_)) if original.stat()?.is_some() => {}
        other => other?,
    }
    db.execute("UPDATE quarantine SET restored = ?2 WHERE id = ?1", params![found.id, rfc3339(now)])?;
    if let Some(directory) = stored.parent() {
        // An empty directory left behind harms nobody.
        let _ = directory.remove_own_directory();
    }
    Ok(Entry { restored: Some(rfc3339(now)), ..found })
}

/// Deletes what has been in quarantine for longer than `older_than`. Returns what was deleted.
///
/// # Errors
/// When a file may not be deleted; those before it are.
pub fn purge(
    db: &Connection,
    roots: &Roots,
    older_than: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Vec<Entry>, QuarantineError> {
    let due = |entry: &Entry| {
        DateTime::parse_from_rfc3339(&entry.at).is_ok_and(|at| now.signed_duration_since(at) >= older_than)
    };
    let mut gone = Vec::new();
    for entry in list(db)?.into_iter().filter(due) {
        gone.push(delete(db, roots, entry)?);
    }
    Ok(gone)
}

/// Deletes one file from quarantine.
///
/// # Errors
/// When there is no such entry or the file may not be deleted.
pub fn purge_one(db: &Connection, roots: &Roots, id: &str) -> Result<Entry, QuarantineError> {
    let found = find(db, id)?.ok_or_else(|| QuarantineError::NoSuch(clean_line(id).into_owned()))?;
    delete(db, roots, found)
}

fn delete(db: &Connection, roots: &Roots, found: Entry) -> Result<Entry, QuarantineError> {
    if found.restored.is_none() {
        let (_, stored) = places(roots, &found)?;
        match stored.remove_file() {
            Err(Error::Missing(_)) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(directory) = stored.parent() {
            let _ = directory.remove_own_directory();
        }
    }
    db.execute("DELETE FROM quarantine WHERE id = ?1", [&found.id])?;
    Ok(found)
}

/// Both places, judged anew: a row is data, and whoever changed it must not lead us out of the root.
fn places(roots: &Roots, entry: &Entry) -> Result<(RootPath, RootPath), Refusal> {
    let original = roots.within(&entry.root, &entry.original)?;
    let stored = roots.within(&entry.root, &entry.stored)?;
    if original.relative().starts_with(OWN_DIRECTORY) || !stored.relative().starts_with(OWN_DIRECTORY) {
        return Err(Refusal::new(format!(
            "the entry {} does not lead from quarantine to the root",
            clean_line(&entry.id)
        )));
    }
    Ok((original, stored))
}

/// The directory of one entry, made closed to everybody else.
fn prepare(path: &RootPath, id: &str) -> Result<RootPath, Error> {
    let root = path.chain().into_iter().next().ok_or_else(|| Error::Missing(path.to_string()))?;
    let own = root.child(OWN_DIRECTORY)?;
    let directory = own.child("quarantine")?.child(id)?;
    directory.make_directories()?;
    for step in [&own, &directory] {
        let ours =
            step.stat()?.is_some_and(|facts| facts.uid == nix::unistd::geteuid().as_raw() && facts.mode & 0o077 == 0);
        if !ours {
            let shown = crate::roots::shell_quote(&own.absolute().to_string_lossy());
            return Err(Refusal::new(format!("{step} does not belong to logmedic alone"))
                .with_remedy(format!("mv {shown} {shown}.old"))
                .into());
        }
    }
    Ok(directory)
}

impl Healer {
    pub(super) async fn quarantine(&self, task: &Task, path: &str, expect: &Expect, stop: &Stop) -> Step<TaskOutput> {
        let path = self.resolve(path)?;
        let id = task.id.to_string();
        if let Some(entry) = self.inner.ledger.read(|db| find(db, &id))? {
            let (_, stored) = places(&self.inner.roots, &entry)?;
            if stored.stat()?.is_some() || entry.restored.is_some() {
                let seen = evidence(json!({ "quarantine": id, "stored": stored.to_string(), "size": entry.size }));
                return Ok(done(format!("{path} was moved aside already"), seen));
            }
        }
        let Some(seen) = self.examine(&path, expect, stop).await? else {
            return Ok(done(format!("{path} is not there; nothing had to be moved"), evidence(json!({}))));
        };
        let before = seen.evidence(&path);
        if seen.growing {
            return Err(transient_of(format!("{path} is still being written"), before, None, None));
        }
        match seen.state {
            State::Short | State::Broken => {}
            State::Sound => {
                let detail = format!("{path} proves sound ({}); it is left alone", seen.detail);
                return Err(Box::new(TaskOutput::Refused { detail, remedy: None, evidence: before }));
            }
            State::Unknown => {
                let detail = format!("nothing proves that {path} is bad ({}); it is left alone", seen.detail);
                return Err(Box::new(TaskOutput::Refused { detail, remedy: None, evidence: before }));
            }
        }
        let stored = self.move_aside(task, &path, &seen.detail, &seen.facts).await?;
        let mut after = before;
        after.extend(evidence(json!({ "quarantine": id, "stored": stored.to_string() })));
        Ok(done(format!("{path} was moved to quarantine: {}", seen.detail), after))
    }

    /// Writes the row, then moves. `facts` are those of the file that was judged; another one is not moved.
    pub(super) async fn move_aside(&self, task: &Task, path: &RootPath, why: &str, facts: &Facts) -> Step<RootPath> {
        path.changeable(facts)?;
        let (id, facts, target) = (task.id.to_string(), *facts, path.clone());
        let directory = {
            let id = id.clone();
            blocking(move || prepare(&target, &id)).await??
        };
        let stored = directory.child(&path.name())?;
        let row = (id, path.clone(), stored.clone(), why.to_owned());
        self.inner.ledger.write(move |db| insert(db, &row.0, &row.1, &row.2, &row.3, facts.size)).await?;
        let (from, to) = (path.clone(), stored.clone());
        blocking(move || {
            // The last look before the move: only the file that was judged.
            match from.stat()? {
                Some(now) if now.identity == facts.identity && now.size == facts.size => {}
                _ => return Err(transient(format!("{from} changed while it was judged"))),
            }
            match from.rename_to(&to) {
                Err(Error::Exists(_)) => Err(permanent(format!("{to} is taken"))),
                moved => Ok(moved?),
            }
        })
        .await??;
        Ok(stored)
    }

    /// Deletes what has been in quarantine longer than the settings keep it, for the daily sweep. Returns how many.
    ///
    /// # Errors
    /// What the database or a file failed with.
    pub async fn sweep_quarantine(&self, now: DateTime<Utc>) -> Result<usize, String> {
        let Some(keep) = self.settings().quarantine_keep else { return Ok(0) };
        let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
        let roots = self.inner.roots.clone();
        let gone = self.inner.ledger.write(move |db| Ok(purge(db, &roots, keep, now))).await;
        gone.map_err(|error| error.to_string())?.map(|gone| gone.len()).map_err(|error| error.to_string())
    }
}

fn insert(
    db: &Connection,
    id: &str,
    path: &RootPath,
    stored: &RootPath,
    why: &str,
    size: u64,
) -> rusqlite::Result<usize> {
    debug_assert!(Id::parse(id).is_some());
    db.execute(
        "INSERT OR IGNORE INTO quarantine (id, root, original, stored, size, why, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            id,
            path.root_name(),
            path.relative().to_string_lossy(),
            stored.relative().to_string_lossy(),
            i64::try_from(size).unwrap_or(i64::MAX),
            why,
            rfc3339(Utc::now()),
        ],
    )
}
