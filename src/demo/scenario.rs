//! Plays the six faults: makes each for real, waits for the end of its incident, and proves the repair from outside.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;

use super::fault::{Fault, Misbehaviour};
use super::stage::{ALERT_BOT, Stage};
use super::table::Row;
use super::workspace::{DIR_MODE, FILE_MODE, MIN_FREE};
use super::world::Stored;
use crate::vocab::{Body, Class, Id, OutcomeResult, Phase, Record, Strategy};

/// Size of the show's videos.
const VIDEO: u64 = 2_000_000;
/// Bytes that arrive before a transfer stalls.
const STALL_AFTER: u64 = 400_000;
/// How long a stalled transfer stays silent: much longer than the bot waits.
const STALL: Duration = Duration::from_secs(60);
/// How long the server is away.
const AWAY: Duration = Duration::from_secs(4);
/// How long the agent may take to see a fault: the bot's own time-out and some.
const SEE: Duration = Duration::from_secs(20);
/// How long a repair may take: three attempts with their waits.
const HEAL: Duration = Duration::from_secs(60);
/// How long an alert may take: they are grouped.
const ALERT: Duration = Duration::from_secs(20);
/// Free space that is left when the disk is filled: less than a video, less than the configured minimum.
const LEFT_FREE: u64 = MIN_FREE / 4;

/// The faults of the show, in order.
pub const FAULTS: [Class; 6] =
    [Class::Timeout, Class::Permission, Class::MissingPath, Class::Corrupt, Class::DiskFull, Class::ServerDown];

/// Where the numbering of records, alerts and time stood when a fault was made.
struct Mark {
    seq: u64,
    sent: u64,
    at: Instant,
}

/// A healthy start: the bot runs, saves videos, and the agent finds nothing to do.
///
/// # Errors
///
/// A sentence: the bot did not start or not save.
pub async fn warm_up(stage: &mut Stage) -> Result<(), String> {
    for class in FAULTS {
        let stored = stage.send_video(model(class), VIDEO)?;
        stage.until(SEE, "the first healthy download", |s| whole_at(s, &stored)).await?;
    }
    match stage.records.last() {
        0 => Ok(()),
        _ => Err("the agent recorded something although nothing was wrong".into()),
    }
}

/// One more healthy download, at whatever pace the server has.
///
/// # Errors
///
/// A sentence: it did not come.
pub async fn download(stage: &mut Stage) -> Result<(), String> {
    let stored = stage.send_video(model(Class::Timeout), VIDEO)?;
    stage.until(HEAL, "a healthy download", |s| whole_at(s, &stored)).await.map(|_| ())
}

/// Plays one fault to its end.
pub async fn play(stage: &mut Stage, class: Class) -> Row {
    let mut row = Row::new(class);
    if class == Class::DiskFull
        && let Some(why) = &stage.space.no_small_disk
    {
        row.problem = Some(format!("not shown here: {why}"));
        return row;
    }
    let mark = Mark { seq: stage.records.last(), sent: stage.world.last_sent(), at: Instant::now() };
    let played = act(stage, class, &mark, &mut row).await;
    row.ok = Some(played.is_ok());
    row.problem = played.err();
    if row.seconds == 0.0 {
        row.seconds = mark.at.elapsed().as_secs_f64();
    }
    // The next fault starts from a sound world, however this one went.
    stage.world.disarm();
    stage.world.come_back();
    let _ = fs::remove_file(filler(stage));
    row
}

async fn act(stage: &mut Stage, class: Class, mark: &Mark, row: &mut Row) -> Result<(), String> {
    let (stored, injected) = inject(stage, class).await?;
    row.injected = injected;
    let seen = stage.until(SEE, "the record of the fault", |s| s.records.first_error(mark.seq, class).cloned()).await?;
    row.seen = seen_cell(&seen);
    relieve(stage, class, mark).await?;
    let incident = seen.incident;
    let ended = stage.until(HEAL, "the outcome", |s| s.records.outcome(incident).map(|(how, _)| how));
    let result = ended.await?;
    stage.until(HEAL, "the whole file", |s| whole_at(s, &stored)).await?;
    row.seconds = mark.at.elapsed().as_secs_f64();
    let open = |s: &Stage| s.records.incidents(mark.seq).into_iter().all(|i| s.records.outcome(i).is_some());
    stage.until(HEAL, "the end of every incident", |s| open(s).then_some(())).await?;
    row.confirmed = confirmed_cell(stage, mark, incident);
    row.done = done_cell(&stage.records.actions(mark.seq));
    if result != OutcomeResult::Healed {
        return Err(format!("ended as {result}, must be {}", OutcomeResult::Healed));
    }
    must_have_done(stage, class, mark)?;
    row.proof = prove(stage, &stored)?;
    let alerts = stage.until(ALERT, "the alert", |s| {
        let count = s.world.inbox(ALERT_BOT, mark.sent).len();
        (count > 0).then_some(count)
    });
    row.proof.push_str(&format!("\nalert delivered ({})", alerts.await?));
    match stage.records.bad() {
        0 => Ok(()),
        bad => Err(format!("{bad} lines of the records file are no records")),
    }
}

