//! Databases that are gone, old, damaged or half replaced.

use super::*;

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
fn what_was_acknowledged_comes_back_also_where_no_export_has_it() {
    for exported in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path(), 5);
        let mut expected = names(&store);
        drop(store);
        if !exported {
            std::fs::remove_dir_all(folder.path().join("export")).unwrap();
        }
        // As a kill leaves it at a bad moment: changes that no export has, and a database that does not open.
        let store = Store::open_with(folder.path(), lazy()).unwrap();
        store.put(&NAMES, "new", &"Besa".to_owned()).unwrap();
        std::mem::forget(store); // nothing is exported at an end
        expected.insert("new".to_owned(), "Besa".to_owned());
        let copy = tempfile::tempdir().unwrap();
        for name in ["export", "db.journal"] {
            let (from, to) = (folder.path().join(name), copy.path().join(name));
            if from.is_dir() {
                std::fs::create_dir(&to).unwrap();
                for file in std::fs::read_dir(&from).unwrap().flatten() {
                    std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
                }
            } else if from.exists() {
                std::fs::copy(&from, &to).unwrap();
            }
        }
        std::fs::create_dir(copy.path().join("db")).unwrap();
        std::fs::write(copy.path().join("db/db"), b"no database").unwrap();
        std::fs::write(copy.path().join("db/conf"), b"no configuration").unwrap();
        let store = Store::open(copy.path()).unwrap();
        assert!(store.recovered().is_some(), "exported: {exported}");
        assert_eq!(names(&store), expected, "exported: {exported}");
    }
}

#[test]
fn without_an_export_what_still_reads_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 5));
    std::fs::remove_dir_all(folder.path().join("export")).unwrap();
    std::fs::remove_file(folder.path().join("db.journal")).unwrap();
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
fn a_replacement_that_stopped_between_any_two_steps_opens_with_everything() {
    let whole = tempfile::tempdir().unwrap();
    let expected = {
        let store = filled(whole.path(), 20);
        names(&store)
    };
    // Without exports: the names alone must do. (What is in `db`, in `db.next`, in `db.old`, in `db.build`?)
    std::fs::remove_dir_all(whole.path().join("export")).unwrap();
    for (step, present) in [
        &["db", "db.build"][..], // being built
        &["db", "db.next"],      // built
        &["db.old", "db.next"],  // the old one out of the way
        &["db", "db.old"],       // the new one in its place
        &["db.old"],             // never so, and still
        &["db.next"],            // a damaged one set aside
    ]
    .into_iter()
    .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        for name in present {
            let to = folder.path().join(name);
            if *name == "db.build" {
                std::fs::create_dir(&to).unwrap();
                std::fs::write(to.join("db"), b"half of it").unwrap();
            } else {
                copied(&whole.path().join("db"), &to);
            }
        }
        let store = Store::open_with(folder.path(), lazy()).unwrap();
        assert_eq!(
            (names(&store), store.recovered()),
            (expected.clone(), None),
            "step {step}"
        );
        let mut left = names_in(folder.path(), "db");
        left.sort();
        assert_eq!(left, ["db", "db.journal", "db.lock", "db.reserve"], "step {step}");
    }
}

#[test]
fn a_full_state_of_a_large_household_is_exported_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_with(folder.path(), lazy()).unwrap();
    let mut changes = Changes::default();
    for place in 0..3000 {
        changes
            .put(&NAMES, &place.to_string(), &format!("device {place}"))
            .audit(entry("device.add"));
    }
    store.commit(changes).unwrap();
    drop(store);
    std::fs::write(folder.path().join("db/conf"), b"no configuration of sled").unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert!(store.recovered().is_some());
    assert_eq!(names(&store).len(), 3000);
    assert_eq!(store.audit(None, 5000).unwrap().len(), 3000);
}

/// Opens under a limit of time: sled must not hang the start of a gateway either.
fn opened_in_time(folder: &Path) -> Result<Store, StoreError> {
    let (send, receive) = std::sync::mpsc::channel();
    let place = folder.to_owned();
    std::thread::spawn(move || send.send(Store::open_with(&place, lazy())));
    receive
        .recv_timeout(Duration::from_secs(60))
        .expect("opens in time")
}

