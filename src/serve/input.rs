//! Reads JSON bodies; what is wrong with one is said as a problem.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;
use crate::vocab::{clean_line, shorten};

/// Longest account of a mistake, in UTF-16 units.
const DETAIL_MAX: usize = 300;

/// The JSON body of a request.
pub struct Input<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(problem(&rejection)),
        }
    }
}

/// A JSON object that may be left out: nothing, and `null`, are the default. A list is none, though serde would take one.
pub struct Wish<T>(pub T);

impl<T: Default + DeserializeOwned, S: Send + Sync> FromRequest<S> for Wish<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = match Bytes::from_request(request, state).await {
            Ok(body) if body.is_empty() => return Ok(Self(T::default())),
            Ok(body) => body,
            Err(rejection) => return Err(Problem::new(rejection.status(), "bad_body", rejection.body_text())),
        };
        let bad = |error: serde_json::Error| {
            Problem::bad("bad_body", shorten(&clean_line(&error.to_string()), DETAIL_MAX).into_owned())
        };
        match serde_json::from_slice::<Value>(&body).map_err(bad)? {
            Value::Null => Ok(Self(T::default())),
            value @ Value::Object(_) => Ok(Self(serde_json::from_value(value).map_err(bad)?)),
            _ => Err(Problem::bad("bad_body", "the body must be a JSON object, or nothing")),
        }
    }
}

fn problem(rejection: &JsonRejection) -> Problem {
    let status = rejection.status();
    let code = match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "not_json",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNPROCESSABLE_ENTITY => "bad_body",
        _ => "bad_json",
    };
    Problem::new(status, code, shorten(&clean_line(&rejection.body_text()), DETAIL_MAX))
}
