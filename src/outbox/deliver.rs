//! Delivers to webhooks, mail and browsers: one loop a channel, so that one that must wait never holds up another. I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::channel::{ChannelSettings, PushSettings, Way};
use super::judge::Verdict;
use super::note::{self, Note};
use super::push::{self, VapidKey};
use super::schedule::{self, Plan, Rules};
use super::settings::TelegramSettings;
use super::take::local_offset;
use super::texts::Texts;
use super::trial::{self, Http, Tried, texts, trial, tried, try_channel};
use super::{email, sender};
use crate::ledger::channels::{self as table, Item, Subscription};
use crate::ledger::{self, Ledger, notifications, outbox};
use crate::vocab::{Rng, Severity};

/// Doublings of the wait after failures; more than the cap ever needs.
const DOUBLINGS: u32 = 16;

/// Changes that come close together are looked at once.
const TOGETHER: Duration = Duration::from_millis(20);

/// How fast, how patient.
#[derive(Clone, Copy, Debug)]
pub struct ChannelPace {
    /// The longest one delivery may take.
    pub call: Duration,
    /// First wait after a failure; doubles.
    pub backoff: Duration,
    /// Longest wait after a failure.
    pub backoff_cap: Duration,
    /// The wait after a 429 that names no time.
    pub limited: Duration,
    /// How long a failing channel is tried before its fallback takes over.
    pub patience: Duration,
    /// How often it is looked whether another process (a command) wrote something.
    pub sense: Duration,
    /// How often old rows are let go.
    pub housekeeping: Duration,
    /// How long the state database is left alone after an error.
    pub ledger_retry: Duration,
    /// How long a stop waits for the last messages.
    pub drain: Duration,
}

impl Default for ChannelPace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            call: seconds(20),
            backoff: seconds(1),
            backoff_cap: seconds(300),
            limited: seconds(30),
            patience: seconds(300),
            // Commands that want an answer ask the agent itself; what they only wrote down can wait a moment.
            sense: seconds(10),
            housekeeping: seconds(60),
            ledger_retry: seconds(5),
            drain: seconds(5),
        }
    }
}

/// All channels besides Telegram; clones share them.
#[derive(Clone)]
pub struct Channels(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    settings: Vec<ChannelSettings>,
    push: ChannelSettings,
    telegram: Option<TelegramSettings>,
    key: VapidKey,
    http: Http,
    pace: ChannelPace,
    woken: watch::Sender<()>,
}

/// One loop's channel.
struct Target {
    name: String,
    rules: Rules,
    texts: Texts,
    ca: Option<String>,
    way: Way,
}

/// A loop that ends together with whoever hired it.
struct Hired(JoinHandle<()>);

impl Drop for Hired {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a loop does next.
enum Next {
    /// Goes on at once.
    Go,
    /// Waits for news, at most this long.
    Wait(Option<Duration>),
    /// Waits this long, whatever comes.
    Hold(Duration),
    /// There is no such channel any more.
    Over,
}

/// What a loop remembers between its steps.
struct Pulse {
    /// Entries up to this change were looked at.
    seen: i64,
    failures: u32,
    rng: Rng,
}

impl Channels {
    /// Prepares the channels. `push` says how browsers are told; without a configured one, pass the default.
    ///
    /// # Errors
    /// When the state database or the TLS setup cannot be used.
    pub async fn open(
        ledger: Ledger,
        settings: Vec<ChannelSettings>,
        push: ChannelSettings,
        telegram: Option<TelegramSettings>,
        pace: ChannelPace,
    ) -> Result<Self, String> {
        let key = ledger.write(VapidKey::load).await.map_err(|error| error.to_string())?;
        let http = Http::new(&pace)?;
        let woken = watch::Sender::new(());
        let settings = settings.into_iter().filter(|one| !matches!(one.way, Way::Push(_))).collect();
        Ok(Self(Arc::new(Inner { ledger, settings, push, telegram, key, http, pace, woken })))
    }

