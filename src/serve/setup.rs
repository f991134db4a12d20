//! The page behind the setup link: makes the first account. Nothing in it but its own three files.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// `/setup` and what it loads.
pub fn router() -> Router {
    Router::new()
        .route("/setup", get(|| async { file("text/html; charset=utf-8", include_str!("setup/setup.html")) }))
        .route("/setup.css", get(|| async { file("text/css; charset=utf-8", include_str!("setup/setup.css")) }))
        .route("/setup.js", get(|| async { file("text/javascript; charset=utf-8", include_str!("setup/setup.js")) }))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}
