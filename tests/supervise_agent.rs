//! Supervises with an agent in a process of its own: `kill -9` of it, a stuck terminal (rows A20, A23).
//!
//! This test binary runs itself with only `agent` selected.
#![allow(clippy::unwrap_used, missing_docs)]

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use logmedic::supervise::{BotSpec, RestartWhen, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer, on a machine however busy.
const LONG: Duration = Duration::from_secs(60);

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

/// Whether each thread of it is stopped.
fn all_stopped(pid: u32) -> bool {
    let stat = |task: fs::DirEntry| fs::read_to_string(task.path().join("stat")).unwrap_or_default();
    fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .all(|task| stat(task.unwrap()).rsplit_once(')').is_none_or(|(_, state)| state.starts_with(" T")))
}

async fn pid_in(file: &Path) -> i32 {
    until("a process number", || fs::read_to_string(file).is_ok_and(|t| t.ends_with('\n'))).await;
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

/// Not a test of its own: the agent's process of the tests below.
#[test]
#[ignore = "run by other tests"]
fn agent() {
    let Some(dir) = std::env::var_os("SUPERVISE_DIR").map(PathBuf::from) else { return };
    let script = fs::read_to_string(dir.join("script")).unwrap();
    let command = ["sh", "-c", &script].map(OsString::from).to_vec();
    let mut spec = BotSpec::new(command, dir.join("bot.log"), &dir);
    spec.cwd = Some(dir.clone());
    spec.restart.when = RestartWhen::No;
    spec.log_max = u64::MAX;
    spec.stop_grace = LONG / 2;
    spec.trampoline = Some(env!("CARGO_BIN_EXE_logmedic").into());
    let (events, _keep_events) = mpsc::channel(64);
    let (_keep_commands, commands) = mpsc::channel(1);
    let (spill, _keep_spilled) = mpsc::channel(1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended = runtime.block_on(run(spec, events, commands, spill, CancellationToken::new()));
    fs::write(dir.join("ended"), format!("{}\n", ended.code)).unwrap();
}

/// Ends the agent whatever happens to the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn agent_for(dir: &Path, script: &str, out: Stdio) -> Agent {
    fs::write(dir.join("script"), script).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["agent", "--exact", "--ignored", "--nocapture"])
        .env("SUPERVISE_DIR", dir)
        .env("NOTIFY_SOCKET", "/nowhere")
        .env("LOGMEDIC_TELEGRAM__TOKEN", "secret")
        .stdout(out)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Agent(child)
}

#[tokio::test]
async fn a23_a_stuck_terminal_does_not_hold_up_a_flood_and_the_log_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    // 500,000 lines of 100 bytes and nobody reads the terminal.
    let script = "exec seq -f '%099.0f' 500000";
    let agent = agent_for(dir.path(), script, Stdio::piped());
    until("the flood to end", || dir.path().join("ended").exists()).await;
    let log = fs::read(dir.path().join("bot.log")).unwrap();
    assert_eq!(log.len(), 50_000_000);
    for (number, line) in log.split(|b| *b == b'\n').take(500_000).enumerate() {
        assert_eq!(line, format!("{:099}", number + 1).as_bytes());
    }
    drop(agent);
}

#[tokio::test]
async fn a20_the_terminal_shows_the_output_but_obeys_none_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let script =
        r"printf '\033[31mred\033[0m \033]0;title\007\033[2J10%%\r20%%\n'; env | grep -E 'NOTIFY|LOGMEDIC_TEL'";
    let mut agent = agent_for(dir.path(), script, Stdio::piped());
    let mut shown = String::new();
    std::io::Read::read_to_string(agent.0.stdout.as_mut().unwrap(), &mut shown).unwrap();
    assert!(shown.contains("red 10%\n20%\n"), "{shown:?}");
    assert!(!shown.contains('\x1b') && !shown.contains('\x07'), "{shown:?}");
    // The log has the bytes as they were, and the bot none of the agent's secrets.
    let log = fs::read_to_string(dir.path().join("bot.log")).unwrap();
    assert_eq!(log, "\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2J10%\r20%\n");
}

#[tokio::test]
async fn a20_kill_9_of_the_agent_ends_the_bot_and_its_children_politely() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap 'echo cleaned > cleaned; exit' TERM; setsid sleep 999 & echo $! > child; echo $$ > bot; wait";
    let mut agent = agent_for(dir.path(), script, Stdio::null());
    let (child, bot) = (pid_in(&dir.path().join("child")).await, pid_in(&dir.path().join("bot")).await);
    agent.0.kill().unwrap();
    assert_eq!(agent.0.wait().unwrap().signal(), Some(libc::SIGKILL));
    until("the tree to end", || gone(child) && gone(bot)).await;
    assert!(dir.path().join("cleaned").exists());
}

#[tokio::test]
async fn a20_when_agent_and_shepherd_are_killed_the_next_start_ends_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let script = "sleep 999 & echo $! > child; echo $$ > bot; wait";
    let mut agent = agent_for(dir.path(), script, Stdio::null());
    let (child, bot) = (pid_in(&dir.path().join("child")).await, pid_in(&dir.path().join("bot")).await);
    let stat = fs::read_to_string(format!("/proc/{bot}/status")).unwrap();
    let shepherd = stat.lines().find_map(|l| l.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    assert_eq!(fs::read_to_string(format!("/proc/{shepherd}/comm")).unwrap(), "bot-shepherd\n");
    // Stopped first, so that neither can clean up after the other. (Not the shepherd: the kernel wakes a stopped group
    // whose last parent dies.) One thread takes the signal and stops the others, and on a busy machine that one may run late.
    kill(Pid::from_raw(i32::try_from(agent.0.id()).unwrap()), Signal::SIGSTOP).unwrap();
    until("all threads of the agent to stop", || all_stopped(agent.0.id())).await;
    kill(Pid::from_raw(shepherd), Signal::SIGKILL).unwrap();
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    until("the kernel to end the bot", || gone(bot)).await;
    assert!(!gone(child));

    fs::remove_file(dir.path().join("bot")).unwrap();
    fs::remove_file(dir.path().join("child")).unwrap();
    let next = agent_for(dir.path(), "echo $$ > bot; exec sleep 999", Stdio::null());
    let bot = pid_in(&dir.path().join("bot")).await;
    assert!(gone(child), "the leftover was not ended before the new start");
    drop(next);
    until("the tree to end", || gone(bot)).await;
}
