//! `stats/series` and `stats/disks`: how it went over time, for charts. And the task that takes the samples of free bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{System, trend};
use crate::ledger::trends::{self, Sample};
use crate::serve::auth::Viewer;
use crate::serve::problem::Problem;
use crate::vocab::{Id, rfc3339};

/// A week is what people look at first.
const DEFAULT_HOURS: u32 = 168;

/// A month, and a day beside: samples are not kept longer.
const HOURS_MAX: u32 = 744;

/// The shortest and the longest bucket, in seconds.
const BUCKET_MIN: u32 = 300;
const BUCKET_MAX: u32 = 86_400;

/// Buckets of one answer: more than a screen has room for.
const BUCKETS_MAX: i64 = 1_000;

/// What began so long before the first bucket may have ended in one.
const BEGAN_BEFORE: TimeDelta = TimeDelta::days(7);

/// Between two samples of free bytes.
const SAMPLE_EVERY: Duration = Duration::from_secs(300);

/// Points of one disk in an answer.
const POINTS: i64 = 288;

/// How far back, and how fine.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
pub struct SeriesQuery {
    /// Hours, 1 to 744; 168 (a week) when not said.
    #[param(minimum = 1, maximum = 744)]
    hours: Option<u32>,
    /// Seconds of a bucket, 300 to 86400; when not said, an hour up to two days, six hours up to a week, then a day.
    #[param(minimum = 300, maximum = 86_400)]
    bucket: Option<u32>,
}

/// How far back.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
pub struct DisksQuery {
    /// Hours, 1 to 744; 168 (a week) when not said.
    #[param(minimum = 1, maximum = 744)]
    hours: Option<u32>,
}

/// Counts in each bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// Incidents that were opened.
    pub opened: Vec<u64>,
    /// Those that ended repaired and proven.
    pub healed: Vec<u64>,
    /// Those that the bot or the world mended.
    pub recovered: Vec<u64>,
    /// Those that needed a person: given up, refused, told only.
    pub failed: Vec<u64>,
    /// Those that were not confirmed, cancelled or interrupted.
    pub other: Vec<u64>,
}

/// Downloads that ended, in each bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Downloads {
    /// Completed ones.
    pub completed: Vec<u64>,
    /// Failed ones.
    pub failed: Vec<u64>,
    /// Bytes of the completed ones, as far as they are known.
    pub bytes: Vec<u64>,
}

/// How it went over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Series {
    /// Seconds of a bucket.
    pub bucket_s: u32,
    /// When each bucket begins, RFC 3339; every list below has one number for each.
    pub at: Vec<String>,
    /// All classes together.
    pub total: Counts,
    /// Each class that occurred.
    pub classes: BTreeMap<String, Counts>,
    /// Downloads that ended.
    pub downloads: Downloads,
}

/// Free bytes at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Point {
    /// RFC 3339.
    pub at: String,
    /// Free bytes.
    pub free_bytes: u64,
}

/// A disk over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DiskSeries {
    /// A root's name, or `state`.
    pub name: String,
    /// Its size in bytes.
    pub total_bytes: u64,
    /// Free bytes, oldest first: a sample every five minutes, thinned to about 288 points.
    pub points: Vec<Point>,
    /// How the free bytes changed an hour, over the last day; `null`: less than an hour is known.
    pub change_bytes_per_hour: Option<i64>,
    /// When it will be full if that goes on, RFC 3339. `null`: not within 90 days, or it goes up and down too much to say.
    pub full_at: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<System> {
    OpenApiRouter::new().routes(routes!(series)).routes(routes!(disks))
}

fn hours_of(hours: Option<u32>) -> Result<u32, Problem> {
    let hours = hours.unwrap_or(DEFAULT_HOURS);
    if (1..=HOURS_MAX).contains(&hours) {
        return Ok(hours);
    }
    Err(Problem::bad("bad_hours", format!("hours is {hours}; it must be 1 to {HOURS_MAX}")))
}

/// Where in the lists something belongs.
#[derive(Clone, Copy)]
struct Axis {
    from: i64,
    step: i64,
    count: usize,
}

