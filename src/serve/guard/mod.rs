//! Stands before every route: names, origins, floods, headers, limits, and the audit log. I/O.
//!
//! [`Guard::protect`] wraps a whole router. What it lets through still has to be allowed by the route's own extractor.

mod flood;
mod names;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

use super::auth::{Caller, Identity, Principal, Who, is_websocket, lock};
use super::problem::Problem;
use crate::ledger::audit::Outcome;
use crate::vocab::{clean_line, redact, shorten};

use names::Names;
pub use names::is_host;

/// Largest body of a request: a page of rules fits, an upload is none of ours.
const BODY_MAX: usize = 256 << 10;

/// A body that does not go on for so long is given up.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// Largest answer of the framework that is made a problem.
const PLAIN_MAX: usize = 4 << 10;

/// What is kept of a path in the audit log, and of a sentence in a problem, in UTF-16 units.
const SHOWN: usize = 300;

/// Scripts, styles, pictures and connections of our own; nothing else, no frame around us, no form to elsewhere, no text
/// that becomes code. The one policy of trusted types is that of the page's service worker, whose address must be one.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
require-trusted-types-for 'script'; trusted-types logmedic-sw";

/// With every answer. `same-origin` keeps `Origin` on our own forms, which `no-referrer` would make `null`.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, CSP),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// What the guard needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Other names it is called by.
    pub hosts: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
}

/// The guard; clones share everything.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    names: Names,
    trusted_proxies: Vec<IpAddr>,
    identity: Identity,
    flood: Mutex<flood::Flood>,
    started: Instant,
}

impl Guard {
    /// A guard for a server.
    #[must_use]
    pub fn new(settings: Settings, identity: Identity) -> Self {
        Self(Arc::new(Inner {
            names: Names::new(settings.listen, &settings.hosts),
            trusted_proxies: settings.trusted_proxies.iter().map(IpAddr::to_canonical).collect(),
            identity,
            flood: Mutex::default(),
            started: Instant::now(),
        }))
    }

    /// Puts everything before every route of `router`, and before its fallback.
    pub fn protect(self, router: Router) -> Router {
        router
            .layer(from_fn_with_state(self, admit))
            .layer(RequestBodyTimeoutLayer::new(BODY_PATIENCE))
            .layer(RequestBodyLimitLayer::new(BODY_MAX))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn(finish))
    }

    /// Who is at the other end, as far as the connection and trusted proxies tell.
    fn caller(&self, request: &Request) -> Caller {
        let caller = Caller::of(request.extensions());
        let trusted = |ip: &IpAddr| self.0.trusted_proxies.contains(ip);
        if caller.local || !trusted(&caller.address) {
            return caller;
        }
        // Each proxy adds at the end; what stands before the last one that is not ours anybody may have written.
        let said = request.headers().get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<IpAddr> =
            said.flat_map(|text| text.split(',')).map_while(|hop| hop.trim().parse().ok()).collect();
        let client = hops.into_iter().map(|ip| ip.to_canonical()).rev().find(|ip| !trusted(ip));
        Caller { address: client.unwrap_or(caller.address), local: false }
    }

    /// Whether this request may be looked at at all.
    fn check(&self, request: &Request, caller: Caller) -> Result<(), Problem> {
        // No browser speaks to a Unix socket, and its other end is the machine's own user.
        if caller.local {
            return Ok(());
        }
        if !lock(&self.0.flood).take(caller.address, self.0.started.elapsed()) {
            return Err(Problem::slow_down("too_many_requests", 1, "too many requests from this address"));
        }
        let headers = request.headers();
        let host =
            one(headers, &header::HOST)?.ok_or_else(|| Problem::bad("no_host", "the request has no Host header"))?;
        if !self.0.names.knows(host) {
            let shown = shorten(&clean_line(host), SHOWN).into_owned();
            let detail = format!("this server is not called {shown}; add it to `hosts` in [server] if it is");
            return Err(Problem::forbidden("unknown_host", detail));
        }
        let socket = is_websocket(headers);
        let acts = !is_safe(request.method());
        if acts || socket {
            self.check_origin(headers, host)?;
        }
        if acts && is_form(headers) {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", "send JSON, not a form"));
        }
        Ok(())
    }

    /// Only our own pages may act. Whoever is no page (a script, a command) sends none of these headers.
    fn check_origin(&self, headers: &HeaderMap, host: &str) -> Result<(), Problem> {
        let foreign = || {
            let detail = "another site's page may not do that; if it is your own, add its name to `hosts` in [server]";
            Problem::forbidden("foreign_origin", detail)
        };
        match one(headers, &header::ORIGIN)? {
            Some(origin) if self.0.names.same_origin(origin, host) => Ok(()),
            Some(_) => Err(foreign()),
            None => match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
                None | Some(b"same-origin" | b"none") => Ok(()),
                Some(_) => Err(foreign()),
            },
        }
    }
}

