//! Keeps an unfinished download: whose `.part` it is, what it may be resumed from, and the thread that writes it.

use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

use super::output::{Step, evidence, failed, permanent, transient};
use super::{Healer, Hold, Settings, Stop, blocking};
use crate::decide::TaskOutput;
use crate::ledger::{Ledger, rusqlite};
use crate::roots::{Error, Part, RootPath};

/// Chunks between the network and the disk; each is at most some tens of kilobytes.
const CHUNKS: usize = 64;
/// Remembered parts. Beyond it all but the newest are forgotten: they can then not be resumed, only begun again.
const MAX_REMEMBERED: u32 = 1000;
/// Room left beside a download that fits exactly: directories and other writers need some.
pub(super) const SLACK: u64 = 1 << 20;

/// What is written down about a part, so that it is known again after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// What it was fetched from, as a digest: addresses may hold secrets.
    source: String,
    /// The tag or date by which the server recognises the content.
    validator: Option<String>,
    /// Device and inode of the file.
    identity: (u64, u64),
    /// Its size, once it was complete and proven.
    proven: Option<u64>,
}

impl Note {
    /// Whether it is about the file with this identity.
    pub(super) fn is_of(&self, identity: (u64, u64)) -> bool {
        self.identity == identity
    }
}

/// An unfinished download in the hands of one repair.
pub(super) struct Draft {
    pub(super) part: Part,
    pub(super) validator: Option<String>,
    /// Whether the source itself said where the file ends.
    pub(super) complete: bool,
    note: Note,
    key: String,
    ledger: Ledger,
    _hold: Hold,
}

fn key_of(path: &RootPath) -> String {
    format!("part:{}/{}", path.root_name(), path.relative().display())
}

impl Healer {
    /// What was written down about the file at `path` or its part.
    pub(super) fn note(&self, path: &RootPath) -> Option<Note> {
        let key = key_of(path);
        let text: Option<String> = self
            .inner
            .ledger
            .read(|db| db.query_row("SELECT value FROM meta WHERE name = ?1", [&key], |row| row.get(0)))
            .ok();
        serde_json::from_str(&text?).ok()
    }

    /// Whether the file with this identity is the one an earlier run fetched, proved and put there.
    pub(super) fn was_placed(&self, path: &RootPath, identity: (u64, u64), size: u64) -> bool {
        self.note(path).is_some_and(|note| note.identity == identity && note.proven == Some(size))
    }

    /// Opens the part for a download of `source`: an earlier one of our own is gone on with, somebody else's that
    /// is being written is left alone, an abandoned one gives way.
    pub(super) async fn draft(&self, path: &RootPath, source: &str) -> Step<Draft> {
        let hold = self.hold(path.to_string())?;
        let (note, fresh) = (self.note(path).unwrap_or_default(), self.settings().timeouts.part_fresh);
        let owners = self.part_owners(path);
        let (path, wanted) = (path.clone(), digest(source.as_bytes()));
        let key = key_of(&path);
        let found = {
            let (wanted, note) = (wanted.clone(), note.clone());
            blocking(move || open(&path, &owners, &note, &wanted, fresh)).await??
        };
        let (part, resumable) = found;
        let validator = note.validator.filter(|_| resumable);
        let note = Note { source: wanted, validator: validator.clone(), identity: part.identity, proven: None };
        let draft =
            Draft { part, validator, complete: false, note, key, ledger: self.inner.ledger.clone(), _hold: hold };
        draft.save().await?;
        Ok(draft)
    }
}

impl Healer {
    /// Whose parts may be taken over.
    fn part_owners(&self, path: &RootPath) -> Vec<u32> {
        let mut owners = vec![nix::unistd::geteuid().as_raw(), self.settings().bot.uid];
        owners.extend(path.policy().uid);
        owners
    }

    /// The part that a configured command made.
    pub(super) async fn adopt(&self, path: &RootPath, hold: Hold) -> Step<Draft> {
        let (key, owners, path) = (key_of(path), self.part_owners(path), path.clone());
        let part = blocking(move || path.open_part(&owners)).await??;
        let note = Note { identity: part.identity, ..Note::default() };
        let draft =
            Draft { part, validator: None, complete: true, note, key, ledger: self.inner.ledger.clone(), _hold: hold };
        draft.save().await?;
        Ok(draft)
    }
}

