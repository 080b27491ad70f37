//! A host with several addresses: each answer leaves from the address that was asked, over IPv4, IPv6 and link-local IPv6,
//! whether it is made by a worker or waited for an upstream. In a network namespace of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::process::{Child, Command};
use std::time::Duration;

use isigurt_tests::namespace::{ip, run_inside};
use isigurt_tests::{Scripted, ask_udp, has_address, program, query, terminate, wait_for};

const PORT: u16 = 5300;
const PATIENCE: Duration = Duration::from_secs(3);

#[test]
fn each_answer_leaves_from_the_address_that_was_asked() {
    run_inside("inside", "link add v0 type veth peer name v1");
}

/// The gateway on all addresses of both families.
struct Everywhere {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Everywhere {
    fn start(upstream: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().display();
        std::fs::write(folder.path().join("list"), "blocked.example\n").unwrap();
        let text = format!(
            "state_dir = \"{own}/state\"\n[dns]\nlisten = [\"0.0.0.0:{PORT}\", \"[::]:{PORT}\"]\nthreads = 2\n\
             [web]\nlisten = []\n[upstream]\nservers = [\"udp://{upstream}\"]\ndnssec = \"off\"\n\
             [[lists]]\nid = \"l\"\nurl = \"{own}/list\"\nformat = \"domains\"\ncategory = \"adult\"\n"
        );
        let config = folder.path().join("gateway.toml");
        std::fs::write(&config, text).unwrap();
        let child = Command::new(program("isigurtd"))
            .args(["run", "--config"])
            .arg(&config)
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        wait_for("the gateway", || {
            ask_udp(
                ([127, 0, 0, 1], PORT).into(),
                &query("localhost", 1),
                Duration::from_millis(100),
            )
            .is_some()
        });
        Self {
            child,
            _folder: folder,
        }
    }
}

impl Drop for Everywhere {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// A socket that takes datagrams from `to` only.
fn connected(to: SocketAddr) -> UdpSocket {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn received(socket: &UdpSocket, what: &str) -> Vec<u8> {
    let mut answer = [0; 1232];
    let length = socket
        .recv(&mut answer)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    answer[..length].to_vec()
}

/// An upstream that knows one address for every name.
fn upstream() -> Scripted {
    Scripted::start(|packet| {
        let question = packet[12..].iter().position(|&octet| octet == 0).unwrap() + 5;
        let mut answer = packet[..12 + question].to_vec();
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        answer.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07");
        vec![answer]
    })
}

#[test]
#[ignore = "run by the test above, inside a namespace"]
fn inside() {
    for arguments in [
        "link set lo up",
        "link add v0 type veth peer name v1",
        "link set v1 up",
        "addr add 10.9.0.1/24 dev v0",
        "addr add 10.9.0.2/24 dev v0",
        "-6 addr add fd00:9::1/64 dev v0 nodad",
        "-6 addr add fd00:9::2/64 dev v0 nodad",
        "link set v0 up",
        "-6 addr add fe80::9/64 dev v0 nodad",
    ] {
        ip(arguments);
    }
    let shown = Command::new("ip")
        .args(["-o", "link", "show", "v0"])
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let number = shown.split(':').next().unwrap().trim().parse().unwrap();
    let link_local = SocketAddrV6::new("fe80::9".parse().unwrap(), PORT, 0, number);
    let addresses: Vec<SocketAddr> = vec![
        ([10, 9, 0, 1], PORT).into(),
        ([10, 9, 0, 2], PORT).into(),
        ([127, 0, 0, 1], PORT).into(),
        format!("[fd00:9::1]:{PORT}").parse().unwrap(),
        format!("[fd00:9::2]:{PORT}").parse().unwrap(),
        link_local.into(),
    ];
    let upstream = upstream();
    let _gateway = Everywhere::start(upstream.address);
    for (place, &to) in addresses.iter().enumerate() {
        let socket = connected(to);
        socket.send(&query("www.blocked.example", 1)).unwrap();
        assert!(has_address(&received(&socket, &format!("blocked, {to}")), [0; 4]));
        // Forwarded, then cached.
        for what in ["forwarded", "cached"] {
            socket.send(&query(&format!("name{place}.example"), 1)).unwrap();
            assert!(has_address(
                &received(&socket, &format!("{what}, {to}")),
                [192, 0, 2, 7]
            ));
        }
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let packet = query("blocked.example", 1);
        stream
            .write_all(&[&u16::try_from(packet.len()).unwrap().to_be_bytes()[..], &packet].concat())
            .unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).unwrap();
        assert!(has_address(&answer, [0; 4]), "TCP, {to}");
    }
    // Bursts, so that one batch holds queries to different addresses.
    let sockets: Vec<UdpSocket> = (0..60)
        .map(|place| connected(addresses[place % addresses.len()]))
        .collect();
    for round in 0..20_u8 {
        for (place, socket) in sockets.iter().enumerate() {
            let mut packet = query("blocked.example", 1);
            packet[..2].copy_from_slice(&[round, u8::try_from(place).unwrap()]);
            socket.send(&packet).unwrap();
        }
        for (place, socket) in sockets.iter().enumerate() {
            let answer = received(socket, &format!("round {round}, {:?}", socket.peer_addr()));
            assert_eq!(answer[..2], [round, u8::try_from(place).unwrap()]);
        }
    }
}
