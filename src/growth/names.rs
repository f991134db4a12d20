//! Tells from its name what a file under a root is: data, data under a temporary name, a control file, or no download.
//! Pure.

/// Endings under which downloaders write before they rename: data stands in these.
const TEMPORARY: &[&str] = &[
    ".part",
    ".crdownload",
    ".!qB",
    ".!qb",
    ".!ut",
    ".partial",
    ".download",
    ".opdownload",
    ".temp",
    ".tmp",
    ".filepart",
];

/// Endings of what stands beside a file that is not complete.
const CONTROL: &[&str] = &[".aria2", ".ytdl", ".st"];

/// Endings of files that grow and are no downloads: logs, databases, sessions of bots.
const OTHER: &[&str] = &[
    "log",
    "jsonl",
    "json",
    "db",
    "db-wal",
    "db-shm",
    "db-journal",
    "sqlite",
    "sqlite3",
    "sqlite-wal",
    "sqlite-shm",
    "sqlite-journal",
    "session",
    "session-journal",
    "lock",
    "pid",
    "py",
    "pyc",
    "toml",
    "ini",
    "yaml",
    "yml",
    "env",
    "swp",
];

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// A file under its final name.
    Final(&'a str),
    /// The data of a file with this final name.
    Temporary(&'a str),
    /// yt-dlp writes into `NAME.temp.EXT` while it joins sound and picture: the length of `NAME`, and `.EXT`.
    Joined(&'a str, &'a str),
    /// Says of the file with this final name that it is not complete.
    Control(&'a str),
    /// Nothing to follow.
    Nothing,
}

/// Reads a name.
#[must_use]
pub fn read(name: &str) -> Name<'_> {
    if name.is_empty() || name.starts_with('.') || name.ends_with('~') || name.contains(".part-Frag") {
        return Name::Nothing;
    }
    let strip =
        |endings: &[&str]| endings.iter().find_map(|ending| name.strip_suffix(ending)).filter(|rest| !rest.is_empty());
    if let Some(rest) = strip(CONTROL) {
        return Name::Control(rest);
    }
    if let Some(rest) = strip(TEMPORARY) {
        return Name::Temporary(rest);
    }
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    if let Some(rest) = stem.strip_suffix(".temp").filter(|rest| !rest.is_empty() && !extension.is_empty()) {
        return Name::Joined(rest, &name[stem.len()..]);
    }
    if OTHER.contains(&extension.to_ascii_lowercase().as_str()) { Name::Nothing } else { Name::Final(name) }
}

/// The names under which the data of this file may stand before it is complete.
pub fn temporary_names(name: &str) -> impl Iterator<Item = String> {
    let joined = name.rsplit_once('.').map(|(stem, extension)| format!("{stem}.temp.{extension}"));
    TEMPORARY.iter().map(move |ending| format!("{name}{ending}")).collect::<Vec<_>>().into_iter().chain(joined)
}

/// The names of what may stand beside this file while it is not complete.
pub fn control_names(name: &str) -> impl Iterator<Item = String> {
    CONTROL.iter().map(|ending| format!("{name}{ending}")).collect::<Vec<_>>().into_iter()
}

impl Name<'_> {
    /// The file's name in the end.
    #[must_use]
    pub fn wanted(&self) -> Option<String> {
        match self {
            Self::Final(name) | Self::Temporary(name) | Self::Control(name) => Some((*name).to_owned()),
            Self::Joined(stem, extension) => Some(format!("{stem}{extension}")),
            Self::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b1_temporary_names_lead_to_the_final_one() {
        for (name, want) in [
            ("a.mp4", Name::Final("a.mp4")),
            ("a.mp4.part", Name::Temporary("a.mp4")),
            ("a.mp4.crdownload", Name::Temporary("a.mp4")),
            ("a.mkv.!qB", Name::Temporary("a.mkv")),
            ("a.mp4.aria2", Name::Control("a.mp4")),
            ("a.mp4.ytdl", Name::Control("a.mp4")),
            ("a.temp.mp4", Name::Joined("a", ".mp4")),
            ("a.f137.mp4.part", Name::Temporary("a.f137.mp4")),
            ("a.mp4.part-Frag3", Name::Nothing),
            ("bot.log", Name::Nothing),
            ("bot.session-journal", Name::Nothing),
            (".hidden", Name::Nothing),
            (".part", Name::Nothing),
            ("README", Name::Final("README")),
        ] {
            assert_eq!(read(name), want, "{name}");
        }
        assert_eq!(read("a.temp.mp4").wanted().as_deref(), Some("a.mp4"));
    }
}
