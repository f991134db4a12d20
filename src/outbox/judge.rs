//! Judges what Telegram answered: arrived, wait, gone, never, or nobody knows. Pure.
//!
//! teloxide's typed errors lag behind the server's texts (with 0.17 many come as `Unknown`), so the texts themselves are
//! matched. Texts as the Bot API server 10.0 writes them.

use std::time::Duration;

use serde::Deserialize;
use teloxide::RequestError;

use crate::vocab::{clean_line, redact, shorten};

/// Errors are stored and logged; bodies of broken proxies are long.
const ERROR_LIMIT: usize = 200;

/// The longest wait a server may ask for; a longer one is a mistake or an attack on the alerts.
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is there; the message's number where the answer told one.
    Arrived(Option<i32>),
    /// The message to edit is not there any more.
    Gone,
    /// Asked to slow down; for how long, where it was said.
    Limited(Option<Duration>),
    /// It certainly did not leave.
    NotSent(String),
    /// It may have arrived.
    Unknown(String),
    /// The text is not taken.
    Refused(String),
    /// The chat cannot be written to.
    Dead(String),
    /// The group has this number now.
    Moved(i64),
    /// The token is not taken.
    Token(String),
}

/// What an error of teloxide means.
pub(super) fn judge(error: &RequestError) -> Verdict {
    match error {
        RequestError::RetryAfter(seconds) => Verdict::Limited(Some(wait(u64::from(seconds.seconds())))),
        RequestError::MigrateToChatId(chat) => Verdict::Moved(chat.0),
        RequestError::Api(teloxide::ApiError::Unknown(text)) => by_text(text),
        // teloxide folds "Unauthorized" and every "Not Found" into this one.
        RequestError::Api(teloxide::ApiError::InvalidToken) => Verdict::Token("Unauthorized".into()),
        RequestError::Api(api) => by_text(&api.to_string()),
        RequestError::InvalidJson { raw, .. } => by_body(raw),
        RequestError::Network(network) if network.is_connect() || network.is_builder() => {
            Verdict::NotSent(bounded(&chain(error)))
        }
        RequestError::Network(_) | RequestError::Io(_) => Verdict::Unknown(bounded(&chain(error))),
    }
}

/// An error with its causes: "error sending request" alone helps nobody.
fn chain(error: &RequestError) -> String {
    let mut out = match error {
        RequestError::Network(network) => network.to_string(),
        other => other.to_string(),
    };
    let mut cause = std::error::Error::source(error).and_then(std::error::Error::source);
    while let Some(error) = cause {
        out = format!("{out}: {error}");
        cause = error.source();
    }
    out
}

pub(super) fn bounded(text: &str) -> String {
    shorten(&clean_line(&redact(text)), ERROR_LIMIT).into_owned()
}

fn wait(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(LONGEST_WAIT)
}

