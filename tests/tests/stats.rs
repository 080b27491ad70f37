//! What was asked for, counted and shown: by hour, by reason, by site, and no more than is to be seen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use isigurt_tests::{Browser, House, wait_for};
use serde_json::{Value, json};

const LISTS: &str =
    "[[lists]]\nid = \"bets\"\nurl = \"{dir}/bets\"\nformat = \"domains\"\ncategory = \"gambling\"\n";

/// A household with a child's tablet, a teenager's phone and an owner, Ana, who has signed in.
fn house() -> (House, Browser) {
    let (house, mut ana) = House::with_files(LISTS, &[("bets", "bet.example\n")]).claim();
    let policy = json!({
        "settings": { "default_profile": "child" },
        "profile": [
            { "name": "child", "categories": ["gambling"] },
            { "name": "teenager", "categories": ["gambling"], "visibility": "blocked" },
            { "name": "older", "categories": ["gambling"], "visibility": "counts" },
        ],
        "device": [
            { "name": "tablet", "match": ["ip:127.0.0.3"], "profile": "child" },
            { "name": "phone", "match": ["ip:127.0.0.4"], "profile": "teenager" },
            { "name": "laptop", "match": ["ip:127.0.0.5"], "profile": "older" },
        ],
    });
    assert_eq!(ana.ask("PUT", "/policy", &policy).status, 200);
    (house, ana)
}

fn get(browser: &mut Browser, path: &str) -> Value {
    let answer = browser.ask("GET", path, &Value::Null);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.body
}

/// The sums of a device's rows in the day's hours: answered, blocked.
fn sums(day: &Value, device: &str) -> (u64, u64) {
    let rows = day["who"].as_array().unwrap();
    let of = |row: &Value, key: &str| {
        let counts = row[key].as_array().unwrap();
        assert!((23..=25).contains(&counts.len()), "{row}");
        counts.iter().map(|count| count.as_u64().unwrap()).sum::<u64>()
    };
    let rows = rows.iter().filter(|row| row["device"] == device);
    rows.fold((0, 0), |sum, row| {
        (sum.0 + of(row, "answered"), sum.1 + of(row, "blocked"))
    })
}

