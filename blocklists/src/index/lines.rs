//! The way back from a rule to its line: a second file beside the index, opened only when somebody asks why.
//!
//! ```text
//! magic "ISGTLINE" · version (u16) · zero (6 octets) · identity of the index (16) · slots (u64) · rows (u64)
//! · BLAKE3 of all that follows (32) · line of each slot's first entry (u32) · rows: slot, entry, line (u32 each)
//! ```
//!
//! Slots of the index have one entry nearly always. Further entries stand on the lines behind the first one's, as the two
//! records of a name in an RPZ zone do, or else in the rows, which are in order.

use std::io::{self, Seek, SeekFrom, Write};

use bytes::Bytes;

use super::file::FileError;

const MAGIC: &[u8; 8] = b"ISGTLINE";
const VERSION: u16 = 1;
const HEADER: usize = 80;
const SUM: usize = 48;
const ROW: usize = 12;

/// Lines of an index.
#[derive(Debug, Clone)]
pub struct Lines {
    slots: Bytes,
    rows: Bytes,
    identity: [u8; 16],
}

impl Lines {
    /// Opens and checks the whole file.
    pub fn open(octets: &Bytes) -> Result<Self, FileError> {
        let header = octets.get(..HEADER).ok_or(FileError::Header)?;
        if !header.starts_with(MAGIC) {
            return Err(FileError::Magic);
        }
        let version = header.get(8..10).and_then(|octets| octets.first_chunk::<2>());
        let version = version.map_or(0, |octets| u16::from_le_bytes(*octets));
        if version != VERSION {
            return Err(FileError::Version(version));
        }
        if header.get(10..16) != Some(&[0; 6]) {
            return Err(FileError::Header);
        }
        let number = |at: usize| {
            let octets = header.get(at..at + 8)?.first_chunk::<8>()?;
            usize::try_from(u64::from_le_bytes(*octets)).ok()
        };
        let identity = header
            .get(16..32)
            .and_then(|octets| octets.first_chunk::<16>())
            .ok_or(FileError::Header)?;
        let ends = number(32).zip(number(40)).and_then(|(slots, rows)| {
            let rows_at = slots.checked_mul(4)?.checked_add(HEADER)?;
            Some((rows_at, rows.checked_mul(ROW)?.checked_add(rows_at)?))
        });
        let (rows_at, end) = ends.ok_or(FileError::Header)?;
        if end != octets.len() {
            return Err(FileError::Length {
                expected: end as u64,
                found: octets.len() as u64,
            });
        }
        let body = octets.get(HEADER..).unwrap_or_default();
        if header.get(SUM..) != Some(blake3::hash(body).as_bytes().as_slice()) {
            return Err(FileError::Section(0));
        }
        Ok(Self {
            slots: octets.slice(HEADER..rows_at),
            rows: octets.slice(rows_at..end),
            identity: *identity,
        })
    }

    /// Whether these are the lines of the index with this identity.
    pub fn belongs_to(&self, identity: [u8; 16]) -> bool {
        self.identity == identity
    }

    /// The line of a slot's entry, both from 0.
    pub(super) fn line(&self, slot: u32, entry: u32) -> Option<u32> {
        if entry == 0 {
            let octets = self.slots.as_chunks::<4>().0.get(slot as usize)?;
            return Some(u32::from_le_bytes(*octets));
        }
        let rows = self.rows.as_chunks::<ROW>().0;
        let field = |row: &[u8; ROW], place: usize| {
            row.as_chunks::<4>()
                .0
                .get(place)
                .map_or(0, |octets| u32::from_le_bytes(*octets))
        };
        match rows.binary_search_by_key(&(slot, entry), |row| (field(row, 0), field(row, 1))) {
            Ok(found) => rows.get(found).map(|row| field(row, 2)),
            Err(_) => self.line(slot, 0)?.checked_add(entry),
        }
    }
}

/// Lines of further entries, kept small while slots are laid out: each is three numbers of seven bits an octet.
#[derive(Default)]
pub(super) struct Rows {
    octets: Vec<u8>,
    slot: u32,
    count: u64,
}

impl Rows {
    /// Slots come in rising order.
    pub(super) fn push(&mut self, slot: u32, entry: u32, line: u32) {
        for mut number in [slot.wrapping_sub(self.slot), entry, line] {
            loop {
                let [low, ..] = (number & 0x7f).to_le_bytes();
                number >>= 7;
                self.octets.push(if number == 0 { low } else { low | 0x80 });
                if number == 0 {
                    break;
                }
            }
        }
        self.slot = slot;
        self.count += 1;
    }

    /// Slot, entry and line of each.
    fn iter(&self) -> impl Iterator<Item = [u32; 3]> {
        let mut octets = self.octets.iter();
        let mut number = move || {
            let mut number = 0;
            for place in 0.. {
                let octet = *octets.next()?;
                number |= u32::from(octet & 0x7f) << (7 * place);
                if octet & 0x80 == 0 {
                    break;
                }
            }
            Some(number)
        };
        let mut slot = 0_u32;
        std::iter::from_fn(move || {
            slot = slot.wrapping_add(number()?);
            Some([slot, number()?, number()?])
        })
    }
}

/// Writes lines while slots are laid out.
pub(super) struct Writer<W> {
    out: W,
    hasher: blake3::Hasher,
    slots: u64,
}

impl<W: Write + Seek> Writer<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&[0; HEADER])?;
        Ok(Self {
            out,
            hasher: blake3::Hasher::new(),
            slots: 0,
        })
    }

    /// Lines of the next slots, four octets each.
    pub(super) fn slots(&mut self, octets: &[u8]) -> io::Result<()> {
        self.slots += octets.len() as u64 / 4;
        self.hasher.update(octets);
        self.out.write_all(octets)
    }

    /// Writes the rows and the header.
    pub(super) fn finish(mut self, rows: &Rows, identity: [u8; 16]) -> io::Result<()> {
        for numbers in rows.iter() {
            for number in numbers {
                self.hasher.update(&number.to_le_bytes());
                self.out.write_all(&number.to_le_bytes())?;
            }
        }
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&[0; 6]);
        header.extend_from_slice(&identity);
        header.extend_from_slice(&self.slots.to_le_bytes());
        header.extend_from_slice(&rows.count.to_le_bytes());
        header.extend_from_slice(self.hasher.finalize().as_bytes());
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went_in() {
        let mut rows = Rows::default();
        let all = [[0, 1, 7], [0, 2, u32::MAX], [5, 1, 128], [u32::MAX, 300, 0]];
        for [slot, entry, line] in all {
            rows.push(slot, entry, line);
        }
        assert_eq!(rows.iter().collect::<Vec<_>>(), all);
        assert_eq!(rows.count, 4);
    }
}
