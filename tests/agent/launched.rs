//! Commands that outlive the agent: run once whatever dies, ended when they should be (rows A3, A9, A16).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use logmedic::launch::Runs;
use logmedic::launch::wire::{How, MAX_MESSAGE, Request, Told, word_for};
use logmedic::vocab::{Id, Rng};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::repair::{lost, night, runs, story};
use super::rig::{Agent, LONG, Night, no_gap, of, until};

/// The processes that run commands for this folder.
pub fn launchers(night: &Night) -> Vec<i32> {
    let all = of_launchers(night);
    all.iter().filter(|(_, parent)| all.iter().all(|(pid, _)| pid != parent)).map(|(pid, _)| *pid).collect()
}

/// The processes that wait for a command, or are about to become it.
fn spares(night: &Night) -> Vec<i32> {
    let all = of_launchers(night);
    all.iter().filter(|(_, parent)| all.iter().any(|(pid, _)| pid == parent)).map(|(pid, _)| *pid).collect()
}

/// Both, each with its parent.
fn of_launchers(night: &Night) -> Vec<(i32, i32)> {
    let wanted = format!("__launch\0{}\0", night.path("state/runs").display());
    let all = processes(|dir| {
        fs::read(dir.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&wanted))
    });
    let parent = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    };
    all.into_iter().filter_map(|pid| Some((pid, parent(&pid)?))).collect()
}

fn processes(is: impl Fn(&Path) -> bool) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|dir| is(dir)).filter_map(|dir| dir.file_name()?.to_str()?.parse().ok()).collect()
}

/// Gone, or a zombie that nobody has collected yet.
pub fn is_gone(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.contains("State:\tZ")
}

pub fn kill_9(pid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// A folder whose command waits at a gate after it noted that it runs.
pub fn gated(extra: &str) -> (Night, Gate) {
    let night = night(&format!("[retry]\nbase = '20ms'\n{extra}"), "read go < gate");
    let gate = night.path("gate");
    // The script runs wherever the agent runs it: the gate is named in full.
    let script = night.text("fetch.sh").replace("< gate", &format!("< {}", gate.display()));
    fs::write(night.path("fetch.sh"), script).unwrap();
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    (night, Gate(gate))
}

pub struct Gate(PathBuf);

impl Gate {
    /// Lets one command through.
    pub fn open(&self) {
        writeln!(fs::OpenOptions::new().write(true).open(&self.0).unwrap(), "go").unwrap();
    }
}

/// Starts the agent, and a command that waits at the gate. Returns the command's process.
fn at_the_gate(night: &Night) -> (Agent, String, i32) {
    let agent = night.start_reading();
    let path = lost(night, "models/a.gz");
    until("the command to begin", || (runs(night) == 1).then_some(()));
    (agent, path, night.text("runs").trim().parse().unwrap())
}

/// What the run's file says in its last line, once it is over.
fn told_end(night: &Night) -> String {
    until("the end of the run in its file", || {
        let of_run = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 26);
        let mut files = fs::read_dir(night.path("state/runs")).ok()?.map(|entry| entry.unwrap().path());
        let text = fs::read_to_string(files.find(of_run)?).ok()?;
        text.lines().nth(1).filter(|_| text.ends_with('\n')).map(str::to_owned)
    })
}

const ONCE: [&str; 4] = ["error", "redownload started null", "redownload finished true", "healed"];

#[test]
fn a3_a_command_goes_on_through_kill_9_of_the_agent_and_is_adopted() {
    let (night, gate) = gated("");
    let (agent, path, command) = at_the_gate(&night);
    let launcher = launchers(&night);
    assert_eq!(launcher.len(), 1);
    agent.kill();
    let agent = night.start();
    until("the next launcher", || (launchers(&night).len() == 2).then_some(()));
    assert!(!is_gone(command), "nobody ended it");
    gate.open();
    assert_eq!(night.outcome(&path)["result"], "healed");
    let all = night.records();
    no_gap(&all);
    assert_eq!((story(&all), runs(&night)), (ONCE.map(str::to_owned).to_vec(), 1), "begun once, told once");
    let finished = &of(&all, "action")[1];
    assert_eq!((&finished["attempt"], &finished["evidence"]["exit_code"]), (&1.into(), &0.into()));
    assert!(finished["evidence"]["adopted"].is_string(), "{finished}");
    until("the first launcher to end", || is_gone(launcher[0]).then_some(()));
    agent.stop();
    until("the second launcher to end", || launchers(&night).is_empty().then_some(()));
}