impl Axis {
    fn of(hours: u32, bucket: Option<u32>, now: DateTime<Utc>) -> Result<Self, Problem> {
        let bucket = bucket.unwrap_or(match hours {
            ..=48 => 3_600,
            49..=168 => 21_600,
            _ => 86_400,
        });
        if !(BUCKET_MIN..=BUCKET_MAX).contains(&bucket) {
            let detail = format!("bucket is {bucket}; it must be {BUCKET_MIN} to {BUCKET_MAX} seconds");
            return Err(Problem::bad("bad_bucket", detail));
        }
        let (step, now) = (i64::from(bucket), now.timestamp());
        let from = (now - i64::from(hours) * 3_600).div_euclid(step) * step;
        let count = (now - from) / step + 1;
        if count > BUCKETS_MAX {
            let detail = format!("that would be {count} buckets; at most {BUCKETS_MAX}: take longer ones");
            return Err(Problem::bad("too_many_buckets", detail));
        }
        Ok(Self { from, step, count: usize::try_from(count).unwrap_or(0) })
    }

    fn place(&self, at: &str) -> Option<usize> {
        let at = DateTime::parse_from_rfc3339(at).ok()?.timestamp();
        let number = usize::try_from((at - self.from).div_euclid(self.step)).ok()?;
        (number < self.count).then_some(number)
    }

    fn dates(&self) -> Vec<String> {
        let date = |number: i64| DateTime::from_timestamp(self.from + number * self.step, 0).map(rfc3339);
        (0..self.count as i64).filter_map(date).collect()
    }

    fn zeros(&self) -> Vec<u64> {
        vec![0; self.count]
    }

    fn counts(&self) -> Counts {
        let [opened, healed, recovered, failed, other] = std::array::from_fn(|_| self.zeros());
        Counts { opened, healed, recovered, failed, other }
    }
}

impl Counts {
    fn ended(&mut self, result: &str) -> &mut Vec<u64> {
        match result {
            "healed" => &mut self.healed,
            "recovered" => &mut self.recovered,
            "exhausted" | "refused" | "alert_only" => &mut self.failed,
            _ => &mut self.other,
        }
    }
}

fn counted(axis: Axis, incidents: &[trends::IncidentMark], jobs: &[trends::JobMark]) -> Series {
    let (mut total, mut classes) = (axis.counts(), BTreeMap::<String, Counts>::new());
    for (class, result, opened, ended) in incidents {
        let opened = axis.place(opened);
        let ended = ended.as_ref().and_then(|at| axis.place(at)).zip(result.as_ref());
        if opened.is_none() && ended.is_none() {
            continue;
        }
        let of = classes.entry(class.clone()).or_insert_with(|| axis.counts());
        for counts in [&mut total, of] {
            if let Some(place) = opened {
                counts.opened[place] += 1;
            }
            if let Some((place, result)) = ended {
                counts.ended(result)[place] += 1;
            }
        }
    }
    let mut downloads = Downloads { completed: axis.zeros(), failed: axis.zeros(), bytes: axis.zeros() };
    for (state, ended, bytes) in jobs {
        match (state.as_str(), axis.place(ended)) {
            ("completed", Some(place)) => {
                downloads.completed[place] += 1;
                downloads.bytes[place] = downloads.bytes[place].saturating_add(*bytes);
            }
            ("failed", Some(place)) => downloads.failed[place] += 1,
            _ => {}
        }
    }
    let bucket_s = u32::try_from(axis.step).unwrap_or(BUCKET_MAX);
    Series { bucket_s, at: axis.dates(), total, classes, downloads }
}

/// Incidents by class and downloads, over time: opened and how they ended, in buckets.
#[utoipa::path(get, path = "/stats/series", tag = "system", params(SeriesQuery),
    responses((status = 200, body = Series), (status = 400, body = Problem)))]
async fn series(
    State(system): State<System>,
    _: Viewer,
    Query(query): Query<SeriesQuery>,
) -> Result<Json<Series>, Problem> {
    let hours = hours_of(query.hours)?;
    let now = Utc::now();
    let axis = Axis::of(hours, query.bucket, now)?;
    let since = Id::first_at(now - TimeDelta::hours(i64::from(hours)) - BEGAN_BEFORE).to_string();
    let read = system.0.look.read(move |db| Ok((trends::incidents(db, &since)?, trends::jobs(db, &since)?)));
    let (incidents, jobs) = read.await?;
    Ok(Json(counted(axis, &incidents, &jobs)))
}

fn shown(name: String, samples: &[Sample], step: i64) -> DiskSeries {
    let heading = trend::heading(samples);
    // The last of each stretch, so that the newest is always there.
    let kept = samples.iter().zip(samples.iter().skip(1).map(Some).chain([None]));
    let kept = kept.filter(|(sample, next)| next.is_none_or(|next| next.at / step != sample.at / step));
    let point =
        |sample: &Sample| Some(Point { at: rfc3339(DateTime::from_timestamp(sample.at, 0)?), free_bytes: sample.free });
    DiskSeries {
        name,
        total_bytes: samples.last().map_or(0, |sample| sample.total),
        points: kept.filter_map(|(sample, _)| point(sample)).collect(),
        change_bytes_per_hour: heading.per_hour,
        full_at: heading.full_at.map(rfc3339),
    }
}

