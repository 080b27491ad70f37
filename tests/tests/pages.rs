//! What a child meets in a browser where a site does not open, and where help is: real DNS, real HTTP, no JavaScript.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::net::SocketAddr;
use std::time::Duration;

use isigurt_tests::{Answer, Authority, Browser, Gateway, ask_tcp, free_address, has_address, wait_for};

const CHILD: &str = "127.0.0.2";
const POLICY: &str = "[settings]\ndefault_profile = \"all\"\n[[profile]]\nname = \"all\"\n\
     [[profile]]\nname = \"child\"\ncategories = [\"games\"]\nservices = [\"tiktok\"]\ndeny = [\"no.example\"]\n\
     [[device]]\nname = \"tablet\"\nmatch = [\"ip:127.0.0.2\"]\nprofile = \"child\"\n";

struct Home {
    gateway: Gateway,
    page: SocketAddr,
    web: SocketAddr,
    _authority: Authority,
}

fn home() -> Home {
    let authority = Authority::start();
    let (page, web) = (free_address(), free_address());
    let rest = format!(
        "[web]\nlisten = [\"{web}\"]\nblock_page = [\"{page}\"]\n[[lists]]\nid = \"g\"\nurl = \"{{dir}}/games\"\n\
         format = \"domains\"\ncategory = \"games\"\n"
    );
    let files = [("games", "games.example\n"), ("policy.toml", POLICY)];
    let gateway = Gateway::start(authority.address, "block_answer = \"page\"", &rest, &files);
    let policy = gateway.folder.path().join("policy.toml");
    gateway.says(&["policy", "apply", policy.to_str().unwrap()], true);
    Home {
        gateway,
        page,
        web,
        _authority: authority,
    }
}

impl Home {
    /// The child's browser, which was sent here by the answer to a blocked name.
    fn child(&self, host: &str) -> Browser {
        Browser::new(self.page, CHILD)
            .with("host", host)
            .with("accept", "text/html,*/*;q=0.8")
            .with("accept-language", "sq")
    }

    fn own(&self) -> Browser {
        Browser::new(self.web, CHILD).with("accept-language", "en")
    }
}

/// A form as a browser sends it.
fn form(browser: &Browser, path: &str, fields: &str) -> Answer {
    let mut browser = browser.with("content-type", "application/x-www-form-urlencoded");
    browser.send("POST", path, fields)
}

fn strict(answer: &Answer) {
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
    assert_eq!(answer.header("set-cookie"), None);
    assert!(
        !answer.raw.contains("style=\"") && !answer.raw.contains("onclick"),
        "{}",
        answer.raw
    );
}

#[test]
fn a_blocked_site_says_which_rule_holds_in_the_childs_words() {
    let home = home();
    let answer = home.gateway.ask(CHILD, "games.example", 1);
    assert!(has_address(&answer, [127, 0, 0, 1]), "the gateway's own address");
    for (host, words) in [
        ("games.example", "Lojëra"),
        ("www.tiktok.com", "TikTok nuk hapet"),
        ("no.example", "no.example nuk hapet"), // as decided by the adults
    ] {
        let answer = home.child(host).send("GET", "/any/path?x=1", "");
        assert_eq!(answer.status, 403, "{host}");
        strict(&answer);
        let found = answer.raw.contains(words) || answer.raw.contains("të mos hapet");
        assert!(found, "{host}: {}", answer.raw);
        assert!(answer.raw.contains("tel:116111") && answer.raw.contains("/.isigurt/me/ask"));
    }
    let english = home.child("games.example").send("GET", "/any/path?l=en", "");
    assert!(
        english.raw.contains("This page does not open here"),
        "{}",
        english.raw
    );

    home.gateway.says(&["pause", "tablet", "--for", "30m"], true);
    let paused = home.child("anything.example").send("GET", "/", "");
    assert!(
        paused.status == 403 && paused.raw.contains("Interneti është në pauzë"),
        "{}",
        paused.raw
    );
    assert!(paused.raw.contains("Deri më") && !paused.raw.contains("/me/ask"));
    home.gateway.says(&["pause", "tablet", "--end"], true);
    let open = home.child("anything.example").send("GET", "/", "");
    assert!(
        open.status == 200 && open.raw.contains("tani hapet"),
        "{}",
        open.raw
    );
}

