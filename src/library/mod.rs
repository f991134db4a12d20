//! Knows every file of the library: what it is, whether it is whole, how it looks. I/O.
//!
//! Files are reached through [`Roots`] alone, read by their descriptor, and never written to. What is known of them stands in the
//! table `media`; small pictures in the state directory.

pub mod confine;
mod feed;
mod ffmpeg;
mod hash;
mod look;
mod pace;
mod picture;
mod populate;
mod tasks;
mod tend;
mod thumbnails;
mod verify;
mod verify_decode;
mod verify_file;
mod verify_task;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::ledger::rusqlite::Connection;
use crate::ledger::{Error, Ledger, rusqlite};
use crate::operate::schedule::Schedule;
use crate::roots::Roots;

pub use feed::{Arrival, Feed};
pub use tasks::{IDS_MAX, POPULATE, Populate, THUMBNAILS, Thumbnails, tasks};
pub use tend::tend;
pub use verify::{Level, Verify};
pub use verify_decode::Decoder;
pub use verify_file::look_at;
pub use verify_task::{INCIDENTS_MAX, Reporter, VERIFY, verification};

/// How the library is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From one look at all files to the next; `None`: only when somebody asks.
    pub every: Option<Duration>,
    /// Bytes a second that are read by itself; 0: as fast as it goes.
    pub rate: u64,
    /// When all files are verified by themselves; `None`: only when somebody asks.
    pub verify: Option<Schedule>,
    /// How thoroughly then.
    pub verify_level: Level,
    /// Bytes a second that are read to verify; 0: as fast as it goes.
    pub verify_rate: u64,
    /// Whether small pictures are made by themselves.
    pub thumbnails: bool,
    /// The program that makes them.
    pub ffmpeg: PathBuf,
    /// It is ended after this time.
    pub timeout: Duration,
    /// Memory that it may take, in bytes.
    pub memory: u64,
    /// Where small pictures are kept.
    pub pictures: PathBuf,
    /// The bot's working directory, for the paths of its jobs.
    pub base: Option<PathBuf>,
    /// What marks processes of ours: name and value of an environment variable.
    pub marker: Option<(String, String)>,
    /// The program that has [`confine::main`] behind its `__confined`.
    pub program: PathBuf,
}

/// A handle on the library; clones share it.
#[derive(Clone)]
pub struct Library {
    inner: Arc<Inner>,
}

struct Inner {
    ledger: Ledger,
    roots: Arc<Roots>,
    settings: Settings,
    /// For long lists: nobody else waits for it.
    reader: Mutex<Option<Connection>>,
    changed: watch::Sender<u64>,
    /// Why no picture can be made at all, as the last try showed.
    trouble: Mutex<Option<String>>,
}

impl Library {
    /// The library of these roots.
    #[must_use]
    pub fn new(ledger: Ledger, roots: Arc<Roots>, settings: Settings) -> Self {
        let inner = Inner {
            ledger,
            roots,
            settings,
            reader: Mutex::new(None),
            changed: watch::Sender::new(0),
            trouble: Mutex::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Runs a query on a connection of the library's own, off the runtime.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn read<T, F>(&self, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut reader = this.inner.reader.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = match reader.take() {
                Some(connection) => connection,
                None => this.connection()?,
            };
            let done = query(&connection);
            *reader = Some(connection);
            done.map_err(|source| Error::Sqlite { path: this.inner.ledger.path().into(), source })
        })
        .await
        .map_err(|_| Error::Stopped)?
    }

    /// Changes whenever files came, changed or went.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Why no picture can be made at all, as the last try showed.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bytes of a file's small picture. Blocking: one small file. `None`: it is not there.
    #[must_use]
    pub fn picture(&self, id: &str) -> Option<Vec<u8>> {
        picture::read(&self.inner.settings.pictures, id)
    }

    fn connection(&self) -> Result<Connection, Error> {
        let path = self.inner.ledger.path();
        Ledger::look(path.parent().unwrap_or(path))
    }

    fn tell(&self) {
        self.inner.changed.send_modify(|count| *count += 1);
    }
}

/// Now, in Unix milliseconds.
fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
