//! The difference of two lists: one pass over both, side by side.

use std::cmp::Ordering;
use std::io::{BufRead, Write};

use super::canonical::Lines;
use super::{DeltaError, END, KEEP, LEAVE, MAGIC, PUT, Stats, VERSION, varint};

/// Lines to put in that are collected before they are written.
const RUN: usize = 256;

/// Writes the difference between two lists in canonical form; gives what it says.
pub fn diff(old: impl BufRead, new: impl BufRead, out: impl Write) -> Result<Stats, DeltaError> {
    let (mut old, mut new) = (Lines::open(old)?, Lines::open(new)?);
    let mut delta = Delta {
        out: Hashing {
            out,
            hasher: blake3::Hasher::new(),
        },
        run: (END, 0),
        put: Vec::new(),
        before: Vec::new(),
        stats: Stats::default(),
    };
    delta.out.write_all(MAGIC)?;
    delta.out.write_all(&VERSION.to_le_bytes())?;
    varint::write(new.header.len() as u64, &mut delta.out)?;
    delta.out.write_all(&new.header)?;
    loop {
        // An ended list sorts behind every line.
        let order = match (old.ended(), new.ended()) {
            (true, true) => break,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => old.line.cmp(&new.line),
        };
        match order {
            Ordering::Equal => {
                delta.count(KEEP)?;
                delta.before.clone_from(&new.line);
                old.next()?;
                new.next()?;
            }
            Ordering::Less => {
                delta.count(LEAVE)?;
                old.next()?;
            }
            Ordering::Greater => {
                delta.line(&new.line)?;
                new.next()?;
            }
        }
    }
    delta.finish(&old.hash(), &new.hash())
}

struct Hashing<W> {
    out: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(octets)?;
        self.hasher.update(octets.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

struct Delta<W> {
    out: Hashing<W>,
    /// Kind and length of the run that is not written yet.
    run: (u64, u64),
    /// Lines of a run that puts in, encoded.
    put: Vec<u8>,
    /// The line before in the new list.
    before: Vec<u8>,
    stats: Stats,
}

impl<W: Write> Delta<W> {
    fn count(&mut self, kind: u64) -> Result<(), DeltaError> {
        if self.run.0 != kind || kind == PUT && self.run.1 >= RUN as u64 {
            self.flush()?;
            self.run = (kind, 0);
        }
        self.run.1 += 1;
        match kind {
            KEEP => self.stats.kept += 1,
            LEAVE => self.stats.removed += 1,
            _ => self.stats.added += 1,
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), DeltaError> {
        self.count(PUT)?;
        if let Some((octets, exact)) = hash(line) {
            varint::write(1, &mut self.put)?;
            varint::write((octets.len() as u64) << 1 | u64::from(exact), &mut self.put)?;
            self.put.extend_from_slice(&octets);
        } else {
            let shared = self
                .before
                .iter()
                .zip(line)
                .take_while(|(one, other)| one == other)
                .count();
            let rest = line.get(shared..).unwrap_or_default();
            varint::write((shared as u64) << 1, &mut self.put)?;
            varint::write(rest.len() as u64, &mut self.put)?;
            self.put.extend_from_slice(rest);
        }
        self.before.clear();
        self.before.extend_from_slice(line);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeltaError> {
        if self.run.1 > 0 {
            varint::write(self.run.1 << 2 | self.run.0, &mut self.out)?;
            self.out.write_all(&self.put)?;
            self.put.clear();
        }
        Ok(())
    }

    fn finish(mut self, old: &blake3::Hash, new: &blake3::Hash) -> Result<Stats, DeltaError> {
        self.flush()?;
        varint::write(END, &mut self.out)?;
        for count in [self.stats.kept, self.stats.removed, self.stats.added] {
            varint::write(count, &mut self.out)?;
        }
        self.out.write_all(old.as_bytes())?;
        self.out.write_all(new.as_bytes())?;
        let Hashing { mut out, hasher } = self.out;
        out.write_all(hasher.finalize().as_bytes())?;
        out.flush()?;
        Ok(self.stats)
    }
}

/// The octets of a line that is a hash, and whether it means one name alone.
fn hash(line: &[u8]) -> Option<(Vec<u8>, bool)> {
    let (exact, digits) = match line.strip_prefix(b"=") {
        Some(digits) => (true, digits),
        None => (false, line),
    };
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if digits.is_empty() || digits.len() > 64 || !digits.len().is_multiple_of(2) {
        return None;
    }
    let octets: Option<Vec<u8>> = digits
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&[high, low]| Some(value(high)? << 4 | value(low)?))
        .collect();
    Some((octets?, exact))
}
