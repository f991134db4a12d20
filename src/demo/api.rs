//! Answers Bot API methods as `telegram-bot-api` does, or as badly as was asked for.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde_json::{Map, Value, json};

use super::fault::Misbehaviour;
use super::world::{Account, World};

/// The largest request body read: messages are at most 4,096 characters.
const MAX_BODY: usize = 256 * 1024;
/// The longest poll, as on the real server.
const MAX_POLL: Duration = Duration::from_secs(50);
/// Updates in one answer, as on the real server.
const MAX_BATCH: usize = 100;

type Parameters = Map<String, Value>;

/// `/bot<token>/<method>`; teloxide capitalises methods, so case does not matter.
pub(super) async fn method(
    State(world): State<World>,
    Path((bot, method)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Some(account) = bot.strip_prefix("bot").and_then(|token| world.account(token)) else {
        return error(StatusCode::UNAUTHORIZED, "Unauthorized");
    };
    let parameters = parameters(request).await;
    let subjects = [account.token.as_str(), text(&parameters, "file_id"), text(&parameters, "text")];
    match world.enter(&method, &subjects) {
        Some(Misbehaviour::Hang { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(fault) => return misbehave(&fault),
        None => {}
    }
    answer(&world, &account, &method.to_ascii_lowercase(), &parameters).await
}

/// Whatever else is asked.
pub(super) async fn unknown() -> Response {
    error(StatusCode::NOT_FOUND, "Not Found")
}

async fn answer(world: &World, bot: &Account, method: &str, parameters: &Parameters) -> Response {
    let chat = number(parameters, "chat_id").unwrap_or(0);
    match method {
        "getme" => ok(json!({
            "id": bot.id, "is_bot": true, "first_name": bot.username, "username": bot.username,
            "can_join_groups": true, "can_read_all_group_messages": false, "supports_inline_queries": false,
            "can_connect_to_business": false, "has_main_web_app": false,
        })),
        "getupdates" => poll(world, bot, parameters).await,
        "getfile" => get_file(world, bot, text(parameters, "file_id")),
        "sendmessage" => {
            let text = text(parameters, "text");
            if text.is_empty() {
                return error(StatusCode::BAD_REQUEST, "Bad Request: message text is empty");
            }
            let id = world.record_message(bot, chat, text, Value::Object(parameters.clone()));
            ok(message(bot, chat, id, text))
        }
        "editmessagetext" => {
            let (id, text) = (number(parameters, "message_id").unwrap_or(0), text(parameters, "text"));
            match world.record_edit(bot, (chat, id), text, Value::Object(parameters.clone())) {
                Ok(()) => ok(message(bot, chat, id, text)),
                Err(description) => error(StatusCode::BAD_REQUEST, description),
            }
        }
        "getchat" => ok(json!({
            "id": chat, "type": "private", "first_name": "Admin", "accent_color_id": 0, "max_reaction_count": 11,
            "accepted_gift_types": { "unlimited_gifts": true, "limited_gifts": true, "unique_gifts": true,
                                     "premium_subscription": true },
        })),
        "getwebhookinfo" => ok(json!({ "url": "", "has_custom_certificate": false, "pending_update_count": 0 })),
        "deletewebhook"
        | "setmycommands"
        | "deletemycommands"
        | "sendchataction"
        | "answercallbackquery"
        | "deletemessage"
        | "setmessagereaction"
        | "close"
        | "logout" => ok(json!(true)),
        _ => error(StatusCode::NOT_FOUND, "Not Found: method not found"),
    }
}

async fn poll(world: &World, bot: &Account, parameters: &Parameters) -> Response {
    let offset = number(parameters, "offset").unwrap_or(0);
    let limit = number(parameters, "limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(MAX_BATCH);
    let wait =
        number(parameters, "timeout").and_then(|n| u64::try_from(n).ok()).map_or(Duration::ZERO, Duration::from_secs);
    let poll = world.begin_poll(bot.id);
    let look = |world: &World| match world.updates(bot.id, poll, offset, limit.clamp(1, MAX_BATCH)) {
        Ok(updates) if updates.is_empty() => None,
        other => Some(other),
    };
    match world.wait_for(wait.min(MAX_POLL), look).await {
        None => ok(json!([])),
        Some(Ok(updates)) => ok(json!(updates)),
        Some(Err(())) => error(
            StatusCode::CONFLICT,
            "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
        ),
    }
}

fn get_file(world: &World, bot: &Account, file_id: &str) -> Response {
    // A file_id belongs to the bot that saw it.
    let Some(file) = world.file(file_id).filter(|file| file.bot == bot.id) else {
        return misbehave(&Misbehaviour::WrongFileId);
    };
    let path = if world.local_mode() { file.local.display().to_string() } else { file.file_path };
    let unique = format!("AgAD{}", file_id.get(file_id.len().saturating_sub(8)..).unwrap_or_default());
    ok(json!({ "file_id": file.file_id, "file_unique_id": unique, "file_size": file.size, "file_path": path }))
}

fn message(bot: &Account, chat: i64, id: i64, text: &str) -> Value {
    json!({
        "message_id": id, "date": Utc::now().timestamp(), "text": text,
        "from": { "id": bot.id, "is_bot": true, "first_name": bot.username, "username": bot.username },
        "chat": { "id": chat, "type": "private", "first_name": "Admin" },
    })
}

/// From the query and the body, which is JSON (teloxide) or a form (python-telegram-bot).
async fn parameters(request: Request) -> Parameters {
    let (parts, body) = request.into_parts();
    let pairs = |text: &[u8]| -> Parameters {
        url::form_urlencoded::parse(text).map(|(k, v)| (k.into_owned(), Value::String(v.into_owned()))).collect()
    };
    let mut all = pairs(parts.uri.query().unwrap_or_default().as_bytes());
    let bytes = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    if is_json(&parts.headers) {
        all.extend(serde_json::from_slice::<Parameters>(&bytes).unwrap_or_default());
    } else {
        all.extend(pairs(&bytes));
    }
    all
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/json"))
}

fn text<'a>(parameters: &'a Parameters, name: &str) -> &'a str {
    parameters.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(parameters: &Parameters, name: &str) -> Option<i64> {
    let value = parameters.get(name)?;
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn ok(result: Value) -> Response {
    json_answer(StatusCode::OK, &json!({ "ok": true, "result": result }))
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// An error in the server's shape.
pub(super) fn error(status: StatusCode, description: &str) -> Response {
    json_answer(status, &json!({ "ok": false, "error_code": status.as_u16(), "description": description }))
}

/// The answer of a fault that is a whole answer; transfers handle theirs before they ask here.
pub(super) fn misbehave(fault: &Misbehaviour) -> Response {
    match fault {
        Misbehaviour::RateLimited { retry_after } => {
            let body = json!({
                "ok": false, "error_code": 429, "description": format!("Too Many Requests: retry after {retry_after}"),
                "parameters": { "retry_after": retry_after },
            });
            let mut answer = json_answer(StatusCode::TOO_MANY_REQUESTS, &body);
            answer.headers_mut().insert(RETRY_AFTER, (*retry_after).into());
            answer
        }
        Misbehaviour::BadGateway => nginx(StatusCode::BAD_GATEWAY, "502 Bad Gateway"),
        Misbehaviour::Unavailable => nginx(StatusCode::SERVICE_UNAVAILABLE, "503 Service Temporarily Unavailable"),
        Misbehaviour::Internal => error(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error: restart"),
        Misbehaviour::Unauthorized => error(StatusCode::UNAUTHORIZED, "Unauthorized"),
        Misbehaviour::WrongFileId => {
            error(StatusCode::BAD_REQUEST, "Bad Request: wrong file_id or the file is temporarily unavailable")
        }
        Misbehaviour::TooBig => error(StatusCode::BAD_REQUEST, "Bad Request: file is too big"),
        Misbehaviour::NotFound => error(StatusCode::NOT_FOUND, "Not Found"),
        // These only make sense for a transfer.
        Misbehaviour::Stall { .. }
        | Misbehaviour::Cut { .. }
        | Misbehaviour::Reset { .. }
        | Misbehaviour::Hang { .. } => error(StatusCode::NOT_FOUND, "Not Found: this fault is for file transfers"),
    }
}

/// The page that nginx puts in front of a dead server, byte for byte.
fn nginx(status: StatusCode, title: &str) -> Response {
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         <hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
    );
    (status, [(CONTENT_TYPE, "text/html")], page).into_response()
}
