//! Says what agent and launcher tell each other and what is written down of a run. Pure.
//!
//! Two sockets: on one the agent hands a [`Request`] over, then says with [`word_for`] that it may begin, and gets a byte when it is on
//! its way; on the other it sends the [`Id`] of a task whose command is to be ended, and gets [`Told`], both as JSON.
//!
//! Who is to become the command wakes up and makes itself ready while the agent still writes down what for. A request that its word does
//! not follow is void.
//!
//! A request is the one message for which somebody waits. It goes as texts that each end with NUL, which no argument and no variable can
//! hold: the task, what is to be written down of it ([`Begin`] as JSON), the directory, user and group, how many arguments, these, and
//! the variables as `NAME=VALUE`.

use serde::{Deserialize, Serialize};

use crate::vocab::Id;

/// The longest message. A socket of this kind takes 200 kB by default, and the kernel no argument beyond 128 KiB.
pub const MAX_MESSAGE: usize = 128 * 1024;

/// What a message holds, mostly.
const TYPICAL: usize = 1024;

/// A command that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The task: its run has this name, and is begun once.
    pub task: Id,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Added to the launcher's own environment, which holds what every command may know.
    pub env: Vec<(String, String)>,
    /// Where it runs; where the agent was started when `None`.
    pub cwd: Option<String>,
    /// User and group to become, when we are root.
    pub user: Option<(u32, u32)>,
    /// It is ended after so many milliseconds.
    pub limit_ms: u64,
    /// Kept with the run for whoever asked, and given back as it is.
    pub note: String,
}

impl Request {
    /// As the message that hands it over; `now_ms`: milliseconds since 1970. `None`: something in it has a NUL, which cannot be
    /// handed to a program.
    #[must_use]
    pub fn to_message(&self, now_ms: u128) -> Option<Vec<u8>> {
        let begin = Begin {
            task: self.task,
            begun_ms: now_ms,
            program: self.argv.first().cloned().unwrap_or_default(),
            note: self.note.clone(),
            limit_ms: self.limit_ms,
        };
        let mut message = Vec::with_capacity(TYPICAL);
        let mut put = |parts: &[&str]| {
            parts.iter().for_each(|part| message.extend(part.as_bytes()));
            message.push(0);
            parts.iter().all(|part| !part.contains('\0'))
        };
        let user = self.user.map(|(uid, gid)| format!("{uid}:{gid}")).unwrap_or_default();
        let fine = put(&[&self.task.to_string()])
            && put(&[&serde_json::to_string(&begin).ok()?])
            && put(&[self.cwd.as_deref().unwrap_or_default()])
            && put(&[&user])
            && put(&[&self.argv.len().to_string()])
            && self.argv.iter().all(|argument| put(&[argument]))
            && self.env.iter().all(|(name, value)| put(&[name, "=", value]));
        fine.then_some(message)
    }
}

/// The message by which a command that was handed over may begin. Never taken for a request: it has no NUL.
#[must_use]
pub fn word_for(task: Id) -> String {
    task.to_string()
}

/// A request as it arrives: [`Request::to_message`] taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Order<'a> {
    /// The task.
    pub task: Id,
    /// [`Begin`] as JSON.
    pub begin: &'a str,
    /// Where it runs.
    pub cwd: Option<&'a str>,
    /// User and group to become.
    pub user: Option<(u32, u32)>,
    /// Program and arguments.
    pub argv: Vec<&'a str>,
    /// The variables.
    pub env: Vec<(&'a str, &'a str)>,
}

impl<'a> Order<'a> {
    /// Takes a message apart. `None`: it is none.
    #[must_use]
    pub fn of(message: &'a [u8]) -> Option<Self> {
        let mut texts = std::str::from_utf8(message).ok()?.strip_suffix('\0')?.split('\0');
        let task = Id::parse(texts.next()?)?;
        let begin = texts.next()?;
        let cwd = Some(texts.next()?).filter(|cwd| !cwd.is_empty());
        let user = match texts.next()? {
            "" => None,
            user => user.split_once(':').map(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)))?,
        };
        let count = texts.next()?.parse().ok()?;
        let argv: Vec<&str> = texts.by_ref().take(count).collect();
        let env = texts.map(|variable| variable.split_once('=')).collect::<Option<_>>()?;
        (argv.len() == count).then_some(Self { task, begin, cwd, user, argv, env })
    }
}

/// What was begun: the first line of a run's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The task.
    pub task: Id,
    /// When it was handed over, in milliseconds since 1970.
    pub begun_ms: u128,
    /// The program.
    pub program: String,
    /// Kept for whoever asked.
    pub note: String,
    /// It is ended after so many milliseconds.
    pub limit_ms: u64,
}

/// What the launcher answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// A run ended.
    Ended {
        /// Whose.
        task: Id,
        /// How.
        ended: Ended,
        /// Why nothing of it could be written down, if so: it would not be known again after a restart.
        unrecorded: Option<String>,
    },
    /// Nothing was done: this task has a run already.
    Known(Id),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub how: How,
    /// The end of what it said.
    pub output: String,
}

/// The way in which a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It ran longer than it may.
    Overtime,
    /// It was asked to end.
    CalledOff,
    /// There was no such program, or it may not be run.
    NotStarted(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::Rng;

    fn request() -> Request {
        Request {
            task: Id::new(chrono::DateTime::UNIX_EPOCH, &mut Rng::new(1)),
            argv: vec!["/bin/x".into(), String::new(), "ä\n=".into()],
            env: vec![("A".into(), "b=c".into()), ("EMPTY".into(), String::new())],
            cwd: Some("/tmp/a b".into()),
            user: Some((1000, 100)),
            limit_ms: 5,
            note: "[\"1:2\",\n\u{0}null]".into(),
        }
    }

    #[test]
    fn a3_a_request_arrives_as_it_was_sent_or_not_at_all() {
        let sent = request();
        let message = sent.to_message(7).unwrap();
        let got = Order::of(&message).unwrap();
        assert_eq!(got.argv, sent.argv);
        assert_eq!(got.env, [("A", "b=c"), ("EMPTY", "")]);
        assert_eq!((got.task, got.cwd, got.user), (sent.task, sent.cwd.as_deref(), sent.user));
        let begin: Begin = serde_json::from_str(got.begin).unwrap();
        assert_eq!((begin.task, begin.note, begin.limit_ms, begin.begun_ms), (sent.task, sent.note.clone(), 5, 7));
        let plain = Request { cwd: None, user: None, env: Vec::new(), ..sent };
        let message = plain.to_message(7).unwrap();
        let got = Order::of(&message).unwrap();
        assert_eq!((got.cwd, got.user, got.env.len(), got.argv.len()), (None, None, 0, 3));
        // Cut anywhere it is no other one: it misses its last NUL, or arguments.
        assert!((0..message.len()).all(|end| Order::of(&message[..end]).is_none_or(|order| order.argv.len() == 3)));
    }

    #[test]
    fn a_nul_cannot_be_handed_over() {
        for place in 0..3 {
            let mut request = request();
            match place {
                0 => request.argv[2].push('\0'),
                1 => request.env[0].1.push('\0'),
                _ => request.cwd = Some("/a\0".into()),
            }
            assert_eq!(request.to_message(0), None, "{place}");
        }
    }
}
