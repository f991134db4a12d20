//! Finds the sentences that a logger wrapped: in the fields of its line, before the place it names at the right, below its own
//! head. Pure.

use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};

use super::event::{Level, build};
use super::literal::Literal;
use super::prefix::{CAUSE_KEYS, MESSAGE_KEYS, Object, level_word, prefix};
use crate::assemble::carrier_length;

/// A sentence: the message, or why something failed.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) text: Vec<u8>,
    /// How loud the logger says it is.
    pub(super) level: Option<Level>,
    /// It is the message, no cause.
    pub(super) is_message: bool,
}

/// What the event says, causes before the message. Empty: it stands there as it was said.
pub(super) fn said(event: &[u8]) -> Vec<Said> {
    let event = event.trim_ascii_end();
    let lines = memchr::memchr(b'\n', event).is_some();
    let mut found = if lines { Vec::new() } else { in_fields(event) };
    if found.is_empty() {
        found.extend(dotnet(event).or_else(|| rich(event)).or_else(|| if lines { None } else { monolog(event) }));
    }
    found.retain(|said| !said.text.is_empty());
    found
}

/// Texts of which every event holds one that says something in such a way.
pub(super) fn texts() -> impl Iterator<Item = Literal> {
    let keys = MESSAGE_KEYS.iter().chain(&CAUSE_KEYS).map(|key| format!("\"{key}\""));
    let pairs = CAUSE_KEYS.iter().chain(&["msg", "message"]).map(|key| format!("{key}=\""));
    let heads = DOTNET.iter().map(|(word, _)| format!("{word}: "));
    let levels = MONOLOG.map(|word| format!(".{word}: "));
    let all = keys.chain(pairs).chain(heads).chain(levels).chain([".py:".to_owned()]);
    all.map(|text| Literal::exact(text.as_bytes()))
}

/// The strings of a line that is, behind time and host, an object of a logger or `level=… msg="…"`.
fn in_fields(line: &[u8]) -> Vec<Said> {
    let from = if line.ends_with(b"}") { prefix(line).length } else { carrier_length(line) };
    let Some(Object { level, message, causes }) = Object::of(&line[from..]) else { return Vec::new() };
    let strings = causes.into_iter().map(|cause| (cause, false)).chain(message.map(|message| (message, true)));
    let said = strings.filter_map(|(string, is_message)| {
        let text = serde_json::from_slice::<String>(string).ok()?;
        Some(Said { text: text.trim_end().as_bytes().to_vec(), level, is_message })
    });
    said.collect()
}

/// The words with which .NET's console logger begins, and how loud they are.
const DOTNET: [(&str, Level); 6] = [
    ("trce", Level::Debug),
    ("dbug", Level::Debug),
    ("info", Level::Info),
    ("warn", Level::Warning),
    ("fail", Level::Error),
    ("crit", Level::Error),
];

/// `fail: Bot.Worker[0]`, and below it, indented by six, what was said.
fn dotnet(event: &[u8]) -> Option<Said> {
    let (head, rest) = event.split_at(event.iter().position(|b| *b == b'\n')?);
    let (_, level) =
        DOTNET.iter().find(|(word, _)| head.starts_with(word.as_bytes()) && head[4..].starts_with(b": "))?;
    let numbered = head.trim_ascii_end().strip_suffix(b"]")?.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let lines: Option<Vec<_>> = rest[1..].split(|b| *b == b'\n').map(|line| line.strip_prefix(b"      ")).collect();
    let text = lines?.join(&b'\n');
    (numbered > 0).then_some(Said { text, level: Some(*level), is_message: true })
}

/// `[10:00:00] ERROR    what was said          worker.py:44` of Python's rich; what is too long goes on below, indented.
fn rich(event: &[u8]) -> Option<Said> {
    static LINE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        build(
            r"\A(?:\[[\d/:\ ]{8,17}\]|\ {10,20})\ (?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)\ +(?P<text>\S[^\n]*?)\ +[\w.-]+\.py:\d+\ *(?P<more>(?:\n\ {10,40}\S[^\n]*)*)\z",
        )
    });
    if !matches!(event.first(), Some(b'[' | b' ')) || memchr::memmem::find(event, b".py:").is_none() {
        return None;
    }
    let found = LINE.as_ref()?.captures(event)?;
    let mut text = found["text"].to_vec();
    for line in found["more"].split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        text.push(b' ');
        text.extend_from_slice(line.trim_ascii());
    }
    Some(Said { text, level: leveled(&found), is_message: true })
}

/// PHP's levels, as Monolog writes them.
const MONOLOG: [&str; 8] = ["DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"];

/// `[time] app.ERROR: what was said {"id":4} []` of PHP's Monolog: context and extra stand behind.
fn monolog(line: &[u8]) -> Option<Said> {
    static LINE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        build(
            r"\A\[[^\]\n]{10,40}\]\ [\w.-]{1,40}\.(?P<level>[A-Z]{4,9}):\ (?P<text>[^\n]*)\ (?:\[\]|\{[^\n]*\})\ (?:\[\]|\{[^\n]*\})\z",
        )
    });
    if line.first() != Some(&b'[') || !line.ends_with(b"]") && !line.ends_with(b"}") {
        return None;
    }
    let found = LINE.as_ref()?.captures(line)?;
    let known = MONOLOG.iter().any(|word| word.as_bytes() == &found["level"]);
    known.then(|| Said { text: found["text"].to_vec(), level: leveled(&found), is_message: true })
}

