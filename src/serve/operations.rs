//! `operations`: what takes time, to look at, to begin, to pause and to end.

use axum::Json;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Identity, Operator, Viewer};
use super::input::Wish;
use super::page::{Page, PageQuery};
use super::problem::Problem;
use crate::operate::state::Refusal;
use crate::operate::test::Count;
use crate::operate::{Kind, Operation, Operations, Priority, Refused, State as Phase};
use crate::vocab::Id;

/// What these routes work with.
#[derive(Clone)]
struct Desk {
    operations: Operations,
    identity: Identity,
}

impl FromRef<Desk> for Identity {
    fn from_ref(desk: &Desk) -> Self {
        desk.identity.clone()
    }
}

impl FromRef<Desk> for Operations {
    fn from_ref(desk: &Desk) -> Self {
        desk.operations.clone()
    }
}

/// Which operations.
#[derive(Deserialize, IntoParams)]
pub struct OperationQuery {
    /// Only in this state: `pending`, `running`, `paused`, `completed`, `failed`, `cancelled`.
    #[param(pattern = "^(pending|running|paused|completed|failed|cancelled)$")]
    state: Option<String>,
    /// Only of this kind: `repair`, `custom`, `library`, `thumbnails`, `integrity`, `backup`, `test`.
    #[param(pattern = "^(repair|custom|library|thumbnails|integrity|backup|test)$")]
    kind: Option<String>,
}

/// A command of the configuration.
#[derive(Serialize, ToSchema)]
pub struct CommandShown {
    /// Its name, for `POST operations/custom/{name}`.
    name: String,
    /// The program; its arguments may hold what is nobody's business.
    program: String,
    /// How urgent it is.
    priority: Priority,
    /// Whether it is begun by itself.
    scheduled: bool,
}

/// What is to be counted, and how urgently.
#[derive(Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TestOrder {
    /// How urgent it is.
    priority: Priority,
    /// How many items, 1 to 100000.
    #[schema(minimum = 1, maximum = 100_000)]
    items: u64,
    /// How long each takes, in milliseconds; all together ten minutes at most.
    #[schema(maximum = 600_000)]
    item_ms: u64,
    /// Every so many fails; 0: none.
    #[schema(maximum = 100_000)]
    fail_every: u32,
    /// Whether it begins again when logmedic stopped in the middle of it.
    resume: bool,
}

impl Default for TestOrder {
    fn default() -> Self {
        let Count { items, item_ms, fail_every, resume } = Count::default();
        Self { priority: Priority::Normal, items, item_ms, fail_every, resume }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::Missing(_) => Self::missing("operation_not_found", detail),
            Refused::Unknown(_) => Self::missing("command_not_found", detail),
            Refused::Busy { id, .. } => Self::conflict("operation_busy", format!("{detail}: operation {id}")),
            Refused::State(Refusal::Over(_)) => Self::conflict("operation_over", detail),
            Refused::State(Refusal::Cancelling) => Self::conflict("operation_cancelling", detail),
            Refused::State(Refusal::Not(_)) => Self::conflict("operation_wrong_state", detail),
            Refused::NotPausable => Self::conflict("operation_not_pausable", detail),
            Refused::Full => Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_operations", detail),
            Refused::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail),
            Refused::Bad(_) => Self::bad("bad_operation", detail),
            Refused::Production => Self::forbidden("refused_in_production", detail),
            Refused::Ledger(error) => Self::internal(&error),
        }
    }
}

/// `operations/…`.
pub fn router<S>(operations: Operations, identity: Identity) -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(active))
        .routes(routes!(commands))
        .routes(routes!(one))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
        .routes(routes!(custom))
        .routes(routes!(test))
        .with_state(Desk { operations, identity })
}

/// Operations, newest first, with their reports.
#[utoipa::path(get, path = "/operations", tag = "operations", params(PageQuery, OperationQuery),
    responses((status = 200, body = Page<Operation>), (status = 400, body = Problem)))]
