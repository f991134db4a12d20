//! Shows that reading misses nothing and repeats nothing (A1 to A4), from outside: bytes in files, events out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use logmedic::acquire::{self, CHUNK, Checkpoint, Milestones, Read, Settings, SourceKind, SourceSpec, StreamId};
use logmedic::assemble::{Assembler, Limits, RawEvent};
use logmedic::ledger::{Ledger, rusqlite};
use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Far more than any wait here takes; reached only when a line is missed.
const DEADLINE: Duration = Duration::from_secs(20);

fn from_start() -> Settings {
    Settings { from_start: true, ..Settings::default() }
}

fn path_source(path: &Path) -> SourceSpec {
    let shown = path.file_name().unwrap().to_string_lossy().into_owned();
    SourceSpec { name: "bot".into(), kind: SourceKind::Path { path: path.into(), shown } }
}

/// What stands for the engine: an assembler per stream, and checkpoints that change together with what was found.
struct Engine {
    streams: HashMap<StreamId, (Assembler, Checkpoint, Milestones)>,
    /// What is stored, by identity; what a run began with stays until its stream is opened again.
    rows: BTreeMap<String, Checkpoint>,
    keys: HashMap<StreamId, String>,
    events: Vec<RawEvent>,
    troubles: Vec<String>,
    files: Vec<Option<String>>,
    biggest: usize,
}

impl Engine {
    fn new(stored: &[Checkpoint]) -> Self {
        let rows = stored.iter().map(|row| (key(row), row.clone())).collect();
        Self {
            streams: HashMap::new(),
            rows,
            keys: HashMap::new(),
            events: vec![],
            troubles: vec![],
            files: vec![],
            biggest: 0,
        }
    }

    fn checkpoints(&self) -> Vec<Checkpoint> {
        self.rows.values().cloned().collect()
    }

    /// Whether the file that is at the path now has been opened.
    fn has_open(&self, log: &Path) -> bool {
        let inode = fs::metadata(log).unwrap().ino();
        self.streams.values().any(
            |(_, checkpoint, _)| matches!(checkpoint.identity, acquire::Identity::File { ino, .. } if ino == inode),
        )
    }

    fn store(&mut self, stream: StreamId, before: Option<String>) {
        if let Some(before) = before
            && !self.streams.values().any(|(_, other, _)| key(other) == before)
        {
            self.rows.remove(&before);
        }
        if let Some((_, checkpoint, _)) = self.streams.get(&stream) {
            self.rows.insert(key(checkpoint), checkpoint.clone());
            self.keys.insert(stream, key(checkpoint));
        }
    }

    fn lines(&self) -> Vec<String> {
        let lines = self.events.iter().flat_map(|event| event.text.split(|b| *b == b'\n'));
        lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    fn take(&mut self, read: Read) {
        let (stream, ended) = match read {
            Read::Opened { stream, source, file, identity, offset } => {
                let checkpoint = Checkpoint { source, identity, offset };
                let assembler = Assembler::new(Limits::default(), offset);
                self.streams.insert(stream, (assembler, checkpoint, Milestones::default()));
                self.files.push(file);
                self.store(stream, None);
                return;
            }
            Read::Trouble { detail, .. } => return self.troubles.push(detail),
            Read::Bytes { stream, offset, bytes } => {
                assert!(bytes.len() <= CHUNK);
                self.biggest = self.biggest.max(bytes.len());
                let (assembler, checkpoint, _) = self.streams.get_mut(&stream).unwrap();
                assert!(offset >= checkpoint.offset);
                assembler.push(&bytes, &mut self.events);
                (stream, false)
            }
            Read::Idle { stream } => {
                let (assembler, ..) = self.streams.get_mut(&stream).unwrap();
                self.events.extend(assembler.take_pending());
                (stream, false)
            }
            Read::Identity { stream, identity } => {
                let (assembler, checkpoint, milestones) = self.streams.get_mut(&stream).unwrap();
                match identity {
                    acquire::Identity::Journal { .. } => {
                        let end = assembler.safe_offset() + assembler.pending().map_or(0, |p| p.text.len() as u64 + 1);
                        milestones.note(end, identity);
                    }
                    _ => checkpoint.identity = identity,
                }
                (stream, false)
            }
            Read::Closed { stream } => (stream, true),
        };
        let (assembler, checkpoint, milestones) = self.streams.get_mut(&stream).unwrap();
        let before = self.keys[&stream].clone();
        if ended {
            while let Some(event) = assembler.finish() {
                self.events.push(event);
            }
            self.streams.remove(&stream);
            return self.store(stream, Some(before));
        }
        match checkpoint.identity {
            acquire::Identity::Journal { .. } => {
                checkpoint.identity =
                    milestones.reached(assembler.safe_offset()).unwrap_or(checkpoint.identity.clone());
            }
            _ => checkpoint.offset = assembler.safe_offset(),
        }
        self.store(stream, Some(before));
    }
}

fn key(checkpoint: &Checkpoint) -> String {
    format!("{} {}", checkpoint.source, serde_json::to_string(&checkpoint.identity).unwrap())
}

/// A reader under way and the engine behind it.
struct Watch {
    reads: mpsc::Receiver<Read>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    engine: Engine,
}

impl Watch {
    fn start(specs: Vec<SourceSpec>, checkpoints: Vec<Checkpoint>, settings: Settings) -> Self {
        let (out, reads) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let engine = Engine::new(&checkpoints);
        let task = tokio::spawn(acquire::run(specs, checkpoints, settings, out, stop.clone()));
        Self { reads, stop, task, engine }
    }

