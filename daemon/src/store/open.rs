//! Opening the state, whatever was left: the order of steps, and what happens where one fails.
//!
//! ```text
//! lock ─▶ settle ─▶ open ─▶ compare with the tally ─▶ compare with the newest export ─▶ journal ─▶ earlier trees ─▶ rewrite
//!                     └──────────┴──────────────────────────┴─▶ damaged: recover
//! ```
//!
//! A damaged database is moved aside, never removed, and never mended record by record: what is put in its place is the
//! newest export, one state that once was as a whole, with the changes of the journal behind it. Only where there is none, what
//! can still be read is taken.
//!
//! A database is replaced by names alone, so that a stop at any moment leaves one that has everything:
//! `db.build` is unfinished, `db.next` is finished and read back, `db.old` is what it replaces, and no name but `db` is
//! ever opened in earnest.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::disk::{self, Disk};
use super::export::{Export, Exports};
use super::journal::{self, Entry, Journal};
use super::ledger::{self, Contents, Ledger};
use super::tally::{self, Tally};
use super::{Backend, Record, StoreError, backup, earlier, record, sync_folder};

/// A database is rewritten when its files are larger than this …
const REWRITE_ABOVE: u64 = 8 << 20;
/// … and than so many times what is in it.
const REWRITE_TIMES: u64 = 4;
/// Records in one batch of a database that is being built.
const BATCH: usize = 256;

/// The open state of a folder.
pub(super) struct Opened {
    pub(super) disk: Disk,
    pub(super) contents: Contents,
    pub(super) journal: Journal,
    pub(super) exports: Exports,
    /// Which export is written next, and how many changes the newest has.
    pub(super) turn: (usize, u64),
    /// What the owner must know.
    pub(super) recovered: Option<String>,
    pub(super) lock: Flock<std::fs::File>,
}

/// What is wrong with a database, and what can still be read of it.
struct Damage {
    why: String,
    whole: Vec<Record>,
    changes: u64,
    /// Whether there was a database at all.
    there: bool,
}

/// Opens the state in `folder`, which is made if it is missing.
pub(super) fn open(folder: &Path, rewrite_above: Option<u64>) -> Result<Opened, StoreError> {
    let refused = |error| StoreError::Folder(folder.to_owned(), error);
    std::fs::create_dir_all(folder).map_err(refused)?;
    let lock = lock(folder)?;
    settle(folder).map_err(refused)?;
    let restored = backup::take_back(folder)?;
    let exports = Exports::of(folder);
    let (newest, next) = exports.newest();
    let turn = (
        next,
        newest.as_ref().map_or(0, |export| export.contents.tally.changes),
    );
    let (journal, entries) = Journal::open(folder)?;
    let (disk, mut contents, mut recovered) = match examine(&folder.join("db"), newest.as_ref())? {
        Ok((disk, mut contents)) => {
            // What was on the disk here and did not come to the database, or went there.
            for entry in journal::replay(&mut contents, entries) {
                tracing::warn!(
                    change = entry.tally.changes,
                    "a change of the state is made again from the journal"
                );
                disk.commit(entry.batch)?;
            }
            (disk, contents, None)
        }
        Err(damage) => recover(folder, newest, damage, entries)?,
    };
    if let Some(aside) = restored {
        tracing::warn!(before = %aside.display(), "a backup was taken back; what was there before is kept");
        recovered = None; // that the database was not there is as it was meant
    }
    if let Some(problem) = earlier::take_over(&disk, &mut contents)? {
        tracing::error!("{problem}");
        recovered.get_or_insert(problem);
    }
    let mut disk = disk;
    if worth_rewriting(&disk, &contents, rewrite_above) {
        match prepare(folder, &contents) {
            Ok(()) => {
                drop(disk);
                disk = swap(folder)?;
            }
            // Most likely there is no room for both, which is no reason not to filter.
            Err(error) => tracing::warn!(%error, "the state database is too large and was not rewritten"),
        }
    }
    Ok(Opened {
        disk,
        contents,
        journal,
        exports,
        turn,
        recovered,
        lock,
    })
}

/// Keeps every other isigurtd out of the folder, also while there is no database in it.
fn lock(folder: &Path) -> Result<Flock<std::fs::File>, StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let refused = |error| StoreError::Folder(folder.to_owned(), error);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join("db.lock"))
        .map_err(refused)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        nix::errno::Errno::EWOULDBLOCK => StoreError::InUse(folder.to_owned()),
        error => refused(error.into()),
    })
}

