//! Real processes: standard input (A1), and kill -9 at any instant with the real ledger (A3).

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use logmedic::acquire::{Checkpoint, Settings, SourceKind, SourceSpec};
use logmedic::ledger::{Ledger, rusqlite};

use crate::engine::{DEADLINE, Watch, from_start, path_source, scratch, shift};
use crate::refused;

const CHILD: &str = "LOGMEDIC_TEST_TAIL_CHILD";

pub fn as_child(mode: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kills::child", "--nocapture", "--test-threads=1"]).env(CHILD, mode);
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
    } else if let Some((how, dir)) = mode.to_str().unwrap().split_once(':') {
        runtime.block_on(refused::child(how, Path::new(dir)));
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
    // What waits is committed together: on a slow disk that makes the difference between some and no progress.
    let mut waiting = Vec::new();
    while watch.reads.recv_many(&mut waiting, 8).await > 0 {
        waiting.drain(..).for_each(|read| watch.engine.take(read));
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
    // How long it takes depends on the disk and on who else is busy; that it goes on does not.
    let (mut recorded, mut end) = (0, Instant::now() + DEADLINE);
    while recorded < written && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
        let now = count(dir.path(), "record");
        if std::mem::replace(&mut recorded, now) != now {
            end = Instant::now() + DEADLINE;
        }
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
