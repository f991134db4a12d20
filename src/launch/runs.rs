//! Keeps one file for each run: begun by whom, and how it ended. What is in it outlives agent and launcher. I/O.
//!
//! A file is locked before it gets its name, in one step (`link`), so a task is begun once however many ask. The launcher holds
//! the lock as long as the run is under way; a file that nobody holds and that tells no end is of a launcher that died.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::wire::{Ended, Request};
use crate::vocab::Id;

/// Runs that ended and are still known. An answer is taken in within a moment of its end, and at most 32 repairs work at
/// once: what an open incident may still ask for is always among the newest.
pub(super) const KEPT: usize = 256;

/// A file of a run holds 8 KiB of output at most, six times as much where each byte must be escaped.
const MAX_FILE: u64 = 128 * 1024;

/// Names the start of the machine after which the last run began.
const BOOT: &str = "boot";

/// Tells one start of the machine from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The first line of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Begin {
    task: Id,
    begun_ms: u128,
    program: String,
    note: String,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A launcher looks after it.
    Running,
    /// It is over.
    Ended(Ended),
    /// It was begun, and who looked after it died: nobody knows how far it came.
    Lost,
}

/// What is known of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// How far it is.
    pub standing: Standing,
    /// What was noted when it was begun.
    pub note: String,
}

/// Why a run was not begun, or not written down.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// It was begun before.
    Known,
    /// The directory cannot be written.
    Unwritten(io::Error),
}

/// The file of a run that is under way, or of one to come; the lock ends with it.
pub(super) struct Held {
    file: File,
    /// Its first name, until [`Held::settle`].
    temporary: Option<PathBuf>,
}

/// Empty files that are locked already: to make one takes longer than all the rest of a start.
pub(super) struct Spares {
    runs: Runs,
    ready: Vec<Held>,
    made: u64,
}

/// As many commands as usually begin at the same moment.
const SPARES: usize = 4;

impl Spares {
    pub(super) const fn new(runs: Runs) -> Self {
        Self { runs, ready: Vec::new(), made: 0 }
    }

    /// Makes what is missing; to be called when there is nothing else to do.
    pub(super) fn fill(&mut self) {
        while self.ready.len() < SPARES {
            match self.make() {
                Ok(held) => self.ready.push(held),
                // The next command tries again, and tells.
                Err(_) => return,
            }
        }
    }

    fn make(&mut self) -> io::Result<Held> {
        self.made += 1;
        let temporary = self.runs.dir.join(format!(".{}.{}", std::process::id(), self.made));
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let held = Held { file, temporary: Some(temporary) };
        held.file.try_lock()?;
        Ok(held)
    }

    /// Gives the task a run, unless it has one.
    pub(super) fn begin(&mut self, task: Id) -> Result<Held, NotBegun> {
        let path = self.runs.path(task);
        loop {
            let (held, spare) = match self.ready.pop() {
                Some(held) => (held, true),
                None => (self.make().map_err(NotBegun::Unwritten)?, false),
            };
            match held.name(&path) {
                Ok(()) => return Ok(held),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(NotBegun::Known),
                // Somebody cleared the directory: with a new one it works.
                Err(_) if spare => {}
                Err(error) => return Err(NotBegun::Unwritten(error)),
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.settle();
    }
}

/// The directory with all runs.
#[derive(Clone, Debug)]
pub struct Runs {
    dir: PathBuf,
}

impl Runs {
    /// The runs in this directory.
    #[must_use]
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, task: Id) -> PathBuf {
        self.dir.join(task.to_string())
    }

    /// How far the run of this task is; `None`: it was never begun, or its file cannot be read. Whoever begins it then is told by
    /// the launcher if it was.
    #[must_use]
    pub fn look(&self, task: Id) -> Option<Known> {
        let file = File::open(self.path(task)).ok()?;
        // The lock first, then the content: an end that is written meanwhile is not overlooked.
        let free = !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        let mut text = String::new();
        file.take(MAX_FILE).read_to_string(&mut text).ok()?;
        let note = text.lines().find_map(|line| serde_json::from_str::<Begin>(line).ok()).map(|begin| begin.note);
        let ended = text.lines().find_map(|line| serde_json::from_str(line).ok());
        let standing = match (free, ended) {
            (false, _) => Standing::Running,
            (true, Some(ended)) => Standing::Ended(ended),
            (true, None) => Standing::Lost,
        };
        Some(Known { standing, note: note.unwrap_or_default() })
    }

    /// Makes the directory and removes what is not needed any more. `acting`: the tasks of repairs that were under way when
    /// the last agent ended. After a start of the machine those of which nothing is known count as lost: the disk may have
    /// forgotten them.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn tidy(&self, acting: &[Id]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
        let before = std::fs::read_to_string(self.dir.join(BOOT)).ok();
        if before.as_ref().is_some_and(|before| *before != boot) {
            for task in acting.iter().filter(|task| !self.path(**task).exists()) {
                // Let go of at once: nobody looks after it.
                drop(Spares::new(self.clone()).begin(*task));
            }
        }
        if before.as_ref() != Some(&boot) {
            std::fs::write(self.dir.join(BOOT), boot)?;
        }
        for entry in std::fs::read_dir(&self.dir)?.filter_map(Result::ok) {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                remove_unheld(&entry.path());
            }
        }
        let ended = self.ended()?;
        for task in ended.iter().take(ended.len().saturating_sub(KEPT)) {
            self.remove(*task);
        }
        Ok(())
    }

    /// The tasks of all files, the oldest first.
    pub(super) fn ended(&self) -> io::Result<Vec<Id>> {
        let mut found: Vec<(SystemTime, Id)> = Vec::new();
        for entry in std::fs::read_dir(&self.dir)?.filter_map(Result::ok) {
            let task = entry.file_name().to_str().and_then(Id::parse);
            let written = entry.metadata().and_then(|meta| meta.modified());
            if let (Some(task), Ok(written)) = (task, written) {
                found.push((written, task));
            }
        }
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, task)| task).collect())
    }

    /// Forgets a run, unless it is under way.
    pub(super) fn remove(&self, task: Id) {
        remove_unheld(&self.path(task));
    }
}

