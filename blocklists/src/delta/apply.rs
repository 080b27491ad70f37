//! Applying a difference: the old list and the delta side by side, the new list out.

use std::io::{BufRead, BufReader, Read, Write};

use super::canonical::{Lines, MAX_HEADER};
use super::varint::{self, torn};
use super::{DeltaError, END, KEEP, LEAVE, MAGIC, Stats, VERSION};
use crate::read::MAX_LINE;

/// Most octets of a hash in a delta.
const MAX_HASH: u64 = 32;

/// Applies `delta` to `old` and writes the new list. What was written counts only on `Ok`: until then it may be the start
/// of anything.
pub fn apply(old: impl BufRead, delta: impl Read, out: impl Write) -> Result<Stats, DeltaError> {
    let mut delta = Hashing {
        input: BufReader::new(delta),
        hasher: blake3::Hasher::new(),
    };
    if take::<8>(&mut delta)? != *MAGIC {
        return Err(DeltaError::Magic);
    }
    let version = u16::from_le_bytes(take(&mut delta)?);
    if version != VERSION {
        return Err(DeltaError::Version(version));
    }
    let header = varint::read(&mut delta)?;
    let header = octets(&mut delta, header, MAX_HEADER as u64, "a header")?;
    let mut old = Lines::open(old)?;
    let mut new = New {
        out,
        hasher: blake3::Hasher::new(),
        before: Vec::new(),
    };
    new.write(&header)?;
    let stats = operations(&mut old, &mut delta, &mut new)?;
    if !old.ended() {
        // The delta speaks of every line of its own old list.
        return Err(DeltaError::OtherVersion);
    }
    let mut said = [0; 3];
    for count in &mut said {
        *count = varint::read(&mut delta)?;
    }
    let (from, to) = (take::<32>(&mut delta)?, take::<32>(&mut delta)?);
    let own = delta.hasher.finalize();
    let mut sum = [0; 32];
    delta.input.read_exact(&mut sum).map_err(torn)?;
    if own != blake3::Hash::from_bytes(sum) {
        return Err(DeltaError::Damaged("its checksum is wrong"));
    }
    if delta.input.read(&mut [0])? != 0 {
        return Err(DeltaError::Damaged("something stands behind its end"));
    }
    if old.hash() != blake3::Hash::from_bytes(from) {
        return Err(DeltaError::OtherVersion);
    }
    let counted = [stats.kept, stats.removed, stats.added];
    if new.hasher.finalize() != blake3::Hash::from_bytes(to) || said != counted {
        return Err(DeltaError::Result);
    }
    new.out.flush()?;
    Ok(stats)
}

fn operations<W: Write>(
    old: &mut Lines<impl BufRead>,
    delta: &mut impl Read,
    new: &mut New<W>,
) -> Result<Stats, DeltaError> {
    let mut stats = Stats::default();
    loop {
        let operation = varint::read(delta)?;
        let (kind, count) = (operation & 3, operation >> 2);
        if kind == END {
            return if count == 0 {
                Ok(stats)
            } else {
                Err(DeltaError::Damaged("an operation"))
            };
        }
        if count == 0 {
            return Err(DeltaError::Damaged("an operation"));
        }
        // A count that lies ends with the old list or with the delta, whichever is shorter.
        for _ in 0..count {
            if matches!(kind, KEEP | LEAVE) && old.ended() {
                return Err(DeltaError::OtherVersion);
            }
            match kind {
                KEEP => {
                    new.line(&old.line)?;
                    stats.kept += 1;
                    old.next()?;
                }
                LEAVE => {
                    stats.removed += 1;
                    old.next()?;
                }
                _ => {
                    let line = put(delta, &new.before)?;
                    new.line(&line)?;
                    stats.added += 1;
                }
            }
        }
    }
}

/// A line that is put in.
fn put(delta: &mut impl Read, before: &[u8]) -> Result<Vec<u8>, DeltaError> {
    let shared = varint::read(delta)?;
    let length = varint::read(delta)?;
    if shared == 1 {
        let (octets, exact) = (octets(delta, length >> 1, MAX_HASH, "a hash")?, length & 1 == 1);
        let mut line: Vec<u8> = if exact { vec![b'='] } else { Vec::new() };
        for octet in octets {
            write!(line, "{octet:02x}")?;
        }
        return Ok(line);
    }
    let kept = usize::try_from(shared >> 1)
        .ok()
        .filter(|_| shared & 1 == 0)
        .and_then(|shared| before.get(..shared))
        .ok_or(DeltaError::Damaged("a line"))?;
    let rest = octets(delta, length, MAX_LINE as u64, "a line")?;
    let line = [kept, &rest].concat();
    if line.len() > MAX_LINE || line.contains(&b'\n') || line.starts_with(b"#") {
        return Err(DeltaError::Damaged("a line"));
    }
    Ok(line)
}

/// `length` octets, at most `most`, which is checked before there is room made for them.
fn octets(delta: &mut impl Read, length: u64, most: u64, what: &'static str) -> Result<Vec<u8>, DeltaError> {
    if length > most {
        return Err(DeltaError::Damaged(what));
    }
    let mut octets = vec![0; usize::try_from(length).map_err(|_| DeltaError::Damaged(what))?];
    delta.read_exact(&mut octets).map_err(torn)?;
    Ok(octets)
}

fn take<const N: usize>(delta: &mut impl Read) -> Result<[u8; N], DeltaError> {
    let mut octets = [0; N];
    delta.read_exact(&mut octets).map_err(torn)?;
    Ok(octets)
}

struct Hashing<R> {
    input: R,
    hasher: blake3::Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, octets: &mut [u8]) -> std::io::Result<usize> {
        let length = self.input.read(octets)?;
        self.hasher.update(octets.get(..length).unwrap_or_default());
        Ok(length)
    }
}

/// The new list while it is written.
struct New<W> {
    out: W,
    hasher: blake3::Hasher,
    before: Vec<u8>,
}

impl<W: Write> New<W> {
    fn write(&mut self, octets: &[u8]) -> Result<(), DeltaError> {
        self.hasher.update(octets);
        Ok(self.out.write_all(octets)?)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), DeltaError> {
        if line <= self.before.as_slice() {
            return Err(DeltaError::Damaged("its lines are not in order"));
        }
        self.before.clear();
        self.before.extend_from_slice(line);
        self.write(line)?;
        self.write(b"\n")
    }
}
