//! `jobs`: downloads, to look at, to register and to fetch again.

use axum::Json;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Identity, Operator, Viewer};
use super::incidents::{IncidentShown, shown as incident_shown};
use super::input::Input;
use super::page::{MAX_LIMIT, Page, PageQuery};
use super::problem::Problem;
use crate::correlate::{Job, JobState};
use crate::engine::order::{NewJob, Order, OrderError};
use crate::engine::run::Orders;
use crate::ledger::Ledger;
use crate::ledger::jobs::{self, Filter};
use crate::ledger::store;
use crate::vocab::{Id, redact, shorten};

/// The longest path, address or identifier that is taken, in bytes: the longest path Linux takes.
const FIELD_MAX: usize = 4096;

/// The longest name that is taken, in bytes.
const NAME_MAX: usize = 400;

/// How much of a text is shown, in characters.
const SHOWN: usize = 4096;

/// What these routes, and those of incidents, work with.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) ledger: Ledger,
    pub(super) orders: Orders,
    pub(super) identity: Identity,
}

impl FromRef<Desk> for Identity {
    fn from_ref(desk: &Desk) -> Self {
        desk.identity.clone()
    }
}

/// Which jobs.
#[derive(Default, Deserialize, IntoParams)]
pub struct JobQuery {
    /// Only in this state: `queued`, `processing`, `completed`, `failed`.
    #[param(pattern = "^(queued|processing|completed|failed)$")]
    state: Option<String>,
    /// Only of this log source (or root, for files that no log names).
    source: Option<String>,
    /// Only those first heard of at or after this moment, RFC 3339.
    since: Option<DateTime<Utc>>,
}

/// A download as it stands now. What is not known is `null`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JobShown {
    /// Its identifier.
    pub id: String,
    /// Its name for people: as the bot calls it, else its file's name.
    pub name: Option<String>,
    /// `queued`, `processing`, `completed`, `failed`.
    #[schema(example = "processing")]
    pub state: &'static str,
    /// Who told of it first: `log`, `file`, `api`.
    pub origin: crate::correlate::Origin,
    /// The log source that speaks of it (or the root its file is in).
    pub source: String,
    /// Where it is saved.
    pub path: Option<String>,
    /// Where it comes from.
    pub url: Option<String>,
    /// Telegram's identifier of the file.
    pub file_id: Option<String>,
    /// 0 to 100; never goes back within an attempt.
    pub percent: Option<f64>,
    /// Bytes that are there.
    pub bytes: Option<u64>,
    /// Bytes in all.
    pub total: Option<u64>,
    /// Bytes per second.
    pub rate: Option<u64>,
    /// Seconds left.
    pub eta_s: Option<u64>,
    /// The latest sentence about it.
    pub message: Option<String>,
    /// 1 for the first.
    pub attempt: u32,
    /// No byte came since then, for longer than a download of its size may stand still.
    pub stalled_since: Option<DateTime<Utc>>,
    /// First heard of.
    pub created_at: DateTime<Utc>,
    /// Last heard of.
    pub updated_at: DateTime<Utc>,
    /// When it was completed or failed.
    pub ended_at: Option<DateTime<Utc>>,
    /// Where a WebSocket follows it.
    #[schema(example = "/api/v1/ws?job=01K0000000000000000000000A")]
    pub ws_url: String,
}

/// A download with what went wrong and what was done about it.
#[derive(Serialize, ToSchema)]
pub struct JobStory {
    /// The download.
    #[serde(flatten)]
    pub job: JobShown,
    /// Its incidents with their repairs, newest first.
    pub incidents: Vec<IncidentShown>,
}

/// How many downloads there are.
#[derive(Serialize, ToSchema)]
pub struct JobStats {
    /// All that are remembered.
    pub total: u64,
    /// By state.
    pub by_state: std::collections::BTreeMap<String, u64>,
    /// Under way, and standing still.
    pub stalled: u64,
    /// Bytes of the completed ones, as far as they are known.
    pub completed_bytes: u64,
    /// Completed ones of those that ended, 0 to 1; `null` before the first ended.
    pub success_ratio: Option<f64>,
}

/// A download to register: at least one of `name`, `path`, `url`, `file_id`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobOrder {
    /// Its name for people; also how the bot's log calls it.
    name: Option<String>,
    /// Where it will be saved. Only paths in a root are ever repaired.
    path: Option<String>,
    /// Where it comes from.
    url: Option<String>,
    /// Telegram's identifier of the file.
    file_id: Option<String>,
    /// Its exact size in bytes.
    size: Option<u64>,
    /// The log source that will speak of it.
    source: Option<String>,
}

