//! Puts a message into the form that each service wants, so that no text of strangers can call people or hide. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::channel::{Preset, WebhookSettings};
use super::note::{Note, Why};
use crate::vocab::{Severity, json_text, rfc3339, shorten, utf16_len};

/// Longest text of a Slack message that is not cut by Slack itself.
const SLACK_TEXT: usize = 3_500;
/// Longest content of a Discord message.
const DISCORD_TEXT: usize = 2_000;
/// Longest message that ntfy does not turn into a file, in bytes.
const NTFY_BYTES: usize = 4_000;
/// Enough for any sentence here; phones show less.
const TITLE: usize = 200;
const GOTIFY_TEXT: usize = 8_000;

/// A request that is ready to be signed and sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// The address.
    pub url: url::Url,
    /// Headers besides those of the signature.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
    /// Whether the body is signed.
    pub signed: bool,
}

/// The request for a message.
///
/// # Errors
/// When the address cannot be used.
pub(super) fn call(settings: &WebhookSettings, note: &Note, source: &str) -> Result<Call, String> {
    let mut url = url::Url::parse(settings.url.expose()).map_err(|error| format!("the address is none: {error}"))?;
    let token = settings.secret.as_ref().map(|secret| secret.expose().to_owned());
    let json_type = |kind: &str| vec![("content-type", kind.to_owned()), ("idempotency-key", note.event.clone())];
    let mut headers = json_type("application/json");
    let body = match settings.preset {
        Preset::Cloudevents => {
            headers = json_type("application/cloudevents+json; charset=utf-8");
            event(note, source)
        }
        Preset::Slack => slack(note),
        Preset::Discord => {
            // Otherwise Discord answers before it has looked.
            if !url.query_pairs().any(|(name, _)| name == "wait") {
                url.query_pairs_mut().append_pair("wait", "true");
            }
            discord(note)
        }
        Preset::Ntfy => {
            let topic = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default().to_owned();
            if topic.is_empty() {
                return Err("the address of ntfy ends with the topic: https://ntfy.sh/TOPIC".into());
            }
            if let Ok(mut parts) = url.path_segments_mut() {
                parts.pop();
            }
            headers.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
            ntfy(note, &topic)
        }
        Preset::Gotify => {
            if !url.path().ends_with("/message")
                && let Ok(mut parts) = url.path_segments_mut()
            {
                parts.pop_if_empty().push("message");
            }
            headers.extend(token.map(|token| ("x-gotify-key", token)));
            gotify(note)
        }
    };
    // Services that have their own keys would not look at a signature.
    let signed = matches!(settings.preset, Preset::Cloudevents);
    Ok(Call { url, headers, body: json_text(body.to_string()), signed })
}

/// The headers of a signature by Standard Webhooks (<https://www.standardwebhooks.com>): `whsec_…` is base64, any other
/// secret is taken as it is.
pub(super) fn signature(secret: &str, id: &str, seconds: i64, body: &str) -> String {
    let decoded = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, decoded.as_deref().unwrap_or(secret.as_bytes()));
    let tag = ring::hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

/// `CloudEvents` 1.0 (<https://cloudevents.io>), structured mode.
fn event(note: &Note, source: &str) -> Value {
    let subject = note.thread.clone();
    let mut event = json!({
        "specversion": "1.0",
        "id": note.event,
        "source": source,
        "type": format!("logmedic.notification.{}", note.why.as_str()),
        "time": rfc3339(note.at),
        "datacontenttype": "application/json",
        "data": {
            "level": note.level.as_str(),
            "severity": note.severity,
            "why": note.why.as_str(),
            "title": note.title,
            "text": note.text,
            "notices": note.notices,
        },
    });
    if let (Some(object), Some(subject)) = (event.as_object_mut(), subject) {
        object.insert("subject".into(), subject.into());
    }
    event
}

/// Title and text as one.
fn whole(note: &Note) -> String {
    if note.text.is_empty() { note.title.clone() } else { format!("{}\n{}", note.title, note.text) }
}

/// Cuts text so that it has at most `limit` units when it is escaped.
fn escaped(text: &str, limit: usize, escape: impl Fn(char, &mut String)) -> String {
    let (mut out, mut units) = (String::new(), 0);
    for c in text.chars() {
        let mut piece = String::new();
        escape(c, &mut piece);
        units += utf16_len(&piece);
        if units >= limit {
            out.push('…');
            break;
        }
        out.push_str(&piece);
    }
    out
}

/// Slack's three signs are escaped (<https://docs.slack.dev/messaging/formatting-message-text>), the rest is shown as it
/// stands: no mention, no link, no bold.
fn slack(note: &Note) -> Value {
    let text = escaped(&whole(note), SLACK_TEXT, |c, out| match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        // A channel's name after @ would be looked up by servers that only resemble Slack.
        '@' => out.push_str("@\u{2060}"),
        other => out.push(other),
    });
    json!({
        "text": text, "mrkdwn": false, "parse": "none", "link_names": false, "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// Every sign that Markdown or Discord reads is escaped, and nobody may be called.
fn discord(note: &Note) -> Value {
    let content = escaped(&whole(note), DISCORD_TEXT - 1, |c, out| {
        if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | '\'' | '"' | '%' | '=' | '?' | ';') {
            out.push('\\');
        }
        out.push(c);
    });
    // 4: addresses in the text show no preview.
    json!({ "content": content, "allowed_mentions": { "parse": [] }, "flags": 4 })
}

const fn priority(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 2,
        Severity::Warning => 3,
        Severity::Error => 4,
        Severity::Critical => 5,
    }
}

