//! Keeps one bot running: start, attend, judge its end, start again. I/O.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Utc;
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::control::{Order, Report};
use super::log::LogFile;
use super::output::Sink;
use super::policy::{End, Restarts, Verdict};
use super::spawn::{self, StartError, Started};
use super::terminal::Terminal;
use super::{BotCommand, BotEvent, BotSpec, Ended, tree};

/// How long a full event queue may hold us up; a lost event is better than a bot nobody attends to.
const EVENT_PATIENCE: Duration = Duration::from_secs(1);

/// How long output is still read once the whole tree is gone.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a slow terminal may take to show the last output.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How much longer than the grace the shepherd may take before it is killed itself.
const SHEPHERD_PATIENCE: Duration = Duration::from_secs(5);

/// Runs the bot until it ends for good, or `stop` is cancelled (SIGTERM to the tree, the grace, SIGKILL).
///
/// The log is rotated, spilled (`spill` gets whole lines while the file cannot be written) and shown by threads of
/// their own: neither a full or closed `events`, nor a closed `commands`, nor a slow terminal holds the bot up.
/// Dropping the future ends the bot's tree too, through its shepherd.
///
/// What an agent of the same [`BotSpec::marker`] left behind is ended first, so the caller must hold the lock that
/// makes it the only one.
pub async fn run(
    spec: BotSpec,
    events: mpsc::Sender<BotEvent>,
    commands: mpsc::Receiver<BotCommand>,
    spill: mpsc::Sender<Vec<u8>>,
    stop: CancellationToken,
) -> Ended {
    let user = match spawn::check(&spec).and_then(|()| spawn::other_user(&spec)) {
        Ok(user) => user,
        Err(error) => return refused(&error),
    };
    let uid = user.as_ref().map_or(nix::unistd::geteuid(), |u| u.uid).as_raw();
    let (terminal, shown) = match spec.terminal.then(|| Terminal::start(spec.raw_terminal)) {
        Some(Ok((terminal, shown))) => (Some(terminal), Some(shown)),
        Some(Err(error)) => {
            tracing::warn!(%error, "failed to copy the bot's output to the terminal; the log has it");
            (None, None)
        }
        None => (None, None),
    };
    let log = Mutex::new(LogFile::new(spec.log.clone(), spec.log_max, spill));
    let sink = Arc::new(Sink { log, terminal, writer: user.map(|u| (u.uid, u.gid)) });
    let mut keeper = Keeper {
        spec,
        uid,
        sink,
        events,
        commands: Some(commands),
        stop,
        born: Instant::now(),
        history: Restarts::default(),
        restarts: 0,
    };
    let ended = keeper.keep().await;
    drop(keeper);
    if let Some(shown) = shown {
        let _ = tokio::time::timeout(LAST_WORDS, shown).await;
    }
    ended
}

fn refused(error: &StartError) -> Ended {
    Ended { code: error.code(), how: error.to_string() }
}

struct Keeper {
    spec: BotSpec,
    /// The bot's user.
    uid: u32,
    sink: Arc<Sink>,
    events: mpsc::Sender<BotEvent>,
    /// `None` once everybody who could ask is gone; the bot runs on.
    commands: Option<mpsc::Receiver<BotCommand>>,
    stop: CancellationToken,
    born: Instant,
    history: Restarts,
    restarts: u32,
}

/// One run of the bot, from start to the end of its tree.
struct Outcome {
    end: End,
    ended: Ended,
    /// Asked to end for good.
    stopped: bool,
    /// Asked to start again.
    again: bool,
}

