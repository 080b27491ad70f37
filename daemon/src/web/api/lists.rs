//! Lists over HTTP: how each stands, asking their servers now, accepting a version that was held back.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Action, Area, Principal, Scope};
use super::extract::Named;
use super::problem::Problem;
use crate::sync::ListStatus;
use crate::web::Site;

/// How long an update is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(lists))
        .routes(routes!(update))
        .routes(routes!(accept))
}

/// All lists: rules, version, age, next try, and why the last one failed.
#[utoipa::path(get, path = "/lists", tag = "lists", responses(
    (status = 200, body = Vec<ListStatus>), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn lists(
    State(site): State<Site>,
    principal: Principal,
) -> Result<axum::Json<Vec<ListStatus>>, Problem> {
    principal.may_read(Area::Status)?;
    Ok(axum::Json(site.watch.lists()))
}

/// Asks the servers of all lists now, waits for them a while, and says how the lists stand. What came in is in force a moment
/// later.
#[utoipa::path(post, path = "/lists/update", tag = "lists", responses(
    (status = 200, body = Vec<ListStatus>), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn update(
    State(site): State<Site>,
    principal: Principal,
) -> Result<axum::Json<Vec<ListStatus>>, Problem> {
    principal.require(Action::ListWrite, Scope::Gateway)?;
    site.watch.keeper().update(PATIENCE).await;
    Ok(axum::Json(site.watch.lists()))
}

/// Puts a version of a list in force that was held back because it lost over half of its rules.
#[utoipa::path(post, path = "/lists/{name}/accept", tag = "lists", params(("name" = String, Path, description = "Its id")),
    responses((status = 204), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 503, body = Problem)))]
async fn accept(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    principal.require(Action::ListWrite, Scope::Gateway)?;
    match site.watch.keeper().accept(&id) {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) => Err(Problem::not_found("no version of such a list is held back")),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}
