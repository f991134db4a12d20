//! Tells which unknown errors are alike. Pure.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use super::event;
use super::plain::plain;

/// How much of a shape is kept, in bytes: beyond it two events are alike.
const MAX_SHAPE: usize = 200;

/// What differs between events that are alike: quoted words, addresses, paths, numbers, identifiers.
static VARIES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let pattern = r#"(?x)
        '[^'\n]{0,300}' | "[^"\n]{0,300}" | [a-z]{2,10}://\S{1,300} | (?:/[\w.@+-]{1,100}){2,20}
        | \b(?:0x)?[0-9a-f]{6,64}\b | \d[\d.,:]{0,40}"#;
    RegexBuilder::new(pattern).unicode(false).build().ok()
});

/// The event's deciding words, with `#` for whatever differs between events that are alike.
pub(super) fn shape(text: &[u8]) -> String {
    let plain = plain(text);
    let parts = event::parts(&plain);
    let message = parts.first().map(super::event::Part::message).unwrap_or_default();
    let line = message.split(|&b| b == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let line = &line[..line.len().min(4 * MAX_SHAPE)];
    let masked = VARIES.as_ref().map_or_else(|| line.into(), |varies| varies.replace_all(line, &b"#"[..]));
    let mut shape = String::from_utf8_lossy(&masked).trim().to_owned();
    while shape.len() > MAX_SHAPE {
        shape.pop();
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::shape;

    #[test]
    fn events_that_differ_in_names_and_numbers_only_have_one_shape() {
        let first = b"2026-01-02 03:04:05,678 - bot - ERROR - job 7 of 'ana' broke at /srv/bot/a.mp4 (0x7f00ab12cd34)";
        let second =
            b"2026-01-02 03:09:55,001 - bot - ERROR - job 12 of 'bea' broke at /srv/bot/b.mp4 (0x7f00ab12cd99)";
        assert_eq!(shape(first), shape(second));
        assert_eq!(shape(first), "job # of # broke at # (#)");
    }
}
