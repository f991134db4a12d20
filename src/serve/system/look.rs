//! Reads the ledger for those who look at the whole of it: on a connection of its own, off the runtime. I/O.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ledger::rusqlite::{self, Connection};
use crate::ledger::{Error, Ledger};

/// A connection that is opened when somebody asks first.
#[derive(Clone)]
pub(super) struct Look {
    dir: Arc<Path>,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Look {
    pub(super) fn new(database: &Path) -> Self {
        let dir = database.parent().unwrap_or(database);
        Self { dir: dir.into(), connection: Arc::default() }
    }

    /// Runs a query that may take some time; it holds nobody up but others of its kind.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let this = self.clone();
        let read = move || {
            let mut place = this.connection.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = match place.take() {
                Some(connection) => connection,
                None => Ledger::look(&this.dir)?,
            };
            let done = query(&connection);
            *place = Some(connection);
            done.map_err(|source| Error::Sqlite { path: this.dir.join("state.db"), source })
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| Error::Stopped)?
    }
}
