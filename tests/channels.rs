//! Notifications reach webhooks, mail and browsers (E2), by real sockets and real peers, and the centre keeps them (E1, E5).
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "channels/browser.rs"]
mod browser;
#[path = "channels/mail.rs"]
mod mail;
#[path = "channels/rig.rs"]
mod rig;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use browser::Browser;
use logmedic::ledger::{Force, notifications};
use logmedic::outbox::{EmailSettings, Preset, Rules, Texts, Way};
use logmedic::serve::auth::{Caller, Identity, Settings};
use logmedic::serve::notifications::{Centre, router};
use logmedic::vocab::{Level, OutcomeResult, Stage};
use mail::MailServer;
use rig::{Answer, Got, Receiver, Running, channel, custom, ended, hook, incident, rules};
use serde_json::{Value, json};

/// A state directory, a receiver, and one CloudEvents channel called `ops` with these rules.
async fn one(rules: Rules) -> (tempfile::TempDir, Receiver, Running) {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let way = hook(&receiver, "/ops", Preset::Cloudevents, Some("s3cret"));
    let running = Running::start(dir.path(), vec![channel("ops", rules, way)]).await;
    (dir, receiver, running)
}

fn ids(got: &[Got]) -> Vec<String> {
    got.iter().map(|one| one.json()["id"].as_str().unwrap().to_owned()).collect()
}

fn error(key: &str) -> logmedic::vocab::Notice {
    custom(key, Level::Error, key, "")
}

