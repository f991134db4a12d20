//! Finds level and message in lines that are fields: a JSON object, `time=… level=… msg=…`. Pure.

use std::ops::Range;

use super::super::event::Level;
use super::Head;
use super::level::level_word;
use super::words::blanks;

/// How many fields are looked at.
const MAX_FIELDS: usize = 64;

/// Level and message of a line that consists of fields.
pub(super) fn fields(text: &[u8]) -> Option<Head> {
    match text.first()? {
        b'{' => json(text),
        b't' | b'l' | b'c' | b'a' => logfmt(text),
        _ => None,
    }
}

/// The fields in which loggers put their level. Each must be named in `event::error_texts`.
pub(in crate::classify) const LEVEL_KEYS: [&[u8]; 10] = [
    b"level",
    b"levelname",
    b"severity",
    b"lvl",
    b"@l",
    b"Level",
    b"log.level",
    b"loglevel",
    b"log_level",
    b"PRIORITY",
];

fn is_level(key: &[u8]) -> bool {
    LEVEL_KEYS.contains(&key)
}

/// The same in pairs, where `at` is the level of Heroku and of Python's logfmter.
fn is_pair_level(key: &[u8]) -> bool {
    is_level(key) || key == b"at"
}

fn is_time(key: &[u8]) -> bool {
    const KEYS: [&[u8]; 8] =
        [b"time", b"ts", b"timestamp", b"@timestamp", b"asctime", b"@t", b"__REALTIME_TIMESTAMP", b"Timestamp"];
    KEYS.contains(&key)
}

/// Where loguru's serialized lines hold what they say.
const RECORD: &[u8] = b"record";

/// The fields in which loggers put their message, the surest first: structlog's `event`, CLEF's `@m` and `@mt`, journald's
/// `MESSAGE`, GELF's `short_message`, Google's `textPayload`, Fluent's `log`.
pub(in crate::classify) const MESSAGE_KEYS: [&str; 9] =
    ["message", "msg", "MESSAGE", "short_message", "@m", "@mt", "event", "textPayload", "log"];

/// The fields in which loggers and programs put why something failed: a string, or an object with a message (pino,
/// Google), or a list of them (structlog). People name fields in their own language.
pub(in crate::classify) const CAUSE_KEYS: [&str; 21] = [
    "error",
    "err",
    "exception",
    "Exception",
    "cause",
    "reason",
    "why",
    "error_message",
    "errorMessage",
    "error.message",
    "exception.message",
    "@x",
    "jsonPayload",
    "errmsg",
    "error_msg",
    "last_error",
    "erro",
    "errore",
    "erreur",
    "fehler",
    "ошибка",
];

/// How many causes of one line are looked at.
const MAX_CAUSES: usize = 4;

/// What a line of fields says that a logger wrote. Strings stand here with quotes and escapes.
#[derive(Default)]
pub(in crate::classify) struct Object<'a> {
    pub(in crate::classify) level: Option<Level>,
    pub(in crate::classify) message: Option<&'a [u8]>,
    /// Why something failed.
    pub(in crate::classify) causes: Vec<&'a [u8]>,
}

impl<'a> Object<'a> {
    /// What a line of fields says: an object that is all of the text and has a level or a time, as those of loggers have, or
    /// `level=… msg="…"`.
    pub(in crate::classify) fn of(text: &'a [u8]) -> Option<Self> {
        if text.starts_with(b"{") { object(text) } else { pairs(text) }
    }

    fn add(&mut self, key: &[u8], value: &'a [u8]) {
        if self.causes.len() < MAX_CAUSES && CAUSE_KEYS.iter().any(|name| name.as_bytes() == key) {
            self.causes.push(value);
        }
    }
}

/// What loguru's object in the field `record` says.
#[derive(Default)]
struct Record<'a> {
    level: Option<Level>,
    /// With its quotes, as the exception.
    message: Option<&'a [u8]>,
    exception: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    fn of(text: &'a [u8]) -> Self {
        let mut record = Self::default();
        let quoted = |at: usize| string(text, at).map(|words| &text[at..at + words.len() + 2]);
        walk(text, |key, at| {
            let inner = |wanted: &[u8], take: &mut dyn FnMut(usize)| {
                walk(&text[at..], |key, from| {
                    if key == wanted {
                        take(at + from);
                    }
                    key == wanted
                });
            };
            match key {
                b"level" => inner(b"name", &mut |at| record.level = string(text, at).and_then(level_word)),
                b"exception" => inner(b"value", &mut |at| record.exception = quoted(at)),
                b"message" => record.message = quoted(at),
                _ => {}
            }
            false
        });
        record
    }
}

/// The level of a JSON object that a logger wrote.
///
/// All of the object is the message: rules tell by its keys and quotes whose words stand where.
fn json(text: &[u8]) -> Option<Head> {
    let mut level = None;
    walk(text, |key, at| {
        level = match key {
            RECORD => Record::of(&text[at..]).level,
            _ if is_level(key) => json_level(text, at),
            _ => None,
        };
        level.is_some()
    });
    level.map(|level| Head { length: 0, level: Some(level), more: false })
}

