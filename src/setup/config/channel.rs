//! Models `[[channel]]`: where notifications go besides Telegram. Pure.

use super::{Deserialize, FilePath, JsonSchema, Language, Period, Secret, Serialize, Severity};
use crate::outbox::Preset;

/// A place to which notifications go besides Telegram: a webhook, mail, or browsers that subscribed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Channel {
    /// A name of your choice. Must be unique.
    pub name: String,
    /// `webhook`, `email`, or `push` (browsers that subscribed in the dashboard; at most one such entry, which sets their
    /// rules).
    pub kind: ChannelKind,
    /// Whose form a webhook's requests have: `cloudevents` (signed), `slack`, `discord`, `ntfy`, `gotify`.
    #[serde(default)]
    pub preset: Preset,
    /// The webhook's address. It is called as you write it, also inside your own network; redirects are not followed.
    #[serde(default)]
    pub url: Option<Secret>,
    /// File that holds the address, for services whose address is the secret.
    #[serde(default)]
    pub url_file: Option<FilePath>,
    /// Key of the signature (Standard Webhooks, HMAC-SHA256), token of ntfy or Gotify, or password of the mail server; better
    /// in a file.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// File that holds the secret; nobody but its owner and group may read it.
    #[serde(default)]
    pub secret_file: Option<FilePath>,
    /// File with the certificate (PEM) of your own authority: what it signed is trusted by this channel besides what the public
    /// ones did. For a webhook or mail server inside your network.
    #[serde(default)]
    pub ca_file: Option<FilePath>,
    /// Mail server: `smtps://USER@HOST` (TLS) or `smtp://USER@HOST` (STARTTLS; without TLS only on this machine).
    #[serde(default)]
    pub smtp: Option<String>,
    /// Sender of mail; for browsers the contact of whoever runs logmedic (`mailto:…`), which push services want.
    #[serde(default)]
    pub from: Option<String>,
    /// Who gets the mail.
    #[serde(default)]
    pub to: Vec<String>,
    /// What never was this severe is not sent: `info`, `warning`, `error`, `critical`.
    #[serde(default = "Channel::default_level")]
    pub min_level: Severity,
    /// Only these: classes of incidents, and `bot`, `agent`, `probe`, `operation`, `custom`. Empty: everything.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Hours in which only what is critical is sent, the rest afterwards: `"23:00-07:00"` by this machine's clock, or
    /// `"23:00-07:00 UTC"`, `"23:00-07:00 +02:00"`.
    #[serde(default)]
    pub quiet: Option<String>,
    /// What comes within this time is one message; what is critical comes at once.
    #[serde(default)]
    pub digest: Option<Period>,
    /// Name of the channel that takes over what this one refuses, or has not taken for five minutes.
    #[serde(default)]
    pub fallback: Option<String>,
    /// An error that needs a person is sent again after this time, until somebody acknowledges it.
    #[serde(default)]
    pub repeat: Option<Period>,
    /// So many messages a minute at most (1 to 600); what is more waits and becomes one message.
    #[serde(default = "Channel::default_rate")]
    pub rate: u32,
    /// Language of this channel's texts, when it is another than the rest.
    #[serde(default)]
    pub language: Option<Language>,
    /// Directory with texts of your own; what is not there is taken from the shipped ones.
    #[serde(default)]
    pub templates: Option<FilePath>,
    /// Push services that may be called besides those of the known browsers, by the name of their host.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// What kind of place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ChannelKind {
    /// An HTTP request.
    Webhook,
    /// Mail.
    Email,
    /// Browsers.
    Push,
}

impl ChannelKind {
    /// The word; channels are called `KIND:NAME` in lists.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Email => "email",
            Self::Push => "push",
        }
    }
}

impl Channel {
    const fn default_level() -> Severity {
        Severity::Warning
    }

    const fn default_rate() -> u32 {
        20
    }
}
