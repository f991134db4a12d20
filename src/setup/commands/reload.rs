//! `logmedic reload`: the running agent reads its configuration and rules again, and says how that went.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::status::running_pid;
use super::{Done, Failure, stdout};
use crate::ledger::Ledger;
use crate::setup::agent::state_failure;
use crate::setup::load::{self, Surroundings};
use crate::setup::reload::RELOAD_FACT;
use crate::setup::rulebook;

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Checks the configuration here first, then has the agent read it and waits for its answer.
///
/// # Errors
/// When the configuration or a rule is wrong (the agent then keeps the old ones), or no agent runs.
pub fn reload(file: Option<&Path>, around: &Surroundings) -> Done {
    let loaded = load::load(file, around)?;
    let problems = rulebook::problems(&loaded);
    if !problems.is_empty() {
        let message = format!("failed to reload, the old configuration stays: {}", problems.join("; "));
        return Err(Failure::Other { code: 78, message });
    }
    let pid = running_pid(&loaded.state_dir).ok_or_else(|| {
        let dir = loaded.state_dir.display();
        Failure::failed(format!("failed to reload: no logmedic runs with the state directory {dir}"))
    })?;
    let db = Ledger::look(&loaded.state_dir).map_err(|error| state_failure(&error))?;
    // Each answer carries the moment it was given, so that the same words twice are two answers.
    let answer = || -> Option<String> {
        db.query_row("SELECT value FROM meta WHERE name = ?1", [RELOAD_FACT], |row| row.get(0)).ok()
    };
    let old = answer();
    kill(Pid::from_raw(pid), Signal::SIGHUP).map_err(|error| Failure::Other {
        code: if error == nix::Error::EPERM { 77 } else { 1 },
        message: format!("failed to signal process {pid}: {error}; run this as the same user or as root"),
    })?;
    let until = Instant::now() + PATIENCE;
    while answer() == old {
        if Instant::now() >= until {
            let message = format!("failed to reload: process {pid} did not answer within 10 s");
            return Err(Failure::Other { code: 75, message });
        }
        // The answer comes through the database; there is no event to wait for.
        std::thread::sleep(Duration::from_millis(20));
    }
    let text = answer().unwrap_or_default();
    let text = text.split_once(' ').map_or(text.as_str(), |(_, words)| words);
    if text.starts_with("failed") {
        return Err(Failure::Other { code: 78, message: text.to_owned() });
    }
    let mut out = stdout();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(0)
}
