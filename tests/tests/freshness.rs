//! How long ago the platform was heard of, with the clock in the test's hand: said after a day and loudly after a week,
//! wherever one looks, while what was verified last stays in force; and reports that wait too long for it.
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

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use household::Household;
use isigurt_tests::Reply;
use serde_json::{Value, json};
use synced::{eventually, get};

const DAY: f64 = 86_400.0;

#[test]
fn a_platform_that_was_not_heard_of_is_a_warning_after_a_day_and_an_alarm_after_a_week() {
    let mut home = Household::new();
    let age = "isigurt_list_checked_seconds{list=\"mandatory/abuse\"}";
    let fresh = home.status();
    assert!(!fresh["problems"].to_string().contains("refreshed"), "{fresh}");
    assert!(home.metric(age).unwrap() < DAY);

    home.later("+26h");
    home.synced.says("not refreshed for 26 hours");
    home.synced.says("the lists that were verified last are in force");
    let status = home.status();
    assert_eq!(status["state"], "degraded");
    assert!(
        status["problems"]
            .to_string()
            .contains("not refreshed for 26 hours"),
        "{status}"
    );
    let shown = home.synced.gateway.says(&["status"], true);
    assert!(shown.contains("not refreshed for 26 hours"), "{shown}");
    assert!(!shown.contains("NOT REFRESHED"), "a day is no week: {shown}");
    assert!(home.metric(age).unwrap() > DAY && home.metric("isigurt_problems").unwrap() >= 1.0);
    home.synced
        .gateway
        .wait_for_log("not heard of for a day or more", 1);
    assert!(
        home.found("lists").starts_with("look lists: "),
        "{}",
        home.found("lists")
    );
    assert!(home.synced.blocks_now("banned.example"));

    home.later("+8d");
    home.synced
        .says("NOT REFRESHED FOR 8 DAYS: what is new is not blocked here");
    let status = home.status();
    assert!(
        status["problems"]
            .to_string()
            .contains("NOT REFRESHED FOR 8 DAYS"),
        "{status}"
    );
    let shown = home.synced.gateway.says(&["status", "--json"], true);
    assert!(shown.contains("NOT REFRESHED FOR 8 DAYS"), "{shown}");
    assert!(home.metric(age).unwrap() > 7.0 * DAY);
    home.synced
        .gateway
        .wait_for_log("for a week or more: what is new is not blocked here", 1);
    assert!(
        home.synced.gateway.log().contains("ERROR"),
        "{}",
        home.synced.gateway.log()
    );
    let found = home.found("lists");
    assert!(
        found.starts_with("BAD  lists: ") && found.contains("8 days"),
        "{found}"
    );
    let api = home.ana.ask("GET", "/doctor", &Value::Null).body;
    let lists = api["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|found| found["check"] == "lists");
    assert_eq!(lists.unwrap()["standing"], "bad", "{api}");
    // It goes on: what was verified is enforced, and whoever asks whether it serves is told so.
    assert!(home.synced.blocks_now("banned.example"));
    assert!(get(home.web, "/readyz").starts_with("HTTP/1.1 200"));

    // Whoever wants to know what is wrong with the gateway is told, once.
    let (hook, told) = receiver();
    let recipient = json!({
        "name": "lead", "language": "en", "about": ["gateway"], "digest_minutes": 5,
        "way": { "kind": "webhook", "url": format!("http://{hook}/") },
    });
    assert_eq!(home.ana.ask("POST", "/alerts/recipients", &recipient).status, 201);
    let message = told.recv_timeout(Duration::from_secs(240)).expect("an alert");
    assert!(message.contains("NOT REFRESHED FOR 8 DAYS"), "{message}");

    // All is well again.
    home.synced.mirror.be_honest();
    home.synced.gateway.says(&["lists", "update"], true);
    eventually("no warning", || {
        !home.status()["problems"].to_string().contains("REFRESHED")
    });
}

/// A server that takes messages; their bodies are handed on.
fn receiver() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (out, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut length = 0;
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                if stream.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                let line = line.to_lowercase();
                length = line
                    .strip_prefix("content-length: ")
                    .map_or(length, |length| length.trim().parse().unwrap());
            }
            let mut body = vec![0; length];
            let _ = stream.read_exact(&mut body);
            let _ = stream
                .get_mut()
                .write_all(b"HTTP/1.1 204 N\r\nconnection: close\r\n\r\n");
            if out.send(String::from_utf8_lossy(&body).into_owned()).is_err() {
                return;
            }
        }
    });
    (address, received)
}

#[test]
fn reports_that_wait_for_the_platform_are_counted_and_after_a_day_they_are_a_problem() {
    let mut home = Household::new();
    assert_eq!(home.status()["reports"]["waiting"], 0);
    assert_eq!(home.metric("isigurt_reports_waiting"), Some(0.0));
    assert!(
        home.found("reports").starts_with("ok   reports: "),
        "{}",
        home.found("reports")
    );
    home.synced.mirror.lie(|_| Some(Reply::Page(503, Vec::new())));
    for name in ["one.example", "two.example"] {
        let words = ["report", name, "--kind", "fraud", "--yes"];
        home.synced.gateway.says(&words, true);
    }
    eventually("a try", || home.status()["reports"]["last_error"].is_string());
    let reports = home.status()["reports"].clone();
    assert_eq!(reports["waiting"], 2, "{reports}");
    assert!(
        reports["last_error"].as_str().unwrap().contains("status 503"),
        "{reports}"
    );
    for time in ["oldest", "next_try"] {
        let at: jiff::Timestamp = reports[time].as_str().unwrap().parse().unwrap();
        let off = at.duration_since(jiff::Timestamp::now()).as_secs().abs();
        assert!(off < 120, "{time}: {reports}");
    }
    let shown = home.synced.gateway.says(&["status"], true);
    assert!(
        shown.contains("2 reports wait for the national platform, the oldest since "),
        "{shown}"
    );
    assert!(
        shown.contains("next try ") && shown.contains("status 503"),
        "{shown}"
    );
    let json: Value = serde_json::from_str(&home.synced.gateway.says(&["status", "--json"], true)).unwrap();
    assert_eq!(json["reports"]["waiting"], 2, "{json}");
    assert_eq!(home.metric("isigurt_reports_waiting"), Some(2.0));
    assert!(home.metric("isigurt_reports_oldest_seconds").unwrap() < 600.0);
    assert_eq!(home.metric("isigurt_reports_error"), Some(1.0));
    assert!(
        !home.status()["problems"].to_string().contains("reports"),
        "not for minutes"
    );
    for name in ["one.example", "two.example", "fraud"] {
        assert!(
            !get(home.metrics, "/metrics").contains(name) && !shown.contains(name),
            "{name}"
        );
    }

    home.later("+30h");
    let problem = "2 reports wait for the national platform, the oldest for 30 hours";
    let status = home.status();
    assert!(status["problems"].to_string().contains(problem), "{status}");
    let found = home.found("reports");
    assert!(found.starts_with("BAD  reports: 2 reports wait"), "{found}");
    assert!(home.metric("isigurt_reports_oldest_seconds").unwrap() > DAY);
}
