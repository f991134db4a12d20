//! Looks through a finished log without taking all of it apart. Pure.
//!
//! ```text
//! block ── texts that rules need, and marks ──→ finds ── the lines around one ──→ group ── events ──→ rules
//! ```
//!
//! The log is only ever cut before lines that begin an event whatever stood before them ([`begins_event`]). What lies
//! between two cuts is a *group*: one line mostly. A group in which nothing was found cannot hold an event that a rule
//! claims, and is never looked at; one line is asked where it stands; a group of more lines goes through an
//! [`Assembler`]. So the events, and what is said of them, are those of the plain way: assemble all, ask about each.

use std::collections::VecDeque;

use super::event::{self, Part};
use super::file::{Entry, Kind};
use super::plain::{changed_texts, is_literal, plain};
use super::rules::{first, hit_in, spoken};
use super::said::Said;
use super::scan::{Find, Scanner};
use super::simd::Way;
use super::table::Scratch;
use super::{Hit, Rules};
use crate::assemble::{
    Assembler, LINE_BYTES, Limits, RawEvent, begins_event, first_cut, last_cut, line_start, next_line,
    supervisor_prefix,
};
use crate::vocab::Class;

/// What is wanted of each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Its class, and events that read like errors though no rule knows them.
    Classes,
    /// What the rule says of it, captures too.
    Hits,
}

/// An event that a rule claims, or that reads like an error.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The byte at which its first line starts.
    pub offset: u64,
    /// Its first line's number, 1 for the first line of the search; 0 when only classes are wanted.
    pub line: u64,
    /// How many lines.
    pub lines: u32,
    /// Its text.
    pub text: &'a [u8],
    /// The rule's class; `None` when no rule knows it.
    pub class: Option<Class>,
    /// What the rule says, when that is wanted.
    pub hit: Option<Hit>,
}

/// Who gets what is found; an error ends the search.
pub type Take<'t, E> = dyn FnMut(Found<'_>) -> Result<(), E> + 't;

/// A search through one log from its start, or from a place where it may be cut.
pub struct Bulk<'r> {
    rules: &'r Rules,
    want: Want,
    scanner: Scanner,
    /// Finds from here on are marks: what makes an event read otherwise than it stands there.
    own: u32,
    /// And from here on words of an error.
    words: u32,
    finds: Vec<Find>,
    scratch: Scratch,
    /// The byte of the log at which the next block begins.
    base: u64,
    /// Line ends before the place up to which they were counted; only counted when hits are wanted.
    ends: u64,
    /// A group that is longer than a block.
    open: Option<Open>,
}

struct Open {
    assembler: Assembler,
    /// Where something was found that no event has come out for yet.
    finds: Vec<u64>,
    /// Where lines ended that are not counted yet.
    ends: VecDeque<u64>,
    /// The last block ended inside a line.
    in_line: bool,
}

impl Open {
    /// How many lines have ended before this byte, since the last time.
    fn ended_before(&mut self, offset: u64) -> u64 {
        let count = self.ends.partition_point(|end| *end < offset);
        self.ends.drain(..count);
        count as u64
    }
}

/// Stands for a line too long to be kept whole: its event differs from what stands in the log.
const LONG: u32 = u32::MAX;

/// Searches for what rules need, for what makes an event read otherwise than it stands there, and for words of errors when events
/// are wanted that no rule knows.
fn scanner(rules: &Rules, want: Want, way: Way) -> Scanner {
    let mut texts = rules.rules.texts();
    texts.extend(changed_texts());
    if want == Want::Classes {
        texts.extend(event::error_texts());
    }
    Scanner::by(texts, way)
}

impl<'r> Bulk<'r> {
    /// A search that begins at the log's byte `offset`.
    #[must_use]
    pub fn new(rules: &'r Rules, want: Want, offset: u64) -> Self {
        Self::with(rules, want, offset, scanner(rules, want, Way::all()[0]))
    }

    fn with(rules: &'r Rules, want: Want, offset: u64, scanner: Scanner) -> Self {
        let own = rules.rules.text_count();
        let words = own + u32::try_from(changed_texts().count()).unwrap_or(u32::MAX);
        Self {
            rules,
            want,
            scanner,
            own,
            words,
            finds: Vec::new(),
            scratch: Scratch::default(),
            base: offset,
            ends: 0,
            open: None,
        }
    }

    /// Begins again at another place of the same or another log.
    pub fn restart(&mut self, offset: u64) {
        (self.base, self.ends, self.open) = (offset, 0, None);
    }

    /// How many lines have ended so far; 0 when only classes are wanted.
    #[must_use]
    pub fn line_ends(&self) -> u64 {
        self.ends
    }

    fn count(&mut self, bytes: &[u8]) {
        if self.want == Want::Hits {
            self.ends += memchr::memchr_iter(b'\n', bytes).count() as u64;
        }
    }

