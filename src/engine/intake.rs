//! Turns what is read into what the engine understands: bytes → events → meaning, with how far that is. I/O: channels.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Input;
use super::around::{Of, Witness};
use super::said::Said;
use crate::acquire::{Checkpoint, Identity, Milestones, Read, StreamId};
use crate::assemble::{Assembler, Limits, RawEvent};
use crate::classify::{Hit, Rules, Signal};
use crate::correlate::{Item, Meaning};
use crate::ledger::store::{Change, Unclassified};
use crate::publish::metrics::Metrics;
use crate::vocab::{Around, Captures, Class, redact, rfc3339, shorten};

/// How much of an event's text goes into records: enough for the cause and its surroundings.
const TEXT_MAX: usize = 16 * 1024;

/// How much of an unknown error is kept, in UTF-16 units.
const UNKNOWN_MAX: usize = 1000;

/// A position that moved without anything being found is written so much later; after a crash so much is read again.
const QUIET_CHECKPOINT: Duration = Duration::from_secs(1);

/// What one look at a stream brought.
#[derive(Debug)]
pub struct Batch {
    /// The source's name.
    pub source: String,
    /// The file as configured.
    pub file: Option<String>,
    /// What was said.
    pub items: Vec<Item>,
    /// How far that is.
    pub progress: Vec<Change>,
    /// What was said around events that are recognised, now or lately.
    pub around: Vec<Around>,
    /// When the last of it was read.
    pub came: Instant,
}

impl Batch {
    /// As an input, if something was said; what else came is to be written down.
    pub(super) fn taken(self, said: &mut Said, changes: &mut Vec<Change>) -> Option<Input> {
        changes.extend(self.progress);
        changes.extend(said.hear(self.around));
        let (source, file, items) = (self.source, self.file, self.items);
        (!items.is_empty()).then_some(Input::Observed { source, file, items })
    }
}

/// The rules of every source; replaced as a whole at a reload.
pub type RuleBook = BTreeMap<String, Arc<Rules>>;

struct Stream {
    source: String,
    file: Option<String>,
    identity: Identity,
    /// Under which name its position is stored.
    key: String,
    assembler: Assembler,
    /// Cursors of a journal that may be stored once what stands before them is worked off.
    milestones: Milestones,
    /// When bytes came last.
    came: Instant,
    /// Bytes that came so far, and where they began.
    end: u64,
    /// When the event that waits for more lines is given up.
    flush_at: Option<Instant>,
    /// The event that waits for more lines, as it was when the rules knew nothing of it.
    asked: Option<Asked>,
    /// The position that was handed over last.
    saved: u64,
    /// Since when there is a newer one, or another name of the file.
    unsaved_since: Option<Instant>,
    /// Keeps what is said around recognised events.
    witness: Witness,
}

impl Stream {
    fn of<'a>(&'a self, rules: &'a Rules) -> Of<'a> {
        Of { source: &self.source, file: self.file.as_deref(), rules }
    }
}

/// An event of which the rules know nothing: where, how long, and what it shares with those that are alike where it reads like an error.
struct Asked {
    offset: u64,
    length: usize,
    shape: Option<String>,
}

/// What the rules say of an event.
#[derive(Default)]
struct Found {
    signal: Option<Signal>,
    hit: Option<Hit>,
}

impl Found {
    fn of(rules: &Rules, text: &[u8]) -> Self {
        let (signal, hit) = rules.ask(text);
        Self { signal, hit }
    }

    const fn is_nothing(&self) -> bool {
        self.signal.is_none() && self.hit.is_none()
    }
}

/// An event as it passes.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    /// The log source.
    pub source: &'a str,
    /// What it says, as it was written: whoever shows it hides secrets and cuts it.
    pub text: &'a [u8],
    /// When it was written, or read.
    pub at: DateTime<Utc>,
    /// What went wrong.
    pub class: Option<Class>,
    /// The rule that says so.
    pub rule: Option<&'a str>,
}