#[test]
fn a3_what_a_command_did_while_nobody_was_there_is_asked_for_not_repeated() {
    let (night, gate) = gated("");
    let (agent, path, _) = at_the_gate(&night);
    agent.kill();
    gate.open();
    assert!(told_end(&night).contains("{\"code\":0}"));
    until("the launcher to end", || launchers(&night).is_empty().then_some(()));
    let _agent = night.start();
    assert_eq!(night.outcome(&path)["result"], "healed");
    assert_eq!((story(&night.records()), runs(&night)), (ONCE.map(str::to_owned).to_vec(), 1));
    no_gap(&night.records());
}

#[test]
fn a9_a_command_is_ended_at_its_limit_while_no_agent_lives() {
    let night = night("timeout = '2s'\n[retry]\nattempts = 1\nbase = '20ms'\n", "sleep 300 & wait");
    let (agent, path, command) = at_the_gate(&night);
    agent.kill();
    assert!(told_end(&night).contains("overtime"));
    until("the command to end", || is_gone(command).then_some(()));
    until("the launcher to end", || launchers(&night).is_empty().then_some(()));
    let _agent = night.start();
    let outcome = night.outcome(&path);
    assert_eq!(outcome["result"], "exhausted");
    assert!(outcome["detail"].as_str().unwrap().contains("longer than 2 s"), "{outcome}");
    assert_eq!(runs(&night), 1);
    no_gap(&night.records());
}

#[test]
fn a9_a_stop_of_the_agent_ends_commands_and_their_launcher() {
    let (night, gate) = gated("");
    let (agent, path, command) = at_the_gate(&night);
    agent.stop();
    until("the command to end", || is_gone(command).then_some(()));
    until("the launcher to end", || launchers(&night).is_empty().then_some(()));
    let _agent = night.start();
    until("the command to begin again", || (runs(&night) == 2).then_some(()));
    gate.open();
    assert_eq!(night.outcome(&path)["result"], "healed");
    let all = night.records();
    assert_eq!(of(&all, "action")[1]["detail"], "stopped at a safe point");
    no_gap(&all);
}

#[test]
fn a9_a_stop_ends_a_command_that_was_adopted_too() {
    let (night, _gate) = gated("");
    let (agent, _, command) = at_the_gate(&night);
    agent.kill();
    let since = logmedic::vocab::rfc3339(chrono::Utc::now());
    let agent = night.start();
    until("the repair's turn in the next agent", || {
        let sql = format!("SELECT count(*) FROM operation WHERE state = 'running' AND created_at > '{since}'");
        (night.count(&sql) == 1).then_some(())
    });
    assert!(!is_gone(command));
    agent.stop();
    until("the command to end", || is_gone(command).then_some(()));
    until("the launchers to end", || launchers(&night).is_empty().then_some(()));
    assert_eq!(of(&night.records(), "action")[1]["detail"], "stopped at a safe point");
    no_gap(&night.records());
}

#[test]
fn a16_a_launcher_that_dies_is_replaced_and_its_command_ended_and_asked_about() {
    let (night, gate) = gated("");
    let (_agent, path, command) = at_the_gate(&night);
    let first = launchers(&night);
    kill_9(first[0]);
    until("the command to begin again", || (runs(&night) == 2).then_some(()));
    assert!(is_gone(command), "what the dead one left is ended before anything is repeated");
    gate.open();
    assert_eq!(night.outcome(&path)["result"], "healed");
    let all = night.records();
    no_gap(&all);
    let actions = of(&all, "action");
    assert_eq!((&actions[1]["ok"], &actions[2]["attempt"]), (&false.into(), &1.into()), "a cut does not count");
    assert!(night.text("err").contains("another one is started"), "{}", night.text("err"));
    assert_ne!(launchers(&night), first);
    // One that dies while it has nothing to do costs nothing.
    kill_9(launchers(&night)[0]);
    let path = lost(&night, "models/b.gz");
    until("the command to begin", || (runs(&night) == 3).then_some(()));
    gate.open();
    assert_eq!(night.outcome(&path)["result"], "healed");
    assert_eq!(runs(&night), 3);
}

