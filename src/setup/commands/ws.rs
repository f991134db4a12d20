//! `logmedic ws tail`: shows what the hub tells, and connects again by itself.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{Done, Failure};
use crate::serve::listen::SOCKET;
use crate::setup::load::{self, Surroundings};
use crate::vocab::{Secret, clean_line, json_text, shorten};

/// What is shown when no topic is named: everything that changes; log lines need a role and are many.
const TOPICS: &[&str] = &["job", "operation", "incident", "agent", "system", "notification"];

/// Waits before the attempts to connect again; the last one is repeated. All below two seconds.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(700), Duration::from_millis(1_500)];

/// How long the server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Silence of so many heartbeats means that nobody is there.
const SILENT_BEATS: u32 = 3;

/// The longest frame that is taken from the server.
const FRAME_MAX: usize = 1 << 20;

/// How much of what happened a line shows, in characters.
const SHOWN: usize = 160;

/// `ws …`.
#[derive(Debug, Subcommand)]
pub enum WsCommand {
    /// Show what changes until interrupted; what was missed while the connection was away is shown too, or a gap.
    Tail(TailArgs),
}

/// `ws tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Topics, separated by commas or by repeating: job, operation, incident, agent, system, notification, log, stats.
    #[arg(long, value_name = "TOPIC", value_delimiter = ',')]
    pub topic: Vec<String>,
    /// Only this job.
    #[arg(long, value_name = "ID")]
    pub job: Option<String>,
    /// The frames as they came, one a line.
    #[arg(long)]
    pub json: bool,
    /// The server. Without it: the agent on this machine, by the socket in its state directory, without a token.
    #[arg(long, value_name = "URL", env = "LOGMEDIC_URL")]
    pub url: Option<String>,
    /// File that holds the token; `logmedic token create` makes one.
    #[arg(long, value_name = "FILE", env = "LOGMEDIC_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// End after so many frames.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// `logmedic ws`.
///
/// # Errors
/// When the server refuses (77), cannot be reached at first (75), or the output cannot be written.
pub fn ws(command: WsCommand, file: Option<&Path>, around: &Surroundings, out: &mut impl Write) -> Done {
    let WsCommand::Tail(args) = command;
    let socket = match args.url {
        Some(_) => None,
        None => Some(load::load(file, around)?.state_dir.join(SOCKET)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("failed to start: {error}")))?;
    runtime.block_on(Tail::new(args, socket)?.follow(out))
}

/// What we need of a frame.
#[derive(Deserialize)]
struct Frame {
    seq: u64,
    epoch: String,
    topic: String,
    r#type: String,
    #[serde(default)]
    key: String,
    at: String,
    data: Value,
}

struct Tail {
    args: TailArgs,
    /// Where routes are.
    base: String,
    /// The same for people.
    place: String,
    token: Option<Secret>,
    client: reqwest::Client,
    /// The last number that was seen, and its epoch.
    seen: Option<(String, u64)>,
    shown: u64,
}

/// How a connection ended.
enum Ended {
    /// As many frames as were wanted.
    Enough,
    /// It broke: connect again. `lived`: it had worked.
    Broke { lived: bool, why: String },
}

