//! Names on the way out: through the gateway's own upstreams, else the system's resolver, which may be this gateway.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Url;

/// What is said where clear text would leave private networks.
pub(super) const PUBLIC: &str = "clear text is for private addresses";

/// What is said where a stranger's address leads into a network of one's own.
pub(super) const INSIDE: &str = "the address is not one of the Internet";

/// How long the system's resolver may take.
const SYSTEM: Duration = Duration::from_secs(5);

/// The addresses of a name, later.
pub type Addresses = Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send>>;

/// Who knows the addresses of names.
pub trait Lookup: Debug + Send + Sync {
    /// The addresses of a name; none where it is not known.
    fn addresses(&self, name: &str) -> Addresses;
}

/// The system's resolver alone: for commands, and where nothing else is there.
#[derive(Debug, Clone, Copy)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn addresses(&self, _: &str) -> Addresses {
        Box::pin(std::future::ready(Vec::new())) // the system is asked in any case
    }
}

/// Where names may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Anywhere,
    Private,
    Public,
}

#[derive(Debug)]
pub(super) struct Names {
    lookup: Arc<dyn Lookup>,
    reach: Reach,
}

impl Names {
    pub(super) fn new(lookup: Arc<dyn Lookup>, reach: Reach) -> Self {
        Self { lookup, reach }
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, reach) = (self.lookup.clone(), self.reach);
        Box::pin(async move {
            let mut addresses = lookup.addresses(name.as_str()).await;
            if addresses.is_empty() {
                let system = tokio::net::lookup_host((name.as_str(), 0));
                addresses = match tokio::time::timeout(SYSTEM, system).await {
                    Ok(found) => found?.map(|address| address.ip()).collect(),
                    Err(_) => return Err("the system's resolver does not answer".into()),
                };
            }
            let refusal = match reach {
                Reach::Anywhere => None,
                Reach::Private => Some((is_private as fn(IpAddr) -> bool, PUBLIC)),
                Reach::Public => Some((is_public as fn(IpAddr) -> bool, INSIDE)),
            };
            if let Some((allowed, why)) = refusal.filter(|_| !addresses.is_empty()) {
                addresses.retain(|&address| allowed(address));
                if addresses.is_empty() {
                    return Err(why.into());
                }
            }
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// Loopback, RFC 1918, RFC 4193 and link-local addresses.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

/// Addresses of the Internet (IANA's special-purpose registries, RFC 6890): no network of one's own, nothing reserved, and nothing
/// that leads back into one by way of a translator.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.segments() {
            // NAT64 (RFC 6052) and 6to4 (RFC 3056) have an IPv4 address in them.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                is_public_v4((u32::from(high) << 16 | u32::from(low)).into())
            }
            [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false, // IETF's own, Teredo, documentation
            [0x3fff, second, ..] if second < 0x1000 => false,                   // documentation
            [first, ..] => first & 0xe000 == 0x2000,                            // what is handed out at all
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || matches!((a, b, c), (0 | 224.., ..) | (192, 0, 0)) // this network, multicast and reserved, IETF's own
        || (a == 100 && b & 0xc0 == 64) // carriers' NAT (RFC 6598)
        || (a == 198 && b & 0xfe == 18); // benchmarks (RFC 2544)
    !special
}

/// The IP address that an address names its host by, if it does.
fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str().unwrap_or_default();
    host.trim_matches(['[', ']']).parse().ok()
}

/// Whether the address names a host by an IP address that is not private.
pub(super) fn is_public_literal(url: &Url) -> bool {
    literal(url).is_some_and(|address| !is_private(address))
}

/// Whether the address says by itself that it does not lead to the Internet: by an IP address, or by a name of this machine.
pub(super) fn is_inside(url: &Url) -> bool {
    if let Some(address) = literal(url) {
        return !is_public(address);
    }
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let host = host.to_ascii_lowercase();
    let own = ["localhost", "local", "internal", "home.arpa"];
    !host.contains('.')
        || own.iter().any(|end| {
            host.strip_suffix(end)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_internet_are_told_from_all_others() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.255",
            "203.0.113.9",
            "224.0.0.251",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "fd00::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:0a00:0001::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "9.9.9.9",
            "100.63.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2620:fe::fe",
            "64:ff9b::9.9.9.9",
            "2a00::1",
        ] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn an_address_that_says_itself_that_it_leads_inside_is_refused_before_anything_is_looked_up() {
        for inside in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:192.168.1.1]/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://router/",
            "https://nas.local/",
            "https://nas.home.arpa/",
            "https://metadata.google.internal/",
        ] {
            assert!(is_inside(&Url::parse(inside).unwrap()), "{inside}");
        }
        for outside in [
            "https://push.example/",
            "https://9.9.9.9/",
            "https://notlocal.example/",
            "https://xlocalhost.example/",
        ] {
            assert!(!is_inside(&Url::parse(outside).unwrap()), "{outside}");
        }
    }
}
