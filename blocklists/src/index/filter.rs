//! A Bloom filter of 64-bit blocks: four bits a key, all in one word, so that a question costs one load.
//!
//! A name that a filter does not know is settled without touching the table; a name that it wrongly knows costs one
//! look into the table and nothing else. So its errors, 2 to 8 in 100 at 6 to 10 bits a key, are paid in nanoseconds
//! and never in a wrong verdict, and every octet more would buy little.

use super::key::{BITS, Key};

/// Bits that a key sets in its block.
const SET: f64 = 4.0;

/// Block of a key among `blocks`.
#[inline]
#[allow(clippy::cast_possible_truncation)] // below `blocks`, which is a usize
fn block(key: Key, blocks: usize) -> usize {
    ((u128::from(key.position) * blocks as u128) >> BITS) as usize
}

#[inline]
fn mask(key: Key) -> u64 {
    let bits = key.fingerprint;
    1 << (bits & 63) | 1 << (bits >> 6 & 63) | 1 << (bits >> 12 & 63) | 1 << (bits >> 18 & 63)
}

/// Whether the filter in `octets` (a whole number of 8-octet words, little-endian) may hold the key.
#[inline]
pub(super) fn contains(octets: &[u8], key: Key) -> bool {
    let mask = mask(key);
    octets
        .as_chunks::<8>()
        .0
        .get(block(key, octets.len() / 8))
        .is_some_and(|word| u64::from_le_bytes(*word) & mask == mask)
}

/// A filter that is being filled.
pub(super) struct Filter(Vec<u64>);

impl Filter {
    /// A filter with `bits` bits for each of `keys` keys.
    pub(super) fn new(keys: u64, bits: u64) -> Self {
        // A multiple of twelve words, so that it can be folded by 2, 3, 4, 6 and 12.
        let words = (keys.saturating_mul(bits) / 64 + 1).next_multiple_of(12);
        Self(vec![0; usize::try_from(words).unwrap_or(12)])
    }

    pub(super) fn insert(&mut self, key: Key) {
        let place = block(key, self.0.len());
        if let Some(word) = self.0.get_mut(place) {
            *word |= mask(key);
        }
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        let mask = mask(key);
        self.0
            .get(block(key, self.0.len()))
            .is_some_and(|word| word & mask == mask)
    }

    /// Distinct keys in it, by how full it is (Swamidass and Baldi 2007).
    #[allow(clippy::cast_precision_loss)] // an estimate
    fn keys(&self) -> f64 {
        let ones: u64 = self.0.iter().map(|word| u64::from(word.count_ones())).sum();
        let bits = self.0.len() as f64 * 64.0;
        let free = (1.0 - ones as f64 / bits).max(1.0 / bits);
        -bits / SET * free.ln()
    }

    /// Folds neighbouring words together until there are at most `bits` bits for each key. Because a key's word is
    /// its position scaled to their number, the folded filter is the one that would have been filled at that size.
    #[allow(clippy::cast_precision_loss)] // an estimate
    pub(super) fn fold(&mut self, bits: f64) {
        let wanted = self.keys() * bits / 64.0;
        let have = self.0.len() as f64;
        let by = [1_usize, 2, 3, 4, 6, 12]
            .into_iter()
            .find(|&by| have / by as f64 <= wanted)
            .unwrap_or(12);
        if by > 1 {
            self.0 = self
                .0
                .chunks(by)
                .map(|words| words.iter().fold(0, |all, word| all | word))
                .collect();
        }
    }

    /// The words, little-endian.
    pub(super) fn octets(&self) -> impl Iterator<Item = [u8; 8]> {
        self.0.iter().map(|word| word.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::key::{Hasher, Seed};
    use crate::name::Name;

    #[test]
    fn every_key_is_found_again_after_folding_and_few_others_are() {
        let hasher = Hasher::new(&Seed([1; 32]));
        let key = |number: u32| {
            hasher
                .name(Name::parse(&format!("n{number}.example")).unwrap().as_ref())
                .0
        };
        let mut filter = Filter::new(30_000, 10);
        (0..10_000).for_each(|number| filter.insert(key(number)));
        let estimate = filter.keys();
        assert!((9_500.0..10_500.0).contains(&estimate), "{estimate}");
        filter.fold(12.0);
        let octets: Vec<u8> = filter.octets().flatten().collect();
        assert!(octets.len() <= 15_000, "{}", octets.len());
        assert!((0..10_000).all(|number| contains(&octets, key(number)) && filter.contains(key(number))));
        let wrong = (10_000..110_000)
            .filter(|&number| contains(&octets, key(number)))
            .count();
        assert!(wrong < 6_000, "{wrong} of 100,000");
    }

    #[test]
    fn an_empty_filter_holds_nothing() {
        let key = Key {
            position: 5,
            fingerprint: 9,
        };
        assert!(!contains(&[], key));
        assert!(!Filter::new(0, 10).contains(key));
    }
}
