//! The web UI in a real browser: each suite of `webui/tests` against a gateway of its own, with real DNS queries.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use isigurt_tests::{House, PASSWORD, program, system};

fn webui() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../webui")
}

/// Runs a suite against this house; does what it asks for meanwhile.
fn run(suite: &str, house: &mut House, code: &str) {
    run_with(suite, house, code, "");
}

/// The same, where names lead elsewhere than the system says: `MAP name address`.
fn run_with(suite: &str, house: &mut House, code: &str, names: &str) {
    let mut child = Command::new(system("node"))
        .arg("tests/run.mjs")
        .arg(suite)
        .args(std::env::var("ISIGURT_BROWSER_TEST"))
        .current_dir(webui())
        .env("ISIGURT_WEB", house.web.to_string())
        .env("ISIGURT_DNS", house.gateway.address.to_string())
        .env("ISIGURT_CODE", code)
        .env("ISIGURT_PASSWORD", PASSWORD)
        .env("ISIGURT_CHROMIUM", system("chromium"))
        .env("ISIGURT_HOST_RULES", names)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut orders = child.stdin.take().unwrap();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.strip_prefix('@') {
            Some("stop") => stop(house),
            Some("start") => house.gateway.restart(),
            Some("restart") => {
                stop(house);
                house.gateway.restart();
            }
            Some(other) => panic!("no such order: {other}"),
            None => {
                println!("{line}");
                continue;
            }
        }
        writeln!(orders, "done").unwrap();
    }
    assert!(child.wait().unwrap().success(), "{suite}: see what it printed");
}

fn stop(house: &mut House) {
    house.gateway.signal("TERM");
    house.gateway.wait();
}

/// Runs a suite against a house with the owner "Ana".
fn with_ana(suite: &str) {
    let (mut house, _) = House::claimed("");
    run(suite, &mut house, "");
}

#[test]
fn types_of_the_pages_fit_the_description_of_the_api_that_the_gateway_gives() {
    let description = Command::new(program("isigurtd")).arg("openapi").output().unwrap();
    assert!(description.status.success());
    let target = webui().join("../target");
    std::fs::create_dir_all(&target).unwrap();
    std::fs::write(target.join("openapi.json"), description.stdout).unwrap();
    let checked = Command::new(system("npm"))
        .args(["run", "--silent", "check"])
        .current_dir(webui())
        .output()
        .unwrap();
    let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    assert!(checked.status.success(), "{said}");
}

#[test]
fn every_text_stands_in_every_message_file_and_no_page_has_one_of_its_own() {
    let checked = Command::new(system("node"))
        .arg("tests/messages.mjs")
        .current_dir(webui())
        .output()
        .unwrap();
    let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    assert!(checked.status.success(), "{said}");
}

#[test]
fn every_page_is_accessible_and_small_in_both_languages_and_themes() {
    with_ana("pages");
}

#[test]
fn pages_without_javascript_are_accessible_usable_and_left_at_once() {
    let page = isigurt_tests::free_address();
    let mut house = House::new(&format!("block_page = [\"{page}\"]"));
    run_with("plain", &mut house, "", &format!("MAP bet365.com {page}"));
}
