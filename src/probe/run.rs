//! Runs the probes: each at its time, a few at once, and says what changed. I/O.
//!
//! Without a probe there is nothing to wake up for. How a probe stands is kept when it changes; after a restart it goes on
//! from there, and what the engine was told before is said once more, which changes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::judge::{Judged, Limits, Standing, Turn};
use super::look::{Lens, Look};
use super::{Spec, Target};
use crate::ledger::probes::{StoredProbe, drop_probe, keep_probe, probes};
use crate::ledger::{Error, Ledger};
use crate::vocab::{Notice, ProbeNews, ProbeTurn, Rng, Severity, Story};

/// Looks at once: bounds sockets when everything is due.
const LOOKS: usize = 8;

/// First looks are spread over so long.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// Waits differ by up to this share, so that probes do not march in step.
const JITTER: f64 = 0.1;

/// A handle on the probes: what they show, and which there are.
#[derive(Clone, Debug)]
pub struct Probes {
    board: Arc<Mutex<BTreeMap<String, Shown>>>,
    specs: watch::Sender<Vec<Spec>>,
}

/// A probe as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// What it looks at, and how.
    pub spec: Spec,
    /// How it stands.
    pub judged: Judged,
    /// The last look.
    pub last: Option<(DateTime<Utc>, Look)>,
    /// When this run of logmedic began to look.
    pub begun: DateTime<Utc>,
}

impl Shown {
    /// Whether no look ended for far longer than it should take: a probe that silently stops is worse than none.
    #[must_use]
    pub fn is_overdue(&self, at: DateTime<Utc>) -> bool {
        let since = self.last.as_ref().map_or(self.begun, |(at, _)| *at);
        (at - since).to_std().is_ok_and(|age| age > (self.spec.every + self.spec.timeout) * 3)
    }
}

impl Probes {
    /// A handle on these probes; they are looked at by [`run`].
    #[must_use]
    pub fn new(specs: Vec<Spec>) -> Self {
        Self { board: Arc::default(), specs: watch::Sender::new(specs) }
    }

    /// Replaces what is looked at, after a reload.
    pub fn replace(&self, specs: Vec<Spec>) {
        self.specs.send_if_modified(|old| {
            let differs = *old != specs;
            *old = specs;
            differs
        });
    }

