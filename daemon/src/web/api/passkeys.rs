//! Passkeys over HTTP: made, listed, renamed, removed, and shown to sign in.
//!
//! Each ceremony is two requests: one that begins it and gives what the browser is to be asked
//! (`navigator.credentials.create` or `.get`), and one with the browser's answer.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use webauthn_rs::prelude::{PublicKeyCredential, RegisterPublicKeyCredential};

use super::access::{Action, BROWSER, Principal, SESSION, Scope};
use super::extract::{Body, Named, Params};
use super::problem::Problem;
use super::session::{SessionState, agent, end_old, signed_in};
use super::users::missing;
use crate::accounts::{PasskeySite, PasskeyView};
use crate::web::Site;
use crate::web::gate::{self, Peer};

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(passkeys, make))
        .routes(routes!(begin))
        .routes(routes!(rename, remove))
        .routes(routes!(begin_sign_in))
        .routes(routes!(sign_in))
}

/// The gateway under a name that browsers allow passkeys for: the one with a trusted certificate, over HTTPS, or `localhost`
/// from the machine itself.
#[derive(Debug)]
pub(super) struct Bound(PasskeySite);

impl FromRequestParts<Site> for Bound {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Problem> {
        let peer = Peer::from_request_parts(parts, site).await?;
        let name = gate::host(&parts.headers, &parts.uri)
            .and_then(gate::name_of)
            .map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let trusted = || {
            let now = jiff::Timestamp::now().as_second();
            site.certificates
                .hostname()
                .filter(|_| site.certificates.trusted(now))
        };
        match name {
            Some(name) if name == "localhost" && peer.address.is_loopback() => {
                Ok(Self(PasskeySite::new(&name, peer.encrypted)))
            }
            Some(name) if peer.encrypted && trusted().is_some_and(|own| own.eq_ignore_ascii_case(&name)) => {
                Ok(Self(PasskeySite::new(&name, true)))
            }
            _ => Err(nowhere()),
        }
    }
}

fn nowhere() -> Problem {
    let detail = "browsers allow passkeys only under a name with a trusted certificate: set hostname, certificate and key in \
        [dns.tls] and [web] https, and open the page by that name";
    Problem::conflict(detail).kind("urn:isigurt:no-passkeys-here")
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// Id of another user.
    user: Option<String>,
}

/// What a browser is to be asked.
#[derive(Debug, Serialize, ToSchema)]
struct Asked {
    /// Names the ceremony in the next request; good once, for five minutes.
    ceremony: String,
    /// The argument of `navigator.credentials.create` or `.get`, octets as base64url.
    #[schema(value_type = Object)]
    options: Value,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Make {
    /// The ceremony that was begun.
    ceremony: String,
    /// What the user calls it, such as the device's name.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// What the browser made (`RegistrationResponseJSON` of WebAuthn).
    #[schema(value_type = Object)]
    credential: RegisterPublicKeyCredential,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rename {
    /// What the user calls it.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BeginSignIn {
    /// The user's name; left out where the device is to say who it is.
    #[serde(default)]
    name: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasskeySignIn {
    /// The ceremony that was begun.
    ceremony: String,
    /// What the browser signed (`AuthenticationResponseJSON` of WebAuthn).
    #[schema(value_type = Object)]
    credential: PublicKeyCredential,
}

/// A user's passkeys, by name.
#[utoipa::path(get, path = "/passkeys", tag = "accounts", params(Whose), responses(
    (status = 200, body = Vec<PasskeyView>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn passkeys(
    State(site): State<Site>,
    principal: Principal,
    Params(whose): Params<Whose>,
) -> Result<Json<Vec<PasskeyView>>, Problem> {
    let (member, _) = principal.require_session()?;
    let user = whose.user.unwrap_or_else(|| member.id.clone());
    if user != member.id {
        principal.require(Action::AccountsRead, Scope::Gateway)?;
        site.accounts.user(&user).ok_or_else(missing)?;
    }
    Ok(Json(site.accounts.passkeys(&user)))
}

/// Begins to make a passkey for the one who asks.
#[utoipa::path(post, path = "/passkeys/begin", tag = "accounts", responses(
    (status = 201, body = Asked), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem),
    (status = 409, body = Problem, description = "Browsers allow no passkeys here (`urn:isigurt:no-passkeys-here`)"),
    (status = 503, body = Problem)))]
async fn begin(
    State(site): State<Site>,
    principal: Principal,
    peer: Peer,
    bound: Result<Bound, Problem>,
) -> Result<(StatusCode, Json<Asked>), Problem> {
    let (member, _) = principal.require_session()?;
    let (ceremony, options) = site.accounts.begin_passkey(&member.id, &bound?.0, peer.address)?;
    Ok((StatusCode::CREATED, Json(Asked { ceremony, options })))
}

