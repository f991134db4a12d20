//! Computes how long to wait before an attempt. Pure.

use std::time::Duration;

use super::Retry;

/// The wait before attempt `attempt` (1 for the first): exponential, capped, with jitter on top of the cap.
///
/// `random` is in `0.0..1.0`. A wait that the server named wins over the curve and gets no negative jitter.
#[must_use]
pub fn delay(retry: &Retry, attempt: u32, named: Option<Duration>, random: f64) -> Duration {
    let jitter = retry.jitter.clamp(0.0, 1.0);
    if let Some(named) = named {
        return named.saturating_add(Duration::from_secs(1).mul_f64(jitter * random));
    }
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let seconds = retry.base.as_secs_f64() * retry.factor.max(1.0).powi(exponent);
    let capped = seconds.min(retry.cap.as_secs_f64());
    let spread = 1.0 + jitter * (2.0 * random - 1.0);
    Duration::try_from_secs_f64(capped * spread).unwrap_or(retry.cap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Policy;

    #[test]
    fn a8_waits_are_one_two_four_seconds_then_the_cap() {
        let retry = Policy::default().retry;
        let middle: Vec<_> = (1..=3).map(|n| delay(&retry, n, None, 0.5).as_secs_f64()).collect();
        assert_eq!(middle, [1.0, 2.0, 4.0]);
        assert_eq!(delay(&retry, 4_000_000_000, None, 0.5), retry.cap);
        assert_eq!(delay(&retry, 1, None, 0.0), Duration::from_millis(900));
        assert!(delay(&retry, 1, Some(Duration::from_secs(37)), 0.9) >= Duration::from_secs(37), "never before");
    }
}
