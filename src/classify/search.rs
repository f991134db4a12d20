//! Finds the texts of rules and of signals in one search of an event. Pure.

use std::borrow::Borrow;
use std::cell::OnceCell;

use super::event::Part;
use super::literal::Literal;
use super::scan::{Find, Scanner};
use super::table::Table;

/// Searches for the texts of two tables at once.
#[derive(Debug)]
pub(super) struct Search {
    scanner: Scanner,
    rules: Numbers,
    signals: Numbers,
}

/// The number that the table has for a text of the search, where it has it.
type Numbers = Box<[Option<u32>]>;

/// A part of an event, and what stands in it once somebody asked.
pub(super) struct Searched<'a> {
    pub(super) part: Part<'a>,
    finds: OnceCell<Vec<Find>>,
}

impl<'a> Borrow<Part<'a>> for &Searched<'a> {
    fn borrow(&self) -> &Part<'a> {
        &self.part
    }
}

impl<'a> Searched<'a> {
    pub(super) fn new(part: Part<'a>) -> Self {
        Self { part, finds: OnceCell::new() }
    }
}

impl Search {
    pub(super) fn new(rules: &Table, signals: &Table) -> Self {
        let (rules, signals) = (rules.texts(), signals.texts());
        let mut texts = [&rules[..], &signals].concat();
        // Two runs in order: they are merged.
        texts.sort();
        texts.dedup();
        texts.shrink_to_fit();
        let numbers = |of: &[Literal]| {
            let mut numbered = (0..).zip(of).peekable();
            texts.iter().map(|text| Some(numbered.next_if(|(_, its)| *its == text)?.0)).collect()
        };
        let (rules, signals) = (numbers(&rules), numbers(&signals));
        Self { scanner: Scanner::new(texts), rules, signals }
    }

    /// The places of the rules' texts, by their numbers in that table.
    pub(super) fn for_rules(&self, part: &Searched<'_>, out: &mut Vec<Find>) {
        self.finds(part, &self.rules, out);
    }

    /// The same for signals.
    pub(super) fn for_signals(&self, part: &Searched<'_>, out: &mut Vec<Find>) {
        self.finds(part, &self.signals, out);
    }

    fn finds(&self, part: &Searched<'_>, numbers: &Numbers, out: &mut Vec<Find>) {
        let all = part.finds.get_or_init(|| {
            let mut finds = Vec::new();
            self.scanner.finds(part.part.line, &mut finds);
            finds
        });
        out.clear();
        out.extend(all.iter().filter_map(|find| Some(Find { at: find.at, text: numbers[find.text as usize]? })));
    }
}
