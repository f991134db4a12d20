//! Signs and reads JSON Web Tokens: HS256 and nothing else. I/O: the key is a file in the state directory.
//!
//! A token says which session it is of and what that session might do when it was made. Whether that still holds is
//! asked of the ledger each time; a token alone opens nothing.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::random;
use crate::vocab::Role;

/// Longer tokens are none of ours.
const TOKEN_MAX: usize = 2_048;

/// Length of the key: that of the hash (RFC 7518, 3.2).
const KEY_LEN: usize = 32;

/// The key's file in the state directory. Not in the database: a backup of that must not sign anything.
const KEY_FILE: &str = "token.key";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whose it is.
    pub sub: String,
    /// What that account might do when the token was made.
    pub role: Role,
    /// The session.
    pub sid: String,
    /// The account's generation when the token was made.
    #[serde(rename = "gen")]
    pub generation: i64,
    /// The token's own number.
    pub jti: String,
    /// When it was made, Unix seconds.
    pub iat: i64,
    /// When it ends, Unix seconds.
    pub exp: i64,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("failed to use the key of tokens {path}: {source}; let this user read and write the state directory")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// Others may read it, or it is no key.
    #[error("failed to use the key of tokens {path}: {why}; delete it, and everybody logs in again")]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// No randomness.
    #[error(transparent)]
    Random(#[from] random::NoRandomness),
}

/// The key that signs.
#[derive(Clone)]
pub struct Key([u8; KEY_LEN]);

impl Key {
    /// Reads the key in the state directory; makes one when there is none.
    ///
    /// # Errors
    /// When the file cannot be used, or others may read it.
    pub fn open(state: &Path) -> Result<Self, KeyError> {
        let path = state.join(KEY_FILE);
        if !path.exists() {
            let io = |source| KeyError::Io { path: path.clone(), source };
            // Two may begin at once: the first link wins, and both read that.
            let fresh = state.join(format!("{KEY_FILE}.{}", std::process::id()));
            let _ = std::fs::remove_file(&fresh);
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(io)?;
            file.write_all(&random::bytes::<KEY_LEN>()?).and_then(|()| file.sync_all()).map_err(io)?;
            let linked = std::fs::hard_link(&fresh, &path);
            let _ = std::fs::remove_file(&fresh);
            if let Err(error) = linked
                && error.kind() != std::io::ErrorKind::AlreadyExists
            {
                return Err(io(error));
            }
        }
        Self::read(&path)
    }

    fn read(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { path: path.into(), source };
        let bad = |why| KeyError::Bad { path: path.into(), why };
        let mut file = std::fs::File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if meta.permissions().mode() & 0o077 != 0 {
            return Err(bad("other users may use it"));
        }
        if !meta.is_file() || meta.len() != KEY_LEN as u64 {
            return Err(bad("it is not 32 bytes"));
        }
        let mut key = [0; KEY_LEN];
        file.read_exact(&mut key).map_err(io)?;
        Ok(Self(key))
    }

    /// A key that nobody keeps, for tests.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn random() -> Result<Self, KeyError> {
        Ok(Self(random::bytes()?))
    }

    /// Signs. `None` cannot happen with these claims; it is not worth a panic.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> Option<String> {
        LazyLock::force(&PROVIDER);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(&self.0)).ok()
    }

    /// What a token says, when we signed it and it has not ended at `now` (Unix seconds).
    #[must_use]
    pub fn read_token(&self, token: &str, now: i64) -> Option<Claims> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        LazyLock::force(&PROVIDER);
        let mut validation = Validation::new(Algorithm::HS256);
        // Time comes in as an argument, and there is no second clock to be lenient with.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let data = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(&self.0), &validation).ok()?;
        Some(data.claims).filter(|claims| claims.exp > now)
    }
}

/// The library asks for its cryptography once a process. Ours is the only one in this program: a second call changes
/// nothing.
static PROVIDER: LazyLock<()> = LazyLock::new(|| {
    static RING: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| match algorithm {
            Algorithm::HS256 => Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        verifier_factory: |algorithm, key| match algorithm {
            Algorithm::HS256 => Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.try_get_as_bytes()?)))),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    let _ = RING.install_default();
});

struct Hs256(hmac::Key);

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        // In constant time.
        hmac::verify(&self.0, message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn claims() -> Claims {
        let (sub, sid, jti) = ("ana".to_owned(), "S".to_owned(), "J".to_owned());
        Claims { sub, role: Role::Viewer, sid, generation: 3, jti, iat: 1_000, exp: 2_000 }
    }

    #[test]
    fn h2_only_our_own_tokens_count_and_only_in_time() {
        let key = Key::random().unwrap();
        let token = key.sign(&claims()).unwrap();
        assert_eq!(key.read_token(&token, 1_999), Some(claims()));
        assert_eq!(key.read_token(&token, 2_000), None, "ended");
        assert_eq!(Key::random().unwrap().read_token(&token, 1_500), None, "signed by another key");
        let parts: Vec<&str> = token.split('.').collect();
        let json = serde_json::to_string(&Claims { role: Role::Admin, ..claims() }).unwrap();
        let forged = URL_SAFE_NO_PAD.encode(json);
        assert_eq!(key.read_token(&format!("{}.{forged}.{}", parts[0], parts[2]), 1_500), None, "claims changed");
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"None","typ":"JWT"}"#, r#"{"alg":"HS512"}"#, r#"{"alg":"RS256"}"#]
        {
            let header = URL_SAFE_NO_PAD.encode(header);
            for signature in ["", parts[2]] {
                assert_eq!(key.read_token(&format!("{header}.{}.{signature}", parts[1]), 1_500), None, "{header}");
            }
        }
        for odd in ["", ".", "..", "a.b.c", &"x".repeat(100_000)] {
            assert_eq!(key.read_token(odd, 1_500), None);
        }
    }

    #[test]
    fn the_key_is_made_once_and_refused_when_others_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let token = Key::open(dir.path()).unwrap().sign(&claims()).unwrap();
        assert!(Key::open(dir.path()).unwrap().read_token(&token, 1_500).is_some());
        let path = dir.path().join(KEY_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Key::open(dir.path()), Err(KeyError::Bad { .. })));
    }
}
