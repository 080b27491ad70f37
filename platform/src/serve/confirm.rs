//! `GET /api/v1/confirm/{list}/{version}/{prefix}`: all full hashes under a prefix, as the publisher signed them.
//!
//! What is asked is a prefix that many names share, and who asked is counted for a minute in memory only. Nothing of a question
//! is logged or kept.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use isigurt_wire::confirm::Question;

use super::problem::Problem;
use super::{Asker, Site};
use crate::confirmations;

/// Answers.
pub(super) async fn show(
    State(site): State<Site>,
    Asker(network): Asker,
    Path((list, version, prefix)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    site.questions(network)?;
    let none = || Problem::new(StatusCode::NOT_FOUND, "no list has this prefix in this version");
    let state = site.config.confirmations.clone().ok_or_else(none)?;
    let version = version.parse().map_err(|_| none())?;
    let question = Question {
        list,
        version,
        prefix,
    };
    let found = tokio::task::spawn_blocking(move || confirmations::answer(&state, &question)).await;
    match found {
        Ok(Ok(Some(answer))) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            Ok((headers, answer).into_response())
        }
        Ok(Ok(None)) => Err(none()),
        Ok(Err(error)) => {
            // The kind alone: the path of the file would tell what was asked.
            tracing::error!(kind = %error.kind(), "the confirmations cannot be read");
            Err(super::away())
        }
        Err(_) => Err(super::away()),
    }
}
