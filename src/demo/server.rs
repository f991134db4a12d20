//! Serves the Bot API on a local port: listens, vanishes and comes back as the world says.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::routing::{any, get, post};
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::world::World;
use super::{api, control, transfer};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 256;
/// How often the port is asked for again after the listener is gone, and how long apart: the kernel frees it at once.
const REBIND: (u32, Duration) = (100, Duration::from_millis(20));

/// Serves until `stop`; while the world is closed nobody listens on the port, and it is kept for us.
///
/// # Errors
///
/// When the port cannot be had again after the server was away.
pub async fn serve(listener: TcpListener, world: World, stop: CancellationToken) -> io::Result<()> {
    let address = listener.local_addr()?;
    let app = router(world.clone()).into_make_service_with_connect_info::<Fate>();
    let mut open = world.open();
    let mut listener = Some(listener);
    loop {
        let Some(door) = listener.take() else { return Ok(()) };
        let gone = stop.child_token();
        let serving = axum::serve(Door { listener: door, gone: gone.clone() }, app.clone())
            .with_graceful_shutdown(gone.clone().cancelled_owned());
        let serving = tokio::spawn(serving.into_future());
        tokio::select! {
            () = stop.cancelled() => {}
            _ = open.wait_for(|open| !open) => {}
        }
        gone.cancel();
        serving.await.map_err(io::Error::other)??;
        if stop.is_cancelled() {
            return Ok(());
        }
        let socket = hold_port(address).await?;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = open.wait_for(|open| *open) => listener = Some(socket.listen(BACKLOG)?),
        }
    }
}

/// A socket on the port that does not listen: callers are refused, and nobody else can take it.
async fn hold_port(address: SocketAddr) -> io::Result<TcpSocket> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..REBIND.0 {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        match socket.bind(address) {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
        tokio::time::sleep(REBIND.1).await;
    }
    Err(last)
}

fn router(world: World) -> Router {
    Router::new()
        .route("/control/video", post(control::video))
        .route("/control/text", post(control::text))
        .route("/control/fault", post(control::fault))
        .route("/control/clear", post(control::clear))
        .route("/control/down", post(control::down))
        .route("/control/inbox", get(control::inbox))
        .route("/control/state", get(control::state))
        .route("/file/{bot}/{*path}", get(transfer::file))
        .route("/{bot}/{method}", any(api::method))
        .fallback(api::unknown)
        .with_state(world)
}

/// What shall become of one connection.
#[derive(Clone, Default)]
pub(super) struct Fate {
    reset: Arc<AtomicBool>,
}

impl Fate {
    /// The connection ends by a reset rather than by a close.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, Door>> for Fate {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().fate.clone()
    }
}

/// Accepts connections that all break when the server goes.
pub(super) struct Door {
    listener: TcpListener,
    gone: CancellationToken,
}

impl axum::serve::Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        let gone = Box::pin(self.gone.clone().cancelled_owned());
        (Connection { stream, fate: Fate::default(), gone, is_gone: false }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that breaks when the server goes.
pub(super) struct Connection {
    stream: TcpStream,
    fate: Fate,
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
    is_gone: bool,
}

impl Connection {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.is_gone || self.gone.as_mut().poll(context).is_ready() {
            self.is_gone = true;
            self.fate.reset();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.fate.reset.load(Ordering::Relaxed) {
            // Without lingering, closing a socket sends RST: what a killed server's kernel does. Failing is harmless.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
