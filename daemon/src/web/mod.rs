//! The local web server: the embedded page, the health checks, and the API below `/api/v1`.
//!
//! ```text
//!   request ─┬▶ page, health: for everybody, and the same for everybody
//!            └▶ gate (peer, Host, Origin) ─▶ api ─▶ access (cookie or token, CSRF) ─▶ rights ─▶ work
//! ```
//!
//! It never decides who may do what: that is [`crate::accounts::rights`].

pub mod api;
pub mod gate;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::middleware;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::accounts::Accounts;
use crate::status::Watch;

/// Nothing but what this server itself sends is loaded or run.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the handlers work on.
#[derive(Debug, Clone)]
pub struct Site {
    /// Who may sign in.
    pub accounts: Arc<Accounts>,
    /// Names that the gateway is called by.
    pub hosts: Arc<gate::Hosts>,
    /// How the gateway stands; the way to its engine and its policy.
    pub watch: Arc<Watch>,
}

/// Everything that is served. Whoever serves it elsewhere than with [`serve`] puts
/// `ConnectInfo<SocketAddr>` into each request, and [`gate::Encrypted`] where the connection is.
pub fn router(site: Site) -> Router {
    let gate = middleware::from_fn_with_state(site.clone(), gate::gate);
    Router::new()
        .route("/", get(index))
        .route("/style.css", get(style))
        .merge(api::router(site).route_layer(gate))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(|| async { "ready\n" })) // lists are in force before anything is served
}

/// Serves one listener, unencrypted, until the task is ended.
pub async fn serve(listener: TcpListener, site: Site) {
    let app = router(site).into_make_service_with_connect_info::<SocketAddr>();
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "the web UI has ended");
    }
}

async fn index() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(isigurt_webui::INDEX))
}

async fn style() -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, "text/css; charset=utf-8"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        isigurt_webui::STYLE,
    )
}
