//! What waits for one client: bounded, updates folded to the newest, a gap remembered when it is too much. Pure.

use std::collections::VecDeque;

use super::frame::{Frame, Kind, leave_out_superseded};
use super::recover::Gap;

/// Frames that may wait for one client. Frames are shared: a client that is slow keeps eight bytes of each for itself.
pub const WAITING_MAX: usize = 1_024;

/// From so many waiting frames on, updates are folded.
const FOLD_FROM: usize = 64;

/// What waits for one client.
#[derive(Debug)]
pub struct Queue {
    frames: VecDeque<Frame>,
    gap: Option<Gap>,
    /// Whether a welcome waits, which goes out before the gap.
    welcome: bool,
    /// When to fold next: folding costs as much as there is, so it is done when twice as much is there.
    fold_at: usize,
    /// Up to which number the client knows everything, once it took what it was given.
    known: u64,
    /// The last lasting frame that the client took.
    sent: u64,
}

/// What the client gets next.
#[derive(Debug, Default)]
pub struct Next {
    /// First, that it missed something.
    pub gap: Option<Gap>,
    /// Then these.
    pub frames: Vec<Frame>,
}

impl Queue {
    /// Nothing waits; the client knows everything up to `told`.
    #[must_use]
    pub fn new(told: u64) -> Self {
        Self { frames: VecDeque::new(), gap: None, welcome: false, fold_at: FOLD_FROM, known: told, sent: 0 }
    }

    /// Adds a frame. Returns how many were given up for it.
    pub fn push(&mut self, frame: Frame) -> usize {
        if self.frames.len() >= self.fold_at {
            leave_out_superseded(&mut self.frames);
            self.fold_at = (2 * self.frames.len()).clamp(FOLD_FROM, WAITING_MAX);
        }
        let mut lost = 0;
        if self.frames.len() >= WAITING_MAX {
            // What passes (lines of a log) goes first.
            let before = self.frames.len();
            self.frames.retain(|frame| frame.lasting || frame.kind.is_answer());
            lost = before - self.frames.len();
            // From and to are the same: nothing that lasts is missing.
            self.gap.get_or_insert(Gap { from: self.known, to: self.known, reason: "slow" });
            if self.frames.len() >= WAITING_MAX / 2 {
                let last = self.frames.back().map_or(self.known, |frame| frame.seq);
                self.miss(last, "slow");
                lost = before - self.frames.len();
            }
        }
        self.welcome |= frame.kind == Kind::Welcome;
        self.frames.push_back(frame);
        lost
    }

    /// Gives up what waits; the client is told that it has to load everything up to this number.
    pub fn miss(&mut self, to: u64, reason: &'static str) {
        let from = self.gap.map_or(self.known, |gap| gap.from);
        self.gap(Gap { from, to, reason });
    }

    /// Begins anew with what the client missed. Answers that wait come behind it: their number is a newer one, and a client
    /// that saw it and then lost its connection would not ask for what it missed.
    pub fn restart(&mut self, since: u64, missed: impl Iterator<Item = Frame>) {
        let answers = self.give_up();
        let (welcome, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|frame| frame.kind == Kind::Welcome);
        self.known = since;
        self.frames.extend(welcome);
        self.frames.extend(missed);
        leave_out_superseded(&mut self.frames);
        self.frames.extend(others);
    }

    /// Begins anew with a gap.
    pub fn gap(&mut self, gap: Gap) {
        let answers = self.give_up();
        self.frames.extend(answers);
        self.gap = Some(gap);
    }

    /// Forgets what waits, without a word.
    pub fn clear(&mut self) {
        self.frames = VecDeque::new();
        self.gap = None;
        self.fold_at = FOLD_FROM;
    }

    /// Gives up all but the answers, which are few, because questions are.
    fn give_up(&mut self) -> Vec<Frame> {
        let answers = self.frames.iter().filter(|frame| frame.kind.is_answer()).cloned().collect();
        self.clear();
        answers
    }

