//! The order of decision, a row each; and that what takes part in it is made ready or refused.

use std::net::IpAddr;

use isigurt_blocklists::index::{Compiler, Index, ListInfo, Seed, TagKind, TagSet};
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::{self, Format};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::budget::Reading;
use super::model::Policy;
use super::*;

/// One name is on every list, so that each step could decide.
const EVERYWHERE: &str = "everywhere.example";

fn index() -> Index {
    let mut compiler = Compiler::new(Seed([8; 32]), 4096);
    for (kind, id, lines) in [
        (TagKind::Helpline, "helplines", "help.example"),
        (TagKind::Mandatory, "national", "banned.example"),
        (TagKind::Own, "own", "own.example"),
        (TagKind::Bypass, "bypass", "vpn.example\neverywhere.example"),
        (
            TagKind::Service,
            "video",
            "video.example\neverywhere.example\nbanned.example\nhelp.example",
        ),
        (TagKind::Service, "chat", "chat.example"),
        (TagKind::Category, "games", "games.example\neverywhere.example"),
        (TagKind::Category, "adult", "adult.example"),
    ] {
        let tag = compiler.tag(kind, id).unwrap();
        let list = read::read(lines.as_bytes(), Format::Domains, None).unwrap();
        let info = ListInfo {
            id: id.to_owned(),
            tag,
            origin: id.to_owned(),
            format: list.format,
            version: String::new(),
        };
        compiler.add(info, list.hash_key, list.rules);
    }
    compiler.into_index(1).unwrap().0
}

fn hosts() -> SafeSearchHosts {
    let entry =
        |provider: &str, mode: Option<&str>, host: &str, target: &str| isigurt_blocklists::data::SafeSearch {
            provider: provider.to_owned(),
            mode: mode.map(str::to_owned),
            hosts: vec![Name::parse(host).unwrap()],
            target: Name::parse(target).unwrap(),
            source: String::new(),
            date: String::new(),
            line: 0,
        };
    SafeSearchHosts::new(&[
        entry("search", None, "search.example", "safe.search.example"),
        entry("youtube", Some("strict"), "tube.example", "strict.tube.example"),
        entry(
            "youtube",
            Some("moderate"),
            "tube.example",
            "moderate.tube.example",
        ),
    ])
}

fn own(index: &Index) -> TagSet {
    index.kind(TagKind::Own)
}

fn policy(text: &str) -> Policy {
    toml::from_str(text).unwrap()
}

fn ready(index: &Index, text: &str) -> Result<InForce, PolicyError> {
    again(index, text, None)
}

fn again(index: &Index, text: &str, before: Option<&InForce>) -> Result<InForce, PolicyError> {
    InForce::new(
        &policy(text),
        &Surroundings {
            index,
            own: own(index),
            hosts: &hosts(),
            before,
        },
    )
}

/// Tuesday, 12:00 in UTC.
fn noon() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

const MINUTE: u32 = 29_700_000;

/// What is decided for Ana, who has the only profile.
fn decided(index: &Index, text: &str, pauses: &[Pause], grants: &[Grant], name: &str) -> String {
    let force = ready(index, text).unwrap();
    let present = Present::new(&force, index, (pauses, grants), noon(), &TimeZone::UTC);
    let client = Client::new(&force, &present, force.device("Ana"), MINUTE);
    let name = Name::parse(name).unwrap();
    let long = verdict(index, &client, name.as_ref(), 1).decision;
    let short = decide(index, &client, name.as_ref(), 1);
    assert_eq!(long, short, "{name}");
    match short {
        Decision::Helpline => "helpline".to_owned(),
        Decision::Blocked(because, _) => because.text(index, client.profile).to_owned(),
        Decision::Excepted(opened) => format!("{opened:?}"),
        Decision::Rewritten(target) => format!("to {target}"),
        Decision::Allowed => "allowed".to_owned(),
    }
}

const DEVICE: &str = "[[device]]\nname = \"Ana\"\nmatch = [\"ip:192.0.2.1\"]\nprofile = \"child\"\n";

fn profile(lines: &str) -> String {
    format!("[[profile]]\nname = \"child\"\n{lines}\n{DEVICE}")
}

fn grant(what: &str) -> Grant {
    Grant {
        who: Who::Device("Ana".to_owned()),
        what: what.to_owned(),
        until: noon() + 1.hour(),
    }
}

