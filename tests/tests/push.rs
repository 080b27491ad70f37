//! Notifications on browsers: what a push service and a browser on its other side see, opened by another implementation of RFC 8291.
//! Who may have what sent where, and what becomes of browsers that are gone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use isigurt_tests::{Browser, House, self_signed, system, terminate, wait_for};
use serde_json::{Value, json};

const REST: &str = "[http]\nauthorities = \"{dir}/push.pem\"\n[push]\nprivate = true\ncontact = \"mailto:it@school.example\"\n\
    [[lists]]\nid = \"harm\"\nurl = \"{dir}/harm\"\nformat = \"domains\"\ncategory = \"self-harm\"\n";

/// A push service with browsers (`webui/tests/push-service.mjs`).
struct Service {
    program: Child,
    orders: ChildStdin,
    told: Receiver<Value>,
    messages: Receiver<Value>,
}

impl Drop for Service {
    fn drop(&mut self) {
        terminate(&mut self.program);
    }
}

impl Service {
    /// Starts one with the certificate in this folder.
    fn start(folder: &Path) -> Self {
        let webui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../webui");
        let mut program = Command::new(system("node"))
            .arg(webui.join("tests/push-service.mjs"))
            .args([folder.join("push.pem"), folder.join("push.key")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = program.stdin.take().unwrap();
        let lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let (tell, told) = channel();
        let (arrive, messages) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let value: Value = serde_json::from_str(&line).unwrap();
                let done = match value.get("message") {
                    Some(message) => arrive.send(message.clone()),
                    None => tell.send(value),
                };
                if done.is_err() {
                    return;
                }
            }
        });
        let service = Self {
            program,
            orders,
            told,
            messages,
        };
        assert!(service.hear()["origin"].is_string());
        service
    }

    fn hear(&self) -> Value {
        self.told
            .recv_timeout(Duration::from_secs(60))
            .expect("the push service answers")
    }

    fn order(&mut self, order: &Value) -> Value {
        writeln!(self.orders, "{order}").unwrap();
        self.hear()
    }

    /// A new browser: what its `PushSubscription.toJSON()` says.
    fn browser(&mut self) -> Value {
        self.order(&json!({ "subscribe": true }))["browser"].clone()
    }

    fn answer(&mut self, status: u16, headers: &Value) {
        self.order(&json!({ "answer": { "status": status, "headers": headers } }));
    }

    /// The next message, opened.
    fn message(&self) -> Value {
        let message = self
            .messages
            .recv_timeout(Duration::from_secs(60))
            .expect("a message arrives");
        assert!(message["error"].is_null(), "{message}");
        message
    }

    fn silent(&self, seconds: u64) -> bool {
        self.messages.recv_timeout(Duration::from_secs(seconds)).is_err()
    }
}

/// What is shown.
fn shown(message: &Value) -> Value {
    serde_json::from_str(message["text"].as_str().unwrap()).unwrap()
}

/// A school with two groups, its owner, and a push service that the gateway trusts.
fn school() -> (House, Browser, Service) {
    school_with(REST)
}

fn school_with(rest: &str) -> (House, Browser, Service) {
    let (certificate, key) = self_signed(&["127.0.0.1"]);
    let files = [
        ("harm", "harm.example\n"),
        ("push.pem", &certificate),
        ("push.key", &key),
    ];
    let (house, mut ana) = House::with_files(rest, &files).claim();
    let policy = json!({
        "settings": { "default_profile": "Era" },
        "profile": [{ "name": "Era", "categories": ["self-harm"] }, { "name": "Blin", "categories": ["self-harm"] }],
        "device": [
            { "name": "Era's tablet", "match": ["ip:127.0.0.3"], "profile": "Era" },
            { "name": "Blin's phone", "match": ["ip:127.0.0.4"], "profile": "Blin" },
        ],
    });
    let applied = ana.ask("PUT", "/policy", &policy);
    assert_eq!(applied.status, 200, "{applied:?}");
    let service = Service::start(house.gateway.folder.path());
    (house, ana, service)
}

