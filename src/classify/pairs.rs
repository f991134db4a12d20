//! Tells by pairs of bytes that a pattern cannot match a text, before it is compiled or asked. Pure.
//!
//! A pattern is an alternation of ways to say something, and each way has bytes that stand side by side in all its matches.
//! Where none of the ways has all of its pairs in the text, there is no match. Of eighty patterns that share a text with a full
//! disk's line, or that have none to be searched for, sixteen are left.
//!
//! ```text
//! \bcannot (?:open|stat) \[(\w+)\]|\Arc: (?i:full)$   →   "ca" "op" " [", or "ca" "st" " [", or "fu" and "r" as the first byte
//! ```

use std::collections::BTreeMap;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::healthy::frequency;

/// Something that a text has or has not: two bytes side by side (a hash of them), a byte, what it begins with. Letters count in
/// either case.
pub(super) type Mark = u16;

/// How many pairs are told apart: a line of a hundred bytes has some eighty, which leaves nine tenths free.
const PAIRS: usize = 1024;

/// Behind them: single bytes, the first byte, and its kind.
const SINGLE: usize = PAIRS;
const FIRST: usize = SINGLE + 256;
const KIND: usize = FIRST + 256;

/// Kinds of bytes with which a text begins; a class is told by the first that has all of it.
const KINDS: [fn(&u8) -> bool; 6] = [
    |byte| b" \t\n\r".contains(byte),
    u8::is_ascii_digit,
    u8::is_ascii_lowercase,
    u8::is_ascii_uppercase,
    u8::is_ascii_alphabetic,
    u8::is_ascii_alphanumeric,
];

const MARKS: usize = (KIND + KINDS.len()).next_multiple_of(64);

/// The most ways of one pattern that are told apart; of more only what all have in common is kept.
const MAX_WAYS: usize = 400;

/// The most that a part of a pattern and the next may be together: `(?:a|b)(?:c|d)` has four.
const MAX_PRODUCT: usize = 150;

/// The most marks of one way.
const MAX_MARKS: usize = 8;

/// What marks a text has.
#[derive(Debug)]
pub(super) struct Pairs([u64; MARKS / 64]);

fn pair(first: u8, second: u8) -> Mark {
    let both = u32::from(first.to_ascii_lowercase()) << 8 | u32::from(second.to_ascii_lowercase());
    (both.wrapping_mul(0x9e37_79b1) >> (u32::BITS - PAIRS.ilog2())) as Mark
}

fn single(byte: u8) -> Mark {
    SINGLE as Mark + Mark::from(byte.to_ascii_lowercase())
}

fn first(byte: u8) -> Mark {
    FIRST as Mark + Mark::from(byte.to_ascii_lowercase())
}

impl Pairs {
    /// Those of this text.
    pub(super) fn of(text: &[u8]) -> Self {
        let mut bits = [0; MARKS / 64];
        let mut set = |mark: Mark| bits[usize::from(mark / 64)] |= 1 << (mark % 64);
        let mut before = None;
        for &byte in text {
            set(single(byte));
            if let Some(before) = before.replace(byte) {
                set(pair(before, byte));
            }
        }
        if let Some(byte) = text.first() {
            set(first(*byte));
            (0..).zip(KINDS).filter(|(_, is)| is(byte)).for_each(|(kind, _)| set(KIND as Mark + kind));
        }
        Self(bits)
    }

    /// Whether all marks of one of these ways are here; `ways` is what [`ways`] made.
    pub(super) fn allow(&self, mut ways: &[Mark]) -> bool {
        while let Some((length, rest)) = ways.split_first() {
            let (way, others) = rest.split_at(usize::from(*length));
            if way.iter().all(|mark| self.0[usize::from(mark / 64)] >> (mark % 64) & 1 != 0) {
                return true;
            }
            ways = others;
        }
        false
    }
}

/// The ways of a pattern, each the number of its marks and these. One without marks: the pattern may match anything.
pub(super) fn ways(hir: &Hir) -> Vec<Mark> {
    let mut flat = Vec::new();
    for way in walk(hir, Before::Anything).0.0 {
        let mut marks: Vec<(Worth, Mark)> = way.into_iter().map(|(mark, worth)| (worth, mark)).collect();
        marks.sort_unstable();
        marks.truncate(MAX_MARKS);
        flat.push(marks.len() as Mark);
        flat.extend(marks.into_iter().map(|(_, mark)| mark));
    }
    flat
}

/// Which marks are kept, the lowest first: the how manieth of its text, so that each text has some; and its share in logs, in parts of
/// ten million.
type Worth = (u8, u32);

