//! Tokens: taken only where everything about them is right (OpenID Connect Core 1.0, section 3.1.3.7).

use data_encoding::BASE64URL_NOPAD;
use openidconnect::core::{CoreClient, CoreIdToken, CoreJwsSigningAlgorithm, CoreProviderMetadata};
use openidconnect::{
    ClaimsVerificationError, EndpointMaybeSet, EndpointNotSet, EndpointSet, Nonce, SignatureVerificationError,
};
use serde_json::Value;

/// Clocks may differ by so much, seconds.
const SKEW_S: i64 = 60;

pub(super) type RelyingParty = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Algorithms whose keys the service alone has. `none` and those with a shared secret are not among them.
const SIGNED_BY_THE_SERVICE: &[CoreJwsSigningAlgorithm] = &[
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The claims of a token, if all is right with it at `now`.
pub(super) fn verify(
    client: &RelyingParty,
    metadata: &CoreProviderMetadata,
    token: &CoreIdToken,
    nonce: &Nonce,
    now: i64,
) -> Result<Value, ClaimsVerificationError> {
    let offered = metadata.id_token_signing_alg_values_supported();
    let allowed = SIGNED_BY_THE_SERVICE
        .iter()
        .filter(|one| offered.contains(one))
        .cloned();
    let at = move |seconds: i64| chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    let verifier = client
        .id_token_verifier()
        .set_allowed_algs(allowed)
        .set_time_fn(move || at(now - SKEW_S))
        .set_issue_time_verifier_fn(move |issued| {
            if issued > at(now + SKEW_S) {
                return Err("it was issued in the future".to_owned());
            }
            Ok(())
        });
    token.claims(&verifier, nonce)?;
    payload(&token.to_string())
        .ok_or_else(|| ClaimsVerificationError::Other("its claims cannot be read".to_owned()))
}

/// All claims, of which the library keeps those that it knows.
pub(super) fn payload(token: &str) -> Option<Value> {
    let middle = token.split('.').nth(1)?;
    let octets = BASE64URL_NOPAD.decode(middle.as_bytes()).ok()?;
    serde_json::from_slice(&octets).ok()
}

/// Whether the token is signed by a key that the service did not have when its keys were fetched.
pub(super) fn unknown_key(error: &ClaimsVerificationError) -> bool {
    use SignatureVerificationError::{CryptoError, NoMatchingKey};
    matches!(
        error,
        ClaimsVerificationError::SignatureVerification(NoMatchingKey | CryptoError(_))
    )
}

/// For the log.
pub(super) fn told(error: &ClaimsVerificationError) -> String {
    match error {
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
            "it is signed by a key that the service does not publish".to_owned()
        }
        ClaimsVerificationError::SignatureVerification(why) => format!("its signature is not good: {why}"),
        other => other.to_string(),
    }
}
