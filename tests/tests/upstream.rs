//! What leaves the gateway, where it goes, and what is believed of what comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use isigurt_tests::{Authority, Gateway, Scripted, ask_udp, has_address, query, rcode};

const PATIENCE: Duration = Duration::from_secs(3);
/// What a forger would have the clients believe.
const FORGED: [u8; 4] = [192, 0, 2, 66];

/// Whether `packet` asks for this name, in any letter case.
fn asks_for(packet: &[u8], name: &str) -> bool {
    let question = &query(name, 1)[12..];
    packet[12..]
        .to_ascii_lowercase()
        .starts_with(&question[..question.len() - 4])
}

/// The answer to `packet`: one A record, its owner a pointer to the question.
fn answer_to(packet: &[u8], address: [u8; 4]) -> Vec<u8> {
    let question = packet[12..].iter().position(|&octet| octet == 0).unwrap() + 5;
    let mut answer = packet[..12 + question].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04");
    answer.extend(address);
    answer
}

#[test]
fn special_use_names_never_leave_and_configured_zones_go_to_their_server() {
    let listener = Scripted::silent();
    let authority = Authority::start();
    let zone = format!(
        "[[upstream.zone]]\nzones = [\"lan.test\"]\nservers = [\"udp://{}\"]\n",
        authority.address
    );
    let gateway = Gateway::start(listener.address, "", &zone, &[]);
    for name in [
        "localhost",
        "a.localhost",
        "x.invalid",
        "x.test",
        "x.onion",
        "x.local",
        "x.home.arpa",
        "1.1.168.192.in-addr.arpa",
        "1.0.0.10.in-addr.arpa",
        "1.0.0.0.d.f.ip6.arpa",
    ] {
        let answer = ask_udp(gateway.address, &query(name, 1), Duration::from_secs(1)).unwrap();
        let expected = if name.ends_with("localhost") { 0 } else { 3 };
        assert_eq!(rcode(&answer), expected, "{name}");
    }
    assert_eq!(
        gateway.dig(&["+short", "host.lan.test", "A"]).trim(),
        "192.0.2.53"
    );
    assert!(
        listener.seen().is_empty(),
        "a special-use name was asked upstream"
    );
    let _ = ask_udp(
        gateway.address,
        &query("ordinary.example", 1),
        Duration::from_millis(100),
    );
    assert!(!listener.seen().is_empty(), "the listener would have seen it");
}

#[test]
fn do_and_cd_reach_the_upstream_and_nothing_else_of_the_client() {
    let authority = Authority::start();
    let upstream = Scripted::before(authority.address, Duration::ZERO);
    let gateway = Gateway::start(upstream.address, "", "", &[]);
    let options = [
        "+dnssec",
        "+cdflag",
        "+subnet=198.51.100.0/24",
        "+cookie=0102030405060708",
        "+nsid",
    ];
    for (name, dig, want) in [
        ("plain.example", &[][..], 0),
        ("secure.example", &options[..], 0x80),
    ] {
        let text = gateway.dig(&[dig, &[name, "A"]].concat());
        assert!(text.contains("192.0.2.53"), "{text}");
        let seen = upstream.seen();
        let packet = seen.iter().find(|packet| asks_for(packet, name)).unwrap();
        let opt = &packet[packet.len() - 11..];
        assert_eq!(
            opt[..3],
            [0, 0, 41],
            "OPT stands last, without options: {packet:02x?}"
        );
        assert_eq!(opt[7..], [want, 0, 0, 0], "{name}: DO, and no option");
        assert_eq!(packet[3] & 0x10 != 0, want != 0, "{name}: CD");
    }
    // Answers with and without DNSSEC records are not mixed up in the cache.
    let before = upstream.seen().len();
    for _ in 0..2 {
        gateway.dig(&["secure.example", "A"]);
        assert_eq!(upstream.seen().len(), before + 1);
    }
}

