//! What stands before every route: names, origins, forms, headers, limits, proxies, the Unix socket.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::IpAddr;

use serde_json::{Value, json};

use super::rig::{PASSWORD, Rig, Wanted, status, told};

#[tokio::test]
async fn h2_another_site_s_page_cannot_act() {
    let rig = Rig::start().await;
    let otto = rig.login("otto").await;
    let act = || otto.by_cookie("POST", rig.url("act/1"));
    assert_eq!(status(act()).await, 200, "a script, which is no page");
    assert_eq!(status(act().header("origin", rig.origin())).await, 200, "our own page");
    assert_eq!(status(act().header("sec-fetch-site", "same-origin")).await, 200);
    let port = rig.address.port();
    for origin in [
        "https://evil.example".to_owned(),
        "null".into(),
        format!("http://localhost:{port}"),
        "https://127.0.0.1".into(),
        format!("http://127.0.0.1:{}", port.wrapping_add(1)),
        format!("http://127.0.0.1:{port}.evil.example"),
        String::new(),
    ] {
        assert_eq!(told(act().header("origin", &origin)).await, (403, "foreign_origin".into()), "{origin}");
        // A token does not make another site's page ours.
        let by_token = otto.by_token("POST", rig.url("act/1")).header("origin", &origin);
        assert_eq!(status(by_token).await, 403, "{origin}");
    }
    assert_eq!(status(act().header("sec-fetch-site", "cross-site")).await, 403);
    assert_eq!(status(act().header("sec-fetch-site", "same-site")).await, 403);
    let login = json!({ "account": "otto", "password": PASSWORD });
    let forced = otto.client.post(rig.url("auth/login")).header("origin", "https://evil.example").json(&login);
    assert_eq!(status(forced).await, 403, "nobody is logged in as somebody else");
}

#[tokio::test]
async fn h2_a_form_is_no_request() {
    let rig = Rig::start().await;
    let otto = rig.login("otto").await;
    let body = r#"{"account":"otto","password":"correct horse battery"}"#;
    for kind in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "TEXT/PLAIN; charset=utf-8",
        "multipart/form-data; boundary=x",
    ] {
        let act = otto.by_cookie("POST", rig.url("act/1")).header("content-type", kind).body(body);
        assert_eq!(told(act).await, (415, "not_json".into()), "{kind}");
        let login = otto.client.post(rig.url("auth/login")).header("content-type", kind).body(body);
        assert_eq!(status(login).await, 415, "{kind}");
    }
    let login = otto.client.post(rig.url("auth/login")).body(body);
    assert_eq!(told(login).await, (415, "not_json".into()), "no kind at all");
    assert_eq!(status(otto.by_cookie("GET", rig.url("act/1"))).await, 405, "reading never acts");
}

#[tokio::test]
async fn h2_a_name_that_was_pointed_at_us_is_refused() {
    let rig = Rig::empty(Wanted { hosts: vec!["nas.example".into()], ..Wanted::default() }).await;
    let client = reqwest::Client::new();
    for (host, want) in [
        ("evil.example", 403),
        ("evil.example:7878", 403),
        ("localhost.evil.example", 403),
        ("nas.example", 401),
        ("NAS.example:443", 401),
        ("localhost", 401),
        ("127.0.0.1:1", 401),
        ("[::1]", 401),
        ("10.0.0.1", 403),
    ] {
        assert_eq!(status(client.get(rig.url("look")).header("host", host)).await, want, "{host}");
        let login = client.post(rig.url("auth/login")).header("host", host).json(&json!({}));
        assert_eq!(status(login).await, if want == 403 { 403 } else { 422 }, "{host}");
    }
    for (request, want) in [
        ("GET /api/v1/look HTTP/1.1\r\n\r\n", "400"),
        ("GET /api/v1/look HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n", "400"),
        ("GET /api/v1/look HTTP/1.0\r\n\r\n", "400"),
    ] {
        let address = rig.address;
        let said = tokio::task::spawn_blocking(move || raw(address, request)).await.unwrap();
        assert_eq!(said.split(' ').nth(1), Some(want), "{request}: {said}");
    }
}

/// One request as it stands, and the head of the answer.
/// The first line of the answer. Our half stays open: a server may take its end for that of the whole connection.
fn raw(address: std::net::SocketAddr, request: &'static str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = String::new();
    std::io::BufReader::new(stream).read_line(&mut said).unwrap();
    said
}