/// What one way through a pattern demands.
type Way = BTreeMap<Mark, Worth>;

/// Ways of which every match takes one.
struct Ways(Vec<Way>);

impl Ways {
    /// Anything.
    fn any() -> Self {
        Self(vec![Way::new()])
    }

    /// What all have in common, as the only way.
    fn common(self) -> Self {
        let mut ways = self.0.into_iter();
        let mut common = ways.next().unwrap_or_default();
        ways.for_each(|way| common.retain(|mark, _| way.contains_key(mark)));
        Self(vec![common])
    }

    /// One of ours, then one of theirs.
    fn then(mut self, mut next: Self) -> Self {
        if self.0.len().min(next.0.len()) > 1 && self.0.len() * next.0.len() > MAX_PRODUCT {
            // Those that tell more stay apart.
            let least = |ways: &Self| ways.0.iter().map(Way::len).min();
            if least(&self) < least(&next) {
                self = self.common();
            } else {
                next = next.common();
            }
        }
        let both = |one: &Way, other: &Way| {
            let mut both = other.clone();
            both.extend(one);
            both
        };
        Self(self.0.iter().flat_map(|one| next.0.iter().map(move |other| both(one, other))).collect())
    }

    /// One of all these.
    fn or(all: impl Iterator<Item = Self>) -> Self {
        let mut ways: Vec<Way> = all.flat_map(|ways| ways.0).collect();
        // Whoever has all marks of a way has those of a part of it.
        ways.sort_by_key(Way::len);
        let mut kept: Vec<Way> = Vec::new();
        for way in ways {
            if !kept.iter().any(|part| part.keys().all(|mark| way.contains_key(mark))) {
                kept.push(way);
            }
        }
        let ways = Self(kept);
        if ways.0.len() > MAX_WAYS { ways.common() } else { ways }
    }
}

/// What stands before a part of a pattern.
#[derive(Clone, Copy)]
enum Before {
    /// Nothing: the text begins here.
    Nothing,
    Byte(u8),
    Anything,
}

/// The ways of this part behind what stands before it; and what stands before the next part.
fn walk(hir: &Hir, before: Before) -> (Ways, Before) {
    match hir.kind() {
        HirKind::Look(Look::Start) if matches!(before, Before::Anything) => (Ways::any(), Before::Nothing),
        HirKind::Empty | HirKind::Look(_) => (Ways::any(), before),
        HirKind::Literal(literal) => (Ways(vec![marks(before, &literal.0)]), end(&literal.0)),
        HirKind::Class(class) => match letter(class) {
            Some(letter) => (Ways(vec![marks(before, &[letter])]), Before::Byte(letter)),
            None => (Ways(vec![begins(before, class)]), Before::Anything),
        },
        HirKind::Repetition(repetition) if repetition.min == 0 => (Ways::any(), Before::Anything),
        HirKind::Repetition(repetition) => match repetition.sub.kind() {
            HirKind::Literal(literal) if repetition.min > 1 => {
                (Ways(vec![marks(before, &literal.0.repeat(2))]), Before::Anything)
            }
            _ => (walk(&repetition.sub, before).0, Before::Anything),
        },
        HirKind::Capture(group) => walk(&group.sub, before),
        HirKind::Concat(parts) => parts.iter().fold((Ways::any(), before), |(ways, before), part| {
            let (next, end) = walk(part, before);
            (ways.then(next), end)
        }),
        HirKind::Alternation(parts) => (Ways::or(parts.iter().map(|part| walk(part, before).0)), Before::Anything),
    }
}

fn end(text: &[u8]) -> Before {
    text.last().map_or(Before::Anything, |byte| Before::Byte(*byte))
}

/// What a text demands that stands behind this.
fn marks(before: Before, text: &[u8]) -> Way {
    let share = |share: f64| (share * 1e7) as u32;
    let mut all: Vec<u8> = text.to_vec();
    if let Before::Byte(byte) = before {
        all.insert(0, byte);
    }
    let mut marks: Vec<(u32, Mark)> =
        all.windows(2).map(|two| (share(frequency(two[0]) * frequency(two[1])), pair(two[0], two[1]))).collect();
    if let (Before::Nothing, Some(byte)) = (before, text.first()) {
        marks.push((0, first(*byte)));
    }
    if let (true, Some(byte)) = (marks.is_empty(), text.first()) {
        marks.push((share(frequency(*byte)), single(*byte)));
    }
    marks.sort_unstable();
    (0..=u8::MAX).zip(marks).map(|(number, (share, mark))| (mark, (number, share))).collect()
}