/// ntfy shows plain text unless it is told otherwise.
fn ntfy(note: &Note, topic: &str) -> Value {
    let body = if note.text.is_empty() { &note.title } else { &note.text };
    let end = body.floor_char_boundary(NTFY_BYTES);
    json!({
        "topic": topic,
        "title": shorten(&note.title, TITLE),
        "message": if end < body.len() { format!("{}…", &body[..end]) } else { body.clone() },
        "priority": if note.why == Why::Test { 3 } else { priority(note.severity) },
        "tags": [note.level.as_str()],
    })
}

/// Gotify's priorities go from 0 to 10; from 8 on the phone makes a noise.
fn gotify(note: &Note) -> Value {
    let body = if note.text.is_empty() { &note.title } else { &note.text };
    json!({
        "title": shorten(&note.title, TITLE),
        "message": shorten(body, GOTIFY_TEXT),
        "priority": priority(note.severity) * 2,
        "extras": { "client::display": { "contentType": "text/plain" } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::{Level, Secret};
    use chrono::DateTime;

    fn note(title: &str, text: &str) -> Note {
        Note {
            event: "k.1".into(),
            thread: Some("k".into()),
            follows: false,
            why: Why::New,
            at: DateTime::from_timestamp(1_795_000_000, 0).unwrap(),
            level: Level::Error,
            severity: Severity::Error,
            title: title.into(),
            text: text.into(),
            notices: vec![],
        }
    }

    fn of(preset: Preset, url: &str, note: &Note) -> (Call, Value) {
        let settings = WebhookSettings { url: Secret::new(url), secret: Some(Secret::new("key")), preset };
        let call = call(&settings, note, "/logmedic").unwrap();
        let body = serde_json::from_str(&call.body).unwrap();
        (call, body)
    }

    const NASTY: &str =
        "<!channel> @everyone <@123> [x](http://evil.example) **b** `c` ```\n&lt; http://evil.example/a_b";

    #[test]
    fn e2_hostile_text_calls_nobody_and_formats_nothing() {
        let note = note("a *title* <@1>", NASTY);
        let (_, slack) = of(Preset::Slack, "https://hooks.example/x", &note);
        let text = slack["text"].as_str().unwrap();
        assert!(!text.contains('<') && !text.contains('>') && text.contains("&lt;!channel&gt;"), "{text}");
        assert!(text.contains("&amp;lt;") && !text.contains("@everyone"));
        assert_eq!((slack["mrkdwn"].clone(), slack["parse"].clone()), (json!(false), json!("none")));
        let (call, discord) = of(Preset::Discord, "https://hooks.example/x", &note);
        let content = discord["content"].as_str().unwrap();
        assert_eq!(discord["allowed_mentions"], json!({ "parse": [] }));
        for raw in ["**b**", "](http", "http://", "```", "<@123>"] {
            assert!(!content.contains(raw), "{raw} in {content}");
        }
        assert!(content.contains("\\@everyone") && content.contains("http\\:\\/\\/evil"));
        assert_eq!(call.url.as_str(), "https://hooks.example/x?wait=true");
    }

    #[test]
    fn e2_long_texts_fit_every_service() {
        let note = note(&"t".repeat(5_000), &"<*😀>".repeat(3_000));
        let units = |value: &Value| utf16_len(value.as_str().unwrap());
        assert!(units(&of(Preset::Slack, "https://a.b/", &note).1["text"]) <= SLACK_TEXT);
        assert!(units(&of(Preset::Discord, "https://a.b/", &note).1["content"]) <= DISCORD_TEXT);
        let ntfy = of(Preset::Ntfy, "https://a.b/topic", &note).1;
        assert!(ntfy["message"].as_str().unwrap().len() < 4_096);
        assert_eq!(units(&ntfy["title"]), TITLE);
    }

    #[test]
    fn e2_ntfy_and_gotify_get_what_they_ask_for() {
        let note = note("title", "text");
        let (call, body) = of(Preset::Ntfy, "https://ntfy.example/base/alerts", &note);
        assert_eq!(call.url.as_str(), "https://ntfy.example/base");
        assert_eq!((body["topic"].clone(), body["priority"].clone()), (json!("alerts"), json!(4)));
        assert!(call.headers.contains(&("authorization", "Bearer key".into())));
        let (call, body) = of(Preset::Gotify, "https://gotify.example/", &note);
        assert_eq!(call.url.as_str(), "https://gotify.example/message");
        assert!(call.headers.contains(&("x-gotify-key", "key".into())));
        assert_eq!((body["priority"].clone(), body["message"].clone()), (json!(8), json!("text")));
        let settings = WebhookSettings { url: Secret::new("https://ntfy.sh/"), secret: None, preset: Preset::Ntfy };
        assert!(super::call(&settings, &note, "/").unwrap_err().contains("TOPIC"));
    }

    /// The example of the specification (<https://github.com/standard-webhooks/standard-webhooks>).
    #[test]
    fn e2_signatures_are_those_of_standard_webhooks() {
        let signed = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
