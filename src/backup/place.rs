//! Keeps the folder of backups: what is in it, who writes there, what is swept and let go. I/O.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::manifest::{self, Manifest};
use super::watch::Watch;
use super::{Error, retention, verify};

/// What is being written, and what is being deleted, begins so.
const PARTIAL: &str = ".partial-";
const GONE: &str = ".gone-";

/// Whoever writes here holds this file.
const LOCK: &str = ".lock";

/// How often it is looked whether another logmedic has ended its work here.
const LOOK: Duration = Duration::from_millis(200);

/// Backups that are listed at most; of more, the newest.
const LISTED: usize = 10_000;

/// The folder of backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    dir: PathBuf,
    /// Whose backups are let go here.
    state: PathBuf,
}

/// A backup as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listed {
    /// Its name.
    #[schema(example = "2026-11-25T193900Z-before-update")]
    pub name: String,
    /// When it was begun.
    pub created_at: Option<DateTime<Utc>>,
    /// Bytes of all its files.
    pub bytes: u64,
    /// How many files.
    pub files: u64,
    /// Whether the files of the roots are in it.
    pub media: bool,
    /// Whether tokens and other secrets of the configuration are in it.
    pub secrets: bool,
    /// The version of logmedic that made it.
    pub logmedic: Option<String>,
    /// The format of its state database.
    pub database_format: Option<u32>,
    /// The operation that made it.
    pub operation: Option<String>,
    /// How much was left out.
    pub skipped: u64,
    /// What shows at first sight that it is damaged; whether it really is whole says `verify`.
    pub damage: Option<String>,
    #[serde(skip)]
    ours: bool,
}

impl Listed {
    fn of(name: String, manifest: &Manifest, state: &Path) -> Self {
        Self {
            ours: manifest.state_dir == state.to_string_lossy() && manifest.name == name,
            name,
            created_at: Some(manifest.created_at),
            bytes: manifest.bytes,
            files: manifest.files.len() as u64,
            media: manifest.media,
            secrets: manifest.secrets,
            logmedic: Some(manifest.logmedic.clone()),
            database_format: Some(manifest.database_format),
            operation: manifest.operation.clone(),
            skipped: manifest.skipped_count,
            damage: None,
        }
    }

    fn damaged(name: String, damage: String) -> Self {
        Self {
            name,
            created_at: None,
            bytes: 0,
            files: 0,
            media: false,
            secrets: false,
            logmedic: None,
            database_format: None,
            operation: None,
            skipped: 0,
            damage: Some(damage),
            ours: false,
        }
    }
}

/// The folder, held for writing.
pub(super) struct Writing {
    _lock: File,
}

