//! What was counted, over HTTP: a day by hour, weeks by reason, the most used sites and services, and how the gateway fares.
//!
//! Each sees the profiles that it reaches. Names of sites are shown only as far as a profile shows its queries.

use std::collections::{BTreeMap, HashMap};

use axum::extract::State;
use isigurt_blocklists::data;
use isigurt_core::policy::model::Policy;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Area, Principal};
use super::data::Text;
use super::extract::Params;
use super::problem::Problem;
use crate::stats::{Day, HOURS, Outcome, Seen};
use crate::web::Site;

/// Days that can be asked for at once.
const LONGEST: u16 = 92;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(day))
        .routes(routes!(reasons))
        .routes(routes!(top))
        .routes(routes!(health))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// The last day, in the gateway's time zone; today, where nothing is said.
    #[param(value_type = Option<String>, format = Date)]
    date: Option<Date>,
    /// Only of this profile.
    profile: Option<String>,
    /// Only of this device, by name.
    device: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Many {
    /// How many days, up to 92.
    #[serde(default = "month")]
    #[param(minimum = 1, maximum = 92, default = 30)]
    days: u16,
}

fn month() -> u16 {
    30
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Most {
    /// How many days, up to 92.
    #[serde(default = "one")]
    #[param(minimum = 1, maximum = 92, default = 1)]
    days: u16,
    /// How many sites and services, up to 1,000.
    #[serde(default = "twenty")]
    #[param(minimum = 1, maximum = 1000, default = 20)]
    limit: usize,
}

fn one() -> u16 {
    1
}

fn twenty() -> usize {
    20
}

/// Days in the gateway's time zone.
struct Days {
    /// Hours since 1970 at which they begin, and at which the last one ends.
    edges: Vec<u64>,
    dates: Vec<Date>,
}

impl Days {
    fn new(zone: &TimeZone, last: Option<Date>, days: u16) -> Result<Self, Problem> {
        let wrong = |_| Problem::bad_request("date: no such day");
        if !(1..=LONGEST).contains(&days) {
            return Err(Problem::bad_request("days: 1 to 92"));
        }
        let last = last.unwrap_or_else(|| zone.to_datetime(Timestamp::now()).date());
        let first = last.checked_sub((i64::from(days) - 1).days()).map_err(wrong)?;
        let mut dates = Vec::new();
        let mut edges = Vec::new();
        for place in 0..=i64::from(days) {
            let date = first.checked_add(place.days()).map_err(wrong)?;
            let midnight = date.to_datetime(jiff::civil::Time::midnight());
            let begins = zone.to_timestamp(midnight).map_err(wrong)?;
            edges.push(u64::try_from(begins.as_second()).unwrap_or(0) / 3600);
            dates.push(date);
        }
        dates.pop(); // where the last one ends
        Ok(Self { edges, dates })
    }

    fn begin(&self) -> u64 {
        self.edges.first().copied().unwrap_or(0)
    }

    fn end(&self) -> u64 {
        self.edges.last().copied().unwrap_or(0)
    }

    /// The place of the day that an hour belongs to.
    fn place(&self, hour: u64) -> Option<usize> {
        let place = self.edges.partition_point(|edge| *edge <= hour).checked_sub(1)?;
        (place < self.dates.len()).then_some(place)
    }
}

/// What one sees of the counts.
struct Sight {
    principal: Principal,
    which: Which,
    policy: std::sync::Arc<Policy>,
    days: Days,
}

impl Sight {
    fn new(site: &Site, principal: Principal, which: Which, days: u16) -> Result<Self, Problem> {
        let household = site.watch.household();
        Ok(Self {
            principal,
            days: Days::new(&household.zone(), which.date, days)?,
            which,
            policy: household.policy(),
        })
    }

    fn sees(&self, device: &str, profile: &str) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
        is(&self.which.device, device)
            && is(&self.which.profile, profile)
            && self.principal.sees_queries(profile)
    }
}

