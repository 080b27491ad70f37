//! What holds at this moment beside the policy: hours of schedules, pauses and grants.
//!
//! Made anew when one of them begins or ends, for all profiles at once; [`Present::next`] tells when that is. So the line asks
//! no clock, and no device has a timer.

use std::collections::HashMap;
use std::fmt;

use isigurt_blocklists::index::{Index, TagKind, TagSet};
use isigurt_blocklists::name::NameRef;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::in_force::InForce;
use super::names::Names;
use super::ready::Profile;
use super::schedule::Mode;

/// Who is meant by a pause or a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Everybody.
    All,
    /// All devices of a profile.
    Profile(String),
    /// One device.
    Device(String),
}

impl fmt::Display for Who {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("all"),
            Self::Profile(name) => write!(out, "profile {name}"),
            Self::Device(name) => write!(out, "device {name}"),
        }
    }
}

/// A pause: nothing is answered but helplines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pause {
    /// For whom.
    pub who: Who,
    /// When it ends; `None`: when somebody ends it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// A grant: something is open for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// For whom.
    pub who: Who,
    /// `service:youtube`, `category:games`, `schedule` (hours do not hold meanwhile), or a name as in `allow`.
    pub what: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
}

/// What is open.
#[derive(Debug, Clone, Default)]
struct Granted {
    tags: TagSet,
    lines: Vec<String>,
    names: Names,
    hours: bool,
    until: Option<Timestamp>,
}

/// Why nothing is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Off {
    /// Somebody paused it.
    Paused,
    /// The schedule at this place of the profile.
    Schedule(u8),
}

/// What holds for one profile, or for one device of it, at this moment.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Nothing is answered.
    pub off: Option<Off>,
    /// Only allowed names are answered, because of this schedule.
    pub allow_list: Option<u8>,
    /// No services are answered, because of this schedule.
    pub no_services: Option<u8>,
    /// When `off`, `allow_list` or `no_services` ends.
    pub until: Option<Timestamp>,
    granted: Option<Box<Granted>>,
}

impl Standing {
    /// Whether a grant opens the name, which has these tags.
    #[inline]
    pub(super) fn grants(&self, name: NameRef<'_>, any: impl Fn(&TagSet) -> bool) -> bool {
        self.granted
            .as_ref()
            .is_some_and(|granted| any(&granted.tags) || granted.names.speak_of(name))
    }

    /// When the last of its grants ends.
    pub fn granted_until(&self) -> Option<Timestamp> {
        self.granted.as_ref()?.until
    }

    fn grant(&mut self, index: &Index, grant: &Grant) {
        let granted = self.granted.get_or_insert_default();
        granted.until = granted.until.max(Some(grant.until));
        let tag = match grant.what.split_once(':') {
            Some(("service", id)) => Some(index.tag(TagKind::Service, id)),
            Some(("category", id)) => Some(index.tag(TagKind::Category, id)),
            _ => None,
        };
        match tag {
            Some(Some(tag)) => granted.tags.insert(tag),
            Some(None) => {} // no list has it any more: there is nothing to open
            None if grant.what == "schedule" => granted.hours = true,
            None => {
                granted.lines.push(grant.what.clone());
                // Checked when the grant was made.
                granted.names = Names::read(&granted.lines).unwrap_or_default();
            }
        }
    }

    /// Has the schedules of `profile` hold that do now.
    fn schedule(&mut self, profile: &Profile, now: Timestamp, zone: &TimeZone) {
        let mut until = None;
        for (place, schedule) in (0..=u8::MAX).zip(&profile.schedules) {
            let Some(end) = schedule.until(now, zone) else {
                continue;
            };
            until = until.max(Some(end));
            match schedule.mode {
                Mode::Off => self.off = self.off.or(Some(Off::Schedule(place))),
                Mode::AllowList => self.allow_list = self.allow_list.or(Some(place)),
                Mode::NoServices => self.no_services = self.no_services.or(Some(place)),
            }
        }
        self.until = until;
    }

    fn pause(&mut self, pause: &Pause) {
        self.off = Some(Off::Paused);
        self.until = pause.until;
    }
}

