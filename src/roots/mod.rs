//! Opens the only door to the user's files: confined, by descriptor. I/O.
//!
//! A path from outside becomes a [`RootPath`] or nothing. A root is opened once; everything below it is reached
//! by `openat2(BENEATH | NO_SYMLINKS | NO_MAGICLINKS | NO_XDEV)` from that descriptor, and changed by descriptor,
//! so that no swap of a link between check and use can lead outside.

mod access;
mod error;
mod file;
mod listing;
mod owner;
mod part;
mod path;
mod syscall;
mod usage;
mod walk;

use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::sys::statfs::{self, FsType};

pub use access::{Access, Denied, Restored, Who};
pub use error::{Error, Refusal};
pub use file::{Facts, FileKind, Space};
pub use listing::Listed;
pub use owner::{group_id, group_name, groups_of, user_id, user_name};
pub use part::{PART_SUFFIX, Part};
pub use path::{RootPath, shell_quote, toml_quote};
pub use syscall::{fork, give_back_memory, lend_memory};
pub use usage::{Budget, Entry, Usage};
pub use walk::{Entries, Found, MAX_DEPTH, Mark};

/// Directory inside a root that belongs to logmedic (quarantine); no log line may name anything in it.
pub const OWN_DIRECTORY: &str = ".logmedic";

/// A directory in which logmedic may repair files, with the policy for what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootSpec {
    /// Its unique name.
    pub name: String,
    /// Absolute path of the directory.
    pub path: PathBuf,
    /// User that files here must belong to, by name or number; `None` leaves the owner alone.
    pub owner: Option<String>,
    /// Group that files here must have; `None` leaves the group alone.
    pub group: Option<String>,
    /// Mode of directories; set-gid is allowed here.
    pub dir_mode: Option<u32>,
    /// Mode of files; set-id bits are refused.
    pub file_mode: Option<u32>,
}

/// Something about a configured root that will not work as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The root's name.
    pub root: String,
    /// One sentence: what, and what would help.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "root '{}': {}", self.root, self.detail)
    }
}

/// What a root's policy says, with names turned into numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// User that files must belong to.
    pub uid: Option<u32>,
    /// Group that files must have.
    pub gid: Option<u32>,
    /// Mode of directories.
    pub dir_mode: Option<u32>,
    /// Mode of files.
    pub file_mode: Option<u32>,
}

impl Policy {
    /// Whether nothing is configured.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.uid.is_none() && self.gid.is_none() && self.dir_mode.is_none() && self.file_mode.is_none()
    }
}

/// One root: the specification, the numbers, and the descriptor once it could be opened.
struct Root {
    spec: RootSpec,
    policy: Policy,
    /// Why nothing here may be used, where the specification itself is wrong.
    refused: Option<String>,
    /// What lies in it and is logmedic's own, below it.
    own: Vec<PathBuf>,
    held: Mutex<Option<Held>>,
}

#[derive(Clone)]
struct Held {
    fd: Arc<OwnedFd>,
    canonical: PathBuf,
    /// Whether its file system is on a disk of this machine, or in its memory.
    local: bool,
}

/// File systems that answer without a network, a program or a medium that can be taken out.
const LOCAL: [FsType; 6] = [
    statfs::EXT4_SUPER_MAGIC,
    statfs::XFS_SUPER_MAGIC,
    statfs::BTRFS_SUPER_MAGIC,
    statfs::F2FS_SUPER_MAGIC,
    statfs::TMPFS_MAGIC,
    statfs::OVERLAYFS_SUPER_MAGIC,
];

impl Root {
    /// The descriptor and canonical path; opened now when it was not, or when the directory was deleted meanwhile.
    fn held(&self) -> Result<Held, Error> {
        if let Some(why) = &self.refused {
            return Err(Error::Refused(Refusal::new(format!("root '{}' may not be used: {why}", self.spec.name))));
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = held.as_ref() {
            // A deleted directory has no links left; the same path may be there again, made anew.
            if nix::sys::stat::fstat(open.fd.as_fd()).is_ok_and(|stat| stat.st_nlink > 0) {
                return Ok(open.clone());
            }
        }
        let canonical =
            self.spec.path.canonicalize().map_err(|source| Error::of_io("open the root", &self.spec.path, source))?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::open(&canonical, flags, Mode::empty())
            .map_err(|errno| Error::of("open the root", &self.spec.path.display().to_string(), errno))?;
        let local = statfs::fstatfs(&fd).is_ok_and(|found| LOCAL.contains(&found.filesystem_type()));
        let fresh = Held { fd: Arc::new(fd), canonical, local };
        *held = Some(fresh.clone());
        Ok(fresh)
    }
}

/// The configured roots. Cheap to share behind an `Arc`.
pub struct Roots {
    roots: Vec<Arc<Root>>,
}

impl Roots {
    /// Opens each root once. A root that is missing is a problem now and opened later, when it is there.
    #[must_use]
    pub fn open(specs: &[RootSpec]) -> (Self, Vec<Problem>) {
        Self::open_around(specs, &[])
    }

