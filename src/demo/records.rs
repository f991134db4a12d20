//! Reads the agent's records file from outside, as any script would.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::vocab::{Body, Class, Id, OutcomeResult, Phase, Record, Strategy};

/// The most records remembered; the oldest go (a show that runs all night).
const MAX_RECORDS: usize = 20_000;
/// Bytes read at a time.
const MAX_READ: u64 = 4 << 20;

/// Follows one records file.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    offset: u64,
    partial: Vec<u8>,
    all: VecDeque<Record>,
    bad: u64,
}

impl Records {
    /// Follows `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.into(), offset: 0, partial: Vec::new(), all: VecDeque::new(), bad: 0 }
    }

    /// Reads what is new.
    ///
    /// # Errors
    ///
    /// What the disk says; a missing file is no error.
    pub fn poll(&mut self) -> io::Result<()> {
        let mut file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file.take(MAX_READ).read_to_end(&mut self.partial)?;
        self.offset += read as u64;
        let Some(end) = self.partial.iter().rposition(|&b| b == b'\n') else { return Ok(()) };
        let rest = self.partial.split_off(end + 1);
        for line in self.partial.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(record) => self.all.push_back(record),
                Err(_) => self.bad += 1,
            }
        }
        self.partial = rest;
        let excess = self.all.len().saturating_sub(MAX_RECORDS);
        self.all.drain(..excess);
        Ok(())
    }

    /// The `seq` of the last record; 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.all.back().map_or(0, |r| r.seq)
    }

    /// Lines that were no record.
    #[must_use]
    pub fn bad(&self) -> u64 {
        self.bad
    }

    /// The records after `seq`, oldest first.
    pub fn after(&self, seq: u64) -> impl Iterator<Item = &Record> {
        self.all.iter().filter(move |r| r.seq > seq)
    }

    /// The first error of a class after `seq`.
    #[must_use]
    pub fn first_error(&self, after: u64, class: Class) -> Option<&Record> {
        self.after(after).find(|r| r.class == class && matches!(r.body, Body::Error { .. }))
    }

    /// How an incident ended, where it did.
    #[must_use]
    pub fn outcome(&self, incident: Id) -> Option<(OutcomeResult, &Record)> {
        self.all.iter().rev().filter(|r| r.incident == incident).find_map(|r| match &r.body {
            Body::Outcome { result, .. } => Some((*result, r)),
            _ => None,
        })
    }

    /// Incidents with a record after `seq`, in order of appearance.
    #[must_use]
    pub fn incidents(&self, after: u64) -> Vec<Id> {
        let mut found: Vec<Id> = Vec::new();
        for record in self.after(after) {
            if !found.contains(&record.incident) {
                found.push(record.incident);
            }
        }
        found
    }

    /// Finished actions after `seq`, with whether they worked.
    #[must_use]
    pub fn actions(&self, after: u64) -> Vec<(Strategy, bool)> {
        let finished = self.after(after).filter_map(|r| match &r.body {
            Body::Action { phase: Phase::Finished, strategy, ok, .. } => Some((*strategy, *ok == Some(true))),
            _ => None,
        });
        finished.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_torn_line_waits_for_its_rest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        let mut records = Records::new(&path);
        records.poll().unwrap();
        let line = r#"{"schema":"logmedic.record/v1","id":"01JD8Z0000000000000000000A","seq":7,"kind":"outcome","at":"2026-11-22T01:02:03.456Z","observed_at":"2026-11-22T01:02:03.456Z","incident":"01JD8Z0000000000000000000B","class":"timeout","subject":{"kind":"file","value":"a.mp4"},"result":"healed","detail":"d","evidence":{"after":{"size":1}},"duration_ms":12}"#;
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&line.as_bytes()[..100]).unwrap();
        records.poll().unwrap();
        assert_eq!(records.last(), 0);
        file.write_all(&line.as_bytes()[100..]).unwrap();
        file.write_all(b"\nnot json\n").unwrap();
        records.poll().unwrap();
        assert_eq!((records.last(), records.bad()), (7, 1));
        let incident = records.incidents(0)[0];
        assert_eq!(records.outcome(incident).unwrap().0, OutcomeResult::Healed);
    }
}
