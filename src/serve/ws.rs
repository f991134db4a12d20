//! `GET /ws` and what belongs to it: tickets, facts for clients, statistics, the test broadcast. I/O.

use std::sync::Arc;

use axum::Json;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRef, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::hub::{self, ClientShown, Commands, For, Gate, Guest, Hub, Kind, Pass, Selection, Stats, Topic};
use super::problem::Problem;
use crate::vocab::{Role, clean_line, shorten};

/// The subprotocol that we speak.
pub const PROTOCOL: &str = "logmedic.v1";

/// A subprotocol that begins so carries a token.
const BEARER: &str = "bearer.";

/// What is read of a client at once. Its frames are small; the library's own default is 128 KiB for each connection.
const READ_BUFFER: usize = 1_024;

/// What is collected before it is written. Frames that go out together make one write up to here.
const WRITE_BUFFER: usize = 8 * 1_024;

/// What may be collected when the system takes nothing: the largest frame and what was before it.
const WRITE_MAX: usize = 256 * 1_024;

/// The longest text of a test broadcast, in UTF-16 units.
const TEST_TEXT_MAX: usize = 200;

/// What these routes need of the application.
#[derive(Clone)]
pub struct Door {
    /// The hub.
    pub hub: Hub,
    /// Who may come in.
    pub gate: Arc<dyn Gate>,
    /// What clients may have done.
    pub commands: Arc<dyn Commands>,
    /// Nothing is tried out here.
    pub production: bool,
}

/// The routes, for any application that has a [`Door`].
pub fn router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Door: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(connect))
        .routes(routes!(ticket))
        .routes(routes!(info))
        .routes(routes!(stats))
        .routes(routes!(clients))
        .routes(routes!(test_broadcast))
}

/// What `GET /ws` may be asked with.
#[derive(Deserialize, IntoParams)]
pub struct ConnectQuery {
    /// Subscribe to this job at once.
    job: Option<String>,
    /// Subscribe to these topics at once, separated by commas.
    topics: Option<String>,
    /// A ticket of `POST /ws/ticket`.
    ticket: Option<String>,
}

impl ConnectQuery {
    fn selection(&self) -> Result<Selection, Problem> {
        let words = self.topics.iter().flat_map(|words| words.split(',')).filter(|word| !word.is_empty());
        let topics: Option<Vec<_>> = words.map(Topic::of).collect();
        let known = || Topic::ALL.iter().map(|topic| topic.word()).collect::<Vec<_>>().join(", ");
        let topics = topics.ok_or_else(|| Problem::bad("bad_topic", format!("there are the topics {}", known())))?;
        Ok(Selection { topics, rooms: self.job.iter().map(|id| format!("{}:{id}", Topic::Job.word())).collect() })
    }
}

/// Lets somebody in by headers, for the routes that are no WebSocket.
fn admit(door: &Door, headers: &HeaderMap, caller: Caller, least: Role) -> Result<Guest, Problem> {
    let guest = door.gate.admit(&Pass::Headers, headers, caller)?;
    if guest.role < least {
        return Err(Problem::forbidden("forbidden", format!("this needs the role {least}")));
    }
    Ok(guest)
}

/// Opens the WebSocket; its frames are described in `docs/asyncapi.yaml`.
#[utoipa::path(
    get, path = "/ws", tag = "ws", params(ConnectQuery),
    responses(
        (status = 101, description = "The WebSocket is open"),
        (status = 401, description = "Nobody is logged in", body = Problem),
        (status = 403, description = "From another site's page, or not for this role", body = Problem),
        (status = 426, description = "Not a WebSocket handshake", body = Problem),
        (status = 503, description = "Too many connections", body = Problem),
    )
)]
async fn connect(
    State(door): State<Door>,
    Query(query): Query<ConnectQuery>,
    headers: HeaderMap,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(error) => {
            // Strangers are not told what is here.
            door.gate.admit(&Pass::Headers, &headers, caller)?;
            let detail = format!("this is a WebSocket: {error}");
            return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "no_websocket", detail));
        }
    };
    let token = upgrade.requested_protocols().filter_map(|word| word.to_str().ok()?.strip_prefix(BEARER)).next();
    let pass = match (&query.ticket, token) {
        (Some(ticket), _) => Pass::Ticket(ticket.clone()),
        (None, Some(token)) => Pass::Bearer(token.to_owned()),
        (None, None) => Pass::Headers,
    };
    // A cookie comes along from anywhere, so who brings one must also say from where: every browser does.
    let by_cookie = pass == Pass::Headers && !headers.contains_key(header::AUTHORIZATION);
    if by_cookie && headers.contains_key(header::COOKIE) && !headers.contains_key(header::ORIGIN) {
        return Err(Problem::forbidden("foreign_origin", "with a cookie the Origin header is needed; use a token"));
    }
    let guest = door.gate.admit(&pass, &headers, caller)?;
    let seat = door.hub.join(guest, &query.selection()?).await?;
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_MAX)
        .max_message_size(hub::FRAME_MAX)
        .max_frame_size(hub::FRAME_MAX);
    let (hub, commands) = (door.hub.clone(), Arc::clone(&door.commands));
    let (failed, left) = (door.hub, Arc::clone(&seat));
    Ok(upgrade
        .on_failed_upgrade(move |_| failed.leave(&left))
        .on_upgrade(move |socket| hub::attend(hub, seat, socket, commands))
        .into_response())
}

