//! Completes the description of the routes: how clients show who they are, and what every route may answer besides. Pure.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Required, ResponseBuilder};

/// The kind of every answer that says what is wrong.
const PROBLEM: &str = "application/problem+json";

/// Where its schema is.
const PROBLEM_SCHEMA: &str = "Problem";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "logmedic",
        description = "What logmedic sees, does and asks for. Errors are RFC 9457 problems with a stable `code`; times are RFC 3339 in UTC, durations in `_ms` or `_s`, sizes in bytes; lists take `limit` and `cursor`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(super::problem::Problem)),
    security(("cookie" = []), ("token" = []))
)]
struct Base;

/// The description before any route is in it.
#[must_use]
pub fn base() -> OpenApi {
    <Base as utoipa::OpenApi>::openapi()
}

/// The description with what holds for every route.
#[must_use]
pub fn complete(mut api: OpenApi) -> OpenApi {
    let cookie = ApiKey::Cookie(ApiKeyValue::new("logmedic"));
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let parts = api.components.get_or_insert_default();
    parts.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
    parts.add_security_scheme("token", SecurityScheme::Http(token));
    let problem = || Content::new(Some(Ref::from_schema_name(PROBLEM_SCHEMA)));
    for item in api.paths.paths.values_mut() {
        let methods = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in methods.into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            for (status, response) in &mut *responses {
                if let (RefOr::T(response), true) = (response, status.starts_with(['4', '5'])) {
                    let other = response.content.keys().next().is_some_and(|kind| kind != "application/json");
                    let says_how = response.content.is_empty() || is_problem(&response.content);
                    if says_how && !other {
                        response.content.clear();
                        response.content.insert(PROBLEM.to_owned(), RefOr::T(problem()));
                    }
                }
            }
            let other = ResponseBuilder::new()
                .description("Something is wrong: with the request, with who asks, or inside logmedic")
                .content(PROBLEM, problem())
                .build();
            // A body that may be left out says so by being nullable.
            if let Some(RefOr::T(body)) = operation.request_body.as_mut()
                && serde_json::to_string(&body.content).is_ok_and(|text| text.contains("\"null\"},{\"$ref\""))
            {
                body.required = Some(Required::False);
            }
            responses.entry("default".to_owned()).or_insert_with(|| RefOr::T(other));
        }
    }
    api
}

/// Whether the one kind of content is a problem.
fn is_problem<'a>(content: impl IntoIterator<Item = (&'a String, &'a RefOr<Content>)>) -> bool {
    content.into_iter().all(|(_, content)| match content {
        RefOr::T(Content { schema: Some(RefOr::Ref(place)), .. }) => place.ref_location.ends_with("/Problem"),
        _ => false,
    })
}
