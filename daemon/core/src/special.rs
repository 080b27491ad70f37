//! Names that never leave the gateway: special-use domain names and the reverse zones of private addresses.
//!
//! Sources: RFC 6761 (localhost, invalid, test, private reverse zones), RFC 6762 (local), RFC 7686 (onion), RFC 8375
//! (home.arpa), RFC 6303 and RFC 7793 (locally served reverse zones). A zone that the configuration forwards to a
//! server of its own (`[[upstream.zone]]`) leaves to that server, except those that must not be asked anywhere.

use isigurt_blocklists::name::NameRef;

use crate::wire::rtype;

/// What is said about a special-use name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// The loopback addresses (RFC 6761, section 6.3).
    Localhost,
    /// The PTR of a loopback address.
    LocalhostPtr,
    /// The name exists, and has no such data.
    NoData,
    /// The name does not exist.
    NxDomain,
}

/// Whether a configured zone may take the name out of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Never asked anywhere.
    Always,
    /// Asked only at the servers that the configuration names for the zone.
    UnlessForwarded,
}

/// Top-level names in wire format.
const NAMES: &[(&[u8], Hold)] = &[
    (b"\x09localhost\x00", Hold::Always),
    (b"\x07invalid\x00", Hold::Always),
    (b"\x05onion\x00", Hold::Always),
    (b"\x04test\x00", Hold::UnlessForwarded),
    (b"\x05local\x00", Hold::UnlessForwarded),
    (b"\x05check\x07isigurt\x04home\x04arpa\x00", Hold::Always), // the gateway's own: whether a device asks it
    (b"\x04home\x04arpa\x00", Hold::UnlessForwarded),
];

/// IPv4 prefixes whose reverse zones are served locally: address and length in bits (a multiple of 8, but for the
/// two that are spelt out by [`in_ranges`]).
const REVERSE_V4: &[&[u8]] = &[
    &[0],
    &[10],
    &[127],
    &[169, 254],
    &[192, 0, 2],
    &[192, 168],
    &[198, 51, 100],
    &[203, 0, 113],
    &[255, 255, 255, 255],
];

/// IPv6 prefixes whose reverse zones are served locally, as leading nibbles.
const REVERSE_V6: &[&str] = &[
    "fd",
    "fe8",
    "fe9",
    "fea",
    "feb",
    "20010db8",
    "00000000000000000000000000000000",
    "00000000000000000000000000000001",
];

/// What is said about `name` here, or `None` where it may be asked upstream. `forwarded` tells whether the
/// configuration forwards the name's zone to servers of its own.
pub fn special(name: NameRef<'_>, qtype: u16, forwarded: bool) -> Option<Special> {
    // Nearly every name ends otherwise, and is done with here.
    const TOP: [&[u8]; 6] = [b"localhost", b"invalid", b"onion", b"test", b"local", b"arpa"];
    if !name.labels().last().is_some_and(|top| TOP.contains(&top)) {
        return None;
    }
    for &(wire, hold) in NAMES {
        let Ok(zone) = NameRef::from_lower_wire(wire) else {
            continue;
        };
        if name.is_at_or_below(zone) {
            if forwarded && hold == Hold::UnlessForwarded {
                return None;
            }
            return Some(match wire {
                b"\x09localhost\x00" => match qtype {
                    rtype::A | rtype::AAAA => Special::Localhost,
                    _ => Special::NoData,
                },
                _ if name == zone => Special::NoData,
                _ => Special::NxDomain,
            });
        }
    }
    if forwarded {
        return None;
    }
    reverse(name, qtype)
}

