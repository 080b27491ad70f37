//! Devices over HTTP.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use isigurt_core::policy::Who;
use isigurt_core::policy::model::{DeviceText, Policy};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Area, Principal};
use super::extract::{IfMatch, Large, Named, Page, Params, Part, Tagged};
use super::policy::{fresh, missing};
use super::problem::Problem;
use crate::policy::{ChangeError, Imported};
use crate::status::AddressShown;
use crate::web::Site;

/// Devices.
type Devices = Page<Shown>;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(devices, add))
        .routes(routes!(import))
        .routes(routes!(device, replace, remove))
        .routes(routes!(network))
        .layer(DefaultBodyLimit::max(super::LARGE_BODY))
}

/// A device with what is known of it now.
#[derive(Debug, Serialize, ToSchema)]
struct Shown {
    /// Its name.
    name: String,
    /// How it is recognised.
    r#match: Vec<String>,
    /// The name of its profile.
    profile: String,
    /// Addresses that it has now.
    #[schema(value_type = Vec<String>)]
    addresses: Vec<IpAddr>,
}

/// All devices.
#[utoipa::path(get, path = "/devices", tag = "devices", params(Part), responses(
    (status = 200, body = Devices), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem)))]
async fn devices(
    State(site): State<Site>,
    principal: Principal,
    Params(part): Params<Part>,
) -> Result<axum::Json<Devices>, Problem> {
    principal.may_read(Area::Devices)?;
    let policy = site.watch.household().policy();
    let mut addresses = site.watch.addresses();
    let found = policy
        .device
        .iter()
        .filter(|device| part.finds(&device.name) && principal.sees(&device.profile));
    let page = part.of(found)?;
    let items = page.items.into_iter().map(|device| Shown {
        name: device.name.clone(),
        r#match: device.matches.clone(),
        profile: device.profile.clone(),
        addresses: addresses.remove(&device.name).unwrap_or_default(),
    });
    Ok(axum::Json(Page {
        items: items.collect(),
        total: page.total,
        next: page.next,
    }))
}

/// Adds a device.
#[utoipa::path(post, path = "/devices", tag = "devices", request_body = DeviceText, responses(
    (status = 201, body = DeviceText), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn add(
    State(site): State<Site>,
    principal: Principal,
    Large(new): Large<DeviceText>,
) -> Result<(StatusCode, Tagged<DeviceText>), Problem> {
    principal.may_write(Area::DevicesOf(&new.profile))?;
    may_take(&site, &principal, &new, None)?;
    let household = site.watch.household();
    household.change(site.watch.engine(), &principal.author(), |policy| {
        free(policy, &new.name)?;
        policy.device.push(new.clone());
        Ok(())
    })?;
    Ok((StatusCode::CREATED, Tagged(new)))
}

/// Goes on only where the addresses of a device may be taken from whoever has them now.
fn may_take(site: &Site, principal: &Principal, new: &DeviceText, but: Option<&str>) -> Result<(), Problem> {
    if principal.may_write(Area::Devices).is_ok() {
        return Ok(());
    }
    let from = site.watch.household().taken_from(site.watch.engine(), new, but);
    for profile in &from {
        if principal.may_write(Area::DevicesOf(profile)).is_err() {
            let detail = "an address of this device belongs to a profile that the account does not reach; ask an owner of the gateway";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail).kind("urn:isigurt:not-allowed"));
        }
    }
    Ok(())
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Spreadsheet {
    /// CSV with a header: name, profile, match, mac, ip, cidr, hostname, client-id.
    text: String,
    /// Only say what would change.
    #[serde(default)]
    dry_run: bool,
}

/// Takes devices from a spreadsheet, all or nothing: with one wrong row nothing is taken, and `wrong` says which.
#[utoipa::path(post, path = "/devices/import", tag = "devices", request_body = Spreadsheet, responses(
    (status = 200, body = Imported), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn import(
    State(site): State<Site>,
    principal: Principal,
    Large(sheet): Large<Spreadsheet>,
) -> Result<axum::Json<Imported>, Problem> {
    principal.may_write(Area::Devices)?;
    let household = site.watch.household();
    let imported = household.import(
        site.watch.engine(),
        &principal.author(),
        &sheet.text,
        sheet.dry_run,
    )?;
    Ok(axum::Json(imported))
}

