//! An ordered table of entries, asked by the texts they need. Pure.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};

use super::event::{Part, Place};
use super::file::{At, Entry, Kind};
use super::literal::{Literal, Reach};
use super::pairs::Pairs;
use super::scan::Find;

/// So many entries whose texts stand in a part, and that are compiled, are asked about it without a look at its pairs of bytes.
const FEW: usize = 3;

/// Entries, and the texts by which they are found.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Arc<[Entry]>,
    /// Entries without a text, asked about every part.
    slow: Arc<[u32]>,
    /// Ignores without a text, asked when a rule behind them claims a part.
    slow_ignores: Arc<[u32]>,
    index: Arc<OnceLock<Index>>,
}

#[derive(Debug)]
struct Index {
    /// Who needs which text, those of one after those of the other.
    uses: Box<[Use]>,
    /// Text → the first of its uses; one more than there are texts.
    first: Box<[u32]>,
}

#[derive(Clone, Copy, Debug)]
struct Use {
    entry: u32,
    /// Of the text.
    length: u32,
    reach: Reach,
}

/// An entry whose text stands in the part.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    entry: u32,
    at: usize,
    length: u32,
    reach: Reach,
}

/// What one question needs again and again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    candidates: Vec<Candidate>,
}

impl Entry {
    /// The texts by which it is found; `None`: it has none, or is not to be found by them.
    pub(super) fn texts(&self) -> Option<Cow<'_, [(Literal, Reach)]>> {
        if self.late { None } else { self.pattern.needs() }
    }

    /// Whether it is found by texts.
    pub(super) fn has_texts(&self) -> bool {
        !self.late && self.pattern.has_needs()
    }
}

impl Index {
    /// By what [`needed`] found.
    fn new(needed: &[(Literal, Use)]) -> Self {
        let mut first: Vec<u32> = Vec::new();
        for (number, (text, _)) in (0..).zip(needed) {
            if number == 0 || needed[number as usize - 1].0 != *text {
                first.push(number);
            }
        }
        first.push(u32::try_from(needed.len()).unwrap_or(u32::MAX));
        Self { uses: needed.iter().map(|(_, used)| *used).collect(), first: first.into() }
    }

    /// Who needs this text; `None`: what stands behind the texts are marks of who searched, not texts of ours.
    fn uses(&self, text: u32) -> Option<&[Use]> {
        let text = text as usize;
        let (from, to) = (*self.first.get(text)?, *self.first.get(text + 1)?);
        self.uses.get(from as usize..to as usize)
    }
}

/// Every text that an entry needs, in the order of the texts, then of the entries.
fn needed(entries: &[Entry]) -> Vec<(Literal, Use)> {
    let mut needed = Vec::new();
    for (entry, kept) in (0..).zip(entries) {
        let texts = kept.texts().unwrap_or_default();
        needed.extend(texts.iter().map(|(text, reach)| {
            let length = text.len() as u32;
            (*text, Use { entry, length, reach: *reach })
        }));
    }
    // Stable: the entries of a text stay in their order.
    needed.sort_by_key(|(text, _)| *text);
    needed
}

