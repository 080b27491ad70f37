//! How the daemon stands, for `status`, the control socket and the web UI.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clients::Mac;
use crate::clients::sightings::{Sighting, Sightings};
use crate::dns::engine::{Counts, Engine};
use crate::explain::{self, Asking, Explanation, Whom};
use crate::policy::Household;
use crate::report::{Desk, Queue};
use crate::sync::{Files, Keeper, ListStatus, Newer, Progress};
use crate::tls::Certificates;

/// How the daemon stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Status {
    /// Program version.
    pub version: String,
    /// `ok`, or `degraded` with reasons in `problems`.
    pub state: String,
    /// What is wrong, and what it means.
    pub problems: Vec<String>,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Addresses served.
    #[schema(value_type = Vec<String>)]
    pub listen: Vec<SocketAddr>,
    /// Upstream servers, and whether the last query to each was answered.
    #[schema(value_type = Vec<Vec<serde_json::Value>>)]
    pub upstreams: Vec<(String, bool)>,
    /// Rules in force.
    pub rules: u64,
    /// Queries since the start.
    pub counts: Counts,
    /// Queries that the query log had no room for.
    #[serde(default)]
    pub log_lost: u64,
    /// Answers in the cache.
    pub cache_entries: usize,
    /// Octets in the cache.
    pub cache_octets: u64,
    /// The lists.
    pub lists: Vec<ListStatus>,
    /// The newer version of this program that the platform knows.
    #[serde(default)]
    pub newer: Option<Newer>,
    /// Reports that wait for the platform.
    #[serde(default)]
    pub reports: Queue,
}

/// What the status is taken from.
#[derive(Debug)]
pub struct Watch {
    engine: Arc<Engine>,
    household: Household,
    listen: Vec<SocketAddr>,
    lists: RwLock<Vec<ListStatus>>,
    reload_error: RwLock<Option<String>>,
    files: Files,
    sightings: Arc<Sightings>,
    certificates: Arc<Certificates>,
    keeper: Keeper,
    desk: Arc<Desk>,
}

/// A device with its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceShown {
    /// Its name.
    pub name: String,
    /// Its profile.
    pub profile: String,
    /// How it is recognised.
    pub matches: Vec<String>,
    /// Addresses that it has now.
    pub addresses: Vec<IpAddr>,
}

/// An address on the network that no device is named for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AddressShown {
    /// The address.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// The hardware address behind it.
    pub mac: Option<String>,
    /// Who made its network card; `None` where the address is made up by the device, or unknown.
    pub vendor: Option<String>,
    /// Whether the hardware address is made up by the device.
    pub randomised: bool,
    /// What it calls itself.
    pub hostname: Option<String>,
    /// When it asked for something first and last, seconds since 1970; `None` where it asked for nothing.
    #[schema(value_type = Option<Vec<i64>>)]
    pub asked: Option<(i64, i64)>,
    /// What it asked for first.
    pub first_names: Vec<String>,
}

/// A profile, and how many have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileShown {
    /// Its name.
    pub name: String,
    /// Devices that have it.
    pub devices: usize,
    /// Whether all others have it.
    pub default: bool,
}

const DAY: i64 = 86_400;

/// What is to be said about a list that is not fresh.
fn list_problem(list: &ListStatus, now: i64) -> Option<String> {
    let ListStatus { id, last_error, .. } = list;
    if id.contains('/') {
        return None; // said once for all of the platform's
    }
    let age = list.checked_at.and_then(|at| stale(now - at));
    match (last_error, age) {
        (Some(error), Some(age)) => Some(format!(
            "list {id}: {error}; {age}, its last good version is in force"
        )),
        (Some(error), None) if list.rules == 0 => Some(format!("list {id}: {error}")),
        (Some(error), None) => Some(format!("list {id}: {error}; its last good version is in force")),
        (None, _) => overdue(list, now),
    }
}

/// What is to be said where nobody asks a list's server any more, which brings no error.
fn overdue(list: &ListStatus, now: i64) -> Option<String> {
    let late = now - list.next_try?;
    // A clock that was not set when this was planned says years.
    if !(DAY..365 * DAY).contains(&late) {
        return None;
    }
    let id = &list.id;
    Some(format!(
        "list {id}: its server was to be asked {} hours ago and was not; its last good version is in force",
        late / 3600
    ))
}

