//! Takes off what a program did not write itself: what a supervisor, a container's runtime or syslog put in front of each of its
//! lines. Pure.

use std::ops::Range;

use super::Stamp;

/// The longest `bot-1  | ` looked for.
const BAR: usize = 64;
/// The longest name of a host, and of a process.
const NAME: usize = 80;
/// The length of `2026-11-26T04:44:10.118203118Z`.
const DOCKER_TIME: usize = 30;

/// What stands in front of a program's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Carrier {
    /// Where it says who wrote the line; lines of one event have the same there.
    pub(super) who: Range<usize>,
    /// Where the program's own words begin.
    pub(super) length: usize,
    /// When the line was taken over.
    pub(super) stamp: Option<Stamp>,
}

impl Carrier {
    /// The one in front of this line, if there is one.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        if let Some(skipped) = priority(line) {
            let Self { who, length, stamp } = Self::dated(&line[skipped..]).or_else(|| versioned(&line[skipped..]))?;
            return Some(Self { who: who.start + skipped..who.end + skipped, length: length + skipped, stamp });
        }
        match supervisor_prefix(line) {
            0 => Self::dated(line).or_else(|| {
                let (stamp, length) = docker_time(line)?;
                Some(Self { who: DOCKER_TIME - 1..DOCKER_TIME, length, stamp: Some(stamp) })
            }),
            length => {
                let time = docker_time(&line[length..]);
                // The space behind the bar is missing where an editor took it off an empty line.
                let who = 0..line[..length].trim_ascii_end().len();
                Some(Self { who, length: length + time.map_or(0, |(_, end)| end), stamp: time.map(|(stamp, _)| stamp) })
            }
        }
    }

    /// `2026-11-26T04:44:10.118203118Z stderr F ` of a container's runtime (Kubernetes), `Nov 26 04:44:10 host bot[7]: ` of syslog and
    /// `journalctl`, the latter with an ISO time too. Only what has a number is a process, or every logger's name would be.
    fn dated(line: &[u8]) -> Option<Self> {
        let iso = line.first()?.is_ascii_digit() && line.get(10) == Some(&b'T');
        let syslog = line[0].is_ascii_uppercase() && line.get(3) == Some(&b' ');
        if !iso && !syslog {
            return None;
        }
        let (stamp, end) = Stamp::parse(line)?;
        let from = end + 1;
        let rest = line[end..].strip_prefix(b" ")?;
        let length = carried_by(rest, iso)?;
        let space = match rest.get(length) {
            None => 0,
            Some(b' ') => 1,
            Some(_) => return None,
        };
        Some(Self { who: from..from + length, length: from + length + space, stamp: Some(stamp) })
    }
}

/// `1 2026-11-26T04:44:10.118Z host bot 7 ID47 - ` of syslog's protocol (RFC 5424), behind its `<11>`.
fn versioned(line: &[u8]) -> Option<Carrier> {
    let (stamp, from) = Stamp::parse(line.strip_prefix(b"1 ")?)?;
    let from = from + b"1 ".len() + 1;
    // The line may end with its time.
    let length = syslog_header(line.get(from..)?)?;
    Some(Carrier { who: from..from + length.who, length: from + length.whole, stamp: Some(stamp) })
}

/// How long the fields are that stand behind the time of an RFC 5424 line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyslogHeader {
    /// Host, program and process.
    pub who: usize,
    /// With the message's kind, the structured data and the space behind.
    pub whole: usize,
}

/// Reads `host bot 7 ID47 [x@1 a="b"] ` where the time of an RFC 5424 line has ended, and its space.
#[must_use]
pub fn syslog_header(text: &[u8]) -> Option<SyslogHeader> {
    let mut at = 0;
    let mut ends = [0; 4];
    for end in &mut ends {
        let length = text[at..].iter().take(NAME).take_while(|b| b.is_ascii_graphic()).count();
        if length == 0 || text.get(at + length) != Some(&b' ') {
            return None;
        }
        (*end, at) = (at + length, at + length + 1);
    }
    // Structured data: `-`, or `[id a="b"][…]`, in whose values a bracket is escaped.
    let mut end = at + usize::from(text.get(at) == Some(&b'-'));
    while text.get(end) == Some(&b'[') {
        let close = (end..text.len()).find(|&i| text[i] == b']' && text[i - 1] != b'\\')?;
        end = close + 1;
    }
    let space = match text.get(end) {
        _ if end == at => return None,
        None => 0,
        Some(b' ') => 1,
        Some(_) => return None,
    };
    Some(SyslogHeader { who: ends[2], whole: end + space })
}

/// The length of `<11>` at the start of a line of syslog's: 191 is the highest.
#[must_use]
pub fn priority(line: &[u8]) -> Option<usize> {
    let digits = line.strip_prefix(b"<")?.iter().take(3).take_while(|b| b.is_ascii_digit()).count();
    let number: u16 = std::str::from_utf8(&line[1..=digits]).ok()?.parse().ok()?;
    (line.get(digits + 1) == Some(&b'>') && number < 192).then_some(digits + 2)
}

