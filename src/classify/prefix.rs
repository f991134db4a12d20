//! Finds where a program's own message begins: behind time, host, logger and level. Pure.
//!
//! Read by hand, not by a pattern: it is asked for most lines that hold a text of some rule, and takes some tens of
//! nanoseconds.

mod fields;
mod level;
mod time;
mod words;

use super::event::Level;
use crate::assemble::{carried_by, priority, supervisor_prefix, syslog_header};
#[cfg(test)]
pub(super) use fields::LEVEL_KEYS;
use fields::fields;
pub(super) use fields::{CAUSE_KEYS, MESSAGE_KEYS, Object, string_end};
#[cfg(test)]
pub(super) use level::ERROR_WORDS;
pub(super) use level::level_word;
use level::{Around, Found, level, level_end};
use time::stamp;
pub(super) use words::is_tool;
use words::{
    Sep, blanks, boxed, is_compound, is_exception, is_file, is_name, is_speech, is_word, letters, name_length,
    separator, spaces,
};

/// How many prefixes may stand one behind the other: docker's, syslog's, the program's.
const MAX_HEADS: usize = 4;

/// How many words may stand between time and level: host, process, logger, thread.
const MAX_BETWEEN: usize = 4;

/// The longest logger's name.
const MAX_NAME: usize = 100;

/// Signs in front of a message, as bots write them.
const MAX_SIGNS: usize = 4;

/// The spaces in place of the shortest time that rich leaves out: `[10:00:00]`.
const MIN_ALIGNED: usize = 10;

/// What stands between Python's fields, as most who set a format write it.
const DASH: &[u8] = b" - ";

/// The longest bracket in front of a message.
const MAX_BOX: usize = 80;

/// What stands in front of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefix {
    /// Its bytes.
    pub(super) length: usize,
    /// The level in it.
    pub(super) level: Option<Level>,
}

/// One of the prefixes.
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) level: Option<Level>,
    /// Another may follow.
    pub(super) more: bool,
}

/// What stands in front of the message of this line (or of the first one).
pub(super) fn prefix(text: &[u8]) -> Prefix {
    let text = &text[..memchr::memchr(b'\n', text).unwrap_or(text.len())];
    let mut out = syslog(text).unwrap_or(Prefix { length: supervisor_prefix(text), level: None });
    for _ in 0..MAX_HEADS {
        let rest = &text[out.length..];
        let Some(head) = fields(rest).or_else(|| head(rest)) else { break };
        out.length += head.length;
        out.level = head.level.or(out.level);
        if !head.more {
            break;
        }
    }
    out.length += signs(&text[out.length..]);
    out
}

/// What bots put before what went wrong. No note and no film: behind those stands a title.
const SIGNS: [&str; 28] = [
    "❌", "❎", "✖", "✗", "✘", "❗", "❕", "‼", "⚠", "⛔", "☠", "⌛", "⏰", "⏱", "⏳", "🚫", "🚨", "🛑", "🔴", "🟥",
    "🟠", "🟡", "📛", "💥", "💀", "🔥", "🐞", "🐛",
];

/// Asks for the colourful shape of the sign before it (U+FE0F).
const COLOURFUL: &str = "\u{fe0f}";

/// How long the signs at the start are, with what separates them from the message.
fn signs(text: &[u8]) -> usize {
    let mut at = 0;
    for _ in 0..MAX_SIGNS {
        // Most messages begin with a letter.
        let rest = text[at..].first().filter(|b| !b.is_ascii()).map(|_| &text[at..]);
        let Some(sign) = rest.and_then(|rest| SIGNS.iter().find(|sign| rest.starts_with(sign.as_bytes()))) else {
            break;
        };
        at += sign.len();
        at += if text[at..].starts_with(COLOURFUL.as_bytes()) { COLOURFUL.len() } else { 0 };
    }
    if at > 0 { at + blanks(&text[at..]) } else { 0 }
}

/// `<11>` of syslog, with the rest of its header where that is RFC 5424's. The number is no level: a program's output has the same
/// whatever it says.
fn syslog(text: &[u8]) -> Option<Prefix> {
    let mut length = priority(text)?;
    if let Some(rest) = text[length..].strip_prefix(b"1 ") {
        let time = stamp(rest).filter(|time| rest.get(*time) == Some(&b' '))? + 1;
        length += 2 + time + syslog_header(&rest[time..])?.whole;
    }
    Some(Prefix { length, level: None })
}

