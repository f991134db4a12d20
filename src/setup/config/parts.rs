//! Models the tables of the configuration that say how to heal, whom to tell and how to run the bot. Pure.

use super::{
    BTreeMap, Deserialize, FilePath, IpAddr, JsonSchema, Period, Secret, Serialize, Severity, Size, SocketAddr,
};

/// How failed downloads are tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Retry {
    /// How often a download is tried again; at least 1, at most 20.
    pub attempts: u32,
    /// Wait before the first attempt.
    pub base: Period,
    /// Each wait is so many times the one before (1 to 10).
    pub factor: f64,
    /// The longest wait.
    pub cap: Period,
    /// Waits are changed at random by up to this share (0 to 1), so that many retries do not come at once.
    pub jitter: f64,
    /// After so long without a failure, an incident of the same thing starts with fresh attempts.
    pub reset_after: Period,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            base: Period::secs(1),
            factor: 2.0,
            cap: Period::secs(300),
            jitter: 0.1,
            reset_after: Period::secs(600),
        }
    }
}

/// How many repairs are allowed in an hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Budget {
    /// For one download job, per hour.
    pub per_job: u32,
    /// For one class of failure, per hour.
    pub per_class: u32,
    /// For everything together, per hour.
    pub agent: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { per_job: 10, per_class: 60, agent: 200 }
    }
}

/// When many incidents start at once, something bigger is wrong: repairs pause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Breaker {
    /// Repairs for one cause pause when so many new incidents with it start within `within`; above 1000, never.
    pub threshold: u32,
    /// The time in which new incidents are counted.
    pub within: Period,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { threshold: 5, within: Period::secs(60) }
    }
}

/// When a disk counts as full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Disk {
    /// Less free space than this counts as full.
    pub min_free: Size,
    /// How often free space is looked at while downloads wait for it.
    pub check_every: Period,
}

impl Default for Disk {
    fn default() -> Self {
        Self { min_free: Size(256 << 20), check_every: Period::secs(10) }
    }
}

/// What is done while a server does not answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct ServerDown {
    /// Wait before the server is asked again; doubles each time.
    pub base: Period,
    /// The longest wait between two questions.
    pub cap: Period,
    /// Name of the `[command.NAME]` that restarts the server. Without it, logmedic only waits.
    pub restart_command: Option<String>,
    /// How long the server must be down before that command runs.
    pub restart_after: Period,
}

impl Default for ServerDown {
    fn default() -> Self {
        Self { base: Period::secs(1), cap: Period::secs(60), restart_command: None, restart_after: Period::secs(120) }
    }
}

/// What is done with files that are proven broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Corrupt {
    /// How long a broken file is kept in quarantine at least.
    pub quarantine_keep: Period,
    /// `true` deletes quarantined files after that time; `false` keeps them until you purge them.
    pub purge: bool,
    /// What is done with a file that a check of the library proved bad and that cannot be fetched again: `leave` leaves it
    /// where it is and tells, `quarantine` moves it aside.
    pub without_source: WithoutSource,
}

/// What is done with a damaged file that cannot be fetched again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum WithoutSource {
    /// It is left where it is.
    #[default]
    Leave,
    /// It is moved aside.
    Quarantine,
}

impl Default for Corrupt {
    fn default() -> Self {
        Self { quarantine_keep: Period::secs(30 * 86_400), purge: false, without_source: WithoutSource::Leave }
    }
}

/// What is done for a failed download of which no source is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Fallback {
    /// `alert` tells the admins, `signal` sends the bot a signal, `restart` restarts it (as its parent only).
    pub action: FallbackAction,
    /// The signal for `action = "signal"`: one of `SIGHUP`, `SIGUSR1`, `SIGUSR2`, `SIGINT`, `SIGTERM`.
    pub signal: String,
}

impl Default for Fallback {
    fn default() -> Self {
        Self { action: FallbackAction::Alert, signal: "SIGUSR1".into() }
    }
}

