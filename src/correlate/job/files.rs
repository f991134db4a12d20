//! Follows a job by its file: grows, is quiet, is gone. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::{ACTIVE_FOR, Job, JobState, Jobs, Origin, Seen, base_name, same_path};
use crate::correlate::{Grew, Growth};
use crate::vocab::Id;

/// Bytes that come so soon after a job's end are its last ones, not a new attempt.
const LAST_BYTES: TimeDelta = TimeDelta::seconds(10);

/// What a look at a file told of its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The job is new.
    New(Id),
    /// Its state changed.
    Changed(Id),
    /// It went on.
    Moved(Id),
    /// Nothing new; how far it is was counted.
    Same(Id),
    /// Its file stands under its final name and nobody writes to it: it may be whole.
    Quiet(Id),
}

impl Told {
    /// Of which job.
    #[must_use]
    pub const fn id(self) -> Id {
        match self {
            Self::New(id) | Self::Changed(id) | Self::Moved(id) | Self::Same(id) | Self::Quiet(id) => id,
        }
    }
}

impl Jobs {
    /// Takes in what the watch over the roots saw, at `at` on our clock. Only a file that grows makes a new job.
    pub fn grew(&mut self, growth: &Growth, at: DateTime<Utc>, make_id: impl FnOnce() -> Id) -> Option<Told> {
        let found = self.of_file(&growth.path, at);
        let (id, new) = match (found, growth.what) {
            (Some(id), _) => (id, false),
            (None, Grew::Grows) => (self.put(Job::new(make_id(), &growth.root, Origin::File, at)), true),
            (None, Grew::Quiet | Grew::Gone) => return None,
        };
        let job = self.jobs.get_mut(&id)?;
        if job.facts.path.is_none() {
            job.facts.path = Some(growth.path.clone());
            self.names.note(job);
        }
        let before = job.state;
        let told = match growth.what {
            Grew::Grows => job.grows(growth, at),
            Grew::Quiet => {
                let active = job.state.is_active();
                job.take(&measured(growth), at);
                job.progress.rest();
                if active && !growth.part { Told::Quiet(id) } else { Told::Same(id) }
            }
            Grew::Gone => {
                if job.state.is_active() {
                    job.fail(at, Some("its file is gone before it was complete".to_owned()));
                }
                Told::Same(id)
            }
        };
        Some(match told {
            _ if new => Told::New(id),
            Told::Moved(_) | Told::Same(_) if job.state != before => Told::Changed(id),
            told => told,
        })
    }

    /// The job whose file this is: by path, else the one under way that is called so and has no path yet.
    fn of_file(&self, path: &str, at: DateTime<Utc>) -> Option<Id> {
        let base = base_name(path);
        let fits = |job: &&Job| {
            let recent = job.state.is_active() || at - job.updated_at <= ACTIVE_FOR;
            recent
                && (same_path(job.facts.wanted(), Some(path))
                    || (job.facts.path.is_none()
                        && job.state.is_active()
                        && base.is_some()
                        && job.name.as_deref() == base))
        };
        self.names
            .meant_by_path(path)
            .into_iter()
            .filter_map(|id| self.jobs.get(&id))
            .filter(fits)
            .max_by_key(|job| (job.state.is_active(), job.updated_at, job.id))
            .map(|job| job.id)
    }
}

impl Job {
    fn grows(&mut self, growth: &Growth, at: DateTime<Utc>) -> Told {
        if self.state.is_active() {
            if self.progress.began_anew(growth.bytes) {
                self.attempt = self.attempt.saturating_add(1);
                self.progress.restart();
            }
            self.under_way();
        } else if self.ended_at.is_some_and(|ended| (at - ended).abs() > LAST_BYTES) {
            self.under_way();
        } else {
            if self.state == JobState::Completed {
                self.progress.finish(growth.bytes.max(self.progress.bytes));
            }
            return Told::Same(self.id);
        }
        self.updated_at = self.updated_at.max(at);
        if self.take(&measured(growth), at) { Told::Moved(self.id) } else { Told::Same(self.id) }
    }
}

