//! Tells from one look to the next which files grow, are quiet, or are gone. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::correlate::{Grew, Growth};

/// Files that are followed at once; the ones that stood still longest leave first.
const FILES_MAX: usize = 2_000;

/// Nobody wrote to a file for so long: it may be complete.
const QUIET: Duration = Duration::from_secs(6);

/// A file that nobody writes to is followed for so long; the next write is found by the slow round.
const FORGET: Duration = Duration::from_secs(600);

/// How often a file must be missed before it is gone: a rename is never seen halfway, but two directories may be.
const MISSED: u32 = 2;

/// A file as one look shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// What changes when somebody writes: length, room on the disk, date of the last change in nanoseconds.
    pub mark: (u64, u64, i128),
    /// Bytes that are really there, as far as can be told.
    pub bytes: Option<u64>,
    /// Bytes in all, as far as a control file says so.
    pub total: Option<u64>,
    /// It has a temporary name or a control file.
    pub part: bool,
}

/// A file that is followed.
#[derive(Clone, Debug)]
struct Followed {
    look: Look,
    changed: Duration,
    missed: u32,
    /// It was seen to grow: only then its absence means something.
    told: bool,
    quiet: bool,
}

/// The files that are followed, by a key that its owner chose.
#[derive(Debug)]
pub struct Tracker<K> {
    files: BTreeMap<K, Followed>,
}

impl<K: Ord + Clone> Default for Tracker<K> {
    fn default() -> Self {
        Self { files: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Tracker<K> {
    /// The files that are followed.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.files.keys()
    }

    /// Whether this one is followed.
    pub fn follows(&self, key: &K) -> bool {
        self.files.contains_key(key)
    }

    /// Takes in a look at a file (`None`: it is not there) at `now`. `new`: it did not exist before the last look, so all
    /// of it is growth; an old one that is met for the first time is only remembered.
    pub fn see(&mut self, key: &K, look: Option<Look>, new: bool, now: Duration) -> Option<Grew> {
        let Some(look) = look else {
            let file = self.files.get_mut(key)?;
            file.missed += 1;
            if file.missed < MISSED {
                return None;
            }
            return self.files.remove(key).and_then(|file| file.told.then_some(Grew::Gone));
        };
        let Some(file) = self.files.get_mut(key) else {
            self.make_room();
            self.files.insert(key.clone(), Followed { look, changed: now, missed: 0, told: new, quiet: false });
            return new.then_some(Grew::Grows);
        };
        file.missed = 0;
        if file.look.mark != look.mark || file.look.bytes != look.bytes {
            (file.look, file.changed, file.told, file.quiet) = (look, now, true, false);
            return Some(Grew::Grows);
        }
        // The rename to the final name writes no byte, but lifts what was said of it.
        let renamed = std::mem::replace(&mut file.look, look).part && !look.part;
        if renamed {
            file.quiet = false;
        }
        let still = now.saturating_sub(file.changed);
        if still >= QUIET && !file.quiet {
            file.quiet = true;
            return Some(Grew::Quiet);
        }
        if still >= FORGET && file.quiet && !look.part {
            self.files.remove(key);
            return None;
        }
        // While it may go on, a look that saw nothing new lets the rate sink.
        (file.told && !file.quiet).then_some(Grew::Grows)
    }

    fn make_room(&mut self) {
        if self.files.len() < FILES_MAX {
            return;
        }
        let oldest = self.files.iter().min_by_key(|(_, file)| file.changed).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.files.remove(&key);
        }
    }
}

/// What is told of a file.
#[must_use]
pub fn growth(root: &str, path: String, look: Look, what: Grew) -> Growth {
    Growth { root: root.to_owned(), path, bytes: look.bytes, total: look.total, part: look.part, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(bytes: u64, part: bool) -> Option<Look> {
        Some(Look { mark: (bytes, bytes, 0), bytes: Some(bytes), total: None, part })
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn b2_a_file_appears_grows_is_renamed_and_is_quiet_only_then() {
        let mut files = Tracker::default();
        assert_eq!(files.see(&1, look(0, true), true, s(0)), Some(Grew::Grows));
        assert_eq!(files.see(&1, look(10, true), false, s(2)), Some(Grew::Grows));
        assert_eq!(files.see(&1, look(10, true), false, s(4)), Some(Grew::Grows));
        assert_eq!(files.see(&1, look(10, true), false, s(8)), Some(Grew::Quiet));
        assert_eq!(files.see(&1, look(10, true), false, s(10)), None);
        assert_eq!(files.see(&1, look(10, false), false, s(12)), Some(Grew::Quiet), "the rename says it anew");
        assert_eq!(files.see(&1, look(10, false), false, s(14)), None);
        assert_eq!(files.see(&1, look(10, false), false, s(700)), None);
        assert!(!files.follows(&1), "and in the end it is let go");
    }

    #[test]
    fn b2_a_file_that_was_there_before_is_told_of_when_it_grows_and_missed_when_it_goes() {
        let mut files = Tracker::default();
        assert_eq!(files.see(&1, look(10, false), false, s(0)), None);
        assert_eq!(files.see(&1, None, false, s(2)), None);
        assert_eq!(files.see(&1, None, false, s(4)), None, "nobody saw it grow");
        files.see(&2, look(10, false), false, s(0));
        assert_eq!(files.see(&2, look(11, false), false, s(2)), Some(Grew::Grows));
        assert_eq!(files.see(&2, None, false, s(4)), None);
        assert_eq!(files.see(&2, None, false, s(6)), Some(Grew::Gone));
    }

    #[test]
    fn h4_no_more_than_so_many_files_are_followed() {
        let mut files = Tracker::default();
        for n in 0..3 * FILES_MAX as u64 {
            files.see(&n, look(1, false), true, s(n));
        }
        assert_eq!(files.keys().count(), FILES_MAX);
        assert!(files.follows(&(3 * FILES_MAX as u64 - 1)));
    }
}
