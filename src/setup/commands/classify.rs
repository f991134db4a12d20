//! `logmedic classify`: finished logs in, one line per recognised event out. I/O.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;

use super::bulk::{self, Share};
use crate::assemble::{Assembler, Limits, RawEvent};
use crate::classify::{Hit, Rules, Want};
use crate::vocab::{Captures, Class, Severity, clean_line, redact, shorten};

/// Read at once.
const CHUNK: usize = 256 * 1024;

/// The longest JSON object, in bytes: an event with everything that a log shipper puts around it.
const MAX_OBJECT: usize = 4 * 1024 * 1024;

/// How much of an event is shown to people, in UTF-16 units.
const SHOWN: usize = 160;

/// What `classify` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Logs to read; `-` or none reads standard input.
    pub files: Vec<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Events that no rule claims too (class null).
    #[arg(long)]
    pub all: bool,
    /// How events stand in the files.
    #[arg(long, value_enum, default_value_t = Input::Lines)]
    pub input: Input,
    /// The field that holds the text in JSON Lines (journal: MESSAGE).
    #[arg(long, default_value = "text", value_name = "NAME")]
    pub field: String,
    /// Totals per class only.
    #[arg(long)]
    pub count: bool,
    /// Rules to take instead of the shipped packs.
    #[arg(long, value_name = "FILE|DIR")]
    pub rules: Option<PathBuf>,
    /// How many cores read a file; all that there are, if not said.
    #[arg(short = 'j', long, value_name = "N")]
    pub threads: Option<usize>,
}

/// How events stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Input {
    /// As the program wrote them.
    Lines,
    /// One JSON object a line, the event in one of its fields.
    Jsonl,
}

/// One event with where it stands.
struct Event {
    offset: u64,
    line: u64,
    lines: u64,
    text: Vec<u8>,
}

#[derive(Serialize)]
struct Shown<'a> {
    file: &'a str,
    offset: u64,
    line: u64,
    lines: u64,
    class: Option<Class>,
    rule: Option<&'a str>,
    severity: Option<Severity>,
    captures: Captures,
    text: &'a str,
}

/// Runs the command; `rules` are those of `--rules`, else the shipped ones with the user's. Returns the exit code.
///
/// # Errors
/// When a file cannot be read, a JSON object lacks the field, or the output is closed.
pub fn run(args: &Args, rules: &Rules, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut session = Session { args, rules, out, totals: BTreeMap::new(), strange: 0 };
    let stdin = PathBuf::from("-");
    let files = if args.files.is_empty() { std::slice::from_ref(&stdin) } else { &args.files };
    for file in files {
        if file.as_os_str() == "-" {
            session.read("-", &mut std::io::stdin().lock())?;
        } else {
            let opened = File::open(file).with_context(|| format!("failed to read {}", file.display()))?;
            let name = file.to_string_lossy();
            match opened.metadata().ok().filter(|about| about.is_file() && session.is_quick()) {
                Some(about) => session.read_file(&name, &opened, about.len())?,
                None => session.read(&name, &mut BufReader::with_capacity(CHUNK, opened))?,
            }
        }
    }
    session.totals()?;
    session.out.flush()?;
    Ok(0)
}

struct Session<'a> {
    args: &'a Args,
    rules: &'a Rules,
    out: &'a mut dyn Write,
    totals: BTreeMap<Class, u64>,
    /// Events that read like errors and that no rule claims.
    strange: u64,
}

impl Session<'_> {
    fn read(&mut self, file: &str, input: &mut dyn BufRead) -> anyhow::Result<()> {
        match self.args.input {
            Input::Lines => each_event(input, &mut |event| self.event(file, &event)),
            Input::Jsonl => each_line(input, MAX_OBJECT, &mut |event| {
                if event.text.trim_ascii().is_empty() {
                    return Ok(());
                }
                let text = field(&event.text, &self.args.field).with_context(|| format!("{file}:{}", event.line))?;
                self.event(file, &Event { text, ..event })
            }),
        }
        .with_context(|| format!("failed to read {file}"))
    }

    /// Whether only events are wanted that hold a text that some rule needs.
    fn is_quick(&self) -> bool {
        self.args.input == Input::Lines && !self.args.all && !self.rules.asks_every_event()
    }

    fn read_file(&mut self, name: &str, file: &File, size: u64) -> anyhow::Result<()> {
        let want = if self.args.count { Want::Classes } else { Want::Hits };
        let (rules, threads) = (self.rules, bulk::threads(self.args.threads));
        let mut before = 0;
        bulk::read(file, size, rules, want, threads, &mut |share: Share| {
            for (class, count) in share.counts {
                match class {
                    Some(class) => *self.totals.entry(class).or_default() += count,
                    None => self.strange += count,
                }
            }
            for event in share.events {
                let bulk::Event { offset, line, lines, text, hit } = event;
                let event = Event { offset, line: before + line, lines: u64::from(lines), text };
                self.show(name, &event, Some(&hit))?;
            }
            before += share.line_ends;
            Ok(())
        })
        .with_context(|| format!("failed to read {name}"))
    }

    fn event(&mut self, file: &str, event: &Event) -> anyhow::Result<()> {
        let hit = self.rules.classify(&event.text);
        match &hit {
            Some(hit) => *self.totals.entry(hit.class).or_default() += 1,
            None if self.args.count && self.rules.looks_like_error(&event.text) => self.strange += 1,
            None => {}
        }
        if self.args.count || (hit.is_none() && !self.args.all) {
            return Ok(());
        }
        self.show(file, event, hit.as_ref())
    }

    fn show(&mut self, file: &str, event: &Event, hit: Option<&Hit>) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(&event.text);
        let text = redact(&text);
        if self.args.json { self.json(file, event, hit, &text) } else { self.line(file, event, hit, &text) }
    }

    fn json(&mut self, file: &str, event: &Event, hit: Option<&Hit>, text: &str) -> anyhow::Result<()> {
        let captures = hit.map(|hit| hit.captures.iter().map(|(k, v)| (k.clone(), redact(v).into_owned())).collect());
        let shown = Shown {
            file,
            offset: event.offset,
            line: event.line,
            lines: event.lines,
            class: hit.map(|hit| hit.class),
            rule: hit.map(|hit| hit.rule.as_str()),
            severity: hit.map(|hit| hit.severity),
            captures: captures.unwrap_or_default(),
            text,
        };
        serde_json::to_writer(&mut *self.out, &shown)?;
        Ok(self.out.write_all(b"\n")?)
    }

    fn line(&mut self, file: &str, event: &Event, hit: Option<&Hit>, text: &str) -> anyhow::Result<()> {
        write!(self.out, "{}:{}: ", clean_line(file), event.line)?;
        match hit {
            None => write!(self.out, "-")?,
            Some(hit) => {
                write!(self.out, "{} {}", hit.class, hit.rule)?;
                for (name, value) in &hit.captures {
                    write!(self.out, " {name}={}", clean_line(&redact(value)))?;
                }
            }
        }
        // The last line of an event says more than its first.
        let last = text.trim_end().lines().next_back().unwrap_or_default();
        Ok(writeln!(self.out, " | {}", clean_line(&shorten(last, SHOWN)))?)
    }

    fn totals(&mut self) -> anyhow::Result<()> {
        if !self.args.count {
            return Ok(());
        }
        if self.args.json {
            let classes: BTreeMap<&str, u64> = self.totals.iter().map(|(class, n)| (class.as_str(), *n)).collect();
            let shown = serde_json::json!({"classes": classes, "unrecognised_errors": self.strange});
            return Ok(writeln!(self.out, "{shown}")?);
        }
        for (class, n) in &self.totals {
            writeln!(self.out, "{class:<13} {n:>9}")?;
        }
        Ok(writeln!(self.out, "{:<13} {:>9}", "unrecognised", self.strange)?)
    }
}

