//! Decides what a channel is told and when: its rules, quiet hours, digests, reminders, hand-over. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::quiet::Quiet;
use crate::ledger::channels::{Changed, State, Waiting};
use crate::ledger::outbox::loud;
use crate::vocab::Severity;

/// More than this many at once become one message.
const GROUP_OVER: usize = 5;

/// A message with this many failures lets others pass: its text may be the cause.
const PATIENCE: u32 = 20;

/// How many entries one message tells of; the next one tells the rest.
const TOGETHER: usize = 100;

/// What counts for a channel's rate.
pub(super) const RATE_WINDOW_MS: i64 = 60_000;

/// What a channel wants to be told, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What never was this severe is not told.
    pub min_level: Severity,
    /// Only these classes of incidents and kinds of notices; empty: all.
    pub classes: Vec<String>,
    /// When it is left alone. What is critical comes all the same.
    pub quiet: Option<Quiet>,
    /// What comes within this time is one message. What is critical comes at once.
    pub digest: Option<Duration>,
    /// The channel that takes over what this one cannot deliver, by its full name.
    pub fallback: Option<String>,
    /// What needs a person is told again after this time, until somebody acknowledges it.
    pub repeat: Option<Duration>,
    /// So many messages a minute at most.
    pub rate: u32,
}

/// What a channel is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing waits.
    Nothing,
    /// Something waits, but not before this moment (Unix milliseconds).
    Until(i64),
    /// One message about these.
    Send(Vec<String>),
    /// These go to the fallback; then plan again.
    HandOver(Vec<String>),
}

/// Whether the channel is to be told of a change.
pub(super) fn wants(rules: &Rules, entry: &Changed) -> bool {
    if entry.silent {
        // Nobody shall wait for the end of what they were told of.
        return entry.ended && entry.told.as_ref().is_some_and(|told| told.loud >= 0 && !told.ended);
    }
    match &entry.told {
        // It knows already: only what is louder, needs a person now, or is over is worth another message.
        Some(told) if told.loud >= 0 => {
            entry.loud > told.loud || (entry.rings && !told.rings) || (entry.ended && !told.ended)
        }
        Some(told) if told.forced => true,
        _ => {
            entry.loud >= loud(rules.min_level)
                && (rules.classes.is_empty()
                    || rules.classes.iter().any(|word| *word == entry.kind || entry.class.as_ref() == Some(word)))
        }
    }
}

/// The next thing to do at `now`.
///
/// `recent`: how many messages went out within the last minute, and when the first of them did. `offset`: seconds that
/// the clock of the wall is ahead. `patience`: how long a failing channel is tried before another takes over.
pub(super) fn plan(
    waiting: &[Waiting],
    rules: &Rules,
    state: &State,
    recent: (usize, i64),
    patience: Duration,
    now: DateTime<Utc>,
    offset: impl Fn(DateTime<Utc>) -> i32,
) -> Plan {
    let at = now.timestamp_millis();
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let mut later = i64::MAX;
    if rules.fallback.is_some() && state.failing_since.is_some() {
        let tried = |one: &&Waiting| one.repeat_at.is_none() && one.attempts > 0;
        let over: Vec<String> = waiting
            .iter()
            .filter(tried)
            .filter(|one| at.saturating_sub(one.since) >= ms(patience))
            .map(|one| one.id.clone())
            .collect();
        if !over.is_empty() {
            return Plan::HandOver(over);
        }
        later = waiting.iter().filter(tried).map(|one| one.since.saturating_add(ms(patience))).min().unwrap_or(later);
    }
    let wait = |until: i64| if until == i64::MAX { Plan::Nothing } else { Plan::Until(until.max(at + 1)) };
    // It asked to wait. A clock that was set back must not silence it for longer than the longest hold.
    if state.not_before > at && !waiting.is_empty() {
        return wait(later.min(state.not_before));
    }
    let (mut due, ahead): (Vec<&Waiting>, Vec<&Waiting>) =
        waiting.iter().partition(|one| one.repeat_at.is_none_or(|when| when <= at));
    later = ahead.iter().filter_map(|one| one.repeat_at).min().map_or(later, |when| later.min(when));
    let urgent = |one: &&Waiting| one.loud >= loud(Severity::Critical);
    if let Some(end) = rules.quiet.and_then(|quiet| quiet.until(now, &offset)) {
        let held = due.len();
        due.retain(urgent);
        if due.len() < held {
            later = later.min(end.timestamp_millis());
        }
    }
    if due.is_empty() {
        return wait(later);
    }
    let (count, first) = recent;
    if count >= rules.rate as usize {
        return wait(later.min(first.min(at).saturating_add(RATE_WINDOW_MS)));
    }
    let slept = |one: &&Waiting| rules.quiet.is_some_and(|quiet| quiet_at(&quiet, one.since, &offset));
    let mut held: Vec<&Waiting> = due.iter().copied().filter(|one| !urgent(one) && slept(one)).collect();
    // What came in the quiet hours is told together, at their end.
    if held.len() > 1 && !due.iter().any(urgent) {
        held.sort_by_key(|one| (one.attempts / PATIENCE, one.ord));
        return Plan::Send(held.iter().take(TOGETHER).map(|one| one.id.clone()).collect());
    }
    // One that failed often goes behind those that were not tried.
    due.sort_by_key(|one| (one.attempts / PATIENCE, one.ord));
    if due.iter().any(urgent) {
        due.retain(urgent);
    } else if let Some(digest) = rules.digest {
        let oldest = due.iter().map(|one| one.repeat_at.unwrap_or(one.since)).min().unwrap_or(at);
        let ripe = oldest.min(at).saturating_add(ms(digest));
        if ripe > at {
            return wait(later.min(ripe));
        }
        due.truncate(TOGETHER);
        return Plan::Send(due.iter().map(|one| one.id.clone()).collect());
    }
    let together = if due.len() > GROUP_OVER { TOGETHER } else { 1 };
    Plan::Send(due.iter().take(together).map(|one| one.id.clone()).collect())
}

