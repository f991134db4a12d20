//! Finds what a failure line is about: a job, a file, a server, or only its source. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Facts, Item, Jobs};
use crate::classify::Hit;
use crate::vocab::{Class, Id, Subject, SubjectKind};

/// A line that names nothing, so soon behind one of the same class, tells of the same fault.
const SAME_CLASS_ECHO: TimeDelta = TimeDelta::milliseconds(250);

/// A line that names nothing, so soon behind a located one of any class, tells of the same fault.
const ANY_CLASS_ECHO: TimeDelta = TimeDelta::milliseconds(250);

/// Where a failure belongs.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// About what.
    pub subject: Subject,
    /// The download job.
    pub job: Option<Id>,
    /// The facts of the line, filled up with the job's.
    pub facts: Facts,
    /// The incident of the line just before, when this one only repeats it.
    pub echo_of: Option<Id>,
}

/// The latest failure of each source, for lines that name nothing themselves.
#[derive(Clone, Debug, Default)]
pub struct Locator {
    last: std::collections::BTreeMap<String, Last>,
}

#[derive(Clone, Debug)]
struct Last {
    class: Class,
    at: DateTime<Utc>,
    incident: Id,
    located: bool,
}

impl Locator {
    /// Tells what `hit` is about. `bot_api` is the origin used when a line names no server.
    #[must_use]
    pub fn locate(&self, source: &str, hit: &Hit, item: &Item, jobs: &Jobs, bot_api: &str) -> Located {
        let at = item.at;
        let mut facts = Facts::from_captures(&hit.captures);
        let method = facts.url.as_deref().and_then(bot_method);
        let name = hit.captures.get("job").or_else(|| hit.captures.get("name")).map(String::as_str);
        // A poll or a message that fails is the server's affair, whatever is being loaded meanwhile.
        let server_call = method.is_some_and(|method| !method.eq_ignore_ascii_case("getfile"));
        if server_call {
            let origin = facts.url.as_deref().and_then(origin).unwrap_or_else(|| bot_api.to_owned());
            return Located { subject: subject(SubjectKind::Server, origin), job: None, facts, echo_of: None };
        }
        let named = facts.path.is_some() || facts.file_id.is_some() || facts.file_path.is_some() || name.is_some();
        let last = self.last.get(source);
        let near = |window: TimeDelta| last.filter(|last| (at - last.at).abs() <= window);
        let echo = near(SAME_CLASS_ECHO).filter(|last| last.class == hit.class && !named);
        if let Some(last) = echo {
            return Self::echo(last, facts, source);
        }
        let job = jobs.find(source, &facts, name, at).or_else(|| {
            let only = jobs.get(jobs.only_active(source, at)?)?;
            fits(only.facts.path.as_deref(), facts.path.as_deref()).then_some(only.id)
        });
        if let Some(job) = job.and_then(|id| jobs.get(id)) {
            facts.fill(&job.facts);
            if facts.path != job.facts.path {
                facts.target.clone_from(&job.facts.path);
            }
            let subject = match &facts.path {
                Some(path) => subject(SubjectKind::File, path.clone()),
                None => subject(SubjectKind::Job, job.name.clone().unwrap_or_else(|| job.id.to_string())),
            };
            return Located { subject, job: Some(job.id), facts, echo_of: None };
        }
        if let Some(path) = facts.path.clone() {
            return Located { subject: subject(SubjectKind::File, path), job: None, facts, echo_of: None };
        }
        if let Some(last) =
            near(ANY_CLASS_ECHO).filter(|last| last.located && !named && item.dated && !is_local(hit.class))
        {
            return Self::echo(last, facts, source);
        }
        let origin = facts.url.as_deref().and_then(origin);
        let subject = match origin {
            Some(origin) => subject(SubjectKind::Server, origin),
            None if hit.class == Class::ServerDown => subject(SubjectKind::Server, bot_api.to_owned()),
            None => subject(SubjectKind::Source, source.to_owned()),
        };
        Located { subject, job: None, facts, echo_of: None }
    }

    /// Remembers the incident that a line went to.
    pub fn remember(&mut self, source: &str, class: Class, at: DateTime<Utc>, incident: Id, located: &Located) {
        let echo = located.echo_of.is_some();
        let place = self.last.entry(source.to_owned()).or_insert(Last { class, at, incident, located: false });
        *place = Last {
            // An echo keeps the class of the line it repeats, so that a third one finds it as well.
            class: if echo { place.class } else { class },
            at,
            incident,
            located: echo || located.subject.kind != SubjectKind::Source,
        };
    }

    fn echo(last: &Last, facts: Facts, source: &str) -> Located {
        Located {
            subject: subject(SubjectKind::Source, source.to_owned()),
            job: None,
            facts,
            echo_of: Some(last.incident),
        }
    }
}

/// A fault of the disk is never another line of a fault of the network.
const fn is_local(class: Class) -> bool {
    matches!(class, Class::Permission | Class::MissingPath | Class::DiskFull)
}

/// Whether a line that names `path` may be about the job that wants `wanted`: it names nothing, a directory on the
/// way there, or a temporary name beside it.
fn fits(wanted: Option<&str>, path: Option<&str>) -> bool {
    let (Some(wanted), Some(path)) = (wanted, path) else { return path.is_none() };
    wanted.strip_prefix(path).is_some_and(|rest| rest.starts_with('/') || path.ends_with('/'))
        || path.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.'))
}

fn subject(kind: SubjectKind, value: String) -> Subject {
    Subject { kind, value: value.strip_prefix("./").map(str::to_owned).unwrap_or(value) }
}

/// `scheme://host:port` of an address; the default port is left out.
#[must_use]
pub fn origin(address: &str) -> Option<String> {
    let url = url::Url::parse(address).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.origin().ascii_serialization())
}

/// The Bot API method of an address such as `https://host/bot<token>/getUpdates`; not for `/file/bot…` paths.
fn bot_method(address: &str) -> Option<&str> {
    let path = address.split_once("://").map_or(address, |(_, rest)| rest);
    let mut parts = path.split('/').skip(1).skip_while(|part| !part.starts_with("bot"));
    parts.next()?;
    let method = parts.next()?.split(['?', '#']).next()?;
    let is_file = path.split('/').skip(1).any(|part| part == "file");
    (!is_file && !method.is_empty() && method.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(method)
}

/// Whether an address may name a file to fetch: HTTP(S), and not a call of the Bot API (those need the token).
#[must_use]
pub fn is_plain_download(address: &str) -> bool {
    origin(address).is_some() && !address.contains("/bot") && !address.contains("[redacted]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_origins_are_read_from_addresses() {
        assert_eq!(bot_method("https://api.telegram.org/bot1:[redacted]/getUpdates"), Some("getUpdates"));
        assert_eq!(bot_method("https://api.telegram.org/file/bot1:[redacted]/videos/a.mp4"), None);
        assert_eq!(bot_method("https://example.org/a/b"), None);
        assert_eq!(origin("http://127.0.0.1:8081/bot1/getMe").as_deref(), Some("http://127.0.0.1:8081"));
        assert_eq!(origin("https://api.telegram.org:443/x").as_deref(), Some("https://api.telegram.org"));
        assert_eq!(origin("file:///etc/passwd"), None);
    }
}
