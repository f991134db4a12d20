//! A hub over a real ledger, served over TCP or over pipes in memory (where the clock stands still), and its clients.

use std::collections::HashMap;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use logmedic::ledger::{Force, Ledger};
use logmedic::serve::auth::Caller;
use logmedic::serve::hub::{self, Command, Commands, Gate, Guest, Hub, Pass, Settings};
use logmedic::serve::problem::Problem;
use logmedic::serve::ws::{Door, router};
use logmedic::vocab::Role;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

/// What anything here may take at most.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Whoever has a word gets in: by `Authorization`, cookie, subprotocol or ticket.
pub struct House {
    pub guests: Mutex<HashMap<String, Guest>>,
    pub changes: watch::Sender<u64>,
    pub obeyed: Mutex<Vec<(String, Command)>>,
}

impl House {
    pub fn new() -> Arc<Self> {
        let house = Self { guests: Mutex::default(), changes: watch::Sender::new(0), obeyed: Mutex::default() };
        for (word, role) in [("vera", Role::Viewer), ("otto", Role::Operator), ("anna", Role::Admin)] {
            house.let_in(word, role, None);
        }
        Arc::new(house)
    }

    pub fn let_in(&self, word: &str, role: Role, left: Option<Duration>) {
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let guest = Guest { account: word.into(), role, session: None, address, generation: None, left };
        self.guests.lock().unwrap().insert(word.into(), guest);
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Gate for House {
    fn admit(&self, pass: &Pass, headers: &HeaderMap, _: Caller) -> Result<Guest, Problem> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let word = match pass {
            Pass::Bearer(word) => Some(word.clone()),
            Pass::Ticket(word) => {
                let taken = self.guests.lock().unwrap().remove(&format!("ticket:{word}"));
                return taken.ok_or_else(|| Problem::unauthenticated("no such ticket"));
            }
            Pass::Headers => header("authorization")
                .and_then(|text| text.strip_prefix("Bearer "))
                .or_else(|| header("cookie").and_then(|text| text.strip_prefix("session=")))
                .map(str::to_owned),
        };
        let found = word.and_then(|word| self.guests.lock().unwrap().get(&word).cloned());
        found.ok_or_else(|| Problem::unauthenticated("log in"))
    }

    fn ticket(&self, guest: &Guest) -> Result<String, Problem> {
        let word = format!("for-{}", guest.account);
        self.guests.lock().unwrap().insert(format!("ticket:{word}"), guest.clone());
        Ok(word)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn still(&self, guest: &Guest) -> Option<Role> {
        self.guests.lock().unwrap().get(&guest.account).map(|now| now.role)
    }
}

impl Commands for House {
    fn carry_out<'a>(&'a self, guest: &'a Guest, command: Command) -> BoxFuture<'a, Result<Vec<Value>, Problem>> {
        async move {
            let listed = matches!(command, Command::Notifications { .. });
            self.obeyed.lock().unwrap().push((guest.account.clone(), command));
            Ok(if listed { vec![json!({"id": "n1"}), json!({"id": "n2"})] } else { vec![] })
        }
        .boxed()
    }
}

/// Connections in memory.
pub struct Pipes(mpsc::Receiver<DuplexStream>);

impl axum::serve::Listener for Pipes {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.0.recv().await {
            Some(pipe) => (pipe, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The store, which outlives hubs.
#[derive(Clone)]
pub struct Store {
    pub ledger: Ledger,
    _dir: Arc<tempfile::TempDir>,
}

impl Store {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { ledger: Ledger::open(dir.path()).unwrap(), _dir: Arc::new(dir) }
    }

    /// A job is like this now.
    pub fn put(&self, id: &str, state: &str, number: u64) {
        let json = json!({"state": state, "number": number}).to_string();
        let sql =
            "INSERT INTO row (kind, id, json) VALUES ('job', ?1, ?2) ON CONFLICT DO UPDATE SET json = excluded.json";
        self.ledger.write_here(Force::Later, |tx| tx.execute(sql, (id, json)).map(drop)).unwrap();
    }

    pub fn all(&self) -> HashMap<String, Value> {
        let read = |db: &logmedic::ledger::rusqlite::Connection| {
            let mut query = db.prepare("SELECT id, json FROM row WHERE kind = 'job'")?;
            query.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?.collect::<Result<Vec<_>, _>>()
        };
        let rows: Vec<(String, String)> = self.ledger.read(read).unwrap();
        rows.into_iter().map(|(id, json)| (id, serde_json::from_str(&json).unwrap())).collect()
    }

    pub fn newest(&self) -> u64 {
        self.ledger.read(logmedic::ledger::events::newest).unwrap()
    }
}

/// A hub and its server.
pub struct Server {
    pub hub: Hub,
    pub house: Arc<House>,
    pub address: String,
    pipes: mpsc::Sender<DuplexStream>,
    _store: Store,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    stop: CancellationToken,
}

impl Server {
    pub async fn start(store: &Store) -> Self {
        Self::with(store, Settings::default(), House::new(), false, "127.0.0.1:0").await
    }

    pub async fn with(store: &Store, settings: Settings, house: Arc<House>, production: bool, at: &str) -> Self {
        let (hub, stop) = (Hub::new(settings), CancellationToken::new());
        let ledger = store.ledger.clone();
        let render: hub::Render = Arc::new(move |event| {
            let sql = "SELECT json FROM row WHERE kind = 'job' AND id = ?1";
            let json: String = ledger.read(|db| db.query_row(sql, [&event.key], |row| row.get(0))).ok()?;
            serde_json::from_str(&json).ok()
        });
        let run = hub::run(hub.clone(), store.ledger.clone(), render, house.clone(), stop.clone());
        let door = Door { hub: hub.clone(), gate: house.clone(), commands: house.clone(), production };
        let (routes, _) = router().split_for_parts();
        let app: Router = Router::new().nest("/api/v1", routes).with_state(door);
        let listener = tokio::net::TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (pipes, accepted) = mpsc::channel(16);
        let tasks = vec![
            tokio::spawn(run),
            tokio::spawn(axum::serve(listener, app.clone()).into_future().map(drop)),
            tokio::spawn(axum::serve(Pipes(accepted), app).into_future().map(drop)),
        ];
        Self { hub, house, address, pipes, _store: store.clone(), tasks, stop }
    }

    /// Ends without a word, as `kill -9` does.
    pub fn kill(self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
        drop(self.stop);
    }

    /// Ends, and sends its clients away.
    pub fn kill_clients(self) {
        self.stop.cancel();
        self.tasks.iter().skip(1).for_each(tokio::task::JoinHandle::abort);
    }

    pub async fn connect(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Client, u16> {
        let socket = tokio::net::TcpStream::connect(&self.address).await.unwrap();
        Client::over(socket, &self.address, path, headers).await
    }

    /// Over a pipe that holds so many bytes.
    pub async fn pipe(&self, bytes: usize, path: &str, headers: &[(&'static str, &str)]) -> Client<DuplexStream> {
        let (here, there) = tokio::io::duplex(bytes);
        self.pipes.send(there).await.unwrap();
        Client::over(here, "pipe", path, headers).await.unwrap()
    }

    /// Waits until the hub has told everything up to this number.
    pub async fn told(&self, seq: u64) {
        let wait = async {
            while self.hub.place().seq < seq {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the hub reads what was committed");
    }

    /// A client with this word that has been greeted.
    pub async fn client(&self, word: &str) -> Client {
        let mut client = self.connect("/ws", &[("authorization", &format!("Bearer {word}"))]).await.unwrap();
        assert_eq!(client.next().await["type"], "welcome");
        client
    }

    /// A client that wants these topics.
    pub async fn subscribed(&self, word: &str, topics: &[&str]) -> Client {
        let mut client = self.client(word).await;
        client.ask(&json!({"type": "subscribe", "topics": topics})).await;
        assert_eq!(client.next().await["type"], "ok");
        client
    }
}

/// One connection, as a client sees it.
pub struct Client<S = tokio::net::TcpStream>(pub WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn over(socket: S, host: &str, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{host}/api/v1{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match tokio_tungstenite::client_async(request, socket).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn ask(&mut self, frame: &Value) {
        self.0.send(Message::Text(frame.to_string().into())).await.unwrap();
    }

    /// The next frame; panics when there is none.
    pub async fn next(&mut self) -> Value {
        self.get().await.unwrap_or_else(|code| panic!("closed with {code}"))
    }

    /// The next frame, or the code with which the server closed (0: without).
    pub async fn get(&mut self) -> Result<Value, u16> {
        loop {
            match tokio::time::timeout(LIMIT, self.0.next()).await.expect("no frame in time") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(0),
            }
        }
    }

    /// Frames until this one, with it.
    pub async fn until(&mut self, last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.next().await);
            if last(frames.last().unwrap()) {
                return frames;
            }
        }
    }

    /// The code with which the server closes, whatever it says before.
    pub async fn end(&mut self) -> u16 {
        loop {
            if let Err(code) = self.get().await {
                return code;
            }
        }
    }
}
