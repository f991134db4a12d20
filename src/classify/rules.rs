//! Holds the ordered rule table and asks it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use regex::bytes::{RegexSet, RegexSetBuilder};
use serde::Serialize;

use super::event::{self, Level, Part, Place};
use super::file::{self, At, Content, Entry, Kind, Problem, RuleSource};
use super::{Hit, Signal, captures};

/// The most rules in one table; one more is a mistake of a generator.
pub const MAX_RULES: usize = 10_000;

/// The most memory the compiled table may take, in bytes.
const MAX_COMPILED: usize = 128 << 20;

/// The memory its lazily built automaton may take, in bytes: enough that it is never thrown away and built again.
const MAX_AUTOMATON: usize = 32 << 20;

/// The pack that comes last and that no choice of packs leaves out: what the operating system itself says.
const GENERIC: &str = "generic";

/// A rule as `rules list` and the dashboard show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleInfo {
    /// Its identifier.
    pub id: String,
    /// `rule`, `ignore` or `signal`.
    pub kind: &'static str,
    /// Its pack.
    pub pack: String,
    /// Whether a user wrote it.
    pub user: bool,
    /// Where it is written.
    pub file: String,
    /// In which line.
    pub line: usize,
    /// The class of failure; `None` for an ignore or a signal.
    pub class: Option<crate::vocab::Class>,
    /// How bad.
    pub severity: Option<crate::vocab::Severity>,
    /// Its pattern.
    pub pattern: String,
    /// What it means and what heals it.
    pub about: String,
}

/// A pack that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown pack '{name}'; {hint}")]
pub struct UnknownPack {
    /// The name asked for.
    pub name: String,
    /// The nearest one, or all.
    pub hint: String,
}

/// The rule table: ordered, compiled, cheap to ask and cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub(super) rules: Table,
    signals: Table,
    /// Pack → packs it cannot do without.
    needs: BTreeMap<String, Vec<String>>,
}

/// Entries with one automaton for all patterns that begin at the line and one for those that begin at the message.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
    line: Option<Set>,
    message: Option<Set>,
}

#[derive(Clone, Debug)]
struct Set {
    set: RegexSet,
    /// Pattern number → entry number.
    entries: Vec<usize>,
}

impl Table {
    fn new(entries: Vec<Entry>) -> Result<Self, regex::Error> {
        let set = |at: At| {
            let numbers: Vec<usize> = (0..entries.len()).filter(|&i| entries[i].at == at).collect();
            if numbers.is_empty() {
                return Ok(None);
            }
            let set = RegexSetBuilder::new(numbers.iter().map(|&i| entries[i].regex.as_str()))
                .unicode(false)
                .multi_line(true)
                .crlf(true)
                .size_limit(MAX_COMPILED)
                .dfa_size_limit(MAX_AUTOMATON)
                .build()?;
            Ok::<_, regex::Error>(Some(Set { set, entries: numbers }))
        };
        let (line, message) = (set(At::Line)?, set(At::Message)?);
        Ok(Self { entries, line, message })
    }

    /// The numbers of the entries whose pattern matches this part, in order; conditions are not asked yet.
    pub(super) fn matching(&self, part: &Part<'_>) -> Vec<usize> {
        let mut found = Vec::new();
        for (set, text) in [(&self.line, part.line), (&self.message, part.message)] {
            // Most lines match nothing, and that is found out faster than which ones do.
            if let Some(set) = set
                && set.set.is_match(text)
            {
                found.extend(set.set.matches(text).iter().map(|i| set.entries[i]));
            }
        }
        found.sort_unstable();
        found
    }
}

impl Entry {
    /// The text its pattern sees.
    pub(super) const fn sees<'a>(&self, part: &Part<'a>) -> &'a [u8] {
        match self.at {
            At::Line => part.line,
            At::Message => part.message,
        }
    }

    /// Why it may not claim this part though its pattern matches.
    pub(super) fn objection(&self, place: Place, level: Option<Level>) -> Option<&'static str> {
        if !self.on.allows(place) {
            return Some("its `on` leaves this part of the event out");
        }
        match (self.level, level) {
            (Some(least), Some(is)) if is < least => {
                Some("the program wrote the line at a lower level than its `level`")
            }
            _ => None,
        }
    }
}

