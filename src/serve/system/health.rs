//! `system/health`: whether everything works, and if not, what and what helps.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Disk, Source, System};
use crate::ledger::probes::{self as counts, Counted};
use crate::probe::judge::Standing;
use crate::publish::vitals::{BotNow, BotState, Usage};
use crate::serve::auth::Viewer;
use crate::vocab::{clean_line, rfc3339};

/// The loop turns at least every five seconds; later than this something holds it up.
const LOOP_SLOW_MS: u64 = 15_000;

/// Later than this it does not come back by itself.
pub(in crate::serve) const LOOP_DEAD_MS: u64 = 60_000;

/// A notice that waits so long does not reach people.
const UNDELIVERED: TimeDelta = TimeDelta::minutes(10);

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Works.
    Ok,
    /// Works in part.
    Degraded,
    /// Does not.
    Down,
}

/// Something that is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Part {
    /// Which: `engine`, `ledger`, `records`, `disk`, `bot`, `notifications`, `probes`.
    pub part: &'static str,
    /// How bad.
    pub status: Status,
    /// What is wrong.
    pub detail: String,
    /// What helps.
    pub remedy: Option<String>,
}

/// A process and what it uses.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ProcessHealth {
    /// Its number.
    pub pid: u32,
    /// Share of one processor since the last look, in percent.
    pub cpu_percent: f64,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
}

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Health {
    /// The worst of `reasons`, `ok` without any.
    pub status: Status,
    /// What is not well.
    pub reasons: Vec<Part>,
    /// The running version.
    pub version: &'static str,
    /// When logmedic began, RFC 3339.
    pub started_at: String,
    /// For how long it runs, in seconds.
    pub uptime_s: u64,
    /// logmedic's own process.
    pub agent: Option<ProcessHealth>,
    /// How long ago the engine's loop turned last, in milliseconds.
    pub loop_age_ms: u64,
    /// Whether logmedic runs the bot.
    pub runs_bot: bool,
    /// The bot's process, where logmedic runs it and it runs.
    pub bot: Option<BotProcess>,
    /// What the bot does, where logmedic runs it.
    pub bot_state: Option<BotHealth>,
    /// The log sources and how far they are read.
    pub sources: Vec<SourceHealth>,
    /// Size of the state database in bytes.
    pub ledger_bytes: u64,
    /// Size of the file of error records in bytes; `null`: there is none yet.
    pub records_bytes: Option<u64>,
    /// Room at the roots and the state directory.
    pub disks: Vec<Disk>,
    /// Notices that wait for delivery.
    pub undelivered: u64,
    /// Since when the oldest of them waits, RFC 3339.
    pub undelivered_since: Option<String>,
    /// Incidents that are not over.
    pub open_incidents: u64,
    /// How many probes are `up`, `down` and `unknown`.
    pub probes: ProbeCounts,
}

/// The bot's process.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BotProcess {
    /// What it uses.
    #[serde(flatten)]
    pub process: ProcessHealth,
    /// What it does.
    #[serde(flatten)]
    pub bot: Option<BotHealth>,
}

/// What the bot does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BotHealth {
    /// `running`, `ended`, `waiting` (for its next start), `down` (it stays down).
    pub state: &'static str,
    /// Since when, RFC 3339.
    pub since: String,
    /// How often it was started again since logmedic began.
    pub restarts: u32,
    /// How it ended last: `exit code 1`.
    pub last_end: Option<String>,
}

/// A log source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceHealth {
    /// Its name.
    pub name: String,
    /// `file`, `journal`, `stdin`.
    pub kind: &'static str,
    /// The path or unit as configured.
    pub place: String,
    /// Bytes that are there and not worked off yet, in all of its files.
    pub lag_bytes: u64,
    /// The files that are followed now, 100 at most. A file that was not there yet has none.
    pub files: Vec<FileHealth>,
}

/// A file that is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileHealth {
    /// Its path.
    pub path: String,
    /// Its size in bytes; `null`: it is gone, or not to be seen.
    pub size_bytes: Option<u64>,
    /// Everything before this byte was worked off.
    pub offset: u64,
    /// Bytes that are there and not worked off yet.
    pub lag_bytes: Option<u64>,
}

/// How many probes stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProbeCounts {
    /// Well.
    pub up: u32,
    /// Not.
    pub down: u32,
    /// Not known yet.
    pub unknown: u32,
    /// Not looked at for far too long.
    pub overdue: u32,
}

