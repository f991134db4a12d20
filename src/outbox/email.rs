//! Sends mail: plain text with a simple page beside it, one thread for each notice, never without TLS over a network. I/O.

use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::channel::EmailSettings;
use super::judge::{Verdict, bounded};
use super::note::{Note, hex};
use crate::vocab::shorten;

/// Longest subject; mail programs show less.
const SUBJECT: usize = 200;

/// Ports that servers use when none is written.
const SMTPS: u16 = 465;
const SUBMISSION: u16 = 587;

/// Sends one message and judges the answer.
pub(super) async fn deliver(settings: &EmailSettings, ca: Option<&str>, note: &Note, timeout: Duration) -> Verdict {
    let mail = match message(settings, note) {
        Ok(mail) => mail,
        Err(error) => return Verdict::Refused(error),
    };
    let transport = match transport(settings, ca, timeout) {
        Ok(transport) => transport,
        Err(error) => return Verdict::NotSent(error),
    };
    // lettre limits each command; a server that talks on for ever is cut off here.
    match tokio::time::timeout(timeout, transport.send(mail)).await {
        Ok(Ok(_)) => Verdict::Arrived(None),
        Ok(Err(error)) => judge(&error),
        Err(_) => Verdict::Unknown(format!("no answer within {} s", timeout.as_secs_f32())),
    }
}

fn judge(error: &lettre::transport::smtp::Error) -> Verdict {
    let said = bounded(&match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    });
    let code = error.status().map(u16::from).unwrap_or_default();
    match code {
        // A login or a sender that is not taken today may be taken when somebody has corrected it.
        530 | 534 | 535 | 538 | 400..=499 => Verdict::NotSent(said),
        _ if error.is_permanent() => Verdict::Refused(said),
        _ if error.is_timeout() || error.is_response() => Verdict::Unknown(said),
        _ => Verdict::NotSent(said),
    }
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cover {
    /// TLS from the first byte.
    Wrapped,
    /// STARTTLS, or nothing is sent.
    Started,
    /// None: there is no network in between, and servers on the same machine rarely have a certificate.
    Bare,
}

fn cover(scheme: &str, host: &str) -> Cover {
    let local = match host.parse::<std::net::IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    };
    match scheme {
        "smtps" => Cover::Wrapped,
        _ if local => Cover::Bare,
        _ => Cover::Started,
    }
}

