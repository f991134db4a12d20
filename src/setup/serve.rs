//! Starts the HTTP interface beside the engine: listeners, identities, hub, routes. I/O.
//!
//! The interface is a guest of the agent: what fails here is said, and healing goes on without it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{json, to_value};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::load::Loaded;
use super::{policy, reload};
use crate::acquire::{SourceKind, SourceSpec};
use crate::correlate::Job;
use crate::engine::intake::Onlooker;
use crate::engine::run::Orders;
use crate::ledger::Ledger;
use crate::library::Library;
use crate::operate::Operations;
use crate::outbox::{Channels, Texts};
use crate::probe::Probes;
use crate::publish::metrics::Metrics;
use crate::publish::vitals::Vitals;
use crate::serve::auth::{self, Identity};
use crate::serve::guard::{self, Guard};
use crate::serve::hub::{self, Hub, Kind, Topic};
use crate::serve::notifications::Centre;
use crate::serve::rules::Book;
use crate::serve::run::{self, service};
use crate::serve::system::{self, Place, Source, System};
use crate::serve::ws::Door;
use crate::serve::{door, jobs, listen, render};
use crate::vocab::{redact, rfc3339};

/// How much of an event is shown as it passes, in bytes.
const LINE_MAX: usize = 2_048;

/// How often it is told how logmedic is.
const PULSE: Duration = Duration::from_secs(5);

/// Changes of the library within this time are told as one.
const LIBRARY_PULSE: Duration = Duration::from_secs(1);

/// What the interface shows and drives.
pub struct Wanted {
    /// What is kept.
    pub ledger: Ledger,
    /// The rules in effect.
    pub book: Book,
    /// Gives people's orders to the engine.
    pub orders: Orders,
    /// What takes time.
    pub operations: Operations,
    /// The files under the roots.
    pub library: Library,
    /// Delivers notifications.
    pub channels: Channels,
    /// What is looked at regularly.
    pub probes: Probes,
    /// The configuration.
    pub settings: reload::Door,
    /// How far downloads are, as it happens.
    pub progress: broadcast::Sender<Arc<Job>>,
    /// Tells who is connected.
    pub hub: Hub,
    /// What is counted.
    pub metrics: Metrics,
    /// How logmedic and the bot are.
    pub vitals: Vitals,
    /// What is read.
    pub sources: Vec<SourceSpec>,
    /// Whether logmedic runs the bot.
    pub runs_bot: bool,
}

/// The running interface.
pub struct Serving {
    tasks: Vec<JoinHandle<()>>,
    /// Its name goes with it.
    _socket: Option<listen::Socket>,
}

impl Serving {
    /// Waits for its end.
    pub async fn ended(self) {
        for task in self.tasks {
            // A panic was told by the runtime.
            let _ = task.await;
        }
    }
}

/// Starts it. What cannot be had is said and left out.
pub async fn start(wanted: Wanted, loaded: &Loaded, stop: &CancellationToken) -> Serving {
    let network = network(loaded.config.server.listen).await;
    let (local, socket) = local(loaded);
    let address = network.as_ref().and_then(|listener| listener.local_addr().ok());
    let listen = address.unwrap_or(loaded.config.server.listen);
    let identity = auth::Settings { port: listen.port(), session_ttl: loaded.config.server.session_ttl.0 };
    let identity = match Identity::open(wanted.ledger.clone(), &loaded.state_dir, identity) {
        Ok(identity) => identity,
        Err(error) => {
            tracing::error!("{error}; the HTTP interface stays off until this is put right and logmedic is restarted");
            return Serving { tasks: Vec::new(), _socket: None };
        }
    };
    announce(&wanted.ledger, &identity, address).await;
    let tasks = spawn(wanted, loaded, identity, listen, (network, local), stop);
    Serving { tasks, _socket: socket }
}

async fn network(listen: SocketAddr) -> Option<TcpListener> {
    match TcpListener::bind(listen).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(
                "failed to listen on {listen}: {error}; the dashboard is off, healing is not: set [server] listen to a free address"
            );
            None
        }
    }
}