impl Rules {
    /// Reads and compiles rule files. What is wrong is left out and reported; the rest works.
    ///
    /// Order: the user's files as given, then the shipped packs as given but each before those it needs, `generic`
    /// last. A user's rule with the
    /// identifier of a shipped one replaces it; with `enabled = false` it switches it off.
    #[must_use]
    pub fn compile(sources: &[RuleSource]) -> (Self, Vec<Problem>) {
        let mut read: Vec<(&RuleSource, Content)> = sources.iter().map(|source| (source, file::read(source))).collect();
        let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (source, content) in &mut read {
            needs.entry(source.pack.clone()).or_default().append(&mut content.needs);
        }
        read.sort_by_key(|(source, _)| (!source.user, if source.user { 0 } else { depth(&source.pack, &needs) }));
        let mut problems = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        let mut off: BTreeSet<String> = BTreeSet::new();
        for (_, Content { entries: read, off: switched, problems: found, .. }) in read {
            problems.extend(found);
            for entry in read {
                match entries.iter().find(|earlier| earlier.id == entry.id) {
                    Some(earlier) if earlier.user == entry.user => problems.push(Problem {
                        file: entry.file,
                        line: entry.line,
                        rule: Some(entry.id),
                        what: format!("the identifier is taken by {}:{}", earlier.file, earlier.line),
                        remedy: "give one of them another".into(),
                    }),
                    Some(_) => {} // A user's rule stands in its place already.
                    None if !entry.user && off.contains(&entry.id) => {}
                    None if entries.len() >= MAX_RULES => problems.push(Problem {
                        file: entry.file,
                        line: entry.line,
                        rule: Some(entry.id),
                        what: format!("there are more than {MAX_RULES} rules"),
                        remedy: "leave packs out that you do not need".into(),
                    }),
                    None => entries.push(entry),
                }
            }
            off.extend(switched.into_iter().map(|(id, _)| id));
        }
        let rules = Self::assemble(entries, needs).unwrap_or_else(|error| {
            problems.push(Problem {
                file: sources.first().map(|source| source.name.clone()).unwrap_or_default(),
                line: 1,
                rule: None,
                what: format!("failed to compile all rules together: {error}"),
                remedy: "leave packs out that you do not need".into(),
            });
            Self::default()
        });
        (rules, problems)
    }

    fn assemble(entries: Vec<Entry>, needs: BTreeMap<String, Vec<String>>) -> Result<Self, regex::Error> {
        let is_signal = |entry: &Entry| matches!(entry.kind, Kind::Signal { .. });
        let rules = entries.iter().filter(|entry| !is_signal(entry)).cloned().collect();
        // What strangers wrote says nothing of a download either.
        let signals = entries.into_iter().filter(|entry| is_signal(entry) || entry.kind == Kind::Ignore).collect();
        Ok(Self { rules: Table::new(rules)?, signals: Table::new(signals)?, needs })
    }

    /// The same table with only these packs, what they need, the generic pack and the user's own rules.
    ///
    /// # Errors
    /// When there is no such pack.
    pub fn restrict(&self, packs: &[String]) -> Result<Self, UnknownPack> {
        let known: Vec<&str> = self.needs.keys().map(String::as_str).collect();
        let mut kept: BTreeSet<&str> = BTreeSet::from([GENERIC]);
        let mut wanted: Vec<&str> = packs.iter().map(String::as_str).collect();
        while let Some(pack) = wanted.pop() {
            let Some(needs) = self.needs.get(pack) else {
                return Err(UnknownPack { name: pack.to_owned(), hint: file::hint(pack, &known) });
            };
            if kept.insert(pack) {
                wanted.extend(needs.iter().map(String::as_str));
            }
        }
        let entries =
            self.entries().filter(|entry| entry.user || kept.contains(entry.pack.as_str())).cloned().collect();
        // Less than what compiled before compiles again.
        Ok(Self::assemble(entries, self.needs.clone()).unwrap_or_default())
    }

