//! Appends the bot's output to its log file, rotates it, and hands the bytes on when the disk takes no more. I/O.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

/// Who may read the log: the owner and the group, as programs' output often holds what is nobody else's business.
const MODE: u32 = 0o640;

/// Rotations follow each other no faster, so that whoever follows the file sees every generation …
const ROTATE_GAP: Duration = Duration::from_secs(2);

/// … unless it has grown to so many times its limit: the disk comes first.
const ROTATE_AT_ONCE: u64 = 4;

/// How often we look whether somebody else moved or removed the file.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Which of the bot's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What did not get into the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Missed {
    spilled: u64,
    lost: u64,
}

/// The bot's log file.
pub struct LogFile {
    path: PathBuf,
    max: u64,
    open: Option<Open>,
    /// The stream that wrote a line whose end has not come yet.
    unended: Option<Stream>,
    rotated: Option<Instant>,
    rotate_gap: Duration,
    missed: Option<Missed>,
    spill: mpsc::Sender<Vec<u8>>,
}

struct Open {
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    size: u64,
    /// Only a regular file is rotated; `/dev/null` or a pipe is not.
    regular: bool,
    looked: Instant,
}

impl LogFile {
    /// Nothing is opened before the first byte comes.
    #[must_use]
    pub fn new(path: PathBuf, max: u64, spill: mpsc::Sender<Vec<u8>>) -> Self {
        Self { path, max, open: None, unended: None, rotated: None, rotate_gap: ROTATE_GAP, missed: None, spill }
    }

    /// Appends what one stream wrote: whole lines, or a piece whose end is still to come. Never fails: what the file
    /// does not take goes to the spill queue, and what that does not take is counted.
    pub fn append(&mut self, stream: Stream, bytes: &[u8]) {
        match self.write(stream, bytes) {
            Ok(()) => {
                if let Some(missed) = self.missed.take() {
                    tracing::info!(log = %self.path.display(), spilled = missed.spilled, lost = missed.lost,
                        "the bot's log can be written again");
                }
            }
            Err((done, error)) => {
                // From the start of the line that was torn, so that the spilled bytes are whole lines.
                let from = bytes[..done].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                let rest = &bytes[from..];
                if self.missed.is_none() {
                    tracing::warn!(log = %self.path.display(), %error,
                        "failed to write the bot's log; its output is still watched, but not kept until this is mended");
                }
                let missed = self.missed.get_or_insert_default();
                let len = rest.len() as u64;
                match self.spill.try_send(rest.to_vec()) {
                    Ok(()) => missed.spilled += len,
                    Err(_) => missed.lost += len,
                }
            }
        }
    }

    /// On failure: how many bytes are in the file all the same.
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        self.prepare(bytes.len() as u64).map_err(|e| (0, e))?;
        let Some(open) = &mut self.open else { return Err((0, io::ErrorKind::NotFound.into())) };
        let torn = self.missed.is_some() || self.unended.is_some_and(|other| other != stream);
        if self.unended.is_some() && torn {
            // The line of the other stream, or what a full disk cut off, ends here: two lines never become one.
            open.file.write_all(b"\n").map_err(|e| (0, e))?;
            open.size += 1;
            self.unended = None;
        }
        let mut done = 0;
        while done < bytes.len() {
            match open.file.write(&bytes[done..]) {
                Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    done += n;
                    open.size += n as u64;
                    self.unended = (bytes[done - 1] != b'\n').then_some(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((done, error)),
            }
        }
        Ok(())
    }

    /// Ends a line that its run left without an end, so that it is read now and not glued to the next run's first.
    pub fn end_line(&mut self) {
        if let Some(open) = self.open.as_mut().filter(|_| self.unended.is_some()) {
            // The next write tries again.
            if open.file.write_all(b"\n").is_ok() {
                open.size += 1;
                self.unended = None;
            }
        }
    }