    /// The full names of the configured channels.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.settings.iter().map(ChannelSettings::full).collect()
    }

    /// The key that a browser needs to subscribe, base64url.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.0.key.public()
    }

    /// Which push services may be called.
    #[must_use]
    pub fn push_settings(&self) -> PushSettings {
        match &self.0.push.way {
            Way::Push(settings) => settings.clone(),
            Way::Webhook(_) | Way::Email(_) => PushSettings::default(),
        }
    }

    /// Tries the channels at once, without their rules: all of them, or the one of this name (with or without its kind).
    pub async fn test(&self, name: Option<&str>) -> Vec<Tried> {
        let this = &self.0;
        let wanted = |full: &str, short: &str| name.is_none_or(|name| name == full || name == short);
        let mut out = Vec::new();
        if let Some(telegram) = this.telegram.as_ref().filter(|_| wanted("telegram", "telegram")) {
            let notice = Texts::shipped(telegram.language).trial("telegram", Utc::now());
            let reached = sender::tell_now(telegram, &notice).await;
            let all = telegram.admins.len();
            let detail = format!("{reached} of {all} chats reached");
            out.push(Tried { channel: "telegram".into(), ok: reached == all, detail });
        }
        for settings in this.settings.iter().filter(|one| wanted(&one.full(), &one.name)) {
            out.push(try_channel(settings, &this.pace).await);
        }
        for subscription in this.subscriptions().unwrap_or_default() {
            let channel = format!("push:{}", subscription.hash);
            if wanted(&channel, "push") {
                let note = trial(&channel, &texts(&this.push), Utc::now());
                out.push(tried(channel, &this.push_to(&subscription, &note).await));
            }
        }
        out
    }

    /// Delivers what the ledger owes until `stop`. `told` is woken when there is news, also of another process.
    ///
    /// Nothing here ends on an error: what cannot be sent now stays owed.
    pub async fn run(self, told: Arc<Notify>, stop: CancellationToken) {
        let this = self.0;
        while let Err(error) = this.adopt().await {
            tracing::error!("{error}; notifications wait for it");
            tokio::select! { () = tokio::time::sleep(this.pace.ledger_retry) => {}, () = stop.cancelled() => return }
        }
        let mut loops: BTreeMap<String, Hired> = BTreeMap::new();
        let mut commits = this.ledger.commits();
        let mut sense = tokio::time::interval(this.pace.sense);
        let mut housekeeping = tokio::time::interval(this.pace.housekeeping);
        let mut last = -1;
        while !stop.is_cancelled() {
            // An error here is one of the database, which the loops report.
            let changed = this.ledger.read(table::changed).unwrap_or(last);
            if changed != last {
                last = changed;
                told.notify_one();
                this.woken.send_replace(());
            }
            this.staff(&mut loops, &stop);
            tokio::select! {
                done = commits.changed() => {
                    if done.is_err() {
                        break;
                    }
                    tokio::select! { () = tokio::time::sleep(TOGETHER) => {}, () = stop.cancelled() => {} }
                    commits.borrow_and_update();
                }
                _ = sense.tick() => {}
                _ = housekeeping.tick() => this.tidy().await,
                () = stop.cancelled() => {}
            }
        }
        let ended = async {
            for task in loops.values_mut() {
                let _ = (&mut task.0).await;
            }
        };
        // What is on its way after that is `sending` in the ledger: the next start repeats it with the same identifier.
        let _ = tokio::time::timeout(this.pace.drain, ended).await;
    }
}

impl Inner {
    fn subscriptions(&self) -> Result<Vec<Subscription>, ledger::Error> {
        self.ledger.read(table::subscriptions)
    }

    async fn adopt(&self) -> Result<(), ledger::Error> {
        let mut names: Vec<String> = self.settings.iter().map(ChannelSettings::full).collect();
        names.extend(self.subscriptions()?.iter().map(|one| format!("push:{}", one.hash)));
        let alone = self.telegram.is_none();
        self.ledger
            .write(move |tx| {
                if alone {
                    outbox::adopt(tx, &[])?;
                }
                table::adopt(tx, &names)
            })
            .await
    }

