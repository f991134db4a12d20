//! Wires the rooms together and runs them: the agent. I/O.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::commands::Failure;
use super::load::{Loaded, Surroundings};
use super::reload::{self, Reload};
use super::{backup, forget, leftovers, library, policy, presence, probes, records, rulebook, serve, settings};
use crate::acquire::{self, SourceKind, SourceSpec};
use crate::engine::{self, intake, run::Parts};
use crate::growth;
use crate::heal::Healer;
use crate::ledger::{self, Ledger};
use crate::operate::{Operations, Tasks};
use crate::outbox;
use crate::probe::{self, Probes};
use crate::publish::metrics::Metrics;
use crate::publish::terminal::Terminal;
use crate::publish::vitals::Vitals;
use crate::roots::{self, Roots};
use crate::serve::hub::{self, Hub};
use crate::supervise::{self, BotCommand, BotEvent, BotSpec, Ended, systemd};

/// Chunks between readers and the intake: 16 of at most 256 KiB, so a slow engine holds 4 MiB and then the readers.
const READS: usize = 16;

/// Batches between the intake and the engine.
const BATCHES: usize = 64;

/// Looks at growing files that wait for the engine.
const GROWTH: usize = 4;

/// What happens to the bot is rare.
const BOT_EVENTS: usize = 64;

/// What probes say is rare.
const PROBE_NEWS: usize = 64;

/// Whole lines of the bot's output that could not be written to its log.
const SPILL: usize = 1_000;

/// How long the last output of a bot that ended is waited for.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// How long the readers may take to begin before the bot is started.
const READERS_READY: Duration = Duration::from_secs(2);

/// The start is over after so long.
const SETTLED: Duration = Duration::from_secs(10);

/// Name under which the bot's own output is a source.
pub const BOT_SOURCE: &str = "bot";

/// How the agent is wanted this time.
pub struct Wanted {
    /// The configuration.
    pub loaded: Loaded,
    /// Where the process finds itself.
    pub around: Surroundings,
    /// The bot to run, if any.
    pub bot: Option<BotSpec>,
    /// Shows records.
    pub terminal: Option<Terminal>,
}

