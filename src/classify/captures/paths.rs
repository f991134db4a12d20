//! Finds the one local path that an event is about. Pure.
//!
//! Many rules win on the cause (`No space left on device`) while the file stands elsewhere: in the line before, in a field of a
//! structured log, behind the words of whoever logged it. Only absolute paths count, and only where no second one is named.

use super::QUOTES;
use super::links::balanced;

/// How many beginnings of a path are looked at: an event that names more is about none of them.
const MAX_STARTS: usize = 64;

/// The longest path Linux takes.
const MAX_PATH: usize = 4096;

/// What paths of programs begin with: they say who failed, not on what.
const PROGRAMS: &[&str] =
    &["/bin/", "/dev/", "/lib/", "/lib64/", "/proc/", "/sbin/", "/sys/", "/usr/bin/", "/usr/lib/", "/usr/local/lib/"];

/// Parts of paths below which programs keep their own files.
const LIBRARIES: &[&str] =
    &["/site-packages/", "/dist-packages/", "/node_modules/", "/lib/python", "/.cargo/registry/"];

/// What source files end with: tracebacks of every language name them. Not `ts`, which films end with as well.
const SOURCES: &[&str] = &[
    "c", "cc", "cjs", "cpp", "cs", "ex", "exs", "go", "h", "java", "js", "jsx", "kt", "mjs", "php", "pl", "pm", "py",
    "pyx", "rb", "rs", "tsx",
];

/// The path that an event is about.
pub(super) fn named(event: &[u8]) -> Option<String> {
    only(event).or_else(|| before_words(event))
}

/// The whole of a path that a rule cut at a quote in its name.
pub(super) fn whole(event: &[u8], cut: &str) -> Option<String> {
    let is_quote = |c: char| QUOTES.iter().any(|&(open, close)| c == open || c == close);
    let path = before_words(event)?;
    path.strip_prefix(cut)?.starts_with(is_quote).then_some(path)
}

/// What the system says of a file, at the end of a line.
const WORDS: &[&str] = &[
    "No such file or directory",
    "Not a directory",
    "Is a directory",
    "Permission denied",
    "Operation not permitted",
    "Read-only file system",
    "No space left on device",
    "Disk quota exceeded",
];

/// The path before the system's words that end a line: `lzop: /srv/a b.mp4: can't open input file: Permission denied`. There its end is
/// known, whatever the name holds; when two are named, it is nobody's.
fn before_words(event: &[u8]) -> Option<String> {
    let event = String::from_utf8_lossy(event);
    event.lines().filter(|line| !is_frame(line)).find_map(|line| {
        let line = line.trim_end_matches(['.', ')', ' ']);
        let before = WORDS.iter().find_map(|words| line.strip_suffix(words))?;
        let before = before.strip_suffix(": ").or_else(|| before.strip_suffix(" ("))?;
        let before = before.rsplit_once(": ").filter(|(_, last)| is_sentence(last)).map_or(before, |(first, _)| first);
        let quoted = QUOTES.iter().find_map(|(open, end)| {
            let inner = before.strip_suffix(*end)?;
            let is_opening = |(at, open): &(usize, &str)| {
                let before = inner[..*at].chars().next_back();
                inner[at + open.len()..].starts_with('/') && before.is_none_or(char::is_whitespace)
            };
            let (at, open) = inner.rmatch_indices(*open).find(is_opening)?;
            Some((at + open.len(), &inner[at + open.len()..]))
        });
        let bare = || {
            let mut starts = before.match_indices('/').filter(|(at, _)| starts_here(before, *at));
            let (start, _) = starts.next()?;
            starts.next().is_none().then(|| (start, &before[start..]))
        };
        let (start, path) = quoted.or_else(bare)?;
        let usable = components(path) && path.len() <= MAX_PATH && !path.contains(char::is_control);
        (usable && !is_foreign(line, start, path)).then(|| path.to_owned())
    })
}

/// Whether a path begins at this separator: behind a space, or a program's name and its colon.
fn starts_here(line: &str, at: usize) -> bool {
    let before = line[..at].chars().next_back();
    before.is_none_or(|c| c.is_whitespace() || "=:(".contains(c)) && !line[at..].starts_with("//")
}

/// `can't open input file`: words alone.
fn is_sentence(text: &str) -> bool {
    text.contains(' ') && text.chars().all(|c| c.is_alphabetic() || " '’,-".contains(c))
}

