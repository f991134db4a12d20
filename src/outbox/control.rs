//! Says what people may press below a message, what a press or a command of theirs means, and whom to answer. Pure.

use std::collections::BTreeMap;

use crate::vocab::{Id, Notice, OutcomeResult, Stage, Story};

/// What a person wants done about an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The repair that waits may begin.
    Approve,
    /// It may not.
    Reject,
    /// Work on it again.
    Retry,
    /// Somebody takes care of it.
    Acknowledge,
    /// Nobody is told of it for a while.
    Silence,
}

/// Stands before the data of our buttons; a bot may have had others before.
const PREFIX: &str = "lm1";

impl Deed {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Approve, Self::Reject, Self::Retry, Self::Acknowledge, Self::Silence];

    /// The word, as in HTTP routes and in an incident's orders.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Retry => "retry",
            Self::Acknowledge => "acknowledge",
            Self::Silence => "silence",
        }
    }
}

/// What a button asks for. It names the incident as it was shown and nothing else: a button on an old message can do
/// nothing to another incident, nor to what has become of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// What.
    pub deed: Deed,
    /// About what.
    pub incident: Id,
    /// The revision that the message showed.
    pub revision: u64,
}

impl Press {
    /// The data of its button: at most 63 of the 64 bytes that Telegram carries.
    #[must_use]
    pub fn data(self) -> String {
        format!("{PREFIX}:{}:{}:{}", self.deed.as_str(), self.incident, self.revision)
    }

    /// What a button's data asks for; `None` when it is not letter by letter what [`Press::data`] writes. A client may send any.
    #[must_use]
    pub fn read(data: &str) -> Option<Self> {
        let mut parts = data.split(':');
        let (_, word, id, revision) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let deed = Deed::ALL.into_iter().find(|deed| deed.as_str() == word)?;
        let press = Self { deed, incident: Id::parse(id)?, revision: revision.parse().ok()? };
        (press.data() == data).then_some(press)
    }
}

/// The buttons below the message about a notice, by rows. Who is taking care of it is not asked again.
#[must_use]
pub fn buttons(notice: &Notice, taken_over: bool) -> Vec<Vec<Press>> {
    let Story::Incident { incident, stage, .. } = &notice.story else { return Vec::new() };
    let rows: &[&[Deed]] = match stage {
        Stage::Held { on, .. } if on == "approval" => &[&[Deed::Approve, Deed::Reject], &[Deed::Silence]],
        Stage::Held { .. } => &[&[Deed::Retry, Deed::Silence]],
        Stage::Working => &[&[Deed::Silence]],
        Stage::Ended {
            result: OutcomeResult::Exhausted | OutcomeResult::Refused | OutcomeResult::AlertOnly, ..
        } => &[&[Deed::Retry, Deed::Acknowledge], &[Deed::Silence]],
        Stage::Ended { .. } => &[],
    };
    let press = |deed: &Deed| Press { deed: *deed, incident: *incident, revision: notice.revision };
    let fits = |deed: &&Deed| !(taken_over && **deed == Deed::Acknowledge);
    rows.iter().map(|row| row.iter().filter(fits).map(press).collect()).collect()
}

/// What a message to the bot asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// How things are.
    Status,
    /// What is not over.
    Incidents,
    /// What is under way.
    Jobs,
    /// What can be asked.
    Help,
}

/// The question in a message: `/status`, also `/status@name_of_the_bot`. `None` for what is no command.
#[must_use]
pub fn question(text: &str) -> Option<Question> {
    let word = text.strip_prefix('/')?.split(|c: char| c.is_whitespace() || c == '@').next()?;
    Some(match word {
        "status" => Question::Status,
        "incidents" => Question::Incidents,
        "jobs" => Question::Jobs,
        _ => Question::Help,
    })
}

/// A stranger hears once in so long that nobody here talks to strangers.
const STRANGER_GAP_MS: i64 = 60 * 60 * 1_000;

/// So many strangers hear it in that time; a crowd is not answered, so that alerts are not slowed down by it.
const STRANGERS: usize = 32;

/// Who was refused when, so that nobody can make the bot talk.
#[derive(Debug, Default)]
pub struct Strangers(BTreeMap<u64, i64>);

impl Strangers {
    /// Whether this stranger is told no at `now` (milliseconds of any steady clock), and remembers it.
    pub fn refuse(&mut self, who: u64, now: i64) -> bool {
        self.0.retain(|_, told| now - *told < STRANGER_GAP_MS);
        if self.0.contains_key(&who) || self.0.len() >= STRANGERS {
            return false;
        }
        self.0.insert(who, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a27_a_button_names_its_incident_as_it_was_shown_and_nothing_else_is_understood() {
        let incident = Id::parse("01M8A4QBKXXKM17YN4KJ4WFFVH").unwrap();
        for deed in Deed::ALL {
            for revision in [0, 7, u64::MAX] {
                let press = Press { deed, incident, revision };
                let data = press.data();
                assert!(data.len() <= 64, "{data}");
                assert_eq!(Press::read(&data), Some(press));
            }
        }
        for foreign in [
            "",
            ":::",
            "lm1",
            "lm1:retry",
            "lm1:retry:01M8A4QBKXXKM17YN4KJ4WFFVH",
            "lm1:retry:x:1",
            "lm1:format:01M8A4QBKXXKM17YN4KJ4WFFVH:1",
            "lm2:retry:01M8A4QBKXXKM17YN4KJ4WFFVH:1",
            "lm1:retry:01M8A4QBKXXKM17YN4KJ4WFFVH:1:x",
            "lm1:retry:01M8A4QBKXXKM17YN4KJ4WFFVH:+1",
            "lm1:retry:01M8A4QBKXXKM17YN4KJ4WFFVH:01",
            "lm1:retry:01M8A4QBKXXKM17YN4KJ4WFFVH:-1",
            "lm1:retry:01M8A4QBKXXKM17YN4KJ4WFFVH:18446744073709551616",
            "lm1:retry:01m8a4qbkxxkm17yn4kj4wffvh:1",
            "LM1:RETRY:01M8A4QBKXXKM17YN4KJ4WFFVH:1",
            "lm1:retry:01M8A4QBKXXKM17YN4KJ4WFFVH:1\n",
        ] {
            assert_eq!(Press::read(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a27_commands_are_read_with_and_without_the_name_of_the_bot() {
        assert_eq!(question("/status"), Some(Question::Status));
        assert_eq!(question("/jobs@alerts_bot now"), Some(Question::Jobs));
        assert_eq!(question("/start"), Some(Question::Help));
        assert_eq!((question("status"), question("")), (None, None));
    }

    #[test]
    fn a27_a_stranger_is_refused_once_an_hour_and_a_crowd_not_at_all() {
        let mut strangers = Strangers::default();
        assert!(strangers.refuse(1, 0));
        assert!(!strangers.refuse(1, STRANGER_GAP_MS - 1));
        assert!(strangers.refuse(1, STRANGER_GAP_MS));
        let heard = (100..1_000).filter(|who| strangers.refuse(*who, STRANGER_GAP_MS)).count();
        assert_eq!(heard, STRANGERS - 1);
        assert!(strangers.refuse(5, 2 * STRANGER_GAP_MS), "an hour later there is room again");
    }
}