fn choice(detail: &str) -> Value {
    json!({ "name": "phone", "language": "en", "about": ["category:self-harm"], "digest_minutes": 5, "detail": detail })
}

fn subscribe(who: &mut Browser, browser: &Value, detail: &str) -> String {
    let asked = json!({ "browser": browser, "choice": choice(detail) });
    let answer = who.ask("POST", "/push/subscriptions", &asked);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.text("id").to_owned()
}

fn own(who: &mut Browser) -> Vec<Value> {
    let answer = who.ask("GET", "/push", &Value::Null);
    answer.body["subscriptions"].as_array().unwrap().clone()
}

#[test]
fn a_browser_opens_what_the_gateway_sends_and_it_says_no_more_than_its_user_chose() {
    let (house, mut ana, mut service) = school();
    let key = ana.ask("GET", "/push", &Value::Null).text("key").to_owned();
    let browsers = ["nothing", "kind", "whose"].map(|detail| {
        let browser = service.browser();
        subscribe(&mut ana, &browser, detail);
        (detail, browser["endpoint"].as_str().unwrap().to_owned())
    });
    for number in 0..20 {
        house
            .gateway
            .ask("127.0.0.3", &format!("n{number}.harm.example"), 1);
    }
    let mut topics = Vec::new();
    for _ in 0..3 {
        let message = service.message();
        let headers = &message["headers"];
        let path = message["path"].as_str().unwrap();
        let (detail, _) = browsers
            .iter()
            .find(|(_, endpoint)| endpoint.ends_with(path))
            .unwrap();
        assert_eq!(
            message["vapid"]["key"], key,
            "it is signed with the key that browsers subscribe for"
        );
        assert_eq!(message["vapid"]["claims"]["sub"], "mailto:it@school.example");
        assert_eq!(
            (
                &headers["ttl"],
                &headers["urgency"],
                &headers["content-encoding"],
                &message["method"]
            ),
            (
                &json!("86400"),
                &json!("high"),
                &json!("aes128gcm"),
                &json!("POST")
            )
        );
        assert_eq!(message["octets"], 86 + 1024 + 16, "its length tells nothing");
        topics.push(headers["topic"].as_str().unwrap().to_owned());
        let shown = shown(&message);
        let body = shown["body"].as_str().unwrap();
        assert!(
            !message["text"].as_str().unwrap().contains("harm.example"),
            "{message}"
        );
        assert_eq!(
            (&shown["lang"], &shown["url"]),
            (&json!("en"), &json!("/activity?verdict=blocked"))
        );
        let named = shown.to_string().contains("Era");
        match *detail {
            "nothing" => assert!(body.starts_with("Something needs your look") && !named, "{shown}"),
            "kind" => assert!(body.contains("was blocked") && !named, "{shown}"),
            _ => assert!(body.contains("Era's tablet"), "{shown}"),
        }
    }
    topics.sort_unstable();
    topics.dedup();
    assert_eq!(
        topics.len(),
        3,
        "topics of one thing are not the same for different browsers"
    );
    assert!(topics.iter().all(|topic| topic.len() == 32));
    assert!(service.silent(3), "what follows waits until it comes together");
    let sent = ana.ask("GET", "/alerts", &Value::Null);
    assert_eq!(
        sent.body.as_array().unwrap().len(),
        1,
        "of one user's browsers it is kept once: {sent:?}"
    );
    assert_eq!(sent.body[0]["to"], "Ana");
}

