//! Counts repairs so that none is repeated without end. Pure.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::BudgetLimits;
use crate::vocab::{Class, Subject};

/// The window in which repairs are counted.
const WINDOW: TimeDelta = TimeDelta::hours(1);

/// How many starts are remembered at most, whatever the limits say.
const STARTS_MAX: usize = 10_000;

/// The repairs of the last hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    starts: VecDeque<(DateTime<Utc>, Class, Subject)>,
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
        while self.starts.front().is_some_and(|(at, ..)| now - *at > WINDOW) {
            self.starts.pop_front();
        }
        let count = |fits: &dyn Fn(&Class, &Subject) -> bool| {
            u32::try_from(self.starts.iter().filter(|(_, c, s)| fits(c, s)).count()).unwrap_or(u32::MAX)
        };
        for (used, limit, what) in [
            (count(&|_, s| s == subject), limits.per_job, "budget.per_job"),
            (count(&|c, _| *c == class), limits.per_class, "budget.per_class"),
            (count(&|_, _| true), limits.agent, "budget.agent"),
        ] {
            if used >= limit {
                return Err(format!("{used} repairs within an hour reach {what} = {limit}"));
            }
        }
        if self.starts.len() == STARTS_MAX {
            self.starts.pop_front();
        }
        self.starts.push_back((now, class, subject.clone()));
        Ok(())
    }
}
