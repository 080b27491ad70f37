//! The national platform takes reports: over HTTP, into a real PostgreSQL. Each way in which a delivery goes wrong.
// A failure here is a failed test, and says so.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use isigurt_tests::platform::envelope;
use isigurt_tests::{Browser, Platform, Postgres};
use isigurt_wire::report::{ENVELOPE, Envelope, GATEWAY_HEADER, Kind, pseudonym};
use isigurt_wire::seal::PrivateKey;
use serde_json::{Value, json};

#[test]
fn a_database_starts_keeps_what_it_is_given_over_a_crash_and_ends() {
    let mut postgres = Postgres::start(&[]);
    postgres.query("CREATE TABLE kept (x int)");
    postgres.query("INSERT INTO kept VALUES (7)");
    postgres.crash(Duration::ZERO);
    assert_eq!(postgres.query("SELECT x FROM kept"), "7");
    assert!(postgres.dump().contains("CREATE TABLE public.kept"));
}

#[test]
fn a_report_is_kept_once_however_often_it_is_delivered() {
    let platform = Platform::start("");
    let envelope = platform.envelope(Kind::Gambling, "casino.test", None);
    let (status, first) = platform.deliver(&envelope);
    assert_eq!(status, 201, "{first}");
    assert_eq!(first["receipt"], envelope.id.receipt());
    assert_eq!(first["state"], "received");
    // Again, one after the other and all at once.
    let body = serde_json::to_string(&envelope).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (status, again) = platform.deliver(&envelope);
                assert_eq!((status, &again), (200, &first));
            });
        }
    });
    assert_eq!(platform.postgres.query("SELECT count(*) FROM report"), "1");
    assert_eq!(
        platform.postgres.query("SELECT count FROM quota"),
        "1",
        "told apart from new ones"
    );
    // A new one by eight deliveries at once is new for exactly one of them.
    let other = platform.envelope(Kind::Gambling, "casino.test", None);
    let new = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (status, body) = platform.deliver(&other);
                assert!(status == 200 || status == 201, "{body}");
                new.fetch_add(usize::from(status == 201), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(new.load(Ordering::Relaxed), 1);
    assert!(!platform.log().contains(&body[20..60]));
}

#[test]
fn whoever_holds_the_receipt_learns_how_it_stands_and_all_answers_are_of_one_length() {
    let platform = Platform::start("");
    let receipt = platform.report(Kind::Fraud, "shop.test", None);
    let ask = |receipt: &str| {
        Browser::new(platform.address, "127.0.0.1").ask("GET", &format!("/reports/{receipt}"), &Value::Null)
    };
    let known = ask(&receipt);
    assert_eq!((known.status, known.text("state")), (200, "received"));
    assert_eq!(known.header("cache-control"), Some("no-store"));
    for written in [receipt.to_lowercase(), receipt.replace('-', "")] {
        assert_eq!(ask(&written).text("receipt"), receipt);
    }
    let unknown = ask("AAAA-BBBB-CCCC-DDDD");
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.header("content-length"), known.header("content-length"));
    for wrong in [
        "x",
        "AAAA-BBBB-CCCC-DDDD-EEEE",
        "%27%20OR%201=1",
        "A%00AA-BBBB-CCCC-DDDD",
    ] {
        assert_eq!(ask(wrong).status, 404, "{wrong}");
    }
}

