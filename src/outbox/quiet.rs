//! Knows the hours in which people want to be left alone, also over midnight and when the clocks change. Pure.

use std::fmt;

use chrono::{DateTime, NaiveTime, TimeDelta, Timelike as _, Utc};

/// Minutes of a day.
const DAY: u32 = 24 * 60;

/// Whose clock the hours are read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// That of the machine, with its summer time.
    Local,
    /// A fixed number of seconds east of Greenwich.
    Offset(i32),
}

/// A stretch of the day, written `23:00-07:00`, `23:00-07:00 +02:00` or `23:00-07:00 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// First quiet minute of the day.
    from: u32,
    /// First minute that is not quiet any more.
    to: u32,
    /// Whose clock.
    pub zone: Zone,
}

impl Quiet {
    /// Reads the hours.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{text}' is no stretch of the day; write \"23:00-07:00\" for the machine's own clock, or \"23:00-07:00 UTC\", \"23:00-07:00 +02:00\""
            )
        };
        let mut words = text.split_whitespace();
        let (from, to) = words.next().and_then(|hours| hours.split_once('-')).ok_or_else(wrong)?;
        let (from, to) = (minute(from).ok_or_else(wrong)?, minute(to).ok_or_else(wrong)?);
        let zone = match words.next() {
            None => Zone::Local,
            Some("UTC" | "Z") => Zone::Offset(0),
            Some(offset) => Zone::Offset(seconds(offset).ok_or_else(wrong)?),
        };
        if words.next().is_some() || from == to || from >= DAY {
            return Err(wrong());
        }
        Ok(Self { from, to: to % DAY, zone })
    }

    /// When the quiet that reigns at `now` ends; `None` when it does not reign. `offset` tells how many seconds the
    /// clock of the wall is ahead at a moment.
    #[must_use]
    pub fn until(&self, now: DateTime<Utc>, offset: impl Fn(DateTime<Utc>) -> i32) -> Option<DateTime<Utc>> {
        let offset = |at| match self.zone {
            Zone::Offset(seconds) => seconds,
            Zone::Local => offset(at),
        };
        let wall = (now + TimeDelta::seconds(offset(now).into())).naive_utc();
        let minute = wall.hour() * 60 + wall.minute();
        let inside = if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        };
        if !inside {
            return None;
        }
        let day = wall.date() + TimeDelta::days(i64::from(minute >= self.to));
        let end = day.and_time(NaiveTime::from_hms_opt(self.to / 60, self.to % 60, 0)?);
        // The clocks may change until then: the offset that holds at the end counts.
        let first = end.and_utc() - TimeDelta::seconds(offset(now).into());
        let second = end.and_utc() - TimeDelta::seconds(offset(first).into());
        Some(second.max(now + TimeDelta::seconds(1)))
    }
}

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}-{:02}:{:02}", self.from / 60, self.from % 60, self.to / 60, self.to % 60)
    }
}

/// `23:05` in minutes; `24:00` is the end of the day.
fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str, least: usize| {
        let good = (least..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        good.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes) = (two(hours, 1)?, two(minutes, 2)?);
    (minutes < 60 && (hours < 24 || (hours == 24 && minutes == 0))).then_some(hours * 60 + minutes)
}

/// `+02:00` in seconds.
fn seconds(text: &str) -> Option<i32> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let minutes = i32::try_from(minute(rest)?).ok()?;
    (minutes <= 14 * 60).then_some(sign * minutes * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn ends(quiet: &str, now: &str, offset: impl Fn(DateTime<Utc>) -> i32) -> Option<String> {
        let end = Quiet::parse(quiet).unwrap().until(at(now), offset)?;
        Some(end.format("%d %H:%M").to_string())
    }

    #[test]
    fn e2_quiet_hours_go_over_midnight() {
        let night = |now| ends("23:00-07:00 UTC", now, |_| 0);
        assert_eq!(night("2026-11-22T22:59:59Z"), None);
        assert_eq!(night("2026-11-22T23:00:00Z").as_deref(), Some("23 07:00"));
        assert_eq!(night("2026-11-23T06:59:59Z").as_deref(), Some("23 07:00"));
        assert_eq!(night("2026-11-23T07:00:00Z"), None);
        assert_eq!(ends("12:00-14:00 +02:00", "2026-11-23T10:30:00Z", |_| 0).as_deref(), Some("23 12:00"));
        assert_eq!(ends("22:00-24:00 UTC", "2026-11-23T23:30:00Z", |_| 0).as_deref(), Some("24 00:00"));
    }

    /// Berlin in 2026: summer time ends on 25 October, begins on 29 March, both at 01:00 UTC.
    fn berlin(at_: DateTime<Utc>) -> i32 {
        let summer = at_ >= at("2026-03-29T01:00:00Z") && at_ < at("2026-10-25T01:00:00Z");
        if summer { 7_200 } else { 3_600 }
    }

    #[test]
    fn e2_quiet_hours_end_by_the_clock_of_the_wall_when_summer_time_begins_and_ends() {
        let night = |now| ends("23:00-07:00", now, berlin);
        assert_eq!(night("2026-10-24T21:30:00Z").as_deref(), Some("25 06:00"), "one hour more of sleep");
        assert_eq!(night("2026-03-28T22:30:00Z").as_deref(), Some("29 05:00"), "one hour less");
        // An end inside of the hour that comes twice, or never.
        assert_eq!(ends("01:00-02:30", "2026-10-25T00:10:00Z", berlin).as_deref(), Some("25 00:30"));
        let gap = ends("01:00-02:30", "2026-03-29T00:30:00Z", berlin).unwrap();
        assert!(gap.starts_with("29 00:30") || gap.starts_with("29 01:30"), "{gap}");
    }

    #[test]
    fn what_is_no_stretch_of_the_day_is_refused() {
        for text in
            ["", "23-7", "23:00", "25:00-07:00", "23:00-23:00", "23:00-07:00 Mars", "23:00-07:60", "24:00-07:00"]
        {
            let error = Quiet::parse(text).unwrap_err();
            assert!(error.contains("23:00-07:00"), "{error}");
        }
    }
}
