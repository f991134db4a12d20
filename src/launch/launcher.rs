//! Is the process that runs commands: one thread, one loop, no session of the agent's. I/O.
//!
//! `logmedic __launch DIRECTORY` is a hidden command. Its standard input is a socket to the agent. When the agent dies, even
//! by `kill -9`, the socket ends; what runs then runs to its end, which is written down, and the launcher ends after it.
//! Its standard output is a pipe that gets a byte whenever a command that was asked for is on its way.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::{setsid, write};

use super::run::{Channels, Run};
use super::runs::{Claim, Claims, KEPT, NotBegun, Runs};
use super::wire::{Ask, Ended, How, MAX_MESSAGE, Request, Told};
use crate::vocab::Id;

/// Commands that run at once; more wait in the socket. The agent asks for 32 at most, so this is never the limit.
const MAX_RUNS: usize = 64;

/// What is read of a command's output at once.
const BLOCK: usize = 64 * 1024;

/// How often one that was killed and hangs in the kernel is looked at.
const STRAY_LOOK: Duration = Duration::from_millis(500);

struct Launcher {
    /// `None` once the agent is gone.
    agent: Option<OwnedFd>,
    runs: Runs,
    claims: Claims,
    running: Vec<Run>,
    /// Made before they are needed: a command that is asked for waits for nothing.
    ready: Option<Channels>,
    /// Answers that the socket did not take yet.
    owed: VecDeque<Vec<u8>>,
    /// Files of runs, the oldest first.
    ended: VecDeque<Id>,
    /// Killed, but not gone yet.
    strays: Vec<Child>,
    message: Vec<u8>,
    block: Vec<u8>,
}

/// What the hidden `__launch` command does; `args` is what follows it. Call it before any thread is started.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(dir) = args.into_iter().next().map(PathBuf::from) else {
        eprintln!("logmedic: __launch is for logmedic itself; commands are run by `logmedic run`");
        return ExitCode::from(2);
    };
    // Whoever ends the agent's session or group does not end what it began. Refused only to who has a session already.
    let _ = setsid();
    // Not the program's own name, so that `pkill logmedic` leaves it time to write down what it runs.
    let _ = prctl::set_name(c"cmd-launcher");
    match Launcher::new(dir).and_then(|mut launcher| launcher.serve()) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads what it says: the agent notices its end and tells the code.
        Err(_) => ExitCode::FAILURE,
    }
}

impl Launcher {
    fn new(dir: PathBuf) -> io::Result<Self> {
        let agent = io::stdin().as_fd().try_clone_to_owned()?;
        let runs = Runs::new(dir);
        let ended = runs.known().unwrap_or_default().into();
        Ok(Self {
            agent: Some(agent),
            claims: Claims::new(runs.clone()),
            runs,
            running: Vec::new(),
            ready: None,
            owed: VecDeque::new(),
            ended,
            strays: Vec::new(),
            message: vec![0; MAX_MESSAGE],
            block: vec![0; BLOCK],
        })
    }

