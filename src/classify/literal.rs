//! Finds fixed texts of which every match of a pattern holds at least one. Pure.
//!
//! A log is searched for these first, many at once ([`super::scan`]); only where one stands is a pattern asked.
//!
//! ```text
//! (?i:read) timed out\. \(timeout=\d+   →   "read timed out. (timeout=", letters of "read" in either case, 0 bytes
//!                                           behind the match's start
//! ```

use std::cmp::Ordering;

use regex_syntax::hir::{Capture, Class, Hir, HirKind, Look, Repetition};

use super::healthy::{page_share, share, window_share};

/// The shortest text that is searched for, in bytes: two bytes stand everywhere.
pub(super) const SHORTEST: usize = 3;

/// The most texts that one pattern is replaced by; a longer list says the same as a shorter one elsewhere in the pattern.
const MAX_TEXTS: usize = 256;

/// The longest text kept, in bytes: more of it would not make a false find rarer.
const MAX_TEXT: usize = 40;

/// The most members of a class that are spelled out: `[ ._-]`, `[5-9]`, but not `\d` or `\w`.
const MAX_MEMBERS: usize = 6;

/// A fixed text. A letter may stand for both its cases: `text[i] | fold[i] == bytes[i]`. Kept in place, not on the heap:
/// thousands are made at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Literal {
    bytes: [u8; MAX_TEXT],
    /// `0x20` where either case will do, 0 elsewhere.
    fold: [u8; MAX_TEXT],
    length: u8,
}

impl Ord for Literal {
    fn cmp(&self, other: &Self) -> Ordering {
        // As a rule the first eight bytes tell, at once: thousands are sorted at the start.
        let lead = |text: &Self| text.bytes.first_chunk().map(|lead| u64::from_be_bytes(*lead));
        let rest = |text: &Self| (text.bytes, text.fold, text.length);
        lead(self).cmp(&lead(other)).then_with(|| rest(self).cmp(&rest(other)))
    }
}

impl PartialOrd for Literal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Literal {
    const EMPTY: Self = Self { bytes: [0; MAX_TEXT], fold: [0; MAX_TEXT], length: 0 };

    /// This very text, at most its first [`MAX_TEXT`] bytes.
    pub(super) fn exact(text: &[u8]) -> Self {
        let mut literal = Self::EMPTY;
        let length = text.len().min(MAX_TEXT);
        literal.bytes[..length].copy_from_slice(&text[..length]);
        literal.length = length as u8;
        literal
    }

    /// A text with a bit in `fold` where either case will do, as [`Literal::parts`] gives them.
    pub(super) fn of_parts(bytes: &[u8], fold: u64) -> Self {
        let mut literal = Self::exact(bytes);
        for (at, to) in literal.fold.iter_mut().enumerate() {
            *to = if fold >> at & 1 != 0 { 0x20 } else { 0 };
        }
        literal
    }

    /// Its bytes, and a bit for each where either case will do, the lowest for the first.
    #[allow(dead_code, reason = "the build asks for it, with this file as its own")]
    pub(super) fn parts(&self) -> (&[u8], u64) {
        let fold = (0..self.len()).filter(|&at| self.fold[at] != 0).fold(0, |bits, at| bits | 1 << at);
        (self.bytes(), fold)
    }

