//! What is told, to whom.

use logmedic::serve::hub::{Command, For, Kind, Settings, Topic};
use serde_json::{Value, json};

use super::rig::{House, Server, Store};

fn types(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn d3_every_change_in_the_store_is_told_by_itself_once_and_in_order() {
    let store = Store::new();
    let server = Server::start(&store).await;
    let mut client = server.subscribed("vera", &["job"]).await;
    let mut other = server.subscribed("vera", &["incident", "operation"]).await;
    store.put("a", "queued", 1);
    assert_eq!(client.next().await["type"], "job_registered");
    store.put("a", "processing", 2);
    let frame = client.next().await;
    assert_eq!((&frame["type"], &frame["key"], &frame["seq"]), (&json!("job_updated"), &json!("a"), &json!(2)));
    assert_eq!(frame["data"], json!({"state": "processing", "number": 2}));
    store.put("a", "completed", 3);
    store.put("b", "failed", 4);
    store.put("b", "failed", 5);
    let frames = client.until(|frame| frame["seq"] == 5).await;
    assert_eq!(types(&frames), ["job_completed", "job_registered", "job_updated"]);
    other.ask(&json!({"type": "ping", "ref": "x"})).await;
    let pong = other.next().await;
    assert_eq!((&pong["type"], &pong["seq"], &pong["data"]["ref"]), (&json!("pong"), &json!(5), &json!("x")));
}

#[tokio::test]
async fn b3_many_clients_follow_one_job_by_its_id() {
    let store = Store::new();
    let server = Server::start(&store).await;
    let vera = [("authorization", "Bearer vera")];
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = server.connect("/ws?job=b", &vera).await.unwrap();
        assert_eq!(client.next().await["type"], "welcome");
        clients.push(client);
    }
    store.put("a", "queued", 1);
    store.put("b", "queued", 2);
    store.put("a", "completed", 3);
    store.put("b", "completed", 4);
    for client in &mut clients {
        let frames = client.until(|frame| frame["seq"] == 4).await;
        assert!(frames.iter().all(|frame| frame["key"] == "b"), "{frames:?}");
    }
}

