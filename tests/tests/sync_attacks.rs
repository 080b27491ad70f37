//! What can be done to a gateway by whoever stands between it and the platform, or holds some of its keys. In each case the
//! last good list stays in force, the reason is shown, and once all is well again the next version comes in.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::case_sensitive_file_extension_comparisons // paths of a repository
)]

#[path = "support/synced.rs"]
mod synced;

use std::time::Duration;

use isigurt_tests::repository::{about, key};
use isigurt_tests::{Reply, Repository, Role};
use isigurt_wire::release::{Target, Tier};
use synced::{Synced, eventually, list};

const HTML: &[u8] = b"<!DOCTYPE html><html><body>Please log in</body></html>";

/// A repository whose mandatory list blocks `banned.example`.
fn first() -> Repository {
    let mut repository = Repository::new();
    mandatory(&mut repository, &["banned.example"]);
    repository.publish();
    repository
}

/// With names enough that a delta costs less than all of it.
fn padded(names: &[&str]) -> String {
    let others: Vec<String> = (0..200).map(|number| format!("other{number}.example")).collect();
    let names: Vec<&str> = others
        .iter()
        .map(String::as_str)
        .chain(names.iter().copied())
        .collect();
    list(&names)
}

fn mandatory(repository: &mut Repository, names: &[&str]) {
    repository.list(Role::Mandatory, "abuse", None, Tier::Clear, &padded(names));
}

/// The next version, which blocks `second.example` too.
fn second(repository: &mut Repository) {
    mandatory(repository, &["banned.example", "second.example"]);
}

/// A gateway that enforces the first version.
fn synced(repository: &Repository) -> Synced {
    let synced = Synced::with(repository, "");
    synced.blocks("banned.example");
    synced
}

/// The attack shows, and changes nothing.
fn withstands(synced: &Synced, reason: &str) {
    synced.says(reason);
    assert!(
        synced.blocks_now("banned.example"),
        "the last good list is in force"
    );
    assert!(synced.opens_now("second.example"), "nothing else is");
}

#[test]
fn rolled_back_metadata_is_refused_also_after_a_restart_and_without_the_notes_of_the_last_load() {
    let mut repository = first();
    let old = repository.frozen();
    let mut synced = synced(&repository);
    second(&mut repository);
    repository.publish();
    synced.blocks("second.example");
    synced.mirror.turn_to(old.path());
    synced.says("older than");
    assert!(synced.blocks_now("second.example"));
    synced.gateway.signal("TERM");
    synced.gateway.wait();
    synced.gateway.restart();
    assert!(synced.blocks_now("second.example"));
    synced.says("older than");
    // The floor of versions does not lie in the same place as everything else that is known.
    synced.gateway.signal("TERM");
    synced.gateway.wait();
    let state = synced.gateway.folder.path().join("state/national/state.json");
    std::fs::remove_file(state).unwrap();
    synced.gateway.restart();
    synced.says("older than");
    synced.mirror.turn_to(repository.path());
    synced.blocks("second.example");
}

#[test]
fn a_rollback_behind_a_rotation_of_the_online_keys_is_refused() {
    // With only the shipped root, the library forgets what it saw at every load.
    let mut repository = first();
    let mut synced = synced(&repository);
    repository.keys.insert(Role::Timestamp, vec![key()]);
    repository.keys.insert(Role::Snapshot, vec![key()]);
    repository.new_root(&[]);
    repository.publish();
    let old = repository.frozen();
    second(&mut repository);
    repository.publish();
    synced.blocks("second.example");
    synced.mirror.turn_to(old.path());
    synced.says("older than");
    synced.gateway.signal("TERM");
    synced.gateway.wait();
    synced.gateway.restart();
    synced.says("older than");
    assert!(synced.blocks_now("second.example"));
}

#[test]
fn a_frozen_timestamp_stops_what_is_new_once_it_runs_out_and_never_what_is_in_force() {
    let mut repository = first();
    repository
        .good_for
        .insert(Role::Timestamp, Duration::from_secs(8));
    repository.publish();
    let synced = synced(&repository);
    withstands(&synced, "signatures of the platform ran out");
    repository
        .good_for
        .insert(Role::Timestamp, Duration::from_secs(3600));
    second(&mut repository);
    repository.publish();
    synced.blocks("second.example");
}

