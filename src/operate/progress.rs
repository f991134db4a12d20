//! Computes rate, share and time left of work that tells how far it is, and when that is worth telling. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Progress is told at most so often, and while it moves as often.
pub const TELL_EVERY: Duration = Duration::from_millis(500);

/// The rate is that of the last time: long enough to be steady, short enough to follow.
const WINDOW: Duration = Duration::from_secs(10);

/// Points kept of that window: one each time it is told.
const POINTS: usize = 24;

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Things.
    #[default]
    Items,
    /// Bytes.
    Bytes,
}

/// How far the work says it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// What is counted.
    pub unit: Unit,
    /// So many are done.
    pub done: Option<u64>,
    /// So many there are.
    pub total: Option<u64>,
    /// The share, where it was said: 0 to 100.
    pub percent: Option<f64>,
    /// Of those done, how many went well.
    pub succeeded: Option<u64>,
    /// Of those done, how many did not.
    pub failed: Option<u64>,
    /// What it is at.
    pub message: Option<String>,
}

impl Tally {
    /// The share that is done, 0 to 100.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let counted = match (self.done, self.total) {
            (Some(done), Some(total)) if total > 0 => Some(done.min(total) as f64 * 100.0 / total as f64),
            _ => None,
        };
        self.percent.filter(|percent| percent.is_finite()).map(|percent| percent.clamp(0.0, 100.0)).or(counted)
    }
}

/// How far an operation is, as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// The share that is done, 0 to 100.
    pub percent: Option<f64>,
    /// What is counted.
    #[serde(default)]
    pub unit: Unit,
    /// So many are done.
    pub done: Option<u64>,
    /// So many there are.
    pub total: Option<u64>,
    /// Items or bytes a second, over the last ten seconds of work.
    pub per_second: Option<f64>,
    /// Seconds until it is done, at that rate.
    pub eta_s: Option<u64>,
    /// How many went well.
    pub succeeded: Option<u64>,
    /// How many did not.
    pub failed: Option<u64>,
    /// What it is at.
    pub message: Option<String>,
    /// What it uses of the machine.
    pub usage: Option<Usage>,
}

/// What an operation uses of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Of one core, 0 to 100 and more.
    pub cpu_percent: f64,
    /// Processor time so far, in milliseconds.
    pub cpu_ms: u64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// `true`: of the command and all it started. `false`: of logmedic, in which the work is done.
    pub own_processes: bool,
}

/// Follows one operation's tallies.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    points: VecDeque<(Duration, f64)>,
    told: Option<(Duration, Tally)>,
}

impl Tracker {
    /// Takes in how far it is at `now` and says whether that is to be told: it moved, and it was not told just before.
    pub fn due(&mut self, tally: &Tally, now: Duration) -> bool {
        if let Some((at, last)) = &self.told
            && (now.saturating_sub(*at) < TELL_EVERY || last == tally)
        {
            return false;
        }
        self.told = Some((now, tally.clone()));
        if let Some(measure) = measure(tally) {
            // Begun anew: the old rate says nothing.
            if self.points.back().is_some_and(|(_, last)| measure < *last) {
                self.points.clear();
            }
            self.points.push_back((now, measure));
            let old = |at: Duration| now.saturating_sub(at) > WINDOW;
            while self.points.len() > POINTS || (self.points.len() > 2 && old(self.points[0].0)) {
                self.points.pop_front();
            }
        }
        true
    }

    /// After a pause: the time of it does not count.
    pub fn restart(&mut self) {
        self.points.clear();
    }

    /// The tally with rate and time left.
    #[must_use]
    pub fn shown(&self, tally: &Tally, usage: Option<Usage>) -> Progress {
        let rate = self.rate();
        let counts = tally.done.is_some();
        let left = match (tally.done, tally.total, tally.share()) {
            (Some(done), Some(total), _) => Some(total.saturating_sub(done) as f64),
            (None, _, Some(share)) => Some(100.0 - share),
            _ => None,
        };
        let eta = left.zip(rate).filter(|(_, rate)| *rate > 0.0).map(|(left, rate)| (left / rate).ceil());
        Progress {
            percent: tally.share().map(tenth),
            unit: tally.unit,
            done: tally.done,
            total: tally.total,
            per_second: rate.filter(|_| counts).map(tenth),
            // A float becomes the nearest integer that there is; ten years are as good as never.
            eta_s: eta.filter(|eta| *eta < 315_360_000.0).map(|eta| eta as u64),
            succeeded: tally.succeeded,
            failed: tally.failed,
            message: tally.message.clone(),
            usage,
        }
    }

    fn rate(&self) -> Option<f64> {
        let ((from, first), (to, last)) = (self.points.front()?, self.points.back()?);
        let seconds = to.saturating_sub(*from).as_secs_f64();
        (seconds > 0.0).then(|| (last - first) / seconds)
    }
}

/// What the rate is computed of: what is counted, else the share.
fn measure(tally: &Tally) -> Option<f64> {
    tally.done.map(|done| done as f64).or_else(|| tally.share())
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(done: u64, total: u64) -> Tally {
        Tally { done: Some(done), total: Some(total), ..Tally::default() }
    }

    #[test]
    fn c3_progress_is_told_every_half_second_while_it_moves_and_not_otherwise() {
        let mut tracker = Tracker::default();
        let told: Vec<u64> = (0..40)
            .filter(|tenth| tracker.due(&items(*tenth.min(&20), 100), Duration::from_millis(tenth * 100)))
            .collect();
        assert_eq!(told, [0, 5, 10, 15, 20]);
    }

    #[test]
    fn c3_rate_and_time_left_follow_the_last_seconds() {
        let mut tracker = Tracker::default();
        let mut tally = items(0, 1000);
        for second in 0..60u64 {
            // Slow first, then ten a second.
            tally = items(if second < 20 { second } else { 20 + (second - 20) * 10 }, 1000);
            tracker.due(&tally, Duration::from_secs(second));
        }
        let shown = tracker.shown(&tally, None);
        assert_eq!(shown.per_second, Some(10.0));
        assert_eq!(shown.eta_s, Some(59));
        assert_eq!(shown.percent, Some(41.0));
    }

    #[test]
    fn c3_a_bare_percentage_has_a_time_left_but_no_items() {
        let mut tracker = Tracker::default();
        let at = |percent| Tally { percent: Some(percent), ..Tally::default() };
        tracker.due(&at(10.0), Duration::ZERO);
        tracker.due(&at(20.0), Duration::from_secs(1));
        let shown = tracker.shown(&at(20.0), None);
        assert_eq!((shown.per_second, shown.eta_s), (None, Some(8)));
        assert_eq!(at(f64::NAN).share(), None);
        assert_eq!(at(1e9).share(), Some(100.0));
    }
}