/// Damages one file of a database: flips bits, blanks or cuts.
fn damaged(folder: &Path, chance: &mut Chance) -> String {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("db"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    // Mostly the records themselves.
    let file = match chance.below(4) {
        0 => files[chance.below(files.len())].clone(),
        _ => folder.join("db/db"),
    };
    let mut octets = std::fs::read(&file).unwrap();
    // Where anything was ever written.
    let used = octets
        .iter()
        .rposition(|&octet| octet != 0)
        .map_or(0, |place| place + 1);
    let what = match chance.below(3) {
        0 => {
            octets.truncate(chance.below(used + 1));
            format!("cut to {}", octets.len())
        }
        1 => {
            let (from, length) = (chance.below(used), chance.below(5000));
            octets
                .iter_mut()
                .skip(from)
                .take(length)
                .for_each(|octet| *octet = 0);
            format!("{length} blank from {from}")
        }
        _ => {
            let places: Vec<usize> = (0..=chance.below(8)).map(|_| chance.below(used.max(1))).collect();
            for &place in &places {
                if let Some(octet) = octets.get_mut(place) {
                    *octet ^= 1 << chance.below(8);
                }
            }
            format!("flipped {places:?}")
        }
    };
    std::fs::write(&file, octets).unwrap();
    format!("{}: {what}", file.file_name().unwrap().display())
}

#[test]
fn a_database_damaged_anywhere_opens_with_all_that_was_exported() {
    let mut chance = Chance::new();
    let small = tempfile::tempdir().unwrap();
    let store = filled(small.path(), 120);
    let mut changes = Changes::default();
    changes.remove(&NAMES, "7").put(&NAMES, "8", &"again".to_owned());
    store.commit(changes).unwrap();
    drop(store);
    // Several of sled's segments, and more than its cache.
    let large = tempfile::tempdir().unwrap();
    let store = Store::open_with(large.path(), lazy()).unwrap();
    for place in 0..60_u32 {
        let long = format!("{place:x}").repeat(60_000);
        store.put(&NAMES, &(place % 25).to_string(), &long).unwrap();
    }
    drop(store);
    let rounds = std::env::var("ISIGURT_ROUNDS").map_or(40, |rounds| rounds.parse().unwrap());
    for whole in [small.path(), large.path()] {
        let copy = tempfile::tempdir().unwrap();
        copied(whole, copy.path());
        let store = opened_in_time(copy.path()).unwrap();
        assert_eq!(store.recovered(), None, "a copy alone is no damage");
        let exported = names(&store);
        let mut recovered = 0;
        for round in 0..rounds {
            recovered += usize::from(survives(whole, &exported, round, &mut chance));
        }
        eprintln!("{recovered} of {rounds} came from the export");
        assert!(recovered > 0);
    }
}

/// Damages a copy of a state and opens it; whether it had to be recovered.
fn survives(whole: &Path, exported: &BTreeMap<String, String>, round: usize, chance: &mut Chance) -> bool {
    let copy = tempfile::tempdir().unwrap();
    copied(whole, copy.path());
    let what = format!("round {round}: {}", damaged(copy.path(), chance));
    let before = std::fs::read_dir(copy.path().join("db")).unwrap().count();
    let store = opened_in_time(copy.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(names(&store) == *exported, "{what}");
    let aside = names_in(copy.path(), "db.damaged-");
    assert_eq!(aside.len(), usize::from(store.recovered().is_some()), "{what}");
    for aside in &aside {
        let kept = std::fs::read_dir(copy.path().join(aside)).unwrap().count();
        assert!(kept >= before, "nothing of it is removed: {what}");
    }
    store.put(&NAMES, "after", &"x".to_owned()).unwrap();
    drop(store);
    let store = opened_in_time(copy.path()).unwrap();
    assert_eq!(
        (store.recovered(), names(&store).len()),
        (None, exported.len() + 1),
        "{what}"
    );
    !aside.is_empty()
}