#[test]
fn what_is_no_sealed_report_is_refused_with_a_reason() {
    let platform = Platform::start("");
    let good = platform.envelope(Kind::Hate, "forum.test", None);
    let mut browser = Browser::new(platform.address, "127.0.0.1");
    let mut send = |change: &dyn Fn(&mut Value)| {
        let mut body = serde_json::to_value(&good).unwrap();
        change(&mut body);
        let answer = browser.ask("POST", "/reports", &body);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{answer:?}"
        );
        (
            answer.status,
            answer.text("detail").to_owned(),
            answer.text("type").to_owned(),
        )
    };
    let stranger = PrivateKey::generate().unwrap().public().unwrap().id();
    let (status, detail, kind) = send(&|body| body["key"] = json!(stranger));
    assert_eq!(
        (status, kind.as_str()),
        (422, "urn:isigurt:unknown-key"),
        "{detail}"
    );
    for (change, says) in [
        (
            &(|body: &mut Value| body["format"] = json!(2)) as &dyn Fn(&mut Value),
            "another form",
        ),
        (&|body| body["id"] = json!("07"), "not an envelope"),
        (&|body| body["who"] = json!("Ana"), "not an envelope"),
        (&|body| body["sealed"] = json!("???"), "base64url"),
        (&|body| body["sealed"] = json!("AAAA"), "length"),
        (&|body| *body = json!([]), "not an envelope"),
    ] {
        let (status, detail, _) = send(change);
        assert!(status == 400 && detail.contains(says), "{status} {detail}");
    }
    let big = |length: usize| format!("{{\"x\":\"{}\"}}", "a".repeat(length));
    let mut browser = Browser::new(platform.address, "127.0.0.1");
    assert_eq!(
        browser.send("POST", "/api/v1/reports", &big(ENVELOPE)).status,
        413
    );
    assert_eq!(
        browser.send("POST", "/api/v1/reports", &big(ENVELOPE - 8)).status,
        400
    );
    // Without a length, in pieces.
    let mut stream = TcpStream::connect(platform.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(b"POST /api/v1/reports HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")
        .unwrap();
    for _ in 0..40 {
        let _ = stream.write_all(format!("200\r\n{}\r\n", "a".repeat(512)).as_bytes());
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(browser.ask("GET", "/reports", &Value::Null).status, 405);
    assert_eq!(platform.postgres.query("SELECT count(*) FROM report"), "0");
}

#[test]
fn quotas_hold_for_a_gateway_and_for_a_network_and_name_neither() {
    let platform = Platform::start("[intake]\nper_gateway = 2\nper_network = 4");
    let send = |gateway: Option<&str>| {
        let mut browser = Browser::new(platform.address, "127.0.0.1");
        if let Some(gateway) = gateway {
            browser = browser.with(GATEWAY_HEADER, gateway);
        }
        let envelope = platform.envelope(Kind::Other, "x.test", None);
        let answer = browser.ask("POST", "/reports", &serde_json::to_value(&envelope).unwrap());
        (
            answer.status,
            answer.header("retry-after").map(str::to_owned),
            envelope,
        )
    };
    let gateway = pseudonym(&[7; 32], "2026-11");
    assert_eq!(send(Some(&gateway)).0, 201);
    let (status, _, kept) = send(Some(&gateway));
    assert_eq!(status, 201);
    let (status, again, _) = send(Some(&gateway));
    assert_eq!(status, 429);
    let seconds: u64 = again.unwrap().parse().unwrap();
    assert!((1..=3600).contains(&seconds), "{seconds}");
    // What is known already is never refused.
    assert_eq!(platform.deliver(&kept).0, 200);
    assert_eq!(
        send(Some(&pseudonym(&[8; 32], "2026-11"))).0,
        201,
        "another gateway"
    );
    assert_eq!(send(None).0, 429, "the network has had four");
    assert_eq!(send(Some("not hexadecimal")).0, 400);
    let dump = platform.postgres.dump();
    assert!(!dump.contains(&gateway) && !dump.contains("127.0.0"), "{dump}");
    assert!(platform.postgres.query("SELECT count(*) FROM quota_salt") == "1");
}

#[test]
fn nothing_that_was_acknowledged_is_lost_when_the_database_crashes_under_load() {
    let mut platform = Platform::start("[intake]\nper_network = 1000000");
    let (address, key) = (platform.address, platform.report_key.clone());
    let kept: Mutex<Vec<Envelope>> = Mutex::new(Vec::new());
    let ended = AtomicBool::new(false);
    let load = || {
        while !ended.load(Ordering::Relaxed) {
            let envelope = envelope(&key, Kind::Other, "x.test", None);
            let body = serde_json::to_value(&envelope).unwrap();
            let answer = Browser::new(address, "127.0.0.1").ask("POST", "/reports", &body);
            if answer.status == 201 || answer.status == 200 {
                kept.lock().unwrap().push(envelope);
            } else {
                assert_eq!(answer.status, 503, "{answer:?}");
            }
        }
    };
    let count = || kept.lock().unwrap().len();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(load);
        }
        for _ in 0..2 {
            let before = count();
            let started = Instant::now();
            while count() < before + 40 && started.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(20));
            }
            platform.postgres.crash(Duration::from_secs(1));
        }
        let before = count();
        let started = Instant::now();
        while count() < before + 40 && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(20));
        }
        ended.store(true, Ordering::Relaxed);
    });
    let kept = kept.into_inner().unwrap();
    assert!(kept.len() >= 100, "{}", kept.len());
    let ids = platform.postgres.query("SELECT encode(id, 'hex') FROM report");
    for envelope in &kept {
        assert!(
            ids.contains(&envelope.id.to_string()),
            "{} was acknowledged and is lost",
            envelope.id
        );
    }
    assert!(
        platform.log().contains("trying again"),
        "the crash was not noticed"
    );
}

