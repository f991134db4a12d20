//! Holds the house to its plan: imports point one way, pure rooms stay pure, files stay readable.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Room → (pure, rooms it may import besides `vocab`). `engine`'s shell parts and `setup` drive the others.
fn rooms() -> BTreeMap<&'static str, (bool, &'static [&'static str])> {
    BTreeMap::from([
        ("acquire", (false, &[][..])),
        ("assemble", (true, &[])),
        ("backup", (false, &["ledger", "operate", "roots"])),
        ("classify", (true, &["assemble"])),
        ("correlate", (true, &["classify"])),
        ("decide", (true, &["correlate"])),
        ("demo", (false, &["media"])),
        ("engine", (true, &["classify", "correlate", "decide", "supervise"])),
        ("growth", (false, &["correlate", "roots"])),
        ("heal", (false, &["decide", "launch", "ledger", "media", "roots"])),
        ("launch", (false, &["roots", "supervise"])),
        ("ledger", (false, &["acquire"])),
        ("library", (false, &["growth", "ledger", "media", "operate", "roots"])),
        ("media", (true, &[])),
        ("operate", (false, &["ledger"])),
        ("outbox", (false, &["ledger"])),
        ("probe", (false, &["ledger"])),
        ("publish", (false, &[])),
        ("roots", (false, &[])),
        (
            "serve",
            (
                false,
                &[
                    "assemble",
                    "backup",
                    "classify",
                    "correlate",
                    "decide",
                    "engine",
                    "ledger",
                    "library",
                    "operate",
                    "outbox",
                    "probe",
                    "publish",
                ],
            ),
        ),
        (
            "setup",
            (
                false,
                &[
                    "acquire",
                    "assemble",
                    "backup",
                    "classify",
                    "correlate",
                    "decide",
                    "demo",
                    "engine",
                    "growth",
                    "heal",
                    "launch",
                    "ledger",
                    "library",
                    "media",
                    "operate",
                    "outbox",
                    "probe",
                    "publish",
                    "roots",
                    "serve",
                    "supervise",
                ],
            ),
        ),
        ("supervise", (false, &[])),
        ("vocab", (true, &[])),
    ])
}

/// The files of `engine` that do I/O, with what they may drive besides.
const SHELL: &[(&str, &[&str])] = &[
    ("src/engine/around.rs", &["assemble"]),
    ("src/engine/backlog.rs", &["ledger"]),
    ("src/engine/effects.rs", &["ledger"]),
    ("src/engine/said.rs", &["ledger"]),
    ("src/engine/run.rs", &["heal", "ledger", "operate", "outbox", "publish"]),
    ("src/engine/repairs.rs", &["heal", "operate"]),
    ("src/engine/intake.rs", &["acquire", "assemble", "ledger", "publish"]),
];

/// What a pure file may not name: clocks, sockets, files, the runtime, threads, the environment.
const IMPURE: &[&str] = &[
    "tokio::",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::process",
    "std::thread",
    "std::env",
    "Instant::now",
    "SystemTime::now",
    "Utc::now",
    "Local::now",
    "rusqlite",
    "reqwest",
    "nix::",
];

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

fn files() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    sources(Path::new("src"), &mut paths);
    paths.into_iter().map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap())).collect()
}

/// The code without comments and unit tests.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]").next().unwrap();
    body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn room_of(file: &str) -> Option<&str> {
    let rest = file.strip_prefix("src/")?;
    rest.split_once('/').map(|(room, _)| room)
}

#[test]
fn imports_point_one_way() {
    let rooms = rooms();
    let mut wrong = Vec::new();
    for (file, text) in files() {
        let Some(room) = room_of(&file) else { continue };
        let (_, allowed) = rooms.get(room).unwrap_or_else(|| panic!("{file}: a room the plan does not know"));
        let extra = SHELL.iter().find(|(name, _)| *name == file).map_or(&[][..], |(_, rooms)| rooms);
        let text = code(&text);
        for (place, _) in text.match_indices("crate::") {
            let rest = &text[place + "crate::".len()..];
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let known = rooms.contains_key(name.as_str());
            if known
                && name != room
                && name != "vocab"
                && !allowed.contains(&name.as_str())
                && !extra.contains(&name.as_str())
            {
                wrong.push(format!("{file} imports {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the flow:\n{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_have_no_clock_no_socket_and_no_runtime() {
    let rooms = rooms();
    let mut wrong = Vec::new();
    for (file, text) in files() {
        let pure = room_of(&file).is_some_and(|room| rooms[room].0) && SHELL.iter().all(|(name, _)| *name != file);
        let says_pure = text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("Pure"));
        if !pure && !says_pure {
            continue;
        }
        let text = code(&text);
        wrong.extend(IMPURE.iter().filter(|word| text.contains(**word)).map(|word| format!("{file} uses {word}")));
    }
    assert!(wrong.is_empty(), "not pure:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_its_job_and_stays_readable() {
    let mut wrong = Vec::new();
    for (file, text) in files() {
        if !text.starts_with("//!") {
            wrong.push(format!("{file}: the first line must say the file's job"));
        }
        let lines = text.lines().count();
        if lines > 600 {
            wrong.push(format!("{file}: {lines} lines; more than 600 have more than one job"));
        }
        for word in ["todo!(", "unimplemented!(", "dbg!(", "#[ignore"] {
            if code(&text).contains(word) {
                wrong.push(format!("{file}: {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stands_only_where_it_is_audited() {
    let audited = ["src/classify/simd.rs", "src/roots/syscall.rs"];
    for (file, text) in files() {
        let has = code(&text).contains("unsafe ") || code(&text).contains("unsafe{");
        assert!(!has || audited.contains(&file.as_str()), "{file} holds unsafe code");
    }
}
