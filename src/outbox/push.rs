//! Tells browsers: messages that only the browser can read (RFC 8291), signed so that the push service knows us (RFC 8292). I/O.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::channel::PushSettings;
use super::judge::Verdict;
use super::note::{Note, hex};
use super::webhook::answer;
use crate::ledger::channels::Subscription;
use crate::ledger::rusqlite::{self, OptionalExtension as _, Transaction};
use crate::vocab::{Severity, shorten};

/// `meta` row: the key by which push services know this logmedic.
const KEY_FACT: &str = "push.key";

/// Where the browsers' makers receive messages. What a browser names as its endpoint is called only when it is there:
/// an account must not make logmedic call other addresses.
const SERVICES: &[&str] = &[
    "fcm.googleapis.com",
    "android.googleapis.com",
    "updates.push.services.mozilla.com",
    ".push.services.mozilla.com",
    ".notify.windows.com",
    ".push.apple.com",
    "web.push.apple.com",
];

/// Record size that we state; one message is one record.
const RECORD: u32 = 4096;

/// Longest text in a message, in UTF-16 units: whatever it holds, the message stays below what services take (4096 bytes).
const TITLE: usize = 120;
const TEXT: usize = 700;

/// A message that cannot be delivered for a day is old news.
const TTL_S: u32 = 86_400;

/// How long a signature holds; services refuse more than a day.
const SIGNED_S: i64 = 12 * 3600;

const POINT: usize = 65;
const AUTH: usize = 16;
const ENDPOINT_MAX: usize = 2_048;

/// The key by which push services know us.
pub struct VapidKey {
    pair: EcdsaKeyPair,
}

impl VapidKey {
    /// The key of this logmedic, made when there is none.
    ///
    /// # Errors
    /// What SQLite failed with; also when the stored key is none.
    pub fn load(tx: &Transaction<'_>) -> rusqlite::Result<Self> {
        let stored: Option<String> =
            tx.query_row("SELECT value FROM meta WHERE name = ?1", [KEY_FACT], |row| row.get(0)).optional()?;
        if let Some(key) = stored.and_then(|text| B64.decode(text).ok()).and_then(|bytes| Self::from_bytes(&bytes)) {
            return Ok(key);
        }
        let broken = || rusqlite::Error::ToSqlConversionFailure("no key could be made".into());
        let rng = SystemRandom::new();
        let bytes = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).map_err(|_| broken())?;
        let key = Self::from_bytes(bytes.as_ref()).ok_or_else(broken)?;
        tx.execute(
            "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)",
            [KEY_FACT, &B64.encode(bytes.as_ref())],
        )?;
        Ok(key)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes, &SystemRandom::new()).ok()?;
        Some(Self { pair })
    }

    /// The public key as a browser wants it (`applicationServerKey`), base64url.
    #[must_use]
    pub fn public(&self) -> String {
        B64.encode(self.pair.public_key().as_ref())
    }

    /// The `Authorization` header for an endpoint.
    fn authorization(&self, endpoint: &url::Url, contact: &str, now_s: i64) -> Option<String> {
        let head = B64.encode(json!({ "typ": "JWT", "alg": "ES256" }).to_string());
        let claims = json!({ "aud": endpoint.origin().ascii_serialization(), "exp": now_s + SIGNED_S, "sub": contact });
        let signed = format!("{head}.{}", B64.encode(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        Some(format!("vapid t={signed}.{}, k={}", B64.encode(signature.as_ref()), self.public()))
    }
}

/// Names the channel of a subscription: `push:HASH`.
#[must_use]
pub fn hash(endpoint: &str) -> String {
    hex(&Sha256::digest(endpoint.as_bytes())[..12])
}

/// Checks what a browser sent: that its endpoint may be called, and that its keys are keys.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check(endpoint: &str, p256dh: &str, auth: &str, settings: &PushSettings) -> Result<(), String> {
    let url = url::Url::parse(endpoint).ok().filter(|_| endpoint.len() <= ENDPOINT_MAX);
    let url = url.ok_or("the endpoint is not an address")?;
    let host = url.host_str().unwrap_or_default();
    let own = settings.hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
    let known = own || SERVICES.iter().any(|known| known == &host || (known.starts_with('.') && host.ends_with(known)));
    if !known {
        return Err(format!(
            "`{host}` is no push service that logmedic knows; if it is one, add it to `hosts` of a [[channel]] with kind = \"push\""
        ));
    }
    let local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let usual = url.username().is_empty() && (own || url.port().is_none());
    if !(url.scheme() == "https" || (own && local && url.scheme() == "http")) || !usual {
        return Err("the endpoint must be an https address without user and port".into());
    }
    let point = B64.decode(p256dh.trim_end_matches('=')).ok().filter(|key| key.len() == POINT && key[0] == 4);
    let secret = B64.decode(auth.trim_end_matches('=')).ok().filter(|secret| secret.len() == AUTH);
    if point.is_none() || secret.is_none() {
        return Err("keys.p256dh must be a P-256 point and keys.auth 16 bytes, both base64url".into());
    }
    Ok(())
}

