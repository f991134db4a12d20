//! Addresses that strangers chose: inside the machine, inside the network, by another name, by redirect (Nezha
//! GHSA-6x26-5727-rrm9 and its kind).

use axum::body::Body;
use axum::http::Response;
use logmedic::decide::{Fetch, Finding, Question, TaskOutput};

use crate::house::{House, Server, plain, png};

#[tokio::test(flavor = "multi_thread")]
async fn h1_only_listed_hosts_are_called_and_none_inside_unless_listed_exactly() {
    let server = Server::start(|_, _| plain(200, png(10))).await;
    let port = server.at.port();
    // Listed by name, but where the names lead is inside.
    let house = House::new().with(|house| {
        let names =
            ["localhost", "127.0.0.1", "[::1]", "169.254.169.254", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"];
        house.settings.allowed_hosts = names.map(str::to_owned).to_vec();
    });
    for url in [
        format!("http://localhost:{port}/a.png"),
        format!("http://127.0.0.1:{port}/a.png"),
        format!("http://127.1:{port}/a.png"),
        format!("http://2130706433:{port}/a.png"),
        format!("http://0x7f.1:{port}/a.png"),
        format!("http://0.0.0.0:{port}/a.png"),
        format!("http://[::1]:{port}/a.png"),
        format!("http://[::ffff:127.0.0.1]:{port}/a.png"),
        "http://169.254.169.254/latest/meta-data/".into(),
        "http://unlisted.invalid/a.png".into(),
        format!("http://user@127.0.0.1:{port}/a.png"),
        "file:///etc/passwd".into(),
        "gopher://127.0.0.1:6379/_x".into(),
        "unix:/var/run/docker.sock".into(),
    ] {
        let output = house.fetch(Fetch::Url(url.clone()), "models/a.png").await;
        assert!(matches!(output, TaskOutput::Refused { .. }), "{url}: {output:?}");
        let seen = house.look(Question::Server { url: url.clone() }).await;
        assert!(matches!(seen.finding, Finding::Refused { .. }), "{url}: {seen:?}");
    }
    assert!(server.asked().is_empty(), "nobody was called");
    // The exact entry, and only it.
    let at = format!("localhost:{port}");
    let house = House::new().with(|house| house.settings.allow_private = vec![at.clone()]);
    let refused = house.fetch(Fetch::Url(format!("http://127.0.0.1:{port}/a.png")), "models/a.png").await;
    assert!(matches!(refused, TaskOutput::Refused { .. }), "{refused:?}");
    let fetched = house.fetch(Fetch::Url(format!("http://{at}/a.png")), "models/a.png").await;
    assert!(matches!(fetched, TaskOutput::Done { .. }), "{fetched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_redirect_to_another_host_or_scheme_is_not_followed() {
    let inner = Server::start(|_, _| plain(200, png(10))).await;
    let (inside, port) = (inner.url("/a.png"), inner.at.port());
    let server = Server::start(move |_, asked| {
        let to = match asked.path.as_str() {
            "/other" => inside.clone(),
            "/name" => format!("http://localhost:{port}/a.png"),
            "/file" => "file:///etc/passwd".into(),
            "/loop" => "/loop".into(),
            _ => "//169.254.169.254/latest".into(),
        };
        Response::builder().status(302).header("location", to).body(Body::empty()).unwrap()
    })
    .await;
    let house = House::new().serving(&server);
    for path in ["/other", "/name", "/file", "/loop", "/meta"] {
        let output = house.fetch(Fetch::Url(server.url(path)), "models/a.png").await;
        let refused = matches!(output, TaskOutput::Refused { .. } | TaskOutput::Permanent { .. });
        assert!(refused, "{path}: {output:?}");
    }
    assert!(inner.asked().is_empty());
    assert!(!house.path("models/a.png").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_file_path_of_a_log_never_becomes_another_method_of_the_bot() {
    let server = Server::start(|_, _| plain(200, "{\"ok\":true}")).await;
    let house = House::new().serving(&server);
    for hint in [
        "../bot123456/logOut",
        "videos/../../../bot123456/logOut",
        "/file/bot123456:x/../../bot1/logOut",
        "/file/bot999:AAx/videos/file_0.mp4",
        "./.",
        "",
    ] {
        let output = house.fetch(Fetch::FilePath(hint.into()), "models/a.png").await;
        assert!(matches!(output, TaskOutput::Permanent { .. }), "{hint}: {output:?}");
    }
    assert!(server.asked().is_empty());
    for hint in ["videos/%2e%2e/%2e%2e/x", "videos/a.mp4?x=y#z", "videos\\..\\x"] {
        house.fetch(Fetch::FilePath(hint.into()), "models/a.png").await;
    }
    for asked in server.asked() {
        assert!(asked.path.starts_with("/file/bot") && !asked.path.contains("/../"), "{asked:?}");
    }
    let evil = house.fetch(Fetch::FileId("x\"}, \"y\": {\"".into()), "models/a.png").await;
    assert!(matches!(evil, TaskOutput::Permanent { .. }), "{evil:?}");
}
