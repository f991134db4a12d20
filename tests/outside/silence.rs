//! What a silence keeps from people, and what it does not.

use std::time::Duration;

use chrono::TimeDelta;
use logmedic::ledger::notifications::{self, Silence};
use logmedic::outbox::{Preset, Rules};
use logmedic::vocab::{Level, Notice, OutcomeResult, Severity, Stage, rfc3339};
use serde_json::json;

use super::channels::{Got, Receiver, Running, at, channel, custom, ended, hook, incident, rules};

fn silence_of(key: &str, long: TimeDelta) -> Silence {
    Silence {
        class: "corrupt".into(),
        subject: format!("models/{key}.mp4"),
        incident: None,
        account: "ana".into(),
        reason: "known".into(),
        at: rfc3339(at()),
        until: rfc3339(at() + long),
    }
}

async fn hush(running: &Running, key: &str, long: TimeDelta) {
    let silence = silence_of(key, long);
    running.ledger.write(move |tx| notifications::silence(tx, &silence)).await.unwrap();
}

fn ids(got: &[Got]) -> Vec<String> {
    got.iter().map(|one| one.json()["id"].as_str().unwrap().to_owned()).collect()
}

async fn start(rules: Rules) -> (tempfile::TempDir, Receiver, Running) {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let settings = channel("ops", rules, hook(&receiver, "/ops", Preset::Cloudevents, None));
    let running = Running::start(dir.path(), vec![settings]).await;
    (dir, receiver, running)
}

#[tokio::test]
async fn e2_the_end_of_what_was_told_before_a_silence_is_told_in_it_without_a_sound() {
    let (_dir, receiver, running) = start(Rules { repeat: Some(Duration::from_millis(100)), ..rules() }).await;
    running.put(vec![incident("a", 1, Stage::Working)]).await;
    receiver.until("the first word", |got| got.len() == 1).await;
    hush(&running, "a", TimeDelta::hours(1)).await;
    hush(&running, "b", TimeDelta::hours(1)).await;
    // Louder is no end; what begins and ends in silence is nobody's to know.
    running.put(vec![Notice { severity: Severity::Critical, ..incident("a", 2, Stage::Working) }]).await;
    running.put(vec![incident("b", 1, Stage::Working)]).await;
    running.put(vec![incident("b", 2, ended(OutcomeResult::Exhausted))]).await;
    running.put(vec![custom("mark", Level::Error, "mark", "")]).await;
    let got = receiver.until("the mark", |got| ids(got).contains(&"mark.1".to_owned())).await;
    assert_eq!(ids(&got)[..2], ["a.1", "mark.1"]);
    running.put(vec![incident("a", 3, ended(OutcomeResult::Exhausted))]).await;
    let got = receiver.until("its end", |got| ids(got).contains(&"a.3".to_owned())).await;
    let end = got.iter().map(Got::json).find(|event| event["id"] == "a.3").unwrap();
    assert_eq!((end["data"]["level"].clone(), end["data"]["severity"].clone()), (json!("info"), json!("info")));
    assert_eq!(end["data"]["why"], "changed");
    running.until("SELECT count(*) FROM post WHERE id = 'a' AND repeat_at IS NOT NULL", "0").await;
    // A reminder of another comes through; of these there was none, and none of b's.
    running.put(vec![incident("c", 1, ended(OutcomeResult::Exhausted))]).await;
    let got = receiver.until("reminders of c", |got| ids(got).iter().any(|id| id == "c.1.2")).await;
    running.stop().await;
    let about = |key: &str| ids(&got).iter().filter(|id| id.starts_with(key)).count();
    assert_eq!((about("a."), about("b.")), (2, 0), "{:?}", ids(&got));
}

#[tokio::test]
async fn e2_what_is_worked_on_again_is_told_again_when_it_ends() {
    let (_dir, receiver, running) = start(rules()).await;
    running.put(vec![incident("a", 1, ended(OutcomeResult::Exhausted))]).await;
    receiver.until("its end", |got| got.len() == 1).await;
    // The answer to that message is written down.
    let sent = "SELECT count(*) FROM post WHERE state = 'sent'";
    let written = async {
        while running.ledger.read(|db| db.query_row(sent, [], |row| row.get::<_, i64>(0))).unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.unwrap();
    running.put(vec![incident("a", 2, Stage::Working)]).await;
    running.put(vec![incident("a", 3, ended(OutcomeResult::Healed))]).await;
    let got = receiver.until("its second end", |got| got.len() == 2).await;
    running.stop().await;
    assert_eq!(ids(&got), ["a.1", "a.3"]);
}

#[tokio::test]
async fn e2_what_still_goes_on_when_a_silence_ends_is_told_again() {
    let (_dir, receiver, running) = start(rules()).await;
    running.put(vec![incident("a", 1, Stage::Working)]).await;
    receiver.until("the first word", |got| got.len() == 1).await;
    hush(&running, "a", TimeDelta::milliseconds(1)).await;
    let got = receiver.until("that it goes on", |got| got.len() == 2).await;
    running.stop().await;
    assert_eq!((ids(&got)[1].as_str(), got[1].json()["data"]["why"].clone()), ("a.1", json!("changed")));
}
