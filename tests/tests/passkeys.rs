//! Passkeys in a real browser, with the authenticator that it has for tests: made, shown, copied, taken back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use isigurt_tests::{Browser, Chromium, House, PASSWORD};
use serde_json::{Value, json};

/// What pages do for passkeys.
const PAGE: &str = r"
    window.api = async (method, path, body, csrf) => {
        const headers = {};
        if (body) headers['content-type'] = 'application/json';
        if (csrf) headers['x-csrf-token'] = csrf;
        const answer = await fetch('/api/v1' + path, { method, headers, body: body && JSON.stringify(body) });
        const text = await answer.text();
        return { status: answer.status, body: text ? JSON.parse(text) : null };
    };
    window.make = async (csrf, name) => {
        const { body } = await api('POST', '/passkeys/begin', null, csrf);
        const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(body.options.publicKey);
        const credential = (await navigator.credentials.create({ publicKey })).toJSON();
        return { ceremony: body.ceremony, name, credential };
    };
    window.show = async (who, verification) => {
        const { body } = await api('POST', '/session/passkey/begin', who ? { name: who } : {});
        const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(body.options.publicKey);
        if (verification) publicKey.userVerification = verification;
        const credential = (await navigator.credentials.get({ publicKey })).toJSON();
        return { ceremony: body.ceremony, credential };
    };
    true";

/// A gateway with a page at `localhost` and an authenticator.
struct Tried {
    house: House,
    page: Chromium,
    authenticator: Value,
    csrf: String,
}

impl Tried {
    fn new() -> Self {
        let (house, _) = House::claimed("");
        let mut page = Chromium::open(&format!("http://localhost:{}/api/v1/setup", house.web.port()));
        page.ask("WebAuthn.enable", &json!({}));
        let options = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserVerified": true, "automaticPresenceSimulation": true,
        });
        let added = page.ask("WebAuthn.addVirtualAuthenticator", &json!({ "options": options }));
        page.runs(PAGE);
        let mut tried = Self {
            house,
            page,
            authenticator: added["authenticatorId"].clone(),
            csrf: String::new(),
        };
        let answer = tried.api(
            "POST",
            "/session",
            &json!({ "name": "Ana", "password": PASSWORD }),
        );
        assert_eq!(answer["status"], 200, "{answer}");
        tried.keep_csrf(&answer);
        tried
    }

    fn keep_csrf(&mut self, answer: &Value) {
        self.csrf = answer["body"]["csrf"].as_str().map(str::to_owned).unwrap();
    }

    fn api(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let csrf = json!(self.csrf);
        self.page
            .runs(&format!("api('{method}', '{path}', {body}, {csrf})"))
    }

    /// Makes a passkey: what the page would send.
    fn made(&mut self, name: &str) -> Value {
        self.page.runs(&format!("make({}, '{name}')", json!(self.csrf)))
    }

    /// A passkey that the gateway knows.
    fn passkey(&mut self, name: &str) -> Value {
        let made = self.made(name);
        let answer = self.api("POST", "/passkeys", &made);
        assert_eq!(answer["status"], 201, "{answer}");
        answer["body"].clone()
    }

    fn shows(&mut self, who: &str) -> Value {
        self.page.runs(&format!("show('{who}')"))
    }

    fn signs_in(&mut self, shown: &Value) -> Value {
        self.api("POST", "/session/passkey", shown)
    }

    fn refused(&mut self, shown: &Value, why: &str) {
        let mut answer = self.signs_in(shown);
        if answer["status"] == 429 {
            // So many wrong ones make this place wait; the request is still good.
            let seconds = answer["body"]["retry_after"].as_u64().unwrap();
            std::thread::sleep(std::time::Duration::from_secs(seconds));
            answer = self.signs_in(shown);
        }
        assert_eq!(answer["status"], 401, "{why}: {answer}");
        assert_eq!(answer["body"]["type"], "urn:isigurt:passkey");
        let detail = answer["body"]["detail"].as_str().unwrap();
        assert!(detail.contains(why), "{why}: {detail}");
    }

    fn authenticator(&mut self, method: &str, mut parameters: Value) -> Value {
        parameters["authenticatorId"] = self.authenticator.clone();
        self.page.ask(&format!("WebAuthn.{method}"), &parameters)
    }
}

#[test]
fn a_passkey_signs_in_with_or_without_a_name_and_stands_for_both_steps() {
    let mut tried = Tried::new();
    let passkey = tried.passkey("Phone");
    assert_eq!(
        (&passkey["name"], &passkey["site"]),
        (&json!("Phone"), &json!("localhost"))
    );
    let begun = tried.api(
        "POST",
        &format!("/users/{}/totp", passkey["user"].as_str().unwrap()),
        &Value::Null,
    );
    assert_eq!(begun["status"], 201, "{begun}");
    for who in ["", "ana"] {
        let shown = tried.shows(who);
        let answer = tried.signs_in(&shown);
        assert_eq!(answer["status"], 200, "{who:?}: {answer}");
        assert_eq!(answer["body"]["user"]["name"], "Ana");
        tried.keep_csrf(&answer);
    }
    let named = tried.api(
        "PATCH",
        &format!("/passkeys/{}", passkey["id"].as_str().unwrap()),
        &json!({ "name": "Tablet" }),
    );
    assert_eq!(named["body"]["name"], "Tablet", "{named}");
    // It lasts over a restart.
    tried.house.gateway.signal("TERM");
    tried.house.gateway.wait();
    tried.house.gateway.restart();
    tried.house.gateway.wait_for_log("serving", 1);
    let shown = tried.shows("");
    let answer = tried.signs_in(&shown);
    assert_eq!(answer["status"], 200, "{answer}");
    tried.keep_csrf(&answer);
    let listed = tried.api("GET", "/passkeys", &Value::Null);
    assert_eq!(listed["body"][0]["name"], "Tablet", "{listed}");
    assert!(listed["body"][0]["used"].is_i64());

    let removed = tried.api(
        "DELETE",
        &format!("/passkeys/{}", passkey["id"].as_str().unwrap()),
        &Value::Null,
    );
    assert_eq!(removed["status"], 204, "{removed}");
    let shown = tried.shows("");
    tried.refused(&shown, "not known here");
    let trail = tried.api("GET", "/audit", &Value::Null).to_string();
    for told in [
        "account.passkey.add",
        "account.passkey.rename",
        "account.passkey.remove",
    ] {
        assert!(trail.contains(told), "{told}: {trail}");
    }
}

