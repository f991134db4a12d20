//! Tells how long a written time is. Pure.
//!
//! `assemble` reads what a time means; here every way of writing one counts, a date alone and `03:04 PM` too.

const MONTHS: &[u8] = b"janfebmaraprmayjunjulaugsepoctnovdec";
const WEEKDAYS: &[u8] = b"montuewedthufrisatsun";

/// The length of the time at the start of the text, with the brackets round it.
pub(super) fn stamp(text: &[u8]) -> Option<usize> {
    let open = match text.first()? {
        b'[' | b'(' => 1,
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => 0,
        _ => return None,
    };
    let mut reader = Reader { text, at: open };
    if !reader.time() || reader.peek().is_some_and(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    if open > 0 {
        reader.eat(b"])");
    }
    Some(reader.at)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, among: &[u8]) -> bool {
        let is = self.peek().is_some_and(|b| among.contains(&b));
        self.at += usize::from(is);
        is
    }

    /// How many digits stand here.
    fn digits(&self) -> usize {
        self.text[self.at..].iter().take(14).take_while(|b| b.is_ascii_digit()).count()
    }

    fn number(&mut self, least: usize, most: usize) -> bool {
        let count = self.digits();
        let is = (least..=most).contains(&count);
        self.at += if is { count } else { 0 };
        is
    }

    fn word(&mut self, among: &[u8]) -> bool {
        let Some(three) = self.text.get(self.at..self.at + 3) else { return false };
        let is = among.chunks(3).any(|word| word.eq_ignore_ascii_case(three));
        self.at += if is { 3 } else { 0 };
        is
    }

    /// Goes back when it fails.
    fn attempt(&mut self, read: impl FnOnce(&mut Self) -> bool) -> bool {
        let start = self.at;
        let is = read(self);
        if !is {
            self.at = start;
        }
        is
    }

    fn time(&mut self) -> bool {
        let Some(first) = self.peek() else { return false };
        if !first.is_ascii_digit() {
            return self.attempt(Self::named);
        }
        match self.digits() {
            4 => self.attempt(Self::year_first),
            1 | 2 => self.attempt(Self::clock) || self.attempt(Self::day_first),
            10 => self.attempt(|r| r.number(10, 10) && r.eat(b".") && r.number(1, 9)),
            13 => self.number(13, 13),
            _ => false,
        }
    }

    /// `2026-11-22`, `2026/11/22T01:02:03.456+01:00`, `2026-11-22, 01:02`
    fn year_first(&mut self) -> bool {
        let date = self.number(4, 4) && self.eat(b"-/.") && self.number(2, 2) && self.eat(b"-/.") && self.number(2, 2);
        if date {
            self.attempt(|r| r.gap() && r.clock_short());
            self.attempt(Self::zone);
        }
        date
    }

    /// `22-Nov-2026 01:02:03`, `11/22 01:02:03`, `02-Jan-25 03:04:05 PM`, `22/Nov/2026:01:02:03 +0000`
    fn day_first(&mut self) -> bool {
        let day = self.number(1, 2) && self.eat(b"-/. ") && (self.word(MONTHS) || self.number(1, 2));
        if !day {
            return false;
        }
        // `22 10:00` has no year.
        self.attempt(|r| r.eat(b"-/. ") && (r.number(4, 4) || (r.number(2, 2) && r.peek() != Some(b':'))));
        let time = (self.eat(b":") || self.gap()) && self.clock_short();
        if time {
            self.attempt(|r| r.eat(b" ") && r.eat(b"AP") && r.eat(b"M"));
            self.attempt(Self::zone);
        }
        time
    }

    /// `Nov 22 01:02:03`, `Sun Nov 22 01:02:03 2026`, `Sun Nov 22 2026 01:02:03`, `Sun, 22 Nov 2026 01:02:03 GMT`
    fn named(&mut self) -> bool {
        if self.word(WEEKDAYS) {
            self.eat(b",");
            if !self.eat(b" ") {
                return false;
            }
            if self.digits() > 0 {
                return self.day_first();
            }
        }
        if !(self.word(MONTHS) && self.eat(b" ")) {
            return false;
        }
        self.eat(b" ");
        let day = self.number(1, 2) && self.eat(b" ");
        self.attempt(|r| r.number(4, 4) && r.eat(b" "));
        let time = day && self.clock();
        if time {
            self.attempt(|r| r.eat(b" ") && r.number(4, 4) && !r.peek().is_some_and(|b| b".:-/".contains(&b)));
        }
        time
    }

    /// What stands between day and time.
    fn gap(&mut self) -> bool {
        let start = self.at;
        while self.at < start + 3 && self.eat(b"T ,_") {}
        self.at > start
    }

    /// `01:02:03.456`
    fn clock(&mut self) -> bool {
        let is = self.number(2, 2) && self.eat(b":") && self.number(2, 2) && self.eat(b":") && self.number(2, 2);
        if is {
            self.fraction();
        }
        is
    }

    /// The same, seconds left out perhaps.
    fn clock_short(&mut self) -> bool {
        self.attempt(Self::clock) || self.attempt(|r| r.number(2, 2) && r.eat(b":") && r.number(2, 2))
    }

    fn fraction(&mut self) {
        self.attempt(|r| r.eat(b".,") && r.number(1, 9));
    }

    fn zone(&mut self) -> bool {
        self.eat(b" ");
        for name in [&b"UTC"[..], b"GMT", b"CET", b"CEST", b"Z"] {
            let end = self.at + name.len();
            if self.text[self.at..].starts_with(name) && !self.text.get(end).is_some_and(u8::is_ascii_alphanumeric) {
                self.at = end;
                return true;
            }
        }
        let offset = self.eat(b"+-") && self.number(2, 4);
        self.attempt(|r| r.eat(b":") && r.number(2, 2));
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_end_where_they_end() {
        for (text, rest) in [
            ("2026-01-02 03:04:05,678 - a", " - a"),
            ("[2026-01-02 03:04:05,678] a", " a"),
            ("2025-11-22 10:00:00.1|Error", "|Error"),
            ("2025-11-22 10:00:00,510::ERROR", "::ERROR"),
            ("2026-11-25T13:38:31.478+01:00 a", " a"),
            ("2026-11-25 13:35:37.776 UTC [6586]", " [6586]"),
            ("2026-01-02 a", " a"),
            ("01/02 03:04:05 [N]", " [N]"),
            ("[02-Jan-25 03:04:05 PM] x", " x"),
            ("Sat Nov 22 10:00:00 2025\tE", "\tE"),
            ("Jan  2 03:04:05 host", " host"),
            ("[22/Nov/2026:01:02:03 +0000] x", " x"),
            ("12:33:40.900 [w]", " [w]"),
            ("[1795613570.139][Client", "[Client"),
            ("17-6-22 10:00:00.3|Error", "|Error"),
        ] {
            assert_eq!(stamp(text.as_bytes()).map(|at| &text[at..]), Some(rest), "{text}");
        }
        for text in ["", "[download] x", "2026", "12345 x", "March 2026 x", "20260101_1.mp4", "2026-01-02x", "1:2:3 x"]
        {
            assert_eq!(stamp(text.as_bytes()), None, "{text}");
        }
    }
}
