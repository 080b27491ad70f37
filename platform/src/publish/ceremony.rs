//! The rare acts: a root and the root's targets, drafted from the configuration, signed by their holders, installed.
//!
//! ```text
//! init, rotate ── state/drafts/<version>.root.json, .targets.json ── sign, on each holder's own machine ── install
//! ```
//!
//! Holders of root keys meet a file, not a network: a draft goes to them and comes back with one more signature. A root that
//! follows another is signed by enough keys of both. Gateways follow from root to root, so roots are never removed.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use isigurt_wire::release::{FORMAT, ReportKey, SERVICE, Service};
use isigurt_wire::seal::SUITE;
use serde::Serialize;
use tough::TargetName;
use tough::schema::{RoleType, Root, Signed, Target, Targets};

use super::config::Config;
use super::keys::{Public, Ring, public_x25519};
use super::repository::{self, Repository};
use super::{Report, Session, metadata};
use crate::keygen::hex;

/// A draft, or what became of it.
#[derive(Debug, Serialize)]
pub(crate) struct Draft {
    pub(crate) file: PathBuf,
    pub(crate) signatures: usize,
    /// Whether it is in the repository now.
    pub(crate) installed: bool,
}

/// Drafts what differs from the configuration, or is past half of its time, or all with `renew`; signs with the keys that are
/// here, and installs what has enough signatures.
pub(crate) fn draft(file: &Path, renew: bool, now: i64) -> anyhow::Result<Vec<Draft>> {
    let mut drafts = Session::open(file, now)?.drafts(renew)?;
    for draft in &mut drafts {
        draft.installed = install(file, &draft.file, now).is_ok();
    }
    Ok(drafts)
}

impl Session {
    /// The drafts in the order in which they are installed: a first root before its targets; otherwise targets before the root, so
    /// that a gateway that meets the new root finds targets that it believes.
    fn drafts(&self, renew: bool) -> anyhow::Result<Vec<Draft>> {
        let mut drafts = Vec::new();
        let old = |expires: i64, span: i64| renew || expires - self.now < span / 2;
        let present = self.repository.roots.first().map(|root| &root.signed);
        let version = present.map_or(Some(NonZeroU64::MIN), |root| root.version.checked_add(1));
        let root = metadata::root(&self.config, version.context("no version is left")?, self.now)?;
        let span = self.config.roles.root.expires.0;
        let stands = present
            .is_some_and(|present| same_root(present, &root) && !old(present.expires.as_second(), span));
        let first = present.is_none();
        if !stands {
            drafts.push(self.drafted(
                &format!("{}.root.json", root.version),
                root.clone(),
                RoleType::Root,
                &root,
            )?);
        }
        let present = self.repository.targets.as_ref();
        let version = present.map_or(Some(NonZeroU64::MIN), |present| {
            present.signed.version.checked_add(1)
        });
        let span = self.config.roles.targets.expires.0;
        let mut wanted = metadata::targets(version.context("no version is left")?, self.now + span)?;
        wanted.delegations = Some(metadata::delegations(&self.config)?);
        let (name, _, target) = service(&self.config)?;
        wanted.targets.insert(name, target);
        let stands = present.is_some_and(|present| {
            root.verify_role(present).is_ok()
                && same_targets(&present.signed, &wanted)
                && !old(present.signed.expires.as_second(), span)
        });
        if !stands {
            let place = if first { drafts.len() } else { 0 };
            let name = format!("{}.targets.json", wanted.version);
            drafts.insert(place, self.drafted(&name, wanted, RoleType::Targets, &root)?);
        }
        Ok(drafts)
    }

    /// Writes a draft with the signatures that can be made here: by keys of the wanted root and of those that are in force.
    fn drafted<T: tough::schema::Role>(
        &self,
        name: &str,
        role: T,
        kind: RoleType,
        wanted: &Root,
    ) -> anyhow::Result<Draft> {
        let file = self.config.state.join("drafts").join(name);
        let mut signed = metadata::unsigned(role);
        let roots = std::iter::once(wanted).chain(self.repository.roots.iter().map(|root| &root.signed));
        let keyids = roots
            .filter_map(|root| root.roles.get(&kind))
            .flat_map(|role| &role.keyids);
        metadata::sign(&mut signed, keyids, &self.ring)?;
        repository::write(&file, &metadata::octets(&signed)?)?;
        Ok(Draft {
            file,
            signatures: signed.signatures.len(),
            installed: false,
        })
    }
}

