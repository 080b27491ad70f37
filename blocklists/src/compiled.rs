//! Compiled lists: several lists in one checksummed file.
//!
//! ```text
//! magic "ISGTLIST" · format version (u16, little-endian) · postcard body · BLAKE3 of all before (32 octets)
//! ```
//!
//! Reading refuses a torn or changed file with its reason; it never guesses.

use std::io;

use serde::{Deserialize, Serialize};

use crate::read::Format;
use crate::rule::Located;

const MAGIC: &[u8; 8] = b"ISGTLIST";
const VERSION: u16 = 1;
const CHECKSUM: usize = 32;

/// One list in a compiled file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompiledList {
    /// Identifier.
    pub id: String,
    /// The file that it was read from.
    pub origin: String,
    /// Its format there.
    pub format: Format,
    /// Its rules.
    pub rules: Vec<Located>,
}

/// Why a file is no compiled list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompiledError {
    /// Another kind of file.
    #[error("not a compiled list")]
    Magic,
    /// Another version of the format.
    #[error("compiled list of format version {0}, this program reads version {VERSION}; compile it again")]
    Version(u16),
    /// Torn or changed.
    #[error("the compiled list is damaged: its checksum is wrong; compile it again")]
    Checksum,
    /// The checksum is right, the content is not.
    #[error("the compiled list cannot be decoded; compile it again")]
    Body,
}

/// Whether the octets start like a compiled list.
pub fn is_compiled(octets: &[u8]) -> bool {
    octets.starts_with(MAGIC)
}

/// Writes `lists` as one file.
pub fn write(lists: &[CompiledList], mut out: impl io::Write) -> io::Result<()> {
    let body = postcard::to_stdvec(lists).map_err(io::Error::other)?;
    let octets = [MAGIC.as_slice(), &VERSION.to_le_bytes(), &body].concat();
    out.write_all(&octets)?;
    out.write_all(blake3::hash(&octets).as_bytes())
}

/// Reads a file whole.
pub fn read(octets: &[u8]) -> Result<Vec<CompiledList>, CompiledError> {
    let rest = octets.strip_prefix(MAGIC).ok_or(CompiledError::Magic)?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or(CompiledError::Checksum)?;
    let version = u16::from_le_bytes(*version);
    if version != VERSION {
        return Err(CompiledError::Version(version));
    }
    let (body, sum) = rest
        .len()
        .checked_sub(CHECKSUM)
        .and_then(|at| rest.split_at_checked(at))
        .ok_or(CompiledError::Checksum)?;
    let covered = octets
        .len()
        .checked_sub(CHECKSUM)
        .and_then(|end| octets.get(..end))
        .ok_or(CompiledError::Checksum)?;
    if blake3::hash(covered).as_bytes().as_slice() != sum {
        return Err(CompiledError::Checksum);
    }
    postcard::from_bytes(body).map_err(|_| CompiledError::Body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let rules = crate::read::read(b"||a.example^\n@@||b.a.example^\n", Format::Auto, None)
            .unwrap()
            .rules;
        let lists = [CompiledList {
            id: "x".into(),
            origin: "x.txt".into(),
            format: Format::Adblock,
            rules,
        }];
        let mut out = Vec::new();
        write(&lists, &mut out).unwrap();
        assert_eq!(read(&out).unwrap(), lists);
        out
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let octets = sample();
        for bit in 0..octets.len() * 8 {
            let mut damaged = octets.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&damaged).is_err(), "bit {bit}");
        }
        for length in 0..octets.len() {
            assert!(read(&octets[..length]).is_err(), "cut at {length}");
        }
    }
}
