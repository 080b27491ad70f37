//! Analysts at work: reports are opened on their machine only, every act is signed, two decide on the mandatory list.
// A failure here is a failed test, and says so.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt as _;

use isigurt_tests::{Browser, Chromium, Platform};
use isigurt_wire::decision::{Act, Decision, Sealed};
use isigurt_wire::report::{Kind, State};
use serde_json::Value;

/// The case of a name, as an analyst's list has it.
fn case(platform: &Platform, analyst: &str, which: &str, name: &str) -> Value {
    let cases = platform.data(analyst, &["list", "--which", which, "--names"]);
    let found = cases.as_array().unwrap().iter().find(|case| case["name"] == name);
    found
        .unwrap_or_else(|| panic!("{name} is not among {cases}"))
        .clone()
}

fn tag(case: &Value) -> String {
    case["case"].as_str().unwrap().to_owned()
}

/// All decisions, as the publisher opens them.
fn decisions(platform: &Platform) -> Vec<Decision> {
    let file = platform.file("decisions.jsonl");
    let output = platform.command(&["decisions", "export", "--out", file.to_str().unwrap()]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let open = |line: &str| Sealed::parse(line).unwrap().open(&platform.decision_key).unwrap();
    text.lines().map(open).collect()
}

/// Ed25519 keys of all analysts, hexadecimal.
fn analysts(platform: &Platform) -> Vec<String> {
    let said = platform.says("ana", &["analyst", "list"], true);
    said.lines()
        .map(|line| line.split(' ').nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn reports_are_grouped_by_name_and_danger_comes_first() {
    let platform = Platform::start("");
    for _ in 0..3 {
        platform.report(Kind::Gambling, "casino-tirana.test", None);
    }
    platform.report(Kind::Fraud, "casino-t1rana.test", None);
    platform.report(
        Kind::Sextortion,
        "chat.test",
        Some("line one\nline two \u{1b}[31mred"),
    );
    let cases = platform.data("ana", &["list", "--names"]);
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 3);
    assert_eq!(
        (&cases[0]["name"], &cases[0]["urgent"]),
        (&"chat.test".into(), &true.into())
    );
    let casino = cases
        .iter()
        .find(|case| case["name"] == "casino-tirana.test")
        .unwrap();
    assert_eq!(casino["reports"], 3);
    assert_eq!(casino["kinds"]["gambling"], 3);
    // Names are masked unless they are asked for, and notes never steer a terminal.
    let plain = platform.says("ana", &["list"], true);
    assert!(!plain.contains("casino") && plain.contains("c….t…"), "{plain}");
    let shown = platform.says("ana", &["show", &tag(&cases[0]), "--names"], true);
    assert!(shown.contains("line one\\nline two \\u{1b}"), "{shown}");
    let whole = platform.data("ana", &["show", &tag(casino), "--names"]);
    assert_eq!(whole["similar"][0]["name"], "casino-t1rana.test");
}

#[test]
fn those_who_reported_read_how_it_goes_on() {
    let platform = Platform::start("");
    let receipt = platform.report(Kind::Hate, "forum.test", None);
    let case = tag(&case(&platform, "ana", "open", "forum.test"));
    assert_eq!(
        platform.state(&receipt),
        State::Received.as_str(),
        "opened, but not yet looked at"
    );
    platform.says("ana", &["show", &case], true);
    assert_eq!(platform.state(&receipt), State::UnderReview.as_str());
    platform.says("ana", &["reject", &case, "--reason", "not-illegal"], true);
    assert_eq!(platform.state(&receipt), State::NotIllegal.as_str());
    assert!(decisions(&platform).is_empty());
    // A new report opens the case again; what was said before stays said.
    let again = platform.report(Kind::Hate, "forum.test", None);
    self::case(&platform, "ana", "open", "forum.test");
    assert_eq!(platform.state(&receipt), State::NotIllegal.as_str());
    platform.says("ana", &["confirm", &case, "--list", "gambling"], true);
    assert_eq!(platform.state(&again), State::ActedOn.as_str());
    // What is in a list already needs nobody's time, unless somebody says that it should not be.
    let third = platform.report(Kind::Hate, "forum.test", None);
    platform.says("ana", &["list"], true);
    assert_eq!(platform.state(&third), State::ActedOn.as_str());
    platform.report(Kind::WronglyBlocked, "forum.test", None);
    self::case(&platform, "ana", "open", "forum.test");
}

#[test]
fn two_different_analysts_decide_on_the_mandatory_list_and_the_publisher_can_tell() {
    let platform = Platform::start("");
    platform.add_analyst("ben");
    let receipt = platform.report(Kind::AbuseMaterial, "bad.test", None);
    let case = tag(&case(&platform, "ana", "open", "bad.test"));
    let vote = ["confirm", &case, "--list", "abuse"];
    let said = platform.says("ana", &vote, true);
    assert!(said.contains("another analyst"), "{said}");
    // Her word counts once, however often she gives it.
    let said = platform.says("ana", &vote, true);
    assert!(said.contains("another analyst"), "{said}");
    assert!(decisions(&platform).is_empty());
    assert_ne!(platform.state(&receipt), State::ActedOn.as_str());
    self::case(&platform, "ben", "second", "bad.test");
    // A word for something else is no second word.
    let said = platform.says("ben", &["confirm", &case, "--list", "abuse", "--alone"], true);
    assert!(said.contains("another analyst"), "{said}");
    let said = platform.says("ben", &vote, true);
    assert!(said.contains("decided"), "{said}");
    assert_eq!(platform.state(&receipt), State::ActedOn.as_str());
    let decisions = decisions(&platform);
    let [decision] = decisions.as_slice() else {
        panic!("{decisions:?}");
    };
    assert_eq!(
        (decision.act, decision.name.as_str(), decision.list.as_str()),
        (Act::Block, "bad.test", "abuse")
    );
    assert!(decision.subdomains);
    let known = analysts(&platform);
    assert_eq!(decision.voters(known.iter().map(String::as_str)).len(), 2);
    // Nothing that names it is in the database, not even sealed to nobody.
    assert!(!platform.postgres.dump().contains("bad.test"));
}

#[test]
fn one_analyst_decides_on_other_lists_and_a_wrong_block_is_released() {
    let platform = Platform::start("");
    platform.report(Kind::WronglyBlocked, "www.museum.test", None);
    let case = tag(&case(&platform, "ana", "open", "www.museum.test"));
    let wide = ["over-block", &case, "--list", "gambling", "--above", "test"];
    assert!(platform.says("ana", &wide, false).contains("not above"));
    platform.says(
        "ana",
        &[
            "over-block",
            &case,
            "--list",
            "gambling",
            "--above",
            "museum.test",
        ],
        true,
    );
    let decisions = decisions(&platform);
    assert_eq!(
        (decisions[0].act, decisions[0].name.as_str()),
        (Act::Release, "museum.test")
    );
    assert!(
        platform
            .says("ana", &["confirm", &case, "--list", "nowhere"], false)
            .contains("known: abuse, gambling")
    );
}

#[test]
fn a_case_lies_on_one_desk_at_a_time_and_the_next_is_another_for_each() {
    let platform = Platform::start("");
    platform.add_analyst("ben");
    platform.report(Kind::Hate, "one.test", None);
    platform.report(Kind::Hate, "two.test", None);
    let first = platform.data("ana", &["next", "--names"]);
    let second = platform.data("ben", &["next", "--names"]);
    assert_ne!(first["name"], second["name"]);
    assert!(
        platform.says("ben", &["next"], true).contains("…"),
        "his own again"
    );
    let said = platform.says("ben", &["reject", &tag(&first), "--reason", "not-there"], false);
    assert!(said.contains("ana has this case open"), "{said}");
}

#[test]
fn several_analysts_sort_the_same_queue_and_every_report_is_in_exactly_one_case() {
    let platform = Platform::start("[intake]\nper_network = 100000");
    platform.add_analyst("ben");
    for number in 0..120 {
        platform.report(Kind::Other, &format!("n{}.test", number % 10), None);
    }
    std::thread::scope(|scope| {
        for analyst in ["ana", "ben", "ana", "ben"] {
            let platform = &platform;
            scope.spawn(move || platform.says(analyst, &["list"], true));
        }
    });
    platform.says("ana", &["list"], true);
    let counts = platform
        .postgres
        .query("SELECT count(*), sum(reports), min(reports), max(reports) FROM cases");
    assert_eq!(counts, "10|120|12|12");
    assert_eq!(
        platform
            .postgres
            .query("SELECT count(*) FROM report WHERE tag IS NULL"),
        "0"
    );
}

#[test]
fn merged_cases_are_one_and_later_reports_follow() {
    let platform = Platform::start("");
    platform.report(Kind::Fraud, "a.shop.test", None);
    let receipt = platform.report(Kind::Fraud, "b.shop.test", None);
    let (a, b) = (
        tag(&case(&platform, "ana", "open", "a.shop.test")),
        tag(&case(&platform, "ana", "open", "b.shop.test")),
    );
    assert!(
        platform
            .says("ana", &["merge", &b, "--into", &b], false)
            .contains("itself")
    );
    platform.says("ana", &["merge", &b, "--into", &a], true);
    platform.report(Kind::Fraud, "b.shop.test", None);
    let one = case(&platform, "ana", "open", "a.shop.test");
    assert_eq!(one["reports"], 3);
    assert!(
        platform
            .says("ana", &["reject", &b, "--reason", "not-illegal"], false)
            .contains("part of another")
    );
    platform.says("ana", &["reject", &a, "--reason", "out-of-scope"], true);
    assert_eq!(platform.state(&receipt), State::ActedOn.as_str());
}

#[test]
fn every_act_is_in_the_trail_and_whoever_touches_it_is_found() {
    let platform = Platform::start("");
    platform.add_analyst("ben");
    platform.report(Kind::Hate, "forum.test", None);
    let case = tag(&case(&platform, "ben", "open", "forum.test"));
    platform.says("ben", &["show", &case], true);
    platform.says("ben", &["reject", &case, "--reason", "not-illegal"], true);
    let trail = platform.data("ana", &["audit"]);
    let verbs: Vec<&str> = trail["acts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|act| act["verb"].as_str().unwrap())
        .collect();
    assert_eq!(verbs, ["begin", "add-analyst", "review", "reject"]);
    let head = trail["head"].as_str().unwrap().to_owned();
    // The database itself refuses to change it …
    for statement in ["DELETE FROM act", "UPDATE act SET body = ''", "TRUNCATE act"] {
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            platform.postgres.query(statement)
        }));
        assert!(refused.is_err(), "{statement}");
    }
    // … and where somebody gets round that, the chain tells.
    let tamper = |statement: &str| {
        platform.postgres.query(&format!(
            "ALTER TABLE act DISABLE TRIGGER act_append_only; {statement}; ALTER TABLE act ENABLE TRIGGER act_append_only"
        ));
    };
    tamper("UPDATE act SET body = replace(body, 'not-illegal', 'not-there') WHERE seq = 4");
    assert!(
        platform
            .says("ana", &["audit"], false)
            .contains("act 4: it was changed")
    );
    tamper("UPDATE act SET body = replace(body, 'not-there', 'not-illegal') WHERE seq = 4");
    platform.says("ana", &["audit", "--contains", &head], true);
    tamper("DELETE FROM act WHERE seq = 4");
    let said = platform.says("ana", &["audit", "--contains", &head], false);
    assert!(said.contains("cut off"), "{said}");
}

