//! Watches the files under the roots grow: which download is how far, whatever the log says. I/O.
//!
//! A look costs little however large the library is: only directories that changed are listed, only files that were
//! written to lately are asked. A slow round finds the rest. Everything is reached through [`Roots`]: never by a link, never
//! outside of a root.

mod aria2;
pub mod names;
mod track;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::correlate::{Grew, Growth};
use crate::roots::{Facts, FileKind, RootPath, Roots};
use track::{Look, Tracker};

/// Directories that are watched; beyond it the deepest are left out, and that is said.
const DIRECTORIES_MAX: usize = 20_000;

/// Entries of one directory that are looked at.
const ENTRIES_MAX: usize = 50_000;

/// So often every directory is listed: files that are written to without a change of their directory.
const ROUND: Duration = Duration::from_secs(60);

/// One look may take this long; the next goes on where it stood.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// At the start, files that were written to so short ago may still be under way.
const FRESH: Duration = Duration::from_secs(600);

/// The largest control file that is read: one bit a piece, a megabyte is eight million pieces.
const CONTROL_MAX: u64 = 1 << 20;

/// Dates of file systems are as coarse as this: a directory changed so short ago is listed once more.
const COARSE: Duration = Duration::from_secs(2);

/// After so long without anything new under the roots, looks are so many times as far apart: whoever begins a download is
/// seen a little later, and a quiet night costs less.
const CALM_AFTER: Duration = Duration::from_secs(60);
const CALM: u32 = 3;

/// Watches until `stop`, and gives what it sees to `out`. A look that is not taken waits: memory stays bounded. What was written to
/// after `since` is a new download also when the first look meets it.
///
/// On a thread of its own: it sleeps most of the time, and so wakes nobody else. One that hangs in a file system is left behind.
pub async fn run(
    roots: Arc<Roots>,
    since: SystemTime,
    every: Duration,
    out: mpsc::Sender<Vec<Growth>>,
    stop: CancellationToken,
) {
    let (go_on, over) = std::sync::mpsc::channel::<()>();
    let mut watch = Watch::new(roots, since);
    let mut stirred = Instant::now();
    let looks = move || loop {
        let seen = watch.look(LOOK_MAX);
        if !seen.is_empty() || watch.listed {
            stirred = Instant::now();
        }
        if !seen.is_empty() && out.blocking_send(seen).is_err() {
            return;
        }
        let calm = stirred.elapsed() >= CALM_AFTER;
        if over.recv_timeout(if calm { every * CALM } else { every }) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    };
    if let Err(error) = std::thread::Builder::new().name("growth".into()).spawn(looks) {
        tracing::warn!("failed to watch the files of downloads: {error}; their progress is known from logs only");
    }
    stop.cancelled().await;
    drop(go_on);
}

/// Which file: the root's place in the list, its final path below the root.
type Key = (usize, PathBuf);

/// A watched directory.
struct Directory {
    path: RootPath,
    /// Its own date when it was listed.
    modified: SystemTime,
}

/// Directories on their way to be looked at.
struct Going {
    began: Instant,
    wall: SystemTime,
    /// Every directory is listed.
    whole: bool,
    todo: Vec<(usize, RootPath)>,
}

/// What is known from the looks before.
struct Watch {
    roots: Vec<RootPath>,
    directories: HashMap<Key, Directory>,
    /// The directories that this look listed.
    renewed: HashSet<Key>,
    files: Tracker<Key>,
    /// Under which names the files that are followed stand: as long as nothing changes in their directory, only there.
    standing: HashMap<Key, Standing>,
    began: Instant,
    /// What is younger is new, also at the first look.
    since: SystemTime,
    /// When the last look that came to all directories began: what is younger is new.
    last: Option<SystemTime>,
    /// A look that was cut off.
    going: Option<Going>,
    round: Option<Instant>,
    full: bool,
    /// The last look listed a directory that had changed.
    listed: bool,
}

