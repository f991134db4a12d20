//! Looks twice a second how far running operations are and what they use, and tells those that moved. I/O.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use super::manager::{Entry, Operations};
use super::progress::{TELL_EVERY, Usage};
use super::state::State;
use super::tree;
use crate::vocab::Id;

impl Operations {
    /// Runs until `stop`; sleeps while nothing is at work.
    pub(super) async fn tick(self, stop: CancellationToken) {
        loop {
            let running = self.running();
            if running.is_empty() {
                tokio::select! {
                    () = self.inner.moves.notified() => {}
                    () = stop.cancelled() => return,
                }
            }
            tokio::select! {
                () = tokio::time::sleep(TELL_EVERY) => {}
                () = stop.cancelled() => return,
            }
            let running = self.running();
            let measured = tokio::task::spawn_blocking(move || measure(&running)).await.unwrap_or_default();
            self.take_in(measured);
        }
    }

    /// Which are at work, and by which process.
    fn running(&self) -> Vec<(Id, i32)> {
        let process = |entry: &Entry| entry.shared.process.load(Ordering::Relaxed);
        let core = self.core();
        let at_work = core.open.values().filter(|entry| entry.operation.state == State::Running);
        at_work.map(|entry| (entry.operation.id, process(entry))).collect()
    }

    fn take_in(&self, measured: Vec<(Id, Usage)>) {
        let now = self.mono();
        let mut moved = Vec::new();
        let mut core = self.core();
        for (id, mut usage) in measured {
            let Some(entry) = core.open.get_mut(&id).filter(|entry| entry.operation.state == State::Running) else {
                continue;
            };
            if let Some((at, cpu_ms)) = entry.measured {
                let passed = now.saturating_sub(at).as_secs_f64() * 1000.0;
                let used = usage.cpu_ms.saturating_sub(cpu_ms) as f64;
                usage.cpu_percent = if passed > 0.0 { (used * 1000.0 / passed).round() / 10.0 } else { 0.0 };
            }
            entry.measured = Some((now, usage.cpu_ms));
            let tally = entry.shared.tally();
            let due = entry.tracker.due(&tally, now);
            entry.operation.progress = entry.tracker.shown(&tally, Some(usage));
            if due {
                moved.push(Arc::new(entry.operation.clone()));
            }
        }
        drop(core);
        for operation in moved {
            // Nobody may listen.
            let _ = self.inner.progress.send(operation);
        }
    }
}

/// What each of them uses. Blocking.
fn measure(running: &[(Id, i32)]) -> Vec<(Id, Usage)> {
    let processes = if running.iter().any(|(_, process)| *process > 0) { tree::all() } else { Vec::new() };
    let own = tree::own_usage();
    let of = |process: i32| if process > 0 { tree::usage(&tree::members(&processes, process)) } else { own };
    running.iter().map(|(id, process)| (*id, of(*process))).collect()
}
