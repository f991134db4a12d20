//! Fetches one address into a `.part`: stalls, cuts, ranges and the sizes servers claim.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, LAST_MODIFIED, LOCATION, RETRY_AFTER, TRANSFER_ENCODING};
use reqwest::{Client, Response, StatusCode};
use serde_json::json;
use url::Url;

use super::address::origin;
use super::output::{Step, evidence, permanent, refused, transient_of};
use super::part::{Draft, Writer};
use super::settings::Timeouts;
use super::{Settings, Stop};
use crate::decide::TaskOutput;
use crate::vocab::Evidence;

/// Longest body of an answer that is read into memory.
pub(super) const MAX_ANSWER: usize = 64 * 1024;
/// Redirects followed, all on the same host.
const MAX_REDIRECTS: u32 = 5;
/// A server that asks to wait longer than this is not believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A client without a total time-out (a film of 4 GB takes as long as it takes) that follows no redirect.
pub(super) fn client(timeouts: &Timeouts) -> reqwest::Result<Client> {
    builder(timeouts).build()
}

pub(super) fn builder(timeouts: &Timeouts) -> reqwest::ClientBuilder {
    Client::builder()
        .connect_timeout(timeouts.connect)
        .tcp_keepalive(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("logmedic/", env!("CARGO_PKG_VERSION")))
}

/// The output for a request that got no answer.
pub(super) fn unreachable(url: &Url, error: reqwest::Error) -> Box<TaskOutput> {
    let (connect, slow) = (error.is_connect(), error.is_timeout());
    // The address may hold a token; its origin says enough.
    let error = error.without_url();
    let why = std::error::Error::source(&error).map(|source| deepest(source).to_string());
    let why = why.unwrap_or_else(|| error.to_string());
    let origin = origin(url);
    let detail =
        if connect { format!("{origin} cannot be reached: {why}") } else { format!("{origin} did not answer: {why}") };
    // A slow answer spends an attempt; a server that is not there is waited for.
    let server = (connect || !slow).then(|| origin.clone());
    transient_of(detail, evidence(json!({ "server": origin, "connected": !connect })), None, server)
}

fn deepest(error: &dyn std::error::Error) -> &dyn std::error::Error {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// How long an answer asks to wait.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = chrono::DateTime::parse_from_rfc2822(text).ok()?;
            (at.to_utc() - chrono::Utc::now()).to_std().unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// What a status other than success means.
pub(super) fn status_output(url: &Url, status: StatusCode, headers: &HeaderMap) -> Box<TaskOutput> {
    let origin = origin(url);
    let seen = evidence(json!({ "http_status": status.as_u16(), "server": origin }));
    let detail = format!("{origin} answered {status}");
    match status.as_u16() {
        429 => transient_of(detail, seen, retry_after(headers), None),
        408 | 425 => transient_of(detail, seen, retry_after(headers), None),
        500.. => transient_of(detail, seen, retry_after(headers), Some(origin)),
        _ => Box::new(TaskOutput::Permanent { detail, evidence: seen }),
    }
}

/// What is fetched and how much of it is believed.
pub(super) struct Want<'a> {
    pub(super) client: &'a Client,
    pub(super) url: Url,
    /// How many bytes are expected, where that is known.
    pub(super) size: Option<u64>,
}

/// Fetches into the draft; goes on where an earlier attempt stopped when the server proves it is the same file.
pub(super) async fn fetch(
    want: Want<'_>,
    mut draft: Draft,
    settings: &Settings,
    stop: &Stop,
) -> Step<(Draft, Evidence)> {
    let validator = draft.validator.clone().filter(|_| draft.part.held > 0);
    if validator.is_none() {
        draft.restart()?;
    }
    let mut response = ask(&want, &draft, validator.as_deref(), &settings.timeouts).await?;
    let mut resumed = false;
    match response.status() {
        StatusCode::PARTIAL_CONTENT if goes_on(&response, draft.part.held) => resumed = true,
        StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT => {
            draft.restart()?;
            response = ask(&want, &draft, None, &settings.timeouts).await?;
        }
        StatusCode::OK => draft.restart()?,
        _ => {}
    }
    let status = response.status();
    if status != StatusCode::OK && !(resumed && status == StatusCode::PARTIAL_CONTENT) {
        return Err(status_output(&want.url, status, response.headers()));
    }
    let held = draft.part.held;
    let total = response.content_length().map(|rest| rest.saturating_add(held)).or(want.size);
    draft.fits(total, settings)?;
    // A cut chunked answer is an error; one that only ends with its connection may have been cut anywhere.
    draft.complete = total.is_some() || response.headers().contains_key(TRANSFER_ENCODING);
    draft.remember(strong_validator(response.headers())).await?;
    let seen = evidence(json!({
        "http_status": status.as_u16(), "server": origin(&want.url), "resumed_at": held, "announced_bytes": total,
    }));
    let draft = pour(response, draft, &want, total, settings, stop, &seen).await?;
    Ok((draft, seen))
}