    /// The number of the line after those counted.
    fn line_number(&self) -> u64 {
        if self.want == Want::Hits { self.ends + 1 } else { 0 }
    }

    /// Takes the next bytes, `last` if nothing follows. Returns how many it has done with; the rest must come again at
    /// the start of the next block, which must then be longer.
    ///
    /// # Errors
    /// What `take` says.
    pub fn push<E>(&mut self, block: &[u8], last: bool, take: &mut Take<'_, E>) -> Result<usize, E> {
        let complete = if last { block.len() } else { memchr::memrchr(b'\n', block).map_or(0, |end| end + 1) };
        let mut from = 0;
        if let Some(mut open) = self.open.take() {
            let line = if open.in_line { next_line(block, 0) } else { 0 };
            let cut = first_cut(block, line.min(complete), complete);
            from = cut.unwrap_or(if complete == 0 { block.len() } else { complete });
            self.feed(&mut open, &block[..from], complete == 0, take)?;
            if cut.is_none() && !last {
                self.open = Some(open);
                self.base += from as u64;
                return Ok(from);
            }
            self.close(open, take)?;
        }
        let to = if last { Some(block.len()) } else { last_cut(block, from, complete) };
        let done = match to {
            Some(to) => {
                self.stretch(block, from, to, take)?;
                to
            }
            None => {
                // No cut in all of the block.
                let end = if complete > from { complete } else { block.len() };
                let assembler = Assembler::new(Limits::default(), self.base + from as u64);
                let mut open = Open { assembler, finds: Vec::new(), ends: VecDeque::new(), in_line: false };
                self.feed(&mut open, &block[from..end], complete <= from, take)?;
                self.open = Some(open);
                end
            }
        };
        self.base += done as u64;
        Ok(done)
    }

    /// Gives more of an open group to its assembler.
    fn feed<E>(&mut self, open: &mut Open, bytes: &[u8], in_line: bool, take: &mut Take<'_, E>) -> Result<(), E> {
        let start = open.assembler.position();
        self.scanner.finds(bytes, &mut self.finds);
        if in_line || open.in_line {
            // A text may stand across the two blocks.
            open.finds.push(start);
        }
        open.finds.extend(self.finds.iter().map(|find| start + find.at as u64));
        open.in_line = in_line;
        if self.want == Want::Hits {
            open.ends.extend(memchr::memchr_iter(b'\n', bytes).map(|at| start + at as u64));
        }
        let mut events = Vec::new();
        open.assembler.push(bytes, &mut events);
        for event in events {
            let found = open.finds.partition_point(|at| *at < event.end);
            let looked_for = open.finds.drain(..found).any(|at| at >= event.offset) || event.truncated;
            self.ends += open.ended_before(event.offset);
            self.event(&event, looked_for, take)?;
        }
        Ok(())
    }

    fn close<E>(&mut self, mut open: Open, take: &mut Take<'_, E>) -> Result<(), E> {
        while let Some(event) = open.assembler.finish() {
            let looked_for = open.finds.iter().any(|at| (event.offset..event.end).contains(at)) || event.truncated;
            self.ends += open.ended_before(event.offset);
            self.event(&event, looked_for, take)?;
        }
        self.ends += open.ends.len() as u64;
        Ok(())
    }

    /// Looks through what lies between two cuts.
    fn stretch<E>(&mut self, block: &[u8], from: usize, to: usize, take: &mut Take<'_, E>) -> Result<(), E> {
        let mut finds = std::mem::take(&mut self.finds);
        let text = &block[..to];
        self.scanner.finds(&text[from..], &mut finds);
        finds.iter_mut().for_each(|find| find.at += from);
        long_lines(text, from, &mut finds);
        let (mut done, mut counted) = (from, from);
        let mut next = 0;
        while let Some(find) = finds.get(next) {
            let mut start = line_start(text, find.at, done);
            let mut end = next_line(text, find.at);
            while start > done && !begins_event(&text[start..end]) {
                start = line_start(text, start - 1, done);
            }
            end = first_cut(text, end, to).unwrap_or(to);
            let count = finds[next..].iter().take_while(|find| find.at < end).count();
            self.count(&text[counted..start]);
            self.group(text, start, end, &finds[next..next + count], take)?;
            (done, counted, next) = (end, start, next + count);
        }
        self.count(&text[counted..]);
        self.finds = finds;
        Ok(())
    }

