//! Sign-in by a school's own service (OpenID Connect): two pages that a browser is sent to, not requests of a program.
//!
//! The first sends the browser to the service, the second takes it back. The cookie between them is `SameSite=Lax`, because
//! the way back comes from another site; it opens nothing but this one request.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{BROWSER, Cookie, SESSION};
use super::problem::Problem;
use super::session::{agent, end_old, signed_in};
use crate::oidc::{Answer, OidcError, Provider};
use crate::web::Site;
use crate::web::gate::{self, Peer};

/// Where the service sends browsers back to.
const CALLBACK: &str = "/api/v1/session/oidc/callback";
/// How long the cookie of a sign-in lives, seconds.
const UNDER_WAY_S: u32 = 600;
/// Nothing is loaded or run.
const PLAIN_PAGE: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Of the browser that began a sign-in.
const UNDER_WAY: Cookie = Cookie {
    clear: "isigurt_signin",
    encrypted: "__Host-isigurt_signin",
};

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(begin))
        .routes(routes!(finish))
}

fn provider(site: &Site) -> Result<&Provider, Problem> {
    let none =
        || Problem::not_found("no service signs users in here; [web.oidc] in the configuration names one");
    site.provider.as_deref().ok_or_else(none)
}

/// Sends the browser to the school's service.
#[utoipa::path(get, path = "/session/oidc", tag = "session", security(()), responses(
    (status = 303, description = "To the service's page"),
    (status = 404, body = Problem, description = "No service is configured"),
    (status = 503, body = String, content_type = "text/html", description = "The service does not answer: a page")))]
async fn begin(
    State(site): State<Site>,
    peer: Peer,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let provider = provider(&site)?;
    let scheme = if peer.encrypted { "https" } else { "http" };
    let host = gate::host(&headers, &uri).unwrap_or_default();
    let callback = format!("{scheme}://{host}{CALLBACK}");
    match provider.begin(callback, peer.address).await {
        Ok(begun) => {
            let mut response = to(&begun.url);
            UNDER_WAY.set(&mut response, &begun.browser, Some(UNDER_WAY_S), (peer, "Lax"));
            Ok(response)
        }
        Err(error) => Ok(refused(&error, peer)),
    }
}

/// Takes the browser back from the school's service, and signs its user in.
#[utoipa::path(get, path = "/session/oidc/callback", tag = "session", security(()),
    params(("state" = Option<String>, Query, description = "The request"), ("code" = Option<String>, Query, description = "The service's answer")),
    responses(
    (status = 303, description = "Signed in; the session's cookie is set, and the browser is sent to the first page"),
    (status = 400, body = String, content_type = "text/html", description = "The request is not known: a page"),
    (status = 403, body = String, content_type = "text/html", description = "The user may not sign in: a page"),
    (status = 404, body = Problem, description = "No service is configured"),
    (status = 503, body = String, content_type = "text/html", description = "The service does not answer: a page")))]
async fn finish(
    State(site): State<Site>,
    peer: Peer,
    headers: HeaderMap,
    answer: Result<Query<Answer>, QueryRejection>,
) -> Result<Response, Problem> {
    let provider = provider(&site)?;
    let answer = answer.map(|Query(answer)| answer).unwrap_or_default();
    let shown = UNDER_WAY.of(&headers, peer);
    let mut response = match enter(&site, provider, peer, &headers, (answer, shown)).await {
        Ok(response) => response,
        Err(error) => refused(&error, peer),
    };
    UNDER_WAY.set(&mut response, "", Some(0), (peer, "Lax"));
    Ok(response)
}

async fn enter(
    site: &Site,
    provider: &Provider,
    peer: Peer,
    headers: &HeaderMap,
    (answer, shown): (Answer, Option<&str>),
) -> Result<Response, OidcError> {
    let vouch = match provider.finish(answer, shown).await {
        Err(OidcError::NoRole(vouch)) => {
            let gone = vouch.clone();
            site.accounts
                .work(move |accounts| accounts.end_vouched(&gone))
                .await?;
            return Err(OidcError::NoRole(vouch));
        }
        other => other?,
    };
    let from = (
        BROWSER.of(headers, peer).map(str::to_owned),
        peer.address,
        agent(headers),
    );
    let done = site.accounts.login_vouched(vouch, from).await?;
    end_old(site, SESSION.of(headers, peer).map(str::to_owned), peer).await;
    tracing::info!(user = done.member.name, from = %peer.address, "signed in by the school's service");
    let mut response = to("/");
    let cookies = signed_in(site, StatusCode::OK, &done, peer);
    for cookie in cookies.headers().get_all(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    Ok(response)
}

fn to(url: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(url) = HeaderValue::from_str(url) {
        response.headers_mut().insert(header::LOCATION, url);
    }
    response
}

/// A page that says why nobody was signed in; the log says it in detail.
fn refused(error: &OidcError, peer: Peer) -> Response {
    tracing::warn!(from = %peer.address, kind = error.kind(), %error, "nobody was signed in by the school's service");
    let status = match error {
        OidcError::Unknown => StatusCode::BAD_REQUEST,
        OidcError::Service(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::FORBIDDEN,
    };
    let told = error.told();
    let page = format!(
        "<!doctype html><html lang=\"sq\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>iSigurt</title><main><h1>Hyrja nuk u krye · Not signed in</h1><p>{}</p><p lang=\"en\">{}</p>\
         <p><a href=\"/\">Kthehu · Back</a></p><p><small>{}</small></p></main></html>",
        told.sq,
        told.en,
        error.kind()
    );
    let policy = [(header::CONTENT_SECURITY_POLICY, PLAIN_PAGE)];
    (status, policy, Html(page)).into_response()
}
