//! Is a process that waits for a command and becomes it. I/O.
//!
//! To make a process takes a sixth of the time in which a command begins, and a launcher that is woken before `execve` is through
//! takes the processor from it. So the process is made before it is needed: it receives the next command from the agent, claims it,
//! waits for the word to begin, and turns into it. What it does it says in a socket which the launcher does not read until it
//! closes; that happens when `execve` is through, or the process has ended without it.
//!
//! ```text
//! launcher ── fork ── host ── lends its memory ── spare ── execve ── command
//! ```
//!
//! A process of its own has memory of its own, which `execve` takes down first, for a quarter of a millisecond. The spare
//! therefore works in the memory of a host, a copy of the launcher, which sleeps meanwhile and ends when the command has begun.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, exit};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, recv};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, getpid, getppid, setpgid};
use serde::{Deserialize, Serialize};

use super::run::Run;
use super::runs::{Claims, NotBegun, line};
use super::wire::{Begin, MAX_MESSAGE, Order, Request, word_for};
use crate::roots::{fork, give_back_memory, lend_memory};
use crate::vocab::{Id, Rng};

/// Longer than the word to begin, which is 26 bytes: of another message so much is looked at.
const WORD: usize = 64;

/// A process that waits for a command, as the launcher sees it.
pub(super) struct Spare {
    host: Host,
    /// Closes when the process has become the command, or has ended.
    says: UnixStream,
    said: Vec<u8>,
    out: PipeReader,
    err: PipeReader,
}

/// The process whose memory it uses; it ends when this is dropped.
pub(super) struct Host {
    pub(super) process: Pid,
    _stays: PipeWriter,
}

/// What such a process says, a line each.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Says {
    /// It waits, and has this number.
    Stands(i32),
    /// It takes this on.
    Takes(Begin),
    /// But the task has a run already.
    Known,
    /// But it cannot claim it.
    Unclaimed(String),
    /// But it is not to begin.
    Void,
    /// But it cannot become the command.
    NotStarted(String),
    /// Nobody will ask for anything any more.
    AgentGone,
}

/// What is there when such a process waits no more.
pub(super) struct After {
    /// What became of it.
    pub(super) became: Became,
    /// The process, if it came to be.
    pub(super) process: Option<Pid>,
    /// Its host, which should not end while the command begins.
    pub(super) host: Host,
}

/// What became of such a process.
#[allow(clippy::large_enum_variant, reason = "one for each command, taken apart at once")]
pub(super) enum Became {
    /// The command, or nothing where there is no such program or it may not be run: then `run` tells why.
    Taken {
        /// What was begun.
        begin: Begin,
        /// Why it has no claim.
        unclaimed: Option<String>,
        /// The run.
        run: Result<Run, String>,
    },
    /// Nothing: the task has a run already.
    Known(Id),
    /// Nothing: the word to begin did not follow. It may hold a claim.
    Void(Id),
    /// Nothing: the agent is gone.
    AgentGone,
    /// Nothing, and nobody knows why: it was killed.
    Lost,
}

