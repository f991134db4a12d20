//! Serves the connections of a listener: each has to ask within a time, and there are so many at most. I/O.
//!
//! One deadline holds for the head of a request however slowly it comes, and for the silence between two requests of a kept
//! connection. What became a WebSocket has its own manners (`hub`), but keeps its place.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::Peer;

/// How patient a listener is.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first moment, or the last answer, to the end of a request's head.
    pub head: Duration,
    /// Connections at once, WebSockets included. Who comes then waits in the system's queue.
    pub connections: usize,
}

/// Browsers keep a connection for their next request; to make a new one costs them nothing here.
const HEAD: Duration = Duration::from_secs(20);

/// Of the network: the hub's 1,024 WebSockets, and 512 that ask.
pub const NETWORK: Limits = Limits { head: HEAD, connections: 1_536 };

/// Of this machine's own commands. A place of their own: whoever fills the network's cannot lock them out.
pub const LOCAL: Limits = Limits { head: HEAD, connections: 64 };

/// The head of a request with all its headers; a cookie and a token take a tenth of it.
const BUFFER: usize = 64 << 10;

/// Serves until `stop`, then waits for what is under way.
pub async fn serve<L: Listener>(
    mut listener: L,
    service: Router,
    limits: Limits,
    peer: impl Fn(&L::Io, &L::Addr) -> Peer,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            let (io, address) = listener.accept().await;
            (place, io, address)
        };
        let (place, io, address) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        // Nobody closes the semaphore.
        let Ok(place) = place else { break };
        let peer = peer(&io, &address);
        let io = Placed { io, _place: place };
        connections.spawn(converse(io, peer, service.clone(), limits.head, stop.clone()));
    }
    // Whoever comes now is refused at once.
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn converse<I>(io: Placed<I>, peer: Peer, service: Router, head: Duration, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(service);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        service.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(BUFFER);
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), service).with_upgrades());
    // How a connection ends is its client's affair: it hung up, was too slow, or sent no HTTP.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// A connection with its place, which goes wherever the connection goes: also into a WebSocket.
struct Placed<I> {
    io: I,
    _place: OwnedSemaphorePermit,
}

impl<I: AsyncRead + Unpin> AsyncRead for Placed<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Placed<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
