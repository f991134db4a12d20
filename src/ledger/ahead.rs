//! What is about to begin is written to a file ahead of the database: one write, a tenth of a commit. I/O.
//!
//! The file holds the changes of one turn. The repair that they announce begins, and the database gets them afterwards, with the turn's
//! number. When that could not happen any more, the next start finds a number in the file that the database does not have, and commits
//! the changes then. Killed in the middle of the write, the file's sum is wrong, and nothing had begun. Like a commit of
//! [`Force::Later`](super::Force::Later) it outlives this program, not a power cut.
//!
//! The changes stand there as one JSON array, without the rows and records that are JSON themselves; those follow as they are, in the
//! order of their changes, each behind its length.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::store::Change;

/// What the file begins with: what it is, and its format.
const MAGIC: [u8; 8] = *b"lmahead2";

/// Magic, number, length, sum.
const HEAD: usize = 24;

/// The most bytes of changes that are announced this way; more are committed first. A repair's turn has some thousand, a
/// storm's turn that many for each of its lines.
const MOST: usize = 256 * 1024;

/// The file, and which turn it had last.
pub(super) struct Ahead {
    file: File,
    number: u64,
    buffer: Vec<u8>,
}

impl Ahead {
    /// Opens (or makes) the file at `path`; `known` is the number of the last turn that the database has. Also returns the changes of the
    /// turn after that, when the file has them.
    pub(super) fn open(path: &Path, known: u64) -> io::Result<(Self, Option<Vec<Change>>)> {
        let file = File::options().create(true).read(true).write(true).truncate(false).mode(0o600).open(path)?;
        let found = read(&file)?.filter(|(number, _)| *number == known.saturating_add(1));
        let changes = found.and_then(|(_, bytes)| changes_of(&bytes));
        Ok((Self { file, number: known, buffer: Vec::new() }, changes))
    }

    /// Writes down the changes of a turn. Returns its number, for the database; `None`: they are too many, or the file cannot be
    /// written.
    ///
    /// What stood there is gone: it must be in the database.
    pub(super) fn put(&mut self, changes: &[Change]) -> Option<u64> {
        let number = self.number + 1;
        self.buffer.clear();
        self.buffer.resize(HEAD, 0);
        serde_json::to_writer(&mut self.buffer, changes).ok()?;
        for text in changes.iter().filter_map(text_of) {
            self.buffer.extend(u32::try_from(text.len()).ok()?.to_le_bytes());
            self.buffer.extend(text.as_bytes());
        }
        let length = self.buffer.len() - HEAD;
        if length > MOST {
            self.buffer = Vec::new();
            return None;
        }
        self.buffer[..8].copy_from_slice(&MAGIC);
        self.buffer[8..16].copy_from_slice(&number.to_le_bytes());
        self.buffer[16..20].copy_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
        let sum = sum(&self.buffer);
        self.buffer[20..HEAD].copy_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(&self.buffer, 0).ok()?;
        self.number = number;
        Some(number)
    }
}

/// The part of a change that is not written with the others.
const fn text_of(change: &Change) -> Option<&String> {
    match change {
        Change::Row { json, .. } | Change::Record { json, .. } => Some(json),
        _ => None,
    }
}

/// What [`Ahead::put`] wrote; `None`: it is of another format.
fn changes_of(bytes: &[u8]) -> Option<Vec<Change>> {
    let mut heads = serde_json::Deserializer::from_slice(bytes).into_iter::<Vec<Change>>();
    let mut changes = heads.next()?.ok()?;
    let mut rest = bytes.get(heads.byte_offset()..)?;
    for change in &mut changes {
        if let Change::Row { json, .. } | Change::Record { json, .. } = change {
            let (length, behind) = rest.split_first_chunk()?;
            let (text, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            json.push_str(std::str::from_utf8(text).ok()?);
            rest = behind;
        }
    }
    Some(changes)
}

/// Of all but the sum itself.
fn sum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..20]);
    hasher.update(&bytes[HEAD..]);
    hasher.finalize()
}

