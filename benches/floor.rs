//! For `live.py`: the least that can be made of logmedic's own parts and still write down and begin what must be neither lost nor
//! repeated when it is killed; only the start that would read it again is left out.
//! `floor LOG RULES DIRECTORY LOGMEDIC PROGRAM OUT` waits for LOG to grow (notify), asks all shipped rules and those of the file
//! RULES about each line, and for each fault of RULES whose `path` is missing writes down with one write what it will do and has
//! logmedic's process for commands start PROGRAM OUT PATH. It joins no lines, keeps no incidents, decides, records and proves
//! nothing: what stands between it and logmedic in `live.py` is what those cost, and what they push out of the processor's caches.
#![allow(missing_docs)]

use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use logmedic::acquire::CHUNK;
use logmedic::classify::{RuleSource, Rules, builtin};
use logmedic::launch::wire::{MAX_MESSAGE, Request, word_for};
use logmedic::vocab::{Id, Rng};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use notify::{EventKind, RecursiveMode, Watcher as _};

/// The pack of the rules in RULES.
const OWN: &str = "own";

struct Floor {
    log: File,
    read: u64,
    rules: Rules,
    ahead: File,
    launcher: OwnedFd,
    rng: Rng,
    program: String,
    out: String,
    buffer: Vec<u8>,
}

impl Floor {
    /// Reads what came, and has a command started for each fault in it.
    fn take(&mut self) -> anyhow::Result<()> {
        let count = self.log.read_at(&mut self.buffer, self.read)?;
        self.read += count as u64;
        for line in self.buffer[..count].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let (_, Some(hit)) = self.rules.ask(line) else { continue };
            let Some(path) = hit.captures.get("path").filter(|_| hit.rule.starts_with(OWN)) else { continue };
            if Path::new(path).symlink_metadata().is_ok() {
                continue;
            }
            let task = Id::new(chrono::Utc::now(), &mut self.rng);
            let text = String::from_utf8_lossy(line);
            let plan = serde_json::json!({ "task": task, "path": path, "text": text, "read": self.read });
            self.ahead.write_all_at(plan.to_string().as_bytes(), 0)?;
            let request = Request {
                task,
                argv: vec![self.program.clone(), "stamp".into(), self.out.clone(), path.clone()],
                env: Vec::new(),
                cwd: None,
                user: None,
                limit_ms: 60_000,
                note: String::new(),
            };
            let message = request.to_message(0).context("a NUL")?;
            send(self.launcher.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL)?;
            send(self.launcher.as_raw_fd(), word_for(task).as_bytes(), MsgFlags::MSG_NOSIGNAL)?;
        }
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [log, own, dir, logmedic, program, out] = args.as_slice() else {
        anyhow::bail!("floor LOG RULES DIRECTORY LOGMEDIC PROGRAM OUT")
    };
    let mut sources = builtin();
    let text = std::fs::read_to_string(own).with_context(|| format!("failed to read {own}"))?;
    sources.insert(0, RuleSource { name: own.clone(), pack: OWN.into(), text, user: true });
    let (rules, problems) = Rules::compile(&sources);
    ensure!(problems.is_empty(), "{problems:?}");
    rules.warm();
    std::fs::create_dir_all(dir)?;
    let pair = || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    let (control, its_control) = pair()?;
    let (launcher, its_work) = pair()?;
    let mut child = Command::new(logmedic)
        .args(["__launch", dir])
        .stdin(Stdio::from(its_control))
        .stdout(Stdio::from(its_work))
        .spawn()
        .with_context(|| format!("failed to start {logmedic}"))?;
    std::thread::spawn(move || {
        let mut answer = vec![0; MAX_MESSAGE];
        while recv(control.as_raw_fd(), &mut answer, MsgFlags::empty()).is_ok_and(|count| count > 0) {}
    });
    let file = File::open(log).with_context(|| format!("failed to open {log}"))?;
    let mut floor = Floor {
        read: file.metadata()?.len(),
        log: file,
        rules,
        ahead: File::create(format!("{dir}.ahead"))?,
        launcher,
        rng: Rng::new(1),
        program: program.clone(),
        out: out.clone(),
        buffer: vec![0; CHUNK],
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| matches!(event.kind, EventKind::Modify(_)))
            && let Err(error) = floor.take()
        {
            eprintln!("{error:#}");
        }
    })?;
    let directory = Path::new(log).parent().context("LOG has no directory")?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    // Until it is ended; the process for commands ends with it.
    child.wait()?;
    Ok(())
}
