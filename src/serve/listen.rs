//! Accepts connections: of the network, and on the socket in the state directory, for this machine's own commands. I/O.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpStream, UnixListener};

/// The network.
pub struct Network(pub TcpListener);

impl axum::serve::Listener for Network {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
        // Frames are small and must not wait for each other. Refused, they do.
        let _ = stream.set_nodelay(true);
        (stream, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// The socket's name in the state directory.
pub const SOCKET: &str = "api.sock";

/// Takes the socket's name away when it is dropped.
pub struct Socket(PathBuf);

/// Opens the socket, in place of one that an earlier run left: the state directory is locked, nobody else uses it.
///
/// # Errors
/// When the directory cannot be written.
pub fn bind(state_dir: &Path) -> io::Result<(UnixListener, Socket)> {
    let path = state_dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The directory is closed to others (0700), so nobody comes in between; who is at the other end is asked of the
    // system for each connection.
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok((listener, Socket(path)))
}

impl Drop for Socket {
    fn drop(&mut self) {
        // One that stays behind is taken away by the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}
