//! Looks whether the system shows a fault. Changes nothing.

use std::panic::AssertUnwindSafe;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::directory::directory_of;
use super::examine::facts_evidence;
use super::output::{Step, answer, answer_of, evidence, sealed, unknown};
use super::part::SLACK;
use super::{Healer, Stop, blocking};
use crate::decide::{Answer, Expect, Finding, Question, TaskOutput};
use crate::media::State;
use crate::roots::{Budget, Error, FileKind, PART_SUFFIX, RootPath, Space, group_name, user_name};
use crate::vocab::Evidence;

/// Fewer free inodes than this is as bad as no room.
const MIN_INODES: u64 = 64;

impl Healer {
    pub(super) async fn look(&self, question: &Question, stop: &Stop) -> Answer {
        let answered = match question {
            Question::Download { path, expect } => self.look_download(path, expect, stop).await,
            Question::Integrity { path, expect } => self.look_integrity(path, expect, stop).await,
            Question::Access { path } => self.look_access(path).await,
            Question::Directory { path } => self.look_directory(path).await,
            Question::Space { path, need } => self.look_space(path.as_deref(), *need).await,
            Question::Server { url } => Ok(self.look_server(url).await),
        };
        answered.unwrap_or_else(|output| answer_of(*output))
    }

    /// What a look shows at once, on the caller's thread: that something is not there, on a file system of this machine.
    /// `None`: only the look itself can tell.
    #[must_use]
    pub fn glance(&self, question: &Question) -> Option<TaskOutput> {
        // A mistake here must not take the engine along: the look itself says what it is.
        std::panic::catch_unwind(AssertUnwindSafe(|| self.missing(question))).ok().flatten()
    }

    fn missing(&self, question: &Question) -> Option<TaskOutput> {
        let here = |hint| self.resolve(hint).ok().filter(RootPath::is_local);
        let seen = match question {
            Question::Download { path, .. } => {
                let path = here(path)?;
                path.stat().ok()?.is_none().then(|| no_file(&path, self.foreign_part(&path)))?
            }
            Question::Directory { path } => {
                let path = here(path)?;
                let directory = match directory_of(&path) {
                    Err(Error::Missing(_)) => path,
                    other => other.ok()?,
                };
                directory.stat().ok()?.is_none().then(|| no_directory(&directory))?
            }
            Question::Integrity { .. } | Question::Access { .. } | Question::Space { .. } | Question::Server { .. } => {
                return None;
            }
        };
        Some(sealed(TaskOutput::Seen(seen)))
    }

    async fn look_download(&self, hint: &str, expect: &Expect, stop: &Stop) -> Step<Answer> {
        let path = self.resolve(hint)?;
        let part = self.foreign_part(&path);
        let Some(seen) = self.examine(&path, expect, stop).await? else { return Ok(no_file(&path, part)) };
        let mut shows = seen.evidence(&path);
        if seen.growing {
            return Ok(answer(Finding::Unknown, format!("{path} is still being written"), shows));
        }
        if let Some(part) = part {
            shows.extend(part);
            return Ok(answer(Finding::Unknown, format!("somebody is writing a .part beside {path}"), shows));
        }
        let detail = format!("{path} is {}: {}", word(seen.state), seen.detail);
        Ok(answer(finding(seen.state), detail, shows))
    }

    /// A `.part` beside the file that somebody else is writing right now.
    fn foreign_part(&self, path: &RootPath) -> Option<Evidence> {
        let facts = path.beside(PART_SUFFIX).ok()?.stat().ok()??;
        let age = facts.age(SystemTime::now());
        let ours = self.note(path).is_some_and(|note| note.is_of(facts.identity));
        (!ours && age < self.settings().timeouts.part_fresh)
            .then(|| evidence(json!({ "part_bytes": facts.size, "part_age_ms": age.as_millis() })))
    }

    async fn look_integrity(&self, hint: &str, expect: &Expect, stop: &Stop) -> Step<Answer> {
        let path = self.resolve(hint)?;
        let Some(seen) = self.examine(&path, expect, stop).await? else {
            let shows = evidence(json!({ "path": path.to_string(), "exists": false }));
            return Ok(answer(Finding::Sound, format!("{path} is not there, so it is not broken"), shows));
        };
        let shows = seen.evidence(&path);
        if seen.growing {
            return Ok(answer(Finding::Unknown, format!("{path} is still being written"), shows));
        }
        let detail = format!("{path} is {}: {}", word(seen.state), seen.detail);
        Ok(answer(finding(seen.state), detail, shows))
    }

