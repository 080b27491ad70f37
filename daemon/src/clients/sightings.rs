//! Devices that nobody has named yet: who they seem to be, when they came, and what they asked first.
//!
//! An owner who looks at "unknown device, maker Samsung, since yesterday, first asked tv.example" knows what stands in the
//! living room. More than that is not kept: five names and a rough number of queries, no more once the device is named, and
//! no names at all where the query log keeps none. Helplines must never be fed in here. The feed is cheap and bounded, and
//! comes from the query log's thread, never from the line. A crowd of made-up addresses pushes out others of its kind before any
//! device with a hardware address. On flash memory only news are written: a device that is seen again is written once an hour.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Known, Mac};
use crate::store::{Changes, Store, StoreError, Table};

/// Where sightings lie in the state.
const TABLE: Table<Sighting> = Table::new("sightings", &[]);
/// How many are kept at home and in a school.
pub const HOME: usize = 2_000;
/// The same for a school.
pub const SCHOOL: usize = 20_000;
/// How many names are kept of a device.
const NAMES: usize = 5;
/// Longest name that is kept (RFC 1035, section 2.3.4).
const LONGEST: usize = 253;
/// How many are written at once: a flood of addresses shall not wear out the flash memory.
const AT_ONCE: usize = 1_000;
/// How much later a device must be seen before that alone is written.
const STALE_S: i64 = 3600;

/// A device without a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Its hardware address, where it is known.
    pub mac: Option<Mac>,
    /// The address that it was seen with last.
    pub address: IpAddr,
    /// What it calls itself.
    pub hostname: Option<String>,
    /// Seconds since 1970.
    pub first_seen_s: i64,
    /// Seconds since 1970.
    pub last_seen_s: i64,
    /// What it asked first, in that order.
    pub first_names: Vec<String>,
    /// How much it asked.
    pub volume: Volume,
}

/// About how many queries there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Volume {
    /// Fewer than ten.
    #[default]
    Few,
    /// Ten to 99.
    Tens,
    /// 100 to 999.
    Hundreds,
    /// 1,000 to 9,999.
    Thousands,
    /// 10,000 or more.
    Many,
}

impl Volume {
    fn of(queries: u32) -> Self {
        match queries {
            0..10 => Self::Few,
            10..100 => Self::Tens,
            100..1_000 => Self::Hundreds,
            1_000..10_000 => Self::Thousands,
            _ => Self::Many,
        }
    }

    /// The least number that it stands for: where counting goes on after a restart.
    fn least(self) -> u32 {
        match self {
            Self::Few => 0,
            Self::Tens => 10,
            Self::Hundreds => 100,
            Self::Thousands => 1_000,
            Self::Many => 10_000,
        }
    }
}

/// A device is its hardware address, else its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    Mac(Mac),
    Address(IpAddr),
}

impl Who {
    fn key(self) -> String {
        match self {
            Self::Mac(mac) => format!("mac:{mac}"),
            Self::Address(address) => format!("ip:{address}"),
        }
    }
}

#[derive(Debug)]
struct Kept {
    sighting: Sighting,
    queries: u32,
    /// Whether there is something to be written, and when that was done last.
    news: bool,
    written_s: i64,
    /// Whether the state holds it.
    stored: bool,
}

#[derive(Debug, Default)]
struct Inner {
    kept: HashMap<Who, Kept>,
    /// Those that are in the state and must go.
    gone: Vec<Who>,
}

/// What is kept of devices without a name.
#[derive(Debug)]
pub struct Sightings {
    inner: Mutex<Inner>,
    /// One writer at a time, so that an older state never overtakes a newer one.
    saving: Mutex<()>,
    store: Store,
    most: usize,
    names: bool,
    keep_s: i64,
}

/// What may be kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many devices: [`HOME`] or [`SCHOOL`].
    pub most: usize,
    /// Whether the names asked for: not where the query log keeps none.
    pub names: bool,
    /// How long a device is kept that is not seen again.
    pub keep: Duration,
}

