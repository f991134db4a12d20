//! `logmedic library`: looks at the library of a running (or stopped) agent, without a lock; asks the running one for work.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use super::{Done, Failure, json_line, stdout};
use crate::ledger::library::{self as rows, Filter, Media};
use crate::ledger::{Ledger, integrity, operations, rusqlite};
use crate::library::Level;
use crate::operate::{Kind, Operation, State};
use crate::serve::integrity::{csv, shown};
use crate::serve::library::{order, summary, view};
use crate::setup::agent::state_failure;
use crate::setup::client::Client;
use crate::setup::load::{self, Surroundings};
use crate::vocab::{clean_line, rfc3339};

/// How often `--wait` looks.
const LOOK: Duration = Duration::from_millis(100);

/// `library`.
#[derive(Clone, Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// What to do; without it: list.
    #[command(subcommand)]
    pub order: Option<Order>,
    /// Which files.
    #[command(flatten)]
    pub list: ListArgs,
}

/// What is asked of the library.
#[derive(Clone, Debug, Subcommand)]
pub enum Order {
    /// Files, newest first.
    List(ListArgs),
    /// One file.
    Show {
        /// Which: its identifier.
        id: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// How many files there are, of what, and how large.
    Stats {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Find out what files there are.
    Populate(WorkArgs),
    /// Make small pictures of the files named, else of all that have none.
    Thumbnails {
        /// Identifiers of files.
        ids: Vec<String>,
        /// Also of those that have one.
        #[arg(long)]
        force: bool,
        /// How.
        #[command(flatten)]
        work: WorkArgs,
    },
    /// Look whether files are whole. What is damaged becomes an incident.
    Verify(VerifyArgs),
    /// What a check found that is not sound: the latest one, or the one named.
    Report {
        /// Which check: the identifier of its operation.
        id: Option<String>,
        /// One JSON object a line.
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// A table with commas.
        #[arg(long)]
        csv: bool,
    },
}

/// Which files are verified, and how.
#[derive(Clone, Debug, ClapArgs)]
pub struct VerifyArgs {
    /// Identifiers of files; without any: all.
    pub ids: Vec<String>,
    /// How thoroughly: structure, checksum, decode.
    #[arg(long, value_name = "LEVEL", default_value = "structure")]
    pub level: Level,
    /// Only files of this root.
    #[arg(long, value_name = "ROOT")]
    pub root: Option<String>,
    /// Only files that an earlier check found short, broken or changed.
    #[arg(long)]
    pub only_reported: bool,
    /// How.
    #[command(flatten)]
    pub work: WorkArgs,
}

/// Which files are listed.
#[derive(Clone, Debug, ClapArgs)]
pub struct ListArgs {
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Only in this root.
    #[arg(long, value_name = "ROOT")]
    pub root: Option<String>,
    /// Only in this directory below the root.
    #[arg(long, value_name = "DIRECTORY")]
    pub model: Option<String>,
    /// Only of this kind: video, audio, image, document, archive, other.
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Only with this verdict: sound, short, broken, changed, unknown.
    #[arg(long, value_name = "VERDICT")]
    pub integrity: Option<String>,
    /// Only with this text somewhere in the path.
    #[arg(short, long, value_name = "TEXT")]
    pub query: Option<String>,
    /// Those that are gone.
    #[arg(long)]
    pub gone: bool,
    /// first_seen, name, size, duration, modified; with - before it the other way round.
    #[arg(long, value_name = "ORDER", default_value = "-first_seen", allow_hyphen_values = true)]
    pub sort: String,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
}

/// How work is begun.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub struct WorkArgs {
    /// One JSON object: the operation.
    #[arg(long)]
    pub json: bool,
    /// Wait until it is over; exit code 1 when it failed.
    #[arg(long)]
    pub wait: bool,
}

/// `logmedic library`.
///
/// # Errors
/// When the configuration is wrong, the state cannot be read, there is no such file, or no agent runs that could work.
pub fn library(args: &Args, file: Option<&Path>, around: &Surroundings) -> Done {
    let loaded = load::load(file, around)?;
    let state = loaded.state_dir.as_path();
    let mut out = stdout();
    match args.order.as_ref().unwrap_or(&Order::List(args.list.clone())) {
        Order::List(args) => list(args, state, &mut out),
        Order::Show { id, json } => show(id, *json, state, &mut out),
        Order::Stats { json } => stats(*json, state, &mut out),
        Order::Populate(work) => begin("operations/library/populate", &json!({}), *work, state, &mut out),
        Order::Verify(VerifyArgs { ids, level, root, only_reported, work }) => {
            let body = json!({"ids": ids, "level": level, "root": root, "only_reported": only_reported});
            begin("operations/integrity/verify", &body, *work, state, &mut out)
        }
        Order::Report { id, json, csv } => report(id.as_deref(), (*json, *csv), state, &mut out),
        Order::Thumbnails { ids, force, work } => {
            let body = json!({"ids": ids, "force": force});
            begin("operations/thumbnails/regenerate", &body, *work, state, &mut out)
        }
    }
}

fn failed(error: &rusqlite::Error) -> Failure {
    Failure::failed(format!("failed to read the state: {error}"))
}

fn look(state: &Path) -> Result<rusqlite::Connection, Failure> {
    Ledger::look(state).map_err(|error| state_failure(&error))
}

fn report(id: Option<&str>, (json, csv): (bool, bool), state: &Path, out: &mut impl Write) -> Done {
    let db = look(state)?;
    let id = match id {
        Some(id) => id.to_owned(),
        None => {
            let filter = operations::Filter { kind: Some(Kind::Integrity.as_str()), ..operations::Filter::default() };
            let latest = operations::list(&db, filter, None, 1).map_err(|error| failed(&error))?;
            let latest = latest.first().and_then(|(_, text)| serde_json::from_str::<Operation>(text).ok());
            let none = || Failure::failed("there was no check yet: logmedic library verify begins one");
            latest.ok_or_else(none)?.id.to_string()
        }
    };
    let all = u32::try_from(integrity::FINDINGS_MAX).unwrap_or(u32::MAX);
    let found = integrity::findings(&db, &id, 0, all).map_err(|error| failed(&error))?;
    let found = found.into_iter().map(shown);
    if csv {
        out.write_all(self::csv(found).as_bytes())?;
    } else if json {
        for one in found {
            json_line(out, &one)?;
        }
    } else {
        for one in found {
            writeln!(out, "{:<8} {}  {}", one.verdict, clean_line(&one.path), clean_line(&one.reason))?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn list(args: &ListArgs, state: &Path, out: &mut impl Write) -> Done {
    let order = order(Some(&args.sort)).map_err(|message| Failure::Other { code: 2, message })?;
    let filter = Filter {
        root: args.root.clone(),
        model: args.model.clone(),
        kind: args.kind.clone(),
        integrity: args.integrity.clone(),
        q: args.query.clone(),
        gone: Some(args.gone),
    };
    let found = if state.join("state.db").exists() {
        rows::list(&look(state)?, &filter, order, None, args.limit).map_err(|error| failed(&error))?
    } else {
        Vec::new()
    };
    if found.is_empty() && !args.json {
        writeln!(out, "no files; `logmedic library populate` looks for them")?;
    }
    for file in &found {
        line(out, file, args.json)?;
    }
    out.flush()?;
    Ok(0)
}

fn line(out: &mut impl Write, file: &Media, json: bool) -> Result<(), Failure> {
    let view = view(file);
    if json {
        return json_line(out, &view);
    }
    let length = view.duration_ms.map(|ms| format!("{}:{:02}", ms / 60_000, ms / 1_000 % 60)).unwrap_or_default();
    writeln!(
        out,
        "{}  {}  {:<8} {:>14} {length:>8}  {:<7}  {}",
        view.id, view.first_seen_at, view.kind, view.size, view.integrity.verdict, view.path
    )?;
    Ok(())
}

fn show(id: &str, json: bool, state: &Path, out: &mut impl Write) -> Done {
    let found = rows::get(&look(state)?, id).map_err(|error| failed(&error))?;
    let missing =
        || Failure::failed(format!("failed to find file {}: `logmedic library list` shows them", clean_line(id)));
    let file = found.ok_or_else(missing)?;
    line(out, &file, json)?;
    if !json {
        let view = view(&file);
        let known = [
            ("format", Some(view.format)),
            ("video", view.video_codec),
            ("audio", view.audio_codec),
            ("size", view.width.zip(view.height).map(|(width, height)| format!("{width}×{height}"))),
            ("blake3", view.blake3),
            ("job", view.job),
            ("gone", view.gone_at),
            ("integrity", view.integrity.reason),
            ("thumbnail", Some(view.thumbnail.reason.unwrap_or_else(|| view.thumbnail.state.to_owned()))),
        ];
        for (name, value) in known {
            if let Some(value) = value {
                writeln!(out, "  {name:<10} {}", clean_line(&value))?;
            }
        }
    }
    out.flush()?;
    Ok(0)
}

fn stats(json: bool, state: &Path, out: &mut impl Write) -> Done {
    let db = look(state)?;
    let read = || Ok::<_, rusqlite::Error>((rows::figures(&db)?, rows::count(&db)?.1));
    let ((figures, gone), pending) = read().map_err(|error| failed(&error))?;
    let summary = summary(&figures, gone, pending, None);
    if json {
        json_line(out, &summary)?;
    } else {
        writeln!(out, "{} files, {} bytes; {} that are gone", summary.files, summary.bytes, summary.gone)?;
        for (title, shares) in [("kind", &summary.by_kind), ("integrity", &summary.by_integrity)] {
            for share in shares {
                writeln!(out, "  {title:<10} {:<10} {:>10} files {:>16} bytes", share.name, share.files, share.bytes)?;
            }
        }
    }
    out.flush()?;
    Ok(0)
}

fn begin(route: &str, body: &serde_json::Value, work: WorkArgs, state: &Path, out: &mut impl Write) -> Done {
    let value = Client::of(state)?.post(route, body)?;
    let unreadable = |error| Failure::failed(format!("failed to read the answer: {error}"));
    let mut operation: Operation = serde_json::from_value(value).map_err(unreadable)?;
    if work.wait {
        let db = look(state)?;
        let id = operation.id.to_string();
        while operation.state.is_open() {
            std::thread::sleep(LOOK);
            // Its first row may be written some milliseconds later.
            if let Some(text) = operations::get(&db, &id).map_err(|error| failed(&error))? {
                operation = serde_json::from_str(&text).map_err(unreadable)?;
            }
        }
    }
    if work.json {
        json_line(out, &operation)?;
    } else {
        let report = operation.report.as_ref().map(|report| clean_line(&report.detail).into_owned());
        writeln!(
            out,
            "{}  {}  {:<11} {}  {}",
            operation.id,
            rfc3339(operation.created_at),
            operation.state.as_str(),
            clean_line(&operation.name),
            report.unwrap_or_default()
        )?;
        if let Some(report) = &operation.report {
            for line in &report.output {
                writeln!(out, "  | {}", clean_line(line))?;
            }
        }
    }
    out.flush()?;
    Ok(u8::from(matches!(operation.state, State::Failed | State::Cancelled)))
}
