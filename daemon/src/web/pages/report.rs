//! Reporting without JavaScript: a form, everything that would be sent, and the receipt.
//!
//! What was typed goes from page to page in the form itself; it never stands in an address, which browsers remember.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use isigurt_wire::report::Kind;
use isigurt_wire::secret::Secret;
use jiff::Timestamp;
use serde::Deserialize;

use super::words::{Kinds, fill};
use super::{Page, Pages, Sent, Visit, shown};
use crate::explain::Whom;
use crate::report::{Draft, From, Preview, ReportError, Where};
use crate::web::Site;

/// What the form sends.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Typed {
    #[serde(default)]
    name: Secret,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    note: Secret,
    #[serde(default)]
    contact: Secret,
    /// `edit`, `check` or `send`.
    #[serde(default)]
    step: String,
}

impl Typed {
    pub(super) fn draft(&self, page: &Page) -> Draft {
        Draft {
            name: self.name.clone(),
            kind: self.kind.clone(),
            note: Some(self.note.clone()),
            contact: Some(self.contact.clone()),
            language: Some(page.lang().to_owned()),
            blocked_by: None,
        }
    }
}

fn kind_in(kinds: &Kinds, kind: Kind) -> &str {
    match kind {
        Kind::AbuseMaterial => &kinds.abuse_material,
        Kind::Grooming => &kinds.grooming,
        Kind::Sextortion => &kinds.sextortion,
        Kind::Bullying => &kinds.bullying,
        Kind::Violence => &kinds.violence,
        Kind::Hate => &kinds.hate,
        Kind::Gambling => &kinds.gambling,
        Kind::Fraud => &kinds.fraud,
        Kind::WronglyBlocked => &kinds.wrongly_blocked,
        Kind::Other => &kinds.other,
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct FormPage {
    page: Page,
    typed: Typed,
    kinds: Vec<(&'static str, &'static str, bool)>,
    wrong: Option<&'static str>,
}

impl FormPage {
    fn new(page: Page, typed: Typed, wrong: Option<&'static str>) -> Self {
        let kinds = Kind::ALL.map(|kind| {
            let chosen = typed.kind == kind.as_str();
            (kind.as_str(), kind_in(&page.words.report.kinds, kind), chosen)
        });
        Self {
            page,
            typed,
            kinds: kinds.into(),
            wrong,
        }
    }
}

#[derive(Template)]
#[template(path = "report_check.html")]
struct CheckPage {
    page: Page,
    typed: Typed,
    preview: Preview,
    kind: &'static str,
    to: String,
    sealed: String,
}

#[derive(Template)]
#[template(path = "report_sent.html")]
struct SentPage {
    page: Page,
    receipt: String,
    danger: bool,
}

#[derive(Template)]
#[template(path = "report_closed.html")]
struct ClosedPage {
    page: Page,
    text: String,
}

#[derive(Template)]
#[template(path = "report_state.html")]
struct StatePage {
    page: Page,
    title: String,
    text: &'static str,
    since: Option<String>,
    help: bool,
    refused: Option<String>,
}

/// The empty form; where no report can be taken, that comes first.
pub(super) async fn form(State(pages): State<Pages>, visit: Visit) -> Response {
    match pages.site.reports.open() {
        Ok(()) => shown(StatusCode::OK, &FormPage::new(visit.page, Typed::default(), None)),
        Err(error) => not_taken(visit.page, Typed::default(), &error),
    }
}

/// The form again, everything that would be sent, or the receipt.
pub(super) async fn next(State(pages): State<Pages>, visit: Visit, Sent(typed): Sent<Typed>) -> Response {
    let (page, desk) = (visit.page, &pages.site.reports);
    let draft = with_list(&pages.site, visit, typed.draft(&page));
    match typed.step.as_str() {
        "check" => match desk.preview(&draft) {
            Ok(preview) => shown(StatusCode::OK, &check(page, typed, preview)),
            Err(error) => not_taken(page, typed, &error),
        },
        "send" => {
            let from = From {
                address: Some(visit.address),
                account: None,
            };
            match desk.take(&draft, &from, Timestamp::now().as_second()) {
                Ok(taken) => {
                    if taken.danger {
                        pages.site.reported_danger(false);
                    }
                    let sent = SentPage {
                        page,
                        receipt: taken.receipt,
                        danger: taken.danger,
                    };
                    shown(StatusCode::CREATED, &sent)
                }
                Err(error) => not_taken(page, typed, &error),
            }
        }
        _ => match desk.open() {
            Ok(()) => shown(StatusCode::OK, &FormPage::new(page, typed, None)),
            Err(error) => not_taken(page, typed, &error),
        },
    }
}

fn check(page: Page, typed: Typed, preview: Preview) -> CheckPage {
    let words = &page.words.report;
    CheckPage {
        page,
        typed,
        kind: kind_in(&words.kinds, preview.report.kind),
        to: fill(&words.check_to, &[("name", &preview.to)]),
        sealed: fill(
            &words.check_sealed,
            &[("what", &preview.key), ("count", &preview.octets.to_string())],
        ),
        preview,
    }
}

/// Names the list that blocks, for a wrong block.
fn with_list(site: &Site, visit: Visit, mut draft: Draft) -> Draft {
    if draft.kind == Kind::WronglyBlocked.as_str() {
        let whom = Whom::Device(visit.address.to_string());
        let why = site.watch.why(draft.name.trim(), 1, &whom, None).ok();
        draft.blocked_by = why.and_then(|why| why.rule).map(|rule| rule.list);
    }
    draft
}

/// Why a report is not taken: with the form, where that can be mended, and with the helplines always.
fn not_taken(page: Page, typed: Typed, error: &ReportError) -> Response {
    let words = &page.words.report;
    let (status, text) = match error {
        ReportError::Field { field, .. } => {
            let wrong = match *field {
                "name" => &words.wrong_name,
                "kind" => &words.wrong_kind,
                _ => &words.wrong_long,
            };
            let form = FormPage::new(page, typed, Some(wrong));
            return shown(StatusCode::UNPROCESSABLE_ENTITY, &form);
        }
        ReportError::NoPlatform => (StatusCode::SERVICE_UNAVAILABLE, words.closed_no_platform.clone()),
        ReportError::NoKey => (StatusCode::SERVICE_UNAVAILABLE, words.closed_no_key.clone()),
        ReportError::Wait(seconds) => {
            let minutes = seconds.div_ceil(60).to_string();
            let text = fill(&words.closed_wait, &[("count", &minutes)]);
            (StatusCode::TOO_MANY_REQUESTS, text)
        }
        ReportError::Full => (StatusCode::SERVICE_UNAVAILABLE, words.closed_full.clone()),
        ReportError::Random | ReportError::Store(_) => {
            tracing::error!(%error, "a report is not taken");
            (StatusCode::SERVICE_UNAVAILABLE, page.words.common.again.clone())
        }
    };
    shown(status, &ClosedPage { page, text })
}

/// A receipt.
#[derive(Deserialize)]
pub(super) struct Receipt {
    #[serde(default)]
    receipt: String,
}

/// How a report stands, for whoever holds its receipt.
pub(super) async fn state(
    State(pages): State<Pages>,
    visit: Visit,
    Sent(Receipt { receipt }): Sent<Receipt>,
) -> Response {
    let (page, words) = (visit.page, &visit.page.words.report);
    let Ok(Some(report)) = pages.site.reports.one(&receipt, Timestamp::now().as_second()) else {
        let unknown = StatePage {
            page,
            title: words.look.clone(),
            text: &words.state_unknown,
            since: None,
            help: false,
            refused: None,
        };
        return shown(StatusCode::NOT_FOUND, &unknown);
    };
    let text = match report.state {
        Where::Waiting => &words.state_waiting,
        Where::Received => &words.state_received,
        Where::UnderReview => &words.state_under_review,
        Where::ActedOn => &words.state_acted_on,
        Where::NotIllegal => &words.state_not_illegal,
        Where::Refused => &words.state_refused,
    };
    let zone = pages.site.watch.household().zone();
    let since = report
        .since
        .to_zoned_datetime(zone)
        .strftime("%d.%m.%Y %H:%M")
        .to_string();
    shown(
        StatusCode::OK,
        &StatePage {
            page,
            title: fill(&words.state_title, &[("name", &report.receipt)]),
            text,
            since: Some(fill(&words.since, &[("date", &since)])),
            help: matches!(report.state, Where::NotIllegal | Where::Refused),
            refused: report.trouble.filter(|_| report.state == Where::Refused),
        },
    )
}
