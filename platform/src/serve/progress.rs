//! How a report stands, for whoever holds its receipt: `GET /api/v1/reports/{receipt}`.
//!
//! All answers have the same length, whatever the state and whether the receipt is known, so that somebody who watches the
//! line learns nothing from it.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use isigurt_wire::report::{Progress, State as ReportState};

use super::problem::Problem;
use super::{Asker, Site};

/// Octets of every body.
const LENGTH: usize = 256;

/// The state that a name in the database stands for.
pub(super) fn state(text: &str) -> Option<ReportState> {
    [
        ReportState::Received,
        ReportState::UnderReview,
        ReportState::ActedOn,
        ReportState::NotIllegal,
    ]
    .into_iter()
    .find(|state| state.as_str() == text)
}

/// Answers.
pub(super) async fn show(
    State(site): State<Site>,
    Asker(network): Asker,
    Path(receipt): Path<String>,
) -> Response {
    match find(&site, network, &receipt).await {
        Ok(progress) => {
            let body = padded(serde_json::to_string(&progress).unwrap_or_default());
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, body).into_response()
        }
        Err(problem) => {
            let body = padded(problem.json().to_string());
            let mut response = problem.into_response();
            *response.body_mut() = body.into();
            response
        }
    }
}

async fn find(site: &Site, network: super::source::Source, receipt: &str) -> Result<Progress, Problem> {
    site.questions(network)?;
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "no report has this receipt");
    // As it may be copied from paper: any case, with or without hyphens.
    let letters: Vec<u8> = receipt
        .bytes()
        .filter(|octet| *octet != b'-')
        .map(|octet| octet.to_ascii_uppercase())
        .take(17)
        .collect();
    if letters.len() != 16 || !letters.iter().all(u8::is_ascii_alphanumeric) {
        return Err(unknown());
    }
    let groups: Vec<String> = letters
        .chunks(4)
        .map(|group| String::from_utf8_lossy(group).into_owned())
        .collect();
    let receipt = groups.join("-");
    let row: Option<(String, i64)> = sqlx::query_as("SELECT state, since FROM report WHERE receipt = $1")
        .bind(&receipt)
        .fetch_optional(&site.database)
        .await
        .map_err(|error| super::unavailable(&error))?;
    let (text, since) = row.ok_or_else(unknown)?;
    let state = state(&text).ok_or_else(unknown)?;
    Ok(Progress {
        receipt,
        state,
        since,
    })
}

/// White space behind a JSON text, up to the common length.
fn padded(mut text: String) -> String {
    let missing = LENGTH.saturating_sub(text.len());
    text.extend(std::iter::repeat_n(' ', missing));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_as_it_is_written_and_padded_alike() {
        assert_eq!(state("open"), None);
        for known in [
            ReportState::Received,
            ReportState::UnderReview,
            ReportState::ActedOn,
            ReportState::NotIllegal,
        ] {
            assert_eq!(state(known.as_str()), Some(known));
            let progress = Progress {
                receipt: "AAAA-BBBB-CCCC-DDDD".to_owned(),
                state: known,
                since: i64::from(u32::MAX),
            };
            let text = padded(serde_json::to_string(&progress).unwrap());
            assert_eq!(text.len(), LENGTH);
            assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), progress);
        }
    }
}
