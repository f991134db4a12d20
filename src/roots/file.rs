//! Looks at, reads, moves and removes files through their root's descriptor.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, RenameFlags, ResolveFlag};
use nix::sys::stat::{FileStat, Mode};
use nix::sys::statvfs::FsFlags;
use nix::unistd::UnlinkatFlags;

use super::{Error, Policy, Refusal, RootPath};

/// How often a lookup that raced with a rename (`EAGAIN` of openat2) is repeated before it fails.
const LOOKUP_TRIES: u32 = 32;
const TYPE: u32 = libc::S_IFMT;

/// What kind of thing a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, FIFO, socket or device: never touched.
    Other,
}

/// What the system says about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What kind of thing it is.
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Hard links.
    pub links: u64,
    /// Device and inode.
    pub identity: (u64, u64),
    /// Last change of the content.
    pub modified: SystemTime,
    /// Bytes on disk.
    pub allocated: u64,
}

impl Facts {
    pub(super) fn of(stat: &FileStat) -> Self {
        let kind = match stat.st_mode & TYPE {
            libc::S_IFREG => FileKind::File,
            libc::S_IFDIR => FileKind::Directory,
            _ => FileKind::Other,
        };
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
        let since = Duration::new(u64::try_from(stat.st_mtime).unwrap_or(0), nanoseconds);
        Self {
            kind,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: stat.st_nlink,
            identity: (stat.st_dev, stat.st_ino),
            modified: SystemTime::UNIX_EPOCH + since,
            allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
        }
    }

    /// How long ago the content changed, as of `now`.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.modified).unwrap_or_default()
    }
}

/// Room on the file system of a path, as an unprivileged user sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes free.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Inodes free; meaningless when `inodes` is 0 (file systems that make them as needed).
    pub free_inodes: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

