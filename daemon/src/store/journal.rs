//! Changes since the last exports, one after the other, in a file that is only appended to.
//!
//! sled may lose what it acknowledged, or not open any more, after a kill at a bad moment. So every change is on the disk here
//! before sled is given it: whatever is left of the database or of an export, the changes behind it are made again. Format:
//! magic and version (8 octets), then entries: length of the body (4 octets), checksum of the body (8), body (postcard). A
//! torn end is cut off.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::ledger::Contents;
use super::tally::{self, Tally};
use super::{StoreError, sync_folder, write_whole};

pub(super) const MAGIC: &[u8; 8] = b"ISGTJNL\x01";
/// Length and checksum in front of a body.
const HEAD: usize = 12;

/// Puts and (`None`) removes that happen together; the tally is one of them.
pub(super) type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) tally: Tally,
    pub(super) batch: Batch,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Journal {
    /// Opens the journal of a state folder, and gives what stands in it.
    pub(super) fn open(folder: &Path) -> Result<(Self, Vec<Entry>), StoreError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = folder.join("db.journal");
        let refused = |error| StoreError::Folder(path.clone(), error);
        let mut file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(refused)?;
        let mut octets = Vec::new();
        file.read_to_end(&mut octets).map_err(refused)?;
        let (entries, length) = decode(&octets);
        if length == 0 {
            file.set_len(0).map_err(refused)?;
            file.seek(SeekFrom::Start(0)).map_err(refused)?;
            file.write_all(MAGIC).map_err(refused)?;
        } else if length < octets.len() {
            file.set_len(length as u64).map_err(refused)?;
        }
        file.sync_all().map_err(refused)?;
        sync_folder(folder).map_err(refused)?;
        let length = length.max(MAGIC.len()) as u64;
        Ok((Self { path, file, length }, entries))
    }

    /// Has a change on the disk.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let written = encode(batch).and_then(|octets| {
            self.file.seek(SeekFrom::Start(self.length))?;
            self.file.write_all(&octets)?;
            self.file.sync_data()?;
            Ok(octets.len() as u64)
        });
        match written {
            Ok(length) => {
                self.length += length;
                Ok(())
            }
            Err(error) => {
                let _ = self.file.set_len(self.length); // a torn end would be cut off anyway
                Err(StoreError::Folder(self.path.clone(), error))
            }
        }
    }

    /// Where the next entry goes: what to give to [`Journal::take_back`].
    pub(super) fn end(&self) -> u64 {
        self.length
    }

    /// Takes back what was appended behind `end`, because the change was not made.
    pub(super) fn take_back(&mut self, end: u64) {
        if self
            .file
            .set_len(end)
            .and_then(|()| self.file.sync_data())
            .is_ok()
        {
            self.length = end;
        }
    }

    /// Lets go of the first `changes` changes, which two exports have.
    pub(super) fn forget(&mut self, changes: u64) -> Result<(), StoreError> {
        let refused = |error| StoreError::Folder(self.path.clone(), error);
        let octets = std::fs::read(&self.path).map_err(refused)?;
        let (entries, _) = decode(&octets);
        let mut left = MAGIC.to_vec();
        for entry in entries.iter().filter(|entry| entry.tally.changes > changes) {
            left.extend(encode(&entry.batch).map_err(refused)?);
        }
        write_whole(&self.path, &left).map_err(refused)?;
        self.file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(refused)?;
        self.length = left.len() as u64;
        Ok(())
    }
}

pub(super) fn encode(batch: &Batch) -> std::io::Result<Vec<u8>> {
    entry(&postcard::to_stdvec(batch).map_err(|_| std::io::ErrorKind::InvalidData)?)
}

/// An entry with this body.
pub(super) fn entry(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let length = u32::try_from(body.len()).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
    let mut octets = length.to_le_bytes().to_vec();
    octets.extend_from_slice(blake3::hash(body).as_bytes().get(..8).unwrap_or_default());
    octets.extend_from_slice(body);
    Ok(octets)
}

/// Entries up to the first that is torn, and how many octets they take with the magic; 0 where it is no journal.
pub(super) fn decode(octets: &[u8]) -> (Vec<Entry>, usize) {
    let mut entries = Vec::new();
    if !octets.starts_with(MAGIC) {
        return (entries, 0);
    }
    let mut at = MAGIC.len();
    while let Some((entry, length)) = octets.get(at..).and_then(one) {
        entries.push(entry);
        at += length;
    }
    (entries, at)
}

