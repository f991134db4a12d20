//! Models what is in a backup, and reads it from whoever wrote it. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The form of the manifest. Versions of v1 only add fields.
pub const SCHEMA: &str = "logmedic.backup/v1";

/// The manifest's file.
pub const FILE: &str = "manifest.json";

/// The manifest's own checksum, as `sha256sum -c` reads it.
pub const SUM: &str = "manifest.json.sha256";

/// The state database.
pub const STATE: &str = "state.db";

/// Where the configuration is.
pub const CONFIG: &str = "config";

/// Where the files of the roots are.
pub const MEDIA: &str = "media";

/// Files in a backup at most: with them a manifest is some tens of megabytes.
pub const FILES: usize = 200_000;

/// The longest manifest that is written or read, in bytes.
pub const LONGEST: u64 = 64 << 20;

/// The longest path, in bytes (`PATH_MAX`), and the longest name in it (`NAME_MAX`).
const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;

/// Characters of a name that a person gives.
const LABEL_MAX: usize = 48;

/// A path below the backup: plain names only, at a place where backups have files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Relative(String);

/// What a file of a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The state database.
    State,
    /// A file of the configuration, below its directory.
    Config(&'a str),
    /// A file of a root: the root's name, and the path below it.
    Media(&'a str, &'a str),
}

impl Relative {
    /// Takes a path in.
    ///
    /// # Errors
    /// When it is absolute, leads upwards, is too long, or no file of a backup has such a place.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown = || crate::vocab::shorten(&crate::vocab::clean_line(text), 120).into_owned();
        if text.is_empty() || text.len() > PATH_MAX || text.contains('\0') {
            return Err(format!("'{}' is not the path of a file", shown()));
        }
        if text.starts_with('/') {
            return Err(format!("'{}' is an absolute path", shown()));
        }
        for name in text.split('/') {
            match name {
                ".." => return Err(format!("'{}' leads out of the backup", shown())),
                "" | "." => return Err(format!("'{}' is not a plain path", shown())),
                long if long.len() > NAME_MAX => {
                    return Err(format!("a name in '{}' is longer than {NAME_MAX} bytes", shown()));
                }
                _ => {}
            }
        }
        let path = Self(text.to_owned());
        if path.read().is_none() {
            return Err(format!("'{}' is at no place where a backup has files", shown()));
        }
        Ok(path)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    fn read(&self) -> Option<Part<'_>> {
        if self.0 == STATE {
            return Some(Part::State);
        }
        match self.0.split_once('/')? {
            (CONFIG, rest) => Some(Part::Config(rest)),
            (MEDIA, rest) => rest.split_once('/').map(|(root, rest)| Part::Media(root, rest)),
            _ => None,
        }
    }

    /// What it is.
    #[must_use]
    pub fn part(&self) -> Part<'_> {
        // There is no other place: it was looked at when it was made.
        self.read().unwrap_or(Part::State)
    }
}

impl fmt::Display for Relative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::vocab::clean_line(&self.0))
    }
}

impl TryFrom<String> for Relative {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Relative> for String {
    fn from(path: Relative) -> Self {
        path.0
    }
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it is in the backup.
    pub path: Relative,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// Whether it holds secrets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// Where it was, for files of the configuration that were elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// What is in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form: [`SCHEMA`].
    pub schema: String,
    /// The backup's name.
    pub name: String,
    /// The version of logmedic that made it.
    pub logmedic: String,
    /// The format of the state database.
    pub database_format: u32,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// Of which state directory.
    pub state_dir: String,
    /// The operation that made it.
    #[serde(default)]
    pub operation: Option<String>,
    /// Whether media is in it.
    pub media: bool,
    /// Whether secrets of the configuration are in it. Accounts' password hashes are in every state.
    pub secrets: bool,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Its files.
    pub files: Vec<Entry>,
    /// What was left out, and why; of many the first.
    #[serde(default)]
    pub skipped: Vec<String>,
    /// How much was left out.
    #[serde(default)]
    pub skipped_count: u64,
}

impl Manifest {
    /// Takes a manifest in.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| {
            format!("the manifest cannot be read: {}", crate::vocab::clean_line(&error.to_string()))
        })?;
        if manifest.schema != SCHEMA {
            return Err(format!(
                "the manifest has the form '{}', this logmedic knows {SCHEMA}",
                crate::vocab::clean_line(&manifest.schema)
            ));
        }
        if manifest.files.len() > FILES {
            return Err(format!("the manifest names more than {FILES} files"));
        }
        let mut seen = BTreeSet::new();
        let mut bytes = 0u64;
        for file in &manifest.files {
            if !seen.insert(&file.path) {
                return Err(format!("the manifest names {} twice", file.path));
            }
            if file.sha256.len() != 64 || !file.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            {
                return Err(format!("the manifest has no checksum for {}", file.path));
            }
            // No file system has files beyond that; and a sum of them must not wrap.
            bytes = bytes
                .checked_add(file.size)
                .filter(|sum| i64::try_from(*sum).is_ok())
                .ok_or_else(|| format!("the manifest names a size for {} that no file has", file.path))?;
        }
        if bytes != manifest.bytes {
            return Err("the sizes in the manifest do not add up".into());
        }
        if manifest.state().is_none() {
            return Err("the manifest names no state database".into());
        }
        Ok(manifest)
    }

    /// The state database.
    #[must_use]
    pub fn state(&self) -> Option<&Entry> {
        self.files.iter().find(|file| file.path.part() == Part::State)
    }
}

