//! `audit`: who did what, when, from where. For admins.

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Admin, Identity};
use super::page::{Page, PageQuery};
use super::problem::Problem;
use crate::ledger::audit::{self, Entry};

/// One deed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Deed {
    #[serde(skip)]
    ord: i64,
    /// When, RFC 3339.
    at: String,
    /// Who: an account, `local` on the machine itself, `token:NAME` a script's token, `?` nobody we know.
    account: String,
    /// From where.
    address: String,
    /// What.
    #[schema(example = "POST incidents/{id}/retry")]
    action: String,
    /// To what.
    target: String,
    /// `done`, `refused` or `failed`.
    outcome: String,
}

/// Whose deeds.
#[derive(Deserialize, IntoParams)]
pub struct AuditQuery {
    /// Only of this account.
    account: Option<String>,
}

impl From<Entry> for Deed {
    fn from(entry: Entry) -> Self {
        let Entry { ord, at, account, address, action, target, outcome } = entry;
        Self { ord, at, account, address, action, target, outcome }
    }
}

/// `audit`.
pub fn router<S>(identity: Identity) -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(list)).with_state(identity)
}

/// The audit log, newest first. Every request that changes something stands in it, whoever made it.
#[utoipa::path(get, path = "/audit", tag = "auth", params(PageQuery, AuditQuery),
    responses((status = 200, body = Page<Deed>), (status = 403, body = Problem)))]
async fn list(
    State(identity): State<Identity>,
    _: Admin,
    Query(query): Query<PageQuery>,
    Query(of): Query<AuditQuery>,
) -> Result<Json<Page<Deed>>, Problem> {
    let (limit, place) = query.read()?;
    let bad = |_| Problem::bad("bad_cursor", "the cursor is not one that this server gave out; begin without one");
    let before = place.map(|place| place.parse::<i64>().map_err(bad)).transpose()?;
    let entries = identity.ledger().read(|db| audit::page(db, limit + 1, before, of.account.as_deref()))?;
    let deeds = entries.into_iter().map(Deed::from).collect();
    Ok(Json(Page::of(deeds, limit, |deed: &Deed| deed.ord.to_string())))
}