impl Keeper {
    async fn keep(&mut self) -> Ended {
        self.end_leftovers().await;
        loop {
            let since = Instant::now();
            let outcome = match spawn::start(&self.spec, &self.sink) {
                Ok(started) => self.attend(started).await,
                Err(error) if self.restarts == 0 => return refused(&error),
                // Later it counts as a failure like any other: perhaps the program is being replaced right now.
                Err(error) => {
                    tracing::warn!(%error, "the bot did not start again");
                    Outcome { end: End::Failure, ended: refused(&error), stopped: false, again: false }
                }
            };
            if outcome.stopped || self.stop.is_cancelled() {
                return outcome.ended;
            }
            if outcome.again {
                self.restarts = self.restarts.saturating_add(1);
                continue;
            }
            let (now, ran_for) = (self.born.elapsed(), since.elapsed());
            match self.history.ended(&self.spec.restart, now, ran_for, outcome.end, roll()) {
                Verdict::Stay => return outcome.ended,
                Verdict::GiveUp => {
                    self.tell(BotEvent::GaveUp { restarts: self.history.recent() }).await;
                    return outcome.ended;
                }
                Verdict::RestartIn(delay) => {
                    self.restarts = self.restarts.saturating_add(1);
                    self.tell(BotEvent::RestartIn { delay, restarts: self.restarts }).await;
                    if !self.pause(delay).await {
                        return outcome.ended;
                    }
                }
            }
        }
    }

    /// Waits for the restart. `false` when it is not wanted any more.
    async fn pause(&mut self, delay: Duration) -> bool {
        let until = tokio::time::sleep(delay);
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = &mut until => return true,
                command = next(&mut self.commands) => match command {
                    BotCommand::Stop { .. } => return false,
                    BotCommand::Restart { .. } => return true,
                    BotCommand::Signal(_) => {} // nobody there to get it
                },
            }
        }
    }

    async fn attend(&mut self, mut started: Started) -> Outcome {
        let mut ask = Ask::Nothing;
        let mut last: Option<Report> = None;
        let mut deadline: Option<tokio::time::Instant> = None;
        let mut line = Vec::new();
        let mut reports_open = true;
        let status = loop {
            tokio::select! {
                biased;
                read = started.reports.read_until(b'\n', &mut line), if reports_open => {
                    reports_open = matches!(read, Ok(n) if n > 0);
                    let report = std::str::from_utf8(&line).ok().and_then(|l| Report::parse(l.trim_end()));
                    line.clear();
                    if let Some(report) = report {
                        self.reported(report, ask, &mut last).await;
                    }
                }
                status = started.shepherd.wait() => break status,
                command = next(&mut self.commands) => {
                    let order = ask.command(&command);
                    if let BotCommand::Restart { reason } = &command {
                        tracing::info!(reason, "the bot is asked to restart");
                    }
                    send(&mut started, order).await;
                }
                () = self.stop.cancelled(), if ask != Ask::End => {
                    let order = if ask == Ask::Nothing { Some(Order::Stop(libc::SIGTERM)) } else { None };
                    ask = Ask::End;
                    send(&mut started, order).await;
                }
                () = sleep_until(deadline), if deadline.is_some() => {
                    tracing::warn!("the bot's shepherd does not end; killing it");
                    let _ = started.shepherd.start_kill();
                    // Should even that not help (a process stuck in the kernel), go on without it.
                    if tokio::time::timeout(SHEPHERD_PATIENCE, started.shepherd.wait()).await.is_err() {
                        break Err(std::io::ErrorKind::TimedOut.into());
                    }
                }
            }
            if deadline.is_none() && (ask != Ask::Nothing || matches!(last, Some(r) if !matches!(r, Report::Pid(_)))) {
                deadline = Some(tokio::time::Instant::now() + self.spec.stop_grace + SHEPHERD_PATIENCE);
            }
        };
        self.bury(started, status, ask, last, reports_open).await
    }

    async fn bury(
        &mut self,
        mut started: Started,
        status: std::io::Result<std::process::ExitStatus>,
        ask: Ask,
        mut last: Option<Report>,
        reports_open: bool,
    ) -> Outcome {
        // Its last report may still wait in the socket.
        let mut line = Vec::new();
        while reports_open && matches!(started.reports.read_until(b'\n', &mut line).await, Ok(n) if n > 0) {
            if let Some(report) = std::str::from_utf8(&line).ok().and_then(|l| Report::parse(l.trim_end())) {
                self.reported(report, ask, &mut last).await;
            }
            line.clear();
        }
        let (end, ended) = match last {
            Some(report @ (Report::Exited(_) | Report::Killed { .. })) => describe(report),
            // The shepherd went without a word: the kernel killed the bot with it, but not the bot's children.
            Some(Report::Pid(_)) | None => {
                self.end_leftovers().await;
                let how = match status {
                    Ok(status) => format!("its shepherd ended first ({status})"),
                    Err(error) => format!("its shepherd was lost ({error})"),
                };
                let ended = Ended { code: 128 + libc::SIGKILL, how };
                self.tell_exit(&ended, ask != Ask::Nothing).await;
                (End::Failure, ended)
            }
        };
        started.readers.finish(DRAIN).await;
        self.sink.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).end_line();
        Outcome { end, ended, stopped: ask == Ask::End, again: ask == Ask::Again }
    }

    async fn reported(&mut self, report: Report, ask: Ask, last: &mut Option<Report>) {
        *last = Some(report);
        match report {
            Report::Pid(pid) => self.tell(BotEvent::Started { pid, restarts: self.restarts }).await,
            Report::Exited(_) | Report::Killed { .. } => {
                self.tell_exit(&describe(report).1, ask != Ask::Nothing).await;
            }
        }
    }

    async fn tell_exit(&self, ended: &Ended, wanted: bool) {
        self.tell(BotEvent::Exited { code: ended.code, how: ended.how.clone(), wanted, at: Utc::now() }).await;
    }

    async fn tell(&self, event: BotEvent) {
        if let Err(error) = self.events.send_timeout(event, EVENT_PATIENCE).await {
            tracing::warn!(%error, "nobody took note of what happened to the bot");
        }
    }

    async fn end_leftovers(&self) {
        let (marker, uid, grace) = (self.spec.marker.clone(), self.uid, self.spec.stop_grace);
        match tokio::task::spawn_blocking(move || tree::end_leftovers(&marker, uid, grace)).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(count, "ended processes that an earlier run of the bot had left behind"),
            Err(error) => tracing::warn!(%error, "failed to look for what an earlier run left behind"),
        }
    }
}

