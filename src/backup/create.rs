//! Makes a backup: aside, forced to the disk, proven, and named last. I/O.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::copy::{Broken, copy, sum};
use super::manifest::{self, Entry, Manifest, Part, Relative};
use super::media::{self, Medium, Skipped};
use super::place::{Place, sync};
use super::watch::Watch;
use super::{COMPLAINTS, Error, Piece, Settings};
use crate::ledger::backup as state;
use crate::roots::Roots;

/// Room that stays free: the disk of the state must not be filled by its backup.
const RESERVE: u64 = 16 << 20;

/// What a backup is asked to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// What a person calls it.
    pub name: Option<String>,
    /// Whether the files of the roots are in it; without a word as the configuration says.
    pub media: Option<bool>,
    /// Whether secrets of the configuration are in it; without a word as the configuration says.
    pub secrets: Option<bool>,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// What is in it.
    pub manifest: Manifest,
    /// Older ones that were let go.
    pub let_go: Vec<String>,
    /// Why older ones could not be let go.
    pub kept: Option<String>,
}

/// A folder that is gone unless it is kept.
struct Partial {
    path: PathBuf,
    keep: bool,
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!("failed to remove {}: {error}; the next backup removes it", self.path.display());
        }
    }
}

/// The folder that is being filled.
struct Filling<'a> {
    path: &'a Path,
    directories: Vec<PathBuf>,
    files: Vec<Entry>,
    done: u64,
    total: u64,
}

impl Filling<'_> {
    fn make(&mut self, to: &Relative) -> Result<File, Error> {
        let path = self.path.join(to.as_path());
        if let Some(above) = path.parent()
            && self.directories.last().is_none_or(|last| last != above)
        {
            for directory in above.ancestors().take_while(|dir| dir.starts_with(self.path)).collect::<Vec<_>>() {
                if !self.directories.iter().any(|known| known == directory) {
                    self.directories.push(directory.to_path_buf());
                }
            }
            DirBuilder::new().recursive(true).mode(0o700).create(above).map_err(full_or("make", above, self))?;
            // The one that is written to next stands last.
            self.directories.retain(|known| known != above);
            self.directories.push(above.to_path_buf());
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(full_or("make", &path, self))
    }

    fn note(&mut self, path: Relative, size: u64, sha256: String) -> &mut Entry {
        let at = self.files.len();
        self.files.push(Entry { path, size, sha256, secret: false, from: None });
        &mut self.files[at]
    }
}

/// Says that the disk is full where that is why.
fn full_or(what: &'static str, path: &Path, filling: &Filling<'_>) -> impl FnOnce(std::io::Error) -> Error {
    let (path, needed, written) = (path.to_path_buf(), filling.total, filling.done);
    move |source| {
        let limits = [nix::errno::Errno::ENOSPC, nix::errno::Errno::EDQUOT, nix::errno::Errno::EFBIG].map(|e| e as i32);
        if source.raw_os_error().is_some_and(|errno| limits.contains(&errno)) {
            let why =
                format!("no room after {written} of {needed} bytes ({source}); free some, or set [backup] directory");
            return Error::refused("write the backup", why);
        }
        Error::Io { what, path, source }
    }
}

