//! Finds the one URL that an event is about. Pure.

/// How many URLs are looked at: an event that names more is about none of them.
const MAX_LINKS: usize = 16;

/// The longest URL.
const MAX_URL: usize = 2048;

/// What can be fetched, or is watched while it is sent.
const SCHEMES: &[&[u8]] =
    &[b"http", b"https", b"ftp", b"ftps", b"sftp", b"rtmp", b"rtmps", b"rtsp", b"rtsps", b"mms", b"ws", b"wss"];

/// Hosts that explain errors, with what their paths begin with.
const HELP: &[(&str, &str)] = &[
    ("developer.mozilla.org", ""),
    ("curl.haxx.se", ""),
    ("curl.se", "/docs"),
    ("curl.se", "/libcurl"),
    ("nodejs.org", ""),
    ("core.telegram.org", ""),
    ("sqlalche.me", ""),
    ("stackoverflow.com", ""),
    ("readthedocs.io", ""),
    ("readthedocs.org", ""),
    ("errors.pydantic.dev", ""),
    ("yt-dl.org", "/bug"),
    ("yt-dl.org", "/update"),
    ("ffmpeg.org", "/bug"),
    ("trac.ffmpeg.org", ""),
    ("rclone.org", ""),
    ("aka.ms", ""),
    ("go.microsoft.com", ""),
    ("learn.microsoft.com", ""),
    ("python.org", "/dev"),
    ("t.me", "/BotFather"),
];

/// First parts of a host, and parts of a path, under which projects explain and take reports.
const HELP_WORDS: &[&str] = &[
    "help",
    "docs",
    "doc",
    "documentation",
    "faq",
    "wiki",
    "issues",
    "issue",
    "bugs",
    "bugreports",
    "support",
    "report",
];

/// The URL, when the event names exactly one, or one and what it lies below; links to help do not count.
pub(super) fn only(event: &[u8]) -> Option<String> {
    let mut found: Option<&str> = None;
    let mut number = 0;
    for at in memchr::memmem::find_iter(event, b"://") {
        let Some(url) = link(event, at) else { continue };
        if is_source(event, at) || is_help(url) || found == Some(url) {
            continue;
        }
        number += 1;
        // Of a server and something of it the latter is meant.
        let (short, long) =
            found.map_or(("", url), |other| if other.len() < url.len() { (other, url) } else { (url, other) });
        if number > MAX_LINKS || !long.starts_with(short) {
            return None;
        }
        found = Some(long);
    }
    found.map(str::to_owned)
}

/// The URL in a field of that name, of an object or of `url=…`: what failed, where the message names others.
pub(super) fn field(event: &[u8]) -> Option<String> {
    let from = KEYS.iter().find_map(|key| Some(memchr::memmem::find(event, key)? + key.len()))?;
    let rest = &event[from..];
    let gap = rest.iter().take_while(|b| b" :\"".contains(b)).count();
    let scheme = rest[gap..].iter().take(6).take_while(|b| b.is_ascii_alphanumeric()).count();
    let at = from + gap + scheme;
    let url = event[at..].starts_with(b"://").then(|| link(event, at)).flatten()?;
    (!is_help(url)).then(|| url.to_owned())
}

/// What stands before the URL in such a field.
const KEYS: [&[u8]; 3] = [b"\"url\"", b"\"uri\"", b" url="];

/// The URL round the `://` at this place.
fn link(event: &[u8], at: usize) -> Option<&str> {
    let letters = event[..at].iter().rev().take(6).take_while(|b| b.is_ascii_alphanumeric()).count();
    let start = at - letters;
    if !SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(&event[start..at])) {
        return None;
    }
    let rest = &event[at + 3..event.len().min(at + MAX_URL)];
    let mut length = 0;
    while let Some(&b) = rest.get(length) {
        // `/bot<token>/getFile`: what took a secret out of the log.
        if b == b'<' {
            let Some(word) = rest[length..].iter().take(24).position(|b| *b == b'>') else { break };
            if !rest[length + 1..length + word].iter().all(|b| b.is_ascii_alphabetic() || *b == b'_') {
                break;
            }
            length += word + 1;
            continue;
        }
        if b <= b' ' || matches!(b, b'"' | b'\'' | b'>' | b'`' | b'\\' | b'|' | b'{' | b'}' | 0x7f) {
            break;
        }
        length += 1;
    }
    let text = &event[start..at + 3 + length];
    // Typographic quotes end it too, and bytes that are no text.
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).ok()?,
    };
    let text = text.split(['’', '”', '“', '»', '«', '」', '\u{a0}', '…']).next()?;
    let text = balanced(text.trim_end_matches(['.', ',', ';', ':', '!', '?', '*']));
    (text.len() > at + 3 - start).then_some(text)
}