    /// Until the agent is gone and nothing runs any more.
    fn serve(&mut self) -> io::Result<()> {
        while self.agent.is_some() || !self.running.is_empty() {
            // With nothing to look after, it waits for the message itself: that is one step less.
            let idle = self.running.is_empty() && self.owed.is_empty() && self.strays.is_empty();
            if !idle {
                self.wait()?;
            }
            if idle && self.ready.is_none() {
                // What cannot be made now is told with the command.
                self.ready = Channels::new().ok();
            }
            self.listen(idle);
            let mut at = 0;
            while at < self.running.len() {
                if self.running[at].step(&mut self.block) {
                    let run = self.running.swap_remove(at);
                    self.over(run);
                } else {
                    at += 1;
                }
            }
            self.answer();
            self.strays.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.running.len() + self.owed.len() < MAX_RUNS
    }

    fn wait(&self) -> io::Result<()> {
        let mut fds = Vec::with_capacity(1 + 3 * self.running.len());
        if let Some(agent) = &self.agent {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, self.has_room());
            flags.set(PollFlags::POLLOUT, !self.owed.is_empty());
            fds.push(PollFd::new(agent.as_fd(), flags));
        }
        let stray = (!self.strays.is_empty()).then(|| Instant::now() + STRAY_LOOK);
        let next = self.running.iter().map(|run| run.wants(&mut fds)).chain(stray).min();
        let timeout = next.map_or(PollTimeout::NONE, |at| {
            // Rounded up: one that is called a moment too early would spin until its time.
            let left = at.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes in what the agent asks for; waits for the first of it if `wait`.
    fn listen(&mut self, wait: bool) {
        let mut flags = if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
        while self.has_room() {
            let Some(agent) = &self.agent else { return };
            let got = recv(agent.as_raw_fd(), &mut self.message, flags);
            flags = MsgFlags::MSG_DONTWAIT;
            match got {
                Ok(got) if got > 0 => match serde_json::from_slice(&self.message[..got]) {
                    Ok(Ask::Run(request)) => {
                        self.begin(&request);
                        // The agent waits for it a moment only; one that is gone does not matter either.
                        let _ = write(io::stdout().as_fd(), b"\n");
                    }
                    Ok(Ask::End(task)) => {
                        if let Some(run) = self.running.iter_mut().find(|run| run.task == task) {
                            run.stop(How::CalledOff);
                        }
                    }
                    // Not our agent's language.
                    Err(_) => self.agent = None,
                },
                Err(Errno::EAGAIN) => return,
                // An agent that died with answers unread is told once as an error, before what it still asked for.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Ok(_) | Err(_) => self.agent = None,
            }
        }
    }

    fn begin(&mut self, request: &Request) {
        let task = request.task;
        let (mut claim, mut unrecorded) = match self.claims.claim(task) {
            Ok(claim) => (Some(claim), None),
            Err(NotBegun::Known) => return self.tell(&Told::Known(task)),
            // A full disk of ours must not keep a repair back.
            Err(NotBegun::Unwritten(error)) => (None, Some(error.to_string())),
        };
        let channels = self.ready.take().map_or_else(Channels::new, Ok);
        let started = channels.and_then(|channels| Run::start(request, channels));
        // `execve` wakes us before it is through, maybe on the command's own processor: the command goes first.
        std::thread::yield_now();
        if let Some(claim) = &mut claim
            && let Err(error) = self.claims.note(claim, request)
        {
            unrecorded = Some(error.to_string());
        }
        match started {
            Ok(mut run) => {
                (run.claim, run.unrecorded) = (claim, unrecorded);
                self.running.push(run);
            }
            Err(error) => {
                let ended = Ended { how: How::NotStarted(error.to_string()), output: String::new() };
                self.note(task, claim, &ended);
                self.tell(&Told::Ended { task, ended, unrecorded });
            }
        }
    }

    fn over(&mut self, run: Run) {
        let (task, ended, claim, unrecorded, stray) = run.over();
        self.strays.extend(stray);
        self.note(task, claim, &ended);
        self.tell(&Told::Ended { task, ended, unrecorded });
        while self.ended.len() > KEPT {
            if let Some(oldest) = self.ended.pop_front() {
                self.runs.remove(oldest);
            }
        }
    }

    /// Writes down how a run ended, before anybody is told.
    fn note(&mut self, task: Id, claim: Option<Claim>, ended: &Ended) {
        if let Some(claim) = claim {
            // What cannot be written is told; only after a crash of the agent nobody will know it.
            let _ = claim.end(ended);
            self.ended.push_back(task);
        }
    }

    fn tell(&mut self, told: &Told) {
        if self.agent.is_some() {
            // Plain names and values: they always serialize.
            self.owed.extend(serde_json::to_vec(told));
        }
    }

    /// Sends what the socket takes.
    fn answer(&mut self) {
        while let (Some(agent), Some(bytes)) = (&self.agent, self.owed.front()) {
            match send(agent.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                // Sent; or the agent is gone, which reading shows too, and its outcomes are in their files.
                Ok(_) | Err(_) => drop(self.owed.pop_front()),
            }
        }
        if self.agent.is_none() {
            self.owed.clear();
        }
    }
}
