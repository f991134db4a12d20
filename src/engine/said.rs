//! Brings together what was said around an event and the record that is made of it, whichever comes first. Pure.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use crate::ledger::store::Change;
use crate::vocab::{Around, Body, Record};

/// What the loop remembers of all sources until a record is made of it (folded records come a second later), and of records until it
/// hears of it.
const KEPT: usize = 128;

/// What was said around the latest recognised events of all sources, and the latest records of whose events that is not known yet.
#[derive(Debug, Default)]
pub struct Said {
    heard: VecDeque<Around>,
    waiting: VecDeque<Waiting>,
}

/// The event of a record.
#[derive(Debug)]
struct Waiting {
    incident: String,
    source: String,
    file: Option<String>,
    offset: u64,
    at: DateTime<Utc>,
}

impl Waiting {
    fn is_of(&self, around: &Around) -> bool {
        around.offset == self.offset && around.at == self.at && around.source == self.source && around.file == self.file
    }
}

impl Said {
    /// Takes in what a witness saw. Returns what is to be written: that of a record that waited for it, and what is known better than
    /// before.
    pub fn hear(&mut self, seen: Vec<Around>) -> Vec<Change> {
        let mut changes = Vec::new();
        for around in seen {
            if let Some(known) = self.heard.iter_mut().find(|known| known.same_place(&around)) {
                known.clone_from(&around);
                changes.push(Change::Around(Box::new(around)));
                continue;
            }
            if let Some(place) = self.waiting.iter().rposition(|waiting| waiting.is_of(&around))
                && let Some(waiting) = self.waiting.remove(place)
            {
                changes.push(Change::Context { incident: waiting.incident, around: Box::new(around.clone()) });
            }
            push(&mut self.heard, around);
        }
        changes
    }

    /// What was said around the event of this record; when that is not known, it waits for it.
    pub fn around(&mut self, record: &Record) -> Option<Change> {
        let Body::Error { source, file, offset, .. } = &record.body else { return None };
        let waiting = Waiting {
            incident: record.incident.to_string(),
            source: source.clone(),
            file: file.clone(),
            offset: *offset,
            at: record.at,
        };
        let Some(around) = self.heard.iter().rev().find(|known| waiting.is_of(known)) else {
            push(&mut self.waiting, waiting);
            return None;
        };
        Some(Change::Context { incident: waiting.incident, around: Box::new(around.clone()) })
    }
}

fn push<T>(kept: &mut VecDeque<T>, new: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(new);
}
