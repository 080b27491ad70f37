//! The same queries to the gateway and to another resolver (Unbound), both in front of the same authoritative server (NSD):
//! for names that are allowed both must say the same. What differs on purpose stands in [`comparable`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::Record;
use isigurt_tests::{Authority, Gateway, Random, ask_udp, free_address, query, system, terminate, wait_for};
use tempfile::TempDir;

const QUERIES: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(5);

/// Unbound as a forwarder to the authority.
struct Other {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Other {
    fn start(authority: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        // No validation, no answers of its own, nothing refused: what it says is what it was told, made canonical.
        let text = format!(
            "server:\n  interface: {}@{}\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  \
             use-syslog: no\n  directory: \"{}\"\n  num-threads: 1\n  do-not-query-localhost: no\n  \
             module-config: \"iterator\"\n  edns-buffer-size: 1232\n  max-udp-size: 1232\n  \
             minimal-responses: yes\nforward-zone:\n  name: \".\"\n  forward-addr: {}@{}\nremote-control:\n  \
             control-enable: no\n",
            address.ip(),
            address.port(),
            folder.path().display(),
            authority.ip(),
            authority.port()
        );
        let file = folder.path().join("unbound.conf");
        std::fs::write(&file, text).unwrap();
        let child = Command::new(system("unbound"))
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let other = Self {
            child,
            address,
            _folder: folder,
        };
        wait_for("unbound", || {
            ask_udp(address, &query("a.example", 1), Duration::from_millis(200)).is_some()
        });
        other
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// Names of the zone, and what lies around them.
const NAMES: &[&str] = &[
    "a.example",
    "mixed.case.example",
    "mail.example",
    "mx1.example",
    "srv.example",
    "svc.example",
    "host.example",
    "ptr.example",
    "cname1.example",
    "cname2.example",
    "dangling.example",
    "nodata.example",
    "loop1.example",
    "www.dname.example",
    "deep.dname.example",
    "none.dname.example",
    "www.target.example",
    "one.wild.example",
    "two.three.wild.example",
    "known.wild.example",
    "wild.example",
    "x.y.z.empty.example",
    "y.z.empty.example",
    "empty.example",
    "_service._tcp.example",
    "xn--bcher-kva.example",
    "short.example",
    "big.example",
    "many.example",
    "nowhere.example",
    "deep.nowhere.example",
    "nowhere.org",
    "example",
    "localhost",
    "printer.local",
    "x.onion",
    "x.test",
    "x.invalid",
    "1.0.0.10.in-addr.arpa",
    "8.8.8.8.in-addr.arpa",
];
const TYPES: &[u16] = &[
    1, 28, 5, 15, 16, 2, 6, 12, 13, 29, 33, 35, 39, 43, 44, 46, 48, 52, 64, 65, 99, 256, 257, 65_280, 65_399,
];

/// A query with its name, type, and whether it has an OPT record.
struct Asked {
    packet: Vec<u8>,
    name: String,
    qtype: u16,
    edns: bool,
}

/// A query as clients send them, and as odd ones do.
fn asked(random: &mut Random) -> Asked {
    let mut name = NAMES[random.below(NAMES.len())].to_owned();
    if random.below(8) == 0 {
        name = format!("x{}.{name}", random.below(5));
    }
    let mut qtype = TYPES[if random.below(2) == 0 {
        random.below(2)
    } else {
        random.below(TYPES.len())
    }];
    if name.ends_with("localhost") && qtype == 43 {
        qtype = 1; // Unbound asks the parent for the DS record of its own zone
    }
    let mut packet = query(&name, qtype);
    let id = u16::try_from(random.below(65_536)).unwrap().to_be_bytes();
    packet[..2].copy_from_slice(&id);
    let end = packet.len() - 5;
    let odd = random.below(40);
    if odd == 0 {
        packet[13] = [b' ', 0, b'.', 0xff, b'\\'][random.below(5)]; // any octet may stand in a name (RFC 2181, section 11)
    }
    for octet in &mut packet[13..end] {
        if octet.is_ascii_lowercase() && random.below(3) == 0 {
            *octet = octet.to_ascii_uppercase();
        }
    }
    if random.below(6) == 0 {
        packet[3] |= 0x10; // CD
    }
    if random.below(6) == 0 {
        packet[3] |= 0x20; // AD
    }
    let edns = random.below(2) == 0;
    if edns {
        let size = [512_u16, 1232, 4096, 700][random.below(4)].to_be_bytes();
        let dnssec_ok = [0_u8, 0x80][random.below(2)];
        let options: &[u8] = [&b""[..], b"\x00\x03\x00\x00", b"\xff\x00\x00\x02ab"][random.below(3)];
        packet[11] = 1;
        packet.extend([0, 0, 41, size[0], size[1], 0, 0, dnssec_ok, 0, 0]);
        packet.push(u8::try_from(options.len()).unwrap());
        packet.extend(options);
    }
    Asked {
        packet,
        name,
        qtype,
        edns,
    }
}

/// The answer; over TCP where it does not fit a datagram. And whether it did not.
fn answer(to: SocketAddr, socket: &UdpSocket, asked: &Asked) -> (Vec<u8>, bool) {
    socket.send_to(&asked.packet, to).unwrap();
    let mut octets = vec![0; 65_535];
    let length = loop {
        let (length, from) = socket.recv_from(&mut octets).expect("an answer");
        if from == to && octets[..2] == asked.packet[..2] {
            break length;
        }
    };
    octets.truncate(length);
    if octets[2] & 2 == 0 {
        return (octets, false);
    }
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = u16::try_from(asked.packet.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &asked.packet].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut octets).unwrap();
    (octets, true)
}

/// What must be equal of two answers, as text.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    header: String,
    question: Vec<u8>,
    answers: BTreeSet<String>,
    authorities: BTreeSet<String>,
    additionals: usize,
    dnssec_ok: Option<bool>,
}

/// An answer without what may differ: AA, order, TTLs (checked against the zone's), and the sender's own OPT values.
/// Of a question for DNAME itself below a DNAME no authority: Unbound leaves out the SOA that NSD sends (RFC 2308, section 2.2).
/// Of a special-use name (RFC 6761, 6303, 7686) only code and emptiness are compared: each answers with a SOA of its own.
fn comparable(asked: &Asked, octets: &[u8]) -> Said {
    let message = Message::from_vec(octets).unwrap_or_else(|error| panic!("{error}: {octets:02x?}"));
    let special = [
        "localhost",
        "local",
        "onion",
        "test",
        "invalid",
        "10.in-addr.arpa",
    ]
    .iter()
    .any(|end| asked.name.ends_with(end));
    let text = |records: &[Record]| -> BTreeSet<String> {
        let all = records.iter().map(|record| {
            assert!(record.ttl <= 10_800, "{record}: above the zone's");
            let (owner, kind) = (record.name.to_lowercase(), record.record_type());
            let data = record.data.to_string();
            // Letter case matters in text, not in names.
            let data = if u16::from(kind) == 16 {
                data
            } else {
                data.to_ascii_lowercase()
            };
            format!("{owner} {kind} {data}")
        });
        if special { BTreeSet::new() } else { all.collect() }
    };
    let below_dname = asked.qtype == 39 && asked.name.ends_with(".dname.example");
    let [high, low] = [octets[2] & !0x04, octets[3]];
    let question = octets[12..asked.packet[12..].iter().position(|&octet| octet == 0).unwrap() + 17].to_vec();
    Said {
        header: format!(
            "{high:02x} {low:02x} {}",
            u16::from_be_bytes([octets[4], octets[5]])
        ),
        question,
        answers: text(&message.answers),
        authorities: if below_dname {
            BTreeSet::new()
        } else {
            text(&message.authorities)
        },
        additionals: message.additionals.len(),
        dnssec_ok: message.edns.as_ref().map(|edns| edns.flags().dnssec_ok),
    }
}

#[test]
fn ten_thousand_queries_get_what_another_resolver_answers() {
    let zone = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/differential.zone");
    let authority = Authority::with_zone(&zone);
    let other = Other::start(authority.address);
    let gateway = Gateway::start(authority.address, "rebind_protection = false", "", &[]);
    let mut random = Random::seeded();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut truncated, mut failed) = (0, Vec::new());
    for _ in 0..QUERIES {
        let asked = asked(&mut random);
        let (ours, long) = answer(gateway.address, &socket, &asked);
        let (theirs, _) = answer(other.address, &socket, &asked);
        truncated += usize::from(long);
        let (ours, theirs) = (comparable(&asked, &ours), comparable(&asked, &theirs));
        assert_eq!(
            ours.dnssec_ok.is_some(),
            asked.edns,
            "an OPT record for an OPT record"
        );
        if ours != theirs {
            failed.push(format!(
                "{} {} ({:02x?})\n   ours {ours:?}\n theirs {theirs:?}",
                asked.name, asked.qtype, asked.packet
            ));
        }
    }
    eprintln!(
        "{QUERIES} queries, {truncated} of them over TCP in the end, {} differ",
        failed.len()
    );
    assert!(truncated > 0);
    assert!(failed.is_empty(), "{}", failed[..failed.len().min(12)].join("\n"));
}
