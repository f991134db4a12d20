//! One rule's pattern: read at once, compiled when a text it needs is first found. Pure.
//!
//! Most rules of most packs never meet a line they could match, so most are never compiled: start-up and memory
//! are those of the rules in use. What could fail to compile is compiled at once, so that a mistake is told at the start.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::{NFA, WhichCaptures};
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::facts::{Begins, Facts, First, MAX_NESTING, last_line};
use super::groups::Place;
use super::literal::{Literal, Reach};
use super::pairs::{Mark, Pairs};

/// The most memory one compiled pattern may take, in bytes: `(\w{100}){100}` must not take the machine along.
const MAX_COMPILED: usize = 1 << 20;

/// The states that a pattern may have to be compiled later: far below [`MAX_COMPILED`] at 64 bytes each.
const SURELY_SMALL: usize = MAX_COMPILED / 64 / 4;

/// The most memory of a pattern's lazily built automaton, in bytes. Lines are short, so it mostly stays far below. For a line of
/// 16 KB that holds a hundred others the widest shipped pattern gave up at 256 KB and was searched more than fifty times as
/// slowly; at 512 KB it took twice as long as at this, and more than this gained nothing.
const MAX_AUTOMATON: usize = 1 << 20;

/// A lazily built automaton that was emptied so often, and then makes a state for fewer bytes than these, gives up: another
/// kind of search is faster. What the regex library itself uses.
const MAX_CLEARED: usize = 3;
const BYTES_PER_STATE: usize = 10;

/// A pattern that matched so often is compiled as a whole: where it is made of fixed texts that searches faster.
const MAX_MATCHED: u32 = 16;

/// A pattern that was left out so often by the pairs of bytes it needs is worth compiling: it is asked sooner than they are gathered.
const MAX_LEFT_OUT: u32 = 16;

/// How many places (or lines) of a pattern's texts are tried one by one before the whole part is searched once.
const MAX_TRIES: usize = 4;

/// A pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: Cow<'static, str>,
    facts: Told,
    matcher: OnceLock<Option<Matcher>>,
    compiled: OnceLock<Option<Regex>>,
    /// How often a text was left out for its pairs while it was not ready.
    left_out: AtomicU32,
}

/// Tells whether a pattern matches, not where. Most that are asked do not match: they need no groups, and no search from
/// behind for where a match begins, so neither is compiled for them.
#[derive(Debug)]
struct Matcher {
    dfa: Arc<DFA>,
    caches: Caches,
    /// How often it did.
    matched: AtomicU32,
}

/// What searches write to; one for each thread that searches at once.
type Caches = Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync>>;

/// Who found out what can be said of a pattern.
#[derive(Debug)]
enum Told {
    /// The build, of a shipped one. It stays in the program's file: an idle agent holds no copy.
    Built(&'static Known),
    /// We, of a user's.
    Read(Box<Facts>),
}

/// A text that patterns need: where its bytes stand in [`BYTES`], which of them stand for either case (a bit each), and where it
/// goes in a search by a way that sees bytes, or parts of them. Numbers only: addresses would have to be put in at every start, and the
/// memory that they are put into is the agent's own.
#[derive(Debug)]
struct Text {
    at: u32,
    length: u8,
    fold: u64,
    places: [Place; 2],
}

/// Which of [`TEXTS`] a pattern needs, and how far behind the start it is.
#[derive(Debug)]
struct Need {
    text: u32,
    least: u32,
    most: Option<u32>,
}

/// What was found out of a shipped pattern when the program was built.
#[derive(Debug)]
struct Known {
    pattern: &'static str,
    /// Which of [`NEEDS`]: from, to.
    needs: Option<(u32, u32)>,
    begins: Begins,
    groups: &'static [&'static str],
    may_be_empty: bool,
    first: Option<First>,
    /// Which of [`WAYS`]: from, to.
    ways: (u32, u32),
}

// `static KNOWN: &[Known]`, by pattern; `static NEEDS: &[Need]`; `static WAYS: &[Mark]`; `static TEXTS: &[Text]`, in order;
// `static BYTES: &[u8]`.
include!(concat!(env!("OUT_DIR"), "/known.rs"));

impl Text {
    fn literal(&self) -> Literal {
        Literal::of_parts(&BYTES[self.at as usize..][..usize::from(self.length)], self.fold)
    }
}

