//! Is the bot's parent process: passes signals on, reaps, and leaves nothing of the tree behind. I/O.
//!
//! `logmedic __exec …` is a hidden command with two stages, each a small process of one thread:
//!
//! - `shepherd` is the *subreaper* of the bot's tree: whatever a bot forks, daemonizes or moves to another session
//!   stays below it, so the tree is exactly "everything below the shepherd", and it can reap with `waitpid(-1)`
//!   without stealing a status from an asynchronous runtime. Its standard input is a socket to the agent. When the
//!   agent dies, even by `kill -9`, the socket ends, and the shepherd ends the tree.
//! - `bot` makes itself a session of its own, drops to the bot's user, asks the kernel to be killed if the shepherd
//!   dies, and becomes the bot's program.
//!
//! Doing this in a program of its own, instead of between fork and exec of the agent, needs no unsafe code and does
//! not tie the bot's life to a thread of the agent (`PR_SET_PDEATHSIG` fires when the *thread* that forked ends).

use std::ffi::{CString, OsString};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, User, getppid, initgroups, setgid, setsid, setuid};

use super::control::{MAX_LINE, Order, Report};
use super::files;
use super::tree;
use super::{NOT_EXECUTABLE, NOT_FOUND};

/// How long one round of SIGKILL waits for deaths before the next looks who is left.
const KILL_ROUND: u16 = 20;

/// What the hidden `__exec` command does; `args` is what follows it. Call it before any thread is started.
#[must_use]
pub fn trampoline(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let stage = args.next().unwrap_or_default();
    let number = args.next().and_then(|n| n.to_str()?.parse::<u64>().ok());
    let user = args.next().map(|u| u.to_string_lossy().into_owned());
    let command: Vec<OsString> = args.collect();
    let (Some(number), Some(user), false) = (number, user, command.is_empty()) else {
        eprintln!("logmedic: __exec is for logmedic itself; use `logmedic run -- COMMAND`");
        return ExitCode::from(2);
    };
    match stage.to_str() {
        Some("shepherd") => match shepherd(Duration::from_millis(number), &user, &command) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("logmedic: failed to look after the bot: {error}");
                ExitCode::from(1)
            }
        },
        Some("bot") => ExitCode::from(become_bot(number, &user, &command)),
        _ => ExitCode::from(2),
    }
}

/// How far the end of the tree has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping { until: Instant },
    Killing,
}

struct Shepherd {
    bot: Pid,
    /// `None` once the agent is gone.
    control: Option<UnixStream>,
    inbox: Vec<u8>,
    grace: Duration,
    phase: Phase,
    /// The bot's own end, as a shell would show it.
    code: Option<u8>,
}

fn shepherd(grace: Duration, user: &str, command: &[OsString]) -> io::Result<u8> {
    prctl::set_name(c"bot-shepherd")?;
    let signals = SigSet::all();
    signals.thread_block()?;
    let signal_fd = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    prctl::set_child_subreaper(true)?;
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    control.set_nonblocking(true)?;

    let child = Command::new("/proc/self/exe")
        .arg0("logmedic")
        .args(["__exec", "bot", &std::process::id().to_string(), user])
        .args(command)
        .stdin(Stdio::null())
        .spawn()?;
    let bot = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let mut shepherd =
        Shepherd { bot, control: Some(control), inbox: Vec::new(), grace, phase: Phase::Running, code: None };
    shepherd.report(Report::Pid(child.id()));
    shepherd.watch(&signal_fd)?;
    Ok(shepherd.code.unwrap_or(1))
}