    /// The same where logmedic keeps files of its own, which may lie in a root: its state, its configuration. They are no
    /// downloads, and whatever a log says of them, nothing there is repaired: a root's mode would show a key to everybody.
    #[must_use]
    pub fn open_around(specs: &[RootSpec], own: &[PathBuf]) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        let roots = specs
            .iter()
            .map(|spec| {
                let mut tell = |detail: String| problems.push(Problem { root: spec.name.clone(), detail });
                let (policy, mut refused) = match policy(spec) {
                    Ok(policy) => (policy, None),
                    Err(why) => (Policy::default(), Some(why)),
                };
                if !names.insert(spec.name.as_str()) {
                    refused = Some("another root has the same name; give each its own".into());
                }
                if let Some(why) = &refused {
                    tell(why.clone());
                }
                let own = own.iter().flat_map(|own| below(&spec.path, own)).collect();
                let root = Root { spec: spec.clone(), policy, refused, own, held: Mutex::new(None) };
                if root.refused.is_none()
                    && let Err(why) = root.held()
                {
                    tell(format!("{why}; it is looked for again when it is needed"));
                }
                Arc::new(root)
            })
            .collect();
        (Self { roots }, problems)
    }

    /// Turns a path from outside into a confined one, or refuses it. Purely lexical: nothing is opened but the root.
    ///
    /// `base` is the bot's working directory, for relative paths.
    ///
    /// # Errors
    /// When the path is empty, too long, holds NUL or `..`, is logmedic's own, or lies in no root; the refusal
    /// then names the configuration lines that would allow it.
    pub fn resolve(&self, hint: &str, base: Option<&Path>) -> Result<RootPath, Refusal> {
        let absolute = path::absolute(hint, base)?;
        let mut best: Option<(usize, RootPath)> = None;
        for root in &self.roots {
            let below = |prefix: &Path| {
                let relative = absolute.strip_prefix(prefix).ok()?.to_path_buf();
                Some((prefix.components().count(), relative))
            };
            // Most paths are written as the root is; else as the system has both.
            let found = below(&root.spec.path).or_else(|| below(&root.held().ok()?.canonical));
            // The innermost root decides: its policy is the nearer one.
            if let Some((depth, relative)) =
                found.filter(|(depth, _)| best.as_ref().is_none_or(|(most, _)| depth > most))
            {
                best = Some((depth, RootPath::new(root.clone(), relative)));
            }
        }
        let Some((_, found)) = best else { return Err(path::outside(&absolute)) };
        if found.is_own() {
            return Err(Refusal::new(format!("{found} belongs to logmedic itself")));
        }
        Ok(found)
    }

    /// A path below the root named `root`, by its relative path as logmedic itself wrote it down (the quarantine).
    ///
    /// # Errors
    /// When there is no such root, or the path is not a plain relative one.
    pub fn within(&self, root: &str, relative: &str) -> Result<RootPath, Refusal> {
        let found =
            self.roots.iter().find(|candidate| candidate.spec.name == root).ok_or_else(|| {
                Refusal::new(format!("there is no root named '{root}' in the configuration any more"))
            })?;
        Ok(RootPath::new(found.clone(), path::plain_relative(relative)?))
    }

    /// Every root as a path of its own (the root directory), in the order of the configuration.
    #[must_use]
    pub fn all(&self) -> Vec<RootPath> {
        self.roots.iter().map(|root| RootPath::new(root.clone(), PathBuf::new())).collect()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.roots.iter().map(|root| &root.spec)).finish()
    }
}

/// Where `own` lies below `root`, if it does: as both are written, or as the system has them.
fn below(root: &Path, own: &Path) -> BTreeSet<PathBuf> {
    let both = |path: &Path| [Some(path.to_path_buf()), path.canonicalize().ok()].into_iter().flatten();
    both(root)
        .flat_map(|root| both(own).filter_map(move |own| Some(own.strip_prefix(&root).ok()?.to_path_buf())))
        .collect()
}

/// Turns names into numbers and refuses what would be dangerous.
fn policy(spec: &RootSpec) -> Result<Policy, String> {
    if !spec.path.is_absolute() {
        return Err(format!("{} is not an absolute path", spec.path.display()));
    }
    if spec.path.components().any(|part| part == std::path::Component::ParentDir) {
        return Err(format!("{} holds '..'; write the path without it", spec.path.display()));
    }
    if spec.path.canonicalize().unwrap_or_else(|_| spec.path.clone()) == Path::new("/") {
        return Err("the whole file system may not be a root; name the directory the bot saves to".into());
    }
    let mut wrong = String::new();
    if let Some(mode) = spec.file_mode.filter(|mode| mode & !0o777 != 0) {
        let _ = write!(wrong, "file_mode {mode:04o} has set-id, sticky or unknown bits; use at most 0777. ");
    }
    if let Some(mode) = spec.dir_mode.filter(|mode| mode & !0o3777 != 0) {
        let _ = write!(wrong, "dir_mode {mode:04o} has the set-uid or unknown bits; use at most 3777. ");
    }
    let uid = spec.owner.as_deref().map(user_id);
    if let (Some(None), Some(name)) = (uid, &spec.owner) {
        let _ = write!(wrong, "there is no user '{name}' here. ");
    }
    let gid = spec.group.as_deref().map(group_id);
    if let (Some(None), Some(name)) = (gid, &spec.group) {
        let _ = write!(wrong, "there is no group '{name}' here. ");
    }
    if !wrong.is_empty() {
        return Err(wrong.trim_end().to_owned());
    }
    Ok(Policy { uid: uid.flatten(), gid: gid.flatten(), dir_mode: spec.dir_mode, file_mode: spec.file_mode })
}
