//! What the state does, on every backend and through every damage.

mod damage;
mod power_cut;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

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

/// A generator that needs no more than a seed, printed by whoever uses it.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let seed = match std::env::var("ISIGURT_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => getrandom::u64().unwrap(),
        };
        eprintln!("ISIGURT_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
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
    assert_eq!(left, ["db", "db.journal", "db.lock", "db.reserve"]);
}

fn store_size(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("db/db")).unwrap().len()
}

/// A database as the version before wrote it; `octets` its policy.
fn earlier(folder: &Path, octets: &[u8]) {
    let db = sled::open(folder.join("db")).unwrap();
    db.open_tree("lists.v1")
        .unwrap()
        .insert("hosts", b"whatever")
        .unwrap();
    db.open_tree("policy.v1")
        .unwrap()
        .insert("policy", octets)
        .unwrap();
    db.flush().unwrap();
}

fn earlier_record(text: &str) -> Vec<u8> {
    let body = postcard::to_stdvec(text).unwrap();
    let sum = blake3::hash(&body);
    [&sum.as_bytes()[..8], &[1], &body].concat()
}

const POLICY: Table<String> = Table::new("policy", &[]);

#[test]
fn the_policy_of_the_earlier_layout_is_taken_over_once() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[[profile]]\nname = \"fëmijë\"\n";
    earlier(folder.path(), &earlier_record(text));
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.get(&POLICY, "policy").unwrap().as_deref(), Some(text));
    assert_eq!(store.recovered(), None);
    store.put(&POLICY, "policy", &"newer".to_owned()).unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.get(&POLICY, "policy").unwrap().as_deref(), Some("newer"));
    drop(store);
    let db = sled::open(folder.path().join("db")).unwrap();
    assert!(!db.tree_names().iter().any(|name| name.ends_with(b".v1")));
}

#[test]
fn a_damaged_policy_of_the_earlier_layout_is_left_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut octets = earlier_record("[[profile]]\n");
    octets[12] ^= 1;
    earlier(folder.path(), &octets);
    for _ in 0..2 {
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.get(&POLICY, "policy").unwrap(), None);
        assert!(
            store.problems()[0].contains("policy.toml"),
            "{:?}",
            store.problems()
        );
    }
    let store = Store::open(folder.path()).unwrap();
    store.put(&POLICY, "policy", &"applied".to_owned()).unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.problems(), [""; 0], "a policy was applied since");
}

#[test]
fn a_database_from_before_the_tally_is_opened_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk::Disk::open(&folder.path().join("db")).unwrap();
    let record = NAMES.encode(&"Ana".to_owned());
    disk.commit(vec![(NAMES.key("a"), record)]).unwrap();
    drop(disk);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!((names(&store).len(), store.recovered()), (1, None));
    drop(store);
    assert!(folder.path().join("export/state-a").exists(), "and is exported");
    let store = Store::open(folder.path()).unwrap();
    assert_eq!((names(&store).len(), store.recovered()), (1, None));
    store.put(&NAMES, "b", &"Besa".to_owned()).unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!((names(&store).len(), store.recovered()), (2, None));
}

/// What may be done to a state.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(bool, u8, Option<String>)>),
    Export,
    Reopen,
    Rewrite,
    /// The database is removed while it is closed.
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    let write = (any::<bool>(), 0..12_u8, proptest::option::of("[a-zë]{0,40}"));
    prop_oneof![
        8 => proptest::collection::vec(write, 0..6).prop_map(Step::Commit),
        1 => Just(Step::Export),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rewrite),
        1 => Just(Step::Lose),
    ]
}

const OTHERS: Table<String> = Table::new("name", &[]);

fn same(store: &Store, model: &BTreeMap<(bool, String), String>) {
    for (second, table) in [(false, &NAMES), (true, &OTHERS)] {
        let of_table = model.iter().filter(|((other, _), _)| *other == second);
        let expected: Vec<(String, String)> = of_table
            .map(|((_, key), text)| (key.clone(), text.clone()))
            .collect();
        assert_eq!(store.all(table).unwrap(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_changes_ends_as_a_map_would(steps in proptest::collection::vec(step(), 1..14)) {
        let folder = tempfile::tempdir().unwrap();
        let memory = Store::in_memory(folder.path());
        let mut disk = Some(Store::open_with(folder.path(), eager()).unwrap());
        let mut model = BTreeMap::new();
        for step in steps.into_iter().chain([Step::Reopen]) {
            match step {
                Step::Commit(writes) => {
                    for store in [&memory, disk.as_ref().unwrap()] {
                        let mut changes = Changes::default();
                        for (second, key, text) in &writes {
                            let (table, key) = (if *second { &OTHERS } else { &NAMES }, key.to_string());
                            match text {
                                Some(text) => changes.put(table, &key, text),
                                None => changes.remove(table, &key),
                            };
                        }
                        store.commit(changes).unwrap();
                    }
                    for (second, key, text) in writes {
                        let key = (second, key.to_string());
                        match text {
                            Some(text) => model.insert(key, text),
                            None => model.remove(&key),
                        };
                    }
                }
                Step::Export => disk.as_ref().unwrap().export().unwrap(),
                Step::Reopen => {
                    drop(disk.take());
                    let store = disk.insert(Store::open_with(folder.path(), eager()).unwrap());
                    prop_assert_eq!(store.recovered(), None);
                }
                Step::Rewrite => {
                    disk.as_ref().unwrap().tend().unwrap();
                }
                Step::Lose => {
                    drop(disk.take());
                    std::fs::remove_dir_all(folder.path().join("db")).unwrap();
                    disk = Some(Store::open_with(folder.path(), eager()).unwrap());
                }
            }
            same(&memory, &model);
            same(disk.as_ref().unwrap(), &model);
        }
    }
}
