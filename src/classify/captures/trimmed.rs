//! Takes off what a rule read along with a path: what stands beside it in brackets, before it, or behind it. Pure.

use super::is_path;
use crate::assemble::Stamp;

/// A date and a time have more bytes than this; `2026` alone may be a name.
const MIN_STAMP: usize = 15;

/// What is taken off, in this order.
const STEPS: [fn(&str) -> &str; 9] =
    [unbracketed, unclosed, last_line, object_name, without_call, of_call, without_error, undated, behind_words];

/// The path itself.
pub(super) fn path(value: &str) -> &str {
    STEPS.iter().fold(value, |value, step| step(value))
}

/// Without a closing bracket whose opening one stands before it (`file [/srv/a.mp4]: why`), or what stands in such brackets behind words
/// that begin like a path (`Folder/File to be scanned [/srv/in/a]`).
fn unbracketed(value: &str) -> &str {
    if let Some((_, inner)) = value.split_once(" [")
        && let Some(inner) = inner.strip_suffix(']').or_else(|| (!inner.contains(']')).then_some(inner))
        && is_path(inner)
    {
        return inner;
    }
    let closed = [('[', ']'), ('(', ')')].into_iter().find_map(|(open, close)| {
        let path = value.strip_suffix(close)?;
        (is_path(path) && path.matches(open).count() == path.matches(close).count()).then_some(path)
    });
    closed.unwrap_or(value)
}

/// Without a bracket that is opened behind it and closed nowhere: `/srv/logs (kafka.log`.
fn unclosed(value: &str) -> &str {
    value
        .rsplit_once(" (")
        .filter(|(path, rest)| is_path(path) && !rest.contains([')', '/']))
        .map_or(value, |(path, _)| path)
}

/// What stands behind the last line end in a string that a program quotes: `stderr='[mp4 @ 0x5] bad\na.mp4`.
fn last_line(value: &str) -> &str {
    let (before, last) = value.rsplit_once("\\n").unwrap_or_default();
    let quoted = ['\'', '"'].into_iter().any(|quote| value.starts_with(quote) && value.ends_with(quote));
    if before.contains(['\'', '"', '[']) && !quoted { last } else { value }
}

/// Python's `<_io.BufferedWriter name='a b.pdf'>`.
fn object_name(value: &str) -> &str {
    let named = value.split_once("<_io.").and_then(|(_, object)| object.split_once("name="));
    named.map_or(value, |(_, name)| name.trim_end_matches(['"', '>']).trim_matches('\''))
}

/// Without the call behind it: Haskell's `/srv/a.docx: openBinaryFile`, PHP's `/srv/a.phar: fopen(/srv/a.phar)`.
fn without_call(value: &str) -> &str {
    let is_name = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_call = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.contains(|c: char| c.is_ascii_uppercase())
            && is_name(word)
    };
    match (value.split_once(": "), value.rsplit_once(": ")) {
        (Some((path, call)), _) if is_path(path) && call.split_once('(').is_some_and(|(name, _)| is_name(name)) => path,
        (_, Some((path, call))) if is_path(path) && is_call(call) => path,
        _ => value,
    }
}

/// Go's error behind the path that it was told of: `/srv/a (open /srv/a`, `/srv/a - open /srv/a`.
fn of_call(value: &str) -> &str {
    let behind = value.rsplit_once(" (").or_else(|| value.rsplit_once(" - "));
    let is_call = |call: &str| call.bytes().all(|b| b.is_ascii_lowercase()) && !value.ends_with(')');
    behind
        .and_then(|(_, call)| call.split_once(' '))
        .filter(|(call, path)| is_path(path) && is_call(call))
        .map_or(value, |(_, path)| path)
}

/// Without the name of an error before or behind it: `console.error(path, error)` of Node writes them side by side, an exception's
/// own words may begin with the path, and `/srv/a.mp4 - EACCES` stands before more of it.
fn without_error(value: &str) -> &str {
    const NUMBERS: [&str; 7] = ["EACCES", "EDQUOT", "ENOENT", "ENOSPC", "ENOTDIR", "EPERM", "EROFS"];
    let is_error = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or_default();
        let named = ["Error", "Exception"].iter().any(|end| last.ends_with(end)) && !name.contains([' ', '/']);
        named || NUMBERS.contains(&name)
    };
    match (value.split_once(": "), value.rsplit_once(' ')) {
        (Some((name, path)), _) if is_error(name) => path,
        (_, Some((path, name))) if is_error(name) && is_path(path) => path.strip_suffix(" -").unwrap_or(path),
        _ => value,
    }
}

/// Without a time of the logger's: `2026/01/02 03:04:05 b.gz`.
fn undated(value: &str) -> &str {
    let dated = value.as_bytes().first().is_some_and(u8::is_ascii_digit);
    let end = dated.then(|| Stamp::parse(value.as_bytes())).flatten().map_or(0, |(_, end)| end);
    value[end..].strip_prefix(' ').filter(|_| end >= MIN_STAMP).unwrap_or(value)
}

/// An absolute path behind words, or any behind `file/directory`, which looks like one.
fn behind_words(value: &str) -> &str {
    if let Some(path) = value.strip_prefix("file/directory ") {
        return path;
    }
    let is_words =
        |words: &str| !words.starts_with('/') && words.bytes().all(|b| b.is_ascii_lowercase() || b"/ ".contains(&b));
    value.split_once(" /").filter(|(words, _)| is_words(words)).map_or(value, |(words, _)| &value[words.len() + 1..])
}