/// Whether a person may call a backup so.
///
/// # Errors
/// A sentence that says what is expected.
pub fn label(text: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let good = !text.is_empty() && text.len() <= LABEL_MAX && text.chars().all(plain) && !text.starts_with(['.', '-']);
    let shown = crate::vocab::shorten(&crate::vocab::clean_line(text), 60).into_owned();
    good.then_some(()).ok_or_else(|| {
        format!("'{shown}' is not a name for a backup; write up to {LABEL_MAX} letters, digits, '.', '-' and '_'")
    })
}

/// The name of a backup that is begun now.
#[must_use]
pub fn name(at: DateTime<Utc>, label: Option<&str>) -> String {
    let time = at.format("%Y-%m-%dT%H%M%SZ");
    label.map_or_else(|| time.to_string(), |label| format!("{time}-{label}"))
}

/// Whether this can be the name of a backup: a moment, and what a person called it.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let Some((time, rest)) = text.split_at_checked(18) else { return false };
    let moment = chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%dT%H%M%SZ").is_ok();
    moment && (rest.is_empty() || rest.strip_prefix('-').is_some_and(|rest| label(rest).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest(files: &str, bytes: u64) -> Result<Manifest, String> {
        let text = format!(
            r#"{{"schema":"{SCHEMA}","name":"n","logmedic":"1","database_format":1,"created_at":"2026-01-01T00:00:00Z",
            "state_dir":"/s","media":false,"secrets":false,"bytes":{bytes},"files":[{files}],"later":1}}"#
        );
        Manifest::parse(text.as_bytes())
    }

    fn file(path: &str, size: &str) -> String {
        format!(r#"{{"path":"{path}","size":{size},"sha256":"{}"}}"#, "0".repeat(64))
    }

    #[test]
    fn h1_a_path_that_leads_anywhere_else_is_no_path_of_a_backup() {
        for bad in [
            "",
            "/etc/passwd",
            "../state.db",
            "config/../../x",
            "media/m/..",
            "config//x",
            "config/./x",
            "config/",
            "config",
            "media/m",
            "state.db/x",
            "other/x",
            "manifest.json",
            ".partial/x",
            "a\\u0000b",
            "config/\\u0000",
        ] {
            let found = manifest(&format!("{},{}", file("state.db", "1"), file(bad, "1")), 2);
            assert!(found.is_err(), "{bad}");
        }
        let long = format!("config/{}", "n".repeat(256));
        assert!(Relative::parse(&long).is_err() && Relative::parse(&format!("config/{}", "a/".repeat(3_000))).is_err());
        assert_eq!(Relative::parse("media/films/a b/ü.mp4").unwrap().part(), Part::Media("films", "a b/ü.mp4"));
        assert_eq!(Relative::parse("config/conf.d/a.toml").unwrap().part(), Part::Config("conf.d/a.toml"));
    }

    #[test]
    fn h3_sizes_that_no_file_has_and_double_files_are_refused() {
        let state = file("state.db", "1");
        assert!(manifest(&state, 1).is_ok());
        for (files, bytes) in [
            (state.clone(), 2),
            (file("config/x", "1"), 1),
            (format!("{state},{}", file("config/x", "18446744073709551615")), 0),
            (format!("{state},{}", file("config/x", "9223372036854775807")), 9_223_372_036_854_775_808),
            (format!("{state},{}", file("config/x", "-1")), 0),
            (format!("{state},{}", file("config/x", "1e30")), 0),
            (format!("{state},{state}"), 2),
            (state.replace('0', "g"), 1),
        ] {
            assert!(manifest(&files, bytes).is_err(), "{files}");
        }
    }

    #[test]
    fn names_are_a_moment_and_a_word() {
        let at = "2026-11-25T19:39:00Z".parse().unwrap();
        for label in [None, Some("before-2.0"), Some("a")] {
            assert!(is_name(&name(at, label)));
        }
        for bad in [
            "",
            "x",
            "2026-11-25T193900Z-",
            "2026-11-25T193900Z-../x",
            "2026-13-25T193900Z",
            "2026-11-25T193900Zx",
            "é".repeat(9).as_str(),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(
            label("-x").is_err() && label(".x").is_err() && label("a b").is_err() && label(&"a".repeat(49)).is_err()
        );
    }

    proptest! {
        #[test]
        fn h1_whatever_is_taken_in_stays_below(text in "(state.db|config|media|\\.|\\.\\.|/|[a-z])(/|\\.|\\.\\.|[a-zé\\x00]){0,12}") {
            if let Ok(path) = Relative::parse(&text) {
                let plain = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(path.as_path().components().all(plain), "{:?}", path);
            }
        }
    }
}
