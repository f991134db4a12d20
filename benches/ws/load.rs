//! The other side of `ws_bench`: opens connections, lets the server broadcast, says what arrived and when. It reads
//! frames with as little work as it can, because it shares the processors with what it measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long nothing may arrive before it is over.
const PATIENCE: Duration = Duration::from_secs(8);

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn rss_kib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

fn at(sorted: &[f64], share: f64) -> f64 {
    sorted.get((sorted.len().saturating_sub(1) as f64 * share) as usize).copied().unwrap_or(0.0)
}

async fn open(port: u16) -> (TcpStream, Vec<u8>) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    loop {
        assert!(socket.read_buf(&mut read).await.unwrap() > 0, "refused: {}", String::from_utf8_lossy(&read));
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            assert!(read.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&read));
            read.drain(..end + 4);
            return (socket, read);
        }
    }
}

/// Reads until `count` texts of 300 bytes came; milliseconds from the moment that each names to its arrival.
async fn receive(
    mut socket: tokio::net::tcp::OwnedReadHalf,
    mut read: Vec<u8>,
    count: usize,
    all: Arc<AtomicUsize>,
) -> Vec<f64> {
    let mut delays = Vec::new();
    loop {
        let mut from = 0;
        while let Some(head) = read.get(from..from + 4) {
            let (head_len, len) = match head[1] & 127 {
                126 => (4, usize::from(u16::from_be_bytes([head[2], head[3]]))),
                short => (2, usize::from(short)),
            };
            let Some(body) = read.get(from + head_len..from + head_len + len) else { break };
            if len == 300 {
                let due: u128 = std::str::from_utf8(&body[..20]).unwrap().parse().unwrap();
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
                delays.push(now.saturating_sub(due) as f64 / 1e6);
                all.fetch_add(1, Ordering::Relaxed);
            }
            from += head_len + len;
        }
        read.drain(..from);
        read.reserve(64 * 1024);
        if delays.len() >= count || !matches!(socket.read_buf(&mut read).await, Ok(1..)) {
            return delays;
        }
    }
}

/// `ws_bench load PORT CLIENTS COUNT RATE PID`.
pub async fn run(port: u16, clients: usize, count: usize, rate: u32, pid: u32) {
    let (idle, all) = (rss_kib(pid), Arc::new(AtomicUsize::new(0)));
    let (mut set_up, mut tasks, mut first) = (Vec::new(), Vec::new(), None);
    for _ in 0..clients {
        let begun = Instant::now();
        let (socket, read) = open(port).await;
        set_up.push(begun.elapsed().as_secs_f64() * 1e3);
        let (reader, writer) = socket.into_split();
        // All writers are kept: dropping one would close its connection.
        first.get_or_insert_with(Vec::new).push(writer);
        tasks.push(tokio::spawn(receive(reader, read, count, Arc::clone(&all))));
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    let each = (rss_kib(pid) as f64 - idle as f64) / clients as f64;
    let text = format!("go {count} {rate}");
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    first.as_mut().unwrap()[0].write_all(&frame).await.unwrap();
    let (begun, mut before, mut last) = (Instant::now(), 0, Instant::now());
    while before < clients * count && last.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = all.load(Ordering::Relaxed);
        if now != before {
            (before, last) = (now, Instant::now());
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    drop(first);
    let mut delays = Vec::new();
    for task in tasks {
        if task.is_finished() {
            delays.extend(task.await.unwrap());
        } else {
            task.abort();
        }
    }
    delays.sort_by(f64::total_cmp);
    set_up.sort_by(f64::total_cmp);
    println!(
        "{clients} clients, {count} messages, {rate}/s: {before} of {} delivered, {:.0}/s; latency ms p50 {:.2} p99 {:.2} max {:.2}; connect ms p50 {:.2} p99 {:.2}; {each:.1} KiB a connection",
        clients * count,
        before as f64 / seconds,
        at(&delays, 0.5),
        at(&delays, 0.99),
        at(&delays, 1.0),
        at(&set_up, 0.5),
        at(&set_up, 0.99),
    );
}