#[test]
fn each_user_reaches_the_own_browsers_alone_and_neither_addresses_nor_keys_are_given_back() {
    let (house, mut ana, mut service) = school();
    let browser = service.browser();
    let id = subscribe(&mut ana, &browser, "nothing");
    let path = format!("/push/subscriptions/{id}");
    let mut vera = house.add("Vera", "viewer", &[]);
    assert!(own(&mut vera).is_empty());
    for (method, path, body) in [
        ("PUT", path.clone(), choice("whose")),
        ("DELETE", path.clone(), Value::Null),
        ("POST", format!("{path}/test"), Value::Null),
    ] {
        assert_eq!(vera.ask(method, &path, &body).status, 404, "{method} {path}");
    }
    let mut nobody = house.browser("127.0.0.9");
    assert_eq!(nobody.ask("GET", "/push", &Value::Null).status, 401);
    let asked = json!({ "browser": service.browser(), "choice": choice("nothing") });
    assert_eq!(nobody.ask("POST", "/push/subscriptions", &asked).status, 401);
    let token = json!({ "name": "t", "scopes": ["read", "log:read"], "days": 1 });
    let token = ana.ask("POST", "/tokens", &token);
    if token.status == 201 {
        let bearer = format!("Bearer {}", token.text("token"));
        let mut program = house.browser("127.0.0.1").with("authorization", &bearer);
        assert_eq!(
            program.ask("GET", "/push", &Value::Null).status,
            403,
            "no token reaches them"
        );
    }
    let without_csrf = Browser {
        headers: std::collections::BTreeMap::default(),
        ..ana.clone()
    };
    assert_eq!(
        without_csrf.clone().ask("DELETE", &path, &Value::Null).status,
        403
    );

    assert_eq!(ana.ask("POST", &format!("{path}/test"), &Value::Null).status, 204);
    assert!(
        shown(&service.message())["body"]
            .as_str()
            .unwrap()
            .contains("test")
    );
    let changed = ana.ask("PUT", &path, &choice("whose"));
    assert_eq!(
        (changed.status, changed.text("detail")),
        (200, "whose"),
        "{changed:?}"
    );
    let all = ana.ask("GET", "/push", &Value::Null);
    let audit = ana.ask("GET", "/audit", &Value::Null);
    let said = format!("{} {} {}", all.raw, audit.raw, house.gateway.log());
    let secret = browser["endpoint"]
        .as_str()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    for hidden in [
        &secret,
        browser["keys"]["auth"].as_str().unwrap(),
        browser["keys"]["p256dh"].as_str().unwrap(),
    ] {
        assert!(!said.contains(hidden), "{said}");
    }

    // The same browser, where somebody else signs in: hers alone from then on.
    subscribe(&mut vera, &browser, "nothing");
    assert_eq!((own(&mut ana).len(), own(&mut vera).len()), (0, 1));
    // Again is no second one; and there are ten at most.
    subscribe(&mut vera, &browser, "kind");
    assert_eq!(own(&mut vera).len(), 1);
    for _ in 0..9 {
        subscribe(&mut vera, &service.browser(), "nothing");
    }
    let more = json!({ "browser": service.browser(), "choice": choice("nothing") });
    assert_eq!(vera.ask("POST", "/push/subscriptions", &more).status, 409);
    subscribe(&mut vera, &browser, "nothing");
}

