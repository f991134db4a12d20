//! Measures how far a download is: bytes, percentage, rate, time left; what is not known is `None`. Pure.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Points that the rate is made of: half a minute at one look in two seconds.
const POINTS: usize = 16;

/// No rate is told of less time than this, in milliseconds: the first bytes come out of buffers.
const MIN_SPAN_MS: i64 = 1_000;

/// From so many stretches on, the fastest and the slowest are left out.
const TRIM_FROM: usize = 5;

/// No time left is told beyond this, in seconds (30 days): the rate is too low to say.
const MAX_ETA_S: u64 = 30 * 86_400;

/// How far one download is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100, with one digit; never goes back within an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Bytes that are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes in all, as far as somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Seconds left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<u64>,
    /// When it last went on (the clock of who said so).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_at: Option<DateTime<Utc>>,
    /// The file itself was measured: what the log says of bytes counts no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub measured: bool,
    #[serde(skip)]
    meter: Meter,
}

/// What was seen of a download at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// A percentage that the log told.
    pub percent: Option<f64>,
    /// Bytes that are there.
    pub bytes: Option<u64>,
    /// Bytes in all.
    pub total: Option<u64>,
    /// Bytes per second that the log told.
    pub rate: Option<u64>,
    /// Seconds left that the log told.
    pub eta_s: Option<u64>,
    /// From the file, not from the log.
    pub measured: bool,
}

impl Progress {
    /// Takes in what was seen. Returns whether the download went on.
    pub fn take(&mut self, seen: &Seen, at: DateTime<Utc>) -> bool {
        if let Some(total) = seen.total.filter(|total| *total > 0) {
            self.total = Some(total);
        }
        let mut moved = false;
        if let Some(bytes) = seen.bytes.filter(|_| seen.measured || !self.measured) {
            self.measured |= seen.measured;
            moved |= self.bytes.is_none_or(|old| bytes > old);
            let bytes = self.bytes.map_or(bytes, |old| old.max(bytes));
            self.bytes = Some(bytes);
            self.meter.add(at, bytes);
        }
        if self.total.zip(self.bytes).is_some_and(|(total, bytes)| bytes > total) {
            // Whoever told the size was wrong; nobody knows it.
            self.total = None;
        }
        let counted = self.total.zip(self.bytes).map(|(total, bytes)| bytes as f64 * 100.0 / total as f64);
        if let Some(percent) = counted.or(seen.percent).filter(|percent| percent.is_finite()) {
            // Rounded down: 100 is said of nothing that lacks a byte.
            let percent = (percent.clamp(0.0, 100.0) * 10.0).floor() / 10.0;
            moved |= self.percent.is_none_or(|old| percent > old);
            self.percent = Some(self.percent.map_or(percent, |old| old.max(percent)));
        }
        if moved {
            self.moved_at = Some(at);
        }
        self.rate = self.meter.rate().or(seen.rate.filter(|_| !self.measured));
        self.eta_s = self.left().or(seen.eta_s.filter(|_| !self.measured));
        moved
    }

    /// Nothing comes any more: there is no rate and no time left to tell.
    pub fn rest(&mut self) {
        (self.rate, self.eta_s, self.meter) = (None, None, Meter::default());
    }

    /// It is all there.
    pub fn finish(&mut self, size: Option<u64>) {
        self.rest();
        self.percent = Some(100.0);
        self.bytes = size.or(self.bytes);
        if self.bytes.is_some() {
            self.total = self.bytes;
        }
    }

    /// Begins again from nothing; the size in all stays known.
    pub fn restart(&mut self) {
        *self = Self { total: self.total, ..Self::default() };
    }

    /// Whether the file became so much smaller that somebody began it anew.
    #[must_use]
    pub fn began_anew(&self, bytes: Option<u64>) -> bool {
        self.measured && self.bytes.zip(bytes).is_some_and(|(old, new)| new < old / 2)
    }

    fn left(&self) -> Option<u64> {
        let rate = self.rate.filter(|rate| *rate > 0)?;
        let left = self.total?.checked_sub(self.bytes?)?.div_ceil(rate);
        (left <= MAX_ETA_S).then_some(left)
    }
}