    /// This text in upper or lower case.
    pub(super) fn any_case(text: &[u8]) -> Self {
        let mut literal = Self::exact(&text.to_ascii_lowercase());
        for at in (0..literal.len()).filter(|&at| text[at].is_ascii_alphabetic()) {
            literal.fold[at] = 0x20;
        }
        literal
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// As it is compared: in lower case where either will do.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    /// Whether it stands at this place of the text.
    #[inline]
    pub(super) fn is_at(&self, text: &[u8], at: usize) -> bool {
        let Some(there) = text.get(at..at + self.len()) else { return false };
        let (words, rest) = there.as_chunks::<8>();
        let (own, own_rest) = self.bytes().as_chunks::<8>();
        let (fold, fold_rest) = self.fold[..self.len()].as_chunks::<8>();
        // Eight at once, since most that are asked about do stand there.
        let number = |word: &[u8; 8]| u64::from_le_bytes(*word);
        (0..words.len()).all(|i| number(&words[i]) | number(&fold[i]) == number(&own[i]))
            && (0..rest.len()).all(|i| rest[i] | fold_rest[i] == own_rest[i])
    }

    /// Followed by another; both together are no longer than [`MAX_TEXT`].
    fn then(&self, next: &Self) -> Self {
        let (mut joined, end) = (*self, self.len() + next.len());
        joined.bytes[self.len()..end].copy_from_slice(next.bytes());
        joined.fold[self.len()..end].copy_from_slice(&next.fold[..next.len()]);
        joined.length = end as u8;
        joined
    }

    /// Where `inner` stands in every text that this one stands for.
    fn find(&self, inner: &Self) -> Option<usize> {
        (0..=self.len().checked_sub(inner.len())?).find(|&at| {
            (0..inner.len()).all(|i| {
                let (byte, fold) = (self.bytes[at + i], self.fold[at + i]);
                byte | inner.fold[i] == inner.bytes[i] && (fold == 0 || inner.fold[i] != 0)
            })
        })
    }

    /// The bytes that may stand at this place.
    pub(super) fn choices(&self, at: usize) -> (u8, u8) {
        (self.bytes[at], self.bytes[at] & !self.fold[at])
    }
}

/// How many bytes of a match stand before a text: at least, and at most where that is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) least: usize,
    pub(super) most: Option<usize>,
}

impl Reach {
    const HERE: Self = Self { least: 0, most: Some(0) };

    fn behind(self, before: Self) -> Self {
        let most = self.most.zip(before.most).map(|(a, b)| a.saturating_add(b));
        Self { least: self.least.saturating_add(before.least), most }
    }

    fn with(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.zip(other.most).map(|(a, b)| a.max(b)) }
    }
}

/// Every match holds one of these.
#[derive(Clone, Debug)]
pub(super) struct Required {
    /// The text and what stands before it in the match.
    pub(super) texts: Vec<(Literal, Reach)>,
    /// How often a healthy log holds one of them: an estimate, to compare by.
    cost: f64,
}

/// The texts that make the rarest find, or `None` when some match has no text of [`SHORTEST`] bytes.
pub(super) fn required(hir: &Hir) -> Option<Required> {
    look(hir).required()
}

/// Whether a pattern is nothing but its texts: where one of those it [requires](required) stands, it matches.
pub(super) fn is_texts(hir: &Hir) -> bool {
    let seen = look(hir);
    hir.properties().look_set().is_empty() && seen.exact.is_some() && seen.best.is_none()
}

/// What is known of a part of a pattern.
struct Seen {
    /// All texts it matches, when they are few; what has to stand around them is not said.
    exact: Option<Vec<Literal>>,
    /// The best texts inside.
    best: Option<Required>,
    reach: Reach,
}

impl Seen {
    fn required(self) -> Option<Required> {
        let whole = self.exact.and_then(|texts| choose(&texts, Reach::HERE));
        better(whole, self.best)
    }
}

fn better(a: Option<Required>, b: Option<Required>) -> Option<Required> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.cost < a.cost { b } else { a }),
        (a, b) => a.or(b),
    }
}

fn look(hir: &Hir) -> Seen {
    let properties = hir.properties();
    let reach = Reach { least: properties.minimum_len().unwrap_or(0), most: properties.maximum_len() };
    let (exact, best) = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => (Some(vec![Literal::EMPTY]), None),
        HirKind::Literal(literal) => literal_texts(&literal.0),
        HirKind::Class(class) => (members(class), None),
        HirKind::Repetition(repetition) => repeated(repetition),
        HirKind::Capture(Capture { sub, .. }) => {
            let seen = look(sub);
            (seen.exact, seen.best)
        }
        HirKind::Concat(parts) => concat(parts),
        HirKind::Alternation(parts) => alternation(parts),
    };
    Seen { exact, best, reach }
}

/// A line end in a log may be LF or CR LF, so no text goes across one.
fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn literal_texts(bytes: &[u8]) -> (Option<Vec<Literal>>, Option<Required>) {
    if !bytes.iter().copied().any(is_line_end) && bytes.len() <= MAX_TEXT {
        return (Some(vec![Literal::exact(bytes)]), None);
    }
    let mut best = None;
    let mut at = 0;
    for piece in bytes.split(|&b| is_line_end(b)) {
        for (number, chunk) in piece.chunks(MAX_TEXT).enumerate() {
            let before = at + number * MAX_TEXT;
            best = better(best, choose(&[Literal::exact(chunk)], Reach { least: before, most: Some(before) }));
        }
        at += piece.len() + 1;
    }
    (None, best)
}

