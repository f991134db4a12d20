//! A running sender over a real ledger, and the notices it is given.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use logmedic::ledger::{self, Ledger};
use logmedic::outbox::{self, Lang, Pace, TelegramSettings};
use logmedic::vocab::{
    Class, Id, Notice, OutcomeResult, Rng, Secret, Severity, Stage, StepTold, Story, Strategy, Subject, SubjectKind,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fake::{Fake, Inner, PATIENCE, TOKEN};

pub const ANA: i64 = 1001;
pub const BOB: i64 = 1002;

/// Everything as in production, a hundred times faster.
pub fn quick() -> Pace {
    let ms = Duration::from_millis;
    Pace {
        chat_gap: ms(2),
        group_gap: ms(2),
        global_gap: ms(1),
        edit_gap: ms(30),
        backoff: ms(20),
        backoff_cap: ms(100),
        token_retry: ms(100),
        dead_retry: ms(300),
        limited: ms(300),
        drain: PATIENCE,
        ..Pace::default()
    }
}

pub fn settings(fake: &Fake, admins: &[i64], pace: Pace) -> TelegramSettings {
    TelegramSettings {
        token: Secret::new(TOKEN),
        api_url: fake.url.clone(),
        admins: admins.to_vec(),
        language: Lang::En,
        templates_dir: None,
        quiet: None,
        control: false,
        min_severity: Severity::Warning,
        pace,
    }
}

pub fn notice(number: u64, revision: u64, stage: Stage) -> Notice {
    let at = DateTime::<Utc>::from_timestamp(1_795_000_000 + number as i64, 0).unwrap();
    let incident = Id::new(at, &mut Rng::new(number));
    let story = Story::Incident {
        incident,
        class: Class::Corrupt,
        subject: Subject { kind: SubjectKind::File, value: format!("models/ana/{number:04}.mp4") },
        source: "bot".into(),
        text: format!("ERROR moov atom not found in {number:04}.mp4\nsecond line\u{1b}[31m"),
        count: 1,
        steps: vec![],
        stage,
    };
    // A date near now: what is long over is forgotten.
    Notice { key: incident.to_string(), revision, severity: Severity::Error, story, at: Utc::now() }
}

pub fn ended(result: OutcomeResult) -> Stage {
    Stage::Ended { result, detail: "mp4 is whole".into(), remedy: None, duration_ms: 3_240 }
}

pub fn working(steps: u32) -> impl Fn(Notice) -> Notice {
    move |mut notice| {
        if let Story::Incident { steps: told, .. } = &mut notice.story {
            let detail = format!("try {steps}");
            told.push(StepTold { strategy: Strategy::Redownload, attempt: steps, attempts: 99, ok: None, detail });
        }
        notice
    }
}

/// A running sender, as the agent runs it.
pub struct Sender {
    pub ledger: Ledger,
    wake: Arc<Notify>,
    stop: CancellationToken,
    pub task: JoinHandle<()>,
}

impl Sender {
    pub async fn start(dir: &Path, settings: TelegramSettings) -> Self {
        let ledger = open(dir).await;
        let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let task = tokio::spawn(outbox::run(ledger.clone(), settings, Arc::clone(&wake), stop.clone()));
        Self { ledger, wake, stop, task }
    }

    pub async fn put(&self, notices: Vec<Notice>) {
        put(&self.ledger, notices).await;
        self.wake.notify_one();
    }

    /// Stops as the agent does: what is owed and can be sent now is sent first.
    pub async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the sender stops").unwrap();
    }

    /// Stops as a crash does.
    pub async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

pub async fn put(ledger: &Ledger, notices: Vec<Notice>) {
    let all = move |tx: &ledger::rusqlite::Transaction<'_>| {
        notices.iter().try_for_each(|notice| ledger::outbox::put(tx, notice))
    };
    ledger.write(all).await.unwrap();
}

/// Opens the state; tasks of a sender that was just ended may hold it for a moment.
pub async fn open(dir: &Path) -> Ledger {
    let began = std::time::Instant::now();
    loop {
        match Ledger::open(dir) {
            Ok(ledger) => return ledger,
            Err(ledger::Error::Locked { .. }) if began.elapsed() < PATIENCE => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn first_lines(fake: &Fake, chat: i64) -> Vec<String> {
    fake.with(|inner| inner.texts(chat)).iter().map(|text| text.lines().next().unwrap().to_owned()).collect()
}

/// Which incidents the messages of a chat are about.
pub fn subjects(fake: &Fake, chat: i64) -> Vec<u64> {
    fake.with(|inner| subjects_of(inner, chat))
}

pub fn subjects_of(inner: &Inner, chat: i64) -> Vec<u64> {
    let number = |text: String| text.split("models/ana/").nth(1).unwrap()[..4].parse().unwrap();
    inner.texts(chat).into_iter().map(number).collect()
}

pub fn repeats(fake: &Fake, chat: i64) -> usize {
    fake.with(|inner| inner.texts(chat)).iter().filter(|text| text.ends_with("\n(possible repeat)")).count()
}

pub async fn setup(admins: &[i64], pace: Pace) -> (tempfile::TempDir, Fake, Sender) {
    let (dir, fake) = (tempfile::tempdir().unwrap(), Fake::start().await);
    let sender = Sender::start(dir.path(), settings(&fake, admins, pace)).await;
    (dir, fake, sender)
}

pub async fn until_ledger(ledger: &Ledger, query: &str, seen: impl Fn(i64) -> bool) {
    let began = std::time::Instant::now();
    while !seen(ledger.read(|connection| connection.query_row(query, [], |row| row.get(0))).unwrap()) {
        assert!(began.elapsed() < PATIENCE, "never saw {query}");
        tokio::task::yield_now().await;
    }
}
