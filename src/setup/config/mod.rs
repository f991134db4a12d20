//! Models the configuration: every key with its type, default and meaning. Pure.
//!
//! The doc comments here are the user's reference: `logmedic config schema` and `docs/CONFIGURATION.md` are made of them.

mod backup;
mod channel;
mod parts;
mod probe;
mod tasks;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{FileMode, FilePath, Period, Size};
use crate::acquire::{SourceKind, SourceSpec};
use crate::roots::RootSpec;
use crate::vocab::{Class, Mode, Secret, Severity};

pub use backup::Backup;
pub use channel::{Channel, ChannelKind};
pub use parts::{Bot, BotApi, Breaker, Budget, Command, Corrupt, Disk, Download, Fallback, FallbackAction};
pub use parts::{Jobs, Limits, Records, RestartPolicy, Retry, Server, ServerDown, Telegram, WithoutSource};
pub use probe::Probe;
pub use tasks::{Library, Operation, Operations};

/// The whole configuration of logmedic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Language of alerts and terminal texts: `en` or `es`.
    pub language: Language,
    /// Where logmedic keeps what it must not forget.
    pub state: State,
    /// Where log text comes from. Without any, the bot's own output is the source.
    pub source: Vec<Source>,
    /// The only places in which logmedic may ever change a file. Without any, repairs of files are refused.
    pub root: Vec<Root>,
    /// How downloads are followed.
    pub jobs: Jobs,
    /// How failed downloads are tried again.
    pub retry: Retry,
    /// How far logmedic may go, by class (`corrupt = "observe"`) or by rule (`"aria2.disk_full" = "off"`):
    /// `off` records only, `observe` confirms and tells, `approve` asks an admin first, `auto` repairs.
    pub mode: Modes,
    /// How many repairs are allowed in an hour.
    pub budget: Budget,
    /// When many incidents start at once, something bigger is wrong: repairs pause.
    pub breaker: Breaker,
    /// When a disk counts as full.
    pub disk: Disk,
    /// What is done while a server does not answer.
    pub server_down: ServerDown,
    /// What is done with files that are proven broken.
    pub corrupt: Corrupt,
    /// What is done for a failed download of which no source is known.
    pub fallback: Fallback,
    /// Commands that logmedic may run, by name. The name `redownload` is used to repeat a download by command.
    pub command: BTreeMap<String, Command>,
    /// Downloads that are repeated by URL.
    pub download: Download,
    /// The Bot API server through which downloads are repeated by `file_id`.
    pub bot_api: BotApi,
    /// Where alerts go. Best a bot of its own.
    pub telegram: Telegram,
    /// Where notifications go besides Telegram: webhooks, mail, browsers.
    pub channel: Vec<Channel>,
    /// What is known of the bot; `logmedic run` starts it when `command` is set.
    pub bot: Bot,
    /// What is looked at regularly: endpoints, disks, processes.
    pub probe: Vec<Probe>,
    /// The HTTP server of the dashboard.
    pub server: Server,
    /// The file of error records, for people and scripts.
    pub records: Records,
    /// What is known of the files under the roots, and how they look.
    pub library: Library,
    /// How much logmedic takes at once.
    pub limits: Limits,
    /// How operations (repairs, commands of `[[operation]]`, maintenance) are run.
    pub operations: Operations,
    /// Commands of your own that run as operations, by schedule or by hand: never through a shell, as logmedic's user, in the
    /// configuration's directory. Lines that they write tell their progress: `37%`, `12/340`, or JSON such as
    /// `{"progress": 37, "message": "copying"}` or `{"done": 12, "total": 340}`.
    pub operation: Vec<Operation>,
    /// How backups of logmedic's state and configuration are made (`logmedic backup`).
    pub backup: Backup,
}

/// A language that has texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
}

/// Where logmedic keeps what it must not forget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct State {
    /// The state directory. Without it: `$STATE_DIRECTORY` (systemd), `$XDG_STATE_HOME/logmedic`, for root
    /// `/var/lib/logmedic`, for everybody else `~/.local/state/logmedic`.
    pub dir: Option<FilePath>,
}

/// One source of log text: exactly one of `path`, `journal` and `stdin`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Source {
    /// A name of your choice; it appears in records and alerts. Must be unique.
    pub name: String,
    /// A log file or a glob (`logs/*.log`). It need not exist yet. Docker's own logs (`json-file`) are read as what the container wrote.
    #[serde(default)]
    pub path: Option<FilePath>,
    /// A systemd unit whose journal is read, such as `bot.service`.
    #[serde(default)]
    pub journal: Option<String>,
    /// `true` reads standard input.
    #[serde(default)]
    pub stdin: bool,
    /// Rule packs that apply; an empty list means every shipped pack.
    #[serde(default)]
    pub packs: Vec<String>,
}

/// A directory in which logmedic may repair files, and what files there must look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Root {
    /// A name of your choice. Must be unique.
    pub name: String,
    /// The directory. Nothing outside of it is ever touched, and no symbolic link is followed out of it.
    pub path: FilePath,
    /// User (name or number) that files here must belong to. Without it, owners are left alone.
    #[serde(default)]
    pub owner: Option<String>,
    /// Group (name or number) that files here must have. Without it, groups are left alone.
    #[serde(default)]
    pub group: Option<String>,
    /// Mode of directories, in octal; set-gid (`"2775"`) is allowed.
    #[serde(default)]
    pub dir_mode: Option<FileMode>,
    /// Mode of files, in octal, without set-id bits.
    #[serde(default)]
    pub file_mode: Option<FileMode>,
}

/// `[mode]`: how far logmedic may go, by `default`, class or rule id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Modes(pub BTreeMap<String, Mode>);

/// The key of `[mode]` that holds for everything not named.
pub const MODE_DEFAULT: &str = "default";

impl Default for Modes {
    fn default() -> Self {
        Self(BTreeMap::from([(MODE_DEFAULT.into(), Mode::Auto)]))
    }
}

impl Modes {
    /// The mode for a rule's events: by rule id, else by class, else the default.
    #[must_use]
    pub fn of(&self, rule: &str, class: Class) -> Mode {
        let named = self.0.get(rule).or_else(|| self.0.get(class.as_str()));
        named.or_else(|| self.0.get(MODE_DEFAULT)).copied().unwrap_or(Mode::Auto)
    }
}

impl Source {
    /// The source as `acquire` reads it; `None` when it names no place (the loader refuses that).
    #[must_use]
    pub fn spec(&self) -> Option<SourceSpec> {
        let kind = match (&self.path, &self.journal, self.stdin) {
            (Some(file), None, false) => SourceKind::Path { path: file.path.clone(), shown: file.shown.clone() },
            (None, Some(unit), false) => SourceKind::Journal { unit: unit.clone() },
            (None, None, true) => SourceKind::Stdin,
            _ => return None,
        };
        Some(SourceSpec { name: self.name.clone(), kind })
    }
}

impl Root {
    /// The root as `roots` opens it.
    #[must_use]
    pub fn spec(&self) -> RootSpec {
        RootSpec {
            name: self.name.clone(),
            path: self.path.path.clone(),
            owner: self.owner.clone(),
            group: self.group.clone(),
            dir_mode: self.dir_mode.map(|mode| mode.0),
            file_mode: self.file_mode.map(|mode| mode.0),
        }
    }
}