#[test]
fn the_profile_then_the_browser_then_the_household_say_the_language_and_the_device_is_told_what_is_seen() {
    let home = home();
    let speaks = |accept: &str| {
        let answer = home
            .child("games.example")
            .with("accept-language", accept)
            .send("GET", "/", "");
        let at = answer.raw.find("<html lang=\"").unwrap() + 12;
        answer.raw[at..at + 2].to_owned()
    };
    assert_eq!((speaks("en"), speaks("de")), ("en".to_owned(), "sq".to_owned()));
    let apply = |text: &str| {
        let policy = home.gateway.folder.path().join("policy.toml");
        std::fs::write(&policy, text).unwrap();
        home.gateway
            .says(&["policy", "apply", policy.to_str().unwrap()], true);
    };
    apply(&POLICY.replacen("[settings]", "[settings]\nlanguage = \"en\"", 1));
    assert_eq!((speaks("sq"), speaks("de")), ("sq".to_owned(), "en".to_owned()));
    apply(&POLICY.replace("name = \"child\"", "name = \"child\"\nlanguage = \"sq\""));
    assert_eq!(speaks("en"), "sq");
    // What adults see is told as the policy says it.
    for (visibility, told) in [
        ("full", "names of the pages that this device opens"),
        ("blocked", "only the pages that were blocked"),
        ("counts", "numbers only"),
    ] {
        let line = format!("name = \"child\"\nvisibility = \"{visibility}\"");
        apply(&POLICY.replace("name = \"child\"", &line));
        let me = home.own().send("GET", "/me", "");
        assert!(me.raw.contains(told), "{visibility}: {}", me.raw);
    }
}

#[test]
fn a_child_asks_for_access_without_javascript_and_sees_the_answer() {
    let home = home();
    let child = home.child("games.example");
    let asked = form(
        &child,
        "/.isigurt/me/ask?l=en",
        "name=games.example&note=for+school",
    );
    assert!(
        asked.status == 201 && asked.raw.contains("It was asked for"),
        "{asked:?}"
    );
    let mine = home.child("games.example").send("GET", "/.isigurt/me?l=en", "");
    assert!(
        mine.raw.contains("tablet") && mine.raw.contains("waits for an answer"),
        "{}",
        mine.raw
    );
    assert!(mine.raw.contains("What the adults see"));
    // On the gateway's own web server it is the same page.
    let mine = home.own().send("GET", "/me", "");
    assert!(
        mine.status == 200 && mine.raw.contains("waits for an answer"),
        "{}",
        mine.raw
    );
    strict(&mine);
    let wrong = form(&child, "/.isigurt/me/ask", "name=%3Cscript%3E+%3C&note=x");
    assert!(
        wrong.status == 422 && !wrong.raw.contains("<script> <"),
        "{}",
        wrong.raw
    );
    let long = form(
        &child,
        "/.isigurt/me/ask",
        &format!("name={}", "x".repeat(40_000)),
    );
    assert_eq!(long.status, 413);
    // Who has asked for enough is told that this one was not sent, and not that somebody will see it.
    let last = (0..40).find_map(|number| {
        let fields = format!("name=n{number}.games.example");
        let answer = form(&child, "/.isigurt/me/ask?l=en", &fields);
        (answer.status != 201).then_some(answer)
    });
    let last = last.unwrap();
    assert!(
        last.status == 429 && last.raw.contains("was not sent") && !last.raw.contains("will see it"),
        "{}",
        last.raw
    );
}

#[test]
fn programs_get_a_small_answer_and_whatever_a_host_says_is_text() {
    let home = home();
    let mut child = home.child("games.example");
    for (method, path, accept) in [
        ("GET", "/favicon.ico", "image/*"),
        ("GET", "/data", "application/json"),
        ("POST", "/login", "text/html"),
        ("PUT", "/x", "*/*"),
        ("GET", "/frame", "*/*"),
    ] {
        let answer = child.with("accept", accept).send(method, path, "");
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(
            answer.raw.len() < 400 && !answer.raw.contains('<'),
            "{method} {path}: {}",
            answer.raw
        );
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let framed = child.with("sec-fetch-dest", "iframe").send("GET", "/", "");
    assert!(!framed.raw.contains("<html"), "{}", framed.raw);
    let head = child.send("HEAD", "/", "");
    assert!(head.status == 403 && head.raw.is_empty());
    for host in [
        "<script>alert(1)</script>",
        "\"><img src=x>",
        "a..b",
        "",
        "\u{202e}evil.example",
    ] {
        let request =
            format!("GET / HTTP/1.1\r\nhost: {host}\r\naccept: text/html\r\nconnection: close\r\n\r\n");
        let answer = ask_tcp(home.page, request.as_bytes(), Duration::from_secs(5));
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            !answer.contains("<script>alert") && !answer.contains("<img"),
            "{host}: {answer}"
        );
    }
    let moved = home.child("127.0.0.1").send("GET", "/", "");
    assert_eq!(
        (moved.status, moved.header("location")),
        (303, Some("/.isigurt/me"))
    );
}

