//! Finds the files of the roots, for a backup. I/O: by descriptor, without following a link.

use std::collections::VecDeque;

use super::manifest::{FILES, MEDIA, Relative};
use super::watch::Watch;
use super::{Error, Settings};
use crate::roots::{FileKind, OWN_DIRECTORY, PART_SUFFIX, RootPath, Roots};

/// What was left out is told of so many files at most.
const TOLD: usize = 100;

/// Entries of one directory between two safe points.
const DIRECTORY: usize = FILES;

/// A file that is to be copied.
pub(super) struct Medium {
    /// Where it is.
    pub(super) from: RootPath,
    /// Where it goes.
    pub(super) to: Relative,
    /// Its size when it was found.
    pub(super) size: u64,
}

/// What was left out, and why.
#[derive(Default)]
pub(super) struct Skipped {
    /// The first of them.
    pub(super) told: Vec<String>,
    /// How many.
    pub(super) count: u64,
}

impl Skipped {
    /// One more.
    pub(super) fn add(&mut self, what: &str, why: impl std::fmt::Display) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told
                .push(crate::vocab::shorten(&crate::vocab::clean_line(&format!("{what}: {why}")), 400).into_owned());
        }
    }
}

/// All files of the roots. logmedic's own folders in them, backups, the state directory and unfinished downloads are left out.
pub(super) fn find(
    settings: &Settings,
    roots: &Roots,
    skipped: &mut Skipped,
    watch: &mut dyn Watch,
) -> Result<Vec<Medium>, Error> {
    let identity = |path: &std::path::Path| {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
    };
    let own = [identity(&settings.directory), identity(&settings.state)];
    let mut found = Vec::new();
    let mut todo: VecDeque<RootPath> = roots.all().into();
    while let Some(directory) = todo.pop_front() {
        watch.point(0)?;
        if directory.root_name().contains('/') {
            skipped.add(&directory.to_string(), "the name of this root holds '/'; give it a plain name");
            continue;
        }
        let (entries, more) = match directory.list(DIRECTORY) {
            Ok(listed) => listed,
            Err(error) => {
                skipped.add(&directory.to_string(), error);
                continue;
            }
        };
        if more {
            return Err(Error::refused("back the media up", format!("{directory} holds more than {FILES} files")));
        }
        let above = directory.stat().ok().flatten();
        for entry in entries {
            let path = entry.path;
            if path.relative().starts_with(OWN_DIRECTORY) || own.contains(&Some(entry.facts.identity)) {
                continue;
            }
            if entry.facts.kind == FileKind::Directory {
                todo.push_back(path);
                continue;
            }
            if path.name().ends_with(PART_SUFFIX) {
                continue;
            }
            // A second name for somebody else's file: by a backup it would become the bot's own.
            if entry.facts.links > 1 && above.is_none_or(|above| above.uid != entry.facts.uid) {
                skipped.add(&path.to_string(), "it has several names and belongs to somebody else");
                continue;
            }
            let place = path.relative().to_str().map(|below| format!("{MEDIA}/{}/{below}", path.root_name()));
            match place.as_deref().map(Relative::parse) {
                Some(Ok(to)) => found.push(Medium { from: path, to, size: entry.facts.size }),
                Some(Err(why)) => skipped.add(&path.to_string(), why),
                None => skipped.add(&path.to_string(), "its name is no text"),
            }
            if found.len() > FILES - 1_000 {
                let why = format!("the roots hold more than {} files; make this backup without media", FILES - 1_000);
                return Err(Error::refused("back the media up", why));
            }
        }
    }
    Ok(found)
}
