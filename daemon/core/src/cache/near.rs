//! What one worker answered last, in front of the cache that all share.
//!
//! Most queries are for few names. Their answers are found here without a lock and without counting owners, and memory that
//! only this worker writes. One look-up in 32 goes on to the shared cache all the same, so that it knows what is popular.

use std::ops::Deref;
use std::sync::Arc;

use super::{Entry, KeyRef};

/// Answers that are held; a power of two.
const SLOTS: usize = 4096;
/// Larger answers are not held here, octets: all slots together are bounded by 4 MiB.
const LARGEST: usize = 1024;
/// One look-up in so many goes on.
const ONWARD: u32 = 32;

/// The hash of a key, and its answer.
type Slot = Option<(u64, Arc<Entry>)>;

/// What one worker answered last.
#[derive(Debug)]
pub struct Near {
    /// Each at the place of the hash's lowest bits.
    slots: Box<[Slot]>,
    flushes: u64,
    turn: u32,
}

/// An answer that was found.
#[derive(Debug)]
pub enum Held<'n> {
    /// Nearby.
    Near(&'n Entry),
    /// In the cache that all share.
    Shared(Arc<Entry>),
}

impl Deref for Held<'_> {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        match self {
            Self::Near(entry) => entry,
            Self::Shared(entry) => entry,
        }
    }
}

impl Near {
    /// Room for a worker's answers.
    pub fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| None).collect(),
            ..Self::none()
        }
    }

    /// No room: every look-up goes to the shared cache.
    pub fn none() -> Self {
        Self {
            slots: Box::default(),
            flushes: 0,
            turn: 0,
        }
    }

    #[allow(clippy::cast_possible_truncation)] // the lowest bits are wanted
    fn place(hash: u64) -> usize {
        hash as usize % SLOTS
    }

    pub(super) fn at(&self, hash: u64) -> Option<&Entry> {
        let (_, entry) = self.slots.get(Self::place(hash))?.as_ref()?;
        Some(entry)
    }

    /// The age in seconds of the answer to `key`, if it is here and within its time.
    pub(super) fn knows(&mut self, flushes: u64, hash: u64, key: KeyRef<'_>, now_ms: u64) -> Option<u32> {
        if self.flushes != flushes {
            self.slots.fill(None);
            self.flushes = flushes;
        }
        let (held, entry) = self.slots.get(Self::place(hash))?.as_ref()?;
        if *held != hash || !entry.is(key) {
            return None;
        }
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(ONWARD) {
            return None;
        }
        entry.fresh(now_ms)
    }

    pub(super) fn keep(&mut self, hash: u64, entry: &Arc<Entry>) {
        if entry.octets() <= LARGEST
            && let Some(slot) = self.slots.get_mut(Self::place(hash))
        {
            *slot = Some((hash, entry.clone()));
        }
    }
}

impl Default for Near {
    fn default() -> Self {
        Self::new()
    }
}
