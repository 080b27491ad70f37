//! The second step of signing in (an authenticator app): begun, confirmed with its first code, removed.
//!
//! One begins and confirms one's own; one removes one's own with the password, others' with the right to their accounts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Action, Principal, Scope};
use super::extract::{Body, Named};
use super::problem::Problem;
use super::users::done;
use crate::accounts::Enrolment;
use crate::web::Site;
use crate::web::gate::Peer;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(begin))
        .routes(routes!(confirm))
        .routes(routes!(remove))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirm {
    /// The code that the app shows.
    code: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Remove {
    /// The password; needed for the own account.
    #[serde(default)]
    password: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Confirmed {
    /// Codes that stand in for the app, each once. Nobody sees them again.
    recovery_codes: Vec<String>,
}

fn own(principal: &Principal, id: &str) -> Result<(), Problem> {
    let (member, _) = principal.require_session()?;
    if member.id == id {
        return Ok(());
    }
    Err(Problem::not_allowed())
}

/// Begins a second step: a secret for an authenticator app.
#[utoipa::path(post, path = "/users/{id}/totp", tag = "accounts", params(("id" = String, Path, description = "The own id")), responses(
    (status = 201, body = Enrolment), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 503, body = Problem)))]
async fn begin(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<(StatusCode, Json<Enrolment>), Problem> {
    own(&principal, &id)?;
    let enrolment = site.accounts.work(move |accounts| accounts.enrol(&id)).await?;
    Ok((StatusCode::CREATED, Json(enrolment)))
}

/// Puts the second step in force.
#[utoipa::path(post, path = "/users/{id}/totp/confirm", tag = "accounts", params(("id" = String, Path, description = "The own id")),
    request_body = Confirm, responses(
    (status = 200, body = Confirmed), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
    (status = 503, body = Problem)))]
async fn confirm(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
    Body(confirm): Body<Confirm>,
) -> Result<Json<Confirmed>, Problem> {
    own(&principal, &id)?;
    let author = principal.author();
    let work = site
        .accounts
        .work(move |accounts| accounts.confirm_totp(&id, &confirm.code, &author));
    Ok(Json(Confirmed {
        recovery_codes: work.await?,
    }))
}

/// Removes the second step.
#[utoipa::path(post, path = "/users/{id}/totp/remove", tag = "accounts", params(("id" = String, Path, description = "Whose")),
    request_body = Remove, responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
    (status = 422, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
async fn remove(
    State(site): State<Site>,
    peer: Peer,
    principal: Principal,
    Named(id): Named,
    Body(remove): Body<Remove>,
) -> Result<StatusCode, Problem> {
    let (member, _) = principal.require_session()?;
    let own = member.id == id;
    if own {
        let password = remove.password.unwrap_or_default();
        let name = member.name.clone();
        site.accounts
            .confirm_password(name, password, peer.address)
            .await?;
    } else {
        principal.require(Action::AccountsWrite, Scope::Reached)?;
    }
    let author = principal.author();
    let work = site.accounts.work(move |accounts| {
        accounts.remove_totp(&id, &author, |role| {
            own || principal.may(Action::AccountsWrite, Scope::Role(role))
        })
    });
    done(work.await?)
}
