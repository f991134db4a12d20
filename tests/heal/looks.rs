//! Looks: the system says whether a fault is there; nothing is changed.

use std::sync::Arc;

use logmedic::decide::{Expect, Finding, Question, TaskOutput, Work};
use logmedic::heal::Healer;
use logmedic::roots::Roots;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::house::{House, Server, nobody_home, plain, png, task};

#[tokio::test(flavor = "multi_thread")]
async fn a6b_a_download_is_a_fault_only_when_missing_short_or_broken() {
    let house = House::new();
    assert_eq!(house.download("models/a.png").await, Finding::Fault);
    let whole = png(500);
    house.put("models/a.png", &whole);
    assert_eq!(house.download("models/a.png").await, Finding::Sound);
    assert_eq!(house.download("./models//a.png").await, Finding::Sound);
    house.put("models/b.png", &whole[..300]);
    assert_eq!(house.download("models/b.png").await, Finding::Fault);
    house.put("models/c.png", b"<!DOCTYPE html><title>502</title>");
    assert_eq!(house.download("models/c.png").await, Finding::Fault);
    // A kind that tells nothing: only a size known from elsewhere does.
    house.put("models/d.bin", &[7; 100]);
    assert_eq!(house.download("models/d.bin").await, Finding::Unknown);
    for (size, want) in [(100, Finding::Sound), (200, Finding::Fault)] {
        let expect = Expect { size: Some(size), ..Expect::default() };
        let seen = house.look(Question::Download { path: "models/d.bin".into(), expect }).await;
        assert_eq!(seen.finding, want);
        assert_eq!(seen.evidence["size"], 100);
    }
    let expect = Expect { sha256: Some("0".repeat(64)), ..Expect::default() };
    assert_eq!(house.look(Question::Integrity { path: "models/a.png".into(), expect }).await.finding, Finding::Fault);
    let gone = Question::Integrity { path: "models/gone.png".into(), expect: Expect::default() };
    assert_eq!(house.look(gone).await.finding, Finding::Sound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a6b_a_part_that_somebody_is_writing_leaves_the_question_open() {
    let house = House::new();
    house.put("models/a.png", &png(10));
    house.put("models/a.png.part", b"half");
    assert_eq!(house.download("models/a.png").await, Finding::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a6b_outside_every_root_the_answer_is_the_line_that_would_allow_it() {
    let house = House::new();
    let seen = house.look(Question::Download { path: "/srv/films/ana/a.mp4".into(), expect: Expect::default() }).await;
    let remedy = "[[root]]\nname = \"ana\"\npath = \"/srv/films/ana\"".to_owned();
    assert_eq!(seen.finding, Finding::Refused { remedy: Some(remedy) });
}

#[tokio::test(flavor = "multi_thread")]
async fn a6b_a_root_that_appears_later_or_anew_is_opened_then() {
    let house = House::new();
    std::fs::remove_dir(house.path("models")).unwrap();
    let (roots, problems) = Roots::open(std::slice::from_ref(&house.spec));
    assert_eq!(problems.len(), 1);
    let healer = Healer::new(house.settings.clone(), Arc::new(roots), house.ledger.clone());
    for _ in 0..2 {
        house.put("models/a.png", &png(10));
        let ask = task(Work::Look(Question::Download { path: "models/a.png".into(), expect: Expect::default() }));
        let TaskOutput::Seen(seen) = healer.run(ask, CancellationToken::new()).await else { panic!() };
        assert_eq!(seen.finding, Finding::Sound);
        std::fs::remove_dir_all(house.path("models")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_a_server_answers_or_does_not() {
    let server = Server::start(|count, _| plain(if count == 0 { 404 } else { 503 }, "")).await;
    let house = House::new().serving(&server);
    let first = house.look(Question::Server { url: server.url("") }).await;
    assert_eq!((first.finding, &first.evidence["http_status"]), (Finding::Sound, &json!(404)));
    assert_eq!(house.look(Question::Server { url: server.url("") }).await.finding, Finding::Fault);
    let free = nobody_home();
    let unlisted = house.look(Question::Server { url: format!("http://{free}") }).await;
    assert!(matches!(unlisted.finding, Finding::Refused { remedy: Some(_) }), "{unlisted:?}");
    let house = House::new().with(|house| house.settings.servers.push(format!("http://{free}")));
    let down = house.look(Question::Server { url: format!("http://{free}/any?thing") }).await;
    assert_eq!(down.finding, Finding::Fault, "{down:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_a_server_that_accepts_and_says_nothing_is_down() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let house = House::new().with(|house| house.settings.servers.push(origin.clone()));
    assert_eq!(house.look(Question::Server { url: origin }).await.finding, Finding::Fault);
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_space_names_what_is_free_and_what_fills_it() {
    let house = House::new();
    house.put("models/big.bin", &vec![1; 300_000]);
    house.put("models/small.bin", &[1; 10]);
    let fine = house.look(Question::Space { path: None, need: Some(1) }).await;
    assert_eq!(fine.finding, Finding::Sound);
    let full = house.look(Question::Space { path: Some("models/new.mp4".into()), need: Some(u64::MAX) }).await;
    assert_eq!(full.finding, Finding::Fault);
    assert_eq!(full.evidence["filled_by"][0]["path"], "models/big.bin");
    assert!(full.evidence["free_bytes"].as_u64().unwrap() > 0);
}
