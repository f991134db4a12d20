//! Reads the time that a program wrote at the start of a line. Pure.

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, TimeDelta, Utc};

/// How far a stamp without a year or a day may lie in the future before the one before is meant: clocks differ a little.
const AHEAD: TimeDelta = TimeDelta::hours(1);

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
const WEEKDAYS: [&[u8; 3]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];

/// A time as written: what the line leaves out (year, day, zone) stays open until [`Stamp::to_utc`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    year: Option<i32>,
    /// Month and day.
    day: Option<(u32, u32)>,
    second: u32,
    micros: u32,
    offset: Option<i32>,
}

impl Stamp {
    /// The moment meant. `local_offset_seconds` (east positive) stands in for a missing zone, `now_wall` for a missing
    /// year or day: the latest one that is not in the future.
    #[must_use]
    pub fn to_utc(&self, local_offset_seconds: i32, now_wall: DateTime<Utc>) -> DateTime<Utc> {
        let shift = TimeDelta::seconds(i64::from(self.offset.unwrap_or(local_offset_seconds)));
        let now = now_wall.naive_utc().checked_add_signed(shift).unwrap_or(now_wall.naive_utc());
        let Some(time) = NaiveTime::from_num_seconds_from_midnight_opt(self.second, self.micros.saturating_mul(1000))
        else {
            return now_wall;
        };
        let in_year = |year| self.day.and_then(|(month, day)| NaiveDate::from_ymd_opt(year, month, day));
        let late = |date: NaiveDate| date.and_time(time) - now > AHEAD;
        let date = match (self.year, self.day) {
            (Some(year), _) => in_year(year),
            // 29 February of the last leap year at the latest.
            (None, Some(_)) => (0..8).filter_map(|ago| in_year(now.year() - ago)).find(|&date| !late(date)),
            (None, None) if late(now.date()) => now.date().checked_sub_days(Days::new(1)),
            (None, None) => Some(now.date()),
        };
        date.and_then(|date| date.and_time(time).checked_sub_signed(shift)).map_or(now_wall, |at| at.and_utc())
    }