/// Addresses on the network that no device is named for, with what is known of them.
#[utoipa::path(get, path = "/network", tag = "devices", responses(
    (status = 200, body = Vec<AddressShown>), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn network(
    State(site): State<Site>,
    principal: Principal,
) -> Result<axum::Json<Vec<AddressShown>>, Problem> {
    principal.may_read(Area::Policy)?;
    Ok(axum::Json(site.watch.unknown()))
}

fn free(policy: &Policy, name: &str) -> Result<(), ChangeError> {
    if policy.device.iter().any(|device| device.name == name) {
        return Err(ChangeError::Conflict(format!(
            "there is a device \"{name}\" already; give this one another name"
        )));
    }
    Ok(())
}

fn find<'p>(policy: &'p mut Policy, name: &str) -> Result<&'p mut DeviceText, ChangeError> {
    let found = policy.device.iter_mut().find(|device| device.name == name);
    found.ok_or_else(|| missing("device", name))
}

/// The device, where the one who asks may see it.
fn seen(site: &Site, principal: &Principal, name: &str) -> Result<DeviceText, Problem> {
    let policy = site.watch.household().policy();
    let found = policy.device.iter().find(|device| device.name == name);
    if let Some(device) = found {
        principal.may_read(Area::DevicesOf(&device.profile))?;
        return Ok(device.clone());
    }
    principal.may_read(Area::Devices)?;
    Err(missing("device", name).into())
}

/// One device.
#[utoipa::path(get, path = "/devices/{name}", tag = "devices", params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, body = DeviceText), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn device(
    State(site): State<Site>,
    principal: Principal,
    Named(name): Named,
) -> Result<Tagged<DeviceText>, Problem> {
    seen(&site, &principal, &name).map(Tagged)
}

/// Replaces a device. Another name in the body renames it.
#[utoipa::path(put, path = "/devices/{name}", tag = "devices", params(("name" = String, Path, description = "Its name")),
    request_body = DeviceText, responses(
    (status = 200, body = DeviceText), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 412, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn replace(
    State(site): State<Site>,
    principal: Principal,
    Named(name): Named,
    tag: IfMatch,
    Large(new): Large<DeviceText>,
) -> Result<Tagged<DeviceText>, Problem> {
    let old = seen(&site, &principal, &name)?;
    principal.may_write(Area::DevicesOf(&old.profile))?;
    principal.may_write(Area::DevicesOf(&new.profile))?;
    may_take(&site, &principal, &new, Some(&name))?;
    let household = site.watch.household();
    household.change(site.watch.engine(), &principal.author(), |policy| {
        if new.name != name {
            free(policy, &new.name)?;
        }
        let device = find(policy, &name)?;
        fresh(&tag, device)?;
        *device = new.clone();
        Ok(())
    })?;
    if new.name != name {
        let (from, to) = (Who::Device(name), Who::Device(new.name.clone()));
        household.follow(site.watch.engine(), &from, &to)?;
    }
    Ok(Tagged(new))
}

/// Removes a device; it has the default profile then.
#[utoipa::path(delete, path = "/devices/{name}", tag = "devices", params(("name" = String, Path, description = "Its name")), responses(
    (status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 412, body = Problem), (status = 422, body = Problem),
    (status = 503, body = Problem)))]
async fn remove(
    State(site): State<Site>,
    principal: Principal,
    Named(name): Named,
    tag: IfMatch,
) -> Result<StatusCode, Problem> {
    let old = seen(&site, &principal, &name)?;
    principal.may_write(Area::DevicesOf(&old.profile))?;
    let household = site.watch.household();
    household.change(site.watch.engine(), &principal.author(), |policy| {
        fresh(&tag, find(policy, &name)?)?;
        policy.device.retain(|device| device.name != name);
        Ok(())
    })?;
    Ok(StatusCode::NO_CONTENT)
}