impl Sightings {
    /// Takes back what the state holds. Records that cannot be read are not worth a start that fails: they are left out.
    pub fn open(store: Store, bounds: Bounds) -> Self {
        let records = store.all(&TABLE).unwrap_or_else(|error| {
            tracing::warn!(%error, "devices seen before are forgotten");
            Vec::new()
        });
        let mut inner = Inner::default();
        for (key, mut sighting) in records {
            let who = sighting.mac.map_or(Who::Address(sighting.address), Who::Mac);
            let mut news = false;
            if !bounds.names && !sighting.first_names.is_empty() {
                sighting.first_names.clear();
                news = true;
            }
            if who.key() == key {
                let kept = Kept {
                    queries: sighting.volume.least(),
                    written_s: sighting.last_seen_s,
                    stored: true,
                    news,
                    sighting,
                };
                inner.kept.insert(who, kept);
            }
        }
        let sightings = Self {
            inner: Mutex::new(inner),
            saving: Mutex::new(()),
            store,
            most: bounds.most.max(1),
            names: bounds.names,
            keep_s: i64::try_from(bounds.keep.as_secs()).unwrap_or(i64::MAX),
        };
        sightings.inner().make_room(sightings.most + 1);
        sightings
    }

    /// A client without a device asked for a name, which is no helpline.
    pub fn saw(&self, known: &Known, address: IpAddr, name: &str, now_s: i64) {
        let address = address.to_canonical();
        if address.is_loopback() {
            return; // this host itself
        }
        let identity = known.get(address).cloned().unwrap_or_default();
        let who = identity.mac.map_or(Who::Address(address), Who::Mac);
        let mut inner = self.inner();
        if !inner.kept.contains_key(&who) {
            let earlier = inner.take_earlier(who, address, now_s);
            inner.make_room(self.most);
            let kept = earlier.unwrap_or_else(|| Kept::new(address, now_s));
            inner.kept.insert(who, kept);
        }
        let Some(kept) = inner.kept.get_mut(&who) else {
            return;
        };
        let sighting = &mut kept.sighting;
        kept.news |= sighting.mac != identity.mac
            || identity.hostname.is_some() && sighting.hostname != identity.hostname;
        (sighting.mac, sighting.address) = (identity.mac, address);
        sighting.hostname = identity.hostname.or(sighting.hostname.take());
        sighting.last_seen_s = sighting.last_seen_s.max(now_s);
        kept.queries = kept.queries.saturating_add(1);
        let volume = Volume::of(kept.queries);
        kept.news |= sighting.volume != volume;
        sighting.volume = volume;
        let new_name = self.names
            && sighting.first_names.len() < NAMES
            && (1..=LONGEST).contains(&name.len())
            && !sighting.first_names.iter().any(|other| other == name);
        if new_name {
            sighting.first_names.push(name.to_owned());
            kept.news = true;
        }
    }

    /// All of them, those seen last first.
    pub fn all(&self) -> Vec<Sighting> {
        let inner = self.inner();
        let mut all: Vec<Sighting> = inner.kept.values().map(|kept| kept.sighting.clone()).collect();
        drop(inner);
        all.sort_by_key(|sighting| std::cmp::Reverse((sighting.last_seen_s, sighting.address)));
        all
    }

    /// Forgets those that have a name now, and what they asked.
    pub fn forget_named(&self, has_name: impl Fn(&Sighting) -> bool) {
        self.inner().remove(|kept| has_name(&kept.sighting));
    }

