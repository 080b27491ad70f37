//! What the compiler keeps of each rule while lists are read: twenty octets, ready to be sorted.

use super::key::Key;

/// One rule under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    // Position and fingerprint, 96 bits in order of significance.
    high: u32,
    middle: u32,
    low: u32,
    /// Number of the entry (list, scope, action), with [`REDUNDANT`] on top.
    entry: u32,
    /// Line in its list.
    pub(super) line: u32,
}

/// Mark of a record that a parent's rule makes unnecessary.
const REDUNDANT: u32 = 1 << 31;

impl Record {
    #[allow(clippy::cast_possible_truncation)] // the parts of 96 bits
    pub(super) fn new(key: Key, entry: u32, line: u32) -> Self {
        Self {
            high: (key.position >> 16) as u32,
            middle: (key.position as u32) << 16 | (key.fingerprint >> 32) as u32,
            low: key.fingerprint as u32,
            entry,
            line,
        }
    }

    pub(super) fn key(&self) -> Key {
        Key {
            position: u64::from(self.high) << 16 | u64::from(self.middle >> 16),
            fingerprint: u64::from(self.middle & 0xffff) << 32 | u64::from(self.low),
        }
    }

    pub(super) fn entry(&self) -> u32 {
        self.entry & !REDUNDANT
    }

    fn coarse(&self) -> usize {
        (self.high >> 24) as usize
    }

    pub(super) fn is_redundant(&self) -> bool {
        self.entry & REDUNDANT != 0
    }

    pub(super) fn mark_redundant(&mut self) {
        self.entry |= REDUNDANT;
    }
}

/// Coarse partitions, by the upper eight bits of the position.
const COARSE: usize = 256;
/// Records that are worth a sort of their own.
const WORTH: usize = 16 << 10;

/// Records as they come in. One vector, that grows where it lies (large allocations are remapped, not copied) and is
/// sorted where it lies: a second copy would be the difference between an update that fits a router and one that does
/// not.
pub(super) struct Records {
    all: Vec<Record>,
    /// Records in each coarse partition.
    counts: [usize; COARSE],
}

impl Records {
    pub(super) fn new() -> Self {
        Self {
            all: Vec::new(),
            counts: [0; COARSE],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn push(&mut self, record: Record) {
        if let Some(count) = self.counts.get_mut(record.coarse()) {
            *count += 1;
        }
        self.all.push(record);
    }

    /// Moves each record into its coarse partition, in place (American flag sort: McIlroy, Bostic and McIlroy 1993), and
    /// puts neighbouring ones together to groups worth sorting. Their number is a power of two.
    pub(super) fn into_groups(self) -> Groups {
        let Self { mut all, counts } = self;
        let (mut heads, mut ends) = ([0; COARSE], [0; COARSE]);
        let mut end = 0;
        for ((head, last), count) in heads.iter_mut().zip(&mut ends).zip(counts) {
            *head = end;
            end += count;
            *last = end;
        }
        for own in 0..COARSE {
            let last = ends.get(own).copied().unwrap_or(0);
            while let Some(&at) = heads.get(own).filter(|&&at| at < last) {
                let Some(home) = all.get(at).map(Record::coarse) else {
                    break;
                };
                let Some(head) = heads.get_mut(home).filter(|head| **head < all.len()) else {
                    break;
                };
                all.swap(at, *head); // with itself where it is at home
                *head += 1;
            }
        }
        let groups = (all.len() / WORTH).next_power_of_two().clamp(1, COARSE);
        let ends = ends
            .iter()
            .copied()
            .skip(COARSE / groups - 1)
            .step_by(COARSE / groups);
        Groups {
            ends: ends.collect(),
            all,
        }
    }
}

/// Records in groups of rising position; inside a group in order once that is sorted.
pub(super) struct Groups {
    all: Vec<Record>,
    /// Where each group ends.
    ends: Vec<usize>,
}

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn slices(&self) -> Vec<&[Record]> {
        let mut from = 0;
        self.ends
            .iter()
            .map(|&end| {
                let group = self.all.get(from..end).unwrap_or_default();
                from = end;
                group
            })
            .collect()
    }

    pub(super) fn slices_mut(&mut self) -> Vec<&mut [Record]> {
        let (mut rest, mut from) = (self.all.as_mut_slice(), 0);
        let mut groups = Vec::with_capacity(self.ends.len());
        for &end in &self.ends {
            let (group, behind) = rest.split_at_mut((end - from).min(rest.len()));
            groups.push(group);
            (rest, from) = (behind, end);
        }
        groups
    }

    /// The records with this key; the groups are sorted.
    pub(super) fn find(&mut self, key: Key) -> &mut [Record] {
        let group = usize::try_from((key.position * self.ends.len() as u64) >> super::key::BITS).unwrap_or(0);
        let start = group
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or(0);
        let end = self.ends.get(group).copied().unwrap_or(start);
        let Some(group) = self.all.get_mut(start..end) else {
            return &mut [];
        };
        let from = group.partition_point(|record| record.key() < key);
        let until = from
            + group
                .get(from..)
                .map_or(0, |rest| rest.partition_point(|record| record.key() == key));
        group.get_mut(from..until).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_in_order_and_are_found_by_their_key() {
        let mut records = Records::new();
        let key = |number: u64| Key {
            position: number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16,
            fingerprint: number.wrapping_mul(0xD1B5_4A32_D192_ED03) >> 16,
        };
        for number in 0..100_000_u32 {
            records.push(Record::new(key(u64::from(number)), number, number + 1));
        }
        assert_eq!(size_of::<Record>(), 20);
        assert_eq!(records.len(), 100_000);
        let mut groups = records.into_groups();
        assert!(groups.len().is_power_of_two() && groups.len() > 1);
        for group in groups.slices_mut() {
            group.sort_unstable();
        }
        let all = groups.slices().concat();
        assert!(all.is_sorted() && all.len() == 100_000);
        for number in (0..100_000).step_by(997) {
            let found = groups.find(key(u64::from(number)));
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].entry(), found[0].line), (number, number + 1));
            assert_eq!(found[0].key(), key(u64::from(number)));
            found[0].mark_redundant();
            assert!(found[0].is_redundant() && found[0].entry() == number);
        }
        assert!(groups.find(key(1 << 40)).is_empty());
    }
}
