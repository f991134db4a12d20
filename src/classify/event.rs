//! Takes an event apart: which words decide, where the program's own message begins, how loud it was. Pure.
//!
//! A traceback of 140 lines is decided by its last exception, not by the source lines it quotes. So rules are asked
//! about *parts*, in this order: the cause, the earlier exceptions of the chain, what was logged before the
//! traceback. Every other event is one part, but for a line of fields (JSON, `level=… msg="…"`): what its strings say of a cause, and its
//! message, are asked about behind it.

use std::cell::OnceCell;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use super::literal::Literal;
use super::named;
use super::plain::{Plain, plain};
use super::prefix::{Prefix, is_tool, level_word, prefix};
use super::said::Said;

/// The most exceptions of one chain that are looked at; deeper chains tell nothing new.
const MAX_CHAIN: usize = 8;

/// The longest part, in bytes: a cause is a line or two, some servers answer with a page of HTML.
const MAX_PART: usize = 64 * 1024;

/// How many lines of an event are looked at for a louder one.
const MAX_LINES: usize = 64;

/// So much of what a prefix looks like is compared: a time and a level. The loggers behind them differ.
const MAX_SHAPE: usize = 12;

/// How loud the program was, by the level it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// TRACE or DEBUG.
    Debug,
    /// INFO or NOTICE.
    Info,
    /// WARNING.
    Warning,
    /// ERROR and above.
    Error,
}

impl Level {
    /// The level of this word: `debug`, `info`, `warning`, `error`; `critical` is an error.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        let word = if word == "critical" { "error" } else { word };
        [Self::Debug, Self::Info, Self::Warning, Self::Error].into_iter().find(|level| level.word() == word)
    }

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// How loud the program was that wrote this event; `None`: it does not say. What ended with an exception is an error.
#[must_use]
pub fn level(text: &[u8]) -> Option<Level> {
    let text = plain(text);
    parts(&text).first().and_then(Part::level)
}

/// Which words of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// All of it.
    Whole,
    /// A string in a line of fields: why something failed, or the message.
    Said,
    /// The exception that ended it.
    Cause,
    /// An earlier exception of the chain.
    Chain,
    /// What was logged before the traceback.
    Head,
    /// What a quiet event begins with, asked whether a person wrote it.
    Told,
}

impl Place {
    /// In words, for explanations.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Whole => "the event",
            Self::Said => "a field of the line",
            Self::Cause => "the last exception",
            Self::Chain => "an earlier exception",
            Self::Head => "the line before the traceback",
            Self::Told => "the message of a quiet event",
        }
    }
}

/// One stretch of the event that rules are asked about.
#[derive(Clone, Debug)]
pub(super) struct Part<'a> {
    pub(super) place: Place,
    /// From the start of the line.
    pub(super) line: &'a [u8],
    /// Time, logger and level; found out when it matters, which is seldom.
    prefix: OnceCell<Prefix>,
    /// Whether it names an error; found out when a rule wants a louder line, which is more seldom.
    names_error: OnceCell<bool>,
}

impl<'a> Part<'a> {
    pub(super) fn new(place: Place, line: &'a [u8]) -> Self {
        let line = &line[..line.len().min(MAX_PART)];
        Self { place, line, prefix: OnceCell::new(), names_error: OnceCell::new() }
    }

    /// A single line without colours, as it stands in the log.
    pub(super) fn of_line(line: &'a [u8]) -> Self {
        Self::new(Place::Whole, line.trim_ascii_end())
    }

    /// A string, as loud as it says itself, else as its line.
    pub(super) fn said(place: Place, said: &'a Said) -> Self {
        let part = Self::new(place, &said.text);
        let Prefix { length, level } = prefix(part.line);
        let names_error = if said.is_message { OnceCell::new() } else { true.into() };
        Self { prefix: Prefix { length, level: level.or(said.level) }.into(), names_error, ..part }
    }

