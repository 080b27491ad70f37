//! The way out and what comes in on it: lists to start with, the client that fetches, the tasks that keep lists fresh.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::lasting::lasting;
use super::now;
use crate::accounts::Accounts;
use crate::alerts::{Alerts, push};
use crate::config::{self, Config};
use crate::dns::engine::Engine;
use crate::dns::lookup::OwnUpstreams;
use crate::http::{self, HttpError};
use crate::status::Watch;
use crate::store::{Store, StoreError};
use crate::sync::worker::Worker;
use crate::sync::{Keeper, Loading, Rules, SyncError};
use crate::web;

/// The rules to start with.
pub(super) fn first(config: &Config, store: &Store, worker: &Worker) -> Result<Rules, SyncError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let loading = Loading {
        config,
        store: Some(store),
        worker,
        threads: threads.min(2),
        now: now(),
        first: true,
    };
    loading.load()
}

/// The ways out; names are looked up through the engine's upstreams. The first is for what the configuration names, the second for
/// lists that were added in the web UI: it leads to the Internet alone, unless the configuration says otherwise.
pub(super) fn ways(config: &Config, engine: &Arc<Engine>) -> Result<(http::Client, http::Client), HttpError> {
    let config::Http {
        proxy,
        authorities,
        plain,
        bandwidth_kib,
        patience,
    } = &config.http;
    let settings = http::Settings {
        proxy: proxy.clone(),
        authorities: authorities.clone(),
        plain: *plain,
        bandwidth: (*bandwidth_kib > 0).then(|| u64::from(*bandwidth_kib) << 10),
        patience: patience.0,
    };
    let lookup: Arc<dyn http::Lookup> = Arc::new(OwnUpstreams(engine.clone()));
    let client = http::Client::new(&settings, &lookup)?;
    let added = if config.web.private_lists {
        client.clone()
    } else {
        client.for_strangers()
    };
    Ok((client, added))
}

/// Alerts, and the way to browsers that the configuration allows.
pub(super) fn alerts(
    config: &Config,
    store: &Store,
    http: &http::Client,
    accounts: &Arc<Accounts>,
) -> Result<Arc<Alerts>, StoreError> {
    let config::Push { contact, private } = &config.push;
    let settings = push::Settings {
        contact: contact.clone(),
        private: *private,
    };
    Alerts::open(store.clone(), http.clone(), accounts.clone(), settings)
}

/// Starts what keeps lists fresh, and what shows how that goes.
pub(super) fn keep(
    config: &Config,
    keeper: &Keeper,
    (client, outside): (&http::Client, &http::Client),
    watch: &Arc<Watch>,
) -> Vec<JoinHandle<()>> {
    let faults = watch.engine().faults();
    let platform = (keeper.clone(), client.clone());
    let (lists, outside) = ((keeper.clone(), client.clone()), outside.clone());
    let mut tasks = vec![
        lasting(faults, "national lists", move || {
            platform.0.clone().keep_platform(platform.1.clone())
        }),
        lasting(faults, "lists", move || {
            lists.0.clone().keep_lists(lists.1.clone(), outside.clone())
        }),
    ];
    if let Some(metrics) = &config.metrics {
        tasks.push(tokio::spawn(measured(metrics.listen, watch.clone())));
    }
    tasks
}

/// Serves metrics, where the address can be had.
async fn measured(address: SocketAddr, watch: Arc<Watch>) {
    if let Some(listener) = web::metrics::bind(address).await {
        web::metrics::serve(listener, watch).await;
    }
}