/// Hands each kept day that holds one of the hours to `each`, beside the line.
async fn each_day<T: Default + Send + 'static>(
    site: &Site,
    sight: Sight,
    mut each: impl FnMut(&Sight, &mut T, u64, &Day) + Send + 'static,
) -> Result<(Sight, T), Problem> {
    let stats = site.stats.clone();
    let (first, last) = (sight.days.begin(), sight.days.end().saturating_sub(1));
    let work = tokio::task::spawn_blocking(move || {
        let mut sum = T::default();
        let hours = HOURS as u64;
        stats.each(first / hours, last / hours, |begins, day| {
            each(&sight, &mut sum, begins, day);
        })?;
        Ok::<_, std::io::Error>((sight, sum))
    });
    match work.await {
        Ok(Ok(sum)) => Ok(sum),
        Ok(Err(error)) => Err(Problem::unavailable(error.to_string())),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}

/// A day, hour by hour.
#[derive(Debug, Serialize, ToSchema)]
struct ByHour {
    /// The day.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// When each of its hours begins: 24, or 23 or 25 where the clock changes.
    #[schema(value_type = Vec<String>)]
    hours: Vec<Timestamp>,
    /// Each device, and each profile's devices without a name.
    who: Vec<Hours>,
}

/// How much a device asked for in each hour.
#[derive(Debug, Serialize, ToSchema)]
struct Hours {
    /// The device; empty where it is none, or nobody is to know.
    device: String,
    /// Its profile.
    profile: String,
    /// Answered, by hour.
    answered: Vec<u64>,
    /// Blocked, by hour.
    blocked: Vec<u64>,
}

/// A day, hour by hour and device by device.
#[utoipa::path(get, path = "/stats/day", tag = "looking", params(Which), responses(
    (status = 200, body = ByHour), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 503, body = Problem)))]
async fn day(
    State(site): State<Site>,
    principal: Principal,
    Params(which): Params<Which>,
) -> Result<axum::Json<ByHour>, Problem> {
    type Sum = BTreeMap<(String, String), (Vec<u64>, Vec<u64>)>;
    principal.may_read(Area::Queries)?;
    let sight = Sight::new(&site, principal, which, 1)?;
    let (sight, sum) = each_day(&site, sight, |sight, sum: &mut Sum, begins, day| {
        let hours = usize::try_from(sight.days.end() - sight.days.begin()).unwrap_or(0);
        for cell in day.cells().filter(|cell| sight.sees(cell.device, cell.profile)) {
            let hour = begins + u64::from(cell.hour);
            let place = hour.checked_sub(sight.days.begin());
            let Some(place) = place.and_then(|place| usize::try_from(place).ok()) else {
                continue;
            };
            let key = (cell.profile.to_owned(), cell.device.to_owned());
            let row = sum.entry(key).or_insert_with(|| (vec![0; hours], vec![0; hours]));
            let row = match cell.outcome {
                Outcome::Blocked => &mut row.1,
                Outcome::Answered => &mut row.0,
                Outcome::Failed | Outcome::Other => continue,
            };
            if let Some(count) = row.get_mut(place) {
                *count += u64::from(cell.count);
            }
        }
    })
    .await?;
    let hours = sight.days.begin()..sight.days.end();
    let begins = hours.filter_map(|hour| Timestamp::from_second(i64::try_from(hour).ok()? * 3600).ok());
    let who = sum
        .into_iter()
        .filter(|(_, (answered, blocked))| answered.iter().chain(blocked).any(|count| *count > 0));
    Ok(axum::Json(ByHour {
        date: sight.days.dates.first().copied().unwrap_or_default(),
        hours: begins.collect(),
        who: who
            .map(|((profile, device), (answered, blocked))| Hours {
                device,
                profile,
                answered,
                blocked,
            })
            .collect(),
    }))
}

/// What was blocked, day by day.
#[derive(Debug, Serialize, ToSchema)]
struct ByReason {
    /// The days.
    #[schema(value_type = Vec<String>)]
    days: Vec<Date>,
    /// Answered on each day.
    answered: Vec<u64>,
    /// Blocked on each day.
    blocked: Vec<u64>,
    /// Why, the most frequent first.
    reasons: Vec<Reason>,
}

/// Why something was blocked.
#[derive(Debug, Serialize, ToSchema)]
struct Reason {
    /// Id of a category or service, or what the log says.
    id: String,
    /// `category`, `service` or `other`.
    kind: &'static str,
    /// Its name, where it has one.
    name: Option<Text>,
    /// On each day.
    blocked: Vec<u64>,
    /// On all days.
    total: u64,
}

/// What was blocked on each of the last days, and why.
#[utoipa::path(get, path = "/stats/reasons", tag = "looking", params(Which, Many), responses(
    (status = 200, body = ByReason), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 503, body = Problem)))]
