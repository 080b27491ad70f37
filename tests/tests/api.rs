//! The policy over HTTP: what is changed there is in force on the next query, and nobody overwrites what they did not see.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

use std::process::Command;
use std::time::Duration;

use isigurt_tests::{Browser, House, system};
use serde_json::{Value, json};

const CHILD: &str = "127.0.0.2";
const LIST: &str =
    "[[lists]]\nid = \"g\"\nurl = \"{dir}/games\"\nformat = \"domains\"\ncategory = \"games\"\n";

fn house() -> (House, Browser) {
    House::with_files(LIST, &[("games", "games.example\n")]).claim()
}

fn ok(browser: &mut Browser, method: &str, path: &str, body: &Value, status: u16) -> Value {
    let answer = browser.ask(method, path, body);
    assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
    answer.body
}

#[test]
fn what_is_changed_is_in_force_on_the_next_query() {
    let (house, mut ana) = house();
    let tablet = json!({ "name": "tablet", "match": ["ip:127.0.0.2"], "profile": "child" });
    ok(&mut ana, "POST", "/devices", &tablet, 422); // there is no such profile yet
    let child = json!({ "name": "child", "categories": ["games"], "services": ["tiktok"] });
    ok(&mut ana, "POST", "/profiles", &child, 201);
    ok(&mut ana, "POST", "/profiles", &child, 409);
    ok(&mut ana, "POST", "/devices", &tablet, 201);
    assert!(!house.gateway.gets(CHILD, "games.example") && !house.gateway.gets(CHILD, "tiktok.com"));
    assert!(
        house.gateway.gets("127.0.0.3", "tiktok.com"),
        "everybody else has the first profile"
    );

    ok(
        &mut ana,
        "POST",
        "/grants",
        &json!({ "who": "tablet", "what": "tiktok", "minutes": 5 }),
        201,
    );
    assert!(house.gateway.gets(CHILD, "tiktok.com"));
    ok(
        &mut ana,
        "DELETE",
        "/grants?who=tablet&what=tiktok",
        &Value::Null,
        204,
    );
    assert!(!house.gateway.gets(CHILD, "tiktok.com"));
    ok(&mut ana, "POST", "/pauses", &json!({ "who": "child" }), 201);
    assert!(!house.gateway.gets(CHILD, "a.example"));
    let me = ok(&mut house.browser(CHILD), "GET", "/me", &Value::Null, 200);
    assert_eq!(
        (me["device"].as_str(), me["now"].as_str(), me["because"].as_str()),
        (Some("tablet"), Some("off"), Some("paused"))
    );
    ok(&mut ana, "DELETE", "/pauses?who=child", &Value::Null, 204);
    ok(&mut ana, "DELETE", "/pauses?who=child", &Value::Null, 404);
    assert!(house.gateway.gets(CHILD, "a.example"));

    // Renaming takes all who have it along; what is in use is not removed.
    ok(
        &mut ana,
        "PUT",
        "/profiles/child",
        &json!({ "name": "small", "categories": ["games"] }),
        200,
    );
    assert!(!house.gateway.gets(CHILD, "games.example") && house.gateway.gets(CHILD, "tiktok.com"));
    let devices = ok(&mut ana, "GET", "/devices?search=TAB", &Value::Null, 200);
    assert_eq!(devices["items"][0]["profile"], "small");
    ok(&mut ana, "DELETE", "/profiles/small", &Value::Null, 409);
    ok(&mut ana, "DELETE", "/devices/tablet", &Value::Null, 204);
    ok(&mut ana, "DELETE", "/profiles/small", &Value::Null, 204);
    ok(&mut ana, "DELETE", "/profiles/household", &Value::Null, 409);
    let why = ok(&mut ana, "GET", "/why?name=tiktok.com", &Value::Null, 200);
    assert_eq!(why["verdict"], "allowed");
    // What cannot be enforced changes nothing.
    let wrong = json!({ "name": "household", "deny": ["/(/"] });
    let problem = ok(&mut ana, "PUT", "/profiles/household", &wrong, 422);
    assert!(problem["detail"].as_str().unwrap().contains("/(/"), "{problem}");
    let policy = ok(&mut ana, "GET", "/policy", &Value::Null, 200);
    let change = ok(&mut ana, "PUT", "/policy?dry_run=true", &policy, 200);
    assert_eq!(
        (change["difference"].as_str(), change["in_force"].as_bool()),
        (Some(""), Some(false))
    );
}

