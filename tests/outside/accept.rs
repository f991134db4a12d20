//! A listener among clients that say nothing, whisper, or never leave.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::routing::get;
use futures_util::{SinkExt as _, StreamExt as _};
use logmedic::serve::accept::{self, Limits};
use logmedic::serve::auth::Peer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer, on a machine however busy.
const LONG: Duration = Duration::from_secs(20);

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

struct House {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl House {
    async fn open(head: Duration, connections: usize) -> Self {
        let echo = |upgrade: WebSocketUpgrade| async {
            upgrade.on_upgrade(async |mut socket| {
                while let Some(Ok(message)) = socket.recv().await {
                    let _ = socket.send(message).await;
                }
            })
        };
        let router = Router::new().route("/", get(async || "here")).route("/ws", get(echo));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let limits = Limits { head, connections };
        let peer = |_: &TcpStream, address: &std::net::SocketAddr| Peer::Tcp(*address);
        let task = tokio::spawn(accept::serve(listener, router, limits, peer, stop.clone()));
        Self { address, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// What comes until the other side hangs up.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut all)).await.expect("it was never dropped");
    String::from_utf8(all).unwrap()
}

/// Asks, and reads the answer without hanging up.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(ASK).await.unwrap();
    let mut all = Vec::new();
    while !all.ends_with(b"here") {
        assert_ne!(tokio::time::timeout(LONG, stream.read_buf(&mut all)).await.unwrap().unwrap(), 0, "hung up");
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn h2_who_says_nothing_or_whispers_is_dropped_and_a_websocket_is_not() {
    let house = House::open(Duration::from_millis(400), 16).await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", house.address)).await.unwrap();
    let mut kept = house.connect().await;
    ask(&mut kept).await;
    let begun = Instant::now();
    let (mut silent, mut whispers) = (house.connect().await, house.connect().await);
    let whispering = async {
        // One byte in fifty milliseconds: each comes in time, the whole would take more than a second.
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        for byte in ASK {
            tick.tick().await;
            if whispers.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        rest(&mut whispers).await
    };
    let (nothing, whispered, idle) = tokio::join!(rest(&mut silent), whispering, rest(&mut kept));
    assert!(begun.elapsed() >= Duration::from_millis(390), "not before its time: {:?}", begun.elapsed());
    for said in [nothing, whispered, idle] {
        assert!(!said.contains("here"), "{said}");
    }
    socket.send(Message::text("still there")).await.unwrap();
    let answer = tokio::time::timeout(LONG, socket.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(answer, Message::text("still there"));
    house.stop.cancel();
    drop(socket);
    tokio::time::timeout(LONG, house.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn h4_connections_are_so_many_at_most_and_whoever_leaves_makes_room() {
    let house = House::open(LONG, 2).await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", house.address)).await.unwrap();
    let mut second = house.connect().await;
    ask(&mut second).await;
    // The system takes the connection; nobody here does.
    let mut third = house.connect().await;
    third.write_all(ASK).await.unwrap();
    let mut byte = [0];
    assert!(tokio::time::timeout(Duration::from_millis(300), third.read(&mut byte)).await.is_err(), "no place is left");
    ask(&mut second).await;
    // The place went with the connection into the WebSocket, and comes back with its end.
    socket.close(None).await.unwrap();
    assert_eq!(tokio::time::timeout(LONG, third.read(&mut byte)).await.unwrap().unwrap(), 1);
    house.stop.cancel();
    drop((second, third, socket));
    tokio::time::timeout(LONG, house.task).await.unwrap().unwrap();
}