pub(super) fn router() -> OpenApiRouter<System> {
    OpenApiRouter::new().routes(routes!(health))
}

/// Whether everything works, and what does not.
#[utoipa::path(get, path = "/system/health", tag = "system", responses((status = 200, body = Health)))]
async fn health(State(system): State<System>, _: Viewer) -> Json<Health> {
    Json(system.health().await)
}

impl From<BotNow> for BotHealth {
    fn from(BotNow { state, since, restarts, last_end }: BotNow) -> Self {
        let state = match state {
            BotState::Running => "running",
            BotState::Ended => "ended",
            BotState::Waiting => "waiting",
            BotState::Down => "down",
        };
        Self { state, since: rfc3339(since), restarts, last_end }
    }
}

impl From<Usage> for ProcessHealth {
    fn from(Usage { pid, cpu_percent, memory_bytes }: Usage) -> Self {
        Self { pid, cpu_percent, memory_bytes }
    }
}

/// What the ledger tells.
type Kept = (Vec<Counted>, (u64, Option<String>), u64, Vec<(String, FileHealth)>);

/// Files of a source that are shown.
const FILES_MAX: usize = 100;

/// A file that is followed, as it is on the disk now.
fn file_of(tail: counts::Tail) -> (String, FileHealth) {
    let size_bytes = std::fs::metadata(&tail.path).ok().map(|meta| meta.len());
    let path = clean_line(&tail.path.to_string_lossy()).into_owned();
    let lag_bytes = size_bytes.map(|size| size.saturating_sub(tail.offset));
    (tail.source, FileHealth { path, size_bytes, offset: tail.offset, lag_bytes })
}

impl System {
    /// Looks at everything.
    pub async fn health(&self) -> Health {
        let now = Utc::now();
        let parts = self.parts();
        let disks = self.0.disks.list().await;
        let told_from = parts.told_from;
        let kept = self.0.look.read(move |db| {
            let dead =
                db.query_row("SELECT count(*) FROM telegram_chat WHERE active AND dead IS NOT NULL", [], |row| {
                    row.get::<_, i64>(0)
                })?;
            let waiting = told_from.map_or(Ok((0, None)), |least| counts::backlog(db, least))?;
            let files = counts::tails(db)?.into_iter().map(file_of).collect();
            Ok((counts::open_incidents(db)?, waiting, dead.unsigned_abs(), files))
        });
        let kept = kept.await;
        let (agent, bot) = parts.vitals.usage();
        let loop_age_ms = u64::try_from(parts.vitals.loop_age().as_millis()).unwrap_or(u64::MAX);
        let size = |path: &std::path::Path| std::fs::metadata(path).ok().map(|meta| meta.len());
        let probes = self.probe_counts(now);
        let bot_state: Option<BotHealth> = parts.vitals.bot_now().filter(|_| parts.runs_bot).map(Into::into);

        let mut reasons = Vec::new();
        reasons.extend(of_loop(loop_age_ms));
        let (open, (undelivered, since), dead, files) = match kept {
            Ok(kept) => kept,
            Err(error) => {
                let remedy = Some("make the state directory readable and its disk not full".to_owned());
                reasons.push(Part { part: "ledger", status: Status::Down, detail: error.to_string(), remedy });
                Kept::default()
            }
        };
        reasons.extend(disks.iter().filter_map(of_disk));
        if parts.runs_bot && bot.is_none() {
            let detail = "the bot does not run".to_owned();
            reasons.push(degraded("bot", detail, "look at its last output, then restart it"));
        }
        reasons.extend(of_notices(undelivered, since.as_deref(), dead, now));
        reasons.extend(of_probes(probes));
        Health {
            status: reasons.iter().map(|part| part.status).max().unwrap_or(Status::Ok),
            reasons,
            version: env!("CARGO_PKG_VERSION"),
            started_at: rfc3339(parts.vitals.begun_at()),
            uptime_s: parts.vitals.uptime().as_secs(),
            agent: agent.map(Into::into),
            loop_age_ms,
            runs_bot: parts.runs_bot,
            bot: bot.map(|usage| BotProcess { process: usage.into(), bot: bot_state.clone() }),
            bot_state,
            sources: self.sources(files),
            ledger_bytes: size(parts.ledger.path()).unwrap_or(0),
            records_bytes: size(&parts.records),
            disks,
            undelivered,
            undelivered_since: since,
            open_incidents: open.iter().map(|(_, _, count)| count).sum(),
            probes,
        }
    }

