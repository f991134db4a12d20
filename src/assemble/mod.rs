//! Makes events out of bytes: lines, then multi-line events, both bounded. Pure.
//!
//! One [`Assembler`] serves one stream. Whatever way the bytes are cut into chunks, the events are the same.

mod around;
mod carrier;
mod docker;
mod kind;
mod stamp;

pub use around::{begins_event, first_cut, last_cut, line_start, next_line};
pub use carrier::{carried_by, carrier_length, priority, supervisor_prefix, syslog_header, uncarried};
pub use docker::{DOCKER, docker_line};
pub use stamp::Stamp;

use std::ops::Range;

use kind::{Kind, Line, is_versioned};

/// How much of one line is kept: its first three quarters and its last quarter (an error often ends a long line of
/// progress). Far above any real log line, small enough for thousands of streams.
pub const LINE_BYTES: usize = 64 * 1024;
/// How many lines make one event at most: tracebacks of 140 lines are real.
pub const EVENT_LINES: u32 = 500;
/// How many bytes make one event at most.
pub const EVENT_BYTES: usize = 256 * 1024;
/// Stands where the middle of a line was left out.
pub const CUT: &[u8] = b" [...] ";

/// The bounds of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes kept of a line.
    pub line_bytes: usize,
    /// Lines of an event.
    pub event_lines: u32,
    /// Bytes of an event.
    pub event_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line_bytes: LINE_BYTES, event_lines: EVENT_LINES, event_bytes: EVENT_BYTES }
    }
}

/// One event of a log: a line, or several that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEvent {
    /// The byte of the stream at which its first line starts.
    pub offset: u64,
    /// The byte after its last line's newline, blank lines after it included.
    pub end: u64,
    /// Lines in `text`.
    pub lines: u32,
    /// The lines, joined by `\n`; a CR before LF is gone, NULs before a line too.
    pub text: Vec<u8>,
    /// A line or the event was longer than the limits: something is left out, or goes on in the next event.
    pub truncated: bool,
    /// The time its first line starts with.
    pub stamp: Option<Stamp>,
}

/// The complete lines that wait for what may still belong to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending<'a> {
    /// The lines, joined by `\n`.
    pub text: &'a [u8],
    /// Where the first one starts.
    pub offset: u64,
    /// How many.
    pub lines: u32,
    /// More is expected: inside a traceback, after a head that ends with a colon, and the like.
    pub open: bool,
}

/// What the event so far lets one expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing special.
    Quiet,
    /// Inside a traceback: everything up to the exception's own line belongs to it.
    Traceback,
    /// The exception's line has come; a chain may follow.
    Raised,
    /// Between two tracebacks of a chain.
    Chain,
    /// A Go panic.
    Go,
    /// A Rust panic whose message is on the next line.
    RustMessage,
    /// Carets point at source code: the error itself follows.
    Caret,
}

/// The event under way.
struct Current {
    event: RawEvent,
    /// Its first line is a logger's: unmarked lines belong to it.
    headed: bool,
    /// Its first line names a level or ends with a colon: a traceback may belong to it.
    announces: bool,
    /// Its first line ends with a colon.
    colon: bool,
    mode: Mode,
    /// Where its first line says who wrote it.
    who: Range<usize>,
    /// Length and lines of `text` without blank lines at its end.
    solid: (usize, u32),
}

/// Bytes of one stream in, events out.
pub struct Assembler {
    limits: Limits,
    current: Option<Current>,
    /// The last line so far, without its newline: at most `line_bytes` and some slack.
    partial: Vec<u8>,
    /// How long that line really is, and where it starts.
    partial_length: u64,
    line_start: u64,
    /// Whether the line so far is nothing but NULs.
    only_nul: bool,
}

impl Assembler {
    /// An assembler whose first byte will be the stream's byte `offset`, the start of a line.
    #[must_use]
    pub fn new(limits: Limits, offset: u64) -> Self {
        Self { limits, current: None, partial: Vec::new(), partial_length: 0, line_start: offset, only_nul: true }
    }