impl Need {
    fn text(&self) -> (Literal, Reach) {
        let reach = Reach { least: self.least as usize, most: self.most.map(|most| most as usize) };
        (TEXTS[self.text as usize].literal(), reach)
    }
}

/// Where the build found that these texts go; `None`: no shipped pattern needs that one, or these are so few of the shipped texts that
/// each deserves a place of its own: where thousands go, ten times as many false finds were made for sixty rules. Quick for texts in order.
pub(super) fn built_places(texts: &[Literal], sees_parts: bool) -> Vec<Option<Place>> {
    let mut at = 0;
    let place = |text: &Literal| {
        let is_before = |known: &Text| known.literal() < *text;
        // As a rule it is one of the next.
        let skipped = TEXTS[at..].iter().take_while(|known| is_before(known)).count();
        at += skipped;
        if skipped == 0 && at > 0 && !is_before(&TEXTS[at - 1]) {
            at = TEXTS.partition_point(is_before);
        }
        let known = TEXTS.get(at).filter(|known| known.literal() == *text)?;
        Some(known.places[usize::from(sees_parts)])
    };
    let mut places: Vec<Option<Place>> = texts.iter().map(place).collect();
    if places.iter().flatten().count() < TEXTS.len() / 2 {
        places.fill(None);
    }
    places
}

/// What is wrong with a pattern, in words.
pub(super) struct Wrong(pub(super) String);

impl Pattern {
    /// Reads the pattern, and compiles it if that could fail. A shipped one does not fail: tests ask every one of them.
    pub(super) fn new(text: &str) -> Result<Self, Wrong> {
        let (kept, facts, large) = match KNOWN.binary_search_by(|known| known.pattern.cmp(text)) {
            Ok(number) => (KNOWN[number].pattern.into(), Told::Built(&KNOWN[number]), false),
            Err(_) => {
                let facts = Facts::of(text).map_err(Wrong)?;
                let large = facts.states > SURELY_SMALL;
                (text.to_owned().into(), Told::Read(Box::new(facts)), large)
            }
        };
        let pattern = Self(Arc::new(Inner {
            text: kept,
            facts,
            matcher: OnceLock::new(),
            compiled: OnceLock::new(),
            left_out: AtomicU32::new(0),
        }));
        if large {
            let compiled = compile(text).map_err(Wrong)?;
            let _ = pattern.0.compiled.set(Some(compiled));
        }
        Ok(pattern)
    }

