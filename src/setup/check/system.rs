//! Checks what the system allows: privileges, file watches, the bot's command, a second instance. I/O.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Gid, Group, User, getegid, geteuid, getgroups};

use super::Finding;
use super::files::may;
use crate::setup::config::Config;
use crate::setup::load::{Loaded, Surroundings};

/// Linux capability numbers, `capabilities(7)`.
const CAP_CHOWN: u32 = 0;
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_FOWNER: u32 = 3;
const CAP_SETUID: u32 = 7;
/// Fewer watches than this are soon used up by an editor or a desktop beside logmedic.
const WATCHES_MIN: u64 = 1024;
/// Each program that watches files takes one instance.
const INSTANCES_MIN: u64 = 16;

/// The name of the user that this process runs as.
pub(super) fn user_name() -> String {
    let uid = geteuid();
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

fn groups() -> Vec<Gid> {
    let mut groups = getgroups().unwrap_or_default();
    groups.push(getegid());
    groups
}

/// The names of this process's groups.
pub(super) fn group_names() -> Vec<String> {
    let name = |gid: Gid| Group::from_gid(gid).ok().flatten().map(|group| group.name);
    groups().into_iter().filter_map(name).collect()
}

/// The program in `$PATH`.
pub(super) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| executable(file))
}

fn executable(file: &Path) -> bool {
    file.is_file() && may(file, AccessFlags::X_OK)
}

/// Whether small pictures of the library can be made.
pub(super) fn pictures(config: &Config) -> Option<Finding> {
    let library = &config.library;
    if !library.enabled || !library.thumbnails || config.root.is_empty() {
        return None;
    }
    let program = Path::new(&library.ffmpeg);
    let found = if program.is_absolute() {
        Some(program.into()).filter(|path: &PathBuf| executable(path))
    } else {
        in_path(&library.ffmpeg)
    };
    Some(match found {
        Some(path) => Finding::ok("ffmpeg", format!("small pictures are made by {}", path.display())),
        None => Finding::warn(
            "ffmpeg",
            format!("{} is not there: the library has no small pictures", program.display()),
            "apt install ffmpeg, or [library] thumbnails = false",
        ),
    })
}

fn capable(bit: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    effective >> bit & 1 == 1
}

