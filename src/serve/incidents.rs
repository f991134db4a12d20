//! `incidents`: what went wrong, and what people decide about it. The whole story of each: `story.rs`.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Identity, Operator, Viewer};
use super::input::Input;
use super::jobs::{Desk, Ordered, id_of, parsed, place};
use super::page::{Page, PageQuery};
use super::problem::Problem;
use crate::engine::order::Order;
use crate::engine::run::Orders;
use crate::engine::{Case, Phase};
use crate::ledger::Ledger;
use crate::ledger::jobs::{self, Filter};
use crate::vocab::{Class, Id, OutcomeResult, redact, shorten};

/// How much of a text is shown, in characters.
const SHOWN: usize = 4096;

/// The longest a subject is silenced by one word.
const SILENCE_MAX: TimeDelta = TimeDelta::days(366);

/// The longest reason, in bytes.
const REASON_MAX: usize = 400;

/// Which incidents.
#[derive(Default, Deserialize, IntoParams)]
pub struct IncidentQuery {
    /// Only of this class.
    class: Option<String>,
    /// Only in this state: `open` (all that are not over), `unhealed` (over, and a person was needed), `working`, `held`, or a result such as `healed`.
    state: Option<String>,
    /// Only of this log source.
    source: Option<String>,
    /// Only about this file, job, server or source, by its whole name.
    subject: Option<String>,
    /// Only those opened at or after this moment, RFC 3339.
    since: Option<DateTime<Utc>>,
}

/// An incident as it stands now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IncidentShown {
    /// Its identifier.
    pub id: String,
    /// What went wrong.
    #[schema(value_type = String, example = "corrupt")]
    pub class: Class,
    /// About what: kind and value.
    #[schema(value_type = Object)]
    pub subject: crate::vocab::Subject,
    /// The log source of its first line.
    pub source: String,
    /// The rule that opened it.
    pub rule: String,
    /// How bad.
    #[schema(value_type = String)]
    pub severity: crate::vocab::Severity,
    /// `working`, `held`, or how it ended.
    pub state: String,
    /// What it is held on: `approval`, `server`, `space`, `upstream`, `bot`.
    pub held_on: Option<String>,
    /// The download.
    pub job: Option<String>,
    /// The first line, secrets left out.
    pub text: String,
    /// How many events.
    pub count: u64,
    /// The latest sentence about it.
    pub detail: String,
    /// What would help.
    pub remedy: Option<String>,
    /// What was done, oldest first.
    #[schema(value_type = Vec<Object>)]
    pub steps: Vec<crate::vocab::StepTold>,
    /// When something is done next.
    pub due: Option<DateTime<Utc>>,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// Date of the latest line.
    pub last_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who has seen it, and when.
    #[schema(value_type = Option<Object>)]
    pub acknowledged: Option<crate::engine::By>,
    /// What people ordered about it, oldest first: order, who, when, why.
    #[schema(value_type = Vec<Object>)]
    pub orders: Vec<crate::engine::Ordered>,
}

/// For how long nobody is told, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SilenceOrder {
    /// Seconds from now, up to a year.
    #[schema(minimum = 1, maximum = 31_622_400)]
    seconds: u32,
    /// Why.
    #[serde(default)]
    reason: String,
}

/// `incidents/…`.
pub fn router<S>(ledger: Ledger, orders: Orders, identity: Identity) -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(retry))
        .routes(routes!(acknowledge))
        .routes(routes!(silence))
        .routes(routes!(approve))
        .routes(routes!(reject))
        .with_state(Desk { ledger, orders, identity })
}

/// An incident for people; also what the hub tells of it.
#[must_use]
pub fn shown(case: &Case) -> IncidentShown {
    let incident = &case.incident;
    let text = |text: &str| shorten(&redact(text), SHOWN).into_owned();
    let held_on = case.held_on().map(|on| on.split(' ').next().unwrap_or_default().to_owned());
    let state = match (&case.phase, case.result) {
        (_, Some(result)) => result.to_string(),
        (Phase::Held { .. }, None) => "held".to_owned(),
        _ => "working".to_owned(),
    };
    IncidentShown {
        id: incident.id.to_string(),
        class: incident.class,
        subject: incident.subject.clone(),
        source: incident.source.clone(),
        rule: incident.rule.clone(),
        severity: incident.severity,
        state,
        held_on,
        job: incident.job.map(|job| job.to_string()),
        text: text(&incident.text),
        count: incident.count,
        detail: text(&case.detail),
        remedy: case.remedy.as_deref().map(text),
        steps: case.told.clone(),
        due: case.due,
        opened_at: incident.opened_at,
        last_at: incident.last_at,
        ended_at: case.ended_at,
        acknowledged: case.acknowledged.clone(),
        orders: case.orders.clone(),
    }
}

