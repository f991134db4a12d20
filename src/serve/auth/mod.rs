//! Who asks, and what may they: accounts, sessions, tokens, the second factor. I/O.
//!
//! Handlers say by their argument who may use them: [`Viewer`], [`Operator`], [`Admin`]. What somebody may do is read from
//! the ledger with every request, so a change holds at once; live sockets follow [`Identity::changes`].

mod account;
mod cookie;
mod factor;
mod identity;
pub mod limit;
mod login;
pub mod password;
pub mod random;
mod session;
mod ticket;
pub mod token;
pub mod totp;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{FromRef, FromRequestParts};
use axum::http::Extensions;
use axum::http::request::Parts;
use axum::serve::IncomingStream;
use chrono::{DateTime, Utc};
use tokio::net::{TcpListener, UnixListener};
use utoipa_axum::router::OpenApiRouter;

use super::listen::Network;
use super::problem::Problem;
use crate::vocab::Role;

pub use identity::{Identity, Settings};
pub(super) use identity::{is_websocket, lock};
pub use session::TOKEN_LIFE_S;

/// The longest name of an account.
const NAME_MAX: usize = 32;

/// Whoever comes through the agent's own Unix socket.
const LOCAL: &str = "local";

/// Somebody who has shown who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The account; `local` on the Unix socket, `token:NAME` with a script's token.
    pub account: String,
    /// What they may do.
    pub role: Role,
    /// Their session; `None` on the Unix socket.
    pub session: Option<String>,
    /// From where they ask.
    pub address: IpAddr,
    /// When this ends unless it is renewed; `None`: never.
    pub until: Option<DateTime<Utc>>,
    /// With a token: the account's generation when it was made. `None`: by cookie.
    pub generation: Option<i64>,
}

impl Principal {
    /// Who holds the machine holds the agent: the same user or root, on the Unix socket.
    #[must_use]
    pub fn local() -> Self {
        Self {
            account: LOCAL.into(),
            role: Role::Admin,
            session: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            until: None,
            generation: None,
        }
    }

    /// The account's own name, where there is an account.
    ///
    /// # Errors
    /// On the Unix socket and with a script's token, which have none.
    pub fn own_account(&self) -> Result<&str, Problem> {
        match &self.session {
            Some(_) if name_problem(&self.account).is_none() => Ok(&self.account),
            _ => Err(Problem::conflict("no_account", "this is no account's session: log in with an account")),
        }
    }
}

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// By the network.
    Tcp(SocketAddr),
    /// By the Unix socket; trusted when the other process is of this user or root.
    Unix {
        /// Whether it is.
        trusted: bool,
    },
}

impl Peer {
    /// Who is at the other end of this Unix connection; the kernel says so, the client cannot.
    #[must_use]
    pub fn of_unix(stream: &tokio::net::UnixStream) -> Self {
        let ours = nix::unistd::geteuid().as_raw();
        let trusted = stream.peer_cred().is_ok_and(|other| other.uid() == ours || other.uid() == 0);
        Self::Unix { trusted }
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self::Tcp(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, Network>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Network>) -> Self {
        Self::Tcp(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self::of_unix(stream.io())
    }
}

/// Who asks, as far as the connection tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The client's address; behind a trusted proxy what that says.
    pub address: IpAddr,
    /// Whether it is the machine's own user, on the Unix socket.
    pub local: bool,
}

impl Caller {
    /// What the connection tells of a request. One whose connection is not known is nobody in particular.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        if let Some(caller) = extensions.get::<Self>() {
            return *caller;
        }
        match extensions.get::<ConnectInfo<Peer>>() {
            Some(ConnectInfo(Peer::Tcp(address))) => Self { address: address.ip().to_canonical(), local: false },
            Some(ConnectInfo(Peer::Unix { trusted })) => Self { local: *trusted, ..Self::unknown() },
            None => Self::unknown(),
        }
    }

    const fn unknown() -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), local: false }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.extensions))
    }
}

/// What [`super::guard`] found out about who asks.
#[derive(Clone)]
pub(super) struct Who(pub(super) Result<Principal, Problem>);

fn who(parts: &Parts, identity: &Identity) -> Result<Principal, Problem> {
    match parts.extensions.get::<Who>() {
        Some(Who(found)) => found.clone(),
        None => identity.identify(&parts.uri, &parts.headers, Caller::of(&parts.extensions), Utc::now()),
    }
}

fn allowed(principal: Principal, role: Role) -> Result<Principal, Problem> {
    if principal.role >= role {
        return Ok(principal);
    }
    Err(Problem::forbidden("role_too_low", format!("this needs the role {role}; yours is {}", principal.role)))
}

macro_rules! extractor {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub Principal);

        impl<S: Send + Sync> FromRequestParts<S> for $name
        where
            Identity: FromRef<S>,
        {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
                let principal = who(parts, &Identity::from_ref(state))?;
                allowed(principal, Role::$name).map(Self)
            }
        }
    };
}

extractor!(
    /// Anybody who is logged in.
    Viewer
);
extractor!(
    /// Who may act: operators and admins.
    Operator
);
extractor!(
    /// Who may change settings and accounts.
    Admin
);

/// What is wrong with the name of an account; `None`: nothing.
#[must_use]
pub fn name_problem(name: &str) -> Option<String> {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| letter(b) || b".-_".contains(&b))
        && name.bytes().next().is_some_and(letter);
    if name == LOCAL {
        return Some("`local` is who works on the machine itself; choose another name".into());
    }
    (!fits).then(|| format!("an account's name has 1 to {NAME_MAX} of a-z 0-9 . - _ and begins with a letter or digit"))
}

/// `auth/…` and `accounts/…`.
pub fn router<S>(identity: Identity) -> OpenApiRouter<S> {
    OpenApiRouter::new().merge(session::router()).merge(factor::router()).merge(account::router()).with_state(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["ana", "a", "0", "ana.b-c_d", &"a".repeat(32)] {
            assert_eq!(name_problem(good), None, "{good}");
        }
        for bad in ["", "Ana", "local", "token:x", "-a", "a b", "a\n", "ä", "a/b", &"a".repeat(33)] {
            assert!(name_problem(bad).is_some(), "{bad}");
        }
    }
}
