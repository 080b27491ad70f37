//! One record about all others: how many changes there were, and a sum over every record.
//!
//! A database can open without a complaint and yet lack a record, or hold an old one again: its own checksums cover what
//! is there. The tally is written in the batch of every change, so that what is found at the next start can be compared
//! with what was acknowledged. It finds damage, not forgery: a sum by exclusive or is no signature.

use super::Record;

/// Where the tally lies. No table's name is empty, so no record of a table comes here.
pub(super) const KEY: &[u8] = b"\0tally";

/// Octets of a written tally: version, three numbers, sum, checksum.
const LENGTH: usize = 1 + 3 * 8 + 16 + 8;
const VERSION: u8 = 1;

/// What the records must add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Changes since the state began; the newer of two states has more.
    pub(super) changes: u64,
    /// Records of all tables.
    pub(super) records: u64,
    /// Octets of their keys and values.
    pub(super) octets: u64,
    sum: u128,
}

impl Tally {
    /// Counts records from nothing.
    pub(super) fn of(changes: u64, records: &[Record]) -> Self {
        let mut tally = Self {
            changes,
            ..Self::default()
        };
        for (key, value) in records {
            tally.add(key, value);
        }
        tally
    }

    /// A record came.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.records = self.records.wrapping_add(1);
        self.octets = self.octets.wrapping_add((key.len() + value.len()) as u64);
        self.sum ^= digest(key, value);
    }

    /// A record went.
    pub(super) fn subtract(&mut self, key: &[u8], value: &[u8]) {
        self.records = self.records.wrapping_sub(1);
        self.octets = self.octets.wrapping_sub((key.len() + value.len()) as u64);
        self.sum ^= digest(key, value);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(LENGTH);
        octets.push(VERSION);
        for number in [self.changes, self.records, self.octets] {
            octets.extend_from_slice(&number.to_le_bytes());
        }
        octets.extend_from_slice(&self.sum.to_le_bytes());
        let sum = checksum(&octets);
        octets.extend_from_slice(&sum);
        octets
    }

    /// The tally in these octets, if they are whole and of this version.
    pub(super) fn decode(octets: &[u8]) -> Option<Self> {
        let (body, sum) = octets.split_at_checked(LENGTH - 8)?;
        let (&version, numbers) = body.split_first()?;
        if version != VERSION || checksum(body).as_slice() != sum {
            return None;
        }
        let (changes, rest) = numbers.split_first_chunk()?;
        let (records, rest) = rest.split_first_chunk()?;
        let (octets, rest) = rest.split_first_chunk()?;
        Some(Self {
            changes: u64::from_le_bytes(*changes),
            records: u64::from_le_bytes(*records),
            octets: u64::from_le_bytes(*octets),
            sum: u128::from_le_bytes(rest.try_into().ok()?),
        })
    }
}

fn digest(key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&(key.len() as u64).to_le_bytes())
        .update(key)
        .update(value);
    let mut octets = [0; 16];
    hasher.finalize_xof().fill(&mut octets);
    u128::from_le_bytes(octets)
}

fn checksum(octets: &[u8]) -> [u8; 8] {
    let mut sum = [0; 8];
    blake3::Hasher::new().update(octets).finalize_xof().fill(&mut sum);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &str) -> Record {
        (key.into(), value.into())
    }

    #[test]
    fn a_written_tally_reads_back_and_a_damaged_one_does_not() {
        let tally = Tally::of(7, &[record("a", "1"), record("b", "2")]);
        let octets = tally.encode();
        assert_eq!(octets.len(), LENGTH);
        assert_eq!(Tally::decode(&octets), Some(tally));
        for place in 0..octets.len() * 8 {
            let mut damaged = octets.clone();
            damaged[place / 8] ^= 1 << (place % 8);
            assert_eq!(Tally::decode(&damaged), None, "bit {place}");
        }
        for end in 0..octets.len() {
            assert_eq!(Tally::decode(&octets[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn it_follows_the_records_in_any_order_and_misses_none() {
        let all = [record("a", "1"), record("b", "2"), record("ab", "")];
        let mut tally = Tally::default();
        for (key, value) in all.iter().rev() {
            tally.add(key, value);
        }
        assert_eq!(tally, Tally::of(0, &all));
        tally.subtract(b"b", b"2");
        assert_eq!(tally, Tally::of(0, &[record("ab", ""), record("a", "1")]));
        assert_ne!(tally, Tally::of(0, &[record("a", "b"), record("a", "1")]));
    }
}
