//! Models `[[probe]]`: what is looked at regularly. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FilePath, Period, Severity, Size};

/// What is looked at regularly: exactly one of `http`, `tcp`, `disk`, `process` and `bot_api`. When it is down, an
/// incident begins; when the same probe is well again, it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Probe {
    /// A name of your choice: letters, digits, `-`, `_` and `.`. Must be unique. `probe.NAME` is its rule's id in
    /// records and in `[mode]`.
    pub name: String,
    /// An address that must answer, such as `http://127.0.0.1:8081/`. Redirects are not followed.
    #[serde(default)]
    pub http: Option<String>,
    /// The status that `http` must answer with. Without it: any below 400.
    #[serde(default)]
    pub status: Option<u16>,
    /// Text that must stand in the first 256 KiB of what `http` answers.
    #[serde(default)]
    pub contains: Option<String>,
    /// A port that must accept connections, as `host:port`.
    #[serde(default)]
    pub tcp: Option<String>,
    /// The name of a root, or a path: the file system there must have room.
    #[serde(default)]
    pub disk: Option<FilePath>,
    /// Bytes that must be free for `disk`. Without it: `min_free` of `[disk]`.
    #[serde(default)]
    pub min_free: Option<Size>,
    /// A process that must run: `bot` is the one that logmedic runs; else the name or path of a program or of the script
    /// it interprets (`main.py`), or the path of a `.pid` file.
    #[serde(default)]
    pub process: Option<String>,
    /// `true` asks the server of `[bot_api]` with the bot's token who the bot is (`getMe`).
    #[serde(default)]
    pub bot_api: bool,
    /// From one look to the next; at least `"100ms"`.
    #[serde(default = "Probe::default_every")]
    pub every: Period,
    /// A look that takes longer has failed; at most `"60s"`.
    #[serde(default = "Probe::default_timeout")]
    pub timeout: Period,
    /// So many looks in a row must fail before it counts as down (1 to 100).
    #[serde(default = "Probe::default_fail_after")]
    pub fail_after: u32,
    /// So many looks in a row must be well before it counts as up again (1 to 100).
    #[serde(default = "Probe::default_pass_after")]
    pub pass_after: u32,
    /// How loud its failure is: `info`, `warning`, `error`, `critical`.
    #[serde(default = "Probe::default_severity")]
    pub severity: Severity,
}

impl Probe {
    const fn default_every() -> Period {
        Period::secs(30)
    }

    const fn default_timeout() -> Period {
        Period::secs(5)
    }

    const fn default_fail_after() -> u32 {
        3
    }

    const fn default_pass_after() -> u32 {
        2
    }

    const fn default_severity() -> Severity {
        Severity::Error
    }

    /// How many kinds of target are named; one is right.
    #[must_use]
    pub fn targets(&self) -> usize {
        [self.http.is_some(), self.tcp.is_some(), self.disk.is_some(), self.process.is_some(), self.bot_api]
            .into_iter()
            .filter(|named| *named)
            .count()
    }
}
