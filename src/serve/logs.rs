//! `logs`: what the sources said, page by page from the end backwards. I/O: reads the files that are followed, and no others.
//!
//! The lines that come now are told by the hub's topic `log`; this is for what came before. A page is read from the file itself, a
//! bounded stretch of it, and judged by the rules in effect now. What strangers wrote to the bot stands in logs, so looking is for operators.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRef, Query, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Identity, Operator};
use super::problem::Problem;
use super::rules::Book;
use crate::assemble::{Assembler, Limits, RawEvent};
use crate::classify::{Level, Rules, level};
use crate::ledger::Ledger;
use crate::ledger::probes::{Tail, tails};
use crate::vocab::{Class, clean_line, printable, redact, shorten};

/// Lines of a page when nobody says, and at most.
const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 500;

/// How much is read at once. A line longer than that is left out.
const STRETCH: u64 = 256 * 1024;

/// How much one request may look through for lines that fit: then it answers with what it has.
const LOOK_THROUGH: u64 = 4 * 1024 * 1024;

/// How much of an event is shown, in UTF-16 units.
const SHOWN: usize = 4_096;

/// The longest text that is searched for, in bytes.
const SEARCH_MAX: usize = 200;

/// Requests that read at once; others wait.
const READERS: usize = 2;

/// What this route works with.
#[derive(Clone)]
struct Desk {
    ledger: Ledger,
    book: Book,
    identity: Identity,
    readers: Arc<Semaphore>,
}

impl FromRef<Desk> for Identity {
    fn from_ref(desk: &Desk) -> Self {
        desk.identity.clone()
    }
}

/// `logs`.
pub fn router<S>(ledger: Ledger, book: Book, identity: Identity) -> OpenApiRouter<S> {
    let readers = Arc::new(Semaphore::new(READERS));
    OpenApiRouter::new().routes(routes!(list)).with_state(Desk { ledger, book, identity, readers })
}

/// Which lines.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
pub struct LogQuery {
    /// The log source; the first when not said.
    source: Option<String>,
    /// One of its files; the one written to last when not said.
    file: Option<String>,
    /// `next` of the page before, or the `cursor` of a line: only what stands before it.
    before: Option<String>,
    /// Events at most, 1 to 500; 100 when not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Only of this class; `any`: of some class, `none`: of none.
    class: Option<String>,
    /// Only those at least so loud: `debug`, `info`, `warning`, `error` (`critical` is the same).
    level: Option<String>,
    /// Only those that hold this text; capitals do not count.
    q: Option<String>,
}

/// An event of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogLine {
    /// Where it stands, for `before`.
    pub cursor: String,
    /// The log source.
    pub source: String,
    /// When it was written; `null`: it says no time.
    pub at: Option<DateTime<Utc>>,
    /// What it says, secrets left out; several lines where they belong together.
    pub text: String,
    /// Lines in it.
    pub lines: u32,
    /// What went wrong, by the rules in effect now.
    pub class: Option<&'static str>,
    /// The rule that says so.
    pub rule: Option<String>,
    /// How loud the program was: `debug`, `info`, `warning`, `error`; `null`: it does not say.
    pub level: Option<&'static str>,
    /// Something of it is left out.
    pub truncated: bool,
}

/// A log source and its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogSource {
    /// Its name.
    pub name: String,
    /// The files that are followed now. A journal and standard input have none: only what passes is told of them.
    pub files: Vec<String>,
}

/// A page of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogPage {
    /// The source.
    pub source: String,
    /// The file; `null`: the source has none yet.
    pub file: Option<String>,
    /// Events, newest first.
    pub items: Vec<LogLine>,
    /// Where the next page begins, also where nothing was found so far; `null`: that was the beginning of the file.
    pub next: Option<String>,
    /// How many bytes were looked through.
    pub scanned_bytes: u64,
    /// The file's size in bytes.
    pub size_bytes: u64,
    /// Every source.
    pub sources: Vec<LogSource>,
}

/// What fits.
struct Wanted {
    source: String,
    limit: usize,
    class: Option<String>,
    level: Option<Level>,
    text: Option<String>,
}

