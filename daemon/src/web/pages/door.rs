//! The door where blocked sites arrive: whatever host and path a browser asks for, it meets this gateway instead.
//!
//! - A page is for people: browsers that open one get HTML, everything else a small body. Nothing of a request is read
//!   but its head, except for the pages' own forms.
//! - The pages below [`BELOW`] are for hosts that are blocked for who asks, and for the gateway's own. A page from outside
//!   could point its own name at the gateway (DNS rebinding) and read a device's state or report in its name; such a host is
//!   not blocked, and gets nothing.
//! - Connections come from the local network alone, are bounded in number, and each request in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use isigurt_blocklists::name::Name;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::block::{BlockPage, Why};
use super::bounded::{Bounded, Other};
use super::{BELOW, Language, Page, Pages, Visit, routes, shown};
use crate::web::Site;
use crate::web::gate::{self, Encrypted};

/// Requests that are answered at once.
const AT_ONCE: usize = 64;
/// The longest that one may take.
const LONGEST: Duration = Duration::from_secs(15);

/// Serves blocked sites on one listener until the task is ended.
pub async fn serve(listener: TcpListener, site: Site) {
    let app = router(site).into_make_service_with_connect_info::<Other>();
    if let Err(error) = axum::serve(Bounded::new(listener), app).await {
        tracing::error!(%error, "the block page has ended");
    }
}

/// The same, encrypted, with the gateway's own certificate: browsers warn of it for every name but the gateway's, and say nothing of
/// coming encrypted next time, because that would be said of somebody else's site.
pub fn serve_encrypted(
    listener: std::net::TcpListener,
    server: Arc<ServerConfig>,
    site: Site,
) -> std::io::Result<impl Future<Output = ()>> {
    let app = router(site).layer(middleware::map_request(other));
    crate::web::encrypted(listener, server, app)
}

/// Names the other end as the listener in clear does.
async fn other(mut request: Request) -> Request {
    if let Some(&ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        request.extensions_mut().insert(ConnectInfo(Other(peer)));
    }
    request
}

fn router(site: Site) -> Router {
    let pages = Pages { site, base: BELOW };
    let guard = middleware::from_fn_with_state(pages.clone(), guard);
    let bound = middleware::from_fn_with_state(Arc::new(Semaphore::new(AT_ONCE)), bound);
    Router::new()
        .nest(BELOW, routes().fallback(nothing).route_layer(guard))
        .fallback(anything)
        .layer(bound)
        .with_state(pages)
}

/// Bounds what is done at once, and for how long.
async fn bound(
    State(places): State<Arc<Semaphore>>,
    ConnectInfo(Other(peer)): ConnectInfo<Other>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(ConnectInfo(peer)); // as on any other listener
    let Ok(_place) = places.try_acquire() else {
        return small(StatusCode::SERVICE_UNAVAILABLE, "busy\n");
    };
    match tokio::time::timeout(LONGEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => small(StatusCode::REQUEST_TIMEOUT, "too slow\n"),
    }
}

/// Whom a request asks for.
enum Host {
    /// This gateway.
    Own,
    /// A site.
    Site(Name),
    /// Nobody.
    None,
}

impl Host {
    fn of(site: &Site, headers: &HeaderMap) -> Self {
        let Some(host) = gate::one(headers, header::HOST.as_str()) else {
            return Self::None;
        };
        if site.hosts.allow(host) {
            return Self::Own;
        }
        let name = gate::name_of(host).and_then(|name| Name::parse(name).ok());
        name.map_or(Self::None, Self::Site)
    }
}

/// What stands in front of the pages.
async fn guard(State(pages): State<Pages>, visit: Visit, request: Request, next: Next) -> Response {
    let site = &pages.site;
    let encrypted = request.extensions().get::<Encrypted>().is_some();
    if !encrypted && !site.hosts.is_private(visit.address) {
        return small(StatusCode::FORBIDDEN, "this page is for the local network\n");
    }
    let allowed = match Host::of(site, request.headers()) {
        Host::Own => true,
        Host::Site(name) => Why::of(site, visit.address, &name) != Why::Open,
        Host::None => false,
    };
    if !allowed {
        return small(StatusCode::MISDIRECTED_REQUEST, "the gateway is not called so\n");
    }
    let host = gate::one(request.headers(), header::HOST.as_str()).unwrap_or_default();
    if gate::is_unsafe(request.method()) && gate::check_origin(request.headers(), host, encrypted).is_err() {
        return small(StatusCode::FORBIDDEN, "only this page itself may send that\n");
    }
    next.run(request).await
}

/// Anything else: the page of a blocked site.
async fn anything(
    State(pages): State<Pages>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (site, address) = (&pages.site, peer.ip().to_canonical());
    if !site.hosts.is_private(address) {
        return small(StatusCode::FORBIDDEN, "this page is for the local network\n");
    }
    let headers = request.headers();
    let name = match Host::of(site, headers) {
        Host::Own if is_page(request.method(), headers) => {
            let mut moved = small(StatusCode::SEE_OTHER, "");
            let to = HeaderValue::from_static("/.isigurt/me");
            moved.headers_mut().insert(header::LOCATION, to);
            return moved;
        }
        Host::Own => return small(StatusCode::NOT_FOUND, "there is nothing here\n"),
        Host::Site(name) => name,
        Host::None => return small(StatusCode::BAD_REQUEST, "which site?\n"),
    };
    let language = Language::of_visit(site, Some(address), request.uri().query(), headers);
    let page = Page::new(language, BELOW);
    let why = Why::of(site, address, &name);
    let (name, zone) = (name.to_string(), site.watch.household().zone());
    let block = BlockPage::new(&page, &why, &name, &zone);
    if is_page(request.method(), headers) {
        return shown(why.status(), &block);
    }
    // For programs even a site that opens by now is not what they asked for.
    let status = match why {
        Why::Open => StatusCode::SERVICE_UNAVAILABLE,
        _ => why.status(),
    };
    small(status, block.line())
}

/// Whether a person opens a page.
fn is_page(method: &Method, headers: &HeaderMap) -> bool {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return false;
    }
    match gate::one(headers, "sec-fetch-dest") {
        Some(destination) => destination == "document",
        None => headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html")),
    }
}

async fn nothing() -> Response {
    small(StatusCode::NOT_FOUND, "there is nothing here\n")
}

/// A small answer that nobody keeps; the connection ends, as whatever is sent after it is not read.
fn small(status: StatusCode, text: impl Into<String>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONNECTION, "close"),
    ];
    (status, headers, text.into()).into_response()
}