    /// Reads a stamp at the start of `text`, after an opening bracket or `time="` if there is one.
    ///
    /// Returns it with the number of bytes up to its end.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<(Self, usize)> {
        let lead = match text.first()? {
            b'[' | b'(' | b'<' => 1,
            b't' if text.starts_with(b"time=\"") => 6,
            b't' if text.starts_with(b"time=") => 5,
            _ => 0,
        };
        let mut cursor = Cursor { text, at: lead };
        let stamp = cursor.stamp()?;
        match cursor.peek() {
            Some(b) if b.is_ascii_alphanumeric() => None,
            _ => Some((stamp, cursor.at)),
        }
    }
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, wanted: &[u8]) -> Option<u8> {
        let byte = self.peek().filter(|b| wanted.contains(b))?;
        self.at += 1;
        Some(byte)
    }

    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let rest = self.text.get(self.at..)?;
        let count = rest.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
        if count < least {
            return None;
        }
        // Ten digits may be more than the number holds: then they are no time.
        let number = rest[..count]
            .iter()
            .try_fold(0u32, |sum, digit| sum.checked_mul(10)?.checked_add(u32::from(digit - b'0')))?;
        self.at += count;
        Some(number)
    }

    /// A number of so many digits, nine at most. Times are read of every line: known at compile time, this is no loop.
    fn exactly<const DIGITS: usize>(&mut self) -> Option<u32> {
        let mut number = 0;
        for digit in self.text.get(self.at..)?.first_chunk::<DIGITS>()? {
            if !digit.is_ascii_digit() {
                return None;
            }
            number = number * 10 + u32::from(digit - b'0');
        }
        self.at += DIGITS;
        Some(number)
    }

    fn word(&mut self, among: &[&[u8; 3]]) -> Option<u32> {
        let three = self.text.get(self.at..self.at + 3)?;
        let place = among.iter().position(|name| name.eq_ignore_ascii_case(three))?;
        self.at += 3;
        u32::try_from(place + 1).ok()
    }

    /// Tries `read`, and goes back when it fails.
    fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let value = read(self);
        if value.is_none() {
            self.at = start;
        }
        value
    }

    fn stamp(&mut self) -> Option<Stamp> {
        match self.peek()? {
            b'0'..=b'9' => self
                .attempt(Self::year_first)
                .or_else(|| self.attempt(Self::clock_only))
                .or_else(|| self.attempt(Self::month_day))
                .or_else(|| self.attempt(Self::day_first))
                .or_else(|| self.attempt(Self::epoch)),
            b'I' | b'W' | b'E' | b'F' | b'D' if self.text.get(self.at + 1).is_some_and(|b| b.is_ascii_digit()) => {
                self.glog()
            }
            b'A'..=b'Z' | b'a'..=b'z' => self.attempt(Self::syslog),
            _ => None,
        }
    }

    /// `2026-11-22 01:02:03,456`, `2026/11/22T01:02:03.456789+01:00`, …
    fn year_first(&mut self) -> Option<Stamp> {
        let year = self.exactly::<4>()?;
        let sep = self.eat(b"-/.")?;
        let month = self.exactly::<2>()?;
        self.eat(&[sep])?;
        let day = self.exactly::<2>()?;
        self.eat(b"T _t")?;
        self.eat(b" ");
        let (second, micros) = self.clock()?;
        let offset = self.zone();
        Stamp::dated(Some(year), month, day, second, micros, offset)
    }

    /// `01:02:03`
    fn clock_only(&mut self) -> Option<Stamp> {
        let (second, micros) = self.clock()?;
        Some(Stamp { year: None, day: None, second, micros, offset: None })
    }

    /// `11/22 01:02:03` (aria2)
    fn month_day(&mut self) -> Option<Stamp> {
        let month = self.exactly::<2>()?;
        self.eat(b"/-")?;
        let day = self.exactly::<2>()?;
        self.eat(b" ")?;
        let (second, micros) = self.clock()?;
        Stamp::dated(None, month, day, second, micros, None)
    }

    /// `22/Nov/2026:01:02:03 +0000`, `22-Nov-2026 01:02:03`, `22.11.2026 01:02:03`, `11/22/2026 01:02:03`
    fn day_first(&mut self) -> Option<Stamp> {
        let first = self.digits(1, 2)?;
        let sep = self.eat(b"/-. ")?;
        let (day, month) = match self.word(&MONTHS) {
            Some(month) => (first, month),
            None => {
                let second = self.digits(1, 2)?;
                // With slashes and both small nobody can tell; most programs that write them mean month first.
                if second > 12 || (sep == b'/' && first <= 12) { (second, first) } else { (first, second) }
            }
        };
        self.eat(&[sep])?;
        let year = self.exactly::<4>()?;
        self.eat(b",");
        self.eat(b": T")?;
        let (second, micros) = self.clock()?;
        let offset = self.zone();
        Stamp::dated(Some(year), month, day, second, micros, offset)
    }

    /// `1795309323.456`, `1795309323456`
    fn epoch(&mut self) -> Option<Stamp> {
        let seconds = self.digits(9, 10).filter(|&s| s >= 946_684_800)?;
        let micros = match self.exactly::<3>() {
            Some(millis) => millis * 1000,
            None => self.fraction(),
        };
        if !matches!(self.peek(), None | Some(b' ' | b']' | b'\t' | b':' | b',' | b'|' | b')')) {
            return None;
        }
        let at = DateTime::from_timestamp(i64::from(seconds), 0)?.naive_utc();
        Some(Stamp {
            year: Some(at.year()),
            day: Some((at.month(), at.day())),
            second: seconds % 86_400,
            micros,
            offset: Some(0),
        })
    }

    /// `E1122 01:02:03.456789`
    fn glog(&mut self) -> Option<Stamp> {
        self.attempt(|c| {
            c.at += 1;
            let day = c.exactly::<4>()?;
            c.eat(b" ")?;
            let (second, micros) = c.clock()?;
            Stamp::dated(None, day / 100, day % 100, second, micros, None)
        })
    }

    /// `Nov 22 01:02:03`, `Sun Nov 22 01:02:03 2026`, `Sun, 22 Nov 2026 01:02:03 GMT`
    fn syslog(&mut self) -> Option<Stamp> {
        if self.word(&WEEKDAYS).is_some() {
            self.eat(b",");
            self.eat(b" ")?;
            if self.peek().is_some_and(|b| b.is_ascii_digit()) {
                return self.day_first();
            }
        }
        let month = self.word(&MONTHS)?;
        self.eat(b" ")?;
        self.eat(b" ");
        let day = self.digits(1, 2)?;
        self.eat(b" ")?;
        let (second, micros) = self.clock()?;
        let year = self.attempt(|c| {
            c.eat(b" ")?;
            c.exactly::<4>().filter(|year| (1990..2200).contains(year))
        });
        Stamp::dated(year, month, day, second, micros, None)
    }

    /// `01:02:03` with an optional fraction: seconds of the day and microseconds.
    fn clock(&mut self) -> Option<(u32, u32)> {
        let hour = self.exactly::<2>().filter(|&h| h < 24)?;
        self.eat(b":")?;
        let minute = self.exactly::<2>().filter(|&m| m < 60)?;
        self.eat(b":")?;
        let second = self.exactly::<2>().filter(|&s| s <= 60)?;
        Some((hour * 3600 + minute * 60 + second.min(59), self.fraction()))
    }

    fn fraction(&mut self) -> u32 {
        let read = self.attempt(|c| {
            c.eat(b".,:")?;
            let start = c.at;
            let value = c.digits(1, 6)?;
            let width = u32::try_from(c.at - start).ok()?;
            c.digits(0, 6);
            Some(value * 10u32.pow(6 - width))
        });
        read.unwrap_or(0)
    }

    fn zone(&mut self) -> Option<i32> {
        self.attempt(|c| {
            let spaced = c.eat(b" ").is_some();
            for name in [&b"UTC"[..], b"GMT", b"Z"] {
                if c.text.get(c.at..).is_some_and(|rest| rest.starts_with(name)) {
                    c.at += name.len();
                    return Some(0);
                }
            }
            let sign = if c.eat(b"+-")? == b'-' { -1 } else { 1 };
            let hours = c.exactly::<2>()?;
            let colon = c.eat(b":").is_some();
            let minutes = c.exactly::<2>();
            if minutes.is_none() && (spaced || colon) {
                return None;
            }
            i32::try_from(hours * 3600 + minutes.unwrap_or(0) * 60).ok().filter(|s| *s <= 14 * 3600).map(|s| s * sign)
        })
    }
}

