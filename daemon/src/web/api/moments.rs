//! What is said for a while, over HTTP: pauses, grants, minutes on top.

use axum::extract::State;
use axum::http::StatusCode;
use isigurt_core::policy::{Grant, Pause, Who};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Area, Principal};
use super::extract::{Body, Params};
use super::problem::Problem;
use crate::policy::{ChangeError, While};
use crate::web::Site;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(moments))
        .routes(routes!(pause, resume))
        .routes(routes!(grant, revoke))
        .routes(routes!(bonus))
}

/// Everything that is said for a while.
#[utoipa::path(get, path = "/moments", tag = "for a while", responses(
    (status = 200, body = While), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn moments(State(site): State<Site>, principal: Principal) -> Result<axum::Json<While>, Problem> {
    principal.may_read(Area::Moments)?;
    let mut said = site.watch.household().said();
    said.pauses.retain(|pause| sees(&site, &principal, &pause.who));
    said.grants.retain(|grant| sees(&site, &principal, &grant.who));
    Ok(axum::Json(said))
}

fn sees(site: &Site, principal: &Principal, who: &Who) -> bool {
    principal.may_read(area(profile(site, who).as_deref())).is_ok()
}

/// The name of the profile that somebody has; `None` for everybody.
pub(super) fn profile(site: &Site, who: &Who) -> Option<String> {
    match who {
        Who::All => None,
        Who::Profile(name) => Some(name.clone()),
        Who::Device(name) => {
            let snapshot = site.watch.engine().snapshot();
            let device = snapshot.policy.device(name)?;
            Some(snapshot.policy.profile_of(device).name.clone())
        }
    }
}

fn area(profile: Option<&str>) -> Area<'_> {
    profile.map_or(Area::Moments, Area::MomentsOf)
}

fn allowed(site: &Site, principal: &Principal, who: &str) -> Result<Who, Problem> {
    let who = site.watch.household().who(site.watch.engine(), who)?;
    principal.may_write(area(profile(site, &who).as_deref()))?;
    Ok(who)
}

fn after(minutes: u32) -> Result<Timestamp, Problem> {
    let end = Timestamp::now().checked_add(SignedDuration::from_mins(i64::from(minutes)));
    end.map_err(|_| ChangeError::Wrong("no such time will come".to_owned()).into())
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPause {
    /// `all`, the name of a device or a profile, or a device's address.
    who: String,
    /// How long; until somebody ends it, where nothing is said.
    #[schema(minimum = 1, maximum = 525_600)]
    minutes: Option<u32>,
}

/// Pauses the internet for somebody, in the place of an earlier pause of theirs.
#[utoipa::path(post, path = "/pauses", tag = "for a while", request_body = NewPause, responses(
    (status = 201, body = While), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn pause(
    State(site): State<Site>,
    principal: Principal,
    Body(new): Body<NewPause>,
) -> Result<(StatusCode, axum::Json<While>), Problem> {
    let who = allowed(&site, &principal, &new.who)?;
    let until = new.minutes.map(after).transpose()?;
    let pause = Pause { who, until };
    site.watch
        .household()
        .pause(site.watch.engine(), &principal.author(), pause)?;
    Ok((StatusCode::CREATED, axum::Json(site.watch.household().said())))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// `all`, the name of a device or a profile, or a device's address.
    who: String,
}

/// Ends a pause.
#[utoipa::path(delete, path = "/pauses", tag = "for a while", params(Whose), responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 503, body = Problem)))]
async fn resume(
    State(site): State<Site>,
    principal: Principal,
    Params(whose): Params<Whose>,
) -> Result<StatusCode, Problem> {
    let who = allowed(&site, &principal, &whose.who)?;
    let ended = site
        .watch
        .household()
        .resume(site.watch.engine(), &principal.author(), &who)?;
    ended
        .then_some(StatusCode::NO_CONTENT)
        .ok_or_else(|| Problem::not_found(format!("{who} is not paused")))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGrant {
    /// `all`, the name of a device or a profile, or a device's address.
    who: String,
    /// A name as in `allow`, `service:ID`, `category:ID`, or `schedule`: hours do not hold meanwhile.
    what: String,
    /// How long.
    #[schema(minimum = 1, maximum = 525_600)]
    minutes: u32,
}

/// Opens something for somebody.
#[utoipa::path(post, path = "/grants", tag = "for a while", request_body = NewGrant, responses(
    (status = 201, body = Grant), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn grant(
    State(site): State<Site>,
    principal: Principal,
    Body(new): Body<NewGrant>,
) -> Result<(StatusCode, axum::Json<Grant>), Problem> {
    let grant = Grant {
        who: allowed(&site, &principal, &new.who)?,
        what: new.what,
        until: after(new.minutes)?,
    };
    let grant = site
        .watch
        .household()
        .grant(site.watch.engine(), &principal.author(), grant)?;
    Ok((StatusCode::CREATED, axum::Json(grant)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Granted {
    /// Whose grant.
    who: String,
    /// What it opened.
    what: String,
}

/// Ends a grant.
#[utoipa::path(delete, path = "/grants", tag = "for a while", params(Granted), responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn revoke(
    State(site): State<Site>,
    principal: Principal,
    Params(granted): Params<Granted>,
) -> Result<StatusCode, Problem> {
    let who = allowed(&site, &principal, &granted.who)?;
    let ended =
        site.watch
            .household()
            .revoke(site.watch.engine(), &principal.author(), &who, &granted.what)?;
    ended
        .then_some(StatusCode::NO_CONTENT)
        .ok_or_else(|| Problem::not_found(format!("{who} has no such grant")))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBonus {
    /// `all`, the name of a device or a profile, or a device's address.
    who: String,
    /// `service:ID` or `category:ID`.
    what: String,
    /// Minutes of today.
    #[schema(minimum = 1, maximum = 1440)]
    minutes: u16,
}

/// Gives minutes of today on top of the budgets that count something.
#[utoipa::path(post, path = "/bonus", tag = "for a while", request_body = NewBonus, responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn bonus(
    State(site): State<Site>,
    principal: Principal,
    Body(new): Body<NewBonus>,
) -> Result<StatusCode, Problem> {
    let who = allowed(&site, &principal, &new.who)?;
    site.watch.household().give(
        site.watch.engine(),
        &principal.author(),
        &who,
        &new.what,
        new.minutes,
    )?;
    Ok(StatusCode::NO_CONTENT)
}
