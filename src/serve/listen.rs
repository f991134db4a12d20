//! Accepts connections: on the address of the configuration, and on a socket in the state directory for this machine's own
//! commands. I/O.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::{TcpListener, UnixListener};

/// The socket's name in the state directory.
pub const SOCKET: &str = "api.sock";

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody over the network.
    Net(SocketAddr),
    /// A process of this machine that may open the socket in the state directory: this user or root.
    Local,
}

impl Peer {
    /// The address, for limits and the audit.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        match self {
            Self::Net(address) => address.ip(),
            Self::Local => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self::Net(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, Local>> for Peer {
    fn connect_info(_: IncomingStream<'_, Local>) -> Self {
        Self::Local
    }
}

/// The socket in the state directory.
pub struct Local {
    inner: UnixListener,
    path: PathBuf,
}

impl Local {
    /// Takes the place of a socket that an earlier run left: the state directory is locked, nobody else uses it.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn bind(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The directory itself is closed to others (0700), so nobody comes in between.
        let inner = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { inner, path })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // A socket that stays behind is taken away by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl axum::serve::Listener for Local {
    type Io = tokio::net::UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.inner.accept().await {
                Ok((stream, address)) if is_ours(&stream) => return (stream, address),
                Ok(_) => {}
                Err(error) => {
                    // Out of descriptors: the connection waits until there are some again.
                    tracing::warn!("failed to accept a connection on {}: {error}", self.path.display());
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// Whether this user or root is at the other end: asked of the system, not of the mode of a file.
fn is_ours(stream: &tokio::net::UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}