async fn reasons(
    State(site): State<Site>,
    principal: Principal,
    Params(which): Params<Which>,
    Params(many): Params<Many>,
) -> Result<axum::Json<ByReason>, Problem> {
    type Sum = (Vec<u64>, HashMap<String, Vec<u64>>);
    principal.may_read(Area::Queries)?;
    let sight = Sight::new(&site, principal, which, many.days)?;
    let (sight, (mut answered, reasons)) = each_day(&site, sight, |sight, sum: &mut Sum, begins, day| {
        let days = sight.days.dates.len();
        sum.0.resize(days, 0);
        for cell in day.cells().filter(|cell| sight.sees(cell.device, cell.profile)) {
            let Some(place) = sight.days.place(begins + u64::from(cell.hour)) else {
                continue;
            };
            let row = match cell.outcome {
                Outcome::Answered => &mut sum.0,
                Outcome::Blocked => match sum.1.get_mut(cell.reason) {
                    Some(row) => row,
                    None => sum
                        .1
                        .entry(cell.reason.to_owned())
                        .or_insert_with(|| vec![0; days]),
                },
                Outcome::Failed | Outcome::Other => continue,
            };
            if let Some(count) = row.get_mut(place) {
                *count += u64::from(cell.count);
            }
        }
    })
    .await?;
    answered.resize(sight.days.dates.len(), 0);
    let mut blocked = vec![0; sight.days.dates.len()];
    for (sum, count) in reasons.values().flat_map(|row| blocked_places(row)) {
        if let Some(held) = blocked.get_mut(sum) {
            *held += count;
        }
    }
    let names = Names::new();
    let mut reasons: Vec<Reason> = reasons
        .into_iter()
        .map(|(id, blocked)| names.reason(id, blocked))
        .collect();
    reasons.sort_by(|one, other| other.total.cmp(&one.total).then_with(|| one.id.cmp(&other.id)));
    Ok(axum::Json(ByReason {
        days: sight.days.dates,
        answered,
        blocked,
        reasons,
    }))
}

fn blocked_places(row: &[u64]) -> impl Iterator<Item = (usize, u64)> + '_ {
    row.iter().copied().enumerate()
}

/// Names of categories and services.
struct Names {
    categories: HashMap<String, Text>,
    services: HashMap<String, String>,
}

impl Names {
    fn new() -> Self {
        let data = data::built_in().ok();
        let (categories, services) =
            data.map_or_else(Default::default, |data| (data.categories, data.services));
        Self {
            categories: categories
                .into_iter()
                .map(|category| (category.id, category.name.into()))
                .collect(),
            services: services
                .into_iter()
                .map(|service| (service.id, service.name))
                .collect(),
        }
    }

    fn reason(&self, id: String, blocked: Vec<u64>) -> Reason {
        let category = self.categories.get(&id).cloned();
        let service = self.services.get(&id).map(|name| Text {
            sq: name.clone(),
            en: name.clone(),
        });
        Reason {
            kind: match (&category, &service) {
                (Some(_), _) => "category",
                (None, Some(_)) => "service",
                (None, None) => "other",
            },
            name: category.or(service),
            total: blocked.iter().sum(),
            blocked,
            id,
        }
    }
}

/// What was asked for most.
#[derive(Debug, Serialize, ToSchema)]
struct Top {
    /// Services, the most used first.
    services: Vec<Used>,
    /// Sites, the most used first.
    sites: Vec<Used>,
    /// Devices, the busiest first; those of a profile without a name together.
    devices: Vec<Busy>,
}

/// How often something was asked for.
#[derive(Debug, Serialize, ToSchema)]
struct Used {
    /// The service's id, or the site.
    id: String,
    /// The service's name, or the site.
    name: String,
    /// How often it was answered.
    answered: u64,
    /// How often it was blocked.
    blocked: u64,
}

/// How much a device asked for.
#[derive(Debug, Serialize, ToSchema)]
struct Busy {
    /// The device; empty where it is none, or nobody is to know.
    device: String,
    /// Its profile.
    profile: String,
    /// How often it was answered.
    answered: u64,
    /// How often it was blocked.
    blocked: u64,
}

/// The services, sites and devices that were asked for, or asked, most. Days are taken whole, in UTC.
#[utoipa::path(get, path = "/stats/top", tag = "looking", params(Which, Most), responses(
    (status = 200, body = Top), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 503, body = Problem)))]
