//! How names are answered: blocked, special, passed through, from the cache, stale.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use isigurt_tests::{Authority, Gateway, ask_udp, dig, free_address, query, rcode, wait_for};

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
fn each_block_answer_is_as_the_manual_says_with_its_extended_error() {
    let authority = Authority::start();
    for (answer, a, https, status) in [
        ("null", "\t0.0.0.0", "AUTHORITY: 1", "NOERROR"),
        ("nxdomain", "AUTHORITY: 1", "AUTHORITY: 1", "NXDOMAIN"),
        ("nodata", "AUTHORITY: 1", "AUTHORITY: 1", "NOERROR"),
        ("refused", "ANSWER: 0", "ANSWER: 0", "REFUSED"),
        ("page", "\t127.0.0.1", "AUTHORITY: 1", "NOERROR"),
    ] {
        let gateway = gateway(
            &authority,
            &format!("block_answer = \"{answer}\"\nblock_ttl = 77"),
        );
        let text = gateway.dig(&["tree.example", "A"]);
        assert!(
            text.contains(a) && text.contains(status) && text.contains("EDE: 17"),
            "{answer}: {text}"
        );
        let text = gateway.dig(&["tree.example", "HTTPS"]);
        assert!(
            text.contains(https) && text.contains("ANSWER: 0"),
            "{answer}: {text}"
        );
        let text = gateway.dig(&["+noedns", "tree.example", "A"]);
        assert!(
            !text.contains("EDE") && !text.contains("OPT PSEUDO"),
            "{answer}: {text}"
        );
        if answer == "null" {
            assert!(gateway.dig(&["tree.example", "A"]).contains("\t77\t"));
        }
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
fn every_type_passes_through_unharmed() {
    let authority = Authority::start();
    let gateway = gateway(&authority, "");
    for (name, qtype) in [
        ("pass.example", "A"),
        ("pass.example", "AAAA"),
        ("pass.example", "MX"),
        ("pass.example", "TXT"),
        ("pass.example", "HTTPS"),
        ("_dns.pass.example", "SVCB"),
        ("pass.example", "TYPE65280"),
        ("alias.pass.example", "A"),
        ("big.pass.example", "TXT"),
        ("53.2.0.198.in-addr.arpa", "PTR"),
    ] {
        let sorted = |text: String| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let direct = sorted(dig(authority.address, &["+short", name, qtype]));
        assert!(!direct.is_empty(), "{name} {qtype}");
        assert_eq!(
            sorted(gateway.dig(&["+short", name, qtype])),
            direct,
            "{name} {qtype}"
        );
        assert_eq!(
            sorted(gateway.dig(&["+short", name, qtype])),
            direct,
            "{name} {qtype} from the cache"
        );
    }
    let kdig = std::process::Command::new(isigurt_tests::system("kdig"))
        .args([
            "@127.0.0.1",
            "-p",
            &gateway.address.port().to_string(),
            "+short",
            "pass.example",
            "HTTPS",
        ])
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&kdig.stdout).contains("ipv4hint"),
        "{kdig:?}"
    );
}

#[test]
fn a_large_answer_over_udp_is_truncated_and_whole_over_tcp() {
    let authority = Authority::start();
    let gateway = gateway(&authority, "");
    let answer = ask_udp(
        gateway.address,
        &query("big.pass.example", 16),
        Duration::from_secs(3),
    )
    .unwrap();
    assert!(
        answer.len() <= 512 && answer[2] & 2 != 0,
        "{} octets",
        answer.len()
    );
    assert!(
        gateway
            .dig(&["+tcp", "big.pass.example", "TXT"])
            .contains("ANSWER: 7")
    );
}

