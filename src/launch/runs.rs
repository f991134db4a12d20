//! Keeps one file for each run: what was begun, and how it ended. What is in it outlives agent and launcher. I/O.
//!
//! Who runs a task holds its claim: a lock on one byte of the file `claims`, which ends with the launcher that holds it. So a task
//! is begun once however many ask, and that is settled before the command starts without waiting for a disk. The file of
//! the run is written beside: one that tells no end, of a task that nobody holds, is of a launcher that died.
//!
//! A launcher that is killed right after it began a command leaves no file of it. Each launcher has a file of its own and removes
//! it when it ends well; where one stays behind, a repair of which nothing is known counts as begun.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use serde::Serialize;

use super::wire::{Begin, Ended};
use crate::vocab::Id;

/// Runs that ended and are still known. An answer is taken in within a moment of its end, and at most 32 repairs work at
/// once: what an open incident may still ask for is always among the newest.
pub(super) const KEPT: usize = 256;

/// A file of a run holds 8 KiB of output at most, six times as much where each byte must be escaped.
const MAX_FILE: u64 = 128 * 1024;

/// Holds the claims.
const CLAIMS: &str = "claims";

/// Names the start of the machine after which the last agent began.
const BOOT: &str = "boot";

/// Tells one start of the machine from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A launcher's own file: this and its process number.
const LAUNCHER: &str = "launcher.";

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
        let mut text = self.text(task);
        loop {
            let claimed = self.is_claimed(task);
            // Read again: an end is written before the claim is given up.
            let again = self.text(task);
            if claimed || again == text {
                return known(again.as_deref(), claimed);
            }
            text = again;
        }
    }

    fn text(&self, task: Id) -> Option<String> {
        let mut text = String::new();
        File::open(self.path(task)).ok()?.take(MAX_FILE).read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn is_claimed(&self, task: Id) -> bool {
        let Ok(claims) = File::open(self.dir.join(CLAIMS)) else { return false };
        // A lock for reading can be asked about through a file that is open for reading.
        let mut lock = claim_of(task, libc::F_RDLCK);
        fcntl(&claims, FcntlArg::F_OFD_GETLK(&mut lock)).is_ok() && i32::from(lock.l_type) != libc::F_UNLCK
    }

    /// Makes the directory and removes what is not needed any more. `acting`: the tasks of repairs that were under way when
    /// the last agent ended. Those of which nothing is known count as begun when a launcher was killed, or the machine was
    /// started again and its disk may have forgotten them.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn tidy(&self, acting: &[Id]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
        let before = std::fs::read_to_string(self.dir.join(BOOT)).ok();
        let started_again = before.as_ref().is_some_and(|before| *before != boot);
        if self.clear_dead()? || started_again {
            for task in acting.iter().filter(|task| self.look(**task).is_none()) {
                // Empty: it tells no end.
                self.create(*task)?;
            }
        }
        if before.as_ref() != Some(&boot) {
            std::fs::write(self.dir.join(BOOT), boot)?;
        }
        let known = self.known()?;
        for task in known.iter().take(known.len().saturating_sub(KEPT)) {
            self.remove(*task);
        }
        Ok(())
    }

    /// Removes what launchers that were killed left of themselves. Whether there was one.
    fn clear_dead(&self) -> io::Result<bool> {
        let mut found = false;
        for entry in std::fs::read_dir(&self.dir)?.filter_map(Result::ok) {
            let of_launcher = entry.file_name().as_encoded_bytes().starts_with(LAUNCHER.as_bytes());
            if of_launcher && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
                found = true;
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(found)
    }

    fn create(&self, task: Id) -> io::Result<File> {
        File::options().write(true).create_new(true).mode(0o600).open(self.path(task))
    }

    /// The tasks of all files, the oldest first.
    pub(super) fn known(&self) -> io::Result<Vec<Id>> {
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
        if !self.is_claimed(task) {
            let _ = std::fs::remove_file(self.path(task));
        }
    }
}

fn known(text: Option<&str>, claimed: bool) -> Option<Known> {
    let lines = || text.into_iter().flat_map(str::lines);
    let note = lines().find_map(|line| serde_json::from_str::<Begin>(line).ok()).map(|begin| begin.note);
    let ended = lines().find_map(|line| serde_json::from_str(line).ok());
    let standing = match (text, claimed, ended) {
        (None, false, _) => return None,
        (_, true, _) => Standing::Running,
        (_, false, Some(ended)) => Standing::Ended(ended),
        (_, false, None) => Standing::Lost,
    };
    Some(Known { standing, note: note.unwrap_or_default() })
}

/// The byte of a task, by FNV-1a over its name: of 2^62, so that two never share one.
fn claim_of(task: Id, kind: i32) -> libc::flock {
    let name = task.to_string();
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: 0, // SEEK_SET
        l_start: i64::try_from(hash >> 2).unwrap_or_default(),
        l_len: 1,
        l_pid: 0,
    }
}