    fn prefix(&self) -> Prefix {
        *self.prefix.get_or_init(|| match self.place {
            Place::Cause | Place::Chain => Prefix { length: 0, level: Some(Level::Error) },
            Place::Whole | Place::Said | Place::Head | Place::Told => as_loud_as_said(self.line, prefix(self.line)),
        })
    }

    /// Without time, logger and level. It goes to the line's end: where a text stands in the one tells where it stands
    /// in the other.
    pub(super) fn message(&self) -> &'a [u8] {
        &self.line[self.prefix().length..]
    }

    /// The level the program wrote; an exception is as loud as an error. `None`: it wrote none.
    pub(super) fn level(&self) -> Option<Level> {
        self.prefix().level
    }

    /// Whether an error stands in it in a form that programs write and people do not, whatever the level: a field for the cause,
    /// an exception by its whole name, what a system call gave back.
    pub(super) fn names_error(&self) -> bool {
        *self.names_error.get_or_init(|| named::names_error(self.message()))
    }
}

pub(super) fn build(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).unicode(false).ignore_whitespace(true).build().ok()
}

/// The parts of an event, the deciding one first; never empty.
pub(super) fn parts<'a>(plain: &'a Plain<'_>) -> Vec<Part<'a>> {
    let mut parts = stretches(plain);
    // `fetch failed` says less than the field with the error, and a rule made for the whole line more than both.
    let place = if parts.len() == 1 { Place::Said } else { Place::Head };
    parts.extend(plain.said.iter().map(|said| Part::said(place, said)));
    parts
}

/// The message of a quiet event of several parts. When a person wrote it, nothing in the event is a fault, whatever stands in a field or
/// reads like a traceback.
pub(super) fn told<'a>(plain: &'a Plain<'_>) -> Option<Part<'a>> {
    let message = plain.said.iter().find(|said| said.is_message).map(|said| Part::said(Place::Told, said));
    // The traceback may begin behind the message, on its own line.
    let line = plain.split(|b| *b == b'\n').next().unwrap_or_default();
    let head = || {
        let parts = stretches(plain);
        parts.len() > 1 || parts.first().is_some_and(|part| part.place == Place::Cause)
    };
    let part = message.or_else(|| head().then(|| Part::new(Place::Told, line)))?;
    part.level().is_some_and(|level| level <= Level::Info).then_some(part)
}

fn stretches(text: &[u8]) -> Vec<Part<'_>> {
    let text = text.trim_ascii_end();
    let whole = || vec![Part::new(Place::Whole, text)];
    if memchr::memchr(b'\n', text).is_none() {
        return whole();
    }
    let (head, exceptions) = exceptions(text);
    if exceptions.is_empty() {
        if let Some(at) = louder(text) {
            return vec![Part::new(Place::Whole, &text[at..]), Part::new(Place::Head, &text[..at])];
        }
        return frames_to_the_end(text).map_or_else(whole, |at| vec![Part::new(Place::Whole, &text[..at])]);
    }
    let mut parts = Vec::with_capacity(exceptions.len() + 1);
    for (depth, line) in exceptions.into_iter().rev().take(MAX_CHAIN).enumerate() {
        let place = if depth == 0 { Place::Cause } else { Place::Chain };
        parts.push(Part::new(place, line));
    }
    if !head.trim_ascii().is_empty() {
        parts.push(Part::new(Place::Head, head));
    }
    parts
}

const CAUSED_BY: &[u8] = b"Caused by: ";
const HEADER: &[u8] = b"Traceback (most recent call last):";

/// A Python frame, and how its source line is indented.
const FRAME: &[u8] = b"  File \"";
const SOURCE: &[u8] = b"    ";

/// Where the header of a traceback ends of which nothing but frames follows: it was cut off before it came to its exception, and what
/// frames quote are source lines all the same.
fn frames_to_the_end(text: &[u8]) -> Option<usize> {
    let at = memchr::memmem::find(text, HEADER)? + HEADER.len();
    let mut frames = text[at..].strip_prefix(b"\n")?.split(|byte| *byte == b'\n');
    let is_frame = |line: &[u8]| line.starts_with(FRAME) || line.starts_with(SOURCE);
    (frames.next()?.starts_with(FRAME) && frames.all(is_frame)).then_some(at)
}