fn measured(growth: &Growth) -> Seen {
    Seen { bytes: growth.bytes, total: growth.total, measured: true, ..Seen::default() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::classify::{Signal, SignalKind};

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_795_000_000_000 + ms).unwrap()
    }

    fn id(n: i64) -> Id {
        Id::new(at(n), &mut crate::vocab::Rng::new(n.unsigned_abs()))
    }

    fn growth(path: &str, bytes: u64, part: bool, what: Grew) -> Growth {
        Growth { root: "models".into(), path: path.into(), bytes: Some(bytes), total: None, part, what }
    }

    fn says(means: SignalKind, captures: &[(&str, &str)]) -> Signal {
        let captures = captures.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Signal { rule: "a.b".into(), means, captures }
    }

    #[test]
    fn b1_a_file_that_appears_is_a_job_and_the_log_that_names_it_means_the_same_one() {
        let mut jobs = Jobs::default();
        let told = jobs.grew(&growth("/m/ana/a.mp4", 10, true, Grew::Grows), at(0), || id(1));
        assert_eq!(told, Some(Told::New(id(1))));
        let line = says(SignalKind::Started, &[("path", "ana/a.mp4"), ("size", "100")]);
        assert_eq!(jobs.hear("bot", &line, at(10), || id(2)), Some(id(1)));
        let told = jobs.grew(&growth("/m/ana/a.mp4", 50, true, Grew::Grows), at(2_000), || id(3));
        assert_eq!(told, Some(Told::Moved(id(1))));
        let job = jobs.get(id(1)).unwrap();
        assert_eq!((job.progress.percent, job.source.as_str(), job.state), (Some(50.0), "bot", JobState::Processing));
        // And the other way round: the log first, with a name only.
        let line = says(SignalKind::Known, &[("name", "b.mp4"), ("file_id", "BAAC")]);
        jobs.hear("bot", &line, at(3_000), || id(4));
        let told = jobs.grew(&growth("/m/b.mp4", 1, false, Grew::Grows), at(4_000), || id(5));
        assert_eq!(told, Some(Told::Changed(id(4))));
    }

    #[test]
    fn b1_a_log_that_is_read_late_finds_the_files_that_were_there_before_it() {
        let mut jobs = Jobs::default();
        // Two files were seen; then the log is read that tells of both, and of one more.
        for (n, path) in [(1, "/m/a.mp4"), (2, "/m/b.mp4")] {
            jobs.grew(&growth(path, 10, false, Grew::Grows), at(n), || id(n));
        }
        for (n, path) in [(3, "/m/a.mp4"), (4, "/m/b.mp4"), (5, "/m/c.mp4")] {
            let file_id = format!("BAAC{n}");
            jobs.hear("bot", &says(SignalKind::Known, &[("file_id", &file_id), ("size", "10")]), at(n), || id(n));
            let started = says(SignalKind::Started, &[("file_id", &file_id), ("path", path)]);
            assert_eq!(jobs.hear("bot", &started, at(n), || id(90)), Some(id(n)));
            if n < 5 {
                jobs.hear("bot", &says(SignalKind::Completed, &[("path", path)]), at(n), || id(91));
            }
        }
        assert_eq!(jobs.take_joined(), [(id(1), id(3)), (id(2), id(4))]);
        assert_eq!(jobs.iter().count(), 3);
        assert_eq!(jobs.only_active("bot", at(6)), Some(id(5)), "what a line without a name means can be told");
    }

    #[test]
    fn b2_the_last_bytes_after_the_end_are_no_new_attempt_but_later_ones_are() {
        let mut jobs = Jobs::default();
        jobs.grew(&growth("/m/a.mp4", 10, false, Grew::Grows), at(0), || id(1));
        jobs.hear("bot", &says(SignalKind::Completed, &[("path", "/m/a.mp4")]), at(1_000), || id(2));
        jobs.grew(&growth("/m/a.mp4", 20, false, Grew::Grows), at(2_000), || id(3));
        let job = jobs.get(id(1)).unwrap();
        assert_eq!((job.state, job.progress.bytes, job.attempt), (JobState::Completed, Some(20), 1));
        jobs.grew(&growth("/m/a.mp4", 5, false, Grew::Grows), at(60_000), || id(4));
        let job = jobs.get(id(1)).unwrap();
        assert_eq!((job.state, job.progress.bytes, job.attempt), (JobState::Processing, Some(5), 2));
        jobs.grew(&growth("/m/a.mp4", 0, false, Grew::Gone), at(62_000), || id(5));
        assert!(jobs.get(id(1)).unwrap().message.as_ref().unwrap().contains("gone"));
    }

    proptest! {
        #[test]
        fn b2_a_growing_file_is_never_called_complete_by_its_growth(
            steps in prop::collection::vec((0..30_000i64, 0..1_000u64, any::<bool>(), 0..3u8), 1..40)
        ) {
            let mut jobs = Jobs::default();
            let mut now = 0;
            for (wait, bytes, part, what) in steps {
                now += wait;
                let what = [Grew::Grows, Grew::Quiet, Grew::Gone][usize::from(what)];
                if let Some(told) = jobs.grew(&growth("/m/a.mp4", bytes, part, what), at(now), || id(now + 1)) {
                    let job = jobs.get(told.id()).unwrap();
                    prop_assert!(job.state != JobState::Completed);
                    prop_assert!(job.progress.percent.is_none_or(|percent| percent <= 100.0));
                }
            }
        }
    }
}
