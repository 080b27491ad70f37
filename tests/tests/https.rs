//! The web UI over HTTPS: with the gateway's own certificate and with a configured one, reloaded, refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{Read as _, Write as _};
use std::path::Path;

use isigurt_tests::{Browser, House, PASSWORD, Trust, free_address, program};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

const NAME: &str = "gateway.example";

/// A certificate that nobody but a test trusts: certificate and key, PEM.
fn issue(name: &str, until: i32) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Keys of `[web]` and `[dns.tls]` with a configured certificate.
fn configured(https: std::net::SocketAddr) -> String {
    format!(
        "https = [\"{https}\"]\n[dns.tls]\nhostname = \"{NAME}\"\ncertificate = \"cert.pem\"\nkey = \"key.pem\""
    )
}

fn over_https(house: &House, https: std::net::SocketAddr, pem: &str, name: &str) -> Browser {
    let mut browser = house.browser("127.0.0.1");
    browser.to = https;
    browser.trust = Some(Trust::new(pem, name));
    browser
}

fn signs_in(browser: &mut Browser) -> isigurt_tests::Answer {
    browser.ask(
        "POST",
        "/session",
        &json!({ "name": "Ana", "password": PASSWORD }),
    )
}

#[test]
fn without_a_configured_certificate_its_own_is_kept_and_browsers_are_not_told_to_insist() {
    let https = free_address();
    let (mut house, _) = House::claimed(&format!("https = [\"{https}\"]"));
    let kept = std::fs::read_to_string(house.gateway.folder.path().join("state/tls/own.pem")).unwrap();
    let pem = kept.split("-----BEGIN PRIVATE").next().unwrap().to_owned();
    let mut ana = over_https(&house, https, &pem, "127.0.0.1");
    let answer = signs_in(&mut ana);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("strict-transport-security"), None);
    for (name, value) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
        assert!(value.starts_with("__Host-isigurt_"), "{name}: {value}");
        assert!(
            value.contains("; Secure") && value.contains("; HttpOnly"),
            "{value}"
        );
    }
    let certificate = ana.ask("GET", "/certificate", &Value::Null);
    assert_eq!(certificate.body["configured"], json!(false));
    assert!(
        certificate.body["names"]
            .as_array()
            .unwrap()
            .contains(&json!("127.0.0.1"))
    );

    // A session that was opened encrypted is worth nothing in clear, and the other way round.
    let mut clear = house.browser("127.0.0.1");
    clear.cookies = ana.cookies.clone();
    assert_eq!(
        clear.ask("GET", "/session", &Value::Null).body["user"],
        Value::Null
    );
    let value = ana.cookies["__Host-isigurt_session"].clone();
    let mut forced = over_https(&house, https, &pem, "127.0.0.1");
    forced.cookies.insert("isigurt_session".to_owned(), value);
    assert_eq!(
        forced.ask("GET", "/session", &Value::Null).body["user"],
        Value::Null
    );

    // After a restart it is the same one.
    house.gateway.signal("TERM");
    house.gateway.wait();
    house.gateway.restart();
    house.gateway.wait_for_log("serving", 1);
    assert_eq!(
        ana.ask("GET", "/session", &Value::Null).body["user"]["name"],
        json!("Ana")
    );
}

#[test]
fn a_configured_certificate_is_insisted_on_and_another_comes_into_force_on_sighup() {
    let https = free_address();
    let (first, first_key) = issue(NAME, 2090);
    let files = [("cert.pem", first.as_str()), ("key.pem", first_key.as_str())];
    let (house, _) = House::with_files(&configured(https), &files).claim();
    let mut ana = over_https(&house, https, &first, NAME);
    ana.headers
        .insert("host".to_owned(), format!("{NAME}:{}", https.port()));
    let answer = signs_in(&mut ana);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.header("strict-transport-security"),
        Some("max-age=31536000")
    );
    ana.keep_csrf(&answer);
    let pages = format!("https://{NAME}:{}", https.port());
    let renamed = json!({ "language": "en" });
    let id = answer.body["user"]["id"].as_str().unwrap().to_owned();
    for (origin, status) in [
        (pages.as_str(), 200),
        ("https://evil.example", 403),
        (&pages.replace("https", "http"), 403),
    ] {
        let answer = ana
            .with("origin", origin)
            .ask("PATCH", &format!("/users/{id}"), &renamed);
        assert_eq!(answer.status, status, "{origin}: {answer:?}");
    }
    let foreign = ana
        .with("host", "evil.example")
        .ask("GET", "/session", &Value::Null);
    assert_eq!(foreign.status, 421);

    // A key that does not belong to the certificate changes nothing, and is named.
    let folder = house.gateway.folder.path();
    let (second, second_key) = issue(NAME, 2091);
    std::fs::write(folder.join("key.pem"), &second_key).unwrap();
    house.gateway.signal("HUP");
    house.gateway.wait_for_log("reload failed", 1);
    assert!(
        house
            .gateway
            .log()
            .contains("it does not belong to the certificate")
    );
    assert!(
        house
            .gateway
            .says(&["check"], false)
            .contains("it does not belong to the certificate")
    );
    assert_eq!(ana.ask("GET", "/session", &Value::Null).status, 200);
    // With its certificate it is in force for the next connection.
    std::fs::write(folder.join("cert.pem"), &second).unwrap();
    house.gateway.says(&["check"], true);
    house.gateway.signal("HUP");
    house.gateway.wait_for_log("reloaded", 1);
    // A browser that resumes its session need not be shown the certificate again, so this is a new one.
    ana.trust = Some(Trust::new(&first, NAME));
    let old = ana.exchange(&format!(
        "GET /api/v1/setup HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n"
    ));
    assert!(old.is_err(), "the old one is not shown any more");
    ana.trust = Some(Trust::new(&second, NAME));
    assert_eq!(
        ana.ask("GET", "/session", &Value::Null).body["user"]["name"],
        json!("Ana")
    );
}