#[tokio::test]
async fn h2_every_answer_carries_the_headers_and_every_failure_is_a_problem() {
    let rig = Rig::start().await;
    let vera = rig.login("vera").await;
    let large = "x".repeat(300 << 10);
    let long = rig.url(&format!("audit?limit={}", "9".repeat(30)));
    let requests = [
        ("fine", vera.by_cookie("GET", rig.url("look")), 200, ""),
        ("nobody", vera.client.get(rig.url("look")), 401, "unauthenticated"),
        ("no such place", vera.by_cookie("GET", rig.url("nothing")), 404, "not_found"),
        ("not that way", vera.by_cookie("PUT", rig.url("look")), 405, "method_not_allowed"),
        ("a panic", vera.by_cookie("GET", rig.url("panic")), 500, "internal"),
        ("a foreign name", vera.client.get(rig.url("look")).header("host", "evil.example"), 403, "unknown_host"),
        (
            "no JSON",
            vera.client.post(rig.url("auth/login")).header("content-type", "application/json").body("{"),
            400,
            "bad_json",
        ),
        ("unknown key", vera.client.post(rig.url("auth/login")).json(&json!({ "role": "admin" })), 422, "bad_body"),
        ("too large", vera.client.post(rig.url("auth/login")).json(&json!({ "account": large })), 413, "too_large"),
        ("a bad query", rig.login("ada").await.by_cookie("GET", long), 400, "bad_request"),
    ];
    for (what, request, want, code) in requests {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), want, "{what}");
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let csp = header("content-security-policy").unwrap();
        for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(csp.contains(rule), "{what}: {csp}");
        }
        assert!(!csp.contains("unsafe"));
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"), "{what}");
        assert_eq!(header("referrer-policy").as_deref(), Some("same-origin"), "{what}");
        assert_eq!(header("cache-control").as_deref(), Some("no-store"), "{what}");
        assert!(header("access-control-allow-origin").is_none());
        if want >= 400 {
            assert_eq!(header("content-type").as_deref(), Some("application/problem+json"), "{what}");
            let body: Value = answer.json().await.unwrap();
            assert_eq!((body["code"].as_str(), body["status"].as_u64()), (Some(code), Some(u64::from(want))), "{what}");
            assert!(!body["detail"].as_str().unwrap().is_empty(), "{what}");
        }
    }
}

#[tokio::test]
async fn h2_a_client_cannot_choose_its_own_address() {
    let rig = Rig::start().await;
    let vera = rig.login("vera").await;
    let address = async |rig: &Rig, request: reqwest::RequestBuilder| {
        let _ = rig;
        request.send().await.unwrap().text().await.unwrap()
    };
    let claimed = vera.by_cookie("GET", rig.url("address")).header("x-forwarded-for", "8.8.8.8");
    assert_eq!(address(&rig, claimed).await, "vera 127.0.0.1");

    let proxies = Wanted { trusted_proxies: vec![IpAddr::from([127, 0, 0, 1])], ..Wanted::default() };
    let rig = Rig::empty(proxies).await;
    let link = rig.identity.setup_secret().unwrap().unwrap();
    let setup = json!({ "token": link, "account": "ada", "password": PASSWORD });
    let client = reqwest::Client::new();
    let ada = client.post(rig.url("auth/setup")).json(&setup).send().await.unwrap();
    let ada = super::rig::Person::of(client, ada).await;
    for (said, want) in [
        ("9.9.9.9", "ada 9.9.9.9"),
        ("1.2.3.4, 9.9.9.9", "ada 9.9.9.9"),
        ("9.9.9.9, 127.0.0.1", "ada 9.9.9.9"),
        ("nonsense", "ada 127.0.0.1"),
    ] {
        let request = ada.by_cookie("GET", rig.url("address")).header("x-forwarded-for", said);
        assert_eq!(address(&rig, request).await, want, "{said}");
    }
}

#[tokio::test]
async fn h2_who_holds_the_machine_needs_no_password_and_no_one_by_the_network_gets_that() {
    let rig = Rig::start().await;
    let path = rig.dir.path().join("api.sock");
    let said = tokio::task::spawn_blocking(move || {
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        stream.write_all(b"GET /api/v1/auth/me HTTP/1.1\r\nhost: logmedic\r\nconnection: close\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    });
    let said = said.await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(said.contains(r#""account":"local","role":"admin""#), "{said}");
    let claims =
        reqwest::Client::new().get(rig.url("auth/me")).header("x-forwarded-for", "unix").header("host", "local");
    assert_eq!(status(claims).await, 403);
}

#[tokio::test]
async fn h2_a_flood_from_one_address_is_sent_away_and_others_are_not() {
    let rig = Rig::start().await;
    let vera = rig.login("vera").await;
    let elsewhere = reqwest::Client::builder().local_address(IpAddr::from([127, 0, 0, 2])).build().unwrap();
    let mut sent_away = false;
    for _ in 0..60 {
        let many = (0..100).map(|_| status(elsewhere.get(rig.url("look"))));
        if futures_util::future::join_all(many).await.contains(&429) {
            sent_away = true;
            break;
        }
    }
    assert!(sent_away);
    assert_eq!(status(vera.by_cookie("GET", rig.url("look"))).await, 200);
}