/// Asks for the file, following redirects that stay on the same host.
async fn ask(want: &Want<'_>, draft: &Draft, validator: Option<&str>, timeouts: &Timeouts) -> Step<Response> {
    let mut url = want.url.clone();
    for _ in 0..=MAX_REDIRECTS {
        let mut request = want.client.get(url.clone()).header("Accept-Encoding", "identity");
        if let Some(validator) = validator {
            request = request.header("Range", format!("bytes={}-", draft.part.held)).header("If-Range", validator);
        }
        let response = tokio::time::timeout(timeouts.stall, request.send())
            .await
            .map_err(|_| stalled(&url, timeouts.stall, Evidence::new()))?
            .map_err(|error| unreachable(&url, error))?;
        if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let target = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
        let target = target.and_then(|to| url.join(to).ok()).ok_or_else(|| permanent("a redirect leads nowhere"))?;
        let same = target.host() == url.host() && target.port_or_known_default() == url.port_or_known_default();
        if !same || target.scheme() != url.scheme() {
            return Err(refused(
                format!("{} redirects to another host ({}), which is not followed", origin(&url), origin(&target)),
                None,
            ));
        }
        url = target;
    }
    Err(permanent(format!("{} redirects more than {MAX_REDIRECTS} times", origin(&url))))
}

fn stalled(url: &Url, after: Duration, seen: Evidence) -> Box<TaskOutput> {
    let origin = origin(url);
    transient_of(format!("{origin} sent nothing for {} s", after.as_secs()), seen, None, None)
}

/// Whether a partial answer begins exactly where we stopped.
fn goes_on(response: &Response, held: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse::<u64>().ok());
    start == Some(held)
}

/// What proves that a later answer is of the same content: a strong tag, else the date.
fn strong_validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let tag = text(ETAG).filter(|tag| tag.starts_with('"'));
    tag.or_else(|| text(LAST_MODIFIED)).filter(|value| value.len() <= 256).map(str::to_owned)
}

async fn pour(
    response: Response,
    draft: Draft,
    want: &Want<'_>,
    total: Option<u64>,
    settings: &Settings,
    stop: &Stop,
    seen: &Evidence,
) -> Step<Draft> {
    stop.meter.set(draft.part.held, total);
    let mut writer = Writer::start(draft, settings.max_download, stop.clone());
    let mut body = response.bytes_stream();
    let broken = loop {
        match tokio::time::timeout(settings.timeouts.stall, body.next()).await {
            Err(_) => break Some(stalled(&want.url, settings.timeouts.stall, seen.clone())),
            Ok(None) => break None,
            Ok(Some(Err(error))) => {
                let origin = origin(&want.url);
                let why = deepest(&error.without_url()).to_string();
                let detail = format!("the answer of {origin} was cut: {why}");
                break Some(transient_of(detail, seen.clone(), None, None));
            }
            Ok(Some(Ok(chunk))) => {
                if !writer.give(chunk).await {
                    break None; // The writer ended; it says why below.
                }
            }
        }
    };
    let draft = writer.finish().await?;
    if let Some(output) = broken {
        return Err(output);
    }
    let held = draft.part.held;
    match total {
        Some(total) if total != held => Err(transient_of(
            format!("{held} bytes came, {total} were announced"),
            evidence(json!({ "received_bytes": held, "announced_bytes": total })),
            None,
            None,
        )),
        _ => Ok(draft),
    }
}

/// Reads at most [`MAX_ANSWER`] bytes of an answer.
pub(super) async fn small_body(response: Response, limit: Duration) -> Vec<u8> {
    let mut body = response.bytes_stream();
    let mut out = Vec::new();
    let read = async {
        while let Some(Ok(chunk)) = body.next().await {
            let room = MAX_ANSWER - out.len();
            out.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if out.len() == MAX_ANSWER {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(limit, read).await;
    out
}
