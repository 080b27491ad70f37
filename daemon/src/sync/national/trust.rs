//! Metadata of the platform's repository, verified from the newest root down.
//!
//! The library does the cryptography; what stands round it here closes what it leaves open: see the module's head.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use isigurt_wire::release::{CUSTOM, FORMAT, Publisher, SERVICE, Target};
use tough::error::Error as TufError;
use tough::schema::{RoleType, Root, Signed, Targets};
use tough::{
    Bytes, ExpirationEnforcement, Limits, Repository, RepositoryLoader, Transport, TransportError,
    TransportErrorKind, TransportStream, async_trait,
};

use super::NationalError;
use super::state::{Floor, State};
use crate::http::{Client, HttpError, Url};

/// Most octets of one metadata file.
const METADATA: u64 = 8 << 20;
/// Most versions of the root that are walked through at once.
const ROOTS: u64 = 256;

/// What the platform has signed.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) root: String,
    pub(super) timestamp: String,
    pub(super) snapshot: String,
    /// When the first signature runs out.
    pub(super) expires: i64,
    pub(super) floor: Floor,
    /// Lists and deltas.
    pub(super) released: Vec<Released>,
    /// The platform's services.
    pub(super) service: Option<Signature>,
}

/// A file as it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) sha256: Vec<u8>,
}

/// A list or delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Released {
    pub(super) target: Target,
    pub(super) signature: Signature,
}

/// The library's way to the platform: the timestamp that was fetched already, and everything else through our client.
#[derive(Debug, Clone)]
struct Way {
    client: Client,
    timestamp: Arc<[u8]>,
}

#[async_trait]
impl Transport for Way {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let octets = if url.path().ends_with("/timestamp.json") {
            self.timestamp.to_vec()
        } else {
            let limits = self.client.small().with_octets(METADATA);
            let whole = self.client.get_whole(&url, limits).await;
            whole.map_err(|error| refused(&url, error))?
        };
        let once = futures_util::stream::once(std::future::ready(Ok(Bytes::from(octets))));
        Ok(Box::pin(once))
    }
}

/// There is no newer root where the server says so: what it says instead of 404 depends on the server.
fn refused(url: &Url, error: HttpError) -> TransportError {
    let kind = match error.status() {
        Some(403 | 404 | 410) => TransportErrorKind::FileNotFound,
        _ => TransportErrorKind::Other,
    };
    TransportError::new_with_cause(kind, crate::http::shown(url), error)
}

/// Verifies everything behind `timestamp`, starting from what is known; `shipped` is the root of the configuration.
pub(super) async fn verify(
    client: &Client,
    base: &Url,
    known: &State,
    floor: &Floor,
    shipped: &str,
    timestamp: &[u8],
    folder: &Path,
) -> Result<Verified, NationalError> {
    let scratch = scratch(folder, known).map_err(|error| NationalError::Io(folder.to_owned(), error))?;
    let join = |path| {
        base.join(path)
            .map_err(|error| NationalError::Metadata(error.to_string()))
    };
    let root = newest(&known.root, shipped);
    let way = Way {
        client: client.clone(),
        timestamp: timestamp.into(),
    };
    let limits = Limits {
        max_root_size: 1 << 20,
        max_targets_size: METADATA,
        max_timestamp_size: 64 << 10,
        max_snapshot_size: 1 << 20,
        max_root_updates: ROOTS,
    };
    let repository = RepositoryLoader::new(&root, join("metadata/")?, join("targets/")?)
        .transport(way)
        .limits(limits)
        .datastore(scratch)
        .expiration_enforcement(ExpirationEnforcement::Safe)
        .load()
        .await
        .map_err(|error| said(&error))?;
    let verified = gather(&repository, timestamp)?;
    above(&verified.floor, floor)?;
    Ok(verified)
}