/// Makes a backup and lets old ones go.
///
/// # Errors
/// Why there is none; then nothing of it is left.
pub fn create(
    settings: &Settings,
    order: &Order,
    operation: Option<String>,
    now: DateTime<Utc>,
    watch: &mut dyn Watch,
) -> Result<Made, Error> {
    if let Some(label) = &order.name {
        manifest::label(label).map_err(|why| Error::refused("make a backup", why))?;
    }
    let place = Place::new(settings.directory.clone(), settings.state.clone());
    let writing = place.lock(watch)?;
    watch.tell("looks what there is", None);
    let (media, secrets) = (order.media.unwrap_or(settings.media), order.secrets.unwrap_or(settings.secrets));
    let mut skipped = Skipped::default();
    let (pieces, unread) = (settings.pieces)(secrets);
    unread.iter().for_each(|why| skipped.add("configuration", why));
    let (roots, problems) = if media { Roots::open(&settings.roots) } else { Roots::open(&[]) };
    problems.iter().for_each(|problem| skipped.add("root", problem));
    let found = media::find(settings, &roots, &mut skipped, watch)?;

    let database = state::size(&settings.state)?;
    let config: u64 = pieces.iter().map(|piece| piece.content.len() as u64).sum();
    let total = found.iter().fold(database + config, |sum, medium| sum.saturating_add(medium.size));
    let free = place.free()?;
    if free < total.saturating_add(RESERVE) {
        let directory = crate::vocab::clean_line(&settings.directory.to_string_lossy()).into_owned();
        return Err(Error::Full { needed: total.saturating_add(RESERVE), free, directory });
    }
    watch.tell("copies the state", Some(total));

    let (name, path) = place.fresh(now, order.name.as_deref())?;
    let mut partial = Partial { path, keep: false };
    let path = partial.path.clone();
    let mut filling = Filling { path: &path, directories: vec![path.clone()], files: Vec::new(), done: 0, total };
    let format = database_into(settings, &mut filling, watch)?;
    for piece in &pieces {
        piece_into(piece, &mut filling, &mut skipped, watch)?;
    }
    for medium in &found {
        medium_into(medium, &mut filling, &mut skipped, watch)?;
    }

    watch.tell("writes the manifest", Some(total));
    let manifest = Manifest {
        schema: manifest::SCHEMA.into(),
        name: name.clone(),
        logmedic: env!("CARGO_PKG_VERSION").into(),
        database_format: format,
        created_at: now,
        state_dir: settings.state.to_string_lossy().into_owned(),
        operation,
        media,
        secrets,
        bytes: filling.files.iter().map(|file| file.size).sum(),
        files: std::mem::take(&mut filling.files),
        skipped: skipped.told,
        skipped_count: skipped.count,
    };
    seal(&manifest, &mut filling)?;
    filling.directories.iter().try_for_each(|directory| sync(directory))?;
    // Last safe point: from here on it is there.
    watch.point(total)?;
    place.publish(&path, &name)?;
    partial.keep = true;
    let pruned = place.prune(&writing, &name, (settings.keep, settings.keep_for), now);
    let (let_go, kept) = match pruned {
        Ok(names) => (names, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    Ok(Made { manifest, let_go, kept })
}

/// The state database: copied, proven, summed up. Returns its format.
fn database_into(settings: &Settings, filling: &mut Filling<'_>, watch: &mut dyn Watch) -> Result<u32, Error> {
    let to = Relative::parse(manifest::STATE).map_err(|why| Error::refused("make a backup", why))?;
    let path = filling.path.join(to.as_path());
    loop {
        watch.point(0)?;
        match state::copy(&settings.state, &path, watch.go_on()) {
            Ok(true) => break,
            // A pause lets go of the database: it is begun anew after it.
            Ok(false) => {}
            Err(error) => return Err(error_of_copy(error, filling)),
        }
    }
    let proof = loop {
        watch.point(0)?;
        if let Some(proof) = state::prove(&path, watch.go_on())? {
            break proof;
        }
    };
    if !proof.damage.is_empty() {
        let damage: Vec<String> = proof.damage.into_iter().take(COMPLAINTS).collect();
        let why = format!("the state itself is damaged ({}); older backups are kept", damage.join("; "));
        return Err(Error::refused("make a backup", why));
    }
    let mut file = File::open(&path).map_err(Error::io("read", &path))?;
    let (size, sha256) = copy(&mut file, None, u64::MAX, &mut filling.done, watch).map_err(|broken| match broken {
        Broken::Stopped => Error::Stopped,
        Broken::From(source) | Broken::To(source) => Error::Io { what: "read", path: path.clone(), source },
    })?;
    filling.note(to, size, sha256).secret = true;
    Ok(proof.format)
}

/// SQLite's own words for a full disk, in ours.
fn error_of_copy(error: crate::ledger::Error, filling: &Filling<'_>) -> Error {
    use crate::ledger::rusqlite::ErrorCode;
    match &error {
        crate::ledger::Error::Sqlite { source, .. }
            if matches!(source.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure)) =>
        {
            let why = format!(
                "no room for the copy of the state, or its disk failed ({source}); it needs {} bytes; free some, or set [backup] directory",
                filling.total
            );
            Error::refused("write the backup", why)
        }
        crate::ledger::Error::Sqlite { source, .. }
            if matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) =>
        {
            Error::refused("make a backup", format!("the state itself is damaged ({source}); older backups are kept"))
        }
        _ => error.into(),
    }
}

