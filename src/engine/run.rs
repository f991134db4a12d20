//! Runs the engine: waits, steps, commits, starts. The only loop. I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Timelike as _, Utc};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backlog::latest;
use super::effects::{begins, durable, force, handed_over, silence_of};
use super::intake::Batch;
use super::order::{Order, OrderError};
use super::repairs::{self, Hands, Started};
use super::said::Said;
use super::{Case, Effect, Input, Row, RowKind, State};
use crate::correlate::{Growth, Job};
use crate::decide::{Policy, Task, TaskOutput, Work};
use crate::heal::{Begun, Healer};
use crate::ledger::store::Change;
use crate::ledger::{Error, Force, Ledger};
use crate::operate::Operations;
use crate::outbox::TelegramSettings;
use crate::publish::metrics::Metrics;
use crate::publish::terminal::Terminal;
use crate::publish::vitals::{BotState, Vitals};
use crate::supervise::{BotCommand, BotEvent};
use crate::vocab::{Evidence, Id, Now, ProbeNews, Record, json_text};

/// Inputs that one transaction takes at most: a burst shares its fsync, and nobody waits long.
const TURN_INPUTS: usize = 64;

/// Looks that run at once. They are quick; this bounds descriptors and sockets in a storm.
const LOOKS: usize = 16;

/// Answers that wait for the loop.
const ANSWERS: usize = 256;

/// How long a stop waits for repairs to reach a safe point.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Changes that are kept in memory while the state directory cannot be written. Beyond it the oldest are lost, and
/// that is said; healing and alerting go on.
const BACKLOG: usize = 20_000;

/// So often the admins are told past the state directory.
const TELL_PAST_EVERY: Duration = Duration::from_secs(30);

/// Orders that wait for the loop; who gives more waits in turn.
const ORDERS: usize = 64;

/// How far downloads are, for whoever follows them; who is slow gets the later ones.
pub const LIVE: usize = 256;

/// An order and where its answer goes.
pub type Ordered = (Order, oneshot::Sender<Result<Id, OrderError>>);

/// Gives people's orders to the engine; clones share the one way.
#[derive(Clone, Debug)]
pub struct Orders(mpsc::Sender<Ordered>);

impl Orders {
    /// The handle, and the end that belongs into [`Parts::orders`].
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Ordered>) {
        let (sender, receiver) = mpsc::channel(ORDERS);
        (Self(sender), receiver)
    }

    /// Gives an order and waits until it is followed and written down. Returns the incident or job that it led to.
    ///
    /// # Errors
    /// When there is no such thing, it is not in a state for this, or the engine has stopped.
    pub async fn give(&self, order: Order) -> Result<Id, OrderError> {
        let (answer, answered) = oneshot::channel();
        self.0.send((order, answer)).await.map_err(|_| OrderError::Stopped)?;
        answered.await.unwrap_or(Err(OrderError::Stopped))
    }
}

/// What the loop works with.
pub struct Parts {
    /// The durable side.
    pub ledger: Ledger,
    /// The hands.
    pub healer: Arc<Healer>,
    /// What the sources say.
    pub batches: mpsc::Receiver<Batch>,
    /// What happens to the bot.
    pub bot_events: mpsc::Receiver<BotEvent>,
    /// Orders to the bot's supervisor, where there is one.
    pub bot_orders: Option<mpsc::Sender<BotCommand>>,
    /// What is looked at regularly changed.
    pub probes: mpsc::Receiver<ProbeNews>,
    /// A new policy after a reload.
    pub policies: mpsc::Receiver<Policy>,
    /// What people want.
    pub orders: mpsc::Receiver<Ordered>,
    /// What the watch over the roots sees.
    pub growth: mpsc::Receiver<Vec<Growth>>,
    /// Gets how far downloads are, between two saves as well.
    pub progress: broadcast::Sender<Arc<Job>>,
    /// Shows records.
    pub terminal: Option<Terminal>,
    /// Wakes whoever delivers notices.
    pub owed: Arc<Notify>,
    /// Tells the admins past the state directory, when that cannot be written.
    pub tell_now: Option<TelegramSettings>,
    /// Wakes whoever writes the records file.
    pub recorded: Arc<Notify>,
    /// Gives repairs their turn.
    pub operations: Operations,
    /// Where work runs that is more than a moment of waiting for the file system: transfers, servers, commands.
    pub elsewhere: Handle,
    /// Counts what happens.
    pub metrics: Metrics,
    /// How the loop and the bot are.
    pub vitals: Vitals,
    /// Called on every turn: the loop is alive.
    pub alive: Box<dyn FnMut() + Send>,
}

