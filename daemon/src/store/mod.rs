//! The state that must not be lost: records in named tables, opened once.
//!
//! A record carries the schema version of its table and a checksum, so that a damaged one is found when it is read.
//! Changes to any number of tables are one [`Changes`]: all of them or none, and acknowledged means on the disk. What lies
//! below is a [`Backend`]; the one on the disk is sled, the one in memory passes the same tests.

mod disk;
mod memory;
mod record;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use record::{Migration, Table};

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made or written.
    #[error("state folder {0}: {1}; make it writable for this user, or name another one with --state")]
    Folder(PathBuf, std::io::Error),
    /// Another process has it open.
    #[error(
        "state folder {0} is in use by another isigurtd; stop that one, or name another folder with --state"
    )]
    InUse(PathBuf),
    /// The database does not open.
    #[error("state database in {0} does not open: {1}; move the folder \"db\" in it aside to start afresh")]
    Open(PathBuf, sled::Error),
    /// Reading or writing failed.
    #[error("state database: {0}; check the disk")]
    Io(#[from] sled::Error),
    /// A record is damaged or from another version.
    #[error("state record {0:?} is damaged or of another version")]
    Record(String),
}

/// A key with its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// Octets by key, in the order of keys, kept somewhere.
pub trait Backend: Send + Sync + Debug {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// All keys that begin so, with their values, in order.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError>;
    /// Puts and (`None`) removes, all or nothing; kept when it returns.
    fn commit(&self, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), StoreError>;
}

/// Changes that happen together.
#[derive(Debug, Default)]
pub struct Changes {
    writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    unwritable: Option<String>,
}

impl Changes {
    /// Puts a record in the place of an older one with its key.
    pub fn put<T: Serialize>(&mut self, table: &Table<T>, key: &str, value: &T) -> &mut Self {
        match table.encode(value) {
            Some(octets) => self.writes.push((table.key(key), Some(octets))),
            None => self.unwritable = Some(table.place(key)),
        }
        self
    }

    /// Removes a record, if it is there.
    pub fn remove<T>(&mut self, table: &Table<T>, key: &str) -> &mut Self {
        self.writes.push((table.key(key), None));
        self
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.unwritable.is_none()
    }
}

/// The open state.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    folder: PathBuf,
}

impl Store {
    /// Opens the database in `folder`, which is made if it is missing.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            backend: Arc::new(disk::Disk::open(folder)?),
            folder: folder.to_owned(),
        })
    }

    /// A state that is gone with the process; `folder` is where files beside it belong.
    pub fn in_memory(folder: &Path) -> Self {
        Self {
            backend: Arc::new(memory::Memory::default()),
            folder: folder.to_owned(),
        }
    }

    /// The folder that the database lies in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The record with this key.
    pub fn get<T: DeserializeOwned>(&self, table: &Table<T>, key: &str) -> Result<Option<T>, StoreError> {
        let Some(octets) = self.backend.get(&table.key(key))? else {
            return Ok(None);
        };
        let record = table.decode(&octets);
        record
            .map(Some)
            .ok_or_else(|| StoreError::Record(table.place(key)))
    }

    /// All records of a table with their keys, in the order of keys.
    pub fn all<T: DeserializeOwned>(&self, table: &Table<T>) -> Result<Vec<(String, T)>, StoreError> {
        let records = self.backend.scan(&table.key(""))?.into_iter();
        records
            .map(|(key, octets)| {
                let key = table.own_key(&key);
                let record = table.decode(&octets);
                let record = record.ok_or_else(|| StoreError::Record(table.place(&key)))?;
                Ok((key, record))
            })
            .collect()
    }

    /// Makes changes, all of them or none; on return they are on the disk.
    pub fn commit(&self, changes: Changes) -> Result<(), StoreError> {
        match changes.unwritable {
            Some(place) => Err(StoreError::Record(place)),
            None if changes.writes.is_empty() => Ok(()),
            None => self.backend.commit(changes.writes),
        }
    }

    /// Puts one record; on return it is on the disk.
    pub fn put<T: Serialize>(&self, table: &Table<T>, key: &str, value: &T) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.put(table, key, value);
        self.commit(changes)
    }
}

/// Writes a file whole or not at all, for its owner alone.
pub fn write_whole(file: &Path, octets: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut next = file.as_os_str().to_owned();
    next.push(".next");
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    out.write_all(octets)?;
    out.sync_all()?;
    std::fs::rename(&next, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Table<String> = Table::new("names", &[]);
    const AGES: Table<u8> = Table::new("names2", &[]);

    /// What every backend must do.
    fn behaves(store: &Store) {
        assert_eq!(store.get(&NAMES, "a").unwrap(), None);
        let mut changes = Changes::default();
        changes
            .put(&NAMES, "b", &"Besa".to_owned())
            .put(&NAMES, "a", &"Ana".to_owned())
            .put(&AGES, "a", &7);
        store.commit(changes).unwrap();
        assert_eq!(store.get(&AGES, "a").unwrap(), Some(7));
        let all = [("a", "Ana"), ("b", "Besa")].map(|(key, name)| (key.to_owned(), name.to_owned()));
        assert_eq!(store.all(&NAMES).unwrap(), all, "not those of names2");
        let mut changes = Changes::default();
        changes
            .remove(&NAMES, "a")
            .remove(&NAMES, "missing")
            .put(&NAMES, "b", &"Blerta".to_owned());
        store.commit(changes).unwrap();
        assert_eq!(
            store.all(&NAMES).unwrap(),
            [("b".to_owned(), "Blerta".to_owned())]
        );
        store.put(&NAMES, "", &"no key".to_owned()).unwrap();
        assert_eq!(store.get(&NAMES, "").unwrap().as_deref(), Some("no key"));
    }

    #[test]
    fn every_backend_behaves() {
        let folder = tempfile::tempdir().unwrap();
        behaves(&Store::in_memory(folder.path()));
        behaves(&Store::open(folder.path()).unwrap());
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.put(&NAMES, "a", &"Ana".to_owned()).unwrap();
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.get(&NAMES, "a").unwrap().as_deref(), Some("Ana"));
    }

    #[test]
    fn a_second_opener_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let _open = Store::open(folder.path()).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(StoreError::InUse(_))));
    }

    #[test]
    fn a_folder_that_is_a_file_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"x").unwrap();
        let error = Store::open(&file).unwrap_err().to_string();
        assert!(error.contains("--state"), "{error}");
    }
}
