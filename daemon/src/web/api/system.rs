//! The gateway itself over HTTP: diagnostics, a support bundle without personal data, evidence that filtering works, backups.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use isigurt_blocklists::data;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Action, Area, Principal, Scope};
use super::data::Text;
use super::problem::Problem;
use crate::doctor::{Findings, Given};
use crate::explain::Whom;
use crate::status::Status;
use crate::store::{self, RestoreError};
use crate::web::Site;

/// Names of each category that are tried.
const TRIED: usize = 3;
/// Profiles that are tried.
const PROFILES: usize = 50;
/// Largest backup that is taken back, octets.
const BACKUP: usize = 64 << 20;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(doctor))
        .routes(routes!(support))
        .routes(routes!(evidence))
        .routes(routes!(backup))
        .routes(routes!(restore))
}

async fn look(site: &Site) -> (Findings, Status) {
    site.watch.engine().try_upstreams().await;
    let status = site.watch.status();
    let given = Given {
        status: Ok(&status),
        state_dir: site.watch.household().folder(),
        now_s: Timestamp::now().as_second(),
    };
    (given.look(), status)
}

/// What is looked at to find out whether the gateway is well, and what to do where it is not.
#[utoipa::path(get, path = "/doctor", tag = "system", responses(
    (status = 200, body = Findings), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn doctor(State(site): State<Site>, principal: Principal) -> Result<axum::Json<Findings>, Problem> {
    principal.may_read(Area::Status)?;
    Ok(axum::Json(look(&site).await.0))
}

/// What whoever helps needs to know: no name of a person, a device, a profile or a site, and no address of a client.
#[derive(Debug, Serialize, ToSchema)]
struct Support {
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Version of the program.
    version: String,
    /// Processor and system.
    machine: String,
    /// Seconds since the start.
    uptime_s: u64,
    /// How many profiles, devices, calendars, pauses and grants there are.
    policy: [usize; 5],
    /// How many accounts there are.
    accounts: usize,
    /// Rules in force.
    rules: u64,
    /// How many queries became what.
    counts: crate::dns::engine::Counts,
    /// Answers and octets in the cache.
    cache: (usize, u64),
    /// Each list: how many rules, whether it failed, how old it is in seconds.
    lists: Vec<(u64, bool, Option<i64>)>,
    /// Each upstream: whether it answers, and milliseconds.
    upstreams: Vec<(bool, Option<f32>)>,
    /// Diagnostics.
    findings: Findings,
}

/// A document for whoever helps, without personal data.
#[utoipa::path(get, path = "/support", tag = "system", responses(
    (status = 200, body = Support), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn support(State(site): State<Site>, principal: Principal) -> Result<axum::Json<Support>, Problem> {
    principal.require(Action::SettingsWrite, Scope::Gateway)?;
    let (mut findings, status) = look(&site).await;
    // Problems of the state may name lists, which a household calls as it likes.
    findings.findings.retain(|finding| finding.check != "state");
    let (policy, said) = (site.watch.household().policy(), site.watch.household().said());
    let now = Timestamp::now();
    let times = site.watch.engine().upstream_times();
    Ok(axum::Json(Support {
        at: now,
        version: status.version,
        machine: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
        uptime_s: status.uptime_s,
        policy: [
            policy.profile.len(),
            policy.device.len(),
            policy.calendar.len(),
            said.pauses.len(),
            said.grants.len(),
        ],
        accounts: site.accounts.users().len(),
        rules: status.rules,
        counts: status.counts,
        cache: (status.cache_entries, status.cache_octets),
        lists: status
            .lists
            .iter()
            .map(|list| {
                let age = list.loaded_at.map(|at| now.as_second() - at);
                (list.rules, list.last_error.is_some(), age)
            })
            .collect(),
        upstreams: status
            .upstreams
            .iter()
            .zip(times)
            .map(|((_, answers), (_, time))| (*answers, time))
            .collect(),
        findings,
    }))
}

/// Evidence that filtering works.
#[derive(Debug, Serialize, ToSchema)]
struct Evidence {
    /// When it was tried.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Version of the program.
    version: String,
    /// Profiles that were tried.
    profiles: Vec<String>,
    /// Each kind of content.
    categories: Vec<Tried>,
}

