//! Limits how many requests an address may make. Pure: the moment comes in as an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::serve::auth::limit::network;

/// Requests a second that an address may make for long: a dashboard makes one or two.
const RATE: f64 = 200.0;

/// Requests at once: many tabs, or a script that begins.
const BURST: f64 = 2_000.0;

/// Addresses that are remembered at most: a quarter of a megabyte.
const REMEMBERED: usize = 4_096;

/// What each address has left.
#[derive(Default)]
pub struct Flood {
    left: HashMap<IpAddr, (f64, Duration)>,
}

impl Flood {
    /// Takes one request from what `address` has left at `now` (any clock that does not go back); `false`: nothing left.
    pub fn take(&mut self, address: IpAddr, now: Duration) -> bool {
        let address = network(address);
        if self.left.len() >= REMEMBERED && !self.left.contains_key(&address) {
            // Whoever has everything left again need not be remembered.
            self.left.retain(|_, (left, at)| *left + RATE * now.saturating_sub(*at).as_secs_f64() < BURST);
            if self.left.len() >= REMEMBERED {
                let most = self.left.iter().max_by(|a, b| a.1.0.total_cmp(&b.1.0)).map(|(address, _)| *address);
                most.and_then(|address| self.left.remove(&address));
            }
        }
        let (left, at) = self.left.entry(address).or_insert((BURST, now));
        *left = RATE.mul_add(now.saturating_sub(*at).as_secs_f64(), *left).min(BURST);
        *at = now;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_requests_of_one_address_are_limited_and_memory_is_too() {
        let mut flood = Flood::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let allowed = (0..10_000).filter(|_| flood.take(one, Duration::ZERO)).count();
        assert_eq!(allowed, BURST as usize);
        assert!(flood.take(other, Duration::ZERO));
        assert!((0..1_000).filter(|_| flood.take(one, Duration::from_secs(1))).count() == RATE as usize);
        for number in 0u32..20_000 {
            flood.take(IpAddr::from(number.to_be_bytes()), Duration::from_secs(1));
        }
        assert!(flood.left.len() <= REMEMBERED);
        assert!(!flood.take(one, Duration::from_secs(1)), "who flooded is still remembered");
    }
}
