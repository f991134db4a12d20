//! Shapes what the watch over the roots tells of a file that is being written. Pure.

/// One file under a root, as it is now. Names in here are strangers' words, but the path lies in a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The root's name.
    pub root: String,
    /// Where the file will be in the end, absolute; the temporary name is left out.
    pub path: String,
    /// Bytes that are really there; `None` where the disk does not show it (room set aside beforehand).
    pub bytes: Option<u64>,
    /// Bytes in all, where the downloader's own control file says so.
    pub total: Option<u64>,
    /// It still has a temporary name or a control file beside it.
    pub part: bool,
    /// What happened.
    pub what: Grew,
}

/// What happened to a watched file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grew {
    /// It appeared or was written to.
    Grows,
    /// Nobody wrote to it for a while.
    Quiet,
    /// It is gone, under its temporary and its final name.
    Gone,
}