    /// Takes the next bytes; events that they complete go to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<RawEvent>) {
        let mut from = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            let line = &bytes[from..newline];
            from = newline + 1;
            let end = self.line_start + self.partial_length + line.len() as u64 + 1;
            if self.partial_length == 0 && line.len() <= self.limits.line_bytes {
                self.line(skip_nul(line), false, end, out);
            } else {
                self.hold(line);
                self.partial_line(end, out);
            }
            self.line_start = end;
        }
        self.hold(&bytes[from..]);
    }

    /// The complete lines that wait.
    #[must_use]
    pub fn pending(&self) -> Option<Pending<'_>> {
        self.current.as_ref().map(|current| Pending {
            text: &current.event.text[..current.solid.0],
            offset: current.event.offset,
            lines: current.solid.1,
            open: current.is_open(),
        })
    }

    /// Gives up waiting: the complete lines as an event. The unfinished last line stays.
    pub fn take_pending(&mut self) -> Option<RawEvent> {
        self.current.take().map(Current::into_event)
    }

    /// The stream is over: what is left, the unfinished last line included. Call it until it gives nothing more.
    pub fn finish(&mut self) -> Option<RawEvent> {
        if self.partial_length > 0 {
            let end = self.line_start + self.partial_length;
            let mut out = Vec::new();
            self.partial_line(end, &mut out);
            self.line_start = end;
            if let Some(event) = out.pop() {
                return Some(event);
            }
        }
        self.take_pending()
    }

    /// Everything before this byte has come out: where a restart must begin.
    #[must_use]
    pub fn safe_offset(&self) -> u64 {
        self.current.as_ref().map_or(self.line_start, |current| current.event.offset)
    }

    /// The byte of the stream that comes next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.line_start + self.partial_length
    }

    /// Adds to the unfinished line, whose middle is dropped when it grows beyond the limit.
    fn hold(&mut self, bytes: &[u8]) {
        self.partial_length += bytes.len() as u64;
        let kept = if self.only_nul { skip_nul(bytes) } else { bytes };
        self.only_nul = self.only_nul && kept.is_empty();
        let (head, tail) = halves(self.limits.line_bytes);
        if self.partial.len() + kept.len() <= head + 2 * tail {
            self.partial.extend_from_slice(kept);
            return;
        }
        let room = head.saturating_sub(self.partial.len());
        let (first, rest) = kept.split_at(room.min(kept.len()));
        self.partial.extend_from_slice(first);
        if rest.len() >= tail {
            self.partial.truncate(head);
            // One byte more than will be kept, so that the cut is known.
            self.partial.push(0);
            self.partial.extend_from_slice(&rest[rest.len() - tail..]);
        } else {
            let keep = (tail - rest.len()).min(self.partial.len() - head);
            let from = self.partial.len() - keep;
            self.partial.drain(head..from);
            self.partial.insert(head, 0);
            self.partial.extend_from_slice(rest);
        }
    }

    fn partial_line(&mut self, end: u64, out: &mut Vec<RawEvent>) {
        let mut line = std::mem::take(&mut self.partial);
        let long = line.len() > self.limits.line_bytes;
        if long {
            let (head, tail) = halves(self.limits.line_bytes);
            let from = line.len() - tail;
            line.splice(head..from, CUT.iter().copied());
        }
        self.line(&line, long, end, out);
        line.clear();
        // A buffer that one endless line made large is not kept for ever.
        if line.capacity() <= self.limits.line_bytes {
            self.partial = line;
        }
        self.partial_length = 0;
        self.only_nul = true;
    }

    /// One complete line, CR still on.
    fn line(&mut self, text: &[u8], cut: bool, end: u64, out: &mut Vec<RawEvent>) {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let line = Line::new(text);
        if let Some(current) = &mut self.current {
            let full = current.event.lines >= self.limits.event_lines
                || current.event.text.len() + text.len() > self.limits.event_bytes;
            if current.takes(text, &line) {
                if !full {
                    current.add(text, &line, cut, end);
                    return;
                }
                // Bounded, and nothing lost: the rest becomes an event of its own.
                current.event.truncated = true;
                let rest = current.rest(text, &line, self.line_start, end);
                out.extend(self.current.replace(rest).map(Current::into_event));
                return;
            }
        }
        let next = (line.kind != Kind::Blank).then(|| Current::new(text, &line, cut, self.line_start, end));
        out.extend(std::mem::replace(&mut self.current, next).map(Current::into_event));
    }
}

impl Current {
    fn new(text: &[u8], line: &Line<'_>, cut: bool, offset: u64, end: u64) -> Self {
        let colon = line.body.ends_with(b":");
        let mode = match line.kind {
            Kind::Traceback => Mode::Traceback,
            Kind::Indented if ends_as_traceback(line.body) => Mode::Traceback,
            Kind::Chain => Mode::Chain,
            Kind::Go => Mode::Go,
            Kind::Rust if colon => Mode::RustMessage,
            _ => Mode::Quiet,
        };
        Self {
            event: RawEvent { offset, end, lines: 1, text: text.to_vec(), truncated: cut, stamp: line.stamp },
            headed: line.kind == Kind::Head,
            announces: colon || matches!(line.kind, Kind::Head | Kind::Start),
            colon,
            mode,
            who: line.who.clone(),
            solid: (text.len(), 1),
        }
    }

