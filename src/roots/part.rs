//! Writes a file beside its place as `NAME.part` and puts it there when it is proven.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::fd::AsFd as _;

use nix::fcntl::OFlag;

use super::{Error, FileKind, Policy, Refusal, RootPath};

/// What stands behind the name of an unfinished download.
pub const PART_SUFFIX: &str = ".part";

/// An unfinished download, open for reading and writing.
pub struct Part {
    /// The descriptor.
    pub file: File,
    /// Where it is.
    pub path: RootPath,
    /// Bytes it already holds.
    pub held: u64,
    /// Device and inode: tells whether it is still the same one after a restart.
    pub identity: (u64, u64),
}

impl RootPath {
    /// Makes `NAME.part`, which must not exist.
    ///
    /// # Errors
    /// [`Error::Exists`] when it does.
    pub fn create_part(&self) -> Result<Part, Error> {
        let path = self.beside(PART_SUFFIX)?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let fd = path.open("make", flags, 0o600)?;
        let facts = path.facts_of(&fd)?;
        Ok(Part { file: File::from(fd), path, held: 0, identity: facts.identity })
    }

    /// Opens an existing `NAME.part` at its end: a regular file with one name that belongs to one of `owners`.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none, a refusal when it is anything else.
    pub fn open_part(&self, owners: &[u32]) -> Result<Part, Error> {
        let path = self.beside(PART_SUFFIX)?;
        let fd = path.open("open", OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, 0)?;
        let facts = path.facts_of(&fd)?;
        path.changeable(&facts)?;
        if facts.kind != FileKind::File || !owners.contains(&facts.uid) {
            return Err(Error::Refused(Refusal::new(format!("{path} is not a file of the bot or of logmedic"))));
        }
        let mut file = File::from(fd);
        file.seek(SeekFrom::End(0)).map_err(|source| Error::of_io("open", &path.absolute(), source))?;
        Ok(Part { file, path, held: facts.size, identity: facts.identity })
    }
}

impl Part {
    /// Gives it the owner and mode the policy asks for; what the policy leaves open is taken from the directory.
    ///
    /// Says what could not be given for lack of privilege: the file is whole all the same.
    ///
    /// # Errors
    /// When the system fails otherwise.
    pub fn give_away(&self) -> Result<Option<String>, Error> {
        let facts = self.path.facts_of(self.file.as_fd())?;
        let above = self.path.parent().map(|parent| parent.stat()).transpose()?.flatten();
        let policy = self.path.policy();
        let mode = policy.file_mode.or(above.map(|above| above.mode & 0o666)).unwrap_or(0o644);
        let wanted = Policy {
            uid: policy.uid.or(above.map(|above| above.uid)),
            gid: policy.gid.or(above.map(|above| above.gid)),
            dir_mode: None,
            file_mode: Some(mode),
        };
        match self.path.apply(&self.file, &facts, &wanted) {
            Ok(_) => Ok(None),
            Err(Error::Denied { .. }) => {
                // Readable for whom it is meant, even where the owner cannot be changed.
                let facts = self.path.facts_of(self.file.as_fd())?;
                let only_mode = Policy { file_mode: Some(mode), ..Policy::default() };
                self.path.apply(&self.file, &facts, &only_mode)?;
                Ok(Some(format!("{} could not be given to its owner: logmedic is not permitted to", self.path)))
            }
            Err(error) => Err(error),
        }
    }

    /// Puts it at `NAME`, which must not exist.
    ///
    /// # Errors
    /// [`Error::Exists`] when the name is taken, a refusal when the part is no longer the one that was written.
    pub fn place_at(&self, name: &RootPath) -> Result<(), Error> {
        let (_, now) = self.path.pin("move")?;
        if now.identity != self.identity {
            return Err(Error::Refused(Refusal::new(format!("{} was replaced while it was written", self.path))));
        }
        self.path.rename_to(name)?;
        // The name is the promise; without this a power cut may take it back.
        if let Some(parent) = name.parent()
            && let Ok(dir) = parent.open("sync", OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0)
        {
            let _ = nix::unistd::fsync(dir);
        }
        Ok(())
    }
}