impl Shepherd {
    /// Until nothing is left of the tree.
    fn watch(&mut self, signals: &SignalFd) -> io::Result<()> {
        loop {
            if !self.reap() {
                return Ok(());
            }
            self.wait_for_news(signals)?;
            while let Ok(Some(info)) = signals.read_signal() {
                let signal = i32::try_from(info.ssi_signo).unwrap_or(0);
                if matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT) {
                    self.stop(signal);
                }
            }
            self.read_orders();
            match self.phase {
                Phase::Stopping { until } if Instant::now() >= until => self.phase = Phase::Killing,
                _ => {}
            }
            if self.phase == Phase::Killing {
                self.kill_round();
            }
        }
    }

    fn wait_for_news(&self, signals: &SignalFd) -> io::Result<()> {
        let timeout = match self.phase {
            Phase::Running => PollTimeout::NONE,
            Phase::Stopping { until } => {
                let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
            Phase::Killing => PollTimeout::from(KILL_ROUND),
        };
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        if let Some(control) = &self.control {
            fds.push(PollFd::new(control.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Buries the dead. Whether anybody is left.
    fn reap(&mut self) -> bool {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return true,
                Ok(WaitStatus::Exited(pid, code)) if pid == self.bot => self.bot_ended(Report::Exited(code)),
                Ok(WaitStatus::Signaled(pid, signal, core)) if pid == self.bot => {
                    self.bot_ended(Report::Killed { signal: signal as i32, core });
                }
                Err(Errno::ECHILD) => return false,
                // Somebody died of a real-time signal, which nix cannot name: was it the bot?
                Err(Errno::EINVAL) if self.code.is_none() && kill(self.bot, None) == Err(Errno::ESRCH) => {
                    self.bot_ended(Report::Killed { signal: 0, core: false });
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn bot_ended(&mut self, report: Report) {
        let code = match report {
            Report::Exited(code) => code,
            Report::Killed { signal, .. } => 128 + signal,
            Report::Pid(_) => return,
        };
        self.code = Some(u8::try_from(code).unwrap_or(1));
        self.report(report);
        // What it left behind ends with it; a tree that is being ended already keeps its deadline.
        let phase = self.phase;
        self.phase = Phase::Running;
        self.stop(libc::SIGTERM);
        if phase != Phase::Running {
            self.phase = phase;
        }
    }

    /// Asks everybody to end; only the first time, a second signal would cut their cleaning up short.
    fn stop(&mut self, signal: i32) {
        if self.phase != Phase::Running {
            return;
        }
        self.phase = Phase::Stopping { until: Instant::now() + self.grace };
        let signal = Signal::try_from(signal).unwrap_or(Signal::SIGTERM);
        // The group first: one call nobody can slip through by forking. It has the bot's number from `setsid` on.
        let bot_lives = self.code.is_none();
        if bot_lives && killpg(self.bot, signal).is_err() {
            let _ = kill(self.bot, signal);
        }
        for process in tree::descendants(own_pid()) {
            if !(bot_lives && process.group == self.bot.as_raw() || process.pid == self.bot.as_raw()) {
                let _ = kill(Pid::from_raw(process.pid), signal);
            }
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGCONT); // somebody may have stopped it
        }
    }

    /// Kills our direct children. Their numbers cannot be reused before we reap them; their own children become ours
    /// and are met in the next round, wherever they had moved to.
    fn kill_round(&self) {
        if self.code.is_none() {
            let _ = killpg(self.bot, Signal::SIGKILL);
        }
        for pid in tree::children(own_pid()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    fn read_orders(&mut self) {
        let Some(control) = &mut self.control else { return };
        let mut chunk = [0_u8; MAX_LINE];
        let mut gone = false;
        loop {
            match control.read(&mut chunk) {
                Ok(0) => gone = true,
                Ok(n) if self.inbox.len() + n <= MAX_LINE * 2 => {
                    self.inbox.extend_from_slice(&chunk[..n]);
                    continue;
                }
                Ok(_) => gone = true, // not our agent's language
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => gone = true,
            }
            break;
        }
        while let Some(end) = self.inbox.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.inbox.drain(..=end).collect();
            match std::str::from_utf8(&line[..end]).ok().and_then(Order::parse) {
                Some(Order::Stop(signal)) => self.stop(signal),
                Some(Order::Kill) => self.phase = Phase::Killing,
                Some(Order::Signal(signal)) if self.code.is_none() => {
                    if let Ok(signal) = Signal::try_from(signal) {
                        let _ = kill(self.bot, signal);
                    }
                }
                Some(Order::Signal(_)) | None => {}
            }
        }
        if gone {
            self.control = None;
            self.stop(libc::SIGTERM);
        }
    }

    fn report(&mut self, report: Report) {
        if let Some(control) = &mut self.control {
            let _ = control.write_all(report.line().as_bytes()); // a lost agent shows when we read
        }
    }
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

/// The second stage: never returns unless the program cannot be started, then with the code a shell would give.
fn become_bot(shepherd: u64, user: &str, command: &[OsString]) -> u8 {
    let program = command[0].to_string_lossy();
    // The shepherd's blocked signals are inherited. `exec` below sets SIGPIPE, which Rust ignores, back to its default.
    let _ = SigSet::empty().thread_set_mask();
    // Own session: no terminal signal reaches it twice, and a program that asks `/dev/tty` fails instead of hanging.
    if let Err(error) = setsid() {
        eprintln!("logmedic: failed to make a session for {program}: {error}");
        return NOT_EXECUTABLE;
    }
    if !user.is_empty()
        && let Err(error) = drop_to(user)
    {
        eprintln!("logmedic: failed to run {program} as user {user}: {error}");
        return NOT_EXECUTABLE;
    }
    // After the change of user, which would clear it. A set-uid program clears it too: such a bot ends by the
    // shepherd's hand only.
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    if u64::try_from(getppid().as_raw()) != Ok(shepherd) {
        return NOT_EXECUTABLE; // the shepherd died before the line above; nobody would ever end us
    }
    files::restore();
    let error = Command::new(&command[0]).args(&command[1..]).env_remove(files::VARIABLE).exec();
    eprintln!("logmedic: failed to start {program}: {error}");
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

fn drop_to(user: &str) -> io::Result<()> {
    let entry = User::from_name(user)?.ok_or_else(|| io::Error::other("no such user"))?;
    let name = CString::new(user)?;
    initgroups(&name, entry.gid)?;
    setgid(entry.gid)?;
    setuid(entry.uid)?;
    Ok(())
}