#[test]
fn it_says_whether_it_is_ready_and_ends_in_good_order() {
    let mut platform = Platform::start("");
    let mut browser = Browser::new(platform.address, "127.0.0.1");
    assert_eq!(browser.send("GET", "/healthz", "").status, 200);
    assert_eq!(browser.send("GET", "/readyz", "").status, 200);
    assert_eq!(
        browser.send("GET", "/metrics", "").status,
        404,
        "only where it is told to"
    );
    assert_eq!(platform.stop(), Some(0));
}

#[test]
fn a_rotated_key_opens_what_is_still_on_its_way_and_another_instance_knows_the_new_one() {
    let platform = Platform::start("");
    let queued = platform.envelope(Kind::Hate, "old.test", None);
    let new = PrivateKey::generate().unwrap();
    let early = envelope(&new.public().unwrap(), Kind::Hate, "new.test", None);
    assert_eq!(platform.deliver(&early).0, 422);
    let file = platform.keep_key("new.key", &new);
    platform.says("ana", &["key", "add", file.to_str().unwrap()], true);
    std::thread::sleep(Duration::from_millis(1_100)); // the server looks again after a second
    assert_eq!(platform.deliver(&early).0, 201);
    assert_eq!(platform.deliver(&queued).0, 201);
    let cases = platform.data("ana", &["list", "--names"]);
    let names: Vec<&str> = cases
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"old.test") && names.contains(&"new.test"),
        "{names:?}"
    );
}

#[test]
fn nothing_of_a_report_is_readable_in_database_log_or_files() {
    let platform = Platform::start("");
    let marker = "zebrafinch";
    let name = format!("{marker}.test");
    let receipt = platform.report(Kind::Grooming, &name, Some(&format!("note {marker}")));
    // Through triage too: opened, sorted, reviewed, decided.
    let case = platform.data("ana", &["list"])[0]["case"]
        .as_str()
        .unwrap()
        .to_owned();
    platform.says("ana", &["show", &case], true);
    platform.says("ana", &["confirm", &case, "--list", "gambling"], true);
    assert_eq!(platform.state(&receipt), "acted-on");
    platform.postgres.query("CHECKPOINT");
    for folder in [platform.postgres.folder(), platform.folder.path()] {
        search(folder, marker.as_bytes());
    }
    assert!(!platform.postgres.dump().contains(marker));
    // What is searched for is found where it is in clear.
    platform
        .postgres
        .query(&format!("CREATE TABLE clear AS SELECT '{marker}' AS text"));
    platform.postgres.query("CHECKPOINT");
    assert!(std::panic::catch_unwind(|| search(platform.postgres.folder(), marker.as_bytes())).is_err());
}

