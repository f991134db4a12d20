//! A9: downloads by `file_id` and by the path of a status line, through a server like the Bot API's.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Response;
use logmedic::decide::{Fetch, TaskOutput};
use serde_json::{Value, json};

use crate::house::{Asked, House, Server, TOKEN, is_done, plain, png};

fn bot_api(file: Vec<u8>, answer: Value) -> impl Fn(u32, Asked) -> Response<Body> + Send + Sync + Clone {
    move |_, asked| {
        if asked.path == format!("/bot{TOKEN}/getFile") {
            let status = u16::try_from(answer["error_code"].as_u64().unwrap_or(200)).unwrap();
            return plain(status, answer.to_string());
        }
        match asked.path.strip_prefix(&format!("/file/bot{TOKEN}/")) {
            Some("videos/file_0.png") if !file.is_empty() => plain(200, file.clone()),
            _ => plain(404, json!({"ok": false, "error_code": 404, "description": "Not Found"}).to_string()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_file_is_fetched_by_file_id_and_by_the_path_of_a_status_line() {
    let whole = png(3000);
    let info = json!({"ok": true, "result": {
        "file_id": "x", "file_unique_id": "u", "file_size": whole.len(), "file_path": "videos/file_0.png"}});
    let server = Server::start(bot_api(whole.clone(), info)).await;
    let house = House::new().serving(&server);
    let done = house.fetch(Fetch::FileId("BAACAgIAAxkBAAIB-_x".into()), "models/a.png").await;
    assert!(is_done(&done), "{done:?}");
    assert_eq!(std::fs::read(house.path("models/a.png")).unwrap(), whole);
    let hints = [
        "videos/file_0.png".to_owned(),
        format!("/file/bot{TOKEN}/videos/file_0.png"),
        server.url(&format!("/file/bot{TOKEN}/videos/file_0.png")),
        "/file/bot123456:[redacted]/videos/file_0.png".into(),
    ];
    for (at, hint) in hints.into_iter().enumerate() {
        let output = house.fetch(Fetch::FilePath(hint), &format!("models/b{at}.png")).await;
        assert!(is_done(&output), "{output:?}");
    }
    let gone = house.fetch(Fetch::FilePath("videos/file_1.png".into()), "models/gone.png").await;
    assert!(matches!(gone, TaskOutput::Permanent { .. }), "{gone:?}");
    let all = format!("{done:?}{gone:?}{:?}", house.settings);
    assert!(!all.contains("AAFake"), "no token anywhere: {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_local_server_s_file_is_read_from_its_disk() {
    let whole = png(3000);
    let house = House::new();
    let file = house.put(&format!("srv/{TOKEN}/videos/file_0.png"), &whole);
    let answer = |path: &Path| json!({"ok": true, "result": {"file_unique_id": "u", "file_size": whole.len(), "file_path": path}});
    let server = Server::start(bot_api(vec![], answer(&file))).await;
    let house = house.serving(&server);
    let output = house.fetch(Fetch::FileId("BAAC".into()), "models/a.png").await;
    assert!(is_done(&output), "{output:?}");
    // In a container the server names another place.
    let inside = PathBuf::from(format!("/var/lib/no-such-dir/{TOKEN}/videos/file_0.png"));
    let server = Server::start(bot_api(vec![], answer(&inside))).await;
    let house = house.serving(&server);
    let output = house.fetch(Fetch::FileId("BAAC".into()), "models/b.png").await;
    let TaskOutput::Refused { remedy: Some(remedy), .. } = &output else { panic!("{output:?}") };
    assert!(remedy.contains("files_dir"), "{remedy}");
    let house = house.with(|house| house.settings.bot_api.files_dir = Some(house.path("srv")));
    let output = house.fetch(Fetch::FileId("BAAC".into()), "models/b.png").await;
    assert!(is_done(&output), "{output:?}");
    assert_eq!(std::fs::read(house.path("models/b.png")).unwrap(), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_the_words_of_the_bot_api_decide_what_an_error_means() {
    let said = |code: u16, words: &str| json!({"ok": false, "error_code": code, "description": words});
    let asked_to_wait = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 3",
        "parameters": {"retry_after": 3}});
    for (answer, want) in [
        (said(400, "Bad Request: wrong file_id or the file is temporarily unavailable"), "transient 10"),
        (said(400, "Bad Request: file is too big"), "permanent"),
        (said(400, "Bad Request: invalid file_id"), "permanent"),
        (said(401, "Unauthorized"), "permanent"),
        (said(404, "Not Found"), "permanent"),
        (asked_to_wait, "transient 3"),
        (said(429, "Too Many Requests"), "transient"),
        (said(500, "Internal Server Error: restart"), "server"),
        (said(502, "Bad Gateway"), "server"),
    ] {
        let server = Server::start(bot_api(vec![], answer.clone())).await;
        let house = House::new().serving(&server);
        let begun = Instant::now();
        let output = house.fetch(Fetch::FileId("BAAC".into()), "models/a.png").await;
        let got = match &output {
            TaskOutput::Permanent { .. } => "permanent".to_owned(),
            TaskOutput::Transient { server: Some(_), .. } => "server".into(),
            TaskOutput::Transient { retry_after: Some(wait), .. } => format!("transient {}", wait.as_secs()),
            TaskOutput::Transient { .. } => "transient".into(),
            other => format!("{other:?}"),
        };
        assert_eq!(got, want, "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(5), "no hidden sleep");
    }
}
