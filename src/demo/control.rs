//! Lets a test or a shell steer the server over HTTP, and runs it as a program of its own.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::server::serve;
use super::world::{Account, VideoMessage, World};

/// Makes a video and sends it to a bot; answers with the file.
pub(super) async fn video(State(world): State<World>, Json(message): Json<VideoMessage>) -> Response {
    let made = tokio::task::spawn_blocking(move || world.send_video(&message)).await;
    match made {
        Ok(Ok(stored)) => Json(stored).into_response(),
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A text that somebody sends to a bot.
#[derive(Deserialize)]
pub(super) struct TextMessage {
    token: String,
    chat: i64,
    text: String,
}

/// Sends a text to a bot.
pub(super) async fn text(State(world): State<World>, Json(message): Json<TextMessage>) -> StatusCode {
    if world.send_text(&message.token, message.chat, &message.text) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

/// Arms a fault.
pub(super) async fn fault(State(world): State<World>, Json(fault): Json<Fault>) -> StatusCode {
    if world.arm(fault) { StatusCode::NO_CONTENT } else { StatusCode::TOO_MANY_REQUESTS }
}

/// Takes all faults back.
pub(super) async fn clear(State(world): State<World>) -> StatusCode {
    world.disarm();
    StatusCode::NO_CONTENT
}

/// How long the server shall be away.
#[derive(Deserialize)]
pub(super) struct Down {
    ms: u64,
}

/// Sends the server away for a time; the answer may not arrive any more.
pub(super) async fn down(State(world): State<World>, Json(down): Json<Down>) -> StatusCode {
    tokio::spawn(async move {
        world.go_down();
        tokio::time::sleep(Duration::from_millis(down.ms)).await;
        world.come_back();
    });
    StatusCode::ACCEPTED
}

/// Whose messages, from which number on.
#[derive(Deserialize)]
pub(super) struct InboxQuery {
    bot: String,
    #[serde(default)]
    after: u64,
}

/// What a bot has sent.
pub(super) async fn inbox(State(world): State<World>, Query(query): Query<InboxQuery>) -> Response {
    Json(world.inbox(&query.bot, query.after)).into_response()
}

/// Calls, faults and files.
pub(super) async fn state(State(world): State<World>) -> Response {
    Json(world.summary()).into_response()
}

/// `logmedic demo-server`: the misbehaving Bot API server alone, for tests in any language.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// Port on the loopback address; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Directory for the files it makes
    #[arg(long)]
    files: PathBuf,
    /// A bot, as TOKEN=USERNAME; may be given several times
    #[arg(long = "bot", value_name = "TOKEN=USERNAME", required = true)]
    bots: Vec<String>,
    /// As `telegram-bot-api --local`: getFile answers with absolute paths
    #[arg(long)]
    local: bool,
}

/// Runs the server until SIGINT or SIGTERM; prints `ready http://127.0.0.1:PORT` once it listens.
///
/// # Errors
///
/// When the port cannot be had.
pub async fn server_main(args: ServerArgs) -> anyhow::Result<()> {
    let accounts = args.bots.iter().map(|bot| {
        let (token, name) = bot.split_once('=').unwrap_or((bot, "bot"));
        Account::new(token, name)
    });
    let world = World::new(accounts.collect(), args.files, args.local);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
    writeln!(std::io::stdout(), "ready http://{}", listener.local_addr()?)?;
    let stop = CancellationToken::new();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let ending = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        ending.cancel();
    });
    serve(listener, world, stop).await?;
    Ok(())
}
