//! The state that must not be lost: records in named tables, opened once.
//!
//! A record carries the schema version of its table and a checksum, so that a damaged one is found when it is read.
//! Changes to any number of tables are one [`Changes`]: all of them or none, and acknowledged means on the disk; an audit
//! entry ([`audit`]) is part of the change that it tells of. What lies below is a [`Backend`]; the one on the disk is sled,
//! the one in memory passes the same tests.
//!
//! ```text
//! Store ─▶ ledger (one change at a time, tally, audit trail) ─▶ disk | memory
//!   └────▶ exporter (a thread) ─▶ export/state-a, state-b           ▲
//!                                      └──── open (when it is damaged)
//! ```
//!
//! sled is beta software, so nothing is taken from it on trust: `tally.rs` finds what it lost, `export.rs` has it, and
//! `open.rs` puts it back. What that cost is said in [`Store::problems`]. Nothing damaged is ever removed.

pub mod audit;
mod backup;
mod disk;
mod earlier;
mod export;
mod exporter;
mod journal;
mod ledger;
mod memory;
mod open;
#[doc(hidden)]
pub mod outside;
mod record;
mod reserve;
mod tally;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::Flock;
use serde::Serialize;
use serde::de::DeserializeOwned;

use export::Exports;
use exporter::{Exporter, Pace};
use ledger::Ledger;

pub use backup::{RestoreError, last_export, stage};
pub use record::{Migration, Table};

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made or written.
    #[error(
        "state folder {0}: {1}; make it writable for this user, make room, or name another one with --state"
    )]
    Folder(PathBuf, std::io::Error),
    /// Another process has it open.
    #[error(
        "state folder {0} is in use by another isigurtd; stop that one, or name another folder with --state"
    )]
    InUse(PathBuf),
    /// The database does not open, for a reason that lies outside its files.
    #[error("state database {0} does not open: {1}; check rights and room on the disk")]
    Open(PathBuf, sled::Error),
    /// Reading or writing failed.
    #[error("state database: {0}; check the disk, then restart isigurtd")]
    Io(#[from] sled::Error),
    /// The database gave up.
    #[error("state database stopped: {0}; restart isigurtd, which checks it")]
    Stopped(String),
    /// The database was closed by an earlier error.
    #[error("state database is closed after an earlier error; restart isigurtd, which checks it")]
    Gone,
    /// A record is from another version.
    #[error("state record {0:?} is of another version of isigurtd; run the newest version")]
    Record(String),
    /// A record is not as it was written.
    #[error("state record {place:?} is damaged; {}", after_damage(*exported))]
    Damaged {
        /// Table and key.
        place: String,
        /// Whether the newest export has it.
        exported: bool,
    },
}

fn after_damage(exported: bool) -> &'static str {
    if exported {
        "restart isigurtd, which takes the state back from its last export"
    } else {
        "no export has it: set it anew"
    }
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
    /// Octets that it takes on the disk.
    fn size(&self) -> u64 {
        0
    }
}

/// Changes that happen together.
#[derive(Debug, Default)]
pub struct Changes {
    writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    entries: Vec<audit::Entry>,
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

    /// Notes in the audit trail what these changes are.
    pub fn audit(&mut self, entry: audit::Entry) -> &mut Self {
        self.entries.push(entry);
        self
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.entries.is_empty() && self.unwritable.is_none()
    }
}

/// The open state. Clones share it; the last one to go writes an export and closes it.
#[derive(Debug, Clone)]
pub struct Store {
    open: Arc<Open>,
}

/// Fields go in this order: the last export, the database, the lock.
#[derive(Debug)]
struct Open {
    exporter: Option<Exporter>,
    ledger: Arc<Ledger>,
    exports: Option<Exports>,
    recovered: Option<String>,
    folder: PathBuf,
    settings: Settings,
    _lock: Option<Flock<std::fs::File>>,
}

/// What only tests set otherwise.
#[derive(Debug, Clone, Copy, Default)]
struct Settings {
    pace: Pace,
    /// Octets of files above which a database is rewritten.
    rewrite_above: Option<u64>,
}

