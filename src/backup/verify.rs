//! Proves a backup: manifest, every file of it, nothing besides, and the state database in itself. I/O.
//!
//! The backup may have been written by anybody: it is opened as a root of its own, so that no path of it and no link in it
//! leads anywhere else.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use utoipa::ToSchema;

use super::copy::{Broken, copy};
use super::manifest::{self, FILES, Manifest};
use super::watch::Watch;
use super::{COMPLAINTS, Error};
use crate::ledger::backup as state;
use crate::roots::{RootPath, RootSpec, Roots};
use crate::vocab::{clean_line, shorten};

/// Directories are looked through so deep: longer paths do not exist.
const DEPTH: usize = 2_048;

/// A backup whose manifest holds.
pub(super) struct Open {
    /// What it says.
    pub(super) manifest: Manifest,
    folder: PathBuf,
    roots: Roots,
}

/// Whether a backup is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// Whether every byte is as it was written.
    pub sound: bool,
    /// Files that were read.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is wrong; of much the first.
    pub damage: Vec<String>,
    /// What is of no harm but should be known.
    pub notes: Vec<String>,
}

/// Collects what is wrong.
#[derive(Default)]
struct Damage {
    told: Vec<String>,
    more: usize,
}

impl Damage {
    fn add(&mut self, what: impl Into<String>) {
        if self.told.len() < COMPLAINTS {
            self.told.push(what.into());
        } else {
            self.more += 1;
        }
    }

    fn all(mut self) -> Vec<String> {
        if self.more > 0 {
            self.told.push(format!("and {} more", self.more));
        }
        self.told
    }
}

impl Open {
    /// One of its files.
    pub(super) fn file(&self, relative: &str) -> Result<RootPath, Error> {
        Ok(self.roots.within(ROOT, relative)?)
    }

    /// Where it is, without a link in it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The backup's name as a root.
const ROOT: &str = "backup";

/// Reads the manifest of the backup in this folder and proves it by its checksum.
///
/// # Errors
/// When it is missing, damaged, or of another form.
pub(super) fn open(folder: &Path) -> Result<Open, Error> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let name = shorten(&clean_line(&name), 80).into_owned();
    let damaged = |why: String| Error::Damaged { name: name.clone(), damage: vec![why] };
    let folder = folder.canonicalize().map_err(Error::io("open the backup", folder))?;
    let spec =
        RootSpec { name: ROOT.into(), path: folder.clone(), owner: None, group: None, dir_mode: None, file_mode: None };
    let (roots, problems) = Roots::open(&[spec]);
    if let Some(problem) = problems.first() {
        return Err(Error::refused("open the backup", problem.to_string()));
    }
    let read = |what: &str, most: u64| -> Result<Vec<u8>, Error> {
        let (file, facts) =
            roots.within(ROOT, what)?.open_read().map_err(|error| damaged(format!("{what}: {error}")))?;
        if facts.size > most {
            return Err(damaged(format!("{what} is longer than {most} bytes")));
        }
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).map_err(|error| damaged(format!("{what}: {error}")))?;
        Ok(bytes)
    };
    let text = read(manifest::FILE, manifest::LONGEST)?;
    let line = format!("{}  {}\n", super::copy::sum(&text), manifest::FILE);
    if read(manifest::SUM, 200)? != line.as_bytes() {
        return Err(damaged("the manifest is not the one that was written: its checksum differs".into()));
    }
    let manifest = Manifest::parse(&text).map_err(damaged)?;
    Ok(Open { manifest, folder, roots })
}

/// Proves every byte of the backup in this folder.
///
/// # Errors
/// When it cannot be looked at; what is wrong with it is in the verdict.
pub fn verify(folder: &Path, watch: &mut dyn Watch) -> Result<Verdict, Error> {
    let name = shorten(&clean_line(&folder.file_name().unwrap_or_default().to_string_lossy()), 80).into_owned();
    match open(folder) {
        Ok(open) => prove(&open, name, watch),
        Err(Error::Damaged { damage, .. }) => {
            Ok(Verdict { name, sound: false, files: 0, bytes: 0, damage, notes: Vec::new() })
        }
        Err(error) => Err(error),
    }
}