#[test]
fn a16_what_waits_for_a_command_is_replaced_when_it_is_killed_and_ends_with_its_launcher() {
    let (night, gate) = gated("");
    let _agent = night.start_reading();
    let spare = || until("what waits for a command", || spares(&night).first().copied());
    for _ in 0..2 {
        let waits = spare();
        kill_9(waits);
        until("its end", || is_gone(waits).then_some(()));
    }
    let path = lost(&night, "models/a.gz");
    until("the command to begin", || (runs(&night) == 1).then_some(()));
    gate.open();
    assert_eq!(night.outcome(&path)["result"], "healed");
    let waits = spare();
    kill_9(launchers(&night)[0]);
    until("it to end with its launcher", || is_gone(waits).then_some(()));
    let path = lost(&night, "models/b.gz");
    until("the command to begin", || (runs(&night) == 2).then_some(()));
    gate.open();
    assert_eq!(night.outcome(&path)["result"], "healed");
    assert_eq!(runs(&night), 2);
    no_gap(&night.records());
}

#[test]
fn h4_a_command_that_talks_without_end_does_not_make_the_launcher_grow() {
    let night = night("[retry]\nbase = '20ms'\n", "head -c 300000000 /dev/zero; echo whole >&2");
    let _agent = night.start_reading();
    let launcher = until("the launcher", || launchers(&night).first().copied());
    let anonymous = || -> u64 {
        let text = fs::read_to_string(format!("/proc/{launcher}/status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let before = anonymous();
    let path = lost(&night, "models/a.gz");
    assert_eq!(night.outcome(&path)["result"], "healed");
    assert!(anonymous() < before + 1024, "{before} kB before, {} kB after", anonymous());
    let output = of(&night.records(), "action")[1]["evidence"]["output"].as_str().unwrap().to_owned();
    assert!(output.ends_with("whole") && output.len() < 3 * 4096 * 4, "the end is kept: {}", output.len());
}

/// A launcher without an agent: we speak for it.
struct Raw {
    dir: tempfile::TempDir,
    process: std::process::Child,
    control: OwnedFd,
    work: OwnedFd,
}

impl Raw {
    /// `files`: how many it may have open.
    fn start(files: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("runs")).unwrap();
        Self::start_in(dir, files)
    }

    fn start_in(dir: tempfile::TempDir, files: u32) -> Self {
        let pair = || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let ((control, its_control), (work, its_work)) = (pair(), pair());
        let process = Command::new("prlimit")
            .args([&format!("--nofile={files}:64"), env!("CARGO_BIN_EXE_logmedic"), "__launch"])
            .arg(dir.path().join("runs"))
            .stdin(its_control)
            .stdout(its_work)
            .spawn()
            .unwrap();
        Self { dir, process, control, work }
    }

    fn run(&self, task: Id, argv: &[&str]) {
        self.hand_over(task, argv);
        self.let_begin(task);
    }

    fn hand_over(&self, task: Id, argv: &[&str]) {
        let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
        let request =
            Request { task, argv, env: Vec::new(), cwd: None, user: None, limit_ms: 60_000, note: String::new() };
        send(self.work.as_raw_fd(), &request.to_message(0).unwrap(), MsgFlags::empty()).unwrap();
    }

    /// That it may begin.
    fn let_begin(&self, task: Id) {
        send(self.work.as_raw_fd(), word_for(task).as_bytes(), MsgFlags::empty()).unwrap();
    }

    fn told(&self) -> Told {
        let mut message = vec![0; MAX_MESSAGE];
        let got = recv(self.control.as_raw_fd(), &mut message, MsgFlags::empty()).unwrap();
        serde_json::from_slice(&message[..got]).unwrap()
    }

    /// How that one ended.
    fn ended(&self, wanted: Id) -> How {
        let Told::Ended { task, ended, .. } = self.told() else { panic!("it was begun before") };
        assert_eq!(task, wanted);
        ended.how
    }
}

/// The launcher ends with us, nothing being left to do.
impl Drop for Raw {
    fn drop(&mut self) {
        let (closed, _) = UnixDatagram::pair().unwrap();
        (self.control, self.work) = (closed.try_clone().unwrap().into(), closed.into());
        assert!(self.process.wait().unwrap().success());
    }
}

fn task(number: u64) -> Id {
    Id::new(chrono::DateTime::UNIX_EPOCH, &mut Rng::new(number))
}

#[test]
fn a16_a_command_for_which_there_is_no_room_is_refused_and_the_next_one_runs() {
    let raw = Raw::start(9);
    raw.run(task(1), &["/bin/true"]);
    let How::NotStarted(why) = raw.ended(task(1)) else { panic!("it was started") };
    assert!(why.contains("Too many open files"), "{why}");
    let limit = ["--nofile=64:64".to_owned(), format!("--pid={}", raw.process.id())];
    assert!(Command::new("prlimit").args(limit).status().unwrap().success());
    raw.run(task(2), &["/bin/sh", "-c", "exit 3"]);
    assert_eq!(raw.ended(task(2)), How::Code(3));
}

#[test]
fn a9_a_command_that_is_called_off_before_it_began_is_ended() {
    let raw = Raw::start(64);
    send(raw.control.as_raw_fd(), &serde_json::to_vec(&task(1)).unwrap(), MsgFlags::empty()).unwrap();
    raw.run(task(1), &["/bin/sleep", "300"]);
    assert_eq!(raw.ended(task(1)), How::CalledOff);
}

#[test]
fn a3_a_task_is_begun_once_however_often_it_is_asked_for() {
    let raw = Raw::start(64);
    let count = raw.dir.path().join("count");
    let script = format!("echo x >> {}", count.display());
    raw.run(task(1), &["/bin/sh", "-c", &format!("{script}; sleep 0.2")]);
    // While it runs, and when it is over.
    raw.run(task(1), &["/bin/sh", "-c", &script]);
    assert_eq!(raw.told(), Told::Known(task(1)));
    assert_eq!(raw.ended(task(1)), How::Code(0));
    raw.run(task(1), &["/bin/sh", "-c", &script]);
    assert_eq!(raw.told(), Told::Known(task(1)));
    assert_eq!(fs::read_to_string(count).unwrap(), "x\n");
    // What cannot be begun, and what is killed, are told as that.
    raw.run(task(2), &["/nonexistent/program"]);
    assert!(matches!(raw.ended(task(2)), How::NotStarted(why) if why.contains("No such file")));
    raw.run(task(3), &["/bin/sh", "-c", "kill -9 $$"]);
    assert_eq!(raw.ended(task(3)), How::Signal(9));
}

#[test]
fn a3_a_command_that_was_handed_over_begins_with_its_own_word_alone() {
    let (raw, folder) = (Raw::start(64), tempfile::tempdir().unwrap());
    let (runs, made) = (Runs::new(raw.dir.path().join("runs")), folder.path().join("made"));
    let touch = |number: u64| ["/usr/bin/touch".to_owned(), format!("{}{number}", made.display())];
    let hand_over = |number: u64| raw.hand_over(task(number), &touch(number).each_ref().map(String::as_str));
    let is_made = |number: u64| fs::exists(touch(number)[1].as_str()).unwrap();
    hand_over(1);
    until("the claim", || runs.look(task(1)));
    // Void: another follows. That one begins, once its word is there; one for another task is none.
    hand_over(2);
    until("the claim of the next", || runs.look(task(2)).filter(|_| runs.look(task(1)).is_none()));
    raw.let_begin(task(1));
    hand_over(3);
    raw.let_begin(task(3));
    assert_eq!(raw.ended(task(3)), How::Code(0));
    hand_over(2);
    raw.let_begin(task(2));
    assert_eq!(raw.ended(task(2)), How::Code(0));
    assert_eq!([1, 2, 3].map(is_made), [false, true, true]);
    // The agent dies before it says that one may begin.
    hand_over(4);
    until("the claim of the last", || runs.look(task(4)));
    drop(raw);
    assert!(!is_made(4));
}

#[test]
fn a12_what_a_command_is_for_is_written_down_before_it_begins() {
    let night = night("[retry]\nbase = '0s'\n", "cat ahead > seen.$LOGMEDIC_TASK");
    let (ahead, seen) = (night.path("state/ahead"), night.path("seen"));
    let script = night.text("fetch.sh").replace("ahead > seen", &format!("{} > {}", ahead.display(), seen.display()));
    fs::write(night.path("fetch.sh"), script).unwrap();
    let agent = night.start_reading();
    for count in 1..=3 {
        lost(&night, &format!("models/{count}.gz"));
        until("the repair", || (of(&night.records(), "outcome").len() == count).then_some(()));
    }
    agent.stop();
    let entries = fs::read_dir(night.path("")).unwrap().map(|entry| entry.unwrap().path());
    let seen: Vec<PathBuf> = entries.filter(|path| path.file_stem().is_some_and(|stem| stem == "seen")).collect();
    assert_eq!(seen.len(), 3);
    for seen in seen {
        let (task, announced) = (seen.extension().unwrap().to_str().unwrap(), fs::read(&seen).unwrap());
        assert!(announced.windows(task.len()).any(|window| window == task.as_bytes()), "{task}");
    }
}

#[test]
fn a16_a_command_runs_where_nothing_can_be_written_down_and_that_is_told_until_it_can() {
    let raw = Raw::start_in(tempfile::tempdir().unwrap(), 64);
    let runs = raw.dir.path().join("runs");
    let gate = raw.dir.path().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ended = |number| {
        let Told::Ended { task: of, ended, unrecorded } = raw.told() else { panic!("it was begun before") };
        assert_eq!((of, ended.how), (task(number), How::Code(0)));
        (unrecorded, runs.join(of.to_string()).exists())
    };
    raw.run(task(1), &["/bin/cat", &gate.display().to_string()]);
    let through = fs::OpenOptions::new().write(true).open(&gate).unwrap();
    // The process that waits for the next command could not open the file of claims: a claim of its own would end with it.
    let mark = runs.display().to_string();
    let waits = |dir: &Path| {
        let is = |name, text: &str| {
            fs::read(dir.join(name)).is_ok_and(|found| String::from_utf8_lossy(&found).contains(text))
        };
        is("cmdline", &mark) && is("comm", "cmd-spare")
    };
    until("the next process", || processes(waits).pop());
    fs::create_dir(&runs).unwrap();
    drop(through);
    assert!(matches!(ended(1), (Some(why), false) if why.contains("No such file")));
    for (number, written) in [(2, false), (3, true)] {
        raw.run(task(number), &["/bin/true"]);
        let (unrecorded, there) = ended(number);
        assert_eq!((unrecorded.is_none(), there), (written, written), "{number}: {unrecorded:?}");
    }
}

/// Looks often: a moment is wanted, not only the fact. `false`: in vain.
fn soon(mut look: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + LONG;
    while !look() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    true
}

#[test]
fn a3_under_a_stream_of_faults_with_many_kills_every_command_runs_exactly_once() {
    const KILLS: usize = 25;
    const EACH: usize = 4;
    let night = night(
        "[retry]\nbase = '1ms'\njitter = 0\n[budget]\nagent = 100000\nper_class = 100000\n[breaker]\nthreshold = 1000\n",
        "",
    );
    let sound = night.path("sound.gz");
    let script = format!(
        "#!/bin/sh\necho \"$LOGMEDIC_TARGET\" >> {begun}\ncp {sound} \"$1\"\necho end >> {over}\n",
        begun = night.path("runs").display(),
        over = night.path("over").display(),
        sound = sound.display()
    );
    fs::write(night.path("fetch.sh"), script).unwrap();
    let seed = std::env::var("LOGMEDIC_KILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut rng = Rng::new(seed);
    let mut paths = Vec::new();
    let mut fault = |night: &Night| paths.push(lost(night, &format!("models/f{}.gz", paths.len())));
    let mut agent = night.start_reading();
    for _ in 0..KILLS {
        let (begun, over) = (runs(&night), night.text("over").lines().count());
        let seen = night.text("records.jsonl").lines().count();
        for _ in 0..EACH {
            fault(&night);
        }
        let wanted = 1 + usize::try_from(rng.next_u64() % EACH as u64).unwrap();
        // Right after a start, right after an end, or when something was written down.
        let reached = match rng.next_u64() % 3 {
            0 => soon(|| runs(&night) >= begun + wanted),
            1 => soon(|| night.text("over").lines().count() >= over + wanted),
            _ => soon(|| night.text("records.jsonl").lines().count() >= seen + 3 * wanted),
        };
        assert!(reached, "seed {seed}: it does not go on: {}", night.text("err"));
        agent.kill();
        // What happens while nobody looks.
        fault(&night);
        agent = night.start();
    }
    for path in &paths {
        assert_eq!(night.outcome(path)["result"], "healed", "seed {seed}");
    }
    agent.stop();
    let mut times: BTreeMap<String, usize> = paths.iter().map(|path| (path.clone(), 0)).collect();
    for line in night.text("runs").lines() {
        *times.get_mut(line).unwrap() += 1;
    }
    let wrong: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
    assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
    let all = night.records();
    no_gap(&all);
    let started = of(&all, "action").iter().filter(|record| record["phase"] == "started").count();
    assert_eq!((started, of(&all, "outcome").len()), (paths.len(), paths.len()), "seed {seed}: told once");
}
