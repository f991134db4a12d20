//! `jobs` and `incidents` over HTTP, with the engine's own state behind them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use logmedic::classify::Hit;
use logmedic::correlate::{Item, Meaning};
use logmedic::decide::{Answer, Finding, Policy, TaskOutput};
use logmedic::engine::intake::RuleBook;
use logmedic::engine::run::{Ordered, Orders};
use logmedic::engine::{Effect, Input, Row, State};
use logmedic::ledger::store::Change;
use logmedic::ledger::{Force, Ledger};
use logmedic::serve::auth::{Caller, Identity, Settings};
use logmedic::serve::{incidents, jobs, story};
use logmedic::vocab::{Class, Evidence, Mode, Now, Severity};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;

/// The engine without a loop: each look finds a fault, no repair ever ends.
struct Engine {
    state: State,
    ledger: Ledger,
    start: Instant,
}

impl Engine {
    fn step(&mut self, input: Input) -> Vec<Effect> {
        let now = || Now { mono: self.start.elapsed(), wall: Utc::now() };
        let effects = self.state.step(input, now());
        let (mut changes, mut later) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Save(row) => {
                    changes.push(Change::Row { kind: row.kind.as_str().into(), id: row.id, json: row.json })
                }
                Effect::Notify(notice) => changes.push(Change::Notice(notice)),
                Effect::Record(record) => changes.push(Change::Record {
                    seq: record.seq,
                    incident: record.incident.to_string(),
                    json: serde_json::to_string(&record).unwrap(),
                }),
                other => later.push(other),
            }
        }
        self.ledger.commit(Force::Later, &changes).unwrap();
        later
    }

    fn settle(&mut self, input: Input) -> Vec<Effect> {
        let mut later = self.step(input);
        while let Some(at) = later.iter().position(|e| matches!(e, Effect::Start(task) if task.work.is_brief())) {
            let Effect::Start(task) = later.swap_remove(at) else { unreachable!() };
            let answer = Answer { finding: Finding::Fault, detail: "not there".into(), evidence: Evidence::new() };
            later.extend(self.step(Input::Finished { task: task.id, output: TaskOutput::Seen(answer) }));
        }
        later
    }

    async fn serve(mut self, mut orders: mpsc::Receiver<Ordered>) {
        while let Some((order, answer)) = orders.recv().await {
            let row = self.state.lacks(&order).and_then(|(kind, id)| {
                let json = self.ledger.row(kind.as_str(), &id.to_string()).unwrap()?;
                Some(Row { kind, id: id.to_string(), json })
            });
            let told = self.settle(Input::Order { ticket: 1, order, row });
            let result =
                told.into_iter().find_map(|e| if let Effect::Answer { result, .. } = e { Some(result) } else { None });
            let _ = answer.send(result.unwrap());
        }
    }
}

struct House {
    _dir: tempfile::TempDir,
    base: String,
    client: reqwest::Client,
}

impl House {
    async fn new(modes: &[(&str, Mode)], says: &[(&str, Class)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let settings = Settings { port: 0, session_ttl: Duration::from_secs(60) };
        let identity = Identity::open(ledger.clone(), dir.path(), settings).unwrap();
        let mut policy = Policy::default();
        policy.modes.by.extend(modes.iter().map(|(key, mode)| ((*key).to_owned(), *mode)));
        let start = Instant::now();
        let now = Now { mono: Duration::ZERO, wall: Utc::now() };
        let mut engine = Engine { state: State::new(policy, 1, now), ledger: ledger.clone(), start };
        for (path, class) in says {
            let captures = BTreeMap::from([("path".into(), (*path).to_owned()), ("file_id".into(), "BAAC".into())]);
            let hit = Hit { rule: "a.b".into(), class: *class, severity: Severity::Error, captures };
            let (text, at) = (format!("failed {path}"), Utc::now());
            let item = Item { offset: 0, text, truncated: false, at, dated: true, meaning: Meaning::Failure(hit) };
            engine.settle(Input::Observed { source: "bot".into(), file: None, items: vec![item] });
        }
        let (orders, ordered) = Orders::channel();
        let book = tokio::sync::watch::channel(Arc::new(RuleBook::new())).1;
        tokio::spawn(engine.serve(ordered));
        let local = Caller { address: IpAddr::V4(Ipv4Addr::LOCALHOST), local: true };
        let router = OpenApiRouter::<()>::new()
            .merge(jobs::router(ledger.clone(), orders.clone(), identity.clone()))
            .merge(story::router(ledger.clone(), book, identity.clone()))
            .merge(incidents::router(ledger, orders, identity))
            .split_for_parts()
            .0
            .layer(axum::Extension(local));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { _dir: dir, base, client: reqwest::Client::new() }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        Self::read(self.client.get(format!("{}{path}", self.base)).send().await.unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.base));
        let request = request.header("content-type", "application/json").body(body.to_string());
        Self::read(request.send().await.unwrap()).await
    }

