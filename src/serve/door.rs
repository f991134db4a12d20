//! Joins the hub to identities and to what clients may have done. I/O.

use axum::http::HeaderMap;
use chrono::Utc;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;

use super::auth::{Caller, Identity, Principal};
use super::hub::{Action, Command, Commands, Gate, Guest, Pass};
use super::notifications::{Centre, Notification};
use super::problem::Problem;
use crate::ledger::audit::Outcome;
use crate::ledger::notifications::{self as table, Filter};
use crate::operate::Operations;
use crate::vocab::{Id, Role};

/// Lets in whom the identities know.
pub struct Doorkeeper {
    /// Who may do what.
    pub identity: Identity,
}

impl Gate for Doorkeeper {
    fn admit(&self, pass: &Pass, headers: &HeaderMap, caller: Caller) -> Result<Guest, Problem> {
        let now = Utc::now();
        match pass {
            Pass::Ticket(ticket) => self.identity.redeem(ticket, caller.address, now),
            Pass::Headers | Pass::Bearer(_) => self.identity.authenticate(headers, caller, now),
        }
        .map(guest)
    }

    fn ticket(&self, guest: &Guest) -> Result<String, Problem> {
        self.identity.ticket(&principal(guest))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.identity.changes()
    }

    fn still(&self, guest: &Guest) -> Option<Role> {
        self.identity.recheck(&principal(guest), Utc::now()).ok().map(|principal| principal.role)
    }
}

fn guest(principal: Principal) -> Guest {
    let left = principal.until.map(|until| (until - Utc::now()).to_std().unwrap_or_default());
    let Principal { account, role, session, address, generation, .. } = principal;
    Guest { account, role, session, address, generation, left }
}

fn principal(guest: &Guest) -> Principal {
    let Guest { account, role, session, address, generation, .. } = guest.clone();
    // How long it is good is the hub's to watch.
    Principal { account, role, session, address, until: None, generation }
}

/// Carries out what clients of the hub want.
pub struct Desk {
    /// The notification centre.
    pub centre: Centre,
    /// What takes time.
    pub operations: Operations,
}

impl Commands for Desk {
    fn carry_out<'a>(&'a self, guest: &'a Guest, command: Command) -> BoxFuture<'a, Result<Vec<Value>, Problem>> {
        async move {
            let done = self.obey(&command).await;
            if let Some((action, target)) = deed(&command) {
                let outcome = if done.is_ok() { Outcome::Done } else { Outcome::Refused };
                self.centre.identity.audit(&principal(guest), action, target, outcome).await?;
            }
            done
        }
        .boxed()
    }
}

impl Desk {
    async fn obey(&self, command: &Command) -> Result<Vec<Value>, Problem> {
        let (ledger, now) = (&self.centre.ledger, Utc::now());
        match command {
            Command::Notifications { limit } => {
                let mut entries = ledger.read(|db| table::list(db, &Filter::default(), *limit))?;
                entries.reverse();
                let shown = entries.into_iter().map(|entry| Notification::of(entry, &self.centre.texts));
                return Ok(shown.filter_map(|entry| serde_json::to_value(entry).ok()).collect());
            }
            Command::MarkRead { id } => {
                let id = id.clone();
                let known = ledger.write(move |tx| table::read(tx, &id, now)).await?;
                known.ok_or_else(|| Problem::missing("notification_not_found", "there is no such notification"))?;
            }
            Command::Clear => drop(ledger.write(table::clear).await?),
            Command::Operation { id, action } => {
                let missing = || Problem::missing("operation_not_found", "there is no such operation");
                let id = Id::parse(id).ok_or_else(missing)?;
                match action {
                    Action::Pause => self.operations.pause(id).await?,
                    Action::Resume => self.operations.resume(id).await?,
                    Action::Cancel => self.operations.cancel(id).await?,
                };
            }
        }
        Ok(Vec::new())
    }
}

/// What stands in the audit log of a command, as a request would.
fn deed(command: &Command) -> Option<(&'static str, &str)> {
    match command {
        Command::Notifications { .. } => None,
        Command::MarkRead { id } => Some(("notification read", id)),
        Command::Clear => Some(("notifications clear", "")),
        Command::Operation { id, action: Action::Pause } => Some(("operation pause", id)),
        Command::Operation { id, action: Action::Resume } => Some(("operation resume", id)),
        Command::Operation { id, action: Action::Cancel } => Some(("operation cancel", id)),
    }
}
