//! Writes the records file: JSON Lines, appended durably, rotated by size, its torn tail repaired at the start.
//!
//! The file's own last line says how far it got, so that neither a crash nor a full disk loses or repeats a record.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// How much of the file's end is searched for its last whole line: more than any record is long.
const TAIL: u64 = 4 << 20;

/// Limits of the records file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A new file is begun at this size, in bytes.
    pub max_size: u64,
    /// So many old files are kept, as `NAME.1` (youngest) to `NAME.N`.
    pub keep: u32,
}

/// The records file, open for appending.
#[derive(Debug)]
pub struct RecordsFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
    last: u64,
}

/// What went wrong with the records file.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what} the records file {path}: {source}")]
pub struct RecordsError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl RecordsFile {
    /// Opens or makes the file and repairs a torn last line (cut off by a power failure or a full disk).
    ///
    /// # Errors
    /// When the file cannot be opened, read or repaired.
    pub fn open(path: &Path, rotation: Rotation) -> Result<Self, RecordsError> {
        let fail = |what| move |source| RecordsError { what, path: path.into(), source };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(fail("make the directory of"))?;
        }
        let mut file = append_to(path).map_err(fail("open"))?;
        let (whole, seq) = last_whole_line(&mut file).map_err(fail("read"))?;
        let size = file.metadata().map_err(fail("read"))?.len();
        if seq.is_none() && !begins_a_record(&mut file).map_err(fail("read"))? {
            // Somebody else's file: a slip in the configuration must not cost it.
            let source = io::Error::other("it holds something else, which is left as it is");
            return Err(fail("use")(source));
        }
        if whole < size {
            file.set_len(whole).and_then(|()| file.sync_data()).map_err(fail("repair the torn last line of"))?;
        }
        // Just rotated: the number to go on from stands at the end of the youngest old file.
        let last = match seq {
            Some(seq) => seq,
            None => match File::open(numbered(path, 1)) {
                Ok(mut old) => last_whole_line(&mut old).map_err(fail("read"))?.1.unwrap_or(0),
                Err(_) => 0,
            },
        };
        Ok(Self { path: path.into(), rotation, file, size: whole, last })
    }

    /// Number of the last record in the file.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Appends records and forces them to the disk. After an error the file is as it was before.
    ///
    /// # Errors
    /// When the file cannot be written; the same records can be given again later.
    pub fn append(&mut self, records: &[(u64, String)]) -> Result<(), RecordsError> {
        let mut rest = records;
        self.follow_the_name().map_err(|source| self.error("open", source))?;
        while !rest.is_empty() {
            if self.size >= self.rotation.max_size {
                self.rotate().map_err(|source| self.error("rotate", source))?;
            }
            let mut text = String::new();
            let room = usize::try_from(self.rotation.max_size - self.size).unwrap_or(usize::MAX);
            let full = |(_, line): &&(u64, String)| {
                let open = text.len() < room;
                if open {
                    text.push_str(line);
                    text.push('\n');
                }
                open
            };
            let fit = rest.iter().take_while(full).count();
            let (batch, later) = rest.split_at(fit);
            rest = later;
            let done = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
            if let Err(source) = done {
                // What got through of it is cut off again, so that no torn or repeated line stays.
                let _ = self.file.set_len(self.size);
                return Err(self.error("write to", source));
            }
            self.size += text.len() as u64;
            self.last = batch.last().map_or(self.last, |(seq, _)| *seq);
        }
        Ok(())
    }

    /// Somebody may have moved or deleted the file: what comes now belongs where the user looks for it.
    fn follow_the_name(&mut self) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let there = std::fs::symlink_metadata(&self.path);
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(());
        }
        self.file = append_to(&self.path)?;
        self.size = self.file.metadata()?.len();
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for n in (1..self.rotation.keep).rev() {
            match std::fs::rename(numbered(&self.path, n), numbered(&self.path, n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.rotation.keep > 0 {
            std::fs::rename(&self.path, numbered(&self.path, 1))?;
        } else {
            std::fs::remove_file(&self.path)?;
        }
        self.file = append_to(&self.path)?;
        self.size = 0;
        Ok(())
    }

    fn error(&self, what: &'static str, source: io::Error) -> RecordsError {
        RecordsError { what, path: self.path.clone(), source }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    // 0640: the admin's group may read along, nobody else; log text can hold private things. No link is followed: the
    // directory may be the bot's.
    OpenOptions::new().create(true).append(true).read(true).mode(0o640).custom_flags(libc::O_NOFOLLOW).open(path)
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

/// Whether a file without a whole record is one of ours: empty, or cut off in its very first line.
fn begins_a_record(file: &mut File) -> io::Result<bool> {
    const BEGINNING: &[u8] = b"{\"schema\":\"logmedic.record/";
    file.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    file.take(BEGINNING.len() as u64).read_to_end(&mut head)?;
    // Zeros are what a power cut leaves of blocks that were never written.
    Ok(BEGINNING.starts_with(&head) || head.iter().all(|byte| *byte == 0))
}

/// Where the last whole line ends, and its record number.
fn last_whole_line(file: &mut File) -> io::Result<(u64, Option<u64>)> {
    #[derive(serde::Deserialize)]
    struct Seq {
        seq: u64,
    }
    let size = file.metadata()?.len();
    let from = size.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let mut end = tail.len();
    // From the end: the first line that is complete and reads as a record.
    while let Some(newline) = memchr::memrchr(b'\n', &tail[..end]) {
        let start = memchr::memrchr(b'\n', &tail[..newline]).map_or(0, |at| at + 1);
        if let Ok(record) = serde_json::from_slice::<Seq>(&tail[start..newline]) {
            return Ok((from + newline as u64 + 1, Some(record.seq)));
        }
        end = newline;
    }
    Ok((from, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64) -> (u64, String) {
        (seq, format!("{{\"seq\":{seq}}}"))
    }

    #[test]
    fn a17_a_torn_tail_is_cut_and_the_number_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        let rotation = Rotation { max_size: 1 << 20, keep: 2 };
        RecordsFile::open(&path, rotation.clone()).unwrap().append(&[line(1), line(2)]).unwrap();
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"seq\":3,\"te").unwrap();
        let mut file = RecordsFile::open(&path, rotation).unwrap();
        assert_eq!(file.last(), 2);
        file.append(&[line(3)]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"seq\":1}\n{\"seq\":2}\n{\"seq\":3}\n");
    }

    #[test]
    fn h3_a_file_of_somebody_else_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        for text in ["buy milk", "buy milk\n", "{\"a\":1}\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(RecordsFile::open(&path, Rotation { max_size: 1 << 20, keep: 2 }).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        for torn in ["{\"sch", "{\"schema\":\"logmedic.record/v1\",\"id\":\"01", "\0\0\0"] {
            std::fs::write(&path, torn).unwrap();
            assert_eq!(RecordsFile::open(&path, Rotation { max_size: 1 << 20, keep: 2 }).unwrap().last(), 0);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        }
    }

    #[test]
    fn a17_a_file_moved_away_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        let mut file = RecordsFile::open(&path, Rotation { max_size: 1 << 20, keep: 2 }).unwrap();
        file.append(&[line(1)]).unwrap();
        std::fs::rename(&path, dir.path().join("moved")).unwrap();
        file.append(&[line(2)]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"seq\":2}\n");
    }

    #[test]
    fn a17_rotation_keeps_every_number_across_files_and_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        let rotation = Rotation { max_size: 20, keep: 3 };
        for seq in 1..=6 {
            let mut file = RecordsFile::open(&path, rotation.clone()).unwrap();
            assert_eq!(file.last(), seq - 1);
            file.append(&[line(seq)]).unwrap();
        }
        let all: String = (1..=2).rev().map(|n| std::fs::read_to_string(numbered(&path, n)).unwrap()).collect();
        assert!(all.starts_with("{\"seq\":1}"), "{all}");
    }
}
