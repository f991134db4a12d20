//! Has a command run that the user configured: an argument vector, never a shell, with nothing of ours in its environment.

use std::time::Duration;

use serde_json::json;

use super::output::{Step, done, evidence, failed, refused, transient_of};
use super::part::Draft;
use super::{CommandSpec, Healer, address};
use crate::decide::{Task, TaskOutput};
use crate::launch::wire::{How, Request};
use crate::launch::{self, Ran};
use crate::roots::{Facts, PART_SUFFIX, RootPath};
use crate::vocab::Evidence;

/// The name of the command behind [`crate::decide::Fetch::Command`].
const REDOWNLOAD: &str = "redownload";
/// Said of a command of which nobody knows how far it came.
const LOST: &str = "logmedic was stopped in the middle of it";
/// Longest value that is handed over.
const MAX_VALUE: usize = 4096;
/// What a command is told, by the name of the placeholder.
type Values = Vec<(&'static str, String)>;

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
        let (detail, seen, _) = self.execute(task, name, &values, String::new()).await?;
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
    ) -> Step<(Option<Draft>, Evidence)> {
        let hold = self.hold(path.to_string())?;
        if let Some(parent) = path.parent().filter(RootPath::lacks_directory) {
            launch::announced().await;
            parent.make_directories()?;
        }
        let part = path.beside(PART_SUFFIX)?;
        let before = [shape(path.stat()?), shape(part.stat()?)];
        let note = serde_json::to_string(&before).unwrap_or_default();
        let shown = |path: &RootPath| path.absolute().to_string_lossy().into_owned();
        let mut values: Values = vec![("path", shown(&part)), ("target", shown(path))];
        self.offer_known(&mut values, variables).await;
        let (_, seen, note) = self.execute(task, REDOWNLOAD, &values, note).await?;
        // As it was when the command was begun, which may have been in an earlier life of ours.
        let before: [Option<String>; 2] = serde_json::from_str(&note).unwrap_or(before);
        let after = [shape(path.stat()?), shape(part.stat()?)];
        if after[0].is_some() && after[0] != before[0] {
            return Ok((None, seen));
        }
        if after[1].is_none() || after[1] == before[1] {
            return Ok((None, seen));
        }
        Ok((Some(self.adopt(path, hold).await?), seen))
    }

    /// Has the command run, unless this task was begun before a restart: then what comes of that is taken. Also returns what was
    /// noted when it was begun.
    async fn execute(
        &self,
        task: &Task,
        name: &str,
        values: &Values,
        note: String,
    ) -> Step<(String, Evidence, String)> {
        let launcher = &self.inner.launcher;
        let limit = self.settings().commands.get(name).map_or(task.limit, |spec| spec.timeout.min(task.limit));
        let earlier = if task.resumed { launcher.adopt(task.id).await } else { Ok(None) };
        let ran = match earlier {
            Ok(None) => launcher.run(self.request(task, name, values, limit, note)?).await,
            Ok(Some(ran)) => Ok(ran),
            Err(error) => Err(error),
        };
        let ran = ran.map_err(|error| match error {
            launch::Error::Lost => Box::new(TaskOutput::Lost { detail: LOST.into() }),
            launch::Error::TooLong(_) | launch::Error::Nul => refused(error.to_string(), None),
            launch::Error::Start(_) | launch::Error::Send(_) => failed(error.to_string()),
        })?;
        verdict(name, limit, ran)
    }

    fn request(&self, task: &Task, name: &str, values: &Values, limit: Duration, note: String) -> Step<Request> {
        let spec = self.settings().commands.get(name).ok_or_else(|| {
            let remedy = format!("[command.{name}]\nargv = [\"/path/to/program\", \"{{path}}\"]");
            refused(format!("no command '{name}' is configured"), Some(remedy))
        })?;
        let mut env = vec![(launch::TASK.to_owned(), task.id.to_string())];
        env.push(("LOGMEDIC_INCIDENT".to_owned(), task.incident.to_string()));
        env.extend(values.iter().map(|(name, value)| (format!("LOGMEDIC_{}", name.to_uppercase()), value.clone())));
        env.extend(self.settings().marker.clone());
        let cwd = match self.settings().working_dir.as_ref().filter(|dir| dir.is_dir()) {
            Some(dir) => Some(dir.to_str().map(str::to_owned).ok_or_else(|| {
                let remedy = Some("give the directory a name in UTF-8, or set [bot] cwd".to_owned());
                refused(format!("failed to start '{name}' in {}: its name is not UTF-8", dir.display()), remedy)
            })?),
            None => None,
        };
        // It works in directories that the bot may write: as root it would follow any link the bot puts there.
        let bot = &self.settings().bot;
        let other = nix::unistd::geteuid().is_root() && bot.uid != 0;
        Ok(Request {
            task: task.id,
            argv: arguments(name, spec, values)?,
            env,
            cwd,
            user: other.then(|| (bot.uid, bot.gids.first().copied().unwrap_or(bot.uid))),
            limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            note,
        })
    }
}

/// By what a file is known again: another one, or a change of this one, has another shape.
fn shape(facts: Option<Facts>) -> Option<String> {
    let facts = facts?;
    let (device, inode) = facts.identity;
    let at = facts.modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let Facts { size, allocated, mode, uid, gid, links, kind, .. } = facts;
    Some(format!("{kind:?} {device}:{inode} {size} {allocated} {at} {mode:o} {uid}:{gid} {links}"))
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

fn verdict(name: &str, limit: Duration, ran: Ran) -> Step<(String, Evidence, String)> {
    let (code, signal) = match &ran.ended.how {
        How::Code(code) => (Some(*code), None),
        How::Signal(signal) => (None, Some(*signal)),
        How::Overtime | How::CalledOff | How::NotStarted(_) => (None, None),
    };
    let mut seen = evidence(json!({
        "command": name, "exit_code": code, "signal": signal, "output": ran.ended.output,
    }));
    if ran.adopted {
        seen.insert("adopted".into(), "it went on while logmedic was away".into());
    }
    let detail = match ran.ended.how {
        How::Code(0) => return Ok((format!("the command '{name}' ended well"), seen, ran.note)),
        How::Code(code) => format!("the command '{name}' failed: exit code {code}"),
        How::Signal(signal) => format!("the command '{name}' failed: signal {signal}"),
        How::Overtime => format!("the command '{name}' ran longer than {} s and was stopped", limit.as_secs()),
        // By an agent that died before it could write that down.
        How::CalledOff => return Err(Box::new(TaskOutput::Lost { detail: LOST.into() })),
        How::NotStarted(why) => {
            let remedy = format!("check [command.{name}] argv: is its program installed and executable?");
            return Err(refused(format!("failed to start '{name}': {why}"), Some(remedy)));
        }
    };
    match code {
        // 77 of sysexits.h: not permitted; 126 and 127: the program behind a wrapper is not there.
        Some(77 | 126 | 127) => Err(Box::new(TaskOutput::Permanent { detail, evidence: seen })),
        _ => Err(transient_of(detail, seen, None, None)),
    }
}