async fn list(
    State(operations): State<Operations>,
    _: Viewer,
    Query(page): Query<PageQuery>,
    Query(of): Query<OperationQuery>,
) -> Result<Json<Page<Operation>>, Problem> {
    let (limit, place) = page.read()?;
    let bad = |_| Problem::bad("bad_cursor", "the cursor is not one that this server gave out; begin without one");
    let before = place.map(|place| place.parse::<i64>().map_err(bad)).transpose()?;
    let state = of.state.map(|word| word.parse::<Phase>().map_err(|error| Problem::bad("bad_state", error)));
    let kind = of.kind.map(|word| word.parse::<Kind>().map_err(|error| Problem::bad("bad_kind", error)));
    let found = operations.list(state.transpose()?, kind.transpose()?, before, limit + 1)?;
    let Page { items, next_cursor } = Page::of(found, limit, |(place, _)| place.to_string());
    Ok(Json(Page { items: items.into_iter().map(|(_, operation)| operation).collect(), next_cursor }))
}

/// Operations that are not over, in the order in which they came.
#[utoipa::path(get, path = "/operations/active", tag = "operations", responses((status = 200, body = [Operation])))]
async fn active(State(operations): State<Operations>, _: Viewer) -> Json<Vec<Operation>> {
    Json(operations.active())
}

/// The commands of the configuration.
#[utoipa::path(get, path = "/operations/custom", tag = "operations", responses((status = 200, body = [CommandShown])))]
async fn commands(State(operations): State<Operations>, _: Viewer) -> Json<Vec<CommandShown>> {
    let shown = operations.commands().iter().map(|command| CommandShown {
        name: command.name.clone(),
        program: command.argv.first().cloned().unwrap_or_default(),
        priority: command.priority,
        scheduled: command.schedule.is_some(),
    });
    Json(shown.collect())
}

/// One operation.
#[utoipa::path(get, path = "/operations/{id}", tag = "operations", params(("id" = String, Path)),
    responses((status = 200, body = Operation), (status = 404, body = Problem)))]
async fn one(
    State(operations): State<Operations>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<Json<Operation>, Problem> {
    let id = read_id(&id)?;
    Ok(Json(operations.get(id)?.ok_or_else(|| Refused::Missing(id.to_string()))?))
}

/// Lets an operation hold still at its next safe point, within a second; its place is free for others meanwhile.
#[utoipa::path(post, path = "/operations/{id}/pause", tag = "operations", params(("id" = String, Path)),
    responses((status = 200, body = Operation), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn pause(
    State(operations): State<Operations>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Json<Operation>, Problem> {
    Ok(Json(operations.pause(read_id(&id)?).await?))
}

/// Lets a paused operation go on, as soon as there is a place.
#[utoipa::path(post, path = "/operations/{id}/resume", tag = "operations", params(("id" = String, Path)),
    responses((status = 200, body = Operation), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn resume(
    State(operations): State<Operations>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Json<Operation>, Problem> {
    Ok(Json(operations.resume(read_id(&id)?).await?))
}

/// Ends an operation at a safe point, within a second.
#[utoipa::path(post, path = "/operations/{id}/cancel", tag = "operations", params(("id" = String, Path)),
    responses((status = 200, body = Operation), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn cancel(
    State(operations): State<Operations>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Json<Operation>, Problem> {
    Ok(Json(operations.cancel(read_id(&id)?).await?))
}

/// Runs a command of the configuration.
#[utoipa::path(post, path = "/operations/custom/{name}", tag = "operations", params(("name" = String, Path)),
    responses((status = 202, body = Operation), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn custom(
    State(operations): State<Operations>,
    Operator(who): Operator,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(operations.run_custom(&name, &who.account).await?)))
}

/// Counts, for trying things out. Refused in production.
#[utoipa::path(post, path = "/operations/test", tag = "operations", request_body = Option<TestOrder>,
    responses((status = 202, body = Operation), (status = 400, body = Problem), (status = 403, body = Problem)))]
async fn test(
    State(operations): State<Operations>,
    Operator(who): Operator,
    Wish(order): Wish<TestOrder>,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    let TestOrder { priority, items, item_ms, fail_every, resume } = order;
    let count = Count { items, item_ms, fail_every, resume };
    Ok((StatusCode::ACCEPTED, Json(operations.run_test(count, priority, &who.account).await?)))
}

fn read_id(text: &str) -> Result<Id, Problem> {
    Id::parse(text).ok_or_else(|| Problem::missing("operation_not_found", "this is not the identifier of an operation"))
}