/// The same about the platform.
fn platform_problem(platform: &Progress, now: i64) -> Option<String> {
    let age = platform.checked_at.map(|at| stale(now - at));
    let in_force = match &platform.checked_at {
        Some(_) => "the lists that were verified last are in force",
        None => "no national list was ever verified here; the built-in lists are in force",
    };
    match (&platform.error, age.flatten()) {
        (Some(error), Some(age)) => Some(format!("national platform: {error}; {age}, {in_force}")),
        (Some(error), None) => Some(format!("national platform: {error}; {in_force}")),
        (None, Some(age)) => Some(format!("national platform: {age}, {in_force}")),
        (None, None) => None,
    }
}

/// The same about reports that the platform did not take for a day.
fn report_problem(reports: &Queue, now: i64) -> Option<String> {
    let age = reports.age_s(now);
    let counted = reports.counted().filter(|_| age >= DAY)?;
    let why = reports.last_error.as_deref().unwrap_or("it was not tried yet");
    Some(format!("{counted}, the oldest for {} hours: {why}", age / 3600))
}

/// Said of what was not refreshed for a day, and louder after a week.
fn stale(age: i64) -> Option<String> {
    let days = age / DAY;
    match age {
        age if age >= 7 * DAY => Some(format!(
            "NOT REFRESHED FOR {days} DAYS: what is new is not blocked here; mend the way to it now"
        )),
        age if age >= DAY => Some(format!("not refreshed for {} hours", age / 3600)),
        _ => None,
    }
}

fn shown(
    address: IpAddr,
    mac: Option<Mac>,
    hostname: Option<String>,
    sighting: Option<Sighting>,
) -> AddressShown {
    let asked = sighting.as_ref();
    AddressShown {
        address,
        mac: mac.map(|mac| mac.to_string()),
        vendor: mac.and_then(|mac| mac.vendor().map(Into::into)),
        randomised: mac.is_some_and(Mac::is_randomised),
        hostname,
        asked: asked.map(|sighting| (sighting.first_seen_s, sighting.last_seen_s)),
        first_names: sighting.map(|sighting| sighting.first_names).unwrap_or_default(),
    }
}

impl AsRef<Household> for Watch {
    fn as_ref(&self) -> &Household {
        &self.household
    }
}

impl Watch {
    /// Watches this engine.
    pub fn new(
        engine: Arc<Engine>,
        household: Household,
        listen: Vec<SocketAddr>,
        (lists, keeper, desk): (Vec<ListStatus>, Keeper, Arc<Desk>),
        files: Files,
        sightings: Arc<Sightings>,
        certificates: Arc<Certificates>,
    ) -> Self {
        Self {
            engine,
            household,
            listen,
            lists: RwLock::new(lists),
            reload_error: RwLock::default(),
            files,
            sightings,
            certificates,
            keeper,
            desk,
        }
    }

    /// What brings lists in.
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// The lists as they are now.
    pub fn lists(&self) -> Vec<ListStatus> {
        let mut lists = self.lists.read().unwrap_or_else(PoisonError::into_inner).clone();
        for list in &mut lists {
            if let Some(progress) = self.keeper.progress(&list.id) {
                list.checked_at = progress.checked_at;
                list.next_try = progress.next_try;
                list.last_error = progress.error.or(list.last_error.take());
            }
        }
        lists
    }

