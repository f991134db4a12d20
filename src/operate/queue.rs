//! Says which operation is next: by priority, with age, within limits. Pure; time is an argument.
//!
//! A priority is a head start of [`HEAD_START`] a level. So an operation is overtaken only by those that come within three head
//! starts after it, and nobody waits for ever; and the order of two never changes while they wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::operation::{Kind, Priority};
use crate::vocab::Id;

/// How much earlier each level counts as having come. A repair takes seconds to minutes: one that is urgent passes those of
/// the last minutes, not those of the last hour.
pub const HEAD_START: Duration = Duration::from_secs(60);

/// How many may be at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Together.
    pub at_once: usize,
    /// Of these, so many are kept free for repairs: a task of hours must not keep healing waiting.
    pub for_repairs: usize,
    /// By kind; a kind that is not named may take all there are.
    pub kinds: BTreeMap<Kind, usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { at_once: 3, for_repairs: 1, kinds: BTreeMap::new() }
    }
}

/// How many are at work, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Busy(BTreeMap<Kind, usize>);

impl Busy {
    /// One more began.
    pub fn enter(&mut self, kind: Kind) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// One ended or holds still.
    pub fn leave(&mut self, kind: Kind) {
        let count = self.0.entry(kind).or_default();
        *count = count.saturating_sub(1);
    }

    /// Of this kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> usize {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// Together.
    #[must_use]
    pub fn all(&self) -> usize {
        self.0.values().sum()
    }
}

impl Limits {
    /// Whether one more of this kind may begin.
    #[must_use]
    pub fn admit(&self, busy: &Busy, kind: Kind) -> bool {
        let own = self.kinds.get(&kind).is_none_or(|limit| busy.of(kind) < *limit);
        let at_once = self.at_once.max(1);
        // The test operation shows the slots; it never keeps anybody waiting in earnest.
        let others = busy.all() - busy.of(Kind::Repair) - busy.of(Kind::Test);
        let reserved = self.for_repairs.min(at_once - 1);
        let yields = matches!(kind, Kind::Repair | Kind::Test) || others < at_once - reserved;
        own && yields && busy.all() < at_once
    }
}

/// Who waits. Bounded by whoever puts them in.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    waiting: BTreeMap<Kind, BTreeSet<Place>>,
    places: HashMap<Id, (Kind, Place)>,
    count: u64,
}

/// Milliseconds at which it counts as having come, then the order of coming.
type Place = (i64, u64, Id);

impl Queue {
    /// Puts it in at `now`.
    pub fn push(&mut self, id: Id, kind: Kind, priority: Priority, now: Duration) {
        self.remove(id);
        let came = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let ahead = i64::try_from(HEAD_START.as_millis()).unwrap_or(0) * priority as i64;
        self.count += 1;
        let place = (came.saturating_sub(ahead), self.count, id);
        self.waiting.entry(kind).or_default().insert(place);
        self.places.insert(id, (kind, place));
    }

    /// Takes it out; `false` when it is not in.
    pub fn remove(&mut self, id: Id) -> bool {
        let Some((kind, place)) = self.places.remove(&id) else { return false };
        self.waiting.get_mut(&kind).is_some_and(|kind| kind.remove(&place))
    }

    /// Takes out the first that may begin.
    pub fn next(&mut self, busy: &Busy, limits: &Limits) -> Option<Id> {
        let first = self
            .waiting
            .iter()
            .filter(|(kind, _)| limits.admit(busy, **kind))
            .filter_map(|(_, places)| places.first())
            .min()?;
        let id = first.2;
        self.remove(id);
        Some(id)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::Rng;
    use proptest::prelude::*;

    fn id(n: u64) -> Id {
        Id::new(chrono::DateTime::UNIX_EPOCH, &mut Rng::new(n))
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        prop::sample::select(Kind::ALL)
    }

    proptest! {
        /// Whoever waits is overtaken only by those who come within three head starts after it.
        #[test]
        fn c1_nobody_waits_for_ever(
            priorities in prop::collection::vec(prop::sample::select(Priority::ALL), 2..60),
            gaps in prop::collection::vec(0u64..90, 60),
        ) {
            let mut queue = Queue::default();
            let mut came = HashMap::new();
            let mut now = Duration::ZERO;
            for (n, priority) in (0..).zip(&priorities) {
                now += Duration::from_secs(gaps[n as usize]);
                queue.push(id(n), Kind::Custom, *priority, now);
                came.insert(id(n), (now, *priority));
            }
            let mut before: Vec<(Duration, Priority)> = Vec::new();
            while let Some(next) = queue.next(&Busy::default(), &Limits::default()) {
                let (at, priority) = came[&next];
                for (earlier, its) in &before {
                    let level = |p: Priority| u32::from(p as u8);
                    let ahead = HEAD_START * level(*its).saturating_sub(level(priority));
                    prop_assert!(*earlier <= at + ahead, "overtaken by one that came too late");
                }
                before.push((at, priority));
            }
            prop_assert_eq!(before.len(), priorities.len());
        }

        /// However they come, no limit is ever passed, and nothing waits while there is room for it.
        #[test]
        fn c1_limits_hold_and_no_slot_is_wasted(
            all in prop::collection::vec(kinds(), 0..40), at_once in 1usize..6, for_repairs in 0usize..3, custom in 1usize..4,
        ) {
            let limits = Limits { at_once, for_repairs, kinds: BTreeMap::from([(Kind::Custom, custom)]) };
            let (mut queue, mut busy) = (Queue::default(), Busy::default());
            for (n, kind) in (0..).zip(&all) {
                queue.push(id(n), *kind, Priority::Normal, Duration::ZERO);
            }
            let mut running = std::collections::VecDeque::new();
            let mut begun = 0;
            loop {
                while let Some(next) = queue.next(&busy, &limits) {
                    let kind = all[(0..all.len() as u64).find(|n| id(*n) == next).unwrap() as usize];
                    busy.enter(kind);
                    running.push_back(kind);
                    begun += 1;
                }
                prop_assert!(busy.all() <= at_once && busy.of(Kind::Custom) <= custom);
                let Some(kind) = running.pop_front() else { break };
                busy.leave(kind);
            }
            prop_assert_eq!(begun, all.len());
        }
    }

    #[test]
    fn c1_a_repair_finds_a_slot_while_tasks_of_hours_run() {
        let limits = Limits::default();
        let mut busy = Busy::default();
        busy.enter(Kind::Custom);
        busy.enter(Kind::Custom);
        assert!(!limits.admit(&busy, Kind::Custom));
        assert!(limits.admit(&busy, Kind::Repair));
    }

    #[test]
    fn c1_critical_goes_first_but_not_before_one_that_waited_for_minutes() {
        let mut queue = Queue::default();
        let secs = Duration::from_secs;
        queue.push(id(1), Kind::Repair, Priority::Low, secs(0));
        queue.push(id(2), Kind::Repair, Priority::Critical, secs(10));
        queue.push(id(3), Kind::Repair, Priority::Critical, secs(200));
        let order: Vec<_> = std::iter::from_fn(|| queue.next(&Busy::default(), &Limits::default())).collect();
        assert_eq!(order, [id(2), id(1), id(3)]);
    }
}
