//! The index as a file: a header of fixed size, then sections. Little-endian, position-independent, meant to be mapped.
//!
//! ```text
//! 0    magic "ISGTINDX"
//! 8    format version (u16) · number of sections (u16) · which names of fewer than two labels have rules (u32)
//! 16   length of the whole file (u64)
//! 24   seed of the hash (32 octets)
//! 56   partitions (u32) · zero (u32)
//! 64   for each section: number (u32) · zero (u32) · offset (u64) · length (u64) · start of its BLAKE3 hash (16 octets)
//! 480  BLAKE3 hash of all octets before (32 octets)
//! 512  sections, each at a multiple of 64, zeros between them
//! ```
//!
//! Opening checks the header and reads only the small sections; [`super::Index::verify`] checks every octet. A file
//! is written to its end before the header is, so that a torn one has none.

use std::io::{self, Seek, SeekFrom, Write};

use bytes::Bytes;

use super::key::Seed;

const MAGIC: &[u8; 8] = b"ISGTINDX";
/// Version of the format.
pub const VERSION: u16 = 1;
const HEADER: usize = 512;
const TABLE: usize = 64;
const ROW: usize = 40;
const SUM: usize = 480;
const ALIGN: u64 = 64;
const PADDING: [u8; 64] = [0; 64];

/// Why octets are no usable index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Another kind of file.
    #[error("not a compiled index")]
    Magic,
    /// Another version of the format.
    #[error("compiled index of format version {0}, this program reads version {VERSION}; compile it again")]
    Version(u16),
    /// The header is not what was written.
    #[error("the header of the compiled index is damaged; compile it again")]
    Header,
    /// Octets are missing or there are too many.
    #[error("the compiled index has {found} octets instead of {expected}: it is torn; compile it again")]
    Length {
        /// By its header.
        expected: u64,
        /// In fact.
        found: u64,
    },
    /// A section is not what was written.
    #[error("section {0} of the compiled index is damaged; compile it again")]
    Section(u32),
    /// Regular expressions do not compile.
    #[error("the regular expressions of the compiled index do not compile: {0}; drop the list that has them")]
    Regexes(String),
}

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Section {
    Buckets = 1,
    Directory = 2,
    Gate = 3,
    Filter = 4,
    Wide = 5,
    Sets = 6,
    Entries = 7,
    Actions = 8,
    Meta = 9,
}

/// How many sections there are.
const SECTIONS: usize = 9;

#[derive(Debug, Clone, Copy, Default)]
struct Row {
    number: u32,
    offset: u64,
    length: u64,
    sum: [u8; 16],
}

/// Writes sections one after the other, then the header.
pub(super) struct Writer<W> {
    out: W,
    rows: Vec<Row>,
    at: u64,
    hasher: blake3::Hasher,
}

impl<W: Write + Seek> Writer<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&[0; HEADER])?;
        Ok(Self {
            out,
            rows: Vec::new(),
            at: HEADER as u64,
            hasher: blake3::Hasher::new(),
        })
    }

    pub(super) fn start(&mut self, section: Section) {
        self.hasher.reset();
        self.rows.push(Row {
            number: section as u32,
            offset: self.at,
            ..Row::default()
        });
    }

    pub(super) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.hasher.update(octets);
        self.at += octets.len() as u64;
        self.out.write_all(octets)
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        if let Some(row) = self.rows.last_mut() {
            row.length = self.at - row.offset;
            row.sum = short(&self.hasher.finalize());
        }
        let padding = usize::try_from(self.at.next_multiple_of(ALIGN) - self.at).unwrap_or(0);
        self.out.write_all(PADDING.get(..padding).unwrap_or_default())?;
        self.at += padding as u64;
        Ok(())
    }

    pub(super) fn section(&mut self, section: Section, octets: &[u8]) -> io::Result<()> {
        self.start(section);
        self.write(octets)?;
        self.end()
    }

    /// Writes the header; gives the length of the file and the hash that names it.
    pub(super) fn finish(
        mut self,
        seed: &Seed,
        partitions: u32,
        shallow: u32,
    ) -> io::Result<(u64, [u8; 16])> {
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&u16::try_from(self.rows.len()).unwrap_or(u16::MAX).to_le_bytes());
        header.extend_from_slice(&shallow.to_le_bytes());
        header.extend_from_slice(&self.at.to_le_bytes());
        header.extend_from_slice(&seed.0);
        header.extend_from_slice(&partitions.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        for row in &self.rows {
            header.extend_from_slice(&row.number.to_le_bytes());
            header.extend_from_slice(&[0; 4]);
            header.extend_from_slice(&row.offset.to_le_bytes());
            header.extend_from_slice(&row.length.to_le_bytes());
            header.extend_from_slice(&row.sum);
        }
        header.resize(SUM, 0);
        let sum = blake3::hash(&header);
        header.extend_from_slice(sum.as_bytes());
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header)?;
        self.out.flush()?;
        Ok((self.at, short(&sum)))
    }
}