fn head(text: &[u8]) -> Option<Head> {
    let first = *text.first()?;
    match first {
        b'[' => tdlib(text).or_else(|| boxed_head(text)).or_else(|| stamped(text)).or_else(|| leveled(text)),
        b'(' | b'<' | b'0'..=b'9' => stamped(text).or_else(|| leveled(text)),
        b'A'..=b'Z' => glog(text).or_else(|| logrus(text)).or_else(|| stamped(text)).or_else(|| leveled(text)),
        b'a'..=b'z' => leveled(text),
        b' ' => pretty(text).or_else(|| aligned(text)),
        _ => None,
    }
}

/// Times, then a service's name or a level.
fn stamped(text: &[u8]) -> Option<Head> {
    let (mut at, mut sep) = stamp_field(text)?;
    while let Some((length, next)) = stamp_field(&text[at..]) {
        (at, sep) = (at + length, next);
    }
    if let Some(length) = service(text, &text[at..]) {
        return Some(Head { length: at + length, level: None, more: true });
    }
    if let Some((length, level)) = logcat(&text[at..]).filter(|_| text[..at].ends_with(b" ")) {
        return Some(Head { length: at + length, level: Some(level), more: false });
    }
    if let Some(length) = caller(&text[at..]) {
        return Some(Head { length: at + length, level: None, more: false });
    }
    Some(level_behind(text, at, sep).unwrap_or(Head { length: at, level: None, more: true }))
}

/// Android's `I/bot(12345): `.
fn logcat(text: &[u8]) -> Option<(usize, Level)> {
    let level = match text.first()? {
        b'V' | b'D' => Level::Debug,
        b'I' => Level::Info,
        b'W' => Level::Warning,
        b'E' | b'F' => Level::Error,
        _ => return None,
    };
    let rest = text[1..].strip_prefix(b"/")?;
    let name = rest.iter().take(MAX_NAME).take_while(|b| is_word(**b) || b".:-".contains(b)).count();
    let (process, length) = boxed(&rest[name..]).filter(|_| name > 0)?;
    let is = process.trim_ascii_start().iter().all(u8::is_ascii_digit) && rest[name + length..].starts_with(b": ");
    is.then_some((2 + name + length + 2, level))
}

/// A level behind some words that look like host, process, logger or thread.
fn level_behind(text: &[u8], from: usize, mut sep: Sep) -> Option<Head> {
    let (mut at, mut about, mut words) = (from, About::default(), 0);
    for _ in 0..=MAX_BETWEEN + 2 {
        let piped = sep == Sep::Bar && (text[..at].ends_with(b"|") || text[..at].ends_with(b"| "));
        if let Some(found) = level(&text[at..], if about.loose { Around::Loose } else { Around::Field }, piped) {
            return Some(found.head(text, at, about));
        }
        if let Some((length, next)) = stamp_field(&text[at..]) {
            (at, sep) = (at + length, next);
            continue;
        }
        let word = between(&text[at..])?;
        words += 1;
        about.words += usize::from(word.bare);
        about.loose |= word.sep == Sep::Space && text[at] != b'[' && text[at] != b'(';
        about.named |= matches!(word.sep, Sep::Dash | Sep::Bar);
        about.thread |= text[at] == b'[';
        // `Saved file as ERROR 503.mp4`: that is a sentence.
        if words > MAX_BETWEEN || about.words > 1 {
            return None;
        }
        (at, sep) = (at + word.length, word.sep);
    }
    None
}

/// A level at the start: `ERROR: …`, `[error] …`, `[twitter][error] …`, `bot.fetch - ERROR - …`.
fn leveled(text: &[u8]) -> Option<Head> {
    if let Some(found) = level(text, Around::Start, false) {
        return Some(found.head(text, 0, About::default()));
    }
    let name = name_length(text, false);
    if name > 0 && text[name..].starts_with(DASH) {
        let at = name + DASH.len();
        let found = level(&text[at..], Around::Field, false).filter(|found| found.sep == Sep::Dash)?;
        return Some(found.head(text, at, About { named: true, ..About::default() }));
    }
    let (name, length) = boxed(text)?;
    let found =
        (is_name(name) && text.get(length) == Some(&b'[')).then(|| level(&text[length..], Around::Field, false))??;
    Some(found.head(text, length, About { named: true, ..About::default() }))
}