/// The time that `docker logs --timestamps` puts in front of each line, always with nine digits behind the second (its
/// `RFC3339NanoFixed`), and the length of it with its space.
fn docker_time(line: &[u8]) -> Option<(Stamp, usize)> {
    let fixed = line.get(10) == Some(&b'T')
        && line.get(DOCKER_TIME - 1) == Some(&b'Z')
        && line[..DOCKER_TIME].iter().rev().skip(1).take_while(|b| b.is_ascii_digit()).count() == 9;
    let length = match line.get(DOCKER_TIME) {
        _ if !fixed => return None,
        None => DOCKER_TIME,
        Some(b' ') => DOCKER_TIME + 1,
        Some(_) => return None,
    };
    let (stamp, end) = Stamp::parse(line)?;
    (end == DOCKER_TIME).then_some((stamp, length))
}

/// How many bytes of the line its carrier takes.
#[must_use]
pub fn carrier_length(line: &[u8]) -> usize {
    Carrier::of(line).map_or(0, |carrier| carrier.length)
}

/// The length of what stands behind a carrier's time: `stderr F` behind an ISO one, `host bot[7]:`.
#[must_use]
pub fn carried_by(text: &[u8], iso: bool) -> Option<usize> {
    let streams = [&b"stdout F"[..], b"stderr F", b"stdout P", b"stderr P"];
    let stream = streams.iter().find(|stream| iso && text.starts_with(stream)).map(|stream| stream.len());
    stream.or_else(|| process(text))
}

/// The length of `host bot[7]:`, `app[web.1]:` or `host kernel:`.
fn process(text: &[u8]) -> Option<usize> {
    let word = |from: usize, more: &[u8]| {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || more.contains(b);
        text[from..].iter().take(NAME).take_while(|b| allowed(b)).count()
    };
    let host = word(0, b"_.-");
    let name = if text.get(host) == Some(&b' ') { host + 1 } else { 0 };
    let end = name + word(name, b"_.-/@");
    let close = match text.get(end)? {
        b'[' => end + 1 + word(end + 1, b"_.-") + 1,
        b':' if name > 0 && text[name..end] == *b"kernel" => end,
        _ => return None,
    };
    let numbered = close == end || text.get(close - 1) == Some(&b']');
    (end > name && numbered && text.get(close) == Some(&b':')).then_some(close + 1)
}

/// The text without its carriers, when every line has one that names the same program; `None`: there is none, or the text is a
/// single line of a log with times, whose host and process are read with its time.
#[must_use]
pub fn uncarried(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_end();
    let mut lines = text.split(|&b| b == b'\n');
    let first = lines.next()?;
    let carrier = Carrier::of(first)?;
    if carrier.stamp.is_some() && first.len() == text.len() {
        return None;
    }
    let mut out = first[carrier.length..].to_vec();
    for line in lines {
        out.push(b'\n');
        out.extend_from_slice(match Carrier::of(line) {
            Some(next) if line[next.who.clone()] == first[carrier.who.clone()] => &line[next.length..],
            _ if line.trim_ascii().is_empty() => b"",
            // journalctl writes the lines of one message below each other.
            _ => line.split_at_checked(carrier.length).filter(|(gap, _)| gap.iter().all(|b| *b == b' '))?.1,
        });
    }
    Some(out)
}

/// Length of what a supervisor puts in front of a line, 0 when there is none: `bot-1  | ` of docker compose,
/// `0|bot  | ` of pm2.
#[must_use]
pub fn supervisor_prefix(text: &[u8]) -> usize {
    let head = &text[..text.len().min(BAR)];
    if !head.first().is_some_and(u8::is_ascii_alphanumeric) {
        return 0;
    }
    // pm2 numbers its processes.
    let number = head.iter().take(4).take_while(|b| b.is_ascii_digit()).count();
    let start = if number > 0 && head.get(number) == Some(&b'|') { number + 1 } else { 0 };
    let Some(bar) = memchr::memchr(b'|', &head[start..]).map(|at| start + at) else { return 0 };
    let name = head[start..bar].trim_ascii_end();
    let named = !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b));
    if !named || start + name.len() == bar || is_level(name) {
        return 0;
    }
    match text.get(bar + 1) {
        Some(b' ') => bar + 2,
        None => bar + 1,
        _ => 0,
    }
}