#[test]
fn many_clients_that_ask_the_same_cost_one_query_upstream() {
    let authority = Authority::start();
    let upstream = Scripted::before(authority.address, Duration::from_millis(300));
    let gateway = Gateway::start(upstream.address, "", "", &[]);
    let to = gateway.address;
    let clients: Vec<_> = (0..20)
        .map(|_| std::thread::spawn(move || ask_udp(to, &query("popular.example", 1), PATIENCE)))
        .collect();
    for client in clients {
        let answer = client.join().unwrap().expect("an answer");
        assert!(has_address(&answer, [192, 0, 2, 53]));
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn forged_answers_are_not_believed() {
    let forger = Scripted::start(|packet| {
        let mut other_id = answer_to(packet, FORGED);
        other_id[0] ^= 0x55;
        let mut other_question = answer_to(packet, FORGED);
        other_question[13] = if other_question[13] == b'z' { b'y' } else { b'z' };
        vec![
            other_id,
            b"\x00".to_vec(),
            other_question,
            answer_to(packet, [192, 0, 2, 1]),
        ]
    });
    let gateway = Gateway::start(forger.address, "", "", &[]);
    for round in 0..5 {
        let name = format!("n{round}.example");
        let answer = ask_udp(gateway.address, &query(&name, 1), PATIENCE).expect("an answer");
        assert!(!has_address(&answer, FORGED), "{answer:02x?}");
        assert!(
            has_address(&answer, [192, 0, 2, 1]) || rcode(&answer) == 2,
            "{answer:02x?}"
        );
    }
}

#[test]
fn an_answer_from_another_address_or_port_is_not_believed() {
    let elsewhere = std::net::UdpSocket::bind("127.0.0.2:0").unwrap();
    let beside = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let upstream = Scripted::start(|packet| {
        std::thread::sleep(Duration::from_millis(150)); // the forgers are faster
        vec![answer_to(packet, [192, 0, 2, 1])]
    });
    let gateway = Gateway::start(upstream.address, "", "", &[]);
    let to = gateway.address;
    let client = std::thread::spawn(move || ask_udp(to, &query("source.example", 1), PATIENCE));
    let begun = Instant::now();
    while upstream.seen().is_empty() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (port, packet) = (upstream.ports()[0], upstream.seen()[0].clone());
    for forger in [&elsewhere, &beside] {
        forger
            .send_to(&answer_to(&packet, FORGED), ("127.0.0.1", port))
            .unwrap();
    }
    let answer = client.join().unwrap().expect("an answer");
    assert!(has_address(&answer, [192, 0, 2, 1]), "{answer:02x?}");
}

#[test]
fn an_upstream_that_answers_rubbish_gives_servfail_and_never_a_crash() {
    let mut place = 0;
    let rubbish = Scripted::start(move |packet| {
        place += 1;
        let good = answer_to(packet, FORGED);
        let end = good.len();
        let bad = match place % 5 {
            0 => good[..end - 3].to_vec(),                    // rdata cut off
            1 => [&good[..end - 6], &[0xff; 6][..]].concat(), // a length past the end
            2 => [&good[..7], &[200], &good[8..]].concat(),   // 200 records that are not there
            3 => good[..12].to_vec(),                         // a header alone
            _ => [&packet[..2], &[0xff; 600][..]].concat(),
        };
        vec![bad]
    });
    let gateway = Gateway::start(rubbish.address, "", "", &[]);
    for round in 0..10 {
        let name = format!("n{round}.example");
        let answer = ask_udp(gateway.address, &query(&name, 1), PATIENCE).expect("an answer");
        assert_eq!((rcode(&answer), answer[7]), (2, 0), "{name}: {answer:02x?}");
    }
    assert!(gateway.dig(&["+short", "localhost", "A"]).contains("127.0.0.1"));
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}

#[test]
fn a_silent_server_is_passed_over_and_holds_a_client_no_longer_than_twice_the_timeout() {
    let authority = Authority::start();
    let silent = Scripted::silent();
    let gateway = Gateway::with_upstreams(&[silent.address, authority.address], "", "", &[]);
    assert_eq!(gateway.dig(&["+short", "pass.example", "A"]).trim(), "192.0.2.1");
    assert!(!silent.seen().is_empty());
    let gateway = Gateway::start(silent.address, "", "", &[]);
    let asked = Instant::now();
    let text = gateway.dig(&["other.example", "A"]);
    assert!(
        text.contains("SERVFAIL") && (text.contains("EDE: 22") || text.contains("EDE: 23")),
        "{text}"
    );
    let taken = asked.elapsed();
    eprintln!("a silent upstream, timeout 400 ms: SERVFAIL after {taken:?}");
    assert!(taken < Duration::from_secs(1), "{taken:?}");
}

#[test]
fn a_server_that_fails_or_refuses_is_not_the_last_word() {
    let authority = Authority::start();
    for code in [2, 5] {
        let failing = Scripted::start(move |packet| {
            let mut answer = answer_to(packet, FORGED);
            answer.truncate(answer.len() - 16);
            answer[3] = 0x80 | code;
            answer[7] = 0;
            vec![answer]
        });
        let gateway = Gateway::with_upstreams(&[failing.address, authority.address], "", "", &[]);
        let short = gateway.dig(&["+short", "pass.example", "A"]);
        assert_eq!(short.trim(), "192.0.2.1", "code {code}");
    }
}

#[test]
fn ports_identifiers_and_letter_case_of_queries_cannot_be_foretold() {
    let upstream = Scripted::start(|packet| vec![answer_to(packet, [192, 0, 2, 1])]);
    let gateway = Gateway::start(upstream.address, "", "", &[]);
    for round in 0..64 {
        let name = format!("abcdefghijkl{round}.example");
        let answer = ask_udp(gateway.address, &query(&name, 1), PATIENCE).expect("an answer");
        assert!(has_address(&answer, [192, 0, 2, 1]));
        assert_eq!(
            answer[12..],
            answer_to(&query(&name, 1), [192, 0, 2, 1])[12..],
            "the client's own letter case"
        );
    }
    let distinct = |mut values: Vec<u16>| {
        values.sort_unstable();
        values.dedup();
        values.len()
    };
    let seen = upstream.seen();
    assert_eq!(seen.len(), 64);
    let ids = seen
        .iter()
        .map(|packet| u16::from_be_bytes([packet[0], packet[1]]));
    // 64 draws from 65,536 or from the 28,232 ephemeral ports: more than three repetitions are one case in millions.
    assert!(distinct(ids.collect()) > 60);
    assert!(distinct(upstream.ports()) > 56, "{:?}", upstream.ports());
    let cases: Vec<&[u8]> = seen.iter().map(|packet| &packet[13..25]).collect();
    let mut different = cases.clone();
    different.sort_unstable();
    different.dedup();
    assert!(different.len() > 55, "of 2^12 cases: {}", different.len());
    assert!(
        cases
            .iter()
            .all(|case| case.eq_ignore_ascii_case(b"abcdefghijkl"))
    );
}

#[test]
fn a_server_that_does_not_keep_the_letter_case_is_still_of_use() {
    let folding = Scripted::start(|packet| {
        let mut answer = answer_to(packet, [192, 0, 2, 1]);
        let end = answer.len() - 20;
        answer[12..end].make_ascii_lowercase();
        vec![answer]
    });
    let gateway = Gateway::start(folding.address, "", "", &[]);
    // It serves no TCP, so the first few names find no answer; then its way is known.
    let asked = |name: &str| ask_udp(gateway.address, &query(name, 1), PATIENCE).expect("an answer");
    let mut failed = 0;
    while rcode(&asked(&format!("abcdefghijkl{failed}.example"))) == 2 {
        failed += 1;
        assert!(failed <= 6, "{}", gateway.log());
    }
    for round in 0..10 {
        assert!(has_address(
            &asked(&format!("later-name{round}.example")),
            [192, 0, 2, 1]
        ));
    }
    assert!(
        gateway.log().contains("does not keep the letter case"),
        "{}",
        gateway.log()
    );
}

#[test]
fn records_that_were_not_asked_for_are_neither_believed_nor_handed_on() {
    let lying = Scripted::start(|packet| {
        let mut answer = answer_to(packet, [192, 0, 2, 1]);
        let other = b"\x04bank\x07example\x00\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x42";
        let servers = b"\x07example\x00\x00\x02\x00\x01\x00\x00\x0e\x10\x00\x09\x02ns\x04evil\x00";
        if asks_for(packet, "additional.example") {
            answer.extend(servers);
            answer.extend(other);
            (answer[9], answer[11]) = (1, 1);
        } else {
            answer.extend(other);
            answer[7] = 2;
        }
        vec![answer]
    });
    let gateway = Gateway::start(lying.address, "", "", &[]);
    let text = gateway.dig(&["additional.example", "A"]);
    assert!(
        text.contains("192.0.2.1") && !text.contains("192.0.2.66") && !text.contains("evil"),
        "{text}"
    );
    let text = gateway.dig(&["answer.example", "A"]);
    assert!(
        text.contains("SERVFAIL") && !text.contains("192.0.2.66"),
        "{text}"
    );
}

#[test]
fn what_an_upstream_says_of_its_failure_is_handed_on() {
    let bogus = Scripted::start(|packet| {
        let mut answer = answer_to(packet, FORGED);
        answer.truncate(answer.len() - 16);
        (answer[3], answer[7], answer[11]) = (0x82, 0, 1);
        answer.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0e\x00\x0f\x00\x0a\x00\x06no proof");
        vec![answer]
    });
    let gateway = Gateway::start(bogus.address, "", "", &[]);
    let text = gateway.dig(&["broken.example", "A"]);
    assert!(
        text.contains("SERVFAIL") && text.contains("EDE: 6 (DNSSEC Bogus): (no proof)"),
        "{text}"
    );
}

#[test]
fn a_stale_answer_comes_before_the_client_gives_up_and_at_once_the_next_time() {
    let mut answered = false;
    let upstream = Scripted::start(move |packet| {
        if std::mem::replace(&mut answered, true) {
            return Vec::new();
        }
        vec![answer_to(packet, [192, 0, 2, 1])]
    });
    let long = Gateway::start(upstream.address, "", "[dns.cache]\nmax_ttl = 1\n", &[]);
    let asked = || {
        let begun = Instant::now();
        let text = long.dig(&["+timeout=6", "once.example", "A"]);
        (text, begun.elapsed())
    };
    assert!(asked().0.contains("192.0.2.1"));
    std::thread::sleep(Duration::from_millis(1100));
    let (first, waited) = asked();
    assert!(
        first.contains("192.0.2.1") && first.contains("EDE: 3 (Stale Answer)"),
        "{first}"
    );
    assert!(waited < Duration::from_millis(2200), "{waited:?}");
    let before = upstream.seen().len();
    let (again, waited) = asked();
    assert!(again.contains("EDE: 3 (Stale Answer)"), "{again}");
    assert!(waited < Duration::from_millis(500), "{waited:?}");
    assert_eq!(
        upstream.seen().len(),
        before,
        "a failure a moment ago is not tried again at once"
    );
}