#[test]
fn files_of_different_releases_do_not_go_together() {
    let mut repository = first();
    let synced = synced(&repository);
    let old = std::fs::read(repository.path().join("metadata/1.snapshot.json")).unwrap();
    synced.mirror.lie(move |path| {
        path.ends_with("2.snapshot.json")
            .then(|| Reply::Page(200, old.clone()))
    });
    second(&mut repository);
    repository.publish();
    withstands(&synced, "metadata is not verified");
    synced.mirror.be_honest();
    synced.blocks("second.example");
}

#[test]
fn the_editors_cannot_sign_for_the_authority() {
    let mut repository = first();
    let synced = synced(&repository);
    let editors = repository.keys[&Role::Categories].clone();
    repository.signers.insert(Role::Mandatory, editors);
    second(&mut repository);
    repository.publish();
    withstands(&synced, "metadata is not verified");
    repository.signers.clear();
    repository.publish();
    synced.blocks("second.example");
}

#[test]
fn the_editors_cannot_publish_under_the_authoritys_name() {
    let mut repository = first();
    let synced = synced(&repository);
    let text = list(&["second.example"]);
    let about = about(Role::Mandatory, "abuse", 9, &text);
    repository.put(Role::Categories, &about, text.as_bytes());
    repository.publish();
    synced.says("problem: national platform");
    assert!(synced.blocks_now("banned.example") && synced.opens_now("second.example"));
}

#[test]
fn a_list_of_the_editors_without_a_category_does_not_become_one_of_the_authority() {
    let mut repository = first();
    let synced = synced(&repository);
    repository.list(
        Role::Categories,
        "own",
        None,
        Tier::Clear,
        &list(&["second.example"]),
    );
    repository.publish();
    withstands(&synced, "names no category");
}

#[test]
fn a_root_with_too_few_signatures_is_refused() {
    let mut repository = first();
    let synced = synced(&repository);
    let one = vec![repository.keys[&Role::Root][0].clone()];
    repository.signers.insert(Role::Root, one);
    repository.new_root(&[]);
    second(&mut repository);
    repository.publish();
    withstands(&synced, "metadata is not verified");
}

#[test]
fn a_root_that_ran_out_is_refused() {
    let mut repository = first();
    let synced = synced(&repository);
    repository.good_for.insert(Role::Root, Duration::ZERO);
    repository.new_root(&[]);
    second(&mut repository);
    repository.publish();
    withstands(&synced, "ran out");
    repository.good_for.insert(Role::Root, Duration::from_secs(3600));
    repository.new_root(&[]);
    repository.publish();
    synced.blocks("second.example");
}

#[test]
fn a_gateway_that_missed_three_rotations_of_all_keys_follows_them() {
    let mut repository = first();
    let mut synced = synced(&repository);
    synced.gateway.signal("TERM");
    synced.gateway.wait();
    for _ in 0..3 {
        let older = repository.keys[&Role::Root].clone();
        for role in Role::ALL {
            let keys = repository.keys[&role].iter().map(|_| key()).collect();
            repository.keys.insert(role, keys);
        }
        repository.new_root(&older);
    }
    second(&mut repository);
    repository.publish();
    synced.gateway.restart();
    assert!(synced.blocks_now("banned.example"));
    synced.blocks("second.example");
    // And one that never saw anything but the shipped root.
    let fresh = Synced::with(&repository, "");
    fresh.blocks("second.example");
}

#[test]
fn a_missing_delegated_role_is_no_empty_list() {
    let mut repository = first();
    let synced = synced(&repository);
    repository.unnamed = vec![Role::Mandatory];
    repository.publish();
    withstands(&synced, "problem: national platform");
    repository.unnamed.clear();
    second(&mut repository);
    repository.publish();
    synced.blocks("second.example");
}

#[test]
fn data_without_end_ends_at_the_limit() {
    let mut repository = first();
    let synced = synced(&repository);
    for (part, reason) in [
        ("timestamp.json", "sends more than"),
        (".list.zst", "sends more than"),
    ] {
        synced
            .mirror
            .lie(move |path| (path.contains(part) || path.contains(".delta.zst")).then_some(Reply::Endless));
        second(&mut repository);
        repository.publish();
        withstands(&synced, reason);
    }
    synced.mirror.be_honest();
    synced.blocks("second.example");
}