/// Whether a moment (Unix milliseconds) lies in the quiet hours.
fn quiet_at(quiet: &Quiet, at: i64, offset: impl Fn(DateTime<Utc>) -> i32) -> bool {
    DateTime::from_timestamp_millis(at).is_some_and(|at| quiet.until(at, offset).is_some())
}

/// When somebody who did not acknowledge is reminded.
pub(super) fn repeat_at(rules: &Rules, rings: bool, loudness: i64, now: i64) -> Option<i64> {
    let every = rules.repeat.filter(|_| rings && loudness >= loud(Severity::Error))?;
    Some(now.saturating_add(i64::try_from(every.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::channels::Told;

    const NOW: i64 = 1_795_000_000_000; // 2026-11-18T11:06:40Z
    const MINUTE: i64 = 60_000;

    fn rules() -> Rules {
        Rules {
            min_level: Severity::Warning,
            classes: vec![],
            quiet: None,
            digest: None,
            fallback: None,
            repeat: None,
            rate: 20,
        }
    }

    fn waiting(ord: i64, since: i64) -> Waiting {
        Waiting { id: format!("k{ord}"), ord, since, loud: 2, repeat_at: None, attempts: 0, forced: false }
    }

    fn next(waiting: &[Waiting], rules: &Rules, state: &State, recent: (usize, i64), now: i64) -> Plan {
        let at = DateTime::from_timestamp_millis(now).unwrap();
        plan(waiting, rules, state, recent, Duration::from_secs(300), at, |_| 0)
    }

    fn calm(waiting: &[Waiting], rules: &Rules) -> Plan {
        next(waiting, rules, &State::default(), (0, 0), NOW)
    }

    fn send(ids: &[&str]) -> Plan {
        Plan::Send(ids.iter().map(|id| (*id).to_owned()).collect())
    }

    #[test]
    fn e2_levels_classes_and_what_is_news() {
        let entry = |loud, kind: &str, class: Option<&str>, told| Changed {
            id: "k".into(),
            kind: kind.into(),
            class: class.map(Into::into),
            loud,
            ended: true,
            rings: false,
            silent: false,
            told,
        };
        let incident = |told| entry(2, "incident", Some("timeout"), told);
        assert!(wants(&rules(), &incident(None)));
        assert!(!wants(&rules(), &entry(0, "custom", None, None)), "below the least level");
        let only = Rules { classes: vec!["timeout".into(), "bot".into()], ..rules() };
        assert!(wants(&only, &incident(None)) && wants(&only, &entry(2, "bot", None, None)));
        assert!(!wants(&only, &entry(2, "incident", Some("corrupt"), None)));
        let told = |loud, ended| Some(Told { loud, ended, rings: false, forced: false });
        assert!(wants(&rules(), &incident(told(2, false))), "it ended since");
        assert!(!wants(&rules(), &incident(told(2, true))), "known");
        assert!(wants(&rules(), &incident(told(1, true))), "louder");
        let silent = |told| Changed { silent: true, ..incident(told) };
        assert!(!wants(&rules(), &silent(None)), "it began and ended in the silence");
        assert!(wants(&rules(), &silent(told(2, false))), "who was told of it learns that it is over");
        assert!(!wants(&rules(), &silent(told(2, true))) && !wants(&rules(), &silent(told(1, true))));
        assert!(!wants(&rules(), &Changed { ended: false, ..silent(told(1, false)) }), "louder is no end");
        let forced = Some(Told { loud: -1, ended: false, rings: false, forced: true });
        assert!(wants(&only, &entry(0, "incident", Some("corrupt"), forced)), "another channel handed it over");
    }

    #[test]
    fn e2_a_few_come_one_by_one_and_many_together() {
        assert_eq!(calm(&[], &rules()), Plan::Nothing);
        let few: Vec<Waiting> = (1..=5).map(|ord| waiting(ord, NOW)).collect();
        assert_eq!(calm(&few, &rules()), send(&["k1"]));
        let many: Vec<Waiting> = (1..=6).map(|ord| waiting(ord, NOW)).collect();
        assert_eq!(calm(&many, &rules()), send(&["k1", "k2", "k3", "k4", "k5", "k6"]));
        let mut failed = few;
        failed[0].attempts = PATIENCE;
        assert_eq!(calm(&failed, &rules()), send(&["k2"]), "a text that always fails lets others pass");
    }

    #[test]
    fn e2_a_digest_is_complete_when_its_time_is_over_and_what_is_critical_does_not_wait() {
        let rules = Rules { digest: Some(Duration::from_secs(600)), ..rules() };
        let mut list = vec![waiting(1, NOW - 9 * MINUTE), waiting(2, NOW)];
        assert_eq!(calm(&list, &rules), Plan::Until(NOW + MINUTE));
        list[0].since = NOW - 10 * MINUTE;
        assert_eq!(calm(&list, &rules), send(&["k1", "k2"]));
        list[1].loud = 3;
        assert_eq!(calm(&list, &rules), send(&["k2"]));
    }

    #[test]
    fn e2_quiet_hours_hold_all_but_what_is_critical() {
        let rules = Rules { quiet: Some(Quiet::parse("11:00-12:00 UTC").unwrap()), ..rules() };
        let end = DateTime::parse_from_rfc3339("2026-11-18T12:00:00Z").unwrap().timestamp_millis();
        let mut list = vec![waiting(1, NOW), waiting(2, NOW)];
        assert_eq!(calm(&list, &rules), Plan::Until(end));
        assert_eq!(next(&list, &rules, &State::default(), (0, 0), end), send(&["k1", "k2"]), "together at its end");
        let mut later = list.clone();
        later.push(waiting(3, end));
        later[1].since = end;
        assert_eq!(next(&later, &rules, &State::default(), (0, 0), end), send(&["k1"]), "one that was held is itself");
        list[1].loud = 3;
        assert_eq!(calm(&list, &rules), send(&["k2"]));
    }

    #[test]
    fn e2_the_rate_is_kept_and_a_channel_that_asked_to_wait_is_left_alone() {
        let list = [waiting(1, NOW)];
        let rules = Rules { rate: 2, ..rules() };
        let busy = (2, NOW - 50_000);
        assert_eq!(next(&list, &rules, &State::default(), busy, NOW), Plan::Until(NOW + 10_000));
        let held = State { not_before: NOW + 5, ..State::default() };
        assert_eq!(next(&list, &rules, &held, (0, 0), NOW), Plan::Until(NOW + 5));
    }

    #[test]
    fn e2_what_cannot_be_delivered_is_handed_over_after_a_while() {
        let rules = Rules { fallback: Some("email:home".into()), ..rules() };
        let failing = State { failing_since: Some(NOW - 6 * MINUTE), not_before: NOW + MINUTE, ..State::default() };
        let tried = Waiting { attempts: 3, ..waiting(1, NOW - 5 * MINUTE) };
        let list = [tried.clone(), waiting(2, NOW - 5 * MINUTE)];
        let plan = next(&list, &rules, &failing, (0, 0), NOW);
        assert_eq!(plan, Plan::HandOver(vec!["k1".into()]), "what was never tried is tried first");
        let young = [Waiting { since: NOW - 5 * MINUTE + 7, ..tried }];
        assert_eq!(next(&young, &rules, &failing, (0, 0), NOW), Plan::Until(NOW + 7));
    }

    #[test]
    fn e2_reminders_come_at_their_time() {
        let rules = Rules { repeat: Some(Duration::from_secs(3600)), ..rules() };
        assert_eq!(repeat_at(&rules, true, 2, NOW), Some(NOW + 60 * MINUTE));
        assert_eq!(repeat_at(&rules, false, 2, NOW), None, "nobody is needed");
        assert_eq!(repeat_at(&rules, true, 1, NOW), None, "a warning does not nag");
        let mut list = vec![Waiting { repeat_at: Some(NOW + MINUTE), ..waiting(1, 0) }];
        assert_eq!(calm(&list, &rules), Plan::Until(NOW + MINUTE));
        list[0].repeat_at = Some(NOW);
        assert_eq!(calm(&list, &rules), send(&["k1"]));
    }
}
