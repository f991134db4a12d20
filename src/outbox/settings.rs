//! Says where alerts go and how fast. Pure.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::quiet::Quiet;
use crate::vocab::{Secret, Severity};

/// Language of the texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
}

impl Lang {
    /// The word in files: `en`, `es`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Es => "es",
        }
    }
}

/// Where alerts go.
#[derive(Clone, Debug)]
pub struct TelegramSettings {
    /// The alert bot's token.
    pub token: Secret,
    /// Base of the Bot API, `https://api.telegram.org`.
    pub api_url: url::Url,
    /// Chats that are told: people (positive) and groups (negative).
    pub admins: Vec<i64>,
    /// Language of the texts.
    pub language: Lang,
    /// The user's own texts: `LANG.toml` in here overrides single keys.
    pub templates_dir: Option<PathBuf>,
    /// Hours in which messages come without a sound, but for what is critical.
    pub quiet: Option<Quiet>,
    /// Whether admins may press buttons and ask: only with a bot of its own, whose messages nobody else reads.
    pub control: bool,
    /// Incidents that never were this severe are not told.
    pub min_severity: Severity,
    /// How fast, and when to group.
    pub pace: Pace,
}

/// How fast, how patient, and when to group. The defaults follow Telegram's own limits
/// (<https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this>): one message a second and
/// chat, twenty a minute and group, thirty a second in all; only `retry_after` really counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two calls for one private chat.
    pub chat_gap: Duration,
    /// Between two calls for one group.
    pub group_gap: Duration,
    /// Between any two calls (25 a second).
    pub global_gap: Duration,
    /// Between two edits of one message.
    pub edit_gap: Duration,
    /// More than this many new notices within [`Pace::window`] become one digest.
    pub group_over: usize,
    /// See [`Pace::group_over`].
    pub window: Duration,
    /// How long a digest takes up further notices.
    pub digest_open: Duration,
    /// An ending that needs a person and comes later than this after the message rings: it is a new message.
    pub ring_after: Duration,
    /// The longest one call may take; teloxide itself sleeps 10 s on a 5xx.
    pub call: Duration,
    /// First wait after a failure; doubles.
    pub backoff: Duration,
    /// Longest wait after a failure.
    pub backoff_cap: Duration,
    /// Between two tries of a token that Telegram refused.
    pub token_retry: Duration,
    /// Between two tries of a chat that cannot be reached.
    pub dead_retry: Duration,
    /// The wait after a 429 that names no time.
    pub limited: Duration,
    /// How long a stop waits for the last messages.
    pub drain: Duration,
    /// How long Telegram may keep a question for news open; 50 s are the most it does.
    pub poll: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            chat_gap: seconds(1),
            group_gap: seconds(3),
            global_gap: Duration::from_millis(40),
            edit_gap: seconds(3),
            group_over: 5,
            window: seconds(60),
            digest_open: seconds(600),
            ring_after: seconds(600),
            call: seconds(20),
            backoff: seconds(1),
            backoff_cap: seconds(300),
            token_retry: seconds(600),
            dead_retry: seconds(86_400),
            limited: seconds(30),
            drain: seconds(5),
            poll: seconds(50),
        }
    }
}
