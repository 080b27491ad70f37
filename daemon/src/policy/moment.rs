//! What is said for a while: pauses, grants, minutes on top of budgets.

use isigurt_blocklists::index::{TagKind, TagSet};
use isigurt_core::policy::{Given, Grant, Names, Pause, Who};
use isigurt_core::snapshot::Snapshot;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Author, ChangeError, Event, Household, Inner, tables};
use crate::dns::engine::Engine;
use crate::store::Changes;

/// Everything that is said for a while.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct While {
    /// Who is paused.
    pub pauses: Vec<Pause>,
    /// What is open.
    pub grants: Vec<Grant>,
}

/// A grant's key.
pub(super) fn key(grant: &Grant) -> String {
    format!("{}\n{}", grant.who, grant.what)
}

impl Household {
    /// Everything that is said for a while.
    pub fn said(&self) -> While {
        let inner = self.lock();
        While {
            pauses: inner.pauses.clone(),
            grants: inner.grants.clone(),
        }
    }

    /// Whom somebody means who writes `all`, a name of a device or profile, or an address.
    pub fn who(&self, engine: &Engine, text: &str) -> Result<Who, ChangeError> {
        let snapshot = engine.snapshot();
        let policy = &snapshot.policy;
        if text == "all" {
            return Ok(Who::All);
        }
        if policy.device(text).is_some() {
            return Ok(Who::Device(text.to_owned()));
        }
        if policy.profile(text).is_some() {
            return Ok(Who::Profile(text.to_owned()));
        }
        if let Ok(address) = text.parse()
            && let Some(device) = snapshot.clients.device(address)
        {
            return Ok(Who::Device(policy.device_name(device).to_owned()));
        }
        Err(ChangeError::Missing {
            kind: "device or profile",
            name: text.to_owned(),
        })
    }

    fn exists(who: &Who, snapshot: &Snapshot) -> Result<(), ChangeError> {
        let (kind, name, there) = match who {
            Who::All => return Ok(()),
            Who::Profile(name) => ("profile", name, snapshot.policy.profile(name).is_some()),
            Who::Device(name) => ("device", name, snapshot.policy.device(name).is_some()),
        };
        if there {
            return Ok(());
        }
        Err(ChangeError::Missing {
            kind,
            name: name.clone(),
        })
    }

    /// Puts a pause in force, in the place of an earlier one for the same.
    pub fn pause(&self, engine: &Engine, author: &Author, pause: Pause) -> Result<(), ChangeError> {
        Self::exists(&pause.who, &engine.snapshot())?;
        let mut inner = self.lock();
        let mut changes = Changes::default();
        let whom = pause.who.to_string();
        changes.put(&tables::PAUSES, &whom, &pause);
        changes.audit(author.entry("pause", &whom, None, serde_json::to_value(&pause).ok()));
        self.commit(changes)?;
        inner.pauses.retain(|other| other.who != pause.who);
        inner.pauses.push(pause);
        self.hold(&inner, engine);
        Ok(())
    }

    /// Ends a pause; `false` where there was none.
    pub fn resume(&self, engine: &Engine, author: &Author, who: &Who) -> Result<bool, ChangeError> {
        let mut inner = self.lock();
        let before = inner.pauses.len();
        let mut changes = Changes::default();
        let whom = who.to_string();
        changes.remove(&tables::PAUSES, &whom);
        changes.audit(author.entry("pause.end", &whom, None, None));
        self.commit(changes)?;
        inner.pauses.retain(|pause| pause.who != *who);
        self.hold(&inner, engine);
        Ok(inner.pauses.len() < before)
    }

    /// Opens something for a while. `what`: `service:ID`, `category:ID`, `schedule`, a name as in `allow`, or the id of a
    /// service alone.
    pub fn grant(&self, engine: &Engine, author: &Author, mut grant: Grant) -> Result<Grant, ChangeError> {
        let snapshot = engine.snapshot();
        Self::exists(&grant.who, &snapshot)?;
        grant.what = meant(&grant.what, &snapshot)?;
        if grant.until <= Timestamp::now() {
            return Err(ChangeError::Wrong("its end has passed already".to_owned()));
        }
        let mut inner = self.lock();
        let mut changes = Changes::default();
        changes.put(&tables::GRANTS, &key(&grant), &grant);
        let told = serde_json::to_value(&grant).ok();
        changes.audit(author.entry("grant", &grant.who.to_string(), None, told));
        self.commit(changes)?;
        inner.grants.retain(|other| key(other) != key(&grant));
        inner.grants.push(grant.clone());
        self.hold(&inner, engine);
        Ok(grant)
    }

    /// Ends a grant; `false` where there was none.
    pub fn revoke(
        &self,
        engine: &Engine,
        author: &Author,
        who: &Who,
        what: &str,
    ) -> Result<bool, ChangeError> {
        let what = meant(what, &engine.snapshot())?;
        let mut inner = self.lock();
        let before = inner.grants.len();
        let mut changes = Changes::default();
        changes.remove(&tables::GRANTS, &format!("{who}\n{what}"));
        changes.audit(author.entry("grant.end", &who.to_string(), Some(what.clone().into()), None));
        self.commit(changes)?;
        inner
            .grants
            .retain(|grant| grant.who != *who || grant.what != what);
        self.hold(&inner, engine);
        Ok(inner.grants.len() < before)
    }

