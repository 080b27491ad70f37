//! What an answer leads to: the names that it sends the client on to, and whether it points into private networks.
//!
//! And whether it answers what was asked: a record of another name, that no alias leads to, makes an answer none (RFC 2181,
//! section 5.4.1; RFC 5452, section 6).
//!
//! A tracker hides behind an alias in the site's own domain (CNAME cloaking), a page of the public network names an address
//! inside the home (DNS rebinding). Both are found in the answer section once, when an answer comes in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use isigurt_blocklists::name::{MAX_WIRE, Name, NameRef};

use super::query::{Record, read_record, skip_name};
use super::{HEADER, rtype, u16_at};

/// Most names that are looked at; a longer chain is no honest one.
const MOST: usize = 16;
/// Compression pointers that are followed in one name.
const JUMPS: usize = 16;

/// What an answer leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Targets of CNAME, DNAME, SVCB and HTTPS records, without repetition, in the order of the answer.
    pub names: Vec<Name>,
    /// An address of a private network, of this host or of this link stands in it.
    pub private: bool,
}

/// Reads the answer section of a message that has one question; `None` where it is malformed or leads to too many names.
pub fn targets(message: &[u8]) -> Option<Targets> {
    let mut targets = Targets::default();
    let mut chain = Chain {
        names: vec![name_at(message, HEADER)?],
        others: Vec::new(),
    };
    let mut at = skip_name(message, HEADER)? + 4;
    for _ in 0..u16_at(message, 6)? {
        let record = read_record(message, at)?;
        chain.record(message, at, &record)?;
        match record.rtype {
            rtype::CNAME | rtype::DNAME => targets.name(name_at(message, record.rdata)?)?,
            rtype::SVCB | rtype::HTTPS => targets.name(name_at(message, record.rdata + 2)?)?,
            _ => {}
        }
        addresses(message, &record, |address| targets.private |= is_private(address))?;
        at = record.end;
    }
    chain.holds().then_some(targets)
}

/// The names that the question leads to.
struct Chain {
    /// The name asked for, and what aliases lead to.
    names: Vec<Name>,
    /// Records of other names: owner, type, and the target of an alias.
    others: Vec<(Name, u16, Option<Name>)>,
}

impl Chain {
    fn record(&mut self, message: &[u8], at: usize, record: &Record) -> Option<()> {
        let alias = matches!(record.rtype, rtype::CNAME | rtype::DNAME);
        // Nearly all owners are pointers to the question.
        let asked = message.get(at..at + 2) == Some(&[0xc0, 12]);
        if asked && !alias {
            return Some(());
        }
        let target = if alias {
            Some(name_at(message, record.rdata)?)
        } else {
            None
        };
        self.others.push((name_at(message, at)?, record.rtype, target));
        Some(())
    }

    /// Follows the aliases, in whatever order they stand, and says whether all records are of names on the way.
    fn holds(mut self) -> bool {
        loop {
            let before = self.names.len();
            for (owner, rtype, target) in &self.others {
                let Some(target) = target else { continue };
                let next: Vec<Name> = if *rtype == rtype::CNAME {
                    let met = self.names.contains(owner);
                    met.then(|| target.clone()).into_iter().collect()
                } else {
                    let below = self.names.iter();
                    below
                        .filter_map(|name| renamed(name.as_ref(), owner.as_ref(), target.as_ref()))
                        .collect()
                };
                for name in next {
                    if !self.names.contains(&name) {
                        self.names.push(name);
                    }
                }
            }
            if self.names.len() == before || before > MOST {
                break;
            }
        }
        if self.circles() {
            return false; // an error to be signalled (RFC 1034, section 3.6.2)
        }
        self.others.iter().all(|(owner, rtype, _)| {
            let above = || {
                let mut names = self.names.iter();
                names.any(|name| name.as_ref().is_at_or_below(owner.as_ref()))
            };
            self.names.contains(owner) || matches!(*rtype, rtype::DNAME | rtype::RRSIG) && above()
        })
    }

    /// Whether the aliases lead back to a name that they came from.
    fn circles(&self) -> bool {
        let mut at = self.names.first();
        let mut steps = 0;
        while let Some(name) = at {
            let mut aliases = self.others.iter();
            at = aliases
                .find(|(owner, rtype, _)| *rtype == rtype::CNAME && owner == name)
                .and_then(|(_, _, target)| target.as_ref());
            steps += 1;
            if steps > self.others.len() + 1 {
                return true;
            }
        }
        false
    }
}

