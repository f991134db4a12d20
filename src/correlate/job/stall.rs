//! Says how long a download may stand still before people are told, by its size. Pure.

use std::time::Duration;

/// Below this a download is small: what the cloud Bot API hands out.
const SMALL: u64 = 20_000_000;

/// Below this it is of middle size.
const MEDIUM: u64 = 1_000_000_000;

/// How long no byte may come. Large ones pause longer: servers assemble them, disks flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallLimits {
    /// Under 20 MB.
    pub small: Duration,
    /// Under 1 GB.
    pub medium: Duration,
    /// More.
    pub large: Duration,
}

impl Default for StallLimits {
    fn default() -> Self {
        Self { small: Duration::from_secs(60), medium: Duration::from_secs(180), large: Duration::from_secs(300) }
    }
}

impl StallLimits {
    /// The time for a download of this size; `None`: nobody knows the size, so what is there already counts.
    #[must_use]
    pub fn after(&self, total: Option<u64>, bytes: Option<u64>) -> Duration {
        match total.or(bytes) {
            Some(size) if size < SMALL => self.small,
            Some(size) if size < MEDIUM => self.medium,
            Some(_) => self.large,
            None => self.medium,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b2_a_stall_is_judged_by_the_size_of_the_download() {
        let limits = StallLimits::default();
        let seconds = |total, bytes| limits.after(total, bytes).as_secs();
        assert_eq!(seconds(Some(5_000_000), Some(1)), 60);
        assert_eq!(seconds(Some(500_000_000), Some(1)), 180);
        assert_eq!(seconds(Some(5_000_000_000), Some(1)), 300);
        assert_eq!(seconds(None, Some(2_000_000_000)), 300);
        assert_eq!(seconds(None, None), 180);
    }
}