fn local(loaded: &Loaded) -> (Option<UnixListener>, Option<listen::Socket>) {
    match listen::bind(&loaded.state_dir) {
        Ok((listener, socket)) => (Some(listener), Some(socket)),
        Err(error) => {
            let path = loaded.state_dir.join(listen::SOCKET);
            tracing::warn!(
                "failed to open {}: {error}; commands that need the running agent do not work",
                path.display()
            );
            (None, None)
        }
    }
}

/// The name of the fact that says where the interface is.
pub const ADDRESS_FACT: &str = "server";

/// Says where the interface is, and how the first account is made.
async fn announce(ledger: &Ledger, identity: &Identity, address: Option<SocketAddr>) {
    let shown = address.map(|address| format!("http://{address}")).unwrap_or_default();
    if let Err(error) = ledger.set_fact(ADDRESS_FACT, shown.clone()).await {
        tracing::warn!("{error}");
    }
    if address.is_none() {
        return;
    }
    match identity.setup_secret() {
        // A journal keeps what it is told, and the link is a key.
        Ok(Some(_)) if std::env::var_os("JOURNAL_STREAM").is_some() => {
            tracing::info!("listening on {shown}; make the first account: logmedic user add NAME --role admin");
        }
        Ok(Some(secret)) => {
            tracing::info!("listening on {shown}; nobody has an account yet");
            eprintln!("logmedic: make the first account, once: {shown}/setup#{secret}");
        }
        Ok(None) => tracing::info!("listening on {shown}"),
        Err(problem) => tracing::warn!("{}", redact(&problem.detail)),
    }
}

fn spawn(
    wanted: Wanted,
    loaded: &Loaded,
    identity: Identity,
    listen: SocketAddr,
    (network, local): (Option<TcpListener>, Option<UnixListener>),
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let server = &loaded.config.server;
    let centre = Centre {
        ledger: wanted.ledger.clone(),
        channels: wanted.channels,
        identity: identity.clone(),
        texts: texts(loaded),
    };
    let gate: Arc<dyn hub::Gate> = Arc::new(door::Doorkeeper { identity: identity.clone() });
    let commands = Arc::new(door::Desk { centre: centre.clone(), operations: wanted.operations.clone() });
    let hub = wanted.hub;
    let way = Door { hub: hub.clone(), gate: Arc::clone(&gate), commands, production: server.production };
    let system = System::new(system::Parts {
        identity: identity.clone(),
        ledger: wanted.ledger.clone(),
        metrics: wanted.metrics,
        vitals: wanted.vitals,
        probes: wanted.probes,
        settings: Arc::new(wanted.settings),
        records: loaded.records_path(),
        places: places(loaded),
        sources: wanted.sources.iter().map(source).collect(),
        runs_bot: wanted.runs_bot,
        told_from: policy::telegram(loaded).map(|settings| settings.min_severity),
    });
    let guard =
        guard::Settings { listen, hosts: server.hosts.clone(), trusted_proxies: server.trusted_proxies.clone() };
    let sampled = system.clone();
    let pulse = pulse(hub.clone(), system.clone(), stop.clone());
    let render = render::render(centre.clone(), wanted.operations.clone());
    let moving = pass_on(hub.clone(), wanted.progress, wanted.operations.clone(), stop.clone());
    let parts = run::Parts {
        ledger: wanted.ledger.clone(),
        book: wanted.book,
        orders: wanted.orders,
        operations: wanted.operations,
        library: wanted.library,
        identity: identity.clone(),
        centre,
        door: way,
        system,
        backups: super::backup::place(loaded),
    };
    let library = tell_of(hub.clone(), parts.library.changes(), stop.clone());
    let connected = hub.clone();
    let sampling = sampled.sample(stop.clone());
    let service = service(parts, Guard::new(guard, identity.clone()));
    vec![
        tokio::spawn(run::run(service, network, local, stop.clone())),
        tokio::spawn(hub::run(hub, wanted.ledger, render, gate, stop.clone())),
        tokio::spawn(identity.tend(move || connected.has_clients(), stop.clone())),
        tokio::spawn(moving),
        tokio::spawn(pulse),
        tokio::spawn(sampling),
        tokio::spawn(library),
    ]
}