#[test]
fn what_was_shown_before_for_another_request_by_nobody_or_from_a_copy_opens_nothing() {
    let mut tried = Tried::new();
    tried.passkey("Phone");
    let copies = tried.authenticator("getCredentials", json!({}));
    let first = tried.shows("");
    assert_eq!(tried.signs_in(&first)["status"], 200);
    tried.refused(&first, "unknown or older than five minutes");
    let mut other = tried.shows("");
    other["credential"] = first["credential"].clone();
    tried.refused(&other, "belongs to another request");
    let mut forged = tried.shows("");
    forged["credential"]["response"]["signature"] = json!("MEQCIAAB");
    tried.refused(&forged, "not taken");
    // The name that was typed is meant.
    tried.house.add("Besa", "viewer", &[]);
    let mut besas = tried
        .page
        .runs("api('POST', '/session/passkey/begin', { name: 'Besa' })");
    let anas = tried.shows("");
    besas["body"]["credential"] = anas["credential"].clone();
    let mixed = json!({ "ceremony": besas["body"]["ceremony"], "credential": anas["credential"] });
    tried.refused(&mixed, "not known here");

    tried.authenticator("setUserVerified", json!({ "isUserVerified": false }));
    let unverified = tried.page.runs("show('', 'discouraged')");
    tried.refused(&unverified, "did not check who holds it");
    tried.authenticator("setUserVerified", json!({ "isUserVerified": true }));

    // A copy from before the last sign-in: its counter lags behind.
    tried.authenticator("clearCredentials", json!({}));
    tried.authenticator("addCredential", json!({ "credential": copies["credentials"][0] }));
    let copied = tried.shows("");
    tried.refused(&copied, "may have been copied");
    let answer = tried.api(
        "POST",
        "/session",
        &json!({ "name": "Ana", "password": PASSWORD }),
    );
    tried.keep_csrf(&answer);
    let trail = tried.api("GET", "/audit", &Value::Null).to_string();
    assert!(trail.contains("account.passkey.copied"), "{trail}");

    // The console's recovery ends passkeys: a child may have made one.
    let (done, said) = tried.house.user(&["passwd", "Ana"], "four red tomatoes");
    assert!(done, "{said}");
    let shown = tried.shows("");
    tried.refused(&shown, "not known here");
}

#[test]
fn passkeys_are_offered_only_where_browsers_allow_them_and_tell_nobody_who_has_one() {
    let (house, ana) = House::claimed("");
    let begin = |browser: &mut Browser, name: &str| {
        browser.ask("POST", "/session/passkey/begin", &json!({ "name": name }))
    };
    let mut by_address = house.browser("127.0.0.1");
    assert_eq!(
        by_address.ask("GET", "/setup", &Value::Null).body["passkeys"],
        json!(false)
    );
    let answer = begin(&mut by_address, "Ana");
    assert_eq!(
        (answer.status, answer.text("type")),
        (409, "urn:isigurt:no-passkeys-here")
    );
    let answer = ana.clone().ask("POST", "/passkeys/begin", &Value::Null);
    assert_eq!(answer.status, 409);

    let mut by_name = by_address.with("host", &format!("localhost:{}", house.web.port()));
    assert_eq!(
        by_name.ask("GET", "/setup", &Value::Null).body["passkeys"],
        json!(true)
    );
    for name in ["Ana", "Nobody"] {
        let hints =
            |answer: &isigurt_tests::Answer| answer.body["options"]["publicKey"]["allowCredentials"].clone();
        let answer = begin(&mut by_name, name);
        assert_eq!(answer.status, 201, "{answer:?}");
        assert!(!hints(&answer).as_array().unwrap().is_empty(), "{name}");
        assert_eq!(
            hints(&answer),
            hints(&begin(&mut by_name, name)),
            "{name}: always the same"
        );
    }
    // Wrong ones count against the place that they come from.
    let nothing = json!({ "id": "AA", "rawId": "AA", "type": "public-key", "response": {
        "authenticatorData": "AA", "clientDataJSON": "AA", "signature": "AA" } });
    let mut child = house
        .browser("127.0.0.9")
        .with("host", &format!("localhost:{}", house.web.port()));
    let wrong = json!({ "ceremony": "none", "credential": nothing });
    let statuses: Vec<u16> = (0..8)
        .map(|_| child.ask("POST", "/session/passkey", &wrong).status)
        .collect();
    assert_eq!(statuses[..6], [401; 6]);
    assert_eq!(statuses[6..], [429; 2]);
    assert_eq!(by_name.ask("POST", "/session/passkey", &wrong).status, 401);
}
