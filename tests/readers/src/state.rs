//! What is kept on the disk, which a power cut, a worn-out card or somebody with a backup may have changed.

use isigurt_blocklists::name::Name;
use isigurtd::log::pages::{self, Place, Span};
use isigurtd::store::{self, Table};
use isigurtd::{log, stats, sync};
use serde_json::Value;

use crate::{Reader, damaged, texts};

pub(crate) const READERS: &[Reader] = &[
    Reader {
        name: "backup",
        read: backup,
        examples: || vec![good_backup()],
    },
    Reader {
        name: "journal",
        read: journal,
        examples: || vec![good_journal()],
    },
    Reader {
        name: "record",
        read: record,
        examples: || texts(&["{\"name\":\"Ana\",\"tries\":[1,2]}"]),
    },
    Reader {
        name: "log_file",
        read: log_file,
        examples: || vec![records(), log::outside::whole(&records())],
    },
    Reader {
        name: "log_page",
        read: log_page,
        examples: || {
            let file = [
                log::outside::whole(&records()),
                log::outside::whole(&records()).split_off(12),
            ];
            vec![[b"1000-1-2\n".to_vec(), file.concat()].concat()]
        },
    },
    Reader {
        name: "stats_day",
        read: stats_day,
        // Two names, a cell of the first hour, a site.
        examples: || {
            vec![b"\x02\x03Ana\x01x\x01\x01\x02\x00\x01\x05\x07\x01\x01\x02\x02\x01\x00\x00".to_vec()]
        },
    },
    Reader {
        name: "sync_state",
        read: sync_state,
        examples: || texts(&[STATE]),
    },
];

fn some_records() -> Vec<store::Record> {
    let record = |key: &str, value: &str| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    vec![record("a\0x", "Ana"), record("b\0y", "Besa")]
}

fn good_backup() -> Vec<u8> {
    store::outside::backup_of(some_records()).unwrap_or_default()
}

fn good_journal() -> Vec<u8> {
    store::outside::journal_of(&some_records()).unwrap_or_default()
}

/// A backup that reads is written so that it reads the same; a damaged one does not read.
fn backup(octets: &[u8]) {
    let around = store::outside::backup_around(octets).unwrap_or_default();
    for file in [octets, &around] {
        if let Some((again, records)) = store::outside::backup(file) {
            let read = store::outside::backup(&again);
            assert_eq!(read.map(|(_, records)| records), Some(records));
        }
    }
    let good = good_backup();
    let bent = damaged(good.clone(), octets);
    assert!(bent == good || store::outside::backup(&bent).is_none());
}

/// No more changes are made than are whole.
fn journal(octets: &[u8]) {
    let around = store::outside::journal_around(octets).unwrap_or_default();
    for file in [octets.to_vec(), around, damaged(good_journal(), octets)] {
        let (made, entries, whole) = store::outside::journal(&file);
        assert!(made <= entries && whole <= file.len());
        let (_, again, _) = store::outside::journal(file.get(..whole).unwrap_or_default());
        assert_eq!(again, entries, "a journal that is cut where it is whole");
    }
}

/// What is in a record that is whole is what was put there, and only in its version.
fn record(octets: &[u8]) {
    const TABLE: Table<Value> = Table::new("t", &[]);
    let _ = store::outside::record(&TABLE, octets);
    let _ = store::outside::earlier_policy(octets);
    let plain: Option<Value> = serde_json::from_slice(octets).ok();
    for version in [0, 1, 2, u8::MAX] {
        let whole = store::outside::record_around(version, octets);
        let read = store::outside::record(&TABLE, &whole);
        assert_eq!(read, plain.clone().filter(|_| version == 1), "version {version}");
    }
}

/// Records of a block, as they are written: two times, three records.
fn records() -> Vec<u8> {
    let name = Name::parse("a.example").map(|name| name.as_ref().wire().to_vec());
    let name = name.unwrap_or_default();
    let mut octets = Vec::new();
    for (at_ms, kind) in [(1_000_u64, 4), (1_000, 5), (2_000, 6)] {
        octets.push(0);
        octets.extend(at_ms.to_le_bytes());
        octets.extend([kind, 4, 10, 0, 0, 7, 3]);
        octets.extend(b"Ana\x05child\x05adult");
        octets.push(u8::try_from(name.len()).unwrap_or(0));
        octets.extend(&name);
        octets.extend([0, 28]);
    }
    octets
}

/// A file that is whole gives the records that were put there; each can be shown.
fn log_file(octets: &[u8]) {
    let _ = log::outside::file(octets);
    let _ = log::outside::records(octets, 1);
    let records = log::outside::records(octets, 2);
    assert_eq!(log::outside::file(&log::outside::whole(octets)), records);
    for record in records {
        assert!(!record.to_string().is_empty());
    }
}

/// Pages of any file, from any cursor, come to an end and repeat nothing.
fn log_page(octets: &[u8]) {
    let line = octets.iter().position(|octet| *octet == b'\n').unwrap_or(0);
    let (cursor, file) = octets.split_at(line);
    let file = file.strip_prefix(b"\n").unwrap_or(file);
    let from: Option<Place> = String::from_utf8_lossy(cursor).parse().ok();
    if let Some(place) = from {
        assert_eq!(place.to_string().parse(), Ok(place));
    }
    thread_local! {
        static FOLDER: Option<tempfile::TempDir> = tempfile::tempdir().ok();
    }
    FOLDER.with(|folder| {
        let folder = folder.as_ref().expect("a folder").path();
        for (file, before_ms) in [(file, u64::MAX), (&log::outside::whole(file), 1_500)] {
            std::fs::write(folder.join("000000000001000.log"), file).expect("written");
            let mut span = Span {
                from,
                since_ms: 0,
                before_ms,
                limit: 3,
            };
            let mut last = None;
            for round in 0.. {
                assert!(round <= file.len(), "pages without end");
                let page = pages::page(folder, span, |_| true).expect("a page");
                for (place, _) in &page.records {
                    assert!(last.is_none_or(|last| *place < last), "{place} after {last:?}");
                    last = Some(*place);
                }
                span.from = page.next;
                if page.next.is_none() {
                    break;
                }
            }
        }
    });
}

/// Counts that are whole are all read, and each can be looked at.
fn stats_day(octets: &[u8]) {
    let around = stats::outside::whole(octets);
    for file in [octets, &around] {
        let (day, whole) = stats::outside::day(file);
        assert!(whole <= file.len());
        let things = day.sites().chain(day.services()).count();
        assert!(day.cells().count() + things <= file.len().saturating_mul(255));
    }
}

const STATE: &str = r#"{"format":1,"root":"","timestamp":"","validators":{"etag":null,"modified":null},"snapshot":"","expires":0,"checked_at":0,
"lists":[{"target":{"format":1,"publisher":"mandatory","list":"abuse","version":7,"entries":1,"octets":5,"unpacked":5,"blake3":"00"},"file":"mandatory.abuse.7.00","since":0}],"service":null}"#;

fn sync_state(octets: &[u8]) {
    let around = sync::outside::state_around(octets);
    for file in [octets, &around] {
        for (target, file) in sync::outside::state(file).unwrap_or_default() {
            let _ = (target.name(), file);
        }
    }
}