/// Shows log lines to whoever is connected; nothing is made of them while nobody is.
pub fn onlooker(hub: Hub) -> Onlooker {
    Box::new(move |passing| {
        if !hub.has_clients() {
            return;
        }
        let text = String::from_utf8_lossy(&passing.text[..passing.text.len().min(LINE_MAX)]);
        let data = json!({
            "source": passing.source, "at": rfc3339(passing.at), "text": redact(&text),
            "class": passing.class.map(|class| class.as_str()), "rule": passing.rule,
        });
        hub.ephemeral(Topic::Log, Kind::Log, data);
    })
}

/// Tells who is connected how logmedic is, a few times a minute.
async fn pulse(hub: Hub, system: System, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            // Nobody is told anything while nobody is there.
            () = async { hub.awake().await; tokio::time::sleep(PULSE).await } => {}
        }
        if hub.has_clients() {
            let health = to_value(system.health().await).unwrap_or_default();
            hub.progress(Topic::System, "health", Kind::SystemStatus, health);
            hub.progress(Topic::Stats, "hub", Kind::Stats, to_value(hub.stats(false)).unwrap_or_default());
        }
    }
}

/// Tells who is connected that the library changed, at most once in a while.
async fn tell_of(hub: Hub, mut changes: watch::Receiver<u64>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() {
                return;
            }
        }
        if hub.has_clients() {
            let changes = *changes.borrow_and_update();
            hub.progress(Topic::Stats, "library", Kind::LibraryChanged, json!({"changes": changes}));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LIBRARY_PULSE) => {}
        }
    }
}

/// Tells the hub how far downloads and operations are, between what is stored of them.
async fn pass_on(hub: Hub, downloads: broadcast::Sender<Arc<Job>>, operations: Operations, stop: CancellationToken) {
    let (mut downloads, mut operations) = (downloads.subscribe(), operations.progress());
    loop {
        // Who is behind gets the next ones: only the newest counts.
        tokio::select! {
            () = stop.cancelled() => return,
            job = downloads.recv() => match job {
                Ok(job) if hub.has_clients() => {
                    hub.progress(Topic::Job, job.id.to_string(), Kind::JobUpdated, to_value(jobs::shown(&job)).unwrap_or_default());
                }
                Err(broadcast::error::RecvError::Closed) => return,
                _ => {}
            },
            operation = operations.recv() => match operation {
                Ok(operation) if hub.has_clients() => {
                    let data = to_value(&*operation).unwrap_or_default();
                    hub.progress(Topic::Operation, operation.id.to_string(), Kind::OperationProgress, data);
                }
                Err(broadcast::error::RecvError::Closed) => return,
                _ => {}
            },
        }
    }
}

/// Titles and texts of notifications: yours where they can be read; what is wrong with them `check` tells.
fn texts(loaded: &Loaded) -> Texts {
    let language = policy::language(loaded);
    let own = loaded.config.telegram.templates.as_ref().map(|file| file.path.as_path());
    Texts::load(language, own).unwrap_or_else(|_| Texts::shipped(language))
}

fn source(spec: &SourceSpec) -> Source {
    let (kind, place) = match &spec.kind {
        SourceKind::Path { shown, .. } => ("file", shown.clone()),
        SourceKind::Journal { unit } => ("journal", unit.clone()),
        SourceKind::Stdin => ("stdin", String::new()),
    };
    Source { name: spec.name.clone(), kind, place }
}

fn places(loaded: &Loaded) -> Vec<Place> {
    let min_free = loaded.config.disk.min_free.0;
    let roots = loaded.config.root.iter().map(|root| (root.name.clone(), root.path.path.clone()));
    let state = std::iter::once(("state".to_owned(), loaded.state_dir.clone()));
    roots.chain(state).map(|(name, path)| Place { name, path, min_free }).collect()
}