    async fn read(answer: reqwest::Response) -> (u16, Value) {
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b4_jobs_are_registered_listed_filtered_and_counted() {
    let house = House::new(&[], &[]).await;
    let (status, made) = house.post("/jobs", json!({ "name": "a.mp4", "path": "/m/a.mp4", "size": 10 })).await;
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!((status, made["ws_url"].as_str().unwrap()), (201, format!("/api/v1/ws?job={id}").as_str()));
    let again = house.post("/jobs", json!({ "path": "/m/a.mp4", "source": "api" })).await.1;
    assert_eq!(again["id"].as_str(), Some(id.as_str()), "known already");
    house.post("/jobs", json!({ "url": "https://example.org/b.mp4" })).await;
    let first = house.get("/jobs?limit=1").await.1;
    assert_eq!(first["items"].as_array().unwrap().len(), 1);
    let next = format!("/jobs?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
    let second = house.get(&next).await.1;
    assert_eq!((second["items"].as_array().unwrap().len(), &second["next_cursor"]), (1, &Value::Null));
    assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);
    assert_eq!(house.get("/jobs?state=failed").await.1["items"], json!([]));
    assert_eq!(house.get("/jobs/active").await.1.as_array().unwrap().len(), 2);
    let shown = house.get(&format!("/jobs/{id}/status")).await.1;
    assert_eq!(
        (shown["state"].as_str(), shown["total"].as_u64(), &shown["percent"]),
        (Some("queued"), Some(10), &Value::Null)
    );
    assert_eq!(house.get("/jobs/stats").await.1["by_state"]["queued"], 2);
    for (path, body, want) in [
        ("/jobs", json!({}), (400, "empty_job")),
        ("/jobs", json!({ "path": "a\u{1b}[2J" }), (400, "bad_field")),
        ("/jobs", json!({ "who": 1 }), (422, "bad_body")),
        ("/jobs/01K0000000000000000000000A/retry", json!(null), (404, "not_found")),
        (&*format!("/jobs/{id}/retry"), json!(null), (409, "not_in_this_state")),
    ] {
        let (status, problem) = house.post(path, body).await;
        assert_eq!((status, problem["code"].as_str().unwrap_or_default()), want, "{path}: {problem}");
    }
    assert_eq!(house.get("/jobs/nonsense").await.0, 404);
    assert_eq!(house.get("/jobs?state=gone").await.1["code"], "bad_state");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b6_a_person_approves_and_the_story_says_who() {
    let says = [("/m/a.mp4", Class::Corrupt), ("/m/b.mp4", Class::Corrupt)];
    let house = House::new(&[("corrupt", Mode::Approve)], &says).await;
    let held = house.get("/incidents?state=held&class=corrupt").await.1["items"].clone();
    assert_eq!((held.as_array().unwrap().len(), held[0]["held_on"].as_str()), (2, Some("approval")));
    let (first, second) = (held[0]["id"].as_str().unwrap(), held[1]["id"].as_str().unwrap());
    assert_eq!(house.post(&format!("/incidents/{first}/retry"), json!(null)).await.0, 409);
    assert_eq!(house.post(&format!("/incidents/{first}/approve"), json!(null)).await.0, 202);
    assert_eq!(house.post(&format!("/incidents/{first}/approve"), json!(null)).await.0, 409, "once");
    let story = house.get(&format!("/incidents/{first}")).await.1;
    assert_eq!(story["before"]["approved_by"], "local");
    let action = story["records"].as_array().unwrap().iter().find(|record| record["kind"] == "action").unwrap();
    assert_eq!(
        (action["evidence"]["approved_by"].as_str(), action["strategy"].as_str()),
        (Some("local"), Some("quarantine"))
    );
    assert_eq!(house.post(&format!("/incidents/{second}/reject"), json!(null)).await.0, 202);
    let story = house.get(&format!("/incidents/{second}")).await.1;
    assert_eq!((story["state"].as_str(), story["before"]["rejected_by"].as_str()), (Some("cancelled"), Some("local")));
    // Whoever changes their mind has it worked on again.
    assert_eq!(house.post(&format!("/incidents/{second}/retry"), json!(null)).await.0, 202);
    let story = house.get(&format!("/incidents/{second}")).await.1;
    assert_eq!((&story["ended_at"], &story["before"]["retried_by"]), (&Value::Null, &json!("local")));
    let orders: Vec<_> = story["orders"].as_array().unwrap().iter().map(|one| (&one["order"], &one["by"])).collect();
    assert_eq!(orders, [(&json!("reject"), &json!("local")), (&json!("retry"), &json!("local"))]);
    assert_eq!(house.post(&format!("/incidents/{first}/acknowledge"), json!(null)).await.0, 202);
    assert_eq!(house.get(&format!("/incidents/{first}")).await.1["acknowledged"]["by"], "local");
    let silence = format!("/incidents/{first}/silence");
    assert_eq!(house.post(&silence, json!({ "seconds": 0 })).await.0, 400);
    assert_eq!(house.post(&silence, json!({ "seconds": 60, "reason": "known" })).await.0, 202);
}
