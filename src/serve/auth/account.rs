//! `accounts`: who there is. For admins.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::login::{new_account_problem, password_problem};
use super::{Admin, Identity};
use crate::ledger::identity::{self as store, Account, Refusal};
use crate::serve::input::Input;
use crate::serve::problem::Problem;
use crate::vocab::{Role, Secret};

/// An account, without its secrets.
#[derive(Serialize, ToSchema)]
pub struct AccountShown {
    /// Its name.
    account: String,
    /// What it may do.
    role: Role,
    /// Whether it needs a second factor to log in.
    second_factor: bool,
    /// RFC 3339.
    created_at: String,
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Its name: a-z 0-9 . - _
    account: String,
    /// What it may do.
    role: Role,
    /// Its password: 10 characters or more.
    #[schema(value_type = String, format = "password")]
    password: Secret,
}

/// What to change about an account; what is not said stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// What it may do; live connections follow at once.
    role: Option<Role>,
    /// A new password; ends every session of the account.
    #[schema(value_type = Option<String>, format = "password")]
    password: Option<Secret>,
    /// `false` takes the second factor away, for somebody who lost it; ends every session of the account.
    second_factor: Option<bool>,
}

pub(super) fn router() -> OpenApiRouter<Identity> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(change, remove))
}

impl From<Account> for AccountShown {
    fn from(account: Account) -> Self {
        Self {
            account: account.name,
            role: account.role,
            second_factor: account.totp.is_some(),
            created_at: account.created_at,
        }
    }
}

/// Every account.
#[utoipa::path(get, path = "/accounts", tag = "auth",
    responses((status = 200, body = [AccountShown]), (status = 403, body = Problem)))]
async fn list(State(identity): State<Identity>, _: Admin) -> Result<Json<Vec<AccountShown>>, Problem> {
    let accounts = identity.0.ledger.read(store::accounts)?;
    Ok(Json(accounts.into_iter().map(AccountShown::from).collect()))
}

/// Adds an account.
#[utoipa::path(post, path = "/accounts", tag = "auth", request_body = NewAccount,
    responses((status = 201, body = AccountShown), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn add(
    State(identity): State<Identity>,
    _: Admin,
    Input(new): Input<NewAccount>,
) -> Result<(StatusCode, Json<AccountShown>), Problem> {
    new_account_problem(&new.account, &new.password)?;
    let hash = identity.0.passwords.hash(new.password).await?;
    let (name, role, now) = (new.account, new.role, Utc::now());
    let added = identity.0.ledger.write(move |tx| match store::add(tx, &name, role, &hash, now)? {
        Ok(()) => Ok(store::account(tx, &name)?.ok_or(Refusal::Missing)),
        Err(refusal) => Ok(Err(refusal)),
    });
    Ok((StatusCode::CREATED, Json(added.await??.into())))
}

/// Changes an account.
#[utoipa::path(patch, path = "/accounts/{account}", tag = "auth", params(("account" = String, Path)),
    request_body = AccountChange, responses((status = 200, body = AccountShown), (status = 404, body = Problem),
    (status = 409, body = Problem)))]
async fn change(
    State(identity): State<Identity>,
    _: Admin,
    Path(name): Path<String>,
    Input(change): Input<AccountChange>,
) -> Result<Json<AccountShown>, Problem> {
    if change.second_factor == Some(true) {
        let detail = "only the account's owner can turn the second factor on: POST /api/v1/auth/totp";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_yours", detail));
    }
    let hash = match change.password {
        Some(password) => {
            password_problem(&name, &password)?;
            Some(identity.0.passwords.hash(password).await?)
        }
        None => None,
    };
    let changed = identity.0.ledger.write(move |tx| {
        // What is refused is refused first: nothing is changed by halves.
        if let Some(role) = change.role
            && let Err(refusal) = store::set_role(tx, &name, role)?
        {
            return Ok(Err(refusal));
        }
        if let Some(hash) = &hash
            && let Err(refusal) = store::set_password(tx, &name, hash, None)?
        {
            return Ok(Err(refusal));
        }
        if change.second_factor.is_some()
            && let Err(refusal) = store::set_totp(tx, &name, None, None)?
        {
            return Ok(Err(refusal));
        }
        Ok(store::account(tx, &name)?.ok_or(Refusal::Missing))
    });
    let account = changed.await??;
    identity.look();
    Ok(Json(account.into()))
}

/// Removes an account and ends its sessions.
#[utoipa::path(delete, path = "/accounts/{account}", tag = "auth", params(("account" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn remove(State(identity): State<Identity>, _: Admin, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    identity.0.ledger.write(move |tx| store::remove(tx, &name)).await??;
    identity.look();
    Ok(StatusCode::NO_CONTENT)
}
