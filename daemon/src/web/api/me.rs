//! What a device may do without an account: see its own state, and ask for access.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use isigurt_core::policy::Who;
use isigurt_core::policy::model::Visibility;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Area, Principal};
use super::extract::{Body, Named, Page, Params, Part};
use super::moments::profile;
use super::present::{Budget, budgets, standing};
use super::problem::Problem;
use crate::policy::{Answer, Request};
use crate::web::Site;

/// Requests.
type Requests = Page<Request>;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(me))
        .routes(routes!(check))
        .routes(routes!(my_requests, ask))
        .routes(routes!(requests))
        .routes(routes!(answer))
}

/// The device that asks, as the gateway sees it.
#[derive(Debug, Serialize, ToSchema)]
struct Me {
    /// Its address.
    #[schema(value_type = String)]
    address: IpAddr,
    /// Its name, where it is known.
    device: Option<String>,
    /// Its profile.
    profile: String,
    /// `open`, `off`, `allow-list` or `no-services`.
    now: &'static str,
    /// Why it is not `open`: `paused`, or a schedule.
    because: Option<String>,
    /// When that ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Minutes a day.
    budgets: Vec<Budget>,
    /// What others see of this device's queries.
    seen: Seen,
}

/// What others see of a device's queries.
#[derive(Debug, Serialize, ToSchema)]
struct Seen {
    /// `full`, `blocked` (names that were blocked) or `counts` (no names), as the profile says.
    names: Visibility,
    /// Whether it can be told who asked; the gateway's own setting.
    who: bool,
    /// Whether what was not blocked is kept at all; the gateway's own setting.
    free: bool,
}

/// The device that asks, as the gateway sees it. Needs no account.
#[utoipa::path(get, path = "/me", tag = "a device itself", responses((status = 200, body = Me)))]
async fn me(State(site): State<Site>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> axum::Json<Me> {
    let address = peer.ip().to_canonical();
    let snapshot = site.watch.engine().snapshot();
    let (_, now_ms) = site.watch.engine().cache();
    let client = snapshot.client(address, now_ms);
    let keeping = site.watch.engine().log().keeping();
    let (now, because) = standing(client.standing);
    axum::Json(Me {
        address,
        device: client
            .device
            .map(|device| snapshot.policy.device_name(device).to_owned()),
        profile: client.profile.name.clone(),
        now,
        because: because.map(|because| because.text(&snapshot.index, client.profile).to_owned()),
        until: client.standing.until,
        budgets: budgets(&client),
        seen: Seen {
            names: client.profile.visibility,
            who: !keeping.nothing && !keeping.anonymous,
            free: !keeping.nothing && !keeping.blocked_only,
        },
    })
}

/// Whether a name that a page had this device look up came to the gateway.
#[derive(Debug, Serialize, ToSchema)]
struct Check {
    /// It came.
    seen: bool,
    /// It came from the address that asks here: nobody stands between, and the gateway can tell devices apart.
    direct: bool,
}

/// Whether somebody looked up `TOKEN.check.isigurt.home.arpa` here. Needs no account.
#[utoipa::path(get, path = "/me/check/{token}", tag = "a device itself", security(()),
    params(("token" = String, Path, description = "16 lower-case hexadecimal digits")),
    responses((status = 200, body = Check), (status = 400, body = Problem)))]
async fn check(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Named(token): Named,
) -> axum::Json<Check> {
    let from = site.watch.engine().checks().seen(&token);
    axum::Json(Check {
        seen: from.is_some(),
        direct: from == Some(peer.ip().to_canonical()),
    })
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Ask {
    /// The name that is blocked.
    #[schema(max_length = 253)]
    name: String,
    /// What to tell the parents; up to 200 characters are kept.
    #[serde(default)]
    note: String,
}

/// What this device asked for. Needs no account.
#[utoipa::path(get, path = "/me/requests", tag = "a device itself", responses((status = 200, body = Vec<Request>)))]
async fn my_requests(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
) -> axum::Json<Vec<Request>> {
    let address = peer.ip().to_canonical();
    let household = site.watch.household();
    axum::Json(household.requests_of(site.watch.engine(), address))
}

/// Asks for access to a name that is blocked. Needs no account.
#[utoipa::path(post, path = "/me/requests", tag = "a device itself", request_body = Ask, responses(
    (status = 201, body = Request), (status = 400, body = Problem), (status = 403, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem),
    (status = 503, body = Problem)))]
async fn ask(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Body(ask): Body<Ask>,
) -> Result<(StatusCode, axum::Json<Request>), Problem> {
    let address = peer.ip().to_canonical();
    let request = site
        .watch
        .household()
        .request(site.watch.engine(), address, &ask.name, &ask.note)?;
    Ok((StatusCode::CREATED, axum::Json(request)))
}

/// All requests for access, the newest first; `search` looks at the names.
#[utoipa::path(get, path = "/requests", tag = "requests", params(Part), responses(
    (status = 200, body = Requests), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem)))]
async fn requests(
    State(site): State<Site>,
    principal: Principal,
    Params(part): Params<Part>,
) -> Result<axum::Json<Requests>, Problem> {
    principal.may_read(Area::Moments)?;
    let all = site.watch.household().requests().into_iter();
    let found = all.filter(|request| part.finds(&request.name) && principal.sees(&request.profile));
    part.of(found).map(axum::Json)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Answered {
    /// The answer.
    answer: Answer,
}

/// Answers a request; what it opens is open at once.
#[utoipa::path(post, path = "/requests/{id}", tag = "requests", params(("id" = u64, Path, description = "Its number")),
    request_body = Answered, responses(
    (status = 200, body = Request), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn answer(
    State(site): State<Site>,
    principal: Principal,
    id: Result<axum::extract::Path<u64>, axum::extract::rejection::PathRejection>,
    Body(answered): Body<Answered>,
) -> Result<axum::Json<Request>, Problem> {
    let axum::extract::Path(id) = id.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let household = site.watch.household();
    let found = household.requests().into_iter().find(|request| request.id == id);
    let request = found.ok_or_else(|| Problem::not_found(format!("there is no request {id}")))?;
    principal.may_write(Area::MomentsOf(&request.profile))?;
    // What is opened is opened for the device, which may have another profile since.
    let device = request.device.clone().map(Who::Device);
    if let Some(now) = device.and_then(|device| profile(&site, &device)) {
        principal.may_write(Area::MomentsOf(&now))?;
    }
    if answered.answer == Answer::Always {
        principal.may_write(Area::Profile(&request.profile))?;
    }
    let request = household.answer(site.watch.engine(), &principal.author(), id, answered.answer)?;
    Ok(axum::Json(request))
}
