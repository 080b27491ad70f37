//! The daemon put together, from its edges inwards: every socket is a parameter, so that tests bring their own.
//!
//! Order of the start, and why: the configuration is validated before anything is touched; the state is opened before
//! the ports, because its lock tells two daemons apart; the lists are read before anything is served, because until
//! then an answer would be unfiltered; only then the service manager is told that the gateway is ready.

mod doors;
mod edges;
mod lasting;
mod line;
mod lists;
mod tasks;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use isigurt_core::cache::Cache;
use isigurt_core::limit::Limiter;
use isigurt_core::snapshot::Snapshot;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use crate::accounts::{AccountError, Accounts, Lifetimes, SystemClock};
use crate::clients::Network;
use crate::config::{Config, Loaded, LogQueries, Scheme, Server};
use crate::dns::engine::Engine;
use crate::dns::upstream::Upstream;
use crate::dns::{keep, tcp, udp};
use crate::http::{self, HttpError};
use crate::log::queries::{Keeping, QueryLog};
use crate::policy::Household;
use crate::preview::Previews;
use crate::report::{self, Desk};
use crate::status::Watch;
use crate::store::{Store, StoreError};
use crate::sync::confirm::Confirmer;
use crate::sync::worker::Worker;
use crate::sync::{Files, Keeper, Loading, Rules, SyncError, added};
use crate::tls::{self, Certificates, TlsError};
use crate::{control, web};

pub use edges::Edges;
use edges::refused;
use lasting::lasting;
pub use line::{Run, snapshot};
use tasks::{counts, sightings};

