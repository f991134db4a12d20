//! A folder with a configuration, and logmedic running in it.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use logmedic::ledger::{Ledger, rusqlite};
use serde_json::Value;

/// Nothing here takes longer, on a machine however busy.
pub const LONG: Duration = Duration::from_secs(60);

/// A rule for lines of our own: one incident a line, and nothing that could be repaired.
pub const MARKER_RULE: &str = r"
[[rule]]
id = 'mine.marker'
class = 'auth'
severity = 'error'
pattern = '''^LMTEST denied(?: (?P<path>/nowhere/LM\d+))?$'''
about = 'a line of the tests'
";

/// So often is looked at least: a machine that stood still meanwhile has done nothing.
const LOOKS: u32 = 200;

/// Looks until there is something; the only wait in these tests, bounded.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let (end, mut looks) = (Instant::now() + LONG, 0);
    loop {
        if let Some(found) = look() {
            return found;
        }
        looks += 1;
        assert!(looks < LOOKS || Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A folder of its own with a configuration.
pub struct Night {
    dir: tempfile::TempDir,
}

/// A test that failed shows what logmedic itself said, and which files there were.
impl Drop for Night {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("-- what logmedic said:\n{}{}", self.text("out"), self.text("err"));
            let files =
                Command::new("find").args([".", "-printf", "%T+ %s %p\n"]).current_dir(self.dir.path()).output();
            eprintln!("-- at {:?}, what there was:", chrono::Utc::now());
            eprintln!("{}", files.map(|found| String::from_utf8_lossy(&found.stdout).into_owned()).unwrap_or_default());
        }
    }
}

impl Night {
    /// `bot.log` is the source, `models` the root, `state` and `records.jsonl` what logmedic writes; `extra` is added.
    pub fn new(extra: &str) -> Self {
        let night = Self::empty();
        fs::create_dir(night.path("models")).unwrap();
        fs::create_dir(night.path("patterns.d")).unwrap();
        fs::write(night.path("patterns.d/mine.toml"), MARKER_RULE).unwrap();
        night.configure(extra);
        night
    }