/// Runs the agent until it is told to stop or its bot ends. Returns the bot's exit code, or 0.
///
/// # Errors
/// When it cannot start: state directory, rules, sources.
pub async fn run(wanted: Wanted) -> Result<u8, Failure> {
    let Wanted { loaded, around, bot, terminal } = wanted;
    // What the bot begins while we start is seen all the same.
    let began = SystemTime::now();
    // Before the lock names this process: whoever reloads it must not end it.
    let signals =
        Signals::listen().map_err(|error| Failure::failed(format!("failed to listen for signals: {error}")))?;
    let ledger = Ledger::open(&loaded.state_dir).map_err(|error| state_failure(&error))?;
    let loaded = settings::with_changes(&ledger, loaded, &around);
    let specs = sources(&loaded, bot.as_ref())?;
    let book = rulebook::load(&loaded, &specs)?;
    let specs_of_roots: Vec<_> = loaded.config.root.iter().map(super::config::Root::spec).collect();
    let (roots, problems) = Roots::open_around(&specs_of_roots, &loaded.own_places());
    for problem in problems {
        tracing::warn!("{problem}");
    }
    let settings = policy::heal_settings(&loaded, &around, bot.as_ref())?;
    leftovers::end(&loaded, &ledger, settings.bot.uid).await;
    let roots = Arc::new(roots);
    let healer = Arc::new(Healer::new(settings, Arc::clone(&roots), ledger.clone()));
    if let Err(error) = healer.prepare() {
        tracing::warn!("{error}");
    }
    let sweeping = Arc::clone(&healer);
    let file = records::open(&loaded)?;
    if ledger.number_after(file.last()).await.map_err(|error| state_failure(&error))? {
        let (path, last) = (loaded.records_path(), file.last());
        tracing::warn!("the state is new, but {} goes up to record {last}: numbers go on from there", path.display());
    }

    announce(&loaded, &specs);
    let (places, browsers) = super::channels::settings(&loaded);
    let pace = outbox::ChannelPace::default();
    let channels = outbox::Channels::open(ledger.clone(), places, browsers, policy::telegram(&loaded), pace);
    let channels = channels.await.map_err(Failure::failed)?;
    let (stop_reading, stop_engine, stop_sending) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let (reads_in, reads) = mpsc::channel(READS);
    let (batches_in, batches) = mpsc::channel(BATCHES);
    let (rules_in, rules) = watch::channel(Arc::new(book));
    let (policies_in, policies) = mpsc::channel(1);
    let (events_in, bot_events) = mpsc::channel(BOT_EVENTS);
    let (orders_in, orders) = mpsc::channel(BOT_EVENTS);
    let (people, asked) = engine::run::Orders::channel();
    let (growth_in, growth) = mpsc::channel(GROWTH);
    let progress = broadcast::Sender::new(engine::run::LIVE);
    let (owed, recorded) = (Arc::new(Notify::new()), Arc::new(Notify::new()));

    let mut operations = policy::operations(&loaded, &around, seed());
    let cwd = bot
        .as_ref()
        .and_then(|bot| bot.cwd.clone())
        .or_else(|| loaded.config.bot.cwd.as_ref().map(|cwd| cwd.path.clone()));
    let library = library::open(&ledger, &roots, &loaded, &around, cwd);
    let mut tasks = library::tasks(&library, &people);
    tasks.push(backup::task(&loaded, &around));
    operations.tasks = Tasks::new(tasks);
    let operations = Operations::open(ledger.clone(), operations, tokio::runtime::Handle::current())
        .map_err(|error| state_failure(&error))?;
    let stop_operations = CancellationToken::new();
    let managing = operations.begin(stop_operations.clone());

    tokio::spawn(settle(stop_sending.clone()));
    let hub = Hub::new(hub::Settings::default());
    let (metrics, vitals) = (Metrics::new(|registry| hub.register(registry)), Vitals::new());
    presence::started(&ledger, &owed).await;
    let checkpoints = ledger.checkpoints().map_err(|error| state_failure(&error))?;
    let readers = tokio::spawn(acquire::run(
        specs.clone(),
        checkpoints,
        acquire::Settings::default(),
        reads_in.clone(),
        stop_reading.clone(),
    ));
    let probes = Probes::new(probes::specs(&loaded, bot.is_some()));
    let (news_in, news) = mpsc::channel(PROBE_NEWS);
    let prober = tokio::spawn(probe::run(
        probes.clone(),
        ledger.clone(),
        news_in,
        Arc::clone(&owed),
        vitals.bot(),
        seed(),
        stop_reading.clone(),
    ));
    let flow =
        Flow::start().map_err(|error| Failure::failed(format!("failed to start the engine's thread: {error}")))?;
    let intake = flow.runtime.spawn(intake::run(
        reads,
        rules.clone(),
        loaded.config.limits.join_wait.0,
        metrics.clone(),
        serve::onlooker(hub.clone()),
        batches_in,
    ));
    let parts = Parts {
        ledger: ledger.clone(),
        healer,
        batches,
        bot_events,
        bot_orders: bot.is_some().then(|| orders_in.clone()),
        probes: news,
        policies,
        orders: asked,
        growth,
        progress: progress.clone(),
        terminal,
        owed: Arc::clone(&owed),
        tell_now: policy::telegram(&loaded),
        recorded: Arc::clone(&recorded),
        operations: operations.clone(),
        elsewhere: tokio::runtime::Handle::current(),
        metrics: metrics.clone(),
        vitals: vitals.clone(),
        alive: watchdog(),
    };
    let engine = flow.runtime.spawn(engine::run::run(parts, policy::policy(&loaded), seed(), stop_engine.clone()));
    let exporter = tokio::spawn(records::export(ledger.clone(), file, recorded, stop_sending.clone()));
    let jobs = loaded.config.jobs.clone();
    let (growth_in, tended) = library::start(&library, &operations, &loaded, growth_in, &stop_reading);
    let watcher = tokio::spawn(growth::run(roots, began, jobs.watch_every.0, growth_in, stop_reading.clone()));
    let forgetter = tokio::spawn(forget::jobs(ledger.clone(), jobs, stop_sending.clone()));
    let sweeper = tokio::spawn(records::sweep(sweeping, stop_sending.clone()));
    let sender = policy::telegram(&loaded)
        .map(|settings| tokio::spawn(outbox::run(ledger.clone(), settings, Arc::clone(&owed), stop_sending.clone())));
    let pressed = policy::telegram(&loaded).filter(|settings| settings.control).map(|settings| {
        let obey = super::control::obey(people.clone(), ledger.clone());
        tokio::spawn(outbox::listen(ledger.clone(), settings, obey, stop_reading.clone()))
    });
    // After the Telegram sender: without it, this one lets old notices go.
    let deliverer = tokio::spawn(channels.clone().run(Arc::clone(&owed), stop_sending.clone()));

    let (reload, settings) = Reload::new(
        reload::Parts {
            ledger: ledger.clone(),
            rules: rules_in,
            policies: policies_in,
            specs: specs.clone(),
            around,
            probes: probes.clone(),
            runs_bot: bot.is_some(),
        },
        &loaded,
    );
    let interface = serve::Wanted {
        ledger: ledger.clone(),
        book: rules,
        orders: people,
        operations: operations.clone(),
        library,
        channels,
        probes,
        settings,
        progress,
        hub,
        metrics,
        vitals,
        sources: specs,
        runs_bot: bot.is_some(),
    };
    let stop_serving = CancellationToken::new();
    let serving = serve::start(interface, &loaded, &stop_serving).await;
    let crew = Crew { ledger: &ledger, reads: reads_in, orders: orders_in, signals };
    let Over { code, why, engine } = attend(crew, engine, bot, (events_in, orders), reload, loaded).await;
    // Downstream, one after the other: nobody is stopped while somebody before may still bring something.
    let _ = systemd::stopping();
    stop_serving.cancel();
    stop_reading.cancel();
    let _ = (readers.await, watcher.await, prober.await);
    tended.ended().await;
    if let Some(pressed) = pressed {
        let _ = pressed.await;
    }
    let _ = intake.await;
    stop_engine.cancel();
    let died = match engine {
        Some(engine) => engine.await.is_err(),
        None => false,
    };
    stop_operations.cancel();
    let _ = managing.await;
    presence::stopped(&ledger, &owed, &why).await;
    stop_sending.cancel();
    let _ = exporter.await;
    let _ = (sweeper.await, forgetter.await);
    serving.ended().await;
    let _ = deliverer.await;
    if let Some(sender) = sender {
        let _ = sender.await;
    }
    if died {
        return Err(Failure::failed("failed to go on: an error inside logmedic; please report what stands above"));
    }
    Ok(code)
}

