//! The policy in force: profiles made ready for one index, and who has which.
//!
//! What holds at this moment beside it (hours, pauses, grants) is [`super::Present`]; which address belongs to which device is
//! [`Clients`]. The three change for different reasons, and each is made anew by itself.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use ipnet::IpNet;
use isigurt_blocklists::index::{Index, TagKind, TagSet};
use jiff::civil::Time;

use super::budget::{Meter, Reading};
use super::error::PolicyError;
use super::model::{DeviceText, Per, Policy, ProfileText};
use super::ready::{Budget, Making, Profile, SafeSearchHosts};
use crate::clients::{self, Network};

/// Numbers by address, see [`clients::number`].
type Addresses = HashMap<u128, u32, foldhash::fast::RandomState>;

/// A device by its place in the policy.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// The place of its profile.
    pub profile: u16,
    /// The place of its first meter, where it has meters of its own.
    meters: Option<u32>,
}

/// How devices are recognised.
#[derive(Debug, Default)]
struct Marks {
    client_ids: HashMap<String, u32>,
    macs: HashMap<[u8; 6], u32>,
    addresses: Addresses,
    hostnames: HashMap<String, u32>,
    /// Networks by what their addresses have in common, the longest first.
    networks: Vec<(u128, Addresses)>,
}

/// The policy in force.
#[derive(Debug)]
pub struct InForce {
    profiles: Vec<Profile>,
    default: u16,
    devices: Vec<Device>,
    by_name: HashMap<String, u32>,
    marks: Marks,
    meters: Vec<Arc<Meter>>,
    /// The hour at which budgets begin anew.
    pub(super) reset: Time,
    /// Every service that there is.
    pub(super) services: TagSet,
}

/// What policies are made ready with.
#[derive(Debug)]
pub struct Surroundings<'s> {
    /// Every rule.
    pub index: &'s Index,
    /// Groups that every profile blocks: the household's own lists.
    pub own: TagSet,
    /// Where search engines' hosts lead.
    pub hosts: &'s SafeSearchHosts,
    /// The policy before, whose meters go on.
    pub before: Option<&'s InForce>,
}

impl InForce {
    /// One profile for everybody.
    pub fn everybody(profile: Profile) -> Self {
        let meters = profile.budgets.iter().map(|_| Arc::default()).collect();
        Self {
            profiles: vec![profile],
            default: 0,
            devices: Vec::new(),
            by_name: HashMap::new(),
            marks: Marks::default(),
            meters,
            reset: Time::midnight(),
            services: TagSet::EMPTY,
        }
    }

    /// Makes `policy` ready.
    pub fn new(policy: &Policy, surroundings: &Surroundings<'_>) -> Result<Self, PolicyError> {
        let Surroundings {
            index,
            own,
            hosts,
            before,
        } = surroundings;
        let mut calendars = HashSet::new();
        if let Some(twin) = policy.calendar.iter().find(|one| !calendars.insert(&one.name)) {
            return Err(twice("calendar", &twin.name));
        }
        let making = Making {
            index,
            own,
            hosts,
            calendars: &policy.calendar,
        };
        let mut places: HashMap<&str, u16> = HashMap::with_capacity(policy.profile.len());
        let mut profiles = Vec::with_capacity(policy.profile.len());
        for text in &policy.profile {
            called("profile", &text.name)?;
            pictured(text)?;
            let place = u16::try_from(profiles.len()).map_err(|_| PolicyError::TooMany)?;
            if places.insert(&text.name, place).is_some() {
                return Err(twice("profile", &text.name));
            }
            profiles.push(making.profile(text, place)?);
        }
        let place = |by: &dyn Fn() -> String, name: &str| {
            places
                .get(name)
                .copied()
                .ok_or_else(|| PolicyError::UnknownProfile {
                    by: by(),
                    name: name.to_owned(),
                })
        };
        let default = match (&policy.settings.default_profile, profiles.len()) {
            (_, 0) => return Err(PolicyError::NoProfile),
            (Some(name), _) => place(&|| "[settings] default_profile".to_owned(), name)?,
            (None, 1) => 0,
            (None, _) => return Err(PolicyError::NoDefault),
        };
        let mut force = Self {
            profiles,
            default,
            devices: Vec::with_capacity(policy.device.len()),
            by_name: HashMap::with_capacity(policy.device.len()),
            marks: Marks::default(),
            meters: Vec::new(),
            reset: policy
                .settings
                .budget_reset
                .map_or(Time::midnight(), |hour| hour.0),
            services: index.kind(TagKind::Service),
        };
        for text in &policy.device {
            let profile = place(&|| format!("device \"{}\"", text.name), &text.profile)?;
            force.add(text, profile)?;
        }
        force
            .marks
            .networks
            .sort_by_key(|(mask, _)| std::cmp::Reverse(*mask));
        force.mount(*before);
        Ok(force)
    }