impl Held {
    fn name(&self, path: &Path) -> io::Result<()> {
        self.temporary.as_ref().map_or(Ok(()), |temporary| std::fs::hard_link(temporary, path))
    }

    /// Writes down what was begun. It has its name already, and is held: the command need not wait for this.
    pub(super) fn note(&mut self, request: &Request) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let begin = Begin {
            task: request.task,
            begun_ms: since.as_millis(),
            program: request.argv.first().cloned().unwrap_or_default(),
            note: request.note.clone(),
        };
        // Without it a run that outlives its agent and its launcher counts as lost, as it should.
        let _ = self.file.write_all(&line(&begin));
        self.settle();
    }

    fn settle(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            let _ = std::fs::remove_file(temporary);
        }
    }

    /// Writes down how the run ended, in one write, and lets go of the lock.
    pub(super) fn end(mut self, ended: &Ended) -> io::Result<()> {
        self.file.write_all(&line(ended))
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    // Plain names and values: they always serialize.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

fn remove_unheld(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    if file.try_lock().is_ok() {
        let _ = std::fs::remove_file(path);
    }
}

/// Whether a process with this environment was left by a launcher that died. `mark`: the variable that marks the commands of
/// this state directory.
#[must_use]
pub fn is_lost(runs: &Runs, mark: (&str, &str), environ: &[u8]) -> bool {
    let variable = |name: &str| {
        let of = |entry: &&[u8]| entry.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'='));
        environ.split(|byte| *byte == 0).find(of).map(|entry| &entry[name.len() + 1..])
    };
    if variable(mark.0) != Some(mark.1.as_bytes()) {
        return false;
    }
    let task = variable(super::TASK).and_then(|id| std::str::from_utf8(id).ok()).and_then(Id::parse);
    // What a command that ended left on purpose (a server that it started) is its own affair.
    task.and_then(|task| runs.look(task)).is_some_and(|known| known.standing == Standing::Lost)
}

#[cfg(test)]
mod tests {
    use super::super::wire::How;
    use super::*;
    use crate::vocab::Rng;

    fn request(seed: u64) -> Request {
        let task = Id::new(chrono::DateTime::UNIX_EPOCH, &mut Rng::new(seed));
        let note = "as it was".to_owned();
        Request { task, argv: vec!["x".into()], env: Vec::new(), cwd: None, user: None, limit_ms: 1, note }
    }

    fn ended() -> Ended {
        Ended { how: How::Code(3), output: "line\u{1}\nline".into() }
    }

