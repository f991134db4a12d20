//! Calls the Bot API through teloxide, each call with a bounded time. I/O.

use std::time::Duration;

use teloxide::net::default_reqwest_settings;
use teloxide::payloads::{EditMessageTextSetters as _, SendMessageSetters as _};
use teloxide::requests::Requester as _;
use teloxide::types::{ChatId, InlineKeyboardMarkup, LinkPreviewOptions, MessageId, ReplyParameters};
use teloxide::{Bot, RequestError};

use super::compose::Rendered;
use super::judge::{Verdict, judge};
use super::settings::{Pace, TelegramSettings};

/// A connection that takes longer is as good as none.
const CONNECT: Duration = Duration::from_secs(5);

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Sent, as an answer to another where there is one.
    Post {
        /// The message it answers.
        reply_to: Option<i32>,
        /// It comes without a sound.
        silent: bool,
    },
    /// The text of this one is replaced.
    Amend(i32),
}

impl How {
    /// A new message with a sound, that answers none.
    pub(super) const fn loud() -> Self {
        Self::Post { reply_to: None, silent: false }
    }
}

/// A bot with a client of its own. Never printed: `Bot`'s `Debug` shows the token.
pub(super) struct Telegram {
    pub(super) bot: Bot,
    call: Duration,
}

impl Telegram {
    /// # Errors
    /// When the TLS setup of this system is unusable.
    pub(super) fn new(settings: &TelegramSettings) -> Result<Self, reqwest::Error> {
        let Pace { call, .. } = settings.pace;
        Self::patient(settings, call)
    }

    /// One whose calls may take so long.
    ///
    /// # Errors
    /// When the TLS setup of this system is unusable.
    pub(super) fn patient(settings: &TelegramSettings, call: Duration) -> Result<Self, reqwest::Error> {
        // Half of the call's time, so that "cannot connect" is told apart from "no answer".
        let mut client = default_reqwest_settings()
            .timeout(call)
            .connect_timeout(CONNECT.min(call / 2))
            // A redirect would carry the token, which is part of the path, to somebody else.
            .redirect(reqwest::redirect::Policy::none());
        let local = match settings.api_url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if local {
            client = client.no_proxy();
        }
        let bot = Bot::with_client(settings.token.expose(), client.build()?).set_api_url(settings.api_url.clone());
        Ok(Self { bot, call })
    }

    /// Sends or edits one message, and judges the answer. Without a keyboard, an edit takes away what was there.
    pub(super) async fn deliver(
        &self,
        chat: i64,
        how: How,
        message: &Rendered,
        keyboard: Option<InlineKeyboardMarkup>,
    ) -> Verdict {
        let preview = LinkPreviewOptions {
            is_disabled: true,
            url: None,
            prefer_small_media: false,
            prefer_large_media: false,
            show_above_text: false,
        };
        let (text, entities) = (message.text.clone(), message.entities.clone());
        let call = async {
            match how {
                How::Post { reply_to, silent } => {
                    let mut request =
                        self.bot.send_message(ChatId(chat), text).entities(entities).link_preview_options(preview);
                    if silent {
                        request = request.disable_notification(true);
                    }
                    if let Some(old) = reply_to {
                        request = request
                            .reply_parameters(ReplyParameters::new(MessageId(old)).allow_sending_without_reply());
                    }
                    if let Some(keyboard) = keyboard {
                        request = request.reply_markup(keyboard);
                    }
                    request.await.map(|message| Some(message.id.0))
                }
                How::Amend(id) => {
                    let mut request = self
                        .bot
                        .edit_message_text(ChatId(chat), MessageId(id), text)
                        .entities(entities)
                        .link_preview_options(preview);
                    if let Some(keyboard) = keyboard {
                        request = request.reply_markup(keyboard);
                    }
                    request.await.map(|_| None)
                }
            }
        };
        match self.within(call).await {
            Ok(id) => Verdict::Arrived(id),
            Err(verdict) => verdict,
        }
    }

    /// Runs a call with our own limit: on a 5xx teloxide sleeps 10 s before it says so.
    pub(super) async fn within<T>(&self, call: impl Future<Output = Result<T, RequestError>>) -> Result<T, Verdict> {
        match tokio::time::timeout(self.call, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(judge(&error)),
            Err(_) => Err(Verdict::Unknown(format!("no answer within {} s", self.call.as_secs_f32()))),
        }
    }
}
