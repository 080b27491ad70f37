//! API tokens over HTTP. Only somebody who signed in makes or removes them: a token cannot beget tokens.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::Principal;
use super::extract::{Body, Named};
use super::problem::Problem;
use crate::accounts::{NewToken, TokenScope, TokenView};
use crate::web::Site;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(tokens, make))
        .routes(routes!(remove))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MakeToken {
    /// What it is for.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// What it may be used for; never more than its user may.
    #[schema(min_items = 1)]
    scopes: Vec<TokenScope>,
    /// Days until it expires; `null` = never.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 65_535)]
    days: Option<u16>,
}

#[derive(Debug, Serialize, ToSchema)]
struct MadeToken {
    /// The token, for `Authorization: Bearer`. Nobody sees it again.
    token: String,
    /// What it is.
    about: TokenView,
}

/// One's own tokens, by name.
#[utoipa::path(get, path = "/tokens", tag = "accounts", responses(
    (status = 200, body = Vec<TokenView>), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn tokens(State(site): State<Site>, principal: Principal) -> Result<Json<Vec<TokenView>>, Problem> {
    let (member, _) = principal.require_session()?;
    Ok(Json(site.accounts.tokens(&member.id)))
}

/// Makes a token.
#[utoipa::path(post, path = "/tokens", tag = "accounts", request_body = MakeToken, responses(
    (status = 201, body = MadeToken), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
    (status = 503, body = Problem)))]
async fn make(
    State(site): State<Site>,
    principal: Principal,
    Body(new): Body<MakeToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    let (member, _) = principal.require_session()?;
    let (user, author) = (member.id.clone(), principal.author());
    let new = NewToken {
        name: new.name,
        scopes: new.scopes,
        days: new.days,
    };
    let work = site
        .accounts
        .work(move |accounts| accounts.make_token(&user, &new, &author));
    let (token, about) = work.await?;
    Ok((StatusCode::CREATED, Json(MadeToken { token, about })))
}

/// Takes a token back.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "accounts", params(("id" = String, Path, description = "Its id")), responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 503, body = Problem)))]
async fn remove(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    principal.may_end_of(&site, site.accounts.token_user(&id))?;
    let author = principal.author();
    site.accounts
        .work(move |accounts| accounts.end_token(&id, &author))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
