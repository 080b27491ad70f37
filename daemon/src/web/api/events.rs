//! What changes, as it changes (server-sent events).

use std::convert::Infallible;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Area, Principal};
use super::problem::Problem;
use super::stream::{Next, Reader};
use crate::web::Site;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new().routes(routes!(events))
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
    let reader = Reader::new(site, principal, Area::Moments);
    let stream = futures_util::stream::unfold((receiver, reader), |(mut receiver, mut reader)| async move {
        let what = match reader.next(&mut receiver).await? {
            Next::Came(event) => serde_json::to_value(event).ok()?.as_str()?.to_owned(),
            Next::Missed => "all".to_owned(),
        };
        Some((Ok(Event::default().event(what).data("{}")), (receiver, reader)))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}
