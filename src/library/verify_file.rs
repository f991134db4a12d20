//! Looks at one file as thoroughly as asked: structure, checksum, decoding. I/O.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::Library;
use super::hash::{self, Unhashed};
use super::look::stamp;
use super::pace::{Ended, Pace, threads};
use super::verify::{Content, Decoded, Level, Seen, conclude, stands};
use super::verify_decode::{Decoder, decode};
use crate::ledger::library::{Integrity, Media, Stamp};
use crate::media::{Depth, State, Verdict, check_with};
use crate::roots::Error;
use crate::vocab::Evidence;

/// What was written to within this time may be written to still: what looks bad is not called bad.
const FRESH: Duration = Duration::from_secs(30);

/// Names of files that are not complete yet.
const UNFINISHED: [&str; 9] =
    [".part", ".crdownload", ".tmp", ".temp", ".download", ".partial", ".ytdl", ".aria2", ".!qb"];

/// What a look at a file of the library showed.
pub(super) struct Looked {
    pub(super) verdict: Integrity,
    pub(super) reason: String,
    /// How thorough the look was that says so.
    pub(super) level: String,
    pub(super) stamp: Stamp,
    /// Hash of its content, where it was read.
    pub(super) blake3: Option<String>,
    /// Bytes that were read of it, besides what ffmpeg read.
    pub(super) read: u64,
    pub(super) evidence: Evidence,
    pub(super) absolute: PathBuf,
}

/// What became of looking at it.
pub(super) enum Turn {
    /// It is not there any more.
    Gone,
    /// It could not be read: one sentence.
    Unreadable(String),
    Looked(Box<Looked>),
}

/// A file that is read no faster than it may be, and counts.
struct Paced<'a> {
    file: &'a File,
    pace: &'a Pace,
    read: u64,
}

impl Read for Paced<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buffer)?;
        self.read += got as u64;
        self.pace.spend(got as u64).map_err(|Ended| io::Error::other("stopped"))?;
        Ok(got)
    }
}

impl Seek for Paced<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Looks at a file of the library. `buffer` is for reading.
pub(super) fn look(
    library: &Library,
    media: &Media,
    level: Level,
    buffer: &mut [u8],
    pace: &Pace,
) -> Result<Turn, Ended> {
    let place = &media.place;
    let path = match library.inner.roots.place(&place.root, &place.relative()) {
        Ok(path) => path,
        Err(refusal) => return Ok(Turn::Unreadable(refusal.reason)),
    };
    let (file, mark) = match path.open_marked() {
        Ok(open) => open,
        Err(Error::Missing(_)) => return Ok(Turn::Gone),
        Err(error) => return Ok(Turn::Unreadable(error.to_string())),
    };
    let is = stamp(mark);
    let name = place.file.to_string_lossy();
    let mut reader = Paced { file: &file, pace, read: 0 };
    let mut structure = structure(&mut reader, mark.size, &name, Depth::Cheap, pace)?;
    let (mut content, mut blake3, mut moving) = (Content::Unread, None, false);
    if level >= Level::Checksum && !is_bad(&structure) {
        match hash::hash(&file, mark.size, threads(), buffer, pace) {
            Ok(hash) => {
                content = match &media.content.blake3 {
                    None => Content::New,
                    Some(known) if *known == hash => Content::Same,
                    Some(_) => Content::Other,
                };
                blake3 = Some(hash);
            }
            Err(Unhashed::Ended) => return Err(Ended),
            Err(Unhashed::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => moving = true,
            Err(Unhashed::Io(error)) => return Ok(Turn::Unreadable(format!("failed to read {path}: {error}"))),
        }
        reader.read += if blake3.is_some() { mark.size } else { 0 };
        // What is the same as ever needs no second proof by the checksums in it.
        if content != Content::Same && !moving {
            structure = self::structure(&mut reader, mark.size, &name, Depth::Deep, pace)?;
        }
    }
    let read = reader.read;
    let mut decoded = None;
    if level == Level::Decode && !is_bad(&structure) && !moving {
        let decoder = Decoder::of(&library.inner.settings);
        decoded = Some(decode(&decoder, &file, mark.size, &structure, pace)?);
    }
    moving |= !path.mark_of(&file).is_ok_and(|now| stamp(now) == is);
    let fresh = is_fresh(is.mtime_ns) || UNFINISHED.iter().any(|end| name.to_ascii_lowercase().ends_with(end));
    let same = media.stamp == is;
    let changed = same && media.checked.verdict == Integrity::Changed;
    let (mut verdict, mut reason) =
        conclude(&Seen { structure: &structure, content, decoded, changed, known: media.stamp, is, fresh });
    let mut said_at = level.as_str().to_owned();
    if moving {
        (verdict, reason) = (Integrity::Unknown, "it changed while it was looked at".into());
    } else if stands(&media.checked, same, level, verdict) {
        verdict = media.checked.verdict;
        reason = media.checked.reason.clone().unwrap_or(reason);
        said_at = media.checked.level.clone().unwrap_or(said_at);
    }
    let mut evidence = structure.evidence;
    evidence.insert("kind".into(), json!(structure.kind));
    if let (Some(is), Some(known)) = (&blake3, &media.content.blake3) {
        evidence.insert("blake3".into(), json!(is));
        evidence.insert("recorded_blake3".into(), json!(known));
    }
    let looked =
        Looked { verdict, reason, level: said_at, stamp: is, blake3, read, evidence, absolute: path.absolute() };
    Ok(Turn::Looked(Box::new(looked)))
}

fn structure(reader: &mut Paced<'_>, size: u64, name: &str, depth: Depth, pace: &Pace) -> Result<Verdict, Ended> {
    let verdict = check_with(reader, size, name, depth, &mut || pace.point().is_ok());
    pace.point()?;
    Ok(verdict)
}

const fn is_bad(verdict: &Verdict) -> bool {
    matches!(verdict.state, State::Short | State::Broken)
}

fn is_fresh(mtime_ns: i64) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let written = Duration::from_nanos(u64::try_from(mtime_ns).unwrap_or(0));
    // A date in the future says nothing.
    now.checked_sub(written).is_some_and(|age| age < FRESH)
}

/// Looks at a file that need not be in the library; `deep`: with every checksum in it, and decoded where ffmpeg can.
#[must_use]
pub fn look_at(file: &mut File, size: u64, name: &str, deep: bool, decoder: &Decoder) -> Verdict {
    let pace = Pace::new(0, false, || {});
    let depth = if deep { Depth::Deep } else { Depth::Cheap };
    let mut verdict = check_with(file, size, name, depth, &mut || true);
    if !deep || is_bad(&verdict) {
        return verdict;
    }
    // Nobody ends it but its own limits.
    let decoded = decode(decoder, file, size, &verdict, &pace).unwrap_or(Decoded::Untold("stopped".into()));
    let said = match &decoded {
        Decoded::Whole => json!(true),
        Decoded::Fails(_) => json!(false),
        Decoded::Untold(why) => json!(why),
    };
    let seen = Seen {
        structure: &verdict,
        content: Content::Unread,
        decoded: Some(decoded),
        changed: false,
        known: Stamp::default(),
        is: Stamp::default(),
        fresh: false,
    };
    let (integrity, reason) = conclude(&seen);
    verdict.state = match integrity {
        Integrity::Sound => State::Sound,
        Integrity::Short => State::Short,
        Integrity::Broken => State::Broken,
        Integrity::Changed | Integrity::Unknown => State::Unknown,
    };
    verdict.detail = reason;
    verdict.evidence.insert("decoded".into(), said);
    verdict
}