impl Wanted {
    fn of(query: &LogQuery) -> Result<Self, Problem> {
        let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::bad("bad_limit", format!("limit is {limit}; it must be 1 to {LIMIT_MAX}")));
        }
        let said = |word: &Option<String>| word.clone().filter(|word| !word.is_empty());
        let class = said(&query.class);
        if let Some(word) = class.as_ref().filter(|word| !matches!(word.as_str(), "any" | "none")) {
            word.parse::<Class>().map_err(|error| Problem::bad("bad_class", error.to_string()))?;
        }
        let loud = match said(&query.level) {
            None => None,
            Some(word) => Some(
                Level::of(&word)
                    .ok_or_else(|| Problem::bad("bad_level", "there are the levels debug, info, warning, error"))?,
            ),
        };
        let text = said(&query.q).map(|text| text.to_lowercase());
        if text.as_ref().is_some_and(|text| text.len() > SEARCH_MAX) {
            return Err(Problem::bad("bad_text", format!("a text to search for has at most {SEARCH_MAX} bytes")));
        }
        Ok(Self { source: String::new(), limit: limit as usize, class, level: loud, text })
    }

    /// The event as it is shown, when it fits. Searched is what is shown: nobody finds a secret by guessing at it.
    fn take(&self, event: &RawEvent, rules: &Rules, zone: i32, now: DateTime<Utc>, file: u64) -> Option<LogLine> {
        let loud = level(&event.text);
        if self.level.is_some_and(|least| loud.is_none_or(|loud| loud < least)) {
            return None;
        }
        let text = String::from_utf8_lossy(&event.text);
        let text = redact(&text);
        if self.text.as_ref().is_some_and(|wanted| !text.to_lowercase().contains(wanted.as_str())) {
            return None;
        }
        let hit = rules.classify(&event.text);
        let class = hit.as_ref().map(|hit| hit.class.as_str());
        let fits = match self.class.as_deref() {
            None => true,
            Some("any") => class.is_some(),
            Some("none") => class.is_none(),
            wanted => class == wanted,
        };
        if !fits {
            return None;
        }
        let shown = printable(&text);
        let cut = shorten(&shown, SHOWN);
        Some(LogLine {
            cursor: cursor(file, event.offset),
            source: self.source.clone(),
            at: event.stamp.as_ref().map(|stamp| stamp.to_utc(zone, now)),
            truncated: event.truncated || cut.len() != shown.len(),
            text: cut.into_owned(),
            lines: event.lines,
            class,
            rule: hit.map(|hit| hit.rule),
            level: loud.map(Level::word),
        })
    }
}

/// A place in a file; the file's number says whether it is still that file.
fn cursor(file: u64, offset: u64) -> String {
    format!("{file:x}-{offset:x}")
}

fn place(cursor: &str) -> Result<(u64, u64), Problem> {
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let read = cursor.split_once('-').and_then(|(file, offset)| Some((hex(file)?, hex(offset)?)));
    read.ok_or_else(|| Problem::bad("bad_cursor", "that is no place in a log; begin without `before`"))
}

/// What the sources said, newest first. Only files that are followed; for operators.
#[utoipa::path(get, path = "/logs", tag = "logs", params(LogQuery),
    responses((status = 200, body = LogPage), (status = 400, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 410, body = Problem)))]
