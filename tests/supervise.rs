//! Supervises real programs: exit codes, signals, escaped children, output, restarts (rows A20, A23).
#![allow(clippy::unwrap_used, missing_docs)]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use logmedic::supervise::{BotCommand, BotEvent, BotSpec, Ended, RestartPolicy, RestartWhen, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer, on a machine however busy.
const LONG: Duration = Duration::from_secs(60);

struct Rig {
    dir: TempDir,
    spec: BotSpec,
}

struct Live {
    events: mpsc::Receiver<BotEvent>,
    commands: mpsc::Sender<BotCommand>,
    spilled: mpsc::Receiver<Vec<u8>>,
    stop: CancellationToken,
    task: JoinHandle<Ended>,
    log: PathBuf,
}

impl Rig {
    fn new<const N: usize>(command: [&str; N]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = BotSpec::new(command.map(OsString::from).to_vec(), dir.path().join("bot.log"), dir.path());
        spec.cwd = Some(dir.path().into());
        spec.terminal = false;
        spec.restart.when = RestartWhen::No;
        spec.trampoline = Some(env!("CARGO_BIN_EXE_logmedic").into());
        Self { dir, spec }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self) -> Live {
        let (events_in, events) = mpsc::channel(64);
        let (commands, commands_out) = mpsc::channel(8);
        let (spill, spilled) = mpsc::channel(4096);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(self.spec.clone(), events_in, commands_out, spill, stop.clone()));
        Live { events, commands, spilled, stop, task, log: self.spec.log.clone() }
    }

    async fn ended(&self) -> Ended {
        self.start().ended().await
    }
}

impl Live {
    async fn ended(self) -> Ended {
        tokio::time::timeout(LONG, self.task).await.expect("the run does not end").unwrap()
    }

    async fn event(&mut self) -> BotEvent {
        tokio::time::timeout(LONG, self.events.recv()).await.expect("no event comes").expect("no more events")
    }

    async fn pid(&mut self) -> i32 {
        loop {
            if let BotEvent::Started { pid, .. } = self.event().await {
                return i32::try_from(pid).unwrap();
            }
        }
    }

    /// Until the log holds all of these.
    async fn log_has(&self, words: &[&str]) {
        until("the log to hold what the bot says", || {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            words.iter().all(|word| log.contains(word))
        })
        .await;
    }
}

/// Looks until it is so; the only wait in these tests, bounded.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !so() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A zombie whose new parent has not looked yet is as good as gone.
fn gone(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |s| s[s.rfind(')').unwrap()..].starts_with(") Z"))
}

