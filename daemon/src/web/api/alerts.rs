//! Alerts over HTTP: who is told of what, a test of the way to them, and what was told.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Action, Principal, Scope};
use super::extract::{Body, Named};
use super::problem::Problem;
use crate::alerts::{Alert, AlertError, Recipient, SendError, Shown, may_hear};
use crate::web::Site;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(recipients, add))
        .routes(routes!(replace, remove))
        .routes(routes!(test))
        .routes(routes!(sent))
}

impl From<AlertError> for Problem {
    fn from(error: AlertError) -> Self {
        let detail = error.to_string();
        match error {
            AlertError::Missing(_) | AlertError::NoBrowser => Self::not_found(detail),
            AlertError::TooMany | AlertError::TooManyBrowsers => Self::conflict(detail),
            AlertError::Wrong(wrong) => Self::unprocessable(detail).of_field(wrong.field),
            AlertError::Store(_) | AlertError::Key(_) => Self::unavailable(detail),
        }
    }
}

fn may(principal: &Principal) -> Result<(), Problem> {
    principal.require(Action::SettingsWrite, Scope::Gateway)
}

/// Who is told of what.
#[utoipa::path(get, path = "/alerts/recipients", tag = "alerts", responses(
    (status = 200, body = Vec<Shown>), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn recipients(
    State(site): State<Site>,
    principal: Principal,
) -> Result<axum::Json<Vec<Shown>>, Problem> {
    may(&principal)?;
    Ok(axum::Json(site.alerts.recipients()))
}

/// Adds somebody who is told.
#[utoipa::path(post, path = "/alerts/recipients", tag = "alerts", request_body = Recipient, responses(
    (status = 201, body = Shown), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn add(
    State(site): State<Site>,
    principal: Principal,
    Body(recipient): Body<Recipient>,
) -> Result<(StatusCode, axum::Json<Shown>), Problem> {
    may(&principal)?;
    let shown = site.alerts.add(&principal.author(), recipient)?;
    Ok((StatusCode::CREATED, axum::Json(shown)))
}

/// Changes who is told of what. A secret that is not sent again stays, as long as it goes to the same place.
#[utoipa::path(put, path = "/alerts/recipients/{id}", tag = "alerts", params(("id" = String, Path, description = "Its id")),
    request_body = Recipient, responses(
    (status = 200, body = Shown), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn replace(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
    Body(recipient): Body<Recipient>,
) -> Result<axum::Json<Shown>, Problem> {
    may(&principal)?;
    Ok(axum::Json(site.alerts.replace(
        &principal.author(),
        &id,
        recipient,
    )?))
}

/// Tells somebody no more.
#[utoipa::path(delete, path = "/alerts/recipients/{id}", tag = "alerts", params(("id" = String, Path, description = "Its id")),
    responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 503, body = Problem)))]
async fn remove(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    may(&principal)?;
    site.alerts.remove(&principal.author(), &id)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends somebody a message that says that it is a test; 502 says why it did not arrive.
#[utoipa::path(post, path = "/alerts/recipients/{id}/test", tag = "alerts", params(("id" = String, Path, description = "Its id")),
    responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 502, body = Problem)))]
async fn test(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    may(&principal)?;
    tried(site.alerts.test(&id).await?)
}

/// The answer to a test.
pub(super) fn tried(outcome: Result<(), SendError>) -> Result<StatusCode, Problem> {
    match outcome {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(Problem::new(StatusCode::BAD_GATEWAY, error.to_string())),
    }
}

/// What was told, the newest first; of the profiles that one reaches.
#[utoipa::path(get, path = "/alerts", tag = "alerts", responses(
    (status = 200, body = Vec<Alert>), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn sent(State(site): State<Site>, principal: Principal) -> Result<axum::Json<Vec<Alert>>, Problem> {
    principal.require(Action::ReportRead, Scope::Reached)?;
    let mut alerts = site.alerts.sent();
    alerts.retain(|alert| may_hear(|action, scope| principal.may(action, scope), &alert.profile));
    Ok(axum::Json(alerts))
}
