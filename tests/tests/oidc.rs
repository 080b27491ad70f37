//! Sign-in by a school's own service: a real one, one that lies, and one that is away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::net::SocketAddr;
use std::process::Command;

use isigurt_tests::{Answer, Browser, House, PASSWORD, Provider, free_address, program};
use serde_json::{Value, json};

const ROLES: &str = "[[web.oidc.role]]\nvalue = \"it\"\nrole = \"admin\"\n\
    [[web.oidc.role]]\nvalue = \"7a\"\nrole = \"staff\"\nprofiles = [\"class-7a\"]\n";

/// A gateway whose staff this service signs in.
fn school(service: SocketAddr, more: &str) -> (House, Browser) {
    let keys = format!(
        "[web.oidc]\nissuer = \"http://{service}\"\nclient_id = \"gateway\"\nclient_secret_file = \"secret\"\n\
         name = \"School\"\n{more}\n{ROLES}"
    );
    House::with_files(&keys, &[("secret", "a secret of the tests\n")]).claim()
}

/// The path and query of an address, and whose it is.
fn place(location: &str) -> (SocketAddr, String) {
    let rest = location.strip_prefix("http://").expect(location);
    let (host, path) = rest.split_once('/').unwrap();
    (host.parse().unwrap(), format!("/{path}"))
}

fn location(answer: &Answer) -> (SocketAddr, String) {
    place(answer.header("location").unwrap_or_else(|| panic!("{answer:?}")))
}

/// Begins at the gateway: where the service's login page is.
fn begins(browser: &mut Browser) -> String {
    let answer = browser.ask("GET", "/session/oidc", &Value::Null);
    assert_eq!(answer.status, 303, "{answer:?}");
    answer.header("location").unwrap().to_owned()
}

/// Goes through the real service's pages as `who`: where it sends the browser back to.
fn logs_in(login: &str, who: &str) -> String {
    let (service, mut path) = place(login);
    let mut there = Browser::new(service, "127.0.0.1");
    for _ in 0..10 {
        let mut answer = there.send("GET", &path, "");
        if answer.status == 200 {
            let prompt = if answer.raw.contains("value=\"login\"") {
                "login"
            } else {
                "consent"
            };
            let form = format!("prompt={prompt}&login={who}&password=x");
            let mut typed = there.with("content-type", "application/x-www-form-urlencoded");
            answer = typed.send("POST", &path, &form);
            there.cookies = typed.cookies;
        }
        let (host, next) = match answer.header("location") {
            Some(next) if next.starts_with('/') => (service, next.to_owned()),
            _ => location(&answer),
        };
        if host != service {
            return next;
        }
        path = next;
    }
    panic!("the service's pages never end");
}

/// Signs in at the real service: what the gateway says at last.
fn signs_in(browser: &mut Browser, who: &str) -> Answer {
    let login = begins(browser);
    let back = logs_in(&login, who);
    browser.send("GET", &back, "")
}

/// A page that says in both languages why nobody is signed in.
fn refused(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status, status, "{kind}: {answer:?}");
    assert!(
        answer.raw.contains(&format!("<small>{kind}</small>")),
        "{kind}: {}",
        answer.raw
    );
    assert!(answer.raw.contains("Not signed in") && answer.raw.contains("Hyrja nuk u krye"));
}

