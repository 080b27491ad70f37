//! Publishing: from a configuration and list sources to a TUF repository of plain static files.
//!
//! ```text
//! config ── the repository as it is to be
//! ceremony ── root and the root's targets: drafted, signed by their holders, installed      (rare, offline keys)
//! publish ── lists ─▶ roles mandatory and categories ─▶ snapshot ─▶ timestamp                (often, online keys)
//!            sources · checks · approval · release
//! refresh ── what would expire, signed again                                                 (by itself)
//! ```
//!
//! A publisher keeps nothing that it could not lose but its keys: versions are read from the repository, and what is under
//! `state` only makes deltas possible. It never signs what it finds in the repository without a signature, never writes a
//! name twice that caches may keep, and never takes a list out of force because something is wrong with its next version.

pub(crate) mod approval;
pub(crate) mod ceremony;
mod checks;
pub(crate) mod config;
pub(crate) mod inspect;
pub(crate) mod keys;
mod metadata;
mod release;
mod repository;
mod signing;
mod sources;
pub(crate) mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use isigurt_wire::release::{CUSTOM, Publisher, Target};
use serde::Serialize;
use tough::schema::Targets;

use approval::Approvals;
use checks::Guard;
use config::Config;
use keys::Ring;
use release::{Bench, Outcome, Release};
use repository::Repository;

/// What a run of publish did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) lists: Vec<ListReport>,
    /// What waits for somebody: drafts without enough signatures, configuration that is not in force.
    pub(crate) waiting: Vec<String>,
    /// Version of the timestamp that leads to all this.
    pub(crate) timestamp: u64,
    /// Whether anything was written.
    pub(crate) changed: bool,
}

/// What became of a list.
#[derive(Debug, Serialize)]
pub(crate) struct ListReport {
    pub(crate) list: String,
    pub(crate) state: &'static str,
    pub(crate) version: u64,
    pub(crate) entries: u64,
    /// Octets of the full list as it is fetched.
    pub(crate) packed: u64,
    /// Octets of each delta as it is fetched, by the version that it starts from.
    pub(crate) deltas: BTreeMap<u64, u64>,
    /// Rules of its sources that a published list cannot say.
    pub(crate) unusable: u64,
    /// Why it was held.
    pub(crate) why: Vec<String>,
}

impl Report {
    /// Whether something has to be looked at.
    pub(crate) fn is_whole(&self) -> bool {
        self.waiting.is_empty() && self.lists.iter().all(|list| list.why.is_empty())
    }
}

/// One publisher at work: nobody else writes meanwhile.
struct Session {
    config: Config,
    repository: Repository,
    ring: Ring,
    now: i64,
    _lock: File,
}

