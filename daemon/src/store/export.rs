//! Copies of the whole state in two files beside the database, for the day when it does not open.
//!
//! A file is written whole: under another name, synced, renamed, the folder synced. The two take turns, so that a good
//! one is always there; which one is good, and which newer, the files say themselves. Nothing in here touches the
//! database.
//!
//! ```text
//! "isigurt state export\n" | version 1 | written, s since 1970, i64 | octets unpacked, u32 | LZ4 block | BLAKE3 of all before
//! unpacked: tally, then of each record: octets of key, u32 | key | octets of value, u32 | value      (little-endian)
//! ```

use std::path::{Path, PathBuf};

use super::ledger::Contents;
use super::tally::Tally;
use super::write_whole;
use super::{Record, StoreError};

const MAGIC: &[u8] = b"isigurt state export\n";
const VERSION: u8 = 1;
const CHECKSUM: usize = 32;
/// More than any state can be; keeps a false number from asking for all memory.
const LARGEST: usize = 256 << 20;

/// The folder of exports in a state folder.
fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("export")
}

/// The two files.
#[derive(Debug, Clone)]
pub(super) struct Exports {
    files: [PathBuf; 2],
}

/// One export, read back whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Export {
    /// Seconds since 1970.
    pub(super) written: i64,
    pub(super) contents: Contents,
}

impl Export {
    /// For a person.
    pub(super) fn when(&self) -> String {
        jiff::Timestamp::from_second(self.written)
            .map_or_else(|_| "unknown time".to_owned(), |at| at.to_string())
    }
}

impl Exports {
    pub(super) fn of(state_dir: &Path) -> Self {
        let folder = folder(state_dir);
        Self {
            files: [folder.join("state-a"), folder.join("state-b")],
        }
    }

    /// The newest export that is whole, and the place of the file that may be written over next.
    pub(super) fn newest(&self) -> (Option<Export>, usize) {
        let mut newest: Option<(usize, Export)> = None;
        for (place, file) in self.files.iter().enumerate() {
            let octets = match std::fs::read(file) {
                Ok(octets) => octets,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::warn!(file = %file.display(), %error, "an export of the state does not read");
                    continue;
                }
            };
            let Some(export) = decode(&octets) else {
                tracing::warn!(file = %file.display(), "an export of the state is damaged; the other one counts");
                continue;
            };
            let changes = |export: &Export| (export.contents.tally.changes, export.written);
            if newest
                .as_ref()
                .is_none_or(|(_, other)| changes(&export) > changes(other))
            {
                newest = Some((place, export));
            }
        }
        match newest {
            Some((place, export)) => (Some(export), 1 - place),
            None => (None, 0),
        }
    }

    /// Writes one of the two files.
    pub(super) fn write(&self, place: usize, contents: &Contents) -> Result<(), StoreError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let Some(file) = self.files.get(place % 2) else {
            return Ok(());
        };
        let refused = |error| StoreError::Folder(file.clone(), error);
        let folder = file.parent().unwrap_or(file);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(refused)?;
        let octets = encode(jiff::Timestamp::now().as_second(), contents)
            .ok_or_else(|| refused(std::io::ErrorKind::FileTooLarge.into()))?;
        write_whole(file, &octets).map_err(refused)
    }
}

pub(super) fn encode(written: i64, contents: &Contents) -> Option<Vec<u8>> {
    let octets = usize::try_from(contents.tally.octets).ok()? + contents.records.len() * 8;
    let mut body = Vec::with_capacity(octets + 64);
    append(&mut body, &contents.tally.encode())?;
    for (key, value) in &contents.records {
        append(&mut body, key)?;
        append(&mut body, value)?;
    }
    if body.len() > LARGEST {
        return None;
    }
    sealed(written, &body)
}

/// A file with this body.
pub(super) fn sealed(written: i64, body: &[u8]) -> Option<Vec<u8>> {
    let mut octets = [MAGIC, &[VERSION]].concat();
    octets.extend_from_slice(&written.to_le_bytes());
    octets.extend_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
    octets.extend_from_slice(&lz4_flex::block::compress(body));
    let sum = blake3::hash(&octets);
    octets.extend_from_slice(sum.as_bytes());
    Some(octets)
}

