//! Says what the thing that an event speaks of is like now, as its resource shows it. I/O: the ledger.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::hub::Render;
use super::notifications::{Centre, Notification};
use super::{incidents, jobs};
use crate::ledger::events::Event;
use crate::ledger::{notifications as table, store};
use crate::operate::Operations;
use crate::vocab::Id;

/// How the hub gets what it tells.
#[must_use]
pub fn render(centre: Centre, operations: Operations) -> Render {
    Arc::new(move |event: &Event| {
        let ledger = &centre.ledger;
        let row = |kind| ledger.read(|db| store::row(db, kind, &event.key)).ok().flatten();
        match event.topic.as_str() {
            "incident" => value(&incidents::shown(&serde_json::from_str(&row("incident")?).ok()?)),
            "job" => value(&jobs::shown(&serde_json::from_str(&row("job")?).ok()?)),
            "operation" => value(&operations.get(Id::parse(&event.key)?).ok()??),
            "notification" => {
                let entry = ledger.read(|db| table::get(db, &event.key)).ok()??;
                value(&Notification::of(entry, &centre.texts))
            }
            _ => None,
        }
    })
}

fn value(thing: &impl Serialize) -> Option<Value> {
    serde_json::to_value(thing).ok()
}