impl Watch {
    fn new(roots: Arc<Roots>, since: SystemTime) -> Self {
        Self {
            roots: roots.all(),
            directories: HashMap::new(),
            renewed: HashSet::new(),
            files: Tracker::default(),
            standing: HashMap::new(),
            began: Instant::now(),
            since,
            last: None,
            going: None,
            round: None,
            full: false,
            listed: false,
        }
    }

    /// One look at everything that may have changed, for about `limit`.
    fn look(&mut self, limit: Duration) -> Vec<Growth> {
        let until = Instant::now() + limit;
        let mut going = self.going.take().unwrap_or_else(|| self.set_out());
        let mut found = BTreeSet::new();
        self.listed = false;
        self.renewed.clear();
        while let Some((root, path)) = going.todo.pop() {
            self.visit(root, &path, going.whole, &mut going.todo, &mut found);
            if Instant::now() > until {
                break;
            }
        }
        found.extend(self.files.keys().cloned());
        let seen = found.into_iter().filter_map(|key| self.ask(&key)).collect();
        self.standing.retain(|key, _| self.files.follows(key));
        if going.todo.is_empty() {
            self.last = Some(going.wall);
            self.round = if going.whole { Some(going.began) } else { self.round };
        } else {
            self.going = Some(going);
        }
        seen
    }

    /// Sets out to look at all roots and the directories that are known.
    fn set_out(&self) -> Going {
        let known = self.directories.iter().filter(|(_, directory)| !directory.path.is_root());
        let known = known.map(|((root, _), directory)| (*root, directory.path.clone()));
        Going {
            began: Instant::now(),
            wall: SystemTime::now(),
            whole: self.round.is_none_or(|at| at.elapsed() >= ROUND),
            todo: self.roots.iter().cloned().enumerate().chain(known).collect(),
        }
    }

    /// Lists a directory that changed: its new directories go to `todo`, its young files to `found`.
    fn visit(
        &mut self,
        root: usize,
        path: &RootPath,
        whole: bool,
        todo: &mut Vec<(usize, RootPath)>,
        found: &mut BTreeSet<Key>,
    ) {
        let key = (root, path.relative().to_path_buf());
        let facts = match path.stat() {
            Ok(Some(facts)) if facts.kind == FileKind::Directory => facts,
            _ => {
                self.directories.remove(&key);
                return;
            }
        };
        let known = self.directories.get(&key);
        let fresh = facts.age(SystemTime::now()) < COARSE;
        if !whole && !fresh && known.is_some_and(|known| known.modified == facts.modified) {
            return;
        }
        if known.is_none() && self.directories.len() >= DIRECTORIES_MAX {
            if !std::mem::replace(&mut self.full, true) {
                tracing::warn!(
                    "the roots hold more than {DIRECTORIES_MAX} directories: files in the others are not watched"
                );
            }
            return;
        }
        let new_directory = known.is_none();
        self.listed |= new_directory || known.is_some_and(|known| known.modified != facts.modified);
        let Ok((listed, _)) = path.list(ENTRIES_MAX) else { return };
        self.renewed.insert(key.clone());
        self.directories.insert(key, Directory { path: path.clone(), modified: facts.modified });
        let young = self.last.map_or_else(|| SystemTime::now() - FRESH, |last| last - COARSE);
        for entry in listed {
            let name = entry.path.name();
            if entry.path.is_own() {
                continue;
            }
            match entry.facts.kind {
                FileKind::Directory if name.starts_with('.') => {}
                FileKind::Directory => {
                    let inner = (root, entry.path.relative().to_path_buf());
                    if new_directory || !self.directories.contains_key(&inner) {
                        todo.push((root, entry.path));
                    }
                }
                FileKind::File if entry.facts.modified >= young => {
                    if let Some(wanted) = names::read(&name).wanted() {
                        found.insert((root, entry.path.relative().with_file_name(wanted)));
                    }
                }
                FileKind::File | FileKind::Other => {}
            }
        }
    }

