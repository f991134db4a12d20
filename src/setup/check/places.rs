//! Checks directories: state, records, roots with their policy, free space, layout. I/O; changes nothing.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, Group, User};
use regex::Regex;

use super::files::{may, nearest_existing};
use super::system::user_name;
use super::{Finding, word};
use crate::setup::config::Root;
use crate::setup::load::Loaded;
use crate::setup::units::Size;

/// Entries of a root that are looked at: a sample is enough to find a wrong policy, a big library would take minutes.
const SAMPLE: usize = 10_000;
const USE: AccessFlags = AccessFlags::R_OK.union(AccessFlags::W_OK).union(AccessFlags::X_OK);

/// State directory, error records, the bot's log.
pub(super) fn state_and_records(loaded: &Loaded) -> Vec<Finding> {
    let records = loaded.records_path();
    let mut wanted = vec![("state", loaded.state_dir.clone(), "LOGMEDIC_STATE__DIR names another place")];
    if !records.starts_with(&loaded.state_dir) {
        wanted.extend(records.parent().map(|dir| ("records", dir.to_owned(), "[records] path names another place")));
    }
    if let Some(dir) = loaded.config.bot.log.as_ref().and_then(|log| log.path.parent()) {
        wanted.push(("bot log", dir.to_owned(), "[bot] log names another place"));
    }
    wanted.into_iter().map(|(check, dir, other)| writable(check, &dir, other)).collect()
}

fn writable(check: &'static str, dir: &Path, other: &str) -> Finding {
    let there = nearest_existing(dir);
    if !there.is_dir() {
        let detail = format!("{} is not a directory", there.display());
        return Finding::fail(check, detail, format!("move it aside; {other}"));
    }
    if !may(there, USE) {
        let detail = format!("user {} may not write to {}", user_name(), there.display());
        let remedy = format!("install -d -o {} {}; {other}", user_name(), word(dir));
        return Finding::fail(check, detail, remedy);
    }
    let note = if there == dir { "can be written" } else { "will be made" };
    Finding::ok(check, format!("{} {note}", dir.display()))
}

/// Each root: there, usable, and what in it differs from the policy.
pub(super) fn roots(loaded: &Loaded) -> Vec<Finding> {
    if loaded.config.root.is_empty() {
        let remedy = "add [[root]] with name = \"models\" and path = \"models\"";
        return vec![Finding::warn("root", "no root: every repair of a file will be refused", remedy)];
    }
    loaded.config.root.iter().flat_map(|root| self::root(root, &loaded.state_dir)).collect()
}

fn root(root: &Root, state: &Path) -> Vec<Finding> {
    let (name, path) = (&root.name, &root.path.path);
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) => {
            let detail = format!("{name}: {} cannot be looked at: {error}", root.path.shown);
            return vec![Finding::fail("root", detail, format!("mkdir -p {}", word(path)))];
        }
    };
    if meta.is_symlink() {
        let target = fs::canonicalize(path).map_or_else(|_| "the real directory".into(), |p| p.display().to_string());
        let detail = format!("{name}: {} is a symbolic link, which roots never follow", root.path.shown);
        return vec![Finding::fail("root", detail, format!("write path = \"{target}\""))];
    }
    if !meta.is_dir() {
        let detail = format!("{name}: {} is not a directory", root.path.shown);
        return vec![Finding::fail("root", detail, "name the directory the bot saves to")];
    }
    let mut findings = Vec::new();
    if may(path, USE) {
        findings.push(Finding::ok("root", format!("{name}: {} can be used", root.path.shown)));
    } else {
        let detail = format!("{name}: user {} may not write to {}", user_name(), root.path.shown);
        findings.push(Finding::fail(
            "root",
            detail,
            format!("setfacl -R -m u:{0}:rwX -d -m u:{0}:rwX {1}", user_name(), word(path)),
        ));
    }
    match Policy::of(root) {
        Ok(policy) => findings.push(policy.compare(root, &meta)),
        Err(finding) => findings.push(finding),
    }
    findings.extend(layout(root));
    findings.extend(state_inside(root, state));
    findings
}