    /// Sees to it that every channel has a running loop; one that panicked (a bug) gets another.
    fn staff(self: &Arc<Self>, loops: &mut BTreeMap<String, Hired>, stop: &CancellationToken) {
        let running =
            |loops: &BTreeMap<String, Hired>, name: &str| loops.get(name).is_some_and(|task| !task.0.is_finished());
        for settings in &self.settings {
            if !running(loops, &settings.full()) {
                self.hire(settings.full(), settings, loops, stop);
            }
        }
        for subscription in self.subscriptions().unwrap_or_default() {
            let name = format!("push:{}", subscription.hash);
            if !running(loops, &name) {
                let language = match subscription.language.as_deref() {
                    Some("es") => super::settings::Lang::Es,
                    Some("en") => super::settings::Lang::En,
                    _ => self.push.language,
                };
                self.hire(name, &ChannelSettings { language, ..self.push.clone() }, loops, stop);
            }
        }
    }

    fn hire(
        self: &Arc<Self>,
        name: String,
        settings: &ChannelSettings,
        loops: &mut BTreeMap<String, Hired>,
        stop: &CancellationToken,
    ) {
        let target = Target {
            name: name.clone(),
            rules: settings.rules.clone(),
            texts: texts(settings),
            ca: settings.ca.clone(),
            way: settings.way.clone(),
        };
        let task = tokio::spawn(Arc::clone(self).tell(target, self.woken.subscribe(), stop.clone()));
        loops.insert(name, Hired(task));
    }

    async fn tidy(&self) {
        let now = Utc::now();
        let alone = self.telegram.is_none();
        let done = self.ledger.write(move |tx| {
            notifications::tidy(tx, now)?;
            if alone {
                // Nobody else lets notices go when there is no Telegram.
                outbox::finish(tx, Severity::Info)?;
                outbox::prune(tx, now)?;
            }
            Ok(())
        });
        if let Err(error) = done.await {
            tracing::error!("{error}; old notifications are kept");
        }
    }