#[test]
fn data_that_drips_is_not_waited_for() {
    let mut repository = first();
    let synced = synced(&repository);
    synced
        .mirror
        .lie(|path| path.ends_with(".zst").then_some(Reply::Slow));
    second(&mut repository);
    repository.publish();
    withstands(&synced, "too slow");
    synced.mirror.be_honest();
    synced.blocks("second.example");
}

#[test]
fn a_truncated_target_is_refused_and_one_that_broke_off_is_gone_on_with() {
    let mut repository = first();
    let synced = synced(&repository);
    synced
        .mirror
        .lie(|path| path.ends_with(".zst").then_some(Reply::Page(200, b"x".to_vec())));
    second(&mut repository);
    repository.publish();
    withstands(&synced, "is not what was signed");
    synced
        .mirror
        .lie(|path| path.ends_with(".zst").then_some(Reply::Cut(20)));
    withstands(&synced, "broke off");
    synced.mirror.be_honest();
    synced.blocks("second.example");
}

#[test]
fn deltas_that_do_not_fit_are_passed_over_for_the_full_list() {
    let mut repository = first();
    let synced = synced(&repository);
    // A delta from something else than what the gateway has, signed all the same.
    second(&mut repository);
    let (old, new) = (
        padded(&["x.example"]),
        padded(&["banned.example", "second.example"]),
    );
    let mut octets = Vec::new();
    isigurt_blocklists::delta::diff(old.as_bytes(), new.as_bytes(), &mut octets).unwrap();
    let about = Target {
        from: Some(1),
        unpacked: octets.len() as u64,
        ..about(Role::Mandatory, "abuse", 2, &new)
    };
    repository.put(Role::Mandatory, &about, &octets);
    repository.publish();
    synced.blocks("second.example");
    assert!(synced.blocks_now("banned.example"));
    assert!(
        synced
            .gateway
            .log()
            .contains("deltas do not lead to the new version")
    );
}

#[test]
fn a_tampered_delta_is_refused_and_so_is_a_tampered_list() {
    let mut repository = first();
    let synced = synced(&repository);
    let tampered = |path: &str| path.ends_with(".zst").then(|| Reply::Page(200, vec![7; 150]));
    synced.mirror.lie(tampered);
    second(&mut repository);
    repository.publish();
    withstands(&synced, "problem: national platform");
    synced.mirror.lie(|path| {
        path.ends_with(".delta.zst")
            .then(|| Reply::Page(200, vec![7; 90]))
    });
    synced.blocks("second.example");
    assert!(
        synced
            .gateway
            .log()
            .contains("deltas do not lead to the new version")
    );
}

#[test]
fn a_hashed_list_whose_key_is_none_or_another_kind_is_refused() {
    let mut repository = first();
    let synced = synced(&repository);
    let digest = "ab".repeat(16);
    let headers = [
        "# isigurt hashed list 1\n# hash: blake3-keyed-128\n# key: 0011\n# bits: 128\n",
        "# isigurt hashed list 1\n# hash: sha1\n# key: 00\n# bits: 128\n",
    ];
    for header in headers {
        let text = format!("{header}{digest}\n");
        repository.list(Role::Mandatory, "abuse", None, Tier::Hashed, &text);
        repository.publish();
        withstands(&synced, "refused");
    }
    // Prefixes that are signed as whole hashes: each candidate would be blocked.
    let key = isigurt_blocklists::read::hashed::HashKey {
        key: [1; 32],
        bits: 24,
        offline: isigurt_blocklists::read::hashed::Offline::Block,
    };
    let text = format!("{}{}\n", key.header(), key.line(b"second.example", false));
    repository.list(Role::Mandatory, "abuse", None, Tier::Hashed, &text);
    repository.publish();
    withstands(&synced, "holds prefixes: true");
    second(&mut repository);
    repository.publish();
    synced.blocks("second.example");
}

#[test]
fn a_mirror_that_serves_a_web_page_is_no_platform() {
    let mut repository = first();
    let synced = synced(&repository);
    synced.mirror.lie(|_| Some(Reply::Page(200, HTML.to_vec())));
    second(&mut repository);
    repository.publish();
    withstands(&synced, "metadata is not verified");
    synced.mirror.be_honest();
    synced.blocks("second.example");
}

