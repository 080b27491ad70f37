//! HTTP from the gateway: what it fetches and what it sends, through one client with the same bounds everywhere.
//!
//! ```text
//! who asks ─▶ rules of the way (scheme, private addresses, redirects) ─▶ names: own upstreams, then the system's
//!                                                                    └─▶ body: octets, time, speed and bandwidth bounded
//! ```
//!
//! The box may be its own resolver, so names are looked up through [`Lookup`], which the gateway's upstreams answer; only
//! where these know nothing the system is asked. Clear text goes to loopback and private addresses only, unless the
//! configuration says otherwise; a redirect never leads from https to http. What is shown of an address never holds its
//! query or a password in it. Nothing here keeps cookies, follows a redirect of something that was sent, or retries.

mod body;
mod download;
mod error;
mod names;
mod pace;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};

pub use body::{Body, Limits};
pub use download::{Download, Fetched, download};
pub use error::{HttpError, shown};
pub use names::{Addresses, Lookup, SystemLookup};
pub use reqwest::Url;

use names::{Names, Reach};
use pace::Pace;

/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// How the gateway goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A proxy for everything; `None`: what the environment says (`HTTPS_PROXY`, `NO_PROXY`).
    pub proxy: Option<String>,
    /// Certificates, PEM, that are trusted beside the system's.
    pub authorities: Option<PathBuf>,
    /// Whether clear text may leave private networks.
    pub plain: bool,
    /// Octets a second that downloads take together.
    pub bandwidth: Option<u64>,
    /// How long a server may be silent, or slow.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            proxy: None,
            authorities: None,
            plain: false,
            bandwidth: None,
            patience: Limits::SMALL.patience,
        }
    }
}

/// The client; clones share its connections and its bandwidth.
#[derive(Debug, Clone)]
pub struct Client {
    ways: Arc<Ways>,
    /// Whether the addresses are those of [`Client::for_strangers`].
    strangers: bool,
}

/// What all clones have in common.
#[derive(Debug)]
struct Ways {
    settings: Settings,
    lookup: Arc<dyn Lookup>,
    authorities: Vec<reqwest::Certificate>,
    secure: reqwest::Client,
    plain: reqwest::Client,
    /// For addresses that strangers gave; made when the first is to be spoken to, because roots take a megabyte.
    outside: OnceLock<Result<reqwest::Client, String>>,
    /// Why certificates cannot be checked: then only clear text works.
    untrusting: Option<String>,
    pace: Arc<Pace>,
}

/// What a server says about a version of what it serves, to be told it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Validators {
    /// `ETag` (RFC 9110, section 8.8.3).
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub modified: Option<String>,
}

impl Validators {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| {
            let value: Option<&HeaderValue> = headers.get(name);
            value.and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        Self {
            etag: text(header::ETAG),
            modified: text(header::LAST_MODIFIED),
        }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.modified.is_none()
    }

    /// What resuming may rely on (RFC 9110, section 13.1.5): never a weak tag.
    fn strong(&self) -> Option<&str> {
        match &self.etag {
            Some(etag) => Some(etag.as_str()).filter(|etag| !etag.starts_with("W/")),
            None => self.modified.as_deref(),
        }
    }
}

/// What a GET brought.
#[derive(Debug)]
pub enum Got {
    /// What is known already is still so.
    NotModified,
    /// A body, from its beginning or from where it was asked for.
    Body(Box<Body>),
}

impl Client {
    /// A client that looks names up through `lookup`. Installs the process's TLS provider, once.
    pub fn new(settings: &Settings, lookup: &Arc<dyn Lookup>) -> Result<Self, HttpError> {
        // A second one is refused, and the first is the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let authorities = authorities(settings)?;
        let (secure, untrusting) = trusting(settings, lookup, Reach::Anywhere, &authorities)?;
        let reach = if settings.plain {
            Reach::Anywhere
        } else {
            Reach::Private
        };
        let plain = builder(settings, lookup, reach)?.tls_certs_only(authorities.clone());
        let ways = Ways {
            settings: settings.clone(),
            lookup: lookup.clone(),
            authorities,
            secure,
            plain: plain
                .build()
                .map_err(|error| HttpError::Client(error::chain(&error)))?,
            outside: OnceLock::new(),
            untrusting,
            pace: Arc::new(Pace::new(settings.bandwidth)),
        };
        Ok(Self {
            ways: Arc::new(ways),
            strangers: false,
        })
    }