impl Place {
    /// The folder `dir`, where the backups of the state directory `state` are let go in time.
    #[must_use]
    pub const fn new(dir: PathBuf, state: PathBuf) -> Self {
        Self { dir, state }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Makes the folder where it is missing, and looks whether it may be trusted with what is put there.
    pub(super) fn ready(&self) -> Result<(), Error> {
        const WHAT: &str = "use the folder of backups";
        // Not its parents: on a disk that is not mounted they would be another disk's.
        match fs::DirBuilder::new().mode(0o700).create(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("make the folder of backups", &self.dir)(error));
            }
            _ => {}
        }
        let meta = fs::metadata(&self.dir).map_err(Error::io(WHAT, &self.dir))?;
        let shown = crate::vocab::clean_line(&self.dir.to_string_lossy()).into_owned();
        if !meta.is_dir() {
            return Err(Error::refused(WHAT, format!("{shown} is not a directory; set [backup] directory to one")));
        }
        let own = nix::unistd::geteuid().as_raw();
        if meta.uid() != own && meta.uid() != 0 && own != 0 {
            return Err(Error::refused(
                WHAT,
                format!("{shown} belongs to somebody else; give logmedic one of its own"),
            ));
        }
        // Who may rename in it could have a backup written elsewhere, or another one restored.
        if meta.mode() & 0o022 != 0 && meta.mode() & 0o1000 == 0 {
            let mode = meta.mode() & 0o7777;
            return Err(Error::refused(
                WHAT,
                format!("others may write to {shown} (mode {mode:04o}); chmod go-w {shown}"),
            ));
        }
        Ok(())
    }

    fn try_lock(&self) -> Result<Option<Writing>, Error> {
        let path = self.dir.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Writing { _lock: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
        }
    }

    /// Waits for its turn to write here, and removes what others left half done.
    pub(super) fn lock(&self, watch: &mut dyn Watch) -> Result<Writing, Error> {
        self.ready()?;
        let mut waits = false;
        loop {
            watch.point(0)?;
            if let Some(writing) = self.try_lock()? {
                self.sweep(&writing);
                return Ok(writing);
            }
            if !waits {
                watch.tell("waits for another logmedic that writes to this folder", None);
                waits = true;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Removes what an earlier run left half done, unless somebody is at work here now.
    pub fn tidy(&self) {
        if self.dir.is_dir()
            && let Ok(Some(writing)) = self.try_lock()
        {
            self.sweep(&writing);
        }
    }

    fn sweep(&self, _: &Writing) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let half = [PARTIAL, GONE].into_iter().any(|what| name.strip_prefix(what).is_some_and(manifest::is_name));
            if half && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                match fs::remove_dir_all(entry.path()) {
                    Ok(()) => tracing::info!("removed {name}, which was cut off"),
                    Err(error) => tracing::warn!("failed to remove {}: {error}", entry.path().display()),
                }
            }
        }
    }

    /// A fresh folder for a backup that is begun at this moment; the next second, when one has that name already.
    pub(super) fn fresh(&self, at: DateTime<Utc>, label: Option<&str>) -> Result<(String, PathBuf), Error> {
        let mut at = at;
        loop {
            let name = manifest::name(at, label);
            let path = self.dir.join(format!("{PARTIAL}{name}"));
            if fs::symlink_metadata(self.dir.join(&name)).is_ok() {
                at += chrono::TimeDelta::seconds(1);
                continue;
            }
            fs::DirBuilder::new().mode(0o700).create(&path).map_err(Error::io("make", &path))?;
            return Ok((name, path));
        }
    }

    /// Gives a finished backup its name; on the disk when this returns.
    pub(super) fn publish(&self, partial: &Path, name: &str) -> Result<PathBuf, Error> {
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        let to = self.dir.join(name);
        renameat2(AT_FDCWD, partial, AT_FDCWD, &to, RenameFlags::RENAME_NOREPLACE)
            .map_err(|errno| Error::io("name", &to)(errno.into()))?;
        sync(&self.dir)?;
        Ok(to)
    }

    /// Bytes that are free.
    pub(super) fn free(&self) -> Result<u64, Error> {
        let stat = nix::sys::statvfs::statvfs(&self.dir)
            .map_err(|errno| Error::io("ask the room of", &self.dir)(errno.into()))?;
        Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
    }

    /// The folder of this backup.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let missing = || Error::Missing(crate::vocab::shorten(&crate::vocab::clean_line(name), 80).into_owned());
        let path = self.dir.join(name);
        let there = manifest::is_name(name) && fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
        there.then_some(path).ok_or_else(missing)
    }

    /// The backups that there are, the newest first.
    ///
    /// # Errors
    /// When the folder cannot be read. One that is missing is empty.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(Error::io("read the folder of backups", &self.dir))?,
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| manifest::is_name(name))
            .collect();
        // Names begin with the moment.
        names.sort_unstable_by(|a, b| b.cmp(a));
        names.truncate(LISTED);
        let one = |name: String| match verify::open(&self.dir.join(&name)) {
            Ok(open) => Listed::of(name, &open.manifest, &self.state),
            Err(Error::Damaged { damage, .. }) => Listed::damaged(name, damage.join("; ")),
            Err(error) => Listed::damaged(name, error.to_string()),
        };
        Ok(names.into_iter().map(one).collect())
    }

    /// Lets old backups of this state directory go; `made` was made just now and stays. Returns the names of those that went.
    pub(super) fn prune(
        &self,
        writing: &Writing,
        made: &str,
        (keep, keep_for): (u32, Option<Duration>),
        now: DateTime<Utc>,
    ) -> Result<Vec<String>, Error> {
        let mut all: Vec<(DateTime<Utc>, String)> = self
            .list()?
            .into_iter()
            .filter(|one| one.ours)
            .filter_map(|one| Some((one.created_at?, one.name)))
            .collect();
        all.sort_by(|a, b| b.cmp(a));
        // The clock may have been wrong before: this one is whole for certain.
        all.sort_by_key(|(_, name)| name != made);
        let mut gone = Vec::new();
        for name in retention::let_go(&all, keep, keep_for, now) {
            self.discard(writing, name)?;
            gone.push(name.clone());
        }
        Ok(gone)
    }

    /// Deletes a backup. What is not a backup of logmedic is never deleted; the last one that looks whole and a damaged one
    /// only when `force` says so.
    ///
    /// # Errors
    /// When there is none of this name, it may not be deleted, or somebody writes here now.
    pub fn delete(&self, name: &str, force: bool) -> Result<(), Error> {
        const WHAT: &str = "delete the backup";
        self.folder(name)?;
        let all = self.list()?;
        let one = all.iter().find(|one| one.name == name).ok_or_else(|| Error::Missing(name.into()))?;
        let others = all.iter().any(|other| other.name != name && other.damage.is_none());
        let why = match &one.damage {
            Some(damage) => {
                format!("it cannot be told whether it is one: {damage}; to delete it all the same, add --force")
            }
            None if !others => "it is the only one that looks whole; to delete it all the same, add --force".into(),
            None => String::new(),
        };
        if !why.is_empty() && !force {
            return Err(Error::refused(WHAT, why));
        }
        let busy = || Error::refused(WHAT, "another logmedic writes to this folder; try again when it is done");
        let writing = self.try_lock()?.ok_or_else(busy)?;
        self.discard(&writing, name)
    }

    fn discard(&self, _: &Writing, name: &str) -> Result<(), Error> {
        let (path, gone) = (self.folder(name)?, self.dir.join(format!("{GONE}{name}")));
        // Half deleted, it must not look like a backup.
        fs::rename(&path, &gone).map_err(Error::io("delete", &path))?;
        sync(&self.dir)?;
        fs::remove_dir_all(&gone).map_err(Error::io("delete", &gone))
    }
}

/// Forces the names in a directory to the disk.
pub(super) fn sync(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("force to the disk", dir))
}
