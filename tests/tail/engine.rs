//! Stands for the engine: an assembler per stream, checkpoints that change together with what was found.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logmedic::acquire::{self, CHUNK, Checkpoint, Milestones, Read, Settings, SourceKind, SourceSpec, StreamId};
use logmedic::assemble::{Assembler, Limits, RawEvent};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Far more than any wait here takes; reached only when a line is missed.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn from_start() -> Settings {
    Settings { from_start: true, ..Settings::default() }
}

pub fn path_source(path: &Path) -> SourceSpec {
    let shown = path.file_name().unwrap().to_string_lossy().into_owned();
    SourceSpec { name: "bot".into(), kind: SourceKind::Path { path: path.into(), shown } }
}

/// What stands for the engine: an assembler per stream, and checkpoints that change together with what was found.
pub struct Engine {
    pub streams: HashMap<StreamId, (Assembler, Checkpoint, Milestones)>,
    /// What is stored, by identity; what a run began with stays until its stream is opened again.
    pub rows: BTreeMap<String, Checkpoint>,
    pub keys: HashMap<StreamId, String>,
    pub events: Vec<RawEvent>,
    pub troubles: Vec<String>,
    pub files: Vec<Option<String>>,
    pub biggest: usize,
}

impl Engine {
    pub fn new(stored: &[Checkpoint]) -> Self {
        let rows = stored.iter().map(|row| (key(row), row.clone())).collect();
        Self {
            streams: HashMap::new(),
            rows,
            keys: HashMap::new(),
            events: vec![],
            troubles: vec![],
            files: vec![],
            biggest: 0,
        }
    }

    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        self.rows.values().cloned().collect()
    }

    /// Whether the file that is at the path now has been opened.
    pub fn has_open(&self, log: &Path) -> bool {
        let inode = fs::metadata(log).unwrap().ino();
        self.streams.values().any(
            |(_, checkpoint, _)| matches!(checkpoint.identity, acquire::Identity::File { ino, .. } if ino == inode),
        )
    }

    fn store(&mut self, stream: StreamId, before: Option<String>) {
        if let Some(before) = before
            && !self.streams.values().any(|(_, other, _)| key(other) == before)
        {
            self.rows.remove(&before);
        }
        if let Some((_, checkpoint, _)) = self.streams.get(&stream) {
            self.rows.insert(key(checkpoint), checkpoint.clone());
            self.keys.insert(stream, key(checkpoint));
        }
    }

    pub fn lines(&self) -> Vec<String> {
        let lines = self.events.iter().flat_map(|event| event.text.split(|b| *b == b'\n'));
        lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    pub fn take(&mut self, read: Read) {
        let (stream, ended) = match read {
            Read::Opened { stream, source, file, identity, offset } => {
                let checkpoint = Checkpoint { source, identity, offset };
                let assembler = Assembler::new(Limits::default(), offset);
                self.streams.insert(stream, (assembler, checkpoint, Milestones::default()));
                self.files.push(file);
                self.store(stream, None);
                return;
            }
            Read::Trouble { detail, .. } => return self.troubles.push(detail),
            Read::Bytes { stream, offset, bytes, last } => {
                assert!(bytes.len() <= CHUNK);
                self.biggest = self.biggest.max(bytes.len());
                let (assembler, checkpoint, _) = self.streams.get_mut(&stream).unwrap();
                assert!(offset >= checkpoint.offset);
                assembler.push(&bytes, &mut self.events);
                if last {
                    self.events.extend(assembler.take_pending());
                }
                (stream, false)
            }
            Read::Idle { stream } => {
                let (assembler, ..) = self.streams.get_mut(&stream).unwrap();
                self.events.extend(assembler.take_pending());
                (stream, false)
            }
            Read::Identity { stream, identity } => {
                let (assembler, checkpoint, milestones) = self.streams.get_mut(&stream).unwrap();
                match identity {
                    acquire::Identity::Journal { .. } => {
                        let end = assembler.safe_offset() + assembler.pending().map_or(0, |p| p.text.len() as u64 + 1);
                        milestones.note(end, identity);
                    }
                    _ => checkpoint.identity = identity,
                }
                (stream, false)
            }
            Read::Closed { stream } => (stream, true),
        };
        let (assembler, checkpoint, milestones) = self.streams.get_mut(&stream).unwrap();
        let before = self.keys[&stream].clone();
        if ended {
            while let Some(event) = assembler.finish() {
                self.events.push(event);
            }
            self.streams.remove(&stream);
            return self.store(stream, Some(before));
        }
        match checkpoint.identity {
            acquire::Identity::Journal { .. } => {
                checkpoint.identity =
                    milestones.reached(assembler.safe_offset()).unwrap_or(checkpoint.identity.clone());
            }
            _ => checkpoint.offset = assembler.safe_offset(),
        }
        self.store(stream, Some(before));
    }
}