#[test]
fn a_school_sends_all_at_once_and_the_next_change_is_in_force_as_soon() {
    let (house, mut ana) = house();
    let mut devices: Vec<Value> = (0..20_000)
        .map(|number| {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + number);
            json!({ "name": format!("device {number}"), "match": [format!("ip:{address}")], "profile": "household" })
        })
        .collect();
    let policy = |devices: &[Value]| {
        json!({
            "settings": { "default_profile": "household" },
            "profile": [{ "name": "household" }, { "name": "child", "categories": ["games"] }],
            "device": devices,
        })
    };
    ok(&mut ana, "PUT", "/policy", &policy(&devices), 200);
    assert!(house.gateway.gets(CHILD, "games.example"));
    let tablet = json!({ "name": "tablet", "match": ["ip:127.0.0.2"], "profile": "child" });
    ok(&mut ana, "POST", "/devices", &tablet, 201);
    assert!(!house.gateway.gets(CHILD, "games.example"), "on the next query");
    let page = ok(
        &mut ana,
        "GET",
        "/devices?offset=19999&limit=1000",
        &Value::Null,
        200,
    );
    assert_eq!(
        (page["items"].as_array().unwrap().len(), page["total"].as_u64()),
        (2, Some(20_001))
    );
    // One wrong line in so many: named, and nothing is taken.
    devices[9_000]["match"] = json!(["ip:10.0.0.999"]);
    let problem = ok(&mut ana, "PUT", "/policy", &policy(&devices), 422);
    assert!(
        problem["detail"].as_str().unwrap().contains("device 9000"),
        "{problem}"
    );
    assert!(!house.gateway.gets(CHILD, "games.example"));

    let sheet = json!({ "text": "name,profile,ip\nphone,child,127.0.0.3\n" });
    let taken = ok(&mut ana, "POST", "/devices/import", &sheet, 200);
    assert_eq!(
        (taken["added"][0].as_str(), taken["in_force"].as_bool()),
        (Some("phone"), Some(true))
    );
    assert!(!house.gateway.gets("127.0.0.3", "games.example"));
    let holidays = json!({ "name": "holidays", "text": "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20991224\nEND:VEVENT\nEND:VCALENDAR\n" });
    let calendars = ok(&mut ana, "POST", "/calendars/import", &holidays, 200);
    assert_eq!(calendars[0]["days"], json!(["2099-12-24"]));
    ok(
        &mut ana,
        "POST",
        "/calendars/import",
        &json!({ "name": "x", "text": "no" }),
        422,
    );
    ok(&mut ana, "GET", "/network", &Value::Null, 200);
}

