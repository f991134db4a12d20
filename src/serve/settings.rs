//! `settings`: every value in effect, who said it, and changes that hold from now on. For admins.

use std::future::Future;
use std::pin::Pin;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Admin;
use super::input::Input;
use super::problem::Problem;
use super::system::System;
use crate::ledger::audit::Outcome;
use crate::vocab::{clean_line, redact, shorten};

/// Longest list of changes in the audit log, in UTF-16 units.
const TOLD_MAX: usize = 300;

/// When a change holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// At once.
    Now,
    /// After a restart of logmedic.
    Restart,
}

/// A value in effect.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Setting {
    /// As in the configuration: `retry.attempts`.
    #[schema(example = "retry.attempts")]
    pub key: String,
    /// The value; secrets are hidden.
    pub value: Value,
    /// Who said it: a file with line and column, a variable, `setting …`, `default`.
    #[schema(example = "config.toml:12:12")]
    pub origin: String,
    /// What it means.
    pub about: Option<String>,
    /// What it may be.
    pub schema: Option<Form>,
    /// Whether it can be changed here. What decides what logmedic runs, where it connects, whom it obeys and where it
    /// writes stands in files.
    pub changeable: bool,
    /// Whether it was changed here.
    pub changed: bool,
    /// When a change holds.
    pub effect: Effect,
}

/// What a form must know of a setting. Whether a value holds is found out by the change itself.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = SettingForm)]
pub struct Form {
    /// `boolean`, `integer`, `number`, `string`, `array`, `object`.
    pub r#type: String,
    /// What kind of text: `duration` (`5s`, `10m`), `bytes` (`64MiB`) and the like.
    pub format: Option<String>,
    /// The only values there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub r#enum: Vec<Value>,
    /// The same with what they mean.
    pub choices: Vec<Choice>,
    /// The least number.
    pub minimum: Option<f64>,
    /// The greatest number.
    pub maximum: Option<f64>,
    /// Values as people write them.
    pub examples: Vec<Value>,
    /// What holds when nobody says.
    pub default: Value,
    /// Whether there may be none.
    pub nullable: bool,
}

/// A value that a setting may have.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = SettingChoice)]
pub struct Choice {
    /// The value.
    pub value: Value,
    /// What it means.
    pub about: Option<String>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Changed {
    /// The changed settings as they are in effect now.
    pub settings: Vec<Setting>,
    /// Parts of the configuration that wait for a restart.
    pub restart: Vec<String>,
}

/// Why a change is refused; nothing was changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such key.
    #[error("{0}")]
    Unknown(String),
    /// It can be changed in the files only.
    #[error("{0}")]
    Forbidden(String),
    /// The configuration would not hold; a line a problem, as for files.
    #[error("{0}")]
    Invalid(String),
    /// The environment says it already, and comes first.
    #[error("{0}")]
    Conflict(String),
    /// It cannot be kept or carried out.
    #[error("{0}")]
    Failed(String),
}

/// Who knows and changes the configuration.
pub trait Settings: Send + Sync {
    /// Every value in effect.
    fn list(&self) -> Vec<Setting>;

    /// Checks these changes as the files are checked, keeps them and carries them out. `null` takes a change back.
    fn change(&self, changes: Map<String, Value>, account: String) -> Changing<'_>;
}

/// A change under way.
pub type Changing<'a> = Pin<Box<dyn Future<Output = Result<Changed, Refused>> + Send + 'a>>;

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::Unknown(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_setting", detail),
            Refused::Forbidden(_) => Self::forbidden("setting_in_file_only", detail),
            Refused::Invalid(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_setting", detail),
            Refused::Conflict(_) => Self::conflict("setting_from_environment", detail),
            Refused::Failed(_) => Self::internal(&detail),
        }
    }
}

/// The routes.
pub(super) fn router() -> OpenApiRouter<System> {
    OpenApiRouter::new().routes(routes!(list, change))
}

/// Every value in effect, with who said it.
#[utoipa::path(get, path = "/settings", tag = "system",
    responses((status = 200, body = Vec<Setting>), (status = 403, body = Problem)))]
async fn list(State(system): State<System>, _: Admin) -> Json<Vec<Setting>> {
    Json(system.settings().list())
}

/// Changes settings: an object of keys and values, such as `{"retry.attempts": 5}`; `null` takes a change back. All of them
/// hold, or none.
#[utoipa::path(patch, path = "/settings", tag = "system", request_body = Value,
    responses((status = 200, body = Changed), (status = 403, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
async fn change(
    State(system): State<System>,
    Admin(who): Admin,
    Input(changes): Input<Map<String, Value>>,
) -> Result<Json<Changed>, Problem> {
    let told = changes.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
    let told = redact(&told);
    let told = shorten(&clean_line(&told), TOLD_MAX).into_owned();
    let done = system.settings().change(changes, who.account.clone()).await;
    let outcome = match &done {
        Ok(_) => Outcome::Done,
        Err(Refused::Failed(_)) => Outcome::Failed,
        Err(_) => Outcome::Refused,
    };
    system.identity().audit(&who, "settings.change", &told, outcome).await?;
    Ok(Json(done?))
}
