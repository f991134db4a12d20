//! Lets go of downloads that are over for long, from time to time. I/O.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::config::Jobs;
use crate::ledger::Ledger;
use crate::vocab::Id;

/// How often: what is a little too old does no harm.
const EVERY: Duration = Duration::from_secs(3600);

/// Forgets what `[jobs] keep` and `keep_max` say, at once and every hour, until `stop`.
pub(super) async fn jobs(ledger: Ledger, jobs: Jobs, stop: CancellationToken) {
    loop {
        let keep = TimeDelta::from_std(jobs.keep.0).unwrap_or(TimeDelta::MAX);
        let before = Utc::now().checked_sub_signed(keep).unwrap_or_default();
        if let Err(error) = ledger.prune_jobs(Id::first_at(before).to_string(), jobs.keep_max).await {
            tracing::warn!("{error}");
        }
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}