    fn add(&mut self, text: &DeviceText, profile: u16) -> Result<(), PolicyError> {
        called("device", &text.name)?;
        let place = u32::try_from(self.devices.len()).map_err(|_| PolicyError::TooMany)?;
        self.devices.push(Device {
            name: text.name.clone(),
            profile,
            meters: None,
        });
        if self.by_name.insert(text.name.clone(), place).is_some() {
            return Err(twice("device", &text.name));
        }
        for mark in &text.matches {
            let wrong = |_| PolicyError::Match {
                device: text.name.clone(),
                text: mark.clone(),
            };
            let taken = self.marks.add(mark, place).map_err(wrong)?;
            if let Some(other) = taken.filter(|other| *other != place) {
                return Err(PolicyError::MatchTwice {
                    device: text.name.clone(),
                    text: mark.clone(),
                    other: self
                        .devices
                        .get(other as usize)
                        .map_or_else(String::new, |other| other.name.clone()),
                });
            }
        }
        Ok(())
    }

    /// Gives every budget its meters: those that `before` had for it go on.
    fn mount(&mut self, before: Option<&Self>) {
        let mut meters: Vec<Arc<Meter>> = Vec::new();
        let first = |meters: &Vec<Arc<Meter>>| u32::try_from(meters.len()).unwrap_or(u32::MAX);
        for profile in &mut self.profiles {
            profile.meters = first(&meters);
            let old = before.and_then(|before| before.profile(&profile.name));
            for budget in &profile.budgets {
                let old = old.and_then(|old| before?.meter_at(old, None, old.budget(&budget.label)?));
                meters.push(old.cloned().unwrap_or_default());
            }
        }
        let profiles = &self.profiles;
        for device in &mut self.devices {
            let Some(profile) = profiles.get(usize::from(device.profile)) else {
                continue;
            };
            if profile.budgets.iter().all(|budget| budget.per == Per::Profile) {
                continue;
            }
            device.meters = Some(first(&meters));
            let old = before.and_then(|before| {
                let device = *before.by_name.get(&device.name)?;
                Some((before.profile_of(device), device))
            });
            for budget in &profile.budgets {
                let old = old
                    .filter(|_| budget.per == Per::Device)
                    .and_then(|(profile, device)| {
                        before?.meter_at(profile, Some(device), profile.budget(&budget.label)?)
                    });
                meters.push(old.cloned().unwrap_or_default());
            }
        }
        self.meters = meters;
    }

    /// The meter of a budget, by its place in the profile.
    fn meter_at(&self, profile: &Profile, device: Option<u32>, budget: usize) -> Option<&Arc<Meter>> {
        let per = profile.budgets.get(budget)?.per;
        let own = device
            .filter(|_| per == Per::Device)
            .and_then(|device| self.devices.get(device as usize)?.meters);
        let first = own.unwrap_or(profile.meters);
        self.meters.get(first as usize + budget)
    }

    /// The meter of a budget for a client.
    #[inline]
    pub(super) fn meter(&self, profile: &Profile, device: Option<u32>, budget: usize) -> Option<&Meter> {
        self.meter_at(profile, device, budget).map(AsRef::as_ref)
    }

    /// What was used today: who (`device NAME` or `profile NAME`), of which budget.
    pub fn readings(&self, day: u16) -> Vec<(String, String, Reading)> {
        let mut readings = Vec::new();
        let mut note = |who: String, first: u32, budgets: &[Budget]| {
            for (at, budget) in budgets.iter().enumerate() {
                let Some(meter) = self.meters.get(first as usize + at) else {
                    continue;
                };
                let reading = meter.reading(day);
                if reading.used > 0 || reading.bonus > 0 {
                    readings.push((who.clone(), budget.label.clone(), reading));
                }
            }
        };
        for profile in &self.profiles {
            note(
                format!("profile {}", profile.name),
                profile.meters,
                &profile.budgets,
            );
        }
        for device in &self.devices {
            if let (Some(first), Some(profile)) =
                (device.meters, self.profiles.get(usize::from(device.profile)))
            {
                note(format!("device {}", device.name), first, &profile.budgets);
            }
        }
        readings
    }

