//! School holidays behind an address: fetched, and the last good ones kept whatever the server does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use isigurt_tests::mirror::Mirror;
use isigurt_tests::{Browser, House, wait_for};
use serde_json::{Value, json};

fn calendar(days: &[(&str, &str)]) -> String {
    let events: Vec<String> = days
        .iter()
        .map(|(from, to)| {
            format!("BEGIN:VEVENT\r\nUID:{from}\r\nDTSTART;VALUE=DATE:{from}\r\nDTEND;VALUE=DATE:{to}\r\nEND:VEVENT\r\n")
        })
        .collect();
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}END:VCALENDAR\r\n",
        events.concat()
    )
}

/// The days of the calendar "school", and what the status says of it.
fn stands(ana: &mut Browser) -> (Value, String) {
    let calendars = ana.ask("GET", "/calendars", &Value::Null).body;
    let problems = ana.ask("GET", "/status", &Value::Null).body["problems"].to_string();
    (calendars[0]["days"].clone(), problems)
}

#[test]
fn days_are_fetched_from_an_address_and_the_last_good_ones_hold_until_others_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
    write("first.ics", &calendar(&[("20401224", "20410108")]));
    write("second.ics", &calendar(&[("20410615", "20410910")]));
    write("page.ics", "<!doctype html><title>Sign in</title>");
    write("cut.ics", &calendar(&[("20410615", "20410910")])[..60]);
    write(
        "large.ics",
        &calendar(&[]).replace("VERSION", &format!("X-A:{}\r\nVERSION", "a".repeat(2 << 20))),
    );
    let mirror = Mirror::of(folder.path());
    let (_house, mut ana) = House::claimed("");
    let put = |ana: &mut Browser, file: &str, days: &Value| {
        let url = format!("http://{}/{file}", mirror.address);
        let answer = ana.ask(
            "PUT",
            "/calendars",
            &json!([{ "name": "school", "url": url, "days": days }]),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    put(&mut ana, "first.ics", &json!([]));
    let winter = json!(["2040-12-24..2041-01-07"]);
    wait_for("the first days", || stands(&mut ana).0 == winter);
    // A policy that names the address alone keeps what was fetched.
    put(&mut ana, "first.ics", &json!([]));
    assert_eq!(stands(&mut ana).0, winter);
    for (file, why) in [
        ("page.ics", "BEGIN:VCALENDAR"),
        ("cut.ics", "breaks off"),
        ("large.ics", "sends more than"),
        ("nothing.ics", "404"),
    ] {
        put(&mut ana, file, &winter);
        wait_for(file, || stands(&mut ana).1.contains("calendar \\\"school\\\""));
        let (days, problems) = stands(&mut ana);
        assert_eq!(days, winter, "{file}");
        assert!(
            problems.contains(why) && problems.contains("the days that were read last hold"),
            "{file}: {problems}"
        );
        put(&mut ana, "first.ics", &winter);
        wait_for("no problem", || !stands(&mut ana).1.contains("calendar"));
    }
    put(&mut ana, "second.ics", &winter);
    wait_for("the summer", || {
        stands(&mut ana).0 == json!(["2041-06-15..2041-09-09"])
    });
    for wrong in ["ftp://x.example/a.ics", "a.ics", "https://"] {
        let answer = ana.ask(
            "PUT",
            "/calendars",
            &json!([{ "name": "school", "url": wrong, "days": [] }]),
        );
        assert_eq!(answer.status, 422, "{wrong}: {answer:?}");
        assert!(
            answer.text("detail").contains("no address of an iCalendar"),
            "{answer:?}"
        );
    }
}
