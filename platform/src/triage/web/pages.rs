//! The pages, and what their forms do. Everything that comes from a report is text and escaped as such.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use isigurt_wire::decision::Act;
use isigurt_wire::secret::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::words::{ALBANIAN, ENGLISH, Words, word};
use super::{Room, cookie, same};
use crate::config::List;
use crate::triage::TriageError;
use crate::triage::desk::{self, Counts, Which};
use crate::triage::show::time;
use crate::triage::trail::{self, written};
use crate::triage::verdict::{Proposal, Reason, Voted};

/// Name of the cookie that keeps the language.
const LANGUAGE: &str = "isigurt-language";
/// Newest acts that are shown.
const ACTS: usize = 200;

/// What stands round every page.
struct Frame {
    words: &'static Words,
    analyst: String,
    csrf: String,
    counts: Counts,
    here: &'static str,
}

/// A case as it is shown.
struct Shown {
    case: String,
    name: String,
    kinds: String,
    reports: i64,
    first: String,
    last: String,
    state: String,
    urgent: bool,
    list: String,
    held_by: String,
}

#[derive(Template)]
#[template(path = "cases.html")]
struct CasesPage {
    frame: Frame,
    cases: Vec<Shown>,
}

/// A report as it is shown.
struct ShownReport {
    received: String,
    kind: String,
    note: Secret,
    contact: Secret,
    blocked_by: String,
}

