//! Brings a backup back, while no agent runs: proven first, made ready aside, then put in place of what was there. I/O.
//!
//! What was there is moved aside and kept. Nothing is changed before all of it is known to work: checksums, format, lock, room.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use fs_extra::dir::{CopyOptions, TransitProcess, TransitProcessResult, TransitState};
use serde::Serialize;

use super::copy::{Broken, copy};
use super::manifest::{self, Entry, Part};
use super::place::sync;
use super::verify::{self, Open};
use super::watch::Watch;
use super::{COMPLAINTS, Error};
use crate::ledger::backup::{self as state, Hold};
use crate::roots::{OWN_DIRECTORY, RootPath, RootSpec, Roots};
use crate::vocab::clean_line;

/// Where the state is made ready, and where the old one is put.
const STAGING: &str = ".restore-";
const ASIDE: &str = "before-restore-";

/// Room beyond the state itself: an older format grows when it is brought up to date.
const RESERVE: u64 = 16 << 20;

/// What is brought back, and where to.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The backup's folder.
    pub folder: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// Where the configuration is put; must be empty or missing. `None`: nowhere.
    pub config_to: Option<PathBuf>,
    /// The configuration's directory, to tell what differs there.
    pub config_here: PathBuf,
    /// The roots whose missing files are brought back; `None`: none.
    pub media: Option<Vec<RootSpec>>,
    /// Only look.
    pub dry_run: bool,
}

/// What was brought back, or would be.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// The backup.
    pub backup: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Whether it was only looked at.
    pub dry_run: bool,
    /// The state directory.
    pub state_dir: PathBuf,
    /// Where the old state is now.
    pub old_state: Option<PathBuf>,
    /// The format that the state had in the backup.
    pub database_format: u32,
    /// The format that it has now.
    pub format_now: u32,
    /// Where the configuration is now, and how many files it has.
    pub config: Option<(PathBuf, u64)>,
    /// Files of the configuration that are not in use as they are in the backup. Secrets that were left out differ, too.
    pub config_differs: Vec<String>,
    /// What became of the media.
    pub media: Option<Media>,
}

/// What became of the media.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Media {
    /// Files that were missing and are back.
    pub restored: u64,
    /// Files that are there, and were left alone.
    pub present: u64,
    /// Files that could not be brought back.
    pub failed: u64,
    /// Why, of the first.
    pub why: Vec<String>,
}

impl Media {
    fn failed(&mut self, what: &Entry, why: impl std::fmt::Display) {
        self.failed += 1;
        if self.why.len() < COMPLAINTS {
            self.why.push(format!("{}: {}", what.path, clean_line(&why.to_string())));
        }
    }
}

/// Brings it back.
///
/// # Errors
/// Why nothing was changed.
pub fn restore(wanted: &Wanted, now: DateTime<Utc>, watch: &mut dyn Watch) -> Result<Restored, Error> {
    const WHAT: &str = "bring the backup back";
    let open = verify::open(&wanted.folder)?;
    let name = open.manifest.name.clone();
    let verdict = verify::prove(&open, clean_line(&name).into_owned(), watch)?;
    if !verdict.sound {
        return Err(Error::Damaged { name: verdict.name, damage: verdict.damage });
    }
    let format = open.manifest.database_format;
    if format > state::known() {
        let known = state::known();
        let why =
            format!("its state has format {format}, this logmedic knows {known}; install the newer logmedic first");
        return Err(Error::refused(WHAT, why));
    }
    if let Some(to) = &wanted.config_to {
        empty(to)?;
    }
    let mut restored = Restored {
        backup: verdict.name,
        created_at: open.manifest.created_at,
        dry_run: wanted.dry_run,
        state_dir: wanted.state.clone(),
        old_state: None,
        database_format: format,
        format_now: state::known(),
        config: None,
        config_differs: differs(&open, &wanted.config_here, watch)?,
        media: None,
    };
    if wanted.dry_run {
        // Only a directory that is there can be in use.
        let _hold = wanted.state.join("logmedic.lock").exists().then(|| Hold::take(&wanted.state)).transpose()?;
        restored.media = wanted.media.as_ref().map(|specs| media(&open, specs, true, watch)).transpose()?;
        return Ok(restored);
    }
    let io = Error::io("make the state directory", &wanted.state);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&wanted.state).map_err(io)?;
    let _hold = Hold::take(&wanted.state)?;
    let staging = Staging::new(&wanted.state)?;
    let fresh = staging.state(&open, watch)?;
    state::adopt(&fresh, &clean_line(&name), now)?;
    fs::File::open(&fresh).and_then(|file| file.sync_all()).map_err(Error::io("force to the disk", &fresh))?;
    if let Some(to) = &wanted.config_to {
        restored.config = Some((to.clone(), config(&open, to, watch)?));
    }
    restored.old_state = exchange(&wanted.state, &fresh, now)?;
    // The state is back; whatever becomes of the media does not change that.
    restored.media = wanted.media.as_ref().map(|specs| media(&open, specs, false, watch)).transpose()?;
    Ok(restored)
}

