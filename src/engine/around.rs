//! Keeps what a source said around the events that are recognised, for those who read an incident's story. Pure.
//!
//! A healthy log costs nothing but the moving of the last few events of each chunk. Around a recognised event texts are made: at
//! most once a second for the same rule and subject, and for so many events a second at most.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use chrono::{DateTime, TimeDelta, Utc};

use crate::assemble::RawEvent;
use crate::classify::{Hit, Rules};
use crate::vocab::{Around, printable, redact, shorten};

/// Events before that are kept: what the bot was about to do mostly stands in the last two or three.
const BEFORE: usize = 8;

/// Events after: how the bot took it.
const AFTER: usize = 5;

/// Bytes that are remembered of an event before somebody may want it, and looked at of one after.
const LINE_READ: usize = 4 * 1024;

/// UTF-16 units that are kept of a line before or after.
const LINE_KEPT: usize = 300;

/// UTF-16 units that are kept of the event itself: its head, and three times as much of its end, which names the cause.
const HEAD_KEPT: usize = 1_000;
const TAIL_KEPT: usize = 3_000;

/// The same rule and subject again within this time is not looked at: an incident writes one record a second.
const AGAIN: TimeDelta = TimeDelta::seconds(1);

/// Different ones within that time: a storm of faults is told by its first.
const AT_ONCE: usize = 32;

/// Events that wait for what comes after, in one stream.
const OPEN: usize = 8;

/// Lines after an event that do not come within this time are not waited for.
const PATIENCE: TimeDelta = TimeDelta::seconds(2);

/// Looks at what passes in one stream.
#[derive(Debug, Default)]
pub struct Witness {
    lately: VecDeque<RawEvent>,
    looked_at: VecDeque<(u64, DateTime<Utc>)>,
    open: Vec<(Around, DateTime<Utc>)>,
    ready: Vec<Around>,
}

/// Whose events these are.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// The source.
    pub source: &'a str,
    /// The file as configured.
    pub file: Option<&'a str>,
    /// Its rules.
    pub rules: &'a Rules,
}

impl Witness {
    /// The event with this number of a chunk passes at `now`; `at` is its date.
    pub fn pass(
        &mut self,
        of: Of<'_>,
        chunk: &[RawEvent],
        number: usize,
        hit: Option<&Hit>,
        at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) {
        let Some(event) = chunk.get(number) else { return };
        if !self.open.is_empty() {
            let line = line(&event.text);
            self.open.iter_mut().for_each(|(around, _)| around.after.push(line.clone()));
            let full = self.open.extract_if(.., |(around, _)| around.after.len() >= AFTER);
            self.ready.extend(full.map(|(around, _)| around));
        }
        let Some(hit) = hit.filter(|hit| self.wants(hit, now)) else { return };
        let before = self.lately.iter().chain(&chunk[..number]).rev().take(BEFORE);
        let mut before: Vec<String> = before.map(|event| line(&event.text)).collect();
        before.reverse();
        let text = whole(&event.text);
        let matched = of.rules.span(&hit.rule, text.as_bytes()).map(|span| (span.start, span.end));
        let (source, file) = (of.source.to_owned(), of.file.map(str::to_owned));
        let around = Around { source, file, offset: event.offset, at, before, text, matched, after: Vec::new() };
        // Told at once; what comes after is told later.
        self.ready.push(around.clone());
        if self.open.len() < OPEN {
            self.open.push((around, now));
        }
    }

    /// The chunk is over; its last events are those before the next.
    pub fn over(&mut self, chunk: Vec<RawEvent>) {
        let skipped = chunk.len().saturating_sub(BEFORE);
        for mut event in chunk.into_iter().skip(skipped) {
            if self.lately.len() == BEFORE {
                self.lately.pop_front();
            }
            if event.text.len() > LINE_READ {
                event.text = event.text[..LINE_READ].to_vec();
            }
            self.lately.push_back(event);
        }
    }

    /// When what comes after is not waited for any more.
    #[must_use]
    pub fn due(&self) -> Option<DateTime<Utc>> {
        self.open.first().map(|(_, since)| *since + PATIENCE)
    }

