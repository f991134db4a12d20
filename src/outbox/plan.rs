//! Decides what one chat is told next: a new message, an edit, a digest, or nothing yet. Pure.

use super::settings::Pace;
use crate::ledger::outbox::{DIGEST, Delivery, Owed};

/// A message with this many unclear failures (about an hour of them) lets others pass: its text may be the cause.
const PATIENCE: u32 = 20;

/// What a chat has and lacks.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// What it lacks, in order.
    pub owed: Vec<Owed>,
    /// Its digest messages, oldest first.
    pub digests: Vec<Delivery>,
    /// How many messages about single notices it got within the window.
    pub recent: usize,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing is owed.
    Nothing,
    /// Something is owed, but not before this moment (Unix milliseconds).
    Until(i64),
    /// These notices go into this digest; then plan again.
    Group { digest: String, keys: Vec<String> },
    /// This notice gets a message of its own that answers the old one; then plan again.
    Ring(String),
    /// A new message.
    Post(String),
    /// The live message of this key is edited.
    Amend(String),
}

/// The next thing to do at `now` (Unix milliseconds).
pub(super) fn plan(view: &View, pace: &Pace, now: i64) -> Plan {
    let ms = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let fresh = |owed: &Owed| match &owed.delivery {
        None => true,
        Some(told) => told.message_id.is_none() && told.digest.is_none(),
    };
    // An answer to an older message has its reason to stand alone.
    let loose: Vec<&Owed> = view
        .owed
        .iter()
        .filter(|owed| fresh(owed) && owed.delivery.as_ref().is_none_or(|told| told.reply_to.is_none()))
        .collect();
    let last = view.digests.last();
    // A digest that is not even out, or just out, means that the storm is on.
    let storm = last.is_some_and(|digest| digest.first_sent.is_none_or(|sent| now - sent < ms(pace.window)));
    if !loose.is_empty() && (storm || loose.len() + view.recent > pace.group_over) {
        let open = last
            .filter(|digest| digest.first_sent.is_none_or(|sent| now - sent < ms(pace.digest_open)))
            .map(|digest| digest.key.clone());
        let digest = open.unwrap_or_else(|| format!("{DIGEST}{}", loose[0].ord));
        return Plan::Group { digest, keys: loose.iter().map(|owed| owed.key.clone()).collect() };
    }
    let unsent =
        |key: &str| view.digests.iter().find(|digest| digest.key == key).is_some_and(|d| d.message_id.is_none());
    let post = view.owed.iter().filter_map(|owed| match owed.delivery.as_ref() {
        Some(Delivery { digest: Some(digest), .. }) => {
            let told = view.digests.iter().find(|told| told.key == *digest)?;
            unsent(digest).then_some((told.attempts / PATIENCE, owed.ord, digest))
        }
        told => fresh(owed).then_some((told.map_or(0, |told| told.attempts / PATIENCE), owed.ord, &owed.key)),
    });
    if let Some((_, _, key)) = post.min() {
        return Plan::Post(key.clone());
    }
    let mut edits: Vec<(i64, bool, i64, &str)> = Vec::new();
    for owed in &view.owed {
        let Some(told) = &owed.delivery else { continue };
        let live = match &told.digest {
            Some(key) => view.digests.iter().find(|digest| digest.key == *key),
            None => Some(told),
        };
        let Some(live) = live else { continue };
        if owed.rings && live.first_sent.is_some_and(|sent| now - sent > ms(pace.ring_after)) {
            return Plan::Ring(owed.key.clone());
        }
        // A clock that was set back must not hold an edit for longer than the gap.
        let due = live.last_sent.map_or(now, |sent| sent.min(now) + ms(pace.edit_gap));
        edits.push((due.max(now), !owed.ended, owed.ord, &live.key));
    }
    match edits.into_iter().min() {
        None => Plan::Nothing,
        Some((due, _, _, key)) if due <= now => Plan::Amend(key.to_owned()),
        Some((due, ..)) => Plan::Until(due),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn owed(ord: i64, delivery: Option<Delivery>) -> Owed {
        Owed { key: format!("k{ord}"), ord, ended: false, rings: false, delivery }
    }

    fn live(key: &str, first: i64, last: i64) -> Delivery {
        Delivery {
            key: key.into(),
            message_id: Some(1),
            first_sent: Some(first),
            last_sent: Some(last),
            ..Delivery::default()
        }
    }

    fn next(view: View) -> Plan {
        plan(&view, &Pace::default(), NOW)
    }

    #[test]
    fn a_few_are_told_one_by_one_and_many_become_a_digest() {
        assert_eq!(next(View::default()), Plan::Nothing);
        let view = |count: i64, recent| View {
            owed: (1..=count).map(|ord| owed(ord, None)).collect(),
            recent,
            ..View::default()
        };
        assert_eq!(next(view(5, 0)), Plan::Post("k1".into()));
        let Plan::Group { digest, keys } = next(view(6, 0)) else { panic!() };
        assert_eq!((digest.as_str(), keys.len()), ("digest:1", 6));
        assert!(matches!(next(view(1, 5)), Plan::Group { .. }), "one too many within the window");
    }

    #[test]
    fn a_digest_takes_further_notices_only_for_a_while() {
        let digest = |first| vec![live("digest:1", first, first)];
        let view = |first| View { owed: vec![owed(9, None)], recent: 5, digests: digest(first) };
        let calm = |first| View { recent: 0, ..view(first) };
        assert!(matches!(next(calm(NOW - 59_000)), Plan::Group { .. }), "the storm is on");
        assert_eq!(next(calm(NOW - 61_000)), Plan::Post("k9".into()), "it is over");
        assert_eq!(next(view(NOW - 599_000)), Plan::Group { digest: "digest:1".into(), keys: vec!["k9".into()] });
        assert_eq!(next(view(NOW - 601_000)), Plan::Group { digest: "digest:9".into(), keys: vec!["k9".into()] });
    }

    #[test]
    fn edits_keep_their_distance_and_endings_go_first() {
        let mut view = View { owed: vec![owed(1, Some(live("k1", 0, NOW - 1_000)))], ..View::default() };
        assert_eq!(next(view.clone()), Plan::Until(NOW + 2_000));
        view.owed = vec![owed(1, Some(live("k1", 0, NOW - 5_000))), owed(2, Some(live("k2", 0, NOW - 4_000)))];
        assert_eq!(next(view.clone()), Plan::Amend("k1".into()));
        view.owed[1].ended = true;
        assert_eq!(next(view.clone()), Plan::Amend("k2".into()));
        view.owed.push(owed(3, None));
        assert_eq!(next(view), Plan::Post("k3".into()), "news go before edits");
    }

    #[test]
    fn what_needs_a_person_rings_when_the_message_is_old() {
        let old = owed(1, Some(live("k1", NOW - 601_000, NOW - 10_000)));
        let ringing = |owed: Owed| View { owed: vec![Owed { rings: true, ..owed }], ..View::default() };
        assert_eq!(next(ringing(old.clone())), Plan::Ring("k1".into()));
        assert_eq!(next(View { owed: vec![old], ..View::default() }), Plan::Amend("k1".into()));
        let young = owed(1, Some(live("k1", NOW - 500_000, NOW - 10_000)));
        assert_eq!(next(ringing(young)), Plan::Amend("k1".into()));
    }

    #[test]
    fn a_text_that_always_fails_lets_others_pass() {
        let failed = Delivery { attempts: PATIENCE, ..Delivery::default() };
        let view = View { owed: vec![owed(1, Some(failed)), owed(2, None)], ..View::default() };
        assert_eq!(next(view), Plan::Post("k2".into()));
    }

    #[test]
    fn a_clock_set_back_does_not_hold_edits() {
        let view = View { owed: vec![owed(1, Some(live("k1", NOW, NOW + 86_400_000)))], ..View::default() };
        assert_eq!(next(view), Plan::Until(NOW + 3_000));
    }
}
