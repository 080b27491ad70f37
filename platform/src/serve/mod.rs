//! `isigurt-platform serve`: takes reports, says how they stand, hands out confirmations and, where told to, the lists.
//!
//! ```text
//!   HTTPS ─┬▶ POST /api/v1/reports ─▶ intake ─▶ batch ─▶ PostgreSQL ◀── triage
//!          ├▶ GET  /api/v1/reports/{receipt} ─▶ progress
//!          ├▶ GET  /api/v1/confirm/… ─▶ confirm            (signed when published; no key is here)
//!          └▶ GET  /metadata/… /targets/… ─▶ repository
//! ```
//!
//! It keeps no state of its own, so that any number of them run behind a balancer. It holds no key that opens a report, and
//! logs neither what it is sent nor by whom.

mod batch;
mod confirm;
mod intake;
mod keys;
mod metrics;
mod problem;
mod progress;
mod repository;
mod source;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use sqlx::PgPool;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::database::{self, now};
use problem::Problem;
use source::{Questions, Source, Sources};

/// How long a client may take for a handshake or the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long requests under way may take when the server ends.
const DRAIN: Duration = Duration::from_secs(25);
/// Between two rounds of forgetting.
const ROUND: Duration = Duration::from_mins(1);

/// What the handlers work on.
#[derive(Debug, Clone)]
struct Site {
    config: Arc<Config>,
    database: PgPool,
    intake: batch::Intake,
    keys: Arc<keys::Keys>,
    sources: Arc<Sources>,
    asked: Arc<Questions>,
    metrics: Arc<metrics::Metrics>,
}

impl Site {
    /// Counts a question; an error where the network has asked too much in this minute.
    fn questions(&self, network: Source) -> Result<(), Problem> {
        self.asked.ask(network, now()).map_err(|seconds| {
            let detail = "too many questions from here in this minute";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).again_in(seconds)
        })
    }
}

/// Serves until SIGTERM or SIGINT; SIGHUP reads the certificate anew.
pub(crate) fn run(file: &Path) -> anyhow::Result<()> {
    log();
    let config = Config::read(file)?;
    config.serves(file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(serve(config))
}

/// The log, on stderr; `RUST_LOG` says how much.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let sources = Sources::new(config.intake.quota_key.as_deref())?;
    let database = database::open(&config.database, config.database_connections, PATIENCE).await?;
    sources.renew(&database, now()).await.context("the database")?;
    let (intake, writer) = batch::Intake::new(database.clone());
    let writer = tokio::spawn(writer);
    let site = Site {
        asked: Arc::new(Questions::new(config.intake.questions)),
        config: Arc::new(config),
        database: database.clone(),
        intake,
        keys: Arc::default(),
        sources: Arc::new(sources),
        metrics: Arc::default(),
    };
    let rounds = tokio::spawn(rounds(site.clone()));
    let handle = Handle::new();
    let certificate = certificate(&site.config).await?;
    let mut servers = tokio::task::JoinSet::new();
    for address in site.config.listen.clone() {
        servers.spawn(listen(
            address,
            router(site.clone()),
            certificate.clone(),
            handle.clone(),
        ));
    }
    if let Some(address) = site.config.metrics {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .with_state(site.clone());
        servers.spawn(listen(address, router, None, handle.clone()));
    }
    let ended = tokio::select! {
        ended = servers.join_next() => ended.transpose().context("a server")?.unwrap_or(Ok(())),
        ended = signals(&site.config, certificate.as_ref()) => ended,
    };
    handle.graceful_shutdown(Some(DRAIN));
    while let Some(server) = servers.join_next().await {
        server.context("a server")??;
    }
    rounds.abort();
    let _ = rounds.await; // its copy of the site is gone: the writer sees the end of its queue
    drop(site);
    writer.await.context("the writer")?;
    database.close().await;
    ended
}

