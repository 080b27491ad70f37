//! The body of a push message: encrypted so that only the browser opens it (RFC 8291), in one record of `aes128gcm` (RFC 8188).
//!
//! The push service sees the octets and their number, and never what they say; so texts are padded to few lengths. Every message has
//! an own key pair and salt; none is ever used twice.

use aes_gcm::aead::Aead as _;
use aes_gcm::{Aes128Gcm, KeyInit as _};
use hkdf::Hkdf;
use hmac_sha2::Sha256;
use p256::{PublicKey, SecretKey};

/// Octets of one record: what every push service takes (RFC 8030, section 7.2).
const RECORD: u32 = 4096;
/// Texts are filled up to a multiple of so many octets.
const STEP: usize = 1024;
/// The longest text: a record without its header (86 octets), tag (16) and delimiter (1).
const LONGEST: usize = RECORD as usize - 86 - 16 - 1;
/// Ends the text of the last record (RFC 8188, section 2).
const LAST: u8 = 2;

/// What a browser gives to those who may write to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reader {
    /// Its public key.
    pub(super) key: PublicKey,
    /// What both sides, and not the push service, know.
    pub(super) auth: [u8; 16],
}

/// A text could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No randomness.
    #[error("the system gives no random numbers; try again")]
    Random,
    /// It does not fit into one message.
    #[error("the message is too long for a push service")]
    Long,
}

/// A new private key.
pub(super) fn new_key() -> Result<SecretKey, SealError> {
    loop {
        let mut octets = [0; 32];
        getrandom::fill(&mut octets).map_err(|_| SealError::Random)?;
        if let Ok(key) = SecretKey::from_slice(&octets) {
            return Ok(key); // all numbers but one in 2^32 are one
        }
    }
}

/// The body of a message that says `text`.
pub(super) fn seal(reader: &Reader, text: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| SealError::Random)?;
    let filled = (text.len() + 1).next_multiple_of(STEP).min(LONGEST + 1);
    seal_with(reader, text, filled, &new_key()?, salt)
}

/// The same with everything given; `filled`: octets of the text with its delimiter and padding.
fn seal_with(
    reader: &Reader,
    text: &[u8],
    filled: usize,
    own: &SecretKey,
    salt: [u8; 16],
) -> Result<Vec<u8>, SealError> {
    if text.len() > LONGEST {
        return Err(SealError::Long);
    }
    let own_public = own.public_key().to_sec1_bytes();
    let (key, nonce) = keys(reader, own, &own_public, salt)?;
    let mut record = text.to_vec();
    record.push(LAST);
    record.resize(filled.max(record.len()), 0);
    let sealed = Aes128Gcm::new(&key.into()).encrypt(&nonce.into(), record.as_slice());
    let sealed = sealed.map_err(|_| SealError::Long)?;
    let id_length = u8::try_from(own_public.len()).map_err(|_| SealError::Long)?;
    Ok([
        &salt[..],
        &RECORD.to_be_bytes(),
        &[id_length],
        &own_public,
        &sealed,
    ]
    .concat())
}

/// Key and nonce of the record (RFC 8291, section 3.4).
fn keys(
    reader: &Reader,
    own: &SecretKey,
    own_public: &[u8],
    salt: [u8; 16],
) -> Result<([u8; 16], [u8; 12]), SealError> {
    let shared = own.diffie_hellman(&reader.key);
    let info = [&b"WebPush: info\0"[..], &reader.key.to_sec1_bytes(), own_public].concat();
    let (mut input, mut key, mut nonce) = ([0; 32], [0; 16], [0; 12]);
    let long = |_| SealError::Long; // none of the three is
    Hkdf::<Sha256>::new(Some(&reader.auth), shared.raw_secret_bytes())
        .expand(&info, &mut input)
        .map_err(long)?;
    let derived = Hkdf::<Sha256>::new(Some(&salt), &input);
    derived
        .expand(b"Content-Encoding: aes128gcm\0", &mut key)
        .map_err(long)?;
    derived
        .expand(b"Content-Encoding: nonce\0", &mut nonce)
        .map_err(long)?;
    Ok((key, nonce))
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64URL_NOPAD;

    fn octets(text: &str) -> Vec<u8> {
        BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_message_is_the_one_of_rfc_8291_appendix_a() {
        let public =
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        let reader = Reader {
            key: PublicKey::from_sec1_bytes(&octets(public)).unwrap(),
            auth: octets("BTBZMqHH6r4Tts7J_aSIgg").try_into().unwrap(),
        };
        let own = SecretKey::from_slice(&octets("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")).unwrap();
        let salt = octets("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let text = b"When I grow up, I want to be a watermelon";
        let sealed = seal_with(&reader, text, 0, &own, salt).unwrap();
        assert_eq!(
            BASE64URL_NOPAD.encode(&sealed),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6\
             PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn a_length_tells_little_and_nothing_is_longer_than_a_record() {
        let reader = Reader {
            key: new_key().unwrap().public_key(),
            auth: [7; 16],
        };
        let length = |text: usize| seal(&reader, &vec![b'x'; text]).map(|sealed| sealed.len());
        assert_eq!(length(0), length(1000));
        assert_eq!(length(0), Ok(86 + 1024 + 16));
        assert_eq!(length(1024), Ok(86 + 2048 + 16));
        assert_eq!(length(LONGEST), Ok(4096));
        assert_eq!(length(LONGEST + 1), Err(SealError::Long));
        assert_ne!(
            seal(&reader, b"x"),
            seal(&reader, b"x"),
            "keys and salts are used once"
        );
    }
}
