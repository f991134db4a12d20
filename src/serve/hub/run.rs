//! The hub's loop: reads what changed, has it rendered and written once, tells it. I/O.
//!
//! While nobody is connected it sleeps: nothing is read and nothing is rendered. The first client wakes it.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::frame::{For, Frame, Kind, Saying, Topic, frame, thing};
use super::gate::Gate;
use super::{Hub, Passing, lock};
use crate::ledger::events::{self, Event};
use crate::ledger::{Error, Ledger};

/// Says what the thing that an event speaks of is like now; `None` when it is gone. Blocking: microseconds.
pub type Render = Arc<dyn Fn(&Event) -> Option<Value> + Send + Sync>;

/// Events that are read at once.
const BATCH: u32 = 500;

/// Events are let go when there are so many more than are kept.
const PRUNE_SLACK: u64 = 2_000;

/// Runs until it is told to stop; then every client is sent away.
pub async fn run(hub: Hub, ledger: Ledger, render: Render, gate: Arc<dyn Gate>, stop: CancellationToken) {
    let teller = Teller { hub: hub.clone(), ledger: ledger.clone(), render };
    let (mut commits, mut rights) = (ledger.commits(), gate.changes());
    let heartbeat = hub.settings().heartbeat;
    let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + heartbeat, heartbeat);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = tokio::time::Instant::now();
    let mut lonely_beats = 0;
    // Whether there may be events that were not read.
    let mut stale = true;
    // A gate that is gone changes nothing any more.
    let mut gate_lives = true;
    loop {
        let awake = *hub.0.awake.borrow();
        tokio::select! {
            () = stop.cancelled() => break,
            // Seen by this very wait, so it would not count as new below.
            _ = commits.changed(), if awake => stale = true,
            () = hub.0.news.notified() => {}
            changed = rights.changed(), if gate_lives => {
                gate_lives = changed.is_ok();
                look_at_rights(&hub, &gate).await;
                if !awake {
                    continue;
                }
            }
            _ = beat.tick() => {
                look_at_rights(&hub, &gate).await;
                lonely_beats = if hub.has_clients() { 0 } else { lonely_beats + 1 };
                if lonely_beats > 1 && awake {
                    let mut room = lock(&hub.0.room);
                    room.sleep();
                    hub.0.awake.send_replace(room.is_awake());
                }
                teller.prune().await;
                // Only who comes in wakes it.
                if !*hub.0.awake.borrow() {
                    continue;
                }
                hub.tell(For::All, Topic::System, Kind::Heartbeat, json!({"heartbeat_s": heartbeat.as_secs()}));
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep_until(last + hub.pace()) => {}
        }
        stale |= commits.has_changed().unwrap_or(true);
        commits.mark_unchanged();
        // What fails stays untold and is told in the next round.
        match teller.round(stale).await {
            Ok(()) => stale = false,
            Err(error) => tracing::warn!("{error}"),
        }
        last = tokio::time::Instant::now();
    }
    hub.0.awake.send_replace(false);
    lock(&hub.0.room).seats().for_each(|seat| seat.close("the server stops; connect again"));
}

/// Sends away whose rights are not what they were: they come back with those that they have.
async fn look_at_rights(hub: &Hub, gate: &Arc<dyn Gate>) {
    if !hub.has_clients() {
        return;
    }
    let seats: Vec<_> = lock(&hub.0.room).seats().cloned().collect();
    let gate = Arc::clone(gate);
    let look = tokio::task::spawn_blocking(move || {
        for seat in seats {
            if gate.still(seat.guest()) != Some(seat.guest().role) {
                seat.close("your rights changed; connect again");
            }
        }
    });
    if look.await.is_err() {
        tracing::error!("looking at the rights of WebSocket clients died");
    }
}

/// What was read.
struct Read {
    /// How many events there were.
    events: usize,
    /// Up to which number.
    upto: u64,
    /// Up to which number they were let go before anybody read them.
    hole: Option<u64>,
    frames: Vec<Frame>,
}

struct Teller {
    hub: Hub,
    ledger: Ledger,
    render: Render,
}

impl Teller {
    /// Tells everything new: events, when there may be some, and what passes.
    async fn round(&self, stale: bool) -> Result<(), Error> {
        let inner = &self.hub.0;
        let awake = *inner.awake.borrow();
        if !awake {
            self.wake().await?;
        }
        if stale || !awake {
            self.tell_events().await?;
        }
        let passing = std::mem::take(&mut *lock(&inner.inbox));
        if !passing.is_empty() {
            let room = lock(&inner.room);
            let frames: Vec<Frame> = passing.into_iter().map(|item| write(room.epoch(), room.told(), item)).collect();
            let lost = room.tell_passing(&frames);
            drop(room);
            inner.figures.lost(lost);
            inner.figures.told(frames.len(), chrono::Utc::now());
        }
        Ok(())
    }

