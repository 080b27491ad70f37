//! Photos of profiles over HTTP: for those who see the profile, set by those who may change it. What is given out is never but a picture.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Area, Principal};
use super::extract::Named;
use super::problem::Problem;
use crate::policy::{LARGEST_PHOTO, PhotoError, StoreError, WrongPicture};
use crate::web::Site;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new().routes(routes!(photo, set, remove))
}

/// A photo that is kept.
#[derive(Debug, Serialize, ToSchema)]
struct KeptPhoto {
    /// A word that changes with it; `GET /present` has it too.
    photo: String,
}

impl From<PhotoError> for Problem {
    fn from(error: PhotoError) -> Self {
        let detail = error.to_string();
        match error {
            PhotoError::Picture(WrongPicture::Large) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
            PhotoError::Picture(_) => Self::unprocessable(detail),
            PhotoError::NoProfile(_) => Self::not_found(detail),
            PhotoError::TooMany => Self::conflict(detail),
            PhotoError::Store(_) => Self::unavailable(detail),
        }
    }
}

fn unavailable(error: &StoreError) -> Problem {
    Problem::unavailable(error.to_string())
}

fn unfinished(_: tokio::task::JoinError) -> Problem {
    Problem::unavailable("the work was not finished; try again")
}

/// The photo of a profile.
#[utoipa::path(get, path = "/profiles/{name}/photo", tag = "policy", params(("name" = String, Path, description = "Its name")),
    responses(
    (status = 200, content((Vec<u8> = "image/webp"), (Vec<u8> = "image/jpeg"))), (status = 304), (status = 400, body = Problem),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 503, body = Problem)))]
async fn photo(
    State(site): State<Site>,
    principal: Principal,
    Named(name): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    principal.may_read(Area::Profile(&name))?;
    let missing = || Problem::not_found("this profile has no photo");
    let tag = site
        .watch
        .household()
        .photo_tags()
        .remove(&name)
        .ok_or_else(missing)?;
    let tag = format!("\"{tag}\"");
    let seen = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    let keep = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
    ];
    if seen.is_some_and(|tags| tags.split(',').any(|one| one.trim() == tag)) {
        return Ok((StatusCode::NOT_MODIFIED, keep).into_response());
    }
    let watch = site.watch.clone();
    let work = tokio::task::spawn_blocking(move || watch.household().photo(&name));
    let found = work
        .await
        .map_err(unfinished)?
        .map_err(|error| unavailable(&error))?;
    let photo = found.ok_or_else(missing)?;
    Ok((
        keep,
        [(header::CONTENT_TYPE, photo.kind.media_type())],
        photo.octets,
    )
        .into_response())
}

/// Gives a profile a photo: WebP or JPEG, at most 256 by 256, at most 32 KiB. What cameras write beside it (place, time) is left out.
#[utoipa::path(put, path = "/profiles/{name}/photo", tag = "policy", params(("name" = String, Path, description = "Its name")),
    request_body(content = Vec<u8>, content_type = "image/webp"), responses(
    (status = 200, body = KeptPhoto), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 413, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn set(
    State(site): State<Site>,
    principal: Principal,
    Named(name): Named,
    request: Request,
) -> Result<axum::Json<KeptPhoto>, Problem> {
    principal.may_write(Area::Profile(&name))?; // before anything of it is read
    let body = axum::body::to_bytes(request.into_body(), LARGEST_PHOTO).await;
    let body = body.map_err(|_| PhotoError::Picture(WrongPicture::Large))?;
    let (watch, author) = (site.watch.clone(), principal.author());
    let work = tokio::task::spawn_blocking(move || watch.household().set_photo(&author, &name, &body));
    let photo = work.await.map_err(unfinished)??;
    Ok(axum::Json(KeptPhoto { photo }))
}

/// Takes a profile's photo away.
#[utoipa::path(delete, path = "/profiles/{name}/photo", tag = "policy", params(("name" = String, Path, description = "Its name")),
    responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 503, body = Problem)))]
async fn remove(
    State(site): State<Site>,
    principal: Principal,
    Named(name): Named,
) -> Result<StatusCode, Problem> {
    principal.may_write(Area::Profile(&name))?;
    let (watch, author) = (site.watch.clone(), principal.author());
    let work = tokio::task::spawn_blocking(move || watch.household().remove_photo(&author, &name));
    work.await
        .map_err(unfinished)?
        .map_err(|error| unavailable(&error))?;
    Ok(StatusCode::NO_CONTENT)
}
