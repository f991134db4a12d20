//! `/livez`, `/readyz`, `/metrics`: what machines ask.
//!
//! The first two tell strangers no more than a word: a load balancer or a container's health check has no account.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Viewer;
use super::problem::Problem;
use super::system::{LOOP_DEAD_MS, System};
use crate::publish::metrics::{OPENMETRICS, PROMETHEUS};

/// Whether it lives, or is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pulse {
    /// `ok` or `down`.
    pub status: &'static str,
    /// What is wrong, a word each: `engine`, `ledger`.
    pub reasons: Vec<&'static str>,
}

pub(super) fn router() -> OpenApiRouter<System> {
    OpenApiRouter::new().routes(routes!(livez)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// Whether the engine's loop turns. 503: restart logmedic.
#[utoipa::path(get, path = "/livez", tag = "live", security(()),
    responses((status = 200, body = Pulse), (status = 503, body = Pulse)))]
async fn livez(State(system): State<System>) -> Response {
    pulse(if turns(&system) { Vec::new() } else { vec!["engine"] })
}

/// Whether it can be asked things: the loop turns and the state can be read.
#[utoipa::path(get, path = "/readyz", tag = "live", security(()),
    responses((status = 200, body = Pulse), (status = 503, body = Pulse)))]
async fn readyz(State(system): State<System>) -> Response {
    let mut reasons = Vec::new();
    if !turns(&system) {
        reasons.push("engine");
    }
    if !system.is_readable().await {
        reasons.push("ledger");
    }
    pulse(reasons)
}

fn turns(system: &System) -> bool {
    system.parts().vitals.loop_age().as_millis() < u128::from(LOOP_DEAD_MS)
}

fn pulse(reasons: Vec<&'static str>) -> Response {
    let (code, status) =
        if reasons.is_empty() { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "down") };
    (code, [(header::CACHE_CONTROL, "no-store")], Json(Pulse { status, reasons })).into_response()
}

/// Everything that is counted, for Prometheus: OpenMetrics for those who ask for it, else its older text format.
#[utoipa::path(get, path = "/metrics", tag = "live", responses((status = 200, body = String, content_type = "text/plain")))]
async fn metrics(State(system): State<System>, _: Viewer, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let openmetrics = wanted.contains("application/openmetrics-text");
    let text = system.parts().metrics.text(system.asked().await?, openmetrics);
    let kind = if openmetrics { OPENMETRICS } else { PROMETHEUS };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
