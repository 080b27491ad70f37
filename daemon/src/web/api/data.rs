//! What can be chosen from: categories, services, presets; and why a name is blocked.

use axum::extract::State;
use isigurt_blocklists::data;
use isigurt_blocklists::read::rdata;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Area, Principal};
use super::extract::Params;
use super::moments::profile;
use super::problem::Problem;
use crate::explain::{Explanation, Whom};
use crate::policy::presets::{self, Preset};
use crate::status::Status;
use crate::tls::CertificateView;
use crate::web::Site;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(categories))
        .routes(routes!(services))
        .routes(routes!(presets))
        .routes(routes!(why))
        .routes(routes!(status))
        .routes(routes!(certificate))
}

/// A text in the languages of the gateway.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Text {
    /// Albanian.
    pub(super) sq: String,
    /// English.
    pub(super) en: String,
}

impl From<data::Text> for Text {
    fn from(text: data::Text) -> Self {
        Self {
            sq: text.sq,
            en: text.en,
        }
    }
}

/// A kind of content.
#[derive(Debug, Serialize, ToSchema)]
struct Category {
    /// As policies name it.
    id: String,
    /// Its name.
    name: Text,
    /// What belongs to it.
    about: Text,
    /// Whether a new profile blocks it.
    default: bool,
}

/// All kinds of content.
#[utoipa::path(get, path = "/categories", tag = "choices", responses(
    (status = 200, body = Vec<Category>), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn categories(principal: Principal) -> Result<axum::Json<Vec<Category>>, Problem> {
    principal.may_read(Area::Choices)?;
    let categories = data::built_in().map(|data| data.categories).unwrap_or_default();
    let shown = categories.into_iter().map(|category| Category {
        id: category.id,
        name: category.name.into(),
        about: category.about.into(),
        default: category.default,
    });
    Ok(axum::Json(shown.collect()))
}

/// An app or site.
#[derive(Debug, Serialize, ToSchema)]
struct Service {
    /// As policies name it.
    id: String,
    /// The name that its users know.
    name: String,
    /// The category that it is shown under.
    category: String,
}

/// All apps and sites that can be blocked as a whole.
#[utoipa::path(get, path = "/services", tag = "choices", responses(
    (status = 200, body = Vec<Service>), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn services(principal: Principal) -> Result<axum::Json<Vec<Service>>, Problem> {
    principal.may_read(Area::Choices)?;
    let services = data::built_in().map(|data| data.services).unwrap_or_default();
    let shown = services.into_iter().map(|service| Service {
        id: service.id,
        name: service.name,
        category: service.category,
    });
    Ok(axum::Json(shown.collect()))
}

/// What new profiles start with, by age and by place.
#[utoipa::path(get, path = "/presets", tag = "choices", responses(
    (status = 200, body = Vec<Preset>), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 503, body = Problem)))]
async fn presets(principal: Principal) -> Result<axum::Json<Vec<Preset>>, Problem> {
    principal.may_read(Area::Choices)?;
    presets::built_in().map(axum::Json).map_err(Problem::unavailable)
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// The name, or an address.
    name: String,
    /// The query type.
    #[serde(default = "address")]
    #[param(default = "A")]
    r#type: String,
    /// For the device of this name or address.
    device: Option<String>,
    /// For this profile.
    profile: Option<String>,
    /// At another time than now.
    #[param(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
}

fn address() -> String {
    "A".to_owned()
}

/// Whether the one who asks may know what applies to this device or profile.
fn may_ask(site: &Site, principal: &Principal, asked: &Asked) -> Result<(), Problem> {
    if principal.may_read(Area::Policy).is_ok() {
        return Ok(());
    }
    let household = site.watch.household();
    let profile = match (&asked.device, &asked.profile) {
        (Some(device), _) => {
            let who = household.who(site.watch.engine(), device).ok();
            who.and_then(|who| profile(site, &who))
        }
        (None, profile) => profile.clone(),
    };
    principal.may_read(profile.as_deref().map_or(Area::Policy, Area::Profile))
}

/// Why a name is blocked or not.
#[utoipa::path(get, path = "/why", tag = "looking", params(Asked), responses(
    (status = 200, body = Explanation), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn why(
    State(site): State<Site>,
    principal: Principal,
    Params(asked): Params<Asked>,
) -> Result<axum::Json<Explanation>, Problem> {
    may_ask(&site, &principal, &asked)?;
    let qtype = rdata::rtype(&asked.r#type).ok_or_else(|| {
        Problem::unprocessable(format!("{:?} is no query type; try A or AAAA", asked.r#type))
    })?;
    let whom = match (asked.device, asked.profile) {
        (Some(device), _) => Whom::Device(device),
        (None, Some(profile)) => Whom::Profile(profile),
        (None, None) => Whom::Default,
    };
    let watch = site.watch.clone();
    let explained = tokio::task::spawn_blocking(move || watch.why(&asked.name, qtype, &whom, asked.at)).await;
    match explained {
        Ok(Ok(explanation)) => Ok(axum::Json(explanation)),
        Ok(Err(reason)) => Err(Problem::unprocessable(reason)),
        Err(error) => Err(Problem::unprocessable(error.to_string())),
    }
}

/// How the gateway stands.
#[utoipa::path(get, path = "/status", tag = "looking", responses(
    (status = 200, body = Status), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn status(State(site): State<Site>, principal: Principal) -> Result<axum::Json<Status>, Problem> {
    principal.may_read(Area::Status)?;
    Ok(axum::Json(site.watch.status()))
}

/// The certificate of encrypted connections.
#[utoipa::path(get, path = "/certificate", tag = "looking", responses(
    (status = 200, body = CertificateView), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn certificate(
    State(site): State<Site>,
    principal: Principal,
) -> Result<axum::Json<CertificateView>, Problem> {
    principal.may_read(Area::Status)?;
    Ok(axum::Json(site.certificates.view()))
}
