//! Keeps what waits for the state directory small. Pure.

use crate::ledger::store::Change;

/// Without the changes that a later one makes void: of each row and position only the last state counts. So a long
/// time without a disk fills the memory with records only.
pub(super) fn latest(changes: Vec<Change>) -> Vec<Change> {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<Change> = changes
        .into_iter()
        .rev()
        .filter(|change| match change {
            Change::Row { kind, id, .. } | Change::DropRow { kind, id } => {
                seen.insert((kind.to_string(), String::new(), id.clone()))
            }
            Change::Notice(notice) => seen.insert(("notice".into(), String::new(), notice.key.clone())),
            Change::Checkpoint { stream, checkpoint } => {
                seen.insert(("checkpoint".into(), checkpoint.source.clone(), stream.clone()))
            }
            Change::DropCheckpoint { source, stream } => {
                seen.insert(("checkpoint".into(), source.clone(), stream.clone()))
            }
            // Only for the story: the first that is let go.
            Change::Context { .. } | Change::Around(_) => false,
            Change::Record { .. }
            | Change::Unclassified(_)
            | Change::Silence(_)
            | Change::Acknowledged { .. }
            | Change::Announced(_) => true,
        })
        .collect();
    kept.reverse();
    kept
}
