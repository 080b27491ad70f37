//! Flat 64-octet buckets of eight slots, 56 bits of fingerprint and eight of rule set each, at a load of 0.85.

use crate::rows::Key;

pub(crate) struct Flat(Vec<[u64; 8]>);

impl Flat {
    pub(crate) fn build(keys: &[Key]) -> Self {
        let buckets = keys.len() * 100 / 85 / 8 + 1;
        let mut flat = Self(vec![[0; 8]; buckets]);
        for key in keys {
            let mut bucket = flat.bucket(key);
            // A full bucket spills into the next one.
            'found: loop {
                for slot in &mut flat.0[bucket] {
                    if *slot == 0 || *slot == slot_of(key) {
                        *slot = slot_of(key);
                        break 'found;
                    }
                }
                bucket = (bucket + 1) % buckets;
            }
        }
        flat
    }

    fn bucket(&self, key: &Key) -> usize {
        (u128::from(key.0) * self.0.len() as u128 >> 64) as usize
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        let mut bucket = self.bucket(key);
        loop {
            let slots = &self.0[bucket];
            let equal = slots
                .iter()
                .fold(false, |any, slot| any | (*slot == slot_of(key)));
            if equal {
                return true;
            }
            if slots[7] == 0 {
                return false;
            }
            bucket = (bucket + 1) % self.0.len();
        }
    }

    pub(crate) fn octets(&self) -> usize {
        self.0.len() * 64
    }
}

fn slot_of(key: &Key) -> u64 {
    key.1 << 8 | 1
}
