//! Accounts of a running gateway, over HTTP and from the console: who gets in, who does not, and with what. Who may do what: `rights.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use isigurt_tests::{Answer, Browser, House, PASSWORD};
use serde_json::{Value, json};

const MOTHER: &str = "127.0.0.1";
const CHILD: &str = "127.0.0.2";

fn login(browser: &mut Browser, name: &str, password: &str) -> Answer {
    browser.ask("POST", "/session", &json!({ "name": name, "password": password }))
}

/// The word of a problem's type, with its status.
fn problem(answer: &Answer) -> (u16, &str) {
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{answer:?}"
    );
    assert_eq!(answer.body["status"], answer.status, "{answer:?}");
    (
        answer.status,
        answer.text("type").trim_start_matches("urn:isigurt:"),
    )
}

#[test]
fn the_first_owner_needs_the_code_of_the_log_and_nobody_claims_twice() {
    let house = House::new("");
    let mut stranger = house.browser(CHILD);
    assert_eq!(
        stranger.ask("GET", "/setup", &Value::Null).body,
        json!({ "claimed": false, "passkeys": false, "provider": null })
    );
    let claim = |code: &str, password: &str| json!({ "code": code, "name": "Ana", "password": password });
    let answer = stranger.ask("POST", "/setup", &claim("0000-0000", PASSWORD));
    assert_eq!(problem(&answer), (403, "wrong-claim"));
    let (listed, said) = house.user(&["list"], "");
    assert!(
        listed && said.contains(&house.code()),
        "the console knows it too: {said}"
    );

    let mut ana = house.browser(MOTHER);
    let answer = ana.ask("POST", "/setup", &claim(&house.code(), "short"));
    assert_eq!((problem(&answer).0, answer.text("field")), (422, "password"));
    let answer = ana.ask("POST", "/setup", &claim(&house.code().to_lowercase(), PASSWORD));
    assert_eq!(answer.status, 201, "{answer:?}");
    let cookies: Vec<&String> = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| value)
        .collect();
    assert!(
        cookies
            .iter()
            .all(|cookie| cookie.contains("; HttpOnly; SameSite=Strict"))
    );
    assert_eq!(
        ana.ask("GET", "/session", &Value::Null).body["user"]["role"],
        "owner"
    );
    let answer = stranger.ask("POST", "/setup", &claim(&house.code(), PASSWORD));
    assert_eq!(problem(&answer), (409, "claimed"));
    assert_eq!(
        stranger.ask("GET", "/setup", &Value::Null).body,
        json!({ "claimed": true, "passkeys": false, "provider": null })
    );
    assert!(!house.gateway.log().contains(PASSWORD));
}

