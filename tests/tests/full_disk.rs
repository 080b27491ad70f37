//! A disk without room: nothing is torn, the last good list holds, the reason is shown, and all goes on once there is room.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/household.rs"]
mod household;
#[path = "support/synced.rs"]
mod synced;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use household::Household;
use isigurt_tests::namespace;
use serde_json::{Value, json};
use synced::{ban, eventually};

/// A file that leaves no octet of a disk free until it is dropped.
struct Full(PathBuf);

impl Full {
    fn up(folder: &Path) -> Self {
        let path = folder.join("something-else");
        let mut file = std::fs::File::create(&path).unwrap();
        for piece in [1 << 16, 1 << 10, 1] {
            while file.write_all(&vec![b'x'; piece]).is_ok() {}
        }
        Self(path)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn run(words: &[&str]) {
    let done = Command::new(words[0]).args(&words[1..]).status().unwrap();
    assert!(done.success(), "{words:?}");
}

/// Moves the gateway's state to a disk of its own with `room` KiB beside it, and starts it there.
fn move_to_small_disk(home: &mut Household, room: u64) -> PathBuf {
    home.stop();
    let state = home.synced.gateway.folder.path().join("state");
    let aside = tempfile::tempdir().unwrap();
    let (from, to) = (state.to_str().unwrap(), aside.path().to_str().unwrap());
    run(&["cp", "-a", &format!("{from}/."), to]);
    let used = Command::new("du").args(["-sk", to]).output().unwrap().stdout;
    let used = String::from_utf8(used).unwrap();
    let used: u64 = used.split_whitespace().next().unwrap().parse().unwrap();
    let size = format!("size={}k,mode=700", used + room);
    run(&["mount", "-t", "tmpfs", "-o", &size, "tmpfs", from]);
    run(&["cp", "-a", &format!("{to}/."), from]);
    home.synced.gateway.restart();
    home.sign_in();
    state
}

fn policy(categories: &[&str]) -> Value {
    json!({ "profile": [{ "name": "child", "categories": categories }], "settings": { "default_profile": "child" } })
}

/// The categories that are blocked now.
fn blocked(home: &mut Household) -> Value {
    home.ana.ask("GET", "/policy", &Value::Null).body["profile"][0]["categories"].clone()
}

/// Reports a site; the receipt, where it is taken.
fn report(home: &mut Household) -> Result<String, (u16, String)> {
    let draft = json!({ "name": "bad.example", "kind": "fraud" });
    let sent = home.ana.ask("POST", "/reports", &draft);
    match sent.status {
        201 => Ok(sent.text("receipt").to_owned()),
        status => Err((status, sent.raw)),
    }
}

/// The mandatory list with these names and many others.
fn publish(home: &mut Household, names: &[&str]) {
    let others: Vec<String> = (0..40_000)
        .map(|number| format!("other{number}.example"))
        .collect();
    let all: Vec<&str> = others
        .iter()
        .map(String::as_str)
        .chain(names.iter().copied())
        .collect();
    ban(&mut home.repository, &all);
}

#[test]
fn without_room_on_the_disk_nothing_is_torn_and_all_goes_on_once_there_is_room() {
    namespace::run_inside_mounts("a_full_disk");
}

#[test]
#[ignore = "runs in a mount namespace of its own"]
fn a_full_disk() {
    let mut home = Household::new();
    let set = home.ana.ask("PUT", "/policy", &policy(&["gambling"]));
    assert_eq!(set.status, 200, "{set:?}");
    let state = move_to_small_disk(&mut home, 12 << 10);
    assert!(home.synced.opens_now("before.example"));
    assert!(
        home.synced
            .gateway
            .says(&["log"], true)
            .contains("before.example")
    );
    let mut taken: Vec<String> = report(&mut home).into_iter().collect();
    assert_eq!(taken.len(), 1);
    let mut expected = json!(["gambling"]);

    // It fills up while the gateway runs, and is emptied again.
    let full = Full::up(&state);
    publish(&mut home, &["banned.example", "second.example"]);
    home.synced.says("No space left on device");
    home.synced.says("the lists that were verified last are in force");
    let found = home.found("disk");
    assert!(found.starts_with("BAD  disk: 0 MiB free"), "{found}");
    for number in 0..300 {
        assert!(
            home.synced.opens_now(&format!("while{number}.example")),
            "answers go on"
        );
    }
    changes(&mut home, &mut taken, &mut expected);
    assert!(home.synced.blocks_now("banned.example") && home.synced.opens_now("second.example"));
    assert!(
        home.synced
            .gateway
            .says(&["log"], true)
            .contains("before.example")
    );
    drop(full);
    home.synced.blocks("second.example");
    goes_on(&mut home, &mut taken, &mut expected, "first.after.example");

    // Power cuts while it is full; each time a little more was written where that was possible.
    let full = Full::up(&state);
    publish(&mut home, &["banned.example", "second.example", "third.example"]);
    home.synced.says("No space left on device");
    for _ in 0..3 {
        changes(&mut home, &mut taken, &mut expected);
        power_cut(&mut home);
        assert!(home.synced.blocks_now("banned.example") && home.synced.blocks_now("second.example"));
        assert!(home.synced.opens_now("third.example"));
        assert_eq!(blocked(&mut home), expected);
    }
    drop(full);
    home.synced.blocks("third.example");
    goes_on(&mut home, &mut taken, &mut expected, "second.after.example");
    power_cut(&mut home);
    assert!(home.synced.blocks_now("banned.example") && home.synced.blocks_now("third.example"));
    assert_eq!(blocked(&mut home), expected);
    let listed = home.ana.ask("GET", "/reports", &Value::Null).body;
    let mut listed: Vec<&str> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|report| report["receipt"].as_str().unwrap())
        .collect();
    listed.sort_unstable();
    taken.sort_unstable();
    assert_eq!(listed, taken, "what was acknowledged is there, and nothing else");
    let log = home.synced.gateway.says(&["log"], true);
    for name in ["before.example", "first.after.example", "second.after.example"] {
        assert!(log.contains(name), "{name} in {log}");
    }
    assert!(!home.status()["problems"].to_string().contains("damaged"));
}

/// Tries a report and a change of the policy, three times. Either is kept or refused with the reason, never half.
fn changes(home: &mut Household, taken: &mut Vec<String>, expected: &mut Value) {
    for category in ["malware", "adult", "gambling"] {
        match report(home) {
            Ok(receipt) => taken.push(receipt),
            Err((status, said)) => {
                eprintln!("report: {said}");
                assert!(status == 503 && said.contains("room"), "{status} {said}");
            }
        }
        let change = home.ana.ask("PUT", "/policy", &policy(&[category]));
        match change.status {
            200 => *expected = json!([category]),
            status => {
                eprintln!("policy: {}", change.raw);
                assert!(status == 503 && change.raw.contains("room"), "{change:?}");
            }
        }
        assert_eq!(blocked(home), *expected);
    }
}

/// With room on the disk all that was refused is taken, without a restart.
fn goes_on(home: &mut Household, taken: &mut Vec<String>, expected: &mut Value, name: &str) {
    eventually("a change", || {
        home.ana.ask("PUT", "/policy", &policy(&["scam"])).status == 200
    });
    *expected = json!(["scam"]);
    assert_eq!(blocked(home), *expected);
    taken.push(report(home).expect("a report is taken"));
    assert!(home.synced.opens_now(name));
    eventually("the log", || {
        home.synced.gateway.says(&["log"], true).contains(name)
    });
}

fn power_cut(home: &mut Household) {
    home.synced.gateway.signal("KILL");
    home.synced.gateway.wait();
    home.synced.gateway.restart();
    home.sign_in();
}
