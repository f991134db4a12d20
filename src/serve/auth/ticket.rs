//! Keeps one-time tickets for a WebSocket: a browser cannot put a token into its handshake, and a token in a URL would
//! stand in every log on the way. Pure: the moment comes in as an argument.

use std::collections::HashMap;
use std::time::Duration;

use super::Principal;

/// How long a ticket is good.
pub const LIFE: Duration = Duration::from_secs(30);

/// Tickets at once at most; who asks beyond that waits for older ones to end.
const MAX: usize = 1_000;

/// Tickets that were given out and not used.
#[derive(Default)]
pub struct Tickets {
    held: HashMap<String, (Principal, Duration)>,
}

impl Tickets {
    /// Keeps a ticket by the hash of its secret; `false` when there are too many.
    #[must_use]
    pub fn keep(&mut self, hash: String, holder: Principal, now: Duration) -> bool {
        if self.held.len() >= MAX {
            self.held.retain(|_, (_, until)| *until > now);
        }
        let room = self.held.len() < MAX;
        if room {
            self.held.insert(hash, (holder, now + LIFE));
        }
        room
    }

    /// Takes a ticket: once, in time.
    pub fn take(&mut self, hash: &str, now: Duration) -> Option<Principal> {
        self.held.remove(hash).filter(|(_, until)| *until > now).map(|(holder, _)| holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d1_a_ticket_is_good_once_and_for_half_a_minute() {
        let mut tickets = Tickets::default();
        let now = Duration::from_secs(5);
        assert!(tickets.keep("a".into(), Principal::local(), now));
        assert!(tickets.take("a", now).is_some());
        assert!(tickets.take("a", now).is_none(), "again");
        assert!(tickets.keep("b".into(), Principal::local(), now));
        assert!(tickets.take("b", now + LIFE).is_none(), "too late");
        for number in 0..2 * MAX {
            let _ = tickets.keep(number.to_string(), Principal::local(), now);
        }
        assert_eq!(tickets.held.len(), MAX);
        assert!(tickets.keep("c".into(), Principal::local(), now + LIFE), "old ones make room");
    }
}
