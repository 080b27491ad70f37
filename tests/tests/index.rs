//! The index as its user meets it: kept over restarts, found out when damaged, made of names or of hashes, brought up to
//! date by deltas.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use isigurt_tests::{Authority, Gateway, ask_udp, program, query};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(program("isigurtd"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn blocked(gateway: &Gateway, name: &str) -> bool {
    let answer = ask_udp(gateway.address, &query(name, 1), Duration::from_secs(3)).unwrap();
    answer.ends_with(&[0, 4, 0, 0, 0, 0])
}

/// Starts the program again on a gateway's configuration; gives what it logs until it is ended.
fn again(gateway: &mut Gateway) -> String {
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    gateway.restart();
    gateway.log()
}

const LISTS: &str = "[[lists]]\nid = \"l\"\nurl = \"{dir}/l.txt\"\nformat = \"domains\"\n";

#[test]
fn an_index_of_the_same_lists_is_used_again_and_one_of_others_is_not() {
    let authority = Authority::start();
    let mut gateway = Gateway::start(authority.address, "", LISTS, &[("l.txt", "a.example\n")]);
    assert!(gateway.log().contains("list read") && blocked(&gateway, "a.example"));
    let log = again(&mut gateway);
    assert!(!log.contains("list read"), "{log}");
    assert!(blocked(&gateway, "www.a.example") && !blocked(&gateway, "b.example"));
    let why = text(&gateway.command(&["why", "a.example"]).stdout);
    assert!(why.contains("line 1"), "{why}");
    std::fs::write(gateway.folder.path().join("l.txt"), "b.example\n").unwrap();
    let log = again(&mut gateway);
    assert!(log.contains("list read"), "{log}");
    assert!(!blocked(&gateway, "a.example") && blocked(&gateway, "b.example"));
}

#[test]
fn a_damaged_or_torn_index_is_found_at_the_start_and_built_anew() {
    let authority = Authority::start();
    let mut gateway = Gateway::start(authority.address, "", LISTS, &[("l.txt", "a.example\n")]);
    let file = gateway.folder.path().join("state/index/rules.idx");
    for damage in [
        (|octets: &mut Vec<u8>| octets[600] ^= 1) as fn(&mut Vec<u8>),
        |octets| octets.truncate(octets.len() / 2),
        Vec::clear,
        |octets| octets[30] ^= 1,
    ] {
        let mut octets = std::fs::read(&file).unwrap();
        damage(&mut octets);
        // Another file of that name, as a torn write or a bad disk would leave it; the mapped one stays as it is.
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, octets).unwrap();
        let log = again(&mut gateway);
        assert!(log.contains("built anew") && log.contains("list read"), "{log}");
        assert!(blocked(&gateway, "a.example"));
    }
    // Without its lines, the index decides as before and only the line is not known.
    std::fs::remove_file(gateway.folder.path().join("state/index/rules.lines")).unwrap();
    let why = text(&gateway.command(&["why", "a.example"]).stdout);
    assert!(why.contains("blocked") && why.contains("line unknown"), "{why}");
}

