//! The query log: what is kept of an answered query, and what never is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use isigurt_tests::{Authority, Gateway, ask_tcp, query, wait_for};

fn gateway(authority: &Authority, queries: &str) -> Gateway {
    let rest = format!(
        "[log]\nqueries = \"{queries}\"\n[[lists]]\nid = \"a\"\nurl = \"{{dir}}/adult\"\nformat = \"domains\"\ncategory = \"adult\"\n"
    );
    Gateway::start(authority.address, "", &rest, &[("adult", "adult.example\n")])
}

fn said(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = gateway.command(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn ask_everything(gateway: &Gateway) {
    for (name, qtype) in [
        ("www.adult.example", "A"),
        ("Free.Example", "AAAA"),
        ("free.example", "AAAA"),
        ("alo116.al", "A"),
        ("www.alo116.al", "A"),
        // What a resolver asks for that got no address, with its search domain.
        ("www.alo116.al.home.arpa", "A"),
        ("alo116.al.local", "AAAA"),
    ] {
        gateway.dig(&[name, qtype]);
    }
    // The last one is a zone transfer, which is refused.
    for (name, qtype) in [("over-tcp.example", 1), ("www.alo116.al", 252)] {
        let packet = query(name, qtype);
        let framed = [&u16::try_from(packet.len()).unwrap().to_be_bytes()[..], &packet].concat();
        ask_tcp(gateway.address, &framed, Duration::from_millis(300));
    }
}

#[test]
fn answered_queries_are_shown_with_verdict_and_reason_and_helplines_are_not() {
    let authority = Authority::start();
    let mut gateway = gateway(&authority, "full");
    ask_everything(&gateway);
    let log = said(&gateway, &["log"]);
    for line in [
        "127.0.0.1 blocked www.adult.example A (adult) [household]",
        "127.0.0.1 forwarded free.example AAAA [household]",
        "127.0.0.1 cached free.example AAAA [household]",
        "127.0.0.1 forwarded over-tcp.example A [household]",
    ] {
        assert!(log.contains(line), "{line} is not in\n{log}");
    }
    assert!(!log.contains("alo116"), "a helpline leaves no trace:\n{log}");
    assert_eq!(said(&gateway, &["log", "--blocked"]).lines().count(), 1);
    assert_eq!(said(&gateway, &["log", "--device", "127.0.0.9"]), "");
    let none = gateway.command(&["log", "--device", "127.0.0.9"]).stderr;
    assert!(
        String::from_utf8_lossy(&none).contains("no such query"),
        "{none:?}"
    );
    let top = said(&gateway, &["top", "--limit", "3"]);
    assert!(
        top.contains("1  www.adult.example") && top.contains("2  free.example"),
        "{top}"
    );
    // One JSON value a line.
    let first = said(&gateway, &["--json", "log", "--blocked"]);
    let first: serde_json::Value = serde_json::from_str(first.trim()).unwrap();
    assert_eq!(
        (first["verdict"].as_str(), first["qtype"].as_str()),
        (Some("blocked"), Some("A"))
    );
    // It outlives the daemon, and goes on after it.
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    assert_eq!(said(&gateway, &["log"]), log);
    gateway.restart();
    gateway.dig(&["later.example", "A"]);
    wait_for("the new line", || {
        let now = said(&gateway, &["log"]);
        now.starts_with(&log) && now.contains("later.example")
    });
}

#[test]
fn privacy_settings_keep_out_who_asked_what_was_free_or_everything() {
    let authority = Authority::start();
    let anonymous = gateway(&authority, "anonymous");
    ask_everything(&anonymous);
    let log = said(&anonymous, &["log"]);
    assert!(
        log.contains("- blocked www.adult.example") && !log.contains("127.0.0.1"),
        "{log}"
    );
    let blocked = gateway(&authority, "blocked-only");
    ask_everything(&blocked);
    let log = said(&blocked, &["log"]);
    assert!(
        log.lines().count() == 1 && log.contains("www.adult.example"),
        "{log}"
    );
    let off = gateway(&authority, "off");
    ask_everything(&off);
    assert_eq!(said(&off, &["log"]), "");
    assert!(
        !off.folder.path().join("state/log").exists(),
        "nothing is on the disk"
    );
}