fn append(body: &mut Vec<u8>, octets: &[u8]) -> Option<()> {
    body.extend_from_slice(&u32::try_from(octets.len()).ok()?.to_le_bytes());
    body.extend_from_slice(octets);
    Some(())
}

/// The export in these octets, if all of it is as it was written.
pub(super) fn decode(octets: &[u8]) -> Option<Export> {
    let (before, sum) = octets.split_at_checked(octets.len().checked_sub(CHECKSUM)?)?;
    if blake3::hash(before).as_bytes() != sum {
        return None;
    }
    let (&version, rest) = before.strip_prefix(MAGIC)?.split_first()?;
    if version != VERSION {
        return None;
    }
    let (written, rest) = rest.split_first_chunk()?;
    let (length, packed) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length > LARGEST {
        return None;
    }
    let body = lz4_flex::block::decompress(packed, length).ok()?;
    let mut rest = body.as_slice();
    let tally = Tally::decode(take(&mut rest)?)?;
    let mut records: Vec<Record> = Vec::new();
    while !rest.is_empty() {
        records.push((take(&mut rest)?.to_vec(), take(&mut rest)?.to_vec()));
    }
    let contents = Contents { tally, records };
    (Tally::of(tally.changes, &contents.records) == tally).then_some(Export {
        written: i64::from_le_bytes(*written),
        contents,
    })
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (octets, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contents(changes: u64, pairs: &[(&str, &str)]) -> Contents {
        let records: Vec<Record> = pairs
            .iter()
            .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        Contents {
            tally: Tally::of(changes, &records),
            records,
        }
    }

    #[test]
    fn an_export_cut_at_any_octet_or_with_any_bit_flipped_is_refused() {
        let export = contents(9, &[("a\0x", "Ana"), ("b\0y", "Besa"), ("c\0", "")]);
        let octets = encode(5, &export).unwrap();
        assert_eq!(decode(&octets).unwrap().contents, export);
        for end in 0..octets.len() {
            assert_eq!(decode(&octets[..end]), None, "cut at {end}");
        }
        for place in 0..octets.len() * 8 {
            let mut damaged = octets.clone();
            damaged[place / 8] ^= 1 << (place % 8);
            assert_eq!(decode(&damaged), None, "bit {place}");
        }
    }

    #[test]
    fn of_two_files_the_newer_whole_one_counts_whatever_became_of_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::of(folder.path());
        assert_eq!(exports.newest(), (None, 0));
        let (old, new) = (contents(1, &[("a", "1")]), contents(2, &[("a", "2")]));
        exports.write(0, &old).unwrap();
        assert_eq!(exports.newest().1, 1);
        exports.write(1, &new).unwrap();
        let file = folder.path().join("export/state-b");
        let whole = std::fs::read(&file).unwrap();
        for end in 0..=whole.len() {
            std::fs::write(&file, &whole[..end]).unwrap();
            let (newest, next) = exports.newest();
            let expected = if end == whole.len() { &new } else { &old };
            assert_eq!(newest.unwrap().contents, *expected, "cut at {end}");
            assert_eq!(
                next,
                usize::from(end != whole.len()),
                "the good one is not written over"
            );
        }
    }

    #[test]
    fn only_the_owner_reads_an_export() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        Exports::of(folder.path()).write(0, &contents(1, &[])).unwrap();
        let mode = |path: &str| {
            let data = std::fs::metadata(folder.path().join(path)).unwrap();
            data.permissions().mode() & 0o777
        };
        assert_eq!(mode("export/state-a"), 0o600);
        assert_eq!(mode("export"), 0o700);
    }

    proptest! {
        #[test]
        fn any_records_come_back_and_any_octets_are_no_panic(
            records in proptest::collection::btree_map(any::<Vec<u8>>(), any::<Vec<u8>>(), 0..20),
            noise: Vec<u8>,
        ) {
            let records: Vec<Record> = records.into_iter().collect();
            let export = Contents { tally: Tally::of(3, &records), records };
            prop_assert_eq!(decode(&encode(-1, &export).unwrap()).unwrap().contents, export);
            prop_assert_eq!(decode(&noise), None);
            // A right checksum over anything at all.
            let mut sealed = [MAGIC, &[VERSION], noise.as_slice()].concat();
            let sum = blake3::hash(&sealed);
            sealed.extend_from_slice(sum.as_bytes());
            let _ = decode(&sealed);
        }
    }
}
