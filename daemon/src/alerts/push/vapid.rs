//! Who the gateway is to push services (VAPID, RFC 8292): one key for all browsers, made when the first asks for it.
//!
//! A browser subscribes for this key, and its push service takes messages signed with it alone; so it is kept with the state and is
//! in backups: with a lost key every browser would have to subscribe anew. It never leaves the state.

use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use super::seal::{SealError, new_key};
use crate::http::Url;
use crate::store::{Store, StoreError, Table};

const KEYS: Table<Kept> = Table::new("push-key", &[]);
const NAME: &str = "vapid";
/// How long a token is good, seconds; RFC 8292, section 2 allows 24 hours, and clocks differ.
const GOOD_S: i64 = 12 * 3600;

#[derive(Serialize, Deserialize)]
struct Kept {
    secret: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No randomness.
    #[error(transparent)]
    Random(#[from] SealError),
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is kept is no key.
    #[error("the key of push messages in the state is none; take a backup back")]
    Damaged,
}

/// The key, once there is one.
#[derive(Debug, Default)]
pub(super) struct Vapid(Mutex<Option<Arc<SigningKey>>>);

impl Vapid {
    /// The key, made and kept where there is none.
    pub(super) fn key(&self, store: &Store) -> Result<Arc<SigningKey>, KeyError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*held {
            return Ok(key.clone());
        }
        let secret = if let Some(kept) = store.get(&KEYS, NAME)? {
            let octets = BASE64URL_NOPAD.decode(Zeroizing::new(kept.secret).as_bytes());
            let octets = Zeroizing::new(octets.map_err(|_| KeyError::Damaged)?);
            SecretKey::from_slice(&octets).map_err(|_| KeyError::Damaged)?
        } else {
            let secret = new_key()?;
            let kept = Kept {
                secret: BASE64URL_NOPAD.encode(&secret.to_bytes()),
            };
            store.put(&KEYS, NAME, &kept)?;
            secret
        };
        let key = Arc::new(SigningKey::from(&secret));
        *held = Some(key.clone());
        Ok(key)
    }
}

/// The key as browsers take it: an uncompressed point, base64url.
pub(super) fn public(key: &SigningKey) -> String {
    BASE64URL_NOPAD.encode(&key.verifying_key().to_sec1_point(false).to_bytes())
}

/// The `Authorization` of a message to `endpoint`; `now` in seconds since 1970.
pub(super) fn authorization(key: &SigningKey, endpoint: &Url, contact: &str, now: i64) -> String {
    let header = json!({ "typ": "JWT", "alg": "ES256" });
    let audience = endpoint.origin().ascii_serialization();
    let claims = json!({ "aud": audience, "exp": now.saturating_add(GOOD_S), "sub": contact });
    let part = |value: &serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature: Signature = key.sign(signed.as_bytes());
    let signature = BASE64URL_NOPAD.encode(&signature.to_bytes());
    format!("vapid t={signed}.{signature}, k={}", public(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::VerifyingKey;
    use p256::ecdsa::signature::Verifier as _;

    #[test]
    fn a_token_is_for_one_push_service_for_half_a_day_and_its_signature_is_the_keys() {
        let store = Store::in_memory(std::path::Path::new("/nowhere"));
        let key = Vapid::default().key(&store).unwrap();
        let endpoint = Url::parse("https://push.example:8443/send/secret?x=1").unwrap();
        let said = authorization(&key, &endpoint, "mailto:it@school.example", 1_000);
        let (token, public) = said.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        let point = BASE64URL_NOPAD.decode(public.as_bytes()).unwrap();
        assert_eq!((point.len(), point[0]), (65, 4));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature =
            Signature::from_slice(&BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap()).unwrap();
        let verifying = VerifyingKey::from_sec1_bytes(&point).unwrap();
        verifying.verify(signed.as_bytes(), &signature).unwrap();
        let claims = signed.split_once('.').unwrap().1;
        let claims: serde_json::Value =
            serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap();
        assert_eq!(
            claims,
            json!({ "aud": "https://push.example:8443", "exp": 44_200, "sub": "mailto:it@school.example" })
        );
        assert!(
            !said.contains("secret"),
            "the address of the browser is in no token"
        );
    }

    #[test]
    fn the_key_is_made_once_and_stays() {
        let store = Store::in_memory(std::path::Path::new("/nowhere"));
        let first = public(&Vapid::default().key(&store).unwrap());
        let again = public(&Vapid::default().key(&store).unwrap());
        assert_eq!(first, again);
        store
            .put(
                &KEYS,
                NAME,
                &Kept {
                    secret: "AAAA".to_owned(),
                },
            )
            .unwrap();
        assert!(matches!(Vapid::default().key(&store), Err(KeyError::Damaged)));
    }
}
