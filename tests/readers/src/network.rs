//! What comes from the network: queries, answers, neighbours, leases, requests of browsers.

use isigurt_core::cache::Cache;
use isigurt_core::wire::finished::{Age, Finished, TtlBounds};
use isigurt_core::wire::query::Query;
use isigurt_core::wire::{reply, targets};
use isigurtd::clients::{self, Mac};
use isigurtd::web::gate::Hosts;

use crate::{Reader, texts};

pub(crate) const READERS: &[Reader] = &[
    Reader {
        name: "query",
        read: query,
        examples: || vec![QUERY.to_vec()],
    },
    Reader {
        name: "answer",
        read: answer,
        examples: || vec![message()],
    },
    Reader {
        name: "saved_cache",
        read: saved_cache,
        examples: || vec![saved()],
    },
    Reader {
        name: "neighbours",
        read: neighbours,
        examples: || vec![[neighbour(28, 2, &[192, 0, 2, 1]), neighbour(29, 10, &[0x20; 16])].concat()],
    },
    Reader {
        name: "leases",
        read: leases,
        examples: || texts(&[LEASES, "duid 00:01:00:01\n"]),
    },
    Reader {
        name: "host_header",
        read: host_header,
        examples: || texts(&["gateway.home.arpa:8080", "[fd00::1]:80", "192.168.1.1"]),
    },
];

const QUERY: &[u8] =
    b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x03wWw\x07example\x00\x00\x01\x00\x01\
    \x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x0c\x00\x0a\x00\x08cookie12";
const BOUNDS: TtlBounds = TtlBounds { min: 0, max: 86_400 };
const LEASES: &str = "1893456000 02:00:00:00:00:01 192.168.1.20 anas-tab 01:02:00:00:00:00:01\n\
    1893456000 1234 fd00::20 * 00:01:00:01\n\
    # br-lan 020000000002 ipv4 my\\x20tab 1893456000 21 192.168.1.21/32\n\
    # br-lan 00010001 1a2b tv 1893456000 22 128 fd00::22/128\n";

/// What is answered is a header at least, a fault's answer no longer than its query.
fn query(octets: &[u8]) {
    let mut out = Vec::new();
    match Query::parse(octets) {
        Ok(query) => {
            assert_eq!(query.qname().wire().len() + 4, query.question.len());
            reply::empty(&query, 5, None, &mut out);
            assert!(out.len() >= 12 + query.question.len());
            reply::truncate(&query, &mut out);
        }
        Err(fault) => {
            if reply::fault(fault, &mut out) {
                assert!(out.len() >= 12 && out.len() <= octets.len().max(23));
            }
        }
    }
}

/// The question of [`QUERY`] with one A record.
fn message() -> Vec<u8> {
    let mut message = QUERY.get(..29).unwrap_or_default().to_vec();
    message.splice(2..12, [0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    message.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x35");
    message
}

/// Whatever an upstream says: a copy of it answers its query.
fn answer(octets: &[u8]) {
    let query = Query::parse(QUERY).expect("a query");
    // As it comes, and behind the right header and question.
    let mut behind = QUERY.get(..29).unwrap_or_default().to_vec();
    behind.splice(2..4, [0x81, 0x80]);
    let counts = octets.iter().copied().chain([0; 6]).take(6);
    behind.splice(6..12, counts.map(|octet| octet & 3));
    behind.extend(octets.iter().skip(6));
    for message in [octets, &behind] {
        let _ = targets::targets(message);
        if let Ok(finished) = Finished::from_upstream(message, query.question.len(), BOUNDS) {
            let mut out = Vec::new();
            for age in [Age::Fresh(0), Age::Fresh(u32::MAX), Age::Stale] {
                finished.write(&query, age, None, &mut out);
                assert_eq!(out.get(..2), Some(&[0xab, 0xcd][..]));
                assert_eq!(out.get(12..12 + query.question.len()), Some(query.question));
            }
        }
    }
}

/// Head and entry of a cache as it is saved.
fn saved() -> Vec<u8> {
    let mut message = message();
    message.splice(12..16, *b"\x03www"); // saved names are in lower case
    let length = u32::try_from(message.len()).unwrap_or(0).to_le_bytes();
    let head = [&b"ISGCACHE"[..], &1_u32.to_le_bytes(), &1_000_u64.to_le_bytes()].concat();
    [&head[..], &[0], &0_u64.to_le_bytes(), &length, &message].concat()
}

/// What comes back of a saved cache is never more than was in the file.
fn saved_cache(octets: &[u8]) {
    let behind = [saved().get(..20).unwrap_or_default(), octets].concat();
    for file in [octets, &behind] {
        let cache = Cache::new(1 << 16, 0);
        if let Ok(restored) = cache.restore(&mut &*file, 1_001, 5_000, BOUNDS) {
            assert!(restored.entries <= file.len() / 25, "{restored:?}");
        }
    }
}

/// A message about a neighbour, as the kernel writes it: family 2 or 10.
fn neighbour(kind: u16, family: u8, address: &[u8]) -> Vec<u8> {
    let attribute = |kind: u16, value: &[u8]| {
        let length = u16::try_from(4 + value.len()).unwrap_or(4);
        let mut out = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    };
    let mut body = vec![family, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 1];
    body.extend(attribute(1, address));
    body.extend(attribute(2, &[2, 0, 0, 0, 0, 1]));
    let length = u32::try_from(16 + body.len()).unwrap_or(16).to_ne_bytes();
    [&length[..], &kind.to_ne_bytes(), &[0; 10], &body].concat()
}

fn neighbours(octets: &[u8]) {
    let (told, messages) = clients::outside::neighbours(octets);
    assert!(messages <= 2 * (octets.len() / 16 + 1), "messages without end");
    for (address, mac) in told {
        assert!(!address.is_multicast() && !address.is_unspecified(), "{address}");
        assert!(mac.is_none_or(Mac::is_of_a_device), "{mac:?}");
    }
}

/// Addresses are of devices, names are labels.
fn leases(octets: &[u8]) {
    for (address, mac, hostname) in clients::outside::leases(octets) {
        assert!(
            !address.is_multicast() && !address.is_unspecified() && !address.is_loopback(),
            "{address}"
        );
        assert!(
            mac.is_none_or(|mac| mac.is_of_a_device() && address.is_ipv4()),
            "{mac:?} at {address}"
        );
        let label = hostname.unwrap_or_else(|| "x".to_owned());
        let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        assert!(
            (1..=63).contains(&label.len()) && label.bytes().all(plain) && !label.starts_with('-'),
            "{label:?}"
        );
    }
}

/// Only own names and addresses are hosts, whatever stands behind their port's colon.
fn host_header(octets: &[u8]) {
    let hosts = Hosts::new(["gateway.home.arpa".to_owned()], Vec::new());
    let text = String::from_utf8_lossy(octets).to_ascii_lowercase();
    let name = text.rsplit_once(':').map_or(text.as_str(), |(name, _)| name);
    let digits = |octet: u8| octet.is_ascii_hexdigit() || matches!(octet, b'.' | b':' | b'[' | b']');
    let own = |name: &str| {
        name.contains("gateway.home.arpa") || name.contains("localhost") || name.bytes().all(digits)
    };
    assert!(!hosts.allow(&text) || own(name), "{text:?} is allowed");
}
