//! The household's policy over its life: read from the state, changed as a whole, in force on the next query.
//!
//! As long as none was applied, one profile holds for everybody: the categories that are blocked by default, and those of
//! the configured lists. The truth are the records of the state; `policy.toml` beside them is a copy to read.
//!
//! One lock orders all changes, also those that time and the network make: each builds what it changes anew, keeps the
//! rest, and swaps the snapshot. No query waits for it.

mod clock;
mod gone;
mod holidays;
pub mod ical;
mod import;
mod moment;
mod photos;
mod picture;
pub mod presets;
mod requests;
mod tables;
mod takeover;
mod text;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isigurt_blocklists::data;
use isigurt_blocklists::index::{Index, TagKind, TagSet};
use isigurt_core::policy::model::{CalendarText, Policy, ProfileText};
use isigurt_core::policy::schedule::Dates;
use isigurt_core::policy::{
    Clients, Grant, InForce, Pause, PolicyError, Present, SafeSearchHosts, Surroundings,
};
use isigurt_core::snapshot::Snapshot;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::clients::Known;
use crate::config::Config;
use crate::dns::engine::Engine;

pub use crate::store::audit::{Author, Entry};
pub use crate::store::{Store, StoreError};
pub use clock::tick;
pub use gone::gone;
pub use holidays::keep as keep_holidays;
pub use import::Imported;
pub use moment::While;
pub use photos::{Photo, PhotoError};
pub use picture::{LARGEST as LARGEST_PHOTO, WrongPicture};
pub use requests::{Answer, Request, State as RequestState};
pub use text::{copy, initial, offline, read};

/// Name of the profile that everybody has where no policy was applied.
pub const PROFILE: &str = "household";

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

/// What a snapshot has of the policy.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Profiles and devices.
    pub policy: Arc<InForce>,
    /// Which address belongs to which device.
    pub clients: Arc<Clients>,
    /// What holds now.
    pub present: Arc<Present>,
}

impl Parts {
    /// Puts them into a snapshot.
    fn into(self, snapshot: &Snapshot) -> Snapshot {
        Snapshot {
            policy: self.policy,
            clients: self.clients,
            present: self.present,
            ..snapshot.clone()
        }
    }
}

/// The policy, with who may change it: one at a time, and never while a reload puts a new index in force.
#[derive(Debug)]
pub struct Household {
    holidays: holidays::Holidays,
    photos: photos::Photos,
    store: Store,
    hosts: SafeSearchHosts,
    inner: Mutex<Inner>,
    events: broadcast::Sender<Event>,
}

/// What changed, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Profiles, devices, settings or calendars.
    Policy,
    /// Pauses and grants, or what schedules say.
    Moments,
    /// Requests for access.
    Requests,
    /// Which device has which address.
    Network,
}

#[derive(Debug)]
struct Inner {
    /// The policy that holds where none was applied.
    initial: Arc<Policy>,
    /// The policy that was applied last.
    applied: Option<Arc<Policy>>,
    pauses: Vec<Pause>,
    grants: Vec<Grant>,
    /// In the order of their numbers.
    requests: Vec<Request>,
    known: Arc<Known>,
    zone: TimeZone,
    /// When the clock was looked at last.
    looked: Timestamp,
    /// When minutes were kept last, and what they were.
    kept: (Timestamp, HashMap<String, (u16, u16)>),
    /// The newest day that minutes were counted on, by a clock that was right.
    counted: u16,
}

/// 23 November 2025: a clock that says less is not set yet.
const RELEASED_S: i64 = 1_763_856_000;

impl Inner {
    fn policy(&self) -> &Arc<Policy> {
        self.applied.as_ref().unwrap_or(&self.initial)
    }

    fn present(&self, policy: &InForce, index: &Index, now: Timestamp) -> Arc<Present> {
        let said = (self.pauses.as_slice(), self.grants.as_slice());
        let mut present = Present::new(policy, index, said, now, &self.zone);
        if now.as_second() < RELEASED_S {
            // Whoever pulls the plug of a box without a clock shall not begin the day's minutes anew by that.
            present.day = present.day.max(self.counted);
        }
        Arc::new(present)
    }

