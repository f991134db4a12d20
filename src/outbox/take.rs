//! Takes the next message out of the ledger and puts back what came of it, each in one transaction. I/O through the ledger.

use std::time::Duration;

use chrono::{DateTime, Offset as _, TimeZone as _, Utc};
use teloxide::types::{InlineKeyboardButton, InlineKeyboardButtonKind, InlineKeyboardMarkup};

use super::compose::Rendered;
use super::control::{Press, buttons};
use super::judge::Verdict;
use super::plan::{Plan, View, plan};
use super::render::{digest, ordered, render};
use super::settings::TelegramSettings;
use super::telegram::How;
use super::texts::Texts;
use crate::ledger::outbox::{self as table, DIGEST, Ordered};
use crate::ledger::rusqlite::{self, Connection, Transaction};
use crate::vocab::{Notice, Severity};

/// Steps of planning in one transaction; each groups, rings or skips at least one notice.
const ROUNDS: usize = 200;

/// So many orders of people are shown below a message.
const ORDERS_SHOWN: usize = 3;

/// One call that is about to be made; its row says `sending`.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) chat: i64,
    pub(super) target: i64,
    pub(super) key: String,
    pub(super) how: How,
    pub(super) message: Rendered,
    pub(super) keyboard: Option<InlineKeyboardMarkup>,
    shown: i64,
    plain: bool,
    told: Vec<(String, i64)>,
}

/// What the chat's loop does after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Goes on at the usual pace.
    Next,
    /// Waits longer each time.
    BackOff,
    /// Waits as asked, or until the chat may be tried again; the ledger knows until when.
    Held,
    /// The token is not taken: all chats wait.
    Pause,
}

pub(super) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What a chat should be told next.
pub(super) fn look(
    connection: &Connection,
    chat: i64,
    settings: &TelegramSettings,
    now: i64,
) -> rusqlite::Result<Plan> {
    let owed = table::owed(connection, chat, settings.min_severity)?;
    if owed.is_empty() {
        return Ok(Plan::Nothing);
    }
    let digests = table::digests(connection, chat)?;
    let recent = table::recent(connection, chat, now.saturating_sub(ms(settings.pace.window)))?;
    Ok(plan(&View { owed, digests, recent }, &settings.pace, now))
}

/// The next call for a chat, marked as `sending`; `None` when there is none right now.
pub(super) fn take(
    tx: &Transaction<'_>,
    chat: i64,
    settings: &TelegramSettings,
    texts: &Texts,
    now: i64,
) -> rusqlite::Result<Option<Job>> {
    for _ in 0..ROUNDS {
        match look(tx, chat, settings, now)? {
            Plan::Nothing | Plan::Until(_) => return Ok(None),
            Plan::Group { digest, keys } => table::group(tx, chat, &digest, &keys)?,
            Plan::Ring(key) => table::ring(tx, chat, &key)?,
            Plan::Post(key) | Plan::Amend(key) => {
                if let Some(job) = prepare(tx, chat, &key, settings, texts, now)? {
                    return Ok(Some(job));
                }
            }
        }
    }
    Ok(None)
}

/// The buttons below a message.
fn keys(notice: &Notice, orders: &[Ordered], texts: &Texts) -> Option<InlineKeyboardMarkup> {
    let taken_over = orders.iter().any(|one| one.order == "acknowledge");
    let key = |press: Press| {
        InlineKeyboardButton::callback(texts.get(&format!("button.{}", press.deed.as_str())), press.data())
    };
    let rows = buttons(notice, taken_over);
    (!rows.is_empty())
        .then(|| InlineKeyboardMarkup::new(rows.into_iter().map(|row| row.into_iter().map(key).collect::<Vec<_>>())))
}

/// The data of all buttons: what the fingerprint of a message needs of them.
fn pressed(keyboard: Option<&InlineKeyboardMarkup>) -> String {
    let keys = keyboard.into_iter().flat_map(|keyboard| keyboard.inline_keyboard.iter().flatten());
    keys.filter_map(|key| match &key.kind {
        InlineKeyboardButtonKind::CallbackData(data) => Some(data.as_str()),
        _ => None,
    })
    .collect()
}

/// The message with who ordered what, the latest last.
fn decided(message: Rendered, orders: &[Ordered], texts: &Texts) -> Rendered {
    let skipped = orders.len().saturating_sub(ORDERS_SHOWN);
    orders.iter().skip(skipped).fold(message, |message, one| message.with_last(ordered(one, texts)))
}

/// Whether people want to be left alone now.
fn is_quiet(settings: &TelegramSettings, now: i64) -> bool {
    let now = DateTime::from_timestamp_millis(now);
    settings.quiet.zip(now).is_some_and(|(quiet, now)| quiet.until(now, local_offset).is_some())
}

