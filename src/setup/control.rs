//! Has done what admins press in Telegram: an order to the engine, and an entry in the audit log. I/O.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use futures_util::FutureExt as _;

use crate::engine::order::{Order, OrderError};
use crate::engine::run::Orders;
use crate::ledger::Ledger;
use crate::ledger::audit::{self, Outcome};
use crate::outbox::{Deed, Obey, Press, Refusal};

/// How long a press silences.
const SILENCE: TimeDelta = TimeDelta::hours(1);

/// What the audit log has for an address.
const FROM: &str = "telegram";

/// Has presses done.
#[must_use]
pub fn obey(orders: Orders, ledger: Ledger) -> Obey {
    Arc::new(move |press, by| {
        let (orders, ledger) = (orders.clone(), ledger.clone());
        async move {
            let done = orders.give(order(press, &by)).await;
            let outcome = if done.is_ok() { Outcome::Done } else { Outcome::Refused };
            let written = ledger
                .write(move |tx| {
                    let what = format!("incident {}", press.deed.as_str());
                    audit::add(tx, Utc::now(), &by, FROM, (&what, &press.incident.to_string(), outcome))
                })
                .await;
            if let Err(error) = written {
                tracing::error!("{error}; the audit log lacks what was pressed in Telegram");
            }
            done.map(drop).map_err(|error| match error {
                OrderError::Changed => Refusal::Changed,
                OrderError::Missing(_) => Refusal::Gone,
                OrderError::Conflict(why) => Refusal::Not(why),
                OrderError::Stopped => Refusal::Stopped,
            })
        }
        .boxed()
    })
}

fn order(press: Press, by: &str) -> Order {
    let (incident, by) = (press.incident, by.to_owned());
    let order = match press.deed {
        Deed::Approve => Order::Approve { incident, by },
        Deed::Reject => Order::Reject { incident, by },
        Deed::Retry => Order::Retry { incident, by },
        Deed::Acknowledge => Order::Acknowledge { incident, by },
        Deed::Silence => Order::Silence { incident, by, reason: FROM.to_owned(), until: Utc::now() + SILENCE },
    };
    Order::Seen { revision: press.revision, order: Box::new(order) }
}