/// Fails where any file below has `marker` in it.
fn search(folder: &Path, marker: &[u8]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, marker);
        } else if let Ok(octets) = std::fs::read(&path) {
            let found = octets.windows(marker.len()).any(|window| window == marker);
            assert!(!found, "{} has the marker", path.display());
        }
    }
}

#[test]
fn confirmations_are_handed_out_as_they_were_signed_counted_and_never_logged() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("confirm/abuse");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("3.answers"), "0102fe {\"n\":1}\n0102ff {\"n\":2}\n").unwrap();
    let head = format!(
        "confirmations = \"{}\"\n[intake]\nquestions = 6\n",
        state.path().display()
    );
    let platform = Platform::start(&head);
    let ask = |path: &str| {
        Browser::new(platform.address, "127.0.0.1").ask("GET", &format!("/confirm/{path}"), &Value::Null)
    };
    assert_eq!(ask("abuse/3/0102ff").raw, "{\"n\":2}");
    for none in [
        "abuse/3/0102fd",
        "abuse/4/0102ff",
        "nowhere/3/0102ff",
        "..%2fabuse/3/0102ff",
    ] {
        assert_eq!(ask(none).status, 404, "{none}");
    }
    assert_eq!(ask("abuse/3/0102fe").raw, "{\"n\":1}");
    // Seven in one minute, or in two where the minute has just ended.
    let limited = (0..14)
        .map(|_| ask("abuse/3/0102ff"))
        .find(|answer| answer.status == 429);
    assert!(limited.unwrap().header("retry-after").is_some());
    assert!(!platform.log().contains("0102f"), "a question is in the log");
}

#[test]
fn the_lists_are_served_with_conditions_and_ranges_and_nothing_beside_them() {
    let repository = tempfile::tempdir().unwrap();
    std::fs::create_dir(repository.path().join("metadata")).unwrap();
    std::fs::write(repository.path().join("metadata/timestamp.json"), "{\"a\":1}").unwrap();
    std::fs::write(repository.path().join("metadata/.secret"), "x").unwrap();
    let platform = Platform::start(&format!("repository = \"{}\"\n", repository.path().display()));
    let browser = Browser::new(platform.address, "127.0.0.1");
    let get = |browser: &Browser, path: &str| browser.clone().send("GET", path, "");
    let whole = get(&browser, "/metadata/timestamp.json");
    assert_eq!((whole.status, whole.raw.as_str()), (200, "{\"a\":1}"));
    assert_eq!(whole.header("cache-control"), Some("no-cache"));
    let tag = whole.header("etag").unwrap().to_owned();
    let again = get(&browser.with("if-none-match", &tag), "/metadata/timestamp.json");
    assert_eq!((again.status, again.raw.as_str()), (304, ""));
    let rest = get(&browser.with("range", "bytes=5-"), "/metadata/timestamp.json");
    assert_eq!((rest.status, rest.raw.as_str()), (206, "1}"));
    assert_eq!(rest.header("content-range"), Some("bytes 5-6/7"));
    let beyond = get(&browser.with("range", "bytes=7-"), "/metadata/timestamp.json");
    assert_eq!(beyond.status, 416);
    let changed = browser.with("range", "bytes=5-").with("if-range", "\"another\"");
    assert_eq!(
        get(&changed, "/metadata/timestamp.json").status,
        200,
        "the whole of what changed meanwhile"
    );
    for none in [
        "/metadata/.secret",
        "/metadata/../platform.toml",
        "/metadata",
        "/",
        "/metadata/2.root.json",
    ] {
        let answer = get(&browser, none);
        assert_eq!(answer.status, 404, "{none}");
        assert_eq!(answer.header("cache-control"), Some("max-age=5"), "{none}");
    }
    assert_eq!(
        browser
            .clone()
            .send("POST", "/metadata/timestamp.json", "x")
            .status,
        405
    );
}
