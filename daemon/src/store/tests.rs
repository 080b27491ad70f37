//! What the state does, on every backend and through every damage.

use std::collections::BTreeMap;
use std::time::Duration;

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

/// Exports at once, rewrites small files too.
fn eager() -> Settings {
    Settings {
        pace: Pace {
            quiet: Duration::ZERO,
            longest: Duration::ZERO,
        },
        rewrite_above: Some(0),
    }
}

/// Exports at the end alone.
fn lazy() -> Settings {
    Settings {
        pace: Pace {
            quiet: Duration::from_secs(3600),
            longest: Duration::from_secs(3600),
        },
        rewrite_above: None,
    }
}

fn entry(action: &str) -> audit::Entry {
    audit::Entry {
        at_ms: 1_763_856_000_000,
        who: "owner".into(),
        from: "192.168.1.2".into(),
        action: action.into(),
        object: "x".into(),
        before: None,
        after: Some(serde_json::json!({ "name": "x" })),
    }
}

/// A copy of a closed state folder.
fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copied(&file.path(), &to);
        } else {
            std::fs::copy(file.path(), to).unwrap();
        }
    }
}

fn names_in(folder: &Path, begin: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(begin)).collect()
}

/// A state of names `0` to `count - 1`, one change each.
fn filled(folder: &Path, count: usize) -> Store {
    let store = Store::open_with(folder, lazy()).unwrap();
    for place in 0..count {
        store
            .put(&NAMES, &place.to_string(), &format!("name {place}"))
            .unwrap();
    }
    store
}

/// Its names, sorted.
fn names(store: &Store) -> BTreeMap<String, String> {
    store.all(&NAMES).unwrap().into_iter().collect()
}

#[test]
fn a_change_and_its_audit_entry_are_one_on_every_backend() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    for store in [Store::in_memory(folder.path()), Store::open(&disk).unwrap()] {
        for place in 0..5 {
            let mut changes = Changes::default();
            changes
                .put(&NAMES, "a", &place.to_string())
                .audit(entry(&format!("act {place}")));
            store.commit(changes).unwrap();
        }
        let page = store.audit(None, 2).unwrap();
        let actions: Vec<&str> = page.iter().map(|(_, entry)| entry.action.as_str()).collect();
        assert_eq!(actions, ["act 4", "act 3"], "newest first");
        let rest = store.audit(Some(page[1].0), 10).unwrap();
        assert_eq!(rest.len(), 3);
        assert_eq!(rest[2].1, entry("act 0"));
        assert_eq!(store.audit(Some(rest[2].0), 10).unwrap(), []);
    }
    let store = Store::open(&disk).unwrap();
    store.commit_entry("act 5");
    assert_eq!(
        store.audit(None, 1).unwrap()[0].0,
        5,
        "numbers go on after a restart"
    );
}

impl Store {
    fn commit_entry(&self, action: &str) {
        let mut changes = Changes::default();
        changes.audit(entry(action));
        self.commit(changes).unwrap();
    }
}

#[test]
fn a_value_that_cannot_be_written_stops_the_whole_change() {
    let table: Table<BTreeMap<Vec<u8>, u8>> = Table::new("odd", &[]);
    let store = Store::in_memory(Path::new("."));
    let mut changes = Changes::default();
    changes
        .put(&NAMES, "a", &"Ana".to_owned())
        .put(&table, "x", &BTreeMap::from([(vec![1], 1)]))
        .audit(entry("act"));
    assert!(store.commit(changes).is_err());
    assert_eq!(store.get(&NAMES, "a").unwrap(), None);
    assert_eq!(store.audit(None, 9).unwrap(), []);
}

#[test]
fn records_of_an_older_version_are_read_through_their_steps_in_every_place() {
    fn renamed(mut value: serde_json::Value) -> Option<serde_json::Value> {
        Some(format!("{}!", value.take().as_str()?).into())
    }
    const NEWER: Table<String> = Table::new("names", &[renamed]);
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 1);
    assert_eq!(store.get(&NEWER, "0").unwrap().as_deref(), Some("name 0!"));
    store.put(&NEWER, "0", &"now".to_owned()).unwrap();
    assert_eq!(store.get(&NEWER, "0").unwrap().as_deref(), Some("now"));
    assert!(
        matches!(store.get(&NAMES, "0"), Err(StoreError::Record(_))),
        "an older program says so"
    );
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.recovered(), None, "another version is no damage");
}

#[test]
fn a_database_that_is_gone_comes_back_from_the_export_with_what_the_owner_must_know() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 3);
    store.commit_entry("act");
    let before = names(&store);
    drop(store);
    std::fs::remove_dir_all(folder.path().join("db")).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(names(&store), before);
    assert_eq!(store.audit(None, 9).unwrap().len(), 1);
    assert!(store.recovered().unwrap().contains("missing"));
    assert_eq!(store.problems().len(), 1);
    drop(store);
    assert_eq!(Store::open(folder.path()).unwrap().recovered(), None, "said once");
}

#[test]
fn an_older_copy_of_the_database_put_back_is_found_and_the_newest_export_holds() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(filled(folder.path(), 3));
    copied(&folder.path().join("db"), copy.path());
    let store = Store::open_with(folder.path(), lazy()).unwrap();
    store.put(&NAMES, "new", &"x".to_owned()).unwrap();
    let before = names(&store);
    drop(store);
    std::fs::remove_dir_all(folder.path().join("db")).unwrap();
    copied(copy.path(), &folder.path().join("db"));
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(names(&store), before);
    assert!(
        store.recovered().unwrap().contains("3 of 4"),
        "{:?}",
        store.recovered()
    );
    assert_eq!(names_in(folder.path(), "db.damaged-").len(), 1);
}

