//! Reads all log files: a line or two on the thread that hears of them, everything else on a thread of its own, which is also
//! woken by itself.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use super::follow::{Follow, Start};
use super::hint::{Dirty, Hint};
use super::outlet::{Outlet, Stopped};
use super::places::seen_until;
use super::{CHUNK, Checkpoint, Identity, Read, Settings, StreamId, siblings};

/// How often files are looked at although no event came: the safety net.
const LOOK: Duration = Duration::from_secs(1);
/// The same where events come for certain and nothing has happened for [`CALM_AFTER`]: only a directory whose place another took
/// goes untold.
const LOOK_CALM: Duration = Duration::from_secs(5);
/// How long nothing must have happened.
const CALM_AFTER: Duration = Duration::from_secs(30);
/// The same where no events come.
const POLL: Duration = Duration::from_millis(250);
/// How often globs are expanded anew when no event tells of a new file.
const GLOB_EVERY: Duration = Duration::from_secs(2);
/// How many files are followed at once: each holds a descriptor, and 1,024 is the usual limit of a process.
pub const MAX_FILES: usize = 512;
/// How many looks in a row must find growth that no event told of, before events are taken for absent.
const DEAF: u32 = 2;
/// The kernel stamps files with a clock that stands still for up to so long (100 Hz, the slowest it ticks).
const TICK: Duration = Duration::from_millis(10);

/// A configured path or glob.
pub(super) struct PathSource {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) shown: String,
    /// Generations made later are new, where nothing else is known of their path.
    since: SystemTime,
    anchor: Option<StreamId>,
}

impl PathSource {
    pub(super) fn new(name: String, path: PathBuf, shown: String) -> Self {
        Self { name, path, shown, since: SystemTime::now(), anchor: None }
    }

    /// An empty stream that never closes: its checkpoint tells the next start that it is not the first, and `since`.
    /// When that has moved, a new anchor takes the place of the old one.
    fn drop_anchor(&mut self, outlet: &Outlet) -> Result<(), Stopped> {
        let stream = outlet.stream();
        let (path, seen_until) = (self.path.clone(), Some(self.since));
        let identity = Identity::File { dev: 0, ino: 0, hashed: 0, hash: String::new(), path, seen_until };
        let source = self.name.clone();
        outlet.send_blocking(Read::Opened { stream, source, file: None, identity, offset: 0 })?;
        match self.anchor.replace(stream) {
            Some(stream) => outlet.send_blocking(Read::Closed { stream }),
            None => Ok(()),
        }
    }

    /// A pattern, unless there is a file of just this name.
    fn is_glob(&self) -> bool {
        let text = self.path.to_string_lossy();
        text.contains(['*', '?', '[']) && !self.path.exists()
    }

    /// The directory above the first component with a wildcard.
    fn base(&self) -> PathBuf {
        let wild = |c: &std::path::Component<'_>| c.as_os_str().to_string_lossy().contains(['*', '?', '[']);
        self.path.components().take_while(|c| !wild(c)).collect()
    }

    /// Files that match now, without older generations of others and compressed ones.
    fn expand(&self) -> Vec<PathBuf> {
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
        let Ok(paths) = glob::glob_with(&self.path.to_string_lossy(), options) else { return Vec::new() };
        let found: Vec<PathBuf> = paths.filter_map(Result::ok).filter(|path| path.is_file()).collect();
        let mut names: HashMap<&Path, Vec<&std::ffi::OsStr>> = HashMap::new();
        for path in &found {
            if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
                names.entry(parent).or_default().push(name);
            }
        }
        let is_own = |path: &&PathBuf| {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
            let beside = names.get(parent).map_or(&[][..], Vec::as_slice);
            !siblings::is_compressed(name) && !beside.iter().any(|base| siblings::is_generation(base, name))
        };
        found.iter().filter(is_own).cloned().collect()
    }
}

fn is_anchor(identity: &Identity) -> bool {
    matches!(identity, Identity::File { ino: 0, .. })
}

/// Shared with the watcher's thread, which never waits for it.
struct Tail {
    sources: Vec<PathSource>,
    follows: Vec<Follow>,
    checkpoints: Vec<Checkpoint>,
    settings: Settings,
    outlet: Outlet,
    hint: Hint,
    polling: bool,
    globbed: Instant,
    /// Something may match a glob newly.
    glob_due: bool,
    overfull: bool,
    /// When something happened last.
    stirred: Instant,
    /// The next look everywhere is far away.
    calm: bool,
    buffer: Vec<u8>,
}

