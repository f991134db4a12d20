//! Reads how long a server asks to wait. Pure.

use chrono::{DateTime, Utc};

use crate::assemble::Stamp;

/// The longest wait believed, in seconds (a year): FLOOD_WAIT of days exist, more is nonsense.
const MAX_WAIT: f64 = 366.0 * 86_400.0;

/// Whole seconds, rounded up: `3`, `1.5`, `27 seconds`, `1m30s`, `400ms`, `1 hour 2 minutes`, `00:01:30`, `PT30S`.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let text = text.trim().trim_end_matches(['.', ',']).to_ascii_lowercase();
    let mut total = 0.0;
    if text.contains(':') {
        for piece in text.split(':') {
            total = total * 60.0 + piece.parse::<f64>().ok()?;
        }
    } else {
        // ISO 8601: in `P1DT2H` the T separates days from hours, the months before it are not read.
        let iso = text.strip_prefix('p').map(|rest| rest.replacen('t', "", 1));
        let mut rest = iso.as_deref().unwrap_or(&text);
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let number: f64 = rest[..digits].parse().ok()?;
            rest = rest[digits..].trim_start();
            let unit = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            total += number * unit_seconds(&rest[..unit])?;
            rest = rest[unit..].trim_start_matches([' ', ',']);
            rest = rest.strip_prefix("and ").unwrap_or(rest).trim_start();
        }
    }
    believed(total)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 0.001,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "week" | "weeks" => 604_800.0,
        _ => return None,
    })
}

fn believed(seconds: f64) -> Option<u64> {
    // Checked: finite, not negative, below a year, so the conversion is exact.
    (seconds.is_finite() && (0.0..=MAX_WAIT).contains(&seconds)).then(|| seconds.ceil() as u64)
}

/// Seconds up to a date such as `Wed, 21 Oct 2026 07:28:00 GMT`, from the moment of which the event tells: its `Date:`
/// header or the time it begins with, UTC where it names no zone. Without one nobody knows.
pub(super) fn until(value: &str, event: &[u8]) -> Option<u64> {
    let value = value.trim().trim_matches(['"', '\'']);
    if value.len() < 16 {
        return None;
    }
    let date = |text: &str| {
        let found = DateTime::parse_from_rfc2822(text).or_else(|_| DateTime::parse_from_rfc3339(text));
        found.ok().map(|date| date.to_utc())
    };
    let end: DateTime<Utc> = date(value)?;
    let places = memchr::memchr2_iter(b'd', b'D', event);
    let header = behind(event, places, &[b"date"]).and_then(|rest| date(date_text(rest)?));
    let start = match header {
        Some(start) => start,
        None => {
            let from = crate::assemble::supervisor_prefix(event);
            Stamp::parse(&event[from..])?.0.to_utc(0, end)
        }
    };
    let wait = (end - start).num_milliseconds() as f64 / 1000.0;
    believed(wait.max(0.0))
}

/// What a `Retry-After` header (or Telegram's `retry_after`) in the event says, whatever the rule read.
pub(super) fn header(event: &[u8]) -> Option<u64> {
    let places = || memchr::memmem::find_iter(event, b"etry").filter_map(|at| at.checked_sub(1));
    let millis = behind(event, places(), &[b"retry_after_ms"]);
    let rest = millis.or_else(|| behind(event, places(), &[b"retry-after", b"retry_after"]))?;
    if rest.first()?.is_ascii_digit() {
        let length = rest.iter().take(20).take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        let (number, unit) = rest.split_at(length);
        let unit_is_ms = millis.is_some() || unit.trim_ascii_start().starts_with(b"ms");
        return match unit.first() {
            _ if unit_is_ms => seconds(&format!("{}ms", std::str::from_utf8(number).ok()?)),
            Some(b) if b.is_ascii_alphanumeric() || b"-:/".contains(b) => None,
            _ => seconds(std::str::from_utf8(number).ok()?),
        };
    }
    until(date_text(rest)?, event)
}

/// What stands behind one of these names (in small letters) at one of the places, `: ` and quotes left out.
fn behind<'a>(event: &'a [u8], places: impl Iterator<Item = usize>, names: &[&[u8]]) -> Option<&'a [u8]> {
    for at in places {
        let is = |name: &&&[u8]| event[at..].get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
        let whole = at == 0 || !(event[at - 1].is_ascii_alphanumeric() || b"-_".contains(&event[at - 1]));
        let Some(name) = names.iter().find(is).filter(|_| whole) else { continue };
        let rest = &event[at + name.len()..];
        let marks = rest.iter().take(6).take_while(|b| b"\"':=> b[".contains(b)).count();
        if rest[..marks].iter().any(|b| b":=".contains(b)) {
            return Some(&rest[marks..]);
        }
    }
    None
}

/// `Wed, 21 Oct 2026 07:28:00 GMT` at the start of the text.
fn date_text(text: &[u8]) -> Option<&str> {
    let end = text.iter().take(40).position(|b| b"\"'\r\n<>}]".contains(b)).unwrap_or(text.len().min(29));
    std::str::from_utf8(&text[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_become_whole_seconds() {
        for (value, want) in [
            ("1m30s", Some(90)),
            ("3.0", Some(3)),
            ("27.0", Some(27)),
            ("0.2", Some(1)),
            ("1500ms", Some(2)),
            ("2 minutes", Some(120)),
            ("1 hour 2 minutes", Some(3720)),
            ("1 hour, 2 minutes and 3 seconds", Some(3723)),
            ("00:01:30", Some(90)),
            ("PT30S", Some(30)),
            ("P1DT2H", Some(93_600)),
            ("30 s.", Some(30)),
            ("p", None),
            ("", None),
            ("99999999999999999999", None),
            ("soon", None),
        ] {
            assert_eq!(seconds(value), want, "{value}");
        }
    }

    #[test]
    fn a_date_is_a_wait_from_the_moment_of_the_event() {
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        for (event, want) in [
            ("2026-10-21 07:27:30 ERROR x", Some(30)),
            ("bot-1  | 2026-10-21T09:27:30+02:00 ERROR x", Some(30)),
            ("Oct 21 07:27:59 host bot: x", Some(1)),
            ("2026-10-21 07:29:00 ERROR x", Some(0)),
            ("{'Date': 'Wed, 21 Oct 2026 07:27:00 GMT', 'Retry-After': 'x'}", Some(60)),
            ("ERROR x", None),
            ("2020-10-21 07:27:30 ERROR x", None),
        ] {
            assert_eq!(until(date, event.as_bytes()), want, "{event}");
        }
        assert_eq!(until("soon", b"2026-10-21 07:27:30 x"), None);
    }

    #[test]
    fn the_header_is_read_wherever_it_stands() {
        for (event, want) in [
            ("429\nretry-after: 30\nx", Some(30)),
            ("headers={'Retry-After': '120'}", Some(120)),
            ("{:status=>429, :headers=>{\"retry-after\"=>\"23\"}}", Some(23)),
            ("{\"parameters\":{\"retry_after\":7}}", Some(7)),
            ("2026-10-21 07:27:30 x\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\n", Some(30)),
            ("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT", None),
            ("retry-after was 30", None),
            ("x-retry-after: 30", None),
            ("retry-after: 30x", None),
            ("retry-after:", None),
        ] {
            assert_eq!(header(event.as_bytes()), want, "{event}");
        }
    }
}