    fn sources(&self, files: Vec<(String, FileHealth)>) -> Vec<SourceHealth> {
        let of = |source: &Source| {
            let mine = files.iter().filter(|(name, _)| *name == source.name).map(|(_, file)| file);
            SourceHealth {
                name: source.name.clone(),
                kind: source.kind,
                place: source.place.clone(),
                lag_bytes: mine.clone().filter_map(|file| file.lag_bytes).sum(),
                files: mine.take(FILES_MAX).cloned().collect(),
            }
        };
        self.parts().sources.iter().map(of).collect()
    }

    fn probe_counts(&self, now: DateTime<Utc>) -> ProbeCounts {
        let mut counts = ProbeCounts::default();
        for shown in self.parts().probes.list() {
            match shown.judged.standing {
                Standing::Up => counts.up += 1,
                Standing::Down => counts.down += 1,
                Standing::Unknown => counts.unknown += 1,
            }
            counts.overdue += u32::from(shown.is_overdue(now));
        }
        counts
    }
}

fn degraded(part: &'static str, detail: String, remedy: &str) -> Part {
    Part { part, status: Status::Degraded, detail, remedy: Some(remedy.to_owned()) }
}

fn of_loop(age_ms: u64) -> Option<Part> {
    let status = match age_ms {
        0..LOOP_SLOW_MS => return None,
        LOOP_SLOW_MS..LOOP_DEAD_MS => Status::Degraded,
        _ => Status::Down,
    };
    let detail = format!("the engine's loop turned last {} s ago", age_ms / 1_000);
    let remedy = Some("look at logmedic's own log; restart it if it stays so".to_owned());
    Some(Part { part: "engine", status, detail, remedy })
}

fn of_disk(disk: &Disk) -> Option<Part> {
    let name = &disk.name;
    match disk.free_bytes {
        None => {
            Some(degraded("disk", format!("{name}: the file system does not answer"), "look whether it is mounted"))
        }
        Some(free) if free < disk.min_free_bytes => {
            let detail = format!("{name}: {free} bytes are free, {} should be", disk.min_free_bytes);
            Some(degraded("disk", detail, "make room, or lower [disk] min_free"))
        }
        Some(_) => None,
    }
}

fn of_notices(undelivered: u64, since: Option<&str>, dead: u64, now: DateTime<Utc>) -> Vec<Part> {
    let mut out = Vec::new();
    let since = since.and_then(|since| DateTime::parse_from_rfc3339(since).ok());
    if since.is_some_and(|since| now - since.with_timezone(&Utc) > UNDELIVERED) {
        let detail = format!("{undelivered} notices wait for delivery, the oldest for more than ten minutes");
        out.push(degraded("notifications", detail, "logmedic check"));
    }
    if dead > 0 {
        let detail = format!("{dead} of the admins' chats cannot be reached");
        out.push(degraded("notifications", detail, "let each admin send /start to the alert bot"));
    }
    out
}

fn of_probes(counts: ProbeCounts) -> Vec<Part> {
    let mut out = Vec::new();
    if counts.down > 0 {
        out.push(degraded("probes", format!("{} probes are down", counts.down), "look at the open incidents"));
    }
    if counts.overdue > 0 {
        let detail = format!("{} probes were not looked at for far too long", counts.overdue);
        out.push(degraded("probes", detail, "restart logmedic and report it"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c10_what_is_wrong_is_said_with_what_helps() {
        assert_eq!(of_loop(5_100), None);
        assert_eq!(of_loop(20_000).map(|part| part.status), Some(Status::Degraded));
        assert_eq!(of_loop(61_000).map(|part| part.status), Some(Status::Down));
        let now = Utc::now();
        assert!(of_notices(3, Some(&rfc3339(now - TimeDelta::minutes(1))), 0, now).is_empty());
        assert_eq!(of_notices(3, Some(&rfc3339(now - TimeDelta::minutes(11))), 1, now).len(), 2);
        assert_eq!(of_probes(ProbeCounts { up: 3, ..ProbeCounts::default() }), []);
        assert_eq!(of_probes(ProbeCounts { down: 1, overdue: 1, ..ProbeCounts::default() }).len(), 2);
    }
}