/// What a tool said, passed on at a lower level (`INFO bot: ERROR: words`), is as loud as the tool said it.
fn as_loud_as_said(line: &[u8], prefix: Prefix) -> Prefix {
    if prefix.level.is_none_or(|level| level > Level::Info) {
        return prefix;
    }
    let message = &line[prefix.length..];
    let word = &message[..message.iter().take_while(|byte| byte.is_ascii_uppercase()).count()];
    let said = level_word(word).filter(|level| *level > Level::Info && message[word.len()..].starts_with(b": "));
    Prefix { level: said.or(prefix.level), ..prefix }
}

/// Where the first line begins that is louder than a quiet first one, with the same in front of it: several lines of one program that
/// were taken for one event.
fn louder(text: &[u8]) -> Option<usize> {
    let first = prefix(text);
    if first.level.is_none_or(|level| level > Level::Info) {
        return None;
    }
    let looks = shape(&text[..first.length]);
    let mut starts = memchr::memchr_iter(b'\n', text).take(MAX_LINES).map(|end| end + 1);
    starts.find(|start| {
        let line = &text[*start..];
        let Prefix { length, level } = prefix(line);
        // `error: words` of a tool is its message too.
        let length = if length == 0 { memchr::memmem::find(line, b": ").map_or(0, |at| at + 2) } else { length };
        level.is_some_and(|level| level > Level::Info) && shape(&line[..length]) == looks
    })
}

/// What a prefix looks like: runs of digits and of letters as one of them, and no more than tells one format from another.
fn shape(prefix: &[u8]) -> Vec<u8> {
    let kind = |byte: &u8| match byte {
        b'0'..=b'9' => b'0',
        byte if byte.is_ascii_alphabetic() => b'a',
        byte => *byte,
    };
    let mut looks: Vec<u8> = prefix.iter().map(kind).collect();
    looks.dedup();
    looks.truncate(MAX_SHAPE);
    looks
}

/// Whether a program that dies begins to say so with this line: Go, and Rust.
fn is_last_word(line: &[u8]) -> bool {
    let rust = || line.starts_with(b"thread '") && memchr::memmem::find(line, b"' panicked at ").is_some();
    line.starts_with(b"panic: ") || line.starts_with(b"fatal error: ") || rust()
}

/// Whether a command-line tool complains with this line, by its name: `tar: a.mp4: Cannot open: …`.
fn is_complaint(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    let said = line[name.len()..].strip_prefix(b": ");
    is_tool(name.rsplit(|byte| *byte == b'/').next().unwrap_or(name))
        && said.is_some_and(|said| memchr::memmem::find(said, b": ").is_some())
}

/// Whether this line is `package.NameError: …`, or a name like that alone.
fn is_exception(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(byte));
    is_name && (name.ends_with(b"Error") || name.ends_with(b"Exception"))
}

/// Whether the program that wrote the first line says that all is well.
fn is_quiet(text: &[u8]) -> bool {
    prefix(text).level.is_some_and(|level| level <= Level::Info)
}

/// Whether this line says how two exceptions of a chain hang together.
fn is_joint(line: &[u8]) -> bool {
    line.starts_with(b"The above exception was the direct cause") || line.starts_with(b"During handling of the above")
}