    /// Devices that nobody has named.
    pub fn sightings(&self) -> &Arc<Sightings> {
        &self.sightings
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The policy.
    pub fn household(&self) -> &Household {
        &self.household
    }

    /// Why a name is blocked or not; `at`: at another time than now.
    pub fn why(
        &self,
        name: &str,
        qtype: u16,
        whom: &Whom,
        at: Option<Timestamp>,
    ) -> Result<Explanation, String> {
        let snapshot = self.engine.snapshot();
        let lines = self.files.lines(&snapshot.index);
        let (cache, now_ms) = self.engine.cache();
        let (present, minute) = match at {
            Some(at) => (
                self.household.present_at(&snapshot, at),
                u32::try_from(at.as_second() / 60).unwrap_or(0),
            ),
            None => (snapshot.present.clone(), snapshot.minute(now_ms)),
        };
        let asking = Asking {
            snapshot: &snapshot,
            present: &present,
            minute,
            lines: lines.as_ref(),
            whom,
        };
        let mut explanation = explain::explain(&asking, name, qtype)?;
        explain::follow(&mut explanation, &asking, (cache, now_ms))?;
        Ok(explanation)
    }

    /// The addresses that each device has now, by its name.
    pub fn addresses(&self) -> HashMap<String, Vec<IpAddr>> {
        let snapshot = self.engine.snapshot();
        let mut addresses: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for (address, _) in self.household.known().iter() {
            if let Some(device) = snapshot.clients.device(address) {
                let name = snapshot.policy.device_name(device);
                addresses.entry(name.to_owned()).or_default().push(address);
            }
        }
        addresses
    }

    /// All devices with their addresses.
    pub fn devices(&self) -> Vec<DeviceShown> {
        let mut addresses = self.addresses();
        let policy = self.household.policy();
        let devices = policy.device.iter().map(|device| DeviceShown {
            name: device.name.clone(),
            profile: device.profile.clone(),
            matches: device.matches.clone(),
            addresses: addresses.remove(&device.name).unwrap_or_default(),
        });
        devices.collect()
    }

    /// Addresses that no device is named for.
    pub fn unknown(&self) -> Vec<AddressShown> {
        let snapshot = self.engine.snapshot();
        let nobody = |address: &IpAddr| snapshot.clients.device(*address).is_none();
        let mut seen: HashMap<IpAddr, Sighting> = self
            .sightings
            .all()
            .into_iter()
            .map(|sighting| (sighting.address, sighting))
            .filter(|(address, _)| nobody(address))
            .collect();
        let known = self.household.known();
        let here = known.iter().filter(|(address, _)| nobody(address));
        let mut unknown: Vec<AddressShown> = here
            .map(|(address, identity)| {
                let sighting = seen.remove(&address);
                shown(address, identity.mac, identity.hostname.clone(), sighting)
            })
            .collect();
        unknown.extend(seen.into_values().map(|sighting| {
            let (address, mac, hostname) = (sighting.address, sighting.mac, sighting.hostname.clone());
            shown(address, mac, hostname, Some(sighting))
        }));
        unknown
    }

    /// All profiles, and how many have each.
    pub fn profiles(&self) -> Vec<ProfileShown> {
        let policy = self.household.policy();
        let snapshot = self.engine.snapshot();
        let default = &snapshot.policy.default_profile().name;
        let profiles = policy.profile.iter().map(|profile| ProfileShown {
            name: profile.name.clone(),
            devices: policy
                .device
                .iter()
                .filter(|device| device.profile == profile.name)
                .count(),
            default: profile.name == *default,
        });
        profiles.collect()
    }

    /// The files of the index in force.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Notes how a reload ended: the lists now in force, or why the old ones stay.
    pub fn reloaded(&self, outcome: Result<Vec<ListStatus>, String>) {
        let mut error = self.reload_error.write().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(lists) => {
                *self.lists.write().unwrap_or_else(PoisonError::into_inner) = lists;
                *error = None;
            }
            Err(reason) => *error = Some(reason),
        }
    }

