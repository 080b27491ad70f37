//! The HTTP API below `/api/v1`, described by `/api/v1/openapi.json` (OpenAPI 3.1).
//!
//! A resource is a file with its own routes; each handler says first what the one who asks needs to be allowed, and lists
//! every status that it can answer with. What goes wrong is a problem document (RFC 9457).

mod access;
mod alerts;
mod data;
mod devices;
mod events;
pub(crate) mod extract;
mod lists;
mod me;
mod moments;
mod packed;
mod passkeys;
mod photos;
mod policy;
mod present;
mod previews;
pub mod problem;
mod push;
mod queries;
mod reports;
mod second_step;
mod session;
mod sessions;
mod setup;
mod stats;
mod stream;
mod system;
mod tokens;
mod trail;
mod users;
mod vouched;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use super::Site;
use problem::Problem;

/// Largest body of what a school sends at once, octets: its whole policy, its devices. It is read only from those who may send
/// it.
const LARGE_BODY: usize = 16 << 20;
/// Largest body of anything else, octets: whoever is in the network may send one, many at a time.
const BODY: usize = 64 << 10;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "iSigurt Gateway",
        description = "Profiles, devices, hours and everything else that the gateway enforces. With the session's cookie, \
            unsafe methods need the header X-CSRF-Token, whose value GET /api/v1/session gives; with an API token not.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    modifiers(&WaysIn),
    security(("session" = [], "csrf" = []), ("token" = []))
)]
struct Description;

/// How one says who one is.
struct WaysIn;

impl Modify for WaysIn {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let session = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(access::SESSION.clear())));
        let csrf = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(access::CSRF)));
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        for (name, scheme) in [("session", session), ("csrf", csrf), ("token", token)] {
            components.add_security_scheme(name, scheme);
        }
    }
}

/// Every resource, and what describes them.
fn resources() -> (Router<Site>, utoipa::openapi::OpenApi) {
    // What holds secrets of the one who asks is not packed: see `packed.rs`.
    let secret = OpenApiRouter::new()
        .merge(setup::router())
        .merge(session::router())
        .merge(sessions::router())
        .merge(users::router())
        .merge(second_step::router())
        .merge(tokens::router())
        .merge(passkeys::router())
        .merge(vouched::router())
        .merge(me::router())
        .merge(reports::router())
        .merge(alerts::router())
        .merge(push::router());
    let open = OpenApiRouter::new()
        .merge(policy::router())
        .merge(photos::router())
        .merge(devices::router())
        .merge(moments::router())
        .merge(present::router())
        .merge(data::router())
        .merge(events::router())
        .merge(lists::router())
        .merge(previews::router())
        .merge(queries::router())
        .merge(stats::router())
        .merge(system::router())
        .merge(trail::router());
    let resources = secret.merge(packed::packed(open));
    let (router, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .nest("/api/v1", resources)
        .split_for_parts();
    anywhere(&mut description);
    problems(&mut description);
    named(&mut description);
    (router, description)
}

/// The description of the API (OpenAPI 3.1), as JSON.
pub fn description() -> String {
    let (_, description) = resources();
    description.to_json().unwrap_or_default()
}

/// The API, with its description.
pub(super) fn router(site: Site) -> Router {
    let (router, description) = resources();
    let description = description.to_json().unwrap_or_default();
    let describe = move || {
        let description = description.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], description) }
    };
    router
        .route("/api/v1/openapi.json", get(describe))
        .route("/api/{*rest}", axum::routing::any(nowhere))
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(not_to_be_kept))
        .with_state(site)
}

/// Answers are for who asked, and for now; a picture says itself for how long.
async fn not_to_be_kept(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let once = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(once);
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Names with each operation what the gate in front of all may answer (see `gate.rs`).
fn anywhere(description: &mut utoipa::openapi::OpenApi) {
    let problem = || {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .build();
        ResponseBuilder::new().content("application/json", content)
    };
    for operation in operations(description) {
        let responses = &mut operation.responses.responses;
        for (status, why) in [
            (
                "403",
                "Not allowed, from a foreign page, or unencrypted from outside",
            ),
            ("421", "The gateway is not called by this name"),
        ] {
            let response = || problem().description(why).build().into();
            responses.entry(status.to_owned()).or_insert_with(response);
        }
    }
}

/// Gives each operation a name of its own, made of its method and path: those of handlers are the same in several files.
fn named(description: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut description.paths.paths {
        let words = path.trim_start_matches("/api/v1/").replace(['/', '-'], "_");
        let words = words.replace(['{', '}'], "");
        for (method, operation) in [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("delete", &mut item.delete),
            ("patch", &mut item.patch),
        ] {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}_{words}"));
            }
        }
    }
}

fn operations(
    description: &mut utoipa::openapi::OpenApi,
) -> impl Iterator<Item = &mut utoipa::openapi::path::Operation> {
    let paths = description.paths.paths.values_mut();
    let all = paths.flat_map(|path| {
        [
            &mut path.get,
            &mut path.put,
            &mut path.post,
            &mut path.delete,
            &mut path.patch,
        ]
    });
    all.flatten()
}

/// Gives the bodies of all errors their media type.
fn problems(description: &mut utoipa::openapi::OpenApi) {
    for operation in operations(description) {
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response
                && (status.starts_with('4') || status.starts_with('5'))
                && let Some(content) = response.content.shift_remove("application/json")
            {
                response
                    .content
                    .insert("application/problem+json".to_owned(), content);
            }
        }
    }
}

async fn nowhere() -> impl IntoResponse {
    Problem::not_found("there is nothing here; /api/v1/openapi.json says what there is")
}

async fn wrong_method() -> impl IntoResponse {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this is not done so here; /api/v1/openapi.json says how",
    )
}
