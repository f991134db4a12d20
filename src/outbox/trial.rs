//! Tries channels at once, shows what they would be sent, and makes the clients that call them. I/O.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::channel::{ChannelSettings, PushSettings, Way, WebhookSettings};
use super::deliver::ChannelPace;
use super::judge::Verdict;
use super::note::{self, Note};
use super::texts::Texts;
use super::{email, presets, push, webhook};
use crate::ledger::channels::Subscription;
use crate::vocab::rfc3339;

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tried {
    /// `telegram`, `webhook:NAME`, `email:NAME`, `push:HASH`.
    pub channel: String,
    /// It arrived.
    pub ok: bool,
    /// What the other side said, or what failed.
    pub detail: String,
}

/// Clients for addresses of the net and of this machine, and how we name ourselves.
pub(super) struct Http {
    far: reqwest::Client,
    near: reqwest::Client,
    patience: Duration,
    pub(super) source: String,
}

impl Http {
    pub(super) fn new(pace: &ChannelPace) -> Result<Self, String> {
        let client = |proxy| {
            webhook::client(pace.call, proxy, None)
                .map_err(|error| format!("failed to prepare TLS for channels: {error}"))
        };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
        Ok(Self { far: client(true)?, near: client(false)?, patience: pace.call, source: format!("/logmedic/{host}") })
    }

    /// The client for an address, trusting this authority besides the public ones. One with its own authority is made for
    /// each message: those are few, and nothing has to be kept.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub(super) fn trusting(&self, address: &str, ca: Option<&str>) -> Result<reqwest::Client, String> {
        match ca {
            None => Ok(self.client(address).clone()),
            Some(_) => webhook::client(self.patience, !is_near(address), ca)
                .map_err(|error| format!("failed to use ca_file: {error}")),
        }
    }

    /// A proxy is for other machines.
    pub(super) fn client(&self, address: &str) -> &reqwest::Client {
        if is_near(address) { &self.near } else { &self.far }
    }
}

/// Whether an address is on this machine.
fn is_near(address: &str) -> bool {
    url::Url::parse(address).is_ok_and(|url| match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    })
}

/// A channel's words.
pub(super) fn texts(settings: &ChannelSettings) -> Texts {
    Texts::load(settings.language, settings.templates_dir.as_deref()).unwrap_or_else(|error| {
        tracing::error!("{error}; the shipped texts are used");
        Texts::shipped(settings.language)
    })
}

/// A message that tries a channel.
pub(super) fn trial(name: &str, texts: &Texts, at: DateTime<Utc>) -> Note {
    note::trial(&texts.trial(name, at), texts)
}

/// What a channel would be sent, as it stands on the wire but for signatures.
///
/// # Errors
/// When its address cannot be used.
pub fn preview(settings: &ChannelSettings, note: &Note) -> Result<String, String> {
    match &settings.way {
        Way::Webhook(hook) => presets::call(hook, note, "/logmedic").map(|call| call.body),
        Way::Email(mail) => {
            email::message(mail, note).map(|mail| String::from_utf8_lossy(&mail.formatted()).into_owned())
        }
        Way::Push(_) => Ok(push::payload(note)),
    }
}

/// Tries one webhook or mail channel without the ledger; browsers are known only to the running agent.
pub async fn try_channel(settings: &ChannelSettings, pace: &ChannelPace) -> Tried {
    let channel = settings.full();
    let note = trial(&channel, &texts(settings), Utc::now());
    let ca = settings.ca.as_deref();
    let verdict = match (Http::new(pace), &settings.way) {
        (Err(error), _) => Verdict::NotSent(error),
        (Ok(http), Way::Webhook(hook)) => webhook(&http, hook, ca, &note).await,
        (Ok(_), Way::Email(mail)) => email::deliver(mail, ca, &note, pace.call).await,
        (Ok(_), Way::Push(_)) => Verdict::NotSent("browsers are told by the running logmedic: try it there".into()),
    };
    tried(channel, &verdict)
}

/// Sends one message to a webhook.
pub(super) async fn webhook(http: &Http, hook: &WebhookSettings, ca: Option<&str>, note: &Note) -> Verdict {
    match http.trusting(hook.url.expose(), ca) {
        Ok(client) => webhook::deliver(&client, hook, note, &http.source).await,
        Err(error) => Verdict::NotSent(error),
    }
}

/// What came of a trial, in words.
pub(super) fn tried(channel: String, verdict: &Verdict) -> Tried {
    let (ok, detail) = match verdict {
        Verdict::Arrived(_) => (true, "delivered".to_owned()),
        Verdict::Limited(_) => (false, "429: it asks to wait".to_owned()),
        Verdict::Gone => (false, "nobody listens there any more".to_owned()),
        Verdict::NotSent(said) | Verdict::Unknown(said) | Verdict::Refused(said) => (false, said.clone()),
        Verdict::Dead(said) | Verdict::Token(said) => (false, said.clone()),
        Verdict::Moved(_) => (false, "moved".to_owned()),
    };
    Tried { channel, ok, detail }
}

/// What a browser sent, as it is stored.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn subscription(
    endpoint: &str,
    (p256dh, auth): (&str, &str),
    account: &str,
    language: Option<&str>,
    settings: &PushSettings,
) -> Result<Subscription, String> {
    push::check(endpoint, p256dh, auth, settings)?;
    Ok(Subscription {
        hash: push::hash(endpoint),
        endpoint: endpoint.to_owned(),
        p256dh: p256dh.to_owned(),
        auth: auth.to_owned(),
        account: account.to_owned(),
        language: language.filter(|word| matches!(*word, "en" | "es")).map(str::to_owned),
        at: rfc3339(Utc::now()),
    })
}