/// The path, when the event names exactly one.
fn only(event: &[u8]) -> Option<String> {
    let event = String::from_utf8_lossy(event);
    let mut found: Option<&str> = None;
    let (mut starts, mut quoted) = (0, false);
    for line in event.lines() {
        // A line of source code that a traceback quotes stands behind the one that names its file.
        let is_source = std::mem::replace(&mut quoted, line.starts_with("  File \"")) && line.starts_with("    ");
        if quoted || is_source || is_frame(line) {
            continue;
        }
        let mut end = 0;
        for (at, _) in line.match_indices(['/', '\\']) {
            if at < end {
                continue;
            }
            let Some(start) = start(line, at) else { continue };
            starts += 1;
            if starts > MAX_STARTS {
                return None;
            }
            match token(line, start) {
                Token::Path(path) => {
                    end = start + path.len();
                    if is_foreign(line, start, path) || found == Some(path) {
                        continue;
                    }
                    if found.is_some() {
                        return None;
                    }
                    found = Some(path);
                }
                Token::Unsure => return None,
                Token::None => {}
            }
        }
    }
    found.map(str::to_owned)
}

/// What stands where a path begins.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Path(&'a str),
    /// A path whose end cannot be told: it may go on behind a space.
    Unsure,
    None,
}

/// Where the path begins whose first separator is at this place; `None`: none does.
fn start(line: &str, at: usize) -> Option<usize> {
    let bytes = line.as_bytes();
    let start = if bytes[at] == b'/' {
        at
    } else {
        // `C:\`
        at.checked_sub(2).filter(|drive| bytes[*drive].is_ascii_alphabetic() && bytes[*drive + 1] == b':')?
    };
    let before = line[..start].chars().next_back();
    let begins =
        before.is_none_or(|c| c.is_whitespace() || "=([{".contains(c) || QUOTES.iter().any(|(open, _)| *open == c));
    begins.then_some(start)
}

fn token(line: &str, start: usize) -> Token<'_> {
    let rest = &line[start..];
    let windows = !rest.starts_with('/');
    let quoted = QUOTES.iter().filter(|(open, _)| line[..start].ends_with(*open));
    let closed = quoted.filter_map(|(_, close)| rest.find(*close)).min();
    let path = match closed {
        // A quote inside a quoted text (JSON) is escaped.
        Some(end) => rest[..end].strip_suffix('\\').filter(|_| !windows).unwrap_or(&rest[..end]),
        None => match unquoted(rest, windows) {
            Some(path) => path,
            None => return Token::Unsure,
        },
    };
    let is_control = |c: char| c.is_control() || "?*|<>\u{fffd}".contains(c);
    let whole = if windows { path.len() > 3 } else { components(path) };
    if !whole || path.len() > MAX_PATH || path.contains(is_control) { Token::None } else { Token::Path(path) }
}

/// Two components at least: `/start` is what people tell a bot.
fn components(path: &str) -> bool {
    let mut parts = path[1..].splitn(2, '/');
    let first = parts.next().is_some_and(|part| !part.is_empty() && !part.contains(' '));
    first && parts.next().is_some_and(|part| !part.is_empty() && !part.starts_with('/'))
}

/// The path that begins here without quotes; `None`: nobody can tell where it ends.
fn unquoted(rest: &str, windows: bool) -> Option<&str> {
    let stops = |c: char| c.is_whitespace() || c.is_control() || "\"'`|<>’”»".contains(c);
    let mut end = rest.find(stops).unwrap_or(rest.len());
    if windows && let Some(colon) = rest[2..end].find(':') {
        end = colon + 2;
    }
    let raw = &rest[..end];
    let path = balanced(raw.trim_end_matches(['.', ',', ';', ':', '!', '…', '}']));
    let goes_on = path.len() == raw.len() && rest[end..].starts_with(' ') && extension(path).is_none();
    (!goes_on).then_some(path)
}

/// What its last component ends with.
fn extension(path: &str) -> Option<&str> {
    let name = path.rsplit(['/', '\\']).next()?;
    let (stem, extension) = name.rsplit_once('.')?;
    let is_one = (1..=5).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_one && !stem.is_empty()).then_some(extension)
}

/// Whether it is a step of a stack.
fn is_frame(line: &str) -> bool {
    let step = line.trim_start();
    let numbered = || step.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    (step.len() < line.len() && step.starts_with("at ")) || numbered()
}

