//! Users over HTTP. Everybody sees and keeps the own account; others' are a matter of [`Action::AccountsWrite`].

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Action, Principal, Scope};
use super::extract::{Body, Named, Page, Params, Part};
use super::problem::Problem;
use super::session::{SessionState, agent, signed_in};
use crate::accounts::{Language, NewUser, Role, UserChange, UserView};
use crate::web::Site;
use crate::web::gate::Peer;

/// Accounts.
type Users = Page<UserView>;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(users, add))
        .routes(routes!(user, change, remove))
        .routes(routes!(set_password))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddUser {
    /// What is typed to sign in; letter case does not matter.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// What the user may do.
    role: Role,
    /// Names of the profiles that a `staff` user is limited to.
    #[serde(default)]
    #[schema(max_items = 256)]
    profiles: Vec<String>,
    /// Language of the pages.
    #[serde(default)]
    language: Language,
    /// At least 10 characters.
    #[schema(min_length = 10, max_length = 256)]
    password: String,
}

/// Members that are not there stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeUser {
    /// What is typed to sign in.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// What the user may do.
    #[serde(default)]
    role: Option<Role>,
    /// Names of the profiles that a `staff` user is limited to.
    #[serde(default)]
    #[schema(max_items = 256)]
    profiles: Option<Vec<String>>,
    /// Language of the pages. The only member that one may change of oneself.
    #[serde(default)]
    language: Option<Language>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetPassword {
    /// The new one, at least 10 characters.
    #[schema(min_length = 10, max_length = 256)]
    password: String,
    /// The present one; needed for the own account.
    #[serde(default)]
    current: Option<String>,
}

/// All users, by name.
#[utoipa::path(get, path = "/users", tag = "accounts", params(Part), responses(
    (status = 200, body = Users), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem)))]
async fn users(
    State(site): State<Site>,
    principal: Principal,
    Params(part): Params<Part>,
) -> Result<Json<Users>, Problem> {
    principal.require(Action::AccountsRead, Scope::Gateway)?;
    let users = site.accounts.users().into_iter();
    part.of(users.filter(|user| part.finds(&user.name))).map(Json)
}

/// Adds a user. An owner adds whom it likes, an admin `staff` and `viewer`.
#[utoipa::path(post, path = "/users", tag = "accounts", request_body = AddUser, responses(
    (status = 201, body = UserView), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn add(
    State(site): State<Site>,
    principal: Principal,
    Body(new): Body<AddUser>,
) -> Result<(StatusCode, Json<UserView>), Problem> {
    principal.require(Action::AccountsWrite, Scope::Role(new.role))?;
    let new = NewUser {
        name: new.name,
        role: new.role,
        profiles: new.profiles,
        language: new.language,
        password: new.password,
    };
    let author = principal.author();
    let work = site
        .accounts
        .hash_work(move |accounts| accounts.add(&new, &author));
    Ok((StatusCode::CREATED, Json(work.await?)))
}

/// One user.
#[utoipa::path(get, path = "/users/{id}", tag = "accounts", params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, body = UserView), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn user(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<Json<UserView>, Problem> {
    let own = principal.member().is_some_and(|member| member.id == id);
    let scope = if own { Scope::Own } else { Scope::Gateway };
    let action = if own {
        Action::OwnAccount
    } else {
        Action::AccountsRead
    };
    principal.require(action, scope)?;
    site.accounts.user(&id).map(Json).ok_or_else(missing)
}

/// Changes a user.
#[utoipa::path(patch, path = "/users/{id}", tag = "accounts", params(("id" = String, Path, description = "Its id")),
    request_body = ChangeUser, responses(
    (status = 200, body = UserView), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
    (status = 503, body = Problem)))]
async fn change(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
    Body(change): Body<ChangeUser>,
) -> Result<Json<UserView>, Problem> {
    let own = principal.member().is_some_and(|member| member.id == id);
    let harmless = change.name.is_none() && change.role.is_none() && change.profiles.is_none();
    if own && harmless {
        principal.require(Action::OwnAccount, Scope::Own)?;
    } else {
        principal.require(Action::AccountsWrite, Scope::Reached)?;
        if let Some(role) = change.role {
            principal.require(Action::AccountsWrite, Scope::Role(role))?;
        }
    }
    let change = UserChange {
        name: change.name,
        role: change.role,
        profiles: change.profiles,
        language: change.language,
    };
    let author = principal.author();
    let work = site.accounts.work(move |accounts| {
        let allowed = |role| own && harmless || principal.may(Action::AccountsWrite, Scope::Role(role));
        accounts.alter(&id, &change, &author, allowed)
    });
    work.await?.map(Json).ok_or_else(Problem::not_allowed)
}

/// Removes a user, with its sessions and tokens.
#[utoipa::path(delete, path = "/users/{id}", tag = "accounts", params(("id" = String, Path, description = "Its id")), responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
async fn remove(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    principal.require(Action::AccountsWrite, Scope::Reached)?;
    let author = principal.author();
    let work = site.accounts.work(move |accounts| {
        accounts.remove(&id, &author, |role| {
            principal.may(Action::AccountsWrite, Scope::Role(role))
        })
    });
    done(work.await?)
}

/// Sets a password and ends all sessions of the user. Whoever changes the own one gets a new session.
#[utoipa::path(post, path = "/users/{id}/password", tag = "accounts", params(("id" = String, Path, description = "Its id")),
    request_body = SetPassword, responses(
    (status = 200, body = SessionState, description = "The own one is changed; the new session's cookie is set"),
    (status = 204, description = "Another user's is changed"), (status = 400, body = Problem),
    (status = 401, body = Problem, description = "Nobody has signed in, or the present password is wrong"),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem),
    (status = 503, body = Problem)))]
async fn set_password(
    State(site): State<Site>,
    peer: Peer,
    principal: Principal,
    Named(id): Named,
    headers: HeaderMap,
    Body(new): Body<SetPassword>,
) -> Result<Response, Problem> {
    let (member, _) = principal.require_session()?;
    let (own, name) = (member.id == id, member.name.clone());
    let author = principal.author();
    if own {
        let current = new.current.unwrap_or_default();
        site.accounts
            .confirm_password(name, current, peer.address)
            .await?;
    } else {
        principal.require(Action::AccountsWrite, Scope::Reached)?;
    }
    let whose = id.clone();
    let work = site.accounts.hash_work(move |accounts| {
        let allowed = |role| own || principal.may(Action::AccountsWrite, Scope::Role(role));
        accounts.set_password(&whose, &new.password, &author, allowed)
    });
    if !work.await? {
        return Err(Problem::not_allowed());
    }
    if !own {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let agent = agent(&headers);
    let again = site
        .accounts
        .work(move |accounts| accounts.sign_in_again(&id, peer.address, &agent));
    Ok(signed_in(&site, StatusCode::OK, &again.await?, peer))
}

pub(super) fn missing() -> Problem {
    Problem::not_found("there is no such user; it may have been removed meanwhile")
}

/// 204 where it was allowed.
pub(super) fn done(allowed: bool) -> Result<StatusCode, Problem> {
    allowed
        .then_some(StatusCode::NO_CONTENT)
        .ok_or_else(Problem::not_allowed)
}
