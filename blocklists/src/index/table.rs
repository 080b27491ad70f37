//! The table of keys: 64-octet buckets of nine fingerprints with the number of each one's rule set.
//!
//! ```text
//! position ─▶ partition (about 2,000 keys, some 15 kB) ─▶ one of two buckets ─▶ fingerprint ─▶ rule set
//!
//! bucket:  9 × u32 upper fingerprint │ 9 × u16 lower fingerprint │ 9 × u8 rule set │ u8 slots in use
//! ```
//!
//! A key lies in one of two buckets of its partition (cuckoo hashing, Pagh and Rodler 2001), so that 97 of 100 slots
//! are in use: 7.3 octets a key. Every partition has as many buckets as its keys need; the directory tells where each
//! begins. Nothing here is trusted to be in bounds: the octets may come from a damaged file.
//!
//! **Wrong matches.** A name that is in no list is matched wrongly where one of its suffixes agrees with a stored key
//! in the bucket (or its other bucket) and in 48 bits of fingerprint: at most 18 slots are compared, 17.5 of them in
//! use, so 17.5 / 2^48 = 6.2 · 10^-14 a suffix and 3.1 · 10^-13 for a name of five suffixes, whatever the number of
//! rules. The filter in front divides that by another 12 or more. To it comes the chance that two different names
//! have one pair of lanes (see [`super::key`]): (20 / 2^60)^2 · 5 · 5,000,000 < 10^-26.

use super::key::{BITS, Key};

/// Slots of a bucket.
pub(super) const SLOTS: usize = 9;
/// The same, for slot numbers.
pub(super) const SLOTS_U32: u32 = 9;
/// Octets of a bucket.
pub(super) const BUCKET: usize = 64;
const LOWER: usize = SLOTS * 4;
const SETS: usize = LOWER + SLOTS * 2;
const USED: usize = BUCKET - 1;
/// Keys of a partition, on average.
const PARTITION: u64 = 2048;
/// Share of the slots that are used, in 1,000.
const LOAD: usize = 970;

/// Number of partitions for so many keys.
pub(super) fn partitions(keys: u64) -> u32 {
    u32::try_from(keys.div_ceil(PARTITION).max(1)).unwrap_or(u32::MAX)
}

/// Partition of a position, and the rest of it as a fraction of 2^48.
#[inline]
#[allow(clippy::cast_possible_truncation)] // below `partitions`, and below 2^48
pub(super) fn partition(position: u64, partitions: u32) -> (u32, u64) {
    let product = u128::from(position) * u128::from(partitions);
    ((product >> BITS) as u32, product as u64 & ((1 << BITS) - 1))
}

/// The two buckets of a key among `buckets`.
#[inline]
#[allow(clippy::cast_possible_truncation)] // below `buckets`
fn choices(fraction: u64, fingerprint: u64, buckets: u32) -> (u32, u32) {
    let scale = |bits: u64| ((u128::from(bits) * u128::from(buckets)) >> BITS) as u32;
    let other = fingerprint.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - BITS);
    (scale(fraction), scale(other))
}

/// The table in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'b> {
    /// First bucket of each partition, and behind the last one: u32, little-endian.
    pub(super) directory: &'b [u8],
    /// Buckets.
    pub(super) buckets: &'b [u8],
    /// Partitions.
    pub(super) partitions: u32,
}

/// A key that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Its slot, counted over all buckets.
    pub(super) slot: u32,
    /// What the slot says about its rule set.
    pub(super) set: u8,
}

impl Table<'_> {
    #[inline]
    pub(super) fn get(&self, key: Key) -> Option<Found> {
        let (partition, fraction) = partition(key.position, self.partitions);
        let at = partition as usize * 4;
        let bounds = self.directory.get(at..at + 8)?;
        let (first, next) = bounds.split_first_chunk::<4>()?;
        let first = u32::from_le_bytes(*first);
        let buckets = u32::from_le_bytes(*next.first_chunk()?).checked_sub(first)?;
        let (one, other) = choices(fraction, key.fingerprint, buckets);
        self.bucket(first.wrapping_add(one), key.fingerprint)
            .or_else(|| self.bucket(first.wrapping_add(other), key.fingerprint))
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the two parts of a fingerprint; slots are below 9
    fn bucket(&self, number: u32, fingerprint: u64) -> Option<Found> {
        let bucket: &[u8; BUCKET] = self.buckets.as_chunks().0.get(number as usize)?;
        let (upper, lower) = ((fingerprint >> 16) as u32, fingerprint as u16);
        let (uppers, rest) = bucket.split_first_chunk::<LOWER>()?;
        let mut hits = 0_u32;
        for (slot, octets) in uppers.as_chunks::<4>().0.iter().enumerate() {
            hits |= u32::from(u32::from_le_bytes(*octets) == upper) << slot;
        }
        while hits != 0 {
            let slot = hits.trailing_zeros() as usize;
            hits &= hits - 1;
            let same = rest
                .as_chunks::<2>()
                .0
                .get(slot)
                .map(|octets| u16::from_le_bytes(*octets))
                == Some(lower);
            if same && slot < usize::from(*bucket.get(USED)?) {
                return Some(Found {
                    slot: number.wrapping_mul(SLOTS_U32).wrapping_add(slot as u32),
                    set: *bucket.get(SETS + slot)?,
                });
            }
        }
        None
    }
}

