//! Who gets what: topics, single things, rooms, users, roles. Pure.

use std::collections::BTreeSet;

use super::frame::{For, Told, Topic};
use crate::vocab::Role;

/// Rooms and things that one connection may want: more than any page shows.
pub const WANTED_MAX: usize = 256;

/// The longest name of a room, in bytes.
const ROOM_MAX: usize = 160;

/// What one connection wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    topics: u16,
    /// `TOPIC:KEY` for one thing, anything else for a room.
    rooms: BTreeSet<String>,
}

/// A change of what is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Topics.
    pub topics: Vec<Topic>,
    /// Rooms: `user:NAME`, `role:ROLE`, `TOPIC:KEY` for one thing, or any other name.
    pub rooms: Vec<String>,
}

/// The least role that may see a topic. Lines of logs hold what strangers wrote to the bot, so looking is not enough.
#[must_use]
pub const fn least_role(topic: Topic) -> Role {
    match topic {
        Topic::Log => Role::Operator,
        _ => Role::Viewer,
    }
}

impl Wants {
    /// Adds what is selected; all of it, or nothing.
    ///
    /// # Errors
    /// When the role may not see one of them, a name is none, or it is too much.
    pub fn add(&mut self, account: &str, role: Role, selection: &Selection) -> Result<(), (&'static str, String)> {
        if let Some(topic) = selection.topics.iter().find(|topic| least_role(**topic) > role) {
            let text = format!("topic {} needs the role {}", topic.word(), least_role(*topic));
            return Err(("forbidden", text));
        }
        for room in &selection.rooms {
            may_enter(account, role, room)?;
        }
        let new = selection.rooms.iter().filter(|room| !self.rooms.contains(*room)).count();
        if self.rooms.len() + new > WANTED_MAX {
            return Err(("too_many", format!("at most {WANTED_MAX} jobs and rooms at once; subscribe to the topic")));
        }
        self.topics |= selection.topics.iter().fold(0, |set, topic| set | topic.bit());
        self.rooms.extend(selection.rooms.iter().cloned());
        Ok(())
    }

    /// The topics that are wanted.
    #[must_use]
    pub fn topics(&self) -> Vec<&'static str> {
        Topic::ALL.iter().filter(|topic| self.topics & topic.bit() != 0).map(|topic| topic.word()).collect()
    }

    /// The rooms and single things that are wanted.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        self.rooms.iter().cloned().collect()
    }

    /// Takes away what is selected.
    pub fn remove(&mut self, selection: &Selection) {
        self.topics &= !selection.topics.iter().fold(0, |set, topic| set | topic.bit());
        self.rooms.retain(|room| !selection.rooms.contains(room));
    }

    /// Whether this connection gets the frame.
    #[must_use]
    pub fn get(&self, account: &str, role: Role, told: &Told) -> bool {
        match &told.to {
            For::All => true,
            For::Room(room) => match room.split_once(':') {
                Some(("user", name)) => name == account,
                Some(("role", least)) => least.parse::<Role>().is_ok_and(|least| role >= least),
                _ => self.rooms.contains(room),
            },
            For::Subscribers => {
                let seen = role >= least_role(told.topic);
                seen && (self.topics & told.topic.bit() != 0 || self.wants_thing(told))
            }
        }
    }

    fn wants_thing(&self, told: &Told) -> bool {
        // Most connections want topics only: no name is made for them.
        !self.rooms.is_empty() && self.rooms.contains(&format!("{}:{}", told.topic.word(), told.key))
    }
}

fn may_enter(account: &str, role: Role, room: &str) -> Result<(), (&'static str, String)> {
    let plain = |c: char| c.is_ascii_graphic();
    if room.is_empty() || room.len() > ROOM_MAX || !room.chars().all(plain) {
        return Err(("bad_room", format!("a room's name has 1 to {ROOM_MAX} printable ASCII characters")));
    }
    let (allowed, why) = match room.split_once(':') {
        Some(("user", name)) => (name == account, "a user's room is that user's alone"),
        Some(("role", least)) => {
            (least.parse::<Role>().is_ok_and(|least| role >= least), "that role's room is not yours")
        }
        Some((topic, _)) => {
            (Topic::of(topic).is_none_or(|topic| role >= least_role(topic)), "that topic needs another role")
        }
        None => (true, ""),
    };
    if allowed { Ok(()) } else { Err(("forbidden", why.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::told;
    use super::super::frame::{Kind, Saying, frame};
    use super::*;

    fn to(room: For) -> super::super::frame::Frame {
        let saying = Saying {
            topic: Topic::System,
            kind: Kind::Test,
            key: String::new(),
            at: String::new(),
            data: serde_json::Value::Null,
            to: room,
        };
        frame("e", 1, false, saying, std::time::Instant::now())
    }

    fn select(topics: &[Topic], rooms: &[&str]) -> Selection {
        Selection { topics: topics.to_vec(), rooms: rooms.iter().map(|&r| r.into()).collect() }
    }

    #[test]
    fn d1_messages_go_by_topic_thing_user_role_and_room() {
        let mut wants = Wants::default();
        let viewer = |wants: &Wants, told: &Told| wants.get("ana", Role::Viewer, told);
        assert!(!viewer(&wants, &told(1, Kind::JobUpdated, "a")), "nothing is wanted yet");
        wants.add("ana", Role::Viewer, &select(&[Topic::Incident], &["job:a", "lounge"])).unwrap();
        assert!(viewer(&wants, &told(1, Kind::JobUpdated, "a")));
        assert!(!viewer(&wants, &told(1, Kind::JobUpdated, "b")));
        assert!(viewer(&wants, &told(1, Kind::IncidentOpened, "x")));
        assert!(viewer(&wants, &to(For::All)));
        assert!(viewer(&wants, &to(For::Room("lounge".into()))));
        assert!(viewer(&wants, &to(For::Room("user:ana".into()))));
        assert!(!viewer(&wants, &to(For::Room("user:bob".into()))));
        assert!(viewer(&wants, &to(For::Room("role:viewer".into()))));
        assert!(!viewer(&wants, &to(For::Room("role:operator".into()))));
        assert!(wants.get("ana", Role::Admin, &to(For::Room("role:operator".into()))));
        wants.remove(&select(&[Topic::Incident], &["lounge"]));
        assert!(!viewer(&wants, &told(1, Kind::IncidentOpened, "x")));
        assert!(!viewer(&wants, &to(For::Room("lounge".into()))));
    }

    #[test]
    fn h2_a_role_sees_what_it_may_and_nothing_is_half_subscribed() {
        let mut wants = Wants::default();
        for (topics, rooms) in [
            (&[Topic::Job, Topic::Log][..], &[][..]),
            (&[], &["user:bob"]),
            (&[], &["role:admin"]),
            (&[], &["log:bot"]),
            (&[Topic::Job], &["a\u{1b}b"]),
            (&[Topic::Job], &[""]),
        ] {
            assert!(wants.add("ana", Role::Viewer, &select(topics, rooms)).is_err(), "{topics:?} {rooms:?}");
            assert_eq!(wants, Wants::default());
        }
        wants.add("ana", Role::Operator, &select(&[Topic::Log], &[])).unwrap();
        assert!(wants.get("ana", Role::Operator, &told(1, Kind::Log, "bot")));
        assert!(!wants.get("ana", Role::Viewer, &told(1, Kind::Log, "bot")), "a role that shrank");
        let many: Vec<String> = (0..=WANTED_MAX).map(|n| format!("job:{n}")).collect();
        assert!(wants.add("ana", Role::Viewer, &Selection { topics: vec![], rooms: many }).is_err());
    }
}