/// pretty_env_logger: ` ERROR teloxide::error_handlers > …`
fn pretty(text: &[u8]) -> Option<Head> {
    let time = 1 + stamp_field(&text[1..]).map_or(0, |(length, _)| length);
    let found = level(&text[time..], Around::Start, false)?;
    let at = time + found.length;
    let name = name_length(&text[at..], true);
    // Names are aligned.
    let gap = spaces(&text[at + name..]);
    let length = at + name + gap + 2;
    (name > 0 && gap > 0 && text[at + name + gap..].starts_with(b"> ")).then_some(Head {
        length,
        level: Some(found.level),
        more: false,
    })
}

/// rich's line in the second of the one before: `            ERROR    what was said          worker.py:44`.
fn aligned(text: &[u8]) -> Option<Head> {
    let at = spaces(text);
    let found = level(&text[at..], Around::Field, false)?;
    let numbered = text.trim_ascii_end();
    let place = &numbered[..numbered.len() - numbered.iter().rev().take_while(|b| b.is_ascii_digit()).count()];
    let is = at >= MIN_ALIGNED && found.sep == Sep::Space && place.len() < numbered.len() && place.ends_with(b".py:");
    is.then_some(Head { length: at + found.length, level: Some(found.level), more: false })
}

/// What was read before a level.
#[derive(Clone, Copy, Default)]
struct About {
    /// Words without digits, dots and the like.
    words: usize,
    /// A word with nothing but a space behind it: a sentence may have begun.
    loose: bool,
    /// A logger's name: none follows.
    named: bool,
    /// A thread in brackets.
    thread: bool,
}

impl Found {
    fn head(self, text: &[u8], at: usize, about: About) -> Head {
        let from = at + self.length;
        let length = from + behind_level(&text[from..], &self, about);
        Head { length, level: Some(self.level), more: false }
    }
}

/// Times, callers, threads and the logger that stand between the level and the message.
fn behind_level(text: &[u8], found: &Found, mut about: About) -> usize {
    let mut at = 0;
    for round in 0..3 {
        let rest = &text[at..];
        let adjacent = round == 0 && found.boxed && found.sep == Sep::None;
        let spring = spring(rest);
        let name = boxed_name(rest, adjacent);
        about.thread |= spring.is_some();
        about.named |= name.is_some();
        let next = stamp_field(rest)
            .map(|(length, _)| length)
            .or_else(|| caller(rest))
            .or(name)
            .or(spring)
            .or_else(|| (found.sep == Sep::Tab).then(|| tabbed_name(rest))?);
        match next {
            Some(length) => at += length,
            None => break,
        }
    }
    // rclone's `ERROR : a.mkv: …` names no logger.
    if about.named || found.aligned {
        return at;
    }
    at + logger(&text[at..], found, about).unwrap_or(0)
}

/// `name: `, `name - `, `name | `, and `name:` behind `LEVEL:`.
fn logger(text: &[u8], found: &Found, about: About) -> Option<usize> {
    let length = name_length(text, found.sep != Sep::Tight);
    let name = &text[..length];
    let capital = name.first()?.is_ascii_uppercase();
    let rest = &text[length..];
    let (gap, sep) = separator(rest)?;
    let name = name.strip_suffix(b":").unwrap_or(name);
    let dotted = name.contains(&b'.') || name.windows(2).any(|two| two == b"::");
    let is = match sep {
        Sep::Dash if capital => dotted || about.thread,
        Sep::Dash => true,
        Sep::Bar => found.sep == Sep::Bar || !capital,
        Sep::Colon if is_exception(name) || is_speech(name) || is_file(name) => false,
        // pyTelegramBotAPI: `TeleBot: "Infinity polling exception: …"`
        Sep::Colon if capital && rest[gap..].starts_with(b"\"") => return Some(length + gap + 1),
        Sep::Colon if capital => dotted || about.thread || (found.capital && found.boxed && is_compound(name)),
        Sep::Colon => true,
        Sep::Tight => {
            found.sep == Sep::Tight && !capital && !is_exception(name) && !is_speech(name) && rest.get(1) != Some(&b'/')
        }
        Sep::None | Sep::Space | Sep::Tab => false,
    };
    is.then_some(length + gap)
}

/// A time with what separates it from what follows.
fn stamp_field(text: &[u8]) -> Option<(usize, Sep)> {
    let length = stamp(text)?;
    let rest = &text[length..];
    match separator(rest) {
        Some((gap, sep)) => Some((length + gap, sep)),
        None if rest.is_empty() || matches!(rest[0], b'[' | b'(') => Some((length, Sep::None)),
        None => None,
    }
}