/// Looks on while events pass. Called on the engine's thread: it must be quick.
pub type Onlooker = Box<dyn Fn(&Passing<'_>) + Send + Sync>;

/// Works until the readers are done. `join_wait` is how long an unfinished event waits for more lines.
pub async fn run(
    mut reads: mpsc::Receiver<Read>,
    rules: watch::Receiver<Arc<RuleBook>>,
    join_wait: Duration,
    metrics: Metrics,
    onlooker: Onlooker,
    out: mpsc::Sender<Batch>,
) {
    let mut intake = Intake {
        streams: HashMap::new(),
        rules,
        join_wait,
        metrics,
        onlooker,
        zone: chrono::Local::now().offset().local_minus_utc(),
        out,
    };
    loop {
        let flush = intake.next_wake();
        let read = tokio::select! {
            biased;
            read = reads.recv() => match read {
                Some(read) => Some(read),
                None => break,
            },
            () = sleep_until(flush), if flush.is_some() => None,
        };
        let alive = match read {
            Some(read) => intake.take(read).await,
            None => intake.flush_late().await,
        };
        if alive.is_none() {
            return;
        }
        // Matching a burst is long work without a wait: the engine, woken by what was sent, must get its turn.
        tokio::task::yield_now().await;
    }
    // The readers stopped: what waits is read again at the next start, only the position is written.
    intake.tell_around(true).await;
    intake.save_positions(true).await;
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

struct Intake {
    streams: HashMap<StreamId, Stream>,
    rules: watch::Receiver<Arc<RuleBook>>,
    join_wait: Duration,
    metrics: Metrics,
    onlooker: Onlooker,
    zone: i32,
    out: mpsc::Sender<Batch>,
}

impl Intake {
    /// `None` when the engine is gone.
    async fn take(&mut self, read: Read) -> Option<()> {
        match read {
            Read::Opened { stream, source, file, identity, offset } => {
                let key = key_of(&identity);
                let assembler = Assembler::new(Limits::default(), offset);
                let opened = Stream {
                    source,
                    file,
                    identity,
                    key,
                    assembler,
                    milestones: Milestones::default(),
                    came: Instant::now(),
                    end: offset,
                    flush_at: None,
                    asked: None,
                    saved: offset,
                    unsaved_since: None,
                    witness: Witness::default(),
                };
                self.streams.insert(stream, opened);
                // A first look at a file is remembered at once: a restart must not take it for new.
                self.send(stream, Vec::new()).await
            }
            Read::Bytes { stream, bytes, last, .. } => {
                self.metrics.read(&bytes);
                let mut events = Vec::new();
                let Some(place) = self.streams.get_mut(&stream) else { return Some(()) };
                place.came = Instant::now();
                place.assembler.push(&bytes, &mut events);
                place.end += bytes.len() as u64;
                place.flush_at = place.assembler.pending().map(|_| place.came + self.join_wait);
                self.send_events(stream, events).await?;
                if last { self.idle(stream).await } else { Some(()) }
            }
            Read::Idle { stream } => self.idle(stream).await,
            Read::Identity { stream, identity } => {
                if let Some(place) = self.streams.get_mut(&stream) {
                    match identity {
                        Identity::Journal { .. } => place.milestones.note(place.end, identity),
                        Identity::File { .. } | Identity::Stdin => {
                            place.identity = identity;
                            place.unsaved_since.get_or_insert_with(Instant::now);
                        }
                    }
                }
                Some(())
            }
            Read::Closed { stream } => self.close(stream).await,
            Read::Trouble { source, detail } => {
                tracing::warn!(%source, "{detail}");
                Some(())
            }
        }
    }

    /// Nothing more is waiting: an event that is whole and recognised need not wait for lines that may never come.
    async fn idle(&mut self, stream: StreamId) -> Option<()> {
        let rules = self.rules.borrow().clone();
        let Some(place) = self.streams.get_mut(&stream) else { return Some(()) };
        let Some(book) = rules.get(&place.source) else { return Some(()) };
        let Some(pending) = place.assembler.pending().filter(|pending| !pending.open) else { return Some(()) };
        let found = Found::of(book, pending.text);
        if found.is_nothing() {
            // All of it now, while nothing else is to be done.
            let (offset, length) = (pending.offset, pending.text.len());
            place.asked = Some(Asked { offset, length, shape: book.unclassified(pending.text) });
            return Some(());
        }
        place.flush_at = None;
        let Some(event) = place.assembler.take_pending() else { return Some(()) };
        let now = super::run::wall();
        let mut witness = std::mem::take(&mut place.witness);
        let event = [event];
        let at = date(&event[0], self.zone, now);
        let (hit, source) = (found.hit.clone(), place.source.clone());
        self.show(&source, &event[0], &found, at);
        let items = items(found, &event[0], self.zone, now);
        self.send(stream, items).await?;
        // What stands around it is told when the repair has begun.
        tokio::task::yield_now().await;
        let Some(place) = self.streams.get_mut(&stream) else { return Some(()) };
        witness.pass(place.of(book), &event, 0, hit.as_ref(), at, now);
        witness.over(event.into());
        let said = witness.is_ready();
        place.witness = witness;
        if said { self.send(stream, Vec::new()).await } else { Some(()) }
    }

    async fn close(&mut self, stream: StreamId) -> Option<()> {
        let mut events = Vec::new();
        if let Some(place) = self.streams.get_mut(&stream) {
            while let Some(event) = place.assembler.finish() {
                events.push(event);
            }
        }
        self.send_events(stream, events).await?;
        let Some(place) = self.streams.remove(&stream) else { return Some(()) };
        let progress = self.forget(&place.source, place.key).into_iter().collect();
        let Stream { source, file, came, mut witness, .. } = place;
        witness.give_up(super::run::wall(), true);
        self.out.send(Batch { source, file, items: Vec::new(), progress, around: witness.take(), came }).await.ok()
    }

    /// Forgets a stored position, unless another open stream has the same name: a file may be followed by its twin.
    fn forget(&self, source: &str, key: String) -> Option<Change> {
        let used = self.streams.values().any(|place| place.source == source && place.key == key);
        (!used).then(|| Change::DropCheckpoint { source: source.to_owned(), stream: key })
    }

    fn next_wake(&self) -> Option<Instant> {
        let quiet = |place: &Stream| place.unsaved_since.map(|since| since + QUIET_CHECKPOINT);
        // Dates only where somebody waits for them, which is seldom.
        let lines = |place: &Stream| {
            let wait = place.witness.due().map(|due| (due - super::run::wall()).to_std().unwrap_or_default());
            wait.map(|wait| Instant::now() + wait + Duration::from_millis(1))
        };
        self.streams.values().flat_map(|place| [place.flush_at, quiet(place), lines(place)]).flatten().min()
    }

    /// Gives up waiting where the time is over, and writes positions that moved without anything being found.
    async fn flush_late(&mut self) -> Option<()> {
        let now = Instant::now();
        let late: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, place)| place.flush_at.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for stream in late {
            let Some(place) = self.streams.get_mut(&stream) else { continue };
            place.flush_at = None;
            let event = place.assembler.take_pending();
            self.send_events(stream, event.into_iter().collect()).await?;
        }
        self.tell_around(false).await?;
        self.save_positions(false).await
    }

    /// Hands over what was said after recognised events where more is not waited for.
    async fn tell_around(&mut self, all: bool) -> Option<()> {
        let now = super::run::wall();
        let mut ready = Vec::new();
        for (id, place) in &mut self.streams {
            if place.witness.due().is_some_and(|due| all || due <= now) {
                place.witness.give_up(now, all);
            }
            if place.witness.is_ready() {
                ready.push(*id);
            }
        }
        for stream in ready {
            self.send(stream, Vec::new()).await?;
        }
        Some(())
    }

    async fn save_positions(&mut self, all: bool) -> Option<()> {
        let now = Instant::now();
        let moved: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, place)| place.unsaved_since.is_some_and(|since| all || since + QUIET_CHECKPOINT <= now))
            .map(|(id, _)| *id)
            .collect();
        for stream in moved {
            self.send(stream, Vec::new()).await?;
        }
        Some(())
    }

    /// Finds out what events mean and hands over what means something.
    async fn send_events(&mut self, stream: StreamId, events: Vec<RawEvent>) -> Option<()> {
        let rules = self.rules.borrow().clone();
        let Some(place) = self.streams.get(&stream) else { return Some(()) };
        let Some(book) = rules.get(&place.source).cloned() else { return Some(()) };
        let now = super::run::wall();
        // One chunk is one batch: its position and what was found in it must commit together.
        let (mut items, mut unknown) = (Vec::new(), BTreeMap::new());
        let mut witness = Witness::default();
        if let Some(place) = self.streams.get_mut(&stream) {
            std::mem::swap(&mut witness, &mut place.witness);
        }
        let whole = !events.is_empty();
        let asked = self.streams.get_mut(&stream).filter(|_| whole).and_then(|place| place.asked.take());
        let is_asked = |event: &RawEvent| {
            asked.as_ref().filter(|asked| (asked.offset, asked.length) == (event.offset, event.text.len()))
        };
        let Some(place) = self.streams.get(&stream) else { return Some(()) };
        for (number, event) in events.iter().enumerate() {
            let known = is_asked(event);
            let found = if known.is_some() { Found::default() } else { Found::of(&book, &event.text) };
            let at = date(event, self.zone, now);
            self.show(&place.source, event, &found, at);
            witness.pass(place.of(&book), &events, number, found.hit.as_ref(), at, now);
            let shape = || match known {
                Some(asked) => asked.shape.clone(),
                None => book.unclassified(&event.text),
            };
            if found.is_nothing()
                && let Some(shape) = shape()
            {
                note_unknown(&mut unknown, &place.source, shape, event, now);
            }
            items.extend(self::items(found, event, self.zone, now));
        }
        witness.over(events);
        let said = witness.is_ready();
        if let Some(place) = self.streams.get_mut(&stream) {
            place.witness = witness;
        }
        let unknown: Vec<Change> = unknown.into_values().map(Change::Unclassified).collect();
        if !items.is_empty() || !unknown.is_empty() || said {
            return self.send_with(stream, items, unknown).await;
        }
        if let Some(place) = self.streams.get_mut(&stream)
            && place.assembler.safe_offset() != place.saved
        {
            place.unsaved_since.get_or_insert_with(Instant::now);
        }
        Some(())
    }

    fn show(&self, source: &str, event: &RawEvent, found: &Found, at: DateTime<Utc>) {
        let (class, rule) = found.hit.as_ref().map_or((None, None), |hit| (Some(hit.class), Some(hit.rule.as_str())));
        (self.onlooker)(&Passing { source, text: &event.text, at, class, rule });
    }

    async fn send(&mut self, stream: StreamId, items: Vec<Item>) -> Option<()> {
        self.send_with(stream, items, Vec::new()).await
    }

    /// Sends what was found, with other changes that belong to the new position.
    async fn send_with(&mut self, stream: StreamId, items: Vec<Item>, others: Vec<Change>) -> Option<()> {
        let Some(place) = self.streams.get_mut(&stream) else { return Some(()) };
        let offset = place.assembler.safe_offset();
        if let Some(cursor) = place.milestones.reached(offset) {
            place.identity = cursor;
        }
        let key = key_of(&place.identity);
        let old = (key != place.key).then(|| std::mem::replace(&mut place.key, key.clone()));
        (place.saved, place.unsaved_since) = (offset, None);
        let around = place.witness.take();
        let (source, file, came) = (place.source.clone(), place.file.clone(), place.came);
        // A journal is found again by its cursor; offsets there begin anew with each run.
        let offset = if matches!(place.identity, Identity::Journal { .. }) { 0 } else { offset };
        let checkpoint = Checkpoint { source: source.clone(), identity: place.identity.clone(), offset };
        let mut progress = others;
        progress.push(Change::Checkpoint { stream: key, checkpoint });
        progress.extend(old.and_then(|old| self.forget(&source, old)));
        self.out.send(Batch { source, file, items, progress, around, came }).await.ok()
    }
}