/// The number and the changes, as they were written; `None`: there are none, or not all of them.
fn read(file: &File) -> io::Result<Option<(u64, Vec<u8>)>> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(HEAD + MOST);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let whole = || {
        let number = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
        let end = HEAD.checked_add(word(16)? as usize)?;
        let all = bytes.get(..end)?;
        (all[..8] == MAGIC && word(20)? == sum(all)).then(|| (number, all[HEAD..].to_vec()))
    };
    Ok(whole())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Force, Ledger};

    const ROW: &str = "{\"a\":\"\\u0007 \\\"né\\n[1]\"}";

    fn row(id: &str) -> Change {
        Change::Row { kind: "engine".into(), id: id.into(), json: ROW.into() }
    }

    /// Which rows came back; each must be what it was.
    fn ids(changes: Option<Vec<Change>>) -> Vec<String> {
        let id = |change| {
            let Change::Row { id, json, .. } = change else { panic!("{change:?}") };
            assert_eq!(json, ROW);
            id
        };
        changes.unwrap_or_default().into_iter().map(id).collect()
    }

    #[test]
    fn a12_what_the_database_lacks_is_given_back_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ahead");
        let (mut ahead, none) = Ahead::open(&path, 7).unwrap();
        assert!(none.is_none());
        assert_eq!(ahead.put(&[row("a"), row("a much longer one")]), Some(8));
        assert_eq!(ahead.put(&[row("b")]), Some(9));
        for (known, want) in [(8, &["b"][..]), (9, &[]), (7, &[]), (10, &[])] {
            assert_eq!(ids(Ahead::open(&path, known).unwrap().1), want, "{known}");
        }
        // The number goes on where the database is.
        let (mut ahead, _) = Ahead::open(&path, 9).unwrap();
        assert_eq!(ahead.put(&[row("c")]), Some(10));
    }

    #[test]
    fn a12_a_write_that_was_cut_off_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ahead");
        let write = |changes: &[Change], known| {
            Ahead::open(&path, known).unwrap().0.put(changes).unwrap();
            std::fs::read(&path).unwrap()
        };
        let old = write(&[row("old"), row("and a longer one")], 0);
        let new = write(&[row("new")], 1);
        let ends = HEAD + u32::from_le_bytes(new[16..20].try_into().unwrap()) as usize;
        for cut in 0..=ends {
            let torn = [&new[..cut], &old[cut..]].concat();
            std::fs::write(&path, &torn).unwrap();
            let is_whole = torn[..ends] == new[..ends];
            let back = ids(Ahead::open(&path, 1).unwrap().1);
            assert_eq!(back, if is_whole { &["new"][..] } else { &[] }, "{cut}");
        }
    }

    #[test]
    fn too_many_changes_are_left_to_the_database() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ahead, _) = Ahead::open(&dir.path().join("ahead"), 0).unwrap();
        let row = Change::Row { kind: "engine".into(), id: "x".into(), json: "x".repeat(MOST) };
        assert_eq!(ahead.put(&[row]), None);
    }

    #[test]
    fn a12_what_was_announced_is_in_the_database_after_a_crash_once() {
        let dir = tempfile::tempdir().unwrap();
        let record = |seq| Change::Record { seq, incident: "i".into(), json: format!("{{\"seq\":{seq}}}") };
        let open = || Ledger::open(dir.path()).unwrap();
        let seqs = |ledger: &Ledger| -> Vec<u64> {
            ledger.records_after(0, 10).unwrap().into_iter().map(|(seq, _)| seq).collect()
        };
        let ledger = open();
        let announced = ledger.announce(&[record(1)]).unwrap();
        assert_eq!(seqs(&ledger), [0; 0], "nothing is committed yet");
        ledger.commit(Force::Later, &[record(1), announced]).unwrap();
        let _ = ledger.announce(&[record(2)]).unwrap();
        drop(ledger);
        // Again and again, as after further crashes.
        for _ in 0..2 {
            assert_eq!(seqs(&open()), [1, 2]);
        }
        let ledger = open();
        let announced = ledger.announce(&[record(3)]).unwrap();
        ledger.commit(Force::Later, &[record(3), announced]).unwrap();
        drop(ledger);
        assert_eq!(seqs(&open()), [1, 2, 3]);
    }
}