#[test]
fn queries_are_counted_by_hour_reason_and_site_and_the_counts_outlive_the_daemon() {
    let (mut house, mut ana) = house();
    for name in [
        "www.bet.example",
        "cdn.img.school.example",
        "www.school.example",
        "i.instagram.com",
    ] {
        house.gateway.gets("127.0.0.3", name);
    }
    house.gateway.ask("127.0.0.3", "alo116.al", 1);
    house.gateway.gets("127.0.0.4", "school.example");
    for again in [false, true] {
        if again {
            house.gateway.signal("TERM");
            assert_eq!(house.gateway.wait(), Some(0));
            house.gateway.restart();
            house.gateway.wait_for_log("serving", 1);
        }
        wait_for("the counts", || {
            sums(&get(&mut ana, "/stats/day"), "tablet") == (3, 1)
        });
        assert_eq!(sums(&get(&mut ana, "/stats/day"), "phone"), (1, 0));
        let reasons = get(&mut ana, "/stats/reasons?days=2&profile=child");
        assert_eq!(reasons["days"].as_array().unwrap().len(), 2);
        let reason = &reasons["reasons"][0];
        assert_eq!(
            (&reason["id"], &reason["kind"], &reason["total"]),
            (&json!("gambling"), &json!("category"), &json!(1))
        );
        assert_ne!(reason["name"]["sq"], reason["name"]["en"]);
        let top = get(&mut ana, "/stats/top?device=tablet");
        let sites: Vec<(&str, u64, u64)> = top["sites"]
            .as_array()
            .unwrap()
            .iter()
            .map(|site| {
                let count = |key: &str| site[key].as_u64().unwrap();
                (site["id"].as_str().unwrap(), count("answered"), count("blocked"))
            })
            .collect();
        assert_eq!(
            sites,
            [
                ("school.example", 2, 0),
                ("bet.example", 0, 1),
                ("instagram.com", 1, 0)
            ],
            "grouped by what was registered; no helpline"
        );
        assert_eq!(top["services"][0]["id"], "instagram");
    }
    let health = get(&mut ana, "/stats/health");
    assert_eq!(health["upstreams"][0]["answers"], true, "{health}");
    for wrong in [
        "day?date=never",
        "reasons?days=0",
        "reasons?days=93",
        "top?limit=0",
    ] {
        let answer = ana.ask("GET", &format!("/stats/{wrong}"), &Value::Null);
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[test]
fn what_a_profile_keeps_to_itself_is_not_written_and_its_devices_are_told() {
    let (house, mut ana) = house();
    for client in ["127.0.0.3", "127.0.0.4", "127.0.0.5"] {
        house.gateway.gets(client, "secret.free.example");
        house.gateway.gets(client, "www.bet.example");
    }
    let seen = |ana: &mut Browser, device: &str| {
        let log = get(ana, &format!("/queries?device={device}"));
        let rows = log["items"].as_array().unwrap().iter();
        let mut names: Vec<String> = rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    wait_for("the log", || seen(&mut ana, "tablet").len() == 2);
    assert_eq!(
        seen(&mut ana, "tablet"),
        ["secret.free.example", "www.bet.example"]
    );
    assert_eq!(seen(&mut ana, "phone"), ["www.bet.example"]);
    assert!(seen(&mut ana, "laptop").is_empty());
    let log = house.gateway.says(&["log"], true);
    assert_eq!(log.matches("secret.free.example").count(), 1, "{log}");
    assert!(!log.contains("laptop"), "{log}");
    // Counted it is, without names.
    let day = get(&mut ana, "/stats/day");
    for device in ["tablet", "phone", "laptop"] {
        assert_eq!(sums(&day, device), (1, 1), "{device}");
    }
    let sites = |top: &Value| top["sites"].as_array().unwrap().len();
    assert_eq!(sites(&get(&mut ana, "/stats/top?device=laptop")), 0);
    assert_eq!(sites(&get(&mut ana, "/stats/top?device=phone")), 1);
    // The devices are told.
    for (client, names) in [
        ("127.0.0.3", "full"),
        ("127.0.0.4", "blocked"),
        ("127.0.0.5", "counts"),
    ] {
        let me = get(&mut house.browser(client), "/me");
        assert_eq!(me["seen"], json!({ "names": names, "who": true, "free": true }));
    }
}

#[test]
fn staff_sees_the_counts_of_its_own_profiles() {
    let (house, _) = house();
    let mut staff = house.add("Besa", "staff", &["--profile", "teenager"]);
    for client in ["127.0.0.3", "127.0.0.4"] {
        house.gateway.gets(client, "www.bet.example");
    }
    wait_for("the counts", || {
        sums(&get(&mut staff, "/stats/day"), "phone") == (0, 1)
    });
    assert_eq!(sums(&get(&mut staff, "/stats/day"), "tablet"), (0, 0));
    assert_eq!(
        get(&mut staff, "/stats/top")["devices"].as_array().unwrap().len(),
        1
    );
    assert_eq!(get(&mut staff, "/stats/reasons")["reasons"][0]["total"], 1);
    let mut nobody = house.browser("127.0.0.3");
    for path in ["day", "reasons", "top", "health"] {
        let answer = nobody.ask("GET", &format!("/stats/{path}"), &Value::Null);
        assert_eq!(answer.status, 401, "{path}");
    }
}

#[test]
fn the_log_is_read_page_by_page_and_followed_as_it_grows() {
    let (house, mut ana) = house();
    let mut events = ana.listen("/queries/stream?site=school.example");
    for number in 0..7 {
        house
            .gateway
            .gets("127.0.0.3", &format!("n{number}.other.example"));
        house
            .gateway
            .gets("127.0.0.3", &format!("n{number}.school.example"));
    }
    let heard = events.hear("n6.school.example");
    assert!(
        heard.contains("event: query") && !heard.contains("other.example"),
        "{heard}"
    );
    let mut names = Vec::new();
    let mut path = "/queries?profile=child&limit=4&device=tablet".to_owned();
    loop {
        let part = get(&mut ana, &path);
        let items = part["items"].as_array().unwrap();
        names.extend(items.iter().map(|item| item["site"].as_str().unwrap().to_owned()));
        let Some(next) = part["next"].as_str() else { break };
        path = format!("/queries?profile=child&limit=4&device=tablet&cursor={next}");
    }
    assert_eq!(names.len(), 14, "{names:?}");
    let found = get(&mut ana, "/queries?site=school.example&name=n3");
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let wrong = ana.ask("GET", "/queries?cursor=here", &Value::Null);
    assert_eq!(wrong.status, 400, "{wrong:?}");
}
