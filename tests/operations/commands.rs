//! Commands as operations: held, ended, read, measured.

use std::time::{Duration, Instant};

use logmedic::operate::schedule::Schedule;
use logmedic::operate::{CommandSpec, State};

use super::house::{House, command, process, shell, until};

const BUSY: &str = "echo $$ > pid; while :; do :; done";

#[tokio::test(flavor = "multi_thread")]
async fn c2_a_paused_command_uses_no_processor_and_goes_on() {
    let house = House::new(vec![shell("busy", BUSY)]);
    let id = house.operations.run_custom("busy", "ana").await.unwrap().id;
    let pid = house.pid("pid").await;
    let begun = Instant::now();
    house.operations.pause(id).await.unwrap();
    house.reach(id, State::Paused).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    let (_, before) = until("the stop", || process(pid).filter(|(state, _)| *state == 'T')).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(process(pid), Some(('T', before)), "not a tick of processor time");
    house.operations.resume(id).await.unwrap();
    house.reach(id, State::Running).await;
    until("it to go on", || process(pid).filter(|(_, ticks)| *ticks > before)).await;
    house.operations.pause(id).await.unwrap();
    house.reach(id, State::Paused).await;
    let begun = Instant::now();
    house.operations.cancel(id).await.unwrap();
    let end = house.reach(id, State::Cancelled).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "a stopped one too");
    assert_eq!((process(pid), end.begun, end.runs), (None, true, 1));
    let wanted =
        ["operation_created", "operation_paused", "operation_resumed", "operation_paused", "operation_cancelled"];
    let changes = |all: Vec<String>| all.into_iter().filter(|e| e != "operation_progress").collect::<Vec<_>>();
    until("all of it to be written", || (changes(house.events(id)) == wanted).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_a_command_that_does_not_listen_is_ended_within_a_second_with_all_it_began() {
    let script = "trap '' TERM INT HUP; setsid sh -c 'trap \"\" TERM; echo $$ > far; exec sleep 600' & \
        sh -c 'trap \"\" TERM; echo $$ > near; exec sleep 600' & echo $$ > pid; while :; do sleep 600; done";
    let house = House::new(vec![shell("deaf", script)]);
    let id = house.operations.run_custom("deaf", "ana").await.unwrap().id;
    let (near, far, pid) = (house.pid("near").await, house.pid("far").await, house.pid("pid").await);
    let begun = Instant::now();
    let asked = house.operations.cancel(id).await.unwrap();
    assert_eq!((asked.state, asked.wish.is_some()), (State::Running, true));
    let end = house.reach(id, State::Cancelled).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(end.report.unwrap().detail.contains("signal 9"));
    for process_id in [near, far, pid] {
        until("the end of what it began", || process(process_id).is_none().then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c9_progress_is_read_from_what_a_command_writes() {
    let script = "echo begin; echo ' 25%'; echo '3/4: c.mp4'; echo '{\"done\":4,\"total\":4,\"failed\":1,\"message\":\"last\"}'; \
        echo bad >&2; exit 3";
    let house = House::new(vec![shell("copy", script)]);
    let id = house.operations.run_custom("copy", "ana").await.unwrap().id;
    let end = house.reach(id, State::Failed).await;
    let progress = &end.progress;
    assert_eq!((progress.done, progress.total, progress.failed), (Some(4), Some(4), Some(1)));
    assert_eq!((progress.percent, progress.message.as_deref()), (Some(100.0), Some("last")));
    let report = end.report.unwrap();
    assert_eq!(report.exit_code, Some(3));
    let mut output = report.output;
    output.sort();
    assert_eq!(output, ["bad", "begin"]);
    assert!(!end.interrupted, "failed is not interrupted");
}

#[tokio::test(flavor = "multi_thread")]
async fn c9_a_command_gets_no_shell_and_nothing_of_our_environment() {
    let house = House::new(vec![
        command("print", &["printf", "%s\\n", "$(id); `id`", "a b"]),
        command("environment", &["env"]),
        command("missing", &["/no/such/program"]),
    ]);
    let print = house.operations.run_custom("print", "ana").await.unwrap().id;
    let lines = house.reach(print, State::Completed).await.report.unwrap().output;
    assert_eq!(lines, ["$(id); `id`", "a b"]);
    let environment = house.operations.run_custom("environment", "ana").await.unwrap().id;
    let lines = house.reach(environment, State::Completed).await.report.unwrap().output;
    let known = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LOGMEDIC_OPERATION"];
    for line in &lines {
        assert!(known.contains(&line.split('=').next().unwrap()), "{line}");
    }
    assert!(std::env::vars().count() > known.len(), "we have more than that");
    let missing = house.operations.run_custom("missing", "ana").await.unwrap().id;
    let detail = house.reach(missing, State::Failed).await.report.unwrap().detail;
    assert!(detail.contains("/no/such/program") && detail.contains("argv"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c9_a_command_ends_at_its_timeout_and_its_output_stays_bounded() {
    let script = "yes 'a line of output that never ends'";
    let house = House::new(vec![CommandSpec { timeout: Some(Duration::from_millis(300)), ..shell("yes", script) }]);
    let id = house.operations.run_custom("yes", "ana").await.unwrap().id;
    let report = house.reach(id, State::Failed).await.report.unwrap();
    assert!(report.detail.contains("ran longer"), "{}", report.detail);
    assert!(report.output.len() <= 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_processor_and_memory_of_the_whole_tree_are_measured() {
    let house = House::new(vec![shell(
        "tree",
        "sh -c 'while :; do :; done' & n=0; while :; do n=$((n+1)); [ $((n % 20000)) = 0 ] && echo \"$((n / 20000))/1000000\"; done",
    )]);
    let mut told = house.operations.progress();
    let id = house.operations.run_custom("tree", "ana").await.unwrap().id;
    let busy = loop {
        let now = told.recv().await.unwrap();
        if now.id == id && now.progress.usage.is_some_and(|usage| usage.cpu_ms > 0 && usage.cpu_percent > 0.0) {
            break now;
        }
    };
    let usage = busy.progress.usage.unwrap();
    assert!(usage.own_processes && usage.memory_bytes > 100_000, "{usage:?}");
    assert!(busy.progress.per_second.is_some_and(|rate| rate > 0.0) && busy.progress.eta_s.is_some());
    house.operations.cancel(id).await.unwrap();
    house.reach(id, State::Cancelled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c9_a_schedule_begins_it_and_a_missed_time_is_made_up_for_once() {
    let every = |period| Some(Schedule::Every(period));
    let often = CommandSpec { schedule: every(Duration::from_secs(1)), ..shell("often", "echo x >> runs") };
    let house = House::new(vec![often.clone()]);
    let runs = house.path("runs");
    until("two runs", || (std::fs::read_to_string(&runs).ok()?.len() >= 4).then_some(())).await;
    let by = house.operations.list(None, None, None, 10).unwrap().pop().unwrap().1.by;
    assert_eq!(by, "schedule");
    let dir = house.close().await;
    until("the state to be free", || logmedic::ledger::Ledger::open(&dir.path().join("state")).ok()).await;
    // For a day nobody ran it; every hour it was due.
    {
        let ledger = logmedic::ledger::Ledger::open(&dir.path().join("state")).unwrap();
        ledger.set_fact("schedule:often", "2020-01-01T00:00:00.000Z".into()).await.unwrap();
    }
    let _ = std::fs::remove_file(dir.path().join("runs"));
    let hourly = CommandSpec { schedule: every(Duration::from_secs(3600)), ..often };
    let house = House::again(dir, vec![hourly], |_| {});
    let runs = house.path("runs");
    until("the run that was missed", || runs.exists().then_some(())).await;
    let id = house.operations.list(None, None, None, 1).unwrap().remove(0).1.id;
    house.reach(id, State::Completed).await;
    house.close().await;
    assert_eq!(std::fs::read_to_string(&runs).unwrap_or("x\n".into()), "x\n", "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn c9_the_same_command_never_runs_twice_at_once() {
    let house = House::new(vec![shell("busy", BUSY)]);
    let id = house.operations.run_custom("busy", "ana").await.unwrap().id;
    let again = house.operations.run_custom("busy", "ana").await.unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
    assert!(house.operations.run_custom("none", "ana").await.unwrap_err().to_string().contains("[[operation]]"));
    house.operations.cancel(id).await.unwrap();
    house.reach(id, State::Cancelled).await;
    assert!(house.operations.cancel(id).await.unwrap_err().to_string().contains("cancelled already"));
    house.operations.run_custom("busy", "ana").await.unwrap();
}
