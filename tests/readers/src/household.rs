//! What people and schools hand in: configuration, policy, calendars, spreadsheets, forms, claims, commands.

use std::collections::HashSet;
use std::path::Path;
use std::sync::LazyLock;

use isigurt_core::policy::{InForce, Present as Standing, SafeSearchHosts, Surroundings};
use isigurt_wire::report::{CONTACT, NOTE};
use isigurtd::clients::import::{self, Device, Present};
use isigurtd::config::{Config, Oidc};
use isigurtd::policy::{self, ical};
use isigurtd::report::Draft;
use isigurtd::{accounts, control, oidc, web};
use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;

use crate::lists::INDEX;
use crate::{Reader, texts};

pub(crate) const READERS: &[Reader] = &[
    Reader {
        name: "config",
        read: config,
        examples: || texts(&[CONFIG]),
    },
    Reader {
        name: "policy",
        read: household,
        examples: || texts(&[POLICY]),
    },
    Reader {
        name: "calendar",
        read: calendar,
        examples: || texts(&[CALENDAR]),
    },
    Reader {
        name: "devices_csv",
        read: devices_csv,
        examples: || {
            let wide = DEVICES.encode_utf16().flat_map(u16::to_le_bytes);
            let mut all = texts(&[
                DEVICES,
                "sep=;\nemri;mac;profili\n\"Ana; 1\";02-00-00-00-00-01;child\n",
            ]);
            all.push([0xff, 0xfe].into_iter().chain(wide).collect());
            all
        },
    },
    Reader {
        name: "report_form",
        read: report_form,
        examples: || {
            texts(&[
                "name=https%3A%2F%2Fbad.example%2Fx&kind=other&note=a+b&contact=&step=check",
                r#"{"name":"bad.example","kind":"fraud","note":"x","language":"en"}"#,
            ])
        },
    },
    Reader {
        name: "claims",
        read: claims,
        examples: || {
            texts(&[
                r#"{"sub":"1","preferred_username":"Ana","email":"ana@school.example","email_verified":true,"realm":{"roles":["it","7a"]}}"#,
                "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
            ])
        },
    },
    Reader {
        name: "control_request",
        read: control_request,
        examples: || {
            texts(&[
                r#"{"ask":"why","name":"a.test","qtype":1,"at":"2026-11-24T12:00:00Z"}"#,
                r#"{"ask":"putdevice","device":{"name":"a","match":["ip:192.0.2.1"],"profile":"p"}}"#,
                r#"{"ask":"pause","who":"all","seconds":60}"#,
                r#"{"ask":"apply","text":"","dry_run":true}"#,
            ])
        },
    },
];

const CONFIG: &str = "state_dir = \"/var/lib/isigurt\"\n[dns]\nlisten = [\"0.0.0.0:53\", \"[::]:53\"]\nallow_from = [\"private\", \"192.0.2.0/24\"]\n\
    block_answer = \"null\"\n[dns.cache]\nsize_mib = 32\nserve_stale = \"1d\"\n[upstream]\nservers = [\"udp://192.0.2.1:53\"]\n\
    [[upstream.zone]]\nzones = [\"lan.\"]\nservers = [\"udp://192.0.2.2:53\"]\n[local]\nrecords = [\"nas.home.arpa. 300 IN A 192.168.1.20\"]\n\
    [[lists]]\nid = \"own\"\nurl = \"file:///list.txt\"\ncategory = \"adult\"\nevery = \"24h\"\n[log]\nkeep = \"30d\"\n";
const POLICY: &str = "[settings]\ndefault_profile = \"child\"\ntime_zone = \"Europe/Tirane\"\nbudget_reset = \"04:00\"\n\
    [[calendar]]\nname = \"holidays\"\ndays = [\"2026-12-24..2027-01-07\", \"2026-11-28\"]\n\
    [[profile]]\nname = \"child\"\nage = \"7-12\"\nallow = [\"example.org\", \"=example.net\"]\ndeny = [\"/^ads[0-9]+\\\\./\"]\n\
    safe_search = true\nyoutube = \"strict\"\nvisibility = \"blocked\"\n\
    [[profile.schedule]]\ndays = \"mon-fri\"\nfrom = \"21:00\"\nto = \"07:00\"\nmode = \"off\"\nnot_on = \"holidays\"\n\
    [[profile.schedule]]\npreset = \"homework\"\n\
    [[device]]\nname = \"Ana's tablet\"\nmatch = [\"mac:02:00:00:00:00:01\", \"ip:192.168.1.20\", \"cidr:10.3.0.0/16\", \"hostname:ana-tab\"]\nprofile = \"child\"\n";
const CALENDAR: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20270111\r\nEND:VEVENT\r\n\
    BEGIN:VEVENT\r\nDTSTART;TZID=Europe/Tirane:20261123T080000\r\nDURATION:PT8H\r\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;UNTIL=20270601\r\n\
    EXDATE;VALUE=DATE:20261125\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20121128\r\nRRULE:FREQ=YEARLY;COUNT=30\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
const DEVICES: &str = "name,match,profile\nAna's tablet,mac:02:00:00:00:00:01 ip:192.168.1.20,child\nBesa,hostname:besa-pc,child\nRoom 3,cidr:10.3.0.0/16,staff\n";

