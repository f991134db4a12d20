//! Finds out what files there are: walks the roots, looks at what is new or changed, marks what is gone. I/O.
//!
//! What stands in the table is never asked again: a file whose inode, size and dates are the same was not written to. So a second
//! look costs one `stat` a file, and one that was cut off goes on where it was.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::Utc;

use super::hash::{LARGE, PIECE};
use super::look::{Blind, Looked, look, stamp};
use super::pace::{Ended, Pace, threads};
use super::{Library, now_ms};
use crate::growth::names::{self, Name};
use crate::ledger::library::{self as rows, Checked, Integrity, Media, Place, Stamp, Thumbnail};
use crate::ledger::rusqlite::{Connection, Transaction};
use crate::ledger::{self, Force};
use crate::roots::{Error, FileKind, Found, MAX_DEPTH, RootPath};
use crate::vocab::{Id, Rng, clean_line};

/// Entries of one directory that are looked at; more in one directory no file browser shows.
const ENTRIES_MAX: usize = 200_000;

/// Files that are looked at before what they showed is written down: one transaction of a few milliseconds.
const BATCH: usize = 128;

/// … or so many bytes, so that little is read again after a crash.
const BATCH_BYTES: u64 = 64 << 20;

/// Reasons that are told of those for which files could not be read.
const REASONS_MAX: usize = 5;

/// What became of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// That are there.
    pub(super) files: u64,
    pub(super) new: u64,
    pub(super) changed: u64,
    pub(super) moved: u64,
    pub(super) gone: u64,
    /// Of which somebody is just writing.
    pub(super) busy: u64,
    pub(super) unreadable: u64,
    /// That were read.
    pub(super) bytes: u64,
    /// Why files could not be read, a few of the sentences.
    pub(super) reasons: Vec<String>,
}

impl Summary {
    /// One sentence.
    pub(super) fn detail(&self) -> String {
        let Self { files, new, changed, moved, gone, busy, unreadable, bytes, .. } = self;
        let mut text = format!("{files} files: {new} new, {changed} changed, {moved} moved, {gone} gone");
        if *busy > 0 {
            text.push_str(&format!(", {busy} being written"));
        }
        if *unreadable > 0 {
            text.push_str(&format!(", {unreadable} that could not be read"));
        }
        text.push_str(&format!("; {bytes} bytes read"));
        text
    }
}

/// Why it ended early.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Somebody asked for the end.
    Ended,
    /// The state cannot be read or written.
    Ledger(ledger::Error),
}

impl From<Ended> for Stopped {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

impl From<ledger::Error> for Stopped {
    fn from(error: ledger::Error) -> Self {
        Self::Ledger(error)
    }
}

/// A file that is to be looked at.
struct Todo {
    place: Place,
    stamp: Stamp,
    /// The row of this file, where it is known under this name or another.
    known: Option<String>,
    moved: bool,
}

/// How far it is, told after each batch: the summary, how many files are known to be there, where it is.
pub(super) type Tell<'a> = &'a dyn Fn(&Summary, u64, &str);

/// Goes through all roots.
pub(super) fn populate(library: &Library, pace: &Pace, tell: Tell<'_>) -> Result<Summary, Stopped> {
    let db = library.connection()?;
    let known = sql(library, rows::count(&db))?.0;
    let jobs = Jobs::read(library, &db)?;
    let mut run = Run {
        library,
        pace,
        tell,
        db,
        jobs,
        rng: seed(),
        known,
        summary: Summary::default(),
        todo: Vec::new(),
        bytes: 0,
        devices: Vec::new(),
        moved: HashSet::new(),
    };
    let roots = library.inner.roots.all();
    for root in &roots {
        run.root(root)?;
    }
    run.flush()?;
    run.roots_gone(&roots)?;
    let forgotten = library.inner.ledger.write_here(Force::Later, rows::forget)?;
    for id in forgotten {
        super::picture::remove(&library.inner.settings.pictures, &id);
    }
    Ok(run.summary)
}

/// Looks at these files alone: what a watcher saw.
pub(super) fn arrive(library: &Library, places: Vec<Place>, pace: &Pace) -> Result<Summary, Stopped> {
    let db = library.connection()?;
    let jobs = Jobs::read(library, &db)?;
    let tell = |_: &Summary, _: u64, _: &str| {};
    let summary = Summary::default();
    let mut run = Run {
        library,
        pace,
        tell: &tell,
        db,
        jobs,
        rng: seed(),
        known: 0,
        summary,
        todo: Vec::new(),
        bytes: 0,
        devices: Vec::new(),
        moved: HashSet::new(),
    };
    for place in places {
        let Ok(path) = library.inner.roots.place(&place.root, &place.relative()) else { continue };
        match path.open_marked() {
            Ok((_, mark)) => {
                let before = sql(library, rows::at(&run.db, &place))?;
                let before = before.map(|row| (row.id, row.stamp, row.gone_at.is_some()));
                run.meet(place, stamp(mark), before)?;
            }
            Err(Error::Missing(_)) => {
                let row = sql(library, rows::at(&run.db, &place))?;
                if let Some(row) = row.filter(|row| row.gone_at.is_none()) {
                    run.lose(vec![row.id])?;
                }
            }
            Err(_) => {}
        }
    }
    run.flush()?;
    Ok(run.summary)
}

fn seed() -> Rng {
    use std::hash::{BuildHasher as _, Hasher as _};
    Rng::new(std::hash::RandomState::new().build_hasher().finish())
}

fn sql<T>(library: &Library, done: ledger::rusqlite::Result<T>) -> Result<T, Stopped> {
    done.map_err(|source| Stopped::Ledger(ledger::Error::Sqlite { path: library.inner.ledger.path().into(), source }))
}

/// Which download brought which file.
struct Jobs(HashMap<(String, PathBuf), String>);

impl Jobs {
    fn read(library: &Library, db: &Connection) -> Result<Self, Stopped> {
        let read = || {
            let mut query = db.prepare_cached(
                "SELECT id, coalesce(json ->> '$.facts.target', json ->> '$.facts.path') FROM row WHERE kind = 'job' ORDER BY id",
            )?;
            let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))?;
            rows.collect::<ledger::rusqlite::Result<Vec<_>>>()
        };
        let base = library.inner.settings.base.as_deref();
        let resolved = sql(library, read())?.into_iter().filter_map(|(id, path)| {
            let path = library.inner.roots.resolve(&path?, base).ok()?;
            Some(((path.root_name().to_owned(), path.relative().to_path_buf()), id))
        });
        Ok(Self(resolved.collect()))
    }

    fn of(&self, place: &Place) -> Option<String> {
        self.0.get(&(place.root.clone(), place.relative())).cloned()
    }
}