#[test]
fn a_record_that_went_or_came_behind_the_tally_is_found() {
    for what in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path(), 5);
        let before = names(&store);
        drop(store);
        let disk = disk::Disk::open(&folder.path().join("db")).unwrap();
        let key = NAMES.key("2");
        let value = match what {
            0 => None,
            1 => NAMES.encode(&"older".to_owned()),
            _ => Some(b"no record".to_vec()),
        };
        disk.commit(vec![(key, value)]).unwrap();
        drop(disk);
        let store = Store::open(folder.path()).unwrap();
        assert!(store.recovered().is_some());
        assert_eq!(names(&store), before);
    }
}

#[test]
fn without_an_export_what_still_reads_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 5));
    std::fs::remove_dir_all(folder.path().join("export")).unwrap();
    let disk = disk::Disk::open(&folder.path().join("db")).unwrap();
    disk.commit(vec![(NAMES.key("2"), Some(b"no record".to_vec()))])
        .unwrap();
    drop(disk);
    let store = Store::open(folder.path()).unwrap();
    assert!(
        store.recovered().unwrap().contains("4 record(s)"),
        "{:?}",
        store.recovered()
    );
    assert_eq!(names(&store).len(), 4);
}

#[test]
fn a_record_that_is_damaged_while_running_is_named_and_offered_from_the_export() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 3);
    store.export().unwrap();
    let damage = |key: &str| {
        let change = vec![(NAMES.key(key), Some(b"no record".to_vec()))];
        store.open.ledger.with(|backend| backend.commit(change)).unwrap();
    };
    damage("1");
    let error = store.get(&NAMES, "1").unwrap_err();
    assert!(
        matches!(error, StoreError::Damaged { exported: true, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("names/1"), "{error}");
    assert_eq!(store.exported(&NAMES, "1").as_deref(), Some("name 1"));
    damage("new");
    assert!(matches!(
        store.get(&NAMES, "new"),
        Err(StoreError::Damaged { exported: false, .. })
    ));
    store.put(&NAMES, "2", &"later".to_owned()).unwrap();
    assert!(store.export().is_err(), "damage is not exported over a good copy");
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert!(store.recovered().is_some());
    assert_eq!(store.get(&NAMES, "1").unwrap().as_deref(), Some("name 1"));
}

#[test]
fn an_export_that_cannot_be_written_is_a_problem_and_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("export"), b"a file in its place").unwrap();
    let store = Store::open_with(folder.path(), eager()).unwrap();
    store.put(&NAMES, "a", &"Ana".to_owned()).unwrap();
    assert!(store.export().is_err());
    assert!(store.export().is_err());
    assert_eq!(store.problems().len(), 1, "{:?}", store.problems());
    store.put(&NAMES, "b", &"Besa".to_owned()).unwrap();
    assert_eq!(names(&store).len(), 2);
    std::fs::remove_file(folder.path().join("export")).unwrap();
    store.export().unwrap();
    assert_eq!(store.problems(), [""; 0]);
}

#[test]
fn exports_take_turns_and_nothing_new_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 1);
    let files = ["state-a", "state-b"].map(|name| folder.path().join("export").join(name));
    store.export().unwrap();
    assert!(files[0].exists() && !files[1].exists());
    store.put(&NAMES, "0", &"name 0".to_owned()).unwrap();
    store.export().unwrap();
    assert!(!files[1].exists(), "the same again is no change");
    store.put(&NAMES, "0", &"other".to_owned()).unwrap();
    store.export().unwrap();
    assert!(files[1].exists());
    let first = std::fs::read(&files[0]).unwrap();
    drop(store);
    assert_eq!(std::fs::read(&files[0]).unwrap(), first);
}

#[test]
fn a_database_that_outgrew_its_records_is_rewritten_open_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        rewrite_above: Some(1 << 20),
        ..lazy()
    };
    let grown = || {
        let store = Store::open_with(folder.path(), lazy()).unwrap();
        let long: String = "x".repeat(100_000);
        for place in 0..40 {
            store
                .put(&NAMES, &(place % 3).to_string(), &format!("{place}{long}"))
                .unwrap();
        }
        store
    };
    let size = || store_size(folder.path());
    let before = names(&grown());
    let large = size();
    let store = Store::open_with(folder.path(), settings).unwrap();
    assert!(size() < large / 2, "{} of {large}", size());
    assert_eq!(names(&store), before);
    drop(store);
    drop(grown());
    let store = Store::open_with(
        folder.path(),
        Settings {
            rewrite_above: None,
            ..lazy()
        },
    )
    .unwrap();
    assert!(!store.tend().unwrap(), "below eight MiB nothing is done");
    drop(store);
    let large = size();
    let mut store = Store::open_with(folder.path(), lazy()).unwrap();
    Arc::get_mut(&mut store.open).unwrap().settings = settings;
    assert!(store.tend().unwrap());
    assert!(size() < large / 2, "{} of {large}", size());
    assert_eq!(names(&store), before);
    store.put(&NAMES, "after", &"x".to_owned()).unwrap();
    assert!(!store.tend().unwrap(), "once is enough");
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!((names(&store).len(), store.recovered()), (4, None));
    let mut left = names_in(folder.path(), "db");
    left.sort();
    assert_eq!(left, ["db", "db.lock"]);
}

fn store_size(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("db/db")).unwrap().len()
}