/// Without the closing bracket that belongs to the sentence.
pub(super) fn balanced(mut text: &str) -> &str {
    for (open, close) in [('(', ')'), ('[', ']')] {
        let mut depth = 0_i32;
        for (at, c) in text.char_indices() {
            depth += i32::from(c == open) - i32::from(c == close);
            if depth < 0 {
                text = &text[..at];
                break;
            }
        }
    }
    text.trim_end_matches(['.', ',', ';', ':', '!', '?'])
}

/// Whether the place is in a line of source code that a traceback quotes.
fn is_source(event: &[u8], at: usize) -> bool {
    let start = memchr::memrchr(b'\n', &event[..at]).map_or(0, |end| end + 1);
    if start == 0 || !event[start..].starts_with(b"    ") {
        return false;
    }
    let before = memchr::memrchr(b'\n', &event[..start - 1]).map_or(0, |end| end + 1);
    event[before..].starts_with(b"  File \"")
}

/// Whether it leads to help with errors instead of to what failed.
fn is_help(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
    let host = host.to_ascii_lowercase();
    let of = |name: &str| host == name || host.strip_suffix(name).is_some_and(|before| before.ends_with('.'));
    let mut parts = path.split(['/', '?', '#']).skip(1);
    if of("github.com") || of("gitlab.com") || of("codeberg.org") {
        return parts.nth(2).is_some_and(|part| matches!(part, "issues" | "wiki" | "pull" | "blob" | "discussions"));
    }
    HELP.iter().any(|(name, start)| of(name) && path.starts_with(start))
        || host.split('.').next().is_some_and(|first| HELP_WORDS.contains(&first))
        || parts.next().is_some_and(|first| HELP_WORDS.contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_urls_the_field_tells() {
        for (event, want) in [
            (r#"{"url": "http://a.example/1", "error": "x http://a.example/2"}"#, Some("http://a.example/1")),
            ("level=error url=http://a.example/1 err=\"x http://a.example/2\"", Some("http://a.example/1")),
            (r#"{"url":null,"error":"http://a.example/2"}"#, None),
            (r#"{"urls":["http://a.example/2"]}"#, None),
            ("", None),
        ] {
            assert_eq!(field(event.as_bytes()).as_deref(), want, "{event}");
        }
    }

    #[test]
    fn the_only_url_is_found() {
        for (event, want) in [
            ("failed: https://a.example/v(1).mp4).", Some("https://a.example/v(1).mp4")),
            ("(see https://a.example/v.mp4)", Some("https://a.example/v.mp4")),
            ("url=\"ftp://a.example/v.mp4\", again 'ftp://a.example/v.mp4'", Some("ftp://a.example/v.mp4")),
            ("input rtsp://cam.example:554/a?b=1 due to: timed out", Some("rtsp://cam.example:554/a?b=1")),
            ("redis://cache.example:6379 refused", None),
            ("https://a.example/1 https://a.example/2", None),
            ("‘https://a.example/v.mp4’: x", Some("https://a.example/v.mp4")),
            (
                "https://api.telegram.org/bot[REDACTED]/getUpdates: x",
                Some("https://api.telegram.org/bot[REDACTED]/getUpdates"),
            ),
            (
                "[https://api.telegram.org/file/bot<token>/a.mp4]",
                Some("https://api.telegram.org/file/bot<token>/a.mp4"),
            ),
            ("<a href=https://a.example/v.mp4>", Some("https://a.example/v.mp4")),
            (
                "503 for https://a.example/v.mp4\nFor more information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/503",
                Some("https://a.example/v.mp4"),
            ),
            ("see https://curl.haxx.se/libcurl/c/libcurl-errors.html", None),
            ("report at https://github.com/yt-dlp/yt-dlp/issues?q= now", None),
            (
                "https://github.com/o/r/releases/download/1/a.zip x",
                Some("https://github.com/o/r/releases/download/1/a.zip"),
            ),
            ("https://docs.aiogram.dev/x https://nodejs.org/api/errors.html https://a.example/help/x", None),
            ("magnet://x udp://a.example:1 file:///a xhttps://", None),
            ("Traceback\n  File \"a.py\", line 1, in f\n    get(\"https://a.example/api\")\nE: x", None),
            ("a://b", None),
            ("", None),
        ] {
            assert_eq!(only(event.as_bytes()).as_deref(), want, "{event}");
        }
    }
}
