//! Follows one path through every kind of rotation.
//!
//! Truth is what the path names now (stat) and what the open files say; a file is read by its descriptor to its end,
//! wherever it is moved. A new generation's stream is always opened before an older one is closed, so that whoever
//! stores checkpoints never stands without one.

use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::outlet::{Outlet, Stopped};
use super::places::{Known, is_copy, is_inode, is_known, match_files, seen_until};
use super::siblings::{self, Sibling};
use super::stream::{self, OpenError, Print, Step, Stream};
use super::{Identity, Read, StreamId};

/// How long a rotated file must have been quiet before it is closed: its writer may not have noticed yet.
const GRACE: Duration = Duration::from_secs(2);
/// The same for a deleted file that nothing has replaced: as long as it is open its space is not free.
const DELETED_GRACE: Duration = Duration::from_secs(60);
/// How many rotated files are held open per path, whatever a writer does.
const MAX_OLD: usize = 64;
/// How often a directory is read again when each time something new is found in it.
const SCANS: u32 = 8;
/// How many finished generations are remembered even when they are no longer beside the file.
const REMEMBERED: usize = 64;

/// One path.
pub(super) struct Follow {
    pub(super) source: String,
    pub(super) path: PathBuf,
    shown: String,
    /// Rotated away, still read; the oldest first.
    pub(super) old: Vec<Stream>,
    pub(super) current: Option<Stream>,
    known: Vec<Known>,
    /// Where the path led when it was opened last, if it is a symbolic link.
    real: Option<PathBuf>,
    /// When the file that left the path last was made: nothing older is a generation after it.
    floor: SystemTime,
    /// When the youngest file was made that was seen at or beside the path: whatever was is open, or known.
    pub(super) seen_until: SystemTime,
    /// What was last said, so that it is said once.
    said: Option<String>,
    /// An event told of the last growth; how often none did.
    pub(super) announced: bool,
    pub(super) unannounced: u32,
    /// There may be something to read.
    pub(super) active: bool,
}

/// How a path is met for the first time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// What is in the file already was there before logmedic: begin behind it.
    End,
    /// Everything in the file is new.
    Beginning,
}

impl Follow {
    pub(super) fn new(source: &str, path: &Path, shown: String) -> Self {
        Self {
            source: source.into(),
            path: path.into(),
            shown,
            old: Vec::new(),
            current: None,
            known: Vec::new(),
            real: None,
            floor: SystemTime::UNIX_EPOCH,
            seen_until: SystemTime::UNIX_EPOCH,
            said: None,
            announced: false,
            unannounced: 0,
            active: true,
        }
    }

    /// The directories in which something can happen to it: that of the path, and that of a link's target.
    pub(super) fn directories(&self, into: &mut HashSet<PathBuf>) {
        into.extend(self.path.parent().map(Path::to_path_buf));
        into.extend(self.real.as_deref().and_then(Path::parent).map(Path::to_path_buf));
    }

    /// Begins without checkpoints; generations made after `since` are new, others were there before.
    pub(super) fn start(&mut self, start: Start, since: SystemTime, outlet: &Outlet) -> Result<(), Stopped> {
        let opened = self.open(outlet)?;
        for sibling in self.siblings(&[]) {
            if opened.as_ref().is_some_and(|(_, live)| is_inode(live, &sibling)) {
                continue;
            }
            if stream::birth(&sibling.meta) > since && sibling.meta.len() > 0 {
                self.push_old(sibling, 0, None, outlet)?;
            } else {
                self.known.push(Known { print: sibling.print, offset: sibling.meta.len() });
            }
        }
        let Some((file, meta)) = opened else { return Ok(()) };
        let offset = match start {
            Start::End => stream::last_line(&file, meta.len()).unwrap_or(meta.len()),
            Start::Beginning => 0,
        };
        self.set_current(file, &meta, offset, None, outlet)
    }