#[test]
fn a_page_from_outside_that_points_its_name_at_the_gateway_gets_nothing() {
    let home = home();
    let evil = home.child("evil.example"); // not blocked: somebody made the name lead here
    for path in ["/.isigurt/me", "/.isigurt/report", "/.isigurt/help"] {
        let answer = evil.clone().send("GET", path, "");
        assert!(
            answer.status == 421 && !answer.raw.contains("tablet"),
            "{path}: {answer:?}"
        );
    }
    assert_eq!(form(&evil, "/.isigurt/me/ask", "name=games.example").status, 421);
    let child = home.child("games.example");
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let foreign = child.with(name, value);
        assert_eq!(
            form(&foreign, "/.isigurt/me/ask", "name=games.example").status,
            403
        );
    }
    let same = child.with("origin", "http://games.example");
    assert_eq!(form(&same, "/.isigurt/me/ask", "name=games.example").status, 201);
    let foreign = Browser::new(home.web, CHILD).with("host", "evil.example");
    assert_eq!(foreign.clone().send("GET", "/help", "").status, 421);
    assert_eq!(
        form(&home.own().with("origin", "http://evil.example"), "/report", "").status,
        403
    );
}

#[test]
fn help_is_one_tap_away_and_leaves_no_trace() {
    let home = home();
    for language in ["sq", "en"] {
        let answer = home.own().send("GET", &format!("/help?l={language}"), "");
        assert_eq!(answer.status, 200);
        strict(&answer);
        let html = &answer.raw;
        for text in [
            "tel:116111",
            "tel:129",
            "tel:112",
            "https://alo116.al/",
            "class=\"exit\"",
        ] {
            assert!(html.contains(text), "{text}");
        }
        assert!(
            html.contains("<title>iSigurt</title>"),
            "a title that says nothing"
        );
        let first = html.find("tel:116111").unwrap();
        assert!(
            first < html.find("https://alo116.al/").unwrap(),
            "numbers come first"
        );
        let guides = home.own().send("GET", &format!("/guides?l={language}"), "");
        assert_eq!(guides.raw.matches("/guides/").count(), 6);
        let one = home
            .own()
            .send("GET", &format!("/guides/sextortion?l={language}"), "");
        assert!(
            one.status == 200 && one.raw.contains("takeitdown.ncmec.org"),
            "{}",
            one.raw
        );
    }
    assert_eq!(home.own().send("GET", "/guides/nothing", "").status, 404);
    assert_eq!(home.own().send("GET", "/guides/%ff", "").status, 404);
    let exit = home.own().send("GET", "/exit?l=sq", "");
    assert_eq!(
        (exit.status, exit.header("location")),
        (303, Some("https://sq.wikipedia.org/"))
    );
    let script = home.own().send("GET", "/exit.js", "");
    assert!(script.raw.contains("location.replace"), "{}", script.raw);

    let here = home.gateway.ask(CHILD, "isigurt.home.arpa", 1);
    assert!(
        has_address(&here, [127, 0, 0, 1]),
        "the gateway has a name: {here:?}"
    );
    home.gateway.ask(CHILD, "alo116.al", 1);
    // A page asks this by itself, to see whether the device uses the gateway; nobody wants to read it among what a child asked.
    home.gateway
        .ask(CHILD, "0123456789abcdef.check.isigurt.home.arpa", 1);
    home.gateway.ask(CHILD, "a.example", 1);
    wait_for("the log", || {
        home.gateway.says(&["log"], true).contains("a.example")
    });
    let kept = home.gateway.says(&["log"], true) + &home.gateway.log();
    for trace in ["alo116", "isigurt.home", "/help"] {
        assert!(!kept.contains(trace), "{trace}: {kept}");
    }
}

#[test]
fn without_a_platform_a_report_is_not_taken_and_the_page_says_whom_to_call() {
    let home = home();
    let answer = home.own().send("GET", "/report", "");
    assert_eq!(answer.status, 503);
    assert!(
        answer.raw.contains("We cannot take a report now") && answer.raw.contains("tel:116111"),
        "{}",
        answer.raw
    );
    let sent = form(
        &home.own(),
        "/report?l=sq",
        "name=bad.example&kind=grooming&step=send",
    );
    assert!(
        sent.status == 503 && sent.raw.contains("Tani nuk mund të marrim raporte"),
        "{}",
        sent.raw
    );
    let said = home
        .gateway
        .says(&["report", "bad.example", "--kind", "grooming", "--yes"], false);
    assert!(said.contains("116 111") && said.contains("not joined"), "{said}");
    let mut program = home.own();
    let about = program.ask("GET", "/report", &serde_json::Value::Null);
    assert_eq!((about.status, about.body["open"].as_bool()), (200, Some(false)));
    assert_eq!(about.body["helplines"][0]["phone"], "116 111");
    let draft = serde_json::json!({ "name": "bad.example", "kind": "grooming" });
    let refused = program.ask("POST", "/reports", &draft);
    assert_eq!(
        (refused.status, refused.text("type")),
        (503, "urn:isigurt:no-platform")
    );
}
