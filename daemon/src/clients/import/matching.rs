//! Ways to recognise a device, as the policy writes them: each value in one canonical form, so that the same device is not
//! entered twice.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::clients::Mac;
use crate::clients::leases::clean;

/// A kind of match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Mac,
    Ip,
    Cidr,
    Hostname,
    ClientId,
}

const PREFIXES: &[(&str, Kind)] = &[
    ("mac:", Kind::Mac),
    ("ip:", Kind::Ip),
    ("cidr:", Kind::Cidr),
    ("hostname:", Kind::Hostname),
    ("client-id:", Kind::ClientId),
];

/// The canonical form of a value. Its own prefix goes before the kind of its column; without either, a hardware address, an
/// address and a network are known by their looks.
pub(super) fn canonical(value: &str, kind: Option<Kind>) -> Result<String, String> {
    let said = PREFIXES
        .iter()
        .find_map(|(prefix, kind)| Some((strip(value, prefix)?, *kind)));
    match (said, kind) {
        (Some((value, said)), _) => of_kind(value, said),
        (None, Some(kind)) => of_kind(value, kind),
        (None, None) => [Kind::Mac, Kind::Ip, Kind::Cidr]
            .into_iter()
            .find_map(|kind| of_kind(value, kind).ok())
            .ok_or_else(|| {
                let shown = shown(value);
                format!(
                    "{shown:?} is not understood; mac:…, ip:…, cidr:…, hostname:… or client-id:… is expected"
                )
            }),
    }
}

fn of_kind(value: &str, kind: Kind) -> Result<String, String> {
    let value = value.trim();
    let shown = shown(value);
    match kind {
        Kind::Mac => match value.parse::<Mac>() {
            Ok(mac) if mac.is_of_a_device() => Ok(format!("mac:{mac}")),
            Ok(mac) => Err(format!("{mac} is the address of no single device")),
            Err(error) => Err(error.to_string()),
        },
        Kind::Ip => match value.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) if address.is_multicast() || address.is_unspecified() => {
                Err(format!("{address} is the address of no single device"))
            }
            Ok(address) => Ok(format!("ip:{address}")),
            Err(_) => Err(format!(
                "{shown:?} is not an IP address; one like 192.168.1.20 is expected"
            )),
        },
        Kind::Cidr => match value.parse::<IpNet>() {
            Ok(net) => Ok(format!("cidr:{}", net.trunc())),
            Err(_) => Err(format!(
                "{shown:?} is not a network; one like 10.3.0.0/16 is expected"
            )),
        },
        Kind::Hostname => {
            let lower = value.to_ascii_lowercase();
            match clean(&lower) {
                Some(label) if label == lower => Ok(format!("hostname:{label}")),
                _ => Err(format!(
                    "{shown:?} is not a host name; letters, digits and hyphens are expected"
                )),
            }
        }
        Kind::ClientId => {
            let lower = value.to_ascii_lowercase();
            match clean(&lower) {
                Some(label) if label == lower => Ok(format!("client-id:{label}")),
                _ => Err(format!(
                    "{shown:?} is not a client id; letters, digits and hyphens are expected"
                )),
            }
        }
    }
}

fn strip<'v>(value: &'v str, prefix: &str) -> Option<&'v str> {
    let (start, rest) = value.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn shown(value: &str) -> String {
    value.chars().take(40).collect()
}
