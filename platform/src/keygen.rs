//! The platform's keys, one a role: Ed25519 (RFC 8032) as PKCS#8 (RFC 8410) to sign, X25519 (RFC 7748) to seal to.
//!
//! A private key is written once, readable by its owner only, and never over another file. The key id is the one that
//! TUF metadata names it by: SHA-256 of the key object in canonical JSON (TUF specification, section 4.2).

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use isigurt_wire::seal::PrivateKey;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Roles whose keys sign: those of the TUF repository, confirmations of prefixes, approvals.
const SIGN: [&str; 8] = [
    "root",
    "targets",
    "mandatory",
    "categories",
    "snapshot",
    "timestamp",
    "confirm",
    "editor",
];
/// Roles whose keys open what was sealed to them: reports, decisions of triage.
const OPEN: [&str; 2] = ["report", "decision"];

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
        write!(out, "{:<12} {}  {}", self.role, self.id, self.private.display())
    }
}

/// Prints keys that were made.
pub(crate) fn print(keys: &[Key], json: bool) -> anyhow::Result<ExitCode> {
    let lines = || {
        keys.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let text = if json {
        serde_json::to_string_pretty(&keys.iter().map(Key::json).collect::<Vec<_>>())?
    } else {
        lines()
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

/// Whether `name`, such as `root` or `root-ana`, is of one of `roles`.
fn is_of(name: &str, roles: &[&str]) -> bool {
    roles.iter().any(|role| {
        let holder = name.strip_prefix(role).map(|rest| (rest, rest.strip_prefix('-')));
        let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        holder.is_some_and(|(rest, holder)| {
            rest.is_empty() || holder.is_some_and(|holder| !holder.is_empty() && holder.bytes().all(plain))
        })
    })
}

/// Makes one key a role in `folder`; either all files are new, or nothing is written.
pub(crate) fn run(folder: &Path, roles: &[String]) -> anyhow::Result<Vec<Key>> {
    for (place, role) in roles.iter().enumerate() {
        if !is_of(role, &SIGN) && !is_of(role, &OPEN) {
            let known = [&SIGN[..], &OPEN].concat().join(", ");
            bail!("unknown role {role:?}; known roles: {known}, each also with its holder, such as root-ana");
        }
        if roles.iter().take(place).any(|other| other == role) {
            bail!("role {role:?} stands twice");
        }
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for file in roles.iter().flat_map(|role| {
        [
            folder.join(format!("{role}.{}", ending(role))),
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

/// Ending of a private key's file.
fn ending(role: &str) -> &'static str {
    if is_of(role, &SIGN) { "pk8" } else { "key" }
}

fn one(folder: &Path, role: &str) -> anyhow::Result<Key> {
    let private = folder.join(format!("{role}.{}", ending(role)));
    let public = folder.join(format!("{role}.pub"));
    if is_of(role, &OPEN) {
        let key = PrivateKey::generate().context("the system gives no random octets")?;
        let digits = Zeroizing::new(hex(key.octets()));
        write_new(&private, 0o600, digits.as_bytes())?;
        let shown = key.public()?;
        write_new(&public, 0o644, format!("{}\n", shown.to_hex()).as_bytes())?;
        return Ok(Key {
            role: role.to_owned(),
            id: shown.id(),
            private,
            public,
        });
    }
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).context("the system gives no random octets")?;
    let key = SigningKey::from_bytes(&seed);
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
pub(crate) fn key_id(public: &[u8]) -> String {
    let canonical = format!(
        r#"{{"keytype":"ed25519","keyval":{{"public":"{}"}},"scheme":"ed25519"}}"#,
        hex(public)
    );
    hex(&Sha256::digest(canonical.as_bytes()))
}

pub(crate) fn hex(octets: &[u8]) -> String {
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
        let roles: Vec<String> = ["root", "targets", "snapshot", "report"].map(String::from).into();
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
        for wrong in ["root-", "root-../x", "rooted", "root-A"] {
            assert!(run(folder.path(), &[wrong.to_owned()]).is_err(), "{wrong}");
        }
        assert_eq!(
            run(folder.path(), &["root-ana".to_owned()]).unwrap()[0].role,
            "root-ana"
        );
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
