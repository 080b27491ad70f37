//! The policy over HTTP: settings, calendars, profiles, and all of it at once.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use isigurt_core::policy::Who;
use isigurt_core::policy::model::{CalendarText, Policy, ProfileText, Settings};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Area, Principal};
use super::extract::{IfMatch, Large, Named, Page, Params, Part, Tagged};
use super::problem::Problem;
use crate::policy::{ChangeError, gone};
use crate::web::Site;

/// Profiles.
type Profiles = Page<ProfileText>;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(policy, replace_policy))
        .routes(routes!(settings, replace_settings))
        .routes(routes!(calendars, replace_calendars))
        .routes(routes!(profiles, add_profile))
        .routes(routes!(import_calendar))
        .routes(routes!(profile, replace_profile, remove_profile))
        .layer(DefaultBodyLimit::max(super::LARGE_BODY))
}

/// The whole policy.
#[utoipa::path(get, path = "/policy", tag = "policy", responses(
    (status = 200, body = Policy), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn policy(State(site): State<Site>, principal: Principal) -> Result<Tagged<Policy>, Problem> {
    principal.may_read(Area::Policy)?;
    Ok(Tagged(Policy::clone(&site.watch.household().policy())))
}

/// What a new policy would change, or has changed.
#[derive(Debug, Serialize, ToSchema)]
struct Change {
    /// Lines that go and come, as `diff -u` shows them.
    difference: String,
    /// Whether it is in force now.
    in_force: bool,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct DryRun {
    /// Only say what would change.
    #[serde(default)]
    dry_run: bool,
}

/// Replaces the whole policy, all or nothing.
#[utoipa::path(put, path = "/policy", tag = "policy", params(DryRun), request_body = Policy, responses(
    (status = 200, body = Change), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 412, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn replace_policy(
    State(site): State<Site>,
    principal: Principal,
    Params(dry): Params<DryRun>,
    seen: IfMatch,
    Large(new): Large<Policy>,
) -> Result<axum::Json<Change>, Problem> {
    principal.may_write(Area::Policy)?;
    let household = site.watch.household();
    let before = household.policy();
    let text = |policy: &Policy| toml::to_string(policy).unwrap_or_default();
    let difference = similar::TextDiff::configure()
        .timeout(std::time::Duration::from_millis(200)) // a less tidy difference comes in time
        .diff_lines(&text(&before), &text(&new))
        .unified_diff()
        .context_radius(2)
        .to_string();
    if dry.dry_run {
        household.check(site.watch.engine(), &new)?;
    } else {
        household.change(site.watch.engine(), &principal.author(), |policy| {
            fresh(&seen, policy)?;
            *policy = new;
            Ok(())
        })?;
        follow(&site, &principal, gone(&before, &household.policy())).await?;
    }
    Ok(axum::Json(Change {
        difference,
        in_force: !dry.dry_run,
    }))
}

/// What holds for all.
#[utoipa::path(get, path = "/settings", tag = "policy", responses(
    (status = 200, body = Settings), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn settings(State(site): State<Site>, principal: Principal) -> Result<Tagged<Settings>, Problem> {
    principal.may_read(Area::Policy)?;
    Ok(Tagged(site.watch.household().policy().settings.clone()))
}

/// Replaces what holds for all.
#[utoipa::path(put, path = "/settings", tag = "policy", request_body = Settings, responses(
    (status = 200, body = Settings), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 412, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn replace_settings(
    State(site): State<Site>,
    principal: Principal,
    seen: IfMatch,
    Large(new): Large<Settings>,
) -> Result<Tagged<Settings>, Problem> {
    principal.may_write(Area::Policy)?;
    let household = site.watch.household();
    household.change(site.watch.engine(), &principal.author(), |policy| {
        fresh(&seen, &policy.settings)?;
        policy.settings = new;
        Ok(())
    })?;
    Ok(Tagged(household.policy().settings.clone()))
}

/// Calendars that schedules keep to.
#[utoipa::path(get, path = "/calendars", tag = "policy", responses(
    (status = 200, body = Vec<CalendarText>), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn calendars(
    State(site): State<Site>,
    principal: Principal,
) -> Result<Tagged<Vec<CalendarText>>, Problem> {
    principal.may_read(Area::Policy)?;
    Ok(Tagged(site.watch.household().policy().calendar.clone()))
}

/// Replaces all calendars.
#[utoipa::path(put, path = "/calendars", tag = "policy", request_body = Vec<CalendarText>, responses(
    (status = 200, body = Vec<CalendarText>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 412, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn replace_calendars(
    State(site): State<Site>,
    principal: Principal,
    seen: IfMatch,
    Large(new): Large<Vec<CalendarText>>,
) -> Result<Tagged<Vec<CalendarText>>, Problem> {
    principal.may_write(Area::Policy)?;
    let household = site.watch.household();
    household.change(site.watch.engine(), &principal.author(), |policy| {
        fresh(&seen, &policy.calendar)?;
        policy.calendar = new;
        Ok(())
    })?;
    Ok(Tagged(household.policy().calendar.clone()))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCalendar {
    /// The calendar that gets the days; it is made where it is missing.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// An iCalendar (RFC 5545), up to 1 MiB.
    text: String,
}

/// Takes the days of an iCalendar, such as school holidays.
#[utoipa::path(post, path = "/calendars/import", tag = "policy", request_body = NewCalendar, responses(
    (status = 200, body = Vec<CalendarText>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn import_calendar(
    State(site): State<Site>,
    principal: Principal,
    Large(new): Large<NewCalendar>,
) -> Result<Tagged<Vec<CalendarText>>, Problem> {
    principal.may_write(Area::Policy)?;
    let household = site.watch.household();
    household.import_calendar(site.watch.engine(), &principal.author(), &new.name, &new.text)?;
    Ok(Tagged(household.policy().calendar.clone()))
}

/// All profiles.
#[utoipa::path(get, path = "/profiles", tag = "policy", params(Part), responses(
    (status = 200, body = Profiles), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem)))]
