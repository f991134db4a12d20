//! Looks after one command in the launcher: the end of what it says, its time limit, its process group. I/O.

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id as Which, WaitPidFlag, WaitStatus as Waited, waitid};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, WaitOptions, WaitStatus, pidfd_open, waitpid};

use super::runs::Claim;
use super::wire::{Ended, How};
use crate::vocab::Id;

/// The end of what a command says that is kept, of each of its two outputs; reasons stand at the end.
pub(super) const KEPT_OUTPUT: usize = 4096;

/// How long its output is still read after it ended: a grandchild may hold the pipe for ever.
const DRAIN: Duration = Duration::from_millis(300);

/// How often the end is looked for where the kernel cannot tell it by a descriptor (before Linux 5.3).
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The end of an output.
struct Tail<R> {
    pipe: Option<R>,
    kept: Vec<u8>,
}

impl<R: Read + AsFd> Tail<R> {
    fn new(pipe: R) -> Self {
        // Without it a read could wait for a command that says nothing; the kernel never refuses it for a pipe.
        let _ = fcntl(pipe.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        Self { pipe: Some(pipe), kept: Vec::new() }
    }

    /// Reads a block, if there is something. At its end the pipe is closed.
    fn read(&mut self, block: &mut [u8]) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(block) {
            Ok(0) => self.pipe = None,
            Ok(got) => {
                let new = &block[got.saturating_sub(KEPT_OUTPUT)..got];
                let over = (self.kept.len() + new.len()).saturating_sub(KEPT_OUTPUT);
                self.kept.drain(..over);
                self.kept.extend_from_slice(new);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.pipe = None,
        }
    }
}

/// How far a run is.
#[derive(Debug)]
enum Phase {
    Runs,
    /// The command ended, or was ended (`how`); what it said is still read so long.
    Drains {
        until: Instant,
        how: Option<How>,
    },
}

/// A command that runs.
pub(super) struct Run {
    pub(super) task: Id,
    /// Why nothing of it is written down.
    pub(super) unrecorded: Option<String>,
    pub(super) claim: Option<Claim>,
    /// Also the number of its group.
    child: Pid,
    /// Readable when the command has ended.
    exited: Option<OwnedFd>,
    out: Tail<PipeReader>,
    err: Tail<PipeReader>,
    limit: Instant,
    phase: Phase,
}

impl Run {
    /// A command that began: what its process is, and the ends of what it says.
    pub(super) fn new(task: Id, limit: Duration, child: Pid, out: PipeReader, err: PipeReader) -> Self {
        let number = rustix::process::Pid::from_raw(child.as_raw());
        let exited = number.and_then(|number| pidfd_open(number, PidfdFlags::empty()).ok());
        Self {
            task,
            unrecorded: None,
            claim: None,
            child,
            exited,
            out: Tail::new(out),
            err: Tail::new(err),
            limit: Instant::now() + limit,
            phase: Phase::Runs,
        }
    }

    /// Lets go of it, in a copy of the launcher's process: the launcher looks after it.
    pub(super) fn in_copy(self) {
        // Given up, its claim would be given up for the launcher too.
        std::mem::forget(self.claim);
    }

    /// What it must be told of, and when it wants to be called at the latest.
    pub(super) fn wants<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) -> Instant {
        let mut add = |fd: std::os::fd::BorrowedFd<'a>| fds.push(PollFd::new(fd, PollFlags::POLLIN));
        self.out.pipe.iter().for_each(|pipe| add(pipe.as_fd()));
        self.err.pipe.iter().for_each(|pipe| add(pipe.as_fd()));
        match (&self.phase, &self.exited) {
            (Phase::Drains { until, .. }, _) => *until,
            (Phase::Runs, Some(exited)) => {
                add(exited.as_fd());
                self.limit
            }
            (Phase::Runs, None) => self.limit.min(Instant::now() + LOOK_AGAIN),
        }
    }

    /// Does what is to be done; `true`: it is over.
    pub(super) fn step(&mut self, block: &mut [u8]) -> bool {
        if matches!(self.phase, Phase::Runs) {
            let now = Instant::now();
            if self.has_exited() {
                self.phase = Phase::Drains { until: now + DRAIN, how: None };
            } else if now >= self.limit {
                self.stop(How::Overtime);
            }
        }
        self.out.read(block);
        self.err.read(block);
        match self.phase {
            Phase::Runs => false,
            Phase::Drains { until, .. } => {
                self.out.pipe.is_none() && self.err.pipe.is_none() || Instant::now() >= until
            }
        }
    }

    /// Ends it and everything in its group.
    pub(super) fn stop(&mut self, how: How) {
        if matches!(self.phase, Phase::Runs) {
            let _ = killpg(self.child, Signal::SIGKILL);
            self.phase = Phase::Drains { until: Instant::now() + DRAIN, how: Some(how) };
        }
    }

    /// Not yet collected: as long as it is not, nobody else can have its number.
    fn has_exited(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        // A death by a real-time signal, which nix cannot name, is an error, and a death.
        !matches!(waitid(Which::Pid(self.child), flags), Ok(Waited::StillAlive) | Err(nix::errno::Errno::EINTR))
    }

    /// How it ended, and where its end is written down; what it left in its group ends with it. Its process comes back while it
    /// still hangs in the kernel, to be collected later.
    pub(super) fn over(self) -> (Id, Ended, Option<Claim>, Option<String>, Option<Pid>) {
        let _ = killpg(self.child, Signal::SIGKILL);
        let status = collect(self.child);
        let Phase::Drains { how, .. } = self.phase else {
            return (
                self.task,
                Ended { how: How::CalledOff, output: String::new() },
                self.claim,
                None,
                Some(self.child),
            );
        };
        let stray = matches!(status, Ok(None)).then_some(self.child);
        let how = how.unwrap_or_else(|| status.ok().flatten().map_or(How::Signal(0), how_of));
        let said = [&self.out.kept, &self.err.kept].map(|kept| String::from_utf8_lossy(kept).trim().to_owned());
        let output = said.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
        (self.task, Ended { how, output }, self.claim, self.unrecorded, stray)
    }
}

/// How a process of ours ended; `None`: it has not.
///
/// # Errors
/// When there is none.
pub(super) fn collect(process: Pid) -> io::Result<Option<WaitStatus>> {
    let number = rustix::process::Pid::from_raw(process.as_raw());
    // By rustix: nix has no name for death by a real-time signal.
    Ok(waitpid(number, WaitOptions::NOHANG)?.map(|(_, status)| status))
}

fn how_of(status: WaitStatus) -> How {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => How::Code(code),
        (None, signal) => How::Signal(signal.unwrap_or(0)),
    }
}