/// A word that stands between time and level.
struct Word {
    length: usize,
    sep: Sep,
    /// Nothing but letters, and a space behind it.
    bare: bool,
}

fn between(text: &[u8]) -> Option<Word> {
    let length = match text.first()? {
        b'[' | b'(' => boxed(text)?.1,
        _ => {
            let word = text.iter().take(MAX_BOX).take_while(|b| is_word(**b) || b"@/#:.-".contains(b)).count();
            // The colon behind a name is a separator.
            let word = word - text[..word].iter().rev().take_while(|b| **b == b':').count();
            let pid =
                if text.get(word) == Some(&b'[') { boxed(&text[word..]).map_or(0, |(_, length)| length) } else { 0 };
            word + pid
        }
    };
    if length == 0 {
        return None;
    }
    let rest = &text[length..];
    let (gap, sep) = match separator(rest) {
        Some(found) => found,
        None if rest.first() == Some(&b'[') => (0, Sep::None),
        None => return None,
    };
    let bare = sep == Sep::Space && text[..length].iter().all(u8::is_ascii_alphabetic);
    Some(Word { length: length + gap, sep, bare })
}

/// syslog's `host process[12]: `, Heroku's `app[web.1]: `, a container's `stderr F `.
fn service(line: &[u8], text: &[u8]) -> Option<usize> {
    let iso = line.get(10) == Some(&b'T') && line[0].is_ascii_digit();
    let syslog = line[0].is_ascii_uppercase() && line.get(3) == Some(&b' ');
    if !iso && !syslog {
        return None;
    }
    let length = carried_by(text, iso).or_else(|| if syslog { process_without_number(text) } else { None })?;
    (text.get(length) == Some(&b' ')).then_some(length + 1)
}

/// `host process:`, whose name has a lower-case letter first. Without a host it may be a sentence: `Oct 3 10:00:00 failed: …`.
fn process_without_number(text: &[u8]) -> Option<usize> {
    let word = |from: usize, more: &[u8]| {
        text[from..].iter().take(MAX_BOX).take_while(|b| is_word(**b) || more.contains(b)).count()
    };
    let host = word(0, b".-");
    let name = if host > 0 && text.get(host) == Some(&b' ') { host + 1 } else { return None };
    let end = name + word(name, b"./@-");
    (text.get(name)?.is_ascii_lowercase() && text.get(end) == Some(&b':')).then_some(end + 1)
}

/// TDLib and the Bot API server: `[ 3][t 5][1795613570.139][Client.cpp:4823][#1][!Bot]`.
fn tdlib(text: &[u8]) -> Option<Head> {
    let (digit, first) = boxed(text)?;
    let mut at = first;
    if !text[at..].starts_with(b"[t ") {
        return None;
    }
    let level = match digit.trim_ascii() {
        b"0" | b"1" => Level::Error,
        b"2" => Level::Warning,
        b"3" => Level::Info,
        [first, rest @ ..] if first.is_ascii_digit() && rest.len() < 4 => Level::Debug,
        _ => return None,
    };
    for number in 0..8 {
        let marked = matches!(text.get(at + 1), Some(b'#' | b'&' | b'!'));
        match boxed(&text[at..]) {
            Some((_, length)) if number < 3 || marked => at += length,
            _ => break,
        }
    }
    Some(Head { length: at + blanks(&text[at..]), level: Some(level), more: false })
}

/// glog: `E1122 01:02:03.456789 12 a.go:1] …`
fn glog(text: &[u8]) -> Option<Head> {
    let level = match text[0] {
        b'I' => Some(Level::Info),
        b'W' => Some(Level::Warning),
        // Nothing else in such a line says that it is an error, so a search through a log could not find it.
        b'E' | b'F' => None,
        _ => return None,
    };
    if !(text.len() > 6 && text[1..5].iter().all(u8::is_ascii_digit) && text[5] == b' ') {
        return None;
    }
    let close = memchr::memchr(b']', &text[..text.len().min(MAX_BOX)])?;
    Some(Head { length: close + 1 + blanks(&text[close + 1..]), level, more: false })
}

