//! Counts repairs so that none is repeated without end. Pure.
//!
//! Each start is a row of its own: what is written down for a repair does not grow with the repairs before it.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::BudgetLimits;
use crate::vocab::{Class, Subject};

/// The window in which repairs are counted.
const WINDOW: TimeDelta = TimeDelta::hours(1);

/// How many starts are remembered at most, whatever the limits say.
const STARTS_MAX: usize = 10_000;

/// A repair that was begun: when, of what.
pub type Start = (DateTime<Utc>, Class, Subject);

/// The repairs of the last hour.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Budget {
    /// By their numbers, which are those of their rows.
    starts: BTreeMap<u64, Start>,
    /// How many of them are of each class, and of each subject.
    of_class: HashMap<Class, u32>,
    of_subject: HashMap<Subject, u32>,
    /// Those that came or went since it was written down last.
    changed: Vec<u64>,
}

/// All starts in one row, as older versions wrote it.
#[derive(Deserialize, Serialize)]
struct Whole {
    starts: Vec<Start>,
}

impl Budget {
    /// Takes one repair out of the budget, or says which limit forbids it.
    ///
    /// # Errors
    /// A sentence with the limit that is reached.
    pub fn take(
        &mut self,
        limits: &BudgetLimits,
        class: Class,
        subject: &Subject,
        now: DateTime<Utc>,
    ) -> Result<(), String> {
        // A start in the future (the clock went back) counts until it is an hour in the past.
        while self.starts.first_key_value().is_some_and(|(_, (at, ..))| now - *at > WINDOW) {
            self.forget_oldest();
        }
        let of_class = self.of_class.get(&class).copied().unwrap_or_default();
        let of_job = self.of_subject.get(subject).copied().unwrap_or_default();
        let all = u32::try_from(self.starts.len()).unwrap_or(u32::MAX);
        for (used, limit, what) in [
            (of_job, limits.per_job, "budget.per_job"),
            (of_class, limits.per_class, "budget.per_class"),
            (all, limits.agent, "budget.agent"),
        ] {
            if used >= limit {
                return Err(format!("{used} repairs within an hour reach {what} = {limit}"));
            }
        }
        if self.starts.len() >= STARTS_MAX {
            self.forget_oldest();
        }
        self.add((now, class, subject.clone()));
        Ok(())
    }

    fn add(&mut self, start: Start) {
        let number = self.starts.last_key_value().map_or(0, |(last, _)| last + 1);
        self.put_back(number, start);
        self.changed.push(number);
    }

    fn forget_oldest(&mut self) {
        let Some((number, (_, class, subject))) = self.starts.pop_first() else { return };
        one_less(&mut self.of_class, &class);
        one_less(&mut self.of_subject, &subject);
        self.changed.push(number);
    }

    /// What came (`Some`) or went since the last call, by number.
    pub fn changes(&mut self) -> impl Iterator<Item = (u64, Option<&Start>)> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed.into_iter().map(|number| (number, self.starts.get(&number)))
    }

    /// Puts a start back that was written down under this number.
    pub fn put_back(&mut self, number: u64, start: Start) {
        *self.of_class.entry(start.1).or_default() += 1;
        *self.of_subject.entry(start.2.clone()).or_default() += 1;
        self.starts.insert(number, start);
    }

    /// Puts back what an older version wrote down as one row.
    ///
    /// # Errors
    /// When the row cannot be read.
    pub fn put_back_whole(&mut self, json: &str) -> serde_json::Result<()> {
        let whole: Whole = serde_json::from_str(json)?;
        whole.starts.into_iter().for_each(|start| self.add(start));
        Ok(())
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, u32>, of: &K) {
    if let Some(count) = counts.get_mut(of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::SubjectKind;

    #[test]
    fn a_start_is_written_down_alone_and_forgotten_an_hour_later() {
        let limits = BudgetLimits { per_job: 9, per_class: 2, agent: 9 };
        let at = |minutes: i64| DateTime::from_timestamp(1_795_000_000 + minutes * 60, 0).unwrap();
        let subject = Subject { kind: SubjectKind::Source, value: "bot".into() };
        let (mut budget, mut rows) = (Budget::default(), BTreeMap::new());
        for (minutes, allowed) in [(0, true), (30, true), (40, false), (61, true), (62, false), (91, true)] {
            assert_eq!(budget.take(&limits, Class::Timeout, &subject, at(minutes)).is_ok(), allowed, "{minutes}");
            for (number, start) in budget.changes() {
                match start.cloned() {
                    Some(start) => rows.insert(number, start),
                    None => rows.remove(&number),
                };
            }
            // A restart makes no difference.
            budget = Budget::default();
            rows.iter().for_each(|(number, start)| budget.put_back(*number, start.clone()));
        }
        assert_eq!(rows.len(), 2);
        let mut old = Budget::default();
        old.put_back_whole(&serde_json::to_string(&Whole { starts: rows.into_values().collect() }).unwrap()).unwrap();
        assert!(old.take(&limits, Class::Timeout, &subject, at(92)).is_err(), "what an older version wrote counts");
        assert_eq!(old.changes().count(), 2, "and is written down anew");
    }
}