/// The loop's end.
struct Loop {
    parts: Parts,
    state: State,
    start: Instant,
    answers: mpsc::Sender<(Id, TaskOutput)>,
    /// What came of repairs that were made at once.
    ready: Vec<Input>,
    running: HashMap<Id, CancellationToken>,
    looks: Arc<Semaphore>,
    backlog: Vec<Change>,
    told_past: Option<Instant>,
    /// Who waits for the answer to an order, by its number.
    asked: HashMap<u64, oneshot::Sender<Result<Id, OrderError>>>,
    tickets: u64,
    /// When the first of this turn's lines was read.
    heard: Option<Instant>,
    /// What was said around the events of the last batches.
    said: Said,
    stop: CancellationToken,
}

/// Runs until `stop` is cancelled and everything is at a safe point.
///
/// # Errors
/// When the stored state cannot be read at the start.
pub async fn run(parts: Parts, policy: Policy, seed: u64, stop: CancellationToken) -> Result<(), Error> {
    let start = Instant::now();
    let rows = parts.ledger.rows()?.into_iter().filter_map(row_of).collect();
    let now = Now { mono: Duration::ZERO, wall: wall() };
    let (state, effects, bad) = State::restore(policy, seed, now, rows);
    for row in bad {
        tracing::error!("{row}");
    }
    let (answers, mut answered) = mpsc::channel(ANSWERS);
    let mut this = Loop {
        parts,
        state,
        start,
        answers,
        ready: Vec::new(),
        running: HashMap::new(),
        looks: Arc::new(Semaphore::new(LOOKS)),
        backlog: Vec::new(),
        told_past: None,
        asked: HashMap::new(),
        tickets: 0,
        heard: None,
        said: Said::default(),
        stop,
    };
    this.carry_out(effects, Vec::new(), None);
    loop {
        (this.parts.alive)();
        this.parts.vitals.turned();
        let Some((inputs, changes)) = this.wait(&mut answered).await else { break };
        let now = this.now();
        let mut effects = Vec::new();
        for input in inputs {
            effects.extend(this.state.take_in(input, now));
        }
        repairs::glance(&mut this.state, &this.parts.healer, &mut effects, now);
        let handed_over = this.hand_over(&mut effects);
        this.state.save(&mut effects);
        this.carry_out(effects, changes, handed_over);
        if let Some(heard) = this.heard.take() {
            this.parts.metrics.detected(heard.elapsed());
        }
    }
    this.wind_down(&mut answered).await;
    Ok(())
}

fn row_of((kind, id, json): (String, String, String)) -> Option<Row> {
    let kind = [RowKind::Incident, RowKind::Job, RowKind::Engine].into_iter().find(|k| k.as_str() == kind)?;
    Some(Row { kind, id, json })
}

impl Loop {
    fn now(&self) -> Now {
        Now { mono: self.start.elapsed(), wall: wall() }
    }

    /// Waits for something to happen and takes all that is there, up to a turn's worth. `None`: stop.
    async fn wait(&mut self, answered: &mut mpsc::Receiver<(Id, TaskOutput)>) -> Option<(Vec<Input>, Vec<Change>)> {
        let deadline = self.state.deadline().map(|at| self.start + at);
        let mut changes = Vec::new();
        let mut ordered = None;
        let parts = &mut self.parts;
        let mut inputs = tokio::select! {
            biased;
            () = self.stop.cancelled() => return None,
            () = std::future::ready(()), if !self.ready.is_empty() => std::mem::take(&mut self.ready),
            Some((task, output)) = answered.recv() => vec![Input::Finished { task, output }],
            Some(event) = parts.bot_events.recv() => {
                note_bot(&parts.vitals, &event);
                vec![Input::Bot(event)]
            }
            Some(news) = parts.probes.recv() => vec![Input::Probe(Box::new(news))],
            Some(policy) = parts.policies.recv() => vec![Input::Policy(Box::new(policy))],
            Some(order) = parts.orders.recv() => {
                ordered = Some(order);
                Vec::new()
            }
            Some(seen) = parts.growth.recv() => vec![Input::Grew(seen)],
            batch = parts.batches.recv() => match batch {
                Some(batch) => {
                    note_came(&mut self.heard, &batch);
                    batch.taken(&mut self.said, &mut changes).into_iter().collect()
                }
                // Every source is at its end (standard input): what was found is still worked off.
                None if self.state.cases().all(Case::ended) => return None,
                None => wait_quietly(deadline, answered).await,
            },
            () = sleep_until(deadline), if deadline.is_some() => vec![Input::Deadline],
            // The watchdog is fed even when nothing happens.
            () = tokio::time::sleep(Duration::from_secs(5)) => vec![Input::Deadline],
        };
        inputs.extend(ordered.map(|ordered| self.order(ordered)));
        let parts = &mut self.parts;
        while inputs.len() < TURN_INPUTS {
            if let Ok((task, output)) = answered.try_recv() {
                inputs.push(Input::Finished { task, output });
            } else if let Ok(batch) = parts.batches.try_recv() {
                note_came(&mut self.heard, &batch);
                inputs.extend(batch.taken(&mut self.said, &mut changes));
            } else {
                break;
            }
        }
        Some((inputs, changes))
    }