#[test]
fn a_real_service_signs_a_teacher_in_with_the_rights_of_her_groups_and_nobody_else() {
    let address = free_address();
    let (house, mut ana) = school(
        address,
        "scopes = [\"profile\", \"email\", \"groups\"]\ndomains = [\"school.example\"]",
    );
    let callback = format!("http://{}/api/v1/session/oidc/callback", house.web);
    let mut sara = house.browser("127.0.0.2");
    refused(&sara.ask("GET", "/session/oidc", &Value::Null), 503, "service");
    let _service = Provider::real(address, &callback);

    assert_eq!(
        sara.ask("GET", "/setup", &Value::Null).body["provider"],
        json!("School")
    );
    let answer = signs_in(&mut sara, "sara");
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/")),
        "{answer:?}"
    );
    let session = sara.ask("GET", "/session", &Value::Null);
    sara.keep_csrf(&session);
    let user = &session.body["user"];
    assert_eq!(
        (&user["name"], &user["role"], &user["vouched"]),
        (&json!("sara"), &json!("staff"), &json!(true))
    );
    assert_eq!(user["profiles"], json!(["class-7a"]));
    // The same account again, and no other way in.
    signs_in(&mut sara, "sara");
    assert_eq!(
        sara.ask("GET", "/session", &Value::Null).body["user"]["id"],
        user["id"]
    );
    for password in ["", "x", PASSWORD] {
        let typed = json!({ "name": "sara", "password": password });
        assert_eq!(
            house.browser("127.0.0.3").ask("POST", "/session", &typed).status,
            401
        );
    }
    let csrf = sara.ask("GET", "/session", &Value::Null);
    sara.keep_csrf(&csrf);
    let mut at_localhost = sara.with("host", &format!("localhost:{}", house.web.port()));
    at_localhost.from = "127.0.0.1".parse().unwrap();
    let answer = at_localhost.ask("POST", "/passkeys/begin", &Value::Null);
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.text("detail").contains("another service"));

    for (who, status, kind) in [
        ("pupil", 403, "no-role"),
        ("unverified", 403, "not-verified"),
        ("foreign", 403, "domain"),
        ("namesake", 403, "account"), // there is an "Ana"
    ] {
        let mut browser = house.browser("127.0.0.4");
        refused(&signs_in(&mut browser, who), status, kind);
        assert_eq!(
            browser.ask("GET", "/session", &Value::Null).body["user"],
            Value::Null
        );
    }
    let trail = ana.ask("GET", "/audit", &Value::Null).body.to_string();
    assert!(
        trail.contains(&format!("http://{address}")),
        "who vouched: {trail}"
    );
}

#[test]
fn an_answer_counts_once_and_in_the_browser_that_asked() {
    let address = free_address();
    let (house, _ana) = school(address, "");
    let _service = Provider::lying(address);
    let back = |browser: &mut Browser| {
        let (service, path) = place(&begins(browser));
        let answer = Browser::new(service, "127.0.0.1").send("GET", &format!("{path}&groups=it"), "");
        location(&answer).1
    };
    let mut tana = house.browser("127.0.0.2");
    let first = back(&mut tana);
    let mut thief = house.browser("127.0.0.9");
    refused(&thief.send("GET", &first, ""), 400, "unknown");
    back(&mut thief); // one with a cookie of its own
    refused(&thief.send("GET", &first, ""), 400, "unknown");
    let cookies = tana.cookies.clone();
    assert_eq!(
        tana.send("GET", &first, "").status,
        303,
        "whoever lacks the cookie does not use it up"
    );
    tana.cookies = cookies;
    refused(&tana.send("GET", &first, ""), 400, "unknown");
    let callback = "/api/v1/session/oidc/callback";
    refused(&tana.send("GET", callback, ""), 400, "unknown");
    refused(
        &tana.send("GET", &format!("{callback}?state=x&code=y"), ""),
        400,
        "unknown",
    );
    let mut denied = house.browser("127.0.0.2");
    let state = back(&mut denied);
    let state = state.split("state=").nth(1).unwrap().split('&').next().unwrap();
    refused(
        &denied.send(
            "GET",
            &format!("{callback}?state={state}&error=access_denied"),
            "",
        ),
        403,
        "denied",
    );
}

