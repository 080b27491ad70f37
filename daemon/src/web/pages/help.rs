//! The help page: for a child that is frightened, in a hurry, and perhaps not alone.
//!
//! Its title says nothing, nothing of a visit is kept, and one tap leaves it.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use isigurt_blocklists::data::Helpline;

use super::{Language, Page, Visit, dialled, shown};
use crate::report::helplines;

/// A helpline on the page.
struct Line {
    name: &'static str,
    phone: Option<(String, &'static str)>,
    web: Option<(&'static str, String)>,
    country: &'static str,
}

impl Line {
    fn new(page: &Page, line: &'static Helpline) -> Self {
        Self {
            name: page.name_of(line),
            phone: line.phone.as_deref().map(|phone| (dialled(phone), phone)),
            web: line.web.as_deref().map(|web| {
                let shown = web.trim_start_matches("https://").trim_end_matches('/');
                (web, shown.to_owned())
            }),
            country: &line.country,
        }
    }
}

#[derive(Template)]
#[template(path = "help.html")]
struct Help {
    page: Page,
    web: Vec<Line>,
    more: Vec<Line>,
    abroad: Vec<Line>,
}

pub(super) async fn help(visit: Visit) -> Response {
    let page = visit.page;
    let first = helplines::first();
    let of = |wanted: &dyn Fn(&Helpline) -> bool| -> Vec<Line> {
        let all = helplines::all().iter().filter(|line| wanted(line));
        all.map(|line| Line::new(&page, line)).collect()
    };
    let here = |line: &Helpline| line.country == "AL";
    let is_first = |line: &Helpline| first.iter().any(|other| other.id == line.id);
    let young = |line: &Helpline| {
        line.topics
            .iter()
            .any(|topic| topic == "child" || topic == "crisis")
    };
    shown(
        StatusCode::OK,
        &Help {
            page,
            web: of(&|line| here(line) && line.web.is_some() && young(line)),
            more: of(&|line| here(line) && !is_first(line) && !(line.web.is_some() && young(line))),
            abroad: of(&|line| !here(line) && young(line)),
        },
    )
}

/// Leaves: another page, that anybody might look at.
pub(super) async fn exit(visit: Visit) -> Response {
    let to = match visit.page.language {
        Language::Sq => "https://sq.wikipedia.org/",
        Language::En => "https://en.wikipedia.org/",
    };
    let headers = [
        (header::LOCATION, to),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}