    /// An order as an input, with what it is about where memory has let go of that.
    fn order(&mut self, (order, answer): Ordered) -> Input {
        self.tickets += 1;
        let ticket = self.tickets;
        self.asked.insert(ticket, answer);
        let row = self.state.lacks(&order).and_then(|(kind, id)| {
            let id = id.to_string();
            let json = self.parts.ledger.row(kind.as_str(), &id).unwrap_or_else(|error| {
                tracing::error!("{error}");
                None
            })?;
            Some(Row { kind, id, json })
        });
        Input::Order { ticket, order, row }
    }

    /// Hands a program over that is the first to begin, where that is then announced: who becomes it wakes up while it is written down
    /// what for.
    fn hand_over(&mut self, effects: &mut Vec<Effect>) -> Option<Begun> {
        let may = self.backlog.is_empty() && force(effects) == Force::Later;
        let task = may.then(|| handed_over(effects)).flatten()?;
        self.start_task(task)
    }

    /// Writes down what must be durable, starts and cancels, shows. Nothing is changed that is not written down; a look
    /// changes nothing and need not wait for that. What was handed over goes on when it is written down.
    fn carry_out(&mut self, effects: Vec<Effect>, mut changes: Vec<Change>, handed_over: Option<Begun>) {
        let mut later = Vec::new();
        let mut records: Vec<Record> = Vec::new();
        let mut owed = false;
        let (looks, effects): (Vec<_>, Vec<_>) = effects
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Start(task) if matches!(task.work, Work::Look(_))));
        looks.into_iter().for_each(|look| self.begin(look));
        for effect in effects {
            match effect {
                Effect::Record(record) => {
                    changes.push(Change::Record {
                        seq: record.seq,
                        incident: record.incident.to_string(),
                        json: json_text(serde_json::to_string(&record).unwrap_or_default()),
                    });
                    changes.extend(self.said.around(&record));
                    self.parts.metrics.record(&record);
                    records.push(*record);
                }
                Effect::Save(row) => {
                    changes.push(Change::Row { kind: row.kind.as_str().into(), id: row.id, json: row.json })
                }
                Effect::Forget { kind, id } => changes.push(Change::DropRow { kind: kind.as_str().into(), id }),
                Effect::Notify(notice) => {
                    owed = true;
                    changes.push(Change::Notice(notice));
                }
                Effect::Silence(silence) => changes.push(Change::Silence(silence_of(*silence))),
                Effect::Acknowledged { incident, by } => {
                    changes.push(Change::Acknowledged { incident: incident.to_string(), by: by.by, at: by.at });
                }
                Effect::Start(_)
                | Effect::Cancel(_)
                | Effect::Bot { .. }
                | Effect::Progress(_)
                | Effect::Answer { .. } => later.push(effect),
            }
        }
        let writes = !changes.is_empty() || !self.backlog.is_empty();
        let force = force(&later);
        // What begins now is written down before, by the shortest way.
        let begins = handed_over.is_some() || later.iter().any(begins);
        let short = begins && force == Force::Later && self.backlog.is_empty();
        let announcement = if short { self.parts.ledger.announce(&changes) } else { None };
        let announced = announcement.is_some();
        changes.extend(announcement);
        let begin = |this: &mut Self| {
            handed_over.into_iter().for_each(Begun::go_on);
            later.into_iter().for_each(|effect| this.begin(effect));
        };
        let waited = if announced {
            begin(self);
            self.commit(force, changes)
        } else {
            let waited = self.commit(force, changes);
            begin(self);
            waited
        };
        if writes {
            self.parts.ledger.tell();
        }
        // What waited for the state directory is new to those who deliver it.
        if owed || waited {
            self.parts.owed.notify_one();
        }
        if !records.is_empty() || waited {
            self.parts.recorded.notify_one();
        }
        if let Some(terminal) = &self.parts.terminal {
            records.iter().for_each(|record| terminal.show(record));
        }
    }

    /// Commits; while the state directory cannot be written, changes wait in memory and the work goes on. `true`: some
    /// that waited are written now.
    fn commit(&mut self, force: Force, changes: Vec<Change>) -> bool {
        let mut all = std::mem::take(&mut self.backlog);
        let waiting = all.len();
        all.extend(changes);
        if all.is_empty() {
            return false;
        }
        match self.parts.ledger.commit_untold(force, &all) {
            Ok(()) if waiting > 0 => {
                tracing::info!("the state directory can be written again");
                true
            }
            Ok(()) => false,
            Err(error) => {
                if waiting == 0 {
                    tracing::error!("{error}; healing goes on, what happens is kept in memory until it can be written");
                }
                self.tell_past(&all[waiting..]);
                all = latest(all);
                let over = all.len().saturating_sub(BACKLOG);
                if over > 0 {
                    tracing::error!("{over} changes are lost: too many wait for the state directory");
                }
                all.drain(..over);
                self.backlog = all;
                false
            }
        }
    }

    /// Tells the loudest of these notices directly: a full disk must not keep an alert back. Once in a while only, since
    /// nothing remembers what was told; when the state can be written again, the outbox tells all of them.
    fn tell_past(&mut self, changes: &[Change]) {
        let notices =
            changes.iter().filter_map(|change| if let Change::Notice(notice) = change { Some(notice) } else { None });
        let (Some(notice), Some(settings)) = (notices.max_by_key(|notice| notice.severity), &self.parts.tell_now)
        else {
            return;
        };
        if self.told_past.is_some_and(|at| at.elapsed() < TELL_PAST_EVERY) {
            return;
        }
        self.told_past = Some(Instant::now());
        let (settings, notice) = (settings.clone(), notice.clone());
        tokio::spawn(async move { crate::outbox::tell_now(&settings, &notice).await });
    }

    fn begin(&mut self, effect: Effect) {
        match effect {
            Effect::Start(task) => self.start_task(*task).into_iter().for_each(Begun::go_on),
            Effect::Cancel(id) => {
                if let Some(token) = self.running.remove(&id) {
                    token.cancel();
                }
            }
            Effect::Bot { task, signal } => self.order_bot(task, signal),
            // Nobody may be listening, or have gone away meanwhile.
            Effect::Progress(job) => drop(self.parts.progress.send(Arc::new(*job))),
            Effect::Answer { ticket, result } => {
                if let Some(answer) = self.asked.remove(&ticket) {
                    let _ = answer.send(result);
                }
            }
            Effect::Record(_)
            | Effect::Save(_)
            | Effect::Forget { .. }
            | Effect::Notify(_)
            | Effect::Silence(_)
            | Effect::Acknowledged { .. } => {}
        }
    }

    /// Starts a task. One that is returned changes nothing before it goes on.
    fn start_task(&mut self, task: Task) -> Option<Begun> {
        self.running.retain(|_, token| !token.is_cancelled());
        let token = self.stop.child_token();
        self.running.insert(task.id, token.clone());
        let (healer, answers, elsewhere) =
            (Arc::clone(&self.parts.healer), self.answers.clone(), self.parts.elsewhere.clone());
        if let Some(repair) = repairs::repair_of(&task.work) {
            let operations = self.parts.operations.clone();
            let hands = Hands { operations, healer, answers, elsewhere, stop: self.stop.clone() };
            let (case, here) = (self.state.case(task.incident), self.ready.len() < repairs::AT_ONCE);
            let (id, started) = (task.id, repairs::begin(hands, task.clone(), repair, case, token, here));
            self.parts.operations.tell();
            return match started {
                Started::Done(output) => {
                    self.ready.push(Input::Finished { task: id, output });
                    None
                }
                Started::Runs => None,
                Started::Waits(begun) => Some(begun),
            };
        }
        let room = &self.looks;
        let id = task.id;
        let brief = task.work.is_brief().then(|| Arc::clone(room).try_acquire_owned().ok()).flatten();
        if let Some(permit) = brief {
            // Begins before this turn is committed; what it finds is not looked at before.
            let done = healer.run_brief(task, token.clone(), &elsewhere);
            tokio::spawn(async move {
                let output = done.await;
                // It is over: the loop forgets its token.
                token.cancel();
                drop(permit);
                let _ = answers.send((id, output)).await;
            });
            return None;
        }
        let room = Arc::clone(room);
        self.parts.elsewhere.spawn(async move {
            let output = tokio::select! {
                () = token.cancelled() => TaskOutput::Cancelled,
                _permit = room.acquire_owned() => healer.run(task, token.clone()).await,
            };
            token.cancel();
            // The loop may be gone; then nobody needs the answer.
            let _ = answers.send((id, output)).await;
        });
        None
    }

    fn order_bot(&self, task: Id, signal: Option<i32>) {
        let order = match signal {
            Some(signal) => BotCommand::Signal(signal),
            None => BotCommand::Restart { reason: "a download cannot be fetched again by logmedic".into() },
        };
        let sent = self.parts.bot_orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok());
        let output = if sent {
            TaskOutput::Done { detail: "the bot was told".into(), evidence: Evidence::new() }
        } else {
            TaskOutput::Refused {
                detail: "the bot does not run under logmedic".into(),
                remedy: Some("start it with `logmedic run -- COMMAND`, or set [bot] command".into()),
                evidence: Evidence::new(),
            }
        };
        let answers = self.answers.clone();
        tokio::spawn(async move { answers.send((task, output)).await });
    }

    /// Brings repairs to a safe point and writes the last words.
    async fn wind_down(&mut self, answered: &mut mpsc::Receiver<(Id, TaskOutput)>) {
        let until = Instant::now() + STOP_GRACE;
        for token in self.running.values() {
            token.cancel();
        }
        // What the sources have read already: their positions, and what they found, are taken in.
        self.parts.batches.close();
        self.parts.bot_events.close();
        while let Ok(event) = self.parts.bot_events.try_recv() {
            let now = self.now();
            let effects = self.state.step(Input::Bot(event), now);
            self.carry_out(durable(effects), Vec::new(), None);
        }
        loop {
            let mut changes = Vec::new();
            let input = tokio::select! {
                biased;
                batch = self.parts.batches.recv() => match batch {
                    Some(batch) => batch.taken(&mut self.said, &mut changes),
                    None => break,
                },
                () = tokio::time::sleep_until(until) => break,
            };
            let now = self.now();
            let effects = input.map(|input| self.state.step(input, now)).unwrap_or_default();
            self.carry_out(durable(effects), changes, None);
        }
        for input in std::mem::take(&mut self.ready) {
            let now = self.now();
            let effects = self.state.step(input, now);
            self.carry_out(durable(effects), Vec::new(), None);
        }
        loop {
            let answer = match answered.try_recv() {
                Ok(answer) => Some(answer),
                // Who has answered holds no end of the channel any more; the loop's own is one.
                Err(_) if self.answers.strong_count() == 1 => answered.try_recv().ok(),
                Err(_) => tokio::time::timeout_at(until, answered.recv()).await.ok().flatten(),
            };
            let Some((task, output)) = answer else { break };
            let now = self.now();
            let effects = self.state.step(Input::Finished { task, output }, now);
            self.carry_out(durable(effects), Vec::new(), None);
        }
        let now = self.now();
        let effects = self.state.last_words(now);
        self.carry_out(effects, Vec::new(), None);
    }
}

