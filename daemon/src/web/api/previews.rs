//! Lists over HTTP that somebody looks at before adding them: what a list is, what it would change, adding or discarding it; and
//! removing one that was added.

use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::StatusCode;
use isigurt_blocklists::read::Format;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Action, Principal, Scope};
use super::extract::{Body, Named};
use super::problem::Problem;
use crate::preview::{Asked, ListPreview, Origin, PreviewError};
use crate::sync::added::AddError;
use crate::web::Site;

/// Largest body, octets: a text of 1 MiB, however it is written down. It is read only from those who may add lists.
const LARGEST_BODY: usize = 3 << 20;
/// How long it is waited for that a list is in force, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(previews, look))
        .routes(routes!(preview, discard))
        .routes(routes!(accept))
        .routes(routes!(remove))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
}

/// A list to look at: of its address or its text one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LookAt {
    /// What it shall be called: letters, digits, `-`, `_` and `.`.
    #[schema(min_length = 1, max_length = 64)]
    id: String,
    /// Where it is: `https://…`, on the Internet unless the configuration says otherwise.
    #[serde(default)]
    url: Option<String>,
    /// The list itself, up to 1 MiB.
    #[serde(default)]
    text: Option<String>,
    /// Its format.
    #[serde(default)]
    #[schema(value_type = String, default = "auto")]
    format: Format,
    /// Its category, as `/categories` names it; nothing: the household's own list, which every profile blocks.
    #[serde(default)]
    category: Option<String>,
    /// How often its server is asked; a day, where nothing is said.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 720)]
    every_hours: Option<u16>,
    /// Whether a bare name means all names below it too; by format, where nothing is said.
    #[serde(default)]
    subdomains: Option<bool>,
}

impl LookAt {
    fn asked(self) -> Result<Asked, Problem> {
        let from = match (self.url, self.text) {
            (Some(url), None) => Origin::Url(url),
            (None, Some(text)) => Origin::Text(text),
            _ => return Err(Problem::unprocessable("send one of url and text").of_field("url")),
        };
        Ok(Asked {
            id: self.id,
            from,
            format: self.format,
            category: self.category,
            every_hours: self.every_hours,
            subdomains: self.subdomains,
        })
    }
}

/// The list that was added.
#[derive(Debug, Serialize, ToSchema)]
struct AddedList {
    /// Its id, as `/lists` has it.
    id: String,
}

impl From<PreviewError> for Problem {
    fn from(error: PreviewError) -> Self {
        let detail = error.to_string();
        match error {
            PreviewError::Wrong { field, .. } => Self::unprocessable(detail).of_field(field),
            PreviewError::Busy => Self::new(StatusCode::TOO_MANY_REQUESTS, detail).kind("urn:isigurt:busy"),
            PreviewError::Missing => Self::not_found(detail),
            PreviewError::Unfinished => Self::conflict(detail),
            PreviewError::Add(error) => error.into(),
        }
    }
}

impl From<AddError> for Problem {
    fn from(error: AddError) -> Self {
        let detail = error.to_string();
        match error {
            AddError::Taken(_) => Self::conflict(detail).kind("urn:isigurt:list-taken"),
            AddError::Full | AddError::Configured => Self::conflict(detail),
            AddError::Missing => Self::not_found(detail),
            AddError::Store(_) | AddError::Io(..) => Self::unavailable(detail),
        }
    }
}

/// Goes on only where lists may be changed.
fn may_change(principal: &Principal) -> Result<(), Problem> {
    principal.require(Action::ListWrite, Scope::Gateway)
}

/// A preview as the one who asks may see it: names of queries only with the right to read the log.
fn seen(principal: &Principal, mut preview: ListPreview) -> ListPreview {
    if let Some(findings) = &mut preview.findings
        && !principal.may(Action::LogRead, Scope::Gateway)
    {
        findings.effect.items.clear();
    }
    preview
}