fn one(octets: &[u8]) -> Option<(Entry, usize)> {
    let length = u32::from_le_bytes(*octets.first_chunk::<4>()?) as usize;
    let body = octets.get(HEAD..HEAD.checked_add(length)?)?;
    if blake3::hash(body).as_bytes().get(..8)? != octets.get(4..HEAD)? {
        return None;
    }
    let batch: Batch = postcard::from_bytes(body).ok()?;
    let (_, tally) = batch.iter().find(|(key, _)| key == tally::KEY)?;
    let tally = Tally::decode(tally.as_ref()?)?;
    Some((Entry { tally, batch }, HEAD + length))
}

/// Makes the changes again that follow on `contents`, and gives those that were made. Ends at the first that does not fit.
pub(super) fn replay(contents: &mut Contents, entries: Vec<Entry>) -> Vec<Entry> {
    let mut records: std::collections::BTreeMap<Vec<u8>, Vec<u8>> =
        std::mem::take(&mut contents.records).into_iter().collect();
    let mut made: Vec<Entry> = Vec::new();
    for entry in entries {
        if entry.tally.changes != contents.tally.changes + 1 {
            continue; // older, or behind a gap
        }
        let changes = || entry.batch.iter().filter(|(key, _)| key != tally::KEY);
        let mut tally = contents.tally;
        tally.changes += 1;
        for (key, new) in changes() {
            if let Some(old) = records.get(key) {
                tally.subtract(key, old);
            }
            if let Some(new) = new {
                tally.add(key, new);
            }
        }
        if tally != entry.tally {
            break; // of another history
        }
        for (key, new) in changes() {
            match new {
                Some(new) => records.insert(key.clone(), new.clone()),
                None => records.remove(key),
            };
        }
        contents.tally = tally;
        made.push(entry);
    }
    contents.records = records.into_iter().collect();
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(changes: u64, records: &[(&str, &str)], now: &[(&str, &str)]) -> Batch {
        let owned = |records: &[(&str, &str)]| -> Vec<(Vec<u8>, Vec<u8>)> {
            records
                .iter()
                .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
                .collect()
        };
        let tally = Tally::of(changes, &owned(now));
        let mut batch: Batch = owned(records)
            .into_iter()
            .map(|(key, value)| (key, Some(value)))
            .collect();
        batch.push((tally::KEY.to_vec(), Some(tally.encode())));
        batch
    }

    #[test]
    fn changes_are_made_again_from_wherever_what_is_left_ends_and_a_torn_end_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, entries) = Journal::open(folder.path()).unwrap();
        assert!(entries.is_empty());
        journal.append(&batch(1, &[("a", "1")], &[("a", "1")])).unwrap();
        journal
            .append(&batch(2, &[("b", "2")], &[("a", "1"), ("b", "2")]))
            .unwrap();
        let end = journal.end();
        journal.append(&batch(3, &[("x", "9")], &[("x", "9")])).unwrap();
        journal.take_back(end);
        journal
            .append(&batch(3, &[("a", "3")], &[("a", "3"), ("b", "2")]))
            .unwrap();
        drop(journal);
        let path = folder.path().join("db.journal");
        let octets = std::fs::read(&path).unwrap();
        for from in 0..3 {
            let mut contents = Contents {
                tally: Tally::default(),
                records: Vec::new(),
            };
            let (_, entries) = Journal::open(folder.path()).unwrap();
            assert_eq!(replay(&mut contents, entries[..from].to_vec()).len(), from);
            assert_eq!(replay(&mut contents, entries).len(), 3 - from, "from {from}");
            assert_eq!(
                contents.records,
                [(b"a".to_vec(), b"3".to_vec()), (b"b".to_vec(), b"2".to_vec())]
            );
        }
        for cut in 0..octets.len() {
            std::fs::write(&path, &octets[..cut]).unwrap();
            let (mut journal, entries) = Journal::open(folder.path()).unwrap();
            assert!(entries.len() < 3, "cut at {cut}");
            journal.append(&batch(9, &[], &[])).unwrap();
            drop(journal);
            assert_eq!(
                Journal::open(folder.path()).unwrap().1.len(),
                entries.len() + 1,
                "cut at {cut}"
            );
        }
        std::fs::write(&path, &octets).unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        journal.forget(2).unwrap();
        journal.append(&batch(4, &[], &[("a", "3"), ("b", "2")])).unwrap();
        drop(journal);
        let numbers: Vec<u64> = Journal::open(folder.path())
            .unwrap()
            .1
            .iter()
            .map(|entry| entry.tally.changes)
            .collect();
        assert_eq!(numbers, [3, 4]);
        // What does not follow on, or is of another history, is not made.
        let mut contents = Contents {
            tally: Tally::default(),
            records: Vec::new(),
        };
        assert!(replay(&mut contents, Journal::open(folder.path()).unwrap().1).is_empty());
    }
}