/// A kind of content that was tried.
#[derive(Debug, Serialize, ToSchema)]
struct Tried {
    /// Its id.
    id: String,
    /// Its name.
    name: Text,
    /// For each profile.
    results: Vec<Outcome>,
}

/// What came of it for a profile.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceOutcome)]
struct Outcome {
    /// The profile.
    profile: String,
    /// Whether the profile blocks this kind.
    chosen: bool,
    /// Names that were tried.
    tried: usize,
    /// How many of them are blocked.
    blocked: usize,
}

/// Tries well-known names of each kind of content for each profile that one reaches, as a device of the profile would meet them
/// now. The names are not told.
#[utoipa::path(get, path = "/evidence", tag = "system", responses(
    (status = 200, body = Evidence), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 503, body = Problem)))]
async fn evidence(State(site): State<Site>, principal: Principal) -> Result<axum::Json<Evidence>, Problem> {
    principal.may_read(Area::Profiles)?;
    let work = tokio::task::spawn_blocking(move || try_all(&site, &principal));
    let tried = work
        .await
        .map_err(|error| Problem::unavailable(error.to_string()))?;
    Ok(axum::Json(tried))
}

fn try_all(site: &Site, principal: &Principal) -> Evidence {
    let policy = site.watch.household().policy();
    let seen = policy
        .profile
        .iter()
        .filter(|profile| principal.sees(&profile.name));
    let profiles: Vec<_> = seen.take(PROFILES).collect();
    let blocked = |name: &str, profile: &str| {
        let whom = Whom::Profile(profile.to_owned());
        let found = site.watch.why(name, 1, &whom, None);
        found.is_ok_and(|found| found.verdict == "blocked")
    };
    let categories = data::built_in().map(|data| data.categories).unwrap_or_default();
    let categories = categories.into_iter().map(|category| {
        let names: Vec<String> = category
            .names
            .iter()
            .take(TRIED)
            .map(ToString::to_string)
            .collect();
        let results = profiles.iter().map(|profile| Outcome {
            profile: profile.name.clone(),
            chosen: profile.categories.contains(&category.id),
            tried: names.len(),
            blocked: names.iter().filter(|name| blocked(name, &profile.name)).count(),
        });
        Tried {
            results: results.collect(),
            id: category.id,
            name: category.name.into(),
        }
    });
    Evidence {
        at: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        categories: categories.collect(),
        profiles: profiles.iter().map(|profile| profile.name.clone()).collect(),
    }
}

/// Everything that the gateway keeps, accounts and secrets included, as one file. Not the query log.
#[utoipa::path(get, path = "/backup", tag = "system", responses(
    (status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 503, body = Problem)))]
async fn backup(State(site): State<Site>, principal: Principal) -> Result<impl IntoResponse, Problem> {
    principal.require(Action::Backup, Scope::Gateway)?;
    let store = site.watch.household().store().clone();
    let author = principal.author();
    let work = tokio::task::spawn_blocking(move || store.backup(&author)).await;
    let octets = work
        .map_err(|error| Problem::unavailable(error.to_string()))?
        .map_err(|error| Problem::unavailable(error.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"isigurt.backup\"",
        ),
    ];
    Ok((headers, octets))
}

/// Takes a backup back: it is checked now, and in the place of what there is at the next start. Until then nothing changes.
#[utoipa::path(post, path = "/restore", tag = "system",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 202), (status = 401, body = Problem), (status = 403, body = Problem), (status = 413, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn restore(
    State(site): State<Site>,
    principal: Principal,
    request: Request,
) -> Result<StatusCode, Problem> {
    principal.require(Action::Backup, Scope::Gateway)?; // before anything of it is read
    let body = axum::body::to_bytes(request.into_body(), BACKUP).await;
    let too_large = |_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "a backup has 64 MiB at most");
    let body = body.map_err(too_large)?;
    let folder = site.watch.household().folder().to_owned();
    let work = tokio::task::spawn_blocking(move || store::stage(&folder, &body)).await;
    match work.map_err(|error| Problem::unavailable(error.to_string()))? {
        Ok(()) => Ok(StatusCode::ACCEPTED),
        Err(error @ RestoreError::Damaged) => Err(Problem::unprocessable(error.to_string())),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}
