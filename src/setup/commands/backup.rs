//! `logmedic backup`: makes backups through the running agent or without one, proves, lists, deletes them, brings one back.

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use clap::Subcommand;
use serde_json::json;

use super::{Done, Failure, json_line, state, stdout};
use crate::backup::{self, Error, Listed, Order, Place, Restored, Stopped, Verdict, Wanted, Watch};
use crate::ledger::backup::Hold;
use crate::ledger::{self, Ledger, operations as rows};
use crate::operate::{Operation, State};
use crate::setup::agent::state_failure;
use crate::setup::backup::{place, settings};
use crate::setup::client::Client;
use crate::setup::config::Root;
use crate::setup::load::{self, Loaded, Surroundings};
use crate::vocab::{clean_line, rfc3339, shorten};

/// How often it is looked how far the agent is.
const LOOK: Duration = Duration::from_millis(250);

/// `backup …`.
#[derive(Clone, Debug, Subcommand)]
pub enum BackupCommand {
    /// Make one: by the running agent, or without one.
    Create {
        /// What to call it; the moment stands before it anyway.
        #[arg(long)]
        name: Option<String>,
        /// With the files of the roots, or without; as `[backup]` says when it is not said here.
        #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
        media: Option<bool>,
        /// With tokens and other secrets of the configuration, or without.
        #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
        secrets: Option<bool>,
        /// Do not wait until the agent has made it.
        #[arg(long)]
        no_wait: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Prove that one is whole, byte by byte. Exit code 1 when it is damaged.
    Verify {
        /// Its name, from `list`, or the path of its folder.
        backup: String,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Bring one back while no agent runs. What was there is moved aside and kept.
    Restore {
        /// Its name, from `list`, or the path of its folder.
        backup: String,
        /// Only prove it and tell what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Also put the configuration into this folder, which must be empty or missing.
        #[arg(long, value_name = "DIR")]
        config_to: Option<PathBuf>,
        /// Also bring back files of the roots that are missing; what is there is left alone.
        #[arg(long)]
        media: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show those that there are, the newest first.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Delete one.
    Delete {
        /// Its name, from `list`.
        name: String,
        /// Also when it is damaged, or the only one that looks whole.
        #[arg(long)]
        force: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// Does it.
///
/// # Errors
/// When the configuration is wrong, or it could not be done.
pub fn run(command: &BackupCommand, file: Option<&Path>, around: &Surroundings) -> Done {
    let loaded = load::load(file, around)?;
    let mut out = stdout();
    let code = match command {
        BackupCommand::Create { name, media, secrets, no_wait, json } => {
            let order = Order { name: name.clone(), media: *media, secrets: *secrets };
            create(&loaded, around, &order, *no_wait, *json, &mut out)?
        }
        BackupCommand::Verify { backup, json } => {
            let folder = folder(&place(&loaded), backup, around)?;
            let verdict = backup::verify(&folder, &mut Console::new()).map_err(failure)?;
            tell_verdict(&verdict, *json, &mut out)?;
            u8::from(!verdict.sound)
        }
        BackupCommand::Restore { backup, dry_run, config_to, media, json } => {
            state::own(&loaded.state_dir)?;
            let wanted = Wanted {
                folder: folder(&place(&loaded), backup, around)?,
                state: loaded.state_dir.clone(),
                config_to: config_to.as_ref().map(|to| around.cwd.join(to)),
                config_here: around.cwd.join(loaded.base_dir(around)),
                media: media.then(|| loaded.config.root.iter().map(Root::spec).collect()),
                dry_run: *dry_run,
            };
            let restored = backup::restore(&wanted, Utc::now(), &mut Console::new()).map_err(failure)?;
            tell_restored(&restored, *json, &mut out)?;
            u8::from(restored.media.is_some_and(|media| media.failed > 0))
        }
        BackupCommand::List { json } => {
            let all = place(&loaded).list().map_err(failure)?;
            if all.is_empty() && !json {
                writeln!(out, "no backups in {}", clean_line(&place(&loaded).path().to_string_lossy()))?;
            }
            all.iter().try_for_each(|one| show(one, *json, &mut out))?;
            0
        }
        BackupCommand::Delete { name, force, json } => {
            place(&loaded).delete(name, *force).map_err(failure)?;
            if *json {
                json_line(&mut out, &json!({ "deleted": name }))?;
            } else {
                writeln!(out, "deleted {}", clean_line(name))?;
            }
            0
        }
    };
    out.flush()?;
    Ok(code)
}

/// A name, or with a slash in it a path.
fn folder(place: &Place, backup: &str, around: &Surroundings) -> Result<PathBuf, Failure> {
    if backup.contains('/') {
        return Ok(around.cwd.join(backup));
    }
    place.folder(backup).map_err(failure)
}

fn create(
    loaded: &Loaded,
    around: &Surroundings,
    order: &Order,
    no_wait: bool,
    json: bool,
    out: &mut impl Write,
) -> Done {
    if !loaded.state_dir.join(ledger::backup::FILE).exists() {
        let dir = loaded.state_dir.display();
        return Err(Failure::failed(format!("failed to make a backup: there is no state in {dir} yet")));
    }
    state::own(&loaded.state_dir)?;
    match Hold::take(&loaded.state_dir) {
        Ok(_hold) => {
            let mut console = Console::new();
            let made =
                backup::create(&settings(loaded, around), order, None, Utc::now(), &mut console).map_err(failure)?;
            drop(console);
            if !json {
                made.let_go.iter().try_for_each(|name| writeln!(out, "let go  {name}"))?;
            }
            if let Some(why) = &made.kept {
                eprintln!("logmedic: older backups are kept: {}", clean_line(why));
            }
            tell_made(loaded, |one| one.name == made.manifest.name, json, out)
        }
        Err(ledger::Error::Locked { .. }) => by_agent(loaded, order, no_wait, json, out),
        Err(error) => Err(state_failure(&error)),
    }
}

/// Has the running agent make it, and waits for that, also across a restart of the agent.
fn by_agent(loaded: &Loaded, order: &Order, no_wait: bool, json: bool, out: &mut impl Write) -> Done {
    let client = Client::of(&loaded.state_dir)?;
    let read = |value| {
        serde_json::from_value::<Operation>(value)
            .map_err(|error| Failure::failed(format!("failed to read the answer: {error}")))
    };
    let mut operation = read(client.post("operations/backup/create", &json!(order))?)?;
    let id = operation.id.to_string();
    if no_wait {
        if json {
            json_line(out, &operation)?;
        } else {
            writeln!(out, "begun: `logmedic operations {id} --follow` tells how far it is")?;
        }
        return Ok(0);
    }
    let mut line = Line::new();
    let db = Ledger::look(&loaded.state_dir).map_err(|error| state_failure(&error))?;
    while operation.state.is_open() {
        let progress = &operation.progress;
        let percent = progress.percent.map(|percent| format!("{percent:.0}% ")).unwrap_or_default();
        line.say(&format!("{} {percent}{}", operation.state.as_str(), progress.message.as_deref().unwrap_or_default()));
        std::thread::sleep(LOOK);
        // While the agent is away its rows say how it is.
        let stored = || rows::get(&db, &id).ok().flatten().and_then(|json| serde_json::from_str(&json).ok());
        let fresh = client.get(&format!("operations/{id}")).ok().and_then(|value| read(value).ok());
        operation = fresh.or_else(stored).unwrap_or(operation);
    }
    drop(line);
    let report = operation.report.unwrap_or_default();
    if operation.state != State::Completed {
        return Err(Failure::failed(format!("failed to make the backup: {}", report.detail)));
    }
    if !json {
        report.output.iter().try_for_each(|line| writeln!(out, "{}", clean_line(line)))?;
    }
    tell_made(loaded, |one| one.operation.as_deref() == Some(&id), json, out)
}

fn tell_made(loaded: &Loaded, which: impl Fn(&Listed) -> bool, json: bool, out: &mut impl Write) -> Done {
    let all = place(loaded).list().map_err(failure)?;
    let made = all.iter().find(|one| which(one));
    let made = made.ok_or_else(|| Failure::failed("failed to find the backup: it was made and is gone again"))?;
    show(made, json, out)?;
    Ok(0)
}

fn show(one: &Listed, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if json {
        return json_line(out, one);
    }
    let what = match (one.media, one.secrets) {
        (true, true) => "media, secrets",
        (true, false) => "media",
        (false, true) => "secrets",
        (false, false) => "",
    };
    let damage = one.damage.as_deref().map(|damage| format!("damaged: {}", shorten(&clean_line(damage), 80)));
    let at = one.created_at.map(rfc3339).unwrap_or_default();
    let (name, bytes, files) = (clean_line(&one.name), one.bytes, one.files);
    writeln!(out, "{name}  {at:<24}  {bytes:>14}  {files:>7} files  {what}{}", damage.unwrap_or_default())?;
    Ok(())
}

fn tell_verdict(verdict: &Verdict, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if json {
        return json_line(out, verdict);
    }
    let word = if verdict.sound { "whole" } else { "DAMAGED" };
    writeln!(out, "{}  {word}  {} files, {} bytes read", verdict.name, verdict.files, verdict.bytes)?;
    verdict.damage.iter().chain(&verdict.notes).try_for_each(|line| writeln!(out, "  {}", clean_line(line)))?;
    Ok(())
}

fn tell_restored(restored: &Restored, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if json {
        return json_line(out, restored);
    }
    let shown = |path: &Path| clean_line(&path.to_string_lossy()).into_owned();
    let done = if restored.dry_run { "would bring back" } else { "brought back" };
    writeln!(out, "{done} {} of {}", restored.backup, rfc3339(restored.created_at))?;
    writeln!(out, "  state: {}", shown(&restored.state_dir))?;
    if restored.database_format != restored.format_now {
        writeln!(out, "  format {} is brought up to {}", restored.database_format, restored.format_now)?;
    }
    if let Some(old) = &restored.old_state {
        writeln!(out, "  what was there: {} (delete it when all is well)", shown(old))?;
    }
    if let Some((to, files)) = &restored.config {
        writeln!(
            out,
            "  configuration: {files} files in {}; compare by `diff -r`, then move them yourself",
            shown(to)
        )?;
    }
    if !restored.config_differs.is_empty() && restored.config.is_none() {
        let names = restored.config_differs.join(", ");
        writeln!(out, "  the configuration stays as it is; it differs in {names}: see it with --config-to DIR")?;
    }
    if let Some(media) = &restored.media {
        let (back, there, failed) = (media.restored, media.present, media.failed);
        writeln!(out, "  media: {back} files, {there} are there and were left alone, {failed} failed")?;
        media.why.iter().try_for_each(|why| writeln!(out, "    {why}"))?;
    }
    if !restored.dry_run {
        writeln!(out, "  sessions and tokens have ended: log in again; start logmedic when you are ready")?;
    }
    Ok(())
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Ledger(ledger::Error::Locked { pid, .. }) => Failure::Other {
            code: 75,
            message: format!(
                "failed to bring the backup back: logmedic (process {pid}) runs with this state; stop it first, for example: systemctl stop logmedic"
            ),
        },
        Error::Ledger(error) => state_failure(&error),
        Error::Io { what, path, source } => Failure::io(what, &path, &source),
        other => Failure::failed(other.to_string()),
    }
}

/// A line on the terminal that says how far it is; gone at the end.
struct Line {
    shows: bool,
    said: Option<Instant>,
}

impl Line {
    fn new() -> Self {
        Self { shows: std::io::stderr().is_terminal(), said: None }
    }

    fn say(&mut self, what: &str) {
        if self.shows && self.said.is_none_or(|at| at.elapsed() >= LOOK) {
            self.said = Some(Instant::now());
            eprint!("\r\x1b[K{}", shorten(&clean_line(what), 100));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.said.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// Watches over work in this process: tells how far it is, ends it by Ctrl+C, so that nothing half done is left.
struct Console {
    line: Line,
    what: String,
    total: Option<u64>,
    end: Arc<AtomicBool>,
}

impl Console {
    fn new() -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&end);
        // Without it Ctrl+C ends the process, and the next backup sweeps.
        let _ = std::thread::Builder::new().name("signals".into()).spawn(move || {
            use tokio::signal::unix::{SignalKind, signal};
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let streams = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
                let (Ok(mut interrupt), Ok(mut terminate)) = streams else { return };
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                flag.store(true, Ordering::Relaxed);
            });
        });
        Self { line: Line::new(), what: String::new(), total: None, end }
    }
}

impl Watch for Console {
    fn point(&mut self, done: u64) -> Result<(), Stopped> {
        let percent = self.total.filter(|total| *total > 0).map(|total| done.min(total) * 100 / total);
        self.line.say(&format!("{}{}", percent.map(|p| format!("{p}% ")).unwrap_or_default(), self.what));
        if self.end.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    fn tell(&mut self, what: &str, total: Option<u64>) {
        self.what = what.to_owned();
        self.total = total.or(self.total);
    }

    fn go_on(&self) -> Box<dyn FnMut() -> bool + Send> {
        let end = Arc::clone(&self.end);
        Box::new(move || !end.load(Ordering::Relaxed))
    }
}
