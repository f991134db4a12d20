//! `logmedic operations`: look at the running (or stopped) agent's operations, without a lock.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

use super::{Done, Failure, json_line, stdout};
use crate::ledger::operations::{self as rows, Filter};
use crate::ledger::{Ledger, rusqlite};
use crate::operate::{Kind, Operation, State};
use crate::setup::agent::state_failure;
use crate::setup::client::Client;
use crate::setup::load::{self, Surroundings};
use crate::vocab::{clean_line, rfc3339, shorten};

/// How often `--follow` looks.
const LOOK: Duration = Duration::from_millis(500);

/// Characters of a sentence in a table.
const SHOWN: usize = 60;

/// What an operation is asked to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Order {
    /// Hold still at the next safe point.
    Pause {
        /// Which.
        id: String,
    },
    /// Go on.
    Resume {
        /// Which.
        id: String,
    },
    /// End at the next safe point.
    Cancel {
        /// Which.
        id: String,
    },
    /// Begin a command of `[[operation]]` now.
    Run {
        /// Its name.
        name: String,
    },
}

impl Order {
    /// The route, below `/api/v1/`.
    fn route(&self) -> String {
        match self {
            Self::Pause { id } => format!("operations/{}/pause", in_path(id)),
            Self::Resume { id } => format!("operations/{}/resume", in_path(id)),
            Self::Cancel { id } => format!("operations/{}/cancel", in_path(id)),
            Self::Run { name } => format!("operations/custom/{}", in_path(name)),
        }
    }
}

/// A word as one part of a path.
fn in_path(word: &str) -> String {
    url::form_urlencoded::byte_serialize(word.as_bytes()).collect::<String>().replace('+', "%20")
}

/// `operations`.
#[derive(Clone, Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    /// Ask the running agent for something.
    #[command(subcommand)]
    pub order: Option<Order>,
    /// One of them, with its report.
    pub id: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Tell what changes, until it is over (with ID) or for ever.
    #[arg(long)]
    pub follow: bool,
    /// Only in this state: pending, running, paused, completed, failed, cancelled.
    #[arg(long, value_name = "STATE")]
    pub state: Option<State>,
    /// Only of this kind: repair, custom, test.
    #[arg(long, value_name = "KIND")]
    pub kind: Option<Kind>,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
}

/// `logmedic operations [ID]`.
///
/// # Errors
/// When the configuration is wrong, the state cannot be read, or there is no such operation.
pub fn operations(args: &Args, file: Option<&Path>, around: &Surroundings) -> Done {
    let loaded = load::load(file, around)?;
    let db = if loaded.state_dir.join("state.db").exists() {
        Some(Ledger::look(&loaded.state_dir).map_err(|error| state_failure(&error))?)
    } else {
        None
    };
    let mut out = stdout();
    if let Some(order) = &args.order {
        let value = Client::of(&loaded.state_dir)?.post(&order.route(), &serde_json::json!({}))?;
        let operation: Operation = serde_json::from_value(value)
            .map_err(|error| Failure::failed(format!("failed to read the answer: {error}")))?;
        show(&mut out, &operation, args.json)?;
        out.flush()?;
        return Ok(0);
    }
    if let Some(id) = &args.id {
        return one(args, id, db.as_ref(), &mut out);
    }
    let look = || db.as_ref().map(|db| list(db, args)).transpose().map(Option::unwrap_or_default);
    let nothing = (!args.json).then_some("no operations");
    super::list(args.follow && db.is_some(), look, nothing, &mut out, |out, one| show(out, one, args.json))
}

fn failed(error: &rusqlite::Error) -> Failure {
    Failure::failed(format!("failed to read the state: {error}"))
}

fn list(db: &rusqlite::Connection, args: &Args) -> Result<Vec<Operation>, Failure> {
    let filter = Filter { state: args.state.map(State::as_str), kind: args.kind.map(Kind::as_str) };
    let rows = rows::list(db, filter, None, args.limit).map_err(|error| failed(&error))?;
    Ok(rows.iter().filter_map(|(_, json)| serde_json::from_str(json).ok()).collect())
}

fn one(args: &Args, id: &str, db: Option<&rusqlite::Connection>, out: &mut impl Write) -> Done {
    let mut before = None;
    loop {
        let json = db.map(|db| rows::get(db, id)).transpose().map_err(|error| failed(&error))?.flatten();
        let Some(operation) = json.and_then(|json| serde_json::from_str::<Operation>(&json).ok()) else {
            let id = clean_line(id);
            return Err(Failure::failed(format!("failed to find operation {id}: `logmedic operations` lists them")));
        };
        if before.as_ref() != Some(&operation) {
            show(out, &operation, args.json)?;
            if !args.json
                && let Some(report) = &operation.report
            {
                writeln!(out, "  {}", clean_line(&report.detail))?;
                for line in &report.output {
                    writeln!(out, "  | {}", clean_line(line))?;
                }
            }
            out.flush()?;
        }
        if !args.follow || !operation.state.is_open() {
            return Ok(0);
        }
        before = Some(operation);
        std::thread::sleep(LOOK);
    }
}

fn show(out: &mut impl Write, operation: &Operation, json: bool) -> Result<(), Failure> {
    if json {
        return json_line(out, operation);
    }
    let state = if operation.state == State::Failed && operation.interrupted {
        "interrupted"
    } else {
        operation.state.as_str()
    };
    let about = operation.about.subject.as_deref().or(operation.progress.message.as_deref()).unwrap_or_default();
    let percent = operation.progress.percent.map(|percent| format!("{percent:.0}%")).unwrap_or_default();
    writeln!(
        out,
        "{}  {}  {:<7} {state:<11} {:<8} {percent:>4}  {}  {}",
        operation.id,
        rfc3339(operation.created_at),
        operation.kind.as_str(),
        operation.priority.as_str(),
        clean_line(&operation.name),
        shorten(&clean_line(about), SHOWN),
    )?;
    Ok(())
}
