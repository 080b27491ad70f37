//! The line as a whole: what it costs in allocations, and that its short way decides as its long way.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::verbose_bit_mask
)]

use std::collections::HashMap;
use std::sync::Arc;

use isigurt_blocklists::index::{Compiler, Index, ListInfo, Seed, TagId, TagKind, TagSet};
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::hashed::{HashKey, Offline};
use isigurt_blocklists::read::{self, Format};
use isigurt_core::cache::{Cache, Near};
use isigurt_core::policy::{
    self, Because, Client, Clients, Decision, InForce, Names, Opened, Present, Profile, confirm,
};
use isigurt_core::snapshot::{Answers, BlockAnswer, Site, Snapshot};
use isigurt_core::step::{self, Done, Kind, Peer, Step, Transport};
use isigurt_core::wire::cookie::Secret;
use isigurt_core::wire::finished::TtlBounds;
use proptest::prelude::*;

const KINDS: [(TagKind, &str); 6] = [
    (TagKind::Helpline, "helplines"),
    (TagKind::Own, "own"),
    (TagKind::Bypass, "bypass"),
    (TagKind::Service, "video"),
    (TagKind::Category, "gambling"),
    (TagKind::Mandatory, "national"),
];

fn index(lists: &[(usize, Format, String)]) -> Index {
    let mut compiler = Compiler::new(Seed([8; 32]), 4096);
    for (kind, format, text) in lists {
        let (kind, id) = KINDS[*kind];
        let tag = compiler.tag(kind, id).unwrap();
        let list = read::read(text.as_bytes(), *format, None).unwrap();
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

/// A list of the prefixes of these names' hashes.
fn prefixes(names: &[&str]) -> String {
    let key = HashKey {
        key: [7; 32],
        bits: 24,
        offline: Offline::Allow,
    };
    names.iter().fold(key.header(), |text, name| {
        text + &key.line(name.as_bytes(), false) + "\n"
    })
}

fn profile(blocked: &[u8]) -> Profile {
    let mut tags = TagSet::EMPTY;
    for &tag in blocked {
        tags.insert(TagId(tag));
    }
    Profile {
        name: "p".to_owned(),
        blocked: tags,
        ..Profile::default()
    }
}

fn snapshot(index: Index, block: BlockAnswer) -> Snapshot {
    // Everything that a profile can have takes part: what it costs in allocations is counted.
    let names = |lines: [&str; 2]| Names::read(&lines.map(str::to_owned)).unwrap();
    let policy = InForce::everybody(Profile {
        allow: names(["own.allowed.example", "/^fine[0-9]+\\.example$/"]),
        deny: names(["denied.example", "/^ads[0-9]+\\./"]),
        ..profile(&[0, 1, 2, 3, 4])
    });
    Snapshot {
        confirmed: Arc::default(),
        index: Arc::new(index),
        present: Arc::new(Present::plain(&policy)),
        clients: Arc::new(Clients::default()),
        policy: Arc::new(policy),
        allow_from: vec!["127.0.0.0/8".parse::<ipnet::IpNet>().unwrap().into()],
        answers: Answers {
            block,
            block_ttl: 10,
            site: Site::Home,
            ttl: TtlBounds { min: 0, max: 86_400 },
            prefetch: true,
            cookie_secret: Secret([3; 16]),
            epoch_s: 1_800_000_000,
        },
        forwarded: vec![Name::parse("lan").unwrap()],
        rebind_allow: Some(Vec::new()),
        local: HashMap::from([(
            Name::parse("nas.home.arpa").unwrap().as_ref().wire().into(),
            Vec::new(),
        )]),
    }
}

fn query(name: &str, qtype: u16, edns: bool) -> Vec<u8> {
    let mut packet = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    packet.extend_from_slice(Name::parse(name).unwrap().as_ref().wire());
    packet.extend_from_slice(&qtype.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    if edns {
        packet.extend_from_slice(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00");
    }
    packet
}

/// An upstream's answer to that query: two A records.
fn answer(query: &[u8]) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    message[7] = 2;
    for last in [1, 2] {
        message.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02");
        message.push(last);
    }
    message
}

const PEER: fn() -> Peer = || Peer {
    addr: ([127, 0, 0, 1], 4000).into(),
    local: None,
    transport: Transport::Udp,
};

#[test]
fn a_blocked_or_cached_answer_allocates_nothing() {
    let text: String = (0..2000).fold(String::new(), |text, number| {
        text + &format!("n{number}.example\n")
    });
    // A list of prefixes has every label of a name hashed; none of these names shares one.
    let lists = [
        (4, Format::Domains, text),
        (5, Format::Hashed, prefixes(&["bad.example", "worse.example"])),
    ];
    for block in [BlockAnswer::Null, BlockAnswer::Nxdomain, BlockAnswer::Refused] {
        let (cache, mut near) = (Cache::new(1 << 20, 0), Near::new());
        let snapshot = snapshot(index(&lists), block);
        // One answer into the cache.
        let mut out = Vec::with_capacity(4096);
        let plain = query("www.allowed.org", 1, false);
        let Step::Upstream(job) = step::step(&snapshot, &cache, &mut near, &PEER(), &plain, 0, &mut out)
        else {
            panic!("nothing is cached yet");
        };
        let _ = step::finish(&snapshot, &cache, &job, Ok(&answer(&plain)), 0, &mut out);
        let asked = [
            ("www.n7.example", 1, Kind::Blocked),
            ("n7.example", 28, Kind::Blocked),
            ("a.b.c.n1999.example", 65, Kind::Blocked),
            ("x.denied.example", 1, Kind::Blocked),
            ("ads9.example", 1, Kind::Blocked),
            ("www.allowed.org", 1, Kind::Cached),
            ("localhost", 1, Kind::Local),
            ("secret.onion", 1, Kind::Local),
        ];
        for (name, qtype, kind) in asked {
            for edns in [false, true] {
                let packet = query(name, qtype, edns);
                let mut ask =
                    || match step::step(&snapshot, &cache, &mut near, &PEER(), &packet, 1000, &mut out) {
                        Step::Reply(became) => assert_eq!(became.kind, kind, "{name}"),
                        other => panic!("{name}: {other:?}"),
                    };
                ask(); // regular expressions make their automata as they go, up to a bound
                let count = allocation_counter::measure(ask);
                assert_eq!(count.count_total, 0, "{name} {qtype}, OPT {edns}, {block:?}");
            }
        }
        // Refusals and faults cost nothing either.
        let stranger = Peer {
            addr: ([203, 0, 113, 9], 4000).into(),
            ..PEER()
        };
        let count = allocation_counter::measure(|| {
            step::step(&snapshot, &cache, &mut near, &stranger, &plain, 1000, &mut out);
            step::step(
                &snapshot,
                &cache,
                &mut near,
                &PEER(),
                &plain[..20],
                1000,
                &mut out,
            );
        });
        assert_eq!(count.count_total, 0);
    }
}

/// What becomes of a query whose upstream answer has these records; asked twice, from the upstream and from the cache.
fn led_to(snapshot: &Snapshot, name: &str, count: u8, records: &[u8]) -> (Kind, Kind, Vec<u8>) {
    let (cache, mut near) = (Cache::new(1 << 20, 0), Near::new());
    let mut out = Vec::new();
    let packet = query(name, 1, true);
    let Step::Upstream(job) = step::step(snapshot, &cache, &mut near, &PEER(), &packet, 0, &mut out) else {
        panic!("{name} is not asked upstream");
    };
    let mut message = query(name, 1, false);
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    message[7] = count;
    message.extend_from_slice(records);
    let Step::Reply(first) = step::finish(snapshot, &cache, &job, Ok(&message), 0, &mut out) else {
        panic!("no reply");
    };
    let reply = out.clone();
    let Step::Reply(second) = step::step(snapshot, &cache, &mut near, &PEER(), &packet, 1000, &mut out)
    else {
        panic!("not cached");
    };
    assert_eq!(
        reply.len(),
        out.len(),
        "the same answer from the upstream and from the cache"
    );
    (first.kind, second.kind, reply)
}

#[test]
fn what_an_answer_leads_to_is_policy_too() {
    let lists = [
        (4, Format::Domains, "tracker.example\n".to_owned()),
        (1, Format::Adblock, "@@||shop.example^\n".to_owned()),
        (0, Format::Domains, "help.example\n".to_owned()),
    ];
    let mut snapshot = snapshot(index(&lists), BlockAnswer::Null);
    // An alias to a name below a blocked one, with an address behind it.
    let cloaked = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x13\x01a\x07tracker\x07example\x00\
        \x01a\x07tracker\x07example\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x05";
    let (first, second, reply) = led_to(&snapshot, "innocent.org", 2, cloaked);
    assert_eq!((first, second), (Kind::Blocked, Kind::Blocked));
    assert!(
        reply.windows(8).any(|window| window == b"gambling"),
        "the extended error names the category"
    );
    assert!(!reply.windows(4).any(|window| window == [0xcb, 0, 0x71, 5]));
    // The household allows the name, wherever it leads; a helpline is never filtered.
    for name in ["shop.example", "www.help.example"] {
        let (first, second, _) = led_to(&snapshot, name, 2, cloaked);
        assert_eq!((first, second), (Kind::Forwarded, Kind::Cached), "{name}");
    }
    // A list that comes later acts on what is in the cache already: nothing of policy is kept there.
    let private = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\xa8\x01\x01";
    let (first, second, reply) = led_to(&snapshot, "rebind.org", 1, private);
    assert_eq!((first, second), (Kind::Blocked, Kind::Blocked));
    assert!(!reply.windows(4).any(|window| window == [192, 168, 1, 1]) && reply[3] & 15 == 0);
    assert_eq!(led_to(&snapshot, "printer.lan", 1, private).0, Kind::Forwarded);
    snapshot.rebind_allow = Some(vec![Name::parse("plex.direct").unwrap()]);
    assert_eq!(led_to(&snapshot, "x.plex.direct", 1, private).0, Kind::Forwarded);
    assert_eq!(led_to(&snapshot, "rebind.org", 1, private).0, Kind::Blocked);
    snapshot.rebind_allow = None;
    assert_eq!(led_to(&snapshot, "rebind.org", 1, private).0, Kind::Forwarded);
}

/// An answer to the name asked for that is an alias of `target`, with an address behind it.
fn alias_of(target: &str) -> Vec<u8> {
    let target = Name::parse(target).unwrap();
    let wire = target.as_ref().wire();
    let mut records = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c".to_vec();
    records.extend_from_slice(&u16::try_from(wire.len()).unwrap().to_be_bytes());
    records.extend_from_slice(wire);
    records.extend_from_slice(wire);
    records.extend_from_slice(b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x05");
    records
}

#[test]
fn nothing_that_the_household_opens_leads_to_the_national_list() {
    let rules = "@@||shop.example^\n||moved.example^$dnsrewrite=www.listed.example\n||edge.example^$dnsrewrite=cdn.example\n";
    let lists = [
        (5, Format::Domains, "listed.example\n".to_owned()),
        (4, Format::Domains, "tracker.example\n".to_owned()),
        (1, Format::Adblock, rules.to_owned()),
    ];
    let snapshot = snapshot(index(&lists), BlockAnswer::Null);
    // Allowed by the profile, and by an exception of the household's own list.
    for name in ["own.allowed.example", "shop.example"] {
        let (first, second, reply) = led_to(&snapshot, name, 2, &alias_of("a.listed.example"));
        assert_eq!((first, second), (Kind::Blocked, Kind::Blocked), "{name}");
        assert!(
            reply.windows(13).any(|window| window == b"national list"),
            "{name}"
        );
        assert!(
            !reply.windows(4).any(|window| window == [0xcb, 0, 0x71, 5]),
            "{name}"
        );
        // Categories it may lead to.
        let (first, _, _) = led_to(&snapshot, name, 2, &alias_of("a.tracker.example"));
        assert_eq!(first, Kind::Forwarded, "{name}");
    }
    // A rewrite of a list to a listed name, and to one that is an alias of a listed name.
    let (cache, mut near) = (Cache::new(1 << 20, 0), Near::new());
    let mut out = Vec::new();
    let mut ask = |name: &str, out: &mut Vec<u8>| {
        step::step(
            &snapshot,
            &cache,
            &mut near,
            &PEER(),
            &query(name, 1, true),
            0,
            out,
        )
    };
    let mandatory = |step: &Step| {
        matches!(
            step,
            Step::Reply(Done {
                because: Some(Because::Mandatory(_)),
                ..
            })
        )
    };
    let moved = ask("moved.example", &mut out);
    assert!(mandatory(&moved), "{moved:?}");
    let Step::Upstream(job) = ask("edge.example", &mut out) else {
        panic!("not asked upstream");
    };
    let mut message = query("cdn.example", 1, false);
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    message[7] = 2;
    message.extend_from_slice(&alias_of("a.listed.example"));
    let first = step::finish(&snapshot, &cache, &job, Ok(&message), 0, &mut out);
    assert!(mandatory(&first), "{first:?}");
    let second = ask("edge.example", &mut out);
    assert!(mandatory(&second), "from the cache: {second:?}");
}

#[test]
fn what_is_blocked_while_an_upstream_is_asked_is_not_answered_any_more() {
    let snapshot = snapshot(index(&[]), BlockAnswer::Null);
    let (cache, mut near) = (Cache::new(1 << 20, 0), Near::new());
    let mut out = Vec::new();
    let packet = query("www.allowed.org", 1, true);
    let Step::Upstream(job) = step::step(&snapshot, &cache, &mut near, &PEER(), &packet, 0, &mut out) else {
        panic!("asked upstream");
    };
    let policy = InForce::everybody(Profile {
        deny: Names::read(&["allowed.org".to_owned()]).unwrap(),
        ..profile(&[])
    });
    let later = Snapshot {
        present: Arc::new(Present::plain(&policy)),
        policy: Arc::new(policy),
        ..snapshot.clone()
    };
    let step = step::finish(&later, &cache, &job, Ok(&answer(&packet)), 0, &mut out);
    let Step::Reply(done) = step else {
        panic!("{step:?}");
    };
    assert_eq!((done.kind, done.because), (Kind::Blocked, Some(Because::Denied)));
    assert!(!out.windows(3).any(|window| window == [192, 0, 2]));
}

#[test]
fn nothing_is_logged_of_a_helpline_or_a_listed_name_with_a_search_domain_behind_it() {
    let lists = [
        (0, Format::Domains, "help.example\n".to_owned()),
        (5, Format::Domains, "listed.example\nhidden.onion\n".to_owned()),
    ];
    let snapshot = snapshot(index(&lists), BlockAnswer::Nodata);
    let (cache, mut near) = (Cache::new(1 << 20, 0), Near::new());
    let mut out = Vec::new();
    for (name, unspoken) in [
        ("www.help.example.home.arpa", true),
        ("help.example.local", true),
        ("listed.example.home.arpa", true),
        ("hidden.onion", true),
        ("www.help.example.lan", true),
        ("a.listed.example.office.lan", true),
        ("printer.home.arpa", false),
        ("example.home.arpa", false),
        ("nothelp.example.home.arpa", false),
        ("other.onion", false),
        ("printer.lan", false),
    ] {
        let packet = query(name, 1, false);
        let step = match step::step(&snapshot, &cache, &mut near, &PEER(), &packet, 0, &mut out) {
            Step::Upstream(job) => {
                step::finish(&snapshot, &cache, &job, Err(step::Failure::Network), 0, &mut out)
            }
            step => step,
        };
        let Step::Reply(done) = step else {
            panic!("{name}: {step:?}");
        };
        assert_eq!(done.helpline, unspoken, "{name}");
    }
}

#[test]
fn a_popular_answer_is_fetched_anew_once_before_its_end() {
    let mut snapshot = snapshot(index(&[]), BlockAnswer::Null);
    let mut out = Vec::new();
    let packet = query("www.allowed.org", 1, false);
    let ask = |snapshot: &Snapshot, cache: &Cache, now_ms: u64, out: &mut Vec<u8>| {
        matches!(
            step::step(snapshot, cache, &mut Near::none(), &PEER(), &packet, now_ms, out),
            Step::Refresh(
                Done {
                    kind: Kind::Cached,
                    ..
                },
                _
            )
        )
    };
    for prefetch in [true, false] {
        snapshot.answers.prefetch = prefetch;
        let cache = Cache::new(1 << 20, 0);
        let mut near = Near::none();
        let Step::Upstream(job) = step::step(&snapshot, &cache, &mut near, &PEER(), &packet, 0, &mut out)
        else {
            panic!("asked upstream");
        };
        let _ = step::finish(&snapshot, &cache, &job, Ok(&answer(&packet)), 0, &mut out); // TTL 300
        assert!(!ask(&snapshot, &cache, 1_000, &mut out));
        assert!(!ask(&snapshot, &cache, 269_000, &mut out));
        assert_eq!(ask(&snapshot, &cache, 270_000, &mut out), prefetch);
        assert!(!ask(&snapshot, &cache, 271_000, &mut out), "once is enough");
        // What nobody asked for in its time is left to end.
        let _ = step::finish(&snapshot, &cache, &job, Ok(&answer(&packet)), 0, &mut out);
        assert!(!ask(&snapshot, &cache, 290_000, &mut out));
    }
}

#[test]
fn an_answer_that_leads_in_circles_is_no_answer() {
    let snapshot = snapshot(index(&[]), BlockAnswer::Null);
    let (cache, mut near) = (Cache::new(1 << 20, 0), Near::new());
    let mut out = Vec::new();
    let packet = query("www.allowed.org", 1, false);
    let Step::Upstream(job) = step::step(&snapshot, &cache, &mut near, &PEER(), &packet, 0, &mut out) else {
        panic!("asked upstream");
    };
    let mut message = packet.clone();
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    message[7] = 1;
    let own = u8::try_from(message.len() + 12).unwrap();
    message.extend_from_slice(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0");
    message.push(own); // points to itself
    let step = step::finish(&snapshot, &cache, &job, Ok(&message), 0, &mut out);
    assert!(
        matches!(
            step,
            Step::Reply(Done {
                kind: Kind::Failed,
                ..
            })
        ),
        "{step:?}"
    );
    assert_eq!(out[3] & 15, 2);
}

fn line() -> impl Strategy<Value = String> {
    let name = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4)
        .prop_map(|labels| labels.join("."));
    let shape = prop::sample::select(vec![
        "||{}^",
        "||{}^",
        "|{}^",
        "@@||{}^",
        "||{}^$important",
        "||{}^$dnstype=AAAA",
        "||{}^$dnsrewrite=NXDOMAIN;;",
        "/^c\\.{}$/",
    ]);
    (shape, name).prop_map(|(shape, name)| shape.replace("{}", &name))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_short_way_decides_as_the_long_way(
        lists in prop::collection::vec((0..6_usize, prop::collection::vec(line(), 1..12)), 1..5),
        blocked in prop::collection::vec(0..6_u8, 0..6),
        own in prop::collection::vec(prop::sample::select(vec!["a", "b.a", "=c.b", "/^c/"]), 0..3),
        denied in prop::collection::vec(prop::sample::select(vec!["b", "a.b", "=c", "/b.c/"]), 0..3),
        deny_rest in any::<bool>(),
        names in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..5), 1..20),
    ) {
        let lists: Vec<_> = lists
            .into_iter()
            .map(|(kind, lines)| (kind, Format::Adblock, lines.join("\n") + "\n"))
            .collect();
        let index = index(&lists);
        let lines = |lines: &[&str]| Names::read(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        let profile = Profile {
            allow: lines(&own).unwrap(),
            deny: lines(&denied).unwrap(),
            deny_rest,
            ..profile(&blocked)
        };
        let policy = InForce::everybody(profile);
        let present = Present::plain(&policy);
        let client = Client::new(&policy, &present, None, 0);
        for labels in names {
            let name = Name::parse(&labels.join(".")).unwrap();
            for qtype in [1, 28] {
                let long = policy::verdict(&index, &client, name.as_ref(), qtype);
                let ruled = matches!(
                    long.decision,
                    Decision::Helpline | Decision::Blocked(Because::List(_) | Because::Mandatory(_), _)
                );
                prop_assert_eq!(long.rule.is_some(), ruled, "{} {}", name, qtype);
                let named = matches!(
                    long.decision,
                    Decision::Excepted(Opened::Allow) | Decision::Blocked(Because::Denied, _)
                );
                prop_assert_eq!(long.line.is_some(), named, "{} {}", name, qtype);
                let short = policy::decide(&index, &client, name.as_ref(), qtype);
                let long = long.decision;
                prop_assert_eq!(short, long, "{} {}: {:?}", name, qtype, &lists);
            }
        }
    }
}

proptest! {
    #[test]
    fn whoever_is_no_candidate_at_the_first_look_has_no_suspects_at_a_second(
        hashed in prop::collection::vec(prop::sample::select(vec!["a.b", "b.a", "c", "a.b.c"]), 0..3),
        clear in prop::collection::vec(line(), 0..6),
        labels in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..5),
    ) {
        let lists = [
            (4, Format::Adblock, clear.join("\n") + "\n"),
            (5, Format::Hashed, prefixes(&hashed)),
        ];
        let index = index(&lists);
        let policy = InForce::everybody(profile(&[0]));
        let present = Present::plain(&policy);
        let client = Client::new(&policy, &present, None, 0);
        let name = Name::parse(&labels.join(".")).unwrap();
        let (decision, candidate) = policy::judge(&index, &client, name.as_ref(), 1);
        let suspects = confirm::suspects(&index, &client, name.as_ref(), 1);
        prop_assert_eq!(candidate, !suspects.is_empty(), "{} of {:?}", name, hashed);
        let meant = |hashed: &&str| name.to_string() == **hashed || name.to_string().ends_with(&format!(".{hashed}"));
        prop_assert_eq!(candidate, hashed.iter().any(meant), "{}", name);
        prop_assert_eq!(decision, policy::decide(&index, &client, name.as_ref(), 1));
    }
}
