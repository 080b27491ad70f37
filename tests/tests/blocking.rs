//! What lists block, and how a blocked name is answered.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use isigurt_tests::{Authority, Gateway, Scripted, ask_udp, query};

const LISTS: &str = "[[lists]]\nid = \"hosts\"\nurl = \"{dir}/hosts\"\ncategory = \"adult\"\n\
    [[lists]]\nid = \"adblock\"\nurl = \"{dir}/adblock\"\ncategory = \"gambling\"\n\
    [[lists]]\nid = \"rpz\"\nurl = \"{dir}/rpz\"\n\
    [[lists]]\nid = \"dnsmasq\"\nurl = \"{dir}/dnsmasq\"\n";
const FILES: &[(&str, &str)] = &[
    (
        "hosts",
        "0.0.0.0 exact.example\n0.0.0.0 B\u{fc}cher.example\n0.0.0.0 www.116111.test\n0.0.0.0 childline.org.uk\n",
    ),
    (
        "adblock",
        "||tree.example^\n@@||ok.tree.example^\n/^ads[0-9]+\\./\n||one.example^$dnstype=AAAA\n|r.example^$dnsrewrite=192.0.2.9\n",
    ),
    (
        "rpz",
        "$TTL 60\n@ SOA localhost. r. 1 2 3 4 5\nnx.example CNAME .\nnd.example CNAME *.\ndrop.example CNAME rpz-drop.\n\
        tcp.example CNAME rpz-tcp-only.\n*.wild.example CNAME .\nal.example CNAME target.pass.example.\n",
    ),
    ("dnsmasq", "address=/masq.example/\nlocal=/masq2.example/\n"),
];

fn gateway(authority: &Authority, dns: &str) -> Gateway {
    Gateway::start(authority.address, dns, LISTS, FILES)
}

#[test]
fn each_format_blocks_what_it_names_and_nothing_else() {
    let authority = Authority::start();
    let gateway = gateway(&authority, "");
    for (name, qtype, expected) in [
        ("exact.example", "A", "0.0.0.0"),
        ("EXACT.eXample", "A", "0.0.0.0"),
        ("www.exact.example", "A", "192.0.2.53"),
        ("xn--bcher-kva.example", "A", "0.0.0.0"),
        ("tree.example", "AAAA", "::"),
        ("a.b.tree.example", "A", "0.0.0.0"),
        ("x.ok.tree.example", "A", "192.0.2.53"),
        ("ads7.some.example", "A", "0.0.0.0"),
        ("one.example", "AAAA", "::"),
        ("one.example", "A", "192.0.2.53"),
        ("r.example", "A", "192.0.2.9"),
        ("masq.example", "A", "0.0.0.0"),
        ("x.masq2.example", "A", "0.0.0.0"),
        ("wild.example", "A", "192.0.2.53"),
        ("childline.org.uk", "A", "192.0.2.53"), // a helpline, whatever a list says
    ] {
        assert_eq!(
            gateway.dig(&["+short", name, qtype]).trim(),
            expected,
            "{name} {qtype}"
        );
    }
    for (name, expected) in [
        ("nx.example", "NXDOMAIN"),
        ("a.wild.example", "NXDOMAIN"),
        ("nd.example", "NOERROR"),
    ] {
        let text = gateway.dig(&[name, "A"]);
        assert!(
            text.contains(&format!("status: {expected}")) && text.contains("ANSWER: 0"),
            "{text}"
        );
    }
    assert!(
        ask_udp(
            gateway.address,
            &query("drop.example", 1),
            Duration::from_millis(300)
        )
        .is_none()
    );
    assert!(gateway.dig(&["+ignore", "tcp.example", "A"]).contains(" tc "));
    assert_eq!(
        gateway.dig(&["+short", "+tcp", "tcp.example", "A"]).trim(),
        "192.0.2.53"
    );
    assert_eq!(
        gateway.dig(&["+short", "al.example", "A"]).trim(),
        "target.pass.example.\n192.0.2.7"
    );
}