/// The members of a small class, a letter in both cases counted once.
fn members(class: &Class) -> Option<Vec<Literal>> {
    let size: usize = match class {
        Class::Bytes(class) => class.ranges().iter().map(|r| usize::from(r.end() - r.start()) + 1).sum(),
        Class::Unicode(class) => class.ranges().iter().map(|r| (r.end() as usize - r.start() as usize) + 1).sum(),
    };
    if size > 2 * MAX_MEMBERS {
        return None;
    }
    let all: Vec<Literal> = match class {
        Class::Bytes(class) => {
            class.ranges().iter().flat_map(|r| r.start()..=r.end()).map(|byte| Literal::exact(&[byte])).collect()
        }
        Class::Unicode(class) => {
            let characters = class.ranges().iter().flat_map(|r| r.start()..=r.end());
            characters.map(|c| Literal::exact(c.encode_utf8(&mut [0; 4]).as_bytes())).collect()
        }
    };
    let mut found = Vec::new();
    for member in &all {
        match *member.bytes() {
            [b] if is_line_end(b) => return None,
            [b] if b.is_ascii_alphabetic() && all.contains(&Literal::exact(&[b ^ 0x20])) => {
                if b.is_ascii_lowercase() {
                    found.push(Literal::any_case(&[b]));
                }
            }
            _ => found.push(*member),
        }
    }
    (found.len() <= MAX_MEMBERS).then_some(found)
}

fn repeated(repetition: &Repetition) -> (Option<Vec<Literal>>, Option<Required>) {
    let seen = look(&repetition.sub);
    match (repetition.min, repetition.max, seen.exact) {
        (0, Some(1), Some(mut exact)) => {
            exact.push(Literal::EMPTY);
            (Some(exact), None)
        }
        (0, ..) => (None, None),
        (1, Some(1), exact) => (exact, seen.best),
        // The first round is always there, and begins where the repetition does.
        (_, _, exact) => (None, better(exact.and_then(|texts| choose(&texts, Reach::HERE)), seen.best)),
    }
}

fn concat(parts: &[Hir]) -> (Option<Vec<Literal>>, Option<Required>) {
    let mut best = None;
    // The texts of the parts up to here that can be spelled out, and where they begin.
    let mut run = vec![Literal::EMPTY];
    let mut begins = Reach::HERE;
    let mut whole = true;
    let mut at = Reach::HERE;
    for part in parts {
        let seen = look(part);
        let joined = seen.exact.as_ref().and_then(|next| product(&run, next));
        if let Some(joined) = joined {
            run = joined;
        } else {
            whole = false;
            best = better(best, choose(&run, begins));
            let inner = seen.best.map(|inner| moved(inner, at));
            best = better(best, inner);
            (run, begins) = match seen.exact {
                Some(exact) => (exact, at),
                None => (vec![Literal::EMPTY], seen.reach.behind(at)),
            };
        }
        at = seen.reach.behind(at);
    }
    if whole {
        return (Some(run), best);
    }
    (None, better(best, choose(&run, begins)))
}

/// Each text of the one followed by each of the other, unless that is too many or too long.
fn product(left: &[Literal], right: &[Literal]) -> Option<Vec<Literal>> {
    let longest = |texts: &[Literal]| texts.iter().map(Literal::len).max().unwrap_or(0);
    if left.len() * right.len() > MAX_TEXTS / 4 || longest(left) + longest(right) > MAX_TEXT {
        return None;
    }
    Some(left.iter().flat_map(|a| right.iter().map(|b| a.then(b))).collect())
}

fn moved(mut required: Required, by: Reach) -> Required {
    for (_, reach) in &mut required.texts {
        *reach = reach.behind(by);
    }
    required
}

fn alternation(parts: &[Hir]) -> (Option<Vec<Literal>>, Option<Required>) {
    let seen: Vec<Seen> = parts.iter().map(look).collect();
    let count: usize = seen.iter().map(|seen| seen.exact.as_ref().map_or(MAX_TEXTS + 1, Vec::len)).sum();
    if count <= MAX_TEXTS {
        return (Some(seen.into_iter().filter_map(|seen| seen.exact).flatten().collect()), None);
    }
    let mut texts = Vec::new();
    for branch in seen {
        match branch.required() {
            Some(required) => texts.extend(required.texts),
            None => return (None, None),
        }
    }
    (None, priced(texts))
}