    /// Has a budget go on where it was left; `false` where there is none such any more.
    pub fn go_on(&mut self, who: &str, budget: &str, reading: Reading) -> bool {
        let place = match who.split_once(' ') {
            Some(("profile", name)) => self.profile(name).and_then(|profile| {
                let at = profile.budget(budget)?;
                Some(profile.meters as usize + at)
            }),
            Some(("device", name)) => self.by_name.get(name).and_then(|device| {
                let at = self.profile_of(*device).budget(budget)?;
                Some(self.devices.get(*device as usize)?.meters? as usize + at)
            }),
            _ => None,
        };
        let Some(meter) = place.and_then(|place| self.meters.get_mut(place)) else {
            return false;
        };
        *meter = Arc::new(Meter::from_reading(reading));
        true
    }

    /// Gives minutes on top of the budgets that are about one of `tags`, for a device, or for all of a profile; the number of
    /// budgets that it was given to.
    pub fn give(&self, who: Given<'_>, tags: &TagSet, day: u16, minutes: u16) -> usize {
        let (profile, devices) = match who {
            Given::Device(device) => (self.profile_of(device), vec![Some(device)]),
            Given::Profile(profile) => {
                let members = (0_u32..)
                    .zip(&self.devices)
                    .filter(|(_, device)| device.profile == profile.place);
                let members = members.map(|(place, _)| Some(place));
                (profile, std::iter::once(None).chain(members).collect())
            }
        };
        let mut given = 0;
        for (at, budget) in profile.budgets.iter().enumerate() {
            if !budget.tags.intersects(tags) {
                continue;
            }
            given += 1;
            let mut done: Vec<*const Meter> = Vec::new();
            for device in &devices {
                if let Some(meter) = self.meter(profile, *device, at)
                    && !done.contains(&std::ptr::from_ref(meter))
                {
                    done.push(std::ptr::from_ref(meter));
                    meter.give(day, minutes);
                }
            }
        }
        given
    }

    /// Which address belongs to which device, by what the network tells of addresses: their MAC address and host name.
    pub fn clients<'k>(
        &self,
        known: impl Iterator<Item = (IpAddr, Option<[u8; 6]>, Option<&'k str>)>,
    ) -> Clients {
        let marks = &self.marks;
        let mut addresses = Addresses::default();
        addresses.extend(&marks.addresses);
        if !marks.macs.is_empty() || !marks.hostnames.is_empty() {
            for (address, mac, hostname) in known {
                let address = clients::number(address);
                let by_mac = mac.and_then(|mac| marks.macs.get(&mac));
                let by_name = || {
                    if marks.addresses.contains_key(&address) {
                        return None; // an address is a surer mark than a name
                    }
                    marks.hostnames.get(&hostname?.to_ascii_lowercase())
                };
                if let Some(device) = by_mac.or_else(by_name) {
                    addresses.insert(address, *device);
                }
            }
        }
        Clients {
            addresses,
            networks: marks.networks.clone(),
        }
    }

    /// The device that calls itself so (a path or name of an encrypted transport).
    pub fn client_id(&self, id: &str) -> Option<u32> {
        self.marks.client_ids.get(id).copied()
    }

    /// The profile of a device.
    #[inline]
    pub fn profile_of(&self, device: u32) -> &Profile {
        let device = self.devices.get(device as usize);
        device.map_or_else(
            || self.default_profile(),
            |device| self.profile_at(device.profile),
        )
    }

    /// The profile at this place.
    #[inline]
    pub fn profile_at(&self, place: u16) -> &Profile {
        self.profiles
            .get(usize::from(place))
            .or_else(|| self.profiles.get(usize::from(self.default)))
            .unwrap_or(&NOBODY)
    }

    /// The profile of clients that none is named for.
    #[inline]
    pub fn default_profile(&self) -> &Profile {
        self.profile_at(self.default)
    }

