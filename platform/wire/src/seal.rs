//! Sealing (HPKE, RFC 9180, base mode): anybody can write to the holder of a key, only the holder can read.
//!
//! ```text
//! sealed = encapsulated key (32 octets) · ciphertext with tag
//! plain  = JSON · zeros, up to a multiple of a block   (JSON does not end with a zero octet)
//! ```
//!
//! The purpose goes in as `info`, the report's id as associated data: what was sealed for one purpose or id does not open
//! as another.

use std::fmt;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

/// The cipher suite: KEM, KDF and AEAD by the names of RFC 9180, section 7.
pub const SUITE: &str = "DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305";

/// What reports are sealed for.
pub const REPORT: &[u8] = b"isigurt report 1";
/// What the platform seals confirmed names for, between its triage and its publisher.
pub const DECISION: &[u8] = b"isigurt decision 1";

const KEY: usize = 32;

/// Why something is not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not a key.
    #[error("not an X25519 key of 32 octets")]
    Key,
    /// It was sealed to another key, for another purpose or id, or was changed on its way.
    #[error("does not open: another key, another purpose, or damaged")]
    Open,
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; KEY]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicKey({})", self.to_hex())
    }
}

impl PublicKey {
    /// From 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, SealError> {
        let octets = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        let octets: [u8; KEY] = octets
            .ok()
            .and_then(|octets| octets.try_into().ok())
            .ok_or(SealError::Key)?;
        <X25519HkdfSha256 as hpke::Kem>::PublicKey::from_bytes(&octets).map_err(|_| SealError::Key)?;
        Ok(Self(octets))
    }

    /// 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    /// A short name of the key: 64 bits of its BLAKE3, hexadecimal.
    pub fn id(&self) -> String {
        let hash = blake3::hash(&self.0);
        data_encoding::HEXLOWER.encode(hash.as_bytes().split_at(8).0)
    }
}

/// A private key; forgotten when it is dropped, never printed.
pub struct PrivateKey(Zeroizing<[u8; KEY]>);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PrivateKey(…)")
    }
}

impl PrivateKey {
    /// A new one.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0; KEY]);
        getrandom::fill(seed.as_mut_slice())?;
        let (private, _) = X25519HkdfSha256::derive_keypair(seed.as_slice());
        Ok(Self(Zeroizing::new(private.to_bytes().into())))
    }

    /// From its 32 octets.
    pub fn from_octets(octets: [u8; KEY]) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// Its 32 octets.
    pub fn octets(&self) -> &[u8; KEY] {
        &self.0
    }

    fn key(&self) -> Result<<X25519HkdfSha256 as hpke::Kem>::PrivateKey, SealError> {
        <X25519HkdfSha256 as hpke::Kem>::PrivateKey::from_bytes(self.0.as_slice()).map_err(|_| SealError::Key)
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> Result<PublicKey, SealError> {
        let public = X25519HkdfSha256::sk_to_pk(&self.key()?);
        Ok(PublicKey(public.to_bytes().into()))
    }
}

/// Seals `plain` to `key`, padded with zeros to a multiple of `block` octets.
pub fn seal(
    key: &PublicKey,
    purpose: &[u8],
    id: &[u8],
    plain: &[u8],
    block: usize,
) -> Result<Vec<u8>, SealError> {
    let key = <X25519HkdfSha256 as hpke::Kem>::PublicKey::from_bytes(&key.0).map_err(|_| SealError::Key)?;
    let mut padded = Zeroizing::new(Vec::with_capacity(plain.len().next_multiple_of(block.max(1))));
    padded.extend_from_slice(plain);
    padded.resize(plain.len().next_multiple_of(block.max(1)), 0);
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &key,
            purpose,
            &padded,
            id,
        )
        .map_err(|_| SealError::Key)?;
    let mut sealed = encapsulated.to_bytes().to_vec();
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

/// Opens what [`seal`] made, without its padding.
pub fn open(
    key: &PrivateKey,
    purpose: &[u8],
    id: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (encapsulated, ciphertext) = sealed.split_at_checked(KEY).ok_or(SealError::Open)?;
    let encapsulated = <X25519HkdfSha256 as hpke::Kem>::EncappedKey::from_bytes(encapsulated)
        .map_err(|_| SealError::Open)?;
    let plain = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &key.key()?,
        &encapsulated,
        purpose,
        ciphertext,
        id,
    )
    .map_err(|_| SealError::Open)?;
    let mut plain = Zeroizing::new(plain);
    let length = plain
        .iter()
        .rposition(|&octet| octet != 0)
        .map_or(0, |last| last + 1);
    plain.truncate(length);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_holder_opens_and_only_for_the_same_purpose_and_id() {
        let key = PrivateKey::generate().unwrap();
        let public = PublicKey::from_hex(&key.public().unwrap().to_hex()).unwrap();
        let sealed = seal(&public, REPORT, b"1", b"{\"a\":1}", 1024).unwrap();
        assert_eq!(sealed.len(), 32 + 1024 + 16);
        assert_eq!(&**open(&key, REPORT, b"1", &sealed).unwrap(), b"{\"a\":1}");
        assert_eq!(open(&key, DECISION, b"1", &sealed), Err(SealError::Open));
        assert_eq!(open(&key, REPORT, b"2", &sealed), Err(SealError::Open));
        let other = PrivateKey::generate().unwrap();
        assert_eq!(open(&other, REPORT, b"1", &sealed), Err(SealError::Open));
        assert!(PublicKey::from_hex("00").is_err());
        assert!(!format!("{key:?}").contains(&data_encoding::HEXLOWER.encode(key.octets())));
    }

    #[test]
    fn whatever_was_changed_or_cut_does_not_open() {
        let key = PrivateKey::generate().unwrap();
        let sealed = seal(&key.public().unwrap(), REPORT, b"", b"x", 16).unwrap();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(open(&key, REPORT, b"", &changed).is_err(), "octet {place}");
            assert!(
                open(&key, REPORT, b"", &sealed[..place]).is_err(),
                "cut at {place}"
            );
        }
    }
}