#[test]
fn a_list_reaches_below_its_names_where_the_configuration_says_so() {
    let authority = Authority::start();
    let list = "[[lists]]\nid = \"deep\"\nurl = \"{dir}/deep\"\nsubdomains = true\n\
        [[lists]]\nid = \"flat\"\nurl = \"{dir}/flat\"\nformat = \"domains\"\nsubdomains = false\n";
    let files = [("deep", "0.0.0.0 deep.example\n"), ("flat", "flat.example\n")];
    let gateway = Gateway::start(authority.address, "", list, &files);
    for (name, expected) in [
        ("deep.example", "0.0.0.0"),
        ("a.b.deep.example", "0.0.0.0"),
        ("notdeep.example", "192.0.2.53"),
        ("flat.example", "0.0.0.0"),
        ("a.flat.example", "192.0.2.53"),
    ] {
        assert_eq!(gateway.dig(&["+short", name, "A"]).trim(), expected, "{name}");
    }
}

#[test]
fn each_block_answer_is_as_the_manual_says_for_every_type_with_its_extended_error() {
    let authority = Authority::start();
    for (answer, status, a, aaaa, soa) in [
        ("null", "NOERROR", Some("0.0.0.0"), Some("::"), true),
        ("nxdomain", "NXDOMAIN", None, None, true),
        ("nodata", "NOERROR", None, None, true),
        ("refused", "REFUSED", None, None, false),
        ("page", "NOERROR", Some("127.0.0.1"), None, true),
    ] {
        let dns = format!("block_answer = \"{answer}\"\nblock_ttl = 77");
        let gateway = gateway(&authority, &dns);
        for (qtype, expected) in [
            ("A", a),
            ("AAAA", aaaa),
            ("HTTPS", None),
            ("SVCB", None),
            ("TXT", None),
            ("MX", None),
            ("ANY", None),
            ("TYPE65280", None),
        ] {
            let text = gateway.dig(&["+notcp", "tree.example", qtype]);
            let about = format!("{answer} {qtype}: {text}");
            assert!(text.contains(&format!("status: {status},")), "{about}");
            assert!(text.contains("EDE: 17 "), "{about}");
            let has_soa = text.contains("AUTHORITY: 1");
            match expected {
                Some(address) => {
                    let record = format!("\t77\tIN\t{qtype}\t{address}\n");
                    assert!(text.contains(&record) && text.contains("ANSWER: 1"), "{about}");
                }
                None => assert!(text.contains("ANSWER: 0") && has_soa == soa, "{about}"),
            }
        }
        let text = gateway.dig(&["+noedns", "tree.example", "A"]);
        assert!(
            !text.contains("EDE") && !text.contains("OPT PSEUDO"),
            "{answer}: {text}"
        );
    }
}

#[test]
fn a_school_says_blocked_instead_of_filtered() {
    let authority = Authority::start();
    let gateway = Gateway::start(
        authority.address,
        "",
        &format!("{LISTS}[settings]\nsite = \"school\"\n"),
        FILES,
    );
    assert!(gateway.dig(&["tree.example", "A"]).contains("EDE: 15"));
}

#[test]
fn the_question_comes_back_in_the_letters_it_was_asked_in() {
    let authority = Authority::start();
    let gateway = gateway(&authority, "");
    // Blocked, forwarded, from the cache, special-use: each is made in another place.
    for name in [
        "tReE.eXample",
        "PasS.example",
        "paSS.Example",
        "LOCALhost",
        "X.oNioN",
    ] {
        let packet = query(name, 1);
        let answer = ask_udp(gateway.address, &packet, Duration::from_secs(2)).unwrap();
        assert_eq!(answer[12..packet.len()], packet[12..], "{name}");
        assert_eq!(answer[..2], packet[..2], "{name}");
    }
}

