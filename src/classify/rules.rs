//! Holds the ordered rule table and asks it. Pure.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use super::event::{self, Part, Place};
use super::file::{self, Content, Entry, Kind, Problem, RuleSource};
use super::plain::{Plain, plain};
use super::said::Said;
use super::search::{Search, Searched};
use super::table::{Scratch, Table};
use super::{Hit, Signal, SignalKind, captures};

/// The most rules in one table; one more is a mistake of a generator.
pub const MAX_RULES: usize = 10_000;

/// The pack that comes last and that no choice of packs leaves out: what the operating system itself says.
const GENERIC: &str = "generic";

/// The pack that comes first and that no choice leaves out either: lines in which people speak, not programs.
const CHAT: &str = "_chat";

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
    /// Whether it names no fixed text by which it could be found, so that it is asked about every event.
    pub slow: bool,
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
    /// Made when the first event is asked about: a search through a log has one of its own.
    search: Arc<OnceLock<Search>>,
    /// Pack → packs it cannot do without.
    needs: BTreeMap<String, Vec<String>>,
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
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        let mut off: BTreeSet<String> = BTreeSet::new();
        for (_, Content { entries: read, off: switched, problems: found, .. }) in read {
            problems.extend(found);
            for entry in read {
                match known.get(&entry.id).map(|number| &entries[*number]) {
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
                    None => {
                        known.insert(entry.id.clone(), entries.len());
                        entries.push(entry);
                    }
                }
            }
            off.extend(switched.into_iter().map(|(id, _)| id));
        }
        (Self::assemble(entries, needs), problems)
    }

    fn assemble(entries: Vec<Entry>, needs: BTreeMap<String, Vec<String>>) -> Self {
        let is_signal = |entry: &Entry| matches!(entry.kind, Kind::Signal { .. });
        let rules = entries.iter().filter(|entry| !is_signal(entry)).cloned().collect();
        // What strangers wrote says nothing of a download either.
        let signals = entries.into_iter().filter(|entry| is_signal(entry) || entry.kind == Kind::Ignore).collect();
        Self { rules: Table::new(rules), signals: Table::new(signals), search: Arc::default(), needs }
    }

    /// The same table with only these packs, what they need, the generic pack and the user's own rules.
    ///
    /// # Errors
    /// When there is no such pack.
    pub fn restrict(&self, packs: &[String]) -> Result<Self, UnknownPack> {
        let known: Vec<&str> = self.needs.keys().map(String::as_str).collect();
        let mut kept: BTreeSet<&str> = BTreeSet::from([CHAT, GENERIC]);
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
        Ok(Self::assemble(entries, self.needs.clone()))
    }

    /// What the event says of a download job, and what the first rule that claims it says.
    #[must_use]
    pub fn ask(&self, text: &[u8]) -> (Option<Signal>, Option<Hit>) {
        let text = plain(text);
        let (parts, mut scratch) = (parts(&text), Scratch::default());
        let signal = self.told(&parts, &mut scratch);
        let hit =
            self.winner(&text, &parts, &mut scratch).and_then(|(entry, part)| hit_in(entry, part, &text, &text.said));
        (signal, hit)
    }

    /// What the first rule that claims the event says of it.
    #[must_use]
    pub fn classify(&self, text: &[u8]) -> Option<Hit> {
        let text = plain(text);
        let parts = parts(&text);
        let (entry, part) = self.winner(&text, &parts, &mut Scratch::default())?;
        hit_in(entry, part, &text, &text.said)
    }

    /// The same with what the rule itself reads out, and nothing that only stands around it.
    pub(super) fn claim(&self, text: &[u8]) -> Option<Hit> {
        let text = plain(text);
        let parts = parts(&text);
        let (entry, part) = self.winner(&text, &parts, &mut Scratch::default())?;
        hit(entry, part)
    }

    /// What the event says of a download job.
    #[must_use]
    pub fn signal(&self, text: &[u8]) -> Option<Signal> {
        self.told(&parts(&plain(text)), &mut Scratch::default())
    }

    /// Does now what the first event would wait for. Patterns are compiled when they are needed all the same: all that usual lines
    /// ask for would take as much memory as everything else.
    pub fn warm(&self) {
        let _ = self.search();
    }

    fn search(&self) -> &Search {
        self.search.get_or_init(|| Search::new(&self.rules, &self.signals))
    }

    /// The first rule, part by part; rules marked `fallback` only when no other claims any part.
    fn winner<'t, 'p, 'a>(
        &'t self,
        plain: &Plain<'_>,
        parts: &'p [Searched<'a>],
        scratch: &mut Scratch,
    ) -> Option<(&'t Entry, &'p Part<'a>)> {
        let mut finds = Vec::new();
        let mut matching = |searched: &Searched<'_>, take: &mut dyn FnMut(&'t Entry) -> bool| {
            self.search().for_rules(searched, &mut finds);
            self.rules.matching(&searched.part, 0, &finds, scratch, take);
        };
        let (entry, searched) = first(parts, |searched, take| matching(searched, take))?;
        let told = event::told(plain).map(Searched::new);
        let by_person = told.as_ref().is_some_and(|told| spoken(&told.part, |take| matching(told, take)).is_some());
        (!by_person).then_some((entry, &searched.part))
    }

    /// The same, asking every pattern about every part; and the ignores that match, but that no rule gave a reason to ask.
    pub(super) fn winner_slowly<'t, 'a>(
        &'t self,
        plain: &'a Plain<'_>,
    ) -> (Option<(&'t Entry, Part<'a>)>, Vec<&'t Entry>) {
        let unasked = RefCell::new(Vec::new());
        let matching = |part: &Part<'_>, take: &mut dyn FnMut(&'t Entry) -> bool| {
            unasked.borrow_mut().extend(self.rules.matching_slowly(part, take));
        };
        let won = self.winner_by(plain, matching);
        (won, unasked.into_inner())
    }

    /// The same, such an ignore too.
    pub(super) fn winner_plainly<'t, 'a>(&'t self, plain: &'a Plain<'_>) -> Option<(&'t Entry, Part<'a>)> {
        self.winner_by(plain, |part, take| self.rules.matching_plainly(part, take))
    }

    fn winner_by<'t, 'a>(
        &'t self,
        plain: &'a Plain<'_>,
        matching: impl Fn(&Part<'_>, &mut dyn FnMut(&'t Entry) -> bool),
    ) -> Option<(&'t Entry, Part<'a>)> {
        let won = first(event::parts(plain), |part, take| matching(part, take))?;
        let told = event::told(plain).and_then(|told| {
            let ignore = spoken(&told, |take| matching(&told, take))?;
            Some((ignore, told))
        });
        told.or(Some(won))
    }

    fn told(&self, parts: &[Searched<'_>], scratch: &mut Scratch) -> Option<Signal> {
        let mut finds = Vec::new();
        parts.iter().find_map(|searched| {
            let part = &searched.part;
            let mut claims: Vec<&Entry> = Vec::new();
            let mut ignored = false;
            self.search().for_signals(searched, &mut finds);
            self.signals.matching(part, 0, &finds, scratch, &mut |entry| {
                if entry.objection(part).is_none() {
                    match entry.kind {
                        Kind::Ignore if claims.is_empty() => ignored = true,
                        Kind::Ignore => {}
                        Kind::Signal { .. } | Kind::Rule { .. } => claims.push(entry),
                    }
                }
                !ignored
            });
            let first = claims.first().filter(|_| !ignored)?;
            let Kind::Signal { means } = first.kind else { return None };
            // One line often says several things of a download: the first signal tells what happened, the others add
            // what they alone read out (a `file_id`, a size).
            let mut captures = crate::vocab::Captures::new();
            for entry in &claims {
                for (name, value) in captures::read(&entry.pattern, entry.sees(part)) {
                    captures.entry(name).or_insert(value);
                }
            }
            // A line may say itself how far it is.
            let means = captures.remove("state").and_then(|word| SignalKind::of_state(&word)).unwrap_or(means);
            Some(Signal { rule: first.id.clone(), means, captures })
        })
    }

    /// Whether an event that no rule claims reads like an error: its level, a traceback, or the usual first words.
    #[must_use]
    pub fn looks_like_error(&self, text: &[u8]) -> bool {
        event::looks_like_error(text)
    }

    /// For an event that no rule claims but that reads like an error: what it shares with those that are alike.
    #[must_use]
    pub fn unclassified(&self, text: &[u8]) -> Option<String> {
        event::looks_like_error(text).then(|| super::shape::shape(text))
    }

    /// Whether some rule names no fixed text, so that every event has to be asked: slow.
    #[must_use]
    pub fn asks_every_event(&self) -> bool {
        self.rules.is_slow()
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

/// What rules are asked about, to be searched.
fn parts<'a>(plain: &'a Plain<'_>) -> Vec<Searched<'a>> {
    event::parts(plain).into_iter().map(Searched::new).collect()
}

/// The first entry without an objection, part by part; `matching` hands over the entries that match a part.
pub(super) fn first<'t, 'a, P: Borrow<Part<'a>>>(
    parts: impl IntoIterator<Item = P>,
    mut matching: impl FnMut(&P, &mut dyn FnMut(&'t Entry) -> bool),
) -> Option<(&'t Entry, P)> {
    let mut fallback = None;
    for part in parts {
        let (mut winner, mut second) = (None, None);
        matching(&part, &mut |entry| {
            if entry.objection(part.borrow()).is_some() {
                return true;
            }
            if entry.fallback {
                second.get_or_insert(entry);
                return true;
            }
            winner = Some(entry);
            false
        });
        if let Some(entry) = winner {
            return Some((entry, part));
        }
        if let (Some(entry), None) = (second, &fallback) {
            fallback = Some((entry, part));
        }
    }
    fallback
}

/// What claims the part as the words of a person: an ignore of their pack, before anything else.
pub(super) fn spoken<'t>(
    part: &Part<'_>,
    matching: impl FnOnce(&mut dyn FnMut(&'t Entry) -> bool),
) -> Option<&'t Entry> {
    let mut first = None;
    matching(&mut |entry| {
        if entry.objection(part).is_some() {
            return true;
        }
        first = (entry.kind == Kind::Ignore && entry.pack == CHAT).then_some(entry);
        false
    });
    first
}

/// What the entry says of the part that it claims; an ignore says nothing.
pub(super) fn hit(entry: &Entry, part: &Part<'_>) -> Option<Hit> {
    let Kind::Rule { class, severity } = entry.kind else { return None };
    let captures = captures::read(&entry.pattern, entry.sees(part));
    Some(Hit { rule: entry.id.clone(), class, severity, captures })
}

/// The same with what stands around the words that the rule reads, and what it reads in the sentences of a line that it claims as a
/// whole: there nothing is escaped.
pub(super) fn hit_in(entry: &Entry, part: &Part<'_>, event: &[u8], said: &[Said]) -> Option<Hit> {
    let mut hit = hit(entry, part)?;
    if part.place == Place::Whole {
        for said in said {
            let read = captures::read(&entry.pattern, entry.sees(&Part::said(Place::Said, said)));
            for (name, value) in read {
                hit.captures.entry(name).or_insert(value);
            }
        }
    }
    captures::fill(&mut hit.captures, hit.class, event, said);
    Some(hit)
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
        pattern: entry.pattern.as_str().to_owned(),
        about: entry.about.clone(),
        slow: !entry.has_texts(),
    }
}
