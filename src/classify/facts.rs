//! What can be said of a pattern without compiling it. Pure.
//!
//! Reading a pattern takes longer than anything else at the start, and there are a thousand: what is said of the shipped
//! ones is found out when the program is built (`build.rs` has this file, too) and looked up afterwards.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::literal::{Literal, Reach, begins_a_line, crosses_lines, is_texts, near, required};
use super::pairs::{self, Mark};

/// How deep a pattern may nest: people need five.
pub(super) const MAX_NESTING: u32 = 64;

/// What can be said of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Facts {
    /// Texts of which every match holds at least one, and how far behind its start; `None`: there are none.
    pub(super) needs: Option<Vec<(Literal, Reach)>>,
    pub(super) begins: Begins,
    /// The names of its groups.
    pub(super) groups: Vec<String>,
    /// Whether it may match a place between two bytes.
    pub(super) may_be_empty: bool,
    /// With which bytes a text must begin, where it can match at the start of the text only.
    pub(super) first: Option<First>,
    /// Pairs of bytes of which every match holds some, as [`pairs::ways`] tells them.
    pub(super) ways: Vec<Mark>,
    /// How many states it has when compiled, about.
    pub(super) states: usize,
}

/// A set of bytes, a bit each.
pub(super) type First = [u64; 4];

/// Where matches can begin, seen from a text they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// With the text, and it ends with it: where that stands is a match.
    There,
    /// A few bytes before the text.
    Near,
    /// At the start of the text's line.
    Line,
    /// Anywhere.
    Anywhere,
}

impl Facts {
    /// Reads the pattern.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub(super) fn of(pattern: &str) -> Result<Self, String> {
        let mut parser = regex_syntax::ParserBuilder::new();
        parser.unicode(false).utf8(false).multi_line(true).crlf(true).nest_limit(MAX_NESTING);
        let hir = parser.build().parse(pattern).map_err(|error| last_line(&error.to_string()))?;
        let needs = required(&hir).map(|required| required.texts);
        let close = needs.as_ref().is_some_and(|needs| needs.iter().all(|(_, reach)| near(*reach)));
        let begins = match (close, begins_a_line(&hir) && !crosses_lines(&hir)) {
            (true, _) if is_texts(&hir) => Begins::There,
            (true, _) => Begins::Near,
            (false, true) => Begins::Line,
            (false, false) => Begins::Anywhere,
        };
        let mut groups = Vec::new();
        group_names(&hir, &mut groups);
        let may_be_empty = hir.properties().minimum_len() == Some(0);
        let (first, ways, states) = (first(&hir), pairs::ways(&hir), states(&hir));
        Ok(Self { needs, begins, groups, may_be_empty, first, ways, states })
    }
}

fn first(hir: &Hir) -> Option<First> {
    let mut bytes = [0; 4];
    let at_start = hir.properties().look_set_prefix().contains(Look::Start);
    (at_start && !begins_with(hir, &mut bytes)).then_some(bytes)
}

/// Adds the bytes with which a match can begin; `true`: it may take none.
fn begins_with(hir: &Hir, bytes: &mut First) -> bool {
    let mut add = |byte: u8| bytes[usize::from(byte / 64)] |= 1 << (byte % 64);
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => {
            literal.0.first().into_iter().for_each(|byte| add(*byte));
            literal.0.is_empty()
        }
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().flat_map(|range| range.start()..=range.end()).for_each(add);
            false
        }
        HirKind::Class(Class::Unicode(class)) => {
            for range in class.ranges() {
                (0..0x80).filter(|byte| (range.start()..=range.end()).contains(&char::from(*byte))).for_each(&mut add);
                if !range.end().is_ascii() {
                    (0x80..=u8::MAX).for_each(&mut add);
                }
            }
            false
        }
        HirKind::Repetition(repetition) => begins_with(&repetition.sub, bytes) || repetition.min == 0,
        HirKind::Capture(group) => begins_with(&group.sub, bytes),
        HirKind::Concat(parts) => parts.iter().all(|part| begins_with(part, bytes)),
        HirKind::Alternation(parts) => {
            let mut none = false;
            for part in parts {
                none |= begins_with(part, bytes);
            }
            none
        }
    }
}

/// What an error of the regex libraries says last, which is what is wrong.
pub(super) fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn group_names(hir: &Hir, names: &mut Vec<String>) {
    match hir.kind() {
        HirKind::Capture(group) => {
            names.extend(group.name.as_ref().map(ToString::to_string));
            group_names(&group.sub, names);
        }
        HirKind::Repetition(repetition) => group_names(&repetition.sub, names),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| group_names(part, names));
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => {}
    }
}

/// How many states the pattern has when compiled, about.
fn states(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Bytes(_)) => 2,
        // A range of characters becomes some sequences of byte ranges.
        HirKind::Class(Class::Unicode(class)) => 2 + 8 * class.ranges().len(),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min + 1).max(1) as usize;
            states(&repetition.sub).saturating_add(1).saturating_mul(times)
        }
        HirKind::Capture(group) => 2 + states(&group.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(1, |sum, part| states(part).saturating_add(sum).saturating_add(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_no_more_than_its_texts_where_nothing_stands_around_them() {
        let begins = |pattern: &str| Facts::of(pattern).unwrap().begins;
        for pattern in ["disk full", "(?i)disk (?:is )?full", "(?:no|out of) (space) left", "disk (?i:full)|EN?OSPC"] {
            assert_eq!(begins(pattern), Begins::There, "{pattern}");
        }
        for pattern in [r"\bENOSPC", "disk full$", r"disk full\d", "disk ful+", "disk[^ ]full", "disk full|a[^z]b full"]
        {
            assert_ne!(begins(pattern), Begins::There, "{pattern}");
        }
    }

    #[test]
    fn the_first_byte_is_known_where_a_pattern_stands_at_the_start() {
        let begins = |pattern: &str| -> Option<String> {
            let first = Facts::of(pattern).unwrap().first?;
            Some((0..128_u8).filter(|b| first[usize::from(b / 64)] >> (b % 64) & 1 != 0).map(char::from).collect())
        };
        for (pattern, bytes) in [
            (r"\Aab|\A(?i:c)d", Some("Cac")),
            (r"\A(?:x{0,3}\by)?(?:z|[0-2])q", Some("012xyz")),
            (r"\A(?u:[▶a])b", Some("a")),
            (r"\Aa|b", None),
            (r"^a", None),
            (r"\Aa?", None),
        ] {
            assert_eq!(begins(pattern).as_deref(), bytes, "{pattern}");
        }
    }
}
