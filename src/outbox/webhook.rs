//! Calls webhooks: signed, with an identifier that stays the same when it has to be sent again. I/O.

use std::time::Duration;

use chrono::Utc;

use super::channel::WebhookSettings;
use super::judge::{Verdict, bounded, by_status};
use super::note::Note;
use super::presets;

/// What a receiver may say; more is not read.
const ANSWER: usize = 512;

/// A client for webhooks: no redirects, because what they lead to was not written down by the user.
///
/// # Errors
/// When the TLS setup of this system is unusable.
pub(super) fn client(timeout: Duration, proxy: bool, ca: Option<&str>) -> Result<reqwest::Client, reqwest::Error> {
    let mut client = reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout / 2)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("logmedic/", env!("CARGO_PKG_VERSION")));
    for certificate in
        ca.map(|pem| reqwest::Certificate::from_pem_bundle(pem.as_bytes())).transpose()?.unwrap_or_default()
    {
        client = client.add_root_certificate(certificate);
    }
    if proxy { client.build() } else { client.no_proxy().build() }
}

/// Whether a text holds certificates of authorities that can be trusted.
///
/// # Errors
/// A sentence that says why not.
pub fn check_ca(pem: &str) -> Result<(), String> {
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err("there is no certificate in it".into());
    }
    client(Duration::from_secs(1), false, Some(pem))
        .map(drop)
        .map_err(|_| "it holds a certificate that cannot be read".into())
}

/// Sends one message and judges the answer.
pub(super) async fn deliver(
    client: &reqwest::Client,
    settings: &WebhookSettings,
    note: &Note,
    source: &str,
) -> Verdict {
    let call = match presets::call(settings, note, source) {
        Ok(call) => call,
        Err(error) => return Verdict::Refused(error),
    };
    let mut request = client.post(call.url);
    for (name, value) in call.headers {
        request = request.header(name, value);
    }
    if call.signed {
        let seconds = Utc::now().timestamp();
        request = request.header("webhook-id", &note.event).header("webhook-timestamp", seconds.to_string());
        if let Some(secret) = &settings.secret {
            let signature = presets::signature(secret.expose(), &note.event, seconds, &call.body);
            request = request.header("webhook-signature", signature);
        }
    }
    answer(request.body(call.body)).await
}

/// Makes a call and judges what came of it.
pub(super) async fn answer(request: reqwest::RequestBuilder) -> Verdict {
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => return by_call(&error),
    };
    let status = response.status().as_u16();
    let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while body.len() < ANSWER && !response.status().is_success() {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(ANSWER)]),
            _ => break,
        }
    }
    by_status(status, after.as_deref(), &String::from_utf8_lossy(&body))
}

/// What a failed call of reqwest means.
fn by_call(error: &reqwest::Error) -> Verdict {
    let mut said = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        said = format!("{said}{}{error}", if said.is_empty() { "" } else { ": " });
        cause = error.source();
    }
    // The address itself may be a secret: only the causes are told.
    let said = bounded(if said.is_empty() { "the call failed" } else { &said });
    if error.is_connect() || error.is_builder() { Verdict::NotSent(said) } else { Verdict::Unknown(said) }
}