/// The date to the millisecond, as records show it.
pub(super) fn wall() -> DateTime<Utc> {
    let now = Utc::now();
    now.with_nanosecond(now.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(now)
}

/// Keeps when the first line of a turn that means something was read.
fn note_came(heard: &mut Option<Instant>, batch: &Batch) {
    if !batch.items.is_empty() {
        *heard = Some(heard.map_or(batch.came, |first| first.min(batch.came)));
    }
}

/// Keeps whether the bot's process runs, for those who show it.
fn note_bot(vitals: &Vitals, event: &BotEvent) {
    match event {
        BotEvent::Started { pid, .. } => {
            vitals.bot_runs(Some(*pid));
            vitals.bot_is(BotState::Running, None);
        }
        BotEvent::Exited { how, .. } => {
            vitals.bot_runs(None);
            vitals.bot_is(BotState::Ended, Some(how));
        }
        BotEvent::GaveUp { .. } => {
            vitals.bot_runs(None);
            vitals.bot_is(BotState::Down, None);
        }
        BotEvent::RestartIn { .. } => vitals.bot_is(BotState::Waiting, None),
    }
}

/// With every source at its end only deadlines and answers are left.
async fn wait_quietly(deadline: Option<Instant>, answered: &mut mpsc::Receiver<(Id, TaskOutput)>) -> Vec<Input> {
    let heartbeat = Instant::now() + Duration::from_secs(1);
    let until = deadline.map_or(heartbeat, |at| at.min(heartbeat));
    match tokio::time::timeout_at(until, answered.recv()).await {
        Ok(Some((task, output))) => vec![Input::Finished { task, output }],
        _ => vec![Input::Deadline],
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
