//! What changes, as it changes (server-sent events), and what was asked for.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Area, Principal};
use super::extract::Params;
use super::problem::Problem;
use crate::log::segment;
use crate::web::Site;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(events))
        .routes(routes!(queries))
}

/// What changes, as it changes: events `policy`, `moments`, `requests`, `network`; `all` where some were missed.
#[utoipa::path(get, path = "/events", tag = "looking", responses(
    (status = 200, body = String, content_type = "text/event-stream"), (status = 401, body = Problem),
    (status = 403, body = Problem)))]
async fn events(
    State(site): State<Site>,
    principal: Principal,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    principal.may_read(Area::Moments)?;
    let receiver = site.watch.household().events();
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let what = match receiver.recv().await {
            Ok(event) => serde_json::to_value(event).ok()?.as_str()?.to_owned(),
            Err(RecvError::Lagged(_)) => "all".to_owned(),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(Event::default().event(what).data("{}")), receiver))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// From this time on; a day ago, where nothing is said.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Only before this time: `next` of the part before.
    #[param(value_type = Option<String>, format = DateTime)]
    before: Option<Timestamp>,
    /// Only of this device, by name or address.
    device: Option<String>,
    /// Only of this profile.
    profile: Option<String>,
    /// Only names that hold this.
    name: Option<String>,
    /// Only with this verdict, such as `blocked`.
    verdict: Option<String>,
    /// How many, up to 1,000; those of one millisecond stay together.
    #[serde(default = "hundred")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: usize,
}

fn hundred() -> usize {
    100
}

/// Workers hand over what they noted in turn: so many records may come behind one that is newer.
const LATE: usize = 4096;

/// A query that was answered.
#[derive(Debug, Serialize, ToSchema)]
struct Query {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who asked; nothing where nobody is to know.
    client: Option<String>,
    /// The client's device.
    device: String,
    /// The client's profile.
    profile: String,
    /// The query name.
    name: String,
    /// The query type.
    r#type: String,
    /// `blocked`, `cached`, `forwarded`, `local`, `stale`, `failed` or `refused`.
    verdict: String,
    /// What it was blocked for.
    reason: String,
}

/// Queries, the newest first.
#[derive(Debug, Serialize, ToSchema)]
struct Queries {
    /// The queries.
    items: Vec<Query>,
    /// `before` for the part that is older, if there may be one.
    #[schema(value_type = Option<String>, format = DateTime)]
    next: Option<Timestamp>,
}

/// The query log, the newest first.
#[utoipa::path(get, path = "/queries", tag = "looking", params(Which), responses(
    (status = 200, body = Queries), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 503, body = Problem)))]
async fn queries(
    State(site): State<Site>,
    principal: Principal,
    Params(which): Params<Which>,
) -> Result<axum::Json<Queries>, Problem> {
    principal.may_read(Area::Queries)?;
    if !(1..=1000).contains(&which.limit) {
        return Err(Problem::bad_request("limit: 1 to 1,000"));
    }
    let found = tokio::task::spawn_blocking(move || {
        site.watch.engine().log().flush();
        read(&site, &which, &principal)
    });
    match found.await {
        Ok(Ok(queries)) => Ok(axum::Json(queries)),
        Ok(Err(error)) => Err(Problem::unavailable(error.to_string())),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}

fn read(site: &Site, which: &Which, principal: &Principal) -> std::io::Result<Queries> {
    let day_ago = || Timestamp::now().checked_sub(SignedDuration::from_hours(24)).ok();
    let since = which.since.or_else(day_ago).map_or(0, Timestamp::as_millisecond);
    let before = which.before.map_or(i64::MAX, Timestamp::as_millisecond);
    let before = u64::try_from(before).unwrap_or(0);
    let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
    let folder = segment::folder(site.watch.household().folder());
    let mut newest = VecDeque::new();
    segment::read(&folder, u64::try_from(since).unwrap_or(0), |record| {
        let client = record.client.map(|client| client.to_string());
        let device = which
            .device
            .as_ref()
            .is_none_or(|wanted| record.device == *wanted || client.as_ref() == Some(wanted));
        let named = which
            .name
            .as_ref()
            .is_none_or(|part| record.name.contains(part.as_str()));
        let wanted = record.at_ms < before
            && device
            && named
            && is(&which.profile, &record.profile)
            && is(&which.verdict, record.verdict)
            && principal.sees_queries(&record.profile);
        if !wanted {
            return;
        }
        newest.push_back(record);
        if newest.len() > which.limit + LATE {
            newest.pop_front();
        }
    })?;
    newest.make_contiguous().sort_by_key(|record| record.at_ms);
    // Those of one millisecond stay together, or the next part would begin in the midst of them.
    let first = newest.len().saturating_sub(which.limit);
    let oldest = newest.get(first).map(|record| record.at_ms);
    while newest.len() > which.limit && newest.front().map(|record| record.at_ms) != oldest {
        newest.pop_front();
    }
    let at = |ms: u64| Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(0)).unwrap_or_default();
    let next = newest.front().filter(|_| newest.len() >= which.limit);
    Ok(Queries {
        next: next.map(|record| at(record.at_ms)),
        items: newest
            .into_iter()
            .rev()
            .map(|record| Query {
                at: at(record.at_ms),
                client: record.client.map(|client| client.to_string()),
                device: record.device,
                profile: record.profile,
                name: record.name,
                r#type: record.qtype,
                verdict: record.verdict.to_owned(),
                reason: record.reason,
            })
            .collect(),
    })
}
