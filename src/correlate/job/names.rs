//! Knows which jobs may be meant by a name, a path, an identifier or an address, so that not every job is asked. Pure.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Job, base_name};
use crate::correlate::Facts;
use crate::vocab::Id;

/// What jobs are called, as hashes: who asks compares the words themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    called: BTreeSet<(u64, Id)>,
    of: HashMap<Id, Vec<u64>>,
}

impl Names {
    /// Takes in what this job is called now.
    pub(super) fn note(&mut self, job: &Job) {
        let facts = &job.facts;
        let names = words(facts, job.name.as_deref()).chain(facts.target.as_deref().map(last)).map(hash).collect();
        if self.of.get(&job.id) != Some(&names) {
            self.forget(job.id);
            self.called.extend(names.iter().map(|name| (*name, job.id)));
            self.of.insert(job.id, names);
        }
    }

    /// Forgets a job.
    pub(super) fn forget(&mut self, id: Id) {
        for name in self.of.remove(&id).unwrap_or_default() {
            self.called.remove(&(name, id));
        }
    }

    /// The jobs that may be meant, each once; every one that is meant is among them.
    pub(super) fn meant(&self, facts: &Facts, name: Option<&str>) -> BTreeSet<Id> {
        self.called(words(facts, name))
    }

    /// The same for the file at this path.
    pub(super) fn meant_by_path(&self, path: &str) -> BTreeSet<Id> {
        self.called(std::iter::once(last(path)))
    }

    fn called<'a>(&self, words: impl Iterator<Item = &'a str>) -> BTreeSet<Id> {
        let of = |name| self.called.range((name, Id::MIN)..=(name, Id::MAX)).map(|(_, id)| *id);
        words.map(hash).flat_map(of).collect()
    }
}

/// All by which something is called. Paths of one file, however they are written, end in the same name.
fn words<'a>(facts: &'a Facts, name: Option<&'a str>) -> impl Iterator<Item = &'a str> {
    let plain = [name, facts.file_id.as_deref(), facts.file_path.as_deref(), facts.url.as_deref()];
    plain.into_iter().flatten().chain(facts.path.as_deref().map(last))
}

fn last(path: &str) -> &str {
    base_name(path).unwrap_or(path)
}

fn hash(word: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::super::{Jobs, Origin};
    use super::*;
    use crate::classify::{Signal, SignalKind};
    use crate::correlate::{Grew, Growth};
    use crate::vocab::Rng;

    /// What a line may read out: few words, so that they meet.
    fn captures() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
        let word = prop::sample::select(vec![
            "a.mp4",
            "./a.mp4",
            "m/a.mp4",
            "/x/m/a.mp4",
            "/x/m/a.mp4/",
            "b",
            "/",
            "a.mp4.part",
            "u",
        ]);
        let key = prop::sample::select(vec!["path", "job", "name", "file_id", "file_path", "url", "target"]);
        prop::collection::btree_map(key.prop_map(str::to_owned), word.prop_map(str::to_owned), 0..4)
    }

    proptest! {
        #[test]
        fn b1_asking_by_names_finds_what_asking_every_job_finds(
            said in prop::collection::vec((captures(), 0..4_usize, any::<bool>()), 0..12),
            asked in captures(),
        ) {
            let (mut jobs, mut rng) = (Jobs::default(), Rng::new(1));
            let at = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
            for (number, (captures, means, grows)) in said.into_iter().enumerate() {
                let means = [SignalKind::Known, SignalKind::Started, SignalKind::Progress, SignalKind::Completed][means];
                let mut make_id = || Id::new(at, &mut rng);
                if grows {
                    let path = captures.get("path").cloned().unwrap_or_else(|| "/x/m/a.mp4".into());
                    let what = if number % 3 == 0 { Grew::Quiet } else { Grew::Grows };
                    let growth = Growth { root: "r".into(), path, bytes: Some(7), total: None, part: false, what };
                    let _ = jobs.grew(&growth, at, make_id);
                } else if number % 2 == 0 {
                    let _ = jobs.hear("bot", &Signal { rule: "a.b".into(), means, captures }, at, make_id);
                } else {
                    let facts = Facts { target: captures.get("target").cloned(), ..Facts::from_captures(&captures) };
                    let mut job = Job::new(make_id(), "bot", Origin::Log, at);
                    (job.name, job.facts) = (captures.get("name").cloned(), facts);
                    jobs.restore(job);
                }
            }
            let (facts, name) = (Facts::from_captures(&asked), asked.get("job").map(String::as_str));
            let got: Vec<Id> = jobs.matching("bot", &facts, name, at).map(|job| job.id).collect();
            let want: Vec<Id> =
                jobs.iter().filter(|job| job.is_meant("bot", &facts, name, at)).map(|job| job.id).collect();
            prop_assert_eq!(got, want);
            // Nothing of jobs that are gone is kept.
            prop_assert_eq!(jobs.names.of.len(), jobs.iter().count());
            prop_assert_eq!(jobs.names.called.len(), jobs.names.of.values().map(|of| of.iter().collect::<BTreeSet<_>>().len()).sum::<usize>());
        }
    }
}