/// `name` with `owner` at its end replaced by `target` (RFC 6672, section 2.2); `None` where it does not lie below.
fn renamed(name: NameRef<'_>, owner: NameRef<'_>, target: NameRef<'_>) -> Option<Name> {
    let front = name.wire().strip_suffix(owner.wire())?;
    if front.is_empty() || !name.is_at_or_below(owner) {
        return None;
    }
    Name::from_wire(&[front, target.wire()].concat()).ok()
}

/// The first address in the answers of a message for which `meant` says so: in A and AAAA records and in hints of services.
/// For messages that [`targets`] has read.
pub fn address(message: &[u8], mut meant: impl FnMut(IpAddr) -> bool) -> Option<IpAddr> {
    let mut at = skip_name(message, HEADER)? + 4;
    for _ in 0..u16_at(message, 6)? {
        let record = read_record(message, at)?;
        let mut found = None;
        addresses(message, &record, |address| {
            if found.is_none() && meant(address) {
                found = Some(address);
            }
        })?;
        if found.is_some() {
            return found;
        }
        at = record.end;
    }
    None
}

/// Hands on every address of a record: that of A and AAAA, all hints of a service binding (RFC 9460, section 7.3). `None`
/// where it is malformed.
fn addresses(message: &[u8], record: &Record, mut each: impl FnMut(IpAddr)) -> Option<()> {
    let rdata = message.get(record.rdata..record.end)?;
    match record.rtype {
        rtype::A => each(IpAddr::from(
            *rdata.first_chunk::<4>().filter(|_| rdata.len() == 4)?,
        )),
        rtype::AAAA => each(IpAddr::from(
            *rdata.first_chunk::<16>().filter(|_| rdata.len() == 16)?,
        )),
        rtype::SVCB | rtype::HTTPS => {
            let mut at = skip_name(message, record.rdata + 2)?;
            while at < record.end {
                let (key, length) = (u16_at(message, at)?, usize::from(u16_at(message, at + 2)?));
                let next = at + 4 + length;
                let value = message.get(at + 4..next).filter(|_| next <= record.end)?;
                match key {
                    4 => value
                        .as_chunks::<4>()
                        .0
                        .iter()
                        .for_each(|octets| each((*octets).into())),
                    6 => value
                        .as_chunks::<16>()
                        .0
                        .iter()
                        .for_each(|octets| each((*octets).into())),
                    _ => {}
                }
                at = next;
            }
        }
        _ => {}
    }
    Some(())
}

impl Targets {
    fn name(&mut self, name: Name) -> Option<()> {
        if !name.as_ref().is_root() && !self.names.contains(&name) {
            if self.names.len() >= MOST {
                return None;
            }
            self.names.push(name);
        }
        Some(())
    }
}

