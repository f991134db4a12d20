//! Stands in for accounts and sessions until they are there: refuses everybody but the machine's own user. I/O.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;

use super::problem::Problem;
use crate::ledger::Ledger;

/// How identity is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The port that is listened on.
    pub port: u16,
    /// A session that is not used for so long ends.
    pub session_ttl: Duration,
}

/// Knows who may do what.
#[derive(Clone)]
pub struct Identity;

impl Identity {
    /// Prepares it.
    ///
    /// # Errors
    /// Never.
    pub fn open(_: Ledger, _: &Path, _: Settings) -> Result<Self, std::convert::Infallible> {
        Ok(Self)
    }
}

/// Who asks, as far as the connection tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The client's address.
    pub address: IpAddr,
    /// Whether it is the machine's own user, on the Unix socket.
    pub local: bool,
}

/// Somebody who has shown who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The account.
    pub account: String,
    /// From where they ask.
    pub address: IpAddr,
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

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
                match parts.extensions.get::<Caller>() {
                    Some(Caller { local: true, .. }) => {
                        Ok(Self(Principal { account: "local".into(), address: IpAddr::V4(Ipv4Addr::LOCALHOST) }))
                    }
                    _ => Err(Problem::unauthenticated("log in first")),
                }
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
