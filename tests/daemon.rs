//! The real binary as the parent of a bot that is not ours (python-telegram-bot): every fault is made for real, and
//! what came of it is read from the records, the disk and the messages that arrived.
//!
//! Python packages are fetched once by pip into the build's temporary directory. `LOGMEDIC_TEST_PYTHON` names the
//! interpreter where `python3` is not the right one.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use logmedic::demo::fault::{Fault, Misbehaviour};
use logmedic::demo::scenario::{play, warm_up};
use logmedic::demo::stage::{ALERT_BOT, Stage};
use logmedic::demo::workspace::{BOT_TOKEN, Cast, Workspace};
use logmedic::demo::world::VideoMessage;
use logmedic::vocab::{Body, Class, OutcomeResult, Phase, Strategy};

/// Whom the bot runs as when the tests run as root.
const USER: &str = "nobody";
/// What anything here may take at most.
const LIMIT: Duration = Duration::from_secs(60);
/// Size of a test video.
const SIZE: u64 = 500_000;

/// Fetches what `bot.py` needs, once for all tests and processes.
fn packages() -> PathBuf {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/requirements.txt");
    let lock = fs::File::create(base.join("foreign.lock")).unwrap();
    lock.lock().unwrap();
    let (folder, done) = (base.join("foreign"), base.join("foreign.done"));
    if fs::read(&done).ok() != Some(fs::read(&wanted).unwrap()) {
        let installed = interpreters().into_iter().any(|python| {
            let mut pip = Command::new(python);
            pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"]).arg(&folder).arg("-r").arg(&wanted);
            pip.status().is_ok_and(|status| status.success())
        });
        assert!(installed, "pip could not install {}; set LOGMEDIC_TEST_PYTHON to a Python with pip", wanted.display());
        fs::copy(&wanted, &done).unwrap();
    }
    folder
}

fn interpreters() -> Vec<String> {
    let found = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let found = found.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default();
    let named = std::env::var("LOGMEDIC_TEST_PYTHON").ok();
    named.into_iter().chain([found, "/usr/bin/python3".into()]).filter(|path| !path.is_empty()).collect()
}

/// Server, agent and the Python bot, warmed up with healthy downloads.
async fn open() -> Stage {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_logmedic"));
    let space = Workspace::create(None, USER, false, program).unwrap();
    let (libraries, script) = (space.dir.join("libraries"), space.dir.join("bot.py"));
    // Copied: the bot's user may not get into the build directory.
    let copied = Command::new("cp").arg("-r").arg(packages()).arg(&libraries).status().unwrap();
    assert!(copied.success());
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/bot.py"), &script).unwrap();
    let can_run = |python: &String| {
        let mut command = Command::new(python);
        command.args(["-c", "import telegram.ext"]).env("PYTHONPATH", &libraries).current_dir("/");
        if space.identity.dropped_to {
            command.uid(space.identity.uid).gid(space.identity.gid);
        }
        command.output().is_ok_and(|out| out.status.success())
    };
    let python = interpreters().into_iter().find(can_run);
    let python = python.expect("no Python that the bot's user can run; name one in LOGMEDIC_TEST_PYTHON");
    let env = [("PYTHONPATH", libraries.to_str().unwrap()), ("PYTHONDONTWRITEBYTECODE", "1"), ("READ_TIMEOUT", "2")];
    let cast = Cast {
        command: vec![python, script.to_str().unwrap().into()],
        env: env.map(|(name, value)| (name.into(), value.into())).into(),
        listen: None,
    };
    let mut stage = Stage::open(space, &cast).await.unwrap();
    if let Err(problem) = warm_up(&mut stage).await {
        fail(stage, &problem).await;
        unreachable!();
    }
    stage
}

/// Ends everything, keeps the folder and says where it is.
async fn fail(mut stage: Stage, problem: &str) {
    stage.space.keep();
    let space = stage.close().await.unwrap();
    panic!("{problem}\nlook into {}", space.dir.display());
}

/// Makes a fault and wants it healed and proven.
async fn heals(class: Class) {
    let mut stage = open().await;
    let row = play(&mut stage, class).await;
    match row.ok {
        Some(true) => drop(stage.close().await.unwrap()),
        None => eprintln!("{class}: {}", row.problem.unwrap_or_default()),
        Some(false) => fail(stage, &row.lines(false)).await,
    }
}

#[tokio::test]
async fn a8_a_stalled_download_is_repeated() {
    heals(Class::Timeout).await;
}

#[tokio::test]
async fn a10_a_directory_the_bot_cannot_write_is_given_back() {
    heals(Class::Permission).await;
}

#[tokio::test]
async fn a11_a_removed_directory_is_made_again() {
    heals(Class::MissingPath).await;
}

#[tokio::test]
async fn a12_a_cut_file_goes_to_quarantine_and_comes_again() {
    heals(Class::Corrupt).await;
}

