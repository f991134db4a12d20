//! Runs a command of the configuration as an operation: held by SIGSTOP, ended by SIGTERM and then SIGKILL. I/O.
//!
//! An argument vector, never a shell; a process group of its own; an environment without any secret of ours.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;
use tokio::time::Instant;

use super::manager::Settings;
use super::operation::{Priority, Report};
use super::output::{Kept, Lines, read};
use super::schedule::Schedule;
use super::tree;
use super::work::{Control, Order, Outcome, Worker};

/// How long a command may take to end after SIGTERM; then SIGKILL. Below [`super::CANCEL_DEADLINE`], so that what it wrote is kept.
const GRACE: Duration = Duration::from_millis(600);

/// How long its output is still read after it ended: a process that it left may hold the pipe for ever.
const DRAIN: Duration = Duration::from_millis(200);

/// What a command inherits. No token, no password, no `LD_PRELOAD`.
const INHERITED: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// A command of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// Its name.
    pub name: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// When it is begun by itself.
    pub schedule: Option<Schedule>,
    /// How urgent it is.
    pub priority: Priority,
    /// It is ended when it worked so long, pauses not counted.
    pub timeout: Option<Duration>,
    /// Whether it is begun again when logmedic stopped in the middle of it.
    pub resume: bool,
}

/// A command that is to run.
pub(super) struct Command {
    pub(super) spec: CommandSpec,
    marker: Option<(String, String)>,
    directory: std::path::PathBuf,
}

impl Command {
    /// The command of this name; `None` when there is none.
    pub(super) fn new(settings: &Settings, name: &str) -> Option<Self> {
        let spec = settings.commands.iter().find(|spec| spec.name == name)?.clone();
        Some(Self { spec, marker: settings.marker.clone(), directory: settings.directory.clone() })
    }

    fn spawn(&self, control: &Control) -> std::io::Result<Child> {
        let argv = &self.spec.argv;
        let program = argv.first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut command = tokio::process::Command::new(program);
        command.args(&argv[1..]).env_clear().process_group(0).kill_on_drop(true).current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
        command.env("LOGMEDIC_OPERATION", control.id().to_string());
        command.envs(self.marker.clone());
        command.spawn()
    }
}

impl Worker for Command {
    fn run(self: Box<Self>, control: Control) -> BoxFuture<'static, Outcome> {
        Box::pin(async move { self.work(control).await })
    }
}

/// The processes of a command. Dropped, all of them are killed.
struct Group {
    leader: i32,
}

impl Group {
    /// A signal to the group, and to those below it that left the group.
    fn signal(&self, signal: Signal) {
        let members = tree::members(&tree::all(), self.leader);
        // Who is gone already needs no signal.
        let _ = killpg(Pid::from_raw(self.leader), signal);
        for stray in members.iter().filter(|process| process.group != self.leader) {
            let _ = kill(Pid::from_raw(stray.pid), signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Why a command was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Asked,
    TooLong,
}

impl Command {
    async fn work(&self, mut control: Control) -> Outcome {
        let mut child = match self.spawn(&control) {
            Ok(child) => child,
            Err(error) => {
                let program = self.spec.argv.first().map(String::as_str).unwrap_or_default();
                return Outcome::failed(format!(
                    "failed to start {program}: {error}; check argv of [[operation]] {}",
                    self.spec.name
                ));
            }
        };
        let Some(leader) = child.id().and_then(|pid| i32::try_from(pid).ok()) else {
            return Outcome::failed("failed to start: it was gone at once");
        };
        let group = Group { leader };
        control.process(leader);
        let kept = Arc::new(Mutex::new(Kept::default()));
        let readers = [
            tokio::spawn(listen(child.stdout.take(), control.clone(), Arc::clone(&kept))),
            tokio::spawn(listen(child.stderr.take(), control.clone(), Arc::clone(&kept))),
        ];
        let (status, why) = self.attend(&mut child, &group, &mut control).await;
        for mut reader in readers {
            if tokio::time::timeout(DRAIN, &mut reader).await.is_err() {
                reader.abort();
            }
        }
        // What it left behind ends with it.
        drop(group);
        let output = kept.lock().unwrap_or_else(PoisonError::into_inner).lines();
        self.verdict(status, why, output)
    }

    /// Passes orders on until the command ends.
    async fn attend(
        &self,
        child: &mut Child,
        group: &Group,
        control: &mut Control,
    ) -> (std::io::Result<ExitStatus>, Option<Why>) {
        let mut left = self.spec.timeout;
        let mut runs_since = Some(Instant::now());
        let mut why = None;
        let mut kill_at: Option<Instant> = None;
        let mut order = control.order();
        loop {
            match order {
                Order::End if why.is_none() => {
                    why = Some(Why::Asked);
                    kill_at = Some(Instant::now() + GRACE);
                    group.signal(Signal::SIGTERM);
                    // One that is stopped takes no signal before it goes on.
                    group.signal(Signal::SIGCONT);
                }
                Order::Hold if why.is_none() => {
                    group.signal(Signal::SIGSTOP);
                    if let Some(since) = runs_since.take() {
                        left = left.map(|left| left.saturating_sub(since.elapsed()));
                    }
                    control.held();
                }
                Order::Run if runs_since.is_none() => {
                    runs_since = Some(Instant::now());
                    group.signal(Signal::SIGCONT);
                }
                _ => {}
            }
            let over_at = runs_since.filter(|_| why.is_none()).and_then(|since| Some(since + left?));
            tokio::select! {
                status = child.wait() => return (status, why),
                next = control.next_order(), if why.is_none() => order = next,
                () = at(kill_at) => {
                    kill_at = None;
                    group.signal(Signal::SIGKILL);
                }
                () = at(over_at) => {
                    why = Some(Why::TooLong);
                    kill_at = Some(Instant::now() + GRACE);
                    group.signal(Signal::SIGTERM);
                }
            }
        }
    }

    fn verdict(&self, status: std::io::Result<ExitStatus>, why: Option<Why>, output: Vec<String>) -> Outcome {
        let name = &self.spec.name;
        let (code, how) = match &status {
            Ok(status) => (
                status.code(),
                match status.code() {
                    Some(code) => format!("exit code {code}"),
                    None => format!("signal {}", status.signal().unwrap_or(0)),
                },
            ),
            Err(error) => (None, error.to_string()),
        };
        let report = |detail: String| Report { detail, exit_code: code, output };
        match why {
            Some(Why::Asked) => Outcome::Cancelled(report(format!("'{name}' was ended: {how}"))),
            Some(Why::TooLong) => {
                let limit = self.spec.timeout.unwrap_or_default().as_secs();
                Outcome::Failed(report(format!("'{name}' ran longer than {limit} s and was ended: {how}")))
            }
            None if status.is_ok_and(|status| status.success()) => {
                Outcome::Done(report(format!("'{name}' ended well")))
            }
            None => Outcome::Failed(report(format!("'{name}' failed: {how}"))),
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Reads what a command writes: progress into its tally, the last lines for its report.
async fn listen(pipe: Option<impl AsyncRead + Unpin>, control: Control, kept: Arc<Mutex<Kept>>) {
    let Some(mut pipe) = pipe else { return };
    let (mut lines, mut block) = (Lines::default(), vec![0; 8192]);
    let take = |line: &str| {
        control.tell(|tally| {
            if !read(line, tally) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).add(line);
            }
        });
    };
    while let Ok(got) = pipe.read(&mut block).await {
        if got == 0 {
            break;
        }
        lines.take(&block[..got], take);
    }
    lines.end(take);
}