fn choose(texts: &[Literal], begins: Reach) -> Option<Required> {
    priced(texts.iter().map(|text| (*text, begins)).collect())
}

/// Leaves out what another text is a part of, and says what the rest costs.
fn priced(mut texts: Vec<(Literal, Reach)>) -> Option<Required> {
    if texts.is_empty() || texts.iter().any(|(text, _)| text.len() < SHORTEST) {
        return None;
    }
    texts.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
    let mut kept: Vec<(Literal, Reach)> = Vec::with_capacity(texts.len());
    for (text, reach) in texts {
        let part = kept.iter_mut().find_map(|(short, known)| Some((text.find(short)?, known)));
        match part {
            Some((at, known)) => *known = known.with(reach.behind(Reach { least: at, most: Some(at) })),
            None => kept.push((text, reach)),
        }
    }
    if kept.len() > MAX_TEXTS {
        return None;
    }
    let cost = kept.iter().map(|(text, reach)| cost(text) * if near(*reach) { 1.0 } else { 1.5 }).sum();
    Some(Required { texts: kept, cost })
}

/// Whether the start of a match is known closely from where its text stands.
pub(super) fn near(reach: Reach) -> bool {
    reach.most.is_some_and(|most| most - reach.least <= NEAR)
}

/// How many starts of a match are tried one by one.
const NEAR: usize = 4;

/// What a text costs: each false find by its rarest three bytes, and each true one, which asks the pattern.
fn cost(text: &Literal) -> f64 {
    let window = (0..=text.len() - SHORTEST).map(|at| window_share(text, at, SHORTEST)).fold(1.0, f64::min);
    let whole: f64 = (0..text.len()).map(|at| share(text, at)).product();
    window + 30.0 * whole.max(page_share(text.bytes()))
}

/// Whether every match begins at the start of a line.
pub(super) fn begins_a_line(hir: &Hir) -> bool {
    let starts = hir.properties().look_set_prefix();
    [Look::Start, Look::StartLF, Look::StartCRLF].into_iter().any(|look| starts.contains(look))
}

/// Whether a match may go across a line end.
pub(super) fn crosses_lines(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.contains(&b'\n'),
        HirKind::Class(Class::Bytes(class)) => class.ranges().iter().any(|r| (r.start()..=r.end()).contains(&b'\n')),
        HirKind::Class(Class::Unicode(class)) => class.ranges().iter().any(|r| (r.start()..=r.end()).contains(&'\n')),
        HirKind::Repetition(repetition) => crosses_lines(&repetition.sub),
        HirKind::Capture(group) => crosses_lines(&group.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(crosses_lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pattern: &str) -> Vec<(String, usize, Option<usize>)> {
        let hir = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).unwrap();
        let Some(required) = required(&hir) else { return Vec::new() };
        let mut found: Vec<_> = required
            .texts
            .into_iter()
            .map(|(text, reach)| (String::from_utf8_lossy(text.bytes()).into_owned(), reach.least, reach.most))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn every_match_holds_one_of_the_texts_at_its_reach() {
        for (pattern, want) in [
            (r"abc def", &[("abc def", 0, Some(0))][..]),
            (r"\bE(?:CONN|PIPE)\b", &[("ECONN", 0, Some(0)), ("EPIPE", 0, Some(0))]),
            (r"(?i)deadline exceeded", &[("deadline exceeded", 0, Some(0))]),
            (r"\d{1,3} of (?:qux|quy)z", &[(" of quxz", 1, Some(3)), (" of quyz", 1, Some(3))]),
            (r"x(?:very )?quick", &[("xquick", 0, Some(0)), ("xvery quick", 0, Some(0))]),
            (r"[^\n]*zzz!", &[("zzz!", 0, None)]),
            (r"(?:qqqq)+x*", &[("qqqq", 0, Some(0))]),
            (r"abc\ndefg!", &[("defg!", 4, Some(4))]),
            (r"\d+", &[]),
            (r"(?:\d+|abc)", &[]),
            (r"a\sb", &[]),
        ] {
            let want: Vec<_> = want.iter().map(|(text, least, most)| ((*text).to_owned(), *least, *most)).collect();
            assert_eq!(texts(pattern), want, "{pattern}");
        }
    }

    #[test]
    fn a_text_that_is_part_of_another_stands_for_both() {
        assert_eq!(texts(r"(?:a long )?quizz"), [("quizz".to_owned(), 0, Some(7))]);
    }
}
