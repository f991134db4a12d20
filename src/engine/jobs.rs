//! Follows downloads by their files, sees when one stands still, and saves how far they are, not too often. Pure.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Effect;
use super::flow::LOOK_LIMIT;
use super::state::{Owner, State};
use crate::correlate::{Growth, Job, JobState, Told};
use crate::decide::{Expect, Finding, Question, Task, TaskOutput, Work};
use crate::vocab::{Id, Notice, Severity, Story, clean_line, redact, shorten};

/// How far a job is goes to the ledger so often at most; in between it is only told.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// How much of a job's name a notice shows, in characters.
const SHOWN: usize = 120;

/// What is known of the moments of jobs, on our own clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    of: HashMap<Id, Clock>,
    /// How far these are was told and not yet saved.
    unsaved: BTreeSet<Id>,
    /// When the next job may have stood still for too long.
    pub(super) due: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    /// The bot said that it failed.
    failed: Option<Duration>,
    /// The movement that `moved` belongs to.
    moved_at: Option<DateTime<Utc>>,
    moved: Duration,
    /// When it was saved, in which state, and whether it stood still then.
    saved: Option<(Duration, JobState, bool)>,
}

impl Clocks {
    /// A job was saved.
    pub(super) fn saved(&mut self, job: &Job, now: Duration) {
        self.unsaved.remove(&job.id);
        self.of.entry(job.id).or_default().saved = Some((now, job.state, job.stalled_since.is_some()));
    }

    /// A job left memory.
    pub(super) fn forget(&mut self, id: Id) {
        self.of.remove(&id);
        self.unsaved.remove(&id);
    }

    /// The bot says that it failed.
    pub(super) fn failed(&mut self, id: Id, now: Duration) {
        self.of.entry(id).or_default().failed = Some(now);
    }

    /// When the bot said so; a start of ours begins to wait anew.
    pub(super) fn failed_at(&mut self, id: Id, now: Duration) -> Duration {
        *self.of.entry(id).or_default().failed.get_or_insert(now)
    }

    pub(super) fn wake_at(&mut self, at: Duration) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

impl State {
    /// Takes in what the watch over the roots saw.
    pub(super) fn grew(&mut self, seen: Vec<Growth>, out: &mut Vec<Effect>) {
        for growth in seen {
            let (wall, rng) = (self.now.wall, &mut self.rng);
            let Some(told) = self.jobs.grew(&growth, wall, || Id::new(wall, rng)) else { continue };
            self.note_job(told.id(), out);
            if let Told::Quiet(id) = told {
                self.look_at_job(id, out);
            }
        }
    }

    /// Saves a job that changed, or only tells how far it is when that was saved just now.
    pub(super) fn note_job(&mut self, id: Id, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get(id) else { return };
        let now = self.now.mono;
        let clock = self.clocks.of.entry(id).or_default();
        if job.progress.moved_at.is_some() && clock.moved_at != job.progress.moved_at {
            (clock.moved_at, clock.moved) = (job.progress.moved_at, now);
            let limit = self.policy.stall.after(job.progress.total, job.progress.bytes);
            self.clocks.wake_at(now + limit);
        }
        let as_it_is = (job.state, job.stalled_since.is_some());
        let fresh = |(at, state, still): (Duration, JobState, bool)| {
            (state, still) == as_it_is && now.saturating_sub(at) < SAVE_EVERY
        };
        if self.clocks.of.get(&id).and_then(|clock| clock.saved).is_some_and(fresh) {
            self.clocks.unsaved.insert(id);
            out.push(Effect::Progress(Box::new(job.clone())));
        } else {
            self.dirty.jobs.insert(id);
        }
    }

    /// What was told of jobs and not saved must be saved now.
    pub(super) fn save_jobs(&mut self) {
        let unsaved = std::mem::take(&mut self.clocks.unsaved);
        self.dirty.jobs.extend(unsaved);
    }

    /// Begins to measure anew after a start: nobody knows what happened meanwhile.
    pub(super) fn resume_jobs(&mut self) {
        let now = self.now.mono;
        if self.jobs.iter().any(|job| job.unexplained) {
            self.clocks.wake_at(now);
        }
        for job in self.jobs.iter().filter(|job| job.state == JobState::Processing) {
            let clock = Clock { moved_at: job.progress.moved_at, moved: now, ..Clock::default() };
            self.clocks.of.insert(job.id, clock);
            if clock.moved_at.is_some() && job.stalled_since.is_none() {
                self.clocks.wake_at(now + self.policy.stall.after(job.progress.total, job.progress.bytes));
            }
        }
    }

