//! Notifications on browsers over HTTP: each user reaches the own ones alone; no token does. Neither the address of a browser at
//! its push service nor its keys are given back.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::Principal;
use super::alerts::tried;
use super::extract::{Body, Named};
use super::problem::Problem;
use crate::alerts::push::{Choice, MOST, ShownSubscription, Subscribe};
use crate::alerts::{AlertError, Alerts};
use crate::web::Site;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(own))
        .routes(routes!(subscribe))
        .routes(routes!(choose, unsubscribe))
        .routes(routes!(test))
}

/// What a browser needs to subscribe, and the own ones that are told.
#[derive(Debug, Serialize, ToSchema)]
struct PushState {
    /// The gateway's public key (`applicationServerKey` of the Push API), base64url.
    key: String,
    /// How many browsers a user may have.
    most: usize,
    /// The own browsers that are told.
    subscriptions: Vec<ShownSubscription>,
}

/// The id of whoever signed in.
fn user(principal: &Principal) -> Result<String, Problem> {
    let (member, _) = principal.require_session()?;
    Ok(member.id.clone())
}

/// Works on the alerts off the threads that serve: what changes is on the disk when it returns.
async fn work<T: Send + 'static>(
    site: &Site,
    work: impl FnOnce(&Alerts) -> Result<T, AlertError> + Send + 'static,
) -> Result<T, Problem> {
    let alerts = site.alerts.clone();
    match tokio::task::spawn_blocking(move || work(&alerts)).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Problem::unavailable("the work was not finished; try again")),
    }
}

/// What a browser needs to subscribe, and the own browsers that are told.
#[utoipa::path(get, path = "/push", tag = "alerts", responses(
    (status = 200, body = PushState), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 503, body = Problem)))]
async fn own(State(site): State<Site>, principal: Principal) -> Result<Json<PushState>, Problem> {
    let user = user(&principal)?;
    let state = work(&site, move |alerts| {
        Ok(PushState {
            key: alerts.push_key()?,
            most: MOST,
            subscriptions: alerts.subscriptions(&user),
        })
    });
    Ok(Json(state.await?))
}

/// Tells a browser of one's own from now on; one that is known already is changed.
#[utoipa::path(post, path = "/push/subscriptions", tag = "alerts", request_body = Subscribe, responses(
    (status = 201, body = ShownSubscription), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn subscribe(
    State(site): State<Site>,
    principal: Principal,
    Body(asked): Body<Subscribe>,
) -> Result<(StatusCode, Json<ShownSubscription>), Problem> {
    let (user, author) = (user(&principal)?, principal.author());
    let shown = work(&site, move |alerts| alerts.subscribe(&author, &user, asked));
    Ok((StatusCode::CREATED, Json(shown.await?)))
}

/// Changes what a browser of one's own is told.
#[utoipa::path(put, path = "/push/subscriptions/{id}", tag = "alerts", params(("id" = String, Path, description = "Its id")),
    request_body = Choice, responses(
    (status = 200, body = ShownSubscription), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn choose(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
    Body(choice): Body<Choice>,
) -> Result<Json<ShownSubscription>, Problem> {
    let (user, author) = (user(&principal)?, principal.author());
    let shown = work(&site, move |alerts| alerts.choose(&author, &user, &id, choice));
    Ok(Json(shown.await?))
}

/// Tells a browser of one's own no more.
#[utoipa::path(delete, path = "/push/subscriptions/{id}", tag = "alerts", params(("id" = String, Path, description = "Its id")),
    responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 503, body = Problem)))]
async fn unsubscribe(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    let (user, author) = (user(&principal)?, principal.author());
    work(&site, move |alerts| alerts.unsubscribe(&author, &user, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a browser of one's own a message that says that it is a test; 502 says why it did not arrive.
#[utoipa::path(post, path = "/push/subscriptions/{id}/test", tag = "alerts", params(("id" = String, Path, description = "Its id")),
    responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 502, body = Problem)))]
async fn test(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    let user = user(&principal)?;
    tried(site.alerts.test_push(&user, &id).await?)
}