/// Reads until it is told to stop.
pub(super) fn run(
    sources: Vec<PathSource>,
    checkpoints: Vec<Checkpoint>,
    settings: Settings,
    outlet: Outlet,
    (wake, woken): (SyncSender<()>, Receiver<()>),
) {
    let mut refused = None;
    let tail = Arc::new_cyclic(|tail| {
        let (hint, why) = Hint::new(settings.polling, teller(tail.clone(), wake));
        refused = why;
        Mutex::new(Tail {
            polling: settings.polling || refused.is_some(),
            sources,
            follows: Vec::new(),
            checkpoints,
            settings,
            outlet,
            hint,
            globbed: Instant::now(),
            glob_due: false,
            overfull: false,
            stirred: Instant::now(),
            calm: false,
            buffer: vec![0; CHUNK],
        })
    });
    // Stopped is the only way out.
    let Err(Stopped) = read(&tail, refused, &woken);
}

/// Whom the watcher tells of a change: reads what is new at once where that is a moment's work, and else wakes the thread
/// that does it.
fn teller(tail: Weak<Mutex<Tail>>, wake: SyncSender<()>) -> impl FnMut() + Send + 'static {
    move || {
        let tail = tail.upgrade();
        // Never waits for the other thread: that one may be waiting for this one, to set a watch.
        let more = match tail.as_deref().map(Mutex::try_lock) {
            Some(Ok(mut tail)) => tail.glance().unwrap_or(true),
            _ => true,
        };
        if more {
            // Full: it is awake already. Gone: it has stopped.
            let _ = wake.try_send(());
        }
    }
}

fn read(
    tail: &Mutex<Tail>,
    refused: Option<String>,
    woken: &Receiver<()>,
) -> Result<std::convert::Infallible, Stopped> {
    let held = || -> MutexGuard<'_, Tail> { tail.lock().unwrap_or_else(PoisonError::into_inner) };
    held().begin(refused)?;
    let mut next_look = Instant::now();
    loop {
        let moved = held().turn(&mut next_look)?;
        if !moved {
            // Told or not, it ends with the next look.
            let _ = woken.recv_timeout(next_look.saturating_duration_since(Instant::now()));
        }
    }
}

impl Tail {
    fn begin(&mut self, refused: Option<String>) -> Result<(), Stopped> {
        if let Some(detail) = refused {
            self.outlet.trouble(&self.first_source(), detail)?;
        }
        // Watching comes first: what happens after a look is told by an event.
        self.watch()?;
        self.start()?;
        self.watch()?;
        Ok(())
    }

    /// Looks where something changed, everywhere when it is time for that, and reads a block of each file that has one.
    fn turn(&mut self, next_look: &mut Instant) -> Result<bool, Stopped> {
        if self.outlet.stop.is_cancelled() {
            return Err(Stopped);
        }
        let dirty = self.hint.take();
        self.look_dirty(&dirty)?;
        let now = Instant::now();
        if now >= *next_look {
            self.look_all()?;
            self.calm = self.is_calm();
            *next_look = now
                + match (self.polling, self.calm) {
                    (true, _) => POLL,
                    (false, false) => LOOK,
                    (false, true) => LOOK_CALM,
                };
        } else if std::mem::take(&mut self.calm) {
            // What has begun may go on without an event.
            *next_look = (*next_look).min(now + LOOK);
        }
        self.pump()
    }

    /// The same on the watcher's thread, without the look everywhere. `true`: there is more to do.
    fn glance(&mut self) -> Result<bool, Stopped> {
        if self.polling || !self.outlet.has_room() || self.outlet.stop.is_cancelled() {
            return Ok(true);
        }
        let dirty = self.hint.take();
        self.look_dirty(&dirty)?;
        self.pump()?;
        Ok(self.calm || self.follows.iter().any(|follow| follow.active))
    }

    fn is_calm(&self) -> bool {
        let settled = |follow: &Follow| follow.old.is_empty() && follow.unannounced == 0;
        self.hint.is_sure() && self.stirred.elapsed() >= CALM_AFTER && self.follows.iter().all(settled)
    }