/// The name at an offset, decompressed (RFC 1035, section 4.1.4); pointers lead backwards only.
fn name_at(message: &[u8], start: usize) -> Option<Name> {
    let mut wire = Vec::with_capacity(64);
    let (mut at, mut jumps) = (start, 0);
    loop {
        let length = *message.get(at)?;
        match length {
            0 => break,
            1..=63 => {
                let end = at + 1 + usize::from(length);
                wire.extend_from_slice(message.get(at..end)?);
                if wire.len() >= MAX_WIRE {
                    return None;
                }
                at = end;
            }
            0xc0.. => {
                let to = usize::from(u16_at(message, at)? & 0x3fff);
                jumps += 1;
                if to >= at || jumps > JUMPS {
                    return None;
                }
                at = to;
            }
            _ => return None,
        }
    }
    wire.push(0);
    Name::from_wire(&wire).ok()
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

/// Private (RFC 1918), loopback, link-local. 0.0.0.0 is left out: other filters answer with it.
fn is_private_v4(address: Ipv4Addr) -> bool {
    address.is_private() || address.is_loopback() || address.is_link_local()
}

/// Unique local (RFC 4193), loopback, link-local, and IPv4 addresses in IPv6 form.
fn is_private_v6(address: Ipv6Addr) -> bool {
    address.is_unique_local()
        || address.is_loopback()
        || address.is_unicast_link_local()
        || address.to_ipv4_mapped().is_some_and(is_private_v4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An answer to `www.example. A` with these records behind the question.
    fn message(count: u8, records: &[u8]) -> Vec<u8> {
        let mut octets = vec![0, 7, 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
        octets.extend(b"\x03www\x07example\x00\x00\x01\x00\x01");
        octets.extend(records);
        octets
    }

    fn names(targets: &Targets) -> Vec<String> {
        targets.names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn aliases_and_services_are_followed_through_compression() {
        // www CNAME edge.example (compressed), that one CNAME tracker.test, and an HTTPS record with hints.
        let records = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x07\x04Edge\xc0\x10\
            \xc0\x29\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x0e\x07tracker\x04test\x00\
            \xc0\x0c\x00\x41\x00\x01\x00\x00\x00\x3c\x00\x14\x00\x01\x03cdn\x04test\x00\x00\x04\x00\x04\xcb\x00\x71\x05";
        let found = targets(&message(3, records)).unwrap();
        assert_eq!(names(&found), ["edge.example", "tracker.test", "cdn.test"]);
        assert!(!found.private);
    }

    #[test]
    fn addresses_of_private_networks_are_seen_in_records_and_hints() {
        let a = |octets: [u8; 4]| {
            let mut record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04".to_vec();
            record.extend(octets);
            targets(&message(1, &record)).unwrap().private
        };
        assert!(a([192, 168, 1, 1]) && a([10, 0, 0, 1]) && a([127, 0, 0, 1]) && a([169, 254, 1, 1]));
        assert!(!a([0, 0, 0, 0]) && !a([203, 0, 113, 5]) && !a([172, 32, 0, 1]));
        let aaaa = |text: &str| {
            let mut record = b"\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10".to_vec();
            record.extend(text.parse::<Ipv6Addr>().unwrap().octets());
            targets(&message(1, &record)).unwrap().private
        };
        assert!(aaaa("fd00::1") && aaaa("::1") && aaaa("fe80::1") && aaaa("::ffff:10.0.0.1"));
        assert!(!aaaa("2001:db8::1") && !aaaa("::"));
        let hint =
            b"\xc0\x0c\x00\x41\x00\x01\x00\x00\x00\x3c\x00\x0b\x00\x01\x00\x00\x04\x00\x04\x0a\x00\x00\x01";
        assert!(targets(&message(1, hint)).unwrap().private);
        // A second list of hints, which no honest server sends, does not hide the first.
        let twice = b"\xc0\x0c\x00\x41\x00\x01\x00\x00\x00\x3c\x00\x13\x00\x01\x00\
            \x00\x04\x00\x04\x0a\x00\x00\x01\x00\x04\x00\x04\xcb\x00\x71\x05";
        assert!(targets(&message(1, twice)).unwrap().private);
        let seen = |wanted: [u8; 4]| address(&message(1, twice), |met| met == IpAddr::from(wanted)).is_some();
        assert!(seen([10, 0, 0, 1]) && seen([203, 0, 113, 5]) && !seen([203, 0, 113, 6]));
    }

    #[test]
    fn aliases_that_lead_in_circles_are_no_answer() {
        let there = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x07\x04edge\xc0\x10";
        let back = b"\xc0\x29\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x0c";
        assert!(targets(&message(1, there)).is_some());
        assert_eq!(targets(&message(2, &[&there[..], back].concat())), None);
    }

    #[test]
    fn records_of_names_that_nothing_leads_to_make_an_answer_none() {
        // The alias behind what it leads to, as some servers order them.
        let alias = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x07\x04edge\xc0\x10";
        let edge = b"\x04EDGE\xc0\x10\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x05";
        let bank = b"\x04bank\xc0\x10\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x06";
        assert!(targets(&message(2, &[&edge[..], alias].concat())).is_some());
        assert!(targets(&message(2, &[&alias[..], edge].concat())).is_some());
        assert_eq!(targets(&message(1, edge)), None);
        assert_eq!(targets(&message(3, &[&alias[..], edge, bank].concat())), None);
        // example DNAME test.: www.example leads to www.test.
        let dname = b"\xc0\x10\x00\x27\x00\x01\x00\x00\x00\x3c\x00\x06\x04test\x00";
        let made = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x0a\x03www\x04test\x00";
        let end = b"\x03www\x04test\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x05";
        assert!(targets(&message(3, &[&dname[..], made, end].concat())).is_some());
        assert!(targets(&message(2, &[&dname[..], end].concat())).is_some());
        assert_eq!(targets(&message(3, &[&dname[..], made, bank].concat())), None);
    }

    #[test]
    fn loops_and_endless_chains_are_refused() {
        let own = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x29";
        assert_eq!(targets(&message(1, own)), None);
        let mut many = Vec::new();
        for number in 0..20 {
            many.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x03\x01");
            many.push(b'a' + number);
            many.push(0);
        }
        assert_eq!(targets(&message(20, &many)), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(records in prop::collection::vec(any::<u8>(), 0..300), count in 0..5_u8) {
            let _ = targets(&message(count, &records));
        }
    }
}
