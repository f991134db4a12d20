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

/// How far the end of a name is looked for: Linux takes 255 bytes for each of its parts, and few programs write more than three.
const MAX_NAME: usize = 1024;

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

/// What files that bots fetch, make and keep end with.
const KINDS: &[&str] = &[
    "3gp", "7z", "aac", "ac3", "aof", "apk", "ass", "avi", "azw3", "bak", "bin", "bmp", "bz2", "cbz", "cer", "cfg",
    "ckpt", "conf", "crt", "csv", "db", "deb", "doc", "docx", "dmg", "epub", "exe", "flac", "flv", "gguf", "gif",
    "gpg", "gz", "h5", "heic", "htm", "html", "img", "ini", "iso", "jar", "jpeg", "jpg", "json", "ldb", "lock", "log",
    "lz4", "m2ts", "m3u8", "m4a", "m4b", "m4s", "m4v", "mid", "mkv", "mobi", "mov", "mp2", "mp3", "mp4", "mpeg", "mpg",
    "nfo", "npy", "npz", "nzb", "odt", "ogg", "ogv", "onnx", "opus", "pack", "par2", "parquet", "part", "pdf", "pem",
    "pid", "pkl", "png", "ppt", "pptx", "psd", "pt", "r00", "rar", "rdb", "rpm", "rtf", "sqlite", "srt", "sst", "svg",
    "tar", "tbz2", "tgz", "tif", "tiff", "tmp", "toml", "torrent", "ts", "txt", "txz", "vob", "vtt", "wav", "webm",
    "webp", "whl", "wma", "wmv", "wt", "xls", "xlsx", "xml", "xz", "yaml", "yml", "zip", "zst",
];

/// Words that go on behind a path without an ending: `in /srv/data or use …`.
const FUNCTION_WORDS: &[&str] = &[
    "already", "and", "at", "because", "but", "by", "cannot", "could", "does", "due", "exists", "failed", "for",
    "from", "has", "have", "is", "not", "on", "or", "to", "was", "with",
];

/// The path that an event is about.
pub(super) fn named(event: &[u8]) -> Option<String> {
    only(event).or_else(|| before_words(event))
}

/// The whole of a path that a rule cut at a quote in its name.
pub(super) fn whole(event: &[u8], cut: &str) -> Option<String> {
    // `'a' to 'b'` are two.
    let is_next = |rest: &str| [" to ", " -> ", " => ", " and ", ", "].iter().any(|joint| rest[1..].starts_with(joint));
    let goes_on = |rest: &str| rest.starts_with(is_quote) && !(rest.is_char_boundary(1) && is_next(rest));
    let is_whole = |path: &str| path.strip_prefix(cut).is_some_and(goes_on);
    let at = memchr::memmem::find(event, cut.as_bytes())?;
    // Windows' long form of the same path, which a rule read from its drive on.
    if super::is_drive(cut) && event[..at].ends_with(VERBATIM.as_bytes()) {
        return Some(format!("{VERBATIM}{cut}"));
    }
    let line = || {
        let rest = String::from_utf8_lossy(&event[at..]);
        Some(rest[..named_end(rest.lines().next()?)?].to_owned())
    };
    before_words(event).filter(|path| is_whole(path)).or_else(|| line().filter(|path| is_whole(path)))
}

fn is_quote(c: char) -> bool {
    QUOTES.iter().any(|&(open, close)| c == open || c == close)
}

/// Where a name that begins here ends by its kind (`my film.mp4`, `a.tar.gz`), if nothing before it says that it has ended.
fn named_end(text: &str) -> Option<usize> {
    let text = &text[..text.floor_char_boundary(MAX_NAME)];
    let stops = [": ", " /", "://", " -> ", "|", "<", ">", "?", "*"];
    let text = stops.iter().filter_map(|stop| text.find(stop)).min().map_or(text, |end| &text[..end]);
    let mut found = None;
    for (dot, _) in text.match_indices('.') {
        let rest = &text[dot + 1..];
        let length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let is_kind = KINDS.iter().any(|kind| rest[..length].eq_ignore_ascii_case(kind));
        let ends = rest[length..].chars().next().is_none_or(|c| !c.is_alphanumeric() && !"_-/\\".contains(c));
        match found {
            // `a.mp4.part`
            Some(end) if end != dot => break,
            _ if is_kind && ends => found = Some(dot + 1 + length),
            _ => {}
        }
    }
    found
}