/// What tells rows apart: neither where a file was last, nor what else was seen then.
pub fn key(checkpoint: &Checkpoint) -> String {
    match &checkpoint.identity {
        acquire::Identity::File { dev, ino, hashed, hash, .. } => {
            format!("{} {dev}:{ino} {hashed}:{hash}", checkpoint.source)
        }
        other => format!("{} {}", checkpoint.source, serde_json::to_string(other).unwrap()),
    }
}

/// A reader under way and the engine behind it.
pub struct Watch {
    pub reads: mpsc::Receiver<Read>,
    pub stop: CancellationToken,
    pub task: JoinHandle<()>,
    pub engine: Engine,
}

impl Watch {
    pub fn start(specs: Vec<SourceSpec>, checkpoints: Vec<Checkpoint>, settings: Settings) -> Self {
        let (out, reads) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let engine = Engine::new(&checkpoints);
        let task = tokio::spawn(acquire::run(specs, checkpoints, settings, out, stop.clone()));
        Self { reads, stop, task, engine }
    }

    /// Takes what comes until `enough`; panics when that does not happen in time.
    pub async fn until(&mut self, what: &str, mut enough: impl FnMut(&Engine) -> bool) {
        let end = tokio::time::Instant::now() + DEADLINE;
        while !enough(&self.engine) {
            match tokio::time::timeout_at(end, self.reads.recv()).await {
                Ok(Some(read)) => self.engine.take(read),
                Ok(None) => panic!("the reader ended before: {what}"),
                Err(_) => panic!("not in time: {what}; got {:?} {:?}", self.engine.lines(), self.engine.troubles),
            }
        }
    }

    pub async fn until_line(&mut self, line: &str) {
        self.until(line, |engine| engine.lines().iter().any(|l| l == line)).await;
    }

    /// Ends it like a kill: what was not taken yet is gone. Returns what is on disk then, and the lines so far.
    pub async fn kill(self) -> (Vec<Checkpoint>, Vec<String>) {
        self.stop.cancel();
        drop(self.reads);
        tokio::time::timeout(DEADLINE, self.task).await.expect("it stops").unwrap();
        (self.engine.checkpoints(), self.engine.lines())
    }
}

pub fn append(path: &Path, text: impl AsRef<[u8]>) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_ref()).unwrap();
}

/// Shifts `bot.log.N` to `bot.log.N+1` and the log to `bot.log.1`.
pub fn shift(path: &Path) {
    let name = |n: u32| path.with_file_name(format!("{}.{n}", path.file_name().unwrap().to_str().unwrap()));
    let count = (1..).take_while(|n| name(*n).exists()).count() as u32;
    for n in (1..=count).rev() {
        fs::rename(name(n), name(n + 1)).unwrap();
    }
    if path.symlink_metadata().is_ok() {
        fs::rename(path, name(1)).unwrap();
    }
}

pub fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("bot.log");
    (dir, log)
}

/// Comes back when a file made now is stamped later than one made before: clocks of file systems tick.
pub fn next_tick(dir: &Path) {
    let probe = dir.join("probe");
    let stamp = || {
        let _ = fs::remove_file(&probe);
        fs::write(&probe, "x").unwrap();
        fs::metadata(&probe).unwrap().created().unwrap()
    };
    let begin = stamp();
    while stamp() == begin {}
}
