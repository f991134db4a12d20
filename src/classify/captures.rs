//! Brings what a rule read out of a line into one form. Pure. Everything here is a stranger's text.

mod amounts;
mod forms;
mod links;
mod paths;
mod trimmed;
mod waits;

use super::pattern::Pattern;
use super::said::Said;
use crate::vocab::{Captures, Class};
use amounts::{amount, percentage};
use waits::{seconds, until};

/// The groups a pattern may name.
pub(super) const NAMES: &[&str] = &[
    "path",
    "url",
    "file_id",
    "job",
    "retry_after",
    "size",
    "name",
    "file_path",
    "percent",
    "bytes",
    "total",
    "rate",
    "eta",
    "state",
];

/// How much of an event is looked through for what a rule left out.
const MAX_EVENT: usize = 64 * 1024;

/// The longest value kept, in bytes: the longest path Linux takes.
const MAX_VALUE: usize = 4096;

/// Quotes, and what closes them.
const QUOTES: &[(char, char)] = &[
    ('\'', '\''),
    ('"', '"'),
    ('‘', '’'),
    ('“', '”'),
    ('„', '“'),
    ('„', '”'),
    ('‚', '‘'),
    ('`', '\''),
    ('`', '`'),
    ('«', '»'),
    ('»', '«'),
    ('‹', '›'),
    ('「', '」'),
    ('『', '』'),
];

/// The named groups of the first match, in normal form. Values that have none (empty, binary, endless) are left out.
pub(super) fn read(pattern: &Pattern, text: &[u8]) -> Captures {
    let mut out = Captures::new();
    if pattern.groups().next().is_none() {
        return out;
    }
    let Some(regex) = pattern.regex() else { return out };
    let mut found = regex.create_captures();
    regex.captures(text, &mut found);
    for name in pattern.groups() {
        let Some(span) = found.get_group_by_name(name) else { continue };
        // One name may be in two groups of an alternation, told apart by a trailing number: path, path2.
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let value = String::from_utf8_lossy(&text[span.range()]);
        let value = match name {
            "retry_after" => seconds(&value).or_else(|| until(&value, text)).map(|wait| wait.to_string()),
            "eta" => seconds(&value).map(|left| left.to_string()),
            _ => normal(name, &value),
        };
        if let Some(value) = value {
            out.entry(name.to_owned()).or_insert(value);
        }
    }
    out
}

/// What the whole event says when the rule's part did not: the only URL in it or the one in a field of its own, the only path, in it or in a
/// sentence of it, where the class is one of local files, and how long to wait.
///
/// Many rules win on the exception while the URL, or the file, stands in the line before the traceback.
pub(super) fn fill(captures: &mut Captures, class: Class, event: &[u8], said: &[Said]) {
    let event = &event[..event.len().min(MAX_EVENT)];
    if is_local(class) {
        let said = said.iter().map(|said| &said.text[..said.text.len().min(MAX_EVENT)]);
        let texts = || std::iter::once(event).chain(said.clone());
        let path = match captures.get("path") {
            None => [forms::framed, paths::named, forms::called, paths::file, paths::word]
                .iter()
                .find_map(|find| texts().find_map(find).filter(|path| class != Class::MissingPath || says_what(path))),
            Some(cut) => texts().find_map(|text| paths::whole(text, cut)),
        };
        if let Some(path) = path.and_then(|path| normal("path", &path)) {
            captures.insert("path".into(), path);
        }
    }
    if !captures.contains_key("url")
        && let Some(url) = links::only(event).or_else(|| links::field(event)).and_then(|url| normal("url", &url))
    {
        captures.insert("url".into(), url);
    }
    if !captures.contains_key("retry_after")
        && let Some(wait) = waits::header(event)
    {
        captures.insert("retry_after".into(), wait.to_string());
    }
}

/// Whether such a fault is one of a file or directory of this machine (a lock is one as well). A download that times out may name any.
const fn is_local(class: Class) -> bool {
    matches!(class, Class::Permission | Class::MissingPath | Class::Corrupt | Class::DiskFull | Class::Conflict)
}

