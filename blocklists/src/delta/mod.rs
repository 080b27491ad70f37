//! Differences between two versions of a list.
//!
//! ```text
//! diff(old, new) ─▶ delta ─▶ apply(old, delta) ─▶ new, octet for octet
//! ```
//!
//! Both versions are lists in canonical form ([`canonical`]): a header, then one rule a line, sorted, none twice. A delta
//! says how many lines to keep and to leave out, and which to put in; a daily change of half a percent of the rules costs
//! about half a percent of the list. Both directions are streams: memory does not grow with the list.
//!
//! ```text
//! magic "ISGTDELT" · version (u16, little-endian) · length of the new header (varint) · new header
//! · operations: varint of count · 4 + kind; kind 0 keep, 1 leave out, 2 put in, 3 end (count 0)
//!   · each line that is put in: varint of shared · 2, where `shared` octets are those of the line before it in the new
//!     list, then varint of the length of the rest, and the rest;
//!     or varint 1, varint of octets · 2 + exact, and the octets of a hash, which takes twice as many as text
//! · lines kept, left out, put in (varints) · BLAKE3 of the old list · BLAKE3 of the new list · BLAKE3 of all before
//! ```
//!
//! A delta comes from outside: every length is bounded before anything is made room for, and a result counts only once
//! the hash of all of it is right. The caller therefore writes to a temporary file and renames it on `Ok` only.

mod apply;
pub mod canonical;
mod diff;
mod varint;

use std::io;

pub use apply::apply;
pub use diff::diff;

const MAGIC: &[u8; 8] = b"ISGTDELT";
const VERSION: u16 = 1;

const KEEP: u64 = 0;
const LEAVE: u64 = 1;
const PUT: u64 = 2;
const END: u64 = 3;

/// What a delta does, in lines of rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lines that are in both versions.
    pub kept: u64,
    /// Lines only in the old one.
    pub removed: u64,
    /// Lines only in the new one.
    pub added: u64,
}

/// Why there is no difference, or it cannot be applied. But for [`DeltaError::Io`] and [`DeltaError::Canonical`], the way
/// on is to fetch the full list.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// Another kind of file.
    #[error("not a delta; fetch the full list")]
    Magic,
    /// Another version of the format.
    #[error("delta of format version {0}, this program reads version {VERSION}; fetch the full list")]
    Version(u16),
    /// Octets are missing, too many, or make no sense.
    #[error("the delta is torn or damaged ({0}); fetch the full list")]
    Damaged(&'static str),
    /// The old list is not the one that the delta was made from.
    #[error("the delta belongs to another version of the list; fetch the full list")]
    OtherVersion,
    /// The new list is not the one that the delta was made for.
    #[error("applying the delta gave something else than the new list; fetch the full list")]
    Result,
    /// A list is not in canonical form.
    #[error("line {0} is not canonical: {1}; make the list again with `lists canonical`")]
    Canonical(u64, &'static str),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

#[cfg(test)]
mod tests;
