//! Decides whether and when a bot that ended is started again. Pure: time and jitter come in as arguments.

use std::collections::VecDeque;
use std::time::Duration;

/// When a bot that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartWhen {
    /// Never.
    No,
    /// When it failed: a code other than 0, or a signal other than the polite ones (HUP, INT, PIPE, TERM).
    #[default]
    OnFailure,
    /// However it ended, unless it was asked to.
    Always,
}

/// How a bot that ended is started again.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartPolicy {
    /// After which ends.
    pub when: RestartWhen,
    /// The first delay.
    pub base: Duration,
    /// Each further delay is so many times the last one.
    pub factor: f64,
    /// No delay is longer.
    pub cap: Duration,
    /// Each delay varies by this share of itself, up and down (0.1 is ten percent), so that many bots do not
    /// come back at one instant.
    pub jitter: f64,
    /// So many restarts within `window` are allowed; the next failure is final.
    pub max_restarts: u32,
    /// The time in which restarts are counted.
    pub window: Duration,
    /// A bot that ran so long was healthy: the next delay is `base` again.
    pub reset_after: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            when: RestartWhen::OnFailure,
            base: Duration::from_secs(1),
            factor: 2.0,
            cap: Duration::from_secs(60),
            jitter: 0.1,
            max_restarts: 5,
            window: Duration::from_secs(600),
            reset_after: Duration::from_secs(600),
        }
    }
}

/// How a bot ended, as far as the policy cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Code 0.
    Success,
    /// Any other code.
    Failure,
    /// By a signal, given by its number.
    Signal(i32),
}

impl End {
    /// HUP, INT, PIPE and TERM are how people and service managers end programs; they are no failure.
    fn is_failure(self) -> bool {
        match self {
            Self::Success => false,
            Self::Failure => true,
            Self::Signal(number) => !matches!(number, libc::SIGHUP | libc::SIGINT | libc::SIGPIPE | libc::SIGTERM),
        }
    }
}

/// What to do after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays down, and that is fine.
    Stay,
    /// Start it again after so long.
    RestartIn(Duration),
    /// It failed too often: it stays down, and somebody should look.
    GiveUp,
}

/// What has happened so far. Holds at most `max_restarts` moments.
#[derive(Clone, Debug, Default)]
pub struct Restarts {
    recent: VecDeque<Duration>,
    streak: u32,
}

impl Restarts {
    /// Judges an end at `now` (any monotonic clock) after a run of `ran_for`; `jitter` is between 0 and 1, chosen
    /// by the caller. A `RestartIn` counts as a restart.
    pub fn ended(
        &mut self,
        policy: &RestartPolicy,
        now: Duration,
        ran_for: Duration,
        end: End,
        jitter: f64,
    ) -> Verdict {
        let again = match policy.when {
            RestartWhen::No => false,
            RestartWhen::OnFailure => end.is_failure(),
            RestartWhen::Always => true,
        };
        if !again {
            return Verdict::Stay;
        }
        if ran_for >= policy.reset_after {
            self.streak = 0;
        }
        while self.recent.front().is_some_and(|at| now.saturating_sub(*at) >= policy.window) {
            self.recent.pop_front();
        }
        if self.recent.len() >= policy.max_restarts as usize {
            return Verdict::GiveUp;
        }
        let delay = delay(policy, self.streak, jitter);
        self.streak = self.streak.saturating_add(1);
        self.recent.push_back(now);
        Verdict::RestartIn(delay)
    }

    /// How many restarts lie within the window, as of the last end.
    #[must_use]
    pub fn recent(&self) -> u32 {
        u32::try_from(self.recent.len()).unwrap_or(u32::MAX)
    }
}

/// `base · factor^streak`, at most `cap`, varied by the jitter.
fn delay(policy: &RestartPolicy, streak: u32, jitter: f64) -> Duration {
    let cap = policy.cap.as_secs_f64();
    let power = policy.factor.max(1.0).powi(i32::try_from(streak).unwrap_or(i32::MAX));
    let plain = (policy.base.as_secs_f64() * power).min(cap);
    let share = policy.jitter.clamp(0.0, 1.0) * (jitter.clamp(0.0, 1.0) * 2.0 - 1.0);
    Duration::try_from_secs_f64((plain * (1.0 + share)).min(cap)).unwrap_or(policy.cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MIDDLE: f64 = 0.5; // no deviation

    fn ends(policy: &RestartPolicy, count: u32) -> Vec<Verdict> {
        let mut restarts = Restarts::default();
        (0..count).map(|i| restarts.ended(policy, SECOND * i, SECOND, End::Failure, MIDDLE)).collect()
    }

    #[test]
    fn delays_double_up_to_the_cap_and_the_limit_is_final() {
        let policy = RestartPolicy { cap: SECOND * 5, ..RestartPolicy::default() };
        let wanted: Vec<_> = [1, 2, 4, 5, 5].map(|s| Verdict::RestartIn(SECOND * s)).to_vec();
        let got = ends(&policy, 7);
        assert_eq!(got[..5], wanted);
        assert_eq!(got[5..], [Verdict::GiveUp, Verdict::GiveUp]);
    }

    #[test]
    fn restarts_outside_the_window_are_forgotten() {
        let policy = RestartPolicy { max_restarts: 1, ..RestartPolicy::default() };
        let mut restarts = Restarts::default();
        let mut at = |s| restarts.ended(&policy, SECOND * s, SECOND, End::Failure, MIDDLE);
        assert_eq!(at(0), Verdict::RestartIn(SECOND));
        assert_eq!(at(599), Verdict::GiveUp);
        assert_eq!(at(600), Verdict::RestartIn(SECOND * 2));
    }

    #[test]
    fn a_healthy_run_starts_the_delays_over() {
        let policy = RestartPolicy::default();
        let mut restarts = Restarts::default();
        for _ in 0..3 {
            restarts.ended(&policy, SECOND, SECOND, End::Failure, MIDDLE);
        }
        let after = restarts.ended(&policy, SECOND * 700, policy.reset_after, End::Failure, MIDDLE);
        assert_eq!(after, Verdict::RestartIn(SECOND));
    }

    #[test]
    fn what_counts_as_failure() {
        let policy = |when| RestartPolicy { when, ..RestartPolicy::default() };
        let verdict = |when, end| Restarts::default().ended(&policy(when), SECOND, SECOND, end, MIDDLE);
        let again = Verdict::RestartIn(SECOND);
        assert_eq!(verdict(RestartWhen::No, End::Failure), Verdict::Stay);
        assert_eq!(verdict(RestartWhen::OnFailure, End::Success), Verdict::Stay);
        assert_eq!(verdict(RestartWhen::OnFailure, End::Signal(libc::SIGTERM)), Verdict::Stay);
        assert_eq!(verdict(RestartWhen::OnFailure, End::Signal(libc::SIGKILL)), again);
        assert_eq!(verdict(RestartWhen::OnFailure, End::Failure), again);
        assert_eq!(verdict(RestartWhen::Always, End::Success), again);
    }

    #[test]
    fn jitter_stays_within_its_share_and_odd_numbers_do_no_harm() {
        let policy = RestartPolicy::default();
        assert_eq!(delay(&policy, 0, 0.0), Duration::from_millis(900));
        assert_eq!(delay(&policy, 0, 1.0), Duration::from_millis(1100));
        assert_eq!(delay(&policy, u32::MAX, 1.0), policy.cap);
        let odd = RestartPolicy { factor: f64::NAN, jitter: f64::INFINITY, ..policy };
        assert!(delay(&odd, 9, f64::NAN) <= odd.cap);
    }
}