struct Run<'a> {
    library: &'a Library,
    pace: &'a Pace,
    tell: Tell<'a>,
    db: Connection,
    jobs: Jobs,
    rng: Rng,
    known: u64,
    summary: Summary,
    todo: Vec<Todo>,
    bytes: u64,
    /// Rows whose file system has another number now, and which.
    devices: Vec<(String, u64)>,
    /// Rows whose file was found under another name.
    moved: HashSet<String>,
}

impl Run<'_> {
    fn root(&mut self, root: &RootPath) -> Result<(), Stopped> {
        let name = root.root_name().to_owned();
        let (mut visited, mut unseen): (HashSet<PathBuf>, Vec<PathBuf>) = (HashSet::new(), Vec::new());
        let (mut todo, mut lost) = (vec![root.clone()], Vec::new());
        while let Some(directory) = todo.pop() {
            self.pace.point()?;
            let relative = directory.relative().to_path_buf();
            let entries = match directory.entries(ENTRIES_MAX) {
                Ok(entries) => entries,
                // It went while we looked elsewhere; a root that is not there says nothing of its files.
                Err(Error::Missing(_)) if !directory.is_root() => continue,
                Err(error) => {
                    self.blind(error.to_string());
                    unseen.push(relative);
                    continue;
                }
            };
            if entries.partial || entries.more {
                self.blind(format!("{directory} could not be looked through to its end"));
            }
            let whole = !entries.partial && !entries.more;
            let mut known: HashMap<OsString, (String, Stamp, bool)> =
                sql(self.library, rows::in_directory(&self.db, &name, &relative))?
                    .into_iter()
                    .map(|(file, id, stamp, gone)| (file, (id, stamp, gone)))
                    .collect();
            let beside: HashSet<&OsStr> = entries.found.iter().map(|found| found.name.as_os_str()).collect();
            for found in &entries.found {
                match found.kind {
                    FileKind::Directory => {
                        let hidden = found.name.as_encoded_bytes().starts_with(b".");
                        if !hidden && relative.components().count() < MAX_DEPTH {
                            todo.extend(directory.inner(&found.name).into_iter().filter(|inner| !inner.is_own()));
                        }
                    }
                    FileKind::File if wanted(found, &beside) => {
                        let before = known.remove(&found.name);
                        let place = Place { root: name.clone(), dir: relative.clone(), file: found.name.clone() };
                        self.meet(place, stamp(found.mark), before)?;
                    }
                    FileKind::File | FileKind::Other => {}
                }
            }
            if whole {
                lost.extend(known.into_values().filter(|(_, _, gone)| !gone).map(|(id, _, _)| id));
            }
            visited.insert(relative);
            (self.tell)(&self.summary, self.known, &directory.to_string());
        }
        // What was moved is known by its new name before the old one is lost.
        self.flush()?;
        lost.retain(|id| !self.moved.contains(id));
        self.lose(lost)?;
        for directory in sql(self.library, rows::directories(&self.db, &name))? {
            if !visited.contains(&directory) && !unseen.iter().any(|unseen| directory.starts_with(unseen)) {
                self.lose_directory(&name, &directory)?;
            }
        }
        Ok(())
    }

    /// Files of roots that are not in the configuration any more.
    fn roots_gone(&mut self, roots: &[RootPath]) -> Result<(), Stopped> {
        let there: HashSet<&str> = roots.iter().map(RootPath::root_name).collect();
        for name in sql(self.library, rows::roots(&self.db))?.into_iter().filter(|name| !there.contains(name.as_str()))
        {
            for directory in sql(self.library, rows::directories(&self.db, &name))? {
                self.pace.point()?;
                self.lose_directory(&name, &directory)?;
            }
        }
        Ok(())
    }

    /// A file is there.
    fn meet(&mut self, place: Place, stamp: Stamp, before: Option<(String, Stamp, bool)>) -> Result<(), Stopped> {
        self.summary.files += 1;
        if let Some((_, known, gone)) = &before
            && *known == stamp
            && !gone
        {
            return Ok(());
        }
        if let Some((id, known, false)) = &before
            && (Stamp { dev: stamp.dev, ..*known }) == stamp
        {
            // Mounted anew, a file system may have another number; it is the same file.
            self.devices.push((id.clone(), stamp.dev));
            return if self.devices.len() >= BATCH { self.flush() } else { Ok(()) };
        }
        let (known, moved) = match before {
            Some((id, _, _)) => (Some(id), false),
            None => match self.elsewhere(&place, &stamp)? {
                Some(id) => (Some(id), true),
                None => (None, false),
            },
        };
        self.bytes = self.bytes.saturating_add(stamp.size);
        self.todo.push(Todo { place, stamp, known, moved });
        if self.todo.len() >= BATCH || self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// The row of a file that was known by another name, under which it is not there any more.
    fn elsewhere(&self, place: &Place, stamp: &Stamp) -> Result<Option<String>, Stopped> {
        let all = sql(self.library, rows::of_inode(&self.db, stamp.dev, stamp.ino))?;
        let same = |row: &&Media| {
            row.stamp.size == stamp.size
                && row.stamp.mtime_ns == stamp.mtime_ns
                && (row.place == *place || !self.is_there(row))
        };
        Ok(all.iter().find(same).map(|row| row.id.clone()))
    }

    /// Whether a file is still what it was at its old place.
    fn is_there(&self, row: &Media) -> bool {
        let Ok(path) = self.library.inner.roots.place(&row.place.root, &row.place.relative()) else { return false };
        path.stat().ok().flatten().is_some_and(|facts| facts.identity == (row.stamp.dev, row.stamp.ino))
    }

    fn lose(&mut self, ids: Vec<String>) -> Result<(), Stopped> {
        if ids.is_empty() {
            return Ok(());
        }
        let at = now_ms();
        for part in ids.chunks(BATCH) {
            let lost = self.library.inner.ledger.write_here(Force::Later, |tx| {
                part.iter().map(|id| rows::gone(tx, id, at)).sum::<ledger::rusqlite::Result<usize>>()
            })?;
            self.summary.gone += lost as u64;
            self.library.tell();
        }
        Ok(())
    }

    fn lose_directory(&mut self, root: &str, directory: &Path) -> Result<(), Stopped> {
        let known = sql(self.library, rows::in_directory(&self.db, root, directory))?;
        self.lose(known.into_iter().filter(|(_, _, _, gone)| !gone).map(|(_, id, _, _)| id).collect())
    }

    fn blind(&mut self, reason: String) {
        self.summary.unreadable += 1;
        if self.summary.reasons.len() < REASONS_MAX {
            self.summary.reasons.push(reason);
        }
    }

    /// Looks at what waits and writes down what that showed.
    fn flush(&mut self) -> Result<(), Stopped> {
        let devices = std::mem::take(&mut self.devices);
        if !devices.is_empty() {
            let write = |tx: &Transaction<'_>| devices.iter().try_for_each(|(id, dev)| rows::set_device(tx, id, *dev));
            self.library.inner.ledger.write_here(Force::Later, write)?;
        }
        let todo = std::mem::take(&mut self.todo);
        self.bytes = 0;
        if todo.is_empty() {
            return Ok(());
        }
        let looked = self.look_at(&todo)?;
        let mut files = Vec::new();
        for (todo, looked) in todo.into_iter().zip(looked) {
            match looked {
                Some(Ok(looked)) => files.extend(self.compose(todo, looked)?),
                Some(Err(Blind::Ended)) | None => return Err(Stopped::Ended),
                Some(Err(Blind::Changing)) => self.summary.busy += 1,
                Some(Err(Blind::Gone)) => self.summary.files = self.summary.files.saturating_sub(1),
                Some(Err(Blind::Unreadable(reason))) => self.blind(reason),
            }
        }
        if !files.is_empty() {
            self.library
                .inner
                .ledger
                .write_here(Force::Later, |tx| files.iter().try_for_each(|file| rows::put(tx, file)))?;
            self.library.tell();
        }
        let at = files.last().map(|file| file.path.as_str()).unwrap_or_default();
        (self.tell)(&self.summary, self.known, at);
        Ok(())
    }

    /// Small files are shared among threads; a large one has all of them.
    fn look_at(&self, todo: &[Todo]) -> Result<Vec<Option<Result<Looked, Blind>>>, Stopped> {
        let (roots, pace, threads) = (&self.library.inner.roots, self.pace, threads());
        let results: Vec<Mutex<Option<Result<Looked, Blind>>>> = todo.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let one = |index: usize, threads: usize, buffer: &mut [u8]| {
            let looked = look(roots, &todo[index].place, threads, buffer, pace);
            *results[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(looked);
        };
        let work = || {
            let mut buffer = vec![0; PIECE];
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= todo.len() {
                    return;
                }
                if todo[index].stamp.size < LARGE {
                    one(index, 1, &mut buffer);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(todo.len()) {
                // Without one more thread the others do its work.
                let _ = std::thread::Builder::new().name("library".into()).spawn_scoped(scope, || {
                    pace.settle();
                    work();
                });
            }
            work();
        });
        let mut buffer = vec![0; PIECE];
        for (index, _) in todo.iter().enumerate().filter(|(_, todo)| todo.stamp.size >= LARGE) {
            self.pace.point()?;
            one(index, threads, &mut buffer);
        }
        Ok(results.into_iter().map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
    }

    /// The row of a file that was looked at.
    fn compose(&mut self, todo: Todo, looked: Looked) -> Result<Option<Media>, Stopped> {
        let Looked { stamp, content } = looked;
        self.summary.bytes = self.summary.bytes.saturating_add(stamp.size);
        let known = match &todo.known {
            Some(id) => sql(self.library, rows::get(&self.db, id))?,
            None => None,
        };
        let Some(mut file) = known else {
            self.summary.new += 1;
            let now = Utc::now();
            let media = Media {
                id: Id::new(now, &mut self.rng).to_string(),
                content,
                stamp,
                first_seen: now.timestamp_millis(),
                job: self.jobs.of(&todo.place),
                ..Media::default()
            };
            return Ok(Some(placed(media, todo.place)));
        };
        if todo.moved {
            self.summary.moved += 1;
            self.moved.insert(file.id.clone());
        }
        let written = file.stamp.size != stamp.size || file.stamp.mtime_ns != stamp.mtime_ns;
        if file.content.blake3 == content.blake3 {
            // The same bytes: what is known of them stays. How they are read may have got better.
            file.content = content;
            if file.checked.verdict == Integrity::Changed {
                file.checked = Checked::default();
            }
        } else if written || file.stamp.ino != stamp.ino || file.content.blake3.is_none() {
            self.summary.changed += 1;
            (file.content, file.checked, file.thumbnail) = (content, Checked::default(), Thumbnail::default());
        } else {
            // Size and date say that nobody wrote to it, and yet it is another: what was recorded stays, and is missed.
            self.summary.changed += 1;
            file.checked = Checked {
                verdict: Integrity::Changed,
                reason: Some("its content is not what was recorded, and its date says that nobody wrote to it".into()),
                level: Some("checksum".into()),
                at: Some(now_ms()),
            };
        }
        file.stamp = stamp;
        file.gone_at = None;
        file.job = file.job.or_else(|| self.jobs.of(&todo.place));
        Ok(Some(placed(file, todo.place)))
    }
}

/// The row at this place, with what people see of it.
fn placed(file: Media, place: Place) -> Media {
    let relative = place.relative();
    let shown = |text: &OsStr| clean_line(&text.to_string_lossy()).into_owned();
    let model = place.dir.components().next().map(|first| shown(first.as_os_str())).unwrap_or_default();
    let path = clean_line(&format!("{}/{}", place.root, relative.to_string_lossy())).into_owned();
    Media { path, name: shown(&place.file), model, place, ..file }
}

/// Whether a file belongs to the library: not hidden, not on its way, no working file of a bot.
fn wanted(found: &Found, beside: &HashSet<&OsStr>) -> bool {
    let name = found.name.to_string_lossy();
    if !matches!(names::read(&name), Name::Final(_)) {
        return false;
    }
    // Something beside it says that it is not complete.
    !names::control_names(&name).any(|control| beside.contains(OsStr::new(&control)))
}
