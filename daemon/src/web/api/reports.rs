//! Reports to the national platform over HTTP: what would be sent, sending it, and how it stands. A device needs no account.

use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware;
use isigurt_wire::report::Kind;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Action, Principal, Scope};
use super::extract::{Body, Named, Page, Params, Part};
use super::problem::Problem;
use crate::explain::Whom;
use crate::report::helplines::{HelplineShown, first_shown};
use crate::report::{Draft, From, Preview, ReportShown};
use crate::web::{Site, last};

/// Reports.
type Reports = Page<ReportShown>;

pub(super) fn router() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(about))
        .routes(routes!(preview))
        .routes(routes!(reports, send))
        .routes(routes!(one))
        .route_layer(middleware::from_fn(last))
}

/// Whether and how one can report.
#[derive(Debug, Serialize, ToSchema)]
struct About {
    /// Whether a report can be taken now.
    open: bool,
    /// If not, why, and what to do.
    reason: Option<String>,
    /// Whom to turn to first where a child may be in danger now.
    helplines: Vec<HelplineShown>,
    /// What can be reported, in the order in which to offer it.
    kinds: Vec<KindShown>,
}

/// Something that can be reported.
#[derive(Debug, Serialize, ToSchema)]
struct KindShown {
    /// What `kind` of a report says.
    id: &'static str,
    /// Whether a child may be in danger now: then the helplines come first.
    danger: bool,
}

/// What would be sent, with the helplines.
#[derive(Debug, Serialize, ToSchema)]
struct Previewed {
    #[serde(flatten)]
    preview: Preview,
    /// Whom to turn to first where a child may be in danger now.
    helplines: Vec<HelplineShown>,
}

/// A report that was taken, with the helplines.
#[derive(Debug, Serialize, ToSchema)]
struct Sent {
    /// Asks how it stands, without an account. It is shown to nobody else.
    receipt: String,
    /// Whether a child may be in danger now.
    danger: bool,
    /// Whom to turn to first where a child may be in danger now.
    helplines: Vec<HelplineShown>,
}

/// Whether and how one can report. Needs no account.
#[utoipa::path(get, path = "/report", tag = "reports", security(()), responses((status = 200, body = About)))]
async fn about(State(site): State<Site>) -> axum::Json<About> {
    let open = site.reports.open();
    axum::Json(About {
        open: open.is_ok(),
        reason: open.err().map(|error| error.to_string()),
        helplines: first_shown(),
        kinds: Kind::ALL
            .map(|kind| KindShown {
                id: kind.as_str(),
                danger: kind.may_be_danger(),
            })
            .into(),
    })
}

/// What would be sent, exactly, and nothing is. Needs no account.
#[utoipa::path(post, path = "/report/preview", tag = "reports", request_body = Draft, responses(
    (status = 200, body = Previewed), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem, description = "No report can be taken now")))]
async fn preview(
    State(site): State<Site>,
    principal: Principal,
    Body(draft): Body<Draft>,
) -> Result<axum::Json<Previewed>, Problem> {
    principal.require(Action::ReportSend, Scope::Own)?;
    let draft = with_list(&site, &principal, draft);
    Ok(axum::Json(Previewed {
        preview: site.reports.preview(&draft)?,
        helplines: first_shown(),
    }))
}

/// Reports: sealed to the platform at once, delivered as soon as it can be reached. Needs no account.
#[utoipa::path(post, path = "/reports", tag = "reports", request_body = Draft, responses(
    (status = 201, body = Sent), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
    (status = 422, body = Problem), (status = 429, body = Problem),
    (status = 503, body = Problem, description = "No report can be taken now")))]
async fn send(
    State(site): State<Site>,
    principal: Principal,
    Body(draft): Body<Draft>,
) -> Result<(StatusCode, axum::Json<Sent>), Problem> {
    principal.require(Action::ReportSend, Scope::Own)?;
    let draft = with_list(&site, &principal, draft);
    let from = From {
        address: principal.address(),
        account: principal.member().map(|member| member.name.clone()),
    };
    let taken = site.reports.take(&draft, &from, Timestamp::now().as_second())?;
    if taken.danger {
        site.reported_danger(principal.member().is_some());
    }
    Ok((
        StatusCode::CREATED,
        axum::Json(Sent {
            receipt: taken.receipt,
            danger: taken.danger,
            helplines: first_shown(),
        }),
    ))
}

/// Reports made by accounts, the newest first; `search` looks at receipts. Those that devices made without an account are
/// their users' own matter and are not listed.
#[utoipa::path(get, path = "/reports", tag = "reports", params(Part), responses(
    (status = 200, body = Reports), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 503, body = Problem)))]
async fn reports(
    State(site): State<Site>,
    principal: Principal,
    Params(part): Params<Part>,
) -> Result<axum::Json<Reports>, Problem> {
    principal.require(Action::ReportRead, Scope::Reached)?;
    let all = principal.may(Action::ReportRead, Scope::Gateway);
    let own = principal.member().map(|member| member.name.as_str());
    let reports = site
        .reports
        .list(own.filter(|_| !all), Timestamp::now().as_second())?
        .into_iter();
    part.of(reports.filter(|report| part.finds(&report.receipt)))
        .map(axum::Json)
}

/// How the report with this receipt stands. Whoever holds the receipt may ask; needs no account.
#[utoipa::path(get, path = "/reports/{receipt}", tag = "reports", security(()),
    params(("receipt" = String, Path, description = "The receipt")), responses(
    (status = 200, body = ReportShown), (status = 400, body = Problem), (status = 404, body = Problem),
    (status = 503, body = Problem)))]
async fn one(State(site): State<Site>, Named(receipt): Named) -> Result<axum::Json<ReportShown>, Problem> {
    let found = site.reports.one(&receipt, Timestamp::now().as_second())?;
    found.map(axum::Json).ok_or_else(|| {
        Problem::not_found(
            "this gateway has no report with this receipt; receipts look like ABCD-EFGH-IJKL-MNOP",
        )
    })
}

/// Names the list that blocks, for a wrong block that says nothing of it.
fn with_list(site: &Site, principal: &Principal, mut draft: Draft) -> Draft {
    if draft.kind == Kind::WronglyBlocked.as_str() && draft.blocked_by.is_none() {
        let whom = principal
            .address()
            .map_or(Whom::Default, |address| Whom::Device(address.to_string()));
        let why = site.watch.why(draft.name.trim(), 1, &whom, None).ok();
        draft.blocked_by = why.and_then(|why| why.rule).map(|rule| rule.list);
    }
    draft
}
