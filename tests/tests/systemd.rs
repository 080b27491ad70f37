//! The units: accepted by systemd, and a small target.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;

use isigurt_tests::{ask_udp, free_address, program, query, system, wait_for};

fn units() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../systemd")
        .canonicalize()
        .unwrap()
}

#[test]
fn the_exposure_of_the_service_is_at_most_1_6() {
    let unit = units().join("isigurtd.service");
    let output = Command::new(system("systemd-analyze"))
        .args(["security", "--offline=true", "--no-pager"])
        .arg(unit)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find(|line| line.contains("Overall exposure level"))
        .unwrap_or_else(|| panic!("{output:?}"));
    let level: f32 = line
        .split(':')
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    eprintln!("exposure {level}");
    assert!(level <= 1.6, "{text}");
}

#[test]
fn systemd_accepts_the_units() {
    // With the built program in the place of the installed one.
    let folder = tempfile::tempdir().unwrap();
    for unit in ["isigurtd.service", "isigurtd.socket"] {
        let text = std::fs::read_to_string(units().join(unit)).unwrap();
        let text = text.replace("/usr/bin/isigurtd", &program("isigurtd").display().to_string());
        std::fs::write(folder.path().join(unit), text).unwrap();
    }
    let unit = folder.path().join("isigurtd.service");
    let output = Command::new(system("systemd-analyze"))
        .args(["verify", "--man=no"])
        .arg(unit)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("isigurtd")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[test]
fn sockets_from_the_service_manager_are_served_without_binding_any() {
    let address = free_address();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("g.toml");
    let text = format!(
        "state_dir = \"{}\"\n[dns]\nlisten = [\"203.0.113.1:53\"]\n[web]\nlisten = []\n",
        folder.path().join("s").display()
    );
    std::fs::write(&config, text).unwrap();
    let mut child = Command::new(system("systemd-socket-activate"))
        .args(["--datagram", "--listen", &address.to_string()])
        .arg(program("isigurtd"))
        .args(["run", "--config"])
        .arg(&config)
        .spawn()
        .unwrap();
    wait_for("an answer", || {
        ask_udp(
            address,
            &query("localhost", 1),
            std::time::Duration::from_millis(200),
        )
        .is_some()
    });
    assert!(
        Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap()
            .success()
    );
    assert!(child.wait().unwrap().success());
}
