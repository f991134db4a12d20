//! Runs a command the user configured: an argument vector, never a shell, with nothing of ours in its environment.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::output::{Step, done, evidence, permanent, refused, transient_of};
use super::part::Draft;
use super::{CommandSpec, Healer, address};
use crate::decide::{Task, TaskOutput};
use crate::roots::{PART_SUFFIX, RootPath};
use crate::vocab::Evidence;

/// The name of the command behind [`crate::decide::Fetch::Command`].
const REDOWNLOAD: &str = "redownload";
/// The end of what a command says that is kept; reasons stand at the end.
const KEPT_OUTPUT: usize = 4096;
/// How long its output is still read after it ended: a grandchild may hold the pipe for ever.
const DRAIN: Duration = Duration::from_millis(300);
/// Longest value that is handed over.
const MAX_VALUE: usize = 4096;
/// What a command inherits. No token, no password, no `LD_PRELOAD`.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// What a command is told, by the name of the placeholder.
type Values = Vec<(&'static str, String)>;

/// Kills the command's process group unless it ended by itself.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Healer {
    pub(super) async fn command(
        &self,
        task: &Task,
        name: &str,
        path: Option<&str>,
        variables: &[(String, String)],
    ) -> Step<TaskOutput> {
        let mut values: Values = Vec::new();
        if let Some(path) = path {
            let path = self.resolve(path)?.absolute().to_string_lossy().into_owned();
            values.push(("target", path.clone()));
            values.push(("path", path));
        }
        self.offer_known(&mut values, variables).await;
        let (detail, seen) = self.execute(task, name, &values).await?;
        Ok(done(detail, seen))
    }

    /// Adds what is known of the incident.
    async fn offer_known(&self, values: &mut Values, variables: &[(String, String)]) {
        for known in ["url", "file_id", "job"] {
            if let Some((_, value)) = variables.iter().find(|(name, _)| name == known) {
                self.offer(values, known, value).await;
            }
        }
    }

    /// Adds a value of the log when it is what its name says, and an address only when its host is listed.
    async fn offer(&self, values: &mut Values, name: &'static str, value: &str) {
        let fine = match name {
            "url" => match address::parse(value) {
                Ok(url) => address::admit(self.settings(), url).await.is_ok(),
                Err(_) => false,
            },
            _ => value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)),
        };
        if fine && !value.is_empty() && value.len() <= MAX_VALUE {
            values.push((name, value.to_owned()));
        }
    }

    /// Runs `[command.redownload]`. `None`: it saved the file at its place itself, without a part.
    pub(super) async fn fetch_by_command(
        &self,
        task: &Task,
        path: &RootPath,
        variables: &[(String, String)],
    ) -> Step<Option<(Draft, Evidence)>> {
        let hold = self.hold(path.to_string())?;
        if let Some(parent) = path.parent() {
            parent.make_directories()?;
        }
        let part = path.beside(PART_SUFFIX)?;
        let before = (path.stat()?, part.stat()?);
        let shown = |path: &RootPath| path.absolute().to_string_lossy().into_owned();
        let mut values: Values = vec![("path", shown(&part)), ("target", shown(path))];
        self.offer_known(&mut values, variables).await;
        let (_, seen) = self.execute(task, REDOWNLOAD, &values).await?;
        let after = (path.stat()?, part.stat()?);
        if after.0.is_some() && after.0 != before.0 {
            return Ok(None);
        }
        if after.1.is_none() || after.1 == before.1 {
            return Ok(None);
        }
        Ok(Some((self.adopt(path, hold).await?, seen)))
    }

    async fn execute(&self, task: &Task, name: &str, values: &Values) -> Step<(String, Evidence)> {
        let spec = self.settings().commands.get(name).ok_or_else(|| {
            let remedy = format!("[command.{name}]\nargv = [\"/path/to/program\", \"{{path}}\"]");
            refused(format!("no command '{name}' is configured"), Some(remedy))
        })?;
        let argv = arguments(name, spec, values)?;
        let mut command = self.prepared(&argv, task, values);
        let mut child = command.spawn().map_err(|error| {
            let remedy = format!("check [command.{name}] argv: is {} installed and executable?", argv[0]);
            refused(format!("failed to start {}: {error}", argv[0]), Some(remedy))
        })?;
        let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
        let out = tokio::spawn(tail_of(child.stdout.take()));
        let err = tokio::spawn(tail_of(child.stderr.take()));
        let status = tokio::time::timeout(spec.timeout, child.wait()).await;
        let mut said = Vec::new();
        if status.is_err() {
            drop(Group(group.0.take()));
        }
        for mut reader in [out, err] {
            match tokio::time::timeout(DRAIN, &mut reader).await {
                Ok(Ok(text)) => said.push(text),
                _ => reader.abort(),
            }
        }
        // What it left behind in its group ends with it.
        drop(group);
        let said = said.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
        let status = status.map_err(|_| {
            let detail = format!("the command '{name}' ran longer than {} s and was stopped", spec.timeout.as_secs());
            transient_of(detail, evidence(json!({ "command": name, "output": said })), None, None)
        })?;
        let status = status.map_err(|error| permanent(format!("failed to wait for '{name}': {error}")))?;
        let seen = evidence(json!({
            "command": name, "exit_code": status.code(), "signal": status.signal(), "output": said,
        }));
        verdict(name, status, seen)
    }

    fn prepared(&self, argv: &[String], task: &Task, values: &Values) -> Command {
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).env_clear().process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
        command.env("LOGMEDIC_TASK", task.id.to_string()).env("LOGMEDIC_INCIDENT", task.incident.to_string());
        command.envs(values.iter().map(|(name, value)| (format!("LOGMEDIC_{}", name.to_uppercase()), value)));
        command.envs(self.settings().marker.clone());
        if let Some(directory) = self.settings().working_dir.as_ref().filter(|dir| dir.is_dir()) {
            command.current_dir(directory);
        }
        // It works in directories that the bot may write: as root it would follow any link the bot puts there.
        let bot = &self.settings().bot;
        if nix::unistd::geteuid().is_root() && bot.uid != 0 {
            command.uid(bot.uid).gid(bot.gids.first().copied().unwrap_or(bot.uid));
        }
        command
    }
}

