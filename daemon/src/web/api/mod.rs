//! The HTTP API below `/api/v1`, described by `/api/v1/openapi.json` (OpenAPI 3.1).
//!
//! A resource is a file with its own routes; each handler says first what the one who asks needs to be allowed, and lists
//! every status that it can answer with. What goes wrong is a problem document (RFC 9457).

mod access;
mod data;
mod devices;
mod events;
pub(crate) mod extract;
mod me;
mod moments;
mod policy;
pub(crate) mod problem;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::RefOr;
use utoipa_axum::router::OpenApiRouter;

use super::Site;
use problem::Problem;

#[derive(OpenApi)]
#[openapi(info(
    title = "iSigurt Gateway",
    description = "Profiles, devices, hours and everything else that the gateway enforces.",
    license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
))]
struct Description;

/// Every resource, and what describes them.
pub(super) fn router(site: Site) -> Router {
    let resources = OpenApiRouter::new()
        .merge(policy::router())
        .merge(devices::router())
        .merge(moments::router())
        .merge(me::router())
        .merge(data::router())
        .merge(events::router());
    let (router, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .nest("/api/v1", resources)
        .split_for_parts();
    problems(&mut description);
    let description = description.to_json().unwrap_or_default();
    let describe = move || {
        let description = description.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], description) }
    };
    router
        .route("/api/v1/openapi.json", get(describe))
        .route("/api/{*rest}", axum::routing::any(nowhere))
        .method_not_allowed_fallback(wrong_method)
        .with_state(site)
}

/// Gives the bodies of all errors their media type.
fn problems(description: &mut utoipa::openapi::OpenApi) {
    let operations = description.paths.paths.values_mut().flat_map(|path| {
        [
            &mut path.get,
            &mut path.put,
            &mut path.post,
            &mut path.delete,
            &mut path.patch,
        ]
    });
    for operation in operations.flatten() {
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
