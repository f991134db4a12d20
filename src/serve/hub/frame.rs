//! The frames that the server sends: their words, and their text, written once for all clients. Pure.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::vocab::json_text;

/// Data longer than this is left out of a frame (`data` is null then); a client loads such a thing by HTTP.
const DATA_MAX: usize = 64 * 1024;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$item_doc])* $item,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$item),*];

            /// The word for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$item => $word,)* }
            }

            /// Reads the word back.
            #[must_use]
            pub fn of(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|item| item.word() == word)
            }
        }
    };
}

words! {
    /// What a frame is about.
    Topic {
        /// Download jobs.
        Job = "job",
        /// Operations.
        Operation = "operation",
        /// Incidents.
        Incident = "incident",
        /// The agent itself: its bot, its rules.
        Agent = "agent",
        /// Probes, health, and what the hub says for itself.
        System = "system",
        /// The notification centre.
        Notification = "notification",
        /// Lines of the logs, as they come.
        Log = "log",
        /// Figures, regularly.
        Stats = "stats",
    }
}

words! {
    /// What happened.
    Kind {
        /// A job is known.
        JobRegistered = "job_registered",
        /// A job moved on.
        JobUpdated = "job_updated",
        /// A job is done.
        JobCompleted = "job_completed",
        /// A job failed.
        JobFailed = "job_failed",
        /// Something broke.
        IncidentOpened = "incident_opened",
        /// More is known, or was done.
        IncidentUpdated = "incident_updated",
        /// It is over.
        IncidentClosed = "incident_closed",
        /// An operation waits for its turn.
        OperationCreated = "operation_created",
        /// An operation moved on.
        OperationProgress = "operation_progress",
        /// An operation is done.
        OperationComplete = "operation_complete",
        /// An operation failed.
        OperationFailed = "operation_failed",
        /// An operation was ended by somebody.
        OperationCancelled = "operation_cancelled",
        /// An operation rests.
        OperationPaused = "operation_paused",
        /// An operation goes on.
        OperationResumed = "operation_resumed",
        /// People are told something.
        Notification = "notification",
        /// It was read.
        NotificationRead = "notification_read",
        /// All were cleared.
        NotificationsCleared = "notifications_cleared",
        /// Something went up or down, was added or removed.
        ProbeChanged = "probe_changed",
        /// How the machine and the agent are.
        SystemStatus = "system_status",
        /// Figures.
        Stats = "stats",
        /// Files came to the library, changed or went.
        LibraryChanged = "library_changed",
        /// A line of a log.
        Log = "log",
        /// The server is there.
        Heartbeat = "heartbeat",
        /// The answer to `ping`.
        Pong = "pong",
        /// The client missed something and has to load it.
        Gap = "gap",
        /// The first frame.
        Welcome = "welcome",
        /// A frame of the client was refused.
        Error = "error",
        /// A frame of the client was carried out.
        Ok = "ok",
        /// A broadcast for trying things out.
        Test = "test",
    }
}

impl Topic {
    /// The topic's bit in a set of topics.
    #[must_use]
    pub const fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

impl Kind {
    /// Whether it answers this one client: such a frame is waited for, and never left out.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        matches!(self, Self::Welcome | Self::Ok | Self::Error | Self::Pong)
    }

    /// Whether a later frame about the same thing says all that this one says: such a frame may be left out. Changes
    /// of state never are.
    #[must_use]
    pub const fn is_update(self) -> bool {
        matches!(
            self,
            Self::JobUpdated
                | Self::IncidentUpdated
                | Self::OperationProgress
                | Self::SystemStatus
                | Self::Stats
                | Self::Heartbeat
        )
    }
}

/// Whom a frame is for, besides those who want its topic or its thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum For {
    /// Everybody who subscribed.
    Subscribers,
    /// Every connection.
    All,
    /// Whoever is in this room: `user:NAME`, `role:ROLE` (and above), or a room that clients joined.
    Room(String),
}

/// What a frame says, before it is text.
#[derive(Clone, Debug)]
pub struct Saying {
    /// About what.
    pub topic: Topic,
    /// What happened.
    pub kind: Kind,
    /// To which thing; may be empty.
    pub key: String,
    /// When, RFC 3339.
    pub at: String,
    /// What the thing is like; null when it is gone.
    pub data: Value,
    /// For whom.
    pub to: For,
}

/// A frame: shared by all clients that get it.
#[derive(Debug)]
pub struct Told {
    /// The event's number; of a passing thing, the newest number before it.
    pub seq: u64,
    /// Whether it is an event of the ledger, which is told again to whoever was away.
    pub lasting: bool,
    /// About what.
    pub topic: Topic,
    /// What happened.
    pub kind: Kind,
    /// To which thing.
    pub key: String,
    /// For whom.
    pub to: For,
    /// Since when it waits; for the latency figures.
    pub born: Instant,
    /// The text on the wire.
    pub text: Utf8Bytes,
}

