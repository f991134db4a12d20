//! Links swapped while logmedic works (systemd-tmpfiles CVE-2017-18078, opentmpfiles CVE-2017-18188 and -18925).

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use logmedic::roots::{RootPath, RootSpec, Roots, Who};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::house::NOBODY;

/// How long each race runs; the string-checking kind of code loses hundreds of times in it.
const RACE: Duration = Duration::from_millis(1500);

struct Arena {
    dir: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Arena {
    /// `root/sub` and a link `root/link` to `outside`, each with a file `f`.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["root/sub", "outside"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("root/sub/f"), "ours").unwrap();
        fs::write(dir.path().join("outside/f"), "victim").unwrap();
        symlink(dir.path().join("outside"), dir.path().join("root/link")).unwrap();
        Self { dir, stop: Arc::default(), swaps: Arc::default(), thread: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn root(&self) -> Roots {
        let id = Some(NOBODY.to_string());
        let spec = RootSpec {
            name: "root".into(),
            path: self.path("root"),
            owner: id.clone(),
            group: id,
            dir_mode: Some(0o775),
            file_mode: Some(0o664),
        };
        Roots::open(&[spec]).0
    }

    fn resolve(&self, name: &str) -> RootPath {
        self.root().resolve(self.path(&format!("root/{name}")).to_str().unwrap(), None).unwrap()
    }

    /// Swaps two names without pause until the arena is dropped.
    fn swap(&mut self, a: &str, b: &str) {
        let (a, b) = (self.path(a), self.path(b));
        let (stop, swaps) = (self.stop.clone(), self.swaps.clone());
        self.thread = Some(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if renameat2(AT_FDCWD, &a, AT_FDCWD, &b, RenameFlags::RENAME_EXCHANGE).is_ok() {
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }

    /// Does `work` again and again while the names are swapped; `check` looks after each time. Returns how often
    /// `work` said that it succeeded.
    fn race(&self, mut work: impl FnMut() -> bool, check: impl Fn()) -> u32 {
        let until = Instant::now() + RACE;
        let mut won = 0;
        while Instant::now() < until {
            won += u32::from(work());
            check();
        }
        assert!(self.swaps.load(Ordering::Relaxed) > 100, "the race was on");
        won
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn facts(path: &Path) -> (u32, u32, u32, u64) {
    let facts = path.metadata().unwrap();
    (facts.uid(), facts.gid(), facts.mode(), facts.len())
}

fn who() -> Who {
    assert!(nix::unistd::geteuid().is_root(), "this test changes owners: run the tests as root");
    Who { uid: NOBODY, gids: vec![NOBODY] }
}

#[test]
fn h1_no_directory_swapped_for_a_link_leads_owner_or_mode_outside() {
    let mut arena = Arena::new();
    let (victim, directory) = (arena.path("outside/f"), arena.path("outside"));
    let before = (facts(&victim), facts(&directory));
    let ours = arena.resolve("sub/f");
    arena.swap("root/sub", "root/link");
    let won = arena.race(
        || {
            // Back to what needs a repair, through the same door.
            let _ = ours.restore_access(&Who { uid: 1, gids: vec![1] });
            ours.restore_access(&who()).is_ok()
        },
        || assert_eq!((facts(&victim), facts(&directory)), before, "an escape"),
    );
    assert!(won > 0, "it also worked in between");
}

#[test]
fn h1_no_file_swapped_for_a_hard_link_is_changed() {
    let mut arena = Arena::new();
    let victim = arena.path("outside/f");
    fs::hard_link(&victim, arena.path("root/sub/hard")).unwrap();
    let before = facts(&victim);
    let ours = arena.resolve("sub/f");
    arena.swap("root/sub/f", "root/sub/hard");
    let won = arena.race(|| ours.restore_access(&who()).is_ok(), || assert_eq!(facts(&victim), before, "an escape"));
    assert!(won > 0, "it also worked in between");
}

#[test]
fn h1_no_directory_is_made_and_nothing_removed_or_moved_outside() {
    let mut arena = Arena::new();
    let (outside, victim) = (arena.path("outside"), arena.path("outside/f"));
    let (made, removed, moved) = (arena.resolve("sub/a/b"), arena.resolve("sub/f"), arena.resolve("moved"));
    arena.swap("root/sub", "root/link");
    let (mut done, mut number) = ([0; 3], 0);
    arena.race(
        || {
            number += 1;
            done[0] += u32::from(made.make_directories().is_ok());
            match number % 2 {
                0 => done[1] += u32::from(removed.remove_file().is_ok()),
                _ => {
                    done[2] += u32::from(removed.rename_to(&moved).is_ok());
                    let _ = moved.remove_file();
                }
            }
            // A new file for the next turn; a part left by a lost race gives way.
            match removed.create_part() {
                Ok(part) => drop(part.place_at(&removed)),
                Err(_) => drop(removed.beside(".part").unwrap().remove_file()),
            }
            true
        },
        || {
            assert_eq!(outside.read_dir().unwrap().count(), 1, "something new stands outside");
            assert_eq!(fs::read(&victim).unwrap(), b"victim", "an escape");
        },
    );
    assert!(done.iter().all(|times| *times > 0), "each also worked in between: {done:?}");
}

#[test]
fn h1_no_file_is_read_through_a_link() {
    use std::io::Read as _;
    let mut arena = Arena::new();
    let ours = arena.resolve("sub/f");
    arena.swap("root/sub", "root/link");
    let won = arena.race(
        || {
            let Ok((mut file, _)) = ours.open_read() else { return false };
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "ours");
            true
        },
        || {},
    );
    assert!(won > 0);
}