/// What stands before the first traceback, and each exception with its message, in the order written.
fn exceptions(text: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut head = None;
    let mut frames = false;
    let mut open = false;
    // It begins in the middle of a traceback.
    let is_rest = text.starts_with(SOURCE);
    let mut at = 0;
    for line in text.split_inclusive(|&b| b == b'\n') {
        let start = at;
        at += line.len();
        let bare = line.trim_ascii_end();
        let frame = line.starts_with(FRAME) || bare.ends_with(HEADER);
        let java = bare.starts_with(CAUSED_BY) || (line.starts_with(b"\tat ") && head.is_none());
        let another = || is_last_word(line) || is_complaint(line) && is_quiet(text);
        if start > 0 && head.is_none() && another() {
            // An ordinary line was written before, which all of this was taken for a part of.
            return (&text[..start], vec![text[start..].trim_ascii_end()]);
        }
        if frame || java {
            head.get_or_insert(start);
            open = false;
        }
        if frame {
            frames = true;
        } else if bare.starts_with(CAUSED_BY) {
            found.push((start, at));
        } else if is_joint(line) {
            open = false;
        } else if (frames || is_rest && is_exception(bare)) && !bare.is_empty() && !line[0].is_ascii_whitespace() {
            frames = false;
            open = true;
            found.push((start, at));
        } else if open && let Some(last) = found.last_mut() {
            last.1 = at;
        }
    }
    let head = head.unwrap_or(0);
    (&text[..head], found.into_iter().map(|(from, to)| text[from..to].trim_ascii_end()).collect())
}

/// What a program that complains puts first, and what a Rust program that dies says.
static COMPLAINT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    build(
        r"^(?i:error|fatal|panic|fatal\ error|critical|exception)\b\ ?[:!\[]|^[\w-]{1,40}:\ (?i:fatal|error):\ |^thread\ '.{0,80}'.{0,40}\ panicked\ at\ ",
    )
});

/// Whether an event that no rule knows reads like an error: by level, traceback or the usual first word.
pub(super) fn looks_like_error(text: &[u8]) -> bool {
    let text = plain(text);
    reads_like_error(&text, &parts(&text))
}

