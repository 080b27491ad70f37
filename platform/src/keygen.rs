//! Signing keys: Ed25519 (RFC 8032) as PKCS#8 (RFC 8410), one a role.
//!
//! A private key is written once, readable by its owner only, and never over another file. The key id is the one that
//! TUF metadata names it by: SHA-256 of the key object in canonical JSON (TUF specification, section 4.2).

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use sha2::{Digest as _, Sha256};

/// Roles of a TUF repository that have keys.
const ROLES: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];

/// A key that was made.
#[derive(Debug)]
pub(crate) struct Key {
    role: String,
    id: String,
    private: PathBuf,
    public: PathBuf,
}

impl Key {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "role": self.role, "keyid": self.id, "private": self.private, "public": self.public })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:<10} {}  {}", self.role, self.id, self.private.display())
    }
}

/// Makes one key a role in `folder`; either all files are new, or nothing is written.
pub(crate) fn run(folder: &Path, roles: &[String]) -> anyhow::Result<Vec<Key>> {
    for (place, role) in roles.iter().enumerate() {
        if !ROLES.contains(&role.as_str()) {
            bail!("unknown role {role:?}; known roles: {}", ROLES.join(", "));
        }
        if roles.iter().take(place).any(|other| other == role) {
            bail!("role {role:?} stands twice");
        }
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for file in roles.iter().flat_map(|role| {
        [
            folder.join(format!("{role}.pk8")),
            folder.join(format!("{role}.pub")),
        ]
    }) {
        if file.exists() {
            bail!(
                "{} exists already; keys are never overwritten: name another folder",
                file.display()
            );
        }
    }
    roles.iter().map(|role| one(folder, role)).collect()
}

fn one(folder: &Path, role: &str) -> anyhow::Result<Key> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("the system gives no random octets")?;
    let key = SigningKey::from_bytes(&seed);
    let private = folder.join(format!("{role}.pk8"));
    let public = folder.join(format!("{role}.pub"));
    write_new(
        &private,
        0o600,
        key.to_pkcs8_der().context("encoding the private key")?.as_bytes(),
    )?;
    let pem = key
        .verifying_key()
        .to_public_key_pem(LineEnding::LF)
        .context("encoding the public key")?;
    write_new(&public, 0o644, pem.as_bytes())?;
    Ok(Key {
        role: role.to_owned(),
        id: key_id(key.verifying_key().as_bytes()),
        private,
        public,
    })
}

/// The id of an Ed25519 key in TUF metadata; `public` has 32 octets.
fn key_id(public: &[u8]) -> String {
    let canonical = format!(
        r#"{{"keytype":"ed25519","keyval":{{"public":"{}"}},"scheme":"ed25519"}}"#,
        hex(public)
    );
    hex(&Sha256::digest(canonical.as_bytes()))
}

fn hex(octets: &[u8]) -> String {
    octets
        .iter()
        .fold(String::with_capacity(2 * octets.len()), |mut text, octet| {
            use std::fmt::Write as _;
            let _ = write!(text, "{octet:02x}"); // writing to a string does not fail
            text
        })
}

fn write_new(file: &Path, mode: u32, octets: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let mut out = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(file)?;
        out.write_all(octets)?;
        out.sync_all()
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::pkcs8::DecodePrivateKey as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_are_new_each_time_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let roles: Vec<String> = ROLES.map(String::from).into();
        let first = run(&folder.path().join("a"), &roles).unwrap();
        let second = run(&folder.path().join("b"), &roles).unwrap();
        let mut ids: Vec<&String> = first.iter().chain(&second).map(|key| &key.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 8);
        let mode = std::fs::metadata(&first[0].private).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = SigningKey::from_pkcs8_der(&std::fs::read(&first[0].private).unwrap()).unwrap();
        assert_eq!(key_id(read.verifying_key().as_bytes()), first[0].id);
    }

    #[test]
    fn a_key_is_never_overwritten_and_nothing_is_written_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &["targets".to_owned()]).unwrap();
        let before = std::fs::read(folder.path().join("targets.pk8")).unwrap();
        let error = run(folder.path(), &["root".to_owned(), "targets".to_owned()])
            .unwrap_err()
            .to_string();
        assert!(error.contains("never overwritten"), "{error}");
        assert_eq!(std::fs::read(folder.path().join("targets.pk8")).unwrap(), before);
        assert!(!folder.path().join("root.pk8").exists());
    }

    #[test]
    fn unknown_and_double_roles_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            run(folder.path(), &["king".to_owned()])
                .unwrap_err()
                .to_string()
                .contains("known roles")
        );
        assert!(run(folder.path(), &["root".to_owned(), "root".to_owned()]).is_err());
    }

    #[test]
    fn the_key_id_is_that_of_the_canonical_key_object() {
        // SHA-256 of the canonical JSON of an all-zero key, worked out with `sha256sum`.
        let text = format!(
            "{{\"keytype\":\"ed25519\",\"keyval\":{{\"public\":\"{}\"}},\"scheme\":\"ed25519\"}}",
            "0".repeat(64)
        );
        assert_eq!(key_id(&[0; 32]), hex(&Sha256::digest(text.as_bytes())));
        assert_eq!(key_id(&[0; 32]).len(), 64);
    }
}
