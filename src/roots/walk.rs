//! Walks a root as the system has it: names of any bytes, and who each file is. Never follows a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::FileStat;

use super::{Error, Facts, FileKind, Refusal, RootPath, Roots};

/// Longest name of one component, in bytes (`NAME_MAX` of Linux).
const MAX_NAME: usize = 255;

/// Deepest directory that is walked into; real libraries have three or four levels.
pub const MAX_DEPTH: usize = 64;

/// Who a file is: as long as all of it is the same, nobody wrote to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last change of anything, in nanoseconds since 1970: nobody can set it back.
    pub ctime_ns: i64,
}

impl Mark {
    fn of(stat: &FileStat) -> Self {
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: nanos(stat.st_mtime, stat.st_mtime_nsec),
            ctime_ns: nanos(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// One thing in a directory, as the system has it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub name: OsString,
    /// A regular file or a directory.
    pub kind: FileKind,
    /// Who it is.
    pub mark: Mark,
}

/// What stands in a directory.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// Files and directories; links, devices, pipes are left out.
    pub found: Vec<Found>,
    /// There are more.
    pub more: bool,
    /// Something could not be looked at or read to the end: what is missing here may be there all the same.
    pub partial: bool,
}

impl Roots {
    /// The thing at this path below the root named `root`, as the system has it.
    ///
    /// # Errors
    /// When there is no such root, or the path is not one of plain names.
    pub fn place(&self, root: &str, relative: &Path) -> Result<RootPath, Refusal> {
        let mut path = self.all().into_iter().find(|one| one.root_name() == root).ok_or_else(|| {
            Refusal::new(format!("there is no root named '{}' in the configuration", crate::vocab::clean_line(root)))
        })?;
        for part in relative.components() {
            let Component::Normal(name) = part else {
                return Err(Refusal::new("the path is not one of plain names"));
            };
            path = path.inner(name)?;
        }
        Ok(path)
    }
}

impl RootPath {
    /// A name inside it, of any bytes.
    ///
    /// # Errors
    /// When it is not one plain name.
    pub fn inner(&self, name: &OsStr) -> Result<Self, Refusal> {
        let mut parts = Path::new(name).components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(one)), None) if one == name);
        if !plain || name.len() > MAX_NAME || name.as_bytes().contains(&0) {
            return Err(Refusal::new("a name in the path is not plain"));
        }
        Ok(Self::new(self.root.clone(), self.relative().join(name)))
    }

    /// What stands in this directory, up to `limit` things.
    ///
    /// # Errors
    /// When the directory cannot be read: missing, a link, another file system, no privilege.
    pub fn entries(&self, limit: usize) -> Result<Entries, Error> {
        let fail = |errno| Error::of("list", &self.to_string(), errno);
        let fd = self.open("list", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, 0)?;
        let base = fd.try_clone().map_err(|error| Error::of_io("list", self.relative(), error))?;
        let mut dir = Dir::from_fd(fd).map_err(fail)?;
        let mut all = Entries::default();
        for entry in dir.iter() {
            let Ok(entry) = entry else {
                all.partial = true;
                break;
            };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if all.found.len() >= limit {
                all.more = true;
                break;
            }
            match nix::sys::stat::fstatat(base.as_fd(), entry.file_name(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    let kind = Facts::of(&stat).kind;
                    if kind != FileKind::Other {
                        let name = OsStr::from_bytes(name).to_os_string();
                        all.found.push(Found { name, kind, mark: Mark::of(&stat) });
                    }
                }
                // Gone meanwhile.
                Err(nix::errno::Errno::ENOENT) => {}
                Err(_) => all.partial = true,
            }
        }
        Ok(all)
    }

    /// Opens a regular file for reading, and says who it is.
    ///
    /// # Errors
    /// When it is missing, is no regular file, or logmedic may not read it.
    pub fn open_marked(&self) -> Result<(File, Mark), Error> {
        let (file, _) = self.open_read()?;
        let mark = self.mark_of(&file)?;
        Ok((file, mark))
    }

    /// Who the file behind this descriptor is now.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn mark_of(&self, file: &File) -> Result<Mark, Error> {
        let stat = nix::sys::stat::fstat(file).map_err(|errno| Error::of("look at", &self.to_string(), errno))?;
        Ok(Mark::of(&stat))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::roots::RootSpec;

    fn rooted(dir: &Path) -> Roots {
        let spec = RootSpec {
            name: "models".into(),
            path: dir.to_path_buf(),
            owner: None,
            group: None,
            dir_mode: None,
            file_mode: None,
        };
        Roots::open(&[spec]).0
    }

    #[test]
    fn h1_names_of_any_bytes_are_walked_and_links_are_not() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let nasty = OsStr::from_bytes(b"a\n\x1b[31m\xff.mp4");
        std::fs::write(dir.path().join(nasty), b"x").unwrap();
        std::fs::write(outside.path().join("secret"), b"x").unwrap();
        symlink(outside.path(), dir.path().join("out")).unwrap();
        symlink(outside.path().join("secret"), dir.path().join("s.mp4")).unwrap();
        let roots = rooted(dir.path());
        let root = roots.all().remove(0);
        let found = root.entries(10).unwrap();
        assert_eq!(found.found.iter().map(|one| one.name.as_os_str()).collect::<Vec<_>>(), [nasty]);
        let (_, mark) = roots.place("models", Path::new(nasty)).unwrap().open_marked().unwrap();
        assert_eq!(mark, found.found[0].mark);
        assert!(roots.place("models", Path::new("out/secret")).unwrap().open_marked().is_err());
        for bad in ["..", "a/../b", "/etc/passwd", "."] {
            assert!(roots.place("models", Path::new(bad)).is_err() || bad == ".", "{bad}");
        }
    }
}