    /// Writes what is new, off the line, and forgets who was not seen for long. To be called once a minute and at the end.
    pub fn save(&self, now_s: i64) -> Result<(), StoreError> {
        let _one = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut inner = self.inner();
        inner.remove(|kept| now_s.saturating_sub(kept.sighting.last_seen_s) > self.keep_s);
        let mut changes = Changes::default();
        let mut written = Vec::new();
        for who in &inner.gone {
            changes.remove(&TABLE, &who.key());
        }
        let due =
            |kept: &Kept| kept.news || kept.sighting.last_seen_s.saturating_sub(kept.written_s) >= STALE_S;
        for (who, kept) in inner.kept.iter().filter(|(_, kept)| due(kept)).take(AT_ONCE) {
            changes.put(&TABLE, &who.key(), &kept.sighting);
            written.push((*who, kept.sighting.clone()));
        }
        let gone = inner.gone.len();
        drop(inner); // the disk may take its time
        self.store.commit(changes)?;
        let mut inner = self.inner();
        inner.gone.drain(..gone);
        for (who, written) in written {
            match inner.kept.get_mut(&who) {
                Some(kept) => {
                    (kept.stored, kept.written_s) = (true, written.last_seen_s);
                    // What came in while the disk took its time is still to be written.
                    let (before, now) = (&written, &kept.sighting);
                    kept.news = before.first_names != now.first_names
                        || (before.mac, &before.hostname, before.volume)
                            != (now.mac, &now.hostname, now.volume);
                }
                None => inner.gone.push(who),
            }
        }
        Ok(())
    }

    /// Saves once a minute as long as somebody else has it. Ends of itself after that.
    pub async fn keep_saving(self: Arc<Self>) {
        let mut minute = tokio::time::interval(Duration::from_secs(60));
        while Arc::strong_count(&self) > 1 {
            minute.tick().await;
            let own = self.clone();
            let saved =
                tokio::task::spawn_blocking(move || own.save(jiff::Timestamp::now().as_second())).await;
            if let Ok(Err(error)) = saved {
                tracing::warn!(%error, "devices seen are not kept");
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn new(address: IpAddr, now_s: i64) -> Self {
        Self {
            sighting: Sighting {
                mac: None,
                address,
                hostname: None,
                first_seen_s: now_s,
                last_seen_s: now_s,
                first_names: Vec::new(),
                volume: Volume::default(),
            },
            queries: 0,
            news: true,
            written_s: now_s,
            stored: false,
        }
    }
}

impl Inner {
    /// What was kept under the address alone before its hardware address was known, which takes a moment for a new device. Only
    /// what began within the minute: an address that was another's before is not the same device.
    fn take_earlier(&mut self, who: Who, address: IpAddr, now_s: i64) -> Option<Kept> {
        let by_address = Who::Address(address);
        let recent = |kept: &Kept| now_s.saturating_sub(kept.sighting.first_seen_s) <= 60;
        if who == by_address || !self.kept.get(&by_address).is_some_and(recent) {
            return None;
        }
        let mut kept = self.kept.remove(&by_address)?;
        self.gone.extend(kept.stored.then_some(by_address));
        (kept.news, kept.stored) = (true, false);
        Some(kept)
    }

    /// Makes room for one more, a sixteenth at a time: those without a hardware address first, then those seen longest ago.
    fn make_room(&mut self, most: usize) {
        if self.kept.len() < most {
            return;
        }
        let rank = |kept: &Kept| (kept.sighting.mac.is_some(), kept.sighting.last_seen_s);
        let mut ranked: Vec<(bool, i64, Who)> = self
            .kept
            .iter()
            .map(|(who, kept)| (rank(kept).0, rank(kept).1, *who))
            .collect();
        ranked.sort_unstable_by_key(|&(mac, seen, _)| (mac, seen));
        let surplus = self.kept.len() - most + 1 + most / 16;
        for (.., who) in ranked.into_iter().take(surplus) {
            let stored = self.kept.remove(&who).is_some_and(|kept| kept.stored);
            self.gone.extend(stored.then_some(who));
        }
    }

    fn remove(&mut self, which: impl Fn(&Kept) -> bool) {
        let removed = self.kept.extract_if(|_, kept| which(kept));
        self.gone
            .extend(removed.filter_map(|(who, kept)| kept.stored.then_some(who)));
    }
}

#[cfg(test)]
mod tests;