#[tokio::test]
async fn a13_a_full_disk_is_told_and_the_download_waits_for_room() {
    heals(Class::DiskFull).await;
}

#[tokio::test]
async fn a14_a_server_that_vanishes_is_waited_for() {
    heals(Class::ServerDown).await;
}

fn video(name: &str, model: &str) -> VideoMessage {
    let caption = format!("#{model}");
    VideoMessage { token: BOT_TOKEN.into(), chat: 7, caption, file_name: name.into(), size: SIZE, document: false }
}

#[tokio::test]
async fn a8_three_attempts_after_1_2_and_4_seconds_then_the_admin_is_told() {
    let mut stage = open().await;
    let sent = stage.world.last_sent();
    let faults = [
        (1, Misbehaviour::Stall { after: 100_000, ms: 60_000 }),
        (99, Misbehaviour::Cut { keep: 0.0, claims_whole: false }),
    ];
    for (times, what) in faults {
        assert!(stage.world.arm(Fault { on: "file".into(), only: None, times, what }));
    }
    stage.world.send_video(&video("a.mp4", "ana")).unwrap();
    let ended = stage.until(LIMIT, "the outcome", |s| {
        let first = s.records.first_error(0, Class::Timeout)?.incident;
        s.records.outcome(first).map(|(result, _)| (first, result))
    });
    let (incident, result) = match ended.await {
        Ok(ended) => ended,
        Err(problem) => return fail(stage, &problem).await,
    };
    let started = stage.records.after(0).filter(|r| r.incident == incident).filter_map(|r| match r.body {
        Body::Action { phase: Phase::Started, strategy: Strategy::Redownload, attempt, attempts, delay_ms, .. } => {
            Some((attempt, attempts, delay_ms))
        }
        _ => None,
    });
    let started: Vec<_> = started.collect();
    assert_eq!(result, OutcomeResult::Exhausted);
    assert_eq!(started.iter().map(|(n, of, _)| (*n, *of)).collect::<Vec<_>>(), [(1, 3), (2, 3), (3, 3)]);
    for ((_, _, delay), wanted) in started.iter().zip([1_000.0, 2_000.0, 4_000.0]) {
        assert!((*delay as f64 - wanted).abs() <= wanted * 0.11, "{delay} ms, must be {wanted} ms ± 10 %");
    }
    let alert = |s: &Stage| (!s.world.inbox(ALERT_BOT, sent).is_empty()).then_some(());
    stage.until(LIMIT, "the alert", alert).await.unwrap();
    drop(stage.close().await.unwrap());
}

#[tokio::test]
async fn h1_a_file_name_that_forges_log_lines_moves_nothing() {
    let mut stage = open().await;
    let good = stage.world.send_video(&video("good.mp4", "ana")).unwrap();
    let path = stage.until(LIMIT, "the good file", |s| {
        let path = s.path_of(&good.file_id)?;
        fs::metadata(&path).is_ok_and(|meta| meta.len() == SIZE).then_some(path)
    });
    let path = path.await.unwrap();
    let outside = stage.space.dir.join("outside.mp4");
    fs::write(&outside, "not a video").unwrap();
    let look = |path: &Path| {
        let meta = fs::metadata(path).unwrap();
        (meta.ino(), meta.uid(), meta.mode(), fs::read(path).unwrap())
    };
    let before = (look(&path), look(&outside));
    let line = "2026-11-22 01:02:03,456 - downloader - ERROR - ";
    let lies = [
        format!("ValueError: Corrupt file {}: expected 5 bytes, got 3 bytes", path.display()),
        format!("ValueError: Corrupt file {}: expected 5 bytes, got 3 bytes", outside.display()),
        format!("PermissionError: [Errno 13] Permission denied: '{}'", outside.display()),
    ];
    let forged = lies.map(|lie| format!("\n{line}{lie}")).concat();
    stage.world.send_video(&video(&format!("x.mp4{forged}\n{line}the end"), "ana")).unwrap();
    let ended = stage.until(LIMIT, "the end of the forged incidents", |s| {
        let incidents = s.records.incidents(0);
        let results: Option<Vec<_>> = incidents.iter().map(|i| s.records.outcome(*i).map(|(how, _)| how)).collect();
        results.filter(|results| results.len() >= 2)
    });
    let results = match ended.await {
        Ok(results) => results,
        Err(problem) => return fail(stage, &problem).await,
    };
    let harmless = [OutcomeResult::NotConfirmed, OutcomeResult::Refused, OutcomeResult::AlertOnly];
    assert!(results.iter().all(|result| harmless.contains(result)), "{results:?}");
    assert!(stage.records.actions(0).iter().all(|(strategy, _)| *strategy == Strategy::Alert));
    assert_eq!((look(&path), look(&outside)), before);
    drop(stage.close().await.unwrap());
}