/// Why a run may not be begun, or cannot be written down.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// It was begun before.
    Known,
    /// The directory cannot be used.
    Unwritten(io::Error),
}

/// A launcher's side of the runs: what it claims.
pub(super) struct Claims {
    runs: Runs,
    file: Option<Rc<File>>,
    /// Held while the launcher lives.
    own: Option<(File, PathBuf)>,
}

/// The claim on a task; given up when dropped.
pub(super) struct Claim {
    file: Rc<File>,
    task: Id,
    /// The file of the run.
    told: Option<File>,
}

impl Claims {
    pub(super) fn new(runs: Runs) -> Self {
        let mut claims = Self { runs, file: None, own: None };
        // What cannot be made now is tried with each command, which is told.
        claims.own = claims.announce().ok();
        claims.prepare();
        claims
    }

    fn announce(&self) -> io::Result<(File, PathBuf)> {
        self.runs.clear_dead()?;
        let path = self.runs.dir.join(format!("{LAUNCHER}{}", std::process::id()));
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.try_lock()?;
        Ok((file, path))
    }

    fn open(&self) -> io::Result<File> {
        File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(self.runs.dir.join(CLAIMS))
    }

    /// Makes ready to claim; what cannot be made now is told with the claim.
    pub(super) fn prepare(&mut self) {
        if self.file.is_none() {
            self.file = self.open().ok().map(Rc::new);
        }
    }

    /// Lets go of what is the launcher's own, in a copy of its process: the launcher holds it as before.
    pub(super) fn in_copy(&mut self) {
        self.own = None;
    }

    /// Takes a task that was never begun, in the name of the launcher and of all copies of its process.
    pub(super) fn take(&self, task: Id) -> Result<(), NotBegun> {
        // A claim of our own launcher would be granted once more; what it has begun is known by its file.
        if self.runs.path(task).exists() {
            return Err(NotBegun::Known);
        }
        // A claim on a file that only a copy of the launcher has open would end with that copy.
        let Some(file) = &self.file else {
            let error = self.open().err();
            return Err(NotBegun::Unwritten(error.unwrap_or_else(|| io::Error::other("it can be used only now"))));
        };
        match fcntl(file, FcntlArg::F_OFD_SETLK(&claim_of(task, libc::F_WRLCK))) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Err(NotBegun::Known),
            Err(errno) => return Err(NotBegun::Unwritten(errno.into())),
        }
        // One that ended meanwhile.
        if !self.runs.path(task).exists() {
            return Ok(());
        }
        drop(self.held(task));
        Err(NotBegun::Known)
    }

    /// The claim on a task that was taken.
    pub(super) fn held(&self, task: Id) -> Option<Claim> {
        self.file.as_ref().map(|file| Claim { file: Rc::clone(file), task, told: None })
    }

    /// Writes down what was begun. The claim is held: the command need not wait for this.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub(super) fn note(&self, claim: &mut Claim, begin: &Begin) -> io::Result<()> {
        claim.told.insert(self.runs.create(begin.task)?).write_all(&line(begin))
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        if let Some((_, path)) = self.own.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Claim {
    /// Writes down how the run ended, in one write, and gives the claim up.
    pub(super) fn end(mut self, ended: &Ended) -> io::Result<()> {
        self.told.as_mut().map_or(Ok(()), |file| file.write_all(&line(ended)))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = fcntl(&*self.file, FcntlArg::F_OFD_SETLK(&claim_of(self.task, libc::F_UNLCK)));
    }
}

