//! The state on the disk: one sled tree, so that a batch over several tables is one atomic change.
//!
//! sled panics where it should say no, most of all on damaged files. No panic of it leaves this module, and none of its
//! files is ever removed here: what to do with a database that does not open is decided in `open.rs`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Backend, Record, StoreError};

/// The tree that all records lie in.
const RECORDS: &str = "records.v2";
/// How long a lock may outlive its holder: threads of a database that was just closed.
const LOCK_WAIT: Duration = Duration::from_secs(3);
/// A change of more records than these leaves megabytes behind that sled has replaced.
const MANY: usize = 256;
/// Looks a record until it has freed them.
const LOOKS: usize = 4;

/// An open database.
#[derive(Debug)]
pub(super) struct Disk {
    db: sled::Db,
    records: sled::Tree,
    place: PathBuf,
}

impl Disk {
    /// Opens the database at `place`, which is made if it is missing. The caller holds the lock of the state folder.
    pub(super) fn open(place: &Path) -> Result<Self, StoreError> {
        let since = Instant::now();
        loop {
            match Self::try_open(place) {
                Err(StoreError::InUse(_)) if since.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                outcome => return outcome,
            }
        }
    }

    fn try_open(place: &Path) -> Result<Self, StoreError> {
        let opened = caught(|| {
            let db = sled::Config::new()
                .path(place)
                .mode(sled::Mode::LowSpace)
                .cache_capacity(1 << 20)
                .flush_every_ms(None)
                .open()?;
            let records = db.open_tree(RECORDS)?;
            Ok((db, records))
        });
        match opened {
            Ok((db, records)) => {
                close_to_others(place);
                Ok(Self {
                    db,
                    records,
                    place: place.to_owned(),
                })
            }
            Err(StoreError::Io(sled::Error::Io(io))) if io.to_string().contains("could not acquire lock") => {
                Err(StoreError::InUse(place.to_owned()))
            }
            Err(StoreError::Io(error)) => Err(StoreError::Open(place.to_owned(), error)),
            Err(error) => Err(error),
        }
    }

    /// Has sled free what it has replaced, 4 KB a record: it does so by and by, a little at every hundredth look.
    fn let_go(&self, replaced: usize) -> Result<(), sled::Error> {
        for _ in 0..replaced * LOOKS {
            self.records.get(b"")?;
        }
        isigurt_memory::give_back();
        Ok(())
    }

    /// What can still be read of a damaged database: from either end up to the damage.
    pub(super) fn salvage(&self) -> Vec<Record> {
        let mut found = BTreeMap::new();
        for from_the_end in [false, true] {
            let _ = caught(|| {
                let mut records = self.records.iter();
                while let Some(record) = if from_the_end {
                    records.next_back()
                } else {
                    records.next()
                } {
                    let (key, value) = record?;
                    found.insert(key.to_vec(), value.to_vec());
                }
                Ok(())
            });
        }
        found.into_iter().collect()
    }

    /// One record of another tree, as earlier versions wrote it.
    pub(super) fn of_tree(&self, tree: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        caught(|| {
            if !self.db.tree_names().iter().any(|name| name == tree.as_bytes()) {
                return Ok(None);
            }
            let value = self.db.open_tree(tree)?.get(key)?;
            Ok(value.map(|octets| octets.to_vec()))
        })
    }

    /// Lets go of other trees; whether there was one.
    pub(super) fn drop_trees(&self, trees: &[&str]) -> Result<bool, StoreError> {
        caught(|| {
            let mut dropped = false;
            for tree in trees {
                dropped |= self.db.drop_tree(tree)?;
            }
            if dropped {
                self.db.flush()?;
            }
            Ok(dropped)
        })
    }
}

impl Backend for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        caught(|| Ok(self.records.get(key)?.map(|octets| octets.to_vec())))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError> {
        caught(|| {
            let found = self.records.scan_prefix(prefix);
            found
                .map(|record| record.map(|(key, value)| (key.to_vec(), value.to_vec())))
                .collect()
        })
    }

    fn commit(&self, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        let many = changes.len();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        caught(|| {
            self.records.apply_batch(batch)?;
            self.records.flush()?;
            if many > MANY {
                self.let_go(many)?;
            }
            Ok(())
        })
    }

    fn size(&self) -> u64 {
        size_of(&self.place)
    }
}

/// Passwords' hashes, keys and tokens lie in there: sled makes its files for everybody to read.
fn close_to_others(place: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let closed = std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o700));
    if let Err(error) = closed {
        tracing::warn!(%error, folder = %place.display(), "others may read the state; close the folder to them");
    }
}

/// Octets of all files below a folder.
fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size_of(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Whether there is no room on the disk.
pub(super) fn is_full(error: &StoreError) -> bool {
    let kind = match error {
        StoreError::Open(_, sled::Error::Io(error))
        | StoreError::Io(sled::Error::Io(error))
        | StoreError::Folder(_, error) => error.kind(),
        _ => return false,
    };
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Whether an error means that the files are damaged. Where the machine lacks something (room, rights), they are left
/// as they are.
pub(super) fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Open(_, error) | StoreError::Io(error) => match error {
            sled::Error::Io(io) => !matches!(
                io.kind(),
                ErrorKind::PermissionDenied
                    | ErrorKind::StorageFull
                    | ErrorKind::QuotaExceeded
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::OutOfMemory
            ),
            _ => true,
        },
        StoreError::Stopped(_) | StoreError::Damaged { .. } => true,
        StoreError::Folder(..) | StoreError::InUse(_) | StoreError::Record(_) | StoreError::Gone => false,
    }
}

/// What is wrong with a database, without advice for other cases.
pub(super) fn plainly(error: &StoreError) -> String {
    match error {
        StoreError::Open(_, error) => format!("it does not open: {error}"),
        StoreError::Io(error) => format!("it does not read: {error}"),
        StoreError::Stopped(said) => format!("sled gave up: {said}"),
        error => error.to_string(),
    }
}

/// Does it, and makes an error of a panic.
fn caught<T>(work: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(StoreError::Io),
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Err(StoreError::Stopped(said.unwrap_or("panic").to_owned()))
        }
    }
}