/// A header that may stand there once: two are a trick.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let bad = || Problem::bad("bad_header", format!("the header {name} is not readable, or stands there twice"));
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(bad());
    }
    first.map(|value| value.to_str().map_err(|_| bad())).transpose()
}

const fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The kinds of body that any page may send anywhere without being asked about.
fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    let simple: [&[u8]; 3] = [b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"];
    kind.is_some_and(|kind| simple.iter().any(|simple| kind.starts_with(simple)))
}

/// Lets a request in or not, finds out who asks, and writes down what was done.
async fn admit(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let caller = guard.caller(&request);
    if let Err(problem) = guard.check(&request, caller) {
        return problem.into_response();
    }
    request.extensions_mut().insert(caller);
    if is_safe(request.method()) {
        // Nothing to write down: who asks is found out by the route itself, which also takes a socket's ticket.
        return next.run(request).await;
    }
    let who = guard.0.identity.authenticate(request.headers(), caller, Utc::now());
    request.extensions_mut().insert(Who(who.clone()));
    let deed = who.ok().and_then(|who| Deed::of(&request, who));
    let Some(deed) = deed else { return next.run(request).await };
    // On its own: who hangs up in the middle ends neither the deed nor its entry.
    let identity = guard.0.identity.clone();
    let done = tokio::spawn(async move {
        let response = next.run(request).await;
        match deed.write(&identity, response.status()).await {
            Ok(()) => response,
            Err(problem) => problem.into_response(),
        }
    });
    done.await.unwrap_or_else(|error| Problem::internal(&error).into_response())
}

/// Something that somebody asked to be done.
struct Deed {
    who: Principal,
    action: String,
    target: String,
}

impl Deed {
    /// `None` when there is no such route: nothing can be done there.
    fn of(request: &Request, who: Principal) -> Option<Self> {
        let route = request.extensions().get::<MatchedPath>()?.as_str();
        let short = |path: &str| path.strip_prefix("/api/v1/").unwrap_or(path).to_owned();
        let action = format!("{} {}", request.method(), short(route));
        let path = request.uri().path();
        let target = if path == route { String::new() } else { short(path) };
        Some(Self { who, action, target: shorten(&redact(&clean_line(&target)), SHOWN).into_owned() })
    }

    async fn write(self, identity: &Identity, status: StatusCode) -> Result<(), Problem> {
        let outcome = match status.as_u16() {
            ..400 => Outcome::Done,
            400..500 => Outcome::Refused,
            _ => Outcome::Failed,
        };
        identity.audit(&self.who, &self.action, &self.target, outcome).await
    }
}

/// What is wrong is told the same way everywhere, and every answer carries the same headers.
async fn finish(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        response = as_problem(response).await;
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        // A page may have a stricter policy of its own.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The framework's own words (no such route, not this method, bad query) as a problem.
async fn as_problem(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind.is_some_and(|kind| !kind.starts_with(b"text/plain")) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, PLAIN_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let code = match parts.status {
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "not_json",
        StatusCode::REQUEST_TIMEOUT => "too_slow",
        status if status.is_server_error() => "internal",
        _ => "bad_request",
    };
    let detail = match (text.trim(), parts.status) {
        ("", StatusCode::NOT_FOUND) => {
            "there is nothing at this address; /api/v1/openapi.json lists what there is".into()
        }
        ("", status) => status.canonical_reason().unwrap_or("error").to_owned(),
        (text, _) => shorten(&redact(&clean_line(text)), SHOWN).into_owned(),
    };
    let mut fresh = Problem::new(parts.status, code, detail).into_response();
    if let Some(allow) = parts.headers.get(header::ALLOW) {
        fresh.headers_mut().insert(header::ALLOW, allow.clone());
    }
    fresh
}

fn panicked(error: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let said = error.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let said = said.or_else(|| error.downcast_ref::<String>().cloned()).unwrap_or_default();
    Problem::internal(&format!("a request failed inside logmedic; please report this: {said}")).into_response()
}
