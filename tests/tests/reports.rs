//! Reports from a child's page to the real platform with a real PostgreSQL, over signed metadata: what is shown is what is
//! sent, once, and nobody on the way reads it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;

use isigurt_tests::platform::wait_long;
use isigurt_tests::{Answer, Browser, wait_for};
use serde_json::{Value, json};

const CHILD: &str = "127.0.0.2";
const MARKER: &str = "zebrafinch";

/// A gateway that is joined to a platform.
struct Country(isigurt_tests::Country);

impl std::ops::Deref for Country {
    type Target = isigurt_tests::Country;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Country {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

fn country() -> Country {
    Country(isigurt_tests::Country::start(""))
}

impl Country {
    fn child(&self) -> Browser {
        self.device(CHILD)
    }

    fn state(&self, receipt: &str) -> String {
        let answer = self
            .child()
            .ask("GET", &format!("/reports/{receipt}"), &Value::Null);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("state").to_owned()
    }

    /// Files of the gateway that hold a text: its state, its log.
    fn holding(&self, text: &str) -> Vec<std::path::PathBuf> {
        holding(self.house.gateway.folder.path(), text)
    }
}

fn holding(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if let Ok(octets) = std::fs::read(&path) {
            let there = octets.windows(text.len()).any(|window| window == text.as_bytes());
            found.extend(there.then_some(path));
        }
    }
    found
}

/// A form as a browser sends it.
fn form(browser: &Browser, path: &str, fields: &str) -> Answer {
    let mut browser = browser.with("content-type", "application/x-www-form-urlencoded");
    browser.send("POST", path, fields)
}

#[test]
fn a_child_reports_without_javascript_and_follows_it_by_the_receipt() {
    let country = country();
    let child = country.child();
    let empty = country.child().send("GET", "/report", "");
    assert!(
        empty.status == 200 && empty.raw.contains("tel:116111"),
        "{}",
        empty.raw
    );
    let fields =
        format!("name=https%3A%2F%2F{MARKER}.example%2Fa%3Fb&kind=sextortion&note=say+{MARKER}%0D%0Atwice");
    let check = form(&child, "/report", &format!("{fields}&contact=&step=check"));
    assert_eq!(check.status, 200, "{}", check.raw);
    for shown in [
        &format!("<bdi>{MARKER}.example</bdi>"),
        "the report is anonymous",
        "Somebody threatens",
        "Are you in danger now?",
        &country.platform.report_key.id(),
    ] {
        assert!(check.raw.contains(shown), "{shown}: {}", check.raw);
    }
    let wrong = form(&child, "/report", "name=nonsense&kind=other&step=check");
    assert!(
        wrong.status == 422
            && wrong.raw.contains("role=\"alert\"")
            && wrong.raw.contains("value=\"nonsense\"")
    );

    let sent = form(&child, "/report", &format!("{fields}&contact=&step=send"));
    assert_eq!(sent.status, 201, "{}", sent.raw);
    let at = sent.raw.find("class=\"code\">").unwrap() + 13;
    let receipt = sent.raw[at..at + 19].to_owned();
    wait_for("the delivery", || country.state(&receipt) == "received");
    assert_eq!(country.platform.state(&receipt), "received");
    let page = form(
        &child,
        "/report/state",
        &format!("receipt={}", receipt.to_lowercase()),
    );
    assert!(
        page.status == 200 && page.raw.contains("The platform has it"),
        "{}",
        page.raw
    );
    assert_eq!(form(&child, "/report/state", "receipt=AAAA").status, 404);
    // It is the child's own matter.
    assert_eq!(
        country.house.gateway.says(&["report", "list"], true).trim(),
        "no reports"
    );
    let none = country.house.gateway.says(&["report", "show", "AAAA"], false);
    assert!(none.contains("no report with this receipt"), "{none}");

    for text in [MARKER, "sextortion"] {
        let found = country.holding(text);
        assert!(found.is_empty(), "{text} in {found:?}");
    }
    let found = holding(country.platform.folder.path(), MARKER);
    assert!(found.is_empty(), "{found:?}");
    let log = country.platform.log();
    assert!(!log.contains(MARKER), "{log}");
}

#[test]
fn a_report_survives_a_dead_platform_and_a_killed_gateway_and_arrives_once() {
    let mut country = country();
    country.platform.stop();
    let note = format!("note {MARKER}");
    let words = [
        "report",
        "bad.example",
        "--kind",
        "hate",
        "--note",
        &note,
        "--yes",
        "--json",
    ];
    let taken = country.house.gateway.says(&words, true);
    let at = taken.find('{').expect("JSON");
    let end = taken.rfind('}').unwrap();
    let taken: Value = serde_json::from_str(&taken[at..=end]).unwrap();
    let receipt = taken["receipt"].as_str().unwrap().to_owned();
    wait_for("a try", || {
        country
            .house
            .gateway
            .says(&["report", "list"], true)
            .contains("cannot be reached")
    });
    country.house.gateway.signal("KILL");
    country.house.gateway.wait();
    assert!(country.holding(MARKER).is_empty());
    country.platform.restart();
    country.house.gateway.restart();
    wait_for("the web", || {
        std::net::TcpStream::connect(country.house.web).is_ok()
    });
    wait_long("the delivery", || country.state(&receipt) == "received");
    let listed = country.house.gateway.says(&["report", "list"], true);
    assert!(
        listed.contains(&receipt) && listed.contains("received"),
        "{listed}"
    );
    let one = country.house.gateway.says(&["report", "show", &receipt], true);
    assert_eq!(one.matches(&receipt).count(), 1, "{one}");
    let metrics = country.platform.log();
    assert!(!metrics.contains(MARKER), "{metrics}");
}

#[test]
fn what_is_previewed_is_what_an_account_sends_and_a_device_is_bounded() {
    let country = country();
    let mut child = country.child();
    let draft = json!({ "name": "Bad.Example", "kind": "gambling", "note": "x", "language": "en" });
    let preview = child.ask("POST", "/report/preview", &draft);
    assert_eq!(preview.status, 200, "{preview:?}");
    let report = &preview.body["report"];
    assert_eq!(
        *report,
        json!({ "format": 1, "kind": "gambling", "name": "bad.example", "note": "x", "language": "en" })
    );
    assert_eq!(preview.body["danger"], json!(false));
    for (field, draft) in [
        ("name", json!({ "name": "localhost", "kind": "other" })),
        ("kind", json!({ "name": "bad.example", "kind": "csam" })),
        (
            "note",
            json!({ "name": "bad.example", "kind": "other", "note": "x".repeat(4_001) }),
        ),
    ] {
        let refused = child.ask("POST", "/reports", &draft);
        assert_eq!(
            (refused.status, refused.text("field")),
            (422, field),
            "{refused:?}"
        );
    }
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.push(child.ask("POST", "/reports", &draft).status);
    }
    assert!(
        statuses[..10].iter().all(|status| *status == 201) && statuses[10] == 429,
        "{statuses:?}"
    );
    let other = Browser::new(country.house.web, "127.0.0.3").ask("POST", "/reports", &draft);
    assert_eq!(other.status, 201, "another device is not held back");
    assert_eq!(child.ask("GET", "/reports", &Value::Null).status, 401);
}

