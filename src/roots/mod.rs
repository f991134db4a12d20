//! Opens the only door to the user's files: confined, by descriptor. I/O.

use std::path::PathBuf;

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
