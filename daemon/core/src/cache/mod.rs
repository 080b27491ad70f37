//! The cache of finished answers, bounded by octets and shared by all clients.
//!
//! Found under a keyed hash of lower-case name, type, DO and CD; the name itself is compared with the question that the kept
//! answer begins with, so that a hit reads nothing beside it, and answers with and without DNSSEC records never mix. An entry
//! past its time stays until room is needed: it is what a client gets when every upstream is dead (RFC 8767). Policy is
//! decided before the cache, so a change of policy needs no flush.
//!
//! In front of it each worker has a [`Near`] of its own with the answers that it gave last: no lock, no count of owners.

mod near;
mod saved;

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use isigurt_blocklists::name::{Name, NameRef};
use quick_cache::{Weighter, sync};

use crate::wire::finished::Finished;
use crate::wire::targets::Targets;

pub use near::{Held, Near};
pub use saved::{Damaged, Restored};

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

    fn bits(self) -> u8 {
        u8::from(self.dnssec_ok) | u8::from(self.checking_disabled) << 1
    }
}

impl Key {
    /// The borrowed form.
    pub fn as_ref(&self) -> KeyRef<'_> {
        KeyRef {
            name: self.name.as_ref(),
            qtype: self.qtype,
            dnssec_ok: self.dnssec_ok,
            checking_disabled: self.checking_disabled,
        }
    }
}

/// A kept answer with the time it came in.
#[derive(Debug)]
pub struct Entry {
    /// The answer; its question is the key's name in lower case, and its type.
    pub answer: Finished,
    /// What it leads to, which is held against policy each time.
    pub targets: Targets,
    /// Milliseconds on the caller's monotonic clock; before its zero for what an earlier run kept.
    stored_ms: i64,
    /// DO and CD.
    bits: u8,
    /// Until when no upstream is asked anew, on the caller's clock: none answered a moment ago.
    rest_ms: AtomicU64,
    /// Times that it was served; the top bit says that a newer one is being fetched.
    uses: AtomicU32,
}

/// How long a stale answer is served without asking for a newer one after that failed, milliseconds (RFC 8767, section 5:
/// the failure recheck timer).
const REST: u64 = 30_000;
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

    /// Notes that no upstream gave a newer answer.
    pub fn failed(&self, now_ms: u64) {
        self.rest_ms.store(now_ms + REST, Ordering::Relaxed);
    }

    /// Whether no upstream gave a newer answer a moment ago.
    pub fn resting(&self, now_ms: u64) -> bool {
        now_ms < self.rest_ms.load(Ordering::Relaxed)
    }

    /// The name that it answers for, lower-case.
    pub fn name(&self) -> NameRef<'_> {
        let question = self.answer.question();
        NameRef::accepted_before(question.split_last_chunk::<4>().map_or(&[0], |(name, _)| name))
    }

    fn is(&self, key: KeyRef<'_>) -> bool {
        let [high, low] = key.qtype.to_be_bytes();
        self.bits == key.bits()
            && self
                .answer
                .question()
                .split_last_chunk::<4>()
                .is_some_and(|(name, kind)| *kind == [high, low, 0, 1] && name == key.name.wire())
    }

    fn age_ms(&self, now_ms: u64) -> u64 {
        let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
        u64::try_from(now.saturating_sub(self.stored_ms)).unwrap_or(0)
    }

    /// Seconds since it came in, while it is within its time.
    fn fresh(&self, now_ms: u64) -> Option<u32> {
        let age_ms = self.age_ms(now_ms);
        let within = age_ms < u64::from(self.answer.ttl()) * 1000;
        within.then(|| u32::try_from(age_ms / 1000).unwrap_or(u32::MAX))
    }

    /// Octets that it occupies in memory: its own, the counts of its owners, and two allocations' heads.
    fn octets(&self) -> usize {
        let names = self.targets.names.iter();
        let names: usize = names
            .map(|name| name.as_ref().wire().len() + size_of::<Name>() + 16)
            .sum();
        size_of::<Self>() + 16 + 32 + self.answer.tail() + names
    }
}

/// What a look-up found.
#[derive(Debug)]
pub enum Found<'n> {
    /// Still within its time, so many seconds old.
    Fresh(Held<'n>, u32),
    /// Past its time, but within the window for stale answers.
    Stale(Arc<Entry>),
    /// Nothing.
    Missing,
}

