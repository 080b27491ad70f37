//! What the line reads: one immutable value, built beside the line and swapped whole.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use isigurt_blocklists::index::Index;
use isigurt_blocklists::name::{Name, NameRef};
use isigurt_blocklists::rule::LocalRecord;
use serde::{Deserialize, Serialize};

use crate::clients::{self, Network};
use crate::policy::confirm::Confirmed;
use crate::policy::{Client, Clients, InForce, Present};
use crate::wire::cookie::Secret;
use crate::wire::finished::TtlBounds;
use crate::wire::reply::ede;

/// How a blocked name is answered where its rule does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockAnswer {
    /// 0.0.0.0 and ::, NODATA for other types.
    #[default]
    Null,
    /// Name Error.
    Nxdomain,
    /// NOERROR without data.
    Nodata,
    /// This gateway's own address, where the block page is served.
    Page,
    /// REFUSED.
    Refused,
}

/// Where the gateway stands: decides the extended error of a block (RFC 8914).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Site {
    /// A household filters at its own wish: 17 Filtered.
    #[default]
    Home,
    /// An operator blocks: 15 Blocked.
    School,
}

impl Site {
    /// INFO-CODE of a block.
    pub fn ede(self) -> u16 {
        match self {
            Self::Home => ede::FILTERED,
            Self::School => ede::BLOCKED,
        }
    }
}

/// How answers are made.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    /// For blocked names.
    pub block: BlockAnswer,
    /// TTL of blocked, special-use and local answers, seconds.
    pub block_ttl: u32,
    /// Home or school.
    pub site: Site,
    /// Bounds on the TTLs of upstream answers.
    pub ttl: TtlBounds,
    /// Whether popular names are fetched anew before their time is over.
    pub prefetch: bool,
    /// What server cookies are made with.
    pub cookie_secret: Secret,
    /// Seconds since 1970 at the caller's monotonic zero.
    pub epoch_s: u64,
}

/// Everything that decides a query.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Every rule.
    pub index: Arc<Index>,
    /// Who has which profile, and what it blocks.
    pub policy: Arc<InForce>,
    /// Which address belongs to which device.
    pub clients: Arc<Clients>,
    /// What holds at this moment.
    pub present: Arc<Present>,
    /// Who may ask.
    pub allow_from: Vec<Network>,
    /// How answers are made.
    pub answers: Answers,
    /// Zones that have servers of their own.
    pub forwarded: Vec<Name>,
    /// Zones whose answers may hold private addresses; `None`: all may.
    pub rebind_allow: Option<Vec<Name>>,
    /// Records of `[local]`, by the wire format of their names. A name without any is one of this gateway itself: its answer
    /// is the address that was asked.
    pub local: HashMap<Box<[u8]>, Vec<LocalRecord>>,
    /// What was told about candidates of prefix lists; kept over swaps.
    pub confirmed: Arc<Confirmed>,
}

impl Snapshot {
    /// The wall's clock at a time of the line's, seconds since 1970.
    pub fn wall_s(&self, now_ms: u64) -> u64 {
        self.answers.epoch_s + now_ms / 1000
    }

    /// Whether this address may ask. IPv4-mapped IPv6 addresses count as the IPv4 address.
    pub fn allows(&self, peer: IpAddr) -> bool {
        let peer = clients::number(peer);
        self.allow_from.iter().any(|network| network.contains(peer))
    }

    /// The one who asks from this address, with everything that is said about them. `now_ms`: the caller's monotonic clock.
    #[inline]
    pub fn client(&self, address: IpAddr, now_ms: u64) -> Client<'_> {
        let device = self.clients.device(address);
        Client::new(&self.policy, &self.present, device, self.minute(now_ms))
    }

    /// The minute since 1970 on the caller's monotonic clock.
    #[inline]
    pub fn minute(&self, now_ms: u64) -> u32 {
        u32::try_from((self.answers.epoch_s + now_ms / 1000) / 60).unwrap_or(0)
    }

    /// Whether an answer to this name may hold private addresses: where the configuration says so, and in zones that it
    /// forwards to servers of their own.
    pub fn may_be_private(&self, name: NameRef<'_>) -> bool {
        let listed = |zones: &Vec<Name>| zones.iter().any(|zone| name.is_at_or_below(zone.as_ref()));
        self.rebind_allow.as_ref().is_none_or(listed) || self.is_forwarded(name)
    }

    /// Whether the configuration forwards this name to servers of its own.
    pub fn is_forwarded(&self, name: NameRef<'_>) -> bool {
        self.forwarded
            .iter()
            .any(|zone| name.is_at_or_below(zone.as_ref()))
    }
}
