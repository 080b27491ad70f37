//! Pages that work without JavaScript: what a blocked site shows, what a device may know of itself, reports, help, guides.
//!
//! ```text
//!   [web] listen, https ─▶ gate (Host, Origin, peer) ─▶ /help /me /report /guides …
//!   [web] block_page ────▶ door.rs (any Host) ─┬▶ /.isigurt/help …, for hosts that are blocked or the gateway's own
//!                                              └▶ block.rs: everything else is the page of a blocked site
//! ```
//!
//! A child reads them, perhaps a frightened one: nothing is kept of a visit, nothing comes from elsewhere, no cookie is set,
//! and whatever a name or header says is text. They are served in Albanian and English.

mod block;
mod bounded;
mod door;
mod guides;
mod help;
mod me;
#[doc(hidden)]
pub mod outside;
mod report;
#[cfg(test)]
mod tests;
mod words;

use std::net::{IpAddr, SocketAddr};

use askama::Template;
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Form, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use isigurt_blocklists::data::Helpline;
use isigurt_core::policy::model;
use serde::de::DeserializeOwned;

use super::{Site, last};
use crate::report::helplines;
pub use door::{serve, serve_encrypted};
use words::Words;

/// Nothing but what this server itself sends is loaded or run.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";
/// Octets of a form that are read: the longest note, four times over for its encoding.
const FORM: usize = 24 << 10;
/// Where the pages stand on a host that is not the gateway's.
const BELOW: &str = "/.isigurt";

const STYLE: &str = include_str!("pages.css");
const EXIT: &str = include_str!("exit.js");

/// What the handlers work on.
#[derive(Debug, Clone)]
struct Pages {
    site: Site,
    /// What stands in front of the pages' addresses.
    base: &'static str,
}

/// The pages on the gateway's own web server; whoever serves them puts the gate in front.
pub(super) fn router(site: Site) -> Router {
    routes().with_state(Pages { site, base: "" })
}

fn routes() -> Router<Pages> {
    Router::new()
        .route("/help", get(help::help))
        .route("/exit", get(help::exit))
        .route("/guides", get(guides::all))
        .route("/guides/{id}", get(guides::one))
        .route("/me", get(me::me))
        .route("/me/ask", post(me::ask))
        .route(
            "/report",
            get(report::form)
                .post(report::next)
                .layer(middleware::from_fn(last)),
        )
        .route("/report/state", post(report::state))
        .route(
            "/pages.css",
            get(|| async { own("text/css; charset=utf-8", STYLE) }),
        )
        .route(
            "/exit.js",
            get(|| async { own("text/javascript; charset=utf-8", EXIT) }),
        )
        .layer(DefaultBodyLimit::max(FORM))
}

/// A file that is the same for everybody; kept for an hour, as a page without its looks helps less.
fn own(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Sq,
    En,
}

impl Language {
    const fn code(self) -> &'static str {
        match self {
            Self::Sq => "sq",
            Self::En => "en",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Sq => Self::En,
            Self::En => Self::Sq,
        }
    }

    fn of(code: &str) -> Option<Self> {
        match code.get(..2)?.to_ascii_lowercase().as_str() {
            "sq" => Some(Self::Sq),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// What was chosen on the page (`l`).
    fn asked(query: Option<&str>) -> Option<Self> {
        let said = query?.split('&').find_map(|pair| pair.strip_prefix("l="));
        said.and_then(Self::of)
    }

    /// What the browser likes best of the two (RFC 9110, section 12.5.4).
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(header::ACCEPT_LANGUAGE).iter();
        let ranges = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','));
        let known = ranges.filter_map(|range| {
            let (tag, rest) = range.split_once(';').unwrap_or((range, ""));
            let tag = tag.trim();
            let language = Self::of(tag).filter(|_| matches!(tag.as_bytes().get(2), None | Some(b'-')))?;
            let weight: f32 = match rest.trim().strip_prefix("q=") {
                Some(weight) => weight.trim().parse().ok()?,
                None => 1.0,
            };
            (weight > 0.0).then_some((language, weight))
        });
        let best = known.reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map(|(language, _)| language)
    }

    /// The language of a visit: chosen on the page, else that of the device's profile, else what the browser likes, else the
    /// household's, else Albanian.
    fn of_visit(site: &Site, address: Option<IpAddr>, query: Option<&str>, headers: &HeaderMap) -> Self {
        let from = |language| match language {
            model::Language::Sq => Self::Sq,
            model::Language::En => Self::En,
        };
        let policy = site.watch.household().policy();
        let profile = || {
            let snapshot = site.watch.engine().snapshot();
            let (_, now_ms) = site.watch.engine().cache();
            let name = &snapshot.client(address?, now_ms).profile.name;
            let profile = policy.profile.iter().find(|profile| profile.name == *name);
            profile.and_then(|profile| profile.language).map(from)
        };
        Self::asked(query)
            .or_else(profile)
            .or_else(|| Self::accepted(headers))
            .or(policy.settings.language.map(from))
            .unwrap_or(Self::Sq)
    }
}