/// A moving average that neither one burst nor one pause moves far.
#[derive(Clone, Debug, Default, PartialEq)]
struct Meter {
    points: VecDeque<(i64, u64)>,
}

impl Meter {
    fn add(&mut self, at: DateTime<Utc>, bytes: u64) {
        let at = at.timestamp_millis();
        match self.points.back() {
            // A clock that went back: begin again.
            Some((last, _)) if at < *last => self.points.clear(),
            Some((last, _)) if at == *last => {
                self.points.pop_back();
            }
            _ => {}
        }
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back((at, bytes));
    }

    /// Bytes per second.
    fn rate(&self) -> Option<u64> {
        let (first, last) = (self.points.front()?, self.points.back()?);
        if last.0 - first.0 < MIN_SPAN_MS {
            return None;
        }
        let pairs = self.points.iter().zip(self.points.iter().skip(1));
        let mut stretches: Vec<(u64, u64)> =
            pairs.map(|(a, b)| ((b.0 - a.0).unsigned_abs(), b.1.saturating_sub(a.1))).collect();
        if stretches.len() >= TRIM_FROM {
            stretches.sort_by(|a, b| (u128::from(a.1) * u128::from(b.0)).cmp(&(u128::from(b.1) * u128::from(a.0))));
            stretches.pop();
            stretches.remove(0);
        }
        let (span, bytes) =
            stretches.iter().fold((0u64, 0u64), |sum, one| (sum.0 + one.0, sum.1.saturating_add(one.1)));
        bytes.saturating_mul(1_000).checked_div(span)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_795_000_000_000 + ms).unwrap()
    }

    fn measured(bytes: u64, total: Option<u64>) -> Seen {
        Seen { bytes: Some(bytes), total, measured: true, ..Seen::default() }
    }

    #[test]
    fn b2_rate_and_time_left_pass_over_one_burst_and_are_not_told_too_early() {
        let mut progress = Progress::default();
        progress.take(&measured(50_000, Some(1_000_000)), at(0));
        assert_eq!((progress.rate, progress.eta_s), (None, None), "one point is no rate");
        for second in 1..10 {
            progress.take(&measured(50_000 + second * 1_000, None), at(second as i64 * 1_000));
        }
        assert_eq!(progress.rate, Some(1_000));
        assert_eq!(progress.eta_s, Some(941));
        progress.take(&measured(560_000, None), at(10_000));
        assert_eq!(progress.rate, Some(1_000), "one burst moves it not");
        progress.rest();
        assert_eq!((progress.rate, progress.eta_s), (None, None));
    }

    #[test]
    fn b2_what_nobody_said_is_unknown_and_a_wrong_size_is_dropped() {
        let mut progress = Progress::default();
        progress.take(&measured(500, None), at(0));
        assert_eq!((progress.percent, progress.total, progress.eta_s), (None, None, None));
        progress.take(&measured(600, Some(550)), at(2_000));
        assert_eq!((progress.percent, progress.total), (None, None));
        let told = Seen { percent: Some(45.37), rate: Some(7), eta_s: Some(9), ..Seen::default() };
        let mut progress = Progress::default();
        assert!(progress.take(&told, at(0)));
        assert_eq!((progress.percent, progress.rate, progress.eta_s), (Some(45.3), Some(7), Some(9)));
        assert!(!progress.take(&told, at(1)), "the same again is no movement");
    }

    proptest! {
        #[test]
        fn b2_progress_never_goes_back_and_never_passes_100(
            steps in prop::collection::vec(
                (0..100_000i64, prop::option::of(-5.0..500.0f64), prop::option::of(0..2_000u64), prop::option::of(0..1_500u64), any::<bool>()),
                0..60,
            )
        ) {
            let mut progress = Progress::default();
            let mut last = 0.0;
            for (ms, percent, bytes, total, measured) in steps {
                progress.take(&Seen { percent, bytes, total, rate: None, eta_s: None, measured }, at(ms));
                let now = progress.percent.unwrap_or(last);
                prop_assert!((0.0..=100.0).contains(&now) && now >= last);
                last = now;
            }
        }
    }
}
