//! Keeps small pictures: a JPEG a file in the state directory. I/O.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::vocab::Id;

/// A small picture is smaller than this; what is larger is none of ours.
pub(super) const PICTURE_MAX: usize = 1 << 20;

/// Where a picture is kept: in one of a thousand directories, by the end of its identifier, which is random.
fn path(directory: &Path, id: &str) -> Option<PathBuf> {
    let id = Id::parse(id)?.to_string();
    Some(directory.join(id.get(24..)?).join(format!("{id}.jpg")))
}

/// The picture of this file; `None` when there is none.
pub(super) fn read(directory: &Path, id: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(path(directory, id)?).ok()?;
    (bytes.len() <= PICTURE_MAX).then_some(bytes)
}

/// Keeps a picture in the place of the one before, whole or not at all.
pub(super) fn write(directory: &Path, id: &str, bytes: &[u8]) -> io::Result<()> {
    let path = path(directory, id).ok_or(io::ErrorKind::InvalidInput)?;
    let above = path.parent().unwrap_or(directory);
    fs::create_dir_all(above)?;
    let part = above.join(format!("{id}.part"));
    fs::write(&part, bytes)?;
    fs::rename(part, path)
}

/// Removes a picture, if there is one.
pub(super) fn remove(directory: &Path, id: &str) {
    if let Some(path) = path(directory, id) {
        // It may never have been made.
        let _ = fs::remove_file(path);
    }
}