/// A fresh folder with what the library compares with. It never finds its own note of the time there: whether the
/// clock is right is decided before.
fn scratch(folder: &Path, known: &State) -> std::io::Result<std::path::PathBuf> {
    let scratch = folder.join("work/metadata");
    match std::fs::remove_dir_all(&scratch) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(&scratch)?;
    for (name, text) in [
        ("timestamp.json", &known.timestamp),
        ("snapshot.json", &known.snapshot),
    ] {
        if !text.is_empty() {
            std::fs::write(scratch.join(name), text)?;
        }
    }
    Ok(scratch)
}

/// The newer of the two roots: an update of the gateway may ship one that is newer than what was verified.
fn newest<'r>(known: &'r str, shipped: &'r str) -> &'r str {
    let version = |text: &str| {
        let root: Result<Signed<Root>, _> = serde_json::from_str(text);
        root.map_or(0, |root| root.signed.version.get())
    };
    if version(shipped) > version(known) {
        shipped
    } else {
        known
    }
}

/// Takes out of the repository what the gateway needs.
fn gather(repository: &Repository, timestamp: &[u8]) -> Result<Verified, NationalError> {
    let text = |value: Result<String, serde_json::Error>| {
        value.map_err(|error| NationalError::Metadata(error.to_string()))
    };
    let root = repository.root();
    let mut floor = Floor {
        root: root.signed.version.get(),
        keys: keys(&root.signed),
        ..Floor::default()
    };
    let (snapshot, targets) = (repository.snapshot(), repository.targets());
    for (name, version) in [
        ("timestamp", repository.timestamp().signed.version),
        ("snapshot", snapshot.signed.version),
        ("targets", targets.signed.version),
    ] {
        floor.metadata.insert(name.to_owned(), version.get());
    }
    let mut expires = vec![
        root.signed.expires.as_second(),
        repository.timestamp().signed.expires.as_second(),
        snapshot.signed.expires.as_second(),
        targets.signed.expires.as_second(),
    ];
    let mut released = Vec::new();
    for publisher in Publisher::ALL {
        let name = publisher.role();
        // The library goes on without a role that the snapshot does not name.
        let role = repository
            .delegated_role(name)
            .and_then(|role| role.targets.as_ref())
            .ok_or_else(|| NationalError::Role(name.to_owned()))?;
        floor.metadata.insert(name.to_owned(), role.signed.version.get());
        expires.push(role.signed.expires.as_second());
        released.extend(of_role(publisher, &role.signed)?);
    }
    let newest = released.iter().filter(|released| released.target.from.is_none());
    for released in newest {
        let version = floor.lists.entry(super::state::id(&released.target)).or_default();
        *version = released.target.version.max(*version);
    }
    let mut own = targets.signed.targets.iter();
    let service = own.find(|(name, _)| name.raw() == SERVICE);
    Ok(Verified {
        root: text(serde_json::to_string(root))?,
        timestamp: String::from_utf8_lossy(timestamp).into_owned(),
        snapshot: text(serde_json::to_string(snapshot))?,
        expires: expires.into_iter().min().unwrap_or(0),
        floor,
        released,
        service: service.map(|(name, target)| signature(name.raw(), target)),
    })
}

/// Lists and deltas of one publisher. A target that this program does not know is passed over; one that says something else
/// than its name is refused.
pub(super) fn of_role(publisher: Publisher, role: &Targets) -> Result<Vec<Released>, NationalError> {
    let mut released = Vec::new();
    for (name, target) in &role.targets {
        let Some(custom) = target.custom.get(CUSTOM) else {
            continue;
        };
        if custom.get("format").and_then(serde_json::Value::as_u64) != Some(u64::from(FORMAT)) {
            tracing::warn!(
                target = name.raw(),
                "a target of a later form is passed over; update the gateway"
            );
            continue;
        }
        let wrong = |what: String| NationalError::Target(name.raw().to_owned(), what);
        let about: Target =
            serde_json::from_value(custom.clone()).map_err(|error| wrong(error.to_string()))?;
        let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        if about.publisher != publisher || about.name() != name.raw() || !about.list.bytes().all(plain) {
            return Err(wrong("says something else than its name".to_owned()));
        }
        // Without one it would decide as the authority's lists do.
        if publisher == Publisher::Categories && about.category.is_none() {
            return Err(wrong("names no category".to_owned()));
        }
        released.push(Released {
            target: about,
            signature: signature(name.raw(), target),
        });
    }
    Ok(released)
}

