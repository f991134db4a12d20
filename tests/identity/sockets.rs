//! Live sockets: how they are opened, and that they follow what changes.

use std::net::IpAddr;
use std::time::Duration;

use chrono::Utc;
use logmedic::ledger::identity as store;
use logmedic::serve::auth::token::{Claims, Key};
use logmedic::vocab::Role;
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::rig::{Rig, status};

/// How long a change may take to reach a socket; what is asked is that it comes by itself.
const SOON: Duration = Duration::from_secs(10);

struct Socket(reqwest::Upgraded);

impl Socket {
    /// Opens one, or the status with which that was refused.
    async fn open(request: reqwest::RequestBuilder) -> Result<Self, u16> {
        let answer = request
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .send()
            .await
            .unwrap();
        match answer.status().as_u16() {
            101 => Ok(Self(answer.upgrade().await.unwrap())),
            status => Err(status),
        }
    }

    /// The next text, or `None` when the socket ended.
    async fn next(&mut self) -> Option<String> {
        let mut head = [0; 2];
        tokio::time::timeout(SOON, self.0.read_exact(&mut head)).await.unwrap().ok()?;
        let mut body = vec![0; usize::from(head[1] & 127)];
        self.0.read_exact(&mut body).await.ok()?;
        (head[0] & 15 == 1).then(|| String::from_utf8(body).unwrap())
    }
}

#[tokio::test]
async fn d1_a_socket_opens_by_cookie_by_subprotocol_and_by_ticket() {
    let rig = Rig::start().await;
    let otto = rig.login("otto").await;
    let ws = || otto.client.get(rig.url("ws"));
    assert_eq!(Socket::open(ws()).await.err(), Some(401));
    let mut by_cookie = Socket::open(ws().header("cookie", &otto.cookie).header("origin", rig.origin())).await.unwrap();
    assert_eq!(by_cookie.next().await.as_deref(), Some("operator"));
    let offered = format!("logmedic.v1, bearer.{}", otto.token);
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"] {
        for (name, pass) in [("cookie", &otto.cookie), ("sec-websocket-protocol", &offered)] {
            let foreign = ws().header(name, pass).header("origin", origin);
            assert_eq!(Socket::open(foreign).await.err(), Some(403), "{origin} by {name}");
        }
        let ticket = otto.client.post(rig.url("ws/ticket")).header("cookie", &otto.cookie).header("origin", origin);
        assert_eq!(status(ticket).await, 403, "{origin}");
    }
    assert!(Socket::open(ws().header("sec-websocket-protocol", offered)).await.is_ok());
    assert_eq!(Socket::open(ws().header("sec-websocket-protocol", "logmedic.v1, bearer.x.y.z")).await.err(), Some(401));
    // Only a socket may show its token that way.
    let plain = otto.client.get(rig.url("look")).header("sec-websocket-protocol", format!("bearer.{}", otto.token));
    assert_eq!(status(plain).await, 401);

    let ticket = async || {
        let answer = otto.by_cookie("POST", rig.url("ws/ticket")).send().await.unwrap();
        answer.text().await.unwrap()
    };
    let (one, two) = (ticket().await, ticket().await);
    let with = |client: &reqwest::Client, ticket: &str| client.get(rig.url(&format!("ws?ticket={ticket}")));
    assert!(Socket::open(with(&otto.client, &one)).await.is_ok());
    assert_eq!(Socket::open(with(&otto.client, &one)).await.err(), Some(401), "used");
    let elsewhere = reqwest::Client::builder().local_address(IpAddr::from([127, 0, 0, 2])).build().unwrap();
    assert_eq!(Socket::open(with(&elsewhere, &two)).await.err(), Some(401), "of another address");
    assert_eq!(Socket::open(with(&otto.client, &two)).await.err(), Some(401), "and used up by that");
    let late = ticket().await;
    assert_eq!(status(otto.by_cookie("POST", rig.url("auth/logout"))).await, 204);
    assert_eq!(Socket::open(with(&otto.client, &late)).await.err(), Some(401), "its session has ended");
    assert_eq!(Socket::open(with(&otto.client, "")).await.err(), Some(401));
}

#[tokio::test]
async fn d1_a_live_socket_follows_the_role_and_ends_with_the_session() {
    let rig = Rig::start().await;
    let (ada, otto) = (rig.login("ada").await, rig.login("otto").await);
    let mut by_cookie = Socket::open(otto.by_cookie("GET", rig.url("ws"))).await.unwrap();
    let mut by_token = Socket::open(otto.by_token("GET", rig.url("ws"))).await.unwrap();
    assert_eq!(by_cookie.next().await.as_deref(), Some("operator"));
    assert_eq!(by_token.next().await.as_deref(), Some("operator"));
    let lower = ada.by_cookie("PATCH", rig.url("accounts/otto")).json(&json!({ "role": "viewer" }));
    assert_eq!(status(lower).await, 200);
    assert_eq!(by_cookie.next().await.as_deref(), Some("viewer"));
    assert_eq!(by_token.next().await.as_deref(), Some("token_void"), "its token says operator");
    assert_eq!(by_token.next().await, None);
    let gone = ada.by_cookie("DELETE", rig.url(&format!("auth/sessions/{}", otto.session)));
    assert_eq!(status(gone).await, 204);
    assert_eq!(by_cookie.next().await.as_deref(), Some("session_ended"));
    assert_eq!(by_cookie.next().await, None);
}

#[tokio::test]
async fn d1_another_process_s_change_reaches_a_live_socket() {
    let rig = Rig::start().await;
    let vera = rig.login("vera").await;
    let mut socket = Socket::open(vera.by_cookie("GET", rig.url("ws"))).await.unwrap();
    assert_eq!(socket.next().await.as_deref(), Some("viewer"));
    let mut other = rusqlite::Connection::open(rig.ledger.path()).unwrap();
    // As every writer here does: who reads first and writes then is refused when somebody wrote in between.
    let tx = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    store::set_role(&tx, "vera", Role::Operator).unwrap().unwrap();
    tx.commit().unwrap();
    assert_eq!(socket.next().await.as_deref(), Some("operator"));
    let tx = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    store::remove(&tx, "vera").unwrap().unwrap();
    tx.commit().unwrap();
    assert_eq!(socket.next().await.as_deref(), Some("session_ended"));
}

#[tokio::test]
async fn d1_a_live_socket_ends_when_its_token_does() {
    let rig = Rig::start().await;
    let vera = rig.login("vera").await;
    let row = rig.ledger.read(|db| store::session(db, &vera.session)).unwrap().unwrap();
    let now = Utc::now().timestamp();
    let claims = Claims {
        sub: "vera".into(),
        role: Role::Viewer,
        sid: vera.session.clone(),
        generation: row.generation,
        jti: "J".into(),
        iat: now,
        exp: now + 2,
    };
    let token = Key::open(rig.dir.path()).unwrap().sign(&claims).unwrap();
    let mut socket = Socket::open(vera.client.get(rig.url("ws")).bearer_auth(token)).await.unwrap();
    assert_eq!(socket.next().await.as_deref(), Some("viewer"));
    assert_eq!(socket.next().await.as_deref(), Some("session_ended"));
}