/// What the configuration asks for and the repository has not, in words.
pub(super) fn differences(config: &Config, repository: &Repository) -> anyhow::Result<Vec<String>> {
    let mut differences = Vec::new();
    let root = repository.root()?;
    if !same_root(root, &metadata::root(config, root.version, 0)?) {
        differences
            .push("the root has other keys or thresholds than the configuration: run `rotate`".to_owned());
    }
    let top = &repository.top()?.signed;
    let mut wanted = metadata::targets(top.version, 0)?;
    wanted.delegations = Some(metadata::delegations(config)?);
    let (name, octets, target) = service(config)?;
    // Its file is written when it is first named, and again should it be lost.
    let path = repository.target(&metadata::file(name.raw(), &target));
    if top.targets.get(&name) == Some(&target) && !path.exists() {
        repository::write(&path, &octets)?;
    }
    wanted.targets.insert(name, target);
    if !same_targets(top, &wanted) {
        let text = "the root's targets delegate to other keys, or say other service keys, than the configuration: run `rotate`";
        differences.push(text.to_owned());
    }
    Ok(differences)
}

fn same_root(one: &Root, other: &Root) -> bool {
    let one_sorted = one.roles.iter().all(|(kind, role)| {
        let mut keyids = role.keyids.clone();
        keyids.sort();
        other
            .roles
            .get(kind)
            .is_some_and(|other| other.keyids == keyids && other.threshold == role.threshold)
    });
    one_sorted && one.keys == other.keys && one.roles.len() == other.roles.len()
}

fn same_targets(one: &Targets, other: &Targets) -> bool {
    let bare = |targets: &Targets| {
        let mut delegations = targets.delegations.clone().unwrap_or_default();
        for role in &mut delegations.roles {
            role.targets = None;
        }
        delegations
    };
    one.targets == other.targets && bare(one) == bare(other)
}

/// `platform/service.json`: name, octets, target.
fn service(config: &Config) -> anyhow::Result<(TargetName, Vec<u8>, Target)> {
    let mut service = Service {
        format: FORMAT,
        report_keys: Vec::new(),
        intake: config.service.intake.clone(),
        confirm: config.service.confirm.clone(),
        confirm_keys: Vec::new(),
        software: config.service.software.clone(),
    };
    for file in &config.service.report_keys {
        let key = public_x25519(file)?;
        service.report_keys.push(ReportKey {
            id: key.id(),
            suite: SUITE.to_owned(),
            public: key.to_hex(),
        });
    }
    for file in &config.service.confirm_keys {
        service.confirm_keys.push(hex(Public::read(file)?.key.as_bytes()));
    }
    let mut octets = serde_json::to_vec_pretty(&service)?;
    octets.push(b'\n');
    let target = metadata::target(&octets, std::collections::HashMap::new());
    Ok((TargetName::new(SERVICE)?, octets, target))
}

impl Session {
    /// Puts a signed root or the root's targets into the repository.
    fn install(&self, file: &Path) -> anyhow::Result<()> {
        let octets = std::fs::read(file).with_context(|| file.display().to_string())?;
        let kind: serde_json::Value = serde_json::from_slice(&octets)?;
        match kind.pointer("/signed/_type").and_then(|kind| kind.as_str()) {
            Some("root") => self.install_root(&octets),
            Some("targets") => self.install_targets(&octets),
            _ => bail!("neither a root nor targets; other roles are signed by publish"),
        }
        .with_context(|| file.display().to_string())
    }

