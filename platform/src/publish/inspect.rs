//! Looking at a repository as it is served: every signature and every octet checked, nothing believed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::path::Path;

use anyhow::{Context as _, bail};
use isigurt_wire::release::Publisher;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tough::schema::RoleType;

use super::repository::Repository;
use super::{customs, metadata, now};
use crate::keygen::hex;

/// What a repository says.
#[derive(Debug, Serialize)]
pub(crate) struct Inspection {
    roles: Vec<RoleState>,
    lists: Vec<ListState>,
    /// What is wrong; a repository without any is good to be served.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RoleState {
    role: String,
    version: u64,
    expires: String,
    /// Signatures that are needed, and ids of the keys that may make them.
    threshold: u64,
    keys: Vec<String>,
    /// Octets of its file.
    octets: u64,
}

#[derive(Debug, Serialize)]
struct ListState {
    list: String,
    publisher: Publisher,
    category: Option<String>,
    tier: isigurt_wire::release::Tier,
    version: u64,
    entries: u64,
    unpacked: u64,
    packed: u64,
    /// Octets of each delta, by the version that it starts from.
    deltas: BTreeMap<u64, u64>,
}

impl Inspection {
    /// Whether nothing is wrong.
    pub(crate) fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// For a person.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("role        version  signatures  expires               octets\n");
        for role in &self.roles {
            let signatures = format!("{} of {}", role.threshold, role.keys.len());
            let (version, expires, octets) = (role.version, &role.expires, role.octets);
            let _ = writeln!(
                text,
                "{:<11} {version:>7}  {signatures:<10}  {expires:<20}  {octets:>6}",
                role.role
            );
        }
        text.push_str("\nlist                      version    entries     octets  deltas from (octets)\n");
        for list in &self.lists {
            let name = format!("{}/{}", list.publisher.role(), list.list);
            let deltas: Vec<String> = list
                .deltas
                .iter()
                .map(|(from, octets)| format!("{from} ({octets})"))
                .collect();
            let (version, entries, packed) = (list.version, list.entries, list.packed);
            let _ = writeln!(
                text,
                "{name:<25} {version:>7} {entries:>10} {packed:>10}  {}",
                deltas.join(", ")
            );
        }
        for problem in &self.problems {
            let _ = writeln!(text, "problem: {problem}");
        }
        text
    }
}

/// Looks at the repository in `folder`.
pub(crate) fn inspect(folder: &Path) -> anyhow::Result<Inspection> {
    if !folder.join("metadata").is_dir() {
        bail!("{}: no repository, it has no folder metadata", folder.display());
    }
    let repository = Repository::open(folder)?;
    let now = now()?;
    let mut roles = Vec::new();
    let mut problems = Vec::new();
    for role in of_root(&repository)?.into_iter().chain(delegated(&repository)?) {
        if role.0 <= now {
            problems.push(format!("{} has expired: publish, or rotate", role.1.role));
        }
        roles.push(role.1);
    }
    problems.extend(whole(&repository)?);
    Ok(Inspection {
        roles,
        lists: lists(&repository)?,
        problems,
    })
}

/// When a role expires, seconds since 1970, and how it stands.
type Expiring = (i64, RoleState);

fn state(
    repository: &Repository,
    role: &str,
    file: &str,
    version: u64,
    expires: i64,
    keys: (u64, Vec<String>),
) -> Expiring {
    let time = jiff::Timestamp::from_second(expires);
    let state = RoleState {
        role: role.to_owned(),
        version,
        expires: time.map_or_else(|_| expires.to_string(), |time| time.to_string()),
        threshold: keys.0,
        keys: keys.1,
        octets: repository.octets(file).map_or(0, |octets| octets.len() as u64),
    };
    (expires, state)
}

/// The roles that the root names.
fn of_root(repository: &Repository) -> anyhow::Result<Vec<Expiring>> {
    let root = repository.root()?;
    let version = root.version.get();
    let mut there = vec![(RoleType::Root, version, root.expires.as_second())];
    let mut add = |kind, version: NonZeroU64, expires| there.push((kind, version.get(), expires));
    if let Some(role) = &repository.targets {
        add(
            RoleType::Targets,
            role.signed.version,
            role.signed.expires.as_second(),
        );
    }
    if let Some(role) = &repository.snapshot {
        add(
            RoleType::Snapshot,
            role.signed.version,
            role.signed.expires.as_second(),
        );
    }
    if let Some(role) = &repository.timestamp {
        add(
            RoleType::Timestamp,
            role.signed.version,
            role.signed.expires.as_second(),
        );
    }
    let told = there.into_iter().map(|(kind, version, expires)| {
        let file = match kind {
            RoleType::Timestamp => "timestamp.json".to_owned(),
            kind => format!("{version}.{kind}.json"),
        };
        let keys = root.roles.get(&kind).map_or((0, Vec::new()), |role| {
            (
                role.threshold.get(),
                role.keyids.iter().map(|id| hex(id)).collect(),
            )
        });
        state(repository, &kind.to_string(), &file, version, expires, keys)
    });
    Ok(told.collect())
}

