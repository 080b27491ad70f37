//! What the web's doors take, from whom, and for how long.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use isigurt_tests::{Browser, House};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

const CHILD: &str = "127.0.0.9";

/// A connection from an address.
fn connect(to: SocketAddr, from: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from: SocketAddr = format!("{from}:0").parse().unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// What comes next on a connection; empty at its end.
fn heard(stream: &mut TcpStream) -> String {
    let mut octets = [0; 4096];
    let length = stream.read(&mut octets).expect("something, or the end");
    String::from_utf8_lossy(&octets[..length]).into_owned()
}

fn get(browser: &mut Browser, path: &str) -> Value {
    let answer = browser.ask("GET", path, &Value::Null);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.body
}

/// A stream of events that `browser` reads.
fn stream(house: &House, browser: &Browser, path: &str, authorization: &str) -> TcpStream {
    let cookies = browser.cookies.iter();
    let cookies: Vec<String> = cookies.map(|(name, value)| format!("{name}={value}")).collect();
    let mut stream = connect(house.web, "127.0.0.1");
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(
        stream,
        "GET /api/v1/{path} HTTP/1.1\r\nhost: {}\r\n{authorization}cookie: {}\r\n\r\n",
        house.web,
        cookies.join("; ")
    )
    .unwrap();
    let begun = heard(&mut stream);
    assert!(begun.starts_with("HTTP/1.1 200"), "{path}: {begun}");
    stream
}

/// Reads a stream to its end.
fn ends(mut stream: TcpStream) {
    while !heard(&mut stream).is_empty() {}
}

#[test]
fn a_stream_ends_when_its_session_its_token_or_its_account_does() {
    let (house, mut ana) = House::claimed("");
    let mut ben = house.add("Ben", "viewer", &[]);
    let made = ben.ask(
        "POST",
        "/tokens",
        &json!({ "name": "screen", "scopes": ["log:read"] }),
    );
    assert_eq!(made.status, 201, "{made:?}");
    let token = format!("authorization: Bearer {}\r\n", made.text("token"));
    let stranger = house.browser("127.0.0.1");
    let by_token = stream(&house, &stranger, "queries/stream", &token);
    let by_session = stream(&house, &ben, "events", "");
    let other = house.add("Cen", "viewer", &[]);
    let by_account = stream(&house, &other, "queries/stream", "");
    let users = get(&mut ana, "/users");
    let users = users["items"].as_array().unwrap();
    let id = |name: &str| {
        let user = users.iter().find(|user| user["name"] == name).unwrap();
        user["id"].as_str().unwrap().to_owned()
    };
    let sessions = get(&mut ana, &format!("/sessions?user={}", id("Ben")));
    for path in [
        format!("/sessions/{}", sessions[0]["id"].as_str().unwrap()),
        format!("/tokens/{}", made.body["about"]["id"].as_str().unwrap()),
        format!("/users/{}", id("Cen")),
    ] {
        let gone = ana.ask("DELETE", &path, &Value::Null);
        assert_eq!(gone.status, 204, "{path}: {gone:?}");
    }
    for stream in [by_session, by_token, by_account] {
        ends(stream);
    }
}

#[test]
fn a_large_body_is_not_read_from_those_who_may_change_nothing() {
    let (house, _ana) = House::claimed("");
    let viewer = house.add("Ben", "viewer", &[]);
    let announced = 8 << 20;
    for (who, browser, status) in [
        ("a device", house.browser(CHILD), "401"),
        ("a viewer", viewer, "403"),
    ] {
        for (method, path) in [
            ("POST", "devices"),
            ("PUT", "policy"),
            ("POST", "calendars/import"),
        ] {
            let mut stream = connect(house.web, CHILD);
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut head = format!("{method} /api/v1/{path} HTTP/1.1\r\nhost: {}\r\n", house.web);
            for (name, value) in &browser.headers {
                let _ = write!(head, "{name}: {value}\r\n");
            }
            for (name, value) in &browser.cookies {
                let _ = write!(head, "cookie: {name}={value}\r\n");
            }
            // Nothing of it is sent: whoever waited for it would wait in vain.
            let _ = write!(
                head,
                "content-type: application/json\r\ncontent-length: {announced}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            let answer = heard(&mut stream);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{who}, {path}: {answer}"
            );
        }
    }
    // What anybody may send is small.
    let mut child = house.browser(CHILD);
    let long = json!({ "name": "games.example", "note": "x".repeat(100 << 10) });
    assert_eq!(child.ask("POST", "/me/requests", &long).status, 413);
}

#[test]
fn a_crowd_of_silent_connections_is_bounded_and_keeps_nobody_else_out() {
    let house = House::new("");
    let mut crowd: Vec<TcpStream> = (0..200).map(|_| connect(house.web, CHILD)).collect();
    let held = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let silent =
            |error: std::io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        stream.read(&mut [0; 16]).is_err_and(silent)
    };
    // The first are let in, the last are not.
    assert!(crowd.iter_mut().take(3).all(held));
    assert!(!crowd.iter_mut().rev().take(3).any(held));
    let mut other = house.browser("127.0.0.3");
    assert_eq!(other.send("GET", "/healthz", "").status, 200);
    drop(crowd);
    let mut child = house.browser(CHILD);
    isigurt_tests::wait_for("room again", || {
        let request = format!(
            "GET /healthz HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            house.web
        );
        let mut stream = connect(house.web, CHILD);
        let sent = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        sent.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.contains("200")
    });
    assert_eq!(child.send("GET", "/healthz", "").status, 200);
}