    /// What lies between two cuts next to each other.
    fn group<E>(
        &mut self,
        text: &[u8],
        start: usize,
        end: usize,
        finds: &[Find],
        take: &mut Take<'_, E>,
    ) -> Result<(), E> {
        let group = &text[start..end];
        let offset = self.base + start as u64;
        let line = group.strip_suffix(b"\n").unwrap_or(group);
        let marks_change = |find: &Find| (self.own..self.words).contains(&find.text);
        let whole = memchr::memchr(b'\n', line).is_none() && line.first() != Some(&0) && line.len() <= LINE_BYTES;
        if whole && self.want == Want::Hits && finds.iter().all(marks_change) && is_literal(line) {
            // A line of fields, but no text of a rule.
            return Ok(());
        }
        let changed = finds.iter().any(marks_change);
        if whole && !changed && supervisor_prefix(line) == 0 {
            return self.line(line.strip_suffix(b"\r").unwrap_or(line), start, offset, finds, take);
        }
        let mut assembler = Assembler::new(Limits::default(), offset);
        let mut events = Vec::new();
        assembler.push(group, &mut events);
        while let Some(event) = assembler.finish() {
            events.push(event);
        }
        let before = self.ends;
        let base = self.base;
        for event in events {
            let place = |find: &Find| base + find.at as u64;
            let looked_for = finds.iter().any(|find| (event.offset..event.end).contains(&place(find)));
            self.ends = before;
            self.count(&group[..(event.offset - offset) as usize]);
            self.event(&event, looked_for || event.truncated, take)?;
        }
        self.ends = before;
        Ok(())
    }

    /// An event of one line, where it stands.
    fn line<E>(
        &mut self,
        line: &[u8],
        start: usize,
        offset: u64,
        finds: &[Find],
        take: &mut Take<'_, E>,
    ) -> Result<(), E> {
        let (rules, scratch) = (self.rules, &mut self.scratch);
        let winner = first([Part::of_line(line)], |part, take| {
            rules.rules.matching(part, start, finds, scratch, take);
        });
        let reads_like_error = || {
            let marked = finds.iter().any(|find| find.text >= self.own);
            marked && event::reads_like_error(line, &[Part::of_line(line)])
        };
        self.tell(winner, reads_like_error, line, &[], |line_number, class, hit| {
            take(Found { offset, line: line_number, lines: 1, text: line, class, hit })
        })
    }

    /// An event that the assembler made.
    fn event<E>(&mut self, event: &RawEvent, looked_for: bool, take: &mut Take<'_, E>) -> Result<(), E> {
        if !looked_for {
            return Ok(());
        }
        let text = plain(&event.text);
        let (rules, scanner, scratch) = (self.rules, &self.scanner, &mut self.scratch);
        let mut finds = Vec::new();
        let mut matching = |part: &Part<'_>, take: &mut dyn FnMut(&'r Entry) -> bool| {
            scanner.finds(part.line, &mut finds);
            rules.rules.matching(part, 0, &finds, scratch, take);
        };
        let parts = event::parts(&text);
        let winner = first(&parts, |part, take| matching(part, take)).map(|(entry, part)| (entry, part.clone()));
        let told = winner.as_ref().and_then(|_| event::told(&text));
        let by_person = told.is_some_and(|told| spoken(&told, |take| matching(&told, take)).is_some());
        let winner = winner.filter(|_| !by_person);
        let reads_like_error = || event::reads_like_error(&text, &parts);
        self.tell(winner, reads_like_error, &text, &text.said, |line, class, hit| {
            take(Found { offset: event.offset, line, lines: event.lines, text: &event.text, class, hit })
        })
    }

    /// What is to be told of an event, if anything: its line's number, its class and what the rule says.
    fn tell<E>(
        &self,
        winner: Option<(&Entry, Part<'_>)>,
        reads_like_error: impl Fn() -> bool,
        text: &[u8],
        said: &[Said],
        take: impl FnOnce(u64, Option<Class>, Option<Hit>) -> Result<(), E>,
    ) -> Result<(), E> {
        match winner.map(|(entry, part)| (entry.kind, entry, part)) {
            Some((Kind::Rule { class, .. }, entry, part)) => {
                let hit = (self.want == Want::Hits).then(|| hit_in(entry, &part, text, said)).flatten();
                take(self.line_number(), Some(class), hit)
            }
            _ if self.want == Want::Classes && reads_like_error() => take(self.line_number(), None, None),
            _ => Ok(()),
        }
    }
}

/// Adds a find for every line that is longer than what is kept of one, in the order of the lines.
fn long_lines(text: &[u8], from: usize, finds: &mut Vec<Find>) {
    // A line this long covers a whole window.
    let window = LINE_BYTES / 2;
    let mut at = from;
    let mut added = false;
    while at + window <= text.len() {
        if memchr::memchr(b'\n', &text[at..at + window]).is_none() {
            finds.push(Find { at, text: LONG });
            added = true;
        }
        at += window;
    }
    if added {
        finds.sort_by_key(|find| find.at);
    }
}

#[cfg(test)]
mod tests;
