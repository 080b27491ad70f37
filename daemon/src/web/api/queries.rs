//! The query log over HTTP: page by page from the newest, and as it grows (server-sent events).
//!
//! It never shows more than was kept: names of the national list, and what a profile keeps to itself, are not in the log.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Area, Principal};
use super::extract::Params;
use super::problem::Problem;
use super::stream::{Next, Reader};
use crate::log::pages::{self, Place, Span};
use crate::log::record::Record;
use crate::log::segment;
use crate::stats;
use crate::web::Site;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(queries))
        .routes(routes!(stream))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only of this device, by name or address.
    device: Option<String>,
    /// Only of this profile.
    profile: Option<String>,
    /// Only names that hold this.
    name: Option<String>,
    /// Only names of this site: what was registered, such as `example.com`.
    site: Option<String>,
    /// Only with this verdict, such as `blocked`.
    verdict: Option<String>,
    /// Only what was blocked for this reason, such as `gambling`.
    reason: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// From this time on; a day ago, where nothing is said.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Only before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    before: Option<Timestamp>,
    /// Only before this place: `next` of the part before.
    cursor: Option<String>,
    /// How many, up to 1,000.
    #[serde(default = "hundred")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: usize,
}

fn hundred() -> usize {
    100
}

/// A query that was answered.
#[derive(Debug, Serialize, ToSchema)]
struct Query {
    /// Its place in the log; none where it is not written yet.
    id: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who asked; nothing where nobody is to know.
    client: Option<String>,
    /// The client's device.
    device: String,
    /// The client's profile.
    profile: String,
    /// The query name; empty where nobody is to know.
    name: String,
    /// What was registered of the name, such as `example.com`.
    site: String,
    /// The query type.
    r#type: String,
    /// `blocked`, `cached`, `forwarded`, `local`, `stale` or `failed`.
    verdict: String,
    /// What it was blocked for.
    reason: String,
}

impl Query {
    fn new(place: Option<Place>, record: Record) -> Self {
        let at = i64::try_from(record.at_ms).unwrap_or(0);
        Self {
            id: place.map(|place| place.to_string()),
            at: Timestamp::from_millisecond(at).unwrap_or_default(),
            client: record.client.map(|client| client.to_string()),
            device: record.device,
            profile: record.profile,
            site: stats::site(&record.name).to_owned(),
            name: record.name,
            r#type: record.qtype,
            verdict: record.verdict.to_owned(),
            reason: record.reason,
        }
    }
}

/// Queries, the newest first.
#[derive(Debug, Serialize, ToSchema)]
struct Queries {
    /// The queries.
    items: Vec<Query>,
    /// `cursor` for the part that is older, if there may be one: also where nothing was found yet.
    next: Option<String>,
    /// How far back was looked.
    #[schema(value_type = Option<String>, format = DateTime)]
    back_to: Option<Timestamp>,
}

/// What of the log one sees: as the filter says, of profiles that one reaches, and what these show.
struct Sight {
    filter: Filter,
    policy: Arc<isigurt_core::policy::model::Policy>,
}

impl Sight {
    fn shows(&self, principal: &Principal, profile: &str, blocked: bool) -> bool {
        principal.sees_queries(profile) && self.policy.visibility(profile).shows(blocked)
    }

    /// Whether somebody sees a record.
    fn sees(&self, principal: &Principal, record: &Record) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
        let Filter {
            device,
            profile,
            name,
            site,
            verdict,
            reason,
        } = &self.filter;
        is(profile, &record.profile)
            && is(verdict, record.verdict)
            && is(reason, &record.reason)
            && name
                .as_ref()
                .is_none_or(|part| record.name.contains(part.as_str()))
            && device.as_ref().is_none_or(|wanted| {
                record.device == *wanted || record.client.is_some_and(|client| client.to_string() == *wanted)
            })
            && site
                .as_ref()
                .is_none_or(|wanted| stats::site(&record.name) == wanted)
            && (record.name.is_empty() && principal.sees_queries(&record.profile)
                || self.shows(principal, &record.profile, record.verdict == "blocked"))
    }
}

