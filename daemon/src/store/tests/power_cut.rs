//! A process that writes is killed at random moments; what it said was kept must be there, and nothing of a change
//! without the rest of it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::*;

const FOLDER: &str = "ISIGURT_WRITER_FOLDER";
const LAST: Table<u64> = Table::new("last", &[]);
/// Records that the writer goes round in.
const ROUND: u64 = 40;

/// Long enough to fill a database soon, and only right for its number.
fn text(number: u64) -> String {
    let length = usize::try_from(number * 7919 % 9000).unwrap();
    format!("{number} {}", "x".repeat(length))
}

fn settings() -> Settings {
    Settings {
        rewrite_above: Some(1 << 20),
        ..eager()
    }
}

/// Change `number`: a record, the number, every fifth time a removal, and an audit entry.
fn change(number: u64) -> Changes {
    let mut changes = Changes::default();
    changes
        .put(&NAMES, &(number % ROUND).to_string(), &text(number))
        .put(&LAST, "", &number)
        .audit(entry(&number.to_string()));
    if number.is_multiple_of(5) {
        changes.remove(&NAMES, &((number + 3) % ROUND).to_string());
    }
    changes
}

/// What must be there after change `last`.
fn expected(last: u64) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    // What came before these is written over.
    for number in last.saturating_sub(2 * ROUND).max(1)..=last {
        names.insert((number % ROUND).to_string(), text(number));
        if number.is_multiple_of(5) {
            names.remove(&((number + 3) % ROUND).to_string());
        }
    }
    names
}

#[test]
#[ignore = "the process that the test below kills"]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let store = Store::open_with(Path::new(&folder), settings()).unwrap();
    let mut last = store.get(&LAST, "").unwrap().unwrap_or(0);
    let mut out = std::io::stdout();
    loop {
        last += 1;
        store.commit(change(last)).unwrap();
        writeln!(out, "\nkept {last}").unwrap();
        out.flush().unwrap();
        if last.is_multiple_of(50)
            && let Err(error) = store.tend()
        {
            eprintln!("{error}"); // a full disk, where one is tried
        }
    }
}

/// Starts the writer, kills it after a while, and says what it acknowledged last.
fn killed_after(folder: &Path, while_: Duration) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::tests::power_cut::writer",
            "--ignored",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reading = std::thread::spawn(move || {
        let numbers = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("kept ")?.parse().ok());
        numbers.last()
    });
    std::thread::sleep(while_);
    child.kill().unwrap();
    let ended = child.wait().unwrap();
    assert_eq!(ended.signal(), Some(9), "the writer ended by itself: {ended}");
    reading.join().unwrap()
}

#[test]
fn whatever_was_acknowledged_survives_a_kill_at_any_moment() {
    let mut chance = Chance::new();
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let (mut rounds, mut acknowledged, mut recoveries) = (0, 0, 0);
    let wanted = std::env::var("ISIGURT_ROUNDS").map_or(200, |rounds| rounds.parse().unwrap());
    while rounds < wanted && began.elapsed() < Duration::from_secs(60) {
        // Short ones hit the opening, long ones changes, exports and rewrites.
        let while_ = Duration::from_micros(u64::try_from(chance.below(160_000)).unwrap());
        let said = killed_after(folder.path(), while_);
        rounds += 1;
        acknowledged = said.unwrap_or(acknowledged);
        let store = Store::open_with(folder.path(), lazy()).unwrap();
        // sled itself may not open any more after a kill; then the export and the journal behind it are in its place.
        if let Some(said) = store.recovered() {
            eprintln!("round {rounds}: {said}");
            recoveries += 1;
        }
        let last = store.get(&LAST, "").unwrap().unwrap_or(0);
        assert!(
            last == acknowledged || last == acknowledged + 1,
            "round {rounds}: {last} is there, {acknowledged} was acknowledged"
        );
        assert!(
            names(&store) == expected(last),
            "round {rounds}: half of a change"
        );
        let newest = store.audit(None, 1).unwrap();
        assert_eq!(
            newest
                .first()
                .map_or(0, |(_, entry)| entry.action.parse().unwrap()),
            last
        );
        acknowledged = last;
    }
    eprintln!(
        "{rounds} kills, {recoveries} recoveries, {acknowledged} changes, {:?}",
        began.elapsed()
    );
    assert!(
        recoveries * 20 <= rounds,
        "{recoveries} of {rounds} kills damaged the database"
    );
    assert!(acknowledged > 100, "{acknowledged}");
}
