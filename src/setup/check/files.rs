//! Checks the sources of log text. I/O.

use std::io;
use std::path::Path;

use nix::unistd::{AccessFlags, eaccess};

use super::{Finding, word};
use crate::setup::config::{Config, Source};

/// Whether this process may use a path so.
pub(super) fn may(path: &Path, flags: AccessFlags) -> bool {
    eaccess(path, flags).is_ok()
}

/// The nearest directory that exists, from `path` upwards.
pub(super) fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"))
}

/// Each configured source.
pub(super) fn sources(config: &Config) -> Vec<Finding> {
    if config.source.is_empty() {
        return vec![Finding::ok("source", "the bot's own output (`logmedic run -- COMMAND`)")];
    }
    config.source.iter().map(source).collect()
}

fn source(source: &Source) -> Finding {
    let name = &source.name;
    if let Some(unit) = &source.journal {
        return journal(name, unit);
    }
    let Some(file) = &source.path else { return Finding::ok("source", format!("{name}: standard input")) };
    if file.shown.contains(['*', '?', '[']) {
        return glob(name, &file.path, &file.shown);
    }
    match std::fs::File::open(&file.path) {
        Ok(_) if file.path.is_dir() => {
            let remedy = format!("write path = \"{}/*.log\"", file.shown.trim_end_matches('/'));
            Finding::fail("source", format!("{name}: {} is a directory", file.shown), remedy)
        }
        Ok(_) => Finding::ok("source", format!("{name}: {} can be read", file.shown)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => absent(name, &file.path, &file.shown),
        Err(error) => {
            let user = super::system::user_name();
            let detail = format!("{name}: {} cannot be read by user {user}: {error}", file.shown);
            Finding::fail("source", detail, format!("setfacl -m u:{user}:r {}", word(&file.path)))
        }
    }
}

fn absent(name: &str, path: &Path, shown: &str) -> Finding {
    let parent = path.parent().unwrap_or(Path::new("/"));
    if parent.is_dir() {
        return Finding::ok(
            "source",
            format!("{name}: {shown} is not there yet; it is read from the moment it appears"),
        );
    }
    let detail = format!("{name}: {shown} is not there, nor is its directory");
    Finding::warn("source", detail, format!("mkdir -p {}, or correct the path", word(parent)))
}

fn glob(name: &str, path: &Path, shown: &str) -> Finding {
    /// Enough to say "many".
    const MOST: usize = 1000;
    match glob::glob(&path.to_string_lossy()) {
        Ok(paths) => {
            let found: Vec<_> = paths.filter_map(Result::ok).take(MOST).collect();
            match found.iter().find(|path| path.is_file() && !may(path, AccessFlags::R_OK)) {
                Some(closed) => Finding::fail(
                    "source",
                    format!("{name}: {} cannot be read by user {}", closed.display(), super::system::user_name()),
                    format!("setfacl -m u:{}:r {}", super::system::user_name(), word(closed)),
                ),
                None => Finding::ok("source", format!("{name}: {shown} names {} files now", found.len())),
            }
        }
        Err(error) => Finding::fail("source", format!("{name}: {shown} is no pattern: {error}"), "correct the pattern"),
    }
}

fn journal(name: &str, unit: &str) -> Finding {
    if super::system::in_path("journalctl").is_none() {
        let detail = format!("{name}: the journal of {unit} needs journalctl, which is not installed");
        return Finding::fail("source", detail, "name a log file with path = instead");
    }
    let readable = Path::new("/var/log/journal").exists() || Path::new("/run/log/journal").exists();
    let groups = super::system::group_names();
    let allowed = nix::unistd::geteuid().is_root()
        || groups.iter().any(|group| ["systemd-journal", "adm", "wheel"].contains(&group.as_str()));
    match (readable, allowed) {
        (true, true) => Finding::ok("source", format!("{name}: journal of {unit}")),
        (false, _) => Finding::warn(
            "source",
            format!("{name}: no journal is kept on this machine"),
            "systemctl status systemd-journald",
        ),
        (true, false) => Finding::fail(
            "source",
            format!("{name}: user {} may not read the journal of {unit}", super::system::user_name()),
            format!("usermod -aG systemd-journal {}", super::system::user_name()),
        ),
    }
}
