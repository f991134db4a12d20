//! Models the tables of the configuration that say what takes time, and how much of it at once. Pure.

use super::{Deserialize, JsonSchema, Period, Serialize, Size};
use crate::library::Level;
use crate::operate::Priority;

/// How operations (repairs, commands of `[[operation]]`, maintenance) are run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Operations {
    /// How many run at once, repairs too (1 to 32).
    pub at_once: u32,
    /// So many of these places are kept free for repairs, so that a long task never keeps healing waiting; less than `at_once`.
    pub for_repairs: u32,
    /// How many commands of `[[operation]]` run at once (1 to 32).
    pub commands: u32,
    /// Of each kind, so many operations that are over are remembered.
    pub keep: u32,
    /// They are remembered for so long.
    pub keep_for: Period,
}

impl Default for Operations {
    fn default() -> Self {
        Self { at_once: 3, for_repairs: 1, commands: 3, keep: 1_000, keep_for: Period::secs(30 * 86_400) }
    }
}

/// A command of your own that runs as an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Operation {
    /// A name of your choice: letters, digits, `-` and `_`. Must be unique.
    pub name: String,
    /// The program and its arguments, one word a string.
    #[schemars(extend("format" = "words"))]
    pub argv: Vec<String>,
    /// Runs it again and again, so long after the last time: `"1h"`.
    #[serde(default)]
    pub every: Option<Period>,
    /// Runs it daily at this local time: `"03:30"`. A time missed while logmedic did not run is made up for once.
    #[serde(default)]
    pub at: Option<String>,
    /// How urgent it is: `low`, `normal`, `high`, `critical`.
    #[serde(default)]
    pub priority: Priority,
    /// It is ended when it ran so long, pauses not counted. Without it: never.
    #[serde(default)]
    pub timeout: Option<Period>,
    /// `true`: when logmedic stopped in the middle of it, it is begun again from its start. `false`: it counts as interrupted.
    #[serde(default)]
    pub resume: bool,
}

/// What is known of the files under the roots, and how they look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Library {
    /// `true`: logmedic finds out by itself what files there are: at its start, each time `every` has passed, and new downloads as
    /// soon as they are complete. `false`: only when somebody asks (`logmedic library populate`).
    pub enabled: bool,
    /// From one look at all files to the next. What was seen before and was not written to is not read again.
    pub every: Period,
    /// Bytes a second that are read by itself at most; `"0B"`: as fast as it goes. What somebody asks for is not slowed down.
    pub rate: Size,
    /// From one check of all files to the next: whether they are whole. `"0s"`: only when somebody asks
    /// (`logmedic library verify`).
    pub verify: Period,
    /// How thoroughly that is: `structure` reads little, `checksum` all of each file, `decode` lets ffmpeg decode it as well.
    pub verify_level: Level,
    /// Bytes a second that are read to verify files at most, ffmpeg's reading too; `"0B"`: as fast as it goes.
    pub verify_bytes_per_second: Size,
    /// Whether small pictures are made of new films and pictures.
    pub thumbnails: bool,
    /// The program that makes them: a name that is looked for in `PATH`, or an absolute path. It runs confined: without network,
    /// without a second file, as nobody where logmedic is root.
    pub ffmpeg: String,
    /// It is ended when one picture takes longer.
    pub timeout: Period,
    /// Memory that it may take.
    pub memory: Size,
}

impl Default for Library {
    fn default() -> Self {
        Self {
            enabled: true,
            every: Period::secs(86_400),
            rate: Size(64 << 20),
            verify: Period::secs(7 * 86_400),
            verify_level: Level::Structure,
            verify_bytes_per_second: Size(64 << 20),
            thumbnails: true,
            ffmpeg: "ffmpeg".into(),
            timeout: Period::secs(20),
            memory: Size(1 << 30),
        }
    }
}
