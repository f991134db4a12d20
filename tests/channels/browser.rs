//! A browser that subscribed: it decrypts what the push service was given, by the steps of RFC 8291 written down here once more.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hmac::{HMAC_SHA256, Key, sign};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey as VerifyKey};

use super::rig::Got;

pub struct Browser {
    private: EphemeralPrivateKey,
    pub public: Vec<u8>,
    pub auth: [u8; 16],
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), data).as_ref().to_vec()
}

impl Browser {
    pub fn new() -> Self {
        let private = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
        let public = private.compute_public_key().unwrap().as_ref().to_vec();
        Self { private, public, auth: *b"sixteen bytes ok" }
    }

    pub fn p256dh(&self) -> String {
        B64.encode(&self.public)
    }

    pub fn secret(&self) -> String {
        B64.encode(self.auth)
    }

    /// The message. The key is for one use, as the library wants it.
    pub fn decrypt(self, body: &[u8]) -> serde_json::Value {
        let (salt, rest) = body.split_at(16);
        assert_eq!(rest[..4], 4096u32.to_be_bytes());
        let length = rest[4] as usize;
        let (theirs, sealed) = rest[5..].split_at(length);
        let shared =
            agree_ephemeral(self.private, &UnparsedPublicKey::new(&ECDH_P256, theirs), <[u8]>::to_vec).unwrap();
        let prk = hmac(&self.auth, &shared);
        let info = [b"WebPush: info\0".as_slice(), &self.public, theirs, &[1]].concat();
        let ikm = hmac(&prk, &info);
        let prk = hmac(salt, &ikm);
        let key = hmac(&prk, b"Content-Encoding: aes128gcm\0\x01")[..16].to_vec();
        let nonce: [u8; 12] = hmac(&prk, b"Content-Encoding: nonce\0\x01")[..12].try_into().unwrap();
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let mut sealed = sealed.to_vec();
        let plain = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed).unwrap();
        assert_eq!(plain.last(), Some(&2), "the last record");
        serde_json::from_slice(&plain[..plain.len() - 1]).unwrap()
    }
}

/// Checks the signature as a push service does (RFC 8292), and gives the claims.
pub fn claims(got: &Got, key: &str) -> serde_json::Value {
    let header = got.header("authorization").strip_prefix("vapid t=").unwrap();
    let (token, shown) = header.split_once(", k=").unwrap();
    assert_eq!(shown, key);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = B64.decode(key).unwrap();
    VerifyKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(signed.as_bytes(), &B64.decode(signature).unwrap()).unwrap();
    let (head, claims) = signed.split_once('.').unwrap();
    let head: serde_json::Value = serde_json::from_slice(&B64.decode(head).unwrap()).unwrap();
    assert_eq!(head["alg"], "ES256");
    serde_json::from_slice(&B64.decode(claims).unwrap()).unwrap()
}