/// Lists that somebody looks at.
#[utoipa::path(get, path = "/lists/previews", tag = "lists", responses(
    (status = 200, body = Vec<ListPreview>), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn previews(
    State(site): State<Site>,
    principal: Principal,
) -> Result<axum::Json<Vec<ListPreview>>, Problem> {
    may_change(&principal)?;
    let all = site.previews.all().into_iter();
    Ok(axum::Json(all.map(|preview| seen(&principal, preview)).collect()))
}

/// Begins to look at a list: it is brought in and built aside, and changes nothing. `GET /lists/previews/{id}` tells how far that is.
#[utoipa::path(post, path = "/lists/previews", tag = "lists", request_body = LookAt, responses(
    (status = 202, body = ListPreview), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem),
    (status = 503, body = Problem)))]
async fn look(
    State(site): State<Site>,
    principal: Principal,
    request: Request,
) -> Result<(StatusCode, axum::Json<ListPreview>), Problem> {
    may_change(&principal)?;
    let Body(wanted) = Body::<LookAt>::from_request(request, &site).await?;
    let asked = wanted.asked()?;
    let policy = site.watch.household().policy();
    let shows =
        move |profile: &str| principal.sees_queries(profile) && policy.visibility(profile).shows(false);
    let preview = site.previews.start(asked, Box::new(shows))?;
    Ok((StatusCode::ACCEPTED, axum::Json(preview)))
}

/// A list that somebody looks at: what it is, and what it would do.
#[utoipa::path(get, path = "/lists/previews/{id}", tag = "lists", params(("id" = String, Path, description = "Of the preview")),
    responses((status = 200, body = ListPreview), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn preview(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<axum::Json<ListPreview>, Problem> {
    may_change(&principal)?;
    let preview = site.previews.get(&id).ok_or(PreviewError::Missing)?;
    Ok(axum::Json(seen(&principal, preview)))
}

/// Lets go of a list that was looked at.
#[utoipa::path(delete, path = "/lists/previews/{id}", tag = "lists", params(("id" = String, Path, description = "Of the preview")),
    responses((status = 204), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn discard(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    may_change(&principal)?;
    if site.previews.discard(&id) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(PreviewError::Missing.into())
    }
}

/// Waits until a list that was added is among those in force, or is not any more; whether it came to that.
async fn in_force(site: &Site, id: &str, there: bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let lists = site.watch.lists();
        if lists.iter().any(|list| list.added && list.id == id) == there {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}

/// Adds a list that was looked at, and keeps it fresh from now on. 202: it is in force later.
#[utoipa::path(post, path = "/lists/previews/{id}/accept", tag = "lists",
    params(("id" = String, Path, description = "Of the preview")),
    responses((status = 201, body = AddedList), (status = 202, body = AddedList), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 503, body = Problem)))]
async fn accept(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<(StatusCode, axum::Json<AddedList>), Problem> {
    may_change(&principal)?;
    let (previews, author) = (site.previews.clone(), principal.author());
    let work = tokio::task::spawn_blocking(move || previews.accept(&id, &author)).await;
    let id = work.map_err(|error| Problem::unavailable(error.to_string()))??;
    let status = if in_force(&site, &id, true).await {
        StatusCode::CREATED
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, axum::Json(AddedList { id })))
}

/// Removes a list that was added here. 202: it is out of force later.
#[utoipa::path(delete, path = "/lists/{name}", tag = "lists", params(("name" = String, Path, description = "Its id")),
    responses((status = 204), (status = 202), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 503, body = Problem)))]
async fn remove(
    State(site): State<Site>,
    principal: Principal,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    may_change(&principal)?;
    let (watch, author, name) = (site.watch.clone(), principal.author(), id.clone());
    let work = tokio::task::spawn_blocking(move || watch.keeper().remove(&name, &author)).await;
    work.map_err(|error| Problem::unavailable(error.to_string()))??;
    Ok(if in_force(&site, &id, false).await {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::ACCEPTED
    })
}