/// Proves every byte of an open backup.
pub(super) fn prove(open: &Open, name: String, watch: &mut dyn Watch) -> Result<Verdict, Error> {
    let manifest = &open.manifest;
    let (mut damage, mut done, mut files) = (Damage::default(), 0, 0);
    watch.tell("looks for what does not belong there", Some(manifest.bytes));
    strangers(open, &mut damage, watch)?;
    for entry in &manifest.files {
        watch.tell(entry.path.as_str(), None);
        let from = done;
        match open.file(entry.path.as_str())?.open_read() {
            Err(error) => damage.add(error.to_string().replacen("backup/", "", 1)),
            Ok((_, facts)) if facts.size != entry.size => {
                damage.add(format!("{} has {} bytes, it was written with {}", entry.path, facts.size, entry.size));
            }
            // It may grow under our hands: never more than it should have.
            Ok((mut file, _)) => match copy(&mut file, None, entry.size, &mut done, watch) {
                Ok((size, sum)) if size == entry.size && sum == entry.sha256 => files += 1,
                Ok(_) => damage.add(format!("{} is not what was written: its checksum differs", entry.path)),
                Err(Broken::Stopped) => return Err(Error::Stopped),
                Err(Broken::From(error) | Broken::To(error)) => damage.add(format!("{}: {error}", entry.path)),
            },
        }
        done = from.saturating_add(entry.size);
        watch.point(done)?;
    }
    let bytes = done;
    if damage.told.is_empty() {
        database(open, &mut damage, watch)?;
    }
    let mut notes = Vec::new();
    if manifest.database_format > state::known() {
        notes.push(format!(
            "its state has format {}, this logmedic knows {}: a newer logmedic can bring it back",
            manifest.database_format,
            state::known()
        ));
    }
    let damage = damage.all();
    Ok(Verdict { name, sound: damage.is_empty(), files, bytes, damage, notes })
}

/// The state database in itself.
fn database(open: &Open, damage: &mut Damage, watch: &mut dyn Watch) -> Result<(), Error> {
    watch.tell("proves the state database", None);
    let path = open.folder.join(manifest::STATE);
    let proof = loop {
        watch.point(open.manifest.bytes)?;
        if let Some(proof) = state::prove(&path, watch.go_on())? {
            break proof;
        }
    };
    proof.damage.iter().for_each(|what| damage.add(format!("state.db: {}", shorten(&clean_line(what), 200))));
    if proof.damage.is_empty() && proof.format != open.manifest.database_format {
        let (found, said) = (proof.format, open.manifest.database_format);
        damage.add(format!("state.db has format {found}, the manifest says {said}"));
    }
    Ok(())
}

/// Files and links that the manifest does not name. Nothing of them is opened.
fn strangers(open: &Open, damage: &mut Damage, watch: &mut dyn Watch) -> Result<(), Error> {
    let named: BTreeSet<&str> =
        open.manifest.files.iter().map(|file| file.path.as_str()).chain([manifest::FILE, manifest::SUM]).collect();
    let (mut todo, mut seen) = (vec![PathBuf::new()], 0);
    while let Some(below) = todo.pop() {
        watch.point(0)?;
        let path = open.folder.join(&below);
        for entry in fs::read_dir(&path).map_err(Error::io("read", &path))? {
            let entry = entry.map_err(Error::io("read", &path))?;
            let kind = entry.file_type().map_err(Error::io("look at", &entry.path()))?;
            let name = below.join(entry.file_name());
            seen += 1;
            if seen > 2 * FILES || name.components().count() > DEPTH {
                damage.add("there is more in it than any backup has");
                return Ok(());
            }
            let shown = || clean_line(&name.to_string_lossy()).into_owned();
            if kind.is_dir() {
                todo.push(name);
            } else if !kind.is_file() {
                damage.add(format!("{} is a link or a device", shown()));
            } else if !name.to_str().is_some_and(|name| named.contains(name)) {
                damage.add(format!("{} does not belong to it: the manifest does not name it", shown()));
            }
        }
    }
    Ok(())
}
