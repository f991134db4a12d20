//! Sends what is owed: one loop a chat, so that one that must wait never holds up another. I/O.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::judge::Verdict;
use super::plan::Plan;
use super::render::render;
use super::settings::TelegramSettings;
use super::take::{After, Job, look, ms, settle, take};
use super::telegram::{How, Telegram};
use super::texts::Texts;
use crate::ledger::{Ledger, outbox as table};
use crate::vocab::{Notice, Rng};

/// How often what was told long ago is forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// A loop that panicked (a bug) starts again after this long.
const RESTART: Duration = Duration::from_secs(10);

/// How long the state database is left alone after an error (a full disk, mostly).
const LEDGER_RETRY: Duration = Duration::from_secs(5);

/// Doublings of the wait after failures; more than the cap ever needs.
const DOUBLINGS: u32 = 16;

/// What the loops share.
struct Shared {
    ledger: Ledger,
    settings: TelegramSettings,
    texts: Texts,
    telegram: Telegram,
    /// When the next call of any chat may start.
    slot: Mutex<Instant>,
    /// Until when nothing is sent, because the token was refused.
    paused: Mutex<Option<Instant>>,
}

/// How a chat's loop waits.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// This long, whatever comes.
    Gap(Duration),
    /// Until woken, at most this long.
    Idle(Option<Duration>),
}

/// Delivers what the ledger owes until `stop`; `wake` says that something new is owed.
///
/// Nothing here ends on an error: what cannot be sent now stays owed. After `stop` the last messages get
/// [`Pace::drain`](super::Pace::drain).
pub async fn run(ledger: Ledger, settings: TelegramSettings, wake: Arc<Notify>, stop: CancellationToken) {
    let texts = Texts::load(settings.language, settings.templates_dir.as_deref()).unwrap_or_else(|error| {
        tracing::error!("{error}; the shipped texts are used");
        Texts::shipped(settings.language)
    });
    let telegram = match Telegram::new(&settings) {
        Ok(telegram) => telegram,
        Err(error) => {
            tracing::error!("failed to prepare the connection to Telegram: {error}; alerts stay in the outbox");
            return stop.cancelled().await;
        }
    };
    let mut admins = settings.admins.clone();
    admins.sort_unstable();
    admins.dedup();
    let now = Instant::now();
    let shared =
        Arc::new(Shared { ledger, settings, texts, telegram, slot: Mutex::new(now), paused: Mutex::new(None) });
    while let Err(error) = adopt(&shared.ledger, admins.clone()).await {
        tracing::error!("{error}; alerts wait for it");
        tokio::select! { () = sleep(LEDGER_RETRY) => {}, () = stop.cancelled() => return }
    }
    let (woken, _) = watch::channel(());
    let mut loops = JoinSet::new();
    for chat in admins {
        loops.spawn(chat_loop(Arc::clone(&shared), chat, woken.subscribe(), stop.clone()));
    }
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    while !stop.is_cancelled() {
        tokio::select! {
            () = wake.notified() => { woken.send_replace(()); }
            _ = housekeeping.tick() => shared.tidy().await,
            () = stop.cancelled() => {}
        }
    }
    let drain = shared.settings.pace.drain;
    let ended = tokio::time::timeout(drain, async { while loops.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        // What is on its way now is `sending` in the ledger: the next start repeats it and says so.
        loops.shutdown().await;
    }
}

/// Tells every admin at once, without the ledger, and says how many were reached.
///
/// Only for the moment when the ledger itself cannot be written (its disk is full): nothing is tried again, nothing is
/// remembered, so the caller limits how often.
pub async fn tell_now(settings: &TelegramSettings, notice: &Notice) -> usize {
    let texts = Texts::load(settings.language, settings.templates_dir.as_deref())
        .unwrap_or_else(|_| Texts::shipped(settings.language));
    let Ok(telegram) = Telegram::new(settings) else { return 0 };
    let message = render(notice, &texts);
    let calls = settings.admins.iter().map(|&chat| telegram.deliver(chat, How::loud(), &message, None));
    let verdicts = futures_util::future::join_all(calls).await;
    verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Arrived(_))).count()
}

