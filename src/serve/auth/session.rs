//! `auth/login`, `logout`, `refresh`, `me`, `setup` and `sessions`.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::login::{Opened, Proof};
use super::{Caller, Identity, Principal, Viewer, cookie};
use crate::ledger::identity as store;
use crate::serve::input::Input;
use crate::serve::problem::Problem;
use crate::vocab::{Role, Secret, rfc3339};

/// How long a token is good, in seconds.
pub const TOKEN_LIFE_S: i64 = 15 * 60;

/// Who wants in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The account's name.
    #[schema(example = "ana")]
    account: String,
    /// Its password.
    #[schema(value_type = String, format = "password")]
    password: Secret,
    /// The six digits of the second factor, where there is one.
    code: Option<String>,
}

/// Who becomes the first admin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// What stands behind `#` in the setup link.
    #[schema(value_type = String, format = "password")]
    token: Secret,
    /// Name of the new account.
    account: String,
    /// Its password: 10 characters or more.
    #[schema(value_type = String, format = "password")]
    password: Secret,
}

/// A token, and how long it is good.
#[derive(Serialize, ToSchema)]
pub struct Granted {
    /// The account.
    account: String,
    /// What it may do.
    role: Role,
    /// The session's identifier.
    session: Option<String>,
    /// JSON Web Token for `Authorization: Bearer` and for a WebSocket's subprotocol.
    token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// When the token ends, RFC 3339; `POST auth/refresh` gives the next one.
    token_expires_at: String,
    /// When the session ends unless it is used, RFC 3339.
    session_expires_at: Option<String>,
}

/// Who asks.
#[derive(Serialize, ToSchema)]
pub struct Me {
    /// The account; `local` on the Unix socket, `token:NAME` with a script's token.
    account: String,
    /// What it may do.
    role: Role,
    /// The session's identifier.
    session: Option<String>,
    /// When this ends unless it is renewed, RFC 3339.
    expires_at: Option<String>,
    /// Whether a second factor is needed to log in.
    second_factor: bool,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub struct SessionShown {
    /// Its identifier.
    id: String,
    /// Whose.
    account: String,
    /// What it may do.
    role: Role,
    /// Whether it is the one that asks.
    current: bool,
    /// RFC 3339.
    created_at: String,
    /// When it was used last, to a minute.
    seen_at: String,
    /// When it ends unless it is used.
    expires_at: String,
    /// From where it began.
    address: String,
    /// What the client called itself.
    agent: String,
}

/// Whose sessions.
#[derive(Deserialize, IntoParams)]
pub struct SessionQuery {
    /// `true`: everybody's, scripts' tokens too. For admins.
    #[serde(default)]
    all: bool,
}

pub(super) fn router() -> OpenApiRouter<Identity> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(setup))
        .routes(routes!(logout))
        .routes(routes!(refresh))
        .routes(routes!(me))
        .routes(routes!(sessions))
        .routes(routes!(end_session))
}

impl Identity {
    fn granted(&self, who: Principal, generation: i64, now: DateTime<Utc>) -> Result<Granted, Problem> {
        let (token, end) = self.issue(&who, generation, now)?;
        Ok(Granted {
            account: who.account,
            role: who.role,
            session: who.session,
            token,
            token_type: "Bearer",
            token_expires_at: rfc3339(end),
            session_expires_at: who.until.map(rfc3339),
        })
    }

    fn welcome(&self, opened: Opened, headers: &HeaderMap, status: StatusCode) -> Result<Response, Problem> {
        let now = Utc::now();
        let seconds = opened.principal.until.map_or(0, |until| (until - now).num_seconds());
        let cookie = cookie::write(&self.0.cookie, &opened.secret, seconds, headers);
        let granted = self.granted(opened.principal, opened.generation, now)?;
        Ok((status, [(header::SET_COOKIE, cookie)], Json(granted)).into_response())
    }
}

pub(super) fn agent(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Logs in: a session's cookie for a browser, a token for everybody else.
#[utoipa::path(post, path = "/auth/login", tag = "auth", request_body = Login, security(()),
    responses((status = 200, body = Granted), (status = 401, body = Problem), (status = 429, body = Problem)))]
async fn login(
    State(identity): State<Identity>,
    extensions: Extensions,
    headers: HeaderMap,
    Input(login): Input<Login>,
) -> Result<Response, Problem> {
    let proof = Proof { password: login.password, code: login.code };
    let opened = identity.login(&login.account, proof, Caller::of(&extensions), agent(&headers)).await?;
    identity.welcome(opened, &headers, StatusCode::OK)
}

