//! Messages of the kernel's routing socket (rtnetlink(7)), as far as the neighbour table needs them.
//!
//! One question is written and three kinds of message are read, so the format is read here by hand: the crates that know
//! all of rtnetlink are some 30,000 lines, and bring a runtime or unsafe code of their own. Whatever else arrives, or is cut
//! short, is passed over; nothing in here can panic.

use std::net::IpAddr;

use crate::clients::Mac;

/// What the kernel says about one address on one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::clients) struct Neighbour {
    pub(in crate::clients) interface: u32,
    pub(in crate::clients) address: IpAddr,
    /// Its hardware address while the kernel has a usable one.
    pub(in crate::clients) mac: Option<Mac>,
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::clients) enum News {
    /// An address appeared, changed or went.
    Neighbour(Neighbour),
    /// The table has been told whole.
    Done,
    /// The table changed while it was told, or messages were lost: ask again.
    Again,
    /// The question was refused, with the system's error number.
    Refused(i32),
}

const HEADER: usize = 16;
const ENTRY: usize = 12;
/// Kinds of message.
const REFUSED: u16 = 2;
const DONE: u16 = 3;
const OVERRUN: u16 = 4;
const NEW_NEIGHBOUR: u16 = 28;
const NEIGHBOUR_GONE: u16 = 29;
const GET_NEIGHBOURS: u16 = 30;
/// Flags of a header: the table changed while it was told; a question; for the whole table.
const INTERRUPTED: u16 = 0x10;
const QUESTION: u16 = 1;
const WHOLE: u16 = 0x300;
/// States of an entry in which its hardware address holds: reachable, stale, delay, probe, permanent.
const USABLE: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;
/// Flag of an entry that this host answers for in place of another.
const PROXY: u8 = 0x08;
/// Attributes of an entry.
const DESTINATION: u16 = 1;
const HARDWARE: u16 = 2;
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// The question for the whole table of both families.
pub(super) fn question(sequence: u32) -> [u8; HEADER + ENTRY] {
    let mut out = [0; HEADER + ENTRY];
    let length = u32::try_from(out.len()).unwrap_or(0).to_ne_bytes();
    let kind = GET_NEIGHBOURS.to_ne_bytes();
    let flags = (QUESTION | WHOLE).to_ne_bytes();
    let header = length
        .into_iter()
        .chain(kind)
        .chain(flags)
        .chain(sequence.to_ne_bytes());
    for (octet, value) in out.iter_mut().zip(header) {
        *octet = value;
    }
    out // an entry of zeroes: any family
}

/// The messages in what one receive brought.
pub(in crate::clients) fn news(mut octets: &[u8]) -> impl Iterator<Item = News> + '_ {
    let messages = std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(octets, 0)?).ok()?;
        let (kind, flags) = (u16_at(octets, 4)?, u16_at(octets, 6)?);
        let body = octets.get(HEADER..length)?;
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, flags, body))
    });
    messages.flat_map(|(kind, flags, body)| {
        let interrupted = (flags & INTERRUPTED != 0).then_some(News::Again);
        let told = match kind {
            // A short acknowledgement carries 0: no error.
            REFUSED => u32_at(body, 0)
                .map(u32::cast_signed)
                .filter(|&error| error != 0)
                .map(|error| News::Refused(error.saturating_neg())),
            DONE => Some(News::Done),
            OVERRUN => Some(News::Again),
            NEW_NEIGHBOUR => neighbour(body).map(News::Neighbour),
            NEIGHBOUR_GONE => neighbour(body)
                .map(|gone| Neighbour { mac: None, ..gone })
                .map(News::Neighbour),
            _ => None,
        };
        // First, so that the end of a table that was interrupted is not taken for a whole one.
        interrupted.into_iter().chain(told)
    })
}

/// Reads an entry of the neighbour table: `struct ndmsg` and its attributes.
fn neighbour(body: &[u8]) -> Option<Neighbour> {
    let family = *body.first()?;
    let interface = u32_at(body, 4)?;
    let state = u16_at(body, 8)?;
    let flags = *body.get(10)?;
    if flags & PROXY != 0 {
        return None;
    }
    let (mut address, mut mac) = (None, None);
    for (kind, value) in attributes(body.get(ENTRY..)?) {
        match (kind, family) {
            (DESTINATION, IPV4) => address = <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
            (DESTINATION, IPV6) => address = <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
            (HARDWARE, _) => mac = Mac::from_octets(value).filter(|mac| mac.is_of_a_device()),
            _ => {}
        }
    }
    let address = address?.to_canonical();
    if address.is_multicast() || address.is_unspecified() {
        return None;
    }
    Some(Neighbour {
        interface,
        address,
        mac: mac.filter(|_| state & USABLE != 0),
    })
}