/// What was asked of the bot that runs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Nothing,
    Again,
    End,
}

impl Ask {
    /// Takes note of a command; returns what to tell the shepherd.
    fn command(&mut self, command: &BotCommand) -> Option<Order> {
        match (*self, command) {
            (_, BotCommand::Signal(signal)) => Some(Order::Signal(*signal)),
            (Self::Nothing, BotCommand::Restart { .. }) => {
                *self = Self::Again;
                Some(Order::Stop(libc::SIGTERM))
            }
            (_, BotCommand::Restart { .. }) => None, // it is ending already
            (Self::Nothing, BotCommand::Stop { signal }) => {
                *self = Self::End;
                Some(Order::Stop(*signal))
            }
            (Self::Again, BotCommand::Stop { .. }) => {
                *self = Self::End;
                None
            }
            (Self::End, BotCommand::Stop { .. }) => Some(Order::Kill),
        }
    }
}

/// The next command; waits for ever when nobody is left who could send one.
async fn next(commands: &mut Option<mpsc::Receiver<BotCommand>>) -> BotCommand {
    loop {
        match commands {
            Some(open) => match open.recv().await {
                Some(command) => return command,
                None => *commands = None,
            },
            None => std::future::pending().await,
        }
    }
}

async fn send(started: &mut Started, order: Option<Order>) {
    if let Some(order) = order {
        let _ = started.orders.write_all(order.line().as_bytes()).await; // a lost shepherd shows in `wait`
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}

fn describe(report: Report) -> (End, Ended) {
    match report {
        Report::Exited(code) => {
            let end = if code == 0 { End::Success } else { End::Failure };
            (end, Ended { code, how: format!("exit code {code}") })
        }
        Report::Killed { signal, core } => {
            let name = Signal::try_from(signal).map_or("a signal without a name", Signal::as_str);
            let core = if core { " (core dumped)" } else { "" };
            (End::Signal(signal), Ended { code: 128 + signal, how: format!("killed by {name}{core}") })
        }
        Report::Pid(_) => (End::Failure, Ended { code: 1, how: "not ended".into() }),
    }
}

/// A number between 0 and 1, different each time: std seeds its hashers from the system's randomness.
fn roll() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