#[test]
fn a_session_begins_with_the_password_and_ends_at_sign_out_with_the_password_and_with_time() {
    let (house, mut ana) = House::claimed("session_idle = \"3s\"");
    let mut other = house.browser(MOTHER);
    assert_eq!(
        problem(&login(&mut other, "Ana", "wrong wrong wrong")),
        (401, "wrong")
    );
    assert_eq!(problem(&login(&mut other, "nobody", PASSWORD)), (401, "wrong"));
    assert_eq!(
        problem(&other.ask("GET", "/users", &Value::Null)),
        (401, "signed-out")
    );
    let first = login(&mut other, " ana", PASSWORD);
    assert_eq!(first.status, 200);
    other.keep_csrf(&first);
    let old = other.cookies.clone();
    let again = login(&mut other, "Ana", PASSWORD);
    other.keep_csrf(&again);
    assert_ne!(
        old["isigurt_session"], other.cookies["isigurt_session"],
        "rotated"
    );
    let mut stale = other.clone();
    stale.cookies = old;
    assert_eq!(problem(&stale.ask("GET", "/users", &Value::Null)).0, 401);

    // The password changes: all sessions end, the one that asked gets a new one.
    let id = again.body["user"]["id"].as_str().unwrap().to_owned();
    let path = format!("/users/{id}/password");
    let wrong = json!({ "password": "four yellow pears", "current": "wrong wrong" });
    assert_eq!(problem(&other.ask("POST", &path, &wrong)), (401, "wrong"));
    let right = json!({ "password": "four yellow pears", "current": PASSWORD });
    let changed = other.ask("POST", &path, &right);
    assert_eq!(changed.status, 200, "{changed:?}");
    other.keep_csrf(&changed);
    assert_eq!(problem(&ana.ask("GET", "/users", &Value::Null)).0, 401);
    assert_eq!(login(&mut ana, "Ana", PASSWORD).status, 401);
    let sessions = other.ask("GET", "/sessions", &Value::Null);
    assert_eq!(sessions.body.as_array().unwrap().len(), 1, "{sessions:?}");

    let mut copy = other.clone();
    assert_eq!(other.ask("DELETE", "/session", &Value::Null).status, 204);
    assert!(!other.cookies.contains_key("isigurt_session"));
    assert_eq!(problem(&copy.ask("GET", "/users", &Value::Null)).0, 401);

    let answer = login(&mut ana, "Ana", "four yellow pears");
    ana.keep_csrf(&answer);
    assert_eq!(ana.ask("GET", "/users", &Value::Null).status, 200);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(
        problem(&ana.ask("GET", "/users", &Value::Null)).0,
        401,
        "idle for too long"
    );
    assert_eq!(ana.ask("GET", "/session", &Value::Null).body["user"], Value::Null);
}

#[test]
fn a_child_that_guesses_waits_and_its_mother_does_not() {
    let (house, _) = House::claimed("");
    let mut child = house.browser(CHILD);
    let answers: Vec<Answer> = (0..9).map(|_| login(&mut child, "Ana", "1234567890")).collect();
    let last = answers.last().unwrap();
    assert_eq!(problem(last).0, 429, "{last:?}");
    assert!(last.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(
        login(&mut child, "Ana", PASSWORD).status,
        429,
        "not even the right one is looked at"
    );
    let mut mother = house.browser(MOTHER);
    assert_eq!(login(&mut mother, "Ana", PASSWORD).status, 200);
    // Even at the child's address: her browser is known.
    mother.from = CHILD.parse().unwrap();
    assert_eq!(login(&mut mother, "Ana", PASSWORD).status, 200);
    // The console opens the child's address again, which nobody else can.
    let (done, said) = house.user(&["passwd", "ana"], "four yellow pears\n");
    assert!(done, "{said}");
    assert_eq!(login(&mut child, "Ana", "four yellow pears").status, 200);
}

#[test]
fn other_pages_and_other_names_do_not_reach_the_gateway() {
    let (house, mut ana) = House::claimed("hosts = [\"filter.school.example\"]");
    let add = json!({ "name": "Ben", "role": "viewer", "password": PASSWORD });
    let own = format!("http://{}", house.web);

    let mut without = ana.clone();
    without.headers.remove("x-csrf-token");
    assert_eq!(problem(&without.ask("POST", "/users", &add)), (403, "csrf"));
    let mut wrong = ana.with("x-csrf-token", "AAAA");
    assert_eq!(problem(&wrong.ask("POST", "/users", &add)), (403, "csrf"));
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let mut foreign = ana.with(name, value);
        assert_eq!(
            problem(&foreign.ask("POST", "/users", &add)),
            (403, "foreign-origin"),
            "{name}: {value}"
        );
        let mut stranger = house.browser(CHILD).with(name, value);
        assert_eq!(
            problem(&login(&mut stranger, "Ana", PASSWORD)).0,
            403,
            "signing in neither"
        );
    }
    for host in ["evil.example", "evil.example:80", ""] {
        let mut rebound = ana.with("host", host);
        assert_eq!(
            problem(&rebound.ask("GET", "/users", &Value::Null)).0,
            421,
            "{host}"
        );
    }
    assert_eq!(
        ana.with("host", "filter.school.example")
            .ask("GET", "/users", &Value::Null)
            .status,
        200
    );
    assert_eq!(
        ana.with("host", "evil.example")
            .send("GET", "/healthz", "")
            .status,
        200
    );
    let mut page = ana.with("origin", &own).with("sec-fetch-site", "same-origin");
    assert_eq!(page.ask("POST", "/users", &add).status, 201);
    assert_eq!(ana.ask("GET", "/users", &Value::Null).body["total"], 2);
}

