//! The cache of finished answers, bounded by octets and shared by all clients.
//!
//! Keyed by lower-case name, type, DO and CD, so that answers with and without DNSSEC records never mix. An entry
//! past its time stays until room is needed: it is what a client gets when every upstream is dead (RFC 8767).
//! Policy is decided before the cache, so a change of policy needs no flush.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use isigurt_blocklists::name::{Name, NameRef};
use quick_cache::{Equivalent, Weighter, sync};

use crate::wire::finished::Finished;
use crate::wire::targets::Targets;

/// What an answer is kept under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Query name, lower-case.
    pub name: Name,
    /// Query type; the class is always IN.
    pub qtype: u16,
    /// DNSSEC OK.
    pub dnssec_ok: bool,
    /// Checking disabled.
    pub checking_disabled: bool,
}

/// The borrowed form of [`Key`], so that a look-up allocates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyRef<'k> {
    /// Query name, lower-case.
    pub name: NameRef<'k>,
    /// Query type; the class is always IN.
    pub qtype: u16,
    /// DNSSEC OK.
    pub dnssec_ok: bool,
    /// Checking disabled.
    pub checking_disabled: bool,
}

impl KeyRef<'_> {
    /// An owned copy.
    pub fn to_key(self) -> Key {
        let Self {
            name,
            qtype,
            dnssec_ok,
            checking_disabled,
        } = self;
        Key {
            name: name.to_name(),
            qtype,
            dnssec_ok,
            checking_disabled,
        }
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.name == key.name.as_ref()
            && self.qtype == key.qtype
            && self.dnssec_ok == key.dnssec_ok
            && self.checking_disabled == key.checking_disabled
    }
}

/// A kept answer with the time it came in.
#[derive(Debug)]
pub struct Entry {
    /// The answer.
    pub answer: Finished,
    /// What it leads to, which is held against policy each time.
    pub targets: Targets,
    /// Milliseconds on the caller's monotonic clock.
    pub stored_ms: u64,
    /// Times that it was served; the top bit says that a newer one is being fetched.
    uses: AtomicU32,
}

/// A newer answer is being fetched.
const FETCHING: u32 = 1 << 31;
/// Answers of a shorter life are not fetched ahead, seconds.
const SHORTEST: u32 = 10;

impl Entry {
    /// Counts a use, and says whether now is the time to fetch a newer answer: once, in the last tenth of its life, for
    /// what was asked for before.
    pub fn used(&self, age: u32) -> bool {
        let ttl = self.answer.ttl();
        let late = ttl >= SHORTEST && u64::from(age) * 10 >= u64::from(ttl) * 9;
        let before = if late {
            self.uses.fetch_or(FETCHING, Ordering::Relaxed)
        } else if self.uses.load(Ordering::Relaxed) == 0 {
            self.uses.fetch_add(1, Ordering::Relaxed) // one use is enough to know; more would only cost
        } else {
            return false;
        };
        late && before & FETCHING == 0 && before > 0
    }
}

/// What a look-up found.
#[derive(Debug, Clone)]
pub enum Found {
    /// Still within its time, `age` seconds old.
    Fresh(Arc<Entry>, u32),
    /// Past its time, but within the window for stale answers.
    Stale(Arc<Entry>),
    /// Nothing.
    Missing,
}

#[derive(Debug, Clone)]
struct Octets;

impl Weighter<Key, Arc<Entry>> for Octets {
    fn weight(&self, key: &Key, entry: &Arc<Entry>) -> u64 {
        // The map's own share an entry (hash slot, list links, allocations' heads) is about 120 octets.
        let names = entry.targets.names.iter();
        let names: usize = names
            .map(|name| name.as_ref().wire().len() + size_of::<Name>())
            .sum();
        let own = size_of::<Key>() + size_of::<Targets>() + 120;
        (key.name.as_ref().wire().len() + entry.answer.size() + names + own) as u64
    }
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    entries: sync::Cache<Key, Arc<Entry>, Octets>,
    stale_window_ms: u64,
}

impl Cache {
    /// A cache of at most `octets`, whose entries may be served `stale_window_s` seconds past their time.
    pub fn new(octets: u64, stale_window_s: u64) -> Self {
        let expected = usize::try_from(octets / 400)
            .unwrap_or(usize::MAX)
            .clamp(64, 1 << 20);
        Self {
            entries: sync::Cache::with_weighter(expected, octets, Octets),
            stale_window_ms: stale_window_s.saturating_mul(1000),
        }
    }

    /// Looks `key` up at `now_ms` on the caller's monotonic clock.
    pub fn get(&self, key: KeyRef<'_>, now_ms: u64) -> Found {
        let Some(entry) = self.entries.get(&key) else {
            return Found::Missing;
        };
        let age_ms = now_ms.saturating_sub(entry.stored_ms);
        let ttl_ms = u64::from(entry.answer.ttl()) * 1000;
        if age_ms < ttl_ms {
            Found::Fresh(entry, u32::try_from(age_ms / 1000).unwrap_or(u32::MAX))
        } else if age_ms < ttl_ms.saturating_add(self.stale_window_ms) {
            Found::Stale(entry)
        } else {
            Found::Missing
        }
    }

    /// Keeps `answer` if it may be kept.
    pub fn put(&self, key: Key, answer: &Finished, targets: &Targets, now_ms: u64) {
        if answer.ttl() > 0 {
            self.entries.insert(
                key,
                Arc::new(Entry {
                    answer: answer.clone(),
                    targets: targets.clone(),
                    stored_ms: now_ms,
                    uses: AtomicU32::new(0),
                }),
            );
        }
    }

    /// Entries and octets in use.
    pub fn usage(&self) -> (usize, u64) {
        (self.entries.len(), self.entries.weight())
    }
}