/// What an order led to.
#[derive(Serialize, ToSchema)]
pub struct Ordered {
    /// The incident or job.
    pub id: String,
    /// Where a WebSocket follows the job, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ws_url: Option<String>,
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let detail = error.to_string();
        match error {
            OrderError::Missing(_) => Self::missing("not_found", detail),
            OrderError::Conflict(_) | OrderError::Changed => Self::conflict("not_in_this_state", detail),
            OrderError::Stopped => Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail),
        }
    }
}

/// `jobs/…`.
pub fn router<S>(ledger: Ledger, orders: Orders, identity: Identity) -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(list, register))
        .routes(routes!(active))
        .routes(routes!(stats))
        .routes(routes!(one))
        .routes(routes!(status))
        .routes(routes!(retry))
        .with_state(Desk { ledger, orders, identity })
}

/// A job for people, from the engine's own; also what the hub tells of it.
#[must_use]
pub fn shown(job: &Job) -> JobShown {
    let text = |text: &Option<String>| text.as_deref().map(|text| shorten(&redact(text), SHOWN).into_owned());
    let base = job.facts.wanted().and_then(|path| path.rsplit(['/', '\\']).next()).map(str::to_owned);
    let progress = &job.progress;
    JobShown {
        id: job.id.to_string(),
        name: text(&job.name.clone().or(base)),
        state: job.state.as_str(),
        origin: job.origin,
        source: job.source.clone(),
        path: text(&job.facts.wanted().map(str::to_owned)),
        url: text(&job.facts.url),
        file_id: text(&job.facts.file_id),
        percent: progress.percent,
        bytes: progress.bytes,
        total: progress.total.or(job.facts.size),
        rate: progress.rate,
        eta_s: progress.eta_s,
        message: text(&job.message),
        attempt: job.attempt,
        stalled_since: job.stalled_since,
        created_at: job.created_at,
        updated_at: job.updated_at,
        ended_at: job.ended_at,
        ws_url: ws_url(job.id),
    }
}

fn ws_url(id: Id) -> String {
    format!("/api/v1/ws?job={id}")
}

/// Reads stored rows; one of another version that cannot be read is passed over, the agent says so at its start.
pub(super) fn parsed<T: serde::de::DeserializeOwned>(rows: &[String]) -> Vec<T> {
    rows.iter().filter_map(|json| serde_json::from_str(json).ok()).collect()
}

/// An identifier as a path segment has it.
pub(super) fn id_of(text: &str, code: &'static str) -> Result<Id, Problem> {
    Id::parse(text)
        .ok_or_else(|| Problem::missing(code, "there is no such thing: an identifier has 26 letters and digits"))
}

/// What the page says of its place, checked.
pub(super) fn place(page: &PageQuery, since: Option<DateTime<Utc>>) -> Result<(u32, Filter), Problem> {
    let (limit, before) = page.read()?;
    let since = since.map(|at| Id::first_at(at).to_string());
    Ok((limit, Filter { before, since, ..Filter::default() }))
}

fn states(word: Option<&String>) -> Result<Vec<String>, Problem> {
    let known = [JobState::Queued, JobState::Processing, JobState::Completed, JobState::Failed].map(JobState::as_str);
    match word {
        None => Ok(Vec::new()),
        Some(word) if known.contains(&word.as_str()) => Ok(vec![word.clone()]),
        Some(_) => Err(Problem::bad("bad_state", format!("write one of {}", known.join(", ")))),
    }
}

/// Downloads, newest first.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(PageQuery, JobQuery),
    responses((status = 200, body = Page<JobShown>), (status = 400, body = Problem)))]
async fn list(
    State(desk): State<Desk>,
    _: Viewer,
    Query(page): Query<PageQuery>,
    Query(of): Query<JobQuery>,
) -> Result<Json<Page<JobShown>>, Problem> {
    let (limit, filter) = place(&page, of.since)?;
    let filter = Filter { state: states(of.state.as_ref())?, source: of.source, ..filter };
    let rows = desk.ledger.read(|db| jobs::jobs(db, &filter, limit + 1))?;
    let found = parsed::<Job>(&rows).iter().map(shown).collect();
    Ok(Json(Page::of(found, limit, |job: &JobShown| job.id.clone())))
}

/// Downloads that are queued or under way, the latest 200.
#[utoipa::path(get, path = "/jobs/active", tag = "jobs", responses((status = 200, body = [JobShown])))]
async fn active(State(desk): State<Desk>, _: Viewer) -> Result<Json<Vec<JobShown>>, Problem> {
    let state = [JobState::Queued, JobState::Processing].map(|state| state.as_str().to_owned()).to_vec();
    let filter = Filter { state, ..Filter::default() };
    let rows = desk.ledger.read(|db| jobs::jobs(db, &filter, MAX_LIMIT))?;
    Ok(Json(parsed::<Job>(&rows).iter().map(shown).collect()))
}