    /// The same for addresses that strangers gave, who must not reach through the gateway what only it can reach: they lead to the Internet,
    /// or nowhere ([`HttpError::Inside`]), whatever a name or a redirect says; clear text only where the configuration allows it everywhere.
    #[must_use]
    pub fn for_strangers(&self) -> Self {
        Self {
            ways: self.ways.clone(),
            strangers: true,
        }
    }

    /// Why https does not work here, if it does not.
    pub fn untrusting(&self) -> Option<&str> {
        self.ways.untrusting.as_deref()
    }

    /// Bounds for small answers, with the configured patience.
    pub fn small(&self) -> Limits {
        Limits {
            patience: self.ways.settings.patience,
            total: self.ways.settings.patience * 2,
            ..Limits::SMALL
        }
    }

    /// Bounds for files of at most so many octets.
    pub fn large(&self, octets: u64) -> Limits {
        Limits {
            octets,
            patience: self.ways.settings.patience,
            total: Duration::from_secs(2 * 3600),
        }
    }

    /// Fetches `url`, unless what is `known` is still so.
    pub async fn get(&self, url: &Url, known: Option<&Validators>, limits: Limits) -> Result<Got, HttpError> {
        let mut headers = HeaderMap::new();
        if let Some(known) = known {
            put(&mut headers, header::IF_NONE_MATCH, known.etag.as_deref());
            // The tag is the better of the two, and each octet of a poll counts.
            let modified = known.modified.as_deref().filter(|_| known.etag.is_none());
            put(&mut headers, header::IF_MODIFIED_SINCE, modified);
        }
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        self.follow(url, headers, limits).await
    }

    /// Fetches all of a small thing, from the beginning.
    pub async fn get_whole(&self, url: &Url, limits: Limits) -> Result<Vec<u8>, HttpError> {
        match self.get(url, None, limits).await? {
            Got::Body(body) => body.whole().await,
            Got::NotModified => Err(HttpError::Status(shown(url), StatusCode::NOT_MODIFIED.as_u16())),
        }
    }

    /// Sends a request and reads the whole answer, whatever its status. Redirects are not followed: the answer says where.
    pub async fn exchange(
        &self,
        request: axum::http::Request<Vec<u8>>,
        limits: Limits,
    ) -> Result<axum::http::Response<Vec<u8>>, HttpError> {
        let url = target(&request)?;
        let (parts, body) = request.into_parts();
        let request = self.request(parts.method, &url).await?;
        let request = request.headers(parts.headers).body(body);
        let response = within(limits.total, &url, request.send()).await?;
        let mut answer = axum::http::Response::builder().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            headers.clone_from(response.headers());
        }
        let body = Body::new(response, &url, limits, self.ways.pace.clone())?;
        let body = body.whole().await?;
        answer
            .body(body)
            .map_err(|_| HttpError::Broken(shown(&url), "an answer that makes no sense".to_owned()))
    }

    /// Begins a request, where the way to the address is allowed.
    async fn request(&self, method: Method, url: &Url) -> Result<reqwest::RequestBuilder, HttpError> {
        if self.strangers {
            self.refuse_inside(url).await?;
        }
        Ok(self.client(url)?.request(method, url.clone()))
    }

    /// Refuses an address that leads into the house, by itself or by what its name leads to. Asked before anything is sent, because a proxy
    /// looks names up itself; a name with one address here and another there could lead to either.
    async fn refuse_inside(&self, url: &Url) -> Result<(), HttpError> {
        let inside = || HttpError::Inside(shown(url));
        if names::is_inside(url) {
            return Err(inside());
        }
        let addresses = self
            .ways
            .lookup
            .addresses(url.host_str().unwrap_or_default())
            .await;
        let all = addresses.into_iter().all(names::is_public);
        all.then_some(()).ok_or_else(inside)
    }

    /// A GET over redirects.
    async fn follow(&self, url: &Url, headers: HeaderMap, limits: Limits) -> Result<Got, HttpError> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            let request = self.request(Method::GET, &at).await?;
            let request = request.headers(headers.clone());
            let response = within(limits.total, &at, request.send()).await?;
            let status = response.status();
            match status {
                StatusCode::NOT_MODIFIED => return Ok(Got::NotModified),
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                    let body = Body::new(response, &at, limits, self.ways.pace.clone())?;
                    return Ok(Got::Body(Box::new(body)));
                }
                _ if status.is_redirection() => {
                    let next = response.headers().get(header::LOCATION);
                    let next = next.and_then(|next| next.to_str().ok());
                    let next = next.and_then(|next| at.join(next).ok());
                    let next = next.ok_or_else(|| HttpError::Redirect(shown(&at)))?;
                    if at.scheme() == "https" && next.scheme() != "https" {
                        return Err(HttpError::Downgrade(shown(&at)));
                    }
                    at = next;
                }
                _ => return Err(HttpError::Status(shown(&at), status.as_u16())),
            }
        }
        Err(HttpError::Redirects(shown(url)))
    }

    /// The client for an address, where the way to it is allowed.
    fn client(&self, url: &Url) -> Result<&reqwest::Client, HttpError> {
        let ways = &*self.ways;
        match url.scheme() {
            "https" => match &ways.untrusting {
                Some(reason) => Err(HttpError::NoRoots(reason.clone())),
                None if self.strangers => ways.outside(),
                None => Ok(&ways.secure),
            },
            "http" if self.strangers && ways.settings.plain => ways.outside(),
            "http" if self.strangers => Err(HttpError::Plain(shown(url))),
            "http" if ways.settings.plain || !names::is_public_literal(url) => Ok(&ways.plain),
            "http" => Err(HttpError::Plain(shown(url))),
            scheme => Err(HttpError::Url(format!(
                "{scheme}:// is not spoken; expected https://"
            ))),
        }
    }
}

