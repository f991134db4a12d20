//! Models `[backup]`: where backups are kept, when they are made, what is in them. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FilePath, Period};

/// How backups of logmedic's state and configuration are made (`logmedic backup`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Backup {
    /// Where they are kept; the directory above it must exist. Without it: `backups` in the state directory. Another disk
    /// survives the loss of this one.
    pub directory: Option<FilePath>,
    /// Makes one again and again, so long after the last time: `"1d"`. With neither `every` nor `at`, none is made by itself.
    pub every: Option<Period>,
    /// Makes one daily at this local time: `"04:30"`. A time missed while logmedic did not run is made up for once.
    pub at: Option<String>,
    /// So many are kept, by hand or by schedule; older ones are deleted after a new one is proven (1 to 1000).
    pub keep: u32,
    /// Older ones are deleted as well. The newest is always kept. Without it: only `keep` counts.
    pub keep_for: Option<Period>,
    /// `true`: the files of the roots are in each backup. They may be many; room for all of them is looked for first.
    pub media: bool,
    /// `true`: tokens and other secrets of the configuration, and `.env`, are in each backup. Password hashes of accounts
    /// always are.
    pub secrets: bool,
}

impl Default for Backup {
    fn default() -> Self {
        Self { directory: None, every: None, at: None, keep: 7, keep_for: None, media: false, secrets: false }
    }
}
