//! Tells people that the agent started and stopped, and finds out at the start whether the last run was ended properly. I/O.

use chrono::Utc;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::ledger::{Ledger, outbox};
use crate::vocab::{Notice, Severity, Story, rfc3339};

/// Where the last run is kept (`meta`).
const FACT: &str = "agent.run";

/// Tells one start of the machine from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A run of the agent.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    boot: String,
    since: String,
    stopped: Option<(String, String)>,
}

/// Writes down that the agent runs, and owes people that word with how the last run ended.
pub async fn started(ledger: &Ledger, owed: &Notify) {
    let last = ledger.fact(FACT).ok().flatten().and_then(|json| serde_json::from_str::<Run>(&json).ok());
    let boot = std::fs::read_to_string(BOOT_ID).map(|id| id.trim().to_owned()).unwrap_or_default();
    let (clean, detail, remedy) = arrival(last.as_ref(), &boot);
    let severity = if clean { Severity::Info } else { Severity::Warning };
    if !clean {
        tracing::warn!("{detail}");
    }
    let run = Run { boot, since: rfc3339(Utc::now()), stopped: None };
    keep(ledger, owed, "started", run, severity, detail, remedy).await;
}

/// Writes down that the agent stops, and why.
pub async fn stopped(ledger: &Ledger, owed: &Notify, reason: &str) {
    let last = ledger.fact(FACT).ok().flatten().and_then(|json| serde_json::from_str::<Run>(&json).ok());
    let Some(mut run) = last else { return };
    run.stopped = Some((rfc3339(Utc::now()), reason.to_owned()));
    keep(ledger, owed, "stopped", run, Severity::Info, format!("stopped: {reason}"), None).await;
}

/// Whether the last run was ended properly, in words, and what helps where it was not.
fn arrival(last: Option<&Run>, boot: &str) -> (bool, String, Option<String>) {
    let version = env!("CARGO_PKG_VERSION");
    match last {
        None => (true, format!("logmedic {version} started for the first time here"), None),
        Some(Run { stopped: Some((at, reason)), .. }) => {
            (true, format!("logmedic {version} started; it was stopped properly at {at}: {reason}"), None)
        }
        Some(Run { since, boot: before, .. }) if before != boot => {
            let what = "the machine was restarted or lost its power while it ran";
            (false, format!("logmedic {version} started; {what} (since {since}); it goes on where it was"), None)
        }
        Some(Run { since, .. }) => {
            let what = "the last run was killed or crashed";
            let detail = format!("logmedic {version} started; {what} (it ran since {since}); it goes on where it was");
            (false, detail, Some("journalctl -k -g 'out of memory'".to_owned()))
        }
    }
}

async fn keep(
    ledger: &Ledger,
    owed: &Notify,
    what: &str,
    run: Run,
    severity: Severity,
    detail: String,
    remedy: Option<String>,
) {
    let at = Utc::now();
    let key = format!("agent:{what}:{}", at.timestamp_millis());
    let notice =
        Notice { key, revision: 1, severity, story: Story::Agent { what: Some(what.to_owned()), detail, remedy }, at };
    let written = ledger.write(move |tx| {
        let json = serde_json::to_string(&run).unwrap_or_default();
        tx.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", (FACT, json))?;
        outbox::put(tx, &notice)
    });
    match written.await {
        Ok(()) => owed.notify_one(),
        // What cannot be written is told at the next start, as a run that was not ended properly.
        Err(error) => tracing::warn!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e4_a_start_knows_a_stop_from_a_kill_and_from_a_power_cut() {
        let run = |boot: &str, stopped: Option<&str>| Run {
            boot: boot.into(),
            since: "2026-11-25T01:02:03.000Z".into(),
            stopped: stopped.map(|why| ("2026-11-25T02:00:00.000Z".into(), why.to_owned())),
        };
        assert!(arrival(None, "a").0);
        let (clean, said, _) = arrival(Some(&run("a", Some("SIGTERM"))), "b");
        assert!(clean && said.contains("properly") && said.contains("SIGTERM"), "{said}");
        let (clean, said, remedy) = arrival(Some(&run("a", None)), "a");
        assert!(!clean && said.contains("killed") && remedy.is_some(), "{said}");
        let (clean, said, _) = arrival(Some(&run("a", None)), "b");
        assert!(!clean && said.contains("power"), "{said}");
    }
}