#[tokio::test]
async fn d1_messages_reach_a_user_a_role_a_room_or_all() {
    let server = Server::start(&Store::new()).await;
    let mut vera = server.subscribed("vera", &[]).await;
    let mut anna = server.subscribed("anna", &[]).await;
    vera.ask(&json!({"type": "subscribe", "rooms": ["lounge"]})).await;
    assert_eq!(vera.next().await["type"], "ok");
    for (to, word) in [
        (For::Room("user:anna".into()), "to anna"),
        (For::Room("role:operator".into()), "to operators"),
        (For::Room("lounge".into()), "to the lounge"),
        (For::All, "to all"),
    ] {
        server.hub.tell(to, Topic::System, Kind::Test, json!(word));
    }
    let words = |frames: Vec<Value>| frames.iter().map(|f| f["data"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(words(anna.until(|f| f["data"] == "to all").await), ["to anna", "to operators", "to all"]);
    assert_eq!(words(vera.until(|f| f["data"] == "to all").await), ["to the lounge", "to all"]);
}

#[tokio::test]
async fn d5_progress_that_nobody_could_read_is_folded_before_it_is_told() {
    let server = Server::start(&Store::new()).await;
    let mut client = server.subscribed("vera", &["operation"]).await;
    for percent in 0..=100 {
        server.hub.progress(Topic::Operation, "op", Kind::OperationProgress, json!({"percent": percent}));
    }
    let frames = client.until(|frame| frame["data"]["percent"] == 100).await;
    assert!(frames.len() < 50, "{} frames", frames.len());
    let percents: Vec<_> = frames.iter().map(|frame| frame["data"]["percent"].as_u64().unwrap()).collect();
    assert!(percents.is_sorted(), "{percents:?}");
}

#[tokio::test]
async fn commands_are_carried_out_for_who_may() {
    let server = Server::start(&Store::new()).await;
    let (mut vera, mut otto) = (server.client("vera").await, server.client("otto").await);
    vera.ask(&json!({"type": "get_notifications", "limit": 2, "ref": 7.to_string()})).await;
    let frames = vera.until(|frame| frame["type"] == "ok").await;
    assert_eq!(types(&frames), ["notification", "notification", "ok"]);
    assert_eq!(frames[2]["data"], json!({"about": "get_notifications", "ref": "7"}));
    vera.ask(&json!({"type": "mark_notification_read", "id": "n1"})).await;
    assert_eq!(vera.next().await["type"], "ok");
    for frame in [json!({"type": "clear_notifications"}), json!({"type": "operation", "id": "op", "action": "cancel"})]
    {
        vera.ask(&frame).await;
        assert_eq!(vera.next().await["data"]["code"], "forbidden", "{frame}");
        otto.ask(&frame).await;
        assert_eq!(otto.next().await["type"], "ok", "{frame}");
    }
    let obeyed = server.house.obeyed.lock().unwrap().clone();
    assert_eq!(obeyed.len(), 4);
    let read_only = |what: &Command| matches!(what, Command::Notifications { limit: 2 } | Command::MarkRead { .. });
    assert!(obeyed.iter().all(|(who, what)| who == "otto" || read_only(what)));
}

#[tokio::test]
async fn d6_a_test_broadcast_reaches_everybody_and_is_refused_in_production() {
    for production in [false, true] {
        let server = Server::with(&Store::new(), Settings::default(), House::new(), production, "127.0.0.1:0").await;
        let mut client = server.subscribed("vera", &[]).await;
        let post = |word: &str| {
            let request = reqwest::Client::new().post(format!("http://{}/api/v1/ws/test_broadcast", server.address));
            request.bearer_auth(word).header("content-type", "application/json").body(r#"{"message":"hello"}"#)
        };
        assert_eq!(post("vera").send().await.unwrap().status(), 403);
        let answer = post("otto").send().await.unwrap();
        if production {
            assert_eq!(answer.status(), 403);
            assert!(answer.text().await.unwrap().contains("refused_in_production"));
        } else {
            assert_eq!(answer.status(), 202);
            let frame = client.next().await;
            assert_eq!((&frame["type"], &frame["data"]["message"]), (&json!("test"), &json!("hello")));
        }
    }
}

#[tokio::test]
async fn d4_statistics_and_metrics_tell_how_the_hub_is() {
    let store = Store::new();
    let server = Server::start(&store).await;
    let mut registry = prometheus_client::registry::Registry::default();
    server.hub.register(&mut registry);
    let (mut vera, _anna) = (server.subscribed("vera", &["job"]).await, server.subscribed("anna", &[]).await);
    store.put("a", "queued", 1);
    vera.next().await;
    let get = |word: &str| {
        reqwest::Client::new().get(format!("http://{}/api/v1/ws/stats", server.address)).bearer_auth(word).send()
    };
    let stats: Value = loop {
        let stats: Value = serde_json::from_str(&get("otto").await.unwrap().text().await.unwrap()).unwrap();
        // The last frame is counted a moment after it arrived.
        if stats["messages_sent"].as_u64() >= Some(5) {
            break stats;
        }
    };
    assert_eq!(stats["connections"], json!({"total": 2, "viewer": 1, "operator": 0, "admin": 1}));
    assert_eq!(stats["users"], json!(["anna", "vera"]));
    assert_eq!((&stats["heartbeat_s"], &stats["errors"], &stats["broadcasts"]), (&json!(30), &json!(0), &json!(1)));
    assert!(stats["last_broadcast"].as_str().is_some());
    let seen: Value = serde_json::from_str(&get("vera").await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!((&seen["users"], &seen["user_count"]), (&json!([]), &json!(2)), "a viewer sees no names");

    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        r#"logmedic_ws_connections{role="viewer"} 1"#,
        r#"logmedic_ws_messages_sent_total{topic="job"} 1"#,
        "logmedic_ws_broadcasts_total 1",
        "logmedic_ws_send_errors_total 0",
        r#"logmedic_ws_delivery_seconds_count{topic="job"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_published_protocol_names_every_type_and_topic_and_no_other() {
    let text = std::fs::read_to_string("docs/asyncapi.yaml").unwrap();
    let list = |name: &str| -> Vec<String> {
        let from = text.find(&format!("x-{name}:")).unwrap();
        let words = text[from..].split(['[', ']']).nth(1).unwrap();
        words.split(',').map(|word| word.trim().to_owned()).collect()
    };
    assert_eq!(list("types"), Kind::ALL.iter().map(|kind| kind.word().to_owned()).collect::<Vec<_>>());
    assert_eq!(list("topics"), Topic::ALL.iter().map(|topic| topic.word().to_owned()).collect::<Vec<_>>());
    for kind in Kind::ALL {
        let message = format!("\n    {}:\n      summary:", kind.word());
        let of_type = format!("type: {{const: {}}}", kind.word());
        assert!(text.contains(&message) && text.contains(&of_type), "{kind:?} is not described");
    }
}