    /// Goes on from checkpoints (identity and offset): each file where it was left, then every younger generation,
    /// then the file at the path from its first byte. Returns streams whose files are gone, for the caller to close.
    pub(super) fn resume(
        &mut self,
        checkpoints: &[(Identity, u64)],
        outlet: &Outlet,
    ) -> Result<Vec<StreamId>, Stopped> {
        let opened = self.open(outlet)?;
        let inodes: Vec<u64> = checkpoints
            .iter()
            .filter_map(|(identity, _)| if let Identity::File { ino, .. } = identity { Some(*ino) } else { None })
            .collect();
        let mut files: Vec<Option<Sibling>> = self
            .siblings(&inodes)
            .into_iter()
            .filter(|sibling| !opened.as_ref().is_some_and(|(_, live)| is_inode(live, sibling)))
            .map(Some)
            .collect();
        let live = match opened {
            Some((file, meta)) => Print::of(&file, &meta).ok().map(|print| Sibling {
                path: self.path.clone(),
                file,
                meta,
                print,
                named: true,
            }),
            None => None,
        };
        let generations = files.len();
        files.push(live);
        let (places, lost) = match_files(&files, checkpoints);
        let oldest = places.iter().position(Option::is_some);
        let floor = oldest.and_then(|at| files[at].as_ref()).map(|file| stream::birth(&file.meta));
        let seen = checkpoints.iter().filter_map(|(identity, _)| seen_until(identity)).max();
        let is_younger = |at: usize, meta: &Metadata| match oldest {
            Some(oldest) => at > oldest && meta.modified().ok() >= floor,
            // Nothing is left to compare with.
            None => seen.is_some_and(|seen| stream::birth(meta) > seen),
        };
        let mut read: Vec<Print> = lost.iter().filter_map(|(identity, _)| Print::told(identity)).collect();
        let mut gone = Vec::new();
        for (identity, offset) in lost {
            gone.push(self.open_gone(identity.clone(), offset, outlet)?);
        }
        read.extend(files.iter().zip(&places).filter_map(|(f, p)| p.and(f.as_ref()).map(|f| f.print)));
        for (at, file) in files.drain(..generations).enumerate() {
            let Some(sibling) = file else { continue };
            match places[at] {
                Some((of, offset)) => self.push_old(sibling, offset, Some(&checkpoints[of].0), outlet)?,
                None if !sibling.named => {}
                None if is_younger(at, &sibling.meta)
                    && sibling.meta.len() > 0
                    && !read.iter().any(|print| is_copy(print, &sibling)) =>
                {
                    self.push_old(sibling, 0, None, outlet)?;
                }
                None => self.known.push(Known { print: sibling.print, offset: sibling.meta.len() }),
            }
        }
        if let Some(live) = files.pop().flatten() {
            let (told, offset) =
                places[generations].map_or((None, 0), |(of, offset)| (Some(&checkpoints[of].0), offset));
            self.set_current(live.file, &live.meta, offset, told, outlet)?;
        }
        Ok(gone)
    }

    /// Looks what the path names now.
    pub(super) fn look(&mut self, outlet: &Outlet) -> Result<(), Stopped> {
        self.active = true;
        match std::fs::metadata(&self.path) {
            Ok(meta) => {
                if let Some(current) = &self.current
                    && (current.print.dev, current.print.ino) == (meta.dev(), meta.ino())
                {
                    self.said = None;
                    return Ok(());
                }
                let Some((file, meta)) = self.open(outlet)? else { return Ok(()) };
                self.retire();
                self.scan(Some(&meta), outlet)?;
                self.adopt(file, &meta, outlet)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.said = None;
                if self.current.is_some() {
                    self.retire();
                    self.scan(None, outlet)?;
                }
                Ok(())
            }
            Err(error) => self.say(&OpenError::Io(error), outlet),
        }
    }

