//! Starts the HTTP interface beside the engine: listeners, identities, hub, routes. I/O.
//!
//! The interface is a guest of the agent: what fails here is said, and healing goes on without it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::load::Loaded;
use crate::serve::app::{App, Info, Parts};
use crate::serve::auth::{self, Identity};
use crate::serve::guard::{self, Guard};
use crate::serve::{door, hub, listen, render, run};

/// The running interface.
pub struct Serving {
    tasks: Vec<JoinHandle<()>>,
    /// Goes with the interface.
    _socket: Option<listen::Socket>,
}

impl Serving {
    /// Waits for its end.
    pub async fn ended(self) {
        for task in self.tasks {
            let _ = task.await;
        }
    }
}
