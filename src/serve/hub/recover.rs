//! Decides what a client that was away gets: what it missed, or word that it has to load everything. Pure.

use serde::Serialize;

/// What a client missed and is not told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The last number of which the client knows everything.
    pub from: u64,
    /// The number from which on it knows everything again.
    pub to: u64,
    /// Why: `epoch` the numbers began anew, `ahead` the number was never given, `pruned` it is too long ago, `late`
    /// newer frames went out before the question came, `slow` the client did not take its frames.
    pub reason: &'static str,
}

/// The last number that the client knows, of which epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// The numbers' life.
    pub epoch: String,
    /// The number.
    pub seq: u64,
}

/// What there is to tell.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// The numbers' life.
    pub epoch: &'a str,
    /// All events behind this number are at hand.
    pub behind: u64,
    /// The last one told to everybody.
    pub told: u64,
    /// The last lasting one that already went to this client.
    pub sent: u64,
}

/// Everything behind `since` can be told in order (`Ok`), or the client has to load.
///
/// # Errors
/// The gap.
pub fn resume(since: &Since, kept: Kept<'_>) -> Result<(), Gap> {
    let gap = |reason| Err(Gap { from: since.seq, to: kept.told, reason });
    if since.epoch != kept.epoch {
        return gap("epoch");
    }
    if since.seq > kept.told {
        return gap("ahead");
    }
    if kept.sent > since.seq {
        return gap("late");
    }
    if since.seq < kept.behind { gap("pruned") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d7_a_client_gets_what_it_missed_or_is_told_to_reload() {
        let kept = Kept { epoch: "e", behind: 10, told: 20, sent: 0 };
        let ask = |epoch: &str, seq, kept| resume(&Since { epoch: epoch.into(), seq }, kept).map_err(|gap| gap.reason);
        assert_eq!(ask("e", 10, kept), Ok(()));
        assert_eq!(ask("e", 20, kept), Ok(()));
        assert_eq!(ask("e", 9, kept), Err("pruned"));
        assert_eq!(ask("e", 21, kept), Err("ahead"));
        assert_eq!(ask("f", 15, kept), Err("epoch"));
        assert_eq!(ask("e", 15, Kept { sent: 18, ..kept }), Err("late"));
        assert_eq!(ask("e", 18, Kept { sent: 18, ..kept }), Ok(()));
    }
}
