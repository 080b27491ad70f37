//! Tests inside a network namespace of their own.

use std::process::{Command, Stdio};

use crate::program;

/// Runs the ignored test `test` of this program as root of a network namespace, where `ip` with `try_first` is permitted;
/// says so and goes on where it is not.
pub fn run_inside(test: &str, try_first: &str) {
    // As root, else as the root of a user namespace.
    let ways = [&["--net"][..], &["--user", "--map-root-user", "--net"]];
    let permitted = |way: &&&[&str]| {
        let tried = Command::new("unshare")
            .args(**way)
            .arg("ip")
            .args(try_first.split(' '))
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    let Some(way) = ways.iter().find(permitted) else {
        return eprintln!("skipped: network namespaces are not permitted here, or iproute2 is missing");
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
}

/// Runs `ip` with these words.
pub fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(done.success(), "ip {arguments}");
}
