//! What the network tells about each address, as one value that is swapped whole.
//!
//! Who wins where sources disagree: the neighbour table as it is now, then a lease, then the neighbour table of the past hour.
//! The name in a lease goes with the lease's hardware address: where another one answers for the address now, the name is not
//! given to it. Through the hardware address a name reaches all other addresses of its device, so also its IPv6 ones.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::leases::Lease;
use super::neighbours::Seen;
use super::{Identity, Mac};

/// All addresses known now, with what is known of them; ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known(Vec<(IpAddr, Identity)>);

impl Known {
    /// What is known of an address; IPv4 in its mapped form is IPv4.
    pub fn get(&self, address: IpAddr) -> Option<&Identity> {
        let address = address.to_canonical();
        let place = self.0.binary_search_by_key(&address, |(address, _)| *address);
        self.0.get(place.ok()?).map(|(_, identity)| identity)
    }

    /// All addresses, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (IpAddr, &Identity)> {
        self.0.iter().map(|(address, identity)| (*address, identity))
    }

    /// How many addresses are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The addresses of a device.
    pub fn addresses_of(&self, mac: Mac) -> impl Iterator<Item = IpAddr> + '_ {
        let of = move |identity: &Identity| identity.mac == Some(mac);
        self.iter()
            .filter_map(move |(address, identity)| of(identity).then_some(address))
    }
}

impl FromIterator<(IpAddr, Identity)> for Known {
    /// Of an address that comes twice the last identity counts.
    fn from_iter<I: IntoIterator<Item = (IpAddr, Identity)>>(all: I) -> Self {
        let canonical = all
            .into_iter()
            .map(|(address, identity)| (address.to_canonical(), identity));
        Self(canonical.collect::<BTreeMap<_, _>>().into_iter().collect())
    }
}

/// Puts neighbours and the leases that hold together.
pub(super) fn merge(neighbours: &HashMap<IpAddr, Seen>, leases: &[Lease], now_s: i64) -> Known {
    let holding = || leases.iter().filter(|lease| lease.holds(now_s));
    let mut names: HashMap<Mac, &str> = HashMap::new();
    for lease in holding() {
        if let (Some(mac), Some(name)) = (lease.mac, &lease.hostname) {
            names.insert(mac, name);
        }
    }
    let name_of = |mac: Option<Mac>| mac.and_then(|mac| names.get(&mac)).map(|&name| name.to_owned());
    let mut all: Vec<(IpAddr, Identity)> = Vec::with_capacity(neighbours.len() + leases.len());
    for (&address, seen) in neighbours {
        let hostname = name_of(seen.mac);
        all.push((
            address,
            Identity {
                mac: seen.mac,
                hostname,
            },
        ));
    }
    for lease in holding() {
        let seen = neighbours.get(&lease.address);
        let mac = match seen {
            Some(seen) if seen.now || lease.mac.is_none() => seen.mac,
            _ => lease.mac,
        };
        // A lease without a hardware address (DHCPv6) names the address itself.
        let own = lease.mac.is_none() || lease.mac == mac;
        let hostname = lease.hostname.clone().filter(|_| own).or_else(|| name_of(mac));
        all.push((lease.address, Identity { mac, hostname }));
    }
    all.sort_by_key(|(address, _)| *address); // stable: a lease stays behind its neighbour, and so counts
    all.reverse();
    all.dedup_by_key(|(address, _)| *address);
    all.reverse();
    all.shrink_to_fit();
    Known(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
    const B: Mac = Mac([0x52, 0x54, 0, 0, 0, 2]);
    const NOW_S: i64 = 1_764_000_000;

    fn lease(address: &str, mac: Option<Mac>, hostname: Option<&str>) -> Lease {
        Lease {
            address: address.parse().unwrap(),
            mac,
            hostname: hostname.map(str::to_owned),
            until: Some(NOW_S),
        }
    }

    fn shown(neighbours: &[(&str, Option<Mac>, bool)], leases: &[Lease]) -> Vec<String> {
        let neighbours = neighbours
            .iter()
            .map(|&(address, mac, now)| (address.parse().unwrap(), Seen { mac, now }));
        let known = merge(&neighbours.collect(), leases, NOW_S);
        let line = |(address, identity): (IpAddr, &Identity)| {
            let mac = identity.mac.map_or('-', |mac| if mac == A { 'A' } else { 'B' });
            format!("{address} {mac} {}", identity.hostname.as_deref().unwrap_or("-"))
        };
        known.iter().map(line).collect()
    }

    #[test]
    fn a_name_follows_the_mac_to_all_addresses_of_the_device() {
        let said = shown(
            &[
                ("fd00::9", Some(A), true),
                ("2001:db8::77", Some(A), true),
                ("192.0.2.9", Some(B), true),
            ],
            &[lease("192.0.2.1", Some(A), Some("ana-tab"))],
        );
        let expected = [
            "192.0.2.1 A ana-tab",
            "192.0.2.9 B -",
            "2001:db8::77 A ana-tab",
            "fd00::9 A ana-tab",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn whoever_answers_for_an_address_now_does_not_inherit_the_name_of_its_lease() {
        let leases = [lease("192.0.2.1", Some(A), Some("ana-tab"))];
        assert_eq!(shown(&[("192.0.2.1", Some(B), true)], &leases), ["192.0.2.1 B -"]);
        assert_eq!(
            shown(&[("192.0.2.1", Some(B), false)], &leases),
            ["192.0.2.1 A ana-tab"],
            "memory gives way"
        );
        assert_eq!(
            shown(&[("192.0.2.1", None, true)], &leases),
            ["192.0.2.1 - -"],
            "contradicted"
        );
    }

    #[test]
    fn a_dhcpv6_lease_names_its_address_and_takes_the_mac_of_the_neighbour_table() {
        let leases = [
            lease("fd00::1", None, Some("ana-tab")),
            lease("fd00::2", None, None),
        ];
        assert_eq!(
            shown(&[("fd00::1", Some(A), false)], &leases),
            ["fd00::1 A ana-tab", "fd00::2 - -"]
        );
    }

    #[test]
    fn a_lease_that_has_ended_says_nothing() {
        let mut ended = lease("192.0.2.1", Some(A), Some("ana-tab"));
        ended.until = Some(NOW_S - 3600);
        assert!(shown(&[], &[ended]).is_empty());
    }

    #[test]
    fn an_address_is_found_in_either_form() {
        let identity = Identity {
            mac: Some(A),
            hostname: None,
        };
        let known: Known = [("::ffff:192.0.2.1".parse().unwrap(), identity.clone())]
            .into_iter()
            .collect();
        assert_eq!(known.get("192.0.2.1".parse().unwrap()), Some(&identity));
        assert_eq!(known.get("::ffff:192.0.2.1".parse().unwrap()), Some(&identity));
        assert_eq!(known.addresses_of(A).count(), 1);
        assert_eq!(known.get("192.0.2.2".parse().unwrap()), None);
    }
}
