//! The counts of one day (UTC), and the differences that go to the disk.
//!
//! Names are numbered once a day. Everything is bounded: where a day holds too many devices, names or sites, the rest is counted
//! without them, so that sums stay right.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

/// Hours of a day.
pub const HOURS: usize = 24;
/// Different names in a day.
const NAMES: usize = 60_000;
/// Different cells in a day.
const CELLS: usize = 120_000;
/// Different sites of a device, over all devices, in a day.
const SITES: usize = 20_000;

type Map<K, V> = HashMap<K, V, RandomState>;

/// What became of a query, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// It was answered.
    Answered,
    /// It was blocked.
    Blocked,
    /// No upstream answered.
    Failed,
    /// Special-use names, local records, and what was refused.
    Other,
}

/// Numbers of the names that were seen today. 0 is the empty one.
#[derive(Debug, Default, Clone)]
struct Names {
    texts: Vec<Box<str>>,
    numbers: Map<Box<[u8]>, u32>,
}

impl Names {
    /// The number of a name; 0 where there are too many.
    fn number(&mut self, name: &[u8]) -> u32 {
        if name.is_empty() {
            return 0;
        }
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        if self.texts.len() >= NAMES {
            return 0;
        }
        self.texts.push(String::from_utf8_lossy(name).into());
        let number = u32::try_from(self.texts.len()).unwrap_or(0);
        self.numbers.insert(name.into(), number);
        number
    }

    fn text(&self, number: u32) -> &str {
        let place = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_sub(1));
        place
            .and_then(|place| self.texts.get(place))
            .map_or("", |text| text)
    }
}

/// Whose queries: numbers of the device and of the profile.
pub(super) type Who = (u32, u32);

/// A site or service of a device: who, and its number.
type Thing = (u32, u32, u32);

/// Device, profile, reason, outcome, hour.
type Key = (u32, u32, u32, Outcome, u8);

/// How often.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Answered.
    pub answered: u32,
    /// Blocked.
    pub blocked: u32,
}

/// How often in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell<'d> {
    /// The device; empty where it is none, or nobody is to know.
    pub device: &'d str,
    /// The profile.
    pub profile: &'d str,
    /// What it was blocked for; empty where it was not.
    pub reason: &'d str,
    /// What became of them.
    pub outcome: Outcome,
    /// The hour, from 0.
    pub hour: u8,
    /// How many.
    pub count: u32,
}

/// What goes to the disk at once: new names, then counts that are added to those before.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    names: Vec<String>,
    cells: Vec<(Key, u32)>,
    sites: Vec<(Thing, Seen)>,
    services: Vec<(Thing, Seen)>,
}

/// A count, and how much of it the disk does not have.
#[derive(Debug, Default, Clone, Copy)]
struct Counted<C> {
    all: C,
    fresh: C,
}

/// What is counted.
trait Count: Copy + Default + PartialEq {
    fn add(&mut self, more: Self);
}

impl Count for u32 {
    fn add(&mut self, more: Self) {
        *self = self.saturating_add(more);
    }
}

impl Count for Seen {
    fn add(&mut self, more: Self) {
        self.answered.add(more.answered);
        self.blocked.add(more.blocked);
    }
}

impl<C: Count> Counted<C> {
    fn count(&mut self, one: C) {
        self.all.add(one);
        self.fresh.add(one);
    }
}

/// What the disk does not have; then it counts as written.
fn fresh<K: Copy, C: Count>(map: &mut Map<K, Counted<C>>) -> Vec<(K, C)> {
    let fresh = map
        .iter_mut()
        .filter(|(_, counted)| counted.fresh != C::default());
    fresh
        .map(|(key, counted)| (*key, std::mem::take(&mut counted.fresh)))
        .collect()
}

/// Counts, where there is a place already or still room for one.
fn count<K: Hash + Eq, C: Count>(map: &mut Map<K, Counted<C>>, key: K, one: C, most: usize) -> bool {
    if map.len() < most {
        map.entry(key).or_default().count(one);
        return true;
    }
    let held = map.get_mut(&key);
    held.map(|held| held.count(one)).is_some()
}

/// The counts of a day.
#[derive(Debug, Default, Clone)]
pub struct Day {
    names: Names,
    cells: Map<Key, Counted<u32>>,
    sites: Map<Thing, Counted<Seen>>,
    services: Map<Thing, Counted<Seen>>,
    /// Names that the disk has.
    written: usize,
    /// Sites had to make room already, and none came free.
    crowded: bool,
}

impl Day {
    /// The number of a name.
    pub(super) fn number(&mut self, name: &[u8]) -> u32 {
        self.names.number(name)
    }

    /// Counts a query in its hour.
    pub(super) fn count(&mut self, who: Who, reason: u32, outcome: Outcome, hour: u8) {
        if !count(&mut self.cells, (who.0, who.1, reason, outcome, hour), 1, CELLS) {
            // Without the device: the sum stays right.
            let all = self.cells.entry((0, who.1, reason, outcome, hour));
            all.or_default().count(1);
        }
    }