    /// A folder with nothing in it.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The folder's own link-free name: paths in records and answers are compared with it.
        assert_eq!(dir.path().canonicalize().unwrap(), dir.path());
        Self { dir }
    }

    pub fn configure(&self, extra: &str) {
        let text = format!(
            "[state]\ndir = 'state'\n[[source]]\nname = 'bot'\npath = 'bot.log'\n\
             [[root]]\nname = 'models'\npath = 'models'\nfile_mode = '0664'\ndir_mode = '0775'\n{}{}{extra}",
            // It is begun by itself, and would be among the operations that are counted.
            if extra.contains("[library]") { "" } else { "[library]\nenabled = false\n" },
            if extra.contains("[records]") { "" } else { "[records]\npath = 'records.jsonl'\n" }
        );
        fs::write(self.path("config.toml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds to the bot's log in one write.
    pub fn say(&self, text: impl AsRef<[u8]>) {
        let mut log = OpenOptions::new().create(true).append(true).open(self.path("bot.log")).unwrap();
        log.write_all(text.as_ref()).unwrap();
    }

    /// logmedic in this folder, with nothing of our environment but the search path.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logmedic"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.args(args).env_clear().env("PATH", path).env("HOME", self.dir.path()).current_dir(self.dir.path());
        // As root it would else be the machine's own.
        command.env("XDG_STATE_HOME", self.path("xdg"));
        if self.path("config.toml").exists() {
            command.env("LOGMEDIC_CONFIG", self.path("config.toml"));
        }
        command.stdin(Stdio::null());
        command
    }

    /// A command that ends by itself.
    pub fn ask(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn start(&self) -> Agent {
        self.spawn(self.command(&["run"]))
    }

    /// Runs it with its output in `out` and `err`.
    pub fn spawn(&self, mut command: Command) -> Agent {
        let file = |name: &str| -> File { OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap() };
        // A group of its own, as a terminal's job has.
        Agent(command.stdout(file("out")).stderr(file("err")).process_group(0).spawn().unwrap())
    }

    /// Starts it and waits until it reads: what is written from now on is new to it.
    pub fn start_reading(&self) -> Agent {
        let mut agent = self.start();
        self.reading(&mut agent);
        agent
    }

    pub fn reading(&self, agent: &mut Agent) {
        until("the agent to read", || {
            assert!(agent.0.try_wait().unwrap().is_none(), "it ended: {}", self.text("err"));
            let locked = fs::read_to_string(self.path("state/logmedic.lock")).ok()? == agent.0.id().to_string();
            let count =
                |db: rusqlite::Connection| db.query_row("SELECT count(*) FROM checkpoint", [], |row| row.get(0));
            let places: i64 = Ledger::look(&self.path("state")).ok().and_then(|db| count(db).ok())?;
            (locked && places > 0).then_some(())
        });
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// All whole records, the oldest file first. Every line must be a record.
    pub fn records(&self) -> Vec<Value> {
        let mut names: Vec<String> = (1..=200).rev().map(|n| format!("records.jsonl.{n}")).collect();
        names.push("records.jsonl".into());
        let files = names.iter().filter_map(|name| fs::read(self.path(name)).ok());
        let mut all = Vec::new();
        for bytes in files {
            let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            let text = std::str::from_utf8(&bytes[..whole]).unwrap();
            all.extend(text.split_terminator('\n').map(|line| -> Value {
                let record: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
                assert_eq!(record["schema"], "logmedic.record/v1");
                record
            }));
        }
        all
    }

    /// Waits for records that satisfy.
    pub fn recorded<T>(&self, what: &str, mut look: impl FnMut(&[Value]) -> Option<T>) -> T {
        until(what, || look(&self.records()))
    }

    /// Waits for the outcome of the incident about `subject` (its end is enough).
    pub fn outcome(&self, subject: &str) -> Value {
        self.recorded(&format!("the outcome of {subject}"), |all| outcome(all, subject))
    }

    /// A look into the state database.
    pub fn count(&self, sql: &str) -> i64 {
        let db = Ledger::look(&self.path("state")).unwrap();
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

pub fn outcome(all: &[Value], subject: &str) -> Option<Value> {
    let about = |r: &&Value| r["kind"] == "outcome" && r["subject"]["value"].as_str().unwrap().ends_with(subject);
    all.iter().find(about).cloned()
}

/// The records of the kind, in order.
pub fn of<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|record| record["kind"] == kind).collect()
}

/// How many events the error records stand for.
pub fn events(all: &[Value]) -> u64 {
    of(all, "error").iter().map(|record| record["count"].as_u64().unwrap()).sum()
}

/// `seq` is 1, 2, 3 … over all files.
pub fn no_gap(all: &[Value]) {
    for (at, record) in all.iter().enumerate() {
        assert_eq!(record["seq"].as_u64(), Some(at as u64 + 1), "at record {at}: {record}");
    }
}

/// A running logmedic; ended whatever happens to the test.
pub struct Agent(pub Child);

impl Agent {
    pub fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    pub fn signal(&self, signal: i32) {
        let signal = nix::sys::signal::Signal::try_from(signal).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        assert_eq!(self.0.wait().unwrap().signal(), Some(9));
    }

    /// Waits for its end.
    pub fn end(mut self) -> ExitStatus {
        until("the agent to end", || self.0.try_wait().unwrap())
    }

    /// Asks it to end, and wants that done well.
    pub fn stop(self) {
        self.signal(15);
        assert_eq!(self.end().code(), Some(0));
    }

    /// A number of kilobytes from /proc/PID/status.
    pub fn kilobytes(&self, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Exit code, standard output, standard error.
pub fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
