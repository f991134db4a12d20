//! Finds the older generations of a rotated log file beside it.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirEntryExt as _;
use std::path::{Path, PathBuf};

use super::stream::{self, Print};

/// How many generations are looked at, the latest ones; more than any rotation policy keeps.
pub(super) const GENERATIONS: usize = 1000;

/// How often a directory is listed again because files moved meanwhile.
const LISTINGS: u32 = 8;

/// A generation, open.
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) meta: Metadata,
    pub(super) print: Print,
    /// Its name says that it is a generation; otherwise it was asked for by inode.
    pub(super) named: bool,
}

/// What is at the end of a name that holds no log text as such.
const NOT_TEXT: [&str; 12] =
    [".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip", ".7z", ".swp", ".lock", ".pid", ".tmp", ".part"];

/// Whether `name` is a compressed generation.
pub(super) fn is_compressed(name: &OsStr) -> bool {
    let name = name.as_bytes();
    NOT_TEXT[..7].iter().any(|end| name.ends_with(end.as_bytes()))
}

/// Whether `name` looks like an older generation of the file called `base`: `bot.log.1`, `bot.log-20261122`,
/// `bot.log.old`, `bot.1.log`, `bot-2026-11-22.log`.
pub(super) fn is_generation(base: &OsStr, name: &OsStr) -> bool {
    let (base, name) = (base.as_bytes(), name.as_bytes());
    if base.is_empty() || NOT_TEXT.iter().any(|end| name.ends_with(end.as_bytes())) {
        return false;
    }
    if let Some(rest) = name.strip_prefix(base) {
        return matches!(rest.first(), Some(b'.' | b'-' | b'_' | b'~'));
    }
    let Some(dot) = base.iter().rposition(|b| *b == b'.').filter(|at| *at > 0) else { return false };
    let (stem, extension) = base.split_at(dot);
    let Some(middle) = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)) else { return false };
    matches!(middle.first(), Some(b'.' | b'-' | b'_'))
        && middle.iter().any(u8::is_ascii_digit)
        && middle.iter().all(|b| b.is_ascii_digit() || b".-_T".contains(b))
}

/// The number of `bot.log.3` or `bot.3.log`: the higher, the older. A date is no such number.
fn number(base: &OsStr, name: &OsStr) -> u64 {
    let stem = base.as_bytes().split(|b| *b == b'.').next().unwrap_or_default().len();
    let digits = name.as_bytes()[stem.min(name.len())..].split(|b| !b.is_ascii_digit()).filter(|d| !d.is_empty());
    digits.filter(|d| d.len() <= 4).filter_map(|d| std::str::from_utf8(d).ok()?.parse().ok()).next_back().unwrap_or(0)
}

/// Every readable generation of `path` beside it, the oldest first, and files there with one of these `inodes`, whatever
/// their names. The file at `path` itself is no generation.
///
/// Order: its last change (a copy is made later than what it holds, so birth says less), then the number in its name, since
/// file systems count time in steps, then birth.
pub(super) fn list(path: &Path, inodes: &[u64]) -> Vec<Sibling> {
    let (Some(directory), Some(base)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let mut found = Vec::new();
    // Files move while they are opened one by one; what was listed counts when it still is so afterwards.
    for _ in 0..LISTINGS {
        let before = names(directory, base, inodes);
        found = before.iter().filter_map(|(name, _, named)| open(&directory.join(name), *named)).collect();
        let same = |(sibling, (_, ino, _)): (&Sibling, &(OsString, u64, bool))| sibling.print.ino == *ino;
        if found.len() == before.len()
            && found.iter().zip(&before).all(same)
            && names(directory, base, inodes) == before
        {
            break;
        }
    }
    let mut seen = HashSet::new();
    found.retain(|sibling| seen.insert((sibling.print.dev, sibling.print.ino)));
    found.sort_by_cached_key(|sibling| {
        let name = sibling.path.file_name().unwrap_or_default();
        (sibling.meta.modified().ok(), Reverse(number(base, name)), stream::birth(&sibling.meta))
    });
    found
}

/// Names of generations and of files with one of `inodes`, with inode and whether the name says it; in name order.
fn names(directory: &Path, base: &OsStr, inodes: &[u64]) -> Vec<(OsString, u64, bool)> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let (name, ino) = (entry.file_name(), entry.ino());
            let named = is_generation(base, &name);
            (named || (inodes.contains(&ino) && name != base)).then_some((entry, name, ino, named))
        })
        .filter(|(entry, ..)| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .take(GENERATIONS)
        .map(|(_, name, ino, named)| (name, ino, named))
        .collect();
    names.sort_unstable();
    names
}

fn open(path: &Path, named: bool) -> Option<Sibling> {
    let (file, meta) = stream::open(path).ok()?;
    let print = Print::of(&file, &meta).ok()?;
    Some(Sibling { path: path.into(), file, meta, print, named })
}

/// Whether a compressed generation lies beside `path`.
pub(super) fn any_compressed(path: &Path) -> bool {
    let (Some(directory), Some(base)) = (path.parent(), path.file_name()) else { return false };
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    entries
        .filter_map(Result::ok)
        .any(|entry| entry.file_name().as_bytes().starts_with(base.as_bytes()) && is_compressed(&entry.file_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_known_by_their_names() {
        let is = |name: &str| is_generation(OsStr::new("bot.log"), OsStr::new(name));
        for name in ["bot.log.1", "bot.log-20261122", "bot.log.old", "bot.1.log", "bot-2026-11-22.log", "bot.log~"] {
            assert!(is(name), "{name}");
        }
        for name in
            ["bot.log", "bot.log.1.gz", "bot-errors.log", "other.log.1", "bot.logs", "bot.log.swp", "bots.1.log"]
        {
            assert!(!is(name), "{name}");
        }
    }

    #[test]
    fn a_higher_number_is_older_and_a_date_is_no_number() {
        let of = |name: &str| number(OsStr::new("bot.log"), OsStr::new(name));
        assert_eq!((of("bot.log.12"), of("bot.3.log"), of("bot.log-20261122"), of("bot.log.old")), (12, 3, 0, 0));
    }
}
