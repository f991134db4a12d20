//! Judges looks: when something is down, when it is up again, how often it came and went. Pure.
//!
//! One look that contradicts proves nothing; so many in a row do. What comes and goes is not smoothed over: every change
//! counts, and how many there were lately is said with the next one.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The time in which failures are counted for people.
pub const LATELY: TimeDelta = TimeDelta::hours(1);

/// Failures that are remembered within [`LATELY`]; more tell nothing new.
const REMEMBERED: usize = 100;

/// How something stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Not known yet.
    #[default]
    Unknown,
    /// Well.
    Up,
    /// Not.
    Down,
}

impl Standing {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// How many looks in a row change how something stands; at least 1 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Failed ones, until it is down.
    pub fail_after: u32,
    /// Good ones, until it is up again.
    pub pass_after: u32,
}

/// What is known of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// How it stands.
    pub standing: Standing,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
    /// Looks in a row that contradict it.
    #[serde(default)]
    pub contrary: u32,
    /// When it went down lately.
    #[serde(default)]
    pub downs: Vec<DateTime<Utc>>,
}

/// A change of how something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is down now.
    Down,
    /// It is up again after it was down.
    Up,
    /// It is up, and nothing was known of it before: nobody need be told.
    First,
}

impl Judged {
    /// Takes in one look.
    pub fn judge(&mut self, well: bool, limits: Limits, at: DateTime<Utc>) -> Option<Turn> {
        let agrees = match self.standing {
            Standing::Up => well,
            Standing::Down => !well,
            // What was never seen up is up with the first good look; failures must be as many as ever.
            Standing::Unknown if well => return Some(self.turn(Standing::Up, Turn::First, at)),
            Standing::Unknown => false,
        };
        if agrees {
            self.contrary = 0;
            return None;
        }
        self.contrary = self.contrary.saturating_add(1);
        let needed = if well { limits.pass_after } else { limits.fail_after };
        if self.contrary < needed.max(1) {
            return None;
        }
        if well {
            return Some(self.turn(Standing::Up, Turn::Up, at));
        }
        self.downs.retain(|down| (at - *down).abs() <= LATELY);
        if self.downs.len() == REMEMBERED {
            self.downs.remove(0);
        }
        self.downs.push(at);
        Some(self.turn(Standing::Down, Turn::Down, at))
    }

    /// How often it went down within the last hour.
    #[must_use]
    pub fn downs_lately(&self, at: DateTime<Utc>) -> usize {
        self.downs.iter().filter(|down| (at - **down).abs() <= LATELY).count()
    }

    fn turn(&mut self, standing: Standing, turn: Turn, at: DateTime<Utc>) -> Turn {
        (self.standing, self.since, self.contrary) = (standing, Some(at), 0);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { fail_after: 3, pass_after: 2 };

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000 + second, 0).unwrap()
    }

    fn turns(looks: &[bool]) -> Vec<(usize, Turn)> {
        let mut judged = Judged::default();
        let each = looks.iter().enumerate();
        each.filter_map(|(n, well)| Some((n, judged.judge(*well, LIMITS, at(n as i64))?))).collect()
    }

    #[test]
    fn e4_three_failures_in_a_row_are_down_and_two_good_looks_are_up() {
        let looks = [true, false, false, true, false, false, false, false, true, false, true, true, true];
        assert_eq!(turns(&looks), [(0, Turn::First), (6, Turn::Down), (11, Turn::Up)]);
    }

    #[test]
    fn e4_what_was_never_up_is_told_when_it_stays_down() {
        assert_eq!(turns(&[false, false, false, false]), [(2, Turn::Down)]);
    }

    #[test]
    fn e4_coming_and_going_is_counted_and_forgotten_after_an_hour() {
        let mut judged = Judged::default();
        for n in 0..50 {
            judged.judge(n % 5 >= 3, LIMITS, at(n));
        }
        assert_eq!(judged.downs_lately(at(50)), 10);
        assert_eq!(judged.downs_lately(at(50 + 3_601)), 0);
    }

    proptest::proptest! {
        #[test]
        fn turns_alternate_and_each_has_its_looks(looks in proptest::collection::vec(proptest::bool::ANY, 0..300)) {
            let found = turns(&looks);
            for pair in found.windows(2) {
                proptest::prop_assert_ne!(pair[0].1 == Turn::Down, pair[1].1 == Turn::Down, "two of a kind in a row");
            }
            for (n, turn) in found {
                let (needed, well) = match turn {
                    Turn::Down => (3, false),
                    Turn::Up => (2, true),
                    Turn::First => (1, true),
                };
                proptest::prop_assert!(n + 1 >= needed);
                proptest::prop_assert!(looks[n + 1 - needed..=n].iter().all(|look| *look == well));
            }
        }

        #[test]
        fn a_clock_that_jumps_breaks_nothing(steps in proptest::collection::vec((proptest::bool::ANY, -100_000i64..100_000), 0..500)) {
            let mut judged = Judged::default();
            for (well, second) in steps {
                judged.judge(well, Limits { fail_after: 0, pass_after: 1 }, at(second));
                proptest::prop_assert!(judged.downs.len() <= REMEMBERED);
            }
        }
    }
}
