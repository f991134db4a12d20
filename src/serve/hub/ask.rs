//! What clients may ask for, read from their frames. Pure.

use serde::Deserialize;

use super::frame::Topic;
use super::recover::Since;
use super::subscribe::Selection;
use crate::vocab::Role;

/// The longest frame of a client, in bytes.
pub const FRAME_MAX: usize = 4 * 1024;

/// Notifications that are told at once at most.
const NOTIFICATIONS_MAX: u32 = 200;

/// The longest identifier or reference.
const WORD_MAX: usize = 128;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// From now on, these too.
    Subscribe(Selection),
    /// No longer these.
    Unsubscribe(Selection),
    /// What was missed, of these and what was subscribed before.
    Resume(Since, Selection),
    /// An answer.
    Ping,
    /// Something that the rest of the agent does.
    Command(Command),
}

/// Something that the rest of the agent does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The latest notifications.
    Notifications {
        /// How many at most.
        limit: u32,
    },
    /// One notification was read.
    MarkRead {
        /// Which.
        id: String,
    },
    /// All notifications are done with.
    Clear,
    /// An operation is steered.
    Operation {
        /// Which.
        id: String,
        /// How.
        action: Action,
    },
}

/// How an operation is steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Rest.
    Pause,
    /// Go on.
    Resume,
    /// End.
    Cancel,
}

impl Command {
    /// The least role that may do it.
    #[must_use]
    pub const fn least_role(&self) -> Role {
        match self {
            Self::Notifications { .. } | Self::MarkRead { .. } => Role::Viewer,
            Self::Clear | Self::Operation { .. } => Role::Operator,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire {
    r#type: String,
    r#ref: Option<String>,
    topics: Vec<String>,
    jobs: Vec<String>,
    rooms: Vec<String>,
    epoch: Option<String>,
    seq: Option<u64>,
    limit: Option<u32>,
    id: Option<String>,
    action: Option<Action>,
}

/// What a frame asks for, with its `type` and `ref`, which the answer repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The `type`.
    pub kind: String,
    /// The `ref`, if it has one.
    pub reference: Option<String>,
    /// What it asks for; or why it is refused, in words.
    pub ask: Result<Ask, String>,
}

/// Reads a frame of a client.
///
/// # Errors
/// When it is no JSON object of the right form.
pub fn read(text: &str) -> Result<Asked, String> {
    let wire: Wire = serde_json::from_str(text).map_err(|error| format!("no frame: {error}"))?;
    let (kind, reference) = (wire.r#type.clone(), wire.r#ref.clone());
    if kind.len() > WORD_MAX || reference.as_ref().is_some_and(|text| text.len() > WORD_MAX) {
        return Err(format!("type and ref have at most {WORD_MAX} bytes"));
    }
    Ok(Asked { kind, reference, ask: wire.ask() })
}

/// The topic of that name.
///
/// # Errors
/// When there is none, in words.
pub fn topic(word: &str) -> Result<Topic, String> {
    let all = || Topic::ALL.iter().map(|topic| topic.word()).collect::<Vec<_>>().join(", ");
    Topic::of(word).ok_or_else(|| format!("no such topic; there are {}", all()))
}

impl Wire {
    fn ask(self) -> Result<Ask, String> {
        match self.r#type.as_str() {
            "subscribe" => self.selection().map(Ask::Subscribe),
            "unsubscribe" => self.selection().map(Ask::Unsubscribe),
            "resume" => {
                let (Some(epoch), Some(seq)) = (self.epoch.clone(), self.seq) else {
                    return Err("resume needs epoch and seq, as the last frame said them".into());
                };
                Ok(Ask::Resume(Since { epoch, seq }, self.selection()?))
            }
            "ping" => Ok(Ask::Ping),
            "get_notifications" => {
                let limit = self.limit.unwrap_or(50).clamp(1, NOTIFICATIONS_MAX);
                Ok(Ask::Command(Command::Notifications { limit }))
            }
            "mark_notification_read" => Ok(Ask::Command(Command::MarkRead { id: self.id()? })),
            "clear_notifications" => Ok(Ask::Command(Command::Clear)),
            "operation" => {
                let action = self.action.ok_or("operation needs an action: pause, resume or cancel")?;
                Ok(Ask::Command(Command::Operation { id: self.id()?, action }))
            }
            _ => Err("no such type; docs/asyncapi.yaml has all of them".into()),
        }
    }

    fn id(&self) -> Result<String, String> {
        let id = self.id.clone().filter(|id| !id.is_empty() && id.len() <= WORD_MAX);
        id.ok_or_else(|| format!("{} needs an id", self.r#type))
    }

    fn selection(self) -> Result<Selection, String> {
        let topics = self.topics.iter().map(|word| topic(word)).collect::<Result<_, _>>()?;
        let jobs = self.jobs.into_iter().map(|id| format!("{}:{id}", Topic::Job.word()));
        Ok(Selection { topics, rooms: self.rooms.into_iter().chain(jobs).collect() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(text: &str) -> Result<Ask, String> {
        read(text).and_then(|asked| asked.ask)
    }

    #[test]
    fn frames_of_the_contract_are_understood() {
        let selection =
            Selection { topics: vec![Topic::Job, Topic::Log], rooms: vec!["lounge".into(), "job:01J".into()] };
        let subscribe = r#"{"type":"subscribe","topics":["job","log"],"jobs":["01J"],"rooms":["lounge"],"ref":"1"}"#;
        assert_eq!(ask(subscribe), Ok(Ask::Subscribe(selection)));
        assert_eq!(read(subscribe).unwrap().reference.as_deref(), Some("1"));
        let since = Since { epoch: "e".into(), seq: 7 };
        assert_eq!(ask(r#"{"type":"resume","epoch":"e","seq":7}"#), Ok(Ask::Resume(since, Selection::default())));
        let cancel = Command::Operation { id: "x".into(), action: Action::Cancel };
        assert_eq!(ask(r#"{"type":"operation","id":"x","action":"cancel"}"#), Ok(Ask::Command(cancel)));
        let all = Command::Notifications { limit: NOTIFICATIONS_MAX };
        assert_eq!(ask(r#"{"type":"get_notifications","limit":4000000}"#), Ok(Ask::Command(all)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for bad in [
            "",
            "[]",
            "{}",
            "null",
            r#"{"type":"subscribe","topics":["jobs"]}"#,
            r#"{"type":"resume","epoch":"e","seq":-1}"#,
            r#"{"type":"resume","seq":1}"#,
            r#"{"type":"operation","id":"x","action":"destroy"}"#,
            r#"{"type":"operation","id":"","action":"cancel"}"#,
            r#"{"type":"mark_notification_read"}"#,
        ] {
            assert!(ask(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_frame_of_a_client_breaks_anything(text in ".{0,200}") {
            let _ = read(&text);
        }
    }
}