/// Every step of CONTRACT's "Order of decision" against the one behind it: both speak of the name, the earlier one decides.
#[test]
#[allow(clippy::type_complexity)]
fn the_order_of_decision_is_the_contracts() {
    let index = index();
    let off = "[[profile.schedule]]\nname = \"noon\"\nfrom = \"11:00\"\nto = \"13:00\"\nmode = \"off\"";
    let used = "[[profile.budget]]\nwhat = [\"service:video\"]\nminutes = 0";
    let pause = [Pause {
        who: Who::Profile("child".to_owned()),
        until: None,
    }];
    let schedule =
        |mode: &str| format!("[[profile.schedule]]\nfrom = \"11:00\"\nto = \"13:00\"\nmode = \"{mode}\"");
    let (granted, said) = (
        |what: &str| vec![grant(what)],
        |lines: &str| lines.replace(" | ", "\n"),
    );
    #[rustfmt::skip] // a row is a row
    let rows: Vec<(&str, String, bool, Vec<Grant>, &str, &str)> = vec![
        ("1 before 3, 6, 9", said(r#"deny = ["help.example"] | services = ["video"]"#), true, vec![], "help.example", "helpline"),
        ("2 before 3, 4, 5", said(r#"allow = ["banned.example"]"#), true, granted("banned.example"), "banned.example", "national list"),
        ("3 before 4, 5: pause", said(r#"allow = ["a.example"]"#), true, granted("a.example"), "a.example", "paused"),
        ("3 before 4, 5: schedule", said(r#"allow = ["a.example"] | "#) + off, false, granted("a.example"), "a.example", "schedule: noon"),
        ("4 before 6", said(r#"deny = ["a.example"]"#), false, granted("a.example"), "www.a.example", "Grant"),
        ("4 before 7, 8, 9", said(r#"services = ["video"] | "#) + used, false, granted("service:video"), EVERYWHERE, "Grant"),
        ("4, a name alone", said(r#"deny = ["a.example"]"#), false, granted("=a.example"), "www.a.example", "denied"),
        ("5 before 6", said(r#"allow = ["a.example"] | deny = ["a.example"]"#), false, vec![], "a.example", "Allow"),
        ("5 before 7", said(r#"allow = ["vpn.example"]"#), false, vec![], "vpn.example", "Allow"),
        ("6 before 7", said(r#"deny = ["vpn.example"]"#), false, vec![], "vpn.example", "denied"),
        ("6, an expression", said(r#"deny = ["/^v.n/"]"#), false, vec![], "vpn.example", "denied"),
        ("6 before 11", said(r#"deny = ["search.example"] | safe_search = true"#), false, vec![], "search.example", "denied"),
        ("own lists before 8", used.to_owned(), false, vec![], "own.example", "own"),
        ("7 before 8", used.to_owned(), false, vec![], EVERYWHERE, "bypass"),
        ("8 before 9", said(r#"bypass_protection = false | services = ["video"] | "#) + used, false, vec![], EVERYWHERE, "time used up: service:video"),
        ("9 before 10", said(r#"bypass_protection = false | services = ["video"] | categories = ["games"]"#), false, vec![], EVERYWHERE, "video"),
        ("9, by schedule", said(r#"bypass_protection = false | categories = ["games"] | "#) + &schedule("no-services"), false, vec![], EVERYWHERE, "schedule: no services"),
        ("10 before 12", said(r#"bypass_protection = false | categories = ["games"] | default = "deny""#), false, vec![], EVERYWHERE, "games"),
        ("11 before 12", said(r#"safe_search = true | default = "deny""#), false, vec![], "search.example", "to safe.search.example"),
        ("11, not below a host", said("safe_search = true"), false, vec![], "www.search.example", "allowed"),
        ("11, strict", said(r#"youtube = "strict""#), false, vec![], "tube.example", "to strict.tube.example"),
        ("11, moderate", said(r#"youtube = "moderate""#), false, vec![], "tube.example", "to moderate.tube.example"),
        ("11, off", said("safe_search = true"), false, vec![], "tube.example", "allowed"),
        ("12, deny", said(r#"default = "deny""#), false, vec![], "a.example", "not on the allow list"),
        ("12, deny, but allowed", said(r#"default = "deny" | allow = ["a.example"]"#), false, vec![], "a.example", "Allow"),
        ("12, by schedule", schedule("allow-list"), false, vec![], "a.example", "schedule: allowed names only"),
        ("12, allow", String::new(), false, vec![], "a.example", "allowed"),
    ];
    for (what, lines, paused, grants, name, expected) in rows {
        let pauses: &[Pause] = if paused { &pause } else { &[] };
        assert_eq!(
            decided(&index, &profile(&lines), pauses, &grants, name),
            expected,
            "{what}"
        );
    }
}

#[test]
fn pauses_and_grants_are_for_those_they_name_and_until_their_time() {
    let index = index();
    let text = profile("services = [\"chat\"]")
        + "[[device]]\nname = \"Ben\"\nmatch = [\"ip:192.0.2.2\"]\nprofile = \"child\"\n[[profile]]\nname = \"adult\"\n\
           [settings]\ndefault_profile = \"adult\"\n";
    let force = ready(&index, &text).unwrap();
    let chat = Name::parse("chat.example").unwrap();
    let at = |pauses: &[Pause], grants: &[Grant], device: &str, hours: i64| {
        let now = noon() + hours.hours();
        let present = Present::new(&force, &index, (pauses, grants), now, &TimeZone::UTC);
        let client = Client::new(&force, &present, force.device(device), MINUTE);
        match decide(&index, &client, chat.as_ref(), 1) {
            Decision::Blocked(because, _) => Err(because),
            decision => Ok(decision == Decision::Excepted(Opened::Grant)),
        }
    };
    let blocked = |decided: &Result<bool, Because>| matches!(decided, Err(Because::List(_)));
    let paused = |decided: &Result<bool, Because>| *decided == Err(Because::Paused);
    let grants = [grant("service:chat")];
    assert_eq!(at(&[], &grants, "Ana", 0), Ok(true));
    assert!(blocked(&at(&[], &grants, "Ana", 1)), "its time is over");
    assert!(blocked(&at(&[], &grants, "Ben", 0)), "it is Ana's");
    for (who, ana, ben, nobody) in [
        (Who::All, true, true, true),
        (Who::Profile("child".to_owned()), true, true, false),
        (Who::Device("Ben".to_owned()), false, true, false),
        (Who::Device("gone".to_owned()), false, false, false),
    ] {
        let pauses = [Pause {
            who,
            until: Some(noon() + 1.hour()),
        }];
        for (device, expected) in [("Ana", ana), ("Ben", ben), ("nobody", nobody)] {
            assert_eq!(
                paused(&at(&pauses, &[], device, 0)),
                expected,
                "{pauses:?} {device}"
            );
            assert!(!paused(&at(&pauses, &[], device, 1)), "{pauses:?} {device}");
        }
    }
    let bedtime = profile("[[profile.schedule]]\npreset = \"bedtime\"");
    let force = ready(&index, &bedtime).unwrap();
    let night = noon() + 10.hours();
    let later = |grants: &[Grant]| {
        let present = Present::new(&force, &index, (&[], grants), night, &TimeZone::UTC);
        (present.of(0, force.device("Ana")).off, present.next)
    };
    assert_eq!(later(&[]).0, Some(Off::Schedule(0)));
    let until = night + 30.minutes();
    let longer = [Grant {
        until,
        ..grant("schedule")
    }];
    assert_eq!(later(&longer), (None, Some(until)), "half an hour before bedtime");
}

#[test]
fn a_budget_is_used_up_by_minutes_and_begins_anew_with_its_day() {
    let index = index();
    let text = "[settings]\nbudget_reset = \"04:00\"\n".to_owned()
        + &profile(
            "[[profile.budget]]\nname = \"video\"\nwhat = [\"service:video\"]\nminutes = 2\n\
             [[profile.budget]]\nname = \"games\"\nwhat = [\"category:games\"]\nminutes = 60\nper = \"profile\"",
        )
        + "[[device]]\nname = \"Ben\"\nmatch = [\"ip:192.0.2.2\"]\nprofile = \"child\"\n";
    let force = ready(&index, &text).unwrap();
    let ask = |force: &InForce, device: &str, name: &str, now: Timestamp| {
        let present = Present::new(force, &index, (&[], &[]), now, &TimeZone::UTC);
        let minute = u32::try_from(now.as_second() / 60).unwrap();
        let client = Client::new(force, &present, force.device(device), minute);
        let name = Name::parse(name).unwrap();
        decide(&index, &client, name.as_ref(), 1) == Decision::Allowed
    };
    let at = |minutes: i64| noon() + minutes.minutes();
    for minute in [0, 0, 5] {
        assert!(ask(&force, "Ana", "video.example", at(minute)));
    }
    assert!(!ask(&force, "Ana", "video.example", at(6)));
    assert!(ask(&force, "Ana", "a.example", at(6)), "it is about video");
    assert!(ask(&force, "Ben", "video.example", at(6)), "Ben has his own");
    assert!(ask(&force, "Ana", "games.example", at(7)));
    assert!(ask(&force, "Ben", "games.example", at(8)));
    // 03:59 is the day before.
    assert!(!ask(&force, "Ana", "video.example", at(16 * 60 - 1)));
    assert!(ask(&force, "Ana", "video.example", at(16 * 60)));

    // A changed policy goes on with what was used; so does the next run.
    let day = Present::new(&force, &index, (&[], &[]), at(6), &TimeZone::UTC).day;
    let reading = |minutes: i64, used| Reading {
        day,
        minute: u32::try_from(at(minutes).as_second() / 60).unwrap(),
        used,
        bonus: 0,
    };
    let force = ready(&index, &text).unwrap();
    assert!(ask(&force, "Ana", "video.example", at(0)) && ask(&force, "Ana", "games.example", at(1)));
    let mut readings = force.readings(day);
    readings.sort_by(|one, other| one.0.cmp(&other.0));
    let kept = [
        (
            "device Ana".to_owned(),
            "time used up: video".to_owned(),
            reading(0, 1),
        ),
        (
            "profile child".to_owned(),
            "time used up: games".to_owned(),
            reading(1, 1),
        ),
    ];
    assert_eq!(readings, kept);
    let force = again(
        &index,
        &(text.clone() + "[[profile]]\nname = \"x\"\n")
            .replace("[settings]\n", "[settings]\ndefault_profile = \"x\"\n"),
        Some(&force),
    )
    .unwrap();
    assert_eq!(force.readings(day).len(), 2);
    let mut restarted = ready(&index, &text).unwrap();
    assert!(
        readings
            .iter()
            .all(|(who, budget, reading)| restarted.go_on(who, budget, *reading))
    );
    assert!(!restarted.go_on("device gone", "time used up: video", reading(0, 1)));
    assert!(ask(&restarted, "Ana", "video.example", at(2)));
    assert!(!ask(&restarted, "Ana", "video.example", at(3)));

    // Minutes on top.
    let mut video = TagSet::EMPTY;
    video.insert(index.tag(TagKind::Service, "video").unwrap());
    let ana = restarted.device("Ana").unwrap();
    assert_eq!(restarted.give(Given::Device(ana), &video, day, 1), 1);
    assert!(ask(&restarted, "Ana", "video.example", at(3)));
    assert!(!ask(&restarted, "Ana", "video.example", at(4)));
    let child = restarted.profile("child").unwrap();
    assert_eq!(restarted.give(Given::Profile(child), &video, day, 1), 1);
    assert!(ask(&restarted, "Ana", "video.example", at(4)));
    assert!(!ask(&restarted, "Ana", "video.example", at(5)));
}

#[test]
fn a_device_is_recognised_by_the_surest_mark() {
    let index = index();
    let device = |name: &str, mark: &str| {
        format!("[[device]]\nname = \"{name}\"\nmatch = [\"{mark}\"]\nprofile = \"p\"\n")
    };
    let text = "[[profile]]\nname = \"p\"\n".to_owned()
        + &device("by mac", "mac:02:00:00:00:00:01")
        + &device("by address", "ip:192.0.2.7")
        + &device("by name", "hostname:Ana-Tab")
        + &device("by network", "cidr:192.0.2.0/24")
        + &device("by larger network", "cidr:192.0.0.0/16")
        + &device("by id", "client-id:ana");
    let force = ready(&index, &text).unwrap();
    let mac = Some([2, 0, 0, 0, 0, 1]);
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let known = [
        (address("192.0.2.7"), mac, Some("ana-tab")),
        (address("192.0.2.8"), None, Some("ANA-TAB")),
        (address("2001:db8::7"), mac, None),
        (address("2001:db8::8"), Some([2, 0, 0, 0, 0, 2]), Some("other")),
    ];
    for (client, with, without) in [
        ("192.0.2.7", "by mac", "by address"),
        ("192.0.2.8", "by name", "by network"),
        ("2001:db8::7", "by mac", ""),
        ("2001:db8::8", "", ""),
        ("192.0.2.9", "by network", "by network"),
        ("192.0.3.9", "by larger network", "by larger network"),
    ] {
        let found = |clients: &Clients| {
            let device = clients.device(address(client));
            device.map_or(String::new(), |device| force.device_name(device).to_owned())
        };
        assert_eq!(found(&force.clients(known.into_iter())), with, "{client}");
        assert_eq!(found(&force.clients(std::iter::empty())), without, "{client}");
    }
    assert_eq!(force.client_id("ana"), force.device("by id"));
    // A name is no surer than the address that another device is known by.
    let text = "[[profile]]\nname = \"p\"\n".to_owned()
        + &device("by address", "ip:192.0.2.7")
        + &device("by name", "hostname:ana-tab");
    let force = ready(&index, &text).unwrap();
    let clients = force.clients(std::iter::once((address("192.0.2.7"), None, Some("ana-tab"))));
    assert_eq!(clients.device(address("192.0.2.7")), force.device("by address"));
}

#[test]
fn what_cannot_be_enforced_is_refused_and_named() {
    let index = index();
    for (text, part) in [
        ("", "no [[profile]]"),
        (
            "[[profile]]\nname = \"a\"\n[[profile]]\nname = \"a\"",
            "two profiles are named \"a\"",
        ),
        (
            "[[profile]]\nname = \"a\"\n[[profile]]\nname = \"b\"",
            "default_profile",
        ),
        (
            "[[profile]]\nname = \"a\"\nservices = [\"nope\"]",
            "no service \"nope\"",
        ),
        (
            "[[profile]]\nname = \"a\"\n[[profile.budget]]\nwhat = [\"video\"]\nminutes = 5",
            "service:ID",
        ),
        (
            "[[profile]]\nname = \"a\"\n[[profile.budget]]\nwhat = []\nminutes = 5",
            "about nothing",
        ),
        (
            "[[profile]]\nname = \"a\"\n[[profile.budget]]\nwhat = [\"service:video\"]\nminutes = 1441",
            "more than a day",
        ),
        (
            "[[profile]]\nname = \"a\"\n[[profile.schedule]]\nmode = \"off\"\nto = \"07:00\"",
            "\"from\" is missing",
        ),
        (
            "[[profile]]\nname = \"a\"\n[[profile.schedule]]\nfrom = \"06:00\"\nto = \"07:00\"",
            "\"mode\" is missing",
        ),
        (
            "[[profile]]\nname = \"a\"\n[[profile.schedule]]\npreset = \"exam\"\nonly_on = \"term\"",
            "no calendar \"term\"",
        ),
        (
            "[[profile]]\nname = \"a\"\n[[profile.schedule]]\npreset = \"bedtime\"\n[[profile.schedule]]\nfrom = \"20:00\"\nto = \"22:00\"\nmode = \"no-services\"",
            "same hour",
        ),
        (
            "[[calendar]]\nname = \"c\"\ndays = []\n[[calendar]]\nname = \"c\"\ndays = []\n[[profile]]\nname = \"a\"",
            "two calendars",
        ),
        (
            "[[profile]]\nname = \"a\"\n[[device]]\nname = \"d\"\nmatch = [\"mac:1:2:3:4:5:6\"]\nprofile = \"a\"",
            "mac:1:2:3:4:5:6",
        ),
        (
            "[[profile]]\nname = \"a\"\n[[device]]\nname = \"d\"\nmatch = [\"mac:02-00-00-00-00-01\"]\nprofile = \"a\"\n[[device]]\nname = \"e\"\nmatch = [\"mac:02:00:00:00:00:01\"]\nprofile = \"a\"",
            "device \"d\" already",
        ),
        (
            "[[profile]]\nname = \"a\"\n[[device]]\nname = \"d\"\nmatch = [\"client-id:a b\"]\nprofile = \"a\"",
            "client-id:a b",
        ),
        (
            "[[profile]]\nname = \"a\"\n[[device]]\nname = \"d\"\nmatch = []\nprofile = \"b\"",
            "no profile \"b\"",
        ),
        (
            "[[profile]]\nname = \"a\"\ndeny = [\"fine.example\", \"/((a{500}){500}){50}/\"]",
            "/((a{500}){500}){50}/",
        ),
    ] {
        let error = ready(&index, text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}\n{error}");
    }
    for text in [
        "[[profile]]\nname = \"a\"\n[[profile.schedule]]\nfrom = \"21\"",
        "[[profile]]\nname = \"a\"\n[[profile.schedule]]\ndays = \"someday\"",
        "[[profile]]\nname = \"a\"\nyoutube = \"mild\"",
        "[[calendar]]\nname = \"c\"\ndays = [\"2026-02-30\"]",
    ] {
        assert!(toml::from_str::<Policy>(text).is_err(), "{text}");
    }
    // Those on different days may overlap, and those that do the same.
    let text = "[[calendar]]\nname = \"term\"\ndays = [\"2026-09-01..2026-12-20\"]\n[[profile]]\nname = \"a\"\n\
                [[profile.schedule]]\npreset = \"bedtime\"\n[[profile.schedule]]\nfrom = \"20:00\"\nto = \"22:00\"\nmode = \"off\"\n\
                [[profile.schedule]]\npreset = \"exam\"\nonly_on = \"term\"\n[[profile.schedule]]\nfrom = \"08:00\"\nto = \"09:00\"\nmode = \"off\"";
    assert!(ready(&index, text).is_ok());
}