/// A level before a bar (`INFO | …`) is a logger's own format, an upper-case word the state in aria2's table.
fn is_level(name: &[u8]) -> bool {
    const WORDS: [&[u8]; 9] =
        [b"trace", b"debug", b"info", b"notice", b"warn", b"warning", b"error", b"critical", b"fatal"];
    name.iter().all(u8::is_ascii_uppercase) || WORDS.iter().any(|word| word.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_carried_a_line_is_told_from_what_its_program_wrote() {
        for (line, who, body) in [
            ("bot-1  | ERROR x", "bot-1  |", "ERROR x"),
            ("0|bot  | x", "0|bot  |", "x"),
            ("bot-1  |", "bot-1  |", ""),
            ("2026-11-26T04:44:10.118203118Z stderr F   File \"a.py\"", "stderr F", "  File \"a.py\""),
            ("2026-11-26T04:44:10.118203118+01:00 stdout P x", "stdout P", "x"),
            ("Nov 26 04:44:10 nas bot[7]: ValueError: x", "nas bot[7]:", "ValueError: x"),
            ("Nov  6 04:44:10 nas bot[7]:", "nas bot[7]:", ""),
            ("Nov 26 04:44:10 nas kernel: Out of memory", "nas kernel:", "Out of memory"),
            ("2026-11-26T04:44:10+00:00 nas.lan bot@1.service[7]: x", "nas.lan bot@1.service[7]:", "x"),
            ("2026-11-26T04:44:10.1+00:00 app[web.1]: x", "app[web.1]:", "x"),
            ("2026-11-26T04:44:10.118203118Z   File \"a.py\"", "Z", "  File \"a.py\""),
            ("2026-11-26T04:44:10.118203118Z", "Z", ""),
            ("bot-1  | 2026-11-26T04:44:10.118203118Z ValueError: x", "bot-1  |", "ValueError: x"),
            ("<11>Nov 26 04:44:10 nas bot[7]: x", "nas bot[7]:", "x"),
            ("<11>1 2026-11-26T04:44:10.118Z nas bot 7 ID1 - x", "nas bot 7", "x"),
            ("<165>1 2026-11-26T04:44:10Z nas bot - - [a@1 b=\"[1\\]\"][c] x", "nas bot -", "x"),
            ("<11>1 2026-11-26T04:44:10Z nas bot 7 - -", "nas bot 7", ""),
        ] {
            // A line may be cut anywhere; what is found lies within it.
            for cut in 0..line.len() {
                if let Some(carrier) = Carrier::of(&line.as_bytes()[..cut]) {
                    assert!(carrier.who.end <= cut && carrier.length <= cut, "{line} cut at {cut}");
                }
            }
            let carrier = Carrier::of(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((&line[carrier.who], &line[carrier.length..]), (who, body), "{line}");
        }
        for line in [
            "",
            "Nov 26 04:44:10 worker failed: x",
            "Nov 26 04:44:10 nas bot: x",
            "Nov 26 04:44:10 nas bot[7] x",
            "Nov 26 04:44:10 nas bot[7]:x",
            "Nov 26 04:44:10 nas bot[7",
            "Nov 26 04:44:10 ",
            "2026-11-26T04:44:10Z ERROR bot: x",
            "2026-11-26T04:44:10Z stderr",
            "2026-11-26T04:44:10.118203Z x",
            "2026-11-26T04:44:10.118203118+x",
            "2026-11-26T04:44:10.118203118Zulu",
            "<192>Nov 26 04:44:10 nas bot[7]: x",
            "<11>",
            "<b>Nov 26 04:44:10 nas bot[7]: x",
            "<11>1 2026-11-26T04:44:10Z nas bot 7 ID1 x",
            "<11>1 2026-11-26T04:44:10Z nas bot 7 ID1 [a",
            "<11>1 2026-11-26T04:44:10Z nas",
            "<11>1 2026-11-26T04:44:10Z",
            "2026-11-26 04:44:10 nas bot[7]: x",
        ] {
            assert_eq!(Carrier::of(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn what_one_program_wrote_is_read_without_its_carriers() {
        let whole = |text: &str| uncarried(text.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        let syslog = "Nov 26 04:44:10 nas bot[7]: Traceback:\nNov 26 04:44:11 nas bot[7]:   File\n\nNov 26 04:44:11 nas bot[7]: E: x\n";
        assert_eq!(whole(syslog).as_deref(), Some("Traceback:\n  File\n\nE: x"));
        assert_eq!(whole("bot-1  | a\nbot-1  |\nbot-1  |  b").as_deref(), Some("a\n\n b"));
        let below = format!("Nov 26 04:44:10 nas bot[7]: a\n{0}b\n{0}  c", " ".repeat(28));
        assert_eq!(whole(&below).as_deref(), Some("a\nb\n  c"));
        assert_eq!(whole("bot-1  | a").as_deref(), Some("a"));
        let timed = "2026-11-26T04:44:10.118203118Z Traceback:\n2026-11-26T04:44:10.118203119Z   File\n2026-11-26T04:44:10.118203120Z E: x";
        assert_eq!(whole(timed).as_deref(), Some("Traceback:\n  File\nE: x"));
        for other in ["", "a", "Nov 26 04:44:10 nas bot[7]: a", "bot-1  | a\ndb-1   | b", "bot-1  | a\n b"] {
            assert_eq!(whole(other), None, "{other}");
        }
    }
}
