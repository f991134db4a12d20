//! Lists what stands in one directory of a root, without following a link.

use std::os::fd::AsFd as _;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};

use super::{Error, Facts, FileKind, RootPath};

/// One thing in a directory.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its place.
    pub path: RootPath,
    /// What the system says about it.
    pub facts: Facts,
}

impl RootPath {
    /// The files and directories in this directory, up to `limit`; links, devices and names that are no text are left
    /// out. `true`: there are more.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self, limit: usize) -> Result<(Vec<Listed>, bool), Error> {
        let fd = self.open("list", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, 0)?;
        let mut dir = Dir::from_fd(fd).map_err(|errno| Error::of("list", &self.to_string(), errno))?;
        let base = nix::unistd::dup(&dir).map_err(|errno| Error::of("list", &self.to_string(), errno))?;
        let mut found = Vec::new();
        for entry in dir.iter().flatten() {
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            if found.len() == limit {
                return Ok((found, true));
            }
            let stat = nix::sys::stat::fstatat(base.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW);
            let (Ok(stat), Ok(path)) = (stat, self.child(name)) else { continue };
            let facts = Facts::of(&stat);
            if facts.kind != FileKind::Other {
                found.push(Listed { path, facts });
            }
        }
        Ok((found, false))
    }
}
