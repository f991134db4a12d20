//! Connects work with whoever manages it: safe points, orders, progress. I/O: waits.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::manager::Operations;
use super::operation::Report;
use super::progress::{Tally, Unit};
use crate::vocab::{Id, Meter};

/// What the manager wants of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// There is no slot yet.
    Wait,
    /// Go on.
    Run,
    /// Hold still at the next safe point.
    Hold,
    /// End at the next safe point.
    End,
}

/// How work ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done(Report),
    /// It did not work.
    Failed(Report),
    /// It ended because somebody asked.
    Cancelled(Report),
    /// It was cut off because logmedic stops.
    Interrupted(Report),
}

impl Outcome {
    /// With a sentence alone.
    #[must_use]
    pub fn done(detail: impl Into<String>) -> Self {
        Self::Done(Report { detail: detail.into(), ..Report::default() })
    }

    /// With a sentence alone.
    #[must_use]
    pub fn failed(detail: impl Into<String>) -> Self {
        Self::Failed(Report { detail: detail.into(), ..Report::default() })
    }

    /// With a sentence alone.
    #[must_use]
    pub fn cancelled(detail: impl Into<String>) -> Self {
        Self::Cancelled(Report { detail: detail.into(), ..Report::default() })
    }
}

/// Work that an operation does. It calls [`Control::checkpoint`] wherever it may stop, at least every half second.
pub trait Worker: Send + 'static {
    /// Does it.
    fn run(self: Box<Self>, control: Control) -> BoxFuture<'static, Outcome>;
}

/// Somebody asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

/// What the two sides share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) orders: watch::Sender<Order>,
    pub(super) end: CancellationToken,
    pub(super) meter: Arc<Meter>,
    pub(super) tally: Mutex<Tally>,
    /// The command's process, 0 without one.
    pub(super) process: AtomicI32,
    /// A person wants it to end.
    pub(super) called_off: AtomicBool,
}

impl Shared {
    pub(super) fn new(end: CancellationToken) -> Self {
        Self {
            orders: watch::Sender::new(Order::Wait),
            end,
            meter: Arc::default(),
            tally: Mutex::default(),
            process: AtomicI32::new(0),
            called_off: AtomicBool::new(false),
        }
    }

    /// How far the work says it is: by its tally, else by its meter.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (done, total) = self.meter.read();
        if tally.done.is_none() && (done > 0 || total.is_some()) {
            tally = Tally { unit: Unit::Bytes, done: Some(done), total, ..tally };
        }
        tally
    }
}

/// The work's side of an operation.
#[derive(Clone)]
pub struct Control {
    pub(super) id: Id,
    pub(super) operations: Operations,
    pub(super) shared: Arc<Shared>,
    pub(super) orders: watch::Receiver<Order>,
}

impl Control {
    /// The operation.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    /// A safe point: holds still while that is wanted.
    ///
    /// # Errors
    /// When the work is to end here.
    pub async fn checkpoint(&mut self) -> Result<(), Ended> {
        loop {
            let order = *self.orders.borrow_and_update();
            match order {
                Order::Run => return Ok(()),
                Order::End => return Err(Ended),
                Order::Hold => self.held(),
                Order::Wait => {}
            }
            self.orders.changed().await.map_err(|_| Ended)?;
        }
    }

    /// The order that holds now.
    #[must_use]
    pub fn order(&mut self) -> Order {
        *self.orders.borrow_and_update()
    }

    /// The next order. Without a manager any more: to end.
    pub async fn next_order(&mut self) -> Order {
        match self.orders.changed().await {
            Ok(()) => *self.orders.borrow_and_update(),
            Err(_) => Order::End,
        }
    }

    /// Says that the work holds still.
    pub fn held(&self) {
        self.operations.held(self.id);
    }

    /// Says how far the work is.
    pub fn tell(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Says which process does the work; its tree is measured.
    pub fn process(&self, pid: i32) {
        self.shared.process.store(pid, Ordering::Relaxed);
    }

    /// Where bytes are counted.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.shared.meter)
    }

    /// Runs work that knows nothing of pauses: while it is to hold still it is not polled, and its threads hold still by the
    /// meter. It must end by itself when it is to be cancelled.
    pub async fn paced<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        let meter = self.meter();
        loop {
            if self.order() == Order::Hold {
                meter.hold();
                let since = Instant::now();
                self.held();
                let over = self.orders.wait_for(|order| matches!(order, Order::Run | Order::End)).await.is_err();
                meter.go_on(since.elapsed());
                if over {
                    return work.await;
                }
            }
            tokio::select! {
                biased;
                output = &mut work => return output,
                changed = self.orders.changed() => if changed.is_err() {
                    return work.await;
                },
            }
        }
    }
}
