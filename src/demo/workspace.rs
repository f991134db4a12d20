//! Sets up the folder in which the show happens: media root, logs, configuration, the bot's user, a small disk.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Group, Uid, User};

use super::DemoError;

/// Size of the small disk: room for the show's few videos and no more.
const SMALL_DISK: u64 = 32 << 20;
/// Less free space than this counts as full in the show.
pub const MIN_FREE: u64 = 1 << 20;
/// Mode of directories under the root: the group may write and passes itself on.
pub const DIR_MODE: u32 = 0o2775;
/// Mode of files under the root.
pub const FILE_MODE: u32 = 0o664;
/// Token of the download bot; means nothing outside the local server.
pub const BOT_TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
/// Token of the alert bot; means nothing outside the local server.
pub const ALERT_TOKEN: &str = "220302654:AAGalertsOfTheShowGoThroughABotOfTheirOwn";
/// The admin who gets the alerts.
pub const ADMIN: i64 = 4_242;

/// Whom the bot runs as.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its user's name.
    pub user: String,
    /// Its group's name.
    pub group: String,
    /// Number of the user.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
    /// Whether the agent is root and drops to it.
    pub dropped_to: bool,
}

/// The bot that plays.
#[derive(Clone, Debug, Default)]
pub struct Cast {
    /// A bot of somebody else, started as `logmedic run -- COMMAND`; empty: the show's own, by the configuration.
    pub command: Vec<String>,
    /// What it finds in its environment besides `TELEGRAM_TOKEN`, `BOT_API_URL` and `MODELS_DIR`.
    pub env: Vec<(String, String)>,
    /// Where the dashboard listens; without one wherever there is room.
    pub listen: Option<SocketAddr>,
}

/// The folder and what is special about this machine.
#[derive(Debug)]
pub struct Workspace {
    /// The folder.
    pub dir: PathBuf,
    /// Whom the bot runs as.
    pub identity: Identity,
    /// Why the full disk cannot be shown; `None` when it can.
    pub no_small_disk: Option<String>,
    /// The program that plays agent and bot.
    pub program: PathBuf,
    mounted: bool,
    keep: bool,
}

impl Workspace {
    /// Makes the folder (`dir`, or a new one under `$TMPDIR`) with everything but the configuration; `program` is
    /// the `logmedic` that plays.
    ///
    /// # Errors
    ///
    /// When a directory cannot be made, the user is not there, or the user could not reach the folder.
    pub fn create(dir: Option<&Path>, user: &str, keep: bool, program: PathBuf) -> Result<Self, DemoError> {
        let identity = identity(user)?;
        let base = dir.map_or_else(fresh_name, Path::to_path_buf);
        make(&base, 0o755)?;
        let dir = fs::canonicalize(&base).map_err(|e| DemoError::file("open", &base, e))?;
        let mut space = Self { dir, identity, no_small_disk: None, program, mounted: false, keep };
        for (name, mode) in [("models", 0o755), ("logs", 0o755), ("state", 0o700), ("server", 0o755)] {
            make(&space.dir.join(name), mode)?;
        }
        space.mount_small_disk();
        space.give_to_bot(&space.models(), DIR_MODE)?;
        // The bot's output is written with the bot's own rights.
        space.give_to_bot(&space.dir.join("logs"), 0o755)?;
        space.check_reachable()?;
        secret(&space.dir.join("bot.token"), BOT_TOKEN)?;
        secret(&space.dir.join("alerts.token"), ALERT_TOKEN)?;
        Ok(space)
    }

    /// The media root.
    #[must_use]
    pub fn models(&self) -> PathBuf {
        self.dir.join("models")
    }

    /// The agent's records.
    #[must_use]
    pub fn records(&self) -> PathBuf {
        self.dir.join("logs/download_errors.jsonl")
    }

    /// The bot's log.
    #[must_use]
    pub fn bot_log(&self) -> PathBuf {
        self.dir.join("logs/bot.log")
    }

