//! Files mapped into memory, read-only, as shared octets.
//!
//! Mapping is `unsafe` because a file that somebody changes or cuts short changes octets that the program takes for
//! constant, or ends it with SIGBUS. This crate holds that one call, so that every other crate can forbid unsafe code,
//! and states the bargain: whoever maps a file promises that it is written once, under another name, and only ever
//! renamed or removed afterwards. Removal and renaming do not touch a mapping. What is in the octets is never trusted.

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;

/// Maps a whole file. The file must not be written to or cut short while the octets are in use; replace it by renaming
/// another one onto it.
pub fn map(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.len() == 0 {
        return Ok(Bytes::new()); // the system maps no empty file
    }
    // SAFETY: the file lies in the gateway's own state folder, is written under another name and only renamed or
    // removed once it has its own, so nothing changes octets that are mapped.
    #[allow(unsafe_code)]
    let mapped = unsafe { memmap2::Mmap::map(&file) }?;
    Ok(Bytes::from_owner(mapped))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_mapping_outlives_the_removal_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("octets");
        std::fs::write(&path, b"some octets").unwrap();
        let octets = map(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(octets.as_ref(), b"some octets");
        assert_eq!(octets.slice(5..).as_ref(), b"octets");
    }

    #[test]
    fn empty_files_are_empty_and_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        std::fs::write(&path, b"").unwrap();
        assert!(map(&path).unwrap().is_empty());
        assert!(map(folder.path()).is_err());
        assert!(map(&folder.path().join("missing")).is_err());
    }
}