    /// The place of the device of this name.
    pub fn device(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The name of a device.
    pub fn device_name(&self, device: u32) -> &str {
        self.devices
            .get(device as usize)
            .map_or("", |device| device.name.as_str())
    }

    /// The profile of this name.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    /// All profiles, each at its place.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }
}

/// The profile where there is none, which a policy is never without: it allows nothing.
static NOBODY: LazyLock<Profile> = LazyLock::new(|| Profile {
    deny_rest: true,
    ..Profile::default()
});

/// To whom minutes are given.
#[derive(Debug, Clone, Copy)]
pub enum Given<'p> {
    /// One device.
    Device(u32),
    /// All devices of a profile.
    Profile(&'p Profile),
}

/// A text that is no mark of a device.
#[derive(Debug, Clone, Copy)]
struct NoMark;

impl Marks {
    /// Adds a mark of a device, and gives the device that had it before.
    fn add(&mut self, text: &str, device: u32) -> Result<Option<u32>, NoMark> {
        let (kind, mark) = text.split_once(':').ok_or(NoMark)?;
        Ok(match kind {
            "mac" => self.macs.insert(mac(mark).ok_or(NoMark)?, device),
            "ip" => {
                let address = mark.parse().map_err(|_| NoMark)?;
                self.addresses.insert(clients::number(address), device)
            }
            "hostname" if !mark.is_empty() && mark.len() <= 253 => {
                self.hostnames.insert(mark.to_ascii_lowercase(), device)
            }
            "client-id" if client_id(mark) => self.client_ids.insert(mark.to_owned(), device),
            "cidr" => {
                let network = Network::from(mark.parse::<IpNet>().map_err(|_| NoMark)?);
                let masks = self.networks.iter().position(|(mask, _)| *mask == network.mask());
                let at = masks.unwrap_or_else(|| {
                    self.networks.push((network.mask(), Addresses::default()));
                    self.networks.len() - 1
                });
                let (_, addresses) = self.networks.get_mut(at).ok_or(NoMark)?;
                addresses.insert(network.first(), device)
            }
            _ => return Err(NoMark),
        })
    }
}

/// Six octets in hexadecimal, with `:` or `-` between them.
fn mac(text: &str) -> Option<[u8; 6]> {
    let mut octets = [0; 6];
    let separator = if text.contains('-') { '-' } else { ':' };
    let mut parts = text.split(separator);
    for octet in &mut octets {
        let part = parts.next()?;
        let digits = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
        *octet = digits.then(|| u8::from_str_radix(part, 16).ok()).flatten()?;
    }
    parts.next().is_none().then_some(octets)
}

/// Whether it can stand in the path of a query and as a label: letters, digits and hyphens.
fn client_id(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

/// Which address belongs to which device.
#[derive(Debug, Default)]
pub struct Clients {
    addresses: Addresses,
    networks: Vec<(u128, Addresses)>,
}

impl Clients {
    /// The device of an address: its own, else that of the longest network that holds it.
    #[inline]
    pub fn device(&self, client: IpAddr) -> Option<u32> {
        if self.addresses.is_empty() && self.networks.is_empty() {
            return None;
        }
        let client = clients::number(client);
        let mut networks = self.networks.iter();
        self.addresses
            .get(&client)
            .or_else(|| networks.find_map(|(mask, addresses)| addresses.get(&(client & mask))))
            .copied()
    }
}

/// Refuses names that no list could show: empty, longer than 64 characters, or with control characters.
fn pictured(profile: &ProfileText) -> Result<(), PolicyError> {
    let face = profile.face.as_deref().unwrap_or("?");
    if (1..=16).contains(&face.chars().count()) && !face.chars().any(char::is_control) {
        return Ok(());
    }
    Err(PolicyError::Face {
        profile: profile.name.clone(),
    })
}

fn called(kind: &'static str, name: &str) -> Result<(), PolicyError> {
    let shown = name.trim() == name && !name.is_empty() && name.chars().count() <= 64;
    if shown && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(PolicyError::Called {
        kind,
        name: name.to_owned(),
    })
}

fn twice(kind: &'static str, name: &str) -> PolicyError {
    PolicyError::Twice {
        kind,
        name: name.to_owned(),
    }
}