#[test]
fn a_clock_in_1970_is_waited_for() {
    let Some(clock) = wrong_clock() else {
        return eprintln!("skipped: no C compiler to make a wrong clock with");
    };
    let mut repository = first();
    let mut synced = synced(&repository);
    synced.gateway.signal("TERM");
    synced.gateway.wait();
    second(&mut repository);
    repository.publish();
    let preload = format!("LD_PRELOAD={}", clock.path().join("clock.so").display());
    synced.gateway.restart_under(&["env", &preload]);
    withstands(&synced, "nothing new is believed until it is set");
    synced.gateway.signal("TERM");
    synced.gateway.wait();
    synced.gateway.restart();
    synced.blocks("second.example");
}

/// A library that has the clock begin in 1970.
fn wrong_clock() -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let code = "#define _GNU_SOURCE\n#include <time.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n\
        int clock_gettime(clockid_t id, struct timespec *t) {\n\
          int done = syscall(SYS_clock_gettime, id, t);\n\
          if (done == 0 && id == CLOCK_REALTIME) t->tv_sec %= 86400;\n\
          return done;\n}\n";
    std::fs::write(folder.path().join("clock.c"), code).unwrap();
    let made = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(folder.path().join("clock.so"))
        .arg(folder.path().join("clock.c"))
        .status();
    made.is_ok_and(|made| made.success()).then_some(folder)
}

#[test]
fn a_list_that_there_is_no_room_for_leaves_nothing_half_written() {
    let mut repository = first();
    let mut synced = synced(&repository);
    synced.gateway.signal("TERM");
    synced.gateway.wait();
    // No file may grow beyond 4 MiB; the new list is larger.
    let limited = ["bash", "-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "bash"];
    synced.gateway.restart_under(&limited);
    let names: Vec<String> = (0..300_000).map(|number| format!("n{number}.example")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.extend(["banned.example", "second.example"]);
    mandatory(&mut repository, &names);
    repository.publish();
    withstands(&synced, "make room on the disk");
    let lists = synced.gateway.folder.path().join("state/national/lists");
    let held: Vec<_> = std::fs::read_dir(lists).unwrap().flatten().collect();
    assert_eq!(held.len(), 1, "{held:?}");
    synced.gateway.signal("TERM");
    synced.gateway.wait();
    synced.gateway.restart();
    assert!(synced.blocks_now("banned.example"));
    synced.blocks("second.example");
}

#[test]
fn killed_at_any_step_it_comes_back_with_the_last_good_list() {
    let mut repository = first();
    let mut synced = synced(&repository);
    second(&mut repository);
    repository.publish();
    for step in [
        "timestamp.json",
        ".snapshot.json",
        ".targets.json",
        ".mandatory.json",
        ".zst",
    ] {
        let before = synced.mirror.asked().len();
        synced.mirror.lie(move |path| {
            path.contains(step)
                .then_some(Reply::Late(Duration::from_secs(60)))
        });
        eventually(step, || {
            synced.mirror.asked()[before..]
                .iter()
                .any(|path| path.contains(step))
        });
        synced.gateway.signal("KILL");
        synced.gateway.wait();
        synced.gateway.restart();
        assert!(
            synced.blocks_now("banned.example"),
            "killed while {step} was fetched"
        );
    }
    // While it writes, builds and swaps.
    for (round, delay) in [0, 40, 80, 160, 320, 640].into_iter().enumerate() {
        let before = synced.mirror.asked().len();
        synced.mirror.be_honest();
        mandatory(
            &mut repository,
            &["banned.example", "second.example", &format!("r{round}.example")],
        );
        repository.publish();
        eventually("a list", || {
            synced.mirror.asked()[before..]
                .iter()
                .any(|path| path.ends_with(".zst"))
        });
        std::thread::sleep(Duration::from_millis(delay));
        synced.gateway.signal("KILL");
        synced.gateway.wait();
        synced.gateway.restart();
        assert!(synced.blocks_now("banned.example"), "killed after {delay} ms");
    }
    synced.blocks("r5.example");
    synced.blocks("second.example");
}
