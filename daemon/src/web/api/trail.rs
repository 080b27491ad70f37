//! The audit trail over HTTP: who changed what, when and from where, with how it was before and after.

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Area, Principal};
use super::extract::Params;
use super::problem::Problem;
use crate::policy::{Entry, Store, StoreError};
use crate::web::Site;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new().routes(routes!(trail))
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct Change {
    /// Its number; later ones have larger ones.
    id: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The account; `console` for the commands.
    who: String,
    /// The address that it came from; empty for the commands.
    from: String,
    /// What was done, such as `policy.change`.
    action: String,
    /// What it was done to, such as `profile child`.
    object: String,
    /// How it was, where there was something.
    #[schema(value_type = Option<serde_json::Value>)]
    before: Option<serde_json::Value>,
    /// How it is, where there is something.
    #[schema(value_type = Option<serde_json::Value>)]
    after: Option<serde_json::Value>,
}

/// Changes, the newest first.
#[derive(Debug, Serialize, ToSchema)]
struct Trail {
    /// The changes.
    items: Vec<Change>,
    /// `before` for the part that is older, if there may be one.
    next: Option<u64>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Only those before this number.
    before: Option<u64>,
    /// Only what was done to this, such as `profile child`.
    object: Option<String>,
    /// How many, up to 1,000.
    #[serde(default = "hundred")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: usize,
}

/// So many entries are looked through at a time.
const PART: usize = 1000;

fn hundred() -> usize {
    100
}

/// The newest entries that are asked for.
fn found(store: &Store, which: &Which) -> Result<Vec<(u64, Entry)>, StoreError> {
    let Some(object) = &which.object else {
        return store.audit(which.before, which.limit);
    };
    let (mut found, mut before) = (Vec::new(), which.before);
    while found.len() < which.limit {
        let part = store.audit(before, PART)?;
        before = part.last().map(|(id, _)| *id);
        let whole = part.len() == PART;
        found.extend(part.into_iter().filter(|(_, entry)| entry.object == *object));
        if !whole {
            break;
        }
    }
    found.truncate(which.limit);
    Ok(found)
}

/// Who changed what, the newest first.
#[utoipa::path(get, path = "/audit", tag = "looking", params(Which), responses(
    (status = 200, body = Trail), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 503, body = Problem)))]
async fn trail(
    State(site): State<Site>,
    principal: Principal,
    Params(which): Params<Which>,
) -> Result<axum::Json<Trail>, Problem> {
    principal.may_read(Area::Trail)?;
    if !(1..=1000).contains(&which.limit) {
        return Err(Problem::bad_request("limit: 1 to 1,000"));
    }
    let entries = found(site.watch.household().store(), &which)
        .map_err(|error| Problem::unavailable(error.to_string()))?;
    let next = entries.last().map(|(id, _)| *id);
    Ok(axum::Json(Trail {
        next: next.filter(|_| entries.len() == which.limit),
        items: entries
            .into_iter()
            .map(|(id, entry)| Change {
                id,
                at: Timestamp::from_millisecond(entry.at_ms).unwrap_or_default(),
                who: entry.who,
                from: entry.from,
                action: entry.action,
                object: entry.object,
                before: entry.before,
                after: entry.after,
            })
            .collect(),
    }))
}