    fn clients(&self, policy: &InForce) -> Arc<Clients> {
        let known = self.known.iter();
        Arc::new(policy.clients(known.map(|(address, identity)| {
            (
                address,
                identity.mac.map(|mac| mac.0),
                identity.hostname.as_deref(),
            )
        })))
    }

    fn parts(&self, policy: InForce, index: &Index) -> Parts {
        Parts {
            clients: self.clients(&policy),
            present: self.present(&policy, index, Timestamp::now()),
            policy: Arc::new(policy),
        }
    }
}

impl Household {
    /// The policy of this state.
    pub fn new(store: Store, config: &Config) -> Result<Self, String> {
        let failed = |error: StoreError| error.to_string();
        let applied = tables::read(&store).map_err(failed)?;
        let pauses = store.all(&tables::PAUSES).map_err(failed)?;
        let grants = store.all(&tables::GRANTS).map_err(failed)?;
        let requests = store.all(&tables::REQUESTS).map_err(failed)?;
        let initial = Arc::new(initial(config));
        let zone = zone(applied.as_ref().unwrap_or(&initial)).unwrap_or_else(|error| {
            tracing::error!(%error, "schedules are kept in the time zone of the system");
            TimeZone::system()
        });
        Ok(Self {
            holidays: holidays::Holidays::default(),
            photos: photos::Photos::open(&store).map_err(failed)?,
            hosts: hosts(),
            events: broadcast::channel(64).0,
            inner: Mutex::new(Inner {
                initial,
                applied: applied.map(Arc::new),
                pauses: all_of(pauses),
                grants: all_of(grants),
                requests: all_of(requests),
                known: Arc::default(),
                zone,
                looked: Timestamp::now(),
                kept: (Timestamp::now(), HashMap::new()),
                counted: 0,
            }),
            store,
        })
    }

    /// The state that it is kept in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The state folder.
    pub fn folder(&self) -> &Path {
        self.store.folder()
    }

    /// What changes from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn tell(&self, event: Event) {
        let _ = self.events.send(event); // nobody may be watching
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the policy in force ready for `index`; the start of the daemon. Budgets go on where they were left.
    pub fn start(&self, index: &Index) -> Result<Parts, String> {
        let mut inner = self.lock();
        let mut ready = self
            .make(inner.policy(), index, None)
            .map_err(|error| error.to_string())?;
        self.go_on(&mut inner, &mut ready)?;
        Ok(inner.parts(ready, index))
    }

    /// Makes a policy ready for an index. What it says about categories and services that are gone is left out with a
    /// warning: there is no rule to enforce for them, and all the rest must hold.
    fn make(&self, policy: &Policy, index: &Index, before: Option<&InForce>) -> Result<InForce, PolicyError> {
        make(policy, index, &self.hosts, before)
    }

    /// Puts a reloaded configuration in force: `snapshot` makes its snapshot from the policy made ready for `index`. Gives
    /// the old one back.
    pub fn reload(
        &self,
        config: &Config,
        index: &Index,
        engine: &Engine,
        snapshot: impl FnOnce(Parts) -> Snapshot,
    ) -> Result<Arc<Snapshot>, String> {
        let mut inner = self.lock();
        let initial = Arc::new(initial(config));
        let policy = inner.applied.as_ref().unwrap_or(&initial);
        let before = engine.snapshot();
        let ready = self
            .make(policy, index, Some(&before.policy))
            .map_err(|error| error.to_string())?;
        inner.initial = initial;
        Ok(engine.swap(snapshot(inner.parts(ready, index))))
    }

    /// The policy as it stands.
    pub fn policy(&self) -> Arc<Policy> {
        self.lock().policy().clone()
    }

    /// The policy in force as text.
    pub fn export(&self) -> Result<String, String> {
        text::written(&self.policy())
    }

    /// Whether a policy could be put in force.
    pub fn check(&self, engine: &Engine, policy: &Policy) -> Result<(), ChangeError> {
        self.strict(policy, &engine.snapshot(), None)?;
        Ok(())
    }