/// logrus on a terminal: `ERRO[0012] …`, with the seconds since the start.
fn logrus(text: &[u8]) -> Option<Head> {
    let level = match text.get(..4)? {
        b"PANI" | b"FATA" | b"ERRO" => Level::Error,
        b"WARN" => Level::Warning,
        b"INFO" => Level::Info,
        b"DEBU" | b"TRAC" => Level::Debug,
        _ => return None,
    };
    let (seconds, length) = boxed(&text[4..])?;
    let length = 4 + length;
    let is = seconds.len() >= 4 && seconds.iter().all(u8::is_ascii_digit) && blanks(&text[length..]) > 0;
    is.then(|| Head { length: length + blanks(&text[length..]), level: Some(level), more: false })
}

/// Time and level in one pair of brackets: `[2024-07-31T10:00:00Z ERROR a::b] `, `[I 2026-11-22 01:02:03 web:1] `,
/// `[2026-11-22 01:02:03,456: ERROR/MainProcess] `.
fn boxed_head(text: &[u8]) -> Option<Head> {
    let (inner, length) = boxed(text)?;
    let end = |level| {
        let (gap, _) = level_end(&text[length..], true)?;
        Some(Head { length: length + gap, level: Some(level), more: false })
    };
    if inner.len() > 3 && inner[1] == b' ' && stamp(&inner[2..]).is_some() {
        return end(match inner[0] {
            b'E' | b'C' => Level::Error,
            b'W' => Level::Warning,
            b'I' => Level::Info,
            b'D' => Level::Debug,
            _ => return None,
        });
    }
    let time = stamp(inner)?;
    let gap = inner[time..].iter().take(8).take_while(|b| b" :,|-".contains(b)).count();
    let rest = &inner[time + gap..];
    let word = letters(rest, 11);
    let upper = rest[..word].iter().all(u8::is_ascii_uppercase);
    if gap == 0 || word < 3 || !upper || !matches!(rest.get(word), None | Some(b' ' | b'/' | b':' | b'|')) {
        return None;
    }
    end(level_word(&rest[..word])?)
}

/// `dl/dl.go:122` with a tab, a colon or ` > ` behind it.
fn caller(text: &[u8]) -> Option<usize> {
    let file = text.iter().take(MAX_BOX).take_while(|b| is_word(**b) || b"./@-".contains(b)).count();
    if !text[..file].contains(&b'.') || text.get(file) != Some(&b':') {
        return None;
    }
    let digits = text[file + 1..].iter().take(7).take_while(|b| b.is_ascii_digit()).count();
    let rest = &text[file + 1 + digits..];
    let gap = [&b"\t"[..], b": ", b" > ", b" - "].iter().find(|gap| rest.starts_with(gap))?.len();
    (digits > 0).then_some(file + 1 + digits + gap)
}

/// `[a.b:59] - `, `[deluge.core    :1655] `, `[name]: `.
fn boxed_name(text: &[u8], adjacent: bool) -> Option<usize> {
    if text.first() != Some(&b'[') {
        return None;
    }
    let (name, length) = boxed(text)?;
    let named = name.iter().all(|b| is_word(*b) || b".:/@#- ".contains(b)) && !name.is_empty();
    let (gap, sep) = separator(&text[length..])?;
    let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let numbered = digits > 0 && name[..name.len() - digits].ends_with(b":");
    let is = match sep {
        Sep::Dash | Sep::Bar => is_name(name),
        Sep::Colon => (is_name(name) && !name[0].is_ascii_uppercase()) || adjacent,
        Sep::Space | Sep::Tab => numbered || adjacent,
        Sep::Tight | Sep::None => false,
    };
    (named && is).then_some(length + gap)
}

/// Spring's `12345 --- [main] `.
fn spring(text: &[u8]) -> Option<usize> {
    let pid = text.iter().take(8).take_while(|b| b.is_ascii_digit()).count();
    if pid == 0 || !text[pid..].starts_with(b" --- [") {
        return None;
    }
    let mut at = pid + 5;
    while let Some((_, length)) = text.get(at..).filter(|rest| rest.first() == Some(&b'[')).and_then(boxed) {
        at += length;
        at += spaces(&text[at..]);
    }
    Some(at)
}

/// zap's logger between tabs, a caller behind it.
fn tabbed_name(text: &[u8]) -> Option<usize> {
    let name = text.iter().take(MAX_NAME).take_while(|b| is_word(**b) || b".-".contains(b)).count();
    let rest = text.get(name + 1..)?;
    (name > 0 && text[name] == b'\t' && caller(rest).is_some()).then_some(name + 1)
}

#[cfg(test)]
mod tests;