/// A value as a line of JSON.
pub(super) fn line(value: &impl Serialize) -> Vec<u8> {
    // Plain names and values: they always serialize.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
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
    use super::super::wire::{How, Request};
    use super::*;
    use crate::vocab::Rng;

    fn request(seed: u64) -> Request {
        let task = Id::new(chrono::DateTime::UNIX_EPOCH, &mut Rng::new(seed));
        let note = "as it was".to_owned();
        Request { task, argv: vec!["x".into()], env: Vec::new(), cwd: None, user: None, limit_ms: 1, note }
    }

    fn begin_of(request: &Request) -> Begin {
        let Request { task, note, limit_ms, .. } = request.clone();
        Begin { task, begun_ms: 0, program: "x".into(), note, limit_ms }
    }

    fn ended() -> Ended {
        Ended { how: How::Code(3), output: "line\u{1}\nline".into() }
    }

    fn claim(claims: &Claims, task: Id) -> Result<Claim, NotBegun> {
        claims.take(task)?;
        Ok(claims.held(task).unwrap())
    }

    fn begin(claims: &Claims, request: &Request) -> Claim {
        let mut claim = claim(claims, request.task).unwrap();
        claims.note(&mut claim, &begin_of(request)).unwrap();
        claim
    }

    /// A directory with runs, and a launcher's side of them.
    fn place() -> (tempfile::TempDir, Runs, Claims) {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::new(dir.path().join("runs"));
        runs.tidy(&[]).unwrap();
        let claims = Claims::new(runs.clone());
        (dir, runs, claims)
    }

    fn die(mut claims: Claims) {
        // Without removing its file, as one that is killed.
        claims.own = None;
    }

    #[test]
    fn a3_a_run_is_begun_once_and_tells_how_far_it_is() {
        let (_dir, runs, claims) = place();
        let others = Claims::new(runs.clone());
        let one = request(1);
        let standing = || runs.look(one.task).map(|known| (known.standing, known.note));
        assert_eq!(standing(), None);
        let mut claim = claim(&claims, one.task).unwrap();
        assert_eq!(standing(), Some((Standing::Running, String::new())), "before anything is written");
        assert!(matches!(others.take(one.task), Err(NotBegun::Known)), "another launcher");
        claims.note(&mut claim, &begin_of(&one)).unwrap();
        assert_eq!(standing(), Some((Standing::Running, "as it was".into())));
        assert!(matches!(others.take(one.task), Err(NotBegun::Known)));
        claim.end(&ended()).unwrap();
        assert_eq!(standing(), Some((Standing::Ended(ended()), "as it was".into())));
        for claims in [&claims, &others] {
            assert!(matches!(claims.take(one.task), Err(NotBegun::Known)), "one that ended is not begun again either");
        }
        assert_eq!(standing(), Some((Standing::Ended(ended()), "as it was".into())));
        // A launcher that dies gives its claims up without an end.
        let two = request(2);
        drop(begin(&claims, &two));
        assert_eq!(runs.look(two.task).map(|known| known.standing), Some(Standing::Lost));
        // An end that was cut in its writing is no end.
        let mut text = std::fs::read(runs.path(one.task)).unwrap();
        text.truncate(text.len() - 4);
        std::fs::write(runs.path(one.task), text).unwrap();
        assert_eq!(standing(), Some((Standing::Lost, "as it was".into())));
    }

    #[test]
    fn a3_files_of_runs_are_bounded_and_none_that_is_under_way_is_removed() {
        let (_dir, runs, claims) = place();
        let first = request(0);
        let claim = begin(&claims, &first);
        for seed in 1..u64::try_from(KEPT).unwrap() + 20 {
            begin(&claims, &request(seed)).end(&ended()).unwrap();
        }
        runs.tidy(&[]).unwrap();
        // The one under way counts, but stays even if it is among the oldest.
        assert!((KEPT..=KEPT + 1).contains(&runs.known().unwrap().len()));
        assert_eq!(runs.look(first.task).map(|known| known.standing), Some(Standing::Running));
        claim.end(&ended()).unwrap();
    }

    #[test]
    fn a3_a_repair_of_which_nothing_is_known_counts_as_begun_after_a_power_cut_or_a_killed_launcher() {
        let (_dir, runs, claims) = place();
        let (task, other) = (request(1).task, request(2).task);
        runs.tidy(&[task]).unwrap();
        assert_eq!(runs.look(task), None, "the launcher lives, and holds no claim: it was never begun");
        drop(claims);
        runs.tidy(&[task]).unwrap();
        assert_eq!(runs.look(task), None, "the launcher ended well");
        die(Claims::new(runs.clone()));
        runs.tidy(&[task]).unwrap();
        assert_eq!(runs.look(task).map(|known| known.standing), Some(Standing::Lost));
        runs.tidy(&[other]).unwrap();
        assert_eq!(runs.look(other), None, "one death is told once");
        std::fs::write(runs.dir().join(BOOT), "another start").unwrap();
        runs.tidy(&[other]).unwrap();
        assert_eq!(runs.look(other).map(|known| known.standing), Some(Standing::Lost));
    }

    #[test]
    fn a3_only_what_a_dead_launcher_left_is_ended() {
        let (_dir, runs, claims) = place();
        let (running, over, lost) = (request(1), request(2), request(3));
        let _claim = begin(&claims, &running);
        begin(&claims, &over).end(&ended()).unwrap();
        drop(begin(&claims, &lost));
        let left = |task: Id, mark: &str| {
            let environ = format!("PATH=/bin\0{}={mark}\0{}={task}\0", super::super::MARKER, super::super::TASK);
            is_lost(&runs, (super::super::MARKER, "ours"), environ.as_bytes())
        };
        assert!(left(lost.task, "ours") && !left(lost.task, "theirs"));
        assert!(!left(running.task, "ours") && !left(over.task, "ours") && !left(request(9).task, "ours"));
        assert!(!is_lost(&runs, (super::super::MARKER, "ours"), b""));
    }
}