    fn pump(&mut self) -> Result<bool, Stopped> {
        let mut moved = false;
        for follow in self.follows.iter_mut().filter(|follow| follow.active) {
            moved |= follow.pump(&mut self.buffer, &self.outlet)?;
        }
        Ok(moved)
    }

    fn first_source(&self) -> String {
        self.sources.first().map(|source| source.name.clone()).unwrap_or_default()
    }

    fn start(&mut self) -> Result<(), Stopped> {
        for at in 0..self.sources.len() {
            let source = &self.sources[at];
            let known = self.places(&source.name);
            let is_first = !known.iter().any(|(path, _, _)| *path == source.path);
            let anchored =
                known.iter().filter(|(_, identity, _)| is_anchor(identity)).find_map(|(_, id, _)| seen_until(id));
            let path = source.path.clone();
            let mut paths = if source.is_glob() { source.expand() } else { vec![path.clone()] };
            // A file of the last run may be gone from the path and yet be beside it.
            let pattern = glob::Pattern::new(&path.to_string_lossy()).unwrap_or_default();
            for (known, _, _) in &known {
                if *known != path && !paths.contains(known) && pattern.matches_path(known) {
                    paths.push(known.clone());
                }
            }
            let first = match is_first && !self.settings.from_start {
                true => Start::End,
                false => Start::Beginning,
            };
            self.sources[at].since = anchored.unwrap_or(self.sources[at].since);
            let (mut gone, mut seen) = (Vec::new(), SystemTime::UNIX_EPOCH);
            for path in paths {
                gone.extend(self.follow(at, &path, first)?);
                // What was seen where nothing is open now is stored nowhere else.
                let last = self.follows.last().filter(|follow| anchored.is_none() || follow.is_empty());
                seen = last.map_or(seen, |follow| seen.max(follow.seen_until));
            }
            let source = &mut self.sources[at];
            source.since = anchored.unwrap_or(source.since - TICK).max(seen);
            source.drop_anchor(&self.outlet)?;
            for stream in gone {
                self.outlet.send_blocking(Read::Closed { stream })?;
            }
        }
        Ok(())
    }

    /// The checkpoints of a source's files: path, identity, offset. Anchors too.
    fn places(&self, source: &str) -> Vec<(PathBuf, Identity, u64)> {
        let of_source = self.checkpoints.iter().filter(|checkpoint| checkpoint.source == source);
        of_source
            .filter_map(|checkpoint| match &checkpoint.identity {
                Identity::File { path, .. } => Some((path.clone(), checkpoint.identity.clone(), checkpoint.offset)),
                _ => None,
            })
            .collect()
    }

    /// Returns the streams of files that are gone, to be closed once the anchor is stored.
    fn follow(&mut self, source: usize, path: &Path, start: Start) -> Result<Vec<StreamId>, Stopped> {
        if self.follows.len() >= MAX_FILES {
            if !std::mem::replace(&mut self.overfull, true) {
                let detail = format!(
                    "more than {MAX_FILES} log files match; {} and others are not read; make the pattern narrower",
                    path.display()
                );
                self.outlet.trouble(&self.sources[source].name, detail)?;
            }
            return Ok(Vec::new());
        }
        let source = &self.sources[source];
        let shown = if source.path == path { source.shown.clone() } else { path.display().to_string() };
        let mut follow = Follow::new(&source.name, path, shown);
        let mine: Vec<(Identity, u64)> = self
            .places(&source.name)
            .into_iter()
            .filter(|(of, identity, _)| of == path && !is_anchor(identity))
            .map(|(_, identity, offset)| (identity, offset))
            .collect();
        // They count once: should the path come back later, they are history.
        self.checkpoints.retain(|checkpoint| {
            let of_path = matches!(&checkpoint.identity, Identity::File { path: of, .. } if of == path);
            checkpoint.source != source.name || !of_path || is_anchor(&checkpoint.identity)
        });
        let gone = if mine.is_empty() {
            follow.start(start, source.since, &self.outlet)?;
            Vec::new()
        } else {
            follow.resume(&mine, &self.outlet)?
        };
        self.follows.push(follow);
        Ok(gone)
    }

