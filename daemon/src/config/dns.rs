//! `[dns]` and `[upstream]`: what is served, and where names are resolved.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use isigurt_blocklists::name::Name;
use isigurt_core::snapshot::BlockAnswer;
use serde::Deserialize;

use super::{ClientNet, Server, Span};

/// `[dns]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Addresses served over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// UDP worker threads, 0 = one a core.
    pub threads: u16,
    /// Who may ask.
    pub allow_from: Vec<ClientNet>,
    /// How blocked names are answered.
    pub block_answer: BlockAnswer,
    /// TTL of such answers, seconds.
    pub block_ttl: u32,
    /// Whether private addresses in answers to public names are held back (DNS rebinding).
    pub rebind_protection: bool,
    /// Zones whose answers may hold private addresses all the same.
    pub rebind_allow: Vec<Name>,
    /// Encrypted listeners.
    pub tls: Option<Tls>,
    /// The cache.
    pub cache: Cache,
    /// Bounds on what one client may ask.
    pub rate_limit: RateLimit,
}

/// `[dns.tls]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Name in the certificate.
    pub hostname: String,
    /// Certificate chain, PEM.
    pub certificate: Option<PathBuf>,
    /// Private key, PEM.
    pub key: Option<PathBuf>,
    /// DNS over TLS.
    #[serde(default)]
    pub dot: Vec<SocketAddr>,
    /// DNS over HTTPS.
    #[serde(default)]
    pub doh: Vec<SocketAddr>,
    /// DNS over QUIC.
    #[serde(default)]
    pub doq: Vec<SocketAddr>,
}

/// `[dns.cache]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Size in MiB.
    pub size_mib: u16,
    /// How long past its time an answer may be served when every upstream is dead.
    pub serve_stale: Span,
    /// Refresh popular names before they expire.
    pub prefetch: bool,
    /// Keep the cache in the state folder over a restart.
    pub keep: bool,
    /// Shorter TTLs are raised to this, seconds.
    pub min_ttl: u32,
    /// Longer TTLs are lowered to this, seconds.
    pub max_ttl: u32,
}

/// `[dns.rate_limit]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// Queries a second and client, 0 = no limit.
    pub per_client_qps: u32,
}

/// Order in which upstream servers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The one that answered fastest lately.
    #[default]
    Fastest,
    /// As written.
    Sequential,
    /// The two fastest at once.
    Parallel,
}

/// DNSSEC validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dnssec {
    /// Answers are checked.
    #[default]
    Validate,
    /// Answers are passed on as they are.
    Off,
}

/// `[upstream]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// Servers; none = those of the system.
    pub servers: Vec<Server>,
    /// Servers that resolve the others' names.
    pub bootstrap: Vec<Server>,
    /// Order of asking.
    pub strategy: Strategy,
    /// How long one query may take, milliseconds.
    pub timeout_ms: u32,
    /// Whether answers are validated.
    pub dnssec: Dnssec,
    /// Zones with servers of their own.
    #[serde(rename = "zone")]
    pub zones: Vec<Zone>,
}

/// `[[upstream.zone]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// The zones.
    pub zones: Vec<Name>,
    /// Their servers.
    pub servers: Vec<Server>,
}

impl Dns {
    /// UDP workers for each address.
    pub fn workers(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => usize::from(threads),
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            listen: vec![
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, 53)),
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, 53)),
            ],
            threads: 0,
            allow_from: vec![ClientNet::Private],
            block_answer: BlockAnswer::default(),
            block_ttl: 10,
            rebind_protection: true,
            rebind_allow: Vec::new(),
            tls: None,
            cache: Cache::default(),
            rate_limit: RateLimit::default(),
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            size_mib: 32,
            serve_stale: Span::days(1),
            prefetch: true,
            keep: true,
            min_ttl: 0,
            max_ttl: 86_400,
        }
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { per_client_qps: 500 }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            bootstrap: Vec::new(),
            strategy: Strategy::default(),
            timeout_ms: 2000,
            dnssec: Dnssec::default(),
            zones: Vec::new(),
        }
    }
}
