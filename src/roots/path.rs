//! Turns path hints into confined paths, lexically.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Policy, Refusal, Root};
use crate::vocab::clean_line;

/// Longest path taken from outside, in bytes (`PATH_MAX` of Linux).
const MAX_PATH: usize = 4096;
/// Longest name of one component, in bytes (`NAME_MAX` of Linux).
const MAX_NAME: usize = 255;
/// Top-level directories that are never proposed as a root: a hostile line may name any path.
const SYSTEM: [&str; 11] =
    ["/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/boot", "/dev", "/proc", "/sys", "/run"];

/// A path below a configured root; the only way to a file of the user.
#[derive(Clone)]
pub struct RootPath {
    pub(super) root: Arc<Root>,
    /// Plain names only, no `.`, no `..`; empty for the root itself.
    relative: PathBuf,
}

impl RootPath {
    pub(super) fn new(root: Arc<Root>, relative: PathBuf) -> Self {
        Self { root, relative }
    }

    /// The name of its root.
    #[must_use]
    pub fn root_name(&self) -> &str {
        &self.root.spec.name
    }

    /// The path below the root; empty for the root itself.
    #[must_use]
    pub fn relative(&self) -> &Path {
        &self.relative
    }

    /// Where it is, for people and commands. Never opened by logmedic.
    #[must_use]
    pub fn absolute(&self) -> PathBuf {
        if self.relative.as_os_str().is_empty() {
            self.root.spec.path.clone()
        } else {
            self.root.spec.path.join(&self.relative)
        }
    }

    /// The root's policy.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.root.policy
    }

    /// Whether it is the root itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.relative.as_os_str().is_empty()
    }

    /// Whether it is logmedic's own: its quarantine, or what [`super::Roots::open_around`] was told of.
    #[must_use]
    pub fn is_own(&self) -> bool {
        let own = self.root.own.iter().map(PathBuf::as_path);
        std::iter::once(Path::new(super::OWN_DIRECTORY)).chain(own).any(|own| self.relative.starts_with(own))
    }

    /// Whether its file system is on this machine: a look at a name there is over in a moment. Nothing below a root is ever
    /// reached across a mount.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.root.held().is_ok_and(|held| held.local)
    }

    /// The last name; empty for the root itself.
    #[must_use]
    pub fn name(&self) -> String {
        self.relative.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The directory it lies in; `None` for the root itself.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.relative.parent().map(|up| Self::new(self.root.clone(), up.to_path_buf()))
    }

    /// A name inside it.
    ///
    /// # Errors
    /// When `name` is not one plain name.
    pub fn child(&self, name: &str) -> Result<Self, Refusal> {
        let plain = plain_relative(name)?;
        if plain.components().count() != 1 {
            return Err(Refusal::new(format!("'{}' is not one plain name", clean_line(name))));
        }
        Ok(Self::new(self.root.clone(), self.relative.join(plain)))
    }

    /// The file beside it with `suffix` behind the name (`.part`).
    ///
    /// # Errors
    /// When it is the root itself or the name grows too long.
    pub fn beside(&self, suffix: &str) -> Result<Self, Refusal> {
        let mut name = self.relative.file_name().unwrap_or_default().to_os_string();
        if name.is_empty() || name.len() + suffix.len() > MAX_NAME {
            return Err(Refusal::new(format!("{self} cannot have a file '{suffix}' beside it: the name is too long")));
        }
        name.push(suffix);
        Ok(Self::new(self.root.clone(), self.relative.with_file_name(name)))
    }

    /// The root, then each directory down to it, itself last.
    #[must_use]
    pub fn chain(&self) -> Vec<Self> {
        let mut chain: Vec<Self> =
            self.relative.ancestors().map(|up| Self::new(self.root.clone(), up.to_path_buf())).collect();
        chain.reverse();
        chain
    }
}

impl fmt::Display for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}/{}", self.root.spec.name, self.relative.display());
        f.write_str(&clean_line(text.trim_end_matches('/')))
    }
}

impl fmt::Debug for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootPath({self})")
    }
}

impl PartialEq for RootPath {
    fn eq(&self, other: &Self) -> bool {
        self.root.spec.name == other.root.spec.name && self.relative == other.relative
    }
}

impl Eq for RootPath {}

