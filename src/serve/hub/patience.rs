//! How much one client may ask: a rate, and a number of mistakes. Pure: the moment comes in as an argument.

use std::time::Duration;

/// Frames a second that a client may send.
const RATE: f64 = 20.0;

/// Frames at once: a page that opens subscribes to much.
const BURST: f64 = 100.0;

/// Mistakes after which a client is sent away.
const MISTAKES: u32 = 10;

/// One mistake is forgotten after so long.
const FORGET: Duration = Duration::from_secs(10);

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Carry it out.
    Go,
    /// Refuse it with a word.
    Refuse,
    /// Close the connection.
    Enough,
}

/// The patience that is left with one client.
#[derive(Debug)]
pub struct Patience {
    tokens: f64,
    at: Duration,
    mistakes: u32,
    /// When mistakes were forgotten last.
    forgave: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tokens: BURST, at: Duration::ZERO, mistakes: 0, forgave: Duration::ZERO }
    }
}

impl Patience {
    /// A frame came.
    pub fn frame(&mut self, now: Duration) -> Verdict {
        self.tokens = (self.tokens + RATE * now.saturating_sub(self.at).as_secs_f64()).min(BURST);
        self.at = now;
        if self.tokens < 1.0 {
            return self.mistake(now);
        }
        self.tokens -= 1.0;
        Verdict::Go
    }

    /// The frame was a mistake.
    pub fn mistake(&mut self, now: Duration) -> Verdict {
        let forgiven = now.saturating_sub(self.forgave).as_secs() / FORGET.as_secs();
        if forgiven > 0 {
            self.mistakes = self.mistakes.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
            self.forgave = now;
        }
        self.mistakes += 1;
        if self.mistakes >= MISTAKES { Verdict::Enough } else { Verdict::Refuse }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_a_flood_is_refused_and_then_ended() {
        let mut patience = Patience::default();
        let verdicts: Vec<_> = (0..150).map(|_| patience.frame(Duration::from_secs(1))).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Go).count(), 100);
        assert_eq!(verdicts.iter().position(|verdict| *verdict == Verdict::Enough), Some(109));
    }

    #[test]
    fn a_steady_client_and_a_rare_mistake_are_borne_for_ever() {
        let mut patience = Patience::default();
        for second in 1..10_000 {
            let now = Duration::from_secs(second);
            (0..20).for_each(|_| assert_eq!(patience.frame(now), Verdict::Go));
            if second % 10 == 0 {
                assert_eq!(patience.mistake(now), Verdict::Refuse);
            }
        }
    }
}