    /// Flags the downloads that stand still, and tells of those that failed without a word why. Nothing is repaired for that: who loads it may be waiting with reason.
    pub(super) fn find_stalls(&mut self, out: &mut Vec<Effect>) {
        let now = self.now.mono;
        self.clocks.due = None;
        self.tell_unexplained(out);
        let mut over = Vec::new();
        for job in self.jobs.iter() {
            let watched = job.state == JobState::Processing && job.stalled_since.is_none();
            let Some(clock) = self.clocks.of.get(&job.id).filter(|clock| watched && clock.moved_at.is_some()) else {
                continue;
            };
            let due = clock.moved + self.policy.stall.after(job.progress.total, job.progress.bytes);
            if due <= now {
                over.push((job.id, now.saturating_sub(clock.moved)));
            } else {
                self.clocks.wake_at(due);
            }
        }
        for (id, still) in over {
            self.stalled(id, still, out);
        }
    }

    fn stalled(&mut self, id: Id, still: Duration, out: &mut Vec<Effect>) {
        let at_work = self.cases.values().any(|case| case.incident.job == Some(id) && !case.ended());
        let wall = self.now.wall;
        let Some(job) = self.jobs.get_mut(id) else { return };
        self.dirty.jobs.insert(id);
        if job.unsure {
            let message = format!("nobody wrote to it for {} s; whether it is whole cannot be told", still.as_secs());
            return job.complete(wall, Some(message));
        }
        job.stalled_since = Some(wall - TimeDelta::from_std(still).unwrap_or_default());
        job.progress.rest();
        if at_work {
            return;
        }
        job.stalls = job.stalls.saturating_add(1);
        let detail = format!("a download stands still: {}; no byte came for {} s", describe(job), still.as_secs());
        out.push(Effect::Notify(Box::new(Notice {
            key: format!("job:{id}"),
            revision: u64::from(job.stalls),
            severity: Severity::Warning,
            story: Story::Agent {
                what: None,
                detail,
                remedy: Some(format!("look whether the bot still works; `logmedic jobs {id}` shows the download")),
            },
            at: wall,
        })));
    }

    /// Asks whether the file of a job is whole.
    fn look_at_job(&mut self, id: Id, out: &mut Vec<Effect>) {
        let asked = self.tasks.values().any(|owner| *owner == Owner::Job(id));
        let Some(path) = self.jobs.get(id).filter(|_| !asked).and_then(|job| job.facts.wanted()) else { return };
        let path = path.to_owned();
        let expect = Expect { size: self.jobs.get(id).and_then(|job| job.facts.size), ..Expect::default() };
        let task = self.new_id();
        self.tasks.insert(task, Owner::Job(id));
        let work = Work::Look(Question::Download { path, expect });
        out.push(Effect::Start(Box::new(Task { id: task, incident: id, work, limit: LOOK_LIMIT, resumed: false })));
    }

    /// Takes in what the file of a job is like. Only a whole one that nobody writes to is completed.
    pub(super) fn job_looked(&mut self, id: Id, output: TaskOutput) {
        let wall = self.now.wall;
        let TaskOutput::Seen(answer) = output else { return };
        // Something was written, or it ended, while it was looked at: that answer is old.
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.state.is_active()) else { return };
        self.dirty.jobs.insert(id);
        let detail = shorten(&redact(&answer.detail), 2 * SHOWN).into_owned();
        match answer.finding {
            Finding::Sound => job.complete(wall, Some(detail)),
            // It stood still for long enough already.
            Finding::Unknown if job.stalled_since.is_some() => {
                job.complete(wall, Some(format!("{detail}; whether it is whole cannot be told")));
            }
            Finding::Unknown => (job.unsure, job.message) = (true, Some(detail)),
            Finding::Fault | Finding::Refused { .. } => job.message = Some(detail),
        }
    }
}

