//! Holds what the user allows and wants. Pure: plain data, made by `setup` from the configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::correlate::StallLimits;
use crate::vocab::{Class, Mode};

/// Everything that decisions depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Attempts and waits of downloads.
    pub retry: Retry,
    /// How far logmedic may go.
    pub modes: Modes,
    /// How many repairs in an hour.
    pub budget: BudgetLimits,
    /// When the cause is taken to be upstream.
    pub breaker: BreakerLimits,
    /// Waits between two probes of a server that is down.
    pub probe: Retry,
    /// How often it is looked whether there is room again.
    pub space_check: Duration,
    /// The command that restarts a server, where one is configured.
    pub server_restart: Option<ServerRestart>,
    /// What is done for a failed download whose source is not known.
    pub fallback: Fallback,
    /// Origin of the Bot API server the bot uses.
    pub bot_api: String,
    /// Whether a file that a check proved bad is moved aside though it cannot be fetched again.
    pub quarantine_unknown: bool,
    /// Whether `[command.redownload]` is configured.
    pub redownload_command: bool,
    /// The longest a download may take.
    pub download_limit: Duration,
    /// How long a download may stand still.
    pub stall: StallLimits,
}

/// Attempts and waits: before attempt N it is waited `base · factor^(N-1)`, at most `cap`, give or take `jitter`.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// How many attempts; at least 1.
    pub attempts: u32,
    /// Wait before the first.
    pub base: Duration,
    /// Growth.
    pub factor: f64,
    /// The longest wait.
    pub cap: Duration,
    /// Share of the wait that is random, 0 to 1.
    pub jitter: f64,
    /// A subject that was well for so long starts again with the shortest wait.
    pub reset_after: Duration,
}

/// The mode by rule, else by class, else the default.
#[derive(Clone, Debug, PartialEq)]
pub struct Modes {
    /// For all that is not named.
    pub default: Mode,
    /// By class word or rule id.
    pub by: BTreeMap<String, Mode>,
}

impl Modes {
    /// The mode for an event of this class claimed by this rule.
    #[must_use]
    pub fn of(&self, class: Class, rule: &str) -> Mode {
        self.by.get(rule).or_else(|| self.by.get(class.as_str())).copied().unwrap_or(self.default)
    }
}

/// How many repairs may be started within an hour.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetLimits {
    /// For one subject.
    pub per_job: u32,
    /// For one class.
    pub per_class: u32,
    /// In all.
    pub agent: u32,
}

/// So many different subjects failing within so long means: the cause is upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerLimits {
    /// How many subjects.
    pub threshold: u32,
    /// Within how long.
    pub within: Duration,
}

/// Restarting a server that stays down.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerRestart {
    /// Name under `[command.NAME]`.
    pub command: String,
    /// How long it must have been down.
    pub after: Duration,
}

/// For a download whose source is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Tell the admin.
    Alert,
    /// Send the bot this signal.
    Signal(i32),
    /// Restart the bot.
    Restart,
}

impl Default for Policy {
    fn default() -> Self {
        let retry = Retry {
            attempts: 3,
            base: Duration::from_secs(1),
            factor: 2.0,
            cap: Duration::from_secs(300),
            jitter: 0.1,
            reset_after: Duration::from_secs(600),
        };
        Self {
            probe: Retry { cap: Duration::from_secs(30), ..retry.clone() },
            retry,
            modes: Modes { default: Mode::Auto, by: BTreeMap::new() },
            budget: BudgetLimits { per_job: 10, per_class: 60, agent: 200 },
            breaker: BreakerLimits { threshold: 5, within: Duration::from_secs(60) },
            space_check: Duration::from_secs(10),
            server_restart: None,
            fallback: Fallback::Alert,
            bot_api: "https://api.telegram.org".into(),
            quarantine_unknown: false,
            redownload_command: false,
            download_limit: Duration::from_secs(2 * 3600),
            stall: StallLimits::default(),
        }
    }
}
