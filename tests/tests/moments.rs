//! What holds for a while: hours of schedules, pauses, grants, minutes of budgets, safe search.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::time::{Duration, Instant};

use isigurt_tests::{Authority, Gateway, has_address};
use jiff::{Timestamp, ToSpan as _};

const DEVICES: &str = "[[device]]\nname = \"Ana\"\nmatch = [\"ip:127.0.0.2\"]\nprofile = \"child\"\n\
    [[device]]\nname = \"Ben\"\nmatch = [\"ip:127.0.0.3\"]\nprofile = \"child\"\n";

fn gateway(authority: &Authority) -> Gateway {
    let lists = "[[lists]]\nid = \"g\"\nurl = \"{dir}/games\"\nformat = \"domains\"\ncategory = \"games\"\n";
    Gateway::start(authority.address, "", lists, &[("games", "games.example\n")])
}

fn apply(gateway: &Gateway, child: &str) {
    let text = format!(
        "[settings]\ndefault_profile = \"adult\"\ntime_zone = \"UTC\"\n[[profile]]\nname = \"adult\"\n\
         [[profile]]\nname = \"child\"\n{child}\n{DEVICES}"
    );
    let file = gateway.folder.path().join("new-policy.toml");
    std::fs::write(&file, text).unwrap();
    gateway.says(&["policy", "apply", file.to_str().unwrap()], true);
}

#[test]
fn a_pause_and_a_grant_hold_at_once_until_they_end_and_over_a_kill() {
    let authority = Authority::start();
    let mut gateway = gateway(&authority);
    apply(&gateway, "categories = [\"games\"]");
    assert!(gateway.gets("127.0.0.2", "a.example") && !gateway.gets("127.0.0.2", "games.example"));

    let said = gateway.says(&["pause", "Ana", "--for", "1h"], true);
    assert!(said.contains("paused: device Ana until"), "{said}");
    gateway.says(&["grant", "127.0.0.3", "games.example", "--for", "1h"], true);
    let holds = |gateway: &Gateway| {
        assert!(!gateway.gets("127.0.0.2", "a.example") && gateway.gets("127.0.0.3", "a.example"));
        assert!(gateway.gets("127.0.0.3", "www.games.example"));
        // Nobody loses the way to help.
        assert!(
            gateway.gets("127.0.0.2", "alo116.al"),
            "a helpline is there also in a pause"
        );
    };
    holds(&gateway);
    let why = gateway.says(&["why", "a.example", "--device", "Ana"], true);
    assert!(
        why.contains("because: paused") && why.contains("until: "),
        "{why}"
    );
    let why = gateway.says(&["why", "games.example", "--device", "Ben"], true);
    assert!(why.contains("because: granted"), "{why}");
    gateway.signal("KILL");
    gateway.wait();
    gateway.restart();
    holds(&gateway);

    gateway.says(&["pause", "Ana", "--end"], true);
    gateway.says(&["grant", "Ben", "games.example", "--end"], true);
    assert!(gateway.gets("127.0.0.2", "a.example") && !gateway.gets("127.0.0.3", "games.example"));
    gateway.says(&["pause", "all"], true);
    assert!(!gateway.gets("127.0.0.1", "a.example"));
    gateway.says(&["pause", "all", "--end"], true);
    // Both end by themselves.
    gateway.says(&["pause", "child", "--for", "2s"], true);
    gateway.says(&["grant", "Ana", "games", "--for", "2s"], false); // no name, no service
    gateway.says(&["grant", "Ana", "category:games", "--for", "4s"], true);
    let begun = Instant::now();
    assert!(
        !gateway.gets("127.0.0.2", "games.example"),
        "a pause is before a grant"
    );
    until(begun, 2.0, || gateway.gets("127.0.0.2", "games.example"));
    until(begun, 4.0, || !gateway.gets("127.0.0.2", "games.example"));
    for wrong in [
        &["pause", "nobody"][..],
        &["pause", "Ana", "--end"],
        &["grant", "Ana", "service:nope"],
        &["grant", "Ana", "/(/"],
        &["grant", "Ana", "games.example", "--for", "0s"],
        &["bonus", "Ana", "youtube", "5"],
    ] {
        gateway.says(wrong, false);
    }
}

/// Waits for a change that comes `seconds` after `begun`, and no later than a second behind that.
fn until(begun: Instant, seconds: f64, changed: impl Fn() -> bool) {
    while !changed() {
        let late = begun.elapsed().as_secs_f64() - seconds;
        assert!(late < 1.5, "{late:.2} s late"); // a second, and what a loaded machine takes
        std::thread::sleep(Duration::from_millis(20));
    }
    let elapsed = begun.elapsed().as_secs_f64();
    println!("changed {:.2} s after its time", elapsed - seconds);
    assert!(
        elapsed > seconds - 1.1,
        "{elapsed:.2} s is too early for {seconds}"
    );
}