    /// How it stands now.
    pub fn status(&self) -> Status {
        let lists = self.lists();
        let upstreams = self.engine.upstreams();
        let mut problems = self.household.store().problems();
        let now = Timestamp::now().as_second();
        problems.extend(
            self.keeper
                .platform()
                .and_then(|platform| platform_problem(&platform, now)),
        );
        problems.extend(lists.iter().filter_map(|list| list_problem(list, now)));
        let reports = self.desk.queue().unwrap_or_else(|error| {
            problems.push(format!("reports: {error}"));
            Queue::default()
        });
        problems.extend(report_problem(&reports, now));
        if let Some(error) = self
            .reload_error
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
        {
            problems.push(format!("reload failed: {error}; what was in force before stays"));
        }
        problems.extend(self.engine.faults().told());
        problems.extend(self.household.calendar_problems());
        problems.extend(self.certificates.problem(Timestamp::now().as_second()));
        if upstreams.is_empty() {
            problems.push(
                "no upstream server: only blocked and local names are answered; set [upstream] servers"
                    .to_owned(),
            );
        } else if upstreams.iter().all(|(_, answered)| !answered) {
            problems
                .push("no upstream server answers; answers kept in the cache are served stale".to_owned());
        }
        let (cache_entries, cache_octets) = self.engine.cache_usage();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: if problems.is_empty() { "ok" } else { "degraded" }.to_owned(),
            problems,
            uptime_s: self.engine.uptime_s(),
            listen: self.listen.clone(),
            upstreams,
            rules: self.engine.snapshot().index.len() as u64,
            counts: self.engine.counts(),
            log_lost: self.engine.log().lost(),
            cache_entries,
            cache_octets,
            lists,
            newer: self.keeper.newer(),
            reports,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listen: Vec<String> = self.listen.iter().map(SocketAddr::to_string).collect();
        writeln!(
            out,
            "isigurtd {} is {}, up {:#}, on {}",
            self.version,
            self.state,
            SignedDuration::from_secs(i64::try_from(self.uptime_s).unwrap_or(i64::MAX)),
            listen.join(", ")
        )?;
        for problem in &self.problems {
            writeln!(out, "  problem: {problem}")?;
        }
        if let Some(newer) = &self.newer {
            let mends = if newer.security {
                ", which mends a security hole"
            } else {
                ""
            };
            writeln!(
                out,
                "  version {} of {} is out{mends}: update",
                newer.version, newer.released
            )?;
        }
        for (server, answered) in &self.upstreams {
            writeln!(
                out,
                "  upstream {server}: {}",
                if *answered { "ok" } else { "does not answer" }
            )?;
        }
        let Counts {
            queries,
            blocked,
            cached,
            forwarded,
            ..
        } = self.counts;
        writeln!(
            out,
            "  {queries} queries: {blocked} blocked, {cached} from the cache, {forwarded} from upstream"
        )?;
        writeln!(
            out,
            "  {} rules; cache: {} answers, {} octets",
            self.rules, self.cache_entries, self.cache_octets
        )?;
        if self.log_lost > 0 {
            writeln!(
                out,
                "  {} queries were not logged: too many at once",
                self.log_lost
            )?;
        }
        if let (Some(counted), Some(oldest)) = (self.reports.counted(), self.reports.oldest) {
            write!(out, "  {counted}, the oldest since {oldest}")?;
            if let Some(next) = self.reports.next_try {
                write!(out, ", next try {next}")?;
            }
            if let Some(error) = &self.reports.last_error {
                write!(out, "\n    {error}")?;
            }
            writeln!(out)?;
        }
        for list in self.lists.iter().filter(|list| list.loaded_at.is_some()) {
            writeln!(out, "  {list}")?;
        }
        let built_in = self.lists.iter().filter(|list| list.loaded_at.is_none());
        let (count, rules) = built_in.fold((0, 0), |(count, rules), list| (count + 1, rules + list.rules));
        write!(out, "  built-in lists: {count}, {rules} rules")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_fresh_is_said_after_a_day_and_loudly_after_a_week() {
        let platform = |age: Option<i64>, error: Option<&str>| Progress {
            checked_at: age.map(|age| 10_000_000 - age),
            next_try: None,
            error: error.map(str::to_owned),
        };
        let said = |progress: &Progress| platform_problem(progress, 10_000_000).unwrap_or_default();
        assert_eq!(said(&platform(Some(60), None)), "");
        let failing = said(&platform(Some(60), Some("no network")));
        assert!(failing.contains("no network; the lists that were verified last are in force"));
        let day = said(&platform(Some(DAY + 7200), Some("no network")));
        assert!(day.contains("not refreshed for 26 hours"), "{day}");
        let week = said(&platform(Some(8 * DAY), Some("no network")));
        assert!(week.contains("NOT REFRESHED FOR 8 DAYS"), "{week}");
        let never = said(&platform(None, Some("no network")));
        assert!(
            never.contains("no national list was ever verified here"),
            "{never}"
        );
    }
}