/// Makes the fault; gives the file that it is about, and what was done to the world in words.
async fn inject(stage: &Stage, class: Class) -> Result<(Stored, String), String> {
    let folder = stage.space.models().join(model(class));
    let say = |what: &str, path: &Path, error: io::Error| format!("failed to {what} {}: {error}", path.display());
    let injected = match class {
        Class::Permission => {
            lock(stage, &folder).map_err(|e| say("lock", &folder, e))?;
            format!("{} taken from the bot's user", folder.display())
        }
        Class::MissingPath => {
            fs::remove_dir_all(&folder).map_err(|e| say("remove", &folder, e))?;
            format!("{} removed", folder.display())
        }
        Class::DiskFull => {
            let filler = filler(stage);
            fill(&filler).map_err(|e| say("fill", &filler, e))?;
            format!("disk filled but for {LEFT_FREE} bytes")
        }
        Class::Corrupt => {
            arm(stage, Misbehaviour::Cut { keep: 0.6, claims_whole: true })?;
            "the server sends 60 % of the file and claims it is whole".into()
        }
        _ => {
            let ms = u64::try_from(STALL.as_millis()).unwrap_or(u64::MAX);
            arm(stage, Misbehaviour::Stall { after: STALL_AFTER, ms })?;
            format!("the transfer stalls after {STALL_AFTER} bytes")
        }
    };
    let stalled = stage.world.stalled();
    let stored = stage.send_video(model(class), VIDEO)?;
    if class != Class::ServerDown {
        return Ok((stored, injected));
    }
    let stall = stage.world.wait_for(SEE, |world| (world.stalled() > stalled).then_some(()));
    stall.await.ok_or("the bot did not start its download")?;
    stage.world.go_down();
    let world = stage.world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(AWAY).await;
        world.come_back();
    });
    Ok((stored, format!("the server vanishes in mid-transfer for {} s", AWAY.as_secs())))
}

fn arm(stage: &Stage, what: Misbehaviour) -> Result<(), String> {
    let armed = stage.world.arm(Fault { on: "file".into(), only: None, times: 1, what });
    armed.then_some(()).ok_or_else(|| "too many faults are armed".into())
}

/// Takes the directory from the bot's user: by owner as root, else by mode.
fn lock(stage: &Stage, folder: &Path) -> io::Result<()> {
    let mode = if stage.space.identity.dropped_to {
        chown(folder, Some(0), Some(0))?;
        0o700
    } else {
        0o555
    };
    fs::set_permissions(folder, fs::Permissions::from_mode(mode))
}

fn filler(stage: &Stage) -> PathBuf {
    stage.space.models().join("somebody-elses-backup.bin")
}

/// Fills the file system until [`LEFT_FREE`] bytes are free.
fn fill(path: &Path) -> io::Result<()> {
    let disk = statvfs(path.parent().unwrap_or(path))?;
    let mut left = (disk.blocks_available() * disk.fragment_size()).saturating_sub(LEFT_FREE);
    let mut file = fs::File::create(path)?;
    let chunk = vec![0x5a; 1 << 20];
    while left > 0 {
        let take = left.min(chunk.len() as u64);
        file.write_all(&chunk[..usize::try_from(take).unwrap_or(0)])?;
        left -= take;
    }
    Ok(())
}

