//! Tells what one line is to the event before it. Pure.

use std::ops::Range;

use super::carrier::Carrier;
use super::{Stamp, docker};

/// How much of a JSON object is looked at for a logger's keys.
const JSON_HEAD: usize = 160;
/// How far the level is from the start where rich leaves out a time: `[10:00:00] ` or `[11/26/26 10:00:00] `.
const RICH: Range<usize> = 10..21;
/// The longest `[name]` at the start of a line that is taken for a tag.
const TAG: usize = 40;

/// What a line is, by its own look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A logger wrote its head: a time, or `LEVEL:name:`. Lines without one belong to it.
    Head,
    /// Starts an event, but says nothing of the lines after it: `ERROR: …`, `[download] …`, `Exception in thread …`.
    Start,
    /// Nothing or white space.
    Blank,
    /// Starts with white space.
    Indented,
    /// `Traceback (most recent call last):`
    Traceback,
    /// The sentence between two tracebacks.
    Chain,
    /// `Caused by:` of Java, anyhow and others; `Current thread 0x…` of Python's fault handler.
    Cause,
    /// `panic: …`, `goroutine 7 [running]:`
    Go,
    /// `thread 'main' panicked at …`
    Rust,
    /// `note: run with …`, `stack backtrace:`
    RustNote,
    /// Anything else.
    Other,
}

/// A line with what its start says.
pub(super) struct Line<'a> {
    pub(super) kind: Kind,
    pub(super) stamp: Option<Stamp>,
    /// Where its carrier says who wrote it; empty mostly.
    pub(super) who: Range<usize>,
    /// What the program wrote; in docker's own lines with JSON's escapes.
    pub(super) body: &'a [u8],
}

impl<'a> Line<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        if let Some(body) = docker::escaped(text) {
            let body = skip_colour(body);
            let (kind, stamp) = if body.starts_with(b"\\t") { (Kind::Indented, None) } else { look(body) };
            let stamp = stamp.or_else(|| docker::read_at(text));
            return Line { kind, stamp, who: 0..docker::DOCKER.len(), body };
        }
        let Carrier { who, length, stamp: carried_at } =
            Carrier::of(text).unwrap_or(Carrier { who: 0..0, length: 0, stamp: None });
        let body = skip_colour(&text[length..]);
        let (kind, stamp) = look(body);
        Line { kind, stamp: stamp.or(carried_at), who, body }
    }
}

fn look(body: &[u8]) -> (Kind, Option<Stamp>) {
    let Some(&first) = body.first() else { return (Kind::Blank, None) };
    if first == b' ' || first == b'\t' {
        if is_pretty(body) || is_rich(body) {
            return (Kind::Start, None);
        }
        let blank = body.iter().all(|b| b.is_ascii_whitespace());
        return (if blank { Kind::Blank } else { Kind::Indented }, None);
    }
    let after = if first == b'[' { tagged_stamp(body) } else { leveled_stamp(body) };
    if let Some(stamp) = Stamp::parse(body).map(|(stamp, _)| stamp).or(after) {
        return (Kind::Head, Some(stamp));
    }
    // wget's `--2026-11-22 01:02:03--  http://…` is followed by lines of their own.
    if let Some((stamp, _)) = body.strip_prefix(b"--").and_then(Stamp::parse) {
        return (Kind::Start, Some(stamp));
    }
    let kind = match first {
        b'[' if is_tag(body) && !is_versioned(body) => Kind::Start,
        b'T' if body.starts_with(b"Traceback (most recent call last)") => Kind::Traceback,
        b'T' if body.starts_with(b"The above exception was the direct cause") => Kind::Chain,
        b'D' if body.starts_with(b"During handling of the above exception") => Kind::Chain,
        b'{' if is_json_log(body) => Kind::Start,
        // wget's line of its own below the head of a download.
        b'C' if body.starts_with("Cannot write to ‘".as_bytes()) => Kind::Start,
        b'C' if body.starts_with(b"Cannot write to '") => Kind::Start,
        b'C' if body.starts_with(b"Caused by:") || body.starts_with(b"Current thread 0x") => Kind::Cause,
        _ if tells_of_death(body) => Kind::Start,
        b'p' if body.starts_with(b"panic: ") => Kind::Go,
        b'f' if body.starts_with(b"fatal error: ") => Kind::Go,
        b'g' if body.starts_with(b"goroutine ") && body.contains(&b'[') => Kind::Go,
        b't' if body.starts_with(b"thread '") && memchr::memmem::find(body, b" panicked at").is_some() => Kind::Rust,
        b'n' if body.starts_with(b"note: run with") => Kind::RustNote,
        b's' if body.starts_with(b"stack backtrace:") => Kind::RustNote,
        b'a'..=b'z' | b'A'..=b'Z' => level(body),
        _ => Kind::Other,
    };
    (kind, None)
}

