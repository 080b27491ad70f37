//! What runs beside the line: what the network tells is handed on, devices without a name are noted and forgotten.

use std::sync::Arc;

use isigurt_core::snapshot::Site;
use tokio::sync::broadcast::error::RecvError;

use super::now;
use crate::clients::sightings::{self, Bounds, Sighting, Sightings};
use crate::clients::{Known, Network};
use crate::config::{Config, LogQueries};
use crate::dns::engine::Engine;
use crate::policy::Event;
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

/// Forgets what was seen of devices that have a name now.
pub(super) async fn forget(watch: Arc<Watch>) {
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
pub(super) async fn know(
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
