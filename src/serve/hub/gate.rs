//! What the hub asks of the rest of the server: who somebody is, and to carry out what a client wants. Traits and plain
//! data; no I/O here.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::HeaderMap;
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