/// The events of a log as the program wrote it, joined as the agent joins them.
fn each_event(input: &mut dyn BufRead, take: &mut dyn FnMut(Event) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut assembler = Assembler::new(Limits::default(), 0);
    let mut found = Vec::new();
    // Line ends before the next event, to tell its line number: at most those of a chunk and an event.
    let mut ends = VecDeque::new();
    let (mut offset, mut line) = (0, 1);
    let mut give = |events: &mut Vec<RawEvent>, ends: &mut VecDeque<u64>| {
        events.drain(..).try_for_each(|event| {
            while ends.front().is_some_and(|end| *end < event.offset) {
                ends.pop_front();
                line += 1;
            }
            take(Event { offset: event.offset, line, lines: u64::from(event.lines), text: event.text })
        })
    };
    loop {
        let chunk = input.fill_buf()?;
        let length = chunk.len();
        if length == 0 {
            break;
        }
        ends.extend(memchr::memchr_iter(b'\n', chunk).map(|at| offset + at as u64));
        assembler.push(chunk, &mut found);
        input.consume(length);
        offset += length as u64;
        give(&mut found, &mut ends)?;
    }
    while let Some(event) = assembler.finish() {
        found.push(event);
    }
    give(&mut found, &mut ends)
}

/// Lines without their ends; of a line longer than `limit` the first `limit` bytes.
fn each_line(
    input: &mut dyn BufRead,
    limit: usize,
    take: &mut dyn FnMut(Event) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut offset, mut line) = (0, 0);
    loop {
        let mut text = Vec::new();
        let mut length = (&mut *input).take(limit as u64).read_until(b'\n', &mut text)? as u64;
        if length == 0 {
            return Ok(());
        }
        line += 1;
        if text.last() == Some(&b'\n') {
            text.pop();
        } else {
            length += skip_line(input)?;
        }
        if text.last() == Some(&b'\r') {
            text.pop();
        }
        take(Event { offset, line, lines: 1, text })?;
        offset += length;
    }
}

/// Skips to behind the next line end; how many bytes that were.
fn skip_line(input: &mut dyn BufRead) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = input.fill_buf()?;
        let end = memchr::memchr(b'\n', buffer).map(|at| at + 1);
        let used = end.unwrap_or(buffer.len());
        input.consume(used);
        skipped += used as u64;
        if end.is_some() || used == 0 {
            return Ok(skipped);
        }
    }
}

/// The event's text in a JSON object. The journal writes text that is no UTF-8 as a list of bytes.
fn field(line: &[u8], name: &str) -> anyhow::Result<Vec<u8>> {
    let object: Value = serde_json::from_slice(line).context("this line is no JSON object")?;
    match object.get(name) {
        Some(Value::String(text)) => Ok(text.clone().into_bytes()),
        Some(Value::Array(bytes)) => {
            let byte = |value: &Value| value.as_u64().and_then(|n| u8::try_from(n).ok());
            bytes.iter().map(byte).collect::<Option<_>>().with_context(|| format!("field '{name}' holds no text"))
        }
        Some(_) => bail!("field '{name}' holds no text"),
        None => bail!("there is no field '{name}'; name the one that holds the text with --field"),
    }
}

/// Whether a path is there, with a remedy in the error.
pub(super) fn existing(path: &Path) -> anyhow::Result<()> {
    std::fs::metadata(path).map(|_| ()).with_context(|| format!("failed to read {}", path.display()))
}
