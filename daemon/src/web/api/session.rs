//! The session of the one who asks: signing in, who one is, signing out.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{BROWSER, SESSION, STRICT};
use super::extract::Body;
use super::problem::Problem;
use crate::accounts::session::csrf;
use crate::accounts::{Credentials, Principal, SignedIn, UserView};
use crate::web::Site;
use crate::web::gate::Peer;

/// How long a browser is known after it signed in, seconds.
const BROWSER_KNOWN_S: u32 = 365 * 86_400;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new().routes(routes!(sign_in, state, sign_out))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    /// The user's name; letter case does not matter.
    name: String,
    /// The password.
    password: String,
    /// Where the account has a second step: the authenticator app's code, or a recovery code.
    #[serde(default)]
    code: Option<String>,
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionState {
    /// The user; `null` where nobody has signed in.
    user: Option<UserView>,
    /// What unsafe methods must send as `X-CSRF-Token`; `null` where there is no session.
    csrf: Option<String>,
    /// Whether the gateway has an owner.
    claimed: bool,
}

/// Signs in and sets the session's cookie.
#[utoipa::path(
    post, path = "/session", tag = "session", security(()), request_body = SignIn,
    responses(
        (status = 200, body = SessionState, description = "Signed in; the session's cookie is set"),
        (status = 400, body = Problem),
        (status = 401, body = Problem,
            description = "Wrong (`urn:isigurt:wrong`), or a code is needed (`urn:isigurt:code-needed`)"),
        (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
        (status = 429, body = Problem, description = "Too many wrong guesses from this device"),
        (status = 503, body = Problem)
    )
)]
async fn sign_in(
    State(site): State<Site>,
    peer: Peer,
    headers: HeaderMap,
    Body(sent): Body<SignIn>,
) -> Result<Response, Problem> {
    let shown = Credentials {
        name: sent.name,
        password: sent.password,
        code: sent.code,
        browser: BROWSER.of(&headers, peer).map(str::to_owned),
        address: peer.address,
        agent: agent(&headers),
    };
    let old = SESSION.of(&headers, peer).map(str::to_owned);
    let done = site.accounts.login(shown).await.inspect_err(|error| {
        tracing::info!(from = %peer.address, %error, "nobody signed in");
    })?;
    end_old(&site, old, peer).await;
    tracing::info!(user = done.member.name, from = %peer.address, "signed in");
    Ok(signed_in(&site, StatusCode::OK, &done, peer))
}

/// A new id at each sign-in; the one before, of whomever, ends.
pub(super) async fn end_old(site: &Site, old: Option<String>, peer: Peer) {
    let old = old.and_then(|id| site.accounts.by_session(&id, peer.address));
    if let Some(Principal::Session { session, .. }) = old {
        let work = site.accounts.work(move |accounts| accounts.end_session(&session));
        let _ = work.await;
    }
}

/// Who asks.
#[utoipa::path(
    get, path = "/session", tag = "session", security((), ("session" = []), ("token" = [])),
    responses((status = 200, body = SessionState), (status = 401, body = Problem))
)]
async fn state(State(site): State<Site>, principal: Principal) -> Json<SessionState> {
    let session = match &principal {
        Principal::Session { session, .. } => Some(session),
        _ => None,
    };
    Json(SessionState {
        user: principal
            .member()
            .and_then(|member| site.accounts.user(&member.id)),
        csrf: session.map(|session| csrf(session)),
        claimed: site.accounts.claimed(),
    })
}

/// Signs out.
#[utoipa::path(
    delete, path = "/session", tag = "session", security(("session" = [], "csrf" = [])),
    responses(
        (status = 204, description = "Signed out; the cookie is taken away"), (status = 401, body = Problem),
        (status = 404, body = Problem), (status = 503, body = Problem)
    )
)]
async fn sign_out(State(site): State<Site>, peer: Peer, principal: Principal) -> Result<Response, Problem> {
    let (_, session) = principal.require_session()?;
    let session = session.to_owned();
    site.accounts
        .work(move |accounts| accounts.end_session(&session))
        .await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    SESSION.set(&mut response, "", Some(0), (peer, STRICT));
    Ok(response)
}

/// The answer to whoever just signed in.
pub(super) fn signed_in(site: &Site, status: StatusCode, done: &SignedIn, peer: Peer) -> Response {
    let key = match site.accounts.by_session(&done.session, peer.address) {
        Some(Principal::Session { session, .. }) => Some(session),
        _ => None,
    };
    let state = SessionState {
        user: site.accounts.user(&done.member.id),
        csrf: key.as_deref().map(csrf),
        claimed: true,
    };
    let mut response = (status, Json(state)).into_response();
    SESSION.set(&mut response, &done.session, None, (peer, STRICT));
    BROWSER.set(
        &mut response,
        &done.browser,
        Some(BROWSER_KNOWN_S),
        (peer, STRICT),
    );
    response
}

/// What the browser calls itself.
pub(super) fn agent(headers: &HeaderMap) -> String {
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok());
    agent.unwrap_or_default().to_owned()
}