    fn watch(&mut self) -> Result<bool, Stopped> {
        let mut wanted = HashSet::new();
        for source in &self.sources {
            let glob = source.is_glob().then(|| source.base());
            wanted.extend(glob.or_else(|| source.path.parent().map(Path::to_path_buf)));
        }
        for follow in &self.follows {
            follow.directories(&mut wanted);
        }
        let (set, trouble) = self.hint.watch(&wanted);
        if let Some(detail) = trouble {
            self.outlet.trouble(&self.first_source(), detail)?;
        }
        self.polling |= !self.hint.works();
        Ok(set)
    }

    fn look_dirty(&mut self, dirty: &Dirty) -> Result<(), Stopped> {
        if !dirty.all && dirty.directories.is_empty() {
            return Ok(());
        }
        self.stirred = Instant::now();
        let mut own = HashSet::new();
        for follow in &mut self.follows {
            own.clear();
            follow.directories(&mut own);
            if dirty.all || own.iter().any(|directory| dirty.directories.contains(directory)) {
                follow.announced = true;
                follow.look(&self.outlet)?;
            }
        }
        let touched = |source: &PathSource| {
            source.is_glob() && (dirty.all || dirty.directories.iter().any(|d| d.starts_with(source.base())))
        };
        // A growing file is no reason to expand globs each time; a new one is found within the next look.
        self.glob_due |= self.sources.iter().any(touched);
        if self.glob_due && self.globbed.elapsed() >= POLL {
            self.find()?;
        }
        Ok(())
    }

    /// The safety net: everything that events should have told, and what time alone brings.
    fn look_all(&mut self) -> Result<(), Stopped> {
        if self.glob_due || self.globbed.elapsed() >= GLOB_EVERY {
            self.find()?;
        }
        self.watch()?;
        let globs: HashSet<String> = self.sources.iter().filter(|s| s.is_glob()).map(|s| s.name.clone()).collect();
        let mut left = Vec::new();
        for follow in &mut self.follows {
            let before = follow.current.as_ref().map(|current| current.offset);
            let told = std::mem::take(&mut follow.announced);
            follow.look(&self.outlet)?;
            let leaving = globs.contains(&follow.source) && follow.current.is_none();
            if let Some(stream) = follow.close_quiet(leaving, &self.outlet)? {
                left.push((follow.source.clone(), follow.seen_until, stream));
            }
            let size = follow.current.as_ref().and_then(|current| current.file.metadata().ok()).map(|meta| meta.len());
            match (before, size) {
                (Some(before), Some(size)) if size > before && !told => follow.unannounced += 1,
                _ if told => follow.unannounced = 0,
                _ => {}
            }
        }
        for (name, seen_until, stream) in left {
            for source in self.sources.iter_mut().filter(|source| source.name == name) {
                source.since = source.since.max(seen_until);
                source.drop_anchor(&self.outlet)?;
            }
            self.outlet.send_blocking(Read::Closed { stream })?;
        }
        self.follows.retain(|follow| !(globs.contains(&follow.source) && follow.is_empty()));
        if let Some(deaf) = self.follows.iter().find(|follow| follow.unannounced >= DEAF)
            && !self.polling
        {
            self.polling = true;
            let detail = format!(
                "no file events arrive for {} (a network file system?); files are looked at 4 times a second instead; nothing is lost by it",
                deaf.path.display()
            );
            self.outlet.trouble(&deaf.source, detail)?;
        }
        Ok(())
    }

    /// Follows files that newly match a glob, from their first byte.
    fn find(&mut self) -> Result<(), Stopped> {
        (self.globbed, self.glob_due) = (Instant::now(), false);
        for at in 0..self.sources.len() {
            if !self.sources[at].is_glob() {
                continue;
            }
            for path in self.sources[at].expand() {
                let name = &self.sources[at].name;
                let followed = self.follows.iter().any(|follow| follow.source == *name && follow.path == path);
                if !followed && !self.is_held(name, &path) {
                    for stream in self.follow(at, &path, Start::Beginning)? {
                        self.outlet.send_blocking(Read::Closed { stream })?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the file at `path` is open already under the name it had before.
    fn is_held(&self, source: &str, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let Ok(meta) = std::fs::metadata(path) else { return false };
        let inode = (meta.dev(), meta.ino());
        let mut own = self.follows.iter().filter(|follow| follow.source == source);
        own.any(|follow| follow.old.iter().chain(&follow.current).any(|s| (s.print.dev, s.print.ino) == inode))
    }
}
