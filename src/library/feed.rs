//! Takes new downloads in as soon as they are complete. I/O.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::{Library, populate};
use crate::ledger::library::Place;
use crate::operate::Order;

/// A file that is complete, as far as a watcher can tell, or gone: where it is, as an absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival(pub String);

/// Files that wait to be looked at; with more than that the next look at all of them finds the rest.
const WAITING: usize = 1_024;

/// What comes within this time is looked at together.
const TOGETHER: Duration = Duration::from_millis(200);

/// How long a look may take to end.
const LAST: Duration = Duration::from_secs(2);

/// The way in.
#[derive(Clone)]
pub struct Feed {
    arrivals: mpsc::Sender<Arrival>,
}

impl Feed {
    /// A way in, and what comes out of it.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Arrival>) {
        let (arrivals, out) = mpsc::channel(WAITING);
        (Self { arrivals }, out)
    }

    /// A file is complete or gone. Never waits.
    pub fn tell(&self, path: String) {
        // Full, or nobody listens any more: the next look at everything finds it.
        let _ = self.arrivals.try_send(Arrival(path));
    }
}

/// Looks at what arrives until `stop`.
pub(super) async fn run(library: Library, mut arrivals: mpsc::Receiver<Arrival>, stop: CancellationToken) {
    while let Some(first) = tokio::select! {
        () = stop.cancelled() => None,
        first = arrivals.recv() => first,
    } {
        let mut paths = vec![first.0];
        let together = tokio::time::sleep(TOGETHER);
        tokio::pin!(together);
        loop {
            tokio::select! {
                () = &mut together => break,
                more = arrivals.recv() => match more {
                    Some(Arrival(path)) => paths.push(path),
                    None => break,
                },
            }
        }
        let pace = Arc::new(Pace::new(0, true, || {}));
        let (looking, ours) = (Arc::clone(&pace), library.clone());
        let work = tokio::task::spawn_blocking(move || {
            let places = paths.iter().filter_map(|path| {
                let path = ours.inner.roots.resolve(path, None).ok()?;
                let (dir, file) = (path.relative().parent()?.to_path_buf(), path.relative().file_name()?.to_owned());
                Some(Place { root: path.root_name().to_owned(), dir, file })
            });
            populate::arrive(&ours, places.collect(), &looking)
        });
        tokio::pin!(work);
        let done = tokio::select! {
            done = &mut work => done,
            () = stop.cancelled() => {
                pace.set(Order::End);
                // One that hangs in a file system is left behind.
                match tokio::time::timeout(LAST, &mut work).await {
                    Ok(done) => done,
                    Err(_) => return,
                }
            }
        };
        if let Ok(Err(populate::Stopped::Ledger(error))) = done {
            tracing::warn!("{error}");
        }
    }
}