/// A shared frame.
pub type Frame = Arc<Told>;

#[derive(Serialize)]
struct Wire<'a> {
    v: u8,
    seq: u64,
    epoch: &'a str,
    topic: &'static str,
    r#type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
    at: &'a str,
    data: &'a Value,
}

/// Writes the frame, once. Text of strangers in it steers nothing, not even the terminal of who looks at it.
#[must_use]
pub fn frame(epoch: &str, seq: u64, lasting: bool, saying: Saying, born: Instant) -> Frame {
    let Saying { topic, kind, key, at, data, to } = saying;
    let write = |data: &Value| {
        let wire = Wire { v: 1, seq, epoch, topic: topic.word(), r#type: kind.word(), key: &key, at: &at, data };
        serde_json::to_string(&wire).unwrap_or_default()
    };
    let mut text = write(&data);
    if text.len() > DATA_MAX {
        text = write(&Value::Null);
    }
    let text = Utf8Bytes::from(json_text(text));
    Arc::new(Told { seq, lasting, topic, kind, key, to, born, text })
}

/// What a frame speaks of. Without a key, each kind of frame is about something of its own.
#[must_use]
pub fn thing(topic: Topic, kind: Kind, key: &str) -> (Topic, Option<Kind>, String) {
    (topic, key.is_empty().then_some(kind), key.to_owned())
}

/// Leaves out frames of which a later one says the same and more. Keeps the order.
pub fn leave_out_superseded<C>(frames: &mut C)
where
    C: Extend<Frame> + Default + IntoIterator<Item = Frame>,
    C::IntoIter: DoubleEndedIterator,
{
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<Frame> = Vec::new();
    for told in std::mem::take(frames).into_iter().rev() {
        let later = !seen.insert(thing(told.topic, told.kind, &told.key));
        if !(later && told.kind.is_update()) {
            kept.push(told);
        }
    }
    frames.extend(kept.into_iter().rev());
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A frame for tests.
    #[must_use]
    pub fn told(seq: u64, kind: Kind, key: &str) -> Frame {
        let topic = match kind.word().split('_').next().unwrap_or_default() {
            "operation" => Topic::Operation,
            "incident" => Topic::Incident,
            "log" => Topic::Log,
            _ => Topic::Job,
        };
        let saying =
            Saying { topic, kind, key: key.into(), at: String::new(), data: Value::Null, to: For::Subscribers };
        frame("e", seq, kind != Kind::Log, saying, Instant::now())
    }

    #[test]
    fn a_frame_is_as_the_contract_says() {
        let saying = Saying {
            topic: Topic::Operation,
            kind: Kind::OperationProgress,
            key: "01J".into(),
            at: "2026-11-22T01:02:03.456Z".into(),
            data: serde_json::json!({"percent": 4, "name": "a\u{202e}b\u{1b}"}),
            to: For::Subscribers,
        };
        let told = frame("ab", 7, true, saying, Instant::now());
        assert_eq!(
            told.text.as_str(),
            r#"{"v":1,"seq":7,"epoch":"ab","topic":"operation","type":"operation_progress","key":"01J","at":"2026-11-22T01:02:03.456Z","data":{"name":"a\u202eb\u001b","percent":4}}"#
        );
    }

    #[test]
    fn d5_updates_are_left_out_when_a_later_frame_says_more_and_changes_of_state_never() {
        let mut frames = vec![
            told(1, Kind::JobRegistered, "a"),
            told(2, Kind::JobUpdated, "a"),
            told(3, Kind::JobUpdated, "b"),
            told(4, Kind::JobFailed, "a"),
            told(5, Kind::JobUpdated, "a"),
            told(6, Kind::JobUpdated, "a"),
            told(7, Kind::JobCompleted, "a"),
        ];
        leave_out_superseded(&mut frames);
        assert_eq!(frames.iter().map(|f| f.seq).collect::<Vec<_>>(), [1, 3, 4, 7]);
    }

    #[test]
    fn data_that_is_too_long_is_left_out() {
        let data = Value::String("x".repeat(DATA_MAX));
        let saying = Saying {
            topic: Topic::Job,
            kind: Kind::JobUpdated,
            key: "a".into(),
            at: String::new(),
            data,
            to: For::All,
        };
        assert!(frame("e", 1, true, saying, Instant::now()).text.ends_with(r#""data":null}"#));
    }
}
