//! The household's policy over its life: read from the state, changed as a whole, put in force within the same second.
//!
//! As long as none was applied, one profile holds for everybody: the categories that are blocked by default, and those of
//! the configured lists. The truth is the record in the state database; `policy.toml` beside it is a copy to read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isigurt_blocklists::data;
use isigurt_blocklists::index::{Index, TagKind, TagSet};
use isigurt_core::policy::model::{Otherwise, Policy, ProfileText};
use isigurt_core::policy::{InForce, PolicyError};
use isigurt_core::snapshot::Snapshot;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::dns::engine::Engine;
use crate::store::{Store, Table};

/// The policy as it was applied last, a TOML text.
const POLICY: Table<String> = Table::new("policy", &[]);

/// Name of the profile that everybody has where no policy was applied.
pub const PROFILE: &str = "household";

/// The copy's place in a state folder.
pub fn copy(state_dir: &Path) -> PathBuf {
    state_dir.join("policy.toml")
}

/// What an applied policy changed. Whoever asked compares: on a router that memory is not the filter's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The policy before, TOML.
    pub before: String,
    /// The policy after, in the same form.
    pub after: String,
    /// Whether it is in force now.
    pub in_force: bool,
}

/// The policy that holds where none was applied.
pub fn initial(config: &Config) -> Policy {
    // The built-in data are checked when the lists are built; without them there is no index to enforce.
    let mut categories: Vec<String> = data::built_in()
        .map(|data| data.categories)
        .unwrap_or_default()
        .into_iter()
        .filter(|category| category.default)
        .map(|category| category.id)
        .collect();
    for category in config.lists.iter().filter_map(|list| list.category.as_ref()) {
        if !categories.contains(category) {
            categories.push(category.clone());
        }
    }
    Policy {
        profile: vec![ProfileText {
            name: PROFILE.to_owned(),
            categories,
            services: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            bypass_protection: true,
            default: Otherwise::Allow,
        }],
        ..Policy::default()
    }
}

/// Makes a policy ready for an index. What it says about categories and services that are gone is left out with a warning:
/// there is no rule to enforce for them, and all the rest must hold.
pub fn ready(policy: &Policy, index: &Index) -> Result<InForce, PolicyError> {
    let mut policy = policy.clone();
    for profile in &mut policy.profile {
        for (kind, ids) in [
            (TagKind::Category, &mut profile.categories),
            (TagKind::Service, &mut profile.services),
        ] {
            ids.retain(|id| {
                let known = index.tag(kind, id).is_some();
                if !known {
                    tracing::warn!(profile = profile.name, %id, "no list has this category or service any more");
                }
                known
            });
        }
    }
    InForce::new(&policy, index, &own(index))
}

/// The household's own lists, which every profile blocks.
fn own(index: &Index) -> TagSet {
    let mut own = TagSet::EMPTY;
    if let Some(tag) = index.tag(TagKind::Own, "own") {
        own.insert(tag);
    }
    own
}

/// Reads a policy; the error tells line and column.
pub fn read(text: &str) -> Result<Policy, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

fn written(policy: &Policy) -> Result<String, String> {
    toml::to_string(policy).map_err(|error| error.to_string())
}

/// The policy, with who may change it: one at a time, and never while a reload puts a new index in force.
#[derive(Debug)]
pub struct Household {
    store: Store,
    /// The policy that holds where none was applied.
    initial: Mutex<Policy>,
}

impl Household {
    /// The policy of this state.
    pub fn new(store: Store, config: &Config) -> Self {
        Self {
            store,
            initial: Mutex::new(initial(config)),
        }
    }

    /// The state that it is kept in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn lock(&self) -> MutexGuard<'_, Policy> {
        self.initial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self, initial: &Policy) -> Result<Policy, String> {
        match self
            .store
            .get(&POLICY, "policy")
            .map_err(|error| error.to_string())?
        {
            Some(text) => read(&text),
            None => Ok(initial.clone()),
        }
    }

    /// The policy in force, made ready for `index`; the start of the daemon.
    pub fn ready(&self, index: &Index) -> Result<Arc<InForce>, String> {
        let initial = self.lock();
        let ready = ready(&self.current(&initial)?, index).map_err(|error| error.to_string())?;
        Ok(Arc::new(ready))
    }

    /// Puts a reloaded configuration in force: `snapshot` makes its snapshot from the policy made ready for `index`. Gives
    /// the old one back.
    pub fn reload(
        &self,
        config: &Config,
        index: &Index,
        engine: &Engine,
        snapshot: impl FnOnce(Arc<InForce>) -> Snapshot,
    ) -> Result<Arc<Snapshot>, String> {
        let mut initial = self.lock();
        let new = self::initial(config);
        let ready = ready(&self.current(&new)?, index).map_err(|error| error.to_string())?;
        *initial = new;
        Ok(engine.swap(snapshot(Arc::new(ready))))
    }

    /// The policy in force as text.
    pub fn export(&self) -> Result<String, String> {
        written(&self.current(&self.lock())?)
    }

    /// Replaces the policy, all or nothing; `dry_run` only says what would change.
    pub fn apply(&self, engine: &Engine, text: &str, dry_run: bool) -> Result<Applied, String> {
        let initial = self.lock();
        let old = written(&self.current(&initial)?)?;
        let policy = read(text)?;
        let new = written(&policy)?;
        let snapshot = engine.snapshot();
        let index = &snapshot.index;
        let ready = InForce::new(&policy, index, &own(index)).map_err(|error| error.to_string())?;
        if !dry_run {
            self.store
                .put(&POLICY, "policy", &new)
                .map_err(|error| error.to_string())?;
            if let Err(error) = crate::store::write_whole(&copy(self.store.folder()), new.as_bytes()) {
                tracing::warn!(%error, "the copy of the policy is not written");
            }
            engine.swap(Snapshot {
                policy: Arc::new(ready),
                ..Snapshot::clone(&snapshot)
            });
            tracing::info!(
                profiles = policy.profile.len(),
                devices = policy.device.len(),
                "policy applied"
            );
        }
        Ok(Applied {
            before: old,
            after: new,
            in_force: !dry_run,
        })
    }
}
