//! Decides which backups are let go. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Of these backups (the newest first, each with the moment it was made), those that are let go: all but the newest `keep`,
/// and those older than `keep_for`. The newest is never among them, whatever the limits say.
#[must_use]
pub fn let_go<T>(all: &[(DateTime<Utc>, T)], keep: u32, keep_for: Option<Duration>, now: DateTime<Utc>) -> Vec<&T> {
    let age = keep_for.and_then(|age| TimeDelta::from_std(age).ok());
    let old = |at: DateTime<Utc>| age.is_some_and(|age| now.signed_duration_since(at) > age);
    let keep = usize::try_from(keep).unwrap_or(usize::MAX).max(1);
    let spare = |(place, (at, _)): &(usize, &(DateTime<Utc>, T))| *place > 0 && (*place >= keep || old(*at));
    all.iter().enumerate().filter(spare).map(|(_, (_, which))| which).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c8_the_newest_stays_whatever_the_limits_say() {
        let now: DateTime<Utc> = "2026-11-25T00:00:00Z".parse().unwrap();
        let all: Vec<_> = (0..5).map(|day| (now - TimeDelta::days(day), day)).collect();
        let days = |n: u64| Some(Duration::from_secs(n * 86_400));
        assert_eq!(let_go(&all, 3, None, now), [&3, &4]);
        assert_eq!(let_go(&all, 100, days(2), now), [&3, &4]);
        assert_eq!(let_go(&all, 2, days(1), now), [&2, &3, &4]);
        assert_eq!(let_go(&all[3..], 7, days(1), now), [&4], "all are old: the newest stays");
        assert_eq!(let_go(&all, 0, days(0), now), [&1, &2, &3, &4]);
        assert!(let_go::<i64>(&[], 1, days(1), now).is_empty());
    }
}
