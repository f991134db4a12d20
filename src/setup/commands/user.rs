//! `logmedic user`: who may log in. A password comes from the terminal without echo or from standard input, never from
//! the command line, which every process of the machine can read.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::Path;

use chrono::Utc;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use super::state::{State, note};
use super::{Done, Failure, json_line};
use crate::ledger::identity::{self, Refusal};
use crate::ledger::{Ledger, rusqlite};
use crate::serve::auth::{name_problem, password};
use crate::setup::agent::state_failure;
use crate::setup::load::{self, Surroundings};
use crate::vocab::{Role, Secret};

/// Longest password that is read.
const LINE_MAX: u64 = 4_096;

/// Lists and changes accounts.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Action {
    /// Add an account; asks for its password, or reads it from standard input.
    Add {
        /// Its name: a-z 0-9 . - _
        name: String,
        /// What it may do: viewer, operator or admin.
        #[arg(long, default_value_t = Role::Viewer)]
        role: Role,
    },
    /// Give an account a new password; ends its sessions.
    Passwd {
        /// Its name.
        name: String,
        /// Also take its second factor away, for somebody who lost it.
        #[arg(long)]
        drop_second_factor: bool,
    },
    /// Show every account.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Remove an account; ends its sessions.
    Remove {
        /// Its name.
        name: String,
    },
    /// Change what an account may do; live connections follow at once.
    Role {
        /// Its name.
        name: String,
        /// viewer, operator or admin.
        role: Role,
    },
}

/// Does it.
///
/// # Errors
/// When the configuration is wrong, the state cannot be used, or the change is refused.
pub fn run(args: &Args, file: Option<&Path>, around: &Surroundings, out: &mut impl Write) -> Done {
    let loaded = load::load(file, around)?;
    let dir = &loaded.state_dir;
    match &args.action {
        Action::List { json } => return list(dir, *json, out),
        Action::Add { name, role } => {
            if let Some(problem) = name_problem(name) {
                return Err(Failure::Other { code: 2, message: format!("failed to add the account: {problem}") });
            }
            let hash = new_password(name)?;
            let mut state = State::open(dir)?;
            change(&mut state, "user add", name, |tx| identity::add(tx, name, *role, &hash, Utc::now()))?;
            writeln!(out, "added {name} ({role})")?;
        }
        Action::Passwd { name, drop_second_factor } => {
            let hash = new_password(name)?;
            let mut state = State::open(dir)?;
            change(&mut state, "user passwd", name, |tx| {
                let changed = identity::set_password(tx, name, &hash, None)?;
                if changed.is_ok() && *drop_second_factor {
                    return identity::set_totp(tx, name, None, None);
                }
                Ok(changed)
            })?;
            writeln!(out, "{name} has a new password; its sessions have ended")?;
        }
        Action::Remove { name } => {
            change(&mut State::open(dir)?, "user remove", name, |tx| identity::remove(tx, name))?;
            writeln!(out, "removed {name}")?;
        }
        Action::Role { name, role } => {
            change(&mut State::open(dir)?, "user role", name, |tx| identity::set_role(tx, name, *role))?;
            writeln!(out, "{name} is {role} now")?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn change(
    state: &mut State,
    action: &str,
    name: &str,
    work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<Result<(), Refusal>>,
) -> Result<(), Failure> {
    let done = state.write(|tx| {
        let done = work(tx)?;
        if done.is_ok() {
            note(tx, action, name)?;
        }
        Ok(done)
    })?;
    done.map_err(|refusal| Failure::failed(refusal.to_string()))
}

fn list(dir: &Path, json: bool, out: &mut impl Write) -> Done {
    let accounts = if dir.join("state.db").exists() {
        let db = Ledger::look(dir).map_err(|error| state_failure(&error))?;
        let failed = |error| Failure::failed(format!("failed to read the accounts: {error}"));
        identity::accounts(&db).map_err(failed)?
    } else {
        Vec::new()
    };
    for account in &accounts {
        let factor = account.totp.is_some();
        if json {
            let value = serde_json::json!({
                "account": account.name, "role": account.role, "second_factor": factor, "created_at": account.created_at,
            });
            json_line(out, &value)?;
        } else {
            let factor = if factor { "  second factor" } else { "" };
            writeln!(out, "{:<32}  {:<8}  since {}{factor}", account.name, account.role, account.created_at)?;
        }
    }
    if accounts.is_empty() && !json {
        writeln!(out, "there is no account yet: logmedic user add NAME --role admin")?;
    }
    out.flush()?;
    Ok(0)
}

/// A new password's hash.
fn new_password(name: &str) -> Result<String, Failure> {
    let failed = |why: &str| Failure::failed(format!("failed to take the password: {why}"));
    let secret = if io::stdin().is_terminal() {
        let first = ask(&format!("Password for {name}: "))?;
        if let Some(problem) = password::problem(name, first.expose()) {
            return Err(failed(&problem));
        }
        if ask("Once more: ")? != first {
            return Err(failed("the two are not the same"));
        }
        first
    } else {
        read_line()?
    };
    if let Some(problem) = password::problem(name, secret.expose()) {
        return Err(failed(&problem));
    }
    password::hash_here(&secret).map_err(|error| Failure::failed(error.to_string()))
}

fn read_line() -> Result<Secret, Failure> {
    use io::Read as _;
    let mut line = String::new();
    io::stdin()
        .lock()
        .take(LINE_MAX)
        .read_line(&mut line)
        .map_err(|error| Failure::failed(format!("failed to read the password: {error}")))?;
    Ok(Secret::new(&line))
}

/// Asks on the terminal, without showing what is typed.
fn ask(question: &str) -> Result<Secret, Failure> {
    let terminal = |error: nix::Error| Failure::failed(format!("failed to use the terminal: {error}"));
    let stdin = io::stdin();
    let shown = tcgetattr(&stdin).map_err(terminal)?;
    let mut hidden = shown.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    hidden.local_flags.insert(LocalFlags::ECHONL);
    let mut err = io::stderr().lock();
    let _ = write!(err, "{question}").and_then(|()| err.flush());
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden).map_err(terminal)?;
    let secret = read_line();
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &shown).map_err(terminal)?;
    secret
}
