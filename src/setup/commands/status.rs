//! `logmedic status`, `incidents`, `jobs`: look into the running (or stopped) agent's ledger, without a lock.

use std::io::Write;
use std::path::Path;

use super::{Done, Failure, json_line, stdout};
use crate::correlate::{Job, JobState, Progress};
use crate::engine::{Case, Phase};
use crate::ledger::standing::{self, Standing};
use crate::ledger::{Ledger, outbox, store};
use crate::outbox::{ChannelSettings, Way};
use crate::setup::agent::state_failure;
use crate::setup::channels;
use crate::setup::cli::{JsonArgs, ListArgs};
use crate::setup::load::{self, Loaded, Surroundings};
use crate::setup::policy;
use crate::vocab::{Severity, clean_line, rfc3339, shorten};

/// How much of a subject or sentence a table shows, in characters.
const SHOWN: usize = 60;

/// How many kinds of unknown errors are shown.
const UNKNOWN_MAX: u32 = 500;

/// How many lines of an incident's story are read at most.
const STORY_MAX: u32 = 10_000;

/// Opens the ledger for looking. `None`: logmedic never ran with this state directory.
fn open(file: Option<&Path>, around: &Surroundings) -> Result<Option<rusqlite::Connection>, Failure> {
    let loaded = load::load(file, around)?;
    if !loaded.state_dir.join("state.db").exists() {
        return Ok(None);
    }
    Ledger::look(&loaded.state_dir).map(Some).map_err(|error| state_failure(&error))
}

fn read<T: serde::de::DeserializeOwned>(db: &rusqlite::Connection, kind: &str, limit: u32) -> Result<Vec<T>, Failure> {
    let rows =
        store::list(db, kind, limit).map_err(|error| Failure::failed(format!("failed to read the state: {error}")))?;
    // A row of another version that cannot be read is passed over; the agent itself says so at its start.
    Ok(rows.iter().filter_map(|json| serde_json::from_str(json).ok()).collect())
}

/// `logmedic status`.
///
/// # Errors
/// When the configuration is wrong or the state cannot be read.
pub fn status(args: JsonArgs, file: Option<&Path>, around: &Surroundings) -> Done {
    let loaded = load::load(file, around)?;
    let running = running_pid(&loaded.state_dir);
    let db = open(file, around)?;
    let cases: Vec<Case> = db.as_ref().map(|db| read(db, "incident", 10_000)).transpose()?.unwrap_or_default();
    let jobs: Vec<Job> = db.as_ref().map(|db| read(db, "job", 10_000)).transpose()?.unwrap_or_default();
    let count =
        |sql: &str| db.as_ref().and_then(|db| db.query_row(sql, [], |row| row.get::<_, i64>(0)).ok()).unwrap_or(0);
    let records = count("SELECT coalesce(max(seq), 0) FROM record");
    let owed = count(
        "SELECT count(*) FROM notice n WHERE NOT EXISTS (SELECT 1 FROM delivery d WHERE d.key = n.key AND d.state = 'sent' AND d.revision >= n.revision)",
    );
    let channels = standings(&loaded, db.as_ref())?;
    let unknown = db.as_ref().map(|db| store::unclassified(db, UNKNOWN_MAX)).unwrap_or_default();
    let open = cases.iter().filter(|case| !case.ended()).count();
    let active = jobs.iter().filter(|job| matches!(job.state, JobState::Queued | JobState::Processing)).count();
    let mut out = stdout();
    if args.json {
        let value = serde_json::json!({
            "running": running.is_some(), "pid": running, "state_dir": loaded.state_dir, "incidents_open": open,
            "incidents": cases.len(), "jobs_active": active, "jobs": jobs.len(), "records": records,
            "records_path": loaded.records_path(), "notices_owed": owed, "unclassified": unknown,
            "channels": channels.iter().map(standing_json).collect::<Vec<_>>(),
        });
        json_line(&mut out, &value)?;
    } else {
        match running {
            Some(pid) => writeln!(out, "running as process {pid}")?,
            None => writeln!(out, "not running")?,
        }
        writeln!(out, "incidents  {open} open, {} remembered", cases.len())?;
        writeln!(out, "jobs       {active} under way, {} remembered", jobs.len())?;
        writeln!(out, "records    {records} in {}", loaded.records_path().display())?;
        if let Some(latest) = unknown.first() {
            let events: u64 = unknown.iter().map(|kind| kind.count).sum();
            let shape = shorten(&latest.shape, SHOWN);
            writeln!(
                out,
                "unknown    {events} errors of {} kinds that no rule knows, the latest: {}",
                unknown.len(),
                clean_line(&shape)
            )?;
        }
        if channels.is_empty() {
            writeln!(out, "alerts     go nowhere: no [telegram] token and admins, no [[channel]]; {owed} kept")?;
        }
        for (place, one) in channels.iter().enumerate() {
            let head = if place == 0 { "alerts" } else { "" };
            writeln!(out, "{head:<10} {:<20} {}", clean_line(&one.channel), clean_line(&stands(one)))?;
        }
        // The directory is logmedic's own: nobody else puts links there.
        let size = fs_extra::dir::get_size(&loaded.state_dir).unwrap_or(0);
        let mib = size as f64 / f64::from(1 << 20);
        writeln!(out, "state      {} ({mib:.1} MiB)", loaded.state_dir.display())?;
    }
    out.flush()?;
    Ok(0)
}

