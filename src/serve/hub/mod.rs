//! Tells every client what changes, as it changes: the WebSocket hub. I/O.
//!
//! One loop ([`run`]) reads the ledger's events behind what it told, has each one rendered and written as text once, and puts it into
//! the queue of everybody who wants it. Each client has a task of its own (`client`) that empties its queue, so that a slow one
//! waits alone. What lasts (an event of the ledger) has a number and is told again to who was away; what passes (progress, a
//! log line, figures) carries the newest number and is not.

mod ask;
mod client;
mod figures;
mod frame;
mod gate;
mod patience;
mod queue;
mod recover;
mod room;
mod run;
mod subscribe;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

pub use ask::{Action, Ask, Asked, Command, FRAME_MAX, read as read_frame};
pub use client::attend;
pub use figures::{Connections, Stats};
pub use frame::{For, Frame, Kind, Topic};
pub use gate::{Commands, Gate, Guest, Pass};
pub use recover::{Gap, Since};
pub use room::{ClientShown, Seat};
pub use run::{Render, run};
pub use subscribe::{Selection, least_role};

use super::problem::Problem;
use crate::vocab::rfc3339;
use figures::Figures;
use frame::{Saying, frame};
use room::Room;

/// Passing things that wait for the loop: more than it tells in a round at any rate that a person could read.
const INBOX_MAX: usize = 1_000;

/// How long a client that connects waits for the hub to wake up.
const WAKE_MAX: Duration = Duration::from_secs(5);

/// How the hub works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Between two pings, and two heartbeats.
    pub heartbeat: Duration,
    /// How long a client may take for what it was sent.
    pub stall: Duration,
    /// Connections at once. Each takes an open file and some 10 KiB.
    pub max_clients: usize,
    /// Connections of one account at once.
    pub max_of_account: usize,
    /// The least time between two rounds, for each client: a write costs some microseconds, and what comes meanwhile
    /// goes out with it. So the hub leaves processors to others however many clients there are.
    pub pace_each: Duration,
    /// At most so long.
    pub pace_max: Duration,
    /// Events that are told again to who was away; more are a gap.
    pub replay_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            max_clients: 1_024,
            max_of_account: 256,
            pace_each: Duration::from_micros(15),
            pace_max: Duration::from_millis(20),
            replay_max: 1_000,
        }
    }
}

/// Below this, two rounds would only wake everybody twice.
const PACE_MIN: Duration = Duration::from_millis(1);

/// Something that passes, on its way to the loop.
struct Passing {
    saying: Saying,
    born: Instant,
    /// The text on the wire, when it is not made from what is said.
    text: Option<Utf8Bytes>,
    /// Only the newest of a thing counts.
    newest: bool,
}

struct Inner {
    room: Mutex<Room>,
    inbox: Mutex<Vec<Passing>>,
    /// Something is in the inbox, or somebody waits for the loop to wake up.
    news: Notify,
    awake: watch::Sender<bool>,
    figures: Figures,
    settings: Settings,
    next_id: AtomicU64,
    /// As many as there are seats; without the lock.
    clients: AtomicUsize,
}

/// The hub; clones share it.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

/// A lock that outlives a panic of another holder: what it guards is whole after each statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> String {
    rfc3339(chrono::Utc::now())
}