/// Whether the repairs that the policy asks for are allowed to this user.
pub(super) fn privileges(config: &Config) -> Vec<Finding> {
    let me = user_name();
    let owners: Vec<&str> =
        config.root.iter().filter_map(|root| root.owner.as_deref()).filter(|owner| *owner != me).collect();
    let uid = geteuid().to_string();
    let foreign: Vec<&str> = owners.into_iter().filter(|owner| *owner != uid).collect();
    let mut findings = Vec::new();
    let missing: Vec<&str> =
        [(CAP_CHOWN, "CAP_CHOWN"), (CAP_FOWNER, "CAP_FOWNER"), (CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE")]
            .into_iter()
            .filter_map(|(bit, name)| (!capable(bit)).then_some(name))
            .collect();
    if let (Some(owner), false) = (foreign.first(), missing.is_empty()) {
        let detail = format!("runs as {me} without {}: files cannot be given to `{owner}`", missing.join(", "));
        let remedy = format!(
            "AmbientCapabilities={} in the unit; or run as root; or share a group and use dir_mode \"2775\"",
            missing.join(" ")
        );
        findings.push(Finding::warn("privileges", detail, remedy));
    } else {
        let may_chown = if capable(CAP_CHOWN) { "may change owners" } else { "needs to change no owner" };
        findings.push(Finding::ok("privileges", format!("runs as {me}, {may_chown}")));
    }
    let mine = group_names();
    let strange = config.root.iter().filter_map(|root| root.group.as_deref());
    let strange = strange.filter(|group| {
        !mine.iter().any(|name| name == group) && !groups().iter().any(|gid| gid.to_string() == **group)
    });
    if let Some(group) = strange.into_iter().next().filter(|_| !capable(CAP_CHOWN)) {
        let detail = format!("{me} is not in group `{group}`: files cannot be given to it");
        findings.push(Finding::warn("privileges", detail, format!("usermod -aG {group} {me}")));
    }
    if let Some(user) = config.bot.user.as_ref().filter(|user| **user != me && **user != uid) {
        findings.extend(other_user(user, &me));
    }
    findings
}

fn other_user(user: &str, me: &str) -> Option<Finding> {
    let known = user.parse::<u32>().is_ok() || User::from_name(user).ok().flatten().is_some();
    if !known {
        let detail = format!("[bot] user: there is no user `{user}` on this machine");
        return Some(Finding::fail("privileges", detail, format!("useradd --system {user}")));
    }
    (!capable(CAP_SETUID)).then(|| {
        let detail = format!("{me} cannot start the bot as `{user}`; as a watcher beside the bot this does not matter");
        Finding::warn("privileges", detail, format!("run logmedic as root, or as {user}"))
    })
}

/// Limits of inotify.
pub(super) fn watches() -> Vec<Finding> {
    let read = |name: &str| -> Option<u64> {
        fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok()
    };
    let (Some(watches), Some(instances)) = (read("max_user_watches"), read("max_user_instances")) else {
        let detail = "the limits of file events cannot be read; logs are polled where no events arrive";
        return vec![Finding::warn("watches", detail, "nothing to do")];
    };
    let detail = format!("{watches} file watches and {instances} instances allowed");
    if watches < WATCHES_MIN || instances < INSTANCES_MIN {
        let remedy =
            "sysctl fs.inotify.max_user_watches=65536 fs.inotify.max_user_instances=128; until then logs are polled";
        return vec![Finding::warn("watches", detail, remedy)];
    }
    vec![Finding::ok("watches", detail)]
}

/// Whether the bot can be started, where the configuration says how.
pub(super) fn bot_command(loaded: &Loaded, around: &Surroundings) -> Vec<Finding> {
    let bot = &loaded.config.bot;
    let Some(program) = bot.command.first() else { return Vec::new() };
    let cwd = bot.cwd.as_ref().map_or_else(|| loaded.base_dir(around).to_owned(), |dir| dir.path.clone());
    if !cwd.is_dir() {
        let detail = format!("the bot's directory {} is not there", cwd.display());
        return vec![Finding::fail("bot", detail, "correct [bot] cwd")];
    }
    let found =
        if program.contains('/') { Some(cwd.join(program)).filter(|file| executable(file)) } else { in_path(program) };
    let Some(found) = found else {
        let (detail, remedy) = match cwd.join(program) {
            file if file.is_file() => {
                (format!("the bot's command {program} is not executable"), format!("chmod +x {}", super::word(&file)))
            }
            _ => (format!("the bot's command {program} is not found"), "correct [bot] command, or install it".into()),
        };
        return vec![Finding::fail("bot", detail, remedy)];
    };
    let script = bot.command.get(1).filter(|word| [".py", ".js", ".mjs", ".ts"].iter().any(|end| word.ends_with(end)));
    match script.filter(|script| !cwd.join(script).is_file()) {
        Some(script) => {
            let detail = format!("the bot's script {script} is not in {}", cwd.display());
            vec![Finding::fail("bot", detail, "correct [bot] command or cwd")]
        }
        None => vec![Finding::ok("bot", format!("{} can be started", found.display()))],
    }
}

/// Whether another logmedic holds the state directory.
pub(super) fn second_instance(state: &Path) -> Vec<Finding> {
    let path = state.join("logmedic.lock");
    let Ok(mut file) = fs::File::open(&path) else {
        return vec![Finding::ok("instance", "no other logmedic uses this state directory")];
    };
    match file.try_lock_shared() {
        Err(fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only for the message; the lock is held whether or not its holder can be read.
            let _ = file.by_ref().take(20).read_to_string(&mut pid);
            let detail = format!("logmedic already runs here (process {})", pid.trim());
            vec![Finding::warn("instance", detail, "stop it before you start another, or set LOGMEDIC_STATE__DIR")]
        }
        _ => vec![Finding::ok("instance", "no other logmedic uses this state directory")],
    }
}