#[test]
fn the_second_step_keeps_out_whoever_has_the_password_alone() {
    let (house, mut ana) = House::claimed("");
    let id = ana.ask("GET", "/session", &Value::Null).body["user"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let begun = ana.ask("POST", &format!("/users/{id}/totp"), &Value::Null);
    assert_eq!(begun.status, 201, "{begun:?}");
    let wrong = ana.ask(
        "POST",
        &format!("/users/{id}/totp/confirm"),
        &json!({ "code": "000000" }),
    );
    assert_eq!((problem(&wrong).0, wrong.text("field")), (422, "code"));
    let code = oathtool(begun.text("secret"));
    let confirmed = ana.ask(
        "POST",
        &format!("/users/{id}/totp/confirm"),
        &json!({ "code": code }),
    );
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    let recovery = confirmed.body["recovery_codes"][0].as_str().unwrap().to_owned();

    let mut thief = house.browser(CHILD);
    assert_eq!(problem(&login(&mut thief, "Ana", PASSWORD)), (401, "code-needed"));
    let with = |code: &str| json!({ "name": "Ana", "password": PASSWORD, "code": code });
    let used = thief.ask("POST", "/session", &with(&code));
    assert_eq!(problem(&used), (401, "wrong"), "a code works once");
    let mut mother = house.browser(MOTHER);
    assert_eq!(mother.ask("POST", "/session", &with(&recovery)).status, 200);
    assert_eq!(mother.ask("POST", "/session", &with(&recovery)).status, 401);
    let (_, listed) = house.user(&["list"], "");
    assert!(listed.contains("second step"), "{listed}");
    // Everything lost: the console.
    assert!(house.user(&["passwd", "Ana"], "four yellow pears").0);
    assert_eq!(login(&mut mother, "Ana", "four yellow pears").status, 200);
}

/// The code that an authenticator app shows, by another implementation.
fn oathtool(secret: &str) -> String {
    const SCRIPT: &str = "import base64,hashlib,hmac,struct,sys,time\n\
        s=sys.argv[1];k=base64.b32decode(s+'='*(-len(s)%8))\n\
        d=hmac.new(k,struct.pack('>Q',int(time.time())//30),hashlib.sha1).digest();o=d[-1]&15\n\
        print('%06d'%((struct.unpack('>I',d[o:o+4])[0]&0x7fffffff)%10**6))";
    let output = std::process::Command::new("python3")
        .args(["-c", SCRIPT, secret])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_token_does_what_its_scopes_say_until_it_is_taken_back() {
    let (house, mut ana) = House::claimed("");
    let make = |scopes: Value| json!({ "name": "home assistant", "scopes": scopes, "days": 30 });
    assert_eq!(problem(&ana.ask("POST", "/tokens", &make(json!([])))).0, 422);
    assert_eq!(
        problem(&ana.ask("POST", "/tokens", &make(json!(["everything"])))).0,
        422
    );
    let made = ana.ask("POST", "/tokens", &make(json!(["read", "relax"])));
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.text("token").to_owned();
    let bearer = format!("Bearer {token}");
    let mut program = house.browser(CHILD).with("authorization", &bearer);
    assert_eq!(program.ask("GET", "/policy", &Value::Null).status, 200);
    assert_eq!(
        program
            .ask("POST", "/pauses", &json!({ "who": "all", "minutes": 1 }))
            .status,
        201,
        "without CSRF token"
    );
    for (method, path, body) in [
        ("PUT", "/settings", json!({ "default_profile": "household" })),
        ("GET", "/queries", Value::Null),
        ("GET", "/users", Value::Null),
        ("GET", "/tokens", Value::Null),
        ("POST", "/tokens", make(json!(["read"]))),
        ("GET", "/sessions", Value::Null),
        ("DELETE", "/session", Value::Null),
    ] {
        assert_eq!(
            problem(&program.ask(method, path, &body)),
            (403, "not-allowed"),
            "{method} {path}"
        );
    }
    let mut wrong = house.browser(CHILD).with("authorization", "Bearer isg_AAAA");
    let answer = wrong.ask("GET", "/policy", &Value::Null);
    assert_eq!(
        (problem(&answer), answer.header("www-authenticate")),
        ((401, "bad-token"), Some("Bearer"))
    );
    let shown = ana.ask("GET", "/tokens", &Value::Null);
    assert!(!shown.body.to_string().contains(&token), "shown once");
    let id = shown.body[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        ana.ask("DELETE", &format!("/tokens/{id}"), &Value::Null).status,
        204
    );
    assert_eq!(
        problem(&program.ask("GET", "/policy", &Value::Null)),
        (401, "bad-token")
    );
}

#[test]
fn accounts_last_over_a_restart_and_the_console_keeps_an_owner() {
    let (mut house, mut ana) = House::claimed("");
    for (arguments, password, reason) in [
        (&["add", "ANA", "--role", "admin"][..], PASSWORD, "already"),
        (&["add", "Ben", "--role", "admin"], "short", "10 characters"),
        (&["add", "Ben", "--role", "king"], PASSWORD, "no role"),
        (&["passwd", "nobody"], PASSWORD, "no such user"),
    ] {
        let (done, said) = house.user(arguments, password);
        assert!(!done && said.contains(reason), "{arguments:?}: {said}");
    }
    let id = ana.ask("GET", "/session", &Value::Null).body["user"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        problem(&ana.ask("DELETE", &format!("/users/{id}"), &Value::Null)).0,
        409
    );
    house.gateway.signal("TERM");
    assert_eq!(house.gateway.wait(), Some(0));
    house.gateway.restart();
    house.gateway.wait_for_log("serving", 1);
    assert!(!house.gateway.log().contains("nobody owns"));
    assert_eq!(
        ana.ask("GET", "/users", &Value::Null).status,
        200,
        "the session lives on"
    );
}

/// Bodies that no operation takes.
const BODIES: [&str; 5] = ["", "{", "[]", "{\"name\": 7}", "{\"unknown\": true}"];

#[test]
fn whatever_is_sent_is_answered_with_a_documented_problem() {
    let (house, ana) = House::claimed("");
    let description = ana.clone().send("GET", "/api/v1/openapi.json", "").body;
    assert_eq!(description["openapi"], "3.1.0");
    let mut asked = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if (path.ends_with("/events") || path.ends_with("/stream")) && method == "get" {
                continue; // never end
            }
            let mut ana = house.browser(MOTHER); // one of the operations signs out
            let signed_in = login(&mut ana, "Ana", PASSWORD);
            ana.keep_csrf(&signed_in);
            let paths = ["%ff", "x", "7"].map(|part| path.replace("{id}", part).replace("{name}", part));
            let paths = if path.contains('{') {
                &paths[..]
            } else {
                &paths[..1]
            };
            for (path, body) in paths.iter().flat_map(|path| BODIES.map(|body| (path, body))) {
                for mut browser in [
                    ana.clone(),
                    house.browser(CHILD),
                    ana.with("content-type", "text/plain"),
                ] {
                    let answer = browser.send(&method.to_uppercase(), path, body);
                    let known = &operation["responses"][answer.status.to_string()];
                    assert!(known.is_object(), "{method} {path} {body}: {answer:?}");
                    assert!(answer.status < 500, "{method} {path} {body}: {answer:?}");
                    if answer.status >= 400 {
                        problem(&answer);
                    }
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 300, "{asked}");
    let mut nowhere = ana.clone();
    assert_eq!(problem(&nowhere.ask("GET", "/nowhere", &Value::Null)).0, 404);
    assert_eq!(problem(&nowhere.ask("PATCH", "/setup", &json!({}))).0, 405);
}