async fn adopt(ledger: &Ledger, admins: Vec<i64>) -> Result<(), crate::ledger::Error> {
    ledger.write(move |tx| table::adopt(tx, &admins)).await
}

/// Runs one chat's loop for ever: a panic in it must not silence the alerts.
async fn chat_loop(shared: Arc<Shared>, chat: i64, woken: watch::Receiver<()>, stop: CancellationToken) {
    loop {
        let inner = tokio::spawn(Arc::clone(&shared).tell(chat, woken.clone(), stop.clone()));
        let abort = AbortOnDrop(inner.abort_handle());
        let ended = inner.await;
        drop(abort);
        if ended.is_ok() || stop.is_cancelled() {
            return;
        }
        tracing::error!("the sender for chat {chat} panicked; it starts again");
        sleep(RESTART).await;
    }
}

/// Ends a task together with the one that waits for it.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    async fn tell(self: Arc<Self>, chat: i64, mut woken: watch::Receiver<()>, stop: CancellationToken) {
        // For jitter only: chats that failed together shall not come back together.
        let mut rng = Rng::new(chat.cast_unsigned() ^ Utc::now().timestamp_micros().cast_unsigned());
        let mut failures = 0;
        loop {
            woken.borrow_and_update();
            let rest = self.step(chat, &mut failures, &mut rng).await;
            if !self.rest(rest, &mut woken, &stop).await {
                return;
            }
        }
    }

    /// Waits; `false` when it is time to stop.
    async fn rest(&self, rest: Rest, woken: &mut watch::Receiver<()>, stop: &CancellationToken) -> bool {
        let (longest, wakes) = match rest {
            Rest::Gap(gap) => (Some(gap), false),
            Rest::Idle(longest) => (longest, true),
        };
        let until = longest.map(|longest| Instant::now() + longest);
        let elapsed = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let stopping = stop.is_cancelled();
        if stopping && until.is_none() {
            return false;
        }
        tokio::select! {
            () = elapsed => true,
            changed = woken.changed(), if wakes => changed.is_ok(),
            () = stop.cancelled(), if !stopping => match until {
                // One last look: what was owed before the stop shall still go out.
                None => true,
                Some(until) if until > Instant::now() + self.settings.pace.drain => false,
                Some(until) => { sleep_until(until).await; true }
            }
        }
    }

    /// Makes one call, if one is due.
    async fn step(&self, chat: i64, failures: &mut u32, rng: &mut Rng) -> Rest {
        if let Some(left) = self.pause_left() {
            return Rest::Gap(left);
        }
        match self.next(chat).await {
            Ok(Next::Rest(rest)) => rest,
            Ok(Next::Call(job)) => {
                let verdict = self.telegram.deliver(job.target, job.how, &job.message, job.keyboard.clone()).await;
                let after = self.settle(&job, &verdict).await;
                self.after(chat, after, &verdict, failures, rng)
            }
            Err(error) => {
                tracing::error!("{error}; alerts wait for it");
                Rest::Gap(LEDGER_RETRY)
            }
        }
    }

    async fn next(&self, chat: i64) -> Result<Next, crate::ledger::Error> {
        let now = Utc::now().timestamp_millis();
        let state = self.ledger.read(|connection| table::chat(connection, chat))?;
        if state.not_before > now {
            // A clock that was set back must not silence a chat for longer than the longest hold.
            let left = state.not_before.saturating_sub(now).min(ms(self.settings.pace.dead_retry));
            return Ok(Next::Rest(Rest::Gap(Duration::from_millis(left.unsigned_abs()))));
        }
        match self.ledger.read(|connection| look(connection, chat, &self.settings, now))? {
            Plan::Nothing => return Ok(Next::Rest(Rest::Idle(None))),
            Plan::Until(due) => {
                let left = Duration::from_millis(due.saturating_sub(now).unsigned_abs());
                return Ok(Next::Rest(Rest::Idle(Some(left))));
            }
            Plan::Group { .. } | Plan::Ring(_) | Plan::Post(_) | Plan::Amend(_) => {}
        }
        self.slot().await;
        let (settings, texts) = (self.settings.clone(), self.texts.clone());
        let job = self.ledger.write(move |tx| take(tx, chat, &settings, &texts, Utc::now().timestamp_millis())).await?;
        Ok(job.map_or(Next::Rest(Rest::Gap(Duration::ZERO)), |job| Next::Call(Box::new(job))))
    }

    /// Waits for a place in the row of all calls.
    async fn slot(&self) {
        let mine = {
            let mut next = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
            let mine = (*next).max(Instant::now());
            *next = mine + self.settings.pace.global_gap;
            mine
        };
        sleep_until(mine).await;
    }

    /// Writes down what came of a call, however long that takes: a lost answer would mean a repeated message.
    async fn settle(&self, job: &Job, verdict: &Verdict) -> After {
        loop {
            let (job, verdict, settings) = (job.clone(), verdict.clone(), self.settings.clone());
            let now = Utc::now().timestamp_millis();
            match self.ledger.write(move |tx| settle(tx, &job, &verdict, &settings, now)).await {
                Ok(after) => return after,
                Err(error) => tracing::error!("{error}; the answer of Telegram waits for it"),
            }
            sleep(LEDGER_RETRY).await;
        }
    }

    fn after(&self, chat: i64, after: After, verdict: &Verdict, failures: &mut u32, rng: &mut Rng) -> Rest {
        let pace = &self.settings.pace;
        let gap = if chat < 0 { pace.group_gap } else { pace.chat_gap };
        match (after, verdict) {
            (_, Verdict::Refused(error)) => tracing::error!("Telegram refused a text for chat {chat}: {error}"),
            (_, Verdict::Dead(error)) => {
                tracing::error!(
                    "chat {chat} cannot be told anything: {error}; tried again in a day or after a restart"
                );
            }
            (After::BackOff, Verdict::NotSent(error) | Verdict::Unknown(error)) if *failures == 0 => {
                tracing::warn!("failed to reach Telegram for chat {chat}: {error}; tried again until it works");
            }
            _ => {}
        }
        match after {
            After::Next => {
                *failures = 0;
                Rest::Gap(gap)
            }
            After::Held => Rest::Gap(gap),
            After::BackOff => {
                let doubled = pace.backoff.saturating_mul(1 << (*failures).min(DOUBLINGS)).min(pace.backoff_cap);
                *failures = failures.saturating_add(1);
                Rest::Gap(doubled.mul_f64(0.8 + 0.4 * rng.unit()).max(gap))
            }
            After::Pause => {
                let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                // Several chats may learn it at once; it is said once.
                if paused.is_none_or(|until| until <= now) {
                    tracing::error!(
                        "Telegram does not take the token of [telegram]: alerts wait and are tried every {} s; put the right one into token_file and restart",
                        pace.token_retry.as_secs()
                    );
                }
                *paused = Some(now + pace.token_retry);
                Rest::Gap(pace.token_retry)
            }
        }
    }

    fn pause_left(&self) -> Option<Duration> {
        let paused = *self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        paused.map(|until| until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    async fn tidy(&self) {
        let least = self.settings.min_severity;
        let now = Utc::now();
        let done = self.ledger.write(move |tx| table::finish(tx, least).and_then(|()| table::prune(tx, now))).await;
        if let Err(error) = done {
            tracing::error!("{error}; old notices are kept");
        }
    }
}

/// A call to make, or how long to wait.
enum Next {
    Call(Box<Job>),
    Rest(Rest),
}
