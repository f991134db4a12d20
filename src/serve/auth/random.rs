//! Makes secrets, and what is kept of them. I/O: the system's randomness.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};

/// The system gave no randomness: nothing that needs a secret can go on.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("failed to get randomness from the system")]
pub struct NoRandomness;

/// `N` random bytes.
///
/// # Errors
/// When the system gives none.
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// A secret of 256 bits for a client to hold: 43 characters, also in a URL.
///
/// # Errors
/// When the system gives no randomness.
pub fn secret() -> Result<String, NoRandomness> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<32>()?))
}

/// A new identifier.
///
/// # Errors
/// When the system gives no randomness.
pub fn id(now: chrono::DateTime<chrono::Utc>) -> Result<String, NoRandomness> {
    let mut rng = crate::vocab::Rng::new(u64::from_le_bytes(bytes()?));
    Ok(crate::vocab::Id::new(now, &mut rng).to_string())
}

/// What is kept of such a secret: SHA-256, hex. It has 256 bits of its own, so a slow hash would add nothing; and who
/// looks it up by its hash learns nothing from how long that takes.
#[must_use]
pub fn digest(secret: &str) -> String {
    use std::fmt::Write as _;
    let hash = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
    hash.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