/// The roles of the publishers.
fn delegated(repository: &Repository) -> anyhow::Result<Vec<Expiring>> {
    let mut told = Vec::new();
    for (publisher, role) in &repository.delegated {
        let name = publisher.role();
        let delegations = repository.delegations().next().context("no delegations")?;
        let delegated = delegations.roles.iter().find(|role| role.name == name);
        let keys = delegated.map_or((0, Vec::new()), |role| {
            (
                role.threshold.get(),
                role.keyids.iter().map(|id| hex(id)).collect(),
            )
        });
        let (version, expires) = (role.signed.version.get(), role.signed.expires.as_second());
        told.push(state(
            repository,
            name,
            &format!("{version}.{name}.json"),
            version,
            expires,
            keys,
        ));
    }
    Ok(told)
}

/// Whether what metadata names is there, octet for octet, and signed by keys that are in force.
fn whole(repository: &Repository) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    let root = repository.root()?;
    let mut signed = |role: &str, good: bool| {
        if !good {
            problems.push(format!(
                "{role} is not signed by its present keys: publish, or rotate"
            ));
        }
    };
    if let (Some(targets), Some(snapshot), Some(timestamp)) =
        (&repository.targets, &repository.snapshot, &repository.timestamp)
    {
        signed("targets", root.verify_role(targets).is_ok());
        signed("snapshot", root.verify_role(snapshot).is_ok());
        signed("timestamp", root.verify_role(timestamp).is_ok());
        for (publisher, role) in &repository.delegated {
            let by = |delegations: &tough::schema::Delegations| {
                delegations.verify_role(role, publisher.role()).is_ok()
            };
            signed(publisher.role(), repository.delegations().next().is_some_and(by));
        }
        let metas = timestamp.signed.meta.iter().chain(&snapshot.signed.meta);
        for (name, meta) in metas {
            let file = format!("{}.{name}", meta.version);
            let octets = repository.octets(&file).unwrap_or_default();
            let same = meta
                .hashes
                .as_ref()
                .is_some_and(|hashes| hashes.sha256[..] == Sha256::digest(&octets)[..]);
            if !same || meta.length != Some(octets.len() as u64) {
                problems.push(format!(
                    "metadata/{file} is not the one that is named: restore it, or publish"
                ));
            }
        }
    } else {
        problems.push("nothing is published yet: publish".to_owned());
    }
    let roles = repository.targets.iter().chain(repository.delegated.values());
    for (name, target) in roles.flat_map(|role| &role.signed.targets) {
        let file = metadata::file(name.raw(), target);
        let octets = std::fs::read(repository.target(&file)).unwrap_or_default();
        if octets.len() as u64 != target.length || target.hashes.sha256[..] != Sha256::digest(&octets)[..] {
            problems.push(format!("targets/{file} is missing or damaged: restore it"));
        }
    }
    Ok(problems)
}

fn lists(repository: &Repository) -> anyhow::Result<Vec<ListState>> {
    let mut lists: BTreeMap<String, ListState> = BTreeMap::new();
    for role in repository.delegated.values() {
        let packed = |name: &str| {
            let mut targets = role.signed.targets.iter();
            targets
                .find(|(other, _)| other.raw() == name)
                .map_or(0, |(_, target)| target.length)
        };
        let mut customs = customs(&role.signed)?;
        customs.sort_by_key(|custom| custom.from); // the full list first
        for custom in customs {
            let octets = packed(&custom.name());
            let Some(from) = custom.from else {
                lists.insert(
                    custom.list.clone(),
                    ListState {
                        list: custom.list,
                        publisher: custom.publisher,
                        category: custom.category,
                        tier: custom.tier,
                        version: custom.version,
                        entries: custom.entries,
                        unpacked: custom.octets,
                        packed: octets,
                        deltas: BTreeMap::new(),
                    },
                );
                continue;
            };
            if let Some(list) = lists.get_mut(&custom.list) {
                list.deltas.insert(from, octets);
            }
        }
    }
    Ok(lists.into_values().collect())
}
