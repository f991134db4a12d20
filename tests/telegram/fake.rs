//! A Bot API server on loopback that answers by a script and is as strict as the real one about texts and entities.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

pub const TOKEN: &str = "123456:TESTtestTESTtestTESTtestTESTtest123";

/// Another bot at the same server.
pub const OTHER_TOKEN: &str = "654321:TESTtestTESTtestTESTtestTESTtest123";

/// No wait of these tests takes longer than this unless something is broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One scripted answer. Calls beyond the script are carried out.
#[derive(Clone, Debug)]
pub enum Answer {
    /// As the real server would.
    Real,
    /// `ok: false` with a code and a description, and parameters where they are not null.
    Error(u16, &'static str, Value),
    /// Not JSON at all, as a proxy in front answers.
    Proxy(u16),
    /// Never answers; the message is not there.
    Silence,
    /// Carries it out and never answers.
    SilentSuccess,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub chat: i64,
    pub at: Instant,
    pub body: Value,
}

#[derive(Default)]
pub struct Inner {
    pub calls: Vec<Call>,
    /// What a chat shows: message number → text.
    pub chats: HashMap<i64, BTreeMap<i64, Value>>,
    scripts: HashMap<i64, VecDeque<Answer>>,
    next_id: i64,
    /// What was pressed and said, until somebody has asked for what comes behind it.
    updates: Vec<Value>,
    next_update: i64,
    /// Where another program has this bot's messages sent.
    pub webhook: &'static str,
    pub complaints: Vec<String>,
}

impl Inner {
    /// The texts in a chat, oldest first.
    pub fn texts(&self, chat: i64) -> Vec<String> {
        let shown = self.chats.get(&chat).into_iter().flat_map(BTreeMap::values);
        shown.map(|body| body["text"].as_str().unwrap().to_owned()).collect()
    }

    pub fn calls_of(&self, method: &str, chat: i64) -> Vec<&Call> {
        self.calls.iter().filter(|call| call.method == method && call.chat == chat).collect()
    }

    fn carry_out(&mut self, call: &Call) -> (u16, Value) {
        let error = |code: u16, text: &str| (code, json!({"ok": false, "error_code": code, "description": text}));
        let ok = |result: Value| (200, json!({"ok": true, "result": result}));
        let chat = call.chat;
        match call.method.as_str() {
            "getme" => ok(json!({"id": 123456, "is_bot": true, "first_name": "Alerts", "username": "alerts_bot",
                "can_join_groups": true, "can_read_all_group_messages": false, "supports_inline_queries": false,
                "can_connect_to_business": false, "has_main_web_app": false})),
            "getchat" => ok(json!({"id": chat, "type": "private", "first_name": "Ana", "accent_color_id": 0,
                "max_reaction_count": 11})),
            "sendchataction" | "answercallbackquery" => ok(json!(true)),
            "getwebhookinfo" => {
                ok(json!({"url": self.webhook, "has_custom_certificate": false, "pending_update_count": 0}))
            }
            "getupdates" => {
                let from = call.body["offset"].as_i64().unwrap_or(0);
                self.updates.retain(|update| update["update_id"].as_i64().unwrap() >= from);
                ok(json!(self.updates))
            }
            "sendmessage" => {
                self.next_id += 1;
                let id = self.next_id;
                self.chats.entry(chat).or_default().insert(id, call.body.clone());
                ok(message(id, call))
            }
            "editmessagetext" => {
                let id = call.body["message_id"].as_i64().unwrap();
                let Some(old) = self.chats.entry(chat).or_default().get_mut(&id) else {
                    return error(400, "Bad Request: message to edit not found");
                };
                let same = |field: &str| old[field] == call.body[field];
                if same("text") && same("entities") && same("reply_markup") {
                    return error(
                        400,
                        "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message",
                    );
                }
                *old = call.body.clone();
                ok(message(id, call))
            }
            other => {
                self.complaints.push(format!("unexpected method {other}"));
                error(404, "Not Found")
            }
        }
    }
}

fn message(id: i64, call: &Call) -> Value {
    json!({"message_id": id, "date": 1_795_000_000, "chat": {"id": call.chat, "type": "private", "first_name": "Ana"},
        "text": call.body["text"]})
}

/// What the real server would refuse or what must never be sent.
fn complaint(call: &Call) -> Option<String> {
    if !matches!(call.method.as_str(), "sendmessage" | "editmessagetext") {
        return None;
    }
    let body = &call.body;
    let units: Vec<u16> = body["text"].as_str()?.encode_utf16().collect();
    if units.is_empty() || units.len() > 4096 {
        return Some(format!("{} units of text", units.len()));
    }
    if body.get("parse_mode").is_some_and(|mode| !mode.is_null()) {
        return Some("a parse mode".into());
    }
    if body["link_preview_options"]["is_disabled"] != json!(true) {
        return Some("a link preview".into());
    }
    let mut end = 0;
    for entity in body["entities"].as_array().into_iter().flatten() {
        let (offset, length) = (entity["offset"].as_u64()? as usize, entity["length"].as_u64()? as usize);
        if offset < end || offset + length > units.len() || length == 0 {
            return Some(format!("a bad entity: {entity}"));
        }
        if entity.as_object()?.values().any(Value::is_null) {
            return Some(format!("an entity with a null: {entity}"));
        }
        end = offset + length;
    }
    None
}

/// The server. Stops with the test's runtime.
#[derive(Clone)]
pub struct Fake {
    pub url: url::Url,
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<()>,
}

impl Fake {
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self::on(socket).await
    }