fn attributes(mut octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(octets, 0)?);
        let kind = u16_at(octets, 2)? & 0x3fff; // the upper two bits are flags
        let value = octets.get(4..length)?;
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    let field = octets.get(at..at + 2)?;
    Some(u16::from_ne_bytes(field.try_into().ok()?))
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    let field = octets.get(at..at + 4)?;
    Some(u32::from_ne_bytes(field.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAC: Mac = Mac([0x52, 0x54, 0, 1, 2, 3]);

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut out = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        out.extend(kind.to_ne_bytes());
        out.extend(flags.to_ne_bytes());
        out.extend([0; 8]);
        out.extend(body);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn entry(family: u8, state: u16, flags: u8, destination: &[u8]) -> Vec<u8> {
        let mut body = vec![family, 0, 0, 0];
        body.extend(3_u32.to_ne_bytes());
        body.extend(state.to_ne_bytes());
        body.extend([flags, 1]);
        body.extend(attribute(DESTINATION, destination));
        body.extend(attribute(HARDWARE, &MAC.0));
        body.extend(attribute(3, &[0; 16])); // NDA_CACHEINFO
        body
    }

    fn one(kind: u16, body: &[u8]) -> Option<News> {
        news(&message(kind, 0, body)).next()
    }

    #[test]
    fn an_address_has_its_mac_in_usable_states_only() {
        for (state, mac) in [
            (0x01, None),
            (0x02, Some(MAC)),
            (0x04, Some(MAC)),
            (0x08, Some(MAC)),
            (0x10, Some(MAC)),
            (0x20, None),
            (0x40, None),
            (0x80, Some(MAC)),
        ] {
            let expected = News::Neighbour(Neighbour {
                interface: 3,
                address: [192, 0, 2, 1].into(),
                mac,
            });
            let said = one(NEW_NEIGHBOUR, &entry(IPV4, state, 0, &[192, 0, 2, 1]));
            assert_eq!(said, Some(expected), "state {state:#x}");
        }
    }

    #[test]
    fn what_concerns_no_device_is_passed_over() {
        let v6: std::net::Ipv6Addr = "ff02::1".parse().unwrap();
        for body in [
            entry(7, 2, 0, &[192, 0, 2, 1]), // a bridge's forwarding table
            entry(IPV4, 2, PROXY, &[192, 0, 2, 1]),
            entry(IPV4, 2, 0, &[224, 0, 0, 1]),
            entry(IPV4, 2, 0, &[0; 16]),
            entry(IPV6, 2, 0, &v6.octets()),
            vec![IPV4; 5],
        ] {
            assert_eq!(one(NEW_NEIGHBOUR, &body), None, "{body:?}");
        }
    }

    #[test]
    fn several_messages_of_one_receive_are_read_in_their_order() {
        let mut octets = message(NEIGHBOUR_GONE, 0, &entry(IPV4, 2, 0, &[192, 0, 2, 1]));
        octets.extend(message(99, 0, &[1, 2, 3]));
        octets.extend(message(DONE, INTERRUPTED, &[0; 4]));
        octets.extend(message(REFUSED, 0, &(-16_i32).to_ne_bytes()));
        let told: Vec<News> = news(&octets).collect();
        let gone = Neighbour {
            interface: 3,
            address: [192, 0, 2, 1].into(),
            mac: None,
        };
        let expected = [News::Neighbour(gone), News::Again, News::Done, News::Refused(16)];
        assert_eq!(told, expected);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic_and_to_an_end(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(news(&octets).count() <= 40);
        }

        #[test]
        fn a_cut_message_says_nothing_wrong(cut in 0_usize..80, at in 0_usize..80, value: u8) {
            let mut octets = message(NEW_NEIGHBOUR, 0, &entry(IPV4, 2, 0, &[192, 0, 2, 1]));
            if let Some(octet) = octets.get_mut(at) {
                *octet = value;
            }
            octets.truncate(cut);
            prop_assert!(news(&octets).count() <= 4);
        }
    }
}