    /// Takes what comes until `enough`; panics when that does not happen in time.
    async fn until(&mut self, what: &str, mut enough: impl FnMut(&Engine) -> bool) {
        let end = tokio::time::Instant::now() + DEADLINE;
        while !enough(&self.engine) {
            match tokio::time::timeout_at(end, self.reads.recv()).await {
                Ok(Some(read)) => self.engine.take(read),
                Ok(None) => panic!("the reader ended before: {what}"),
                Err(_) => panic!("not in time: {what}; got {:?} {:?}", self.engine.lines(), self.engine.troubles),
            }
        }
    }

    async fn until_line(&mut self, line: &str) {
        self.until(line, |engine| engine.lines().iter().any(|l| l == line)).await;
    }

    /// Ends it like a kill: what was not taken yet is gone. Returns what is on disk then, and the lines so far.
    async fn kill(self) -> (Vec<Checkpoint>, Vec<String>) {
        self.stop.cancel();
        drop(self.reads);
        tokio::time::timeout(DEADLINE, self.task).await.expect("it stops").unwrap();
        (self.engine.checkpoints(), self.engine.lines())
    }
}

fn append(path: &Path, text: impl AsRef<[u8]>) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_ref()).unwrap();
}

/// Shifts `bot.log.N` to `bot.log.N+1` and the log to `bot.log.1`.
fn shift(path: &Path) {
    let name = |n: u32| path.with_file_name(format!("{}.{n}", path.file_name().unwrap().to_str().unwrap()));
    let count = (1..).take_while(|n| name(*n).exists()).count() as u32;
    for n in (1..=count).rev() {
        fs::rename(name(n), name(n + 1)).unwrap();
    }
    if path.symlink_metadata().is_ok() {
        fs::rename(path, name(1)).unwrap();
    }
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("bot.log");
    (dir, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_file_that_comes_later_is_read_from_its_first_byte() {
    let (_dir, log) = scratch();
    let mut watch = Watch::start(vec![path_source(&log)], vec![], Settings::default());
    watch.until("anchor", |engine| !engine.streams.is_empty()).await;
    append(&log, "one\ntwo\n");
    watch.until_line("two").await;
    assert_eq!(watch.engine.lines(), ["one", "two"]);
    assert_eq!(watch.engine.files, [None, Some("bot.log".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_first_start_begins_at_the_end_but_not_inside_a_line() {
    let (_dir, log) = scratch();
    append(&log, "old\nhalf");
    append(&log.with_extension("log.1"), "older\n");
    let mut watch = Watch::start(vec![path_source(&log)], vec![], Settings::default());
    watch.until("open", |engine| engine.streams.len() == 2).await;
    append(&log, " whole\nnew\n");
    watch.until_line("new").await;
    assert_eq!(watch.engine.lines(), ["half whole", "new"]);
    shift(&log);
    append(&log, "newer\n");
    watch.until_line("newer").await;
    assert_eq!(watch.engine.lines(), ["half whole", "new", "newer"], "what was there before is not read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_glob_follows_files_as_they_come_and_leaves_rotated_ones_alone() {
    let (dir, _) = scratch();
    fs::create_dir(dir.path().join("logs")).unwrap();
    let (a, b) = (dir.path().join("logs/a.log"), dir.path().join("logs/b.log"));
    append(&a, "a1\n");
    let glob = dir.path().join("logs/*.log*");
    let mut watch = Watch::start(vec![path_source(&glob)], vec![], from_start());
    watch.until_line("a1").await;
    append(&b, "b1\n");
    watch.until_line("b1").await;
    shift(&a);
    append(&a, "a2\n");
    watch.until_line("a2").await;
    let (checkpoints, mut lines) = watch.kill().await;
    append(&b, "b2\n");
    append(&dir.path().join("logs/c.log"), "c1\n");
    let mut watch = Watch::start(vec![path_source(&glob)], checkpoints, Settings::default());
    watch.until("both", |engine| engine.lines().len() >= 2).await;
    lines.extend(watch.engine.lines());
    lines.sort();
    assert_eq!(lines, ["a1", "a2", "b1", "b2", "c1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_rename_rotation_drains_a_writer_that_notices_late() {
    let (_dir, log) = scratch();
    append(&log, "1\n");
    let mut writer = OpenOptions::new().append(true).open(&log).unwrap();
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until_line("1").await;
    shift(&log);
    writer.write_all(b"2 late\n").unwrap();
    append(&log, "3\n");
    watch.until_line("3").await;
    writer.write_all(b"4 later\n").unwrap();
    watch.until_line("4 later").await;
    watch.until_line("2 late").await;
    watch.until("closed", |engine| engine.streams.len() == 2).await;
    assert_eq!(watch.engine.lines().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a_bot_that_never_reopens_its_log_is_read_on_in_the_rotated_file() {
    let (_dir, log) = scratch();
    append(&log, "1\n");
    let mut writer = OpenOptions::new().append(true).open(&log).unwrap();
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until_line("1").await;
    shift(&log);
    File::create(&log).unwrap();
    watch.until("both open", |engine| engine.streams.len() == 3).await;
    // Longer than the grace: the new file is empty, so the old one stays open.
    tokio::time::sleep(Duration::from_secs(4)).await;
    writer.write_all(b"2\n").unwrap();
    watch.until_line("2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_several_rotations_between_two_looks_lose_no_file() {
    let (_dir, log) = scratch();
    append(&log, "0\n");
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until_line("0").await;
    // Nobody takes what is read meanwhile: the reader stands still behind its bounded channel.
    for n in 1..40 {
        append(&log, format!("{n}\n"));
        shift(&log);
    }
    append(&log, "40\n");
    watch.until("all", |engine| engine.lines().len() >= 41).await;
    let mut numbers: Vec<u32> = watch.engine.lines().iter().map(|l| l.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..=40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_copytruncate_goes_on_at_the_first_byte_and_the_copy_is_not_read() {
    let (dir, log) = scratch();
    let text: String = (0..100).map(|n| format!("first generation {n}\n")).collect();
    append(&log, &text);
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until_line("first generation 99").await;
    fs::copy(&log, dir.path().join("bot.log.1")).unwrap();
    OpenOptions::new().write(true).truncate(true).open(&log).unwrap();
    append(&log, "second\n");
    watch.until_line("second").await;
    assert_eq!(watch.engine.lines().len(), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a_file_truncated_and_grown_beyond_its_old_size_is_noticed() {
    let (_dir, log) = scratch();
    append(&log, "short\n");
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until_line("short").await;
    let text: String = (0..100).map(|n| format!("{n}\n")).collect();
    // One write call that replaces everything: there is no moment with a smaller size to be seen by chance.
    fs::write(&log, &text).unwrap();
    watch.until_line("99").await;
    assert_eq!(watch.engine.lines().len(), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_the_hole_that_a_truncation_leaves_under_a_writer_is_skipped() {
    use std::os::unix::fs::FileExt as _;
    let (_dir, log) = scratch();
    let text = "x".repeat(99_999) + "\n";
    append(&log, &text);
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until("long line", |engine| !engine.events.is_empty()).await;
    let file = OpenOptions::new().write(true).open(&log).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(b"after\n", text.len() as u64).unwrap();
    watch.until_line("after").await;
    let last = watch.engine.events.last().unwrap();
    assert_eq!((last.end, watch.engine.events.len()), (100_006, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_deletion_and_creation_anew_even_with_the_same_inode() {
    let (_dir, log) = scratch();
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    for n in 0..20 {
        append(&log, format!("{n}\n"));
        watch.until_line(&n.to_string()).await;
        fs::remove_file(&log).unwrap();
    }
    assert_eq!(watch.engine.lines().len(), 20);
    // While nobody looks: the inode is free and used again at once, only the content tells.
    append(&log, "20 and some text that is not in the next file\n");
    watch.until_line("20 and some text that is not in the next file").await;
    let (checkpoints, _) = watch.kill().await;
    fs::remove_file(&log).unwrap();
    append(&log, "21 in a file that is longer than the one before it was, so that size says nothing\n");
    let mut watch = Watch::start(vec![path_source(&log)], checkpoints, Settings::default());
    watch.until("21", |engine| engine.lines().iter().any(|l| l.starts_with("21 in"))).await;
    assert_eq!(watch.engine.lines().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a_directory_removed_and_made_again_is_followed() {
    let (dir, _) = scratch();
    let logs = dir.path().join("logs");
    let log = logs.join("bot.log");
    fs::create_dir(&logs).unwrap();
    append(&log, "1\n");
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until_line("1").await;
    fs::remove_dir_all(&logs).unwrap();
    fs::create_dir(&logs).unwrap();
    append(&log, "2\n");
    watch.until_line("2").await;
    append(&log, "3\n");
    watch.until_line("3").await;
    assert_eq!(watch.engine.lines(), ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_symlink_swaps_are_followed_to_the_new_target_and_the_old_is_read_out() {
    let (dir, log) = scratch();
    let (a, b) = (dir.path().join("day-1.txt"), dir.path().join("day-2.txt"));
    append(&a, "a1\n");
    symlink(&a, &log).unwrap();
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until_line("a1").await;
    append(&a, "a2\n");
    append(&b, "b1\n");
    let new = dir.path().join("new-link");
    symlink(&b, &new).unwrap();
    fs::rename(&new, &log).unwrap();
    watch.until_line("b1").await;
    append(&a, "a3\n");
    watch.until_line("a3").await;
    append(&b, "b2\n");
    watch.until_line("b2").await;
    let mut lines = watch.engine.lines();
    lines.sort();
    assert_eq!(lines, ["a1", "a2", "a3", "b1", "b2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_partial_lines_crlf_nul_and_bytes_that_are_no_utf8() {
    let (_dir, log) = scratch();
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    append(&log, "one\r\ntw");
    watch.until_line("one").await;
    append(&log, "o\r\nnul\0inside\nbad\n");
    append(&log, b"raw\xff\xfe\n");
    watch.until("raw", |engine| engine.events.len() == 5).await;
    assert_eq!(watch.engine.lines()[1..3], ["two".to_owned(), "nul\0inside".into()]);
    assert_eq!(watch.engine.events[4].text, b"raw\xff\xfe");
}

fn peak_memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a_line_of_10_mib_takes_little_memory_and_its_cut_is_marked() {
    let (_dir, log) = scratch();
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    append(&log, "before\n");
    watch.until_line("before").await;
    let peak = peak_memory_kib();
    let part = [b'x'; 64 * 1024];
    for _ in 0..160 {
        append(&log, part);
    }
    append(&log, "\nafter\n");
    watch.until_line("after").await;
    let long = &watch.engine.events[1];
    assert!(long.truncated && long.text.len() < 70 * 1024);
    assert_eq!(long.end - long.offset, 10 * 1024 * 1024 + 1);
    let grown = peak_memory_kib() - peak;
    assert!(grown < 6 * 1024, "{grown} KiB more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_without_file_events_polling_reads_on() {
    let (_dir, log) = scratch();
    append(&log, "1\n");
    let mut watch = Watch::start(
        vec![path_source(&log)],
        vec![],
        Settings { polling: true, from_start: true, ..Settings::default() },
    );
    watch.until_line("1").await;
    append(&log, "2\n");
    watch.until_line("2").await;
    shift(&log);
    append(&log, "3\n");
    watch.until_line("3").await;
    assert_eq!(watch.engine.lines(), ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_what_is_no_regular_file_is_said_and_not_opened() {
    let (_dir, log) = scratch();
    nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut watch = Watch::start(vec![path_source(&log)], vec![], Settings::default());
    watch.until("trouble", |engine| !engine.troubles.is_empty()).await;
    assert!(watch.engine.troubles[0].contains("not a regular file"), "{:?}", watch.engine.troubles);
    fs::remove_file(&log).unwrap();
    append(&log, "now\n");
    watch.until_line("now").await;
    assert_eq!(watch.engine.troubles.len(), 1, "said once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a_line_is_read_at_once() {
    let (_dir, log) = scratch();
    append(&log, "first\n");
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until_line("first").await;
    let mut file = OpenOptions::new().append(true).open(&log).unwrap();
    let mut took = Vec::new();
    for n in 0..200 {
        let begin = Instant::now();
        file.write_all(format!("{n}\n").as_bytes()).unwrap();
        watch.until_line(&n.to_string()).await;
        took.push(begin.elapsed());
    }
    took.sort();
    println!("write to event: p50 {:?}, p99 {:?}", took[100], took[198]);
    // Polling would take 100 times as long.
    assert!(took[100] < Duration::from_millis(20), "{:?}", took[100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_a_restart_after_copytruncate_finds_the_rest_in_the_copy() {
    let (dir, log) = scratch();
    let text: String = (0..50).map(|n| format!("generation one, line {n}\n")).collect();
    append(&log, &text);
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until_line("generation one, line 49").await;
    let (checkpoints, mut lines) = watch.kill().await;
    append(&log, "written while away\n");
    fs::copy(&log, dir.path().join("bot.log.1")).unwrap();
    fs::write(&log, "generation two\n").unwrap();
    let mut watch = Watch::start(vec![path_source(&log)], checkpoints, Settings::default());
    watch.until_line("generation two").await;
    watch.until_line("written while away").await;
    lines.extend(watch.engine.lines());
    assert_eq!(lines.len(), 52);
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_a_file_that_was_compressed_while_away_is_reported() {
    let (dir, log) = scratch();
    append(&log, "1\n");
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until_line("1").await;
    let (checkpoints, _) = watch.kill().await;
    fs::write(dir.path().join("bot.log.1.gz"), b"\x1f\x8b").unwrap();
    fs::remove_file(&log).unwrap();
    append(&log, "another file\n");
    let mut watch = Watch::start(vec![path_source(&log)], checkpoints, Settings::default());
    watch.until_line("another file").await;
    assert!(watch.engine.troubles[0].contains("compressed"), "{:?}", watch.engine.troubles);
    watch.until("the old checkpoint can go", |engine| engine.streams.len() == 2).await;
}

const FAKE_JOURNAL: &str = r#"#!/bin/sh
echo "$@" >> "$(dirname "$0")/args"
case "$*" in
*--lines=1*) echo '{"__CURSOR":"c0","MESSAGE":"old"}'; exit ;;
*--after-cursor=c0*)
  printf '%s\n' '{"__CURSOR":"c1","MESSAGE":"one\n  two"}'
  echo '{"__CURSOR":"c2","MESSAGE":[104,105,255]}' ;;
*--after-cursor=c2*) echo '{"__CURSOR":"c3","MESSAGE":"three"}' ;;
esac
exec sleep 60
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a1_the_journal_goes_on_after_its_cursor() {
    let (dir, _) = scratch();
    let journalctl = dir.path().join("journalctl");
    fs::write(&journalctl, FAKE_JOURNAL).unwrap();
    fs::set_permissions(&journalctl, fs::Permissions::from_mode(0o755)).unwrap();
    let spec = SourceSpec { name: "bot".into(), kind: SourceKind::Journal { unit: "bot.service; rm -rf x".into() } };
    let settings = Settings { journalctl, ..Settings::default() };
    let mut watch = Watch::start(vec![spec.clone()], vec![], settings.clone());
    watch
        .until("two entries", |engine| {
            engine.events.len() == 2
                && engine.checkpoints()[0].identity == acquire::Identity::Journal { cursor: "c2".into() }
        })
        .await;
    assert_eq!(watch.engine.events[0].text, b"one\n  two");
    assert_eq!(watch.engine.events[1].text, b"hi\xff");
    let (checkpoints, _) = watch.kill().await;
    assert_eq!(checkpoints[0].offset, 0);
    let mut watch = Watch::start(vec![spec], checkpoints, settings);
    watch.until_line("three").await;
    assert_eq!(watch.engine.lines(), ["three"]);
    let args = fs::read_to_string(dir.path().join("args")).unwrap();
    assert!(args.contains("--unit=bot.service; rm -rf x --lines=1"), "{args}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_missing_journalctl_is_said() {
    let settings = Settings { journalctl: "/nonexistent/journalctl".into(), ..Settings::default() };
    let spec = SourceSpec { name: "bot".into(), kind: SourceKind::Journal { unit: "bot".into() } };
    let mut watch = Watch::start(vec![spec], vec![], settings);
    watch.until("trouble", |engine| !engine.troubles.is_empty()).await;
    assert!(watch.engine.troubles[0].contains("is systemd here?"));
    watch.kill().await;
}

#[test]
fn a1_standard_input_is_read_to_its_end() {
    let mut child = as_child("stdin").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"one\n  more\ntwo\nunfinished").unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(child.wait().unwrap().success());
    let got: Vec<&str> = out.lines().filter_map(|line| line.strip_prefix("GOT ")).collect();
    assert_eq!(got, [r#""one\n  more""#, r#""two""#, r#""unfinished""#]);
}

// ---- model: whatever is done to the file, each line comes exactly once ----

#[derive(Clone, Copy, Debug)]
enum Action {
    Write(u8),
    WritePart,
    Rotate,
    CopyTruncate,
    DeleteCreate,
    SwapLink,
    Stop,
    Start,
    CatchUp,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        5 => (1u8..20).prop_map(Action::Write),
        2 => Just(Action::WritePart),
        4 => Just(Action::Rotate),
        2 => Just(Action::CopyTruncate),
        1 => Just(Action::DeleteCreate),
        1 => Just(Action::SwapLink),
        2 => Just(Action::Stop),
        2 => Just(Action::Start),
        2 => Just(Action::CatchUp),
    ]
}

struct Model {
    dir: tempfile::TempDir,
    log: PathBuf,
    writer: File,
    written: u32,
    part: Option<String>,
    targets: u32,
    watch: Option<Watch>,
    checkpoints: Vec<Checkpoint>,
    done: Vec<String>,
}

impl Model {
    fn new() -> Self {
        let (dir, log) = scratch();
        let writer = OpenOptions::new().append(true).create(true).open(&log).unwrap();
        let watch = Watch::start(vec![path_source(&log)], vec![], from_start());
        Self {
            dir,
            log,
            writer,
            written: 0,
            part: None,
            targets: 0,
            watch: Some(watch),
            checkpoints: vec![],
            done: vec![],
        }
    }

    fn write(&mut self, count: u8) {
        self.finish_part();
        let mut text = String::new();
        for _ in 0..count {
            self.written += 1;
            text += &format!("line {} of the model, long enough to be told from others\n", self.written);
        }
        self.writer.write_all(text.as_bytes()).unwrap();
    }

    fn finish_part(&mut self) {
        if let Some(rest) = self.part.take() {
            self.writer.write_all(rest.as_bytes()).unwrap();
        }
    }

    fn reopen(&mut self) {
        self.writer = OpenOptions::new().append(true).create(true).open(&self.log).unwrap();
    }

    async fn catch_up(&mut self) {
        self.finish_part();
        let (wanted, before) = (self.written as usize, self.done.len());
        if let Some(watch) = &mut self.watch {
            watch.until("all lines", |engine| engine.lines().len() + before >= wanted).await;
        }
    }

    async fn stop(&mut self) {
        if let Some(watch) = self.watch.take() {
            let (checkpoints, lines) = watch.kill().await;
            self.checkpoints = checkpoints;
            self.done.extend(lines);
        }
    }

    fn start(&mut self) {
        if self.watch.is_none() {
            // Killed before the first checkpoint was stored: then it is the first start still.
            self.watch = Some(Watch::start(vec![path_source(&self.log)], self.checkpoints.clone(), from_start()));
        }
    }

    async fn run(&mut self, action: Action) {
        let is_link = self.log.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
        match action {
            Action::Write(count) => self.write(count),
            Action::WritePart => {
                self.finish_part();
                self.written += 1;
                self.writer.write_all(format!("line {} of", self.written).as_bytes()).unwrap();
                self.part = Some(" the model, long enough to be told from others\n".into());
            }
            Action::Rotate if !is_link => {
                shift(&self.log);
                // A writer ends its line in the file that it has open.
                self.finish_part();
                self.reopen();
            }
            // What is physically lost is nobody's fault: only when everything was read, or what was read is in the copy.
            Action::CopyTruncate if !is_link && self.watch.is_some() => {
                self.catch_up().await;
                let first = self.dir.path().join("bot.log.1");
                if first.exists() {
                    shift(&first);
                }
                fs::copy(&self.log, &first).unwrap();
                OpenOptions::new().write(true).truncate(true).open(&self.log).unwrap();
            }
            Action::DeleteCreate if !is_link && self.watch.is_some() => {
                self.catch_up().await;
                let watch = self.watch.as_mut().unwrap();
                watch.until("all open", |engine| engine.has_open(&self.log)).await;
                fs::remove_file(&self.log).unwrap();
                self.reopen();
                // A file that is deleted and of which nothing is left cannot tell the next start which of the files
                // beside it are younger; so the new one must have been seen.
                let watch = self.watch.as_mut().unwrap();
                let opened = watch.engine.files.len();
                watch.until("the new file", |engine| engine.files.len() > opened).await;
            }
            Action::SwapLink if self.watch.is_some() => {
                self.catch_up().await;
                self.targets += 1;
                let target = self.dir.path().join(format!("target-{}", self.targets));
                File::create(&target).unwrap();
                let link = self.dir.path().join("link");
                symlink(&target, &link).unwrap();
                fs::rename(&link, &self.log).unwrap();
                self.reopen();
            }
            Action::Stop => self.stop().await,
            Action::Start => self.start(),
            Action::CatchUp => self.catch_up().await,
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a2_a3_whatever_happens_to_the_file_each_line_comes_exactly_once(
        actions in proptest::collection::vec(action(), 1..25)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new();
            // Before its first checkpoint is stored, a start is always the first.
            model.watch.as_mut().unwrap().until("open", |engine| engine.streams.len() == 2).await;
            for action in &actions {
                model.run(*action).await;
            }
            model.start();
            model.write(1);
            model.catch_up().await;
            // Once more, so that what would come twice has come.
            model.stop().await;
            model.start();
            model.write(1);
            model.catch_up().await;
            model.stop().await;
            let mut numbers: Vec<u32> =
                model.done.iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (1..=model.written).collect::<Vec<_>>(), "{actions:?}");
        });
    }
}

// ---- kill -9 at any instant, with a real process and the real ledger ----

const CHILD: &str = "LOGMEDIC_TEST_TAIL_CHILD";

fn as_child(mode: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(CHILD, mode);
    command
}

/// Not a test: what `as_child` runs in a process of its own.
#[test]
fn child() {
    let Some(mode) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if mode == "stdin" {
        runtime.block_on(async {
            let spec = SourceSpec { name: "in".into(), kind: SourceKind::Stdin };
            let mut watch = Watch::start(vec![spec], vec![], Settings::default());
            while let Some(read) = watch.reads.recv().await {
                watch.engine.take(read);
            }
            for event in &watch.engine.events {
                println!("\nGOT {:?}", String::from_utf8_lossy(&event.text));
            }
        });
    } else {
        runtime.block_on(tail_into_ledger(Path::new(&mode)));
    }
}

/// Reads `dir/bot.log` for ever; lines and checkpoints go to the ledger in one transaction.
async fn tail_into_ledger(dir: &Path) {
    let ledger = Ledger::open(&dir.join("state")).unwrap();
    let stored: Vec<Checkpoint> = ledger
        .read(|db| {
            let mut rows = db.prepare("SELECT json FROM checkpoint")?;
            rows.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
        })
        .unwrap()
        .iter()
        .map(|json| serde_json::from_str(json).unwrap())
        .collect();
    let mut watch = Watch::start(vec![path_source(&dir.join("bot.log"))], stored, from_start());
    while let Some(read) = watch.reads.recv().await {
        watch.engine.take(read);
        let lines = watch.engine.lines();
        watch.engine.events.clear();
        let checkpoints: Vec<String> =
            watch.engine.checkpoints().iter().map(|c| serde_json::to_string(c).unwrap()).collect();
        ledger
            .write(move |db| {
                for line in lines {
                    db.execute("INSERT INTO record (incident, json) VALUES ('', ?1)", [line])?;
                }
                db.execute("DELETE FROM checkpoint", [])?;
                for (n, json) in checkpoints.iter().enumerate() {
                    db.execute(
                        "INSERT INTO checkpoint VALUES ('bot', ?1, ?2)",
                        rusqlite::params![n.to_string(), json],
                    )?;
                }
                Ok(())
            })
            .await
            .unwrap();
    }
}

/// Writes numbered lines, some of them torn, and rotates, until told to stop; returns how many lines there are.
fn write_and_rotate(log: &Path, stop: &std::sync::atomic::AtomicBool) -> u32 {
    let mut rng = logmedic::vocab::Rng::new(7);
    let open = || OpenOptions::new().append(true).create(true).open(log).unwrap();
    let (mut file, mut count) = (open(), 0);
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        for _ in 0..rng.next_u64() % 60 {
            count += 1;
            let line = format!("line {count} of a bot that is watched by somebody who is killed\n");
            let cut = usize::try_from(rng.next_u64()).unwrap_or(0) % line.len();
            file.write_all(&line.as_bytes()[..cut]).unwrap();
            file.write_all(&line.as_bytes()[cut..]).unwrap();
        }
        match rng.next_u64() % 8 {
            0 => {
                shift(log);
                file = open();
            }
            // The pace of a busy bot.
            _ => std::thread::sleep(Duration::from_millis(rng.next_u64() % 8)),
        }
    }
    count
}

fn spawn_tail(dir: &Path) -> Child {
    as_child(dir.to_str().unwrap()).stdout(Stdio::null()).spawn().unwrap()
}

/// A3: 80 kills at random instants, under a writer that tears lines and rotates.
#[test]
fn a3_kill_9_at_any_instant_misses_nothing_and_repeats_nothing() {
    let (dir, log) = scratch();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    // Before its first checkpoint is stored, a start is always the first.
    let mut first = spawn_tail(dir.path());
    let begin = Instant::now();
    while count(dir.path(), "checkpoint") == 0 {
        assert!(begin.elapsed() < DEADLINE, "the first checkpoint is stored");
        std::thread::yield_now();
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let writer = {
        let stop = stop.clone();
        let log = log.clone();
        std::thread::spawn(move || write_and_rotate(&log, &stop))
    };
    let mut rng = logmedic::vocab::Rng::new(11);
    for _ in 0..80 {
        let mut tail = spawn_tail(dir.path());
        std::thread::sleep(Duration::from_millis(20 + rng.next_u64() % 180));
        tail.kill().unwrap();
        tail.wait().unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let written = writer.join().unwrap();
    let mut tail = spawn_tail(dir.path());
    let end = Instant::now() + DEADLINE;
    while count(dir.path(), "record") < written && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    tail.kill().unwrap();
    tail.wait().unwrap();
    let lines = stored_lines(dir.path());
    let mut numbers: Vec<u32> = lines
        .iter()
        .map(|line| {
            assert!(line.ends_with("somebody who is killed"), "torn: {line}");
            line.split(' ').nth(1).unwrap().parse().unwrap()
        })
        .collect();
    numbers.sort_unstable();
    println!("{written} lines, {} files, 80 kills", fs::read_dir(dir.path()).unwrap().count());
    let missed: Vec<u32> = (1..=written).filter(|n| numbers.binary_search(n).is_err()).take(10).collect();
    let twice: Vec<u32> = numbers.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).take(10).collect();
    assert_eq!((missed, twice), (vec![], vec![]));
}

fn count(dir: &Path, table: &str) -> u32 {
    let Ok(db) = rusqlite::Connection::open(dir.join("state/state.db")) else { return 0 };
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap_or(0)
}

fn stored_lines(dir: &Path) -> Vec<String> {
    let db = rusqlite::Connection::open(dir.join("state/state.db")).unwrap();
    db.busy_timeout(DEADLINE).unwrap();
    let mut rows = db.prepare("SELECT json FROM record").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}