#[test]
fn a_key_that_is_rotated_while_a_report_waits_still_opens_it_or_the_reporter_is_told() {
    let mut country = country();
    country.platform.stop();
    let sent = country.child().ask(
        "POST",
        "/reports",
        &json!({ "name": "bad.example", "kind": "fraud" }),
    );
    assert_eq!(sent.status, 201);
    let receipt = sent.text("receipt").to_owned();
    wait_for("a try", || {
        let answer = country
            .child()
            .ask("GET", &format!("/reports/{receipt}"), &Value::Null);
        answer.body["trouble"].is_string()
    });
    // Meanwhile the platform has a new key, and publishes it; it goes on with the old one.
    let before = country.platform.report_key.id();
    let new = isigurt_wire::seal::PrivateKey::generate().unwrap();
    country.publisher.put(
        "keys/report.pub",
        &format!("{}\n", new.public().unwrap().to_hex()),
    );
    country.publisher.run(&["rotate", "--config", "publish.toml"]);
    country.publisher.publish();
    country.platform.restart();
    wait_long("the delivery", || country.state(&receipt) == "received");
    let sealed_to = || {
        let draft = json!({ "name": "bad.example", "kind": "fraud" });
        country
            .child()
            .ask("POST", "/report/preview", &draft)
            .text("key")
            .to_owned()
    };
    wait_long("the new key", || sealed_to() != before);
    // To a key that the platform does not know a report cannot be delivered: whoever made it learns what to do.
    let sent = country.child().ask(
        "POST",
        "/reports",
        &json!({ "name": "bad.example", "kind": "fraud" }),
    );
    let receipt = sent.text("receipt").to_owned();
    wait_long("the refusal", || country.state(&receipt) == "refused");
    let told = country
        .child()
        .ask("GET", &format!("/reports/{receipt}"), &Value::Null);
    assert!(told.text("trouble").contains("make the report anew"), "{told:?}");
}