/// The only name with the ending of a kind of file that stands in quotes, or between a line's beginning or a colon and the next: `skipping:
/// my film.gz: corrupted`. For what rules know to be about a file and nothing else names.
pub(super) fn file(event: &[u8]) -> Option<String> {
    let event = String::from_utf8_lossy(event);
    let mut found: Option<&str> = None;
    for line in event.lines().filter(|line| !is_frame(line)) {
        let marks = line.char_indices().filter(|(at, c)| is_quote(*c) || line[..*at].ends_with(": ") || *at == 0);
        for (at, c) in marks.take(MAX_STARTS) {
            let start = at + if is_quote(c) { c.len_utf8() } else { 0 };
            let opens = line[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
            let name = named_end(&line[start..]).filter(|_| opens).map(|end| &line[start..start + end]);
            let Some(name) = name.filter(|name| !name.contains(['=', '"', '`']) && !name.starts_with(' ')) else {
                continue;
            };
            let after = line[start + name.len()..].chars().next();
            let closed = if is_quote(c) { after.is_some_and(is_quote) } else { after == Some(':') };
            if closed && !is_foreign(line, start, name) {
                if found.is_some_and(|found| found != name) {
                    return None;
                }
                found = Some(name);
            }
        }
    }
    found.map(str::to_owned)
}

/// The only word with the ending of a kind of file, wherever it stands: `checksum mismatch [file=102.ldb]`. `None` where an absolute path is
/// named as well: the event may be about that.
pub(super) fn word(event: &[u8]) -> Option<String> {
    let event = String::from_utf8_lossy(event);
    let mut found: Option<&str> = None;
    let breaks = |c: char| c.is_whitespace() || is_quote(c) || "[](){}<>=,;|".contains(c);
    for line in event.lines().filter(|line| !is_frame(line)) {
        for word in line.split(breaks).filter(|word| !word.contains("://") && !word.contains('@')) {
            let word = word.trim_matches([':', '!', '?']).trim_end_matches('.');
            // `file:data.wt`
            let name = word.rsplit_once(':').map_or(word, |(_, name)| name);
            let ending = extension(name).unwrap_or_default();
            // Of these a program tells where it says more, or what it was sent.
            let is_kind = KINDS.contains(&ending) && !matches!(ending, "htm" | "html" | "log");
            let start = line.find(name).unwrap_or_default();
            if !is_kind || is_foreign(line, start, name) {
                continue;
            }
            if name.starts_with('/') || found.is_some_and(|found| found != name) {
                return None;
            }
            found = Some(name);
        }
    }
    found.map(str::to_owned)
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
    // The same on BSD and macOS.
    "Disc quota exceeded",
];

/// The path before the system's words that end a line: `lzop: /srv/a b.mp4: can't open input file: Permission denied`. There its end is
/// known, whatever the name holds; when two are named, it is nobody's.
fn before_words(event: &[u8]) -> Option<String> {
    let event = String::from_utf8_lossy(event);
    event.lines().filter(|line| !is_frame(line)).find_map(|line| {
        let line = line.trim_end_matches(['.', ')', ' ']);
        let before = WORDS.iter().find_map(|words| line.strip_suffix(words))?;
        // `/srv/x: [13] Permission denied`
        let numbered = before.strip_suffix("] ").map(|text| text.trim_end_matches(|c: char| c.is_ascii_digit()));
        let before = numbered.and_then(|text| text.strip_suffix('[')).unwrap_or(before);
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

/// In front of a path that Windows takes as it is.
const VERBATIM: &str = r"\\?\";

/// Where the path begins whose first separator is at this place; `None`: none does.
fn start(line: &str, at: usize) -> Option<usize> {
    let bytes = line.as_bytes();
    // `C:\`, `C:/`
    let drive = at.checked_sub(2).filter(|drive| bytes[*drive].is_ascii_alphabetic() && bytes[*drive + 1] == b':');
    let start = drive.or_else(|| (bytes[at] == b'/').then_some(at))?;
    // Windows' long form stands in front of a drive.
    let start = if drive.is_some() && line[..start].ends_with(VERBATIM) { start - VERBATIM.len() } else { start };
    let before = line[..start].chars().next_back();
    let begins =
        before.is_none_or(|c| c.is_whitespace() || "=([{".contains(c) || QUOTES.iter().any(|(open, _)| *open == c));
    begins.then_some(start)
}

fn token(line: &str, start: usize) -> Token<'_> {
    let rest = &line[start..];
    let windows = !rest.starts_with('/');
    let quoted = QUOTES.iter().filter(|(open, _)| line[..start].ends_with(*open));
    let closed = quoted.filter_map(|(_, close)| closing(rest, *close)).min();
    let path = match closed {
        // A quote inside a quoted text (JSON) is escaped.
        Some(end) => rest[..end].strip_suffix('\\').filter(|_| !windows).unwrap_or(&rest[..end]),
        None => match unquoted(rest, windows).or_else(|| bracketed(&line[..start], rest)) {
            Some(path) => path,
            None => return Token::Unsure,
        },
    };
    let named = closed.is_some() && extension(path).is_some();
    let is_control = |c: char| c.is_control() || "?*|<>\u{fffd}".contains(c);
    let plain = path.strip_prefix(VERBATIM).unwrap_or(path);
    let whole = if windows { path.len() > 3 } else { named || components(path) };
    if !whole || path.len() > MAX_PATH || plain.contains(is_control) { Token::None } else { Token::Path(path) }
}

/// Where the quote is closed: not in the middle of a word (`L'Étranger`), unless nowhere else.
fn closing(rest: &str, close: char) -> Option<usize> {
    let ends = |at: usize| rest[at + close.len_utf8()..].chars().next().is_none_or(|c| !c.is_alphanumeric());
    rest.match_indices(close).map(|(at, _)| at).find(|at| ends(*at)).or_else(|| rest.find(close))
}

/// Two components at least: `/start` is what people tell a bot.
fn components(path: &str) -> bool {
    let mut parts = path[1..].splitn(2, '/');
    let first = parts.next().is_some_and(|part| !part.is_empty() && !part.contains(' '));
    first && parts.next().is_some_and(|part| !part.is_empty() && !part.starts_with('/'))
}

/// The path in brackets: `file_write (E:\My films\a.mkv)`, `analyzing [/srv/my mods/b.jar]`.
fn bracketed<'a>(before: &str, rest: &'a str) -> Option<&'a str> {
    let closing = [('[', ']'), ('(', ')')].into_iter().find(|(open, _)| before.ends_with(*open))?.1;
    let path = &rest[..rest.find(closing)?];
    // With an ending, or it may be a sentence that begins with a path.
    extension(path).is_some().then_some(path)
}

/// The path that begins here without quotes; `None`: nobody can tell where it ends.
fn unquoted(rest: &str, windows: bool) -> Option<&str> {
    let stops = |c: char| c.is_whitespace() || c.is_control() || "\"'`|<>’”»".contains(c);
    let mut end = rest.find(stops).unwrap_or(rest.len());
    let drive = rest.find(':').map_or(0, |colon| colon + 1);
    if windows
        && drive <= end
        && let Some(colon) = rest[drive..end].find(':')
    {
        end = drive + colon;
    }
    let raw = &rest[..end];
    let path = balanced(raw.trim_end_matches(['.', ',', ';', ':', '!', '…', '}']));
    let cut = path.len() == raw.len()
        && rest[end..].starts_with(|c: char| c == ' ' || is_quote(c))
        && extension(path).is_none();
    if !cut {
        return Some(path);
    }
    let named = named_end(rest).map(|end| &rest[..end]).filter(|name| name.len() > path.len());
    let goes_on = || {
        let after = rest[end..].strip_prefix(' ')?;
        let word = after.split(' ').next()?;
        if word.starts_with(['(', '[']) && !after.contains(['/', '\\']) {
            return Some(path);
        }
        (FUNCTION_WORDS.contains(&word) && !after.contains(['/', '\\'])).then_some(path)
    };
    let ended = || (!rest[end..].starts_with(' ')).then_some(path);
    named.or_else(ended).or_else(goes_on)
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
    // `/app/bot.py:12`, `/app/bot.ts:12:7`, `/app/bot.php#12`
    let mut plain = path;
    while let Some(file) = plain.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix([':', '#']) {
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
            ("/srv/ext/echo.x: [13] Permission denied", Some("/srv/ext/echo.x")),
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
            ("/srv/a b.mp4: Permission denied", Some("/srv/a b.mp4")),
            ("/srv/a b: Permission denied", None),
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
            ("failed to open C:/In/clip.mp4, cause: x", Some("C:/In/clip.mp4")),
            ("error analyzing [D:\\My mods\\a b.jar]: x", Some("D:\\My mods\\a b.jar")),
            (r"no space : '\\?\C:\My data\a'", Some(r"\\?\C:\My data\a")),
            (r"mkdir \\?\E:\B\.old: denied", Some(r"\\?\E:\B\.old")),
            ("save to /srv/New folder/voice 42.ogg failed: x", Some("/srv/New folder/voice 42.ogg")),
            ("thumbnail /srv/it's late.jpg not written", Some("/srv/it's late.jpg")),
            ("open '/srv/in/L'Étranger.pdf': denied", Some("/srv/in/L'Étranger.pdf")),
            ("make 3 MB available in /srv/db/journal or use --small", Some("/srv/db/journal")),
            ("writing to file /srv/data/epoch-checkpoint (a.b.Channel)", Some("/srv/data/epoch-checkpoint")),
            ("/srv/films to watch/a: denied", None),
            ("failed to open file '/out_0.ts'", Some("/out_0.ts")),
            ("create /srv/log/a.log because x at /srv/app/b.php#62", Some("/srv/log/a.log")),
            ("", None),
        ] {
            assert_eq!(only(event.as_bytes()).as_deref(), want, "{event}");
        }
        let many = "/srv/a/b.mp4 ".repeat(MAX_STARTS + 1);
        assert_eq!(only(many.as_bytes()), None, "too many to be about one");
    }

    #[test]
    fn a5_the_only_word_with_a_files_ending_is_found_behind_any_signs() {
        for (event, want) in [
            ("⚠️ a.mp4 failed — no room", Some("a.mp4")),
            ("checksum mismatch [file=102.ldb]", Some("102.ldb")),
            ("GET a.mp4: checksum mismatch", None),
            ("a.mp4 and b.mp4", None),
        ] {
            assert_eq!(word(event.as_bytes()).as_deref(), want, "{event}");
        }
    }

    #[test]
    fn a5_the_only_name_of_a_file_is_found() {
        for (event, want) in [
            ("pigz: skipping: my film.gz: corrupted -- incomplete deflate data", Some("my film.gz")),
            ("03 - Überfahrt.flac: *** Got error code 0", Some("03 - Überfahrt.flac")),
            ("Premature end of JPEG file `./Zoë's cover.jpg' @ warning/jpeg.c", Some("./Zoë's cover.jpg")),
            ("cannot draw 'out/No. 4711.pdf'", Some("out/No. 4711.pdf")),
            ("a.tar.gz: b.mp4: x", None),
            ("clip.mp4.part: x", Some("clip.mp4.part")),
            ("saved a.mp4", None),
            ("see https://a.example/x.mp4: gone", None),
            ("bot.log.handler: x", None),
            ("it's a.mp4 'now'", None),
            ("", None),
        ] {
            assert_eq!(file(event.as_bytes()).as_deref(), want, "{event}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a5_a_path_that_is_found_stands_in_the_event(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "/", "\\", "C:\\", "/srv/", "a.mp4", "é", "»", "«", "'", "\"", "`", "\\\"", " ", "\n", ":", "(", ")", ".", "=", "GET ",
                    "  File \"", "    ", "at ", "#1 ", "/bot1", "12", "\u{0}", "⚠️ ", "\u{a0}", "[b.ldb]", ": Permission denied", " (Not a directory)", ": can't ",
                ]),
                0..40,
            ),
        ) {
            let event = pieces.concat();
            let _ = file(event.as_bytes());
            let _ = word(event.as_bytes());
            for path in [only(event.as_bytes()), before_words(event.as_bytes())].into_iter().flatten() {
                proptest::prop_assert!(event.contains(&path) && path.len() > 3 && !path.contains('\n'), "{path:?} in {event:?}");
            }
        }
    }
}