/// What holds at this moment.
#[derive(Debug)]
pub struct Present {
    /// By the place of the profile.
    standings: Vec<Standing>,
    /// Of devices that something is said about by name.
    devices: HashMap<u32, Standing, foldhash::fast::RandomState>,
    /// The day that budgets count, days since 1970.
    pub day: u16,
    /// When something of this changes next, as far as time alone changes it.
    pub next: Option<Timestamp>,
}

impl Present {
    /// A moment at which nothing but the policy holds.
    pub fn plain(policy: &InForce) -> Self {
        Self {
            standings: policy.profiles().iter().map(|_| Standing::default()).collect(),
            devices: HashMap::default(),
            day: 0,
            next: None,
        }
    }

    /// What holds at `now`.
    pub fn new(
        policy: &InForce,
        index: &Index,
        (pauses, grants): (&[Pause], &[Grant]),
        now: Timestamp,
        zone: &TimeZone,
    ) -> Self {
        let pauses: Vec<&Pause> = pauses
            .iter()
            .filter(|pause| pause.until.is_none_or(|until| now < until))
            .collect();
        let grants: Vec<&Grant> = grants.iter().filter(|grant| now < grant.until).collect();
        let standing = |profile: &Profile, device: Option<&str>| {
            let meant = |who: &Who| match who {
                Who::All => true,
                Who::Profile(name) => *name == profile.name,
                Who::Device(name) => device == Some(name.as_str()),
            };
            let mut standing = Standing::default();
            for grant in grants.iter().filter(|grant| meant(&grant.who)) {
                standing.grant(index, grant);
            }
            if !standing.granted.as_ref().is_some_and(|granted| granted.hours) {
                standing.schedule(profile, now, zone);
            }
            let meant = pauses.iter().filter(|pause| meant(&pause.who));
            // The one that ends last, or never.
            if let Some(pause) = meant.max_by_key(|pause| (pause.until.is_none(), pause.until)) {
                standing.pause(pause);
            }
            standing
        };
        let named = pauses
            .iter()
            .map(|pause| &pause.who)
            .chain(grants.iter().map(|grant| &grant.who));
        let devices = named
            .filter_map(|who| match who {
                Who::Device(name) => Some((policy.device(name)?, name)),
                _ => None,
            })
            .map(|(device, name)| (device, standing(policy.profile_of(device), Some(name))))
            .collect();
        let (day, reset) = day(now, policy.reset, zone);
        let metered = policy
            .profiles()
            .iter()
            .any(|profile| !profile.budgets.is_empty());
        let edges = policy
            .profiles()
            .iter()
            .flat_map(|profile| &profile.schedules)
            .filter_map(|schedule| schedule.next(now, zone))
            .chain(pauses.iter().filter_map(|pause| pause.until))
            .chain(grants.iter().map(|grant| grant.until))
            .chain(reset.filter(|_| metered));
        Self {
            next: edges.min(),
            standings: policy
                .profiles()
                .iter()
                .map(|profile| standing(profile, None))
                .collect(),
            devices,
            day,
        }
    }

    /// What holds for a device, or for all of a profile.
    #[inline]
    pub fn of(&self, profile: u16, device: Option<u32>) -> &Standing {
        const NOTHING: &Standing = &Standing {
            off: None,
            allow_list: None,
            no_services: None,
            until: None,
            granted: None,
        };
        let own = device.filter(|_| !self.devices.is_empty());
        own.and_then(|device| self.devices.get(&device))
            .or_else(|| self.standings.get(usize::from(profile)))
            .unwrap_or(NOTHING)
    }
}

/// The day that budgets count, and when the next one begins.
fn day(now: Timestamp, reset: Time, zone: &TimeZone) -> (u16, Option<Timestamp>) {
    let local = zone.to_datetime(now);
    let today = local.date();
    let begun = if local.time() < reset {
        today.yesterday().unwrap_or(today)
    } else {
        today
    };
    let days = begun
        .since((jiff::Unit::Day, jiff::civil::date(1970, 1, 1)))
        .map_or(0, |span| span.get_days());
    let next = begun
        .checked_add(1.day())
        .ok()
        .and_then(|next| zone.to_timestamp(next.to_datetime(reset)).ok())
        .filter(|next| *next > now);
    (u16::try_from(days).unwrap_or(0), next)
}
