//! Reads what admins press and ask in Telegram, and has it done. I/O.
//!
//! Long polling, so that nothing has to be reachable from outside. How far it was read is on the disk before anything is
//! obeyed: what is pressed is done once, or (a crash in between) not at all, and then the button is still there.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::future::BoxFuture;
use teloxide::payloads::{AnswerCallbackQuerySetters as _, GetUpdatesSetters as _};
use teloxide::requests::Requester as _;
use teloxide::types::{AllowedUpdate, CallbackQuery, InlineKeyboardMarkup, Message, Update, UpdateKind, User};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::answer::{self, Asked};
use super::compose::Rendered;
use super::control::{Press, Question, Strangers, question};
use super::judge::Verdict;
use super::render::order_word;
use super::settings::TelegramSettings;
use super::telegram::{How, Telegram};
use super::texts::Texts;
use crate::ledger::{Ledger, outbox as table};
use crate::vocab::{Rng, clean_line, redact, shorten};

/// Has a press done in the name of somebody; or says why it is not.
pub type Obey = Arc<dyn Fn(Press, String) -> BoxFuture<'static, Result<(), Refusal>> + Send + Sync>;

/// Why a press is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The incident is not any more as the message showed it.
    Changed,
    /// There is no such incident (any more).
    Gone,
    /// It cannot be done now, for this reason.
    Not(String),
    /// The agent is ending.
    Stopped,
}

/// The fact that says how far was read, and of which bot.
const OFFSET: &str = "telegram.offset";

/// How long the state database is left alone after an error.
const LEDGER_RETRY: Duration = Duration::from_secs(5);

/// A server that answers at once with nothing is not asked more often.
const GAP: Duration = Duration::from_secs(1);

/// How long a stop waits for an answer that is on its way.
const GOODBYE: Duration = Duration::from_secs(2);

/// Doublings of the wait after failures; more than the cap ever needs.
const DOUBLINGS: u32 = 16;

/// The longest answer to a press, in UTF-16 units, as Telegram takes it.
const ANSWER_MAX: usize = 200;

struct Ear {
    ledger: Ledger,
    settings: TelegramSettings,
    texts: Texts,
    telegram: Telegram,
    obey: Obey,
    strangers: Strangers,
    begun: Instant,
    stop: CancellationToken,
}

/// Listens until `stop`. Nothing here ends on an error.
pub async fn listen(ledger: Ledger, settings: TelegramSettings, obey: Obey, stop: CancellationToken) {
    let texts = Texts::load(settings.language, settings.templates_dir.as_deref())
        .unwrap_or_else(|_| Texts::shipped(settings.language));
    let telegram = match Telegram::patient(&settings, settings.pace.poll + settings.pace.call) {
        Ok(telegram) => telegram,
        Err(error) => {
            tracing::error!("failed to prepare the connection to Telegram: {error}; buttons do nothing");
            return;
        }
    };
    let strangers = Strangers::default();
    Ear { ledger, settings, texts, telegram, obey, strangers, begun: Instant::now(), stop }.run().await;
}