async fn profiles(
    State(site): State<Site>,
    principal: Principal,
    Params(part): Params<Part>,
) -> Result<axum::Json<Profiles>, Problem> {
    principal.may_read(Area::Profiles)?;
    let policy = site.watch.household().policy();
    let found = policy
        .profile
        .iter()
        .filter(|profile| part.finds(&profile.name) && principal.sees(&profile.name));
    part.of(found.cloned()).map(axum::Json)
}

/// Adds a profile.
#[utoipa::path(post, path = "/profiles", tag = "policy", request_body = ProfileText, responses(
    (status = 201, body = ProfileText), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn add_profile(
    State(site): State<Site>,
    principal: Principal,
    Large(new): Large<ProfileText>,
) -> Result<(StatusCode, Tagged<ProfileText>), Problem> {
    principal.may_write(Area::Policy)?;
    let household = site.watch.household();
    household.change(site.watch.engine(), &principal.author(), |policy| {
        if policy.profile.iter().any(|profile| profile.name == new.name) {
            return Err(taken("profile", &new.name));
        }
        // The profile that everybody had stays everybody's.
        if policy.settings.default_profile.is_none() {
            policy.settings.default_profile = policy.profile.first().map(|first| first.name.clone());
        }
        policy.profile.push(new.clone());
        Ok(())
    })?;
    Ok((StatusCode::CREATED, Tagged(new)))
}

fn taken(kind: &str, name: &str) -> ChangeError {
    ChangeError::Conflict(format!(
        "there is a {kind} \"{name}\" already; give this one another name"
    ))
}

/// Refuses a change to what is no longer as the client saw it.
pub(super) fn fresh(seen: &IfMatch, current: &impl Serialize) -> Result<(), ChangeError> {
    if seen.holds(current) {
        Ok(())
    } else {
        Err(ChangeError::Stale)
    }
}

fn find<'p>(policy: &'p mut Policy, name: &str) -> Result<&'p mut ProfileText, ChangeError> {
    let found = policy.profile.iter_mut().find(|profile| profile.name == name);
    found.ok_or_else(|| missing("profile", name))
}

