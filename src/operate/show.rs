//! Shows operations: as they are this moment, else as they are stored. I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::broadcast;

use super::manager::Operations;
use super::operation::{Kind, Operation};
use super::state::State;
use crate::ledger;
use crate::ledger::operations::{self as rows, Filter};
use crate::vocab::Id;

impl Operations {
    /// One of them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn get(&self, id: Id) -> Result<Option<Operation>, ledger::Error> {
        if let Some(known) = self.current(id) {
            return Ok(Some(known));
        }
        let json = self.inner.ledger.read(|db| rows::get(db, &id.to_string()))?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// As it is this moment: one that is not over, or that is not written yet.
    fn current(&self, id: Id) -> Option<Operation> {
        let core = self.core();
        let unwritten = || core.journal.iter().rev().find(|one| one.id == id).cloned();
        core.open.get(&id).map(|entry| entry.operation.clone()).or_else(unwritten)
    }

    /// The newest first, with the place of each in the list; those before the place `before` only.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list(
        &self,
        state: Option<State>,
        kind: Option<Kind>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<(i64, Operation)>, ledger::Error> {
        let filter = Filter { state: state.map(State::as_str), kind: kind.map(Kind::as_str) };
        let stored = self.inner.ledger.read(|db| rows::list(db, filter, before, limit))?;
        let read = |(place, json): (i64, String)| Some((place, serde_json::from_str::<Operation>(&json).ok()?));
        // How far they are is newer here than in the database.
        let fresh = |(place, stored): (i64, Operation)| {
            let now = self.current(stored.id).filter(|now| now.state == stored.state);
            (place, now.unwrap_or(stored))
        };
        Ok(stored.into_iter().filter_map(read).map(fresh).collect())
    }

    /// All that are not over, in the order in which they came.
    #[must_use]
    pub fn active(&self) -> Vec<Operation> {
        let mut all: Vec<Operation> = self.core().open.values().map(|entry| entry.operation.clone()).collect();
        all.sort_by_key(|operation| (operation.created_at, operation.id));
        all
    }

    /// How many are in each state: those that are over as far as they are remembered.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn count(&self) -> Result<BTreeMap<&'static str, u64>, ledger::Error> {
        let stored = self.inner.ledger.read(rows::count)?;
        let mut all: BTreeMap<&'static str, u64> = State::ALL.iter().map(|state| (state.as_str(), 0)).collect();
        for (state, count) in stored {
            if let Some(known) = all.get_mut(state.as_str()) {
                *known = count;
            }
        }
        Ok(all)
    }

    /// Operations that moved, as they move: at most every half second each. Not stored; who is slow misses the oldest.
    #[must_use]
    pub fn progress(&self) -> broadcast::Receiver<Arc<Operation>> {
        self.inner.progress.subscribe()
    }
}
