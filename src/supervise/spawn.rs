//! Starts a shepherd with the bot below it: checks first, then environment, pipes and socket. I/O.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use nix::unistd::{User, geteuid};
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};

use super::output::{Readers, Sink};
use super::tree::MARKER;
use super::{BotSpec, NOT_EXECUTABLE, NOT_FOUND, files};

/// Meant by the service manager for us alone.
const OURS: [&str; 7] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "STATE_DIRECTORY"];

/// Where programs are looked for when there is no `PATH`, as execvp(3) does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Why a bot cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The command is empty.
    #[error("failed to start the bot: the command is empty; set `[bot] command` or put it behind `--`")]
    NoCommand,
    /// No such program.
    #[error("failed to start the bot: {program}: command not found{hint}")]
    NotFound {
        /// As given.
        program: String,
        /// Where it was looked for.
        hint: String,
    },
    /// A program that cannot be run.
    #[error("failed to start the bot: {program}: {why}")]
    NotExecutable {
        /// As given.
        program: String,
        /// Why, and what would help.
        why: String,
    },
    /// The working directory is not there.
    #[error("failed to start the bot: no directory {0}; create it or correct `[bot] cwd`")]
    NoDirectory(PathBuf),
    /// No such user.
    #[error("failed to start the bot: there is no user {0:?}; correct `[bot] user`, or `useradd --system {0}`")]
    NoUser(String),
    /// Only root can become somebody else.
    #[error(
        "failed to start the bot as {wanted:?}: we run as {own:?}, and only root can change that; \
         start logmedic as {wanted:?} (in the unit: User={wanted}), or take `[bot] user` out"
    )]
    NotPermitted {
        /// Whom it should run as.
        wanted: String,
        /// Whom we run as.
        own: String,
    },
    /// The system refused.
    #[error("failed to start the bot: {0}")]
    System(#[from] io::Error),
}

impl StartError {
    /// The code to end with.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::NoCommand | Self::NotFound { .. } => i32::from(NOT_FOUND),
            Self::NotExecutable { .. } | Self::NoDirectory(_) => i32::from(NOT_EXECUTABLE),
            Self::NoUser(_) => 78,
            Self::NotPermitted { .. } => 77,
            Self::System(_) => 1,
        }
    }
}

/// A shepherd and what connects us to it.
pub struct Started {
    /// The shepherd. It ends when nothing is left of the tree.
    pub shepherd: Child,
    /// What it reports.
    pub reports: BufReader<OwnedReadHalf>,
    /// What we ask. Dropped, it ends the tree.
    pub orders: OwnedWriteHalf,
    /// Who reads the bot's output.
    pub readers: Readers,
}

/// Whom the bot runs as when that is not ourselves.
///
/// # Errors
/// When there is no such user, or we may not become them.
pub fn other_user(spec: &BotSpec) -> Result<Option<User>, StartError> {
    let Some(name) = &spec.user else { return Ok(None) };
    let user = User::from_name(name).map_err(io::Error::from)?.ok_or_else(|| StartError::NoUser(name.clone()))?;
    let own = geteuid();
    if user.uid == own {
        return Ok(None);
    }
    if !own.is_root() {
        let own = User::from_uid(own).ok().flatten().map_or_else(|| own.to_string(), |u| u.name);
        return Err(StartError::NotPermitted { wanted: name.clone(), own });
    }
    Ok(Some(user))
}

/// Looks whether the command can be started, for an answer that is clearer than a shell's.
///
/// # Errors
/// When it cannot, as far as can be seen without being the bot's user.
pub fn check(spec: &BotSpec) -> Result<(), StartError> {
    let program = spec.command.first().filter(|p| !p.is_empty()).ok_or(StartError::NoCommand)?;
    if let Some(cwd) = spec.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
        return Err(StartError::NoDirectory(cwd.clone()));
    }
    let shown = program.to_string_lossy().into_owned();
    if program.as_encoded_bytes().contains(&b'/') {
        // Relative to where it will run: the program is looked up after the change of directory.
        let path = spec.cwd.as_deref().unwrap_or(Path::new(".")).join(program);
        return executable(&path).map_err(|why| match why {
            None => StartError::NotFound { program: shown, hint: String::new() },
            Some(why) => StartError::NotExecutable { program: shown, why },
        });
    }
    let own = spec.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| OsString::from(value));
    let path = own.or_else(|| env::var_os("PATH")).unwrap_or_else(|| DEFAULT_PATH.into());
    let mut why_not = None;
    for folder in env::split_paths(&path) {
        match executable(&spec.cwd.as_deref().unwrap_or(Path::new(".")).join(folder).join(program)) {
            Ok(()) => return Ok(()),
            Err(why) => why_not = why_not.or(why),
        }
    }
    Err(match why_not {
        Some(why) => StartError::NotExecutable { program: shown, why },
        None => StartError::NotFound { program: shown, hint: format!(" in PATH={}", path.to_string_lossy()) },
    })
}

/// `Err(None)` when it is not there, `Err(why)` when it cannot be run.
fn executable(path: &Path) -> Result<(), Option<String>> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(Some("it is a directory".into())),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
            Err(Some(format!("it is not executable; `chmod +x {}`", path.display())))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Some(error.to_string())),
        Err(_) => Err(None),
    }
}

/// Starts it. Must be called within a tokio runtime.
///
/// # Errors
/// When it can be seen beforehand that it will not run, or the system refuses.
pub fn start(spec: &BotSpec, sink: &Arc<Sink>) -> Result<Started, StartError> {
    check(spec)?;
    let user = other_user(spec)?;
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let (out, out_end) = io::pipe()?;
    let (err, err_end) = io::pipe()?;

    let mut command = Command::new(spec.trampoline.as_deref().unwrap_or(Path::new("/proc/self/exe")));

    command
        .arg0("logmedic") // in `ps`, instead of /proc/self/exe
        .args(["__exec", "shepherd", &spec.stop_grace.as_millis().to_string()])
        .arg(user.as_ref().map_or("", |u| u.name.as_str()))
        .args(&spec.command)
        .process_group(0) // the terminal's Ctrl+C is for the agent; it passes it on
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::from(out_end))
        .stderr(Stdio::from(err_end));
    if let Some(cwd) = &spec.cwd {
        command.current_dir(cwd);
    }
    environment(&mut command, spec, user.as_ref());
    let shepherd = command.spawn()?;
    drop(command); // it holds our copies of the pipes' far ends, without which there is an end of file
    let (reports, orders) = UnixStream::from_std(ours)?.into_split();
    let readers = Readers::start(out, err, sink)?;
    Ok(Started { shepherd, reports: BufReader::new(reports), orders, readers })
}

fn environment(command: &mut Command, spec: &BotSpec, user: Option<&User>) {
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"LOGMEDIC_") || OURS.iter().any(|ours| name == OsStr::new(ours)) {
            command.env_remove(name); // our secrets and our service manager are not the bot's
        }
    }
    if env::var_os("PYTHONUNBUFFERED").is_none() {
        command.env("PYTHONUNBUFFERED", "1"); // Python holds back 8 KiB when it writes to a pipe
    }
    if let Some(user) = user {
        command.env("HOME", &user.dir).env("USER", &user.name).env("LOGNAME", &user.name).env("SHELL", &user.shell);
    }
    command.envs(spec.env.iter().map(|(name, value)| (name, value)));
    command.env(MARKER, &spec.marker);
    if let Some(soft) = files::before() {
        command.env(files::VARIABLE, soft.to_string());
    }
}