fn leveled(found: &Captures<'_>) -> Option<Level> {
    level_word(&found["level"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(event: &str) -> Vec<(String, Option<Level>)> {
        let text = |said: Said| (String::from_utf8(said.text).unwrap(), said.level);
        said(event.as_bytes()).into_iter().map(text).collect()
    }

    #[test]
    fn causes_and_the_message_stand_in_fields() {
        let error = Some(Level::Error);
        for (line, want) in [
            (r#"{"level":"error","msg":"oh","err":"Get \"x\": EOF"}"#, vec!["Get \"x\": EOF", "oh"]),
            (r#"{"level":50,"time":1,"err":{"type":"Error","message":"no","stack":"s"},"msg":"oh"}"#, vec!["no", "oh"]),
            (
                r#"{"@t":"2026-11-26","@l":"Error","@m":"oh","@x":"System.Exception: no"}"#,
                vec!["System.Exception: no", "oh"],
            ),
            (r#"{"event":"oh","level":"error","exception":[{"exc_type":"E","exc_value":"no"}]}"#, vec!["no", "oh"]),
            (
                r#"{"Level":"Error","MessageTemplate":"t","Exception":"System.Exception: no"}"#,
                vec!["System.Exception: no"],
            ),
            (r#"{"severity":"ERROR","textPayload":"no","timestamp":"x"}"#, vec!["no"]),
            (r#"{"log.level":"error","message":"oh","error.message":"no"}"#, vec!["no", "oh"]),
            (
                r#"{"text": "10:00 | ERROR | oh\n", "record": {"elapsed": {"seconds": 1}, "level": {"icon": "x", "name": "ERROR", "no": 40}, "message": "oh", "exception": {"type": "E", "value": "no"}, "name": "__main__"}}"#,
                vec!["no", "oh"],
            ),
            (r#"time=2026-11-26T10:00:00Z level=error msg="oh" error="a \"b\"""#, vec!["a \"b\"", "oh"]),
            (r#"level=error err="no" msg=oh"#, vec!["no"]),
            (r#"bot-1  | level=error msg="oh""#, vec!["oh"]),
            (r#"Nov 26 04:44:10 nas bot[7]: level=error msg="oh""#, vec!["oh"]),
        ] {
            (0..line.len()).for_each(|cut| drop(said(&line.as_bytes()[..cut])));
            let want: Vec<_> = want.into_iter().map(|text| (text.to_owned(), error)).collect();
            assert_eq!(told(line), want, "{line}");
        }
        let many = format!(r#"{{"level":"error"{}}}"#, r#","error":"x""#.repeat(9));
        assert_eq!(told(&many).len(), 4, "bounded");
        for line in [
            r#"{"error":"no level, no time"}"#,
            r#"{"level":"error","err":null,"error":"","reason":5}"#,
            r#"msg="no level" err="x""#,
            r#"level=error err=bare"#,
            r#"level=error err="cut"#,
            "",
        ] {
            assert_eq!(told(line), [], "{line}");
        }
    }

    #[test]
    fn what_stands_around_a_sentence_is_left_out() {
        for (event, text, level) in [
            ("fail: Bot.Worker[0]\n      no\n      at x", "no\nat x", Level::Error),
            ("warn: Bot[12]\n      no", "no", Level::Warning),
            ("[10:00:00] ERROR    a: b                    worker.py:44", "a: b", Level::Error),
            ("[11/26/26 10:00:00] INFO     a          worker.py:4\n                    b c", "a b c", Level::Info),
            ("                    WARNING  a          worker.py:4", "a", Level::Warning),
            ("[2026-11-26T10:00:00.123456+00:00] app.ERROR: a {b} {\"id\":4} []", "a {b}", Level::Error),
            ("[2026-11-26 10:00:00] local.CRITICAL: a [] {\"x\":[]}", "a", Level::Error),
        ] {
            (0..event.len()).for_each(|cut| drop(said(&event.as_bytes()[..cut])));
            assert_eq!(told(event), [(text.to_owned(), Some(level))], "{event}");
        }
        for event in [
            "fail: Bot.Worker[0]",
            "fail: Bot.Worker[0]\n   no",
            "fail: Bot.Worker[0]\n      a\nb",
            "fail: a\n      b",
            "[10:00:00] ERROR    a worker.py",
            "ERROR a   worker.py:44",
            "[2026-11-26 10:00:00] app.ERROR: a []",
            "[2026-11-26 10:00:00] app.WORDS: a [] []",
        ] {
            assert_eq!(told(event), [], "{event}");
        }
    }

    #[test]
    fn a_search_finds_every_event_that_says_something_so() {
        let texts: Vec<Literal> = texts().collect();
        for event in [
            r#"{"level":"error","err":"x"}"#,
            r#"level=error cause="x""#,
            "crit: A[0]\n      x",
            "[10:00:00] ERROR    a    b.py:1",
            "[2026-11-26 10:00:00] app.ALERT: a [] []",
        ] {
            assert!(!told(event).is_empty());
            let holds = |text: &Literal| (0..event.len()).any(|at| text.is_at(event.as_bytes(), at));
            assert!(texts.iter().any(holds), "{event}");
        }
    }
}
