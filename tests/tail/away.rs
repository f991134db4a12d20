//! What happens to the files while nothing reads (A3): what was made since is read, what was read or there before is not.

use std::fs;
use std::path::Path;

use logmedic::acquire::{Checkpoint, Settings};

use crate::engine::{Watch, append, from_start, next_tick, path_source, scratch, shift};

/// Reads nothing but what says that it was here: returns the anchor.
async fn anchor(path: &Path) -> Vec<Checkpoint> {
    let mut watch = Watch::start(vec![path_source(path)], vec![], Settings::default());
    watch.until("anchor", |engine| !engine.streams.is_empty()).await;
    let (checkpoints, _) = watch.kill().await;
    assert_eq!(checkpoints.len(), 1);
    checkpoints
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_a_log_that_came_and_was_rotated_after_the_anchor_is_read_from_its_oldest_generation() {
    let (dir, log) = scratch();
    append(&dir.path().join("bot.log.1"), "from another life\n");
    next_tick(dir.path());
    let checkpoints = anchor(&log).await;
    next_tick(dir.path());
    for n in 1..=3 {
        append(&log, format!("{n}\n"));
        shift(&log);
    }
    append(&log, "4\n");
    let mut watch = Watch::start(vec![path_source(&log)], checkpoints, Settings::default());
    watch.until_line("4").await;
    assert_eq!(watch.engine.lines(), ["1", "2", "3", "4"]);
    let (checkpoints, _) = watch.kill().await;
    append(&log, "5\n");
    let mut watch = Watch::start(vec![path_source(&log)], checkpoints, Settings::default());
    watch.until_line("5").await;
    assert_eq!(watch.engine.lines(), ["5"], "and once only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_the_same_holds_when_only_rotated_files_are_left_and_for_globs() {
    let (dir, log) = scratch();
    let glob = dir.path().join("*.log");
    let of_log = anchor(&log).await;
    let of_glob = anchor(&glob).await;
    next_tick(dir.path());
    append(&log, "1\n");
    shift(&log);
    let mut watch = Watch::start(vec![path_source(&log)], of_log, Settings::default());
    watch.until_line("1").await;
    append(&log, "2\n");
    watch.until_line("2").await;
    assert_eq!(watch.engine.lines(), ["1", "2"]);
    let mut watch = Watch::start(vec![path_source(&glob)], of_glob, Settings::default());
    watch.until_line("2").await;
    assert_eq!(watch.engine.lines(), ["1", "2"]);
}

/// Two generations were read, and the older one is closed.
async fn two_generations(log: &Path) -> Vec<Checkpoint> {
    append(log, "1\n");
    let mut watch = Watch::start(vec![path_source(log)], vec![], from_start());
    watch.until_line("1").await;
    shift(log);
    append(log, "2\n");
    watch.until_line("2").await;
    watch.until("closed", |engine| engine.streams.len() == 2).await;
    watch.kill().await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_generations_after_a_file_that_is_gone_are_read_and_those_before_it_are_not() {
    let (dir, log) = scratch();
    let checkpoints = two_generations(&log).await;
    shift(&log);
    for n in 3..=4 {
        append(&log, format!("{n}\n"));
        shift(&log);
    }
    append(&log, "5\n");
    // Now 4, 3, 2, 1 lie there under the numbers 1 to 4.
    fs::write(dir.path().join("bot.log.3.gz"), b"\x1f\x8b").unwrap();
    fs::remove_file(dir.path().join("bot.log.3")).unwrap();
    let mut watch = Watch::start(vec![path_source(&log)], checkpoints, Settings::default());
    watch.until_line("5").await;
    assert_eq!(watch.engine.lines(), ["3", "4", "5"]);
    assert!(watch.engine.troubles[0].contains("compressed"), "{:?}", watch.engine.troubles);
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_when_nothing_is_left_what_was_read_before_does_not_come_again() {
    let (dir, log) = scratch();
    let checkpoints = two_generations(&log).await;
    fs::remove_file(&log).unwrap();
    let mut watch = Watch::start(vec![path_source(&log)], checkpoints, Settings::default());
    watch.until("gone", |engine| !engine.troubles.is_empty() && engine.checkpoints().len() == 1).await;
    let (checkpoints, _) = watch.kill().await;
    next_tick(dir.path());
    for n in 3..=4 {
        append(&log, format!("{n}\n"));
        shift(&log);
    }
    append(&log, "5\n");
    let mut watch = Watch::start(vec![path_source(&log)], checkpoints, Settings::default());
    watch.until_line("5").await;
    assert_eq!(watch.engine.lines(), ["3", "4", "5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_copies_that_copytruncate_made_are_not_read_again_when_the_file_goes() {
    let (dir, log) = scratch();
    let text = |n: u32| format!("generation {n} of a log that is copied and truncated, as some are\n");
    let lines = |n: u32| text(n).trim_end().to_owned();
    append(&log, text(1));
    let mut watch = Watch::start(vec![path_source(&log)], vec![], from_start());
    watch.until_line(&lines(1)).await;
    next_tick(dir.path());
    fs::copy(&log, dir.path().join("bot.log.1")).unwrap();
    fs::write(&log, text(2)).unwrap();
    watch.until_line(&lines(2)).await;
    watch.until("closed", |engine| engine.streams.len() == 2).await;
    let (checkpoints, _) = watch.kill().await;
    fs::remove_file(&log).unwrap();
    next_tick(dir.path());
    append(&log, text(3));
    let mut watch = Watch::start(vec![path_source(&log)], checkpoints, Settings::default());
    watch.until_line(&lines(3)).await;
    assert_eq!(watch.engine.lines(), [lines(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a_path_that_leaves_a_glob_and_comes_back_begins_with_its_new_file() {
    let (dir, log) = scratch();
    let glob = dir.path().join("*.log");
    append(&log, "1\n");
    let mut watch = Watch::start(vec![path_source(&glob)], vec![], from_start());
    watch.until_line("1").await;
    let (checkpoints, _) = watch.kill().await;
    append(&log, "2\n");
    let mut watch = Watch::start(vec![path_source(&glob)], checkpoints, Settings::default());
    watch.until_line("2").await;
    for n in ["3", "4"] {
        shift(&log);
        watch.until("left", |engine| engine.checkpoints().len() == 1).await;
        append(&log, format!("{n}\n"));
        watch.until_line(n).await;
    }
    shift(&log);
    watch.until("left", |engine| engine.checkpoints().len() == 1).await;
    assert_eq!(watch.engine.lines(), ["2", "3", "4"]);
    let (checkpoints, _) = watch.kill().await;
    next_tick(dir.path());
    append(&log, "5\n");
    let mut watch = Watch::start(vec![path_source(&glob)], checkpoints, Settings::default());
    watch.until_line("5").await;
    assert_eq!(watch.engine.lines(), ["5"]);
}
