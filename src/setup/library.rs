//! Turns `[library]` into what the library is told, and starts what keeps it up to date. I/O: starts a task.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::load::{Loaded, Surroundings};
use crate::correlate::{Grew, Growth};
use crate::engine::order::Order;
use crate::engine::run::Orders;
use crate::ledger::Ledger;
use crate::library::{self, Feed, Library, Settings};
use crate::operate::schedule::Schedule;
use crate::operate::{Operations, Task};
use crate::roots::Roots;
use crate::supervise::marker_for;
use crate::supervise::tree::MARKER;
use crate::vocab::{Damage, Id};

/// Directory of small pictures, in the state directory.
const PICTURES: &str = "thumbnails";

/// Looks at growing files that wait to be passed on.
const GROWTH: usize = 4;

/// The library of this configuration. `cwd`: where the bot runs, for relative paths of its jobs.
#[must_use]
pub fn open(
    ledger: &Ledger,
    roots: &Arc<Roots>,
    loaded: &Loaded,
    around: &Surroundings,
    cwd: Option<PathBuf>,
) -> Library {
    let config = &loaded.config.library;
    let settings = Settings {
        every: Some(config.every.0).filter(|_| config.enabled),
        rate: config.rate.0,
        verify: Some(Schedule::Every(config.verify.0)).filter(|_| config.enabled && !config.verify.0.is_zero()),
        verify_level: config.verify_level,
        verify_rate: config.verify_bytes_per_second.0,
        thumbnails: config.enabled && config.thumbnails,
        ffmpeg: config.ffmpeg.clone().into(),
        timeout: config.timeout.0,
        memory: config.memory.0,
        pictures: loaded.state_dir.join(PICTURES),
        base: Some(cwd.unwrap_or_else(|| loaded.base_dir(around).to_path_buf())),
        marker: Some((MARKER.to_owned(), marker_for(&loaded.state_dir))),
        program: "/proc/self/exe".into(),
    };
    Library::new(ledger.clone(), Arc::clone(roots), settings)
}

/// The library's tasks. What is found damaged goes to the engine.
#[must_use]
pub fn tasks(library: &Library, orders: &Orders) -> Vec<Box<dyn Task>> {
    let orders = orders.clone();
    let give = move |damage: Damage| -> BoxFuture<'static, Result<Id, String>> {
        let orders = orders.clone();
        Box::pin(async move { orders.give(Order::Damaged(Box::new(damage))).await.map_err(|error| error.to_string()) })
    };
    let mut tasks = library::tasks(library);
    tasks.push(library::verification(library, Arc::new(give)));
    tasks
}

/// What keeps the library up to date.
pub struct Tended {
    tasks: Vec<JoinHandle<()>>,
}

impl Tended {
    /// Waits for its end.
    pub async fn ended(self) {
        for task in self.tasks {
            // A panic was told by the runtime.
            let _ = task.await;
        }
    }
}

/// Starts it. What grows is passed on to `growth`, and what is complete enters the library.
pub fn start(
    library: &Library,
    operations: &Operations,
    loaded: &Loaded,
    growth: mpsc::Sender<Vec<Growth>>,
    stop: &CancellationToken,
) -> (mpsc::Sender<Vec<Growth>>, Tended) {
    if !loaded.config.library.enabled || loaded.config.root.is_empty() {
        return (growth, Tended { tasks: Vec::new() });
    }
    let (feed, arrivals) = Feed::new();
    let (seen_in, seen) = mpsc::channel(GROWTH);
    let tending = library::tend(library.clone(), operations.clone(), arrivals, stop.clone());
    (seen_in, Tended { tasks: vec![tokio::spawn(tending), tokio::spawn(pass_on(seen, growth, feed, stop.clone()))] })
}

/// Looks at what is seen to grow, on its way to the engine.
async fn pass_on(
    mut seen: mpsc::Receiver<Vec<Growth>>,
    growth: mpsc::Sender<Vec<Growth>>,
    feed: Feed,
    stop: CancellationToken,
) {
    // Who watches may hang in a file system for ever.
    while let Some(look) = tokio::select! {
        () = stop.cancelled() => None,
        look = seen.recv() => look,
    } {
        let over = |one: &&Growth| one.what == Grew::Gone || (one.what == Grew::Quiet && !one.part);
        look.iter().filter(over).for_each(|one| feed.tell(one.path.clone()));
        if growth.send(look).await.is_err() {
            return;
        }
    }
}