/// A ticket, good once.
#[derive(Serialize, ToSchema)]
struct Ticket {
    /// For `?ticket=`.
    ticket: String,
    /// Seconds that it is good.
    expires_in_s: u64,
}

/// Gives a ticket for one WebSocket, for clients that can send neither cookie nor token with the handshake.
#[utoipa::path(
    post, path = "/ws/ticket", tag = "ws",
    responses((status = 200, body = Ticket), (status = 401, body = Problem), (status = 403, body = Problem))
)]
async fn ticket(State(door): State<Door>, headers: HeaderMap, caller: Caller) -> Result<Response, Problem> {
    let guest = admit(&door, &headers, caller, Role::Viewer)?;
    let ticket = Ticket { ticket: door.gate.ticket(&guest)?, expires_in_s: 30 };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(ticket)).into_response())
}

/// What a client has to know before it connects.
#[derive(Serialize, ToSchema)]
struct Info {
    /// The path of the WebSocket.
    path: &'static str,
    /// The subprotocol.
    protocol: &'static str,
    /// Seconds between two pings and two heartbeats.
    heartbeat_s: u64,
    /// The life of the numbers; empty before the first client.
    epoch: String,
    /// The newest number that was told.
    seq: u64,
    /// The topics that this role may see.
    topics: Vec<&'static str>,
    /// Missed events that are told again at most.
    replay_max: usize,
    /// Connections at once at most.
    connections_max: usize,
    /// The longest frame that a client may send, in bytes.
    frame_max_bytes: usize,
}

/// Tells what a client has to know before it connects.
#[utoipa::path(get, path = "/ws/info", tag = "ws", responses((status = 200, body = Info), (status = 401, body = Problem)))]
async fn info(State(door): State<Door>, headers: HeaderMap, caller: Caller) -> Result<Json<Info>, Problem> {
    let guest = admit(&door, &headers, caller, Role::Viewer)?;
    let (place, settings) = (door.hub.place(), door.hub.settings());
    let seen = Topic::ALL.iter().filter(|topic| hub::least_role(**topic) <= guest.role);
    Ok(Json(Info {
        path: "/api/v1/ws",
        protocol: PROTOCOL,
        heartbeat_s: settings.heartbeat.as_secs(),
        epoch: place.epoch,
        seq: place.seq,
        topics: seen.map(|topic| topic.word()).collect(),
        replay_max: settings.replay_max,
        connections_max: settings.max_clients,
        frame_max_bytes: hub::FRAME_MAX,
    }))
}

/// Tells how the hub is: connections, messages, errors.
#[utoipa::path(get, path = "/ws/stats", tag = "ws", responses((status = 200, body = Stats), (status = 401, body = Problem)))]
async fn stats(State(door): State<Door>, headers: HeaderMap, caller: Caller) -> Result<Json<Stats>, Problem> {
    let guest = admit(&door, &headers, caller, Role::Viewer)?;
    Ok(Json(door.hub.stats(guest.role > Role::Viewer)))
}

/// Every connection: who, from where, since when, what it wants, how far behind it is. For operators.
#[utoipa::path(get, path = "/ws/clients", tag = "ws",
    responses((status = 200, body = [ClientShown]), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn clients(
    State(door): State<Door>,
    headers: HeaderMap,
    caller: Caller,
) -> Result<Json<Vec<ClientShown>>, Problem> {
    admit(&door, &headers, caller, Role::Operator)?;
    Ok(Json(door.hub.clients()))
}

/// A broadcast to try things out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct TestBroadcast {
    /// A text of at most 200 characters.
    message: String,
    /// Only to this room: `user:NAME`, `role:ROLE`, or one that clients joined.
    room: Option<String>,
}

/// Broadcasts a frame of the type `test`. Refused in production.
#[utoipa::path(
    post, path = "/ws/test_broadcast", tag = "ws", request_body = TestBroadcast,
    responses((status = 202), (status = 401, body = Problem), (status = 403, body = Problem))
)]
async fn test_broadcast(
    State(door): State<Door>,
    headers: HeaderMap,
    caller: Caller,
    Json(wanted): Json<TestBroadcast>,
) -> Result<StatusCode, Problem> {
    let guest = admit(&door, &headers, caller, Role::Operator)?;
    if door.production {
        return Err(Problem::forbidden("refused_in_production", "nothing is tried out in production mode"));
    }
    let text = shorten(&wanted.message, TEST_TEXT_MAX);
    let data = json!({"test": true, "message": clean_line(&text), "by": guest.account});
    door.hub.tell(wanted.room.map_or(For::All, For::Room), Topic::System, Kind::Test, data);
    Ok(StatusCode::ACCEPTED)
}
