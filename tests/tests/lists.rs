//! Lists that are added over the API: looked at first, then in force, fresh, in the backup, and gone again; and everything that must
//! not be taken for a list, or fetched at all.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

use std::fmt::Write as _;
use std::time::Instant;

use isigurt_tests::{Browser, House, Mirror, PASSWORD, Reply, wait_for};
use serde_json::{Value, json};

const CHILD: &str = "127.0.0.3";
const TEENAGER: &str = "127.0.0.4";

/// A household with a child and a teenager who keeps names to himself, and a server of lists; `web` goes into `[web]` and behind it.
fn house(web: &str) -> (House, Browser, Lists) {
    let (house, mut ana) = House::claimed(web);
    let policy = json!({
        "settings": { "default_profile": "child" },
        "profile": [
            { "name": "child", "categories": ["gambling", "adult"] },
            { "name": "teenager", "categories": ["gambling"], "visibility": "counts" },
        ],
        "device": [{ "name": "phone", "match": [format!("ip:{TEENAGER}")], "profile": "teenager" }],
    });
    assert_eq!(ana.ask("PUT", "/policy", &policy).status, 200);
    (house, ana, Lists::new())
}

/// A server of lists.
struct Lists {
    folder: tempfile::TempDir,
    mirror: Mirror,
}

impl Lists {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mirror = Mirror::of(folder.path());
        Self { folder, mirror }
    }

    fn serve(&self, name: &str, text: &str) -> String {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        format!("{}{name}", self.mirror.url())
    }
}

/// Looks at a list until that is done.
fn look(browser: &mut Browser, wanted: &Value) -> Value {
    let begun = browser.ask("POST", "/lists/previews", wanted);
    assert_eq!(begun.status, 202, "{begun:?}");
    let path = format!("/lists/previews/{}", begun.text("id"));
    let mut now = begun.body;
    wait_for("the preview", || {
        now = browser.ask("GET", &path, &Value::Null).body;
        ["ready", "refused"].contains(&now["stage"].as_str().unwrap())
    });
    now
}

fn add(browser: &mut Browser, preview: &Value) {
    assert_eq!(preview["stage"], "ready", "{preview}");
    let path = format!("/lists/previews/{}/accept", preview["id"].as_str().unwrap());
    let added = browser.ask("POST", &path, &Value::Null);
    assert_eq!(added.status, 201, "{added:?}");
    assert_eq!(added.body["id"], preview["list"]);
}