impl Spare {
    /// Makes one that waits for what comes through `work`. `in_copy` is called in its host and lets go of what is the launcher's; it gives
    /// the claims, and the tasks that run.
    ///
    /// # Errors
    /// When the system has no room for it.
    #[allow(clippy::disallowed_methods, reason = "a copy of the launcher has no `main` to go back to")]
    pub(super) fn new<'a, F>(work: BorrowedFd<'_>, in_copy: F) -> io::Result<Self>
    where
        F: FnOnce() -> (&'a Claims, Vec<Id>),
    {
        let input = File::open("/dev/null")?;
        let (out, out_in) = io::pipe()?;
        let (err, err_in) = io::pipe()?;
        let (says, to_say) = UnixStream::pair()?;
        let (ends, stays) = io::pipe()?;
        let launcher = getpid();
        let Some(host) = fork()? else {
            drop((out, err, says, stays));
            let (claims, running) = in_copy();
            let post = Post { launcher, work, input, out: out_in, err: err_in, claims, running };
            let _ = post.host(to_say, ends);
            exit(0)
        };
        drop((to_say, out_in, err_in));
        says.set_nonblocking(true)?;
        Ok(Self { host: Host { process: host, _stays: stays }, says, said: Vec::new(), out, err })
    }

    /// Closes when it waits no more. It is to be asked for that alone: who is told of words wakes, and keeps the process from
    /// what it is about to do.
    pub(super) fn closes(&self) -> BorrowedFd<'_> {
        self.says.as_fd()
    }

    /// Whether it waits no more.
    pub(super) fn is_over(&mut self) -> bool {
        !matches!(self.says.read_to_end(&mut self.said), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// What became of one that [is over](Self::is_over).
    pub(super) fn after(self) -> After {
        let said = Said::of(&self.said);
        let process = said.process;
        let became = match (said.begun, process) {
            (Some(begin), _) if said.known => Became::Known(begin.task),
            (Some(begin), _) if said.void => Became::Void(begin.task),
            (Some(begin), Some(process)) => {
                let limit = Duration::from_millis(begin.limit_ms);
                let run = || Run::new(begin.task, limit, process, self.out, self.err);
                let run = said.not_started.map_or_else(|| Ok(run()), Err);
                Became::Taken { begin, unclaimed: said.unclaimed, run }
            }
            _ if said.agent_gone => Became::AgentGone,
            _ => Became::Lost,
        };
        After { became, process, host: self.host }
    }
}

/// All that such a process said.
#[derive(Default)]
struct Said {
    process: Option<Pid>,
    begun: Option<Begin>,
    known: bool,
    void: bool,
    unclaimed: Option<String>,
    not_started: Option<String>,
    agent_gone: bool,
}

impl Said {
    /// A line that was cut off, or that nobody knows, says nothing.
    fn of(lines: &[u8]) -> Self {
        let mut said = Self::default();
        for says in lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()) {
            match says {
                Says::Stands(number) => said.process = Some(Pid::from_raw(number)),
                Says::Takes(begin) => said.begun = Some(begin),
                Says::Known => said.known = true,
                Says::Void => said.void = true,
                Says::Unclaimed(why) => said.unclaimed = Some(why),
                Says::NotStarted(why) => said.not_started = Some(why),
                Says::AgentGone => said.agent_gone = true,
            }
        }
        said
    }
}

/// What a spare works with.
struct Post<'a> {
    launcher: Pid,
    work: BorrowedFd<'a>,
    input: File,
    out: PipeWriter,
    err: PipeWriter,
    claims: &'a Claims,
    running: Vec<Id>,
}

