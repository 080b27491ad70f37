//! Alerts: who is told of what, on every way, without a flood, without a name, and without giving a secret back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use isigurt_tests::{Browser, House, free_address};
use serde_json::{Value, json};

const LISTS: &str =
    "[[lists]]\nid = \"harm\"\nurl = \"{dir}/harm\"\nformat = \"domains\"\ncategory = \"self-harm\"\n";

/// A household with a child's tablet, and its owner.
fn house() -> (House, Browser) {
    let (house, mut ana) = House::with_files(LISTS, &[("harm", "harm.example\n")]).claim();
    let policy = json!({
        "profile": [{ "name": "child", "categories": ["self-harm"] }],
        "device": [{ "name": "tablet", "match": ["ip:127.0.0.3"], "profile": "child" }],
    });
    assert_eq!(ana.ask("PUT", "/policy", &policy).status, 200);
    (house, ana)
}

/// A server that takes requests and answers each with `status`; what came is handed on: head and body.
fn receiver(status: &'static str) -> (SocketAddr, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (out, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).unwrap() == 0 {
                    break;
                }
            }
            let head = head.to_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .unwrap_or(0);
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            if out.send((head, String::from_utf8(body).unwrap())).is_err() {
                return;
            }
        }
    });
    (address, received)
}

/// A mail server (RFC 5321) that takes everything; what came is handed on whole.
fn mail_server() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (out, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut letter = String::new();
            let mut in_data = false;
            stream.get_mut().write_all(b"220 mail.example\r\n").unwrap();
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                letter.push_str(&line);
                let answer: &[u8] = match line.trim_end() {
                    "." if in_data => {
                        in_data = false;
                        b"250 taken\r\n"
                    }
                    _ if in_data => continue,
                    "DATA" => {
                        in_data = true;
                        b"354 go on\r\n"
                    }
                    "QUIT" => b"221 bye\r\n",
                    _ => b"250 mail.example\r\n",
                };
                stream.get_mut().write_all(answer).unwrap();
            }
            if out.send(letter).is_err() {
                return;
            }
        }
    });
    (address, received)
}

fn recipient(way: &Value) -> Value {
    json!({ "name": "lead", "language": "en", "about": ["category:self-harm"], "digest_minutes": 5, "way": way })
}

fn add(browser: &mut Browser, way: &Value) -> String {
    let answer = browser.ask("POST", "/alerts/recipients", &recipient(way));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.text("id").to_owned()
}

fn soon<T>(received: &Receiver<T>) -> T {
    received
        .recv_timeout(Duration::from_secs(10))
        .expect("something arrives")
}

#[test]
fn the_first_of_many_is_told_at_once_on_every_way_and_no_name_is_told() {
    let (house, mut ana) = house();
    let (hook, hooked) = receiver("204 No Content");
    let (topic, published) = receiver("200 OK");
    let (mail, letters) = mail_server();
    add(
        &mut ana,
        &json!({ "kind": "webhook", "url": format!("http://{hook}/in"), "secret": "s3cret" }),
    );
    add(
        &mut ana,
        &json!({ "kind": "ntfy", "url": format!("http://{topic}/lead"), "token": "t0ken" }),
    );
    add(
        &mut ana,
        &json!({ "kind": "mail", "to": "lead@school.example", "from": "gateway@school.example", "server": "127.0.0.1",
            "port": mail.port(), "security": "none" }),
    );
    for number in 0..20 {
        house
            .gateway
            .ask("127.0.0.3", &format!("n{number}.harm.example"), 1);
    }
    let (head, body) = soon(&hooked);
    assert!(
        head.starts_with("post /in ") && head.contains("x-isigurt-signature: sha256="),
        "{head}"
    );
    assert!(head.contains("x-isigurt-timestamp: "), "{head}");
    let told: Value = serde_json::from_str(&body).unwrap();
    let alert = &told["alerts"][0];
    assert_eq!(
        (&alert["about"], &alert["profile"], &alert["devices"][0]),
        (&json!("category:self-harm"), &json!("child"), &json!("tablet"))
    );
    let (head, body) = soon(&published);
    assert!(
        head.starts_with("post / ") && head.contains("authorization: bearer t0ken"),
        "{head}"
    );
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["topic"], "lead");
    let letter = soon(&letters);
    assert!(
        letter.contains("RCPT TO:<lead@school.example>") && letter.contains("tablet"),
        "{letter}"
    );
    assert!(
        !format!("{told}{body}{letter}").contains("harm.example"),
        "no name is told"
    );
    // What follows waits until it comes together.
    assert!(hooked.recv_timeout(Duration::from_secs(2)).is_err(), "no flood");
    let sent = ana.ask("GET", "/alerts", &Value::Null);
    assert_eq!(sent.body.as_array().unwrap().len(), 3, "{sent:?}");
}