impl Hub {
    /// A hub without clients; [`run`] makes it live.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Inner {
            room: Mutex::new(Room::new(settings.replay_max)),
            inbox: Mutex::default(),
            news: Notify::new(),
            awake: watch::Sender::new(false),
            figures: Figures::new(),
            settings,
            next_id: AtomicU64::new(1),
            clients: AtomicUsize::new(0),
        }))
    }

    /// How it works.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.0.settings
    }

    /// Tells how something moves on that is not stored. Only the newest of a thing is told; at once when nobody is busy.
    pub fn progress(&self, topic: Topic, key: impl Into<String>, kind: Kind, data: Value) {
        self.pass(topic, key.into(), kind, data, For::Subscribers, true);
    }

    /// Tells something that passes: a line of a log. Nobody is told later.
    pub fn ephemeral(&self, topic: Topic, kind: Kind, data: Value) {
        self.pass(topic, String::new(), kind, data, For::Subscribers, false);
    }

    /// Tells something that passes to one user, a role, a room, or everybody.
    pub fn tell(&self, to: For, topic: Topic, kind: Kind, data: Value) {
        self.pass(topic, String::new(), kind, data, to, false);
    }

    /// Whether anybody listens; without, nothing needs to be made for [`Hub::ephemeral`].
    #[must_use]
    pub fn has_clients(&self) -> bool {
        self.0.clients.load(Ordering::Relaxed) > 0
    }

    fn pass(&self, topic: Topic, key: String, kind: Kind, data: Value, to: For, newest: bool) {
        if self.has_clients() {
            let saying = Saying { topic, kind, key, at: now(), data, to };
            self.post(Passing { saying, born: Instant::now(), text: None, newest });
        }
    }

    /// Sends a text as it is to everybody: for measuring.
    #[doc(hidden)]
    pub fn raw(&self, text: String, born: Instant) {
        let (topic, kind) = (Topic::Stats, Kind::Test);
        let saying = Saying { topic, kind, key: String::new(), at: String::new(), data: Value::Null, to: For::All };
        self.post(Passing { saying, born, text: Some(text.into()), newest: false });
    }

    fn post(&self, passing: Passing) {
        let mut inbox = lock(&self.0.inbox);
        let same = |old: &Passing| {
            let (old, new) = (&old.saying, &passing.saying);
            old.topic == new.topic && old.kind == new.kind && old.key == new.key
        };
        if passing.newest
            && let Some(old) = inbox.iter_mut().find(|old| old.newest && same(old))
        {
            *old = passing;
        } else if inbox.len() < INBOX_MAX {
            inbox.push(passing);
        } else {
            self.0.figures.lost(1);
        }
        drop(inbox);
        self.0.news.notify_one();
    }

    /// Lets a client in; its first frame, `welcome`, waits in its queue.
    ///
    /// # Errors
    /// 503 when there are too many, or the hub does not run; 403 for what the role may not see.
    pub async fn join(&self, guest: Guest, selection: &Selection) -> Result<Arc<Seat>, Problem> {
        let mut awake = self.0.awake.subscribe();
        let give_up = tokio::time::Instant::now() + WAKE_MAX;
        loop {
            if let Some(done) = self.try_join(&guest, selection) {
                return done;
            }
            self.0.news.notify_one();
            if !matches!(tokio::time::timeout_at(give_up, awake.wait_for(|awake| *awake)).await, Ok(Ok(_))) {
                return Err(Problem::new(UNAVAILABLE, "hub_stopped", "the hub does not run; try again in a moment"));
            }
        }
    }

    /// Waits until somebody is connected, or only just was.
    pub async fn awake(&self) {
        // The sender lives as long as this handle.
        let _ = self.0.awake.subscribe().wait_for(|awake| *awake).await;
    }

    /// `None` while the hub sleeps.
    fn try_join(&self, guest: &Guest, selection: &Selection) -> Option<Result<Arc<Seat>, Problem>> {
        let settings = &self.0.settings;
        let mut room = lock(&self.0.room);
        let of_account = || room.seats().filter(|seat| seat.guest().account == guest.account).count();
        if room.len() >= settings.max_clients {
            let text = format!("{} clients are connected; try again later", settings.max_clients);
            return Some(Err(Problem::new(UNAVAILABLE, "too_many_connections", text)));
        }
        if room.len() >= settings.max_of_account && of_account() >= settings.max_of_account {
            let text = format!("your account has {} connections; close some", settings.max_of_account);
            return Some(Err(Problem::new(UNAVAILABLE, "too_many_connections", text)));
        }
        if !room.is_awake() {
            return None;
        }
        let seat = Seat::new(self.0.next_id.fetch_add(1, Ordering::Relaxed), guest.clone(), room.told(), now());
        if *selection != Selection::default()
            && let Err((code, text)) = seat.want(selection)
        {
            return Some(Err(Problem::forbidden(code, text)));
        }
        let data = json!({
            "epoch": room.epoch(), "seq": room.told(), "heartbeat_s": settings.heartbeat.as_secs(),
            "you": {"account": guest.account, "role": guest.role},
        });
        seat.push(said(&room, Kind::Welcome, data));
        let seat = room.join(seat);
        self.0.clients.store(room.len(), Ordering::Relaxed);
        drop(room);
        self.0.figures.joined(guest.role);
        Some(Ok(seat))
    }

    /// A client is gone.
    pub(in crate::serve) fn leave(&self, seat: &Seat) {
        let mut room = lock(&self.0.room);
        if room.leave(seat) {
            self.0.figures.left(seat.guest().role);
        }
        self.0.clients.store(room.len(), Ordering::Relaxed);
    }

    /// Puts a frame of the hub itself into one client's queue.
    fn answer(&self, seat: &Seat, kind: Kind, data: Value) {
        let room = lock(&self.0.room);
        seat.push(said(&room, kind, data));
    }

    /// A notification for one client, on its wish.
    fn answer_with(&self, seat: &Seat, topic: Topic, kind: Kind, data: Value) {
        let room = lock(&self.0.room);
        let saying = Saying { topic, kind, key: String::new(), at: now(), data, to: For::All };
        seat.push(frame(room.epoch(), room.told(), false, saying, Instant::now()));
    }

    fn gap_frame(&self, gap: &Gap) -> Frame {
        let room = lock(&self.0.room);
        let saying = hub_says(Kind::Gap, json!(gap));
        frame(room.epoch(), gap.to, false, saying, Instant::now())
    }

    /// From which number on, of which life.
    #[must_use]
    pub fn place(&self) -> Since {
        let room = lock(&self.0.room);
        Since { epoch: room.epoch().to_owned(), seq: room.told() }
    }

    /// How it goes. Names of users only when wanted.
    #[must_use]
    pub fn stats(&self, with_users: bool) -> Stats {
        let room = lock(&self.0.room);
        let mut users: Vec<String> = room.seats().map(|seat| seat.guest().account.clone()).collect();
        let waiting = room.seats().map(|seat| seat.waiting()).max().unwrap_or(0);
        drop(room);
        users.sort();
        users.dedup();
        let count = users.len();
        self.0.figures.stats(self.0.settings.heartbeat, count, if with_users { users } else { Vec::new() }, waiting)
    }

    /// Every connection, the oldest first.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientShown> {
        let room = lock(&self.0.room);
        let mut all: Vec<ClientShown> = room.seats().map(|seat| seat.shown(room.told())).collect();
        drop(room);
        all.sort_by_key(|client| client.id);
        all
    }

    /// What waits: in the hub, or for the client that has most waiting.
    #[doc(hidden)]
    #[must_use]
    pub fn backlog(&self) -> usize {
        let inbox = lock(&self.0.inbox).len();
        let room = lock(&self.0.room);
        room.seats().map(|seat| seat.waiting()).max().unwrap_or(0).max(inbox)
    }

    /// Adds the hub's figures to what Prometheus is told.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        self.0.figures.register(registry);
    }

    /// The least time between two rounds now.
    fn pace(&self) -> Duration {
        let settings = &self.0.settings;
        let clients = u32::try_from(self.0.clients.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        settings.pace_each.saturating_mul(clients).min(settings.pace_max).max(PACE_MIN)
    }
}

const UNAVAILABLE: axum::http::StatusCode = axum::http::StatusCode::SERVICE_UNAVAILABLE;

/// What the hub says for itself: about the connection, so to whom it concerns and whatever they want.
fn hub_says(kind: Kind, data: Value) -> Saying {
    Saying { topic: Topic::System, kind, key: String::new(), at: now(), data, to: For::All }
}

fn said(room: &Room, kind: Kind, data: Value) -> Frame {
    frame(room.epoch(), room.told(), false, hub_says(kind, data), Instant::now())
}
