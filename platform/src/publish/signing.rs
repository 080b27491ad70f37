//! From releases to signed metadata: what has to be signed anew, by whose keys, in which files, in which order.
//!
//! A role is signed anew when what it says changed, when half of its time is over, or when its keys are others. It is signed by
//! the keys of the newest delegation and of the one before, as far as they are here, so that while keys change both
//! gateways that know the old root and those that know the new one believe it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU64;

use anyhow::{Context as _, bail};
use isigurt_wire::release::Publisher;
use tough::TargetName;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::{Role, RoleType, Signed, Snapshot, Target, Targets, Timestamp};

use super::config::Config;
use super::release::Release;
use super::{Report, Session, customs, metadata, repository};

/// What was signed.
pub(super) struct SignedFiles {
    /// Metadata files to write, in this order.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Roles that have a new version.
    pub(super) roles: BTreeSet<Publisher>,
    /// Version of the timestamp.
    pub(super) timestamp: u64,
}

/// A version that is higher than `before`, and at least `floor`.
fn next(before: Option<NonZeroU64>, floor: u64) -> anyhow::Result<NonZeroU64> {
    let next = before
        .map_or(1, |before| before.get().saturating_add(1))
        .max(floor);
    NonZeroU64::new(next).context("versions start from 1")
}

/// Whether half of the time of a role is over.
fn is_old<T: Role>(role: &T, span: i64, now: i64) -> bool {
    role.expires().as_second() - now < span / 2
}

impl Session {
    /// Signs all that has to be.
    pub(super) fn sign(
        &self,
        releases: &BTreeMap<Publisher, Vec<Release>>,
        floor: u64,
        report: &mut Report,
    ) -> anyhow::Result<SignedFiles> {
        let mut signed = SignedFiles {
            files: Vec::new(),
            roles: BTreeSet::new(),
            timestamp: 0,
        };
        let top = self.repository.top()?;
        self.repository.root()?.verify_role(top).ok().with_context(|| {
            "the root's targets are not signed by its present keys; run `rotate`, have them signed, and `install` them"
        })?;
        let name = format!("{}.targets.json", top.signed.version);
        let mut metas = vec![(
            "targets.json".to_owned(),
            top.signed.version,
            self.repository.octets(&name)?,
        )];
        for publisher in Publisher::ALL {
            let releases = releases.get(&publisher).map_or(&[][..], Vec::as_slice);
            let meta = format!("{}.json", publisher.role());
            if let Some(role) = self.role(publisher, releases, floor, report)? {
                let octets = metadata::octets(&role)?;
                let version = role.signed.version;
                signed.files.push((format!("{version}.{meta}"), octets.clone()));
                signed.roles.insert(publisher);
                metas.push((meta, version, octets));
            } else if let Some(role) = self.repository.delegated.get(&publisher) {
                let version = role.signed.version;
                let octets = self.repository.octets(&format!("{version}.{meta}"))?;
                metas.push((meta, version, octets));
            } else {
                bail!(
                    "nothing is published before all roles are signed: {}",
                    report.waiting.join("; ")
                );
            }
        }
        let snapshot = self.snapshot(&metas, floor)?;
        let timestamp = self.timestamp(snapshot.as_ref(), floor)?;
        if let Some((version, octets)) = snapshot {
            signed.files.push((format!("{version}.snapshot.json"), octets));
        }
        if let Some((version, octets)) = timestamp {
            signed.files.push(("timestamp.json".to_owned(), octets));
            signed.timestamp = version.get();
        } else if let Some(timestamp) = &self.repository.timestamp {
            signed.timestamp = timestamp.signed.version.get();
        }
        Ok(signed)
    }

    /// A publisher's role, where it has to be signed anew and enough keys have.
    fn role(
        &self,
        publisher: Publisher,
        releases: &[Release],
        floor: u64,
        report: &mut Report,
    ) -> anyhow::Result<Option<Signed<Targets>>> {
        let present = self.repository.delegated.get(&publisher);
        let said = said(&self.config, present, releases)?;
        let top = &self.repository.top()?.signed;
        let delegations = top.delegations.as_ref().context("the targets delegate nothing")?;
        let span = self.config.roles.of(publisher).expires.0;
        let role = publisher.role();
        let stands = present.is_some_and(|present| {
            present.signed.targets == said
                && !is_old(&present.signed, span, self.now)
                && delegations.verify_role(present, role).is_ok()
                && present.signed.version.get() >= floor
        });
        if stands {
            return Ok(None);
        }
        let version = next(present.map(|present| present.signed.version), floor)?;
        let mut targets = metadata::targets(version, self.now + span)?;
        targets.targets = said;
        // A draft that its holders signed meanwhile says the same, but for when it expires.
        let draft = self
            .config
            .state
            .join("drafts")
            .join(format!("{version}.{role}.json"));
        let drafted = std::fs::read(&draft)
            .ok()
            .and_then(|octets| metadata::parse::<Targets>(&octets).ok());
        let drafted = drafted.filter(|drafted| {
            drafted.signed.targets == targets.targets && !is_old(&drafted.signed, span, self.now)
        });
        let mut signed = drafted.unwrap_or_else(|| metadata::unsigned(targets));
        let keyids = self
            .repository
            .delegations()
            .flat_map(|delegations| &delegations.roles);
        let keyids = keyids
            .filter(|delegated| delegated.name == role)
            .flat_map(|delegated| &delegated.keyids);
        metadata::sign(&mut signed, keyids, &self.ring)?;
        if delegations.verify_role(&signed, role).is_ok() {
            return Ok(Some(signed));
        }
        repository::write(&draft, &metadata::octets(&signed)?)?;
        report.waiting.push(format!(
            "{} has {} signatures and needs {}: have its holders `sign` it, then publish again",
            draft.display(),
            signed.signatures.len(),
            self.config.roles.of(publisher).threshold
        ));
        Ok(None)
    }

