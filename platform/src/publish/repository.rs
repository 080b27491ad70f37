//! The repository on disk: read with every signature checked, written so that whoever reads it never meets half of a change.
//!
//! A file is written beside its place, synchronised, and renamed. Names with a version or hash are never written twice with
//! other octets. `timestamp.json`, the only name that changes its octets, comes last: it leads to all others.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use isigurt_wire::release::Publisher;
use tough::schema::{Delegations, Root, Signed, Snapshot, Targets, Timestamp};

use super::metadata;

/// What stands in the repository.
pub(crate) struct Repository {
    folder: PathBuf,
    /// The newest root, and the one before it.
    pub(crate) roots: Vec<Signed<Root>>,
    pub(crate) targets: Option<Signed<Targets>>,
    pub(crate) delegated: BTreeMap<Publisher, Signed<Targets>>,
    pub(crate) snapshot: Option<Signed<Snapshot>>,
    pub(crate) timestamp: Option<Signed<Timestamp>>,
    /// Delegations that roles are checked by: the newest targets', and those before them.
    delegations: Vec<Delegations>,
}

impl Repository {
    /// Reads the metadata. Every role is signed by keys of the newest root or the one before it, so that keys can change; what
    /// nobody signed is refused, because it would be signed with the next release.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let mut repository = Self {
            folder: folder.to_owned(),
            roots: Vec::new(),
            targets: None,
            delegated: BTreeMap::new(),
            snapshot: None,
            timestamp: None,
            delegations: Vec::new(),
        };
        repository.read_roots()?;
        if repository.roots.is_empty() || !repository.path("timestamp.json").exists() {
            repository.targets_alone()?;
            return Ok(repository);
        }
        let timestamp: Signed<Timestamp> = repository.read("timestamp.json")?;
        repository.signed_by_root("timestamp.json", |root| root.verify_role(&timestamp).is_ok())?;
        let version = timestamp
            .signed
            .meta
            .get("snapshot.json")
            .map(|meta| meta.version);
        let name = format!(
            "{}.snapshot.json",
            version.context("timestamp.json names no snapshot")?
        );
        let snapshot: Signed<Snapshot> = repository.read(&name)?;
        repository.signed_by_root(&name, |root| root.verify_role(&snapshot).is_ok())?;
        let version = snapshot.signed.meta.get("targets.json").map(|meta| meta.version);
        repository.read_targets(version.with_context(|| format!("{name} names no targets"))?)?;
        for publisher in Publisher::ALL {
            if let Some(meta) = snapshot.signed.meta.get(&format!("{}.json", publisher.role())) {
                let name = format!("{}.{}.json", meta.version, publisher.role());
                let role: Signed<Targets> = repository.read(&name)?;
                let by = |delegations: &Delegations| delegations.verify_role(&role, publisher.role()).is_ok();
                if !repository.delegations.iter().any(by) {
                    bail!(
                        "{}: {name} is not signed by its role's keys; restore the repository",
                        folder.display()
                    );
                }
                repository.delegated.insert(publisher, role);
            }
        }
        repository.snapshot = Some(snapshot);
        repository.timestamp = Some(timestamp);
        repository.targets_newer()?;
        Ok(repository)
    }

    /// The newest root.
    pub(crate) fn root(&self) -> anyhow::Result<&Root> {
        let root = self.roots.first().map(|root| &root.signed);
        root.with_context(|| {
            format!(
                "{} holds no root yet; run `init`, have it signed, and `install` it",
                self.folder.display()
            )
        })
    }

    /// The root's own targets.
    pub(crate) fn top(&self) -> anyhow::Result<&Signed<Targets>> {
        self.targets.as_ref().with_context(|| {
            format!(
                "{} holds no targets yet; run `init`, have them signed, and `install` them",
                self.folder.display()
            )
        })
    }

    /// The delegations that roles are signed by: the newest targets' first, then those before them.
    pub(crate) fn delegations(&self) -> impl Iterator<Item = &Delegations> {
        self.delegations.iter()
    }

    /// The file of a metadata name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join("metadata").join(name)
    }

    /// The file of a target.
    pub(crate) fn target(&self, file: &str) -> PathBuf {
        self.folder.join("targets").join(file)
    }

    /// The octets of a metadata file.
    pub(crate) fn octets(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.path(name);
        std::fs::read(&path).with_context(|| path.display().to_string())
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> anyhow::Result<Signed<T>> {
        metadata::parse(&self.octets(name)?).with_context(|| self.path(name).display().to_string())
    }

    /// Root 1, then each that the one before and itself have signed.
    fn read_roots(&mut self) -> anyhow::Result<()> {
        for version in 1_u64.. {
            let name = format!("{version}.root.json");
            if !self.path(&name).exists() {
                break;
            }
            let root: Signed<Root> = self.read(&name)?;
            let before = self
                .roots
                .first()
                .is_none_or(|before| before.signed.verify_role(&root).is_ok());
            if !before || root.signed.verify_role(&root).is_err() || root.signed.version.get() != version {
                bail!(
                    "{} is not signed by the root before it and by itself; restore the repository",
                    self.path(&name).display()
                );
            }
            self.roots.insert(0, root);
        }
        self.roots.truncate(2);
        Ok(())
    }

    fn signed_by_root(&self, name: &str, by: impl Fn(&Root) -> bool) -> anyhow::Result<()> {
        if self.roots.iter().any(|root| by(&root.signed)) {
            return Ok(());
        }
        bail!(
            "{} is not signed by its role's keys; restore the repository",
            self.path(name).display()
        )
    }

    /// The targets of this version, and the delegations of the ones before.
    fn read_targets(&mut self, version: NonZeroU64) -> anyhow::Result<()> {
        let name = format!("{version}.targets.json");
        let targets: Signed<Targets> = self.read(&name)?;
        self.signed_by_root(&name, |root| root.verify_role(&targets).is_ok())?;
        self.delegations.splice(0..0, targets.signed.delegations.clone());
        self.delegations.truncate(2);
        if self.delegations.len() == 1 && version.get() > 1 {
            let before = format!("{}.targets.json", version.get() - 1);
            if let Ok(before) = self.read::<Targets>(&before)
                && self
                    .roots
                    .iter()
                    .any(|root| root.signed.verify_role(&before).is_ok())
            {
                self.delegations.extend(before.signed.delegations);
            }
        }
        self.targets = Some(targets);
        Ok(())
    }

    /// Before the first release there are targets that no snapshot names.
    fn targets_alone(&mut self) -> anyhow::Result<()> {
        if !self.roots.is_empty() && self.path("1.targets.json").exists() {
            self.read_targets(NonZeroU64::MIN)?;
            self.targets_newer()?;
        }
        Ok(())
    }

    /// Targets that were installed and that no snapshot names yet.
    fn targets_newer(&mut self) -> anyhow::Result<()> {
        while let Some(next) = self
            .targets
            .as_ref()
            .and_then(|targets| targets.signed.version.checked_add(1))
        {
            if !self.path(&format!("{next}.targets.json")).exists() {
                break;
            }
            self.read_targets(next)?;
        }
        Ok(())
    }

    /// Removes what no metadata names and nobody has written to for `keep` seconds; roots stay for ever.
    pub(crate) fn prune(&self, named: &dyn Fn(&str) -> bool, keep: i64) -> anyhow::Result<usize> {
        let age = Duration::from_secs(u64::try_from(keep).unwrap_or(0));
        let before = SystemTime::now()
            .checked_sub(age)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let mut removed = 0;
        let mut open = vec![self.folder.join("metadata"), self.folder.join("targets")];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let inside = path
                    .strip_prefix(&self.folder)
                    .unwrap_or(&path)
                    .display()
                    .to_string();
                let old = path.metadata()?.modified()? < before;
                if old && !inside.ends_with(".root.json") && !named(&inside) {
                    std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

/// Writes a file so that its name leads to the old octets or to all of the new ones, also after a power cut. Web servers make an
/// ETag of the second and the length, and each timestamp is as long as the one before: a file in place of another is at least a
/// second younger, or whoever polls would not see it.
pub(crate) fn write(path: &Path, octets: &[u8]) -> anyhow::Result<()> {
    let said = || format!("cannot write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.new"));
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut file = File::create(&beside)?;
        file.write_all(octets)?;
        if let Ok(old) = std::fs::metadata(path).and_then(|old| old.modified()) {
            let second = Duration::from_secs(1);
            file.set_modified(SystemTime::now().max(old + second))?;
        }
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    };
    write().with_context(said)
}
