//! Ends what an agent that was killed left running, but not the commands that a launcher still looks after. I/O.

use std::collections::BTreeSet;
use std::time::Duration;

use super::load::Loaded;
use crate::launch::{self, Runs};
use crate::ledger::Ledger;
use crate::vocab::Id;
use crate::{heal, library, supervise};

/// How long such a process may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// The tasks of repairs that were under way at the last commit.
const ACTING: &str = "SELECT json_extract(json, '$.task') FROM row WHERE kind = 'incident' \
                      AND json_extract(json, '$.phase.phase') = 'acting' AND json_extract(json, '$.task') IS NOT NULL";

/// Ends a bot, helpers, and commands whose launcher died too: what they did is looked at and done again. Then forgets the runs
/// that nobody asks for any more.
pub async fn end(loaded: &Loaded, ledger: &Ledger, bot_uid: u32) {
    let marker = supervise::marker_for(&loaded.state_dir);
    let own = nix::unistd::geteuid().as_raw();
    let uids: Vec<u32> = BTreeSet::from([own, bot_uid, library::confine::NOBODY]).into_iter().collect();
    let runs = heal::runs(ledger);
    let known = runs.clone();
    let ended = tokio::task::spawn_blocking(move || {
        let left = |environ: &[u8]| {
            supervise::tree::marked(environ, &marker) || launch::is_lost(&known, (launch::MARKER, &marker), environ)
        };
        supervise::tree::end(&uids, GRACE, &left)
    });
    match ended.await {
        Ok(0) | Err(_) => {}
        Ok(n) => tracing::warn!("{n} processes of a logmedic that was killed were still running and have been ended"),
    }
    if !loaded.config.command.is_empty() || runs.dir().exists() {
        tidy(ledger, &runs);
    }
}

fn tidy(ledger: &Ledger, runs: &Runs) {
    let acting = ledger.read(|db| {
        let mut query = db.prepare(ACTING)?;
        query.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
    });
    let acting: Vec<Id> = acting.unwrap_or_default().iter().filter_map(|id| Id::parse(id)).collect();
    if let Err(error) = runs.tidy(&acting) {
        tracing::warn!(
            "failed to use {}: {error}; a command is run again when logmedic is killed meanwhile",
            runs.dir().display()
        );
    }
}