impl Session {
    fn open(file: &Path, now: i64) -> anyhow::Result<Self> {
        let config = Config::read(file)?;
        let lock = lock(&config.state)?;
        let repository = Repository::open(&config.repository)?;
        let ring = Ring::open(&config.keys)?;
        Ok(Self {
            config,
            repository,
            ring,
            now,
            _lock: lock,
        })
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> anyhow::Result<i64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Ok(i64::try_from(
        since.context("the clock stands before 1970")?.as_secs(),
    )?)
}

fn lock(state: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(state).with_context(|| state.display().to_string())?;
    let path = state.join("lock");
    let lock = File::create(&path).with_context(|| path.display().to_string())?;
    lock.lock().with_context(|| path.display().to_string())?;
    Ok(lock)
}

/// Publishes what changed, and signs again what would expire. `floor`: versions are at least this high, for a repository
/// that was restored from before versions that gateways have seen. `only`: lists that are read, where others cannot have changed.
pub(crate) fn publish(
    file: &Path,
    floor: u64,
    now: i64,
    only: Option<&BTreeSet<String>>,
) -> anyhow::Result<Report> {
    let session = Session::open(file, now)?;
    let published = published(&session.repository)?;
    let config = &session.config;
    let known = |id: &String| config.withdrawn.contains(id) || config.lists.iter().any(|list| list.id == *id);
    if let Some(lost) = published.keys().find(|id| !known(id)) {
        bail!(
            "{}: list {lost:?} is published and not configured any more; put its id in `withdrawn` to take it out of force",
            file.display()
        );
    }
    let guard = Guard::read(&config.checks.popular)?;
    let approvals = Approvals::read(config, session.now)?;
    let opener = config.decisions.as_ref().map(sources::Opener::read).transpose()?;
    let mut report = Report::default();
    let mut releases: BTreeMap<Publisher, Vec<Release>> = BTreeMap::new();
    let wanted = |list: &&config::List| only.is_none_or(|only| only.contains(&list.id));
    for list in config.lists.iter().filter(wanted) {
        let bench = Bench {
            state: &config.state,
            guard: &guard,
            approvals: &approvals,
            opener: opener.as_ref(),
            confirm_key: session.confirm_key()?,
            confirm_until: session.now + config.roles.of(list.publisher).expires.0,
            now: session.now,
            floor,
        };
        let before = published.get(&list.id);
        let outcome = release::build(list, before, &bench).with_context(|| format!("list {}", list.id));
        // A source that cannot be read holds its own list, and no other.
        let outcome = outcome.unwrap_or_else(|error| Outcome::Held(vec![format!("{error:#}")]));
        report.lists.push(told(&list.id, before, &outcome));
        if let Outcome::New(release) = outcome {
            releases.entry(list.publisher).or_default().push(*release);
        }
    }
    session.release(&releases, floor, &mut report)?;
    Ok(report)
}

/// Signs again what would expire before half of its time is left; leaves lists as they are.
pub(crate) fn refresh(file: &Path, now: i64) -> anyhow::Result<Report> {
    let session = Session::open(file, now)?;
    let mut report = Report::default();
    session.release(&BTreeMap::new(), 0, &mut report)?;
    Ok(report)
}

/// The newest full target of each list that is published.
fn published(repository: &Repository) -> anyhow::Result<BTreeMap<String, Target>> {
    let mut lists = BTreeMap::new();
    for role in repository.delegated.values() {
        for target in customs(&role.signed)? {
            if target.from.is_none() {
                lists.insert(target.list.clone(), target);
            }
        }
    }
    Ok(lists)
}

/// What `custom` says of each target of a role.
fn customs(targets: &Targets) -> anyhow::Result<Vec<Target>> {
    let mut customs = Vec::new();
    for (name, target) in &targets.targets {
        let custom = target
            .custom
            .get(CUSTOM)
            .with_context(|| format!("target {} says nothing", name.raw()))?;
        customs.push(serde_json::from_value(custom.clone()).with_context(|| name.raw().to_owned())?);
    }
    Ok(customs)
}

fn told(id: &str, before: Option<&Target>, outcome: &Outcome) -> ListReport {
    let mut report = ListReport {
        list: id.to_owned(),
        state: "unchanged",
        version: before.map_or(0, |before| before.version),
        entries: before.map_or(0, |before| before.entries),
        packed: 0,
        deltas: BTreeMap::new(),
        unusable: 0,
        why: Vec::new(),
    };
    match outcome {
        Outcome::Unchanged => {}
        Outcome::Held(why) => {
            report.state = "held";
            report.why.clone_from(why);
        }
        Outcome::New(release) => {
            report.state = "new";
            report.version = release.custom.version;
            report.entries = release.custom.entries;
            report.unusable = release.unusable;
            for (name, packed, _) in &release.targets {
                let from = name.rsplit('/').next().and_then(|file| file.split_once('-'));
                match from.and_then(|(from, _)| from.parse().ok()) {
                    Some(from) => _ = report.deltas.insert(from, packed.len() as u64),
                    None => report.packed = packed.len() as u64,
                }
            }
        }
    }
    report
}

impl Session {
    /// The private key of the first confirmation key that this machine holds.
    fn confirm_key(&self) -> anyhow::Result<Option<&ed25519_dalek::SigningKey>> {
        for file in &self.config.service.confirm_keys {
            if let Some(key) = self.ring.get(&keys::Public::read(file)?.id) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Signs and writes, and lets go of what nothing names any more.
    fn release(
        &self,
        releases: &BTreeMap<Publisher, Vec<Release>>,
        floor: u64,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        report
            .waiting
            .extend(ceremony::differences(&self.config, &self.repository)?);
        let before = named(&self.repository);
        let signed = self.sign(releases, floor, report)?;
        report.timestamp = signed.timestamp;
        report.changed = !signed.files.is_empty();
        if signed.files.is_empty() {
            return Ok(());
        }
        let released = releases
            .iter()
            .filter(|(publisher, _)| signed.roles.contains(publisher));
        let released: Vec<&Release> = released.flat_map(|(_, releases)| releases).collect();
        for (name, octets, target) in released.iter().flat_map(|release| &release.targets) {
            let path = self.repository.target(&metadata::file(name, target));
            if !path.exists() {
                repository::write(&path, octets)?;
            }
        }
        // The versions that later deltas start from, before anybody can have them.
        for release in &released {
            let full = release
                .targets
                .iter()
                .find(|(name, ..)| name.ends_with(".list.zst"));
            if let Some((_, octets, _)) = full {
                repository::write(&release.kept, octets)?;
            }
        }
        for (name, octets) in &signed.files {
            repository::write(&self.repository.path(name), octets)?;
        }
        self.forget(&before)
    }

    /// Removes what was let go of long enough ago. What this release lets go of starts to wait now.
    fn forget(&self, before: &BTreeSet<String>) -> anyhow::Result<()> {
        let repository = Repository::open(&self.config.repository)?;
        let named = named(&repository);
        for gone in before
            .difference(&named)
            .filter(|name| *name != "metadata/timestamp.json")
        {
            let path = self.config.repository.join(gone);
            if let Ok(file) = File::options().append(true).open(&path) {
                file.set_modified(SystemTime::now())
                    .with_context(|| path.display().to_string())?;
            }
        }
        repository.prune(&|name| named.contains(name), self.config.keep.0)?;
        let published = published(&repository)?;
        for list in &self.config.lists {
            let newest = published.get(&list.id).map_or(0, |target| target.version);
            let back = u64::try_from(list.deltas).unwrap_or(u64::MAX);
            let lists = self.config.state.join("lists").join(&list.id);
            old_versions(&lists, ".list.zst", newest.saturating_sub(back))?;
            // Gateways that are behind still ask about the version that they have.
            let answers = self.config.state.join("confirm").join(&list.id);
            old_versions(&answers, ".answers", newest.saturating_sub(back))?;
        }
        Ok(())
    }
}

/// Names of all files that the metadata leads to, below the repository's folder.
fn named(repository: &Repository) -> BTreeSet<String> {
    let mut names = BTreeSet::from(["metadata/timestamp.json".to_owned()]);
    let metadata = |version: &dyn std::fmt::Display, role: &str| format!("metadata/{version}.{role}.json");
    names.extend(
        repository
            .snapshot
            .iter()
            .map(|role| metadata(&role.signed.version, "snapshot")),
    );
    if let Some(top) = &repository.targets {
        names.insert(metadata(&top.signed.version, "targets"));
        for (name, target) in &top.signed.targets {
            names.insert(format!("targets/{}", metadata::file(name.raw(), target)));
        }
    }
    for (publisher, role) in &repository.delegated {
        names.insert(metadata(&role.signed.version, publisher.role()));
        for (name, target) in &role.signed.targets {
            names.insert(format!("targets/{}", metadata::file(name.raw(), target)));
        }
    }
    names
}

/// Removes files of versions before `oldest`.
fn old_versions(folder: &Path, ending: &str, oldest: u64) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let version = name
            .strip_suffix(ending)
            .and_then(|version| version.parse::<u64>().ok());
        if version.is_some_and(|version| version < oldest) {
            std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
