//! Finds a level that a logger wrote. Pure.

use super::super::event::Level;
use super::stamp_field;
use super::time::stamp;
use super::words::{Sep, blanks, boxed, is_dotted_logger, is_name, letters, spaces};

/// What stands before the place at which a level is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Around {
    /// Nothing.
    Start,
    /// A time, a name in brackets, a name with a separator behind it.
    Field,
    /// Words: a sentence may have begun.
    Loose,
}

/// A level with its brackets and what separates it.
pub(super) struct Found {
    pub(super) level: Level,
    pub(super) length: usize,
    pub(super) sep: Sep,
    pub(super) boxed: bool,
    /// Written `Error`, as .NET's loggers do.
    pub(super) capital: bool,
    /// ` : ` behind it.
    pub(super) aligned: bool,
}

/// Words that loggers write for an error. Each must be named in `event::error_texts`, in every place where it is believed.
pub(in crate::classify) const ERROR_WORDS: [&[u8]; 13] = [
    b"error",
    b"err",
    b"critical",
    b"crit",
    b"fatal",
    b"severe",
    b"panic",
    b"alert",
    b"emerg",
    b"emergency",
    b"ftl",
    b"erro",
    b"fata",
];

/// How loud a word is that loggers write; `None` for other words.
pub(in crate::classify) fn level_word(word: &[u8]) -> Option<Level> {
    let is = |words: &[&[u8]]| words.iter().any(|w| w.eq_ignore_ascii_case(word));
    if is(&ERROR_WORDS) {
        Some(Level::Error)
    } else if is(&[b"warning", b"warn", b"wrn"]) {
        Some(Level::Warning)
    } else if is(&[b"info", b"information", b"notice", b"inf", b"success"]) {
        Some(Level::Info)
    } else if is(&[b"debug", b"trace", b"verbose", b"dbg", b"vrb", b"debu"]) {
        Some(Level::Debug)
    } else {
        None
    }
}

/// The same for words outside of fields: the rare ones must be in capitals.
fn loud_word(word: &[u8]) -> Option<Level> {
    let common = [&b"error"[..], b"err", b"critical", b"crit", b"fatal", b"panic"];
    level_word(word).filter(|level| {
        *level != Level::Error
            || word.iter().all(u8::is_ascii_uppercase)
            || common.iter().any(|common| common.eq_ignore_ascii_case(word))
    })
}

/// A level: a bare upper-case word, any in brackets or between bars, `error: ` of winston.
pub(super) fn level(text: &[u8], around: Around, piped: bool) -> Option<Found> {
    match text.first()? {
        b'[' | b'(' | b'<' => boxed_level(text, around),
        b'A'..=b'Z' => bare_level(text, around, piped),
        b'a'..=b'z' => quiet_level(text, around, piped),
        _ => None,
    }
}

fn bare_level(text: &[u8], around: Around, piped: bool) -> Option<Found> {
    let length = letters(text, 11);
    let word = &text[..length];
    let level = loud_word(word)?;
    let (gap, sep) = level_end(&text[length..], false)?;
    let capital = word[1..].iter().any(u8::is_ascii_lowercase);
    let believed = if capital {
        // `Error downloading x` is a sentence, `Error Jackett.Common.X: …` is not.
        (piped && sep == Sep::Bar)
            || (around == Around::Field && sep == Sep::Space && is_dotted_logger(&text[length + gap..]))
    } else {
        let rare = matches!(
            word,
            b"PANIC"
                | b"ALERT"
                | b"EMERG"
                | b"NOTICE"
                | b"SUCCESS"
                | b"CRIT"
                | b"SEVERE"
                | b"INF"
                | b"FTL"
                | b"ERRO"
                | b"FATA"
                | b"DEBU"
        );
        around != Around::Start || !rare || !matches!(sep, Sep::Space | Sep::None)
    };
    let aligned = sep == Sep::Colon && text[length] == b' ';
    believed.then_some(Found { level, length: length + gap, sep, boxed: false, capital, aligned })
}

