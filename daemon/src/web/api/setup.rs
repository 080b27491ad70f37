//! The first start: whether the gateway has an owner, and how it gets one.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Body;
use super::passkeys::Bound;
use super::problem::Problem;
use super::session::{SessionState, agent, signed_in};
use crate::accounts::{Language, NewUser, Role};
use crate::web::Site;
use crate::web::gate::Peer;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new().routes(routes!(state, claim))
}

#[derive(Debug, Serialize, ToSchema)]
struct SetupState {
    /// Whether the gateway has an owner.
    claimed: bool,
    /// Whether browsers allow passkeys under the name that the gateway was called by.
    passkeys: bool,
    /// What the school's own service is called, where one signs users in: `GET /session/oidc`.
    provider: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Claim {
    /// The code that stands in the gateway's log and on its console.
    code: String,
    /// Name of the first owner.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// At least 10 characters.
    #[schema(min_length = 10, max_length = 256)]
    password: String,
    /// Language of the pages.
    #[serde(default)]
    language: Language,
}

/// Whether the gateway has an owner, and which ways in there are beside name and password.
#[utoipa::path(get, path = "/setup", tag = "setup", security(()), responses((status = 200, body = SetupState)))]
async fn state(State(site): State<Site>, bound: Result<Bound, Problem>) -> Json<SetupState> {
    Json(SetupState {
        claimed: site.accounts.claimed(),
        passkeys: bound.is_ok(),
        provider: site.provider.as_ref().map(|provider| provider.name().to_owned()),
    })
}

/// Makes the first owner and signs it in.
#[utoipa::path(
    post, path = "/setup", tag = "setup", security(()), request_body = Claim,
    responses(
        (status = 201, body = SessionState, description = "Claimed; the session's cookie is set"),
        (status = 400, body = Problem), (status = 403, body = Problem, description = "The code is wrong"),
        (status = 409, body = Problem, description = "Claimed already"), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 422, body = Problem),
        (status = 429, body = Problem, description = "Too many wrong codes"), (status = 503, body = Problem)
    )
)]
async fn claim(
    State(site): State<Site>,
    peer: Peer,
    headers: HeaderMap,
    Body(claim): Body<Claim>,
) -> Result<axum::response::Response, Problem> {
    let new = NewUser {
        name: claim.name,
        role: Role::Owner,
        profiles: Vec::new(),
        language: claim.language,
        password: claim.password,
    };
    let from = (peer.address, agent(&headers));
    let done = site.accounts.claim_and_login(claim.code, new, from).await?;
    tracing::info!(owner = done.member.name, from = %peer.address, "the gateway has been claimed");
    Ok(signed_in(&site, StatusCode::CREATED, &done, peer))
}
