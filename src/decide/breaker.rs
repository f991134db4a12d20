//! Notices that many things fail at once: then the cause is upstream and repairing each is useless. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::BreakerLimits;
use crate::vocab::Subject;

/// How many failures are remembered at most; far over any sensible threshold.
const FAILURES_MAX: usize = 1_000;

/// Whether repairs that depend on the upstream server may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// All is well.
    #[default]
    Closed,
    /// Held: the server is probed first.
    Open,
    /// The server answers: one repair goes ahead, the others follow when it is proven.
    Trial,
}

/// A circuit breaker over distinct subjects in a sliding window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    /// Where it is.
    pub state: BreakerState,
    failures: VecDeque<(DateTime<Utc>, Subject)>,
}

impl Breaker {
    /// Takes in one confirmed failure. `true` when it just opened. A threshold beyond what is remembered switches it off.
    pub fn fail(&mut self, limits: &BreakerLimits, subject: &Subject, now: DateTime<Utc>) -> bool {
        let within = TimeDelta::from_std(limits.within.min(Duration::from_secs(86_400))).unwrap_or(TimeDelta::days(1));
        let threshold = limits.threshold.max(2) as usize;
        if threshold > FAILURES_MAX {
            self.failures.clear();
            return false;
        }
        self.failures.retain(|(at, known)| now - *at <= within && known != subject);
        self.failures.push_back((now, subject.clone()));
        // More than opens it tell nothing: all of it is written down each time.
        self.failures.drain(..self.failures.len().saturating_sub(threshold));
        let many = self.failures.len() == threshold;
        let opens = many && self.state == BreakerState::Closed;
        if opens {
            self.state = BreakerState::Open;
        }
        opens
    }

    /// The server answers: let one repair try. Nothing when it is not open.
    pub fn try_one(&mut self) {
        if self.state == BreakerState::Open {
            self.state = BreakerState::Trial;
        }
    }

    /// What came of the trial: closed with a clean slate, or open again.
    pub fn trial(&mut self, worked: bool) {
        if worked {
            *self = Self::default();
        } else {
            self.state = BreakerState::Open;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::SubjectKind;

    #[test]
    fn it_opens_at_its_threshold_remembers_no_more_than_that_and_never_opens_beyond_what_is_remembered() {
        let now = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        let subject = |number| Subject { kind: SubjectKind::File, value: format!("/m/{number}") };
        for (threshold, opens_at) in [(5, Some(5)), (1_000, Some(1_000)), (1_001, None)] {
            let limits = BreakerLimits { threshold, within: Duration::from_secs(60) };
            let mut breaker = Breaker::default();
            let opened = (1..=1_100).filter(|number| breaker.fail(&limits, &subject(*number), now));
            assert_eq!(opened.collect::<Vec<_>>(), opens_at.into_iter().collect::<Vec<_>>(), "{threshold}");
            assert_eq!(breaker.failures.len(), opens_at.unwrap_or(0));
        }
    }
}