/// The hint as an absolute path without `.`; `..`, NUL, nothing and too much are refused.
pub(super) fn absolute(hint: &str, base: Option<&Path>) -> Result<PathBuf, Refusal> {
    lexical(hint)?;
    let path = Path::new(hint);
    let joined = if path.is_absolute() {
        path.to_path_buf()
    } else {
        let base = base.ok_or_else(|| {
            Refusal::new(format!("'{}' is relative and the bot's working directory is not known", clean_line(hint)))
                .with_remedy("[bot]\ncwd = \"/path/where/the/bot/runs\"")
        })?;
        base.join(path)
    };
    if joined.as_os_str().len() > MAX_PATH {
        return Err(Refusal::new(format!("the path is longer than {MAX_PATH} bytes")));
    }
    Ok(joined.components().filter(|part| !matches!(part, Component::CurDir)).collect())
}

/// A relative path of plain names.
pub(super) fn plain_relative(text: &str) -> Result<PathBuf, Refusal> {
    lexical(text)?;
    let path = Path::new(text);
    if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(Refusal::new(format!("'{}' is not a plain relative path", clean_line(text))));
    }
    Ok(path.components().filter(|part| matches!(part, Component::Normal(_))).collect())
}

fn lexical(text: &str) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::new("the path is empty"));
    }
    if text.len() > MAX_PATH {
        return Err(Refusal::new(format!("the path is longer than {MAX_PATH} bytes")));
    }
    if text.contains('\0') {
        return Err(Refusal::new(format!("'{}' holds a NUL byte", clean_line(text))));
    }
    for part in Path::new(text).components() {
        match part {
            Component::ParentDir => return Err(Refusal::new(format!("'{}' holds '..'", clean_line(text)))),
            Component::Normal(name) if name.len() > MAX_NAME => {
                return Err(Refusal::new(format!("a name in the path is longer than {MAX_NAME} bytes")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The refusal for a path in no root, with the lines that would make one.
pub(super) fn outside(absolute: &Path) -> Refusal {
    let shown = absolute.display().to_string();
    let refusal = Refusal::new(format!("{} lies outside every configured root", clean_line(&shown)));
    // Without an extension it is taken for a directory: a root for it is narrower than one for its parent.
    let directory = if absolute.extension().is_some() { absolute.parent() } else { Some(absolute) };
    let Some(directory) = directory.filter(|dir| dir.parent().is_some()) else { return refusal };
    if SYSTEM.iter().any(|system| directory.starts_with(system)) || clean_line(&shown) != shown {
        return refusal;
    }
    let name: String = directory
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .collect();
    let path = toml_quote(&directory.to_string_lossy());
    refusal.with_remedy(format!("[[root]]\nname = \"{name}\"\npath = {path}"))
}

/// A TOML basic string for `text`.
#[must_use]
pub fn toml_quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// One argument for a POSIX shell, quoted where it must be.
#[must_use]
pub fn shell_quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if text.chars().any(steers) {
        // ANSI-C quoting: a control character would steer the terminal the command is pasted into.
        let mut out = String::from("$'");
        for c in text.chars() {
            match c {
                '\'' | '\\' => out.extend(['\\', c]),
                c if steers(c) => out.push_str(&format!("\\U{:08x}", u32::from(c))),
                c => out.push(c),
            }
        }
        out.push('\'');
        return out;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether a character could steer a terminal.
fn steers(c: char) -> bool {
    let text = c.to_string();
    clean_line(&text) != text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_nul_and_length_are_refused_before_anything_is_opened() {
        for bad in ["", "../x", "a/../../x", "/srv/../etc/passwd", "a\0b", &"a/".repeat(3000), &"n".repeat(256)] {
            assert!(absolute(bad, Some(Path::new("/srv"))).is_err(), "{bad:?}");
        }
        assert_eq!(absolute("./a//b/", Some(Path::new("/srv"))).unwrap(), Path::new("/srv/a/b"));
    }

    #[test]
    fn the_remedy_is_the_root_that_would_allow_it_but_never_a_system_directory() {
        let remedy = outside(Path::new("/srv/my \"films\"/a.mp4")).remedy.unwrap();
        assert_eq!(remedy, "[[root]]\nname = \"my--films-\"\npath = \"/srv/my \\\"films\\\"\"");
        assert_eq!(outside(Path::new("/etc/shadow")).remedy, None);
        assert_eq!(outside(Path::new("/a.mp4")).remedy, None);
    }

    #[test]
    fn shell_words_are_safe_to_paste() {
        assert_eq!(shell_quote("/srv/a.mp4"), "/srv/a.mp4");
        assert_eq!(shell_quote("/srv/it's $(x)"), r"'/srv/it'\''s $(x)'");
        assert_eq!(shell_quote("a\u{1b}b"), r"$'a\U0000001bb'");
    }
}