/// Why the daemon does not start: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lists cannot be used.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The policy in the state cannot be used.
    #[error("policy: {0}; apply a right one to an empty state folder, or mend policy.toml and apply it")]
    Policy(String),
    /// The accounts cannot be used.
    #[error("accounts: {0}")]
    Accounts(#[from] AccountError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no way out.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The service that signs a school's staff in cannot be used.
    #[error("{0}")]
    Oidc(String),
    /// A port cannot be had.
    #[error("{what} {address}: {error}; {advice}")]
    Bind {
        /// Which service.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// The control socket cannot be made.
    #[error("control socket {0}: {1}; make the state folder writable, or name another one with --state")]
    Control(PathBuf, std::io::Error),
    /// Sockets handed over by the service manager are not usable.
    #[error("sockets from the service manager: {0}; check isigurtd.socket")]
    Inherited(std::io::Error),
    /// The runtime cannot start.
    #[error("the runtime cannot start: {0}")]
    Runtime(std::io::Error),
}

/// The daemon, ready to serve.
#[derive(Debug)]
pub struct App {
    loaded: Loaded,
    state_dir: Option<PathBuf>,
    store: Store,
    worker: Worker,
    run: Run,
    watch: Arc<Watch>,
    network: Network,
    accounts: Arc<Accounts>,
    certificates: Arc<Certificates>,
    http: http::Client,
    keeper: Keeper,
    workers: udp::Workers,
    doors: Vec<JoinHandle<()>>,
    dns: Vec<SocketAddr>,
    web: Vec<SocketAddr>,
}

impl App {
    /// Builds everything and starts to serve. `loaded.config` is in force; on a reload its file is read anew and
    /// `state_dir`, where given, put in again. Needs a running runtime.
    pub fn build(
        mut loaded: Loaded,
        state_dir: Option<PathBuf>,
        store: Store,
        edges: Edges,
        worker: Worker,
    ) -> Result<Self, StartError> {
        added::join(&mut loaded.config, &store)?;
        let config = &loaded.config;
        let network = Network::start(config.local.leases.clone()); // it looks round while the lists load
        let rules = lists::first(config, &store, &worker)?;
        let lists = rules.lists.clone();
        let servers = upstream_servers(config);
        let cache = Cache::new(
            u64::from(config.dns.cache.size_mib) << 20,
            config.dns.cache.serve_stale.0.as_secs(),
        );
        let run = Run::start();
        let log = query_log(config, edges.udp.len()).map_err(StartError::Runtime)?;
        let limiter = Limiter::new(config.dns.rate_limit.per_client_qps);
        let accounts = accounts(store.clone(), config)?;
        let certificates = Arc::new(Certificates::open(config, doors::names(config), now())?);
        let household = Household::new(store.clone(), config).map_err(StartError::Policy)?;
        let parts = household.start(&rules.index).map_err(StartError::Policy)?;
        let engine = Engine::new(
            snapshot(config, rules, parts, &run),
            cache,
            Upstream::new(&config.upstream, &servers),
            limiter,
            log,
        );
        remember(&engine, config);
        let (http, outside) = lists::ways(config, &engine)?;
        let alerts = lists::alerts(config, &store, &http, &accounts)?;
        let keeper = Keeper::new(store.clone(), config.clone());
        let (desk, delivery) = reports(&store, config, &keeper, (&http, &engine));
        let listen_error = |what, error| refused(what, SocketAddr::from(([0, 0, 0, 0], 0)), error);

        let mut doors = Vec::new();
        let (dns, web_at) = edges.addresses();
        let files = Files::in_state(&config.state_dir);
        let sightings = sightings(config, &store, &engine, &network);
        let watch = Watch::new(
            engine.clone(),
            household,
            dns.clone(),
            (lists, keeper.clone(), desk.clone()),
            files,
            sightings,
            certificates.clone(),
        );
        let watch = Arc::new(watch);
        // Before the first answer, so that whoever got one can give commands.
        let control: UnixListener = control::bind(&config.state_dir)
            .map_err(|error| StartError::Control(control::path(&config.state_dir), error))?;
        let runtime = tokio::runtime::Handle::current();
        let workers = udp::Workers::start(&engine, edges.udp, &runtime)
            .map_err(|error| listen_error("DNS on", error))?;
        for listener in edges.tcp {
            doors.push(tokio::spawn(tcp::serve(
                engine.clone(),
                stream(listener).map_err(|error| listen_error("DNS on", error))?,
            )));
        }
        let site = web::Site {
            reports: desk.clone(),
            accounts: accounts.clone(),
            hosts: doors::hosts(config),
            watch: watch.clone(),
            certificates: certificates.clone(),
            stats: counts(config, &engine, &alerts),
            alerts,
            previews: Previews::new(watch.clone(), outside.clone(), (&store, &worker)),
            provider: doors::provider(config, &http)?,
        };
        let block_pages = (edges.block_page, edges.block_page_https);
        doors.extend(doors::open((edges.web, edges.https), block_pages, &site)?);
        doors.push(tokio::spawn(control::serve(
            control,
            watch.clone(),
            accounts.clone(),
            desk.clone(),
        )));
        doors.extend(tasks::of_the_house(&site, &http));
        doors.push(delivery);
        doors.extend(tasks::beside_the_line(&engine, &network, &site));
        doors.extend(lists::keep(config, &keeper, (&http, &outside), &watch));
        let confirmer = Confirmer::new(http.clone(), keeper.clone(), run.confirmed.clone());
        watch.engine().confirm_with(Arc::new(confirmer));
        Ok(Self {
            loaded,
            state_dir,
            store,
            worker,
            run,
            watch,
            network,
            accounts,
            certificates,
            http,
            keeper,
            workers,
            doors,
            dns,
            web: web_at,
        })
    }

    /// Addresses that DNS is served on.
    pub fn dns(&self) -> &[SocketAddr] {
        &self.dns
    }

    /// Addresses that the web UI is served on.
    pub fn web(&self) -> &[SocketAddr] {
        &self.web
    }

    /// Who is who on the network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The way out, for lists and to the platform.
    pub fn http(&self) -> &http::Client {
        &self.http
    }

    /// The accounts.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Rules in force.
    pub fn rules(&self) -> usize {
        self.watch.engine().snapshot().index.len()
    }

    /// Comes back when lists came in that are to be put in force with [`App::relist`].
    pub async fn news(&self) {
        self.keeper.news().await;
    }

    /// Reads configuration and lists anew and puts them in force; on any error what is in force stays.
    pub async fn reload(&mut self) {
        let (file, state_dir) = (self.loaded.file.clone(), self.state_dir.clone());
        let read = move || -> Result<Loaded, String> {
            let mut loaded = Config::load(file.as_deref()).map_err(|problem| problem.to_string())?;
            if let Some(state_dir) = state_dir {
                loaded.config.state_dir = state_dir;
            }
            Ok(loaded)
        };
        self.renew(read).await;
    }

    /// Puts lists in force that came in, with the configuration that is in force.
    pub async fn relist(&mut self) {
        let loaded = self.loaded.clone();
        self.renew(move || Ok(loaded)).await;
    }

    async fn renew(&mut self, configuration: impl FnOnce() -> Result<Loaded, String> + Send + 'static) {
        let (store, worker) = (self.store.clone(), self.worker.clone());
        let work = move || -> Result<(Loaded, Rules, tls::Ready), String> {
            let mut loaded = configuration()?;
            added::join(&mut loaded.config, &store).map_err(|error| error.to_string())?;
            let rules = Loading {
                config: &loaded.config,
                store: Some(&store),
                worker: &worker,
                threads: 1, // queries are served meanwhile
                now: now(),
                first: false,
            }
            .load()
            .map_err(|error| error.to_string())?;
            let certificate = Certificates::ready(&loaded.config, doors::names(&loaded.config), now())
                .map_err(|error| error.to_string())?;
            Ok((loaded, rules, certificate))
        };
        let outcome = tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(error.to_string()));
        let outcome =
            outcome.and_then(|(loaded, rules, certificate)| self.enforce(loaded, rules, certificate));
        if let Err(reason) = outcome {
            tracing::error!(%reason, "reload failed; what was in force before stays");
            self.watch.reloaded(Err(reason));
        }
    }

    /// Swaps configuration and rules.
    fn enforce(&mut self, loaded: Loaded, rules: Rules, certificate: tls::Ready) -> Result<(), String> {
        let (old, new) = (&self.loaded.config, &loaded.config);
        if old.dns.listen != new.dns.listen
            || old.upstream != new.upstream
            || old.web != new.web
            || old.dns.cache != new.dns.cache
            || old.dns.rate_limit != new.dns.rate_limit
            || old.dns.threads != new.dns.threads
            || old.log != new.log
            || old.http != new.http
            || old.metrics != new.metrics
        {
            tracing::warn!(
                "addresses, threads, upstream servers, the cache's size, the rate limit, the query log and the way out change at the next restart only"
            );
        }
        let lists = rules.lists.clone();
        let (engine, index) = (self.watch.engine(), rules.index.clone());
        let old = self.watch.household().reload(new, &index, engine, |parts| {
            snapshot(new, rules, parts, &self.run)
        })?;
        tokio::task::spawn_blocking(move || let_go(old));
        self.certificates.put(certificate);
        self.watch.reloaded(Ok(lists));
        self.network.watch_leases(loaded.config.local.leases.clone());
        if self.loaded.config != loaded.config {
            self.keeper.configure(loaded.config.clone());
        }
        self.loaded = loaded;
        tracing::info!(rules = self.rules(), "reloaded");
        Ok(())
    }

    /// What is due once a day: the state's files are made small again if they have grown.
    pub async fn tend(&self) {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.tend()).await {
            Ok(Ok(true)) => tracing::info!("the state database was rewritten"),
            Ok(Err(error)) => tracing::error!(%error, "the state database was not rewritten"),
            Ok(Ok(false)) | Err(_) => {}
        }
    }

    /// Stops taking queries, lets those under way end (at most three seconds), and leaves nothing behind.
    pub async fn drain(self) {
        for door in &self.doors {
            door.abort();
        }
        let mut workers = self.workers;
        let _ = tokio::task::spawn_blocking(move || workers.stop()).await;
        let engine = self.watch.engine();
        for _ in 0..60 {
            if engine.idle() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // the last replies' turn to be sent
        self.watch.household().keep(engine);
        if let Err(error) = self.watch.sightings().save(now()) {
            tracing::warn!(%error, "devices seen are not kept");
        }
        keep_cache(engine, &self.loaded.config);
        let engine = engine.clone();
        let _ = tokio::task::spawn_blocking(move || engine.log().end()).await;
        let store = self.store.clone();
        let _ = tokio::task::spawn_blocking(move || store.export()).await; // whoever else still holds the state
        let _ = std::fs::remove_file(control::path(&self.loaded.config.state_dir));
    }
}

