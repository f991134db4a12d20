//! Keeps what must survive: SQLite with one writer at a time. I/O.
//!
//! Everything that belongs together commits together ([`Ledger::write`]). Readers use their own connection.

mod ahead;
pub mod audit;
pub mod backup;
pub mod channels;
pub mod events;
pub mod identity;
pub mod integrity;
pub mod jobs;
pub mod jsonl;
pub mod library;
pub mod notifications;
pub mod operations;
pub mod outbox;
pub mod probes;
mod schema;
pub mod standing;
pub mod store;
pub mod story;
pub mod trends;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use rusqlite;
use tokio::sync::watch;

/// What went wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database said no.
    #[error("failed to use the state database {path}: {source}")]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// A file operation failed.
    #[error("failed to use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// The database is newer than this program.
    #[error(
        "failed to use the state database {path}: it has format {found}, this logmedic knows {known}; install the newer logmedic again or move the state directory aside"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Another logmedic holds the state directory.
    #[error(
        "failed to lock {path}: another logmedic (process {pid}) uses this state directory; stop it, or give this one its own with LOGMEDIC_STATE__DIR"
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it.
        pid: String,
    },
    /// A writer died in the middle of its work.
    #[error("failed to use the state database: a writer died; restart logmedic and report what stands above")]
    Stopped,
}

/// When a transaction must have reached the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Before its caller goes on: what it announces is then begun, and could not be told from the system afterwards.
    Now,
    /// With a later one: a crash of this program loses nothing, a power cut may take the last moment back, as a whole, its
    /// position in the log too, so that it is read and asked about again.
    Later,
}

/// The one connection that writes.
struct Writer {
    connection: Connection,
    /// How the connection is set now.
    force: Option<Force>,
}

/// A handle on the state database; clones share the one writer.
#[derive(Clone)]
pub struct Ledger {
    path: Arc<PathBuf>,
    writer: Arc<Mutex<Writer>>,
    reader: Arc<Mutex<Connection>>,
    ahead: Arc<Mutex<ahead::Ahead>>,
    commits: watch::Sender<u64>,
    _lock: Arc<std::fs::File>,
}

impl Ledger {
    /// Opens (or makes) the database under `dir`, takes the lock, migrates.
    ///
    /// # Errors
    /// When the directory cannot be used, is locked by another logmedic, or holds a newer format.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| Error::Io { path: dir.into(), source })?;
        let lock = lock(&dir.join("logmedic.lock"))?;
        let path = dir.join("state.db");
        let fail = |source| Error::Sqlite { path: path.clone(), source };
        let mut connection = Connection::open(&path).map_err(fail)?;
        schema::prepare(&mut connection, &path)?;
        let ahead = Arc::new(Mutex::new(Self::open_ahead(&mut connection, &path)?));
        let reader = Connection::open_with_flags(
            &path,
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(fail)?;
        schema::set_up(&reader).map_err(fail)?;
        let writer = Arc::new(Mutex::new(Writer { connection, force: None }));
        let commits = watch::Sender::new(0);
        let (path, reader) = (Arc::new(path), Arc::new(Mutex::new(reader)));
        Ok(Self { path, writer, reader, ahead, commits, _lock: Arc::new(lock) })
    }

    /// Runs `work` in one transaction, off the runtime, and commits it to the disk; an error rolls all of it back.
    ///
    /// # Errors
    /// What `work` or the commit failed with.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let this = self.clone();
        // The caller may go away; the commit stands all the same.
        tokio::task::spawn_blocking(move || this.write_here(Force::Now, work)).await.map_err(|_| Error::Stopped)?
    }

    /// The same on the caller's thread. Blocking: a fraction of a millisecond, or with [`Force::Now`] as long as the
    /// disk takes, after who writes just now.
    ///
    /// # Errors
    /// What `work` or the commit failed with.
    pub fn write_here<T>(
        &self,
        force: Force,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let done = self.write_untold(force, work)?;
        self.tell();
        Ok(done)
    }

    /// The same; who follows [`Ledger::commits`] hears of it only by [`Ledger::tell`].
    fn write_untold<T>(
        &self,
        force: Force,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let mut writer = self.writer.lock().map_err(|_| Error::Stopped)?;
        writer.run(force, work).map_err(|source| Error::Sqlite { path: self.path.as_ref().clone(), source })
    }

    /// Tells those who follow the commits that there was one.
    pub fn tell(&self) {
        self.commits.send_modify(|count| *count += 1);
    }

    /// Changes with every commit: who wants to know what is new looks then.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Forces to the disk what was committed so far. Blocking: as long as the disk takes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn force(&self) -> Result<(), Error> {
        let mut path = self.path.as_os_str().to_owned();
        path.push("-wal");
        let path = PathBuf::from(path);
        match std::fs::File::open(&path).and_then(|log| log.sync_data()) {
            // Without a log all of it is in the database, which was forced when it went there.
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::Io { path, source }),
            _ => Ok(()),
        }
    }

    /// Runs a short query on the read-only connection. Blocking: microseconds for the queries of this program.
    ///
    /// # Errors
    /// What `query` failed with.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let reader = self.reader.lock().map_err(|_| Error::Stopped)?;
        query(&reader).map_err(|source| Error::Sqlite { path: self.path.as_ref().clone(), source })
    }

    /// Opens the database of a running (or stopped) logmedic for looking only; takes no lock.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn look(dir: &Path) -> Result<Connection, Error> {
        let path = dir.join("state.db");
        let fail = |source| Error::Sqlite { path: path.clone(), source };
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(fail)?;
        schema::set_up(&connection).map_err(fail)?;
        Ok(connection)
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Writer {
    fn run<T>(
        &mut self,
        force: Force,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        if self.force != Some(force) {
            let value = if force == Force::Now { "FULL" } else { "NORMAL" };
            // Refused, it stays as it was, and the next one asks again.
            self.force = self.connection.pragma_update(None, "synchronous", value).is_ok().then_some(force);
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }
}

fn lock(path: &Path) -> Result<std::fs::File, Error> {
    use std::io::{Read as _, Write as _};
    let io = |source| Error::Io { path: path.into(), source };
    let mut file =
        std::fs::OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(io)?;
            write!(file, "{}", std::process::id()).map_err(io)?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only for the message; an unreadable lock file is still a held one.
            let _ = file.read_to_string(&mut pid);
            Err(Error::Locked { path: path.into(), pid: if pid.is_empty() { "unknown".into() } else { pid } })
        }
        Err(std::fs::TryLockError::Error(source)) => Err(io(source)),
    }
}