/// Makes the first admin, with the link that the first start prints.
#[utoipa::path(post, path = "/auth/setup", tag = "auth", request_body = Setup, security(()),
    responses((status = 201, body = Granted), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn setup(
    State(identity): State<Identity>,
    extensions: Extensions,
    headers: HeaderMap,
    Input(setup): Input<Setup>,
) -> Result<Response, Problem> {
    let caller = Caller::of(&extensions);
    let opened = identity.set_up(setup.token.expose(), &setup.account, setup.password, caller, agent(&headers)).await?;
    identity.welcome(opened, &headers, StatusCode::CREATED)
}

/// Ends the session that asks.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", responses((status = 204), (status = 401, body = Problem)))]
async fn logout(
    State(identity): State<Identity>,
    Viewer(who): Viewer,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(id) = who.session {
        identity.0.ledger.write(move |tx| store::end(tx, &id)).await?;
        identity.look();
    }
    let gone = cookie::write(&identity.0.cookie, "", 0, &headers);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response())
}

/// Gives the next token to a session; by its cookie only, so that a stolen token cannot renew itself.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth",
    responses((status = 200, body = Granted), (status = 401, body = Problem)))]
async fn refresh(State(identity): State<Identity>, Viewer(who): Viewer) -> Result<Json<Granted>, Problem> {
    let session = match (&who.session, who.generation) {
        (Some(id), None) => identity.0.ledger.read(|db| store::session(db, id))?,
        _ => None,
    };
    let session =
        session.ok_or_else(|| Problem::unauthenticated("a new token needs the session's cookie; log in again"))?;
    identity.granted(who, session.generation, Utc::now()).map(Json)
}

/// Who asks, and what they may. The problem `no_account` says that nobody has an account yet, `unauthenticated` that the
/// caller has to log in.
#[utoipa::path(get, path = "/auth/me", tag = "auth", responses((status = 200, body = Me), (status = 401, body = Problem)))]
async fn me(State(identity): State<Identity>, who: Result<Viewer, Problem>) -> Result<Json<Me>, Problem> {
    let Viewer(who) = who.map_err(|problem| identity.or_no_account(problem))?;
    let account = identity.0.ledger.read(|db| store::account(db, &who.account))?;
    Ok(Json(Me {
        second_factor: account.is_some_and(|account| account.totp.is_some()),
        account: who.account,
        role: who.role,
        session: who.session,
        expires_at: who.until.map(rfc3339),
    }))
}

/// Sessions that have not ended: one's own, or everybody's.
#[utoipa::path(get, path = "/auth/sessions", tag = "auth", params(SessionQuery),
    responses((status = 200, body = [SessionShown]), (status = 403, body = Problem)))]
async fn sessions(
    State(identity): State<Identity>,
    Viewer(who): Viewer,
    Query(query): Query<SessionQuery>,
) -> Result<Json<Vec<SessionShown>>, Problem> {
    if query.all && who.role < Role::Admin {
        return Err(Problem::forbidden("role_too_low", "only admins see everybody's sessions"));
    }
    let account = (!query.all).then_some(who.account.as_str());
    let found = identity.0.ledger.read(|db| store::sessions(db, account, Utc::now()))?;
    let shown = found.into_iter().map(|session| SessionShown {
        current: who.session.as_ref() == Some(&session.id),
        id: session.id,
        account: session.account,
        role: session.role,
        created_at: rfc3339(session.created_at),
        seen_at: rfc3339(session.seen_at),
        expires_at: rfc3339(session.expires_at),
        address: session.address,
        agent: session.agent,
    });
    Ok(Json(shown.collect()))
}

/// Ends a session: one's own, or for admins anybody's. Its live connections end at once.
#[utoipa::path(delete, path = "/auth/sessions/{id}", tag = "auth", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
async fn end_session(
    State(identity): State<Identity>,
    Viewer(who): Viewer,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let session = identity.0.ledger.read(|db| store::session(db, &id))?;
    // Somebody else's session is not there, for who may not end it.
    let session = session.filter(|session| session.account == who.account || who.role == Role::Admin);
    let id = session.ok_or_else(|| Problem::missing("session_not_found", "there is no such session"))?.id;
    identity.0.ledger.write(move |tx| store::end(tx, &id)).await?;
    identity.look();
    Ok(StatusCode::NO_CONTENT)
}
