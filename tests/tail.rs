//! Shows that reading misses nothing and repeats nothing (A1 to A4), from outside: bytes in files, events out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "tail/away.rs"]
mod away;
#[path = "tail/engine.rs"]
mod engine;
#[path = "tail/kills.rs"]
mod kills;
#[path = "tail/model.rs"]
mod model;
#[path = "tail/refused.rs"]
mod refused;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, Instant};

use engine::{Watch, append, from_start, path_source, scratch, shift};
use logmedic::acquire::{self, Settings, SourceKind, SourceSpec};

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

#[tokio::test(flavor = "multi_thread")]
async fn a1_reading_ends_when_nobody_listens_any_more() {
    let (_dir, log) = scratch();
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until("anchor", |engine| !engine.streams.is_empty()).await;
    drop(watch.reads);
    append(&log, "to nobody\n");
    tokio::time::timeout(engine::DEADLINE, watch.task).await.expect("it ends").unwrap();
}
