//! Tells which rule claims an event and why the others do not. Pure.

use super::event::Place;
use super::file::{Entry, Kind};
use super::plain::plain;
use super::{Rules, captures, event};
use crate::vocab::{Captures, Class, Severity};

/// A rule whose pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its identifier.
    pub rule: String,
    /// Its class; `None` for an ignore.
    pub class: Option<Class>,
    /// Its severity; `None` for an ignore.
    pub severity: Option<Severity>,
    /// What it means and what heals it.
    pub about: String,
    /// Which part of the event it matches, in words.
    pub part: &'static str,
    /// What it reads out.
    pub captures: Captures,
    /// Whether it wins and, if not, why.
    pub verdict: Verdict,
}

/// Why a rule claims the event or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It wins.
    Wins,
    /// Its conditions are not met; why, in words.
    Objects(&'static str),
    /// Another one stands before it.
    Later,
}

/// All that can be said of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Every rule whose pattern matches, in the order in which they are asked; at most one wins.
    pub claims: Vec<Claim>,
    /// The part that is asked first, without time, logger and level, as text.
    pub message: String,
    /// Whether it reads like an error to somebody who knows no rule.
    pub looks_like_error: bool,
}

impl Rules {
    /// Which bytes of `text` the pattern of this rule matches, in the first part that it matches. `None` where it matches
    /// nowhere, or only behind what a supervisor put before each of several lines.
    #[must_use]
    pub fn span(&self, rule: &str, text: &[u8]) -> Option<std::ops::Range<usize>> {
        let entry = self.rules.entries.iter().find(|entry| entry.id == rule)?;
        let plain = plain(text);
        // Taken off in front of a single line; of several, nothing may have been.
        let skipped = text.len().checked_sub(plain.len()).filter(|skipped| text[*skipped..] == *plain)?;
        event::parts(&plain).iter().find_map(|part| {
            let seen = entry.sees(part);
            let found = entry.pattern.regex()?.find(seen)?;
            // What it sees is a stretch of the text.
            let base = (seen.as_ptr() as usize).checked_sub(plain.as_ptr() as usize)?;
            let (start, end) = (skipped + base + found.start(), skipped + base + found.end());
            (end <= text.len()).then_some(start..end)
        })
    }

    /// Every rule that would match, which one wins and why the others do not.
    #[must_use]
    pub fn explain(&self, text: &[u8]) -> Explanation {
        let plain = plain(text);
        let mut parts = event::parts(&plain);
        let winner = self.winner_plainly(&plain).map(|(entry, part)| {
            let found = (entry.id.clone(), part.place);
            if part.place == Place::Told {
                parts.insert(0, part);
            }
            found
        });
        let mut claims = Vec::new();
        for part in &parts {
            self.rules.matching_plainly(part, &mut |entry| {
                let wins = winner.as_ref().is_some_and(|(id, place)| *id == entry.id && *place == part.place);
                let verdict = match entry.objection(part) {
                    Some(reason) => Verdict::Objects(reason),
                    None if wins => Verdict::Wins,
                    None => Verdict::Later,
                };
                claims.push(claim(entry, part, verdict));
                true
            });
        }
        Explanation {
            claims,
            message: parts.first().map(|part| String::from_utf8_lossy(part.message()).into_owned()).unwrap_or_default(),
            looks_like_error: event::looks_like_error(text),
        }
    }
}

fn claim(entry: &Entry, part: &event::Part<'_>, verdict: Verdict) -> Claim {
    let (class, severity) = match entry.kind {
        Kind::Rule { class, severity } => (Some(class), Some(severity)),
        Kind::Ignore | Kind::Signal { .. } => (None, None),
    };
    Claim {
        rule: entry.id.clone(),
        class,
        severity,
        about: entry.about.clone(),
        part: part.place.words(),
        captures: captures::read(&entry.pattern, entry.sees(part)),
        verdict,
    }
}