#[test]
fn a_test_says_what_is_wrong_and_secrets_are_never_given_back() {
    let (house, mut ana) = house();
    let (hook, hooked) = receiver("204 No Content");
    let (refusing, _refused) = receiver("403 Forbidden");
    let id = add(
        &mut ana,
        &json!({ "kind": "webhook", "url": format!("http://{hook}/in"), "secret": "s3cret" }),
    );
    assert_eq!(
        ana.ask("POST", &format!("/alerts/recipients/{id}/test"), &Value::Null)
            .status,
        204
    );
    assert!(soon(&hooked).1.contains("\"test\":true"));
    let all = ana.ask("GET", "/alerts/recipients", &Value::Null);
    let audit = ana.ask("GET", "/audit", &Value::Null);
    assert!(
        !format!("{all:?}{audit:?}").contains("s3cret"),
        "{all:?} {audit:?}"
    );
    assert_eq!(all.body[0]["kept_private"], true);
    // A secret stays with its place, and goes to no other.
    let path = format!("/alerts/recipients/{id}");
    let same = recipient(&json!({ "kind": "webhook", "url": format!("http://{hook}/in") }));
    assert_eq!(ana.ask("PUT", &path, &same).body["kept_private"], true);
    let other = recipient(&json!({ "kind": "webhook", "url": format!("http://{refusing}/in") }));
    let refused = ana.ask("PUT", &path, &other);
    assert_eq!(
        (refused.status, refused.text("field")),
        (422, "secret"),
        "{refused:?}"
    );
    // Why a message does not arrive is said.
    let nobody = free_address();
    for (way, reason) in [
        (
            json!({ "kind": "webhook", "url": format!("http://{refusing}/in") }),
            "403",
        ),
        (
            json!({ "kind": "ntfy", "url": format!("http://{nobody}/lead") }),
            &nobody.to_string(),
        ),
        (
            json!({ "kind": "mail", "to": "a@b.example", "from": "c@d.example", "server": "127.0.0.1", "port": nobody.port(), "security": "none" }),
            "mail server",
        ),
    ] {
        let id = add(&mut ana, &way);
        let failed = ana.ask("POST", &format!("/alerts/recipients/{id}/test"), &Value::Null);
        assert_eq!(failed.status, 502, "{way}: {failed:?}");
        assert!(failed.text("detail").contains(reason), "{way}: {failed:?}");
    }
    for (wrong, field) in [
        (json!({ "kind": "webhook", "url": "ftp://a.example" }), "url"),
        (json!({ "kind": "ntfy", "url": "https://a.example/" }), "url"),
        (
            json!({ "kind": "mail", "to": "nobody", "from": "c@d.example", "server": "x", "port": 25, "security": "tls" }),
            "to",
        ),
    ] {
        let answer = ana.ask("POST", "/alerts/recipients", &recipient(&wrong));
        assert_eq!(
            (answer.status, answer.text("field")),
            (422, field),
            "{wrong}: {answer:?}"
        );
    }
    assert_eq!(ana.ask("DELETE", &path, &Value::Null).status, 204);
    assert_eq!(ana.ask("DELETE", &path, &Value::Null).status, 404);
    let mut viewer = house.add("Vera", "viewer", &[]);
    assert_eq!(viewer.ask("GET", "/alerts/recipients", &Value::Null).status, 403);
}