/// What is done for a failed download of which no source is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum FallbackAction {
    /// Tell the admins.
    #[default]
    Alert,
    /// Send the bot a signal.
    Signal,
    /// Restart the bot.
    Restart,
}

/// A command that logmedic may run: never through a shell. What is known of the incident comes in the
/// environment as `LOGMEDIC_PATH`, `LOGMEDIC_URL`, `LOGMEDIC_FILE_ID` and `LOGMEDIC_JOB`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Command {
    /// The program and its arguments, one word a string. `{path}`, `{target}`, `{url}`, `{file_id}` and `{job}` are
    /// filled in, each as one whole argument.
    #[schemars(extend("format" = "words"))]
    pub argv: Vec<String>,
    /// The command is stopped after this time.
    #[serde(default = "Command::default_timeout")]
    pub timeout: Period,
}

impl Command {
    const fn default_timeout() -> Period {
        Period::secs(600)
    }
}

/// Downloads that are repeated by URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Download {
    /// Hosts from which logmedic may download (`cdn.example.org`; `*.example.org` for all below it). A URL from a
    /// log line is never fetched from any other host.
    pub hosts: Vec<String>,
    /// Hosts, addresses or networks (`10.0.0.0/8`) in private ranges that are allowed nevertheless.
    pub allow_private: Vec<String>,
    /// Larger files are not downloaded.
    pub max_size: Size,
    /// A download that brings no byte for so long is broken off.
    pub stall: Period,
    /// The longest one download may take.
    pub timeout: Period,
}

impl Default for Download {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            allow_private: Vec::new(),
            max_size: Size(4 << 30),
            stall: Period::secs(30),
            timeout: Period::secs(7_200),
        }
    }
}

/// The Bot API server through which downloads are repeated by `file_id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct BotApi {
    /// Address of the server. A local server (usually `http://127.0.0.1:8081`) has no 20 MB limit.
    /// Environment: `TELEGRAM_API_URL`.
    pub url: String,
    /// The download bot's token; better in a file. Environment: `TELEGRAM_TOKEN`, `BOT_TOKEN`; systemd
    /// credential: `bot.token`.
    pub token: Option<Secret>,
    /// File that holds the token; nobody but its owner and group may read it.
    pub token_file: Option<FilePath>,
    /// Where the local server's working directory is found on this machine, if its answers name another place
    /// (a container).
    pub files_dir: Option<FilePath>,
    /// The longest wait for the server to fetch a file (it answers when the whole file is on its disk).
    pub timeout: Period,
}

impl Default for BotApi {
    fn default() -> Self {
        Self {
            url: "https://api.telegram.org".into(),
            token: None,
            token_file: None,
            files_dir: None,
            timeout: Period::secs(3_600),
        }
    }
}

/// Where alerts go. Best a bot of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Telegram {
    /// The alert bot's token; better in a file. Falls back to the download bot's token, then logmedic only sends.
    /// systemd credential: `alerts.token`.
    pub token: Option<Secret>,
    /// File that holds the token; nobody but its owner and group may read it.
    pub token_file: Option<FilePath>,
    /// Numbers of the chats that get alerts; only these people are obeyed. Environment: `ADMIN_ID`.
    pub admins: Vec<i64>,
    /// Address of the Bot API server for alerts.
    pub api_url: String,
    /// Events below this level are not sent: `info`, `warning`, `error`, `critical`.
    pub min_severity: Severity,
    /// Hours in which messages come without a sound, but for what is critical: `"23:00-07:00"`, as in `[[channel]]`.
    pub quiet: Option<String>,
    /// Directory with texts of your own; what is not there is taken from the shipped ones.
    pub templates: Option<FilePath>,
    /// Whether this is the download bot's token (found out, not configured): then logmedic never polls.
    #[serde(skip)]
    pub shared: bool,
}

impl Default for Telegram {
    fn default() -> Self {
        Self {
            token: None,
            token_file: None,
            admins: Vec::new(),
            api_url: "https://api.telegram.org".into(),
            min_severity: Severity::Warning,
            quiet: None,
            templates: None,
            shared: false,
        }
    }
}