fn transport(
    settings: &EmailSettings,
    ca: Option<&str>,
    timeout: Duration,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let url = &settings.smtp;
    // What a URL needs around an IPv6 address, a socket does not.
    let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if name.is_empty() {
        return Err("the address of the mail server has no host".into());
    }
    let parameters = || {
        let mut tls = TlsParameters::builder(name.clone());
        if let Some(pem) = ca {
            tls = tls.add_root_certificate(Certificate::from_pem(pem.as_bytes())?);
        }
        tls.build()
    };
    let parameters = || parameters().map_err(|error| format!("failed to prepare TLS: {error}"));
    let (tls, port) = match cover(url.scheme(), &name) {
        Cover::Wrapped => (Tls::Wrapper(parameters()?), SMTPS),
        Cover::Bare => (Tls::None, SUBMISSION),
        Cover::Started => (Tls::Required(parameters()?), SUBMISSION),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(name)
        .port(url.port().unwrap_or(port))
        .tls(tls)
        .timeout(Some(timeout));
    if let Some(password) = &settings.password
        && !url.username().is_empty()
    {
        let user = percent_decoded(url.username());
        builder = builder.credentials(Credentials::new(user, password.expose().to_owned()));
    }
    Ok(builder.build())
}

fn percent_decoded(text: &str) -> String {
    // A pair of a form is decoded the same way, but for the plus sign.
    let pair = format!("u={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The mail. Header values are built by lettre, which encodes them; a title is one line already.
pub(super) fn message(settings: &EmailSettings, note: &Note) -> Result<Message, String> {
    let from: Mailbox = settings.from.parse().map_err(|error| format!("`from` is no address: {error}"))?;
    let domain = from.email.domain().to_owned();
    let id = |event: &str| format!("<{}@{domain}>", token(event));
    let mut builder = Message::builder()
        .from(from)
        .date(note.at.into())
        .subject(shorten(&note.title, SUBJECT).into_owned())
        .message_id(Some(id(&note.event)))
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into()));
    // Mail programs put what refers to the same message into one thread, also when they never saw that message.
    if let Some(thread) = &note.thread {
        let root = id(thread);
        builder = builder.in_reply_to(root.clone()).references(root);
    }
    for to in &settings.to {
        let to: Mailbox = to.parse().map_err(|error| format!("`{to}` in `to` is no address: {error}"))?;
        builder = builder.to(to);
    }
    let text = if note.text.is_empty() { note.title.clone() } else { format!("{}\n\n{}", note.title, note.text) };
    let page = format!(
        "<!doctype html><html><body><p><strong>{}</strong></p><pre style=\"white-space:pre-wrap\">{}</pre></body></html>",
        html(&note.title),
        html(&note.text)
    );
    let plain = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(text);
    let rich = SinglePart::builder().header(ContentType::TEXT_HTML).body(page);
    builder
        .multipart(MultiPart::alternative().singlepart(plain).singlepart(rich))
        .map_err(|error| format!("failed to write the mail: {error}"))
}

/// Letters, digits, dots and dashes stay; what else an identifier has becomes its code.
fn token(text: &str) -> String {
    let mut out = String::from("logmedic.");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' {
            out.push(byte.into());
        } else {
            out.push('_');
            out.push_str(&hex(&[byte]));
        }
    }
    out
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::note::Why;
    use crate::vocab::{Level, Severity};

    fn settings(smtp: &str) -> EmailSettings {
        EmailSettings {
            smtp: url::Url::parse(smtp).unwrap(),
            password: None,
            from: "logmedic <alerts@example.org>".into(),
            to: vec!["ana@example.org".into(), "Bob <bob@example.org>".into()],
        }
    }

    fn note(title: &str, text: &str) -> Note {
        Note {
            event: "agent:x.2".into(),
            thread: Some("agent:x".into()),
            follows: true,
            why: Why::Changed,
            at: chrono::DateTime::from_timestamp(1_795_000_000, 0).unwrap(),
            level: Level::Error,
            severity: Severity::Error,
            title: title.into(),
            text: text.into(),
            notices: vec![],
        }
    }

    #[test]
    fn e2_a_mail_cannot_be_given_another_header_or_markup() {
        let note = note("x\r\nBcc: evil@example.org\r\n\r\n<b>", "</pre><script>alert(1)</script>\n.\r\nRCPT TO:<e@e>");
        let mail = message(&settings("smtp://127.0.0.1"), &note).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(!head.lines().any(|line| line.to_lowercase().starts_with("bcc")), "{head}");
        assert!(head.contains("Message-ID: <logmedic.agent_3ax.2@example.org>"), "{head}");
        assert!(head.contains("In-Reply-To: <logmedic.agent_3ax@example.org>"), "{head}");
        let page = text.split("text/html").nth(1).unwrap();
        assert!(!page.contains("<script>"), "the page is escaped");
        assert_eq!(mail.envelope().to().len(), 2);
    }

    #[test]
    fn e2_mail_goes_without_tls_only_on_this_machine() {
        for (scheme, host, want) in [
            ("smtp", "mail.example.org", Cover::Started),
            ("smtp", "10.0.0.1", Cover::Started),
            ("smtp", "localhost.evil.example", Cover::Started),
            ("smtps", "127.0.0.1", Cover::Wrapped),
            ("smtp", "127.0.0.1", Cover::Bare),
            ("smtp", "::1", Cover::Bare),
            ("smtp", "localhost", Cover::Bare),
        ] {
            assert_eq!(cover(scheme, host), want, "{scheme}://{host}");
        }
        assert_eq!(percent_decoded("a%40b+c"), "a@b+c");
    }
}