/// A job for people: its name and how far it is.
pub(super) fn describe(job: &Job) -> String {
    let name = job.facts.wanted().or(job.name.as_deref()).unwrap_or("a download without a name");
    let name = redact(name);
    let name = clean_line(&name);
    let far = match (job.progress.percent, job.progress.bytes) {
        (Some(percent), _) => format!(" at {percent} %"),
        (None, Some(bytes)) => format!(" after {bytes} bytes"),
        (None, None) => String::new(),
    };
    format!("{}{far}", shorten(&name, SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::Grew;
    use crate::decide::{Answer, Policy};
    use crate::engine::Input;
    use crate::vocab::{Evidence, Now};

    struct Rig {
        state: State,
        now: Now,
    }

    impl Rig {
        fn new() -> Self {
            let now = Now { mono: Duration::ZERO, wall: DateTime::from_timestamp(1_795_000_000, 0).unwrap() };
            Self { state: State::new(Policy::default(), 1, now), now }
        }

        fn after(&mut self, ms: u64, input: Input) -> Vec<Effect> {
            self.now.mono += Duration::from_millis(ms);
            self.now.wall += TimeDelta::milliseconds(ms.cast_signed());
            self.state.step(input, self.now)
        }

        fn grew(&mut self, ms: u64, bytes: u64, what: Grew) -> Vec<Effect> {
            let (root, path) = ("models".to_owned(), "/m/a.mp4".to_owned());
            let growth = Growth { root, path, bytes: Some(bytes), total: None, part: false, what };
            self.after(ms, Input::Grew(vec![growth]))
        }

        fn job(&self) -> &Job {
            self.state.jobs().iter().next().unwrap()
        }
    }

    fn saves(effects: &[Effect]) -> usize {
        effects.iter().filter(|effect| matches!(effect, Effect::Save(_))).count()
    }

    #[test]
    fn b2_progress_is_told_at_once_and_saved_every_five_seconds() {
        let mut rig = Rig::new();
        assert_eq!(saves(&rig.grew(0, 1, Grew::Grows)), 1, "a new job is saved");
        let told = rig.grew(2_000, 2, Grew::Grows);
        assert!(saves(&told) == 0 && matches!(&told[..], [Effect::Progress(_)]), "{told:?}");
        assert_eq!(saves(&rig.grew(2_000, 3, Grew::Grows)), 0);
        assert_eq!(saves(&rig.grew(2_000, 4, Grew::Grows)), 1);
        rig.grew(1_000, 5, Grew::Grows);
        assert_eq!(saves(&rig.state.last_words(rig.now)), 1, "what was only told is saved at the end");
    }

    #[test]
    fn b2_a_download_that_stands_still_is_flagged_and_told_once_and_never_repaired() {
        let mut rig = Rig::new();
        rig.grew(0, 1, Grew::Grows);
        rig.grew(2_000, 1_000_000, Grew::Grows);
        let due = rig.state.deadline().unwrap();
        assert_eq!(due, Duration::from_secs(60), "small ones: a minute after the first byte");
        assert!(rig.after(58_000, Input::Deadline).is_empty());
        let due = rig.state.deadline().unwrap();
        assert_eq!(due, Duration::from_secs(62), "and a minute after the last");
        let effects = rig.after(2_000, Input::Deadline);
        let told = effects.iter().filter(|effect| matches!(effect, Effect::Notify(_))).count();
        assert_eq!((told, effects.iter().any(|effect| matches!(effect, Effect::Start(_)))), (1, false));
        assert_eq!(rig.job().stalled_since.unwrap(), rig.now.wall - TimeDelta::seconds(60));
        assert_eq!((rig.job().state, rig.state.deadline()), (JobState::Processing, None));
        rig.grew(1_000, 2_000_000, Grew::Grows);
        assert_eq!(rig.job().stalled_since, None, "it goes on");
    }

    #[test]
    fn b2_a_quiet_file_is_complete_only_when_it_proves_whole() {
        for (finding, state) in [(Finding::Sound, JobState::Completed), (Finding::Fault, JobState::Processing)] {
            let mut rig = Rig::new();
            rig.grew(0, 1_000, Grew::Grows);
            let asked = rig.grew(10_000, 1_000, Grew::Quiet);
            let task =
                asked.iter().find_map(|e| if let Effect::Start(task) = e { Some(task.id) } else { None }).unwrap();
            assert_eq!(rig.job().state, JobState::Processing, "not before the answer");
            let answer = Answer { finding, detail: "looked".into(), evidence: Evidence::new() };
            rig.after(10, Input::Finished { task, output: TaskOutput::Seen(answer) });
            assert_eq!(rig.job().state, state);
        }
    }
}