/// Every configured channel and how it stands; one that no agent has served yet stands empty.
fn standings(loaded: &Loaded, db: Option<&rusqlite::Connection>) -> Result<Vec<Standing>, Failure> {
    let telegram = policy::telegram(loaded);
    let least = telegram.as_ref().map_or(Severity::Info, |settings| settings.min_severity);
    let found = db.map(|db| standing::standings(db, least)).transpose();
    let mut found =
        found.map_err(|error| Failure::failed(format!("failed to read the state: {error}")))?.unwrap_or_default();
    let admins = telegram.into_iter().flat_map(|settings| settings.admins);
    let (configured, _) = channels::settings(loaded);
    // Browsers are known to the ledger only.
    let others = configured.iter().filter(|one| !matches!(one.way, Way::Push(_))).map(ChannelSettings::full);
    let names: Vec<String> = admins.map(outbox::channel).chain(others).collect();
    found.retain(|one| one.channel.starts_with("push:") || names.contains(&one.channel));
    for name in names {
        if found.iter().all(|one| one.channel != name) {
            found.push(Standing { channel: name, ..Standing::default() });
        }
    }
    Ok(found)
}

fn moment(ms: i64) -> Option<String> {
    chrono::DateTime::from_timestamp_millis(ms).map(rfc3339)
}

fn standing_json(one: &Standing) -> serde_json::Value {
    serde_json::json!({
        "channel": one.channel, "waiting": one.waiting, "failing_since": one.failing_since.and_then(moment),
        "error": one.error, "last_delivered": one.last_sent.and_then(moment),
    })
}

/// How a channel stands, in words.
fn stands(one: &Standing) -> String {
    let mut words = vec![match one.waiting {
        0 => "nothing waits".to_owned(),
        count => format!("{count} not delivered yet"),
    }];
    if let Some(since) = one.failing_since.and_then(moment) {
        let error = one.error.as_deref().map(|error| format!(": {}", shorten(error, SHOWN))).unwrap_or_default();
        words.push(format!("failing since {since}{error}"));
    }
    words.push(match one.last_sent.and_then(moment) {
        Some(at) => format!("last delivered {at}"),
        None => "nothing delivered so far".to_owned(),
    });
    words.join(", ")
}

/// `logmedic incidents [ID]`.
///
/// # Errors
/// When the configuration is wrong, the state cannot be read, or there is no such incident.
pub fn incidents(args: &ListArgs, file: Option<&Path>, around: &Surroundings) -> Done {
    let db = open(file, around)?;
    let mut out = stdout();
    if let Some(id) = &args.id {
        let db = db.ok_or_else(|| Failure::failed(format!("failed to find incident {id}: there is no state yet")))?;
        return story(&db, id, args.json, &mut out);
    }
    list(db.as_ref(), "incident", args, &mut out, show_incident)
}

fn show_incident(out: &mut dyn Write, case: &Case) -> std::io::Result<()> {
    let state = match (&case.phase, case.result) {
        (_, Some(result)) => result.to_string(),
        (Phase::Held { on }, _) => format!("waits: {}", on.split(' ').next().unwrap_or_default()),
        _ => "working".into(),
    };
    let incident = &case.incident;
    let subject = clean_line(&incident.subject.value).into_owned();
    writeln!(
        out,
        "{}  {}  {:<12} {:<14} ×{:<5} {}",
        incident.id,
        rfc3339(incident.opened_at),
        incident.class,
        state,
        incident.count,
        shorten(&subject, SHOWN),
    )
}

