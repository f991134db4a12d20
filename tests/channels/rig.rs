//! A webhook receiver that answers as it is told and keeps what it got, and channels that deliver to it.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use logmedic::ledger::{Ledger, outbox as owed};
use logmedic::outbox::{
    ChannelPace, ChannelSettings, Channels, Lang, Preset, PushSettings, Rules, Way, WebhookSettings,
};
use logmedic::vocab::{
    Class, Id, Level, Notice, OutcomeResult, Rng, Secret, Severity, Stage, Story, Subject, SubjectKind,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What any test may wait for at most.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One request.
#[derive(Clone, Debug)]
pub struct Got {
    pub at: std::time::Instant,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Got {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What the receiver answers next.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    RetryAfter(u16, &'static str),
    /// Takes it and never says so.
    Silence,
}

#[derive(Default)]
struct Inner {
    got: Vec<Got>,
    script: VecDeque<Answer>,
    usual: Option<Answer>,
}

#[derive(Clone)]
pub struct Receiver {
    inner: Arc<Mutex<Inner>>,
    news: Arc<Notify>,
    pub base: String,
}

async fn take(State(this): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> axum::response::Response {
    let answer = {
        let mut inner = this.inner.lock().unwrap();
        let at = std::time::Instant::now();
        inner.got.push(Got { at, path: uri.to_string(), headers, body: body.to_vec() });
        inner.script.pop_front().or_else(|| inner.usual.clone())
    };
    this.news.notify_waiters();
    match answer {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(Answer::Status(code)) => StatusCode::from_u16(code).unwrap().into_response(),
        Some(Answer::RetryAfter(code, after)) => {
            (StatusCode::from_u16(code).unwrap(), [("retry-after", after)]).into_response()
        }
        Some(Answer::Silence) => std::future::pending().await,
    }
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let this = Self { inner: Arc::default(), news: Arc::default(), base };
        let app = Router::new().fallback(take).with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        this
    }

    /// The next answers.
    pub fn answers(&self, answers: &[Answer]) {
        self.inner.lock().unwrap().script.extend(answers.iter().cloned());
    }

    /// The answer when no other is left.
    pub fn usually(&self, answer: Option<Answer>) {
        self.inner.lock().unwrap().usual = answer;
    }

    pub fn got(&self) -> Vec<Got> {
        self.inner.lock().unwrap().got.clone()
    }

    /// Waits until what arrived fits.
    pub async fn until(&self, what: &str, fits: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let wait = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                let got = self.got();
                if fits(&got) {
                    return got;
                }
                news.await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(got) => got,
            Err(_) => {
                let got: Vec<String> = self.got().iter().map(|one| String::from_utf8_lossy(&one.body).into()).collect();
                panic!("waited in vain for {what}; got {got:#?}")
            }
        }
    }
}

pub fn quick() -> ChannelPace {
    let ms = Duration::from_millis;
    ChannelPace {
        call: ms(2_000),
        backoff: ms(20),
        backoff_cap: ms(100),
        limited: ms(50),
        patience: ms(300),
        sense: ms(50),
        housekeeping: ms(200),
        ledger_retry: ms(50),
        drain: ms(3_000),
    }
}

pub fn rules() -> Rules {
    Rules {
        min_level: Severity::Warning,
        classes: vec![],
        quiet: None,
        digest: None,
        fallback: None,
        repeat: None,
        rate: 600,
    }
}

pub fn channel(name: &str, rules: Rules, way: Way) -> ChannelSettings {
    ChannelSettings { name: name.into(), rules, language: Lang::En, templates_dir: None, ca: None, way }
}

pub fn hook(receiver: &Receiver, path: &str, preset: Preset, secret: Option<&str>) -> Way {
    Way::Webhook(WebhookSettings {
        url: Secret::new(&format!("{}{path}", receiver.base)),
        secret: secret.map(Secret::new),
        preset,
    })
}

/// Channels at work.
pub struct Running {
    pub ledger: Ledger,
    pub channels: Channels,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn start(dir: &Path, settings: Vec<ChannelSettings>) -> Self {
        let hosts = vec!["127.0.0.1".to_owned()];
        let push = PushSettings { contact: Some("mailto:ana@example.org".into()), hosts };
        Self::with(dir, settings, channel("browsers", rules(), Way::Push(push))).await
    }

    pub async fn with(dir: &Path, settings: Vec<ChannelSettings>, push: ChannelSettings) -> Self {
        // The one before may still be about to let go of the lock.
        let ledger = tokio::time::timeout(PATIENCE, async {
            loop {
                match Ledger::open(dir) {
                    Ok(ledger) => return ledger,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        let ledger = ledger.await.unwrap();
        let channels = Channels::open(ledger.clone(), settings, push, None, quick()).await.unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(channels.clone().run(Arc::new(Notify::new()), stop.clone()));
        let this = Self { ledger, channels, stop, task };
        this.adopted().await;
        this
    }

    /// A new channel is told what comes from now on: the test must not be faster than that.
    async fn adopted(&self) {
        let mut commits = self.ledger.commits();
        let there = || {
            self.ledger
                .read(|db| db.query_row("SELECT count(*) FROM channel WHERE active", [], |row| row.get::<_, i64>(0)))
                .unwrap()
        };
        if self.channels_wanted() == 0 {
            return;
        }
        let wait = async {
            while there() == 0 {
                commits.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
    }

    fn channels_wanted(&self) -> usize {
        self.channels.names().len()
    }

    pub async fn put(&self, notices: Vec<Notice>) {
        let put = move |tx: &logmedic::ledger::rusqlite::Transaction<'_>| {
            notices.iter().try_for_each(|notice| owed::put(tx, notice))
        };
        self.ledger.write(put).await.unwrap();
    }

    /// A single value of the database; nothing when there is no row.
    pub fn value(&self, sql: &str) -> String {
        let text = |value| match value {
            logmedic::ledger::rusqlite::types::Value::Integer(number) => number.to_string(),
            logmedic::ledger::rusqlite::types::Value::Text(text) => text,
            _ => String::new(),
        };
        self.ledger
            .read(|db| match db.query_row(sql, [], |row| row.get(0)).map(text) {
                Err(logmedic::ledger::rusqlite::Error::QueryReturnedNoRows) => Ok(String::new()),
                other => other,
            })
            .unwrap()
    }

    /// Waits until the database says so.
    pub async fn until(&self, sql: &str, want: &str) {
        let mut commits = self.ledger.commits();
        let wait = async {
            while self.value(sql) != want {
                commits.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{sql}: {} instead of {want}", self.value(sql));
        }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// As if the process had been killed: nothing more is written down.
    pub async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

pub fn at() -> DateTime<Utc> {
    Utc::now()
}

/// A message that somebody wrote.
pub fn custom(key: &str, level: Level, title: &str, text: &str) -> Notice {
    let story = Story::Custom { level, title: title.into(), text: text.into(), by: "ana".into() };
    Notice { key: key.into(), revision: 1, severity: level.severity(), story, at: at() }
}

/// An incident.
pub fn incident(key: &str, revision: u64, stage: Stage) -> Notice {
    let story = Story::Incident {
        incident: Id::new(at(), &mut Rng::new(7)),
        class: Class::Corrupt,
        subject: Subject { kind: SubjectKind::File, value: format!("models/{key}.mp4") },
        source: "bot".into(),
        text: "moov atom not found".into(),
        count: 1,
        steps: vec![],
        stage,
    };
    Notice { key: key.into(), revision, severity: Severity::Error, story, at: at() }
}

pub fn ended(result: OutcomeResult) -> Stage {
    Stage::Ended { result, detail: "mp4 is whole".into(), remedy: None, duration_ms: 3_240 }
}
