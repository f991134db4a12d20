//! Says what the healer may do and with what: plain data, filled from the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::roots::{self, Who};
use crate::vocab::Secret;

/// Whom the bot runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotUser {
    /// Its name, or its number where it has none.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its groups, the primary one first.
    pub gids: Vec<u32>,
}

impl BotUser {
    /// The user of this process, with the groups of this process.
    #[must_use]
    pub fn current() -> Self {
        let uid = nix::unistd::geteuid().as_raw();
        let mut gids = vec![nix::unistd::getegid().as_raw()];
        gids.extend(nix::unistd::getgroups().unwrap_or_default().into_iter().map(nix::unistd::Gid::as_raw));
        gids.dedup();
        Self { name: roots::user_name(uid), uid, gids }
    }

    /// A user by name or number, with its groups from the user database; `None` when a name is not known.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let uid = roots::user_id(name)?;
        Some(Self { name: roots::user_name(uid), uid, gids: roots::groups_of(uid) })
    }

    pub(super) fn who(&self) -> Who {
        Who { uid: self.uid, gids: self.gids.clone() }
    }
}

/// Where downloads are repeated by `file_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotApi {
    /// The server: the cloud's or a local one.
    pub url: String,
    /// The download bot's token; a `file_id` belongs to the bot that saw it.
    pub token: Option<Secret>,
    /// Where the working directory of a local server (`--local`) lies on this machine, if its answers name another
    /// place (a container). `None`: the place its answers name.
    pub files_dir: Option<PathBuf>,
}

impl Default for BotApi {
    fn default() -> Self {
        Self { url: "https://api.telegram.org".into(), token: None, files_dir: None }
    }
}

/// A command the user configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// Program and arguments; `{path}`, `{target}`, `{url}`, `{file_id}`, `{job}` only as whole arguments.
    pub argv: Vec<String>,
    /// The longest it may run.
    pub timeout: Duration,
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To reach a server.
    pub connect: Duration,
    /// Without a byte, before a download counts as stalled.
    pub stall: Duration,
    /// For a probe of a server to be answered.
    pub probe: Duration,
    /// For `getFile`: a local server answers only when the whole file is on its disk. The cloud, which answers at
    /// once, is given a minute of it.
    pub get_file: Duration,
    /// A `.part` of somebody else that changed within this time is being written.
    pub part_fresh: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            stall: Duration::from_secs(30),
            probe: Duration::from_secs(5),
            get_file: Duration::from_secs(3600),
            part_fresh: Duration::from_secs(60),
        }
    }
}

/// Everything the healer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whom the bot runs as: access is asked for this user.
    pub bot: BotUser,
    /// The bot's working directory: relative paths in its log are relative to it.
    pub working_dir: Option<PathBuf>,
    /// The Bot API server.
    pub bot_api: BotApi,
    /// Further origins that may be probed, e.g. the alerts' API server.
    pub servers: Vec<String>,
    /// Hosts that may be downloaded from and probed: `host`, `host:port` or `*.domain`.
    pub allowed_hosts: Vec<String>,
    /// Who may have a private address: `host:port` or `host` as in the address, an address, or a network
    /// (`10.0.0.0/8`).
    pub allow_private: Vec<String>,
    /// Bytes that should stay free on a root's file system.
    pub min_free: u64,
    /// How long files stay in quarantine; `None` keeps them until they are purged by hand.
    pub quarantine_keep: Option<Duration>,
    /// Largest download, in bytes.
    pub max_download: u64,
    /// Commands by name; `redownload` is the one for [`crate::decide::Fetch::Command`].
    pub commands: BTreeMap<String, CommandSpec>,
    /// Added to the environment of commands: by this mark the next start finds what a dead launcher left running.
    pub marker: Option<(String, String)>,
    /// The program that has [`crate::launch::launcher::main`] behind its `__launch`; this very program when `None`.
    pub launcher: Option<PathBuf>,
    /// How long things may take.
    pub timeouts: Timeouts,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bot: BotUser::current(),
            working_dir: None,
            bot_api: BotApi::default(),
            servers: Vec::new(),
            allowed_hosts: Vec::new(),
            allow_private: Vec::new(),
            min_free: 256 << 20,
            quarantine_keep: None,
            max_download: 4 << 30,
            commands: BTreeMap::new(),
            marker: None,
            launcher: None,
            timeouts: Timeouts::default(),
        }
    }
}