fn quiet_level(text: &[u8], around: Around, piped: bool) -> Option<Found> {
    let length = letters(text, 11);
    let word = &text[..length];
    if word == b"level" && text.get(length) == Some(&b'=') {
        let value = letters(&text[length + 1..], 11);
        let level = loud_word(&text[length + 1..length + 1 + value])?;
        let length = length + 1 + value;
        let (gap, sep) = level_end(&text[length..], false)?;
        return Some(Found { level, length: length + gap, sep, boxed: false, capital: false, aligned: false });
    }
    let level = loud_word(word)?;
    let (gap, sep) = level_end(&text[length..], false)?;
    let mut length = length + gap;
    let winston = matches!(word, b"error" | b"warn" | b"info" | b"debug" | b"verbose") && sep == Sep::Colon && gap == 2;
    if !(winston && around != Around::Loose || piped && sep == Sep::Bar) {
        return None;
    }
    // Command line tools say `error: no such file` too; there the word belongs to the message.
    if around == Around::Start && word == b"error" && text.get(length).is_some_and(u8::is_ascii_lowercase) {
        length = 0;
    }
    Some(Found { level, length, sep, boxed: false, capital: false, aligned: false })
}

/// `[ERROR  ]`, `<warning>`, `(E)`, `[ERROR/2026-11-25 13:38:31,478]`, Twisted's `[logger#error]`.
fn boxed_level(text: &[u8], around: Around) -> Option<Found> {
    let close = match text[0] {
        b'[' => b']',
        b'(' => b')',
        _ => b'>',
    };
    let named = boxed(text).and_then(|(inside, _)| memchr::memchr(b'#', inside).filter(|at| is_name(&inside[..*at])));
    let start = named.map_or(1 + spaces(&text[1..]), |at| 1 + at + 1);
    let word = letters(&text[start..], 12);
    let mut end = start + word;
    let letter = word == 1 && start == 1 && text[0] == b'(' && text.get(end) == Some(&close);
    let level = match &text[start..end] {
        [b'C' | b'E'] if letter => Level::Error,
        [b'W'] if letter => Level::Warning,
        [b'I' | b'N'] if letter => Level::Info,
        [b'D'] if letter => Level::Debug,
        // In capitals where it is not close to its bracket.
        word if start == 1 || named.is_some() || word.iter().all(u8::is_ascii_uppercase) => loud_word(word)?,
        _ => return None,
    };
    if text.get(end) == Some(&b'/') {
        end += 1 + stamp(&text[end + 1..])?;
    }
    end += spaces(&text[end..]);
    if text.get(end) != Some(&close) {
        return None;
    }
    end += 1;
    let (gap, sep) = level_end(&text[end..], true)?;
    // `(C) 2024 Somebody`
    if letter && around == Around::Start && stamp_field(&text[end + gap..]).is_none() {
        return None;
    }
    let capital = word > 1 && text[start].is_ascii_uppercase() && text[start + 1].is_ascii_lowercase();
    Some(Found { level, length: end + gap, sep, boxed: true, capital, aligned: false })
}

/// What separates a level from what follows, and how long it is; `None`: the word goes on.
pub(super) fn level_end(rest: &[u8], boxed: bool) -> Option<(usize, Sep)> {
    let before = blanks(rest);
    let marks = rest[before..].iter().take(4).take_while(|b| b"-|:=".contains(b)).count();
    let run = &rest[before..before + marks];
    let mut end = before + marks;
    if marks > 0 && rest.get(end) == Some(&b'>') {
        end += 1;
    }
    let after = blanks(&rest[end..]);
    let tabbed = rest[..before].contains(&b'\t') || rest[end..end + after].contains(&b'\t');
    let space = if tabbed { Sep::Tab } else { Sep::Space };
    match run.first() {
        None if before > 0 => Some((before, space)),
        None if rest.is_empty() => Some((0, Sep::None)),
        None => (boxed && matches!(rest[0], b'[' | b'(')).then_some((0, Sep::None)),
        Some(b'|') => Some((end + after, Sep::Bar)),
        Some(b':') if after > 0 || end == rest.len() => Some((end + after, Sep::Colon)),
        Some(b':') if before == 0 || boxed => Some((end, Sep::Tight)),
        Some(b'-' | b'=') if after > 0 && (before > 0 || boxed) => Some((end + after, Sep::Dash)),
        // `ERROR --flag`, `ERROR -5`
        Some(_) if before > 0 => Some((before, space)),
        Some(_) => None,
    }
}
