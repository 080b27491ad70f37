//! The local web server: the embedded page, the API, and the health checks.

mod api;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::status::Watch;

/// Nothing but what this server itself sends is loaded or run.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct Site {
    /// The engine, the policy and the lists.
    pub watch: Arc<Watch>,
}

/// Serves one listener until the task is ended.
pub async fn serve(listener: TcpListener, site: Site) {
    let app = Router::new()
        .route("/", get(index))
        .route("/style.css", get(style))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(|| async { "ready\n" })) // lists are in force before anything is served
        .merge(api::router(site));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
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
