//! What every request of the API passes first, whoever asks.
//!
//! - Without encryption only private addresses are served: passwords must not cross the Internet in clear.
//! - `Host` must be a name of this gateway, or an address. Otherwise a page from outside could point its own name at
//!   the gateway (DNS rebinding) and speak with it as if it came from there. An address cannot be pointed.
//! - What changes something must come from this gateway's own pages, where a browser says where it comes from.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;

use super::Site;
use super::api::problem::Problem;

/// Marks requests of encrypted connections.
#[derive(Debug, Clone, Copy)]
pub struct Encrypted;

/// The other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its address; one of IPv4 even where it came in over an IPv6 socket.
    pub address: IpAddr,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

impl Peer {
    fn of(extensions: &axum::http::Extensions) -> Option<Self> {
        let ConnectInfo(address) = extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(Self {
            address: address.ip().to_canonical(),
            encrypted: extensions.get::<Encrypted>().is_some(),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.extensions).ok_or_else(no_peer)
    }
}

fn no_peer() -> Problem {
    Problem::unavailable("the connection has no other end; try again")
}

/// Names that the gateway is called by, and the networks that are served without encryption.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    names: Vec<String>,
    private: Vec<IpNet>,
}

impl Hosts {
    /// These names, beside `localhost` and all addresses.
    pub fn new(names: impl IntoIterator<Item = String>, private: Vec<IpNet>) -> Self {
        let plain = |name: String| name.trim_end_matches('.').to_ascii_lowercase();
        let names = names
            .into_iter()
            .map(plain)
            .filter(|name| !name.is_empty())
            .collect();
        Self { names, private }
    }

    /// Whether an address is served without encryption.
    pub fn is_private(&self, address: IpAddr) -> bool {
        self.private.iter().any(|net| net.contains(&address))
    }

    /// Whether a `Host` header names this gateway.
    pub fn allow(&self, host: &str) -> bool {
        let Some(name) = name_of(host) else {
            return false;
        };
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        address.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.names.contains(&name)
    }
}

/// `name`, `name:port`, `[address]` or `[address]:port` without the port.
pub(super) fn name_of(host: &str) -> Option<&str> {
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, rest) = host.split_at_checked(end)?;
    let port = rest.is_empty() || rest.strip_prefix(':')?.parse::<u16>().is_ok();
    (!name.is_empty() && port).then_some(name)
}

/// The gate.
pub async fn gate(State(site): State<Site>, request: Request, next: Next) -> Response {
    if let Err(problem) = check(&site.hosts, &request) {
        return problem.into_response();
    }
    next.run(request).await
}

fn check(hosts: &Hosts, request: &Request) -> Result<(), Problem> {
    let peer = Peer::of(request.extensions()).ok_or_else(no_peer)?;
    if !peer.encrypted && !hosts.is_private(peer.address) {
        let detail = "unencrypted connections are for the local network: use https";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail).kind("urn:isigurt:not-private"));
    }
    let host = host(request.headers(), request.uri());
    if !host.is_some_and(|host| hosts.allow(host)) {
        let detail = "the gateway is not called so: use its address, or add the name to [web] hosts in the configuration";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
    }
    if is_unsafe(request.method()) {
        check_origin(request.headers(), host.unwrap_or_default(), peer.encrypted)?;
    }
    Ok(())
}

/// What the gateway is called: the `Host` header, or where HTTP/2 has it.
pub(super) fn host<'r>(headers: &'r HeaderMap, uri: &'r Uri) -> Option<&'r str> {
    if headers.contains_key(header::HOST) {
        return one(headers, header::HOST.as_str());
    }
    uri.authority().map(axum::http::uri::Authority::as_str)
}

/// Whether a method may change something.
pub(super) fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Browsers say where a request comes from; programs do not.
pub(super) fn check_origin(headers: &HeaderMap, host: &str, encrypted: bool) -> Result<(), Problem> {
    let foreign = || {
        let detail = "only the gateway's own pages may change something; other programs use an API token";
        Problem::new(StatusCode::FORBIDDEN, detail).kind("urn:isigurt:foreign-origin")
    };
    if headers.contains_key("sec-fetch-site") {
        let site = one(headers, "sec-fetch-site");
        if !matches!(site, Some("same-origin" | "none")) {
            return Err(foreign());
        }
    }
    if headers.contains_key(header::ORIGIN) {
        let origin = one(headers, header::ORIGIN.as_str()).unwrap_or_default();
        // A page that came in clear, which anybody on the way may have written, must not act over an encrypted connection. The
        // other way round it may be a proxy that encrypts.
        let clear = origin.strip_prefix("http://").filter(|_| !encrypted);
        let authority = clear.or(origin.strip_prefix("https://"));
        if !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)) {
            return Err(foreign());
        }
    }
    Ok(())
}

/// The value of a header that is there exactly once.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_own_names_are_hosts() {
        let hosts = Hosts::new(["Gateway.Home.Arpa.".to_owned(), String::new()], Vec::new());
        for own in [
            "192.168.1.1",
            "192.168.1.1:8080",
            "[fd00::1]",
            "[fd00::1]:8080",
            "localhost:8080",
            "isigurt.localhost",
            "gateway.home.arpa",
            "GATEWAY.home.arpa.:80",
        ] {
            assert!(hosts.allow(own), "{own}");
        }
        for foreign in [
            "",
            ":80",
            "evil.example",
            "evil.example:8080",
            "x.gateway.home.arpa",
            "gateway.home.arpa.evil.example",
            "192.168.1.1.evil.example",
            "localhost.evil.example",
            "gateway.home.arpa:x",
            "[fd00::1]evil",
            "192.168.1.1@evil.example",
            "gateway.home.arpa:80:80",
        ] {
            assert!(!hosts.allow(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_foreign_page_is_told_from_an_own_one_and_from_a_program() {
        let checked = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            let allowed = |encrypted| check_origin(&headers, "192.168.1.1:8080", encrypted).is_ok();
            (allowed(false), allowed(true))
        };
        let (both, clear_only) = ((true, true), (true, false));
        assert_eq!(checked(&[]), both, "a program");
        assert_eq!(
            checked(&[
                ("origin", "http://192.168.1.1:8080"),
                ("sec-fetch-site", "same-origin")
            ]),
            clear_only
        );
        assert_eq!(checked(&[("origin", "https://192.168.1.1:8080")]), both);
        assert_eq!(checked(&[("sec-fetch-site", "none")]), both, "typed by the user");
        for foreign in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "http://192.168.1.1")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[
                ("origin", "http://192.168.1.1:8080"),
                ("sec-fetch-site", "cross-site"),
            ],
            &[
                ("origin", "http://192.168.1.1:8080"),
                ("origin", "http://evil.example"),
            ],
        ] {
            assert_eq!(checked(foreign), (false, false), "{foreign:?}");
        }
    }
}
