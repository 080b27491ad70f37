//! The desk as a page: on this machine only, for whoever started it, without JavaScript.
//!
//! ```text
//!   request ─▶ gate: loopback, Host, session cookie, Origin and token on changes ─▶ pages ─▶ desk
//! ```
//!
//! The address with the key to the session is printed once and works once. Names are shown as text, never as links: nobody
//! opens such a site by a slip. Nothing is cached, and nothing is loaded from elsewhere.

mod pages;
mod words;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::desk::Desk;

/// Nothing but the style sheet of this server is loaded; nothing is run; forms go to this server.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const STYLE: &str = include_str!("../../../templates/triage.css");
/// Name of the session's cookie.
const COOKIE: &str = "isigurt-desk";

/// What the handlers work on.
#[derive(Debug, Clone)]
struct Room {
    desk: Arc<Desk>,
    hosts: Arc<[String]>,
    /// What the printed address lets in with, once.
    key: Arc<str>,
    used: Arc<AtomicBool>,
    session: Arc<str>,
    /// Stands in every form.
    csrf: Arc<str>,
}

/// Serves until the process is ended.
pub(super) async fn serve(desk: Desk, listen: SocketAddr) -> anyhow::Result<()> {
    if !listen.ip().is_loopback() {
        bail!(
            "--listen {listen}: the desk is served on this machine only; take an address such as 127.0.0.1:8600"
        );
    }
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("--listen {listen}"))?;
    let address = listener.local_addr()?;
    let room = Room {
        desk: Arc::new(desk),
        hosts: Arc::new([address.to_string(), format!("localhost:{}", address.port())]),
        key: secret()?.into(),
        used: Arc::default(),
        session: secret()?.into(),
        csrf: secret()?.into(),
    };
    say(&format!("open http://{address}/enter?key={}", room.key));
    let ended = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, router(room))
        .with_graceful_shutdown(ended)
        .await?;
    Ok(())
}

/// One line for whoever started this.
#[allow(clippy::print_stdout)] // it goes on serving; what it returned would come too late
fn say(line: &str) {
    println!("{line}");
}

fn secret() -> anyhow::Result<String> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).context("the system gives no random octets")?;
    Ok(BASE64URL_NOPAD.encode(&octets))
}

fn router(room: Room) -> Router {
    Router::new()
        .route("/", get(pages::cases))
        .route("/case/{case}", get(pages::case))
        .route("/case/{case}/take", post(pages::take))
        .route("/case/{case}/vote", post(pages::vote))
        .route("/case/{case}/reject", post(pages::reject))
        .route("/case/{case}/merge", post(pages::merge))
        .route("/next", post(pages::next))
        .route("/trail", get(pages::trail))
        .route("/language", post(pages::language))
        .fallback(pages::missing)
        .route_layer(middleware::from_fn_with_state(room.clone(), session))
        .route("/enter", get(enter))
        .route("/style.css", get(style))
        .layer(middleware::from_fn_with_state(room.clone(), gate))
        .with_state(room)
}

/// Lets in what was meant for this server, and says to the browser what it may do with the answer.
async fn gate(State(room): State<Room>, request: Request, next: Next) -> Response {
    let mut response = if meant(&room, &request) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "this is not the address of the desk\n").into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Nothing is told to other sites. With `no-referrer`, browsers would call the desk's own forms `Origin: null`.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a request names this server as its host and, where it changes something, does not come from another's page.
fn meant(room: &Room, request: &Request) -> bool {
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let ours = |host: &str| room.hosts.iter().any(|known| known == host);
    // Browsers say where a form comes from.
    let from_here =
        text(header::ORIGIN).is_none_or(|origin| origin.strip_prefix("http://").is_some_and(ours));
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    text(header::HOST).is_some_and(ours) && (from_here || reads)
}

/// Lets in who entered with the printed address.
async fn session(State(room): State<Room>, request: Request, next: Next) -> Response {
    if cookie(request.headers(), COOKIE).is_some_and(|session| same(session, &room.session)) {
        next.run(request).await
    } else {
        (
            StatusCode::UNAUTHORIZED,
            "open the address that `isigurt-platform triage web` printed\n",
        )
            .into_response()
    }
}

#[derive(Debug, Deserialize)]
struct Entry {
    key: String,
}

async fn enter(State(room): State<Room>, Query(entry): Query<Entry>) -> Response {
    if !same(&entry.key, &room.key) || room.used.swap(true, Ordering::Relaxed) {
        return (
            StatusCode::UNAUTHORIZED,
            "this key is not the one that was printed, or was used; start the desk again\n",
        )
            .into_response();
    }
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", room.session);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

/// A cookie of a request.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

/// Compares secrets by their hashes, so that the time taken tells nothing of them.
fn same(one: &str, other: &str) -> bool {
    blake3::hash(one.as_bytes()) == blake3::hash(other.as_bytes())
}
