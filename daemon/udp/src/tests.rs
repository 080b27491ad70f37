//! Batches over real sockets on loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::{IpAddr, Ipv4Addr};

use super::*;

const PATIENCE: Duration = Duration::from_millis(500);

fn door(address: &str) -> UdpSocket {
    let socket = bind(address.parse().unwrap(), false).unwrap();
    let wildcard = socket.local_addr().unwrap().ip().is_unspecified();
    assert_eq!(prepare(&socket, PATIENCE).unwrap(), wildcard);
    socket
}

fn client(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn every_datagram_of_a_batch_is_answered_from_the_address_that_it_was_sent_to() {
    let door = door("0.0.0.0:0");
    let port = door.local_addr().unwrap().port();
    let clients: Vec<(UdpSocket, Ipv4Addr)> = (1..=20)
        .map(|last| (client("127.0.0.1:0"), Ipv4Addr::new(127, 0, 0, last)))
        .collect();
    for (place, (socket, to)) in clients.iter().enumerate() {
        socket
            .send_to(&[u8::try_from(place).unwrap()], (*to, port))
            .unwrap();
    }
    let mut batch = Batch::new(512, true);
    let mut answered = 0;
    while answered < clients.len() {
        let count = batch.receive(&door).unwrap();
        assert!(count > 1 || answered > 0, "datagrams that wait come together");
        for place in 0..count {
            let (packet, origin, reply) = batch.get(place).unwrap();
            assert_eq!(
                origin.local(),
                Some(IpAddr::from(clients[usize::from(packet[0])].1))
            );
            assert_eq!(
                origin.peer(),
                Some(clients[usize::from(packet[0])].0.local_addr().unwrap())
            );
            reply.extend_from_slice(&[packet[0], 7]);
        }
        assert_eq!(batch.send(&door), 0);
        answered += count;
    }
    for (place, (socket, to)) in clients.iter().enumerate() {
        let mut octets = [0; 16];
        let (length, from) = socket.recv_from(&mut octets).unwrap();
        assert_eq!(
            (&octets[..length], from),
            (&[u8::try_from(place).unwrap(), 7][..], (*to, port).into())
        );
    }
}

#[test]
fn ipv6_works_like_ipv4_and_late_replies_too() {
    let Ok(socket) = bind("[::]:0".parse().unwrap(), true) else {
        return eprintln!("skipped: no IPv6 here");
    };
    prepare(&socket, PATIENCE).unwrap();
    let port = socket.local_addr().unwrap().port();
    let client = client("[::1]:0");
    client.send_to(b"late", ("::1", port)).unwrap();
    let mut batch = Batch::new(64, true);
    assert_eq!(batch.receive(&socket).unwrap(), 1);
    let origin = *batch.get(0).unwrap().1;
    assert_eq!(origin.local(), Some("::1".parse().unwrap()));
    assert_eq!(batch.send(&socket), 0, "an empty reply is none");
    reply(&socket, b"answer", &origin).unwrap();
    let mut octets = [0; 16];
    let (length, from) = client.recv_from(&mut octets).unwrap();
    assert_eq!((&octets[..length], from.port()), (&b"answer"[..], port));
}

#[test]
fn waiting_ends_and_long_datagrams_are_cut() {
    let door = door("127.0.0.1:0");
    let mut batch = Batch::new(8, false);
    assert_eq!(
        batch.receive(&door).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    let client = client("127.0.0.1:0");
    client.send_to(&[1; 100], door.local_addr().unwrap()).unwrap();
    client.send_to(&[], door.local_addr().unwrap()).unwrap();
    let mut lengths = Vec::new();
    while lengths.len() < 2 {
        let count = batch.receive(&door).unwrap();
        lengths.extend((0..count).map(|place| batch.get(place).unwrap().0.len()));
    }
    assert_eq!(lengths, [8, 0]);
    assert!(batch.get(BATCH).is_none());
}

#[test]
fn sockets_that_share_an_address_serve_all_of_its_clients() {
    let one = bind("127.0.0.1:0".parse().unwrap(), true).unwrap();
    let address = one.local_addr().unwrap();
    let other = bind(address, true).unwrap();
    assert!(bind(address, false).is_err(), "nobody else takes part unasked");
    let mut batch = Batch::new(64, false);
    let mut seen = [0, 0];
    for _ in 0..64 {
        client("127.0.0.1:0").send_to(b"x", address).unwrap();
    }
    for (socket, count) in [&one, &other].into_iter().zip(&mut seen) {
        prepare(socket, Duration::from_millis(50)).unwrap();
        while let Ok(received) = batch.receive(socket) {
            *count += received;
        }
    }
    assert_eq!(seen.iter().sum::<usize>(), 64);
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
}
