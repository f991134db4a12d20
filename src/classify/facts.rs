//! What can be said of a pattern without compiling it. Pure.
//!
//! Reading a pattern takes longer than anything else at the start, and there are a thousand: what is said of the shipped
//! ones is found out when the program is built (`build.rs` has this file, too) and looked up afterwards.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::literal::{Literal, Reach, begins_a_line, crosses_lines, near, required};

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
    /// How many states it has when compiled, about.
    pub(super) states: usize,
}

/// Where matches can begin, seen from a text they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
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
            (true, _) => Begins::Near,
            (false, true) => Begins::Line,
            (false, false) => Begins::Anywhere,
        };
        let mut groups = Vec::new();
        group_names(&hir, &mut groups);
        let may_be_empty = hir.properties().minimum_len() == Some(0);
        Ok(Self { needs, begins, groups, may_be_empty, states: states(&hir) })
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
