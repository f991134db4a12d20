//! A manager over a ledger in a folder of its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use logmedic::ledger::Ledger;
use logmedic::operate::{CommandSpec, Operation, Operations, Priority, Settings, State};
use logmedic::vocab::Id;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer, on a machine however busy.
const LONG: Duration = Duration::from_secs(60);

pub struct House {
    pub operations: Operations,
    pub stop: CancellationToken,
    pub dir: tempfile::TempDir,
    pub over: tokio::task::JoinHandle<()>,
}

/// Looks until there is something; the only wait in these tests, bounded.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn command(name: &str, argv: &[&str]) -> CommandSpec {
    CommandSpec {
        name: name.into(),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        schedule: None,
        priority: Priority::Normal,
        timeout: None,
        resume: false,
    }
}

pub fn shell(name: &str, script: &str) -> CommandSpec {
    command(name, &["sh", "-c", script])
}

impl House {
    pub fn new(commands: Vec<CommandSpec>) -> Self {
        Self::with(commands, |_| {})
    }

    pub fn with(commands: Vec<CommandSpec>, change: impl FnOnce(&mut Settings)) -> Self {
        Self::again(tempfile::tempdir().unwrap(), commands, change)
    }

    /// A manager over what is in this folder.
    pub fn again(dir: tempfile::TempDir, commands: Vec<CommandSpec>, change: impl FnOnce(&mut Settings)) -> Self {
        let state = dir.path().join("state");
        // Work of the manager before that was broken off lets go of it a moment later.
        let end = Instant::now() + LONG;
        let ledger = loop {
            match Ledger::open(&state) {
                Ok(ledger) => break ledger,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            std::thread::yield_now();
        };
        let mut settings =
            Settings { commands, directory: dir.path().into(), production: false, seed: 7, ..Settings::default() };
        change(&mut settings);
        let operations = Operations::open(ledger, settings, Handle::current()).unwrap();
        let stop = CancellationToken::new();
        let over = operations.begin(stop.clone());
        Self { operations, stop, dir, over }
    }

    /// Stops in good order and gives the folder back.
    pub async fn close(self) -> tempfile::TempDir {
        self.stop.cancel();
        self.over.await.unwrap();
        drop(self.operations);
        self.dir
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn get(&self, id: Id) -> Operation {
        self.operations.get(id).unwrap().unwrap()
    }

    /// Waits until it is in this state.
    pub async fn reach(&self, id: Id, state: State) -> Operation {
        until(state.as_str(), || {
            let now = self.get(id);
            assert!(now.state == state || now.state.is_open(), "it ended: {now:?}");
            (now.state == state).then_some(now)
        })
        .await
    }

    /// Waits for a number that a command wrote into a file.
    pub async fn pid(&self, name: &str) -> i32 {
        let path = self.path(name);
        until("a process", || std::fs::read_to_string(&path).ok()?.strip_suffix('\n')?.parse().ok()).await
    }

    /// What the ledger's events say of one operation.
    pub fn events(&self, id: Id) -> Vec<String> {
        let db = Ledger::look(&self.path("state")).unwrap();
        let mut query = db.prepare("SELECT type FROM event WHERE key = ?1 ORDER BY seq").unwrap();
        let rows = query.query_map([id.to_string()], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

/// The state letter and the processor time of a process; `None`: it is gone, or only its number is left.
pub fn process(pid: i32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat[stat.rfind(')')? + 2..].split(' ').collect();
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let state = fields[0].chars().next()?;
    (!matches!(state, 'Z' | 'X')).then_some((state, ticks))
}
