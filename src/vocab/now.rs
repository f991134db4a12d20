//! Carries one moment on both clocks. Pure: the moment always comes in as an argument.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// One moment, on the clock that is stored and on the clock that is computed with.
///
/// Wall time may jump (NTP, a person); it is for records. Monotonic time never goes back; deadlines use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since the process started.
    pub mono: Duration,
    /// The date.
    pub wall: DateTime<Utc>,
}

impl Now {
    /// The date at which `deadline` (on the monotonic clock) will be reached, for storing it.
    #[must_use]
    pub fn wall_at(&self, deadline: Duration) -> DateTime<Utc> {
        let ahead = deadline.saturating_sub(self.mono);
        TimeDelta::from_std(ahead)
            .ok()
            .and_then(|d| self.wall.checked_add_signed(d))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The monotonic moment of a stored date; a date in the past is now.
    #[must_use]
    pub fn mono_at(&self, wall: DateTime<Utc>) -> Duration {
        self.mono + (wall - self.wall).to_std().unwrap_or_default()
    }
}

/// RFC 3339 in UTC with milliseconds, as every record and answer shows it.
#[must_use]
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