#[test]
fn addresses_in_answers_are_policy_too() {
    let zone = "$TTL 60\n@ SOA localhost. root.localhost. 1 2 3 4 5\n24.0.2.0.192.rpz-ip CNAME .\n\
        32.53.2.0.192.rpz-ip CNAME rpz-passthru.\n48.zz.db8.2001.rpz-ip CNAME *.\n";
    let list = "[[lists]]\nid = \"z\"\nurl = \"{dir}/zone\"\nformat = \"rpz\"\ncategory = \"malware\"\n";
    let upstream = Scripted::start(|packet| {
        let end = packet[12..].iter().position(|&octet| octet == 0).unwrap() + 17;
        let mut answer = packet[..end].to_vec();
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        // The first octet of the name is the last of the address.
        let (last, wide) = (packet[13], packet[end - 3] == 28);
        let head: &[u8] = if wide {
            b"\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        } else {
            b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02"
        };
        answer.extend(head);
        answer.push(last);
        vec![answer]
    });
    let gateway = Gateway::start(upstream.address, "", list, &[("zone", zone)]);
    for _ in 0..2 {
        // From the upstream, then from the cache.
        let text = gateway.dig(&["7.example", "A"]);
        assert!(
            text.contains("NXDOMAIN") && text.contains("(malware)"),
            "192.0.2.55: {text}"
        );
        assert_eq!(gateway.dig(&["+short", "5.example", "A"]).trim(), "192.0.2.53");
        let text = gateway.dig(&["7.example", "AAAA"]);
        assert!(
            text.contains("NOERROR") && text.contains("ANSWER: 0") && text.contains("(malware)"),
            "{text}"
        );
    }
    let why = gateway.command(&["why", "192.0.2.9"]);
    let why = String::from_utf8(why.stdout).unwrap();
    assert!(
        why.contains("192.0.2.9 is blocked") && why.contains("192.0.2.0/24 in an answer"),
        "{why}"
    );
    assert!(
        why.contains("line 3") && why.contains("category: malware"),
        "{why}"
    );
}

#[test]
fn why_tells_of_an_alias_that_leads_to_a_blocked_name() {
    let zone = tempfile::tempdir().unwrap();
    let file = zone.path().join("zone");
    std::fs::write(
        &file,
        "$ORIGIN .\n$TTL 300\n. SOA ns. admin. 1 3600 600 86400 300\n. NS ns.\nns. A 192.0.2.1\n\
         cloak.example. CNAME edge.tracker.example.\n\
         allowed.example. CNAME edge.tracker.example.\nedge.tracker.example. A 192.0.2.7\n",
    )
    .unwrap();
    let authority = Authority::with_zone(&file);
    let list = "[[lists]]\nid = \"t\"\nurl = \"{dir}/list\"\nformat = \"domains\"\ncategory = \"malware\"\n";
    let gateway = Gateway::start(authority.address, "", list, &[("list", "tracker.example\n")]);
    let why = || String::from_utf8(gateway.command(&["why", "cloak.example"]).stdout).unwrap();
    assert!(why().contains("is allowed"), "before anybody asked: {}", why());
    assert_eq!(gateway.dig(&["+short", "cloak.example", "A"]).trim(), "0.0.0.0");
    let why = why();
    assert!(
        why.contains("is blocked") && why.contains("leads to edge.tracker.example"),
        "{why}"
    );
    assert!(
        why.contains("category: malware") && why.contains("line 1"),
        "{why}"
    );
    // What the household opens by name leads there, and `why` says so.
    gateway.says(&["grant", "all", "allowed.example"], true);
    assert_eq!(
        gateway.dig(&["+short", "allowed.example", "A"]).lines().last(),
        Some("192.0.2.7")
    );
    let why = gateway.says(&["why", "allowed.example"], true);
    assert!(why.contains("is allowed") && !why.contains("leads to"), "{why}");
}