/// State inside a root would make logmedic a part of what it repairs.
fn state_inside(root: &Root, state: &Path) -> Option<Finding> {
    if !state.starts_with(&root.path.path) {
        return None;
    }
    let detail = format!("{}: the state directory {} lies inside this root", root.name, state.display());
    Some(Finding::warn("root", detail, "choose a state directory outside of every root"))
}

/// What files of a root must look like, in numbers.
struct Policy {
    owner: Option<u32>,
    group: Option<u32>,
    dir_mode: Option<u32>,
    file_mode: Option<u32>,
}

impl Policy {
    fn of(root: &Root) -> Result<Self, Finding> {
        let missing = |what: &str, name: &str, command: &str| {
            let detail = format!("{}: there is no {what} `{name}` on this machine", root.name);
            Finding::fail("owner", detail, format!("{command} {name}, or correct [[root]]"))
        };
        let owner = root.owner.as_ref().map(|name| {
            let found =
                name.parse().ok().or_else(|| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw()));
            found.ok_or_else(|| missing("user", name, "useradd --system"))
        });
        let group = root.group.as_ref().map(|name| {
            let found = name.parse().ok().or_else(|| Group::from_name(name).ok().flatten().map(|g| g.gid.as_raw()));
            found.ok_or_else(|| missing("group", name, "groupadd --system"))
        });
        Ok(Self {
            owner: owner.transpose()?,
            group: group.transpose()?,
            dir_mode: root.dir_mode.map(|mode| mode.0),
            file_mode: root.file_mode.map(|mode| mode.0),
        })
    }

    fn fits(&self, meta: &Metadata) -> bool {
        let mode = if meta.is_dir() { self.dir_mode } else { self.file_mode };
        self.owner.is_none_or(|uid| uid == meta.uid())
            && self.group.is_none_or(|gid| gid == meta.gid())
            && mode.is_none_or(|mode| mode == meta.mode() & 0o7777)
    }

    /// Looks at a sample of the root without following links.
    fn compare(&self, root: &Root, meta: &Metadata) -> Finding {
        if self.owner.or(self.group).or(self.dir_mode).or(self.file_mode).is_none() {
            let remedy = "add owner, group, dir_mode or file_mode to this [[root]]";
            return Finding::warn(
                "owner",
                format!("{}: no policy, so access is never restored here", root.name),
                remedy,
            );
        }
        let (mut seen, mut wrong, mut first) = (0usize, 0usize, None);
        let mut look = |path: &Path, meta: &Metadata| {
            seen += 1;
            if !self.fits(meta) {
                wrong += 1;
                first.get_or_insert_with(|| {
                    format!("{} ({}:{} {:04o})", path.display(), meta.uid(), meta.gid(), meta.mode() & 0o7777)
                });
            }
        };
        look(&root.path.path, meta);
        walk(&root.path.path, |path, meta| look(path, meta));
        match first {
            None => Finding::ok("owner", format!("{}: {seen} entries are as the policy says", root.name)),
            Some(first) => Finding::warn(
                "owner",
                format!("{}: {wrong} of {seen} entries differ from the policy, such as {first}", root.name),
                self.command(root),
            ),
        }
    }

    /// The command that makes the whole root as the policy says.
    fn command(&self, root: &Root) -> String {
        let path = word(&root.path.path);
        let mut commands = Vec::new();
        match (&root.owner, &root.group) {
            (None, None) => {}
            (owner, group) => {
                let group = group.as_ref().map(|group| format!(":{group}")).unwrap_or_default();
                commands.push(format!("chown -hR {}{group} {path}", owner.as_deref().unwrap_or_default()));
            }
        }
        if let Some(mode) = root.dir_mode {
            commands.push(format!("find {path} -type d -exec chmod {mode} {{}} +"));
        }
        if let Some(mode) = root.file_mode {
            commands.push(format!("find {path} -type f -exec chmod {mode} {{}} +"));
        }
        commands.join(" && ")
    }
}

