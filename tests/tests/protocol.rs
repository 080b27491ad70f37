//! Bytes from outside that are not what they should be: never a crash, never more back than an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use isigurt_tests::{Authority, Gateway, Random, ask_tcp, ask_udp, query, rcode};

const SHORT: Duration = Duration::from_millis(150);
/// A header.
const BARE: usize = 12;

fn gateway() -> (Authority, Gateway) {
    let authority = Authority::start();
    let gateway = Gateway::start(authority.address, "", "", &[]);
    (authority, gateway)
}

fn alive(address: SocketAddr) {
    let answer =
        ask_udp(address, &query("pass.example", 1), Duration::from_secs(3)).expect("it still answers");
    assert_eq!(rcode(&answer), 0);
}

/// A query with an OPT record of this EDNS version and these flags.
fn with_opt(version: u8, flags: u16, options: &[u8]) -> Vec<u8> {
    let mut packet = query("pass.example", 1);
    packet[11] = 1;
    packet.extend([0, 0, 41, 4, 208, 0, version]);
    packet.extend(flags.to_be_bytes());
    packet.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
    packet.extend(options);
    packet
}

#[test]
fn malformed_packets_get_a_bare_header_or_nothing() {
    let (_authority, gateway) = gateway();
    let whole = with_opt(0, 0x8000, &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    let mut corpus: Vec<Vec<u8>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
    let question = |name: &[u8]| [&query("", 1)[..12], name, &[0, 1, 0, 1]].concat();
    corpus.push(question(b"\xc0\x0c")); // a pointer to itself
    corpus.push(question(b"\x01a\xc0\x0c")); // a loop
    corpus.push(question(b"\xc0\xff")); // past the end
    corpus.push(question(
        &[&[63][..], &[b'a'; 63]]
            .concat()
            .repeat(4)
            .into_iter()
            .chain([0])
            .collect::<Vec<_>>(),
    )); // 257 octets
    corpus.push(question(b"\x40a\x00")); // a label type that does not exist
    for (place, value) in [(5, 0), (5, 2), (7, 1), (9, 1), (11, 1), (11, 255), (6, 255)] {
        let mut packet = query("pass.example", 1);
        packet[place] = value; // counts that the sections do not bear out
        corpus.push(packet);
    }
    corpus.push([query("pass.example", 1), b"garbage".to_vec()].concat());
    for packet in &corpus {
        if let Some(answer) = ask_udp(gateway.address, packet, SHORT) {
            assert!(
                answer.len() == BARE && rcode(&answer) == 1,
                "{packet:02x?} got {answer:02x?}"
            );
            assert!(packet.len() >= BARE, "{packet:02x?}");
        }
    }
    alive(gateway.address);
}

#[test]
fn opcodes_classes_and_types_that_are_not_served_are_said_to_be() {
    let (_authority, gateway) = gateway();
    let send = |packet: &[u8]| ask_udp(gateway.address, packet, Duration::from_secs(2)).unwrap();
    for opcode in 1..16_u8 {
        let mut packet = query("pass.example", 1);
        packet[2] = opcode << 3 | 1;
        let answer = send(&packet);
        assert_eq!(
            (rcode(&answer), answer[2] >> 3 & 15, answer.len()),
            (4, opcode, BARE)
        );
    }
    for (qtype, class, expected) in [
        (41, 1, 1),
        (0, 1, 1),
        (252, 1, 5),
        (251, 1, 5),
        (250, 1, 4),
        (1, 3, 5),
        (1, 255, 5),
        (1, 1234, 5),
        (16, 3, 5),
    ] {
        let mut packet = query("version.bind", qtype);
        let length = packet.len();
        packet[length - 2..].copy_from_slice(&u16::to_be_bytes(class));
        assert_eq!(rcode(&send(&packet)), expected, "type {qtype} class {class}");
    }
    let mut response = query("pass.example", 1);
    response[2] |= 0x80;
    assert!(
        ask_udp(gateway.address, &response, SHORT).is_none(),
        "a response is never answered"
    );
    let any = send(&query("pass.example", 255));
    assert!(
        any.len() < 80 && any[7] == 1,
        "ANY is answered with one small record"
    );
}

#[test]
fn edns_is_answered_by_the_rules() {
    let (_authority, gateway) = gateway();
    let send = |packet: &[u8]| ask_udp(gateway.address, packet, Duration::from_secs(2)).unwrap();
    let opt_of = |answer: &[u8]| answer[answer.len() - 11..].to_vec();
    let version = send(&with_opt(1, 0, &[]));
    assert_eq!(
        (version.len(), opt_of(&version)[5], rcode(&version)),
        (23, 1, 0),
        "BADVERS is 16: 1 in OPT, 0 in the header"
    );
    let plain = send(&with_opt(0, 0xffff, &[0xff, 0xf0, 0, 2, 1, 2])); // unknown flags and an unknown option
    assert_eq!(
        &opt_of(&plain)[7..],
        [0x80, 0, 0, 0],
        "only DO comes back, and no option"
    );
    assert_eq!(
        rcode(&send(&with_opt(0, 0, &[0xff, 0xf0, 0, 9, 1]))),
        1,
        "an option longer than its record"
    );
    let none = send(&query("pass.example", 1));
    assert_ne!(opt_of(&none)[..3], [0, 0, 41], "no OPT in, no OPT out");
    let flags = send(&{
        let mut packet = query("pass.example", 1);
        packet[2] |= 0x04; // AA
        packet[3] |= 0xd0; // RA, Z, CD
        packet
    });
    assert_eq!(
        (flags[2], flags[3] & 0xf0),
        (0x81, 0x90),
        "QR RD, RA CD; neither AA nor Z"
    );
}

#[test]
fn a_thousand_random_datagrams_change_nothing() {
    let (_authority, gateway) = gateway();
    let mut random = Random::seeded();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..1000 {
        let mut packet: Vec<u8> = (0..random.below(600))
            .map(|_| u8::try_from(random.below(256)).unwrap())
            .collect();
        if random.below(2) == 0 && packet.len() >= 12 {
            packet[2] = 1;
            packet[3..12].copy_from_slice(&[0, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
        socket.send_to(&packet, gateway.address).unwrap();
    }
    alive(gateway.address);
}

#[test]
fn noise_over_tcp_gets_at_most_an_error() {
    let (_authority, gateway) = gateway();
    let mut random = Random::seeded();
    let noise: Vec<u8> = (0..65_536)
        .map(|_| u8::try_from(random.below(256)).unwrap())
        .collect();
    let back = ask_tcp(gateway.address, &noise, Duration::from_secs(1));
    assert!(back.len() <= 2 + BARE, "{} octets", back.len());
    for octets in [
        &b"\x00\x00"[..],
        b"\x00\x05abcde",
        b"\x00\x0c\x12\x34\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    ] {
        let back = ask_tcp(gateway.address, octets, Duration::from_secs(1));
        assert!(back.len() <= 2 + BARE, "{octets:?}: {} octets", back.len());
    }
    alive(gateway.address);
}

#[test]
fn pipelined_queries_on_one_connection_are_all_answered() {
    let (_authority, gateway) = gateway();
    let mut octets = Vec::new();
    for id in 0..3_u8 {
        let mut packet = query(["a.example", "pass.example", "localhost"][usize::from(id)], 1);
        packet[1] = id;
        octets.extend(u16::try_from(packet.len()).unwrap().to_be_bytes());
        octets.extend(packet);
    }
    let mut back = &ask_tcp(gateway.address, &octets, Duration::from_secs(1))[..];
    let mut ids = Vec::new();
    while back.len() > 2 {
        let length = usize::from(u16::from_be_bytes([back[0], back[1]]));
        ids.push(back[3]);
        back = &back[2 + length..];
    }
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2]);
}

#[test]
fn a_slow_client_is_let_go_and_holds_nobody_up() {
    let (_authority, gateway) = gateway();
    // More slow connections than one client may have: the ones beyond are closed at once, the rest after a while.
    let mut slow: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(gateway.address).unwrap())
        .collect();
    for stream in &mut slow {
        let _ = stream.write_all(&[0]);
    }
    alive(gateway.address);
    let started = Instant::now();
    for stream in &mut slow {
        stream.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
        let mut octet = [0];
        let ended = stream.read(&mut octet);
        assert!(
            matches!(ended, Ok(0))
                || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
        );
    }
    assert!(
        started.elapsed() < Duration::from_secs(11),
        "{:?}",
        started.elapsed()
    );
    alive(gateway.address);
}

#[test]
fn a_cookie_is_answered_with_one_that_proves_itself_and_a_connection_learns_how_long_it_may_idle() {
    let authority = Authority::start();
    let gateway = Gateway::start(authority.address, "", "", &[]);
    // dig keeps no cookie between runs: it shows what it got, and sends it back when told.
    let first = gateway.dig(&["+cookie", "localhost"]);
    let line = first
        .lines()
        .find(|line| line.contains("COOKIE:"))
        .unwrap_or_else(|| panic!("{first}"));
    assert!(line.contains("(good)"), "{first}");
    let cookie = line.split_whitespace().nth(2).unwrap();
    assert_eq!(cookie.len(), 48, "{cookie}");
    let again = gateway.dig(&[&format!("+cookie={cookie}"), "localhost"]);
    assert!(
        again.contains(&cookie[..16]) && again.contains("(good)"),
        "{again}"
    );
    assert!(!gateway.dig(&["+nocookie", "localhost"]).contains("COOKIE"));
    let tcp = gateway.dig(&["+tcp", "+keepalive", "localhost"]);
    assert!(
        tcp.contains("TCP-KEEPALIVE: 10.0 secs") || tcp.contains("TCP KEEPALIVE: 10.0 secs"),
        "{tcp}"
    );
    let udp = gateway.dig(&["+keepalive", "localhost"]);
    assert!(
        !udp.to_uppercase().contains("KEEPALIVE: 1"),
        "not over UDP: {udp}"
    );
    // A cookie of a length that none has is a malformed query.
    let mut packet = query("localhost", 1);
    packet[11] = 1;
    packet.extend_from_slice(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x09\x00\x0a\x00\x05abcde");
    let answer = ask_udp(gateway.address, &packet, Duration::from_secs(2)).unwrap();
    assert_eq!(rcode(&answer), 1);
}