    #[test]
    fn a3_a_run_is_begun_once_and_tells_how_far_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::new(dir.path().join("runs"));
        let mut spares = Spares::new(runs.clone());
        let one = request(1);
        spares.fill();
        assert!(matches!(spares.begin(one.task), Err(NotBegun::Unwritten(_))), "there is no such directory yet");
        runs.tidy(&[]).unwrap();
        spares.fill();
        assert_eq!(runs.look(one.task), None);
        let mut held = spares.begin(one.task).unwrap_or_else(|_| panic!());
        assert!(matches!(spares.begin(one.task), Err(NotBegun::Known)));
        let standing = || runs.look(one.task).map(|known| (known.standing, known.note));
        assert_eq!(standing(), Some((Standing::Running, String::new())), "before anything is written");
        held.note(&one);
        assert_eq!(standing(), Some((Standing::Running, "as it was".into())));
        held.end(&ended()).unwrap();
        assert_eq!(standing(), Some((Standing::Ended(ended()), "as it was".into())));
        assert!(matches!(spares.begin(one.task), Err(NotBegun::Known)), "one that ended is not begun again either");
        // A launcher that dies lets go of the lock without an end.
        let two = request(2);
        spares.begin(two.task).unwrap_or_else(|_| panic!()).note(&two);
        assert_eq!(runs.look(two.task).map(|known| known.standing), Some(Standing::Lost));
        // An end that was cut in its writing is no end.
        let mut text = std::fs::read(runs.path(one.task)).unwrap();
        text.truncate(text.len() - 4);
        std::fs::write(runs.path(one.task), text).unwrap();
        assert_eq!(standing(), Some((Standing::Lost, "as it was".into())));
    }

    #[test]
    fn a3_files_of_runs_are_bounded_and_none_that_is_under_way_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::new(dir.path().to_owned());
        let mut spares = Spares::new(runs.clone());
        runs.tidy(&[]).unwrap();
        let first = request(0);
        let held = spares.begin(first.task).unwrap_or_else(|_| panic!());
        for seed in 1..u64::try_from(KEPT).unwrap() + 20 {
            spares.begin(request(seed).task).unwrap_or_else(|_| panic!()).end(&ended()).unwrap();
        }
        runs.tidy(&[]).unwrap();
        // The one under way is the oldest and counts, but stays.
        assert_eq!(runs.ended().unwrap().len(), KEPT + 1);
        assert_eq!(runs.look(first.task).map(|known| known.standing), Some(Standing::Running));
        drop(held);
        let nameless = || {
            let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| name.as_encoded_bytes().starts_with(b".")).count()
        };
        spares.fill();
        // Those of a launcher that lives stay, those of one that was killed go.
        std::fs::write(dir.path().join(".1.1"), "").unwrap();
        runs.tidy(&[]).unwrap();
        assert_eq!(nameless(), SPARES);
        drop(spares);
        assert_eq!(nameless(), 0);
    }

    #[test]
    fn a3_after_a_power_cut_a_repair_of_which_nothing_is_known_counts_as_begun() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::new(dir.path().to_owned());
        let mut spares = Spares::new(runs.clone());
        let (task, other) = (request(1).task, request(2).task);
        runs.tidy(&[task]).unwrap();
        assert_eq!(runs.look(task), None, "the same start of the machine: it was never begun");
        std::fs::write(dir.path().join(BOOT), "another start").unwrap();
        runs.tidy(&[task]).unwrap();
        assert_eq!(runs.look(task).map(|known| known.standing), Some(Standing::Lost));
        assert_eq!(runs.look(other), None);
    }

    #[test]
    fn a3_only_what_a_dead_launcher_left_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::new(dir.path().to_owned());
        let mut spares = Spares::new(runs.clone());
        runs.tidy(&[]).unwrap();
        let (running, over, lost) = (request(1), request(2), request(3));
        let _held = spares.begin(running.task);
        spares.begin(over.task).unwrap_or_else(|_| panic!()).end(&ended()).unwrap();
        drop(spares.begin(lost.task));
        let left = |task: Id, mark: &str| {
            let environ = format!("PATH=/bin\0{}={mark}\0{}={task}\0", super::super::MARKER, super::super::TASK);
            is_lost(&runs, (super::super::MARKER, "ours"), environ.as_bytes())
        };
        assert!(left(lost.task, "ours") && !left(lost.task, "theirs"));
        assert!(!left(running.task, "ours") && !left(over.task, "ours") && !left(request(9).task, "ours"));
        assert!(!is_lost(&runs, (super::super::MARKER, "ours"), b""));
    }
}