/// Keeps the passkey that the browser made.
#[utoipa::path(post, path = "/passkeys", tag = "accounts", request_body = Make, responses(
    (status = 201, body = PasskeyView), (status = 400, body = Problem),
    (status = 401, body = Problem, description = "Nobody has signed in, or it is not taken (`urn:isigurt:passkey`)"),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
    (status = 503, body = Problem)))]
async fn make(
    State(site): State<Site>,
    principal: Principal,
    bound: Result<Bound, Problem>,
    Body(made): Body<Make>,
) -> Result<(StatusCode, Json<PasskeyView>), Problem> {
    let (member, _) = principal.require_session()?;
    let (user, author, bound) = (member.id.clone(), principal.author(), bound?.0);
    let work = site.accounts.work(move |accounts| {
        let whose = (user.as_str(), made.name.as_str());
        accounts.finish_passkey(whose, &bound, &made.ceremony, &made.credential, &author)
    });
    Ok((StatusCode::CREATED, Json(work.await?)))
}

/// Calls a passkey something else.
#[utoipa::path(patch, path = "/passkeys/{id}", tag = "accounts", params(("id" = String, Path, description = "Its id")),
    request_body = Rename, responses(
    (status = 200, body = PasskeyView), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn rename(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
    Body(new): Body<Rename>,
) -> Result<Json<PasskeyView>, Problem> {
    principal.may_end_of(&site, site.accounts.passkey_user(&id))?;
    let author = principal.author();
    let work = site
        .accounts
        .work(move |accounts| accounts.rename_passkey(&id, &new.name, &author));
    Ok(Json(work.await?))
}

/// Takes a passkey back.
#[utoipa::path(delete, path = "/passkeys/{id}", tag = "accounts", params(("id" = String, Path, description = "Its id")), responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 503, body = Problem)))]
async fn remove(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    principal.may_end_of(&site, site.accounts.passkey_user(&id))?;
    let author = principal.author();
    let work = site
        .accounts
        .work(move |accounts| accounts.remove_passkey(&id, &author));
    work.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Begins to sign in with a passkey.
#[utoipa::path(post, path = "/session/passkey/begin", tag = "session", security(()), request_body = BeginSignIn, responses(
    (status = 201, body = Asked), (status = 400, body = Problem),
    (status = 409, body = Problem, description = "Browsers allow no passkeys here (`urn:isigurt:no-passkeys-here`)"),
    (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
    (status = 503, body = Problem)))]
async fn begin_sign_in(
    State(site): State<Site>,
    peer: Peer,
    bound: Result<Bound, Problem>,
    Body(who): Body<BeginSignIn>,
) -> Result<(StatusCode, Json<Asked>), Problem> {
    let name = who.name.as_deref();
    let (ceremony, options) = site.accounts.begin_passkey_login(name, &bound?.0, peer.address)?;
    Ok((StatusCode::CREATED, Json(Asked { ceremony, options })))
}

/// Signs in with a passkey, which stands for password and second step, and sets the session's cookie.
#[utoipa::path(post, path = "/session/passkey", tag = "session", security(()), request_body = PasskeySignIn, responses(
    (status = 200, body = SessionState, description = "Signed in; the session's cookie is set"),
    (status = 400, body = Problem),
    (status = 401, body = Problem, description = "The passkey is not taken (`urn:isigurt:passkey`)"),
    (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem),
    (status = 429, body = Problem, description = "Too many wrong ones from this device"), (status = 503, body = Problem)))]
async fn sign_in(
    State(site): State<Site>,
    peer: Peer,
    headers: HeaderMap,
    bound: Result<Bound, Problem>,
    Body(shown): Body<PasskeySignIn>,
) -> Result<Response, Problem> {
    let browser = BROWSER.of(&headers, peer).map(str::to_owned);
    let old = SESSION.of(&headers, peer).map(str::to_owned);
    let from = (browser, peer.address, agent(&headers));
    let work = site
        .accounts
        .finish_passkey_login(bound?.0, shown.ceremony, shown.credential, from);
    let done = work.await.inspect_err(|error| {
        tracing::info!(from = %peer.address, %error, "nobody signed in with a passkey");
    })?;
    end_old(&site, old, peer).await;
    tracing::info!(user = done.member.name, from = %peer.address, "signed in with a passkey");
    Ok(signed_in(&site, StatusCode::OK, &done, peer))
}
