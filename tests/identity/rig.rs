//! A server with the identity's routes, three routes of each role and a socket, as the agent has them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use chrono::Utc;
use logmedic::ledger::{Force, Ledger, identity as store};
use logmedic::serve::auth::{self, Admin, Identity, Operator, Peer, Principal, Viewer, password};
use logmedic::serve::guard::{Guard, Settings};
use logmedic::serve::problem::Problem;
use logmedic::vocab::{Role, Secret};
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub const PASSWORD: &str = "correct horse battery";

pub struct Rig {
    pub dir: tempfile::TempDir,
    pub ledger: Ledger,
    pub identity: Identity,
    pub address: SocketAddr,
    pub api: OpenApi,
}

#[derive(Clone)]
struct App(Identity);

impl FromRef<App> for Identity {
    fn from_ref(app: &App) -> Self {
        app.0.clone()
    }
}

/// How a test wants it.
#[derive(Default)]
pub struct Wanted {
    pub hosts: Vec<String>,
    pub trusted_proxies: Vec<IpAddr>,
}

impl Rig {
    /// A server with an account of each role: `vera`, `otto`, `ada`, all with [`PASSWORD`].
    pub async fn start() -> Self {
        let rig = Self::empty(Wanted::default()).await;
        // Hashing is slow on purpose; once is enough.
        let hash = password::hash_here(&Secret::new(PASSWORD)).unwrap();
        let accounts = [("vera", Role::Viewer), ("otto", Role::Operator), ("ada", Role::Admin)];
        let add = rig.ledger.write_here(Force::Later, |tx| {
            for (name, role) in accounts {
                store::add(tx, name, role, &hash, Utc::now())?.unwrap();
            }
            Ok(())
        });
        add.unwrap();
        rig
    }

    /// A server without any account.
    pub async fn empty(wanted: Wanted) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = auth::Settings { port: address.port(), session_ttl: Duration::from_secs(3_600) };
        let identity = Identity::open(ledger.clone(), dir.path(), settings).unwrap();
        let (router, api) = router(&identity, address, wanted);
        let unix = tokio::net::UnixListener::bind(dir.path().join("api.sock")).unwrap();
        let service = router.into_make_service_with_connect_info::<Peer>();
        tokio::spawn(axum::serve(listener, service.clone()).into_future());
        tokio::spawn(axum::serve(unix, service).into_future());
        tokio::spawn(identity.clone().tend(|| true, tokio_util::sync::CancellationToken::new()));
        Self { dir, ledger, identity, address, api }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1/{path}", self.address)
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Somebody who logged in.
    pub async fn login(&self, account: &str) -> Person {
        let client = reqwest::Client::new();
        let body = json!({ "account": account, "password": PASSWORD });
        let answer = client.post(self.url("auth/login")).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{account}");
        Person::of(client, answer).await
    }

    /// A try to log in: the status and what is answered.
    pub async fn try_login(&self, body: Value) -> (u16, Value) {
        let answer = reqwest::Client::new().post(self.url("auth/login")).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

/// A client with both things a login gives.
pub struct Person {
    pub client: reqwest::Client,
    pub cookie: String,
    pub set_cookie: String,
    pub token: String,
    pub session: String,
}

impl Person {
    pub async fn of(client: reqwest::Client, answer: reqwest::Response) -> Self {
        let set_cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        let cookie = set_cookie.split(';').next().unwrap().to_owned();
        let body: Value = answer.json().await.unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Self { client, cookie, set_cookie, token: text("token"), session: text("session") }
    }

    pub fn by_cookie(&self, method: &str, url: String) -> reqwest::RequestBuilder {
        self.client.request(method.parse().unwrap(), url).header("cookie", &self.cookie)
    }

    pub fn by_token(&self, method: &str, url: String) -> reqwest::RequestBuilder {
        self.client.request(method.parse().unwrap(), url).bearer_auth(&self.token)
    }
}

/// The status and the problem's code.
pub async fn told(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

pub async fn status(request: reqwest::RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

fn router(identity: &Identity, listen: SocketAddr, wanted: Wanted) -> (Router, OpenApi) {
    let (auth, api) = OpenApiRouter::new()
        .merge(auth::router::<App>(identity.clone()))
        .merge(logmedic::serve::audit::router::<App>(identity.clone()))
        .split_for_parts();
    let probes = Router::new()
        .route("/look", get(|_: Viewer| async { "seen" }))
        .route("/act/{id}", post(|_: Operator| async { "done" }))
        .route("/rule", post(|_: Admin| async { "ruled" }))
        .route("/fail", post(|_: Viewer| async { (StatusCode::INTERNAL_SERVER_ERROR, "secret detail") }))
        .route("/panic", get(panics))
        .route("/address", get(|Viewer(who): Viewer| async move { format!("{} {}", who.account, who.address) }))
        .route("/ws/ticket", post(ticket))
        .route("/ws", get(socket));
    let router = Router::new().nest("/api/v1", auth.merge(probes)).with_state(App(identity.clone()));
    let Wanted { hosts, trusted_proxies } = wanted;
    let guard = Guard::new(Settings { listen, hosts, trusted_proxies }, identity.clone());
    (guard.protect(router), api)
}

async fn panics() -> &'static str {
    panic!("told to")
}

async fn ticket(State(App(identity)): State<App>, Viewer(who): Viewer) -> Result<String, Problem> {
    identity.ticket(&who)
}

/// Says its role when it is opened and whenever that changes; ends when its holder may not listen any more.
async fn socket(State(App(identity)): State<App>, Viewer(who): Viewer, upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["logmedic.v1"]).on_upgrade(move |mut socket| async move {
        let mut changes = identity.changes();
        let mut who: Principal = who;
        let mut said = None;
        loop {
            if said != Some(who.role) {
                said = Some(who.role);
                if socket.send(Message::Text(who.role.as_str().into())).await.is_err() {
                    return;
                }
            }
            let left = who.until.and_then(|until| (until - Utc::now()).to_std().ok()).unwrap_or_default();
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(left), if who.until.is_some() => {}
                message = socket.recv() => if message.is_none() { return },
            }
            match identity.recheck(&who, Utc::now()) {
                Ok(now) => who = now,
                Err(problem) => {
                    let _ = socket.send(Message::Text(problem.code.into())).await;
                    return;
                }
            }
        }
    })
}