#[test]
fn only_analysts_work_here_and_a_removed_one_opens_nothing_more() {
    let platform = Platform::start("");
    platform.new_analyst("eve");
    assert!(platform.says("eve", &["list"], false).contains("no analyst"));
    platform.add_analyst("ben");
    platform.report(Kind::AbuseMaterial, "bad.test", None);
    let case = tag(&case(&platform, "ben", "open", "bad.test"));
    platform.says("ben", &["confirm", &case, "--list", "abuse"], true);
    platform.says("ana", &["analyst", "remove", "ben"], true);
    assert!(platform.says("ben", &["list"], false).contains("no analyst"));
    // His word does not count any more.
    let said = platform.says("ana", &["confirm", &case, "--list", "abuse"], true);
    assert!(said.contains("another analyst"), "{said}");
    assert!(
        platform
            .says("ana", &["analyst", "remove", "ana"], false)
            .contains("last analyst")
    );
    let key = platform.file("ana.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(platform.says("ana", &["list"], false).contains("chmod 600"));
}

#[test]
fn what_does_not_open_is_set_aside_and_counted() {
    let platform = Platform::start("");
    let mut broken = platform.envelope(Kind::Hate, "forum.test", None);
    broken
        .sealed
        .replace_range(60..61, if &broken.sealed[60..61] == "A" { "B" } else { "A" });
    assert_eq!(platform.deliver(&broken).0, 201, "nobody here can tell");
    let hostile = platform.envelope(Kind::Hate, "<script>.test", None);
    assert_eq!(platform.deliver(&hostile).0, 201);
    platform.says("ana", &["list"], true);
    let status = platform.data("ana", &["status"]);
    assert_eq!((&status["unreadable"], &status["open"]), (&2.into(), &0.into()));
}

#[test]
fn the_desk_as_a_page_works_without_javascript_and_only_for_whoever_started_it() {
    let platform = Platform::start("");
    platform.add_analyst("ben");
    let receipt = platform.report(
        Kind::AbuseMaterial,
        "bad.test",
        Some("<script>alert(1)</script> & \"more\""),
    );
    let desk = platform.desk("ben");
    let mut stranger = Browser::new(desk.address, "127.0.0.1");
    assert_eq!(stranger.send("GET", "/", "").status, 401);
    assert_eq!(stranger.send("GET", "/enter?key=guess", "").status, 401);
    let mut ben = desk.browser();
    assert_eq!(
        stranger.send("GET", &desk.entry, "").status,
        401,
        "the key works once"
    );
    ben.headers
        .insert("accept-language".to_owned(), "en-GB".to_owned());
    let list = ben.send("GET", "/", "");
    assert_eq!(list.status, 200);
    assert!(
        list.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'")
    );
    assert_eq!(list.header("cache-control"), Some("no-store"));
    assert!(
        list.raw.contains("bad.test") && list.raw.contains("A child may be in danger"),
        "{}",
        list.raw
    );
    assert!(
        !list.raw.contains("<script") && !list.raw.contains("href=\"http"),
        "{}",
        list.raw
    );
    let between = |text: &str, before: &str, after: &str| {
        let rest = text.split_once(before).unwrap().1;
        rest.split_once(after).unwrap().0.to_owned()
    };
    let csrf = between(&list.raw, "name=\"csrf\" value=\"", "\"");
    let case = format!("/case/{}", between(&list.raw, "href=\"/case/", "\""));
    let mut form = |path: &str, body: &str| {
        ben.headers.insert(
            "content-type".to_owned(),
            "application/x-www-form-urlencoded".to_owned(),
        );
        ben.send("POST", path, body)
    };
    assert_eq!(form(&format!("{case}/take"), "csrf=guess").status, 403);
    assert_eq!(form(&format!("{case}/take"), &format!("csrf={csrf}")).status, 303);
    assert_eq!(platform.state(&receipt), State::UnderReview.as_str());
    let page = desk_page(&mut ben, &case);
    assert!(
        page.contains("&#60;script&#62;alert(1)&#60;/script&#62;"),
        "{page}"
    );
    assert!(page.contains("two analysts decide"), "{page}");
    let mut form = |path: &str, body: &str| {
        ben.headers.insert(
            "content-type".to_owned(),
            "application/x-www-form-urlencoded".to_owned(),
        );
        ben.send("POST", path, body)
    };
    let voted = form(
        &format!("{case}/vote"),
        &format!("csrf={csrf}&act=block&list=abuse&reach=below"),
    );
    assert!(voted.raw.contains("Another analyst"), "{}", voted.raw);
    // Ana, at the command line, sees it and agrees; Ben's page has it among what is decided, in his language.
    let tag = case.strip_prefix("/case/").unwrap();
    platform.says("ana", &["confirm", tag, "--list", "abuse"], true);
    assert_eq!(form("/language", &format!("csrf={csrf}&code=sq")).status, 303);
    let decided = desk_page(&mut ben, "/?which=decided");
    assert!(
        decided.contains("lang=\"sq\"") && decided.contains("i konfirmuar"),
        "{decided}"
    );
    let trail = desk_page(&mut ben, "/trail");
    assert!(
        trail.contains("dha fjalën") && trail.contains("Gjurma është e plotë"),
        "{trail}"
    );
    // Another site's page, another name for this machine.
    let foreign = ben
        .with("origin", "http://evil.test")
        .send("POST", "/next", &format!("csrf={csrf}"));
    assert_eq!(foreign.status, 403);
    assert_eq!(ben.with("host", "evil.test").send("GET", "/", "").status, 403);
    assert_eq!(ben.send("GET", "/nowhere", "").status, 404);
}

#[test]
fn a_real_browser_enters_and_takes_up_a_case() {
    let platform = Platform::start("");
    platform.add_analyst("ben");
    let receipt = platform.report(Kind::AbuseMaterial, "bad.test", None);
    let desk = platform.desk("ben");
    let mut page = Chromium::open(&format!("http://{}/style.css", desk.address));
    let mut go = |script: &str| {
        page.runs(script);
        std::thread::sleep(std::time::Duration::from_secs(2)); // a page that is left runs nothing more
        page.runs("document.body.innerText")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let cases = go(&format!("setTimeout(() => location.href = {:?}); 0", desk.entry));
    assert!(cases.contains("bad.test"), "{cases}");
    go("const link = document.querySelector('a[href^=\"/case/\"]'); setTimeout(() => link.click()); 0");
    let taken = go(
        "const form = document.querySelector('form[action$=\"/take\"]'); setTimeout(() => form.submit()); 0",
    );
    assert!(!taken.contains("not the address"), "{taken}");
    assert_eq!(platform.state(&receipt), State::UnderReview.as_str());
}

fn desk_page(browser: &mut Browser, path: &str) -> String {
    let answer = browser.send("GET", path, "");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.raw
}

#[test]
fn the_desk_is_served_on_this_machine_only() {
    let platform = Platform::start("");
    let said = platform.says("ana", &["web", "--listen", "0.0.0.0:0"], false);
    assert!(said.contains("this machine only"), "{said}");
}
