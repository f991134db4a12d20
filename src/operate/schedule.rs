//! Says when a scheduled operation is due: every so often, or daily at a time of the clock on the wall. Pure.
//!
//! A time that the clock skips in spring is due when the clock has jumped; one that comes twice in autumn is due the first time.
//! What was missed while logmedic did not run is done once, however often it was missed.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveTime, TimeDelta, TimeZone, Utc};

/// When an operation is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Again and again after this time.
    Every(Duration),
    /// Daily at this local time.
    Daily(NaiveTime),
}

/// The longest gap that clocks skip; some skipped a whole day, which no daily time can fall into for long.
const GAP_MINUTES: i64 = 24 * 60;

impl Schedule {
    /// Reads the time of a day, `"03:30"`.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn daily(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("'{text}' is not a time of the day; write hours and minutes, such as \"03:30\"");
        NaiveTime::parse_from_str(text.trim(), "%H:%M").map(Self::Daily).map_err(wrong)
    }

    /// When it is due next, having been due last at `last` (or known since then). A moment that is past: now, once.
    #[must_use]
    pub fn next<Z: TimeZone>(&self, last: DateTime<Utc>, now: DateTime<Utc>, zone: &Z) -> DateTime<Utc> {
        // The clock was wrong then, or is now: it counts from here.
        let last = last.min(now);
        match self {
            Self::Every(period) => {
                TimeDelta::from_std(*period).ok().and_then(|period| last.checked_add_signed(period)).unwrap_or(last)
            }
            Self::Daily(time) => {
                let day = last.with_timezone(zone).date_naive();
                // Today's may be over; tomorrow's is not. The day before is asked as well: a zone may change.
                let days = [day.checked_sub_days(Days::new(1)), Some(day), day.checked_add_days(Days::new(1))];
                let after = days.into_iter().flatten().filter_map(|day| moment(day.and_time(*time), zone));
                after.filter(|at| *at > last).min().unwrap_or(last + TimeDelta::days(1))
            }
        }
    }
}

/// The moment of a local time: the first, where it comes twice; the end of the gap, where it does not come.
fn moment<Z: TimeZone>(local: chrono::NaiveDateTime, zone: &Z) -> Option<DateTime<Utc>> {
    let at = |minutes: i64| {
        let local = local.checked_add_signed(TimeDelta::minutes(minutes))?;
        zone.from_local_datetime(&local).earliest().map(|at| at.to_utc())
    };
    (0..=GAP_MINUTES).find_map(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime};

    /// Central Europe in 2026: +1, from 29 March 01:00 UTC +2, from 25 October 01:00 UTC +1 again.
    #[derive(Clone, Copy, Debug)]
    struct Berlin;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn offset(hours: i32) -> FixedOffset {
        FixedOffset::east_opt(hours * 3600).unwrap()
    }

    impl TimeZone for Berlin {
        type Offset = FixedOffset;
        fn from_offset(_: &FixedOffset) -> Self {
            Self
        }
        fn offset_from_local_date(&self, _: &NaiveDate) -> MappedLocalTime<FixedOffset> {
            MappedLocalTime::None
        }
        fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<FixedOffset> {
            let fits = |hours: i32| {
                let at = *local - TimeDelta::hours(hours.into());
                self.offset_from_utc_datetime(&at) == offset(hours)
            };
            match (fits(2), fits(1)) {
                (true, true) => MappedLocalTime::Ambiguous(offset(2), offset(1)),
                (true, false) => MappedLocalTime::Single(offset(2)),
                (false, true) => MappedLocalTime::Single(offset(1)),
                (false, false) => MappedLocalTime::None,
            }
        }
        fn offset_from_utc_date(&self, _: &NaiveDate) -> FixedOffset {
            offset(1)
        }
        fn offset_from_utc_datetime(&self, at: &NaiveDateTime) -> FixedOffset {
            let at = at.and_utc();
            let summer = at >= utc("2026-03-29T01:00:00Z") && at < utc("2026-10-25T01:00:00Z");
            offset(if summer { 2 } else { 1 })
        }
    }

    fn runs(schedule: Schedule, from: &str, days: usize) -> Vec<String> {
        let mut last = utc(from);
        let mut all = Vec::new();
        for _ in 0..days {
            last = schedule.next(last, last, &Berlin);
            all.push(last.format("%m-%dT%H:%M").to_string());
        }
        all
    }

    #[test]
    fn c9_a_daily_time_is_the_clocks_on_the_wall() {
        let at = Schedule::daily("03:30").unwrap();
        assert_eq!(runs(at, "2026-03-27T12:00:00Z", 3), ["03-28T02:30", "03-29T01:30", "03-30T01:30"]);
    }

    #[test]
    fn c9_a_skipped_time_is_due_after_the_jump_and_a_doubled_one_once() {
        let at = Schedule::daily("02:30").unwrap();
        assert_eq!(runs(at, "2026-03-28T12:00:00Z", 2), ["03-29T01:00", "03-30T00:30"], "03:00 summer time");
        assert_eq!(runs(at, "2026-10-24T12:00:00Z", 2), ["10-25T00:30", "10-26T01:30"], "the first 02:30 only");
    }

    #[test]
    fn c9_what_was_missed_is_due_once() {
        let (now, last) = (utc("2026-06-10T12:00:00Z"), utc("2026-06-01T12:00:00Z"));
        for schedule in [Schedule::Every(Duration::from_secs(3600)), Schedule::daily("03:30").unwrap()] {
            assert!(schedule.next(last, now, &Berlin) < now, "it is due");
            assert!(schedule.next(now, now, &Berlin) > now, "and then not again at once");
        }
    }

    #[test]
    fn c9_a_clock_that_was_wrong_does_not_stop_a_schedule() {
        let (now, last) = (utc("2026-06-10T12:00:00Z"), utc("2031-01-01T00:00:00Z"));
        let next = Schedule::Every(Duration::from_secs(60)).next(last, now, &Berlin);
        assert_eq!(next, utc("2026-06-10T12:01:00Z"));
    }

    #[test]
    fn h3_a_time_that_is_none_is_refused() {
        for wrong in ["", "25:00", "3", "03:30:00", "noon", "-1:00"] {
            assert!(Schedule::daily(wrong).is_err(), "{wrong}");
        }
    }
}