/// Brings a replacement to its end that a power cut interrupted, or takes it back.
fn settle(folder: &Path) -> std::io::Result<()> {
    let [db, next, old] = ["db", "db.next", "db.old"].map(|name| folder.join(name));
    remove(&folder.join("db.build"))?;
    if !db.try_exists()? {
        for other in [&next, &old] {
            if other.try_exists()? {
                std::fs::rename(other, &db)?;
                sync_folder(folder)?;
                tracing::warn!("the replacement of the state database was interrupted; it is finished now");
                break;
            }
        }
    }
    if db.try_exists()? {
        remove(&next)?;
        remove(&old)?;
    }
    Ok(())
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Opens a database and compares it with its tally and the newest export. The outer error is one that its files have no
/// part in.
fn examine(place: &Path, newest: Option<&Export>) -> Result<Result<(Disk, Contents), Damage>, StoreError> {
    let there = place.join("db").exists();
    let damaged = |why: String| Damage {
        why,
        whole: Vec::new(),
        changes: 0,
        there,
    };
    let disk = match Disk::open(place) {
        Ok(disk) => disk,
        Err(error) if disk::is_damage(&error) => return Ok(Err(damaged(disk::plainly(&error)))),
        Err(error) => return Err(error),
    };
    let (tally, records) = match ledger::read(&disk) {
        Ok(found) => found,
        Err(error) if disk::is_damage(&error) => {
            let whole = disk.salvage();
            return Ok(Err(Damage {
                whole,
                ..damaged(disk::plainly(&error))
            }));
        }
        Err(error) => return Err(error),
    };
    let written = tally.as_deref().map(Tally::decode);
    let exported = newest.map_or(0, |export| export.contents.tally.changes);
    let changes = written.flatten().map_or(0, |tally| tally.changes);
    let why = match written {
        Some(Some(tally)) if tally != Tally::of(tally.changes, &records) => {
            "records in it are missing or old".to_owned()
        }
        Some(None) => "the count of its records is damaged".to_owned(),
        _ if exported > changes && !there => "it was not there".to_owned(),
        _ if exported > changes => {
            format!("it lacks changes that the export has ({changes} of {exported})")
        }
        // As it was before there was a tally.
        None if records.iter().any(|(_, value)| record::check(value).is_none()) => {
            "a record in it is damaged".to_owned()
        }
        None if !records.is_empty() => {
            let tally = Tally::of(1, &records);
            disk.commit(vec![(tally::KEY.to_vec(), Some(tally.encode()))])?;
            return Ok(Ok((disk, Contents { tally, records })));
        }
        _ => {
            let tally = Tally::of(changes, &records);
            return Ok(Ok((disk, Contents { tally, records })));
        }
    };
    Ok(Err(Damage {
        why,
        whole: records,
        changes,
        there,
    }))
}

/// Puts the newest export, or what could be read, in the place of a damaged database, which is set aside.
fn recover(
    folder: &Path,
    newest: Option<Export>,
    damage: Damage,
    entries: Vec<Entry>,
) -> Result<(Disk, Contents, Option<String>), StoreError> {
    let refused = |error| StoreError::Folder(folder.to_owned(), error);
    room(folder).map_err(refused)?; // a full disk looks like damage; then everything stays where it is
    let (mut contents, mut from) = if let Some(export) = newest {
        let from = format!("the export of {} is in its place", export.when());
        (export.contents, from)
    } else if entries.first().is_some_and(|entry| entry.tally.changes == 1) {
        let nothing = Contents {
            tally: Tally::default(),
            records: Vec::new(),
        };
        (nothing, "the journal is in its place".to_owned())
    } else {
        let mut records = damage.whole;
        records.retain(|(key, value)| key != tally::KEY && record::check(value).is_some());
        let from = match records.len() {
            0 => "there was no export and nothing that could be read: the state begins empty".to_owned(),
            count => {
                format!("there was no export: the {count} record(s) that could be read are in its place")
            }
        };
        let tally = Tally::of(damage.changes + 1, &records);
        (Contents { tally, records }, from)
    };
    let made = journal::replay(&mut contents, entries).len();
    if made > 0 {
        from = format!("{from}, with the {made} change(s) of the journal behind it");
    }
    prepare(folder, &contents)?;
    let said = if damage.there {
        let aside = set_aside(folder, &damage.why).map_err(refused)?;
        format!(
            "the state database was damaged ({}); {from}. Changes made after that may be missing: look at policy, devices \
             and accounts. The damaged one is kept in {}",
            damage.why,
            aside.display()
        )
    } else {
        format!("the state database was missing; {from}. To begin afresh, remove the folder export too")
    };
    let disk = swap(folder)?;
    tracing::error!("{said}");
    Ok((disk, contents, Some(said)))
}

/// Whether the disk takes two databases' least size.
fn room(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(".room");
    let written =
        std::fs::write(&probe, vec![0xa5; 1 << 20]).and_then(|()| std::fs::File::open(&probe)?.sync_all());
    remove_file(&probe)?;
    written
}

fn remove_file(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Moves the database to a name of its own, with the reason beside it.
fn set_aside(folder: &Path, why: &str) -> std::io::Result<PathBuf> {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let mut aside = folder.join(format!("db.damaged-{time}"));
    let mut more = 1;
    while aside.try_exists()? {
        more += 1;
        aside = folder.join(format!("db.damaged-{time}-{more}"));
    }
    std::fs::rename(folder.join("db"), &aside)?;
    sync_folder(folder)?;
    let _ = super::write_whole(&aside.join("why.txt"), format!("{why}\n").as_bytes()); // for support alone
    Ok(aside)
}

/// Whether the files of a database have outgrown what is in it.
pub(super) fn worth_rewriting(backend: &dyn Backend, contents: &Contents, above: Option<u64>) -> bool {
    let (size, live) = (backend.size(), contents.tally.octets);
    size > above.unwrap_or(REWRITE_ABOVE) && size > live.saturating_mul(REWRITE_TIMES)
}

/// Makes a finished database `db.next` of these records, or leaves nothing behind.
pub(super) fn prepare(folder: &Path, contents: &Contents) -> Result<(), StoreError> {
    let refused = |error| StoreError::Folder(folder.to_owned(), error);
    let [build, next] = ["db.build", "db.next"].map(|name| folder.join(name));
    remove(&build).map_err(refused)?;
    remove(&next).map_err(refused)?;
    let outcome = write_into(&build, contents).and_then(|()| {
        std::fs::rename(&build, &next)
            .and_then(|()| sync_folder(folder))
            .map_err(refused)
    });
    if outcome.is_err() {
        let _ = remove(&build); // the room is wanted; the next start tries again
    }
    outcome
}

fn write_into(place: &Path, contents: &Contents) -> Result<(), StoreError> {
    let disk = Disk::open(place)?;
    for records in contents.records.chunks(BATCH) {
        let batch = records
            .iter()
            .map(|(key, value)| (key.clone(), Some(value.clone())));
        disk.commit(batch.collect())?;
    }
    disk.commit(vec![(tally::KEY.to_vec(), Some(contents.tally.encode()))])?;
    drop(disk);
    // Read back from the files, as the next start will.
    let written = match examine(place, None)? {
        Ok((_, written)) => written == *contents,
        Err(_) => false,
    };
    if !written {
        return Err(StoreError::Stopped(
            "a new database does not hold what was written into it; check the disk".to_owned(),
        ));
    }
    for folder in [&place.join("blobs"), place] {
        sync_folder(folder).map_err(|error| StoreError::Folder(folder.to_owned(), error))?;
    }
    Ok(())
}

/// Puts `db.next` in the place of the database, which nobody has open, and opens it.
pub(super) fn swap(folder: &Path) -> Result<Disk, StoreError> {
    let refused = |error| StoreError::Folder(folder.to_owned(), error);
    let [db, next, old] = ["db", "db.next", "db.old"].map(|name| folder.join(name));
    if db.try_exists().map_err(refused)? {
        std::fs::rename(&db, &old).map_err(refused)?;
    }
    std::fs::rename(&next, &db)
        .and_then(|()| sync_folder(folder))
        .map_err(refused)?;
    let disk = Disk::open(&db)?;
    remove(&old).map_err(refused)?;
    Ok(disk)
}

/// Rewrites the database of a running state if that is worth it; whether it was.
pub(super) fn rewrite(folder: &Path, ledger: &Ledger, above: Option<u64>) -> Result<bool, StoreError> {
    let contents = ledger.contents()?;
    if !ledger.with(|backend| Ok(worth_rewriting(backend, &contents, above)))? {
        return Ok(false);
    }
    ledger.replace(
        |contents| prepare(folder, contents),
        |old| {
            drop(old);
            Ok(Box::new(swap(folder)?))
        },
    )?;
    Ok(true)
}