/// What the world does by itself after a while. A full disk is freed by its owner, once the alert was there.
async fn relieve(stage: &mut Stage, class: Class, mark: &Mark) -> Result<(), String> {
    if class != Class::DiskFull {
        return Ok(());
    }
    let alerted = |s: &Stage| (!s.world.inbox(ALERT_BOT, mark.sent).is_empty()).then_some(());
    stage.until(ALERT, "the alert of the full disk", alerted).await?;
    let filler = filler(stage);
    fs::remove_file(&filler).map_err(|e| format!("logmedic touched {}: {e}", filler.display()))
}

/// The path of a video if it is there, and every byte of it.
fn whole_at(stage: &Stage, stored: &Stored) -> Option<PathBuf> {
    let path = stage.path_of(&stored.file_id)?;
    let same = fs::metadata(&path).is_ok_and(|m| m.len() == stored.size)
        && fs::read(&path).ok()? == fs::read(&stored.local).ok()?;
    same.then_some(path)
}

/// The repairs without which this fault cannot have been healed.
fn must_have_done(stage: &Stage, class: Class, mark: &Mark) -> Result<(), String> {
    let wanted: &[Strategy] = match class {
        Class::Permission => &[Strategy::RestoreAccess, Strategy::Redownload],
        Class::MissingPath => &[Strategy::CreateDirectory, Strategy::Redownload],
        Class::Corrupt => &[Strategy::Quarantine, Strategy::Redownload],
        _ => &[Strategy::Redownload],
    };
    let done = stage.records.actions(mark.seq);
    match wanted.iter().find(|strategy| !done.contains(&(**strategy, true))) {
        None => Ok(()),
        Some(missing) => Err(format!("the records show no {missing} that worked")),
    }
}

/// Looks at the file and its directory as an onlooker would.
fn prove(stage: &Stage, stored: &Stored) -> Result<String, String> {
    let path = whole_at(stage, stored).ok_or("the file is not whole")?;
    let folder = path.parent().unwrap_or(&path);
    let bot = &stage.space.identity;
    for (path, mode) in [(path.as_path(), FILE_MODE), (folder, DIR_MODE)] {
        let meta = fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let found = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
        // A directory that the bot made has the mode that the bot gave it; what matters is that it can use it.
        let mode_fits = found.2 == mode || (meta.is_dir() && found.2 & 0o700 == 0o700);
        if found.0 != bot.uid || found.1 != bot.gid || !mode_fits {
            let (uid, gid, mode_found) = found;
            return Err(format!(
                "{} is {uid}:{gid} {mode_found:o}, must be {}:{} {mode:o}",
                path.display(),
                bot.uid,
                bot.gid
            ));
        }
    }
    let parts = fs::read_dir(folder).map_err(|e| e.to_string())?.flatten();
    if let Some(left) = parts.map(|e| e.file_name()).find(|name| name.to_string_lossy().ends_with(".part")) {
        return Err(format!("{} was left behind", left.to_string_lossy()));
    }
    Ok(format!("{} bytes, equal to the original\n{}:{} {FILE_MODE:o}", stored.size, bot.user, bot.group))
}

fn model(class: Class) -> &'static str {
    match class {
        Class::Timeout => "ana",
        Class::Permission => "bea",
        Class::MissingPath => "cleo",
        Class::Corrupt => "dora",
        Class::DiskFull => "eva",
        _ => "fay",
    }
}

fn seen_cell(record: &Record) -> String {
    match &record.body {
        // The words behind the last colon say what broke; the path before them is long.
        Body::Error { rule, text, .. } => {
            format!("{rule}\n{}", text.rsplit(": ").next().unwrap_or_default())
        }
        _ => String::new(),
    }
}

/// What the system showed before each repair, in the agent's own sentences; of long paths only the last part.
fn confirmed_cell(stage: &Stage, mark: &Mark, incident: Id) -> String {
    let mut said: Vec<String> = Vec::new();
    for record in stage.records.after(mark.seq).filter(|record| record.incident == incident) {
        let Body::Action { phase: Phase::Started, detail, .. } = &record.body else { continue };
        let word = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
        let short = detail.split(' ').map(word).collect::<Vec<_>>().join(" ");
        if !said.contains(&short) {
            said.push(short);
        }
    }
    said.join("\n")
}

fn done_cell(actions: &[(Strategy, bool)]) -> String {
    let told = actions.iter().map(|(strategy, ok)| format!("{strategy} {}", if *ok { "✔" } else { "✘" }));
    told.collect::<Vec<_>>().join("\n")
}
