//! What runs beside the line: what the network tells is handed on, devices without a name are noted and forgotten.

use std::sync::Arc;
use std::time::Duration;

use isigurt_core::snapshot::Site;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use super::now;
use crate::alerts::{Alerts, Signal};
use crate::clients::sightings::{self, Bounds, Sighting, Sightings};
use crate::clients::{Known, Network};
use crate::config::{Config, LogQueries};
use crate::dns::engine::Engine;
use crate::log::record::Raw;
use crate::policy::{self, Event};
use crate::stats::{Counting, Stats, Taken};
use crate::status::Watch;
use crate::store::Store;
use crate::web;

/// Has the query log tell of clients that no device is named for. A privacy setting that keeps no names keeps none here.
pub(super) fn sightings(
    config: &Config,
    store: &Store,
    engine: &Engine,
    network: &Network,
) -> Arc<Sightings> {
    let bounds = Bounds {
        most: match config.settings.site {
            Site::Home => sightings::HOME,
            Site::School => sightings::SCHOOL,
        },
        names: config.log.queries == LogQueries::Full,
        keep: config.log.keep.0,
    };
    let sightings = Arc::new(Sightings::open(store.clone(), bounds));
    let (seen, known) = (sightings.clone(), network.reader());
    engine.log().watch(Box::new(move |record| {
        if let Some(client) = record.client.filter(|_| record.device.is_empty()) {
            seen.saw(&known(), client, &record.name, now());
        }
    }));
    sightings
}

/// Starts what runs beside the line as long as the daemon does.
pub(super) fn beside_the_line(
    engine: &Arc<Engine>,
    network: &Network,
    site: &web::Site,
) -> [JoinHandle<()>; 7] {
    let (watch, stats) = (&site.watch, site.stats.clone());
    [
        tokio::spawn(policy::tick(engine.clone(), watch.clone())),
        tokio::spawn(watch.sightings().clone().keep_saving()),
        tokio::spawn(forget(watch.clone())),
        tokio::spawn(know(
            engine.clone(),
            watch.clone(),
            network.changed(),
            network.reader(),
        )),
        tokio::spawn(fare(engine.clone(), stats)),
        tokio::spawn(site.alerts.clone().serve()),
        tokio::spawn(worry(watch.clone(), site.alerts.clone())),
    ]
}

/// Has the query log's thread count what was asked for.
pub(super) fn counts(config: &Config, engine: &Engine, alerts: &Arc<Alerts>) -> Arc<Stats> {
    let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    let stats = Stats::open(&config.state_dir, config.log.keep.0, now_ms);
    if !engine.log().keeping().nothing {
        let alerts = alerts.clone();
        let tell = Box::new(move |raw: &Raw<'_>| blocked(&alerts, raw));
        engine.log().count(Box::new(Counting::new(stats.clone(), tell)));
    }
    stats
}

/// Tells of what was blocked, where somebody wants to know.
fn blocked(alerts: &Alerts, raw: &Raw<'_>) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let about = format!("category:{}", String::from_utf8_lossy(raw.reason));
    if alerts.wants(&about) {
        alerts.tell(Signal {
            about,
            profile: text(raw.profile),
            device: text(raw.device),
            problem: String::new(),
        });
    }
}

/// Tells of what is wrong with the gateway, once it has been so for a minute; again when it was well meanwhile.
async fn worry(watch: Arc<Watch>, alerts: Arc<Alerts>) {
    let mut before: Vec<String> = Vec::new();
    let mut told: Vec<String> = Vec::new();
    loop {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let now = watch.status().problems;
        told.retain(|problem| now.iter().any(|other| same(other, problem)));
        for problem in &now {
            let lasts = before.iter().any(|other| same(other, problem));
            if lasts && !told.iter().any(|other| same(other, problem)) {
                told.push(problem.clone());
                alerts.tell(Signal {
                    about: "gateway".to_owned(),
                    profile: String::new(),
                    device: String::new(),
                    problem: problem.clone(),
                });
            }
        }
        before = now;
    }
}

/// Whether two problems are the same one, whose hours and counts go on.
fn same(one: &str, other: &str) -> bool {
    let letter = |octet: &u8| !octet.is_ascii_digit();
    one.bytes().filter(letter).eq(other.bytes().filter(letter))
}

/// Notes each minute how the gateway fares.
async fn fare(engine: Arc<Engine>, stats: Arc<Stats>) {
    let mut minutes = tokio::time::interval(Duration::from_secs(60));
    minutes.tick().await; // the first is at once, and has nothing to tell
    loop {
        minutes.tick().await;
        let counts = engine.counts();
        let taken = Taken {
            queries: counts.queries,
            blocked: counts.blocked,
            cached: counts.cached,
            forwarded: counts.forwarded,
            failed: counts.failed + counts.stale,
            waits: engine.waits(),
        };
        stats.health().note(now(), taken);
    }
}

/// Forgets what was seen of devices that have a name now.
async fn forget(watch: Arc<Watch>) {
    let mut events = watch.household().events();
    loop {
        match events.recv().await {
            Ok(Event::Policy | Event::Network) | Err(RecvError::Lagged(_)) => {
                let snapshot = watch.engine().snapshot();
                let named = |sighting: &Sighting| snapshot.clients.device(sighting.address).is_some();
                watch.sightings().forget_named(named);
            }
            Ok(_) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Hands on what the network tells, whenever that changes.
async fn know(
    engine: Arc<Engine>,
    watch: Arc<Watch>,
    mut changed: tokio::sync::watch::Receiver<u64>,
    known: impl Fn() -> Arc<Known> + Send + 'static,
) {
    loop {
        watch.household().know(&engine, known());
        if changed.changed().await.is_err() {
            return; // the watcher has ended
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_that_lasts_for_hours_is_told_once_and_again_when_it_becomes_another() {
        assert!(same("not refreshed for 26 hours", "not refreshed for 27 hours"));
        assert!(!same("not refreshed for 26 hours", "NOT REFRESHED FOR 7 DAYS"));
        assert!(!same("list a: gone", "list b: gone"));
    }
}
