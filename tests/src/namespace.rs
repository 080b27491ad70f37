//! Tests inside a namespace of their own: of the network, or of what is mounted.

use std::process::{Command, Stdio};

use crate::program;

/// Runs the ignored test `test` of this program as root of a network namespace, where `ip` with `try_first` is permitted;
/// says so and goes on where it is not.
pub fn run_inside(test: &str, try_first: &str) {
    let words: Vec<&str> = ["ip"].into_iter().chain(try_first.split(' ')).collect();
    run("--net", &words, test);
}

/// The same in a mount namespace, where what the test mounts is seen by nobody else.
pub fn run_inside_mounts(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    run(
        "--mount",
        &["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
        test,
    );
}

fn run(namespace: &str, try_first: &[&str], test: &str) {
    // As root, else as the root of a user namespace.
    let ways = [&[namespace][..], &["--user", "--map-root-user", namespace]];
    let permitted = |way: &&&[&str]| {
        let tried = Command::new("unshare")
            .args(**way)
            .args(try_first)
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    let Some(way) = ways.iter().find(permitted) else {
        let program = try_first.first().copied().unwrap_or_default();
        return eprintln!(
            "skipped: namespaces ({namespace}) are not permitted here, or {program} is missing"
        );
    };
    program("isigurtd"); // built out here
    let inside = Command::new("unshare")
        .args(*way)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&inside.stdout).into_owned() + &String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
    eprintln!("{said}");
}

/// Runs `ip` with these words.
pub fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(done.success(), "ip {arguments}");
}
