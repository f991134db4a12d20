//! Knows how logmedic and the bot are: when the loop turned last, the bot's process, processor time and memory. I/O: `/proc`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

/// Processor time is measured over at least so long, and read at most so often.
const MEASURED_OVER: Duration = Duration::from_secs(1);

/// Unit of processor times in `/proc`: the same on every Linux, whatever its real clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// What is known at any moment. Clones share it.
#[derive(Clone, Debug)]
pub struct Vitals(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: Instant,
    begun_at: DateTime<Utc>,
    turned_ms: AtomicU64,
    bot: watch::Sender<Option<u32>>,
    bot_now: Mutex<Option<BotNow>>,
    meters: Mutex<[Meter; 2]>,
}

/// What the bot's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotState {
    /// It runs.
    Running,
    /// It ended, and will be started again or not: that is decided at once.
    Ended,
    /// It will be started again after a pause.
    Waiting,
    /// It stays down.
    Down,
}

/// How the bot is, where logmedic runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotNow {
    /// What it does.
    pub state: BotState,
    /// Since when.
    pub since: DateTime<Utc>,
    /// How often it was started again since logmedic began.
    pub restarts: u32,
    /// How it ended last: `exit code 1`.
    pub last_end: Option<String>,
}

/// How much a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Its number.
    pub pid: u32,
    /// Share of one processor since the last look, in percent; 0 at the first.
    pub cpu_percent: f64,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    read: Option<(Instant, u64)>,
    usage: Option<Usage>,
}

impl Vitals {
    /// Begins now.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            begun: Instant::now(),
            begun_at: Utc::now(),
            turned_ms: AtomicU64::new(0),
            bot: watch::Sender::new(None),
            bot_now: Mutex::default(),
            meters: Mutex::default(),
        }))
    }

    /// When logmedic began.
    #[must_use]
    pub fn begun_at(&self) -> DateTime<Utc> {
        self.0.begun_at
    }

    /// How long ago that is.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.0.begun.elapsed()
    }

    /// The engine's loop turns.
    pub fn turned(&self) {
        let now = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.turned_ms.store(now, Ordering::Relaxed);
    }

    /// How long ago it turned last; it does so every few seconds even when nothing happens.
    #[must_use]
    pub fn loop_age(&self) -> Duration {
        self.uptime().saturating_sub(Duration::from_millis(self.0.turned_ms.load(Ordering::Relaxed)))
    }

    /// The bot runs as this process, or not at all.
    pub fn bot_runs(&self, pid: Option<u32>) {
        self.0.bot.send_replace(pid);
    }

    /// The bot is in another state; `how` says how it ended.
    pub fn bot_is(&self, state: BotState, how: Option<&str>) {
        let mut place = self.0.bot_now.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = BotNow { state, since: Utc::now(), restarts: 0, last_end: None };
        let first = place.is_none();
        let now = place.get_or_insert(fresh);
        if !first && state == BotState::Running && now.state != state {
            now.restarts = now.restarts.saturating_add(1);
        }
        if now.state != state {
            (now.state, now.since) = (state, Utc::now());
        }
        if let Some(how) = how {
            now.last_end = Some(how.to_owned());
        }
    }

    /// How the bot is; `None` before it was started.
    #[must_use]
    pub fn bot_now(&self) -> Option<BotNow> {
        self.0.bot_now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of the bot's process, as it changes.
    #[must_use]
    pub fn bot(&self) -> watch::Receiver<Option<u32>> {
        self.0.bot.subscribe()
    }

    /// What logmedic and the bot's process use. Read at most once a second.
    #[must_use]
    pub fn usage(&self) -> (Option<Usage>, Option<Usage>) {
        let bot = *self.0.bot.borrow();
        let mut meters = self.0.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let [ours, bots] = &mut *meters;
        (ours.measure(Some(std::process::id())), bots.measure(bot))
    }
}

impl Default for Vitals {
    fn default() -> Self {
        Self::new()
    }
}

impl Meter {
    fn measure(&mut self, pid: Option<u32>) -> Option<Usage> {
        let Some(pid) = pid else {
            *self = Self::default();
            return None;
        };
        if self.usage.is_some_and(|usage| usage.pid != pid) {
            *self = Self::default();
        }
        let now = Instant::now();
        if self.read.is_some_and(|(at, _)| now - at < MEASURED_OVER) {
            return self.usage;
        }
        let Some((ticks, memory_bytes)) = read(pid) else {
            *self = Self::default();
            return None;
        };
        let cpu_percent = self.read.map_or(0.0, |(at, before)| {
            let seconds = ticks.saturating_sub(before) as f64 / TICKS_PER_SECOND;
            100.0 * seconds / (now - at).as_secs_f64()
        });
        self.read = Some((now, ticks));
        self.usage = Some(Usage { pid, cpu_percent: (cpu_percent * 10.0).round() / 10.0, memory_bytes });
        self.usage
    }
}

/// Processor ticks and resident bytes of a process.
fn read(pid: u32) -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    // Fields 14 and 15 of proc(5); the list begins with the third.
    let ticks = number(11)? + number(12)?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = resident.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some((ticks, kilobytes.saturating_mul(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c10_our_own_memory_is_seen_and_a_process_that_is_gone_is_not() {
        let vitals = Vitals::new();
        vitals.bot_runs(Some(u32::MAX));
        let (ours, bots) = vitals.usage();
        assert!(ours.is_some_and(|usage| usage.memory_bytes > 1 << 20), "{ours:?}");
        assert_eq!(bots, None);
        assert_eq!(vitals.usage().0, ours, "the second look within a second is the first");
    }

    #[test]
    fn f1_the_bot_is_told_with_its_restarts_and_its_last_end() {
        let vitals = Vitals::new();
        assert_eq!(vitals.bot_now(), None);
        vitals.bot_is(BotState::Running, None);
        vitals.bot_is(BotState::Ended, Some("exit code 1"));
        vitals.bot_is(BotState::Waiting, None);
        vitals.bot_is(BotState::Running, None);
        let now = vitals.bot_now().unwrap();
        assert_eq!((now.state, now.restarts, now.last_end.as_deref()), (BotState::Running, 1, Some("exit code 1")));
    }
}