/// Serves one address.
async fn listen(
    address: SocketAddr,
    router: Router,
    certificate: Option<RustlsConfig>,
    handle: Handle<SocketAddr>,
) -> anyhow::Result<()> {
    let listener = std::net::TcpListener::bind(address).with_context(|| format!("listen: {address}"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let mut server = axum_server::from_tcp(listener)?
        .handle(handle)
        .http1_only()
        .first_request_timeout(PATIENCE);
    server.http_builder().http1().header_read_timeout(PATIENCE);
    if let Some(certificate) = certificate {
        tracing::info!(%address, "serving HTTPS");
        let acceptor = RustlsAcceptor::new(certificate).handshake_timeout(PATIENCE);
        server.acceptor(acceptor).serve(service).await?;
    } else {
        tracing::info!(%address, "serving HTTP");
        server.serve(service).await?;
    }
    Ok(())
}

fn router(site: Site) -> Router {
    Router::new()
        .route("/api/v1/reports", post(intake::take))
        .route("/api/v1/reports/{receipt}", get(progress::show))
        .route("/api/v1/confirm/{list}/{version}/{prefix}", get(confirm::show))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(repository::file)
        .with_state(site)
}

async fn certificate(config: &Config) -> anyhow::Result<Option<RustlsConfig>> {
    let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else {
        return Ok(None);
    };
    // Already installed: by whoever started this process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let read = RustlsConfig::from_pem_file(certificate, key).await;
    read.map(Some)
        .with_context(|| format!("certificate {} with key {}", certificate.display(), key.display()))
}

/// Waits for the signal that ends the server.
async fn signals(config: &Config, certificate: Option<&RustlsConfig>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hang_up.recv() => {
                if let (Some(served), Some(file), Some(key)) = (certificate, &config.certificate, &config.key) {
                    match served.reload_from_pem_file(file, key).await {
                        Ok(()) => tracing::info!("the certificate was read anew"),
                        Err(error) => tracing::error!(%error, "the new certificate does not go; the old one stays"),
                    }
                }
            }
        }
    }
}

/// Forgets what is over: counts, salts, sealed bodies of reports long decided.
async fn rounds(site: Site) {
    loop {
        tokio::time::sleep(ROUND).await;
        if let Err(error) = round(&site, now()).await {
            tracing::warn!(%error, "could not forget what is over; trying again");
        }
    }
}

async fn round(site: &Site, now: i64) -> Result<(), sqlx::Error> {
    site.sources.renew(&site.database, now).await?;
    sqlx::query(
        "UPDATE report SET sealed = '' WHERE state IN ('acted-on', 'not-illegal') AND since < $1 AND sealed <> ''",
    )
    .bind(now - i64::from(site.config.intake.keep_days) * 86_400)
    .execute(&site.database)
    .await?;
    Ok(())
}

async fn ready(State(site): State<Site>) -> Response {
    let asked = sqlx::query("SELECT 1").execute(&site.database);
    match tokio::time::timeout(Duration::from_secs(3), asked).await {
        Ok(Ok(_)) => "ready\n".into_response(),
        Ok(Err(error)) => unavailable(&error).into_response(),
        Err(_) => away().into_response(),
    }
}

async fn metrics(State(site): State<Site>) -> Response {
    let asked = sqlx::query_scalar("SELECT count(*) FROM report WHERE tag IS NULL AND NOT unreadable")
        .fetch_one(&site.database);
    let unsorted = tokio::time::timeout(Duration::from_secs(3), asked).await;
    let text = site
        .metrics
        .text(site.intake.waiting(), unsorted.ok().and_then(Result::ok));
    ([("content-type", "text/plain; version=0.0.4")], text).into_response()
}

/// The database does not answer a question.
fn unavailable(error: &sqlx::Error) -> Problem {
    tracing::warn!(%error, "the database does not answer");
    away()
}

fn away() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database is away; ask again").again_in(10)
}

/// The network that a request comes from, as it is counted.
struct Asker(Source);

impl FromRequestParts<Site> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Problem> {
        let ConnectInfo(peer) = ConnectInfo::<SocketAddr>::from_request_parts(parts, site)
            .await
            .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no peer"))?;
        let forwarded: Vec<&str> = parts
            .headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let forwarded = forwarded.join(",");
        let named = (!forwarded.is_empty()).then_some(forwarded.as_str());
        Ok(Self(site.sources.network(site.config.source(peer.ip(), named))))
    }
}
