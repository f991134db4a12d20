//! What the hub asks of the rest of the server: who somebody is, and to carry out what a client wants. Traits and plain
//! data; no I/O here.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;

use super::ask::Command;
use crate::serve::auth::Caller;
use crate::serve::problem::Problem;
use crate::vocab::Role;

/// How somebody shows who they are.
#[derive(Clone, PartialEq, Eq)]
pub enum Pass {
    /// By what the request carries: a session cookie or `Authorization`.
    Headers,
    /// By a token in `Sec-WebSocket-Protocol`.
    Bearer(String),
    /// By a ticket that was given out before.
    Ticket(String),
}

/// Somebody who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The account.
    pub account: String,
    /// What it may do.
    pub role: Role,
    /// The session, when it is one.
    pub session: Option<String>,
    /// From where.
    pub address: IpAddr,
    /// With a token: which of the account's generations it is of.
    pub generation: Option<i64>,
    /// How long the session or token is still good.
    pub left: Option<Duration>,
}

/// Knows who may come in, and for how long.
pub trait Gate: Send + Sync + 'static {
    /// Who this is. Blocking: microseconds.
    ///
    /// # Errors
    /// 401 when it is nobody, 429 when there were too many attempts.
    fn admit(&self, pass: &Pass, headers: &HeaderMap, caller: Caller) -> Result<Guest, Problem>;

    /// A ticket that lets this guest in once, within half a minute.
    ///
    /// # Errors
    /// When there are too many.
    fn ticket(&self, guest: &Guest) -> Result<String, Problem>;

    /// Changes with every change of rights: an account, a session, a password.
    fn changes(&self) -> watch::Receiver<u64>;

    /// What the guest may do now; `None` when it may not stay. Blocking: microseconds.
    fn still(&self, guest: &Guest) -> Option<Role>;

    /// Whether the page that sends the request is one of ours: a browser says from where it comes, and sends the cookie
    /// from anywhere. What sends no `Origin` is no browser.
    fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        is_own_origin(headers)
    }
}

/// Carries out what a client wants of the rest of the agent.
pub trait Commands: Send + Sync + 'static {
    /// Does it. The hub has looked at the role. What comes back are the notifications for [`Command::Notifications`],
    /// oldest first, and nothing for the others: their effect is told as an event.
    fn carry_out<'a>(&'a self, guest: &'a Guest, command: Command) -> BoxFuture<'a, Result<Vec<Value>, Problem>>;

    /// Whether a text that is none of our frames is somebody's all the same: for measuring.
    #[doc(hidden)]
    fn is_known_text(&self, _text: &str) -> bool {
        false
    }
}

/// Whether `Origin` names the host that the request was sent to.
#[must_use]
pub fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(header::ORIGIN), text(header::HOST)) else {
        return !headers.contains_key(header::ORIGIN);
    };
    let named = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    named.is_some_and(|named| named.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_only_our_own_pages_may_use_the_cookie() {
        let ask = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "127.0.0.1:7878".parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            is_own_origin(&headers)
        };
        assert!(ask(None) && ask(Some("http://127.0.0.1:7878")) && ask(Some("https://127.0.0.1:7878")));
        for foreign in
            ["http://evil.example", "null", "http://127.0.0.1:7879", "http://127.0.0.1", "file://127.0.0.1:7878"]
        {
            assert!(!ask(Some(foreign)), "{foreign}");
        }
    }
}