impl RootPath {
    /// Opens it with `flags`; every link and every way out of the root makes the kernel refuse.
    pub(super) fn open(&self, what: &'static str, flags: OFlag, mode: u32) -> Result<OwnedFd, Error> {
        let held = self.root.held()?;
        let name = if self.is_root() { std::path::Path::new(".") } else { self.relative() };
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).mode(Mode::from_bits_truncate(mode)).resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS
                // Not st_dev: overlay file systems show other numbers for files than for directories.
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
        for _ in 0..LOOKUP_TRIES {
            match nix::fcntl::openat2(held.fd.as_fd(), name, how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Ok(fd) => return Ok(fd),
                Err(errno) => return Err(Error::of(what, &self.to_string(), errno)),
            }
        }
        Err(Error::of(what, &self.to_string(), Errno::EAGAIN))
    }

    /// A descriptor that only names the thing (`O_PATH`), and its facts.
    pub(super) fn pin(&self, what: &'static str) -> Result<(OwnedFd, Facts), Error> {
        let fd = self.open(what, OFlag::O_PATH | OFlag::O_NOFOLLOW, 0)?;
        let facts = self.facts_of(&fd)?;
        Ok((fd, facts))
    }

    pub(super) fn facts_of(&self, fd: impl std::os::fd::AsFd) -> Result<Facts, Error> {
        let stat = nix::sys::stat::fstat(fd).map_err(|errno| Error::of("look at", &self.to_string(), errno))?;
        Ok(Facts::of(&stat))
    }

    /// The directory it lies in, opened, and its own last name.
    pub(super) fn above(&self, what: &'static str) -> Result<(OwnedFd, String), Error> {
        let parent = self.parent().ok_or_else(|| {
            Error::Refused(Refusal::new(format!("the root '{self}' itself is never moved or removed")))
        })?;
        let fd = parent.open(what, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, 0)?;
        Ok((fd, self.name()))
    }

    /// What is there; `None` when nothing is.
    ///
    /// # Errors
    /// When it may not be looked at: a link on the way, no privilege.
    pub fn stat(&self) -> Result<Option<Facts>, Error> {
        match self.pin("look at") {
            Ok((_, facts)) => Ok(Some(facts)),
            Err(Error::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// When it is missing, is no regular file, or logmedic may not read it.
    pub fn open_read(&self) -> Result<(File, Facts), Error> {
        // NONBLOCK: a FIFO put there by somebody must not hang us; it is refused right after.
        let fd = self.open("read", OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, 0)?;
        let facts = self.facts_of(&fd)?;
        if facts.kind != FileKind::File {
            return Err(Error::Refused(Refusal::new(format!("{self} is not a regular file"))));
        }
        Ok((File::from(fd), facts))
    }

    /// Refuses what is never changed: links, devices, files with several names or set-id bits.
    ///
    /// # Errors
    /// A refusal that says why.
    pub fn changeable(&self, facts: &Facts) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::Refused(Refusal::new(format!("{self} {why}"))));
        match facts.kind {
            FileKind::Other => refuse("is a link, a device or a pipe; only plain files and directories are touched"),
            FileKind::File if facts.links > 1 => {
                refuse("has more than one name (hard links); the other one may lie outside the root")
            }
            FileKind::File if facts.mode & 0o6000 != 0 => refuse("has set-id bits"),
            FileKind::Directory if facts.mode & 0o4000 != 0 => refuse("has the set-uid bit"),
            _ => Ok(()),
        }
    }

    /// Renames it to `to` (same root or not), which must not exist.
    ///
    /// # Errors
    /// [`Error::Exists`] when `to` is taken; a refusal when it is not changeable or on another file system.
    pub fn rename_to(&self, to: &Self) -> Result<(), Error> {
        let (_, facts) = self.pin("move")?;
        self.changeable(&facts)?;
        let (from_dir, from_name) = self.above("move")?;
        let (to_dir, to_name) = to.above("move")?;
        nix::fcntl::renameat2(
            from_dir.as_fd(),
            from_name.as_str(),
            to_dir.as_fd(),
            to_name.as_str(),
            RenameFlags::RENAME_NOREPLACE,
        )
        .map_err(|errno| match errno {
            Errno::EEXIST => Error::Exists(to.to_string()),
            errno => Error::of("move", &self.to_string(), errno),
        })
    }

    /// Removes a regular file with one name. Only for what logmedic itself made or moved aside.
    ///
    /// # Errors
    /// When it is not such a file, or may not be removed. A missing file is no error.
    pub fn remove_file(&self) -> Result<(), Error> {
        let Some(facts) = self.stat()? else { return Ok(()) };
        self.changeable(&facts)?;
        if facts.kind != FileKind::File {
            return Err(Error::Refused(Refusal::new(format!("{self} is not a regular file"))));
        }
        self.unlink(UnlinkatFlags::NoRemoveDir)
    }

    /// Removes an empty directory below [`super::OWN_DIRECTORY`]. A missing one is no error.
    ///
    /// # Errors
    /// When it is not logmedic's own, not empty, or may not be removed.
    pub fn remove_own_directory(&self) -> Result<(), Error> {
        if !self.relative().starts_with(super::OWN_DIRECTORY) {
            return Err(Error::Refused(Refusal::new(format!("{self} is not logmedic's own"))));
        }
        self.unlink(UnlinkatFlags::RemoveDir)
    }

    fn unlink(&self, flag: UnlinkatFlags) -> Result<(), Error> {
        let (parent, name) = self.above("remove")?;
        match nix::unistd::unlinkat(parent.as_fd(), name.as_str(), flag) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(Error::of("remove", &self.to_string(), errno)),
        }
    }

    /// Whether [`RootPath::make_directories`] has something to do here, or fails.
    #[must_use]
    pub fn lacks_directory(&self) -> bool {
        let there = |facts: Facts| facts.kind == FileKind::Directory && !is_unfinished(&facts);
        !self.is_root() && !self.pin("look at").is_ok_and(|(_, facts)| there(facts))
    }

    /// Makes the directory and its missing parents. Owner and mode are the policy's; what the policy leaves open
    /// is taken from the directory it is made in. Says how many were made.
    ///
    /// # Errors
    /// When something else stands in the way, or logmedic may not.
    pub fn make_directories(&self) -> Result<u32, Error> {
        // Up to the first that is there and finished, mostly the one above.
        let mut chain = self.chain();
        let mut below = Vec::new();
        let (mut parent, mut above) = loop {
            let Some(step) = chain.pop() else { return Ok(0) };
            match step.pin("make") {
                Ok((_, facts)) if facts.kind != FileKind::Directory => return Err(step.no_directory()),
                Ok((fd, facts)) if step.is_root() || !is_unfinished(&facts) => break (fd, facts),
                Ok(_) => below.push(step),
                Err(Error::Missing(_)) if !step.is_root() => below.push(step),
                Err(error) => return Err(error),
            }
        };
        let mut made = 0;
        while let Some(step) = below.pop() {
            match nix::sys::stat::mkdirat(parent.as_fd(), step.name().as_str(), Mode::S_IRWXU) {
                Ok(()) => made += 1,
                // Unfinished, or the bot was faster.
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(Error::of("make", &step.to_string(), errno)),
            }
            let (fd, facts) = step.pin("make")?;
            if facts.kind != FileKind::Directory {
                return Err(step.no_directory());
            }
            above = step.finish_directory(facts, &above)?;
            parent = fd;
        }
        Ok(made)
    }

    fn no_directory(&self) -> Error {
        Error::Refused(Refusal::new(format!("{self} is not a directory")))
    }

    /// A directory as [`Self::make_directories`] leaves it before the last step: ours and closed to everybody.
    /// Found like this after a crash, it is finished too.
    fn finish_directory(&self, facts: Facts, above: &Facts) -> Result<Facts, Error> {
        if !is_unfinished(&facts) || self.relative().starts_with(super::OWN_DIRECTORY) {
            return Ok(facts);
        }
        let policy = self.policy();
        let wanted = Policy {
            uid: policy.uid.or(Some(above.uid)),
            gid: policy.gid.or(Some(above.gid)),
            dir_mode: policy.dir_mode.or(Some(above.mode & 0o3777)),
            file_mode: None,
        };
        let (fd, facts) = self.pin("make")?;
        self.apply(&fd, &facts, &wanted)?;
        self.facts_of(&fd)
    }

    /// The nearest directory that exists at or above it, inside the root.
    ///
    /// # Errors
    /// When the root itself cannot be used.
    pub fn nearest_directory(&self) -> Result<Self, Error> {
        let mut chain = self.chain();
        while let Some(step) = chain.pop() {
            match step.stat() {
                Ok(Some(facts)) if facts.kind == FileKind::Directory => return Ok(step),
                Err(error) if step.is_root() => return Err(error),
                _ => {}
            }
        }
        Err(Error::Missing(self.to_string()))
    }

    /// Room where it is, or would be.
    ///
    /// # Errors
    /// When the root cannot be used.
    pub fn space(&self) -> Result<Space, Error> {
        let (fd, _) = self.nearest_directory()?.pin("ask the room of")?;
        let stat =
            nix::sys::statvfs::fstatvfs(&fd).map_err(|errno| Error::of("ask the room of", &self.to_string(), errno))?;
        let unit = stat.fragment_size();
        Ok(Space {
            free: stat.blocks_available().saturating_mul(unit),
            total: stat.blocks().saturating_mul(unit),
            free_inodes: stat.files_available(),
            inodes: stat.files(),
            read_only: stat.flags().contains(FsFlags::ST_RDONLY),
        })
    }
}

/// Ours and closed to everybody, as a directory is before it gets its owner and mode.
fn is_unfinished(facts: &Facts) -> bool {
    facts.mode & 0o777 == 0o700 && facts.uid == nix::unistd::geteuid().as_raw()
}