    /// Gives minutes of today on top of the budgets that `what` (`service:ID` or `category:ID`) counts for.
    pub fn give(
        &self,
        engine: &Engine,
        author: &Author,
        who: &Who,
        what: &str,
        minutes: u16,
    ) -> Result<(), ChangeError> {
        let snapshot = engine.snapshot();
        Self::exists(who, &snapshot)?;
        let what = meant(what, &snapshot)?;
        let tags = tags(&what, &snapshot).ok_or_else(|| {
            ChangeError::Wrong(format!(
                "{what:?} is not service:ID or category:ID, and no budget counts it"
            ))
        })?;
        let mut inner = self.lock();
        let (policy, day) = (&snapshot.policy, snapshot.present.day);
        let given = match who {
            Who::All => policy
                .profiles()
                .iter()
                .map(|profile| policy.give(Given::Profile(profile), &tags, day, minutes))
                .sum(),
            Who::Profile(name) => policy.profile(name).map_or(0, |profile| {
                policy.give(Given::Profile(profile), &tags, day, minutes)
            }),
            Who::Device(name) => policy.device(name).map_or(0, |device| {
                policy.give(Given::Device(device), &tags, day, minutes)
            }),
        };
        if given == 0 {
            return Err(ChangeError::Wrong(format!("no budget of {who} counts {what}")));
        }
        let mut changes = Changes::default();
        let told = serde_json::json!({ "what": what, "minutes": minutes });
        changes.audit(author.entry("bonus", &who.to_string(), None, Some(told)));
        self.commit(changes)?;
        self.keep_minutes(&mut inner, engine, Timestamp::now());
        Ok(())
    }

    /// Has what is said for a while of somebody hold under another name: whoever is called differently is no less paused.
    pub fn follow(&self, engine: &Engine, from: &Who, to: &Who) -> Result<(), ChangeError> {
        let mut inner = self.lock();
        let mut changes = Changes::default();
        let (mut pauses, mut grants) = (inner.pauses.clone(), inner.grants.clone());
        for pause in pauses.iter_mut().filter(|pause| pause.who == *from) {
            changes.remove(&tables::PAUSES, &from.to_string());
            pause.who.clone_from(to);
            changes.put(&tables::PAUSES, &to.to_string(), pause);
        }
        for grant in grants.iter_mut().filter(|grant| grant.who == *from) {
            changes.remove(&tables::GRANTS, &key(grant));
            grant.who.clone_from(to);
            changes.put(&tables::GRANTS, &key(grant), grant);
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.commit(changes)?;
        (inner.pauses, inner.grants) = (pauses, grants);
        self.hold(&inner, engine);
        Ok(())
    }

    pub(super) fn commit(&self, changes: Changes) -> Result<(), ChangeError> {
        self.store
            .commit(changes)
            .map_err(|error| ChangeError::State(error.to_string()))
    }

    /// Has hold what is said.
    fn hold(&self, inner: &Inner, engine: &Engine) {
        let snapshot = engine.snapshot();
        engine.swap(Snapshot {
            present: inner.present(&snapshot.policy, &snapshot.index, Timestamp::now()),
            ..Snapshot::clone(&snapshot)
        });
        self.tell(Event::Moments);
    }
}

/// What a grant opens, in the form that it is kept in.
fn meant(what: &str, snapshot: &Snapshot) -> Result<String, ChangeError> {
    if what == "schedule" {
        return Ok(what.to_owned());
    }
    let index = &snapshot.index;
    match what.split_once(':') {
        Some((kind @ ("service" | "category"), id)) => {
            let tag = match kind {
                "service" => index.tag(TagKind::Service, id),
                _ => index.tag(TagKind::Category, id),
            };
            let missing = || ChangeError::Wrong(format!("there is no {kind} \"{id}\""));
            tag.map(|_| what.to_owned()).ok_or_else(missing)
        }
        _ if index.tag(TagKind::Service, what).is_some() => Ok(format!("service:{what}")),
        _ if !what.contains('.') && !what.starts_with('/') => Err(ChangeError::Wrong(format!(
            "there is no service \"{what}\"; write service:ID, category:ID, or a name such as example.org"
        ))),
        _ => Names::read(&[what.to_owned()])
            .map(|_| what.to_owned())
            .map_err(|error| ChangeError::Wrong(error.to_string())),
    }
}

/// The tag that is meant.
fn tags(what: &str, snapshot: &Snapshot) -> Option<TagSet> {
    let (kind, id) = what.split_once(':')?;
    let kind = match kind {
        "service" => TagKind::Service,
        "category" => TagKind::Category,
        _ => return None,
    };
    let mut tags = TagSet::EMPTY;
    tags.insert(snapshot.index.tag(kind, id)?);
    Some(tags)
}
