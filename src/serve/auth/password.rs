//! Hashes and checks passwords: argon2id, away from the runtime's threads, few at once. I/O.

use std::sync::Arc;

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::Semaphore;

use super::random;
use crate::vocab::Secret;

/// Passwords in work at once: each takes 19 MiB.
const AT_ONCE: usize = 2;

/// Passwords that wait for their turn; more are sent away.
const WAITING: usize = 16;

/// The shortest password, in characters.
const MIN: usize = 10;

/// The longest, in bytes: far above any passphrase.
const MAX: usize = 512;

/// Fewer different characters are a pattern, not a password.
const DIFFERENT: usize = 5;

/// Room asked for at least, in blocks of 1 KiB. An allocator keeps what was freed for the next time, 19 MiB for each thread that ever
/// hashed; above 32 MiB glibc maps each piece on its own and gives it back at once (`M_MMAP_THRESHOLD`, mallopt(3)). What is not
/// touched costs nothing.
const MAPPED_BLOCKS: usize = 33 << 10;

/// Of no password, with the same parameters as every other: what is asked of an unknown account takes as long as what is
/// asked of a known one.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5MQ$Zm9yIG5vYm9keSBhdCBhbGwsIGV2ZXIsIG5vdCBvbmM";

/// Why a password was not hashed or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait.
    #[error("too many people log in just now; try again in a few seconds")]
    Busy,
    /// The hash failed: no memory or no randomness.
    #[error("failed to hash a password: no memory or no randomness")]
    Failed,
}

/// What is wrong with a new password; `None`: nothing.
#[must_use]
pub fn problem(account: &str, password: &str) -> Option<String> {
    let different = password.chars().collect::<std::collections::BTreeSet<_>>().len();
    if password.chars().count() < MIN {
        return Some(format!("the password needs {MIN} characters or more; a few words in a row do"));
    }
    if password.len() > MAX {
        return Some(format!("the password is longer than {MAX} bytes"));
    }
    if different < DIFFERENT || password.to_lowercase().contains(&account.to_lowercase()) && !account.is_empty() {
        return Some("the password is easy to guess: use more different characters, and not the account's name".into());
    }
    None
}

/// Hashes on this thread: some 20 ms. For commands.
///
/// # Errors
/// When there is no memory or no randomness.
pub fn hash_here(password: &Secret) -> Result<String, PasswordError> {
    let salt = random::bytes::<16>().map_err(|_| PasswordError::Failed)?;
    let params = Params::DEFAULT;
    let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
    let hash = derive(params, password, &salt, Params::DEFAULT_OUTPUT_LEN).ok_or(PasswordError::Failed)?;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Ok(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${hash}"))
}

fn check_here(password: &Secret, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    let (Some(salt), Some(kept), Ok(params)) = (&hash.salt, &hash.hash, Params::try_from(&hash)) else { return false };
    let derived = derive(params, password, salt.as_ref(), kept.len());
    // Compared in constant time.
    derived.and_then(|bytes| Output::new(&bytes).ok()).is_some_and(|derived| derived == *kept)
}

/// argon2id, version 19, in memory that is given back.
fn derive(params: Params, password: &Secret, salt: &[u8], length: usize) -> Option<Vec<u8>> {
    let blocks = usize::try_from(params.m_cost()).ok()?;
    let mut memory = Vec::with_capacity(blocks.max(MAPPED_BLOCKS));
    memory.resize(blocks, Block::default());
    let mut out = vec![0; length];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into_with_memory(password.expose().as_bytes(), salt, &mut out, memory).ok()?;
    Some(out)
}

/// Hashes and checks for a server.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), queue: Arc::new(Semaphore::new(AT_ONCE + WAITING)) }
    }
}

impl Passwords {
    /// Hashes a new password.
    ///
    /// # Errors
    /// When too many wait, or there is no memory.
    pub async fn hash(&self, password: Secret) -> Result<String, PasswordError> {
        self.work(move || hash_here(&password)).await?
    }

    /// Whether this is the password of this hash. Without a hash it takes as long and is not.
    ///
    /// # Errors
    /// When too many wait.
    pub async fn check(&self, password: Secret, hash: Option<String>) -> Result<bool, PasswordError> {
        self.work(move || {
            let right = check_here(&password, hash.as_deref().unwrap_or(NOBODY));
            right && hash.is_some()
        })
        .await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let _place = self.queue.try_acquire().map_err(|_| PasswordError::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| PasswordError::Failed)?;
        let done = tokio::task::spawn_blocking(move || {
            // Held until the memory is free again, also when the client went away.
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| PasswordError::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_passwords_are_kept_as_argon2id() {
        let secret = Secret::new("correct horse battery");
        let hash = hash_here(&secret).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(check_here(&secret, &hash) && !check_here(&Secret::new("correct horse batterz"), &hash));
        assert_ne!(hash, hash_here(&secret).unwrap(), "salted");
    }

    #[test]
    fn h2_other_programs_can_check_them() {
        use argon2::password_hash::PasswordVerifier as _;
        let secret = Secret::new("correct horse battery");
        let hash = hash_here(&secret).unwrap();
        let foreign = |password: &str| Argon2::default().verify_password(password.as_bytes(), hash.as_str());
        assert!(foreign("correct horse battery").is_ok() && foreign("correct horse batterz").is_err());
    }

    #[test]
    fn h2_nobody_s_hash_costs_what_every_hash_costs() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let real = hash_here(&Secret::new("correct horse battery")).unwrap();
        let real = PasswordHash::new(&real).unwrap();
        assert_eq!((nobody.algorithm, nobody.version, &nobody.params), (real.algorithm, real.version, &real.params));
        assert_eq!(nobody.hash.map(|hash| hash.len()), real.hash.map(|hash| hash.len()));
        assert!(!check_here(&Secret::new("anything"), NOBODY));
    }

    #[test]
    fn easy_passwords_are_refused() {
        for easy in ["", "short", "aaaaaaaaaaaaaa", "1212121212121", "ana-password-1", &"xyzuvw".repeat(100)] {
            assert!(problem("ana", easy).is_some(), "{easy}");
        }
        assert_eq!(problem("ana", "correct horse battery"), None);
    }
}