/// The thread on which a line goes its way from text to a started repair: no hand-over in between, and a commit that is
/// a fraction of a millisecond holds nobody else up.
struct Flow {
    runtime: tokio::runtime::Handle,
    over: CancellationToken,
}

impl Flow {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (handle, over) = (runtime.handle().clone(), CancellationToken::new());
        let until = over.clone();
        std::thread::Builder::new().name("engine".into()).spawn(move || {
            runtime.block_on(until.cancelled());
            // A look at a file system that hangs is left behind.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, over })
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

/// Says at the start what there is to expect: silence would look the same when nothing is watched.
fn announce(loaded: &Loaded, specs: &[SourceSpec]) {
    let watched = specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut places: Vec<&str> = policy::telegram(loaded).iter().map(|_| "Telegram").collect();
    places.extend(loaded.config.channel.iter().map(|channel| channel.name.as_str()));
    let alerts = match places.as_slice() {
        [] => "nowhere: see `logmedic check`".to_owned(),
        places => format!("to {}", places.join(", ")),
    };
    let (roots, records) = (loaded.config.root.len(), loaded.records_path());
    tracing::info!("watching {watched}; roots: {roots}; records: {}; alerts go {alerts}", records.display());
}

/// Once, when the start is over: an idle agent does not hold what only reading rules and configuration needed.
async fn settle(stop: CancellationToken) {
    if stop.run_until_cancelled(tokio::time::sleep(SETTLED)).await.is_some() {
        // It may take a millisecond. Should it die, memory is held: nothing else.
        let _ = tokio::task::spawn_blocking(roots::give_back_memory).await;
    }
}

/// What [`attend`] needs besides.
struct Crew<'a> {
    ledger: &'a Ledger,
    reads: mpsc::Sender<acquire::Read>,
    orders: mpsc::Sender<BotCommand>,
    signals: Signals,
}

/// How the run ended: the code, why in words, and the engine where it still runs.
struct Over {
    code: u8,
    why: String,
    engine: Option<EngineTask>,
}

type EngineTask = tokio::task::JoinHandle<Result<(), ledger::Error>>;

/// Waits for the one reason to stop: a signal, the bot's end, or the end of everything there is to read.
///
/// The engine's task comes back when it still runs. When it died, a bot goes on without it.
async fn attend(
    crew: Crew<'_>,
    mut engine: EngineTask,
    bot: Option<BotSpec>,
    (events, orders): (mpsc::Sender<BotEvent>, mpsc::Receiver<BotCommand>),
    mut reload: Reload,
    mut loaded: Loaded,
) -> Over {
    let stop_bot = CancellationToken::new();
    let mut signals = crew.signals;
    let log = bot.as_ref().map(|spec| spec.log.clone());
    let mut last_word = None;
    let mut bot = match bot {
        Some(spec) => {
            readers_ready(crew.ledger, &spec.log).await;
            let (spill_in, spill) = mpsc::channel(SPILL);
            tokio::spawn(spilled(spill, crew.reads));
            last_word = Some(events.clone());
            Some(tokio::spawn(supervise::run(spec, events, orders, spill_in, stop_bot.clone())))
        }
        None => {
            drop((events, orders, crew.reads));
            None
        }
    };
    // Without systemd these do nothing.
    let _ = systemd::ready();
    let mut engine_runs = true;
    loop {
        tokio::select! {
            signal = signals.next() => match (signal, &bot) {
                (libc::SIGHUP, _) => {
                    let _ = systemd::reloading();
                    reload.reload(&mut loaded).await;
                    let _ = systemd::ready();
                }
                (signal, Some(_)) => {
                    // The bot is asked to end first; its end is ours.
                    if crew.orders.try_send(BotCommand::Stop { signal }).is_err() {
                        stop_bot.cancel();
                    }
                }
                (signal, None) => {
                    return Over { code: 0, why: signal_name(signal), engine: engine_runs.then_some(engine) };
                }
            },
            Some(wanted) = reload.wanted() => reload.change(&mut loaded, wanted).await,
            ended = ended(&mut bot), if bot.is_some() => {
                if let Some(log) = &log {
                    last_output(crew.ledger, log).await;
                }
                if let Some(events) = &last_word {
                    // Nobody restarts it any more. The engine may be gone; then there is nobody to tell.
                    let _ = events.send(BotEvent::GaveUp { restarts: 0 }).await;
                }
                tracing::info!("the bot ended: {}", ended.how);
                let code = u8::try_from(ended.code).unwrap_or(1);
                return Over { code, why: format!("the bot ended: {}", ended.how), engine: engine_runs.then_some(engine) };
            },
            done = &mut engine, if engine_runs => {
                engine_runs = false;
                if let Err(error) = done {
                    tracing::error!("logmedic's engine died: {error}");
                    if bot.is_some() {
                        tracing::error!("the bot goes on without it; restart logmedic when you can");
                        continue;
                    }
                    return Over { code: 1, why: "an error inside logmedic".into(), engine: None };
                }
                if bot.is_none() {
                    return Over { code: 0, why: "every source is at its end".into(), engine: None };
                }
            }
        }
    }
}

fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |name| name.to_string())
}

