//! `logmedic token`: tokens for scripts. Each is a session of its own in the ledger, so it can be listed and revoked.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use chrono::{TimeDelta, Utc};

use super::state::{State, note};
use super::{Done, Failure, json_line};
use crate::ledger::identity::{self, NewSession};
use crate::serve::auth::token::{Claims, Key};
use crate::serve::auth::{name_problem, random};
use crate::setup::load::{self, Surroundings};
use crate::setup::units::Period;
use crate::vocab::{Role, rfc3339};

/// The longest life of a token: who wants more makes a new one.
const TTL_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Makes, lists and revokes tokens.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Action {
    /// Make a token and print it; it is shown this once.
    Create {
        /// What it may do: viewer, operator or admin.
        #[arg(long)]
        role: Role,
        /// How long it is good: `1h`, `30d`.
        #[arg(long, value_parser = ttl)]
        ttl: Duration,
        /// For whom, as the audit log shall show it.
        #[arg(long, default_value = "script", value_parser = name)]
        name: String,
        /// As a JSON object, with its identifier and its end.
        #[arg(long)]
        json: bool,
    },
    /// Show the tokens that are good, never the tokens themselves.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Make a token void; its live connections end at once.
    Revoke {
        /// Its identifier, from `list`.
        id: String,
    },
}

fn ttl(text: &str) -> Result<Duration, String> {
    let period = Period::parse(text)?.0;
    if period < Duration::from_secs(1) || period > TTL_MAX {
        return Err("write 1s to 366d".into());
    }
    Ok(period)
}

fn name(text: &str) -> Result<String, String> {
    name_problem(text).map_or_else(|| Ok(text.to_owned()), Err)
}

/// Does it.
///
/// # Errors
/// When the configuration is wrong, the state cannot be used, or there is no such token.
pub fn run(args: &Args, file: Option<&Path>, around: &Surroundings, out: &mut impl Write) -> Done {
    let dir = load::load(file, around)?.state_dir;
    match &args.action {
        Action::Create { role, ttl, name, json } => create(&dir, *role, *ttl, name, *json, out)?,
        Action::List { json } => list(&dir, *json, out)?,
        Action::Revoke { id } => {
            let gone = State::open(&dir)?.write(|tx| {
                let token = identity::session(tx, id)?.filter(|session| session.account.starts_with("token:"));
                let gone = token.is_some() && identity::end(tx, id)?;
                if gone {
                    note(tx, "token revoke", id)?;
                }
                Ok(gone)
            })?;
            if !gone {
                return Err(Failure::failed(
                    "failed to find a token of this identifier; `logmedic token list` shows them",
                ));
            }
            writeln!(out, "revoked {id}")?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn create(dir: &Path, role: Role, ttl: Duration, name: &str, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let mut state = State::open(dir)?;
    let key = Key::open(dir).map_err(|error| Failure::Other { code: 77, message: error.to_string() })?;
    let now = Utc::now();
    let end = now + TimeDelta::from_std(ttl).unwrap_or_default();
    let id = random::id(now).map_err(|error| failed(&error))?;
    // Nobody holds this secret: such a session is used by its token only.
    let secret = random::digest(&random::secret().map_err(|error| failed(&error))?);
    let account = format!("token:{name}");
    let claims = Claims {
        sub: account.clone(),
        role,
        sid: id.clone(),
        generation: 0,
        jti: id.clone(),
        iat: now.timestamp(),
        exp: end.timestamp(),
    };
    let token = key.sign(&claims).ok_or_else(|| Failure::failed("failed to sign the token"))?;
    let new = NewSession {
        id: &id,
        secret: &secret,
        account: &account,
        role: Some(role),
        expires_at: end,
        address: "command",
        agent: "",
    };
    state.write(|tx| {
        identity::begin(tx, &new, now)?;
        note(tx, "token create", &format!("{account} {role} {id}"))
    })?;
    if json {
        let value = serde_json::json!({
            "id": id, "account": account, "role": role, "token": token, "expires_at": rfc3339(end),
        });
        json_line(out, &value)
    } else {
        Ok(writeln!(out, "{token}")?)
    }
}

fn list(dir: &Path, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if !dir.join("state.db").exists() {
        return Ok(());
    }
    let db = crate::ledger::Ledger::look(dir).map_err(|error| crate::setup::agent::state_failure(&error))?;
    let sessions = identity::sessions(&db, None, Utc::now())
        .map_err(|error| Failure::failed(format!("failed to read the tokens: {error}")))?;
    for token in sessions.iter().filter(|session| session.account.starts_with("token:")) {
        if json {
            let value = serde_json::json!({
                "id": token.id, "account": token.account, "role": token.role,
                "created_at": rfc3339(token.created_at), "expires_at": rfc3339(token.expires_at),
            });
            json_line(out, &value)?;
        } else {
            writeln!(out, "{}  {:<8}  until {}  {}", token.id, token.role, rfc3339(token.expires_at), token.account)?;
        }
    }
    Ok(())
}
