//! Tells how far a piece of work is, from whoever does it to whoever shows it; and whether it should hold still. Pure.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How far a piece of work is, in bytes. Shared by the two sides; nobody ever waits for the other.
#[derive(Debug, Default)]
pub struct Meter {
    done: AtomicU64,
    /// 0: not known.
    total: AtomicU64,
    held: AtomicBool,
    pauses: AtomicU32,
    paused_ms: AtomicU64,
}

impl Meter {
    /// The work is at `done` bytes of `total`, where that is known.
    pub fn set(&self, done: u64, total: Option<u64>) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total.unwrap_or(0), Ordering::Relaxed);
    }

    /// So many more bytes are done.
    pub fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes done and bytes there are.
    #[must_use]
    pub fn read(&self) -> (u64, Option<u64>) {
        (self.done.load(Ordering::Relaxed), Some(self.total.load(Ordering::Relaxed)).filter(|total| *total > 0))
    }

    /// Threads that work hold still from now on.
    pub fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// They go on; the pause took so long.
    pub fn go_on(&self, paused: Duration) {
        let ms = u64::try_from(paused.as_millis()).unwrap_or(u64::MAX);
        self.paused_ms.fetch_add(ms, Ordering::Relaxed);
        self.pauses.fetch_add(1, Ordering::Relaxed);
        self.held.store(false, Ordering::Relaxed);
    }

    /// Whether to hold still.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// How many pauses there were, and how long they took together. They count for no time limit.
    #[must_use]
    pub fn pauses(&self) -> (u32, Duration) {
        (self.pauses.load(Ordering::Relaxed), Duration::from_millis(self.paused_ms.load(Ordering::Relaxed)))
    }
}
