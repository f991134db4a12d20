//! Raises how many files this process may have open, and gives the bot back what it would have had. I/O.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More than we ever open: 1,600 connections, the logs, the ledger. A limit of a million would only slow down the commands we
/// start, some of which close every file that could be open.
pub const WANTED: u64 = 65_536;

/// Below this, connections and logs run out of files in a bad hour.
pub const ENOUGH: u64 = 4_096;

/// The soft limit before it was raised.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Carries that limit to the bot's last stage, which takes it out again.
pub(super) const VARIABLE: &str = "LOGMEDIC_BOT_FILES";

/// Soft and hard limit of open files; `None` where the system does not say.
#[must_use]
pub fn limits() -> Option<(u64, u64)> {
    getrlimit(Resource::RLIMIT_NOFILE).ok()
}

/// Raises the soft limit to the hard one, at most to [`WANTED`]. Without success everything goes on with what there is.
pub fn raise() {
    let Some((soft, hard)) = limits() else { return };
    let wanted = hard.min(WANTED);
    if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() {
        // A second call has nothing left to raise.
        let _ = BEFORE.set(soft);
    }
}

/// The soft limit before [`raise`], where that changed it.
pub(super) fn before() -> Option<u64> {
    BEFORE.get().copied()
}

/// Takes the raise back in this process: a bot has the limit that it would have without us (`select(2)` knows no file above
/// 1,023, and programs rely on the limit to tell them).
pub(super) fn restore() {
    let before = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
    if let (Some(before), Some((_, hard))) = (before, limits()) {
        // Refused, the bot has more than it needs.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(before), hard);
    }
}