async fn pid_in(file: &Path) -> i32 {
    until("a process number", || fs::read_to_string(file).is_ok_and(|t| t.ends_with('\n'))).await;
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

fn log(rig: &Rig) -> String {
    fs::read_to_string(&rig.spec.log).unwrap_or_default()
}

#[tokio::test]
async fn a20_exit_code_is_the_bots_own() {
    let ended = Rig::new(["sh", "-c", "echo out; echo err >&2; exit 7"]).ended().await;
    assert_eq!(ended, Ended { code: 7, how: "exit code 7".into() });
    assert_eq!(Rig::new(["true"]).ended().await.code, 0);
}

#[tokio::test]
async fn a20_death_by_signal_n_is_128_and_n() {
    let ended = Rig::new(["sh", "-c", "ulimit -c 0; kill -SEGV $$"]).ended().await;
    assert_eq!(ended, Ended { code: 139, how: "killed by SIGSEGV".into() });
    // A real-time signal has no name but must not go unnoticed.
    assert!(Rig::new(["sh", "-c", "kill -40 $$"]).ended().await.how.contains("killed by a signal"));
}

#[tokio::test]
async fn a20_events_tell_the_story_and_both_outputs_are_logged() {
    let rig = Rig::new(["sh", "-c", "echo out; echo err >&2; exit 7"]);
    let mut live = rig.start();
    assert!(matches!(live.event().await, BotEvent::Started { restarts: 0, .. }));
    assert!(matches!(live.event().await, BotEvent::Exited { code: 7, wanted: false, .. }));
    live.ended().await;
    let log = log(&rig);
    assert!(log.contains("out\n") && log.contains("err\n"), "{log}");
    assert_eq!(fs::metadata(&rig.spec.log).unwrap().permissions().mode() & 0o777, 0o640);
}

#[tokio::test]
async fn a20_a_stop_reaches_the_whole_tree_and_keeps_the_bots_code() {
    let script = r#"
        trap 'echo bot-asked; exit 3' TERM
        sh -c 'trap "echo child-asked; exit" TERM; echo child-ready; while :; do sleep 0.05; done' &
        echo bot-ready; wait"#;
    let rig = Rig::new(["sh", "-c", script]);
    let mut live = rig.start();
    live.log_has(&["bot-ready", "child-ready"]).await;
    live.stop.cancel();
    live.pid().await;
    assert!(matches!(live.event().await, BotEvent::Exited { code: 3, wanted: true, .. }));
    assert_eq!(live.ended().await.code, 3);
    assert!(log(&rig).contains("bot-asked") && log(&rig).contains("child-asked"));
}

#[tokio::test]
async fn a20_ctrl_c_arrives_as_an_interrupt() {
    let script =
        "import time\nprint('ready')\ntry:\n  time.sleep(99)\nexcept KeyboardInterrupt:\n  raise SystemExit(5)";
    let live = Rig::new(["python3", "-c", script]);
    let live = live.start();
    live.log_has(&["ready"]).await;
    live.commands.send(BotCommand::Stop { signal: libc::SIGINT }).await.unwrap();
    live.stop.cancel();
    assert_eq!(live.ended().await.code, 5);
}

#[tokio::test]
async fn a20_a_second_ctrl_c_kills_at_once() {
    let rig = Rig::new(["sh", "-c", "trap '' INT TERM; echo ready; while :; do sleep 1; done"]);
    let live = rig.start();
    live.log_has(&["ready"]).await;
    let begun = Instant::now();
    for _ in 0..2 {
        live.commands.send(BotCommand::Stop { signal: libc::SIGINT }).await.unwrap();
    }
    assert_eq!(live.ended().await.code, 137);
    assert!(begun.elapsed() < rig.spec.stop_grace, "it waited for the grace");
}

#[tokio::test]
async fn a20_signals_are_passed_to_the_bot_alone() {
    let script = "trap 'echo got-usr1; exit 0' USR1; sleep 99 & echo $! > child; echo ready; wait";
    let rig = Rig::new(["sh", "-c", script]);
    let live = rig.start();
    live.log_has(&["ready"]).await;
    live.commands.send(BotCommand::Signal(libc::SIGUSR1)).await.unwrap();
    assert_eq!(live.ended().await.code, 0);
    assert!(log(&rig).contains("got-usr1"));
}

#[tokio::test]
async fn a20_a_child_that_escaped_and_ignores_everything_is_killed() {
    // Own session, forked twice, deaf: only a subreaper still finds it.
    let script = r#"
        setsid sh -c 'trap "" TERM INT HUP; (echo $$ > dead; sh -c "echo \$\$ > escaped; exec sleep 999") & exit' &
        trap '' TERM; echo $$ > bot; while :; do sleep 0.1; done"#;
    let mut rig = Rig::new(["sh", "-c", script]);
    rig.spec.stop_grace = Duration::from_millis(300);
    let live = rig.start();
    let escaped = pid_in(&rig.path("escaped")).await;
    let bot = pid_in(&rig.path("bot")).await;
    live.stop.cancel();
    let ended = live.ended().await;
    assert_eq!(ended, Ended { code: 137, how: "killed by SIGKILL".into() });
    assert!(gone(escaped) && gone(bot));
}

#[tokio::test]
async fn a20_a_grandchild_that_holds_the_pipe_does_not_hang_us() {
    let rig = Rig::new(["sh", "-c", "sleep 999 & echo $! > child; exit 4"]);
    let begun = Instant::now();
    assert_eq!(rig.ended().await.code, 4);
    assert!(begun.elapsed() < rig.spec.stop_grace);
    assert!(gone(pid_in(&rig.path("child")).await));
}

#[tokio::test]
async fn a20_restarts_back_off_and_have_a_limit() {
    let mut rig = Rig::new(["sh", "-c", "echo run; exit 9"]);
    rig.spec.restart = RestartPolicy {
        base: Duration::from_millis(10),
        cap: Duration::from_millis(20),
        max_restarts: 3,
        jitter: 0.0,
        ..RestartPolicy::default()
    };
    let mut live = rig.start();
    let mut delays = Vec::new();
    let given_up = loop {
        match live.event().await {
            BotEvent::RestartIn { delay, .. } => delays.push(delay.as_millis()),
            BotEvent::GaveUp { restarts } => break restarts,
            BotEvent::Started { .. } | BotEvent::Exited { .. } => {}
        }
    };
    assert_eq!((delays, given_up), (vec![10, 20, 20], 3));
    assert_eq!(live.ended().await.code, 9);
    assert_eq!(log(&rig).matches("run\n").count(), 4);
}

#[tokio::test]
async fn a20_a_wanted_restart_is_no_failure_and_a_stop_ends_the_pause() {
    let mut rig = Rig::new(["sh", "-c", "echo up; exec sleep 999"]);
    rig.spec.restart = RestartPolicy { max_restarts: 0, ..RestartPolicy::default() };
    let mut live = rig.start();
    let first = live.pid().await;
    live.log_has(&["up"]).await;
    live.commands.send(BotCommand::Restart { reason: "test".into() }).await.unwrap();
    assert!(matches!(live.event().await, BotEvent::Exited { code: 143, wanted: true, .. }));
    assert!(matches!(live.event().await, BotEvent::Started { restarts: 1, .. }));
    assert!(gone(first));
    live.stop.cancel();
    assert_eq!(live.ended().await.code, 143);

    let mut rig = Rig::new(["false"]);
    rig.spec.restart = RestartPolicy { base: LONG * 9, cap: LONG * 9, ..RestartPolicy::default() };
    let mut live = rig.start();
    while !matches!(live.event().await, BotEvent::RestartIn { .. }) {}
    live.stop.cancel();
    assert_eq!(live.ended().await.code, 1);
}

#[tokio::test]
async fn a20_a_command_that_cannot_run_has_the_shells_codes_and_a_reason() {
    let ended = Rig::new(["no-such-program-here"]).ended().await;
    assert_eq!(ended.code, 127);
    assert!(ended.how.contains("command not found"), "{}", ended.how);
    assert_eq!(Rig::new(["./missing"]).ended().await.code, 127);

    let rig = Rig::new(["./plain"]);
    fs::write(rig.path("plain"), "data").unwrap();
    let ended = rig.ended().await;
    assert_eq!(ended.code, 126);
    assert!(ended.how.contains("chmod +x"), "{}", ended.how);
    assert_eq!(Rig::new(["/"]).ended().await.code, 126);

    // What only shows when it is run: the interpreter is missing.
    let rig = Rig::new(["./script"]);
    fs::write(rig.path("script"), "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(rig.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(rig.ended().await.code, 127);
    assert!(log(&rig).contains("failed to start ./script"), "{}", log(&rig));

    let mut rig = Rig::new(["true"]);
    rig.spec.cwd = Some(rig.path("nowhere"));
    assert_eq!(rig.ended().await.code, 126);
}

#[tokio::test]
async fn a20_python_does_not_hold_its_output_back() {
    let script = "import os, time\nprint('seen', os.environ['PYTHONUNBUFFERED'])\ntime.sleep(999)";
    let live = Rig::new(["python3", "-c", script]);
    let live = live.start();
    live.log_has(&["seen 1"]).await;
    live.stop.cancel();
    live.ended().await;

    let mut rig = Rig::new(["sh", "-c", "echo is=$PYTHONUNBUFFERED"]);
    rig.spec.env.push(("PYTHONUNBUFFERED".into(), String::new()));
    rig.ended().await;
    assert_eq!(log(&rig), "is=\n");
}

#[tokio::test]
async fn a20_a_line_without_end_is_logged_soon() {
    let live = Rig::new(["sh", "-c", "printf 'phone number: '; exec sleep 999"]);
    let live = live.start();
    live.log_has(&["phone number: "]).await;
    live.stop.cancel();
    live.ended().await;
}

#[tokio::test]
async fn a20_the_bot_starts_with_clean_signals_and_a_session_of_its_own() {
    // Field 6 of stat is the session; SigIgn and SigBlk come from status.
    let rig = Rig::new(["sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f6 /proc/$$/stat; echo $$"]);
    rig.ended().await;
    let log = log(&rig);
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].ends_with("0000000000000000"), "{log}");
    assert_eq!(lines[2], lines[3], "{log}");
    let sigpipe = 1_u64 << (libc::SIGPIPE - 1);
    let ignored = u64::from_str_radix(lines[1].split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(ignored & sigpipe, 0, "a bot that ignores SIGPIPE spins when its reader is gone");
}

#[tokio::test]
async fn a20_the_log_is_rotated() {
    let script = "echo 0123456789-1; until [ -e go ]; do sleep 0.02; done; echo 0123456789-2";
    let mut rig = Rig::new(["sh", "-c", script]);
    rig.spec.log_max = 20;
    let live = rig.start();
    live.log_has(&["0123456789-1\n"]).await;
    fs::write(rig.path("go"), "").unwrap();
    live.ended().await;
    assert_eq!(fs::read_to_string(rig.path("bot.log.1")).unwrap(), "0123456789-1\n");
    assert_eq!(log(&rig), "0123456789-2\n");
}

#[tokio::test]
async fn a20_a_log_that_somebody_rotated_is_opened_again() {
    let rig = Rig::new(["sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done"]);
    let live = rig.start();
    live.log_has(&["line 1\n"]).await;
    fs::rename(&rig.spec.log, rig.path("moved")).unwrap();
    live.log_has(&["line "]).await;
    live.stop.cancel();
    live.ended().await;
    let all = fs::read_to_string(rig.path("moved")).unwrap() + &log(&rig);
    for (number, line) in all.lines().enumerate() {
        assert_eq!(line, format!("line {}", number + 1));
    }
}

#[tokio::test]
async fn a23_a_full_disk_under_the_log_spills_whole_lines_and_loses_none() {
    if !geteuid().is_root() {
        println!("skipped: only root can mount a tiny file system");
        return;
    }
    let mut rig = Rig::new(["seq", "-f", "line number %07.0f of the flood", "10000"]);
    let disk = rig.path("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(&disk).status();
    if !mounted.is_ok_and(|s| s.success()) {
        println!("skipped: mounting is not allowed here");
        return;
    }
    rig.spec.log = disk.join("bot.log");
    let mut live = rig.start();
    let mut spilled = Vec::new();
    while let Some(bytes) = live.spilled.recv().await {
        spilled.extend(bytes);
    }
    let ended = live.ended().await;
    let logged = fs::read(&rig.spec.log).unwrap_or_default();
    let unmounted = Command::new("umount").arg(&disk).status();
    assert!(unmounted.unwrap().success());
    assert_eq!(ended.code, 0);
    let whole = logged.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let all = String::from_utf8([&logged[..whole], &spilled].concat()).unwrap();
    assert!(whole > 0 && !spilled.is_empty());
    assert_eq!(all.lines().count(), 10_000);
    for (number, line) in all.lines().enumerate() {
        assert_eq!(line, format!("line number {:07} of the flood", number + 1));
    }
}

#[tokio::test]
async fn a23_nobody_listening_does_not_stop_the_bot() {
    let mut rig = Rig::new(["sh", "-c", "echo run; exit 2"]);
    rig.spec.restart = RestartPolicy { base: Duration::ZERO, max_restarts: 2, ..RestartPolicy::default() };
    let Live { task, events, commands, spilled, .. } = rig.start();
    drop((events, commands, spilled));
    assert_eq!(tokio::time::timeout(LONG, task).await.unwrap().unwrap().code, 2);
    assert_eq!(log(&rig).matches("run\n").count(), 3);
}

#[tokio::test]
async fn a20_a_dropped_run_takes_its_tree_along() {
    let rig = Rig::new(["sh", "-c", "sleep 999 & echo $! > child; echo $$ > bot; wait"]);
    let live = rig.start();
    let (child, bot) = (pid_in(&rig.path("child")).await, pid_in(&rig.path("bot")).await);
    live.task.abort();
    until("the tree to end", || gone(child) && gone(bot)).await;
}

#[tokio::test]
async fn h1_root_drops_to_the_bots_user_with_its_groups_and_its_home() {
    if !geteuid().is_root() {
        println!("skipped: only root can become somebody else");
        return;
    }
    let mut rig = Rig::new(["sh", "-c", "id -un; id -gn; id -G; echo $HOME $USER; grep CapEff /proc/self/status"]);
    fs::set_permissions(rig.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    rig.spec.user = Some("nobody".into());
    assert_eq!(rig.ended().await.code, 0);
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let log = log(&rig);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "nobody");
    assert_eq!(lines[2], nobody.gid.to_string(), "root's groups must be gone");
    assert_eq!(lines[3], format!("{} nobody", nobody.dir.display()));
    assert!(lines[4].ends_with("0000000000000000"), "{log}");
    assert_eq!(fs::metadata(&rig.spec.log).unwrap().uid(), nobody.uid.as_raw());

    rig.spec.user = Some("no-such-user-here".into());
    assert_eq!(rig.ended().await.code, 78);
}

#[tokio::test]
async fn h1_a_link_planted_at_the_log_never_makes_root_write_elsewhere() {
    if !geteuid().is_root() {
        println!("skipped: needs root and another user");
        return;
    }
    let mut rig = Rig::new(["echo", "evil::0:0"]);
    fs::set_permissions(rig.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let victim = tempfile::NamedTempFile::new().unwrap();
    fs::write(victim.path(), "untouched").unwrap();
    symlink(victim.path(), &rig.spec.log).unwrap();
    rig.spec.user = Some("nobody".into());
    let mut live = rig.start();
    assert_eq!(live.spilled.recv().await.unwrap(), b"evil::0:0\n");
    assert_eq!(live.ended().await.code, 0);
    assert_eq!(fs::read_to_string(victim.path()).unwrap(), "untouched");
}

#[tokio::test]
async fn a20_a_shepherd_that_is_killed_takes_the_tree_along_and_is_reported() {
    let rig = Rig::new(["sh", "-c", "sleep 999 & echo $! > child; wait"]);
    let mut live = rig.start();
    let bot = live.pid().await;
    let child = pid_in(&rig.path("child")).await;
    let status = fs::read_to_string(format!("/proc/{bot}/status")).unwrap();
    let shepherd = status.lines().find_map(|l| l.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(shepherd), Signal::SIGKILL).unwrap();
    let ended = live.ended().await;
    assert_eq!(ended.code, 137);
    assert!(ended.how.contains("shepherd"), "{}", ended.how);
    assert!(gone(bot) && gone(child));
}
