//! Who is here, what was told lately, and what waits for whom. No I/O: the loop and the clients' tasks call it.
//!
//! Locks: the room's before a seat's, never the other way round. What is told goes into the queues under the room's lock,
//! so whoever joins or resumes under it misses nothing and gets nothing twice.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::Notify;

use super::frame::Frame;
use super::gate::Guest;
use super::lock;
use super::queue::{Next, Queue};
use super::recover::{self, Kept, Since};
use super::subscribe::{Selection, Wants};

/// One client's place.
#[derive(Debug)]
pub struct Seat {
    id: u64,
    guest: Guest,
    since: String,
    state: Mutex<State>,
    /// Something waits.
    pub(super) wake: Notify,
    /// The client has to go.
    pub(super) closed: Notify,
    reason: OnceLock<&'static str>,
}

#[derive(Debug)]
struct State {
    wants: Wants,
    queue: Queue,
    /// Whether the client has said what it wants. Before, it is told nothing: a number that it saw would count for things
    /// that it was not told.
    settled: bool,
}

impl Seat {
    pub(super) fn new(id: u64, guest: Guest, told: u64, since: String) -> Self {
        let state = Mutex::new(State { wants: Wants::default(), queue: Queue::new(told), settled: false });
        Self { id, guest, since, state, wake: Notify::new(), closed: Notify::new(), reason: OnceLock::new() }
    }

    /// Who sits here.
    #[must_use]
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// How it is here, when `told` is the newest number.
    pub(super) fn shown(&self, told: u64) -> ClientShown {
        let state = lock(&self.state);
        ClientShown {
            id: self.id,
            account: self.guest.account.clone(),
            role: self.guest.role,
            session: self.guest.session.clone(),
            address: self.guest.address.to_string(),
            since: self.since.clone(),
            topics: state.wants.topics(),
            rooms: state.wants.rooms(),
            queued: state.queue.len(),
            behind: if state.queue.len() == 0 { 0 } else { told.saturating_sub(state.queue.sent()) },
        }
    }

    pub(super) fn want(&self, selection: &Selection) -> Result<(), (&'static str, String)> {
        let mut state = lock(&self.state);
        state.wants.add(&self.guest.account, self.guest.role, selection)?;
        state.settled = true;
        Ok(())
    }

    pub(super) fn unwant(&self, selection: &Selection) {
        lock(&self.state).wants.remove(selection);
    }

    /// Adds a frame, wanted or not. Returns how many were given up for it.
    pub(super) fn push(&self, frame: Frame) -> usize {
        let lost = lock(&self.state).queue.push(frame);
        self.wake.notify_one();
        lost
    }

    fn offer(&self, frames: &[Frame]) -> usize {
        let mut state = lock(&self.state);
        if !state.settled {
            return 0;
        }
        let (mut lost, mut any) = (0, false);
        for frame in frames {
            if state.wants.get(&self.guest.account, self.guest.role, frame) {
                lost += state.queue.push(Arc::clone(frame));
                any = true;
            }
        }
        drop(state);
        if any {
            self.wake.notify_one();
        }
        lost
    }

    pub(super) fn take(&self, limit: usize) -> Next {
        lock(&self.state).queue.take(limit)
    }

    pub(super) fn waiting(&self) -> usize {
        lock(&self.state).queue.len()
    }

    /// Sends the client away; nothing more is told to it.
    pub(super) fn close(&self, reason: &'static str) {
        let _ = self.reason.set(reason);
        lock(&self.state).queue.clear();
        self.closed.notify_one();
    }

    pub(super) fn closing(&self) -> &'static str {
        self.reason.get().copied().unwrap_or_default()
    }
}

/// One connection, for those who look after the hub.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ClientShown {
    /// Its number since logmedic started.
    pub id: u64,
    /// Whose it is.
    pub account: String,
    /// What it may do.
    pub role: crate::vocab::Role,
    /// The session that it came with; `null` with a token.
    pub session: Option<String>,
    /// From where.
    pub address: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// The topics that it wants.
    pub topics: Vec<&'static str>,
    /// Rooms and single things (`job:ID`) that it wants.
    pub rooms: Vec<String>,
    /// Frames that wait for it.
    pub queued: usize,
    /// How many numbers it is behind what was told to all; 0 while nothing waits.
    pub behind: u64,
}

