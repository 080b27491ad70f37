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

    pub(super) fn is_redundant(&self) -> bool {
        self.entry & REDUNDANT != 0
    }

    pub(super) fn mark_redundant(&mut self) {
        self.entry |= REDUNDANT;
    }
}

/// Coarse partitions, by the upper eight bits of the position.
const COARSE: usize = 256;
/// Records that are allocated together: small enough that half-filled ones do not matter.
const CHUNK: usize = 256;
/// Records that are worth a sort of their own.
const WORTH: usize = 16 << 10;

/// Records, roughly sorted while they come in.
pub(super) struct Records {
    coarse: Vec<Vec<Vec<Record>>>,
    len: usize,
}

impl Records {
    pub(super) fn new() -> Self {
        Self {
            coarse: vec![Vec::new(); COARSE],
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, record: Record) {
        let Some(chunks) = self.coarse.get_mut((record.high >> 24) as usize) else {
            return;
        };
        self.len += 1;
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(record),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(record);
                chunks.push(chunk);
            }
        }
    }

    /// Groups of records in rising order of position, each to be sorted by itself; their number is a power of two.
    /// Each chunk is let go as soon as it is copied.
    pub(super) fn into_groups(self) -> Vec<Vec<Record>> {
        let groups = (self.len / WORTH).next_power_of_two().clamp(1, COARSE);
        let together = COARSE / groups;
        let mut out = Vec::with_capacity(groups);
        let mut coarse = self.coarse.into_iter();
        for _ in 0..groups {
            let parts: Vec<Vec<Vec<Record>>> = coarse.by_ref().take(together).collect();
            let mut group = Vec::with_capacity(parts.iter().flatten().map(Vec::len).sum());
            for chunk in parts.into_iter().flatten() {
                group.extend(chunk);
            }
            out.push(group);
        }
        out
    }
}

/// The records with this key in sorted `groups`.
pub(super) fn find(groups: &mut [Vec<Record>], key: Key) -> &mut [Record] {
    let Ok(group) = usize::try_from((key.position * groups.len() as u64) >> super::key::BITS) else {
        return &mut [];
    };
    let Some(group) = groups.get_mut(group) else {
        return &mut [];
    };
    let from = group.partition_point(|record| record.key() < key);
    let until = from
        + group
            .get(from..)
            .map_or(0, |rest| rest.partition_point(|record| record.key() == key));
    group.get_mut(from..until).unwrap_or_default()
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
        for group in &mut groups {
            group.sort_unstable();
        }
        let all: Vec<Record> = groups.iter().flatten().copied().collect();
        assert!(all.is_sorted() && all.len() == 100_000);
        for number in (0..100_000).step_by(997) {
            let found = find(&mut groups, key(u64::from(number)));
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].entry(), found[0].line), (number, number + 1));
            assert_eq!(found[0].key(), key(u64::from(number)));
            found[0].mark_redundant();
            assert!(found[0].is_redundant() && found[0].entry() == number);
        }
        assert!(find(&mut groups, key(1 << 40)).is_empty());
    }
}