    /// Reads at most one buffer full, from the oldest file that has something. Returns whether there was any.
    pub(super) fn pump(&mut self, buffer: &mut [u8], outlet: &Outlet) -> Result<bool, Stopped> {
        for at in 0..=self.old.len() {
            let stream = match self.old.get_mut(at) {
                Some(stream) => stream,
                None => match &mut self.current {
                    Some(current) => current,
                    None => break,
                },
            };
            if stream.over {
                continue;
            }
            match stream.step(buffer) {
                Ok(Step::Bytes { from, count, sharper }) => {
                    let id = stream.id;
                    if sharper {
                        let identity = stream.identity(&self.path);
                        outlet.send_blocking(Read::Identity { stream: id, identity })?;
                    }
                    // A file gives less than was asked for at its end only. What comes later is told, or found by the next look.
                    let last = count < buffer.len();
                    stream.fresh = !last;
                    outlet.send_blocking(Read::Bytes {
                        stream: id,
                        offset: from,
                        bytes: buffer[..count].to_vec(),
                        last,
                    })?;
                    if last {
                        self.active = at < self.old.len();
                    }
                    return Ok(true);
                }
                Ok(Step::End) => {
                    if std::mem::take(&mut stream.fresh) {
                        outlet.send_blocking(Read::Idle { stream: stream.id })?;
                    }
                }
                Ok(Step::Truncated) => {
                    self.truncated(at, outlet)?;
                    return Ok(true);
                }
                Err(error) => {
                    stream.drained = true;
                    // A stale handle of a network file system never comes back; the path may.
                    stream.over = error.raw_os_error() == Some(libc::ESTALE);
                    if stream.over && at >= self.old.len() {
                        self.retire();
                    }
                    self.say(&OpenError::Io(error), outlet)?;
                }
            }
        }
        self.active = false;
        Ok(false)
    }

    /// Closes what is read to its end and will not grow any more. `leaving`: the path need not come back.
    ///
    /// Returns the last stream of the path when it is over and nothing came after it, for the caller to close.
    pub(super) fn close_quiet(&mut self, leaving: bool, outlet: &Outlet) -> Result<Option<StreamId>, Stopped> {
        let now = Instant::now();
        let followed = leaving || self.current.as_ref().is_some_and(|current| current.offset > 0);
        let (mut closed, mut left) = (false, None);
        // Strictly in order: at a restart, whatever is younger than the oldest file with a checkpoint and has none itself
        // is known to be unread.
        while let Some(stream) = self.old.first() {
            let last = self.old.len() == 1;
            let quiet = now.duration_since(stream.since);
            // The last one stays while nothing has come after it: a bot that does not reopen its log goes on in it.
            let ends = (stream.over && (!last || leaving || self.current.is_some()))
                || (stream.drained && quiet >= GRACE && (!last || followed))
                || (stream.drained && self.old.len() > MAX_OLD)
                || (stream.drained && quiet >= DELETED_GRACE && is_deleted(stream));
            if !ends {
                break;
            }
            let stream = self.old.remove(0);
            self.known.push(Known { print: stream.print, offset: stream.offset });
            self.floor = self.floor.min(stream.birth);
            if self.is_empty() {
                left = Some(stream.id);
            } else {
                outlet.send_blocking(Read::Closed { stream: stream.id })?;
            }
            closed = true;
        }
        // One more look: while directories are read, files in them move.
        if closed {
            self.scan(None, outlet)?;
        }
        Ok(left)
    }

    /// Whether nothing is open.
    pub(super) fn is_empty(&self) -> bool {
        self.old.is_empty() && self.current.is_none()
    }

    fn retire(&mut self) {
        if let Some(mut stream) = self.current.take() {
            stream.since = Instant::now();
            stream.drained = false;
            self.floor = stream.birth;
            self.old.push(stream);
        }
    }