    /// Every probe, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Shown> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn board(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Shown>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept beside a probe's name and state.
#[derive(Serialize, Deserialize)]
struct Kept {
    kind: String,
    target: String,
    judged: Judged,
    detail: String,
}

/// A probe in the loop.
struct Seat {
    lens: Lens,
    next: Instant,
    busy: bool,
}

struct Run {
    probes: Probes,
    ledger: Ledger,
    news: mpsc::Sender<ProbeNews>,
    owed: Arc<Notify>,
    seats: BTreeMap<String, Seat>,
    rng: Rng,
}

/// Looks until `stop`. What changed is said to `news`; `owed` wakes whoever delivers notices; `bot` is the number of the
/// bot's process.
pub async fn run(
    probes: Probes,
    ledger: Ledger,
    news: mpsc::Sender<ProbeNews>,
    owed: Arc<Notify>,
    bot: watch::Receiver<Option<u32>>,
    seed: u64,
    stop: CancellationToken,
) {
    let mut specs = probes.specs.subscribe();
    let mut this = Run { probes, ledger, news, owed, seats: BTreeMap::new(), rng: Rng::new(seed) };
    let mut looks = JoinSet::new();
    let first = specs.borrow_and_update().clone();
    this.adopt(first).await;
    loop {
        let due = this.seats.values().filter(|seat| !seat.busy).map(|seat| seat.next).min();
        let due = due.filter(|_| looks.len() < LOOKS);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = specs.changed() => {
                if changed.is_err() {
                    return;
                }
                let fresh = specs.borrow_and_update().clone();
                this.adopt(fresh).await;
            }
            Some(done) = looks.join_next(), if !looks.is_empty() => {
                // A look cannot panic; a task that was dropped says nothing.
                if let Ok((spec, look)) = done {
                    this.looked(spec, look).await;
                }
            }
            () = sleep_until(due), if due.is_some() => {
                let now = Instant::now();
                let at_once = LOOKS - looks.len();
                let ready = this.seats.iter_mut().filter(|(_, seat)| !seat.busy && seat.next <= now).take(at_once);
                let board = this.probes.board();
                for (name, seat) in ready {
                    let Some(spec) = board.get(name).map(|shown| shown.spec.clone()) else { continue };
                    seat.busy = true;
                    let (lens, bot) = (seat.lens.clone(), *bot.borrow());
                    looks.spawn(async move {
                        let look = lens.look(&spec, bot).await;
                        (spec, look)
                    });
                }
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Run {
    /// Takes over a list of probes: what is new or gone is told, what is known goes on as it stood.
    async fn adopt(&mut self, specs: Vec<Spec>) {
        let stored = self.ledger.read(probes).unwrap_or_else(|error| {
            tracing::warn!("{error}; probes begin anew");
            Vec::new()
        });
        let mut stored: BTreeMap<String, StoredProbe> =
            stored.into_iter().map(|probe| (probe.name.clone(), probe)).collect();
        let mut old = std::mem::take(&mut *self.probes.board());
        self.seats.retain(|name, _| specs.iter().any(|spec| spec.name == *name));
        for spec in specs {
            let kept = stored.remove(&spec.name);
            let known = kept.as_ref().and_then(|kept| serde_json::from_str::<Kept>(&kept.json).ok());
            let same = |kept: &Kept| kept.kind == spec.target.kind() && kept.target == spec.target.shown();
            let before = old.remove(&spec.name).filter(|before| before.spec.target == spec.target);
            let judged = match (&before, known) {
                (Some(before), _) => before.judged.clone(),
                (_, Some(known)) if same(&known) => {
                    self.say(&spec, known.judged.standing, &known.detail, None).await;
                    Judged { contrary: 0, ..known.judged }
                }
                _ => {
                    let what = if kept.is_some() { "changed" } else { "added" };
                    self.say_removed(&spec.name).await;
                    self.tell_new(&spec, what).await;
                    Judged::default()
                }
            };
            let (lens, next) = match self.seats.remove(&spec.name).filter(|_| before.is_some()) {
                Some(seat) => (seat.lens, seat.next.min(Instant::now() + spec.every)),
                None => (Lens::default(), self.soon(FIRST_WITHIN.min(spec.every))),
            };
            self.seats.insert(spec.name.clone(), Seat { lens, next, busy: false });
            let begun = before.as_ref().map_or_else(Utc::now, |before| before.begun);
            let shown = Shown { judged, last: before.and_then(|before| before.last), spec, begun };
            self.probes.board().insert(shown.spec.name.clone(), shown);
        }
        for gone in stored.into_values() {
            self.remove(gone).await;
        }
    }

    /// A moment within `span`.
    fn soon(&mut self, span: Duration) -> Instant {
        Instant::now() + span.mul_f64(self.rng.unit())
    }

    async fn tell_new(&self, spec: &Spec, what: &str) {
        let probe = stored(spec, &Judged::default(), "");
        let target = spec.target.shown();
        let detail = format!("{} {target} is looked at every {} s", spec.target.kind(), spec.every.as_secs_f64());
        let notice = self.notice(&spec.name, what, detail);
        let written = self.ledger.write(move |tx| keep_probe(tx, &probe, Some(&notice))).await;
        self.written(written);
    }

    async fn remove(&self, gone: StoredProbe) {
        self.say_removed(&gone.name).await;
        let notice = self.notice(&gone.name, "removed", "it is not in the configuration any more".to_owned());
        let written = self.ledger.write(move |tx| drop_probe(tx, &gone.name, &notice)).await;
        self.written(written);
    }

    fn notice(&self, name: &str, what: &str, detail: String) -> Notice {
        let at = Utc::now();
        Notice {
            key: format!("probe:{name}:{what}:{}", at.timestamp_millis()),
            revision: 1,
            severity: Severity::Info,
            story: Story::Probe { name: name.to_owned(), what: what.to_owned(), detail },
            at,
        }
    }

    fn written(&self, result: Result<(), Error>) {
        match result {
            Ok(()) => self.owed.notify_one(),
            // Looking goes on: the engine hears of it, and keeps it in memory as everything else.
            Err(error) => tracing::warn!("{error}; probes go on"),
        }
    }

    /// Takes in a look: judges it, keeps and says what it changes, and plans the next.
    async fn looked(&mut self, spec: Spec, look: Look) {
        let at = Utc::now();
        let wait = spec.every.mul_f64(1.0 + JITTER * (2.0 * self.rng.unit() - 1.0));
        let Some(seat) = self.seats.get_mut(&spec.name) else { return };
        seat.busy = false;
        seat.next = Instant::now() + wait;
        let limits = Limits { fail_after: spec.fail_after, pass_after: spec.pass_after };
        let (turn, judged) = {
            let mut board = self.probes.board();
            // It may have been replaced meanwhile: what the old target showed says nothing of the new one.
            let Some(shown) = board.get_mut(&spec.name).filter(|shown| shown.spec.target == spec.target) else {
                return;
            };
            let turn = shown.judged.judge(look.well, limits, at);
            shown.last = Some((at, look.clone()));
            (turn, shown.judged.clone())
        };
        let Some(turn) = turn else { return };
        let detail = sentence(&spec, &look, turn, &judged, at);
        tracing::info!("probe {}: {} ({detail})", spec.name, judged.standing.as_str());
        self.say(&spec, judged.standing, &detail, look.class).await;
        let probe = stored(&spec, &judged, &detail);
        let written = self.ledger.write(move |tx| keep_probe(tx, &probe, None)).await;
        self.written(written);
    }

    async fn say(&self, spec: &Spec, standing: Standing, detail: &str, class: Option<crate::vocab::Class>) {
        let turn = match standing {
            Standing::Unknown => return,
            Standing::Up => ProbeTurn::Up,
            Standing::Down => ProbeTurn::Down,
        };
        let news = ProbeNews {
            name: spec.name.clone(),
            turn,
            class: class.unwrap_or(spec.target.class()),
            subject: spec.target.subject(),
            severity: spec.severity,
            detail: detail.to_owned(),
        };
        // The engine may be gone; then there is nobody to tell.
        let _ = self.news.send(news).await;
    }

    async fn say_removed(&self, name: &str) {
        let nothing = Target::Tcp { address: String::new() };
        let news = ProbeNews {
            name: name.to_owned(),
            turn: ProbeTurn::Removed,
            class: nothing.class(),
            subject: nothing.subject(),
            severity: Severity::Info,
            detail: "nobody looks at it any more: the configuration was changed".to_owned(),
        };
        let _ = self.news.send(news).await;
    }
}

fn stored(spec: &Spec, judged: &Judged, detail: &str) -> StoredProbe {
    let kept = Kept {
        kind: spec.target.kind().to_owned(),
        target: spec.target.shown(),
        judged: judged.clone(),
        detail: detail.to_owned(),
    };
    StoredProbe {
        name: spec.name.clone(),
        state: judged.standing.as_str().to_owned(),
        json: serde_json::to_string(&kept).unwrap_or_default(),
    }
}

/// What a change is told with: what was seen, how often in a row, and whether it comes and goes.
fn sentence(spec: &Spec, look: &Look, turn: Turn, judged: &Judged, at: DateTime<Utc>) -> String {
    let target = spec.target.shown();
    let times = match turn {
        Turn::Down if spec.fail_after > 1 => format!("; {} looks in a row failed", spec.fail_after),
        _ => String::new(),
    };
    let lately = judged.downs_lately(at);
    let flaps = if lately > 1 { format!("; it went down {lately} times within the last hour") } else { String::new() };
    format!("{target}: {}{times}{flaps}", look.detail)
}