/// What is known of the bot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Bot {
    /// The program and its arguments, one word a string; `logmedic run` starts it. `run -- COMMAND` comes first.
    #[schemars(extend("format" = "words"))]
    pub command: Vec<String>,
    /// File to which the bot's output is written as well.
    pub log: Option<FilePath>,
    /// A new file is begun at this size; one old file is kept.
    pub log_max_size: Size,
    /// When it is started again: `no`, `on-failure`, `always`.
    pub restart: RestartPolicy,
    /// Whom the bot runs as: access to files is checked as this user, and started as root the bot drops to it.
    pub user: Option<String>,
    /// Its working directory. Without it: the configuration's directory.
    pub cwd: Option<FilePath>,
    /// Environment variables it gets in addition.
    pub env: BTreeMap<String, String>,
    /// How long it may take to end after SIGTERM before it is killed.
    pub stop_grace: Period,
    /// After so many restarts within `restart_window` it stays down and the admins are told.
    pub max_restarts: u32,
    /// The time in which restarts are counted for `max_restarts`.
    pub restart_window: Period,
}

impl Default for Bot {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            log: None,
            log_max_size: Size(50_000_000),
            restart: RestartPolicy::No,
            user: None,
            cwd: None,
            env: BTreeMap::new(),
            stop_grace: Period::secs(10),
            max_restarts: 5,
            restart_window: Period::secs(600),
        }
    }
}

/// When the bot is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum RestartPolicy {
    /// Never: logmedic ends with the bot's code.
    #[default]
    No,
    /// When it ended with a code other than 0 or by a signal.
    OnFailure,
    /// Always.
    Always,
}

/// The HTTP server of the dashboard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Server {
    /// Address and port; loopback unless you say otherwise. Port 0 takes a free one.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Other names by which browsers reach the server, such as `"logmedic.example.org"` or `"nas:8443"`. Requests for a name
    /// that is neither here nor this machine's own are refused.
    pub hosts: Vec<String>,
    /// Addresses of reverse proxies before the server; only what these say of the client's address is believed.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpAddr>,
    /// Somebody who does nothing for so long has to log in again (5 minutes to 90 days).
    pub session_ttl: Period,
    /// `true` refuses test operations and test broadcasts.
    pub production: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7878)),
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            session_ttl: Period::secs(7 * 86_400),
            production: false,
        }
    }
}

/// The file of error records, for people and scripts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Records {
    /// The JSON Lines file. Without it: `download_errors.jsonl` in the state directory.
    pub path: Option<FilePath>,
    /// A new file is begun at this size.
    pub max_size: Size,
    /// So many old files are kept.
    pub keep: u32,
}

impl Default for Records {
    fn default() -> Self {
        Self { path: None, max_size: Size(64 << 20), keep: 5 }
    }
}

/// How downloads are followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Jobs {
    /// How often the files under the roots are looked at, to see them grow.
    pub watch_every: Period,
    /// A download of less than 20 MB stands still when no byte came for so long.
    pub stall_small: Period,
    /// One of 20 MB to 1 GB stands still when no byte came for so long.
    pub stall_medium: Period,
    /// One of more than 1 GB stands still when no byte came for so long.
    pub stall_large: Period,
    /// Downloads that ended longer ago are forgotten.
    pub keep: Period,
    /// So many downloads are remembered at most.
    pub keep_max: u32,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            watch_every: Period::secs(2),
            stall_small: Period::secs(60),
            stall_medium: Period::secs(180),
            stall_large: Period::secs(300),
            keep: Period::secs(30 * 86_400),
            keep_max: 10_000,
        }
    }
}

/// How much logmedic takes at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Limits {
    /// How long an event waits for more lines (a traceback that is still being written).
    pub join_wait: Period,
    /// How many repairs run at once (1 to 32); `[operations] at_once` holds for them too.
    pub repairs: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { join_wait: Period(std::time::Duration::from_millis(500)), repairs: 3 }
    }
}