    /// Takes what goes out next, at most `limit` frames.
    pub fn take(&mut self, limit: usize) -> Next {
        let mut limit = limit.min(self.frames.len());
        let gap = if self.welcome && self.gap.is_some() {
            limit = limit.min(1);
            None
        } else {
            self.gap.take()
        };
        self.welcome = false;
        let frames: Vec<Frame> = self.frames.drain(..limit).collect();
        if let Some(gap) = gap {
            self.known = self.known.max(gap.to);
        }
        if let Some(last) = frames.last() {
            self.known = self.known.max(last.seq);
        }
        if let Some(last) = frames.iter().rev().find(|frame| frame.lasting) {
            self.sent = last.seq;
        }
        if self.frames.is_empty() {
            // A bad moment long ago is no reason to hold memory for ever.
            if self.frames.capacity() > FOLD_FROM {
                self.frames = VecDeque::new();
            }
            self.fold_at = FOLD_FROM;
        }
        Next { gap, frames }
    }

    /// How many frames wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// The number of the last lasting frame that the client took, 0 for none.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::told;
    use super::*;

    #[test]
    fn d5_progress_of_a_slow_client_is_folded_to_the_latest() {
        let mut queue = Queue::new(0);
        for seq in 1..=100_000 {
            assert_eq!(queue.push(told(seq, Kind::OperationProgress, &format!("op{}", seq % 3))), 0);
            assert!(queue.len() <= FOLD_FROM + 3);
        }
        let next = queue.take(WAITING_MAX);
        assert_eq!(next.gap, None);
        let seqs: Vec<u64> = next.frames.iter().map(|frame| frame.seq).collect();
        assert!(seqs.is_sorted() && seqs.ends_with(&[99_998, 99_999, 100_000]));
    }

    #[test]
    fn d5_changes_of_state_are_never_given_up_without_a_gap() {
        let mut queue = Queue::new(5);
        let lost: usize = (6..6 + 1_500).map(|seq| queue.push(told(seq, Kind::JobCompleted, &seq.to_string()))).sum();
        let next = queue.take(usize::MAX);
        assert_eq!(lost, WAITING_MAX);
        assert_eq!(next.gap, Some(Gap { from: 5, to: 5 + WAITING_MAX as u64, reason: "slow" }));
        assert_eq!(next.frames[0].seq, 6 + WAITING_MAX as u64);
        assert_eq!(next.frames.len() + lost, 1_500);
    }

    #[test]
    fn d5_lines_of_a_log_are_given_up_before_changes_of_state() {
        let mut queue = Queue::new(0);
        queue.push(told(1, Kind::JobCompleted, "a"));
        for _ in 0..5_000 {
            let _ = queue.push(told(1, Kind::Log, "bot"));
        }
        let next = queue.take(usize::MAX);
        assert_eq!((next.frames[0].seq, next.frames[0].kind), (1, Kind::JobCompleted));
        assert_eq!(next.gap, Some(Gap { from: 0, to: 0, reason: "slow" }), "told, but nothing to load");
    }

    #[test]
    fn d7_answers_are_never_given_up_and_stand_behind_what_was_missed() {
        let mut queue = Queue::new(0);
        let kinds = |next: &Next| next.frames.iter().map(|frame| frame.kind).collect::<Vec<_>>();
        queue.push(told(0, Kind::Welcome, ""));
        queue.push(told(1, Kind::JobCompleted, "a"));
        queue.push(told(1, Kind::Ok, ""));
        queue.miss(7, "pruned");
        queue.push(told(8, Kind::JobCompleted, "b"));
        let next = queue.take(10);
        assert_eq!((next.gap, kinds(&next)), (None, vec![Kind::Welcome]));
        let next = queue.take(10);
        assert_eq!(next.gap, Some(Gap { from: 0, to: 7, reason: "pruned" }));
        assert_eq!(kinds(&next), [Kind::Ok, Kind::JobCompleted]);
        queue.push(told(9, Kind::Pong, ""));
        queue.restart(8, [told(9, Kind::JobFailed, "b")].into_iter());
        assert_eq!(kinds(&queue.take(10)), [Kind::JobFailed, Kind::Pong]);
    }

    #[test]
    fn a_second_overflow_widens_the_gap() {
        let mut queue = Queue::new(0);
        for seq in 1..=3_000 {
            let _ = queue.push(told(seq, Kind::JobCompleted, &seq.to_string()));
        }
        let next = queue.take(usize::MAX);
        let gap = next.gap.unwrap();
        assert_eq!(gap.from, 0);
        assert_eq!(next.frames[0].seq, gap.to + 1, "what follows the gap follows it at once");
        assert_eq!(next.frames.last().unwrap().seq, 3_000);
    }
}