impl Ear {
    async fn run(&mut self) {
        // For jitter only.
        let mut rng = Rng::new(Utc::now().timestamp_micros().cast_unsigned());
        let stop = self.stop.clone();
        let mut failures: u32 = 0;
        loop {
            let asked = Instant::now();
            let heard = tokio::select! {
                heard = self.updates() => heard,
                () = stop.cancelled() => return,
            };
            let rest = match heard {
                Ok(updates) => {
                    if failures > 0 {
                        tracing::info!("Telegram says again what is pressed");
                    }
                    failures = 0;
                    let none = updates.is_empty();
                    for update in updates {
                        if stop.is_cancelled() || !self.take(update).await {
                            return;
                        }
                    }
                    if none { GAP.saturating_sub(asked.elapsed()) } else { Duration::ZERO }
                }
                Err(verdict) => {
                    if failures == 0 {
                        tracing::warn!("{}", complaint(&verdict));
                    }
                    let pace = &self.settings.pace;
                    let doubled = pace.backoff.saturating_mul(1 << failures.min(DOUBLINGS)).min(pace.backoff_cap);
                    failures = failures.saturating_add(1);
                    match verdict {
                        Verdict::Limited(asked) => asked.unwrap_or(pace.limited),
                        Verdict::Token(_) => pace.token_retry,
                        _ => doubled.mul_f64(0.8 + 0.4 * rng.unit()),
                    }
                }
            };
            tokio::select! {
                () = sleep(rest) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Whose updates are counted: another bot counts from elsewhere.
    fn bot(&self) -> &str {
        self.settings.token.bot_id().unwrap_or_default()
    }

    /// What was pressed and asked since the last time.
    async fn updates(&self) -> Result<Vec<Update>, Verdict> {
        let read = self.ledger.fact(OFFSET).map_err(|error| Verdict::NotSent(error.to_string()))?;
        let offset = read.as_deref().and_then(|text| text.split_once(' ')).filter(|(bot, _)| *bot == self.bot());
        let seconds = u32::try_from(self.settings.pace.poll.as_secs()).unwrap_or(0);
        let mut request = self
            .telegram
            .bot
            .get_updates()
            .timeout(seconds)
            .allowed_updates([AllowedUpdate::Message, AllowedUpdate::CallbackQuery]);
        if let Some(offset) = offset.and_then(|(_, number)| number.parse().ok()) {
            request = request.offset(offset);
        }
        self.telegram.within(async { request.await }).await
    }

    /// Notes that this was read, then obeys; `false` when it is time to stop.
    async fn take(&mut self, update: Update) -> bool {
        // `as_offset` would panic at the last number.
        let next = format!("{} {}", self.bot(), i64::from(update.id.0) + 1);
        while let Err(error) = self.ledger.set_fact(OFFSET, next.clone()).await {
            tracing::error!("{error}; what is pressed in Telegram waits for it");
            tokio::select! {
                () = sleep(LEDGER_RETRY) => {}
                () = self.stop.cancelled() => return false,
            }
        }
        match update.kind {
            UpdateKind::CallbackQuery(query) => self.pressed(query).await,
            UpdateKind::Message(message) => self.said(message).await,
            _ => {}
        }
        true
    }

    fn is_admin(&self, user: &User) -> bool {
        i64::try_from(user.id.0).is_ok_and(|id| self.settings.admins.contains(&id))
    }

    /// Whether a stranger hears a word.
    fn refuses(&mut self, user: &User) -> bool {
        let now = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.strangers.refuse(user.id.0, now)
    }

    async fn pressed(&mut self, query: CallbackQuery) {
        let (said, alert) = if !self.is_admin(&query.from) {
            if !self.refuses(&query.from) {
                return;
            }
            (self.texts.get("control.stranger").to_owned(), true)
        } else if let Some(press) = query.data.as_deref().and_then(Press::read) {
            match (self.obey)(press, format!("telegram:{}", query.from.id.0)).await {
                Ok(()) => (order_word(press.deed.as_str(), &self.texts), false),
                Err(refusal) => (self.excuse(press, refusal), true),
            }
        } else {
            (self.texts.get("control.unknown").to_owned(), true)
        };
        let said = shorten(&clean_line(&redact(&said)), ANSWER_MAX).into_owned();
        let answer = self.telegram.bot.answer_callback_query(query.id).text(said).show_alert(alert);
        // Only a word on the screen of whoever pressed; the message itself tells what came of it.
        if let Some(Err(verdict)) = self.briefly(self.telegram.within(async { answer.await })).await {
            tracing::debug!("a press in Telegram was not answered: {verdict:?}");
        }
    }

    /// Why a press did nothing: who was faster, where somebody was.
    fn excuse(&self, press: Press, refusal: Refusal) -> String {
        match refusal {
            Refusal::Changed => {
                let orders = self.ledger.read(|db| table::orders(db, &press.incident.to_string())).unwrap_or_default();
                match orders.last() {
                    Some(last) => {
                        let what = order_word(&last.order, &self.texts);
                        self.texts.fill("control.decided", &[("what", &what), ("by", &last.by)])
                    }
                    None => self.texts.get("control.changed").to_owned(),
                }
            }
            Refusal::Gone => self.texts.get("control.gone").to_owned(),
            Refusal::Not(why) => self.texts.fill("control.refused", &[("why", &why)]),
            Refusal::Stopped => self.texts.get("control.stopping").to_owned(),
        }
    }

    async fn said(&mut self, message: Message) {
        let chat = message.chat.id.0;
        let private = message.chat.is_private();
        let Some(user) = message.from.as_ref() else { return };
        if !self.is_admin(user) {
            // In a group people talk to each other.
            if private && self.refuses(user) {
                let no = answer::line(self.texts.get("control.stranger"));
                self.answer(chat, (no, None)).await;
            }
            return;
        }
        // What an admin asks in a group of strangers is not told there.
        if !private && !self.settings.admins.contains(&chat) {
            return;
        }
        let Some(asked) = message.text().and_then(question) else { return };
        match self.look(asked) {
            Ok(rows) => self.answer(chat, answer::answer(&rows, &self.texts)).await,
            Err(error) => tracing::error!("{error}; a question in Telegram is not answered"),
        }
    }

    fn look(&self, asked: Question) -> Result<Asked, crate::ledger::Error> {
        let shown = answer::SHOWN;
        self.ledger.read(|db| {
            Ok(match asked {
                Question::Help => Asked::Help,
                Question::Status => Asked::Status(table::open_incidents(db, 0)?, table::active_jobs(db, 0)?),
                Question::Incidents => Asked::Incidents(table::open_incidents(db, shown)?),
                Question::Jobs => Asked::Jobs(table::active_jobs(db, shown)?),
            })
        })
    }

    async fn answer(&self, chat: i64, (message, keyboard): (Rendered, Option<InlineKeyboardMarkup>)) {
        let verdict = self.briefly(self.telegram.deliver(chat, How::loud(), &message, keyboard)).await;
        match verdict {
            Some(Verdict::Arrived(_)) | None => {}
            Some(other) => tracing::warn!("failed to answer a question in Telegram: {other:?}"),
        }
    }

    /// A short call; `None` when it took too long, or when it is time to stop.
    async fn briefly<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let late = async {
            self.stop.cancelled().await;
            sleep(GOODBYE).await;
        };
        tokio::select! {
            done = timeout(self.settings.pace.call, call) => done.ok(),
            () = late => None,
        }
    }
}

fn complaint(verdict: &Verdict) -> String {
    match verdict {
        // "terminated by other getUpdates request", "can't use getUpdates method while webhook is active"
        Verdict::Refused(said) | Verdict::Dead(said) => format!(
            "Telegram does not say what is pressed: {said}; another program reads the messages of the alert bot: give logmedic a bot of its own ([telegram] token_file). Tried again until it works"
        ),
        Verdict::NotSent(said) | Verdict::Unknown(said) | Verdict::Token(said) => {
            format!("failed to ask Telegram what is pressed: {said}; tried again until it works")
        }
        other => format!("failed to ask Telegram what is pressed: {other:?}; tried again until it works"),
    }
}
