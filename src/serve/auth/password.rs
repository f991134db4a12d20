//! Hashes and checks passwords: argon2id, away from the runtime's threads, few at once. I/O.

use std::sync::Arc;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Argon2, PasswordHash};
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
    let hash = Argon2::default().hash_password_with_salt(password.expose().as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).map_err(|_| PasswordError::Failed)
}

fn check_here(password: &Secret, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok()
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