impl Post<'_> {
    /// Lends the memory to a spare, and stays until the launcher lets it go: to take the memory down would delay the command.
    fn host(self, to_say: UnixStream, mut ends: PipeReader) -> io::Result<()> {
        let _ = prctl::set_name(c"cmd-host");
        self.end_with_launcher()?;
        // What the copy has looked at so far is not what the command's turn needs.
        give_back_memory();
        let mut message = vec![0; MAX_MESSAGE];
        self.rehearse(&mut message);
        lend_memory(|| {
            let _ = self.stand(&to_say).and_then(|()| self.wait(&to_say, &mut message));
        })?;
        // This wakes the launcher. Woken by the command itself, without us between them, it would take the command's processor.
        drop((to_say, self));
        ends.read_to_end(&mut Vec::new())?;
        Ok(())
    }

    /// Also by `kill -9`.
    fn end_with_launcher(&self) -> io::Result<()> {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() == self.launcher { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    }

    /// Takes a command's place: its group, its input and outputs.
    fn stand(&self, to_say: &UnixStream) -> io::Result<()> {
        let _ = prctl::set_name(c"cmd-spare");
        self.end_with_launcher()?;
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        dup2_stdin(&self.input)?;
        dup2_stdout(&self.out)?;
        dup2_stderr(&self.err)?;
        say(to_say, &Says::Stands(getpid().as_raw()))
    }

    /// Waits for a command and becomes it; comes back if it cannot.
    fn wait(&self, mut to_say: &UnixStream, message: &mut [u8]) -> io::Result<()> {
        // Left in the socket until it is said: should this process be killed meanwhile, the next one finds it.
        let got = loop {
            match self.hear(message) {
                None => return say(to_say, &Says::AgentGone),
                // For a request that others took, and did not wait for it.
                Some(got) if is_word(&message[..got]) => self.heard(),
                Some(got) => break got,
            }
        };
        // Not our agent's language: it has no more to say to us.
        let Some(order) = Order::of(&message[..got]) else { return say(to_say, &Says::AgentGone) };
        to_say.write_all(&takes(&order))?;
        self.heard();
        let known = self.running.contains(&order.task);
        match if known { Err(NotBegun::Known) } else { self.claims.take(order.task) } {
            Ok(()) => {}
            Err(NotBegun::Known) => return say(to_say, &Says::Known),
            // A full disk of ours must not keep a repair back.
            Err(NotBegun::Unwritten(error)) => say(to_say, &Says::Unclaimed(error.to_string()))?,
        }
        let mut command = command(&order);
        let (word, mut next) = (word_for(order.task), [0; WORD]);
        match self.hear(&mut next) {
            Some(got) if next[..got] == *word.as_bytes() => self.heard(),
            _ => return say(to_say, &Says::Void),
        }
        let error = command.exec();
        say(to_say, &Says::NotStarted(error.to_string()))
    }

    /// Waits for the agent's next message, which stays where it is. `None`: there is none any more.
    fn hear(&self, message: &mut [u8]) -> Option<usize> {
        loop {
            match recv(self.work.as_raw_fd(), message, MsgFlags::MSG_PEEK) {
                Ok(0) => return None,
                Ok(got) => return Some(got),
                // An agent that died with something unread is told once as an error, before what it still asked for.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(_) => return None,
            }
        }
    }

    /// Takes that message away, all of it.
    fn heard(&self) {
        let _ = recv(self.work.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT);
    }

    /// Does all that a command's turn needs, in vain: what is shared with the launcher until it is written to, or was not looked at
    /// yet, is at hand then.
    fn rehearse(&self, message: &mut [u8]) {
        let task = Id::new(chrono::DateTime::UNIX_EPOCH, &mut Rng::new(0));
        let request = Request {
            task,
            argv: vec!["/dev/null/none".into(), "--".into()],
            env: vec![(super::TASK.into(), String::new())],
            cwd: None,
            user: None,
            limit_ms: 0,
            note: String::new(),
        };
        let Some(text) = request.to_message(0) else { return };
        message[..text.len()].copy_from_slice(&text);
        let Some(order) = Order::of(&message[..text.len()]) else { return };
        let _ = takes(&order);
        if self.claims.take(task).is_ok() {
            drop(self.claims.held(task));
        }
        let _ = command(&order).exec();
    }
}

/// Whether this is [`word_for`] some task.
fn is_word(message: &[u8]) -> bool {
    std::str::from_utf8(message).ok().and_then(Id::parse).is_some()
}

fn say(mut to_say: &UnixStream, says: &Says) -> io::Result<()> {
    to_say.write_all(&line(says))
}

/// [`Says::Takes`] as a line.
fn takes(order: &Order<'_>) -> Vec<u8> {
    ["{\"takes\":", order.begin, "}\n"].concat().into_bytes()
}

fn command(order: &Order<'_>) -> Command {
    let mut arguments = order.argv.iter();
    let mut command = Command::new(arguments.next().unwrap_or(&""));
    command.args(arguments).envs(order.env.iter().copied());
    if let Some(directory) = order.cwd {
        command.current_dir(directory);
    }
    if let Some((uid, gid)) = order.user {
        command.uid(uid).gid(gid);
    }
    command
}
