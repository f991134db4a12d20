//! Says where notifications go besides Telegram: one channel with its rules, its words and its way there. Pure.

use std::path::PathBuf;

use super::schedule::Rules;
use super::settings::Lang;
use crate::vocab::Secret;

/// One configured channel.
#[derive(Clone, Debug)]
pub struct ChannelSettings {
    /// As configured; the name of its rows is [`ChannelSettings::full`].
    pub name: String,
    /// What it wants to be told, and when.
    pub rules: Rules,
    /// Language of the texts.
    pub language: Lang,
    /// The user's own texts: `LANG.toml` in here overrides single keys.
    pub templates_dir: Option<PathBuf>,
    /// Certificates (PEM) of authorities that are trusted besides the public ones.
    pub ca: Option<String>,
    /// How messages get there.
    pub way: Way,
}

impl ChannelSettings {
    /// The name of its rows: `webhook:NAME`, `email:NAME`; for `push` the start of many.
    #[must_use]
    pub fn full(&self) -> String {
        full(&self.way, &self.name)
    }
}

/// The name of the rows of a channel.
#[must_use]
pub fn full(way: &Way, name: &str) -> String {
    match way {
        Way::Webhook(_) => format!("webhook:{name}"),
        Way::Email(_) => format!("email:{name}"),
        Way::Push(_) => format!("push:{name}"),
    }
}

/// How messages get there.
#[derive(Clone, Debug)]
pub enum Way {
    /// An HTTP request to an address that the user wrote down.
    Webhook(WebhookSettings),
    /// Mail through a server.
    Email(EmailSettings),
    /// Every browser that subscribed.
    Push(PushSettings),
}

/// Whose form a webhook's request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Preset {
    /// `CloudEvents` 1.0, signed by Standard Webhooks.
    #[default]
    Cloudevents,
    /// Slack, and what understands the same (Mattermost, Rocket.Chat).
    Slack,
    /// Discord.
    Discord,
    /// ntfy; the address ends with the topic.
    Ntfy,
    /// Gotify; the address of the server.
    Gotify,
}

/// Where a webhook goes.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// The address; often itself a secret.
    pub url: Secret,
    /// Key of the signature, or the token of the service.
    pub secret: Option<Secret>,
    /// Whose form.
    pub preset: Preset,
}

/// Through whom mail goes, and to whom.
#[derive(Clone, Debug)]
pub struct EmailSettings {
    /// `smtps://USER@HOST` (TLS at once) or `smtp://USER@HOST` (STARTTLS; without TLS only to this machine).
    pub smtp: url::Url,
    /// The password of `USER`.
    pub password: Option<Secret>,
    /// Who writes.
    pub from: String,
    /// Who reads.
    pub to: Vec<String>,
}

/// Which push services may be called, and how they reach us.
#[derive(Clone, Debug, Default)]
pub struct PushSettings {
    /// `mailto:…` or `https://…`: whom a push service asks when something is wrong.
    pub contact: Option<String>,
    /// Hosts besides those of the known browsers.
    pub hosts: Vec<String>,
}
