//! `logmedic version`.

use std::io::Write as _;

use super::Done;
use crate::setup::cli::{COMMIT, JsonArgs};

/// Prints version and, where the build said it, commit.
///
/// # Errors
/// When the output cannot be written.
pub fn version(args: JsonArgs) -> Done {
    let mut out = super::stdout();
    let version = env!("CARGO_PKG_VERSION");
    match (args.json, COMMIT) {
        (true, commit) => super::json_line(&mut out, &serde_json::json!({ "version": version, "commit": commit }))?,
        (false, Some(commit)) => writeln!(out, "logmedic {version} ({commit})")?,
        (false, None) => writeln!(out, "logmedic {version}")?,
    }
    out.flush()?;
    Ok(0)
}
