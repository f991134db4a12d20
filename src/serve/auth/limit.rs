//! Slows down who guesses passwords. Pure: the moment comes in as an argument.
//!
//! An attempt counts as failed when it begins and is taken back when it succeeds: a thousand at once are a thousand. Both
//! who asks (the address) and who is asked for (the account) are counted: the first stops one guesser, the second many
//! machines. The second wait is short, so that nobody can lock an account's owner out for long, and it does not hold
//! for an address from which the account logged in before.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Failures before anybody has to wait: people mistype.
const FREE: u32 = 5;

/// The longest wait of an address.
const ADDRESS_CAP: Duration = Duration::from_secs(15 * 60);

/// The longest wait of an account: some 3,000 guesses a day, however many machines guess.
const ACCOUNT_CAP: Duration = Duration::from_secs(30);

/// So long after the last failure all of it is forgotten.
const FORGET: Duration = Duration::from_secs(60 * 60);

/// Addresses, accounts and pairs of both that are remembered at most: below a megabyte.
const REMEMBERED: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Account(String),
    /// This account logged in from this address.
    Known(IpAddr, String),
}

#[derive(Clone, Copy)]
struct Count {
    failures: u32,
    /// The last failure, or for a known pair the last success.
    last: Duration,
}

/// What is known of attempts.
#[derive(Default)]
pub struct Limiter {
    counts: HashMap<Key, Count>,
}

/// One attempt under way.
#[must_use]
pub struct Attempt {
    address: IpAddr,
    account: String,
}

impl Limiter {
    /// Begins an attempt of `address` on `account` at `now` (any clock that does not go back).
    ///
    /// # Errors
    /// How long to wait.
    pub fn begin(&mut self, address: IpAddr, account: &str, now: Duration) -> Result<Attempt, Duration> {
        let address = network(address);
        // A name that no account can have is counted as one: it must not fill the table.
        let account = if super::name_problem(account).is_none() { account } else { "" }.to_owned();
        let known = self.counts.contains_key(&Key::Known(address, account.clone()));
        let of_address = self.wait(&Key::Address(address), ADDRESS_CAP, now);
        let of_account =
            if known { Duration::ZERO } else { self.wait(&Key::Account(account.clone()), ACCOUNT_CAP, now) };
        let wait = of_address.max(of_account);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.fail(Key::Address(address), now);
        self.fail(Key::Account(account.clone()), now);
        Ok(Attempt { address, account })
    }

    /// The attempt was right: its account and address begin anew, and are known to belong together.
    pub fn succeed(&mut self, attempt: Attempt, now: Duration) {
        self.counts.remove(&Key::Address(attempt.address));
        self.counts.remove(&Key::Account(attempt.account.clone()));
        self.remember(Key::Known(attempt.address, attempt.account), Count { failures: 0, last: now });
    }

    /// The attempt was none: something else kept it from being judged.
    pub fn take_back(&mut self, attempt: Attempt) {
        for key in [Key::Address(attempt.address), Key::Account(attempt.account)] {
            if let Some(count) = self.counts.get_mut(&key) {
                count.failures = count.failures.saturating_sub(1);
            }
        }
    }

    fn wait(&self, key: &Key, cap: Duration, now: Duration) -> Duration {
        let Some(count) = self.counts.get(key) else { return Duration::ZERO };
        let since = now.saturating_sub(count.last);
        if count.failures < FREE || since >= FORGET {
            return Duration::ZERO;
        }
        // 1, 2, 4 … seconds.
        let wait = Duration::from_secs(1 << (count.failures - FREE).min(20)).min(cap);
        wait.saturating_sub(since)
    }

    fn fail(&mut self, key: Key, now: Duration) {
        let before = self.counts.get(&key).filter(|count| now.saturating_sub(count.last) < FORGET);
        let failures = before.map_or(0, |count| count.failures).saturating_add(1);
        self.remember(key, Count { failures, last: now });
    }

    fn remember(&mut self, key: Key, count: Count) {
        if self.counts.len() >= REMEMBERED && !self.counts.contains_key(&key) {
            self.counts.retain(|_, held| count.last.saturating_sub(held.last) < FORGET);
            // Still full: this is a flood of addresses. Whoever failed least is let go, so that the flood pushes out
            // itself and not those who wait.
            if self.counts.len() >= REMEMBERED {
                let least = self.counts.iter().min_by_key(|(_, held)| (held.failures, held.last));
                if let Some(key) = least.map(|(key, _)| key.clone()) {
                    self.counts.remove(&key);
                }
            }
        }
        self.counts.insert(key, count);
    }

    /// How much is remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// What one owner has: an IPv4 address, a /64 of IPv6.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn h2_guessing_gets_slower_and_success_forgives() {
        let mut limiter = Limiter::default();
        for _ in 0..FREE {
            assert!(limiter.begin(ip(1), "ana", at(0)).is_ok());
        }
        assert_eq!(limiter.begin(ip(1), "ana", at(0)).err(), Some(at(1)));
        assert!(limiter.begin(ip(1), "ana", at(1)).is_ok());
        assert_eq!(limiter.begin(ip(1), "ben", at(1)).err(), Some(at(2)), "the address waits, whoever it asks for");
        let attempt = limiter.begin(ip(1), "ana", at(3)).unwrap();
        limiter.succeed(attempt, at(3));
        assert!(limiter.begin(ip(1), "ana", at(3)).is_ok());
    }

    #[test]
    fn h2_many_machines_cannot_guess_one_account_and_cannot_lock_its_owner_out() {
        let mut limiter = Limiter::default();
        let owner = limiter.begin(ip(1), "ana", at(0)).unwrap();
        limiter.succeed(owner, at(0));
        for number in 0..1_000 {
            let _ = limiter.begin(ip(100 + number), "ana", at(1));
        }
        let wait = limiter.begin(ip(5_000), "ana", at(1)).err().unwrap();
        assert!(wait <= ACCOUNT_CAP, "{wait:?}");
        assert!(limiter.begin(ip(1), "ana", at(1)).is_ok(), "the owner's own address");
        assert!(limiter.begin(ip(5_000), "ben", at(1)).is_ok());
    }

    #[test]
    fn h2_a_flood_of_addresses_takes_no_memory_and_frees_nobody() {
        let mut limiter = Limiter::default();
        for _ in 0..FREE {
            let _ = limiter.begin(ip(1), "ana", at(0));
        }
        assert!(limiter.begin(ip(1), "ana", at(0)).is_err());
        for number in 0..20_000 {
            let _ = limiter.begin(ip(1_000 + number), &format!("name{number}"), at(0));
            let _ = limiter.begin(ip(1_000 + number), &"x".repeat(100_000), at(0));
        }
        assert!(limiter.len() <= REMEMBERED);
        assert!(limiter.begin(ip(1), "ana", at(0)).is_err(), "who guessed still waits");
    }

    #[test]
    fn an_ipv6_network_is_one_guesser() {
        assert_eq!(network("2001:db8::1".parse().unwrap()), network("2001:db8::ffff:1".parse().unwrap()));
        assert_ne!(network("2001:db8::1".parse().unwrap()), network("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), ip(0x0a00_0001));
    }
}