/// What a class of bytes demands that stands behind this.
fn begins(before: Before, class: &Class) -> Way {
    let (Before::Nothing, Class::Bytes(class)) = (before, class) else { return Way::new() };
    let all =
        |is: fn(&u8) -> bool| class.ranges().iter().flat_map(|range| range.start()..=range.end()).all(|byte| is(&byte));
    let kind = (0..).zip(KINDS).find(|(_, is)| all(*is));
    kind.map(|(kind, _)| (KIND as Mark + kind, (0, 0))).into_iter().collect()
}

/// The only byte of a class, in either case.
fn letter(class: &Class) -> Option<u8> {
    let Class::Bytes(class) = class else { return None };
    let mut bytes = class.ranges().iter().flat_map(|range| range.start()..=range.end());
    let first = bytes.next()?.to_ascii_lowercase();
    bytes.all(|byte| byte.to_ascii_lowercase() == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::facts::Facts;
    use super::*;

    fn allows(pattern: &str, text: &str) -> bool {
        Pairs::of(text.as_bytes()).allow(&Facts::of(pattern).unwrap().ways)
    }

    #[test]
    fn a_text_without_the_pairs_of_any_way_is_left_out() {
        let pattern = r"\bcannot (?:open|stat) \[(\w+)\]|\Arc: (?i:full)$";
        for text in ["cannot open [x]", "CANNOT STAT [a]", "rc: FULL", "rc: full", "] an [ cannot stat"] {
            assert!(allows(pattern, text), "{text}");
        }
        for text in ["cannot open x", "cannot open (x)", "rc: fool", "", "an open [x]", "an rc: full"] {
            assert!(!allows(pattern, text), "{text}");
        }
        for pattern in ["", "a?", r"\w+", "(?:abc|.)", "[ab]"] {
            assert!(allows(pattern, ""), "{pattern}");
        }
        assert!(!allows("a+", "b") && allows("a+", "ba") && !allows("a{2,}", "aba") && allows("a{2,}b", "aab"));
        assert!(allows(r"\A\d{1,6}[:-]x|\A[A-Za-z]+ y", "12-x") && allows(r"\A(?:[A-Z]|_)", "An"));
        assert!(!allows(r"\A\d{1,6}[:-]x|\A[A-Za-z]+ y", "-x") && !allows(r"\A(?:[A-Z]|_)", "an"));
    }

    #[test]
    fn more_ways_than_are_told_apart_keep_what_they_have_in_common() {
        let letters = || 'a'..='z';
        let names: Vec<String> = letters().flat_map(|a| letters().map(move |b| format!("{a}{b}"))).collect();
        assert!(names.len() > MAX_WAYS);
        let pattern = format!("error (?:{}) here", names.join("|"));
        assert!(allows(&pattern, "error xy here") && allows(&pattern, "error 007 here"));
        assert!(!allows(&pattern, "erro xy here"));
        let pattern = "(?:ab|cd|ef)-(?:gh|ij|kl)-(?:mn|op|qr)-(?:st|uv|wx)-(?:yz|zy|yy)";
        assert!(allows(pattern, "cd-gh-qr-uv-zy") && !allows(pattern, "cd-gh-qr-u-v-zy"));
    }

    /// Patterns of all that [`walk`] tells apart.
    fn pattern() -> impl Strategy<Value = String> {
        let leaves = [
            "ab", "c", "(?i:Ac)", "[a-c]", "[A-Z]", r"\d", r"\w", r"\A", "^", r"\b", "", "ca{2,}", "b+", "c?", "B*",
            "(?u:é)",
        ];
        prop::sample::select(leaves.to_vec()).prop_map(str::to_owned).prop_recursive(4, 24, 4, |inner| {
            let many = || prop::collection::vec(inner.clone(), 1..4);
            prop_oneof![
                many().prop_map(|parts| parts.concat()),
                many().prop_map(|parts| format!("(?:{})", parts.join("|"))),
                inner.prop_map(|part| format!("(?:{part}){{1,2}}")),
            ]
        })
    }

    proptest! {
        #[test]
        fn a5_no_text_that_a_pattern_matches_is_left_out(pattern in pattern(), text in "[a-cA-C1 é\n]{0,12}") {
            let is_match = regex::bytes::RegexBuilder::new(&pattern).unicode(false).multi_line(true).crlf(true).build();
            if is_match.is_ok_and(|regex| regex.is_match(text.as_bytes())) {
                prop_assert!(allows(&pattern, &text), "{} in {:?}", pattern, text);
            }
        }
    }
}
