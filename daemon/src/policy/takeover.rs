//! From whom a new or changed device would take addresses, because its marks are more specific than another's.
//!
//! A network belongs to a profile as a device does. Whoever may name devices of one profile alone must not, by naming an
//! address in it, take that address out of another.

use std::net::IpAddr;

use ipnet::IpNet;
use isigurt_core::policy::model::DeviceText;

use super::Household;
use crate::clients::Mac;
use crate::dns::engine::Engine;

impl Household {
    /// Profiles of other devices that have addresses now which `new` would have; `but`: the device that it replaces. The
    /// profile of everybody else is not among them: who has it has no device.
    pub fn taken_from(&self, engine: &Engine, new: &DeviceText, but: Option<&str>) -> Vec<String> {
        let policy = self.policy();
        let others = || {
            policy
                .device
                .iter()
                .filter(|device| Some(device.name.as_str()) != but)
        };
        let networks: Vec<(IpNet, &str)> = others()
            .flat_map(|device| device.matches.iter().map(move |mark| (device, mark)))
            .filter_map(|(device, mark)| Some((network(mark)?, device.profile.as_str())))
            .collect();
        let owner = |net: IpNet| {
            let around = networks
                .iter()
                .filter(|(other, _)| *other != net && other.contains(&net));
            around
                .max_by_key(|(other, _)| other.prefix_len())
                .map(|(_, profile)| *profile)
        };
        let mut from: Vec<String> = Vec::new();
        for mark in &new.matches {
            match network(mark) {
                Some(net) => from.extend(owner(net).map(str::to_owned)),
                None => from.extend(self.addresses_of(mark).into_iter().filter_map(|address| {
                    let snapshot = engine.snapshot();
                    let device = snapshot
                        .policy
                        .device_name(snapshot.clients.device(address)?)
                        .to_owned();
                    let found = others().find(|other| other.name == device);
                    found.map(|device| device.profile.clone())
                })),
            }
        }
        from.sort_unstable();
        from.dedup();
        from
    }

    /// Addresses that a hardware address or a host name has now.
    fn addresses_of(&self, mark: &str) -> Vec<IpAddr> {
        let known = self.known();
        let (kind, value) = mark.split_once(':').unwrap_or_default();
        match kind {
            "mac" => {
                let mac: Option<Mac> = value.parse().ok();
                mac.map_or_else(Vec::new, |mac| known.addresses_of(mac).collect())
            }
            "hostname" => {
                let bears = |hostname: &str| hostname.eq_ignore_ascii_case(value);
                let those = known
                    .iter()
                    .filter(|(_, identity)| identity.hostname.as_deref().is_some_and(bears));
                those.map(|(address, _)| address).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The network that a mark names; an address is one of its own.
fn network(mark: &str) -> Option<IpNet> {
    let (kind, value) = mark.split_once(':')?;
    match kind {
        "ip" => value.parse::<IpAddr>().ok().map(IpNet::from),
        "cidr" => value.parse::<IpNet>().ok().map(|net| net.trunc()),
        _ => None,
    }
}
