//! Keeps the library up to date by itself: at the start, once a day, and pictures of what is new. I/O.

use std::time::Duration;

use serde_json::to_value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::feed::{self, Arrival};
use super::tasks::{POPULATE, Populate, THUMBNAILS, Thumbnails};
use super::{Library, ffmpeg};
use crate::ledger::library as rows;
use crate::operate::{Kind, Operations, Priority, Refused};

/// The first look waits so long after the start: what was cut off is repaired first.
const FIRST: Duration = Duration::from_secs(5);

/// Pictures of new files are begun so long after the last of them came: many become one operation.
const SETTLED: Duration = Duration::from_secs(5);

/// Who asks for it.
const BY: &str = "schedule";

/// Tends until `stop`.
pub async fn tend(
    library: Library,
    operations: Operations,
    arrivals: mpsc::Receiver<Arrival>,
    stop: CancellationToken,
) {
    let feeding = tokio::spawn(feed::run(library.clone(), arrivals, stop.clone()));
    let mut changes = library.changes();
    let (every, pictures) = (library.inner.settings.every, library.inner.settings.thumbnails);
    let mut look = every.map(|_| Instant::now() + FIRST);
    // What the last run left undone.
    let mut picture = pictures.then(|| Instant::now() + FIRST + SETTLED);
    loop {
        let at = |at: Option<Instant>| async move {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = at(look) => {
                look = every.map(|every| Instant::now() + every);
                let order = to_value(Populate { gently: true }).unwrap_or_default();
                begin(&operations, (Kind::Library, POPULATE), order).await;
            }
            () = at(picture) => {
                picture = None;
                let undone = library.read(rows::count).await.is_ok_and(|(_, undone)| undone > 0);
                // Without the program nothing is begun that would fail: the interface says what is missing.
                if undone && ffmpeg::find(&library.inner.settings.ffmpeg).is_some() {
                    let order = to_value(Thumbnails::default()).unwrap_or_default();
                    begin(&operations, (Kind::Thumbnails, THUMBNAILS), order).await;
                }
            }
            changed = changes.changed(), if pictures => match changed {
                Ok(()) => picture = Some(Instant::now() + SETTLED),
                Err(_) => break,
            },
        }
    }
    // It ends with the same word.
    let _ = feeding.await;
}

async fn begin(operations: &Operations, task: (Kind, &str), order: serde_json::Value) {
    match operations.run_task(task, order, Priority::Low, BY).await {
        // Somebody was faster.
        Ok(_) | Err(Refused::Busy { .. } | Refused::Stopping) => {}
        Err(error) => tracing::warn!("failed to begin {}: {error}", task.1),
    }
}
