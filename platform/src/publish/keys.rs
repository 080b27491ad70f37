//! Keys of the publisher: public ones by their id in TUF metadata, private ones that this machine holds.
//!
//! Private keys are read from files that only their owner can read, kept in memory, wiped when dropped, never printed.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use ed25519_dalek::{SigningKey, VerifyingKey};
use isigurt_wire::seal;

use crate::keygen::key_id;

/// A public Ed25519 key.
#[derive(Debug, Clone)]
pub(crate) struct Public {
    /// The id that TUF metadata names it by.
    pub(crate) id: String,
    pub(crate) key: VerifyingKey,
}

impl Public {
    /// Reads a PEM file that `keygen` wrote.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let key = VerifyingKey::from_public_key_pem(&text).with_context(|| {
            format!(
                "{}: expected an Ed25519 public key in PEM, as keygen writes it",
                file.display()
            )
        })?;
        Ok(Self::of(key))
    }

    pub(crate) fn of(key: VerifyingKey) -> Self {
        Self {
            id: key_id(key.as_bytes()),
            key,
        }
    }
}

/// Private keys, by id.
#[derive(Default)]
pub(crate) struct Ring(BTreeMap<String, SigningKey>);

impl Ring {
    /// All `*.pk8` files of the folders; a folder that is missing holds none.
    pub(crate) fn open(folders: &[PathBuf]) -> anyhow::Result<Self> {
        let mut ring = Self::default();
        for folder in folders.iter().filter(|folder| folder.exists()) {
            for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
                let file = entry?.path();
                if file.extension().is_some_and(|extension| extension == "pk8") {
                    ring.add(private(&file)?);
                }
            }
        }
        Ok(ring)
    }

    /// The ring of one key.
    pub(crate) fn of(file: &Path) -> anyhow::Result<Self> {
        let mut ring = Self::default();
        ring.add(private(file)?);
        Ok(ring)
    }

    fn add(&mut self, key: SigningKey) {
        self.0.insert(key_id(key.verifying_key().as_bytes()), key);
    }

    pub(crate) fn get(&self, id: &str) -> Option<&SigningKey> {
        self.0.get(id)
    }
}

/// Reads a private Ed25519 key, which nobody but its owner may be able to read.
pub(crate) fn private(file: &Path) -> anyhow::Result<SigningKey> {
    let octets = secret(file)?;
    SigningKey::from_pkcs8_der(&octets)
        .with_context(|| format!("{}: expected an Ed25519 private key, PKCS#8 DER", file.display()))
}

/// Reads a private X25519 key: 64 hexadecimal digits.
pub(crate) fn private_x25519(file: &Path) -> anyhow::Result<seal::PrivateKey> {
    let octets = secret(file)?;
    let octets = data_encoding::HEXLOWER_PERMISSIVE
        .decode(octets.trim_ascii())
        .ok();
    let octets = octets.and_then(|octets| octets.try_into().ok());
    let octets = octets.with_context(|| format!("{}: expected 64 hexadecimal digits", file.display()))?;
    Ok(seal::PrivateKey::from_octets(octets))
}

/// Reads a public X25519 key: 64 hexadecimal digits.
pub(crate) fn public_x25519(file: &Path) -> anyhow::Result<seal::PublicKey> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    seal::PublicKey::from_hex(text.trim()).with_context(|| file.display().to_string())
}

fn secret(file: &Path) -> anyhow::Result<zeroize::Zeroizing<Vec<u8>>> {
    let said = || file.display().to_string();
    let mode = std::fs::metadata(file).with_context(said)?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!(
            "{}: others can read this private key; chmod 600 it",
            file.display()
        );
    }
    Ok(zeroize::Zeroizing::new(std::fs::read(file).with_context(said)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        crate::keygen::run(folder.path(), &["root".to_owned(), "report".to_owned()]).unwrap();
        let (root, report) = (folder.path().join("root.pk8"), folder.path().join("report.key"));
        assert_eq!(Ring::open(&[folder.path().to_owned()]).unwrap().0.len(), 1);
        let public = public_x25519(&folder.path().join("report.pub")).unwrap();
        assert_eq!(private_x25519(&report).unwrap().public().unwrap(), public);
        for file in [&root, &report] {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        assert!(private(&root).unwrap_err().to_string().contains("chmod 600"));
        assert!(private_x25519(&report).is_err());
    }
}