    async fn tell(self: Arc<Self>, target: Target, mut woken: watch::Receiver<()>, stop: CancellationToken) {
        // For jitter only: channels that failed together shall not come back together.
        let seed = Utc::now().timestamp_micros().cast_unsigned() ^ target.name.len() as u64;
        let mut pulse = Pulse { seen: 0, failures: 0, rng: Rng::new(seed) };
        loop {
            woken.borrow_and_update();
            let (longest, wakes) = match self.step(&target, &mut pulse).await {
                Ok(Next::Go) => continue,
                Ok(Next::Over) => return,
                Ok(Next::Wait(longest)) => (longest, true),
                Ok(Next::Hold(longest)) => (Some(longest), false),
                Err(error) => {
                    tracing::error!("{error}; {} waits for it", target.name);
                    (Some(self.pace.ledger_retry), false)
                }
            };
            // This was the last look.
            if stop.is_cancelled() {
                return;
            }
            let elapsed = async {
                match longest {
                    Some(longest) => tokio::time::sleep(longest).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = elapsed => {}
                changed = woken.changed(), if wakes => if changed.is_err() { return },
                () = stop.cancelled() => {}
            }
        }
    }

    /// Looks, and delivers one message if one is due.
    async fn step(&self, target: &Target, pulse: &mut Pulse) -> Result<Next, ledger::Error> {
        let name = target.name.clone();
        let now = Utc::now();
        let at = now.timestamp_millis();
        let Some(state) = self.ledger.read(|db| table::state(db, &name))? else { return Ok(Next::Over) };
        pulse.seen = pulse.seen.max(state.planned);
        let (news, looked) = self.ledger.read(|db| table::news(db, &name, pulse.seen))?;
        pulse.seen = looked;
        let wanted: Vec<String> =
            news.iter().filter(|entry| schedule::wants(&target.rules, entry)).map(|entry| entry.id.clone()).collect();
        if !wanted.is_empty() {
            let name = name.clone();
            self.ledger.write(move |tx| table::owe(tx, &name, &wanted, looked, at)).await?;
            return Ok(Next::Go);
        }
        if !news.is_empty() {
            return Ok(Next::Go);
        }
        let waiting = self.ledger.read(|db| table::waiting(db, &name))?;
        if waiting.is_empty() {
            return Ok(Next::Wait(None));
        }
        let recent = self.ledger.read(|db| table::recent(db, &name, at - schedule::RATE_WINDOW_MS))?;
        match schedule::plan(&waiting, &target.rules, &state, recent, self.pace.patience, now, local_offset) {
            Plan::Nothing => Ok(Next::Wait(None)),
            Plan::Until(due) => Ok(Next::Wait(Some(Duration::from_millis(due.saturating_sub(at).unsigned_abs())))),
            Plan::HandOver(ids) => {
                if let Some(other) = target.rules.fallback.clone() {
                    tracing::warn!("{name} does not answer: {} notifications go to {other}", ids.len());
                    self.ledger.write(move |tx| table::hand_over(tx, &name, &other, &ids, at)).await?;
                    self.woken.send_replace(());
                }
                Ok(Next::Go)
            }
            Plan::Send(ids) => {
                let reminders: Vec<&str> =
                    waiting.iter().filter(|one| one.repeat_at.is_some()).map(|one| one.id.as_str()).collect();
                let reminders: Vec<bool> = ids.iter().map(|id| reminders.contains(&id.as_str())).collect();
                self.send(target, ids, reminders, pulse).await
            }
        }
    }

    async fn send(
        &self,
        target: &Target,
        ids: Vec<String>,
        reminders: Vec<bool>,
        pulse: &mut Pulse,
    ) -> Result<Next, ledger::Error> {
        let name = target.name.clone();
        let taken = self.ledger.write(move |tx| {
            let items = table::items(tx, &name, &ids)?;
            let reminds = |item: &Item| ids.iter().position(|id| *id == item.id).is_some_and(|at| reminders[at]);
            let items: Vec<(Item, bool)> =
                items.into_iter().map(|item| (reminds(&item), item)).map(|(r, i)| (i, r)).collect();
            // Somebody was faster than the reminder.
            let items: Vec<_> =
                items.into_iter().filter(|(item, reminder)| !(*reminder && item.acknowledged)).collect();
            let all: Vec<Item> = items.iter().map(|(item, _)| item.clone()).collect();
            table::sending(tx, &name, &all)?;
            Ok(items)
        });
        let items = taken.await?;
        let message = match items.as_slice() {
            [] => return Ok(Next::Go),
            [(item, reminder)] => {
                item.notice.as_ref().map(|notice| note::single(notice, item, *reminder, &target.texts))
            }
            several => Some(note::several(several, &target.texts, Utc::now())),
        };
        let verdict = match &message {
            Some(message) => self.call(target, message).await,
            None => Verdict::Refused("a newer logmedic wrote it".into()),
        };
        Ok(self.settle(target, items, verdict, pulse).await)
    }

    async fn call(&self, target: &Target, note: &Note) -> Verdict {
        match &target.way {
            Way::Webhook(hook) => trial::webhook(&self.http, hook, target.ca.as_deref(), note).await,
            Way::Email(mail) => email::deliver(mail, target.ca.as_deref(), note, self.pace.call).await,
            Way::Push(_) => {
                let hash = target.name.trim_start_matches("push:");
                match self.subscriptions() {
                    Err(error) => Verdict::NotSent(error.to_string()),
                    Ok(all) => match all.iter().find(|one| one.hash == hash) {
                        Some(subscription) => self.push_to(subscription, note).await,
                        None => Verdict::Gone,
                    },
                }
            }
        }
    }

    async fn push_to(&self, subscription: &Subscription, note: &Note) -> Verdict {
        let Way::Push(settings) = &self.push.way else { return Verdict::Refused("not for browsers".into()) };
        let client = self.http.client(&subscription.endpoint);
        push::deliver(client, &self.key, subscription, settings, note, Utc::now().timestamp()).await
    }

    /// Writes down what came of a call, however long that takes: a lost answer would mean a repeated message.
    async fn settle(&self, target: &Target, items: Vec<(Item, bool)>, verdict: Verdict, pulse: &mut Pulse) -> Next {
        let name = &target.name;
        match &verdict {
            Verdict::Refused(said) => tracing::error!("{name} refused a notification: {said}"),
            Verdict::NotSent(said) | Verdict::Unknown(said) if pulse.failures == 0 => {
                tracing::warn!("failed to reach {name}: {said}; tried again until it works");
            }
            _ => {}
        }
        loop {
            let (name, rules, items, verdict) = (name.clone(), target.rules.clone(), items.clone(), verdict.clone());
            let (at, pace) = (Utc::now().timestamp_millis(), self.pace);
            match self.ledger.write(move |tx| write_down(tx, &name, &rules, &items, &verdict, &pace, at)).await {
                Ok(()) => break,
                Err(error) => tracing::error!("{error}; the answer of {} waits for it", target.name),
            }
            tokio::time::sleep(self.pace.ledger_retry).await;
        }
        match verdict {
            Verdict::Arrived(_) => {
                pulse.failures = 0;
                Next::Go
            }
            Verdict::Gone => {
                tracing::info!("{name}: nobody listens there any more; it is taken out");
                Next::Over
            }
            Verdict::Refused(_) => {
                self.woken.send_replace(());
                Next::Go
            }
            Verdict::Limited(_) => Next::Go,
            Verdict::NotSent(_) | Verdict::Unknown(_) | Verdict::Dead(_) | Verdict::Token(_) | Verdict::Moved(_) => {
                let pace = &self.pace;
                let doubled = pace.backoff.saturating_mul(1 << pulse.failures.min(DOUBLINGS)).min(pace.backoff_cap);
                pulse.failures = pulse.failures.saturating_add(1);
                Next::Hold(doubled.mul_f64(0.8 + 0.4 * pulse.rng.unit()))
            }
        }
    }
}

fn write_down(
    tx: &ledger::rusqlite::Transaction<'_>,
    name: &str,
    rules: &Rules,
    items: &[(Item, bool)],
    verdict: &Verdict,
    pace: &ChannelPace,
    now: i64,
) -> ledger::rusqlite::Result<()> {
    let all: Vec<Item> = items.iter().map(|(item, _)| item.clone()).collect();
    match verdict {
        Verdict::Arrived(_) => {
            let told: Vec<(Item, bool, Option<i64>)> = items
                .iter()
                .map(|(item, reminder)| {
                    (item.clone(), *reminder, schedule::repeat_at(rules, item.rings && !item.silent, item.loud, now))
                })
                .collect();
            table::sent(tx, name, &told, now)
        }
        Verdict::Gone => table::unsubscribe(tx, name.trim_start_matches("push:"), None).map(|_| ()),
        Verdict::Limited(asked) => {
            table::failed(tx, name, &all, false, "429", now)?;
            let wait = asked.unwrap_or(pace.limited);
            table::hold(tx, name, now.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
        }
        Verdict::Refused(said) => {
            table::dead(tx, name, &all, said, now)?;
            match &rules.fallback {
                Some(other) => {
                    let ids: Vec<String> = all.iter().map(|item| item.id.clone()).collect();
                    table::hand_over(tx, name, other, &ids, now)
                }
                None => Ok(()),
            }
        }
        Verdict::Unknown(said) => table::failed(tx, name, &all, true, said, now),
        Verdict::NotSent(said) | Verdict::Dead(said) | Verdict::Token(said) => {
            table::failed(tx, name, &all, false, said, now)
        }
        Verdict::Moved(_) => table::failed(tx, name, &all, false, "moved", now),
    }
}
