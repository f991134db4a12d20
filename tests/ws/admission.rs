//! Who gets in, and who is sent away.

use std::time::Duration;

use logmedic::serve::hub::Settings;
use logmedic::vocab::Role;
use serde_json::{Value, json};

use super::rig::{House, Server, Store};

#[tokio::test]
async fn d1_a_token_a_cookie_or_a_ticket_opens_the_door_and_nothing_else_does() {
    let server = Server::start(&Store::new()).await;
    let own = format!("http://{}", server.address);
    let refused = |answer: Result<_, u16>| answer.err().unwrap_or(101);
    assert_eq!(refused(server.connect("/ws", &[]).await), 401);
    assert_eq!(refused(server.connect("/ws", &[("authorization", "Bearer nobody")]).await), 401);
    assert_eq!(refused(server.connect("/ws?ticket=guessed", &[]).await), 401);
    assert_eq!(refused(server.connect("/ws", &[("cookie", "session=vera"), ("origin", &own)]).await), 101);
    assert_eq!(refused(server.connect("/ws?topics=log", &[("authorization", "Bearer vera")]).await), 403);
    assert_eq!(refused(server.connect("/ws?topics=nonsense", &[("authorization", "Bearer vera")]).await), 400);

    let mut by_protocol =
        server.connect("/ws", &[("sec-websocket-protocol", "logmedic.v1, bearer.otto")]).await.unwrap();
    let welcome = by_protocol.next().await;
    assert_eq!(welcome["data"]["you"], json!({"account": "otto", "role": "operator"}));
    assert_eq!(welcome["data"]["heartbeat_s"], 30);

    let post = |path: &str| reqwest::Client::new().post(format!("{own}/api/v1{path}")).bearer_auth("vera");
    let ticket: Value = serde_json::from_str(&post("/ws/ticket").send().await.unwrap().text().await.unwrap()).unwrap();
    let path = format!("/ws?ticket={}", ticket["ticket"].as_str().unwrap());
    assert!(server.connect(&path, &[]).await.is_ok());
    assert_eq!(refused(server.connect(&path, &[]).await), 401, "a second time");
}

#[tokio::test]
async fn h2_a_cookie_that_comes_from_nowhere_opens_nothing() {
    let server = Server::start(&Store::new()).await;
    assert_eq!(server.connect("/ws", &[("cookie", "session=anna")]).await.err(), Some(403));
}

#[tokio::test]
async fn h2_a_change_of_rights_ends_the_connection_at_once() {
    let (store, house) = (Store::new(), House::new());
    let server = Server::with(&store, Settings::default(), house.clone(), false, "127.0.0.1:0").await;
    let (mut anna, mut otto, mut vera) =
        (server.client("anna").await, server.client("otto").await, server.client("vera").await);
    house.let_in("anna", Role::Viewer, None);
    assert_eq!(anna.end().await, 1008);
    house.guests.lock().unwrap().remove("otto");
    house.changes.send_modify(|count| *count += 1);
    assert_eq!(otto.end().await, 1008);
    vera.ask(&json!({"type": "ping"})).await;
    assert_eq!(vera.next().await["type"], "pong", "others stay");
    assert_eq!(server.client("anna").await.end_of_rights().await, 403);
}

impl super::rig::Client {
    /// What asking for the log's lines is answered with.
    async fn end_of_rights(&mut self) -> u16 {
        self.ask(&json!({"type": "subscribe", "topics": ["log"]})).await;
        if self.next().await["data"]["code"] == "forbidden" { 403 } else { 200 }
    }
}

#[tokio::test(start_paused = true)]
async fn h2_a_session_that_ends_ends_its_connection() {
    let (store, house) = (Store::new(), House::new());
    house.let_in("guest", Role::Viewer, Some(Duration::from_secs(20)));
    let server = Server::with(&store, Settings::default(), house, false, "127.0.0.1:0").await;
    let mut client = server.pipe(65_536, "/ws", &[("authorization", "Bearer guest")]).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(client.end().await, 1008);
    assert_eq!(begun.elapsed().as_secs(), 20);
}

#[tokio::test]
async fn h4_connections_are_limited_and_one_account_cannot_take_them_all() {
    let settings = Settings { max_clients: 4, max_of_account: 2, ..Settings::default() };
    let server = Server::with(&Store::new(), settings, House::new(), false, "127.0.0.1:0").await;
    let first = server.client("vera").await;
    let _second = server.client("vera").await;
    let vera = [("authorization", "Bearer vera")];
    assert_eq!(server.connect("/ws", &vera).await.err(), Some(503));
    let _others = (server.client("anna").await, server.client("anna").await);
    assert_eq!(server.connect("/ws", &[("authorization", "Bearer otto")]).await.err(), Some(503));
    drop(first);
    while server.hub.stats(false).connections.total == 4 {
        tokio::task::yield_now().await;
    }
    assert!(server.connect("/ws", &vera).await.is_ok(), "who leaves makes room");
}