/// What Python, the JVM, .NET, C++, Ruby and shells say of a process or thread that dies. It is no part of what a logger wrote before,
/// as whose lines it may look.
fn tells_of_death(body: &[u8]) -> bool {
    const BEGINS: [&[u8]; 5] = [
        b"Exception in thread ",
        b"Fatal Python error: ",
        b"Segmentation fault",
        b"Unhandled exception. ",
        b"terminate called ",
    ];
    const LINES: [&[u8]; 3] = [b"Aborted", b"Aborted (core dumped)", b"Killed"];
    BEGINS.iter().any(|begin| body.starts_with(begin))
        || LINES.contains(&body)
        || is_uncaught_of_ruby(body)
        || is_ended_under_shell(body)
}

/// `/app/run.sh: line 12:  4242 Aborted                 (core dumped) ./bot`
fn is_ended_under_shell(body: &[u8]) -> bool {
    const HOW: [&[u8]; 5] = [b"Aborted ", b"Bus error ", b"Illegal instruction ", b"Killed ", b"Segmentation fault "];
    let Some(at) = memchr::memmem::find(body, b": line ") else { return false };
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &body[at + b": line ".len()..];
    let Some(rest) = rest[digits(rest)..].strip_prefix(b": ") else { return false };
    let process = rest.trim_ascii_start();
    let how = process[digits(process)..].trim_ascii_start();
    HOW.iter().any(|word| how.starts_with(word))
}

/// `/app/bot.rb:31:in 'fetch': words (IOError)`; a line of its backtrace has no words.
fn is_uncaught_of_ruby(body: &[u8]) -> bool {
    let place = body.split(|byte| *byte == b' ').next().unwrap_or_default();
    place.ends_with(b":in")
        && memchr::memmem::find(place, b".rb:").is_some()
        && memchr::memmem::find(&body[place.len()..], b"': ").is_some()
}

/// Upper-case words that begin a line of a logger, lower-case ones with a colon, and programs that name themselves.
fn level(body: &[u8]) -> Kind {
    let length = body.iter().take(12).take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    let (word, rest) = body.split_at(length);
    let next = rest.first().copied().unwrap_or(b' ');
    match word {
        b"TRACE" | b"DEBUG" | b"INFO" | b"NOTICE" | b"WARN" | b"WARNING" | b"ERROR" | b"CRITICAL" | b"FATAL"
        | b"SEVERE" => match next {
            // Python's `basicConfig`: `ERROR:aiogram.event:…`
            b':' if rest.get(1).is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') => Kind::Head,
            b':' | b' ' | b'\t' | b'|' | b'[' | b'-' => Kind::Start,
            _ => Kind::Other,
        },
        b"error" | b"warning" | b"fatal" | b"info" | b"debug" | b"curl" | b"wget" | b"rsync" | b"ffmpeg" | b"bash"
        | b"sh" | b"aria2c" | b"yt-dlp" | b"gallery-dl" | b"rclone"
            if next == b':' =>
        {
            Kind::Start
        }
        _ => Kind::Other,
    }
}

/// A time that follows a level: `ERROR 2026-11-22 01:02:03`, `WARNING: 2026-…`, Ruby's `E, [2026-…`, qBittorrent's `(W) 2026-…`.
fn leveled_stamp(body: &[u8]) -> Option<Stamp> {
    if let [b'(', level, b')', b' ', rest @ ..] = body
        && level.is_ascii_uppercase()
    {
        return Stamp::parse(rest).map(|(stamp, _)| stamp);
    }
    if !body[0].is_ascii_uppercase() {
        return None;
    }
    let word = body.iter().take(9).take_while(|b| b.is_ascii_uppercase()).count();
    let gap = body[word..].iter().take(8).take_while(|b| b" :|\t-,".contains(b)).count();
    if word == 0 || gap == 0 {
        return None;
    }
    Stamp::parse(&body[word + gap..]).map(|(stamp, _)| stamp)
}

/// rich of Python writes its time only when it changed: what has the same stands below it, the level first.
fn is_rich(body: &[u8]) -> bool {
    let gap = body.iter().take(RICH.end).take_while(|b| **b == b' ').count();
    let levels = [&b"DEBUG    "[..], b"INFO     ", b"WARNING  ", b"ERROR    ", b"CRITICAL "];
    RICH.contains(&gap) && levels.iter().any(|level| body[gap..].starts_with(level))
}