#[test]
fn a_token_that_is_wrong_in_any_way_signs_nobody_in() {
    let address = free_address();
    let (house, _ana) = school(address, "");
    let _service = Provider::lying(address);
    let tries = |lie: &str, groups: &str| {
        let mut browser = house.browser("127.0.0.2");
        let (service, path) = place(&begins(&mut browser));
        let path = format!("{path}&lie={lie}&groups={groups}");
        let answer = Browser::new(service, "127.0.0.1").send("GET", &path, "");
        let (_, back) = location(&answer);
        (browser.send("GET", &back, ""), browser)
    };
    for lie in ["", "rotated", "slow-clock"] {
        let (answer, _) = tries(lie, "it");
        assert_eq!(answer.status, 303, "{lie}: {answer:?}");
    }
    for (lie, why) in [
        ("issuer", "Invalid issuer"),
        ("audience", "Invalid audiences"),
        ("expired", "Expired"),
        ("future", "issued in the future"),
        ("nonce", "Invalid nonce"),
        ("no-nonce", "Invalid nonce"),
        ("unknown-key", "a key that the service does not publish"),
        ("stolen-id", "its signature is not good"),
        ("changed", "its signature is not good"),
        ("none", "token is not taken"),
        ("hs256", "its signature is not good"),
        ("no-token", "there is none"),
    ] {
        let before = house.gateway.log().len();
        let (answer, mut browser) = tries(lie, "it");
        refused(&answer, 403, "token");
        let log = house.gateway.log()[before..].to_owned();
        assert!(log.contains(why), "{lie}: {log}");
        assert_eq!(
            browser.ask("GET", "/session", &Value::Null).body["user"],
            Value::Null,
            "{lie}"
        );
    }
    // What the groups say now holds at the next sign-in; in none of them, sessions end.
    let (_, mut tana) = tries("", "it");
    assert_eq!(
        tana.ask("GET", "/session", &Value::Null).body["user"]["role"],
        json!("admin")
    );
    let (_, mut again) = tries("", "7a");
    assert_eq!(
        again.ask("GET", "/session", &Value::Null).body["user"]["role"],
        json!("staff")
    );
    assert_eq!(
        tana.ask("GET", "/session", &Value::Null).body["user"]["role"],
        json!("staff")
    );
    refused(&tries("", "left").0, 403, "no-role");
    for browser in [&mut tana, &mut again] {
        assert_eq!(
            browser.ask("GET", "/session", &Value::Null).body["user"],
            Value::Null
        );
    }
}

#[test]
fn settings_that_nobody_can_mean_are_refused_by_check() {
    let folder = tempfile::tempdir().unwrap();
    let check = |oidc: &str| {
        let config = folder.path().join("g.toml");
        std::fs::write(&config, format!("state_dir = \"state\"\n[web.oidc]\n{oidc}\n")).unwrap();
        let output = Command::new(program("isigurtd"))
            .args(["--config", config.to_str().unwrap(), "check"])
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said)
    };
    let issuer = "issuer = \"https://login.school.example\"";
    let viewer = "[[web.oidc.role]]\nvalue = \"*\"\nrole = \"viewer\"";
    assert!(check(&format!("{issuer}\nclient_id = \"g\"\n{viewer}")).0);
    for (oidc, expected) in [
        (
            format!("issuer = \"http://login.school.example\"\nclient_id = \"g\"\n{viewer}"),
            "is not encrypted",
        ),
        (
            format!("issuer = \"https://login.school.example/?x\"\nclient_id = \"g\"\n{viewer}"),
            "has more than host and path",
        ),
        (format!("{issuer}\nclient_id = \"g\""), "nobody could sign in"),
        (
            format!("{issuer}\nclient_id = \"g\"\n[[web.oidc.role]]\nvalue = \"*\"\nrole = \"owner\""),
            "makes everybody owner or admin",
        ),
        (
            format!("{issuer}\nclient_id = \"g\"\n[[web.oidc.role]]\nvalue = \"x\"\nrole = \"boss\""),
            "role: \"boss\" is unknown",
        ),
        (
            format!("{issuer}\nclient_id = \"g\"\nclient_secret_file = \"nowhere\"\n{viewer}"),
            "client_secret_file",
        ),
        (
            format!("{issuer}\nclient_ids = \"g\"\n{viewer}"),
            "did you mean \"client_id\"?",
        ),
    ] {
        let (well, said) = check(&oidc);
        assert!(!well && said.contains(expected), "{oidc}: {said}");
    }
}
