//! Names that the gateway itself needs, through its own upstreams: it may be the only resolver of the box.
//!
//! No policy stands in between: what the household may not open is not what the gateway may not fetch its lists from.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use isigurt_blocklists::name::Name;
use isigurt_core::cache::Key;
use isigurt_core::wire::rtype;

use super::engine::Engine;
use crate::http::{Addresses, Lookup};

/// The upstreams of an engine.
#[derive(Debug, Clone)]
pub struct OwnUpstreams(pub Arc<Engine>);

impl Lookup for OwnUpstreams {
    fn addresses(&self, name: &str) -> Addresses {
        let (engine, name) = (self.0.clone(), Name::parse(name));
        Box::pin(async move {
            let Ok(name) = name else { return Vec::new() };
            let (v4, v6) = tokio::join!(
                one(&engine, name.clone(), rtype::A),
                one(&engine, name, rtype::AAAA)
            );
            [v4, v6].concat()
        })
    }
}

/// The addresses of one family.
async fn one(engine: &Engine, name: Name, qtype: u16) -> Vec<IpAddr> {
    let key = Key {
        name,
        qtype,
        dnssec_ok: false,
        checking_disabled: false,
    };
    let Ok(answer) = engine.ask_upstream(&key).await else {
        return Vec::new();
    };
    let Ok(message) = Message::from_vec(&answer) else {
        return Vec::new();
    };
    let addresses = message.answers.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    });
    addresses.collect()
}