fn short(hash: &blake3::Hash) -> [u8; 16] {
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// An opened file: its sections, checked to lie inside it.
#[derive(Debug, Clone)]
pub(super) struct File {
    octets: Bytes,
    rows: [Row; SECTIONS],
    pub(super) seed: Seed,
    pub(super) partitions: u32,
    pub(super) shallow: u32,
    /// Names the file: the start of its header's hash, which covers the hashes of all sections.
    pub(super) identity: [u8; 16],
}

/// Takes values off the front of octets.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*value)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

impl File {
    pub(super) fn is_index(octets: &[u8]) -> bool {
        octets.starts_with(MAGIC)
    }

    /// Checks the header and the places of the sections.
    pub(super) fn open(octets: Bytes) -> Result<Self, FileError> {
        let rest = octets.strip_prefix(MAGIC).ok_or(FileError::Magic)?;
        let (version, _) = rest.split_first_chunk::<2>().ok_or(FileError::Header)?;
        let version = u16::from_le_bytes(*version);
        if version != VERSION {
            return Err(FileError::Version(version));
        }
        let header = octets.get(..HEADER).ok_or(FileError::Header)?;
        let (covered, sum) = header.split_at_checked(SUM).ok_or(FileError::Header)?;
        let hash = blake3::hash(covered);
        if hash.as_bytes().as_slice() != sum {
            return Err(FileError::Header);
        }
        let mut fields = Fields(covered.get(10..).unwrap_or_default());
        let fixed = |fields: &mut Fields<'_>| {
            let sections = fields.take::<2>().map(u16::from_le_bytes)?;
            let (shallow, length) = (fields.u32()?, fields.u64()?);
            let (seed, partitions) = (Seed(fields.take()?), fields.u32()?);
            Some((sections, shallow, length, seed, partitions))
        };
        let (sections, shallow, length, seed, partitions) = fixed(&mut fields).ok_or(FileError::Header)?;
        if length != octets.len() as u64 {
            return Err(FileError::Length {
                expected: length,
                found: octets.len() as u64,
            });
        }
        if usize::from(sections) != SECTIONS || partitions == 0 {
            return Err(FileError::Header);
        }
        let mut rows = [Row::default(); SECTIONS];
        let mut fields = Fields(
            covered
                .get(TABLE..TABLE + SECTIONS * ROW)
                .ok_or(FileError::Header)?,
        );
        let mut at = HEADER as u64;
        for (row, number) in rows.iter_mut().zip(1..) {
            let mut read = || {
                let number = fields.u32()?;
                fields.u32()?;
                Some(Row {
                    number,
                    offset: fields.u64()?,
                    length: fields.u64()?,
                    sum: fields.take()?,
                })
            };
            *row = read().ok_or(FileError::Header)?;
            // One behind the other, so that no octet stands outside of them.
            let end = row.offset.checked_add(row.length).ok_or(FileError::Header)?;
            if row.number != number || row.offset != at || end > length {
                return Err(FileError::Header);
            }
            at = end.next_multiple_of(ALIGN);
        }
        if at != length {
            return Err(FileError::Header);
        }
        let identity = short(&hash);
        Ok(Self {
            octets,
            rows,
            seed,
            partitions,
            shallow,
            identity,
        })
    }

    /// The octets of a section.
    pub(super) fn section(&self, section: Section) -> Bytes {
        let range = self
            .rows
            .get(section as usize - 1)
            .map_or(0..0, |row| span(row.offset, row.length));
        if range.end > self.octets.len() {
            return Bytes::new();
        }
        self.octets.slice(range)
    }

    /// Compares every octet with what was written.
    pub(super) fn verify(&self) -> Result<(), FileError> {
        for row in &self.rows {
            let damaged = FileError::Section(row.number);
            let octets = self
                .octets
                .get(span(row.offset, row.length))
                .ok_or(damaged.clone())?;
            let end = row.offset + row.length;
            let padding = self
                .octets
                .get(span(end, end.next_multiple_of(ALIGN) - end))
                .ok_or(damaged.clone())?;
            if short(&blake3::hash(octets)) != row.sum || padding.iter().any(|&octet| octet != 0) {
                return Err(damaged);
            }
        }
        Ok(())
    }

    /// Checks one small section at once.
    pub(super) fn checked(&self, section: Section) -> Result<Bytes, FileError> {
        let octets = self.section(section);
        let sum = self.rows.get(section as usize - 1).map(|row| row.sum);
        if sum == Some(short(&blake3::hash(&octets))) {
            Ok(octets)
        } else {
            Err(FileError::Section(section as u32))
        }
    }

    pub(super) fn len(&self) -> usize {
        self.octets.len()
    }
}

fn span(offset: u64, length: u64) -> std::ops::Range<usize> {
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    let until = usize::try_from(offset.saturating_add(length)).unwrap_or(usize::MAX);
    from..until
}