    /// Counts a query for a site.
    pub(super) fn count_site(&mut self, who: Who, site: u32, blocked: bool) {
        let (key, one) = ((who.0, who.1, site), one(blocked));
        if !count(&mut self.sites, key, one, SITES) && self.make_room() {
            count(&mut self.sites, key, one, SITES);
        }
    }

    /// Counts a query for a service.
    pub(super) fn count_service(&mut self, who: Who, service: u32, blocked: bool) {
        let key = (who.0, who.1, service);
        count(&mut self.services, key, one(blocked), CELLS);
    }

    /// Lets go of sites that were seen once, when there are too many; whether there is room then.
    fn make_room(&mut self) -> bool {
        if self.crowded {
            return false;
        }
        self.sites
            .retain(|_, seen| seen.all.answered + seen.all.blocked > 1);
        self.crowded = self.sites.len() > SITES / 2;
        self.sites.len() < SITES
    }

    /// What was counted since the last time, if there is anything.
    pub(super) fn take_fresh(&mut self) -> Option<Part> {
        let cells = fresh(&mut self.cells);
        if cells.is_empty() {
            return None;
        }
        let new = self.names.texts.get(self.written..).unwrap_or_default();
        let names = new.iter().map(ToString::to_string).collect();
        self.written = self.names.texts.len();
        Some(Part {
            names,
            cells,
            sites: fresh(&mut self.sites),
            services: fresh(&mut self.services),
        })
    }

    /// Adds what the disk has.
    pub(super) fn add(&mut self, part: Part) {
        let Part {
            names,
            cells,
            sites,
            services,
        } = part;
        for name in names {
            let text: Box<str> = name.into();
            self.names.texts.push(text.clone());
            let number = u32::try_from(self.names.texts.len()).unwrap_or(0);
            self.names.numbers.insert(text.as_bytes().into(), number);
        }
        self.written = self.names.texts.len();
        for (key, count) in cells {
            self.cells.entry(key).or_default().all.add(count);
        }
        for (key, seen) in sites {
            self.sites.entry(key).or_default().all.add(seen);
        }
        for (key, seen) in services {
            self.services.entry(key).or_default().all.add(seen);
        }
    }

    /// All of it as one part.
    pub(super) fn whole(&self) -> Part {
        Part {
            names: self.names.texts.iter().map(ToString::to_string).collect(),
            cells: all(&self.cells),
            sites: all(&self.sites),
            services: all(&self.services),
        }
    }

    /// How often in each hour.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        self.cells
            .iter()
            .map(|(&(device, profile, reason, outcome, hour), count)| Cell {
                device: self.names.text(device),
                profile: self.names.text(profile),
                reason: self.names.text(reason),
                outcome,
                hour,
                count: count.all,
            })
    }

    /// Device, profile, site, how often.
    pub fn sites(&self) -> impl Iterator<Item = (&str, &str, &str, Seen)> {
        self.things(&self.sites)
    }

    /// Device, profile, service, how often.
    pub fn services(&self) -> impl Iterator<Item = (&str, &str, &str, Seen)> {
        self.things(&self.services)
    }

    fn things<'d>(
        &'d self,
        things: &'d Map<Thing, Counted<Seen>>,
    ) -> impl Iterator<Item = (&'d str, &'d str, &'d str, Seen)> {
        let text = |number| self.names.text(number);
        things.iter().map(move |(&(device, profile, thing), seen)| {
            (text(device), text(profile), text(thing), seen.all)
        })
    }
}

fn one(blocked: bool) -> Seen {
    Seen {
        answered: u32::from(!blocked),
        blocked: u32::from(blocked),
    }
}

fn all<K: Copy, C: Count>(map: &Map<K, Counted<C>>) -> Vec<(K, C)> {
    map.iter().map(|(key, counted)| (*key, counted.all)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sum(counts: impl Iterator<Item = u32>) -> usize {
        counts.map(|count| count as usize).sum()
    }

    #[test]
    fn sums_stay_right_where_a_day_holds_too_much_and_the_disk_gets_each_count_once() {
        let mut day = Day::default();
        let devices = u32::try_from(CELLS).unwrap() + 1000;
        for device in 1..=devices {
            day.count((device, 1), 0, Outcome::Answered, 7);
            day.count_site((device, 1), 9, false);
        }
        assert_eq!(sum(day.cells().map(|cell| cell.count)), devices as usize);
        assert!(day.cells().count() <= CELLS + 1 && day.sites().count() <= SITES);
        let part = day.take_fresh().unwrap();
        assert_eq!(sum(part.cells.iter().map(|(_, count)| *count)), devices as usize);
        assert!(day.take_fresh().is_none());

        day.count((1, 1), 0, Outcome::Answered, 7);
        let part = day.take_fresh().unwrap();
        assert_eq!(part.cells, [((1, 1, 0, Outcome::Answered, 7), 1)]);
        assert!(part.sites.is_empty());
    }
}
