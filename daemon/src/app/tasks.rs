//! What runs beside the line: what the network tells is handed on, devices without a name are noted and forgotten.

use std::sync::Arc;

use isigurt_core::snapshot::Site;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use super::now;
use crate::clients::sightings::{self, Bounds, Sighting, Sightings};
use crate::clients::{Known, Network};
use crate::config::{Config, LogQueries};
use crate::dns::engine::Engine;
use crate::policy::{self, Event};
use crate::status::Watch;
use crate::store::Store;

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
    watch: &Arc<Watch>,
    network: &Network,
) -> [JoinHandle<()>; 4] {
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
    ]
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
