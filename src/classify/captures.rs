//! Brings what a rule read out of a line into one form. Pure. Everything here is a stranger's text.

use regex::bytes::Regex;

use crate::vocab::Captures;

/// The groups a pattern may name.
pub(super) const NAMES: &[&str] = &["path", "url", "file_id", "job", "retry_after", "size", "name", "file_path"];

/// The longest value kept, in bytes: the longest path Linux takes.
const MAX_VALUE: usize = 4096;

/// The longest wait believed, in seconds (a year): FLOOD_WAIT of days exist, more is nonsense.
const MAX_WAIT: f64 = 366.0 * 86_400.0;

/// The named groups of the first match, in normal form. Values that have none (empty, binary, endless) are left out.
pub(super) fn read(regex: &Regex, text: &[u8]) -> Captures {
    let mut out = Captures::new();
    let Some(found) = regex.captures(text) else { return out };
    for name in regex.capture_names().flatten() {
        let Some(value) = found.name(name) else { continue };
        // One name may be in two groups of an alternation, told apart by a trailing number: path, path2.
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
        if let Some(value) = normal(name, &String::from_utf8_lossy(value.as_bytes())) {
            out.entry(name.to_owned()).or_insert(value);
        }
    }
    out
}

fn normal(name: &str, value: &str) -> Option<String> {
    let value = match name {
        "retry_after" => seconds(value)?.to_string(),
        "size" => whole_number(value)?,
        "url" => {
            value.trim().trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '>', '\'', '"', '…']).to_owned()
        }
        "path" | "name" | "file_path" => unquoted(value.trim()),
        _ => value.trim().trim_matches(['"', '\'']).to_owned(),
    };
    let usable = !value.is_empty() && value.len() <= MAX_VALUE && !value.contains(['\0', '\n', '\r']);
    usable.then_some(value)
}

/// Takes off a pair of quotes; Python's and Rust's escapes inside straight ones are resolved.
fn unquoted(value: &str) -> String {
    const PAIRS: &[(char, char)] =
        &[('\'', '\''), ('"', '"'), ('‘', '’'), ('“', '”'), ('`', '\''), ('`', '`'), ('«', '»')];
    for &(open, close) in PAIRS {
        if let Some(inner) = value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            return if matches!(open, '\'' | '"') { unescaped(inner) } else { inner.to_owned() };
        }
    }
    value.to_owned()
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

/// Whole seconds, rounded up: `3`, `1.5`, `27 seconds`, `1m30s`, `00:01:30`.
fn seconds(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let mut total = 0.0;
    if text.contains(':') {
        for piece in text.split(':') {
            total = total * 60.0 + piece.parse::<f64>().ok()?;
        }
    } else {
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let number: f64 = rest[..digits].parse().ok()?;
            rest = rest[digits..].trim_start();
            let unit = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            total += number
                * match &rest[..unit] {
                    "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
                    "ms" => 0.001,
                    "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
                    "h" | "hour" | "hours" => 3600.0,
                    "d" | "day" | "days" => 86_400.0,
                    _ => return None,
                };
            rest = rest[unit..].trim_start();
        }
    }
    // Checked: finite, not negative, below a year, so the conversion is exact.
    (total.is_finite() && (0.0..=MAX_WAIT).contains(&total)).then(|| total.ceil() as u64)
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
            ("retry_after", "1m30s", Some("90")),
            ("retry_after", "3.0", Some("3")),
            ("retry_after", "0.2", Some("1")),
            ("retry_after", "2 minutes", Some("120")),
            ("retry_after", "00:01:30", Some("90")),
            ("retry_after", "99999999999999999999", None),
            ("retry_after", "soon", None),
            ("size", "1,358,822", Some("1358822")),
            ("path", "'/srv/it\\'s \\xe9 \\\\x.mp4'", Some("/srv/it's é \\x.mp4")),
            ("path", "‘a b.mp4’", Some("a b.mp4")),
            ("path", "/srv/plain\\n", Some("/srv/plain\\n")),
            ("path", "'/srv/a\\nb'", None),
            ("path", "'/srv/a\\x00b'", None),
            ("url", "https://example.org/a.mp4).", Some("https://example.org/a.mp4")),
        ] {
            assert_eq!(normal(name, value).as_deref(), want, "{name} {value}");
        }
    }
}