/// The query log, the newest first.
#[utoipa::path(get, path = "/queries", tag = "looking", params(Which, Filter), responses(
    (status = 200, body = Queries), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 503, body = Problem)))]
async fn queries(
    State(site): State<Site>,
    principal: Principal,
    Params(which): Params<Which>,
    Params(filter): Params<Filter>,
) -> Result<axum::Json<Queries>, Problem> {
    principal.may_read(Area::Queries)?;
    if !(1..=1000).contains(&which.limit) {
        return Err(Problem::bad_request("limit: 1 to 1,000"));
    }
    let from = which.cursor.as_deref().map(str::parse::<Place>).transpose();
    let from = from.map_err(|wrong| Problem::bad_request(format!("cursor: {wrong}")))?;
    let day_ago = || Timestamp::now().checked_sub(SignedDuration::from_hours(24)).ok();
    let ms = |at: Timestamp| u64::try_from(at.as_millisecond()).unwrap_or(0);
    let span = Span {
        from,
        since_ms: which.since.or_else(day_ago).map_or(0, ms),
        before_ms: which.before.map_or(u64::MAX, ms),
        limit: which.limit,
    };
    let sight = Sight {
        filter,
        policy: site.watch.household().policy(),
    };
    let found = tokio::task::spawn_blocking(move || {
        if span.from.is_none() {
            site.watch.engine().log().flush(); // what follows was written before
        }
        read(&site, &principal, span, &sight)
    });
    match found.await {
        Ok(Ok(queries)) => Ok(axum::Json(queries)),
        Ok(Err(error)) => Err(Problem::unavailable(error.to_string())),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}

fn read(site: &Site, principal: &Principal, span: Span, sight: &Sight) -> io::Result<Queries> {
    let folder = segment::folder(site.watch.household().folder());
    let wanted = |raw: &crate::log::record::Raw<'_>| {
        // What is cheap to tell comes first: most records are passed over.
        let verdict = sight.filter.verdict.as_deref();
        let profile = sight.filter.profile.as_deref();
        verdict.is_none_or(|wanted| wanted == raw.verdict())
            && profile.is_none_or(|wanted| wanted.as_bytes() == raw.profile)
            && raw.record().is_some_and(|record| sight.sees(principal, &record))
    };
    let page = pages::page(&folder, span, wanted)?;
    let back_to = i64::try_from(page.back_to_ms).ok().filter(|at| *at > 0);
    Ok(Queries {
        next: page.next.map(|next| next.to_string()),
        back_to: back_to.and_then(|at| Timestamp::from_millisecond(at).ok()),
        items: page
            .records
            .into_iter()
            .map(|(place, record)| Query::new(Some(place), record))
            .collect(),
    })
}

/// The query log as it grows: events `query`, each with a query as `/queries` has it, up to 1,000 a second; `missed` where
/// some were left out.
#[utoipa::path(get, path = "/queries/stream", tag = "looking", params(Filter), responses(
    (status = 200, body = String, content_type = "text/event-stream"), (status = 400, body = Problem),
    (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn stream(
    State(site): State<Site>,
    principal: Principal,
    Params(filter): Params<Filter>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    principal.may_read(Area::Queries)?;
    let receiver = site.watch.engine().log().follow();
    let sight = Sight {
        filter,
        policy: site.watch.household().policy(),
    };
    let reader = Reader::new(site, principal, Area::Queries);
    let begin = (receiver, reader, sight);
    let stream = futures_util::stream::unfold(begin, |(mut receiver, mut reader, sight)| async move {
        loop {
            let event = match reader.next(&mut receiver).await? {
                Next::Came(record) if sight.sees(reader.principal(), &record) => {
                    let query = Query::new(None, Record::clone(&record));
                    Event::default().event("query").json_data(query).ok()?
                }
                Next::Came(_) => continue,
                Next::Missed => Event::default().event("missed").data("{}"),
            };
            return Some((Ok(event), (receiver, reader, sight)));
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}