    /// Starts on a socket that is bound and does not listen yet: until now it refused every connection.
    pub async fn on(socket: TcpSocket) -> Self {
        let url = format!("http://{}", socket.local_addr().unwrap()).parse().unwrap();
        let listener: TcpListener = socket.listen(64).unwrap();
        let fake = Self { url, inner: Arc::default(), changed: watch::channel(()).0 };
        let app = Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        fake
    }

    pub fn script(&self, chat: i64, answers: impl IntoIterator<Item = Answer>) {
        self.with(|inner| inner.scripts.entry(chat).or_default().extend(answers));
    }

    /// Somebody presses or says something.
    pub fn push(&self, mut update: Value) {
        self.with(|inner| {
            inner.next_update += 1;
            update["update_id"] = inner.next_update.into();
            inner.updates.push(update);
        });
        self.changed.send_replace(());
    }

    /// What is there for a poll; waits as long as the poll asks when there is nothing.
    async fn poll(&self, call: &Call) -> String {
        let mut changed = self.changed.subscribe();
        let end = tokio::time::Instant::now() + Duration::from_secs(call.body["timeout"].as_u64().unwrap_or(0));
        loop {
            let (_, answer) = self.with(|inner| inner.carry_out(call));
            let some = answer["result"].as_array().is_some_and(|found| !found.is_empty());
            if some || tokio::time::timeout_at(end, changed.changed()).await.is_err() {
                return answer.to_string();
            }
        }
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock().unwrap())
    }

    /// Waits until the server has seen what is looked for.
    pub async fn until(&self, what: &str, mut seen: impl FnMut(&mut Inner) -> bool) {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !self.with(&mut seen) {
                changed.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            self.with(|inner| panic!("never saw {what}; calls: {:#?}", inner.calls));
        }
    }

    pub async fn until_texts(&self, chat: i64, wanted: usize) {
        self.until(&format!("{wanted} messages in {chat}"), |inner| inner.texts(chat).len() >= wanted).await;
    }

    /// Nothing that must never be sent was sent.
    pub fn content(&self) {
        self.with(|inner| assert_eq!(inner.complaints, Vec::<String>::new()));
    }
}

async fn answer(State(fake): State<Fake>, uri: Uri, body: String) -> Response {
    let mut path = uri.path().trim_start_matches('/').split('/');
    let token = path.next().unwrap_or_default().strip_prefix("bot").unwrap_or_default().to_owned();
    let method = path.next().unwrap_or_default().to_lowercase();
    let body: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
    let chat = body["chat_id"].as_i64().unwrap_or(0);
    let call = Call { method, chat, at: Instant::now(), body };
    let (code, text) = {
        let mut inner = fake.inner.lock().unwrap();
        inner.calls.push(call.clone());
        if token != TOKEN && token != OTHER_TOKEN {
            (401, Some(json!({"ok": false, "error_code": 401, "description": "Unauthorized"}).to_string()))
        } else {
            let scripted = inner.scripts.get_mut(&chat).and_then(VecDeque::pop_front).unwrap_or(Answer::Real);
            let complaint = complaint(&call);
            inner.complaints.extend(complaint);
            match scripted {
                Answer::Real => {
                    let (code, value) = inner.carry_out(&call);
                    (code, Some(value.to_string()))
                }
                Answer::Error(code, description, parameters) => {
                    let mut value = json!({"ok": false, "error_code": code, "description": description});
                    if !parameters.is_null() {
                        value["parameters"] = parameters;
                    }
                    (code, Some(value.to_string()))
                }
                Answer::Proxy(code) => (code, Some("<html><h1>Bad Gateway</h1></html>".into())),
                Answer::Silence => (0, None),
                Answer::SilentSuccess => {
                    inner.carry_out(&call);
                    (0, None)
                }
            }
        }
    };
    fake.changed.send_replace(());
    let text = if code == 200 && call.method == "getupdates" { Some(fake.poll(&call).await) } else { text };
    match text {
        Some(text) => (StatusCode::from_u16(code).unwrap(), text).into_response(),
        None => std::future::pending().await,
    }
}
