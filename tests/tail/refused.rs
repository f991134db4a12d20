//! What the system refuses (A2): files nobody may read, and a process without free descriptors.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};

use logmedic::acquire::Settings;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Uid, setuid};

use crate::engine::{Watch, append, path_source, scratch};
use crate::kills::as_child;

/// `nobody` on every Linux.
const NOBODY: u32 = 65_534;
/// Enough for the runtime and the reader; quickly filled.
const FEW: u64 = 64;

/// What `as_child` runs in a process of its own, since it is about what a whole process may do.
pub async fn child(how: &str, dir: &Path) {
    let log = dir.join("bot.log");
    let mut taken = Vec::new();
    if how == "unreadable" {
        // Permissions do not hinder root.
        if Uid::effective().is_root() {
            setuid(Uid::from_raw(NOBODY)).unwrap();
        }
    } else {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, FEW, hard).unwrap();
        while let Ok(file) = File::open("/dev/null") {
            taken.push(file);
        }
    }
    let mut watch = Watch::start(vec![path_source(&log)], vec![], Settings::default());
    watch.until("trouble", |engine| engine.troubles.iter().any(|text| text.contains("bot.log: "))).await;
    taken.clear();
    println!("\nTOLD");
    watch.until_line("new").await;
    for trouble in &watch.engine.troubles {
        println!("\nTROUBLE {trouble}");
    }
}

/// Waits until the child has told what hinders it.
fn told(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "TOLD"));
    lines
}

fn troubles(mut child: Child, lines: impl Iterator<Item = String>) -> Vec<String> {
    let troubles = lines.filter_map(|line| line.strip_prefix("TROUBLE ").map(str::to_owned)).collect();
    assert!(child.wait().unwrap().success());
    troubles
}

fn spawn(how: &str, dir: &Path) -> Child {
    as_child(&format!("{how}:{}", dir.display())).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a2_an_unreadable_file_is_said_once_with_a_remedy_and_read_when_it_can_be() {
    let (dir, log) = scratch();
    append(&log, "new\n");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o000)).unwrap();
    let mut child = spawn("unreadable", dir.path());
    let lines = told(&mut child);
    fs::set_permissions(&log, fs::Permissions::from_mode(0o644)).unwrap();
    let troubles = troubles(child, lines);
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert!(troubles[0].contains("Permission denied") && troubles[0].contains("setfacl"), "{troubles:?}");
}

#[test]
fn a2_without_free_descriptors_files_are_polled_and_read_as_soon_as_there_are_some() {
    let (dir, log) = scratch();
    let mut file = File::create(&log).unwrap();
    let mut child = spawn("full", dir.path());
    let lines = told(&mut child);
    file.write_all(b"new\n").unwrap();
    let troubles = troubles(child, lines);
    assert_eq!(troubles.len(), 2, "{troubles:?}");
    assert!(troubles[0].contains("4 times a second") && troubles[0].contains("max_user_instances"), "{troubles:?}");
    assert!(troubles[1].contains("LimitNOFILE"), "{troubles:?}");
}