/// Visits files and directories below `dir`, at most [`SAMPLE`], following no link.
fn walk(dir: &Path, mut visit: impl FnMut(&Path, &Metadata)) {
    let mut waiting: Vec<PathBuf> = vec![dir.to_owned()];
    let mut left = SAMPLE;
    while let Some(dir) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.filter_map(Result::ok) {
            if left == 0 {
                return;
            }
            left -= 1;
            let path = entry.path();
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => {
                    visit(&path, &meta);
                    waiting.push(path);
                }
                Ok(meta) if meta.is_file() => visit(&path, &meta),
                _ => {}
            }
        }
    }
}

/// Whether media lie as `{model}/{timestamp}_{random}.mp4`, the layout of the shipped example.
fn layout(root: &Root) -> Option<Finding> {
    static NAME: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[^/]+/[0-9]{8}_[0-9]{6}_[A-Za-z0-9]+\.(?:mp4|mov|mkv|webm|jpe?g|png)$").ok());
    let name = NAME.as_ref()?;
    let (mut fits, mut others, mut first) = (0usize, 0usize, None);
    walk(&root.path.path, |path, meta| {
        let relative = path.strip_prefix(&root.path.path).unwrap_or(path).to_string_lossy();
        let media =
            path.extension().is_some_and(|e| e.to_str().is_some_and(|e| ["mp4", "mov", "mkv", "webm"].contains(&e)));
        if !meta.is_file() || !media {
            return;
        }
        if name.is_match(&relative) {
            fits += 1;
        } else {
            others += 1;
            first.get_or_insert_with(|| relative.into_owned());
        }
    });
    let all = format!("{}: {fits} videos lie as {{model}}/{{timestamp}}_{{random}}.mp4", root.name);
    Some(match first {
        None if fits == 0 => return None,
        None => Finding::ok("layout", all),
        Some(first) => Finding::warn(
            "layout",
            format!("{all}, {others} otherwise, such as {first}"),
            "nothing to do if your bot names its files so",
        ),
    })
}

/// Free space and free inodes, once a file system.
pub(super) fn disks(loaded: &Loaded) -> Vec<Finding> {
    let min = loaded.config.disk.min_free;
    let roots = loaded.config.root.iter().map(|root| root.path.path.as_path());
    let records = loaded.records_path();
    let places = [loaded.state_dir.as_path(), records.as_path()].into_iter().chain(roots);
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for place in places.map(nearest_existing) {
        let device = fs::metadata(place).map(|meta| meta.dev()).ok();
        if !seen.insert(device) {
            continue;
        }
        findings.push(disk(place, min));
    }
    findings
}

fn disk(place: &Path, min: Size) -> Finding {
    let stats = match statvfs(place) {
        Ok(stats) => stats,
        Err(error) => {
            let detail = format!("free space at {} cannot be read: {error}", place.display());
            return Finding::warn("disk", detail, "logmedic will not notice when this disk is full");
        }
    };
    // Block counts are 32 or 64 bits wide, by platform.
    #[allow(clippy::useless_conversion)]
    let free = u64::from(stats.blocks_available()) * u64::from(stats.fragment_size());
    let human = match free >> 20 {
        mib if mib >= 10 << 10 => format!("{} GiB", mib >> 10),
        mib => format!("{mib} MiB"),
    };
    if free < min.0 {
        let detail = format!("{}: {human} free, less than the minimum of {min}", place.display());
        return Finding::fail("disk", detail, format!("make room: du -xh --max-depth=2 {} | sort -h", word(place)));
    }
    if stats.files() > 0 && stats.files_available() == 0 {
        let detail = format!("{}: no inode is free", place.display());
        return Finding::fail("disk", detail, "delete small files that nobody needs");
    }
    Finding::ok("disk", format!("{}: {human} free", place.display()))
}
