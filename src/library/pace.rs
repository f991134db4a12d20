//! Runs work of hours on a thread of its own that can hold still and end within moments. I/O: a thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::operate::{Control, Order};

/// How low the priority of these threads is, for the processor and for the disk: who heals and who downloads goes first.
pub(super) const NICE: i32 = 10;

/// Somebody asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended;

/// The thread's side: where it holds still, and how fast it may read.
pub(super) struct Pace {
    /// What is wanted, and how often something else was: a pause after a pause is told again.
    order: Mutex<(Order, u64)>,
    bell: Condvar,
    /// Something else than to go on is wanted.
    look_up: AtomicBool,
    held: Box<dyn Fn() + Send + Sync>,
    /// Bytes a second; 0: as fast as it goes.
    rate: u64,
    /// Whether its threads wait for everybody else's.
    gentle: bool,
    /// When what was read so far is paid for.
    paid: Mutex<Instant>,
}

impl Pace {
    /// `held` is called when the work holds still. `gentle`: nobody waits for it.
    pub(super) fn new(rate: u64, gentle: bool, held: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            order: Mutex::new((Order::Run, 0)),
            bell: Condvar::new(),
            look_up: AtomicBool::new(false),
            held: Box::new(held),
            rate,
            gentle,
            paid: Mutex::new(Instant::now()),
        }
    }

    /// Called by each thread that works: where nobody waits for the work, it lets all others go first.
    pub(super) fn settle(&self) {
        if self.gentle {
            // Without a process, it is this thread alone. Where that is refused, it works as everybody does.
            let _ = rustix::process::setpriority_process(None, NICE);
        }
    }

    /// What is wanted from now on.
    pub(super) fn set(&self, order: Order) {
        let mut now = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (order, now.1 + 1);
        drop(now);
        self.look_up.store(order != Order::Run, Ordering::Relaxed);
        self.bell.notify_all();
    }

    /// What is wanted now.
    pub(super) fn order(&self) -> Order {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// A safe point: holds still while that is wanted.
    pub(super) fn point(&self) -> Result<(), Ended> {
        if !self.look_up.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut told = None;
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (wanted, turn) = *order;
            match wanted {
                Order::Run => return Ok(()),
                Order::End => return Err(Ended),
                Order::Hold if told != Some(turn) => {
                    told = Some(turn);
                    drop(order);
                    (self.held)();
                    order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
                }
                Order::Hold | Order::Wait => {
                    order = self.bell.wait(order).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Pays for bytes that were read: waits where there were too many of them.
    pub(super) fn spend(&self, bytes: u64) -> Result<(), Ended> {
        if self.rate == 0 {
            return self.point();
        }
        let until = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            *paid = (*paid).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / self.rate as f64);
            *paid
        };
        loop {
            self.point()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.nap(left);
        }
    }

    /// Waits for this long, or for another order.
    pub(super) fn nap(&self, time: Duration) {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if order.0 == Order::Run {
            drop(self.bell.wait_timeout(order, time));
        }
    }
}

/// Ends the work when nobody waits for it any more.
struct Guard(Arc<Pace>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(Order::End);
    }
}

/// Runs `work` as the work of an operation. `None`: it died.
pub(super) async fn drive<T, F>(mut control: Control, (rate, gentle): (u64, bool), work: F) -> Option<T>
where
    T: Send + 'static,
    F: FnOnce(&Pace) -> T + Send + 'static,
{
    let teller = control.clone();
    let pace = Arc::new(Pace::new(rate, gentle, move || teller.held()));
    pace.set(control.order());
    let guard = Guard(Arc::clone(&pace));
    let (tell, mut told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("library".into());
    let spawned = thread.spawn(move || {
        pace.settle();
        // Nobody waits for it any more: it was broken off.
        let _ = tell.send(work(&pace));
    });
    if let Err(error) = spawned {
        tracing::error!("failed to start a thread: {error}");
        return None;
    }
    loop {
        tokio::select! {
            done = &mut told => return done.ok(),
            order = control.next_order() => {
                guard.0.set(order);
                if order == Order::End {
                    return told.await.ok();
                }
            }
        }
    }
}

/// How many threads read and count at once.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}

/// More threads than this wait for the disk.
const THREADS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c1_a_thread_holds_still_goes_on_and_ends_as_it_is_told() {
        let (said, heard) = std::sync::mpsc::channel();
        let pace = Arc::new(Pace::new(0, false, move || said.send(()).unwrap()));
        let worker = {
            let pace = Arc::clone(&pace);
            std::thread::spawn(move || while pace.point().is_ok() {})
        };
        pace.set(Order::Hold);
        heard.recv().unwrap();
        pace.set(Order::Run);
        pace.set(Order::Hold);
        heard.recv().unwrap();
        pace.set(Order::End);
        worker.join().unwrap();
    }

    #[test]
    fn h4_reading_is_slowed_down_to_its_rate() {
        let pace = Pace::new(1_000_000, false, || {});
        let began = Instant::now();
        for _ in 0..10 {
            pace.spend(10_000).unwrap();
        }
        assert!(began.elapsed() >= Duration::from_millis(95), "{:?}", began.elapsed());
    }
}
