//! Proves over real sockets that the server answers, and fails, as a real one does.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, RANGE, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fault::{Fault, Misbehaviour};
use super::serve;
use super::world::{Account, Stored, VideoMessage, World};

const TOKEN: &str = "1111:download-bot";
const OTHER: &str = "2222:alert-bot";
const SIZE: u64 = 300_000;
const LIMIT: Duration = Duration::from_secs(10);

struct Server {
    world: World,
    url: String,
    client: Client,
    _dir: tempfile::TempDir,
    _stop: DropGuard,
}

async fn server(local_mode: bool) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(
        vec![Account::new(TOKEN, "saver_bot"), Account::new(OTHER, "alerts_bot")],
        dir.path().into(),
        local_mode,
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, world.clone(), stop.clone()));
    Server { world, url, client: Client::new(), _dir: dir, _stop: stop.drop_guard() }
}

impl Server {
    async fn call(&self, token: &str, method: &str, body: Value) -> (StatusCode, Value) {
        let answer = self.client.post(format!("{}/bot{token}/{method}", self.url)).json(&body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    fn video(&self) -> Stored {
        let message = VideoMessage {
            token: TOKEN.into(),
            chat: 7,
            caption: "#ana".into(),
            file_name: "a.mp4".into(),
            size: SIZE,
            document: false,
        };
        self.world.send_video(&message).unwrap()
    }

    fn file_url(&self, stored: &Stored) -> String {
        format!("{}/file/bot{TOKEN}/{}", self.url, stored.file_path)
    }

    fn arm(&self, on: &str, what: Misbehaviour) {
        assert!(self.world.arm(Fault { on: on.into(), only: None, times: 1, what }));
    }
}

#[tokio::test]
async fn methods_take_any_case_and_json_forms_or_queries() {
    let server = server(false).await;
    let stored = server.video();
    let (_, me) = server.call(TOKEN, "GetMe", json!({})).await;
    assert_eq!(me["result"]["id"], 1111);
    for method in ["getFile", "GetFile"] {
        let (_, file) = server.call(TOKEN, method, json!({ "file_id": stored.file_id })).await;
        assert_eq!(file["result"]["file_path"], "videos/file_1.mp4");
    }
    let form = format!("file_id={}", stored.file_id);
    let request = server.client.post(format!("{}/bot1111%3Adownload-bot/getFile", server.url)).body(form);
    let file: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(file["result"]["file_size"], SIZE);
}

#[tokio::test]
async fn strangers_and_other_bots_get_nothing() {
    let server = server(false).await;
    let stored = server.video();
    let (status, answer) = server.call("3333:nobody", "getMe", json!({})).await;
    assert_eq!((status, &answer["description"]), (StatusCode::UNAUTHORIZED, &json!("Unauthorized")));
    let (status, answer) = server.call(OTHER, "getFile", json!({ "file_id": stored.file_id })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let wrong = "Bad Request: wrong file_id or the file is temporarily unavailable";
    assert_eq!(answer["description"], wrong);
}

#[tokio::test]
async fn updates_wait_for_the_poll_and_go_once_confirmed() {
    let server = server(false).await;
    let polled = async { server.call(TOKEN, "getUpdates", json!({ "timeout": 10 })).await.1 };
    let send = async {
        server.world.wait_for(LIMIT, |world| (world.calls("getUpdates") == 1).then_some(())).await.unwrap();
        server.video()
    };
    let (updates, stored) = tokio::join!(polled, send);
    assert_eq!(updates["result"][0]["message"]["video"]["file_id"], stored.file_id);
    let next = updates["result"][0]["update_id"].as_i64().unwrap() + 1;
    let (_, none) = server.call(TOKEN, "getUpdates", json!({ "offset": next })).await;
    assert_eq!(none["result"], json!([]));
}

#[tokio::test]
async fn a_second_poller_ends_the_first_with_409() {
    let server = server(false).await;
    let first = async { server.call(TOKEN, "getUpdates", json!({ "timeout": 10 })).await };
    let second = async {
        server.world.wait_for(LIMIT, |world| (world.calls("getUpdates") == 1).then_some(())).await.unwrap();
        server.call(TOKEN, "getUpdates", json!({ "timeout": 0 })).await
    };
    let ((status, answer), _) = tokio::join!(first, second);
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(answer["description"].as_str().unwrap().starts_with("Conflict: terminated by other getUpdates request"));
}

#[tokio::test]
async fn messages_and_edits_are_kept_for_the_onlooker() {
    let server = server(false).await;
    let (_, sent) = server.call(OTHER, "sendMessage", json!({ "chat_id": 9, "text": "one" })).await;
    let id = sent["result"]["message_id"].as_i64().unwrap();
    let edit = json!({ "chat_id": 9, "message_id": id, "text": "two" });
    assert_eq!(server.call(OTHER, "editMessageText", edit.clone()).await.0, StatusCode::OK);
    let (status, answer) = server.call(OTHER, "editMessageText", edit).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["description"].as_str().unwrap().starts_with("Bad Request: message is not modified"));
    let inbox = server.world.inbox("alerts_bot", 0);
    let texts: Vec<&str> = inbox.iter().map(|sent| sent.text.as_str()).collect();
    assert_eq!(texts, ["one", "two"]);
    assert!(server.world.inbox("saver_bot", 0).is_empty());
}

#[tokio::test]
async fn files_come_whole_encoded_as_one_segment_and_from_a_byte_on() {
    let server = server(false).await;
    let stored = server.video();
    let original = std::fs::read(&stored.local).unwrap();
    let one_segment = format!("{}/file/bot1111%3Adownload-bot/videos%2Ffile_1.mp4", server.url);
    assert_eq!(server.client.get(one_segment).send().await.unwrap().bytes().await.unwrap(), original);
    let rest = server.client.get(server.file_url(&stored)).header(RANGE, "bytes=100000-").send().await.unwrap();
    assert_eq!(rest.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(rest.headers()[CONTENT_RANGE], "bytes 100000-299999/300000");
    assert_eq!(rest.bytes().await.unwrap(), original[100_000..]);
    let beyond = server.client.get(server.file_url(&stored)).header(RANGE, "bytes=300000-").send().await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn a_local_mode_server_gives_paths_and_serves_no_files() {
    let server = server(true).await;
    let stored = server.video();
    let (_, file) = server.call(TOKEN, "getFile", json!({ "file_id": stored.file_id })).await;
    assert_eq!(file["result"]["file_path"], stored.local.to_str().unwrap());
    assert_eq!(server.client.get(server.file_url(&stored)).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn transfers_are_cut_reset_and_stalled_as_asked() {
    let server = server(false).await;
    let stored = server.video();
    let get = || server.client.get(server.file_url(&stored)).timeout(LIMIT).send();
    server.arm("file", Misbehaviour::Cut { keep: 0.5, claims_whole: true });
    assert_eq!(get().await.unwrap().bytes().await.unwrap().len(), 150_000);
    server.arm("file", Misbehaviour::Cut { keep: 0.5, claims_whole: false });
    let early = get().await.unwrap();
    assert_eq!(early.content_length(), Some(SIZE));
    assert!(early.bytes().await.is_err());
    server.arm("file", Misbehaviour::Reset { after: 1_000 });
    assert!(format!("{:?}", get().await.unwrap().bytes().await.unwrap_err()).contains("ConnectionReset"));
    server.arm("file", Misbehaviour::Stall { after: 1_000, ms: 60_000 });
    let mut stalled = get().await.unwrap();
    assert_eq!(stalled.chunk().await.unwrap().unwrap().len(), 1_000);
    server.world.wait_for(LIMIT, |world| (world.stalled() == 1).then_some(())).await.unwrap();
    assert_eq!(get().await.unwrap().bytes().await.unwrap().len() as u64, SIZE, "every fault hits once");
}

#[tokio::test]
async fn errors_have_the_shapes_of_real_servers() {
    let server = server(false).await;
    server.arm("getMe", Misbehaviour::RateLimited { retry_after: 7 });
    let answer = server.client.get(format!("{}/bot{TOKEN}/getMe", server.url)).send().await.unwrap();
    assert_eq!(answer.headers()[RETRY_AFTER], "7");
    assert_eq!(answer.json::<Value>().await.unwrap()["parameters"]["retry_after"], 7);
    server.arm("getMe", Misbehaviour::BadGateway);
    let answer = server.client.get(format!("{}/bot{TOKEN}/getMe", server.url)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(answer.text().await.unwrap().starts_with("<html>\r\n<head><title>502 Bad Gateway</title></head>"));
    server.arm("getMe", Misbehaviour::TooBig);
    let (status, answer) = server.call(TOKEN, "getMe", json!({})).await;
    assert_eq!((status, &answer["description"]), (StatusCode::BAD_REQUEST, &json!("Bad Request: file is too big")));
}

#[tokio::test]
async fn a_server_that_goes_resets_its_connections_refuses_new_ones_and_comes_back_on_its_port() {
    let server = server(false).await;
    let address = server.url.strip_prefix("http://").unwrap();
    let poll = async {
        let request = server.client.post(format!("{}/bot{TOKEN}/getUpdates?timeout=30", server.url)).send();
        request.await.is_err()
    };
    let go = async {
        server.world.wait_for(LIMIT, |world| (world.calls("getUpdates") == 1).then_some(())).await.unwrap();
        server.world.go_down();
    };
    let (broke, ()) = tokio::join!(poll, go);
    assert!(broke, "an open poll breaks");
    let refused = async {
        loop {
            match TcpStream::connect(address).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return error.kind(),
            }
        }
    };
    assert_eq!(tokio::time::timeout(LIMIT, refused).await.unwrap(), ErrorKind::ConnectionRefused);
    server.world.come_back();
    let back = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, back).await.unwrap();
    assert_eq!(server.call(TOKEN, "getMe", json!({})).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_shell_can_steer_it_over_http() {
    let server = server(false).await;
    let post =
        |path: &str, body: Value| server.client.post(format!("{}/control/{path}", server.url)).json(&body).send();
    let video = json!({ "token": TOKEN, "chat": 7, "caption": "#ana", "file_name": "a.mp4", "size": SIZE });
    let stored: Value = post("video", video).await.unwrap().json().await.unwrap();
    assert_eq!(stored["size"], SIZE);
    let fault = json!({ "on": "getFile", "what": "wrong_file_id" });
    assert_eq!(post("fault", fault).await.unwrap().status(), StatusCode::NO_CONTENT);
    let ask = json!({ "file_id": stored["file_id"] });
    assert_eq!(server.call(TOKEN, "getFile", ask.clone()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(server.call(TOKEN, "getFile", ask).await.0, StatusCode::OK);
    server.call(OTHER, "sendMessage", json!({ "chat_id": 9, "text": "hi" })).await;
    let inbox = server.client.get(format!("{}/control/inbox?bot=alerts_bot", server.url)).send().await.unwrap();
    assert_eq!(inbox.json::<Value>().await.unwrap()[0]["text"], "hi");
}