#[test]
fn an_address_that_is_not_one_of_the_internet_is_refused() {
    let (_house, mut ana, mut service) = school_with(&REST.replace("private = true\n", ""));
    let keys = service.browser()["keys"].clone();
    for endpoint in [
        "http://push.example/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://192.168.1.1/x",
        "https://169.254.169.254/x",
        "https://localhost/x",
        "https://2130706433/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://router/",
        "file:///etc/passwd",
        "",
        "x",
        "https://user:word@push.example/x",
        "javascript:alert(1)",
    ] {
        let asked = json!({ "browser": { "endpoint": endpoint, "keys": keys }, "choice": choice("nothing") });
        let answer = ana.ask("POST", "/push/subscriptions", &asked);
        assert_eq!(
            (answer.status, answer.text("field")),
            (422, "endpoint"),
            "{endpoint}: {answer:?}"
        );
    }
    // A name is asked for when something is sent: one that leads into the network is not spoken to, whatever port it names.
    let port = service.browser()["endpoint"]
        .as_str()
        .unwrap()
        .split(':')
        .nth(2)
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    for name in ["ns.example", "push.example"] {
        let why = "in this network"; // 127.0.0.1, and an address that is nobody's
        let endpoint = format!("https://{name}:{port}/send/x");
        let asked = json!({ "browser": { "endpoint": endpoint, "keys": keys }, "choice": choice("nothing") });
        let id = ana
            .ask("POST", "/push/subscriptions", &asked)
            .text("id")
            .to_owned();
        let failed = ana.ask("POST", &format!("/push/subscriptions/{id}/test"), &Value::Null);
        assert_eq!(failed.status, 502, "{failed:?}");
        let detail = failed.text("detail");
        assert!(
            detail.contains(why) && !detail.contains("/send/x"),
            "{name}: {detail}"
        );
    }
    assert!(service.silent(1), "it was not spoken to");
    for (browser, choice, field) in [
        (
            json!({ "endpoint": "https://push.example/x", "keys": { "p256dh": "AAAA", "auth": keys["auth"] } }),
            choice("nothing"),
            "p256dh",
        ),
        (
            json!({ "endpoint": "https://push.example/x", "keys": { "p256dh": keys["p256dh"], "auth": "x" } }),
            choice("nothing"),
            "auth",
        ),
        (
            json!({ "endpoint": "https://push.example/x", "keys": keys }),
            json!({ "name": "", "language": "en", "about": ["danger"] }),
            "name",
        ),
        (
            json!({ "endpoint": "https://push.example/x", "keys": keys }),
            json!({ "name": "x", "language": "en", "about": ["x"] }),
            "about",
        ),
    ] {
        let answer = ana.ask(
            "POST",
            "/push/subscriptions",
            &json!({ "browser": browser, "choice": choice }),
        );
        assert_eq!((answer.status, answer.text("field")), (422, field), "{answer:?}");
    }
    let foreign =
        json!({ "browser": { "endpoint": "https://push.example/x", "keys": keys }, "choice": choice("all") });
    assert_eq!(ana.ask("POST", "/push/subscriptions", &foreign).status, 422);
}

#[test]
fn a_browser_that_is_gone_is_forgotten_and_a_busy_push_service_is_left_alone() {
    let (house, mut ana, mut service) = school();
    let id = subscribe(&mut ana, &service.browser(), "nothing");
    let test = format!("/push/subscriptions/{id}/test");
    service.answer(429, &json!({ "retry-after": "3600" }));
    let busy = ana.ask("POST", &test, &Value::Null);
    assert_eq!(busy.status, 502);
    assert!(busy.text("detail").contains("429"), "{busy:?}");
    assert_eq!(service.message()["status"], 429);
    house.gateway.ask("127.0.0.3", "a.harm.example", 1);
    assert_eq!(service.message()["status"], 429);
    // Another kind of thing, and another child: they wait with the first.
    service.answer(201, &json!({}));
    house.gateway.ask("127.0.0.4", "b.harm.example", 1);
    assert!(service.silent(7), "it is left alone for as long as it said");
    let held = &own(&mut ana)[0];
    assert!(held["last"]["error"].as_str().unwrap().contains("429"), "{held}");

    service.answer(403, &json!({}));
    let refused = ana.ask("POST", &test, &Value::Null);
    assert!(refused.text("detail").contains("403"), "{refused:?}");
    assert_eq!(own(&mut ana).len(), 1, "it may be right again");
    for status in [404, 410] {
        let id = subscribe(&mut ana, &service.browser(), "nothing");
        service.answer(status, &json!({}));
        let gone = ana.ask("POST", &format!("/push/subscriptions/{id}/test"), &Value::Null);
        assert_eq!(gone.status, 502, "{gone:?}");
        assert!(
            own(&mut ana).iter().all(|one| one["id"] != id.as_str()),
            "{status}"
        );
    }
}