/// Whether a name tells a file from a directory, or where it belongs. Of `cat: notes: No such file or directory` nobody knows, and a
/// directory of that name would be a wrong repair.
fn says_what(path: &str) -> bool {
    let path = path.trim_matches(|c| QUOTES.iter().any(|&(open, close)| c == open || c == close));
    path.contains(['/', '\\']) || path.trim_start_matches('.').contains('.')
}

fn normal(name: &str, value: &str) -> Option<String> {
    let value = match name {
        "size" => whole_number(value)?,
        "bytes" | "total" | "rate" => amount(value)?.to_string(),
        "percent" => percentage(value)?.to_string(),
        // A quote ends it: it may stand in a string of JSON, with more behind it.
        "url" => links::balanced(
            value
                .trim()
                .trim_start_matches('"')
                .split('"')
                .next()?
                .trim_end_matches(['.', ',', ';', ':', '!', '?', '>', '\'', '\\', '…']),
        )
        .to_owned(),
        "path" | "file_path" => local(unquoted(trimmed::path(value.trim()))),
        "name" => unquoted(value.trim()),
        _ => value.trim().trim_matches(['"', '\'']).to_owned(),
    };
    let usable = !value.is_empty() && value.len() <= MAX_VALUE && !value.contains(['\0', '\n', '\r']);
    usable.then_some(value)
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') || is_drive(text)
}

/// Takes off a pair of quotes; Python's and Rust's escapes inside straight ones are resolved.
fn unquoted(value: &str) -> String {
    for &(open, close) in QUOTES {
        if let Some(inner) = value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            return match open {
                '\'' | '"' if !is_windows(inner) => unescaped(inner),
                // French puts spaces inside, mostly ones that do not break.
                '«' | '‹' => inner.trim().to_owned(),
                _ => inner.to_owned(),
            };
        }
    }
    if is_drive(value) && !is_windows(value) { unescaped(value) } else { value.to_owned() }
}

/// `D:\Video\tmp\1.ts`, `\\nas\share\1.ts`: its backslashes stand for themselves. Python's repr doubles them.
fn is_windows(text: &str) -> bool {
    if is_drive(text) {
        return !text[2..].starts_with("\\\\");
    }
    text.strip_prefix("\\\\").is_some_and(|rest| !rest.starts_with('\\') && !rest.contains("\\\\"))
}

/// `C:\…`
fn is_drive(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && bytes[2] == b'\\'
}

