//! The small pieces of which prefixes consist: separators, brackets, names. Pure.

use super::{MAX_BOX, MAX_NAME};

/// What separates two fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sep {
    /// Nothing: two brackets.
    None,
    Space,
    Tab,
    /// ` - `
    Dash,
    /// `|`, ` | `
    Bar,
    /// `: `
    Colon,
    /// `:` with nothing behind it.
    Tight,
}

/// What separates two fields, and how long it is.
pub(super) fn separator(rest: &[u8]) -> Option<(usize, Sep)> {
    let before = blanks(rest);
    let tab = rest[..before].contains(&b'\t');
    let mark = rest.get(before).copied().unwrap_or(b'\n');
    let after = blanks(rest.get(before + 1..).unwrap_or_default());
    Some(match mark {
        b'-' if before > 0 && after > 0 => (before + 1 + after, Sep::Dash),
        b'|' => (before + 1 + after, Sep::Bar),
        b':' if after > 0 => (before + 1 + after, Sep::Colon),
        b':' if rest.get(before + 1) == Some(&b':') => (before + 2, Sep::Tight),
        b':' if before == 0 => (1, Sep::Tight),
        _ if tab => (before, Sep::Tab),
        _ if before > 0 => (before, Sep::Space),
        _ => return None,
    })
}

/// `a.b.c`, `a::b`, `mod.<locals>.f`, and `mod:fn:12` if colons may stand in it.
pub(super) fn name_length(text: &[u8], colons: bool) -> usize {
    let mut at = 0;
    while at < text.len().min(MAX_NAME) {
        let b = text[at];
        let next = text.get(at + 1).copied().unwrap_or(b' ');
        let goes_on = match b {
            b':' if next == b':' => at > 0 && text.get(at + 2).is_some_and(|b| is_word(*b)),
            b':' => at > 0 && colons && (is_word(next) || next == b'<'),
            b'.' | b'/' | b'-' | b'<' | b'>' => at > 0,
            _ => is_word(b),
        };
        if !goes_on {
            break;
        }
        at += if b == b':' && next == b':' { 2 } else { 1 };
    }
    // `12: …` is no name.
    if text.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') { at } else { 0 }
}

/// The content of the bracket that the text starts with, and its length with both brackets.
pub(super) fn boxed(text: &[u8]) -> Option<(&[u8], usize)> {
    let close = match text.first()? {
        b'[' => b']',
        b'(' => b')',
        _ => return None,
    };
    let end = memchr::memchr(close, &text[..text.len().min(MAX_BOX)])?;
    Some((&text[1..end], end + 1))
}

pub(super) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| is_word(*b) || b"./:-".contains(b))
}

/// `Jackett.Common.X: `
pub(super) fn is_dotted_logger(text: &[u8]) -> bool {
    let name = &text[..name_length(text, true)];
    name.contains(&b'.') && text[name.len()..].starts_with(b": ") && !is_exception(name)
}

/// `httpx.ReadError`, `pyrogram.errors.FloodWait`: a name that tells what happened, not who says it.
pub(super) fn is_exception(name: &[u8]) -> bool {
    let last = name.rsplit(|b| b".:".contains(b)).next().unwrap_or(name);
    if !last.first().is_some_and(u8::is_ascii_uppercase) {
        return false;
    }
    let ends = [&b"Error"[..], b"Exception", b"Timeout", b"Warning", b"Interrupt", b"Failure", b"Exit"];
    ends.iter().any(|end| last.ends_with(end))
        || name.split(|b| b".:".contains(b)).any(|part| matches!(part, b"error" | b"errors" | b"exceptions"))
}

/// Behind these stand words of a person: the pack of people asks for them.
const TOLD: [&[u8]; 14] = [
    b"caption",
    b"comment",
    b"description",
    b"filename",
    b"message",
    b"prompt",
    b"query",
    b"reply",
    b"search",
    b"song",
    b"subject",
    b"text",
    b"title",
    b"track",
];

/// Whether this is the name of a program that begins what it says with its own name.
pub(in crate::classify) fn is_tool(name: &[u8]) -> bool {
    TOOLS.binary_search_by(|tool| tool.as_bytes().cmp(name)).is_ok()
}

/// Programs whose name belongs to what they say, in order: a bot that logs their words names no logger by it.
const TOOLS: [&str; 68] = [
    "aria2c",
    "bash",
    "bsdtar",
    "bunzip2",
    "bzip2",
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "cp",
    "cpio",
    "curl",
    "dash",
    "dd",
    "df",
    "du",
    "ffmpeg",
    "ffprobe",
    "find",
    "gallery-dl",
    "git",
    "grep",
    "gtar",
    "gunzip",
    "gzip",
    "head",
    "install",
    "ln",
    "ls",
    "lz4",
    "lzma",
    "mariadb-dump",
    "mkdir",
    "mktemp",
    "mv",
    "mysqldump",
    "pg_dump",
    "pg_restore",
    "psql",
    "rclone",
    "rm",
    "rmdir",
    "rsync",
    "scp",
    "sed",
    "sftp",
    "sh",
    "sort",
    "ssh",
    "stat",
    "streamlink",
    "svn",
    "tail",
    "tar",
    "tee",
    "touch",
    "truncate",
    "unrar",
    "unxz",
    "unzip",
    "wget",
    "xz",
    "youtube-dl",
    "yt-dlp",
    "zcat",
    "zip",
    "zsh",
    "zstd",
];

/// Words with which sentences begin, and programs whose name belongs to what they say.
pub(super) fn is_speech(name: &[u8]) -> bool {
    TOLD.contains(&name)
        || matches!(name, b"error" | b"warning" | b"fatal" | b"failed" | b"failure" | b"cause" | b"reason")
        || is_tool(name)
}

/// `HttpClient`, `DownloadService`: two words in one.
pub(super) fn is_compound(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_alphanumeric) && name.iter().filter(|b| b.is_ascii_uppercase()).count() > 1
}

/// `a.mkv`
pub(super) fn is_file(name: &[u8]) -> bool {
    const ENDS: [&[u8]; 14] = [
        b"mp4", b"mkv", b"webm", b"avi", b"mov", b"ts", b"mp3", b"m4a", b"jpg", b"png", b"zip", b"rar", b"part", b"pdf",
    ];
    name.iter().rposition(|b| *b == b'.').is_some_and(|dot| ENDS.contains(&&name[dot + 1..]))
}

pub(super) fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

pub(super) fn letters(text: &[u8], most: usize) -> usize {
    text.iter().take(most).take_while(|b| b.is_ascii_alphabetic()).count()
}

pub(super) fn spaces(text: &[u8]) -> usize {
    text.iter().take_while(|b| **b == b' ').count()
}

pub(super) fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|b| matches!(b, b' ' | b'\t')).count()
}
