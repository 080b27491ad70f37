//! The local web server: the embedded pages, the health checks, and the API below `/api/v1`.
//!
//! ```text
//!   request ─┬▶ files, health: for everybody, and the same for everybody
//!            └▶ gate (peer, Host, Origin) ─▶ api ─▶ access (cookie or token, CSRF) ─▶ rights ─▶ work
//! ```
//!
//! It never decides who may do what: that is [`crate::accounts::rights`].

pub mod api;
mod crowd;
mod files;
pub mod gate;
pub mod metrics;
pub mod pages;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, Version, header};
use axum::middleware::{self, Next};
use axum::routing::get;
use axum::{Extension, Router};
use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;

use crate::accounts::Accounts;
use crate::alerts::{Alerts, Signal};
use crate::oidc::Provider;
use crate::preview::Previews;
use crate::report::Desk;
use crate::stats::Stats;
use crate::status::Watch;
use crate::tls::Certificates;
use crowd::Counted;

/// What is spoken over an encrypted connection, as ALPN names it. HTTP/2 first: a page that listens to events holds a
/// connection of HTTP/1.1 for itself alone.
pub const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];
/// A client that is slower to say what it wants is hung up on.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the handlers work on.
#[derive(Debug, Clone)]
pub struct Site {
    /// Who may sign in.
    pub accounts: Arc<Accounts>,
    /// Names that the gateway is called by.
    pub hosts: Arc<gate::Hosts>,
    /// How the gateway stands; the way to its engine and its policy.
    pub watch: Arc<Watch>,
    /// The certificate of encrypted connections.
    pub certificates: Arc<Certificates>,
    /// Where reports are taken.
    pub reports: Arc<Desk>,
    /// Lists that somebody looks at before adding them.
    pub previews: Arc<Previews>,
    /// Who is told when something happens.
    pub alerts: Arc<Alerts>,
    /// What was asked for, counted.
    pub stats: Arc<Stats>,
    /// The service that signs a school's staff in.
    pub provider: Option<Arc<Provider>>,
}

impl Site {
    /// Tells whoever wants to know that somebody reported danger: who it was is not told. What a child reports at home is told to
    /// nobody there, for it may be about somebody there.
    fn reported_danger(&self, by_member: bool) {
        let school = self.watch.engine().snapshot().answers.site == isigurt_core::snapshot::Site::School;
        if by_member || school {
            self.alerts.tell(Signal {
                about: "danger".to_owned(),
                profile: String::new(),
                device: String::new(),
                problem: String::new(),
            });
        }
    }
}

/// Everything that is served. Whoever serves it elsewhere than with [`serve`] puts
/// `ConnectInfo<SocketAddr>` into each request, and [`gate::Encrypted`] where the connection is.
pub fn router(site: Site) -> Router {
    let gate = middleware::from_fn_with_state(site.clone(), gate::gate);
    Router::new()
        .merge(api::router(site.clone()).route_layer(gate.clone()))
        .merge(pages::router(site).route_layer(gate))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(|| async { "ready\n" })) // lists are in force before anything is served
        .fallback(files::file)
}

/// Serves one listener, unencrypted, until the task is ended.
pub fn serve(listener: TcpListener, site: Site) -> std::io::Result<impl Future<Output = ()>> {
    let app = router(site).into_make_service_with_connect_info::<SocketAddr>();
    let mut door = axum_server::from_tcp(listener)?
        .map(Counted::new)
        .http1_only()
        .first_request_timeout(PATIENCE);
    door.http_builder().http1().header_read_timeout(PATIENCE);
    Ok(async move {
        if let Err(error) = door.serve(app).await {
            tracing::error!(%error, "the web UI has ended");
        }
    })
}

/// Serves one listener, encrypted, until the task is ended.
pub fn serve_encrypted(
    listener: TcpListener,
    server: Arc<ServerConfig>,
    site: Site,
) -> std::io::Result<impl Future<Output = ()>> {
    let certificates = site.certificates.clone();
    let app = router(site).layer(middleware::from_fn_with_state(certificates, insist));
    encrypted(listener, server, app)
}

/// Serves something on a listener, encrypted, until the task is ended.
fn encrypted(
    listener: TcpListener,
    server: Arc<ServerConfig>,
    app: Router,
) -> std::io::Result<impl Future<Output = ()>> {
    listener.set_nonblocking(true)?;
    let app = app.layer(Extension(gate::Encrypted));
    let mut door = axum_server::tls_rustls::from_tcp_rustls(listener, RustlsConfig::from_config(server))?
        .map(Counted::new)
        .first_request_timeout(PATIENCE);
    door.http_builder().http1().header_read_timeout(PATIENCE);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    Ok(async move {
        if let Err(error) = door.serve(app).await {
            tracing::error!(%error, "an encrypted door of the web has ended");
        }
    })
}

/// Ends the connection with the answer to something that was sent, so that its buffers, which hold what was reported, are
/// wiped now and not when somebody closes it. HTTP/2 has no word for that.
async fn last(request: Request, next: Next) -> axum::response::Response {
    let ends = request.method() == Method::POST && request.version() <= Version::HTTP_11;
    let mut response = next.run(request).await;
    if ends {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Where browsers trust the certificate they are told to come encrypted only from now on (RFC 6797). With a certificate that
/// nobody vouches for this would lock people out: a browser that insists lets nobody click a warning away.
async fn insist(
    State(certificates): State<Arc<Certificates>>,
    request: Request,
    next: Next,
) -> axum::response::Response {
    let mut response = next.run(request).await;
    if certificates.trusted(jiff::Timestamp::now().as_second()) {
        let year = HeaderValue::from_static("max-age=31536000");
        response
            .headers_mut()
            .insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    response
}