/// All of it.
#[derive(Debug)]
pub struct Room {
    epoch: String,
    told: u64,
    /// Everything behind this number is in `lately`.
    behind: u64,
    lately: VecDeque<Frame>,
    replay_max: usize,
    seats: HashMap<u64, Arc<Seat>>,
    awake: bool,
}

impl Room {
    pub(super) fn new(replay_max: usize) -> Self {
        Self {
            epoch: String::new(),
            told: 0,
            behind: 0,
            lately: VecDeque::new(),
            replay_max,
            seats: HashMap::new(),
            awake: false,
        }
    }

    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    pub(super) const fn told(&self) -> u64 {
        self.told
    }

    pub(super) const fn is_awake(&self) -> bool {
        self.awake
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn seats(&self) -> impl Iterator<Item = &Arc<Seat>> {
        self.seats.values()
    }

    pub(super) fn join(&mut self, seat: Seat) -> Arc<Seat> {
        let seat = Arc::new(seat);
        self.seats.insert(seat.id, Arc::clone(&seat));
        seat
    }

    pub(super) fn leave(&mut self, seat: &Seat) -> bool {
        self.seats.remove(&seat.id).is_some()
    }

    /// Begins with what the ledger has: everything behind `behind` up to `told`.
    pub(super) fn wake(&mut self, epoch: String, behind: u64, told: u64, lately: Vec<Frame>) {
        self.epoch = epoch;
        self.behind = behind;
        self.told = told;
        self.lately = lately.into();
        self.awake = true;
    }

    /// Forgets what was told; only while nobody is here.
    pub(super) fn sleep(&mut self) {
        if self.seats.is_empty() {
            self.lately = VecDeque::new();
            self.awake = false;
        }
    }

    /// Tells events of the ledger up to `upto`. Returns how many frames were given up for slow clients.
    pub(super) fn tell_lasting(&mut self, upto: u64, frames: Vec<Frame>) -> usize {
        let lost = self.seats.values().map(|seat| seat.offer(&frames)).sum();
        self.told = self.told.max(upto);
        self.lately.extend(frames);
        while self.lately.len() > self.replay_max
            && let Some(oldest) = self.lately.pop_front()
        {
            self.behind = oldest.seq;
        }
        lost
    }

    /// Events up to `upto` are gone that nobody was told.
    pub(super) fn tell_hole(&mut self, upto: u64) {
        self.lately = VecDeque::new();
        self.behind = upto;
        self.told = self.told.max(upto);
        for seat in self.seats.values() {
            let mut state = lock(&seat.state);
            // Who has not said yet what it wants loads all of it later.
            if state.settled {
                state.queue.miss(upto, "pruned");
                seat.wake.notify_one();
            }
        }
    }

    /// Tells what passes.
    pub(super) fn tell_passing(&self, frames: &[Frame]) -> usize {
        self.seats.values().map(|seat| seat.offer(frames)).sum()
    }

    /// Adds to what the client wants and tells it what it missed of all it wants, or the gap.
    pub(super) fn resume(
        &self,
        seat: &Seat,
        since: &Since,
        selection: &Selection,
    ) -> Result<(), (&'static str, String)> {
        let mut state = lock(&seat.state);
        state.wants.add(&seat.guest.account, seat.guest.role, selection)?;
        state.settled = true;
        let kept = Kept { epoch: &self.epoch, behind: self.behind, told: self.told, sent: state.queue.sent() };
        match recover::resume(since, kept) {
            Err(gap) => state.queue.gap(gap),
            Ok(()) => {
                let State { wants, queue, .. } = &mut *state;
                let from = self.lately.partition_point(|frame| frame.seq <= since.seq);
                let missed = self.lately.range(from..);
                let wanted = missed.filter(|frame| wants.get(&seat.guest.account, seat.guest.role, frame));
                queue.restart(since.seq, wanted.cloned());
            }
        }
        drop(state);
        seat.wake.notify_one();
        Ok(())
    }
}