    /// As it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Texts of which every match holds at least one; `None`: every event has to be asked.
    pub(super) fn needs(&self) -> Option<Cow<'_, [(Literal, Reach)]>> {
        match &self.0.facts {
            Told::Built(known) => {
                let (from, to) = known.needs?;
                Some(NEEDS[from as usize..to as usize].iter().map(Need::text).collect())
            }
            Told::Read(facts) => facts.needs.as_deref().map(Cow::Borrowed),
        }
    }

    /// Whether there are such texts.
    pub(super) fn has_needs(&self) -> bool {
        match &self.0.facts {
            Told::Built(known) => known.needs.is_some(),
            Told::Read(facts) => facts.needs.is_some(),
        }
    }

    /// The names of its groups.
    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        let (built, read): (&[&str], &[String]) = match &self.0.facts {
            Told::Built(known) => (known.groups, &[]),
            Told::Read(facts) => (&[], &facts.groups),
        };
        built.iter().copied().chain(read.iter().map(String::as_str))
    }

    /// Whether it may match a place between two bytes.
    pub(super) fn may_be_empty(&self) -> bool {
        match &self.0.facts {
            Told::Built(known) => known.may_be_empty,
            Told::Read(facts) => facts.may_be_empty,
        }
    }

    fn begins(&self) -> Begins {
        match &self.0.facts {
            Told::Built(known) => known.begins,
            Told::Read(facts) => facts.begins,
        }
    }

    /// `false`: it cannot match this text, by its first byte alone.
    pub(super) fn may_begin(&self, text: &[u8]) -> bool {
        let first = match &self.0.facts {
            Told::Built(known) => known.first.as_ref(),
            Told::Read(facts) => facts.first.as_ref(),
        };
        let Some(first) = first else { return true };
        text.first().is_some_and(|byte| first[usize::from(byte / 64)] >> (byte % 64) & 1 != 0)
    }

    /// Whether to ask it where its texts stand takes less than to gather the pairs of a text: it is compiled, or worth it.
    pub(super) fn is_ready(&self) -> bool {
        self.begins() == Begins::There
            || self.0.matcher.get().is_some()
            || self.0.compiled.get().is_some()
            || self.0.left_out.load(Ordering::Relaxed) >= MAX_LEFT_OUT
    }

    /// `false`: it cannot match a text with these pairs of bytes.
    pub(super) fn allowed_by(&self, pairs: &Pairs) -> bool {
        pairs.allow(match &self.0.facts {
            Told::Built(known) => &WAYS[known.ways.0 as usize..known.ways.1 as usize],
            Told::Read(facts) => &facts.ways,
        })
    }

    /// Remembers that a text was left out for its pairs though it would have been asked soon had this been [ready](Self::is_ready).
    pub(super) fn note_left_out(&self) {
        self.0.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Compiled. `None` does not happen: [`Pattern::new`] compiled what could fail.
    pub(super) fn regex(&self) -> Option<&Regex> {
        self.0.compiled.get_or_init(|| compile(&self.0.text).ok()).as_ref()
    }

    /// Whether it matches anywhere.
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        self.matches(Input::new(text))
    }

    fn matches(&self, input: Input<'_>) -> bool {
        let input = input.earliest(true);
        if self.0.compiled.get().is_none()
            && let Some(matcher) = self.0.matcher.get_or_init(|| Matcher::new(&self.0.text))
            && matcher.matched.load(Ordering::Relaxed) < MAX_MATCHED
            && let Some(is_match) = matcher.matches(&input)
        {
            return is_match;
        }
        self.regex().is_some_and(|regex| regex.is_match(input))
    }

    /// The same, when all the texts that it needs are known to stand at `finds`: from which byte to which, behind how many. The last may
    /// end behind `text`.
    pub(super) fn is_match_at(
        &self,
        text: &[u8],
        mut finds: impl ExactSizeIterator<Item = (Range<usize>, Reach)>,
    ) -> bool {
        let starts_at = |start: usize| self.matches(Input::new(text).range(start..).anchored(Anchored::Yes));
        match self.begins() {
            Begins::There => finds.any(|(at, _)| at.end <= text.len()),
            Begins::Anywhere => self.is_match(text),
            Begins::Near if finds.len() > MAX_TRIES => self.is_match(text),
            Begins::Near => {
                for (Range { start: at, .. }, reach) in finds {
                    let most = reach.most.unwrap_or(reach.least);
                    if at >= reach.least && (at.saturating_sub(most)..=at - reach.least).any(starts_at) {
                        return true;
                    }
                }
                false
            }
            Begins::Line => {
                let (mut lines, mut line, mut end, mut looked) = (0, 0, 0, 0);
                for (Range { start: at, .. }, _) in finds {
                    // In the order of the text, so what is before the end is in the line of the find before.
                    let is_new = at >= end;
                    if is_new {
                        if lines == MAX_TRIES {
                            return self.is_match(text);
                        }
                        lines += 1;
                        line = memchr::memrchr(b'\n', &text[end..at]).map_or(end, |before| end + before + 1);
                        end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |end| at + end + 1);
                        looked = line;
                    }
                    // A bare CR begins a line too, and `[^\n]` goes across it: then any of them may be the start.
                    if memchr::memchr(b'\r', &text[looked..at]).is_some() {
                        return self.is_match(text);
                    }
                    looked = at;
                    if is_new && starts_at(line) {
                        return true;
                    }
                }
                false
            }
        }
    }
}

impl Matcher {
    /// `None`: this pattern needs more than such an automaton can do.
    fn new(text: &str) -> Option<Self> {
        let hir = syntax::parse_with(text, &SYNTAX).ok()?;
        let config = NFA::config().utf8(false).which_captures(WhichCaptures::None).nfa_size_limit(Some(MAX_COMPILED));
        let nfa = NFA::compiler().configure(config).build_from_hir(&hir).ok()?;
        let config = DFA::config()
            .cache_capacity(MAX_AUTOMATON)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(MAX_CLEARED))
            .minimum_bytes_per_state(Some(BYTES_PER_STATE));
        let dfa = Arc::new(DFA::builder().configure(config).build_from_nfa(nfa).ok()?);
        let for_caches = Arc::clone(&dfa);
        let caches: Caches = Pool::new(Box::new(move || for_caches.create_cache()));
        Some(Self { dfa, caches, matched: AtomicU32::new(0) })
    }

    /// `None`: it gave up, since it made more states than it saved work.
    fn matches(&self, input: &Input<'_>) -> Option<bool> {
        let found = self.dfa.try_search_fwd(&mut self.caches.get(), input).ok()?;
        if found.is_some() {
            self.matched.fetch_add(1, Ordering::Relaxed);
        }
        Some(found.is_some())
    }
}

