//! What the line reads, put together from configuration, rules and policy.

use std::collections::HashMap;
use std::sync::Arc;

use isigurt_blocklists::name::Name;
use isigurt_blocklists::rule::LocalRecord;
use isigurt_core::policy::confirm::Confirmed;
use isigurt_core::snapshot::{Answers, Snapshot};
use isigurt_core::wire::cookie::Secret;
use isigurt_core::wire::finished::TtlBounds;

use super::wall_s;
use crate::config::Config;
use crate::policy::Parts;
use crate::sync::Rules;

/// What one run of the daemon has for itself, and keeps over reloads.
#[derive(Debug, Clone, Default)]
pub struct Run {
    cookie_secret: Secret,
    pub(super) confirmed: Arc<Confirmed>,
    /// Seconds since 1970 at the engine's start.
    epoch_s: u64,
}

impl Run {
    /// A run that starts now. Without randomness cookies would be forgeable and are made all the same: they only ever add
    /// to what an address proves.
    pub(super) fn start() -> Self {
        let mut secret = [0; 16];
        if let Err(error) = getrandom::fill(&mut secret) {
            tracing::warn!(%error, "no randomness for DNS cookies");
        }
        Self {
            cookie_secret: Secret(secret),
            confirmed: Arc::default(),
            epoch_s: wall_s(),
        }
    }
}

/// What the line reads.
pub fn snapshot(config: &Config, rules: Rules, parts: Parts, run: &Run) -> Snapshot {
    let mut local: HashMap<Box<[u8]>, Vec<LocalRecord>> = HashMap::new();
    for record in &config.local.records {
        local
            .entry(record.name.as_ref().wire().into())
            .or_default()
            .push(record.record.clone());
    }
    for name in own_names(config) {
        local.entry(name.as_ref().wire().into()).or_default();
    }
    Snapshot {
        confirmed: run.confirmed.clone(),
        index: rules.index,
        policy: parts.policy,
        clients: parts.clients,
        present: parts.present,
        allow_from: config.client_nets().into_iter().map(Into::into).collect(),
        answers: Answers {
            block: config.dns.block_answer,
            block_ttl: config.dns.block_ttl,
            site: config.settings.site,
            ttl: TtlBounds {
                min: config.dns.cache.min_ttl,
                max: config.dns.cache.max_ttl,
            },
            prefetch: config.dns.cache.prefetch,
            cookie_secret: run.cookie_secret,
            epoch_s: run.epoch_s,
        },
        forwarded: config
            .upstream
            .zones
            .iter()
            .flat_map(|zone| zone.zones.iter().cloned())
            .collect(),
        rebind_allow: config
            .dns
            .rebind_protection
            .then(|| config.dns.rebind_allow.clone()),
        local,
    }
}

/// Names that lead here: `gateway` and `isigurt` below the local domain, unless another server has that zone.
fn own_names(config: &Config) -> Vec<Name> {
    let zones = config.upstream.zones.iter().flat_map(|zone| &zone.zones);
    let zones: Vec<&Name> = zones.collect();
    let names = ["gateway", "isigurt"].map(|label| format!("{label}.{}", config.local.domain));
    let names = names.iter().filter_map(|name| Name::parse(name).ok());
    let here = |name: &Name| {
        !zones
            .iter()
            .any(|zone| name.as_ref().is_at_or_below(zone.as_ref()))
    };
    names.filter(here).collect()
}