    /// Gives up waiting where the time is over; everywhere when `all`.
    pub fn give_up(&mut self, now: DateTime<Utc>, all: bool) {
        let late = self.open.extract_if(.., |(_, since)| all || *since + PATIENCE <= now);
        self.ready.extend(late.map(|(around, _)| around).filter(|around| !around.after.is_empty()));
    }

    /// Whether there is something to hand over.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What is ready.
    #[must_use]
    pub fn take(&mut self) -> Vec<Around> {
        std::mem::take(&mut self.ready)
    }

    fn wants(&mut self, hit: &Hit, now: DateTime<Utc>) -> bool {
        let mut hasher = DefaultHasher::new();
        hit.rule.hash(&mut hasher);
        // What makes the subject.
        ["path", "url", "file_id", "job"].map(|name| hit.captures.get(name)).hash(&mut hasher);
        let key = hasher.finish();
        // A clock that was set back must not keep anything out for long.
        self.looked_at.retain(|(_, at)| now - *at < AGAIN && *at <= now);
        if self.looked_at.len() >= AT_ONCE || self.looked_at.iter().any(|(known, _)| *known == key) {
            return false;
        }
        self.looked_at.push_back((key, now));
        true
    }
}

/// A line before or after. Secrets go before anything is cut: half a token would not be recognised.
fn line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(LINE_READ)]);
    shorten(&printable(&redact(&text)), LINE_KEPT).into_owned()
}