/// How every pattern is read: bytes, ASCII classes, `^` and `$` at every line.
static SYNTAX: LazyLock<syntax::Config> = LazyLock::new(|| {
    syntax::Config::new().unicode(false).utf8(false).multi_line(true).crlf(true).nest_limit(MAX_NESTING)
});

/// How every pattern is compiled.
fn compile(text: &str) -> Result<Regex, String> {
    // A one-pass automaton reads groups faster, but to make it takes two fifths of the time of compiling, and the first fault of its
    // kind waits for that.
    let config = Regex::config()
        .utf8_empty(false)
        .nfa_size_limit(Some(MAX_COMPILED))
        .hybrid_cache_capacity(MAX_AUTOMATON)
        .onepass(false);
    Regex::builder().configure(config).syntax(*SYNTAX).build(text).map_err(|error| match error.size_limit() {
        Some(limit) => format!("compiled, it exceeds the size limit of {limit} bytes"),
        None => last_line(&error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn where_shipped_texts_go_is_known_whatever_their_order() {
        let mut texts: Vec<Literal> = TEXTS.iter().map(Text::literal).collect();
        assert!(texts.is_sorted());
        texts.insert(texts.len() / 2, Literal::exact(b"no shipped rule needs this"));
        for parts in [false, true] {
            let mut want: Vec<_> = TEXTS.iter().map(|text| Some(text.places[usize::from(parts)])).collect();
            want.insert(want.len() / 2, None);
            assert!(built_places(&texts, parts) == want, "in order");
            texts.reverse();
            want.reverse();
            assert!(built_places(&texts, parts) == want, "from behind");
            texts.reverse();
            assert!(built_places(&texts[..texts.len() / 3], parts).iter().all(Option::is_none), "of few texts");
        }
    }

    #[test]
    fn a_text_that_ends_behind_what_is_asked_about_is_no_match() {
        let pattern = Pattern::new("disk full ").map_err(|wrong| wrong.0).unwrap();
        assert_eq!(pattern.begins(), Begins::There);
        let reach = pattern.needs().unwrap_or_default()[0].1;
        let log = b"a: disk full ";
        for (text, is_match) in [(&log[..], true), (log.trim_ascii_end(), false)] {
            assert_eq!(pattern.is_match_at(text, [(3..13, reach)].into_iter()), is_match);
            assert_eq!(pattern.is_match(text), is_match);
        }
    }

    proptest! {
        #[test]
        fn a5_a_text_in_one_place_or_in_many_is_asked_about_as_by_searching_all(
            pieces in prop::collection::vec(prop::sample::select(vec!["disk full", "a", ": ", " ", "\n", "\r", "\r\n"]), 0..40),
        ) {
            let text = pieces.concat();
            for (pattern, begins) in [
                (r"^(?:a+|[^\n]*: )disk full$", Begins::Line),
                (r"(?:a|: )disk full(?:$| a)", Begins::Near),
                (r"a[^x]*disk full$", Begins::Anywhere),
                (r"disk (?i:f)ul+|a: a", Begins::Near),
                (r"(?:a|: )disk full|a: a", Begins::There),
            ] {
                let pattern = Pattern::new(pattern).map_err(|wrong| wrong.0).unwrap();
                prop_assert_eq!(pattern.begins(), begins);
                let needs = pattern.needs().unwrap_or_default();
                let at = |need: &Literal, at: &usize| need.is_at(text.as_bytes(), *at);
                let places = |need: &Literal| (0..text.len()).filter(|place| at(need, place)).collect::<Vec<_>>();
                let mut finds: Vec<(Range<usize>, Reach)> = needs
                    .iter()
                    .flat_map(|(need, reach)| places(need).into_iter().map(|at| (at..at + need.len(), *reach)))
                    .collect();
                finds.sort_unstable_by_key(|(at, _)| at.start);
                let got = !finds.is_empty() && pattern.is_match_at(text.as_bytes(), finds.into_iter());
                prop_assert_eq!(got, pattern.is_match(text.as_bytes()), "{} in {:?}", pattern.as_str(), text);
            }
        }
    }
}