fn config(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    match Config::parse(&text, Path::new("/etc/isigurt/isigurtd.toml")) {
        Ok((config, _)) => assert!(!config.dns.listen.is_empty()),
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
}

/// A policy that reads is written so that it reads the same; and it is made ready, or refused with a reason.
fn household(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let Ok(policy) = policy::read(&text) else {
        return;
    };
    let written = toml::to_string(&policy).expect("a policy can be written");
    assert_eq!(policy::read(&written).as_ref(), Ok(&policy), "{written}");
    let surroundings = Surroundings {
        index: &INDEX,
        own: INDEX.kind(isigurt_blocklists::index::TagKind::Own),
        hosts: &SafeSearchHosts::default(),
        before: None,
    };
    match InForce::new(&policy, &surroundings) {
        Ok(ready) => {
            let now = Timestamp::from_second(1_795_000_000).unwrap_or_default();
            let _ = Standing::new(&ready, &INDEX, (&[], &[]), now, &TimeZone::UTC);
            let _ = ready.clients(std::iter::empty());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Days come in order, and no two spans touch.
fn calendar(octets: &[u8]) {
    static ZONE: LazyLock<TimeZone> =
        LazyLock::new(|| TimeZone::get("Europe/Tirane").unwrap_or(TimeZone::UTC));
    let text = String::from_utf8_lossy(octets);
    let Ok(days) = ical::read(&text, &ZONE, date(2026, 11, 24)) else {
        return;
    };
    for span in &days {
        assert!(span.first <= span.last, "{days:?}");
    }
    for pair in days.windows(2) {
        assert!(matches!(pair, [one, next] if one.last < next.first), "{days:?}");
    }
}

/// Names and marks are unique; what was taken is there already when the same file comes again.
fn devices_csv(octets: &[u8]) {
    let text = import::decoded(octets);
    let profiles = ["child".to_owned(), "staff".to_owned()];
    let there = [Device {
        name: "Cani".to_owned(),
        matches: vec!["ip:192.168.1.30".to_owned()],
        profile: "staff".to_owned(),
    }];
    let against = |devices| Present {
        devices,
        profiles: &profiles,
        default_profile: Some("child"),
    };
    let run = import::read(&text, against(&there));
    let mut devices: Vec<Device> = run.devices().cloned().collect();
    let own = |there: &&Device| !devices.iter().any(|device| device.name == there.name);
    let stay: Vec<Device> = there.iter().filter(own).cloned().collect();
    devices.extend(stay);
    let (mut names, mut marks) = (HashSet::new(), HashSet::new());
    for device in &devices {
        assert!(
            !device.name.is_empty() && !device.matches.is_empty(),
            "{device:?}"
        );
        assert!(profiles.contains(&device.profile), "{device:?}");
        assert!(names.insert(&device.name), "{} twice", device.name);
        for mark in &device.matches {
            assert!(marks.insert(mark), "{mark} twice");
        }
    }
    let again = import::read(&text, against(&devices));
    if run.wrong.is_empty() {
        assert_eq!(again.wrong, [], "{devices:?}");
        assert_eq!(again.devices().next(), None, "{devices:?}");
    }
}

/// What becomes a report names a site, and is bounded.
fn report_form(octets: &[u8]) {
    let draft = web::pages::outside::report(octets);
    let json: Option<Draft> = serde_json::from_slice(octets).ok();
    for draft in draft.into_iter().chain(json) {
        let Ok(report) = draft.read() else { continue };
        assert!(report.name.is_ascii() && report.name.contains('.'), "{report:?}");
        assert_eq!(&*report.name, report.name.to_ascii_lowercase().as_str());
        assert!(report.note.is_none_or(|note| note.len() <= NOTE));
        assert!(report.contact.is_none_or(|contact| contact.len() <= CONTACT));
        assert!(report.blocked_by.is_none_or(|list| list.len() <= 100));
    }
}

/// Roles come from groups that the service names, and from verified addresses of the school.
fn claims(octets: &[u8]) {
    static SETTINGS: LazyLock<Oidc> = LazyLock::new(|| {
        let text = "issuer = \"https://login.school.example\"\nclient_id = \"gateway\"\nclaim = \"realm.roles\"\n\
             domains = [\"school.example\"]\nrole = [{ value = \"it\", role = \"admin\" },\n\
             { value = \"7a\", role = \"staff\", profiles = [\"class-7a\"] }]\n";
        toml::from_str(text).expect("settings")
    });
    let text = String::from_utf8_lossy(octets);
    let payload = oidc::outside::claims(&text);
    let plain = serde_json::from_slice(octets).ok();
    for claims in payload.into_iter().chain(plain) {
        let Some(vouch) = oidc::outside::vouch(&SETTINGS, &claims) else {
            continue;
        };
        let said = |group: &str| claims.to_string().contains(&format!("\"{group}\""));
        assert!(!vouch.subject.is_empty());
        assert!(vouch.name.chars().count() <= 64 && !vouch.name.chars().any(char::is_control));
        assert_eq!(claims.get("email_verified"), Some(&true.into()));
        let by_group = match vouch.role {
            accounts::Role::Admin => said("it"),
            accounts::Role::Staff => said("7a"),
            _ => false,
        };
        assert!(by_group, "{:?} by {claims}", vouch.role);
    }
}

/// A request that reads is written so that it reads the same.
fn control_request(octets: &[u8]) {
    let Ok(request) = serde_json::from_slice::<control::Request>(octets) else {
        return;
    };
    let written = serde_json::to_string(&request).expect("a request can be written");
    let again: control::Request = serde_json::from_str(&written).expect("what was written reads");
    let again = serde_json::to_string(&again).expect("a request can be written");
    assert_eq!(again, written);
}
