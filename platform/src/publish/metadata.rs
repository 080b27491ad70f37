//! TUF metadata: roles built, signed and checked, in the forms of crate `tough`.
//!
//! The crate's editor signs a whole repository at once with all keys in one place. Here holders sign one after the other, each on
//! a machine of their own, so roles are built of its schema types, signed over its canonical form, and checked by its verifier:
//! what comes out is what its client reads.

use std::collections::HashMap;
use std::num::NonZeroU64;

use anyhow::Context as _;
use ed25519_dalek::Signer as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::{Ed25519Key, Ed25519Scheme, Key};
use tough::schema::{
    DelegatedRole, Delegations, Hashes, Metafile, PathPattern, PathSet, Role, RoleKeys, RoleType, Root,
    Signature, Signed, Snapshot, Target, Targets, Timestamp,
};

use super::config::{self, Config};
use super::keys::{Public, Ring};
use crate::keygen::hex;
use isigurt_wire::release::Publisher;

/// Version of the TUF specification that the metadata follows.
pub(crate) const SPEC: &str = "1.0.0";

/// A time as metadata writes it: seconds since 1970 in RFC 3339.
fn time(seconds: i64) -> anyhow::Result<String> {
    Ok(jiff::Timestamp::from_second(seconds)?.to_string())
}

fn keyid(public: &Public) -> anyhow::Result<Decoded<Hex>> {
    public
        .id
        .parse()
        .map_err(|error| anyhow::anyhow!("key id {}: {error}", public.id))
}

fn key(public: &Public) -> Key {
    Key::Ed25519 {
        keyval: Ed25519Key {
            public: public.key.as_bytes().to_vec().into(),
            _extra: HashMap::new(),
        },
        scheme: Ed25519Scheme::Ed25519,
        _extra: HashMap::new(),
    }
}

fn ids(role: &config::Role) -> anyhow::Result<Vec<Decoded<Hex>>> {
    let mut ids: Vec<_> = role.public.iter().map(keyid).collect::<anyhow::Result<_>>()?;
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// The root that the configuration asks for.
pub(crate) fn root(config: &Config, version: NonZeroU64, now: i64) -> anyhow::Result<Root> {
    let roles = &config.roles;
    let standard = [
        (RoleType::Root, &roles.root),
        (RoleType::Targets, &roles.targets),
        (RoleType::Snapshot, &roles.snapshot),
        (RoleType::Timestamp, &roles.timestamp),
    ];
    let mut keys = HashMap::new();
    let mut role_keys = HashMap::new();
    for (kind, role) in standard {
        for public in &role.public {
            keys.insert(keyid(public)?, key(public));
        }
        let threshold = role.threshold;
        let keyids = ids(role)?;
        role_keys.insert(
            kind,
            RoleKeys {
                keyids,
                threshold,
                _extra: HashMap::new(),
            },
        );
    }
    Ok(Root {
        spec_version: SPEC.to_owned(),
        consistent_snapshot: true,
        version,
        expires: time(now + roles.root.expires.0)?.parse()?,
        keys,
        roles: role_keys,
        _extra: HashMap::new(),
    })
}

/// The delegations that the configuration asks for.
pub(crate) fn delegations(config: &Config) -> anyhow::Result<Delegations> {
    let mut delegations = Delegations::new();
    for publisher in Publisher::ALL {
        let role = config.roles.of(publisher);
        for public in &role.public {
            delegations.keys.insert(keyid(public)?, key(public));
        }
        delegations.roles.push(DelegatedRole {
            name: publisher.role().to_owned(),
            keyids: ids(role)?,
            threshold: role.threshold,
            paths: PathSet::Paths(vec![PathPattern::new(format!("{}/*/*", publisher.role()))?]),
            terminating: true,
            targets: None,
        });
    }
    Ok(delegations)
}

/// Targets, the root's own or delegated ones.
pub(crate) fn targets(version: NonZeroU64, expires: i64) -> anyhow::Result<Targets> {
    let mut targets = Targets::new(SPEC.to_owned(), version, time(expires)?.parse()?);
    targets.delegations = None;
    Ok(targets)
}

/// A snapshot of the metadata files with these names, versions and octets.
pub(crate) fn snapshot<'a>(
    version: NonZeroU64,
    expires: i64,
    files: impl IntoIterator<Item = (&'a str, NonZeroU64, &'a [u8])>,
) -> anyhow::Result<Snapshot> {
    let mut snapshot = Snapshot::new(SPEC.to_owned(), version, time(expires)?.parse()?);
    for (name, version, octets) in files {
        snapshot.meta.insert(name.to_owned(), metafile(version, octets));
    }
    Ok(snapshot)
}

/// A timestamp of the snapshot with this version and octets.
pub(crate) fn timestamp(
    version: NonZeroU64,
    expires: i64,
    snapshot: (NonZeroU64, &[u8]),
) -> anyhow::Result<Timestamp> {
    let mut timestamp = Timestamp::new(SPEC.to_owned(), version, time(expires)?.parse()?);
    let meta = metafile(snapshot.0, snapshot.1);
    timestamp.meta.insert("snapshot.json".to_owned(), meta);
    Ok(timestamp)
}

fn metafile(version: NonZeroU64, octets: &[u8]) -> Metafile {
    Metafile {
        length: Some(octets.len() as u64),
        hashes: Some(Hashes {
            sha256: Sha256::digest(octets).to_vec().into(),
            _extra: HashMap::new(),
        }),
        version,
        _extra: HashMap::new(),
    }
}

/// A target with what `custom` says of it.
pub(crate) fn target(octets: &[u8], custom: HashMap<String, serde_json::Value>) -> Target {
    Target {
        length: octets.len() as u64,
        hashes: Hashes {
            sha256: Sha256::digest(octets).to_vec().into(),
            _extra: HashMap::new(),
        },
        custom,
        _extra: HashMap::new(),
    }
}

/// The file of a target below `targets/`: consistent snapshots put the hash in front of the whole name.
pub(crate) fn file(name: &str, target: &Target) -> String {
    format!("{}.{name}", hex(&target.hashes.sha256))
}

/// Adds the signatures that `ring` can make for `keyids` and that are not there yet.
pub(crate) fn sign<'a, T: Role>(
    signed: &mut Signed<T>,
    keyids: impl IntoIterator<Item = &'a Decoded<Hex>>,
    ring: &Ring,
) -> anyhow::Result<()> {
    let octets = signed.signed.canonical_form()?;
    for id in keyids {
        let there = signed.signatures.iter().any(|signature| signature.keyid == *id);
        if let (false, Some(key)) = (there, ring.get(&hex(id))) {
            signed.signatures.push(Signature {
                keyid: id.clone(),
                sig: key.sign(&octets).to_bytes().to_vec().into(),
            });
        }
    }
    Ok(())
}

/// Without signatures yet.
pub(crate) fn unsigned<T>(role: T) -> Signed<T> {
    Signed {
        signed: role,
        signatures: Vec::new(),
    }
}

/// As it is written to a file: compact, keys sorted.
pub(crate) fn octets<T: Serialize>(signed: &Signed<T>) -> anyhow::Result<Vec<u8>> {
    let mut octets = serde_json::to_vec(&serde_json::to_value(signed)?)?;
    octets.push(b'\n');
    Ok(octets)
}

/// Reads what [`octets`] wrote.
pub(crate) fn parse<T: DeserializeOwned>(octets: &[u8]) -> anyhow::Result<Signed<T>> {
    serde_json::from_slice(octets).context("not TUF metadata of the role that its name says")
}