    /// Replaces the policy, all or nothing; `dry_run` only says what would change.
    pub fn apply(&self, engine: &Engine, text: &str, dry_run: bool) -> Result<Applied, String> {
        let policy = read(text)?;
        let placed = |error: PolicyError| text::placed(text, &error);
        let mut inner = self.lock();
        let before = text::written(inner.policy())?;
        let after = text::written(&policy)?;
        if dry_run {
            self.strict(&policy, &engine.snapshot(), None).map_err(placed)?;
        } else {
            self.put(&mut inner, engine, &Author::console(), policy)
                .map_err(|error| error.told(|error| text::placed(text, error)))?;
        }
        Ok(Applied {
            before,
            after,
            in_force: !dry_run,
        })
    }

    /// Changes the policy: `change` gets a copy, and where it and the copy are right, the copy is in force when this returns.
    pub fn change<T>(
        &self,
        engine: &Engine,
        author: &Author,
        change: impl FnOnce(&mut Policy) -> Result<T, ChangeError>,
    ) -> Result<T, ChangeError> {
        let mut inner = self.lock();
        let mut policy = Policy::clone(inner.policy());
        let outcome = change(&mut policy)?;
        if policy != **inner.policy() {
            self.put(&mut inner, engine, author, policy)?;
        }
        Ok(outcome)
    }

    /// Makes a policy ready where nothing may be left out.
    fn strict(
        &self,
        policy: &Policy,
        snapshot: &Snapshot,
        before: Option<&InForce>,
    ) -> Result<(InForce, TimeZone), PolicyError> {
        let zone = zone(policy)?;
        holidays::check(policy)?;
        let index = &snapshot.index;
        let surroundings = Surroundings {
            index,
            own: own(index),
            hosts: &self.hosts,
            before,
        };
        Ok((InForce::new(policy, &surroundings)?, zone))
    }

    fn put(
        &self,
        inner: &mut Inner,
        engine: &Engine,
        author: &Author,
        mut policy: Policy,
    ) -> Result<(), ChangeError> {
        holidays::carry_over(&mut policy, inner.policy());
        let snapshot = engine.snapshot();
        let (ready, zone) = self.strict(&policy, &snapshot, Some(&snapshot.policy))?;
        self.store
            .commit(tables::write(inner.applied.as_deref(), &policy, author))
            .map_err(|error| ChangeError::State(error.to_string()))?;
        tracing::info!(
            by = author.who,
            profiles = policy.profile.len(),
            devices = policy.device.len(),
            "policy changed"
        );
        inner.zone = zone;
        inner.applied = Some(Arc::new(policy));
        let parts = inner.parts(ready, &snapshot.index);
        engine.swap(parts.into(&snapshot));
        self.tell(Event::Policy);
        if let Err(error) = text::write_copy(self.store.folder(), inner.policy()) {
            tracing::warn!(%error, "the copy of the policy is not written");
        }
        Ok(())
    }

    /// Takes over what the network tells about addresses.
    pub fn know(&self, engine: &Engine, known: Arc<Known>) {
        let mut inner = self.lock();
        inner.known = known;
        let snapshot = engine.snapshot();
        engine.swap(Snapshot {
            clients: inner.clients(&snapshot.policy),
            ..Snapshot::clone(&snapshot)
        });
        self.tell(Event::Network);
    }

    /// What the network tells about addresses.
    pub fn known(&self) -> Arc<Known> {
        self.lock().known.clone()
    }

    /// The profiles as they would be with this index, without devices: for looking ahead.
    pub fn ahead(&self, index: &Index) -> Result<InForce, String> {
        let mut policy = Policy::clone(&self.policy());
        policy.device.clear();
        self.make(&policy, index, None).map_err(|error| error.to_string())
    }

    /// What would hold at another time.
    pub fn present_at(&self, snapshot: &Snapshot, at: Timestamp) -> Arc<Present> {
        self.lock().present(&snapshot.policy, &snapshot.index, at)
    }