async fn ended(bot: &mut Option<tokio::task::JoinHandle<Ended>>) -> Ended {
    match bot {
        Some(task) => {
            task.await.unwrap_or_else(|error| Ended { code: 1, how: format!("its supervisor failed: {error}") })
        }
        None => std::future::pending().await,
    }
}

/// Gives the bot's output to the intake when its log cannot be written (a full disk must still be heard of).
async fn spilled(mut spill: mpsc::Receiver<Vec<u8>>, reads: mpsc::Sender<acquire::Read>) {
    use acquire::{Identity, Read, StreamId};
    // Far from the numbers that the readers give out.
    let stream = StreamId(u64::MAX);
    let mut offset = 0;
    while let Some(bytes) = spill.recv().await {
        let mut all = Vec::new();
        if offset == 0 {
            let source = BOT_SOURCE.to_owned();
            all.push(Read::Opened { stream, source, file: None, identity: Identity::Stdin, offset });
        }
        let from = offset;
        offset += bytes.len() as u64;
        all.push(Read::Bytes { stream, offset: from, bytes, last: true });
        for read in all {
            if reads.send(read).await.is_err() {
                return;
            }
        }
    }
}

/// Waits until the position of an existing log is stored, so that the bot's first line is not taken for an old one.
async fn readers_ready(ledger: &Ledger, log: &std::path::Path) {
    let until = Instant::now() + READERS_READY;
    while log.exists() && Instant::now() < until && position(ledger, log).is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the last output of the bot has been worked off.
async fn last_output(ledger: &Ledger, log: &std::path::Path) {
    let until = Instant::now() + LAST_OUTPUT;
    let size = || std::fs::metadata(log).map_or(0, |meta| meta.len());
    while Instant::now() < until && position(ledger, log).unwrap_or(0) < size() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn position(ledger: &Ledger, log: &std::path::Path) -> Option<u64> {
    let checkpoints = ledger.checkpoints().unwrap_or_default();
    let of = |checkpoint: &&acquire::Checkpoint| matches!(&checkpoint.identity, acquire::Identity::File { path, ino, .. } if path == log && *ino != 0);
    checkpoints.iter().filter(of).map(|checkpoint| checkpoint.offset).max()
}

/// What is read: the configured sources, and the bot's own output where no source covers it already.
fn sources(loaded: &Loaded, bot: Option<&BotSpec>) -> Result<Vec<SourceSpec>, Failure> {
    let mut specs: Vec<SourceSpec> = loaded.config.source.iter().filter_map(super::config::Source::spec).collect();
    if let Some(bot) = bot {
        let covered = specs.iter().any(|spec| matches!(&spec.kind, SourceKind::Path { path, .. } if *path == bot.log));
        if !covered {
            let shown =
                loaded.config.bot.log.as_ref().map_or_else(|| bot.log.display().to_string(), |log| log.shown.clone());
            let taken = specs.iter().any(|spec| spec.name == BOT_SOURCE);
            let name = if taken { format!("{BOT_SOURCE}-output") } else { BOT_SOURCE.to_owned() };
            specs.push(SourceSpec { name, kind: SourceKind::Path { path: bot.log.clone(), shown } });
        }
    }
    if specs.is_empty() {
        let file = loaded.file.as_ref().map_or_else(|| "no configuration".into(), |file| file.display().to_string());
        return Err(Failure::Other {
            code: 78,
            message: format!(
                "failed to find anything to watch ({file}): add a [[source]] with path, journal or stdin, set [bot] command, \
                 or run `logmedic run -- COMMAND`; `logmedic init` writes a configuration for this folder"
            ),
        });
    }
    Ok(specs)
}

pub(super) fn state_failure(error: &ledger::Error) -> Failure {
    let code = match error {
        ledger::Error::Locked { .. } | ledger::Error::Newer { .. } => 78,
        ledger::Error::Io { .. } | ledger::Error::Sqlite { .. } | ledger::Error::Stopped => 77,
    };
    let remedy = if code == 77 { "; make the state directory writable for this user, or set [state] dir" } else { "" };
    Failure::Other { code, message: format!("{error}{remedy}") }
}

/// Tells systemd that the loop is alive, a few times within its limit.
fn watchdog() -> Box<dyn FnMut() + Send> {
    let Some(limit) = systemd::watchdog_interval() else { return Box::new(|| {}) };
    let mut last: Option<Instant> = None;
    Box::new(move || {
        if last.is_none_or(|at| at.elapsed() >= limit / 4) {
            last = Some(Instant::now());
            let _ = systemd::alive();
        }
    })
}

/// Randomness for identifiers and jitter, not for secrets.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

struct Signals {
    streams: [(i32, tokio::signal::unix::Signal); 4],
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            streams: [
                (libc::SIGHUP, signal(SignalKind::hangup())?),
                (libc::SIGINT, signal(SignalKind::interrupt())?),
                (libc::SIGTERM, signal(SignalKind::terminate())?),
                (libc::SIGQUIT, signal(SignalKind::quit())?),
            ],
        })
    }

    async fn next(&mut self) -> i32 {
        let [(hup, a), (int, b), (term, c), (quit, d)] = &mut self.streams;
        tokio::select! {
            _ = a.recv() => *hup,
            _ = b.recv() => *int,
            _ = c.recv() => *term,
            _ = d.recv() => *quit,
        }
    }
}