/// A folder beside the state that is gone at the end.
struct Staging(PathBuf);

impl Staging {
    fn new(state: &Path) -> Result<Self, Error> {
        // The lock is ours: what stands there was left by one that was cut off.
        for entry in fs::read_dir(state).map_err(Error::io("read", state))?.flatten() {
            let old = entry.file_name().to_string_lossy().starts_with(STAGING);
            if old && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                fs::remove_dir_all(entry.path()).map_err(Error::io("remove", &entry.path()))?;
            }
        }
        let path = state.join(format!("{STAGING}{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(Error::io("make", &path))?;
        Ok(Self(path))
    }

    /// The backup's state database, copied here; the bytes that were proven and no others.
    fn state(&self, open: &Open, watch: &mut dyn Watch) -> Result<PathBuf, Error> {
        let entry = open.manifest.state().ok_or_else(|| Error::Missing(manifest::STATE.into()))?;
        let stat = nix::sys::statvfs::statvfs(&self.0).map_err(|e| Error::io("ask the room of", &self.0)(e.into()))?;
        let (free, needed) = (stat.blocks_available().saturating_mul(stat.fragment_size()), 2 * entry.size + RESERVE);
        if free < needed {
            let why = format!("the state directory has {free} bytes of room, it takes {needed}");
            return Err(Error::refused("bring the backup back", why));
        }
        watch.tell("copies the state", Some(entry.size));
        let path = self.0.join(manifest::STATE);
        let mut to = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("make", &path))?;
        take(open, entry, &mut to, &path, watch)?;
        Ok(path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What is left of it is removed by the next one.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Copies a file of the backup, and compares it with what was proven.
fn take(open: &Open, entry: &Entry, to: &mut fs::File, path: &Path, watch: &mut dyn Watch) -> Result<(), Error> {
    let (mut from, _) = open.file(entry.path.as_str())?.open_read()?;
    let mut done = 0;
    match copy(&mut from, Some(to), entry.size, &mut done, watch) {
        Ok((size, sum)) if size == entry.size && sum == entry.sha256 => Ok(()),
        Ok(_) => Err(Error::Damaged {
            name: open.manifest.name.clone(),
            damage: vec![format!("{} changed while it was brought back", entry.path)],
        }),
        Err(Broken::Stopped) => Err(Error::Stopped),
        Err(Broken::From(error)) => Err(Error::io("read", entry.path.as_path())(error)),
        Err(Broken::To(error)) => Err(Error::io("write", path)(error)),
    }
}

/// Puts the fresh database in place of the old one, which is moved aside with what belongs to it. At every moment there is
/// a whole database: the old name is replaced in one step.
fn exchange(state: &Path, fresh: &Path, now: DateTime<Utc>) -> Result<Option<PathBuf>, Error> {
    let [database, wal, shm] = state::files(state);
    let mut aside = None;
    if database.exists() || wal.exists() {
        let path = aside_of(state, now)?;
        if database.exists() {
            let kept = path.join(manifest::STATE);
            let linked = fs::hard_link(&database, &kept);
            linked.or_else(|_| fs::copy(&database, &kept).map(drop)).map_err(Error::io("keep", &database))?;
        }
        // The old log must not be taken for that of the new database.
        for part in [wal, shm] {
            let kept = path.join(part.file_name().unwrap_or_default());
            match fs::rename(&part, &kept) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("move", &part)(error));
                }
                _ => {}
            }
        }
        sync(&path)?;
        sync(state)?;
        aside = Some(path);
    }
    fs::rename(fresh, &database).map_err(Error::io("put in place", &database))?;
    sync(state)?;
    Ok(aside)
}

/// A fresh folder for what was there, named for this moment; the next second, when there is one already.
fn aside_of(state: &Path, now: DateTime<Utc>) -> Result<PathBuf, Error> {
    let mut at = now;
    loop {
        let path = state.join(format!("{ASIDE}{}", manifest::name(at, None)));
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => at += chrono::TimeDelta::seconds(1),
            made => return made.map(|()| path.clone()).map_err(Error::io("make", &path)),
        }
    }
}

/// Refuses a folder that has something in it.
fn empty(to: &Path) -> Result<(), Error> {
    const WHAT: &str = "bring the configuration back";
    let shown = clean_line(&to.to_string_lossy()).into_owned();
    match fs::read_dir(to).map(|mut entries| entries.next().is_none()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("use the folder", to)(error)),
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(Error::refused(WHAT, format!("{shown} is not empty; name a new folder, and compare by `diff -r`")))
        }
    }
}

/// The configuration's folder, copied to `to` with modes that keep others out; then proven there. Returns how many files.
fn config(open: &Open, to: &Path, watch: &mut dyn Watch) -> Result<u64, Error> {
    let from = open.folder().join(manifest::CONFIG);
    if !from.is_dir() {
        return Ok(0);
    }
    let made = !to.exists();
    let copied = copy_tree(&from, to, watch).and_then(|()| keep_out(open, to, watch));
    if copied.is_err() && made {
        // Half a configuration is none.
        let _ = fs::remove_dir_all(to);
    }
    copied
}

