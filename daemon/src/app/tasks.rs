//! What runs beside the line: what the network tells is handed on, devices without a name are noted and forgotten.

use std::sync::Arc;
use std::time::Duration;

use isigurt_core::snapshot::Site;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use super::lasting::lasting;
use super::now;
use crate::accounts::Accounts;
use crate::alerts::{Alerts, Signal};
use crate::clients::sightings::{self, Bounds, Sighting, Sightings};
use crate::clients::{Known, Network};
use crate::config::{Config, LogQueries};
use crate::dns::engine::Engine;
use crate::http;
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
    let (watch, stats, alerts) = (&site.watch, site.stats.clone(), site.alerts.clone());
    // Each is made of what it is handed here, as often as it has to be.
    let clock = (engine.clone(), watch.clone());
    let sightings = watch.sightings().clone();
    let forgetting = watch.clone();
    let knowing = (engine.clone(), watch.clone(), network.changed());
    let reader = Arc::new(network.reader());
    let faring = (engine.clone(), stats);
    let worrying = (watch.clone(), alerts.clone());
    let faults = engine.faults();
    [
        lasting(faults, "clock", move || {
            policy::tick(clock.0.clone(), clock.1.clone())
        }),
        lasting(faults, "devices seen", move || sightings.clone().keep_saving()),
        lasting(faults, "devices named", move || forget(forgetting.clone())),
        lasting(faults, "network", move || {
            let reader = reader.clone();
            let (engine, watch, changed) = knowing.clone();
            know(engine, watch, changed, move || reader())
        }),
        lasting(faults, "counts", move || fare(faring.0.clone(), faring.1.clone())),
        lasting(faults, "alerts", move || alerts.clone().serve()),
        lasting(faults, "worries", move || {
            worry(worrying.0.clone(), worrying.1.clone())
        }),
    ]
}

/// Starts what keeps the house in order: accounts, certificate, calendars.
pub(super) fn of_the_house(site: &web::Site, http: &http::Client) -> [JoinHandle<()>; 3] {
    let faults = site.watch.engine().faults();
    let (accounts, certificates) = (site.accounts.clone(), site.certificates.clone());
    let (watch, http) = (site.watch.clone(), http.clone());
    [
        lasting(faults, "accounts", move || tidy(accounts.clone())),
        lasting(faults, "certificate", move || certificates.clone().keep(now)),
        lasting(faults, "calendars", move || {
            policy::keep_holidays(watch.engine().clone(), watch.clone(), http.clone())
        }),
    ]
}

/// Lets go of sessions and tokens that have expired.
async fn tidy(accounts: Arc<Accounts>) {
    loop {
        tokio::time::sleep(Duration::from_secs(300)).await;
        if let Err(error) = accounts.work(Accounts::tidy).await {
            tracing::warn!(%error, "accounts are not tidied");
        }
    }
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