/// The event.
fn whole(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text = redact(&text);
    let text = printable(&text);
    let count = text.chars().count();
    if count <= HEAD_KEPT + TAIL_KEPT {
        return text.into_owned();
    }
    let head: String = text.chars().take(HEAD_KEPT).collect();
    let tail: String = text.chars().skip(count - TAIL_KEPT).collect();
    format!("{head}\n…\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::super::said::Said;
    use super::*;
    use crate::classify::RuleSource;
    use crate::ledger::store::Change;
    use crate::vocab::Record;

    fn event(number: u64, text: &str) -> RawEvent {
        let end = number * 100 + text.len() as u64;
        RawEvent { offset: number * 100, end, lines: 1, text: text.into(), truncated: false, stamp: None }
    }

    fn rules() -> Rules {
        let text = "[[rule]]\nid = \"t.denied\"\nclass = \"permission\"\nseverity = \"error\"\npattern = '''denied: (?P<path>\\S+)'''\nabout = \"x\"\n";
        let source = RuleSource { name: "t.toml".into(), pack: "t".into(), user: true, text: text.into() };
        let (rules, problems) = Rules::compile(&[source]);
        assert!(problems.is_empty(), "{problems:?}");
        rules
    }

    fn at(milliseconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_795_000_000_000 + milliseconds).unwrap()
    }

    fn pass(witness: &mut Witness, rules: &Rules, chunk: Vec<RawEvent>, now: DateTime<Utc>) -> Vec<Around> {
        for (number, event) in chunk.iter().enumerate() {
            let hit = rules.classify(&event.text);
            let of = Of { source: "bot", file: Some("bot.log"), rules };
            witness.pass(of, &chunk, number, hit.as_ref(), now, now);
        }
        witness.over(chunk);
        witness.take()
    }

    #[test]
    fn f5_lines_before_and_after_are_kept_and_the_match_is_marked() {
        let (rules, mut witness) = (rules(), Witness::default());
        let quiet = (0..20).map(|number| event(number, &format!("line {number}"))).collect();
        assert!(pass(&mut witness, &rules, quiet, at(0)).is_empty());
        let text = "ERROR: denied: /m/a.mp4 of 123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw\u{1b}[31m";
        let first = pass(&mut witness, &rules, vec![event(20, "line 20"), event(21, text)], at(5));
        let [around] = first.as_slice() else { panic!("{first:?}") };
        assert_eq!(around.before, (13..=20).map(|number| format!("line {number}")).collect::<Vec<_>>());
        assert!(!around.text.contains("AAHdq") && !around.text.contains('\u{1b}'), "{}", around.text);
        let (start, end) = around.matched.unwrap();
        assert_eq!(&around.text[start..end], "denied: /m/a.mp4");
        let after = (22..30).map(|number| event(number, &format!("line {number}"))).collect();
        let after = pass(&mut witness, &rules, after, at(10));
        assert_eq!(after[0].after, (22..27).map(|number| format!("line {number}")).collect::<Vec<_>>());
        let mut said = Said::default();
        assert!(said.hear(first).is_empty());
        let better = said.hear(after.clone());
        assert!(matches!(better.as_slice(), [Change::Around(around)] if **around == after[0]), "{better:?}");
    }

    #[test]
    fn h4_a_storm_is_looked_at_a_few_times_a_second() {
        let (rules, mut witness) = (rules(), Witness::default());
        let same = |from: u64| (from..from + 1_000).map(|number| event(number, "denied: /m/a.mp4")).collect::<Vec<_>>();
        let seen = pass(&mut witness, &rules, same(0), at(0));
        assert_eq!(seen.iter().filter(|around| around.after.is_empty()).count(), 1);
        assert_eq!(pass(&mut witness, &rules, same(1_000), at(900)).len(), 0);
        assert_eq!(pass(&mut witness, &rules, same(2_000), at(1_000)).iter().filter(|a| a.after.is_empty()).count(), 1);
        let many = (0..1_000).map(|number| event(number, &format!("denied: /m/{number}.mp4"))).collect();
        let seen = pass(&mut witness, &rules, many, at(5_000));
        // Each is told at once, and again with what came after.
        assert!(seen.len() <= 2 * AT_ONCE, "{}", seen.len());
        let long = "x".repeat(200_000);
        witness.over((0..9).map(|number| event(number, &long)).collect());
        assert!(witness.lately.iter().map(|event| event.text.len()).sum::<usize>() <= BEFORE * LINE_READ);
    }

    #[test]
    fn f5_what_does_not_come_is_not_waited_for() {
        let (rules, mut witness) = (rules(), Witness::default());
        pass(&mut witness, &rules, vec![event(0, "denied: /m/a.mp4")], at(0));
        pass(&mut witness, &rules, vec![event(1, "one more")], at(10));
        assert_eq!(witness.due(), Some(at(2_000)));
        witness.give_up(at(1_999), false);
        assert!(!witness.is_ready());
        witness.give_up(at(2_000), false);
        assert_eq!(witness.take()[0].after, ["one more"]);
        assert_eq!(witness.due(), None);
    }

    #[test]
    fn a_long_event_keeps_its_head_and_its_cause() {
        let text = whole(format!("head {} cause", "x".repeat(60_000)).as_bytes());
        assert!(text.starts_with("head ") && text.ends_with(" cause") && text.chars().count() < 4_010);
    }

    #[test]
    fn f5_a_record_waits_for_what_was_said_around_its_event() {
        let (rules, mut witness, mut said) = (rules(), Witness::default(), Said::default());
        let record = |offset: u64| -> Record {
            let id = "01J00000000000000000000000";
            serde_json::from_value(serde_json::json!({
                "schema": crate::vocab::SCHEMA, "id": id, "seq": 1, "at": at(0), "observed_at": at(0), "incident": id,
                "class": "permission", "subject": { "kind": "file", "value": "/m/a.mp4" }, "kind": "error",
                "severity": "error", "rule": "t.denied", "source": "bot", "file": "bot.log", "offset": offset,
                "text": "denied: /m/a.mp4", "count": 1, "captures": {}, "truncated": false,
            }))
            .unwrap()
        };
        assert!(said.around(&record(0)).is_none());
        assert!(said.around(&record(7)).is_none());
        let seen = pass(&mut witness, &rules, vec![event(0, "denied: /m/a.mp4")], at(0));
        let late = said.hear(seen.clone());
        assert!(matches!(late.as_slice(), [Change::Context { around, .. }] if **around == seen[0]), "{late:?}");
        assert!(matches!(said.around(&record(0)), Some(Change::Context { around, .. }) if *around == seen[0]));
    }
}