impl Tail {
    fn new(args: TailArgs, socket: Option<PathBuf>) -> Result<Self, Failure> {
        let token = match &args.token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
                Some(Secret::new(text.trim()))
            }
            None => None,
        };
        // The agent is on this machine or named by its user: a proxy for the world has no part in it.
        let client = reqwest::Client::builder().http1_only().no_proxy().connect_timeout(ANSWER);
        let client = match &socket {
            Some(socket) => client.unix_socket(socket.as_path()).build(),
            None => client.build(),
        };
        let client = client.map_err(|error| Failure::failed(format!("failed to start: {error}")))?;
        let base = args.url.clone().unwrap_or_else(|| "http://localhost".to_owned());
        let place = socket.map_or_else(|| base.clone(), |socket| socket.display().to_string());
        Ok(Self { args, base, place, token, client, seen: None, shown: 0 })
    }

    async fn follow(mut self, out: &mut impl Write) -> Done {
        let mut attempt = 0;
        loop {
            match self.session(out).await? {
                Ended::Enough => return Ok(0),
                Ended::Broke { lived: false, why } if self.seen.is_none() => {
                    let message = format!("failed to reach {}: {why}; is `logmedic run` running there?", self.place);
                    return Err(Failure::Other { code: 75, message });
                }
                Ended::Broke { lived, why } => {
                    attempt = if lived { 0 } else { attempt + 1 };
                    let pause = AGAIN[attempt.min(AGAIN.len() - 1)];
                    tracing::debug!("{why}");
                    sleep(pause).await;
                }
            }
        }
    }

    /// One connection.
    async fn session(&mut self, out: &mut impl Write) -> Result<Ended, Failure> {
        let broke = |lived, why: &dyn std::fmt::Display| Ok(Ended::Broke { lived, why: why.to_string() });
        let mut request = self
            .client
            .get(format!("{}/api/v1/ws", self.base.trim_end_matches('/')))
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", STANDARD.encode(nonce()));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let answer = match timeout(ANSWER, request.send()).await {
            Err(_) => return broke(false, &"no answer"),
            Ok(Err(error)) => return broke(false, &error.without_url()),
            Ok(Ok(answer)) => answer,
        };
        match answer.status().as_u16() {
            101 => {}
            401 | 403 => {
                let text = answer.text().await.unwrap_or_default();
                let message = format!(
                    "failed to open the WebSocket: the server refuses: {}; `logmedic token create` makes a token for --token-file",
                    shorten(&text, SHOWN)
                );
                return Err(Failure::Other { code: 77, message });
            }
            status => return broke(false, &format!("the server answers {status}")),
        }
        let upgraded = match answer.upgrade().await {
            Ok(upgraded) => upgraded,
            Err(error) => return broke(false, &error),
        };
        let config = WebSocketConfig::default().max_message_size(Some(FRAME_MAX)).max_frame_size(Some(FRAME_MAX));
        let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await;
        let mut silence = Duration::from_secs(90);
        loop {
            let text = match timeout(silence, socket.next()).await {
                Err(_) => return broke(true, &"silence"),
                Ok(None) => return broke(true, &"closed"),
                Ok(Some(Err(error))) => return broke(true, &error),
                Ok(Some(Ok(Message::Text(text)))) => text,
                Ok(Some(Ok(Message::Close(why)))) => {
                    let why = why.map(|why| why.reason.to_string()).unwrap_or_default();
                    return broke(true, &why);
                }
                Ok(Some(Ok(_))) => continue,
            };
            let Ok(frame) = serde_json::from_str::<Frame>(&text) else { continue };
            if frame.r#type == "welcome" {
                let beat = frame.data["heartbeat_s"].as_u64().unwrap_or(30).clamp(1, 3_600);
                silence = Duration::from_secs(beat) * SILENT_BEATS;
                if let Err(error) = socket.send(Message::Text(self.wish())).await {
                    return broke(true, &error);
                }
            }
            if self.show(&frame, &text, out)? {
                return Ok(Ended::Enough);
            }
        }
    }

    /// What we want: from where we were, or from now on.
    fn wish(&self) -> Utf8Bytes {
        let none = self.args.topic.is_empty();
        let topics: Vec<&str> = match (&self.args.job, none) {
            (Some(_), true) => Vec::new(),
            (None, true) => TOPICS.to_vec(),
            _ => self.args.topic.iter().map(String::as_str).collect(),
        };
        let jobs: Vec<&String> = self.args.job.iter().collect();
        let wish = match &self.seen {
            Some((epoch, seq)) => json!({"type": "resume", "epoch": epoch, "seq": seq, "topics": topics, "jobs": jobs}),
            None => json!({"type": "subscribe", "topics": topics, "jobs": jobs}),
        };
        wish.to_string().into()
    }

    /// Shows a frame. Whether that was the last one wanted.
    fn show(&mut self, frame: &Frame, text: &str, out: &mut impl Write) -> Result<bool, Failure> {
        // The number in a welcome is where the server is, not where we are.
        let own = matches!(frame.r#type.as_str(), "welcome" | "ok" | "heartbeat" | "pong");
        let first = self.seen.is_none();
        let newer = self.seen.as_ref().is_none_or(|(epoch, seq)| *epoch != frame.epoch || *seq < frame.seq);
        if (newer && frame.r#type != "welcome") || first {
            self.seen = Some((frame.epoch.clone(), frame.seq));
        }
        if self.args.json {
            writeln!(out, "{}", json_text(text.to_owned()))?;
        } else if !own {
            let time = frame.at.get(11..19).unwrap_or(&frame.at);
            let data = if frame.data.is_null() { String::new() } else { frame.data.to_string() };
            let line = format!("{time}  {:<24} {} {}", frame.r#type, frame.key, shorten(&data, SHOWN));
            writeln!(out, "{}", clean_line(line.trim_end()))?;
        }
        out.flush()?;
        if frame.r#type == "error" {
            let detail = frame.data["detail"].as_str().unwrap_or("an error").to_owned();
            return Err(Failure::failed(format!("failed to subscribe to {}: {detail}", frame.topic)));
        }
        self.shown += u64::from(self.args.json || !own);
        Ok(self.args.limit.is_some_and(|limit| self.shown >= limit))
    }
}

/// Differs from request to request; it guards against caches, not against people.
fn nonce() -> [u8; 16] {
    use std::hash::{BuildHasher as _, RandomState};
    let random = || RandomState::new().hash_one(Instant::now()).to_le_bytes();
    let (mut nonce, halves) = ([0; 16], [random(), random()]);
    nonce[..8].copy_from_slice(&halves[0]);
    nonce[8..].copy_from_slice(&halves[1]);
    nonce
}