    async fn tell_events(&self) -> Result<(), Error> {
        let inner = &self.hub.0;
        loop {
            let (told, epoch) = {
                let room = lock(&inner.room);
                (room.told(), room.epoch().to_owned())
            };
            let read = self.read(told, BATCH, epoch).await?;
            let count = read.frames.len();
            let lost = {
                let mut room = lock(&inner.room);
                if let Some(upto) = read.hole {
                    room.tell_hole(upto);
                }
                room.tell_lasting(read.upto, read.frames)
            };
            inner.figures.lost(lost);
            if count > 0 {
                inner.figures.told(count, chrono::Utc::now());
            }
            if read.events < BATCH as usize {
                return Ok(());
            }
        }
    }

    /// Reads the latest events, so that who was away can be told again.
    async fn wake(&self) -> Result<(), Error> {
        let keep = self.hub.settings().replay_max as u64;
        let (epoch, told, let_go) = {
            let ledger = self.ledger.clone();
            let look = move || {
                let (told, let_go) = ledger.read(|db| Ok((events::newest(db)?, events::let_go(db)?)))?;
                Ok((ledger.epoch()?, told, let_go))
            };
            tokio::task::spawn_blocking(look).await.map_err(|_| Error::Stopped)??
        };
        let behind = told.saturating_sub(keep).max(let_go);
        let limit = u32::try_from(keep).unwrap_or(u32::MAX);
        let read = self.read(behind, limit, epoch.clone()).await?;
        let inner = &self.hub.0;
        lock(&inner.room).wake(epoch, read.hole.unwrap_or(behind), read.upto, read.frames);
        inner.awake.send_replace(true);
        Ok(())
    }

    /// Up to `limit` events behind `told`, as frames.
    async fn read(&self, told: u64, limit: u32, epoch: String) -> Result<Read, Error> {
        let (ledger, render) = (self.ledger.clone(), Arc::clone(&self.render));
        let work = move || {
            let (mut events, let_go) = ledger.read(|db| Ok((events::after(db, told, limit)?, events::let_go(db)?)))?;
            // In this order: what was let go after it was read is taken for missing, never the other way round.
            let hole = (let_go > told).then_some(let_go);
            let count = events.len();
            let upto = events.last().map_or(told, |event| event.seq).max(hole.unwrap_or(0));
            events.retain(|event| event.seq > hole.unwrap_or(0));
            Ok(Read { events: count, upto, hole, frames: frames(events, &render, &epoch) })
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Stopped)?
    }

    async fn prune(&self) {
        let span = self.ledger.read(|db| Ok(events::newest(db)?.saturating_sub(events::let_go(db)?)));
        let pruned = match span {
            Ok(kept) if kept > events::KEPT + PRUNE_SLACK => {
                self.ledger.write(|tx| events::prune(tx, events::KEPT)).await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = pruned {
            tracing::warn!("{error}");
        }
    }
}

/// Events as frames, in order. Of updates of one thing only the last is rendered.
fn frames(events: Vec<Event>, render: &Render, epoch: &str) -> Vec<Frame> {
    let born = Instant::now();
    let mut later = std::collections::HashSet::new();
    let mut kept: Vec<(Topic, Kind, Event)> = Vec::new();
    for event in events.into_iter().rev() {
        // Words of a newer format than this program's: nobody here could have asked for them.
        let (Some(topic), Some(kind)) = (Topic::of(&event.topic), Kind::of(&event.kind)) else { continue };
        let first = later.insert(thing(topic, kind, &event.key));
        if first || !kind.is_update() {
            kept.push((topic, kind, event));
        }
    }
    let write = |(topic, kind, event): (Topic, Kind, Event)| {
        let data = render(&event).unwrap_or(Value::Null);
        let Event { seq, at, key, .. } = event;
        frame(epoch, seq, true, Saying { topic, kind, key, at, data, to: For::Subscribers }, born)
    };
    kept.into_iter().rev().map(write).collect()
}

fn write(epoch: &str, told: u64, item: Passing) -> Frame {
    let Passing { saying, born, text, .. } = item;
    let mut made = frame(epoch, told, false, saying, born);
    if let (Some(text), Some(made)) = (text, Arc::get_mut(&mut made)) {
        made.text = text;
    }
    made
}
