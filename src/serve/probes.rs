//! `probes`: what is looked at regularly and how it stands.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Viewer;
use super::system::System;
use crate::probe::Shown;
use crate::vocab::rfc3339;

/// A probe.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ProbeView {
    /// Its name in the configuration.
    pub name: String,
    /// `http`, `tcp`, `disk`, `process` or `bot_api`.
    pub kind: &'static str,
    /// What it looks at, without secrets.
    pub target: String,
    /// `up`, `down` or `unknown`.
    pub state: &'static str,
    /// Since when, RFC 3339; `null` while nothing is known.
    pub since: Option<String>,
    /// How loud its failure is.
    pub severity: &'static str,
    /// From one look to the next, in milliseconds.
    pub every_ms: u64,
    /// A look that takes longer has failed, in milliseconds.
    pub timeout_ms: u64,
    /// So many looks in a row must fail before it is down.
    pub fail_after: u32,
    /// So many in a row must be well before it is up again.
    pub pass_after: u32,
    /// Looks in a row that contradict the state.
    pub contrary: u32,
    /// How often it went down within the last hour.
    pub downs_last_hour: u64,
    /// Not looked at for far too long.
    pub overdue: bool,
    /// The last look.
    pub last: Option<LookView>,
}

/// One look.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LookView {
    /// When, RFC 3339.
    pub at: String,
    /// Whether all was well.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

pub(super) fn router() -> OpenApiRouter<System> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Every probe with its last look, by name.
#[utoipa::path(get, path = "/probes", tag = "system", responses((status = 200, body = Vec<ProbeView>)))]
async fn list(State(system): State<System>, _: Viewer) -> Json<Vec<ProbeView>> {
    let now = Utc::now();
    Json(system.parts().probes.list().iter().map(|shown| view(shown, now)).collect())
}

fn view(shown: &Shown, now: DateTime<Utc>) -> ProbeView {
    let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let (spec, judged) = (&shown.spec, &shown.judged);
    ProbeView {
        name: spec.name.clone(),
        kind: spec.target.kind(),
        target: spec.target.shown(),
        state: judged.standing.as_str(),
        since: judged.since.map(rfc3339),
        severity: spec.severity.as_str(),
        every_ms: millis(spec.every),
        timeout_ms: millis(spec.timeout),
        fail_after: spec.fail_after,
        pass_after: spec.pass_after,
        contrary: judged.contrary,
        downs_last_hour: judged.downs_lately(now) as u64,
        overdue: shown.is_overdue(now),
        last: shown.last.as_ref().map(|(at, look)| LookView {
            at: rfc3339(*at),
            ok: look.well,
            detail: look.detail.clone(),
            took_ms: millis(look.took),
        }),
    }
}
