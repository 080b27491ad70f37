//! The one place that writes: a backend with its tally and audit trail, one change after the other.
//!
//! Every batch carries the tally, so that the next start can tell whether all of it is there. After an error nothing is
//! taken for granted: the next change counts everything again first. A change that changes nothing is not written.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use super::audit::{self, Trail};
use super::journal::Journal;
use super::tally::{self, Tally};
use super::{Backend, Changes, Record, StoreError};

/// The records at one moment, with what they add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) tally: Tally,
    /// All but the tally, in the order of keys.
    pub(super) records: Vec<Record>,
}

/// What a backend holds: the tally as it was written, if it reads, and all other records.
pub(super) fn read(backend: &dyn Backend) -> Result<(Option<Vec<u8>>, Vec<Record>), StoreError> {
    let mut records = backend.scan(b"")?;
    let place = records.iter().position(|(key, _)| key == tally::KEY);
    let tally = place.map(|place| records.remove(place).1);
    Ok((tally, records))
}

/// The books of an open state.
#[derive(Debug)]
pub(super) struct Ledger {
    /// `None` after a rewrite that could not open what it wrote.
    backend: RwLock<Option<Box<dyn Backend>>>,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    tally: Tally,
    trail: Trail,
    /// Whether the last change went well, so that the two above are what the backend holds.
    sure: bool,
    journal: Option<Journal>,
}

impl Ledger {
    /// Goes on with a backend that holds this.
    pub(super) fn new(backend: Box<dyn Backend>, contents: &Contents, journal: Option<Journal>) -> Self {
        Self {
            backend: RwLock::new(Some(backend)),
            book: Mutex::new(Book {
                tally: contents.tally,
                trail: Trail::of(&contents.records),
                sure: true,
                journal,
            }),
        }
    }

    /// Two exports have the first `changes` changes: the journal need not.
    pub(super) fn exported(&self, changes: u64) {
        if let Some(journal) = &mut self.book().journal
            && let Err(error) = journal.forget(changes)
        {
            tracing::warn!(%error, "the journal of the state grows");
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from the backend.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&dyn Backend) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let backend = self.backend.read().unwrap_or_else(PoisonError::into_inner);
        work(backend.as_deref().ok_or(StoreError::Gone)?)
    }

    /// Makes changes, all of them or none; whether there was anything to change.
    pub(super) fn commit(&self, changes: Changes) -> Result<bool, StoreError> {
        if let Some(place) = changes.unwritable {
            return Err(StoreError::Record(place));
        }
        if changes.writes.is_empty() && changes.entries.is_empty() {
            return Ok(false);
        }
        let mut book = self.book();
        self.with(|backend| {
            let sure = std::mem::replace(&mut book.sure, false);
            if !sure {
                book.count_again(backend)?;
            }
            let changed = book.write(backend, changes, sure)?;
            book.sure = true;
            Ok(changed)
        })
    }

    /// Everything, at one moment between two changes.
    pub(super) fn contents(&self) -> Result<Contents, StoreError> {
        let mut book = self.book();
        self.with(|backend| book.contents(backend))
    }

    /// Changes so far.
    pub(super) fn changes(&self) -> u64 {
        self.book().tally.changes
    }

    /// Numbers of the newest audit entries before this one.
    pub(super) fn newest_entries(&self, before: Option<u64>, limit: usize) -> Vec<u64> {
        self.book().trail.newest(before, limit)
    }

    /// Puts another backend with the same records in the place of this one while nothing is written: `ahead` makes it
    /// ready, `swap` closes the old one, which it is given, and opens the new one.
    pub(super) fn replace(
        &self,
        ahead: impl FnOnce(&Contents) -> Result<(), StoreError>,
        swap: impl FnOnce(Box<dyn Backend>) -> Result<Box<dyn Backend>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut book = self.book();
        let contents = self.with(|backend| book.contents(backend))?;
        ahead(&contents)?;
        let mut backend = self.backend.write().unwrap_or_else(PoisonError::into_inner);
        *backend = Some(swap(backend.take().ok_or(StoreError::Gone)?)?);
        Ok(())
    }
}

impl Book {
    fn count_again(&mut self, backend: &dyn Backend) -> Result<(), StoreError> {
        let (_, records) = read(backend)?;
        self.tally = Tally::of(self.tally.changes, &records);
        self.trail = Trail::of(&records);
        Ok(())
    }

    fn contents(&mut self, backend: &dyn Backend) -> Result<Contents, StoreError> {
        let (_, records) = read(backend)?;
        let tally = Tally::of(self.tally.changes, &records);
        if self.sure && tally != self.tally {
            // Found before it could be exported over a good copy.
            return Err(StoreError::Damaged {
                place: "(all)".to_owned(),
                exported: true,
            });
        }
        Ok(Contents { tally, records })
    }

    /// What is there already is left out, where it is `sure` that it is on the disk.
    fn write(&mut self, backend: &dyn Backend, changes: Changes, sure: bool) -> Result<bool, StoreError> {
        // A key that is written twice counts once, as it is last.
        let mut writes: BTreeMap<Vec<u8>, Option<Vec<u8>>> = changes.writes.into_iter().collect();
        for entry in changes.entries {
            let octets = audit::TABLE
                .encode(&entry.fit_to_keep())
                .ok_or_else(|| StoreError::Record(audit::TABLE.place("")))?;
            let (key, gone) = self.trail.append(octets.len());
            writes.insert(key, Some(octets));
            writes.extend(gone.into_iter().map(|key| (key, None)));
        }
        let mut tally = self.tally;
        let mut batch = Vec::with_capacity(writes.len() + 1);
        for (key, new) in writes {
            let old = backend.get(&key)?;
            if sure && old == new {
                continue;
            }
            if let Some(old) = old {
                tally.subtract(&key, &old);
            }
            if let Some(new) = &new {
                tally.add(&key, new);
            }
            batch.push((key, new));
        }
        if batch.is_empty() {
            return Ok(false);
        }
        tally.changes += 1;
        batch.push((tally::KEY.to_vec(), Some(tally.encode())));
        let end = self.journal.as_ref().map(Journal::end);
        if let Some(journal) = &mut self.journal {
            journal.append(&batch)?;
        }
        if let Err(error) = backend.commit(batch) {
            if let (Some(journal), Some(end)) = (&mut self.journal, end) {
                journal.take_back(end);
            }
            return Err(error);
        }
        self.tally = tally;
        Ok(true)
    }
}