/// pretty_env_logger's ` ERROR teloxide::error_handlers > …`, whose space is no indentation.
fn is_pretty(body: &[u8]) -> bool {
    // Timed, it has the time in front: ` 2024-07-31T10:00:00Z ERROR …`.
    let time = body.get(1).filter(|b| b.is_ascii_digit()).and_then(|_| Stamp::parse(&body[1..]));
    let body = &body[time.map_or(0, |(_, length)| 1 + length)..];
    let Some(rest) = [&b" ERROR "[..], b" WARN  ", b" INFO  ", b" DEBUG ", b" TRACE "]
        .iter()
        .find_map(|level| body.strip_prefix(*level))
    else {
        return false;
    };
    let name = rest.iter().take(TAG * 2).take_while(|b| b.is_ascii_alphanumeric() || b"_:.-".contains(b)).count();
    let gap = rest[name..].iter().take(TAG).take_while(|b| **b == b' ').count();
    name > 0 && gap > 0 && rest[name + gap..].starts_with(b"> ")
}

/// A JSON object that a logger wrote: a level, a time or a message among its first keys. Other objects (an answer, a
/// list of formats) may be what a head announced.
fn is_json_log(body: &[u8]) -> bool {
    const KEYS: [&[u8]; 12] = [
        b"level\":",
        b"levelname\":",
        b"severity\":",
        b"lvl\":",
        b"log.level\":",
        b"time\":",
        b"ts\":",
        b"@timestamp\":",
        b"asctime\":",
        b"@t\":",
        b"msg\":",
        b"log\":",
    ];
    let head = &body[..body.len().min(JSON_HEAD)];
    // loguru's serialized line holds its own format first, and then the fields.
    head.starts_with(b"{\"text\": \"")
        || (head.starts_with(b"{\"") || head.starts_with(b"{ \""))
            && memchr::memchr_iter(b'"', head).any(|quote| KEYS.iter().any(|key| head[quote + 1..].starts_with(key)))
}

/// .NET's `[v4.0.10.2544] System.Exception: …` below a line that it belongs to.
pub(super) fn is_versioned(body: &[u8]) -> bool {
    let Some(rest) = body.strip_prefix(b"[v") else { return false };
    let version = rest.iter().take(TAG).take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    version > 2 && rest[version..].starts_with(b"] ")
}

/// A time behind one to three bracketed words: `[ERROR] 2026-…`, `[ 3][t 1][1795309323.1]`, `[I 2026-11-22 …]`.
fn tagged_stamp(body: &[u8]) -> Option<Stamp> {
    if body.len() > 3 && body[1].is_ascii_uppercase() && body[2] == b' ' && body[3].is_ascii_digit() {
        return Stamp::parse(&body[3..]).map(|(stamp, _)| stamp);
    }
    // Telethon's `[ERROR/2026-11-22 01:02:03,456] name: …`
    let word = body[1..].iter().take(9).take_while(|b| b.is_ascii_uppercase()).count();
    if word > 0 && body.get(word + 1) == Some(&b'/') {
        return Stamp::parse(&body[word + 2..]).map(|(stamp, _)| stamp);
    }
    let mut rest = body;
    for _ in 0..3 {
        let close = memchr::memchr(b']', &rest[..rest.len().min(TAG)])?;
        rest = rest[close + 1..].trim_ascii_start();
        if let Some((stamp, _)) = Stamp::parse(rest) {
            return Some(stamp);
        }
        if rest.first() != Some(&b'[') {
            return None;
        }
    }
    None
}

/// `[download]`, `[error]`, `[ 3]`, `[reddit][warning]`: one word in brackets, then space, bracket or end.
fn is_tag(body: &[u8]) -> bool {
    let Some(close) = memchr::memchr(b']', &body[..body.len().min(TAG)]) else { return false };
    let word = body[1..close].trim_ascii();
    !word.is_empty()
        && word.iter().all(|b| b.is_ascii_alphanumeric() || b"_:+.-#@/".contains(b))
        && matches!(body.get(close + 1), None | Some(b' ' | b'[' | b':' | b'\t'))
}

