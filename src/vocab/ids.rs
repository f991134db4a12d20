//! Makes sortable identifiers (ULID, <https://github.com/ulid/spec>) and deterministic randomness. Pure.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A ULID: 48 bits of milliseconds, 80 bits of randomness, 26 characters of Crockford's base 32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u128);

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 26;

impl Id {
    /// The smallest identifier, for ranges.
    pub const MIN: Self = Self(0);

    /// The largest one.
    pub const MAX: Self = Self(u128::MAX);

    /// A new identifier for this moment.
    #[must_use]
    pub fn new(at: DateTime<Utc>, rng: &mut Rng) -> Self {
        let millis = u128::try_from(at.timestamp_millis()).unwrap_or(0) & ((1 << 48) - 1);
        let high = u128::from(rng.next_u64()) & 0xffff;
        Self((millis << 80) | (high << 64) | u128::from(rng.next_u64()))
    }

    /// The moment it was made for, in Unix milliseconds.
    #[must_use]
    pub fn millis(self) -> u64 {
        u64::try_from(self.0 >> 80).unwrap_or(0)
    }

    /// The smallest identifier of this moment, for ranges.
    #[must_use]
    pub fn first_at(at: DateTime<Utc>) -> Self {
        Self((u128::try_from(at.timestamp_millis()).unwrap_or(0) & ((1 << 48) - 1)) << 80)
    }

    /// Reads the 26 characters back; `None` when they are not a ULID.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != LENGTH || text.as_bytes()[0] > b'7' {
            return None;
        }
        let mut value = 0u128;
        for byte in text.bytes() {
            let digit = ALPHABET.iter().position(|&a| a == byte.to_ascii_uppercase())?;
            value = (value << 5) | digit as u128;
        }
        Some(Self(value))
    }

    fn digits(self) -> [u8; LENGTH] {
        std::array::from_fn(|place| ALPHABET[(self.0 >> (5 * (LENGTH - 1 - place)) & 31) as usize])
    }
}

/// The digits are ASCII.
fn text(digits: &[u8; LENGTH]) -> &str {
    std::str::from_utf8(digits).unwrap_or_default()
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text(&self.digits()))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text(&self.digits()))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected 26 characters of a ULID"))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and the same seed gives the same night again.
///
/// For identifiers and jitter only, never for secrets.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that repeats itself for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text_and_sorts_by_time() {
        let mut rng = Rng::new(1);
        let early = DateTime::from_timestamp_millis(1_000).unwrap();
        let late = DateTime::from_timestamp_millis(2_000).unwrap();
        let (a, b) = (Id::new(early, &mut rng), Id::new(late, &mut rng));
        assert_eq!(Id::parse(&a.to_string()), Some(a));
        assert!(a.to_string() < b.to_string());
        assert_eq!(Id::parse("8ZZZZZZZZZZZZZZZZZZZZZZZZZ"), None, "over 128 bits");
    }
}