fn piece_into(
    piece: &Piece,
    filling: &mut Filling<'_>,
    skipped: &mut Skipped,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    watch.point(filling.done)?;
    let to = match Relative::parse(&format!("{}/{}", manifest::CONFIG, piece.path)) {
        Ok(to) => to,
        Err(why) => {
            skipped.add(&piece.path, why);
            return Ok(());
        }
    };
    let mut file = filling.make(&to)?;
    let written = file.write_all(&piece.content).and_then(|()| file.sync_all());
    written.map_err(full_or("write", to.as_path(), filling))?;
    filling.done += piece.content.len() as u64;
    let entry = filling.note(to, piece.content.len() as u64, sum(&piece.content));
    entry.secret = piece.secret;
    entry.from = piece.from.as_ref().map(|from| from.to_string_lossy().into_owned());
    Ok(())
}

/// A file of a root. One that cannot be read, or that changes meanwhile, is left out and told.
fn medium_into(
    medium: &Medium,
    filling: &mut Filling<'_>,
    skipped: &mut Skipped,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    let shown = medium.from.to_string();
    watch.tell(&shown, None);
    watch.point(filling.done)?;
    let (mut from, facts) = match medium.from.open_read() {
        Ok(open) => open,
        Err(error) => {
            filling.done += medium.size;
            skipped.add(&shown, error);
            return Ok(());
        }
    };
    let modified = |file: &File| file.metadata().and_then(|meta| Ok((meta.len(), meta.modified()?))).ok();
    let before = modified(&from);
    let mut to = filling.make(&medium.to)?;
    let begun = filling.done;
    // One that grows faster than it is copied has no end.
    let copied = copy(&mut from, Some(&mut to), facts.size.saturating_add(1), &mut filling.done, watch);
    let trouble = match copied {
        Ok((size, sha256)) if size == facts.size && modified(&from) == before => {
            filling.note(medium.to.clone(), size, sha256);
            None
        }
        Ok(_) => Some("it changed while it was copied".to_owned()),
        Err(Broken::Stopped) => return Err(Error::Stopped),
        Err(Broken::To(error)) => return Err(full_or("write", medium.to.as_path(), filling)(error)),
        Err(Broken::From(error)) => Some(error.to_string()),
    };
    filling.done = begun + medium.size;
    if let Some(why) = trouble {
        let path = filling.path.join(medium.to.as_path());
        std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        skipped.add(&shown, why);
    }
    Ok(())
}

/// Writes the manifest and its checksum.
fn seal(manifest: &Manifest, filling: &mut Filling<'_>) -> Result<(), Error> {
    let text =
        serde_json::to_string(manifest).map_err(|error| Error::refused("write the manifest", error.to_string()))?;
    let text = crate::vocab::json_text(text);
    if text.len() as u64 > manifest::LONGEST {
        let why = format!("it would be longer than {} bytes; make this backup without media", manifest::LONGEST);
        return Err(Error::refused("write the manifest", why));
    }
    let line = format!("{}  {}\n", sum(text.as_bytes()), manifest::FILE);
    for (name, text) in [(manifest::FILE, text), (manifest::SUM, line)] {
        let path = filling.path.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(full_or("write", &path, filling))?;
    }
    debug_assert!(manifest.state().is_some_and(|state| state.path.part() == Part::State));
    Ok(())
}