#[test]
fn staff_hear_of_their_own_groups_and_nobody_of_anything_after_the_account_is_gone() {
    let (house, mut ana, mut service) = school();
    let mut teacher = house.add("Besa", "staff", &["--profile", "Blin"]);
    subscribe(&mut teacher, &service.browser(), "whose");
    house.gateway.ask("127.0.0.3", "a.harm.example", 1);
    assert!(service.silent(4), "of another group nothing is told");
    house.gateway.ask("127.0.0.4", "b.harm.example", 1);
    assert!(
        shown(&service.message())["body"]
            .as_str()
            .unwrap()
            .contains("Blin's phone")
    );

    // The account is taken back at the console: whoever had it is told no more.
    let taken_back = house.user(&["passwd", "Besa"], "four green apples");
    assert!(taken_back.0, "{}", taken_back.1);
    let audit = |ana: &mut Browser| ana.ask("GET", "/audit", &Value::Null).raw;
    wait_for("the browser is forgotten", || {
        audit(&mut ana).contains("push.remove")
    });
    let answer = teacher.ask(
        "POST",
        "/session",
        &json!({ "name": "Besa", "password": "four green apples" }),
    );
    teacher.keep_csrf(&answer);
    assert!(own(&mut teacher).is_empty());

    subscribe(&mut teacher, &service.browser(), "nothing");
    let users = ana.ask("GET", "/users", &Value::Null);
    let besa = users.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "Besa")
        .unwrap();
    let id = besa["id"].as_str().unwrap();
    assert_eq!(
        ana.ask("DELETE", &format!("/users/{id}"), &Value::Null).status,
        204
    );
    wait_for("the browser of nobody is forgotten", || {
        audit(&mut ana).matches("push.remove").count() == 2
    });
    house.gateway.ask("127.0.0.4", "c.harm.example", 1);
    assert!(service.silent(4));
}

#[test]
fn key_and_browsers_are_kept_over_a_restart_and_in_a_backup_for_their_owner_alone() {
    let (mut house, mut ana, mut service) = school();
    let key = ana.ask("GET", "/push", &Value::Null).text("key").to_owned();
    let id = subscribe(&mut ana, &service.browser(), "nothing");
    let backup = house.gateway.folder.path().join("all.backup");
    house.gateway.says(&["backup", backup.to_str().unwrap()], true);
    assert_eq!(
        ana.ask("DELETE", &format!("/push/subscriptions/{id}"), &Value::Null)
            .status,
        204
    );
    house.gateway.says(&["restore", backup.to_str().unwrap()], true);
    house.gateway.signal("TERM");
    house.gateway.wait();
    house.gateway.restart();
    house.gateway.wait_for_log("serving", 1);
    assert_eq!(ana.ask("GET", "/push", &Value::Null).text("key"), key);
    assert_eq!(own(&mut ana).len(), 1);
    assert_eq!(
        ana.ask("POST", &format!("/push/subscriptions/{id}/test"), &Value::Null)
            .status,
        204
    );
    assert_eq!(service.message()["vapid"]["key"], key);
    private(&house.gateway.folder.path().join("state"));
}

/// Fails where anybody else may read the state's records, by the file's own rights or by those of a folder above it.
fn private(state: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let closed = |path: &Path| {
        std::fs::metadata(path)
            .unwrap()
            .permissions()
            .mode()
            .is_multiple_of(0o100)
    };
    let mut open = vec![state.join("db"), state.join("export"), state.join("db.journal")];
    while let Some(path) = open.pop() {
        if closed(&path) {
            continue;
        }
        assert!(path.is_dir(), "{} can be read by others", path.display());
        open.extend(
            std::fs::read_dir(&path)
                .unwrap()
                .map(|entry| entry.unwrap().path()),
        );
    }
}