/// `file:///srv/a%20b.mp4` as a path; ffmpeg's `file:a b.mp4` is not percent-encoded.
fn local(path: String) -> String {
    let Some(rest) = path.strip_prefix("file:") else { return path };
    let Some(rest) = rest.strip_prefix("//") else { return rest.to_owned() };
    let Some(rest) = rest.strip_prefix("localhost").unwrap_or(rest).strip_prefix('/') else { return path };
    let rest = percent_decoded(rest);
    // `file:///C:/a.mp4`
    let drive = rest.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && rest[1..].starts_with(":/");
    if drive { rest } else { format!("/{rest}") }
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.filter(|_| first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        out.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn unescaped(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let (piece, used) = escape(&rest[at + 1..]);
        out.extend_from_slice(&piece);
        rest = &rest[at + 1 + used..];
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// What an escape behind its backslash stands for, and how many bytes it takes. An unknown one stands for itself.
fn escape(text: &str) -> (Vec<u8>, usize) {
    let number = |length: usize| {
        text.get(1..=length)
            .filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|t| u32::from_str_radix(t, 16).ok())
    };
    let character = |c: Option<u32>| c.and_then(char::from_u32).map(|c| c.to_string().into_bytes());
    let (value, used) = match text.as_bytes().first() {
        Some(b'n') => (Some(vec![b'\n']), 1),
        Some(b't') => (Some(vec![b'\t']), 1),
        Some(b'r') => (Some(vec![b'\r']), 1),
        Some(&b @ (b'\\' | b'\'' | b'"')) => (Some(vec![b]), 1),
        Some(b'x') => (number(2).and_then(|n| u8::try_from(n).ok()).map(|b| char::from(b).to_string().into_bytes()), 3),
        Some(b'u') => (character(number(4)), 5),
        Some(b'U') => (character(number(8)), 9),
        _ => (None, 0),
    };
    value.map_or((vec![b'\\'], 0), |value| (value, used))
}

/// A byte count without the separators people put into it.
fn whole_number(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ',' | '_' | ' ' | '\'')).collect();
    digits.parse::<u64>().ok().map(|n| n.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_one_form() {
        for (name, value, want) in [
            ("size", "1,358,822", Some("1358822")),
            ("path", "'/srv/it\\'s \\xe9 \\\\x.mp4'", Some("/srv/it's é \\x.mp4")),
            ("path", "‘a b.mp4’", Some("a b.mp4")),
            ("path", "/srv/a b.zip Error", Some("/srv/a b.zip")),
            ("path", "/File to be scanned [/srv/in/a]", Some("/srv/in/a")),
            ("path", "/srv/in/a.mp4]", Some("/srv/in/a.mp4")),
            ("path", "/srv/in/a)", Some("/srv/in/a")),
            ("path", "file/directory /srv/in/a b.cfg", Some("/srv/in/a b.cfg")),
            ("path", "2026/01/02 03:04:05 b.gz", Some("b.gz")),
            ("path", "2026 trip.gz", Some("2026 trip.gz")),
            ("path", "/srv/in /a", Some("/srv/in /a")),
            ("path", "/srv/in/a.phar: fopen(/srv/in/a.phar): failed", Some("/srv/in/a.phar")),
            ("path", "/srv/in/a (kafka.log", Some("/srv/in/a")),
            ("path", "/srv/in/Film (1999)", Some("/srv/in/Film (1999)")),
            ("path", "/srv/in/a - open /srv/in/a", Some("/srv/in/a")),
            ("path", "/srv/in/a - b/c", Some("/srv/in/a - b/c")),
            ("path", "/srv/in/Film [1080p]", Some("/srv/in/Film [1080p]")),
            ("path", "/srv/a.docx: openBinaryFile", Some("/srv/a.docx")),
            ("path", "\"<_io.BufferedWriter name='/srv/a b.pdf'>\"", Some("/srv/a b.pdf")),
            ("path", "pikepdf._core.PdfError: L'Étranger.pdf", Some("L'Étranger.pdf")),
            ("path", "/srv/x TypeError", Some("/srv/x")),
            ("path", "'/srv/Human Error'", Some("/srv/Human Error")),
            ("path", "pikepdf._core.PdfError: /srv/a b.pdf", Some("/srv/a b.pdf")),
            ("path", "/srv/Error: the film.mp4", Some("/srv/Error: the film.mp4")),
            ("url", "https://example.org/a?k=(removed).", Some("https://example.org/a?k=(removed)")),
            ("path", "/srv/The Error Room", Some("/srv/The Error Room")),
            ("path", "/srv/plain\\n", Some("/srv/plain\\n")),
            ("path", "\"stderr='[mp4 @ 0x5] bad\\na b.mp4", Some("a b.mp4")),
            ("path", "My Files\\new\\a.mp4", Some("My Files\\new\\a.mp4")),
            ("total", "~10.50MiB", Some("11010048")),
            ("rate", "1.2 MB/s", Some("1200000")),
            ("bytes", "1,358,822", Some("1358822")),
            ("bytes", "12 parsecs", None),
            ("bytes", "9e99 GB", None),
            ("percent", "45.3", Some("45.3")),
            ("percent", "100%", Some("100")),
            ("percent", "101", None),
            ("percent", "NaN", None),
            ("path", "„a b.mp4“", Some("a b.mp4")),
            ("path", "「a b.mp4」", Some("a b.mp4")),
            ("path", "«\u{a0}a b.mp4\u{a0}»", Some("a b.mp4")),
            ("path", "« a b.mp4 »", Some("a b.mp4")),
            ("path", "'D:\\Video\\tmp\\1.ts'", Some("D:\\Video\\tmp\\1.ts")),
            ("path", "\"\\\\nas\\new\\1.ts\"", Some("\\\\nas\\new\\1.ts")),
            ("path", "'C:\\\\dl\\\\a.mp4'", Some("C:\\dl\\a.mp4")),
            ("path", "C:\\\\dl\\\\a.mp4", Some("C:\\dl\\a.mp4")),
            ("path", "'\\\\\\\\nas\\\\a.mp4'", Some("\\\\nas\\a.mp4")),
            ("path", "file:///srv/a%20b%C3%A9.mp4", Some("/srv/a bé.mp4")),
            ("path", "'file:///C:/a%20b.mp4'", Some("C:/a b.mp4")),
            ("path", "file:a%20b.mp4", Some("a%20b.mp4")),
            ("path", "file://nas/a.mp4", Some("file://nas/a.mp4")),
            ("path", "file:///srv/a%00b", None),
            ("path", "/srv/100%25.mp4", Some("/srv/100%25.mp4")),
            ("name", "file:///a%20b", Some("file:///a%20b")),
            ("path", "'/srv/a\\nb'", None),
            ("path", "'/srv/a\\x00b'", None),
            ("url", "https://example.org/a.mp4).", Some("https://example.org/a.mp4")),
            ("url", "https://example.org/a.mp4\"}", Some("https://example.org/a.mp4")),
        ] {
            assert_eq!(normal(name, value).as_deref(), want, "{name} {value}");
        }
    }

    #[test]
    fn an_event_fills_in_what_its_rule_left_out() {
        let filled = |before: &[(&str, &str)], event: &str| {
            let mut captures: Captures = before.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            fill(&mut captures, Class::DiskFull, event.as_bytes(), &[]);
            captures.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
        };
        let event = "ERROR - failed https://a.example/v.mp4\nTraceback (most recent call last):\nTimeoutError\n";
        assert_eq!(filled(&[], event), "url=https://a.example/v.mp4");
        assert_eq!(filled(&[("url", "x")], event), "url=x");
        assert_eq!(filled(&[], "429\nRetry-After: 30\n"), "retry_after=30");
        assert_eq!(filled(&[], "429\n  retry_after_ms: 8213\n"), "retry_after=9");
        assert_eq!(filled(&[], "429 Retry-After: 147987 ms"), "retry_after=148");
        assert_eq!(filled(&[("retry_after", "5")], "Retry-After: 30"), "retry_after=5");
        assert_eq!(filled(&[], "failed to save /srv/in/a.mp4\nOSError: [Errno 28]"), "path=/srv/in/a.mp4");
        assert_eq!(filled(&[("path", "b.mp4")], "failed to save /srv/in/a.mp4"), "path=b.mp4");
        assert_eq!(
            filled(&[("path", "/srv/in/It")], "cat: /srv/in/It's.mp4: Permission denied"),
            "path=/srv/in/It's.mp4"
        );
        assert_eq!(filled(&[("path", "/srv/in/a")], "cat: /srv/in/a: b: Permission denied"), "path=/srv/in/a");
        assert_eq!(
            filled(&[("path", "/srv/in/a")], "mv: cannot move '/srv/in/a' to 'b/a.mp4': Permission denied"),
            "path=/srv/in/a"
        );
        for (event, want) in [
            ("checksum mismatch, want=0x1 got=0x2 [file=102.ldb]", "path=102.ldb"),
            ("At least one error was detected in a.zip.", "path=a.zip"),
            ("unexpected end of file in archive a.deb, of b.deb", ""),
            ("decode error: a.jpg of /srv/in/b.jpg and /srv/in/c.jpg", ""),
            ("bad answer of https://a.example/x.json", "url=https://a.example/x.json"),
            ("cannot read, see error.log", ""),
        ] {
            assert_eq!(filled(&[], event), want, "{event}");
        }
        let traceback = "Traceback (most recent call last):\n  File \"/app/a.py\", line 1, in f\n    open('/srv/x/y')\nOSError: (name = '/srv/in/a.h5', errno = 2)";
        assert_eq!(filled(&[], traceback), "path=/srv/in/a.h5");
        assert_eq!(filled(&[], "nothing of the kind"), "");
        for (event, want) in [
            ("cat: notes: No such file or directory", None),
            ("panic: open .saver: no such file or directory", None),
            ("cat: notes.txt: No such file or directory", Some("notes.txt")),
            ("cat: in/notes: No such file or directory", Some("in/notes")),
        ] {
            let mut captures = Captures::new();
            fill(&mut captures, Class::MissingPath, event.as_bytes(), &[]);
            assert_eq!(captures.get("path").map(String::as_str), want, "{event}");
        }
        let mut captures = Captures::new();
        fill(&mut captures, Class::Timeout, b"/srv/in/a.mp4 timed out", &[]);
        assert!(captures.is_empty(), "what timed out is not of this machine");
    }
}