/// Where reports are taken, and who delivers: to the keys that the platform's signed metadata tell of.
fn reports(
    store: &Store,
    config: &Config,
    keeper: &Keeper,
    (http, engine): (&http::Client, &Engine),
) -> (Arc<Desk>, JoinHandle<()>) {
    let base = config.platform.as_ref().map(|platform| platform.url.clone());
    let desk = Desk::new(store.clone(), keeper.services(), base);
    let (sent, http) = (desk.clone(), http.clone());
    let deliver = move || report::deliver(sent.clone(), http.clone(), report::Pace::default());
    (desk, lasting(engine.faults(), "reports", deliver))
}

/// Opens the accounts; where there is none, the log says how the gateway gets its owner.
fn accounts(store: Store, config: &Config) -> Result<Arc<Accounts>, StartError> {
    let lifetimes = Lifetimes {
        idle: config.web.session_idle.0,
        longest: config.web.session_longest.0,
    };
    let accounts = Accounts::open(store, Arc::new(SystemClock::default()), lifetimes)?;
    if let Some(code) = accounts.claim_code() {
        tracing::warn!(%code, "nobody owns this gateway yet: open the web UI and claim it with this code");
    }
    Ok(Arc::new(accounts))
}

/// Seconds since 1970, 0 before.
fn wall_s() -> u64 {
    u64::try_from(now()).unwrap_or(0)
}