    async fn look_access(&self, hint: &str) -> Step<Answer> {
        let path = self.resolve(hint)?;
        let (who, name) = (self.settings().bot.who(), self.settings().bot.name.clone());
        let target = path.clone();
        let (access, space) = blocking(move || (target.access_as(&who), target.space())).await?;
        let access = match access {
            Ok(access) => access,
            Err(Error::Missing(what)) => return Ok(unknown(format!("{what} is not there"))),
            Err(error) => return Err(error.into()),
        };
        let mut shows = facts_evidence(&access.subject, &access.facts);
        shows.insert("user".into(), name.clone().into());
        if space.is_ok_and(|space| space.read_only) {
            shows.insert("read_only".into(), true.into());
            return Ok(answer(Finding::Fault, format!("the file system of {path} is mounted read-only"), shows));
        }
        let Some(first) = access.denied.first() else {
            return Ok(answer(Finding::Sound, format!("{name} may use {}", access.subject), shows));
        };
        let denied: Vec<Value> = access
            .denied
            .iter()
            .map(|denied| {
                json!({
                    "path": denied.path.to_string(), "missing": denied.missing_word(),
                    "mode": format!("{:04o}", denied.facts.mode),
                    "owner": user_name(denied.facts.uid), "group": group_name(denied.facts.gid),
                })
            })
            .collect();
        shows.insert("denied".into(), denied.into());
        let detail = format!("{name} may not use {}: it lacks {} there", first.path, first.missing_word());
        if access.acl {
            shows.insert("acl".into(), true.into());
            return Ok(answer(
                Finding::Unknown,
                format!("{detail} by its mode, but an access control list may allow it"),
                shows,
            ));
        }
        Ok(answer(Finding::Fault, detail, shows))
    }

    async fn look_directory(&self, hint: &str) -> Step<Answer> {
        let path = self.resolve(hint)?;
        let looked = blocking(move || {
            let directory = match directory_of(&path) {
                // A directory above it is missing too.
                Err(Error::Missing(_)) => path.clone(),
                other => other?,
            };
            let facts = directory.stat()?;
            Ok::<_, Error>((directory, facts))
        });
        let (directory, facts) = looked.await??;
        let Some(facts) = facts else { return Ok(no_directory(&directory)) };
        let shows = facts_evidence(&directory, &facts);
        Ok(match facts.kind {
            FileKind::Directory => answer(Finding::Sound, format!("the directory {directory} is there"), shows),
            _ => answer(Finding::Unknown, format!("{directory} is no directory; it is in the way"), shows),
        })
    }

    async fn look_space(&self, hint: Option<&str>, need: Option<u64>) -> Step<Answer> {
        let paths = match hint {
            Some(hint) => vec![self.resolve(hint)?],
            None => self.inner.roots.all(),
        };
        // As a download itself asks: whoever waits for room must not be sent on into a refusal.
        let wanted = need.map_or(self.settings().min_free, |need| need.saturating_add(SLACK));
        let (asked, fullest) = blocking(move || {
            let asked: Vec<(RootPath, Space)> =
                paths.into_iter().filter_map(|path| path.space().ok().map(|space| (path, space))).collect();
            let full = asked.iter().filter(|(_, space)| is_full(space, wanted)).min_by_key(|(_, space)| space.free);
            let fullest = full.map(|(path, space)| {
                let root = path.chain().swap_remove(0);
                (path.clone(), *space, root.usage(Budget::default()).ok())
            });
            (asked, fullest)
        })
        .await?;
        if asked.is_empty() {
            return Ok(unknown("no root could be asked for its room"));
        }
        let rows: Vec<Value> = asked.iter().map(|(path, space)| space_json(path, space)).collect();
        let lowest = asked.iter().map(|(_, space)| space.free).min().unwrap_or(0);
        let mut shows = evidence(json!({ "need_bytes": wanted, "free_bytes": lowest, "roots": rows }));
        let Some((path, space, usage)) = fullest else {
            return Ok(answer(Finding::Sound, format!("{lowest} bytes are free, {wanted} are needed"), shows));
        };
        if let Some(usage) = usage {
            let largest: Vec<Value> =
                usage.largest.iter().map(|entry| json!({ "path": entry.path, "bytes": entry.bytes })).collect();
            shows.insert("filled_by".into(), largest.into());
            shows.insert("root_bytes".into(), usage.bytes.into());
            shows.insert("root_files".into(), usage.files.into());
            shows.insert("partial".into(), usage.partial.into());
        }
        let why = if space.free < wanted {
            format!("{} bytes are free at {path}, {wanted} are needed", space.free)
        } else {
            format!("only {} inodes are free at {path}", space.free_inodes)
        };
        Ok(answer(Finding::Fault, why, shows))
    }
}

fn no_file(path: &RootPath, part: Option<Evidence>) -> Answer {
    let mut shows = evidence(json!({ "path": path.to_string(), "exists": false }));
    let tail = if part.is_some() { "; somebody is writing its .part" } else { "" };
    shows.extend(part.unwrap_or_default());
    answer(Finding::Fault, format!("{path} is not there{tail}"), shows)
}

fn no_directory(directory: &RootPath) -> Answer {
    let shows = evidence(json!({ "path": directory.to_string(), "exists": false }));
    answer(Finding::Fault, format!("the directory {directory} is not there"), shows)
}

fn is_full(space: &Space, wanted: u64) -> bool {
    space.free < wanted || (space.inodes > 0 && space.free_inodes < MIN_INODES)
}

fn space_json(path: &RootPath, space: &Space) -> Value {
    json!({
        "path": path.to_string(), "free_bytes": space.free, "total_bytes": space.total,
        "free_inodes": space.free_inodes, "read_only": space.read_only,
    })
}

fn finding(state: State) -> Finding {
    match state {
        State::Sound => Finding::Sound,
        State::Short | State::Broken => Finding::Fault,
        State::Unknown => Finding::Unknown,
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Sound => "whole",
        State::Short => "cut short",
        State::Broken => "broken",
        State::Unknown => "there, but nothing tells whether it is whole",
    }
}
