//! Writes what is recorded to its file, and lets old things go. I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::commands::Failure;
use super::load::Loaded;
use crate::heal::Healer;
use crate::ledger::Ledger;
use crate::ledger::jsonl::{RecordsFile, Rotation};

/// Records written to the file at once.
const EXPORT_BATCH: u32 = 2_000;

/// Records go to their file this much later: the repair that the first of them announces needs the disk itself, and what
/// is said of one fault goes there together.
const EXPORT_DELAY: Duration = Duration::from_millis(20);

/// How often a records file that could not be written is tried again.
const EXPORT_RETRY: Duration = Duration::from_secs(5);

/// How often old rows are let go.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// How often quarantined files are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(86_400);

/// Writes records to their file until `stop`, then once more.
pub async fn export(ledger: Ledger, mut file: RecordsFile, recorded: Arc<Notify>, stop: CancellationToken) {
    let mut pruned = Instant::now();
    loop {
        let last = stop.is_cancelled();
        let failed = match ledger.records_after(file.last(), EXPORT_BATCH) {
            Ok(records) if records.is_empty() => false,
            Ok(records) => {
                let more = records.len() == EXPORT_BATCH as usize;
                let durable = ledger.clone();
                let done = tokio::task::spawn_blocking(move || {
                    // A power cut must not take back what the file tells already: its number would come again.
                    let result = durable.force().map_err(|error| error.to_string());
                    let result = result.and_then(|()| file.append(&records).map_err(|error| error.to_string()));
                    (file, result)
                })
                .await;
                let Ok((back, result)) = done else { return };
                file = back;
                match result {
                    Ok(()) if more => continue,
                    Ok(()) => false,
                    Err(error) => {
                        tracing::error!("{error}; the records are kept in the state database until it can be");
                        true
                    }
                }
            }
            Err(error) => {
                tracing::error!("{error}");
                true
            }
        };
        if last {
            return;
        }
        if pruned.elapsed() >= PRUNE_EVERY {
            pruned = Instant::now();
            if let Err(error) = ledger.prune(file.last()).await {
                tracing::warn!("{error}");
            }
        }
        tokio::select! {
            () = recorded.notified() => tokio::select! {
                () = tokio::time::sleep(EXPORT_DELAY) => {}
                () = stop.cancelled() => {}
            },
            () = tokio::time::sleep(EXPORT_RETRY), if failed => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Deletes quarantined files whose time is over, where the user asked for that.
pub async fn sweep(healer: Arc<Healer>, stop: CancellationToken) {
    let mut daily = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = daily.tick() => {}
            () = stop.cancelled() => return,
        }
        match healer.sweep_quarantine(chrono::Utc::now()).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!("{gone} quarantined files were deleted after [corrupt] quarantine_keep"),
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

/// Opens the records file.
///
/// # Errors
/// When it cannot be used.
pub fn open(loaded: &Loaded) -> Result<RecordsFile, Failure> {
    let config = &loaded.config.records;
    let rotation = Rotation { max_size: config.max_size.0, keep: config.keep };
    RecordsFile::open(&loaded.records_path(), rotation).map_err(|error| Failure::Other {
        code: 77,
        message: format!("{error}; set [records] path to a place it may write"),
    })
}
