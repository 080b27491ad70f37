//! What is let through: unharmed, from the cache, stale, and to whom.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use isigurt_tests::{Authority, Gateway, ask_udp, dig, query};

const LIST: &str = "[[lists]]\nid = \"one\"\nurl = \"{dir}/one\"\n";
const FILES: &[(&str, &str)] = &[("one", "||tree.example^\n")];

fn gateway(authority: &Authority) -> Gateway {
    Gateway::start(authority.address, "", LIST, FILES)
}

#[test]
fn every_type_passes_through_unharmed() {
    let authority = Authority::start();
    let gateway = gateway(&authority);
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
    let gateway = gateway(&authority);
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
    let gateway = gateway(&authority);
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
fn who_may_not_ask_is_refused_with_its_extended_error() {
    let authority = Authority::start();
    let folder_config = "allow_from = [\"127.0.0.77/32\"]";
    // The start is watched with a name that needs no permission to be refused.
    let gateway = Gateway::start(authority.address, folder_config, LIST, FILES);
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
    let gateway = gateway(&authority);
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