    /// Looks at one file, under its final name or a temporary one.
    fn ask(&mut self, key: &Key) -> Option<Growth> {
        let root = self.roots.get(key.0)?.clone();
        let look = self.find(&root, key);
        // What is met at the first look was there before: nobody knows since when.
        let young = look.is_some_and(|look| look.mark.2 >= nanoseconds(self.since));
        let new = (self.last.is_some() || young) && !self.files.follows(key);
        let what = self.files.see(key, look, new, self.began.elapsed())?;
        let path = root.absolute().join(&key.1).to_string_lossy().into_owned();
        if what == Grew::Gone {
            return Some(track::growth(root.root_name(), path, Look::default(), what));
        }
        Some(track::growth(root.root_name(), path, look.unwrap_or_default(), what))
    }

    /// The file with this final path as it is now; `None` when neither it nor a temporary one is there.
    fn find(&mut self, root: &RootPath, key: &Key) -> Option<Look> {
        let directory = (key.0, key.1.parent()?.to_path_buf());
        let same = self.directories.contains_key(&directory) && !self.renewed.contains(&directory);
        if let Some(look) = self.standing.get(key).filter(|_| same).and_then(Standing::look) {
            return Some(look);
        }
        let standing = Standing::of(root, &key.1)?;
        let look = standing.look();
        self.standing.insert(key.clone(), standing);
        look
    }
}

/// The names of a file, of which it has one or several.
struct Standing {
    /// Its final path.
    wanted: RootPath,
    /// What is there under a temporary name.
    temporary: Option<RootPath>,
    /// What is there as a control file.
    control: Option<RootPath>,
}

impl Standing {
    /// Asks for each name that the file with this final path may have.
    fn of(root: &RootPath, wanted: &Path) -> Option<Self> {
        let name = wanted.file_name()?.to_str()?;
        let mut directory = root.clone();
        for part in wanted.parent()?.iter() {
            directory = directory.child(part.to_str()?).ok()?;
        }
        let there = |name: String| directory.child(&name).ok().filter(|path| file(path).is_some());
        Some(Self {
            wanted: directory.child(name).ok()?,
            temporary: names::temporary_names(name).find_map(there),
            control: names::control_names(name).find_map(there),
        })
    }

    /// The file as it is now; `None` when none of these names leads to it any more.
    fn look(&self) -> Option<Look> {
        let facts = file(self.temporary.as_ref().unwrap_or(&self.wanted))?;
        let is_aria2 = |path: &&RootPath| path.name().ends_with(".aria2");
        let aria2 = self.control.as_ref().filter(is_aria2);
        let told = aria2.and_then(read_control);
        // Room that was set aside or left out counts for nothing: what stands on the disk does, but not beyond the end.
        let written = || facts.size.min(facts.allocated.max(small(&facts)));
        Some(Look {
            mark: (facts.size, facts.allocated, nanoseconds(facts.modified)),
            bytes: if aria2.is_some() { told.map(|(bytes, _)| bytes) } else { Some(written()) },
            total: told.map(|(_, total)| total),
            part: self.temporary.is_some() || self.control.is_some(),
        })
    }
}

/// What is known of a regular file.
fn file(path: &RootPath) -> Option<Facts> {
    path.stat().ok().flatten().filter(|facts| facts.kind == FileKind::File)
}

fn nanoseconds(at: SystemTime) -> i128 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

/// File systems keep tiny files beside their name, where they take no block; others show what was written only after a
/// while. A page is believed.
fn small(facts: &Facts) -> u64 {
    facts.size.min(4096)
}