/// The same for an event whose parts are known.
pub(super) fn reads_like_error(text: &[u8], parts: &[Part<'_>]) -> bool {
    parts.iter().any(|part| match part.place {
        Place::Cause => {
            // Frames alone may be quoted source code.
            memchr::memmem::find(text, HEADER).is_some() || memchr::memmem::find(text, CAUSED_BY).is_some()
        }
        Place::Chain => false,
        Place::Whole | Place::Said | Place::Head | Place::Told => {
            part.level() == Some(Level::Error)
                || part.message().starts_with(HEADER)
                || COMPLAINT.as_ref().is_some_and(|words| words.is_match(part.message()))
        }
    })
}

/// Texts of which every event that reads like an error holds one.
pub(super) fn error_texts() -> Vec<Literal> {
    let exact = |words: &[&str]| words.iter().map(|word| Literal::exact(word.as_bytes())).collect::<Vec<_>>();
    let mut texts = exact(&[
        "ERR", "CRIT", "FATA", "SEVERE", "PANIC", "ALERT", "EMERG", "FTL", "PANI[", "(E)", "(C)", "[E ", "[C ",
    ]);
    let mut any_case = |text: &str| texts.push(Literal::any_case(text.as_bytes()));
    for before in ["[", "(", "<", "=", "=\"", "|", "| ", "#"] {
        ["err", "crit", "fatal", "panic"].iter().for_each(|word| any_case(&format!("{before}{word}")));
    }
    for before in ["=", "=\""] {
        ["severe", "alert", "emerg", "ftl", "fata"].iter().for_each(|word| any_case(&format!("{before}{word}")));
    }
    for word in ["error", "fatal", "panic", "critical", "exception"] {
        [":", "!", "[", " :", " !", " ["].iter().for_each(|end| any_case(&format!("{word}{end}")));
    }
    texts.extend(exact(&[
        "\"level",
        "\"severity",
        "\"lvl",
        "\"@l",
        "\"Level",
        "\"log",
        "\"PRIORITY",
        "0][t ",
        "1][t ",
    ]));
    texts.extend(exact(&["Error ", "Err ", "Critical ", "Crit ", "Fatal ", "Panic ", " E/", " F/"]));
    texts.extend(exact(&[" panicked at ", "Traceback (most recent", "Caused by: "]));
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(line: &str) -> (&str, Option<Level>) {
        let part = Part::new(Place::Whole, line.as_bytes());
        (std::str::from_utf8(&line.as_bytes()[line.len() - part.message().len()..]).unwrap(), part.level())
    }

    #[test]
    fn the_message_begins_behind_time_logger_and_level() {
        for (line, want, level) in [
            ("2026-01-02 03:04:05,678 - httpx - INFO - HTTP Request: x", "HTTP Request: x", Some(Level::Info)),
            ("2026-01-02 03:04:05,678 INFO httpx: HTTP Request: x", "HTTP Request: x", Some(Level::Info)),
            ("[2026-01-02 03:04:05,678] [ERROR  ] Download failed", "Download failed", Some(Level::Error)),
            ("ERROR:aiogram.event:Cause exception", "Cause exception", Some(Level::Error)),
            ("[WARNING/2024-01-02 03:04:05,678] a.b: timed out", "timed out", Some(Level::Warning)),
            ("2024-01-02 03:04:05.678 | DEBUG    | a.b:c:671 - Telegram says", "Telegram says", Some(Level::Debug)),
            ("2023-01-02 03:04:05,332 - [WARNING] - [a.b.c:59] - Unable", "Unable", Some(Level::Warning)),
            ("01/02 03:04:05 [NOTICE] Download complete", "Download complete", Some(Level::Info)),
            ("(W) 2022-01-02T03:04:05 - File error alert.", "File error alert.", Some(Level::Warning)),
            ("bot-1  | 2026-01-02 03:04:05 WARNING fetch: x", "x", Some(Level::Warning)),
            ("Jan  2 03:04:05 host bot[123]: INFO:root:hello", "hello", Some(Level::Info)),
            (
                "2022-01-02T03:04:05.220118+00:00 app[web.1]: 2022-01-02 03:04:05,219 - bot - WARNING - Flood",
                "Flood",
                Some(Level::Warning),
            ),
            ("2026-01-02T03:04:05.678Z  INFO teloxide::dispatching: hi", "hi", Some(Level::Info)),
            ("[02-Jan-25 03:04:05 PM] [ERROR] - Unhandled", "Unhandled", Some(Level::Error)),
            ("2026-01-02 03:04:05,678 - bot - INFO - Caption: ERROR 503", "Caption: ERROR 503", Some(Level::Info)),
            ("2026-01-02 03:04:05,678 - bot - INFO - ERROR: no room", "ERROR: no room", Some(Level::Error)),
            ("INFO:ytdl:WARNING: [youtube] x", "WARNING: [youtube] x", Some(Level::Warning)),
            ("INFO:bot:Error: x", "Error: x", Some(Level::Info)),
            ("INFO:bot:ERRORS: x", "ERRORS: x", Some(Level::Info)),
            ("OSError: [Errno 28] No space", "OSError: [Errno 28] No space", None),
            ("[download] Got error: x", "[download] Got error: x", None),
            ("ERROR: [generic] a: Unable", "[generic] a: Unable", Some(Level::Error)),
            ("{\"level\":\"error\",\"msg\":\"x\"}", "{\"level\":\"error\",\"msg\":\"x\"}", Some(Level::Error)),
            ("2026-01-02 03:04:05 INFO Caption: disk full", "Caption: disk full", Some(Level::Info)),
        ] {
            assert_eq!(message_of(line), (want, level), "{line}");
        }
    }

    #[test]
    fn a_traceback_is_decided_by_its_last_exception() {
        let text = "1 - bot - ERROR - oops: \"<html>\n503\"\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    raise TimeoutError\nValueError: one\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"b.py\", line 2, in g\n    x()\n    ~^^\nbot.Error: two\n<html>\n</html>\n";
        let plain = plain(text.as_bytes());
        let parts = parts(&plain);
        let shown: Vec<_> =
            parts.iter().map(|p| (p.place, String::from_utf8_lossy(p.message()).into_owned())).collect();
        assert_eq!(shown[0], (Place::Cause, "bot.Error: two\n<html>\n</html>".into()));
        assert_eq!(shown[1], (Place::Chain, "ValueError: one".into()));
        assert_eq!(shown[2].0, Place::Head);
        assert_eq!(shown.len(), 3);
    }

    #[test]
    fn the_rest_of_a_traceback_is_decided_by_its_exception() {
        let rest = plain(b"    raise error\n    ^^^^^^^^^^^\nurllib.error.URLError: <urlopen error timed out>\n");
        assert_eq!(parts(&rest)[0].message(), b"urllib.error.URLError: <urlopen error timed out>");
        let table = plain(b"    name  state\nerrors: none\n");
        assert_eq!(parts(&table)[0].place, Place::Whole);
    }

    #[test]
    fn a_program_that_dies_is_loud_whatever_it_wrote_before() {
        for last in ["panic: oops\n\ngoroutine 1 [running]:", "thread 'main' panicked at a.rs:1:2:\noops"] {
            let text = format!("2026-01-02 03:04:05 INFO x\n{last}\n");
            let plain = plain(text.as_bytes());
            let parts = parts(&plain);
            assert_eq!((parts[0].place, parts[0].message()), (Place::Cause, last.as_bytes()));
            assert_eq!((parts[1].place, parts[1].message()), (Place::Head, &b"x\n"[..]));
        }
    }

    #[test]
    fn a_tool_that_complains_behind_an_ordinary_line_is_loud() {
        let last = "mv: cannot stat '/srv/a': No such file or directory";
        for (level, quiet) in [("INFO", true), ("ERROR", false)] {
            let text = format!("2026-01-02 03:04:05 {level} x\n{last}\n");
            let plain = plain(text.as_bytes());
            let parts = parts(&plain);
            assert_eq!(parts[0].place == Place::Cause, quiet, "{level}");
            assert_eq!(parts[0].level(), Some(Level::Error));
        }
    }

    #[test]
    fn a_louder_line_behind_a_quiet_one_decides_if_both_are_of_one_program() {
        for (text, want) in [
            ("[12:18:25 INFO]: x\n[12:18:25 WARN]: y\n[12:18:25 WARN]: z", "[12:18:25 WARN]: y\n[12:18:25 WARN]: z"),
            ("[a][debug] x\n[a][error] y", "[a][error] y"),
            ("info: x\nerror: could not y\ninfo: z", "error: could not y\ninfo: z"),
            ("2026-01-02 03:04:05 INFO a.b: x\n2026-01-02 03:04:06 ERROR c: y", "2026-01-02 03:04:06 ERROR c: y"),
            ("2026-01-02 03:04:05 INFO x\nERROR: y", "2026-01-02 03:04:05 INFO x\nERROR: y"),
            ("[12:18:25 WARN]: x\n[12:18:25 ERROR]: y", "[12:18:25 WARN]: x\n[12:18:25 ERROR]: y"),
        ] {
            let plain = plain(text.as_bytes());
            assert_eq!(String::from_utf8_lossy(parts(&plain)[0].line), want);
        }
    }

    #[test]
    fn a_traceback_that_was_cut_off_quotes_source_lines_too() {
        let text = "oops\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    raise Timeout(\"timed out\")\n  File \"b.py\", line 2, in g\n";
        let plain = plain(text.as_bytes());
        let shown: Vec<_> = parts(&plain).iter().map(|part| part.line).collect();
        assert_eq!(shown, [b"oops\nTraceback (most recent call last):"]);
    }

    #[test]
    fn a_supervisors_prefix_is_taken_off_every_line() {
        let text =
            b"bot-1  | Traceback (most recent call last):\nbot-1  |   File \"a.py\", line 1\nbot-1  | KeyError: 'x'\n";
        let text = plain(text);
        assert_eq!(parts(&text)[0].message(), b"KeyError: 'x'");
    }

    #[test]
    fn docker_and_fields_hold_the_events_of_programs() {
        let causes = |text: &str| -> Vec<(Place, String)> {
            let plain = plain(text.as_bytes());
            parts(&plain).iter().map(|part| (part.place, String::from_utf8_lossy(part.line).into_owned())).collect()
        };
        let docker = [
            r#"{"log":"Traceback (most recent call last):\n","stream":"stderr","time":"2026-01-02T03:04:05Z"}"#,
            r#"{"log":"  File \"a.py\", line 1, in f\n","stream":"stderr","time":"2026-01-02T03:04:05Z"}"#,
            r#"{"log":"KeyError: 'x'\n","stream":"stderr","time":"2026-01-02T03:04:05Z"}"#,
        ];
        assert_eq!(causes(&docker.join("\n")), [(Place::Cause, "KeyError: 'x'".into())]);
        let field = r#"{"level": "error", "note": "no", "exc": "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x()\nOSError: [Errno 2] \"b\"", "n": 1}"#;
        assert_eq!(
            causes(field),
            [(Place::Cause, "OSError: [Errno 2] \"b\"".into()), (Place::Head, format!("{field}\n"))]
        );
        let java =
            r#"time="x" level=error err="a.B: no\n\tat a.B.c(B.java:1)\nCaused by: java.io.IOException: full\n""#;
        assert_eq!(causes(java)[0], (Place::Cause, "Caused by: java.io.IOException: full".into()));
        for odd in
            [r#""Traceback (most recent call last):\n"#, r#"Traceback (most recent call last):\n"#, r#"\nCaused by: x"#]
        {
            assert_eq!(causes(odd), [(Place::Whole, odd.into())]);
        }
    }

    #[test]
    fn the_message_in_a_loggers_object_is_asked_about_behind_it() {
        let parts = |text: &str| -> Vec<(Place, String, Option<Level>)> {
            let plain = plain(text.as_bytes());
            let parts = parts(&plain);
            parts.iter().map(|p| (p.place, String::from_utf8_lossy(p.message()).into_owned(), p.level())).collect()
        };
        let line = r#"{"ts": 1, "level": "info", "message": "GET \"a\" \u00e9\n"}"#;
        let want =
            [(Place::Whole, line.into(), Some(Level::Info)), (Place::Said, "GET \"a\" é".into(), Some(Level::Info))];
        assert_eq!(parts(line), want);
        let own = r#"{"log.level":"info","@timestamp":"x","event":"start","msg":"2026-01-02 03:04:05 ERROR b: no"}"#;
        assert_eq!(parts(own)[1], (Place::Said, "no".into(), Some(Level::Error)));
        let carried = format!("2026-01-02T03:04:05.678901234Z stderr F {own}");
        assert_eq!(parts(&carried)[1].1, "no");
        let field = r#"{"level":"error","msg":"oh","exc":"Traceback (most recent call last):\n  File \"a\"\nE: x"}"#;
        let places: Vec<Place> = parts(field).into_iter().map(|part| part.0).collect();
        assert_eq!(places, [Place::Cause, Place::Head, Place::Head]);
        for odd in [
            r#"{"message":"no level, no time"}"#,
            r#"{"level":"error","message":{"text":"x"}}"#,
            r#"{"level":"error","message":"cut"#,
            r#"{"level":"error","message":"x"} and more"#,
            r#"{"level":"error","message":""}"#,
        ] {
            assert_eq!(parts(odd).len(), 1, "{odd}");
        }
    }

    #[test]
    fn errors_are_noticed_where_the_program_says_so() {
        for (line, want) in [
            ("2026-01-02 03:04:05,678 - bot - ERROR - what", true),
            ("fatal: not a repository", true),
            ("error: cannot do", true),
            ("2026-01-02 03:04:05,678 - bot - INFO - Caption: ERROR", false),
            ("saved error.mp4", false),
        ] {
            assert_eq!(looks_like_error(line.as_bytes()), want, "{line}");
        }
    }
}