fn object(text: &[u8]) -> Option<Object<'_>> {
    let (mut object, mut dated, mut rank) = (Object::default(), false, usize::MAX);
    let end = walk(text, |key, at| {
        dated |= is_time(key);
        if is_level(key) && object.level.is_none() {
            object.level = json_level(text, at);
        }
        if key == RECORD {
            let record = Record::of(&text[at..]);
            object.level = object.level.or(record.level);
            object.message = record.message.or(object.message);
            record.exception.into_iter().for_each(|exception| object.add(b"exception", exception));
            return false;
        }
        let known = MESSAGE_KEYS.iter().take(rank).position(|name| name.as_bytes() == key);
        if let (Some(known), Some(words)) = (known, string(text, at)) {
            (rank, object.message) = (known, Some(&text[at..at + words.len() + 2]));
        } else if let Some(words) = string(text, at) {
            object.add(key, &text[at..at + words.len() + 2]);
        } else if matches!(text.get(at), Some(b'{' | b'[')) {
            let at = at + usize::from(text[at] == b'[');
            walk(&text[at..], |inner, from| {
                let is = matches!(inner, b"message" | b"exc_value");
                let words = if is { string(text, at + from) } else { None };
                words.inspect(|words| object.add(key, &text[at + from..at + from + words.len() + 2])).is_some()
            });
        }
        false
    })?;
    let complete = text[end..] == *b"}" && (dated || object.level.is_some());
    complete.then_some(object)
}

/// Shows each key with the place of its value until `done` says so; where it stopped, the object's last brace at the latest.
fn walk(text: &[u8], mut done: impl FnMut(&[u8], usize) -> bool) -> Option<usize> {
    let mut at = text.starts_with(b"{").then_some(1)?;
    for _ in 0..MAX_FIELDS {
        at += blanks(&text[at..]);
        let key = string(text, at)?;
        at += key.len() + 2;
        at += blanks(&text[at..]);
        if text.get(at) != Some(&b':') {
            return None;
        }
        at += 1 + blanks(&text[at + 1..]);
        if done(key, at) {
            return Some(at);
        }
        at += value_length(&text[at..])?;
        at += blanks(&text[at..]);
        match text.get(at)? {
            b',' => at += 1,
            b'}' => return Some(at),
            _ => return None,
        }
    }
    None
}

/// A level as a word, or as the numbers of pino and bunyan (10 to 60) and of syslog (0 to 7).
fn json_level(text: &[u8], at: usize) -> Option<Level> {
    let word = string(text, at).unwrap_or_else(|| &text[at..at + digits(&text[at..])]);
    if !word.first()?.is_ascii_digit() {
        return level_word(word);
    }
    Some(match std::str::from_utf8(word).ok()?.parse::<u32>().ok()? {
        0..=3 | 50.. => Level::Error,
        4 | 40..=49 => Level::Warning,
        5 | 6 | 30..=39 => Level::Info,
        _ => Level::Debug,
    })
}

/// The content of the string at this place, as it is written.
fn string(text: &[u8], at: usize) -> Option<&[u8]> {
    let inner = text.get(at..)?.strip_prefix(b"\"")?;
    Some(&inner[..string_end(inner)?])
}

/// Where the string ends whose content this is.
pub(in crate::classify) fn string_end(inner: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', inner.get(at..)?)?;
        if inner[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// How long a JSON value is; `None` when its end is not there.
fn value_length(text: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_u32);
    loop {
        match text.get(at)? {
            b'"' => at += string_end(&text[at + 1..])? + 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// logrus, slog and others: `time="…" level=warning msg="…"`. The message is the last field's value, else it begins at
/// the field: the quotes of those behind it must not be taken for each other.
fn logfmt(text: &[u8]) -> Option<Head> {
    let (mut level, mut message) = (None, None);
    let at = walk_pairs(text, |key, pair| {
        if is_pair_level(key) {
            level = level.or_else(|| level_word(&text[pair.value.clone()]));
        } else if matches!(key, b"msg" | b"message") && message.is_none() {
            let last = text[pair.end..].trim_ascii().is_empty();
            message = Some(if last { pair.value.start } else { pair.at });
        }
    })?;
    level?;
    // Without a field for it the message is what follows the fields.
    Some(Head { length: message.unwrap_or(at), level, more: false })
}

/// What such a line says in strings.
fn pairs(text: &[u8]) -> Option<Object<'_>> {
    let mut object = Object::default();
    walk_pairs(text, |key, pair| {
        let whole = pair.value.start.saturating_sub(1)..pair.value.end + 1;
        if is_pair_level(key) {
            object.level = object.level.or_else(|| level_word(&text[pair.value.clone()]));
        } else if text.get(whole.start) == Some(&b'"') && text.get(pair.value.end) == Some(&b'"') {
            if matches!(key, b"msg" | b"message") && object.message.is_none() {
                object.message = Some(&text[whole]);
            } else {
                object.add(key, &text[whole]);
            }
        }
    })?;
    object.level.is_some().then_some(object)
}

/// One `key=value`: where it begins, its value without quotes, where it ends.
struct Pair {
    at: usize,
    value: Range<usize>,
    end: usize,
}

/// Shows each pair of a line of them; where the last one ended, blanks included.
fn walk_pairs(text: &[u8], mut show: impl FnMut(&[u8], Pair)) -> Option<usize> {
    let starts = [&b"time="[..], b"ts=", b"t=", b"level=", b"lvl=", b"caller=", b"at="];
    if !starts.iter().any(|start| text.starts_with(start)) {
        return None;
    }
    let mut at = 0;
    for _ in 0..MAX_FIELDS {
        let rest = &text[at..];
        let key = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"_.@-".contains(b)).count();
        if key == 0 || rest.get(key) != Some(&b'=') {
            break;
        }
        let from = at + key + 1;
        let quoted = text.get(from) == Some(&b'"');
        let value = match string(text, from) {
            Some(value) => value,
            None if quoted => &text[from + 1..],
            None => &text[from..from + text[from..].iter().take_while(|b| **b != b' ').count()],
        };
        let end = (from + value.len() + 2 * usize::from(quoted)).min(text.len());
        let start = from + usize::from(quoted);
        show(&rest[..key], Pair { at, value: start..start + value.len(), end });
        at = end + blanks(&text[end..]);
    }
    Some(at)
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}