/// What follows a byte order mark and colours (`ESC [ … m`, in JSON too) at the start.
fn skip_colour(mut body: &[u8]) -> &[u8] {
    if let Some(rest) = body.strip_prefix(b"\xef\xbb\xbf") {
        body = rest;
    }
    while let Some(rest) = body.strip_prefix(b"\x1b[").or_else(|| body.strip_prefix(b"\\u001b[")) {
        let end = rest.iter().take(16).take_while(|b| b.is_ascii_digit() || **b == b';').count();
        if rest.get(end) != Some(&b'm') {
            break;
        }
        body = &rest[end + 1..];
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_by_its_start() {
        for (text, wanted) in [
            ("2026-11-22 01:02:03,456 - a - INFO - b", Kind::Head),
            ("\x1b[32m2026-11-22 01:02:03\x1b[0m | INFO", Kind::Head),
            ("bot-1  | 2026-11-22 01:02:03 x", Kind::Head),
            ("ERROR:aiogram.event:Cause", Kind::Head),
            ("ERROR    2026-11-22 01:02:03 x", Kind::Head),
            ("[ERROR] 2026-11-22 01:02:03 x", Kind::Head),
            ("[ 3][t 1][1795309323.123456789][Client.cpp:1] x", Kind::Head),
            ("[I 2026-11-22 01:02:03 web:1] x", Kind::Head),
            ("--2026-11-22 01:02:03--  http://h/", Kind::Start),
            ("ERROR: [youtube] gone", Kind::Start),
            ("[download]  10.0% of 1MiB", Kind::Start),
            ("[reddit][error] x", Kind::Start),
            ("curl: (28) x", Kind::Start),
            ("[ERROR/2026-11-25 13:38:31,478] telethon.client: x", Kind::Head),
            ("[2024-07-31T10:00:00Z ERROR teloxide::error_handlers] x", Kind::Head),
            (" ERROR teloxide::error_handlers > x", Kind::Start),
            (" INFO  bot > x", Kind::Start),
            (" 2024-07-31T10:00:00Z ERROR bot > x", Kind::Start),
            (" 2024-07-31T10:00:00Z x", Kind::Indented),
            (" ERROR in a sentence", Kind::Indented),
            ("0|bot  | 2026-11-22 01:02:03 x", Kind::Head),
            ("0|bot  |   File \"a\", line 1", Kind::Indented),
            ("{\"level\":\"error\",\"msg\":\"x\"}", Kind::Start),
            ("{\"name\":\"bot\",\"pid\":7,\"level\":50}", Kind::Start),
            ("{\"ok\":false,\"error_code\":429}", Kind::Other),
            ("{\"timestamp\":\"x\",\"status\":404}", Kind::Other),
            ("Cannot write to ‘a.mp4’ (Success).", Kind::Start),
            ("Cannot write to the disk", Kind::Other),
            ("wget: server returned error: HTTP/1.1 404 Not Found", Kind::Start),
            ("[v4.0.10.2544] System.Exception: x", Kind::Other),
            ("[v1] Kind of a tag", Kind::Start),
            ("[1, 2, 3]", Kind::Other),
            ("[SQL: SELECT 1]", Kind::Other),
            ("Error: x", Kind::Other),
            ("<html>", Kind::Other),
            ("  File \"a\", line 1", Kind::Indented),
            ("bot-1  |   File \"a\", line 1", Kind::Indented),
            ("bot-1  | Traceback (most recent call last):", Kind::Traceback),
            ("Nov 26 04:44:10 nas bot[7]: Traceback (most recent call last):", Kind::Traceback),
            ("Nov 26 04:44:10 nas bot[7]: 2026-11-26 04:44:10 x", Kind::Head),
            ("2026-11-26T04:44:10.118203118Z stderr F   File \"a\", line 1", Kind::Indented),
            ("2026-11-26T04:44:10Z ERROR bot: x", Kind::Head),
            (r#"{"log":"2026-11-22 01:02:03 x\n","stream":"stdout","time":"y"}"#, Kind::Head),
            (r#"{"log":"Traceback (most recent call last):\n","stream":"stderr","time":"y"}"#, Kind::Traceback),
            (r#"{"log":"  File \"a\", line 1\n","stream":"stderr","time":"y"}"#, Kind::Indented),
            (r#"{"log":"\tat a.B.c(B.java:1)\n","stream":"stderr","time":"y"}"#, Kind::Indented),
            (r#"{"log":"\u001b[31mERROR:a:b\u001b[0m\n","stream":"stderr","time":"y"}"#, Kind::Head),
            (r#"{"log":"x\n","stream":"stdout","time":"y"}"#, Kind::Other),
            (r#"{"log":"\n","stream":"stdout","time":"y"}"#, Kind::Blank),
            ("\t", Kind::Blank),
            ("", Kind::Blank),
        ] {
            assert_eq!(Line::new(text.as_bytes()).kind, wanted, "{text}");
        }
    }
}
