//! The hub alone, as a contestant of a fan-out measurement: `ws_bench PORT [MICROSECONDS]` (the hub's pace for each client); its other side is
//! `ws_bench load PORT CLIENTS COUNT RATE PID`, with the server's process. Its routes, queues and loop are those of
//! the agent; only who may come in is not asked. A client's text `go N RATE` makes it broadcast N texts of 300 bytes
//! at RATE a second (0: as fast as its slowest client takes them), each stamped with the moment it was due.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::map_request;
use axum::serve::ListenerExt as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use logmedic::ledger::Ledger;
use logmedic::serve::auth::Caller;
use logmedic::serve::hub::{self, Command, Commands, Gate, Guest, Hub, Pass, Settings};
use logmedic::serve::problem::Problem;
use logmedic::serve::ws::{Door, router};
use logmedic::vocab::Role;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

struct Open(watch::Sender<u64>, Hub);

impl Gate for Open {
    fn admit(&self, _: &Pass, _: &HeaderMap, caller: Caller) -> Result<Guest, Problem> {
        Ok(Guest {
            account: "bench".into(),
            role: Role::Admin,
            session: None,
            address: caller.address,
            generation: None,
            left: None,
        })
    }

    fn ticket(&self, _: &Guest) -> Result<String, Problem> {
        Ok("ticket".into())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    fn still(&self, guest: &Guest) -> Option<Role> {
        Some(guest.role)
    }
}

impl Commands for Open {
    fn carry_out<'a>(&'a self, _: &'a Guest, _: Command) -> BoxFuture<'a, Result<Vec<serde_json::Value>, Problem>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }

    fn is_known_text(&self, text: &str) -> bool {
        let mut words = text.split(' ').skip(1).map(|word| word.parse().unwrap());
        let (hub, count, rate) = (self.1.clone(), words.next().unwrap(), words.next().unwrap());
        // A thread of its own: the runtime's timers are a millisecond late, and that is not the hub's doing.
        std::thread::spawn(move || broadcast(&hub, count, rate));
        true
    }
}

fn broadcast(hub: &Hub, count: u32, rate: u32) {
    let begun = Instant::now();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for number in 0..count {
        let due = Duration::from_secs(1).saturating_mul(number).checked_div(rate).unwrap_or_else(|| begun.elapsed());
        if rate > 0 {
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        } else {
            while hub.backlog() > 400 {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        let head = format!("{:020} {number:06} ", (clock + due).as_nanos());
        hub.raw(format!("{head}{}", "x".repeat(300 - head.len())), begun + due);
    }
}

/// The loader asks for no topics.
async fn with_topic(mut request: Request) -> Request {
    *request.uri_mut() = "/ws?topics=stats".parse().unwrap();
    request
}

#[path = "load.rs"]
mod load;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| args[place].parse::<u32>().unwrap();
    if args[0] == "load" {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let port = args[1].parse().unwrap();
        runtime.block_on(load::run(port, number(2) as usize, number(3) as usize, number(4), number(5)));
    } else {
        serve(args[0].parse().unwrap());
    }
}

#[tokio::main]
async fn serve(port: u16) {
    let state = std::env::temp_dir().join(format!("ws_bench-{}", std::process::id()));
    let ledger = Ledger::open(&state).unwrap();
    let mut settings = Settings { max_clients: 10_000, max_of_account: 10_000, ..Settings::default() };
    if let Some(micros) = std::env::args().nth(2) {
        settings.pace_each = Duration::from_micros(micros.parse().unwrap());
    }
    let hub = Hub::new(settings);
    let gate = Arc::new(Open(watch::Sender::new(0), hub.clone()));
    tokio::spawn(hub::run(hub.clone(), ledger, Arc::new(|_| None), gate.clone(), CancellationToken::new()));
    let (routes, _) = router().split_for_parts();
    let inner: Router = routes.with_state(Door { hub, gate: gate.clone(), commands: gate, production: false });
    let app = Router::new().fallback_service(inner).layer(map_request(with_topic));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    // Two small writes in a row must not wait for the first one's acknowledgement.
    let listener = listener.tap_io(|socket| socket.set_nodelay(true).unwrap());
    axum::serve(listener, app).await.unwrap();
}