async fn list(State(desk): State<Desk>, _: Operator, Query(query): Query<LogQuery>) -> Result<Json<LogPage>, Problem> {
    let mut wanted = Wanted::of(&query)?;
    let before = query.before.as_deref().filter(|text| !text.is_empty()).map(place).transpose()?;
    let book = desk.book.borrow().clone();
    let known = || book.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let missing = || Problem::missing("source_not_found", format!("there is no such source; there are: {}", known()));
    let named = query.source.as_deref().filter(|name| !name.is_empty());
    let (source, rules) = match named {
        Some(name) => book.get_key_value(name),
        None => book.first_key_value(),
    }
    .map(|(name, rules)| (name.clone(), Arc::clone(rules)))
    .ok_or_else(missing)?;
    wanted.source.clone_from(&source);
    let files = desk.ledger.read(tails)?;
    let shown = |tail: &Tail| clean_line(&tail.path.to_string_lossy()).into_owned();
    let of = |name: &String| LogSource {
        name: name.clone(),
        files: files.iter().filter(|tail| tail.source == *name).map(shown).collect(),
    };
    let sources = book.keys().map(of).collect();
    let mine = files.iter().filter(|tail| tail.source == source);
    let chosen = match query.file.as_deref().filter(|file| !file.is_empty()) {
        Some(file) => {
            let found = mine.clone().find(|tail| shown(tail) == file).cloned();
            Some(found.ok_or_else(|| Problem::missing("file_not_found", "that file is not followed; see `sources`"))?)
        }
        // The one that the place is in, or the one that was written to last.
        None => match before {
            Some((number, _)) => mine.clone().find(|tail| tail.file.1 == number).cloned(),
            None => mine.clone().max_by_key(|tail| modified(tail)).cloned(),
        },
    };
    let Some(tail) = chosen else {
        if before.is_some() {
            return Err(rotated());
        }
        let empty =
            LogPage { source, file: None, items: Vec::new(), next: None, scanned_bytes: 0, size_bytes: 0, sources };
        return Ok(Json(empty));
    };
    let _turn = desk.readers.acquire().await.map_err(|error| Problem::internal(&error))?;
    let file = shown(&tail);
    let read = tokio::task::spawn_blocking(move || page(&tail, before, &wanted, &rules));
    let (items, next, scanned_bytes, size_bytes) = read.await.map_err(|error| Problem::internal(&error))??;
    Ok(Json(LogPage { source, file: Some(file), items, next, scanned_bytes, size_bytes, sources }))
}

fn rotated() -> Problem {
    Problem::new(StatusCode::GONE, "log_rotated", "the log began anew meanwhile; begin without `before`")
}

fn modified(tail: &Tail) -> Option<std::time::SystemTime> {
    std::fs::metadata(&tail.path).and_then(|meta| meta.modified()).ok()
}

/// Opens a file that is followed: this very file, whatever stands at its path now.
fn open(tail: &Tail) -> Result<(File, u64), Problem> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&tail.path);
    let file = file.map_err(|error| unreadable(&error))?;
    let meta = file.metadata().map_err(|error| unreadable(&error))?;
    if !meta.is_file() || (meta.dev(), meta.ino()) != tail.file {
        return Err(rotated());
    }
    Ok((file, meta.len()))
}

fn unreadable(error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::NotFound => rotated(),
        _ => Problem::new(StatusCode::CONFLICT, "log_unreadable", format!("failed to read the log: {error}")),
    }
}

type Found = (Vec<LogLine>, Option<String>, u64, u64);

fn page(tail: &Tail, before: Option<(u64, u64)>, wanted: &Wanted, rules: &Rules) -> Result<Found, Problem> {
    let (file, size) = open(tail)?;
    let number = tail.file.1;
    let mut end = match before {
        Some((of, offset)) if of == number && offset <= size => offset,
        Some(_) => return Err(rotated()),
        None => size,
    };
    let now = Utc::now();
    let zone = chrono::Local::now().offset().local_minus_utc();
    let (mut items, mut scanned, mut torn) = (Vec::new(), 0, before.is_none());
    while end > 0 && scanned < LOOK_THROUGH {
        let start = end.saturating_sub(STRETCH);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(&mut bytes, start).map_err(|error| match error.kind() {
            // Cut short meanwhile.
            io::ErrorKind::UnexpectedEof => rotated(),
            _ => unreadable(&error),
        })?;
        scanned += end - start;
        if torn {
            // What stands behind the last line's end: a line that the bot has not ended, or the head of one that is too long.
            bytes.truncate(memchr::memrchr(b'\n', &bytes).map_or(0, |last| last + 1));
        }
        let events = events(&bytes, start);
        torn = events.is_empty() && start > 0;
        let first = events.first().map_or(start, |event| event.offset);
        for event in events.iter().rev() {
            items.extend(wanted.take(event, rules, zone, now, number));
            if items.len() == wanted.limit {
                let next = (event.offset > 0).then(|| cursor(number, event.offset));
                return Ok((items, next, scanned, size));
            }
        }
        end = first;
    }
    Ok((items, (end > 0).then(|| cursor(number, end)), scanned, size))
}

