//! Computes and checks the codes of a second factor: TOTP (RFC 6238) with SHA-1, six digits, 30 seconds, which is what
//! every authenticator app knows. Pure.

use ring::hmac;

/// Length of a time step.
const STEP_S: i64 = 30;

/// Clocks may differ by so many steps, either way.
const SKEW: i64 = 1;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The key in base 32, as apps take it.
#[must_use]
pub fn encode(key: &[u8; 20]) -> String {
    let mut text = String::with_capacity(32);
    // 20 bytes are four times 40 bits: no remainder.
    for chunk in key.chunks(5) {
        let bits = chunk.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        text.extend((0..8).rev().map(|place| char::from(ALPHABET[(bits >> (5 * place)) as usize & 31])));
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(20);
    let (mut bits, mut held) = (0u32, 0);
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
        bits = bits << 5 | u32::try_from(digit).ok()?;
        held += 5;
        if held >= 8 {
            held -= 8;
            key.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(key)
}

fn code(key: &hmac::Key, step: i64) -> String {
    let mac = hmac::sign(key, &step.to_be_bytes());
    let mac = mac.as_ref();
    let at = usize::from(mac[mac.len() - 1] & 15);
    let number = mac[at..at + 4].iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

/// The time step that this code is of, when it is right now (Unix seconds) and younger than the last one taken.
///
/// Every candidate is computed and compared in full, whichever fits.
#[must_use]
pub fn check(key: &str, given: &str, last_step: i64, now: i64) -> Option<i64> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &decode(key)?);
    let given: String = given.chars().filter(|c| *c != ' ').take(7).collect();
    let mut found = None;
    for step in (now / STEP_S - SKEW)..=(now / STEP_S + SKEW) {
        if same(&code(&key, step), &given) && step > last_step {
            found = Some(step);
        }
    }
    found
}

/// Compares without telling by its time where the difference is.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |different, (x, y)| different | (x ^ y)) == 0
}

/// What an authenticator app reads from a QR code.
#[must_use]
pub fn uri(account: &str, key: &str) -> String {
    format!("otpauth://totp/logmedic:{account}?secret={key}&issuer=logmedic&algorithm=SHA1&digits=6&period={STEP_S}")
}

/// The code of this moment, for tests and examples.
#[must_use]
pub fn now_code(key: &str, now: i64) -> Option<String> {
    Some(code(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &decode(key)?), now / STEP_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_codes_are_those_of_the_standard() {
        let key = encode(b"12345678901234567890");
        assert_eq!(key, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        // RFC 6238, appendix B, the last six of its eight digits.
        for (now, want) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(now_code(&key, now).as_deref(), Some(want));
            assert_eq!(check(&key, want, 0, now), Some(now / 30));
        }
    }

    #[test]
    fn h2_a_code_is_taken_once_and_not_long() {
        let key = encode(&[7; 20]);
        let code = now_code(&key, 3_000).unwrap();
        let step = check(&key, &code, 0, 3_000).unwrap();
        assert_eq!(check(&key, &code, step, 3_010), None, "again");
        assert_eq!(check(&key, &code, 0, 3_045), Some(step), "a slow clock");
        assert_eq!(check(&key, &code, 0, 3_060), None, "two steps later");
        for wrong in ["", "12345", "1234567", "abcdef", "１２３４５６"] {
            assert_eq!(check(&key, wrong, 0, 3_000), None);
        }
        assert_eq!(check("not base 32!", &code, 0, 3_000), None);
    }
}