impl Store {
    /// Opens the database in `folder`, which is made if it is missing. A damaged one is set aside and its last export
    /// taken: [`Store::recovered`] then says so.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_with(folder, Settings::default())
    }

    fn open_with(folder: &Path, settings: Settings) -> Result<Self, StoreError> {
        let opened = match open::open(folder, settings.rewrite_above) {
            Err(error) if disk::is_full(&error) && reserve::give_up(folder) => {
                tracing::warn!(%error, "the disk is full; the state is opened with the room that was kept for this");
                open::open(folder, settings.rewrite_above)?
            }
            outcome => outcome?,
        };
        reserve::keep(folder);
        let ledger = Arc::new(Ledger::new(
            Box::new(opened.disk),
            &opened.contents,
            Some(opened.journal),
        ));
        let (next, exported) = opened.turn;
        let exporter = Exporter::start(
            ledger.clone(),
            opened.exports.clone(),
            next,
            exported,
            settings.pace,
        )
        .map_err(|error| StoreError::Folder(folder.to_owned(), error))?;
        if opened.contents.tally.changes != exported {
            exporter.changed(); // the last run ended before it could
        }
        Ok(Self {
            open: Arc::new(Open {
                exporter: Some(exporter),
                ledger,
                exports: Some(opened.exports),
                recovered: opened.recovered,
                folder: folder.to_owned(),
                settings,
                _lock: Some(opened.lock),
            }),
        })
    }

    /// A state that is gone with the process; `folder` is where files beside it belong.
    pub fn in_memory(folder: &Path) -> Self {
        let nothing = ledger::Contents {
            tally: tally::Tally::default(),
            records: Vec::new(),
        };
        let ledger = Ledger::new(Box::new(memory::Memory::default()), &nothing, None);
        Self {
            open: Arc::new(Open {
                exporter: None,
                ledger: Arc::new(ledger),
                exports: None,
                recovered: None,
                folder: folder.to_owned(),
                settings: Settings::default(),
                _lock: None,
            }),
        }
    }

    /// The folder that the database lies in.
    pub fn folder(&self) -> &Path {
        &self.open.folder
    }

    /// What happened if the database was damaged when it was opened, for the owner.
    pub fn recovered(&self) -> Option<&str> {
        self.open.recovered.as_deref()
    }

    /// What is wrong with the state, for `status`.
    pub fn problems(&self) -> Vec<String> {
        let exporter = self.open.exporter.as_ref();
        let export = exporter.and_then(Exporter::problem);
        self.open.recovered.clone().into_iter().chain(export).collect()
    }

    /// The record with this key.
    pub fn get<T: DeserializeOwned>(&self, table: &Table<T>, key: &str) -> Result<Option<T>, StoreError> {
        let octets = self.open.ledger.with(|backend| backend.get(&table.key(key)))?;
        octets.map(|octets| self.decoded(table, key, &octets)).transpose()
    }

    /// All records of a table with their keys, in the order of keys.
    pub fn all<T: DeserializeOwned>(&self, table: &Table<T>) -> Result<Vec<(String, T)>, StoreError> {
        let records = self.open.ledger.with(|backend| backend.scan(&table.key("")))?;
        let records = records.into_iter().map(|(key, octets)| {
            let key = table.own_key(&key);
            let record = self.decoded(table, &key, &octets)?;
            Ok((key, record))
        });
        records.collect()
    }

    fn decoded<T: DeserializeOwned>(
        &self,
        table: &Table<T>,
        key: &str,
        octets: &[u8],
    ) -> Result<T, StoreError> {
        if let Some(record) = table.decode(octets) {
            return Ok(record);
        }
        let place = table.place(key);
        if record::check(octets).is_some() {
            return Err(StoreError::Record(place));
        }
        let error = StoreError::Damaged {
            place,
            exported: self.exported(table, key).is_some(),
        };
        tracing::error!(%error);
        Err(error)
    }

    /// The record with this key as the newest export has it: for when [`Store::get`] says that it is damaged.
    pub fn exported<T: DeserializeOwned>(&self, table: &Table<T>, key: &str) -> Option<T> {
        let (export, _) = self.open.exports.as_ref()?.newest();
        let key = table.key(key);
        let records = export?.contents.records;
        let (_, octets) = records.into_iter().find(|(other, _)| *other == key)?;
        table.decode(&octets)
    }

    /// Makes changes, all of them or none; on return they are on the disk.
    pub fn commit(&self, changes: Changes) -> Result<(), StoreError> {
        let changed = self.open.ledger.commit(changes)?;
        if let (true, Some(exporter)) = (changed, &self.open.exporter) {
            exporter.changed();
        }
        Ok(())
    }

    /// Puts one record; on return it is on the disk.
    pub fn put<T: Serialize>(&self, table: &Table<T>, key: &str, value: &T) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.put(table, key, value);
        self.commit(changes)
    }

    /// The newest entries of the audit trail with their numbers, newest first; `before` a number, for the next page.
    pub fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, audit::Entry)>, StoreError> {
        let numbers = self.open.ledger.newest_entries(before, limit).into_iter();
        // One that went since then, for a newer one, is no error.
        let entries = numbers.filter_map(|number| {
            let entry = self.get(&audit::TABLE, &audit::name(number)).transpose()?;
            Some(entry.map(|entry| (number, entry)))
        });
        entries.collect()
    }

    /// Writes an export now, unless the newest has every change.
    pub fn export(&self) -> Result<(), StoreError> {
        self.open.exporter.as_ref().map_or(Ok(()), Exporter::write_now)
    }

    /// For once a day: rewrites the database if its files have outgrown what is in them. Changes wait meanwhile. Whether
    /// it was rewritten.
    pub fn tend(&self) -> Result<bool, StoreError> {
        if self.open.exporter.is_none() {
            return Ok(false);
        }
        reserve::keep(self.folder());
        open::rewrite(self.folder(), &self.open.ledger, self.open.settings.rewrite_above)
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
    std::fs::rename(&next, file)?;
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync_folder(folder),
        _ => sync_folder(Path::new(".")),
    }
}

/// Makes names in a folder as lasting as the files behind them.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}
