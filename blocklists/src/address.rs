//! Addresses as names, so that lists of networks are rules like any other: in the same index, with the same exceptions and
//! the same explanation.
//!
//! An address becomes its hexadecimal digits from the last to the first, below `ip4.rpz-ip` or `ip6.rpz-ip` (the top-level
//! label that response policy zones use for addresses in answers). A network is then a name and all below it; one whose length
//! is no multiple of four bits is several.

use std::net::IpAddr;

use crate::name::{Name, NameRef};

/// Octets of the longest: 32 digits of one label each, two labels behind them, the root.
const LONGEST: usize = 32 * 2 + 4 + 7 + 1;
const END_4: &[u8] = b"\x03ip4\x06rpz-ip\x00";
const END_6: &[u8] = b"\x03ip6\x06rpz-ip\x00";

/// An address as a name, without allocation.
#[derive(Debug, Clone, Copy)]
pub struct AddressName {
    wire: [u8; LONGEST],
    length: usize,
}

impl AddressName {
    /// The name of an address; an IPv4-mapped one is that of the IPv4 address.
    pub fn new(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of(&address.octets(), 8, END_4),
            IpAddr::V6(address) => Self::of(&address.octets(), 32, END_6),
        }
    }

    /// The name of the first `digits` hexadecimal digits.
    fn of(octets: &[u8], digits: usize, end: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut name = Self {
            wire: [0; LONGEST],
            length: 0,
        };
        let all = octets.iter().flat_map(|octet| [octet >> 4, octet & 15]);
        let mut shown = [0; 32];
        for (place, digit) in shown.iter_mut().zip(all) {
            *place = DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0');
        }
        for digit in shown.iter().take(digits).rev() {
            name.push(&[1, *digit]);
        }
        name.push(end);
        name
    }

    fn push(&mut self, octets: &[u8]) {
        if let Some(place) = self.wire.get_mut(self.length..self.length + octets.len()) {
            place.copy_from_slice(octets);
            self.length += octets.len();
        }
    }

    /// The name.
    pub fn as_ref(&self) -> NameRef<'_> {
        NameRef::accepted_before(self.wire.get(..self.length).unwrap_or(&[0]))
    }
}

/// The names that stand for a network, each with all below it. `None` where the prefix is longer than the address.
pub fn network(address: IpAddr, prefix: u8) -> Option<Vec<Name>> {
    let (mut octets, width, end) = match address {
        IpAddr::V4(address) => (address.octets().to_vec(), 32, END_4),
        IpAddr::V6(address) => (address.octets().to_vec(), 128, END_6),
    };
    let prefix = usize::from(prefix);
    if prefix > width {
        return None;
    }
    let digits = prefix.div_ceil(4);
    let free = digits * 4 - prefix;
    let mut names = Vec::with_capacity(1 << free);
    for low in 0..1_u8 << free {
        if let Some(place) = digits.checked_sub(1) {
            let octet = octets.get_mut(place / 2)?;
            let shift = if place % 2 == 0 { 4 } else { 0 };
            let mask = ((1_u8 << free) - 1) << shift;
            *octet = *octet & !mask | low << shift;
        }
        names.push(AddressName::of(&octets, digits, end).as_ref().to_name());
    }
    Some(names)
}

/// Whether a name stands for addresses.
pub fn is_address(name: NameRef<'_>) -> bool {
    name.wire().ends_with(END_4) || name.wire().ends_with(END_6)
}

/// The network that a name stands for, as people write it.
pub fn shown(name: NameRef<'_>) -> Option<String> {
    let (digits, wide) = match (name.wire().strip_suffix(END_4), name.wire().strip_suffix(END_6)) {
        (Some(digits), _) => (digits, false),
        (_, Some(digits)) => (digits, true),
        _ => return None,
    };
    let mut octets = [0_u8; 16];
    let labels = digits.as_chunks::<2>().0;
    for (place, [_, digit]) in labels.iter().rev().enumerate() {
        let value = u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
        *octets.get_mut(place / 2)? |= if place % 2 == 0 { value << 4 } else { value };
    }
    let address = if wide {
        IpAddr::from(octets)
    } else {
        IpAddr::from(*octets.first_chunk::<4>()?)
    };
    Some(format!("{address}/{}", labels.len() * 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(network_of: &str, prefix: u8, address: &str) -> bool {
        let names = network(network_of.parse().unwrap(), prefix).unwrap();
        let address = AddressName::new(address.parse().unwrap());
        names
            .iter()
            .any(|name| address.as_ref().is_at_or_below(name.as_ref()))
    }

    #[test]
    fn a_network_covers_its_addresses_and_no_others() {
        for (network_of, prefix, inside, outside) in [
            ("192.0.2.5", 32, "192.0.2.5", "192.0.2.4"),
            ("198.51.100.0", 24, "198.51.100.255", "198.51.101.0"),
            ("10.0.0.0", 9, "10.127.255.255", "10.128.0.0"),
            ("10.128.0.0", 9, "10.200.0.1", "10.127.0.1"),
            ("172.16.0.0", 12, "172.31.255.1", "172.32.0.0"),
            ("0.0.0.0", 0, "203.0.113.1", "2001:db8::1"),
            ("2001:db8:5::", 48, "2001:db8:5:ffff::1", "2001:db8:6::"),
            ("2001:db8::", 33, "2001:db8:7fff::", "2001:db8:8000::"),
            ("2001:db8::1", 128, "2001:db8::1", "2001:db8::2"),
            ("192.0.2.0", 30, "::ffff:192.0.2.3", "::ffff:192.0.2.4"),
        ] {
            assert!(
                covers(network_of, prefix, inside),
                "{network_of}/{prefix} {inside}"
            );
            assert!(
                !covers(network_of, prefix, outside),
                "{network_of}/{prefix} {outside}"
            );
        }
        assert!(network("192.0.2.1".parse().unwrap(), 33).is_none());
    }

    #[test]
    fn it_is_shown_as_people_write_it() {
        let text = |address: &str, prefix| {
            let names = network(address.parse().unwrap(), prefix).unwrap();
            names
                .iter()
                .map(|name| shown(name.as_ref()).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(text("198.51.100.0", 24), ["198.51.100.0/24"]);
        assert_eq!(text("2001:db8:5::", 48), ["2001:db8:5::/48"]);
        assert_eq!(text("10.0.0.0", 7), ["10.0.0.0/8", "11.0.0.0/8"]);
        assert!(shown(Name::parse("rpz-ip").unwrap().as_ref()).is_none());
        assert!(is_address(AddressName::new("::1".parse().unwrap()).as_ref()));
    }
}