/// Shows the newest of a kind.
fn list<T>(
    db: Option<&rusqlite::Connection>,
    kind: &str,
    args: &ListArgs,
    out: &mut impl Write,
    show: impl Fn(&mut dyn Write, &T) -> std::io::Result<()>,
) -> Done
where
    T: serde::de::DeserializeOwned + serde::Serialize + PartialEq,
{
    let look = || db.map(|db| read(db, kind, args.limit)).transpose().map(Option::unwrap_or_default);
    let nothing = format!("no {kind}s");
    super::list(args.follow && db.is_some(), look, (!args.json).then_some(&nothing), out, |out, one: &T| {
        if args.json { json_line(out, one) } else { Ok(show(out, one)?) }
    })
}

/// One incident with everything that was written down about it.
fn story(db: &rusqlite::Connection, id: &str, json: bool, out: &mut impl Write) -> Done {
    let failed = |error: rusqlite::Error| Failure::failed(format!("failed to read the state: {error}"));
    let mut query = db.prepare("SELECT json FROM record WHERE incident = ?1 ORDER BY seq LIMIT ?2").map_err(failed)?;
    let lines: Vec<String> =
        query.query_map((id, STORY_MAX), |row| row.get(0)).and_then(Iterator::collect).map_err(failed)?;
    if lines.is_empty() {
        return Err(Failure::failed(format!(
            "failed to find incident {}: `logmedic incidents` lists them",
            clean_line(id)
        )));
    }
    for line in lines {
        if json {
            writeln!(out, "{line}")?;
        } else if let Ok(record) = serde_json::from_str(&line) {
            writeln!(out, "{}", crate::publish::terminal::render(&record, crate::publish::terminal::Style::Plain))?;
        }
    }
    out.flush()?;
    Ok(0)
}

/// `logmedic jobs [ID]`.
///
/// # Errors
/// When the configuration is wrong or the state cannot be read.
pub fn jobs(args: &ListArgs, file: Option<&Path>, around: &Surroundings) -> Done {
    let db = open(file, around)?;
    let mut out = stdout();
    let Some(id) = &args.id else { return list(db.as_ref(), "job", args, &mut out, show_job) };
    let row = db.as_ref().map(|db| store::row(db, "job", id)).transpose();
    let row = row.map_err(|error| Failure::failed(format!("failed to read the state: {error}")))?.flatten();
    let Some(job) = row.and_then(|json| serde_json::from_str::<Job>(&json).ok()) else {
        let id = clean_line(id);
        return Err(Failure::failed(format!("failed to find job {id}: `logmedic jobs` lists them")));
    };
    if args.json {
        json_line(&mut out, &job)?;
    } else {
        show_job(&mut out, &job)?;
        if let Some(message) = &job.message {
            writeln!(out, "{}", clean_line(message))?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn show_job(out: &mut dyn Write, job: &Job) -> std::io::Result<()> {
    let state = if job.stalled_since.is_some() { "stalled" } else { job.state.as_str() };
    let name = job.facts.wanted().or(job.name.as_deref()).unwrap_or("?");
    let name = clean_line(name).into_owned();
    let (at, far) = (rfc3339(job.updated_at), far(&job.progress));
    writeln!(out, "{}  {at}  {state:<10} {far:<24} {}", job.id, shorten(&name, 2 * SHOWN))
}

/// How far a download is: percentage, rate and time left, as far as they are known.
fn far(progress: &Progress) -> String {
    let mut words = Vec::new();
    match (progress.percent, progress.bytes) {
        (Some(percent), _) => words.push(format!("{percent} %")),
        (None, Some(bytes)) => words.push(format!("{:.1} MB", bytes as f64 / 1e6)),
        (None, None) => words.push("unknown".to_owned()),
    }
    words.extend(progress.rate.map(|rate| format!("{:.1} MB/s", rate as f64 / 1e6)));
    words.extend(progress.eta_s.map(|left| format!("{left} s left")));
    words.join("  ")
}

/// The process that holds the state directory, if one does.
pub(super) fn running_pid(state_dir: &Path) -> Option<i32> {
    let path = state_dir.join("logmedic.lock");
    let file = std::fs::File::open(&path).ok()?;
    match file.try_lock_shared() {
        Err(std::fs::TryLockError::WouldBlock) => std::fs::read_to_string(&path).ok()?.trim().parse().ok(),
        _ => None,
    }
}