    /// The snapshot, where it has to be signed anew.
    fn snapshot(
        &self,
        metas: &[(String, NonZeroU64, Vec<u8>)],
        floor: u64,
    ) -> anyhow::Result<Option<(NonZeroU64, Vec<u8>)>> {
        let present = self.repository.snapshot.as_ref();
        let span = self.config.roles.snapshot.expires.0;
        let version = next(present.map(|present| present.signed.version), floor)?;
        let files = metas
            .iter()
            .map(|(name, version, octets)| (name.as_str(), *version, octets.as_slice()));
        let snapshot = metadata::snapshot(version, self.now + span, files)?;
        let stands = present.is_some_and(|present| {
            present.signed.meta == snapshot.meta
                && !is_old(&present.signed, span, self.now)
                && present.signed.version.get() >= floor
        });
        if stands && self.is_signed(present)? {
            return Ok(None);
        }
        let signed = self.signed::<Snapshot>(snapshot, RoleType::Snapshot)?;
        Ok(Some((version, metadata::octets(&signed)?)))
    }

    /// The timestamp, where it has to be signed anew.
    fn timestamp(
        &self,
        snapshot: Option<&(NonZeroU64, Vec<u8>)>,
        floor: u64,
    ) -> anyhow::Result<Option<(NonZeroU64, Vec<u8>)>> {
        let present = self.repository.timestamp.as_ref();
        let span = self.config.roles.timestamp.expires.0;
        let stands = snapshot.is_none()
            && present.is_some_and(|present| {
                !is_old(&present.signed, span, self.now) && present.signed.version.get() >= floor
            });
        if stands && self.is_signed(present)? {
            return Ok(None);
        }
        let (of, octets) = match (snapshot, &self.repository.snapshot) {
            (Some((version, octets)), _) => (*version, octets.clone()),
            (None, Some(present)) => {
                let version = present.signed.version;
                (
                    version,
                    self.repository.octets(&format!("{version}.snapshot.json"))?,
                )
            }
            (None, None) => bail!("there is no snapshot"),
        };
        let version = next(present.map(|present| present.signed.version), floor)?;
        let timestamp = metadata::timestamp(version, self.now + span, (of, &octets))?;
        let signed = self.signed::<Timestamp>(timestamp, RoleType::Timestamp)?;
        Ok(Some((version, metadata::octets(&signed)?)))
    }

    fn is_signed<T: Role>(&self, role: Option<&Signed<T>>) -> anyhow::Result<bool> {
        let root = self.repository.root()?;
        Ok(role.is_some_and(|role| root.verify_role(role).is_ok()))
    }

    /// Signs a role of the root's with the keys that are here.
    fn signed<T: Role>(&self, role: T, kind: RoleType) -> anyhow::Result<Signed<T>> {
        let mut signed = metadata::unsigned(role);
        let roots = self
            .repository
            .roots
            .iter()
            .filter_map(|root| root.signed.roles.get(&kind));
        let keyids: Vec<&Decoded<Hex>> = roots.flat_map(|role| &role.keyids).collect();
        metadata::sign(&mut signed, keyids, &self.ring)?;
        self.repository
            .root()?
            .verify_role(&signed)
            .ok()
            .with_context(|| {
                format!(
                    "too few private keys of role {kind} are in the folders of `keys`: this one signs online"
                )
            })?;
        Ok(signed)
    }
}

/// The targets that a role is to name: those it names, without withdrawn lists, with new versions in place of old ones.
fn said(
    config: &Config,
    present: Option<&Signed<Targets>>,
    releases: &[Release],
) -> anyhow::Result<HashMap<TargetName, Target>> {
    let mut said = HashMap::new();
    if let Some(present) = present {
        for custom in customs(&present.signed)? {
            let replaced = releases.iter().any(|release| release.custom.list == custom.list);
            if replaced || config.withdrawn.contains(&custom.list) {
                continue;
            }
            let name = TargetName::new(custom.name())?;
            if let Some(target) = present.signed.targets.get(&name) {
                said.insert(name, target.clone());
            }
        }
    }
    for (name, _, target) in releases.iter().flat_map(|release| &release.targets) {
        said.insert(TargetName::new(name.as_str())?, target.clone());
    }
    Ok(said)
}
