//! `stats/overview`: what failed over time and what became of it, jobs, operations, notifications, disks. And what Prometheus
//! is told besides the counters.

use axum::Json;
use axum::extract::{Query, State};
use chrono::{TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Disk, System};
use crate::ledger::probes as counts;
use crate::publish::metrics::Asked;
use crate::serve::auth::Viewer;
use crate::serve::problem::Problem;
use crate::vocab::{Id, rfc3339};

/// A week is what people look at first.
const DEFAULT_HOURS: u32 = 168;

/// Up to so many hours each is told of itself; a longer time by days.
const HOURLY_MAX: u32 = 48;

/// A month: what is older is pruned on a busy machine anyway.
const HOURS_MAX: u32 = 744;

/// How far back.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
pub struct OverviewQuery {
    /// Hours, 1 to 744; 168 (a week) when not said. Up to 48 it is told by the hour, else by the day.
    pub hours: Option<u32>,
}

/// How often something is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Count {
    /// What is counted: a class, a state, a level, a channel.
    pub name: String,
    /// A second word: `read`, `sent` …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// How many.
    pub count: u64,
}

/// Incidents that were opened in one hour or day, of one class, with one result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FailureCount {
    /// Start of the hour or day, RFC 3339.
    pub at: String,
    /// What went wrong.
    pub class: String,
    /// How it ended; `open` while it has not.
    pub result: String,
    /// How many.
    pub count: u64,
}

/// Everything at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Overview {
    /// From when on incidents are counted, RFC 3339.
    pub since: String,
    /// `hour` or `day`.
    pub step: &'static str,
    /// Incidents by time, class and result.
    pub failures: Vec<FailureCount>,
    /// The same in sum: how many healed, recovered, needed a person, are open.
    pub totals: Totals,
    /// Open incidents by class, whenever they began.
    pub open: Vec<Count>,
    /// Download jobs by state.
    pub jobs: Vec<Count>,
    /// Operations by state.
    pub operations: Vec<Count>,
    /// Notifications by level, `read` and `unread`.
    pub notifications: Vec<Count>,
    /// Deliveries by channel and result, since the state directory was made.
    pub deliveries: Vec<Count>,
    /// Room on the disks, and where it is heading.
    pub disks: Vec<Disk>,
}

/// What became of the incidents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Totals {
    /// Repaired by logmedic and proven.
    pub healed: u64,
    /// Mended by the bot or the world.
    pub recovered: u64,
    /// Given up, refused or told only: a person was needed.
    pub unhealed: u64,
    /// The system showed no such fault, or somebody ended it.
    pub other: u64,
    /// Not over.
    pub open: u64,
}

impl Totals {
    fn add(&mut self, result: &str, count: u64) {
        let place = match result {
            "healed" => &mut self.healed,
            "recovered" => &mut self.recovered,
            "exhausted" | "refused" | "alert_only" => &mut self.unhealed,
            "open" => &mut self.open,
            _ => &mut self.other,
        };
        *place += count;
    }
}

pub(super) fn router() -> OpenApiRouter<System> {
    OpenApiRouter::new().routes(routes!(overview))
}

/// Failures over time and what became of them, jobs, operations, notifications, disks.
#[utoipa::path(get, path = "/stats/overview", tag = "system", params(OverviewQuery),
    responses((status = 200, body = Overview), (status = 400, body = Problem)))]
async fn overview(
    State(system): State<System>,
    _: Viewer,
    Query(query): Query<OverviewQuery>,
) -> Result<Json<Overview>, Problem> {
    let hours = query.hours.unwrap_or(DEFAULT_HOURS);
    if !(1..=HOURS_MAX).contains(&hours) {
        return Err(Problem::bad("bad_hours", format!("hours is {hours}; it must be 1 to {HOURS_MAX}")));
    }
    let hourly = hours <= HOURLY_MAX;
    let since = Utc::now() - TimeDelta::hours(i64::from(hours));
    let first = Id::first_at(since).to_string();
    let read = system.0.look.read(move |db| {
        let rows = counts::failures(db, &first, hourly)?;
        let each = [
            counts::open_incidents(db)?,
            counts::jobs(db)?,
            counts::operations(db)?,
            counts::notifications(db)?,
            counts::deliveries(db)?,
        ];
        Ok((rows, each))
    });
    let (rows, each) = read.await?;
    let mut totals = Totals::default();
    let failures = rows
        .into_iter()
        .map(|row| {
            totals.add(&row.result, row.count);
            FailureCount { at: row.at, class: row.class, result: row.result, count: row.count }
        })
        .collect();
    let count = |rows: Vec<counts::Counted>| -> Vec<Count> {
        rows.into_iter().map(|(name, kind, count)| Count { name, kind, count }).collect()
    };
    let [open, jobs, operations, notifications, deliveries] = each.map(count);
    let (since, step) = (rfc3339(since), if hourly { "hour" } else { "day" });
    let disks = system.0.disks.list().await;
    Ok(Json(Overview { since, step, failures, totals, open, jobs, operations, notifications, deliveries, disks }))
}

impl System {
    /// What Prometheus is told besides the counters.
    pub(in crate::serve) async fn asked(&self) -> Result<Asked, Problem> {
        let read = self.0.look.read(|db| {
            let first = |rows: Vec<counts::Counted>| rows.into_iter().map(|(name, _, count)| (name, count)).collect();
            Ok(Asked {
                open: first(counts::open_incidents(db)?),
                notifications: counts::deliveries(db)?,
                operations: first(counts::operations(db)?),
                tail_lag: lag(counts::tails(db)?),
                disk_free: Vec::new(),
            })
        });
        let mut asked = read.await?;
        let disks = self.0.disks.list().await;
        asked.disk_free = disks.into_iter().filter_map(|disk| Some((disk.name, disk.free_bytes?))).collect();
        Ok(asked)
    }
}

/// Bytes that each source's files are behind. A file that is gone, or shorter than what was read, has none.
fn lag(tails: Vec<counts::Tail>) -> Vec<(String, u64)> {
    let mut by_source = std::collections::BTreeMap::new();
    for tail in tails {
        let size = std::fs::metadata(&tail.path).map_or(0, |meta| meta.len());
        *by_source.entry(tail.source).or_insert(0) += size.saturating_sub(tail.offset);
    }
    by_source.into_iter().collect()
}
