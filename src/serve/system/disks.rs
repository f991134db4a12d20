//! Knows the room on the disks, and where it is heading. I/O: asks the file systems, at most once a second.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::vocab::rfc3339;

/// What was seen is good for so long.
const FRESH: Duration = Duration::from_secs(1);

/// A file system that does not answer within this time is not known.
const PATIENCE: Duration = Duration::from_secs(2);

/// From one sample of the trend to the next, and how many are kept: an hour and a half.
const SAMPLE_EVERY: Duration = Duration::from_secs(60);
const SAMPLES: usize = 90;

/// A trend over less than this is noise.
const TREND_OVER: Duration = Duration::from_secs(300);

/// A disk that fills up later than this is no news.
const FORESEEN: TimeDelta = TimeDelta::days(90);

/// A place that must have room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A root's name, or `state`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Less than so many free bytes is trouble.
    pub min_free: u64,
}

/// The room at a place.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Disk {
    /// A root's name, or `state`.
    pub name: String,
    /// Free bytes for ordinary users; `null` when the file system does not answer.
    pub free_bytes: Option<u64>,
    /// Its size in bytes.
    pub total_bytes: Option<u64>,
    /// Less than so many free bytes is trouble.
    pub min_free_bytes: u64,
    /// How the free bytes change an hour, over the last hour in which somebody looked; `null`: not known yet.
    pub change_bytes_per_hour: Option<i64>,
    /// When it will be full if that goes on, RFC 3339; `null`: not within 90 days, or not known.
    pub full_at: Option<String>,
}

#[derive(Clone)]
pub(super) struct Disks(Arc<Inner>);

struct Inner {
    places: Vec<Place>,
    busy: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    disks: Vec<Disk>,
    trends: Vec<Trend>,
}

/// Free bytes over time.
#[derive(Clone, Debug, Default)]
struct Trend(VecDeque<(Instant, u64)>);

impl Trend {
    fn add(&mut self, at: Instant, free: u64) {
        if self.0.back().is_some_and(|(last, _)| at - *last < SAMPLE_EVERY) {
            return;
        }
        if self.0.len() == SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back((at, free));
    }

    /// Change in bytes an hour, from the first sample to now.
    fn per_hour(&self, now: Instant, free: u64) -> Option<i64> {
        let (at, before) = self.0.front()?;
        let over = now - *at;
        if over < TREND_OVER {
            return None;
        }
        let change = free as f64 - *before as f64;
        Some((change * 3_600.0 / over.as_secs_f64()) as i64)
    }
}

/// When it is full, if it goes on like this.
fn full_at(free: u64, per_hour: Option<i64>, now: DateTime<Utc>) -> Option<String> {
    let loss = per_hour.filter(|change| *change < 0)?.unsigned_abs();
    let seconds = i64::try_from(free.saturating_mul(3_600) / loss).ok()?;
    let left = TimeDelta::try_seconds(seconds).filter(|left| *left <= FORESEEN)?;
    Some(rfc3339(now + left))
}

impl Disks {
    pub(super) fn new(places: Vec<Place>) -> Self {
        let trends = vec![Trend::default(); places.len()];
        let seen = Mutex::new(Seen { trends, ..Seen::default() });
        Self(Arc::new(Inner { places, busy: AtomicBool::new(false), seen }))
    }

    /// The room at each place. A file system that hangs costs one thread, whoever asks how often.
    pub(super) async fn list(&self) -> Vec<Disk> {
        {
            let seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.at.is_some_and(|at| at.elapsed() < FRESH) {
                return seen.disks.clone();
            }
        }
        if self.0.busy.swap(true, Ordering::AcqRel) {
            return self.known(PATIENCE);
        }
        let inner = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || {
            let found: Vec<_> = inner.places.iter().map(|place| room(&place.path)).collect();
            inner.note(found);
            inner.busy.store(false, Ordering::Release);
        });
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(_) => self.known(PATIENCE),
            Err(_) => self.known(Duration::ZERO),
        }
    }

    /// What was seen last; without numbers where that is older than `age`.
    fn known(&self, age: Duration) -> Vec<Disk> {
        let seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.is_some_and(|at| at.elapsed() <= age.max(FRESH)) {
            return seen.disks.clone();
        }
        self.0.places.iter().map(|place| disk(place, None, None, Utc::now())).collect()
    }
}

impl Inner {
    fn note(&self, found: Vec<Option<(u64, u64)>>) {
        let (now, wall) = (Instant::now(), Utc::now());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut disks = Vec::with_capacity(found.len());
        for ((place, room), trend) in self.places.iter().zip(found).zip(&mut seen.trends) {
            let per_hour = room.and_then(|(free, _)| {
                trend.add(now, free);
                trend.per_hour(now, free)
            });
            disks.push(disk(place, room, per_hour, wall));
        }
        (seen.disks, seen.at) = (disks, Some(now));
    }
}

fn disk(place: &Place, room: Option<(u64, u64)>, per_hour: Option<i64>, wall: DateTime<Utc>) -> Disk {
    Disk {
        name: place.name.clone(),
        free_bytes: room.map(|(free, _)| free),
        total_bytes: room.map(|(_, total)| total),
        min_free_bytes: place.min_free,
        change_bytes_per_hour: per_hour,
        full_at: room.and_then(|(free, _)| full_at(free, per_hour, wall)),
    }
}

fn room(path: &std::path::Path) -> Option<(u64, u64)> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    let unit = stat.fragment_size();
    Some((stat.blocks_available().saturating_mul(unit), stat.blocks().saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a28_a_trend_needs_minutes_and_says_when_it_is_full() {
        let (mut trend, begin) = (Trend::default(), Instant::now());
        for minute in 0..200_u64 {
            trend.add(begin + Duration::from_secs(60 * minute), 1_000_000 - minute * 1_000);
        }
        assert!(trend.0.len() <= SAMPLES);
        let now = begin + Duration::from_secs(60 * 199);
        let change = trend.per_hour(now, 1_000_000 - 199_000).unwrap();
        assert!((-60_100..=-59_900).contains(&change), "{change}");
        let wall = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        assert_eq!(full_at(60_000, Some(-60_000), wall), Some(rfc3339(wall + TimeDelta::hours(1))));
        assert_eq!(full_at(60_000, Some(5), wall), None);
        assert_eq!(full_at(u64::MAX, Some(-1), wall), None);
        let young = Trend(VecDeque::from([(begin, 5)]));
        assert_eq!(young.per_hour(begin + Duration::from_secs(10), 1), None);
    }
}