/// The same for names below `in-addr.arpa` and `ip6.arpa`.
fn reverse(name: NameRef<'_>, qtype: u16) -> Option<Special> {
    let mut labels: Vec<&[u8]> = name.labels().collect();
    if labels.pop() != Some(b"arpa") {
        return None;
    }
    let loopback = match labels.pop() {
        Some(b"in-addr") => {
            let octets: Vec<u8> = labels.iter().rev().map_while(|label| number(label)).collect();
            let covered = REVERSE_V4.iter().any(|prefix| octets.starts_with(prefix)) || in_ranges(&octets);
            if !covered {
                return None;
            }
            octets == [127, 0, 0, 1] && labels.len() == 4
        }
        Some(b"ip6") => {
            let nibbles: Vec<u8> = labels
                .iter()
                .rev()
                .map_while(|label| label.first().copied().filter(|_| label.len() == 1))
                .collect();
            let prefix = REVERSE_V6
                .iter()
                .find(|prefix| nibbles.starts_with(prefix.as_bytes()))?;
            prefix.ends_with("01") && labels.len() == 32
        }
        _ => return None,
    };
    Some(match (loopback, qtype) {
        (true, rtype::PTR) => Special::LocalhostPtr,
        (true, _) => Special::NoData,
        (false, _) => Special::NxDomain,
    })
}

/// 172.16.0.0/12 (RFC 1918) and 100.64.0.0/10 (RFC 6598, RFC 7793).
fn in_ranges(octets: &[u8]) -> bool {
    matches!(octets, [172, 16..=31, ..] | [100, 64..=127, ..])
}

/// A label of `in-addr.arpa` (RFC 1035, section 3.5): decimal, without sign or leading zero.
fn number(label: &[u8]) -> Option<u8> {
    let plain = label.iter().all(u8::is_ascii_digit) && (label.len() == 1 || !label.starts_with(b"0"));
    plain.then(|| std::str::from_utf8(label).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use isigurt_blocklists::name::Name;

    fn look(name: &str, qtype: u16, forwarded: bool) -> Option<Special> {
        special(Name::parse(name).unwrap().as_ref(), qtype, forwarded)
    }

    #[test]
    fn each_special_use_name_is_held() {
        for (name, qtype, expected) in [
            ("localhost", 1, Special::Localhost),
            ("a.localhost", 28, Special::Localhost),
            ("localhost", 15, Special::NoData),
            ("x.invalid", 1, Special::NxDomain),
            ("x.test", 1, Special::NxDomain),
            ("abc.onion", 1, Special::NxDomain),
            ("printer.local", 1, Special::NxDomain),
            ("nas.home.arpa", 1, Special::NxDomain),
            ("home.arpa", 6, Special::NoData),
            ("1.2.3.10.in-addr.arpa", 12, Special::NxDomain),
            ("1.1.16.172.in-addr.arpa", 12, Special::NxDomain),
            ("1.1.64.100.in-addr.arpa", 12, Special::NxDomain),
            ("1.1.168.192.in-addr.arpa", 12, Special::NxDomain),
            ("168.192.in-addr.arpa", 6, Special::NxDomain),
            ("1.0.0.127.in-addr.arpa", 12, Special::LocalhostPtr),
            ("d.f.ip6.arpa", 12, Special::NxDomain),
            ("8.b.d.0.1.0.0.2.ip6.arpa", 12, Special::NxDomain),
            (
                "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
                12,
                Special::LocalhostPtr,
            ),
        ] {
            assert_eq!(look(name, qtype, false), Some(expected), "{name}");
        }
    }

    #[test]
    fn ordinary_names_and_public_reverse_zones_are_not() {
        for name in [
            "example",
            "test.example",
            "1.1.32.172.in-addr.arpa",
            "1.1.1.8.in-addr.arpa",
            "arpa",
            "in-addr.arpa",
            "8.8.8.4.0.6.8.4.1.0.0.2.ip6.arpa",
            "localhost.example",
            "1.1.128.100.in-addr.arpa",
        ] {
            assert_eq!(look(name, 12, false), None, "{name}");
        }
    }

    #[test]
    fn a_configured_zone_takes_over_all_but_the_names_that_no_server_may_see() {
        for name in [
            "x.test",
            "nas.home.arpa",
            "printer.local",
            "1.1.168.192.in-addr.arpa",
        ] {
            assert_eq!(look(name, 1, true), None, "{name}");
        }
        for name in ["x.onion", "x.invalid", "localhost"] {
            assert!(look(name, 1, true).is_some(), "{name}");
        }
    }
}