/// The events of a stretch that begins at `start`. What may have begun before it is left to the next stretch, unless there is
/// nothing else in it.
fn events(bytes: &[u8], start: u64) -> Vec<RawEvent> {
    let whole = start == 0;
    let skipped = if whole { 0 } else { memchr::memchr(b'\n', bytes).map_or(bytes.len(), |first| first + 1) };
    let mut assembler = Assembler::new(Limits::default(), start + skipped as u64);
    let mut events = Vec::new();
    assembler.push(&bytes[skipped..], &mut events);
    while let Some(event) = assembler.finish() {
        events.push(event);
    }
    if !whole && events.len() > 1 {
        events.remove(0);
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn tail(path: &std::path::Path) -> Tail {
        let meta = std::fs::metadata(path).unwrap();
        Tail { source: "bot".into(), path: path.into(), file: (meta.dev(), meta.ino()), offset: 0 }
    }

    fn wanted(query: LogQuery) -> Wanted {
        Wanted::of(&query).ok().unwrap()
    }

    fn all(tail: &Tail, query: &LogQuery) -> (Vec<LogLine>, usize) {
        let (mut lines, mut before, mut pages) = (Vec::new(), None, 0);
        loop {
            let (items, next, ..) = page(tail, before, &wanted(query.clone()), &Rules::default()).ok().unwrap();
            lines.extend(items);
            pages += 1;
            let Some(next) = next else { return (lines, pages) };
            before = Some(place(&next).ok().unwrap());
        }
    }

    #[test]
    fn f1_a_log_is_read_backwards_without_hole_or_repeat() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bot.log");
        let mut file = File::create(&path).unwrap();
        for number in 0..30_000 {
            let level = if number % 100 == 0 { "ERROR" } else { "INFO" };
            writeln!(file, "2026-11-22 01:02:03,456 - bot - {level} - line {number}").unwrap();
            if number % 1_000 == 0 {
                writeln!(file, "Traceback (most recent call last):\n  File \"x.py\", line 1, in f\nValueError: no")
                    .unwrap();
            }
        }
        write!(file, "2026-11-22 01:02:03,456 - bot - INFO - not ended").unwrap();
        let tail = tail(&path);
        let (lines, pages) = all(&tail, &LogQuery { limit: Some(500), ..LogQuery::default() });
        let numbers =
            lines.iter().filter_map(|line| line.text.split("line ").nth(1)?.split('\n').next()?.parse::<u32>().ok());
        assert!(numbers.eq((0..30_000).rev()), "{} lines", lines.len());
        assert!(pages >= 60 && lines.iter().any(|line| line.lines == 4 && line.text.ends_with("ValueError: no")));
        assert!(!lines.iter().any(|line| line.text.contains("not ended")));
        let (loud, _) = all(&tail, &LogQuery { level: Some("error".into()), ..LogQuery::default() });
        assert_eq!(loud.len(), 300);
        let (found, _) = all(&tail, &LogQuery { q: Some("LINE 2999".into()), ..LogQuery::default() });
        assert_eq!(found.len(), 11, "2999 and 29990 to 29999");
    }

    #[test]
    fn h1_only_the_very_file_that_is_followed_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bot.log");
        std::fs::write(&path, "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw\u{1b}[2J\n").unwrap();
        let followed = tail(&path);
        let (lines, _) = all(&followed, &LogQuery::default());
        assert!(!lines[0].text.contains("AAHdq") && !lines[0].text.contains('\u{1b}'), "{lines:?}");
        assert_eq!(all(&followed, &LogQuery { q: Some("AAHdq".into()), ..LogQuery::default() }).0, []);
        std::fs::rename(&path, dir.path().join("bot.log.1")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        let refused = page(&followed, None, &wanted(LogQuery::default()), &Rules::default());
        assert_eq!(refused.err().unwrap().code, "log_rotated");
    }

    #[test]
    fn h4_a_page_looks_through_a_bounded_stretch() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bot.log");
        std::fs::write(&path, "an ordinary line\n".repeat(600_000)).unwrap();
        let (items, next, scanned, _) = page(
            &tail(&path),
            None,
            &wanted(LogQuery { q: Some("rare".into()), ..LogQuery::default() }),
            &Rules::default(),
        )
        .ok()
        .unwrap();
        assert!(items.is_empty() && next.is_some() && scanned <= LOOK_THROUGH + STRETCH, "{scanned}");
        std::fs::write(&path, "x".repeat(2_000_000)).unwrap();
        assert_eq!(all(&tail(&path), &LogQuery::default()).0, []);
    }
}
