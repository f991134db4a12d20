//! `backups`: which there are, making and proving one, deleting one. Bringing one back needs the agent to stand still, so it is a
//! command of the machine (`logmedic backup restore`) and no route.

use axum::Json;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Admin, Identity, Operator, Viewer};
use super::input::{Input, Wish};
use super::page::{Page, PageQuery};
use super::problem::Problem;
use crate::backup::task::{CREATE, Input as Given, VERIFY};
use crate::backup::{Error, Listed, Order, Place, manifest};
use crate::operate::{Kind, Operation, Operations, Priority};
use crate::vocab::Role;

/// What these routes work with.
#[derive(Clone)]
struct Desk {
    place: Place,
    operations: Operations,
    identity: Identity,
}

impl FromRef<Desk> for Identity {
    fn from_ref(desk: &Desk) -> Self {
        desk.identity.clone()
    }
}

/// What a backup is to be.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackupOrder {
    /// What to call it; up to 48 letters, digits, `.`, `-` and `_`.
    name: Option<String>,
    /// Whether the files of the roots are in it. Without it as `[backup]` says.
    media: Option<bool>,
    /// Whether tokens and other secrets of the configuration are in it; only admins may say yes. Without it as `[backup]` says.
    secrets: Option<bool>,
    /// How urgent it is.
    priority: Priority,
}

/// Which backup is to be proven.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyOrder {
    /// Its name.
    name: String,
    /// How urgent it is.
    #[serde(default)]
    priority: Priority,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::Missing(_) => Self::missing("backup_not_found", detail),
            Error::Refused { .. } => Self::conflict("backup_refused", detail),
            Error::Damaged { .. } => Self::conflict("backup_damaged", detail),
            Error::Full { .. } | Error::Stopped => Self::conflict("backup_failed", detail),
            Error::Io { .. } | Error::Ledger(_) | Error::Roots(_) => Self::internal(&error),
        }
    }
}

/// `backups/…` and `operations/backup/…`.
pub fn router<S>(place: Place, operations: Operations, identity: Identity) -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(delete))
        .routes(routes!(create))
        .routes(routes!(verify))
        .with_state(Desk { place, operations, identity })
}

/// Blocking work on a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Problem::internal(&error))??)
}

/// Backups, the newest first.
#[utoipa::path(get, path = "/backups", tag = "backups", params(PageQuery),
    responses((status = 200, body = Page<Listed>), (status = 400, body = Problem)))]
async fn list(
    State(desk): State<Desk>,
    _: Viewer,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Listed>>, Problem> {
    let (limit, before) = page.read()?;
    let all = blocking(move || desk.place.list()).await?;
    // Names begin with the moment, so the newest is the largest.
    let wanted = all.into_iter().filter(|one| before.as_ref().is_none_or(|before| one.name < *before));
    let found = wanted.take(limit as usize + 1).collect();
    Ok(Json(Page::of(found, limit, |one: &Listed| one.name.clone())))
}

/// Deletes a backup. The only one that looks whole, and damaged ones, are deleted on the machine only.
#[utoipa::path(delete, path = "/backups/{name}", tag = "backups", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn delete(State(desk): State<Desk>, _: Admin, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    blocking(move || desk.place.delete(&name, false)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a backup, as an operation.
#[utoipa::path(post, path = "/operations/backup/create", tag = "backups", request_body = Option<BackupOrder>,
    responses((status = 202, body = Operation), (status = 400, body = Problem), (status = 403, body = Problem),
    (status = 409, body = Problem)))]
async fn create(
    State(desk): State<Desk>,
    Operator(who): Operator,
    Wish(order): Wish<BackupOrder>,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    let BackupOrder { name, media, secrets, priority } = order;
    if let Some(name) = &name {
        manifest::label(name).map_err(|why| Problem::bad("bad_name", why))?;
    }
    if secrets == Some(true) && who.role < Role::Admin {
        let detail = format!("a backup with secrets needs the role {}; yours is {}", Role::Admin, who.role);
        return Err(Problem::forbidden("role_too_low", detail));
    }
    let input = Given::Create(Order { name, media, secrets }).json();
    let begun = desk.operations.run_task((Kind::Backup, CREATE), input, priority, &who.account).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// Proves a backup byte by byte, as an operation; it fails when the backup is damaged.
#[utoipa::path(post, path = "/operations/backup/verify", tag = "backups", request_body = VerifyOrder,
    responses((status = 202, body = Operation), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn verify(
    State(desk): State<Desk>,
    Operator(who): Operator,
    Input(order): Input<VerifyOrder>,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    let VerifyOrder { name, priority } = order;
    let (place, wanted) = (desk.place.clone(), name.clone());
    blocking(move || place.folder(&wanted)).await?;
    let input = Given::Verify(name).json();
    let begun = desk.operations.run_task((Kind::Backup, VERIFY), input, priority, &who.account).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}