/// An answer that teloxide cannot read: a newer server's, a proxy's, or cut.
#[derive(Deserialize)]
struct Body {
    ok: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    result: serde_json::Value,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

fn by_body(raw: &str) -> Verdict {
    let Ok(body) = serde_json::from_str::<Body>(raw) else {
        return Verdict::Unknown(format!("unreadable answer: {}", bounded(raw)));
    };
    if body.ok {
        let id = body.result.get("message_id").and_then(serde_json::Value::as_i64);
        return Verdict::Arrived(id.and_then(|id| i32::try_from(id).ok()));
    }
    match body.parameters {
        Parameters { retry_after: Some(seconds), .. } => Verdict::Limited(Some(wait(seconds))),
        Parameters { migrate_to_chat_id: Some(chat), .. } => Verdict::Moved(chat),
        Parameters { .. } => by_text(&body.description),
    }
}

/// What the status of an HTTP answer means; `retry_after` is its header.
pub(super) fn by_status(status: u16, retry_after: Option<&str>, body: &str) -> Verdict {
    let asked = || retry_after.and_then(|text| text.trim().parse().ok()).map(wait);
    let said = bounded(&format!("{status} {}", body.trim()));
    match status {
        200..=299 => Verdict::Arrived(None),
        429 => Verdict::Limited(asked()),
        503 if retry_after.is_some() => Verdict::Limited(asked()),
        // It may have been taken before it was too late.
        408 | 425 | 500..=599 => Verdict::Unknown(said),
        300..=399 => {
            Verdict::Refused(bounded(&format!("{status}: redirects are not followed; write the final address")))
        }
        _ => Verdict::Refused(said),
    }
}

fn by_text(text: &str) -> Verdict {
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if lower.contains("too many requests") || lower.contains("flood") {
        let seconds = lower.rsplit(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty());
        return Verdict::Limited(seconds.and_then(|digits| digits.parse().ok()).map(wait));
    }
    if has(&["message is not modified"]) {
        return Verdict::Arrived(None);
    }
    if has(&["message to edit not found", "message can't be edited", "message_id_invalid", "message identifier is not"])
    {
        return Verdict::Gone;
    }
    let error = bounded(text);
    // Forbidden is about the chat, also as the older servers write it ("Unauthorized: bot was kicked from a chat").
    if has(&[
        "forbidden",
        "chat not found",
        "bot was kicked",
        "can't initiate conversation",
        "can't send messages to bots",
        "user is deactivated",
        "group is deactivated",
        "not enough rights",
        "have no rights",
        "need administrator rights",
        "write_forbidden",
        "peer_id_invalid",
        "chat_restricted",
        "upgraded to a supergroup",
        "topic_closed",
    ]) {
        return Verdict::Dead(error);
    }
    if has(&["unauthorized", "misdirected request", "logged out"]) || lower == "not found" {
        return Verdict::Token(error);
    }
    if lower.starts_with("bad request") || lower.contains("can't parse") || lower.contains("entity too large") {
        return Verdict::Refused(error);
    }
    Verdict::Unknown(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use teloxide::ApiError;

    #[test]
    fn the_servers_texts_mean_what_they_mean() {
        let api = |text: &str| judge(&RequestError::Api(serde_json::from_value::<ApiError>(text.into()).unwrap()));
        let seconds = |n| Verdict::Limited(Some(Duration::from_secs(n)));
        assert_eq!(api("Too Many Requests: retry after 8"), seconds(8));
        assert_eq!(api("Too Many Requests"), Verdict::Limited(None));
        assert_eq!(api("Too Many Requests: retry after 99999999"), seconds(6 * 3600));
        assert_eq!(
            api(
                "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message"
            ),
            Verdict::Arrived(None)
        );
        assert_eq!(api("Bad Request: message to edit not found"), Verdict::Gone);
        for text in [
            "Forbidden: bot was blocked by the user",
            "Bad Request: chat not found",
            "Forbidden: bot is not a member of the channel chat",
            "Forbidden: bot can't initiate conversation with a user",
            "Bad Request: not enough rights to send text messages to the chat",
            "Unauthorized: bot was kicked from a chat",
        ] {
            assert!(matches!(api(text), Verdict::Dead(_)), "{text}");
        }
        for text in [
            "Unauthorized",
            "Not Found",
            "Unauthorized: invalid token specified",
            "Misdirected Request: unallowed token specified",
        ] {
            assert!(matches!(api(text), Verdict::Token(_)), "{text}");
        }
        for text in
            ["Bad Request: can't parse entities: x", "Bad Request: message is too long", "Bad Request: new kind"]
        {
            assert!(matches!(api(text), Verdict::Refused(_)), "{text}");
        }
        assert!(matches!(api("Internal Server Error: request aborted"), Verdict::Unknown(_)));
    }

    #[test]
    fn e2_statuses_mean_what_they_mean() {
        let status = |status| by_status(status, None, "");
        assert_eq!(status(204), Verdict::Arrived(None));
        for refused in [301, 400, 401, 403, 404, 410, 413, 422] {
            assert!(matches!(status(refused), Verdict::Refused(_)), "{refused}");
        }
        for again in [408, 425, 500, 502, 504] {
            assert!(matches!(status(again), Verdict::Unknown(_)), "{again}");
        }
        let seconds = |n| Verdict::Limited(Some(Duration::from_secs(n)));
        assert_eq!(by_status(429, Some("7"), ""), seconds(7));
        assert_eq!(by_status(503, Some("99999999"), ""), seconds(6 * 3600));
        assert_eq!(by_status(429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), ""), Verdict::Limited(None));
    }

    #[test]
    fn bodies_that_teloxide_cannot_read_are_read_all_the_same() {
        assert_eq!(by_body(r#"{"ok":true,"result":{"message_id":7,"new":{}}}"#), Verdict::Arrived(Some(7)));
        let limited = r#"{"ok":false,"description":"x","parameters":{"retry_after":3,"adaptive":true}}"#;
        assert_eq!(by_body(limited), Verdict::Limited(Some(Duration::from_secs(3))));
        let Verdict::Unknown(error) = by_body(&"<html>\u{1b}502 Bad Gateway".repeat(900)) else { panic!() };
        assert!(error.len() < 300 && !error.contains('\u{1b}'));
    }
}