#[derive(Template)]
#[template(path = "case.html")]
struct CasePage {
    frame: Frame,
    case: Shown,
    reports: Vec<ShownReport>,
    all_shown: bool,
    similar: Vec<Shown>,
    votes: Vec<String>,
    lists: Vec<List>,
    acts: [(&'static str, &'static str); 2],
    reasons: Vec<(&'static str, String)>,
    mine: bool,
}

/// An act as it is shown.
struct ShownAct {
    seq: i64,
    time: String,
    analyst: String,
    verb: String,
    case: String,
}

#[derive(Template)]
#[template(path = "trail.html")]
struct TrailPage {
    frame: Frame,
    count: usize,
    head: String,
    acts: Vec<ShownAct>,
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    frame: Frame,
    heading: String,
    text: String,
}

/// A page that could not be made, as a page.
pub(super) struct Failure(StatusCode, String);

impl From<TriageError> for Failure {
    fn from(error: TriageError) -> Self {
        let status = match error {
            TriageError::NoCase => StatusCode::NOT_FOUND,
            TriageError::Held(_) => StatusCode::CONFLICT,
            TriageError::Form(_) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

type Page = Result<Response, Failure>;

fn page(template: &impl Template) -> Page {
    Ok(Html(template.render()?).into_response())
}

/// The language that was chosen or, as long as none was, that the browser prefers.
fn words(headers: &HeaderMap) -> &'static Words {
    let preferred = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let code = cookie(headers, LANGUAGE).unwrap_or(preferred);
    if code.starts_with("en") {
        &ENGLISH
    } else {
        &ALBANIAN
    }
}

async fn frame(room: &Room, headers: &HeaderMap, here: &'static str) -> Result<Frame, TriageError> {
    Ok(Frame {
        words: words(headers),
        analyst: room.desk.analyst.name.clone(),
        csrf: room.csrf.to_string(),
        counts: room.desk.counts().await?,
        here,
    })
}

fn shown(case: &desk::Case, albanian: bool) -> Shown {
    let kinds = case
        .kinds
        .iter()
        .map(|(kind, count)| format!("{} ({count})", word(kind, albanian)));
    let reason = case
        .reason
        .as_ref()
        .map(|reason| format!(": {}", word(reason, albanian)));
    Shown {
        case: written(&case.tag),
        name: case.name.clone(),
        kinds: kinds.collect::<Vec<_>>().join(", "),
        reports: case.reports,
        first: time(case.first),
        last: time(case.last),
        state: word(&case.state, albanian) + &reason.unwrap_or_default(),
        urgent: case.urgent,
        list: case.list.clone().unwrap_or_default(),
        held_by: case.held_by.clone().unwrap_or_default(),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct CasesQuery {
    which: Option<String>,
}

/// The cases.
pub(super) async fn cases(
    State(room): State<Room>,
    headers: HeaderMap,
    Query(query): Query<CasesQuery>,
) -> Page {
    room.desk.sort().await?;
    let (which, here) = match query.which.as_deref() {
        Some("second") => (Which::Second, "second"),
        Some("decided") => (Which::Decided, "decided"),
        _ => (Which::Open, "open"),
    };
    let frame = frame(&room, &headers, here).await?;
    let cases = room.desk.cases(which).await?;
    let cases = cases
        .iter()
        .map(|case| shown(case, frame.words.albanian))
        .collect();
    page(&CasesPage { frame, cases })
}

/// One case.
pub(super) async fn case(State(room): State<Room>, headers: HeaderMap, Path(case): Path<String>) -> Page {
    let tag = room.desk.find(&case).await?;
    let whole = room.desk.whole(&tag).await?;
    let frame = frame(&room, &headers, "").await?;
    let albanian = frame.words.albanian;
    let reports = whole.reports.iter().map(|opened| ShownReport {
        received: time(opened.received),
        kind: word(opened.report.kind.as_str(), albanian),
        note: opened.report.note.clone().unwrap_or_default(),
        contact: opened.report.contact.clone().unwrap_or_default(),
        blocked_by: opened.report.blocked_by.clone().unwrap_or_default(),
    });
    let votes = whole.votes.iter().map(|(analyst, decision)| {
        let act = match decision.act {
            Act::Block => "block",
            Act::Release => "release",
        };
        let reach = if decision.subdomains {
            frame.words.below
        } else {
            frame.words.alone
        };
        let (act, list, name) = (word(act, albanian), &decision.list, &decision.name);
        format!("{analyst}: {act}, {list}, {name}, {reach}")
    });
    let reasons = Reason::ALL.map(|reason| (reason.as_str(), word(reason.as_str(), albanian)));
    page(&CasePage {
        case: shown(&whole.case, albanian),
        all_shown: i64::try_from(whole.reports.len()).is_ok_and(|count| count >= whole.case.reports),
        reports: reports.collect(),
        similar: whole.similar.iter().map(|case| shown(case, albanian)).collect(),
        votes: votes.collect(),
        lists: room.desk.lists.clone(),
        acts: [
            ("block", frame.words.confirm),
            ("release", frame.words.over_block),
        ],
        reasons: reasons.into(),
        mine: whole.case.held_by.as_ref() == Some(&room.desk.analyst.name),
        frame,
    })
}

/// The trail.
pub(super) async fn trail(State(room): State<Room>, headers: HeaderMap) -> Page {
    let frame = frame(&room, &headers, "trail").await?;
    let checked = trail::check(&room.desk.database).await?;
    let acts = checked.acts.iter().rev().take(ACTS).map(|act| ShownAct {
        seq: act.seq,
        time: time(act.at),
        analyst: act.analyst.clone(),
        verb: word(act.what.verb(), frame.words.albanian),
        case: act.what.case().unwrap_or_default().to_owned(),
    });
    page(&TrailPage {
        count: checked.acts.len(),
        acts: acts.collect(),
        head: checked.head,
        frame,
    })
}

/// What is not there.
pub(super) async fn missing(State(room): State<Room>, headers: HeaderMap) -> Response {
    match message(&room, &headers, |words| (words.missing, String::new())).await {
        Ok(response) => (StatusCode::NOT_FOUND, response).into_response(),
        Err(failure) => failure.into_response(),
    }
}

async fn message(
    room: &Room,
    headers: &HeaderMap,
    text: impl FnOnce(&'static Words) -> (&'static str, String),
) -> Page {
    let frame = frame(room, headers, "").await?;
    let (heading, text) = text(frame.words);
    page(&MessagePage {
        heading: heading.to_owned(),
        text,
        frame,
    })
}

/// What a form sent (`application/x-www-form-urlencoded`), if the form is one of this session.
fn form<T: DeserializeOwned>(room: &Room, body: &str) -> Result<T, Failure> {
    #[derive(Deserialize)]
    struct Token {
        csrf: String,
    }
    let wrong = || {
        Failure(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the form is not complete".to_owned(),
        )
    };
    // A form is written as a query is.
    let uri: Uri = format!("/?{body}").parse().map_err(|_| wrong())?;
    let Query(token) = Query::<Token>::try_from_uri(&uri).map_err(|_| wrong())?;
    if !same(&token.csrf, &room.csrf) {
        return Err(Failure(
            StatusCode::FORBIDDEN,
            "the form is of another session".to_owned(),
        ));
    }
    Query::<T>::try_from_uri(&uri)
        .map(|Query(form)| form)
        .map_err(|_| wrong())
}

#[derive(Deserialize)]
struct Nothing {}

/// What became of a form: the page `then`, or a page that says what is wrong.
async fn done(room: &Room, headers: &HeaderMap, did: Result<(&'static str, String), Failure>) -> Page {
    match did {
        Ok((heading, text)) => message(room, headers, |_| (heading, text)).await,
        Err(Failure(status, text)) => {
            let response = message(room, headers, |words| (words.problem, text)).await?;
            Ok((status, response).into_response())
        }
    }
}

/// Takes up the most urgent case.
pub(super) async fn next(State(room): State<Room>, headers: HeaderMap, body: String) -> Page {
    form::<Nothing>(&room, &body)?;
    room.desk.sort().await?;
    match room.desk.next().await? {
        Some(tag) => Ok(Redirect::to(&format!("/case/{}", written(&tag))).into_response()),
        None => message(&room, &headers, |words| (words.no_next, String::new())).await,
    }
}

/// Takes up a case.
pub(super) async fn take(
    State(room): State<Room>,
    headers: HeaderMap,
    Path(case): Path<String>,
    body: String,
) -> Page {
    form::<Nothing>(&room, &body)?;
    let tag = room.desk.find(&case).await?;
    match room.desk.review(&tag).await {
        Ok(()) => Ok(Redirect::to(&format!("/case/{}", written(&tag))).into_response()),
        Err(error) => done(&room, &headers, Err(error.into())).await,
    }
}

#[derive(Deserialize)]
struct VoteForm {
    act: String,
    list: String,
    reach: String,
}

/// Gives the analyst's word.
pub(super) async fn vote(
    State(room): State<Room>,
    headers: HeaderMap,
    Path(case): Path<String>,
    body: String,
) -> Page {
    let form: VoteForm = form(&room, &body)?;
    let proposal = Proposal {
        act: if form.act == "release" {
            Act::Release
        } else {
            Act::Block
        },
        list: form.list,
        above: None,
        subdomains: form.reach != "alone",
    };
    let words = words(&headers);
    let did = async {
        let tag = room.desk.find(&case).await?;
        room.desk.vote(&tag, &proposal).await
    };
    let did = did.await.map_err(Failure::from).map(|voted| match voted {
        Voted::Decided => (words.decided_now, String::new()),
        Voted::Second => (words.second_now, String::new()),
    });
    done(&room, &headers, did).await
}

#[derive(Deserialize)]
struct RejectForm {
    reason: String,
}

/// Rejects a case.
pub(super) async fn reject(
    State(room): State<Room>,
    headers: HeaderMap,
    Path(case): Path<String>,
    body: String,
) -> Page {
    let form: RejectForm = form(&room, &body)?;
    let words = words(&headers);
    let did = async {
        let reason = Reason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == form.reason);
        let reason = reason.ok_or_else(|| TriageError::Form("a reason that is not known".to_owned()))?;
        let tag = room.desk.find(&case).await?;
        room.desk.reject(&tag, reason).await
    };
    let did = did
        .await
        .map_err(Failure::from)
        .map(|()| (words.rejected_now, String::new()));
    done(&room, &headers, did).await
}

#[derive(Deserialize)]
struct MergeForm {
    into: String,
}

/// Merges a case into another.
pub(super) async fn merge(
    State(room): State<Room>,
    headers: HeaderMap,
    Path(case): Path<String>,
    body: String,
) -> Page {
    let form: MergeForm = form(&room, &body)?;
    let words = words(&headers);
    let did = async {
        let (tag, into) = (room.desk.find(&case).await?, room.desk.find(&form.into).await?);
        room.desk.merge(&tag, &into).await
    };
    let did = did
        .await
        .map_err(Failure::from)
        .map(|()| (words.merged_now, String::new()));
    done(&room, &headers, did).await
}

#[derive(Deserialize)]
struct LanguageForm {
    code: String,
}

/// Keeps the language.
pub(super) async fn language(State(room): State<Room>, body: String) -> Page {
    let form: LanguageForm = form(&room, &body)?;
    let code = if form.code == "en" { "en" } else { "sq" };
    let cookie = format!("{LANGUAGE}={code}; Path=/; HttpOnly; SameSite=Strict");
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}