fn signature(name: &str, target: &tough::schema::Target) -> Signature {
    Signature {
        name: name.to_owned(),
        length: target.length,
        sha256: target.hashes.sha256.clone().into_vec(),
    }
}

/// Names the keys that sign timestamp and snapshot.
fn keys(root: &Root) -> String {
    let mut ids: Vec<String> = [RoleType::Timestamp, RoleType::Snapshot]
        .iter()
        .filter_map(|role| root.roles.get(role))
        .flat_map(|role| &role.keyids)
        .map(|id| data_encoding::HEXLOWER.encode(&id.clone().into_vec()))
        .collect();
    ids.sort_unstable();
    ids.join(" ")
}

/// Whether nothing is older than what was verified before. With new keys of timestamp and snapshot, versions of metadata
/// begin anew: that is how a repository recovers whose versions an attacker drove up. Lists have no such way back.
fn above(new: &Floor, floor: &Floor) -> Result<(), NationalError> {
    let older = |what: &str, served: u64, known: u64| NationalError::Rollback {
        what: what.to_owned(),
        served,
        known,
    };
    if new.root < floor.root {
        return Err(older("the root", new.root, floor.root));
    }
    let metadata: &BTreeMap<String, u64> = &floor.metadata;
    if new.keys == floor.keys {
        for (name, &known) in metadata {
            let served = new.metadata.get(name).copied().unwrap_or(0);
            if served < known {
                return Err(older(name, served, known));
            }
        }
    }
    for (list, &known) in &floor.lists {
        // A list that is not there any more was withdrawn, by those who sign it.
        if let Some(&served) = new.lists.get(list).filter(|&&served| served < known) {
            return Err(older(list, served, known));
        }
    }
    Ok(())
}

/// The library's error, for a person.
fn said(error: &TufError) -> NationalError {
    match error {
        TufError::ExpiredMetadata { role, .. } => NationalError::Expired(format!("{role} (see its date)")),
        TufError::OlderMetadata {
            role,
            current_version,
            new_version,
            ..
        } => NationalError::Rollback {
            what: role.to_string(),
            served: *new_version,
            known: *current_version,
        },
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(error) = source {
                let more = error.to_string();
                if !text.contains(&more) {
                    text = format!("{text}: {more}");
                }
                source = error.source();
            }
            NationalError::Metadata(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(root: u64, keys: &str, timestamp: u64, list: u64) -> Floor {
        Floor {
            root,
            keys: keys.to_owned(),
            metadata: BTreeMap::from([("timestamp".to_owned(), timestamp)]),
            lists: BTreeMap::from([("mandatory/abuse".to_owned(), list)]),
        }
    }

    #[test]
    fn nothing_older_than_what_was_verified_is_taken() {
        let known = floor(2, "a", 5, 3);
        assert!(above(&floor(2, "a", 5, 3), &known).is_ok());
        assert!(above(&floor(3, "a", 6, 4), &known).is_ok());
        for older in [floor(1, "a", 5, 3), floor(2, "a", 4, 3), floor(2, "a", 5, 2)] {
            assert!(above(&older, &known).is_err(), "{older:?}");
        }
        assert!(
            above(&floor(3, "b", 1, 3), &known).is_ok(),
            "with new keys metadata begins anew"
        );
        assert!(above(&floor(3, "b", 1, 2), &known).is_err(), "and lists do not");
        assert!(above(&Floor::default(), &Floor::default()).is_ok());
    }
}