/// Lays the keys of one partition out: for each bucket, the places in `keys` of those in it. The same keys in the
/// same order give the same layout.
pub(super) fn place(keys: &[Key], partitions: u32) -> Vec<Vec<u32>> {
    let mut buckets = (keys.len() * 1000).div_ceil(SLOTS * LOAD).max(1);
    loop {
        if let Some(placed) = try_place(keys, partitions, buckets) {
            return placed;
        }
        buckets += 1;
    }
}

/// Moves of keys before a layout is given up.
const MOVES: u32 = 400;

fn try_place(keys: &[Key], partitions: u32, buckets: usize) -> Option<Vec<Vec<u32>>> {
    let mut placed: Vec<Vec<u32>> = vec![Vec::with_capacity(SLOTS); buckets];
    let count = u32::try_from(buckets).ok()?;
    let both = |place: u32| {
        let key = keys.get(place as usize)?;
        let (_, fraction) = partition(key.position, partitions);
        let (one, other) = choices(fraction, key.fingerprint, count);
        Some((one as usize, other as usize))
    };
    // Which key makes room, and where it goes: any fixed sequence will do.
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for place in 0..keys.len() {
        let mut homeless = u32::try_from(place).ok()?;
        let (one, other) = both(homeless)?;
        let mut bucket = if placed.get(one)?.len() < SLOTS {
            one
        } else {
            other
        };
        let mut moves = 0;
        loop {
            let held = placed.get_mut(bucket)?;
            if held.len() < SLOTS {
                held.push(homeless);
                break;
            }
            moves += 1;
            if moves > MOVES {
                return None;
            }
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let slot = usize::try_from(random % SLOTS as u64).ok()?;
            std::mem::swap(&mut homeless, held.get_mut(slot)?);
            let (one, other) = both(homeless)?;
            bucket = if bucket == one { other } else { one };
        }
    }
    Some(placed)
}

/// One bucket's octets. `slots`: fingerprint and rule set of each slot in use, at most nine.
#[allow(clippy::cast_possible_truncation)] // the two parts of a fingerprint; at most nine slots
pub(super) fn octets(slots: &[(u64, u8)]) -> [u8; BUCKET] {
    let mut octets = [0; BUCKET];
    for (slot, &(fingerprint, set)) in slots.iter().take(SLOTS).enumerate() {
        let upper = ((fingerprint >> 16) as u32).to_le_bytes();
        let lower = (fingerprint as u16).to_le_bytes();
        for (at, octet) in upper
            .into_iter()
            .enumerate()
            .map(|(place, octet)| (slot * 4 + place, octet))
            .chain(
                lower
                    .into_iter()
                    .enumerate()
                    .map(|(place, octet)| (LOWER + slot * 2 + place, octet)),
            )
            .chain([(SETS + slot, set)])
        {
            if let Some(place) = octets.get_mut(at) {
                *place = octet;
            }
        }
    }
    if let Some(used) = octets.last_mut() {
        *used = slots.len().min(SLOTS) as u8;
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::key::{Hasher, Seed};
    use crate::name::Name;

    fn keys(count: u32) -> Vec<Key> {
        let hasher = Hasher::new(&Seed([4; 32]));
        let mut keys: Vec<Key> = (0..count)
            .map(|number| {
                hasher
                    .name(Name::parse(&format!("n{number}.example")).unwrap().as_ref())
                    .0
            })
            .collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn keys_of_one_partition_are_found_at_their_slots_at_full_load() {
        for count in [0, 1, 2, 9, 10, 17, 100, 2048, 2300] {
            let keys = keys(count);
            let placed = place(&keys, 1);
            let mut buckets = Vec::new();
            for held in &placed {
                let slots: Vec<(u64, u8)> = held
                    .iter()
                    .map(|&place| (keys[place as usize].fingerprint, (place % 251) as u8))
                    .collect();
                buckets.extend(octets(&slots));
            }
            let directory: Vec<u8> = [0, u32::try_from(placed.len()).unwrap()]
                .iter()
                .flat_map(|first| first.to_le_bytes())
                .collect();
            let table = Table {
                directory: &directory,
                buckets: &buckets,
                partitions: 1,
            };
            for (place, key) in keys.iter().enumerate() {
                let found = table.get(*key).unwrap();
                assert_eq!(usize::from(found.set), place % 251);
                let bucket = &placed[found.slot as usize / SLOTS];
                assert_eq!(bucket[found.slot as usize % SLOTS] as usize, place);
            }
            if count > 1000 {
                assert!(
                    keys.len() * 100 > placed.len() * SLOTS * 95,
                    "{} buckets for {count}",
                    placed.len()
                );
            }
            assert_eq!(
                table.get(Key {
                    position: 1 << 40,
                    fingerprint: 77
                }),
                None
            );
        }
    }

    #[test]
    fn damaged_directories_find_nothing_and_do_not_panic() {
        let buckets = [0xff; BUCKET * 2];
        for directory in [vec![], vec![0; 4], vec![0xff; 8], vec![9, 0, 0, 0, 1, 0, 0, 0]] {
            let table = Table {
                directory: &directory,
                buckets: &buckets,
                partitions: 3,
            };
            for position in [0, 1 << 47, (1 << 48) - 1] {
                let _ = table.get(Key {
                    position,
                    fingerprint: (1 << 48) - 1,
                });
            }
        }
    }
}