/// The bot's clock where the line has one, else ours.
fn date(event: &RawEvent, zone: i32, now: DateTime<Utc>) -> DateTime<Utc> {
    event.stamp.as_ref().map_or(now, |stamp| stamp.to_utc(zone, now))
}

/// What one event says, with its text: what it tells of a job, then the failure.
fn items(found: Found, event: &RawEvent, zone: i32, now: DateTime<Utc>) -> Vec<Item> {
    if found.is_nothing() {
        return Vec::new();
    }
    let signal = found.signal.map(|mut signal| {
        clean(&mut signal.captures);
        Meaning::Job(signal)
    });
    let hit = found.hit.map(|mut hit| {
        clean(&mut hit.captures);
        Meaning::Failure(hit)
    });
    let cut = event.text.len() > TEXT_MAX;
    let text = if cut { shorten_middle(&event.text) } else { String::from_utf8_lossy(&event.text).into_owned() };
    let text = redact(&text).into_owned();
    let at = date(event, zone, now);
    let truncated = event.truncated || cut;
    let dated = event.stamp.is_some();
    let item = |meaning| Item { offset: event.offset, text: text.clone(), truncated, at, dated, meaning };
    signal.into_iter().chain(hit).map(item).collect()
}

/// Counts an event that reads like an error though no rule knows it, with those of the batch that are alike.
fn note_unknown(
    unknown: &mut BTreeMap<String, Unclassified>,
    source: &str,
    shape: String,
    event: &RawEvent,
    now: DateTime<Utc>,
) {
    let text = redact(&String::from_utf8_lossy(&event.text)).into_owned();
    let text = shorten(&text, UNKNOWN_MAX).to_string();
    let last_at = rfc3339(now);
    let new = || Unclassified {
        source: source.to_owned(),
        shape: redact(&shape).into_owned(),
        text: text.clone(),
        count: 0,
        last_at: last_at.clone(),
    };
    let known = unknown.entry(shape.clone()).or_insert_with(new);
    (known.count, known.text, known.last_at) = (known.count + 1, text, last_at);
}

/// The head and the end of a long event: the end names the cause.
fn shorten_middle(text: &[u8]) -> String {
    let half = TEXT_MAX / 2;
    let (head, tail) = (&text[..half], &text[text.len() - half..]);
    format!("{}\n…\n{}", String::from_utf8_lossy(head), String::from_utf8_lossy(tail))
}

/// Secrets never leave the intake.
fn clean(captures: &mut Captures) {
    for value in captures.values_mut() {
        if let std::borrow::Cow::Owned(hidden) = redact(value) {
            *value = hidden;
        }
    }
}

/// Under which name a stream's position is stored. The whole identity: an inode alone is reused at once.
fn key_of(identity: &Identity) -> String {
    match identity {
        Identity::File { dev, ino, hashed, hash, .. } => format!("file {dev}:{ino} {hashed}:{hash}"),
        Identity::Journal { .. } => "journal".into(),
        Identity::Stdin => "stdin".into(),
    }
}
