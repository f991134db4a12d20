//! Renders text that strangers wrote. Pure. The one escaping point for terminals, messages and pages.

use std::borrow::Cow;

/// Whether a character could steer a terminal, reorder text or hide itself.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}'   // zero width, direction marks
            | '\u{2028}'..='\u{202e}' // line and paragraph separators, bidi embeddings and overrides
            | '\u{2060}'..='\u{2064}' // invisible operators
            | '\u{2066}'..='\u{206f}' // bidi isolates
            | '\u{061c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether nothing in the text is hostile. Nearly all of it is ASCII, and that is seen many bytes at a time.
fn is_plain(text: &str) -> bool {
    let is_printed = |byte: &u8| matches!(byte, b' '..=b'~');
    text.as_bytes().iter().all(is_printed) || !text.chars().any(is_hostile)
}

/// Text with every control, bidi and invisible character shown as an escape; newlines and tabs too.
///
/// What comes out can be written to a terminal, put into a message or a page: it is one line and steers nothing.
#[must_use]
pub fn clean_line(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Like [`clean_line`], but keeps newlines and tabs, for places that show several lines.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escape(text, |c| c == '\n' || c == '\t')
}

/// JSON in which every control, bidi and invisible character is written as `\\uXXXX`: the same value to a parser, and
/// harmless to the terminal of somebody who looks at the file.
#[must_use]
pub fn json_text(json: String) -> String {
    if is_plain(&json) {
        return json;
    }
    // Outside of strings, JSON has none of these.
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if is_hostile(c) {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

fn escape(text: &str, keep: fn(char) -> bool) -> Cow<'_, str> {
    if is_plain(text) || !text.chars().any(|c| is_hostile(c) && !keep(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hostile(c) && !keep(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// At most `limit` UTF-16 units of `text` (the unit in which Telegram counts), an ellipsis at the cut.
#[must_use]
pub fn shorten(text: &str, limit: usize) -> Cow<'_, str> {
    if utf16_len(text) <= limit {
        return Cow::Borrowed(text);
    }
    let mut units = 0;
    let mut end = 0;
    for (at, c) in text.char_indices() {
        units += c.len_utf16();
        if units + 1 > limit {
            break;
        }
        end = at + c.len_utf8();
    }
    Cow::Owned(format!("{}…", &text[..end]))
}

/// Length in UTF-16 units.
#[must_use]
pub fn utf16_len(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_becomes_one_harmless_line() {
        let nasty = "a\u{1b}[31mb\r\nc\u{202e}d\u{9b}e\u{7}";
        assert_eq!(clean_line(nasty), "a\\u{1b}[31mb\\r\\nc\\u{202e}d\\u{9b}e\\u{7}");
        assert_eq!(printable("a\n\tb\r"), "a\n\tb\\r");
    }

    #[test]
    fn json_keeps_its_value_and_loses_its_power() {
        let value = "a\u{9b}31m\u{202e}b\u{e0001}c\u{7f}\n\u{1b}";
        let json = json_text(serde_json::to_string(value).unwrap());
        assert!(json.chars().all(|c| !is_hostile(c)), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
    }

    #[test]
    fn shortening_counts_utf16_and_never_splits_a_character() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("abcd", 3), "ab…");
        assert_eq!(utf16_len(&shorten(&"😀".repeat(10), 5)), 5);
    }
}