#[test]
fn certificates_that_cannot_be_meant_are_refused_by_check_with_file_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let check = |tls: &str| {
        let config = folder.path().join("g.toml");
        std::fs::write(&config, format!("state_dir = \"state\"\n[dns.tls]\n{tls}\n")).unwrap();
        let output = std::process::Command::new(program("isigurtd"))
            .args(["--config", config.to_str().unwrap(), "check"])
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said)
    };
    let write = |file: &str, text: &str| std::fs::write(Path::new(folder.path()).join(file), text).unwrap();
    let (certificate, key) = issue(NAME, 2090);
    write("cert.pem", &certificate);
    write("key.pem", &key);
    let both = "certificate = \"cert.pem\"\nkey = \"key.pem\"";
    let named = |name: &str| format!("hostname = \"{name}\"\n{both}");
    assert!(check(&named(NAME)).0);
    for (tls, expected) in [
        (
            named("other.example"),
            "it is for gateway.example, not for hostname \"other.example\"",
        ),
        (
            named("192.0.2.1"),
            "g.toml:3:1: hostname: \"192.0.2.1\" is not a host name",
        ),
        (
            format!("hostname = \"{NAME}\"\ncertificate = \"cert.pem\""),
            "g.toml:4:1: certificate: its key is missing",
        ),
        (
            format!("hostname = \"{NAME}\"\ncertificate = \"none.pem\"\nkey = \"key.pem\""),
            "none.pem: cannot be read",
        ),
        (
            format!("hostname = \"{NAME}\"\ncertificate = \"cert.pem\"\nkey = \"cert.pem\""),
            "no private key is in it",
        ),
    ] {
        let (well, said) = check(&tls);
        assert!(!well && said.contains(expected), "{tls}: {said}");
    }
    let (old, key) = issue(NAME, 2021);
    write("cert.pem", &old);
    write("key.pem", &key);
    let (well, said) = check(&named(NAME));
    assert!(
        well && said.contains("warning: the certificate expired on 2021-01-01"),
        "{said}"
    );
}

#[test]
fn the_page_of_a_blocked_site_is_served_with_the_gateways_certificate_which_vouches_for_no_other_name() {
    let (page, own) = (free_address(), "gateway.home.arpa");
    let house = House::new(&format!("block_page_https = [\"{page}\"]"));
    let kept = std::fs::read_to_string(house.gateway.folder.path().join("state/tls/own.pem")).unwrap();
    let pem = kept.split("-----BEGIN PRIVATE").next().unwrap().to_owned();
    let get = |trusted_as: &str, host: &str| {
        let browser = over_https(&house, page, &pem, trusted_as);
        browser.exchange(&format!(
            "GET /some/path HTTP/1.1\r\nhost: {host}\r\naccept: text/html\r\nconnection: close\r\n\r\n"
        ))
    };
    // A browser that means the site meets a certificate that is another's, and goes no further.
    let warned = get("bet365.com", "bet365.com").unwrap_err();
    assert!(
        warned.to_string().contains("not valid for name \"bet365.com\""),
        "{warned}"
    );
    // Who goes on regardless, as whoever clicks the warning away does, sees which rule holds.
    let shown = get(own, "bet365.com").unwrap();
    assert!(
        shown.status == 403 && shown.raw.contains("bet365.com"),
        "{shown:?}"
    );
    assert_eq!(
        shown.header("strict-transport-security"),
        None,
        "of somebody else's site"
    );
    let national = get(own, "nobody.example").unwrap();
    assert_eq!(national.header("strict-transport-security"), None);
    // Under its own name, without a warning.
    let at_home = get(own, own).unwrap();
    assert_eq!(
        (at_home.status, at_home.header("location")),
        (303, Some("/.isigurt/me"))
    );
    // In clear nobody is answered there.
    let mut clear = std::net::TcpStream::connect(page).unwrap();
    let _ = clear.write_all(b"GET / HTTP/1.1\r\nhost: bet365.com\r\n\r\n");
    let mut heard = Vec::new();
    let _ = clear.read_to_end(&mut heard);
    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
}
