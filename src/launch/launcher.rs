//! Is the process that runs commands: one thread, one loop, no session of the agent's. I/O.
//!
//! `logmedic __launch DIRECTORY` is a hidden command. Its standard input and output are two sockets to the agent: `control`, for what
//! is to end and how each command ended, and `work`, from which a spare process takes the next command and becomes it. When the agent
//! dies, even by `kill -9`, both end; what runs then runs to its end, which is written down, and the launcher ends after it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::{Pid, setsid};

use super::run::{Run, collect};
use super::runs::{Claim, Claims, KEPT, Runs};
use super::spare::{After, Became, Spare};
use super::wire::{Begin, Ended, How, MAX_MESSAGE, Order, Told};
use crate::roots::give_back_memory;
use crate::vocab::Id;

/// Commands that run at once; more wait in the socket. The agent asks for 32 at most, so this is never the limit.
const MAX_RUNS: usize = 64;

/// What is read of a command's output at once.
const BLOCK: usize = 64 * 1024;

/// Spare processes that may be lost at once one after the other; after that none is made until a command is asked for and refused.
const MAX_LOST: u8 = 3;

/// One that is lost sooner was killed by what kills all of them.
const AT_ONCE: Duration = Duration::from_millis(100);

/// How often one that was killed and hangs in the kernel is looked at.
const STRAY_LOOK: Duration = Duration::from_millis(500);

struct Launcher {
    /// `None` once the agent is gone.
    control: Option<OwnedFd>,
    /// `None` once the agent is gone, and all that it asked for is begun.
    work: Option<OwnedFd>,
    runs: Runs,
    claims: Claims,
    running: Vec<Run>,
    /// Made before it is needed: a command that is asked for waits for nothing.
    spare: Option<Spare>,
    /// When that was.
    made: Instant,
    /// How many of these were lost at once, one after the other.
    lost: u8,
    /// Tasks that were to end, maybe before they began.
    called_off: VecDeque<Id>,
    /// Answers that the socket did not take yet.
    owed: VecDeque<Vec<u8>>,
    /// Files of runs, the oldest first.
    ended: VecDeque<Id>,
    /// Killed, but not gone yet.
    strays: Vec<Pid>,
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
    let launcher = Launcher::new(dir);
    // It waits for nights, and should cost little meanwhile.
    give_back_memory();
    match launcher.and_then(|mut launcher| launcher.serve()) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads what it says: the agent notices its end and tells the code.
        Err(_) => ExitCode::FAILURE,
    }
}

impl Launcher {
    fn new(dir: PathBuf) -> io::Result<Self> {
        let control = io::stdin().as_fd().try_clone_to_owned()?;
        let work = io::stdout().as_fd().try_clone_to_owned()?;
        let runs = Runs::new(dir);
        let ended = runs.known().unwrap_or_default().into();
        Ok(Self {
            control: Some(control),
            work: Some(work),
            claims: Claims::new(runs.clone()),
            runs,
            running: Vec::new(),
            spare: None,
            made: Instant::now(),
            lost: 0,
            called_off: VecDeque::new(),
            owed: VecDeque::new(),
            ended,
            strays: Vec::new(),
            message: vec![0; MAX_MESSAGE],
            block: vec![0; BLOCK],
        })
    }

    /// Until the agent is gone and nothing runs any more.
    fn serve(&mut self) -> io::Result<()> {
        loop {
            self.stand_ready();
            if self.control.is_none() && self.work.is_none() && self.running.is_empty() {
                return Ok(());
            }
            self.wait()?;
            self.listen();
            if let Some(spare) = self.spare.take_if(Spare::is_over) {
                self.begun(spare);
            }
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
            self.strays.retain(|process| matches!(collect(*process), Ok(None)));
        }
    }

    fn has_room(&self) -> bool {
        self.running.len() + self.owed.len() < MAX_RUNS
    }

    /// Has a process wait for the next command. Where none can be made, or all are lost, whoever asks for one is told so.
    fn stand_ready(&mut self) {
        if self.spare.is_some() || !self.has_room() {
            return;
        }
        let Some(work) = &self.work else { return };
        let error = if self.lost < MAX_LOST {
            self.claims.prepare();
            let Self { control, claims, running, .. } = self;
            let made = Spare::new(work.as_fd(), move || {
                *control = None;
                claims.in_copy();
                let tasks = running.iter().map(|run| run.task).collect();
                running.drain(..).for_each(Run::in_copy);
                (claims, tasks)
            });
            match made {
                Ok(spare) => {
                    (self.spare, self.made) = (Some(spare), Instant::now());
                    return;
                }
                Err(error) => error,
            }
        } else {
            io::Error::other("what waits for it is killed at once")
        };
        self.refuse(&error);
    }

