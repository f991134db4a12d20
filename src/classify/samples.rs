//! Checks rules against sample lines with written expectations: `logmedic rules test` and `tests/patterns.rs`. Pure.
//!
//! ```text
//! # wget 1.21.3                                        a comment
//! #= rule=wget.full class=disk_full path=/srv/a.mp4    what is expected of every line down to the next blank or `#=`
//! Cannot write to ‘/srv/a.mp4’ (No space left on device).
//! #= none (a file name)                                no rule may claim these lines
//! Saving to: ‘No space left on device.mp3’
//! #= event rule=… class=…                              one event of several lines, up to `#= end`
//! #= end
//! #= signal=wget.saving name="a b.mp4"                 a `[[signal]]`, and no rule
//! ```

use std::collections::BTreeSet;
use std::fmt;

use regex_syntax::hir::{Class as HirClass, Hir, HirKind};

use super::Rules;
use super::captures::NAMES;
use super::file::{Kind, hint};
use super::plain::plain;
use crate::vocab::Captures;

/// A file of samples as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleSource {
    /// The file's name as people know it.
    pub name: String,
    /// The pack it belongs to.
    pub pack: String,
    /// Its text.
    pub text: String,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which file.
    pub file: String,
    /// Which line, 1 for the first.
    pub line: usize,
    /// What, with what was expected.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many events were tried.
    pub samples: usize,
    /// How many rules and signals were hit.
    pub hit: usize,
    /// What failed.
    pub failures: Vec<Failure>,
}

/// What is written above a sample.
#[derive(Debug, Default)]
struct Expectation {
    line: usize,
    rule: Option<String>,
    class: Option<String>,
    signal: Option<String>,
    captures: Captures,
    event: bool,
}

/// Runs the samples through the rules. Every rule must be hit, every line must be expected, every capture named.
#[must_use]
pub fn check(rules: &Rules, sources: &[SampleSource]) -> Report {
    let mut report = Report::default();
    let mut hit = BTreeSet::new();
    for source in sources {
        let mut check = Check { rules, source, report: &mut report, hit: &mut hit };
        check.file();
    }
    let packs: BTreeSet<&str> = sources.iter().map(|source| source.pack.as_str()).collect();
    for rule in rules.list() {
        if hit.contains(&rule.id) {
            report.hit += 1;
        } else if rule.user || packs.contains(rule.pack.as_str()) || sources.is_empty() {
            let what = format!("{} {} is hit by no sample", rule.kind, rule.id);
            report.failures.push(Failure { file: rule.file, line: rule.line, what });
        }
    }
    report
}

struct Check<'a> {
    rules: &'a Rules,
    source: &'a SampleSource,
    report: &'a mut Report,
    hit: &'a mut BTreeSet<String>,
}

impl Check<'_> {
    fn fail(&mut self, line: usize, what: String) {
        self.report.failures.push(Failure { file: self.source.name.clone(), line, what });
    }

    fn file(&mut self) {
        let mut expected: Option<Expectation> = None;
        let mut event: Option<String> = None;
        for (number, line) in self.source.text.lines().enumerate().map(|(i, line)| (i + 1, line)) {
            if line.trim_end() == "#= end" {
                match (event.take(), expected.take()) {
                    (Some(text), Some(want)) => self.sample(number, &text, &want),
                    _ => self.fail(number, "'#= end' without '#= event'".into()),
                }
            } else if let Some(text) = &mut event {
                text.push_str(line);
                text.push('\n');
            } else if let Some(words) = line.strip_prefix("#=") {
                match expectation(words, number) {
                    Ok(want) => {
                        event = want.event.then(String::new);
                        expected = Some(want);
                    }
                    Err(what) => self.fail(number, what),
                }
            } else if line.trim().is_empty() {
                expected = None;
            } else if line != "#" && !line.starts_with("# ") {
                match &expected {
                    Some(want) => self.sample(number, line, want),
                    None => self.fail(number, "no expectation stands above this line; write '#= …' above it".into()),
                }
            }
        }
        if event.is_some() {
            self.fail(expected.map_or(1, |want| want.line), "'#= event' without '#= end'".into());
        }
    }

    fn sample(&mut self, line: usize, text: &str, want: &Expectation) {
        self.report.samples += 1;
        let found = self.rules.claim(text.as_bytes());
        // The quick way and the plain one must agree, on whatever rules and samples.
        let plain_text = plain(text.as_bytes());
        let quick = found.as_ref().map(|hit| hit.rule.as_str());
        let (won, unasked) = self.rules.winner_slowly(&plain_text);
        let slow = won.as_ref().filter(|(entry, _)| entry.kind != Kind::Ignore).map(|(entry, _)| entry.id.as_str());
        if slow != quick {
            self.fail(
                line,
                format!("claimed by {quick:?}, but asking every pattern gives {slow:?}: a defect of logmedic"),
            );
        }
        let signal = self.rules.signal(text.as_bytes());
        let claimed = won.as_ref().map(|(entry, _)| *entry).or_else(|| unasked.first().copied());
        self.hit.extend(claimed.filter(|entry| entry.kind == Kind::Ignore).map(|entry| entry.id.clone()));
        self.hit.extend(found.iter().map(|hit| hit.rule.clone()));
        self.hit.extend(signal.iter().map(|signal| signal.rule.clone()));
        let rule = found.as_ref().map(|hit| hit.rule.clone());
        if rule != want.rule {
            let show = |rule: &Option<String>| rule.clone().unwrap_or_else(|| "no rule".into());
            return self.fail(line, format!("claimed by {}, expected {}", show(&rule), show(&want.rule)));
        }
        let signal_rule = signal.as_ref().map(|signal| signal.rule.clone());
        if want.signal.is_some() && signal_rule != want.signal {
            return self.fail(line, format!("signal {signal_rule:?}, expected {:?}", want.signal));
        }
        let got = match (&found, &signal) {
            (Some(hit), _) => {
                if want.class.as_deref() != Some(hit.class.as_str()) {
                    self.fail(line, format!("class {}, expected {:?}", hit.class, want.class));
                }
                hit.captures.clone()
            }
            (None, Some(signal)) if want.signal.is_some() => signal.captures.clone(),
            _ => Captures::new(),
        };
        if got != want.captures {
            self.fail(line, format!("captured {got:?}, expected {:?}", want.captures));
        }
    }
}