/// How many seconds the machine's clock of the wall is ahead at a moment.
pub(super) fn local_offset(at: DateTime<Utc>) -> i32 {
    chrono::Local.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()
}

fn prepare(
    tx: &Transaction<'_>,
    chat: i64,
    key: &str,
    settings: &TelegramSettings,
    texts: &Texts,
    now: i64,
) -> rusqlite::Result<Option<Job>> {
    let delivery = table::delivery(tx, chat, key)?.unwrap_or_default();
    let mut keyboard = None;
    let (told, critical, mut message) = if key.starts_with(DIGEST) {
        let members = table::members(tx, chat, key)?;
        let told = members.iter().map(|(key, revision, _)| (key.clone(), *revision)).collect();
        let notices: Vec<_> = members.into_iter().filter_map(|(_, _, notice)| notice).collect();
        let critical = notices.iter().any(|notice| notice.severity == Severity::Critical);
        (told, critical, Some(digest(&notices, delivery.folded, texts)))
    } else {
        let Some((revision, notice)) = table::notice(tx, key)? else { return Ok(None) };
        let critical = notice.as_ref().is_some_and(|notice| notice.severity == Severity::Critical);
        let orders = table::orders(tx, key)?;
        keyboard = notice.as_ref().filter(|_| settings.control).and_then(|notice| keys(notice, &orders, texts));
        let message = notice.map(|notice| decided(render(&notice, texts), &orders, texts));
        (vec![(key.to_owned(), revision)], critical, message)
    };
    table::sending(tx, chat, key)?;
    if delivery.plain {
        message = message.map(|message| message.first_line());
    }
    let shown = message.as_ref().map_or(0, |message| message.fingerprint_with(&pressed(keyboard.as_ref())));
    let (Some(message), true) = (&message, delivery.message_id.is_none() || shown != delivery.shown) else {
        // The same text, or a notice that a newer logmedic wrote: nothing to show.
        table::skipped(tx, chat, key, &told)?;
        table::finish(tx, settings.min_severity)?;
        return Ok(None);
    };
    let mut message = message.clone();
    let how = match delivery.message_id {
        Some(id) => How::Amend(id),
        None => How::Post { reply_to: delivery.reply_to, silent: !critical && is_quiet(settings, now) },
    };
    if delivery.unsure && matches!(how, How::Post { .. }) {
        message = message.with_last_line(texts.get("line.repeat"));
    }
    let target = table::chat(tx, chat)?.target;
    Ok(Some(Job { chat, target, key: key.to_owned(), how, message, keyboard, shown, plain: delivery.plain, told }))
}

/// Writes down what came of a call.
pub(super) fn settle(
    tx: &Transaction<'_>,
    job: &Job,
    verdict: &Verdict,
    settings: &TelegramSettings,
    now: i64,
) -> rusqlite::Result<After> {
    let (chat, key) = (job.chat, job.key.as_str());
    let posting = matches!(job.how, How::Post { .. });
    let again = |unsure, counts, error: &str| table::failed(tx, chat, key, unsure, counts, error);
    match verdict {
        Verdict::Arrived(id) => {
            let old = if let How::Amend(id) = job.how { id } else { 0 };
            let sent = table::Sent {
                message_id: id.unwrap_or(old),
                shown: job.shown,
                at: now,
                posted: posting,
                told: &job.told,
                least: settings.min_severity,
            };
            table::hold(tx, chat, 0, None)?;
            table::sent(tx, chat, key, &sent)?;
            Ok(After::Next)
        }
        Verdict::Gone => table::gone(tx, chat, key).map(|()| After::Next),
        Verdict::Limited(asked) => {
            again(false, false, "429")?;
            table::hold(tx, chat, now.saturating_add(ms(asked.unwrap_or(settings.pace.limited))), None)?;
            Ok(After::Held)
        }
        Verdict::NotSent(error) => again(false, false, error).map(|()| After::BackOff),
        Verdict::Unknown(error) => again(posting, true, error).map(|()| After::BackOff),
        Verdict::Refused(error) => {
            let given_up = job.plain.then_some(job.told.as_slice());
            table::refused(tx, chat, key, given_up, error)?;
            table::finish(tx, settings.min_severity)?;
            Ok(After::Next)
        }
        Verdict::Dead(error) => {
            again(false, false, error)?;
            table::hold(tx, chat, now.saturating_add(ms(settings.pace.dead_retry)), Some(error))?;
            table::finish(tx, settings.min_severity)?;
            Ok(After::Held)
        }
        Verdict::Moved(target) if *target != job.target => {
            again(false, false, "the group has a new number")?;
            table::migrate(tx, chat, *target)?;
            Ok(After::Next)
        }
        Verdict::Moved(_) => again(false, false, "the group moves in circles").map(|()| After::BackOff),
        Verdict::Token(error) => again(false, false, error).map(|()| After::Pause),
    }
}