/// Sends one message and judges the answer. [`Verdict::Gone`]: nobody listens there any more.
pub(super) async fn deliver(
    client: &reqwest::Client,
    key: &VapidKey,
    subscription: &Subscription,
    settings: &PushSettings,
    note: &Note,
    now_s: i64,
) -> Verdict {
    // Looked at again: what is allowed may have changed since it subscribed.
    if let Err(error) = check(&subscription.endpoint, &subscription.p256dh, &subscription.auth, settings) {
        return Verdict::Refused(error);
    }
    let contact = settings.contact.as_deref().unwrap_or("https://localhost/logmedic");
    let made = url::Url::parse(&subscription.endpoint).ok().and_then(|url| {
        let body = encrypt(&subscription.p256dh, &subscription.auth, payload(note).as_bytes())?;
        Some((key.authorization(&url, contact, now_s)?, url, body))
    });
    let Some((authorization, url, body)) = made else { return Verdict::Refused("its key is none".into()) };
    let mut request = client
        .post(url)
        .header("authorization", authorization)
        .header("content-encoding", "aes128gcm")
        .header("content-type", "application/octet-stream")
        .header("ttl", TTL_S.to_string())
        .header("urgency", if note.severity >= Severity::Error { "high" } else { "normal" });
    if let Some(thread) = &note.thread {
        // A newer message of the same replaces one that still waits for the browser.
        request = request.header("topic", B64.encode(&Sha256::digest(thread.as_bytes())[..24]));
    }
    match answer(request.body(body)).await {
        Verdict::Refused(said) if said.starts_with("404") || said.starts_with("410") => Verdict::Gone,
        verdict => verdict,
    }
}

/// What the page's worker shows. The identifier lets a newer message replace an older one.
pub(super) fn payload(note: &Note) -> String {
    json!({
        "id": note.thread.as_ref().unwrap_or(&note.event),
        "title": shorten(&note.title, TITLE),
        "body": shorten(&note.text, TEXT),
        "level": note.level.as_str(),
        "why": note.why.as_str(),
        "at": note.at.timestamp_millis(),
    })
    .to_string()
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(salt: &[u8], secret: &[u8], info: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    let key = Salt::new(HKDF_SHA256, salt).extract(secret);
    key.expand(&[info], Length(N)).ok()?.fill(&mut out).ok()?;
    Some(out)
}

/// A message for a browser: RFC 8291 over RFC 8188, one record.
fn encrypt(p256dh: &str, auth: &str, plain: &[u8]) -> Option<Vec<u8>> {
    let rng = SystemRandom::new();
    let theirs = B64.decode(p256dh.trim_end_matches('=')).ok()?;
    let auth = B64.decode(auth.trim_end_matches('=')).ok()?;
    let private = EphemeralPrivateKey::generate(&ECDH_P256, &rng).ok()?;
    let ours = private.compute_public_key().ok()?;
    let ours = ours.as_ref();
    let info = [b"WebPush: info\0".as_slice(), &theirs, ours].concat();
    let secret: [u8; 32] =
        agree_ephemeral(private, &UnparsedPublicKey::new(&ECDH_P256, &theirs), |shared| expand(&auth, shared, &info))
            .ok()??;
    let mut salt = [0; 16];
    rng.fill(&mut salt).ok()?;
    let key: [u8; 16] = expand(&salt, &secret, b"Content-Encoding: aes128gcm\0")?;
    let nonce: [u8; 12] = expand(&salt, &secret, b"Content-Encoding: nonce\0")?;
    let mut record = plain.to_vec();
    // The last record ends with a 2.
    record.push(2);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record).ok()?;
    let mut out = salt.to_vec();
    out.extend_from_slice(&RECORD.to_be_bytes());
    out.push(u8::try_from(ours.len()).ok()?);
    out.extend_from_slice(ours);
    out.extend_from_slice(&record);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256DH: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const SECRET: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    #[test]
    fn h1_a_subscription_cannot_make_us_call_other_addresses() {
        let own = PushSettings { contact: None, hosts: vec!["push.example.org".into(), "127.0.0.1".into()] };
        let none = PushSettings::default();
        let ok = |endpoint: &str, settings: &PushSettings| check(endpoint, P256DH, SECRET, settings).is_ok();
        assert!(ok("https://fcm.googleapis.com/fcm/send/x", &none));
        assert!(ok("https://updates.push.services.mozilla.com/wpush/v2/x", &none));
        assert!(ok("https://push.example.org/x", &own) && ok("http://127.0.0.1:9/x", &own));
        for endpoint in [
            "http://fcm.googleapis.com/x",
            "https://fcm.googleapis.com:8443/x",
            "https://user@fcm.googleapis.com/x",
            "https://fcm.googleapis.com.evil.example/x",
            "https://evilpush.services.mozilla.com.evil.example/",
            "http://169.254.169.254/latest/meta-data",
            "https://127.0.0.1/x",
            "file:///etc/passwd",
            "nonsense",
        ] {
            assert!(!ok(endpoint, &none), "{endpoint}");
        }
        assert!(!ok("http://push.example.org/x", &own), "only this machine without TLS");
        assert!(check("https://fcm.googleapis.com/x", "AAAA", SECRET, &none).is_err());
        assert!(check("https://fcm.googleapis.com/x", P256DH, "AAAA", &none).is_err());
    }

    #[test]
    fn e2_a_message_to_a_browser_fits_one_record() {
        let body = encrypt(P256DH, SECRET, &[b'x'; 3_000]).unwrap();
        assert_eq!(body.len(), 16 + 4 + 1 + POINT + 3_000 + 1 + 16);
        assert_eq!((body[20], body[21]), (65, 4));
        assert!(encrypt("AAAA", SECRET, b"x").is_none());
    }
}
