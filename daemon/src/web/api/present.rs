//! How it stands with everybody now: who is off, until when, and what is left of the minutes of today.

use axum::extract::State;
use isigurt_core::policy::{Because, Client, Off, Standing};
use isigurt_core::snapshot::Snapshot;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Area, Principal};
use super::extract::Params;
use super::problem::Problem;
use crate::web::Site;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new().routes(routes!(present))
}

/// Minutes a day, and what is left of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Budget {
    /// What it is called.
    pub(crate) name: String,
    /// Minutes a day, with those given on top.
    pub(crate) minutes: u16,
    /// Minutes used today.
    pub(crate) used: u16,
}

/// How it stands with a profile or a device.
#[derive(Debug, Serialize, ToSchema)]
struct Situation {
    /// Its name.
    name: String,
    /// `open`, `off`, `allow-list` or `no-services`.
    now: &'static str,
    /// Why it is not `open`: `paused`, or the name of a schedule.
    because: Option<String>,
    /// When that ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Minutes a day; of a profile those that its devices share.
    budgets: Vec<Budget>,
    /// Of a profile with a photo: a word that changes with it.
    photo: Option<String>,
}

/// How it stands with everybody.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HowItStands)]
struct Present {
    /// With each profile.
    profiles: Vec<Situation>,
    /// With each device of the profile that was asked for.
    devices: Vec<Situation>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// Show the devices of this profile too.
    profile: Option<String>,
}

/// How it stands with everybody now.
#[utoipa::path(get, path = "/present", tag = "for a while", params(Whose), responses(
    (status = 200, body = Present), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem)))]
async fn present(
    State(site): State<Site>,
    principal: Principal,
    Params(whose): Params<Whose>,
) -> Result<axum::Json<Present>, Problem> {
    principal.may_read(Area::Moments)?;
    let snapshot = site.watch.engine().snapshot();
    let (_, now_ms) = site.watch.engine().cache();
    let minute = snapshot.minute(now_ms);
    let (policy, holds) = (&snapshot.policy, &*snapshot.present);
    let profiles = policy
        .profiles()
        .iter()
        .filter(|profile| principal.sees(&profile.name));
    let household = site.watch.household();
    let mut photos = household.photo_tags();
    let profiles = profiles.map(|profile| {
        let client = Client::of_profile(policy, holds, profile, minute);
        Situation {
            photo: photos.remove(&profile.name),
            ..now(&snapshot, profile.name.clone(), &client)
        }
    });
    let household = household.policy();
    let devices = household
        .device
        .iter()
        .filter(|device| whose.profile.as_ref() == Some(&device.profile) && principal.sees(&device.profile));
    let devices = devices.map(|device| {
        let client = Client::new(policy, holds, policy.device(&device.name), minute);
        now(&snapshot, device.name.clone(), &client)
    });
    Ok(axum::Json(Present {
        profiles: profiles.collect(),
        devices: devices.collect(),
    }))
}

fn now(snapshot: &Snapshot, name: String, client: &Client<'_>) -> Situation {
    let (now, because) = standing(client.standing);
    Situation {
        name,
        now,
        because: because.map(|because| because.text(&snapshot.index, client.profile).to_owned()),
        until: client.standing.until,
        budgets: budgets(client),
        photo: None,
    }
}

/// What holds, in a word, and why.
pub(super) fn standing(standing: &Standing) -> (&'static str, Option<Because>) {
    match (standing.off, standing.allow_list, standing.no_services) {
        (Some(Off::Paused), ..) => ("off", Some(Because::Paused)),
        (Some(Off::Schedule(place)), ..) => ("off", Some(Because::Schedule(place))),
        (None, Some(place), _) => ("allow-list", Some(Because::Schedule(place))),
        (None, None, Some(place)) => ("no-services", Some(Because::Schedule(place))),
        (None, None, None) => ("open", None),
    }
}

/// What is left of the minutes of today.
pub(super) fn budgets(client: &Client<'_>) -> Vec<Budget> {
    let places = 0..client.profile.budgets.len();
    let shown = places.filter_map(|place| {
        let budget = client.profile.budgets.get(place)?;
        let reading = client.reading(place)?;
        Some(Budget {
            name: budget.called().to_owned(),
            minutes: budget.minutes.saturating_add(reading.bonus),
            used: reading.used,
        })
    });
    shown.collect()
}
