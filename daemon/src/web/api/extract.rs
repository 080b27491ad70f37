//! What handlers take: bodies, parameters and preconditions, with a problem document for what is malformed.

use std::borrow::Cow;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::openapi::schema::{ArrayBuilder, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::access::{Action, Principal, Scope};
use super::problem::Problem;
use crate::web::Site;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection @ JsonRejection::JsonDataError(_)) => {
                Err(Problem::unprocessable(rejection.body_text()))
            }
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// A JSON body that may be large: not read before it is known that who sends it may change something.
#[derive(Debug)]
pub(crate) struct Large<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Site> for Large<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let principal = Principal::from_request_parts(&mut parts, site).await?;
        if !principal.may(Action::DeviceWrite, Scope::Reached) {
            principal.require(Action::PolicyWrite, Scope::Reached)?;
        }
        let Body(body) = Body::from_request(Request::from_parts(parts, body), site).await?;
        Ok(Self(body))
    }
}

/// Query parameters.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// A name in the path.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(name)) => Ok(Self(name)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// The tag of what the client saw (`If-Match`), where it sent one: a change is only made where it still is so.
#[derive(Debug)]
pub(crate) struct IfMatch(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else {
            return Ok(Self(None));
        };
        match value.to_str() {
            Ok(tag) => Ok(Self(Some(tag.to_owned()))),
            Err(_) => Err(Problem::bad_request("If-Match is no entity tag")),
        }
    }
}

impl IfMatch {
    /// Whether the change may be made to what is now `current`.
    pub(crate) fn holds(&self, current: &impl Serialize) -> bool {
        match self.0.as_deref() {
            None | Some("*") => true,
            Some(tags) => {
                let current = tag(current);
                tags.split(',').any(|tag| tag.trim() == current)
            }
        }
    }
}

/// The entity tag of a representation (RFC 9110, section 8.8.3).
fn tag(value: &impl Serialize) -> String {
    let octets = serde_json::to_vec(value).unwrap_or_default();
    let hash = blake3::hash(&octets).to_hex();
    format!("\"{}\"", hash.get(..24).unwrap_or_default())
}

/// JSON with its entity tag.
#[derive(Debug)]
pub(crate) struct Tagged<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let tag = HeaderValue::from_str(&tag(&self.0));
        let mut response = Json(self.0).into_response();
        if let Ok(tag) = tag {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// Part of a list. In a handler's description it stands under an alias without parameters (`type Users = Page<UserView>`): with
/// them, what the macro writes is ambiguous wherever a crate has further conversions of strings.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    /// The part.
    pub(crate) items: Vec<T>,
    /// How many there are in all.
    pub(crate) total: usize,
    /// `offset` of the next part, if there is one.
    pub(crate) next: Option<usize>,
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let items = ArrayBuilder::new().items(Ref::from_schema_name(T::name()));
        let number = |nullable: bool| {
            let integer = SchemaType::from(Type::Integer);
            let kinds = if nullable {
                SchemaType::from_iter([Type::Integer, Type::Null])
            } else {
                integer
            };
            ObjectBuilder::new().schema_type(kinds).minimum(Some(0))
        };
        ObjectBuilder::new()
            .description(Some("Part of a list."))
            .property("items", items.description(Some("The part.")))
            .required("items")
            .property(
                "total",
                number(false).description(Some("How many there are in all.")),
            )
            .required("total")
            .property(
                "next",
                number(true).description(Some("`offset` of the next part, if there is one.")),
            )
            .into()
    }
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("Page_{}", T::name()))
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// Which part of a list.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Part {
    /// How many to leave out.
    #[serde(default)]
    #[param(minimum = 0, default = 0)]
    pub(crate) offset: usize,
    /// How many to give, up to 1,000.
    #[serde(default = "hundred")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub(crate) limit: usize,
    /// Only those whose name holds this, in any letter case.
    #[serde(default)]
    pub(crate) search: String,
}

fn hundred() -> usize {
    100
}

impl Part {
    /// This part of `all`.
    pub(crate) fn of<T>(&self, all: impl Iterator<Item = T>) -> Result<Page<T>, Problem> {
        if !(1..=1000).contains(&self.limit) {
            return Err(Problem::bad_request("limit: 1 to 1,000"));
        }
        let mut total = 0;
        let mut items = Vec::new();
        for item in all {
            if total >= self.offset && items.len() < self.limit {
                items.push(item);
            }
            total += 1;
        }
        let end = self.offset.saturating_add(items.len());
        Ok(Page {
            items,
            total,
            next: (end < total).then_some(end),
        })
    }

    /// Whether a name is looked for.
    pub(crate) fn finds(&self, name: &str) -> bool {
        self.search.is_empty() || name.to_lowercase().contains(&self.search.to_lowercase())
    }
}
