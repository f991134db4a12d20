//! Counts: an operation for trying out pages, clients and limits. Refused in production. I/O: waits.

use std::time::Duration;

use futures_util::future::BoxFuture;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::work::{Control, Ended, Outcome, Worker};

/// The longest it may take, in all.
pub const LONGEST: Duration = Duration::from_secs(600);

/// The most it counts.
pub const MOST: u64 = 100_000;

/// What to count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TestCount)]
#[serde(default, deny_unknown_fields)]
pub struct Count {
    /// How many items, 1 to 100000.
    pub items: u64,
    /// How long each takes, in milliseconds; all together ten minutes at most.
    pub item_ms: u64,
    /// Every so many fails; 0: none.
    pub fail_every: u32,
    /// Whether it begins again when logmedic stopped in the middle of it.
    pub resume: bool,
}

impl Default for Count {
    fn default() -> Self {
        Self { items: 20, item_ms: 250, fail_every: 0, resume: false }
    }
}

impl Count {
    /// Whether it stays within the limits.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        let longest = u64::try_from(LONGEST.as_millis()).unwrap_or(u64::MAX);
        let fails = u64::from(self.fail_every) <= MOST;
        fails && (1..=MOST).contains(&self.items) && self.items.saturating_mul(self.item_ms) <= longest
    }
}

/// Waits; every moment of it is a safe point.
async fn wait(control: &mut Control, time: Duration) -> Result<(), Ended> {
    let mut left = time;
    loop {
        control.checkpoint().await?;
        let since = Instant::now();
        tokio::select! {
            () = tokio::time::sleep(left) => return control.checkpoint().await,
            _ = control.next_order() => left = left.saturating_sub(since.elapsed()),
        }
    }
}

impl Worker for Count {
    fn run(self: Box<Self>, mut control: Control) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let (mut succeeded, mut failed) = (0, 0);
            for item in 1..=self.items {
                if wait(&mut control, Duration::from_millis(self.item_ms)).await.is_err() {
                    return Outcome::cancelled(format!("stopped after {} of {} items", item - 1, self.items));
                }
                if self.fail_every > 0 && item % u64::from(self.fail_every) == 0 {
                    failed += 1;
                } else {
                    succeeded += 1;
                }
                control.tell(|tally| {
                    (tally.done, tally.total) = (Some(item), Some(self.items));
                    (tally.succeeded, tally.failed) = (Some(succeeded), Some(failed));
                    tally.message = Some(format!("item {item}"));
                });
            }
            Outcome::done(format!("counted {} items, {failed} of them failed", self.items))
        })
    }
}
