//! A device's own page: what holds for it now, what is left of today's minutes, what it asked for, and who sees what.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use isigurt_core::policy::model::Visibility;
use isigurt_core::policy::schedule::Mode;
use isigurt_core::policy::{Client, Off};
use serde::Deserialize;

use super::block::{clock, hours, minutes};
use super::words::fill;
use super::{Page, Pages, Sent, Visit, said, shown};
use crate::policy::{ChangeError, RequestState};
use crate::web::Site;

#[derive(Template)]
#[template(path = "me.html")]
struct MyPage {
    page: Page,
    device: String,
    profile: String,
    now: String,
    until: Option<String>,
    budgets: Vec<String>,
    asked: Vec<(String, &'static str)>,
    sees: &'static str,
}

pub(super) async fn me(State(pages): State<Pages>, visit: Visit) -> Response {
    let (page, site) = (visit.page, &pages.site);
    let snapshot = site.watch.engine().snapshot();
    let (_, now_ms) = site.watch.engine().cache();
    let client = snapshot.client(visit.address, now_ms);
    let words = &page.words.me;
    let device = match client.device {
        Some(device) => fill(&words.device, &[("name", snapshot.policy.device_name(device))]),
        None => words.unknown.clone(),
    };
    let zone = site.watch.household().zone();
    let until = client.standing.until.map(|until| {
        let until = clock(until, &zone);
        fill(&page.words.block.until, &[("until", until.as_str())])
    });
    shown(
        StatusCode::OK,
        &MyPage {
            page,
            device,
            profile: fill(&words.profile, &[("name", &client.profile.name)]),
            now: now(&page, &client),
            until,
            budgets: budgets(&page, &client),
            asked: asked(&page, site, visit),
            sees: sees(&page, site, client.profile.visibility),
        },
    )
}

/// What holds now, in a sentence.
fn now(page: &Page, client: &Client<'_>) -> String {
    let (words, standing) = (&page.words.me, client.standing);
    let place = match (standing.off, standing.allow_list, standing.no_services) {
        (Some(Off::Paused), ..) => return words.now_paused.clone(),
        (Some(Off::Schedule(place)), ..) | (None, Some(place), _) | (None, None, Some(place)) => place,
        (None, None, None) => return words.now_open.clone(),
    };
    let Some(schedule) = client.profile.schedules.get(usize::from(place)) else {
        return words.now_open.clone();
    };
    let text = match schedule.mode {
        Mode::Off => &words.now_off,
        Mode::AllowList => &words.now_allow_list,
        Mode::NoServices => &words.now_no_services,
    };
    fill(text, &[("what", &hours(&schedule.label, page))])
}

/// What is left of today's minutes.
fn budgets(page: &Page, client: &Client<'_>) -> Vec<String> {
    let places = client.profile.budgets.iter().enumerate();
    let lines = places.filter_map(|(place, budget)| {
        let reading = client.reading(place)?;
        let left = budget
            .minutes
            .saturating_add(reading.bonus)
            .saturating_sub(reading.used);
        let what = minutes(budget.called(), page.language);
        let text = match left {
            0 => &page.words.me.time_over,
            _ => &page.words.me.time_left,
        };
        Some(fill(text, &[("what", &what), ("count", &left.to_string())]))
    });
    lines.collect()
}

/// What this device asked for, the newest first.
fn asked(page: &Page, site: &Site, visit: Visit) -> Vec<(String, &'static str)> {
    let words = &page.words.me;
    let own = site
        .watch
        .household()
        .requests_of(site.watch.engine(), visit.address);
    own.into_iter()
        .take(20)
        .map(|request| {
            let state = match request.state {
                RequestState::Open => &words.state_open,
                RequestState::Granted => &words.state_granted,
                RequestState::Allowed => &words.state_allowed,
                RequestState::Denied => &words.state_denied,
            };
            (request.name, state.as_str())
        })
        .collect()
}

/// What the adults see of it: by the profile's visibility, and the privacy setting of the query log.
fn sees(page: &Page, site: &Site, visibility: Visibility) -> &'static str {
    let (words, keeping) = (&page.words.me, site.watch.engine().log().keeping());
    if keeping.nothing {
        return &words.sees_off;
    }
    match visibility {
        Visibility::Counts => &words.sees_counts,
        _ if keeping.anonymous => &words.sees_anonymous,
        Visibility::Full if !keeping.blocked_only => &words.sees_full,
        Visibility::Full | Visibility::Blocked => &words.sees_blocked,
    }
}

/// A request for access.
#[derive(Deserialize)]
pub(super) struct Ask {
    #[serde(default)]
    name: String,
    #[serde(default)]
    note: String,
}

pub(super) async fn ask(State(pages): State<Pages>, visit: Visit, Sent(ask): Sent<Ask>) -> Response {
    let (page, watch) = (visit.page, &pages.site.watch);
    let words = page.words;
    let made = watch
        .household()
        .request(watch.engine(), visit.address, ask.name.trim(), &ask.note);
    match made {
        Ok(_) => said(
            page,
            StatusCode::CREATED,
            &words.me.asked_title,
            &words.me.asked_text,
        ),
        Err(ChangeError::TooMany(_)) => said(
            page,
            StatusCode::TOO_MANY_REQUESTS,
            &words.me.asked_enough_title,
            &words.me.asked_enough,
        ),
        Err(ChangeError::Wrong(_)) => said(
            page,
            StatusCode::UNPROCESSABLE_ENTITY,
            &words.common.sent_wrong,
            &words.report.wrong_name,
        ),
        Err(error) => {
            tracing::error!(%error, "a request for access is not kept");
            said(
                page,
                StatusCode::SERVICE_UNAVAILABLE,
                &words.common.sent_wrong,
                &words.common.again,
            )
        }
    }
}