/// Whether it is no file that the event is about: a program's own, or what was asked of a server.
fn is_foreign(line: &str, start: usize, path: &str) -> bool {
    if PROGRAMS.iter().any(|program| path.starts_with(program)) || LIBRARIES.iter().any(|part| path.contains(part)) {
        return true;
    }
    // `/app/bot.py:12`, `/app/bot.ts:12:7`
    let mut plain = path;
    while let Some(file) = plain.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix(':') {
        plain = file;
    }
    if extension(plain).is_some_and(|extension| SOURCES.contains(&extension)) {
        return true;
    }
    // With its token, or with what took that out of the log.
    let called = &line[start..];
    let called = called.strip_prefix("/file").unwrap_or(called);
    if called
        .strip_prefix("/bot")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || "<[".contains(c)))
    {
        return true;
    }
    let before = line[..start].trim_end_matches(['"', '\'', ' ']);
    let asked = ["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"].iter().any(|verb| before.ends_with(verb));
    asked || line[start + path.len()..].starts_with(" HTTP/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_the_path_before_the_systems_words_is_found_whatever_its_name_holds() {
        for (event, want) in [
            (
                "lzop: /srv/My Film (2024).mkv: can't open input file: Permission denied",
                Some("/srv/My Film (2024).mkv"),
            ),
            ("gifsicle:/srv/in/It's here.mp3: No such file or directory", Some("/srv/in/It's here.mp3")),
            ("grep: /srv/in/say \"hi\".txt: No such file or directory.", Some("/srv/in/say \"hi\".txt")),
            ("mv: cannot move '/srv/a/x' to '/srv/b/It's': Permission denied", Some("/srv/b/It's")),
            ("file: cannot open `/srv/in/100% done.mp4' (No such file or directory)", Some("/srv/in/100% done.mp4")),
            (
                "ld: cannot find /srv/in/disk full: retry.log: No such file or directory",
                Some("/srv/in/disk full: retry.log"),
            ),
            ("rename /srv/a/x /srv/b/x: Permission denied", None),
            ("https://a.example/srv/x: Permission denied", None),
            ("/start: Permission denied", None),
            ("/usr/bin/x: Permission denied", None),
            ("Permission denied", None),
            ("open: Permission denied: /srv/a/x", None),
        ] {
            assert_eq!(before_words(event.as_bytes()).as_deref(), want, "{event}");
        }
    }

    #[test]
    fn a5_the_only_path_is_found() {
        for (event, want) in [
            ("level=error msg=\"copy body\" dst=/srv/dl/a.mp3.part err=\"unexpected EOF\"", Some("/srv/dl/a.mp3.part")),
            (
                "Error: Io(Os { code: 2 })\nbot: could not read \"/etc/bot/my cookies.txt\"",
                Some("/etc/bot/my cookies.txt"),
            ),
            ("creating /srv/saver/spool\n  1: Permission denied", Some("/srv/saver/spool")),
            ("{\"msg\":\"open \\\"/srv/in/x\\\": denied\"}", Some("/srv/in/x")),
            ("/srv/a b.mp4: Permission denied", None),
            ("/srv/a.mp4: cannot write to /srv/a.mp4 now", Some("/srv/a.mp4")),
            ("move '/tmp/a/x' -> '/srv/b/x'", None),
            ("(/srv/a/b(1).mp4)", Some("/srv/a/b(1).mp4")),
            ("ERROR 5 (0x5) Copying File E:\\In\\e15.mkv\nAccess is denied.", Some("E:\\In\\e15.mkv")),
            ("ObjectNotFound: (C:\\In\\t.mp4:String) [Copy-Item]", Some("C:\\In\\t.mp4")),
            ("nicht möglich: »/srv/ein/b.bin«", Some("/srv/ein/b.bin")),
            ("/start /get/ https://a.example/srv/a.mp4 and/or 3 MB/s 2026/11/26 host:/srv/a", None),
            ("GET /srv/a/b HTTP/1.1", None),
            ("\"POST /srv/a/b\" 500", None),
            ("path: '/bot123:ABC/getFile' /file/bot<token>/x", None),
            ("/usr/bin/ffmpeg: /dev/null: error", None),
            ("Traceback\n  File \"/srv/app/bot\", line 1\n    open('/srv/app/x')\nE: x", None),
            ("E: x\n    at run (/srv/app/x:1:2)\n#0 /var/www/x(12): f()", None),
            ("in /var/www/x.php on line 3; /srv/app/y.js:12:7", None),
            ("spawn /app/node_modules/x/bin/y EACCES", None),
            ("Writing output to\n/mnt/usb/z.ts\nerror: [Errno 28]", Some("/mnt/usb/z.ts")),
            ("/srv/a/b?x=1 /srv/a/*.mp4", None),
            ("", None),
        ] {
            assert_eq!(only(event.as_bytes()).as_deref(), want, "{event}");
        }
        let many = "/srv/a/b.mp4 ".repeat(MAX_STARTS + 1);
        assert_eq!(only(many.as_bytes()), None, "too many to be about one");
    }

    proptest::proptest! {
        #[test]
        fn a5_a_path_that_is_found_stands_in_the_event(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "/", "\\", "C:\\", "/srv/", "a.mp4", "é", "»", "«", "'", "\"", "`", "\\\"", " ", "\n", ":", "(", ")", ".", "=", "GET ",
                    "  File \"", "    ", "at ", "#1 ", "/bot1", "12", "\u{0}", ": Permission denied", " (Not a directory)", ": can't ",
                ]),
                0..40,
            ),
        ) {
            let event = pieces.concat();
            for path in [only(event.as_bytes()), before_words(event.as_bytes())].into_iter().flatten() {
                proptest::prop_assert!(event.contains(&path) && path.len() > 3 && !path.contains('\n'), "{path:?} in {event:?}");
            }
        }
    }
}
