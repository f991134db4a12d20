//! `logmedic ws tail`, the real binary.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use logmedic::serve::hub::Settings;
use serde_json::Value;

use super::rig::{House, Server, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d2_the_client_is_back_in_two_seconds_and_shows_what_it_missed() {
    let store = Store::new();
    let server = Server::start(&store).await;
    let address = server.address.clone();
    let mut token = tempfile::NamedTempFile::new().unwrap();
    writeln!(token, "vera").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_logmedic"))
        .args(["ws", "tail", "--json", "--topic", "job", "--url", &format!("http://{address}"), "--token-file"])
        .arg(token.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = move |wanted: &'static str| loop {
        let frame: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if frame["type"] == wanted {
            return frame;
        }
    };
    tokio::task::block_in_place(|| next("ok"));
    store.put("a", "queued", 1);
    assert_eq!(tokio::task::block_in_place(|| next("job_registered"))["key"], "a");
    let away = Instant::now();
    server.kill_clients();
    store.put("b", "queued", 2);
    let _server = loop {
        if let Ok(free) = tokio::net::TcpListener::bind(&address).await {
            drop(free);
            break Server::with(&store, Settings::default(), House::new(), false, &address).await;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(tokio::task::block_in_place(|| next("job_registered"))["key"], "b");
    assert!(away.elapsed() < Duration::from_secs(2), "{:?}", away.elapsed());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ws_tail_says_why_it_cannot_begin() {
    let server = Server::start(&Store::new()).await;
    let tail = |url: String| {
        tokio::task::block_in_place(|| {
            Command::new(env!("CARGO_BIN_EXE_logmedic")).args(["ws", "tail", "--url", &url]).output().unwrap()
        })
    };
    let refused = tail(format!("http://{}", server.address));
    assert_eq!(refused.status.code(), Some(77));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("logmedic token create"));
    let nobody = tail("http://127.0.0.1:1".into());
    assert_eq!(nobody.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("logmedic run"));
}