/// What every page has.
#[derive(Debug, Clone, Copy)]
struct Page {
    language: Language,
    words: &'static Words,
    base: &'static str,
}

impl Page {
    fn new(language: Language, base: &'static str) -> Self {
        Self {
            language,
            words: words::of(language),
            base,
        }
    }

    fn lang(&self) -> &'static str {
        self.language.code()
    }

    fn other(&self) -> &'static str {
        self.language.other().code()
    }

    /// 116 111, 129 and 112: the number to dial, the number as it is written, and whose it is.
    fn first(&self) -> Vec<(String, &'static str, &'static str)> {
        let common = &self.words.common;
        let whose = [
            &common.phone_children,
            &common.phone_police,
            &common.phone_emergency,
        ];
        let lines = helplines::first().into_iter().zip(whose);
        lines
            .filter_map(|(line, whose)| {
                let phone = line.phone.as_deref()?;
                Some((dialled(phone), phone, whose.as_str()))
            })
            .collect()
    }

    fn name_of(&self, line: &'static Helpline) -> &'static str {
        match self.language {
            Language::Sq => &line.name.sq,
            Language::En => &line.name.en,
        }
    }
}

/// A number as a link dials it.
fn dialled(phone: &str) -> String {
    phone
        .chars()
        .filter(|character| character.is_ascii_digit() || *character == '+')
        .collect()
}

/// Who looks, in what language, and where.
#[derive(Debug, Clone, Copy)]
struct Visit {
    page: Page,
    address: IpAddr,
}

impl FromRequestParts<Pages> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let Some(ConnectInfo(peer)) = peer else {
            return Err(StatusCode::SERVICE_UNAVAILABLE.into_response());
        };
        let address = peer.ip().to_canonical();
        let language = Language::of_visit(&pages.site, Some(address), parts.uri.query(), &parts.headers);
        Ok(Self {
            page: Page::new(language, pages.base),
            address,
        })
    }
}

/// What a form sent, bounded; what cannot be read is said on a page.
struct Sent<T>(T);

impl<T: DeserializeOwned> FromRequest<Pages> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, pages: &Pages) -> Result<Self, Response> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let address = peer.map(|ConnectInfo(peer)| peer.ip().to_canonical());
        let query = request.uri().query();
        let language = Language::of_visit(&pages.site, address, query, request.headers());
        match Form::from_request(request, pages).await {
            Ok(Form(sent)) => Ok(Self(sent)),
            Err(rejection) => {
                let page = Page::new(language, pages.base);
                let text = match &rejection {
                    FormRejection::BytesRejection(_) => &page.words.common.too_long,
                    _ => &page.words.common.again,
                };
                Err(said(
                    page,
                    rejection.status(),
                    &page.words.common.sent_wrong,
                    text,
                ))
            }
        }
    }
}

#[derive(Template)]
#[template(path = "said.html")]
struct Said<'s> {
    page: Page,
    title: &'s str,
    text: &'s str,
}

/// A page with one sentence, and the helplines.
fn said(page: Page, status: StatusCode, title: &str, text: &str) -> Response {
    shown(status, &Said { page, title, text })
}

/// A page as it is sent: for this visit alone.
fn shown(status: StatusCode, page: &impl Template) -> Response {
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response(); // only writing to memory can fail
    };
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With "no-referrer" browsers would not say either that a form comes from this page itself.
        (header::REFERRER_POLICY, "same-origin"),
        (header::VARY, "accept-language"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