impl Table {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        let without = (0..).zip(&entries).filter(|(_, entry)| !entry.has_texts());
        let (ignores, slow): (Vec<_>, Vec<_>) = without.partition(|(_, entry)| entry.kind == Kind::Ignore);
        let numbers = |of: Vec<(u32, &Entry)>| of.into_iter().map(|(number, _)| number).collect();
        let (slow, slow_ignores) = (numbers(slow), numbers(ignores));
        Self { entries: entries.into(), slow, slow_ignores, index: Arc::default() }
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::new(&needed(&self.entries)))
    }

    /// The texts that are searched for, in their order. Gathered anew: who searches keeps them.
    pub(super) fn texts(&self) -> Vec<Literal> {
        let needed = needed(&self.entries);
        self.index.get_or_init(|| Index::new(&needed));
        let mut texts: Vec<Literal> = needed.into_iter().map(|(text, _)| text).collect();
        texts.dedup();
        texts
    }

    /// How many those are.
    pub(super) fn text_count(&self) -> u32 {
        u32::try_from(self.index().first.len() - 1).unwrap_or(u32::MAX)
    }

    /// Whether every event has to be asked: some rule has no text.
    pub(super) fn is_slow(&self) -> bool {
        !self.slow.is_empty()
    }

    /// `take` gets each entry whose pattern matches this part, if nothing else bars it from that, in order, until it says
    /// stop. `finds` are the places of [`Self::texts`], by their numbers; `base` is the byte at which the part's line begins
    /// for them.
    pub(super) fn matching<'t>(
        &'t self,
        part: &Part<'_>,
        base: usize,
        finds: &[Find],
        scratch: &mut Scratch,
        take: &mut dyn FnMut(&'t Entry) -> bool,
    ) {
        let index = self.index();
        let candidates = &mut scratch.candidates;
        candidates.clear();
        for find in finds {
            let Some(uses) = index.uses(find.text) else { continue };
            candidates.extend(uses.iter().map(|used| Candidate {
                entry: used.entry,
                at: find.at - base,
                length: used.length,
                reach: used.reach,
            }));
        }
        let ignores = &self.slow_ignores;
        // An ignore that claims one part of a traceback speaks for all of it, whether a rule wants that part or not.
        let whole = matches!(part.place, Place::Whole | Place::Said);
        if candidates.is_empty() && self.slow.is_empty() && (whole || ignores.is_empty()) {
            return;
        }
        // Few, mostly one.
        candidates.sort_unstable_by_key(|candidate| (candidate.entry, candidate.at));
        let mut known = candidates.chunk_by(|a, b| a.entry == b.entry).peekable();
        let mut slow = self.slow.iter().copied().peekable();
        let mut ignores = ignores.iter().copied().peekable();
        // To gather the pairs costs more than to ask some patterns that are compiled.
        let few = candidates.chunk_by(|a, b| a.entry == b.entry).nth(FEW).is_none();
        let (of_line, of_message) = (OnceCell::new(), OnceCell::new());
        let may = |entry: &Entry, is_found: bool| {
            let pairs = match entry.at {
                At::Line => &of_line,
                At::Message => &of_message,
            };
            let soon = is_found && few;
            let allows = || {
                let allowed = entry.pattern.allowed_by(pairs.get_or_init(|| Pairs::of(entry.sees(part))));
                if soon && !allowed {
                    entry.pattern.note_left_out();
                }
                allowed
            };
            entry.bar(part).is_none() && (soon && entry.pattern.is_ready() || allows())
        };
        // Those before this entry, asked only now: most parts are claimed by nobody.
        let mut ignored = |before: u32, take: &mut dyn FnMut(&'t Entry) -> bool| {
            while let Some(ignore) = ignores.next_if(|ignore| *ignore < before) {
                let ignore = &self.entries[ignore as usize];
                let text = ignore.sees(part);
                if ignore.pattern.may_begin(text)
                    && may(ignore, false)
                    && ignore.pattern.is_match(text)
                    && !take(ignore)
                {
                    return true;
                }
            }
            false
        };
        loop {
            let next = known.peek().map(|found| found[0].entry);
            let next_slow = slow.peek().copied();
            let (number, found) = match (next, next_slow) {
                (None, None) => {
                    if !whole {
                        ignored(u32::MAX, take);
                    }
                    return;
                }
                (Some(number), other) if other.is_none_or(|other| number < other) => {
                    (number, known.next().unwrap_or_default())
                }
                (_, Some(number)) => {
                    slow.next();
                    (number, &[][..])
                }
                (Some(_), None) => return,
            };
            let entry = &self.entries[number as usize];
            if !may(entry, !found.is_empty()) || !claims(entry, part, found) {
                continue;
            }
            if ignored(number, take) {
                return;
            }
            if !take(entry) {
                return;
            }
        }
    }

    /// Asks every pattern, and tells of those too that something else bars: what the search for texts is held against.
    pub(super) fn matching_plainly<'t>(&'t self, part: &Part<'_>, take: &mut dyn FnMut(&'t Entry) -> bool) {
        for entry in self.entries.iter() {
            if entry.pattern.is_match(entry.sees(part)) && !take(entry) {
                return;
            }
        }
    }

    /// Hands over what [`Self::matching`] does, and finds it by asking every pattern. Returns the ignores that match, but that no rule
    /// gave a reason to ask.
    pub(super) fn matching_slowly<'t>(
        &'t self,
        part: &Part<'_>,
        take: &mut dyn FnMut(&'t Entry) -> bool,
    ) -> Vec<&'t Entry> {
        let whole = matches!(part.place, Place::Whole | Place::Said);
        let mut late = Vec::new();
        for (number, entry) in (0_u32..).zip(self.entries.iter()) {
            if entry.bar(part).is_some() || !entry.pattern.is_match(entry.sees(part)) || entry.objection(part).is_some()
            {
                continue;
            }
            late.push(entry);
            // An ignore without a text counts only where a rule behind it claims.
            let waits = whole && self.slow_ignores.contains(&number);
            if !waits && !late.drain(..).all(&mut *take) {
                return Vec::new();
            }
        }
        late
    }
}

/// Whether the entry's pattern matches the part in which its texts stand at these places.
fn claims(entry: &Entry, part: &Part<'_>, found: &[Candidate]) -> bool {
    let text = entry.sees(part);
    if found.is_empty() {
        return entry.pattern.may_begin(text) && entry.pattern.is_match(text);
    }
    // Texts before the message, or behind what is looked at of a long part, do not count.
    let skipped = match entry.at {
        At::Line => 0,
        At::Message => part.line.len() - text.len(),
    };
    let first = found.partition_point(|candidate| candidate.at < skipped);
    let found = &found[first..];
    let last = found.partition_point(|candidate| candidate.at - skipped < text.len());
    let found = &found[..last];
    let places = found.iter().map(|&Candidate { at, length, reach, .. }| {
        let at = at - skipped;
        (at..at + length as usize, reach)
    });
    !found.is_empty() && entry.pattern.is_match_at(text, places)
}