#[tokio::test]
async fn e2_a_webhook_gets_signed_cloudevents_that_tell_an_incident_to_its_end() {
    let (_dir, receiver, running) = one(rules()).await;
    running.put(vec![incident("a", 1, Stage::Working)]).await;
    receiver.until("the first", |got| got.len() == 1).await;
    running.put(vec![incident("a", 2, Stage::Working), custom("quiet", Level::Info, "below the level", "")]).await;
    running.put(vec![incident("a", 3, ended(OutcomeResult::Healed))]).await;
    let got = receiver.until("the end", |got| got.len() == 2).await;
    running.stop().await;
    assert_eq!(ids(&got), ["a.1", "a.3"], "what is only further on is no news");
    for one in &got {
        let event = one.json();
        assert_eq!((event["specversion"].clone(), event["subject"].clone()), (json!("1.0"), json!("a")));
        assert_eq!(one.header("content-type"), "application/cloudevents+json; charset=utf-8");
        let id = event["id"].as_str().unwrap();
        assert_eq!((one.header("idempotency-key"), one.header("webhook-id")), (id, id));
        let signed = format!("{id}.{}.{}", one.header("webhook-timestamp"), one.text());
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s3cret");
        let tag = STANDARD.decode(one.header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
        ring::hmac::verify(&key, signed.as_bytes(), &tag).unwrap();
    }
    let last = got[1].json();
    assert_eq!(last["type"], "logmedic.notification.changed");
    assert_eq!((last["data"]["level"].clone(), last["data"]["why"].clone()), (json!("success"), json!("changed")));
    assert!(last["data"]["title"].as_str().unwrap().contains("Healed in 3.2 s"), "{last}");
    assert_eq!(last["data"]["notices"][0]["story"]["class"], "corrupt");
}

#[tokio::test]
async fn e2_what_may_have_arrived_comes_again_with_the_same_identifier_and_what_is_refused_does_not() {
    let (_dir, receiver, running) = one(rules()).await;
    receiver.answers(&[Answer::Status(500), Answer::Status(408), Answer::Status(425)]);
    running.put(vec![error("a")]).await;
    let got = receiver.until("four tries", |got| got.len() == 4).await;
    assert_eq!(ids(&got), ["a.1"; 4]);
    running.until("SELECT state FROM post WHERE id = 'a'", "sent").await;
    receiver.answers(&[Answer::Status(404), Answer::Status(302)]);
    running.put(vec![error("b")]).await;
    running.until("SELECT state FROM post WHERE id = 'b'", "dead").await;
    running.put(vec![error("c")]).await;
    running.until("SELECT state FROM post WHERE id = 'c'", "dead").await;
    running.put(vec![error("d")]).await;
    let got = receiver.until("the next", |got| ids(got).last().is_some_and(|id| id == "d.1")).await;
    assert_eq!(ids(&got)[4..], ["b.1", "c.1", "d.1"], "no second try");
    running
        .until(
            "SELECT group_concat(result || ' ' || n) FROM (SELECT result, sum(count) n FROM delivered GROUP BY 1)",
            "dead 2,failed 3,sent 2",
        )
        .await;
    running.stop().await;
}

#[tokio::test]
async fn e2_a_receiver_that_asks_to_wait_is_left_alone_as_long_as_it_says() {
    let (_dir, receiver, running) = one(rules()).await;
    receiver.answers(&[Answer::RetryAfter(429, "1"), Answer::Status(429)]);
    running.put(vec![error("a")]).await;
    let got = receiver.until("three tries", |got| got.len() == 3).await;
    running.stop().await;
    assert!(got[1].at - got[0].at >= Duration::from_millis(990), "{:?}", got[1].at - got[0].at);
    assert!(got[2].at - got[1].at >= Duration::from_millis(45), "the usual wait");
}

#[tokio::test]
async fn e2_many_are_one_message_and_a_digest_waits_for_its_time() {
    let (_dir, receiver, running) = one(rules()).await;
    running.put((0..40).map(|number| error(&format!("k{number}"))).collect()).await;
    let got = receiver.until("the storm", |got| got.len() == 1).await;
    assert_eq!(got[0].json()["data"]["notices"].as_array().unwrap().len(), 40);
    assert!(got[0].json()["id"].as_str().unwrap().starts_with("digest."));
    running.stop().await;

    let digest = Rules { digest: Some(Duration::from_millis(400)), ..rules() };
    let (_dir, receiver, running) = one(digest).await;
    let begun = std::time::Instant::now();
    running.put(vec![error("a")]).await;
    running.put(vec![error("b")]).await;
    let critical = logmedic::vocab::Notice { severity: logmedic::vocab::Severity::Critical, ..error("c") };
    running.put(vec![critical]).await;
    let got = receiver.until("both", |got| got.len() == 2).await;
    running.stop().await;
    assert_eq!(ids(&got)[0], "c.1", "what is critical does not wait");
    assert_eq!(got[1].json()["data"]["notices"].as_array().unwrap().len(), 2);
    assert!(got[1].at - begun >= Duration::from_millis(400));
}

#[tokio::test]
async fn e2_when_one_channel_fails_another_takes_over() {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let other = Receiver::start().await;
    let first = Rules { fallback: Some("webhook:spare".into()), ..rules() };
    // The spare one wants nothing by its own rules.
    let spare = Rules { classes: vec!["disk_full".into()], ..rules() };
    let settings = vec![
        channel("ops", first, hook(&receiver, "/ops", Preset::Cloudevents, None)),
        channel("spare", spare, hook(&other, "/spare", Preset::Cloudevents, None)),
    ];
    let running = Running::start(dir.path(), settings).await;
    receiver.usually(Some(Answer::Status(503)));
    let begun = std::time::Instant::now();
    running.put(vec![error("a")]).await;
    let got = other.until("the hand-over", |got| got.len() == 1).await;
    assert_eq!(ids(&got), ["a.1"]);
    assert!(got[0].at - begun >= Duration::from_millis(300), "it was tried for a while");
    assert!(receiver.got().len() > 1);
    // Refused is handed over at once; and what works again is used again.
    receiver.usually(None);
    receiver.answers(&[Answer::Status(410)]);
    running.put(vec![error("b")]).await;
    other.until("what was refused", |got| got.len() == 2).await;
    running.put(vec![error("c")]).await;
    receiver.until("the first again", |got| ids(got).last().is_some_and(|id| id == "c.1")).await;
    running.until("SELECT state FROM post WHERE id = 'c' AND channel = 'webhook:ops'", "sent").await;
    assert_eq!(other.got().len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn e2_killed_between_the_call_and_its_answer_the_same_event_comes_again() {
    let (dir, receiver, running) = one(rules()).await;
    receiver.answers(&[Answer::Silence]);
    running.put(vec![error("a")]).await;
    receiver.until("the first", |got| got.len() == 1).await;
    running.crash().await;
    let way = hook(&receiver, "/ops", Preset::Cloudevents, Some("s3cret"));
    let running = Running::start(dir.path(), vec![channel("ops", rules(), way)]).await;
    let got = receiver.until("the second", |got| got.len() == 2).await;
    running.stop().await;
    assert_eq!(ids(&got), ["a.1", "a.1"]);
    assert!(got[1].json()["data"]["text"].as_str().unwrap().ends_with("(possible repeat)"));
}

#[tokio::test]
async fn e2_what_needs_a_person_is_told_again_until_somebody_takes_it_over() {
    let (_dir, receiver, running) = one(Rules { repeat: Some(Duration::from_millis(100)), ..rules() }).await;
    running.put(vec![incident("a", 1, ended(OutcomeResult::Exhausted)), custom("w", Level::Warning, "w", "")]).await;
    let got = receiver.until("two reminders", |got| got.len() >= 4).await;
    let reminders: Vec<String> = got
        .iter()
        .filter(|one| one.json()["data"]["why"] == "reminder")
        .map(|one| one.json()["id"].to_string())
        .collect();
    assert_eq!(reminders[..2], ["\"a.1.1\"", "\"a.1.2\""], "a warning does not nag");
    assert!(got.iter().any(|one| one.json()["data"]["title"].as_str().unwrap().starts_with("Reminder 1: ")));
    running.ledger.write(|tx| notifications::acknowledge(tx, "a", "ana", rig::at())).await.unwrap();
    running.until("SELECT count(*) FROM post WHERE repeat_at IS NOT NULL", "0").await;
    let before = receiver.got().len();
    // Whoever waits for its own reminder has seen that the other has none any more.
    running.put(vec![incident("b", 1, ended(OutcomeResult::Exhausted))]).await;
    let got = receiver
        .until("reminders of the other", |got| ids(got).iter().filter(|id| id.starts_with("b.")).count() >= 3)
        .await;
    running.stop().await;
    // One may have been on its way.
    let late = ids(&got)[before..].iter().filter(|id| id.starts_with("a.")).count();
    assert!(late <= 1, "{late} after it was taken over");
}

#[tokio::test]
async fn e2_every_service_gets_its_form_and_the_users_own_words() {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let words = dir.path().join("words");
    std::fs::create_dir(&words).unwrap();
    std::fs::write(words.join("es.toml"), "[line]\nby = \"De parte de {by}\"\n").unwrap();
    let settings = [Preset::Slack, Preset::Discord, Preset::Ntfy, Preset::Gotify]
        .iter()
        .zip(["slack", "discord", "ntfy", "gotify"])
        .map(|(preset, name)| {
            let way = hook(&receiver, &format!("/{name}"), *preset, Some("token"));
            let settings = channel(name, rules(), way);
            logmedic::outbox::ChannelSettings {
                language: logmedic::outbox::Lang::Es,
                templates_dir: Some(words.clone()),
                ..settings
            }
        });
    let running = Running::start(&dir.path().join("state"), settings.collect()).await;
    let nasty = "<!channel> @everyone </pre><script>\n[x](http://evil.example) **b**";
    running.put(vec![custom("a", Level::Error, "a <b> title\r\nX-Evil: 1", nasty)]).await;
    let got = receiver.until("all four", |got| got.len() == 4).await;
    running.stop().await;
    let at = |path: &str| got.iter().find(|one| one.path.starts_with(path)).unwrap();
    let slack = at("/slack").json();
    assert!(!slack["text"].as_str().unwrap().contains(['<', '>']), "{slack}");
    assert!(slack["text"].as_str().unwrap().ends_with("De parte de ana"), "{slack}");
    let discord = at("/discord?wait=true").json();
    assert_eq!(discord["allowed_mentions"]["parse"], json!([]));
    let ntfy = got.iter().find(|one| one.path == "/").unwrap();
    assert_eq!((ntfy.json()["topic"].clone(), ntfy.header("authorization")), (json!("ntfy"), "Bearer token"));
    assert_eq!(ntfy.json()["title"], "❗ a <b> title\\r\\nX-Evil: 1", "one line");
    assert_eq!(at("/gotify/message").header("x-gotify-key"), "token");
}

#[tokio::test]
async fn e2_mail_arrives_in_one_thread_and_a_refusal_is_final_only_when_it_says_so() {
    let mut server = MailServer::start("451").await;
    let way = Way::Email(EmailSettings {
        smtp: url::Url::parse(&format!("smtp://127.0.0.1:{}", server.port)).unwrap(),
        password: None,
        from: "logmedic <alerts@example.org>".into(),
        to: vec!["ana@example.org".into(), "bob@example.org".into()],
    });
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), vec![channel("home", rules(), way)]).await;
    running.put(vec![incident("a", 1, Stage::Working)]).await;
    assert_eq!(server.next().await["refused"], "451");
    let first = server.next().await;
    running.put(vec![incident("a", 2, ended(OutcomeResult::Healed))]).await;
    let second = server.next().await;
    let nasty = "</pre><script>alert(1)</script>\n.\nRCPT TO:<evil@example.org>";
    running.put(vec![custom("b", Level::Error, "x\r\nBcc: evil@example.org", nasty)]).await;
    let third = server.next().await;
    running.until("SELECT count(*) FROM post WHERE state = 'sent'", "2").await;
    running.stop().await;
    let header = |mail: &Value, name: &str| {
        let all = mail["headers"].as_array().unwrap();
        let found = all.iter().find(|pair| pair[0].as_str().unwrap().eq_ignore_ascii_case(name));
        found.map(|pair| pair[1].as_str().unwrap().to_owned()).unwrap_or_default()
    };
    assert_eq!(first["to"], json!(["ana@example.org", "bob@example.org"]));
    assert_eq!(header(&first, "subject"), "🔧 Repairing · corrupt file");
    assert_eq!(header(&first, "message-id"), "<logmedic.a.1@example.org>");
    assert_eq!(header(&second, "message-id"), "<logmedic.a.2@example.org>");
    assert_eq!(header(&second, "in-reply-to"), header(&first, "references"));
    assert_eq!(header(&first, "auto-submitted"), "auto-generated");
    assert!(first["parts"]["text/plain"].as_str().unwrap().contains("models/a.mp4"));
    assert_eq!((header(&third, "bcc"), third["to"].as_array().unwrap().len()), (String::new(), 2));
    let page = third["parts"]["text/html"].as_str().unwrap();
    assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
    assert!(third["parts"]["text/plain"].as_str().unwrap().contains("RCPT TO:<evil@example.org>"), "all of it is text");
}

/// The interface of the centre on a loopback port, as the machine's own user sees it.
async fn interface(running: &Running, state: &std::path::Path) -> (String, reqwest::Client) {
    let settings = Settings { port: 0, session_ttl: Duration::from_secs(60) };
    let identity = Identity::open(running.ledger.clone(), state, settings).unwrap();
    let centre = Centre {
        ledger: running.ledger.clone(),
        channels: running.channels.clone(),
        identity,
        texts: Texts::shipped(logmedic::outbox::Lang::En),
    };
    let caller = Caller { address: std::net::IpAddr::from([127, 0, 0, 1]), local: true };
    let (app, _) = utoipa_axum::router::OpenApiRouter::<()>::new().merge(router(centre)).split_for_parts();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = app.layer(axum::Extension(caller));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (base, reqwest::Client::builder().no_proxy().build().unwrap())
}

async fn ask(client: &reqwest::Client, method: reqwest::Method, url: String, body: Option<Value>) -> (u16, Value) {
    let mut request = client.request(method, url);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[tokio::test]
async fn e2_a_browser_that_subscribed_can_read_what_it_is_told_and_a_gone_one_is_forgotten() {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let running = Running::start(dir.path(), vec![]).await;
    let (base, client) = interface(&running, dir.path()).await;
    let url = |path: &str| format!("{base}/notifications{path}");
    let (_, key) = ask(&client, reqwest::Method::GET, url("/push/key"), None).await;
    let key = key["key"].as_str().unwrap();
    let browser = Browser::new();
    let endpoint = format!("{}/push/1", receiver.base);
    let body = |endpoint: &str| {
        json!({ "endpoint": endpoint, "expirationTime": null, "language": "es",
                "keys": { "p256dh": browser.p256dh(), "auth": browser.secret() } })
    };
    let evil = body("http://169.254.169.254/latest/meta-data");
    let (status, problem) = ask(&client, reqwest::Method::POST, url("/push"), Some(evil)).await;
    assert_eq!((status, problem["code"].clone()), (400, json!("bad_subscription")));
    let (status, made) = ask(&client, reqwest::Method::POST, url("/push"), Some(body(&endpoint))).await;
    assert_eq!(status, 201, "{made}");
    running.put(vec![custom("a", Level::Error, "hola", "¿qué tal?")]).await;
    let got = receiver.until("the message", |got| got.len() == 1).await;
    assert_eq!((got[0].path.as_str(), got[0].header("content-encoding")), ("/push/1", "aes128gcm"));
    assert_eq!((got[0].header("ttl"), got[0].header("urgency")), ("86400", "high"));
    let claims = browser::claims(&got[0], key);
    assert_eq!((claims["aud"].clone(), claims["sub"].clone()), (json!(receiver.base), json!("mailto:ana@example.org")));
    let message = browser.decrypt(&got[0].body);
    assert_eq!((message["id"].clone(), message["title"].clone()), (json!("a"), json!("❗ hola")));
    assert_eq!(message["body"], "¿qué tal?\nLo dice ana");
    // Nobody listens there any more.
    running.until("SELECT state FROM post WHERE id = 'a'", "sent").await;
    receiver.answers(&[Answer::Status(410)]);
    running.put(vec![error("b")]).await;
    running.until("SELECT count(*) FROM push_subscription", "0").await;
    running.until("SELECT count(*) FROM channel", "0").await;
    running.stop().await;
}

#[tokio::test]
async fn e1_e5_the_interface_lists_counts_marks_clears_writes_and_tries() {
    use reqwest::Method;
    let (dir, receiver, running) = one(rules()).await;
    let (base, client) = interface(&running, dir.path()).await;
    let get = |path: &str| ask(&client, Method::GET, format!("{base}/notifications{path}"), None);
    let post =
        |path: &str, body: Option<Value>| ask(&client, Method::POST, format!("{base}/notifications{path}"), body);
    let new = json!({ "level": "error", "title": "look <b>", "text": "now" });
    let (status, made) = post("", Some(new)).await;
    assert_eq!(status, 201);
    let id = made["id"].as_str().unwrap();
    receiver.until("what was written", |got| got.len() == 1).await;
    running.until("SELECT state FROM post", "sent").await;
    for bad in [json!({ "level": "error", "title": " " }), json!({ "level": "error", "title": "x".repeat(301) })] {
        assert_eq!(post("", Some(bad)).await.1["code"], "bad_notification");
    }
    running.put(vec![incident("a", 1, Stage::Working), custom("b", Level::Success, "fine", "")]).await;
    let (_, page) = get("?limit=2").await;
    let shown: Vec<&str> = page["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(shown, ["b", "a"]);
    let (_, rest) = get(&format!("?limit=2&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!((rest["items"][0]["id"].clone(), rest["next_cursor"].clone()), (json!(id), Value::Null));
    assert_eq!(rest["items"][0]["title"], "❗ look <b>");
    let count = |page: Value| page["items"].as_array().unwrap().len();
    for (query, want) in
        [("level=error", 2), ("kind=incident", 1), ("class=corrupt", 1), ("search=FINE", 1), ("unread=true", 3)]
    {
        assert_eq!(count(get(&format!("?{query}")).await.1), want, "{query}");
    }
    for bad in ["kind=x", "class=x", "limit=0", "cursor=%21"] {
        assert_eq!(get(&format!("?{bad}")).await.0, 400, "{bad}");
    }
    let (_, told) = get(&format!("/{id}")).await;
    assert_eq!(
        told["deliveries"][0],
        json!({ "channel": "webhook:ops", "state": "sent", "repeats": 0, "error": null })
    );
    assert_eq!(get("/nobody").await.1["code"], "notification_not_found");
    assert_eq!(post(&format!("/{id}/read"), None).await.0, 204);
    assert_eq!(post("/nobody/read", None).await.0, 404);
    assert_eq!(get("/unread_count").await.1, json!({ "unread": 2 }));
    assert_eq!(post("/a/acknowledge", None).await.0, 204);
    assert_eq!(get("/a").await.1["acknowledged_by"], "local");
    assert_eq!(post("/read_all", None).await.1, json!({ "count": 1 }));
    let (_, stats) = get("/stats?by=day").await;
    assert_eq!((stats["total"].clone(), stats["unread"].clone()), (json!(3), json!(0)));
    assert!(
        stats["deliveries"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["name"] == "webhook:ops" && one["result"] == "sent")
    );
    let (_, tried) = post("/test", Some(json!({ "channel": "ops" }))).await;
    assert_eq!(tried, json!([{ "channel": "webhook:ops", "ok": true, "detail": "delivered" }]));
    assert_eq!(post("/test", Some(json!({ "channel": "nobody" }))).await.0, 404);
    assert_eq!(post("/clear", None).await.1, json!({ "count": 3 }));
    assert_eq!(count(get("").await.1), 0);
    running.stop().await;
}

#[tokio::test]
async fn e5_commands_list_write_preview_and_try_beside_the_running_agent() {
    let (dir, receiver, running) = one(rules()).await;
    let url = format!("{}/ops", receiver.base);
    let config = dir.path().join("config.toml");
    let text = format!(
        "state.dir = \"{}\"\n[[channel]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"{url}\"\nlanguage = \"es\"\n",
        dir.path().display()
    );
    std::fs::write(&config, text).unwrap();
    let logmedic = |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let config = config.clone();
        async move {
            let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_logmedic"));
            command.arg("--config").arg(config).arg("notifications").args(args).env_remove("RUST_LOG");
            let out = command.output().await.unwrap();
            (out.status.code(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
        }
    };
    let (code, id, error) = logmedic(&["send", "--level", "error", "from the shell", "hello"]).await;
    assert_eq!(code, Some(0), "{error}");
    let got = receiver.until("what was written", |got| got.len() == 1).await;
    assert!(got[0].json()["data"]["title"].as_str().unwrap().contains("from the shell"));
    let (_, list, _) = logmedic(&["--json", "--unread"]).await;
    let shown: Value = serde_json::from_str(list.trim()).unwrap();
    assert_eq!((shown["id"].as_str(), shown["read"].as_bool()), (Some(id.trim()), Some(false)));
    assert_eq!(logmedic(&["read", id.trim()]).await.0, Some(0));
    assert_eq!(logmedic(&["read", "nobody"]).await.0, Some(1));
    assert_eq!(logmedic(&["--unread"]).await.1, "nobody was told anything\n");
    let (_, preview, _) = logmedic(&["preview", id.trim(), "--channel", "ops"]).await;
    let preview: Value = serde_json::from_str(&preview).unwrap();
    assert!(preview["data"]["text"].as_str().unwrap().contains("Lo dice"), "{preview}");
    let (_, sample, _) = logmedic(&["preview", "--sample", "--lang", "es"]).await;
    assert!(sample.starts_with("🔔 Te necesita · disco lleno"), "{sample}");
    assert_eq!(receiver.got().len(), 1, "a preview sends nothing");
    let (code, tried, _) = logmedic(&["test", "--channel", "ops"]).await;
    assert_eq!((code, tried.as_str()), (Some(0), "ok      webhook:ops  delivered\n"));
    receiver.answers(&[Answer::Status(403)]);
    let (code, tried, _) = logmedic(&["test"]).await;
    assert!(code == Some(1) && tried.starts_with("failed  webhook:ops  403"), "{tried}");
    assert_eq!(logmedic(&["clear"]).await.1, "1 cleared\n");
    running.stop().await;
}

#[test]
fn e2_mistakes_in_channels_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        std::fs::write(dir.path().join("config.toml"), text).unwrap();
        let mut command = assert_cmd::Command::cargo_bin("logmedic").unwrap();
        let out =
            command.arg("--config").arg(dir.path().join("config.toml")).args(["config", "show"]).output().unwrap();
        (out.status.code(), String::from_utf8(out.stderr).unwrap() + &String::from_utf8(out.stdout).unwrap())
    };
    let hook = "[[channel]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"https://hooks.example/T0/secret\"\n";
    let (code, shown) = check(hook);
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("T0/secret"), "the address is a secret: {shown}");
    for (more, says) in [
        ("quiet = \"11pm\"", "23:00-07:00"),
        ("classes = [\"disc_full\"]", "did you mean `disk_full`?"),
        ("fallback = \"b\"", "no channel is called `b`"),
        ("fallback = \"a\"", "back to where they began"),
        ("repeat = \"5s\"", "once a minute"),
        ("rate = 0", "1 to 600"),
        ("smtp = \"smtps://x\"", "kind = \"email\""),
        ("min_levle = \"error\"", "did you mean `min_level`?"),
        ("url_file = \"x\"", "both `url` and `url_file`"),
    ] {
        let (code, said) = check(&format!("{hook}{more}\n"));
        assert!(code == Some(78) && said.contains(says), "{more}: {said}");
    }
    let mail = "[[channel]]\nname = \"m\"\nkind = \"email\"\nsmtp = \"smtps://me:pw@mail.example.org\"\nfrom = \"x\"\n";
    let (_, said) = check(mail);
    for says in ["password does not belong", "a sender", "1 to 50 readers"] {
        assert!(said.contains(says), "{says}: {said}");
    }
}

#[tokio::test]
async fn e1_what_nobody_can_be_told_of_is_let_go_also_without_telegram() {
    let (_dir, receiver, running) = one(rules()).await;
    let old = logmedic::vocab::Notice { at: rig::at() - chrono::TimeDelta::hours(30), ..error("old") };
    running.put(vec![old, error("new")]).await;
    receiver.until("both", |got| got.len() == 2).await;
    running.until("SELECT group_concat(key) FROM notice", "new").await;
    assert_eq!(running.value("SELECT count(*) FROM notification"), "2", "the history stays");
    running.ledger.write_here(Force::Later, notifications::clear).unwrap();
    running.stop().await;
}