    /// Opens generations that came and went between two looks, and puts the open ones in order.
    ///
    /// Files move while a directory is read, so it is read until it shows nothing new.
    fn scan(&mut self, live: Option<&Metadata>, outlet: &Outlet) -> Result<(), Stopped> {
        for _ in 0..SCANS {
            let found = self.siblings(&[]);
            let order: HashMap<(u64, u64), usize> =
                found.iter().enumerate().map(|(at, sibling)| ((sibling.print.dev, sibling.print.ino), at)).collect();
            let fresh: Vec<Sibling> = found.into_iter().filter(|sibling| self.is_new(sibling, live)).collect();
            let is_done = fresh.is_empty();
            for sibling in fresh {
                self.push_old(sibling, 0, None, outlet)?;
            }
            // What is not beside the path any more is older than what is.
            self.old.sort_by_key(|stream| order.get(&(stream.print.dev, stream.print.ino)).copied());
            if is_done {
                break;
            }
        }
        let excess = self.known.len().saturating_sub(siblings::GENERATIONS + REMEMBERED);
        self.known.drain(..excess);
        Ok(())
    }

    /// Whether a sibling is a generation that nobody has read.
    fn is_new(&self, sibling: &Sibling, live: Option<&Metadata>) -> bool {
        let mut open = self.old.iter().chain(&self.current);
        let floor = self.old.iter().map(|stream| stream.birth).min().unwrap_or(self.floor).min(self.floor);
        !live.is_some_and(|live| is_inode(live, sibling))
            && sibling.meta.len() > 0
            && sibling.meta.modified().is_ok_and(|at| at >= floor)
            && !open.any(|stream| stream.holds(sibling) || is_copy(&stream.print, sibling))
            && !self.known.iter().any(|known| is_known(known, sibling) || is_copy(&known.print, sibling))
    }

    /// Takes the file that is now at the path: from its start, or where it was left if it has come back.
    fn adopt(&mut self, file: File, meta: &Metadata, outlet: &Outlet) -> Result<(), Stopped> {
        let inode = (meta.dev(), meta.ino());
        if let Some(at) = self.old.iter().position(|s| !s.over && (s.print.dev, s.print.ino) == inode) {
            self.current = Some(self.old.remove(at));
            return Ok(());
        }
        let back = self.known.iter().position(|known| {
            (known.print.dev, known.print.ino) == inode
                && known.print.hashed > 0
                && known.offset <= meta.len()
                && known.print.begins(&file).unwrap_or(false)
        });
        let offset = back.map_or_else(|| stream::first_data(&file), |at| self.known.remove(at).offset);
        self.set_current(file, meta, offset, None, outlet)
    }

    /// A stream's file lost what was read: the rest may be in a copy (copytruncate); the file itself begins anew.
    fn truncated(&mut self, at: usize, outlet: &Outlet) -> Result<(), Stopped> {
        let is_current = at >= self.old.len();
        if is_current {
            self.retire();
        }
        let print = self.old[at].print;
        let copy = self.siblings(&[]).into_iter().rev().find(|sibling| {
            is_copy(&print, sibling) && !print.same_inode(&sibling.print) && sibling.meta.len() > self.old[at].offset
        });
        let stream = &mut self.old[at];
        match copy {
            Some(sibling) => {
                stream.file = sibling.file;
                stream.seen_until = stream.seen_until.max(stream::birth(&sibling.meta));
                (stream.print.dev, stream.print.ino) = (sibling.print.dev, sibling.print.ino);
                let identity = stream.identity(&self.path);
                outlet.send_blocking(Read::Identity { stream: stream.id, identity })?;
            }
            None => stream.over = true,
        }
        if is_current {
            self.look(outlet)?;
        }
        // What the file holds now must be open before anything younger is closed.
        self.scan(None, outlet)
    }

    fn siblings(&mut self, inodes: &[u64]) -> Vec<Sibling> {
        let mut found = siblings::list(&self.path, inodes);
        if let Some(real) = &self.real {
            found.extend(siblings::list(real, inodes));
            found.sort_by_key(|sibling| sibling.meta.modified().ok());
            let mut seen = HashSet::new();
            found.retain(|sibling| seen.insert((sibling.print.dev, sibling.print.ino)));
        }
        let births = found.iter().filter(|sibling| sibling.meta.len() > 0).map(|sibling| stream::birth(&sibling.meta));
        self.seen_until = births.fold(self.seen_until, SystemTime::max);
        found
    }