    /// Takes the days of an iCalendar for the calendar of this name, which is made where it is missing; gives the spans.
    pub fn import_calendar(
        &self,
        engine: &Engine,
        author: &Author,
        name: &str,
        text: &str,
    ) -> Result<Vec<Dates>, ChangeError> {
        let zone = self.zone();
        let today = zone.to_datetime(Timestamp::now()).date();
        let days = ical::read(text, &zone, today).map_err(|error| ChangeError::Wrong(error.to_string()))?;
        self.change(engine, author, |policy| {
            match policy.calendar.iter_mut().find(|calendar| calendar.name == name) {
                Some(calendar) => calendar.days.clone_from(&days),
                None => policy.calendar.push(CalendarText {
                    name: name.to_owned(),
                    url: None,
                    days: days.clone(),
                }),
            }
            Ok(())
        })?;
        Ok(days)
    }

    /// The time zone of schedules.
    pub fn zone(&self) -> TimeZone {
        self.lock().zone.clone()
    }
}

fn all_of<T>(records: Vec<(String, T)>) -> Vec<T> {
    records.into_iter().map(|(_, record)| record).collect()
}

/// Why a change is not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// What is meant does not exist.
    #[error("there is no {kind} \"{name}\"")]
    Missing {
        /// `profile`, `device` and so on.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Somebody changed it meanwhile.
    #[error("it was changed meanwhile; look at it again")]
    Stale,
    /// Something else has the name, or still needs it.
    #[error("{0}")]
    Conflict(String),
    /// The policy would not be right.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// It is asked for too often.
    #[error("{0}")]
    TooMany(String),
    /// What is asked for makes no sense.
    #[error("{0}")]
    Wrong(String),
    /// The state cannot be written.
    #[error("{0}")]
    State(String),
}

impl ChangeError {
    /// For a person, with the place of what is wrong with the policy.
    fn told(&self, placed: impl FnOnce(&PolicyError) -> String) -> String {
        match self {
            Self::Policy(error) => placed(error),
            other => other.to_string(),
        }
    }
}

/// Where search engines' hosts lead. The built-in data are checked when the lists are built.
fn hosts() -> SafeSearchHosts {
    SafeSearchHosts::new(&data::built_in().map(|data| data.safe_search).unwrap_or_default())
}

/// The time zone that a policy asks for.
fn zone(policy: &Policy) -> Result<TimeZone, PolicyError> {
    let Some(name) = &policy.settings.time_zone else {
        return Ok(TimeZone::system());
    };
    TimeZone::get(name).map_err(|error| PolicyError::TimeZone(error.to_string()))
}

/// See [`Household::make`].
fn make(
    policy: &Policy,
    index: &Index,
    hosts: &SafeSearchHosts,
    before: Option<&InForce>,
) -> Result<InForce, PolicyError> {
    let mut policy = policy.clone();
    for profile in &mut policy.profile {
        leave_out(profile, index);
    }
    let surroundings = Surroundings {
        index,
        own: own(index),
        hosts,
        before,
    };
    InForce::new(&policy, &surroundings)
}

/// Leaves out categories and services that no list has any more.
fn leave_out(profile: &mut ProfileText, index: &Index) {
    let name = profile.name.clone();
    let known = |kind: TagKind, id: &str| {
        let known = index.tag(kind, id).is_some();
        if !known {
            tracing::warn!(profile = name, %id, "no list has this category or service any more");
        }
        known
    };
    profile.categories.retain(|id| known(TagKind::Category, id));
    profile.services.retain(|id| known(TagKind::Service, id));
    for budget in &mut profile.budget {
        budget.what.retain(|what| match what.split_once(':') {
            Some(("service", id)) => known(TagKind::Service, id),
            Some(("category", id)) => known(TagKind::Category, id),
            _ => true,
        });
    }
    profile.budget.retain(|budget| !budget.what.is_empty());
}

/// The household's own lists, which every profile blocks.
fn own(index: &Index) -> TagSet {
    let mut own = TagSet::EMPTY;
    if let Some(tag) = index.tag(TagKind::Own, "own") {
        own.insert(tag);
    }
    own
}