fn copy_tree(from: &Path, to: &Path, watch: &mut dyn Watch) -> Result<(), Error> {
    if !to.exists() {
        fs::DirBuilder::new().mode(0o700).create(to).map_err(Error::io("make", to))?;
    }
    watch.tell("copies the configuration", None);
    let mut stopped = false;
    let options = CopyOptions::new().content_only(true);
    let follow = |progress: TransitProcess| {
        stopped |= watch.point(progress.copied_bytes).is_err();
        // What stands there already is not ours to replace.
        if stopped || progress.state != TransitState::Normal {
            TransitProcessResult::Abort
        } else {
            TransitProcessResult::ContinueOrAbort
        }
    };
    let copied = fs_extra::dir::copy_with_progress(from, to, &options, follow);
    match copied {
        _ if stopped => Err(Error::Stopped),
        Ok(_) => Ok(()),
        Err(error) => Err(Error::refused("copy the configuration", clean_line(&error.to_string()))),
    }
}

fn keep_out(open: &Open, to: &Path, watch: &mut dyn Watch) -> Result<u64, Error> {
    let mut files = 0;
    for entry in &open.manifest.files {
        let Part::Config(below) = entry.path.part() else { continue };
        let path = to.join(below);
        let mut file = fs::File::open(&path).map_err(Error::io("open", &path))?;
        let mut done = 0;
        let (_, sum) =
            copy(&mut file, None, entry.size.saturating_add(1), &mut done, watch).map_err(|broken| match broken {
                Broken::Stopped => Error::Stopped,
                Broken::From(error) | Broken::To(error) => Error::io("read", &path)(error),
            })?;
        if sum != entry.sha256 {
            let damage = vec![format!("{} changed while it was brought back", entry.path)];
            return Err(Error::Damaged { name: open.manifest.name.clone(), damage });
        }
        let closed = |mode| fs::Permissions::from_mode(mode);
        file.set_permissions(closed(0o600))
            .and_then(|()| file.sync_all())
            .map_err(Error::io("close to others", &path))?;
        for above in path.ancestors().skip(1).take_while(|above| above.starts_with(to) && *above != to) {
            fs::set_permissions(above, closed(0o700)).map_err(Error::io("close to others", above))?;
            sync(above)?;
        }
        files += 1;
    }
    sync(to)?;
    Ok(files)
}

/// Files of the configuration that are not here as they are in the backup.
fn differs(open: &Open, here: &Path, watch: &mut dyn Watch) -> Result<Vec<String>, Error> {
    let mut different = Vec::new();
    for entry in &open.manifest.files {
        // What was elsewhere is not looked for there: a path of a manifest leads nowhere else.
        let (Part::Config(below), None) = (entry.path.part(), &entry.from) else { continue };
        let there = here.join(below);
        watch.point(0)?;
        let same = fs::symlink_metadata(&there).is_ok_and(|meta| meta.is_file() && meta.len() == entry.size)
            && fs::read(&there).is_ok_and(|bytes| super::copy::sum(&bytes) == entry.sha256);
        if !same {
            different.push(clean_line(below).into_owned());
        }
    }
    Ok(different)
}

/// Puts back files of the roots that are missing. What is there is left alone.
fn media(open: &Open, specs: &[RootSpec], dry_run: bool, watch: &mut dyn Watch) -> Result<Media, Error> {
    let (roots, _) = Roots::open(specs);
    let mut media = Media::default();
    for entry in &open.manifest.files {
        let Part::Media(root, below) = entry.path.part() else { continue };
        watch.tell(entry.path.as_str(), None);
        match roots.within(root, below).map_err(Error::from).and_then(|to| back(open, entry, &to, dry_run, watch)) {
            Ok(true) => media.restored += 1,
            Ok(false) => media.present += 1,
            Err(Error::Stopped) => return Err(Error::Stopped),
            Err(error) => media.failed(entry, error),
        }
    }
    Ok(media)
}

/// One file of a root; `false` when something is there.
fn back(open: &Open, entry: &Entry, to: &RootPath, dry_run: bool, watch: &mut dyn Watch) -> Result<bool, Error> {
    if to.relative().starts_with(OWN_DIRECTORY) {
        return Err(Error::refused("bring a file back", "it belongs to logmedic itself"));
    }
    if to.stat()?.is_some() {
        return Ok(false);
    }
    if dry_run {
        return Ok(true);
    }
    if let Some(above) = to.parent() {
        above.make_directories()?;
    }
    let mut part = to.create_part()?;
    let path = part.path.absolute();
    let placed = take(open, entry, &mut part.file, &path, watch).and_then(|()| {
        // Whole, it is worth having, whoever owns it.
        part.give_away()?;
        Ok(part.place_at(to)?)
    });
    if placed.is_err() {
        // Half a file is none.
        let _ = part.path.remove_file();
    }
    placed.map(|()| true)
}