#[test]
fn the_edges_of_a_schedule_are_met_within_a_second() {
    let authority = Authority::start();
    let gateway = gateway(&authority);
    let now = Timestamp::now();
    let hour = |seconds: i64| {
        let time = (now + seconds.seconds()).to_zoned_datetime(jiff::tz::TimeZone::UTC);
        time.strftime("%H:%M:%S").to_string()
    };
    let (from, to) = (hour(3), hour(6));
    apply(
        &gateway,
        &format!("[[profile.schedule]]\nname = \"nap\"\nfrom = \"{from}\"\nto = \"{to}\"\nmode = \"off\""),
    );
    // The schedule's hours have no fractions of seconds: they are met from the second's beginning.
    let fraction = f64::from(now.subsec_nanosecond()) / 1e9;
    let begun = Instant::now()
        .checked_sub(Duration::try_from(Timestamp::now() - now).unwrap())
        .unwrap();
    assert!(gateway.gets("127.0.0.2", "a.example"));
    until(begun, 3.0 - fraction, || !gateway.gets("127.0.0.2", "a.example"));
    assert!(gateway.gets("127.0.0.1", "a.example"), "the adults' profile");
    let why = gateway.says(&["why", "a.example", "--profile", "child"], true);
    assert!(why.contains("schedule: nap"), "{why}");
    until(begun, 6.0 - fraction, || gateway.gets("127.0.0.2", "a.example"));
    let noon = "2026-11-24T12:00:00Z";
    apply(&gateway, "[[profile.schedule]]\npreset = \"bedtime\"");
    for more in [&[][..], &["--offline"][..]] {
        let why = |at: &str| {
            gateway.says(
                &[&["why", "a.example", "--profile", "child", "--at", at][..], more].concat(),
                true,
            )
        };
        assert!(why(noon).contains("allowed"));
        assert!(why("2026-11-24T22:00:00+01:00").contains("schedule: bedtime"));
    }
}

#[test]
fn a_budget_is_used_up_told_topped_up_and_kept_over_a_restart() {
    let authority = Authority::start();
    let mut gateway = gateway(&authority);
    apply(
        &gateway,
        "[[profile.budget]]\nwhat = [\"category:games\"]\nminutes = 1",
    );
    // A minute is counted from its first query to its end; the next one is too many.
    assert!(gateway.gets("127.0.0.2", "games.example"));
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    gateway.restart();
    apply(
        &gateway,
        "[[profile.budget]]\nwhat = [\"category:games\"]\nminutes = 1\n[[profile.budget]]\nwhat = [\"service:tiktok\"]\nminutes = 0",
    );
    assert!(!gateway.gets("127.0.0.2", "tiktok.com"));
    let why = gateway.says(&["why", "tiktok.com", "--device", "Ana"], true);
    assert!(why.contains("because: time used up: service:tiktok"), "{why}");
    let begun = Instant::now();
    while gateway.gets("127.0.0.2", "games.example") {
        assert!(
            begun.elapsed() < Duration::from_secs(65),
            "a second minute was given"
        );
        std::thread::sleep(Duration::from_millis(250));
    }
    assert!(
        gateway.gets("127.0.0.3", "games.example"),
        "Ben has his own minutes"
    );
    let told = gateway.says(&["bonus", "Ana", "category:games", "10"], true);
    assert!(told.contains("10 more minutes of category:games"), "{told}");
    assert!(gateway.gets("127.0.0.2", "games.example"));
}

#[test]
fn search_engines_lead_to_their_safe_hosts_with_addresses_and_no_other_way_in() {
    let authority = Authority::start();
    let gateway = gateway(&authority);
    apply(&gateway, "safe_search = true\nyoutube = \"moderate\"");
    for (host, target) in [
        ("www.google.com", "forcesafesearch"),
        ("www.google.al", "forcesafesearch"),
        ("www.bing.com", "strict"),
        ("duckduckgo.com", "safe"),
        ("www.youtube.com", "restrictmoderate"),
    ] {
        for _ in 0..2 {
            let answer = gateway.ask("127.0.0.2", host, 1);
            assert!(has_address(&answer, [192, 0, 2, 53]), "{host}: {answer:02x?}");
            let label = target.as_bytes();
            assert!(
                answer.windows(label.len()).any(|window| window == label),
                "{host} to {target}"
            );
            assert_eq!(
                u16::from_be_bytes([answer[6], answer[7]]),
                2,
                "the alias and its address"
            );
        }
        for qtype in [64, 65, 16] {
            let answer = gateway.ask("127.0.0.2", host, qtype);
            assert_eq!((answer[3] & 15, answer[7]), (0, 0), "{host} {qtype}: no data");
        }
        let plain = gateway.ask("127.0.0.1", host, 1);
        assert_eq!(plain[7], 1, "the adults' answer is the provider's own");
    }
    assert_eq!(
        gateway.ask("127.0.0.2", "mail.google.com", 1)[7],
        1,
        "nothing else of the provider"
    );
    let log = gateway.says(&["log"], true);
    assert!(log.contains("(safe search)"), "{log}");
}
