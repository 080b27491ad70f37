//! Names on the way out: through the gateway's own upstreams, else the system's resolver, which may be this gateway.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Url;

/// What is said where clear text would leave private networks.
pub(super) const PUBLIC: &str = "clear text is for private addresses";

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

#[derive(Debug)]
pub(super) struct Names {
    lookup: Arc<dyn Lookup>,
    private_only: bool,
}

impl Names {
    pub(super) fn new(lookup: Arc<dyn Lookup>, private_only: bool) -> Self {
        Self { lookup, private_only }
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, private_only) = (self.lookup.clone(), self.private_only);
        Box::pin(async move {
            let mut addresses = lookup.addresses(name.as_str()).await;
            if addresses.is_empty() {
                let system = tokio::net::lookup_host((name.as_str(), 0));
                addresses = match tokio::time::timeout(SYSTEM, system).await {
                    Ok(found) => found?.map(|address| address.ip()).collect(),
                    Err(_) => return Err("the system's resolver does not answer".into()),
                };
            }
            if private_only {
                addresses.retain(|&address| is_private(address));
                if addresses.is_empty() {
                    return Err(PUBLIC.into());
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

/// Whether the address names a host by an IP address that is not private.
pub(super) fn is_public_literal(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    literal.is_some_and(|address| !is_private(address))
}
