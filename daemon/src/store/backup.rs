//! A backup is an export: all records in one file, checked as a whole. Taking one back is done at a start, before anything is
//! opened: what is there is set aside, never removed.
//!
//! ```text
//! restore ─▶ checked ─▶ restore.next ─▶ next start: db, journal, exports ─▶ before-restore-TIME/ ; restore.next ─▶ export/state-a
//! ```
//!
//! The names change one after the other, and each step can be done again: a power cut between them is no loss.

use std::path::{Path, PathBuf};

use super::audit::Author;
use super::export::{self, Exports};
use super::{Changes, Store, StoreError, sync_folder, write_whole};

/// Why a backup is not taken back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is none, or damaged.
    #[error("this is no backup of isigurtd, or it is damaged; take another one")]
    Damaged,
    /// The state folder cannot be written.
    #[error("state folder {0}: {1}; make it writable for this user, or make room")]
    Folder(PathBuf, std::io::Error),
}

/// A backup that waits for the next start.
fn staged(folder: &Path) -> PathBuf {
    folder.join("restore.next")
}

impl Store {
    /// Everything that is kept, as one file. That it was taken is part of it, and of the audit trail.
    pub fn backup(&self, author: &Author) -> Result<Vec<u8>, StoreError> {
        let mut changes = Changes::default();
        changes.audit(author.entry("backup.take", "state", None, None));
        self.commit(changes)?;
        let contents = self.open.ledger.contents()?;
        export::encode(jiff::Timestamp::now().as_second(), &contents).ok_or_else(|| {
            let large = std::io::ErrorKind::FileTooLarge.into();
            StoreError::Folder(self.folder().to_owned(), large)
        })
    }
}

/// The newest backup that a daemon that does not run has left: its last export.
pub fn last_export(folder: &Path) -> Option<Vec<u8>> {
    let (newest, _) = Exports::of(folder).newest();
    let newest = newest?;
    export::encode(newest.written, &newest.contents)
}

/// Puts a backup beside the state, to be taken back at the next start.
pub fn stage(folder: &Path, octets: &[u8]) -> Result<(), RestoreError> {
    if export::decode(octets).is_none() {
        return Err(RestoreError::Damaged);
    }
    let refused = |error| RestoreError::Folder(folder.to_owned(), error);
    std::fs::create_dir_all(folder).map_err(refused)?;
    write_whole(&staged(folder), octets).map_err(refused)
}

/// Takes back what waits, if there is anything; gives the folder that holds what was there before. The state must be locked.
pub(super) fn take_back(folder: &Path) -> Result<Option<PathBuf>, StoreError> {
    let refused = |error| StoreError::Folder(folder.to_owned(), error);
    let staged = staged(folder);
    let octets = match std::fs::read(&staged) {
        Ok(octets) => octets,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(error)),
    };
    if export::decode(&octets).is_none() {
        tracing::error!(file = %staged.display(), "the backup that waits is damaged; the state stays as it is");
        std::fs::rename(&staged, folder.join("restore.damaged")).map_err(refused)?;
        return Ok(None);
    }
    let time = jiff::Timestamp::now().as_second();
    let aside = folder.join(format!("before-restore-{time}"));
    std::fs::create_dir_all(&aside).map_err(refused)?;
    for name in ["db", "db.journal", "export"] {
        match std::fs::rename(folder.join(name), aside.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(refused(error)),
            _ => {}
        }
    }
    let export = folder.join("export");
    std::fs::create_dir_all(&export).map_err(refused)?;
    std::fs::rename(&staged, export.join("state-a")).map_err(refused)?;
    sync_folder(&export).map_err(refused)?;
    sync_folder(folder).map_err(refused)?;
    Ok(Some(aside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Table;

    const NOTES: Table<String> = Table::new("note", &[]);

    #[test]
    fn a_backup_taken_back_is_what_was_there_and_what_was_there_since_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.put(&NOTES, "a", &"first".to_owned()).unwrap();
        let backup = store.backup(&Author::console()).unwrap();
        store.put(&NOTES, "a", &"second".to_owned()).unwrap();
        store.put(&NOTES, "b", &"later".to_owned()).unwrap();
        drop(store);
        stage(folder.path(), &backup).unwrap();
        for _ in 0..2 {
            let store = Store::open(folder.path()).unwrap();
            assert_eq!(store.get(&NOTES, "a").unwrap().as_deref(), Some("first"));
            assert_eq!(store.get::<String>(&NOTES, "b").unwrap(), None);
            assert_eq!(store.audit(None, 1).unwrap()[0].1.action, "backup.take");
            assert_eq!(store.problems(), Vec::<String>::new(), "nothing is wrong");
        }
        let names = std::fs::read_dir(folder.path()).unwrap();
        let aside = names
            .filter_map(Result::ok)
            .find(|entry| entry.file_name().to_string_lossy().starts_with("before-restore-"));
        assert!(aside.unwrap().path().join("db").exists());
    }

    #[test]
    fn a_backup_goes_into_an_empty_folder_too() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(from.path()).unwrap();
        store.put(&NOTES, "a", &"first".to_owned()).unwrap();
        let backup = store.backup(&Author::console()).unwrap();
        stage(to.path(), &backup).unwrap();
        let other = Store::open(to.path()).unwrap();
        assert_eq!(other.get(&NOTES, "a").unwrap().as_deref(), Some("first"));
        drop(store);
        assert_eq!(
            last_export(from.path()).map(|octets| octets.is_empty()),
            Some(false)
        );
    }

    #[test]
    fn what_is_no_backup_or_damaged_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.put(&NOTES, "a", &"first".to_owned()).unwrap();
        let backup = store.backup(&Author::console()).unwrap();
        drop(store);
        assert!(matches!(
            stage(folder.path(), b"nonsense"),
            Err(RestoreError::Damaged)
        ));
        for place in (0..backup.len()).step_by(7) {
            let mut damaged = backup.clone();
            damaged[place] ^= 1;
            assert!(
                matches!(stage(folder.path(), &damaged), Err(RestoreError::Damaged)),
                "{place}"
            );
        }
        // Damaged after it was staged.
        std::fs::write(staged(folder.path()), &backup[..backup.len() / 2]).unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.get(&NOTES, "a").unwrap().as_deref(), Some("first"));
    }
}
