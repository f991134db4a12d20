//! Says where free bytes are heading: a straight line through the last day, and whether it may be believed. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use crate::ledger::trends::Sample;

/// What is looked at: the habits of the last day.
const OVER: i64 = 86_400;

/// Fewer samples than these, or over a shorter time, are no trend: an hour of them.
const SAMPLES_MIN: usize = 12;
const SPAN_MIN: i64 = 3_000;

/// So much of the ups and downs a straight line must explain before it is told when the disk is full.
const FIT_MIN: f64 = 0.5;

/// A disk that fills up later than this is no news.
const FORESEEN: TimeDelta = TimeDelta::days(90);

/// Where it is heading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Heading {
    /// Change of the free bytes an hour; `None`: too little is known.
    pub(super) per_hour: Option<i64>,
    /// When it is full if that goes on; `None`: not within 90 days, or the line fits too badly to say.
    pub(super) full_at: Option<DateTime<Utc>>,
}

/// Where these samples of one place, in order of time, are heading.
pub(super) fn heading(samples: &[Sample]) -> Heading {
    let Some(last) = samples.last() else { return Heading::default() };
    let from = samples.partition_point(|sample| sample.at < last.at - OVER);
    let day = &samples[from..];
    if day.len() < SAMPLES_MIN || last.at - day[0].at < SPAN_MIN {
        return Heading::default();
    }
    let points: Vec<(f64, f64)> =
        day.iter().map(|sample| ((sample.at - last.at) as f64, sample.free as f64 - last.free as f64)).collect();
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in &points {
        let (x, y) = (x - mean_x, y - mean_y);
        (xx, xy, yy) = (x.mul_add(x, xx), x.mul_add(y, xy), y.mul_add(y, yy));
    }
    if xx <= 0.0 {
        return Heading::default();
    }
    let slope = xy / xx;
    // The share of the changes that the line explains; nothing changed: it explains all.
    let fit = if yy <= 0.0 { 1.0 } else { xy * xy / (xx * yy) };
    let full_at = (slope < 0.0 && fit >= FIT_MIN)
        .then(|| last.free as f64 / -slope)
        .filter(|seconds| *seconds <= FORESEEN.num_seconds() as f64)
        .and_then(|seconds| DateTime::from_timestamp(last.at.saturating_add(seconds as i64), 0));
    Heading { per_hour: Some((slope * 3_600.0) as i64), full_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: i64 = 1_795_000_000;

    fn day(free: impl Fn(i64) -> i64) -> Vec<Sample> {
        let sample =
            |number: i64| Sample { at: BEGIN + number * 300, free: free(number).unsigned_abs(), total: 1 << 40 };
        (0..288).map(sample).collect()
    }

    #[test]
    fn f6_a_steady_loss_says_when_the_disk_is_full() {
        let samples = day(|number| 1_000_000_000 - number * 1_000_000);
        let heading = heading(&samples);
        assert_eq!(heading.per_hour, Some(-12_000_000));
        // 713 samples' worth are left.
        assert_eq!(heading.full_at.unwrap().timestamp(), BEGIN + 287 * 300 + 713 * 300);
    }

    #[test]
    fn f6_what_is_not_known_is_not_told() {
        assert_eq!(heading(&[]), Heading::default());
        assert_eq!(heading(&day(|n| 1_000_000_000 - n)[..10]), Heading::default());
        let growing = heading(&day(|number| 1_000_000_000 + number * 1_000_000));
        assert!(growing.full_at.is_none() && growing.per_hour.is_some_and(|change| change > 0));
        // Filled and emptied again and again.
        let sawing = heading(&day(|number| 1_000_000_000 - (number % 20) * 40_000_000));
        assert_eq!(sawing.full_at, None, "{sawing:?}");
        let slow = heading(&day(|number| 1_000_000_000_000 - number * 1_000));
        assert_eq!(slow.full_at, None, "in more than 90 days");
        assert_eq!(heading(&day(|_| 5)).full_at, None);
    }
}