async fn top(
    State(site): State<Site>,
    principal: Principal,
    Params(which): Params<Which>,
    Params(most): Params<Most>,
) -> Result<axum::Json<Top>, Problem> {
    type Counted = HashMap<String, (u64, u64)>;
    type Sum = (Counted, Counted, HashMap<(String, String), (u64, u64)>);
    principal.may_read(Area::Queries)?;
    if !(1..=1000).contains(&most.limit) {
        return Err(Problem::bad_request("limit: 1 to 1,000"));
    }
    let sight = Sight::new(&site, principal, which, most.days)?;
    let (_, (services, sites, devices)) = each_day(&site, sight, |sight, sum: &mut Sum, _, day| {
        add(sight, &mut sum.0, day.services());
        add(sight, &mut sum.1, day.sites());
        for cell in day.cells().filter(|cell| sight.sees(cell.device, cell.profile)) {
            let key = (cell.device.to_owned(), cell.profile.to_owned());
            let held = sum.2.entry(key).or_default();
            match cell.outcome {
                Outcome::Answered => held.0 += u64::from(cell.count),
                Outcome::Blocked => held.1 += u64::from(cell.count),
                Outcome::Failed | Outcome::Other => {}
            }
        }
    })
    .await?;
    let names = Names::new();
    let used = |counted: Counted| {
        let mut used: Vec<Used> = counted
            .into_iter()
            .filter(|(_, (answered, blocked))| answered + blocked > 0)
            .map(|(id, (answered, blocked))| Used {
                name: names.services.get(&id).unwrap_or(&id).clone(),
                id,
                answered,
                blocked,
            })
            .collect();
        used.sort_by(|one, other| {
            let sum = |used: &Used| used.answered + used.blocked;
            sum(other).cmp(&sum(one)).then_with(|| one.id.cmp(&other.id))
        });
        used.truncate(most.limit);
        used
    };
    let mut busy: Vec<Busy> = devices
        .into_iter()
        .filter(|(_, (answered, blocked))| answered + blocked > 0)
        .map(|((device, profile), (answered, blocked))| Busy {
            device,
            profile,
            answered,
            blocked,
        })
        .collect();
    busy.sort_by_key(|busy| std::cmp::Reverse(busy.answered + busy.blocked));
    busy.truncate(most.limit);
    Ok(axum::Json(Top {
        services: used(services),
        sites: used(sites),
        devices: busy,
    }))
}

/// Adds things up, as far as their profiles show them.
fn add<'d>(
    sight: &Sight,
    sum: &mut HashMap<String, (u64, u64)>,
    things: impl Iterator<Item = (&'d str, &'d str, &'d str, Seen)>,
) {
    for (device, profile, thing, seen) in things {
        if !sight.sees(device, profile) {
            continue;
        }
        let visibility = sight.policy.visibility(profile);
        let held = sum.entry(thing.to_owned()).or_default();
        if visibility.shows(false) {
            held.0 += u64::from(seen.answered);
        }
        if visibility.shows(true) {
            held.1 += u64::from(seen.blocked);
        }
    }
}

/// How the gateway fares.
#[derive(Debug, Serialize, ToSchema)]
struct Fares {
    /// The last day, minute by minute, the oldest first; since the start, where that is less.
    minutes: Vec<Minute>,
    /// Upstream servers.
    upstreams: Vec<Server>,
    /// Answers in the cache.
    cache_entries: usize,
    /// Octets in the cache.
    cache_octets: u64,
}

/// What happened in a minute.
#[derive(Debug, Serialize, ToSchema)]
struct Minute {
    /// Its end.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Packets.
    queries: u64,
    /// Blocked or rewritten.
    blocked: u64,
    /// Answered from the cache.
    cached: u64,
    /// Answered by an upstream.
    forwarded: u64,
    /// Answered stale, or not at all.
    failed: u64,
    /// Milliseconds within which half of the upstreams' answers came, to the next power of two.
    wait_ms: Option<u32>,
    /// The same of 99 in 100.
    slow_ms: Option<u32>,
}

/// An upstream server.
#[derive(Debug, Serialize, ToSchema)]
struct Server {
    /// As the configuration writes it.
    address: String,
    /// Whether it answered the last query.
    answers: bool,
    /// Milliseconds that an answer takes now; none where none came yet.
    answer_ms: Option<f32>,
}

/// How the gateway fared in the last day, and how its upstream servers do now.
#[utoipa::path(get, path = "/stats/health", tag = "looking", responses(
    (status = 200, body = Fares), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn health(State(site): State<Site>, principal: Principal) -> Result<axum::Json<Fares>, Problem> {
    principal.may_read(Area::Status)?;
    let engine = site.watch.engine();
    let minutes = site.stats.health().minutes().into_iter();
    let minutes = minutes.map(|minute| Minute {
        at: Timestamp::from_second(minute.at_s).unwrap_or_default(),
        queries: minute.happened.queries,
        blocked: minute.happened.blocked,
        cached: minute.happened.cached,
        forwarded: minute.happened.forwarded,
        failed: minute.happened.failed,
        wait_ms: minute.happened.wait_ms(50),
        slow_ms: minute.happened.wait_ms(99),
    });
    let answers: HashMap<String, bool> = engine.upstreams().into_iter().collect();
    let (cache_entries, cache_octets) = engine.cache_usage();
    Ok(axum::Json(Fares {
        minutes: minutes.collect(),
        upstreams: engine
            .upstream_times()
            .into_iter()
            .map(|(address, answer_ms)| Server {
                answers: answers.get(&address).copied().unwrap_or(false),
                address,
                answer_ms,
            })
            .collect(),
        cache_entries,
        cache_octets,
    }))
}
