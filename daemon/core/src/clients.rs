//! Addresses and networks of clients as numbers of 128 bits, IPv4 in its mapped form (RFC 4291, section 2.5.5.2), so that one
//! comparison holds for both families.

use std::net::IpAddr;

use ipnet::IpNet;

/// An address as a number.
#[inline]
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) | 0xffff << 32,
        IpAddr::V6(address) => u128::from(address),
    }
}

/// A network: what its addresses have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    value: u128,
    mask: u128,
}

impl Network {
    /// Whether it holds the address with this number.
    #[inline]
    pub fn contains(self, number: u128) -> bool {
        number & self.mask == self.value
    }

    /// The number of its first address.
    pub fn first(self) -> u128 {
        self.value
    }

    /// The bits that its addresses have in common.
    pub fn mask(self) -> u128 {
        self.mask
    }
}

impl From<IpNet> for Network {
    fn from(network: IpNet) -> Self {
        let length = u32::from(network.prefix_len()) + if network.addr().is_ipv4() { 96 } else { 0 };
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        Self {
            value: number(network.addr()) & mask,
            mask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_in_either_form() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::10.1.1.1"),
            ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.6"),
            ("fc00::/7", "fd00::1", "fe80::1"),
            ("::/0", "2001:db8::1", ""),
            ("::1/128", "::1", "::2"),
        ] {
            let network = Network::from(network.parse::<IpNet>().unwrap());
            let holds = |text: &str| network.contains(number(text.parse().unwrap()));
            assert!(holds(inside), "{network:?} {inside}");
            assert!(outside.is_empty() || !holds(outside), "{network:?} {outside}");
        }
    }
}