#[test]
fn nobody_overwrites_what_they_did_not_see() {
    let (house, mut ana) = house();
    let mut other = house.add("Besa", "admin", &[]);
    let seen = ana.ask("GET", "/profiles/household", &Value::Null);
    let tag = seen.header("etag").expect("an entity tag").to_owned();
    let mut profile = seen.body.clone();
    profile["deny"] = json!(["a.example"]);
    let mut stale = ana.with("if-match", &tag);
    ok(&mut other, "PUT", "/profiles/household", &profile, 200);
    profile["deny"] = json!(["b.example"]);
    ok(&mut stale, "PUT", "/profiles/household", &profile, 412);
    ok(&mut stale, "DELETE", "/profiles/household", &Value::Null, 412);
    let now = ana.ask("GET", "/profiles/household", &Value::Null);
    assert_eq!(
        now.body["deny"],
        json!(["a.example"]),
        "the second is told, not lost"
    );
    let mut fresh = ana.with("if-match", now.header("etag").unwrap());
    ok(&mut fresh, "PUT", "/profiles/household", &profile, 200);
    // Who changed what is written down.
    let trail = ok(&mut ana, "GET", "/audit?limit=2", &Value::Null, 200);
    let who: Vec<&str> = trail["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["who"].as_str().unwrap())
        .collect();
    assert_eq!(who, ["Ana", "Besa"], "{trail}");
    assert_eq!(trail["items"][0]["before"]["deny"], json!(["a.example"]));
}

#[test]
fn a_child_asks_and_a_parent_answers() {
    let (house, mut ana) = house();
    ok(
        &mut ana,
        "POST",
        "/profiles",
        &json!({ "name": "child", "categories": ["games"] }),
        201,
    );
    ok(
        &mut ana,
        "POST",
        "/devices",
        &json!({ "name": "tablet", "match": ["ip:127.0.0.2"], "profile": "child" }),
        201,
    );
    let mut child = house.browser(CHILD);
    ok(&mut child, "GET", "/requests", &Value::Null, 401);
    let made = ok(
        &mut child,
        "POST",
        "/me/requests",
        &json!({ "name": "Games.Example", "note": "please\n\u{7}" }),
        201,
    );
    assert_eq!(
        (
            made["name"].as_str(),
            made["note"].as_str(),
            made["device"].as_str()
        ),
        (Some("games.example"), Some("please"), Some("tablet"))
    );
    let again = ok(
        &mut child,
        "POST",
        "/me/requests",
        &json!({ "name": "games.example" }),
        201,
    );
    assert_eq!(again["id"], made["id"], "asking twice is asking once");
    for number in 0..4 {
        ok(
            &mut child,
            "POST",
            "/me/requests",
            &json!({ "name": format!("n{number}.example") }),
            201,
        );
    }
    ok(
        &mut child,
        "POST",
        "/me/requests",
        &json!({ "name": "enough.example" }),
        429,
    );
    ok(
        &mut child,
        "POST",
        "/me/requests",
        &json!({ "name": "a..b" }),
        422,
    );
    ok(
        &mut child,
        "POST",
        "/requests/1",
        &json!({ "answer": "always" }),
        401,
    );
    assert!(!house.gateway.gets(CHILD, "games.example"));
    let path = format!("/requests/{}", made["id"]);
    let answered = ok(&mut ana, "POST", &path, &json!({ "answer": "hour" }), 200);
    assert_eq!(
        (answered["state"].as_str(), answered["answered_by"].as_str()),
        (Some("granted"), Some("Ana"))
    );
    assert!(house.gateway.gets(CHILD, "games.example"));
    let mine = ok(&mut child, "GET", "/me/requests", &Value::Null, 200);
    assert_eq!(mine.as_array().unwrap().len(), 5);
    ok(
        &mut ana,
        "POST",
        "/requests/999",
        &json!({ "answer": "deny" }),
        404,
    );
}

#[test]
fn what_changes_is_told_as_it_changes_and_what_was_asked_is_shown() {
    let (house, mut ana) = house();
    let mut events = ana.listen("/events");
    ok(
        &mut ana,
        "POST",
        "/pauses",
        &json!({ "who": "all", "minutes": 1 }),
        201,
    );
    events.hear("event: moments");
    ok(&mut ana, "DELETE", "/pauses?who=all", &Value::Null, 204);
    ok(&mut ana, "POST", "/profiles", &json!({ "name": "child" }), 201);
    events.hear("event: policy");

    for name in ["one.example", "two.example", "games.example"] {
        house.gateway.gets("127.0.0.3", name);
        std::thread::sleep(Duration::from_millis(5)); // the log tells milliseconds
    }
    let log = ok(
        &mut ana,
        "GET",
        "/queries?limit=2&device=127.0.0.3",
        &Value::Null,
        200,
    );
    assert_eq!(
        log["items"][0]["name"], "games.example",
        "the newest first: {log}"
    );
    assert_eq!(log["items"][0]["verdict"], "blocked");
    let blocked = ok(&mut ana, "GET", "/queries?verdict=blocked", &Value::Null, 200);
    assert_eq!(blocked["items"].as_array().unwrap().len(), 1);
    ok(&mut ana, "GET", "/queries?limit=0", &Value::Null, 400);
    ok(&mut ana, "GET", "/queries?since=yesterday", &Value::Null, 400);
}

#[test]
fn answers_are_packed_but_for_those_with_secrets_and_streams() {
    let (house, ana) = house();
    let mut ana = ana.with("accept-encoding", "gzip, br");
    for path in ["/services", "/status", "/lists", "/queries", "/policy"] {
        let answer = ana.ask("GET", path, &Value::Null);
        assert_eq!(answer.status, 200, "{path}");
        let packed = answer.header("content-encoding") == Some("gzip");
        let vary = answer.header("vary").unwrap_or_default().to_lowercase();
        assert!(
            packed == (path != "/queries" && path != "/policy"),
            "{path}: {answer:?}"
        );
        assert!(!packed || vary.contains("accept-encoding"), "{path}: {vary}");
    }
    for number in 0..40 {
        let token =
            json!({ "name": format!("a rather long name of a token, number {number}"), "scopes": ["read"] });
        assert_eq!(ana.ask("POST", "/tokens", &token).status, 201);
    }
    let tokens = ana.ask("GET", "/tokens", &Value::Null);
    assert!(tokens.raw.len() > 4000 && tokens.header("content-encoding").is_none());
    for path in ["/session", "/sessions", "/users", "/me"] {
        let answer = ana.ask("GET", path, &Value::Null);
        assert!(answer.header("content-encoding").is_none(), "{path}: {answer:?}");
    }
    let mut plain = ana.with("accept-encoding", "identity");
    assert!(
        plain.ask("GET", "/services", &Value::Null).body.is_array(),
        "who takes no packed answers gets none"
    );
    let mut events = ana.listen("/events");
    ok(
        &mut ana,
        "POST",
        "/pauses",
        &json!({ "who": "all", "minutes": 1 }),
        201,
    );
    assert!(!events.hear("event: moments").contains("content-encoding"));
    drop(house);
}

/// Requests made from the description itself, right ones and wrong ones: no failure of the gateway, no status or body that is
/// not described.
#[test]
fn every_answer_is_as_the_description_says() {
    let program = system("schemathesis");
    let (house, mut ana) = house();
    ok(&mut ana, "POST", "/profiles", &json!({ "name": "child" }), 201);
    let scopes = json!([
        "read",
        "log:read",
        "policy:write",
        "device:write",
        "relax",
        "list:write",
        "report"
    ]);
    let made = ok(
        &mut ana,
        "POST",
        "/tokens",
        &json!({ "name": "test", "scopes": scopes, "days": 1 }),
        201,
    );
    let run = Command::new(program)
        .args(["run", &format!("http://{}/api/v1/openapi.json", house.web)])
        .args([
            "--header",
            &format!("Authorization: Bearer {}", made["token"].as_str().unwrap()),
        ])
        .args(["--exclude-path", "/api/v1/events"]) // they never end
        .args(["--exclude-path", "/api/v1/queries/stream"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--max-examples", "20", "--max-time", "90", "--no-color"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    println!("{said}");
    assert!(run.status.success(), "{said}");
    assert!(said.contains("Seed:"), "the seed is printed");
}