#[derive(Debug, Clone)]
struct Octets;

/// What the map itself needs for an entry, octets: slab with links, its slack, the table. Measured: resident memory of a full cache.
const PLACE: usize = 120;

impl Weighter<u64, Arc<Entry>> for Octets {
    fn weight(&self, _: &u64, entry: &Arc<Entry>) -> u64 {
        (entry.octets() + PLACE) as u64
    }
}

/// Keys are hashes already.
#[derive(Debug, Clone, Copy, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(octet);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl BuildHasher for Hashed {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    entries: sync::Cache<u64, Arc<Entry>, Octets, Hashed>,
    hasher: foldhash::quality::RandomState,
    stale_window_ms: u64,
    /// Counts flushes, so that what is held nearer is let go.
    flushes: AtomicU64,
}

impl Cache {
    /// A cache of at most `octets`, whose entries may be served `stale_window_s` seconds past their time.
    pub fn new(octets: u64, stale_window_s: u64) -> Self {
        let expected = usize::try_from(octets / 400)
            .unwrap_or(usize::MAX)
            .clamp(64, 1 << 20);
        Self {
            entries: sync::Cache::with(
                expected,
                octets,
                Octets,
                Hashed::default(),
                sync::DefaultLifecycle::default(),
            ),
            hasher: foldhash::quality::RandomState::default(),
            stale_window_ms: stale_window_s.saturating_mul(1000),
            flushes: AtomicU64::new(0),
        }
    }

    fn hash(&self, key: KeyRef<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key.name.wire());
        hasher.write_u32(u32::from(key.qtype) << 8 | u32::from(key.bits()));
        hasher.finish()
    }

    /// Looks `key` up at `now_ms` on the caller's monotonic clock, nearby first.
    pub fn get<'n>(&self, near: &'n mut Near, key: KeyRef<'_>, now_ms: u64) -> Found<'n> {
        let hash = self.hash(key);
        let flushes = self.flushes.load(Ordering::Acquire);
        if let Some(age) = near.knows(flushes, hash, key, now_ms) {
            return match near.at(hash) {
                Some(entry) => Found::Fresh(Held::Near(entry), age),
                None => Found::Missing, // it is known
            };
        }
        let Some(entry) = self.entries.get(&hash).filter(|entry| entry.is(key)) else {
            return Found::Missing;
        };
        if let Some(age) = entry.fresh(now_ms) {
            near.keep(hash, &entry);
            return Found::Fresh(Held::Shared(entry), age);
        }
        let end = u64::from(entry.answer.ttl()) * 1000;
        if entry.age_ms(now_ms) < end.saturating_add(self.stale_window_ms) {
            Found::Stale(entry)
        } else {
            Found::Missing
        }
    }

    /// Keeps `answer` if it may be kept, and if it answers `key`.
    pub fn put(&self, key: KeyRef<'_>, answer: &Finished, targets: &Targets, now_ms: u64) {
        let stored_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        self.insert(key, answer.clone(), targets.clone(), stored_ms);
    }

    fn insert(&self, key: KeyRef<'_>, answer: Finished, targets: Targets, stored_ms: i64) -> bool {
        let entry = Entry {
            answer,
            targets,
            stored_ms,
            bits: key.bits(),
            rest_ms: AtomicU64::new(0),
            uses: AtomicU32::new(0),
        };
        let keep = entry.answer.ttl() > 0 && entry.is(key);
        if keep {
            self.entries.insert(self.hash(key), Arc::new(entry));
        }
        keep
    }

    /// Lets go of everything at and below `name`, of every type; gives the number of answers.
    pub fn flush(&self, name: NameRef<'_>) -> usize {
        let before = self.entries.len();
        if name.is_root() {
            self.entries.clear();
        } else {
            self.entries.retain(|_, entry| !entry.name().is_at_or_below(name));
        }
        self.flushes.fetch_add(1, Ordering::Release);
        before.saturating_sub(self.entries.len())
    }

    /// Entries and octets in use.
    pub fn usage(&self) -> (usize, u64) {
        (self.entries.len(), self.entries.weight())
    }
}

#[cfg(test)]
mod tests;
