//! Sessions over HTTP: where a user is signed in, and how that ends.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Action, Principal, Scope};
use super::extract::{Named, Params};
use super::problem::Problem;
use super::users::missing;
use crate::accounts::SessionView;
use crate::web::Site;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(sessions, end_others))
        .routes(routes!(end))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// Id of another user.
    user: Option<String>,
}

/// Where a user is signed in, the session used last first.
#[utoipa::path(get, path = "/sessions", tag = "accounts", params(Whose), responses(
    (status = 200, body = Vec<SessionView>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn sessions(
    State(site): State<Site>,
    principal: Principal,
    Params(whose): Params<Whose>,
) -> Result<Json<Vec<SessionView>>, Problem> {
    let (member, this) = principal.require_session()?;
    let user = whose.user.unwrap_or_else(|| member.id.clone());
    if user != member.id {
        principal.require(Action::AccountsRead, Scope::Gateway)?;
        site.accounts.user(&user).ok_or_else(missing)?;
    }
    Ok(Json(site.accounts.sessions(&user, Some(this))))
}

/// Signs the one who asks out everywhere else.
#[utoipa::path(delete, path = "/sessions", tag = "accounts", responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 503, body = Problem)))]
async fn end_others(State(site): State<Site>, principal: Principal) -> Result<StatusCode, Problem> {
    let (member, this) = principal.require_session()?;
    let (user, this) = (member.id.clone(), this.to_owned());
    site.accounts
        .work(move |accounts| accounts.end_other_sessions(&user, &this))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a session.
#[utoipa::path(delete, path = "/sessions/{id}", tag = "accounts", params(("id" = String, Path, description = "Its id")), responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 503, body = Problem)))]
async fn end(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    principal.may_end_of(&site, site.accounts.session_user(&id))?;
    site.accounts
        .work(move |accounts| accounts.end_session(&id))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