impl Ways {
    fn outside(&self) -> Result<&reqwest::Client, HttpError> {
        let made = self.outside.get_or_init(|| {
            let made = trusting(&self.settings, &self.lookup, Reach::Public, &self.authorities);
            made.map(|(client, _)| client).map_err(|error| error.to_string())
        });
        made.as_ref().map_err(|error| HttpError::Client(error.clone()))
    }
}

/// Whether an address may be one of the Internet's, as far as it says so itself.
pub fn is_outside(url: &Url) -> bool {
    url.scheme() == "https" && url.has_host() && !names::is_inside(url)
}

/// A client that trusts the system's certificates beside its own `authorities`. A box without root certificates still speaks with its
/// own servers: then the reason is there too.
fn trusting(
    settings: &Settings,
    lookup: &Arc<dyn Lookup>,
    reach: Reach,
    authorities: &[reqwest::Certificate],
) -> Result<(reqwest::Client, Option<String>), HttpError> {
    let builder = || builder(settings, lookup, reach);
    match builder()?.tls_certs_merge(authorities.to_vec()).build() {
        Ok(client) => Ok((client, None)),
        Err(error) => {
            let own = builder()?.tls_certs_only(authorities.to_vec()).build();
            let client = own.map_err(|error| HttpError::Client(error::chain(&error)))?;
            Ok((client, Some(error::chain(&error.without_url()))))
        }
    }
}

/// Certificates that are trusted beside the system's.
fn authorities(settings: &Settings) -> Result<Vec<reqwest::Certificate>, HttpError> {
    let Some(file) = &settings.authorities else {
        return Ok(Vec::new());
    };
    let unusable = |why: String| HttpError::Authorities(file.clone(), why);
    let pem = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?;
    if found.is_empty() {
        return Err(unusable("there is no certificate in it".to_owned()));
    }
    Ok(found)
}

/// What all clients have in common.
fn builder(
    settings: &Settings,
    lookup: &Arc<dyn Lookup>,
    reach: Reach,
) -> Result<reqwest::ClientBuilder, HttpError> {
    let names = Names::new(lookup.clone(), reach);
    let builder = reqwest::Client::builder()
        .user_agent(concat!("isigurtd/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(names))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(settings.patience.min(Duration::from_secs(10)))
        .pool_max_idle_per_host(2)
        .pool_idle_timeout(Duration::from_secs(120)); // longer than a poll: a new connection costs more than it
    Ok(match &settings.proxy {
        _ if reach == Reach::Private => builder.no_proxy(), // a proxy would look the name up, and could lead anywhere
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy).map_err(|_| HttpError::Proxy)?),
        None => builder,
    })
}

/// Where a request goes.
fn target(request: &axum::http::Request<Vec<u8>>) -> Result<Url, HttpError> {
    let text = request.uri().to_string();
    Url::parse(&text).map_err(|error| HttpError::Url(error.to_string()))
}

fn put(headers: &mut HeaderMap, name: header::HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}

/// Waits for an answer's head.
async fn within(
    total: Duration,
    url: &Url,
    answer: impl Future<Output = reqwest::Result<reqwest::Response>>,
) -> Result<reqwest::Response, HttpError> {
    match tokio::time::timeout(total, answer).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(HttpError::of(url, error)),
        Err(_) => Err(HttpError::Slow(shown(url))),
    }
}
