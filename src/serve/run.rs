//! Puts the routes together and serves them until it is told to stop. I/O.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::get;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::auth::{Identity, Peer};
use super::guard::Guard;
use super::listen::Network;
use super::notifications::Centre;
use super::system::System;
use super::ws::Door;
use super::{
    accept, audit, auth, backups, describe, incidents, integrity, jobs, library, logs, notifications, operations,
    pages, rules, setup, story, system, ws,
};
use crate::backup::Place;
use crate::engine::run::Orders;
use crate::ledger::Ledger;
use crate::library::Library;
use crate::operate::Operations;

/// How long requests that are under way may take when logmedic stops.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Where every route is.
pub const BASE: &str = "/api/v1";

/// What the routes work with.
pub struct Parts {
    /// What is kept.
    pub ledger: Ledger,
    /// The rules in effect.
    pub book: rules::Book,
    /// Gives people's orders to the engine.
    pub orders: Orders,
    /// What takes time.
    pub operations: Operations,
    /// The files under the roots.
    pub library: Library,
    /// Who may do what.
    pub identity: Identity,
    /// The notification centre.
    pub centre: Centre,
    /// The way to the hub.
    pub door: Door,
    /// Health, figures and settings.
    pub system: System,
    /// Where backups are kept.
    pub backups: Place,
}

/// All routes, and their description.
pub fn routes(parts: Parts) -> (Router, OpenApi) {
    let Parts { ledger, book, orders, operations, library, identity, centre, door, system, backups } = parts;
    let api = OpenApiRouter::new()
        .merge(auth::router(identity.clone()))
        .merge(audit::router(identity.clone()))
        .merge(incidents::router(ledger.clone(), orders.clone(), identity.clone()))
        .merge(story::router(ledger.clone(), book.clone(), identity.clone()))
        .merge(jobs::router(ledger.clone(), orders, identity.clone()))
        .merge(logs::router(ledger.clone(), book.clone(), identity.clone()))
        .merge(library::router(library.clone(), operations.clone(), identity.clone()))
        .merge(integrity::router(library, operations.clone(), identity.clone()))
        .merge(notifications::router(centre))
        .merge(backups::router(backups, operations.clone(), identity.clone()))
        .merge(operations::router(operations, identity.clone()))
        .merge(rules::router(ledger, book, identity))
        .merge(system::router(system.clone()))
        .merge(ws::router::<Door>().with_state(door));
    let (router, description) =
        OpenApiRouter::with_openapi(describe::base()).nest(BASE, api).merge(system::live(system)).split_for_parts();
    (router, describe::complete(description))
}

/// The server: every route behind the guard.
pub fn service(parts: Parts, guard: Guard) -> Router {
    let (router, description) = routes(parts);
    let text: Arc<str> = description.to_json().unwrap_or_default().into();
    let described = move || {
        let text = Arc::clone(&text);
        async move { ([(header::CONTENT_TYPE, "application/json")], text.to_string()).into_response() }
    };
    let router =
        router.route(&format!("{BASE}/openapi.json"), get(described)).merge(setup::router()).fallback(pages::serve);
    guard.protect(router)
}

/// Serves until `stop`.
pub async fn run(service: Router, network: Option<TcpListener>, local: Option<UnixListener>, stop: CancellationToken) {
    let network = network.map(|listener| {
        let peer = |_: &TcpStream, address: &SocketAddr| Peer::Tcp(*address);
        tokio::spawn(accept::serve(Network(listener), service.clone(), accept::NETWORK, peer, stop.clone()))
    });
    let local = local.map(|listener| {
        let peer = |stream: &UnixStream, _: &_| Peer::of_unix(stream);
        tokio::spawn(accept::serve(listener, service, accept::LOCAL, peer, stop.clone()))
    });
    stop.cancelled().await;
    let both = async {
        for task in [network, local].into_iter().flatten() {
            // It ends without an error; a panic is told by the runtime.
            let _ = task.await;
        }
    };
    if tokio::time::timeout(LAST_ANSWERS, both).await.is_err() {
        tracing::debug!("some requests were cut off");
    }
}