/// Starts the query log with a pen for each worker.
fn query_log(config: &Config, workers: usize) -> std::io::Result<Arc<QueryLog>> {
    let keeping = Keeping {
        nothing: config.log.queries == LogQueries::Off,
        anonymous: config.log.queries == LogQueries::Anonymous,
        blocked_only: config.log.queries == LogQueries::BlockedOnly,
    };
    let bounds = (config.log.keep.0, u64::from(config.log.max_mib) << 20);
    QueryLog::start(keeping, &config.state_dir, bounds, workers)
}

/// Takes back the cache of an earlier run.
fn remember(engine: &Engine, config: &Config) {
    if !config.keeps_cache() {
        return;
    }
    let file = keep::path(&config.state_dir);
    let (cache, now_ms) = engine.cache();
    match keep::restore(&file, cache, &engine.snapshot(), wall_s(), now_ms) {
        Ok(0) => {}
        Ok(answers) => tracing::info!(answers, "cache of the last run taken back"),
        Err(error) => tracing::warn!(file = %file.display(), %error, "the cache begins empty"),
    }
}

/// Leaves the cache for the next run; what an earlier one left goes where none is to be kept.
fn keep_cache(engine: &Engine, config: &Config) {
    let file = keep::path(&config.state_dir);
    if !config.keeps_cache() {
        let _ = std::fs::remove_file(&file);
        return;
    }
    let (cache, now_ms) = engine.cache();
    match keep::save(&file, cache, &engine.snapshot(), wall_s(), now_ms) {
        Ok(answers) => tracing::debug!(answers, "cache kept"),
        Err(error) => tracing::warn!(file = %file.display(), %error, "the cache is not kept"),
    }
}

/// Drops an old snapshot here, not where a query happens to hold it last: unmapping a large index takes a while.
fn let_go(old: Arc<Snapshot>) {
    for _ in 0..100 {
        if Arc::strong_count(&old) == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(old);
}

fn stream(listener: TcpListener) -> std::io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// Seconds since 1970 on the system's clock.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The configured servers, or the system's, without this gateway itself.
fn upstream_servers(config: &Config) -> Vec<Server> {
    if !config.upstream.servers.is_empty() {
        return config.upstream.servers.clone();
    }
    let text = std::fs::read("/etc/resolv.conf").unwrap_or_default();
    let system = resolv_conf::Config::parse(&text)
        .map(|system| system.nameservers)
        .unwrap_or_default();
    let servers: Vec<Server> = system
        .iter()
        .map(|server| Server {
            scheme: Scheme::Udp,
            address: SocketAddr::new(IpAddr::from(server), 53),
        })
        .filter(|server| {
            let own = config.dns.listen.iter().any(|listen| {
                listen.port() == 53
                    && (listen.ip() == server.address.ip()
                        || listen.ip().is_unspecified() && server.address.ip().is_loopback())
            });
            !own
        })
        .collect();
    if servers.is_empty() {
        tracing::warn!(
            "no upstream server in /etc/resolv.conf: only blocked and local names are answered; set [upstream] servers"
        );
    }
    servers
}