#[test]
fn a_list_of_hashes_is_enforced_and_names_nothing() {
    let authority = Authority::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("names.txt"),
        "||secret.example^\n@@||not.example^\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("key.hex"), "5a".repeat(32)).unwrap();
    let made = |arguments: &[&str]| {
        let all = [
            &[
                "lists",
                "compile",
                "--hash",
                "names.txt",
                "-o",
                "hashed.txt",
                "--json",
            ],
            arguments,
        ]
        .concat();
        let report: serde_json::Value = serde_json::from_slice(&run(folder.path(), &all).stdout).unwrap();
        assert_eq!(report["inputs"][0]["kept"], 1);
        assert!(
            report["inputs"][0]["rejections"][0]
                .as_str()
                .unwrap()
                .contains("names.txt:2"),
            "{report}"
        );
        std::fs::read_to_string(folder.path().join("hashed.txt")).unwrap()
    };
    let list = made(&["--key", "key.hex"]);
    assert!(!list.contains("secret"), "{list}");
    let lists = "[[lists]]\nid = \"l\"\nurl = \"{dir}/l.txt\"\ncategory = \"adult\"\n";
    let gateway = Gateway::start(authority.address, "", lists, &[("l.txt", &list)]);
    assert!(blocked(&gateway, "secret.example") && blocked(&gateway, "www.secret.example"));
    assert!(!blocked(&gateway, "not.example") && !blocked(&gateway, "example"));
    let why = text(&gateway.command(&["why", "www.secret.example"]).stdout);
    assert!(why.contains("as a hash") && why.contains("line 5"), "{why}");
    // No file of the state holds the name.
    let mut open = vec![gateway.folder.path().join("state")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.is_file() {
            let octets = std::fs::read(&path).unwrap();
            assert!(!octets.windows(6).any(|window| window == b"secret"), "{path:?}");
        }
    }
    // Short prefixes only make a candidate, which is allowed and shown, or blocked where the list says so.
    let key = "5a".repeat(32);
    for (offline, expected) in [("allow", false), ("block", true)] {
        let list = made(&["--key", &key, "--bits", "24", "--offline", offline]);
        let gateway = Gateway::start(authority.address, "", lists, &[("l.txt", &list)]);
        assert_eq!(blocked(&gateway, "www.secret.example"), expected, "{offline}");
        let why = text(&gateway.command(&["why", "www.secret.example"]).stdout);
        assert!(why.contains("candidate"), "{why}");
        assert_eq!(why.contains("the list blocks such names"), expected, "{why}");
    }
}

#[test]
fn compiling_the_same_list_twice_gives_the_same_octets() {
    let folder = tempfile::tempdir().unwrap();
    let list: String = (0..30_000).fold(String::new(), |list, number| {
        list + &format!("||n{number}.example{}.example^\n", number % 77)
    });
    std::fs::write(folder.path().join("l.txt"), list).unwrap();
    let octets = |name: &str| {
        run(folder.path(), &["lists", "compile", "l.txt", "-o", name]);
        let lines = std::fs::read(folder.path().join(format!("{name}.lines"))).unwrap();
        (std::fs::read(folder.path().join(name)).unwrap(), lines)
    };
    let (one, other) = (octets("one.idx"), octets("other.idx"));
    assert!(one == other);
    assert!(one.0.len() < 30_000 * 10 + 10_000, "{} octets", one.0.len());
}

#[test]
fn a_delta_makes_the_new_version_out_of_the_old_one_and_of_no_other() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "b.example\na.example\na.example\n").unwrap();
    std::fs::write(folder.path().join("b.txt"), "c.example\na.example\n").unwrap();
    for name in ["a", "b"] {
        let output = format!("{name}.list");
        run(
            folder.path(),
            &["lists", "canonical", &format!("{name}.txt"), "-o", &output],
        );
    }
    run(
        folder.path(),
        &["lists", "diff", "a.list", "b.list", "-o", "ab.delta"],
    );
    run(
        folder.path(),
        &["lists", "apply", "a.list", "ab.delta", "-o", "again.list"],
    );
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("again.list"), read("b.list"));
    assert_eq!(read("b.list"), "# isigurt-list 1\n||a.example^\n||c.example^\n");
    let refused = Command::new(program("isigurtd"))
        .current_dir(folder.path())
        .args(["lists", "apply", "b.list", "ab.delta", "-o", "wrong.list"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("another version"), "{refused:?}");
    assert!(!folder.path().join("wrong.list").exists());
}

#[test]
fn a_worker_that_is_ended_changes_nothing() {
    let authority = Authority::start();
    let gateway = Gateway::start(authority.address, "", LISTS, &[("l.txt", "a.example\n")]);
    // What the worker writes cannot be made: a folder stands in the way.
    std::fs::create_dir(gateway.folder.path().join("state/index/next.idx")).unwrap();
    std::fs::write(gateway.folder.path().join("l.txt"), "b.example\n").unwrap();
    gateway.signal("HUP");
    gateway.wait_for_log("reload failed", 1);
    assert!(blocked(&gateway, "a.example") && !blocked(&gateway, "b.example"));
    let status = text(&gateway.command(&["status"]).stdout);
    assert!(
        status.contains("degraded") && status.contains("next.idx"),
        "{status}"
    );
    std::fs::remove_dir(gateway.folder.path().join("state/index/next.idx")).unwrap();
    gateway.signal("HUP");
    gateway.wait_for_log("reloaded", 1);
    assert!(!blocked(&gateway, "a.example") && blocked(&gateway, "b.example"));
}
