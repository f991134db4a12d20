//! `auth/password` and `auth/totp`: what people change about their own account. Each asks for the password again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::login::{Proof, Refused, password_problem, wrong_code};
use super::{Caller, Identity, Viewer, random, totp};
use crate::ledger::identity as store;
use crate::serve::input::Input;
use crate::serve::problem::Problem;
use crate::vocab::Secret;

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The one until now.
    #[schema(value_type = String, format = "password")]
    password: Secret,
    /// The six digits of the second factor, where there is one.
    code: Option<String>,
    /// The new one: 10 characters or more.
    #[schema(value_type = String, format = "password")]
    new_password: Secret,
}

/// The password, and the code of the second factor where there is one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// The account's password.
    #[schema(value_type = String, format = "password")]
    password: Secret,
    /// The six digits of the second factor, where there is one.
    code: Option<String>,
}

/// A code of the new second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// Six digits.
    code: String,
}

/// A second factor that waits to be confirmed.
#[derive(Serialize, ToSchema)]
pub struct Offered {
    /// The key, base 32, to be typed into an authenticator app.
    secret: String,
    /// The same as a link, for a QR code.
    uri: String,
}

pub(super) fn router() -> OpenApiRouter<Identity> {
    OpenApiRouter::new()
        .routes(routes!(change_password))
        .routes(routes!(offer))
        .routes(routes!(confirm))
        .routes(routes!(disable))
}

/// Changes one's own password. Every other session of the account ends, every token is void.
#[utoipa::path(post, path = "/auth/password", tag = "auth", request_body = NewPassword,
    responses((status = 204), (status = 401, body = Problem), (status = 422, body = Problem)))]
async fn change_password(
    State(identity): State<Identity>,
    Viewer(who): Viewer,
    Input(new): Input<NewPassword>,
) -> Result<StatusCode, Problem> {
    let name = who.own_account()?.to_owned();
    password_problem(&name, &new.new_password)?;
    identity.prove_again(&who, Proof { password: new.password, code: new.code }).await?;
    let hash = identity.0.passwords.hash(new.new_password).await?;
    let keep = who.session.clone();
    identity.0.ledger.write(move |tx| store::set_password(tx, &name, &hash, keep.as_deref())).await??;
    identity.look();
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a key for a second factor. It counts once a code of it has been sent to `auth/totp/confirm`.
#[utoipa::path(post, path = "/auth/totp", tag = "auth", request_body = Again,
    responses((status = 200, body = Offered), (status = 401, body = Problem)))]
async fn offer(
    State(identity): State<Identity>,
    Viewer(who): Viewer,
    Input(again): Input<Again>,
) -> Result<Json<Offered>, Problem> {
    let name = who.own_account()?.to_owned();
    identity.prove_again(&who, Proof { password: again.password, code: again.code }).await?;
    let key = totp::encode(&random::bytes().map_err(|error| Problem::internal(&error))?);
    let offered = Offered { uri: totp::uri(&name, &key), secret: key.clone() };
    identity.0.ledger.write(move |tx| store::offer_totp(tx, &name, &key)).await?;
    Ok(Json(offered))
}

/// Turns the new second factor on. Every other session of the account ends, every token is void.
#[utoipa::path(post, path = "/auth/totp/confirm", tag = "auth", request_body = Confirm,
    responses((status = 204), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn confirm(
    State(identity): State<Identity>,
    Viewer(who): Viewer,
    Input(confirm): Input<Confirm>,
) -> Result<StatusCode, Problem> {
    let name = who.own_account()?.to_owned();
    let account = identity.0.ledger.read(|db| store::account(db, &name))?;
    let key = account
        .as_ref()
        .and_then(|account| account.totp_new.clone())
        .ok_or_else(|| Problem::conflict("no_second_factor_offered", "ask for a key first: POST /api/v1/auth/totp"))?;
    let caller = Caller { address: who.address, local: false };
    let attempt = identity.attempt(caller, &name).map_err(Refused::problem)?;
    let last = account.map_or(0, |account| account.totp_step);
    let step = totp::check(&key, &confirm.code, last, Utc::now().timestamp()).ok_or_else(wrong_code)?;
    identity.limiter().take_back(attempt);
    let keep = who.session.clone();
    identity.0.ledger.write(move |tx| store::set_totp(tx, &name, Some((&key, step)), keep.as_deref())).await??;
    identity.look();
    Ok(StatusCode::NO_CONTENT)
}

/// Turns the second factor off. Every other session of the account ends, every token is void.
#[utoipa::path(post, path = "/auth/totp/disable", tag = "auth", request_body = Again,
    responses((status = 204), (status = 401, body = Problem)))]
async fn disable(
    State(identity): State<Identity>,
    Viewer(who): Viewer,
    Input(again): Input<Again>,
) -> Result<StatusCode, Problem> {
    let name = who.own_account()?.to_owned();
    identity.prove_again(&who, Proof { password: again.password, code: again.code }).await?;
    let keep = who.session.clone();
    identity.0.ledger.write(move |tx| store::set_totp(tx, &name, None, keep.as_deref())).await??;
    identity.look();
    Ok(StatusCode::NO_CONTENT)
}
