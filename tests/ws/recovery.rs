//! Clients that were away: they get what they missed, in order and once, or are told to load.

use std::collections::HashMap;

use logmedic::ledger::{Force, events};
use logmedic::serve::hub::Settings;
use logmedic::vocab::Rng;
use serde_json::{Value, json};

use super::rig::{Client, House, Server, Store};

/// A client as the protocol wants it: what it knows, and from where on.
#[derive(Default)]
struct Model {
    known: HashMap<String, Value>,
    seen: Option<(String, u64)>,
    gaps: u32,
    /// The last lasting number of this connection.
    last: u64,
}

impl Model {
    async fn connect(&mut self, server: &Server) -> Client {
        let mut client = server.client("vera").await;
        self.last = 0;
        let wish = match &self.seen {
            Some((epoch, seq)) => json!({"type": "resume", "epoch": epoch, "seq": seq, "topics": ["job"]}),
            None => json!({"type": "subscribe", "topics": ["job"]}),
        };
        client.ask(&wish).await;
        client
    }

    fn take(&mut self, frame: &Value, store: &Store) {
        let seq = frame["seq"].as_u64().unwrap();
        match frame["type"].as_str().unwrap() {
            "gap" => {
                self.gaps += 1;
                self.known = store.all();
            }
            "ok" if self.seen.is_none() => self.known = store.all(),
            kind if kind.starts_with("job_") => {
                assert!(seq > self.last, "{seq} after {}", self.last);
                self.last = seq;
                self.known.insert(frame["key"].as_str().unwrap().into(), frame["data"].clone());
            }
            "ok" | "pong" | "heartbeat" => {}
            other => panic!("{other}"),
        }
        let epoch = frame["epoch"].as_str().unwrap();
        let newer = self.seen.as_ref().is_none_or(|(old, at)| old != epoch || *at < seq);
        if newer {
            self.seen = Some((epoch.into(), seq));
        }
    }
}

/// Some disconnects, kills, prunes and bursts; in the end the client knows what the store holds.
async fn play(seed: u64) -> u32 {
    let mut rng = Rng::new(seed);
    let mut pick = move |n: u64| rng.next_u64() % n;
    let (store, settings) = (Store::new(), Settings { replay_max: 20, ..Settings::default() });
    let start = async |store: &Store| Server::with(store, settings, House::new(), false, "127.0.0.1:0").await;
    let mut server = start(&store).await;
    let mut model = Model::default();
    let mut client = Some(model.connect(&server).await);
    let mut number = 0;
    for _ in 0..60 {
        match pick(12) {
            0..=4 => {
                for _ in 0..=pick(12) {
                    number += 1;
                    let state = ["queued", "processing", "processing", "completed", "failed"][pick(5) as usize];
                    store.put(&format!("job{}", pick(6)), state, number);
                }
            }
            5 | 6 => client = None,
            7 => {
                store.ledger.write_here(Force::Later, |tx| events::prune(tx, pick(10))).unwrap();
            }
            8 => {
                client = None;
                server.kill();
                server = start(&store).await;
            }
            _ => {
                if client.is_none() {
                    client = Some(model.connect(&server).await);
                }
                // Reads a part of what is there, so that a later disconnect is in the middle.
                if let Some(client) = &mut client {
                    client.ask(&json!({"type": "ping"})).await;
                    for _ in 0..=pick(6) {
                        let frame = client.next().await;
                        model.take(&frame, &store);
                        if frame["type"] == "pong" {
                            break;
                        }
                    }
                }
            }
        }
    }
    let mut client = match client {
        Some(client) => client,
        None => model.connect(&server).await,
    };
    number += 1;
    store.put("last", "queued", number);
    let newest = store.newest();
    while model.last < newest {
        let frame = client.next().await;
        model.take(&frame, &store);
        if frame["type"] == "gap" && frame["seq"] == newest {
            break;
        }
    }
    assert_eq!(model.known, store.all(), "seed {seed}");
    model.gaps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_whatever_happens_a_client_knows_what_the_store_holds_or_was_told_to_load() {
    let mut gaps = 0;
    for seed in 0..40 {
        gaps += play(seed).await;
    }
    assert!(gaps > 0, "no night was bad enough");
}

#[tokio::test]
async fn d7_who_was_away_gets_exactly_what_was_missed_also_after_a_restart() {
    let store = Store::new();
    let server = Server::start(&store).await;
    let mut client = server.subscribed("vera", &["job"]).await;
    store.put("a", "queued", 1);
    let seen = client.next().await;
    drop(client);
    store.put("a", "processing", 2);
    store.put("b", "queued", 3);
    store.put("a", "completed", 4);
    for round in 0..2 {
        let server = if round == 0 { &server } else { &Server::start(&store).await };
        let mut client = server.client("vera").await;
        // What is not told yet would come behind the answer, as anything new does.
        server.told(4).await;
        let resume = json!({"type": "resume", "epoch": seen["epoch"], "seq": seen["seq"], "topics": ["job"]});
        client.ask(&resume).await;
        let frames = client.until(|frame| frame["type"] == "ok").await;
        let told: Vec<_> = frames.iter().map(|f| (f["seq"].as_u64().unwrap(), f["type"].as_str().unwrap())).collect();
        // What `a` was like in between is said by what it is like now.
        assert_eq!(told, [(3, "job_registered"), (4, "job_completed"), (4, "ok")]);
    }
    let mut client = server.client("vera").await;
    let resume = json!({"type": "resume", "epoch": seen["epoch"], "seq": 4, "topics": ["job"]});
    client.ask(&resume).await;
    assert_eq!(client.next().await["type"], "ok", "nothing was missed");
    store.put("c", "queued", 5);
    assert_eq!(client.next().await["seq"], 5, "and live from then on");
}

#[tokio::test]
async fn d7_too_long_ago_another_life_or_a_number_never_given_is_one_gap() {
    let store = Store::new();
    (0..1_500).for_each(|n| store.put("a", "queued", n));
    let server = Server::start(&store).await;
    let epoch = server.client("vera").await.epoch().await;
    for (epoch, seq, reason) in
        [(epoch.as_str(), 3, "pruned"), ("another", 1_499, "epoch"), (epoch.as_str(), 9_999_999, "ahead")]
    {
        let mut client = server.client("vera").await;
        client.ask(&json!({"type": "resume", "epoch": epoch, "seq": seq, "topics": ["job"]})).await;
        let frame = client.next().await;
        assert_eq!((&frame["type"], &frame["data"]["reason"]), (&json!("gap"), &json!(reason)));
        assert_eq!((&frame["data"]["from"], &frame["data"]["to"]), (&json!(seq), &json!(1_500)));
        assert_eq!(client.next().await["type"], "ok");
    }
}

impl Client {
    async fn epoch(&mut self) -> String {
        self.ask(&json!({"type": "ping"})).await;
        self.next().await["epoch"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn d7_asking_after_newer_frames_went_out_is_a_gap_and_never_a_disorder() {
    let store = Store::new();
    let server = Server::start(&store).await;
    store.put("a", "queued", 1);
    let mut client = server.subscribed("vera", &["job"]).await;
    store.put("b", "queued", 2);
    let epoch = client.until(|frame| frame["seq"] == 2).await[0]["epoch"].clone();
    client.ask(&json!({"type": "resume", "epoch": epoch, "seq": 0})).await;
    let frame = client.next().await;
    assert_eq!((&frame["type"], &frame["data"]["reason"]), (&json!("gap"), &json!("late")));
}
