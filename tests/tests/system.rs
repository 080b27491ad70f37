//! The gateway itself: diagnostics, support without personal data, evidence that filtering works, backups.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::net::UdpSocket;

use isigurt_tests::{Browser, Gateway, House, PASSWORD, Scripted};
use serde_json::{Value, json};

fn house() -> (House, Browser) {
    let (house, mut ana) = House::claimed("");
    let policy = json!({
        "settings": { "default_profile": "child" },
        "profile": [{ "name": "child", "categories": ["gambling", "adult"] }, { "name": "grown", "categories": [] }],
        "device": [{ "name": "Secret tablet", "match": ["ip:127.0.0.3"], "profile": "child" }],
    });
    assert_eq!(ana.ask("PUT", "/policy", &policy).status, 200);
    (house, ana)
}

fn get(browser: &mut Browser, path: &str) -> Value {
    let answer = browser.ask("GET", path, &Value::Null);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.body
}

#[test]
fn the_doctor_looks_and_what_helps_holds_no_name() {
    let (mut house, mut ana) = house();
    house.gateway.ask("127.0.0.3", "private.example", 1);
    let said = house.gateway.says(&["doctor"], true);
    for check in ["clock", "disk", "daemon", "upstreams", "lists"] {
        assert!(said.contains(check), "{check} is not in\n{said}");
    }
    let checks = get(&mut ana, "/doctor")["findings"].to_string();
    assert!(
        checks.contains("upstreams") && checks.contains("exposure"),
        "{checks}"
    );
    let support = get(&mut ana, "/support").to_string();
    for private in ["Secret", "child", "Ana", "127.0.0", "private.example"] {
        assert!(!support.contains(private), "{private} is in {support}");
    }
    house.gateway.signal("TERM");
    house.gateway.wait();
    let said = house.gateway.says(&["doctor"], false);
    assert!(
        said.contains("BAD  daemon") && said.contains("start it"),
        "{said}"
    );
}

#[test]
fn the_doctor_asks_servers_of_which_nothing_was_heard_yet() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = Scripted::silent();
    for (servers, found) in [
        (&[closed][..], "BAD  upstreams"),
        (&[silent.address, closed], "0 of 2 upstream servers answer"),
    ] {
        let gateway = Gateway::with_upstreams(servers, "", "", &[]);
        let said = gateway.says(&["doctor"], false);
        assert!(said.contains(found), "{found} is not in\n{said}");
    }
    let upstream = Scripted::start(|query| {
        let mut answer = query.to_vec();
        answer[2..4].copy_from_slice(&[0x81, 0x80]);
        vec![answer]
    });
    let gateway = Gateway::start(upstream.address, "", "", &[]);
    for _ in 0..2 {
        let said = gateway.says(&["doctor"], true);
        assert!(said.contains("1 of 1 upstream servers answer"), "{said}");
    }
    assert_eq!(
        upstream.seen().len(),
        1,
        "who has answered is not asked for nothing"
    );
}

#[test]
fn evidence_says_of_each_kind_whether_it_is_blocked_for_whom_it_was_chosen() {
    let (house, mut ana) = house();
    let evidence = get(&mut ana, "/evidence");
    assert_eq!(evidence["profiles"], json!(["child", "grown"]));
    let categories = evidence["categories"].as_array().unwrap();
    let result = |id: &str, place: usize| {
        let found = categories.iter().find(|one| one["id"] == id).unwrap();
        found["results"][place].clone()
    };
    let gambling = result("gambling", 0);
    assert!(gambling["tried"].as_u64().unwrap() > 0);
    assert_eq!(
        (&gambling["chosen"], &gambling["blocked"]),
        (&json!(true), &gambling["tried"])
    );
    assert_eq!(
        (
            &result("gambling", 1)["chosen"],
            &result("gambling", 1)["blocked"]
        ),
        (&json!(false), &json!(0))
    );
    let mut staff = house.add("Besa", "staff", &["--profile", "grown"]);
    assert_eq!(get(&mut staff, "/evidence")["profiles"], json!(["grown"]));
}

#[test]
fn a_backup_of_the_running_gateway_is_taken_back_with_its_accounts_and_policy() {
    let (mut house, mut ana) = house();
    let file = house.gateway.folder.path().join("all.backup");
    let path = file.to_str().unwrap();
    assert!(house.gateway.says(&["backup", path], true).contains("secrets"));
    // What changes since is undone.
    assert_eq!(
        ana.ask("DELETE", "/devices/Secret%20tablet", &Value::Null).status,
        204
    );
    assert!(
        house
            .gateway
            .says(&["restore", path], true)
            .contains("next start")
    );
    assert!(
        get(&mut ana, "/devices")["items"].as_array().unwrap().is_empty(),
        "not yet"
    );
    house.gateway.signal("TERM");
    house.gateway.wait();
    house.gateway.restart();
    house.gateway.wait_for_log("serving", 1);
    let mut again = house.browser("127.0.0.1");
    let answer = again.ask(
        "POST",
        "/session",
        &json!({ "name": "Ana", "password": PASSWORD }),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(get(&mut again, "/devices")["items"][0]["name"], "Secret tablet");
    assert_eq!(get(&mut again, "/status")["problems"], json!([]));
    // What is no backup is refused, and whoever is no owner has none.
    std::fs::write(&file, "nonsense").unwrap();
    assert!(
        house
            .gateway
            .says(&["restore", path], false)
            .contains("no backup")
    );
    let mut admin = house.add("Agim", "admin", &[]);
    for (method, path) in [("GET", "/backup"), ("POST", "/restore")] {
        assert_eq!(admin.ask(method, path, &Value::Null).status, 403, "{path}");
    }
}