/// The argument vector with whole-argument placeholders filled in.
fn arguments(name: &str, spec: &CommandSpec, values: &Values) -> Step<Vec<String>> {
    let mut argv = Vec::with_capacity(spec.argv.len());
    for (place, argument) in spec.argv.iter().enumerate() {
        let Some(wanted) = argument.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            argv.push(argument.clone());
            continue;
        };
        let Some((_, value)) = values.iter().find(|(known, _)| *known == wanted) else {
            return Err(refused(
                format!("the command '{name}' wants {argument}, which is not known or not allowed here"),
                None,
            ));
        };
        // The program is the user's choice alone; and a value of the log must not be read as an option.
        if place == 0 || value.starts_with('-') || value.contains('\0') {
            return Err(refused(format!("what the log has for {argument} may not be an argument of '{name}'"), None));
        }
        argv.push(value.clone());
    }
    if argv.first().is_none_or(String::is_empty) {
        return Err(refused(format!("[command.{name}] argv is empty"), None));
    }
    Ok(argv)
}

fn verdict(name: &str, status: ExitStatus, seen: Evidence) -> Step<(String, Evidence)> {
    if status.success() {
        return Ok((format!("the command '{name}' ended well"), seen));
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or(0)),
    };
    let detail = format!("the command '{name}' failed: {how}");
    match status.code() {
        // 77 of sysexits.h: not permitted; 126 and 127: the program behind a wrapper is not there.
        Some(77 | 126 | 127) => Err(Box::new(TaskOutput::Permanent { detail, evidence: seen })),
        _ => Err(transient_of(detail, seen, None, None)),
    }
}

/// Reads to the end and keeps the last [`KEPT_OUTPUT`] bytes.
async fn tail_of(reader: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut reader) = reader else { return String::new() };
    let (mut kept, mut block) = (Vec::new(), vec![0; 8192]);
    while let Ok(got) = reader.read(&mut block).await {
        if got == 0 {
            break;
        }
        kept.extend_from_slice(&block[..got]);
        if kept.len() > KEPT_OUTPUT {
            kept.drain(..kept.len() - KEPT_OUTPUT);
        }
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}