    /// The agent's configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// Sets owner, group and mode as the root's policy wants them.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn give_to_bot(&self, path: &Path, mode: u32) -> Result<(), DemoError> {
        let failed = |e| DemoError::file("set owner and mode of", path, e);
        if self.identity.dropped_to {
            chown(path, Some(self.identity.uid), Some(self.identity.gid)).map_err(failed)?;
        }
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
    }

    /// Writes the configuration that a careful user would write for this bot.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn write_config(&self, server: &str, cast: &Cast) -> Result<(), DemoError> {
        let Identity { user, group, .. } = &self.identity;
        let run_as = if self.identity.dropped_to { format!("user = \"{user}\"\n") } else { String::new() };
        let models = self.models().display().to_string();
        let program = self.program.display().to_string();
        let own = [program.as_str(), "demo-bot", "--api-url", server, "--models", models.as_str()];
        let command = if cast.command.is_empty() { format!("command = {}\n", quoted(&own)) } else { String::new() };
        let mut env = format!("TELEGRAM_TOKEN = {BOT_TOKEN:?}\nBOT_API_URL = {server:?}\nMODELS_DIR = {models:?}\n");
        for (name, value) in &cast.env {
            env.push_str(&format!("{name} = {value:?}\n"));
        }
        let listen = cast.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let text = format!(
            r#"# The configuration of `logmedic demo`: what a user writes for a bot like this one.

[state]
dir = "state"

[[source]]
name = "bot"
path = "logs/bot.log"

[[root]]
name = "models"
path = "models"
owner = "{user}"
group = "{group}"
dir_mode = "{DIR_MODE:o}"
file_mode = "0{FILE_MODE:o}"

[retry]
attempts = 3
base = "1s"
factor = 2

[disk]
min_free = "{min_free}MiB"
check_every = "1s"

[bot_api]
url = "{server}"
token_file = "bot.token"

[telegram]
token_file = "alerts.token"
admins = [{ADMIN}]
api_url = "{server}"

[bot]
{command}log = "logs/bot.log"
restart = "on-failure"
{run_as}
[bot.env]
{env}
[server]
listen = "{listen}"

# A command of the user's, begun by itself and from the dashboard. It says how far it is.
[[operation]]
name = "inventory"
argv = ["/bin/sh", "-c", "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1; echo $n/20; done; ls models"]
every = "10m"
priority = "low"

[records]
path = "logs/download_errors.jsonl"
"#,
            min_free = MIN_FREE >> 20,
        );
        let path = self.config();
        fs::write(&path, text).map_err(|e| DemoError::file("write", &path, e))?;
        // It names the bot's token.
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(|e| DemoError::file("protect", &path, e))
    }

    /// Puts a small file system over the media root, so that it can really be full.
    fn mount_small_disk(&mut self) {
        if !Uid::effective().is_root() {
            self.no_small_disk = Some("mounting a small file system needs root".into());
            return;
        }
        let options = format!("size={SMALL_DISK},nosuid,nodev,mode=0755");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "logmedic-demo"]).arg(self.models());
        match mount.stdin(Stdio::null()).output() {
            Ok(done) if done.status.success() => self.mounted = true,
            Ok(done) => {
                let why = String::from_utf8_lossy(&done.stderr).trim().replace('\n', " ");
                self.no_small_disk = Some(format!("this machine forbids mounting a small file system ({why})"));
            }
            Err(error) => self.no_small_disk = Some(format!("failed to run mount: {error}")),
        }
    }

    /// The bot's user must get to the folder and to the program; the program is copied where it cannot.
    fn check_reachable(&mut self) -> Result<(), DemoError> {
        if !self.identity.dropped_to {
            return Ok(());
        }
        if let Some(closed) = closed_ancestor(&self.dir) {
            return Err(DemoError::Unreachable { user: self.identity.user.clone(), path: closed });
        }
        let readable = fs::metadata(&self.program).is_ok_and(|m| m.mode() & 0o005 == 0o005);
        if !readable || self.program.parent().and_then(closed_ancestor).is_some() {
            let copy = self.dir.join("logmedic");
            fs::copy(&self.program, &copy).map_err(|e| DemoError::file("copy the program to", &copy, e))?;
            fs::set_permissions(&copy, Permissions::from_mode(0o755)).map_err(|e| DemoError::file("open", &copy, e))?;
            self.program = copy;
        }
        Ok(())
    }

    /// Removes the oldest videos but so many, and what was put aside as broken: the show goes on for hours on a small disk.
    pub fn tidy(&self, keep: usize) {
        let models = fs::read_dir(self.models()).into_iter().flatten().flatten();
        let videos = models.filter_map(|model| fs::read_dir(model.path()).ok()).flatten().flatten();
        let mut videos: Vec<_> = videos
            .filter(|video| video.path().extension().is_some_and(|extension| extension == "mp4"))
            .filter_map(|video| Some((video.metadata().ok()?.modified().ok()?, video.path())))
            .collect();
        videos.sort();
        let old = videos.len().saturating_sub(keep);
        for (_, video) in videos.into_iter().take(old) {
            // One that is gone already is as good.
            let _ = fs::remove_file(video);
        }
        let mut purge = Command::new(&self.program);
        purge.args(["quarantine", "purge", "--older-than", "1m", "--config"]).arg(self.config()).stdin(Stdio::null());
        // What stays takes room, which is shown as well.
        let _ = purge.output();
    }

    /// Keeps the folder when this is dropped.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Whether the folder will stay.
    #[must_use]
    pub fn kept(&self) -> bool {
        self.keep
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let run = |program: &str, words: &[&Path]| Command::new(program).args(words).stdin(Stdio::null()).output();
        if self.mounted {
            // Nothing may stay mounted; what was on the small disk is copied off it where it should be kept.
            let (models, copy) = (self.models(), self.dir.join("models.kept"));
            if self.keep {
                let _ = run("cp", &[Path::new("-a"), &models, &copy]);
            }
            let _ = run("umount", &[&models]);
            if self.keep {
                let _ = fs::remove_dir(&models).and_then(|()| fs::rename(&copy, &models));
            }
        }
        if !self.keep {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Words as a TOML array.
fn quoted(words: &[&str]) -> String {
    format!("{words:?}")
}

fn identity(user: &str) -> Result<Identity, DemoError> {
    let root = Uid::effective().is_root();
    let found = if root { User::from_name(user) } else { User::from_uid(Uid::effective()) };
    let found = found.ok().flatten().ok_or_else(|| DemoError::NoUser { user: user.into() })?;
    let group = Group::from_gid(found.gid).ok().flatten().map_or_else(|| found.gid.to_string(), |g| g.name);
    let dropped_to = root && !found.uid.is_root();
    Ok(Identity { user: found.name, group, uid: found.uid.as_raw(), gid: found.gid.as_raw(), dropped_to })
}

/// A name under `$TMPDIR` that nobody has.
fn fresh_name() -> PathBuf {
    let nanos = chrono::Utc::now().timestamp_nanos_opt().unwrap_or(0);
    std::env::temp_dir().join(format!("logmedic-demo-{}-{:x}", std::process::id(), nanos & 0xff_ffff))
}

/// Makes a directory that is not there yet, or takes an empty one.
fn make(path: &Path, mode: u32) -> Result<(), DemoError> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut entries = fs::read_dir(path).map_err(|e| DemoError::file("read", path, e))?;
            if entries.next().is_some() {
                return Err(DemoError::NotEmpty { path: path.into() });
            }
        }
        Err(error) => return Err(DemoError::file("make", path, error)),
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|e| DemoError::file("open", path, e))
}

fn secret(path: &Path, text: &str) -> Result<(), DemoError> {
    fs::write(path, text).map_err(|e| DemoError::file("write", path, e))?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(|e| DemoError::file("protect", path, e))
}

/// The first directory on the way to `path` that others may not enter.
fn closed_ancestor(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|dir| fs::metadata(dir).is_ok_and(|m| m.mode() & 0o001 == 0)).map(Path::to_path_buf)
}