    /// What the first rule that claims the event says of it.
    #[must_use]
    pub fn classify(&self, text: &[u8]) -> Option<Hit> {
        let text = event::plain(text);
        let (entry, part) = self.winner(&event::parts(&text))?;
        let Kind::Rule { class, severity } = entry.kind else { return None };
        let captures = captures::read(&entry.regex, entry.sees(&part));
        Some(Hit { rule: entry.id.clone(), class, severity, captures })
    }

    /// The first rule, part by part; rules marked `fallback` only when no other claims any part.
    pub(super) fn winner<'t, 'a>(&'t self, parts: &[Part<'a>]) -> Option<(&'t Entry, Part<'a>)> {
        let mut fallback = None;
        for part in parts {
            let matching = self.rules.matching(part);
            if matching.is_empty() {
                continue;
            }
            let level = part.level();
            for entry in matching.into_iter().map(|i| &self.rules.entries[i]) {
                if entry.objection(part.place, level).is_some() {
                    continue;
                }
                if !entry.fallback {
                    return Some((entry, *part));
                }
                fallback.get_or_insert((entry, *part));
            }
        }
        fallback
    }

    /// What the event says of a download job.
    #[must_use]
    pub fn signal(&self, text: &[u8]) -> Option<Signal> {
        let text = event::plain(text);
        event::parts(&text).iter().find_map(|part| {
            let level = part.level();
            let claims = |entry: &&Entry| entry.objection(part.place, level).is_none();
            let mut entries = self.signals.matching(part).into_iter().map(|i| &self.signals.entries[i]).filter(claims);
            let first = entries.next()?;
            let Kind::Signal { means } = first.kind else { return None }; // An ignore stands before it.
            let mut captures = captures::read(&first.regex, first.sees(part));
            // One line often says several things of a download: the first signal tells what happened, the others add
            // what they alone read out (a `file_id`, a size).
            for entry in entries.filter(|entry| matches!(entry.kind, Kind::Signal { .. })) {
                for (name, value) in captures::read(&entry.regex, entry.sees(part)) {
                    captures.entry(name).or_insert(value);
                }
            }
            Some(Signal { rule: first.id.clone(), means, captures })
        })
    }

    /// Whether an event that no rule claims reads like an error: its level, a traceback, or the usual first words.
    #[must_use]
    pub fn looks_like_error(&self, text: &[u8]) -> bool {
        event::looks_like_error(text)
    }

    /// Every rule, ignore and signal in the order in which they are asked.
    #[must_use]
    pub fn list(&self) -> Vec<RuleInfo> {
        self.entries().map(info).collect()
    }

    /// Rules and ignores in order, then signals.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let signals = self.signals.entries.iter().filter(|entry| entry.kind != Kind::Ignore);
        self.rules.entries.iter().chain(signals)
    }

    /// The packs that were compiled, shipped or the user's, in name order.
    pub fn packs(&self) -> impl Iterator<Item = &str> {
        self.needs.keys().map(String::as_str)
    }
}

/// How far behind a pack comes: behind every pack that needs it.
fn depth(pack: &str, needs: &BTreeMap<String, Vec<String>>) -> usize {
    if pack == GENERIC {
        return usize::MAX;
    }
    // Each round moves one need further; a circle ends with the rounds.
    let mut behind = BTreeSet::from([pack]);
    for round in 0..needs.len() {
        let users = needs.iter().filter(|(_, needed)| needed.iter().any(|name| behind.contains(name.as_str())));
        behind = users.map(|(name, _)| name.as_str()).collect();
        if behind.is_empty() {
            return round;
        }
    }
    needs.len()
}

fn info(entry: &Entry) -> RuleInfo {
    let (kind, class, severity) = match entry.kind {
        Kind::Rule { class, severity } => ("rule", Some(class), Some(severity)),
        Kind::Ignore => ("ignore", None, None),
        Kind::Signal { .. } => ("signal", None, None),
    };
    RuleInfo {
        id: entry.id.clone(),
        kind,
        pack: entry.pack.clone(),
        user: entry.user,
        file: entry.file.clone(),
        line: entry.line,
        class,
        severity,
        pattern: entry.regex.as_str().to_owned(),
        about: entry.about.clone(),
    }
}