/// Incidents, newest first.
#[utoipa::path(get, path = "/incidents", tag = "incidents", params(PageQuery, IncidentQuery),
    responses((status = 200, body = Page<IncidentShown>), (status = 400, body = Problem)))]
async fn list(
    State(desk): State<Desk>,
    _: Viewer,
    Query(page): Query<PageQuery>,
    Query(of): Query<IncidentQuery>,
) -> Result<Json<Page<IncidentShown>>, Problem> {
    let (limit, filter) = place(&page, of.since)?;
    if let Some(class) = &of.class {
        class.parse::<Class>().map_err(|error| Problem::bad("bad_class", error.to_string()))?;
    }
    let state = match of.state {
        None => Vec::new(),
        Some(word) if word == "open" => vec!["working".to_owned(), "held".to_owned()],
        Some(word) if word == "unhealed" => {
            [OutcomeResult::Exhausted, OutcomeResult::Refused, OutcomeResult::AlertOnly]
                .map(|one| one.to_string())
                .into()
        }
        Some(word) => vec![word],
    };
    let filter = Filter { state, class: of.class, source: of.source, subject: of.subject, ..filter };
    let rows = desk.ledger.read(|db| jobs::incidents(db, &filter, limit + 1))?;
    let found = parsed::<Case>(&rows).iter().map(shown).collect();
    Ok(Json(Page::of(found, limit, |incident: &IncidentShown| incident.id.clone())))
}

type Answer = Result<(StatusCode, Json<Ordered>), Problem>;

async fn give(desk: &Desk, id: &str, order: impl FnOnce(Id) -> Order) -> Answer {
    let incident = id_of(id, "incident_not_found")?;
    let id = desk.orders.give(order(incident)).await?;
    Ok((StatusCode::ACCEPTED, Json(Ordered { id: id.to_string(), ws_url: None })))
}

/// Works on an incident that ended or waits again, with fresh attempts.
#[utoipa::path(post, path = "/incidents/{id}/retry", tag = "incidents", params(("id" = String, Path, description = "The incident.")),
    responses((status = 202, body = Ordered), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn retry(State(desk): State<Desk>, Operator(who): Operator, Path(id): Path<String>) -> Answer {
    give(&desk, &id, |incident| Order::Retry { incident, by: who.account }).await
}

/// Says that somebody has seen it.
#[utoipa::path(post, path = "/incidents/{id}/acknowledge", tag = "incidents", params(("id" = String, Path, description = "The incident.")),
    responses((status = 202, body = Ordered), (status = 404, body = Problem)))]
async fn acknowledge(State(desk): State<Desk>, Operator(who): Operator, Path(id): Path<String>) -> Answer {
    give(&desk, &id, |incident| Order::Acknowledge { incident, by: who.account }).await
}

/// Tells nobody of this class and subject for a while. Healing goes on.
#[utoipa::path(post, path = "/incidents/{id}/silence", tag = "incidents", request_body = SilenceOrder,
    params(("id" = String, Path, description = "The incident.")),
    responses((status = 202, body = Ordered), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn silence(
    State(desk): State<Desk>,
    Operator(who): Operator,
    Path(id): Path<String>,
    Input(order): Input<SilenceOrder>,
) -> Answer {
    let long = TimeDelta::seconds(i64::from(order.seconds));
    if order.seconds == 0 || long > SILENCE_MAX {
        return Err(Problem::bad("bad_seconds", "write 1 to 31622400 seconds (a year)"));
    }
    if order.reason.len() > REASON_MAX {
        return Err(Problem::bad("bad_reason", format!("the reason may have {REASON_MAX} bytes")));
    }
    let until = Utc::now() + long;
    give(&desk, &id, |incident| Order::Silence { incident, by: who.account, reason: order.reason, until }).await
}

/// Lets the repair that waits for approval begin.
#[utoipa::path(post, path = "/incidents/{id}/approve", tag = "incidents", params(("id" = String, Path, description = "The incident.")),
    responses((status = 202, body = Ordered), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn approve(State(desk): State<Desk>, Operator(who): Operator, Path(id): Path<String>) -> Answer {
    give(&desk, &id, |incident| Order::Approve { incident, by: who.account }).await
}

/// Ends an incident whose repair waits for approval; nothing is repaired.
#[utoipa::path(post, path = "/incidents/{id}/reject", tag = "incidents", params(("id" = String, Path, description = "The incident.")),
    responses((status = 202, body = Ordered), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn reject(State(desk): State<Desk>, Operator(who): Operator, Path(id): Path<String>) -> Answer {
    give(&desk, &id, |incident| Order::Reject { incident, by: who.account }).await
}
