//! Clients that are slow, dead, wrong or hostile.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use logmedic::serve::hub::Settings;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::rig::{House, LIMIT, Server, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d5_a_client_that_takes_nothing_holds_up_nobody_and_is_told_what_it_missed() {
    let store = Store::new();
    let server = Server::start(&store).await;
    let mut slow = server.subscribed("vera", &["job"]).await;
    let mut quick = server.subscribed("vera", &["job"]).await;
    // Far more than the buffers of both ends hold and than may wait: each frame is a change of state.
    let (count, json) = (30_000_u64, json!({"state": "queued", "pad": "x".repeat(500)}).to_string());
    for first in (0..count).step_by(500) {
        let write = |tx: &logmedic::ledger::rusqlite::Transaction<'_>| {
            let mut put = tx.prepare_cached("INSERT INTO row (kind, id, json) VALUES ('job', ?1, ?2)")?;
            (first..first + 500).try_for_each(|n| put.execute((n.to_string(), &json)).map(drop))
        };
        store.ledger.write_here(logmedic::ledger::Force::Later, write).unwrap();
        let begun = std::time::Instant::now();
        for seq in first + 1..=first + 500 {
            assert_eq!(quick.next().await["seq"], seq, "each once, in order");
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "the quick one waited for the slow one");
    }
    let mut at = 0;
    let mut gaps = 0;
    while at < count {
        let frame = slow.next().await;
        if frame["type"] == "gap" {
            gaps += 1;
            assert_eq!(frame["data"]["from"], at);
            assert_eq!(frame["data"]["reason"], "slow");
            at = frame["data"]["to"].as_u64().unwrap();
        } else {
            assert_eq!(frame["seq"], at + 1, "nothing is missing outside of a gap");
            at += 1;
        }
    }
    assert!(gaps > 0, "the slow one was never too slow");
    assert!(server.hub.stats(false).lost > 0);
}

#[tokio::test(start_paused = true)]
async fn d5_a_client_that_stalls_is_closed() {
    let server = Server::start(&Store::new()).await;
    let mut client = server.pipe(2_048, "/ws", &[("authorization", "Bearer vera")]).await;
    client.ask(&json!({"type": "subscribe", "topics": ["operation"]})).await;
    client.until(|frame| frame["type"] == "ok").await;
    let begun = tokio::time::Instant::now();
    for n in 0..200 {
        let kind = logmedic::serve::hub::Kind::OperationCreated;
        server.hub.progress(
            logmedic::serve::hub::Topic::Operation,
            n.to_string(),
            kind,
            json!({"pad": "x".repeat(99)}),
        );
    }
    while server.hub.stats(false).connections.total > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let passed = begun.elapsed().as_secs();
    assert!((29..=32).contains(&passed), "{passed} s");
    assert_eq!(server.hub.stats(false).errors, 1);
}

#[tokio::test(start_paused = true)]
async fn d2_a_ping_goes_every_thirty_seconds_and_who_does_not_answer_is_dropped() {
    let server = Server::start(&Store::new()).await;
    let mut alive = server.pipe(65_536, "/ws?topics=job", &[("authorization", "Bearer vera")]).await;
    let dead = server.pipe(65_536, "/ws?topics=job", &[("authorization", "Bearer otto")]).await;
    let begun = tokio::time::Instant::now();
    let (mut pings, mut beats) = (Vec::new(), 0);
    while pings.len() < 5 {
        // Reading answers the pings.
        match tokio::time::timeout(4 * LIMIT, alive.0.next()).await.unwrap().unwrap().unwrap() {
            Message::Ping(_) => pings.push(begun.elapsed().as_secs_f64().round() as u64),
            Message::Text(text) if text.contains("\"heartbeat\"") => beats += 1,
            _ => {}
        }
    }
    assert_eq!(pings, [30, 60, 90, 120, 150]);
    assert!(beats >= 4, "{beats} heartbeats");
    let stats = server.hub.stats(true);
    assert_eq!((stats.users, stats.errors), (vec!["vera".to_owned()], 1));
    drop(dead);
}

#[tokio::test]
async fn h2_a_flood_is_refused_and_ended_and_others_do_not_notice() {
    let server = Server::start(&Store::new()).await;
    let mut flood = server.client("vera").await;
    let mut other = server.client("otto").await;
    for _ in 0..400 {
        if flood.0.send(Message::Text(r#"{"type":"ping"}"#.into())).await.is_err() {
            break;
        }
    }
    let (mut pongs, mut refused) = (0, 0);
    let code = loop {
        match flood.get().await {
            Ok(frame) if frame["type"] == "pong" => pongs += 1,
            Ok(frame) => refused += u32::from(frame["data"]["code"] == "too_fast"),
            Err(code) => break code,
        }
    };
    // Closing a connection on which more has arrived may tear it down before its last word is read.
    assert!(code == 1008 || code == 0, "{code}");
    assert!(pongs <= 110 && refused <= 10, "{pongs} {refused}");
    other.ask(&json!({"type": "ping"})).await;
    assert_eq!(other.next().await["type"], "pong");
}

#[tokio::test]
async fn h3_a_wrong_frame_gets_a_word_and_too_many_get_the_door() {
    let server = Server::start(&Store::new()).await;
    let mut client = server.client("vera").await;
    for bad in ["", "{", "[]", r#"{"type":"nonsense"}"#, r#"{"type":"subscribe","topics":["job","user"]}"#] {
        client.0.send(Message::Text(bad.into())).await.unwrap();
        let frame = client.next().await;
        assert_eq!((&frame["type"], &frame["data"]["code"]), (&json!("error"), &json!("bad_frame")), "{bad}");
    }
    for _ in 0..5 {
        client.0.send(Message::Text("?".into())).await.unwrap();
    }
    assert_eq!(client.end().await, 1008);

    let mut long = server.client("vera").await;
    long.0.send(Message::Text("x".repeat(4_097).into())).await.unwrap();
    // The rest of such a frame is not read, which may tear the connection down before its last word is.
    assert!([1009, 0].contains(&long.end().await));
    let mut binary = server.client("vera").await;
    binary.0.send(Message::Binary(vec![1, 2, 3].into())).await.unwrap();
    assert_eq!(binary.end().await, 1003);
    let mut deep = server.client("vera").await;
    deep.0.send(Message::Text("[".repeat(4_000).into())).await.unwrap();
    assert_eq!(deep.next().await["data"]["code"], "bad_frame");
}

#[tokio::test]
async fn clients_that_leave_are_forgotten() {
    let server = Server::with(&Store::new(), Settings::default(), House::new(), false, "127.0.0.1:0").await;
    for _ in 0..50 {
        drop(server.client("vera").await);
        let mut client = server.client("vera").await;
        client.0.close(None).await.unwrap();
    }
    let wait = async {
        while server.hub.stats(false).connections.total > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
}