pub(super) fn missing(kind: &'static str, name: &str) -> ChangeError {
    ChangeError::Missing {
        kind,
        name: name.to_owned(),
    }
}

/// One profile.
#[utoipa::path(get, path = "/profiles/{name}", tag = "policy", params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, body = ProfileText), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn profile(
    State(site): State<Site>,
    principal: Principal,
    Named(name): Named,
) -> Result<Tagged<ProfileText>, Problem> {
    principal.may_read(Area::Profile(&name))?;
    let policy = site.watch.household().policy();
    let found = policy.profile.iter().find(|profile| profile.name == name);
    found
        .cloned()
        .map(Tagged)
        .ok_or_else(|| missing("profile", &name).into())
}

/// Replaces a profile. Another name in the body renames it, with all who have it.
#[utoipa::path(put, path = "/profiles/{name}", tag = "policy", params(("name" = String, Path, description = "Its name")),
    request_body = ProfileText, responses(
    (status = 200, body = ProfileText), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 412, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn replace_profile(
    State(site): State<Site>,
    principal: Principal,
    Named(name): Named,
    seen: IfMatch,
    Large(new): Large<ProfileText>,
) -> Result<Tagged<ProfileText>, Problem> {
    principal.may_write(Area::Profile(&name))?;
    if new.name != name {
        principal.may_write(Area::Policy)?;
    }
    let household = site.watch.household();
    household.change(site.watch.engine(), &principal.author(), |policy| {
        if new.name != name && policy.profile.iter().any(|profile| profile.name == new.name) {
            return Err(taken("profile", &new.name));
        }
        let profile = find(policy, &name)?;
        fresh(&seen, profile)?;
        *profile = new.clone();
        for device in policy.device.iter_mut().filter(|device| device.profile == name) {
            device.profile.clone_from(&new.name);
        }
        if policy.settings.default_profile.as_ref() == Some(&name) {
            policy.settings.default_profile = Some(new.name.clone());
        }
        Ok(())
    })?;
    if new.name != name {
        let (from, to) = (Who::Profile(name.clone()), Who::Profile(new.name.clone()));
        household.follow(site.watch.engine(), &from, &to)?;
        follow(&site, &principal, vec![(name, Some(new.name.clone()))]).await?;
    }
    Ok(Tagged(new))
}

/// Removes a profile that nobody has.
#[utoipa::path(delete, path = "/profiles/{name}", tag = "policy", params(("name" = String, Path, description = "Its name")), responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem), (status = 412, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn remove_profile(
    State(site): State<Site>,
    principal: Principal,
    Named(name): Named,
    seen: IfMatch,
) -> Result<StatusCode, Problem> {
    principal.may_write(Area::Policy)?;
    let household = site.watch.household();
    household.change(site.watch.engine(), &principal.author(), |policy| {
        fresh(&seen, find(policy, &name)?)?;
        let has = policy
            .device
            .iter()
            .filter(|device| device.profile == name)
            .count();
        if has > 0 {
            return Err(ChangeError::Conflict(format!(
                "{has} device(s) have it; give them another profile first"
            )));
        }
        if policy.profile.len() == 1 || policy.settings.default_profile.as_ref() == Some(&name) {
            return Err(ChangeError::Conflict(
                "it is the profile of everybody else; make another one the default first".to_owned(),
            ));
        }
        policy.profile.retain(|profile| profile.name != name);
        Ok(())
    })?;
    follow(&site, &principal, vec![(name, None)]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has photos and accounts follow profiles that were renamed or removed.
async fn follow(
    site: &Site,
    principal: &Principal,
    gone: Vec<(String, Option<String>)>,
) -> Result<(), Problem> {
    let (author, watch) = (principal.author(), site.watch.clone());
    let work = site.accounts.work(move |accounts| {
        watch.household().follow_photos(&author, &gone)?;
        accounts.follow_profiles(&gone, &author)
    });
    Ok(work.await?)
}