#[test]
fn a_helpline_is_not_asked_for_and_whoever_has_an_address_later_does_not_read_what_another_asked() {
    let (house, mut ana) = House::claimed("");
    let mut child = house.browser(CHILD);
    let refused = child.ask("POST", "/me/requests", &json!({ "name": "www.alo116.al" }));
    assert_eq!(refused.status, 422, "{refused:?}");
    let device = |name: &str, address: &str| json!({ "name": name, "match": [format!("ip:{address}")], "profile": "household" });
    assert_eq!(ana.ask("POST", "/devices", &device("tablet", CHILD)).status, 201);
    assert_eq!(
        child
            .ask("POST", "/me/requests", &json!({ "name": "games.example" }))
            .status,
        201
    );
    assert_eq!(get(&mut child, "/me/requests").as_array().unwrap().len(), 1);
    assert_eq!(get(&mut ana, "/requests")["total"], 1);
    // Another device gets the address, and the tablet another one.
    assert_eq!(
        ana.ask("PUT", "/devices/tablet", &device("tablet", "127.0.0.10"))
            .status,
        200
    );
    assert_eq!(ana.ask("POST", "/devices", &device("phone", CHILD)).status, 201);
    assert_eq!(get(&mut child, "/me/requests"), json!([]));
    let mut moved = house.browser("127.0.0.10");
    assert_eq!(get(&mut moved, "/me/requests").as_array().unwrap().len(), 1);
    // However many addresses somebody makes up, there is room for others.
    for last in 20..80 {
        let mut stranger = house.browser(&format!("127.0.1.{last}"));
        for name in ["a.example", "b.example"] {
            stranger.ask("POST", "/me/requests", &json!({ "name": name }));
        }
    }
    let open = get(&mut ana, "/requests?limit=1000");
    assert_eq!(open["total"], 51, "fifty of strangers");
    let late = child.ask("POST", "/me/requests", &json!({ "name": "late.example" }));
    assert_eq!(late.status, 201, "{late:?}");
}

#[test]
fn staff_answer_no_request_of_a_device_that_has_left_their_profiles() {
    let (house, mut ana) = House::claimed("");
    for name in ["class-7a", "class-8b"] {
        let made = ana.ask(
            "POST",
            "/profiles",
            &json!({ "name": name, "deny": ["games.example"] }),
        );
        assert_eq!(made.status, 201, "{made:?}");
    }
    let tablet =
        |profile: &str| json!({ "name": "tablet", "match": [format!("ip:{CHILD}")], "profile": profile });
    assert_eq!(ana.ask("POST", "/devices", &tablet("class-7a")).status, 201);
    let mut child = house.browser(CHILD);
    let made = child.ask("POST", "/me/requests", &json!({ "name": "games.example" }));
    assert_eq!(made.status, 201, "{made:?}");
    let mut teacher = house.add("Tea", "staff", &["--profile", "class-7a"]);
    assert_eq!(ana.ask("PUT", "/devices/tablet", &tablet("class-8b")).status, 200);
    let path = format!("/requests/{}", made.body["id"]);
    let answered = teacher.ask("POST", &path, &json!({ "answer": "hour" }));
    assert_eq!(answered.status, 403, "{answered:?}");
    assert!(!house.gateway.gets(CHILD, "games.example"));
    assert_eq!(ana.ask("POST", &path, &json!({ "answer": "hour" })).status, 200);
    assert!(house.gateway.gets(CHILD, "games.example"));
}

#[test]
fn a_pause_holds_whatever_its_device_and_profile_are_called_meanwhile() {
    let (house, mut ana) = House::claimed("");
    let child = |name: &str| json!({ "name": name });
    assert_eq!(ana.ask("POST", "/profiles", &child("child")).status, 201);
    let device = |name: &str, profile: &str| json!({ "name": name, "match": [format!("ip:{CHILD}")], "profile": profile });
    assert_eq!(
        ana.ask("POST", "/devices", &device("unknown", "child")).status,
        201
    );
    assert!(house.gateway.gets(CHILD, "free.example"));
    assert_eq!(
        ana.ask("POST", "/pauses", &json!({ "who": "unknown" })).status,
        201
    );
    assert_eq!(
        ana.ask("PUT", "/devices/unknown", &device("tablet", "child"))
            .status,
        200
    );
    assert!(!house.gateway.gets(CHILD, "free.example"), "the device");
    assert_eq!(ana.ask("DELETE", "/pauses?who=tablet", &Value::Null).status, 204);
    assert_eq!(ana.ask("POST", "/pauses", &json!({ "who": "child" })).status, 201);
    assert_eq!(ana.ask("PUT", "/profiles/child", &child("Ana")).status, 200);
    assert!(!house.gateway.gets(CHILD, "free.example"), "the profile");
    assert_eq!(ana.ask("DELETE", "/pauses?who=Ana", &Value::Null).status, 204);
    assert!(house.gateway.gets(CHILD, "free.example"));
}
