//! A house to heal in: a root, a healer, and a server that misbehaves as it is told.

#![allow(dead_code, reason = "each test program uses its part of it")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use logmedic::decide::{Answer, Expect, Fetch, Finding, Question, Repair, Task, TaskOutput, Work};
use logmedic::heal::{BotApi, BotUser, Healer, Settings, Timeouts};
use logmedic::ledger::Ledger;
use logmedic::roots::{RootSpec, Roots};
use logmedic::vocab::{Id, Rng, Secret};
use tokio_util::sync::CancellationToken;

pub const NOBODY: u32 = 65_534;
pub const TOKEN: &str = "123456:AAFakeFakeFakeFakeFakeFakeFakeFake123";

pub struct House {
    pub dir: tempfile::TempDir,
    pub settings: Settings,
    pub spec: RootSpec,
    pub ledger: Ledger,
}

static SEED: AtomicU64 = AtomicU64::new(1);

pub fn id() -> Id {
    Id::new(chrono::Utc::now(), &mut Rng::new(SEED.fetch_add(1, Ordering::Relaxed)))
}

impl House {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("models")).unwrap();
        let spec = RootSpec {
            name: "models".into(),
            path: dir.path().join("models"),
            owner: None,
            group: None,
            dir_mode: None,
            file_mode: None,
        };
        let short = Duration::from_millis(1500);
        let settings = Settings {
            working_dir: Some(dir.path().into()),
            launcher: Some(env!("CARGO_BIN_EXE_logmedic").into()),
            timeouts: Timeouts { stall: short, probe: short, ..Timeouts::default() },
            ..Settings::default()
        };
        let ledger = Ledger::open(&dir.path().join("state")).unwrap();
        Self { dir, settings, spec, ledger }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The bot runs as `nobody`.
    pub fn for_nobody(self) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test changes owners: run the tests as root");
        self.with(|house| house.settings.bot = BotUser { name: "nobody".into(), uid: NOBODY, gids: vec![NOBODY] })
    }

    /// The server's own address is loopback: it must be listed, exactly.
    pub fn serving(self, server: &Server) -> Self {
        let at = server.at.to_string();
        self.with(|house| {
            house.settings.allow_private.push(at.clone());
            let token = Some(Secret::new(TOKEN));
            house.settings.bot_api = BotApi { url: format!("http://{at}"), token, files_dir: None };
        })
    }

    pub fn healer(&self) -> Healer {
        let (roots, problems) = Roots::open(std::slice::from_ref(&self.spec));
        assert!(problems.is_empty(), "{problems:?}");
        Healer::new(self.settings.clone(), Arc::new(roots), self.ledger.clone())
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    pub fn put(&self, relative: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub async fn run(&self, task: Task) -> TaskOutput {
        self.healer().run(task, CancellationToken::new()).await
    }

    pub async fn act(&self, repair: Repair) -> TaskOutput {
        self.run(task(Work::Act(repair))).await
    }

    pub async fn look(&self, question: Question) -> Answer {
        match self.run(task(Work::Look(question))).await {
            TaskOutput::Seen(answer) => answer,
            other => panic!("a look answered {other:?}"),
        }
    }

    pub async fn fetch(&self, from: Fetch, path: &str) -> TaskOutput {
        self.act(Repair::Redownload { from, path: path.into(), expect: Expect::default() }).await
    }

    pub async fn download(&self, path: &str) -> Finding {
        self.look(Question::Download { path: path.into(), expect: Expect::default() }).await.finding
    }
}

pub fn task(work: Work) -> Task {
    Task { id: id(), incident: id(), work, limit: Duration::from_secs(30), resumed: false }
}

pub fn is_done(output: &TaskOutput) -> bool {
    matches!(output, TaskOutput::Done { .. })
}

/// A picture whose structure and checksums are right.
pub fn png(pixels: usize) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, body) in [(b"IHDR", vec![0; 13]), (b"IDAT", vec![9; pixels]), (b"IEND", vec![])] {
        out.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        let typed = [name.to_vec(), body].concat();
        out.extend(&typed);
        out.extend(crc32fast::hash(&typed).to_be_bytes());
    }
    out
}

/// Waits until something is so, at most ten seconds.
pub async fn until(so: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < limit, "it did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What was asked of the server.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub range: Option<String>,
    pub if_range: Option<String>,
}

pub struct Server {
    pub at: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// `answer` gets the number of the request, from 0, and the request.
    pub async fn start(answer: impl Fn(u32, Asked) -> Response<Body> + Send + Sync + Clone + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let count = Arc::new(AtomicU32::new(0));
        let log = asked.clone();
        let app = axum::Router::new().fallback(move |request: Request| {
            let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            let (range, if_range) = (header("range"), header("if-range"));
            let one = Asked { path: request.uri().path().into(), range, if_range };
            log.lock().unwrap().push(one.clone());
            let response = answer(count.fetch_add(1, Ordering::SeqCst), one);
            async move { response }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { at, asked, _task: task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

pub fn plain(status: u16, body: impl Into<Body>) -> Response<Body> {
    Response::builder().status(status).body(body.into()).unwrap()
}

/// The whole file is announced, `part` of it comes, then the connection breaks, or nothing more is said.
pub fn cut(whole: &[u8], part: usize, stall: bool) -> Response<Body> {
    let first = Bytes::copy_from_slice(&whole[..part]);
    let stream = futures_util::stream::unfold(0, move |step| {
        let first = first.clone();
        async move {
            match step {
                0 => Some((Ok(first), 1)),
                _ if stall => std::future::pending().await,
                1 => {
                    // The first bytes must leave before the connection is torn.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Some((Err(std::io::Error::other("cut")), 2))
                }
                _ => None,
            }
        }
    });
    let head = Response::builder().header("content-length", whole.len()).header("etag", "\"v1\"");
    head.body(Body::from_stream(stream)).unwrap()
}

/// Serves `whole` and honours a range of the same version.
pub fn ranged(whole: &[u8], asked: &Asked, etag: &str) -> Response<Body> {
    let from = asked.range.as_ref().and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match from.filter(|_| asked.if_range.as_deref() == Some(etag)) {
        Some(from) => Response::builder()
            .status(StatusCode::PARTIAL_CONTENT)
            .header("content-range", format!("bytes {from}-{}/{}", whole.len() - 1, whole.len()))
            .header("etag", etag)
            .body(whole[from..].to_vec().into())
            .unwrap(),
        None => Response::builder().header("etag", etag).body(whole.to_vec().into()).unwrap(),
    }
}

/// An address of this machine at which nobody listens.
pub fn nobody_home() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