fn effect(preview: &Value) -> Vec<(String, String, u64)> {
    let items = preview["findings"]["effect"]["items"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    items
        .iter()
        .map(|one| {
            (
                text(&one["profile"]),
                text(&one["name"]),
                one["times"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_list_is_shown_with_what_it_would_change_before_it_changes_anything() {
    let (house, mut ana, lists) = house("private_lists = true");
    for _ in 0..3 {
        assert!(house.gateway.gets(CHILD, "books.example"));
    }
    assert!(house.gateway.gets(CHILD, "Deep.News.example"));
    assert!(house.gateway.gets(CHILD, "other.example"));
    assert!(!house.gateway.gets(CHILD, "bet365.com"), "blocked already");
    assert!(house.gateway.gets(CHILD, "alo116.al"));
    assert!(
        house.gateway.gets(TEENAGER, "books.example"),
        "what he asks for is his own"
    );
    let url = lists.serve(
        "family.txt",
        "# a list\nbooks.example\nnews.example\nbooks.example\nbet365.com\nalo116.al\nwhatsapp.com\nno name at all\n",
    );
    let preview = look(
        &mut ana,
        &json!({ "id": "family", "url": url, "category": "gambling" }),
    );
    let found = &preview["findings"];
    let numbers = ["lines", "kept", "duplicates", "rejected", "new"].map(|key| found[key].as_u64().unwrap());
    assert_eq!(numbers, [6, 5, 1, 1, 4], "{preview}");
    assert_eq!(found["format"], "domains");
    assert_eq!(found["rejections"][0]["line"], 8, "{preview}");
    assert_eq!(found["helplines"], json!(["alo116.al"]));
    assert_eq!(found["profiles"], json!(["child", "teenager"]));
    let known = found["well_known"].to_string();
    assert!(known.contains("WhatsApp") && !known.contains("TikTok"), "{known}");
    let expected = [("books.example", 3), ("deep.news.example", 1)];
    let expected = expected.map(|(name, times)| ("child".to_owned(), name.to_owned(), times));
    assert_eq!(effect(&preview), expected, "{preview}");
    assert!(
        house.gateway.gets(CHILD, "books.example"),
        "nothing is in force before it is added"
    );
    let listed = ana.ask("GET", "/lists", &Value::Null).body.to_string();
    assert!(!listed.contains("family"), "{listed}");

    add(&mut ana, &preview);
    assert!(!house.gateway.gets(CHILD, "books.example"), "on the next query");
    assert!(!house.gateway.gets(CHILD, "deep.news.example") && house.gateway.gets(CHILD, "other.example"));
    assert!(house.gateway.gets(CHILD, "alo116.al"), "a helpline stays open");
    let status = house.gateway.says(&["lists", "status"], true);
    assert!(
        status.contains("list family: 5 rules") && status.contains("added in the web UI"),
        "{status}"
    );
    for offline in [
        &["why", "books.example", "--profile", "child"][..],
        &["why", "books.example", "--offline"],
    ] {
        let why = house.gateway.says(offline, true);
        assert!(why.contains("list: family"), "{why}");
    }
    let trail = ana.ask("GET", "/audit?limit=5", &Value::Null).body.to_string();
    assert!(trail.contains("list.add") && trail.contains("Ana"), "{trail}");
    let gone = ana.ask(
        "GET",
        &format!("/lists/previews/{}", preview["id"].as_str().unwrap()),
        &Value::Null,
    );
    assert_eq!(gone.status, 404);
}

#[test]
fn an_added_list_is_kept_fresh_outlives_a_restart_and_goes_when_it_is_removed() {
    let (mut house, mut ana, lists) = house("private_lists = true");
    let url = lists.serve("own.txt", "first.example\n");
    let preview = look(&mut ana, &json!({ "id": "own", "url": url, "every_hours": 1 }));
    add(&mut ana, &preview);
    assert!(!house.gateway.gets(CHILD, "first.example"), "on the next query");
    assert!(
        !house.gateway.gets(TEENAGER, "first.example"),
        "a list without a category is for everybody"
    );

    lists.serve("own.txt", "first.example\nsecond.example\n");
    assert_eq!(ana.ask("POST", "/lists/update", &Value::Null).status, 200);
    wait_for("the newer version", || {
        !house.gateway.gets(CHILD, "second.example")
    });
    house.gateway.signal("TERM");
    house.gateway.wait();
    house.gateway.restart();
    assert!(
        !house.gateway.gets(CHILD, "second.example"),
        "from the first answer on"
    );
    wait_for("the web", || std::net::TcpStream::connect(house.web).is_ok());
    house.gateway.signal("HUP");
    house.gateway.wait_for_log("reloaded", 1);
    assert!(!house.gateway.gets(CHILD, "second.example"), "after a reload too");

    let session = ana.ask(
        "POST",
        "/session",
        &json!({ "name": "Ana", "password": PASSWORD }),
    );
    ana.keep_csrf(&session);
    assert_eq!(ana.ask("DELETE", "/lists/own", &Value::Null).status, 204);
    assert!(house.gateway.gets(CHILD, "second.example"), "on the next query");
    let status = house.gateway.says(&["lists", "status"], true);
    assert!(!status.contains("list own"), "{status}");
    let left = std::fs::read_dir(house.gateway.folder.path().join("state/lists")).unwrap();
    let left: Vec<String> = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(left.iter().all(|name| !name.contains("own")), "{left:?}");
    assert_eq!(ana.ask("DELETE", "/lists/own", &Value::Null).status, 404);
    assert_eq!(
        ana.ask("DELETE", "/lists/gambling", &Value::Null).status,
        404,
        "a built-in list"
    );
}

#[test]
fn a_given_text_is_part_of_the_backup() {
    let (house, mut ana, _lists) = house("");
    let text = "||given.example^\n@@||open.given.example^\n/^ads[0-9]+\\.example$/\n";
    let preview = look(
        &mut ana,
        &json!({ "id": "given", "text": text, "format": "adblock" }),
    );
    assert_eq!(preview["findings"]["exceptions"], 1, "{preview}");
    add(&mut ana, &preview);
    assert!(!house.gateway.gets(CHILD, "given.example"));
    assert!(house.gateway.gets(CHILD, "open.given.example") && !house.gateway.gets(CHILD, "ads7.example"));
    let file = house.gateway.folder.path().join("all.backup");
    house.gateway.says(&["backup", file.to_str().unwrap()], true);

    let mut other = House::new("");
    other.gateway.says(&["restore", file.to_str().unwrap()], true);
    other.gateway.signal("TERM");
    other.gateway.wait();
    other.gateway.restart();
    assert!(
        !other.gateway.gets(CHILD, "given.example"),
        "the restored gateway has the list's text"
    );
    assert!(other.gateway.gets(CHILD, "open.given.example"));
}

#[test]
fn what_is_no_list_is_refused_with_its_reason_and_nothing_of_it_stays() {
    let (house, mut ana, lists) = house("private_lists = true\n[http]\npatience = \"2s\"");
    let page =
        "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>hotel</body></html>\n".repeat(40);
    lists.serve("page.html", &page);
    lists.serve("empty.txt", "");
    lists.serve("comments.txt", "# nothing\n\n# here\n");
    lists.serve("hosts.txt", "0.0.0.0 one.example\n0.0.0.0 two.example\n");
    lists.serve("binary.txt", &"\u{1}\u{0}\u{2}".repeat(5000));
    lists.serve("slow.txt", &"a.example\n".repeat(5000));
    let mut large = String::new();
    for number in 0..4_400_000 {
        let _ = writeln!(large, "n{number}.example");
    }
    lists.serve("large.txt", &large);
    drop(large);
    lists.mirror.lie(|path| match path {
        "/endless.txt" => Some(Reply::Endless),
        "/slow.txt" => Some(Reply::Slow),
        "/moved.txt" => Some(Reply::Page(302, Vec::new())),
        _ => None,
    });
    for (file, format, reason) in [
        ("page.html", "auto", "web page"),
        ("missing.txt", "auto", "404"),
        ("empty.txt", "auto", "no rule"),
        ("comments.txt", "auto", "no rule"),
        ("hosts.txt", "dnsmasq", "format dnsmasq"),
        ("binary.txt", "auto", "binary"),
        ("large.txt", "domains", "more than 67108864 octets"),
        ("endless.txt", "auto", "more than 67108864 octets"),
        ("slow.txt", "auto", "too slow"),
        ("moved.txt", "auto", "nowhere"),
    ] {
        let started = Instant::now();
        let url = format!("{}{file}", lists.mirror.url());
        let preview = look(&mut ana, &json!({ "id": "bad", "url": url, "format": format }));
        let said = preview["reason"].as_str().unwrap_or_default();
        println!("{file}: {said} ({:.1} s)", started.elapsed().as_secs_f64());
        assert!(
            preview["stage"] == "refused" && said.contains(reason),
            "{file}: {preview}"
        );
        let path = format!("/lists/previews/{}/accept", preview["id"].as_str().unwrap());
        assert_eq!(ana.ask("POST", &path, &Value::Null).status, 409, "{file}");
    }
    let staging = house.gateway.folder.path().join("state/lists/.staging");
    let left: Vec<_> = std::fs::read_dir(staging).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(house.gateway.gets(CHILD, "one.example"));
}

#[test]
fn an_expression_that_would_fill_the_memory_is_a_rejected_line() {
    let (house, mut ana, _lists) = house("");
    let mut text = String::from("||good.example^\n");
    for number in 0..300 {
        let _ = writeln!(text, "/(({number}a{{1,1000}}){{1,1000}}){{1,1000}}/");
    }
    let started = Instant::now();
    let preview = look(
        &mut ana,
        &json!({ "id": "bomb", "text": text, "format": "adblock" }),
    );
    assert_eq!(preview["findings"]["rejected"], 300, "{preview}");
    assert_eq!(preview["findings"]["kept"], 1);
    println!(
        "300 expressions that would fill the memory: {:.1} s",
        started.elapsed().as_secs_f64()
    );
    assert!(house.gateway.gets(CHILD, "good.example"));
}

#[test]
fn no_address_inside_the_house_is_asked_and_no_file_is_read() {
    let (_house, mut ana, lists) = house("");
    let inside = lists.serve("secret.txt", "secret.example\n");
    let port = lists.mirror.address.port();
    for url in [
        inside.clone(),
        format!("http://localhost:{port}/secret.txt"),
        format!("http://[::ffff:127.0.0.1]:{port}/secret.txt"),
        format!("http://2130706433:{port}/secret.txt"),
        "https://192.168.1.1/".to_owned(),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "https://[fe80::1]/".to_owned(),
        "http://lists.example/".to_owned(), // in clear
    ] {
        let preview = look(&mut ana, &json!({ "id": "inside", "url": url }));
        let reason = preview["reason"].as_str().unwrap_or_default();
        let refused = reason.contains("private_lists") || reason.contains("neither encrypted");
        assert!(preview["stage"] == "refused" && refused, "{url}: {preview}");
    }
    assert!(
        lists.mirror.asked().is_empty(),
        "nobody was asked: {:?}",
        lists.mirror.asked()
    );
    for url in [
        "file:///etc/passwd",
        "/etc/passwd",
        "ftp://lists.example/a",
        "data:text/plain,a.example",
        "https:",
        "",
    ] {
        let refused = ana.ask("POST", "/lists/previews", &json!({ "id": "file", "url": url }));
        assert_eq!(
            (refused.status, refused.text("field")),
            (422, "url"),
            "{url}: {refused:?}"
        );
    }
}

#[test]
fn what_is_asked_for_wrongly_or_is_there_already_is_refused_at_once() {
    let configured = "private_lists = true\n[[lists]]\nid = \"Filed\"\nurl = \"{dir}/filed\"\n";
    let lists = Lists::new();
    let (house, mut ana) = House::with_files(configured, &[("filed", "filed.example\n")]).claim();
    let url = lists.serve("a.txt", "a.example\n");
    let preview = look(&mut ana, &json!({ "id": "first", "url": url }));
    add(&mut ana, &preview);
    assert!(!house.gateway.gets(CHILD, "a.example"));
    let long = "x.example\n".repeat(120_000);
    for (wanted, status, field) in [
        (json!({ "id": "first", "text": "b.example" }), 409, ""),
        (json!({ "id": "FIRST", "text": "b.example" }), 409, ""),
        (json!({ "id": "filed", "text": "b.example" }), 409, ""),
        (json!({ "id": "gambling", "text": "b.example" }), 409, ""),
        (json!({ "id": "second", "url": url }), 409, ""),
        (json!({ "id": "../up", "text": "b.example" }), 422, "id"),
        (json!({ "id": ".hidden", "text": "b.example" }), 422, "id"),
        (json!({ "id": "previews", "text": "b.example" }), 422, "id"),
        (json!({ "id": "mandatory/abuse", "text": "b.example" }), 422, "id"),
        (
            json!({ "id": "ok", "text": "b.example", "category": "nonsense" }),
            422,
            "category",
        ),
        (
            json!({ "id": "ok", "text": "b.example", "every_hours": 0 }),
            422,
            "every_hours",
        ),
        (json!({ "id": "ok", "text": long }), 422, "text"),
        (json!({ "id": "ok" }), 422, "url"),
        (json!({ "id": "ok", "text": "b.example", "url": url }), 422, "url"),
        (
            json!({ "id": "ok", "text": "b.example", "format": "pdf" }),
            422,
            "",
        ),
    ] {
        let answer = ana.ask("POST", "/lists/previews", &wanted);
        let shown = wanted["id"].clone();
        assert_eq!(
            (answer.status, answer.text("field")),
            (status, field),
            "{shown}: {answer:?}"
        );
    }
    assert_eq!(
        ana.ask("DELETE", "/lists/Filed", &Value::Null).status,
        409,
        "the file's"
    );
    // Two that were looked at with one name: the second finds it taken.
    let [one, two] =
        ["c.example", "d.example"].map(|name| look(&mut ana, &json!({ "id": "twice", "text": name })));
    add(&mut ana, &one);
    let path = format!("/lists/previews/{}/accept", two["id"].as_str().unwrap());
    assert_eq!(ana.ask("POST", &path, &Value::Null).status, 409);
}

#[test]
fn lists_are_added_by_owners_and_admins_and_names_are_shown_to_who_may_read_the_log() {
    let (house, mut ana, _lists) = house("");
    assert!(house.gateway.gets(CHILD, "books.example"));
    let wanted = json!({ "id": "own", "text": "books.example" });
    for (role, status) in [("viewer", 403), ("staff", 403), ("admin", 202)] {
        let mut browser = house.add(role, role, &[]);
        assert_eq!(
            browser.ask("POST", "/lists/previews", &wanted).status,
            status,
            "{role}"
        );
        let listed = browser.ask("GET", "/lists/previews", &Value::Null).status;
        assert_eq!(listed == 200, role == "admin", "{role}");
    }
    let mut device = house.browser(CHILD);
    assert_eq!(device.ask("POST", "/lists/previews", &wanted).status, 401);
    let token = |ana: &mut Browser, scopes: Value| {
        let made = ana.ask("POST", "/tokens", &json!({ "name": "t", "scopes": scopes }));
        made.text("token").to_owned()
    };
    let writes = token(&mut ana, json!(["list:write"]));
    let reads = token(&mut ana, json!(["list:write", "log:read"]));
    for (token, seen) in [(&writes, 0), (&reads, 1)] {
        let mut program = house
            .browser(CHILD)
            .with("authorization", &format!("Bearer {token}"));
        let preview = look_again(&mut program, &wanted);
        assert_eq!(effect(&preview).len(), seen, "{preview}");
    }
    // What somebody with the right to read the log had looked at is shown without names to one without it.
    let preview = look_again(&mut ana, &wanted);
    assert_eq!(effect(&preview).len(), 1, "{preview}");
    let mut program = house
        .browser(CHILD)
        .with("authorization", &format!("Bearer {writes}"));
    let all = program
        .ask("GET", "/lists/previews", &Value::Null)
        .body
        .to_string();
    assert!(all.contains("\"own\"") && !all.contains("books.example"), "{all}");
}

/// Looks at a list as soon as no other one is being looked at.
fn look_again(browser: &mut Browser, wanted: &Value) -> Value {
    wait_for("its turn", || {
        let all = browser.ask("GET", "/lists/previews", &Value::Null).body;
        let mut stages = all.as_array().unwrap().iter().map(|one| one["stage"].clone());
        stages.all(|stage| stage == "ready" || stage == "refused")
    });
    look(browser, wanted)
}

#[test]
fn where_the_log_keeps_nothing_nothing_is_said_of_what_was_asked_for() {
    for (queries, expected) in [("off", 0), ("blocked-only", 0), ("anonymous", 1)] {
        let (house, mut ana, _lists) = house(&format!("[log]\nqueries = \"{queries}\""));
        assert!(house.gateway.gets(CHILD, "books.example"));
        let preview = look(&mut ana, &json!({ "id": "own", "text": "books.example" }));
        assert_eq!(preview["findings"]["effect"]["log"], queries);
        assert_eq!(effect(&preview).len(), expected, "{queries}: {preview}");
    }
}