    /// Opens, opens again where somebody rotated, or rotates.
    fn prepare(&mut self, coming: u64) -> io::Result<()> {
        if let Some(open) = &mut self.open
            && open.looked.elapsed() >= LOOK_AGAIN
        {
            open.looked = Instant::now();
            if fs::metadata(&self.path).map(|m| (m.dev(), m.ino())).ok() != Some(open.identity) {
                self.open = None;
                self.unended = None;
            }
        }
        if self.open.is_none() {
            self.open = Some(open(&self.path)?);
        }
        let Some(open_file) = &self.open else { return Ok(()) };
        let due = open_file.regular && open_file.size > 0 && open_file.size + coming > self.max;
        let huge = open_file.size >= self.max.saturating_mul(ROTATE_AT_ONCE);
        let quiet = self.unended.is_none() && self.rotated.is_none_or(|at| at.elapsed() >= self.rotate_gap);
        if due && (huge || quiet) {
            fs::rename(&self.path, rotated_name(&self.path))?;
            self.rotated = Some(Instant::now());
            self.unended = None;
            self.open = None; // should the next line fail, the old file is not written to any more
            self.open = Some(open(&self.path)?);
        }
        Ok(())
    }
}

/// `bot.log` becomes `bot.log.1`.
#[must_use]
pub fn rotated_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn open(path: &Path) -> io::Result<Open> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    // O_NONBLOCK: a pipe that nobody reads is an error here, not a wait without end. Regular files do not care.
    let mut file = OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut meta = file.metadata()?;
    if meta.is_file() && meta.len() > 0 && !ends_with_newline(path, meta.len()) {
        // What a killed run wrote last: its line ends here.
        file.write_all(b"\n")?;
        meta = file.metadata()?;
    }
    Ok(Open {
        file,
        identity: (meta.dev(), meta.ino()),
        size: meta.len(),
        regular: meta.is_file(),
        looked: Instant::now(),
    })
}

/// A file that cannot be read is left as it is.
fn ends_with_newline(path: &Path, len: u64) -> bool {
    let mut last = [b'\n'];
    let read = fs::File::open(path).and_then(|file| file.read_at(&mut last, len - 1));
    read.is_err() || last == [b'\n']
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(max: u64) -> (tempfile::TempDir, LogFile, mpsc::Receiver<Vec<u8>>) {
        let dir = tempfile::tempdir().unwrap();
        let (spill, spilled) = mpsc::channel(4);
        let log = LogFile::new(dir.path().join("new/bot.log"), max, spill);
        (dir, log, spilled)
    }

    #[test]
    fn lines_of_two_streams_never_become_one() {
        let (_dir, mut log, _) = log(1 << 20);
        log.append(Stream::Out, b"out begins");
        log.append(Stream::Err, b"err\n");
        log.append(Stream::Out, b" and ends\n");
        assert_eq!(fs::read_to_string(&log.path).unwrap(), "out begins\nerr\n and ends\n");
    }

    #[test]
    fn rotation_keeps_one_generation_and_cuts_between_lines() {
        let (_dir, mut log, _) = log(10);
        log.rotate_gap = Duration::from_secs(3600);
        log.append(Stream::Out, b"12345678\n");
        log.append(Stream::Out, b"after\n");
        assert_eq!(fs::read_to_string(rotated_name(&log.path)).unwrap(), "12345678\n");
        assert_eq!(fs::read_to_string(&log.path).unwrap(), "after\n");
        // The next rotation waits for the gap, up to four times the limit.
        for _ in 0..4 {
            log.append(Stream::Out, b"123456789\n");
        }
        assert_eq!(fs::read_to_string(rotated_name(&log.path)).unwrap(), "12345678\n");
        log.append(Stream::Out, b"new\n");
        assert_eq!(fs::read_to_string(&log.path).unwrap(), "new\n");
        assert!(fs::read_to_string(rotated_name(&log.path)).unwrap().starts_with("after\n"));
    }

    #[test]
    fn what_cannot_be_written_is_spilled_and_the_loss_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let (spill, mut spilled) = mpsc::channel(1);
        let mut log = LogFile::new(dir.path().join("file/bot.log"), 10, spill);
        log.append(Stream::Out, b"one\n");
        log.append(Stream::Out, b"two\n");
        assert_eq!(spilled.try_recv().unwrap(), b"one\n");
        assert_eq!(log.missed, Some(Missed { spilled: 4, lost: 4 }));
        fs::remove_file(dir.path().join("file")).unwrap();
        log.append(Stream::Out, b"three\n");
        assert_eq!(log.missed, None);
        assert_eq!(fs::read_to_string(&log.path).unwrap(), "three\n");
    }

    #[test]
    fn a_full_device_spills_whole_lines() {
        let (spill, mut spilled) = mpsc::channel(1);
        let mut log = LogFile::new("/dev/full".into(), 1, spill);
        log.append(Stream::Out, b"one\ntwo\n");
        assert_eq!(spilled.try_recv().unwrap(), b"one\ntwo\n");
    }
}
