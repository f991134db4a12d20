//! Looks at one file: opens it through its root, reads what it is, hashes it. I/O.

use std::io::Cursor;

use super::hash::{self, LARGE, PIECE, Unhashed};
use super::pace::{Ended, Pace};
use crate::ledger::library::{Content, Place, Stamp};
use crate::media::facts;
use crate::roots::{Mark, Roots};

/// What a look showed.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) stamp: Stamp,
    pub(super) content: Content,
}

/// Why a look showed nothing.
#[derive(Debug)]
pub(super) enum Blind {
    /// Somebody asked for the end.
    Ended,
    /// Somebody writes to it; the next look shows more.
    Changing,
    /// It is not there (any more).
    Gone,
    /// It could not be read: one sentence.
    Unreadable(String),
}

impl From<Ended> for Blind {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

/// The same words of two rooms.
pub(super) const fn stamp(mark: Mark) -> Stamp {
    let Mark { dev, ino, size, mtime_ns, ctime_ns } = mark;
    Stamp { dev, ino, size, mtime_ns, ctime_ns }
}

/// Looks at the file at this place. `buffer` holds a [`PIECE`].
pub(super) fn look(
    roots: &Roots,
    place: &Place,
    threads: usize,
    buffer: &mut [u8],
    pace: &Pace,
) -> Result<Looked, Blind> {
    let path = roots.place(&place.root, &place.relative()).map_err(|refusal| Blind::Unreadable(refusal.reason))?;
    let (mut file, mark) = path.open_marked().map_err(|error| match error {
        crate::roots::Error::Missing(_) => Blind::Gone,
        error => Blind::Unreadable(error.to_string()),
    })?;
    let name = path.name();
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Blind::Changing,
        _ => Blind::Unreadable(format!("failed to read {path}: {error}")),
    };
    let (headers, hash) = match usize::try_from(mark.size).ok().filter(|size| *size <= PIECE.min(buffer.len())) {
        // All of a small file is read once.
        Some(size) => {
            use std::os::unix::fs::FileExt as _;
            let bytes = &mut buffer[..size];
            file.read_exact_at(bytes, 0).map_err(io)?;
            pace.spend(mark.size)?;
            let headers = facts::headers(&mut Cursor::new(&*bytes), mark.size, &name);
            (headers, blake3::hash(bytes).to_hex().to_string())
        }
        None => {
            let headers = facts::headers(&mut file, mark.size, &name);
            let threads = if mark.size < LARGE { 1 } else { threads };
            let hash = hash::hash(&file, mark.size, threads, buffer, pace).map_err(|why| match why {
                Unhashed::Ended => Blind::Ended,
                Unhashed::Io(error) => io(error),
            })?;
            (headers, hash)
        }
    };
    // Whoever wrote meanwhile is found by the date of the change: what was read is neither the old nor the new file.
    if path.mark_of(&file).ok() != Some(mark) {
        return Err(Blind::Changing);
    }
    let content = Content {
        kind: headers.sort.as_str().to_owned(),
        format: headers.format.to_owned(),
        duration_ms: headers.duration_ms,
        width: headers.width,
        height: headers.height,
        video_codec: headers.video_codec,
        audio_codec: headers.audio_codec,
        blake3: Some(hash),
    };
    Ok(Looked { stamp: stamp(mark), content })
}
