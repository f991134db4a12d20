//! The one way out of every reader: a bounded channel that gives way when it is time to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::{Read, StreamId};

/// What a short read sends at most: another name of the file, and its bytes.
const SHORT_READ: usize = 2;

/// Nobody listens any more, or it is time to stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopped;

/// Sends what readers find; clones share the numbering of streams.
#[derive(Clone)]
pub(super) struct Outlet {
    out: Sender<Read>,
    pub(super) stop: CancellationToken,
    runtime: Handle,
    streams: Arc<AtomicU64>,
}

impl Outlet {
    /// Must be called inside a tokio runtime.
    pub(super) fn new(out: Sender<Read>, stop: CancellationToken) -> Self {
        Self { out, stop, runtime: Handle::current(), streams: Arc::default() }
    }

    pub(super) fn stream(&self) -> StreamId {
        StreamId(self.streams.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Whether a short read and what goes with it can be sent without waiting.
    pub(super) fn has_room(&self) -> bool {
        self.out.capacity() >= SHORT_READ
    }

    /// Waits until there is room.
    pub(super) async fn send(&self, read: Read) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Stopped),
            sent = self.out.send(read) => sent.map_err(|_| Stopped),
        }
    }

    /// The same for threads outside the runtime.
    pub(super) fn send_blocking(&self, read: Read) -> Result<(), Stopped> {
        match self.out.try_send(read) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Stopped),
            Err(TrySendError::Full(read)) => self.runtime.block_on(self.send(read)),
        }
    }

    pub(super) fn trouble(&self, source: &str, detail: String) -> Result<(), Stopped> {
        self.send_blocking(Read::Trouble { source: source.into(), detail })
    }
}
