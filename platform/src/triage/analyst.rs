//! Analysts: who they are, and the key that each holds on their own machine.
//!
//! ```text
//!   seed (file, 0600, leaves the analyst's machine never) ─┬▶ Ed25519: signs acts and decisions
//!                                                          └▶ X25519: opens the analyst's ring
//! ```
//!
//! The platform knows the two public keys and a name. It never prints a seed.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use isigurt_wire::seal::{PrivateKey, PublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::TriageError;

/// Version of the key file.
const FORMAT: u32 = 1;
/// The longest name of an analyst, octets.
const NAME: usize = 40;

/// An analyst, with the key.
pub(crate) struct Analyst {
    /// The name.
    pub(crate) name: String,
    /// What signs acts and decisions.
    pub(crate) signing: SigningKey,
    /// What opens the ring.
    pub(crate) opening: PrivateKey,
}

impl std::fmt::Debug for Analyst {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Analyst({})", self.name)
    }
}

/// What everybody may know of an analyst: what is told to whoever adds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Public {
    pub(crate) name: String,
    /// Ed25519.
    pub(crate) sign: [u8; 32],
    /// X25519.
    pub(crate) open: PublicKey,
}

/// The key file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: u32,
    name: String,
    seed: String,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.seed);
    }
}

impl Analyst {
    /// Makes a new key, in a new file that only its owner reads.
    pub(crate) fn make(name: &str, file: &Path) -> Result<Self, TriageError> {
        let name = checked(name)?;
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| TriageError::Random)?;
        let text = toml::to_string(&KeyFile {
            format: FORMAT,
            name: name.clone(),
            seed: HEXLOWER.encode(seed.as_slice()),
        });
        let text = Zeroizing::new(text.map_err(|error| TriageError::Form(error.to_string()))?);
        let wrong = |error| TriageError::File(file.to_owned(), error);
        let mut out = std::fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)
            .map_err(wrong)?;
        out.write_all(text.as_bytes()).map_err(wrong)?;
        out.sync_all().map_err(wrong)?;
        Ok(Self::from_seed(name, &seed))
    }

    /// Reads the key; a file that others can read is refused.
    pub(crate) fn read(file: &Path) -> Result<Self, TriageError> {
        let text = private(file)?;
        let wrong = |what: &str| TriageError::Key(file.to_owned(), what.to_owned());
        let key: KeyFile = toml::from_str(&text).map_err(|error| wrong(error.message()))?;
        if key.format != FORMAT {
            return Err(wrong(&format!(
                "form {}; this program reads form {FORMAT}",
                key.format
            )));
        }
        let seed = octets(&key.seed).ok_or_else(|| wrong("seed: expected 64 hexadecimal digits"))?;
        Ok(Self::from_seed(checked(&key.name)?, &seed))
    }

    fn from_seed(name: String, seed: &[u8; 32]) -> Self {
        let sign = Zeroizing::new(blake3::derive_key("isigurt analyst signs 1", seed));
        let open = Zeroizing::new(blake3::derive_key("isigurt analyst opens 1", seed));
        Self {
            name,
            signing: SigningKey::from_bytes(&sign),
            opening: PrivateKey::from_octets(*open),
        }
    }

    /// What everybody may know.
    pub(crate) fn public(&self) -> Result<Public, TriageError> {
        Ok(Public {
            name: self.name.clone(),
            sign: *self.signing.verifying_key().as_bytes(),
            open: self.opening.public()?,
        })
    }
}

impl Public {
    /// From the words that it is written as: name, signing key, opening key.
    pub(crate) fn parse(name: &str, sign: &str, open: &str) -> Result<Self, TriageError> {
        let wrong = |what: &str| TriageError::Form(format!("{what}: expected 64 hexadecimal digits"));
        let sign = *octets(sign).ok_or_else(|| wrong("signing key"))?;
        ed25519_dalek::VerifyingKey::from_bytes(&sign).map_err(|_| wrong("signing key"))?;
        Ok(Self {
            name: checked(name)?,
            sign,
            open: PublicKey::from_hex(open).map_err(|_| wrong("opening key"))?,
        })
    }
}

impl std::fmt::Display for Public {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, open) = (HEXLOWER.encode(&self.sign), self.open.to_hex());
        write!(out, "{} {sign} {open}", self.name)
    }
}

/// The text of a file that only its owner can read.
fn private(file: &Path) -> Result<Zeroizing<String>, TriageError> {
    let wrong = |error| TriageError::File(file.to_owned(), error);
    if std::fs::metadata(file).map_err(wrong)?.mode() & 0o077 != 0 {
        return Err(TriageError::Open(file.to_owned()));
    }
    std::fs::read_to_string(file).map(Zeroizing::new).map_err(wrong)
}

/// 32 octets from 64 hexadecimal digits.
fn octets(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let octets = Zeroizing::new(HEXLOWER.decode(text.trim().as_bytes()).ok()?);
    <[u8; 32]>::try_from(octets.as_slice()).ok().map(Zeroizing::new)
}

/// A private X25519 key from its file, 64 hexadecimal digits.
pub(crate) fn report_key(file: &Path) -> Result<PrivateKey, TriageError> {
    let octets = octets(&private(file)?)
        .ok_or_else(|| TriageError::Key(file.to_owned(), "expected 64 hexadecimal digits".to_owned()))?;
    Ok(PrivateKey::from_octets(*octets))
}

/// A name that goes into signed lines and pages: letters, digits, hyphens.
fn checked(name: &str) -> Result<String, TriageError> {
    let plain = |letter: char| letter.is_alphanumeric() || "-._".contains(letter);
    if name.is_empty() || name.len() > NAME || !name.chars().all(plain) {
        let what = format!(
            "{name:?} is no name of an analyst; expected letters, digits, hyphens, {NAME} octets at most"
        );
        return Err(TriageError::Form(what));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_read_as_it_was_made_is_private_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ana.key");
        let made = Analyst::make("ana", &file).unwrap();
        let read = Analyst::read(&file).unwrap();
        assert_eq!(made.public().unwrap(), read.public().unwrap());
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(Analyst::make("ana", &file), Err(TriageError::File(..))));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Analyst::read(&file).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn what_everybody_may_know_is_written_as_it_is_read_and_holds_no_seed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ana.key");
        let made = Analyst::make("ana", &file).unwrap();
        let public = made.public().unwrap();
        let text = public.to_string();
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(Public::parse(words[0], words[1], words[2]).unwrap(), public);
        let seed: KeyFile = toml::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert!(!text.contains(&seed.seed) && !format!("{made:?}").contains(&seed.seed));
        for name in ["", "a b", "<b>", &"x".repeat(41)] {
            assert!(Public::parse(name, words[1], words[2]).is_err(), "{name:?}");
        }
    }
}