    /// An event for what no longer fits into this one.
    fn rest(&self, text: &[u8], line: &Line<'_>, offset: u64, end: u64) -> Self {
        let mut rest = Self::new(text, line, true, offset, end);
        (rest.headed, rest.announces, rest.mode) = (self.headed, self.announces, self.mode);
        rest
    }

    /// Whether the line belongs to this event.
    fn takes(&self, text: &[u8], line: &Line<'_>) -> bool {
        let written_by_same = text[line.who.clone()] == self.event.text[self.who.clone()];
        if !written_by_same && !self.stands_above(text, line) {
            return false;
        }
        match line.kind {
            Kind::Head | Kind::Start => false,
            Kind::Blank | Kind::Indented | Kind::Chain | Kind::Cause => true,
            Kind::RustNote => true,
            Kind::Traceback => self.announces || self.mode == Mode::Chain,
            Kind::Go => self.mode == Mode::Go,
            Kind::Rust => false,
            Kind::Other => {
                self.headed
                    || match self.mode {
                        Mode::Traceback | Mode::Chain | Mode::RustMessage | Mode::Caret => true,
                        Mode::Go => is_go(line.body),
                        // `Task exception was never retrieved` is followed by what it was.
                        Mode::Quiet => {
                            line.body.starts_with(b"future: <")
                                || (self.solid.1 > 1 && closes(line.body))
                                || (self.announces && (is_versioned(line.body) || line.body.starts_with(b"---> ")))
                        }
                        Mode::Raised => false,
                    }
            }
        }
    }

    /// journalctl writes the lines of one message below each other, the first one alone with a time.
    fn stands_above(&self, text: &[u8], line: &Line<'_>) -> bool {
        let below = text.iter().take_while(|b| **b == b' ').count();
        line.who.is_empty() && !self.who.is_empty() && below > self.who.end
    }

    fn add(&mut self, text: &[u8], line: &Line<'_>, cut: bool, end: u64) {
        self.event.text.push(b'\n');
        self.event.text.extend_from_slice(text);
        self.event.lines += 1;
        self.event.truncated |= cut;
        self.event.end = end;
        if line.kind == Kind::Blank {
            return;
        }
        self.solid = (self.event.text.len(), self.event.lines);
        if line.body.starts_with(b"future: <") {
            self.announces = true;
        }
        self.mode = match (line.kind, self.mode) {
            (Kind::Traceback, _) => Mode::Traceback,
            (Kind::Chain, _) => Mode::Chain,
            (Kind::Go, _) => Mode::Go,
            (Kind::Indented, Mode::Quiet) if is_caret(line.body) => Mode::Caret,
            (Kind::Indented, mode) => mode,
            (Kind::Other, Mode::Traceback) => Mode::Raised,
            (Kind::Other, Mode::RustMessage | Mode::Caret) => Mode::Quiet,
            (_, mode) => mode,
        };
    }

    fn is_open(&self) -> bool {
        match self.mode {
            Mode::Traceback | Mode::Chain | Mode::RustMessage | Mode::Caret => true,
            // `goroutine` is still to come.
            Mode::Go => self.solid.1 == 1,
            // A blank line after the exception means that a chain follows, mostly.
            Mode::Raised => self.event.lines > self.solid.1,
            Mode::Quiet => self.event.lines == 1 && self.colon,
        }
    }

    fn into_event(mut self) -> RawEvent {
        (self.event.lines, _) = (self.solid.1, self.event.text.truncate(self.solid.0));
        self.event
    }
}

/// How many bytes of a long line's start and end are kept.
fn halves(limit: usize) -> (usize, usize) {
    (limit - limit / 4, limit / 4)
}

/// A hole that a truncation left in a file reads as NULs.
fn skip_nul(bytes: &[u8]) -> &[u8] {
    match bytes.first() {
        Some(0) => &bytes[bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len())..],
        _ => bytes,
    }
}

/// `  + Exception Group Traceback (most recent call last):` and its like are indented throughout.
fn ends_as_traceback(body: &[u8]) -> bool {
    body.ends_with(b"Traceback (most recent call last):") && !body.trim_ascii_start().starts_with(b"+")
}

/// `^^^^` or `~~~^` below a line of source code.
fn is_caret(body: &[u8]) -> bool {
    let marks = body.trim_ascii();
    marks.contains(&b'^') && marks.iter().all(|b| b"^~".contains(b))
}

/// The `}` that ends what was indented before.
fn closes(body: &[u8]) -> bool {
    body.len() <= 3 && body.iter().all(|b| b"}]);,".contains(b))
}

/// A frame or note of a Go panic.
fn is_go(body: &[u8]) -> bool {
    body.ends_with(b")")
        || [&b"created by "[..], b"[signal ", b"exit status ", b"runtime.", b"runtime:"]
            .iter()
            .any(|s| body.starts_with(s))
}

#[cfg(test)]
mod tests;