/// How many downloads there are, and how they went.
#[utoipa::path(get, path = "/jobs/stats", tag = "jobs", responses((status = 200, body = JobStats)))]
async fn stats(State(desk): State<Desk>, _: Viewer) -> Result<Json<JobStats>, Problem> {
    let counts = desk.ledger.read(jobs::counts)?;
    let by_state: std::collections::BTreeMap<_, _> = counts.by_state.into_iter().collect();
    let of = |state: JobState| by_state.get(state.as_str()).copied().unwrap_or(0);
    let (done, failed) = (of(JobState::Completed), of(JobState::Failed));
    let success_ratio = (done + failed > 0).then(|| done as f64 / (done + failed) as f64);
    let total = by_state.values().sum();
    Ok(Json(JobStats { total, by_state, stalled: counts.stalled, completed_bytes: counts.bytes, success_ratio }))
}

fn find(desk: &Desk, id: &str) -> Result<Job, Problem> {
    let missing = || Problem::missing("job_not_found", "there is no such download (any more)");
    let id = id_of(id, "job_not_found")?.to_string();
    let json = desk.ledger.read(|db| store::row(db, "job", &id))?.ok_or_else(missing)?;
    serde_json::from_str(&json).map_err(|error| Problem::internal(&error))
}

/// One download with its incidents and repairs.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "The download.")),
    responses((status = 200, body = JobStory), (status = 404, body = Problem)))]
async fn one(State(desk): State<Desk>, _: Viewer, Path(id): Path<String>) -> Result<Json<JobStory>, Problem> {
    let job = find(&desk, &id)?;
    let filter = Filter { job: Some(job.id.to_string()), ..Filter::default() };
    let rows = desk.ledger.read(|db| jobs::incidents(db, &filter, MAX_LIMIT))?;
    let incidents = parsed(&rows).iter().map(incident_shown).collect();
    Ok(Json(JobStory { job: shown(&job), incidents }))
}

/// How far one download is.
#[utoipa::path(get, path = "/jobs/{id}/status", tag = "jobs", params(("id" = String, Path, description = "The download.")),
    responses((status = 200, body = JobShown), (status = 404, body = Problem)))]
async fn status(State(desk): State<Desk>, _: Viewer, Path(id): Path<String>) -> Result<Json<JobShown>, Problem> {
    find(&desk, &id).map(|job| Json(shown(&job)))
}

/// Registers a download. One that is known already, and under way, is answered with its identifier.
#[utoipa::path(post, path = "/jobs", tag = "jobs", request_body = JobOrder,
    responses((status = 201, body = Ordered), (status = 400, body = Problem), (status = 409, body = Problem)))]
async fn register(
    State(desk): State<Desk>,
    _: Operator,
    Input(order): Input<JobOrder>,
) -> Result<(StatusCode, Json<Ordered>), Problem> {
    let new = NewJob {
        name: field("name", order.name, NAME_MAX)?,
        path: field("path", order.path, FIELD_MAX)?,
        url: field("url", order.url, FIELD_MAX)?,
        file_id: field("file_id", order.file_id, NAME_MAX)?,
        size: order.size,
        source: field("source", order.source, NAME_MAX)?,
    };
    if new.name.is_none() && new.path.is_none() && new.url.is_none() && new.file_id.is_none() {
        return Err(Problem::bad("empty_job", "a download needs a name, path, url or file_id"));
    }
    let id = desk.orders.give(Order::RegisterJob(Box::new(new))).await?;
    Ok((StatusCode::CREATED, Json(Ordered { id: id.to_string(), ws_url: Some(ws_url(id)) })))
}

fn field(name: &str, value: Option<String>, most: usize) -> Result<Option<String>, Problem> {
    let Some(value) = value else { return Ok(None) };
    if value.is_empty() || value.len() > most || value.chars().any(char::is_control) {
        let detail = format!("`{name}` must have 1 to {most} bytes and no control characters");
        return Err(Problem::bad("bad_field", detail));
    }
    Ok(Some(value))
}

/// Fetches a download again, after a look whether its file is whole. Answers with the incident that does it.
#[utoipa::path(post, path = "/jobs/{id}/retry", tag = "jobs", params(("id" = String, Path, description = "The download.")),
    responses((status = 202, body = Ordered), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn retry(
    State(desk): State<Desk>,
    Operator(who): Operator,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Ordered>), Problem> {
    let job = id_of(&id, "job_not_found")?;
    let incident = desk.orders.give(Order::RetryJob { job, by: who.account }).await?;
    Ok((StatusCode::ACCEPTED, Json(Ordered { id: incident.to_string(), ws_url: Some(ws_url(job)) })))
}
