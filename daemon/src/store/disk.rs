//! The state on the disk: one sled tree, so that a batch over several tables is one atomic change.

use std::path::Path;

use super::{Backend, Record, StoreError};

/// The open database.
#[derive(Debug)]
pub(super) struct Disk {
    records: sled::Tree,
}

impl Disk {
    /// Opens the database in `folder`, which is made if it is missing.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let refused = |error| StoreError::Folder(folder.to_owned(), error);
        std::fs::create_dir_all(folder).map_err(refused)?;
        // sled reports a folder that cannot be written only as a panic-prone read; try it plainly first.
        let probe = folder.join(".writable");
        std::fs::write(&probe, b"")
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(refused)?;
        let opened = sled::Config::new()
            .path(folder.join("db"))
            .mode(sled::Mode::LowSpace)
            .cache_capacity(1 << 20)
            .flush_every_ms(None)
            .open();
        let db = opened.map_err(|error| match error {
            sled::Error::Io(ref io)
                if io.kind() == std::io::ErrorKind::WouldBlock || io.to_string().contains("lock") =>
            {
                StoreError::InUse(folder.to_owned())
            }
            error => StoreError::Open(folder.to_owned(), error),
        })?;
        Ok(Self {
            records: db.open_tree("records.v2")?,
        })
    }
}

impl Backend for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.records.get(key)?.map(|octets| octets.to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError> {
        let found = self.records.scan_prefix(prefix);
        found
            .map(|record| {
                let (key, value) = record?;
                Ok((key.to_vec(), value.to_vec()))
            })
            .collect()
    }

    fn commit(&self, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.records.apply_batch(batch)?;
        self.records.flush()?;
        Ok(())
    }
}