/// Free bytes over time at each root and the state directory, and when each will be full.
#[utoipa::path(get, path = "/stats/disks", tag = "system", params(DisksQuery),
    responses((status = 200, body = [DiskSeries]), (status = 400, body = Problem)))]
async fn disks(
    State(system): State<System>,
    _: Viewer,
    Query(query): Query<DisksQuery>,
) -> Result<Json<Vec<DiskSeries>>, Problem> {
    let hours = i64::from(hours_of(query.hours)?);
    let since = Utc::now().timestamp() - hours * 3_600;
    let samples = system.0.look.read(move |db| trends::samples(db, since)).await?;
    let mut by_name: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for (name, sample) in samples {
        by_name.entry(name).or_default().push(sample);
    }
    let step = (hours * 3_600 / POINTS).max(1);
    // A root that is configured no longer is no disk of ours.
    let places = system.parts().places.iter();
    let known = places.filter_map(|place| Some((place.name.clone(), by_name.remove(&place.name)?)));
    Ok(Json(known.map(|(name, samples)| shown(name, &samples, step)).collect()))
}

impl System {
    /// Takes a sample of the free bytes every five minutes, the first at once, until `stop`.
    pub async fn sample(self, stop: CancellationToken) {
        loop {
            let at = Utc::now().timestamp();
            let disks = self.0.disks.list().await;
            let samples: Vec<(String, Sample)> = disks
                .into_iter()
                .filter_map(|disk| {
                    let (free, total) = (disk.free_bytes?, disk.total_bytes?);
                    Some((disk.name, Sample { at, free, total }))
                })
                .collect();
            if let Err(error) = self.parts().ledger.write(move |tx| trends::sample(tx, &samples)).await {
                tracing::debug!("{error}");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SAMPLE_EVERY) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f6_incidents_and_downloads_fall_into_their_buckets() {
        let now: DateTime<Utc> = "2026-11-22T12:30:00Z".parse().unwrap();
        let axis = Axis::of(24, None, now).unwrap();
        assert_eq!((axis.count, axis.dates()[0].as_str()), (25, "2026-11-21T12:00:00.000Z"));
        let mark = |class: &str, result: Option<&str>, opened: &str, ended: Option<&str>| {
            (class.to_owned(), result.map(str::to_owned), opened.to_owned(), ended.map(str::to_owned))
        };
        let incidents = [
            mark("timeout", Some("healed"), "2026-11-22T11:59:59.999Z", Some("2026-11-22T12:00:00.000Z")),
            mark("timeout", None, "2026-11-22T12:29:00.000Z", None),
            mark("corrupt", Some("exhausted"), "2026-11-20T00:00:00.000Z", Some("2026-11-21T12:00:00.000Z")),
            mark("auth", Some("alert_only"), "2026-11-01T00:00:00.000Z", Some("2026-11-01T00:00:01.000Z")),
        ];
        let jobs = [("completed".to_owned(), "2026-11-22T12:00:00.000Z".to_owned(), 7)];
        let series = counted(axis, &incidents, &jobs);
        assert_eq!((series.total.opened[23], series.total.opened[24], series.total.healed[24]), (1, 1, 1));
        assert_eq!((series.total.failed[0], series.classes["corrupt"].failed[0]), (1, 1));
        assert_eq!(series.classes.keys().collect::<Vec<_>>(), ["corrupt", "timeout"]);
        assert_eq!((series.downloads.completed[24], series.downloads.bytes[24]), (1, 7));
        assert!(Axis::of(744, Some(300), now).is_err() && Axis::of(1, Some(1), now).is_err());
    }

    #[test]
    fn f6_a_disks_points_are_few_and_end_with_the_newest() {
        let sample = |number: i64| Sample { at: 1_795_000_000 + number * 300, free: 5, total: 9 };
        let samples: Vec<Sample> = (0..2_016).map(sample).collect();
        let disk = shown("models".into(), &samples, 168 * 3_600 / POINTS);
        assert!((288..=290).contains(&disk.points.len()), "{}", disk.points.len());
        assert_eq!(disk.points.last().unwrap().at, rfc3339(DateTime::from_timestamp(samples[2_015].at, 0).unwrap()));
    }
}