    fn push_old(
        &mut self,
        sibling: Sibling,
        offset: u64,
        told: Option<&Identity>,
        outlet: &Outlet,
    ) -> Result<(), Stopped> {
        match Stream::new(outlet.stream(), sibling.file, &sibling.meta, offset) {
            Ok(mut stream) => {
                self.announce(&mut stream, told, outlet)?;
                self.old.push(stream);
                Ok(())
            }
            Err(error) => self.say(&OpenError::Io(error), outlet),
        }
    }

    fn set_current(
        &mut self,
        file: File,
        meta: &Metadata,
        offset: u64,
        told: Option<&Identity>,
        outlet: &Outlet,
    ) -> Result<(), Stopped> {
        match Stream::new(outlet.stream(), file, meta, offset) {
            Ok(mut stream) => {
                self.announce(&mut stream, told, outlet)?;
                self.current = Some(stream);
                self.said = None;
                Ok(())
            }
            Err(error) => self.say(&OpenError::Io(error), outlet),
        }
    }

    /// Opens the stream for everybody, under the identity by which it was stored before if there is one.
    fn announce(&self, stream: &mut Stream, told: Option<&Identity>, outlet: &Outlet) -> Result<(), Stopped> {
        stream.seen_until = told.and_then(seen_until).unwrap_or(self.seen_until).max(stream.birth);
        let now = stream.identity(&self.path);
        let identity = told.unwrap_or(&now).clone();
        let changed = identity != now;
        outlet.send_blocking(Read::Opened {
            stream: stream.id,
            source: self.source.clone(),
            file: Some(self.shown.clone()),
            identity,
            offset: stream.offset,
        })?;
        if changed { outlet.send_blocking(Read::Identity { stream: stream.id, identity: now }) } else { Ok(()) }
    }

    /// A file that a checkpoint names and that is nowhere any more: opened and closed, so that the checkpoint can go.
    fn open_gone(&self, identity: Identity, offset: u64, outlet: &Outlet) -> Result<StreamId, Stopped> {
        let place = if siblings::any_compressed(&self.path) { "rotated away and compressed" } else { "deleted" };
        outlet.trouble(
            &self.source,
            format!(
                "the file last read as {} is gone ({place} while logmedic was not running); what was written to it after byte {offset} was not read; check it with `logmedic replay`",
                self.path.display()
            ),
        )?;
        let stream = outlet.stream();
        let (source, file) = (self.source.clone(), Some(self.shown.clone()));
        outlet.send_blocking(Read::Opened { stream, source, file, identity, offset })?;
        Ok(stream)
    }

    fn open(&mut self, outlet: &Outlet) -> Result<Option<(File, Metadata)>, Stopped> {
        self.real = std::fs::canonicalize(&self.path).ok().filter(|real| *real != self.path);
        match stream::open(&self.path) {
            Ok(opened) => {
                self.seen_until = self.seen_until.max(stream::birth(&opened.1));
                Ok(Some(opened))
            }
            Err(OpenError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => self.say(&error, outlet).map(|()| None),
        }
    }

    /// Says once what hinders.
    fn say(&mut self, error: &OpenError, outlet: &Outlet) -> Result<(), Stopped> {
        let remedy = match error {
            OpenError::Io(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                "; let logmedic's user read it, for example `setfacl -m u:logmedic:r FILE` and x on its directories"
            }
            OpenError::Io(e) if e.raw_os_error() == Some(libc::EMFILE) => {
                "; raise the limit of open files (LimitNOFILE)"
            }
            _ => "",
        };
        let text = format!("failed to read {}: {error}{remedy}", self.path.display());
        if self.said.as_ref() == Some(&text) {
            return Ok(());
        }
        outlet.trouble(&self.source, text.clone())?;
        self.said = Some(text);
        Ok(())
    }
}

fn is_deleted(stream: &Stream) -> bool {
    stream.file.metadata().is_ok_and(|meta| meta.nlink() == 0)
}