fn expectation(words: &str, line: usize) -> Result<Expectation, String> {
    let mut want = Expectation { line, ..Expectation::default() };
    let mut none = false;
    let mut rest = words.trim();
    while !rest.is_empty() {
        if rest.starts_with('(') {
            break; // The reason, for people.
        }
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let key = &rest[..end];
        rest = &rest[end..];
        let Some(value) = rest.strip_prefix('=') else {
            match key {
                "none" => none = true,
                "event" => want.event = true,
                _ => return Err(format!("unknown word '{key}'; write rule=…, signal=…, none or event")),
            }
            rest = rest.trim_start();
            continue;
        };
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote is not closed")?,
            None => value.split_at(value.find(' ').unwrap_or(value.len())),
        };
        rest = after.trim_start();
        match key {
            "rule" => want.rule = Some(value.into()),
            "class" => want.class = Some(value.into()),
            "signal" => want.signal = Some(value.into()),
            name if NAMES.contains(&name) => drop(want.captures.insert(name.into(), value.into())),
            name => return Err(format!("unknown key '{name}'; {}", hint(name, NAMES))),
        }
    }
    if want.rule.is_none() == (!none && want.signal.is_none()) {
        return Err("write either rule=… or none (or signal=…)".into());
    }
    Ok(want)
}

/// What a good rule avoids though it works: a pattern that takes everything before a capture, or names no word.
#[must_use]
pub fn lint(rules: &Rules) -> Vec<Failure> {
    let mut found = Vec::new();
    for rule in rules.list() {
        let mut fail = |what: &str| {
            found.push(Failure { file: rule.file.clone(), line: rule.line, what: format!("{}: {what}", rule.id) });
        };
        let parsed = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(&rule.pattern);
        match parsed {
            Ok(hir) if greedy_before_capture(&hir, &mut false) => {
                fail(
                    "'.*' before a capture takes the last of several matches, which a stranger may have written; use '.*?' or name what stands between",
                );
            }
            Ok(_) => {}
            Err(_) => continue,
        }
        if rule.about.is_empty() {
            fail("'about' is missing; say what it means and what heals it");
        }
    }
    found
}

/// Walks from left to right; `greedy` tells whether a hungry "anything" has been passed.
fn greedy_before_capture(hir: &Hir, greedy: &mut bool) -> bool {
    match hir.kind() {
        HirKind::Capture(group) => (group.name.is_some() && *greedy) || greedy_before_capture(&group.sub, greedy),
        HirKind::Concat(parts) => parts.iter().any(|part| greedy_before_capture(part, greedy)),
        HirKind::Alternation(parts) => {
            let before = *greedy;
            let mut after = before;
            let bad = parts.iter().any(|part| {
                *greedy = before;
                let bad = greedy_before_capture(part, greedy);
                after |= *greedy;
                bad
            });
            *greedy = after;
            bad
        }
        HirKind::Repetition(repetition) => {
            if repetition.greedy && repetition.max.is_none() && is_anything(&repetition.sub) {
                *greedy = true;
                return false;
            }
            greedy_before_capture(&repetition.sub, greedy)
        }
        _ => false,
    }
}

/// How many code points there are, surrogates too, as ranges count them; `.` leaves one out.
const CODE_POINTS: usize = 0x11_0000;

/// `.` and its kin: a class that leaves nothing out but the line end.
fn is_anything(hir: &Hir) -> bool {
    let HirKind::Class(class) = hir.kind() else { return false };
    match class {
        HirClass::Bytes(class) => {
            class.ranges().iter().map(|r| usize::from(r.end()) - usize::from(r.start()) + 1).sum::<usize>() >= 255
        }
        HirClass::Unicode(class) => {
            class.ranges().iter().map(|r| r.end() as usize - r.start() as usize + 1).sum::<usize>() >= CODE_POINTS - 1
        }
    }
}
