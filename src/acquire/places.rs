//! Tells which file a checkpoint or an earlier stream means.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::SystemTime;

use super::Identity;
use super::siblings::Sibling;
use super::stream::{COPY_HEAD, Print, Stream};

/// A generation that was read (or was there before), up to `offset`.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) print: Print,
    pub(super) offset: u64,
}

pub(super) fn is_inode(meta: &Metadata, sibling: &Sibling) -> bool {
    (meta.dev(), meta.ino()) == (sibling.print.dev, sibling.print.ino)
}

/// Whether the sibling holds the same text under another inode. A short head must be all there is.
pub(super) fn is_copy(print: &Print, sibling: &Sibling) -> bool {
    (print.hashed >= COPY_HEAD || (print.hashed > 0 && sibling.meta.len() == print.hashed))
        && print.begins(&sibling.file).unwrap_or(false)
}

/// Whether the sibling is this very file; an inode alone says little, it is used again at once.
pub(super) fn is_known(known: &Known, sibling: &Sibling) -> bool {
    known.print.same_inode(&sibling.print)
        && (known.print.hashed > 0 || sibling.meta.len() == 0)
        && known.print.begins(&sibling.file).unwrap_or(false)
}

impl Stream {
    /// Whether the sibling is this very file; when it was truncated, its inode holds another.
    pub(super) fn holds(&self, sibling: &Sibling) -> bool {
        match self.over {
            true => is_known(&Known { print: self.print, offset: self.offset }, sibling),
            false => self.print.same_inode(&sibling.print),
        }
    }
}

/// Until when files beside a stored one had been seen; itself among them.
pub(super) fn seen_until(identity: &Identity) -> Option<SystemTime> {
    if let Identity::File { seen_until, .. } = identity { *seen_until } else { None }
}

/// For each file the number of its checkpoint and the offset to go on at; and the checkpoints without a file.
pub(super) type Places = (Vec<Option<(usize, u64)>>, Vec<(Identity, u64)>);

/// Finds each checkpoint's file: first by inode and head, then by head alone (a copy that copytruncate left).
pub(super) fn match_files(files: &[Option<Sibling>], checkpoints: &[(Identity, u64)]) -> Places {
    let mut places: Vec<Option<(usize, u64)>> = vec![None; files.len()];
    let mut rest = Vec::new();
    for (of, (identity, offset)) in checkpoints.iter().enumerate() {
        let Some(print) = Print::told(identity) else { continue };
        // An inode is used again at once, and of a file that was empty there is no head to tell; its age does.
        let later = |f: &Sibling| seen_until(identity).is_some_and(|seen| f.meta.created().is_ok_and(|at| at > seen));
        let same = |f: &Sibling| print.same_inode(&f.print) && !later(f) && print.begins(&f.file).unwrap_or(false);
        let found = (0..files.len()).find(|at| places[*at].is_none() && files[*at].as_ref().is_some_and(same));
        match found.and_then(|at| Some((at, files[at].as_ref()?))) {
            // A power cut can leave a file shorter than what was read of it.
            Some((at, file)) => places[at] = Some((of, (*offset).min(file.meta.len()))),
            None => rest.push((of, print, *offset)),
        }
    }
    let mut lost = Vec::new();
    for (of, print, offset) in rest {
        let same = |f: &Sibling| is_copy(&print, f) && f.meta.len() >= offset;
        let found = (0..files.len()).rev().find(|at| places[*at].is_none() && files[*at].as_ref().is_some_and(same));
        match found {
            Some(at) => places[at] = Some((of, offset)),
            None => lost.push(checkpoints[of].clone()),
        }
    }
    (places, lost)
}