#[test]
fn ttls_count_down_in_the_cache_and_stale_answers_stand_in_for_a_dead_upstream() {
    let authority = Authority::start();
    let gateway = gateway(&authority, "");
    let ttl = |text: &str| -> u32 {
        let line = text
            .lines()
            .find(|line| !line.starts_with(';') && line.contains("IN\tA"))
            .unwrap()
            .to_owned();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert_eq!(ttl(&gateway.dig(&["pass.example", "A"])), 300);
    assert_eq!(ttl(&gateway.dig(&["short.pass.example", "A"])), 2);
    std::thread::sleep(Duration::from_millis(2200));
    assert!((297..300).contains(&ttl(&gateway.dig(&["pass.example", "A"]))));
    drop(authority);
    let text = gateway.dig(&["short.pass.example", "A"]);
    assert!(
        text.contains("EDE: 3 ") && ttl(&text) == 30 && text.contains("192.0.2.8"),
        "{text}"
    );
    let text = gateway.dig(&["never-seen.example", "A"]);
    assert!(
        text.contains("SERVFAIL") && (text.contains("EDE: 22") || text.contains("EDE: 23")),
        "{text}"
    );
    assert_eq!(
        gateway.dig(&["+short", "tree.example", "A"]).trim(),
        "0.0.0.0",
        "blocking needs no upstream"
    );
    let status = gateway.command(&["status"]);
    assert!(
        String::from_utf8_lossy(&status.stdout).contains("degraded"),
        "{status:?}"
    );
}

#[test]
fn special_use_names_never_leave_and_configured_zones_go_to_their_server() {
    // An upstream that only notes what it is asked.
    let listener = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    listener
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let authority = Authority::start();
    let zone = format!(
        "[[upstream.zone]]\nzones = [\"lan.test\"]\nservers = [\"udp://{}\"]\n",
        authority.address
    );
    let gateway = Gateway::start(listener.local_addr().unwrap(), "", &zone, &[]);
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
    let mut seen = [0; 512];
    assert!(
        listener.recv(&mut seen).is_err(),
        "a special-use name was asked upstream: {seen:?}"
    );
    let _ = ask_udp(
        gateway.address,
        &query("ordinary.example", 1),
        Duration::from_millis(100),
    );
    assert!(
        listener.recv(&mut seen).is_ok(),
        "the listener would have seen it"
    );
}

#[test]
fn who_may_not_ask_is_refused_with_its_extended_error() {
    let authority = Authority::start();
    let folder_config = "allow_from = [\"127.0.0.77/32\"]";
    // The start is watched with a name that needs no permission to be refused.
    let gateway = Gateway::start(authority.address, folder_config, LISTS, FILES);
    let text = gateway.dig(&["pass.example", "A"]);
    assert!(text.contains("REFUSED") && text.contains("EDE: 18"), "{text}");
    assert_eq!(
        gateway
            .dig(&["-b", "127.0.0.77", "+short", "pass.example", "A"])
            .trim(),
        "192.0.2.1"
    );
}

#[tokio::test]
async fn a_client_of_the_hickory_library_gets_the_same_answers() {
    use hickory_net::client::{Client, ClientHandle};
    use hickory_net::runtime::TokioRuntimeProvider;
    use hickory_net::udp::UdpClientStream;
    use hickory_proto::rr::{DNSClass, Name, RecordType};
    let authority = Authority::start();
    let gateway = gateway(&authority, "");
    let runtime = TokioRuntimeProvider::new();
    let stream = UdpClientStream::builder(gateway.address, runtime.clone()).build();
    let (mut client, background) = Client::<TokioRuntimeProvider>::from_sender(stream);
    let background = tokio::spawn(background);
    for (name, expected) in [("tree.example.", "0.0.0.0"), ("pass.example.", "192.0.2.1")] {
        let answer = client
            .query(Name::from_ascii(name).unwrap(), DNSClass::IN, RecordType::A)
            .await
            .unwrap();
        assert_eq!(answer.answers[0].data.to_string(), expected, "{name}");
    }
    background.abort();
}

#[test]
fn a_changed_list_is_in_force_after_sighup_and_a_broken_one_changes_nothing() {
    let authority = Authority::start();
    let gateway = gateway(&authority, "");
    let file = gateway.folder.path().join("hosts");
    assert_eq!(
        gateway.dig(&["+short", "later.example", "A"]).trim(),
        "192.0.2.53"
    );
    std::fs::write(&file, "0.0.0.0 later.example\n").unwrap();
    gateway.signal("HUP");
    wait_for("the new list", || {
        gateway.dig(&["+short", "later.example", "A"]).trim() == "0.0.0.0"
    });
    for (place, broken) in ["<!DOCTYPE html><html>", "\u{0}\u{1}\u{2}"].iter().enumerate() {
        std::fs::write(&file, broken).unwrap();
        gateway.signal("HUP");
        gateway.wait_for_log("last good version stays in force", place + 1);
        assert_eq!(gateway.dig(&["+short", "later.example", "A"]).trim(), "0.0.0.0");
    }
    std::fs::remove_file(&file).unwrap();
    gateway.signal("HUP");
    gateway.wait_for_log("last good version stays in force", 3);
    assert_eq!(gateway.dig(&["+short", "later.example", "A"]).trim(), "0.0.0.0");
    let status = gateway.command(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["state"], "degraded");
    assert!(
        status["problems"][0].as_str().unwrap().contains("hosts"),
        "{status}"
    );
    // A configuration that cannot be read leaves everything as it is.
    std::fs::write(&gateway.config, "[dsn]\n").unwrap();
    gateway.signal("HUP");
    gateway.wait_for_log("reload failed", 1);
    assert_eq!(gateway.dig(&["+short", "later.example", "A"]).trim(), "0.0.0.0");
}

#[test]
fn sigterm_answers_what_is_under_way_and_ends_with_zero() {
    // An upstream that answers after 200 ms.
    let slow = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = slow.local_addr().unwrap();
    let authority = Authority::start();
    let real = authority.address;
    std::thread::spawn(move || {
        let mut packet = [0; 1500];
        while let Ok((length, from)) = slow.recv_from(&mut packet) {
            let answer = ask_udp(real, &packet[..length], Duration::from_secs(1));
            std::thread::sleep(Duration::from_millis(200));
            let _ = answer.map(|answer| slow.send_to(&answer, from));
        }
    });
    let mut gateway = Gateway::start(address, "", "", &[]);
    let to = gateway.address;
    let waiting = std::thread::spawn(move || ask_udp(to, &query("slow.example", 1), Duration::from_secs(3)));
    std::thread::sleep(Duration::from_millis(80));
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    assert_eq!(rcode(&waiting.join().unwrap().expect("an answer")), 0);
    let _ = free_address();
}