fn open(path: &RootPath, owners: &[u32], note: &Note, source: &str, fresh: std::time::Duration) -> Step<(Part, bool)> {
    if let Some(parent) = path.parent() {
        parent.make_directories()?;
    }
    match path.open_part(owners) {
        Ok(part) if part.identity == note.identity => {
            if note.source == source && note.validator.is_some() {
                return Ok((part, true));
            }
            part.path.remove_file()?;
        }
        Ok(part) => {
            let age = part.path.stat()?.map_or(fresh, |facts| facts.age(SystemTime::now()));
            if age < fresh {
                let detail = format!("{} is being written by somebody else, last {} s ago", part.path, age.as_secs());
                return Err(transient(detail));
            }
            part.path.remove_file()?;
        }
        Err(Error::Missing(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok((path.create_part()?, false))
}

impl Draft {
    /// Forgets what the part holds.
    pub(super) fn restart(&mut self) -> Step<()> {
        let begin = |part: &mut Part| part.file.set_len(0).and_then(|()| part.file.seek(SeekFrom::Start(0)));
        begin(&mut self.part).map_err(|error| failed(format!("failed to empty {}: {error}", self.part.path)))?;
        self.part.held = 0;
        Ok(())
    }

    /// Refuses what is too large or has no room, before anything is written.
    pub(super) fn fits(&self, total: Option<u64>, settings: &Settings) -> Step<()> {
        let Some(total) = total else { return Ok(()) };
        if total > settings.max_download {
            return Err(permanent(format!(
                "it has {total} bytes, more than the {} a download may have",
                settings.max_download
            )));
        }
        let space = self.part.path.space()?;
        let need = total.saturating_sub(self.part.held).saturating_add(SLACK);
        if need > space.free {
            return Err(Box::new(TaskOutput::NoSpace {
                detail: format!("{need} bytes are needed for {}, {} are free", self.part.path, space.free),
                evidence: evidence(
                    json!({ "need_bytes": need, "free_bytes": space.free, "root": self.part.path.root_name() }),
                ),
            }));
        }
        Ok(())
    }

    /// Writes down by what the content will be recognised.
    pub(super) async fn remember(&mut self, validator: Option<String>) -> Step<()> {
        self.note.validator = validator;
        self.save().await
    }

    /// Writes down that it is complete and proven, before it is put into place.
    pub(super) async fn proven(&mut self) -> Step<()> {
        self.note.proven = self.complete.then_some(self.part.held);
        self.save().await
    }

    async fn save(&self) -> Step<()> {
        let text = serde_json::to_string(&self.note).map_err(|error| failed(error.to_string()))?;
        let key = self.key.clone();
        let kept = self
            .ledger
            .write(move |db| {
                let count: u32 =
                    db.query_row("SELECT count(*) FROM meta WHERE name GLOB 'part:*'", [], |row| row.get(0))?;
                if count > MAX_REMEMBERED {
                    db.execute("DELETE FROM meta WHERE name GLOB 'part:*'", [])?;
                }
                db.execute(
                    "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
                    rusqlite::params![key, text],
                )
            })
            .await;
        // Without the note a resumed download begins anew; a full state directory must not stop one from being made.
        if let Err(error) = kept {
            tracing::warn!("{error}; the download goes on without a note of how far it is");
        }
        Ok(())
    }
}

/// A thread that writes what it is given and syncs at the end. Dropped, it ends after what it holds.
pub(super) struct Writer {
    chunks: mpsc::Sender<Bytes>,
    thread: tokio::task::JoinHandle<(Draft, io::Result<()>)>,
    cap: u64,
}

impl Writer {
    pub(super) fn start(mut draft: Draft, cap: u64, stop: Stop) -> Self {
        let (chunks, mut given) = mpsc::channel::<Bytes>(CHUNKS);
        let thread = tokio::task::spawn_blocking(move || {
            let mut write = || -> io::Result<()> {
                while let Some(chunk) = given.blocking_recv() {
                    if stop.is_set() {
                        break;
                    }
                    if draft.part.held.saturating_add(chunk.len() as u64) > cap {
                        return Err(io::ErrorKind::FileTooLarge.into());
                    }
                    draft.part.file.write_all(&chunk)?;
                    draft.part.held += chunk.len() as u64;
                    stop.meter.advance(chunk.len() as u64);
                }
                draft.part.file.sync_all()
            };
            let wrote = write();
            (draft, wrote)
        });
        Self { chunks, thread, cap }
    }

    /// Hands over a chunk; `false` when the writer has ended.
    pub(super) async fn give(&mut self, chunk: Bytes) -> bool {
        self.chunks.send(chunk).await.is_ok()
    }

    /// Waits until everything is on the disk.
    pub(super) async fn finish(self) -> Step<Draft> {
        drop(self.chunks);
        let (draft, wrote) = self.thread.await.map_err(|error| failed(format!("failed to write: {error}")))?;
        let Err(error) = wrote else { return Ok(draft) };
        let path = &draft.part.path;
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let free = path.space().map(|space| space.free).unwrap_or(0);
                Err(Box::new(TaskOutput::NoSpace {
                    detail: format!("the room ran out while {path} was written; what came is kept"),
                    evidence: evidence(
                        json!({ "written_bytes": draft.part.held, "free_bytes": free, "root": path.root_name() }),
                    ),
                }))
            }
            io::ErrorKind::FileTooLarge => {
                let _ = path.remove_file();
                Err(permanent(format!("it is larger than the {} bytes a download may have", self.cap)))
            }
            _ => Err(failed(format!("failed to write {path}: {error}"))),
        }
    }
}

/// SHA-256 in lower-case hex.
pub(super) fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