    fn install_root(&self, octets: &[u8]) -> anyhow::Result<()> {
        let root: Signed<Root> = metadata::parse(octets)?;
        root.signed
            .verify_role(&root)
            .context("not signed by enough of its own root keys; have more holders `sign` it")?;
        let mut expected = NonZeroU64::MIN;
        if let Some(before) = self.repository.roots.first() {
            expected = before
                .signed
                .version
                .checked_add(1)
                .context("no version is left")?;
            before.signed.verify_role(&root).context(
                "not signed by enough keys of the root before it; have those holders `sign` it too",
            )?;
        }
        let version = root.signed.version;
        if version != expected {
            bail!("root {version} does not follow on what is there; expected root {expected}");
        }
        let path = self.repository.path(&format!("{version}.root.json"));
        repository::write(&path, octets)
    }

    fn install_targets(&self, octets: &[u8]) -> anyhow::Result<()> {
        let targets: Signed<Targets> = metadata::parse(octets)?;
        if targets
            .signed
            .delegations
            .as_ref()
            .is_none_or(|delegations| delegations.roles.is_empty())
        {
            bail!("these are a publisher's targets; `publish` takes them from where they are");
        }
        self.repository
            .root()?
            .verify_role(&targets)
            .context("not signed by enough of the root's targets keys; have more holders `sign` it")?;
        let present = self
            .repository
            .targets
            .as_ref()
            .map(|present| present.signed.version);
        let expected = present.map_or(Some(NonZeroU64::MIN), |present| present.checked_add(1));
        let version = targets.signed.version;
        if Some(version) != expected {
            bail!("targets {version} do not follow on what is there; draft them again");
        }
        let path = self.repository.path(&format!("{version}.targets.json"));
        repository::write(&path, octets)
    }
}

/// Installs a signed draft. Where the repository is published already, what the change touches is signed anew at once, before
/// a new root leads there.
pub(crate) fn install(file: &Path, draft: &Path, now: i64) -> anyhow::Result<Report> {
    let mut session = Session::open(file, now)?;
    let published = session.repository.timestamp.is_some();
    let mut report = Report::default();
    let octets = std::fs::read(draft).with_context(|| draft.display().to_string())?;
    if let (true, Ok(root)) = (published, metadata::parse::<Root>(&octets))
        && session.repository.root()?.verify_role(&root).is_ok()
        && root.signed.verify_role(&root).is_ok()
        && session
            .repository
            .top()
            .is_ok_and(|top| root.signed.verify_role(top).is_ok())
    {
        // Signed by the keys of both roots before the new one can be seen.
        session.repository.roots.insert(0, root);
        session.release(&BTreeMap::new(), 0, &mut report)?;
        session.repository = Repository::open(&session.config.repository)?;
    }
    session.install(draft)?;
    session.repository = Repository::open(&session.config.repository)?;
    if published && session.repository.top().is_ok() {
        report = Report::default();
        session.release(&BTreeMap::new(), 0, &mut report)?;
    }
    Ok(report)
}

/// Adds the signature of a key to a draft, in its place; gives how many it has then.
pub(crate) fn sign(draft: &Path, key: &Path) -> anyhow::Result<usize> {
    let octets = std::fs::read(draft).with_context(|| draft.display().to_string())?;
    let ring = Ring::of(key)?;
    let public = Public::of(super::keys::private(key)?.verifying_key());
    let kind: serde_json::Value =
        serde_json::from_slice(&octets).with_context(|| format!("{}: not TUF metadata", draft.display()))?;
    let signed = match kind.pointer("/signed/_type").and_then(|kind| kind.as_str()) {
        Some("root") => add::<Root>(&octets, &public, &ring),
        Some("targets") => add::<Targets>(&octets, &public, &ring),
        _ => bail!(
            "{}: neither a root nor targets; other roles are signed by publish",
            draft.display()
        ),
    };
    let (octets, signatures) = signed.with_context(|| draft.display().to_string())?;
    repository::write(draft, &octets)?;
    Ok(signatures)
}

fn add<T: tough::schema::Role + serde::de::DeserializeOwned>(
    octets: &[u8],
    public: &Public,
    ring: &Ring,
) -> anyhow::Result<(Vec<u8>, usize)> {
    let mut signed: Signed<T> = metadata::parse(octets)?;
    let id = public
        .id
        .parse()
        .map_err(|error| anyhow::anyhow!("key id: {error}"))?;
    metadata::sign(&mut signed, [&id], ring)?;
    Ok((metadata::octets(&signed)?, signed.signatures.len()))
}