    /// Takes one command from the agent, if it asks for any, and tells it why it is not begun.
    fn refuse(&mut self, error: &io::Error) {
        let Some(work) = &self.work else { return };
        match recv(work.as_raw_fd(), &mut self.message, MsgFlags::MSG_DONTWAIT) {
            Ok(got) if got > 0 => {
                self.lost = 0;
                if let Some(task) = Order::of(&self.message[..got]).map(|order| order.task) {
                    let ended = Ended { how: How::NotStarted(error.to_string()), output: String::new() };
                    self.tell(&Told::Ended { task, ended, unrecorded: None });
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNRESET) => {}
            Ok(_) | Err(_) => self.work = None,
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut fds = Vec::with_capacity(3 + 3 * self.running.len());
        if let Some(control) = &self.control {
            let mut flags = PollFlags::POLLIN;
            flags.set(PollFlags::POLLOUT, !self.owed.is_empty());
            fds.push(PollFd::new(control.as_fd(), flags));
        }
        match (&self.spare, &self.work) {
            (Some(spare), _) => fds.push(PollFd::new(spare.closes(), PollFlags::empty())),
            // None could be made: what is asked for is told so.
            (None, Some(work)) if self.has_room() => fds.push(PollFd::new(work.as_fd(), PollFlags::POLLIN)),
            _ => {}
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

    /// Takes in what is to end.
    fn listen(&mut self) {
        while let Some(control) = &self.control {
            match recv(control.as_raw_fd(), &mut self.message, MsgFlags::MSG_DONTWAIT) {
                Ok(got) if got > 0 => match serde_json::from_slice::<Id>(&self.message[..got]) {
                    Ok(task) => self.call_off(task),
                    // Not our agent's language.
                    Err(_) => self.control = None,
                },
                Err(Errno::EAGAIN) => return,
                // An agent that died with answers unread is told once as an error, before what it still asked for.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Ok(_) | Err(_) => self.control = None,
            }
        }
    }

    fn call_off(&mut self, task: Id) {
        if let Some(run) = self.running.iter_mut().find(|run| run.task == task) {
            return run.stop(How::CalledOff);
        }
        // It may be about to begin: what it waits in is another socket.
        self.called_off.push_back(task);
        if self.called_off.len() > MAX_RUNS {
            self.called_off.pop_front();
        }
    }

    /// What a spare process became.
    fn begun(&mut self, spare: Spare) {
        let After { became, process, host } = spare.after();
        let at_once = matches!(became, Became::Lost) && self.made.elapsed() < AT_ONCE;
        self.lost = if at_once { self.lost + 1 } else { 0 };
        if !matches!(became, Became::Taken { run: Ok(_), .. }) {
            self.strays.extend(process);
        }
        match became {
            Became::Taken { begin, unclaimed, run } => self.taken(&begin, unclaimed, run),
            Became::Known(task) => self.tell(&Told::Known(task)),
            Became::Void(task) => drop(self.claims.held(task)),
            Became::AgentGone => self.work = None,
            Became::Lost => {}
        }
        self.strays.push(host.process);
        drop(host);
    }

    /// A command began, or cannot begin.
    fn taken(&mut self, begin: &Begin, unclaimed: Option<String>, run: Result<Run, String>) {
        if let Some(work) = &self.work {
            // The agent waits for it a moment only; one that is gone, or full of it, does not matter.
            let _ = send(work.as_raw_fd(), b"\n", MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        }
        let task = begin.task;
        let mut claim = if unclaimed.is_none() { self.claims.held(task) } else { None };
        let mut unrecorded = unclaimed;
        if let Some(claim) = &mut claim
            && let Err(error) = self.claims.note(claim, begin)
        {
            unrecorded = Some(error.to_string());
        }
        match run {
            Ok(mut run) => {
                (run.claim, run.unrecorded) = (claim, unrecorded);
                if self.called_off.contains(&task) {
                    run.stop(How::CalledOff);
                }
                self.running.push(run);
            }
            Err(why) => {
                let ended = Ended { how: How::NotStarted(why), output: String::new() };
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
        if self.control.is_some() {
            // Plain names and values: they always serialize.
            self.owed.extend(serde_json::to_vec(told));
        }
    }

    /// Sends what the socket takes.
    fn answer(&mut self) {
        while let (Some(control), Some(bytes)) = (&self.control, self.owed.front()) {
            match send(control.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                // Sent; or the agent is gone, which reading shows too, and its outcomes are in their files.
                Ok(_) | Err(_) => drop(self.owed.pop_front()),
            }
        }
        if self.control.is_none() {
            self.owed.clear();
        }
    }
}