impl Stamp {
    fn dated(year: Option<u32>, month: u32, day: u32, second: u32, micros: u32, offset: Option<i32>) -> Option<Self> {
        let year = year.and_then(|y| i32::try_from(y).ok());
        // A year of our own choice must be a leap year, so that 29 February stands.
        NaiveDate::from_ymd_opt(year.unwrap_or(2024), month, day)?;
        Some(Self { year, day: Some((month, day)), second, micros, offset })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn utc(text: &str, local: i32) -> String {
        let now = DateTime::parse_from_rfc3339("2026-11-22T12:00:00Z").unwrap().to_utc();
        let (stamp, _) = Stamp::parse(text.as_bytes()).unwrap_or_else(|| panic!("no stamp in {text}"));
        stamp.to_utc(local, now).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
    }

    #[test]
    fn a_number_that_is_too_large_for_a_time_is_none() {
        assert!(Stamp::parse(b"4294967295 x").is_some(), "the year 2106");
        for text in ["4294967296 x", "9999999999 x", "[9999999999.123] x"] {
            assert_eq!(Stamp::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_common_way_to_write_a_time_is_read() {
        for (text, local, wanted) in [
            ("2026-11-22 01:02:03,456 - x", 0, "2026-11-22T01:02:03.456Z"),
            ("2026-11-22T01:02:03.456789+01:00 x", 0, "2026-11-22T00:02:03.456789Z"),
            ("[2026-11-22 01:02:03] x", 3600, "2026-11-22T00:02:03Z"),
            ("2026-11-22T01:02:03Z", 3600, "2026-11-22T01:02:03Z"),
            ("2026/11/22 01:02:03 ERROR : x", 0, "2026-11-22T01:02:03Z"),
            ("time=\"2026-11-22T01:02:03-05:00\" level=error", 0, "2026-11-22T06:02:03Z"),
            ("Nov 22 01:02:03 host bot[1]: x", 0, "2026-11-22T01:02:03Z"),
            ("Dec 31 23:59:59 host", 0, "2025-12-31T23:59:59Z"),
            ("Feb 29 00:00:00 host", 0, "2024-02-29T00:00:00Z"),
            ("Sun Nov 22 01:02:03 2026", 0, "2026-11-22T01:02:03Z"),
            ("[22/Nov/2026:01:02:03 +0000] x", 0, "2026-11-22T01:02:03Z"),
            ("11/22 01:02:03 [ERROR] CUID#7", 0, "2026-11-22T01:02:03Z"),
            ("22.11.2026 01:02:03 x", 0, "2026-11-22T01:02:03Z"),
            ("11/22/2026 01:02:03 x", 0, "2026-11-22T01:02:03Z"),
            ("01:02:03.5 x", 0, "2026-11-22T01:02:03.500Z"),
            ("[13:30:00] x", 0, "2026-11-21T13:30:00Z"),
            ("1795309323.25 x", 7200, "2026-11-22T01:02:03.250Z"),
            ("[1795309323456] x", 0, "2026-11-22T01:02:03.456Z"),
            ("E1122 01:02:03.456789 12 a.go:1] x", 0, "2026-11-22T01:02:03.456789Z"),
        ] {
            assert_eq!(utc(text, local), wanted, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_time_is_none() {
        for text in [
            "",
            "2026",
            "2026-13-01 01:02:03",
            "99:00:00 x",
            "20260101_101010_ab.mp4",
            "12345 x",
            "March 2026",
            "1:2:3",
        ] {
            assert_eq!(Stamp::parse(text.as_bytes()), None, "{text}");
        }
    }
}