fn read_control(path: &RootPath) -> Option<(u64, u64)> {
    let (file, _) = path.open_read().ok()?;
    let mut bytes = Vec::new();
    file.take(CONTROL_MAX).read_to_end(&mut bytes).ok()?;
    aria2::read(&bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;
    use crate::roots::RootSpec;

    struct Rig {
        dir: tempfile::TempDir,
        watch: Watch,
    }

    impl Rig {
        fn new(prepare: impl FnOnce(&std::path::Path)) -> Self {
            let mut rig = Self::unlooked(SystemTime::now, prepare);
            assert!(rig.watch.look(LOOK_MAX).is_empty(), "what is there at the start is no news");
            rig
        }

        /// One that has not looked yet; `since` is asked when everything is prepared.
        fn unlooked(since: impl FnOnce() -> SystemTime, prepare: impl FnOnce(&std::path::Path)) -> Self {
            let dir = tempfile::tempdir().unwrap();
            prepare(dir.path());
            let spec = RootSpec {
                name: "models".into(),
                path: dir.path().to_path_buf(),
                owner: None,
                group: None,
                dir_mode: None,
                file_mode: None,
            };
            let (roots, problems) = Roots::open(&[spec]);
            assert!(problems.is_empty());
            let watch = Watch::new(Arc::new(roots), since());
            Self { dir, watch }
        }

        fn add(&self, name: &str, bytes: usize) {
            let path = self.dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            file.write_all(&vec![7; bytes]).unwrap();
        }

        /// What is told of the file with this final name.
        fn look(&mut self, name: &str) -> Option<Growth> {
            let path = self.dir.path().join(name).display().to_string();
            self.watch.look(LOOK_MAX).into_iter().find(|growth| growth.path == path)
        }
    }

    #[test]
    fn b2_a_part_grows_and_becomes_the_file() {
        let mut rig = Rig::new(|_| {});
        rig.add("ana/a.mp4.part", 10_000);
        let seen = rig.look("ana/a.mp4").unwrap();
        assert_eq!((seen.bytes, seen.part, seen.what, seen.root.as_str()), (Some(10_000), true, Grew::Grows, "models"));
        rig.add("ana/a.mp4.part", 5_000);
        assert_eq!(rig.look("ana/a.mp4").unwrap().bytes, Some(15_000));
        fs::rename(rig.dir.path().join("ana/a.mp4.part"), rig.dir.path().join("ana/a.mp4")).unwrap();
        let seen = rig.look("ana/a.mp4").unwrap();
        assert_eq!((seen.bytes, seen.part, seen.what), (Some(15_000), false, Grew::Grows));
        fs::remove_file(rig.dir.path().join("ana/a.mp4")).unwrap();
        rig.look("ana/a.mp4");
        assert_eq!(rig.look("ana/a.mp4").map(|seen| seen.what), Some(Grew::Gone));
    }

    #[test]
    fn b2_what_began_before_the_first_look_is_new() {
        let mut rig =
            Rig::unlooked(|| SystemTime::now() - COARSE, |dir| fs::write(dir.join("a.mp4.part"), [1; 50]).unwrap());
        assert_eq!(rig.look("a.mp4").map(|seen| (seen.bytes, seen.what)), Some((Some(50), Grew::Grows)));
    }

    /// Sets the date of the last change.
    fn date(path: &std::path::Path, at: SystemTime) {
        fs::File::open(path).unwrap().set_modified(at).unwrap();
    }

    /// The beginning of a second that is over.
    fn second() -> SystemTime {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs() - 10)
    }

    #[test]
    fn b2_what_began_in_the_second_of_the_start_is_new_also_at_the_first_look() {
        let (second, part) = (second(), Duration::from_millis(300));
        for (after, news) in [(2 * part, true), (Duration::ZERO, false)] {
            let began = |dir: &std::path::Path| {
                fs::write(dir.join("a.mp4"), [1; 50]).unwrap();
                date(&dir.join("a.mp4"), second + after);
            };
            let mut rig = Rig::unlooked(|| second + part, began);
            assert_eq!(rig.look("a.mp4").is_some(), news, "{after:?} after the second began");
        }
    }

    #[test]
    fn b2_two_changes_of_a_directory_in_one_second_are_two_however_late_the_next_look_is() {
        let (second, mut rig) = (second(), Rig::new(|_| {}));
        let dir = rig.dir.path().to_path_buf();
        date(&dir, second);
        rig.watch.look(LOOK_MAX);
        rig.add("a.mp4", 10);
        date(&dir, second + Duration::from_millis(1));
        assert!(rig.look("a.mp4").is_some());
    }

    #[test]
    fn b2_a_look_that_is_cut_off_goes_on_where_it_stood() {
        let mut rig = Rig::unlooked(SystemTime::now, |dir| {
            for name in ["a/b", "c", "d"] {
                fs::create_dir_all(dir.join(name)).unwrap();
            }
        });
        rig.add("old.mp4", 10);
        rig.watch.since = SystemTime::now() + COARSE;
        for name in ["a/b/1.mp4", "c/2.mp4", "d/3.mp4"] {
            while rig.watch.last.is_none() {
                assert_eq!(rig.watch.look(Duration::ZERO), [], "what is there at the start is no news");
            }
            rig.add(name, 10);
            let path = rig.dir.path().join(name).display().to_string();
            // The rest of a turn through five directories, in whatever order, and the next.
            let mut looks = (0..4 + 5).flat_map(|_| rig.watch.look(Duration::ZERO));
            assert!(looks.any(|seen| seen.path == path), "{name}");
        }
    }

    #[test]
    fn b2_room_that_was_set_aside_is_not_progress() {
        let mut rig = Rig::new(|_| {});
        // aria2 with falloc: the whole length is there at once, and takes its blocks.
        rig.add("b.iso", 4 << 20);
        let control = rig.dir.path().join("b.iso.aria2");
        fs::write(&control, aria2::write(1 << 20, 4 << 20, 1)).unwrap();
        let seen = rig.look("b.iso").unwrap();
        assert_eq!((seen.bytes, seen.total, seen.part), (Some(1 << 20), Some(4 << 20), true));
        fs::write(&control, aria2::write(1 << 20, 4 << 20, 3)).unwrap();
        assert_eq!(rig.look("b.iso").unwrap().bytes, Some(3 << 20));
        fs::write(&control, b"garbage").unwrap();
        assert_eq!(rig.look("b.iso").unwrap().bytes, None, "what cannot be told is unknown");
        // A sparse file: its length says nothing.
        let file = fs::File::create(rig.dir.path().join("c.bin")).unwrap();
        file.set_len(1 << 30).unwrap();
        assert!(rig.look("c.bin").unwrap().bytes.unwrap() <= 4096);
    }

    #[test]
    fn h1_links_and_what_is_no_download_are_not_watched() {
        let outside = tempfile::tempdir().unwrap();
        let mut rig = Rig::new(|dir| std::os::unix::fs::symlink(outside.path(), dir.join("out")).unwrap());
        fs::write(outside.path().join("x.mp4"), b"x").unwrap();
        std::os::unix::fs::symlink(outside.path().join("x.mp4"), rig.dir.path().join("y.mp4")).unwrap();
        rig.add("bot.log", 10);
        rig.add(".logmedic/quarantine/a.mp4", 10);
        rig.add(".hidden.mp4", 10);
        assert_eq!(rig.watch.look(LOOK_MAX), []);
    }

    #[test]
    fn h1_logmedics_own_files_are_no_downloads() {
        let mut rig = Rig::new(|_| {});
        let spec = rig.watch.roots[0].clone();
        let own = [rig.dir.path().join("state"), rig.dir.path().join("records")];
        let spec = RootSpec {
            name: spec.root_name().into(),
            path: spec.absolute(),
            owner: None,
            group: None,
            dir_mode: None,
            file_mode: None,
        };
        rig.watch = Watch::new(Arc::new(Roots::open_around(&[spec], &own).0), SystemTime::now());
        rig.watch.look(LOOK_MAX);
        for name in ["state/claims", "state/thumbnails/a.jpg", "records", "a.mp4"] {
            rig.add(name, 10);
        }
        let seen: Vec<_> = rig.watch.look(LOOK_MAX).into_iter().map(|growth| growth.path).collect();
        assert_eq!(seen, [rig.dir.path().join("a.mp4").display().to_string()]);
    }

    #[test]
    fn b5_a_file_that_was_half_written_at_the_start_is_followed_from_there() {
        let mut rig = Rig::new(|dir| fs::write(dir.join("a.mp4"), vec![1; 5_000]).unwrap());
        assert_eq!(rig.look("a.mp4"), None);
        rig.add("a.mp4", 5_000);
        assert_eq!(rig.look("a.mp4").unwrap().bytes, Some(10_000));
    }
}
